"""When a filmed mouth is spoken anew, at which rate, and what of a performance it takes."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from studio.domain.dubbing import FURTHEST_YAW_DEGREES, SPOKEN, mouth_only, offered_rate, resting_look, spoken_share
from studio.domain.expression import INDEX
from studio.domain.performance import Performance

RATES = (24, 25, 30, 60)


@pytest.mark.parametrize(
    ("seen", "wanted"),
    [(25.0, 25), (29.97, 30), (23.976, 24), (50.0, 25), (48.0, 24), (59.94, 60), (120.0, 60), (15.0, 24), (12.0, 24),
     (10.0, 24), (40.0, 60), (240.0, 60)],
)  # fmt: skip
def test_a_clip_keeps_its_rate_or_takes_the_next(seen: float, wanted: int) -> None:
    assert offered_rate(seen, RATES) == wanted


@given(st.lists(st.booleans(), min_size=1, max_size=80), st.sampled_from(RATES))
def test_a_share_is_nothing_where_nothing_is_seen_and_never_jumps(found: list[bool], rate: int) -> None:
    seen = np.array(found)
    share = spoken_share(seen, np.zeros(len(seen), np.int32), np.zeros(len(seen)), rate)
    assert ((share >= 0) & (share <= 1)).all()
    assert (share[~seen] == 0).all()
    assert (np.abs(np.diff(share)) <= 1.6 / max(1, round(0.2 * rate))).all()
    if seen.all():
        assert (share == 1).all()


def test_turned_faces_keep_their_mouth_and_cuts_do_not_ease() -> None:
    yaw = np.zeros(60)
    yaw[40:] = FURTHEST_YAW_DEGREES + 1
    shot = np.repeat([0, 1], 30).astype(np.int32)
    share = spoken_share(np.ones(60, bool), shot, yaw, 25)
    assert (share[:30] == 1).all()
    assert (share[40:] == 0).all()
    assert 0 < share[37] < 1
    other = spoken_share(np.repeat([True, False], 30), shot, np.zeros(60), 25)
    assert other[29] == 1, "the shot ends there"


def test_of_a_performance_only_the_mouth_is_taken() -> None:
    rng = np.random.default_rng(0)
    whole = Performance(
        25.0, rng.random((4, 52)).astype(np.float32), rng.random((4, 3)).astype(np.float32), np.ones(4, np.float32),
        rng.random(4).astype(np.float32), rng.random(4).astype(np.float32),
    )  # fmt: skip
    part = mouth_only(whole)
    assert np.array_equal(part.weights[:, SPOKEN], whole.weights[:, SPOKEN])
    assert not part.weights[:, ~SPOKEN].any()
    assert not part.head_degrees.any()
    assert np.array_equal(part.lip_seal, whole.lip_seal)
    assert SPOKEN[INDEX["jawOpen"]]
    assert not SPOKEN[INDEX["eyeBlinkLeft"]]


def test_a_friendly_look_goes_on_and_an_open_jaw_does_not() -> None:
    weights = np.zeros((10, 52), np.float32)
    weights[:, INDEX["mouthSmileLeft"]] = 0.5
    weights[:, INDEX["jawOpen"]] = 0.5
    look = resting_look(weights, np.ones(10, bool))
    assert 0.2 < look[INDEX["mouthSmileLeft"]] < 0.5
    assert look[INDEX["jawOpen"]] == 0
