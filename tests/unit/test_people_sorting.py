"""Sorting faces into people: answers are law, doubt is asked, numbers say why. Vectors are made up."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from studio.domain.people import absorb, distances, leave_one_out, most_typical, sort_people, unite


def some_people(seed: int, sizes: list[int], apart: float = 1.0, spread: float = 0.2) -> tuple[np.ndarray, np.ndarray]:
    """Return vectors around far-apart middles, and whose they are."""
    rng = np.random.default_rng(seed)
    middles = np.eye(16)[: len(sizes)] * apart / np.sqrt(2)
    labels = np.repeat(np.arange(len(sizes)), sizes)
    noise = rng.normal(0, 1, (len(labels), 16))
    return middles[labels] + spread * noise / np.linalg.norm(noise, axis=1, keepdims=True), labels


def same_grouping(a: np.ndarray, b: np.ndarray) -> bool:
    return bool(((a[:, None] == a[None]) == (b[:, None] == b[None])).all())


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 999), st.lists(st.integers(1, 7), min_size=1, max_size=6))
def test_far_apart_people_are_found_whatever_the_order(seed: int, sizes: list[int]) -> None:
    vectors, truth = some_people(seed, sizes)
    order = np.random.default_rng(seed).permutation(len(truth))
    assert same_grouping(sort_people(distances(vectors[order]), 0.6), truth[order])


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 999), st.integers(2, 14), st.data())
def test_answers_are_law(seed: int, count: int, data: st.DataObject) -> None:
    vectors = np.random.default_rng(seed).normal(0, 0.3, (count, 4))
    pair = st.tuples(st.integers(0, count - 1), st.integers(0, count - 1)).filter(lambda p: p[0] != p[1])
    same = data.draw(st.lists(pair, max_size=4))
    joined = unite(count, same)
    different = [p for p in data.draw(st.lists(pair, max_size=6)) if joined[p[0]] != joined[p[1]]]
    labels = sort_people(distances(vectors), 0.6, same=same, different=different)
    assert all(labels[a] == labels[b] for a, b in same)
    assert all(labels[a] != labels[b] for a, b in different)
    taken_in = absorb(vectors, labels, 0.6, different=different)
    assert all(taken_in[a] == taken_in[b] for a, b in same)
    assert all(taken_in[a] != taken_in[b] for a, b in different)
    assert sorted(set(labels.tolist())) == list(range(labels.max() + 1))


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 999), st.integers(3, 25))
def test_nothing_that_may_merge_is_left_apart(seed: int, count: int) -> None:
    apart = distances(np.random.default_rng(seed).normal(0, 0.3, (count, 3)))
    labels = sort_people(apart, 0.5)
    for a in range(labels.max() + 1):
        for b in range(a):
            assert apart[np.ix_(labels == a, labels == b)].mean() >= 0.5


def test_an_answer_that_contradicts_a_link_loses() -> None:
    apart = distances(np.array([[0.0], [0.1], [0.2]]))
    labels = sort_people(apart, 0.5, same=[(0, 1), (1, 2)], different=[(0, 2)])
    assert len(set(labels.tolist())) == 1


def test_a_stray_face_near_the_middle_of_several_is_taken_in_and_a_doubtful_one_is_not() -> None:
    vectors, labels = some_people(1, [5, 5], apart=1.0, spread=0.1)
    near_first = vectors[labels == 0].mean(0) + 0.3 * np.eye(16)[9]
    between = (vectors[labels == 0].mean(0) + vectors[labels == 1].mean(0)) / 2
    rows = np.vstack([vectors, near_first, between])
    start = np.concatenate([labels, [2, 3]])
    out = absorb(rows, start, 0.6)
    assert out[10] == out[0]
    assert out[11] not in (out[0], out[5])


def test_leave_one_out_names_the_outlier() -> None:
    vectors, _ = some_people(3, [6])
    rows = np.vstack([vectors, np.eye(16)[5]])
    gaps = leave_one_out(rows)
    assert gaps.argmax() == 6
    assert gaps[6] == pytest.approx(np.linalg.norm(rows[6] - rows[:6].mean(0)))
    with pytest.raises(ValueError, match="one vector"):
        leave_one_out(rows[:1])


def test_the_most_typical_face_comes_first() -> None:
    apart = distances(np.array([[0.0], [1.0], [1.1], [5.0]]))
    assert most_typical(apart, [0, 1, 2, 3])[0] in (1, 2)
    assert most_typical(apart, [0, 1, 2, 3])[-1] == 3


def test_distances_agree_with_the_plain_formula() -> None:
    rows = np.random.default_rng(0).normal(0, 1, (9, 128))
    plain = np.linalg.norm(rows[:, None] - rows[None], axis=2)
    assert np.abs(distances(rows) - plain).max() < 1e-6
