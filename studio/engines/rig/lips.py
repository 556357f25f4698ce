"""Lips that meet, and take their color from the right place.

Lips are geometry and come from the photo's own pixels. `LipContact` keeps them
from passing through each other and seals them on request; `CornerSink` lets a jaw take
the corners of the mouth along; `SeamPull` decides where in the photo their edges take
their color from once they have moved.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from studio.domain.expression import INDEX, Weights
from studio.engines.rig.asset import INNER_LIP_PAIRS, OUTER_LIP_ROWS, HeadAsset
from studio.engines.rig.layers import smoothstep
from studio.engines.rig.spread import LipFields

Array = NDArray[Any]
FloatArray = NDArray[np.float32]

# Corners of a wide open mouth lie about half way between its lips; the head's jaw leaves them in the upper quarter, a
# bowl with a flat lid. By so much of the jaw's gap they go down further, unless they laugh; set by eye.
_SINK = 0.19
_LAUGHS = 0.65  # what a laugh keeps of it
_SINK_REACH = 0.14  # decimetres above and below the line of the lips
_SINK_BESIDE = (1.0, 2.1)  # half mouth widths from the middle over which the skin beside a corner ceases to follow


class LipContact:
    """Keeps lips from passing through each other, and seals them on request."""

    def __init__(self, asset: HeadAsset, own_vertices: Array) -> None:
        self._asset = asset
        self._fields = LipFields(asset)
        self._upper = np.array([p[0] for p in INNER_LIP_PAIRS])
        self._lower = np.array([p[1] for p in INNER_LIP_PAIRS])
        # A closed photo may be fitted with lips slightly overlapping: that is its contact.
        self._contact = np.minimum(self._gaps(own_vertices)[:, 1], 0.0)

    def _gaps(self, vertices: Array) -> FloatArray:
        """Upper minus lower inner lip at each pair, head space.  # (9, 3)"""
        marks = self._asset
        rows = marks.landmark_vertices[np.concatenate([self._upper, self._lower])]
        weights = marks.landmark_weights[np.concatenate([self._upper, self._lower])]
        points = (vertices[rows] * weights[..., None]).sum(1)
        count = len(self._upper)
        return np.asarray(points[:count] - points[count:], np.float32)

    def apply(self, vertices: FloatArray, seal: float) -> FloatArray:
        """Return the vertices with the lips in contact where they must be.

        Args:
            vertices: head space.  # (V, 3)
            seal: 0 free .. 1 no gap is left.
        """
        gap = self._gaps(vertices)
        close = np.zeros_like(gap)
        through = gap[:, 1] < self._contact
        close[through, 1] = gap[through, 1] - self._contact[through]
        if seal > 0:
            apart = gap[:, 1] > self._contact
            close[apart] = seal * gap[apart]
            close[apart, 1] = seal * (gap[apart, 1] - self._contact[apart])
            close[apart, 2] *= 0.5
        if not close.any():
            return vertices
        return vertices + self._fields.displacement(close)


class CornerSink:
    """Lets the jaw take the corners of the mouth along, and with them the ends of both lips.

    Args:
        asset: the parametric head.
        own: the photo's own weights, at which nothing moves.  # (52,)
    """

    def __init__(self, asset: HeadAsset, own: Weights) -> None:
        marks = asset.mean_at_landmarks
        away = asset.mean - (marks[78] + marks[308]) / 2
        aside = np.abs(away[:, 0]) / (abs(float(marks[308, 0] - marks[78, 0])) / 2)
        follows = smoothstep(aside, 0.0, 1.0) * (1 - smoothstep(aside, *_SINK_BESIDE))
        follows = follows * np.exp(-((away[:, 1] / _SINK_REACH) ** 2)) * (asset.mean[:, 2] > marks[78, 2] - 0.4)
        self._rows = np.where(follows > 1e-3)[0]
        jaw = asset.actions_at_landmarks[INDEX["jawOpen"], :, 1]
        self._down = (_SINK * float(jaw[13] - jaw[14]) * follows[self._rows]).astype(np.float32)
        self._own = float(own[INDEX["jawOpen"]])

    def apply(self, vertices: FloatArray, weights: Weights) -> None:
        """Lower the corners as far as the jaw has opened beyond the photo's; in place.  # (V, 3), (52,)"""
        opened = float(weights[INDEX["jawOpen"]]) - max(self._own, 0.0)
        if opened <= 0:
            return
        laugh = float(np.clip((weights[INDEX["mouthSmileLeft"]] + weights[INDEX["mouthSmileRight"]]) / 2, 0, 1))
        vertices[self._rows, 1] -= opened * (1 - _LAUGHS * laugh) * self._down


class SeamPull:
    """Moves where the lips take their color away from the line between them.

    On a closed mouth the line between the lips is a dark seam. When they part,
    the seam must not stretch into a dark rim; on an open one, closing lips must not
    carry a line of teeth. The rims take their color a little further out on the red.
    """

    def __init__(self, asset: HeadAsset, mesh: Array, eye_distance: float) -> None:
        marks = asset.landmarks(mesh)
        jaw = np.linalg.norm(asset.actions[17], axis=1)
        lower_lip = jaw > 0.13
        left, right = marks[78, :2], marks[308, :2]
        axis = (right - left) / (np.linalg.norm(right - left) + 1e-6)
        normal = np.array([-axis[1], axis[0]])  # down in the picture
        centre, half = (left + right) / 2, np.linalg.norm(right - left) / 2
        along = ((mesh[:, :2] - centre) @ axis) / half
        height = (mesh[:, :2] - centre) @ normal
        reach = 0.05 * eye_distance
        rows_all, outward_all, distance_all, depth_all = [], [], [], []
        near = (asset.lips > 0.02) | self._rim(asset)
        for side, sign in ((0, -1.0), (1, 1.0)):
            ring = np.array([marks[p[side], :2] for p in INNER_LIP_PAIRS])
            ring_u, ring_v = ((ring - centre) @ axis) / half, (ring - centre) @ normal
            knots_u = np.concatenate([[-1.0], ring_u, [1.0]])
            knots_v = np.concatenate([[(left - centre) @ normal], ring_v, [(right - centre) @ normal]])
            edge = np.interp(along, knots_u, knots_v)
            outward = sign * (height - edge)
            mine = near & (lower_lip == bool(side)) & (np.abs(along) < 1.06) & (outward < reach)
            rows = np.where(mine)[0]
            rows_all.append(rows)
            outward_all.append(np.broadcast_to(sign * normal, (len(rows), 2)))
            distance_all.append(outward[rows])
            depth = 0.024 * eye_distance * np.clip(1 - along[rows] ** 2, 0.02, 1) ** 0.7
            # A thin painted lip must not lose half of its red to the seam.
            red = np.abs((marks[list(OUTER_LIP_ROWS[side]), :2] - ring) @ normal)
            depth_all.append(np.minimum(depth, 0.35 * np.interp(along[rows], ring_u, red)))
        self.rows = np.concatenate(rows_all)
        self.outward = np.concatenate(outward_all).astype(np.float32)
        self._distance = np.concatenate(distance_all)
        self._depth = np.concatenate(depth_all)

    @staticmethod
    def _rim(asset: HeadAsset) -> Array:
        """Skin vertices that touch the mouth's inside."""
        inside = np.zeros(len(asset.mean), bool)
        inside[asset.vertices_of("mouth_interior")] = True
        skin = np.zeros(len(asset.mean), bool)
        skin[asset.vertices_of("skin")] = True
        return inside & skin

    def shift(self, pull: float) -> FloatArray:
        """Return how far each of `rows` moves its source point.  # (N, 2) pixels"""
        depth = np.maximum(self._depth * pull, 1e-6)
        e = self._distance
        wanted = np.where(e <= 0, depth, np.where(e < 2 * depth, depth + e * e / (4 * depth), e))
        return np.asarray((wanted - e)[:, None] * self.outward, np.float32)

    def shadow(self, pull: float) -> FloatArray:
        """Return the light left where closed lips meet; a laughing photo has no such line.  # (N,) 0..1"""
        near = np.exp(-((np.maximum(self._distance, 0) / (0.45 * self._depth + 1e-6)) ** 2))
        return np.asarray(1 - 0.38 * pull * near, np.float32)
