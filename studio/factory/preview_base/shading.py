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
          "beard", "slope_x", "slope_y", "short", "waves", "woman", "brow_inner", "brow_outer", "flush")  # fmt: skip
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
    _SHORT,
    _WAVES,
    _WOMAN,
    _INNER,
    _OUTER,
    _FLUSH,
) = range(5, 19)
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


@nb.njit(cache=True, nogil=True, fastmath=True)
def _line(x: float, y: float, ax: float, ay: float, bx: float, by: float, width: float) -> float:
    """Return how much of the place a drawn line covers, 0..1, soft at its border."""
    d, _ = _segment(x, y, ax, ay, bx, by)
    return float(np.exp(-((d / width) ** 2)))


@nb.njit(cache=True, nogil=True, fastmath=True)
def _wrinkle(x: float, y: float, age: float) -> float:
    """Return how dark the lines of age are at a place of the face, 0..1; x >= 0.

    In middle age there are folds beside the mouth and bags below the eyes; an old face has
    them deeper, and furrows on forehead and cheeks. Wide enough to be seen at 64 pixels.
    """
    deep = _line(x, y, 0.145, -0.37, 0.27, -0.57, 0.045)  # from the nose around the mouth
    deep = max(deep, 0.9 * _line(x, y, 0.27, -0.57, 0.28, -0.76, 0.038))
    deep = max(deep, 0.9 * _line(x, y, 0.14, -0.17, 0.30, -0.215, 0.042))  # bags below the eyes
    deep = max(deep, 0.8 * _line(x, y, 0.30, -0.215, 0.43, -0.15, 0.038))
    deep *= 0.35 + 0.75 * age
    late = _smooth(0.45, 0.95, age)
    if late > 0:
        for k in range(3):  # forehead
            height = 0.29 + 0.10 * k + 0.02 * np.cos(6.0 * x)
            deep = max(deep, 0.9 * late * np.exp(-(((y - height) / 0.024) ** 2)) * _smooth(0.48, 0.32, x))
        for k in range(3):  # crow's feet
            deep = max(deep, 0.9 * late * _line(x, y, 0.45, -0.03, 0.60, 0.08 - 0.10 * k, 0.020))
        for k in range(3):  # hollow cheeks
            deep = max(deep, 0.5 * late * _line(x, y, 0.36 + 0.07 * k, -0.34, 0.33 + 0.06 * k, -0.62, 0.022))
        deep = max(deep, 0.8 * late * _line(x, y, 0.03, 0.06, 0.045, 0.22, 0.020))  # between the brows
    return float(min(deep, 1.0))


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
    half = size * (1.05 - 0.65 * place * place)
    return _smooth(half + 0.012, half - 0.012, near)


@nb.njit(cache=True, nogil=True, fastmath=True)
def _eye(u: float, v: float, gaze_x: float, gaze_y: float, iris: Array, out: Array) -> float:
    """Write the color of the eyeball at u, v (-1..1 across); return how much it shines."""
    du, dv = u - 0.55 * gaze_x, v - 0.55 * gaze_y
    r = np.sqrt(du * du + dv * dv)
    white = 0.86 - 0.45 * _smooth(0.25, 0.75, v) - 0.25 * _smooth(0.5, 1.0, abs(u))
    inside = _smooth(0.545, 0.49, r)
    ring = 1.0 - 0.75 * _smooth(0.36, 0.5, r)
    rays = 1.0 + 0.25 * np.cos(22.0 * np.arctan2(dv, du))
    pupil = _smooth(0.24, 0.20, r)
    tints = (1.0, 0.965, 0.95)
    for k in range(3):
        color = iris[k] * ring * rays * 1.35 * (1.0 - pupil) + 0.004
        out[k] = white * tints[k] * (1 - inside) + color * inside
    hx, hy = u - 0.17, v - 0.2
    return _smooth(0.13, 0.08, np.sqrt(hx * hx + hy * hy))


@nb.njit(cache=True, nogil=True, fastmath=True)
def _skin(x: float, y: float, z: float, lip: float, beard: float, tag: int, brows: Array, paints: Array,
          traits: Array, seed: int, out: Array) -> tuple[float, float]:  # fmt: skip
    """Write the albedo of the skin at a place of the average head; return occlusion and gloss."""
    a = abs(x)
    for k in range(3):
        out[k] = paints[_SKIN, k]
    shade, gloss = 1.0, 1.0
    if tag == _T_NECK:
        collar = -1.27 + 0.33 * _smooth(0.45, 0.9, a) + 0.14 * _smooth(-0.35, -0.9, z) - 0.10 * _smooth(0.25, 0.0, a)
        cloth = _smooth(collar + 0.01, collar - 0.01, y)
        fold = 1.0 + 0.12 * _noise(3.0 * x, 3.0 * y, seed)
        for k in range(3):
            out[k] = out[k] * (1 - cloth) + paints[_SHIRT, k] * fold * cloth
        under = 1.0 - 0.45 * _smooth(-1.35, -1.02, y) * _smooth(-1.3, -0.5, z)
        return (under * (1 - cloth) + cloth) * (1.0 - 0.35 * _smooth(0.06, 0.0, abs(y - collar))), 0.4 * (1 - cloth)
    if z < -0.55:
        return 1.0, 0.8
    cheek = np.exp(-(((a - 0.38) / 0.17) ** 2) - ((y + 0.33) / 0.15) ** 2)
    tip = np.exp(-((a / 0.12) ** 2) - ((y + 0.36) / 0.12) ** 2) * _smooth(0.2, 0.32, z)
    red = 0.22 * cheek * (0.6 + 0.6 * traits[_WOMAN]) + 0.10 * tip
    red = min(red + 0.42 * traits[_FLUSH] * _smooth(0.9, 0.2, abs(y + 0.15)), 0.6)
    out[1] *= 1 - red
    out[2] *= 1 - red
    if traits[_FRECKLES] > 0 and y < 0.05:
        spot = _smooth(0.76, 0.86, _hash(int(np.floor(x * 30)), int(np.floor(y * 30)), seed))
        spread = np.exp(-(((a - 0.25) / 0.22) ** 2) - ((y + 0.25) / 0.18) ** 2)
        for k in range(3):
            out[k] *= 1 - traits[_FRECKLES] * spot * spread * (0.25 + 0.15 * k)
    if traits[_WRINKLES] > 0.1:
        shade *= 1 - 0.72 * _wrinkle(a, y, traits[_WRINKLES])
    if traits[_WRINKLES] > 0.3:
        spot = max(_noise(x * 9 + 3, y * 9, seed), 0.0)
        shade *= 1 - 0.10 * traits[_WRINKLES] * spot
    brow = _brow(a, y, brows, traits[_BROW_SIZE], traits[_INNER], traits[_OUTER]) * _smooth(-0.1, 0.0, z)
    brow *= 0.86 + 0.14 * _noise(x * 90, y * 60, seed)
    hollow = np.exp(-(((a - 0.29) / 0.15) ** 2) - ((y - 0.055) / 0.085) ** 2)
    shade *= 1 - (0.18 + 0.24 * traits[_WOMAN]) * hollow
    for k in range(3):
        out[k] = out[k] * (1 - lip) + paints[_LIP, k] * lip
        out[k] = out[k] * (1 - brow) + paints[_BROW, k] * brow
    if traits[_WOMAN] == 0 and traits[_BEARD] == 0:  # a shaved chin
        amount = 0.20 * _smooth(0.1, 0.6, beard) * (1 - lip) * (0.85 + 0.15 * _noise(x * 90, y * 90, seed))
        for k in range(3):
            out[k] = out[k] * (1 - amount) + (0.05 + 0.25 * paints[_SKIN, 2]) * amount
    if traits[_BEARD] > 0:
        hairy = beard * (1 - lip)
        grain = _noise(x * 38, y * 26, seed) + 0.6 * _noise(x * 90, y * 60, seed + 1)
        amount = _smooth(0.15, 0.6, hairy + 0.12 * grain) * (0.82 + 0.16 * traits[_BEARD])
        tint = 0.5 + 0.13 * grain
        for k in range(3):
            out[k] = out[k] * (1 - amount) + paints[_HAIR, k] * tint * amount
        gloss *= 1 - amount
    return shade, gloss * (1 + 0.7 * lip)


@nb.njit(cache=True, nogil=True, fastmath=True)
def shade(depth: Array, tags: Array, maps: Array, hair_depth: Array, hair_tags: Array, hair_maps: Array,
          glass_depth: Array, glass_tags: Array, glass_maps: Array, brows: Array, eye: Array, eye_radius: float,
          paints: Array, traits: Array, blobs: Array, seed: int, color: Array, mask: Array) -> None:  # fmt: skip
    """Shade every sample.

    Args:
        depth, tags, maps: the head; see `rendered_faces_geometry.head_layer`.  # (S, S), (S, S), (S, S, 9)
        hair_depth, hair_tags, hair_maps: the hair.  # (S, S), (S, S), (S, S, 6)
        glass_depth, glass_tags, glass_maps: the glasses.  # (S, S), (S, S), (S, S, 3)
        brows: middle line of a brow.  # (5, 2)
        eye: centre of the right eye.  # (3,)
        paints, traits: in PAINTS' and TRAITS' order.  # (8, 3), (19,)
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
    for i in range(side):
        for j in range(side):
            u, v = (j + 0.5) / side, (i + 0.5) / side
            bright = 1.0 + traits[_SLOPE_X] * (2 * u - 1) + traits[_SLOPE_Y] * (2 * v - 1)
            for b in range(blobs.shape[0]):
                d2 = ((u - blobs[b, 0]) ** 2 + (v - blobs[b, 1]) ** 2) / (blobs[b, 2] ** 2)
                bright += blobs[b, 3] * np.exp(-d2)
            for k in range(3):
                color[i, j, k] = paints[_BACKGROUND, k] * bright
            mask[i, j] = 0.0
            tag = tags[i, j]
            if tag != 0:
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
                    shine = _eye(eu, ev, traits[_GAZE_X], traits[_GAZE_Y], paints[_IRIS], out)
                    open_sky, gloss = 1.0, 0.0
                elif tag == _T_MOUTH:
                    dark = 0.25 + 0.75 * _smooth(-0.1, 0.25, z)
                    out[0], out[1], out[2] = 0.22 * dark, 0.035 * dark, 0.035 * dark
                    gloss = 0.0
                elif tag == _T_UPPER or tag == _T_LOWER:  # noqa: SIM109
                    dark = 0.55 + 0.45 * _smooth(-0.05, 0.18, z)
                    out[0], out[1], out[2] = 0.80 * dark, 0.77 * dark, 0.70 * dark
                    gloss, open_sky = 0.5, 0.9
                elif tag == _T_TONGUE:
                    out[0], out[1], out[2] = 0.40, 0.10, 0.10
                elif tag == _T_LASHES:
                    out[0], out[1], out[2] = 0.012, 0.009, 0.008
                    gloss = 0.0
                else:
                    hollow, gloss = _skin(x, y, z, maps[i, j, 6], maps[i, j, 8], tag, brows, paints, traits, seed, out)
                    open_sky *= hollow
                    if tag == _T_SOCKET:
                        open_sky = min(open_sky, 1.0) * 0.8
                        rim = _smooth(0.075, 0.045, z - 0.0)
                        open_sky *= 1 - 0.5 * rim
                diffuse = nx * lx + ny * ly + nz * lz
                sky = ambient * (0.72 + 0.28 * ny) * open_sky
                half = max(nx * hx + ny * hy + nz * hz, 0.0)
                shine = shine * 0.9 + 0.10 * gloss * half**18 * key * open_sky
                shine += 0.06 * gloss * half**70 * key * open_sky
                for k in range(3):
                    wrap = 0.32 - 0.08 * k
                    lit = max((diffuse + wrap) / (1.0 + wrap), 0.0)
                    color[i, j, k] = out[k] * (sky + key * lit * (0.35 + 0.65 * open_sky)) + shine
                if tag != _T_NECK and z > -0.6 and tag != _T_EAR:
                    mask[i, j] = 1.0
            if hair_tags[i, j] != 0 and hair_depth[i, j] > depth[i, j]:
                around, along = hair_maps[i, j, 0], hair_maps[i, j, 1]
                strand = _noise(around * 70 + 4 * traits[_WAVES] * np.sin(along * 9), along * 5, seed)
                fine = _noise(around * 190 + 2 * traits[_WAVES] * np.sin(along * 14), along * 9, seed + 7)
                alpha = _smooth(0.0, 0.9, hair_maps[i, j, 5] + 0.28 * fine * (1 - hair_maps[i, j, 5]))
                nx, ny, nz = hair_maps[i, j, 2], hair_maps[i, j, 3], hair_maps[i, j, 4]
                n = np.sqrt(nx * nx + ny * ny + nz * nz) + 1e-9
                if nz < 0:
                    n = -n
                nx, ny, nz = nx / n, ny / n, nz / n
                lit = max((nx * lx + ny * ly + nz * lz + 0.35) / 1.35, 0.0)
                band = max(1.0 - abs(ny - 0.55 + 0.12 * strand) * 3.2, 0.0)
                tone = (0.80 + 0.30 * strand + 0.16 * fine) * (0.55 + 0.45 * _smooth(-0.1, 0.5, nz))
                for k in range(3):
                    base = paints[_HAIR, k]
                    hair = base * tone * (ambient * (0.75 + 0.25 * ny) + key * lit)
                    hair += band * band * lit * key * (0.35 * base + 0.018)
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
                        color[i, j, k] = paints[_FRAME, k] * (ambient + key * lit) + 0.25 * half**30
                else:
                    for k in range(3):
                        color[i, j, k] = color[i, j, k] * 0.93 + 0.012
