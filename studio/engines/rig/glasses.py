"""Glasses in front of one eye: what of the photo stays where it is when the lids move.

A frame is a strong thin line that runs past both corners of the eye, above or below it. It is found as the best
path through the photo's fine detail and must be strong nearly everywhere; brows, creases and lashes are not. What a
lens reflects lies on the skin as added light: it is taken off before the lid is taken apart, and put back on top of
what is drawn. Reflections over the opening itself cannot be told from the eye's own and go with it. This module does
not know the rest of the face.
"""

from __future__ import annotations

import cv2
import numpy as np

from studio.engines.rig.eye_frame import LUMA, EyeFrame, FloatArray, band, best_path

_GLARE_FLOOR = 30.0  # levels above the skin at which light becomes a reflection
_CLEAR = 32.0  # levels of detail that all but an eighth of a frame's line exceed (measured on 36 faces)


def frame_mask(eye: EyeFrame) -> FloatArray:
    """Return how much each pixel belongs to a frame of glasses, 0..1.  # (h, w)"""
    columns, rows = 120, 90
    u, v = np.meshgrid(
        np.linspace(-0.32, 1.32, columns, dtype=np.float32), np.linspace(-0.42, 0.42, rows, dtype=np.float32)
    )
    gray = (eye.photo @ LUMA).astype(np.float32)
    detail = np.abs(gray - cv2.GaussianBlur(gray, (0, 0), 0.05 * eye.length))
    beside = (u < 0) | (u > 1)
    free = (v > eye.at(eye.brow, u) + 0.04) & (
        beside | (v < eye.at(eye.upper, u) - 0.03) | (v > eye.at(eye.lower, u) + 0.02)
    )
    gain = np.minimum(eye.sample(detail, u, v), 60) * free
    path = best_path(gain.astype(np.float32), 40.0)
    if np.percentile(gain[path, np.arange(columns)], 12) <= _CLEAR:
        return np.zeros(eye.u.shape, np.float32)
    away = np.abs(eye.v - np.interp(eye.u, u[0], v[path, 0], -9, -9))
    thin = band(away, 0.045, 0.02) * band(detail, 4, 12)
    # A thick frame is as wide as its own color goes.
    color = _frame_color(eye, u[0], v[path, 0])
    thick = band(away, 0.18, 0.13) * band(np.abs(eye.photo - color).max(2), 70, 35)
    return np.asarray(cv2.GaussianBlur(np.maximum(thin, thick), (0, 0), 0.8), np.float32)


def _frame_color(eye: EyeFrame, u: FloatArray, v: FloatArray) -> FloatArray:
    """Return the color along a line, or right beside it, that is least like the skin."""
    beside = v[None] + np.linspace(-0.06, 0.06, 7, dtype=np.float32)[:, None]
    colors = np.median(eye.sample(eye.photo, np.broadcast_to(u[None], beside.shape), beside), axis=1)
    unlike = np.abs(colors - np.median(eye.photo, axis=(0, 1))).sum(1)
    return np.asarray(colors[int(unlike.argmax())], np.float32)


def lens_glare(eye: EyeFrame, frame: FloatArray, plate: FloatArray) -> FloatArray:
    """Return the light that a lens adds around the eye; none without a frame.

    Args:
        eye: where the eye is.
        frame: its frame of glasses, see `frame_mask`.  # (h, w)
        plate: the skin below.  # (h, w, 3)

    Returns:
        RGB to be taken off the photo.  # (h, w, 3)
    """
    if not frame.any():
        return np.zeros_like(eye.photo)
    above, below = eye.at(eye.upper) - eye.v, eye.v - eye.at(eye.lower)
    outside = np.maximum(band(np.maximum(above, below), 0.015, 0.05), band(np.abs(eye.u - 0.5), 0.53, 0.58))
    bright = band((eye.photo - plate) @ LUMA, _GLARE_FLOOR, 2 * _GLARE_FLOOR)
    share = cv2.GaussianBlur((bright * outside * (1 - frame)).astype(np.float32), (0, 0), 0.7)
    return np.asarray(np.maximum(eye.photo - plate, 0) * share[..., None], np.float32)
