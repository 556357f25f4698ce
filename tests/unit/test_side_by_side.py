"""Photos cut alike, and whose part of a picture is whose."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from studio.domain.side_by_side import FaceInPhoto, whose, windows
from studio.errors import UserInputError


@st.composite
def faces(draw) -> FaceInPhoto:
    width, height = draw(st.integers(300, 2048)), draw(st.integers(300, 2048))
    size = draw(st.floats(0.1, 0.5)) * min(width, height)
    x = draw(st.floats(0.35, 0.65)) * width
    y = draw(st.floats(0.35, 0.5)) * height
    return FaceInPhoto(width, height, x, y, size)


@given(st.lists(faces(), min_size=2, max_size=4), st.sampled_from([256, 720, 1280, 2048]))
@settings(deadline=None)
def test_faces_are_equally_large_on_one_line_and_nothing_is_empty(people, side) -> None:
    cuts = windows(people, side)
    assert len({(c.width, c.height) for c in cuts}) == 1
    for cut, face in zip(cuts, people, strict=True):
        assert cut.width % 2 == 0
        assert cut.height % 2 == 0
        assert cut.left >= -1e-6
        assert cut.top >= -1e-6
        assert cut.right <= face.width + 1e-6
        assert cut.bottom <= face.height + 1e-6
        assert cut.left <= face.x <= cut.right
        assert (cut.right - cut.left) / cut.width == pytest.approx((cut.bottom - cut.top) / cut.height, rel=1e-6)
    sizes = [face.size * cut.scale for face, cut in zip(people, cuts, strict=True)]
    assert max(sizes) / min(sizes) < 1.02
    lines = [(face.y - cut.top) * cut.scale for face, cut in zip(people, cuts, strict=True)]
    assert max(lines) - min(lines) < 0.03 * cuts[0].height
    assert abs(max(sum(c.width for c in cuts), cuts[0].height) - side) <= 2 * len(cuts)


def test_the_same_photo_twice_is_cut_twice_alike() -> None:
    face = FaceInPhoto(800, 1000, 400, 400, 300)
    first, second = windows([face, face])
    assert first == second


def test_photos_that_cannot_stand_side_by_side_are_refused() -> None:
    far = FaceInPhoto(400, 400, 200, 20, 300)  # the face is cut by the top of the photo
    low = FaceInPhoto(400, 400, 200, 390, 300)
    with pytest.raises(UserInputError, match="side by side"):
        windows([far, low])


def test_each_has_their_own_part_and_bodies_hang_below_faces() -> None:
    left, right = FaceInPhoto(400, 300, 120, 80, 80), FaceInPhoto(400, 300, 280, 140, 80)
    parts = [whose([left, right], i, (300, 400)) for i in (0, 1)]
    total = parts[0] + parts[1]
    assert total.max() <= 1 + 1e-6
    assert (total > 0.99).mean() > 0.9, "only a narrow seam belongs to nobody wholly"
    assert parts[0][80, 120] == 1
    assert parts[1][140, 280] == 1
    assert parts[0][290, 130] == 1, "the left one's body"
    assert parts[1][290, 270] == 1
    assert np.array_equal(whose([left], 0, (300, 400)), np.ones((300, 400), np.float32))


def test_who_stands_before_others_keeps_their_hair_and_shoulders() -> None:
    behind, before = FaceInPhoto(400, 400, 100, 120, 80), FaceInPhoto(400, 400, 180, 260, 100)
    back, front = (whose([behind, before], i, (400, 400)) for i in (0, 1))
    assert front[260, 135] == 1, "hair beside the lower face"
    assert front[390, 120] == 1, "its shoulder, though it hangs below the other's face"
    assert back[120, 100] == 1
    assert back[200, 60] == 1
