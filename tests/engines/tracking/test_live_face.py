"""A face read while it moves, and landmarks that somebody else found: what a clip of the same frames gives."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.driver_clip import drawn, known_motion
from studio.domain.expression import INDEX
from studio.engines import Engines
from studio.engines.tracking.following import FaceFollower
from studio.engines.vision.analyser import VisionAnalyser
from studio.services.portraits.prepared import Portraits
from studio.services.sample import sample_portrait
from studio.studio import ASSETS


@pytest.fixture(scope="module")
def engines() -> Engines:
    return Engines(ASSETS)


@pytest.fixture(scope="module")
def frames(engines: Engines) -> list[np.ndarray]:
    portrait = Portraits(engines).prepare(sample_portrait(), face_index=0, size=256).portrait
    return list(drawn(portrait, known_motion(10.0, 1.6)))


@pytest.fixture(scope="module")
def landmarks(frames: list[np.ndarray]) -> np.ndarray:
    follower = FaceFollower(VisionAnalyser(ASSETS / "models"))
    return np.array([follower.next(frame).points for frame in frames])


def test_landmarks_of_a_page_give_what_the_frames_give(engines, frames, landmarks) -> None:
    whole = engines.tracker().track(frames, 10.0)
    ours = engines.tracker().solve(landmarks, np.ones(len(frames), bool), 10.0)
    for name in ("weights", "head_degrees", "lids", "gaze", "lip_gap_mm"):
        np.testing.assert_array_equal(getattr(ours, name), getattr(whole, name))


def test_a_face_that_is_not_found_holds_what_was_seen(engines, landmarks) -> None:
    found = np.ones(len(landmarks), bool)
    found[6:9] = False
    face = engines.tracker().solve(landmarks, found, 10.0)
    np.testing.assert_array_equal(face.weights[6:9], face.weights[[5, 5, 5]])
    assert any("lost" in note for note in face.notes)


def test_frames_read_one_by_one_show_the_same_motion(engines, landmarks) -> None:
    live = engines.tracker().live()
    rows = [live.read(points) for points in landmarks]
    whole = engines.tracker().solve(landmarks, np.ones(len(landmarks), bool), 10.0)
    gaps = np.array([row.lip_gap_mm[0] for row in rows])
    assert np.corrcoef(gaps, whole.lip_gap_mm)[0, 1] > 0.97
    turns = np.array([row.head_degrees[0] for row in rows])
    assert np.abs((turns - turns[0]) - (whole.head_degrees - whole.head_degrees[0])).max() < 1.5
    assert rows[0].weights.shape == (1, 52)


def test_a_face_at_rest_is_fitted_anew(engines, landmarks) -> None:
    live = engines.tracker().live()
    before = live.read(landmarks[0])
    live.rest(landmarks[6])
    again = live.read(landmarks[0])
    assert not np.array_equal(before.weights, again.weights)
    assert abs(float(again.weights[0, INDEX["jawOpen"]] - before.weights[0, INDEX["jawOpen"]])) < 0.3
