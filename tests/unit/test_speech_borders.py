"""A border between two sounds is moved: both stay, words go along, nothing else moves."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from studio.domain.speech import Phone, SpeechAnalysis, Word, with_boundary
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
