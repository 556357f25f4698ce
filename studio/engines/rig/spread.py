"""Spreads what is known at a few landmarks over the whole mesh.

Two maps, both linear and fixed by the average head, so that they are computed
once and cost a small matrix product afterwards: `ResidualField` carries the
fit's left-over landmark errors to all vertices (a thin radial-basis spline),
and `LipFields` moves the two lips towards each other without touching anything
else. Both live on a template whose mouth is slightly open: on closed lips the
upper and the lower lip would share one control point.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from studio.domain.expression import INDEX
from studio.engines.rig import kernels
from studio.engines.rig.asset import INNER_LIP_PAIRS, HeadAsset

Array = NDArray[Any]

SMOOTHING = 0.004  # decimetres; enough to ignore landmark noise of .3 % of the eye distance
REACH = 0.45  # decimetres beyond the landmarks after which the field has faded


def _open_template(asset: HeadAsset) -> NDArray[np.float32]:
    return np.asarray(asset.mean + 0.35 * asset.actions[INDEX["jawOpen"]], np.float32)


class ResidualField:
    """Landmark displacements -> vertex displacements (r-kernel RBF with an affine part)."""

    def __init__(self, asset: HeadAsset) -> None:
        template = _open_template(asset).astype(np.float64)
        marks = asset.landmarks(template)
        count = len(marks)
        distance = _distances(marks, marks)
        affine = _affine(marks)
        system = np.block([[SMOOTHING * np.eye(count) - distance, affine], [affine.T, np.zeros((4, 4))]])
        reach = _distances(template, marks)
        fade = np.exp(-((reach.min(1) / REACH) ** 2))[:, None]
        # Two thin factors: their product, a (V, 468) matrix, would take longer to make than all photos of a session.
        self._coefficients = np.linalg.inv(system)[:, :count]
        self._evaluate = np.empty((len(template), count + 4), np.float32)
        np.multiply(reach, -fade, out=self._evaluate[:, :count], casting="same_kind")
        self._evaluate[:, count:] = fade * _affine(template)

    def spread(self, displacements: Array) -> NDArray[np.float32]:
        """Return vertex displacements.  # (468, 3) -> (V, 3)"""
        return np.asarray(self._evaluate @ (self._coefficients @ displacements).astype(np.float32), np.float32)


def _affine(points: Array) -> Array:
    """Return the columns of an affine map: 1, x, y, z.  # (N, 3) -> (N, 4)"""
    return np.concatenate([np.ones((len(points), 1)), points], 1)


def _distances(points: Array, others: Array) -> NDArray[np.float64]:
    """Return every distance between two sets of points.  # (N, 3), (M, 3) -> (N, M)"""
    out = np.empty((len(points), len(others)))
    kernels.distances(points, others, out)
    return out


class LipFields:
    """Moves the upper and the lower lip at each inner-lip pair, fading towards nose and chin."""

    def __init__(self, asset: HeadAsset) -> None:
        marks = asset.landmarks(_open_template(asset))
        vertices = _open_template(asset)
        jaw = np.linalg.norm(asset.actions[INDEX["jawOpen"]], axis=1)
        lower = np.clip((jaw - 0.09) / 0.08, 0, 1)  # which lip a vertex hangs on
        mouth_bag = np.isin(np.arange(len(vertices)), asset.vertices_of("teeth_upper", "teeth_lower", "tongue"))
        left, right = marks[78], marks[308]
        half = np.linalg.norm(right - left) / 2
        along = ((vertices - (left + right) / 2) @ (right - left)) / (2 * half * half)  # -1..1 across the mouth
        columns = np.array([((marks[u] + marks[d]) / 2 - (left + right) / 2) @ (right - left) / (2 * half * half)
                            for u, d in INNER_LIP_PAIRS])  # fmt: skip
        knots = np.concatenate([[-1.0], columns, [1.0]])
        hats = np.eye(len(knots))[1:-1]
        across = np.stack([np.interp(along, knots, hat, left=0, right=0) for hat in hats], 1)
        self.rows: list[Array] = []
        self.weights: list[Array] = []
        for side in (0, 1):  # 0 upper, 1 lower
            inner = np.array([marks[p[side]] for p in INNER_LIP_PAIRS])
            edge_y = np.interp(along, columns, inner[:, 1])
            edge_z = np.interp(along, columns, inner[:, 2])
            away = np.hypot(vertices[:, 1] - edge_y, np.maximum(edge_z - vertices[:, 2] - 0.05, 0) * 1.5)
            fade = np.exp(-((away / 0.16) ** 2))
            share = (lower if side else 1 - lower) * fade * ~mouth_bag
            weight = across * share[:, None]
            rows = np.where(weight.max(1) > 1e-3)[0]
            self.rows.append(rows)
            self.weights.append(weight[rows].astype(np.float32))
        self._count = len(vertices)

    def displacement(self, gap: Array, upper_share: float = 0.45) -> NDArray[np.float32]:
        """Return the displacement that closes `gap` (upper minus lower) at each pair.

        Args:
            gap: per inner-lip pair, head space.  # (9, 3)
            upper_share: part of the way that the upper lip goes, 0..1.

        Returns:
            (V, 3)
        """
        out = np.zeros((self._count, 3), np.float32)
        out[self.rows[0]] -= upper_share * (self.weights[0] @ gap)
        out[self.rows[1]] += (1 - upper_share) * (self.weights[1] @ gap)
        return out
