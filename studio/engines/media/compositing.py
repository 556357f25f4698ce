"""Lays parts of one picture over another of the same scene, in the other's light."""

from __future__ import annotations

import cv2
import numpy as np

from studio.engines.base import Image, Matte

_REACH = 0.5
"""Of the parts' own size: so far around them the tones of both pictures are compared."""


def laid_back(picture: Image, parts: Image, where: Matte) -> Image:
    """Return the picture with parts of another one, their tone moved to the picture's around them.

    Two pictures of one face differ in tone as much as in detail; parts that are
    laid over with their own tone show as patches. The tone is compared around the
    parts only: inside, the pictures differ because the parts are wanted.

    Args:
        picture: what is kept outside.  # (H, W, 3)
        parts: what is kept inside.  # (H, W, 3)
        where: 255 takes the parts, 0 the picture.  # (H, W)
    """
    inside = where.astype(np.float32)[..., None] / 255
    if not inside.any():
        return picture.copy()
    spread = max(2.0, _REACH * float(np.sqrt((inside > 0.5).sum() / 3)))
    outside = 1 - inside
    apart = (picture.astype(np.float32) - parts) * outside
    weight = cv2.GaussianBlur(outside, (0, 0), spread)[..., None]
    tone = cv2.GaussianBlur(apart, (0, 0), spread) / np.maximum(weight, 1e-3)
    out = picture * outside + (parts + tone) * inside
    return np.clip(np.rint(out), 0, 255).astype(np.uint8)
