"""What is seen between the lips.

What a closed mouth hides is drawn: two rows of teeth, a tongue and a throat, lit by the photo (its
skin tells brightness, tint and saturation, so a black-and-white photo keeps a
grey mouth). Where the photo shows teeth, they are used and ride on the skull.
The opening is drawn at several samples per pixel, because the edge of the lips
is the sharpest line in a talking face.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import cv2
import numba as nb
import numpy as np
from numpy.typing import NDArray

from studio.engines.rig import kernels
from studio.engines.rig.asset import INNER_LIP_RING, HeadAsset

Array = NDArray[Any]
FloatArray = NDArray[np.float32]

_CHEEKS = (50, 280, 205, 425, 187, 411, 152, 199, 4)
# Half widths of the teeth along the arch in radians, middle to back (own measurement
# on an average dental arch of 8 teeth per side).
_UPPER_TEETH = np.cumsum([0.0, 0.165, 0.14, 0.15, 0.15, 0.15, 0.2, 0.2, 0.3]).astype(np.float32)
_LOWER_TEETH = np.cumsum([0.0, 0.11, 0.12, 0.14, 0.15, 0.15, 0.2, 0.2, 0.3]).astype(np.float32)
OPEN_GAP = 0.045  # of the eye distance: a narrower gap shows a dark seam, no teeth
_ENAMEL = np.array([240.0, 231.0, 214.0])  # the teeth before light; as in _shade_mouth
SKIN, CAVITY, UPPER, LOWER, TONGUE = 1, 2, 3, 4, 5


@dataclass(frozen=True)
class MouthLight:
    """What the photo's skin says about the light in a mouth."""

    level: float
    tint: FloatArray
    saturation: float


def measure_light(image: Array, landmarks: Array) -> MouthLight:
    """Measure brightness, tint and saturation of the skin around the mouth."""
    h, w = image.shape[:2]
    colors = []
    for x, y in landmarks[list(_CHEEKS), :2].astype(int):
        if 2 <= x < w - 3 and 2 <= y < h - 3:
            colors.append(image[y - 2 : y + 3, x - 2 : x + 3].reshape(-1, 3).mean(0))
    skin = np.percentile(np.array(colors), 60, axis=0) if colors else np.array([180.0, 150.0, 130.0])
    level = float(np.clip(skin.max() / 215.0, 0.30, 1.1))
    tint = np.clip((skin / skin.mean() - 1) * 0.40 + 1, 0.80, 1.2)
    saturation = float(np.clip((skin.max() - skin.min()) / max(skin.max(), 1.0) / 0.18, 0.0, 1.0))
    return MouthLight(level, tint.astype(np.float32), saturation)


class Mouth:
    """Draws what is between the lips of one portrait.

    Args:
        image: the photo.  # (H, W, 3) float32
        mesh: the fitted head in the picture.  # (V, 3)
        landmarks: MediaPipe's points.  # (478, 3)
        eye_distance: pixels.
    """

    def __init__(self, asset: HeadAsset, image: Array, mesh: FloatArray, landmarks: Array, eye_distance: float) -> None:
        self._asset, self._image, self._mesh, self._eye = asset, image, mesh, eye_distance
        parts = (
            ("skin", SKIN),
            ("mouth_interior", CAVITY),
            ("teeth_upper", UPPER),
            ("teeth_lower", LOWER),
            ("tongue", TONGUE),
        )
        near = np.linalg.norm(asset.mean - asset.mean_at_landmarks[13], axis=1) < 0.75
        triangles, tags = [], []
        for name, tag in parts:
            chosen = asset.triangles_of(name)
            if tag == SKIN:
                chosen = chosen[near[chosen].all(1)]
            triangles.append(chosen)
            tags.append(np.full(len(chosen), tag, np.uint8))
        self._triangles = np.concatenate(triangles)
        self._tags = np.concatenate(tags)
        self._upper_rows = asset.vertices_of("teeth_upper")
        self._attributes = self._arch_attributes()
        width = float(np.linalg.norm(landmarks[61, :2] - landmarks[291, :2]))
        self._samples = int(np.clip(round(200 / max(width, 1.0)), 2, 4))
        gap = float(np.linalg.norm(landmarks[13, :2] - landmarks[14, :2])) / eye_distance
        self.photo_is_open = gap > OPEN_GAP
        self._own = self._own_interior(landmarks)
        light = measure_light(image, landmarks)
        self._light = self._light_of_own_teeth(light) if self.photo_is_open else light

    def _arch_attributes(self) -> FloatArray:
        """Angle along the dental arch and height within the tooth.  # (V, 3): angle, height, depth filled per frame"""
        a = self._asset
        out = np.zeros((len(a.mean), 3), np.float32)
        for name in ("teeth_upper", "teeth_lower"):
            rows = a.vertices_of(name)
            x = a.mean[rows]
            out[rows, 0] = np.arctan2(x[:, 0], (x[:, 2] - x[:, 2].min()) * 0.8 + 1e-6)
            out[rows, 1] = (x[:, 1] - x[:, 1].min()) / np.ptp(x[:, 1])
        return out

    def _own_interior(self, landmarks: Array) -> FloatArray:
        """Where the photo itself shows the inside of the mouth.  # (H, W) 0..1"""
        h, w = self._image.shape[:2]
        mask = np.zeros((h, w), np.uint8)
        if self.photo_is_open:
            ring = np.round(landmarks[list(INNER_LIP_RING), :2] * 16).astype(np.int32)
            cv2.fillPoly(mask, [ring], 255, cv2.LINE_AA, 4)
        coverage = self._cover(self._mesh)
        if coverage is not None:
            (x0, y0, x1, y1), cover = coverage
            mask[y0:y1, x0:x1] = np.maximum(mask[y0:y1, x0:x1], (cover * 255).astype(np.uint8))
        grown = cv2.dilate(mask, np.ones((3, 3)))
        return np.asarray(cv2.GaussianBlur(grown, (0, 0), max(0.6, 0.008 * self._eye)) / 255, np.float32)

    def _light_of_own_teeth(self, light: MouthLight) -> MouthLight:
        """Let drawn teeth look like those that the photo shows beside them; dark mouths keep the skin's light."""
        inside = self._image[self._own > 0.9]
        if len(inside) < 12:
            return light
        teeth = np.percentile(inside, 80, axis=0)
        if teeth.mean() < 0.45 * 255 * light.level:
            return light
        tint = teeth / teeth.mean() * (_ENAMEL.mean() / _ENAMEL)
        return MouthLight(float(teeth.max() / _ENAMEL.max()), tint.astype(np.float32), 1.0)

    def _box(self, mesh: Array) -> tuple[int, int, int, int] | None:
        ring = self._asset.landmarks(mesh[None])[0][list(INNER_LIP_RING), :2]
        margin = 0.06 * self._eye + 2
        h, w = self._image.shape[:2]
        x0, y0 = (int(max(v, 0)) for v in ring.min(0) - margin)
        x1, y1 = int(min(ring[:, 0].max() + margin + 1, w)), int(min(ring[:, 1].max() + margin + 1, h))
        return (x0, y0, x1, y1) if x1 - x0 > 2 and y1 - y0 > 2 else None

    def _raster(self, mesh: Array, box: tuple[int, int, int, int]) -> tuple[Array, Array]:
        x0, y0, x1, y1 = box
        n = self._samples
        h, w = (y1 - y0) * n, (x1 - x0) * n
        points = mesh.copy()
        points[:, 0] = (points[:, 0] - x0 + 0.5) * n - 0.5
        points[:, 1] = (points[:, 1] - y0 + 0.5) * n - 0.5
        self._attributes[:, 2] = mesh[:, 2]
        tag = np.zeros((h, w), np.uint8)
        maps = np.zeros((h, w, 3), np.float32)
        buffer = np.full((h, w), -1e30, np.float32)
        kernels.rasterize(points, self._triangles, self._tags, self._attributes, buffer, tag, maps, 0)
        return tag, maps

    def _within_lips(self, mesh: Array, box: tuple[int, int, int, int], shape: tuple[int, ...]) -> FloatArray:
        """Inside the ring of the inner lips; a lip bent far may cut through the mouth's wall.  # (h, w) 0 or 1"""
        ring = self._asset.landmarks(mesh[None])[0][list(INNER_LIP_RING), :2]
        points = ((ring - [box[0], box[1]] + 0.5) * self._samples - 0.5) * 16
        mask = np.zeros(shape, np.uint8)
        cv2.fillPoly(mask, [np.round(points).astype(np.int32)], 1, cv2.LINE_8, 4)
        grow = 2 * max(1, round(0.018 * self._eye_samples())) + 1
        return cv2.dilate(mask, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (grow, grow))).astype(np.float32)

    def _cover(self, mesh: Array) -> tuple[tuple[int, int, int, int], FloatArray] | None:
        box = self._box(mesh)
        if box is None:
            return None
        tag, _ = self._raster(mesh, box)
        inside = (tag >= CAVITY).astype(np.float32)
        if not inside.any():
            return None
        small = cv2.resize(inside, (box[2] - box[0], box[3] - box[1]), interpolation=cv2.INTER_AREA)
        return box, np.asarray(small, np.float32)

    def draw(
        self,
        mesh: FloatArray,
        rotation_only: FloatArray,
        picture: FloatArray,
        offset: tuple[int, int],
        parted: float = 0.0,
    ) -> None:
        """Draw the mouth's inside into a picture.

        Args:
            mesh: the posed head in the picture, pixels.  # (V, 3)
            rotation_only: the head posed with the photo's own expression; carries the
                photo's own teeth.  # (V, 3)
            picture: RGB, changed in place.  # (h, w, 3)
            offset: x, y of the picture's corner in the photo.
            parted: how far closed lips have parted, 0..1; what a closed photo shows
                between its lips is a dark seam and must not stay behind.
        """
        box = self._box(mesh)
        if box is None:
            return
        tag, maps = self._raster(mesh, box)
        if not (tag >= CAVITY).any():
            return
        lips = self._asset.landmarks(mesh[None])[0][[0, 17], 2].mean()
        shaded = np.zeros((*tag.shape, 4), np.float32)
        _shade_mouth(tag, maps, float(lips), self._eye, self._eye_samples(), _UPPER_TEETH, _LOWER_TEETH, shaded)
        x0, y0, x1, y1 = box
        shaded *= self._within_lips(mesh, box, tag.shape)[..., None]
        small = cv2.resize(shaded, (x1 - x0, y1 - y0), interpolation=cv2.INTER_AREA)
        cover = small[..., 3:]
        color = small[..., :3] / np.maximum(cover, 1e-4)
        color = self._tone(color)
        color = self._with_own_teeth(color, rotation_only, box, 1.0 if self.photo_is_open else 1.0 - parted)
        # A trace of softness hides the sampling; lips are never razor sharp.
        ox, oy = offset
        h, w = picture.shape[:2]
        cx0, cy0, cx1, cy1 = max(x0, ox), max(y0, oy), min(x1, ox + w), min(y1, oy + h)
        if cx1 <= cx0 or cy1 <= cy0:
            return
        window = np.s_[cy0 - y0 : cy1 - y0, cx0 - x0 : cx1 - x0]
        target = picture[cy0 - oy : cy1 - oy, cx0 - ox : cx1 - ox]
        alpha = cover[window]
        target[...] = target * (1 - alpha) + color[window] * alpha

    def _eye_samples(self) -> float:
        return self._eye * self._samples

    def _tone(self, color: Array) -> Array:
        light = self._light
        color = color * light.level * light.tint
        grey = color @ np.array([0.30, 0.59, 0.11], np.float32)
        return grey[..., None] + (color - grey[..., None]) * light.saturation

    def _with_own_teeth(self, color: Array, posed: FloatArray, box: tuple[int, int, int, int], share: float) -> Array:
        """Blend in the photo's own mouth, carried by the skull."""
        rows = self._upper_rows[:: max(1, len(self._upper_rows) // 24)]
        design = np.concatenate([posed[rows, :2], np.ones((len(rows), 1), np.float32)], 1)
        affine = np.linalg.lstsq(design, self._mesh[rows, :2], rcond=None)[0]  # picture -> photo
        x0, y0, x1, y1 = box
        xx, yy = np.meshgrid(np.arange(x0, x1, dtype=np.float32), np.arange(y0, y1, dtype=np.float32))
        mx = (affine[0, 0] * xx + affine[1, 0] * yy + affine[2, 0]).astype(np.float32)
        my = (affine[0, 1] * xx + affine[1, 1] * yy + affine[2, 1]).astype(np.float32)
        own = cv2.remap(self._own, mx, my, cv2.INTER_LINEAR) * share
        if own.max() < 0.01:
            return color
        photo = cv2.remap(self._image, mx, my, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        return np.asarray(photo * own[..., None] + color * (1 - own[..., None]))


@nb.njit(cache=True, nogil=True, fastmath=True)
def _tooth(angle: float, edges: Array) -> Any:
    """Position -1..1 across the tooth at an angle of the arch."""
    a = abs(angle)
    j = 0
    while j < edges.shape[0] - 2 and a >= edges[j + 1]:
        j += 1
    t = (a - edges[j]) / (edges[j + 1] - edges[j]) * 2.0 - 1.0
    return min(max(t, -1.0), 1.0)


@nb.njit(cache=True, nogil=True, fastmath=True)
def _shade_mouth(
    tag: Array,
    maps: Array,
    lips_z: float,
    eye: float,
    eye_samples: float,
    upper_edges: Array,
    lower_edges: Array,
    out: Array,
) -> None:
    """Colour the inside of the mouth, premultiplied; `eye` in pixels, `eye_samples` in samples."""
    height, width = tag.shape
    for x in range(width):
        top = -1
        for y in range(height):
            t = tag[y, x]
            if t < 2:
                top = -1
                continue
            if top < 0:
                top = y
            depth = max((lips_z - maps[y, x, 2]) / eye - 0.04, 0.0)
            below = (y - top) / eye_samples  # distance under the upper lip
            shadow = 1.0 - 0.62 * np.exp(-below / 0.030)
            r, g, b = 108.0, 42.0, 38.0
            light = 0.0
            if t == 2:
                light = 0.80 * np.exp(-depth * 2.6) * shadow + 0.16
            elif t == 5:
                r, g, b = 196.0, 98.0, 94.0
                wet = 1.0 + 0.16 * np.exp(-(((below - 0.11) / 0.035) ** 2))
                light = np.exp(-depth * 1.9) * (0.30 + 0.70 * shadow) * 0.92 * wet
                light *= 0.50 + 0.50 * min(below / 0.22, 1.0)  # the back of the tongue lies in the dark
            else:
                h = maps[y, x, 1]
                if t == 3:
                    u = _tooth(maps[y, x, 0], upper_edges)
                    root = min(max((h - 0.84) / 0.12, 0.0), 1.0)
                    tip = 1.0 - h
                else:
                    u = _tooth(maps[y, x, 0], lower_edges)
                    root = min(max((0.34 - h) / 0.14, 0.0), 1.0)
                    tip = h
                u4 = u * u * u * u
                between = u4 * u4 if t == 3 else 0.45 * u4 * u4  # lower teeth stand closer and darker
                r, g, b = 240.0, 231.0, 214.0
                # Teeth are warmer and darker towards the gum and between each other.
                r *= 1.0 - 0.08 * (1 - tip) - 0.13 * between
                g *= 1.0 - 0.12 * (1 - tip) - 0.17 * between
                b *= 1.0 - 0.20 * (1 - tip) - 0.22 * between
                r += (138.0 - r) * root
                g += (64.0 - g) * root
                b += (60.0 - b) * root
                light = np.exp(-depth * 1.1) * (0.36 + 0.64 * shadow)
                if t == 4:
                    light *= 0.72 + 0.22 * tip
                # Rounded corners of the biting edge let the dark behind show.
                nip = min(max((u4 * 0.07 - (1.0 - tip)) / 0.06, 0.0), 1.0)
                light *= 1.0 - 0.40 * nip
                # Molars sink into the dark of the cheek.
                back = min(max((abs(maps[y, x, 0]) - 0.40) / 0.55, 0.0), 1.0)
                r = r * light * (1 - back) + 58.0 * back
                g = g * light * (1 - back) + 29.0 * back
                b = b * light * (1 - back) + 26.0 * back
                light = 1.0
            out[y, x, 0] = r * light
            out[y, x, 1] = g * light
            out[y, x, 2] = b * light
            out[y, x, 3] = 1.0
