"""The background continued behind the person, once per photo.

Texture is found, not invented. For every hidden pixel `correspondence` looks for a
place of the background whose surroundings look alike; the picture's detail is then
copied from there at full size. A smooth base is taken off first and
continued by itself, so that gradients of light run on; where the ground has one color
on the whole (`ground`), that is the base, and what stands before it, as the letters
of a poster, is not copied. Where nothing alike is found, the colors at the outline
run in and blur: a soft patch passes for depth of field, a sharp wrong one for a tear.

This module knows no heads.
"""

from __future__ import annotations

from typing import Any

import cv2
import numba as nb
import numpy as np
from numpy.typing import NDArray

from studio.engines.rig import ground
from studio.engines.rig.correspondence import DEEPEST, HALF, correspond
from studio.engines.rig.fill import most_of, pull_push, smoothstep, weigh

Array = NDArray[Any]
FloatArray = NDArray[np.float32]

# Lengths are shares of the eye distance. Numbers were set by eye on the developers' portraits.
WORK_EYE = 80.0  # pixels of eye distance at which everything but the texture is worked out
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
    picture = image.astype(np.float32)
    cv2.copyTo(background, (alpha > 0).astype(np.uint8), picture)
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
    missed = _missed(picture, filled, clean * seen, clean * soft * (1 - calm), eye)
    _merge(picture, hole, missed, seen.astype(np.float32), filled)
    return filled


@nb.njit(cache=True, nogil=True, fastmath=True)
def _merge(picture: Array, hole: Array, missed: Array, seen: Array, filled: Array) -> None:
    """Add to a fill what it misses, then lay over it what is seen.

    Args:
        picture: RGB.  # (H, W, 3)
        hole: True where the fill stands for it.  # (H, W)
        missed: see `_missed`.  # (H, W, 3)
        seen: share of a pixel that is shown as it is.  # (H, W)
        filled: changed.  # (H, W, 3)
    """
    for y in range(hole.shape[0]):
        for x in range(hole.shape[1]):
            for k in range(3):
                value = filled[y, x, k]
                if hole[y, x]:
                    value += missed[y, x, k]
                filled[y, x, k] = value + (picture[y, x, k] - value) * seen[y, x]


def _missed(picture: Array, filled: Array, seen: Array, lit: Array, eye: float) -> FloatArray:
    """Return what to add to the fill so that it meets what is seen in the hole, fading away from there.  # (H, W, 3)

    Args:
        picture, filled: RGB, and the same with the fill.  # (H, W, 3) each
        seen: how far a pixel is shown as it is.  # (H, W)
        lit: how far at least its light counts, without fine things as stray hair.  # (H, W)
        eye: eye distance in pixels.
    """
    scale = min(1.0, WORK_EYE / eye)
    size = (max(round(seen.shape[1] * scale), 8), max(round(seen.shape[0] * scale), 8))
    weight: Array = np.maximum(seen, lit).astype(np.float32)
    step = cv2.subtract(picture, filled)
    weigh(step, weight, step)
    small = cv2.resize(step, size, interpolation=cv2.INTER_AREA)
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
    small: Array = cv2.copyTo(picture, (~hole).astype(np.uint8))
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
    field, cost = correspond(detail, hidden, apart & ~hidden, eye * scale)
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
    beyond = most_of(cv2.max(filled - most, least - filled))
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
