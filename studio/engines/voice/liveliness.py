"""What a face does besides speaking: blinks, glances, brows, breath.

Each is a layer with its own random stream, so that switching one off leaves
the others exactly as they were. Times follow the speech where people's do:
blinks wait for pauses, brows rise on accents, breath is drawn between phrases.
Figures: speech_to_face.md section 4.6. The head has its own module.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from studio.domain.expression import ARKIT_NAMES, INDEX
from studio.domain.performance import MouthResponse
from studio.domain.speech import SILENCE, Phone
from studio.engines.voice.easing import smoothstep
from studio.engines.voice.prosody import Prosody

FloatArray = NDArray[np.float32]

GAZE_DEGREES_PER_WEIGHT = 20.0
_EYES_ON_VIEWER = 0.8  # share of a head turn that the eyes undo to stay on the viewer
_BLINK_LOG_MEAN, _BLINK_LOG_SD = 0.80, 0.55  # of seconds between blinks: 25 a minute with doubles, CV .59
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
        face: offsets of the other layers; squint and wide eyes move the point of contact.  # (T, 52)
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
        contact = mouth.blink_contact[side] + face @ contact_shift(name)
        base = mouth.own[blink] + face[:, blink]
        out[:, blink] = shut * np.clip(contact + 0.02 - base, 0, 1)
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
        time += float(np.clip(rng.lognormal(_BLINK_LOG_MEAN, _BLINK_LOG_SD), 0.6, 20)) / amount
    return [t for t in out if t < duration - 0.2]


def _lid(t: FloatArray) -> FloatArray:
    """Return how far a lid is shut `t` seconds after contact: down in 85 ms, shut for 25, up in 180.  # (T,)"""
    down = smoothstep((t + _BLINK_CLOSE) / _BLINK_CLOSE)
    up = 1 - smoothstep((t - _BLINK_HOLD) / _BLINK_OPEN)
    return np.minimum(down, up).astype(np.float32)


def contact_shift(side: str) -> FloatArray:
    """Return by how much other eye weights move the point of contact (speech_to_face.md section 4.1).  # (52,)"""
    out = np.zeros(len(ARKIT_NAMES), np.float32)
    for name, millimetres in (("eyeWide", 3.5), ("eyeSquint", -3.2), ("eyeLookDown", -3.5), ("eyeLookUp", 1.2)):
        out[INDEX[name + side]] = millimetres / 11.7
    return out


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
    x, y = (np.clip(looks / GAZE_DEGREES_PER_WEIGHT, -0.7, 0.7)).T
    for names, value in (
        (("eyeLookOutLeft", "eyeLookInRight"), x), (("eyeLookInLeft", "eyeLookOutRight"), -x),
        (("eyeLookUpLeft", "eyeLookUpRight"), y), (("eyeLookDownLeft", "eyeLookDownRight"), -y),
    ):  # fmt: skip
        for name in names:
            out[:, INDEX[name]] = np.maximum(value, 0)
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


def accents(prosody: Prosody, phones: Sequence[Phone], spacing_seconds: float = 0.8) -> tuple[float, ...]:
    """Return the moments of spoken stress: peaks of loudness on raised pitch, in seconds."""
    speech = np.zeros(len(prosody), bool)
    for phone in phones:
        if phone.label != SILENCE:
            speech[int(phone.start * 100) : int(phone.end * 100)] = True
    voiced = speech & (prosody.pitch_hz > 0)
    if voiced.sum() < 20:
        return ()
    level = np.convolve(prosody.level_db, np.ones(9) / 9, "same")
    tune = np.log(np.maximum(prosody.pitch_hz, 1))
    loud = (level - level[speech].mean()) / (level[speech].std() + 1e-6)
    high = (tune - tune[voiced].mean()) / (tune[voiced].std() + 1e-6)
    strength = np.where(voiced, loud + 0.5 * np.clip(high, -2, 2), -9)
    peaks = np.flatnonzero((strength[1:-1] >= strength[:-2]) & (strength[1:-1] > strength[2:])) + 1
    chosen: list[int] = []
    for tick in sorted((p for p in peaks if strength[p] > 0.7), key=lambda p: -strength[p]):
        if all(abs(tick - other) >= spacing_seconds * 100 for other in chosen):
            chosen.append(int(tick))
    return tuple(t / 100 for t in sorted(chosen))


def brows(
    stresses: Sequence[float], frames: int, frame_rate_hz: float, amount: float, rng: np.random.Generator
) -> FloatArray:
    """Return offsets that raise the brows on about every second accent: 120 ms up, 80 held, 220 down.  # (T, 52)"""
    out = np.zeros((frames, len(ARKIT_NAMES)), np.float32)
    at = np.arange(frames) / frame_rate_hz
    lift = np.zeros(frames, np.float32)
    for time in stresses:
        height = float(rng.uniform(0.10, 0.30)) if rng.random() < 0.55 else 0.0
        bump = np.minimum(smoothstep((at - time + 0.16) / 0.12), 1 - smoothstep((at - time - 0.04) / 0.22))
        lift = np.maximum(lift, height * bump)
    out[:, INDEX["browInnerUp"]] = 0.8 * amount * lift
    for side in ("Left", "Right"):
        out[:, INDEX["browOuterUp" + side]] = amount * lift * float(rng.uniform(0.85, 1.15))
    return out


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
