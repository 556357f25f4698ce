"""What a face does besides speaking: blinks, glances, brows, the mouth's corners, breath.

Each is a layer with its own random stream, so that switching one off leaves
the others exactly as they were. Times follow the speech where people's do:
blinks wait for pauses, brows rise on accents, breath is drawn between phrases.
Figures: docs/talking_mouth.md. The head has its own module.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from studio.domain.easing import smoothstep
from studio.domain.expression import ARKIT_NAMES, INDEX
from studio.domain.gaze import gaze_weights
from studio.domain.performance import MouthResponse
from studio.domain.speech import SILENCE, Phone
from studio.engines.voice.melody import Melody
from studio.engines.voice.prosody import TICKS_HZ

FloatArray = NDArray[np.float32]

_MOST_LOOK = 0.7
_EYES_ON_VIEWER = 0.8  # share of a head turn that the eyes undo to stay on the viewer
# Of seconds between blinks: 45 a minute with doubles while speaking, the middle of public speakers' 30 to 75
# (docs/talking_mouth.md); in silence the intervals are longer by this factor.
_BLINK_LOG_MEAN, _BLINK_LOG_SD = 0.20, 0.58
_REST_FACTOR = 1.7
_BLINK_CLOSE, _BLINK_HOLD, _BLINK_OPEN = 0.085, 0.025, 0.18
_DOUBLE_BLINKS = 0.12
_PAUSE_SNAP_SECONDS = 0.5


def blinks(
    phones: Sequence[Phone],
    face: FloatArray,
    mouth: MouthResponse,
    frame_rate_hz: float,
    amount: float,
    rng: np.random.Generator,
) -> FloatArray:
    """Return offsets that blink.

    Args:
        phones: of the sound; pauses attract blinks.
        face: offsets of the other layers.  # (T, 52)
        mouth: where this head's lids meet.
        frame_rate_hz: rows per second.
        amount: factor on the rate, 0..2.
        rng: the layer's own random stream.

    Returns:
        Offsets of the two eyeBlink weights.  # (T, 52)
    """
    frames = len(face)
    out = np.zeros((frames, len(ARKIT_NAMES)), np.float32)
    if amount <= 0:
        return out
    times = _blink_times(phones, frames / frame_rate_hz, amount, rng)
    at = np.arange(frames) / frame_rate_hz
    for side, name in enumerate(("Left", "Right")):
        lag = rng.uniform(0, 0.008) * side
        shut = np.zeros(frames, np.float32)
        for time in times:
            first = max(0, int((time - 0.1) * frame_rate_hz))
            last = min(frames, int((time + 0.35) * frame_rate_hz) + 2)
            shut[first:last] = np.maximum(shut[first:last], _lid((at[first:last] - time - lag).astype(np.float32)))
            nearest = round((time + lag + _BLINK_HOLD / 2) * frame_rate_hz)
            if 0 <= nearest < frames:
                shut[nearest] = 1.0  # the lids meet in a frame, not between two
        blink = INDEX["eyeBlink" + name]
        base = mouth.own[blink] + face[:, blink]
        out[:, blink] = shut * np.clip(1 - base, 0, 1)
    return out


def _blink_times(phones: Sequence[Phone], duration: float, amount: float, rng: np.random.Generator) -> list[float]:
    """Return when the lids are first shut."""
    pauses = [(p.start, p.end) for p in phones if p.label == SILENCE and p.end - p.start >= 0.15]
    out: list[float] = []
    time = float(rng.uniform(0.5, 2.0)) / amount
    while time < duration - 0.25:
        near = [max(a + 0.05, min(time, b)) for a, b in pauses if a - _PAUSE_SNAP_SECONDS < time < b + 0.2]
        snapped = min(near, key=lambda t: abs(t - time)) if near else time
        if not out or snapped - out[-1] > 0.35:
            out.append(snapped)
            if rng.random() < _DOUBLE_BLINKS:
                out.append(snapped + float(rng.uniform(0.32, 0.45)))
        resting = any(a + 1.0 < time < b for a, b in pauses)
        wait = float(np.clip(rng.lognormal(_BLINK_LOG_MEAN, _BLINK_LOG_SD), 0.5, 12))
        time += wait * (_REST_FACTOR if resting else 1.0) / amount
    return [t for t in out if t < duration - 0.2]


def _lid(t: FloatArray) -> FloatArray:
    """Return how far a lid is shut `t` seconds after contact: down in 85 ms, shut for 25, up in 180.  # (T,)"""
    down = smoothstep((t + _BLINK_CLOSE) / _BLINK_CLOSE)
    up = 1 - smoothstep((t - _BLINK_HOLD) / _BLINK_OPEN)
    return np.minimum(down, up).astype(np.float32)


def gaze(head_degrees: FloatArray, frame_rate_hz: float, amount: float, rng: np.random.Generator) -> FloatArray:
    """Return offsets that look: mostly at the viewer, with glances away and small fixational jumps.

    The eyes undo most of the head's turning, as the vestibular reflex does; this
    part goes with the head, whatever the amount of glances.

    Args:
        head_degrees: yaw, pitch, roll.  # (T, 3)
        frame_rate_hz: rows per second.
        amount: factor on glances, 0..2; at 0 the eyes rest as in the photo.
        rng: the layer's own random stream.

    Returns:
        Offsets of the eight eyeLook weights.  # (T, 52)
    """
    frames = len(head_degrees)
    out = np.zeros((frames, len(ARKIT_NAMES)), np.float32)
    if amount <= 0:
        return out
    duration = frames / frame_rate_hz
    sight = np.zeros((frames, 2))
    at = np.arange(frames) / frame_rate_hz
    here = np.zeros(2)
    time, away = float(rng.exponential(1.5)) + 0.8, True
    while time < duration:
        there = _glance(rng, amount) if away else np.zeros(2)
        end = time + (min(float(rng.exponential(0.8)) + 0.25, 2.5) if away else float(rng.exponential(2.2)) + 0.9)
        here = _jump(sight, at, time, here, there)
        time += float(rng.uniform(0.5, 1.0))
        while time < end:  # fixational jumps of up to half a degree, one or two a second
            here = _jump(sight, at, time, here, there + amount * rng.normal(0, 0.25, 2))
            time += float(rng.uniform(0.5, 1.0))
        away = not away
        time = max(time, end)
    looks = sight - _EYES_ON_VIEWER * np.minimum(amount, 1) * head_degrees[:, :2]
    for column, values in gaze_weights(looks, _MOST_LOOK):
        out[:, column] = values
    return out


def _glance(rng: np.random.Generator, amount: float) -> NDArray[np.float64]:
    """Return where a glance away from the viewer goes, in degrees: more often sideways than up or down."""
    size = min(-6.9 * float(np.log(rng.uniform(0.12, 0.7))), 12.0) * amount
    angle = rng.choice([0.0, np.pi]) + rng.normal(0, 0.5)
    return np.array([size * np.cos(angle), 0.7 * size * np.sin(angle)])


def _jump(
    sight: NDArray[np.float64],
    at: NDArray[np.float64],
    time: float,
    here: NDArray[np.float64],
    there: NDArray[np.float64],
) -> NDArray[np.float64]:
    """Write a saccade from `time` on: 25 ms and 2.4 ms per degree."""
    length = 0.025 + 0.0024 * float(np.hypot(*(there - here)))
    first = int(np.searchsorted(at, time))
    share = smoothstep((at[first:] - time) / length)[:, None]
    sight[first:] = here + share * (there - here)
    return there


def brows(voice: Melody, frames: int, frame_rate_hz: float, amount: float, rng: np.random.Generator) -> FloatArray:
    """Return offsets of the brows: flashes on accents, a level per phrase, a frown now and then, idle drift.

    Half of the accents flash (120 ms up, 80 held, 220 down) as high as they are
    strong; the tune lifts the brows along; every second phrase has a raised or
    knit brow of its own.  # (T, 52)
    """
    out = np.zeros((frames, len(ARKIT_NAMES)), np.float32)
    at = np.arange(frames) / frame_rate_hz
    lift, knit = np.zeros(frames), np.zeros(frames)
    for accent in voice.accents:
        height = float(rng.uniform(0.22, 0.62)) * (0.6 + 0.6 * accent.strength) if rng.random() < 0.5 else 0.0
        since = at - accent.seconds
        bump = np.minimum(smoothstep((since + 0.18) / 0.14), 1 - smoothstep((since - 0.06) / 0.26))
        lift = np.maximum(lift, height * bump)
    for start, end in voice.phrases:
        mood, height = rng.random(), float(rng.uniform(0.10, 0.34))
        held = np.minimum(smoothstep((at - start + 0.3) / 0.5), 1 - smoothstep((at - end) / 0.6))
        lift += (height * held) * (mood < 0.35)
        knit += (height * held) * (mood > 0.75)
    tune = np.interp(at, np.arange(len(voice.tune)) / TICKS_HZ, voice.tune)
    lift += 0.07 * np.maximum(tune, 0) + 0.025 * (1 + _wander(at, rng))
    knit += 0.04 * np.maximum(-tune, 0)
    out[:, INDEX["browInnerUp"]] = 0.8 * amount * lift * (1 - np.minimum(knit, 1))
    for side in ("Left", "Right"):
        share = float(rng.uniform(0.8, 1.2)) * (1 + 0.25 * _wander(at, rng))
        out[:, INDEX["browOuterUp" + side]] = amount * lift * share
        out[:, INDEX["browDown" + side]] = amount * knit
    return np.clip(out, 0, 0.9)


def corners(
    voice: Melody, activity: FloatArray, frame_rate_hz: float, amount: float, rng: np.random.Generator
) -> FloatArray:
    """Return offsets of the mouth's corners that no phone asks for.

    Some phrases are said with a smile, more on one side than on the other; in
    silence the corners drift a little, without parting the lips.

    Args:
        voice: its phrases.
        activity: 0 silent .. 1 speaking, with slopes.  # (T,)
        frame_rate_hz: rows per second.
        amount: factor, 0..2.
        rng: the layer's own random stream.

    Returns:
        Offsets.  # (T, 52)
    """
    frames = len(activity)
    out = np.zeros((frames, len(ARKIT_NAMES)), np.float32)
    at = np.arange(frames) / frame_rate_hz
    smile = np.zeros(frames)
    for start, end in voice.phrases:
        height = float(rng.uniform(0.06, 0.20)) * (rng.random() < 0.4)
        held = np.minimum(smoothstep((at - start + 0.2) / 0.5), 1 - smoothstep((at - end + 0.1) / 0.7))
        smile = np.maximum(smile, height * held)
    smile *= activity
    quiet = 1 - activity
    for side in ("Left", "Right"):
        share = float(rng.uniform(0.85, 1.15))
        drift = 0.5 * (1 + _wander(at, rng))
        out[:, INDEX["mouthSmile" + side]] = amount * (share * smile + 0.05 * quiet * drift)
        out[:, INDEX["mouthDimple" + side]] = amount * (0.3 * share * smile + 0.06 * quiet * _wander(at, rng))
    return np.clip(out, 0, 0.5)


def _wander(at: NDArray[np.float64], rng: np.random.Generator) -> NDArray[np.float64]:
    """Return slow noise between -1 and 1: four waves of 3 to 20 s.  # (T,)"""
    rates, phases = rng.uniform(0.05, 0.3, 4), rng.uniform(0, 2 * np.pi, 4)
    return np.asarray(np.mean(np.sin(2 * np.pi * rates * at[:, None] + phases), axis=1))


def breath(
    phones: Sequence[Phone], frames: int, frame_rate_hz: float, amount: float, rng: np.random.Generator
) -> FloatArray:
    """Return chest lift: drawn in pauses of speech, every 3.5 to 5 s in silence, let out slowly.  # (T,) -1..1"""
    duration = frames / frame_rate_hz
    draws: list[tuple[float, float]] = []
    for phone in phones:
        length = phone.end - phone.start
        if phone.label != SILENCE or length < 0.25:
            continue
        time = phone.end - min(length, 0.9)
        if phone.end >= duration - 1e-6:
            time = phone.start + 0.8
        first = draws[-1][0] + 1.8 if draws else -9.0
        if length > 4:
            draws += [(t, 1.2) for t in np.arange(phone.start + 1.0, phone.end - 2.0, rng.uniform(3.5, 5.0))]
        if time > first and time < duration:
            draws.append((time, float(np.clip(length, 0.3, 0.9))))
    level, out, at = -0.3, np.full(frames, -0.3, np.float64), np.arange(frames) / frame_rate_hz
    for start, length in sorted(draws):
        first = int(np.searchsorted(at, start))
        if first >= frames:
            continue
        level = float(out[first])
        rise = level + (0.9 - level) * smoothstep((at[first:] - start) / length)
        fall = -0.5 + 1.4 * np.exp(-np.maximum(at[first:] - start - length, 0) / 2.2)
        out[first:] = np.where(at[first:] < start + length, rise, fall)
    return np.clip(amount * out, -1, 1).astype(np.float32)
