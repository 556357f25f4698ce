"""Cuts panels out of photos, and puts pictures side by side."""

from __future__ import annotations

import cv2
import numpy as np

from studio.domain.side_by_side import Window
from studio.engines.base import Image


def cut(image: Image, window: Window) -> Image:
    """Return the part of a photo in a window, at the window's size.  # (height, width, 3)"""
    scale_x = (window.right - window.left) / window.width
    scale_y = (window.bottom - window.top) / window.height
    if max(scale_x, scale_y) > 1.5:  # what shrinks is averaged first, or fine patterns flicker
        factor = 1 / max(scale_x, scale_y)
        size = (max(1, round(image.shape[1] * factor)), max(1, round(image.shape[0] * factor)))
        small = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
        fx, fy = size[0] / image.shape[1], size[1] / image.shape[0]
        window = Window(
            window.left * fx, window.top * fy, window.right * fx, window.bottom * fy, window.width, window.height
        )
        return cut(np.asarray(small, np.uint8), window)
    matrix = np.array(
        [[scale_x, 0, window.left + scale_x / 2 - 0.5], [0, scale_y, window.top + scale_y / 2 - 0.5]], np.float32
    )
    flags = cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP
    out = cv2.warpAffine(image, matrix, (window.width, window.height), flags=flags, borderMode=cv2.BORDER_REPLICATE)
    return np.ascontiguousarray(out, np.uint8)
