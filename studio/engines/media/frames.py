"""Videos read frame by frame, and measured without being decoded.

Frames come through a pipe as PAM pictures, which carry their own size, so a
phone's rotated video needs no guess. `probe_video` lists every packet as the
container dates it, edit lists included: that is what a player will do.
Knows nothing of faces.
"""

from __future__ import annotations

import os
import re
import struct
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import IO

import numpy as np
from numpy.typing import NDArray

from studio.engines.media import ffmpeg
from studio.engines.media.sound import probe
from studio.errors import LimitExceededError, UnreadableMediaError
from studio.outside import plain_file

Frame = NDArray[np.uint8]

MAX_SECONDS = 1_800.0
MAX_RATE_HZ = 120.0
MAX_FRAME_PIXELS = 4096 * 4096
_HINT = "Use an mp4, mov, webm, mkv or avi video."
_STREAM = re.compile(r"^\s*Stream #0:(\d+)\S*: (Video|Audio): (\w+)([^\n]*)", re.M)
_SIZE = re.compile(r", (\d+)x(\d+)[,\s]")
_PIXEL_FORMAT = re.compile(r"(?:^|, )(yuv\w+|yuvj\w+|rgb\w*|bgr\w*|gbr\w*|gray\w*|pal8|nv12|rgba)\b")
_INTERLACED = re.compile(r"\b(?:top|bottom)(?: coded)? first\b")
_RATE = re.compile(r", ([\d.]+k?) fps")


@dataclass(frozen=True)
class VideoInfo:
    """A video as a player sees it.

    Attributes:
        width, height: coded pixels.
        frame_rate_hz: frames over duration.
        frames: packets of the picture track.
        video_seconds, audio_seconds: length of each track; audio None without sound.
        video_start_seconds, audio_start_seconds: when the first frame and sample are shown.
        codec, pixel_format, audio_codec: ffmpeg's names.
        has_alpha: the container says that there is an alpha plane.
        faststart: mp4 whose index lies before its data; None for other containers.
        colors: what the header says of range and color space, e.g. "tv, bt709".
    """

    width: int
    height: int
    frame_rate_hz: float
    frames: int
    video_seconds: float
    audio_seconds: float | None
    video_start_seconds: float
    audio_start_seconds: float | None
    codec: str
    pixel_format: str
    audio_codec: str | None
    has_alpha: bool
    faststart: bool | None
    colors: str

    @property
    def has_audio(self) -> bool:
        """Whether there is a sound track."""
        return self.audio_codec is not None


def probe_video(path: str | os.PathLike[str]) -> VideoInfo:
    """Measure a video without decoding it.

    Raises:
        NotFoundError: no such file.
        UnreadableMediaError: no moving picture in it, or damaged.
    """
    found = plain_file(path)
    _, output, log = ffmpeg.run(
        [*ffmpeg.input_arguments(found), "-map", "0:v:0", "-map", "0:a:0?", "-c", "copy", "-f", "framecrc", "pipe:1"]
    )
    streams = {kind: (codec, rest) for _, kind, codec, rest in reversed(_STREAM.findall(log.partition("Output #0")[0]))}
    tracks = _tracks(output.decode("utf-8", "replace"))
    size = _SIZE.search(streams.get("Video", ("", ""))[1])
    if "Video" not in streams or 0 not in tracks or size is None:
        raise UnreadableMediaError(f"{found.name} is not a video that can be read.", _HINT)
    codec, words = streams["Video"]
    picture, sound = tracks[0], tracks.get(1)
    pixel_format = _PIXEL_FORMAT.search(words)
    colors = re.search(r"\b(?:yuv\w+|gbr\w*|rgb\w*)\(([^)]*)\)", words)
    return VideoInfo(
        width=int(size[1]),
        height=int(size[2]),
        frame_rate_hz=float(picture.packets / picture.seconds) if picture.seconds else 0.0,
        frames=picture.packets,
        video_seconds=float(picture.seconds),
        audio_seconds=float(sound.seconds) if sound else None,
        video_start_seconds=float(picture.start),
        audio_start_seconds=float(sound.start) if sound else None,
        codec=codec,
        pixel_format=pixel_format[1] if pixel_format else "",
        audio_codec=streams["Audio"][0] if "Audio" in streams else None,
        has_alpha=re.search(r"alpha_mode\s*:\s*1", log, re.I) is not None,
        faststart=_faststart(found),
        colors=colors[1] if colors else "",
    )


@dataclass
class _Track:
    """Packets of one track and the time they span."""

    packets: int
    start: Fraction
    end: Fraction

    @property
    def seconds(self) -> Fraction:
        return self.end - max(self.start, Fraction(0))


def _tracks(listing: str) -> dict[int, _Track]:
    """Sum up ffmpeg's framecrc listing: `stream, dts, pts, duration, size, crc` per packet."""
    bases: dict[int, Fraction] = {}
    tracks: dict[int, _Track] = {}
    for line in listing.splitlines():
        if base := re.match(r"#tb (\d+): (\d+)/(\d+)", line):
            bases[int(base[1])] = Fraction(int(base[2]), int(base[3]))
        if line.startswith("#") or not line.strip():
            continue
        stream, _, pts, duration = (int(value) for value in line.split(",")[:4])
        start, end = pts * bases[stream], (pts + duration) * bases[stream]
        track = tracks.setdefault(stream, _Track(0, start, end))
        track.packets += 1
        track.start, track.end = min(track.start, start), max(track.end, end)
    return tracks


def _faststart(path: Path) -> bool | None:
    """Say whether `moov` comes before `mdat`; None where there are no such boxes."""
    with path.open("rb") as file:
        while len(head := file.read(8)) == 8:
            size, kind = struct.unpack(">I4s", head)
            if kind in {b"moov", b"mdat"}:
                return bool(kind == b"moov")
            if size == 1:
                size = struct.unpack(">Q", file.read(8))[0] - 8
            if size < 8 or kind not in {b"ftyp", b"free", b"skip", b"wide", b"uuid"}:
                return None
            file.seek(size - 8, os.SEEK_CUR)
    return None


class FrameReader:
    """The frames of a video, one at a time; a context manager and an iterator.

    Attributes:
        frame_rate_hz: constant; a phone's varying rate is evened out.
        duration_seconds: as the header says, or None.
        notes: sentences for the person on what was done to the frames, e.g. that half pictures were joined.

    Convention: upright, square pixels, `uint8` RGB (or RGBA with `alpha`).
    """

    def __init__(
        self,
        path: Path,
        arguments: list[str],
        frame_rate_hz: float,
        seconds: float | None,
        limit: int,
        notes: tuple[str, ...] = (),
    ):
        self.notes = notes
        self.frame_rate_hz = frame_rate_hz
        self.duration_seconds = seconds
        self._name = path.name
        self._limit = limit
        self._log = tempfile.TemporaryFile()  # noqa: SIM115 -- lives as long as the process, closed in close()
        self._process = ffmpeg.start(arguments, stdout=subprocess.PIPE, stderr=self._log)

    def __iter__(self) -> Iterator[Frame]:
        """Yield frames in order.

        Raises:
            UnreadableMediaError: no frame could be decoded.
            LimitExceededError: more frames than allowed.
        """
        assert self._process.stdout is not None
        count = 0
        while (frame := _read_pam(self._process.stdout)) is not None:
            count += 1
            if count > self._limit:
                self.close()
                raise LimitExceededError(f"{self._name} is longer than allowed.", "Trim it to the part needed.")
            yield frame
        if count == 0:
            raise UnreadableMediaError(f"The pictures in {self._name} are damaged and cannot be decoded.", _HINT)

    def close(self) -> None:
        """End the decoder; frames not read are dropped."""
        if self._process.poll() is None:
            self._process.kill()
        if self._process.stdout is not None:
            self._process.stdout.close()
        self._process.wait()
        self._log.close()

    def __enter__(self) -> FrameReader:
        return self

    def __exit__(self, kind: type[BaseException] | None, exc: BaseException | None, at: TracebackType | None) -> None:
        self.close()


def _read_pam(pipe: IO[bytes]) -> Frame | None:
    """Read one PAM picture; None at the end of the stream.  # (H, W, 3 or 4)"""
    head: dict[bytes, bytes] = {}
    while (line := pipe.readline()) not in {b"", b"ENDHDR\n"}:
        key, _, value = line.strip().partition(b" ")
        head[key] = value
    if b"WIDTH" not in head:
        return None
    shape = int(head[b"HEIGHT"]), int(head[b"WIDTH"]), int(head[b"DEPTH"])
    data = pipe.read(shape[0] * shape[1] * shape[2])
    if len(data) < shape[0] * shape[1] * shape[2]:
        return None  # the decoder ended inside a picture
    return np.frombuffer(data, np.uint8).reshape(shape)


def read_frames(
    path: str | os.PathLike[str],
    *,
    longer_side: int | None = None,
    alpha: bool = False,
    max_seconds: float = MAX_SECONDS,
    start_seconds: float = 0.0,
    seconds: float | None = None,
    most_per_second: float = MAX_RATE_HZ,
    key_frames: bool = False,
) -> FrameReader:
    """Open a video for reading frame by frame; use it in a `with` block.

    Args:
        path: any video in `ffmpeg.CONTAINERS`.
        longer_side: reduce to this many pixels; never enlarges.
        alpha: read a webm's alpha plane too; frames are RGBA.
        max_seconds: longer videos are refused; where a part is asked for, longer parts.
        start_seconds, seconds: the part to read; None is to the end.
        most_per_second: a faster video gives only so many of its frames.
        key_frames: decode only frames that stand for themselves, which is many times quicker; each is given until the
            next one.

    Interlaced pictures are made whole.

    Raises:
        NotFoundError: no such file.
        UnreadableMediaError: no moving picture in it.
        LimitExceededError: too long or too large.
    """
    found = plain_file(path)
    info = probe(found)
    _, _, log = ffmpeg.run(ffmpeg.input_arguments(found))
    stream = next((m for m in _STREAM.finditer(log) if m[2] == "Video"), None)
    size = _SIZE.search(stream[4]) if stream else None
    if stream is None or size is None:
        raise UnreadableMediaError(f"{found.name} has no moving picture in it.", _HINT)
    if seconds is None and info.duration_seconds is not None and info.duration_seconds - start_seconds > max_seconds:
        raise LimitExceededError(
            f"{found.name} is {info.duration_seconds / 60:.0f} minutes long, limit {max_seconds / 60:g}.",
            "Trim it to the part needed.",
        )
    if int(size[1]) * int(size[2]) > MAX_FRAME_PIXELS:
        raise LimitExceededError(f"{found.name} is {size[1]} x {size[2]} pixels large.", "Reduce it to 4K or less.")
    rate = _RATE.search(stream[4])
    frame_rate_hz = min(float(rate[1].replace("k", "000")), most_per_second) if rate else 25.0
    # Two half pictures of different moments make combs of everything that moves.
    scale = "bwdif=mode=send_frame:deint=all," if _INTERLACED.search(stream[4]) else ""
    scale += "scale=iw*sar:ih,setsar=1"
    if longer_side is not None:
        scale += f",scale='min(iw,{longer_side})':'min(ih,{longer_side})':force_original_aspect_ratio=decrease"
    decoder = ["-c:v", "libvpx-vp9"] if alpha and stream[3] == "vp9" else []
    decoder += ["-skip_frame", "nokey"] if key_frames else []
    part = ["-ss", f"{start_seconds:.3f}"] if start_seconds > 0 else []
    part += ["-t", f"{seconds:.3f}"] if seconds is not None else []
    arguments = [
        "-v", "error", "-threads", "1", *part, *decoder, *ffmpeg.input_arguments(found), "-map", "0:v:0", "-an", "-sn",
        "-dn",
        "-filter_threads", "1", "-vf", scale, "-fps_mode", "cfr", "-r", f"{frame_rate_hz:g}",
        "-c:v", "pam", "-pix_fmt", "rgba" if alpha else "rgb24", "-f", "image2pipe", "pipe:1",
    ]  # fmt: skip
    notes = ["The video is interlaced: its half pictures were joined."] if scale.startswith("bwdif") else []
    named = float(rate[1].replace("k", "000")) if rate else frame_rate_hz
    if named > frame_rate_hz:
        notes.append(f"The video has {named:g} frames per second, of which {frame_rate_hz:g} are looked at.")
    limit = int(max_seconds * frame_rate_hz) + 1
    return FrameReader(found, arguments, frame_rate_hz, info.duration_seconds, limit, tuple(notes))
