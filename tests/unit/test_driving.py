"""What a portrait takes from a followed face: calmed, relative, lips shut where the driver's were."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from studio.domain.driving import CALIBRATION_SECONDS, TrackedFace, calmed, drive, neutral_of, one_euro
from studio.domain.expression import INDEX
from studio.domain.performance import MouthResponse
from studio.domain.pose import LIMIT_DEGREES

RATE = 25.0
JAW, SMILE = INDEX["jawOpen"], INDEX["mouthSmileLeft"]


def mouth(own: np.ndarray | None = None) -> MouthResponse:
    """A mouth that only the jaw opens and mouthClose closes, 36 mm either way."""
    none = np.zeros(52, np.float32)
    per = none.copy()
    per[JAW], per[INDEX["mouthClose"]] = 36.0, -36.0
    start = none.copy() if own is None else own.astype(np.float32)
    return MouthResponse(0.0, per, 50.0, none, 0.0, none, none, start)


def still_face(frames: int = 50, shots: int = 1) -> TrackedFace:
    """A driver who does nothing, with a smile and a turned head of their own."""
    weights = np.zeros((frames, 52), np.float32)
    weights[:, SMILE] = 0.3
    lids = np.tile(np.array([0.2, -0.1], np.float32), (frames, 2, 1))
    shot = (np.arange(frames) * shots // frames).astype(np.int32)
    return TrackedFace(
        RATE, weights, np.tile(np.array([5, -3, 2], np.float32), (frames, 1)), lids, np.zeros((frames, 2), np.float32),
        np.zeros(frames, np.float32), np.ones(frames, bool), shot,
    )  # fmt: skip


def test_a_face_at_rest_moves_nothing() -> None:
    moved = drive(still_face(), mouth())
    assert np.abs(moved.weights).max() < 1e-6
    assert np.abs(moved.head_degrees).max() < 1e-6
    assert (moved.lip_seal == 1).all(), "the driver's lips are together"


def test_the_filter_calms_rest_and_lets_quick_motion_through_without_lag() -> None:
    random = np.random.default_rng(4)
    tremble = one_euro(random.normal(0, 0.01, 200), RATE, 2.0, 2.5)
    assert tremble[20:-20].std() < 0.007
    step = np.repeat([0.0, 1.0], 50)
    crossed = one_euro(step, RATE, 2.0, 2.5)
    assert int(np.argmax(crossed > 0.5)) in (49, 50), "half way where the step is"
    assert crossed[54] > 0.9
    assert np.array_equal(one_euro(np.zeros((0, 3)), RATE, 2.0, 2.5), np.zeros((0, 3)))


def test_motion_is_relative_to_the_drivers_neutral_face() -> None:
    face = still_face()
    face.weights[20:30, SMILE] = 0.65
    face.head_degrees[20:30, 0] += 6
    moved = drive(face, mouth())
    assert moved.weights[25, SMILE] > 0.3
    assert np.abs(moved.weights[:10, SMILE]).max() < 0.05
    assert moved.head_degrees[25, 0] == pytest.approx(6, abs=1)  # landmarks read a little more than is turned
    assert np.abs(moved.head_degrees[:, 1:]).max() < 0.1


def test_a_chosen_frame_is_the_neutral_one() -> None:
    face = still_face()
    face.weights[30:, SMILE] = 0.8
    own = np.zeros(52)
    own[SMILE] = 0.5
    calm, chosen = drive(face, mouth(own)), drive(face, mouth(own), neutral_frame=45)
    assert calm.weights[45, SMILE] > 0.2
    assert chosen.weights[45, SMILE] == pytest.approx(0, abs=0.02)
    assert chosen.weights[5, SMILE] < -0.1


def test_a_driver_who_uses_their_whole_room_makes_the_portrait_use_its_own() -> None:
    """A portrait that smiles already has less to add; one that does not has more."""
    face = still_face()
    face.weights[20:40, SMILE] = 0.9
    own = np.zeros(52)
    own[SMILE] = 0.6
    plain, smiling = drive(face, mouth()), drive(face, mouth(own))
    assert smiling.weights[30, SMILE] < 0.75 * plain.weights[30, SMILE]
    assert own[SMILE] + smiling.weights[30, SMILE] <= 1.3


@pytest.mark.parametrize("rate", [24.0, 25.0, 30.0, 60.0])
def test_no_closure_is_lost_between_filter_and_frames(rate: float) -> None:
    """A P of one frame in open speech, at every rate of a clip."""
    face = still_face(100)
    face = replace(face, lip_gap_mm=np.full(100, 12.0, np.float32))
    face.weights[:, JAW] = 0.35
    face.lip_gap_mm[::10] = 0.3
    slow = drive(face, mouth()).at_rate(rate)
    for beat in range(0, 100, 10):
        near = np.abs(np.arange(len(slow)) / rate - beat / RATE) <= 0.5 / rate + 0.5 / RATE + 1e-6
        assert slow.lip_seal[near].max() > 0.95, beat
    assert calmed(face).lip_gap_mm[::10].max() <= 0.3 + 1e-6


def test_the_mouth_of_a_laughing_portrait_opens_as_far_as_the_drivers() -> None:
    face = still_face()
    face.lip_gap_mm[20:35] = 18.0
    face.weights[20:35, JAW] = 0.5
    own = np.zeros(52)
    own[JAW] = 0.4
    moved = drive(face, mouth(own))
    jaw = own[JAW] + moved.weights[:, JAW]
    assert jaw[5] == pytest.approx(0, abs=0.02), "shut, as the driver's"
    assert 36 * (jaw[28] - moved.weights[28, INDEX["mouthClose"]]) == pytest.approx(18, abs=2)


def test_lids_and_looks_go_to_the_drivers_side() -> None:
    face = still_face()
    face.lids[20:24, 0] = (-0.08, -0.1)  # the left eye shuts
    face.gaze[30:40, 0] = 0.6  # to the right of the picture, the person's left
    face.gaze[42:, 1] = 0.4
    moved = drive(face, mouth()).weights
    assert moved[21, INDEX["eyeBlinkLeft"]] > 0.9
    assert moved[21, INDEX["eyeBlinkRight"]] < 0.05
    assert moved[35, INDEX["eyeLookOutLeft"]] == moved[35, INDEX["eyeLookInRight"]] > 0.7
    assert moved[35, [INDEX["eyeLookInLeft"], INDEX["eyeLookOutRight"]]].max() == 0
    assert moved[46, INDEX["eyeLookUpLeft"]] > 0.5


def test_eyes_open_after_a_blink_as_wide_as_before() -> None:
    face = still_face(75)
    face.lids[30:33] = (-0.08, -0.1)
    shut = drive(face, mouth()).weights[:, INDEX["eyeBlinkLeft"]]
    assert shut[31] > 0.9
    assert np.delete(shut, range(27, 37)).max() < 0.1


def test_a_lost_face_is_held_then_eased_and_comes_back_gently() -> None:
    face = still_face(150)
    face.head_degrees[40:, 0] += 10
    face.found[60:120] = False
    yaw = drive(face, mouth()).head_degrees[:, 0]
    assert yaw[64] == pytest.approx(yaw[58], rel=0.05), "held"
    assert abs(yaw[100]) < 0.1, "at rest"
    assert np.abs(np.diff(yaw[60:])).max() < 2.5, "nothing jumps"
    assert yaw[140] == pytest.approx(yaw[58], rel=0.1)
    gone = replace(face, found=np.zeros(150, bool))
    assert not drive(gone, mouth()).weights.any()


def test_every_shot_has_a_neutral_face_of_its_own() -> None:
    face = still_face(100, shots=2)
    face.head_degrees[50:] = (-20, 8, 0)
    face.weights[50:, SMILE] = 0.7
    moved = drive(face, mouth())
    assert np.abs(moved.head_degrees).max() < 0.5
    assert np.abs(moved.weights).max() < 0.05


def test_turns_approach_their_limit_instead_of_stopping_at_it() -> None:
    face = still_face(100)
    face.head_degrees[50:, 0] = 5 + np.linspace(0, 60, 50)
    yaw = drive(face, mouth(), neutral_frame=10).head_degrees[50:, 0]
    assert yaw.max() <= LIMIT_DEGREES["yaw"]
    assert (np.diff(yaw[:30]) > 0).all()


def test_a_preview_moves_as_the_whole_clip() -> None:
    """Where the neutral face is looked for is the same in both."""
    random = np.random.default_rng(4)
    frames = round(CALIBRATION_SECONDS * RATE)
    face = still_face(3 * frames)
    face.weights[:, SMILE] += random.uniform(0, 0.4, 3 * frames).astype(np.float32)
    whole = drive(face, mouth()).weights[: frames // 2, SMILE]
    part = drive(face.rows(slice(0, frames)), mouth()).weights[: frames // 2, SMILE]
    assert np.abs(whole - part).max() < 0.02


def test_the_calmest_frames_are_neutral_not_the_first() -> None:
    face = still_face(60)
    face.weights[:20, JAW] = 0.6
    face.lip_gap_mm[:20] = 20.0
    face.lids[20:25] = (-0.05, -0.1)
    found = neutral_of(face)
    assert found.weights[JAW] == 0
    assert found.frame >= 25
    assert found.lids[0, 0] == pytest.approx(0.2)
