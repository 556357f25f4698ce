"""Turns of a dialogue as people write them, and what of them lies in the sound."""

from __future__ import annotations

from contextlib import suppress
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from studio.domain.turns import Turn, in_sound, merged, read_turns, seconds_of, written
from studio.errors import UserInputError

NAMES = ("Anna", "Ben B.")


@pytest.mark.parametrize(
    "text",
    [
        "Anna 0:00 0:03.2 Good morning.\nben b.  0:03 - 0:05,5",
        "# who\n1 0 3.2 Good morning.\n\n2 3 5.5",
        'speaker,start,end,text\nAnna,0,3.2,"Good morning."\nBen B.,3,5.5,',
        "who;from;to\nAnna;0;3.2;Good morning.\nBen B.;3;5.5",
        "Anna\t0:00:00\t0:00:03.200\tGood morning.\n2\t3\t5.5",
        "1\n00:00:00,000 --> 00:00:03,200\nAnna: Good\nmorning.\n\n2\n00:00:03,000 --> 00:00:05,500\n- Ben B.:\n",
        "WEBVTT\n\n00:00.000 --> 00:03.200 align:left\n<v Anna>Good <i>morning.</i>\n\n"
        "00:03.000 --> 00:05.500\n<v.loud 2>",
    ],
)
def test_lines_tables_and_subtitles_say_the_same(text: str) -> None:
    assert read_turns(text, NAMES) == (Turn(0.0, 3.2, 0, "Good morning."), Turn(3.0, 5.5, 1))


def test_a_name_goes_on_through_subtitles() -> None:
    text = "00:00:00,000 --> 00:00:01,000\nAnna: One\n\n00:00:01,000 --> 00:00:02,000\ntwo\n"
    assert [(t.person, t.words) for t in read_turns(text, NAMES)] == [(0, "One"), (0, "two")]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "empty"), (" \n# nothing\n", "empty"), ("Carl 0 1", "'Carl', who is not in the dialogue"),
        ("3 0 1", "'3'"), ("Anna 3 1", "ends at 1 s, but begins at 3 s"), ("Anna 3 3.01", "ends at"),
        ("hello", "no turn"), ("Anna yesterday today", "no turn"), ("Anna -1 3", "no turn"),
        ("00:00:00,000 --> 00:00:01,000\nno name", "does not say who speaks"), ("Anna 1:1:1:1 2", "'Anna 1'"),
    ],
)  # fmt: skip
def test_what_is_no_turn_is_one_sentence(text: str, said: str) -> None:
    with pytest.raises(UserInputError, match=said):
        read_turns(text, NAMES)


def test_a_wrong_line_is_named() -> None:
    with pytest.raises(UserInputError, match="Line 3"):
        read_turns("Anna 0 1\n\nBen", NAMES)
    with pytest.raises(UserInputError, match="is no time"):
        seconds_of("soon")


def test_turns_behind_the_sound_are_left_out_and_said() -> None:
    turns = [Turn(0, 2, 0), Turn(2, 9, 1), Turn(8, 9, 0)]
    kept, notes = in_sound(turns, 5.0)
    assert kept == (Turn(0, 2, 0), Turn(2, 5.0, 1))
    assert len(notes) == 2
    assert "One turn begins behind" in notes[0]
    with pytest.raises(UserInputError, match="Every turn begins behind"):
        in_sound(turns[2:], 5.0)
    assert in_sound(turns, 9.0) == (tuple(turns), ())


times = st.integers(0, 600_000).map(lambda ms: ms / 1000)


@given(
    st.lists(st.tuples(times, st.integers(60, 9000), st.integers(0, 1), st.sampled_from(["", "Hi there"])), min_size=1)
)
def test_what_is_written_is_read_again(rows) -> None:
    turns = tuple(sorted(Turn(start, round(start + ms / 1000, 3), person, words) for start, ms, person, words in rows))
    again = read_turns(written(turns, NAMES), NAMES)
    assert [(t.person, t.words) for t in again] == [(t.person, t.words) for t in turns]
    assert [t.start for t in again] == pytest.approx([t.start for t in turns])
    assert [t.end for t in again] == pytest.approx([t.end for t in turns])


@given(st.lists(st.tuples(times, times).map(sorted).map(tuple)), st.floats(0, 5))
def test_merged_stretches_cover_the_same_and_lie_apart(spans, gap: float) -> None:
    out = merged(spans, gap)
    assert all(b[0] - a[1] > gap for a, b in pairwise(out))
    assert all(any(a <= start and end <= b for a, b in out) for start, end in spans)


@given(st.text(max_size=300))
def test_no_text_breaks_the_reader(text: str) -> None:
    with suppress(UserInputError):
        turns = read_turns(text, NAMES)
        assert all(0 <= t.person < 2 and t.end > t.start >= 0 for t in turns)
