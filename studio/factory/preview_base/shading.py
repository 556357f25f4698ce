"""The look of a rendered portrait: one compiled pass over all samples.

Skin is a wrapped diffuse term that reddens in the shade, a soft highlight and
a precomputed occlusion; brows, lips, cheeks, wrinkles, freckles and beard are
painted by place on the average head, so they move with the face. Colors are
linear light with gamma 2 (squares of sRGB); the caller takes the root.
"""

from __future__ import annotations

from typing import Any

import numba as nb
import numpy as np
from numpy.typing import NDArray

from studio.engines.rig.asset import REGIONS

Array = NDArray[Any]

PAINTS = ("skin", "lip", "hair", "brow", "iris", "shirt", "frame", "background")
TRAITS = ("light_x", "light_y", "light_z", "key", "ambient", "gaze_x", "gaze_y", "brow", "freckles", "wrinkles",
          "beard", "slope_x", "slope_y", "scale", "waves", "woman", "brow_inner", "brow_outer", "flush", "folds",
          "bald", "combed")  # fmt: skip
_SKIN, _LIP, _HAIR, _BROW, _IRIS, _SHIRT, _FRAME, _BACKGROUND = range(8)
(
    _GAZE_X,
    _GAZE_Y,
    _BROW_SIZE,
    _FRECKLES,
    _WRINKLES,
    _BEARD,
    _SLOPE_X,
    _SLOPE_Y,
    _SCALE,
    _WAVES,
    _WOMAN,
    _INNER,
    _OUTER,
    _FLUSH,
    _FOLDS,
    _BALD,
    _COMBED,
) = range(5, 22)
_T_SKIN, _T_MOUTH, _T_UPPER, _T_LOWER, _T_TONGUE, _T_EYE_L, _T_EYE_R, _T_SOCKET, _T_EAR, _T_NECK, _T_LASHES = (
    REGIONS.index(n) + 1 for n in ("skin", "mouth_interior", "teeth_upper", "teeth_lower", "tongue", "eye_left",
                                   "eye_right", "socket", "ear", "neck", "lashes"))  # fmt: skip


@nb.njit(cache=True, nogil=True, fastmath=True, inline="always")
def _smooth(low: float, high: float, x: float) -> float:
    t = min(max((x - low) / (high - low), 0.0), 1.0)
    return t * t * (3.0 - 2.0 * t)


@nb.njit(cache=True, nogil=True, fastmath=True, inline="always")
def _hash(i: int, j: int, seed: int) -> float:
    """Return a number 0..1 that depends on a cell."""
    n = np.uint32(i * 374761393 + j * 668265263 + seed * 974634777)
    n = np.uint32((n ^ (n >> np.uint32(13))) * np.uint32(1274126177))
    return float(np.uint32(n ^ (n >> np.uint32(16))) & np.uint32(0xFFFFFF)) / 16777215.0


@nb.njit(cache=True, nogil=True, fastmath=True)
def _noise(x: float, y: float, seed: int) -> float:
    """Return smooth value noise, -1..1."""
    i, j = int(np.floor(x)), int(np.floor(y))
    fx, fy = x - i, y - j
    fx = fx * fx * (3 - 2 * fx)
    fy = fy * fy * (3 - 2 * fy)
    a = _hash(i, j, seed) * (1 - fx) + _hash(i + 1, j, seed) * fx
    b = _hash(i, j + 1, seed) * (1 - fx) + _hash(i + 1, j + 1, seed) * fx
    return 2.0 * (a * (1 - fy) + b * fy) - 1.0


@nb.njit(cache=True, nogil=True, fastmath=True)
def _segment(x: float, y: float, ax: float, ay: float, bx: float, by: float) -> tuple[float, float]:
    """Return the distance to a segment and the place along it, 0..1."""
    dx, dy = bx - ax, by - ay
    t = min(max(((x - ax) * dx + (y - ay) * dy) / (dx * dx + dy * dy + 1e-12), 0.0), 1.0)
    return np.sqrt((x - ax - t * dx) ** 2 + (y - ay - t * dy) ** 2), t


_Points = tuple[tuple[float, float], ...]


def _groove(x: Array, y: Array, points: _Points, width: float) -> Array:
    """Return how deep a drawn-out hollow lies along a line through points, fading at both ends, 0..1."""
    ends = np.array(points)
    step = np.linspace(0, 1, len(ends))
    fine = np.linspace(0, 1, 25)
    line = np.stack([np.interp(fine, step, ends[:, k]) for k in range(2)], 1)
    line = np.stack([np.convolve(np.pad(line[:, k], 3, "edge"), np.ones(7) / 7, "valid") for k in range(2)], 1)
    depth = np.sin(np.pi * np.clip(fine * 0.86 + 0.07, 0, 1)) ** 0.6
    out = np.zeros_like(x)
    for (px, py), d in zip(line, depth, strict=True):
        out = np.maximum(out, d * np.exp(-((x - px) ** 2 + (y - py) ** 2) / width**2))
    return out


_AGE_STEP = 0.006  # head units between the cells of the map of age
_AGE_LEFT, _AGE_BOTTOM, _AGE_COLUMNS, _AGE_ROWS = -0.03, -1.0, 126, 268


def age_map() -> Array:
    """Return what age does to half a face: folds, fine lines, both dark in the hollow and light below it.

    Returns:
        Folds of middle age, lines of old age, signed, on the average head's x and y.  # (268, 126, 2) float32
    """
    from scipy.ndimage import gaussian_filter, shift

    x, y = np.meshgrid(_AGE_LEFT + _AGE_STEP * np.arange(_AGE_COLUMNS), _AGE_BOTTOM + _AGE_STEP * np.arange(_AGE_ROWS))
    folds = np.zeros_like(x)
    points: _Points
    for points, width, depth in (
        (((0.15, -0.33), (0.20, -0.43), (0.265, -0.53), (0.285, -0.64)), 0.034, 1.0),  # from the nose around the mouth
        (((0.25, -0.66), (0.27, -0.74), (0.26, -0.82)), 0.032, 0.6),  # from the mouth's corner down
        (((0.13, -0.10), (0.20, -0.185), (0.30, -0.205), (0.40, -0.16)), 0.034, 0.75),  # below the eye
        (((0.13, -0.13), (0.24, -0.26), (0.36, -0.30)), 0.042, 0.4),  # from the eye over the cheek
    ):
        folds = np.maximum(folds, depth * _groove(x, y, points, width))
    lines = 0.7 * folds
    for k in range(4):  # forehead
        points = (
            (-0.03, 0.27 + 0.066 * k),
            (0.12, 0.285 + 0.066 * k),
            (0.25, 0.275 + 0.07 * k),
            (0.40, 0.25 + 0.06 * k),
        )
        lines = np.maximum(lines, (0.62, 0.8, 0.7, 0.45)[k] * _groove(x, y, points, 0.017))
    for k in range(4):  # crow's feet
        points = ((0.455, -0.01 - 0.012 * k), (0.51, 0.015 - 0.04 * k), (0.585, 0.05 - 0.075 * k))
        lines = np.maximum(lines, 0.75 * _groove(x, y, points, 0.014))
    for points, width, depth in (
        (((0.035, 0.05), (0.045, 0.13), (0.06, 0.2)), 0.018, 0.6),  # between the brows
        (((0.16, -0.15), (0.26, -0.165), (0.36, -0.125)), 0.015, 0.5),
        (((0.40, -0.28), (0.42, -0.42), (0.38, -0.58)), 0.05, 0.5),  # hollow cheek
        (((0.44, -0.48), (0.40, -0.68), (0.33, -0.80)), 0.04, 0.55),  # sagging jaw
    ):
        lines = np.maximum(lines, depth * _groove(x, y, points, width))
    for k in range(5):  # above the lip
        points = ((0.03 + 0.042 * k, -0.50), (0.025 + 0.042 * k, -0.565))
        lines = np.maximum(lines, 0.35 * _groove(x, y, points, 0.011))
    out = []
    for hollow in (folds, lines):
        soft = gaussian_filter(hollow, 1.0)
        below = shift(gaussian_filter(hollow, 2.0), (-5, 2.5), order=1, mode="nearest")
        out.append(soft - 0.45 * below)
    return np.ascontiguousarray(np.stack(out, -1), np.float32)


@nb.njit(cache=True, nogil=True, fastmath=True)
def _aged(x: float, y: float, ages: Array, folds: float, lines: float, seed: int) -> float:
    """Return how dark (below 0: light) age makes a place; both halves of a face differ a little."""
    a = abs(x + 0.012 * _noise(2.5 * x, 2.5 * y, seed))
    y += 0.014 * _noise(3.0 * x + 7, 3.0 * y, seed + 3)
    column, row = (a - _AGE_LEFT) / _AGE_STEP, (y - _AGE_BOTTOM) / _AGE_STEP
    i, j = int(row), int(column)
    if row < 0 or i >= _AGE_ROWS - 1 or j >= _AGE_COLUMNS - 1:
        return 0.0
    fy, fx = row - i, column - j
    total = 0.0
    for k in range(2):
        upper = ages[i, j, k] * (1 - fx) + ages[i, j + 1, k] * fx
        lower = ages[i + 1, j, k] * (1 - fx) + ages[i + 1, j + 1, k] * fx
        total += (upper * (1 - fy) + lower * fy) * (folds if k == 0 else lines)
    return total


@nb.njit(cache=True, nogil=True, fastmath=True)
def _brow(x: float, y: float, brows: Array, size: float, inner: float, outer: float) -> float:
    """Return how much of the place belongs to a brow whose ends are raised so far, 0..1; x >= 0."""
    share = min(max((x - brows[0, 0]) / (brows[4, 0] - brows[0, 0]), 0.0), 1.0)
    y -= inner * (1 - share) + outer * share
    near, place = 9.0, 0.0
    for k in range(4):
        d, along = _segment(x, y, brows[k, 0], brows[k, 1], brows[k + 1, 0], brows[k + 1, 1])
        if d < near:
            near, place = d, (k + along) / 4
    half = size * (1.05 - 0.6 * place * place)
    return _smooth(half + 0.02, half - 0.02, near)


@nb.njit(cache=True, nogil=True, fastmath=True)
def _eye(u: float, v: float, gaze_x: float, gaze_y: float, light: float, iris: Array, out: Array) -> float:
    """Write the color of the eyeball at u, v (-1..1 across); return how much it shines."""
    du, dv = u - 0.55 * gaze_x, v - 0.55 * gaze_y
    r = np.sqrt(du * du + dv * dv)
    white = 0.92 - 0.42 * _smooth(0.18, 0.62, v) - 0.22 * _smooth(0.5, 1.0, abs(u))
    inside = _smooth(0.53, 0.47, r)
    ring = 1.0 - 0.8 * _smooth(0.36, 0.5, r)
    rays = 1.0 + 0.2 * np.cos(22.0 * np.arctan2(dv, du))
    pupil = _smooth(0.23, 0.17, r)
    below = 1.25 - 0.9 * min(max(dv, -0.4), 0.4)  # light that entered above leaves below
    red = 0.16 * _smooth(0.55, 1.0, abs(u))
    for k in range(3):
        color = iris[k] * ring * rays * below * (1.0 - pupil) + 0.003
        out[k] = white * (1.0 - (0.0 if k == 0 else 0.035 + red)) * (1 - inside) + color * inside
    hx, hy = du - 0.16 * min(max(3.0 * light, -1.0), 1.0) - 0.04, dv - 0.17
    return _smooth(0.17, 0.06, np.sqrt(hx * hx + hy * hy))


@nb.njit(cache=True, nogil=True, fastmath=True)
def _grown(hairy: float, x: float, y: float, z: float, seed: int) -> float:
    """Return how much of the place short hair covers: separate hairs where it grows thin, 0..1."""
    if hairy <= 0.01:
        return 0.0
    grain = 0.6 * _noise(x * 34 + 28 * z, y * 15, seed) + 0.4 * _noise(x * 85 - 70 * z, y * 36, seed + 1)
    return _smooth(0.05, 0.95, hairy + 0.5 * grain * (1.0 - 0.6 * hairy))


@nb.njit(cache=True, nogil=True, fastmath=True)
def _neck(x: float, y: float, z: float, paints: Array, traits: Array, seed: int, out: Array) -> float:
    """Write a shirt over the color of the skin where it is worn; return how much of the place it covers."""
    a = abs(x)
    collar = -1.27 + 0.33 * _smooth(0.45, 0.9, a) + 0.14 * _smooth(-0.35, -0.9, z) - 0.10 * _smooth(0.25, 0.0, a)
    cloth = _smooth(collar + 0.012, collar - 0.012, y)
    if cloth > 0:
        fold = 1.0 + 0.10 * _noise(3.0 * x, 2.0 * y, seed) + 0.05 * _noise(11.0 * x, 5.0 * y, seed + 2)
        fold *= 0.62 + 0.38 * _smooth(0.0, 0.05, abs(y - collar + 0.05))  # the seam of the collar
        for k in range(3):
            out[k] = out[k] * (1 - cloth) + paints[_SHIRT, k] * fold * cloth
    return cloth


@nb.njit(cache=True, nogil=True, fastmath=True)
def _complexion(x: float, y: float, z: float, traits: Array, seed: int, out: Array) -> None:
    """Redden cheeks, nose and ears, and spot the skin, as blood and sun do."""
    a = abs(x)
    cheek = np.exp(-(((a - 0.36) / 0.20) ** 2) - ((y + 0.31) / 0.17) ** 2)
    tip = np.exp(-((a / 0.13) ** 2) - ((y + 0.36) / 0.12) ** 2) * _smooth(0.2, 0.32, z)
    cloud = _noise(5.0 * x, 5.0 * y + 3.0 * z, seed + 5)
    red = (0.15 * cheek * (0.7 + 0.5 * traits[_WOMAN]) + 0.10 * tip) * (1.0 + 0.5 * cloud) + 0.02 * cloud
    red = min(red + 0.24 * traits[_FLUSH] * _smooth(0.95, 0.1, abs(y + 0.15)) * (1 + 0.3 * cloud), 0.5)
    tone = 1.0 + 0.025 * cloud + 0.03 * _noise(26.0 * x + 11.0 * z, 26.0 * y, seed + 6)
    out[0] *= tone
    out[1] *= tone * (1 - red)
    out[2] *= tone * (1 - 0.9 * red)
    if traits[_FRECKLES] > 0 and -0.65 < y < 0.05:
        i, j = int(np.floor(x * 32)), int(np.floor(y * 32))
        px, py = x * 32 - i - 0.3 - 0.4 * _hash(i, j, seed + 8), y * 32 - j - 0.3 - 0.4 * _hash(j, i, seed + 9)
        spot = _smooth(0.5, 0.62, _hash(i, j, seed)) * _smooth(0.34, 0.12, np.sqrt(px * px + py * py))
        spread = np.exp(-(((a - 0.25) / 0.24) ** 2) - ((y + 0.25) / 0.19) ** 2)
        for k in range(3):
            out[k] *= 1 - traits[_FRECKLES] * spot * spread * (0.28 + 0.16 * k)


@nb.njit(cache=True, nogil=True, fastmath=True)
def _skin(x: float, y: float, z: float, lip: float, beard: float, roots: float, tag: int, brows: Array, ages: Array,
          paints: Array, traits: Array, seed: int, out: Array) -> tuple[float, float]:  # fmt: skip
    """Write the albedo of the skin at a place of the average head; return occlusion and gloss."""
    a = abs(x)
    for k in range(3):
        out[k] = paints[_SKIN, k]
    jaw = y + 0.85 + z  # above 0 on the face, below 0 under the jaw and on the neck
    shade, gloss = 1.0 - 0.42 * _smooth(0.02, -0.30, jaw) * _smooth(-1.75, -1.1, y) * _smooth(-1.2, -0.5, z), 1.0
    if tag == _T_NECK:
        cloth = _neck(x, y, z, paints, traits, seed, out)
        if cloth >= 1.0:
            return 0.6 + 0.4 * shade, 0.0
        shade, gloss = shade * (1 - cloth) + cloth, 0.4 * (1 - cloth)
    elif z > -0.6:
        _complexion(x, y, z, traits, seed, out)
    face = tag != _T_NECK and z > -0.45
    brow = 0.0
    if face:
        if traits[_FOLDS] > 0.05 or traits[_WRINKLES] > 0.05:
            shade *= 1 - 0.52 * _aged(x, y, ages, traits[_FOLDS], traits[_WRINKLES], seed)
            spot = max(_noise(x * 9 + 3, y * 9 + 5 * z, seed), 0.0)
            shade *= 1 - 0.12 * traits[_WRINKLES] * spot
        if -0.15 < y < 0.45:
            brow = _brow(a, y, brows, traits[_BROW_SIZE], traits[_INNER], traits[_OUTER]) * _smooth(-0.1, 0.0, z)
            if brow > 0:
                hairs = _noise(a * 55 + y * 50, y * 75 - a * 30, seed + 2)
                brow = _smooth(0.12, 0.9, brow + 0.35 * hairs * (1.2 - brow)) * (0.72 + 0.12 * hairs)
            hollow = np.exp(-(((a - 0.29) / 0.15) ** 2) - ((y - 0.055) / 0.085) ** 2)
            shade *= 1 - (0.12 + 0.2 * traits[_WOMAN]) * hollow
    grown = 0.0
    if traits[_BEARD] > 0:
        grown = _grown(beard * (1 - lip), x, y, z, seed + 11) * (0.80 + 0.17 * traits[_BEARD])
    elif traits[_WOMAN] == 0 and beard > 0:  # a shaved chin
        amount = 0.17 * _smooth(0.1, 0.8, beard) * (1 - lip) * (0.8 + 0.2 * _noise(x * 90, y * 90, seed))
        for k in range(3):
            out[k] = out[k] * (1 - amount) + (0.05 + 0.25 * paints[_SKIN, 2]) * amount
    stubble = _grown(roots, x, y, z, seed + 17) * (0.9 if traits[_BALD] == 0 else 0.22 * (1 - traits[_WOMAN]))
    tint = 0.5
    if grown > 0.01:
        tint = (
            0.55
            + 0.22 * _noise(x * 46 + 40 * z, y * 18, seed + 12)
            + 0.13 * _noise(x * 110 - 90 * z, y * 40, seed + 13)
        )
    for k in range(3):
        out[k] = out[k] * (1 - lip) + paints[_LIP, k] * lip
        out[k] = out[k] * (1 - brow) + paints[_BROW, k] * brow
        out[k] = out[k] * (1 - grown) + paints[_HAIR, k] * tint * grown
        out[k] = out[k] * (1 - stubble) + (0.5 * paints[_HAIR, k] + 0.12 * out[k]) * stubble
    gloss *= (1 - grown) * (1 - stubble) * (1 - 0.6 * brow)
    return shade, gloss * (1 + 0.6 * lip)


@nb.njit(cache=True, nogil=True, fastmath=True, inline="always")
def _shadow(i: int, j: int, down: float, right: float, depth: float, others: Array, other_tags: Array,
            other_maps: Array, density: int) -> float:  # fmt: skip
    """Return 1 where something of a layer stands between a sample and the light, else 0."""
    side = others.shape[0]
    r, c = i + int(np.floor(down + 0.5)), j + int(np.floor(right + 0.5))
    if r < 0 or c < 0 or r >= side or c >= side or other_tags[r, c] != 1:
        return 0.0
    cover = 1.0 if density < 0 else min(1.5 * other_maps[r, c, density], 1.0)
    return cover * _smooth(0.0, 0.03, others[r, c] - depth)


@nb.njit(cache=True, nogil=True, fastmath=True)
def shade(depth: Array, tags: Array, maps: Array, hair_depth: Array, hair_tags: Array, hair_maps: Array,
          glass_depth: Array, glass_tags: Array, glass_maps: Array, brows: Array, ages: Array, eye: Array,
          eye_radius: float, paints: Array, traits: Array, blobs: Array, seed: int, color: Array,
          mask: Array) -> None:  # fmt: skip
    """Shade every sample.

    Args:
        depth, tags, maps: the head; see `geometry.head_layer`.  # (S, S), (S, S), (S, S, 10)
        hair_depth, hair_tags, hair_maps: the hair.  # (S, S), (S, S), (S, S, 6)
        glass_depth, glass_tags, glass_maps: the glasses.  # (S, S), (S, S), (S, S, 3)
        brows: middle line of a brow.  # (5, 2)
        ages: see `age_map`.  # (268, 126, 2)
        eye: centre of the right eye.  # (3,)
        paints, traits: in PAINTS' and TRAITS' order.  # (8, 3), (22,)
        blobs: x, y, radius, brightness.  # (B, 4)
        color: written, linear light.  # (S, S, 3)
        mask: written, 1 where bare face is seen.  # (S, S)
    """
    side = depth.shape[0]
    out = np.empty(3, np.float32)
    lx, ly, lz, key, ambient = traits[0], traits[1], traits[2], traits[3], traits[4]
    hx, hy, hz = lx, ly, lz + 1.0
    norm = np.sqrt(hx * hx + hy * hy + hz * hz)
    hx, hy, hz = hx / norm, hy / norm, hz / norm
    down, right = -0.055 * (0.55 + ly) * traits[_SCALE], 0.07 * lx * traits[_SCALE]  # towards the light
    for i in range(side):
        for j in range(side):
            tag = tags[i, j]
            mask[i, j] = 0.0
            if tag == 0:
                u, v = (j + 0.5) / side, (i + 0.5) / side
                bright = 1.0 + traits[_SLOPE_X] * (2 * u - 1) + traits[_SLOPE_Y] * (2 * v - 1)
                for b in range(blobs.shape[0]):
                    d2 = ((u - blobs[b, 0]) ** 2 + (v - blobs[b, 1]) ** 2) / (blobs[b, 2] ** 2)
                    bright += blobs[b, 3] * np.exp(-d2)
                for k in range(3):
                    color[i, j, k] = paints[_BACKGROUND, k] * bright
            else:
                x, y, z = maps[i, j, 0], maps[i, j, 1], maps[i, j, 2]
                nx, ny, nz = maps[i, j, 3], maps[i, j, 4], maps[i, j, 5]
                n = np.sqrt(nx * nx + ny * ny + nz * nz) + 1e-9
                if nz < 0:
                    n = -n
                nx, ny, nz = nx / n, ny / n, nz / n
                open_sky, gloss, shine = maps[i, j, 7], 1.0, 0.0
                if tag == _T_EYE_L or tag == _T_EYE_R:  # noqa: SIM109  (numba: no tuples in the inner loop)
                    sign = 1.0 if tag == _T_EYE_L else -1.0
                    eu, ev = (x - sign * eye[0]) / eye_radius, (y - eye[1]) / eye_radius
                    shine = _eye(eu, ev, traits[_GAZE_X], traits[_GAZE_Y], lx, paints[_IRIS], out)
                    open_sky, gloss = 1.0, 0.0
                elif tag == _T_MOUTH:
                    dark = 0.25 + 0.75 * _smooth(-0.1, 0.25, z)
                    out[0], out[1], out[2] = 0.22 * dark, 0.035 * dark, 0.035 * dark
                    gloss = 0.0
                elif tag == _T_UPPER or tag == _T_LOWER:  # noqa: SIM109
                    dark = (0.5 + 0.5 * _smooth(-0.08, 0.17, z)) * (1.0 - 0.25 * _smooth(0.08, 0.22, abs(x)))
                    if tag == _T_UPPER:  # the lip's shadow
                        dark *= 0.62 + 0.38 * _smooth(-0.52, -0.60, y)
                    else:
                        dark *= 0.72
                    dark *= 1.0 - 0.16 * _smooth(0.86, 1.0, abs(np.cos(x * 44.0)))
                    out[0], out[1], out[2] = 0.66 * dark, 0.60 * dark, 0.50 * dark
                    gloss, open_sky = 0.5, 0.85
                elif tag == _T_TONGUE:
                    out[0], out[1], out[2] = 0.32, 0.09, 0.09
                elif tag == _T_LASHES:
                    bare = 0.18 if traits[_WOMAN] > 0 else 0.30
                    for k in range(3):
                        out[k] = 0.010 + bare * paints[_SKIN, k]
                    gloss = 0.0
                else:
                    hollow, gloss = _skin(x, y, z, maps[i, j, 6], maps[i, j, 8], maps[i, j, 9], tag, brows, ages,
                                          paints, traits, seed, out)  # fmt: skip
                    open_sky *= hollow
                    if tag == _T_SOCKET:
                        open_sky = min(open_sky, 1.0) * (0.8 - 0.3 * _smooth(0.075, 0.045, z))
                diffuse = nx * lx + ny * ly + nz * lz
                cast = 0.45 * _shadow(i, j, down, right, depth[i, j], hair_depth, hair_tags, hair_maps, 5)
                cast += 0.35 * _shadow(i, j, 1.9 * down, 1.9 * right, depth[i, j], hair_depth, hair_tags, hair_maps, 5)
                cast += 0.25 * _shadow(
                    i, j, 0.7 * down, 0.7 * right, depth[i, j], glass_depth, glass_tags, glass_maps, -1
                )
                sky = ambient * (0.74 + 0.26 * ny) * open_sky * (1.0 - 0.35 * cast)
                direct = key * (0.35 + 0.65 * open_sky) * (1.0 - 0.75 * cast)
                half = max(nx * hx + ny * hy + nz * hz, 0.0)
                edge = (1.0 - nz) ** 3
                shine = shine * 0.75 + gloss * direct * (0.055 * half**14 + 0.045 * half**60)
                shine += gloss * 0.05 * edge * (sky + direct * max(diffuse, 0.0))
                for k in range(3):
                    wrap = 0.34 - 0.09 * k
                    lit = max((diffuse + wrap) / (1.0 + wrap), 0.0)
                    color[i, j, k] = out[k] * (sky + direct * lit) + shine
                if tag != _T_NECK and z > -0.6 and tag != _T_EAR:
                    mask[i, j] = 1.0
            if hair_tags[i, j] != 0 and hair_depth[i, j] > depth[i, j]:
                around, along = hair_maps[i, j, 0], hair_maps[i, j, 1]
                around += traits[_COMBED] * min(along, 0.6)
                fade = hair_maps[i, j, 5]
                if tag == 0:  # roots show on skin only; beside the head there would be a gap
                    fade = min(3.0 * fade + 0.3, 1.0)
                bend = traits[_WAVES] * np.sin(along * 9 + 5 * around)
                lock = _noise(around * 26 + 2.0 * bend, along * 3, seed + 4)
                strand = _noise(around * 80 + 5.0 * bend + 2 * lock, along * 4, seed)
                fine = _noise(around * 210 + 9.0 * bend + 4 * lock, along * 7, seed + 7)
                nx, ny, nz = hair_maps[i, j, 2], hair_maps[i, j, 3], hair_maps[i, j, 4]
                n = np.sqrt(nx * nx + ny * ny + nz * nz) + 1e-9
                if nz < 0:
                    n = -n
                nx, ny, nz = nx / n, ny / n, nz / n
                loose = 0.30 * lock + 0.32 * strand + 0.28 * fine
                alpha = _smooth(0.08, 0.74, fade + loose * (1 - fade) * min(1.0, 4.0 * fade))
                if tag == 0 and along < 0.6:  # an outline is not cut out
                    thin = _smooth(-0.12, 0.15, nz + 0.12 * fine + 0.07 * strand)
                    alpha *= thin + (1 - thin) * _smooth(0.3, 0.58, along)
                diffuse = nx * lx + ny * ly + nz * lz
                lit = max((diffuse + 0.30) / 1.30, 0.0)
                # A strand runs down over the head; where it is at right angles to the half vector it shines.
                across = np.sqrt(max(1.0 - ny * ny, 1e-4))
                facing = nx * hx + ny * hy + nz * hz
                along_half = (ny * facing - hy) / across
                first = max(1.0 - (along_half + 0.10 + 0.16 * strand + 0.10 * fine) ** 2, 0.0)
                gleam = first**22 * max(facing, 0.0)
                tone = (0.86 + 0.20 * lock + 0.22 * strand + 0.18 * fine) * (0.42 + 0.58 * _smooth(-0.05, 0.65, nz))
                tone *= 0.62 + 0.38 * _smooth(0.0, 0.5, fade)
                for k in range(3):
                    base = paints[_HAIR, k]
                    hair = base * tone * (ambient * (0.72 + 0.28 * ny) + key * lit)
                    hair += gleam * (0.25 + 0.75 * lit) * key * (0.30 * base + 0.025) * (0.8 + 0.5 * fine)
                    color[i, j, k] = color[i, j, k] * (1 - alpha) + max(hair, 0.0) * alpha
                mask[i, j] *= 1 - alpha
            nearest = max(depth[i, j], hair_depth[i, j] if hair_tags[i, j] != 0 else depth[i, j])
            if glass_tags[i, j] != 0 and glass_depth[i, j] > nearest - 0.01:
                nx, ny, nz = glass_maps[i, j, 0], glass_maps[i, j, 1], glass_maps[i, j, 2]
                n = np.sqrt(nx * nx + ny * ny + nz * nz) + 1e-9
                half = abs(nx * hx + ny * hy + nz * hz) / n
                if glass_tags[i, j] == 1:
                    lit = abs(nx * lx + ny * ly + nz * lz) / n
                    for k in range(3):
                        color[i, j, k] = paints[_FRAME, k] * (ambient + key * lit) + 0.22 * half**30
                else:
                    for k in range(3):
                        color[i, j, k] = color[i, j, k] * 0.93 + 0.014
