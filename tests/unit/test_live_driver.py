"""What a portrait takes from a face while it moves."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from studio.domain.driving import EASE_SECONDS, HOLD_SECONDS, drive
from studio.domain.expression import INDEX
from studio.domain.live import LEARNING_SECONDS, REST_SECONDS, LiveDriver
from tests.unit.test_driving import JAW, RATE, SMILE, mouth, still_face

STEP = 1 / RATE


def played(driver: LiveDriver, rows: list, start: float = 0.0) -> list:
    return [driver.next(start + i * STEP, row) for i, row in enumerate(rows)]


def frames(face) -> list:
    return [face.rows(slice(i, i + 1)) for i in range(len(face))]


def test_a_face_at_rest_moves_nothing_from_the_first_moment_on() -> None:
    moved = played(LiveDriver(mouth()), frames(still_face()))
    assert max(np.abs(m.weights).max() for m in moved) < 1e-6
    assert max(np.abs(m.head_degrees).max() for m in moved) < 1e-6
    assert moved[-1].lip_seal[0] == 1, "the driver's lips are together"


def test_a_jaw_that_falls_falls_at_once_and_as_far_as_in_a_clip() -> None:
    face = still_face(100)
    face.lip_gap_mm[50:] = 12.0
    face.weights[50:, JAW] = 12 / 36
    moved = played(LiveDriver(mouth()), frames(face))
    assert moved[49].weights[0, JAW] < 0.01
    # Two frames are 80 ms: the filter lets a quick motion through.
    assert moved[52].weights[0, JAW] > 0.6 * moved[90].weights[0, JAW]
    assert moved[90].weights[0, JAW] == pytest.approx(drive(face, mouth()).weights[90, JAW], abs=0.05)
    assert moved[90].lip_seal[0] == 0


def test_a_closure_of_one_frame_is_not_filtered_away() -> None:
    face = still_face(100)
    face.lip_gap_mm[20:] = 10.0
    face.lip_gap_mm[60] = 0.0
    moved = played(LiveDriver(mouth()), frames(face))
    assert moved[60].lip_seal[0] == 1
    assert moved[60].weights[0, JAW] < 0.02
    assert moved[62].weights[0, JAW] > 0.15


def test_a_face_that_is_lost_is_held_then_eased_and_comes_back_gently() -> None:
    face = still_face(400)
    face.head_degrees[50:, 0] += 8
    driver = LiveDriver(mouth())
    seen = played(driver, frames(face.rows(slice(0, 100))))
    lost = played(driver, [None] * 50, 4.0)
    turned = seen[-1].head_degrees[0, 0]
    assert turned > 5
    held = int(HOLD_SECONDS * RATE) - 2
    assert lost[held].head_degrees[0, 0] == pytest.approx(turned, rel=0.01)
    gone = int((HOLD_SECONDS + EASE_SECONDS) * RATE) + 1
    assert abs(lost[gone].head_degrees[0, 0]) < 1e-6
    way = np.array([m.head_degrees[0, 0] for m in lost])
    assert (np.diff(way) <= 1e-9).all()
    back = [m.head_degrees[0, 0] for m in played(driver, frames(face.rows(slice(100, 125))), 6.0)]
    assert back[0] < 0.3 * turned
    assert back[-1] > 0.9 * turned


def test_nobody_in_the_picture_leaves_the_portrait_alone() -> None:
    moved = played(LiveDriver(mouth()), [None] * 10)
    assert not any(m.weights.any() or m.head_degrees.any() or m.lip_seal.any() for m in moved)


def test_a_smile_at_the_beginning_is_not_taken_for_the_face_at_rest() -> None:
    face = still_face(200)
    face.weights[:15, SMILE] = 0.8
    moved = played(LiveDriver(mouth()), frames(face))
    assert abs(moved[-1].weights[0, SMILE]) < 0.03, "the calm of the first seconds counts, not the first frame"


def test_the_face_at_rest_is_the_one_that_somebody_chose() -> None:
    face = still_face(300)
    driver = LiveDriver(mouth())
    played(driver, frames(face.rows(slice(0, 100))))
    other = replace(face, weights=face.weights.copy(), head_degrees=face.head_degrees + np.float32(4))
    other.weights[:, INDEX["browInnerUp"]] = 0.5
    before = driver.next(4.0, frames(other)[0])
    driver.rest()
    chosen = played(driver, frames(other.rows(slice(1, 200))), 4.04)
    assert abs(before.head_degrees[0, 0]) > 0.5
    after = int(REST_SECONDS * RATE) + 2
    assert all(np.abs(m.head_degrees).max() < 0.2 for m in chosen[after:])
    assert all(abs(m.weights[0, INDEX["browInnerUp"]]) < 0.02 for m in chosen[after:])
    assert 200 * STEP > LEARNING_SECONDS, "what is calm later does not take its place"


@pytest.mark.parametrize("step", [0.0, 1e-6, 5.0])
def test_a_clock_that_stands_or_leaps_breaks_nothing(step: float) -> None:
    driver = LiveDriver(mouth())
    for i, row in enumerate(frames(still_face(20))):
        moved = driver.next(i * step, row)
        assert np.isfinite(moved.weights).all()
