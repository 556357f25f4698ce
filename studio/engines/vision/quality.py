"""How well a face picture can serve, as numbers and as sentences.

Five measures from the pixels inside the landmarks' box, each 0 (bad) .. 1
(good). They are simple on purpose and are shown to the person as advice, never
used to refuse a picture. Knows nothing of beauty, and sees that a face is
covered only by the color of what covers it.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from studio.domain.face import PhotoQuality
from studio.domain.pose import HeadPose
from studio.engines.vision.crops import cut
from studio.engines.vision.landmarks import MESH_POINTS, Landmarks, eye_distance

cv2.setNumThreads(1)

_SIDE = 160  # pixels of the upright crop that is measured
# A face this high gives 512 px output (face about 55 % of the picture) its own detail.
_GOOD_FACE_PIXELS = 280.0
_GOOD_YAW, _PROFILE_YAW = 12.0, 55.0
_GOOD_PITCH, _BAD_PITCH = 12.0, 45.0
_LEVEL_PITCH = -6.0  # what `pose` reads of people who look straight ahead
_HINT_BELOW = 0.5
_SHARPNESS_NEEDS = 8.0  # pixels between the eyes
# Forehead, temples, cheeks, nose, around the mouth, chin: skin in every expression.
_SKIN_POINTS = (
    9, 151, 108, 337, 69, 299, 50, 280, 205, 425, 187, 411, 123, 352,
    5, 195, 164, 186, 410, 200, 199, 170, 395, 136, 365,
)  # fmt: skip
_SKIN_TOLERANCE = np.array([60.0, 16.0, 18.0], np.float32)  # lightness, green-red, blue-yellow (8-bit Lab)


def measure_quality(image: NDArray[np.uint8], landmarks: Landmarks, head: HeadPose) -> PhotoQuality:
    """Judge one face of a picture.

    Args:
        image: RGB.  # (H, W, 3)
        landmarks: the face.
        head: its absolute pose.

    Returns:
        Five measures and one sentence for each that is poor.
    """
    points = landmarks.points[:MESH_POINTS]
    extent = float(np.ptp(points[:, :2], axis=0).max())
    crop, to_picture = cut(image, landmarks.window(), _SIDE)
    gray = np.asarray(cv2.cvtColor(crop, cv2.COLOR_RGB2GRAY), np.float32)
    to_crop = cv2.invertAffineTransform(to_picture)
    local = points[:, :2].astype(np.float64) @ to_crop[:, :2].T + to_crop[:, 2]
    mask = _face_mask(local)
    values = {
        "sharpness": _sharpness(image, landmarks),
        "size": float(np.clip(extent / _GOOD_FACE_PIXELS, 0, 1)),
        "exposure": _exposure(gray[mask]) if mask.any() else 0.0,
        "frontal": _frontal(head),
        "unoccluded": _unoccluded(crop, local, _share_outside(points, image.shape)),
    }
    return PhotoQuality(**values, hints=_hints(values, extent, head, gray[mask]))


def _face_mask(local: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Return where the mesh covers the crop.  # (_SIDE, _SIDE)"""
    mask = np.zeros((_SIDE, _SIDE), np.uint8)
    cv2.fillConvexPoly(mask, cv2.convexHull(local.round().astype(np.int32)), 1)
    return mask.astype(bool)


def _share_outside(points: NDArray[np.floating], shape: tuple[int, ...]) -> float:
    height, width = shape[:2]
    inside = (points[:, 0] >= 0) & (points[:, 0] < width) & (points[:, 1] >= 0) & (points[:, 1] < height)
    return float(1 - inside.mean())


def _sharpness(image: NDArray[np.uint8], landmarks: Landmarks) -> float:
    """Compare the finest detail around the eyes with the next coarser one.

    A picture in focus at its own resolution has much detail in its finest octave;
    a blurred or enlarged one has it only further down.
    """
    if eye_distance(landmarks.points) < _SHARPNESS_NEEDS:
        return 0.0
    window = landmarks.window()
    size = int(np.clip(window.side, 64, 512))
    crop, _ = cut(image, window, size)
    gray = np.asarray(cv2.cvtColor(crop, cv2.COLOR_RGB2GRAY), np.float32)
    inner = slice(size // 5, size - size // 5)
    fine = gray - cv2.GaussianBlur(gray, (0, 0), 1.0)
    middle = cv2.GaussianBlur(gray, (0, 0), 1.0) - cv2.GaussianBlur(gray, (0, 0), 2.0)
    ratio = float(fine[inner, inner].std() / (middle[inner, inner].std() + 1e-3))
    return float(np.clip((ratio - 0.35) / 0.65, 0, 1))


def _exposure(skin: NDArray[np.float32]) -> float:
    """Return 1 when the face is neither burnt, black nor without contrast."""
    burnt, black = float((skin > 250).mean()), float((skin < 12).mean())
    middle = float(np.median(skin))
    level = np.clip(min(middle / 70, (255 - middle) / 35), 0, 1)
    contrast = np.clip((np.percentile(skin, 95) - np.percentile(skin, 5)) / 60, 0, 1)
    return float(level * contrast * max(1 - 4 * burnt, 0.0) * max(1 - 2 * black, 0.0))


def _frontal(head: HeadPose) -> float:
    yaw = np.clip((_PROFILE_YAW - abs(head.yaw_degrees)) / (_PROFILE_YAW - _GOOD_YAW), 0, 1)
    pitch = np.clip((_BAD_PITCH - abs(head.pitch_degrees - _LEVEL_PITCH)) / (_BAD_PITCH - _GOOD_PITCH), 0, 1)
    return float(yaw * pitch)


def _unoccluded(crop: NDArray[np.uint8], local: NDArray[np.float64], outside: float) -> float:
    """Return 1 when every part of the face that is skin looks like the rest of it.

    Small patches of forehead, cheeks, nose and chin are compared in Lab color with
    their median. Beards and fringes count a little, masks and scarves much, hands
    (skin as well) not at all.

    Args:
        crop: the upright crop, RGB.
        local: the mesh in the crop.  # (468, 2)
        outside: share of the landmarks that lie outside the picture.
    """
    lab = cv2.cvtColor(cv2.blur(crop, (5, 5)), cv2.COLOR_RGB2LAB).astype(np.float32)
    at = np.clip(local[list(_SKIN_POINTS)], 0, _SIDE - 1).astype(int)
    patches = lab[at[:, 1], at[:, 0]]  # (N, 3)
    difference = np.abs(patches - np.median(patches, axis=0)) / _SKIN_TOLERANCE
    strange = float((difference.max(axis=1) > 1).mean())
    return float(np.clip(1.15 - 1.4 * strange, 0, 1) * (1 - outside))


def _hints(values: dict[str, float], extent: float, head: HeadPose, skin: NDArray[np.float32]) -> tuple[str, ...]:
    hints = []
    if values["size"] < _HINT_BELOW:
        hints.append(f"The face is only {round(extent)} pixels high; a closer or larger photo gives more detail.")
    if values["sharpness"] < _HINT_BELOW:
        hints.append("The face is blurred; a sharper photo gives a crisper result.")
    if values["exposure"] < _HINT_BELOW:
        dark = bool(skin.size) and float(np.median(skin)) < 110
        hints.append("The face is too dark." if dark else "The face is too bright or has too little contrast.")
    if values["frontal"] < _HINT_BELOW:
        turned = abs(head.yaw_degrees) >= abs(head.pitch_degrees - _LEVEL_PITCH)
        way = "turned away" if turned else ("tilted up" if head.pitch_degrees > _LEVEL_PITCH else "tilted down")
        hints.append(f"The head is {way}; a photo that looks into the camera can be moved further.")
    if values["unoccluded"] < _HINT_BELOW:
        hints.append("Part of the face seems covered or outside the picture.")
    return tuple(hints)
