"""The heap of dropped photos in the Identities tab: drop, wait, answer, name, decide, take over.

The panel shows one intake, which lives in the store; the page holds only its
id. Looking at the photos is a job, so closing the page stops nothing. All rules
are in services/curation.py, all words of the page in sorting.py.
"""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import gradio as gr

from studio.domain.clip_frames import MOST_FRAMES, USUAL_MOST
from studio.domain.curation import Intake, Review
from studio.errors import NotFoundError, UserInputError
from studio.services.people.measuring import LOOK_SIDE
from studio.ui.guard import say
from studio.ui.kit import text
from studio.ui.kit.controls import Updates, clickable, clicked, html, listen
from studio.ui.people import sorting
from studio.ui.window import Window

HEAP = "heap:"
NEW_HEAP = "heap:new"
"""What the list of people reports for a heap, and for dropping a new one."""


def is_heap(selected: str | None) -> bool:
    """Say whether the selected card is a heap, not a person."""
    return bool(selected) and str(selected).startswith(HEAP)


class HeapPanel:
    """Dropping photos and sorting them."""

    def __init__(self, window: Window) -> None:
        """Remember the window."""
        self.window = window
        self.curation = window.studio.curation

    # -- layout ---------------------------------------------------------------

    def build(self) -> None:
        """Create the components, inside a column of the tab."""
        with gr.Column(visible=False) as self.drop:
            html(
                text.heading(
                    "Sort many photos",
                    "Every photo is looked at; copies, other people and blurred ones are put aside. Clips give their "
                    "best frames. You decide.",
                )
            )
            self.whose = gr.Dropdown(
                label="Whose photos", info="Leave it open when several people are in them.", elem_id="heap-whose",
                choices=[("Let the studio find out", "")], value="",
            )  # fmt: skip
            self.files = gr.File(
                label="Drop photos or clips here (up to 500)", file_count="multiple", height=150,
                elem_id="heap-files", elem_classes=["drop"],
            )  # fmt: skip
            with gr.Accordion("Of clips", open=False, elem_id="heap-clips"):
                self.frames = gr.Slider(
                    1, MOST_FRAMES, value=USUAL_MOST, step=1, label="Photos of each clip at most",
                    info="The sharpest of each angle and expression.", buttons=["reset"], min_width=150,
                    elem_id="heap-frames", elem_classes=["amount"],
                )  # fmt: skip
                self.hide = gr.Checkbox(
                    label="Hide other people", info="Their heads become unrecognisable in the photos.",
                    container=False, min_width=150, elem_id="heap-hide",
                )  # fmt: skip
            with gr.Row(elem_classes=["actions"]):
                self.start = gr.Button("Look at these photos", variant="primary", elem_id="heap-start")
                self.folder = gr.UploadButton("Choose a folder", file_count="directory", elem_id="heap-folder")
        with gr.Column(visible=False) as self.sheet:
            self.head = clickable(elem_id="heap-head")
            self.ask = clickable(elem_id="heap-question")
            self.people = gr.HTML(js_on_load=sorting.PEOPLE_CLICKS, apply_default_css=False, elem_id="heap-people")
            self.photos = clickable(elem_id="heap-photos")
            with gr.Row(elem_classes=["actions", "afoot"]) as self.foot:
                self.confirm = gr.Button("Take over", variant="primary", elem_id="heap-confirm")
                self.undo = gr.Button("Undo", elem_id="heap-undo")
                self.discard = gr.Button("Discard the heap", variant="stop", elem_id="heap-discard")
            self.sure = clickable(elem_id="heap-sure")
        self.parts = [
            self.sure, self.drop, self.sheet, self.whose, self.head, self.ask, self.people, self.photos, self.confirm,
            self.undo, self.discard, self.foot,
        ]  # fmt: skip

    def wire(self, tab: Any) -> None:
        """Attach the listeners; `tab` has `selected`, `view` and `in_turn` of the whole page."""
        self.tab = tab
        selected, shown = tab.selected, [tab.selected, *tab.view]
        asked = [self.whose, self.frames, self.hide]
        listen(self.start.click, self._start, [self.files, *asked], [*shown, self.files], **tab.in_turn)
        listen(self.folder.upload, self._start, [self.folder, *asked], [*shown, self.files], **tab.in_turn)
        for piece in (self.head, self.ask, self.people, self.photos):
            listen(piece.click, self._act, selected, self.parts, show_progress="hidden")
        listen(self.confirm.click, self._confirm, selected, shown, **tab.in_turn)
        listen(self.undo.click, self._undo, selected, self.parts)
        listen(self.discard.click, self._ask_to_discard, selected, self.sure, show_progress="hidden")
        listen(self.sure.click, self._discard, selected, shown, **tab.in_turn)

    # -- what is shown ----------------------------------------------------------

    def cards(self, selected: str | None) -> list[text.Card]:
        """Return the heaps for the list of people, and the card that makes a new one."""
        items = []
        for intake in self.curation.intakes():
            job = self._job(intake)
            if job is not None and job.is_active:
                line, tone = "being looked at", ""
            elif intake.confirmed is None:
                line, tone = "waits for you", "warn"
            elif (datetime.now(UTC) - intake.confirmed).days < 1:
                line, tone = "taken over", "good"
            else:
                continue
            card = HEAP + intake.id
            items.append(text.Card(card, intake.title, line, icon="photo", tone=tone, selected=selected == card))
        items.append(
            text.Card(NEW_HEAP, "Sort many photos", "a folder, also of several people", icon="library",
                      selected=selected == NEW_HEAP)
        )  # fmt: skip
        return items

    def exists(self, selected: str) -> bool:
        """Say whether the selected heap is still there."""
        return selected == NEW_HEAP or any(HEAP + i.id == selected for i in self.curation.intakes())

    def show(self, selected: str | None) -> Updates:
        """Return the updates of `self.parts`."""
        if not is_heap(selected):
            return self._shown(drop=False, sheet=False)
        if selected == NEW_HEAP:
            people = [("Let the studio find out", "")]
            people += [(p.name, p.id) for p in self.window.studio.identities.list()]
            return self._shown({self.whose: gr.Dropdown(choices=people, value="")}, drop=True, sheet=False)
        return self._heap(self.curation.intake(str(selected).removeprefix(HEAP)))

    def _shown(self, pieces: Updates | None = None, *, drop: bool, sheet: bool) -> Updates:
        """Return the updates of `self.parts`: which column is there, and what stands in it."""
        updates: Updates = {self.drop: gr.Column(visible=drop), self.sheet: gr.Column(visible=sheet)}
        empty = dict.fromkeys((self.sure, self.head, self.ask, self.people, self.photos), "")
        return updates | empty | (pieces or {})

    def _heap(self, intake: Intake) -> Updates:
        job = self._job(intake)
        title = text.heading(intake.title, self._subtitle(intake))
        if job is not None and (job.is_active or (intake.waiting and job.state != "done")):
            card = self.window.job_card(job, with_open=False)
            pieces = {
                self.head: title + card,
                self.confirm: gr.Button(visible=False),
                self.undo: gr.Button(visible=False),
                self.foot: gr.Row(visible=not job.is_active),
            }
            return self._shown(pieces, drop=False, sheet=True)
        review = self.curation.review(intake.id)
        head = {self.head: title + sorting.tally(intake, review)}
        return self._shown(head | self._pieces(intake, review), drop=False, sheet=True)

    def _pieces(self, intake: Intake, review: Review) -> Updates:
        names = {p.id: p.file_name for p in intake.photos}
        picture = self._pictures(intake)
        fixed = self._whose(intake)
        step = self.curation.last_step(intake_id=intake.id)
        kept, done = review.count("keep"), intake.confirmed is not None
        return {
            self.ask: "" if done else sorting.question(review, picture, names),
            self.people: sorting.people(review, picture, fixed=fixed),
            self.photos: sorting.photos(intake, review, picture),
            self.confirm: gr.Button(f"Take over {kept} photo{'s' if kept != 1 else ''}", visible=not done),
            self.undo: gr.Button(f"Undo: {step.title}" if step else "Undo", visible=step is not None),
            self.foot: gr.Row(visible=True),
        }

    def _subtitle(self, intake: Intake) -> str:
        whose = self._whose(intake)
        said = f"{len(intake.photos)} photos, dropped {text.when(intake.created)}"
        return f"{said} · for {whose}" if whose else said

    def _whose(self, intake: Intake) -> str:
        return self.window.studio.identities.get(intake.identity_id).name if intake.identity_id else ""

    def _pictures(self, intake: Intake) -> sorting.Picture:
        """Return where small pictures are fetched from; they are laid on the shelf when first asked for."""
        by_id = {p.id: p.sha256 for p in intake.photos}

        def address(photo: str, number: int) -> str:
            if number == -2:  # a photo the person has already
                return self.window.picture_url(self.window.studio.identities.photo_path(photo))
            sha256 = by_id.get(photo) or ""
            return self.picture(sha256, number)

        return address

    def picture(self, sha256: str, number: int = -1) -> str:
        """Return the address of a small picture of stored bytes, or of a face in them."""
        path = self.window.shelf.kept(
            f"look-{sha256[:32]}-{LOOK_SIDE}-{number + 1}", lambda: self.curation.look(sha256, number)
        )
        return self.window.shelf.url(path)

    def _job(self, intake: Intake) -> Any:
        try:
            return self.window.studio.jobs.get(intake.job_id) if intake.job_id else None
        except NotFoundError:  # it was cleared from the list of jobs
            return None

    # -- handlers ---------------------------------------------------------------

    def _start(self, paths: list[str] | str | None, whose: str, frames: float, hide: bool) -> Updates:
        if not paths:
            raise UserInputError("There is no photo yet.", "Drop photos or clips, or choose a folder.")
        files = [Path(p) for p in ([paths] if isinstance(paths, str) else paths)]
        job = self.curation.submit_analyse(
            self.curation.pictures_among(files), identity_id=whose or None, frames=round(frames), hide_others=hide
        )
        selected = HEAP + str(job.params["intake_id"])
        return {self.tab.selected: selected, **self.tab.show(selected), self.files: None}

    def _act(self, selected: str | None, event: gr.EventData) -> Updates:
        """Do what a button of the heap says."""
        act, id = clicked(event)
        intake_id = str(selected).removeprefix(HEAP)
        if act in ("same", "different"):
            first, _, second = id.partition(" ")
            self.curation.answer(intake_id, first, second, act == "same")
        elif act in ("keep", "instead"):  # of near-duplicates the studio's choice then leaves by itself
            self.curation.set_decision(intake_id, [id], "keep")
        elif act == "drop":
            self.curation.set_decision(intake_id, [id], "drop")
        elif act == "name":
            self.curation.name_cluster(intake_id, id, str((event._data or {}).get("words", "")))
        elif act in ("cancel", "resume", "retry"):
            self.window.act_on_job(act, id)
        return self.show(selected)

    def _confirm(self, selected: str | None) -> Updates:
        done = self.curation.confirm(str(selected).removeprefix(HEAP))
        say(done.sentence, 6)
        person = done.people[0].id
        return {self.tab.selected: person, **self.tab.show(person)}

    def _undo(self, selected: str | None) -> Updates:
        self.curation.undo(intake_id=str(selected).removeprefix(HEAP))
        return self.show(selected)

    def _ask_to_discard(self, selected: str | None) -> str:
        intake = self.curation.intake(str(selected).removeprefix(HEAP))
        return sorting.discard_question(intake)

    def _discard(self, selected: str | None, event: gr.EventData) -> Updates:
        if clicked(event)[0] != "discard-now":
            return {self.sure: ""}
        self.curation.discard(str(selected).removeprefix(HEAP))
        self.window.shelf.sweep()
        say("The heap was discarded. Photos that were taken over stay.", 4)
        return {self.tab.selected: None, **self.tab.show(None)}

    def news(self, selected: str | None, seen: str) -> Updates:
        """Return the updates of `self.parts`, the list of people and the marker of what is seen, when a job went on."""
        if not is_heap(selected) or selected == NEW_HEAP or not self.exists(str(selected)):
            return {}
        intake = next(i for i in self.curation.intakes() if HEAP + i.id == selected)
        job = self._job(intake)
        now = "" if job is None else f"{job.id} {job.state} {job.fraction} {job.message} {job.cancel_requested}"
        if now == seen:
            return {}
        updates: Updates = {self.tab.seen: now, **self.show(selected)}
        if job is not None and not job.is_active:
            updates[self.tab.list] = self.tab.people_cards(selected)
        return updates
