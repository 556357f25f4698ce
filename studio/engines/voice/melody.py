"""What a voice does that head and brows follow: beats, tune, accents, phrases.

Heads nod with loudness and brows rise with pitch, at one to three moves a
second (docs/talking_mouth.md: head and envelope are coupled at 1..2
Hz). This module turns the prosody of a sound into those drives; what a head
makes of them is `head`'s matter. It knows no face and no randomness.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from studio.domain.speech import SILENCE, Phone
from studio.engines.voice.prosody import TICKS_HZ, Prosody

FloatArray = NDArray[np.float32]

_ACCENT_SPACING_SECONDS = 0.36
_WEAKEST_ACCENT = 0.1  # standard deviations of loudness and half those of pitch above the speaker's mean
_STRONGEST_ACCENT = 2.2
_PHRASE_PAUSE_SECONDS = 0.25
_LONGEST_PHRASE_SECONDS = 3.5


@dataclass(frozen=True)
class Accent:
    """One stressed moment.

    Attributes:
        seconds: when.
        strength: 0 barely stressed .. 1 shouted out of the sentence.
    """

    seconds: float
    strength: float


@dataclass(frozen=True)
class Melody:
    """The drives of one sound.

    Attributes:
        beat: loudness against its own surroundings of a second, about -2..2; 0 in silence.  # (T,) at 100 Hz
        tune: pitch against its own surroundings of three seconds, about -2..2; 0 in silence.  # (T,) at 100 Hz
        accents: stressed moments, at least 360 ms apart.
        phrases: start and end in seconds of what is said in one breath.
    """

    beat: FloatArray
    tune: FloatArray
    accents: tuple[Accent, ...]
    phrases: tuple[tuple[float, float], ...]


def melody(prosody: Prosody, phones: Sequence[Phone]) -> Melody:
    """Find the drives of a sound.

    Args:
        prosody: of the sound.
        phones: of the same sound, with pauses written as silence.
    """
    speech = np.zeros(len(prosody), bool)
    for phone in phones:
        if phone.label != SILENCE:
            speech[int(phone.start * TICKS_HZ) : int(phone.end * TICKS_HZ)] = True
    voiced = speech & (prosody.pitch_hz > 0)
    spoken = phrases(phones)
    if voiced.sum() < 20:
        still = np.zeros(len(prosody), np.float32)
        return Melody(still, still, (), spoken)
    loud = _standard(smooth(prosody.level_db, 4), speech)
    high = _standard(np.log(np.maximum(prosody.pitch_hz, 1)), voiced) * voiced
    share = smooth(voiced, 8)
    tune = smooth(high, 8) / np.maximum(share, 0.1)  # the pitch of voiced moments carried over the gaps
    present = smooth(speech, 12)
    beat = np.clip(smooth(loud, 9) - smooth(loud, 50), -2, 2) * present
    tune = np.clip(tune - smooth(tune, 150), -2, 2) * present
    accents = _accents(np.where(voiced, loud + 0.5 * high, -9))
    return Melody(beat.astype(np.float32), tune.astype(np.float32), accents, spoken)


def phrases(phones: Sequence[Phone]) -> tuple[tuple[float, float], ...]:
    """Return what lies between pauses of 250 ms, cut where it is longer than 3.5 s."""
    out: list[list[float]] = []
    for phone in phones:
        if phone.label == SILENCE and phone.end - phone.start >= _PHRASE_PAUSE_SECONDS:
            continue
        if out and phone.start - out[-1][1] < 1e-6 and phone.end - out[-1][0] < _LONGEST_PHRASE_SECONDS:
            out[-1][1] = phone.end
        else:
            out.append([phone.start, phone.end])
    return tuple((start, end) for start, end in out)


def smooth(curve: NDArray[np.generic], ticks: float) -> FloatArray:
    """Low-pass with a Gaussian of this standard deviation; the ends are continued.  # (T,)"""
    reach = int(3 * ticks) + 1
    kernel = np.exp(-0.5 * (np.arange(-reach, reach + 1) / ticks) ** 2)
    padded = np.pad(np.asarray(curve, np.float64), reach, mode="edge")
    return np.asarray(np.convolve(padded, kernel / kernel.sum(), "valid"), np.float32)


def _standard(curve: FloatArray, where: NDArray[np.bool_]) -> FloatArray:
    return np.asarray((curve - curve[where].mean()) / (curve[where].std() + 1e-6), np.float32)


def _accents(strength: FloatArray) -> tuple[Accent, ...]:
    """Return the strongest peaks first come, spaced, in order of time."""
    peaks = np.flatnonzero((strength[1:-1] >= strength[:-2]) & (strength[1:-1] > strength[2:])) + 1
    chosen: list[int] = []
    for tick in sorted((p for p in peaks if strength[p] > _WEAKEST_ACCENT), key=lambda p: -strength[p]):
        if all(abs(tick - other) >= _ACCENT_SPACING_SECONDS * TICKS_HZ for other in chosen):
            chosen.append(int(tick))
    scale = _STRONGEST_ACCENT - _WEAKEST_ACCENT
    return tuple(
        Accent(t / TICKS_HZ, float(np.clip((strength[t] - _WEAKEST_ACCENT) / scale, 0, 1))) for t in sorted(chosen)
    )
