"""The head's maps: where the head is, what its face does, and nothing of the photo's colors."""

from __future__ import annotations

import numpy as np
import pytest

from studio.domain.expression import INDEX, FaceState
from studio.domain.pose import HeadPose

COARSE, DETAIL = 0, 1


def state(portrait, head=(0.0, 0.0, 0.0), **weights) -> FaceState:
    own = portrait.own_weights.copy()
    for name, value in weights.items():
        own[INDEX[name]] = value
    return FaceState(own, HeadPose(*head))


def maps(portrait, head=(0.0, 0.0, 0.0), **weights) -> np.ndarray:
    return portrait.shaded_maps(state(portrait, head, **weights)).astype(float)


def mouth(face, picture: np.ndarray) -> np.ndarray:
    return around(picture, face.landmarks[[61, 291, 0, 17], :2], 6)


def around(picture: np.ndarray, points: np.ndarray, margin: int) -> np.ndarray:
    (x0, y0), (x1, y1) = points.min(0).astype(int) - margin, points.max(0).astype(int) + margin
    return picture[y0:y1, x0:x1]


def test_the_head_stands_where_the_photo_shows_it(portrait, photo, face):
    drawn = maps(portrait)
    assert drawn.shape == (*photo.shape[:2], 2)
    x, y = face.landmarks[4, :2].astype(int)
    assert drawn[y - 3 : y + 3, x - 3 : x + 3, COARSE].min() > 120, "the tip of the nose faces the lamp"
    assert drawn[:20, :20].max() == 0, "black behind the head"


def test_a_turned_head_moves_in_the_map_and_shoulders_stay(portrait, face):
    before, after = maps(portrait), maps(portrait, (12.0, 0.0, 0.0))
    x0, y0, x1, y1 = (int(v) for v in face.box)
    assert np.abs(before - after)[y0:y1, x0:x1].mean() > 5
    rows = np.flatnonzero(before[..., COARSE].max(1) > 30)
    lowest = slice(rows[-1] - 8, rows[-1])
    assert np.abs(before - after)[lowest].mean() < 2


@pytest.mark.parametrize(
    ("weights", "darker"), [({"jawOpen": 0.6}, True), ({"mouthPucker": 0.0}, False)], ids=["open", "as it was"]
)
def test_an_open_mouth_is_dark_in_the_detailed_map(portrait, face, weights, darker):
    change = mouth(face, maps(portrait, **weights))[..., DETAIL] - mouth(face, maps(portrait))[..., DETAIL]
    assert (change.min() < -40) == darker


@pytest.mark.parametrize("side", ["Left", "Right"])
def test_eyes_look_where_they_are_asked_to(portrait, face, side):
    rows = [263, 362, 386, 374] if side == "Left" else [33, 133, 159, 145]

    def iris(**weights) -> float:
        eye = around(maps(portrait, **weights)[..., DETAIL], face.landmarks[rows, :2], 1)
        dark = np.clip(130 - eye, 0, None)
        return float((dark.sum(0) * np.arange(dark.shape[1])).sum() / dark.sum())

    outward = 1 if side == "Left" else -1
    moved = iris(**{f"eyeLookOut{side}": 0.8}) - iris(**{f"eyeLookIn{side}": 0.8})
    assert moved * outward > 1.5


def test_a_shut_eye_hides_its_iris(portrait, face):
    rows = [263, 362, 386, 374]
    opened, shut = (
        around(maps(portrait, **w)[..., DETAIL], face.landmarks[rows, :2], 1)
        for w in ({"eyeBlinkLeft": 0.0}, {"eyeBlinkLeft": 1.0})
    )
    assert (shut > 200).mean() < 0.5 * (opened > 200).mean(), "white of the eye"


def test_the_maps_flow(portrait):
    """Half a degree moves no pixel from black to white: what steers a clip must not flicker."""
    before, after = maps(portrait, (5.0, 0.0, 0.0)), maps(portrait, (5.4, 0.0, 0.0))
    assert np.abs(before - after)[..., COARSE].mean() < 1.5


@pytest.mark.parametrize("name", ["eyeBlinkLeft", "eyeBlinkRight", "mouthUpperUpLeft"])
def test_soft_parts_hold_what_mouth_and_eyes_do(portrait, name):
    moved = state(portrait, **{name: 1.0})
    still = state(portrait, browInnerUp=0.01)
    changed = np.abs(portrait.render(moved).astype(float) - portrait.render(still)).sum(2)
    where = portrait.soft_parts(moved).astype(float) / 255
    assert 0.004 < (where > 0.5).mean() < 0.2
    assert (changed * where).sum() > 0.6 * changed.sum()
    assert where[0].max() == 0
