"""The image generator: keeps the last base model in memory, dressed in the last adapters.

Loading a base takes seconds to minutes, drawing a small picture less than one;
so whoever asks twice with the same base and adapters pays once. What a picture
looks like never depends on what was kept: taking adapters off leaves the base
bit for bit as it was.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

from studio.domain.adapter import AdapterFile
from studio.domain.base_model import BaseLocation
from studio.domain.picture_size import check_size
from studio.engines.base import Image, Matte
from studio.engines.base_diffusion import PictureOrder
from studio.engines.diffusion import runtime
from studio.engines.diffusion.bases.loading import LoadedBase, load_base
from studio.engines.diffusion.drawing import sampling
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
        self._lock = threading.Lock()
        self._loaded: LoadedBase | None = None
        self._worn: tuple[AdapterFile, ...] = ()

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
                with self._lock:
                    pictures = self._draw(location, part, tuple(adapters), source, mask, tell)
            except _Stopped:
                return
            except OutOfMemoryError:
                self._loaded, self._worn = None, ()  # so that a smaller picture finds room
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
            self._dressed(location, adapters),
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

    def _dressed(self, location: BaseLocation, adapters: tuple[AdapterFile, ...]) -> LoadedBase:
        """Return the base with exactly these adapters on it."""
        from studio.engines.diffusion.adapters.wearing import load_adapters, unload_adapters

        if self._loaded is None or self._loaded.location != location:
            self._loaded, self._worn = None, ()  # first let go, then load: two may not fit
            self._loaded = load_base(location)
        loaded = self._loaded
        if self._worn != adapters:
            self._loaded = None  # should an adapter not fit, nobody finds a half-dressed base
            if self._worn:
                unload_adapters(loaded)
            if adapters:
                load_adapters(loaded, adapters)
            self._loaded, self._worn = loaded, adapters
        return loaded
