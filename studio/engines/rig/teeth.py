"""Two rows of teeth that stand where teeth stand.

The upper row hangs on the skull, its edge 2.9 mm below the line where the lips meet;
the lower row rides on the jaw and hides 2 mm of itself behind the upper one. So the
rows part as soon as the jaw opens by more than that overlap, and speech shows the
upper edge over dark, not one white bar. Each row is a strip bent to a dental arch;
what a tooth looks like at a place of the strip is `mouth_shading.py`'s.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from studio.domain.expression import INDEX, Weights
from studio.engines.rig import kernels
from studio.engines.rig.asset import HeadAsset

Array = NDArray[Any]
FloatArray = NDArray[np.float32]

MOUTH_WIDTH_MM = 46.0  # corner to corner of the average head; teeth grow with the mouth
EDGE_BELOW_LIP_LINE_MM = 2.9
OVERBITE_MM = 2.0
_BEHIND_LIP_MM = 4.5
# Mean crowns from the middle to the back in millimetres. Source: the averages of R. C. Wheeler, Dental Anatomy,
# Physiology and Occlusion. The third row is how much higher than the incisors' a tooth's edge lies.
_UPPER_MM = ((8.4, 6.6, 7.6, 7.0, 6.8, 10.0, 9.5), (10.0, 8.6, 9.6, 8.2, 7.5, 7.0, 7.0),
             (0.0, 0.6, 0.2, 1.0, 1.5, 2.0, 2.4))  # fmt: skip
_LOWER_MM = ((5.3, 5.8, 6.8, 7.0, 7.1, 11.0, 10.5), (8.6, 8.8, 9.8, 8.2, 7.8, 7.2, 7.0),
             (0.0, 0.1, 0.2, 0.8, 1.2, 1.6, 1.8))  # fmt: skip
# Nobody's teeth are alike: how much higher than the mean each edge stands, how far it tilts from its middle to its far
# corner, and its light against the first; from the middle to the back, to the picture's left and to its right. Set by
# eye: a few tenths of a millimetre are seen as teeth, none at all as a denture.
_UPPER_UNLIKE = (((0.0, 0.25, -0.15, 0.1, 0.0, 0.0, 0.0), (-0.10, 0.16, 0.0, 0.0, 0.0, 0.0, 0.0),
                  (1.0, 0.965, 0.90, 0.94, 0.92, 0.90, 0.88)),
                 ((0.14, -0.05, 0.15, -0.1, 0.1, 0.0, 0.0), (0.08, -0.12, 0.1, 0.0, 0.0, 0.0, 0.0),
                  (0.985, 0.98, 0.915, 0.93, 0.93, 0.90, 0.88)))  # fmt: skip
_LOWER_UNLIKE = (((0.0, -0.35, 0.25, 0.0, 0.1, 0.0, 0.0), (0.18, -0.12, 0.0, 0.0, 0.0, 0.0, 0.0),
                  (1.0, 0.95, 0.93, 0.92, 0.92, 0.90, 0.88)),
                 ((0.30, -0.10, -0.2, 0.1, 0.0, 0.0, 0.0), (-0.15, 0.2, 0.0, 0.0, 0.0, 0.0, 0.0),
                  (0.96, 0.99, 0.92, 0.93, 0.91, 0.90, 0.88)))  # fmt: skip
_ARCHES_MM = ((29.0, 38.0, 0.0), (26.5, 36.0, 2.2))  # half width, depth, set back
_ARC_MM = np.linspace(-42, 42, 43)
BELOW_EDGE_MM, ABOVE_EDGE_MM = -2.0, 14.0  # the strip goes on this far beyond edge and gum
_JAW = ("jawOpen", "jawForward", "jawLeft", "jawRight")
# How much of the lower row the lips let one see, and what mouthLowerDown adds.
# Source: lower incisors rarely show more than 2 mm in speech (frames of the developers' recordings).
_LOWER_SHOWN_MM, _LOWER_BARED_MM = 1.6, 3.0
_ROUNDED_UP_MM, _ROUNDED_DOWN_MM = 2.5, 1.5  # protruding lips hide the rows by this much


def _row(crowns: tuple[tuple[float, ...], ...], unlike: tuple[tuple[tuple[float, ...], ...], ...]) -> FloatArray:
    """Return start along the arch, width, height, edge and tilt in mm, and light of each tooth.  # (2, 7, 6)"""
    widths, heights, edges = crowns
    starts = np.cumsum([0.0, *widths])[:-1]
    return np.stack(
        [np.stack([starts, widths, heights, np.add(edges, higher), tilt, light], 1) for higher, tilt, light in unlike]
    ).astype(np.float32)


UPPER, LOWER = _row(_UPPER_MM, _UPPER_UNLIKE), _row(_LOWER_MM, _LOWER_UNLIKE)


def _arch(half_mm: float, depth_mm: float, back_mm: float) -> tuple[Array, Array]:
    """Return x and z of an elliptic arch at even steps of arc length.  # (43,) mm each"""
    angle = np.linspace(-1.45, 1.45, 401)
    x, z = half_mm * np.sin(angle), depth_mm * (np.cos(angle) - 1) - back_mm
    arc = np.concatenate([[0.0], np.cumsum(np.hypot(np.diff(x), np.diff(z)))])
    arc -= np.interp(0.0, x, arc)
    return np.interp(_ARC_MM, arc, x), np.interp(_ARC_MM, arc, z)


class Teeth:
    """Both rows of one person.

    Args:
        asset: the parametric head.
        marks: landmarks of the person's neutral head, head space.  # (468, 3)
    """

    def __init__(self, asset: HeadAsset, marks: Array) -> None:
        mm = asset.millimetres_per_unit
        width = float(np.linalg.norm(marks[61] - marks[291])) * mm
        self.size = float(np.clip(width / MOUTH_WIDTH_MM, 0.78, 1.15))
        self.edge_y = float((marks[13, 1] + marks[14, 1]) / 2 - EDGE_BELOW_LIP_LINE_MM * self.size / mm)
        self._rows = [self._strip(marks, mm, k) for k in (0, 1)]
        n = len(_ARC_MM)
        i = np.arange(n - 1)
        self._triangles = np.concatenate(
            [np.stack([i, i + 1, i + n], 1), np.stack([i + 1, i + n + 1, i + n], 1)]
        ).astype(np.int32)
        self._tags = np.ones(len(self._triangles), np.uint8)
        height = np.repeat([BELOW_EDGE_MM, ABOVE_EDGE_MM], n)
        self._places = np.stack([np.tile(_ARC_MM, 2), height], 1).astype(np.float32)  # (2N, 2)
        lower = asset.vertices_of("teeth_lower")
        front = lower[asset.mean[lower, 2] > asset.mean[lower, 2].max() - 0.06]
        self._jaw = {INDEX[name]: asset.actions[INDEX[name]][front].mean(0) for name in _JAW}

    def _strip(self, marks: Array, mm: float, row: int) -> FloatArray:
        """Return a strip in head space: the line beyond the edge, then the line beyond the gum.  # (2N, 3)"""
        unit = self.size / mm
        x, z = _arch(*_ARCHES_MM[row])
        front = min(marks[13, 2], marks[14, 2]) - _BEHIND_LIP_MM * unit
        lines = []
        for height in (BELOW_EDGE_MM, ABOVE_EDGE_MM):
            up = height if row == 0 else OVERBITE_MM - height
            y = np.full_like(x, self.edge_y + up * unit)
            lines.append(np.stack([(marks[13, 0] + marks[14, 0]) / 2 + x * unit, y, front + z * unit], 1))
        return np.concatenate(lines).astype(np.float32)

    def pose(self, weights: Weights) -> tuple[FloatArray, FloatArray]:
        """Return the upper and the lower strip under 52 weights, head space.  # (2N, 3) each"""
        jaw = sum((float(weights[i]) * shift for i, shift in self._jaw.items()), np.zeros(3))
        return self._rows[0], np.asarray(self._rows[1] + jaw, np.float32)

    def rasterize(self, strip: FloatArray, box: tuple[int, int, int, int], samples: int) -> tuple[Array, Array]:
        """Draw a strip seen in the picture into maps.

        Args:
            strip: pixels of the picture.  # (2N, 3)
            box: x0, y0, x1, y1 of the maps in the picture.
            samples: per pixel and axis.

        Returns:
            1 where the strip is (h, w), and where on it: along the arch from the middle, above the edge; mm (h, w, 2).
        """
        x0, y0, x1, y1 = box
        shape = ((y1 - y0) * samples, (x1 - x0) * samples)
        points = strip.copy()
        points[:, 0] = (points[:, 0] - x0 + 0.5) * samples - 0.5
        points[:, 1] = (points[:, 1] - y0 + 0.5) * samples - 0.5
        tag, places = np.zeros(shape, np.uint8), np.zeros((*shape, 2), np.float32)
        depth = np.full(shape, -1e30, np.float32)
        kernels.rasterize(points, self._triangles, self._tags, self._places, depth, tag, places, 0)
        return tag, places

    def edge_of(self, strip: FloatArray) -> Array:
        """Return the middle of a posed row's edge in the picture.  # (2,)"""
        half = len(strip) // 2
        low, high = strip[half // 2, :2], strip[half // 2 + half, :2]
        return np.asarray(low + (high - low) * (-BELOW_EDGE_MM / (ABOVE_EDGE_MM - BELOW_EDGE_MM)))


def rounding_of(weights: Weights) -> float:
    """Return how far the lips are pushed out into a ring, 0..1."""
    return float(np.clip(max(weights[INDEX["mouthFunnel"]], 0.8 * weights[INDEX["mouthPucker"]]), 0, 1))


def hidden_by_lips(lower_shown_mm: float, weights: Weights) -> tuple[float, float]:
    """Return how far upper and lower row are drawn back so that lips hide what lips hide.

    An orthographic view of a mesh without thickness shows more of the rows than a viewer
    sees between real lips.

    Args:
        lower_shown_mm: height of the lower row that would be seen above the lower lip.
        weights: the state's 52 weights.

    Returns:
        Millimetres up for the upper row, down for the lower.
    """
    rounded = rounding_of(weights)
    bared = float(weights[INDEX["mouthLowerDownLeft"]] + weights[INDEX["mouthLowerDownRight"]]) / 2
    most = _LOWER_SHOWN_MM + _LOWER_BARED_MM * bared
    free = 0.6 * most
    kept = lower_shown_mm
    if lower_shown_mm > free:
        kept = free + 0.4 * most * float(np.tanh((lower_shown_mm - free) / (0.8 * most)))
    return _ROUNDED_UP_MM * rounded, max(lower_shown_mm - kept, 0.0) + _ROUNDED_DOWN_MM * rounded
