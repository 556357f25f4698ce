"""Where faces may be: MediaPipe's three BlazeFace detectors.

Each sees the whole picture in its own small square. `short` finds faces that
fill much of the picture, `full` small ones, `back` what both miss. A candidate
says only where to look; whether it is a face is the landmark model's verdict.

Source: anchor layouts of mediapipe/modules/face_detection (short, full range)
and of the `back` model; candidates are blended as MediaPipe blends them.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from studio.engines.vision.crops import Window
from studio.engines.vision.sessions import ModelSessions

DetectorName = Literal["face_short", "face_full", "face_back"]

# Per detector: (stride, anchors per cell) of each output layer.
_LAYERS: dict[DetectorName, tuple[tuple[int, int], ...]] = {
    "face_short": ((8, 2), (16, 6)),
    "face_full": ((4, 1),),
    "face_back": ((16, 2), (32, 6)),
}
_REGRESSORS = {"face_short": "regressors", "face_full": "Identity", "face_back": "regressors"}
_SCORES = {"face_short": "classificators", "face_full": "Identity_1", "face_back": "classificators"}
MIN_SCORE = 0.5
_OVERLAP = 0.3  # intersection over union above which two boxes are one face
# The landmark model wants the detector's box with half its side of surroundings.
_WINDOW_SCALE = 1.5


@dataclass(frozen=True)
class Candidate:
    """A place that may hold a face.

    Attributes:
        score: the detector's confidence, 0..1.
        center: x, y of the box, pixels.
        size: width and height of the box, pixels.
        keypoints: image-left eye, image-right eye, nose, mouth, two ears.  # (6, 2)
    """

    score: float
    center: tuple[float, float]
    size: tuple[float, float]
    keypoints: NDArray[np.float64]

    def window(self) -> Window:
        """Return the window in which to look for landmarks, turned upright."""
        right, left = self.keypoints[0], self.keypoints[1]
        angle = float(np.arctan2(left[1] - right[1], left[0] - right[0]))
        return Window(self.center, max(self.size) * _WINDOW_SCALE, angle)


@cache
def _anchors(name: DetectorName, size: int) -> NDArray[np.float64]:
    """Return the anchor centers in 0..1.  # (N, 2)"""
    layers = []
    for stride, repeats in _LAYERS[name]:
        cells = size // stride
        grid = (np.arange(cells) + 0.5) / cells
        xs, ys = np.meshgrid(grid, grid)
        layers.append(np.repeat(np.stack([xs, ys], -1).reshape(-1, 2), repeats, axis=0))
    return np.concatenate(layers)


def find_candidates(
    sessions: ModelSessions, name: DetectorName, image: NDArray[np.uint8], min_score: float = MIN_SCORE
) -> list[Candidate]:
    """Run one detector over a whole picture.

    Args:
        sessions: the open models.
        name: which detector.
        image: RGB.  # (H, W, 3)
        min_score: lowest confidence that counts, 0..1.

    Returns:
        Candidates in the picture's pixels, most confident first.
    """
    size = sessions.input_size(name)
    height, width = image.shape[:2]
    scale = size / max(height, width)
    inner = (max(round(width * scale), 1), max(round(height * scale), 1))
    small = cv2.resize(image, inner, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR)
    offset = ((size - inner[0]) // 2, (size - inner[1]) // 2)
    canvas = np.full((size, size, 3), -1.0, np.float32)
    canvas[offset[1] : offset[1] + inner[1], offset[0] : offset[0] + inner[0]] = small / np.float32(127.5) - 1
    outputs = sessions.run(name, canvas)
    logits = np.clip(outputs[_SCORES[name]][:, 0], -80, 80).astype(np.float64)
    scores = 1 / (1 + np.exp(-logits))
    chosen = scores >= min_score
    boxes = outputs[_REGRESSORS[name]][chosen].reshape(-1, 8, 2).astype(np.float64) / size
    anchors = _anchors(name, size)[chosen]
    boxes[:, 0] += anchors
    boxes[:, 2:] += anchors[:, None]
    pixels = size / np.array([inner[0] / width, inner[1] / height])
    shift = np.asarray(offset) / size
    found = []
    for score, box in _blend(scores[chosen], boxes):
        points = (box[[0, 2, 3, 4, 5, 6, 7]] - shift) * pixels
        extent = box[1] * pixels
        found.append(
            Candidate(
                float(score),
                (float(points[0, 0]), float(points[0, 1])),
                (float(extent[0]), float(extent[1])),
                points[1:],
            )
        )
    return found


def _blend(scores: NDArray[np.float64], boxes: NDArray[np.float64]) -> list[tuple[float, NDArray[np.float64]]]:
    """Average overlapping boxes by their scores, most confident group first."""
    order = np.argsort(-scores, kind="stable")
    used = np.zeros(len(scores), bool)
    groups = []
    for index in order:
        if used[index]:
            continue
        group = [j for j in order if not used[j] and _overlap(boxes[index], boxes[j]) > _OVERLAP]
        group = group or [index]
        used[group] = True
        weights = scores[group]
        groups.append((float(scores[index]), (boxes[group] * weights[:, None, None]).sum(0) / weights.sum()))
    return groups


def _overlap(first: NDArray[np.float64], second: NDArray[np.float64]) -> float:
    low = np.maximum(first[0] - first[1] / 2, second[0] - second[1] / 2)
    high = np.minimum(first[0] + first[1] / 2, second[0] + second[1] / 2)
    shared = float(np.prod(np.maximum(high - low, 0)))
    union = float(np.prod(first[1]) + np.prod(second[1])) - shared
    return shared / union if union > 0 else 0.0
