"""The adapter library: what was learned, imported or merged, and what can be done with each.

Every export is read back at once and drawn once before and after; the report
is shown, so that nobody carries away a file that does nothing. Rules live in
services/adapters.
"""

from __future__ import annotations

from html import escape
from pathlib import Path
from typing import Any

import gradio as gr

from studio.domain.adapter import WRITTEN_FORMATS, Adapter, AdapterFormat
from studio.errors import NotFoundError, UserInputError
from studio.ui.guard import say
from studio.ui.kit import text
from studio.ui.kit.controls import Updates, clickable, clicked, html, listen
from studio.ui.shelf import file_name
from studio.ui.training.adapter_cards import (
    LEAK_WAITS,
    export_card,
    leak_card,
    leak_progress,
    lineage_list,
    measures_line,
    strengths_of,
)
from studio.ui.window import Window

FORMATS = [(format.title, format.name) for format in WRITTEN_FORMATS.values()]
NONE = text.empty("No adapters yet", "Keep a checkpoint of a run above, or import a file.", "adapter")
NOBODY = ""
ORIGINS = {"trained": "trained here", "imported": "imported", "merged": "merged"}


OLDER = (
    "Trained on an earlier build of the studio's own base.",
    "It fits none any more; train the person again, photos and plan are still there.",
)


class AdapterLibrary:
    """The components of the library."""

    def __init__(self, window: Window) -> None:
        """Remember the window."""
        self.window = window
        self.service = window.studio.adapters
        self.exchange = window.studio.adapter_exchange

    # -- layout ---------------------------------------------------------------

    def build(self) -> None:
        """Create the components, below the run."""
        self.selected = gr.State(None)
        with gr.Column(elem_classes=["library-part"], elem_id="adapters"):
            html(text.heading("Adapters", "What was kept of runs, imported or merged; small files that a base wears."))
            with gr.Row(elem_classes=["split"]):
                with gr.Column(scale=7, min_width=320):
                    self.list = clickable(NONE, elem_id="adapter-list")
                    with gr.Accordion("Import a file", open=False, elem_id="adapter-import") as self.import_fold:
                        self._build_import()
                    with gr.Accordion("Merge adapters", open=False, elem_id="adapter-merge") as self.merge_fold:
                        self._build_merge()
                with gr.Column(
                    scale=5, min_width=320, elem_classes=["sheet"], visible=False, elem_id="adapter-detail"
                ) as self.panel:
                    self._build_detail()

    def _build_detail(self) -> None:
        self.about = html(elem_id="adapter-about")
        with gr.Row(elem_classes=["actions"]):
            self.use = gr.Button("Use in Generate", variant="primary", size="sm", elem_id="adapter-use")
            self.leak = gr.Button("Leak test", size="sm", elem_id="adapter-leak")
            self.close = gr.Button("Close", size="sm", elem_id="adapter-close")
        self.leak_note = html(elem_id="adapter-leak-note")
        with gr.Accordion("Export", open=False, elem_id="adapter-export") as self.export_fold:
            self.format = gr.Radio(
                FORMATS, value=FORMATS[0][1], label="Layout", info="Who will read the file.", elem_id="adapter-format"
            )
            self.export = gr.Button("Write and check the file", size="sm", elem_id="adapter-write")
            self.report = html(elem_id="adapter-report")
            self.file = gr.DownloadButton("Download", size="sm", visible=False, elem_id="adapter-download")
        with gr.Accordion("Name and notes", open=False, elem_id="adapter-name-fold"):
            self.name = gr.Textbox(
                label="Name", info="How you will find it.", max_length=80, max_lines=1, elem_id="adapter-name"
            )
            self.notes = gr.Textbox(label="Notes", info="For yourself.", lines=2, max_lines=6, elem_id="adapter-notes")
            self.save = gr.Button("Save", size="sm", elem_id="adapter-save")
        with gr.Accordion("Where it comes from", open=False, elem_id="adapter-lineage"):
            self.lineage = html()
        with gr.Accordion("Delete", open=False, elem_id="adapter-danger") as self.danger:
            self.plan = html()
            self.delete = gr.Button("Delete this adapter", variant="stop", size="sm", elem_id="adapter-delete")

    def _build_import(self) -> None:
        self.file_in = gr.File(
            label="Drop a .safetensors file",
            file_types=[".safetensors"],
            height=72,
            elem_classes=["drop"],
            elem_id="adapter-file",
        )
        with gr.Row():
            self.import_name = gr.Textbox(
                label="Name", info="Empty takes the file's.", max_length=80, max_lines=1, min_width=130
            )
            self.import_base = gr.Dropdown(
                [], label="Base model", info="It was made for.", filterable=False, min_width=130
            )
            self.import_person = gr.Dropdown(
                [("Nobody here", NOBODY)], value=NOBODY, label="Person", info="Shown by it.", filterable=False,
                min_width=130,
            )  # fmt: skip
        self.import_now = gr.Button("Import", size="sm", elem_id="adapter-import-now")
        self.imported = html(elem_id="adapter-imported")

    def _build_merge(self) -> None:
        self.merged = gr.Dropdown(
            [], multiselect=True, label="Adapters", info="Two or more of one base.", elem_id="adapter-merge-choice"
        )
        with gr.Row(elem_classes=["inline"]):
            self.merge_strengths = gr.Textbox(
                label="Strengths", info="In the same order; empty is 1 each.", max_lines=1, min_width=130
            )
            self.merge_name = gr.Textbox(
                label="Name", info="Of the new one.", max_lines=1, min_width=130, elem_id="adapter-merge-name"
            )
            self.merge = gr.Button("Merge", size="sm", scale=0, min_width=90, elem_id="adapter-merge-now")
        self.merge_report = html()

    # -- listeners ------------------------------------------------------------

    @property
    def detail(self) -> list[Any]:
        """Everything that `show` updates."""
        return [
            self.panel, self.about, self.leak_note, self.export_fold, self.report, self.file, self.name, self.notes,
            self.lineage,
        ]  # fmt: skip

    def wire(self, tabs: dict[str, Any]) -> None:
        """Attach the listeners."""
        quiet: dict[str, Any] = {"show_progress": "hidden"}
        generate = tabs["generate"]
        every = self.parts
        listen(self.list.click, self._open, None, every, **quiet)
        listen(self.close.click, self._closed, None, every, **quiet)
        handed = [*generate.handed, self.window.tabs]
        listen(self.use.click, self._use(generate), self.selected, handed, **quiet)
        listen(self.export.click, self._export, [self.selected, self.format], [self.report, self.file])
        listen(self.save.click, self._save, [self.selected, self.name, self.notes], every, **quiet)
        listen(self.danger.expand, self._plan, self.selected, self.plan, **quiet)
        listen(self.delete.click, self._delete, self.selected, every)
        listen(self.leak.click, self._test_leak, self.selected, self.leak_note, **quiet)
        listen(self.import_fold.expand, self._import_choices, None, [self.import_base, self.import_person], **quiet)
        asked = [self.file_in, self.import_name, self.import_base, self.import_person]
        listen(self.import_now.click, self._import, asked, [self.imported, self.file_in, *every])
        listen(self.merge_fold.expand, self._merge_choices, None, self.merged, **quiet)
        merging = [self.merged, self.merge_strengths, self.merge_name]
        listen(self.merge.click, self._merge, merging, [self.merge_report, *every])
        self.tick = (self._tick, [self.selected, self.leak_note], [self.leak_note])

    # -- what is shown ----------------------------------------------------------

    def listed(self, selected: str | None) -> str:
        """Return all adapters as cards."""
        found = self.service.list()
        if not found:
            return NONE
        people = {p.id: p.name for p in self.window.studio.identities.list()}
        items = []
        for adapter in found:
            who = people.get(adapter.identity_id or "", ORIGINS[adapter.origin])
            line = " · ".join(w for w in (who, adapter.base_name, measures_line(adapter)) if w)
            items.append(
                text.Card(
                    adapter.id, adapter.name, line, self._picture(adapter), act="adapter", icon="adapter",
                    selected=adapter.id == selected,
                )
            )  # fmt: skip
        return text.cards(items, "grid", "Adapters")

    def _picture(self, adapter: Adapter) -> str:
        path = self.service.thumbnail(adapter)
        return self.window.picture_url(path) if path else ""

    def show(self, adapter_id: str, *, export: bool = False) -> Updates:
        """Return the updates of `detail` for one adapter."""
        adapter = self.service.get(adapter_id)
        return {
            self.panel: gr.Column(visible=True),
            self.about: self._about(adapter),
            self.leak_note: self._leak_words(adapter),
            self.export_fold: gr.Accordion(open=export),
            self.report: "",
            self.file: gr.DownloadButton(visible=False, value=None),
            self.name: adapter.name,
            self.notes: adapter.notes,
            self.lineage: lineage_list(self.service.lineage(adapter_id)),
        }

    def _about(self, adapter: Adapter) -> str:
        people = {p.id: p.name for p in self.window.studio.identities.list()}
        scale = adapter.measures.get("spread")
        likeness = adapter.measures.get("likeness")
        alike = text.likeness(float(likeness), float(scale) if scale is not None else None) if likeness else ""
        drift, tested = adapter.measures.get("drift"), adapter.measures.get("leak")
        rows = {
            "Person": people.get(adapter.identity_id or "", ""),
            "Answers to": f"“{adapter.trigger}”" if adapter.trigger else "",
            "Base": adapter.base_name or adapter.family,
            "Kind": f"{'DreamBooth' if adapter.method == 'dreambooth' else 'LoRA'}"
            + (f", rank {adapter.rank}" if adapter.rank else ""),
            "Measured": alike,
            # The leak test below measures the same thing better, by strength.
            "Drift": f"{100 * float(drift):.1f} % of other people" if drift is not None and not tested else "",
            "Origin": f"{ORIGINS[adapter.origin]}, {text.when(adapter.created)}",
            "Notes": adapter.notes,
        }
        picture = self._picture(adapter)
        image = f'<img class="portrait" src="{escape(picture)}" alt="">' if picture else ""
        older = text.notice(*OLDER, "warn") if self.service.is_older(adapter) else ""
        return (
            f'<div class="with-picture">{image}<div>{text.heading(adapter.name)}{older}{text.facts(rows)}</div></div>'
        )

    def _leak_words(self, adapter: Adapter) -> str:
        sheet = self.service.leak_sheet(adapter)
        alike, own = adapter.measures.get("likeness"), adapter.measures.get("spread")
        return leak_card(adapter.measures.get("leak"), self.window.picture_url(sheet) if sheet else "", alike, own)

    @property
    def parts(self) -> list[Any]:
        """Everything that `choose` updates."""
        return [self.selected, self.list, *self.detail]

    def choose(self, adapter_id: str, *, export: bool = False) -> Updates:
        """Return the updates of `parts` for one adapter."""
        chosen = {self.selected: adapter_id, self.list: self.listed(adapter_id)}
        return chosen | self.show(adapter_id, export=export)

    # -- handlers ---------------------------------------------------------------

    def _open(self, event: gr.EventData) -> Updates:
        return self.choose(clicked(event)[1])

    def _closed(self) -> Updates:
        return {self.selected: None, self.list: self.listed(None), self.panel: gr.Column(visible=False)}

    def _use(self, generate: Any) -> Any:
        def use(selected: str | None) -> Updates:
            handed: Updates = generate.hand_over(self.service.get(selected or ""))
            return handed | {self.window.tabs: gr.Tabs(selected=generate.id)}

        return use

    def _export(self, selected: str, layout: AdapterFormat) -> tuple[str, Any]:
        adapter = self.service.get(selected)
        out = self.window.shelf.place(file_name(f"{adapter.name} {layout}", ".safetensors"))
        report = self.exchange.export(selected, out, layout)
        return export_card(report), gr.DownloadButton(value=out, visible=True)

    def _save(self, selected: str, name: str, notes: str) -> Updates:
        if not name.strip():
            raise UserInputError("An adapter needs a name.", "Write a name first.")
        if name.strip() != self.service.get(selected).name:
            self.service.rename(selected, name.strip())
        self.service.note(selected, notes.strip())
        return self.choose(selected)

    def _plan(self, selected: str) -> str:
        plan = self.service.delete_plan(selected)
        return text.notice(plan.sentence, "Its run and the pictures drawn with it stay.", "bad")

    def _delete(self, selected: str) -> Updates:
        self.service.delete(selected)
        say("The adapter was deleted.", 4)
        return self._closed()

    def _test_leak(self, selected: str) -> str:
        job = self.exchange.submit_test_leak(selected)
        return leak_progress(job)

    def _tick(self, selected: str | None, shown: str) -> Updates:
        """Show how far a leak test is, and its verdict when it is there."""
        if not selected or LEAK_WAITS not in (shown or ""):
            return {}
        try:
            said = self._leak_words(self.service.get(selected))
        except NotFoundError:
            return {self.leak_note: ""}
        job = self.window.studio.jobs.newest_active("leak_test")
        if job is not None and job.params.get("adapter_id") == selected:
            said = leak_progress(job)
        return {self.leak_note: said} if said and said != shown else {}

    def _import_choices(self) -> tuple[Any, Any]:
        bases = [(e.card.title, e.card.name) for e in self.window.studio.bases.list() if e.state == "ready"]
        people = [("Nobody here", NOBODY), *((p.name, p.id) for p in self.window.studio.identities.list())]
        return gr.Dropdown(bases, value=bases[0][1] if bases else None), gr.Dropdown(people)

    def _import(self, path: str | None, name: str, base: str | None, person: str) -> Updates:
        if not path:
            raise UserInputError("There is no file yet.", "Drop a .safetensors file first.")
        if not base:
            raise UserInputError("There is no base model to try it on.", "Choose one.")
        found = self.exchange.import_file(Path(path), name.strip(), base=base, identity_id=person or None)
        keys = f"{found.matched} keys matched, {len(found.unmatched)} not, on {found.base}; layout {found.format}."
        note = text.notice(f"“{found.adapter.name}” was read.", keys, "warn" if found.unmatched else "good")
        return {self.imported: note, self.file_in: None, **self.choose(found.adapter.id)}

    def _merge_choices(self) -> Any:
        return gr.Dropdown([(a.name, a.id) for a in self.service.list()])

    def _merge(self, chosen: list[str] | None, typed: str, name: str) -> Updates:
        if len(chosen or ()) < 2:
            raise UserInputError("Two adapters at least are needed.", "Choose them above.")
        items = list(zip(chosen or (), strengths_of(typed, len(chosen or ())), strict=True))
        adapter, report = self.exchange.merge(items, name.strip())
        said = text.notice(f"“{adapter.name}” was made.", tone="good") + export_card(report)
        return {self.merge_report: said, **self.choose(adapter.id)}
