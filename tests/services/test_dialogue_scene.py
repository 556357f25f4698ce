"""Real faces in one frame: what one person does leaves the others alone, and listeners are seen with shut lips."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from studio.domain.dialogue import conversation
from studio.domain.dialogue_motion import attend
from studio.domain.expression import INDEX
from studio.domain.performance import Performance
from studio.engines import Engines
from studio.engines.media.pictures import write_png
from studio.errors import NoFaceError
from studio.services.clips.dialogue_scene import OnePicture, SideBySide
from studio.services.portraits.prepared import Portraits
from studio.services.sources import FoundMedia
from studio.studio import ASSETS

RATE = 25.0


@pytest.fixture(scope="module")
def portraits() -> Portraits:
    return Portraits(Engines(ASSETS))


@pytest.fixture(scope="module")
def photo() -> np.ndarray:
    import skimage.data

    return np.ascontiguousarray(skimage.data.astronaut()[:320, 64:384])


@pytest.fixture(scope="module")
def pair(photo, tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("pair") / "pair.png"
    write_png(path, np.concatenate([photo, photo[:, ::-1]], 1))
    return path


def talk(jaw: float, frames: int = 50) -> Performance:
    weights = np.zeros((frames, 52), np.float32)
    weights[:, INDEX["jawOpen"]] = jaw
    none = np.zeros(frames, np.float32)
    return Performance(RATE, weights, np.zeros((frames, 3), np.float32), none + 0.4, none, none)


def gap(analyser, image: np.ndarray, box: slice) -> float:
    """Inner lips apart, in distances of the outer eye corners."""
    marks = analyser.detect(np.ascontiguousarray(image[:, box]))[0].landmarks
    eyes = float(np.linalg.norm(marks[33, :2] - marks[263, :2]))
    return float(np.linalg.norm(marks[13, :2] - marks[14, :2])) / eyes


def test_in_one_picture_each_moves_in_their_own_part(portraits, pair) -> None:
    scene = OnePicture(portraits, FoundMedia(pair, None), None, 2, None)
    assert scene.size == (640, 320)
    assert scene.seats[0].x < scene.seats[1].x
    still = talk(0.0)
    parts = conversation([[(0.0, 2.0)], []], 2.0, 1)
    moved = attend(talk(0.5), parts[0], scene.seats, 0, scene.mouth(0))
    rest = Performance(RATE, np.zeros_like(still.weights), still.head_degrees, np.ones_like(still.own_mouth),
                       np.zeros_like(still.lip_seal), np.zeros_like(still.breath))  # fmt: skip
    scene.play([moved, rest], 0)
    frame, image = scene.picture(30), scene.people[0].image
    assert (frame[:, :280] != image[:, :280]).any()
    assert np.array_equal(frame[:, 345:], image[:, 345:]), "the other keeps every pixel"
    with pytest.raises(NoFaceError, match="2 faces, but 3 people"):
        OnePicture(portraits, FoundMedia(pair, None), None, 3, None)


def test_side_by_side_the_listener_is_seen_with_shut_lips_and_eyes_on_the_speaker(portraits, photo, tmp_path) -> None:
    path = tmp_path / "ann.png"
    write_png(path, photo)
    source = FoundMedia(path, None)
    scene = SideBySide(portraits, [(source, None), (source, None)], 512)
    parts = conversation([[(0.0, 2.0)], []], 2.0, 1)
    scene.play([attend(talk(0.5 * (not i)), parts[i], scene.seats, i, scene.mouth(i)) for i in (0, 1)], 0)
    frame = scene.picture(30)
    assert frame.shape[:2] == (scene.size[1], scene.size[0])
    half = scene.size[0] // 2
    analyser = portraits.engines.faces()
    speaks, listens = gap(analyser, frame, slice(0, half)), gap(analyser, frame, slice(half, None))
    assert speaks > 0.1
    assert listens < 0.03
    assert all(np.array_equal(a, scene.picture(i)) for i, a in zip((30, 31), scene.pictures(30), strict=False))

    def iris(image: np.ndarray) -> float:
        marks = analyser.detect(np.ascontiguousarray(image))[0].landmarks
        return float(np.mean([(marks[i, 0] - marks[a, 0]) / (marks[b, 0] - marks[a, 0])
                              for i, a, b in ((468, 33, 133), (473, 362, 263))]))  # fmt: skip

    assert iris(frame[:, half:]) < iris(scene.people[1].image) - 0.03, "to the left, where the speaker is"
