"""The 478 landmarks of one face: MediaPipe's attention mesh and its irises.

The model sees a 192 px window around the face and answers with a plain mesh of
468 points, and with exact lips, lids and irises found by looking again at those
places. The window follows from landmarks too, so a second look from a better
window gives better landmarks. Knows nothing of how the face was found.

Convention: pixels of the picture, x right, y down, z towards the scene.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from studio.domain.face import FloatArray
from studio.engines.vision.crops import Window, apply, cut
from studio.engines.vision.sessions import ModelSessions

MESH_POINTS = 468
IRIS_POINTS = 5  # center, then right, top, left, bottom of the iris
RIGHT_EYE_CORNERS = (33, 133)  # of the subject's right eye: outer, inner (left in the picture)
LEFT_EYE_CORNERS = (263, 362)

# Order of the points in the refined outputs.
# Source: the `subset_idxs` of the model's own Landmarks2TransformMatrix operators.
_LIPS = (
    61, 146, 91, 181, 84, 17, 314, 405, 321, 375, 291, 185, 40, 39, 37, 0, 267, 269, 270, 409,
    78, 95, 88, 178, 87, 14, 317, 402, 318, 324, 308, 191, 80, 81, 82, 13, 312, 311, 310, 415,
    76, 77, 90, 180, 85, 16, 315, 404, 320, 307, 306, 184, 74, 73, 72, 11, 302, 303, 304, 408,
    62, 96, 89, 179, 86, 15, 316, 403, 319, 325, 292, 183, 42, 41, 38, 12, 268, 271, 272, 407,
)  # fmt: skip
_RIGHT_EYE = (
    33, 7, 163, 144, 145, 153, 154, 155, 133, 246, 161, 160, 159, 158, 157, 173, 130, 25, 110, 24,
    23, 22, 26, 112, 243, 247, 30, 29, 27, 28, 56, 190, 226, 31, 228, 229, 230, 231, 232, 233,
    244, 113, 225, 224, 223, 222, 221, 189, 35, 124, 46, 53, 52, 65, 143, 111, 117, 118, 119, 120,
    121, 128, 245, 156, 70, 63, 105, 66, 107, 55, 193,
)  # fmt: skip
_LEFT_EYE = (
    263, 249, 390, 373, 374, 380, 381, 382, 362, 466, 388, 387, 386, 385, 384, 398, 359, 255, 339, 254,
    253, 252, 256, 341, 463, 467, 260, 259, 257, 258, 286, 414, 446, 261, 448, 449, 450, 451, 452, 453,
    464, 342, 445, 444, 443, 442, 441, 413, 265, 353, 276, 283, 282, 295, 372, 340, 346, 347, 348, 349,
    350, 357, 465, 383, 300, 293, 334, 296, 336, 285, 417,
)  # fmt: skip
_LID_POINTS = 16  # the first points of an eye's output are its lid contour
# MediaPipe calls "left" what is left in the picture.
_REFINED = {"output_lips": _LIPS, "output_left_eye": _RIGHT_EYE, "output_right_eye": _LEFT_EYE}
_IRISES = (("output_left_iris", _RIGHT_EYE), ("output_right_iris", _LEFT_EYE))
_WINDOW_SCALE = 1.5  # the model was trained on the landmarks' box, half as large again


@dataclass(frozen=True)
class Landmarks:
    """One face as the landmark model sees it.

    Attributes:
        points: 468 mesh points and 5 per iris.  # (478, 3)
        score: confidence that this is a face, 0..1.
        drift: mean movement of the mesh since the look before, as a share of the
            distance between the outer eye corners; infinite after a first look.
            A face hardly moves (measured: below .01 on 45 photos and paintings);
            what only resembles one does (color wheel .05, cat .2).
    """

    points: FloatArray
    score: float
    drift: float = float("inf")

    def window(self) -> Window:
        """Return the window from which to look again."""
        return window_of(self.points)


def window_of(points: NDArray[np.floating]) -> Window:
    """Return the upright square around landmarks that the model wants to see."""
    right, left = points[RIGHT_EYE_CORNERS[0], :2], points[LEFT_EYE_CORNERS[0], :2]
    angle = float(np.arctan2(left[1] - right[1], left[0] - right[0]))
    cos, sin = np.cos(angle), np.sin(angle)
    turned = points[:MESH_POINTS, :2] @ np.array([[cos, -sin], [sin, cos]])
    low, high = turned.min(0), turned.max(0)
    x, y = np.array([[cos, -sin], [sin, cos]]) @ ((low + high) / 2)
    return Window((float(x), float(y)), max(float((high - low).max()), 1.0) * _WINDOW_SCALE, angle)


def find_landmarks(sessions: ModelSessions, image: NDArray[np.uint8], window: Window) -> Landmarks:
    """Look once through a window.

    Args:
        sessions: the open models.
        image: RGB.  # (H, W, 3)
        window: where the face is thought to be.

    Returns:
        Landmarks in the picture's pixels, and the model's confidence.
    """
    size = sessions.input_size("face_landmarks")
    crop, to_picture = cut(image, window, size)
    outputs = sessions.run("face_landmarks", crop.astype(np.float32) / np.float32(255))
    mesh = outputs["output_mesh_identity"].reshape(MESH_POINTS, 3).astype(np.float64)
    for name, indices in _REFINED.items():
        mesh[list(indices), :2] = outputs[name].reshape(-1, 2)
    irises = []
    for name, eye in _IRISES:
        iris = outputs[name].reshape(IRIS_POINTS, 2)
        depth = mesh[list(eye[:_LID_POINTS]), 2].mean()  # as MediaPipe: the lids' mean depth
        irises.append(np.column_stack([iris, np.full(IRIS_POINTS, depth)]))
    points = np.concatenate([mesh, *irises])
    points[:, :2] = apply(to_picture, points[:, :2])
    points[:, 2] *= window.side / size
    logit = float(np.clip(outputs["conv_faceflag"].ravel()[0], -80, 80))
    return Landmarks(points.astype(np.float32), float(1 / (1 + np.exp(-logit))))


def refine(sessions: ModelSessions, image: NDArray[np.uint8], landmarks: Landmarks, looks: int = 2) -> Landmarks:
    """Look again from the landmarks' own window; twice is enough for a photo.

    Source: measured, the third look moves the mesh by .2 to .9 % of the eye distance.
    """
    for _ in range(looks):
        before = landmarks.points[:MESH_POINTS, :2]
        landmarks = find_landmarks(sessions, image, landmarks.window())
        moved = np.linalg.norm(landmarks.points[:MESH_POINTS, :2] - before, axis=1).mean()
        landmarks = replace(landmarks, drift=float(moved) / max(eye_distance(landmarks.points), 1e-6))
    return landmarks


def wobble(sessions: ModelSessions, image: NDArray[np.uint8], landmarks: Landmarks) -> float:
    """Look from a shifted, widened and turned window; return how far the mesh moves.

    Returns:
        Mean movement as a share of the outer eye corners' distance. Faces: below
        .07; things that resemble one: .12 and more (measured).
    """
    window = landmarks.window()
    x, y = window.center
    askew = Window((x - 0.03 * window.side, y + 0.05 * window.side), 1.15 * window.side, window.angle - 0.1)
    moved = find_landmarks(sessions, image, askew).points[:MESH_POINTS, :2] - landmarks.points[:MESH_POINTS, :2]
    return float(np.linalg.norm(moved, axis=1).mean()) / max(eye_distance(landmarks.points), 1e-6)


def eye_distance(points: NDArray[np.floating]) -> float:
    """Return the distance between the outer eye corners in the picture, pixels."""
    return float(np.linalg.norm(points[LEFT_EYE_CORNERS[0], :2] - points[RIGHT_EYE_CORNERS[0], :2]))
