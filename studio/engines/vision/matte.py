"""Who is person and who is background: a soft matte at the picture's own size.

MediaPipe's selfie segmentation answers at 256x256. A guided filter then lets
the matte follow the picture's own edges: in every small neighbourhood the matte
is written as a linear function of the picture's gray value, at low resolution,
and that function is applied to the full-resolution picture.

Source: He, Sun, "Fast guided filter", 2015. Does not know single hairs, and
keeps whatever the network calls a person, however many there are.
"""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from studio.engines.vision.sessions import ModelSessions

Plane = NDArray[Any]  # (H, W) float32

cv2.setNumThreads(1)

_GUIDE_SIDE = 512  # longer side at which the linear functions are fitted
_RADIUS = 6  # pixels at that size
_LOW, _HIGH = 0.1, 0.9  # network values taken as background and person: removes its haze
_EDGE = 0.02**2  # gray variance (0..1 scale) below which an area counts as flat


def person_matte(sessions: ModelSessions, image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return the person matte.

    Args:
        sessions: the open models.
        image: RGB.  # (H, W, 3)

    Returns:
        0 background .. 255 person.  # (H, W)
    """
    size = sessions.input_size("person_matte")
    small = cv2.resize(image, (size, size), interpolation=cv2.INTER_AREA)
    coarse = sessions.run("person_matte", small.astype(np.float32) / np.float32(255))["activation_10"][..., 0]
    return _guided(np.clip((coarse - _LOW) / (_HIGH - _LOW), 0, 1).astype(np.float32), image)


def _guided(coarse: Plane, image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    height, width = image.shape[:2]
    scale = min(1.0, _GUIDE_SIDE / max(height, width))
    inner = (max(round(width * scale), 1), max(round(height * scale), 1))
    gray = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
    guide = cv2.resize(gray, inner, interpolation=cv2.INTER_AREA).astype(np.float32) / 255
    matte = cv2.resize(coarse, inner, interpolation=cv2.INTER_LINEAR)

    def mean(values: Plane) -> Plane:
        return cv2.blur(values, (2 * _RADIUS + 1, 2 * _RADIUS + 1))

    guide_mean, matte_mean = mean(guide), mean(matte)
    slope: Plane = (mean(guide * matte) - guide_mean * matte_mean) / (mean(guide * guide) - guide_mean**2 + _EDGE)
    offset: Plane = mean(matte_mean - slope * guide_mean)
    slope = mean(slope)
    if inner != (width, height):
        slope = cv2.resize(slope, (width, height), interpolation=cv2.INTER_LINEAR)
        offset = cv2.resize(offset, (width, height), interpolation=cv2.INTER_LINEAR)
    # In bands: a 12,000 px picture would need 2 GB at once.
    out = np.empty((height, width), np.uint8)
    for top in range(0, height, 1024):
        rows = slice(top, top + 1024)
        out[rows] = np.clip((slope[rows] * (gray[rows] / np.float32(255)) + offset[rows]) * 255 + 0.5, 0, 255)
    return out
