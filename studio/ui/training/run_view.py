"""The view of one training run: what the rows say now, and what can be done with it.

Nothing of a run is held by the page: it is read from its rows every time, and
a part is sent only when it changed, so that a second browser shows the same
and an idle page costs nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import gradio as gr

from studio.domain.job import Job
from studio.domain.training import Calibration, RunSample, TrainingRun
from studio.errors import UserInputError
from studio.ui.guard import say
from studio.ui.kit import text
from studio.ui.kit.controls import Updates, clickable, clicked, html, listen
from studio.ui.training import checkpoints
from studio.ui.training import run_parts as runs
from studio.ui.window import Window

NO_RUN = text.empty(
    "No training yet",
    "Choose a person and a preset, see that it fits, and press Start. It goes on when you leave.",
    "train",
)
STRENGTHS = "0.6, 0.8, 1"


class RunView:
    """The components of the view; the tab tells it which run to show."""

    def __init__(self, window: Window) -> None:
        """Remember the window."""
        self.window = window
        self.training = window.studio.training
        self.runs = window.studio.runs

    # -- layout ---------------------------------------------------------------

    def build(self) -> None:
        """Create the components, inside the tab's layout."""
        self.run = gr.State(None)
        self.seen = gr.State({})
        self.head = clickable(NO_RUN, elem_id="train-run")
        self.plots = html(elem_id="train-plots")
        self.checkpoints = clickable(elem_id="train-checkpoints")
        with gr.Accordion("All samples, step by step", open=False, visible=False, elem_id="train-samples") as self.fold:
            self.samples = html()
        with gr.Accordion(
            "Compare checkpoints and strengths", open=False, visible=False, elem_id="train-grid"
        ) as self.grid_fold:
            with gr.Row(elem_classes=["inline"]):
                self.strengths = gr.Textbox(
                    value=STRENGTHS,
                    label="Strengths",
                    info="Numbers with commas, up to 2.",
                    max_lines=1,
                    elem_id="train-strengths",
                )
                self.draw = gr.Button("Draw the grid", size="sm", scale=0, min_width=120, elem_id="train-draw-grid")
            self.grid = clickable(elem_id="train-cells")
        with gr.Accordion("Earlier runs", open=False, visible=False, elem_id="train-history") as self.history_fold:
            self.history = clickable()

    @property
    def parts(self) -> list[Any]:
        """Everything that `show` updates."""
        return [
            self.run, self.seen, self.head, self.plots, self.checkpoints, self.fold, self.samples,
            self.grid_fold, self.grid, self.history_fold, self.history,
        ]  # fmt: skip

    def wire(self) -> None:
        """Attach the listeners that stay inside the view."""
        quiet: dict[str, Any] = {"show_progress": "hidden"}
        listen(self.history.click, self._open, None, self.parts, **quiet)
        listen(self.draw.click, self._draw_grid, [self.run, self.strengths], self.parts, **quiet)
        listen(self.grid.click, self._vote, [self.run, self.seen], self.parts, **quiet)
        self.tick = (self._tick, [self.run, self.seen], self.parts)

    # -- what is shown ----------------------------------------------------------

    def show(self, run_id: str | None, person: str | None = None, seen: dict[str, str] | None = None) -> Updates:
        """Return the updates of `parts`; with `seen` only of those that changed since."""
        run = self.runs.current(run_id, person)
        if run is None:
            past = self._history(self.runs.list(), None)
            return {
                self.run: None,
                self.seen: {},
                self.head: NO_RUN,
                self.plots: "",
                self.checkpoints: "",
                **self._folded(self.fold, self.samples, ""),
                **self._folded(self.grid_fold, self.grid, ""),
                **self._folded(self.history_fold, self.history, past),
            }
        known = dict(seen or {}) if (seen or {}).get("run") == run.id else {}
        now = {"run": run.id}
        updates: Updates = {self.run: run.id, self.seen: now}
        folds = {"samples": self.fold, "grid": self.grid_fold, "history": self.history_fold}
        for name, mark, make in self._pieces(run, known):
            now[name] = mark
            if known.get(name) != mark:
                part = getattr(self, name)
                updates |= self._folded(folds[name], part, make()) if name in folds else {part: make()}
        return updates

    @staticmethod
    def _folded(fold: gr.Accordion, part: gr.HTML, shown: str) -> Updates:
        """Return the updates of a part in a fold; the fold is there while there is something in it."""
        return {fold: gr.Accordion(visible=bool(shown)), part: shown}

    def _pieces(self, run: TrainingRun, known: dict[str, str]) -> list[tuple[str, str, Callable[[], Any]]]:
        """Return (attribute, what it depends on, how it is made) of every part."""
        job = self.runs.listed_job(run)
        metrics = self.runs.metrics(run.id)
        found = self.runs.checkpoints(run.id)
        samples = self.runs.samples(run.id)
        kept = {a.checkpoint_id: a.name for a in self.window.studio.adapters.list() if a.run_id == run.id}
        suggestion = self.runs.suggestion(run.id) if len(found) > 1 else None
        best = suggestion.checkpoint.step if suggestion and suggestion.is_alike else None
        cells = self.runs.grid_cells(run.id)
        state = f"{job.state}/{job.message}/{job.seconds_left}/{job.cancel_requested}" if job else "-"
        ends = {n: (len(p), p[-1]) for n, p in metrics.items() if p}
        drawn = f"{len(samples)}/{samples[-1].step if samples else ''}"
        measured = [(c.step, c.distance, c.drift, c.has_state, c.media_sha256[:8]) for c in found]
        listed = self.runs.list()
        moving = [
            (j.id, j.state, round(j.fraction, 2))
            for j in self.window.studio.jobs.list()
            if j.is_active and j.kind == "train"
        ]
        return [
            ("head", f"{state}/{run.outcome}/{run.name}/{ends.get('loss')}", lambda: self._head(run, job, metrics)),
            (
                "plots",
                f"{ends}/{best}/{run.plan.steps}/{drawn}",
                lambda: runs.plots(run, metrics, best, self._newest(run, samples)),
            ),
            (
                "checkpoints",
                f"{measured}/{kept}/{best}/{drawn}",
                lambda: self._checkpoints(run, found, samples, kept, suggestion),
            ),
            ("samples", drawn, lambda: self._sheet(run, samples)),
            (
                "grid",
                f"{[(c.id, c.vote, c.media_sha256[:8]) for c in cells]}/{len(found)}",
                lambda: self._cells(run, cells) if found else "",
            ),
            (
                "history",
                f"{run.id}/{[(r.id, r.name) for r in listed]}/{job.state if job else ''}/{moving}",
                lambda: self._history(listed, run),
            ),
        ]

    def asked_to_delete(self, run_id: str) -> Updates:
        """Return the updates of `parts` that ask whether a run is really to be deleted."""
        run = self.runs.get(run_id)
        head = self._head(run, self.runs.listed_job(run), self.runs.metrics(run_id), asking=True)
        return {self.head: head}

    def _head(self, run: TrainingRun, job: Job | None, metrics: runs.Metrics, *, asking: bool = False) -> str:
        state = self.runs.state(run.id)
        tail = self.window.studio.jobs.log_tail(job.id) if job and state.state in ("failed", "interrupted") else ""
        return runs.head(state, job, metrics, tail, asking=asking)

    def picture(self, media_sha256: str) -> str:
        """Return the address of a run's picture."""
        return self.window.picture_url(self.runs.picture(media_sha256))

    def _sample_view(self, sample: RunSample, scale: Calibration | None) -> checkpoints.SampleView:
        alike = scale.likeness(sample.distance) if scale and sample.distance is not None else None
        url = self.picture(sample.media_sha256)
        return checkpoints.SampleView(sample.step, sample.kind, sample.prompt, sample.seed, url, alike)

    def _newest(self, run: TrainingRun, samples: tuple[RunSample, ...]) -> str:
        person = [s for s in samples if s.kind == "person"]
        views = [self._sample_view(s, run.calibration) for s in person if s.step == person[-1].step]
        return checkpoints.newest(views, run.calibration.spread if run.calibration else None)

    def _sheet(self, run: TrainingRun, samples: tuple[RunSample, ...]) -> str:
        if not samples:
            return ""
        spread = run.calibration.spread if run.calibration else None
        return checkpoints.sample_sheet([self._sample_view(s, run.calibration) for s in samples], spread)

    def _checkpoints(self, run: TrainingRun, found: Any, samples: Any, kept: Any, suggestion: Any) -> str:
        if not found:
            return ""
        scale = run.calibration
        alike_one = suggestion is not None and suggestion.is_alike
        views = []
        for c in found:
            pictures = [self.picture(s.media_sha256) for s in samples if s.step == c.step and s.kind == "person"]
            alike = scale.likeness(c.distance) if scale and c.distance is not None else None
            reason = suggestion.reason if alike_one and suggestion.checkpoint.id == c.id else ""
            views.append(
                checkpoints.CheckpointView(
                    c.id, c.step, alike, c.drift, c.loss, pictures[:2], reason, kept.get(c.id, "")
                )
            )
        title = text.heading("Checkpoints", "Any of them can be kept, not only the last.")
        if suggestion is not None and not alike_one:
            said = f"None looks like the person yet; the closest is step {suggestion.checkpoint.step}."
            title += text.notice(f"{said} {suggestion.reason}", suggestion.next_step, "warn")
        return title + checkpoints.checkpoint_list(views, scale.spread if scale else None)

    def _cells(self, run: TrainingRun, cells: Any) -> str:
        scale = run.calibration
        views = [
            checkpoints.CellView(
                c.id, c.step, c.strength, self.picture(c.media_sha256), c.vote,
                scale.likeness(c.distance) if scale and c.distance is not None else None,
            )
            for c in cells
        ]  # fmt: skip
        return checkpoints.grid(views, scale.spread if scale else None)

    def _history(self, listed: tuple[TrainingRun, ...], shown: TrainingRun | None) -> str:
        if all(run == shown for run in listed):
            return ""
        rows = []
        for run in listed[:24]:
            drawn = [s for s in self.runs.samples(run.id) if s.kind == "person"]
            rows.append(
                (
                    self.runs.state(run.id),
                    self.runs.listed_job(run),
                    self.picture(drawn[-1].media_sha256) if drawn else "",
                )
            )
        return runs.history(rows, shown.id if shown else None)

    # -- handlers ---------------------------------------------------------------

    def _tick(self, run_id: str | None, seen: dict[str, str]) -> Updates:
        return self.show(run_id, None, seen) if run_id else {}

    def _open(self, event: gr.EventData) -> Updates:
        return self.show(clicked(event)[1])

    def _draw_grid(self, run_id: str | None, typed: str) -> Updates:
        try:
            strengths = [float(part) for part in (typed or "").replace(";", ",").split(",") if part.strip()]
        except ValueError as exc:
            raise UserInputError(
                f"{typed!r} are no numbers.", f"Write strengths with commas, such as {STRENGTHS}."
            ) from exc
        if not run_id or not strengths:
            raise UserInputError("There is nothing to draw.", "Open a run with a checkpoint and write a strength.")
        self.training.submit_draw_grid(run_id, strengths)
        say("The grid is in the queue; pictures appear below as they are drawn.", 5)
        return self.show(run_id)

    def _vote(self, run_id: str, seen: dict[str, str], event: gr.EventData) -> Updates:
        act, cell_id = clicked(event)
        value = 1 if act == "up" else -1
        before = next((c.vote for c in self.runs.grid_cells(run_id) if c.id == cell_id), 0)
        self.runs.vote(cell_id, 0 if before == value else value)
        return self.show(run_id, None, seen)
