"""Performances as BVH: how a head and its eyes turn, for programs that move bones. Weights are lost.

Convention: y up, z out of the face, x to the person's left; a head that looks
at the viewer has no rotation. Degrees. Channels stand in the order in which
their rotations are multiplied, so head yaw, pitch and roll (see domain/pose)
are Y, -X and -Z. Lengths are centimeters of a common head and only place the
bones. Reading takes any skeleton with a bone named like a head; what moves it
from the root on is multiplied, and eyes are read where they hang below it.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from studio.domain.expression import ARKIT_NAMES, INDEX
from studio.domain.performance import Performance
from studio.engines.media.curves import (
    EYE_PITCH_DEGREES,
    EYE_YAW_DEGREES,
    curve_text,
    gaze_radians,
    write_text,
)
from studio.errors import LimitExceededError, UnreadableMediaError

Array = NDArray[np.float64]

_HINT = "Export it again as BVH, with a bone named Head."
_TURNS = "Yrotation Xrotation Zrotation"
_HIERARCHY = f"""HIERARCHY
ROOT Neck
{{
  OFFSET 0.0 0.0 0.0
  CHANNELS 6 Xposition Yposition Zposition {_TURNS}
  JOINT Head
  {{
    OFFSET 0.0 8.0 1.5
    CHANNELS 3 {_TURNS}
    JOINT LeftEye
    {{
      OFFSET 3.2 8.0 8.5
      CHANNELS 3 {_TURNS}
      End Site
      {{
        OFFSET 0.0 0.0 1.2
      }}
    }}
    JOINT RightEye
    {{
      OFFSET -3.2 8.0 8.5
      CHANNELS 3 {_TURNS}
      End Site
      {{
        OFFSET 0.0 0.0 1.2
      }}
    }}
  }}
}}
"""
_MOST_FRAMES = 3600 * 240


@dataclass
class _Bone:
    """One bone of a skeleton that is read: where its numbers stand in a frame."""

    name: str
    parent: _Bone | None
    channels: list[tuple[int, str]] = field(default_factory=list)


def write_bvh(performance: Performance, path: str | os.PathLike[str]) -> Path:
    """Write head and gaze.

    Raises:
        NotFoundError, StoreError: see `atomic_file`.
    """
    head = performance.head_degrees.astype(np.float64) * [1, -1, -1]  # (T, 3) Y, X, Z
    gaze = np.degrees(gaze_radians(np.clip(performance.weights, 0.0, 1.0)).astype(np.float64))  # (T, 6)
    eyes = gaze * [1, -1, 1, 1, -1, 1]
    still = np.zeros((len(performance), 6))
    rows = np.hstack([still, head, eyes])  # (T, 15)
    lines = [" ".join(f"{value:.5f}" for value in row) for row in rows]
    text = f"{_HIERARCHY}MOTION\nFrames: {len(rows)}\nFrame Time: {1 / performance.frame_rate_hz:.8f}\n"
    return write_text(path, text + "".join(f"{line}\n" for line in lines))


def read_bvh(path: str | os.PathLike[str]) -> Performance:
    """Read how a head and its eyes turn; weights other than those of the gaze are 0.

    Raises:
        NotFoundError: no such file.
        UnreadableMediaError: not this format, no head, or damaged.
        LimitExceededError: longer than an hour.
    """
    name = Path(path).name
    hierarchy, mark, motion = curve_text(path).partition("MOTION")
    if not mark or "HIERARCHY" not in hierarchy:
        raise UnreadableMediaError(f"{name} is not BVH.", _HINT)
    try:
        bones, width = _bones(hierarchy)
        rate, values = _frames(motion, width)
    except (ValueError, IndexError, OverflowError) as exc:
        raise UnreadableMediaError(f"{name} is damaged: {exc}.", _HINT) from exc
    head = next((b for b in bones if "head" in b.name.lower()), None)
    if head is None:
        raise UnreadableMediaError(f"{name} has no bone named like a head.", _HINT)
    weights = np.zeros((len(values), len(ARKIT_NAMES)), np.float32)
    for bone in bones:
        if "eye" in bone.name.lower() and bone.parent is head:
            _look(weights, bone, values)
    none = np.zeros(len(values), np.float32)
    turned = _degrees(_world(head, values)).astype(np.float32)
    return Performance(rate, weights, turned, none, none.copy(), none.copy())


def _bones(hierarchy: str) -> tuple[list[_Bone], int]:
    """Return the bones and how many numbers a frame has."""
    bones: list[_Bone] = []
    open_bones: list[_Bone | None] = []
    coming: _Bone | None = None
    width = 0
    for words in filter(None, (line.split() for line in hierarchy.splitlines())):
        if words[0] in ("ROOT", "JOINT"):
            coming = _Bone(" ".join(words[1:]), next((b for b in reversed(open_bones) if b), None))
            bones.append(coming)
        elif words[0] == "End":
            coming = None
        elif words[0] == "{":
            open_bones.append(coming)
        elif words[0] == "}":
            open_bones.pop()
        elif words[0] == "CHANNELS":
            bone = open_bones[-1]
            if bone is None or len(words) != 2 + int(words[1]):
                raise ValueError("channels stand where none can be")
            bone.channels = [(width + i, word) for i, word in enumerate(words[2:])]
            width += int(words[1])
    if open_bones:
        raise ValueError("a bracket is not closed")
    return bones, width


def _frames(motion: str, width: int) -> tuple[float, Array]:
    """Return the frame rate and the numbers of all frames.  # (T, width)"""
    lines = [line for line in motion.splitlines() if line.strip()]
    count, seconds = int(lines[0].split(":")[1]), float(lines[1].split(":")[1])
    if not 1 / 240.5 <= seconds <= 1.0:
        raise ValueError(f"a frame lasts {seconds:g} s")
    if count > min(_MOST_FRAMES, 3600 / seconds):
        raise LimitExceededError("The curves are longer than an hour.", "Trim them to the part needed.")
    values = np.array([[float(word) for word in line.split()] for line in lines[2 : 2 + count]], np.float64)
    if values.shape != (count, width) or not count or not np.isfinite(values).all():
        raise ValueError("its frames are not as many or as wide as it says")
    rate = 1 / seconds
    return (float(round(rate)) if abs(rate - round(rate)) < 0.01 else rate), values


def _world(bone: _Bone, values: Array) -> Array:
    """Return a bone's rotation from the root on.  # (T, 3, 3)"""
    own: Array = np.broadcast_to(np.eye(3), (len(values), 3, 3))
    for column, channel in bone.channels:
        if channel.lower().endswith("rotation"):
            own = own @ _turn(channel[0].upper(), np.radians(values[:, column]))
    if bone.parent is not None:
        own = _world(bone.parent, values) @ own
    return own


def _turn(axis: str, angle: Array) -> Array:
    """Return rotations about an axis.  # (T,) -> (T, 3, 3)"""
    first, second = {"X": (1, 2), "Y": (2, 0), "Z": (0, 1)}[axis]
    out = np.tile(np.eye(3), (len(angle), 1, 1))
    out[:, first, first] = out[:, second, second] = np.cos(angle)
    out[:, first, second], out[:, second, first] = -np.sin(angle), np.sin(angle)
    return out


def _degrees(rotation: Array) -> Array:
    """Return yaw, pitch and roll of rotations.  # (T, 3, 3) -> (T, 3)"""
    yaw = np.arctan2(rotation[:, 0, 2], rotation[:, 2, 2])
    pitch = np.arcsin(np.clip(rotation[:, 1, 2], -1, 1))
    roll = -np.arctan2(rotation[:, 1, 0], rotation[:, 1, 1])
    degrees: Array = np.degrees(np.stack([yaw, pitch, roll], 1))
    return degrees


def _look(weights: NDArray[np.float32], eye: _Bone, values: Array) -> None:
    """Write the look weights of an eye, left or right by the bone's name."""
    side = "Left" if "l" in eye.name.lower().replace("eye", "")[:2] else "Right"
    alone = _Bone(eye.name, None, eye.channels)
    yaw, pitch, _ = _degrees(_world(alone, values)).T
    outward = yaw if side == "Left" else -yaw
    for direction, amount, most in (
        ("Out", outward, EYE_YAW_DEGREES),
        ("In", -outward, EYE_YAW_DEGREES),
        ("Up", pitch, EYE_PITCH_DEGREES),
        ("Down", -pitch, EYE_PITCH_DEGREES),
    ):
        weights[:, INDEX[f"eyeLook{direction}{side}"]] = np.clip(amount / most, 0, 1).astype(np.float32)
