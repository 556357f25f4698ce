"""The second half of a drawn clip: the rig's frames, piece by piece, drawn anew by a base model.

The rig gives what moves smoothly; the base gives what it was taught of the
person. Every piece begins from the rig's frames and from one and the same
noise, which is what keeps the frames from flickering. Pieces begin at fixed
frames, so that a clip that was interrupted goes on with the frames it would
have had.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np

from studio.engines.base import Image
from studio.engines.base_video import ClipOrder, ClipPainter
from studio.services.clips.making import FrameSource
from studio.services.pictures.generation import PreparedDrawing
from studio.services.progress import OnProgress, Pace, Progress

PIECE = 16
"""Frames that are drawn at a time."""


@dataclass
class Painting:
    """Draws the frames of one clip; the `FrameFinish` of `ClipMaker`.

    Attributes:
        order: how; its size is the base's, not the clip's.
        cover: the anchor picture.
        note: adds to the recipe of the rig's clip what the whole needs.
        own_lips: lay the rig's mouth and eyes back.
        pace: in frames, since painting began.
        first: frame with which it began; more than 0 goes on where an earlier process was interrupted.
    """

    painter: ClipPainter
    drawing: PreparedDrawing
    order: ClipOrder
    cover: Image
    note: Callable[[Mapping[str, Any]], dict[str, Any]]
    own_lips: bool
    on_progress: OnProgress
    pace: Pace = field(default_factory=Pace)
    first: int = 0

    def seconds_left(self, frames: int) -> float | None:
        """See `FrameFinish`."""
        return self.pace.seconds_left(frames)

    def recipe(self, of_clip: Mapping[str, Any]) -> dict[str, Any]:
        """See `FrameFinish`."""
        return self.note(of_clip)

    def paint(self, source: FrameSource, first: int) -> Iterator[Image]:
        """See `FrameFinish`."""
        self.pace, self.first = Pace(), first
        for begin in range(first // PIECE * PIECE, len(source), PIECE):
            rows = range(begin, min(begin + PIECE, len(source)))
            drawn = [source.picture(row) for row in rows]
            painted = self.painter.paint(
                self.drawing.location, self.order, len(rows), self.drawing.worn, start=drawn,
                on_step=partial(self._tell, source, begin),
            )  # fmt: skip
            for row, rig, picture in zip(rows, drawn, painted.frames, strict=True):
                if row >= first:
                    yield self._finished(source, row, rig, picture)

    def _tell(self, source: FrameSource, row: int, step: int, steps: int) -> None:
        """Say that a step of a piece was made; whoever listens may end the work here."""
        rows = row + step / steps * min(PIECE, len(source) - row)
        self.pace.note(rows)
        said = f"Drawing frames {row + 1} and on, step {step} of {steps}"
        self.on_progress(Progress(0.08 + 0.9 * rows / len(source), said, self.seconds_left(len(source))))

    def _finished(self, source: FrameSource, row: int, rig: Image, picture: Image) -> Image:
        """Return a drawn frame at the clip's size, with the rig's mouth and eyes where that is asked for."""
        from PIL import Image as Pillow

        from studio.engines.media.compositing import laid_back

        size = (rig.shape[1], rig.shape[0])
        whole = np.array(Pillow.fromarray(picture).resize(size, Pillow.Resampling.LANCZOS), np.uint8)
        return laid_back(whole, rig, source.soft_parts(row)) if self.own_lips else whole
