"""Paints the inside of the mouth, sample by sample.

From back to front: a dark throat, the tongue, the lower row of teeth, the upper row.
All lengths are millimetres of the face, so that a mouth looks alike at every size.
The numbers were set by eye on the developers' portraits at 300 px per mouth; what they
mean stands beside them. These kernels know curves and colors, no landmarks.
"""

from __future__ import annotations

from typing import Any

import numba as nb
import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]


@nb.njit(cache=True, nogil=True, fastmath=True)
def _step(x: float, low: float, high: float) -> float:
    t = min(max((x - low) / (high - low), 0.0), 1.0)
    return t * t * (3.0 - 2.0 * t)


@nb.njit(cache=True, nogil=True, fastmath=True)
def _corner(x: int, y: int) -> float:
    h = (x * 374761393 + y * 668265263) & 0xFFFFFFFF
    h = ((h ^ (h >> 13)) * 1274126177) & 0xFFFFFFFF
    return float((h ^ (h >> 16)) & 0xFFFF) / 32767.5 - 1.0


@nb.njit(cache=True, nogil=True, fastmath=True)
def _grain(x: float, y: float) -> float:
    """Return smooth noise, -1..1, that is the same at every size: one bump for each unit."""
    i, j = int(np.floor(x)), int(np.floor(y))
    a, b = _step(x - i, 0.0, 1.0), _step(y - j, 0.0, 1.0)
    above = _corner(i, j) * (1 - a) + _corner(i + 1, j) * a
    below = _corner(i, j + 1) * (1 - a) + _corner(i + 1, j + 1) * a
    return above * (1 - b) + below * b


@nb.njit(cache=True, nogil=True, fastmath=True)
def _tooth(s: float, h: float, rows: Array, sample: float, lower: bool, out: Array) -> float:
    """Shade one place of a row of teeth.

    Args:
        s, h: along the arch from the middle and above the biting edge, mm.
        rows: start, width, height, edge and tilt in mm, and light, of each tooth to the left and to the right.
            # (2, T, 6)
        sample: half a sample, mm.
        out: light, share of gum, share of thin edge, highlight; written.  # (4,)

    Returns:
        Coverage 0..1.
    """
    a = abs(s)
    row = rows[1 if s > 0 else 0]
    j = 0
    while j < row.shape[0] - 1 and a >= row[j + 1, 0]:
        j += 1
    u = min((a - row[j, 0]) / row[j, 1] * 2.0 - 1.0, 1.0)
    aside = abs(u)
    crown = row[j, 2]
    y = h - row[j, 3] - row[j, 4] * u
    if j == 2:
        edge = aside**1.4  # a canine is pointed,
    elif j > 2:
        edge = 1.3 * aside**1.7  # a premolar blunt,
    else:
        edge = (0.9 if u > 0 else 0.55) * aside**5  # an incisor flat, its far corner rounder
    if lower:
        edge *= 0.55
    gum_line = crown * (1.0 - 0.07 * u * u - 0.24 * aside**6)  # scalloped
    gum = _step(y, gum_line - 0.35 - sample, gum_line + 0.35 + sample)
    valley = _step(aside, 0.80 - 0.5 * sample / row[j, 1], 1.0)
    t = y / crown
    light = 1.0 - 0.13 * u * u  # each crown is curved
    light *= 1.0 - (0.30 if lower else 0.26) * valley * (1.0 - gum)
    light *= (0.90 + 0.14 * t - 0.10 * t * t) * row[j, 5]
    out[0] = light
    out[1] = gum
    out[2] = 1.0 - _step(y - edge, 0.0, 1.5)
    du, dt = (u + 0.15) / 0.28, (t - 0.42) / 0.20
    out[3] = np.exp(-du * du - dt * dt)
    return _step(y, edge - sample - 0.10, edge + sample + 0.10)


@nb.njit(cache=True, nogil=True, fastmath=True)
def _roof(u: float, under: float, gap: float) -> Any:
    """Shade the roof of a wide open mouth: two soft arches, between them a hint of the uvula, the throat below.

    Args:
        u: from the middle, to the side, mm.
        under: below the upper lip, mm.
        gap: between the lips at most, mm.

    Returns:
        Coverage 0..1, its share of the tongue's color, and how far it lies in the dark of the cheeks.
    """
    aside = abs(u) / 13.0
    end = 0.40 * gap + 0.30 * gap * aside * aside + 0.07 * gap * np.exp(-((u / 2.4) ** 2))
    cover = 1.0 - _step(under, end - 0.14 * gap, end + 0.10 * gap)  # it bends away into the dark: no edge is seen
    depth = min(under / max(end, 1.0), 1.0)
    light = 0.74 - 0.34 * depth
    light *= 1.0 - 0.45 * np.exp(-((under / 3.0) ** 2))  # the upper lip's and teeth's shadow
    dark = _step(aside, 0.2, 0.9)  # the cheeks' insides lie in the dark
    return cover, light * (1.0 - 0.72 * dark), dark


@nb.njit(cache=True, nogil=True, fastmath=True)
def paint(
    frame: Array,
    top: Array,
    bottom: Array,
    upper_tag: Array,
    upper: Array,
    lower_tag: Array,
    lower: Array,
    upper_row: Array,
    lower_row: Array,
    colors: Array,
    state: Array,
    out: Array,
) -> None:
    """Paint the inside of the mouth, premultiplied by its coverage.

    Args:
        frame: x, y of the curves' origin in pixels of `out`, their axis' x, y, first u, step of u,
            pixels per mm, size of the teeth, samples per pixel and axis.  # (9,)
        top, bottom: v of the lips' curves, pixels.  # (K,)
        upper_tag, lower_tag: where each row is.  # (h, w) in samples
        upper, lower: along the arch, above the edge; mm.  # (h, w, 2)
        upper_row, lower_row: the teeth, as in `_tooth`.  # (2, T, 6)
        colors: teeth, gum, tongue, throat.  # (4, 3)
        state: v of the upper and the lower row's edge, rounding 0..1, light from the side,
            how much of the upper and the lower row to draw, 0..1 each, and v of the lower row's edge as the jaw
            has it, not drawn back behind the lip: there the tongue begins.  # (7,)
        out: written where the mouth is open.  # (h, w, 4) float32
    """
    ox, oy, ax, ay, u0, du, mm, size, n = (
        frame[0], frame[1], frame[2], frame[3], frame[4], frame[5], frame[6], frame[7], frame[8],
    )  # fmt: skip
    upper_edge, lower_edge, rounding, side = state[0], state[1], state[2], state[3]
    teeth, gum, tongue, throat = colors[0], colors[1], colors[2], colors[3]
    height, width = upper_tag.shape
    count = top.shape[0]
    half_v = 0.5 / n
    sample = half_v / (mm * size)
    first, last, most = count, -1, 0.0
    for i in range(count):
        g = bottom[i] - top[i]
        if g > 0.05:
            first = min(first, i)
            last = max(last, i)
            most = max(most, g)
    if last < first:
        return
    centre = u0 + 0.5 * (first + last) * du
    half = max(0.5 * (last - first + 1) * du, 1e-3)
    rows_gap = max((lower_edge - upper_edge) / mm, 0.0)
    tongue_seen = _step(most / mm, 2.0, 5.0)  # between rows that have just parted it is all there is
    narrow = 1.0 - _step(rows_gap, 2.0, 9.0)  # it lies against the teeth then, in the light
    wide = _step(most / mm, 11.0, 20.0)  # light reaches the roof and the back of the mouth
    rise = (2.2 + 3.0 * narrow + (0.40 + 0.10 * wide) * rows_gap) * mm
    tongue_half = 21.0 * mm * size
    warm = min((tongue[0] - tongue[2]) / (0.35 * tongue[0] + 1.0), 1.0)
    tooth = np.zeros(4, np.float32)
    color = np.zeros(3, np.float32)
    for y in range(height):
        for x in range(width):
            px = (x + 0.5) / n - 0.5 - ox
            py = (y + 0.5) / n - 0.5 - oy
            u = px * ax + py * ay
            v = -px * ay + py * ax
            f = (u - u0) / du
            if f < 0 or f >= count - 1:
                continue
            i = int(f)
            f -= i
            tv = top[i] * (1 - f) + top[i + 1] * f
            bv = bottom[i] * (1 - f) + bottom[i + 1] * f
            cover = (min(bv, v + half_v) - max(tv, v - half_v)) / (2 * half_v)
            if cover <= 0.0:
                continue
            cover = min(cover, 1.0)
            under = max((v - tv) / mm, 0.0)  # below the upper lip
            over = max((bv - v) / mm, 0.0)  # above the lower lip
            e = min(abs(u - centre) / half, 1.0)
            corner = 1.0 - 0.80 * _step(e, 0.60, 1.0)
            shadow = 1.10 - 0.50 * np.exp(-((under / 1.2) ** 1.5))
            near_lower = 1.0 - 0.45 * np.exp(-over / 0.7)
            # The throat: nearly black, a little flesh where light falls in from the front.
            front_light = (
                0.55 + 0.30 * _step(under, 1.0, 12.0) + 0.35 * np.exp(-over / 2.5) * _step(most / mm, 6.0, 14.0)
            )
            for k in range(3):
                color[k] = throat[k] * front_light
            if wide > 0:
                roof, light, dark = _roof((u - centre) / mm, under, most / mm)
                light *= 0.35 + 0.65 * corner
                for k in range(3):
                    behind = color[k] * (1.0 - 0.50 * wide)  # no light comes so far
                    before = max(tongue[k] * light, color[k] * (1.0 - 0.40 * dark))
                    color[k] = behind + (color[k] + (before - color[k]) * wide - behind) * roof
            # Between lips that have hardly parted one sees their own wet insides, not the throat.
            slit = 0.85 * (1.0 - _step((bv - tv) / mm, 0.5, 2.2))
            for k in range(3):
                color[k] += (max(0.42 * gum[k], color[k]) - color[k]) * slit
            w = u / tongue_half
            if abs(w) < 1.0 and tongue_seen > 0:
                back = state[6] - rise * np.sqrt(1.0 - w * w) + 1.2 * mm * w * w
                on = (v - back) / mm
                a = _step(on, -1.0, 3.5) * tongue_seen * (1.0 - abs(w) ** 3)
                if a > 0:
                    base = 0.30 + 0.20 * narrow
                    light = base + (1.0 + 0.06 * wide - base) * _step(on, -0.5, 4.0 + 0.4 * rows_gap)
                    light *= (0.4 + 0.6 * corner) * (1.0 - 0.30 * narrow)  # little light comes in
                    light *= 1.0 - (0.50 - 0.15 * narrow) * np.exp(-under / 4.0)
                    light *= 1.0 - 0.16 * np.exp(-((u / (1.6 * mm)) ** 2)) * _step(on, 1.0, 4.0)  # furrow
                    wet = 0.20 * np.exp(-(((abs(u) / mm - 5.0) / 2.6) ** 2) - ((on - 4.2) / 1.3) ** 2)
                    light *= (1.0 + wet) * (near_lower + (1.0 - near_lower) * 0.6 * narrow)
                    for k in range(3):
                        color[k] += (tongue[k] * light - color[k]) * a
            fade = _step((bv - tv) / mm, 0.8, 2.0) * (1.0 - 0.45 * rounding)
            lit = (1.0 + side * 1.2 * (u - centre) / half) * (1.0 - 0.35 * rounding)
            for row in range(2):  # the lower row first, it stands behind
                if row == 0:
                    if lower_tag[y, x] == 0 or state[5] == 0:
                        continue
                    s, h = lower[y, x, 0], lower[y, x, 1]
                    alpha = _tooth(s, h, lower_row, sample, True, tooth) * state[5] * fade
                    light = 0.82 * near_lower * (0.45 + 0.55 * _step(under, 1.0, 7.0))
                else:
                    if upper_tag[y, x] == 0 or state[4] == 0:
                        continue
                    s, h = upper[y, x, 0], upper[y, x, 1]
                    alpha = _tooth(s, h, upper_row, sample, False, tooth) * state[4] * fade
                    light = shadow * (1.0 - 0.25 * np.exp(-over / 0.5))
                if alpha <= 0:
                    continue
                light *= (
                    tooth[0] * corner * lit * (1.0 - 0.86 * _step(abs(s), 9.0, 27.0))
                )  # the arch runs into the dark
                thin = tooth[2] * 0.16  # a thin edge lets the dark behind through
                root = _step(h, 4.0, 9.5)  # warmer towards the gum
                shine = 0.13 * tooth[3] * (1.0 - tooth[1]) * (1.0 if row else 0.5)
                dim = warm * (1.0 - min(light, 1.0))  # what is dark is lit by the red of the mouth
                for k in range(3):
                    c = teeth[k] * (1.0 - thin) + throat[k] * thin
                    if k == 1:
                        c *= 1.0 - 0.05 * root
                    elif k == 2:
                        c *= 1.0 - 0.11 * root
                    tint = 1.0 + dim * (0.18 if k == 0 else (-0.09 if k == 1 else -0.12))
                    c = (c + (gum[k] - c) * tooth[1]) * light * (1.0 + shine) * tint
                    color[k] += (max(c, 0.8 * throat[k]) - color[k]) * alpha
            for k in range(3):
                out[y, x, k] = color[k] * cover
            out[y, x, 3] = cover


@nb.njit(cache=True, nogil=True, fastmath=True)
def paint_tongue(
    frame: Array, top: Array, root_v: float, tip_v: float, half_width: float, color: Array, out: Array
) -> None:
    """Paint a tongue that is put out, premultiplied by its coverage; only the upper lip hides it.

    Args:
        frame: as for `paint`.
        top: v of the upper lip's inner edge, pixels.  # (K,)
        root_v, tip_v: where it comes out of the dark, and its tip; pixels.
        half_width: pixels.
        color: in full light.  # (3,)
        out: added over what is there.  # (h, w, 4) float32
    """
    ox, oy, ax, ay, u0, du, mm, n = (
        frame[0], frame[1], frame[2], frame[3], frame[4], frame[5], frame[6], frame[8],
    )  # fmt: skip
    height, width = out.shape[:2]
    count = top.shape[0]
    soft = max(0.5 / n, 0.35 * mm)
    centre = u0 + 0.5 * (count - 1) * du
    length = max(tip_v - root_v, 1e-3)
    round_v = tip_v - min(1.15 * half_width, length)  # from here on the sides run together
    for y in range(height):
        for x in range(width):
            px = (x + 0.5) / n - 0.5 - ox
            py = (y + 0.5) / n - 0.5 - oy
            u = px * ax + py * ay
            v = -px * ay + py * ax
            f = (u - u0) / du
            if f < 0 or f >= count - 1 or v < root_v or v > tip_v + 3.0 * mm:
                continue
            i = int(f)
            f -= i
            tv = top[i] * (1 - f) + top[i + 1] * f
            side = widest = half_width * (1.0 - 0.10 * (v - root_v) / length)
            if v > round_v:
                d = (v - round_v) / max(tip_v - round_v, 1e-3)
                side *= np.sqrt(max(1.0 - d * d, 0.0))
            off = abs(u - centre)
            below_lip = min(max((v - tv) / (2 * soft) + 0.5, 0.0), 1.0)
            # it lies on lip and chin, which are darker beside it
            beside = off - side
            if v > round_v:
                d = (v - round_v) / max(tip_v - round_v, 1e-3)
                beside = (np.sqrt((off / max(widest, 1e-3)) ** 2 + d * d) - 1.0) * widest
            beside = max(beside, 0.0)
            shade = 0.42 * np.exp(-beside / (0.9 * mm)) * below_lip * _step((v - root_v) / mm, 4.0, 9.0)
            w = (u - centre) / max(side, 1e-3)
            cover = min(max((side - off) / (2 * soft) + 0.5, 0.0), 1.0) * below_lip
            cover *= _step((v - root_v) / mm, 0.0, 2.0) * min(max((tip_v - v) / (2 * soft) + 0.5, 0.0), 1.0)
            if cover < 1.0 and shade > 0.01:
                alpha = shade * (1.0 - cover)
                for k in range(3):
                    out[y, x, k] *= 1.0 - alpha
                out[y, x, 3] = out[y, x, 3] * (1.0 - alpha) + alpha
            if cover <= 0.0:
                continue
            along, across = (tip_v - v) / mm, (u - centre) / mm
            back = _step((v - root_v) / mm, 1.0, 11.0)  # it comes out of the dark
            round_ = np.sqrt(max(1.0 - w * w, 0.0))
            light = (0.55 + 0.45 * round_) * (0.30 + 0.70 * back) * (1.0 - 0.5 * np.exp(-max(v - tv, 0.0) / (2.5 * mm)))
            bent = 0.06 * _grain(0.11 * along, 3.0)  # a furrow is never ruled with a ruler
            light *= 1.0 - 0.16 * np.exp(-(((w - bent) / 0.13) ** 2)) * _step(along, 3.0, 12.0)
            light *= 1.0 - 0.34 * _step(-along, -4.5, 0.5)  # the tip turns away
            light *= 1.0 + 0.055 * _grain(1.9 * across, 1.6 * along) + 0.05 * _grain(0.7 * across, 0.55 * along)
            coat = (
                0.20
                * _step(round_, 0.45, 0.95)
                * _step(along, 3.0, 9.0)
                * (0.8 + 0.4 * _grain(0.4 * across, 0.3 * along))
            )
            wet = max(0.35 + 0.9 * _grain(0.9 * across + 9.0, 0.8 * along), 0.0)
            shine = 0.16 * wet * np.exp(-(((w - 0.28) / 0.30) ** 2) - ((along - 6.0) / 3.2) ** 2)
            shine += 0.09 * wet * np.exp(-(((w + 0.45) / 0.22) ** 2) - ((along - 7.5) / 3.0) ** 2)
            gray = (color[0] + color[1] + color[2]) / 3.0
            for k in range(3):
                c = color[k] * (1.0 - coat) + (0.55 * color[0] + 0.45 * gray) * coat
                c = min(c * light * 1.18 + 255.0 * shine * light, 255.0)
                out[y, x, k] = out[y, x, k] * (1.0 - cover) + c * cover
            out[y, x, 3] = out[y, x, 3] * (1.0 - cover) + cover
