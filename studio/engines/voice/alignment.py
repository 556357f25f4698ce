"""From sound to phones along four paths, best first, and why one was left.

Long sound is cut at silences into groups of at most 25 s and treated group by
group, so that ten minutes need no more memory than half a minute. A text is
laid along the groups by a grammar that may stop after any word. Whether text
and sound belong together is judged by the acoustic score, not by hope: the
search will force any text on any sound.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from studio.domain.speech import SILENCE, Phone, Word
from studio.engines.voice.prosody import RATE_HZ, TICKS_HZ, Prosody, runs
from studio.engines.voice.recognition import Alignment, Recogniser

FloatArray = NDArray[np.float32]

_LONGEST_GROUP_SECONDS = 25.0
_CUT_SECONDS = 0.15
_SPARE_SECONDS = 0.15
_WORD_GAP_SECONDS = 0.25
_LONGEST_PHRASE_SECONDS = 15.0
_WORDS_PER_SECOND = 6.0  # fast speech reaches 5
_USUAL_WORDS_PER_SECOND = 2.7
_TEXT_GROUP_SECONDS = 12.0  # short, so that one wrong sentence does not spoil the next
_LOST_WORDS = 20
_MOST_STRAY = 0.5
_LONGEST_HOLE_SECONDS = 0.35
_SCORE_LIMIT = -30.0
"""Recordings of people with their own text reach -8..-24, synthetic voices -33, wrong texts -35..-80."""
_KINDS = ("P B M", "F V", "T D N L S Z TH DH K G NG", "SH ZH CH JH", "R ER W UW UH OW", "AA AE AH AY AW AO OY",
          "EH EY IH IY Y", "HH")  # fmt: skip
_KIND = {phone: i for i, kind in enumerate(_KINDS) for phone in kind.split()}
_WORST_SCORE = -50.0
_AGREEMENT_LIMIT = 0.52
"""Right texts agree with the phone loop in .59 to .80 of the time, wrong ones in .28 to .46 (same recordings)."""
_SLOWEST, _FASTEST = 2.5, 28.0  # phones per second of speech; people read at 10..16


@dataclass(frozen=True)
class Found:
    """Words and phones of a whole sound, with a reason when something did not fit."""

    words: tuple[Word, ...]
    phones: tuple[Phone, ...]
    doubt: str = ""
    lost: tuple[tuple[float, float], ...] = ()


@dataclass(frozen=True)
class Group:
    """A stretch of sound that holds speech; seconds."""

    start: float
    end: float


def speech_groups(prosody: Prosody, longest_seconds: float = _LONGEST_GROUP_SECONDS) -> tuple[Group, ...]:
    """Cut a sound at its silences into stretches of at most `longest_seconds`."""
    islands = [list(r) for r in runs(prosody.speaking)]
    limit = round(longest_seconds * TICKS_HZ)
    out: list[list[int]] = []
    for start, end in islands:
        long_pause = out and start - out[-1][1] > 1.5 * TICKS_HZ
        if out and not long_pause and (end - out[-1][0] <= limit or start - out[-1][1] < _CUT_SECONDS * TICKS_HZ):
            out[-1][1] = end
        else:
            out.append([start, end])
    pieces = [piece for start, end in out for piece in _split_long(prosody.level_db, start, end, limit)]
    length = (len(prosody) - 1) / TICKS_HZ
    groups = []
    for i, (start, end) in enumerate(pieces):
        low = pieces[i - 1][1] if i else 0
        high = pieces[i + 1][0] if i + 1 < len(pieces) else round(length * TICKS_HZ)
        spare = round(_SPARE_SECONDS * TICKS_HZ)
        groups.append(Group(max(start - spare, low) / TICKS_HZ, min(end + spare, high) / TICKS_HZ))
    return tuple(g for g in groups if g.end > g.start)


def _split_long(level_db: FloatArray, start: int, end: int, limit: int) -> list[tuple[int, int]]:
    """Cut a stretch without pauses at its quietest moments."""
    if end - start <= 1.4 * limit:
        return [(start, end)]
    low, high = start + limit // 2, start + limit
    cut = low + int(np.argmin(np.convolve(level_db[low:high], np.ones(9) / 9, "same")))
    return [(start, cut), *_split_long(level_db, cut, end, limit)]


def piece(samples: FloatArray, start: float, end: float) -> FloatArray:
    """Return the samples of a stretch given in seconds."""
    return samples[max(0, round(start * RATE_HZ)) : max(0, round(end * RATE_HZ))]


def align_text(recogniser: Recogniser, samples: FloatArray, prosody: Prosody, words: Sequence[str]) -> Found:
    """Lay a text along a sound, group by group; groups in which it does not fit are decoded instead.

    Args:
        recogniser: knows every word.
        samples: 16 kHz.  # (N,)
        prosody: of the same sound.
        words: dictionary spellings, in order.

    Returns:
        Words and phones; `doubt` set, and nothing else, when text and sound do not belong together;
        `lost` naming the moments at which the text did not fit.
    """
    groups = speech_groups(prosody, _TEXT_GROUP_SECONDS)
    if not groups:
        return Found((), (), "no speech was heard in the sound")
    speaking = float(prosody.speaking.sum()) / TICKS_HZ
    count = sum(len(recogniser.pronunciation(w)) for w in words)
    if not _SLOWEST <= count / max(speaking, 0.1) <= _FASTEST:
        return Found((), (), f"the text has {count} speech sounds for {speaking:.1f} s of speech")
    found: list[tuple[float, Alignment]] = []
    strays: list[Group] = []
    at, sure = 0, True
    for i, group in enumerate(groups):
        heard = piece(samples, group.start, group.end)
        at, aligned = _next_words(recogniser, heard, words, at, sure, final=i == len(groups) - 1)
        sure = aligned is not None
        if aligned is not None:
            found.append((group.start, aligned))
        else:
            strays.append(group)
        if sum(g.end - g.start for g in strays) > _MOST_STRAY * sum(g.end - g.start for g in groups):
            return Found((), (), "the words do not sound like the recording")
    missing = len(words) - at
    if not strays and missing > max(2, 0.15 * len(words)):
        return Found((), (), f"{missing} words at the end of the text are not in the sound")
    fitting = _gathered(found)
    guessed = _decoded(recogniser, samples, strays)
    both = Found(
        tuple(sorted(fitting.words + guessed.words, key=lambda w: w.start)),
        tuple(sorted(fitting.phones + guessed.phones, key=lambda p: p.start)),
        lost=tuple((g.start, g.end) for g in strays),
    )
    return _without_holes(recogniser, samples, prosody, both)


def _next_words(
    recogniser: Recogniser, heard: FloatArray, words: Sequence[str], at: int, sure: bool, *, final: bool
) -> tuple[int, Alignment | None]:
    """Align the words that one group holds, and return where the text goes on."""
    length = len(heard) / RATE_HZ
    if final and sure:
        aligned = recogniser.align(heard, words[at:]) if at < len(words) else None
        if aligned is not None and _fits(recogniser, heard, aligned):
            return len(words), aligned
    begin = at if sure else max(0, at - _LOST_WORDS)
    rest = words[begin : begin + int(length * _WORDS_PER_SECOND) + (6 if sure else 2 * _LOST_WORDS)]
    slack, penalty = (2, 0.01) if sure else (2 * _LOST_WORDS, 0.5)
    first, last = recogniser.align_beginning(heard, rest, slack, penalty) if rest else (0, 0)
    aligned = recogniser.align(heard, rest[first:last]) if last > first else None
    if aligned is not None and _fits(recogniser, heard, aligned):
        return begin + last, aligned
    return min(at + round(length * _USUAL_WORDS_PER_SECOND), len(words)), None


def _fits(recogniser: Recogniser, heard: FloatArray, aligned: Alignment) -> bool:
    """Say whether text and sound belong together: by score, and in doubt by an opinion that never saw the text."""
    if len(aligned.phones) < _SLOWEST * len(heard) / RATE_HZ:
        return False  # a few words stretched over sound they do not explain
    if aligned.score is not None and not _WORST_SCORE < aligned.score <= _SCORE_LIMIT:
        return aligned.score > _SCORE_LIMIT
    return agreement(aligned.phones, recogniser.phone_loop(heard)) >= _AGREEMENT_LIMIT


def agreement(aligned: Sequence[Phone], heard: Sequence[Phone]) -> float:
    """Return the share of the aligned time in which both name the same kind of phone."""
    ticks = round(TICKS_HZ * max((p.end for p in (*aligned, *heard)), default=0)) + 1
    kinds = np.full((2, ticks), -1)
    for row, phones in enumerate((aligned, heard)):
        for phone in phones:
            kinds[row, round(phone.start * TICKS_HZ) : round(phone.end * TICKS_HZ)] = _KIND.get(phone.label, -1)
    spoken = kinds[0] >= 0
    return float((kinds[0] == kinds[1])[spoken].mean()) if spoken.any() else 0.0


def _gathered(found: Sequence[tuple[float, Alignment]]) -> Found:
    words = tuple(Word(w.text, w.start + t, w.end + t) for t, a in found for w in a.words)
    phones = tuple(Phone(p.label, p.start + t, p.end + t) for t, a in found for p in a.phones)
    return Found(words, phones)


def decode_then_align(recogniser: Recogniser, samples: FloatArray, prosody: Prosody) -> Found:
    """Guess English words, then align the guess: the words are often wrong, their sounds seldom."""
    found = _decoded(recogniser, samples, speech_groups(prosody))
    return _without_holes(recogniser, samples, prosody, found) if found.phones else found


def _without_holes(recogniser: Recogniser, samples: FloatArray, prosody: Prosody, found: Found) -> Found:
    """Fill speech in which no word was found with single sounds: a lost phrase must not shut the mouth."""
    empty = prosody.speaking.copy()
    for phone in found.phones:
        empty[round(phone.start * TICKS_HZ) : round(phone.end * TICKS_HZ)] = False
    sounds: list[Phone] = []
    for first, last in runs(empty):
        start, end = first / TICKS_HZ, last / TICKS_HZ
        if end - start >= _LONGEST_HOLE_SECONDS:
            heard = recogniser.phone_loop(piece(samples, start, end))
            sounds += [Phone(p.label, p.start + start, min(p.end + start, end)) for p in heard if p.label.isalpha()]
    phones = sorted((*found.phones, *(p for p in sounds if p.label != SILENCE)), key=lambda p: p.start)
    return replace(found, phones=tuple(phones))


def _decoded(recogniser: Recogniser, samples: FloatArray, groups: Sequence[Group]) -> Found:
    found: list[tuple[float, Alignment]] = []
    for group in groups:
        for phrase in _phrases(recogniser.decode(piece(samples, group.start, group.end)), group.start):
            start = max(phrase[0].start - 0.08, group.start)
            end = min(phrase[-1].end + 0.10, group.end)
            aligned = recogniser.align(piece(samples, start, end), [w.text for w in phrase])
            if aligned is not None:
                found.append((start, aligned))
    return _gathered(found)


def _phrases(words: Sequence[Word], offset: float) -> list[list[Word]]:
    """Group decoded words between pauses of 250 ms, at most 15 s long."""
    out: list[list[Word]] = []
    for word in words:
        moved = Word(word.text, word.start + offset, word.end + offset)
        near = out and moved.start - out[-1][-1].end < _WORD_GAP_SECONDS
        if near and moved.end - out[-1][0].start < _LONGEST_PHRASE_SECONDS:
            out[-1].append(moved)
        else:
            out.append([moved])
    return out


def loop_phones(recogniser: Recogniser, samples: FloatArray, prosody: Prosody) -> Found:
    """Find the nearest English phones of speech in any language."""
    phones: list[Phone] = []
    for group in speech_groups(prosody):
        found = recogniser.phone_loop(piece(samples, group.start, group.end))
        shifted = [Phone(p.label, p.start + group.start, min(p.end + group.start, group.end)) for p in found]
        phones += [p for p in shifted if _mostly_spoken(p, prosody)]
    return Found((), tuple(phones))


def _mostly_spoken(phone: Phone, prosody: Prosody) -> bool:
    """Say whether a phone lies in speech: the loop also names the noises of a pause."""
    first, last = round(phone.start * TICKS_HZ), max(round(phone.end * TICKS_HZ), round(phone.start * TICKS_HZ) + 1)
    return phone.label.isalpha() and bool(prosody.speaking[first:last].mean() > 0.3)
