"""Several sounds put on one track, each from its own moment on, in the quality they have."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from studio.engines.media import ffmpeg
from studio.engines.media.atomic import atomic_file
from studio.engines.media.sound import FROM_FILE_START, probe
from studio.errors import UnreadableMediaError
from studio.outside import plain_file

RATE_HZ = 48_000
_LOUDEST = 0.97
"""Of full scale: where several speak at once, the sum is held below it."""
_PATIENCE_SECONDS = 600.0


def mix(sounds: Sequence[tuple[str | os.PathLike[str], float]], out: str | os.PathLike[str]) -> Path:
    """Write sounds as one 48 kHz stereo wav; none is made louder or softer by the others.

    Args:
        sounds: path, and the second at which it begins.

    Raises:
        NotFoundError: a sound, or the folder, does not exist.
        UnreadableMediaError: a file has no sound, or is damaged.
        EngineError: ffmpeg failed.
        StoreError: disk full or read-only.
    """
    arguments, chains = ["-v", "error", "-threads", "1"], []
    for number, (path, start_seconds) in enumerate(sounds):
        found = plain_file(path)
        if probe(found).codec is None:
            raise UnreadableMediaError(f"{found.name} has no sound in it.", "Choose another sound.")
        arguments += ffmpeg.input_arguments(found)
        late = round(start_seconds * 1000)
        chains.append(
            f"[{number}:a:0]{FROM_FILE_START},aformat=sample_rates={RATE_HZ}:channel_layouts=stereo,"
            f"adelay={late}:all=1[s{number}]"
        )
    names = "".join(f"[s{number}]" for number in range(len(sounds)))
    chains.append(f"{names}amix=inputs={len(sounds)}:normalize=0,alimiter=limit={_LOUDEST}:level=0[mixed]")
    final = Path(out)
    with atomic_file(final) as part:
        arguments += [
            "-filter_complex", ";".join(chains), "-map", "[mixed]", "-c:a", "pcm_s16le", "-bitexact", "-f", "wav",
            "-y", f"file:{part}",
        ]  # fmt: skip
        code, _, log = ffmpeg.run(arguments, timeout_seconds=_PATIENCE_SECONDS)
        if code != 0:
            raise ffmpeg.write_error(log, final, code)
    return final
