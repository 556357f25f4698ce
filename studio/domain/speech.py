"""What was said and when: words and phones of a sound, in ARPAbet.

The recognition path that produced the phones is always kept beside them,
because a curve made from a forced alignment deserves more trust than one made
from loudness.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

PhonePath = Literal["synthesis", "aligned", "decoded", "phone_loop", "energy"]
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
        words: empty where the path knows no words.
        path: how the phones were found.
        notes: sentences for the person, e.g. about words that did not match.
    """

    duration_seconds: float
    phones: tuple[Phone, ...]
    words: tuple[Word, ...]
    path: PhonePath
    notes: tuple[str, ...] = ()
