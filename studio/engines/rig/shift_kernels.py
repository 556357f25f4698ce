"""The inner loops of `shift_map`: how well shifts fit along the rim, what they cost, where seams run, light evened out.

Plain arithmetic over arrays, compiled by numba on first use and cached on disk.
"""

from __future__ import annotations

from typing import Any

import numba as nb
import numpy as np
from numpy.typing import NDArray

from studio.engines.rig.labelling import IMPOSSIBLE

Array = NDArray[Any]

HALF = 3  # windows along the rim are 7 x 7 where shifts are searched
_STEPS = 5  # pixels by which a shift is made exact, at most
CAP = 2500.0  # squared difference of two colors beyond which they are simply different


@nb.njit(cache=True, nogil=True, fastmath=True)
def _unlike(look: Array, known: Array, y: int, x: int, sy: int, sx: int, half: int, limit: float) -> Any:
    """Return the mean squared difference of two windows over what is known of the first; huge beyond `limit`.

    Args:
        look: (h, w, C)
        known: (h, w)
        y, x: middle of the first window.
        sy, sx: middle of the second, known all around.
    """
    h, w = known.shape
    total, count = np.float32(0.0), np.float32(1e-3)
    for j in range(-half, half + 1):
        for i in range(-half, half + 1):
            ty, tx = y + j, x + i
            if ty < 0 or tx < 0 or ty >= h or tx >= w or not known[ty, tx]:
                continue
            for k in range(look.shape[2]):
                total += (look[ty, tx, k] - look[sy + j, sx + i, k]) ** 2
            count += np.float32(1.0)
        if total > limit * (2 * half + 1) ** 2:
            return np.float32(1e30)
    return total / count


@nb.njit(cache=True, nogil=True, fastmath=True)
def search_rim(
    look: Array, known: Array, whole: Array, ys: Array, xs: Array, reach: int, shortest: int, found: Array,
    misfit: Array,
) -> None:  # fmt: skip
    """Find the shifts at which windows along the rim look most like others.

    Args:
        look: (h, w, C)
        known, whole: True where it is seen, and where a whole window is.  # (h, w)
        ys, xs: windows.  # (R,)
        reach, shortest: of a shift, pixels.
        found: the best few, no two next to each other, written.  # (R, KEPT, 2)
        misfit: theirs, rising, written; huge at first.  # (R, KEPT)
    """
    h, w = known.shape
    last = misfit.shape[1] - 1
    for r in range(len(ys)):
        for j in range(-reach, reach + 1):
            for i in range(-reach, reach + 1):
                sy, sx = ys[r] + j, xs[r] + i
                if sy < 0 or sx < 0 or sy >= h or sx >= w or not whole[sy, sx]:
                    continue
                if j * j + i * i < shortest * shortest or j * j + i * i > reach * reach:
                    continue
                cost = _unlike(look, known, ys[r], xs[r], sy, sx, HALF, misfit[r, last])
                if cost >= misfit[r, last]:
                    continue
                at = last
                for k in range(last + 1):
                    near = abs(found[r, k, 0] - j) <= 2 and abs(found[r, k, 1] - i) <= 2
                    if misfit[r, k] < 1e29 and near:
                        at = k if cost < misfit[r, k] else -1
                        break
                if at < 0:
                    continue
                while at > 0 and misfit[r, at - 1] > cost:
                    misfit[r, at] = misfit[r, at - 1]
                    found[r, at] = found[r, at - 1]
                    at -= 1
                misfit[r, at] = cost
                found[r, at, 0], found[r, at, 1] = j, i


@nb.njit(cache=True, nogil=True, fastmath=True)
def fit_rim(
    look: Array, known: Array, whole: Array, ys: Array, xs: Array, shifts: Array, cap: float, out: Array
) -> None:  # fmt: skip
    """Write how well every shift fits at every window, at most `cap`.  # (R, K)"""
    h, w = known.shape
    for r in range(len(ys)):
        for a in range(len(shifts)):
            sy, sx = ys[r] + shifts[a, 0], xs[r] + shifts[a, 1]
            out[r, a] = cap
            if sy >= 0 and sx >= 0 and sy < h and sx < w and whole[sy, sx]:
                out[r, a] = min(_unlike(look, known, ys[r], xs[r], sy, sx, HALF, cap), cap)


@nb.njit(cache=True, nogil=True)
def choose_covering(costs: Array, most: int) -> Array:
    """Choose up to `most` columns one by one, each to lower the sum over rows of the least cost.  # (R, C) -> (K,)"""
    rows, columns = costs.shape
    left = np.full(rows, costs.max() + np.float32(1), np.float32)
    gain = np.empty(columns, np.float64)
    chosen = np.empty(min(most, columns), np.int64)
    for count in range(len(chosen)):
        gain[:] = 0.0
        for r in range(rows):
            for c in range(columns):
                gain[c] += max(left[r] - costs[r, c], np.float32(0.0))
        best = gain.argmax()
        if gain[best] <= 0:
            return chosen[:count]
        chosen[count] = best
        left = np.minimum(left, costs[:, best])
    return chosen


@nb.njit(cache=True, nogil=True, fastmath=True)
def write_costs(
    look: Array, known: Array, whole: Array, apart: Array, ys: Array, xs: Array, shifts: Array, cap: float, far: float,
    out: Array,
) -> None:  # fmt: skip
    """Write what every shift costs: for what it brings, for its length, for how it meets what is seen nearby.

    Args:
        look: (h, w, C)
        known: (h, w)
        whole: True where a pixel may be copied.  # (h, w)
        apart: what copying it costs.  # (h, w)
        ys, xs: hidden pixels.  # (N,)
        shifts: (K, 2)
        cap, far: see CAP and FAR.
        out: (N, K)
    """
    h, w = known.shape
    reach = np.sqrt((shifts * shifts).sum(1).max()) + 1e-3
    most = np.float32(cap)
    for p in range(len(ys)):
        for a in range(len(shifts)):
            dy, dx = shifts[a, 0], shifts[a, 1]
            sy, sx = ys[p] + dy, xs[p] + dx
            if sy < 0 or sx < 0 or sy >= h or sx >= w or not whole[sy, sx]:
                out[p, a] = IMPOSSIBLE
                continue
            cost = np.float32(apart[sy, sx] + far * np.sqrt(dy * dy + dx * dx) / reach)
            for j in range(-2, 3):
                for i in range(-2, 3):
                    ty, tx = ys[p] + j, xs[p] + i
                    if ty < 0 or tx < 0 or ty >= h or tx >= w or not known[ty, tx]:
                        continue
                    unlike = most
                    if 0 <= ty + dy < h and 0 <= tx + dx < w and known[ty + dy, tx + dx]:
                        unlike = np.float32(0.0)
                        for k in range(look.shape[2]):
                            unlike += (look[ty, tx, k] - look[ty + dy, tx + dx, k]) ** 2
                    cost += min(unlike, most) * np.float32(0.5 if abs(j) + abs(i) == 1 else 0.25)
            out[p, a] = cost


@nb.njit(cache=True, nogil=True, fastmath=True)
def make_exact(
    colors: Array, known: Array, ys: Array, xs: Array, fits: Array, rough: Array, half: int, apart: int, out: Array
) -> None:  # fmt: skip
    """Move every shift pixel by pixel, _STEPS at most, to where it best fits the windows that it fitted before.

    Args:
        colors: RGB.  # (h, w, 3)
        known: (h, w)
        ys, xs: windows.  # (R,)
        fits: which shift fits which.  # (R, K) bool
        rough: shifts.  # (K, 2)
        half: of the windows, pixels.
        apart: pixels between the rows and columns that are looked at.
        out: shifts, written.  # (K, 2)
    """
    tried = np.empty((2 * _STEPS + 3, 2 * _STEPS + 3), np.float32)  # a step meets most of the last one's places again
    for a in range(len(rough)):
        y, x = rough[a, 0], rough[a, 1]
        tried[:] = -1
        best = _misfit(colors, known, ys, xs, fits[:, a], y, x, half, apart)
        tried[_STEPS + 1, _STEPS + 1] = best
        for _ in range(_STEPS):
            to_y, to_x = y, x
            for v in range(y - 1, y + 2):
                for u in range(x - 1, x + 2):
                    j, i = v - rough[a, 0] + _STEPS + 1, u - rough[a, 1] + _STEPS + 1
                    if tried[j, i] < 0:
                        tried[j, i] = _misfit(colors, known, ys, xs, fits[:, a], v, u, half, apart)
                        if tried[j, i] < best:
                            best, to_y, to_x = tried[j, i], v, u
            if to_y == y and to_x == x:
                break
            y, x = to_y, to_x
        out[a, 0], out[a, 1] = y, x


@nb.njit(cache=True, nogil=True, fastmath=True)
def _misfit(
    colors: Array, known: Array, ys: Array, xs: Array, fits: Array, dy: int, dx: int, half: int, apart: int
) -> Any:  # fmt: skip
    """Return the mean squared difference, at most CAP each, between windows and where a shift leads from them.

    Args:
        fits: which windows count.  # (R,) bool
        dy, dx: the shift.
    """
    h, w = known.shape
    cap = np.float32(CAP)
    total, count = np.float32(0.0), np.float32(0.0)
    for r in range(len(ys)):
        if not fits[r]:
            continue
        for ty in range(max(ys[r] - half, 0, -dy), min(ys[r] + half + 1, h, h - dy), apart):
            for tx in range(max(xs[r] - half, 0, -dx), min(xs[r] + half + 1, w, w - dx), apart):
                if known[ty, tx] and known[ty + dy, tx + dx]:
                    unlike = np.float32(0.0)
                    for k in range(3):
                        unlike += (colors[ty, tx, k] - colors[ty + dy, tx + dx, k]) ** 2
                    total += min(unlike, cap)
                    count += np.float32(1.0)
    return total / count if count > 0 else np.float32(1e30)


@nb.njit(cache=True, nogil=True, fastmath=True)
def _seam(colors: Array, y: int, x: int, v: int, u: int, a: Array, b: Array, cap: float) -> Any:
    """Return what shows where one piece ends beside another.

    Args:
        colors: RGB.  # (h, w, 3)
        y, x: the last pixel of the first.
        v, u: the first pixel of the second.
        a, b: their shifts.  # (2,) each
    """
    h, w = colors.shape[0], colors.shape[1]
    total = np.float32(12.0)
    for place in range(2):
        py, px = (y, x) if place == 0 else (v, u)
        ay, ax, by, bx = py + a[0], px + a[1], py + b[0], px + b[1]
        if min(ay, ax, by, bx) < 0 or max(ay, by) >= h or max(ax, bx) >= w:
            total += np.float32(cap)
            continue
        unlike = np.float32(0.0)
        for k in range(3):
            unlike += (colors[ay, ax, k] - colors[by, bx, k]) ** 2
        total += min(unlike, np.float32(cap))
    return total


@nb.njit(cache=True, nogil=True, fastmath=True)
def move_seams(
    colors: Array, known: Array, whole: Array, apart: Array, ys: Array, xs: Array, shifts: Array, cap: float,
    labels: Array,
) -> None:  # fmt: skip
    """Let pixels along seams change to the piece beside them where that shows less, four times over.

    Args:
        colors: RGB.  # (h, w, 3)
        known, whole, apart, shifts, cap: as in `_write_costs`.
        ys, xs: hidden pixels in reading order.  # (N,)
        labels: changed.  # (h, w)
    """
    h, w = known.shape
    tried = np.empty(9, np.int64)
    settled = np.zeros((h, w), np.bool_)  # asked again only where something beside it has changed
    for sweep in range(4):
        for n in range(len(ys)):
            p = n if sweep % 2 == 0 else len(ys) - 1 - n
            y, x = ys[p], xs[p]
            if settled[y, x]:
                continue
            settled[y, x] = True
            count = 0
            for v in range(max(y - 1, 0), min(y + 2, h)):
                for u in range(max(x - 1, 0), min(x + 2, w)):
                    new = labels[v, u] >= 0
                    for k in range(count):
                        new = new and tried[k] != labels[v, u]
                    if new:
                        tried[count] = labels[v, u]
                        count += 1
            if count < 2:
                continue
            best = np.float32(1e30)
            chosen = labels[y, x]
            for k in range(count):
                a = tried[k]
                dy, dx = shifts[a, 0], shifts[a, 1]
                if not (0 <= y + dy < h and 0 <= x + dx < w) or not whole[y + dy, x + dx]:
                    continue
                cost = apart[y + dy, x + dx]
                for side in range(4):
                    v, u = y + (side == 0) - (side == 1), x + (side == 2) - (side == 3)
                    if v < 0 or u < 0 or v >= h or u >= w:
                        continue
                    if known[v, u]:
                        unlike = np.float32(cap)
                        if 0 <= v + dy < h and 0 <= u + dx < w:
                            unlike = np.float32(0.0)
                            for c in range(3):
                                unlike += (colors[v, u, c] - colors[v + dy, u + dx, c]) ** 2
                        cost += 2 * min(unlike, np.float32(cap))
                    elif labels[v, u] >= 0 and labels[v, u] != a:
                        cost += _seam(colors, y, x, v, u, shifts[a], shifts[labels[v, u]], cap)
                if cost < best:
                    best = cost
                    chosen = a
            if labels[y, x] != chosen:
                labels[y, x] = chosen
                settled[max(y - 1, 0) : y + 2, max(x - 1, 0) : x + 2] = False


@nb.njit(cache=True, nogil=True, fastmath=True)
def even_out(
    colors: Array, copied: Array, known: Array, labels: Array, ys: Array, xs: Array, shifts: Array, least: Array,
    most: Array, hold: float, sweeps: int, out: Array,
) -> None:  # fmt: skip
    """Write what to add to the pieces so that their light meets what is seen and each other, letting go with distance.

    A screened Poisson equation over the hidden pixels, by successive over-relaxation.

    Args:
        colors: RGB.  # (h, w, 3)
        copied: the same with the pieces in their places.  # (h, w, 3)
        known: (h, w)
        labels: number of the shift, -2 for bare ground, -1 for nothing.  # (h, w)
        ys, xs: pixels with a label or bare, in reading order.  # (N,)
        shifts: (K, 2)
        least, most: of a step, what lies between them is evened out.  # (h, w) each
        hold: pull towards no change.
        sweeps: through all pixels, there and back in turn.
        out: zero at first.  # (h, w, 3)
    """
    h, w = known.shape
    jumps = np.zeros((len(ys), 3), np.float32)
    degree = np.full(len(ys), np.float32(hold), np.float32)
    step_by = np.zeros(3, np.float32)
    for p in range(len(ys)):
        y, x = ys[p], xs[p]
        a, low, high = labels[y, x], least[y, x], most[y, x]
        for side in range(4):
            v, u = y + (side == 0) - (side == 1), x + (side == 2) - (side == 3)
            if v < 0 or u < 0 or v >= h or u >= w or (not known[v, u] and labels[v, u] == -1):
                continue
            b = labels[v, u]
            if not known[v, u] and b == a and a >= 0:
                degree[p] += 1
                continue
            # What either piece goes on with at the other's place; bare ground goes on as it is.
            jumped = False
            for place in range(2):
                py, px = (y, x) if place == 0 else (v, u)
                for k in range(3):
                    step_by[k] = copied[v, u, k] - copied[y, x, k]
                found = a < 0 or (not known[v, u] and b < 0)
                if not found:
                    ay, ax, by, bx = py + shifts[a, 0], px + shifts[a, 1], py, px
                    if known[v, u]:
                        by, bx = v, u
                        ay, ax = v + shifts[a, 0], u + shifts[a, 1]
                    else:
                        by, bx = py + shifts[b, 0], px + shifts[b, 1]
                    if min(ay, ax, by, bx) >= 0 and max(ay, by) < h and max(ax, bx) < w and known[ay, ax]:
                        found = True
                        for k in range(3):
                            step_by[k] = colors[by, bx, k] - colors[ay, ax, k]
                if found:
                    jumped = True
                    for k in range(3):
                        size = min(abs(step_by[k]), high) - min(abs(step_by[k]), low)
                        jumps[p, k] += np.float32(0.5) * (size if step_by[k] > 0 else -size)
            if jumped or not known[v, u]:
                degree[p] += 1
    # Relaxed over a list of pixels whose last place stays 0 and stands for every neighbor that is none.
    none = len(ys)
    number = np.full((h, w), none, np.int32)
    for p in range(none):
        number[ys[p], xs[p]] = p
    beside = np.full((none, 4), none, np.int32)
    value = np.zeros((none + 1, 3), np.float32)
    over = np.float32(1.85)
    for p in range(none):
        y, x = ys[p], xs[p]
        for side in range(4):
            v, u = y + (side == 0) - (side == 1), x + (side == 2) - (side == 3)
            if v >= 0 and u >= 0 and v < h and u < w and not known[v, u]:
                beside[p, side] = number[v, u]
        degree[p] = over / degree[p]
    for sweep in range(sweeps):
        for n in range(none):
            p = n if sweep % 2 == 0 else none - 1 - n
            a, b, c, d = beside[p, 0], beside[p, 1], beside[p, 2], beside[p, 3]
            for k in range(3):
                around = value[a, k] + value[b, k] + value[c, k] + value[d, k] + jumps[p, k]
                value[p, k] += degree[p] * around - over * value[p, k]
    for p in range(none):
        for k in range(3):
            out[ys[p], xs[p], k] = value[p, k]


@nb.njit(cache=True, nogil=True, fastmath=True)
def misfit_of_seams(colors: Array, known: Array, labels: Array, shifts: Array, change: Array, misfit: Array) -> None:
    """Write by how much two pieces differ where they are neighbors: in either's place, were it the other's.

    Args:
        colors: what is seen.  # (h, w, 3)
        known: True where it is seen.  # (h, w)
        labels: number of the shift, -1 where none is needed, -2 where a thing was left out.  # (h, w)
        shifts: (K, 2)
        change: added to what a shift leads to.  # (h, w, 3)
        misfit: greatest one of a pixel's seams, gray levels; changed.  # (h, w)
    """
    height, width = labels.shape
    for y in range(height):
        for x in range(width):
            for d in range(2):
                y2, x2 = y + d, x + 1 - d
                if y2 >= height or x2 >= width:
                    continue
                a, b = labels[y, x], labels[y2, x2]
                if a == b:
                    continue
                if min(a, b) < -1:
                    continue  # bare ground runs in by itself
                worst = 0.0
                for at in range(2):
                    py, px = (y, x) if at == 0 else (y2, x2)
                    ay, ax = (py + shifts[a, 0], px + shifts[a, 1]) if a >= 0 else (py, px)
                    by, bx = (py + shifts[b, 0], px + shifts[b, 1]) if b >= 0 else (py, px)
                    if ay < 0 or ax < 0 or by < 0 or bx < 0:
                        continue
                    if ay >= height or by >= height or ax >= width or bx >= width:
                        continue
                    if not (known[ay, ax] and known[by, bx]):
                        continue
                    step = 0.0
                    for k in range(3):
                        one = colors[ay, ax, k] + (change[py, px, k] if a >= 0 else 0.0)
                        other = colors[by, bx, k] + (change[py, px, k] if b >= 0 else 0.0)
                        step += abs(one - other) / 3
                    worst = max(worst, step)
                misfit[y, x] = max(misfit[y, x], worst)
                misfit[y2, x2] = max(misfit[y2, x2], worst)
