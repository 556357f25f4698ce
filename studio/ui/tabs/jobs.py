"""Jobs: everything that waits, runs or ended, read from the rows once a second.

No job lives in this page: closing it stops nothing, and a second browser shows
the same list. The timer is slow while nothing is going on.
"""

from __future__ import annotations

from typing import Any

import gradio as gr

from studio.domain.job import Job
from studio.ui.guard import unasked
from studio.ui.kit import text
from studio.ui.kit.controls import Updates, clickable, clicked, html, listen
from studio.ui.window import BUSY_SECONDS, IDLE_SECONDS, Window, made_by

SHOWN_JOBS = 30
EMPTY = text.empty(
    "No jobs yet", "Clips, drawings and trainings appear here, and go on when you close the page.", "jobs"
)


class JobsTab:
    """The tab; it also answers the page's one timer."""

    id = "jobs"
    title = "Jobs"

    def __init__(self, window: Window) -> None:
        """Remember the window."""
        self.window = window

    def build(self) -> None:
        """Create the components."""
        html(text.heading("Jobs", "Long work goes on in the background, also when this page is closed."))
        self.list = clickable(elem_id="jobs-list")
        self.seen = gr.State("")

    def wire(self, tabs: dict[str, Any], item: gr.Tab, page: gr.Blocks) -> None:
        """Attach the listeners."""
        library = tabs["library"]
        self.show_render = library.show
        quiet: dict[str, Any] = {"show_progress": "hidden"}
        listen(item.select, self.rows, None, self.list, **quiet)
        listen(self.list.click, self._act, None, [self.list, self.window.tabs, *library.detail], **quiet)
        watching = [t.tick for t in tabs.values() if hasattr(t, "tick")]
        self.finders = [t.find_running for t in tabs.values() if hasattr(t, "find_running")]
        self.watchers = [(handler, len(inputs)) for handler, inputs, _ in watching]
        listen(
            self.window.timer.tick,
            unasked(self._tick),
            [self.seen, *(c for _, inputs, _ in watching for c in inputs)],
            [self.seen, self.list, self.window.timer, *(c for _, _, outputs in watching for c in outputs)],
            trigger_mode="once",
            **quiet,
        )

    def rows(self) -> str:
        """Return all jobs as cards, active ones first."""
        return self._cards(self._listed())

    def _listed(self) -> list[Job]:
        return sorted(self.window.studio.jobs.list(), key=lambda j: (not j.is_active, -j.created.timestamp()))[
            :SHOWN_JOBS
        ]

    def _cards(self, jobs: list[Job]) -> str:
        if not jobs:
            return EMPTY
        waiting = [j for j in jobs if j.state == "interrupted"]
        note = ""
        if waiting:
            said = "1 job was interrupted." if len(waiting) == 1 else f"{len(waiting)} jobs were interrupted."
            note = text.notice(said, "Press Resume to go on where it stopped; finished frames are kept.", "warn")
        return note + '<div class="joblist">' + "".join(self._card(j) for j in jobs) + "</div>"

    def _card(self, job: Job) -> str:
        tail = self.window.studio.jobs.log_tail(job.id) if job.state == "failed" else ""
        return self.window.job_card(job, tail)

    def _tick(self, seen: str, *watch: Any) -> Updates:
        """Refresh list and watched job; say nothing where nothing has changed."""
        self.window.drawn.set()  # a page that ticks has been drawn
        jobs = self._listed()
        busy = any(j.is_active for j in jobs)
        now = str(hash(tuple((j.id, j.state, j.fraction, j.message, j.seconds_left, j.cancel_requested) for j in jobs)))
        updates = {self.seen: now, self.window.timer: gr.Timer(BUSY_SECONDS if busy else IDLE_SECONDS)}
        if now != seen:
            updates[self.list] = self._cards(jobs)
        return updates | ({} if seen else self._running()) | self._watched(watch)

    def _running(self) -> Updates:
        """Let the tabs find what already runs: once, when the page has been drawn, which it would hold up."""
        found: Updates = {}
        for find in self.finders:
            said = unasked(find)()
            if said != gr.skip():
                found |= said
        return found

    def _watched(self, inputs: tuple[Any, ...]) -> Updates:
        """Ask each tab that watches a job what is new; one that fails keeps what it shows, and holds up no other."""
        updates: Updates = {}
        for handler, taken in self.watchers:
            mine, inputs = inputs[:taken], inputs[taken:]
            said = unasked(handler)(*mine)
            if said != gr.skip():
                updates |= said
        return updates

    def _act(self, event: gr.EventData) -> Updates:
        act, job_id = clicked(event)
        if act == "show":
            render_id = made_by(self.window.studio.jobs.get(job_id))
            shown: Updates = self.show_render(render_id)
            return shown | {self.window.tabs: gr.Tabs(selected="library")}
        if act == "forget":
            self.window.studio.jobs.forget(job_id)
        else:
            self.window.act_on_job(act, job_id)
        return {self.list: self.rows()}
