"""Smooth fills and smooth steps, which every layer of a portrait needs."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
FloatArray = NDArray[np.float32]


def pull_push(values: Array, weights: Array, eager: float = 1.0) -> FloatArray:
    """Fill holes smoothly: average down a pyramid, then fill from coarse to fine.

    Args:
        values: (H, W, C) float32
        weights: 1 where known, 0 in the holes.  # (H, W) float32
        eager: at 1 a hole's rim soon tends to what is known further out; at 4, the share of a coarse pixel's
            four parts, the colors at the rim run in as far as their features are wide.

    Returns:
        (H, W, C); known values stay.
    """
    pyramid = [(values * weights[..., None], weights)]
    while min(pyramid[-1][1].shape) > 2:
        v, w = pyramid[-1]
        small = cv2.pyrDown(v)
        pyramid.append((small.reshape(*small.shape[:2], -1), cv2.pyrDown(w)))
    v, w = pyramid[-1]
    filled = v / (w[..., None] + 1e-8)
    for v, w in pyramid[-2::-1]:
        up = cv2.resize(filled, (w.shape[1], w.shape[0]), interpolation=cv2.INTER_LINEAR).reshape(v.shape)
        known = np.clip(eager * w, 0, 1)[..., None]
        filled = known * (v / (w[..., None] + 1e-8)) + (1 - known) * up
    return np.asarray(filled, np.float32)


def smoothstep(x: Array, low: float, high: float) -> Array:
    """Return Hermite interpolation 0..1 between two edges."""
    t = np.clip((x - low) / (high - low), 0.0, 1.0)
    return np.asarray(t * t * (3 - 2 * t))
