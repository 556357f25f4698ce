"""Lips that are shut on a fitted head, by its own measure of the gap; free of phones and engines."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from studio.domain.expression import INDEX, MOUTH_INDEX
from studio.domain.performance import MouthResponse

FloatArray = NDArray[np.float32]

PRESS_MM = 0.7
"""Lips are pressed a little beyond touching."""
_MOST_CLOSE_OVER_JAW = 0.2
_CLOSED_JAW = 0.15
WEAKEST_MM = 5.0
"""A shape that moves the lips less than this at full weight is no help."""

_OPENERS = tuple(
    INDEX[n] for n in ("mouthUpperUpLeft", "mouthUpperUpRight", "mouthLowerDownLeft", "mouthLowerDownRight",
                       "mouthShrugUpper", "mouthFunnel")
)  # fmt: skip


def absolute(weights: FloatArray, own_mouth: FloatArray, mouth: MouthResponse) -> FloatArray:
    """Return the weights the engine will draw: the photo's own, reduced, plus the offsets.  # (T, 52)"""
    own = np.repeat(np.asarray(mouth.own, np.float32)[None], len(weights), 0)
    own[:, MOUTH_INDEX] *= own_mouth[:, None]
    return np.asarray(np.clip(own + weights, 0, 1), np.float32)


def lip_gap_mm(weights: FloatArray, own_mouth: FloatArray, mouth: MouthResponse) -> FloatArray:
    """Return the lip gap of a performance on a head; negative = pressed.  # (T,)"""
    return mouth.gap_mm + absolute(weights, own_mouth, mouth) @ mouth.gap_per_weight_mm


def shut(out: FloatArray, own_mouth: FloatArray, seal: FloatArray, mouth: MouthResponse) -> None:
    """Bring the lips together, in place: openers back, jaw up, a little roll, and mouthClose for what is left.

    On the slopes the gap itself runs in proportion to `seal`; the shapes that
    would hurry it come in late (with the square), or vowels between two
    bilabials would close as well.

    Args:
        out: offsets.  # (T, 52)
        own_mouth: share of the photo's own mouth kept.  # (T,)
        seal: 0 free .. 1 shut.  # (T,)
        mouth: the head.
    """
    jaw, close = INDEX["jawOpen"], INDEX["mouthClose"]
    wanted = (1 - seal) * lip_gap_mm(out, own_mouth, mouth) - seal * PRESS_MM
    late = seal * seal
    out[:, _OPENERS] *= (1 - 0.85 * late)[:, None]
    out[:, jaw] += late * (np.minimum(out[:, jaw], _CLOSED_JAW) - out[:, jaw])
    for name in ("mouthRollLower", "mouthRollUpper"):
        out[:, INDEX[name]] = np.maximum(out[:, INDEX[name]], 0.12 * late)
    power = -float(mouth.gap_per_weight_mm[close])
    if power > WEAKEST_MM:
        missing = np.maximum(lip_gap_mm(out, own_mouth, mouth) - wanted, 0) * (seal > 0)
        limit = np.maximum(absolute(out, own_mouth, mouth)[:, jaw] + _MOST_CLOSE_OVER_JAW - out[:, close], 0)
        out[:, close] += np.minimum(missing / power, limit)
    opening = float(mouth.gap_per_weight_mm[jaw])
    if opening > WEAKEST_MM:
        left = np.maximum(lip_gap_mm(out, own_mouth, mouth), 0) * (seal >= 1) / opening
        out[:, jaw] = np.maximum(out[:, jaw] - left, 0)
