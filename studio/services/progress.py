"""How far long work is: one value for everything that takes a while, in a job or not.

Whoever works calls an `OnProgress`; what it raises ends the work. `told` makes
one out of a job, so that work in a job stops when the person asks for it.
"""

from __future__ import annotations

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


def told(context: JobContext) -> OnProgress:
    """Return what passes progress on to a job, and stops when the person asked for it."""
    from studio.engines.media.pictures import fit_longer_side, png_bytes

    def tell(progress: Progress) -> None:
        context.check_cancelled()
        picture = None if progress.preview is None else png_bytes(fit_longer_side(progress.preview, PREVIEW_PIXELS))
        context.progress(progress.fraction, progress.stage, picture)

    return tell
