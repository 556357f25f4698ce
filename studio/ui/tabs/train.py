"""Train: photos of a person become an adapter, watched while it learns.

On the left the plan (person, base, preset, the settings that matter), on the
right the run as its rows say it, below it the adapters that were kept. The
training itself is a job; this tab starts, stops and continues it and shows
what it wrote. Rules live in services/training.py.
"""

from __future__ import annotations

from datetime import UTC, datetime
from html import escape
from typing import Any

import gradio as gr

from studio.domain import consent as consents
from studio.domain.identity import Identity
from studio.domain.training import more_steps
from studio.errors import ConsentMissingError, UserInputError
from studio.ui.guard import say
from studio.ui.kit import text
from studio.ui.kit.controls import Updates, clickable, clicked, html, listen, scroll_to
from studio.ui.kit.draft import Kept
from studio.ui.training.adapter_library import AdapterLibrary
from studio.ui.training.plan_form import CHECKING, PlanForm
from studio.ui.training.run_view import RunView
from studio.ui.window import Window

SHOW_CONSENT = """() => setTimeout(() => {
  document.querySelector('#person-consent')?.scrollIntoView({ behavior: 'smooth', block: 'center' });
}, 600)"""
NOBODY = text.notice("There is nobody yet.", "Add a person with photos on the Identities tab.", "warn")


def consent_note(person: Identity, now: datetime) -> str:
    """Return whether the person agreed to training; without it one sentence and the way to Identities."""
    try:
        consents.require(person.consents, "train", now, person.name)
    except ConsentMissingError as error:
        return (
            f'<div class="notice bad" role="alert"><strong>{escape(error.in_window.message)}</strong>'
            "<span>Training needs it.</span>"
            f"{text.button('identities', person.id, 'Record consent', f'Record consent of {person.name}')}</div>"
        )
    return f'<p class="line good">{escape(person.name)} agreed to training.</p>'


class TrainTab:
    """The tab."""

    id = "train"
    title = "Train"

    def __init__(self, window: Window) -> None:
        """Remember the window."""
        self.window = window
        self.training = window.studio.training
        self.runs = window.studio.runs
        self.people = window.studio.identities
        self.form = PlanForm(window)
        self.view = RunView(window)
        self.library = AdapterLibrary(window)

    # -- layout ---------------------------------------------------------------

    def build(self) -> None:
        """Create the components."""
        self.person = gr.State(None)
        self.filled = gr.State(False)
        self.handed_person = gr.State(False)
        with gr.Row(elem_classes=["split"]):
            with gr.Column(scale=5, min_width=320, elem_classes=["sheet"]):
                html('<h3 class="step"><b>1</b> Person</h3>')
                self.strip = clickable(elem_id="train-people")
                self.consent = clickable(elem_id="train-consent")
                self.form.build()
                with gr.Row(elem_classes=["actions", "afoot"]):
                    self.start = gr.Button("Start training", variant="primary", elem_id="train-start")
                    self.check = gr.Button("Check again", elem_id="train-check")
            with gr.Column(scale=7, min_width=320, elem_classes=["stage"]):
                self.view.build()
        self.library.build()

    # -- listeners ------------------------------------------------------------

    def wire(self, tabs: dict[str, Any], item: gr.Tab, page: gr.Blocks) -> None:
        """Attach the listeners."""
        identities, self.generate = tabs["identities"], tabs["generate"]
        quiet: dict[str, Any] = {"show_progress": "hidden"}
        self.entrance = [self.person, self.strip, self.consent, self.filled, *self.form.outputs]
        entered = listen(
            item.select, self._enter, [self.person, identities.selected, self.filled], self.entrance,
            **quiet, **self.form.draft.lane,
        )  # fmt: skip
        shown = [self.view.run, self.person, self.view.seen]
        listen(entered.then, self._show_run, shown, self.view.parts, **quiet)  # it needs to know the person
        listen(item.select, self.library.listed, self.library.selected, self.library.list, **quiet)
        asked, answer = [self.person, *self.form.inputs], [self.form.preflight, self.form.instead]
        lane = self.form.checking
        listen(entered.then, self.form.check, asked, answer, **lane)
        person = [self.person, self.strip, self.consent]
        picked = listen(self.strip.click, self._pick, None, [*person, *self.view.parts], **quiet)
        listen(picked.success, self.form.check, asked, answer, **lane)
        self.ask_for_consent = identities.ask_for_consent
        asked_for = listen(self.consent.click, self._ask_for_consent, None, identities.asked_for_consent, **quiet)
        listen(asked_for.success, None, None, None, js=SHOW_CONSENT)
        said = listen(self.check.click, lambda: (CHECKING, {}), None, answer, **quiet)
        listen(said.then, self.form.check, asked, answer, **lane)
        self.form.wire(self.person)
        now = [self.person, self.handed_person]
        back = self.form.draft.wire(
            item, {"base": self.form.base, **self.form.plain}, self._restore, now, self.entrance, watched=False
        )
        listen(back.then, self._show_run, shown, self.view.parts, **quiet)
        listen(back.then, self.form.check, asked, answer, **lane)
        self.view.wire()
        started = listen(self.start.click, self._start, asked, self.view.parts, **quiet)
        listen(started.success, None, None, None, js=scroll_to("#train-run"))
        listen(self.view.head.click, self._act, None, [*self.view.parts, *self.form.outputs], **quiet)
        self.library.wire(tabs)
        kept = [*self.view.parts, *self.library.parts]
        self.handed = [*self.generate.handed, self.window.tabs]
        listen(self.view.checkpoints.click, self._checkpoint, self.view.seen, [*kept, *self.handed], **quiet)
        (view, view_in, view_out), (leak, leak_in, leak_out) = self.view.tick, self.library.tick
        count = len(view_in)
        self.tick = (lambda *i: view(*i[:count]) | leak(*i[count:]), view_in + leak_in, view_out + leak_out)

    # -- person -----------------------------------------------------------------

    def _enter(self, person: str | None, chosen: str | None, filled: bool) -> Updates:
        """Fill the tab when it is opened: the person (else who was trained last), and the form once."""
        ids = [p.id for p in self.people.list()]
        trained = [r.identity_id for r in self.runs.list()[:1]]
        now = next((i for i in (person, chosen, *trained, *ids) if i in ids), None)
        form = {} if filled else self.form.filled(now, self.form.preset.value, None)
        return {**self._person(now), self.filled: True, **form}

    def _restore(self, kept: Kept, person: str | None, handed: bool) -> Updates:
        """Return the tab as it was before the page was loaded anew; a person who was handed over since stays."""
        before = kept.get("person")
        if not handed and before in [p.id for p in self.people.list()]:
            person = before
        return {**self._person(person), **self.form.restored(kept, person)}

    def _person(self, person_id: str | None) -> Updates:
        """Return the updates of person, strip and consent."""
        people = self.people.list()
        if not people:
            return {self.person: None, self.strip: "", self.consent: NOBODY}
        items = []
        for person in people:
            photos = self.people.photos(person.id)
            picture = self.window.picture_url(self.people.photo_path(photos[0].id)) if photos else ""
            items.append(
                text.Card(
                    person.id,
                    person.name,
                    f"{len(photos)} photo{'s' if len(photos) != 1 else ''}",
                    picture,
                    act="person",
                    selected=person.id == person_id,
                    icon="identities",
                )
            )
        person = next((p for p in people if p.id == person_id), people[0])
        return {
            self.person: person.id,
            self.strip: text.cards(items, "strip", "People"),
            self.consent: consent_note(person, datetime.now(UTC)),
        }

    def _ask_for_consent(self, event: gr.EventData) -> Updates:
        return self.ask_for_consent(clicked(event)[1])  # type: ignore[no-any-return]

    def _pick(self, event: gr.EventData) -> Updates:
        _, person_id = clicked(event)
        return self._person(person_id) | self.view.show(None, person_id)

    def _show_run(self, run_id: str | None, person: str | None, seen: dict[str, str]) -> Updates:
        return self.view.show(run_id, person, seen)

    # -- runs -------------------------------------------------------------------

    def _start(self, person: str | None, *values: Any) -> Updates:
        if not person:
            raise UserInputError("There is nobody to train on.", "Add a person with photos on the Identities tab.")
        plan = self.form.plan(*values)
        run_id = str(self.training.submit_train(person, plan).params["run_id"])
        if any(r.id != run_id and self.runs.state(r.id).can_stop for r in self.runs.list()):
            say("This training waits: it begins when the one before it has ended.", 6)
        return self.view.show(run_id)

    def _act(self, event: gr.EventData) -> Updates:
        act, run_id = clicked(event)
        if act == "smaller":
            return self._smaller(run_id)
        if act == "delete":
            return self.view.asked_to_delete(run_id)
        if act == "stop":
            self.runs.stop(run_id)
        elif act == "delete-now":
            self.runs.delete(run_id)
            say("The run was deleted; adapters kept from it stay.", 5)
            return self.view.show(None)
        elif act != "leave":
            self._go_on(act, run_id)
        return self.view.show(run_id)

    def _go_on(self, act: str, run_id: str) -> None:
        total = more_steps(self.runs.get(run_id).plan.steps) if act == "more" else None
        if total is not None:
            note = self.training.schedule_note(run_id, total)
            if note:
                say(note, 10)
        self.training.submit_go_on(run_id, total)

    def _smaller(self, run_id: str) -> Updates:
        """Return the form filled with what needs less memory than the run did."""
        run = self.runs.get(run_id)
        plan = self.training.smaller_plan(run_id)
        if plan is None:
            raise UserInputError("Nothing smaller is known for this run.", "Choose a preset for less memory.")
        say("The form now holds smaller settings. Press “Start training”.", 6)
        return self.form.updates(plan, self.form.preset.value, run.identity_id)

    # -- checkpoints --------------------------------------------------------------

    def _checkpoint(self, event: gr.EventData, seen: dict[str, str]) -> Updates:
        act, checkpoint_id = clicked(event)
        adapter = self.runs.adapter_of(checkpoint_id)
        updates = self.view.show(seen["run"], None, seen) | self.library.choose(adapter.id, export=act == "export")
        if act == "keep":
            say(f"“{adapter.name}” is among the adapters below.", 5)
        if act == "try":
            updates |= {**self.generate.hand_over(adapter), self.window.tabs: gr.Tabs(selected="generate")}
        return updates
