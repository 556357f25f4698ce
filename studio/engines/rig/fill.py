"""Smooth fills and smooth steps, which every layer of a portrait needs."""

from __future__ import annotations

from typing import Any

import cv2
import numba as nb
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
    first = np.empty_like(values, np.float32)
    weigh(values, weights, first)
    pyramid: list[tuple[Array, Array]] = [(first, weights)]
    while min(pyramid[-1][1].shape) > 2:
        v, w = pyramid[-1]
        small = cv2.pyrDown(v)
        pyramid.append((small.reshape(*small.shape[:2], -1), cv2.pyrDown(w)))
    v, w = pyramid[-1]
    filled: Array = v / (w[..., None] + 1e-8)
    for v, w in pyramid[-2::-1]:
        filled = cv2.resize(filled, (w.shape[1], w.shape[0]), interpolation=cv2.INTER_LINEAR).reshape(v.shape)
        _put_known(v, w, eager, filled)
    return np.asarray(filled, np.float32)


@nb.njit(cache=True, nogil=True, fastmath=True)
def weigh(values: Array, weights: Array, out: Array) -> None:
    """Write values times their weights.  # (H, W, C), (H, W) -> (H, W, C)"""
    for y in range(out.shape[0]):
        for x in range(out.shape[1]):
            for k in range(out.shape[2]):
                out[y, x, k] = values[y, x, k] * weights[y, x]


@nb.njit(cache=True, nogil=True, fastmath=True)
def _put_known(values: Array, weights: Array, eager: float, out: Array) -> None:
    """Replace a coarse fill by what is known here, as far as it is known.

    Args:
        values: times their weights.  # (H, W, C)
        weights: (H, W)
        eager: see `pull_push`.
        out: the coarse fill; changed.  # (H, W, C)
    """
    for y in range(out.shape[0]):
        for x in range(out.shape[1]):
            known = np.float32(min(max(eager * weights[y, x], 0.0), 1.0))
            if known > 0:
                part = known / (weights[y, x] + np.float32(1e-8))
                for k in range(out.shape[2]):
                    out[y, x, k] = part * values[y, x, k] + (1 - known) * out[y, x, k]


def smoothstep(x: Array, low: float, high: float) -> Array:
    """Return Hermite interpolation 0..1 between two edges."""
    t = np.clip((x - low) / (high - low), 0.0, 1.0)
    return np.asarray(t * t * (3 - 2 * t))


def most_of(picture: Array) -> Array:
    """Return the largest of every pixel's three channels; ten times as fast as max(2).  # (h, w, 3) -> (h, w)"""
    red, green, blue = cv2.split(picture)
    return np.asarray(cv2.max(cv2.max(red, green), blue))
