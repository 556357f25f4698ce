"""Several moments seen through one open shutter: their mean in light, not in the numbers of a picture file."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

_STEPS = 4096
"""Shades of light that are told apart on the way back; the darkest step of sRGB is 1.2 of them wide."""


@cache
def _light() -> NDArray[np.float32]:
    """Return the light of each value of an sRGB picture.  # (256,) 0..1"""
    value = np.arange(256) / 255
    return np.where(value <= 0.04045, value / 12.92, ((value + 0.055) / 1.055) ** 2.4).astype(np.float32)


@cache
def _values() -> NDArray[np.uint8]:
    """Return the sRGB value of light.  # (_STEPS + 1,)"""
    light = np.arange(_STEPS + 1) / _STEPS
    value = np.where(light <= 0.0031308, light * 12.92, 1.055 * light ** (1 / 2.4) - 0.055)
    return np.asarray(np.rint(value * 255), np.uint8)


def mean_of(pictures: Iterable[NDArray[np.uint8]]) -> NDArray[np.uint8]:
    """Return the mean of pictures of one size; where all are alike, to the bit, it is what they are.

    Args:
        pictures: RGB, or RGBA with straight alpha, by which colors are weighed.  # (H, W, 3 or 4)

    Raises:
        ValueError: there is none.
    """
    total: Any = None
    first: Any = None
    changed: Any = None
    weight: Any = None
    count = 0
    for picture in pictures:
        light: Any = _light()[picture[..., :3]]
        if picture.shape[2] == 4:
            alpha = picture[..., 3:].astype(np.float32) / 255
            light = light * alpha
            weight = alpha if weight is None else weight + alpha
        if total is None:
            total, first, changed = light, picture, np.zeros(picture.shape[:2], bool)
        else:
            total += light
            changed |= (picture != first).any(2)
        count += 1
    if total is None:
        raise ValueError("no picture")
    out = first.copy()
    mean = total[changed] / (count if weight is None else np.maximum(weight[changed], 1e-6))
    out[changed, :3] = _values()[np.rint(np.clip(mean, 0, 1) * _STEPS).astype(np.intp)]
    if weight is not None:
        out[changed, 3] = np.rint(weight[changed, 0] / count * 255).astype(np.uint8)
    return np.asarray(out, np.uint8)
