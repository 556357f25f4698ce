"""Parts of photos cut out at another size."""

from __future__ import annotations

import numpy as np

from studio.domain.side_by_side import Window
from studio.engines.media.panels import cut


def ramp(width: int, height: int) -> np.ndarray:
    x = np.tile(np.linspace(0, 255, width), (height, 1))
    y = np.tile(np.linspace(0, 255, height)[:, None], (1, width))
    return np.dstack([x, y, np.zeros_like(x)]).astype(np.uint8)


def test_a_cut_at_its_own_size_keeps_its_pixels() -> None:
    image = ramp(200, 100)
    assert np.array_equal(cut(image, Window(20, 10, 120, 60, 100, 50)), image[10:60, 20:120])


def test_larger_and_smaller_cuts_show_the_same_part() -> None:
    image = ramp(400, 300)
    for size in ((80, 60), (160, 120), (640, 480)):
        part = cut(image, Window(100, 60, 260, 180, *size))
        assert part.shape == (size[1], size[0], 3)
        middle = part[size[1] // 2, size[0] // 2].astype(int)
        assert abs(middle[0] - 255 * 180 / 400) < 3
        assert abs(middle[1] - 255 * 120 / 300) < 3
