"""What each control delivers: its own measure, in the unit of a face, and how much.

A control that says it raises a brow has to raise that brow, by an amount one can state,
and to leave the rest alone. Measures are read off landmarks in the face's own axes
(x along the eyes, y up), so that they mean the same on the mesh, where they are exact,
and on a picture, where a face tracker reads them. `DELIVERED` is the table; tests keep
it, and `python -m studio bench controls` prints asked against delivered.

What a front view cannot show is stated by what it does show: a jaw that comes forward
by its lifted lower lip, cheeks full of air by the width of the face.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from studio.engines.base import Image

Array = NDArray[Any]

EYE_CORNERS_MM = 88.9  # outer eye corners of MediaPipe's canonical face
_RIGHT_CORNER, _LEFT_CORNER = 33, 263  # the subject's
_RIGHT_EYE, _LEFT_EYE = (33, 133), (362, 263)
_BRIDGE = (168, 6, 197)
_RIGHT_IRIS, _LEFT_IRIS = 468, 473


@dataclass(frozen=True)
class Measure:
    """A length that can be read off a face.

    Attributes:
        area: the part of the face it belongs to.
        side: "Left", "Right" (the subject's), or "" for both.
        read: landmarks in face axes, mm, y up -> mm.
    """

    area: str
    side: str
    read: Callable[[Array], float]


def face_axes(landmarks: Array) -> Array:
    """Return landmarks in the face's own axes: origin on the bridge of the nose, x along the eyes, y up, in mm.

    The bridge holds still in every expression; corners of the eyes rise a little with their lids.

    Args:
        landmarks: pixels, y down.  # (N, 2+)

    Returns:
        (N, 2)
    """
    points = np.asarray(landmarks, float)[:, :2] * [1, -1]
    length = float(np.linalg.norm(points[_LEFT_CORNER] - points[_RIGHT_CORNER]))
    across = points[list(_LEFT_EYE)].mean(0) - points[list(_RIGHT_EYE)].mean(0)
    axis = across / np.linalg.norm(across)
    centred = (points - points[list(_BRIDGE)].mean(0)) * (EYE_CORNERS_MM / length)
    return np.stack([centred @ axis, centred @ np.array([-axis[1], axis[0]])], 1)


def _mean(axis: int, sign: float, *rows: int) -> Callable[[Array], float]:
    return lambda m: sign * float(m[list(rows), axis].mean())


def _between(axis: int, first: int, second: int) -> Callable[[Array], float]:
    return lambda m: float(m[first, axis] - m[second, axis])


MEASURES: dict[str, Measure] = {
    "lip gap": Measure("mouth", "", _between(1, 13, 14)),
    "mouth width": Measure("mouth", "", _between(0, 291, 61)),
    "mouth to the left": Measure("mouth", "", _mean(0, 1, 13, 14, 0, 17)),
    "left corner up": Measure("mouth", "Left", _mean(1, 1, 291)),
    "right corner up": Measure("mouth", "Right", _mean(1, 1, 61)),
    "left corner out": Measure("mouth", "Left", _mean(0, 1, 291)),
    "right corner out": Measure("mouth", "Right", _mean(0, -1, 61)),
    "left upper lip up": Measure("mouth", "Left", _mean(1, 1, 311, 310, 270)),
    "right upper lip up": Measure("mouth", "Right", _mean(1, 1, 81, 80, 40)),
    "left lower lip down": Measure("mouth", "Left", _mean(1, -1, 402, 318, 321)),
    "right lower lip down": Measure("mouth", "Right", _mean(1, -1, 178, 88, 91)),
    "upper lip up": Measure("mouth", "", _mean(1, 1, 13, 0)),
    "lower lip up": Measure("mouth", "", _mean(1, 1, 14, 17)),
    "red of the upper lip": Measure("mouth", "", _between(1, 0, 13)),
    "red of the lower lip": Measure("mouth", "", _between(1, 14, 17)),
    "red of both lips": Measure("mouth", "", lambda m: float(m[0, 1] - m[13, 1] + m[14, 1] - m[17, 1])),
    "chin down": Measure("jaw", "", _mean(1, -1, 152)),
    "chin to the left": Measure("jaw", "", _mean(0, 1, 152)),
    "face width at the mouth": Measure("cheek", "", _between(0, 434, 214)),
    "left cheek up": Measure("cheek", "Left", _mean(1, 1, 330, 280, 347)),
    "right cheek up": Measure("cheek", "Right", _mean(1, 1, 101, 50, 118)),
    "left nostril up": Measure("nose", "Left", _mean(1, 1, 278, 294)),
    "right nostril up": Measure("nose", "Right", _mean(1, 1, 48, 64)),
    "left inner brow up": Measure("brow", "Left", _mean(1, 1, 336, 285)),
    "right inner brow up": Measure("brow", "Right", _mean(1, 1, 107, 55)),
    "left outer brow up": Measure("brow", "Left", _mean(1, 1, 334, 282, 293, 283)),
    "right outer brow up": Measure("brow", "Right", _mean(1, 1, 105, 52, 63, 53)),
    "left lids apart": Measure("eye", "Left", _between(1, 386, 374)),
    "right lids apart": Measure("eye", "Right", _between(1, 159, 145)),
    "left iris to the left": Measure("gaze", "Left", _mean(0, 1, _LEFT_IRIS)),
    "right iris to the left": Measure("gaze", "Right", _mean(0, 1, _RIGHT_IRIS)),
    "left iris up": Measure("gaze", "Left", _mean(1, 1, _LEFT_IRIS)),
    "right iris up": Measure("gaze", "Right", _mean(1, 1, _RIGHT_IRIS)),
}  # fmt: skip


@dataclass(frozen=True)
class Delivered:
    """What one control does at its maximum.

    Attributes:
        measure: key of MEASURES; "yaw", "pitch", "roll" are degrees of the head.
        amount: change on the average head, mm or degrees. Source: measured on the mesh of assets/head.npz; gaze is
            what `eyes.py` moves an iris by.
        along: other areas that the anatomy moves with it.
    """

    measure: str
    amount: float
    along: tuple[str, ...] = ()

    @property
    def unit(self) -> str:
        """Millimetres on a face whose outer eye corners are 88.9 mm apart, or degrees."""
        return "mm" if self.measure in MEASURES else "°"


def _both_sides(stem: str, measure: str, amount: float, *along: str) -> dict[str, Delivered]:
    return {
        f"{stem}{side}": Delivered(measure.format(side.lower()), amount, tuple(along)) for side in ("Left", "Right")
    }


DELIVERED: dict[str, Delivered] = {
    "headYaw": Delivered("yaw", 20.0),
    "headPitch": Delivered("pitch", 15.0),
    "headRoll": Delivered("roll", 20.0),
    "smile": Delivered("mouth width", 7.7, ("cheek", "eye", "nose")),
    "lipOpen": Delivered("lip gap", 21.1, ("jaw", "cheek")),
    "grin": Delivered("mouth width", 9.8, ("cheek", "nose")),
    "pout": Delivered("lower lip up", 3.9),
    "pursing": Delivered("mouth width", -7.8, ("cheek",)),
    "eyebrow": Delivered("left outer brow up", 5.1),
    "eyesOpen": Delivered("left lids apart", 3.7),
    "winkLeft": Delivered("left lids apart", -13.0, ("mouth", "cheek")),
    "winkRight": Delivered("right lids apart", -13.0, ("mouth", "cheek")),
    "gazeX": Delivered("left iris to the left", 4.1),
    "gazeY": Delivered("left iris up", 2.9),
    **_both_sides("eyeBlink", "{} lids apart", -13.0),
    **_both_sides("eyeWide", "{} lids apart", 4.0),
    **_both_sides("eyeSquint", "{} lids apart", -3.4, "cheek"),
    **_both_sides("eyeLookDown", "{} iris up", -2.9, "eye"),
    **_both_sides("eyeLookUp", "{} iris up", 2.9, "eye"),
    "eyeLookInLeft": Delivered("left iris to the left", -4.1),
    "eyeLookOutLeft": Delivered("left iris to the left", 4.1),
    "eyeLookInRight": Delivered("right iris to the left", 4.1),
    "eyeLookOutRight": Delivered("right iris to the left", -4.1),
    "jawForward": Delivered("lower lip up", 2.4, ("jaw", "cheek")),
    "jawLeft": Delivered("chin to the left", 10.2, ("mouth", "cheek")),
    "jawRight": Delivered("chin to the left", -10.2, ("mouth", "cheek")),
    "jawOpen": Delivered("lip gap", 36.0, ("jaw", "cheek")),
    "mouthClose": Delivered("lip gap", -36.0, ("jaw", "cheek")),
    "mouthFunnel": Delivered("lip gap", 9.4, ("cheek",)),
    "mouthPucker": Delivered("mouth width", -8.7, ("cheek",)),
    "mouthLeft": Delivered("mouth to the left", 8.6, ("cheek", "nose")),
    "mouthRight": Delivered("mouth to the left", -8.6, ("cheek", "nose")),
    **_both_sides("mouthSmile", "{} corner up", 12.9, "cheek"),
    **_both_sides("mouthFrown", "{} corner up", -5.4),
    **_both_sides("mouthDimple", "{} corner out", 5.3, "cheek"),
    **_both_sides("mouthStretch", "{} corner out", 5.5, "cheek"),
    "mouthRollLower": Delivered("red of the lower lip", -1.9, ("jaw",)),
    "mouthRollUpper": Delivered("red of the upper lip", -3.0, ("nose",)),
    "mouthShrugLower": Delivered("lower lip up", 5.5),
    "mouthShrugUpper": Delivered("upper lip up", 5.1),
    **_both_sides("mouthPress", "red of both lips", -1.5),
    **_both_sides("mouthLowerDown", "{} lower lip down", 3.2),
    **_both_sides("mouthUpperUp", "{} upper lip up", 4.3, "nose"),
    **_both_sides("browDown", "{} outer brow up", -4.8),
    "browInnerUp": Delivered("left inner brow up", 4.1),
    **_both_sides("browOuterUp", "{} outer brow up", 5.3),
    "cheekPuff": Delivered("face width at the mouth", 8.5, ("mouth",)),
    **_both_sides("cheekSquint", "{} cheek up", 6.7, "eye"),
    **_both_sides("noseSneer", "{} nostril up", 6.3, "brow", "eye"),
}
"""Every control but tongueOut, which no landmark sees: its tip comes 20 mm below the edge of the lower teeth."""


def carried(before: Image, after: Image, landmarks: Array) -> Array:
    """Move landmarks of one picture to where its pixels went in another, by dense optical flow.

    A face tracker has its own idea of what a face can do and misses a puffed cheek or a
    wrinkled nose; pixels do not. The corners of the eyes stay, they are the yardstick.

    Args:
        before, after: RGB of one size.  # (H, W, 3) uint8
        landmarks: in `before`, pixels.  # (N, 2+)
    """
    gray = [cv2.cvtColor(np.ascontiguousarray(p), cv2.COLOR_RGB2GRAY) for p in (before, after)]
    flow = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM).calc(gray[0], gray[1], None)  # type: ignore[call-overload]
    points = np.ascontiguousarray(landmarks[:, :2], np.float32)
    out = np.array(landmarks, float)
    out[:, :2] += cv2.remap(flow, points[:, :1], points[:, 1:], cv2.INTER_LINEAR)[:, 0]
    yardstick = [_RIGHT_CORNER, _LEFT_CORNER]
    out[yardstick] = landmarks[yardstick]
    return out
