"""One eye's place in the photo: a patch of pixels, coordinates of its own, the curves of its lids.

u runs along the eye from the corner on the left of the picture (0) to the one on the right (1), v down the
face across it; both are in eye lengths, the distance between the two corners. Every recipe of the lids and of the
eyeball is written in these coordinates, so it fits a face of 15 pixels' eye as well as one of 150, tilted or not.

Landmarks lie on the lids only roughly, most of all on the lower one. Its curve is moved to the clearest smooth edge
near it where that is much clearer than its own. This module does not know what a lid or an iris looks like.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Any

import cv2
import numba as nb
import numpy as np
from numpy.typing import NDArray

from studio.engines.rig.curves import monotone_curve, smoothed
from studio.engines.rig.layers import smoothstep

Array = NDArray[Any]
FloatArray = NDArray[np.float32]

UPPER_LIDS = ((33, 246, 161, 160, 159, 158, 157, 173, 133), (362, 398, 384, 385, 386, 387, 388, 466, 263))
LOWER_LIDS = ((33, 7, 163, 144, 145, 153, 154, 155, 133), (362, 382, 381, 380, 374, 373, 390, 249, 263))
BROWS = ((46, 53, 52, 65, 55), (285, 295, 282, 283, 276))
IRISES = (slice(468, 473), slice(473, 478))
LUMA = np.array([0.30, 0.59, 0.11], np.float32)

SAMPLES = 191  # of a curve, between U_LOW and U_HIGH
U_LOW, U_HIGH = -0.45, 1.45
_REACH = np.array([0.95, 0.85])  # half the patch, in eye lengths
_BROW_GAP = 0.12  # least distance between lid and brow
_BLUR = ((0.28, 0.36, 0.46, 0.56), (2.6, 1.7, 0.8, 0.3))  # share of fine detail -> blur of the photo in pixels
_VERY_SOFT = 0.36
_REDDER = 0.06  # by which an eye's rim is redder than the white, as a share of all its light
_GROWN = 0.04  # eye lengths of white beyond the landmarks
_LOWER_RISE = 0.13  # of the opening: what the lower lid contributes to a blink
_MOST_SAG = 0.62  # of the eye length, four times the depth of the arc in which shut lids meet, approached


@dataclass(frozen=True)
class EyeFrame:
    """Coordinates and curves of one eye.

    Convention: pixels of the patch count from its own upper left corner; u, v in eye lengths, v down.

    Attributes:
        side: 0 the eye on the left of the picture, 1 the other.
        photo: the patch, RGB.  # (h, w, 3)
        box: x0, y0, x1, y1 of the patch in the photo.
        length: pixels between the corners.
        origin: the left corner, in pixels of the patch.  # (2,)
        along, across: unit vectors of u and v.  # (2,)
        u, v: coordinates of every pixel.  # (h, w)
        upper, lower, brow: height v over u of lash line, lower margin and the brow's middle.  # (SAMPLES,)
        iris_center, iris_radius: as the landmarks have it, pixels of the patch.
        blur: how soft the photo is, standard deviation in pixels.
    """

    side: int
    photo: FloatArray = field(repr=False)
    box: tuple[int, int, int, int]
    length: float
    origin: FloatArray
    along: FloatArray
    across: FloatArray
    u: FloatArray = field(repr=False)
    v: FloatArray = field(repr=False)
    upper: FloatArray = field(repr=False)
    lower: FloatArray = field(repr=False)
    brow: FloatArray = field(repr=False)
    iris_center: FloatArray
    iris_radius: float
    blur: float

    @property
    def opening(self) -> float:
        """Widest gap between the lids, in eye lengths."""
        return float((self.lower - self.upper).max())

    def cut(self, rows: slice, columns: slice) -> EyeFrame:
        """Return the same eye on a part of the patch."""
        x0, y0 = self.box[0] + columns.start, self.box[1] + rows.start
        corner = np.array([columns.start, rows.start], np.float32)
        return replace(
            self, photo=np.ascontiguousarray(self.photo[rows, columns]), u=np.ascontiguousarray(self.u[rows, columns]),
            v=np.ascontiguousarray(self.v[rows, columns]), origin=self.origin - corner,
            iris_center=self.iris_center - corner,
            box=(x0, y0, x0 + columns.stop - columns.start, y0 + rows.stop - rows.start),
        )  # fmt: skip

    def away_from_iris(self) -> tuple[FloatArray, FloatArray]:
        """Return pixels right of the iris' center, (1, w), and below it, (h, 1)."""
        height, width = self.u.shape
        x = np.arange(width, dtype=np.float32) - self.iris_center[0]
        y = np.arange(height, dtype=np.float32) - self.iris_center[1]
        return x[None], y[:, None]

    def from_outside(self, u: Array) -> Array:
        """Return u counted from the outer corner of the eye."""
        return u if self.side == 0 else 1 - u

    def at(self, curve: Array, u: Array | None = None) -> FloatArray:
        """Look a curve up at every pixel, or at the given u."""
        u = self.u if u is None else u
        return np.interp(u, curve_grid(), curve).astype(np.float32)

    def sample(self, image: Array, u: Array, v: Array, how: int = cv2.INTER_CUBIC) -> Array:
        """Read an image of the patch at eye coordinates."""
        x = self.origin[0] + self.length * (u * self.along[0] + v * self.across[0])
        y = self.origin[1] + self.length * (u * self.along[1] + v * self.across[1])
        return np.asarray(
            cv2.remap(image, x.astype(np.float32), y.astype(np.float32), how, borderMode=cv2.BORDER_REPLICATE)
        )


@lru_cache(maxsize=1)
def curve_grid() -> Array:
    """Return the u of a curve's samples.  # (SAMPLES,)"""
    return np.linspace(U_LOW, U_HIGH, SAMPLES)


def eye_frame(image: Array, landmarks: Array, side: int) -> EyeFrame:
    """Lay a frame around one eye.

    Args:
        image: RGB.  # (H, W, 3) float32
        landmarks: MediaPipe's 478 points.  # (478, 3)
        side: 0 the eye on the left of the picture, 1 the other.
    """
    upper, lower = (landmarks[list(lids[side]), :2].astype(float) for lids in (UPPER_LIDS, LOWER_LIDS))
    brow, iris = landmarks[list(BROWS[side]), :2].astype(float), landmarks[IRISES[side], :2].astype(float)
    frame = _laid(image, upper, lower, brow, iris, side)
    return _on_the_edge(frame)


def eye_frames(image: Array, landmarks: Array) -> list[EyeFrame]:
    """Lay a frame around either eye, around all of its white where that is larger than the landmarks say.

    Eyes of drawn faces are. Both must agree on it: one alone is a light behind a lens, or a brow.

    Args:
        image: RGB.  # (H, W, 3) float32
        landmarks: MediaPipe's 478 points.  # (478, 3)
    """
    frames = [eye_frame(image, landmarks, side) for side in (0, 1)]
    found = [_all_of_the_white(frame) for frame in frames]
    for side, (frame, lids) in enumerate(zip(frames, found, strict=True)):
        if lids is not None and found[1 - side] is not None:
            corner = frame.origin + np.array(frame.box[:2])
            points = [corner + frame.length * (u[:, None] * frame.along + v[:, None] * frame.across) for u, v in lids]
            brow, iris = landmarks[list(BROWS[side]), :2].astype(float), landmarks[IRISES[side], :2].astype(float)
            frames[side] = _laid(image, points[0], points[1], brow, iris, side)
    return frames


def _laid(image: Array, upper: Array, lower: Array, brow: Array, iris: Array, side: int) -> EyeFrame:
    """Lay a frame through points of the lids, corner to corner.  # (N, 2) each, pixels of the image"""
    start, end = upper[0], upper[-1]
    length = max(float(np.linalg.norm(end - start)), 4.0)
    along = (end - start) / length
    across = np.array([-along[1], along[0]])
    height, width = image.shape[:2]
    low, high = (start + end) / 2 - _REACH * length, (start + end) / 2 + _REACH * length
    x0, y0 = int(np.clip(np.floor(low[0]), 0, width - 2)), int(np.clip(np.floor(low[1]), 0, height - 2))
    x1, y1 = int(np.clip(np.ceil(high[0]), x0 + 2, width)), int(np.clip(np.ceil(high[1]), y0 + 2, height))
    photo = np.ascontiguousarray(image[y0:y1, x0:x1], np.float32)
    dx = (np.arange(x0, x1) - start[0])[None].astype(np.float32) / np.float32(length)
    dy = (np.arange(y0, y1) - start[1])[:, None].astype(np.float32) / np.float32(length)
    upper_curve = _smooth(_curve(upper, start, along, across, length), 2.0)
    lower_curve = np.maximum(_smooth(_curve(lower, start, along, across, length), 2.0), upper_curve)
    over = _curve(brow, start, along, across, length)
    return EyeFrame(
        side=side, photo=photo, box=(x0, y0, x1, y1), length=length,
        origin=np.asarray(start - [x0, y0], np.float32), along=along.astype(np.float32),
        across=across.astype(np.float32), u=dx * np.float32(along[0]) + dy * np.float32(along[1]),
        v=dx * np.float32(across[0]) + dy * np.float32(across[1]), upper=upper_curve, lower=lower_curve,
        brow=np.minimum(over, upper_curve - _BROW_GAP), iris_center=np.asarray(iris[0] - [x0, y0], np.float32),
        iris_radius=max(float(np.linalg.norm(iris[1:] - iris[0], axis=1).mean()), 1.0), blur=_softness(photo),
    )  # fmt: skip


def _all_of_the_white(frame: EyeFrame) -> tuple[tuple[Array, Array], tuple[Array, Array]] | None:
    """Find the lids of an eye that is larger than its landmarks, as eyes of drawn faces are.

    Only where a rim of redder skin or lashes goes all around it; landmarks of photos are better than any threshold.

    Returns:
        u and v of points of the upper and of the lower lid, corner to corner; None where the landmarks reach around
        all of the white.
    """
    step = 0.02
    u = np.arange(-0.30, 1.30, step, dtype=np.float32)
    v = np.arange(-0.50, 0.50, step, dtype=np.float32)
    uu, vv = np.broadcast_to(u[None], (len(v), len(u))), np.broadcast_to(v[:, None], (len(v), len(u)))
    soft = cv2.GaussianBlur(frame.photo, (0, 0), max(0.6, 0.012 * frame.length))
    color = frame.sample(soft, uu, vv, cv2.INTER_LINEAR)
    warm = (color[..., 0] - color[..., 2]) / (color.sum(2) + 10)  # skin and lashes are, in any light; an eye is not
    upper, lower = frame.at(frame.upper, u), frame.at(frame.lower, u)
    center = frame.iris_center - frame.origin
    iu, iv = float(center @ frame.along) / frame.length, float(center @ frame.across) / frame.length
    away = np.hypot(uu - iu, vv - iv) / (frame.iris_radius / frame.length)
    inside = (vv > upper + 0.02) & (vv < lower - 0.02) & (uu > 0) & (uu < 1)
    seen = inside & (away > 1.1)
    if seen.sum() < 12:
        return None
    white = float(np.percentile(warm[seen], 75)) + _REDDER
    eye = ((warm < white) | (away < 1.05) | inside).astype(np.uint8)
    _, parts = cv2.connectedComponents(eye, connectivity=4)
    part = parts == parts[int(np.argmin(np.abs(v - iv))), int(np.argmin(np.abs(u - iu)))]
    if part[[0, -1]].any() or part[:, [0, -1]].any():  # the white runs out into something else
        return None
    rows, columns = np.where(part)
    corners = np.array([[u.searchsorted(0), v.searchsorted(0)], [u.searchsorted(1), v.searchsorted(0)]])
    hull = cv2.convexHull(np.concatenate([np.stack([columns, rows], 1), corners]).astype(np.int32))
    part = cv2.dilate(cv2.fillConvexPoly(np.zeros(part.shape, np.uint8), hull, 1), np.ones((5, 3), np.uint8))
    columns = np.where(part.any(0))[0]
    span = slice(columns[0], columns[-1] + 1)
    top, bottom = v[part.argmax(0)], v[len(v) - 1 - part[::-1].argmax(0)]
    outside = -float(u[span][0]) if frame.side == 0 else float(u[span][-1]) - 1
    below = float(np.median((bottom - lower)[(u > 0.1) & (u < 0.9)]))
    if min(outside, below) < 0.4 * _GROWN or max(outside, below) < _GROWN:
        return None
    lids = [smoothed(edge[span], 1) for edge in (top, bottom)]
    for k in (0, -1):
        lids[0][k] = lids[1][k] = (lids[0][k] + lids[1][k]) / 2
    return (u[span], lids[0]), (u[span], lids[1])


def lid_seam(eye: EyeFrame) -> FloatArray:
    """Return where the lower margin lies under shut lids.  # (SAMPLES,)

    It rises to meet the upper one, and flattens: an open eye is a bowl with steep ends, shut ones meet in a shallow
    arc. Such a line drawn along the bowl has hooks at its ends.
    """
    u = curve_grid()
    risen = eye.lower - _LOWER_RISE * np.maximum(eye.lower - eye.upper, 0)
    inside = (u > 0) & (u < 1)
    chord = u * (eye.lower[-1] - eye.lower[0]) + eye.lower[0]
    bow = u * (1 - u)
    design = np.stack([bow, bow * (u - 0.5)], 1)[inside]
    depth, lean = np.linalg.lstsq(design, (risen - chord)[inside], rcond=None)[0]
    depth = _MOST_SAG * float(np.tanh(depth / _MOST_SAG)) if depth > 0 else depth
    arc = chord + depth * bow + np.clip(lean, -0.5 * abs(depth), 0.5 * abs(depth)) * bow * (u - 0.5)
    return np.where(inside, np.minimum(arc, eye.lower), eye.lower).astype(np.float32)


def paleness(photo: Array) -> FloatArray:
    """Return how white, which is bright and colorless, every pixel is.  # (h, w)"""
    red, green, blue = photo[..., 0], photo[..., 1], photo[..., 2]
    least, most = np.minimum(np.minimum(red, green), blue), np.maximum(np.maximum(red, green), blue)
    return np.asarray(least - 0.7 * (most - least), np.float32)


def _curve(points: Array, start: Array, along: Array, across: Array, length: float) -> FloatArray:
    """Sample a curve through points: height over u, level beyond its ends.  # (SAMPLES,)"""
    u, v = (points - start) @ along / length, (points - start) @ across / length
    order = np.argsort(u)
    u, v = u[order], v[order]
    keep = np.concatenate([[True], np.diff(u) > 1e-3])
    u, v = u[keep], v[keep]
    if len(u) < 2:  # an eye seen edge on
        return np.full(SAMPLES, v[0], np.float32)
    return np.asarray(monotone_curve(u, v, np.clip(curve_grid(), u[0], u[-1])), np.float32)


def _smooth(curve: Array, sigma: float) -> FloatArray:
    return np.asarray(smoothed(curve, sigma, cv2.BORDER_REPLICATE), np.float32)


def _softness(photo: Array) -> float:
    """Estimate the photo's blur from how much of its detail is fine; a very soft one is looked at in half size."""
    fine = np.abs(photo - cv2.GaussianBlur(photo, (0, 0), 1.0)).mean()
    coarse = np.abs(photo - cv2.GaussianBlur(photo, (0, 0), 2.0)).mean() + 1e-3
    blur = float(np.interp(fine / coarse, *_BLUR))
    if fine / coarse < _VERY_SOFT and min(photo.shape[:2]) > 32:
        blur = max(blur, 2 * _softness(cv2.resize(photo, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA)))
    return blur


def _on_the_edge(frame: EyeFrame) -> EyeFrame:
    """Move the lower lid's curve to the strongest smooth edge near it, if clearly stronger than its own."""
    columns, rows, step = 81, 41, 0.022
    u = np.linspace(0.06, 0.94, columns, dtype=np.float32)[None].repeat(rows, 0)
    offset = np.linspace(-0.03, 0.13, rows, dtype=np.float32)[:, None]
    soft = cv2.GaussianBlur(frame.photo, (0, 0), max(0.6, 0.008 * frame.length))
    v = frame.at(frame.lower, u) + offset
    edge = np.abs(frame.sample(soft, u, v - step) - frame.sample(soft, u, v + step)).sum(2)
    edge = np.minimum(edge, 160)
    path = best_path((edge * np.exp(-((offset / 0.11) ** 2))).astype(np.float32), 60.0)
    found, own = edge[path, np.arange(columns)], edge[6:10].max(0)
    moved = offset[path, 0]
    if np.median(found) <= 1.2 * np.median(own) + 8 or np.median(moved) <= 0.012:
        return frame
    moved = _smooth(moved, 4) * np.clip(np.sin(np.pi * u[0]) * 2.5, 0, 1)
    table = np.interp(curve_grid(), u[0], moved, 0, 0)
    return replace(frame, lower=(frame.lower + _smooth(table, 2)).astype(np.float32))


def band(x: Array, low: float, high: float) -> FloatArray:
    """Return a soft step that is 0 at `low` and 1 at `high`, in either order, as float32."""
    if low < high:
        return smoothstep(x, low, high).astype(np.float32)
    return (1 - smoothstep(x, high, low)).astype(np.float32)


def best_path(gain: Array, stiffness: float) -> Array:
    """Find the left-to-right path of greatest gain; a step of n rows costs stiffness * (n / 3)^2, four at most.

    Args:
        gain: (rows, columns) float32

    Returns:
        The row in every column.  # (columns,) int64
    """
    rows, columns = gain.shape
    path = np.zeros(columns, np.int64)
    follow_path(gain, stiffness, np.zeros((2, rows)), np.zeros((rows, columns), np.int64), path)
    return path


@nb.njit(cache=True, nogil=True, error_model="numpy")
def follow_path(gain: Array, stiffness: float, total: Array, back: Array, path: Array) -> None:
    """Write the best path; `total` (2, rows) and `back` (rows, columns) are scratch."""
    rows, columns = gain.shape
    for i in range(rows):
        total[0, i] = gain[i, 0]
    for c in range(1, columns):
        for i in range(rows):
            best, where = -1e18, i
            for j in range(max(0, i - 4), min(rows, i + 5)):
                value = total[0, j] - stiffness * ((i - j) / 3.0) ** 2
                if value > best:
                    best, where = value, j
            total[1, i] = best + gain[i, c]
            back[i, c] = where
        for i in range(rows):
            total[0, i] = total[1, i]
    path[columns - 1] = 0
    for i in range(rows):
        if total[0, i] > total[0, path[columns - 1]]:
            path[columns - 1] = i
    for c in range(columns - 1, 0, -1):
        path[c - 1] = back[path[c], c]
