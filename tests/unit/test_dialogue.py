"""How people behave in a conversation: lips that are shut while they listen, eyes that find the speaker."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from studio.domain.dialogue import (
    ASIDE,
    CAMERA,
    conversation,
    listening,
    looks_at,
    only,
    spans_of,
    spoken_spans,
    words_of,
)
from studio.domain.dialogue_motion import Seat, attend, directions
from studio.domain.expression import INDEX
from studio.domain.lip_closure import lip_gap_mm
from studio.domain.performance import MouthResponse, Performance
from studio.domain.pose import SAFE_DEGREES
from studio.domain.speech import SILENCE, Phone
from studio.domain.turns import Turn

RATE = 25.0
SEATS = (Seat(0.0), Seat(2.4))


def mouth(own_smile: float = 0.0, own_jaw: float = 0.0) -> MouthResponse:
    gap, own = np.zeros(52, np.float32), np.zeros(52, np.float32)
    gap[INDEX["jawOpen"]], gap[INDEX["mouthClose"]] = 36.0, -36.0
    gap[INDEX["mouthUpperUpLeft"]] = 4.0
    own[INDEX["mouthSmileLeft"]], own[INDEX["jawOpen"]] = own_smile, own_jaw
    none = np.zeros(52, np.float32)
    return MouthResponse(0.3, gap, 50.0, none, 0.0, none, none, own)


def spoken(seconds: float, jaw: float = 0.4) -> Performance:
    frames = round(seconds * RATE)
    weights = np.zeros((frames, 52), np.float32)
    weights[:, INDEX["jawOpen"]] = jaw
    head = np.tile(np.array([6.0, -3.0, 1.0], np.float32), (frames, 1))
    none = np.zeros(frames, np.float32)
    return Performance(RATE, weights, head, none + 0.5, none, none)


spans = st.lists(
    st.tuples(st.floats(0, 18), st.floats(0.1, 6)).map(lambda s: (s[0], min(s[0] + s[1], 20.0))), max_size=5
)
people = st.lists(spans, min_size=2, max_size=4)


@given(people, st.integers(0, 2**31 - 1))
@settings(deadline=None, max_examples=60)
def test_everybody_has_a_place_to_look_at_and_nobody_looks_at_themselves(talk, seed: int) -> None:
    parts = conversation(talk, 20.0, seed)
    assert parts == conversation(talk, 20.0, seed), "same seed, same conversation"
    for person, part in enumerate(parts):
        begins = [look.seconds for look in part.looks]
        assert begins[0] == 0.0
        assert begins == sorted(begins)
        assert all(look.at in {CAMERA, ASIDE, *range(len(talk))} - {person} for look in part.looks)
        assert all(0 <= nod.seconds < 20 for nod in part.nods)
        assert not any(a <= nod.seconds <= b for nod in part.nods for a, b in part.spans), "nobody nods to themselves"


@given(people, st.integers(0, 1000), st.floats(0, 0.9), st.floats(0, 1))
@settings(deadline=None, max_examples=40)
def test_who_listens_has_shut_lips_and_turns_that_a_photo_carries(talk, seed, own_jaw, jaw) -> None:
    seats = tuple(Seat(2.4 * i, 0.2 * i, 10.0 - 8 * i) for i in range(len(talk)))
    head = mouth(0.5, own_jaw)
    times = np.arange(500) / RATE
    for person, part in enumerate(conversation(talk, 20.0, seed)):
        moved = attend(spoken(20.0, jaw), part, seats, person, head)
        assert np.isfinite(moved.weights).all()
        assert (moved.weights >= 0).all()
        assert (moved.weights <= 1).all()
        away = np.ones(len(times), bool)
        for start, end in part.spans:
            away &= (times < start - 0.3) | (times > end + 0.35)
        assert (moved.lip_seal[away] == 1).all()
        assert (lip_gap_mm(moved.weights, moved.own_mouth, head)[away] < 1e-3).all()
        assert (np.abs(moved.head_degrees[:, :2]) < SAFE_DEGREES).all()
        for start, end in part.spans:  # and nothing of what is said is touched
            inside = (times > start + 0.05) & (times < end - 0.05)
            assert np.allclose(moved.weights[inside, INDEX["jawOpen"]], jaw, atol=1e-6)
            assert (moved.lip_seal[inside] == 0).all()


@given(people, st.integers(0, 1000))
@settings(deadline=None, max_examples=40)
def test_lips_ease_between_speech_and_listening(talk, seed) -> None:
    times = np.arange(2000) / 100
    for part in conversation(talk, 20.0, seed):
        quiet = listening(part, times)
        assert ((quiet >= 0) & (quiet <= 1)).all()
        assert np.abs(np.diff(quiet)).max(initial=0) < 0.12, "a tenth at most in a hundredth of a second"


def test_listeners_look_at_the_speaker_and_turn_late_to_another() -> None:
    talk = [[(0.0, 20.0)], [(20.5, 40.0)], []]
    part = conversation(talk, 40.0, 5)[2]
    times = np.arange(0, 40, 0.02)
    at = looks_at(part, times)
    assert (at[times < 20] == 0).mean() > 0.75
    assert (at[times > 21.5] == 1).mean() > 0.75
    turned = times[(times > 20) & (at == 1)].min()
    assert 20.65 < turned < 21.2, "not before the other has begun, and not long after"


def test_a_speaker_looks_at_the_other_and_now_and_then_into_the_camera() -> None:
    part = conversation([[(0.0, 60.0)], [(60.5, 64.0)]], 64.0, 1)[0]
    times = np.arange(0, 60, 0.02)
    at = looks_at(part, times)
    assert 0.5 < (at == 1).mean() < 0.9
    assert (at == CAMERA).any()
    assert at[-1] == 1, "whoever ends a turn looks at who comes next"


def test_a_short_yes_draws_no_eyes_and_overlaps_are_allowed() -> None:
    talk = [[(0.0, 10.0)], [(5.0, 5.3)], []]
    assert 1 not in {look.at for look in conversation(talk, 10.0, 2)[2].looks}
    both = conversation([[(0.0, 6.0)], [(3.0, 9.0)]], 9.0, 2)
    assert both[0].looks[0].at in (1, ASIDE)
    assert both[1].looks[0].at == 0


def test_eyes_and_head_go_towards_the_other_and_less_where_the_photo_is_turned_already() -> None:
    eyes, head = directions(SEATS, 0, 1)
    assert eyes[0] > head[0] > 5
    back, turned = directions(SEATS, 1, 0)
    assert back[0] < turned[0] < -5
    assert directions((Seat(0.0, 0, 12.0), SEATS[1]), 0, 1)[1][0] < head[0]
    assert directions((Seat(0.0, 0, -20.0), SEATS[1]), 0, 1)[1][0] <= SAFE_DEGREES
    three = (*SEATS, Seat(4.8))
    assert directions(three, 0, 2)[0][0] > eyes[0]
    assert directions((Seat(0, 0), Seat(2, -1)), 0, 1)[0][1] > 0, "up to whoever is higher"
    assert not directions(SEATS, 0, CAMERA)[0].any()


def test_gaze_of_a_listener_points_at_the_speaker_in_its_weights() -> None:
    part = conversation([[(0.0, 8.0)], []], 8.0, 3)[1]
    moved = attend(spoken(8.0, 0.0), part, SEATS, 1, mouth())
    times = np.arange(200) / RATE
    there = looks_at(part, times) == 0
    left = moved.weights[there, INDEX["eyeLookInLeft"]]  # the picture's left is the person's right
    assert np.median(left) > 0.25
    assert moved.head_degrees[there, 0].mean() < -3


def test_nods_lower_the_head_and_large_shifts_may_blink() -> None:
    parts = conversation([[(0.0, 30.0)], []], 30.0, 4)
    assert parts[1].nods
    calm = replace(parts[1], nods=())
    moved, still = (attend(spoken(30.0, 0.0), part, SEATS, 1, mouth()) for part in (parts[1], calm))
    lower = still.head_degrees[:, 1] - moved.head_degrees[:, 1]
    assert 0.8 < lower.max() < 4
    many = conversation(
        [[(2.0 * i, 2.0 * i + 1.0) for i in range(20)], [(2.0 * i + 1, 2.0 * i + 2) for i in range(20)], []], 40.0, 1
    )
    watched = attend(spoken(40.0, 0.0), many[2], (Seat(0), Seat(4.8), Seat(2.4)), 2, mouth())
    assert (watched.weights[:, INDEX["eyeBlinkLeft"]] == 1).any()


def test_a_sound_keeps_only_its_turns_with_soft_ends() -> None:
    samples = np.ones(1000, np.float32)
    cut = only(samples, 100, [(2.0, 4.0), (3.0, 5.0)])
    assert len(cut) == 1000
    assert not cut[:200].any()
    assert not cut[500:].any()
    assert (cut[210:490] == 1).all()
    assert 0 < cut[200] < 1
    assert np.array_equal(only(samples, 100, [(20.0, 30.0)]), np.zeros(1000, np.float32))


def test_spans_and_words_of_turns_and_phones() -> None:
    turns = [Turn(0, 2, 0, "Hello"), Turn(2, 4, 1, ""), Turn(5, 6, 0, "you")]
    assert spans_of(turns, 0) == ((0, 2), (5, 6))
    assert words_of(turns, 0) == "Hello you"
    assert words_of(turns, 1) == ""
    phones = [Phone(SILENCE, 0, 1), Phone("AA", 1, 1.5), Phone(SILENCE, 1.5, 2), Phone("B", 2, 2.2), Phone("S", 5, 6)]
    assert spoken_spans(phones) == ((1, 2.2), (5, 6))
    assert spoken_spans([]) == ()


def test_nothing_said_is_listened_to_by_all() -> None:
    for part in conversation([[], []], 5.0, 1):
        assert not part.nods
        assert (listening(part, np.arange(5.0)) == 1).all()


@pytest.mark.parametrize("frames", [0, 1, 2])
def test_very_short_clips(frames: int) -> None:
    part = conversation([[(0.0, 0.02)], []], max(frames, 1) / RATE, 1)[0]
    short = spoken(frames / RATE)
    assert len(attend(short, part, SEATS, 0, mouth())) == frames
