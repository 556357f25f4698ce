"""How the head moves while its owner speaks: strokes on accents, sway with the voice, slow drift.

Tuned to public speakers (docs/talking_mouth.md: SD 2..4 degrees, 8..10 degrees
per second, nearly all power below 2 Hz). When the head moves is heard in the
sound: it turns to a new direction shortly before an accent, nods on it, and
sways with loudness and pitch. Where it turns is drawn by lot. Everything is a
sum of smooth curves, so there is no jitter to filter out.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from studio.domain.easing import smoothstep
from studio.domain.speech import SILENCE, Phone
from studio.engines.voice.emotion import Mood
from studio.engines.voice.melody import Accent, Melody, smooth
from studio.engines.voice.prosody import TICKS_HZ

FloatArray = NDArray[np.float32]
Degrees = NDArray[np.float64]

# yaw, pitch, roll
_DRIFT_DEGREES = np.array([1.1, 1.9, 1.1])
_STROKE_DEGREES = np.array([4.8, 3.1, 1.3])
_LONGEST_STROKE_DEGREES = 7.0
_POSTURE_DEGREES = np.array([2.0, 1.3, 1.0])
_SWAY_BEAT_DEGREES = np.array([3.3, 1.8, 0.8])  # per unit of `Melody.beat`
_SWAY_TUNE_DEGREES = np.array([1.0, 1.2, 0.8])  # per unit of `Melody.tune`
_NOD_DEGREES = (1.0, 3.2)
_ROLL_PER_YAW = -0.18  # a head that turns also tilts
_DRIFT_HZ = (0.07, 0.45)
_REACH_DEGREES = np.array([12.0, 10.0, 8.0])
_QUIET = 0.6  # share of the drift that stays in real silence
_LONGEST_REST_SECONDS = 2.0  # without an accent for so long, the head finds a new direction by itself
_INERTIA_SECONDS = 0.04  # a head weighs five kilograms: where strokes, nods and sway meet, none of them is sudden
_LEAD_SECONDS = 0.12  # a stroke begins before its accent


def head_motion(
    phones: Sequence[Phone],
    voice: Melody,
    felt: Mood,
    frames: int,
    frame_rate_hz: float,
    amount: float,
    rng: np.random.Generator,
) -> FloatArray:
    """Return yaw, pitch and roll relative to the photo.

    Args:
        phones: of the sound; pauses of 350 ms and more let the head settle anew.
        voice: what the head follows.
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
    turn += _strokes(voice.accents, at, rng)
    turn += _sway(voice, at, rng)
    turn = felt.head_gain * turn + felt.head_degrees[None]
    turn = np.stack([smooth(axis, _INERTIA_SECONDS * frame_rate_hz) for axis in turn.T], 1)
    turn = turn * amount * smoothstep(at / 1.0)[:, None]  # it begins as the photo is
    return np.asarray(_REACH_DEGREES * np.tanh(turn / _REACH_DEGREES), np.float32)


def _drift(at: Degrees, speed: float, rng: np.random.Generator) -> Degrees:
    """Return slow noise: waves between 0.07 and 0.45 Hz with falling strength.  # (T, 3)"""
    out = np.zeros((len(at), 3))
    for axis in range(3):
        rates = np.exp(rng.uniform(np.log(_DRIFT_HZ[0]), np.log(_DRIFT_HZ[1]), 10)) * speed
        heights = rates**-0.45
        heights *= _DRIFT_DEGREES[axis] / np.sqrt((heights**2).sum() / 2)
        for rate, height, phase in zip(rates, heights, rng.uniform(0, 2 * np.pi, 10), strict=True):
            out[:, axis] += height * np.sin(2 * np.pi * rate * at + phase)
    return out


def _liveliness(phones: Sequence[Phone], at: Degrees) -> Degrees:
    """Return 1 in speech and less in real silence, with slopes of 0.8 s.  # (T,)"""
    out = np.ones(len(at))
    for phone in phones:
        if phone.label == SILENCE and phone.end - phone.start > 1.5:
            calm = np.minimum(smoothstep((at - phone.start) / 0.8), 1 - smoothstep((at - phone.end + 0.8) / 0.8))
            out = np.minimum(out, 1 - (1 - _QUIET) * calm)
    return out


def _postures(phones: Sequence[Phone], at: Degrees, rng: np.random.Generator) -> Degrees:
    """Return a new resting direction after every pause of 350 ms, reached in 0.8 s.  # (T, 3)"""
    out = np.zeros((len(at), 3))
    here = np.zeros(3)
    for phone in phones:
        if phone.label != SILENCE or phone.end - phone.start < 0.35:
            continue
        there = rng.normal(0, _POSTURE_DEGREES)
        start = (phone.start + phone.end) / 2 - 0.3
        out += smoothstep((at - start) / 0.8)[:, None] * (there - here)
        here = there
    return out


def _strokes(accents: Sequence[Accent], at: Degrees, rng: np.random.Generator) -> Degrees:
    """Return the turns to a new direction before each accent, and the nods on it.  # (T, 3)

    A direction leans against the one before, so that the head works about its
    resting place instead of walking away. Where no accent is heard for two
    seconds the head turns slowly by itself.
    """
    out = np.zeros((len(at), 3))
    here = np.zeros(3)
    for accent, spoken in _with_fillers(accents, float(at[-1]) if len(at) else 0.0, rng):
        weight = 0.65 + 0.6 * accent.strength if spoken else 0.6
        there = -0.3 * here + rng.normal(0, _STROKE_DEGREES) * weight
        there = here + np.clip(there - here, -_LONGEST_STROKE_DEGREES, _LONGEST_STROKE_DEGREES)
        there[2] += _ROLL_PER_YAW * (there[0] - here[0])
        way = float(np.abs(there - here).max())
        length = 0.022 * way + float(rng.uniform(0.26, 0.40) if spoken else rng.uniform(0.8, 1.2))
        start = accent.seconds - _LEAD_SECONDS
        out += smoothstep((at - start) / length)[:, None] * (there - here)
        here = there
        depth = float(rng.uniform(*_NOD_DEGREES)) * weight
        if spoken:
            bump = np.minimum(smoothstep((at - start) / 0.26), 1 - smoothstep((at - start - 0.26) / 0.40))
            out[:, 1] -= depth * bump
    return out


def _with_fillers(accents: Sequence[Accent], end: float, rng: np.random.Generator) -> list[tuple[Accent, bool]]:
    """Return the accents, and turns between them where none is heard for long; True marks a heard one."""
    out: list[tuple[Accent, bool]] = []
    last = 0.0
    for accent in (*accents, Accent(end + _LONGEST_REST_SECONDS, 0.0)):
        while accent.seconds - last > _LONGEST_REST_SECONDS:
            last += float(rng.uniform(1.2, _LONGEST_REST_SECONDS))
            if accent.seconds - last > 0.8 and last < end:
                out.append((Accent(last, 0.0), False))
        if accent.seconds <= end:
            out.append((accent, True))
            last = accent.seconds
    return out


def _sway(voice: Melody, at: Degrees, rng: np.random.Generator) -> Degrees:
    """Return how the head goes along with loudness and pitch: down on beats, up with the tune, to a side by lot.

    The side changes with the phrase.  # (T, 3)
    """
    ticks = np.arange(len(voice.beat)) / TICKS_HZ
    beat, tune = np.interp(at, ticks, voice.beat), np.interp(at, ticks, voice.tune)
    sides = np.ones((len(at), 3, 2))
    sides[:, 1] = (-1.0, 1.0)
    sides[:, ::2] = rng.choice([-1.0, 1.0], (1, 2, 2))
    for start, _ in voice.phrases:
        chosen = rng.choice([-1.0, 1.0], (2, 2)) * rng.uniform(0.5, 1.0, (2, 2))
        share = smoothstep((at - start + 0.2) / 0.4)[:, None, None]
        sides[:, ::2] += share * (chosen - sides[:, ::2])
    return np.asarray(
        sides[:, :, 0] * _SWAY_BEAT_DEGREES * beat[:, None] + sides[:, :, 1] * _SWAY_TUNE_DEGREES * tune[:, None]
    )
