"""Where the texture of a hidden place comes from: a coarse-to-fine PatchMatch over what is seen.

For every hidden pixel a place is found whose surroundings look like its own. The
coarsest level begins at the rim and works inwards, ring by ring; each finer level
begins with what the one before has found, and looks only nearby.

Source: Barnes et al., "PatchMatch", 2009; Wexler, Shechtman, Irani, "Space-time completion of video", 2007.
"""

from __future__ import annotations

from typing import Any

import cv2
import numba as nb
import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]

# Lengths are shares of the eye distance.
LEVELS = ((10.0, 5), (20.0, 3), (40.0, 2))  # pixels of eye distance at which patches are matched, and sweeps there
DEEPEST = 0.8  # behind this the plate is never uncovered
FINEST_DEPTH = 0.45  # as far in the finest level goes; deeper in the coarser field goes on
REACH = 1.8  # how far away texture may come from
HALF = 2  # patches are 5 x 5


def correspond(detail: Array, hole: Array, apart: Array, eye: float) -> tuple[Array | None, Array]:
    """Find for every hidden pixel where its detail comes from, coarse to fine.

    Args:
        detail: the picture without its smooth base; anything where it is hidden.  # (H, W, 3) float32
        hole: True where the background is hidden.  # (H, W)
        apart: True on things before the ground, which are not copied.  # (H, W)
        eye: eye distance in pixels.

    Returns:
        Source row and column per pixel of the finest level, -1 where none  # (h, w, 2) int32;
        None where the background is too small. And the misfit there.  # (h, w)
    """
    field: Array | None = None
    cost = np.zeros((1, 1), np.float32)
    for level, (pixels, sweeps) in enumerate(LEVELS):
        if level and pixels > eye * 1.01:
            break
        scale = min(pixels / eye, 1.0)
        size = tuple(max(round(side * scale), 2 * HALF + 3) for side in hole.shape[::-1])
        part = cv2.resize(hole.astype(np.float32), size, interpolation=cv2.INTER_AREA)
        small: Array = cv2.resize(detail * (~hole)[..., None], size, interpolation=cv2.INTER_AREA)
        small = small / np.maximum(1 - part, 0.05)[..., None]
        hidden = part > 0.5
        other = cv2.resize(apart.astype(np.float32), size, interpolation=cv2.INTER_AREA) > 0.3
        source = cv2.erode((~(hidden | other)).astype(np.uint8), np.ones((2 * HALF + 1,) * 2), borderValue=0) > 0
        depth = cv2.distanceTransform(hidden.astype(np.uint8), cv2.DIST_L2, 3)
        target = hidden & (depth < (DEEPEST if level < 2 else FINEST_DEPTH) * eye * scale)
        if source.sum() < 30 or not target.any():
            continue
        finer = _start(field, source, target)
        reach = max(int(REACH * eye * scale), 8)
        if field is None:
            small[hidden] = 0
        cost = _refine(small, hidden, source, target, depth, finer, sweeps, reach, first=field is None)
        if level == 2 and field is not None:
            deeper = np.where(hidden & ~target & (depth < DEEPEST * eye * scale))
            finer[deeper] = _carried(field, deeper, hidden.shape)
        field = finer
    return field, cost


def _start(field: Array | None, source: Array, target: Array) -> Array:
    """Return a first guess: the coarser level's, else the nearest background.  # (h, w, 2) int32"""
    finer = np.full((*source.shape, 2), -1, np.int32)
    _, labels = cv2.distanceTransformWithLabels(
        1 - source.astype(np.uint8), cv2.DIST_L2, 5, labelType=cv2.DIST_LABEL_PIXEL
    )
    ys, xs = np.where(source)
    nearest = np.zeros((labels.max() + 1, 2), np.int32)
    nearest[labels[ys, xs]] = np.stack([ys, xs], 1)
    at = np.where(target)
    guess = nearest[labels[at]]
    if field is not None:
        carried = _carried(field, at, source.shape)
        inside = np.asarray((carried >= 0).all(1) & (carried < source.shape).all(1))
        inside[inside] = source[carried[inside, 0], carried[inside, 1]]
        guess[inside] = carried[inside]
    finer[at] = guess
    return finer


def _carried(field: Array, at: tuple[Array, ...], shape: tuple[int, ...]) -> Array:
    """Read a coarser field at pixels of a finer one; -1 where it has nothing.  # (N, 2) int32"""
    ratio = np.array([field.shape[0] / shape[0], field.shape[1] / shape[1]])
    here = np.stack(at, 1)
    coarse = np.clip(((here + 0.5) * ratio).astype(int), 0, np.array(field.shape[:2]) - 1)
    found = field[coarse[:, 0], coarse[:, 1]]
    out = np.round(here + (found - coarse) / ratio).astype(np.int32)
    out[found[:, 0] < 0] = -1
    return np.asarray(out)


def _refine(
    small: Array, hidden: Array, source: Array, target: Array, depth: Array, field: Array, sweeps: int, reach: int,
    *, first: bool,
) -> Array:  # fmt: skip
    """Improve a field in place on one level; return the misfits.  # (h, w)

    Args:
        small: detail, overwritten in the hole.  # (h, w, 3) float32
        hidden, source, target: see `correspond`.  # (h, w) bool
        depth: pixels into the hole.  # (h, w)
        first: nothing is known of the hole yet.
    """
    cost = np.zeros(hidden.shape, np.float32)
    worth = np.where(hidden, 0.0, 1.0).astype(np.float32)
    ys, xs = np.where(target)
    if first:
        # Onion order: every ring is matched against what is known so far, then takes part.
        for ring in range(0, int(np.ceil(depth[target].max())), 2):
            now = target & (depth > ring) & (depth <= ring + 2)
            if now.any():
                rows, columns = np.where(now)
                _match(small, worth, source, rows, columns, field, cost, reach, 4, 7)
                _vote(small, rows, columns, field, cost, depth, 200.0)
                worth[now] = 0.6
    else:
        _vote(small, ys, xs, field, cost, depth, 1e6)
        reach = max(2, reach // 8)
    worth[target] = np.maximum(1.3 ** (-depth[target]), 0.08)
    for turn in range(sweeps):
        _match(small, worth, source, ys, xs, field, cost, reach, 2, turn)
        _vote(small, ys, xs, field, cost, depth, max(float(np.median(cost[ys, xs])), 4.0))
    return cost


@nb.njit(cache=True, nogil=True, fastmath=True)
def _misfit(image: Array, worth: Array, y: int, x: int, sy: int, sx: int, best: float) -> float:
    """Return the mean squared difference of two patches over what is known of the first; huge beyond `best`."""
    h, w = worth.shape
    total = 0.0
    count = 1e-6
    for j in range(-HALF, HALF + 1):
        for i in range(-HALF, HALF + 1):
            ty, tx = y + j, x + i
            if ty < 0 or tx < 0 or ty >= h or tx >= w or worth[ty, tx] <= 0:
                continue
            for k in range(3):
                d = image[ty, tx, k] - image[sy + j, sx + i, k]
                total += worth[ty, tx] * d * d
            count += worth[ty, tx]
        if total > best * (2 * HALF + 1) ** 2:
            return 1e30
    return total / count


@nb.njit(cache=True, nogil=True, fastmath=True)
def _try(
    image: Array, worth: Array, y: int, x: int, sy: int, sx: int, source: Array, field: Array, cost: Array
) -> None:
    """Take another source for a pixel if it is one and fits better."""
    if sy < 0 or sx < 0 or sy >= source.shape[0] or sx >= source.shape[1] or not source[sy, sx]:
        return
    c = _misfit(image, worth, y, x, sy, sx, cost[y, x])
    if c < cost[y, x]:
        cost[y, x] = c
        field[y, x, 0] = sy
        field[y, x, 1] = sx


@nb.njit(cache=True, nogil=True, fastmath=True)
def _match(
    image: Array, worth: Array, source: Array, ys: Array, xs: Array, field: Array, cost: Array, reach: int,
    sweeps: int, seed: int,
) -> None:  # fmt: skip
    """Improve the sources of the target pixels: from neighbors, and at random ever nearer.

    Args:
        image: (h, w, 3) float32
        worth: weight of a pixel in misfits, 0 where unknown.  # (h, w)
        source: True where a whole patch is background.  # (h, w)
        ys, xs: target pixels in reading order.  # (N,)
        field: source row and column per pixel, improved.  # (h, w, 2) int32
        cost: misfits, written.  # (h, w)
        reach: farthest random try, pixels.
    """
    np.random.seed(seed)
    h, w = worth.shape
    n = ys.shape[0]
    for u in range(n):
        y, x = ys[u], xs[u]
        cost[y, x] = _misfit(image, worth, y, x, field[y, x, 0], field[y, x, 1], 1e30)
    for s in range(sweeps):
        step = 1 if s % 2 == 0 else -1
        for k in range(n):
            u = k if step == 1 else n - 1 - k
            y, x = ys[u], xs[u]
            for d in range(2):
                ny, nx = y - step * (1 - d), x - step * d
                if 0 <= ny < h and 0 <= nx < w and field[ny, nx, 0] >= 0:
                    sy, sx = field[ny, nx, 0] + step * (1 - d), field[ny, nx, 1] + step * d
                    if sy != field[y, x, 0] or sx != field[y, x, 1]:
                        _try(image, worth, y, x, sy, sx, source, field, cost)
            radius = reach
            by, bx = field[y, x, 0], field[y, x, 1]
            while radius >= 1:
                sy = by + np.random.randint(-radius, radius + 1)
                sx = bx + np.random.randint(-radius, radius + 1)
                radius = radius // 2
                if abs(sy - y) <= reach and abs(sx - x) <= reach:
                    _try(image, worth, y, x, sy, sx, source, field, cost)


@nb.njit(cache=True, nogil=True, fastmath=True)
def _vote(image: Array, ys: Array, xs: Array, field: Array, cost: Array, depth: Array, sigma: float) -> None:
    """Write every target pixel as the mean of what the patches over it propose.

    Args:
        image: read outside the targets, written at them.  # (h, w, 3)
        depth: pixels into the hole; proposals from further out count more.  # (h, w)
        sigma: misfit at which a proposal has lost most of its weight.
    """
    h, w = cost.shape
    for u in range(ys.shape[0]):
        y, x = ys[u], xs[u]
        r = g = b = t = 0.0
        for j in range(-HALF, HALF + 1):
            for i in range(-HALF, HALF + 1):
                py, px = y + j, x + i
                if py < 0 or px < 0 or py >= h or px >= w or field[py, px, 0] < 0:
                    continue
                sy, sx = field[py, px, 0] - j, field[py, px, 1] - i
                v = np.exp(-cost[py, px] / sigma) * 1.4 ** (-depth[py, px]) + 1e-9
                r += v * image[sy, sx, 0]
                g += v * image[sy, sx, 1]
                b += v * image[sy, sx, 2]
                t += v
        if t > 0:
            image[y, x, 0] = r / t
            image[y, x, 1] = g / t
            image[y, x, 2] = b / t
