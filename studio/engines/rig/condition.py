"""What a posed head says to other engines: shaded maps that steer a drawing, and where it moves most finely.

The maps are two, gray on black, as FAAC's control takes them. The coarse one is
the shape alone, as clay under a lamp at the camera: it says where the head is
and how it is turned. The detailed one marks what an expression is made of on
top of it: lids, irises where they look, the red of the lips, the dark between
them, teeth, brows. Nothing of a photo's colors is in either, so that maps of
rendered heads and of fitted ones are of one kind.
"""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from studio.domain.expression import INDEX, Weights
from studio.engines.base import Matte
from studio.engines.rig import kernels
from studio.engines.rig.asset import CHIN, OUTER_LIP_ROWS, REGIONS, HeadAsset
from studio.engines.rig.layers import smoothstep

Array = NDArray[Any]

SAMPLES = 2
"""Samples per pixel and side: maps jump less from frame to frame than with one."""
GAZE_DEGREES = (20.0, 14.0)
"""Of the eyeball at a full look aside, and up or down."""
_IRIS = float(np.cos(np.radians(29.0)))  # a 5.9 mm iris on a 12 mm eyeball
_PUPIL = float(np.cos(np.radians(12.0)))
_FLIP = np.array([1, -1, 1], np.float32)  # between y up and y down
_SIDES, _EYEBALLS = ("Right", "Left"), ("eye_right", "eye_left")
_ROWS = {name: REGIONS.index(name) + 1 for name in REGIONS}
_LEVELS = {"tongue": 0.45, "teeth_upper": 0.95, "teeth_lower": 0.95, "lashes": 0.12}
_SKIN, _LIPS, _BROWS, _SCLERA, _IRIS_LEVEL, _PUPIL_LEVEL, _HOLLOW = 0.62, 0.34, 0.2, 1.0, 0.3, 0.05, 0.06
_AMBIENT = 0.25
_MOUTH = (61, *OUTER_LIP_ROWS[0], 291, *OUTER_LIP_ROWS[1][::-1])
_EYES = (
    (33, 246, 161, 160, 159, 158, 157, 173, 133, 155, 154, 153, 145, 144, 163, 7),
    (263, 466, 388, 387, 386, 385, 384, 398, 362, 382, 381, 380, 374, 373, 390, 249),
)
_BEHIND_BROWS, _BROW_EDGE = -0.2, 0.015  # decimetres
_BROWS_AT = ((70, 63, 105, 66, 107, 55, 65, 52, 53, 46), (300, 293, 334, 296, 336, 285, 295, 282, 283, 276))
_ENDS = (-2.0, -1.55)  # decimetres: over these heights the bust fades out, which ends in a ragged border
_BELOW_LIPS, _AROUND_EYES, _SOFT = 0.16, 0.18, 0.07  # of the eye distance


class HeadMaps:
    """Draws maps of one head asset in any pose; made once per process and asset."""

    def __init__(self, asset: HeadAsset) -> None:
        """Find what of the head is painted: lips, brows, eyeballs."""
        self._asset = asset
        self._tags = (asset.region + 1).astype(np.uint8)
        self._paint = _painted(asset)
        self._seen = smoothstep(asset.mean[:, 1], *_ENDS)
        self._eyes = {side: asset.vertices_of(name) for side, name in zip(_SIDES, _EYEBALLS, strict=True)}
        self._upright = _axes(asset.landmarks(asset.mean * _FLIP))

    def shaded(self, points: Array, weights: Weights, size: tuple[int, int]) -> NDArray[np.uint8]:
        """Draw the two maps of a posed head.

        Args:
            points: vertices in the picture: x right, y down in pixels, z to the viewer.  # (V, 3)
            weights: where the eyes look is read from them.  # (52,)
            size: width and height of the picture.

        Returns:
            Coarse and detailed shading.  # (H, W, 2)
        """
        asset, (width, height) = self._asset, size
        shape = (height * SAMPLES, width * SAMPLES)
        half = (SAMPLES - 1) / 2
        scaled = np.ascontiguousarray(points * SAMPLES + [half, half, 0], np.float32)
        normals = kernels.vertex_normals(np.ascontiguousarray(points * _FLIP, np.float32), asset.triangles)
        lit = np.clip(_AMBIENT + (1 - _AMBIENT) * normals[:, 2], 0.05, 1) * self._seen
        values = np.stack([lit, self._paint, *self._towards_gaze(points, weights)], 1).astype(np.float32)
        depth = np.full(shape, -1e30, np.float32)
        tags = np.zeros(shape, np.uint8)
        maps = np.zeros((*shape, values.shape[1]), np.float32)
        kernels.rasterize(scaled, asset.triangles, self._tags, values, depth, tags, maps, 0)
        coarse = np.where(tags == _ROWS["mouth_interior"], _HOLLOW, np.where(tags > 0, maps[..., 0], 0))
        both = np.stack([coarse, _detail(tags, maps)], -1)
        return np.asarray(kernels.box_means(both, SAMPLES) * 255 + 0.5, np.uint8)

    def soft_parts(self, points: Array, size: tuple[int, int]) -> Matte:
        """Return where a face moves most finely, the mouth and both eyes: 255 inside, soft at the edges.  # (H, W)

        Args:
            points, size: as in `shaded`.
        """
        marks = self._asset.landmarks(points)[:, :2]
        apart = float(np.linalg.norm(marks[33] - marks[263]))
        out = np.zeros((size[1], size[0]), np.uint8)
        for rows, wider in ((_MOUTH, _BELOW_LIPS), *((eye, _AROUND_EYES) for eye in _EYES)):
            outline = cv2.convexHull(marks[list(rows)].astype(np.float32))
            part = np.zeros_like(out)
            cv2.fillConvexPoly(part, np.round(outline * 16).astype(np.int32), 255, cv2.LINE_AA, 4)
            reach = 2 * max(1, round(wider * apart)) + 1
            out = np.maximum(out, cv2.dilate(part, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (reach, reach))))
        return np.asarray(cv2.GaussianBlur(out, (0, 0), max(_SOFT * apart, 0.6)), np.uint8)

    def _towards_gaze(self, points: Array, weights: Weights) -> list[Array]:
        """Return how nearly each vertex of an eyeball lies where the eye looks: cosines, -1 elsewhere.  # 2 of (V,)"""
        turn = _axes(self._asset.landmarks(points)) @ self._upright.T
        out = []
        for side, rows in self._eyes.items():
            look = {n: float(weights[INDEX[f"eyeLook{n}{side}"]]) for n in ("Out", "In", "Up", "Down")}
            outward = 1.0 if side == "Left" else -1.0  # the subject's left is the picture's right
            aside = np.radians(GAZE_DEGREES[0]) * outward * (look["Out"] - look["In"])
            down = np.radians(GAZE_DEGREES[1]) * (look["Down"] - look["Up"])
            towards = turn @ [np.sin(aside), np.sin(down), np.cos(aside) * np.cos(down)]
            ball = points[rows] - points[rows].mean(0)
            ball /= np.maximum(np.linalg.norm(ball, axis=1, keepdims=True), 1e-6)
            cosine = np.full(len(points), -1.0, np.float32)
            cosine[rows] = ball @ (towards / np.linalg.norm(towards))
            out.append(cosine)
        return out


def _painted(asset: HeadAsset) -> Array:
    """Return how light each vertex's skin is in the detailed map: lips and brows darker.  # (V,)"""
    mean = asset.mean
    skin = np.asarray(_SKIN + (_LIPS - _SKIN) * np.clip(asset.lips * 1.4, 0, 1), np.float32)
    for rows in _BROWS_AT:
        outline = cv2.convexHull(asset.mean_at_landmarks[list(rows), :2].astype(np.float32))
        for row in np.flatnonzero(mean[:, 2] > _BEHIND_BROWS):
            inside = cv2.pointPolygonTest(outline, (float(mean[row, 0]), float(mean[row, 1])), True)
            skin[row] += (_BROWS - skin[row]) * float(np.clip(inside / _BROW_EDGE + 1, 0, 1))
    return skin


def _axes(marks: Array) -> Array:
    """Return a head's axes in the picture: across, down, to the viewer.  # (468, 3) -> (3, 3)"""
    across = marks[[263, 362]].mean(0) - marks[[33, 133]].mean(0)
    across /= np.linalg.norm(across)
    along = marks[CHIN] - marks[[9, 8]].mean(0)
    along -= across * (along @ across)
    along /= np.linalg.norm(along)
    return np.stack([across, along, -np.cross(across, along)], 1)


def _detail(tags: Array, maps: Array) -> Array:
    """Return the detailed map: what each region shows, lit.  # (H, W)"""
    out = np.where(tags > 0, maps[..., 1] * maps[..., 0], 0)
    for name, level in _LEVELS.items():
        out = np.where(tags == _ROWS[name], level * maps[..., 0], out)
    out = np.where(tags == _ROWS["mouth_interior"], _HOLLOW, out)
    for number, name in enumerate(_EYEBALLS):
        cosine = maps[..., 2 + number]
        eye = np.where(cosine > _PUPIL, _PUPIL_LEVEL, np.where(cosine > _IRIS, _IRIS_LEVEL, _SCLERA))
        out = np.where(tags == _ROWS[name], eye, out)
    return np.clip(out, 0, 1)
