"""What every clip writer has in common: checks, counting, and whole or not at all.

Every frame goes through a pipe (moviepy's FFMPEG_VideoWriter) or straight to
its own file; none is kept. The result is written beside its place and gets its
name only when it is whole; on an error, or when the writer is left by an
exception, nothing stays. Knows nothing of containers or portraits.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import IO, Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from studio.engines.media import ffmpeg
from studio.engines.media.atomic import part_path
from studio.engines.media.sound import probe
from studio.errors import EngineError, LimitExceededError, UnreadableMediaError, UserInputError
from studio.outside import plain_file

Frame = NDArray[np.uint8]

FRAME_RATES_HZ = (24.0, 25.0, 30.0, 60.0)
SMALLEST_SIDE, LARGEST_SIDE = 256, 2048
"""Bounds of the longer side in pixels."""


@dataclass(frozen=True)
class PartsFolder:
    """Where the finished parts of a clip outlive its process.

    Attributes:
        folder: made if need be; keeps the parts until the caller deletes it.
        fingerprint: says what is drawn; parts of another fingerprint are thrown away.
    """

    folder: Path
    fingerprint: str


@dataclass(frozen=True)
class ClipSpec:
    """What a clip is written from, whatever its format.

    Attributes:
        path: the final name; its folder must exist.
        size: width and height of the frames in pixels, longer side 256..2048.
        frame_rate_hz: 24, 25, 30 or 60.
        sound_path: original sound (or video with sound); None is a silent clip.
        sound_start_seconds: where in the sound frame 0 lies, >= 0.
        recipe: JSON object carried in the file's metadata.
        parts: lets the clip go on where another process was killed; None writes it in one go.
        mark: changes every frame before it is written, invisibly; None writes frames as they are.
    """

    path: Path
    size: tuple[int, int]
    frame_rate_hz: float
    sound_path: Path | None = None
    sound_start_seconds: float = 0.0
    recipe: Mapping[str, Any] | None = None
    parts: PartsFolder | None = None
    mark: Callable[[Frame], Frame] | None = None


class FrameWriter:
    """What every writer does: check, count, finish or undo. Use it in a `with` block.

    Attributes:
        path: the final name.
        frames: how many were written; at first those that an earlier process has left.
    """

    channels: ClassVar[tuple[int, ...]] = (3,)
    """Of the frames it accepts; 4 is RGBA with straight alpha."""

    def __init__(self, spec: ClipSpec) -> None:
        """Check the request; nothing is written yet.

        Raises:
            UserInputError: a frame rate that is not offered.
            LimitExceededError: a size out of bounds.
            NotFoundError: the folder or the sound does not exist.
            UnreadableMediaError: the sound cannot be read.
        """
        size = spec.size
        self.path = spec.path.resolve()
        self.frames = 0
        self._width, self._height = size
        self._frame_rate_hz = float(spec.frame_rate_hz)
        self._sound_start_seconds = spec.sound_start_seconds
        self._recipe = spec.recipe
        self._mark = spec.mark
        self._ended = False
        if self._frame_rate_hz not in FRAME_RATES_HZ:
            raise UserInputError(f"{self._frame_rate_hz:g} frames per second are not offered.", "Use 24, 25, 30 or 60.")
        if not SMALLEST_SIDE <= max(size) <= LARGEST_SIDE or min(size) < 16:
            raise LimitExceededError(
                f"A clip of {size[0]} x {size[1]} pixels cannot be written.",
                f"The longer side goes from {SMALLEST_SIDE} to {LARGEST_SIDE} pixels.",
            )
        self._sound_path = self._checked_sound(spec.sound_path)
        self._part = part_path(self.path)

    @staticmethod
    def _checked_sound(sound_path: Path | None) -> Path | None:
        """Return the sound's absolute path once its container has proved harmless."""
        if sound_path is None:
            return None
        found = plain_file(sound_path)
        if probe(found).codec is None:
            raise UnreadableMediaError(f"{found.name} has no sound in it.", "Choose another sound.")
        return found

    def write(self, frame: Frame) -> None:
        """Add one frame.

        Args:
            frame: RGB, or RGBA for formats with alpha.  # (H, W, 3 or 4) uint8

        Raises:
            ValueError: wrong shape or dtype.
            EngineError: the encoder failed.
            StoreError: disk full or read-only.
        """
        if frame.dtype != np.uint8 or frame.ndim != 3 or frame.shape[:2] != (self._height, self._width):
            raise ValueError(f"frame is {frame.dtype} {frame.shape}, expected uint8 {(self._height, self._width)}")
        if frame.shape[2] not in self.channels:
            raise ValueError(f"frame has {frame.shape[2]} channels, expected {self.channels}")
        if self._ended:
            raise ValueError("the clip is already closed")
        try:
            self._write(frame if self._mark is None else self._mark(frame))
        except BaseException:
            self.abort()
            raise
        self.frames += 1

    def close(self) -> Path:
        """Finish the file and give it its name.

        Raises:
            EngineError: no frame was written, or the encoder failed.
            StoreError: disk full or read-only.
        """
        if self._ended:
            return self.path
        try:
            if self.frames == 0:
                raise EngineError(f"{self.path.name} has no frames.", "Give it at least one.")
            self._finish()
        except BaseException:
            self.abort()
            raise
        self._ended = True
        return self.path

    def abort(self) -> None:
        """Stop and remove everything; does nothing once the file is finished."""
        if not self._ended:
            self._ended = True
            self._undo()

    def _write(self, frame: Frame) -> None:
        raise NotImplementedError

    def _finish(self) -> None:
        raise NotImplementedError

    def _undo(self) -> None:
        raise NotImplementedError

    def __enter__(self) -> FrameWriter:
        return self

    def __exit__(self, kind: type[BaseException] | None, exc: BaseException | None, at: TracebackType | None) -> None:
        if kind is None:
            self.close()
        else:
            self.abort()


def _widen(pipe: IO[bytes]) -> None:
    """Let a pipe hold a whole small frame, so that the next one is drawn while ffmpeg takes it (Linux only)."""
    try:
        import fcntl

        fcntl.fcntl(pipe.fileno(), fcntl.F_SETPIPE_SZ, 1 << 20)
    except (ImportError, AttributeError, OSError):
        return  # another system, or a limit of this one: the usual 64 KB also work


class Encoder:
    """moviepy's frame pipe to ffmpeg, with the exit code and the last words that moviepy drops."""

    def __init__(
        self,
        part: Path,
        final: Path,
        size: tuple[int, int],
        frame_rate_hz: float,
        parameters: list[str],
        *,
        codec: str,
        preset: str,
        threads: int,
        alpha: bool = False,
    ) -> None:
        from moviepy.video.io.ffmpeg_writer import FFMPEG_VideoWriter

        self._final = final
        # A log file instead of a pipe: nobody reads while frames flow, and a full pipe would stop ffmpeg.
        self._log: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115 -- closed in end()
        self._writer = FFMPEG_VideoWriter(
            str(part),
            size,
            frame_rate_hz,
            codec=codec,
            preset=preset,
            threads=threads,
            with_mask=alpha,
            logfile=self._log,
            ffmpeg_params=["-nostats", "-filter_threads", "1", "-map", "0:v:0", *parameters],
        )
        self._process = self._writer.proc
        _widen(self._process.stdin)

    def write(self, frame: Frame) -> None:
        """Pipe one frame, past moviepy's own write: that copies every frame and cannot read a binary log."""
        try:
            self._process.stdin.write(frame.data if frame.flags.c_contiguous else frame.tobytes())
        except OSError as exc:
            with suppress(OSError):  # the pipe is broken already
                self._process.stdin.close()
            code = self._process.wait()
            raise ffmpeg.write_error(ffmpeg.read_log(self._log), self._final, code) from exc

    def finish(self) -> None:
        """Let ffmpeg end, and read its exit code."""
        broken: OSError | None = None
        try:
            self._writer.close()
        except OSError as exc:  # the pipe broke on the last bytes; the log knows why
            broken = exc
        code = self._process.wait()
        log = ffmpeg.read_log(self._log)
        self._log.close()
        if code != 0 or broken is not None:
            raise ffmpeg.write_error(log, self._final, code) from broken

    def stop(self) -> None:
        """Kill ffmpeg."""
        if self._process.poll() is None:
            self._process.kill()
        with suppress(OSError):  # the pipe of a killed process
            self._writer.close()
        self._process.wait()
        if not self._log.closed:
            self._log.close()
