"""The one slope everything in a face moves along: slow, fast, slow."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray


def smoothstep(x: NDArray[Any]) -> NDArray[np.float64]:
    """Return 3x² - 2x³ of x held inside 0..1: a ramp without corners."""
    held = np.clip(np.asarray(x, np.float64), 0, 1)
    return np.asarray(held * held * (3 - 2 * held))
