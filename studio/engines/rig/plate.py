"""The background continued behind the person, once per photo.

Texture is found, not invented. For every hidden pixel a coarse-to-fine PatchMatch
looks for a place of the background whose surroundings look alike; the picture's
detail is then copied from there at full size. A smooth base is taken off first and
continued by itself, so that gradients of light run on; where the ground has one color
on the whole (`ground`), that is the base, and what stands before it, as the letters
of a poster, is not copied. Where nothing alike is found, the colors at the outline
run in and blur: a soft patch passes for depth of field, a sharp wrong one for a tear.

Source: Barnes et al., "PatchMatch", 2009; Wexler, Shechtman, Irani, "Space-time completion of video", 2007.
This module knows no heads.
"""

from __future__ import annotations

from typing import Any

import cv2
import numba as nb
import numpy as np
from numpy.typing import NDArray

from studio.engines.rig import ground
from studio.engines.rig.fill import pull_push, smoothstep

Array = NDArray[Any]
FloatArray = NDArray[np.float32]

# Lengths are shares of the eye distance. Numbers were set by eye on the developers' portraits.
LEVELS = ((10.0, 5), (20.0, 3), (40.0, 2))  # pixels of eye distance at which patches are matched, and sweeps there
DEEPEST = 0.8  # behind this the plate is never uncovered
FINEST_DEPTH = 0.45  # as far in the finest level goes; deeper in the coarser field goes on
WORK_EYE = 80.0  # pixels of eye distance at which everything but the texture is worked out
REACH = 1.8  # how far away texture may come from
HALF = 2  # patches are 5 x 5
RIM = 0.025  # how far an outline's own line reaches, sharpened or drawn
HALO = 0.07  # how far the blur of the outline reaches beyond the matte
SOFT_HALO = 0.13  # before ground that is out of focus
CALM_HALO = 0.20  # on calm ground stray hair and a sharpened outline are seen as far as this
TRUSTED = (0.9, 1.8)  # misfit over the ground's fine texture: alike below, unlike above
BEYOND = (4.0, 14.0)  # gray levels outside the range of the colors around: allowed below, never above
RUN_IN = 0.3  # how far in colors at the rim run
LIGHT = 0.06  # standard deviation of the blur that leaves light and takes fine things away
SEAM = 0.35  # how far in the step between copy and surroundings is evened out


def complete(image: Array, background: Array, alpha: Array, eye: float) -> FloatArray:
    """Return the background, completed behind the person.

    Args:
        image: RGB.  # (H, W, 3) uint8
        background: the background's share of mixed pixels, exact where only it is seen.  # (H, W, 3)
        alpha: how much of a pixel is person, 0..1.  # (H, W)
        eye: pixels between the outer eye corners.
    """
    picture = np.where((alpha > 0)[..., None], background, image).astype(np.float32)
    away = _away(alpha > 0.03)
    near, wide = away <= max(HALO * eye, 1.0), away <= max(CALM_HALO * eye, 1.0)
    if near.all() or not near.any():
        return picture
    calm, soft = ground.calmness(picture, ~wide, eye)
    hole = near | (wide & (calm > 0.5)) | ((away <= SOFT_HALO * eye) & (soft > 0.5))
    if hole.all():
        return picture
    filled = _fill(picture, hole, eye)
    # On busy ground what shines through thin hair counts; on calm ground it would stay as a ghost of the outline.
    seen = np.clip((0.25 - alpha) / 0.2, 0, 1) * (1 - np.maximum(calm, soft))
    rim = max(RIM * eye, 1.0)
    seen *= _away(alpha > 0.25) > rim
    clean = hole & (away > rim)
    filled += _missed(picture - filled, clean * seen, clean * soft * (1 - calm), eye) * hole[..., None]
    seen = seen[..., None].astype(np.float32)
    return np.asarray(picture * seen + filled * (1 - seen), np.float32)


def _missed(step: Array, seen: Array, lit: Array, eye: float) -> FloatArray:
    """Return what to add to the fill so that it meets what is seen in the hole, fading away from there.  # (H, W, 3)

    Args:
        step: from the fill to the picture.  # (H, W, 3)
        seen: how far a pixel is shown as it is.  # (H, W)
        lit: how far at least its light counts, without fine things as stray hair.  # (H, W)
        eye: eye distance in pixels.
    """
    scale = min(1.0, WORK_EYE / eye)
    size = (max(round(seen.shape[1] * scale), 8), max(round(seen.shape[0] * scale), 8))
    weight: Array = np.maximum(seen, lit).astype(np.float32)
    small = cv2.resize(step * weight[..., None], size, interpolation=cv2.INTER_AREA)
    shown, weight = (cv2.resize(p.astype(np.float32), size, interpolation=cv2.INTER_AREA) for p in (seen, weight))
    sigma = LIGHT * eye * scale
    light = cv2.GaussianBlur(small, (0, 0), sigma) / (cv2.GaussianBlur(weight, (0, 0), sigma)[..., None] + 1e-3)
    met: Array = light + (small / (weight[..., None] + 1e-3) - light) * shown[..., None]
    known = np.clip(2 * weight - 1, 0, 1)
    away = cv2.distanceTransform((known < 0.5).astype(np.uint8), cv2.DIST_L2, 3) / (eye * scale)
    run: Array = pull_push(met, known, eager=4.0) * (1 - smoothstep(away, 0.0, RUN_IN))[..., None]
    return np.asarray(cv2.resize(run, seen.shape[::-1], interpolation=cv2.INTER_LINEAR), np.float32)


def _away(mask: Array) -> Array:
    """Return the distance to a mask in pixels, endless where there is none.  # (H, W)"""
    if not mask.any():
        return np.full(mask.shape, np.inf, np.float32)
    return np.asarray(cv2.distanceTransform((~mask).astype(np.uint8), cv2.DIST_L2, 5))


def _fill(picture: Array, hole: Array, eye: float) -> FloatArray:
    """Fill a hole with the texture around it.

    What is smooth is worked out at a smaller size; only the texture is copied at the picture's own.

    Args:
        picture: RGB.  # (H, W, 3) float32
        hole: True where the background is not seen.  # (H, W) bool
        eye: pixels between the outer eye corners.
    """
    scale = min(1.0, WORK_EYE / eye)
    size = (max(round(hole.shape[1] * scale), 8), max(round(hole.shape[0] * scale), 8))
    seen = (~hole).astype(np.float32)
    known = seen if scale == 1 else cv2.resize(seen, size, interpolation=cv2.INTER_AREA)
    small: Array = picture * seen[..., None]
    if scale < 1:
        small = cv2.resize(small, size, interpolation=cv2.INTER_AREA) / np.maximum(known, 0.02)[..., None]
    known = np.asarray(known, np.float32)
    color, clear = ground.prevailing(small, known, eye * scale)
    mean = _base(small * known[..., None], known, pull_push(small, known, eager=4.0), eye * scale)
    base: Array = mean + (color - mean) * clear[..., None]  # a pattern has no color of its own
    detail, hidden = np.ascontiguousarray(small - base), known < 0.5
    deep: Array = cv2.distanceTransform(hidden.astype(np.uint8), cv2.DIST_L2, 3) / (eye * scale)
    ends = (1 - smoothstep(deep, 0.0, RUN_IN))[..., None]
    smooth: Array = base + pull_push(detail * known[..., None], known, eager=4.0) * ends
    apart = ground.things(small, base, clear) > 0.5
    field, cost = _correspond(detail, hidden, apart & ~hidden, eye * scale)
    if field is None:
        laid = cv2.resize(smooth, hole.shape[::-1], interpolation=cv2.INTER_LINEAR)
        return np.where(hole[..., None], laid, picture).astype(np.float32)
    share: Array = _trust(detail, hidden, field, cost, eye * scale) * (1 - smoothstep(deep, DEEPEST - 0.3, DEEPEST))
    copied, missed = _tried(detail, hidden, field)
    met = base + missed * (1 - smoothstep(deep, 0.0, SEAM))[..., None]
    share *= _in_range(met + copied, small, hidden, eye * scale)
    base, met, smooth, share = (
        cv2.resize(np.asarray(plane, np.float32), hole.shape[::-1], interpolation=cv2.INTER_LINEAR)
        for plane in (base, met, smooth, share)
    )
    out = picture.copy()
    _lay(picture, hole, field, base, met, smooth, share, out)
    return out


def _tried(detail: Array, hidden: Array, field: Array) -> tuple[FloatArray, FloatArray]:
    """Copy at the small size, to see how the copy does.

    Returns:
        The copied detail, and by how much it misses what is seen at the hole's rim, spread inwards:
        taken off, as cloning in the gradient domain does, that keeps patches from ending with a step.  # (h, w, 3) each
    """
    around = (cv2.dilate(hidden.astype(np.uint8), np.ones((3, 3), np.uint8)) > 0) & ~hidden
    copied = np.zeros_like(detail)
    found = np.zeros(hidden.shape, np.float32)
    ys, xs = np.where(around | hidden)
    _copy(detail, ~hidden, ys, xs, field, field.shape[0] / hidden.shape[0], copied, found)
    rim = found * around
    return copied, pull_push((detail - copied) * rim[..., None], rim, eager=4.0)


def _in_range(filled: Array, seen: Array, hidden: Array, eye: float) -> FloatArray:
    """Say where a fill stays within the colors seen around it: 1, else 0.  # (h, w)

    Detail from beside a strong color, put upon another light, can overshoot to one that is nowhere.
    """
    window = np.ones((2 * round(0.8 * eye) + 1,) * 2, np.uint8)
    most = cv2.dilate(np.where(hidden[..., None], 0, seen).astype(np.float32), window)
    least = cv2.erode(np.where(hidden[..., None], 255, seen).astype(np.float32), window)
    beyond = np.maximum(filled - most, least - filled).max(2)
    inside = (1 - smoothstep(beyond, *BEYOND)).astype(np.float32)
    return np.asarray(cv2.blur(cv2.erode(inside, np.ones((7, 7), np.uint8)), (5, 5)), np.float32)


def _base(seen: Array, known: Array, smooth: Array, eye: float) -> FloatArray:
    """Return light without texture, running on through the hole.  # (h, w, 3)

    Args:
        seen: RGB times `known`.  # (h, w, 3)
        known: share of a pixel that is background, 0..1.  # (h, w)
        smooth: a smooth fill.  # (h, w, 3)
        eye: eye distance in pixels.
    """
    scale = min(1.0, 12.0 / eye)
    size = (max(round(known.shape[1] * scale), 4), max(round(known.shape[0] * scale), 4))
    sigma = 0.55 * eye * scale
    weight = cv2.GaussianBlur(cv2.resize(known, size, interpolation=cv2.INTER_AREA), (0, 0), sigma)[..., None]
    blurred = cv2.GaussianBlur(cv2.resize(seen, size, interpolation=cv2.INTER_AREA), (0, 0), sigma) / (weight + 1e-4)
    fill = cv2.GaussianBlur(cv2.resize(smooth, size, interpolation=cv2.INTER_AREA), (0, 0), sigma)
    sure = np.clip(weight * 4, 0, 1)
    base = blurred * sure + fill * (1 - sure)
    return np.asarray(cv2.resize(base, known.shape[::-1], interpolation=cv2.INTER_CUBIC), np.float32)


def _correspond(detail: Array, hole: Array, apart: Array, eye: float) -> tuple[Array | None, Array]:
    """Find for every hidden pixel where its detail comes from, coarse to fine.

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
        hidden, source, target: see `_correspond`.  # (h, w) bool
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


def _trust(detail: Array, hole: Array, field: Array, cost: Array, eye: float) -> FloatArray:
    """Say how well the found places fit: 1 within the ground's fine texture, 0 they would show.  # (H, W)"""
    size = (cost.shape[1], cost.shape[0])
    seen = cv2.resize((~hole).astype(np.float32), size, interpolation=cv2.INTER_AREA)
    small = cv2.resize(detail, size, interpolation=cv2.INTER_AREA)
    high = np.abs(small - cv2.blur(small, (5, 5))).mean(2)
    known = (seen > 0.99).astype(np.float32)
    high = pull_push((high * known)[..., None], known, eager=4.0)[..., 0]
    # Its median nearby: grain counts, the few edges of letters do not.
    window = 2 * round(0.35 * eye * cost.shape[0] / hole.shape[0]) + 1
    fine = cv2.medianBlur(np.clip(8 * high, 0, 255).astype(np.uint8), window) / np.float32(8)
    # What counts is how the copy meets what is seen, and how two found places meet each other.
    matched = (cost > 0) & (field[..., 0] >= 0)
    rim = matched & (cv2.distanceTransform((seen < 0.5).astype(np.uint8), cv2.DIST_L2, 3) <= HALF + 0.5)
    misses = []
    for where, values in ((rim, cost), (matched, cv2.dilate(cost, np.ones((3, 3), np.uint8)))):
        misses.append(pull_push((values * where)[..., None], where.astype(np.float32), eager=4.0)[..., 0])
    miss = np.sqrt(np.maximum(*misses) / 3)
    fits = np.asarray(1 - smoothstep(miss / (3 * fine + 4.0), *TRUSTED), np.float32)
    trust = cv2.blur(cv2.erode(fits, np.ones((5, 5), np.uint8)), (9, 9))  # a good patch between bad ones is no help
    return np.asarray(cv2.resize(trust, hole.shape[::-1], interpolation=cv2.INTER_LINEAR), np.float32)


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


@nb.njit(cache=True, nogil=True, fastmath=True)
def _proposed(
    image: Array, base: Array, known: Array, y: int, x: int, field: Array, scale: float, out: Array
) -> bool:  # fmt: skip
    """Blend the detail that the field's four nearest pixels point at; say whether there is any.

    Args:
        image, base: detail is their difference.  # (H, W, 3) each
        known: True where the background is seen.  # (H, W)
        field: (h, w, 2)
        scale: h / H.
        out: detail, written.  # (3,)
    """
    height, width = known.shape
    h, w = field.shape[0], field.shape[1]
    cy, cx = (y + 0.5) * scale - 0.5, (x + 0.5) * scale - 0.5
    jy, jx = int(np.floor(cy)), int(np.floor(cx))
    fy, fx = cy - jy, cx - jx
    out[:] = 0.0
    total = 0.0
    for j in range(2):
        for i in range(2):
            py, px = jy + j, jx + i
            if py < 0 or px < 0 or py >= h or px >= w or field[py, px, 0] < 0:
                continue
            sy = y + round((field[py, px, 0] - py) / scale)
            sx = x + round((field[py, px, 1] - px) / scale)
            if sy < 0 or sx < 0 or sy >= height or sx >= width or not known[sy, sx]:
                continue
            v = (fy if j else 1 - fy) * (fx if i else 1 - fx) + 1e-4
            for k in range(3):
                out[k] += v * (image[sy, sx, k] - base[sy, sx, k])
            total += v
    for k in range(3):
        out[k] /= max(total, 1e-9)
    return total > 0


@nb.njit(cache=True, nogil=True, fastmath=True)
def _copy(
    detail: Array, known: Array, ys: Array, xs: Array, field: Array, scale: float, out: Array, found: Array
) -> None:
    """Copy detail to some pixels.

    Args:
        detail: (h, w, 3)
        known, field, scale: as in `_proposed`.
        ys, xs: pixels to write.  # (N,)
        out: (h, w, 3)
        found: 1 where something was found.  # (h, w)
    """
    value = np.empty(3, np.float32)
    nothing = np.zeros_like(detail)
    for u in range(ys.shape[0]):
        if _proposed(detail, nothing, known, ys[u], xs[u], field, scale, value):
            out[ys[u], xs[u]] = value
            found[ys[u], xs[u]] = 1.0


@nb.njit(cache=True, nogil=True, fastmath=True)
def _lay(
    picture: Array, hole: Array, field: Array, base: Array, met: Array, smooth: Array, share: Array, out: Array
) -> None:  # fmt: skip
    """Write the hole: found detail upon `met` by its share, else the smooth fill.

    Args:
        picture: RGB.  # (H, W, 3)
        hole: True where to write.  # (H, W)
        field: (h, w, 2)
        base: light without texture.  # (H, W, 3)
        met: the same, made to meet what is seen.  # (H, W, 3)
        smooth: smooth fill.  # (H, W, 3)
        share: trust in what was found.  # (H, W)
        out: (H, W, 3)
    """
    scale = field.shape[0] / hole.shape[0]
    known = ~hole
    value = np.empty(3, np.float32)
    for y in range(hole.shape[0]):
        for x in range(hole.shape[1]):
            if not hole[y, x]:
                continue
            part = share[y, x]
            if part > 0.0 and not _proposed(picture, base, known, y, x, field, scale, value):
                part = 0.0
            for k in range(3):
                v = smooth[y, x, k]
                if part > 0.0:
                    v += part * (met[y, x, k] + value[k] - v)
                out[y, x, k] = min(max(v, 0.0), 255.0)
