"""Means of boxes: those of numpy, faster."""

from __future__ import annotations

import numpy as np
import pytest

from studio.engines.rig.kernels import box_means


@pytest.mark.parametrize("side", [2, 3])
def test_means_of_boxes_are_those_of_numpy(side: int) -> None:
    rng = np.random.default_rng(0)
    values = rng.random((4, 6 * side, 5 * side, 3)).astype(np.float32)
    boxes = values.reshape(4, 6, side, 5, side, 3)
    np.testing.assert_allclose(box_means(values, side), boxes.mean((2, 4)), rtol=1e-6)
    whole = (values * 255).astype(np.uint8)
    assert box_means(whole, side).dtype == np.float32
    np.testing.assert_allclose(box_means(whole, side), whole.reshape(boxes.shape).mean((2, 4)), rtol=1e-6)
