"""How well a face picture can serve, as numbers and as sentences.

Five measures from the pixels inside the landmarks' box, each 0 (bad) .. 1
(good). They are simple on purpose and are shown to the person as advice, never
used to refuse a picture. Knows nothing of beauty, and sees a covered face only
by what the landmark model and the skin's evenness give away.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from studio.domain.face import PhotoQuality
from studio.domain.pose import HeadPose
from studio.engines.vision.crops import cut
from studio.engines.vision.landmarks import MESH_POINTS, Landmarks

cv2.setNumThreads(1)

_SIDE = 160  # pixels of the upright crop that is measured
# A face this high gives 512 px output (face about 55 % of the picture) its own detail.
_GOOD_FACE_PIXELS = 280.0
_GOOD_YAW, _PROFILE_YAW = 12.0, 55.0
_GOOD_PITCH, _BAD_PITCH = 12.0, 45.0
_HINT_BELOW = 0.5


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
    mask = _face_mask(points, to_picture)
    values = {
        "sharpness": _sharpness(image, landmarks),
        "size": float(np.clip(extent / _GOOD_FACE_PIXELS, 0, 1)),
        "exposure": _exposure(gray[mask]) if mask.any() else 0.0,
        "frontal": _frontal(head),
        "unoccluded": _unoccluded(gray, mask, image, points, landmarks.score),
    }
    return PhotoQuality(**values, hints=_hints(values, extent, head, gray[mask]))


def _face_mask(points: NDArray[np.floating], to_picture: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Return where the face is in the crop."""
    to_crop = cv2.invertAffineTransform(to_picture)
    local = points[:, :2].astype(np.float64) @ to_crop[:, :2].T + to_crop[:, 2]
    hull = cv2.convexHull(local.round().astype(np.int32))
    mask = np.zeros((_SIDE, _SIDE), np.uint8)
    cv2.fillConvexPoly(mask, hull, 1)
    return mask.astype(bool)


def _sharpness(image: NDArray[np.uint8], landmarks: Landmarks) -> float:
    """Compare the finest detail around the eyes with the next coarser one.

    A picture in focus at its own resolution has much detail in its finest octave;
    a blurred or enlarged one has it only further down.
    """
    eyes = landmarks.points[[33, 263], :2]
    distance = float(np.linalg.norm(eyes[1] - eyes[0]))
    if distance < 8:
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
    return float(np.clip(level * contrast * (1 - 4 * burnt) * (1 - 2 * black), 0, 1))


def _frontal(head: HeadPose) -> float:
    yaw = np.clip((_PROFILE_YAW - abs(head.yaw_degrees)) / (_PROFILE_YAW - _GOOD_YAW), 0, 1)
    pitch = np.clip((_BAD_PITCH - abs(head.pitch_degrees)) / (_BAD_PITCH - _GOOD_PITCH), 0, 1)
    return float(yaw * pitch)


def _unoccluded(
    gray: NDArray[np.float32],
    mask: NDArray[np.bool_],
    image: NDArray[np.uint8],
    points: NDArray[np.floating],
    score: float,
) -> float:
    """Combine the landmark model's doubt with how much of the face lies outside the picture."""
    height, width = image.shape[:2]
    inside = (points[:, 0] >= 0) & (points[:, 0] < width) & (points[:, 1] >= 0) & (points[:, 1] < height)
    return float(np.clip((score - 0.5) / 0.45, 0, 1) * inside.mean())


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
        turned = abs(head.yaw_degrees) >= abs(head.pitch_degrees)
        way = "turned away" if turned else ("tilted up" if head.pitch_degrees > 0 else "tilted down")
        hints.append(f"The head is {way}; a photo that looks into the camera can be moved further.")
    if values["unoccluded"] < _HINT_BELOW:
        hints.append("Part of the face seems covered or outside the picture.")
    return tuple(hints)
