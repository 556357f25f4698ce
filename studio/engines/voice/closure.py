"""Lips that must meet do meet: the hard pass for P, B, M and for F, V.

It runs last, after smoothing, emotion and every amount, because any of them
opens a closure again (docs/talking_mouth.md: 7 of 29 closures survive
without it, 29 of 29 with it). The gap is computed on the head that will be
shown, with what is left of the photo's own mouth. Where no blendshape can
close a head, `lip_seal` asks the engine to.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from studio.domain.easing import smoothstep
from studio.domain.expression import INDEX
from studio.domain.lip_closure import absolute, shut
from studio.domain.performance import MouthResponse
from studio.domain.speech import Phone
from studio.engines.voice.shapes import BILABIALS, LABIODENTALS

FloatArray = NDArray[np.float32]

# Real closures begin 20 ms before the phone and end 5 ms after it, 95 ms in all (IQR 72..125), with slopes of 25 ms
# from half-way (docs/talking_mouth.md, 67 closures).
_EARLY_SECONDS = 0.005
_SHORTEST_SECONDS = 0.045
_LONGEST_SECONDS = 0.07
_HELD_SHARE = {"P": 0.6, "B": 0.6, "M": 0.75}  # the rest of a stop is its burst, with open lips
_CLOSE_SECONDS = 0.075
_RELEASE_SECONDS = 0.065
_JOIN_SECONDS = 0.05
_TOUCH_SECONDS = 0.06
_UNTOUCH_SECONDS = 0.05


@dataclass(frozen=True)
class Hold:
    """A stretch in which the lips must be together; seconds."""

    start: float
    end: float


def bilabial_holds(phones: Sequence[Phone]) -> tuple[Hold, ...]:
    """Return when the lips are shut for P, B and M; neighbors closer than 50 ms are joined."""
    out: list[Hold] = []
    for phone in phones:
        if phone.label not in BILABIALS:
            continue
        start = phone.start - _EARLY_SECONDS
        end = phone.start + float(
            np.clip(_HELD_SHARE[phone.label] * (phone.end - phone.start), _SHORTEST_SECONDS, _LONGEST_SECONDS)
        )
        if out and start - out[-1].end < _JOIN_SECONDS:
            out[-1] = Hold(out[-1].start, max(end, out[-1].end))
        else:
            out.append(Hold(start, end))
    return tuple(out)


def labiodental_holds(phones: Sequence[Phone]) -> tuple[Hold, ...]:
    """Return when the lower lip touches the upper teeth for F and V."""
    return tuple(Hold(p.start, p.end) for p in phones if p.label in LABIODENTALS)


def envelope(holds: Sequence[Hold], frames: int, frame_rate_hz: float, ramp_in: float, ramp_out: float) -> FloatArray:
    """Sample smooth ramps around holds; every hold reaches 1 in at least one frame.

    At 24 frames per second a 40 ms hold can fall between two frames; its nearest
    frame then takes the hold's full value.

    Returns:
        0 free .. 1 held.  # (T,)
    """
    out = np.zeros(frames, np.float32)
    for hold in holds:
        first = max(0, int((hold.start - ramp_in) * frame_rate_hz))
        last = min(frames, int((hold.end + ramp_out) * frame_rate_hz) + 2)
        if first >= last:
            continue
        at = np.arange(first, last) / frame_rate_hz
        rise = smoothstep((at - hold.start + ramp_in) / ramp_in)
        fall = 1 - smoothstep((at - hold.end) / ramp_out)
        out[first:last] = np.maximum(out[first:last], np.minimum(rise, fall))
        nearest = round((hold.start + hold.end) / 2 * frame_rate_hz)
        if 0 <= nearest < frames:
            out[nearest] = 1.0
    return out


def seal_envelope(phones: Sequence[Phone], frames: int, frame_rate_hz: float) -> FloatArray:
    """Return the closure curve of P, B and M.  # (T,)"""
    return envelope(bilabial_holds(phones), frames, frame_rate_hz, _CLOSE_SECONDS, _RELEASE_SECONDS)


def touch_envelope(phones: Sequence[Phone], frames: int, frame_rate_hz: float) -> FloatArray:
    """Return the lip-to-teeth curve of F and V.  # (T,)"""
    return envelope(labiodental_holds(phones), frames, frame_rate_hz, _TOUCH_SECONDS, _UNTOUCH_SECONDS)


def lower_lip_mm(weights: FloatArray, own_mouth: FloatArray, mouth: MouthResponse) -> FloatArray:
    """Return the height of the lower lip above the upper incisors' edge.  # (T,)"""
    return mouth.lower_lip_mm + absolute(weights, own_mouth, mouth) @ mouth.lower_lip_per_weight_mm


def enforce(
    weights: FloatArray, own_mouth: FloatArray, seal: FloatArray, touch: FloatArray, mouth: MouthResponse
) -> FloatArray:
    """Return the weights with lips shut where `seal` says so and on the teeth where `touch` does.

    Args:
        weights: offsets.  # (T, 52)
        own_mouth: share of the photo's own mouth kept.  # (T,)
        seal: P, B, M.  # (T,)
        touch: F, V.  # (T,)
        mouth: the head.
    """
    out = weights.copy()
    touch = touch * (1 - seal)
    _touch_teeth(out, own_mouth, touch, mouth)
    shut(out, own_mouth, seal, mouth)
    return np.clip(out, 0, 1)


def _touch_teeth(out: FloatArray, own_mouth: FloatArray, touch: FloatArray, mouth: MouthResponse) -> None:
    """Bring the lower lip up to the upper teeth: by its own shapes, then the jaw, then mouthClose."""
    out[:, INDEX["mouthRollLower"]] = np.maximum(out[:, INDEX["mouthRollLower"]], 0.5 * touch)
    out[:, INDEX["mouthShrugUpper"]] = np.maximum(out[:, INDEX["mouthShrugUpper"]], 0.3 * touch)
    out[:, INDEX["mouthFunnel"]] *= 1 - 0.8 * touch
    for side in ("Left", "Right"):
        out[:, INDEX["mouthLowerDown" + side]] *= 1 - 0.9 * touch
        out[:, INDEX["mouthUpperUp" + side]] = np.maximum(out[:, INDEX["mouthUpperUp" + side]], 0.15 * touch)
    for name, sign in (("jawOpen", -1.0), ("mouthShrugLower", 1.0), ("mouthClose", 1.0)):
        column = INDEX[name]
        lift = sign * float(mouth.lower_lip_per_weight_mm[column])
        if lift < 0.5:
            continue  # on this head the shape does not raise the lip
        missing = np.maximum(-lower_lip_mm(out, own_mouth, mouth), 0) * touch / lift
        room = out[:, column] if sign < 0 else np.maximum(0.3 - out[:, column], 0)
        out[:, column] += sign * np.minimum(missing, room)
