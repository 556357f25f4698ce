"""The door to writing and reading clips of every format in the table of domain/clip_format.py.

    with open_writer("mp4", path, (512, 512), 25, sound_path=wav, recipe=recipe) as clip:
        for frame in frames:
            clip.write(frame)

How each is written stands where its row says, how videos are read in `frames`.
"""

from __future__ import annotations

import importlib
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

from studio.domain.clip_format import ClipFormat, clip_format, clip_format_of
from studio.engines.media.frames import FrameReader, VideoInfo, probe_video, read_frames
from studio.engines.media.writer import (
    FRAME_RATES_HZ,
    LARGEST_SIDE,
    SMALLEST_SIDE,
    ClipSpec,
    Frame,
    FrameWriter,
    PartsFolder,
)

__all__ = [
    "FRAME_RATES_HZ",
    "LARGEST_SIDE",
    "SMALLEST_SIDE",
    "FrameReader",
    "FrameWriter",
    "PartsFolder",
    "VideoInfo",
    "open_writer",
    "probe_video",
    "read_clip",
    "read_frames",
    "writer_of",
]


def open_writer(
    format: str,
    path: str | os.PathLike[str],
    size: tuple[int, int],
    frame_rate_hz: float,
    *,
    sound_path: str | os.PathLike[str] | None = None,
    sound_start_seconds: float = 0.0,
    recipe: Mapping[str, Any] | None = None,
    parts: PartsFolder | None = None,
    mark: Callable[[Frame], Frame] | None = None,
    **encoding: Any,
) -> FrameWriter:
    """Open a writer; use it in a `with` block.

    Args:
        format: a key of CLIP_FORMATS.
        path: the final name; its folder must exist. "png" writes a folder where it does not end in .zip.
        size: width and height of the frames in pixels, longer side 256..2048; odd sizes are padded by one.
        frame_rate_hz: 24, 25, 30 or 60.
        sound_path: original sound, or a video with sound; formats without sound leave it out.
        sound_start_seconds: where in the sound frame 0 lies.
        recipe: JSON object carried in the file.
        parts: where the clip goes on after its process was killed; formats that cannot start anew.
        mark: changes every frame before it is written, invisibly.
        encoding: the format's own options, e.g. crf, preset, threads for mp4.

    Raises:
        UserInputError: unknown format or frame rate.
        LimitExceededError: size out of bounds.
        NotFoundError: folder or sound missing.
        UnreadableMediaError: the sound cannot be read.
        ConflictError: "png" into a folder that is not empty.
        StoreError: the folder is read-only.
    """
    row = clip_format(format)
    spec = ClipSpec(
        path=Path(path),
        size=size,
        frame_rate_hz=frame_rate_hz,
        sound_path=Path(sound_path) if row.has_sound and sound_path is not None else None,
        sound_start_seconds=sound_start_seconds,
        recipe=recipe,
        parts=parts if row.is_resumable else None,
        mark=mark,
    )
    return writer_of(row)(spec, **encoding)


def writer_of(row: ClipFormat) -> type[FrameWriter]:
    """Return the class that writes a format."""
    return cast("type[FrameWriter]", _named(row.writer))


@contextmanager
def read_clip(path: str | os.PathLike[str]) -> Iterator[Iterable[Frame]]:
    """Open a clip of any of our formats for reading frame by frame; use it in a `with` block.

    Frames are RGBA where the format has a transparent background.  # (H, W, 3 or 4) uint8

    Raises:
        UserInputError: the name ends in no clip format.
        NotFoundError: no such file.
        UnreadableMediaError: not a clip, or damaged.
    """
    row = clip_format_of(Path(path))
    with _named(row.reader)(path, alpha=row.has_alpha) as frames:
        yield frames


def _named(path: str) -> Any:
    """Return what "module:name" names."""
    module, _, name = path.partition(":")
    return getattr(importlib.import_module(module), name)
