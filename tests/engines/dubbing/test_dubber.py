"""A filmed face says something else: the film is the public-domain astronaut, moved by the rig."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import skimage.data

from benchmarks.driver_clip import drawn, known_motion
from studio.domain.expression import INDEX
from studio.domain.performance import Performance
from studio.engines.dubbing.dubber import MouthDubber, StudiedClip
from studio.engines.rig.animator import RigAnimator
from studio.engines.vision.analyser import VisionAnalyser
from studio.errors import NoFaceError, UserInputError

ASSETS = Path(__file__).resolve().parents[3] / "assets"
RATE = 25.0


@pytest.fixture(scope="module")
def analyser() -> VisionAnalyser:
    return VisionAnalyser(ASSETS / "models")


@pytest.fixture(scope="module")
def dubber(analyser: VisionAnalyser) -> MouthDubber:
    return MouthDubber(ASSETS / "head.npz", analyser)


@pytest.fixture(scope="module")
def film(analyser: VisionAnalyser) -> list[np.ndarray]:
    photo = np.ascontiguousarray(skimage.data.astronaut()[:384, 32:416])
    portrait = RigAnimator(ASSETS / "head.npz", analyser).prepare(photo, analyser.detect(photo)[0])
    return list(drawn(portrait, known_motion(RATE, 1.6)))


@pytest.fixture(scope="module")
def studied(dubber: MouthDubber, film: list[np.ndarray]) -> StudiedClip:
    return dubber.study(iter(film), RATE)


def said(frames: int, jaw: np.ndarray | float, seal: np.ndarray | float = 0.0) -> Performance:
    """Return a performance of the jaw alone."""
    weights = np.zeros((frames, 52), np.float32)
    weights[:, INDEX["jawOpen"]] = jaw
    none = np.zeros(frames, np.float32)
    return Performance(RATE, weights, np.zeros((frames, 3), np.float32), none + 1, none + np.float32(seal), none)


def gaps(frames: list[np.ndarray], analyser: VisionAnalyser) -> np.ndarray:
    """Return how far the lips are apart in each frame, in eye distances."""
    out, marks = [], None
    for frame in frames:
        marks = analyser.detect(frame)[0].landmarks if marks is None else analyser.track(frame, marks).points
        eyes = np.linalg.norm(marks[33, :2] - marks[263, :2])
        out.append(np.linalg.norm(marks[13, :2] - marks[14, :2]) / eyes)
    return np.array(out)


def test_the_mouth_says_what_is_asked_and_not_what_was_filmed(studied, film, analyser) -> None:
    count = len(film)
    asked = 0.25 - 0.25 * np.cos(np.arange(count) / count * 6 * np.pi)
    spoken = list(studied.redraw(iter(film), said(count, asked)))
    assert len(spoken) == count
    seen, filmed = gaps(spoken, analyser), gaps(film, analyser)
    assert np.corrcoef(seen, asked)[0, 1] > 0.9
    assert abs(np.corrcoef(seen, filmed)[0, 1]) < 0.6


def test_all_but_the_lower_face_keeps_the_pixels_of_the_film(studied, film, analyser) -> None:
    spoken = list(studied.redraw(iter(film), said(len(film), 0.4)))
    for frame in (5, 20, 33):
        marks = analyser.detect(film[frame])[0].landmarks
        changed = np.abs(film[frame].astype(int) - spoken[frame]).max(2) > 0
        eyes = int(marks[[33, 263], 1].max())
        assert not changed[:eyes].any(), "eyes, brows and hair above them"
        ears = [int(marks[k, 0]) for k in (234, 454)]
        assert not changed[:, : max(min(ears) - 9, 0)].any()
        assert not changed[:, max(ears) + 9 :].any()
        assert changed.any()


def test_a_mouth_that_is_still_does_not_tremble(studied, film, analyser) -> None:
    closed = list(studied.redraw(iter(film), said(len(film), 0.0, seal=1.0)))
    seen = gaps(closed, analyser)
    assert seen.max() < 0.05, "shut all along, also where the film speaks"
    assert gaps(film, analyser).max() > 0.1
    assert np.abs(np.diff(seen)).max() < 0.025, "1.6 mm from frame to frame"
    assert np.abs(np.diff(gaps(film, analyser))).max() > 0.05


def test_a_face_that_is_lost_keeps_its_film_and_the_same_film_the_same_frames(dubber, film) -> None:
    blank = np.full_like(film[0], 110)
    broken = [*film[:14], *[blank] * 6, *film[20:30]]
    clip = dubber.study(iter(broken), RATE)
    spoken = list(clip.redraw(iter(broken), said(len(broken), 0.4)))
    assert all(np.array_equal(a, b) for a, b in zip(spoken[14:20], broken[14:20], strict=True))
    assert (clip.share[14:20] == 0).all()
    assert any("out of sight" in note or "cut" in note for note in clip.notes)
    again = list(clip.redraw(iter(broken[22:]), said(len(broken), 0.4), first=22))
    assert all(np.array_equal(a, b) for a, b in zip(again, spoken[22:], strict=True)), "as after a kill"


def test_large_and_small_films_are_taken(dubber, film) -> None:
    large = [np.repeat(np.repeat(frame, 3, 0), 3, 1) for frame in film[:3]]
    clip = dubber.study(iter(large), RATE)
    spoken = list(clip.redraw(iter(large), said(3, 0.5)))
    assert spoken[1].shape == large[1].shape
    assert (spoken[1] != large[1]).any()
    small = [np.ascontiguousarray(frame[::3, ::3]) for frame in film[:3]]
    noted = dubber.study(iter(small), RATE)
    assert any("small" in note for note in noted.notes)
    assert (next(iter(noted.redraw(iter(small), said(3, 0.5)))) != small[0]).any()


def test_films_without_the_face_are_refused(dubber, film) -> None:
    with pytest.raises(NoFaceError):
        dubber.study(iter([np.full((200, 200, 3), 90, np.uint8)] * 3), RATE)
    with pytest.raises(UserInputError, match="no face 3"):
        dubber.study(iter(film[:3]), RATE, face_index=2)


def test_a_performance_that_ends_first_ends_the_clip(studied, film) -> None:
    assert len(list(studied.redraw(iter(film), said(7, 0.2)))) == 7
    assert replace(said(3, 0.1), frame_rate_hz=RATE).frame_rate_hz == studied.frame_rate_hz
