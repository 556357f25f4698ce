"""The last base model in memory, dressed in the last adapters: shared by whatever draws in this process.

Loading a base takes seconds to minutes, drawing a small picture less than one;
so whoever asks twice with the same base and adapters pays once. What is drawn
never depends on what was kept: taking adapters off leaves the base bit for bit
as it was.
"""

from __future__ import annotations

import threading
from pathlib import Path

from studio.domain.adapter import AdapterFile
from studio.domain.base_model import BaseLocation
from studio.engines.diffusion.bases.loading import LoadedBase, load_base


class Wardrobe:
    """Holds one base; whoever draws with it holds `lock`."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self._loaded: LoadedBase | None = None
        self._motion: Path | None = None
        self._worn: tuple[AdapterFile, ...] = ()

    def dressed(
        self, location: BaseLocation, adapters: tuple[AdapterFile, ...], motion: Path | None = None
    ) -> LoadedBase:
        """Return the base with exactly these adapters on it.

        Args:
            motion: folder of the motion adapter that its UNet shall have; None is the picture model.

        Raises:
            UserInputError: an adapter or the motion does not fit the base.
            UnreadableMediaError: files are damaged.
        """
        from studio.engines.diffusion.adapters.wearing import load_adapters, unload_adapters

        if self._loaded is None or self._loaded.location != location or self._motion != motion:
            self.clear()  # first let go, then load: two may not fit
            self._loaded, self._motion = _loaded(location, motion), motion
        loaded = self._loaded
        if self._worn != adapters:
            self._loaded = None  # should an adapter not fit, nobody finds a half-dressed base
            if self._worn:
                unload_adapters(loaded)
            if adapters:
                load_adapters(loaded, adapters)
            self._loaded, self._worn = loaded, adapters
        return loaded

    def clear(self) -> None:
        """Let go of what is held, so that something else finds room."""
        self._loaded, self._motion, self._worn = None, None, ()


def _loaded(location: BaseLocation, motion: Path | None) -> LoadedBase:
    loaded = load_base(location)
    if motion is None:
        return loaded
    from studio.engines.diffusion.video.motion import read_motion, with_motion

    return with_motion(loaded, read_motion(motion))
