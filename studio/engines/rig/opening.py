"""The opening between the lips, as two smooth curves.

The mesh knows the inner lips at nine pairs of points and two corners. Between them the
opening is interpolated along the mouth: its middle line, and the square of its height,
because squares keep the ends of an ellipse round. Everything that is drawn in a mouth
is cut by these curves with fractions of pixels.

Convention: u runs from the picture's left corner of the mouth to its right one, v
points down at right angles; both in pixels from `origin`.
This module does not know what is inside.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from studio.engines.rig.asset import INNER_LIP_PAIRS, HeadAsset
from studio.engines.rig.curves import monotone_curve
from studio.engines.rig.layers import smoothstep

Array = NDArray[Any]

SAMPLES = 97  # of the curves, corner to corner; odd, so that one is the middle
MIDDLE = SAMPLES // 2
OPEN_GAP = 0.035  # of the eye distance: a photo with a narrower gap shows a dark seam, no teeth
_UPPER = np.array([p[0] for p in INNER_LIP_PAIRS])
_LOWER = np.array([p[1] for p in INNER_LIP_PAIRS])
_CORNERS = (78, 308)
# Millimetres. Lips touch near the corners before the middle does, by this thickness there ...
_CORNER_THICKNESS = 1.3
_CORNERS_FREE = (2.0, 8.0)  # ... which is gone once the mouth is open this far.
_WIDER = 0.4  # the hole is drawn that much higher than the mesh's, whose rims are rolled in
_CORNER_REACH = 0.7  # a wide mouth draws its corners open by this much
_END = np.abs(np.linspace(-1, 1, SAMPLES))


@dataclass(frozen=True)
class Opening:
    """Two curves over a common grid along the mouth.

    Attributes:
        origin: middle between the corners in the picture.  # (2,)
        axis: unit vector along u.  # (2,)
        u: even grid.  # (SAMPLES,)
        top, bottom: v of the upper and the lower lip's inner edge.  # (SAMPLES,)
    """

    origin: Array
    axis: Array
    u: Array
    top: Array
    bottom: Array

    @property
    def down(self) -> Array:
        """Unit vector along v.  # (2,)"""
        return np.array([-self.axis[1], self.axis[0]])

    @property
    def gap(self) -> Array:
        """Height of the opening.  # (SAMPLES,) pixels"""
        return np.asarray(self.bottom - self.top)

    def axes_at(self, x: Array, y: Array) -> tuple[Array, Array]:
        """Return u and v of points of the picture."""
        dx, dy = x - self.origin[0], y - self.origin[1]
        return dx * self.axis[0] + dy * self.axis[1], -dx * self.axis[1] + dy * self.axis[0]

    def box(self, margin: float, shape: tuple[int, ...], below: float = 0.0) -> tuple[int, int, int, int] | None:
        """Return x0, y0, x1, y1 of the pixels around the opening, or None outside the picture.

        Args:
            margin: pixels around.
            shape: of the picture, rows first.
            below: further pixels under the lower lip.
        """
        low = self.bottom + below
        curve = np.concatenate([np.stack([self.u, self.top], 1), np.stack([self.u, low], 1)])
        points = self.origin + curve[:, :1] * self.axis + curve[:, 1:] * self.down
        x0, y0 = (int(max(v, 0)) for v in points.min(0) - margin)
        x1 = int(min(points[:, 0].max() + margin + 1, shape[1]))
        y1 = int(min(points[:, 1].max() + margin + 1, shape[0]))
        return (x0, y0, x1, y1) if x1 - x0 > 2 and y1 - y0 > 2 else None


class LipCurves:
    """Reads the opening off posed heads of one photo.

    Args:
        asset: the parametric head.
        mesh: the fitted head in the picture.  # (V, 3)
        photo_is_open: whether the photo itself shows the inside.
        pixels_per_mm: scale of the face.
    """

    def __init__(self, asset: HeadAsset, mesh: Array, photo_is_open: bool, pixels_per_mm: float) -> None:
        self._asset, self._photo_is_open, self._mm = asset, photo_is_open, pixels_per_mm
        self.own = self._interpolate(mesh, 0.0)

    def of(self, mesh: Array, moved_mm: float) -> Opening:
        """Return what is to be drawn as open.

        Args:
            mesh: the posed head, pixels.  # (V, 3)
            moved_mm: how far the lips are from where the photo has them; an open photo's
                own opening is left alone where nothing moved.
        """
        mm = self._mm
        widest = self._gaps(mesh)[0].max() / mm
        raw = self._interpolate(mesh, _CORNER_REACH * mm * float(smoothstep(np.array(widest), 3.0, 9.0)))
        gap = raw.gap
        changed = float(smoothstep(np.array(moved_mm), 0.0, 1.5)) if self._photo_is_open else 1.0
        if not self._photo_is_open:
            gap = self._beyond_own(gap)
        tight = changed * (1 - smoothstep(np.array(gap.max() / mm), *_CORNERS_FREE))
        thick = _CORNER_THICKNESS * mm * _END**3 * tight
        gap = np.sqrt(np.maximum(gap * gap - thick * thick, 0.0))
        gap = gap + changed * _WIDER * mm * smoothstep(gap / mm, 0.6, 4.0)
        middle = (raw.top + raw.bottom) / 2
        return Opening(raw.origin, raw.axis, raw.u, middle - gap / 2, middle + gap / 2)

    def _beyond_own(self, gap: Array) -> Array:
        """Take the slit that a closed photo shows anyway out of the opening; it stays in wide ones."""
        closed = self.own.gap
        more = np.maximum(gap - closed, 0.0)
        left = closed * np.exp(-more / (0.8 * self._mm + 0.8 * closed))
        return np.where(gap > closed, gap - left, 0.0)

    def _gaps(self, mesh: Array) -> tuple[Array, Array, Array, Array, Array]:
        """Return gaps and middle points at corners and pairs in the mouth's axes.

        Returns:
            gap (11,), u (11,), v (11,), origin (2,), axis (2,).
        """
        a = self._asset
        rows = np.concatenate([_CORNERS, _UPPER, _LOWER])
        marks = (mesh[a.landmark_vertices[rows], :2] * a.landmark_weights[rows][..., None]).sum(1).astype(float)
        left, right, upper, lower = marks[0], marks[1], marks[2:11], marks[11:]
        axis = (right - left) / (np.linalg.norm(right - left) + 1e-6)
        down = np.array([-axis[1], axis[0]])
        origin = (left + right) / 2
        middle = np.concatenate([[left], (upper + lower) / 2, [right]]) - origin
        u = np.maximum.accumulate(middle @ axis) + np.arange(len(middle)) * 1e-2
        gap = np.concatenate([[0.0], np.maximum((lower - upper) @ down, 0.0), [0.0]])
        return gap, u, middle @ down, origin, axis

    def _interpolate(self, mesh: Array, reach: float) -> Opening:
        gap, u, v, origin, axis = self._gaps(mesh)
        u[0], u[-1] = u[0] - reach, u[-1] + reach
        grid = np.linspace(u[0], u[-1], SAMPLES)
        middle = monotone_curve(u, v, grid)
        height = np.sqrt(np.maximum(monotone_curve(u, gap**2, grid), 0.0))
        return Opening(origin, axis, grid, middle - height / 2, middle + height / 2)
