"""A border between two sounds is moved: both stay, words go along, nothing else moves."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from studio.domain.speech import Phone, SpeechAnalysis, Word, with_boundary, with_word
from studio.errors import UserInputError


def said(lengths: list[float]) -> SpeechAnalysis:
    at, phones = 0.0, []
    for i, length in enumerate(lengths):
        phones.append(Phone(f"P{i}", at, at + length))
        at += length
    words = tuple(
        Word(f"w{i}", a.start, b.end) for i, (a, b) in enumerate(zip(phones[::2], phones[1::2], strict=False))
    )
    return SpeechAnalysis(at, tuple(phones), words, "aligned")


@given(
    st.lists(st.floats(0.005, 1.0), min_size=2, max_size=12), st.data(),
    st.floats(-5, 20, allow_nan=False, allow_infinity=False),
)  # fmt: skip
def test_sounds_stay_in_order_without_gaps(lengths: list[float], data: st.DataObject, seconds: float) -> None:
    before = said(lengths)
    index = data.draw(st.integers(1, len(lengths) - 1))
    after = with_boundary(before, index, seconds)
    assert [p.label for p in after.phones] == [p.label for p in before.phones]
    assert after.phones[0].start == 0
    assert after.phones[-1].end == before.phones[-1].end
    for one, next_ in zip(after.phones, after.phones[1:], strict=False):
        assert one.end == next_.start
        assert one.end > one.start
    assert after.phones[: index - 1] == before.phones[: index - 1]
    assert after.phones[index + 1 :] == before.phones[index + 1 :]
    for word in after.words:
        assert word.end > word.start
    if index % 2 == 0 and index // 2 < len(after.words):
        assert after.words[index // 2].start == after.phones[index].start


@pytest.mark.parametrize(("index", "seconds"), [(0, 0.1), (3, 0.1), (-1, 0.1), (1, float("nan")), (1, float("inf"))])
def test_what_is_no_border_is_refused(index: int, seconds: float) -> None:
    with pytest.raises(UserInputError):
        with_boundary(said([0.2, 0.2, 0.2]), index, seconds)


@given(st.lists(st.floats(0.02, 0.4), min_size=3, max_size=9), st.integers(0, 8), st.integers(0, 5), st.data())
def test_a_mended_word_changes_nothing_outside_itself(lengths, at, count, data) -> None:
    before = said(lengths)
    first = at % len(before.phones)
    last = data.draw(st.integers(first, len(before.phones) - 1))
    old = Word("old", before.phones[first].start, before.phones[last].end)
    before = replace(before, words=(old,))
    length = old.end - old.start
    step = length / max(count, 1)
    new = tuple(Phone("AA", i * step, (i + 1) * step) for i in range(count)) or (Phone("SIL", 0.0, length),)
    words = (Word("new", 0.0, length),) if count else ()
    after = with_word(before, 0, SpeechAnalysis(length, new, words, "aligned"))
    assert [w.text for w in after.words] == ["new"] * bool(count)
    assert after.phones[0].start == 0
    assert after.phones[-1].end == pytest.approx(before.duration_seconds)
    for one, other in pairwise(after.phones):
        assert one.end == pytest.approx(other.start, abs=2e-6)
    kept = [p for p in before.phones if (p.end <= old.start or p.start >= old.end) and p.label != "SIL"]
    assert [p for p in kept if p not in after.phones] == []
