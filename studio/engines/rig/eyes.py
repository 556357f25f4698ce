"""Lids and irises, edited in the photo before the head is warped.

A mesh eyelid smears the lashes of a photo across the eye. Instead each eye is a
patch in the frame of its own corners: between the lid curves lies an eyeball
(sclera filled in where the iris was, iris completed to a full disc), above and
below lie the lids. Closing moves the upper lid's edge down to the lower one and
never beyond; the skin that appears is grown from the lid and from the skin
above its crease. With nothing asked the patch is the photo.

Everything is in pixels of the photo. This module does not know the head.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import cv2
import numba as nb
import numpy as np
from numpy.typing import NDArray

from studio.engines.rig.layers import pull_push

Array = NDArray[Any]
FloatArray = NDArray[np.float32]

UPPER_LIDS = ((33, 246, 161, 160, 159, 158, 157, 173, 133), (362, 398, 384, 385, 386, 387, 388, 466, 263))
LOWER_LIDS = ((33, 7, 163, 144, 145, 153, 154, 155, 133), (362, 382, 381, 380, 374, 373, 390, 249, 263))
BROWS = ((46, 53, 52, 65, 55), (285, 295, 282, 283, 276))
IRISES = (slice(468, 473), slice(473, 478))
SAMPLES = 97  # of the lid curves between U = -.25 and 1.25
U_LOW, U_HIGH = -0.25, 1.25


@dataclass(frozen=True)
class LidMotion:
    """What one eye is asked to do.

    Attributes:
        close: 0 as in the photo .. 1 lids in contact.
        widen: upper lid up, share of the opening.
        squint: lower lid up, share of the opening.
        gaze_x, gaze_y: iris shift in iris radii, right and down in the picture.
    """

    close: float = 0.0
    widen: float = 0.0
    squint: float = 0.0
    gaze_x: float = 0.0
    gaze_y: float = 0.0

    def is_still(self) -> bool:
        """Say whether the eye stays as in the photo."""
        return max(abs(self.close), abs(self.widen), abs(self.squint), abs(self.gaze_x), abs(self.gaze_y)) < 1e-3


class EyePatch:
    """One eye of one photo.

    Args:
        image: RGB.  # (H, W, 3) float32
        landmarks: MediaPipe's 478 points.  # (478, 3)
        side: 0 the eye on the left of the picture, 1 the other.
    """

    def __init__(self, image: Array, landmarks: Array, side: int) -> None:
        upper, lower = landmarks[list(UPPER_LIDS[side]), :2], landmarks[list(LOWER_LIDS[side]), :2]
        start, end = upper[0], upper[-1]
        self.length = float(np.linalg.norm(end - start))
        along = (end - start) / self.length
        across = np.array([-along[1], along[0]])
        margin = np.array([0.35, 0.62]) * self.length
        low, high = np.minimum(upper.min(0), lower.min(0)) - margin, np.maximum(upper.max(0), lower.max(0)) + margin
        h, w = image.shape[:2]
        self.x0, self.y0 = int(np.clip(np.floor(low[0]), 0, w - 2)), int(np.clip(np.floor(low[1]), 0, h - 2))
        self.x1, self.y1 = int(np.clip(np.ceil(high[0]), 2, w)), int(np.clip(np.ceil(high[1]), 2, h))
        self.photo = np.ascontiguousarray(image[self.y0 : self.y1, self.x0 : self.x1], np.float32)
        ph, pw = self.photo.shape[:2]
        yy, xx = np.mgrid[:ph, :pw].astype(np.float32)
        dx, dy = xx + self.x0 - start[0], yy + self.y0 - start[1]
        self._u = ((dx * along[0] + dy * along[1]) / self.length).astype(np.float32)
        self._v = (dx * across[0] + dy * across[1]).astype(np.float32)
        self._along, self._across = along.astype(np.float32), across.astype(np.float32)
        self._origin = np.array([start[0] - self.x0, start[1] - self.y0], np.float32)
        self._upper = _curve(upper, start, along, across, self.length)
        self._lower = np.maximum(_curve(lower, start, along, across, self.length), self._upper)
        self.opening = float((self._lower - self._upper).max())
        brow = (landmarks[list(BROWS[side]), :2] - start) @ across
        self._brow = float(brow.max())
        iris = landmarks[IRISES[side], :2]
        self._iris_centre = (iris[0] - [self.x0, self.y0]).astype(np.float32)
        self.iris_radius = float(np.linalg.norm(iris[1:] - iris[0], axis=1).mean())
        self._ball, self._sclera, self._sprite, self._sprite_alpha = self._eyeball()
        self._skin, self._lash = self._lid_colors()

    def _inside(self) -> Array:
        upper, lower = self._curves_at(self._upper), self._curves_at(self._lower)
        return np.asarray((self._v > upper) & (self._v < lower) & (self._u > 0) & (self._u < 1))

    def _curves_at(self, table: Array) -> Array:
        position = (self._u - U_LOW) / (U_HIGH - U_LOW) * (SAMPLES - 1)
        return np.asarray(np.interp(position, np.arange(SAMPLES), table))

    def _eyeball(self) -> tuple[FloatArray, FloatArray, FloatArray, FloatArray]:
        """Return eyeball as in the photo (extended under the lids), bare sclera, iris sprite and its alpha."""
        inside = self._inside().astype(np.uint8)
        shrink = max(1, round(0.035 * self.length))
        clean = cv2.erode(inside, np.ones((2 * shrink + 1,) * 2)) > 0
        yy, xx = np.mgrid[: self.photo.shape[0], : self.photo.shape[1]]
        away = np.hypot(xx - self._iris_centre[0], yy - self._iris_centre[1])
        radius = self.iris_radius
        white = clean & (away > radius * 1.22)
        if white.sum() < 6:  # a small or half-shut eye shows no white: take a plausible one
            level = (
                np.percentile(self.photo[inside > 0], 85, axis=0) if inside.any() else np.array([205.0, 200.0, 195.0])
            )
            sclera = np.broadcast_to(level, self.photo.shape).astype(np.float32)
        else:
            sclera = pull_push(self.photo, white.astype(np.float32))
        sprite = self._complete_iris(clean)
        alpha = 1 / (1 + np.exp(np.clip((away - radius * 1.05) / max(0.35, 0.05 * radius), -30, 30)))
        alpha = alpha.astype(np.float32)
        synthetic = sclera * (1 - alpha[..., None]) + sprite * alpha[..., None]
        own = cv2.GaussianBlur(clean.astype(np.float32), (0, 0), 0.7)[..., None]
        ball = self.photo * own + synthetic * (1 - own)
        return ball.astype(np.float32), sclera.astype(np.float32), sprite.astype(np.float32), alpha

    def _complete_iris(self, clean: Array) -> FloatArray:
        """Complete the iris under the lids: mirrored where the mirror is seen, else its radial mean."""
        radius, angles, rings = self.iris_radius * 1.22, 96, max(4, int(self.iris_radius * 1.22 * 2))
        flags = cv2.WARP_POLAR_LINEAR | cv2.INTER_LINEAR | cv2.WARP_FILL_OUTLIERS
        centre = (float(self._iris_centre[0]), float(self._iris_centre[1]))
        polar = cv2.warpPolar(self.photo, (rings, angles), centre, radius, flags)
        seen = cv2.warpPolar(clean.astype(np.float32), (rings, angles), centre, radius, flags) > 0.9
        mirror = (-np.arange(angles)) % angles  # up becomes down
        take = ~seen & seen[mirror]
        polar[take] = polar[mirror][take] * 0.93
        seen |= take
        count = seen.sum(0)
        mean = (polar * seen[..., None]).sum(0) / np.maximum(count, 1)[:, None]
        known = count > 0
        if known.any():
            for k in range(3):
                mean[:, k] = np.interp(np.arange(rings), np.where(known)[0], mean[known, k])
        else:
            mean[:] = (60, 50, 45)
        polar[~seen] = np.broadcast_to(mean[None], polar.shape)[~seen]
        size = (self.photo.shape[1], self.photo.shape[0])
        back = cv2.warpPolar(polar, size, centre, radius, flags | cv2.WARP_INVERSE_MAP)
        return np.nan_to_num(back, nan=60.0, posinf=60.0, neginf=60.0).astype(np.float32)

    def _lid_colors(self) -> tuple[FloatArray, FloatArray]:
        """Return the skin with eye and lashes removed, and the color of the lashes."""
        upper, lower = self._curves_at(self._upper), self._curves_at(self._lower)
        hole = (self._u > -0.12) & (self._u < 1.12)
        hole &= self._v > upper - max(0.30 * self.opening, 0.085 * self.length)
        hole &= self._v < lower + max(0.14 * self.opening, 0.045 * self.length)
        brow = self._v < self._brow + 0.03 * self.length
        weight = (~hole & ~brow).astype(np.float32) * np.exp(-(((self._u - 0.5) / 0.7) ** 2))
        # The darker part of the ring is lashes, creases and shadow, not lid skin.
        grey = self.photo.mean(2)
        if (weight > 0.1).any():
            floor = np.percentile(grey[weight > 0.1], 42)
            weight *= grey > floor
        skin = cv2.GaussianBlur(pull_push(self.photo, weight.astype(np.float32)), (0, 0), max(0.8, 0.03 * self.length))
        # A lid is about as bright as the skin around it; the fill tends to grey.
        usable = weight > 0.1
        bright = self.photo[usable & (grey > np.median(grey[usable]))] if usable.any() else self.photo.reshape(-1, 3)
        wanted = np.median(bright, axis=0) * 0.97
        has = np.maximum(skin[hole].mean(0) if hole.any() else skin.mean((0, 1)), 1.0)
        skin *= np.clip(wanted / has, 0.8, 1.4) ** 0.7
        band = (np.abs(self._v - upper) < 0.10 * self.opening + 1) & (self._u > 0.1) & (self._u < 0.9)
        lash = np.percentile(self.photo[band], 10, axis=0) if band.any() else np.array([40.0, 30.0, 25.0])
        return skin.astype(np.float32), lash.astype(np.float32)

    def draw(self, motion: LidMotion) -> FloatArray:
        """Return the patch with the motion applied.  # (h, w, 3)"""
        if motion.is_still():
            return self.photo
        out = np.empty_like(self.photo)
        _draw_eye(
            self.photo, self._ball, self._sclera, self._sprite, self._sprite_alpha, self._skin, self._lash,
            self._u, self._v, self._upper, self._lower, self._origin, self._along, self._across,
            self.length, self._brow,
            float(np.clip(motion.close, 0, 1)), float(np.clip(motion.widen, -0.5, 1)),
            float(np.clip(motion.squint, -0.5, 1)), motion.gaze_x * self.iris_radius, motion.gaze_y * self.iris_radius,
            out,
        )  # fmt: skip
        return out


def _curve(points: Array, start: Array, along: Array, across: Array, length: float) -> FloatArray:
    """Sample a lid curve: height across over position along, flat beyond the corners."""
    from scipy.interpolate import PchipInterpolator

    u, v = (points - start) @ along / length, (points - start) @ across
    order = np.argsort(u)
    u, v = u[order], v[order]
    keep = np.concatenate([[True], np.diff(u) > 1e-3])
    grid = np.linspace(U_LOW, U_HIGH, SAMPLES)
    heights = PchipInterpolator(u[keep], v[keep])(np.clip(grid, u[keep][0], u[keep][-1]))
    return np.asarray(heights, np.float32)


@nb.njit(cache=True, nogil=True, fastmath=True)
def _bilinear(image: Array, x: float, y: float, k: int) -> Any:
    h, w = image.shape[0], image.shape[1]
    x = min(max(x, 0.0), w - 1.001)
    y = min(max(y, 0.0), h - 1.001)
    i, j = int(x), int(y)
    fx, fy = x - i, y - j
    top = image[j, i, k] * (1 - fx) + image[j, i + 1, k] * fx
    low = image[j + 1, i, k] * (1 - fx) + image[j + 1, i + 1, k] * fx
    return top * (1 - fy) + low * fy


@nb.njit(cache=True, nogil=True, fastmath=True)
def _sigmoid(x: float) -> Any:
    return 1.0 / (1.0 + np.exp(-min(max(x, -30.0), 30.0)))


@nb.njit(cache=True, nogil=True, fastmath=True)
def _draw_eye(
    photo: Array, ball: Array, sclera: Array, sprite: Array, sprite_alpha: Array, skin: Array, lash: Array, us: Array,
    vs: Array, upper: Array, lower: Array, origin: Array, along: Array, across: Array, length: float, brow: float,
    close: float, widen: float, squint: float, gaze_x: float, gaze_y: float, out: Array,
) -> None:  # fmt: skip
    """Composite one eye; see EyePatch.  All lengths in pixels."""
    height, width = us.shape
    n = upper.shape[0]
    crease = 0.17 * length  # from the lash line up to the fold of an open lid
    band = max(0.030 * length, 1.0)  # lashes that ride on the edge
    soft = max(0.45, 0.010 * length)
    moved = min(1.0, (abs(close) + abs(widen)) / 0.12)
    looked = min(1.0, (abs(gaze_x) + abs(gaze_y)) / (0.06 * length))
    for y in range(height):
        for x in range(width):
            u, v = us[y, x], vs[y, x]
            side = min(1.0, max(0.0, min(u + 0.14, 1.14 - u) / 0.14))
            if side <= 0.0:
                for k in range(3):
                    out[y, x, k] = photo[y, x, k]
                continue
            side = side * side * (3 - 2 * side)
            f = (u - U_LOW) / (U_HIGH - U_LOW) * (n - 1)
            i = min(max(int(f), 0), n - 2)
            f -= i
            vu = upper[i] * (1 - f) + upper[i + 1] * f
            vl = lower[i] * (1 - f) + lower[i + 1] * f
            gap = max(vl - vu, 0.0)
            low = vl - (0.35 * squint + 0.06 * close) * gap
            top = vu - 0.24 * widen * gap
            edge = top + close * (low - top)
            fold = vu - crease
            fold = max(fold, brow + 0.25 * (vu - brow)) if brow < vu else fold
            # Upper lid: original strip stretched, and the skin above the fold mirrored down.
            span = max(edge - band - fold, 1e-3)
            s = (v - fold) / span
            old_v = v
            mirror_v = v
            if v > fold:
                old_v = fold + min(s, 1.0) * max(vu - band - fold, 0.0)
                mirror_v = fold - min(s, 1.0) * min(crease * 0.8, max(fold - brow, 0.0) * 0.8)
                if v > edge - band:
                    old_v = vu + (v - edge)
            base_x = origin[0] + u * length * along[0]
            base_y = origin[1] + u * length * along[1]
            grown = 0.0 if v <= fold else min(1.0, close * 1.6)
            calmed = 0.72 * min(1.0, 3.5 * max(s, 0.0))
            on_lash = _sigmoid((v - (edge - band * 1.1)) / soft) * (1.0 - 0.75 * close)
            grown *= 1.0 - on_lash
            shade = 1.0
            if v > fold and v < edge:
                t = min(max(s, 0.0), 1.0)
                shade = 1.0 + close * (0.045 * np.sin(3.14159 * t) - 0.09 * t * t * t)
            near_fold = 0.55 * close * np.exp(-(((v - fold) / (0.055 * length)) ** 2))  # a shut lid smooths its fold
            # Lower lid: the strip below the edge rides up, fading downwards.
            lift = low - vl
            low_v = v - lift * np.exp(-max(v - low, 0.0) / (0.28 * length))
            # Closed lids hide the wet rim of the lower one: take its skin from below.
            low_v += 0.085 * length * close * close * np.exp(-max(v - low, 0.0) / (0.10 * length))
            # Coverage by the two lids.
            above = 1.0 - _sigmoid((v - edge) / soft)
            below = _sigmoid((v - low) / soft)
            line = np.exp(-(((v - edge) / (0.017 * length + 0.45)) ** 2))
            taper = max(0.0, np.sin(3.14159 * min(max(u * 0.96 + 0.02, 0.0), 1.0)))
            line *= 0.75 * min(1.0, close / 0.35) * np.sqrt(taper)
            ao = 1.0
            if moved > 0.0:
                ao_new = 1.0 - 0.30 * np.exp(-max(v - edge, 0.0) / (0.055 * length))
                ao_old = 1.0 - 0.30 * np.exp(-max(v - vu, 0.0) / (0.055 * length))
                ao = 1.0 + moved * (ao_new / ao_old - 1.0)
            sx, sy = x - gaze_x, y - gaze_y
            inside = 0.0 <= sx < width - 1 and 0.0 <= sy < height - 1
            sa = 0.0
            if looked > 0.0 and inside:
                a, b = int(sx), int(sy)
                fx, fy = sx - a, sy - b
                sa = (sprite_alpha[b, a] * (1 - fx) + sprite_alpha[b, a + 1] * fx) * (1 - fy) + (
                    sprite_alpha[b + 1, a] * (1 - fx) + sprite_alpha[b + 1, a + 1] * fx
                ) * fy
            for k in range(3):
                eye = ball[y, x, k]
                if looked > 0.0:
                    turned = sclera[y, x, k] * (1 - sa)
                    if sa > 0.0:
                        turned += sa * _bilinear(sprite, sx, sy, k)
                    eye = eye * (1 - looked) + turned * looked
                eye *= ao
                old = _bilinear(photo, base_x + old_v * across[0], base_y + old_v * across[1], k)
                lid = old
                if grown > 0.0:
                    fresh = _bilinear(photo, base_x + mirror_v * across[0], base_y + mirror_v * across[1], k)
                    calm = skin[y, x, k]
                    lid = old * (1 - grown) + (fresh * (1 - calmed) + calm * calmed) * grown
                lid *= shade
                if near_fold > 0.0:
                    lid = lid * (1 - near_fold) + skin[y, x, k] * near_fold
                bottom = _bilinear(photo, base_x + low_v * across[0], base_y + low_v * across[1], k)
                value = eye * (1 - above) * (1 - below) + lid * above + bottom * below * (1 - above)
                value = value * (1 - line) + lash[k] * line
                out[y, x, k] = photo[y, x, k] * (1 - side) + value * side
