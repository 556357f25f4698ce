"""What there is of training runs: where they stand, their curves and pictures, and what is kept of them.

Choosing is here (the suggestion, the votes, putting a checkpoint into the
adapter library), starting is in `training`. Nothing here needs torch.
"""

from __future__ import annotations

import builtins
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from studio.domain.adapter import Adapter, NewAdapter, free_name
from studio.domain.job import Job
from studio.domain.training import (
    Checkpoint,
    GridCell,
    RunSample,
    Suggestion,
    TrainingRun,
    next_step,
    suggest_checkpoint,
)
from studio.errors import ConflictError, NotFoundError, UserInputError
from studio.services.training.grids import GridSummary, grid_sheet, summarize
from studio.services.training.states import RunState, measures_of, standing

if TYPE_CHECKING:
    from studio.jobs.queue import JobQueue
    from studio.services.bases import Bases
    from studio.store import OwnerStore


class RunHistory:
    """The runs of one owner."""

    def __init__(self, store: OwnerStore, queue: JobQueue, bases: Bases) -> None:
        self._store = store
        self._queue = queue
        self._bases = bases

    # -- looking ---------------------------------------------------------------------

    def list(self, identity_id: str | None = None) -> tuple[TrainingRun, ...]:
        """Return runs, newest first, of one person or of all."""
        return self._store.runs.list(identity_id=identity_id)

    def get(self, run_id: str) -> TrainingRun:
        """Return one run.

        Raises:
            NotFoundError: no such run.
        """
        return self._store.runs.get(run_id)

    def current(self, run_id: str | None, identity_id: str | None = None) -> TrainingRun | None:
        """Return the run to show: the asked one, else a person's that trains or their newest, else any that trains."""
        runs = self.list()
        asked = next((r for r in runs if r.id == run_id), None)
        if asked is not None:
            return asked
        mine = [r for r in runs if identity_id in (None, r.identity_id)]
        active = [r for r in mine or runs if (job := self.listed_job(r)) is not None and job.is_active]
        return next(iter([*active, *mine]), None)  # both newest first

    def listed_job(self, run: TrainingRun) -> Job | None:
        """Return the job that trains a run, or trained it last; None when it was cleared away."""
        try:
            return self.job(run)
        except NotFoundError:
            return None

    def state(self, run_id: str) -> RunState:
        """Say where a run stands."""
        run = self.get(run_id)
        job = self.job(run)
        checkpoints = self.checkpoints(run_id)
        saved = max((c.step for c in checkpoints), default=0)
        resumable = max((c.step for c in checkpoints if c.has_state), default=None)
        step = max(saved, self._store.runs.last_step(run_id))
        state, sentence, memory = standing(run, job, saved)
        return RunState(run, state, step, run.plan.steps, resumable, sentence, memory)

    def metrics(self, run_id: str) -> Mapping[str, builtins.list[tuple[int, float]]]:
        """Return curves by name, each (step, value) by step.

        Names: loss, learning_rate, steps_per_second; at samples distance, likeness, drift, faces_found (0..1).

        Raises:
            NotFoundError: no such run.
        """
        return self._store.runs.metrics(self.get(run_id).id)

    def samples(self, run_id: str, step: int | None = None) -> tuple[RunSample, ...]:
        """Return the pictures drawn while training, of one step or of all; `picture` gives their files.

        Raises:
            NotFoundError: no such run.
        """
        return self._store.runs.samples(self.get(run_id).id, step=step)

    def picture(self, media_sha256: str) -> Path:
        """Return where a sample's or cell's picture lies.

        Raises:
            NotFoundError: the file is gone.
        """
        return self._store.media.get(media_sha256)

    def checkpoints(self, run_id: str) -> tuple[Checkpoint, ...]:
        """Return a run's checkpoints by step.

        Raises:
            NotFoundError: no such run.
        """
        return self._store.runs.checkpoints(self.get(run_id).id)

    def suggestion(self, run_id: str) -> Suggestion | None:
        """Return the checkpoint to keep by likeness minus drift; None without checkpoints."""
        run = self.get(run_id)
        found = suggest_checkpoint(self.checkpoints(run_id), run.calibration)
        if found is None or found.is_alike:
            return found
        preview = any(e.card.source == "embedded" and e.card.name == run.plan.base for e in self._bases.list())
        return replace(found, next_step=next_step(run.plan, len(run.photos), is_preview=preview))

    def delete(self, run_id: str) -> None:
        """Delete a run with its pictures and states; adapters kept from it stay.

        Raises:
            ConflictError: its job still waits or runs.
        """
        self._store.runs.delete(run_id)

    # -- keeping ---------------------------------------------------------------------

    def keep(self, checkpoint_id: str, name: str) -> Adapter:
        """Put a checkpoint into the adapter library, with what was measured of it.

        Raises:
            UserInputError: the name is empty.
            ConflictError: the name is taken.
            NotFoundError: no such checkpoint.
        """
        if not name.strip():
            raise UserInputError("The adapter has no name.", "Write a name.")
        checkpoint = self._store.runs.checkpoint(checkpoint_id)
        run = self.get(checkpoint.run_id)
        location = self._bases.resolve(run.plan.base)
        shown = [s for s in self.samples(run.id, checkpoint.step) if s.kind == "person"]
        full = run.plan.method == "dreambooth"
        return self._store.adapters.add(
            NewAdapter(
                name=name.strip(), method=run.plan.method, origin="trained", family=location.family,
                media_sha256=checkpoint.media_sha256, thumbnail_sha256=shown[0].media_sha256 if shown else None,
                trigger=f"{run.plan.trigger} {run.plan.class_word}", rank=None if full else run.plan.rank,
                base_name=run.plan.base, base_sha256=run.base_sha256, identity_id=run.identity_id, run_id=run.id,
                checkpoint_id=checkpoint.id, measures=measures_of(run, checkpoint),
            ),
        )  # fmt: skip

    def adapter_of(self, checkpoint_id: str) -> Adapter:
        """Return the adapter of a checkpoint; one that was not kept yet is kept now, under a name that is free.

        Raises:
            NotFoundError: no such checkpoint.
        """
        checkpoint = self._store.runs.checkpoint(checkpoint_id)
        known = self._store.adapters.list()
        for adapter in known:
            if adapter.checkpoint_id == checkpoint_id:
                return adapter
        person = self._store.identities.get(self.get(checkpoint.run_id).identity_id)
        name = free_name(f"{person.name} {checkpoint.step}", {a.name for a in known})
        try:
            return self.keep(checkpoint_id, name)
        except ConflictError:  # another window kept it under this name a moment ago
            return next(a for a in self._store.adapters.list() if a.name == name)

    # -- judging ---------------------------------------------------------------------

    def grid_cells(self, run_id: str) -> tuple[GridCell, ...]:
        """Return the grid's pictures by checkpoint, strength, prompt and seed.

        Raises:
            NotFoundError: no such run.
        """
        return self._store.runs.cells(self.get(run_id).id)

    def grid_summary(self, run_id: str) -> tuple[GridSummary, ...]:
        """Return one row per checkpoint and strength: mean likeness, faces found, votes; best votes first."""
        return summarize(self.grid_cells(run_id), self.get(run_id).calibration)

    def save_grid(self, run_id: str, out: Path) -> Path:
        """Write the whole grid as one picture with its strengths and steps beside it.

        Raises:
            UserInputError: there is no grid yet, or the name does not end in .png.
            StoreError: the place cannot be written.
        """
        from studio.engines.media.atomic import atomic_file, check_place
        from studio.engines.media.pictures import png_bytes, read_picture

        check_place(out)
        if out.suffix.lower() != ".png":
            raise UserInputError(f"{out.name} is no name for a grid.", "End it in .png.")
        cells = self.grid_cells(run_id)
        if not cells:
            raise UserInputError("The run has no grid yet.", "Draw one first.")
        sheet = grid_sheet([(c, read_picture(self.picture(c.media_sha256)).rgb) for c in cells])
        with atomic_file(out) as part:
            part.write_bytes(png_bytes(sheet))
        return out

    def vote(self, cell_id: str, vote: int) -> GridCell:
        """Say whether a picture of the grid is good (+1), bad (-1), or take it back (0).

        Raises:
            UserInputError: another number.
            NotFoundError: no such cell.
        """
        if vote not in (-1, 0, 1):
            raise UserInputError(f"A vote of {vote} is not possible.", "Vote +1, -1, or 0 for no opinion.")
        return self._store.runs.vote(cell_id, vote)

    def stop(self, run_id: str) -> Job:
        """Ask a run to stop; it saves first, and can be continued.

        Raises:
            ConflictError: it neither waits nor runs.
        """
        job = self.job(self.get(run_id))
        if job is None or not job.is_active:
            raise ConflictError("The run neither waits nor trains.", "Nothing was changed.")
        return self._queue.cancel(job.id)

    def job(self, run: TrainingRun) -> Job | None:
        """Return the job that trained a run last, or None."""
        """Return the run's last job; None when it never had one, or it was taken off the list."""
        return None if run.job_id is None else self._queue.get(run.job_id)
