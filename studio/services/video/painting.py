"""The second half of a drawn clip: the rig's frames, piece by piece, drawn anew by a base model.

The rig gives what moves smoothly; the base gives what it was taught of the
person. Every piece begins from the rig's frames and from one and the same
noise, which is what keeps the frames from flickering. Pieces begin at fixed
frames, so that a clip that was interrupted goes on with the frames it would
have had.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import numpy as np

from studio.domain.anchor import Anchor
from studio.domain.motion_model import MotionFiles
from studio.engines.base import Image
from studio.engines.base_video import ClipOrder, ClipPainter, PaintedFrames
from studio.services.clips.making import FrameSource
from studio.services.pictures.generation import PreparedDrawing
from studio.services.progress import OnProgress, Pace, Progress

PIECE = 16
"""Frames that are drawn at a time, each by itself."""
MOVING_PIECE = 47
"""Frames that are drawn at a time with motion, without the anchor that goes with every piece."""


@dataclass
class Painting:
    """Draws the frames of one clip; the `FrameFinish` of `ClipMaker`.

    Attributes:
        order: how; its size is the base's, not the clip's.
        cover: the anchor picture.
        note: adds to the recipe of the rig's clip what the whole needs.
        own_lips: lay the rig's mouth and eyes back.
        motion: lets the frames of a piece see each other, in windows, and the anchor picture in each of them.
        anchored: how strongly the anchor is kept, 0..1.
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
    motion: MotionFiles | None = None
    anchored: float = 1.0
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
        piece = PIECE if self.motion is None else MOVING_PIECE
        for begin in range(first // piece * piece, len(source), piece):
            rows = range(begin, min(begin + piece, len(source)))
            drawn = [source.picture(row) for row in rows]
            on_step = partial(self._tell, source, begin, len(rows))
            painted = self._moving(source, rows, drawn, on_step) if self.motion else self._still(drawn, on_step)
            for row, rig, picture in zip(rows, drawn, painted.frames, strict=True):
                if row >= first:
                    yield self._finished(source, row, rig, picture)

    def _still(self, drawn: Sequence[Image], on_step: Callable[[int, int], None]) -> PaintedFrames:
        """Draw each frame by itself."""
        return self.painter.paint(
            self.drawing.location, self.order, len(drawn), self.drawing.worn, start=drawn, on_step=on_step
        )

    def _moving(
        self, source: FrameSource, rows: range, drawn: Sequence[Image], on_step: Callable[[int, int], None]
    ) -> PaintedFrames:
        """Draw frames that see each other and the anchor picture, which is left out of what is returned."""
        assert self.motion is not None  # chosen by the caller
        middle = len(rows) // 2
        start = [*drawn[:middle], _fitted(self.cover, drawn[0]), *drawn[middle:]]
        anchor = Anchor(index=middle, strength=self.anchored, drop=True)
        maps = None
        if self.motion.control is not None:
            heads = [source.shaded_maps(row) for row in rows]
            maps = np.stack([*heads[:middle], source.maps_at_rest(), *heads[middle:]])
        window = min(self.order.window, self.motion.frames or self.order.window)
        return self.painter.paint(
            self.drawing.location, replace(self.order, anchor=anchor, window=window), len(start), self.drawing.worn,
            start=start, photo=self.cover, motion=self.motion.folder, control=self.motion.control, maps=maps,
            on_step=on_step,
        )  # fmt: skip

    def _tell(self, source: FrameSource, row: int, piece: int, step: int, steps: int) -> None:
        """Say that a step of a piece was made; whoever listens may end the work here."""
        rows = row + step / steps * piece
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


def _fitted(picture: Image, like: Image) -> Image:
    """Return a picture at the size of another one of the same shape."""
    from PIL import Image as Pillow

    size = (like.shape[1], like.shape[0])
    return np.array(Pillow.fromarray(picture).resize(size, Pillow.Resampling.LANCZOS), np.uint8)
