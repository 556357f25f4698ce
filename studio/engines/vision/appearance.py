"""What a photo shows of a person besides who it is, as plain numbers.

Shapes (lids, lips, brows) are read from the landmarks after the head's turn has
been taken out, in units of the distance between the outer eye corners. Colors
and light are medians over places the landmarks and the matte point at: patches
of skin, the strip above the forehead, everything that is not the person. The
words for these numbers are in studio.domain.traits. Nothing here guesses age,
sex or descent, and hair hidden under a hat is read as the hat.
"""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from studio.domain.face import DetectedFace
from studio.domain.traits import Measures, Rgb
from studio.engines.base import Image, Matte
from studio.engines.vision.crops import cut
from studio.engines.vision.landmarks import window_of
from studio.engines.vision.pose import rotation_from_landmarks

cv2.setNumThreads(1)

_SIDE = 640  # pictures are shrunk to this: medians need no more
_EYE_CORNERS = (33, 133, 362, 263)  # outer and inner of the subject's right, inner and outer of the left eye
_LIDS = ((159, 145, 33, 133), (386, 374, 362, 263))  # upper, lower, corners
_INNER_LIPS, _MOUTH_CORNERS = (13, 14), (61, 291)
_BROW_MIDDLES = (105, 334)
_FOREHEAD, _CHIN = 10, 152
# Pairs of skin points, the subject's right first: forehead, cheekbones, cheeks, beside the mouth.
_SKIN_PAIRS = ((69, 299), (108, 337), (50, 280), (123, 352), (205, 425), (187, 411), (186, 410))
_PERSON, _BACKGROUND = 200, 20  # matte values that surely are
_LEAST_PIXELS = 60
_FACE_SIDE = 256
# Lines over places where frames would cross: between the brows to the nose, from each lower lid to the cheek.
_BRIDGE, _RIMS = (8, 195), ((145, 50), (374, 280))


def measure(image: Image, face: DetectedFace, matte: Matte) -> Measures:
    """Measure one face.

    Args:
        image: RGB.  # (H, W, 3)
        face: found in it.
        matte: of any size; stretched over the picture.  # (h, w)

    Returns:
        Numbers; None where there are too few pixels to say.
    """
    height, width = image.shape[:2]
    scale = min(1.0, _SIDE / max(height, width))
    size = (max(round(width * scale), 1), max(round(height * scale), 1))
    small = np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), np.uint8)
    person = np.asarray(cv2.resize(matte, size, interpolation=cv2.INTER_AREA), np.uint8)
    points = face.landmarks * np.float32(scale)
    x0, y0, x1, y1 = (v * scale for v in face.box)
    tall = max(y1 - y0, 1.0)
    values: dict[str, Any] = {
        **_shapes(face.landmarks),
        **_light(small, points, x1 - x0),
        "detail": _detail(image, face),
        **_background(small, person),
    }
    return Measures(
        face_share=float(tall / size[1]),
        room_below=_room_below(person, float(points[_CHIN, 0]), y1, tall),
        brightest=float(np.percentile(cv2.cvtColor(small, cv2.COLOR_RGB2GRAY), 95)),
        glasses=_frames(image, face),
        hair_rgb=_hair(small, person, points, tall),
        **values,
    )


def _detail(image: Image, face: DetectedFace) -> float:
    """Return the contrast between blurs of 1 and 2 pixels on the face drawn 256 pixels wide, against all contrast.

    Unlike a comparison of the two finest octaves it is not deceived by the noise of compressing a blurred picture,
    and it asks for no more detail than training at 512 pixels can use.
    """
    crop, _ = cut(image, window_of(face.landmarks), _FACE_SIDE)
    gray = cv2.cvtColor(crop, cv2.COLOR_RGB2GRAY).astype(np.float32)
    band = cv2.GaussianBlur(gray, (0, 0), 1.0) - cv2.GaussianBlur(gray, (0, 0), 2.0)
    inner = slice(_FACE_SIDE // 5, _FACE_SIDE - _FACE_SIDE // 5)
    return float(band[inner, inner].std() / (gray[inner, inner].std() + 1.0))


def _shapes(landmarks: NDArray[np.float32]) -> dict[str, float]:
    """Measure lids, lips and brows on the face turned to the front."""
    rotation, _ = rotation_from_landmarks(landmarks)
    points = (landmarks.astype(np.float64) * [1, -1, -1]) @ rotation  # head axes: x right, y up
    unit = max(float(np.linalg.norm(points[263] - points[33])), 1e-6)
    eyes = points[list(_EYE_CORNERS), 1].mean()

    def level(indices: tuple[int, ...]) -> float:
        return float(points[list(indices), 1].mean())

    lids = [
        float(points[up, 1] - points[low, 1]) / max(float(np.linalg.norm(points[a] - points[b])), 1e-6)
        for up, low, a, b in _LIDS
    ]
    upper, lower = (points[i] for i in _INNER_LIPS)
    return {
        "eye_open": float(np.mean(lids)),
        "mouth_open": float(np.linalg.norm(upper[:2] - lower[:2])) / unit,
        "smile": (level(_MOUTH_CORNERS) - level(_INNER_LIPS)) / unit,
        "mouth_width": float(np.linalg.norm(points[_MOUTH_CORNERS[0]] - points[_MOUTH_CORNERS[1]])) / unit,
        "brow_raise": (level(_BROW_MIDDLES) - float(eyes)) / unit,
    }


def _light(image: Image, points: NDArray[np.float32], face_width: float) -> dict[str, Any]:
    """Compare the two halves of the face; the picture's left and right, whatever way the head is turned."""
    radius = max(int(0.02 * face_width), 1)
    blurred = cv2.blur(image, (2 * radius + 1, 2 * radius + 1))
    height, width = image.shape[:2]

    def colors(indices: list[int]) -> NDArray[np.float64]:
        x = np.clip(points[indices, 0], 0, width - 1).astype(int)
        y = np.clip(points[indices, 1], 0, height - 1).astype(int)
        return np.asarray(blurred[y, x], np.float64) / 255

    left, right = colors([a for a, _ in _SKIN_PAIRS]), colors([b for _, b in _SKIN_PAIRS])
    linear = [np.median((side**2.2) @ [0.2126, 0.7152, 0.0722]) + 1e-3 for side in (left, right)]
    skin = np.median(np.vstack([left, right]), axis=0)
    return {
        "light_side": float(np.log2(linear[1] / linear[0])),
        "skin_rgb": _rgb(skin),
    }


def _background(image: Image, person: Matte) -> dict[str, Any]:
    outside = person < _BACKGROUND
    share = float(outside.mean())
    if int(outside.sum()) < _LEAST_PIXELS:
        return {"background_share": share}
    lab = cv2.cvtColor(image.astype(np.float32) / 255, cv2.COLOR_RGB2LAB)[outside]
    middle = np.median(lab, axis=0)
    spread = float(np.linalg.norm(lab - middle, axis=1).mean())
    color = np.median(image[outside], axis=0) / 255
    return {
        "background_share": share,
        "background_spread": spread,
        "background_rgb": _rgb(color),
    }


def _hair(image: Image, person: Matte, points: NDArray[np.float32], tall: float) -> Rgb | None:
    """Return the color above the forehead where that is the person; None where it is too little, or skin."""
    top, chin = points[_FOREHEAD, :2].astype(float), points[_CHIN, :2].astype(float)
    up = (top - chin) / max(float(np.linalg.norm(top - chin)), 1e-6)
    across = np.array([-up[1], up[0]])
    grid = [
        top + up * tall * h + across * tall * w for h in np.linspace(0.1, 0.24, 8) for w in np.linspace(-0.2, 0.2, 9)
    ]
    found = []
    for x, y in grid:
        column, row = round(x), round(y)
        if 0 <= row < image.shape[0] and 0 <= column < image.shape[1] and person[row, column] > _PERSON:
            found.append(image[row, column])
    if len(found) < len(grid) // 4:
        return None
    color = np.median(np.array(found), axis=0) / 255
    skin = (
        np.median(
            image[
                tuple(
                    np.clip(
                        points[[9, 151, 50, 280], :2].astype(int).T[::-1],
                        0,
                        [[image.shape[0] - 1], [image.shape[1] - 1]],
                    )
                )
            ],
            axis=0,
        )
        / 255
    )
    return None if float(np.abs(color - skin).max()) < 0.08 else _rgb(color)


def _frames(image: Image, face: DetectedFace) -> float | None:
    """Look for frames of glasses: a step of brightness across the nose bridge, and one below each eye.

    Bare skin is smooth in both places. Rimless and very thin frames are missed; shadows of a deep brow count a little.
    """
    crop, to_picture = cut(image, window_of(face.landmarks), _FACE_SIDE)
    matrix = cv2.invertAffineTransform(to_picture)
    points = face.landmarks[:, :2].astype(np.float64) @ matrix[:, :2].T + matrix[:, 2] - 0.5
    lab = cv2.cvtColor(cv2.GaussianBlur(crop, (0, 0), 1.2), cv2.COLOR_RGB2LAB)
    lightness = lab[..., 0].astype(np.float32)
    cheeks = np.clip(points[[50, 280, 205, 425, 151]], 0, _FACE_SIDE - 1).astype(int)
    skin = max(float(np.median(lightness[cheeks[:, 1], cheeks[:, 0]])), 40.0)

    def step(start: int, end: int, skip: int = 0) -> float:
        along = np.linspace(0, 1, 40)[:, None]
        line = np.clip(points[start] * (1 - along) + points[end] * along, 0, _FACE_SIDE - 2).astype(np.float32)
        values = cv2.remap(lightness, line[None, :, 0], line[None, :, 1], cv2.INTER_LINEAR)[0][skip:]
        return float(np.abs(values[4:] - values[:-4]).max())

    bridge = step(*_BRIDGE)
    rims = min(step(*line, skip=8) for line in _RIMS)  # the first fifth is the lower lid with its lashes
    return (bridge + rims) / skin


def _room_below(person: Matte, chin_x: float, chin_y: float, tall: float) -> float | None:
    """Return how much of the person is seen below the chin, in face heights."""
    width = person.shape[1]
    left, right = (int(np.clip(chin_x + s * 0.4 * tall, 0, width - 1)) for s in (-1, 1))
    rows = np.flatnonzero((person[:, left : right + 1] > 128).mean(axis=1) > 0.3)
    below = rows[rows > chin_y]
    return 0.0 if below.size == 0 else float((below[-1] + 1 - chin_y) / tall)


def _rgb(color: NDArray[np.floating]) -> Rgb:
    return float(color[0]), float(color[1]), float(color[2])
