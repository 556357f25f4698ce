"""A clip whose finished pictures survive a killed process.

Pictures are encoded in parts of PART_FRAMES frames, each a whole file in a
folder that outlives the process. Whoever opens the same clip again is told how
many frames are there already and goes on behind them; at the end the parts
are joined without encoding again. Where a part begins depends on the frame's
number only, so an interrupted clip and an uninterrupted one are the same.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from studio.engines.media import ffmpeg
from studio.engines.media.atomic import atomic_file, disk_error, settle
from studio.engines.media.writer import Encoder, Frame, PartsFolder

PART_FRAMES = 50
"""Two seconds at 25 per second: about one second of work is lost at most, a part costs 0.1 s to open."""


class EncodedParts:
    """Stands where a clip's encoder stands: takes frames, ends in one file of pictures.

    Args:
        parts: where they are kept.
        joined: the file that `finish` leaves.
        container: ffmpeg's name, which is also the suffix of the parts.
        frame_rate_hz: of the clip.
        encoder: (file, name in messages) -> an encoder of one part.

    Raises:
        StoreError: the folder cannot be made or written.
    """

    def __init__(
        self,
        parts: PartsFolder,
        joined: Path,
        container: str,
        frame_rate_hz: float,
        encoder: Callable[[Path, Path], Encoder],
    ) -> None:
        self._folder = parts.folder
        self._joined = joined
        self._container = container
        self._seconds_each = PART_FRAMES / frame_rate_hz
        self._open = encoder
        self._encoder: Encoder | None = None
        self._open_frames = 0
        self._whole = 0
        _make_ready(parts, container)
        while self._path(self._whole).exists():
            self._whole += 1

    @property
    def frames(self) -> int:
        """How many frames are safe on disk."""
        return self._whole * PART_FRAMES

    def write(self, frame: Frame) -> None:
        """Take one more frame."""
        if self._encoder is None:
            self._encoder = self._open(self._unfinished, self._unfinished)
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
            last = self._folder / f"last.{self._container}"
            self._end_part(last)
            parts.append(last)
        listed = self._folder / "parts.txt"
        try:
            # Names of our own making, relative to the list: nothing to escape. How long a part is is said, since its
            # header knows milliseconds only: at 24, 30 and 60 frames a second picture and sound came apart by half a
            # second in an hour.
            lines = [f"file '{p.name}'\nduration {self._seconds_each:.6f}\n" for p in parts]
            listed.write_text("".join(lines), "ascii", newline="\n")
        except OSError as exc:
            raise disk_error(exc, listed) from exc
        arguments = ["-v", "error", "-y", "-f", "concat", "-i", f"file:{listed}", "-c", "copy", "-f", self._container]
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
        return self._folder / f"unfinished.{self._container}"

    def _path(self, number: int) -> Path:
        return self._folder / f"part-{number:06d}.{self._container}"

    def _end_part(self, path: Path) -> None:
        assert self._encoder is not None
        self._encoder.finish()
        self._encoder, self._open_frames = None, 0
        settle(self._unfinished, path)


def _make_ready(parts: PartsFolder, container: str) -> None:
    """Make the folder, and empty it of parts that belong to something else."""
    folder, fingerprint = parts.folder, parts.fingerprint
    said = folder / "fingerprint.txt"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if not said.exists() or said.read_text("utf-8") != fingerprint:
            for path in folder.glob(f"*.{container}"):
                path.unlink()
            with atomic_file(said) as part:
                part.write_text(fingerprint, "utf-8")
    except OSError as exc:
        raise disk_error(exc, folder) from exc
