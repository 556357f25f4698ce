"""Glasses in front of one eye: what of the photo stays where it is when the lids move.

A frame is a strong thin line that runs past both corners of the eye, above or below it. It is found as the best
path through the photo's fine detail and must be strong nearly everywhere; brows, creases and lashes are not. This
module does not know the rest of the face.
"""

from __future__ import annotations

import cv2
import numpy as np

from studio.engines.rig.eye_frame import LUMA, EyeFrame, FloatArray, band, best_path

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
    line = np.interp(eye.u, u[0], v[path, 0], -9, -9)
    near = band(np.abs(eye.v - line), 0.045, 0.02) * band(detail, 4, 12)
    return np.asarray(cv2.GaussianBlur(near, (0, 0), 0.8), np.float32)
