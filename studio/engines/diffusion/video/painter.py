"""The clip painter: draws the frames of clips with the base and the adapters that the image generator holds."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from studio.domain.adapter import AdapterFile
from studio.domain.base_model import BaseLocation
from studio.engines.base import Image
from studio.engines.base_video import ClipOrder, PaintedFrames
from studio.engines.diffusion import runtime
from studio.engines.diffusion.drawing.generator import DiffusionGenerator
from studio.engines.diffusion.drawing.sampling import fit
from studio.engines.diffusion.video.control import control_features, read_control
from studio.engines.diffusion.video.drawing import ClipRequest, draw_clip
from studio.errors import OutOfMemoryError, UserInputError

if TYPE_CHECKING:
    import torch

    from studio.engines.diffusion.bases.loading import LoadedBase


class DiffusionPainter:
    """Draws frames; one drawing at a time, safe to call from several threads."""

    name = "diffusion-clips"
    version = "1"

    def __init__(self, generator: DiffusionGenerator) -> None:
        """Share the base in memory with a generator."""
        self._wardrobe = generator.wardrobe

    def libraries(self) -> dict[str, str]:
        """See `runtime.versions`."""
        return runtime.versions()

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
        """Draw some frames of a clip together; see `studio.engines.base_video.ClipPainter`."""
        if control is not None and (motion is None or maps is None):
            raise UserInputError(
                "Control needs motion weights and a performance.", "Choose both, or leave the control out."
            )
        runtime.prepare()
        with self._wardrobe.lock:
            try:
                loaded = self._wardrobe.dressed(location, tuple(adapters), motion)
                steering: Mapping[str, torch.Tensor] = {}
                if control is not None and maps is not None:
                    steering = _features(loaded, control, maps, order)
                request = ClipRequest(
                    prompt=order.prompt, negative=order.negative, seed=order.seed, steps=order.steps,
                    guidance=order.guidance, width=order.width, height=order.height, frames=frames,
                    anchor=order.anchor if motion is not None else None, shared=order.shared, start=start,
                    denoise=order.denoise, photo=photo if motion is not None else None, window=order.window,
                    overlap=order.overlap, features=steering,
                )  # fmt: skip
                drawn = draw_clip(loaded, request, on_step)
            except OutOfMemoryError:
                self._wardrobe.clear()  # so that a smaller clip finds room
                raise
        return PaintedFrames(tuple(drawn.frames), None if drawn.worst_border is None else drawn.worst_border.apart)


def _features(
    loaded: LoadedBase, control: Path, maps: NDArray[np.uint8], order: ClipOrder
) -> Mapping[str, torch.Tensor]:
    """Return what a control makes of maps, which are cut to the clip's shape as pictures are."""
    import torch

    network: Any = read_control(control).to(loaded.device, torch.float32)
    cut = [[fit(frame[..., k], order.width, order.height) for k in range(frame.shape[-1])] for frame in maps]
    given = torch.from_numpy(np.array(cut)).to(loaded.device, torch.float32) / 255  # (F, M, h, w)
    with torch.inference_mode():
        return control_features(loaded, network, given, order.control)
