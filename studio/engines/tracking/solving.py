"""Which expression landmarks show, frame after frame, on one person's head.

The head is fitted once, to a calm frame. After that a frame costs two rounds of
pose (Gauss-Newton) and bounded weights, started from the frame before; the
squared error of all weights is a constant of the head but for the depth, which
landmarks only guess, so that most of the work is done beforehand. Lids and
gaze are read off the landmarks themselves: the mesh is too coarse for them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from studio.domain.expression import ARKIT_NAMES
from studio.engines.rig import kernels
from studio.engines.rig.asset import HeadAsset
from studio.engines.rig.fit import DEPTH_WEIGHT, Camera, HeadFit, HeadFitter

Array = NDArray[Any]

ROUNDS = 2
_DEPTH = DEPTH_WEIGHT**2
_SWEEPS = 60
_TO_BEFORE, _LOWEST, _HIGHEST = 0.6, 0.0, 1.0
"""Part of the pull that goes to the frame before, the rest goes to the calm frame; and the range of a weight."""
_LIP_PAIRS = ((13, 14), (82, 87), (312, 317))
# Outer and inner corner, points of the upper and of the lower lid, iris center and rim; the subject's left, right.
_EYES = (
    (263, 362, (385, 386, 387), (380, 374, 373), 473),
    (33, 133, (158, 159, 160), (153, 145, 144), 468),
)


@dataclass(frozen=True)
class SolvedFrame:
    """What one frame shows; see `TrackedFace`."""

    weights: NDArray[np.float64]
    head_degrees: NDArray[np.float32]
    lids: NDArray[np.float64]
    gaze: NDArray[np.float64]
    lip_gap_mm: float


class ExpressionSolver:
    """Solves frames of one person, in order.

    Args:
        asset: the parametric head.
        fitter: fits it.
        fit: of the person's calm frame.
    """

    def __init__(self, asset: HeadAsset, fitter: HeadFitter, fit: HeadFit) -> None:
        self._asset, self._fitter, self._fit = asset, fitter, fit
        self._fitted = fitter.fitted
        self._person = asset.landmarks(fit.neutral).astype(np.float64)
        self._basis = asset.actions_at_landmarks[self._fitted].astype(np.float64)  # (K, 468, 3)
        self._weight = fitter.weight
        flat = (self._basis * self._weight[:, None]).reshape(len(self._fitted), -1)
        self._gram = flat @ self._basis.reshape(len(self._fitted), -1).T
        self._rest = fit.weights[self._fitted].astype(np.float64)
        self._last = self._rest.copy()
        self._camera = fit.camera
        self._pull = fitter.free_penalty
        self._low = np.full(len(self._fitted), _LOWEST)
        self._high = np.full(len(self._fitted), _HIGHEST)

    def solve(self, landmarks: Array) -> SolvedFrame:
        """Solve the next frame.

        Args:
            landmarks: pixels, y down, z away.  # (478, 3)
        """
        target = landmarks[:468].astype(np.float64) * [1, -1, -1]
        weights, camera = self._last, self._started(target)
        pull = self._pull
        wanted = _TO_BEFORE * self._last + (1 - _TO_BEFORE) * self._rest
        for _ in range(ROUNDS):
            shape = self._person + np.tensordot(weights, self._basis, 1)
            camera = self._fitter.refine_camera(shape, target, camera, 1)
            weights = self._weights(target, camera, shape, pull, wanted, weights)
        shape = self._person + np.tensordot(weights, self._basis, 1)
        camera = self._fitter.refine_camera(shape, target, camera, 1)
        self._last, self._camera = weights, camera
        whole = np.zeros(len(ARKIT_NAMES))
        whole[self._fitted] = weights
        lids, gaze = eyes_of(landmarks)
        return SolvedFrame(whole, camera.head_pose().as_array(), lids, gaze, self._gap(target, camera))

    def _weights(
        self, target: Array, camera: Camera, shape: Array, pull: Array, wanted: Array, start: Array
    ) -> NDArray[np.float64]:
        """Return the weights that fit best if the pose follows them.

        Pose and weights explain some of the same motion (a nod and raised brows): solved in turns they would creep
        towards each other for many frames. So the pose is eliminated from the equations of the weights.
        """
        left = (target - camera.shift) / camera.scale @ camera.rotation - self._person  # head space
        away = camera.rotation[2]
        metric = self._weight[:, None]
        depth = self._basis @ away  # (K, 468)
        weighted = depth * self._weight
        gram = self._gram - (1 - _DEPTH) * (weighted @ depth.T)
        flat = (left - (1 - _DEPTH) * np.outer(left @ away, away)) * metric
        right = np.tensordot(self._basis, flat, 2)
        moves = _moves(shape)  # (468, 3, 7)
        pressed = (moves - (1 - _DEPTH) * away[:, None] * np.einsum("c,pcm->pm", away, moves)[:, None]) * metric[
            ..., None
        ]
        both = self._basis.reshape(len(self._basis), -1) @ pressed.reshape(-1, 7)  # (K, 7)
        own = np.linalg.inv(np.einsum("pcm,pcn->mn", moves, pressed) + 1e-9 * np.eye(7))
        gram = gram - both @ own @ both.T + np.diag(pull)
        right = right - both @ own @ np.einsum("pcm,pc->m", moves, flat) + pull * wanted
        return np.asarray(
            kernels.bounded_least_squares(gram, right, self._low, self._high, start.copy(), _SWEEPS), np.float64
        )

    def _started(self, target: Array) -> Camera:
        """Return the camera of the frame before, moved to where this frame's face is."""
        camera = self._camera
        shape = self._person + np.tensordot(self._last, self._basis, 1)
        middle = camera.scale * shape.mean(0) @ camera.rotation.T
        return Camera(camera.rotation, camera.scale, target.mean(0) - middle)

    def _gap(self, target: Array, camera: Camera) -> float:
        """Return how far apart the inner lips are along the face's own vertical, millimetres."""
        points = target @ camera.rotation / camera.scale * self._asset.millimetres_per_unit
        return float(np.mean([points[u, 1] - points[d, 1] for u, d in _LIP_PAIRS]))


def _moves(shape: Array) -> Array:
    """Return how points move in head space by turning about its axes, growing, and shifting.  # (N, 3, 7)"""
    x, y, z = shape.T
    out = np.zeros((len(shape), 3, 7))
    out[:, 1, 0], out[:, 2, 0] = -z, y
    out[:, 0, 1], out[:, 2, 1] = z, -x
    out[:, 0, 2], out[:, 1, 2] = -y, x
    out[:, :, 3] = shape
    out[:, 0, 4] = out[:, 1, 5] = out[:, 2, 6] = 1
    return out


def eyes_of(landmarks: Array) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return lids and gaze of a face as `TrackedFace` holds them.  # (2, 2), (2,)"""
    points = landmarks[:, :2].astype(np.float64)
    lids, looks, sizes = np.zeros((2, 2)), np.zeros((2, 2)), np.zeros(2)
    for row, (outer, inner, upper, lower, iris) in enumerate(_EYES):
        left, right = sorted((points[outer], points[inner]), key=lambda p: float(p[0]))
        length = max(float(np.linalg.norm(right - left)), 1e-6)
        along = (right - left) / length
        up = np.array([along[1], -along[0]])
        middle = (left + right) / 2
        lids[row] = [np.mean((points[list(part)] - middle) @ up) / length for part in (upper, lower)]
        rim = points[iris + 1 : iris + 5]
        radius = max(float(np.linalg.norm(rim - points[iris], axis=1).mean()), 1e-6)
        moved = points[iris] - middle
        looks[row] = moved @ along / radius, moved @ up / radius
        sizes[row] = length
    share = sizes**2 / max(float((sizes**2).sum()), 1e-9)  # the eye on the far side of a turned head is seen worse
    return lids, share @ looks
