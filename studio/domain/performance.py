"""A performance: how a face moves over time, free of any engine and any photo.

Speech, a driving clip, keyframes and emotion all end in this one table; every
animation engine starts from it. Rows are frames at a constant rate.

The weights are *offsets* to the photo's own expression. While the mouth
speaks, the photo's own mouth shape has to step back (a smiling photo would
otherwise never close its lips): `own_mouth` says how much of it is kept, and
`lip_seal` asks the engine to close whatever gap is left, which no blendshape
can promise on every face.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, fields, replace

import numpy as np
from numpy.typing import NDArray

from studio.domain.expression import ARKIT_NAMES, MOUTH_INDEX, FaceState, Weights
from studio.domain.pose import HeadPose

FloatArray = NDArray[np.float32]

SHUTTERS_DEGREES: tuple[int, ...] = (0, 90, 180)
"""How long a film camera's shutter may be open: not at all, a quarter and half of a frame."""
MOST_MOMENTS = 8
"""Pictures that one exposure is made of, at most."""
# What moves a face on a 1024 pixel portrait by about two pixels.
_WEIGHT_STEP, _DEGREES_STEP, _BREATH_STEP = 0.025, 0.5, 0.25


def take_seed(seed: int, sound_sha256: str, portrait_sha256: str) -> int:
    """Return the seed of one take: another sound or another photo moves in its own way under the same seed.

    Args:
        seed: what the person chose.
        sound_sha256: of the whole sound, so that a preview of its beginning moves as the clip will.
        portrait_sha256: of the photo's bytes, so that a smaller preview moves as the clip will.

    Returns:
        0..2^31 - 1, a pure function of the three.
    """
    named = f"{seed} {sound_sha256} {portrait_sha256}".encode()
    return int.from_bytes(hashlib.sha256(named).digest()[:4], "big") >> 1


@dataclass(frozen=True)
class Performance:
    """Face motion at a constant frame rate.

    Attributes:
        frame_rate_hz: frames per second; frame i is shown at i / frame_rate_hz.
        weights: ARKit offsets to the photo's own weights.  # (T, 52)
        head_degrees: yaw, pitch, roll relative to the photo.  # (T, 3)
        own_mouth: share of the photo's own mouth weights kept, 0..1.  # (T,)
        lip_seal: how tightly the lips must meet, 0 free .. 1 sealed.  # (T,)
        breath: chest and shoulder lift, -1..1.  # (T,)
    """

    frame_rate_hz: float
    weights: FloatArray
    head_degrees: FloatArray
    own_mouth: FloatArray
    lip_seal: FloatArray
    breath: FloatArray

    def __post_init__(self) -> None:
        frames = len(self.weights)
        shapes = {
            "weights": (self.weights, (frames, len(ARKIT_NAMES))),
            "head_degrees": (self.head_degrees, (frames, 3)),
            "own_mouth": (self.own_mouth, (frames,)),
            "lip_seal": (self.lip_seal, (frames,)),
            "breath": (self.breath, (frames,)),
        }
        for name, (array, shape) in shapes.items():
            if array.shape != shape:
                raise ValueError(f"{name} has shape {array.shape}, expected {shape}")
            if not np.isfinite(array).all():
                raise ValueError(f"{name} holds values that are not finite")

    def __len__(self) -> int:
        return len(self.weights)

    @property
    def duration_seconds(self) -> float:
        """Length in seconds."""
        return len(self) / self.frame_rate_hz

    def part(self, start_seconds: float, seconds: float | None) -> Performance:
        """Return the frames from one moment on, for so many seconds; None is to the end. At least one frame is left."""
        first = min(round(start_seconds * self.frame_rate_hz), len(self) - 1)
        count = len(self) if seconds is None else max(1, round(seconds * self.frame_rate_hz))
        return self._each(lambda values: values[first : first + count])

    def at_rate(self, frame_rate_hz: float) -> Performance:
        """Return the same motion at another rate.

        Frames between two are weighed; lips stay as tightly shut as in any frame that a new one stands for, so that
        no closure falls between frames.
        """
        if frame_rate_hz == self.frame_rate_hz or not len(self):
            return replace(self, frame_rate_hz=frame_rate_hz)
        count = max(1, round(self.duration_seconds * frame_rate_hz))
        at = np.arange(count) * (self.frame_rate_hz / frame_rate_hz)  # (T,) in old frames
        low = np.minimum(at.astype(np.intp), len(self) - 1)
        high = np.minimum(low + 1, len(self) - 1)
        share = (at - low).astype(np.float32)

        def between(values: FloatArray) -> FloatArray:
            weight = share.reshape(-1, *[1] * (values.ndim - 1))
            mixed: FloatArray = (values[low] * (1 - weight) + values[high] * weight).astype(np.float32)
            return mixed

        half = max(0.5, self.frame_rate_hz / frame_rate_hz / 2)
        first = np.clip(np.ceil(at - half), 0, len(self) - 1).astype(np.intp)
        last = np.clip(np.floor(at + half), 0, len(self) - 1).astype(np.intp)
        seal = [self.lip_seal[a : b + 1].max() for a, b in zip(first, np.maximum(first, last), strict=True)]
        return replace(
            self._each(between), frame_rate_hz=frame_rate_hz, lip_seal=np.asarray(seal, np.float32).reshape(count)
        )

    def moment(self, at: float) -> Performance:
        """Return the one frame between two others; lips are as tightly shut as in the nearest frame at least.

        Args:
            at: in frames, held inside the performance.
        """
        held = float(np.clip(at, 0, len(self) - 1))
        low = int(held)
        high, share = min(low + 1, len(self) - 1), np.float32(held - low)
        mixed = self._each(lambda values: values[low : low + 1] * (1 - share) + values[high : high + 1] * share)
        near = round(held)
        return replace(mixed, lip_seal=np.maximum(mixed.lip_seal, self.lip_seal[near : near + 1]))

    def _each(self, change: Callable[[FloatArray], FloatArray]) -> Performance:
        """Return the performance with every array changed alike."""
        arrays = {f.name: change(getattr(self, f.name)) for f in fields(self) if f.name != "frame_rate_hz"}
        return Performance(self.frame_rate_hz, **arrays)

    def state(self, frame: int, own: Weights) -> FaceState:
        """Return the absolute face of one frame on a photo with weights `own`.

        Args:
            frame: row, 0..len-1.
            own: the photo's own fitted weights.  # (52,)
        """
        base = own.copy()
        base[MOUTH_INDEX] *= self.own_mouth[frame]
        weights = np.clip(base + self.weights[frame], 0.0, 1.0).astype(np.float32)
        return FaceState(weights, HeadPose(*(float(a) for a in self.head_degrees[frame])).clamped())


def exposure(performance: Performance, frame: int, shutter_degrees: float) -> tuple[float, ...]:
    """Return the moments of one exposure of a film camera, in frames: as many as its motion needs.

    Args:
        shutter_degrees: how long the shutter is open, of 360 for a whole frame; 0 is a single moment.

    Returns:
        Evenly spaced about the frame's own moment, 1 to MOST_MOMENTS; a face that rests needs one.
    """
    half = shutter_degrees / 720
    if half <= 0:
        return (float(frame),)
    before, after = (performance.moment(frame + side * half) for side in (-1.0, 1.0))
    way = max(
        float(np.abs(after.weights - before.weights).max()) / _WEIGHT_STEP,
        float(np.abs(after.head_degrees - before.head_degrees).max()) / _DEGREES_STEP,
        float(np.abs(after.breath - before.breath).max()) / _BREATH_STEP,
    )
    count = int(np.clip(np.ceil(way), 1, MOST_MOMENTS))
    if count == 1:
        return (float(frame),)
    return tuple(float(frame + half * x) for x in (2 * np.arange(count) + 1) / count - 1)


@dataclass(frozen=True)
class MouthResponse:
    """How one fitted head's mouth answers to ARKit weights (linear).

    A mouth shape is authored in millimetres and solved on the head it will be
    shown on, because the same weight opens different meshes by different
    amounts. Distances are millimetres on a head whose outer eye corners are
    88.9 mm apart (MediaPipe's canonical face).

    Attributes:
        gap_mm: midline lip gap with all weights 0; negative = pressed.
        gap_per_weight_mm: change of the gap per unit weight.  # (52,)
        width_mm, width_per_weight_mm: corner to corner.
        lower_lip_mm, lower_lip_per_weight_mm: height of the lower lip's top above
            the upper incisor edge.
        protrusion_per_weight_mm: forward travel of the lips.  # (52,)
        own: the photo's own fitted weights.  # (52,)
    """

    gap_mm: float
    gap_per_weight_mm: FloatArray
    width_mm: float
    width_per_weight_mm: FloatArray
    lower_lip_mm: float
    lower_lip_per_weight_mm: FloatArray
    protrusion_per_weight_mm: FloatArray
    own: FloatArray
