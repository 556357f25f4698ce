"""What is said in a clip as files: subtitles by words, mouth cues by phones, and the analysis itself as JSON."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from html import escape
from pathlib import Path
from typing import Any

from studio.domain.mouth_cue import mouth_cues
from studio.domain.speech import Phone, SpeechAnalysis, Word
from studio.engines.media.curves import write_text
from studio.errors import UnreadableMediaError
from studio.outside import json_of, text_of

LONGEST_LINE, MOST_LINES = 42, 2
"""Letters of a line and lines of a subtitle, as broadcasters ask for."""
_LONGEST_SECONDS, _SHORTEST_SECONDS = 6.0, 1.0
_PAUSE = 0.45
_ENDS = (".", "!", "?", "…", "。", "！", "？")


@dataclass(frozen=True)
class Subtitle:
    """One subtitle; seconds.

    Attributes:
        speaker: who says it, where several people talk.
    """

    start: float
    end: float
    lines: tuple[str, ...]
    speaker: str = ""


def subtitles(words: Sequence[Word]) -> tuple[Subtitle, ...]:
    """Put words together to subtitles: broken at sentences and pauses, of two lines at most.

    Each stays for a second at least where the next one leaves room.
    """
    groups: list[list[Word]] = []
    for word in words:
        if groups and not _breaks(groups[-1], word):
            groups[-1].append(word)
        else:
            groups.append([word])
    out = []
    for number, group in enumerate(groups):
        start, end = group[0].start, group[-1].end
        follows = groups[number + 1][0].start if number + 1 < len(groups) else float("inf")
        end = max(end, min(start + _SHORTEST_SECONDS, follows))
        out.append(Subtitle(start, end, _lines(group), group[0].speaker))
    return tuple(out)


def _breaks(group: Sequence[Word], word: Word) -> bool:
    """Say whether a word begins a new subtitle."""
    if word.speaker != group[-1].speaker:
        return True
    text = " ".join(w.text for w in (*group, word))
    is_full = len(_wrapped(text)) > MOST_LINES or word.end - group[0].start > _LONGEST_SECONDS
    return is_full or word.start - group[-1].end >= _PAUSE or group[-1].text.endswith(_ENDS)


def _lines(group: Sequence[Word]) -> tuple[str, ...]:
    """Break a subtitle where its lines are most alike in length."""
    text = " ".join(w.text for w in group)
    if len(text) <= LONGEST_LINE or " " not in text:
        return (text,)
    places = [i for i, letter in enumerate(text) if letter == " "]
    at = min(places, key=lambda i: (max(i, len(text) - i - 1) > LONGEST_LINE, abs(2 * i - len(text))))
    return (text[:at], text[at + 1 :])


def _wrapped(text: str) -> list[str]:
    """Return the fewest lines that words fit in."""
    lines = [""]
    for word in text.split(" "):
        longer = f"{lines[-1]} {word}".strip()
        if len(longer) <= LONGEST_LINE or not lines[-1]:
            lines[-1] = longer
        else:
            lines.append(word)
    return lines


def _clock(seconds: float, point: str) -> str:
    whole = round(seconds * 1000)
    minutes, milliseconds = divmod(whole, 60_000)
    hours, minutes = divmod(minutes, 60)
    return f"{hours:02}:{minutes:02}:{milliseconds // 1000:02}{point}{milliseconds % 1000:03}"


def write_srt(analysis: SpeechAnalysis, path: str | os.PathLike[str]) -> Path:
    """Write SubRip subtitles; UTF-8, as players expect it. Where several people talk, their names stand before.

    Raises:
        NotFoundError: the folder does not exist.
        StoreError: disk full or read-only.
    """
    blocks = [
        f"{number}\n{_clock(s.start, ',')} --> {_clock(s.end, ',')}\n" + _named(s) + "\n".join(s.lines) + "\n"
        for number, s in enumerate(subtitles(analysis.words), 1)
    ]
    return write_text(Path(path), "\n".join(blocks))


def _named(subtitle: Subtitle) -> str:
    return f"{subtitle.speaker}: " if subtitle.speaker else ""


def write_vtt(analysis: SpeechAnalysis, path: str | os.PathLike[str]) -> Path:
    """Write WebVTT subtitles; errors are those of `write_srt`."""
    blocks = [
        f"{_clock(s.start, '.')} --> {_clock(s.end, '.')}\n"
        + (f"<v {escape(s.speaker, quote=False)}>" if s.speaker else "")
        + "\n".join(escape(x, quote=False) for x in s.lines)
        + "\n"
        for s in subtitles(analysis.words)
    ]
    return write_text(Path(path), "WEBVTT\n\n" + "\n".join(blocks))


def write_cues_tsv(analysis: SpeechAnalysis, path: str | os.PathLike[str]) -> Path:
    """Write mouth cues as a table of times and shapes; errors are those of `write_srt`.

    A shape holds to the next line; the last line is the end.
    """
    cues = mouth_cues(analysis)
    lines = [f"{cue.start:.2f}\t{cue.shape}" for cue in cues] + [f"{analysis.duration_seconds:.2f}\tX"]
    return write_text(Path(path), "\n".join(lines) + "\n")


def write_cues_json(analysis: SpeechAnalysis, path: str | os.PathLike[str]) -> Path:
    """Write mouth cues as JSON; errors are those of `write_srt`."""
    value = {
        "metadata": {"duration": round(analysis.duration_seconds, 2)},
        "mouthCues": [
            {"start": round(cue.start, 2), "end": round(cue.end, 2), "value": cue.shape} for cue in mouth_cues(analysis)
        ],
    }
    return write_text(Path(path), json.dumps(value, indent=2) + "\n")


def write_cues_xml(analysis: SpeechAnalysis, path: str | os.PathLike[str]) -> Path:
    """Write mouth cues as XML; errors are those of `write_srt`."""
    cues = "".join(
        f'    <mouthCue start="{cue.start:.2f}" end="{cue.end:.2f}">{cue.shape}</mouthCue>\n'
        for cue in mouth_cues(analysis)
    )
    return write_text(
        Path(path),
        '<?xml version="1.0" encoding="utf-8"?>\n<rhubarbResult>\n  <metadata>\n'
        f"    <duration>{analysis.duration_seconds:.2f}</duration>\n  </metadata>\n  <mouthCues>\n{cues}"
        "  </mouthCues>\n</rhubarbResult>\n",
    )


# -- the analysis itself -------------------------------------------------------------------


def write_analysis(analysis: SpeechAnalysis, path: str | os.PathLike[str]) -> Path:
    """Write words and phones as JSON that `read_analysis` reads; errors are those of `write_srt`."""
    return write_text(Path(path), json.dumps({"version": 1, **asdict(analysis)}) + "\n")


def read_analysis(path: str | os.PathLike[str]) -> SpeechAnalysis:
    """Read what `write_analysis` wrote.

    Raises:
        UnreadableMediaError: damaged, or of a later version.
    """
    try:
        value = json_of(text_of(path))
        if value["version"] != 1:
            raise ValueError("a later version")
        return SpeechAnalysis(
            float(value["duration_seconds"]), tuple(_read(Phone, value["phones"])), tuple(_read(Word, value["words"])),
            value["method"], tuple(map(str, value["notes"])),
        )  # fmt: skip
    except (KeyError, TypeError, ValueError) as exc:
        raise UnreadableMediaError("What was said in the clip cannot be read.", "Make the clip again.") from exc


def _read(kind: Any, rows: Any) -> Iterator[Any]:
    for row in rows:
        yield kind(**row)
