"""Where both eyes look, as the eight weights that turn them."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from studio.domain.expression import INDEX

DEGREES_PER_WEIGHT = 20.0
"""How far a weight of 1 turns an eye."""


def gaze_weights(look_degrees: NDArray[np.floating], most: float) -> list[tuple[int, NDArray[np.float64]]]:
    """Return the column of each weight of gaze and its values, none below 0.

    Args:
        look_degrees: to the right of the picture and up.  # (T, 2)
        most: the largest weight, 0..1.
    """
    x, y = np.clip(np.asarray(look_degrees, np.float64) / DEGREES_PER_WEIGHT, -most, most).T
    turned = (
        ("eyeLookOutLeft", x), ("eyeLookInRight", x), ("eyeLookInLeft", -x), ("eyeLookOutRight", -x),
        ("eyeLookUpLeft", y), ("eyeLookUpRight", y), ("eyeLookDownLeft", -y), ("eyeLookDownRight", -y),
    )  # fmt: skip
    return [(INDEX[name], np.maximum(value, 0.0)) for name, value in turned]
