"""Faces made unrecognisable in a picture: what is under them is gone, not covered."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Box = tuple[float, float, float, float]

_GROWN = 0.35
"""Of a face's size on each side: hair and chin go along."""
_CELLS = 5
"""A hidden head is left with so many colors across."""


def hidden(image: NDArray[np.uint8], boxes: Sequence[Box]) -> NDArray[np.uint8]:
    """Return a picture without some of its faces.

    Args:
        image: RGB.  # (H, W, 3)
        boxes: around the faces' landmarks, x0, y0, x1, y1 in pixels.
    """
    from PIL import Image, ImageDraw, ImageFilter

    out = Image.fromarray(np.ascontiguousarray(image))
    for x0, y0, x1, y1 in boxes:
        across, down = _GROWN * (x1 - x0), _GROWN * (y1 - y0)
        area = (
            max(round(x0 - across), 0), max(round(y0 - 1.4 * down), 0),
            min(round(x1 + across), out.width), min(round(y1 + down), out.height),
        )  # fmt: skip
        width, height = area[2] - area[0], area[3] - area[1]
        if width < 2 or height < 2:
            continue
        part = out.crop(area)
        coarse = part.resize((_CELLS, _CELLS), Image.Resampling.BOX).resize(part.size, Image.Resampling.BICUBIC)
        mask = Image.new("L", part.size, 0)
        edge = max(min(width, height) // 12, 1)
        ImageDraw.Draw(mask).ellipse((edge, edge, width - edge - 1, height - edge - 1), fill=255)
        soft = mask.filter(ImageFilter.GaussianBlur(edge / 2))
        out.paste(coarse, area[:2], soft)
    return np.asarray(out, np.uint8)
