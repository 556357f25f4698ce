"""Frames into the encoder: the file is opened, marked and written the same way, whoever draws."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from studio.engines.base import Image
from studio.services.marks import Marks
from studio.services.progress import OnProgress, Progress

if TYPE_CHECKING:
    from studio.engines.media.writer import FrameWriter

PREVIEW_EVERY_SECONDS = 2.0
_DRAWN_SHARE = 0.98
"""Part of the progress bar at which the last frame is written."""
_JUDGED_FROM = 8
"""From so many frames on their pace says how long the rest takes."""


def open_clip(
    format: str,
    out: Path,
    size: tuple[int, int],
    frame_rate_hz: float,
    recipe: Mapping[str, Any],
    *,
    sound: Path | None,
    sound_start_seconds: float = 0.0,
    parts: Path | None = None,
    marks: Marks | None = None,
) -> FrameWriter:
    """Open the writer of a clip; use it in a `with` block. The rest as `open_writer`.

    Args:
        recipe: stands in the file, and says which parts belong to it.
        parts: folder; with one, a clip that can go on survives the end of its process.
        marks: put what the recipe names into every frame; None leaves a preview without.
    """
    from studio.engines.media.video import PartsFolder, open_writer

    fingerprint = hashlib.sha256(json.dumps(recipe, sort_keys=True).encode()).hexdigest()
    return open_writer(
        format,
        out,
        size,
        frame_rate_hz,
        sound_path=sound,
        sound_start_seconds=sound_start_seconds,
        recipe=recipe,
        parts=None if parts is None else PartsFolder(parts, fingerprint),
        mark=None if marks is None else marks.marker(recipe, size),
    )


def write_frames(
    clip: FrameWriter,
    pictures: Iterable[Image],
    total: int,
    tell: OnProgress,
    *,
    from_fraction: float,
    seconds_left: Callable[[], float | None] | None = None,
    on_frame: Callable[[int, Image], None] | None = None,
) -> None:
    """Write the frames that a clip still lacks, and tell how far it is.

    Args:
        pictures: from number `clip.frames` on, which is more than 0 where an earlier process was interrupted.
        total: frames of the whole clip.
        from_fraction: of the progress bar, where the first frame stands.
        seconds_left: says how long the rest takes; None judges by the pace.
        on_frame: is given the number of each frame and the frame.
    """
    first = clip.frames
    start = shown = time.perf_counter()
    for frame, picture in enumerate(pictures, first):
        clip.write(picture)
        if on_frame is not None:
            on_frame(frame, picture)
        now, preview = time.perf_counter(), None
        if frame == first or now - shown > PREVIEW_EVERY_SECONDS:
            preview, shown = picture[:, :, :3], now
        drawn = frame + 1 - first
        if seconds_left is not None:
            left = seconds_left()
        else:
            left = (now - start) / drawn * (total - frame - 1) if drawn > _JUDGED_FROM else None
        fraction = from_fraction + (_DRAWN_SHARE - from_fraction) * (frame + 1) / total
        tell(Progress(fraction, f"Frame {frame + 1} of {total}", left, preview))
    tell(Progress(0.99, "Finishing the file"))
