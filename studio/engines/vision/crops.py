"""Square windows on a picture, turned and scaled to a model's input, and back.

A window is a center, a side and an angle in the picture's own pixels. Pictures
of any size are cut to the neighbourhood of the window first and shrunk by area,
so that a face in a 12,000 px picture costs what a face in a small one costs and
does not alias.

Convention: pixel (0, 0) has its *center* at coordinate (0.5, 0.5), so that
scaling a picture by k scales its coordinates by k.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

cv2.setNumThreads(1)  # thread fights cost more than these small pictures gain

Points = NDArray[np.float64]


@dataclass(frozen=True)
class Window:
    """A square in a picture.

    Attributes:
        center: x, y in pixels.
        side: pixels.
        angle: radians; the window's own x axis points along (cos, sin) of it.
    """

    center: tuple[float, float]
    side: float
    angle: float = 0.0


def cut(image: NDArray[np.uint8], window: Window, size: int) -> tuple[NDArray[np.uint8], NDArray[np.float64]]:
    """Sample a window at `size` x `size` pixels; the picture's edge is repeated outside.

    Args:
        image: RGB.  # (H, W, 3)
        window: where to look.
        size: side of the result in pixels.

    Returns:
        The crop, and the 2x3 matrix from crop coordinates to picture coordinates.
    """
    cos, sin = np.cos(window.angle), np.sin(window.angle)
    step = window.side / size
    to_picture = np.array([[cos * step, -sin * step, 0.0], [sin * step, cos * step, 0.0]])
    to_picture[:, 2] = np.asarray(window.center) - to_picture[:, :2] @ [size / 2, size / 2]
    source, scale, origin = _neighbourhood(image, window, step)
    # From crop pixel indices to source pixel indices (indices are centers - 0.5).
    matrix = to_picture.copy()
    matrix[:, 2] -= origin
    matrix *= np.asarray(scale)[:, None]
    matrix[:, 2] += matrix[:, :2] @ [0.5, 0.5] - 0.5
    crop = cv2.warpAffine(
        source,
        matrix,
        (size, size),
        flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
        borderMode=cv2.BORDER_REPLICATE,
    )
    return np.asarray(crop, np.uint8), to_picture


def _neighbourhood(
    image: NDArray[np.uint8], window: Window, step: float
) -> tuple[NDArray[np.uint8], tuple[float, float], tuple[int, int]]:
    """Return the part of the picture under the window, shrunk to about the sampling step.

    Returns:
        The part, its scale (x, y) against the picture, and its origin (x, y) in it.
    """
    if step <= 1.5:
        return image, (1.0, 1.0), (0, 0)
    height, width = image.shape[:2]
    reach = window.side * 0.5 * (abs(np.cos(window.angle)) + abs(np.sin(window.angle))) + 2 * step
    x, y = window.center
    x0, x1 = (int(np.clip(v, 0, width)) for v in (np.floor(x - reach), np.ceil(x + reach)))
    y0, y1 = (int(np.clip(v, 0, height)) for v in (np.floor(y - reach), np.ceil(y + reach)))
    # A window wholly outside still needs one pixel whose color is repeated.
    x0, y0 = min(x0, width - 1), min(y0, height - 1)
    part = image[y0 : max(y1, y0 + 1), x0 : max(x1, x0 + 1)]
    size = (max(round(part.shape[1] / step), 1), max(round(part.shape[0] / step), 1))
    shrunk = np.asarray(cv2.resize(part, size, interpolation=cv2.INTER_AREA), np.uint8)
    return shrunk, (size[0] / part.shape[1], size[1] / part.shape[0]), (x0, y0)


def apply(matrix: NDArray[np.float64], points: Points) -> Points:
    """Map points through a 2x3 matrix.  # (..., 2)"""
    return np.asarray(points @ matrix[:, :2].T + matrix[:, 2])
