"""What is seen between the lips.

The opening is a smooth curve through the inner lips of the posed head, covered with
fractions of pixels (`opening.py`). In it are drawn a throat, a tongue and two rows of
teeth that stand where teeth stand (`teeth.py`, `mouth_shading.py`), in the photo's
colors, softness and grain (`palette.py`). Where the photo itself shows the inside of a
mouth, that is used (`own_mouth.py`). This module puts the parts together, and draws
the line where the lips of a laughing photo meet.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from studio.domain.expression import INDEX, Weights
from studio.engines.rig import mouth_shading
from studio.engines.rig.asset import INNER_LIP_RING, HeadAsset
from studio.engines.rig.fit import HeadFit
from studio.engines.rig.layers import smoothstep
from studio.engines.rig.opening import MIDDLE, OPEN_GAP, SAMPLES, LipCurves, Opening
from studio.engines.rig.own_mouth import OwnMouth, affine_between, mapped
from studio.engines.rig.palette import LUMA, MouthPalette, measure_palette
from studio.engines.rig.teeth import LOWER, UPPER, Teeth, hidden_by_lips, rounding_of

Array = NDArray[Any]
FloatArray = NDArray[np.float32]
Box = tuple[int, int, int, int]

_OWN_TEETH = 0.92  # drawn teeth beside own ones: a little darker, because they lie deeper
_NEAR_OWN_MM = 2.0  # up to this change the photo's own pixels fade into the drawn mouth
# Lips are as thick as they are red: where they part, what lay on the other lip turns into view, wet and in the shade.
# Share of it in the rim's color, and its light against the gum's; mm of the rim in the middle and at the corners.
_WET_RIM, _WET_LIGHT = 0.7, 0.58
_RIM_MM, _CORNER_RIM_MM = 0.7, 1.5
# A tongue that is put out, millimetres: where its tip is at tongueOut 0 and 1, below the upper edge of the lower teeth.
_TONGUE_IN_MM, _TONGUE_OUT_MM = -7.0, 23.0
_TONGUE_HALF_MM = 18.0
_TONGUE_ROOT_MM = 9.0


class Mouth:
    """Draws what is between the lips of one portrait.

    Args:
        asset: the parametric head.
        image: the photo.  # (H, W, 3) float32
        fit: the fitted head.
        own_vertices: the photo's own head, head space.  # (V, 3)
        landmarks: MediaPipe's points.  # (478, 3)
        palette: colors for a mouth that is drawn whole; None measures them, and uses what the photo itself shows.

    Attributes:
        palette: the colors that are drawn with.
    """

    def __init__(
        self, asset: HeadAsset, image: Array, fit: HeadFit, own_vertices: Array, landmarks: Array,
        palette: MouthPalette | None = None,
    ) -> None:  # fmt: skip
        self._shape = image.shape[:2]
        self._mm = fit.camera.scale / asset.millimetres_per_unit  # pixels per mm
        gap = float(np.linalg.norm(landmarks[13, :2] - landmarks[14, :2])) / fit.eye_distance
        self.photo_is_open = gap > OPEN_GAP
        self.teeth = Teeth(asset, asset.landmarks(fit.neutral))
        self._asset, self._mm_per_unit = asset, asset.millimetres_per_unit
        self._own_lips = self._lips(own_vertices)
        self._curves = LipCurves(asset, fit.camera.project(own_vertices), self.photo_is_open, self._mm)
        width = float(np.linalg.norm(landmarks[61, :2] - landmarks[291, :2]))
        self._samples = int(np.clip(round(200 / max(width, 1.0)), 2, 3))
        self._own: OwnMouth | None = None
        drawn_whole = palette is not None
        palette = palette or measure_palette(image, landmarks, fit.eye_distance)
        if self.photo_is_open and not drawn_whole:
            self._own = OwnMouth(image, self._curves.own, self._mm, palette)
            if self._own.teeth is not None:
                palette = replace(palette, teeth=np.float32(_OWN_TEETH) * self._own.teeth)
        self.palette = palette
        self._colors = np.stack([palette.teeth, palette.gum, palette.tongue, palette.throat])
        self._rest = [fit.camera.project(row) for row in self.teeth.pose(fit.weights)]

    def draw(
        self,
        vertices: FloatArray,
        mesh: FloatArray,
        weights: Weights,
        place: Callable[[Array], FloatArray],
        picture: FloatArray,
        offset: tuple[int, int],
    ) -> None:
        """Draw the mouth's inside into a picture.

        Args:
            vertices: the bent head, head space.  # (V, 3)
            mesh: the same, posed in the picture, pixels.  # (V, 3)
            weights: the state.  # (52,)
            place: moves points of head space to where they are seen in the picture.
            picture: RGB, changed in place.  # (h, w, 3)
            offset: x, y of the picture's corner in the photo.
        """
        moved_mm = float(np.abs(self._lips(vertices) - self._own_lips).max()) * self._mm_per_unit
        opening = self._curves.of(mesh, moved_mm)
        self._mend_seam(opening, picture, offset)
        if opening.gap.max() < 0.05:
            return
        below = _TONGUE_OUT_MM * self._mm * max(float(weights[INDEX["tongueOut"]]), 0.0)
        box = opening.box(2.0 * self._mm + 3, self._shape, below)
        if box is None:
            return
        rows = [place(row) for row in self.teeth.pose(weights)]
        edges = self._settle(rows, opening, weights)
        painted, tongue = self._paint(box, opening, rows, edges, weights, self._drawn_rows(moved_mm))
        color, cover = self._colored(painted, tongue, box, opening, rows, weights, moved_mm)
        self._lay_into(picture, offset, box, opening, color, cover)

    def _lips(self, vertices: Array) -> FloatArray:
        """Return the ring of the inner lips.  # (V, 3) -> (20, 3)"""
        ring = list(INNER_LIP_RING)
        points = vertices[self._asset.landmark_vertices[ring]] * self._asset.landmark_weights[ring][..., None]
        return np.asarray(points.sum(1), np.float32)

    @property
    def shows_own_teeth(self) -> bool:
        """Say whether the photo shows a row of teeth, which is drawn on."""
        return self._own is not None and self._own.shows_upper

    # -- parts ---------------------------------------------------------------

    def _settle(self, rows: list[FloatArray], opening: Opening, weights: Weights) -> tuple[float, float, float]:
        """Draw the rows back behind the lips; return v of their edges, and of the lower one's before; pixels."""
        edges = [float((self.teeth.edge_of(row) - opening.origin) @ opening.down) for row in rows]
        widest = int(np.argmax(opening.gap))
        shown = (opening.bottom[widest] - edges[1]) / self._mm
        up, down = hidden_by_lips(shown, weights)
        rows[0][:, :2] -= (up * self._mm * opening.down).astype(np.float32)
        rows[1][:, :2] += (down * self._mm * opening.down).astype(np.float32)
        return edges[0] - up * self._mm, edges[1] + down * self._mm, edges[1]

    def _paint(
        self, box: Box, opening: Opening, rows: list[FloatArray], edges: tuple[float, float, float], weights: Weights,
        drawn: tuple[float, float],
    ) -> tuple[FloatArray, FloatArray | None]:  # fmt: skip
        """Return the drawn inside, and a tongue that is put out before it, both premultiplied.  # (h, w, 4) each"""
        x0, y0, x1, y1 = box
        n = self._samples
        (upper_tag, upper), (lower_tag, lower) = (self.teeth.rasterize(row, box, n) for row in rows)
        o = opening
        frame = np.array([
            o.origin[0] - x0, o.origin[1] - y0, *o.axis, o.u[0], o.u[1] - o.u[0], self._mm, self.teeth.size, n,
        ])  # fmt: skip
        state = np.array([*edges[:2], rounding_of(weights), self.palette.side, *drawn, edges[2]])
        shaded = np.zeros(((y1 - y0) * n, (x1 - x0) * n, 4), np.float32)
        mouth_shading.paint(frame, o.top, o.bottom, upper_tag, upper, lower_tag, lower, UPPER, LOWER, self._colors,
                            state, shaded)  # fmt: skip
        tongue: FloatArray | None = None
        out = float(weights[INDEX["tongueOut"]])
        if out > 0.02:
            tip = edges[1] + (_TONGUE_IN_MM + (_TONGUE_OUT_MM - _TONGUE_IN_MM) * out) * self._mm
            root = min(edges[1], tip) - _TONGUE_ROOT_MM * self._mm
            half = min(_TONGUE_HALF_MM * self._mm, 0.39 * (o.u[-1] - o.u[0]))
            laid = np.zeros_like(shaded)
            mouth_shading.paint_tongue(frame, o.top, root, tip, half, self.palette.tongue, laid)
            tongue = self._as_soft_as_the_photo(laid, (x1 - x0, y1 - y0))
        return self._as_soft_as_the_photo(shaded, (x1 - x0, y1 - y0)), tongue

    def _as_soft_as_the_photo(self, samples: FloatArray, size: tuple[int, int]) -> FloatArray:
        small = cv2.resize(samples, size, interpolation=cv2.INTER_AREA)
        sigma = float(np.sqrt(max(self.palette.blur_pixels**2 - 0.3, 0.04)))  # the samples blur by .55 themselves
        if sigma > 0.35:
            small = cv2.GaussianBlur(small, (0, 0), 0.85 * sigma)
        return np.asarray(small, np.float32)

    def _drawn_rows(self, moved_mm: float) -> tuple[float, float]:
        """Return how much of the drawn upper and lower row is needed beside the photo's own."""
        own = self._own
        if own is None:
            return 1.0, 1.0
        missing = 0.0 if own.shows_upper else 1.0 - own.share(moved_mm)
        return missing, 1.0 - own.lower_share(moved_mm)

    def _colored(
        self, painted: FloatArray, tongue: FloatArray | None, box: Box, opening: Opening, rows: list[FloatArray],
        weights: Weights, moved_mm: float,
    ) -> tuple[FloatArray, FloatArray]:  # fmt: skip
        """Return color (h, w, 3) and coverage (h, w, 1) with own teeth, tongue and grain."""
        color: Array = painted[..., :3] / np.maximum(painted[..., 3:], 1e-3)
        cover: Array = painted[..., 3:]
        skull = affine_between(rows[0], self._rest[0])
        if self._own is not None:
            cover = cover * np.float32(smoothstep(np.array(moved_mm), 0.0, _NEAR_OWN_MM))
            jaw = affine_between(rows[1], self._rest[1])
            color = self._own.lay_lower(color, box, jaw, moved_mm, rounding_of(weights))
        if tongue is not None:
            behind = painted[..., 3:] * (1 - tongue[..., 3:])  # beyond the lips there is no mouth, and no dark of it
            color = (color * behind + tongue[..., :3]) / np.maximum(behind + tongue[..., 3:], 1e-3)
            cover = cover * (1 - tongue[..., 3:]) + tongue[..., 3:]
        if self._own is not None:
            under = self._below_the_upper_lip(opening, box)
            color = self._own.lay_upper(color, box, skull, moved_mm, rounding_of(weights), under)
        bright = color @ LUMA / max(float(self.palette.teeth @ LUMA), 1.0)
        grain = self._grain(skull, box) * np.sqrt(np.clip(bright, 0.02, 1.0))  # the dark has less of it
        return np.asarray(color + grain[..., None], np.float32), cover

    def _below_the_upper_lip(self, opening: Opening, box: Box) -> FloatArray:
        """Return how far below the upper lip's edge each pixel is, mm.  # (h, w)"""
        x0, y0, x1, y1 = box
        u, v = opening.axes_at(np.arange(x0, x1, dtype=np.float32)[None], np.arange(y0, y1, dtype=np.float32)[:, None])
        return np.asarray((v - np.interp(u, opening.u, opening.top)) / self._mm, np.float32)

    def _grain(self, skull: Array, box: Box) -> FloatArray:
        x, y = mapped(skull, box)
        tile = self.palette.grain
        last = len(tile) - 1
        return np.asarray(cv2.remap(tile, np.mod(x, last), np.mod(y, last), cv2.INTER_LINEAR), np.float32)

    def _lay_into(
        self,
        picture: FloatArray,
        offset: tuple[int, int],
        box: Box,
        opening: Opening,
        color: FloatArray,
        cover: FloatArray,
    ) -> None:
        """Lay the mouth over the picture, and its wet rim over the lips."""
        window, target = _overlap(picture, offset, box)
        if target is None:
            return
        rim = (_WET_RIM * self._rim(opening, box, cover))[window]
        target += (np.minimum(self.palette.gum * np.float32(_WET_LIGHT), target) - target) * rim
        target += (color[window] - target) * cover[window]

    def _rim(self, opening: Opening, box: Box, cover: FloatArray) -> FloatArray:
        """Return how far each pixel is the rim of a lip; beside the corners, where there is little red, it is wider.

        Without it skin ends there at a hole like paper.  # (h, w, 1)
        """
        x0, y0, x1, y1 = box
        u, _ = opening.axes_at(np.arange(x0, x1, dtype=np.float32)[None], np.arange(y0, y1, dtype=np.float32)[:, None])
        half = max(float(opening.u[-1] - opening.u[0]) / 2, 1.0)
        ends = smoothstep(np.abs(u - float(opening.u[MIDDLE])) / half, 0.62, 0.95)
        near, wide = (cv2.GaussianBlur(cover, (0, 0), max(0.6, mm * self._mm)) for mm in (_RIM_MM, _CORNER_RIM_MM))
        return np.asarray(near + (np.minimum(2.4 * wide, 1) - near) * ends, np.float32)[..., None]

    def _mend_seam(self, opening: Opening, picture: FloatArray, offset: tuple[int, int]) -> None:
        """Draw the line where lips meet without the steps that one sample per pixel of a mesh leaves."""
        mm = self._mm
        end = np.abs(np.linspace(-1, 1, SAMPLES))
        met = (1 - smoothstep(opening.gap / mm, 0.1, 0.8)) * (1 - smoothstep(end, 0.92, 1.0))
        box = opening.box(2.0 * mm + 3, self._shape)
        if met.max() < 0.02 or box is None:
            return
        window, target = _overlap(picture, offset, box)
        if target is None or min(target.shape[:2]) < 5:
            return
        corner = box[0] + window[1].start, box[1] + window[0].start
        h, w = target.shape[:2]
        u, v = opening.axes_at(*np.meshgrid(np.arange(corner[0], corner[0] + w), np.arange(corner[1], corner[1] + h)))
        middle = (opening.top + opening.bottom) / 2
        line = v - np.interp(u, opening.u, middle)
        here = np.interp(u, opening.u, met, left=0, right=0)
        soft = max(0.55 * mm, 0.8)
        band = (np.exp(-((line / (1.3 * soft)) ** 4)) * here)[..., None].astype(np.float32)
        patch = np.ascontiguousarray(target)
        if self._own is None:
            mended: Array = _along(patch, opening, middle, u, line, corner)
            dark: Array | np.float32 = np.float32(1.0)
        else:
            closing = float(smoothstep((self._curves.own.gap.max() - opening.gap.max()) / mm, 0.3, 1.2))
            band = band * np.float32(closing)
            mended = cv2.GaussianBlur(cv2.medianBlur(patch, 5), (0, 0), soft)
            dark = 1 - 0.5 * np.exp(-((line / (0.8 * soft)) ** 2))[..., None].astype(np.float32) * band
        target += (mended - target) * band
        target *= dark


def _along(
    patch: FloatArray, opening: Opening, middle: Array, u: Array, line: Array, corner: tuple[int, int]
) -> FloatArray:  # fmt: skip
    """Average a picture along the line between the lips, which keeps the line and takes its steps.

    Args:
        patch: RGB.  # (h, w, 3)
        middle: v of the line over `opening.u`.
        u, line: of every pixel: along the mouth, and from the line downward.  # (h, w) each
        corner: x, y of the patch's corner in the picture.
    """
    total = np.zeros_like(patch)
    for step, share in ((-2.0, 0.12), (-1.0, 0.24), (0.0, 0.28), (1.0, 0.24), (2.0, 0.12)):
        there = u + step
        height = np.interp(there, opening.u, middle) + line
        x = opening.origin[0] + there * opening.axis[0] + height * opening.down[0] - corner[0]
        y = opening.origin[1] + there * opening.axis[1] + height * opening.down[1] - corner[1]
        total += share * cv2.remap(
            patch, x.astype(np.float32), y.astype(np.float32), cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
        )
    return np.asarray(total)


def _overlap(picture: FloatArray, offset: tuple[int, int], box: Box) -> tuple[tuple[slice, slice], FloatArray | None]:
    """Return the part of a box that lies in a picture: as slices of the box, and as a view of the picture."""
    ox, oy = offset
    h, w = picture.shape[:2]
    x0, y0, x1, y1 = max(box[0], ox), max(box[1], oy), min(box[2], ox + w), min(box[3], oy + h)
    window = np.s_[y0 - box[1] : y1 - box[1], x0 - box[0] : x1 - box[0]]
    if x1 <= x0 or y1 <= y0:
        return window, None
    return window, picture[y0 - oy : y1 - oy, x0 - ox : x1 - ox]
