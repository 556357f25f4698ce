"""The ffmpeg program of imageio-ffmpeg, run without a shell and with a short list of formats.

A file that calls itself a sound may be a playlist that names other files or
addresses; so only plain containers may be opened, only from the file itself.
Knows nothing of frames or speech.
"""

from __future__ import annotations

import os
import subprocess
import tempfile
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import IO

from studio.engines.media.atomic import disk_full
from studio.errors import EngineError, EngineUnavailableError, StudioError

CONTAINERS = (
    "wav,w64,mp3,flac,ogg,aac,aiff,caf,amr,au,mov,mp4,matroska,webm,avi,mpegts,mpeg,asf,flv,gif"  # ffmpeg's own names
)
"""Demuxers that an untrusted file may choose; none of them opens a second file."""

PROBE_SECONDS = 120.0
_TAIL_CHARACTERS = 1200


@cache
def binary() -> str:
    """Return the path of the ffmpeg program.

    Raises:
        EngineUnavailableError: imageio-ffmpeg has none for this system.
    """
    import imageio_ffmpeg

    # Its own search runs the program once to see whether it works, half a second that every clip would wait for,
    # and moviepy asks for the same search again; a program that is named outright is not tried.
    folder = Path(imageio_ffmpeg.__file__).parent / "binaries"
    shipped = sorted(p for p in folder.glob("ffmpeg-*") if os.access(p, os.X_OK))
    if shipped:
        os.environ.setdefault("IMAGEIO_FFMPEG_EXE", str(shipped[-1]))
    try:
        return str(imageio_ffmpeg.get_ffmpeg_exe())
    except RuntimeError as exc:
        raise EngineUnavailableError(
            "The ffmpeg program is missing.", "Install it again with `pip install --force-reinstall imageio-ffmpeg`."
        ) from exc


def input_arguments(path: Path) -> list[str]:
    """Return the arguments that open an untrusted file and nothing else."""
    return ["-protocol_whitelist", "file,pipe", "-format_whitelist", CONTAINERS, "-i", f"file:{path}"]


def start(
    arguments: Sequence[str], *, stdout: int | IO[bytes] = subprocess.DEVNULL, stderr: int | IO[bytes]
) -> subprocess.Popen[bytes]:
    """Start ffmpeg without a shell, a window or a terminal to read from."""
    flags = getattr(subprocess, "CREATE_NO_WINDOW", 0)
    return subprocess.Popen(
        [binary(), "-hide_banner", "-nostdin", *arguments],
        stdin=subprocess.DEVNULL,
        stdout=stdout,
        stderr=stderr,
        creationflags=flags,
    )


def run(arguments: Sequence[str], *, timeout_seconds: float = PROBE_SECONDS) -> tuple[int, bytes, str]:
    """Run ffmpeg to its end.

    Returns:
        Exit code, standard output, standard error as text.

    Raises:
        EngineError: it did not end within `timeout_seconds`.
    """
    with tempfile.TemporaryFile() as log, start(arguments, stdout=subprocess.PIPE, stderr=log) as process:
        try:
            output, _ = process.communicate(timeout=timeout_seconds)
        except subprocess.TimeoutExpired as exc:
            process.kill()
            raise EngineError(
                f"ffmpeg did not end within {timeout_seconds:.0f} seconds.", "The file may be damaged; try another."
            ) from exc
        return process.returncode, output, read_log(log)


def read_log(log: IO[bytes]) -> str:
    """Return what ffmpeg wrote to its log file, at most the last 256 KB."""
    size = log.seek(0, os.SEEK_END)
    log.seek(max(0, size - 262_144))
    return log.read().decode("utf-8", "replace")


def write_error(log: str, path: Path, exit_code: int | None) -> StudioError:
    """Put a failed encode into one sentence, with ffmpeg's last lines as the hint."""
    if "No space left on device" in log or "Disk quota exceeded" in log or "There is not enough space" in log:
        return disk_full(path)
    tail = log.strip()[-_TAIL_CHARACTERS:]
    return EngineError(f"ffmpeg could not write {path.name} (exit code {exit_code}).", f"Its last words: {tail}")
