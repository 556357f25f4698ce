"""The files that what is said in a clip can become: subtitles, and mouth cues for drawn characters."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import PurePath

from studio.domain.clip_format import format_of


@dataclass(frozen=True, kw_only=True)
class SpeechFormat:
    """One way in which words or mouth shapes are written with their times.

    Attributes:
        title: as a button shows it.
        words: what is in the file, for the README and the command line.
        suffix: of the file, with its dot.
        writer: "module:function" that writes it: (analysis, path).
        needs_words: whether it is empty where no words are known, only phones.
    """

    name: str
    title: str
    words: str
    suffix: str
    writer: str
    needs_words: bool = False


_MODULE = "studio.engines.media.speech_files"
SPEECH_FORMATS: Mapping[str, SpeechFormat] = {
    row.name: row
    for row in (
        SpeechFormat(
            name="srt", title="Subtitles (SRT)", words="SubRip subtitles (SRT)", suffix=".srt",
            writer=f"{_MODULE}:write_srt", needs_words=True,
        ),
        SpeechFormat(
            name="vtt", title="Subtitles (VTT)", words="WebVTT subtitles", suffix=".vtt",
            writer=f"{_MODULE}:write_vtt", needs_words=True,
        ),
        SpeechFormat(
            name="cues-tsv", title="Mouth cues (TSV)", words="mouth cues of nine shapes as TSV", suffix=".cues.tsv",
            writer=f"{_MODULE}:write_cues_tsv",
        ),
        SpeechFormat(
            name="cues-json", title="Mouth cues (JSON)", words="as JSON", suffix=".cues.json",
            writer=f"{_MODULE}:write_cues_json",
        ),
        SpeechFormat(
            name="cues-xml", title="Mouth cues (XML)", words="as XML", suffix=".cues.xml",
            writer=f"{_MODULE}:write_cues_xml",
        ),
    )
}  # fmt: skip


def speech_format_of(file_name: PurePath) -> SpeechFormat:
    """Return the format that a file name asks for.

    Raises:
        UserInputError: it ends in none of them.
    """
    return format_of(file_name, SPEECH_FORMATS, "no format for subtitles or cues")
