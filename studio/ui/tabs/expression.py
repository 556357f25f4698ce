"""Expression: a portrait, its sliders, and the picture they make.

Every slider is a row of domain/expression.py. A picture is drawn when a slider
is let go (or a key is): the page sends what moved, the rest is known from what
was drawn last. All drawing goes through one lane with "always last", so that a
fast hand is never answered with old pictures. What a value does to a face is
services/portraits/expressions.py's affair.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import gradio as gr

from studio.domain.expression import ARKIT_NAMES, CONTROL, CONTROLS, ExpressionEdit
from studio.errors import UserInputError
from studio.services.portraits.expressions import PortraitHandle
from studio.ui.kit import text
from studio.ui.kit.controls import Updates, clickable, clicked, html, listen, slider, sliders_by_group
from studio.ui.kit.portrait_chooser import Choice, PortraitChooser, source_of
from studio.ui.window import Window

Values = dict[str, float]
"""Slider positions by control name, without those at 0."""
History = list[Values]
"""What was drawn, the newest last; never empty."""
GROUPED = tuple(c for c in CONTROLS if c.name not in ARKIT_NAMES)
SINGLE = tuple(c for c in CONTROLS if c.name in ARKIT_NAMES)
UNDO_STEPS = 40
SHOWN_WEIGHT = 0.05
"""The photo's own weights below this are not worth a mark."""
NOTHING_OPEN = text.empty("Choose a portrait", "Pick a photo of one of your people, or drop a picture.", "expression")


def moved(values: Values, name: str, amount: float | None) -> Values:
    """Return the values with one slider elsewhere; those at 0 are left out."""
    others = {n: v for n, v in values.items() if n != name}
    return others if amount is None or abs(amount) <= 1e-6 else {**others, name: float(amount)}


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

    # -- layout ---------------------------------------------------------------

    def build(self) -> None:
        """Create the components."""
        self.handle = gr.State(None)
        self.before = gr.State("")
        self.opened = gr.State(None)
        self.history = gr.State([{}])
        self.offered = gr.State(False)
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
                self.file = gr.DownloadButton("File", visible="hidden", elem_id="expression-file")
            with gr.Column(scale=5, min_width=320, elem_classes=["sheet", "sliders"]):
                self._build_panel()

    def _build_panel(self) -> None:
        with gr.Row(elem_classes=["toolbar"]):
            self.undo = gr.Button("Undo", size="sm", elem_id="expression-undo", interactive=False)
            self.reset = gr.Button("Reset all", size="sm", elem_id="expression-reset")
            self.neutralise = gr.Checkbox(
                label="Neutralise first",
                info="Start from a neutral face instead of the photo's own expression.",
                elem_id="expression-neutralise",
                container=False,
            )
        self.gallery = clickable(elem_id="preset-list")
        self.sliders: dict[str, gr.Slider] = {}
        for group, controls in sliders_by_group(GROUPED).items():
            html(f'<h3 class="group">{group}</h3>')
            with gr.Row(elem_classes=["control-grid"]):
                self.sliders |= {c.name: slider(c) for c in controls}
        with gr.Accordion("All 52 ARKit weights", open=False, elem_id="expression-all"):
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
        self.chooser.wire()
        listen(item.select, self.chooser.strip, self.chooser.choice, self.chooser.people, show_progress="hidden")
        listen(item.select, self._offer_presets, self.offered, [self.gallery, self.offered], show_progress="hidden")
        drawn = [self.picture, self.hints, self.history, self.undo]
        stage = [self.handle, self.before, self.fold, self.placeholder, self.actions, self.own]
        listen(
            self.chooser.choice.change, self._open, [self.chooser.choice, self.opened],
            [*stage, *drawn, self.neutralise, self.opened, *sliders],
            show_progress_on=[self.placeholder, self.picture],
        )  # fmt: skip
        now = [self.handle, self.before, self.history, self.neutralise]
        # A listener for each slider: it sends its own value alone, and of one slider only the last value counts.
        for name, one in self.sliders.items():
            listen(one.release, self._mover(name), [*now, one], drawn, **lane)
        listen(self.neutralise.input, self._redraw, now, drawn, **lane)
        listen(self.gallery.click, self._apply_preset, now, [*drawn, self.gallery, *sliders], **lane)
        listen(self.undo.click, self._undo, now, [*drawn, *sliders], **lane)
        listen(self.reset.click, self._reset, now, [*drawn, *sliders], **lane)
        edit = [self.handle, self.neutralise, self.history]
        listen(self.keep.click, self._keep, [self.title_box, *edit[1:]], [self.gallery, self.title_box])
        listen(self.save.click, self._save, edit, None)
        listen(self.download.click, self._download, [self.chooser.choice, *edit], self.file).then(
            fn=None, js="() => { document.querySelector('#expression-file')?.click(); }", api_visibility="private"
        )
        target = tabs["animate"]
        handed = [*target.chooser.parts, target.expression, target.expression_note, self.window.tabs]
        listen(self.animate.click, self._hand_over(target), [self.chooser.choice, *edit[1:]], handed)

    def _hand_over(self, target: Any) -> Any:
        def hand_over(choice: Choice | None, neutralise: bool, history: History) -> Updates:
            if not choice:
                raise UserInputError("There is no portrait yet.", "Choose one first.")
            kept = {"values": history[-1], "neutralise": neutralise}
            chosen: Updates = target.chooser.answer(choice)
            return chosen | {
                target.expression: kept,
                target.expression_note: target.expression_words(kept),
                self.window.tabs: gr.Tabs(selected=target.id),
            }

        return hand_over

    # -- handlers ---------------------------------------------------------------

    def _open(self, choice: Choice | None, opened: Choice | None) -> Updates:
        if choice and choice == opened:  # the page may report one change twice
            return {}
        fresh = {self.history: [{}], self.undo: gr.Button(interactive=False), self.neutralise: False}
        fresh |= {self.opened: choice, **self._positions({})}
        if not choice:
            return fresh | {
                self.handle: None,
                self.before: "",
                self.fold: gr.Accordion("Portrait", open=True),
                self.picture: gr.ImageSlider(visible=False, value=None),
                self.placeholder: gr.HTML(NOTHING_OPEN, visible=True),
                self.hints: "",
                self.actions: gr.Row(visible=False),
                self.own: "",
            }
        handle = self.service.open(source_of(choice), face_index=choice.get("face_index"))
        before = str(self.window.shelf.picture(self.service.original(handle)))
        fine = "Move a slider. Drag the handle at the left of the picture to compare with the photo."
        return fresh | {
            self.handle: handle,
            self.before: before,
            self.fold: gr.Accordion(f"Portrait: {choice['title']}", open=False),
            self.picture: gr.ImageSlider(value=(before, before), visible=True),
            self.placeholder: gr.HTML("", visible=False),
            self.hints: text.hints(handle.hints, fine),
            self.actions: gr.Row(visible=True),
            self.own: own_marks(handle.own_values),
        }

    def _mover(self, name: str) -> Any:
        """Return the handler of one slider: what was drawn last, with this value changed."""

        def move(
            handle: PortraitHandle | None, before: str, history: History, neutralise: bool, value: float | None
        ) -> Updates:
            values = moved(history[-1], name, value)
            # leaving a slider's number field reports a release too, though nothing moved
            return {} if values == history[-1] else self._drawn(handle, before, history, neutralise, values)

        return move

    def _redraw(self, handle: PortraitHandle | None, before: str, history: History, neutralise: bool) -> Updates:
        return self._drawn(handle, before, history, neutralise, history[-1])

    def _drawn(
        self, handle: PortraitHandle | None, before: str, history: History, neutralise: bool, values: Values
    ) -> Updates:
        """Return the updates of picture, hints, history and the undo button."""
        if history[-1] != values:
            history = [*history[-UNDO_STEPS:], values]
        updates: Updates = {self.history: history, self.undo: gr.Button(interactive=len(history) > 1)}
        if handle is None:
            return updates
        drawn = self.service.render(handle, ExpressionEdit(values, neutralise))
        after = str(self.window.shelf.picture(drawn.image))
        said = text.hints((*handle.hints, *drawn.hints), "The picture is fine.")
        return updates | {self.picture: (before, after), self.hints: said}

    def _positions(self, values: Values) -> Updates:
        """Return the updates of all sliders; one whose picture could not be drawn comes back too."""
        return {slider: values.get(name, 0.0) for name, slider in self.sliders.items()}

    def _undo(self, handle: PortraitHandle | None, before: str, history: History, neutralise: bool) -> Updates:
        earlier = history[:-1] or [{}]
        return self._drawn(handle, before, earlier, neutralise, earlier[-1]) | self._positions(earlier[-1])

    def _reset(self, handle: PortraitHandle | None, before: str, history: History, neutralise: bool) -> Updates:
        return self._drawn(handle, before, history, neutralise, {}) | self._positions({})

    def _apply_preset(
        self, handle: PortraitHandle | None, before: str, history: History, neutralise: bool, event: gr.EventData
    ) -> Updates:
        act, name = clicked(event)
        if act == "forget":
            self.presets.delete(name)
            return {self.gallery: self._preset_cards()}
        values = {n: float(v) for n, v in self.presets.get(name).edit.values.items()}
        return self._drawn(handle, before, history, neutralise, values) | self._positions(values)

    def _preset_cards(self, *, pictures: bool = True) -> str:
        items = []
        for preset in self.presets.list():
            extras = () if preset.builtin else (("forget", "×", f"Delete the preset {preset.title}"),)
            picture = self.window.picture_url(self.presets.thumbnail(preset.name)) if pictures else ""
            items.append(
                text.Card(
                    preset.name, preset.title, preset.help, picture, act="preset", extras=extras, icon="expression"
                )
            )
        return text.cards(items, "presets", "Expression presets")

    def _offer_presets(self, offered: bool) -> Iterator[tuple[str, bool]]:
        """Show the presets by name at once, and with their pictures when those are drawn."""
        if not offered:
            yield self._preset_cards(pictures=False), True
        yield self._preset_cards(), True

    def _keep(self, title: str, neutralise: bool, history: History) -> tuple[str, str]:
        kept = self.presets.save(title, ExpressionEdit(history[-1], neutralise))
        gr.Info(f"“{kept.title}” is among the presets now.", title="Saved", duration=4)
        return self._preset_cards(), ""

    def _save(self, handle: PortraitHandle | None, neutralise: bool, history: History) -> None:
        if handle is None:
            raise UserInputError("There is no portrait yet.", "Choose one first.")
        self.service.save(handle, ExpressionEdit(history[-1], neutralise))
        gr.Info("The picture is in the Library, with its recipe.", title="Saved", duration=5)

    def _download(
        self, choice: Choice | None, handle: PortraitHandle | None, neutralise: bool, history: History
    ) -> gr.DownloadButton:
        if not choice or handle is None:
            raise UserInputError("There is no portrait yet.", "Choose one first.")
        out = self.window.shelf.place(f"{choice['title']} expression.png")
        self.service.write(handle, ExpressionEdit(history[-1], neutralise), out)
        return gr.DownloadButton(value=out)
