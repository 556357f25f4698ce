"""Curves of a few samples: through points without overshooting them, smoothed, and the rank of a moving window.

They do what scipy's `PchipInterpolator`, `gaussian_filter1d` and `percentile_filter` do, and are written
out because a first picture would wait half a second for scipy to be imported for nothing else.

Source: Fritsch, Butland, "A method for constructing local monotone piecewise cubic interpolants", 1984.
"""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]


def monotone_curve(x: Array, y: Array, at: Array) -> NDArray[np.float64]:
    """Return heights of the smooth curve through points; it goes on as the last cubic beyond them.

    Args:
        x: strictly rising, at least two.  # (N,)
        y: heights there.  # (N,)
        at: where the curve is read.  # (M,)
    """
    x, y, at = np.asarray(x, np.float64), np.asarray(y, np.float64), np.asarray(at, np.float64)
    width = np.diff(x)
    slope = np.diff(y) / width
    tangent = _tangents(width, slope)
    k = np.clip(np.searchsorted(x, at, side="right") - 1, 0, len(width) - 1)
    t = at - x[k]
    bend = (tangent[k] + tangent[k + 1] - 2 * slope[k]) / width[k]
    return np.asarray(y[k] + t * (tangent[k] + t * ((slope[k] - tangent[k]) / width[k] - bend + t * bend / width[k])))


def _tangents(width: Array, slope: Array) -> Array:
    """Return the slopes at the points: harmonic means, 0 where the curve turns.  # (N - 1,) twice -> (N,)"""
    if len(width) == 1:
        return np.array([slope[0], slope[0]])
    out = np.zeros(len(width) + 1)
    rising = slope[:-1] * slope[1:] > 0
    near, far = 2 * width[1:] + width[:-1], width[1:] + 2 * width[:-1]
    with np.errstate(divide="ignore", invalid="ignore"):
        mean = (near + far) / (near / slope[:-1] + far / slope[1:])
    out[1:-1][rising] = mean[rising]
    out[0] = _end_tangent(width[0], width[1], slope[0], slope[1])
    out[-1] = _end_tangent(width[-1], width[-2], slope[-1], slope[-2])
    return out


def _end_tangent(width: float, next_width: float, slope: float, next_slope: float) -> float:
    """Return the slope at an end, from the parabola through three points, limited as in the inside."""
    tangent = ((2 * width + next_width) * slope - width * next_slope) / (width + next_width)
    if tangent * slope <= 0:
        return 0.0
    return 3 * slope if slope * next_slope <= 0 and abs(tangent) > 3 * abs(slope) else tangent


def smoothed(curve: Array, sigma: float, border: int = cv2.BORDER_REFLECT) -> Array:
    """Return samples averaged by a Gaussian, cut at four sigma.  # (N,)

    Args:
        sigma: in samples.
        border: one of OpenCV's ways to go on beyond the ends.
    """
    size = 2 * int(4 * sigma + 0.5) + 1
    return np.asarray(cv2.GaussianBlur(curve[None], (size, 1), sigma, borderType=border)[0])


def running_rank(curve: Array, size: int, percent: float, border: Any = "symmetric") -> Array:
    """Return what that share of the samples in a window around each does not exceed; 50 is the median.  # (N,)

    Args:
        size: samples of the window, odd.
        border: one of numpy's ways to pad beyond the ends.
    """
    windows = np.lib.stride_tricks.sliding_window_view(np.pad(curve, size // 2, mode=border), size)
    rank = int(size * percent / 100)
    return np.asarray(np.partition(windows, rank, axis=-1)[..., rank])
