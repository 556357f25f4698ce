"""The image generator: draws pictures one after the other with the base and the adapters of its wardrobe."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

from studio.domain.adapter import AdapterFile
from studio.domain.base_model import BaseLocation
from studio.domain.picture_size import check_size
from studio.engines.base import Image, Matte
from studio.engines.base_diffusion import PictureOrder
from studio.engines.diffusion import runtime
from studio.engines.diffusion.drawing import sampling
from studio.engines.diffusion.drawing.wardrobe import Wardrobe
from studio.errors import OutOfMemoryError

OnStep = Callable[[int, int, "Image | None"], None]
_GPU_BATCH = 4


class _Stopped(Exception):
    """Ends a drawing between two steps."""


class DiffusionGenerator:
    """Draws pictures from words; one drawing at a time, safe to call from several threads."""

    name = "diffusion"
    version = "1"

    def __init__(self) -> None:
        self.wardrobe = Wardrobe()

    def libraries(self) -> dict[str, str]:
        """See `runtime.versions`."""
        return runtime.versions()

    def generate(
        self,
        location: BaseLocation,
        order: PictureOrder,
        adapters: Sequence[AdapterFile] = (),
        *,
        source: Image | None = None,
        mask: Matte | None = None,
        on_step: OnStep | None = None,
        should_stop: Callable[[], bool] | None = None,
    ) -> Iterator[Image]:
        """Draw one picture after the other; see `studio.engines.base_diffusion.ImageGenerator`."""
        check_size(order.width, order.height)
        runtime.prepare()
        together = 1 if runtime.choose_device() == "cpu" else _GPU_BATCH
        first = 0
        while first < order.count:
            part = replace(order, seed=order.seed + first, count=min(together, order.count - first))

            def tell(step: int, steps: int, preview: Image | None, begun: int = first) -> None:
                if should_stop is not None and should_stop():
                    raise _Stopped
                if on_step is not None:
                    batches = -(-order.count // together)
                    on_step(begun // together * steps + step, batches * steps, preview)

            try:
                with self.wardrobe.lock:
                    pictures = self._draw(location, part, tuple(adapters), source, mask, tell)
            except _Stopped:
                return
            except OutOfMemoryError:
                self.wardrobe.clear()  # so that a smaller picture finds room
                raise
            first += part.count
            yield from pictures

    def _draw(
        self,
        location: BaseLocation,
        order: PictureOrder,
        adapters: tuple[AdapterFile, ...],
        source: Image | None,
        mask: Matte | None,
        on_step: OnStep,
    ) -> list[Image]:
        return sampling.draw(
            self.wardrobe.dressed(location, adapters),
            order.prompt,
            negative=order.negative,
            seed=order.seed,
            steps=order.steps,
            guidance=order.guidance,
            width=order.width,
            height=order.height,
            count=order.count,
            source=source,
            mask=mask,
            denoise=order.denoise,
            on_step=on_step,
            previews=True,
            together=order.count,
        )
