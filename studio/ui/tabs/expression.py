"""Expression: a portrait, its sliders, and the picture they make.

Every slider is a row of domain/expression.py. A picture is drawn when a slider
is let go (or a key is), in one lane with "always last", so that a fast hand is
never answered with old pictures. Undo, presets and reset set all sliders at
once. What a value does to a face is services/expressions.py's affair.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import gradio as gr

from studio.domain.expression import ARKIT_NAMES, CONTROL, CONTROLS, ExpressionEdit
from studio.errors import UserInputError
from studio.services.portraits.expressions import PortraitHandle
from studio.ui.guard import guarded
from studio.ui.kit import text
from studio.ui.kit.controls import clickable, clicked, html, listen, slider, sliders_by_group
from studio.ui.kit.portrait_chooser import Choice, PortraitChooser, source_of
from studio.ui.window import Window

Values = dict[str, float]
NAMES: tuple[str, ...] = tuple(c.name for c in CONTROLS)
GROUPED = tuple(c for c in CONTROLS if c.name not in ARKIT_NAMES)
SINGLE = tuple(c for c in CONTROLS if c.name in ARKIT_NAMES)
UNDO_STEPS = 40
SHOWN_WEIGHT = 0.05
"""The photo's own weights below this are not worth a mark."""
NOTHING_OPEN = text.empty("Choose a portrait", "Pick a photo of one of your people, or drop a picture.", "expression")


def values_of(amounts: Sequence[float | None]) -> Values:
    """Return slider positions as control name -> value, without those at 0."""
    return {n: float(v) for n, v in zip(NAMES, amounts, strict=True) if v is not None and abs(v) > 1e-6}


def amounts_of(values: Mapping[str, float]) -> list[float]:
    """Return control values as positions of all sliders."""
    return [values.get(n, 0.0) for n in NAMES]


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
        sliders = [self.sliders[n] for n in NAMES]
        lane: dict[str, Any] = {
            "concurrency_id": "draw",
            "concurrency_limit": 1,
            "trigger_mode": "always_last",
            "show_progress": "hidden",
        }
        self.chooser.wire()
        listen(item.select, self.chooser.strip, self.chooser.choice, self.chooser.people, show_progress="hidden")
        listen(item.select, self._offer_presets, self.offered, [self.gallery, self.offered], show_progress="hidden")
        stage = [
            self.handle,
            self.before,
            self.history,
            self.fold,
            self.picture,
            self.placeholder,
            self.hints,
            self.actions,
            self.own,
        ]
        opening = [*stage, self.undo, self.neutralise, self.opened, *sliders]
        listen(
            self.chooser.choice.change, self._open, [self.chooser.choice, self.opened], opening,
            show_progress_on=[self.placeholder, self.picture],
        )  # fmt: skip
        drawn = [self.picture, self.hints, self.history, self.undo]
        inputs = [self.handle, self.before, self.history, self.neutralise]
        gr.on(
            [s.release for s in sliders] + [self.neutralise.input],
            fn=guarded(self._draw),
            api_visibility="private",
            inputs=[*inputs, *sliders],
            outputs=drawn,
            **lane,
        )
        listen(self.gallery.click, self._apply_preset, inputs, [*drawn, self.gallery, *sliders], **lane)
        listen(self.undo.click, self._undo, inputs, [*drawn, *sliders], **lane)
        listen(self.reset.click, self._reset, inputs, [*drawn, *sliders], **lane)
        edit = [self.handle, self.neutralise, *sliders]
        listen(self.keep.click, self._keep, [self.title_box, *edit], [self.gallery, self.title_box])
        listen(self.save.click, self._save, edit, None)
        listen(self.download.click, self._download, [self.chooser.choice, *edit], self.file).then(
            fn=None, js="() => { document.querySelector('#expression-file')?.click(); }", api_visibility="private"
        )
        target = tabs["animate"]
        handed = [
            target.chooser.choice,
            target.chooser.people,
            target.chooser.faces,
            target.chooser.message,
            target.expression,
            target.expression_note,
            self.window.tabs,
        ]
        listen(self.animate.click, self._hand_over(target), [self.chooser.choice, *edit[1:]], handed)

    def _hand_over(self, target: Any) -> Any:
        def hand_over(choice: Choice | None, neutralise: bool, *amounts: float) -> tuple[Any, ...]:
            if not choice:
                raise UserInputError("There is no portrait yet.", "Choose one first.")
            values = values_of(amounts)
            kept = {"values": values, "neutralise": neutralise}
            return (*target.chooser.answer(choice), kept, target.expression_words(kept), gr.Tabs(selected=target.id))

        return hand_over

    # -- handlers ---------------------------------------------------------------

    def _open(self, choice: Choice | None, opened: Choice | None) -> tuple[Any, ...]:
        zeros = [0.0] * len(NAMES)
        if choice and choice == opened:  # the page may report one change twice
            return (*(gr.skip() for _ in range(12)), *(gr.skip() for _ in NAMES))
        if not choice:
            hidden = gr.ImageSlider(visible=False, value=None)
            closed = (hidden, gr.HTML(NOTHING_OPEN, visible=True), "", gr.Row(visible=False), "")
            return (
                None,
                "",
                [{}],
                gr.Accordion("Portrait", open=True),
                *closed,
                gr.Button(interactive=False),
                False,
                None,
                *zeros,
            )
        handle = self.service.open(source_of(choice), face_index=choice.get("face_index"))
        before = str(self.window.shelf.picture(self.service.original(handle)))
        fine = "Move a slider. Drag the handle at the left of the picture to compare with the photo."
        said = text.hints(handle.hints, fine)
        if handle.likely != "person":
            said = text.notice(f"This looks like {_a(handle.likely)}; the result may be rough.") + said
        return (
            handle,
            before,
            [{}],
            gr.Accordion(f"Portrait: {choice['title']}", open=False),
            gr.ImageSlider(value=(before, before), visible=True),
            gr.HTML("", visible=False),
            said,
            gr.Row(visible=True),
            own_marks(handle.own_values),
            gr.Button(interactive=False),
            False,
            choice,
            *zeros,
        )

    def _draw(
        self, handle: PortraitHandle | None, before: str, history: list[Values], neutralise: bool, *amounts: float
    ) -> tuple[Any, ...]:
        return self._drawn(handle, before, history, neutralise, values_of(amounts))

    def _drawn(
        self, handle: PortraitHandle | None, before: str, history: list[Values], neutralise: bool, values: Values
    ) -> tuple[Any, ...]:
        """Return the updates of picture, hints, history and the undo button."""
        if history[-1] != values:
            history = [*history[-UNDO_STEPS:], values]
        undo = gr.Button(interactive=len(history) > 1)
        if handle is None:
            return gr.skip(), gr.skip(), history, undo
        image, said = self.service.render(handle, ExpressionEdit(values, neutralise))
        after = str(self.window.shelf.picture(image))
        return (before, after), text.hints((*handle.hints, *said), "The picture is fine."), history, undo

    def _undo(
        self, handle: PortraitHandle | None, before: str, history: list[Values], neutralise: bool
    ) -> tuple[Any, ...]:
        history = history[:-1] or [{}]
        return (*self._drawn(handle, before, history, neutralise, history[-1]), *amounts_of(history[-1]))

    def _reset(
        self, handle: PortraitHandle | None, before: str, history: list[Values], neutralise: bool
    ) -> tuple[Any, ...]:
        return (*self._drawn(handle, before, history, neutralise, {}), *amounts_of({}))

    def _apply_preset(
        self,
        handle: PortraitHandle | None,
        before: str,
        history: list[Values],
        neutralise: bool,
        event: gr.EventData,
    ) -> tuple[Any, ...]:
        act, name = clicked(event)
        if act == "forget":
            self.presets.delete(name)
            return (*(gr.skip() for _ in range(4)), self._preset_cards(), *(gr.skip() for _ in NAMES))
        values = {n: float(v) for n, v in self.presets.get(name).edit.values.items()}
        return (*self._drawn(handle, before, history, neutralise, values), gr.skip(), *amounts_of(values))

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

    def _keep(self, title: str, handle: PortraitHandle | None, neutralise: bool, *amounts: float) -> tuple[Any, ...]:
        if not title.strip():
            raise UserInputError("The preset has no name yet.", "Write a name first.")
        values = values_of(amounts)
        if not values:
            raise UserInputError("All sliders are at 0.", "Move one before saving a preset.")
        self.presets.save(title.strip(), ExpressionEdit(values, neutralise))
        gr.Info(f"“{title.strip()}” is among the presets now.", title="Saved", duration=4)
        return self._preset_cards(), ""

    def _save(self, handle: PortraitHandle | None, neutralise: bool, *amounts: float) -> None:
        if handle is None:
            raise UserInputError("There is no portrait yet.", "Choose one first.")
        self.service.save(handle, ExpressionEdit(values_of(amounts), neutralise))
        gr.Info("The picture is in the Library, with its recipe.", title="Saved", duration=5)

    def _download(self, choice: Choice | None, handle: PortraitHandle | None, neutralise: bool, *amounts: float) -> Any:
        if not choice or handle is None:
            raise UserInputError("There is no portrait yet.", "Choose one first.")
        out = self.window.shelf.place(f"{choice['title']} expression.png")
        edit = ExpressionEdit(values_of(amounts), neutralise)
        self.service.edit_file(handle.source, edit, out, face_index=handle.face_index)
        return gr.DownloadButton(value=out)


def _a(noun: str) -> str:
    return f"an {noun}" if noun[0] in "aeiou" else f"a {noun}"
