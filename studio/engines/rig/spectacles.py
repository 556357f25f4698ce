"""Glasses in a photo: where their frame is, and how to keep it stiff.

A frame lies on the skin's pixels but does not bend with them. It is found by the one
line that no bare face has: the lower rims, thin and unlike the skin above and
below, which cross the cheek under both eyes. From there the frame's thin
strokes are followed. Vertices under the frame then give up the expression's
motion, and their depth is that of one smooth curve from temple to temple, so
that brows move above the frame and a turn does not ripple it.
"""

from __future__ import annotations

from typing import Any

import cv2
import numba as nb
import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
FloatArray = NDArray[np.float32]

# Lengths are shares of the eye distance (outer corners).
WORK_EYE = 120.0  # pixels of eye distance at which frames are looked for
STROKE = 0.09  # widest stroke of a frame
UNDER_EYE = (0.09, 0.36)  # where a lower rim may run, below the line of the corners
ENOUGH = 36.0  # gray levels by which a rim stands out along its way, on both sides, to be one
STANDS_OUT = 0.45  # of the rims' own contrast: from here on a pixel belongs to the frame
SPREAD = 0.05  # how far the stiffness fades out around the frame
_CORNERS = ((33, 133), (362, 263))


class Spectacles:
    """The frame of one photo.

    Args:
        image: RGB.  # (H, W, 3) uint8
        landmarks: MediaPipe's points.  # (478, 3)
        eye_distance: pixels.
    """

    def __init__(self, image: Array, landmarks: Array, eye_distance: float) -> None:
        self._eye = eye_distance
        marks = landmarks[:, :2]
        axis = (marks[263] - marks[33]) / (np.linalg.norm(marks[263] - marks[33]) + 1e-9)
        scale = WORK_EYE / eye_distance
        # A frame of its own: x along the eyes, y down the face, the middle between the eyes in the center.
        self._size = (round(2.3 * WORK_EYE), round(1.5 * WORK_EYE))
        turn = scale * np.array([[axis[0], axis[1]], [-axis[1], axis[0]]])
        shift = np.array(self._size) * [0.5, 0.45] - turn @ ((marks[33] + marks[263]) / 2)
        self._to_frame = np.concatenate([turn, shift[:, None]], 1)
        gray = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
        soft = cv2.GaussianBlur(gray, (0, 0), max(0.5 / scale, 0.3)) if scale < 1 else gray
        view = cv2.warpAffine(soft, self._to_frame, self._size, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        self.mask = self._find(view, marks @ turn.T + shift)
        """How much each pixel of the frame's own view is frame; None without glasses.  # (h, w) float32"""

    @property
    def found(self) -> bool:
        """Whether the face wears glasses."""
        return self.mask is not None

    def _find(self, view: Array, marks: Array) -> FloatArray | None:
        """Return the frame's pixels, or None.  # (h, w) 0..1"""
        stroke = 2 * round(STROKE * WORK_EYE / 2) + 1
        kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (stroke, stroke))
        dark = cv2.morphologyEx(view, cv2.MORPH_BLACKHAT, kernel).astype(np.float32)
        contrasts, paths = [], []
        for inner, outer in _CORNERS:
            left, right = sorted((marks[inner], marks[outer]), key=lambda p: float(p[0]))
            contrast, path = _rim(dark, left, right)
            contrasts.append(contrast)
            paths.append(path)
        if min(contrasts) < ENOUGH:
            return None
        strokes: Array = (dark > STANDS_OUT * min(contrasts)).astype(np.uint8)
        strokes = cv2.morphologyEx(strokes, cv2.MORPH_CLOSE, np.ones((3, 3), np.uint8))
        _, labels = cv2.connectedComponents(strokes, connectivity=8)
        on_rim = np.unique(np.concatenate([labels[path[:, 1], path[:, 0]] for path in paths]))
        mask: Array = np.isin(labels, on_rim[on_rim > 0]).astype(np.uint8)
        for inner, outer in _CORNERS:  # lashes touch a rim now and then, and must stay free
            middle = (marks[inner] + marks[outer]) / 2
            half = float(np.linalg.norm(marks[inner] - marks[outer])) / 2
            at = (round(float(middle[0])), round(float(middle[1])))
            cv2.ellipse(mask, at, (round(half), round(0.45 * half)), 0, 0, 360, 0, -1)
        wide = cv2.dilate(mask, np.ones((3, 3), np.uint8)).astype(np.float32)
        return np.asarray(cv2.GaussianBlur(wide, (0, 0), 1.0), np.float32)

    def stiffness(self, points: Array) -> FloatArray:
        """Return how stiff the face is at points of the photo: 1 on the frame, 0 away from it.

        Args:
            points: x, y in pixels.  # (N, 2)
        """
        if self.mask is None:
            return np.zeros(len(points), np.float32)
        away = cv2.distanceTransform((self.mask < 0.5).astype(np.uint8), cv2.DIST_L2, 5) / WORK_EYE
        stiff = np.exp(-((away / SPREAD) ** 2)).astype(np.float32)
        at = points @ self._to_frame[:, :2].T + self._to_frame[:, 2]
        found = cv2.remap(
            stiff, at[:, 0].astype(np.float32)[None], at[:, 1].astype(np.float32)[None], cv2.INTER_LINEAR,
            borderMode=cv2.BORDER_CONSTANT, borderValue=0,
        )[0]  # fmt: skip
        return np.asarray(found, np.float32)

    def depth_change(self, mesh: Array, stiff: Array) -> FloatArray:
        """Return how far each vertex moves towards the viewer to lie on the frame's own smooth curve.

        Args:
            mesh: the fitted head in the picture.  # (V, 3)
            stiff: see `stiffness`, 0 on vertices that are not drawn.  # (V,)
        """
        on = stiff > 0.5
        if on.sum() < 12:
            return np.zeros(len(mesh), np.float32)
        x = (mesh @ np.append(self._to_frame[0, :2], 0.0) + self._to_frame[0, 2] - self._size[0] / 2) / WORK_EYE
        y = (mesh @ np.append(self._to_frame[1, :2], 0.0) + self._to_frame[1, 2] - self._size[1] / 2) / WORK_EYE
        terms = np.stack([np.ones_like(x), x, x * x, y], 1)
        curve = np.linalg.lstsq(terms[on], mesh[on, 2], rcond=None)[0]
        change = np.clip(terms @ curve - mesh[:, 2], -0.25 * self._eye, 0.25 * self._eye)
        return np.asarray(change * stiff, np.float32)


def _rim(dark: Array, left: Array, right: Array) -> tuple[float, Array]:
    """Follow the strongest thin dark line under one eye, from side to side.

    Args:
        dark: how much darker than its surroundings a pixel is, gray levels.  # (h, w)
        left, right: corners of the eye.  # (2,) each

    Returns:
        Its 20th percentile contrast, and its pixels x, y.  # (N, 2)
    """
    columns = np.arange(round(left[0]), round(right[0]) + 1)
    base = np.interp(columns, [left[0], right[0]], [left[1], right[1]])
    heights = np.arange(round(UNDER_EYE[0] * WORK_EYE), round(UNDER_EYE[1] * WORK_EYE))
    rows = np.clip(np.round(base[None] + heights[:, None]).astype(int), 0, dark.shape[0] - 1)
    gain = dark[rows, np.clip(columns, 0, dark.shape[1] - 1)[None]]
    path = np.empty(gain.shape[1], np.int64)
    _follow(gain, 2.0, path)
    steps = np.arange(len(path))
    contrast = float(np.percentile(gain[path, steps], 20))
    return contrast, np.stack([np.clip(columns, 0, dark.shape[1] - 1), rows[path, steps]], 1)


@nb.njit(cache=True, nogil=True)
def _follow(gain: Array, slope: float, path: Array) -> None:
    """Find the row in every column that gathers the most, neighbors at most two rows apart.

    Args:
        gain: (h, w)
        slope: what a row of difference costs.
        path: rows, written.  # (w,) int64
    """
    height, width = gain.shape
    total = gain.copy()
    back = np.zeros((height, width), np.int8)
    for x in range(1, width):
        for y in range(height):
            best = -1e9
            for step in range(-2, 3):
                if 0 <= y + step < height and total[y + step, x - 1] - slope * abs(step) > best:
                    best = total[y + step, x - 1] - slope * abs(step)
                    back[y, x] = step
            total[y, x] += best
    row = total[:, width - 1].argmax()
    for x in range(width - 1, -1, -1):
        path[x] = row
        row += back[row, x]
