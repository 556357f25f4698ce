"""Settings: where the data lies, what is installed under which licence, and colors.

What can only be changed at the start (port, data folder, password) is shown
with the name of its variable rather than offered as a switch that would do
nothing.
"""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import gradio as gr

from studio.ui.guard import say
from studio.ui.kit import text
from studio.ui.kit.controls import html, listen
from studio.ui.people.bundles import brought
from studio.ui.window import Window

SCHEMES = [("As the system", "system"), ("Light", "light"), ("Dark", "dark")]
CHOOSE = "(scheme) => { window.studioChooseScheme(scheme); }"
CHOSEN = "() => window.studioChosenScheme()"


class SettingsTab:
    """The tab."""

    id = "settings"
    title = "Settings"

    def __init__(self, window: Window) -> None:
        """Remember the window."""
        self.window = window

    def build(self) -> None:
        """Create the components."""
        with gr.Row(elem_classes=["split"]):
            with gr.Column(scale=1, min_width=320, elem_classes=["sheet"]):
                html(text.heading("Appearance"))
                self.scheme = gr.Radio(
                    SCHEMES,
                    value=self.window.scheme,
                    label="Colors",
                    info="Kept in this browser.",
                    elem_id="settings-scheme",
                )
                html(text.heading("Storage", "Everything stays in one folder on this computer."))
                self.storage = html(elem_id="settings-storage")
                with gr.Row(elem_classes=["actions"]):
                    self.sweep = gr.Button("Empty the page's cache", size="sm", elem_id="settings-sweep")
                    self.backup = gr.Button("Make a backup", size="sm", elem_id="settings-backup")
                    self.backup_file = gr.DownloadButton(
                        "Download it", size="sm", visible=False, elem_id="settings-backup-file"
                    )
                with gr.Row(elem_classes=["actions"]):
                    self.export = gr.Button("Export everything", size="sm", elem_id="settings-export")
                    self.export_file = gr.DownloadButton(
                        "Download it", size="sm", visible=False, elem_id="settings-export-file"
                    )
                    self.bundle = gr.UploadButton(
                        "Bring in an export", file_types=[".zip"], size="sm", elem_id="settings-bundle"
                    )
                html(
                    '<p class="fine">An export is people with all that was made of them, for another studio: no keys, '
                    "no models. What comes in is merged; nothing is overwritten.</p>"
                )
                html(
                    '<p class="fine">A backup holds everything but base models, with the keys that sign what leaves: '
                    "keep it safe. It is brought back into a new data folder.</p>"
                )
            with gr.Column(scale=1, min_width=320, elem_classes=["sheet"]):
                html(text.heading("Health", "Engines with their licences, libraries, model files and the disk."))
                self.health = html(elem_id="settings-health")
                self.check = gr.Button("Check again", size="sm", elem_id="settings-check")

    def wire(self, tabs: dict[str, Any], item: gr.Tab, page: gr.Blocks) -> None:
        """Attach the listeners."""
        listen(self.scheme.input, None, self.scheme, None, js=CHOOSE)
        listen(item.select, None, None, self.scheme, js=CHOSEN)
        shown = [self.storage, self.health]
        listen(item.select, self._show, None, shown, show_progress="hidden")
        listen(self.check.click, self._show, None, shown)
        listen(self.sweep.click, self._sweep, None, self.storage)
        listen(self.backup.click, self._back_up, None, [self.storage, self.backup_file])
        listen(self.export.click, self._export, None, self.export_file)
        listen(self.bundle.upload, self._bring_in, self.bundle, self.storage)

    def _back_up(self) -> tuple[str, Any]:
        """Write a backup onto the shelf, from where it is fetched; the shelf forgets it within a day."""
        name = f"likeness-studio-{datetime.now(UTC):%Y-%m-%d}.zip"
        report = self.window.upkeep.back_up(self.window.shelf.place(name))
        files = "1 file" if report.files == 1 else f"{report.files} files"
        say(f"The backup holds {files}, {text.size(report.bytes)}. Download it now.", 6)
        return self._storage(), gr.DownloadButton(value=str(report.path), visible=True)

    def _export(self) -> Any:
        """Write everything onto the shelf, from where it is fetched; the shelf forgets it within a day."""
        path = self.window.shelf.place(f"likeness-studio-export-{datetime.now(UTC):%Y-%m-%d}.zip")
        report = self.window.studio.bundles.export(path)
        say(" ".join([f"{report.sentence} {text.size(report.bytes)}.", *report.stayed]), 8)
        return gr.DownloadButton(value=str(report.path), visible=True)

    def _bring_in(self, path: str) -> str:
        brought(self.window.studio.bundles.bring_in(Path(path)))
        return self._storage()

    def _show(self) -> tuple[str, str]:
        rows = self.window.upkeep.doctor()
        return self._storage(), text.findings(rows) or '<p class="fine">No checks are available.</p>'

    def _storage(self) -> str:
        folder = self.window.data_dir
        uses = self.window.upkeep.storage()
        rows = {
            "Likeness Studio": self.window.version,
            "Data folder": str(folder),
            "Largest upload": f"{self.window.max_upload_mb} MB",
            "In use": text.size(sum(u.bytes for u in uses)),
            **{u.title: text.size(u.bytes) for u in uses},
        }
        return text.facts(rows) + '<p class="fine">Set STUDIO_DATA_DIR to keep the data elsewhere.</p>'

    def _sweep(self) -> Any:
        freed = self.window.shelf.sweep(60.0)
        say(f"The page's cache was emptied: {text.size(freed)} were set free.", 4)
        return self._storage()
