"""A person as one file: taken along from the page of a person, brought in from the form for new ones."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import gradio as gr

from studio.services.bundles import BroughtIn
from studio.ui.guard import say
from studio.ui.kit import text
from studio.ui.kit.controls import Updates, html, listen
from studio.ui.window import Window

SAYS = "Photos, consents, trainings, adapters, performances, pictures and clips, with how they were made."


def brought(found: BroughtIn) -> None:
    """Say what a bundle brought."""
    say(" ".join([found.sentence, *found.renamed]), 8)


class BundlePanel:
    """A fold on the person's page, and one in the form."""

    def __init__(self, window: Window) -> None:
        """Remember the window."""
        self.window = window

    def build_page(self) -> None:
        """Create the components on the person's page."""
        with gr.Accordion("Take along to another studio", open=False, elem_id="person-bundle") as self.fold:
            html(f'<p class="fine">{SAYS} One file that another studio can bring in.</p>')
            with gr.Row(elem_classes=["actions"]):
                self.write = gr.Button("Write the file", size="sm", elem_id="bundle-write")
                self.file = gr.DownloadButton("Download it", size="sm", visible=False, elem_id="bundle-file")

    def build_form(self) -> None:
        """Create the components in the form."""
        with gr.Accordion("Or bring in a person from another studio", open=False, elem_id="form-bundle"):
            html(
                '<p class="fine">A file that the other studio wrote under “Take along to another studio”, or a whole '
                "project. Nothing that is here is overwritten.</p>"
            )
            self.bundle = gr.UploadButton("Choose the file", file_types=[".zip"], size="sm", elem_id="bundle-choose")

    def wire(self, tab: Any) -> None:
        """Attach the listeners; `tab` knows who is selected."""
        self.tab = tab
        listen(self.fold.expand, lambda: gr.DownloadButton(visible=False), None, self.file, show_progress="hidden")
        listen(self.write.click, self._write, tab.selected, self.file)
        listen(self.bundle.upload, self._bring_in, self.bundle, [tab.selected, tab.known, *tab.view], **tab.in_turn)

    def _write(self, selected: str | None) -> Any:
        """Write the person onto the shelf, from where the file is fetched; the shelf forgets it within a day."""
        person = self.window.studio.identities.get(self.tab.shown(selected))
        name = f"{person.name}-{datetime.now(UTC):%Y-%m-%d}.zip"
        report = self.window.studio.bundles.export(self.window.shelf.place(name), people=[person.id])
        say(" ".join([f"{report.sentence} {text.size(report.bytes)}.", *report.stayed]), 8)
        return gr.DownloadButton(value=str(report.path), visible=True)

    def _bring_in(self, path: str) -> Updates:
        found = self.window.studio.bundles.bring_in(Path(path))
        brought(found)
        new = [p.id for p in self.tab.people.list() if p.name in found.people]
        shown = new[0] if new else None
        names = [f"{p.id} {p.name}" for p in self.tab.people.list()]
        return {self.tab.selected: shown, **self.tab.show(shown), self.tab.known: names}
