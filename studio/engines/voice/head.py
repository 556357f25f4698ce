"""How the head moves while its owner speaks: drift, nods on accents, new postures after pauses.

Tuned to public speakers (lip_truth.md section 6: SD 2..4 degrees, 8..10 degrees
per second, nearly all power below 2 Hz), a little calmer. Everything is a sum
of smooth curves, so there is no jitter to filter out.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from studio.domain.speech import SILENCE, Phone
from studio.engines.voice.easing import smoothstep
from studio.engines.voice.emotion import Mood

FloatArray = NDArray[np.float32]

_DRIFT_DEGREES = np.array([2.4, 1.8, 1.0])  # yaw, pitch, roll
_POSTURE_DEGREES = np.array([2.0, 1.1, 0.9])
_DRIFT_HZ = (0.10, 0.95)
_REACH_DEGREES = np.array([12.0, 10.0, 8.0])
_QUIET = 0.5  # share of the drift that stays in real silence


def head_motion(
    phones: Sequence[Phone],
    stresses: Sequence[float],
    felt: Mood,
    frames: int,
    frame_rate_hz: float,
    amount: float,
    rng: np.random.Generator,
) -> FloatArray:
    """Return yaw, pitch and roll relative to the photo.

    Args:
        phones: of the sound; pauses of 350 ms and more let the head settle anew.
        stresses: accents in seconds; each gets a nod.
        felt: the mood; it lowers, tilts, calms or hurries the head.
        frames: rows.
        frame_rate_hz: rows per second.
        amount: factor, 0..2; 0 holds the head still.
        rng: the layer's own random stream.

    Returns:
        Degrees; 0 in the first frame.  # (T, 3)
    """
    if amount <= 0:
        return np.zeros((frames, 3), np.float32)
    at = np.arange(frames) / frame_rate_hz
    turn = _drift(at, felt.head_speed, rng) * _liveliness(phones, at)[:, None]
    turn += _postures(phones, at, rng)
    turn[:, 1] += _nods(stresses, at, rng)
    turn = felt.head_gain * turn + felt.head_degrees[None]
    turn *= amount * smoothstep(at / 1.0)[:, None]  # it begins as the photo is
    return np.asarray(_REACH_DEGREES * np.tanh(turn / _REACH_DEGREES), np.float32)


def _drift(at: NDArray[np.float64], speed: float, rng: np.random.Generator) -> NDArray[np.float64]:
    """Return slow noise: waves between 0.10 and 0.95 Hz with falling strength.  # (T, 3)"""
    out = np.zeros((len(at), 3))
    for axis in range(3):
        rates = np.exp(rng.uniform(np.log(_DRIFT_HZ[0]), np.log(_DRIFT_HZ[1]), 14)) * speed
        heights = rates**-0.45
        heights *= _DRIFT_DEGREES[axis] / np.sqrt((heights**2).sum() / 2)
        for rate, height, phase in zip(rates, heights, rng.uniform(0, 2 * np.pi, 14), strict=True):
            out[:, axis] += height * np.sin(2 * np.pi * rate * at + phase)
    return out


def _liveliness(phones: Sequence[Phone], at: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return 1 in speech and less in real silence, with slopes of 0.8 s.  # (T,)"""
    out = np.ones(len(at))
    for phone in phones:
        if phone.label == SILENCE and phone.end - phone.start > 1.5:
            calm = np.minimum(smoothstep((at - phone.start) / 0.8), 1 - smoothstep((at - phone.end + 0.8) / 0.8))
            out = np.minimum(out, 1 - (1 - _QUIET) * calm)
    return out


def _postures(phones: Sequence[Phone], at: NDArray[np.float64], rng: np.random.Generator) -> NDArray[np.float64]:
    """Return a new resting direction after every pause of 350 ms, reached in 0.8 s.  # (T, 3)"""
    out = np.zeros((len(at), 3))
    here = np.zeros(3)
    for phone in phones:
        if phone.label != SILENCE or phone.end - phone.start < 0.35:
            continue
        there = rng.normal(0, _POSTURE_DEGREES)
        start = (phone.start + phone.end) / 2 - 0.3
        first = int(np.searchsorted(at, start))
        out[first:] = here + smoothstep((at[first:] - start) / 0.8)[:, None] * (there - here)
        here = there
    return out


def _nods(stresses: Sequence[float], at: NDArray[np.float64], rng: np.random.Generator) -> NDArray[np.float64]:
    """Return pitch of nods: down from 80 ms before the accent, 200 ms there and 350 back.  # (T,)"""
    out = np.zeros(len(at))
    for time in stresses:
        depth = float(rng.uniform(1.0, 3.2))
        start = time - 0.08
        bump = np.minimum(smoothstep((at - start) / 0.20), 1 - smoothstep((at - start - 0.20) / 0.35))
        out -= depth * bump
    return out
