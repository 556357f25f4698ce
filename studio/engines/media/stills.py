"""Clips without sound: GIF, and numbered PNGs for other programs.

A GIF has one palette for all frames, made in a second pass over a lossless
file on disk; PNGs go straight to a zip or a folder.
"""

from __future__ import annotations

import math
import os
import shutil
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import numpy as np

from studio.engines.media import ffmpeg
from studio.engines.media.atomic import disk_error, settle
from studio.engines.media.pictures import png_bytes, read_picture
from studio.engines.media.recipe import gif_comment
from studio.engines.media.writer import ClipSpec, Encoder, Frame, FrameWriter
from studio.errors import ConflictError, StoreError
from studio.outside import plain_file, unpacked, zip_of

GIF_FRAME_RATE_HZ = 15.0


class GifWriter(FrameWriter):
    """GIF with one palette for all frames, at most 15 per second, without sound.

    The palette needs all frames, so they go to a lossless file on disk first.
    """

    def __init__(self, spec: ClipSpec) -> None:
        """Start the intermediate file; see `FrameWriter`."""
        super().__init__(spec)
        self._every = math.ceil(self._frame_rate_hz / GIF_FRAME_RATE_HZ)
        self._comment = gif_comment(spec.recipe) if spec.recipe is not None else b""
        self._lossless = self._part.with_suffix(".mkv")
        self._palette = self._part.with_suffix(".png")
        self._encoder = Encoder(
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

    def __init__(self, spec: ClipSpec) -> None:
        """Start the zip or folder; see `FrameWriter`.

        Raises:
            ConflictError: the folder exists already and is not empty.
        """
        super().__init__(spec)
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


@contextmanager
def read_png_sequence(path: str | os.PathLike[str], *, alpha: bool = False) -> Iterator[Iterator[Frame]]:
    """Open a zip of numbered PNGs for reading picture by picture; use it in a `with` block.

    Args:
        path: the zip.
        alpha: give RGBA; else transparent pixels are blended with neutral gray.

    Raises:
        NotFoundError: no such file.
        UnreadableMediaError: no zip of pictures, or damaged; also while reading.
    """
    with zip_of(plain_file(path)) as archive:
        yield (_pixels(unpacked(archive, name), alpha) for name in sorted(archive.namelist()))


def _pixels(data: bytes, alpha: bool) -> Frame:
    """Decode one PNG.  # (H, W, 3 or 4)"""
    picture = read_picture(data)
    if not alpha:
        return picture.rgb
    opaque = np.full(picture.rgb.shape[:2], 255, np.uint8)
    return np.dstack([picture.rgb, opaque if picture.alpha is None else picture.alpha])
