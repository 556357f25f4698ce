"""Where a face is in a picture: the hull of its landmarks, a little enlarged so that chin and cheeks are inside."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from studio.domain.face import DetectedFace
from studio.engines.base import Image, Matte

_ENLARGED = 1.08
"""The landmarks' oval runs just inside chin and cheeks; a choice, judged by eye."""
_SOFT = 0.04
"""Radius of the edge as a share of the face's height."""


def face_mask(image: Image, face: DetectedFace) -> Matte:
    """Return the mask of one face, with a soft edge.

    Args:
        image: the picture the face was found in.  # (H, W, 3)

    Returns:
        255 in the face, 0 elsewhere, soft between.  # (H, W)
    """
    from PIL import Image as Pillow
    from PIL import ImageDraw, ImageFilter

    height, width = image.shape[:2]
    hull = _hull(np.asarray(face.landmarks, np.float64)[:, :2])  # (K, 2)
    center = hull.mean(0)
    wide = center + (hull - center) * _ENLARGED
    canvas = Pillow.new("L", (width, height), 0)
    ImageDraw.Draw(canvas).polygon([(float(x), float(y)) for x, y in wide], fill=255)
    radius = max(1.0, _SOFT * float(np.ptp(hull[:, 1])))
    return np.array(canvas.filter(ImageFilter.GaussianBlur(radius)), np.uint8)


def _hull(points: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the convex hull, counterclockwise (monotone chain).  # (N, 2) -> (K, 2)"""
    ordered = sorted({(float(x), float(y)) for x, y in points})

    def half(sequence: list[tuple[float, float]]) -> list[tuple[float, float]]:
        chain: list[tuple[float, float]] = []
        for x, y in sequence:
            while len(chain) > 1:
                (ax, ay), (bx, by) = chain[-2], chain[-1]
                if (bx - ax) * (y - ay) - (by - ay) * (x - ax) > 0:
                    break
                chain.pop()
            chain.append((x, y))
        return chain[:-1]

    return np.array(half(ordered) + half(ordered[::-1]) or ordered)
