"""Phones from loudness alone, for sound in which nothing else is found.

The last resort: syllables become vowels by their loudness and hiss, short deep
dips with a murmur or a burst become closed lips. It serves singing, strange
languages with noise, and robots; it knows nothing of what is said.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from studio.domain.speech import SILENCE, Phone
from studio.engines.voice.prosody import TICKS_HZ, Prosody, runs

_DIP_DB, _DIP_TICKS = 9.0, (4, 14)
_BURST_DB = 12.0
_HISS_DB = -3.0


def closed_lips(prosody: Prosody) -> tuple[tuple[float, float], ...]:
    """Find probable P, B and M: dips of 9 dB lasting 40..140 ms that murmur below 400 Hz or end in a burst.

    Returns:
        Start and end in seconds.
    """
    level = np.convolve(np.pad(prosody.level_db, 1, mode="edge"), np.ones(3) / 3, "valid")
    reach = 20
    padded = np.pad(level, reach, mode="edge")
    windows = np.lib.stride_tricks.sliding_window_view(padded, reach + 1)
    before, after = windows[: len(level)].max(1), windows[reach : reach + len(level)].max(1)
    deep = level < np.minimum(before, after) - _DIP_DB
    out = []
    for start, end in runs(deep):
        if not _DIP_TICKS[0] <= end - start <= _DIP_TICKS[1] or not prosody.speaking[max(0, start - 5) : end + 5].any():
            continue
        murmur = prosody.low_db[start:end].mean() - prosody.level_db[start:end].mean() > -2.2  # 60 % of the energy
        burst = level[end : end + 3].max(initial=-200) - level[max(start, end - 2) : end].min() >= _BURST_DB
        if murmur or burst:
            out.append((start / TICKS_HZ, end / TICKS_HZ))
    return tuple(out)


def energy_phones(prosody: Prosody) -> tuple[Phone, ...]:
    """Name the sound by loudness, hiss and dips, at least 40 ms apiece."""
    labels = np.full(len(prosody), SILENCE, dtype="U3")
    speaking = prosody.speaking
    if speaking.any():
        level = prosody.level_db
        soft, loud = np.percentile(level[speaking], [35, 75])
        labels[speaking] = np.where(level[speaking] > loud, "AA", np.where(level[speaking] > soft, "AH", "IH"))
        labels[speaking & (prosody.high_db - level > _HISS_DB - 3)] = "S"
        for start, end in closed_lips(prosody):
            labels[round(start * TICKS_HZ) : round(end * TICKS_HZ)] = "M"
    return _merged(labels)


def _merged(labels: NDArray[np.str_]) -> tuple[Phone, ...]:
    """Join equal ticks; a stretch under 40 ms goes to the one before it."""
    out: list[list[object]] = []
    for tick, label in enumerate(labels):
        if out and out[-1][0] == label:
            continue
        if out and tick - int(str(out[-1][1])) < 4 and len(out) > 1:
            out.pop()
            if out[-1][0] == label:
                continue
        out.append([str(label), tick])
    ends = [int(str(o[1])) for o in out[1:]] + [len(labels)]
    return tuple(Phone(str(o[0]), int(str(o[1])) / TICKS_HZ, end / TICKS_HZ) for o, end in zip(out, ends, strict=True))
