"""Where a training run stands, read from its row and the job that trained it last.

A process that is killed writes nothing, so what a run says of itself is not
enough: its job knows how the process ended. Nothing here changes anything.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from studio.domain.job import Job
from studio.domain.training import Checkpoint, TrainingRun

KILLED = (-9, 137)
"""Exit codes of a process that the system ended, as it does when memory runs out."""

MEMORY_ERRORS = ("OutOfMemoryError", "MemoryError")

State = Literal["waiting", "training", "stopped", "interrupted", "failed", "done"]

RunAction = Literal["stop", "more", "continue", "start again", "delete"]


@dataclass(frozen=True)
class RunState:
    """Where a run stands, read from its rows and its job.

    Attributes:
        step: the last step on the curves; 0 before the first.
        steps: of the plan.
        saved_step: of the last checkpoint that training can go on from; None without one.
        sentence: for the person; says what to do when it ended badly.
        out_of_memory: it ended for want of memory, or was killed as the system does then;
            `Training.smaller_plan` says what to try.
    """

    run: TrainingRun
    state: State
    step: int
    steps: int
    saved_step: int | None
    sentence: str
    out_of_memory: bool = False

    @property
    def can_stop(self) -> bool:
        """Whether stopping would do anything."""
        return self.state in ("waiting", "training")

    @property
    def can_continue(self) -> bool:
        """Whether steps of the plan are left to do."""
        return not self.can_stop and self.state != "done"

    def actions(self, job: Job | None) -> tuple[RunAction, ...]:
        """Return what can be done with the run now.

        Args:
            job: the one that trains it, or trained it last.
        """
        if self.can_stop:
            return ("stop",) if job is not None and job.can_cancel else ()
        if self.state == "done":
            return ("more", "delete")
        return ("continue" if self.saved_step else "start again", "delete")


def standing(run: TrainingRun, job: Job | None, saved: int) -> tuple[State, str, bool]:
    """Return state, sentence, and whether memory was the trouble.

    Args:
        saved: step of the last checkpoint.
    """
    if job is not None and job.is_active:
        training = job.state == "running"
        return ("training" if training else "waiting"), (job.message if training else "Waits for its turn."), False
    if saved >= run.plan.steps:
        return "done", run.outcome or f"Done: {saved} steps.", False
    failure = None if job is None else job.failure
    if failure is not None:
        killed = failure.error == "ProcessEnded" and failure.exit_code in KILLED
        memory = killed or failure.error in MEMORY_ERRORS
        shown = failure.in_window
        hint = "Continue it, or start a smaller plan." if memory else shown.hint
        state: State = "interrupted" if job is not None and job.state == "interrupted" else "failed"
        return state, f"{shown.message} {hint}".strip(), memory
    return "stopped", run.outcome or "Stopped before the first checkpoint.", False


def measures_of(run: TrainingRun, checkpoint: Checkpoint) -> dict[str, Any]:
    """Return what is known of a checkpoint as JSON values."""
    values: dict[str, Any] = {"step": checkpoint.step, "photos": len(run.photos)}
    for name in ("distance", "drift", "loss"):
        if getattr(checkpoint, name) is not None:
            values[name] = round(getattr(checkpoint, name), 5)
    if run.calibration is not None and checkpoint.distance is not None:
        values |= {
            "likeness": round(run.calibration.likeness(checkpoint.distance), 4),
            "spread": round(run.calibration.spread, 4),
        }
    return values
