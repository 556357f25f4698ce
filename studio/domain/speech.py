"""What was said and when: words and phones of a sound, in ARPAbet.

The method that produced the phones is always kept beside them,
because a curve made from a forced alignment deserves more trust than one made
from loudness.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

PhoneMethod = Literal["synthesis", "aligned", "decoded", "phone_loop", "energy"]
"""How the phones were found, best first."""

SILENCE = "SIL"


@dataclass(frozen=True)
class Phone:
    """One ARPAbet phone without stress mark, or SIL; times in seconds."""

    label: str
    start: float
    end: float


@dataclass(frozen=True)
class Word:
    """One word as written; times in seconds."""

    text: str
    start: float
    end: float


@dataclass(frozen=True)
class SpeechAnalysis:
    """Phones and words of one sound.

    Attributes:
        duration_seconds: length of the sound.
        phones: in order, without overlap, covering the sound (silence is SIL).
        words: empty where the method knows no words.
        method: how the phones were found.
        notes: sentences for the person, e.g. about words that did not match.
    """

    duration_seconds: float
    phones: tuple[Phone, ...]
    words: tuple[Word, ...]
    method: PhoneMethod
    notes: tuple[str, ...] = ()


def cover(phones: Iterable[Phone], duration_seconds: float) -> tuple[Phone, ...]:
    """Order phones, take overlaps from the later one, and fill what is left with silence.

    Args:
        phones: in any order; what lies outside the sound is cut off.
        duration_seconds: length of the sound.

    Returns:
        Phones from 0 to `duration_seconds` without gaps; neighboring silences are one.
    """
    out: list[Phone] = []

    def add(label: str, start: float, end: float) -> None:
        if label == SILENCE and out and out[-1].label == SILENCE:
            start = out.pop().start
        out.append(Phone(label, start, end))

    at = 0.0
    for phone in sorted(phones, key=lambda p: (p.start, p.end)):
        start, end = max(phone.start, at), min(phone.end, duration_seconds)
        if end - start < 1e-6:
            continue
        if start - at > 1e-6:
            add(SILENCE, at, start)
        add(phone.label, start, end)
        at = end
    if duration_seconds - at > 1e-6 or not out:
        add(SILENCE, at, duration_seconds)
    return tuple(out)
