"""Expression: a portrait, its sliders, and the picture they make.

Every slider is a row of domain/expression.py. A picture is drawn when a slider
is let go (or a key is): the page sends what moved, the rest is known from what
was drawn last. All drawing goes through one lane with "always last", so that a
fast hand is never answered with old pictures. What a value does to a face is
services/portraits/expressions.py's affair.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from functools import partial
from html import escape
from pathlib import Path
from typing import Any

import gradio as gr

from studio.domain.expression import ARKIT_NAMES, CONTROL, CONTROLS, ExpressionEdit, spoken
from studio.domain.look import STRONGEST, Look, Steps
from studio.domain.model_format import MODEL_FORMATS
from studio.domain.render import Render
from studio.errors import ConflictError, NotFoundError, UserInputError
from studio.services.portraits.expressions import PortraitHandle
from studio.services.portraits.presets import ExpressionPreset
from studio.services.portraits.templates import TemplateFace
from studio.ui.guard import say
from studio.ui.kit import text
from studio.ui.kit.controls import Updates, clickable, clicked, downloaded, html, listen, slider, sliders_by_group
from studio.ui.kit.draft import HANDED_OVER, Draft, Kept, fitting, hidden, parsed
from studio.ui.kit.portrait_chooser import Choice, PortraitChooser, source_of
from studio.ui.pictures.template_picture import TemplatePicture
from studio.ui.pictures.unit_sliders import UnitSliders
from studio.ui.window import Window

GROUPED = tuple(c for c in CONTROLS if c.name not in ARKIT_NAMES)
SINGLE = tuple(c for c in CONTROLS if c.name in ARKIT_NAMES)
SINGLE_NAMES = frozenset(c.name for c in SINGLE)
ALL_SINGLE = f"All {len(SINGLE)} ARKit weights"
DRAWN_AT_ONCE = 4
"""So many presets are drawn on the person's face before the list is shown anew."""
MOST_NAMED = 8
SHOWN_WEIGHT = 0.05
"""The photo's own weights below this are not worth a mark."""
NOTHING_OPEN = text.empty("Choose a portrait", "Pick a photo of one of your people, or drop a picture.", "expression")


def set_words(look: Look) -> str:
    """Return a line that says what a look sets, whether its sliders are in sight or folded away."""
    said = [f"{label} {round(value, 2):+g}" for label, value in spoken(look.values)[:MOST_NAMED]]
    more = len(spoken(look.values)) - MOST_NAMED
    words = " · ".join(said) + (f" · {more} more" if more > 0 else "")
    return f'<p class="fine" role="status">{escape(words)}</p>' if said else ""


def fold_title(look: Look) -> str:
    """Return the title of the fold of single weights, with how many of them are set."""
    count = len(SINGLE_NAMES & set(look.values))
    return f"{ALL_SINGLE}, {count} set" if count else ALL_SINGLE


def own_marks(own: Mapping[str, float]) -> str:
    """Return the photo's own weights: bars for the eye, and a mark on each single slider."""
    strong = {n: (CONTROL[n].label, v) for n, v in own.items() if v >= SHOWN_WEIGHT}
    rules = "".join(
        f'#control-{n}::after{{content:"photo {own[n]:.2f}"}}#control-{n}{{--own:{min(own[n], 1.0):.3f}}}'
        for n in strong
    )
    ranked = dict(sorted(strong.items(), key=lambda item: -item[1][1]))
    title = '<p class="fine">What the photo itself shows; sliders add to it.</p>'
    shown = title + text.bars(ranked) if ranked else '<p class="fine">The photo shows a neutral face.</p>'
    return f"<style>{rules}</style>{shown}"


class ExpressionTab:
    """The tab."""

    id = "expression"
    title = "Expression"

    def __init__(self, window: Window) -> None:
        """Remember the window."""
        self.window = window
        self.service = window.studio.expressions
        self.presets = window.studio.presets
        self.chooser = PortraitChooser(window, "expression")
        self.like = TemplatePicture(window)
        self.units = UnitSliders()
        self.draft = Draft("expression")

    # -- layout ---------------------------------------------------------------

    def build(self) -> None:
        """Create the components."""
        self.handle = gr.State(None)
        self.before = gr.State("")
        self.opened = gr.State(None)
        self.steps = gr.State(Steps())
        self.offered = gr.State(None)
        self.waiting = gr.State(None)  # a look, as JSON values, that comes back with its portrait
        self.draft.build()
        self.held = hidden("expression-look", "Sliders")
        with gr.Row(elem_classes=["split", "workbench"]):
            with gr.Column(scale=6, min_width=320, elem_classes=["stage"]):
                with gr.Accordion("Portrait", open=True, elem_id="expression-portrait") as self.fold:
                    self.chooser.build()
                self.placeholder = html(NOTHING_OPEN)
                self.picture = gr.ImageSlider(
                    label="Before and after",
                    show_label=False,
                    type="filepath",
                    interactive=False,
                    visible=False,
                    slider_position=5,
                    max_height=460,
                    buttons=["fullscreen"],
                    elem_id="expression-picture",
                )
                self.hints = html(elem_id="expression-hints")
                with gr.Row(elem_classes=["actions"], visible=False) as self.actions:
                    self.save = gr.Button("Save to Library", variant="primary", elem_id="expression-save")
                    self.animate = gr.Button("Animate this", elem_id="expression-animate")
                    self.download = gr.Button("Download", elem_id="expression-download")
                with gr.Row(elem_classes=["actions"], visible=False) as self.heads:
                    self.head_as = {
                        form.name: gr.Button(
                            f"3D head ({form.title})", size="sm", elem_id=f"expression-head-{form.name}"
                        )
                        for form in MODEL_FORMATS.values()
                    }
                self.file = gr.DownloadButton("File", elem_id="expression-file", elem_classes=["unseen"])
            with gr.Column(scale=5, min_width=320, elem_classes=["sheet", "sliders"]):
                self._build_panel()

    def _build_panel(self) -> None:
        with gr.Row(elem_classes=["toolbar"]):
            self.undo = gr.Button("Undo", size="sm", elem_id="expression-undo", interactive=False)
            self.redo = gr.Button("Redo", size="sm", elem_id="expression-redo", interactive=False)
            self.reset = gr.Button("Reset all", size="sm", elem_id="expression-reset")
            self.neutralise = gr.Checkbox(
                label="Neutralise first",
                info="Start from a neutral face instead of the photo's own expression.",
                elem_id="expression-neutralise",
                container=False,
            )
        self.gallery = clickable(elem_id="preset-list")
        with gr.Row(elem_classes=["inline"], elem_id="preset-how"):
            self.strength = gr.Slider(
                0,
                STRONGEST,
                value=1,
                step=0.05,
                label="Strength of the preset",
                info="A preset lies over your sliders; press it again to take it off.",
                buttons=["reset"],
                min_width=150,
                elem_id="preset-strength",
                elem_classes=["amount"],
            )
            self.keep_own = gr.Checkbox(
                value=True,
                label="Keep my sliders",
                info="Otherwise a preset takes their place.",
                min_width=150,
                elem_id="preset-keep-own",
                container=False,
            )
        self.like.build()
        self.set_line = html(elem_id="expression-set")
        self.sliders: dict[str, gr.Slider] = {}
        for group, controls in sliders_by_group(GROUPED).items():
            html(f'<h3 class="group">{group}</h3>')
            with gr.Row(elem_classes=["control-grid"]):
                self.sliders |= {c.name: slider(c) for c in controls}
        self.units.build()
        with gr.Accordion(ALL_SINGLE, open=False, elem_id="expression-all") as self.single:
            self.own = html(elem_id="expression-own")
            for group, controls in sliders_by_group(SINGLE).items():
                html(f'<h3 class="group">{group.removeprefix("ARKit ").capitalize()}</h3>')
                with gr.Row(elem_classes=["control-grid"]):
                    self.sliders |= {c.name: slider(c) for c in controls}

        with gr.Accordion("Save as a preset", open=False, elem_id="expression-keep"), gr.Row(elem_classes=["inline"]):
            self.title_box = gr.Textbox(
                label="Name", info="The sliders as they stand now.", max_length=40, elem_id="preset-name"
            )
            self.keep = gr.Button("Save preset", size="sm", scale=0, min_width=110, elem_id="preset-save")

    # -- listeners ------------------------------------------------------------

    def wire(self, tabs: dict[str, Any], item: gr.Tab, page: gr.Blocks) -> None:
        """Attach the listeners."""
        sliders = list(self.sliders.values())
        lane: dict[str, Any] = {
            "concurrency_id": "draw",
            "concurrency_limit": 1,
            "trigger_mode": "always_last",
            "show_progress": "hidden",
        }
        self.chooser.wire(item, self.draft.lane)
        shown = [self.handle, self.steps]
        drawing: dict[str, Any] = {"concurrency_id": "presets", "concurrency_limit": 1, "show_progress": "hidden"}
        offered = [[self.offered, *shown], [self.offered, self.gallery]]
        # The pictures take a moment; what was picked meanwhile is marked after them.
        offering = listen(item.select, self._offer_presets, *offered, **drawing)
        listen(offering.then, self._preset_cards, shown, self.gallery, **drawing)
        drawn = [self.picture, self.hints, self.steps, self.undo, self.redo, self.set_line, self.single, self.held]
        units = list(self.units.sliders.values())
        placed = [*drawn, self.gallery, self.strength, self.neutralise, *sliders, *units]
        stage = [
            self.handle, self.before, self.fold, self.placeholder, self.actions, self.heads, self.own, self.units.own,
        ]  # fmt: skip
        opened = listen(
            partial(gr.on, [self.chooser.choice.change, self.waiting.change]), self._open,
            [self.chooser.choice, self.opened, self.waiting, self.handle, self.before, self.steps],
            [*stage, *placed, self.opened, self.waiting], trigger_mode="always_last",
            show_progress_on=[self.placeholder, self.picture],
        )  # fmt: skip
        offering = listen(opened.success, self._offer_presets, *offered, **drawing)
        listen(offering.then, self._preset_cards, shown, self.gallery, **drawing)
        now = [self.handle, self.before, self.steps]
        # A listener for each slider: it sends its own value alone, and of one slider only the last value counts.
        for name, one in self.sliders.items():
            beside = units if name in SINGLE_NAMES else []
            listen(one.release, self._mover(name), [*now, one], [*drawn, *beside], **lane)
        single = [self.sliders[name] for name in self.sliders if name in SINGLE_NAMES]
        for code, one in self.units.sliders.items():
            listen(one.release, self._unit_mover(code), [*now, one], [*drawn, *single, *units], **lane)
        listen(self.neutralise.input, self._neutralise, [*now, self.neutralise], drawn, **lane)
        worn = [*now, self.strength, self.keep_own]
        listen(self.gallery.click, self._pick_preset, worn, placed, **lane)
        listen(self.strength.release, self._strengthen, [*now, self.strength], placed, **lane)
        self.like.wire(self._copy, now, [*placed, self.like.message], lane)
        listen(self.undo.click, self._undo, now, placed, **lane)
        listen(self.redo.click, self._redo, now, placed, **lane)
        listen(self.reset.click, self._reset, now, placed, **lane)
        edit = [self.handle, self.steps]
        listen(self.keep.click, self._keep, [self.title_box, *edit], [self.gallery, self.title_box])
        listen(self.save.click, self._save, edit, None)
        files = [(self.download, self._download), *((b, self._head_writer(n)) for n, b in self.head_as.items())]
        for button, write in files:
            downloaded(button.click, write, [self.chooser.choice, *edit], self.file)
        target = tabs["animate"]
        handed = [*target.chooser.parts, target.expression, target.expression_note, self.window.tabs]
        listen(self.animate.click, self._hand_over(target), [self.chooser.choice, self.steps], handed)
        kept = {"choice": self.chooser.held, "look": self.held, **self._plain}
        restored = [*self.chooser.parts, self.waiting, *self._plain.values()]
        self.draft.wire(item, kept, self._restore, [self.chooser.choice], restored)

    @property
    def _plain(self) -> dict[str, Any]:
        """What of the form is a single value, by name."""
        return {"keep_own": self.keep_own}

    def _hand_over(self, target: Any) -> Any:
        def hand_over(choice: Choice | None, steps: Steps) -> Updates:
            if not choice:
                raise UserInputError("There is no portrait yet.", "Choose one first.")
            kept = {"values": steps.now.values, "neutralise": steps.now.neutralise}
            chosen: Updates = target.chooser.answer(choice)
            return chosen | {
                target.expression: kept,
                target.expression_note: target.expression_words(kept),
                self.window.tabs: gr.Tabs(selected=target.id),
            }

        return hand_over

    # -- handlers ---------------------------------------------------------------

    def _restore(self, kept: Kept, choice: Choice | None) -> Updates:
        """Return the updates of the form: of the portrait, and of the look that comes back with it, and the rest."""
        plain = fitting(self._plain, kept)
        found = None if choice else self.chooser.restored(kept.get("choice"))
        if found is None:
            return plain
        try:
            look = Look.from_saved(parsed(kept.get("look")))
        except UserInputError:
            look = Look()
        chosen: Updates = self.chooser.answer(found)
        return chosen | plain | {self.waiting: look.saved()}

    @property
    def reopened(self) -> list[Any]:
        """What `reopen` updates."""
        return [*self.chooser.parts, self.waiting, self.draft.box]

    def reopen(self, render: Render, files: Mapping[str, Path]) -> Updates:
        """Return the updates that open the portrait of a picture with its sliders as they stood.

        Raises:
            NotFoundError: the portrait is gone.
        """
        choice = self.chooser.choice_of(render, files)
        if choice is None:
            raise NotFoundError("The portrait it was made from is gone.", "The picture itself can still be downloaded.")
        request = render.recipe["request"]
        edit = ExpressionEdit.from_saved(request["values"], request["neutralise"])
        chosen: Updates = self.chooser.answer(choice)
        look = Look(own=edit.values, neutralise=edit.neutralise, like=self.like.reopened(request, files))
        return chosen | {self.waiting: look.saved(), self.draft.box: HANDED_OVER}

    def _open(
        self,
        choice: Choice | None,
        opened: Choice | None,
        waiting: dict[str, Any] | None,
        handle: PortraitHandle | None,
        before: str,
        steps: Steps,
    ) -> Updates:
        look = None if waiting is None else Look.from_saved(waiting)
        if choice and choice == opened:  # the page may report one change twice
            if look is None:
                return {}
            return self._placed(handle, before, steps.to(look)) | {self.waiting: None}
        steps = Steps().to(look or Look())
        fresh = {self.opened: choice, self.waiting: None, **self._step(steps), **self._positions(steps.now)}
        if not choice:
            return fresh | {
                self.handle: None,
                self.before: "",
                self.fold: gr.Accordion("Portrait", open=True),
                self.picture: gr.ImageSlider(visible=False, value=None),
                self.placeholder: gr.HTML(NOTHING_OPEN, visible=True),
                self.hints: "",
                self.actions: gr.Row(visible=False),
                self.heads: gr.Row(visible=False),
                self.own: "",
                self.units.own: "",
            }
        handle = self.service.open(source_of(choice), face_index=choice.get("face_index"))
        before = str(self.window.shelf.picture(self.service.original(handle)))
        fine = "Move a slider. Drag the handle at the left of the picture to compare with the photo."
        after, said = before, text.hints(handle.hints, fine)
        if steps.now != Look():
            after, said = self._picture(handle, steps.now)
        return fresh | {
            self.handle: handle,
            self.before: before,
            self.fold: gr.Accordion(f"Portrait: {choice['title']}", open=False),
            self.picture: gr.ImageSlider(value=(before, after), visible=True),
            self.placeholder: gr.HTML("", visible=False),
            self.hints: said,
            self.actions: gr.Row(visible=True),
            self.heads: gr.Row(visible=True),
            self.own: own_marks(handle.own_values),
            self.units.own: self.units.marks(self.window.studio.action_units.of_portrait(handle)),
        }

    def _mover(self, name: str) -> Any:
        """Return the handler of one slider: what was drawn last, with this value changed."""

        def move(handle: PortraitHandle | None, before: str, steps: Steps, value: float | None) -> Updates:
            # leaving a slider's number field reports a release too, though nothing moved
            if abs(steps.now.values.get(name, 0.0) - (value or 0.0)) <= 1e-6:
                return {}
            moved = steps.to(steps.now.moved(name, value))
            beside = self.units.positions(moved.now) if name in SINGLE_NAMES else {}
            return self._drawn(handle, before, moved) | beside

        return move

    def _unit_mover(self, code: str) -> Any:
        """Return the handler of one unit's slider: its weights move, and the other units that they show."""

        def move(handle: PortraitHandle | None, before: str, steps: Steps, value: float | None) -> Updates:
            stands = self.units.positions(steps.now)[self.units.sliders[code]]
            if abs(stands - (value or 0.0)) <= 1e-6:
                return {}
            moved = steps.to(self.units.moved(code, value, steps.now))
            places = {self.sliders[name]: moved.now.values.get(name, 0.0) for name in SINGLE_NAMES}
            return self._drawn(handle, before, moved) | places | self.units.positions(moved.now)

        return move

    def _neutralise(self, handle: PortraitHandle | None, before: str, steps: Steps, on: bool) -> Updates:
        return self._drawn(handle, before, steps.to(steps.now.neutralised(on)))

    def _drawn(self, handle: PortraitHandle | None, before: str, steps: Steps) -> Updates:
        """Return the updates of picture, hints, and of what says where in its steps the look stands."""
        updates = self._step(steps)
        if handle is None:
            return updates
        after, said = self._picture(handle, steps.now)
        return updates | {self.picture: (before, after), self.hints: said}

    def _picture(self, handle: PortraitHandle, look: Look) -> tuple[str, str]:
        """Draw a look; return where the picture lies and what is said of it."""
        drawn = self.service.render(handle, look.edit)
        said = text.hints((*handle.hints, *drawn.hints), "The picture is fine.")
        return str(self.window.shelf.picture(drawn.image)), said

    def _step(self, steps: Steps) -> Updates:
        return {
            self.steps: steps,
            self.held: json.dumps(steps.now.saved()),
            self.undo: gr.Button(interactive=len(steps.past) > 1),
            self.redo: gr.Button(interactive=bool(steps.ahead)),
            self.set_line: set_words(steps.now),
            self.single: gr.Accordion(label=fold_title(steps.now)),
        }

    def _placed(self, handle: PortraitHandle | None, before: str, steps: Steps) -> Updates:
        """Return the updates of everything after a step that moves more than one slider."""
        updates = self._drawn(handle, before, steps)
        return updates | self._positions(steps.now) | {self.gallery: self._preset_cards(handle, steps)}

    def _positions(self, look: Look) -> Updates:
        """Return the updates of all sliders; one whose picture could not be drawn comes back too."""
        places = {slider: look.values.get(name, 0.0) for name, slider in self.sliders.items()}
        strength = {self.strength: look.strength} if look.preset else {}
        return {**places, **self.units.positions(look), **strength, self.neutralise: look.neutralise}

    def _undo(self, handle: PortraitHandle | None, before: str, steps: Steps) -> Updates:
        return self._placed(handle, before, steps.back())

    def _redo(self, handle: PortraitHandle | None, before: str, steps: Steps) -> Updates:
        return self._placed(handle, before, steps.forth())

    def _reset(self, handle: PortraitHandle | None, before: str, steps: Steps) -> Updates:
        return self._placed(handle, before, steps.to(Look())) | {self.strength: 1}

    def _strengthen(self, handle: PortraitHandle | None, before: str, steps: Steps, strength: float) -> Updates:
        if not steps.now.preset or steps.now.strength == strength:
            return {}  # the strength of the next preset
        return self._placed(handle, before, steps.to(steps.now.at(strength)))

    def _pick_preset(
        self,
        handle: PortraitHandle | None,
        before: str,
        steps: Steps,
        strength: float,
        keep_own: bool,
        event: gr.EventData,
    ) -> Updates:
        act, name = clicked(event)
        if act == "forget":
            self.presets.delete(name)
            return {self.gallery: self._preset_cards(handle, steps)}
        if steps.now.preset == name:
            return self._placed(handle, before, steps.to(steps.now.bare()))
        look = steps.now.wearing(name, self.presets.get(name).edit, strength, keep_own=keep_own)
        return self._placed(handle, before, steps.to(look))

    def _copy(
        self, handle: PortraitHandle | None, before: str, steps: Steps, template: TemplateFace | None, *how: Any
    ) -> Updates:
        if template is None:
            return {}
        if handle is None:
            raise UserInputError("There is no portrait yet.", "Choose one, then drop the picture to copy from.")
        look, said = self.like.copied(handle, steps.now, template, how)
        return self._placed(handle, before, steps.to(look)) | {self.like.message: said}

    # -- presets ------------------------------------------------------------------

    def _preset_cards(self, handle: PortraitHandle | None, steps: Steps, pictures: int | None = None) -> str:
        """Return the presets on the opened face, else on the sample's; `pictures` of them with theirs, default all."""
        items = []
        for number, preset in enumerate(self.presets.list()):
            extras = () if preset.builtin else (("forget", "×", f"Delete the preset {preset.title}"),)
            drawn = pictures is None or number < pictures
            items.append(
                text.Card(
                    preset.name,
                    preset.title,
                    preset.help,
                    self._preset_picture(preset, handle) if drawn else "",
                    act="preset",
                    extras=extras,
                    icon="expression",
                    selected=preset.name == steps.now.preset,
                )
            )
        return text.cards(items, "presets", "Expression presets")

    def _preset_picture(self, preset: ExpressionPreset, handle: PortraitHandle | None) -> str:
        if handle is None:
            return self.window.picture_url(self.presets.thumbnail(preset.name))
        said = json.dumps([handle.key, dict(sorted(preset.edit.values.items())), preset.edit.neutralise])
        key = f"preset-{hashlib.sha256(said.encode()).hexdigest()[:24]}"
        try:
            path = self.window.shelf.kept(key, lambda: self.service.stamp(handle, preset.edit))
        except (NotFoundError, ConflictError):  # the photo was deleted or changed since it was opened
            return self._preset_picture(preset, None)
        return self.window.shelf.url(path)

    def _offer_presets(
        self, offered: str | None, handle: PortraitHandle | None, steps: Steps
    ) -> Iterator[tuple[str, str]]:
        """Show the presets by name at once, and with their pictures as those are drawn; `offered` has its own."""
        face = handle.key if handle else ""
        if offered != face:
            for count in range(0, len(self.presets.list()), DRAWN_AT_ONCE):
                yield face, self._preset_cards(handle, steps, count)
        yield face, self._preset_cards(handle, steps)

    def _keep(self, title: str, handle: PortraitHandle | None, steps: Steps) -> tuple[str, str]:
        kept = self.presets.save(title, steps.now.edit)
        say(f"“{kept.title}” is among the presets now.", 4)
        return self._preset_cards(handle, steps), ""

    def _save(self, handle: PortraitHandle | None, steps: Steps) -> None:
        if handle is None:
            raise UserInputError("There is no portrait yet.", "Choose one first.")
        self.service.save(handle, steps.now.edit, copied=self.like.origin(steps.now))
        say("The picture is in the Library, with its recipe.", 5)

    def _head_writer(self, name: str) -> Any:
        form = MODEL_FORMATS[name]

        def write(choice: Choice | None, handle: PortraitHandle | None, steps: Steps) -> gr.DownloadButton:
            if not choice or handle is None:
                raise UserInputError("There is no portrait yet.", "Choose one first.")
            out = self.window.shelf.place(f"{choice['title']} head{form.suffix}")
            self.window.studio.head_models.write(handle.source, out, face_index=handle.face_index, edit=steps.now.edit)
            return gr.DownloadButton(value=out)

        return write

    def _download(self, choice: Choice | None, handle: PortraitHandle | None, steps: Steps) -> gr.DownloadButton:
        if not choice or handle is None:
            raise UserInputError("There is no portrait yet.", "Choose one first.")
        out = self.window.shelf.place(f"{choice['title']} expression.png")
        self.service.write(handle, steps.now.edit, out, copied=self.like.origin(steps.now))
        return gr.DownloadButton(value=out)
