"""Who speaks when: turns of a dialogue, read from a small text, from subtitles or from a table.

Three ways of writing the same: a line each, "Anna  0:00  0:03.2  Good morning."; subtitles (SRT or WebVTT) whose
lines begin with a name, "Anna: Good morning."; a table (CSV) of who, from, to and words. Who is a name of the
dialogue or a number from 1 on.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from studio.errors import UserInputError

SHORTEST_SECONDS = 0.05
MOST_TURNS = 2000
_TIME = r"(?:(?:\d+:)?(?:\d+:)?\d+(?:[.,]\d+)?|\.\d+)"
_ARROW = re.compile(rf"^\s*({_TIME})\s*-->\s*({_TIME})(?:\s|$)")
_LINE = re.compile(
    rf"^(?P<who>.+?)[\s,;:]\s*(?P<start>{_TIME})\s*(?:-->|[-–,;]|\s)\s*(?P<end>{_TIME})(?:[\s,;:]+(?P<words>.*))?$"
)
_CELL = re.compile(r"(?:(?:\d+:)?(?:\d+:)?\d+(?:\.\d+)?|\.\d+)$")
_VOICE = re.compile(r"^<v(?:\.[^ >]+)?\s+([^>]+)>(.*)$")
_TAG = re.compile(r"<[^>]*>")
_HEADER = re.compile(r"^\s*\"?(speaker|who|name|person)\"?\s*[,;\t]", re.IGNORECASE)
_HOW = "Write a line for each turn: who, from, to, as in “Anna 0:00 0:03.2”."


@dataclass(frozen=True, order=True)
class Turn:
    """One person speaks; turns of several may overlap.

    Attributes:
        start, end: seconds of the sound.
        person: 0..people - 1.
        words: what is said, where it is known.
    """

    start: float
    end: float
    person: int
    words: str = ""


def read_turns(text: str, names: Sequence[str]) -> tuple[Turn, ...]:
    """Read turns as a person wrote them, in order of their beginnings.

    Args:
        text: lines, SRT, WebVTT or CSV.
        names: of the people, in their order; each may also be called by its number from 1 on.

    Raises:
        UserInputError: nothing in it, a line that is none, somebody who is not there, a turn that ends too early.
    """
    rows = list(_subtitled(text) if "-->" in text and _ARROW.search(_first_arrow(text)) else _lines(text))
    if not rows:
        raise UserInputError("The turns are empty.", _HOW)
    if len(rows) > MOST_TURNS:
        raise UserInputError(f"There are {len(rows)} turns; {MOST_TURNS} are the most.", "Make the clip in parts.")
    out = []
    for place, who, start, end, words in rows:
        person = _person(who, names, place)
        if end - start < SHORTEST_SECONDS:
            raise UserInputError(
                f"{place}: the turn ends at {end:g} s, but begins at {start:g} s.", "Write first from, then to."
            )
        out.append(Turn(start, end, person, " ".join(words.split())))
    return tuple(sorted(out))


def in_sound(turns: Sequence[Turn], seconds: float) -> tuple[tuple[Turn, ...], tuple[str, ...]]:
    """Return turns cut to a sound, and sentences on what lies behind its end.

    Raises:
        UserInputError: all of them do.
    """
    kept = tuple(Turn(t.start, min(t.end, seconds), t.person, t.words) for t in turns if t.start < seconds - 0.01)
    if not kept:
        raise UserInputError(
            f"Every turn begins behind the end of the sound, which is {seconds:.1f} s long.", "Check the times."
        )
    late, cut = len(turns) - len(kept), sum(t.end > seconds + 0.5 for t in turns if t.start < seconds - 0.01)
    notes = []
    if late:
        begin = f"{late} turns begin" if late > 1 else "One turn begins"
        notes.append(f"{begin} behind the end of the sound ({seconds:.1f} s), left out.")
    if cut:
        notes.append(f"A turn goes on behind the end of the sound ({seconds:.1f} s), and is cut there.")
    return kept, tuple(notes)


def merged(spans: Sequence[tuple[float, float]], gap_seconds: float = 0.0) -> tuple[tuple[float, float], ...]:
    """Return stretches of time in order; those that touch, or lie no further apart than a gap, are one."""
    out: list[tuple[float, float]] = []
    for start, end in sorted(spans):
        if out and start - out[-1][1] <= gap_seconds:
            out[-1] = (out[-1][0], max(out[-1][1], end))
        else:
            out.append((start, end))
    return tuple(out)


def seconds_of(text: str) -> float:
    """Return "1:02.5", "62,5" or "0:01:02.5" as seconds.

    Raises:
        UserInputError: it is no time.
    """
    parts = text.strip().replace(",", ".").split(":")
    try:
        values = [float(part) for part in parts]
    except ValueError:
        values = [math.nan]
    total = float(sum(value * 60.0**place for place, value in enumerate(reversed(values))))
    if not math.isfinite(total) or total < 0 or len(values) > 3:
        raise UserInputError(f"{text.strip()[:40]!r} is no time.", "Write seconds, or minutes as in 1:02.5.")
    return total


_Row = tuple[str, str, float, float, str]
"""Where it stands, who, from, to, words."""


def _lines(text: str) -> Iterator[_Row]:
    for number, line in enumerate(text.lstrip("\ufeff").splitlines(), 1):
        plain = line.strip()
        if not plain or plain.startswith("#") or (number == 1 and _HEADER.match(plain)):
            continue
        plain = plain.replace('"', "")
        cells = [cell.strip() for cell in re.split(r"[,;\t]", plain, maxsplit=3)]
        if len(cells) > 2 and all(map(_CELL.match, cells[1:3])):
            yield f"Line {number}", cells[0], seconds_of(cells[1]), seconds_of(cells[2]), "".join(cells[3:])
            continue
        found = _LINE.match(re.sub(r"\s*\t\s*", "  ", plain))
        if found is None:
            raise UserInputError(f"Line {number} is no turn: {plain[:60]!r}.", _HOW)
        who = found["who"].rstrip(" ,;:")
        yield f"Line {number}", who, seconds_of(found["start"]), seconds_of(found["end"]), found["words"] or ""


def _first_arrow(text: str) -> str:
    return next((line for line in text.splitlines() if "-->" in line), "")


def _subtitled(text: str) -> Iterator[_Row]:
    """Yield the turns of subtitles: a name goes on until another one is given."""
    who, times = "", None
    said: list[str] = []
    number = 0

    def ended() -> Iterator[_Row]:
        nonlocal who
        if times is None:
            return
        words = " ".join(said)
        voice = _VOICE.match(words)
        name, mark, rest = (voice[1], ":", voice[2]) if voice else words.partition(":")
        if mark and len(name) <= 40:
            who, words = name.strip(" -[]"), rest
        if not who:
            raise UserInputError(
                f"Subtitle {number} does not say who speaks.", "Begin it with a name, as in “Anna: Good morning.”"
            )
        yield f"Subtitle {number}", who, times[0], times[1], _TAG.sub("", words)

    for line in text.lstrip("\ufeff").splitlines():
        found = _ARROW.match(line)
        if found:
            yield from ended()
            number, said = number + 1, []
            times = (seconds_of(found[1]), seconds_of(found[2]))
        elif times is not None and line.strip() and not (line.strip().isdigit() and said):
            said.append(line.strip())
    yield from ended()


def _person(who: str, names: Sequence[str], place: str) -> int:
    wanted = " ".join(who.split()).casefold()
    for index, name in enumerate(names):
        if wanted and wanted in (name.casefold(), str(index + 1)):
            return index
    known = ", ".join(f"{index} ({name})" if name else str(index) for index, name in enumerate(names, 1))
    raise UserInputError(f"{place} names {who[:40]!r}, who is not in the dialogue.", f"Name one of {known}.")


def written(turns: Sequence[Turn], names: Sequence[str]) -> str:
    """Return turns as lines that `read_turns` reads."""
    return "\n".join(f"{names[t.person]}  {_clock(t.start)}  {_clock(t.end)}  {t.words}".rstrip() for t in turns)


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds * 1000), 60_000)
    return f"{minutes}:{rest / 1000:06.3f}"
