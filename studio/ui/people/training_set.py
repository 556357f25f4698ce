"""What training would see of a person: the set, what it lacks, and the captions.

The set is read when the fold is opened, because photos that were never looked
at are measured then. Everything shown is what services/curation.py hands to
training: the same crops, masks and captions.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from html import escape
from typing import Any

import gradio as gr
import numpy as np

from studio.domain.curation import CuratedPhoto
from studio.domain.identity import Identity
from studio.domain.traits import TRAITS, Coverage, CoverageRow, Policy
from studio.services.people.measuring import jpeg
from studio.ui.guard import say
from studio.ui.kit import text
from studio.ui.kit.controls import Updates, clickable, clicked, html, listen
from studio.ui.window import Window

SHOWN_SIDE = 192
TRIGGER, CLASS_WORD = "sks", "person"


def strips(coverage: Coverage) -> str:
    """Return what a set has as strips of cells: the more photos, the stronger; wanted and missing ones are outlined."""
    rows = "".join(_strip(row, coverage.photos) for row in coverage.rows if row.name in _SHOWN_TRAITS)
    return f'<div class="coverage" role="table" aria-label="What the set covers">{rows}</div>'


_SHOWN_TRAITS = ("framing", "direction", "expression", "light", "background", "glasses")


def _strip(row: CoverageRow, photos: int) -> str:
    cells = ""
    for word, count in row.counts:
        share = count / max(photos, 1)
        missing = word in row.missing
        if row.name in ("background", "glasses") and not count:
            continue  # no color is missed; only what is there is worth a cell
        kind = "missing" if missing else ("" if count else "none")
        said = f"{word}: missing" if missing else f"{word}: {count}"
        cells += (
            f'<span role="cell" class="{kind}" style="--share:{min(0.16 + 0.84 * share, 1.0) if count else 0:.2f}" '
            f'title="{escape(said)}"><b>{count or ("+" if missing else "")}</b>{escape(word)}</span>'
        )
    if row.unknown:
        cells += f'<span role="cell" class="none" title="not clear: {row.unknown}"><b>{row.unknown}</b>not clear</span>'
    return (
        f'<div class="strip" role="row"><strong role="rowheader">{escape(row.title)}</strong><div>{cells}</div></div>'
    )


def consent_note(person: Identity, now: datetime) -> str:
    """Say whether training is allowed."""
    if person.allows("train", now):
        return text.notice(f"{person.name} agreed to training.", "", "good")
    return text.notice(
        f"Training needs the consent of {person.name}.",
        "Record it under “Consent” below: tick “Train a model”.",
        "warn",
    )


class TrainingSetPanel:
    """The fold on a person's page."""

    def __init__(self, window: Window) -> None:
        """Remember the window."""
        self.window = window
        self.curation = window.studio.curation
        self.training_sets = window.studio.training_sets

    def build(self) -> None:
        """Create the components, inside the person's page."""
        with gr.Accordion("Training set and captions", open=False, elem_id="person-set") as self.fold:
            self.state = html(elem_id="set-state")
            self.cards = clickable(elem_id="set-photos")
            with gr.Row():
                self.trigger = gr.Textbox(
                    TRIGGER, label="Trigger word", info="A rare word that will mean this person.", max_length=40,
                    elem_id="set-trigger",
                )  # fmt: skip
                self.class_word = gr.Textbox(
                    CLASS_WORD, label="Class word", info="What they are one of: person, man, woman.", max_length=40,
                    elem_id="set-class",
                )  # fmt: skip
            self.policies = gr.CheckboxGroup(
                [(t.title, t.name) for t in TRAITS], label="Say in captions", elem_id="set-policies",
                info="What is said stays changeable; what is left out is learned as the person.",
            )  # fmt: skip
            self.captions = gr.Dataframe(
                headers=["Photo", "Caption"], datatype=["str", "str"], type="array", interactive=True, wrap=True,
                column_widths=["160px", "auto"], static_columns=[0], column_count=2, buttons=[], elem_id="set-captions",
                max_height=360, label="Captions: click one to write it yourself, empty it to have it measured again",
                visible=False,  # until the fold is opened: the table is .2 MB of script
            )  # fmt: skip
            with gr.Row(elem_classes=["inline"]):
                self.model = gr.Textbox(
                    label="Or let a captioning model write them", placeholder="a folder, or owner/model", max_lines=1,
                    info="Optional. The model must be on this computer; it sees the crops above.", elem_id="set-model",
                )  # fmt: skip
                self.write = gr.Button("Write captions", scale=0, min_width=140, elem_id="set-write")
            self.undo = gr.Button("Undo", visible=False, elem_id="set-undo", size="sm")
        self.parts = [self.state, self.cards, self.policies, self.captions, self.undo]

    def wire(self, tab: Any) -> None:
        """Attach the listeners; `tab` knows who is selected."""
        self.tab = tab
        words = [tab.selected, self.trigger, self.class_word]
        listen(self.fold.expand, self.show, words, self.parts)
        listen(self.cards.click, self._toggle, words, self.parts, show_progress="hidden")
        for box in (self.trigger, self.class_word):
            listen(box.submit, self.show, words, self.parts, show_progress="hidden")
            listen(box.blur, self.show, words, self.parts, show_progress="hidden")
        listen(self.policies.input, self._set_policies, [*words, self.policies], self.parts, show_progress="hidden")
        listen(self.captions.input, self._write, [*words, self.captions], self.parts, show_progress="hidden")
        listen(self.write.click, self._by_model, [tab.selected, self.model])
        listen(self.undo.click, self._undo, words, self.parts)

    # -- what is shown ----------------------------------------------------------

    def show(self, selected: str | None, trigger: str, class_word: str) -> Updates:
        """Return the updates of `self.parts`."""
        person = self.window.studio.identities.get(self.tab.shown(selected))
        found = self.training_sets.training_set(person.id, trigger=trigger, class_word=class_word)
        coverage = self.training_sets.coverage(person.id)
        policies = self.training_sets.policies(person.id)
        step = self.curation.last_step(identity_id=person.id)
        kept = sum(c.kept for c in found)
        said = f"{kept} of {len(found)} photos are used. Click one to leave it out or take it back."
        advice = text.hints(coverage.advice, "Nothing is missing.")
        return {
            self.state: consent_note(person, datetime.now(UTC)) + strips(coverage) + advice,
            self.cards: f'<p class="fine">{escape(said)}</p>' + self._cards(found),
            self.policies: [name for name, policy in policies.items() if policy == "describe"],
            self.captions: gr.Dataframe(
                [[c.photo.file_name or "Photo", c.caption] for c in found if c.kept], visible=True
            ),
            self.undo: gr.Button(f"Undo: {step.title}" if step else "Undo", visible=step is not None),
        }

    def _cards(self, found: Sequence[CuratedPhoto]) -> str:
        items = []
        for curated in found:
            flags = ", ".join(f.word for f in curated.flags)
            line = curated.problem or flags or curated.caption.partition(", ")[2]
            items.append(
                text.Card(
                    curated.photo.id, curated.photo.file_name or "Photo", line or "plain",
                    self._picture(curated), act="toggle", selected=curated.kept, mark="" if curated.kept else "out",
                    tone="bad" if curated.problem else ("warn" if flags else ""),
                )
            )  # fmt: skip
        return text.cards(items, "set", "Photos of the training set")

    def _picture(self, curated: CuratedPhoto) -> str:
        """Return the address of the crop with everything that is not the person dimmed, as the masked loss sees it."""
        if curated.crop is None:
            return self.window.picture_url(self.curation.path(curated.sha256))
        crop = curated.crop
        key = f"set-{curated.sha256[:32]}-{crop.x}-{crop.y}-{crop.side}"

        def make() -> bytes:
            example = self.training_sets.example(curated, SHOWN_SIDE)
            image = example.image
            if example.mask is not None:
                amount = 0.45 + 0.55 * (example.mask[..., None] / 255)
                image = (image * amount + 0.5).astype(np.uint8)
            return jpeg(image)

        return self.window.shelf.url(self.window.shelf.kept(key, make))

    # -- handlers ---------------------------------------------------------------

    def _toggle(self, selected: str | None, trigger: str, class_word: str, event: gr.EventData) -> Updates:
        person = self.tab.shown(selected)
        _, photo_id = clicked(event)
        found = {c.photo.id: c for c in self.training_sets.training_set(person)}
        self.training_sets.set_kept(person, [photo_id], not found[photo_id].kept)
        return self.show(selected, trigger, class_word)

    def _set_policies(self, selected: str | None, trigger: str, class_word: str, describe: Sequence[str]) -> Updates:
        person = self.tab.shown(selected)
        for name, policy in self.training_sets.policies(person).items():
            wanted: Policy = "describe" if name in describe else "leave out"
            if policy != wanted:
                self.training_sets.set_policy(person, name, wanted)
        return self.show(selected, trigger, class_word)

    def _write(self, selected: str | None, trigger: str, class_word: str, rows: Sequence[Sequence[str]]) -> Updates:
        person = self.tab.shown(selected)
        kept = [c for c in self.training_sets.training_set(person, trigger=trigger, class_word=class_word) if c.kept]
        for curated, row in zip(kept, rows, strict=False):  # a row added or removed in the table says nothing
            written = str(row[1] or "").strip()
            if written != curated.caption:
                self.training_sets.set_caption(
                    person, curated.photo.id, written, trigger=trigger, class_word=class_word
                )
        return self.show(selected, trigger, class_word)

    def _by_model(self, selected: str | None, model: str) -> None:
        self.training_sets.submit_write_captions(self.tab.shown(selected), model)
        say("The captions are being written; the Jobs tab shows how far it is.", 6)

    def _undo(self, selected: str | None, trigger: str, class_word: str) -> Updates:
        self.curation.undo(identity_id=self.tab.shown(selected))
        return self.show(selected, trigger, class_word)
