"""What the layers of a performance come to: motion at any frame rate.

Layers are laid on each other from the lowest up. Speech, curves and idle life
come as motion of their own (`motions`), made for one face or recorded; an
expression and keyframes are worked out here. Emotion over time lies on top.

Last comes what must not be lost: where a layer shuts the lips (P, B, M) or the
lids, nothing that was laid over it opens them again. At such a frame only those
changes stay which do not open the lips of the face that is shown; so the gap is
never wider than the shutting layer alone leaves it.

Every moment is worked out by itself, from its time alone: a part, another
frame rate or one frame for scrubbing give what the whole gives there. Knows
nothing of photos, sounds or files.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from studio.domain.easing import smoothstep
from studio.domain.emotion import CORNERS_WHILE_SPEAKING, EMOTIONS, IS_CORNER, IS_LIP, LIPS_WHILE_SPEAKING
from studio.domain.expression import ARKIT_NAMES, CONTROL, HEAD_NAMES, INDEX
from studio.domain.performance import Performance
from studio.domain.performance_document import (
    DrivingLayer,
    ExpressionLayer,
    KeyframesLayer,
    Layer,
    PerformanceDocument,
    Region,
)
from studio.errors import UserInputError

Array = NDArray[np.float64]

CALM_SECONDS = 10.0
"""So much from the beginning of curves tells the face at rest, so that a preview moves as the clip will."""
_CALM_PERCENT = 10.0
_WHOLE_CLOSURE_AMOUNT = 0.25
"""From this amount on a layer's closures are whole: half a closure is an open mouth."""
_SPEAKING_OWN_MOUTH = 0.25
"""Share of the photo's own mouth that is left where it speaks."""
_BLINK_FROM, _BLINK_WHOLE = 0.5, 0.9
"""A lid this far down counts as blinking, and as shut."""
_CHUNK_FRAMES = 4096

_REGION_OF: tuple[tuple[tuple[str, ...], Region], ...] = (
    (("mouth", "jaw", "cheekPuff", "tongue", "nose"), "mouth"),
    (("eyeLook",), "gaze"),
    (("eye", "cheekSquint"), "eyes"),
    (("brow",), "brows"),
)


def region_of(name: str) -> Region:
    """Return where on the face an ARKit weight counts."""
    return next(region for starts, region in _REGION_OF if name.startswith(starts))


WEIGHTS_IN: dict[str, NDArray[np.bool_]] = {
    region: np.array([region_of(n) == region for n in ARKIT_NAMES])
    for region in ("mouth", "eyes", "brows", "head", "gaze")
}  # (52,)
_MOUTH, _EYES = WEIGHTS_IN["mouth"], WEIGHTS_IN["eyes"]
_BLINKS = [INDEX["eyeBlinkLeft"], INDEX["eyeBlinkRight"]]
_CLOSE = INDEX["mouthClose"]
_WIDES = [INDEX["eyeWideLeft"], INDEX["eyeWideRight"]]


def _usual_gap() -> Array:
    """Return in which direction each weight moves the lips on a usual head: 1 apart, -1 together.  # (52,)"""
    out = np.zeros(len(ARKIT_NAMES))
    for start, sign in (
        ("jawOpen", 1), ("mouthFunnel", 1), ("mouthUpperUp", 1), ("mouthLowerDown", 1), ("mouthStretch", 1),
        ("mouthShrugUpper", 1), ("tongueOut", 1), ("mouthClose", -1), ("mouthSmile", -1), ("mouthRoll", -1),
        ("mouthPress", -1), ("mouthShrugLower", -1), ("mouthFrown", -1), ("mouthPucker", 1),
    ):  # fmt: skip
        for name, i in INDEX.items():
            if name.startswith(start):
                out[i] = sign
    return out


USUAL_GAP = _usual_gap()


@dataclass
class _Sum:
    """What the layers up to now come to, at some moments.

    Attributes:
        seal, blink: how much lips and lids are held shut.  # (T,), (T, 2)
        shut: the weights that shut them; own_shut: the photo's own mouth with those.  # (T, 52), (T,)
    """

    weights: Array
    head: Array
    own_mouth: Array
    breath: Array
    seal: Array
    blink: Array
    shut: Array
    own_shut: Array


@dataclass(frozen=True)
class _Sample:
    """A motion at some moments: `closed` is what it has where it holds the lips shut tightest, near each."""

    weights: Array
    head: Array
    own_mouth: Array
    breath: Array
    seal: Array
    closed: Array
    own_closed: Array


def evaluate(
    document: PerformanceDocument,
    motions: Mapping[str, Performance],
    frame_rate_hz: float,
    *,
    start_seconds: float = 0.0,
    seconds: float | None = None,
    gap_per_weight_mm: NDArray[np.floating] | None = None,
) -> Performance:
    """Return the motion that a document comes to.

    Args:
        document: what to play.
        motions: of each layer of speech, driving and idle that counts, by the layer's id.
        frame_rate_hz: at or above the rate of its motions shared moments are the same at every rate; below it lips
            stay shut in each frame that stands for a closure.
        start_seconds, seconds: part of it; None is to its end.
        gap_per_weight_mm: of the face it is played on (see `MouthResponse`); None is a usual one.  # (52,)

    Raises:
        UserInputError: the part begins behind the end, or a motion is missing.
    """
    if start_seconds >= document.duration_seconds:
        raise UserInputError(
            f"The part starts at {start_seconds:g} s, the performance ends at {document.duration_seconds:.1f} s.",
            "Choose an earlier start.",
        )
    left = document.duration_seconds - start_seconds
    count = max(1, round(min(left, seconds if seconds is not None else left) * frame_rate_hz))
    calm = {one.id: _rest_of(one, motions) for one in document.layers if isinstance(one, DrivingLayer)}
    parts = []
    for first in range(0, count, _CHUNK_FRAMES):
        times = start_seconds + np.arange(first, min(first + _CHUNK_FRAMES, count)) / frame_rate_hz
        parts.append(_at(document, motions, calm, times, 0.5 / frame_rate_hz, gap_per_weight_mm))

    def joined(name: str) -> NDArray[np.float32]:
        return np.concatenate([getattr(p, name) for p in parts]).astype(np.float32)

    return Performance(
        float(frame_rate_hz), joined("weights"), joined("head"), joined("own_mouth"), joined("seal"), joined("breath")
    )


def _at(
    document: PerformanceDocument,
    motions: Mapping[str, Performance],
    calm: Mapping[str, tuple[Array, Array]],
    times: Array,
    half_seconds: float,
    gap_per_weight_mm: NDArray[np.floating] | None,
) -> _Sum:
    """Work out some moments."""
    count, weights = len(times), len(ARKIT_NAMES)
    none = np.zeros(count)
    out = _Sum(
        np.zeros((count, weights)), np.zeros((count, 3)), none + 1, none.copy(), none.copy(), np.zeros((count, 2)),
        np.zeros((count, weights)), none + 1,
    )  # fmt: skip
    for layer in document.layers:
        if not layer.on or layer.amount <= 0:
            continue
        here = _presence(layer, times, document.duration_seconds)
        if not here.any():
            continue
        if isinstance(layer, ExpressionLayer):
            _lay_pose(out, layer, here, *_pose(layer.values, count))
        elif isinstance(layer, KeyframesLayer):
            _lay_pose(out, layer, here, *_keyed(layer, times))
        else:
            name = layer.id
            motion = motions.get(name)
            if motion is None:
                raise UserInputError(f"The motion of the layer {name} is missing.", "Play the whole performance.")
            sample = _sampled(motion, times - getattr(layer, "at_seconds", 0.0), half_seconds)
            _lay_motion(out, layer, here, sample, *calm.get(layer.id, (np.zeros(weights), np.zeros(3))))
    _feel(out, document, times)
    per = USUAL_GAP if gap_per_weight_mm is None else np.asarray(gap_per_weight_mm, np.float64)
    _keep_shut(out, per)
    return out


def _presence(layer: Layer, times: Array, duration: float) -> Array:
    """Return how far a layer has come, 0..1, at some moments."""
    end = duration if layer.end_seconds is None else layer.end_seconds
    last = end if layer.end_seconds is not None else np.inf  # the last frame of the document is part of it
    here = ((times >= layer.start_seconds - 1e-9) & (times < last - 1e-9)).astype(np.float64)
    if layer.ease_in_seconds > 0:
        here *= smoothstep((times - layer.start_seconds) / max(layer.ease_in_seconds, 1e-6))
    if layer.ease_out_seconds > 0:
        here *= smoothstep((end - times) / max(layer.ease_out_seconds, 1e-6))
    return here


# -- layers of motion -------------------------------------------------------------------


def _sampled(motion: Performance, at: Array, half_seconds: float) -> _Sample:
    """Return a motion at some moments of its own; before and after it, its face is at rest."""
    rate = motion.frame_rate_hz
    frame = at * rate
    last = len(motion) - 1
    there = ((frame > -0.5) & (frame < last + 1.0 + 1e-6)).astype(np.float64)
    held = np.clip(frame, 0, last)
    nearest = np.rint(held)
    held = np.where(np.abs(held - nearest) < 1e-6, nearest, held)
    low = np.floor(held).astype(np.intp)
    high = np.minimum(low + 1, last)
    share = held - low

    def between(values: NDArray[np.float32]) -> Array:
        weight = share.reshape(-1, *[1] * (values.ndim - 1))
        return np.asarray(values[low] * (1 - weight) + values[high] * weight, np.float64)

    half = max(0.5, half_seconds * rate) - 1e-9
    first = np.clip(np.ceil(held - half), 0, last).astype(np.intp)
    final = np.maximum(np.clip(np.floor(held + half), 0, last).astype(np.intp), first)
    tightest, best = motion.lip_seal[first].astype(np.float64), first.copy()
    for step in range(1, int((final - first).max(initial=0)) + 1):
        other = np.minimum(first + step, final)
        more = motion.lip_seal[other] > tightest
        tightest, best = np.where(more, motion.lip_seal[other], tightest), np.where(more, other, best)
    both = there[:, None]
    on_frame = share == 0
    kept = np.where((on_frame & (motion.lip_seal[low] >= tightest - 1e-9)), low, best)
    return _Sample(
        between(motion.weights) * both,
        between(motion.head_degrees) * both,
        1 - (1 - between(motion.own_mouth)) * there,
        between(motion.breath) * there,
        tightest * there,
        motion.weights[kept].astype(np.float64),
        motion.own_mouth[kept].astype(np.float64),
    )


def _rest_of(layer: DrivingLayer, motions: Mapping[str, Performance]) -> tuple[Array, Array]:
    """Return weights and head that are taken off curves, so that they begin from a face at rest."""
    motion = motions.get(layer.id)
    if layer.neutral is None or motion is None or not len(motion):
        return np.zeros(len(ARKIT_NAMES)), np.zeros(3)
    if layer.neutral == "calm":
        beginning = slice(0, max(1, round(CALM_SECONDS * motion.frame_rate_hz)))
        low = np.percentile(motion.weights[beginning], _CALM_PERCENT, axis=0)
        return low.astype(np.float64), np.median(motion.head_degrees[beginning], axis=0).astype(np.float64)
    frame = min(round(float(layer.neutral) * motion.frame_rate_hz), len(motion) - 1)
    return motion.weights[frame].astype(np.float64), motion.head_degrees[frame].astype(np.float64)


def _lay_motion(out: _Sum, layer: Layer, here: Array, sample: _Sample, rest: Array, rest_head: Array) -> None:
    """Lay a motion on the sum."""
    amount, regions = layer.amount, set(layer.regions)
    mask = _mask(layer)
    weights = sample.weights - rest
    head = sample.head - rest_head
    if layer.blend == "override":
        share = here * min(amount, 1.0)
        value = max(amount, 1.0)
        out.weights[:, mask] += share[:, None] * (value * weights - out.weights)[:, mask]
        if "head" in regions:
            out.head += share[:, None] * (value * head - out.head)
            out.breath += share * (value * sample.breath - out.breath)
        if "mouth" in regions:
            out.own_mouth += share * (sample.own_mouth - out.own_mouth)
            out.seal *= 1 - share
        if "eyes" in regions:
            out.blink *= (1 - share)[:, None]
    else:
        gain = here * amount
        out.weights[:, mask] += gain[:, None] * weights[:, mask]
        if "head" in regions:
            out.head += gain[:, None] * head
            out.breath += gain * sample.breath
        if "mouth" in regions:
            out.own_mouth *= 1 - np.minimum(gain, 1.0) * (1 - sample.own_mouth)
    held = here * min(1.0, amount / _WHOLE_CLOSURE_AMOUNT)
    if "mouth" in regions:
        seal = sample.seal * held
        tighter = seal > out.seal
        out.seal = np.where(tighter, seal, out.seal)
        out.own_shut = np.where(tighter, sample.own_closed, out.own_shut)
        out.shut[:, _MOUTH] = np.where(tighter[:, None], sample.closed, out.shut)[:, _MOUTH]
    if "eyes" in regions:
        lids = sample.weights[:, _BLINKS]
        blink = smoothstep((lids - _BLINK_FROM) / (_BLINK_WHOLE - _BLINK_FROM)) * held[:, None]
        tighter2 = blink > out.blink
        out.blink = np.where(tighter2, blink, out.blink)
        out.shut[:, _BLINKS] = np.where(tighter2, lids, out.shut[:, _BLINKS])


# -- layers of poses ----------------------------------------------------------------------


def _pose(values: Mapping[str, float], count: int) -> tuple[Array, Array, NDArray[np.bool_], NDArray[np.bool_]]:
    """Return weights, head, and which of them slider values name."""
    curves = {name: np.full(count, float(value)) for name, value in values.items()}
    return _mixed(curves, {name: (value, value) for name, value in values.items()}, count)


def _keyed(layer: KeyframesLayer, times: Array) -> tuple[Array, Array, NDArray[np.bool_], NDArray[np.bool_]]:
    """Return what a layer of keyframes says at some moments."""
    curves, reach = {}, {}
    for control in dict.fromkeys(k.control for k in layer.keys):
        keys = [k for k in layer.keys if k.control == control]
        at, values = np.array([k.seconds for k in keys]), np.array([k.value for k in keys])
        after = np.searchsorted(at, times + 1e-9, side="right")
        before, nxt = np.clip(after - 1, 0, len(keys) - 1), np.clip(after, 0, len(keys) - 1)
        span = np.maximum(at[nxt] - at[before], 1e-9)
        share = np.clip((times - at[before]) / span, 0, 1) * (nxt > before)
        eases = np.array([{"smooth": 0, "linear": 1, "hold": 2}[k.ease] for k in keys])[before]
        share = np.where(eases == 0, smoothstep(share), np.where(eases == 1, share, 0.0))
        curves[control] = values[before] + share * (values[nxt] - values[before])
        reach[control] = (float(values.min()), float(values.max()))
    return _mixed(curves, reach, len(times))


def _mixed(
    curves: Mapping[str, Array], reach: Mapping[str, tuple[float, float]], count: int
) -> tuple[Array, Array, NDArray[np.bool_], NDArray[np.bool_]]:
    """Turn controls over time into ARKit weights and head angles, and say which of both they name.

    Args:
        reach: the least and the most of each control at any time, so that every part names the same.
    """
    weights, head = np.zeros((count, len(ARKIT_NAMES))), np.zeros((count, 3))
    named, turned = np.zeros(len(ARKIT_NAMES), bool), np.zeros(3, bool)
    for name, values in curves.items():
        control = CONTROL[name]
        if name in HEAD_NAMES:
            axis = HEAD_NAMES.index(name)
            head[:, axis] += values
            turned[axis] = True
        low, high = reach[name]
        for side, strength, used in (
            (control.positive, np.maximum(values, 0), high > 0 or low == high == 0),
            (control.negative, np.maximum(-values, 0), low < 0 or low == high == 0),
        ):
            for target, amount in side.items() if used else ():
                weights[:, INDEX[target]] += strength * amount
                named[INDEX[target]] = True
    return weights, head, named, turned


def _lay_pose(
    out: _Sum,
    layer: Layer,
    here: Array,
    weights: Array,
    head: Array,
    named: NDArray[np.bool_],
    turned: NDArray[np.bool_],
) -> None:
    """Lay an expression or keyframes on the sum: only what they name, in the layer's regions."""
    mask = _mask(layer) & named
    axes = turned if "head" in layer.regions else np.zeros(3, bool)
    if layer.blend == "override":
        share, value = (here * min(layer.amount, 1.0))[:, None], max(layer.amount, 1.0)
        out.weights[:, mask] += share * (value * weights - out.weights)[:, mask]
        out.head[:, axes] += share * (value * head - out.head)[:, axes]
    else:
        gain = (here * layer.amount)[:, None]
        out.weights[:, mask] += gain * weights[:, mask]
        out.head[:, axes] += gain * head[:, axes]


# -- on top of all --------------------------------------------------------------------------


def _feel(out: _Sum, document: PerformanceDocument, times: Array) -> None:
    """Lay the emotions over time on the sum: the upper face in full, the mouth with care while it speaks."""
    if not document.emotions:
        return
    speaking = np.clip((1 - out.own_mouth) / (1 - _SPEAKING_OWN_MOUTH), 0, 1)
    kept = np.ones((len(times), len(ARKIT_NAMES)))
    kept[:, IS_CORNER] = (1 - (1 - CORNERS_WHILE_SPEAKING) * speaking)[:, None]
    kept[:, IS_LIP] = (1 - (1 - LIPS_WHILE_SPEAKING) * speaking)[:, None]
    for name in dict.fromkeys(m.emotion for m in document.emotions):
        marks = sorted((m.seconds, m.strength) for m in document.emotions if m.emotion == name)
        at, values = np.array([m[0] for m in marks]), np.array([m[1] for m in marks])
        after = np.searchsorted(at, times + 1e-9, side="right")
        before, nxt = np.clip(after - 1, 0, len(at) - 1), np.clip(after, 0, len(at) - 1)
        share = smoothstep((times - at[before]) / np.maximum(at[nxt] - at[before], 1e-9)) * (nxt > before)
        strength = (values[before] + share * (values[nxt] - values[before]))[:, None]
        out.weights += strength * kept * EMOTIONS[name].offsets
        out.head += strength * np.array(EMOTIONS[name].head_degrees)


def _keep_shut(out: _Sum, gap_per_weight: Array) -> None:
    """Take back what opens lips or lids where a layer shuts them."""
    seal = out.seal[:, None]
    added = out.weights - out.shut
    opens = (added * gap_per_weight > 0) & _MOUTH
    opens[:, _CLOSE] = True  # lips that close further than they were told to run into each other
    out.weights -= np.where(opens, seal * added, 0.0)
    out.own_mouth += out.seal * (out.own_shut - out.own_mouth)
    lids = out.weights[:, _BLINKS]
    out.weights[:, _BLINKS] = np.maximum(lids, lids + out.blink * (out.shut[:, _BLINKS] - lids))
    out.weights[:, _WIDES] -= out.blink * np.maximum(out.weights[:, _WIDES], 0)


def _mask(layer: Layer) -> NDArray[np.bool_]:
    """Return the weights in a layer's regions.  # (52,)"""
    out = np.zeros(len(ARKIT_NAMES), bool)
    for region in layer.regions:
        out |= WEIGHTS_IN[region]
    return out
