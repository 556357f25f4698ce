"""The interface behind which an engine draws the frames of clips; see `base`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import numpy as np
from numpy.typing import NDArray

from studio.engines.base import Image
from studio.engines.base_diffusion import PictureOrder

if TYPE_CHECKING:  # requests are pydantic's, which a process that only listens to speech need not load
    from studio.domain.adapter import AdapterFile
    from studio.domain.anchor import Anchor
    from studio.domain.base_model import BaseLocation


@dataclass(frozen=True, kw_only=True)
class ClipOrder(PictureOrder):
    """What frames are to be drawn; those to start from are handed over beside it. `count` is not used.

    Attributes:
        anchor: how the anchor frame is kept; None without. Only with motion.
        shared: share of the noise's variance that all frames have in common, 0..1.
        window, overlap: frames that motion sees together, the anchor counted, and that neighbors share.
        control: how strongly maps of the head steer; 0 not at all. Only with motion.
    """

    anchor: Anchor | None = None
    shared: float = 1.0
    window: int = 16
    overlap: int = 4
    control: float = 1.0


@dataclass(frozen=True)
class PaintedFrames:
    """Drawn frames.

    Attributes:
        frames: each (height, width, 3) uint8 RGB.
        worst_border: how far windows disagree where they do most, relative to what they say; None in one window.
    """

    frames: tuple[Image, ...]
    worst_border: float | None


class ClipPainter(Protocol):
    """Draws the frames of a clip with a base model and adapters."""

    name: str
    version: str

    def libraries(self) -> dict[str, str]:
        """Return name -> version of the libraries that decide a frame's pixels."""
        ...

    def paint(
        self,
        location: BaseLocation,
        order: ClipOrder,
        frames: int,
        adapters: Sequence[AdapterFile] = (),
        *,
        start: Sequence[Image] | None = None,
        photo: Image | None = None,
        motion: Path | None = None,
        control: Path | None = None,
        maps: NDArray[np.uint8] | None = None,
        on_step: Callable[[int, int], None] | None = None,
    ) -> PaintedFrames:
        """Draw some frames of a clip together.

        Args:
            frames: how many, the anchor counted where it is kept.
            start: frames to start from, of which `order.denoise` may change; None draws from noise.
            photo: a picture that the anchor shall be.
            motion, control: folders of a motion adapter, and of a control that fits it.
            maps: of the head in each frame, as `Portrait.shaded_maps` draws them.  # (F, H, W, 2)
            on_step: called after each step with (step, of how many); what it raises ends the drawing.

        Raises:
            UserInputError: numbers or counts that cannot be, or what needs motion and has none.
            NotFoundError, UnreadableMediaError: motion or control cannot be read.
            EngineError: the result is not a number.
            OutOfMemoryError: it does not fit into memory.
        """
        ...
