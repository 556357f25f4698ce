"""What the rig drew of a person's photos for training: drawn here, looked at, thrown out one by one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import gradio as gr

from studio.domain.variants import MOST_PER_PHOTO, Variant
from studio.errors import NotFoundError
from studio.services.people.variants import USUAL_PER_PHOTO
from studio.ui.guard import say
from studio.ui.kit import text
from studio.ui.kit.controls import Updates, clickable, clicked, html, listen
from studio.ui.window import Window

SHOWN = 120
"""Tiles at once; of more, as many of each photo as fit."""


class VariantsPanel:
    """The fold on a person's page."""

    def __init__(self, window: Window) -> None:
        """Remember the window."""
        self.window = window
        self.variants = window.studio.variants

    def build(self) -> None:
        """Create the components, inside the person's page."""
        with gr.Accordion("Variants for training", open=False, elem_id="person-variants") as self.fold:
            self.drawing = gr.State("")  # the job that draws now
            self.state = html(elem_id="variants-state")
            self.cards = clickable(elem_id="variants-cards")
            with gr.Row(elem_classes=["inline"]):
                self.per_photo = gr.Slider(
                    1, MOST_PER_PHOTO, USUAL_PER_PHOTO, step=1, label="Variants of each photo",
                    elem_id="variants-number",
                    info="Another expression, gaze, turn, crop or light, each with a caption that is true.",
                )  # fmt: skip
                self.draw = gr.Button("Draw variants", scale=0, min_width=170, elem_id="variants-draw")
                self.clear = gr.Button("Delete all", scale=0, min_width=110, visible=False, elem_id="variants-clear")
        self.parts = [self.state, self.cards, self.clear]

    def wire(self, tab: Any) -> None:
        """Attach the listeners; `tab` knows who is selected."""
        self.tab = tab
        listen(self.fold.expand, self.show, tab.selected, self.parts)
        listen(self.draw.click, self._draw, [tab.selected, self.per_photo], [self.drawing, self.state])
        listen(self.cards.click, self._toggle, tab.selected, self.parts, show_progress="hidden")
        listen(self.clear.click, self._clear, tab.selected, self.parts)

    def show(self, selected: str | None) -> Updates:
        """Return the updates of `self.parts`."""
        found = self.variants.list(self.tab.shown(selected))
        kept = sum(v.kept for v in found)
        if not found:
            said = text.empty(
                "No variants yet",
                "The rig draws them from the photos, so that training sees each face in more than one way.",
                "photo",
            )
        else:
            more = f" {SHOWN} are shown." if len(found) > SHOWN else ""
            said = text.notice(
                f"{kept} of {len(found)} variants may be used.", f"Click one to throw it out.{more}", "good"
            )
        return {
            self.state: said,
            self.cards: self._cards(found),
            self.clear: gr.Button(visible=bool(found)),
        }

    def news(self, selected: str | None, drawing: str) -> Updates:
        """Return how far the drawing is, and what was drawn when it ended; empty while nothing is drawn."""
        if not drawing:
            return {}
        try:
            job = self.window.studio.jobs.get(drawing)
        except NotFoundError:  # cleared away, or the person was deleted
            return {self.drawing: ""}
        if job.identity_id != self.tab.shown(selected):
            return {} if job.is_active else {self.drawing: ""}
        if job.is_active:
            return {self.state: text.notice(job.message or "Waits for its turn.", f"{round(100 * job.fraction)} %")}
        updates: Updates = {self.drawing: "", **self.show(selected)}
        said = [str(s) for s in job.outputs.get("skipped", ())]
        if job.failure is not None:
            updates[self.state] = text.notice(*job.failure.in_window, "bad")
        elif said:
            updates[self.state] += text.hints(said)
        return updates

    def _cards(self, found: Sequence[Variant]) -> str:
        shown = found[:: -(-len(found) // SHOWN)] if found else ()
        items = [
            text.Card(
                v.id, v.traits.get("expression", "plain"),
                "as asked" if v.recipe.mood != "own" else "as in the photo",
                self.window.picture_url(self.variants.path(v.id)), act="toggle", selected=v.kept,
                mark="" if v.kept else "out",
            )
            for v in shown
        ]  # fmt: skip
        return text.cards(items, "set", "Variants for training") if items else ""

    # -- handlers ---------------------------------------------------------------

    def _draw(self, selected: str | None, per_photo: float) -> Updates:
        job = self.variants.submit_multiply(self.tab.shown(selected), int(per_photo))
        say("The variants are being drawn; they appear here.", 6)
        return {self.drawing: job.id, self.state: text.notice("Waits for its turn.")}

    def _toggle(self, selected: str | None, event: gr.EventData) -> Updates:
        person = self.tab.shown(selected)
        _, id = clicked(event)
        kept = {v.id: v.kept for v in self.variants.list(person)}
        self.variants.set_kept(person, [id], not kept.get(id, False))
        return self.show(selected)

    def _clear(self, selected: str | None) -> Updates:
        self.variants.clear(self.tab.shown(selected))
        return self.show(selected)
