"""A head seen from around: how far, how smoothly, and where the eyes stay."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from studio.domain.expression import INDEX
from studio.domain.orbit import Orbit, seen_from_around
from studio.domain.performance import Performance


def rest(seconds: float, rate: float = 25.0) -> Performance:
    frames = round(seconds * rate)
    none = np.zeros(frames, np.float32)
    return Performance(
        rate, np.zeros((frames, 52), np.float32), np.zeros((frames, 3), np.float32), none + 1, none, none
    )


@given(st.floats(0, 15), st.floats(0, 6), st.floats(2, 30), st.floats(0.04, 20), st.sampled_from(["camera", "world"]))
@settings(deadline=None, max_examples=60)
def test_it_goes_no_further_than_asked_and_does_not_jerk(yaw, pitch, seconds, length, gaze) -> None:
    moved = seen_from_around(rest(length), Orbit(yaw, pitch, seconds, gaze))
    head = moved.head_degrees
    assert (np.abs(head[:, 0]) <= yaw + 1e-4).all()
    assert (np.abs(head[:, 1]) <= pitch + 1e-4).all()
    assert not head[:1].any(), "it begins in the middle"
    step = np.abs(np.diff(head, axis=0)).max(initial=0)
    assert step <= (yaw + 2 * pitch) * (2 * np.pi / seconds + 4) / 25
    assert ((moved.weights >= 0) & (moved.weights <= 1)).all()


def test_eyes_stay_on_the_camera_or_in_the_world() -> None:
    on_camera, in_world = (seen_from_around(rest(6.0), Orbit(12.0, 3.0, 6.0, gaze)) for gaze in ("camera", "world"))
    right = int(on_camera.head_degrees[:, 0].argmax())
    assert on_camera.head_degrees[right, 0] > 11
    assert on_camera.weights[right, INDEX["eyeLookInLeft"]] > 0.5, "against the turn"
    assert not in_world.weights.any()
    assert on_camera.head_degrees[:, 0].min() < -11
    assert np.abs(on_camera.head_degrees[-1]).max() < 0.5
