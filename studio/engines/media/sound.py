"""Any sound a person may bring, made into 16 kHz mono; and wav written back.

ffmpeg decodes in a second process and the samples stream through a pipe, so a
sound that is too long is refused while it flows, whatever its header claims.
Time 0 is the start of the file: a sound track that begins late inside a video
keeps its leading silence, here as in the clips written by `video`, so that
motion made from these samples fits the sound muxed later. Knows nothing of
words; loudness is measured only to tell silence.
"""

from __future__ import annotations

import hashlib
import os
import re
import subprocess
import tempfile
import wave
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from studio.engines.base import Sound
from studio.engines.media import ffmpeg
from studio.engines.media.atomic import atomic_file
from studio.errors import LimitExceededError, UnreadableMediaError
from studio.outside import named, plain_file

ANALYSIS_RATE_HZ = 16_000
MAX_SECONDS = 1_800.0
SILENCE_RMS = 10 ** (-60 / 20)
"""-60 dB of full scale in the loudest 100 ms: below this no speech can be found."""
FROM_FILE_START = "aresample=async=1:first_pts=0"
"""Fill or cut so that sample 0 is time 0 of the file; used for analysis and for muxing alike."""

_HINT = "Use a wav, mp3, m4a, flac, ogg or opus sound, or a video with sound."
_DURATION = re.compile(r"^\s*Duration: (?:(\d+):(\d\d):(\d\d(?:\.\d+)?)|N/A)", re.M)
_ESTIMATED = "Estimating duration from bitrate"
"""What ffmpeg says where a stream without a header of its own is taken to be as dense as its beginning."""
_FORMAT = re.compile(r"^Input #0, (\S+), from", re.M)
_AUDIO = re.compile(r"^\s*Stream #0:\d+\S*: Audio: (\w+)[^\n]*?, (\d+) Hz, ([^,\n]+)", re.M)
_VIDEO = re.compile(r"^\s*Stream #0:\d+\S*: Video: (?!.*attached pic)", re.M)
_CHANNELS = {"mono": 1, "stereo": 2, "2.1": 3, "3.0": 3, "4.0": 4, "quad": 4, "5.0": 5, "5.1": 6, "6.1": 7, "7.1": 8}


@dataclass(frozen=True)
class SoundInfo:
    """What a file's header says.

    Attributes:
        container: ffmpeg's name, e.g. "wav" or "mov,mp4,m4a,3gp,3g2,mj2".
        duration_seconds: None where the header does not tell; of a video the longest of its streams.
        codec, rate_hz, channels: of the first sound track; None without one.
        has_video: a moving picture is there too.
    """

    container: str
    duration_seconds: float | None
    codec: str | None
    rate_hz: int | None
    channels: int | None
    has_video: bool


@dataclass(frozen=True)
class SoundFile(Sound):
    """Decoded sound with what is known of its file.

    Attributes:
        info: the header.
        sha256: of the file's bytes, hexadecimal.
        notes: sentences for the person, e.g. about silence or a broken end.
    """

    info: SoundInfo = field(default_factory=lambda: SoundInfo("", None, None, None, None, False))
    sha256: str = ""
    notes: tuple[str, ...] = ()


def probe(path: str | os.PathLike[str]) -> SoundInfo:
    """Read a file's header.

    Raises:
        NotFoundError: no such file.
        UnreadableMediaError: empty, a folder, or no sound or video container.
    """
    found = plain_file(path)
    _, _, log = ffmpeg.run(ffmpeg.input_arguments(found))
    container = _FORMAT.search(log)
    if container is None:
        raise UnreadableMediaError(f"{found.name} is not a sound or video that can be read.", _HINT)
    time = _DURATION.search(log)
    seconds = None
    if time and time[1] is not None:
        seconds = int(time[1]) * 3600 + int(time[2]) * 60 + float(time[3])
    if _ESTIMATED in log:
        seconds = None
    audio = _AUDIO.search(log)
    return SoundInfo(
        container[1].rstrip(","),
        seconds,
        audio[1] if audio else None,
        int(audio[2]) if audio else None,
        _channel_count(audio[3]) if audio else None,
        _VIDEO.search(log) is not None,
    )


def _channel_count(layout: str) -> int:
    """Return the number of channels of ffmpeg's layout name, e.g. "5.1(side)" or "8 channels"."""
    name = layout.strip()
    digits = re.match(r"(\d+) channels", name)
    return int(digits[1]) if digits else _CHANNELS.get(name.partition("(")[0], 2)


def read_sound(
    path: str | os.PathLike[str], *, max_seconds: float = MAX_SECONDS, sha256: str | None = None
) -> SoundFile:
    """Decode a sound, or the sound of a video, for analysis.

    Args:
        path: any container in `ffmpeg.CONTAINERS`.
        max_seconds: longer sounds are refused, from the header or while decoding.
        sha256: of the file's bytes, where it is known.

    Returns:
        16 kHz mono; all channels are mixed by their standard weights. Silence is allowed and noted.

    Raises:
        NotFoundError: no such file.
        UnreadableMediaError: no sound in it, 0 seconds, damaged.
        LimitExceededError: longer than `max_seconds`.
    """
    found = plain_file(path)
    info = probe(found)
    if info.codec is None:
        what = "is a video without sound" if info.has_video else "has no sound in it"
        raise UnreadableMediaError(f"{found.name} {what}.", _HINT)
    if info.duration_seconds is not None and info.duration_seconds > max_seconds:
        raise _too_long(found.name, info.duration_seconds, max_seconds)
    samples, complaints = _decode(found, max_seconds)
    sound = Sound(samples, ANALYSIS_RATE_HZ)
    notes = []
    # A video may go on behind its sound: that alone is no damage.
    whole = info.duration_seconds if complaints or not info.has_video else None
    if whole is not None and sound.duration_seconds < whole * 0.95 - 0.5:
        notes.append(
            f"The sound breaks off after {sound.duration_seconds:.1f} of {whole:.1f} seconds: the file is damaged."
        )
    if is_silent(sound):
        notes.append("The sound is silent, so the mouth rests.")
    return SoundFile(samples, ANALYSIS_RATE_HZ, info, sha256 or _sha256(found), tuple(notes))


def _too_long(name: str, seconds: float | None, max_seconds: float) -> LimitExceededError:
    """Return the error for a sound over the limit."""
    length = f"is {seconds / 60:.0f} minutes long, more than" if seconds else "is longer than"
    return LimitExceededError(
        f"{name} {length} the {max_seconds / 60:g} minutes allowed.", "Trim it to the part needed."
    )


def _decode(path: Path, max_seconds: float) -> tuple[np.ndarray, str]:
    """Stream the decoded samples out of ffmpeg.  # (N,) float32; and what it complained of"""
    arguments = [
        "-v", "error", "-threads", "1", *ffmpeg.input_arguments(path), "-map", "0:a:0", "-vn", "-sn", "-dn",
        "-af", FROM_FILE_START, "-ac", "1", "-ar", str(ANALYSIS_RATE_HZ), "-f", "f32le", "pipe:1",
    ]  # fmt: skip
    limit = int(max_seconds * ANALYSIS_RATE_HZ) * 4
    data = bytearray()
    with tempfile.TemporaryFile() as log, ffmpeg.start(arguments, stdout=subprocess.PIPE, stderr=log) as process:
        assert process.stdout is not None
        while chunk := process.stdout.read(1 << 18):
            data += chunk
            if len(data) > limit:
                process.kill()
                raise _too_long(path.name, None, max_seconds)
        code = process.wait()
        words = ffmpeg.read_log(log).strip()
    samples = np.frombuffer(data, np.float32, count=len(data) // 4)
    if len(samples) == 0 and code == 0 and not words:
        raise UnreadableMediaError(f"{path.name} is 0 seconds long.", "Record or export the sound again.")
    if len(samples) == 0:
        raise UnreadableMediaError(f"The sound in {path.name} is damaged and cannot be decoded.", _HINT)
    if not np.isfinite(samples).all():
        raise UnreadableMediaError(f"{path.name} holds samples that are not numbers.", _HINT)
    return np.clip(samples, -1.0, 1.0), words


def _sha256(path: Path) -> str:
    """Hash a file in pieces."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def is_silent(sound: Sound) -> bool:
    """Say whether no 100 ms of the sound are louder than SILENCE_RMS."""
    window = max(1, sound.rate_hz // 10)
    if len(sound.samples) == 0:
        return True
    starts = np.arange(0, len(sound.samples), window)
    energy = np.add.reduceat(sound.samples.astype(np.float64) ** 2, starts)
    counts = np.diff(np.append(starts, len(sound.samples)))
    return bool(np.sqrt(energy / counts).max() < SILENCE_RMS)


def trim(sound: Sound, start_seconds: float = 0.0, end_seconds: float | None = None) -> Sound:
    """Cut a piece out of a sound; times outside it are held to its ends.

    Returns:
        The piece; the sound itself where nothing is cut off.

    Raises:
        ValueError: the piece would end before it starts.
    """
    if end_seconds is not None and end_seconds < start_seconds:
        raise ValueError(f"the piece ends at {end_seconds} s before it starts at {start_seconds} s")
    first = max(0, round(start_seconds * sound.rate_hz))
    last = len(sound.samples) if end_seconds is None else max(0, round(end_seconds * sound.rate_hz))
    if first == 0 and last >= len(sound.samples):
        return sound  # the same one: what was measured of it still holds
    return Sound(sound.samples[first:last].copy(), sound.rate_hz)


def read_wav(path: Path) -> Sound:
    """Read a file that `write_wav` wrote, at its own rate.

    Raises:
        NotFoundError: no such file.
    """
    with named(path), wave.open(str(path), "rb") as file:
        pcm = np.frombuffer(file.readframes(file.getnframes()), "<i2")
        return Sound((pcm / np.float32(32767)).astype(np.float32), file.getframerate())


def write_wav(path: str | os.PathLike[str], sound: Sound) -> Path:
    """Write 16-bit mono wav, whole or not at all.

    Raises:
        NotFoundError: the folder does not exist.
        StoreError: disk full or read-only.
    """
    final = Path(path)
    pcm = np.round(np.clip(sound.samples, -1.0, 1.0) * 32767).astype("<i2")
    with atomic_file(final) as part, wave.open(str(part), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(sound.rate_hz)
        file.writeframes(pcm.tobytes())
    return final
