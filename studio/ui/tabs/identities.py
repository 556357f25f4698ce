"""Identities: the people, their photos, and what they agreed to.

Adding a person looks at every photo first and says in plain words how well it
will serve; a crowded photo asks which face is meant. Deleting says what will
go and wants the name typed. Rules live in services/people.
"""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import gradio as gr

from studio.domain.consent import SCOPES, Consent, Scope, standing
from studio.domain.days import day_of, end_of_day, last_day
from studio.domain.identity import Identity
from studio.domain.names import as_read
from studio.domain.photo import Photo
from studio.errors import UserInputError
from studio.ui.guard import say
from studio.ui.kit import text
from studio.ui.kit.controls import PICTURE_TYPES, Updates, clickable, clicked, html, listen
from studio.ui.kit.draft import Draft, Kept, fitting
from studio.ui.kit.portrait_chooser import face_cards
from studio.ui.people.bundles import BundlePanel
from studio.ui.people.intake import HeapPanel, is_heap
from studio.ui.people.training_set import TrainingSetPanel
from studio.ui.people.variants import VariantsPanel
from studio.ui.window import Window

SCOPE_WORDS: dict[Scope, str] = {
    "edit": "Edit expressions",
    "animate": "Animate with speech",
    "train": "Train a model",
    "generate": "Generate new pictures",
    "publish": "Publish results",
}
NEW = "new"

USUAL_SCOPES: list[Scope] = ["edit", "animate"]
"""Ticked for a start; more only where it is asked for, and publishing never by itself."""


def consent_line(person: Identity, now: datetime) -> tuple[str, str]:
    """Return the state of a person's consent in words, and its tone."""
    state = standing(person.consents, now)
    if state == "agreed":
        return "agreed: " + ", ".join(SCOPE_WORDS[s].lower() for s in SCOPES if person.allows(s, now)), "good"
    words = {"none": "no consent recorded", "taken back": "consent taken back", "ended": "consent has ended"}
    return words[state], "warn" if state == "none" else "bad"


def read_consent(agreed_by: str, scopes: list[Scope], until: str, evidence: str) -> Consent | None:
    """Return what the consent fields say; None when nobody is named.

    Raises:
        UserInputError: the date cannot be read, or nothing was agreed to.
    """
    if not agreed_by.strip():
        return None
    end = end_of_day(until) if until.strip() else None
    return Consent(
        agreed_by=agreed_by.strip(), scopes=tuple(scopes), granted_at=datetime.now(UTC), until=end, evidence=evidence
    )


STRANGER = "The face is unlike the other photos: it may be another person."
TAKE_OUT = {"dropped": "Take it out (×) if it is.", "kept": "Leave it out under “Training set and captions” if it is."}
"""What to do about a strange face, before and after the photo is added."""
UPLOAD_PIXELS = 320
"""Of a dropped photo as it is shown before it is added."""


class ConsentFields:
    """Who agreed, to what, until when; used by the form and by the person's page."""

    def __init__(self, name: str) -> None:
        """Create the fields; `name` keeps element ids apart."""
        self.agreed_by = gr.Textbox(
            label="Who agreed",
            info="The person shown, or who may speak for them."
            + (" Leave empty to record it later." if name == "form" else ""),
            elem_id=f"{name}-agreed",
        )
        self.scopes = gr.CheckboxGroup(
            [(SCOPE_WORDS[s], s) for s in SCOPES],
            value=USUAL_SCOPES,
            label="To what",
            info="Only what is ticked counts as agreed.",
        )
        with gr.Row():
            self.until = gr.Textbox(
                label="Until", placeholder="2030-12-31", info="Last day, year-month-day; empty has no end."
            )
            self.evidence = gr.Textbox(label="Evidence", info="Where the agreement can be found: a letter, a message.")

    def all(self) -> list[Any]:
        """Return the fields in the order of `read_consent`."""
        return [self.agreed_by, self.scopes, self.until, self.evidence]


class IdentitiesTab:
    """The tab."""

    id = "identities"
    title = "Identities"

    def __init__(self, window: Window) -> None:
        """Remember the window."""
        self.window = window
        self.people = window.studio.identities
        self.heap = HeapPanel(window)
        self.set = TrainingSetPanel(window)
        self.variants = VariantsPanel(window)
        self.bundle = BundlePanel(window)
        self.draft = Draft("person")

    # -- layout ---------------------------------------------------------------

    def build(self) -> None:
        """Create the components."""
        self.selected = gr.BrowserState(None, storage_key="likeness-studio-identity", secret="likeness-studio")
        self.picks = gr.State({})
        self.draft.build()
        with gr.Row(elem_classes=["split"]):
            with gr.Column(scale=4, min_width=280, elem_classes=["side"]):
                html(text.heading("People", "Everyone whose photos this studio keeps."))
                self.list = clickable(elem_id="people-list")
            with gr.Column(scale=9, min_width=320):
                with gr.Column(visible=False, elem_classes=["sheet"]) as self.form:
                    self._build_form()
                with gr.Column(visible=False, elem_classes=["sheet"]) as self.page:
                    self._build_page()
                with gr.Column(visible=False, elem_classes=["sheet"]) as self.heap_page:
                    self.heap.build()

    def _build_form(self) -> None:
        html(text.heading("Add a person", "One good photo is enough to begin; more can be added later."))
        self.name = gr.Textbox(
            label="Name", info="How you will find this person.", elem_id="person-name", max_length=80
        )
        self.photos = gr.File(
            label="Drop photos here, or choose them",
            file_count="multiple",
            file_types=PICTURE_TYPES,
            height=164,  # half a row more than whole ones: there are more below
            elem_id="person-photos",
            elem_classes=["drop"],
        )
        self.found = clickable(elem_id="person-faces")
        with gr.Accordion("Consent", open=True):
            self.form_consent = ConsentFields("form")
        with gr.Row(elem_classes=["actions"]):
            self.add = gr.Button("Add this person", variant="primary", elem_id="person-add")
            self.cancel = gr.Button("Cancel")
        self.bundle.build_form()

    def _build_page(self) -> None:
        self.summary = html(elem_id="person-summary")
        self.person_photos = clickable(elem_id="person-photo-list")
        with gr.Row(elem_classes=["actions"]):
            self.to_expression = gr.Button("Edit expression", variant="primary", elem_id="person-to-expression")
            self.to_animate = gr.Button("Make them speak", elem_id="person-to-animate")
            self.to_train = gr.Button("Train", elem_id="person-to-train")
        with gr.Accordion("Add photos", open=False):
            self.more = gr.File(
                label="More photos of this person",
                file_count="multiple",
                file_types=PICTURE_TYPES,
                height=110,
                elem_classes=["drop"],
                elem_id="person-more",
            )
            self.more_faces = clickable()
        self.set.build()
        self.variants.build()
        with gr.Accordion("Consent", open=False, elem_id="person-consent") as self.consent_fold:
            self.consents = html()
            self.page_consent = ConsentFields("page")
            with gr.Row(elem_classes=["actions"]):
                self.record = gr.Button("Record consent", elem_id="consent-record")
                self.revoke = gr.Button("Take consent back", variant="stop", elem_id="consent-revoke")
            self.erase = gr.Button(visible=False, variant="stop", elem_id="consent-erase")
            self.erase_asked = gr.State("")
        self.bundle.build_page()
        with gr.Accordion("Rename or delete", open=False, elem_id="person-danger") as self.danger:
            with gr.Row(elem_classes=["inline"]):
                self.new_name = gr.Textbox(label="New name", info="Changes the name everywhere.", max_length=80)
                self.rename = gr.Button("Rename", size="sm", min_width=90, scale=0)
            self.plan = html()
            self.typed = gr.Textbox(
                label="Type the name to delete", info="Deleting cannot be undone.", elem_id="person-typed"
            )
            self.delete = gr.Button("Delete for good", variant="stop", elem_id="person-delete")

    # -- listeners ------------------------------------------------------------

    def wire(self, tabs: dict[str, Any], item: gr.Tab, page: gr.Blocks) -> None:
        """Attach the listeners."""
        self.view = [
            self.list,
            self.form,
            self.page,
            self.summary,
            self.person_photos,
            self.consents,
            self.revoke,
            self.erase,
            self.erase_asked,
            self.danger,
            self.plan,
            self.new_name,
            self.typed,
            self.set.fold,
            self.variants.fold,
            self.bundle.fold,
            self.heap_page,
            *self.heap.parts,
        ]
        self.seen = gr.State("")
        self.known = gr.State(None)
        self.tick = (
            self._news,
            [self.selected, self.seen, self.variants.drawing, self.known],
            [self.seen, self.known, self.list, *self.heap.parts, self.variants.drawing, *self.variants.parts],
        )
        shown = [self.selected, *self.view]
        in_turn = self.in_turn
        quiet = {"show_progress": "hidden", **in_turn}
        listen(page.load, self.show, self.selected, self.view, **quiet)
        listen(item.select, self.refresh, self.selected, self.view, **quiet)
        listen(self.list.click, self._open, None, shown, **in_turn)
        listen(self.cancel.click, self._leave_form, None, shown, **in_turn)
        listen(self.photos.change, self._look, self.photos, [self.found, self.picks])
        # In turn, so that a person who presses Add at once is not asked for the face that was just picked.
        listen(self.found.click, self._pick_face, [self.photos, self.picks], [self.found, self.picks], **in_turn)
        form = [self.name, self.photos, self.picks, *self.form_consent.all()]
        emptied = [self.name, self.photos, self.found, self.picks, *self.form_consent.all()]
        added = listen(self.add.click, self._add, form, [*shown, *emptied, self.known], **in_turn)
        # A tick that saw the new person before the page knew whom it shows has marked another card: this comes last.
        listen(added.then, self._list_again, self.selected, self.list, **quiet)
        self.draft.wire(item, self._kept, self._restore, [], list(self._kept.values()))
        more = [self.selected, self.more, self.picks]
        listen(self.more.upload, self._add_more, more, [self.more, self.more_faces, self.picks, *self.view], **in_turn)
        listen(
            self.more_faces.click,
            self._pick_more,
            more,
            [self.more, self.more_faces, self.picks, *self.view],
            **in_turn,
        )
        listen(self.record.click, self._record, [self.selected, *self.page_consent.all()], self.view, **in_turn)
        listen(self.revoke.click, self._revoke, self.selected, self.view, **in_turn)
        listen(self.erase.click, self._erase, [self.selected, self.erase_asked], self.view, **in_turn)
        listen(self.rename.click, self._rename, [self.selected, self.new_name], self.view, **in_turn)
        listen(self.danger.expand, self._plan, self.selected, self.plan)
        deleted = listen(self.delete.click, self._delete, [self.selected, self.typed], shown, **in_turn)
        listen(deleted.success, None, js="() => window.studioDraft.forget()")
        train = tabs["train"]
        handed = [train.person, train.handed_person, train.view.run, self.window.tabs]
        listen(self.to_train.click, self._train, self.selected, handed)
        for button, target in ((self.to_expression, "expression"), (self.to_animate, "animate")):
            outputs = [*tabs[target].chooser.parts, self.window.tabs]
            listen(button.click, self._hand_over(tabs[target]), self.selected, outputs)
        self.heap.wire(self)
        self.set.wire(self)
        self.variants.wire(self)
        self.bundle.wire(self)
        choosers = [tabs["expression"].chooser, tabs["animate"].chooser]
        self.photo_targets = choosers

    @property
    def _kept(self) -> dict[str, Any]:
        """What of the form is kept for a refresh of the page, by name."""
        consent = dict(zip(("agreed_by", "scopes", "until", "evidence"), self.form_consent.all(), strict=True))
        return {"name": self.name, "photos": self.photos, **consent}

    def _restore(self, kept: Kept) -> Updates:
        """Return the form as it was before the page was loaded anew; of its photos what is still there."""
        updates = fitting(self._kept, kept)
        sent = kept.get("photos")
        paths = [f.get("path") for f in sent if isinstance(f, dict)] if isinstance(sent, list) else []
        here = [str(p) for p in paths if self.window.shelf.holds(p)]
        return updates | ({self.photos: here} if here else {})

    @property
    def in_turn(self) -> dict[str, Any]:
        """How what writes `view` listens: one answer after the other.

        A page that was read before a consent was recorded must not arrive after it and undo what is seen.
        """
        return {"concurrency_id": "person", "concurrency_limit": 1}

    @property
    def asked_for_consent(self) -> list[Any]:
        """What `ask_for_consent` updates."""
        return [self.selected, self.consent_fold, self.page_consent.scopes, self.window.tabs]

    def ask_for_consent(self, person_id: str) -> Updates:
        """Return the updates that open a person's page where consent to training is recorded."""
        return {
            self.selected: person_id,
            self.consent_fold: gr.Accordion(open=True),
            self.page_consent.scopes: [*USUAL_SCOPES, "train", "generate"],
            self.window.tabs: gr.Tabs(selected=self.id),
        }

    def _train(self, selected: str | None) -> tuple[Any, ...]:
        return self.people.get(self.shown(selected)).id, True, None, gr.Tabs(selected="train")

    def _hand_over(self, target: Any) -> Any:
        def hand_over(selected: str | None) -> Updates:
            photos = self.people.photos(self.shown(selected))
            if not photos:
                raise UserInputError("This person has no photo yet.", "Add one under “Add photos”.")
            chosen: Updates = target.chooser.answer(target.chooser.photo_choice(photos[0].id))
            return chosen | {self.window.tabs: gr.Tabs(selected=target.id)}

        return hand_over

    # -- what is shown ----------------------------------------------------------

    def shown(self, selected: str | None) -> str:
        """Return the id of the person (or heap) that is shown: the one chosen in this browser, else the first."""
        ids = [p.id for p in self.people.list()]
        if selected in ids or selected == NEW or (is_heap(selected) and self.heap.exists(str(selected))):
            return str(selected)
        return ids[0] if ids else NEW

    def show(self, selected: str | None) -> Updates:
        """Return the updates of `self.view` for the selected person, heap, or the form."""
        people = self.people.list()
        shown = self.shown(selected)
        person = next((p for p in people if p.id == shown), None)
        column = self.people_cards(shown)
        updates: Updates = {
            self.list: column,
            self.form: gr.Column(visible=person is None and not is_heap(shown)),
            self.page: gr.Column(visible=person is not None),
            self.plan: "",
            self.typed: "",
            self.set.fold: gr.Accordion(open=False),
            self.variants.fold: gr.Accordion(open=False),
            self.bundle.fold: gr.Accordion(open=False),
            self.heap_page: gr.Column(visible=is_heap(shown)),
            **self.heap.show(shown),
        }
        if person is None:
            return updates | {self.summary: "", self.person_photos: "", self.consents: "", self.new_name: ""}
        photos = self.people.photos(person.id)
        return updates | {
            self.summary: self._summary(person, photos),
            self.person_photos: self._photo_cards(photos),
            self.consents: self._consent_rows(person),
            self.revoke: gr.Button(visible=any(c.revoked_at is None for c in person.consents)),
            self.erase: self._erase_button(person),
            self.erase_asked: "",
            self.danger: gr.Accordion(open=False),
            self.new_name: person.name,
        }

    def refresh(self, selected: str | None) -> Updates:
        """Return the updates of `self.view` when the tab is opened again: no fold closes, no typed name is lost.

        What deleting would take is said anew, since another person may be shown than when the fold was opened.
        """
        updates = self.show(selected)
        for kept in (self.danger, self.set.fold, self.variants.fold, self.bundle.fold, self.typed):
            updates.pop(kept, None)
        if self.shown(selected) in {p.id for p in self.people.list()}:
            updates[self.plan] = self._plan(selected)
        return updates

    def _news(self, selected: str | None, seen: str, drawing: str, known: list[str] | None) -> Updates:
        others = self._others(selected, known)
        return {**others, **self.heap.news(selected, seen), **self.variants.news(selected, drawing)}

    def _others(self, selected: str | None, known: list[str] | None) -> Updates:
        """Return the list of people where others came or went: by a job, such as the sample's, or in another window.

        The form or the person that is open stays.
        """
        now = self._names()
        if now == known:
            return {}
        if known is None:  # the page was just drawn
            return {self.known: now}
        open_now = self.shown(selected) if known else NEW
        return {self.known: now, self.list: self.people_cards(open_now)}

    def _names(self) -> list[str]:
        return [f"{p.id} {p.name}" for p in self.people.list()]

    def _list_again(self, selected: str | None) -> str:
        return self.people_cards(self.shown(selected))

    def people_cards(self, selected: str | None) -> str:
        """Return the list of people and heaps."""
        now = datetime.now(UTC)
        items = []
        for person in self.people.list():
            photos = self.people.photos(person.id)
            line, tone = consent_line(person, now)
            picture = self.window.picture_url(self.people.photo_path(photos[0].id)) if photos else ""
            items.append(
                text.Card(
                    person.id,
                    person.name,
                    line,
                    picture,
                    tone=tone,
                    icon="identities",
                    corner=str(len(photos)) if len(photos) > 1 else "",
                    selected=selected == person.id,
                )
            )
        items.append(text.Card(NEW, "Add a person", "from one or more photos", icon="plus", selected=selected == NEW))
        items += self.heap.cards(selected)
        return text.cards(items, "column", "People")

    def _summary(self, person: Identity, photos: tuple[Photo, ...]) -> str:
        line, tone = consent_line(person, datetime.now(UTC))
        count = f"{len(photos)} photo{'s' if len(photos) != 1 else ''} · added {text.when(person.created)}"
        body = text.heading(person.name, count)
        return body + f'<p class="line {tone}">{line[0].upper() + line[1:]}.</p>'

    def _photo_cards(self, photos: tuple[Photo, ...]) -> str:
        if not photos:
            return text.empty("No photo yet", "Open “Add photos” below and drop one in.", "photo")
        items, said = [], []
        strange = set(self.people.strangers(photos[0].identity_id)) if photos[0].identity_id else set()
        for photo in photos:
            quality = photo.face.quality if photo.face else None
            good = photo.id not in strange and (quality is None or not quality.hints)
            said += [f"{photo.file_name or 'Photo'}: {STRANGER} {TAKE_OUT['kept']}"] if photo.id in strange else []
            items.append(
                text.Card(
                    photo.id,
                    photo.file_name or "Photo",
                    "another person?" if photo.id in strange else f"{photo.width}×{photo.height} px",
                    self.window.picture_url(self.people.photo_path(photo.id)),
                    mark="" if good else "!",
                    tone="" if good else "warn",
                    act="none",
                )
            )
            said += [f"{photo.file_name or 'Photo'}: {h}" for h in (quality.hints if quality else ())]
        return text.cards(items, "strip", "Photos") + text.hints(said, "The photos are good to work with.")

    def _consent_rows(self, person: Identity) -> str:
        if not person.consents:
            return text.notice("No consent is recorded.", "Record below who agreed, to what, and until when.", "warn")
        rows = []
        for c in reversed(person.consents):
            end = last_day(c.until) if c.until else "no end"
            end = f"taken back {day_of(c.revoked_at)}" if c.revoked_at else end
            rows.append((c.agreed_by, ", ".join(SCOPE_WORDS[s].lower() for s in c.scopes), end, c.evidence))
        return text.table(("Who agreed", "To what", "Until", "Evidence"), rows)

    # -- handlers ---------------------------------------------------------------

    def _open(self, event: gr.EventData) -> Updates:
        _, person_id = clicked(event)
        return {self.selected: person_id, **self.show(person_id)}

    def _leave_form(self) -> Updates:
        return {self.selected: None, **self.show(None)}

    def _look(self, paths: list[str] | None, picks: dict[str, int] | None = None) -> tuple[str, dict[str, int]]:
        """Say how well each dropped photo will serve, and ask for the face where there are several."""
        picks = picks or {}
        parts, items, good = [], [], 0
        seen = [(Path(path), self.people.inspect(Path(path))) for path in paths or []]
        meant = [(path, picks.get(str(number))) for number, (path, _) in enumerate(seen)]
        strange = set(self.people.strangers_among(meant)) if len(seen) > 1 else set()
        for number, (path, inspection) in enumerate(seen):
            name, line, tone = path.name, "", ""
            if not inspection.faces:
                line, tone = "no face", "bad"
                parts.append(text.notice(f"{name}: no face was found.", "Take this photo out of the list.", "bad"))
            elif len(inspection.faces) > 1:
                line, tone = ("face picked", "good") if str(number) in picks else ("several faces", "warn")
                ask = "Pick the face you mean." if str(number) not in picks else "Picked; click another to change."
                parts.append(text.notice(f"{name}: several faces.", ask, "" if str(number) in picks else "warn"))
                parts.append(face_cards(self.window, inspection, f"{number}:", picks.get(str(number))))
            elif number not in strange:
                said = [*inspection.hints, *inspection.faces[0].hints]
                line, tone = ("see below", "warn") if said else ("good", "good")
                good += not said
                parts.append(text.hints([f"{name}: {s}" for s in said]))
            if number in strange:
                line, tone = "another person?", "bad"
                parts.append(text.hints([f"{name}: {STRANGER} {TAKE_OUT['dropped']}"]))
            small = self.window.shelf.url(self.window.shelf.picture(inspection.image, UPLOAD_PIXELS))
            items.append(text.Card(str(number), name, line, small, tone=tone, act="none"))
        fine = text.hints((), f"{good} photo{'s are' if good > 1 else ' is'} good to work with.") if good else ""
        return (text.cards(items, "strip", "Dropped photos") if items else "") + fine + "".join(parts), picks

    def _pick_face(
        self, paths: list[str] | None, picks: dict[str, int], event: gr.EventData
    ) -> tuple[str, dict[str, int]]:
        number, _, face = clicked(event)[1].partition(":")
        return self._look(paths, {**picks, number: int(face)})

    def _add(self, name: str, paths: list[str] | None, picks: dict[str, int], *consent: Any) -> Updates:
        agreed = read_consent(*consent)
        files = [Path(p) for p in paths or ()]
        meant = [picks.get(str(number)) for number in range(len(files))]
        person = self.people.add(name.strip(), files, consent=agreed, face_indices=meant)
        say(f"{person.name} was added.", 4)
        emptied: Updates = {self.name: "", self.photos: None, self.found: "", self.picks: {}}
        emptied |= dict(zip(self.form_consent.all(), ("", USUAL_SCOPES, "", ""), strict=True))
        return {self.selected: person.id, **self.show(person.id), **emptied, self.known: self._names()}

    def _add_more(self, selected: str | None, paths: list[str] | None, picks: dict[str, int]) -> Updates:
        crowded = [
            number
            for number, path in enumerate(paths or [])
            if str(number) not in picks and len(self.people.inspect(Path(path)).faces) > 1
        ]
        if crowded:
            said, picks = self._look(paths, picks)
            return {self.more_faces: said, self.picks: picks}
        for number, path in enumerate(paths or []):
            self.people.add_photo(self.shown(selected), Path(path), face_index=picks.get(str(number)))
        return {self.more: None, self.more_faces: "", self.picks: {}, **self.show(selected)}

    def _pick_more(
        self, selected: str | None, paths: list[str] | None, picks: dict[str, int], event: gr.EventData
    ) -> Updates:
        number, _, face = clicked(event)[1].partition(":")
        return self._add_more(selected, paths, {**picks, number: int(face)})

    def _record(self, selected: str | None, *fields: Any) -> Updates:
        consent = read_consent(*fields)
        if consent is None:
            raise UserInputError("The consent does not say who agreed.", "Write the name of the person who agreed.")
        self.people.set_consent(self.shown(selected), consent)
        return self.show(selected)

    def _revoke(self, selected: str | None) -> Updates:
        say(self.window.studio.withdrawals.take_back(self.shown(selected)).sentence, 10)
        return self.show(selected)

    def _erase_button(self, person: Identity, asked: bool = False) -> gr.Button:
        """Offer to erase what was made of somebody whose consent was taken back; the second press does it."""
        taken_back = standing(person.consents, datetime.now(UTC)) == "taken back"
        made = self.window.studio.withdrawals.made_of(person.id) if taken_back else ""
        return gr.Button(f"{'Press again: erase' if asked else 'Erase'} {made} for good", visible=bool(made))

    def _erase(self, selected: str | None, asked: str) -> Updates:
        person = self.people.get(self.shown(selected))
        if asked != person.id:
            return {self.erase: self._erase_button(person, asked=True), self.erase_asked: person.id}
        done = self.window.studio.withdrawals.erase(person.id)
        self.window.shelf.sweep()
        say(done.sentence, 8)
        return self.show(selected)

    def _plan(self, selected: str | None) -> str:
        person = self.people.get(self.shown(selected))
        plan = self.people.delete_plan(person.id)
        return text.notice(plan.sentence, f"Type {person.name} below and press Delete for good.", "bad")

    def _rename(self, selected: str | None, name: str) -> Updates:
        if not name.strip():
            raise UserInputError("A person needs a name.", "Write a name first.")
        self.people.rename(self.shown(selected), name.strip())
        return self.show(selected)

    def _delete(self, selected: str | None, typed: str) -> Updates:
        person = self.people.get(self.shown(selected))
        if as_read(typed) != as_read(person.name):
            raise UserInputError("The typed name does not match.", f"Type {person.name} to delete.")
        plan = self.people.delete(person.id)
        self.window.shelf.sweep()
        say(plan.done, 8)
        return {self.selected: None, **self.show(None)}
