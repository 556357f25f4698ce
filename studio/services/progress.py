"""How far long work is: one value for everything that takes a while, in a job or not.

Whoever works calls an `OnProgress`; what it raises ends the work. `told` makes
one out of a job, so that work in a job stops when the person asks for it.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field

from studio.engines.base import Image
from studio.jobs.kinds import JobContext

PREVIEW_PIXELS = 256


@dataclass(frozen=True)
class Progress:
    """One step forward.

    Attributes:
        fraction: 0..1.
        stage: what is being done, for the person.
        seconds_left: None while nothing can be said.
        preview: the newest picture.  # (H, W, 3) uint8
    """

    fraction: float
    stage: str
    seconds_left: float | None = None
    preview: Image | None = field(default=None, repr=False)


OnProgress = Callable[[Progress], None]


class Pace:
    """How fast even steps follow each other, apart from the loading that goes before the first."""

    def __init__(self) -> None:
        self._begun = time.perf_counter()
        self._first: tuple[float, float] | None = None
        self._second: tuple[float, float] | None = None
        self._last: tuple[float, float] | None = None

    def note(self, done: float) -> None:
        """Note that so much is done, on any scale; the first note comes after the loading and the first step."""
        self._last = (time.perf_counter(), done)
        if self._first is None:
            self._first = self._last
        elif self._second is None and done > self._first[1]:
            self._second = self._last

    @property
    def loading_seconds(self) -> float | None:
        """What went by before the first step began; None before the second step is done."""
        if self._first is None or self._second is None:
            return None
        return max(0.0, self._first[0] - self._begun - (self._second[0] - self._first[0]))

    def seconds_left(self, whole: float) -> float | None:
        """Return how long the rest of `whole` takes at the pace since the first note; None before the second."""
        if self._first is None or self._second is None or self._last is None:
            return None
        spent, done = self._last[0] - self._first[0], self._last[1] - self._first[1]
        return spent / done * (whole - self._last[1])


def told(context: JobContext) -> OnProgress:
    """Return what passes progress on to a job, and stops when the person asked for it."""
    from studio.engines.media.pictures import fit_longer_side, png_bytes

    def tell(progress: Progress) -> None:
        context.check_cancelled()
        picture = None if progress.preview is None else png_bytes(fit_longer_side(progress.preview, PREVIEW_PIXELS))
        context.progress(progress.fraction, progress.stage, picture, seconds_left=progress.seconds_left)

    return tell


def told_bytes(on_progress: OnProgress | None, stage: str) -> Callable[[int, int], None] | None:
    """Return what passes on how many bytes are done, and of how many; None where nobody listens."""
    if on_progress is None:
        return None
    return lambda done, total: on_progress(Progress(done / max(total, 1), f"{stage}: {done / 1e6:.0f} MB"))
