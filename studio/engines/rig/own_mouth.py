"""The inside of a mouth that the photo itself shows.

A laughing photo has teeth of its own, better than any drawn. They are cut out inside
the lips, because the ring of landmarks runs over the lips' edge, and split at the dark
line between the rows: what is above rides on the skull, what is below on the jaw. A
split counts only where a dark line lies between two bright rows along most of the
mouth; else all is taken for the upper row, or, where no teeth are seen, the photo's
mouth fades into the drawn one as soon as it moves.
"""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from studio.engines.rig.layers import smoothstep
from studio.engines.rig.opening import Opening
from studio.engines.rig.palette import LUMA, MouthPalette

Array = NDArray[Any]
FloatArray = NDArray[np.float32]
Affine = Array
"""Picture to photo: x, y, 1 -> x, y.  # (3, 2)"""

_COLUMNS, _ROWS = 41, 25  # probes along and across the mouth
_SEARCHED = slice(5, 21)  # rows among which the line between the teeth may lie
_CENTRAL = slice(9, 32)  # columns that decide
_UPPER_TEETH, _LOWER_TEETH = 0.55, 0.45  # brightness of the rows as a share of the teeth expected of this photo
_LINE = 0.16  # how much darker than both rows the line between them is, likewise
_RING_SHADE = np.float32(0.12)  # light that teeth lose behind lips pushed out to a ring,
_RING_WARMTH = np.float32(0.6)  # and how much more of it in the colors that the mouth's flesh lacks
_ROOF, _ROOF_MM = 0.72, 2.1  # and right under the upper lip, a ring's roof, running out downward
_FLESH = np.float32(0.9)  # what lies in its shade is lit by the flesh around: by so much more it loses other colors
_LOWER_GONE_MM = (1.0, 3.5)  # of the lips' way over which the photo's own lower row gives way to a drawn one
_CONTINUED_MM = 9.0  # own teeth and the gum above them go on this far upward under a raised lip
_TOOTH_MM = 9.5  # from edge to gum: what the photo shows less of it, a raised lip uncovers
_GUM_FROM_MM = (0.5, 2.2)  # so far above the photo's own lip the gum begins, at least and at most
_SCALLOP_MM = 0.5  # by which the gum is higher over teeth and lower between them
_TOOTH_WIDTH_MM = 7.0  # over which teeth are told from the gaps between them
_CORNERS, _CORNER_DARK = (0.08, 0.3), 0.5  # of the mouth's width: beside its corners gum lies in the cheek's shade
_ACROSS = 0.5  # share of the mouth's width along which teeth must be seen: fewer are no row to keep


class OwnMouth:
    """Own teeth of one photo with an open mouth.

    Args:
        image: the photo.  # (H, W, 3) float32
        opening: the photo's own lips.
        pixels_per_mm: scale of the face.
        palette: what the photo's skin makes likely.
    """

    def __init__(self, image: Array, opening: Opening, pixels_per_mm: float, palette: MouthPalette) -> None:
        self._image, self._opening, self._mm = image, opening, pixels_per_mm
        self._blur = palette.blur_pixels
        self._ring_shade = _RING_SHADE * (palette.tongue / palette.tongue.max()) ** -_RING_WARMTH
        self._flesh = 1 + _FLESH * (1 - palette.tongue / palette.tongue.max())
        self._gum = palette.gum
        box = opening.box(4 * pixels_per_mm, image.shape[:2])
        self.shows_upper = self.shows_lower = False
        self.teeth: FloatArray | None = None
        if box is None:
            return
        x0, y0, x1, y1 = box
        self._corner = (x0, y0)
        patch = image[y0:y1, x0:x1]
        u, v = opening.axes_at(*np.meshgrid(np.arange(x0, x1), np.arange(y0, y1)))
        top = np.interp(u, opening.u, opening.top, left=1e3, right=1e3)
        bottom = np.interp(u, opening.u, opening.bottom, left=-1e3, right=-1e3)
        inside = ((v > top) & (v < bottom)).astype(np.uint8)
        self._depth = cv2.distanceTransform(inside, cv2.DIST_L2, 5).astype(np.float32)
        columns, split = self._find_split(patch, float(palette.teeth @ LUMA))
        self._gum_line = self._find_gum_line(patch, float(palette.teeth @ LUMA))
        cut = np.interp(u, columns, split) if self.shows_lower else np.full(u.shape, 2.0)
        line = top + cut * (bottom - top)
        soft = 0.5 * pixels_per_mm
        self._upper = np.clip((line - v) / soft + 0.5, 0, 1).astype(np.float32)
        self._lower = np.clip((v - line) / soft + 0.5, 0, 1).astype(np.float32)
        if self.shows_upper and inside.sum() > 12:
            share = (v - top) / np.maximum(bottom - top, 1e-3)
            self._upper *= self._without_lip(patch, inside, share)
            deep = patch[self._depth > 1.5]
            if len(deep) > 12:
                luma = deep @ LUMA
                self.teeth = np.median(deep[luma >= np.percentile(luma, 75)], axis=0).astype(np.float32)

    def _find_gum_line(self, patch: Array, tooth: float) -> FloatArray:
        """Return how far above the photo's own lip the gum begins along the mouth, millimetres.

        Where the photo shows little of its teeth they go on for longer; between them the gum reaches lower.  # as o.u
        """
        o, mm = self._opening, self._mm
        down = np.linspace(0, 1, _ROWS)
        v = o.top[:, None] + down * (o.bottom - o.top)[:, None]
        points = o.origin + o.u[:, None, None] * o.axis + v[..., None] * o.down - self._corner  # (N, rows, 2)
        luma = (patch @ LUMA).astype(np.float32)
        seen = cv2.remap(luma, points[..., 0].astype(np.float32), points[..., 1].astype(np.float32), cv2.INTER_LINEAR)
        middle = slice(len(o.u) // 4, -len(o.u) // 4)
        height = float(np.median(((seen > _UPPER_TEETH * tooth).mean(1) * o.gap)[middle])) / mm
        gum = float(np.clip(_GUM_FROM_MM[0] + _TOOTH_MM - height, *_GUM_FROM_MM))
        row = seen[:, 2 : _ROWS // 2].mean(1)
        step = max(float(o.u[1] - o.u[0]) / mm, 1e-3)
        around = cv2.GaussianBlur(row[None], (0, 0), 0.5 * _TOOTH_WIDTH_MM / step)[0]
        fine = cv2.GaussianBlur(row[None], (0, 0), 0.08 * _TOOTH_WIDTH_MM / step)[0]
        return np.asarray(gum + _SCALLOP_MM * np.clip((fine - around) / (0.08 * tooth), -1, 1), np.float32)

    def _find_split(self, patch: Array, tooth: float) -> tuple[Array, Array]:
        """Find the line between the rows and what lies on either side of it.

        Returns:
            u of the columns, and where the line is between upper and lower lip, 0..1.  # (41,) each
        """
        o = self._opening
        luma = cv2.GaussianBlur((patch @ LUMA).astype(np.float32), (0, 0), max(0.6, 0.25 * self._mm))
        columns = np.linspace(o.u[4], o.u[-5], _COLUMNS)
        top, bottom = np.interp(columns, o.u, o.top), np.interp(columns, o.u, o.bottom)
        v = top[:, None] + np.linspace(0, 1, _ROWS) * (bottom - top)[:, None]  # (41, 25)
        points = o.origin + columns[:, None, None] * o.axis + v[..., None] * o.down - self._corner
        profile = cv2.remap(
            luma, points[..., 0].astype(np.float32), points[..., 1].astype(np.float32), cv2.INTER_LINEAR
        )
        above = np.maximum.accumulate(profile[:, 2:-2], axis=1)
        below = np.maximum.accumulate(profile[:, 2:-2][:, ::-1], axis=1)[:, ::-1]
        dip = np.zeros_like(profile)
        dip[:, 2:-2] = np.minimum(above, below) - profile[:, 2:-2]
        row = _SEARCHED.start + _smoothest_path(dip[:, _SEARCHED] / max(tooth, 1.0))
        at = np.arange(_COLUMNS)
        found = float(np.median(dip[at, row][_CENTRAL])) > _LINE * tooth
        lower = np.array([profile[k, row[k] : _ROWS - 2].max() for k in at])
        upper = np.array([profile[k, 2 : row[k] + 1].max() for k in at])
        both = (np.median(upper[_CENTRAL]) > _UPPER_TEETH * tooth) & (np.median(lower[_CENTRAL]) > _LOWER_TEETH * tooth)
        self.shows_lower = bool(found and both)
        bright = profile[:, 2 : _ROWS - 4].max(1) > _UPPER_TEETH * tooth
        self.shows_upper = bool(np.median(bright[_CENTRAL]) > 0 and bright.mean() > _ACROSS)
        share = cv2.GaussianBlur((row / (_ROWS - 1))[None].astype(np.float32), (0, 0), 2)[0]
        return columns, share

    @staticmethod
    def _without_lip(patch: Array, inside: Array, share: Array) -> FloatArray:
        """Return 0 where the red of the lower lip reaches into the ring, else 1.  # (h, w)"""
        soft = cv2.GaussianBlur(patch, (0, 0), 0.6)
        red = (soft[..., 0] - soft[..., 1]) / (soft @ LUMA + 8)
        reach = max(1, int(0.12 * np.sqrt(inside.sum())))
        around = cv2.dilate(inside, np.ones((3, 3)), iterations=reach) - inside
        luma = patch @ LUMA
        bright = (inside > 0) & (luma >= np.percentile(luma[inside > 0], 70))
        if not bright.any() or not around.any():
            return np.ones(inside.shape, np.float32)
        lip, tooth = float(np.median(red[around > 0])), float(np.median(red[bright]))
        if lip - tooth < 0.08:
            return np.ones(inside.shape, np.float32)
        flesh = smoothstep((red - tooth) / (lip - tooth), 0.45, 0.8) * smoothstep(share, 0.5, 0.75)
        return np.asarray(1 - cv2.GaussianBlur(flesh, (0, 0), 0.7), np.float32)

    def share(self, moved_mm: float) -> float:
        """Return how much of the photo's own inside is still to be seen once the lips have moved, 0..1."""
        return 1.0 if self.shows_upper else 1.0 - float(smoothstep(np.array(moved_mm), 0.2, 2.0))

    def lower_share(self, moved_mm: float) -> float:
        """Return how much of the photo's own lower row is still to be seen, 0..1.

        The photo shows its tips at most: as soon as the lips leave them, what lies below must be drawn, and a row that
        is half drawn has a line along it.
        """
        if not self.shows_lower:
            return 0.0
        return self.share(moved_mm) * (1.0 - float(smoothstep(np.array(moved_mm), *_LOWER_GONE_MM)))

    def lay_lower(
        self, color: FloatArray, box: tuple[int, int, int, int], jaw: Affine, moved_mm: float, rounded: float
    ) -> FloatArray:
        """Lay the photo's own lower row over the drawn inside.

        Args:
            color: RGB.  # (h, w, 3)
            box: x0, y0, x1, y1 of `color` in the picture.
            jaw: picture to photo, as the lower teeth have moved.
            moved_mm: how far the lips are from where the photo has them.
            rounded: how far the lips are pushed out into a ring that hides the teeth, 0..1.
        """
        share = self.lower_share(moved_mm)
        if share < 0.01:
            return color
        erode, feather, hidden = self._cut(moved_mm, rounded)
        x, y = mapped(jaw, box)
        alpha = self._inside(self._lower, x, y, erode, feather) * share
        photo: Array = cv2.remap(self._image, x, y, cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)
        return np.asarray(color + (photo * (1 - hidden * self._ring_shade) - color) * alpha[..., None], np.float32)

    def lay_upper(
        self, color: FloatArray, box: tuple[int, int, int, int], skull: Affine, moved_mm: float, rounded: float,
        under: FloatArray,
    ) -> FloatArray:  # fmt: skip
        """Lay the photo's own upper row, or all of its inside, over the drawn one.

        Args:
            color, box, moved_mm, rounded: as in `lay_lower`.
            skull: picture to photo, as the upper teeth have moved.
            under: distance from the upper lip's edge downward, mm.  # (h, w)
        """
        share = self.share(moved_mm)
        if share < 0.01:
            return color
        mm = self._mm
        erode, feather, hidden = self._cut(moved_mm, rounded)
        x, y = mapped(skull, box)
        x, y, up, gum, ends = self._continued(x, y, erode + 1.1 * feather)
        deeper = 0.45 - 0.35 * gum  # of the light, under the lip; gum is dark by itself
        shade: Array = (1 - deeper * smoothstep(up / mm, 0.3, 4.0) - ends)[..., None]
        # Lips that are pushed out stand before the teeth like a roof.
        roof = 1 - hidden * _ROOF * np.exp(-np.maximum(under, 0) / _ROOF_MM)
        shade = shade * (1 - hidden * self._ring_shade) * roof[..., None] ** self._flesh
        alpha = self._inside(self._upper, x, y, erode, feather) * share
        photo: Array = cv2.remap(self._image, x, y, cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)
        photo += (self._gum - photo) * gum[..., None]
        return np.asarray(color + (photo * shade - color) * alpha[..., None], np.float32)

    def _cut(self, moved_mm: float, rounded: float) -> tuple[float, float, float]:
        """Return how far inside the ring the photo is cut and how softly, pixels, and how far a ring hides it."""
        away = min(moved_mm / 1.5, 1.0)
        return (0.15 + 0.55 * away) * self._mm, max(0.7 * self._mm, 1.5 * self._blur), rounded * away

    def _inside(self, part: FloatArray, x: FloatArray, y: FloatArray, erode: float, feather: float) -> Array:
        """Return how much of a part of the photo's inside is at each place of the photo, 0..1.  # (h, w)"""
        x0, y0 = self._corner
        inside = np.clip((cv2.remap(self._depth, x - x0, y - y0, cv2.INTER_LINEAR) - erode) / feather, 0, 1)
        return np.asarray(inside * cv2.remap(part, x - x0, y - y0, cv2.INTER_LINEAR))

    def _continued(
        self, x: FloatArray, y: FloatArray, rim: float
    ) -> tuple[FloatArray, FloatArray, FloatArray, FloatArray, FloatArray]:
        """Let the first row of own teeth go on above the photo's own lip, and gum above that.

        Returns:
            x, y in the photo, by how much they were taken from further down, pixels, the share of gum there, 0..1, and
            the light that it loses beside the photo's corners.
        """
        o, mm = self._opening, self._mm
        u, v = o.axes_at(x, y)
        first = np.interp(u, o.u, o.top + np.minimum(0.5 * o.gap, rim))
        up = np.where((u > o.u[0]) & (u < o.u[-1]), np.clip(first - v, 0, _CONTINUED_MM * mm), 0)
        gum = smoothstep((up - rim) / mm - np.interp(u, o.u, self._gum_line), -0.25, 0.25)
        beside = np.minimum(u - o.u[0], o.u[-1] - u) / (o.u[-1] - o.u[0])
        ends = _CORNER_DARK * (1 - smoothstep(beside, *_CORNERS)) * smoothstep(up / mm, 0.2, 1.5)
        parts = (x - up * o.axis[1], y + up * o.axis[0], up, gum, ends)
        a, b, c, d, e = (np.asarray(part, np.float32) for part in parts)
        return a, b, c, d, e


def _smoothest_path(gain: Array, bend: float = 0.06) -> NDArray[np.intp]:
    """Return one row per column such that the gain is high and the rows change little.  # (C, R) -> (C,)"""
    columns, rows = gain.shape
    step = bend * np.abs(np.arange(rows)[:, None] - np.arange(rows)[None])
    total, back = gain[0].astype(float), np.zeros((columns, rows), np.intp)
    for k in range(1, columns):
        reached = total[None] - step
        back[k] = reached.argmax(1)
        total = gain[k] + reached.max(1)
    path = np.empty(columns, np.intp)
    path[-1] = int(total.argmax())
    for k in range(columns - 1, 0, -1):
        path[k - 1] = back[k, path[k]]
    return path


def mapped(affine: Affine, box: tuple[int, int, int, int]) -> tuple[FloatArray, FloatArray]:
    """Return where the pixels of a box come from.  # (h, w) each"""
    x0, y0, x1, y1 = box
    a = affine.astype(np.float32)
    x, y = np.arange(x0, x1, dtype=np.float32)[None], np.arange(y0, y1, dtype=np.float32)[:, None]
    return a[0, 0] * x + a[1, 0] * y + a[2, 0], a[0, 1] * x + a[1, 1] * y + a[2, 1]


def affine_between(now: Array, own: Array) -> Affine:
    """Fit the affine map from where points are to where the photo has them.  # (N, 2+) each -> (3, 2)"""
    design = np.concatenate([now[::4, :2], np.ones((len(now[::4]), 1))], 1)
    return np.asarray(np.linalg.lstsq(design, own[::4, :2], rcond=None)[0])
