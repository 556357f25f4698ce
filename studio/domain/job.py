"""A job: long work that waits, runs, and ends honestly.

    queued ──> running ──> done
      │ ▲         ├──────> failed       the work itself went wrong
      │ │         ├──────> cancelled    the person stopped it
      │ │         └──────> interrupted  its process ended: killed, crashed, closed
      │ └── resume: failed, cancelled and interrupted go back to the queue
      └──> cancelled

`resume` continues the same row in its own work folder; `retry` makes a new row
whose `parent_id` names the old one and starts afresh. Nothing here reads a
clock or knows a process.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from itertools import pairwise
from statistics import median
from typing import Any, Literal, get_args

from studio.errors import StudioError, Told

Lane = Literal["main", "long"]
"""Each lane has a worker process of its own, so that a training of hours holds up no picture."""
LANES: tuple[Lane, ...] = get_args(Lane)
JobState = Literal["queued", "running", "done", "failed", "cancelled", "interrupted"]
STATES: tuple[JobState, ...] = get_args(JobState)
TRANSITIONS: Mapping[JobState, frozenset[JobState]] = {
    "queued": frozenset({"running", "cancelled"}),
    "running": frozenset({"done", "failed", "cancelled", "interrupted"}),
    "done": frozenset(),
    "failed": frozenset({"queued"}),
    "cancelled": frozenset({"queued"}),
    "interrupted": frozenset({"queued"}),
}
LOG_TAIL_LINES = 40
"""How many of the last log lines a failure shows."""


@dataclass(frozen=True)
class Takes:
    """Which kinds of jobs a worker takes.

    Attributes:
        only: these and no others; None takes all.
        but: never these.
    """

    only: frozenset[str] | None = None
    but: frozenset[str] = frozenset()

    @classmethod
    def of_lane(cls, lane: Lane, long_kinds: frozenset[str]) -> Takes:
        """Return what the worker of a lane takes."""
        return cls(only=long_kinds) if lane == "long" else cls(but=long_kinds)


@dataclass(frozen=True, kw_only=True)
class Failure:
    """Why a job did not finish.

    Attributes:
        error: class name of the exception, or "ProcessEnded".
        message, hint: one sentence for the person, and what to do, at the console.
        window_message, window_hint: the same in the window; None where it is not another.
        exit_code: of the process, when it ended by itself; negative is a signal.
    """

    error: str
    message: str
    hint: str = ""
    exit_code: int | None = None
    window_message: str | None = None
    window_hint: str | None = None

    @classmethod
    def of(cls, error: StudioError) -> Failure:
        """Return what a job keeps of an error, for every front door."""
        shown = error.in_window
        return cls(
            error=type(error).__name__,
            message=error.message,
            hint=error.hint,
            window_message=shown.message if shown.message != error.message else None,
            window_hint=shown.hint if shown.hint != error.hint else None,
        )

    @property
    def in_window(self) -> Told:
        """What the page shows of it."""
        return Told(
            self.message if self.window_message is None else self.window_message,
            self.hint if self.window_hint is None else self.window_hint,
        )


@dataclass(frozen=True, kw_only=True)
class Claim:
    """A process's hold on a job or on the worker's place.

    A pid alone may have been given to another process since; with the moment
    the process started and the host it ran on, it names one process.

    Attributes:
        token: secret of this hold; whoever writes shows it, so that a process
            whose job was given to another can no longer change it.
        process_started: seconds since 1970, as the system says.
    """

    token: str
    pid: int
    process_started: float
    host: str


@dataclass(frozen=True, kw_only=True)
class Job:
    """One job; times are aware UTC.

    Attributes:
        params: the kind's own parameters as JSON values.
        fraction: 0..1; 1 only when done.
        message: what is being done now.
        seconds_left: estimate while running; None when not yet known.
        preview_number: grows with every preview picture; 0 is none yet.
        outputs: what run() returned, e.g. {"render_id": ...}.
        checkpoint: what the job saved for its own resumption.
        attempt: 1 for the first; grows with every resume and retry.
        parent_id: the job this one is a retry of.
        cancel_requested: the person asked it to stop and it has not yet.
        pid, process_started, host: the process that runs it, or ran it last.
    """

    id: str
    owner: str
    kind: str
    title: str
    params: Mapping[str, Any] = field(repr=False)
    state: JobState
    fraction: float = 0.0
    message: str = ""
    seconds_left: float | None = None
    preview_number: int = 0
    outputs: Mapping[str, Any] = field(default_factory=dict)
    checkpoint: Mapping[str, Any] = field(default_factory=dict, repr=False)
    failure: Failure | None = None
    attempt: int = 1
    parent_id: str | None = None
    project_id: str | None = None
    identity_id: str | None = None
    cancel_requested: bool = False
    created: datetime
    started: datetime | None = None
    finished: datetime | None = None
    heartbeat: datetime | None = None
    pid: int | None = None
    process_started: float | None = None
    host: str | None = None

    @property
    def is_active(self) -> bool:
        """Whether it waits or runs."""
        return self.state in ("queued", "running")

    @property
    def can_cancel(self) -> bool:
        """Whether cancelling would do anything."""
        return self.is_active and not self.cancel_requested

    @property
    def can_resume(self) -> bool:
        """Whether it can go on where it stopped."""
        return "queued" in TRANSITIONS[self.state]

    @property
    def can_retry(self) -> bool:
        """Whether it can be started afresh as a new attempt."""
        return not self.is_active


def estimate_seconds_left(samples: Sequence[tuple[float, float]]) -> float | None:
    """Estimate how long a job still takes, unmoved by a slow start or a pause.

    The rate is the median of the rates between neighboring samples, weighted
    by nothing: a minute of loading weights is one sample among many.

    Args:
        samples: (seconds on any clock, fraction 0..1), oldest first.

    Returns:
        Seconds, or None while fewer than three steps forward are known.
    """
    rates = [(f1 - f0) / (t1 - t0) for (t0, f0), (t1, f1) in pairwise(samples) if t1 > t0 and f1 > f0]
    if len(rates) < 3:
        return None
    return max(0.0, (1.0 - samples[-1][1]) / median(rates))
