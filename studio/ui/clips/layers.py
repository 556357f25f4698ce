"""The fold "Performance" on Animate: a clip kept as layers, edited here, played by the tab's own two buttons.

The document lies in the studio; the page only names it, so that a refresh, a
second browser or tomorrow finds it as it was. Every change is one step that can
be taken back.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from html import escape
from typing import Any

import gradio as gr

from studio.domain.emotion import EMOTIONS
from studio.domain.expression import CONTROLS
from studio.domain.performance_document import (
    LARGEST_AMOUNT,
    REGIONS,
    KeptPerformance,
    KeyframesLayer,
    Layer,
    PerformanceDocument,
)
from studio.errors import NotFoundError, UserInputError
from studio.outside import NoSuchContent, json_of
from studio.services.clips.request import AnimationRequest
from studio.ui.clips import timeline
from studio.ui.guard import say
from studio.ui.kit import text
from studio.ui.kit.controls import Updates, clickable, clicked, html, listen
from studio.ui.kit.portrait_chooser import Choice, source_of
from studio.ui.window import Window

KIND_WORDS = {
    "speech": "Speech",
    "driving": "Recorded motion",
    "expression": "Expression",
    "keyframes": "Keyframes",
    "idle": "Idle life",
}
"""How each kind of layer is called; tests ask that none is missing."""
_ADDABLE = ("expression", "keyframes", "idle")
_EMOTION = "emotion:"
_MOST_KEYS_SHOWN = 60
MOST_CURVES = 4
NONE = "Not yet: the speech above moves the portrait."


class LayersFold:
    """The fold."""

    def __init__(self, window: Window) -> None:
        """Remember the window."""
        self.window = window
        self.service = window.studio.performances

    # -- layout ---------------------------------------------------------------

    def build(self) -> None:
        """Create the components, inside the tab's form."""
        with gr.Accordion("Performance", open=False, elem_id="animate-performance") as self.fold:
            html(
                '<p class="fine">Keep what moves the portrait as layers: change how much of each, lay expressions and '
                "keyframes over it, take any change back, play it on any portrait. “Preview” and “Make the clip” then "
                "play the performance.</p>"
            )
            self.chosen = gr.Dropdown(
                [(NONE, "")], value="", label="Performance", filterable=False, elem_id="layers-chosen",
                info="Kept in the studio, with every change.",
            )  # fmt: skip
            with gr.Row(elem_classes=["actions"]):
                self.keep_form = gr.Button("Keep the form as layers", size="sm", elem_id="layers-keep-form")
                self.keep_clip = gr.Button("Keep the shown clip as layers", size="sm", elem_id="layers-keep-clip")
            with gr.Column(visible=False) as self.editor:
                self._build_editor()

    def _build_editor(self) -> None:
        with gr.Row(elem_classes=["actions"]):
            self.undo = gr.Button("Undo", size="sm", elem_id="layers-undo")
            self.redo = gr.Button("Redo", size="sm", elem_id="layers-redo")
            self.copy = gr.Button("Copy", size="sm", elem_id="layers-copy")
            self.get = gr.Button("Export", size="sm", elem_id="layers-export")
            self.delete = gr.Button("Delete", size="sm", elem_id="layers-delete")
        self.file = gr.File(label="The performance as a file", visible=False, height=72, elem_id="layers-file")
        self.layer = gr.Radio([], label="Layers", info="The first lies on top.", elem_id="layers-list")
        self.values = html(elem_id="layers-values")
        with gr.Row():
            self.on = gr.Checkbox(True, label="On", info="Whether the layer counts.", min_width=120)
            self.amount = gr.Slider(
                0, LARGEST_AMOUNT, 1, step=0.05, label="Amount", info="1 as it was made.", min_width=160,
                buttons=["reset"], elem_classes=["control"], elem_id="layers-amount",
            )  # fmt: skip
        self.regions = gr.CheckboxGroup(
            [(r.capitalize(), r) for r in REGIONS],
            label="Where it counts",
            info="The parts of the face.",
            elem_id="layers-regions",
        )
        with gr.Row():
            self.blend = gr.Radio(
                [("Added", "add"), ("Instead of what is below", "override")], label="How it lies", min_width=160,
                info="On what is below it.",
                elem_id="layers-blend",
            )  # fmt: skip
            self.remove = gr.Button("Remove the layer", size="sm", scale=0, min_width=150, elem_id="layers-remove")
        with gr.Row(elem_classes=["inline"]):
            self.kind = gr.Dropdown(
                [(KIND_WORDS[k], k) for k in _ADDABLE], value="expression", label="Another layer", filterable=False,
                info="An expression takes the sliders of the Expression tab, if you sent them here.", min_width=160,
            )  # fmt: skip
            self.add = gr.Button("Add", size="sm", scale=0, min_width=90, elem_id="layers-add")
        html('<h4 class="fine">Keys</h4>')
        self.keys = clickable(elem_id="layers-keys")
        with gr.Row():
            names = [(c.label, c.name) for c in CONTROLS]
            feelings = [(f"Emotion: {e}", _EMOTION + e) for e in EMOTIONS]
            self.control = gr.Dropdown(
                [*names, *feelings], value="smile", label="What", info="A slider, or an emotion.", min_width=150,
                elem_id="layers-control",
            )  # fmt: skip
            self.seconds = gr.Number(
                0, label="Second", info="When.", minimum=0, step=0.1, min_width=90, elem_id="layers-seconds"
            )
            self.value = gr.Number(
                0.5, label="Value", info="As on its slider.", step=0.05, min_width=90, elem_id="layers-value"
            )
        self.set = gr.Button("Set the key", size="sm", elem_id="layers-set")
        self.score = timeline.component("layers-timeline")
        self.lines = html(elem_id="layers-lines")
        self.playable = html(elem_id="layers-playable")
        self.curves = gr.Dropdown(
            names, value=[], multiselect=True, max_choices=MOST_CURVES, label="Curves", elem_id="layers-curves",
            info="How far the chosen portrait goes along sliders, under the timeline.",
        )  # fmt: skip
        self.scrub = gr.Slider(
            0, 1, 0, step=0.04, label="Look at a moment (s)", info="Draws that frame on the chosen portrait.",
            elem_id="layers-scrub", elem_classes=["control"],
        )  # fmt: skip
        self.frame = gr.Image(
            show_label=False,
            interactive=False,
            visible=False,
            height=320,
            elem_id="layers-frame",
            buttons=[],
            format="jpeg",
        )

    # -- listeners ------------------------------------------------------------

    @property
    def parts(self) -> list[Any]:
        """What shows a performance."""
        return [
            self.chosen, self.editor, self.undo, self.redo, self.layer, self.values, self.on, self.amount,
            self.regions, self.blend, self.keys, self.scrub, self.score, self.file, self.frame,
        ]  # fmt: skip

    def wire(
        self,
        item: gr.Tab,
        lane: dict[str, Any],
        form: list[Any],
        request: Callable[..., AnimationRequest],
        choice: Any,
        expression: Any,
        shown_clip: Any,
    ) -> None:
        """Attach the listeners.

        Args:
            item: the tab.
            lane: of what fills the form when the tab is opened.
            form, request: the form's inputs, and what makes the request of a clip from them.
            choice: state of the chosen portrait.
            expression: state of the expression that was sent here.
            shown_clip: state with the id of the render that is shown.
        """
        quiet: dict[str, Any] = {"show_progress": "hidden"}
        here = [self.chosen, self.layer]
        listen(item.select, self._listed, self.chosen, self.chosen, **quiet, **lane)
        listen(self.chosen.input, self._show, self.chosen, self.parts, **quiet)

        def keep_form(*inputs: Any) -> Updates:
            return self._kept(self.service.of_request(request(*inputs)))

        listen(self.keep_form.click, keep_form, form, self.parts, show_progress_on=self.keep_form)
        listen(self.keep_clip.click, self._keep_clip, shown_clip, self.parts, show_progress_on=self.keep_clip)
        listen(self.undo.click, lambda id, one: self._show(self.service.undo(self._id(id)).id, one), here, self.parts)
        listen(self.redo.click, lambda id, one: self._show(self.service.redo(self._id(id)).id, one), here, self.parts)
        listen(self.copy.click, lambda id: self._show(self.service.copy(self._id(id)).id), self.chosen, self.parts)
        listen(self.delete.click, self._delete, self.chosen, self.parts)
        listen(self.get.click, self._export, self.chosen, self.file)
        listen(self.layer.input, self._show, here, self.parts, **quiet)
        for field, component, event in (
            ("on", self.on, self.on.input),
            ("amount", self.amount, self.amount.release),
            ("regions", self.regions, self.regions.input),
            ("blend", self.blend, self.blend.input),
        ):

            def change(id: str, one: str, value: Any, field: str = field) -> Updates:
                self.service.set_layer(self._id(id), self._layer(one), {field: value})
                return self._show(id, one)

            listen(event, change, [*here, component], self.parts, **quiet)
        listen(self.remove.click, self._remove, here, self.parts, **quiet)
        listen(self.add.click, self._add, [self.chosen, self.kind, expression], self.parts, **quiet)
        listen(self.set.click, self._set_key, [*here, self.control, self.seconds, self.value], self.parts, **quiet)
        listen(self.keys.click, self._click_key, here, self.parts, **quiet)
        moment = [self.chosen, choice, self.scrub]
        # What Gradio puts off ("always_last") it does with the data of the event before. So a moment on the way is left
        # out while another one is drawn, for the page soon tells of the next; and what was done is done in its turn.
        drawing: dict[str, Any] = {"concurrency_id": "draw", "concurrency_limit": 1}
        looking = {**drawing, "trigger_mode": "always_last"}
        parts = [self.scrub, self.seconds, self.frame]
        listen(self.score.input, self._scrub, moment, parts, **quiet, **drawing, trigger_mode="once")
        dragged = [*here, choice, self.scrub]
        listen(
            self.score.release, self._drag, dragged, [*self.parts, self.seconds], **quiet, **drawing,
            trigger_mode="multiple",
        )  # fmt: skip
        for changed in (self.score.change, choice.change):
            listen(changed, self._playable, [self.chosen, choice], self.playable, **quiet)
        for changed in (self.score.change, self.curves.input):
            listen(changed, self._drawn_curves, [*moment, self.curves], self.lines, **quiet, trigger_mode="always_last")
        listen(
            self.scrub.release, self._look, moment, self.frame, show_progress_on=self.frame, **looking,
        )  # fmt: skip

    # -- what is shown -----------------------------------------------------------

    @property
    def restored(self) -> list[Any]:
        """What `restore` updates."""
        return [self.fold, *self.parts]

    def restore(self, id: Any) -> Updates:
        """Return the fold as it was; a performance that is gone is left out."""
        if not isinstance(id, str) or not id:
            return {}
        try:
            return {self.fold: gr.Accordion(open=True), **self._show(id)}
        except NotFoundError:
            return {}

    def of_clip(self, render_id: str) -> Updates:
        """Return the fold with the performance that a clip was made of: the one that is like it, else a new one."""
        kept = self.service.of_render(render_id, keep_twice=False)
        return self._show(kept.id)

    def none(self) -> Updates:
        """Return the fold without a performance."""
        return self._show("")

    def _listed(self, chosen: str) -> gr.Dropdown:
        """Return the performances that are there now."""
        choices = self._choices()
        there = {value for _, value in choices}
        return gr.Dropdown(choices=choices, value=chosen if chosen in there else "")

    def _choices(self) -> list[tuple[str, str]]:
        return [(NONE, ""), *((k.name, k.id) for k in self.service.list())]

    def _show(self, id: str, layer: str | None = None, at_seconds: float = 0.0) -> Updates:
        """Return the updates of `parts`: a performance with one of its layers, and the moment that is looked at."""
        if not id:
            return {self.chosen: gr.Dropdown(choices=self._choices(), value=""), self.editor: gr.Column(visible=False)}
        kept = self.service.get(id)
        document = kept.document
        ordered = [*reversed(document.layers)]
        one = next((x for x in ordered if x.id == layer), ordered[0] if ordered else None)
        updates: Updates = {
            self.chosen: gr.Dropdown(choices=self._choices(), value=kept.id),
            self.editor: gr.Column(visible=True),
            self.undo: gr.Button(interactive=kept.undoes is not None, value=_step("Undo", kept.undoes)),
            self.redo: gr.Button(interactive=kept.redoes is not None, value=_step("Redo", kept.redoes)),
            self.layer: gr.Radio(choices=[(_line(x), x.id) for x in ordered], value=one.id if one else None),
            self.values: "" if one is None else f'<p class="fine">{escape(_held(one))}</p>',
            self.keys: _keys(document),
            self.scrub: gr.Slider(value=at_seconds, maximum=max(0.04, round(document.duration_seconds - 0.04, 2))),
            self.score: timeline.drawn(self.service.timeline(id), at_seconds, self._sound_url(id)),
            self.file: gr.File(visible=False),
        }
        if one is not None:
            updates |= {
                self.on: one.on, self.amount: one.amount, self.regions: list(one.regions), self.blend: one.blend,
            }  # fmt: skip
        return updates

    def _kept(self, kept: KeptPerformance) -> Updates:
        say(f"Kept as “{kept.name}”.", 5)
        return self._show(kept.id)

    # -- handlers ---------------------------------------------------------------

    def _keep_clip(self, render_id: str | None) -> Updates:
        if not render_id:
            raise UserInputError("There is no clip yet.", "Make one first, or keep the form as layers.")
        return self._kept(self.service.of_render(render_id))

    def _delete(self, id: str) -> Updates:
        kept = self.service.delete(self._id(id))
        say(f"“{kept.name}” was deleted; clips made of it stay.", 6)
        return self._show("")

    def _export(self, id: str) -> gr.File:
        kept = self.service.get(self._id(id))
        out = self.window.shelf.place(f"{kept.name}.performance.zip")
        return gr.File(value=str(self.service.export(kept.id, out)), visible=True)

    def _remove(self, id: str, layer: str) -> Updates:
        self.service.remove_layer(self._id(id), self._layer(layer))
        return self._show(id)

    def _add(self, id: str, kind: str, expression: dict[str, Any] | None) -> Updates:
        fields: dict[str, Any] = {"kind": kind}
        if kind == "expression":
            fields["values"] = dict(expression["values"]) if expression else {}
            if not fields["values"]:
                raise UserInputError(
                    "There is no expression to lay over it.",
                    "Set sliders on the Expression tab and send them here with “Animate this”.",
                )
        kept = self.service.add_layer(self._id(id), fields)
        return self._show(kept.id, kept.document.layers[-1].id)

    def _set_key(self, id: str, layer: str | None, control: str, seconds: float, value: float) -> Updates:
        kept = self.service.get(self._id(id))
        at = min(float(seconds or 0), kept.document.duration_seconds)
        if control.startswith(_EMOTION):
            self.service.set_emotion(kept.id, control.removeprefix(_EMOTION), at, float(value or 0))
            return self._show(kept.id, layer)
        chosen = next((x for x in kept.document.layers if x.id == layer and isinstance(x, KeyframesLayer)), None)
        kept = self.service.set_key(
            kept.id, control, at, float(value or 0), layer=None if chosen is None else chosen.id
        )
        topmost = [x.id for x in kept.document.layers if isinstance(x, KeyframesLayer)][-1]
        return self._show(kept.id, chosen.id if chosen else topmost)

    def _click_key(self, id: str, layer: str | None, event: gr.EventData) -> Updates:
        act, said = clicked(event)
        try:
            of, control, seconds = json_of(said)
        except (NoSuchContent, TypeError, ValueError) as exc:
            raise UserInputError("This key is not there any more.", "Choose one of the list.") from exc
        if act == "drop-key" and of is None:
            self.service.remove_emotion(self._id(id), str(control), float(seconds))
        elif act == "drop-key":
            self.service.remove_key(self._id(id), str(control), float(seconds), layer=str(of))
        return self._show(id, layer)

    def _drag(self, id: str, layer: str | None, choice: Choice | None, seconds: float, event: gr.EventData) -> Updates:
        """Move a border between two sounds or mend a word, and draw the moment again; or go to another moment."""
        said = event._data or {}
        if said.get("act") == "boundary":
            index, to = _whole(said.get("index")), _number(said.get("seconds"))
            self.service.move_boundary(self._id(id), index, to)
            seconds = float(seconds or 0)
        elif said.get("act") == "word":
            self.service.mend_word(self._id(id), _whole(said.get("index")), str(said.get("text") or "")[:200])
            seconds = float(seconds or 0)
        else:
            seconds = round(_number(said.get("seconds")), 2)
        frame = {self.frame: self._look(id, choice, seconds)} if choice else {}
        return {**self._show(id, layer, seconds), self.seconds: seconds, **frame}

    def _scrub(self, id: str, choice: Choice | None, seconds: float, event: gr.EventData) -> Updates:
        """Draw the moment that is dragged over; a key that is set next is set there."""
        seconds = round(_number((event._data or {}).get("seconds")), 2)
        frame = {self.frame: self._look(id, choice, seconds)} if choice else {}
        return {self.scrub: seconds, self.seconds: seconds, **frame}

    def _sound_url(self, id: str) -> str:
        path = self.service.sound(id)
        return "" if path is None else self.window.shelf.url(self.window.shelf.put(path))

    def _playable(self, id: str, choice: Choice | None) -> str:
        """Say under which address the page gets moments of what it shows."""
        if not id or not choice:
            return ""
        source, face = source_of(choice), choice.get("face_index")

        def draw(seconds: float) -> bytes:
            return self.service.moment(id, source, seconds, face_index=face)

        token = self.window.moments.put((id, str(source), face), draw)
        return f'<i hidden data-moments="live/moments/{token}"></i>'

    def _drawn_curves(self, id: str, choice: Choice | None, seconds: float, names: list[str] | None) -> str:
        """Return the curves of what the timeline shows."""
        if not id or not names:
            return ""
        if not choice:
            raise UserInputError("There is no portrait yet.", "Choose one: curves are those of its face.")
        first, last = timeline.shown_part(self.service.get(id).document.duration_seconds, float(seconds or 0))
        found = self.service.curves(
            id, source_of(choice), names, face_index=choice.get("face_index"), start_seconds=first, seconds=last - first
        )
        return timeline.curves(found, first)

    def _look(self, id: str, choice: Choice | None, seconds: float) -> gr.Image:
        if not choice:
            raise UserInputError("There is no portrait yet.", "Choose one of your people's photos, or drop a picture.")
        image = self.service.frame(
            self._id(id), source_of(choice), float(seconds or 0), face_index=choice.get("face_index")
        )
        return gr.Image(value=image, visible=True)

    def _id(self, id: str) -> str:
        if not id:
            raise UserInputError("No performance is chosen.", "Choose one, or keep the form as layers.")
        return id

    def _layer(self, layer: str | None) -> str:
        if not layer:
            raise UserInputError("No layer is chosen.", "Choose one of the list, or add one.")
        return layer


def _number(said: Any) -> float:
    """Return a number that the page has told; it may tell anything."""
    if isinstance(said, bool) or not isinstance(said, int | float) or not abs(said) < 1e9:
        raise UserInputError("This moment is no number.", "Drag again.")
    return float(said)


def _whole(said: Any) -> int:
    number = _number(said)
    if number != int(number):
        raise UserInputError("There is no such border.", "Drag again.")
    return int(number)


def _step(word: str, title: str | None) -> str:
    return word if title is None else f"{word}: {text.shortened(title, 24)}"


def _line(layer: Layer) -> str:
    """Return one layer in the list."""
    name = KIND_WORDS[layer.kind] + (f" {layer.id.rpartition('-')[2]}" if layer.id[-1].isdigit() else "")
    whole = set(layer.regions) == set(REGIONS)
    where = "" if whole else ", " + (", ".join(layer.regions) or "nowhere")
    state = f"{100 * layer.amount:.0f} %" if layer.on else "off"
    return f"{layer.title or name} · {state}{where}{', instead' if layer.blend == 'override' else ''}"


def _held(layer: Layer) -> str:
    """Return what a layer holds, in words."""
    if layer.kind == "expression":
        return ", ".join(f"{name} {value:+.2g}" for name, value in layer.values.items())
    if layer.kind == "keyframes":
        return f"{len(layer.keys)} {'key' if len(layer.keys) == 1 else 'keys'}, below."
    if layer.kind == "speech":
        return f"“{text.shortened(layer.transcript)}”" if layer.transcript else "What the sound says."
    return "" if layer.kind == "idle" else "Curves, as they were recorded."


def _keys(document: PerformanceDocument) -> str:
    """Return the list of keys with a button to remove each, and the emotions."""
    labels = {c.name: c.label for c in CONTROLS}
    rows = [
        _key_row(layer.id, key.control, key.seconds, labels[key.control], key.value)
        for layer in document.layers
        if isinstance(layer, KeyframesLayer)
        for key in layer.keys
    ]
    rows += [_key_row(None, m.emotion, m.seconds, f"Emotion: {m.emotion}", m.strength) for m in document.emotions]
    if not rows:
        return '<p class="fine">None yet.</p>'
    more = f'<p class="fine">{len(rows) - _MOST_KEYS_SHOWN} more.</p>' if len(rows) > _MOST_KEYS_SHOWN else ""
    return f'<div class="table-wrap"><table><tbody>{"".join(rows[:_MOST_KEYS_SHOWN])}</tbody></table></div>{more}'


def _key_row(layer: str | None, what: str, seconds: float, label: str, value: float) -> str:
    """Return one row of the list; an emotion is in no layer."""
    said = escape(json.dumps([layer, what, seconds]))
    return (
        f"<tr><td>{seconds:.2f} s</td><td>{escape(label)}</td><td>{value:g}</td>"
        f'<td><button type="button" class="mini" data-act="drop-key" data-id="{said}" data-key="{said}" '
        f'aria-label="Remove the key {escape(label)}, {seconds:g} s">Remove</button></td></tr>'
    )
