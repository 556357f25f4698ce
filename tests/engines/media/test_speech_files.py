"""Subtitles and mouth cues: times that follow the sound, lines that can be read, shapes without gaps."""

from __future__ import annotations

import itertools
import json
import re
from pathlib import Path
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from studio.domain.mouth_cue import SHAPES, mouth_cues
from studio.domain.speech import Phone, SpeechAnalysis, Word, cover
from studio.domain.speech_format import SPEECH_FORMATS
from studio.engines.media.speech_files import (
    LONGEST_LINE,
    read_analysis,
    subtitles,
    write_analysis,
    write_cues_json,
    write_cues_tsv,
    write_cues_xml,
    write_srt,
    write_vtt,
)
from studio.errors import UnreadableMediaError, UserInputError
from studio.services.clips.timing import write_timing

TEXT = "Hello there. This is a somewhat longer sentence that will not fit into one line, and it goes on <here> & ends."


def spoken(text: str = TEXT, pause_after: int = -1) -> SpeechAnalysis:
    """Return words of .3 s each with a pause of .1 s, and a longer one behind one of them."""
    words, at = [], 0.5
    for number, word in enumerate(text.split()):
        words.append(Word(word, at, at + 0.3))
        at += 0.4 + (1.0 if number == pause_after else 0.0)
    phones = cover([Phone("AA", w.start, w.end) for w in words], at)
    return SpeechAnalysis(at, phones, tuple(words), "aligned")


def test_subtitles_break_at_sentences_and_fit_two_lines() -> None:
    found = subtitles(spoken().words)
    assert found[0].lines == ("Hello there.",)
    assert " ".join(line for s in found for line in s.lines) == TEXT
    assert all(len(s.lines) <= 2 and max(map(len, s.lines)) <= LONGEST_LINE for s in found)
    assert found[0].start == pytest.approx(0.5)
    assert all(a.end <= b.start + 1e-9 for a, b in itertools.pairwise(found))


def test_subtitles_break_at_pauses() -> None:
    found = subtitles(spoken("one two three four five", pause_after=1).words)
    assert [s.lines for s in found] == [("one two",), ("three four five",)]


@given(st.lists(st.tuples(st.text("abcdefgh.", min_size=1, max_size=60), st.floats(0.01, 3), st.floats(0, 3)),
                max_size=40))  # fmt: skip
def test_subtitles_hold_every_word_in_order_without_overlap(rows) -> None:
    words, at = [], 0.0
    for text, long, gap in rows:
        words.append(Word(text, at, at + long))
        at += long + gap
    found = subtitles(words)
    assert " ".join(line for s in found for line in s.lines).split() == [w.text for w in words]
    assert all(s.end > s.start for s in found)
    assert all(a.end <= b.start + 1e-6 for a, b in itertools.pairwise(found))


def test_srt_and_vtt_are_as_players_read_them(tmp_path: Path) -> None:
    speech = spoken()
    srt = write_srt(speech, tmp_path / "a.srt").read_text("utf-8")
    assert srt.startswith("1\n00:00:00,500 --> 00:00:01,300\nHello there.\n\n2\n")
    times = re.findall(r"(\d\d):(\d\d):(\d\d),(\d{3}) --> ", srt)
    assert len(times) == len(subtitles(speech.words))
    vtt = write_vtt(speech, tmp_path / "a.vtt").read_text("utf-8")
    assert vtt.startswith("WEBVTT\n\n00:00:00.500 --> 00:00:01.300\n")
    assert "&lt;here&gt; &amp; ends." in vtt


def test_an_hour_and_more_is_written_right(tmp_path: Path) -> None:
    late = SpeechAnalysis(3725.0, (), (Word("late", 3723.004, 3724.9996),), "aligned")
    assert "01:02:03,004 --> 01:02:05,000" in write_srt(late, tmp_path / "a.srt").read_text()


def test_cues_are_those_of_the_phones(tmp_path: Path) -> None:
    labels = ["SIL", "P", "AA", "F", "L", "UW", "SIL", "M", "EH", "SIL"]
    lengths = [0.3, 0.06, 0.1, 0.08, 0.07, 0.1, 0.05, 0.08, 0.1, 0.4]
    phones, at = [], 0.0
    for label, long in zip(labels, lengths, strict=True):
        phones.append(Phone(label, at, at + long))
        at += long
    speech = SpeechAnalysis(at, tuple(phones), (), "decoded")
    cues = mouth_cues(speech)
    assert "".join(c.shape for c in cues) == "XADGHFACX", "a rest of .05 s is passed over"
    table = [line.split("\t") for line in write_cues_tsv(speech, tmp_path / "a.cues.tsv").read_text().splitlines()]
    assert [row[1] for row in table] == [*list("XADGHFACX"), "X"]
    assert float(table[-1][0]) == pytest.approx(at, abs=0.01)
    value = json.loads(write_cues_json(speech, tmp_path / "a.cues.json").read_text())
    assert [cue["value"] for cue in value["mouthCues"]] == list("XADGHFACX")
    root = ElementTree.parse(write_cues_xml(speech, tmp_path / "a.cues.xml")).getroot()
    assert [cue.text for cue in root.iter("mouthCue")] == list("XADGHFACX")
    assert root.find("metadata/duration") is not None


@given(st.lists(st.tuples(st.sampled_from(["SIL", "P", "AA", "F", "L", "UW", "EH", "ZZ"]), st.floats(0.01, 1)),
                min_size=1, max_size=60))  # fmt: skip
def test_cues_cover_the_sound_and_neighbors_differ(rows) -> None:
    phones, at = [], 0.0
    for label, long in rows:
        phones.append(Phone(label, at, at + long))
        at += long
    cues = mouth_cues(SpeechAnalysis(at, tuple(phones), (), "decoded"))
    assert (cues[0].start, cues[-1].end) == (0.0, at)
    assert all(a.end == b.start and a.shape != b.shape for a, b in itertools.pairwise(cues))
    assert all(c.shape in SHAPES for c in cues)


def test_the_analysis_comes_back(tmp_path: Path) -> None:
    speech = spoken()
    assert read_analysis(write_analysis(speech, tmp_path / "a.json")) == speech
    (tmp_path / "b.json").write_text('{"version": 2}')
    with pytest.raises(UnreadableMediaError):
        read_analysis(tmp_path / "b.json")


def test_every_row_writes_and_what_cannot_be_is_said(tmp_path: Path) -> None:
    for row in SPEECH_FORMATS.values():
        assert write_timing(spoken(), tmp_path / f"a{row.suffix}").stat().st_size > 20
    silent = SpeechAnalysis(1.0, (Phone("SIL", 0, 1),), (), "energy")
    with pytest.raises(UserInputError, match="No words"):
        write_timing(silent, tmp_path / "b.srt")
    assert write_timing(silent, tmp_path / "b.cues.tsv").read_text() == "0.00\tX\n1.00\tX\n"
    with pytest.raises(UserInputError, match=r"names no format"):
        write_timing(silent, tmp_path / "b.txt")
