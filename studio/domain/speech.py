"""What was said and when: words and phones of a sound, in ARPAbet.

The method that produced the phones is always kept beside them,
because a curve made from a forced alignment deserves more trust than one made
from loudness.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Literal

from studio.errors import UserInputError

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
    """One word as written; times in seconds.

    Attributes:
        speaker: who says it, where several people talk.
    """

    text: str
    start: float
    end: float
    speaker: str = ""


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


SHORTEST_PHONE_SECONDS = 0.02
_TOGETHER_SECONDS = 1e-3
"""Borders of words and phones that are no further apart are one."""


def with_boundary(analysis: SpeechAnalysis, index: int, seconds: float) -> SpeechAnalysis:
    """Return an analysis in which one phone begins at another time, and the phone before it ends there.

    A word that begins or ends at the border goes along; nothing else moves.

    Args:
        index: of the phone that begins at the border, 1..len(phones) - 1.
        seconds: where it shall be; held so that both phones last SHORTEST_PHONE_SECONDS, or as long as they did.

    Raises:
        UserInputError: there is no such border, or the time is no number.
    """
    phones = analysis.phones
    if not 1 <= index < len(phones):
        raise UserInputError(f"There is no border {index}.", f"Borders lie between two sounds: 1 to {len(phones) - 1}.")
    if not abs(seconds) < 1e9:  # also what is no number
        raise UserInputError("A border needs a time in seconds.", "Write a number such as 1.25.")
    before, after = phones[index - 1], phones[index]
    at = min(max(seconds, before.start + min(SHORTEST_PHONE_SECONDS, before.end - before.start)),
             after.end - min(SHORTEST_PHONE_SECONDS, after.end - after.start))  # fmt: skip

    def moved(edge: float) -> float:
        return at if abs(edge - after.start) < _TOGETHER_SECONDS else edge

    borders = (replace(before, end=at), replace(after, start=at))
    words = tuple(replace(w, start=moved(w.start), end=moved(w.end)) for w in analysis.words)
    return replace(analysis, phones=(*phones[: index - 1], *borders, *phones[index + 1 :]), words=words)


def with_word(analysis: SpeechAnalysis, index: int, mended: SpeechAnalysis) -> SpeechAnalysis:
    """Return an analysis in which something else is said in the place of one word; nothing outside it changes.

    Args:
        index: of the word.
        mended: what is said in its place, from 0 to as long as the word lasts; no words are silence.

    Raises:
        UserInputError: there is no such word.
    """
    if not 0 <= index < len(analysis.words):
        raise UserInputError(
            f"There is no word {index}.",
            f"Words have the numbers 0 to {len(analysis.words) - 1}." if analysis.words else "No words are known here.",
        )
    old = analysis.words[index]
    before = [replace(p, end=min(p.end, old.start)) for p in analysis.phones if p.start < old.start]
    after = [replace(p, start=max(p.start, old.end)) for p in analysis.phones if p.end > old.end]

    def at(seconds: float) -> float:
        return min(old.start + seconds, old.end)

    between = [Phone(p.label, at(p.start), at(p.end)) for p in mended.phones]
    words = tuple(Word(w.text, at(w.start), at(w.end), old.speaker) for w in mended.words)
    return replace(
        analysis,
        phones=cover((*before, *between, *after), analysis.duration_seconds),
        words=(*analysis.words[:index], *words, *analysis.words[index + 1 :]),
    )
