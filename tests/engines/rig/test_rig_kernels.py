"""The inner loops against the same thing written plainly."""

from __future__ import annotations

import numpy as np
import pytest

from studio.engines.rig import kernels


def _catmull_rom(t):
    return np.array(
        [(-t + 2 * t**2 - t**3) / 2, (2 - 5 * t**2 + 3 * t**3) / 2, (t + 4 * t**2 - 3 * t**3) / 2, (t**3 - t**2) / 2]
    )


def test_a_color_between_pixels_is_the_splines():
    random = np.random.default_rng(3)
    source = random.uniform(20, 230, (9, 11, 4)).astype(np.float32)
    source[..., 3] = random.uniform(0.2, 1.0, (9, 11))
    maps = np.ones((6, 7, 3), np.float32)
    maps[..., 0], maps[..., 1] = random.uniform(1, 5, (6, 7)), random.uniform(1, 3, (6, 7))
    plate = random.uniform(0, 255, (6, 7, 3)).astype(np.float32)
    out = np.empty((6, 7, 4), np.float32)
    kernels.look_up(maps, np.ones((6, 7), np.uint8), source, 1, plate, out)
    for y in range(6):
        for x in range(7):
            sx, sy = maps[y, x, 0] + 1, maps[y, x, 1] + 1
            i, j = int(sx), int(sy)
            near = source[j - 1 : j + 3, i - 1 : i + 3]
            mixed = np.einsum("b,c,bck->k", _catmull_rom(sy - j), _catmull_rom(sx - i), near)
            alpha = min(max(mixed[3], 0), 1)
            np.testing.assert_allclose(out[y, x, :3], mixed[:3] + (1 - alpha) * plate[y, x], atol=0.01)
            np.testing.assert_allclose(out[y, x, 3], alpha, atol=1e-4)


@pytest.mark.parametrize("channels", [1, 2, 3, 5])
def test_attributes_of_a_drawn_triangle_are_linear_and_leave_no_gap_to_its_neighbor(channels):
    random = np.random.default_rng(7)
    corners = np.array([[2.3, 1.1], [37.4, 3.2], [33.8, 28.9], [4.1, 25.6]], np.float32)
    triangles = np.array([[0, 1, 2], [0, 2, 3]], np.int32)
    slope, start = random.normal(size=(channels, 2)), random.normal(size=channels)
    attributes = (corners @ slope.T + start).astype(np.float32)  # one plane over both triangles
    points = np.concatenate([corners, np.zeros((4, 1), np.float32)], 1)
    tag, out = np.zeros((31, 40), np.uint8), np.zeros((31, 40, channels), np.float32)
    kernels.rasterize(points, triangles, np.ones(2, np.uint8), attributes, np.full((31, 40), -1e30, np.float32), tag,
                      out, 0)  # fmt: skip
    ys, xs = np.nonzero(tag)
    np.testing.assert_allclose(out[ys, xs], np.stack([xs, ys], 1) @ slope.T + start, atol=1e-3)
    for row in tag:
        drawn = np.flatnonzero(row)
        assert not len(drawn) or len(drawn) == drawn[-1] - drawn[0] + 1
    assert (tag > 0).sum() == pytest.approx(0.5 * abs(np.linalg.det(corners[[2, 3]] - corners[[0, 1]])), rel=0.05)


def test_the_nearer_triangle_stays_in_front():
    points = np.array([[0, 0, 1], [9, 0, 1], [0, 9, 1], [0, 0, 0], [9, 0, 0], [0, 9, 0]], np.float32)
    attributes = np.array([[5.0]] * 3 + [[7.0]] * 3, np.float32)
    for order in ([[0, 1, 2], [3, 4, 5]], [[3, 4, 5], [0, 1, 2]]):
        tag, out = np.zeros((10, 10), np.uint8), np.zeros((10, 10, 1), np.float32)
        kernels.rasterize(points, np.array(order, np.int32), np.ones(2, np.uint8), attributes,
                          np.full((10, 10), -1e30, np.float32), tag, out, 0)  # fmt: skip
        assert set(out[tag > 0].round(4).ravel()) == {5.0}


@pytest.mark.parametrize(("color", "warm"), [((200.0, 150.0, 120.0), True), ((150.0, 150.0, 150.0), False)])
def test_shade_on_skin_grows_warmer_and_a_gray_photo_stays_gray(color, warm):
    """All channels alike would lay a gray smear over a cheek."""
    side = 9
    source = np.ones((side, side, 4), np.float32)
    source[..., :3] = color
    maps = np.empty((side, side, 3), np.float32)
    maps[..., 0], maps[..., 1] = np.meshgrid(np.arange(side), np.arange(side))
    maps[..., 2] = 0.9
    out = np.empty((side, side, 4), np.float32)
    plate = np.zeros((side, side, 3), np.float32)
    kernels.look_up(maps, np.ones((side, side), np.uint8), source, 0, plate, out)
    left = out[4, 4, :3] / np.array(color)
    assert (left @ [0.30, 0.59, 0.11]) == pytest.approx(0.9, abs=0.01)
    assert (left[0] > left[2] + 0.02) if warm else np.ptp(left) < 1e-4


def test_what_a_frame_before_left_in_the_maps_changes_no_pixel():
    """Not even by rounding: the same state drawn again must give the same bytes."""
    points = np.array([[0, 0, 0], [0, 9, 0], [9, 0, 0]], np.float32)
    triangles = np.array([[0, 1, 2]], np.int32)
    drawn = []
    for left in (0.0, 1234567.0):
        maps = np.full((8, 8, 3), left, np.float32)
        tag = np.zeros((8, 8), np.uint8)
        kernels.rasterize_over(
            points,
            triangles,
            2,
            points + 0.3,
            np.full(3, 0.5, np.float32),
            np.full((8, 8), -1e30, np.float32),
            tag,
            maps,
        )
        drawn.append(maps[tag > 0])
    assert len(drawn[0]) > 10
    np.testing.assert_array_equal(*drawn)
