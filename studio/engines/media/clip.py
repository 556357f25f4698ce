"""mp4 for everyone, and webm with the background cut away.

Odd sizes are padded at the right and the bottom by repeating the last column
and row, so every pixel of the render survives. Sound and picture both start at
0, and the sound is cut or filled with silence to the picture's length; AAC's
priming is in the edit list. Colors are converted and tagged as bt709.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from studio.engines.media import ffmpeg
from studio.engines.media.atomic import disk_error, settle
from studio.engines.media.recipe import COMMENT, CONTAINER_KEY, recipe_text
from studio.engines.media.resumable import EncodedParts
from studio.engines.media.sound import FROM_FILE_START, probe
from studio.engines.media.writer import ClipSpec, Encoder, Frame, FrameWriter

_SOUND_RATE_HZ = 48_000
_BT709 = "setparams=range=tv:colorspace=bt709:color_primaries=bt709:color_trc=bt709"
BT709_FILTER = f"scale=out_color_matrix=bt709:out_range=tv,format=yuv420p,{_BT709}"
"""RGB to the yuv420p that every player expects, tagged."""


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
    _encoder: Encoder | EncodedParts

    def __init__(
        self, spec: ClipSpec, parameters: list[str], *, codec: str, preset: str, threads: int, alpha: bool = False
    ) -> None:
        """Start encoding pictures into a file of their own, or into parts that are joined at the end.

        Args:
            parameters: of ffmpeg, what makes the frames the codec's own.
        """
        super().__init__(spec)
        self._prepare_join()
        even = (self._width + self._width % 2, self._height + self._height % 2)

        def encoder(part: Path, final: Path) -> Encoder:
            return Encoder(
                part, final, even, self._frame_rate_hz, [*parameters, "-f", self.container],
                codec=codec, preset=preset, threads=threads, alpha=alpha,
            )  # fmt: skip

        if spec.parts is None:
            self._encoder = encoder(self._pictures, self.path)
        else:
            parts = EncodedParts(spec.parts, self._pictures, self.container, self._frame_rate_hz, encoder)
            self._encoder, self.frames = parts, parts.frames

    def _prepare_join(self) -> None:
        """Name the intermediate files and check what will be written last."""
        if self._recipe is not None:
            recipe_text(self._recipe)  # too long is said now, not after the last frame
        self._pictures = self._part.with_name(f"{self._part.stem}-pictures{self._part.suffix}")
        self._tags = self._part.with_name(f"{self._part.stem}-tags.txt")

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

    def __init__(self, spec: ClipSpec, *, crf: int = 18, preset: str = "veryfast", threads: int = 1) -> None:
        """Start the encoder; see `FrameWriter` for what it raises.

        Args:
            crf: x264's quality, 0 lossless .. 51; 18 looks like the frames.
            preset: x264's speed, "ultrafast" .. "veryslow".
            threads: of the encoder.
        """
        parameters = ["-vf", BT709_FILTER, "-crf", str(crf)]
        super().__init__(spec, parameters, codec="libx264", preset=preset, threads=threads)


class AlphaClipWriter(_ContainerWriter):
    """VP9 yuva420p and Opus in webm; frames are RGBA with straight alpha."""

    channels = (4,)
    container = "webm"
    sound_codec = ("libopus", "-b:a", "128k")

    def __init__(self, spec: ClipSpec, *, crf: int = 24, speed: int = 6, threads: int = 1) -> None:
        """Start the encoder; see `FrameWriter` for what it raises.

        Args:
            crf: VP9's quality, 0..63.
            speed: libvpx's cpu-used, 0 slow .. 8 fast.
            threads: of the encoder.
        """
        parameters = [
            "-vf", f"scale=out_color_matrix=bt709:out_range=tv,format=yuva420p,{_BT709}", "-pix_fmt", "yuva420p",
            "-auto-alt-ref", "0", "-deadline", "realtime", "-cpu-used", str(speed), "-crf", str(crf), "-b:v", "0",
        ]  # fmt: skip
        # moviepy always names a preset; libvpx does not look at it.
        super().__init__(spec, parameters, codec="libvpx-vp9", preset="veryfast", threads=threads, alpha=True)
