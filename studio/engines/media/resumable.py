"""An mp4 whose finished pictures survive a killed process.

Pictures are encoded in parts of PART_FRAMES frames, each a whole file in a
folder that outlives the process. Whoever opens the same clip again is told how
many frames are there already and goes on behind them; at the end the parts
are joined without encoding again. Where a part begins depends on the frame's
number only, so an interrupted clip and an uninterrupted one are the same.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from studio.engines.media import ffmpeg
from studio.engines.media.atomic import atomic_file, disk_error, settle
from studio.engines.media.clip import BT709_FILTER, ClipWriter
from studio.engines.media.writer import Encoder, Frame, FrameWriter

PART_FRAMES = 50
"""Two seconds at 25 per second: about one second of work is lost at most, a part costs 0.1 s to open."""


class _Parts:
    """Stands where the clip's encoder stands: takes frames, ends in one file of pictures."""

    def __init__(self, folder: Path, joined: Path, size: tuple[int, int], frame_rate_hz: float, crf: int) -> None:
        self._folder = folder
        self._joined = joined
        self._size = size
        self._frame_rate_hz = frame_rate_hz
        self._crf = crf
        self._encoder: Encoder | None = None
        self._open_frames = 0
        self._whole = 0
        while self._path(self._whole).exists():
            self._whole += 1

    @property
    def frames(self) -> int:
        """How many frames are safe on disk."""
        return self._whole * PART_FRAMES

    def write(self, frame: Frame) -> None:
        """Take one more frame."""
        if self._encoder is None:
            parameters = ["-vf", BT709_FILTER, "-crf", str(self._crf), "-f", "mp4"]
            self._encoder = Encoder(
                self._unfinished, self._unfinished, self._size, self._frame_rate_hz, parameters,
                codec="libx264", preset="veryfast", threads=1,
            )  # fmt: skip
        self._encoder.write(frame)
        self._open_frames += 1
        if self._open_frames == PART_FRAMES:
            self._end_part(self._path(self._whole))
            self._whole += 1

    def finish(self) -> None:
        """End the last part and join all of them.

        Raises:
            EngineError: ffmpeg could not join them.
            StoreError: disk full or read-only.
        """
        parts = [self._path(i) for i in range(self._whole)]
        if self._encoder is not None:
            last = self._folder / "last.mp4"
            self._end_part(last)
            parts.append(last)
        listed = self._folder / "parts.txt"
        try:
            # Names of our own making, relative to the list: nothing to escape.
            listed.write_text("".join(f"file '{p.name}'\n" for p in parts), "ascii", newline="\n")
        except OSError as exc:
            raise disk_error(exc, listed) from exc
        arguments = ["-v", "error", "-y", "-f", "concat", "-i", f"file:{listed}", "-c", "copy", "-f", "mp4"]
        code, _, log = ffmpeg.run([*arguments, f"file:{self._joined}"], timeout_seconds=600.0)
        if code != 0:
            raise ffmpeg.write_error(log, self._joined, code)

    def stop(self) -> None:
        """Give up the unfinished part; whole ones stay."""
        if self._encoder is not None:
            self._encoder.stop()
            self._encoder = None
        self._unfinished.unlink(missing_ok=True)

    @property
    def _unfinished(self) -> Path:
        return self._folder / "unfinished.mp4"

    def _path(self, number: int) -> Path:
        return self._folder / f"part-{number:06d}.mp4"

    def _end_part(self, path: Path) -> None:
        assert self._encoder is not None
        self._encoder.finish()
        self._encoder, self._open_frames = None, 0
        settle(self._unfinished, path)


class ResumableClipWriter(ClipWriter):
    """A `ClipWriter` that goes on where another process was killed.

    Attributes:
        kept_frames: how many frames are there already; write the ones behind them.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        size: tuple[int, int],
        frame_rate_hz: float,
        *,
        parts_folder: Path,
        fingerprint: str,
        sound_path: str | os.PathLike[str] | None = None,
        sound_start_seconds: float = 0.0,
        recipe: Mapping[str, Any] | None = None,
        crf: int = 18,
    ) -> None:
        """Look what is there; see `FrameWriter` for the other arguments.

        Args:
            parts_folder: made if need be; keeps the parts until the caller deletes it.
            fingerprint: says what is drawn; parts of another fingerprint are thrown away.
        """
        FrameWriter.__init__(
            self, path, size, frame_rate_hz,
            sound_path=sound_path, sound_start_seconds=sound_start_seconds, recipe=recipe,
        )  # fmt: skip
        _make_ready(parts_folder, fingerprint)
        self._prepare_join()
        even = (self._width + self._width % 2, self._height + self._height % 2)
        self._encoder = _Parts(parts_folder, self._pictures, even, self._frame_rate_hz, crf)
        self.kept_frames = self.frames = self._encoder.frames


def _make_ready(folder: Path, fingerprint: str) -> None:
    """Make the folder, and empty it of parts that belong to something else."""
    said = folder / "fingerprint.txt"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if not said.exists() or said.read_text("utf-8") != fingerprint:
            for path in folder.glob("*.mp4"):
                path.unlink()
            with atomic_file(said) as part:
                part.write_text(fingerprint, "utf-8")
    except OSError as exc:
        raise disk_error(exc, folder) from exc
