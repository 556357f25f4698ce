"""The skin of an upper lid: what one photo shows of it, laid out so that it can unroll.

Three parts, made once per photo:

- the *plate*, the skin as if there were no eye, lashes or crease: a membrane stretched through the trusted skin
  around the eye. Trusted is what is not dark against its own neighbourhood, for lashes and hairs are that, and a
  shaded brow bone is not.
- the *strip* of lid between lash line and brow in lid coordinates (u along the eye, d the height above the lash
  line), as logarithm of its ratio to the plate: `low` the soft shade and make-up, `high` its lines and pores.
- the *grain* of the photo, for the stretched strip and the plate have none: noise with the spectrum of skin nearby.

This module knows nothing of motion; lid_drawing.py moves what is made here. Lengths are in eye lengths.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import cv2
import numba as nb
import numpy as np
from numpy.typing import NDArray

from studio.engines.rig.curves import running_rank, smoothed
from studio.engines.rig.eye_frame import LUMA, SAMPLES, EyeFrame, FloatArray, band, curve_grid
from studio.engines.rig.layers import pull_push

Array = NDArray[Any]

_PLATE_LENGTH = 34  # pixels per eye length at which the plate is solved; it holds nothing finer
_STIFFNESS = 6.0  # of the membrane: pixels of that grid it averages over, squared
_HOLE_ABOVE, _HOLE_BELOW = 0.25, 0.085  # what lashes, crease and eye take of the skin
_STREAK = 0.10  # what is narrower along the lid, where lashes stand, is a lash's trace
_NOISE = 128  # pixels of the tile of grain
STRIP_U = (-0.35, 1.35)
STRIP_D = (-0.06, 0.50)
FOLD = 0.21  # height of the crease above the lash line


@dataclass(frozen=True)
class Skin:
    """Skin around one eye.

    Attributes:
        plate: the skin without the eye, RGB.  # (h, w, 3)
        trust: where the plate is the photo's own skin, 0..1.  # (h, w)
        grain: RGB noise of the photo, mean 0.  # (h, w, 3)
        grain_level: its standard deviation; 0 where no calm skin was found.
    """

    plate: FloatArray = field(repr=False)
    trust: FloatArray = field(repr=False)
    grain: FloatArray = field(repr=False)
    grain_level: float


@dataclass(frozen=True)
class Strip:
    """Lid coordinates: the grid that every strip of one eye is sampled on.

    Attributes:
        step: eye lengths per cell, along u and d alike.
        u, d: coordinates of the cells.  # (nd, nu)
        photo, plate: the photo and the plate there, RGB.  # (nd, nu, 3)
    """

    step: float
    u: FloatArray = field(repr=False)
    d: FloatArray = field(repr=False)
    photo: FloatArray = field(repr=False)
    plate: FloatArray = field(repr=False)


@dataclass(frozen=True)
class LidShade:
    """What the lid's skin adds to the plate, as logarithm of a ratio.

    Attributes:
        low: soft shade and tint.  # (nd, nu, 3)
        high: lines and pores.  # (nd, nu, 3)
        above_fold: shade right above the crease, over u.  # (SAMPLES,)
    """

    low: FloatArray = field(repr=False)
    high: FloatArray = field(repr=False)
    above_fold: FloatArray = field(repr=False)


def skin_around(eye: EyeFrame, frame: Array) -> Skin:
    """Make plate and grain.

    Args:
        eye: where the eye is.
        frame: pixels of glasses, which are no skin, 0..1.  # (h, w)
    """
    plate, trust = _plate(eye, frame)
    grain, level = _grain(eye, trust)
    return Skin(plate, trust, grain, level)


# -- plate -------------------------------------------------------------------


def _hole(eye: EyeFrame) -> Array:
    """Where lashes, crease and eye hide the skin.  # (h, w) bool"""
    outer = eye.from_outside(eye.u)
    upper, lower, brow = eye.at(eye.upper), eye.at(eye.lower), eye.at(eye.brow)
    beyond = np.clip(np.maximum(-outer / 0.20, (outer - 1) / 0.09), 0, 1)
    round_end = np.sqrt(np.clip(1 - beyond**2, 0, 1))
    above = np.minimum(_HOLE_ABOVE, 0.72 * (upper - brow)) * round_end
    return np.asarray((beyond < 1) & (eye.v > upper - above) & (eye.v < lower + _HOLE_BELOW * round_end))


def _plate(eye: EyeFrame, frame: Array) -> tuple[FloatArray, FloatArray]:
    height, width = eye.photo.shape[:2]
    scale = min(1.0, _PLATE_LENGTH / eye.length)
    size = (max(8, round(width * scale)), max(8, round(height * scale)))
    how = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR

    def small(image: Array) -> Array:
        return np.asarray(cv2.resize(np.asarray(image, np.float32), size, interpolation=how))

    brow = eye.at(eye.brow)
    known = np.where(small(~_hole(eye) * (1 - _brow_share(eye.v - brow))) > 0.97, 1.0, 0.0) * (small(frame) < 0.02)
    photo, u, v = small(eye.photo), small(eye.u), small(eye.v)
    gray = photo @ LUMA
    local = gray - cv2.medianBlur(np.clip(gray, 0, 255).astype(np.uint8), 13)
    spread = _spread(local, known)
    known = np.where((local < -2.0 * spread) | (local > 4 * spread), 0.0, known)
    near = 0.15 + np.exp(-(((u - 0.5) / 0.75) ** 2) - (v / 0.55) ** 2)
    lean = np.ones_like(near)
    start = pull_push(photo, known.astype(np.float32))
    smooth = np.ascontiguousarray(start @ LUMA, np.float32)[..., None]
    for _ in range(3):  # drop what is much darker or brighter than its smooth surroundings
        weight = (known * near * lean).astype(np.float32)
        relax(smooth, gray[..., None].astype(np.float32), weight, _STIFFNESS, 24)
        off = gray - smooth[..., 0]
        spread = _spread(off, known)
        known = np.where(np.abs(off) > 5 * spread, 0.0, known)
        lean = np.where(off < -0.3 * spread, 0.5, 1.0)  # towards the lighter side: lashes and creases are dark
    plate = start
    relax(plate, photo, (known * near * lean).astype(np.float32), _STIFFNESS, 48)
    back = cv2.INTER_CUBIC if scale < 1 else how
    large = cv2.resize(plate, (width, height), interpolation=back)
    trust = cv2.resize(known.astype(np.float32), (width, height), interpolation=cv2.INTER_LINEAR)
    return np.clip(large, 1, 254).astype(np.float32), np.asarray(trust, np.float32)


def _brow_share(above: Array) -> FloatArray:
    """Share of brow hair at a distance from the brow's middle line."""
    return band(above, 0.05, 0.0) * band(above, -0.45, -0.30)


def _spread(values: Array, known: Array) -> float:
    """Return a robust standard deviation of the known values, in levels, never below that of a clean picture."""
    chosen = values[known > 0.5]
    return 1.4826 * float(np.median(np.abs(chosen))) + 1.5 if len(chosen) else 5.0


@nb.njit(cache=True, nogil=True, fastmath=True, error_model="numpy")
def relax(value: Array, target: Array, weight: Array, stiffness: float, sweeps: int) -> None:
    """Settle a membrane that is pulled to `target` where `weight` says so; by successive over-relaxation, in place.

    Args:
        value: a first guess; overwritten.  # (h, w, c) float32
        target: (h, w, c) float32
        weight: (h, w) float32, 0 where nothing is known
        stiffness: pull of each of the four neighbors.
        sweeps: passes over the grid, there and back in turn.
    """
    height, width, channels = value.shape
    over = np.float32(1.75)
    for sweep in range(sweeps):
        for row in range(height):
            y = row if sweep % 2 == 0 else height - 1 - row
            for column in range(width):
                x = column if sweep % 2 == 0 else width - 1 - column
                w = weight[y, x] + np.float32(1e-6)
                around = np.float32(0.0)
                if y > 0:
                    around += stiffness
                if y < height - 1:
                    around += stiffness
                if x > 0:
                    around += stiffness
                if x < width - 1:
                    around += stiffness
                share = over / (w + around)
                for k in range(channels):
                    pull = w * target[y, x, k]
                    if y > 0:
                        pull += stiffness * value[y - 1, x, k]
                    if y < height - 1:
                        pull += stiffness * value[y + 1, x, k]
                    if x > 0:
                        pull += stiffness * value[y, x - 1, k]
                    if x < width - 1:
                        pull += stiffness * value[y, x + 1, k]
                    value[y, x, k] += share * (pull - (w + around) * value[y, x, k])


# -- grain -------------------------------------------------------------------


def _grain(eye: EyeFrame, trust: Array) -> tuple[FloatArray, float]:
    """Return noise with the spectrum and color of the photo's nearby skin, and its level."""
    height, width = trust.shape
    clean = (trust > 0.9).astype(np.float32)
    sigma = max(1.2, 0.05 * eye.length)
    base = cv2.GaussianBlur(eye.photo * clean[..., None], (0, 0), sigma)
    fine = (eye.photo - base / (cv2.GaussianBlur(clean, (0, 0), sigma)[..., None] + 1e-3)) * clean[..., None]
    found = _calm_skin(eye, clean, fine)
    if found is None:
        return np.zeros_like(eye.photo), 0.0
    piece = found - np.median(found, (0, 1))
    level = 1.4826 * float(np.median(np.abs(piece))) + 1e-3  # the skin's own noise, without its lines
    piece = np.clip(piece, -2.5 * level, 2.5 * level)
    side = len(piece)
    window = np.hanning(side)[:, None] * np.hanning(side)[None] + 1e-4
    power = np.abs(np.fft.fft2(piece * window[..., None], axes=(0, 1))) ** 2
    ring = np.minimum((_radius(side, side) * side).astype(int), side)
    count = np.maximum(np.bincount(ring.ravel(), minlength=side + 1), 1)
    # Only the radial spectrum: no grid of a JPEG survives, and the colors stay in step.
    radius = _radius(_NOISE, _NOISE // 2 + 1) * side
    shape = np.stack([
        np.interp(radius, np.arange(side + 1) + 0.5, np.sqrt(
            np.bincount(ring.ravel(), power[..., k].ravel(), minlength=side + 1) / count))
        for k in range(3)
    ], 2)  # fmt: skip
    tile: Array = np.fft.irfft2(_white_noise()[..., None] * shape, (_NOISE, _NOISE), axes=(0, 1))
    tile *= 0.9 * level / (tile.std() + 1e-6)
    tile = cv2.GaussianBlur(tile.astype(np.float32), (0, 0), 0.35 + 0.4 * eye.blur)
    many = (-(-height // _NOISE), -(-width // _NOISE), 1)
    return np.ascontiguousarray(np.tile(tile, many)[:height, :width]), level


def _calm_skin(eye: EyeFrame, clean: Array, fine: Array) -> Array | None:
    """Return a square of rather calm skin (that of lids is finer than a cheek's), None where there is none."""
    height, width = clean.shape
    side = max(8, int(0.24 * eye.length))
    found: list[tuple[float, int, Array]] = []
    for u in (0.2, 0.4, 0.6, 0.8):
        for v in (0.30, 0.40, 0.5, -0.3, -0.38):
            x, y = (eye.origin + eye.length * (u * eye.along + v * eye.across) - side // 2).astype(int)
            if 0 <= x <= width - side and 0 <= y <= height - side:
                piece = fine[y : y + side, x : x + side]
                if clean[y : y + side, x : x + side].mean() >= 0.85:
                    found.append((float(np.median(np.abs(piece - np.median(piece, (0, 1))))), len(found), piece))
    found.sort(key=lambda entry: entry[:2])
    return found[len(found) // 3][2] if found else None


def _radius(rows: int, columns: int) -> Array:
    """Return frequencies in cycles per sample of a full, or half, transform."""
    across = np.fft.fftfreq(rows) if rows == columns else np.fft.rfftfreq(rows)
    return np.asarray(np.hypot(np.fft.fftfreq(rows)[:, None], across[None]))


@lru_cache(maxsize=1)
def _white_noise() -> Array:
    """Return the transform of a tile of white noise, the same for every photo."""
    return np.asarray(np.fft.rfft2(np.random.default_rng(0).standard_normal((_NOISE, _NOISE))))


# -- strip -------------------------------------------------------------------


def strip_of(eye: EyeFrame, plate: Array) -> Strip:
    """Lay the lid out: photo and plate over lid coordinates."""
    cells = int(np.clip(1.6 * eye.length, 64, 440))
    step = (STRIP_U[1] - STRIP_U[0]) / (cells - 1)
    rows = int((STRIP_D[1] - STRIP_D[0]) / step) + 1
    u = np.broadcast_to((STRIP_U[0] + step * np.arange(cells, dtype=np.float32))[None], (rows, cells))
    d = np.broadcast_to((STRIP_D[0] + step * np.arange(rows, dtype=np.float32))[:, None], (rows, cells))
    v = eye.at(eye.upper, u[0])[None] - d
    return Strip(step, u, d, eye.sample(eye.photo, u, v), eye.sample(plate, u, v))


def lid_shade(eye: EyeFrame, strip: Strip, lashes: Array, ink: Array) -> LidShade:
    """Take the lashes off the strip and split what is left.

    Args:
        eye: where the eye is.
        strip: its lid.
        lashes: how much each cell is lash or rim, 0..0.97.  # (nd, nu)
        ink: color of the lashes.  # (3,)
    """
    d, cells = strip.d, 1 / strip.step
    good = (np.clip(1 - lashes * 1.7, 0, 1) * (d > 0.012)).astype(np.float32)
    bare = (strip.photo - lashes[..., None] * ink) / (1 - lashes[..., None])
    ratio = np.log((np.clip(bare, 0, 255) + 10) / (np.clip(strip.plate, 0, 255) + 10)).astype(np.float32)
    gray = (ratio @ LUMA)[..., None]
    ratio = gray + 0.12 * np.tanh((ratio - gray) / 0.12)  # the hue of a deep shadow is noise

    def soft(image: Array) -> Array:
        return np.asarray(cv2.GaussianBlur(image, (0, 0), sigmaX=0.035 * cells, sigmaY=max(0.022 * cells, 0.5)))

    share = soft(good)
    low = soft(ratio * good[..., None]) / (share + 1e-3)[..., None]
    known = band(share, 0.08, 0.35)[..., None]
    # Next to the lash line nothing is known: what lies above continues.
    weight = np.exp(-(((d[:, :1] - 0.08) / 0.05) ** 2))
    above = (low * weight[..., None]).sum(0) / weight.sum()
    low = low * known + above[None] * (1 - known)
    high = np.clip(ratio - low, -0.4, 0.3) * good[..., None] * known
    high += _lost_hairs(high, lashes, cells)
    return LidShade(
        np.ascontiguousarray(low, np.float32), np.ascontiguousarray(high, np.float32), _shade_above(eye, strip, low)
    )


def _lost_hairs(high: Array, lashes: Array, cells: float) -> FloatArray:
    """Return what takes the rest of the lashes out of a lid's lines: thin upright streaks where lashes stand.

    Lashes that are found are taken off; their soft sides and tips are not, and would stay on the lid like a rake's
    traces when the lashes have come down. Lines along the lid are longer than a streak is wide, and stay.

    Args:
        high: lines and pores.  # (nd, nu, 3)
        lashes: found coverage.  # (nd, nu)
        cells: per eye length.
    """
    gray = np.ascontiguousarray(high @ LUMA, np.float32)
    filled = cv2.morphologyEx(gray, cv2.MORPH_CLOSE, np.ones((1, max(3, int(_STREAK * cells) | 1))))
    beside = cv2.GaussianBlur(lashes.astype(np.float32), (0, 0), sigmaX=0.06 * cells, sigmaY=0.05 * cells)
    return np.asarray(((filled - gray) * band(beside, 0.01, 0.06))[..., None], np.float32)


def fold_height(eye: EyeFrame) -> FloatArray:
    """Return the crease's height above the lash line, lower under a low brow.  # (SAMPLES,)"""
    return np.asarray(np.minimum(FOLD, 0.58 * (eye.upper - eye.brow)), np.float32)


def _shade_above(eye: EyeFrame, strip: Strip, low: Array) -> FloatArray:
    u, fold = curve_grid(), fold_height(eye)
    column = np.clip((u - STRIP_U[0]) / strip.step, 0, low.shape[1] - 1).astype(np.float32)
    gray = (low @ LUMA).astype(np.float32)
    shade = np.zeros(SAMPLES, np.float32)
    for height in (0.95, 1.05, 1.15):
        row = np.clip((fold * height - STRIP_D[0]) / strip.step, 0, low.shape[0] - 1).astype(np.float32)
        shade += cv2.remap(gray, column[None], row[None], cv2.INTER_LINEAR)[0] / 3
    even = smoothed(running_rank(shade, 25, 65), 8)
    return np.asarray(np.clip(0.55 * even, -0.14, 0.05), np.float32)
