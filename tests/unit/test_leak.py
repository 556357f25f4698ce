"""The arithmetic and the advice of leak tests."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from studio.domain.leak import (
    LEAK_LIMIT,
    Stranger,
    StrangerPicture,
    StrengthResult,
    leak_report,
    strangers,
    strength_result,
)

SOMEBODY = Stranger("a photo of Anna", "name")


def pictures(moves: list[float], before: float = 0.8, own: float = 0.2) -> list[StrangerPicture]:
    """Return strangers that moved such shares of the way to the person."""
    return [StrangerPicture(SOMEBODY, i, before, before - m * (before - own), 0.1) for i, m in enumerate(moves)]


@given(st.lists(st.floats(-0.5, 1.0), min_size=2, max_size=20), st.floats(0.5, 1.5), st.floats(0.0, 0.4))
def test_a_leak_is_the_mean_share_of_the_way(moves: list[float], before: float, own: float) -> None:
    found = strength_result(1.0, pictures(moves, before, own), [own], own)
    assert found.leak == pytest.approx(sum(moves) / len(moves), abs=1e-6)
    assert found.likeness == pytest.approx(1.0)
    assert found.noise is not None
    assert found.noise >= 0.0


def test_pictures_without_a_face_are_counted_out() -> None:
    lost = [StrangerPicture(SOMEBODY, 9, 0.8, None, 0.5), StrangerPicture(SOMEBODY, 9, None, 0.2, 0.5)]
    found = strength_result(1.0, [*pictures([0.5, 0.5]), *lost], [], 0.2)
    assert (found.leak, found.measured, found.drawn, found.likeness) == (pytest.approx(0.5), 2, 4, None)
    assert found.drift == pytest.approx(0.3)
    none = strength_result(1.0, lost, [], 0.2)
    assert (none.leak, none.noise) == (None, None)
    assert "Not measurable" in leak_report([none], "photos").advice


def test_strangers_nearer_than_the_person_give_no_scale() -> None:
    assert strength_result(1.0, pictures([0.1, 0.1], before=0.1, own=0.2), [], 0.2).leak is None


def test_the_worst_prompt_is_named() -> None:
    bad = Stranger("a photo of a man", "other")
    mixed = [*pictures([0.0, 0.1]), *(StrangerPicture(bad, i, 0.8, 0.3, 0.1) for i in range(2))]
    assert strength_result(1.0, mixed, [], 0.2).worst == bad.prompt


def result(strength: float, leak: float, likeness: float | None = 1.0) -> StrengthResult:
    return StrengthResult(strength, leak, 0.02, 0.1, likeness, 10, 10)


@pytest.mark.parametrize(
    ("results", "begins", "advised"),
    [
        ([result(1.0, LEAK_LIMIT)], "Fine", 1.0),
        ([result(0.7, 0.1), result(1.0, 0.4)], "Lower the strength to 0.7", 0.7),
        ([result(1.0, 0.4), result(0.7, 0.3), result(0.4, 0.1)], "Lower the strength to 0.4", 0.4),
        ([result(1.0, 0.4), result(0.7, 0.1, likeness=0.2)], "Train again with more prior", None),
        ([result(1.0, 0.9), result(0.7, 0.6)], "Train again with more prior", None),
    ],
)
def test_advice(results: list[StrengthResult], begins: str, advised: float | None) -> None:
    report = leak_report(results, "photos")
    assert report.advice.startswith(begins)
    assert report.advised_strength == advised
    assert report.full.strength == 1.0
    assert json.loads(json.dumps(report.values()))["advice"] == report.advice


def test_no_strength_is_no_report() -> None:
    with pytest.raises(ValueError, match="at least one"):
        leak_report([], "photos")


def test_strangers_are_other_people() -> None:
    for word in ("person", "man", "woman"):
        prompts = [s.prompt for s in strangers(word)]
        assert len(prompts) == len(set(prompts))
        assert prompts[0] == f"a photo of a {word}"
