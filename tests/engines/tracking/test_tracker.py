"""A face followed through frames: the motion that was drawn is found again, and what goes wrong is said."""

from __future__ import annotations

import numpy as np
import pytest

from studio.domain.driving import TrackedFace, drive
from studio.domain.expression import INDEX
from studio.engines.tracking.following import FaceFollower
from studio.errors import NoFaceError, UserInputError

EMPTY = np.full((384, 384, 3), 90, np.uint8)


@pytest.fixture(scope="module")
def followed(tracker, frames) -> TrackedFace:
    return tracker.track(frames, 25.0)


@pytest.fixture(scope="module")
def again(followed, portrait):
    return drive(followed, portrait.mouth)


def alike(one: np.ndarray, other: np.ndarray) -> float:
    return float(np.corrcoef(one, other)[0, 1])


@pytest.mark.parametrize(
    ("name", "least"), [("mouthSmileLeft", 0.6), ("eyeBlinkLeft", 0.85), ("eyeLookOutLeft", 0.85), ("jawOpen", 0.85)]
)
def test_what_was_drawn_is_found_again(again, motion, name, least) -> None:
    assert alike(again.weights[:, INDEX[name]], motion.weights[:, INDEX[name]]) > least


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_the_head_turns_to_the_same_side_as_far(again, motion, axis) -> None:
    drawn, found = motion.head_degrees[:, axis], again.head_degrees[:, axis]
    assert alike(drawn, found) > 0.9
    assert 0.5 < found.max() / drawn.max() < 1.4  # a photo that nods shows landmarks half of it


def test_brows_rise_and_a_look_goes_to_one_side_only(again, motion) -> None:
    brows = again.weights[:, INDEX["browInnerUp"]] + again.weights[:, INDEX["browOuterUpLeft"]]
    assert alike(brows, motion.weights[:, INDEX["browInnerUp"]]) > 0.6
    assert again.weights[:, INDEX["eyeLookInLeft"]].max() < 0.3


def test_lips_that_were_shut_are_shut_again(followed, again, motion) -> None:
    sealed = motion.lip_seal > 0.5
    assert sealed.any()
    assert (again.lip_seal[sealed] > 0.5).mean() > 0.8
    assert again.lip_seal[np.argmax(motion.weights[:, INDEX["jawOpen"]])] == 0
    assert followed.lip_gap_mm.max() > 8


def test_the_same_frames_give_the_same_numbers(tracker, frames) -> None:
    first, second = (tracker.track(frames[:6], 25.0) for _ in range(2))
    for one, two in zip(vars(first).values(), vars(second).values(), strict=True):
        assert np.array_equal(one, two)


def test_a_face_that_leaves_and_returns_is_held_and_said(tracker, frames) -> None:
    seen = tracker.track([*frames[:8], *[EMPTY] * 12, *frames[8:20]], 25.0)
    assert not seen.found[9:19].any()
    assert seen.found[:8].all()
    assert seen.found[-8:].all()
    assert any("lost at 0.3 s" in note for note in seen.notes)


def test_a_clip_that_begins_without_a_face_starts_where_it_comes(tracker, frames) -> None:
    seen = tracker.track([*[EMPTY] * 4, *frames[:6]], 25.0)
    assert (len(seen), seen.found.tolist()) == (10, [False] * 4 + [True] * 6)


def test_a_cut_begins_a_new_shot(tracker, frames) -> None:
    moved = [np.ascontiguousarray(np.roll(frame, 90, 1)[:, ::-1] // 2) for frame in frames[:8]]
    seen = tracker.track([*frames[:8], *moved], 25.0)
    assert (seen.shot[7], seen.shot[8], seen.shot[-1]) == (0, 1, 1)
    assert seen.found[9:].all()
    assert any("cut at 0.3 s" in note for note in seen.notes)


def test_of_two_faces_the_larger_one_drives_or_the_chosen_one(tracker, frames) -> None:
    import cv2

    def both(frame: np.ndarray) -> np.ndarray:
        small = cv2.resize(frame, None, fx=0.6, fy=0.6)
        out = np.full((384, 384 + small.shape[1], 3), 120, np.uint8)
        out[:, :384], out[: small.shape[0], 384:] = frame, small
        return out

    pair = [both(frame) for frame in frames[:4]]
    assert tracker.track(pair, 25.0).notes == ("The video shows 2 faces; the largest one drives.",)
    assert tracker.track(pair, 25.0, face_index=1).notes == ()
    with pytest.raises(UserInputError, match="There is no face 3 in the video: it shows 2"):
        tracker.track(pair, 25.0, face_index=2)


def test_one_picture_is_read_alone_or_against_its_person_at_rest(tracker, analyser, frames, motion) -> None:
    calm, open_jaw = frames[0], frames[int(np.argmax(motion.weights[:, INDEX["jawOpen"]]))]
    rest, shown = (analyser.detect(frame)[0].landmarks for frame in (calm, open_jaw))
    alone, both = tracker.read(shown), tracker.read(shown, rest)
    assert (len(alone), len(both)) == (1, 2)
    assert alone.lip_gap_mm[0] == pytest.approx(both.lip_gap_mm[1], abs=1.5)
    assert both.lip_gap_mm[1] > both.lip_gap_mm[0] + 8
    for row in (alone.weights[0], both.weights[1]):
        assert row[INDEX["jawOpen"]] > tracker.read(rest).weights[0, INDEX["jawOpen"]] + 0.1
    assert np.array_equal(tracker.read(shown).weights, alone.weights)


def test_frames_without_any_face_are_refused(tracker) -> None:
    with pytest.raises(NoFaceError, match="No face was found in the video"):
        tracker.track([EMPTY] * 3, 25.0)


def test_a_person_can_stop_it(tracker, frames) -> None:
    class Stopped(Exception):
        pass

    def stop(count: int) -> None:
        if count == 3:
            raise Stopped

    with pytest.raises(Stopped):
        tracker.track(frames, 25.0, on_frame=stop)


def test_the_detectors_are_asked_once_for_a_face_that_stays(analyser, frames, monkeypatch) -> None:
    asked = []
    whole = type(analyser).detect_large
    monkeypatch.setattr(type(analyser), "detect_large", lambda self, image: asked.append(1) or whole(self, image))
    follower = FaceFollower(analyser)
    assert all(follower.next(frame).found for frame in frames[:10])
    assert len(asked) == 1
