"""A sound as a plane of numbers that can carry a mark: how loud each tone is at each moment."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from studio.engines.base import Sound
from studio.engines.media.watermark_tile import TILE, Plane, flattened

_SOUND_HZ, _WINDOW, _HOP = 16_000, 512, 64
SOUND_DECIBELS = 1.0
"""How far the loudness of a sound is changed, standard deviation."""
_HEARD_DECIBELS = 65.0
"""What is so much quieter than the loudest is not looked at."""


def changed(sound: Sound, pattern_of: Callable[[int], Plane]) -> Sound:
    """Return a sound whose loudness follows a pattern, from tone to tone and moment to moment.

    Args:
        pattern_of: number of moments -> pattern, standard deviation 1.  # (TILE, T)
    """
    from scipy.signal import istft

    samples = resampled(sound.samples, sound.rate_hz, _SOUND_HZ)
    spectrum = _tones(samples)
    spectrum[:TILE] *= 10 ** (SOUND_DECIBELS * pattern_of(spectrum.shape[1]) / 20)
    marked = istft(spectrum, _SOUND_HZ, nperseg=_WINDOW, noverlap=_WINDOW - _HOP)[1][: len(samples)]
    change = resampled(marked - samples, _SOUND_HZ, sound.rate_hz)[: len(sound.samples)]
    out = sound.samples.copy()
    out[: len(change)] += change
    return replace(sound, samples=np.clip(out, -1.0, 1.0).astype(np.float32))


def heard(sound: Sound) -> Plane | None:
    """Return the plane in which a sound's marks are looked for; None where there is too little.  # (TILE, T)"""
    import cv2

    samples = resampled(sound.samples, sound.rate_hz, _SOUND_HZ)
    if len(samples) < _WINDOW or not samples.any():
        return None
    loudness = np.abs(_tones(samples)[:TILE])
    levels = (20 * np.log10(loudness + loudness.max() * 1e-5)).astype(np.float32)
    around = cv2.GaussianBlur(levels, (0, 0), 6.0)  # what is too quiet has kept no mark
    return np.asarray(flattened(levels) * np.clip((around - around.max() + _HEARD_DECIBELS) / 15, 0, 1), np.float32)


def _tones(samples: NDArray[np.float32]) -> NDArray[np.complex64]:
    """Return the short-time spectrum of a sound of 16 kHz.  # (257, T)"""
    from scipy.signal import stft

    return np.asarray(stft(samples, _SOUND_HZ, nperseg=_WINDOW, noverlap=_WINDOW - _HOP)[2], np.complex64)


def resampled(samples: NDArray[np.float32], rate_hz: int, wanted_hz: int) -> NDArray[np.float32]:
    """Return a sound at another rate.  # (N,)"""
    from scipy.signal import resample_poly

    if rate_hz == wanted_hz:
        return samples
    common = math.gcd(rate_hz, wanted_hz)
    return np.asarray(resample_poly(samples, wanted_hz // common, rate_hz // common), np.float32)
