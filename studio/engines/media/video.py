"""The formats a clip can have, as one table, and the door to writing and reading them.

    with open_writer("mp4", path, (512, 512), 25, sound_path=wav, recipe=recipe) as clip:
        for frame in frames:
            clip.write(frame)

Adding a format is adding a row. How each is written stands in `clip` and
`stills`, how videos are read in `frames`.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from studio.engines.media.clip import AlphaClipWriter, ClipWriter
from studio.engines.media.frames import FrameReader, VideoInfo, probe_video, read_frames
from studio.engines.media.stills import GifWriter, PngSequenceWriter
from studio.engines.media.writer import FRAME_RATES_HZ, LARGEST_SIDE, SMALLEST_SIDE, FrameWriter
from studio.errors import UserInputError

__all__ = [
    "FORMATS",
    "FRAME_RATES_HZ",
    "LARGEST_SIDE",
    "SMALLEST_SIDE",
    "ClipFormat",
    "ClipWriter",
    "FrameReader",
    "FrameWriter",
    "VideoInfo",
    "open_writer",
    "probe_video",
    "read_frames",
]


@dataclass(frozen=True)
class ClipFormat:
    """One format.

    Attributes:
        name: what `open_writer` takes.
        title: for the person.
        suffix: of the file, with its dot.
        channels: of the frames it accepts; 4 is RGBA with straight alpha.
        has_sound: whether `sound_path` is used.
        open: the writer's class.
    """

    name: str
    title: str
    suffix: str
    channels: tuple[int, ...]
    has_sound: bool
    open: Callable[..., FrameWriter]

    @property
    def needs_alpha(self) -> bool:
        """Whether frames must be RGBA."""
        return self.channels == (4,)


FORMATS: dict[str, ClipFormat] = {
    row.name: row
    for row in (
        ClipFormat("mp4", "MP4 (H.264, AAC)", ".mp4", (3,), True, ClipWriter),
        ClipFormat("webm", "WebM with transparent background (VP9, Opus)", ".webm", (4,), True, AlphaClipWriter),
        ClipFormat("gif", "GIF, at most 15 frames per second", ".gif", (3,), False, GifWriter),
        ClipFormat("png", "Numbered PNG pictures in a zip", ".zip", (3, 4), False, PngSequenceWriter),
    )
}


def open_writer(
    format: str,
    path: str | os.PathLike[str],
    size: tuple[int, int],
    frame_rate_hz: float,
    *,
    sound_path: str | os.PathLike[str] | None = None,
    sound_start_seconds: float = 0.0,
    recipe: Mapping[str, Any] | None = None,
    **encoding: Any,
) -> FrameWriter:
    """Open a writer; use it in a `with` block.

    Args:
        format: a key of FORMATS.
        path: the final name; its folder must exist. "png" writes a folder where it does not end in .zip.
        size: width and height of the frames in pixels, longer side 256..2048; odd sizes are padded by one.
        frame_rate_hz: 24, 25, 30 or 60.
        sound_path: original sound, or a video with sound; formats without sound leave it out.
        sound_start_seconds: where in the sound frame 0 lies.
        recipe: JSON object carried in the file.
        encoding: the format's own options, e.g. crf, preset, threads for mp4.

    Raises:
        UserInputError: unknown format or frame rate.
        LimitExceededError: size out of bounds.
        NotFoundError: folder or sound missing.
        UnreadableMediaError: the sound cannot be read.
        ConflictError: "png" into a folder that is not empty.
        StoreError: the folder is read-only.
    """
    row = FORMATS.get(format)
    if row is None:
        raise UserInputError(f"There is no clip format {format!r}.", f"Use one of {', '.join(FORMATS)}.")
    return row.open(
        path,
        size,
        frame_rate_hz,
        sound_path=sound_path if row.has_sound else None,
        sound_start_seconds=sound_start_seconds,
        recipe=recipe,
        **encoding,
    )
