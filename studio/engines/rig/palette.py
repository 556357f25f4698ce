"""What one photo says about the inside of a mouth that it does not show.

Teeth, gum, tongue and throat get their color from the photo: how white its skin can
get, how warm its light is, how red its lips are, and whether it has color at all. The
drawn mouth also gets the photo's softness and a tile of its grain, so that a painting
keeps painted teeth and a blurred phone picture blurred ones. This module looks only
at skin and lips; what an open mouth shows itself is `own_mouth.py`'s.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from studio.engines.rig.asset import FACE_OVAL, INNER_LIP_RING

Array = NDArray[Any]
FloatArray = NDArray[np.float32]

LUMA = np.array([0.30, 0.59, 0.11], np.float32)
OUTER_LIPS = (61, 185, 40, 39, 37, 0, 267, 269, 270, 409, 291, 375, 321, 405, 314, 17, 84, 181, 91, 146)
_SKIN_POINTS = (50, 280, 205, 425, 187, 411, 199, 4, 36, 266, 101, 330, 207, 427, 1, 195)
_LEFT_CHEEK, _RIGHT_CHEEK = 207, 427  # of the picture
_SMOOTH_SKIN = (205, 425, 199, 50, 280)  # where grain shows without folds
_TYPICAL_SKIN = np.array([1.24, 0.945, 0.80])  # of unit luma, median of the developers' portraits


@dataclass(frozen=True)
class MouthPalette:
    """Colors, light, softness and grain for what is drawn between the lips.

    Attributes:
        teeth, gum, tongue, throat: RGB in full light, 0..255.  # (3,) each
        side: how much brighter the right of the picture is than the left, -.35..+.35.
        blur_pixels: sigma of the photo's own softness.
        grain: a tile of fine skin texture in gray levels, mean 0.  # (N, N)
    """

    teeth: FloatArray
    gum: FloatArray
    tongue: FloatArray
    throat: FloatArray
    side: float
    blur_pixels: float
    grain: FloatArray


def measure_palette(image: Array, landmarks: Array, eye_distance: float) -> MouthPalette:
    """Measure the photo around the lips.

    Args:
        image: RGB.  # (H, W, 3) float32, 0..255
        landmarks: MediaPipe's points in pixels.  # (478, 3)
        eye_distance: outer eye corners, pixels.
    """
    marks = landmarks[:, :2]
    face, mask, corner = _face_of(image, marks)
    luma = (face @ LUMA).astype(np.float32)
    white = float(np.percentile(cv2.GaussianBlur(luma, (0, 0), max(0.8, 0.01 * eye_distance))[mask], 96))
    black = float(np.percentile(luma[mask], 0.7))
    patches = {k: _patch(face, marks[k] - corner, max(2, int(0.02 * eye_distance))) for k in _SKIN_POINTS}
    seen = [p for p in patches.values() if p is not None]
    skin = np.percentile(np.array(seen), 60, axis=0) if seen else np.array([180.0, 150.0, 130.0])
    lip = _lip_color(face, marks - corner, skin)
    left, right = patches[_LEFT_CHEEK], patches[_RIGHT_CHEEK]
    side = 0.0
    if left is not None and right is not None:
        a, b = float(left @ LUMA), float(right @ LUMA)
        side = float(np.clip((b - a) / (a + b + 1), -0.35, 0.35))
    colors = _colors(skin, lip, white, black)
    return MouthPalette(*colors, side, _softness(luma, mask, eye_distance), _grain(face, marks - corner, eye_distance))


def _face_of(image: Array, marks: Array) -> tuple[Array, NDArray[np.bool_], Array]:
    """Cut the face out.

    Returns:
        The cut (h, w, 3), where it is face (h, w), and x, y of its corner.
    """
    h, w = image.shape[:2]
    oval = marks[list(FACE_OVAL)]
    low = np.clip(np.floor(oval.min(0)).astype(int), 0, [w - 4, h - 4])
    high = np.clip(np.ceil(oval.max(0)).astype(int), low + 4, [w, h])
    face = image[low[1] : high[1], low[0] : high[0]]
    mask = np.zeros(face.shape[:2], np.uint8)
    cv2.fillPoly(mask, [np.round(oval - low).astype(np.int32)], 1)
    return face, mask > 0 if mask.any() else np.ones(mask.shape, bool), low


def _patch(face: Array, point: Array, reach: int) -> Array | None:
    """Return the mean color around a point, or None where the photo ends.  # (3,)"""
    h, w = face.shape[:2]
    x, y = point.astype(int)
    if not (reach <= x < w - reach and reach <= y < h - reach):
        return None
    around = face[y - reach : y + reach + 1, x - reach : x + reach + 1]
    return np.asarray(around.reshape(-1, 3).mean(0))


def _lip_color(face: Array, marks: Array, skin: Array) -> Array:
    red = np.zeros(face.shape[:2], np.uint8)
    cv2.fillPoly(red, [np.round(marks[list(OUTER_LIPS)]).astype(np.int32)], 1)
    cv2.fillPoly(red, [np.round(marks[list(INNER_LIP_RING)]).astype(np.int32)], 0, lineType=cv2.LINE_8)
    return np.asarray(np.median(face[red > 0], axis=0) if red.any() else skin * [0.85, 0.6, 0.6])


def _colors(
    skin: Array, lip: Array, white: float, black: float
) -> tuple[FloatArray, FloatArray, FloatArray, FloatArray]:  # fmt: skip
    """Return teeth, gum, tongue and throat.  # (3,) each"""
    saturation = float(np.clip((skin.max() - skin.min()) / max(skin.max(), 1.0) / 0.20, 0.0, 1.0))
    of_lips = float((lip.max() - lip.min()) / max(lip.max(), 1.0))
    saturation = max(saturation, float(np.clip(of_lips / 0.45, 0.0, 1.0)))  # pale skin is not yet a gray photo
    if saturation < 0.12:
        saturation = 0.0
    light = np.clip(skin / max(float(skin @ LUMA), 1.0) / _TYPICAL_SKIN, 0.6, 1.35) ** 0.65
    enamel = np.array([1.08, 1.0, 0.91]) * light
    # Whatever the paint or the light: teeth are never cooler than gray, and yellow rather than green.
    enamel[2] = np.clip(enamel[2], 0.62 * enamel[1], 0.96 * enamel[1])
    least = 1.09 + 0.4 * max(0.88 - enamel[2] / enamel[1], 0.0)
    enamel[0] = np.clip(enamel[0], least * enamel[1], 1.25 * enamel[1])

    def toned(color: Array, luma: float, share: float = 1.0) -> FloatArray:
        color = color / (color @ LUMA) * luma
        gray = color @ LUMA
        return np.asarray(gray + (color - gray) * saturation * share, np.float32)

    flesh = 0.6 * np.array([1.65, 0.76, 0.72]) * light + 0.4 * lip / max(float(lip @ LUMA), 1.0)
    level = float(np.clip(skin @ LUMA, 0.45 * white, white))
    return (
        toned(enamel, 0.90 * white), toned(flesh, 0.55 * level, 0.8),
        toned(flesh * [1.06, 0.97, 0.98], 0.58 * level),
        toned(np.array([1.9, 0.70, 0.62]) * light, max(0.12 * level, 0.8 * black, 4.0)),
    )  # fmt: skip


def _softness(luma: FloatArray, mask: NDArray[np.bool_], eye_distance: float) -> float:
    """Return the softness of the sharpest edges as the sigma of a Gaussian, pixels.

    Blurring an edge of sigma s by 1 px lowers its slope by sqrt(1 + 1 / s^2).
    """

    def slope(x: Array) -> Array:
        return np.hypot(cv2.Sobel(x, cv2.CV_32F, 1, 0), cv2.Sobel(x, cv2.CV_32F, 0, 1))

    before, after = slope(luma), slope(cv2.GaussianBlur(luma, (0, 0), 1.0))
    strong = mask & (before >= np.percentile(before[mask], 97))
    ratio = float(np.median(before[strong] / np.maximum(after[strong], 1e-3)))
    return float(np.clip(1 / np.sqrt(max(ratio**2 - 1, 0.02)), 0.45, max(0.6, 0.03 * eye_distance)))


def _grain(face: Array, marks: Array, eye_distance: float) -> FloatArray:
    """Return the calmest tile of the skin's fine texture.  # (N, N)"""
    n = int(np.clip(0.16 * eye_distance, 12, 96))
    h, w = face.shape[:2]
    tiles = []
    for k in _SMOOTH_SKIN:
        x, y = (marks[k] - n / 2).astype(int)
        if x < 2 or y < 2 or x + n > w - 2 or y + n > h - 2:
            continue
        luma = (face[y - 2 : y + n + 2, x - 2 : x + n + 2] @ LUMA).astype(np.float32)
        tiles.append((luma - cv2.GaussianBlur(luma, (0, 0), 1.6))[2:-2, 2:-2])
    if not tiles:
        return np.zeros((n, n), np.float32)
    tile = min(tiles, key=lambda t: float(t.std()))
    limit = 1.6 * max(float(np.median(np.abs(tile))) * 1.48, 0.3)  # a hair or a mole is no grain
    return np.asarray(0.75 * np.clip(tile - tile.mean(), -limit, limit), np.float32)
