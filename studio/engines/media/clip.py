"""Frames in, one finished file out: the writers of mp4, webm with alpha, gif and numbered PNGs.

Every frame goes through a pipe (moviepy's FFMPEG_VideoWriter) or straight to
its own file; none is kept. The result is written beside its place and gets its
name only when it is whole; on an error, or when the writer is left by an
exception, nothing stays. Odd sizes are padded at the right and the bottom by
repeating the last column and row, so every pixel of the render survives.
Sound and picture both start at 0 and the sound is cut or filled with silence
to the picture's length; AAC's priming is in the edit list. Knows nothing of
portraits.
"""

from __future__ import annotations

import math
import os
import shutil
import tempfile
import zipfile
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import IO, Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from studio.engines.media import ffmpeg
from studio.engines.media.atomic import disk_error, part_path, settle
from studio.engines.media.pictures import png_bytes
from studio.engines.media.recipe import COMMENT, CONTAINER_KEY, gif_comment, recipe_text
from studio.engines.media.sound import FROM_FILE_START, probe
from studio.errors import (
    ConflictError,
    EngineError,
    LimitExceededError,
    StoreError,
    UnreadableMediaError,
    UserInputError,
)

Frame = NDArray[np.uint8]

FRAME_RATES_HZ = (24.0, 25.0, 30.0, 60.0)
SMALLEST_SIDE, LARGEST_SIDE = 256, 2048
"""Bounds of the longer side in pixels."""
GIF_FRAME_RATE_HZ = 15.0
_SOUND_RATE_HZ = 48_000
_BT709 = "setparams=range=tv:colorspace=bt709:color_primaries=bt709:color_trc=bt709"


class FrameWriter:
    """What every writer does: check, count, finish or undo. Use it in a `with` block.

    Attributes:
        path: the final name.
        frames: how many were written.
    """

    channels: ClassVar[tuple[int, ...]] = (3,)

    def __init__(
        self,
        path: str | os.PathLike[str],
        size: tuple[int, int],
        frame_rate_hz: float,
        *,
        sound_path: str | os.PathLike[str] | None = None,
        sound_start_seconds: float = 0.0,
        recipe: Mapping[str, Any] | None = None,
    ) -> None:
        """Check the request; nothing is written yet.

        Args:
            path: the final name; its folder must exist.
            size: width and height of the frames, longer side 256..2048.
            frame_rate_hz: 24, 25, 30 or 60.
            sound_path: original sound (or video with sound); left out by formats without sound.
            sound_start_seconds: where in the sound frame 0 lies, >= 0.
            recipe: carried in the file's metadata.

        Raises:
            UserInputError: a frame rate that is not offered.
            LimitExceededError: a size out of bounds.
            NotFoundError: the folder or the sound does not exist.
            UnreadableMediaError: the sound cannot be read.
        """
        self.path = Path(path).resolve()
        self.frames = 0
        self._width, self._height = size
        self._frame_rate_hz = float(frame_rate_hz)
        self._sound_start_seconds = sound_start_seconds
        self._recipe = recipe
        self._ended = False
        if self._frame_rate_hz not in FRAME_RATES_HZ:
            raise UserInputError(f"{frame_rate_hz:g} frames per second are not offered.", "Use 24, 25, 30 or 60.")
        if not SMALLEST_SIDE <= max(size) <= LARGEST_SIDE or min(size) < 16:
            raise LimitExceededError(
                f"A clip of {size[0]} x {size[1]} pixels cannot be written.",
                f"The longer side goes from {SMALLEST_SIDE} to {LARGEST_SIDE} pixels.",
            )
        self._sound_path = self._checked_sound(sound_path)
        self._part = part_path(self.path)

    @staticmethod
    def _checked_sound(sound_path: str | os.PathLike[str] | None) -> Path | None:
        """Return the sound's absolute path once its container has proved harmless."""
        if sound_path is None:
            return None
        found = ffmpeg.checked_file(sound_path)
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
            self._write(frame)
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


class _Encoder:
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


def _even(frame: Frame) -> Frame:
    """Pad to even width and height by repeating the last column and row."""
    bottom, right = frame.shape[0] % 2, frame.shape[1] % 2
    return np.pad(frame, ((0, bottom), (0, right), (0, 0)), mode="edge") if bottom or right else frame


class _ContainerWriter(FrameWriter):
    """Pictures first, sound when their number is known: the sound's end is then exact to the sample.

    ffmpeg's own `-shortest` cuts by what happens to be buffered: the same clip came out up to 0.1 s apart.
    """

    container: ClassVar[str]
    sound_codec: ClassVar[tuple[str, ...]]
    flags: ClassVar[tuple[str, ...]] = ()
    _encoder: _Encoder

    def _start(self, parameters: list[str], *, codec: str, preset: str, threads: int, alpha: bool = False) -> None:
        """Start encoding pictures into a file of their own."""
        if self._recipe is not None:
            recipe_text(self._recipe)  # too long is said now, not after the last frame
        self._pictures = self._part.with_name(f"{self._part.stem}-pictures{self._part.suffix}")
        self._tags = self._part.with_name(f"{self._part.stem}-tags.txt")
        self._encoder = _Encoder(
            self._pictures,
            self.path,
            (self._width + self._width % 2, self._height + self._height % 2),
            self._frame_rate_hz,
            [*parameters, "-f", self.container],
            codec=codec,
            preset=preset,
            threads=threads,
            alpha=alpha,
        )

    def _write(self, frame: Frame) -> None:
        self._encoder.write(_even(frame))

    def _finish(self) -> None:
        self._encoder.finish()
        try:
            self._tags.write_text(_tag_text(self._recipe), "ascii", newline="\n")
        except OSError as exc:
            raise disk_error(exc, self.path) from exc
        arguments = [
            "-v", "error", "-y", "-i", f"file:{self._pictures}", "-f", "ffmetadata", "-i", f"file:{self._tags}",
            *(ffmpeg.input_arguments(self._sound_path) if self._sound_path else []),
            "-map", "0:v:0", "-c:v", "copy", "-map_metadata", "1", "-map_chapters", "-1", *self.flags,
            *self._sound_arguments(), "-f", self.container, f"file:{self._part}",
        ]  # fmt: skip
        code, _, log = ffmpeg.run(arguments, timeout_seconds=max(600.0, self.frames * 0.5))
        if code != 0:
            raise ffmpeg.write_error(log, self.path, code)
        settle(self._part, self.path)
        self._clear()

    def _sound_arguments(self) -> list[str]:
        """Return the arguments that cut or fill the sound to the pictures' length."""
        if self._sound_path is None:
            return []
        samples = round(self.frames / self._frame_rate_hz * _SOUND_RATE_HZ)
        filters = [f"aresample={_SOUND_RATE_HZ},{FROM_FILE_START}"]
        if self._sound_start_seconds > 0:
            filters.append(f"atrim=start={self._sound_start_seconds:.6f},asetpts=PTS-STARTPTS")
        filters.append(f"apad=whole_len={samples},atrim=end_sample={samples}")
        channels = min(probe(self._sound_path).channels or 2, 2)
        return [
            "-map", "2:a:0", "-af", ",".join(filters), "-ac", str(channels), "-ar", str(_SOUND_RATE_HZ),
            "-c:a", *self.sound_codec,
        ]  # fmt: skip

    def _clear(self) -> None:
        """Remove the intermediate files."""
        self._pictures.unlink(missing_ok=True)
        self._tags.unlink(missing_ok=True)

    def _undo(self) -> None:
        self._encoder.stop()
        self._clear()
        self._part.unlink(missing_ok=True)


def _tag_text(recipe: Mapping[str, Any] | None) -> str:
    """Return the tags in ffmpeg's metadata text; a command line may be too short for a recipe on Windows."""
    lines = [";FFMETADATA1", f"comment={COMMENT}"]
    if recipe is not None:
        escaped = "".join(f"\\{c}" if c in "=;#\\\n" else c for c in recipe_text(recipe))
        lines.append(f"{CONTAINER_KEY}={escaped}")
    return "\n".join(lines) + "\n"


class ClipWriter(_ContainerWriter):
    """H.264 yuv420p and AAC in mp4, index first, colors tagged bt709."""

    container = "mp4"
    sound_codec = ("aac", "-b:a", "160k")
    flags = ("-movflags", "+faststart+use_metadata_tags")

    def __init__(
        self,
        path: str | os.PathLike[str],
        size: tuple[int, int],
        frame_rate_hz: float,
        *,
        sound_path: str | os.PathLike[str] | None = None,
        sound_start_seconds: float = 0.0,
        recipe: Mapping[str, Any] | None = None,
        crf: int = 18,
        preset: str = "veryfast",
        threads: int = 1,
    ) -> None:
        """Start the encoder; see `FrameWriter` for the other arguments.

        Args:
            crf: x264's quality, 0 lossless .. 51; 18 looks like the frames.
            preset: x264's speed, "ultrafast" .. "veryslow".
            threads: of the encoder.
        """
        super().__init__(
            path,
            size,
            frame_rate_hz,
            sound_path=sound_path,
            sound_start_seconds=sound_start_seconds,
            recipe=recipe,
        )
        colors = f"scale=out_color_matrix=bt709:out_range=tv,format=yuv420p,{_BT709}"
        self._start(["-vf", colors, "-crf", str(crf)], codec="libx264", preset=preset, threads=threads)


class AlphaClipWriter(_ContainerWriter):
    """VP9 yuva420p and Opus in webm; frames are RGBA with straight alpha."""

    channels = (4,)
    container = "webm"
    sound_codec = ("libopus", "-b:a", "128k")

    def __init__(
        self,
        path: str | os.PathLike[str],
        size: tuple[int, int],
        frame_rate_hz: float,
        *,
        sound_path: str | os.PathLike[str] | None = None,
        sound_start_seconds: float = 0.0,
        recipe: Mapping[str, Any] | None = None,
        crf: int = 24,
        speed: int = 6,
        threads: int = 1,
    ) -> None:
        """Start the encoder; see `FrameWriter` for the other arguments.

        Args:
            crf: VP9's quality, 0..63.
            speed: libvpx's cpu-used, 0 slow .. 8 fast.
            threads: of the encoder.
        """
        super().__init__(
            path,
            size,
            frame_rate_hz,
            sound_path=sound_path,
            sound_start_seconds=sound_start_seconds,
            recipe=recipe,
        )
        parameters = [
            "-vf", f"scale=out_color_matrix=bt709:out_range=tv,format=yuva420p,{_BT709}", "-pix_fmt", "yuva420p",
            "-auto-alt-ref", "0", "-deadline", "realtime", "-cpu-used", str(speed), "-crf", str(crf), "-b:v", "0",
        ]  # fmt: skip
        # moviepy always names a preset; libvpx does not look at it.
        self._start(parameters, codec="libvpx-vp9", preset="veryfast", threads=threads, alpha=True)


class GifWriter(FrameWriter):
    """GIF with one palette for all frames, at most 15 per second, without sound.

    The palette needs all frames, so they go to a lossless file on disk first.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        size: tuple[int, int],
        frame_rate_hz: float,
        *,
        sound_path: str | os.PathLike[str] | None = None,
        sound_start_seconds: float = 0.0,
        recipe: Mapping[str, Any] | None = None,
    ) -> None:
        """Start the intermediate file; see `FrameWriter`."""
        super().__init__(path, size, frame_rate_hz, recipe=recipe)
        self._every = math.ceil(self._frame_rate_hz / GIF_FRAME_RATE_HZ)
        self._comment = gif_comment(recipe) if recipe is not None else b""
        self._lossless = self._part.with_suffix(".mkv")
        self._palette = self._part.with_suffix(".png")
        self._encoder = _Encoder(
            self._lossless,
            self.path,
            (self._width, self._height),
            self._frame_rate_hz / self._every,
            ["-qp", "0", "-pix_fmt", "rgb24", "-f", "matroska"],
            codec="libx264rgb",
            preset="ultrafast",
            threads=1,
        )

    def _write(self, frame: Frame) -> None:
        if self.frames % self._every == 0:
            self._encoder.write(frame)

    def _finish(self) -> None:
        self._encoder.finish()
        source = ["-v", "error", "-y", "-threads", "1", "-i", str(self._lossless)]
        self._ffmpeg([*source, "-vf", "palettegen=stats_mode=diff", "-frames:v", "1", str(self._palette)])
        graph = "[0:v][1:v]paletteuse=dither=sierra2_4a:diff_mode=rectangle"
        self._ffmpeg([*source, "-i", str(self._palette), "-lavfi", graph, "-loop", "0", "-f", "gif", str(self._part)])
        if self._comment:
            self._insert_comment()
        settle(self._part, self.path)
        self._clear()

    def _ffmpeg(self, arguments: list[str]) -> None:
        """Run one pass over the intermediate file."""
        code, _, log = ffmpeg.run(arguments, timeout_seconds=max(600.0, self.frames * 2.0))
        if code != 0:
            raise ffmpeg.write_error(log, self.path, code)

    def _insert_comment(self) -> None:
        """Put the recipe behind the loop extension, where readers find it before the first frame."""
        commented = self._part.with_suffix(".tmp")
        try:
            with self._part.open("rb") as source, commented.open("wb") as target:
                head = source.read(13)
                table = 3 << ((head[10] & 7) + 1) if head[10] & 0x80 else 0
                target.write(head + source.read(table))
                loop = source.read(19)
                target.write(loop + self._comment if loop[:3] == b"\x21\xff\x0b" else self._comment + loop)
                shutil.copyfileobj(source, target)
            os.replace(commented, self._part)
        except OSError as exc:
            raise disk_error(exc, self.path) from exc
        finally:
            commented.unlink(missing_ok=True)

    def _clear(self) -> None:
        """Remove the intermediate files."""
        self._lossless.unlink(missing_ok=True)
        self._palette.unlink(missing_ok=True)

    def _undo(self) -> None:
        self._encoder.stop()
        self._clear()
        self._part.unlink(missing_ok=True)


class PngSequenceWriter(FrameWriter):
    """Numbered PNGs, RGB or RGBA, in a zip (`path` ends in .zip) or a new folder; the recipe is in the first."""

    channels = (3, 4)

    def __init__(
        self,
        path: str | os.PathLike[str],
        size: tuple[int, int],
        frame_rate_hz: float,
        *,
        sound_path: str | os.PathLike[str] | None = None,
        sound_start_seconds: float = 0.0,
        recipe: Mapping[str, Any] | None = None,
    ) -> None:
        """Start the zip or folder; see `FrameWriter`.

        Raises:
            ConflictError: the folder exists already and is not empty.
        """
        super().__init__(path, size, frame_rate_hz, recipe=recipe)
        self._archive: zipfile.ZipFile | None = None
        try:
            if self.path.suffix.lower() == ".zip":
                self._archive = zipfile.ZipFile(self._part, "x", zipfile.ZIP_STORED)  # PNGs are compressed already
            else:
                if self.path.is_dir() and any(self.path.iterdir()):
                    raise ConflictError(f"The folder {self.path.name} is not empty.", "Choose a new folder.")
                self._part.mkdir()
        except OSError as exc:
            raise disk_error(exc, self.path) from exc

    def _write(self, frame: Frame) -> None:
        name = f"frame_{self.frames:06d}.png"
        data = png_bytes(frame, self._recipe if self.frames == 0 else None)
        try:
            if self._archive is not None:
                self._archive.writestr(zipfile.ZipInfo(name), data)  # the fixed date keeps the bytes the same
            else:
                (self._part / name).write_bytes(data)
        except OSError as exc:
            raise disk_error(exc, self.path) from exc

    def _finish(self) -> None:
        try:
            if self._archive is not None:
                self._archive.close()
                settle(self._part, self.path)
                return
            if self.path.is_dir():
                self.path.rmdir()
            os.replace(self._part, self.path)
        except OSError as exc:
            raise disk_error(exc, self.path) from exc

    def _undo(self) -> None:
        if self._archive is not None:
            with suppress(OSError, StoreError):  # a disk that is full cannot take the zip's index either
                self._archive.close()
            self._part.unlink(missing_ok=True)
        else:
            shutil.rmtree(self._part, ignore_errors=True)
