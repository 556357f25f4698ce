"""The background continued behind the person, once per photo.

Texture is found, not invented: pieces of the ground that is seen are shown behind the
person, each as a whole, so that bricks and letters' rims go on (`shift_map`). Where the
ground has one color on the whole (`ground`), what stands before it, as the letters
of a poster, is not copied and ends softly. Where nothing is found, the colors at the outline
run in and blur: a soft patch passes for depth of field, a sharp wrong one for a tear.

This module knows no heads.
"""

from __future__ import annotations

from typing import Any

import cv2
import numba as nb
import numpy as np
from numpy.typing import NDArray

from studio.engines.rig import ground, shift_map
from studio.engines.rig.fill import pull_push, smoothstep, weigh

Array = NDArray[Any]
FloatArray = NDArray[np.float32]

# Lengths are shares of the eye distance. Numbers were set by eye on the developers' portraits.
WORK_EYE = 80.0  # pixels of eye distance at which everything but the texture is worked out
RIM = 0.025  # how far an outline's own line reaches, sharpened or drawn
HALO = 0.07  # how far the blur of the outline reaches beyond the matte
SOFT_HALO = 0.13  # before ground that is out of focus
CALM_HALO = 0.20  # on calm ground stray hair and a sharpened outline are seen as far as this
TORN_BLUR = 0.07  # where pieces do not meet
RUN_IN = 0.3  # how far in colors at the rim run
LIGHT = 0.06  # standard deviation of the blur that leaves light and takes fine things away


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
    """Fill a hole with the ground around it.

    Args:
        picture: RGB.  # (H, W, 3) float32
        hole: True where the background is not seen.  # (H, W) bool
        eye: pixels between the outer eye corners.
    """
    found = shift_map.find(picture, hole, eye)
    size = hole.shape[::-1]
    if found is None:
        small = shift_map.shrunk(picture, hole, eye, WORK_EYE)
        soft = cv2.resize(pull_push(small.colors, small.share, eager=4.0), size, interpolation=cv2.INTER_LINEAR)
        return np.where(hole[..., None], soft, picture).astype(np.float32)
    out = picture.copy()
    change, soft = (cv2.resize(plane, size, interpolation=cv2.INTER_LINEAR) for plane in (found.change, found.colors))
    _lay(picture, hole, found.shifts, found.labels, change, soft, out)
    # Where pieces do not meet, a soft patch passes for depth of field.
    _soften(out, hole, found, eye)
    return out


def _soften(filled: FloatArray, hole: Array, found: shift_map.ShiftMap, eye: float) -> None:
    """Blur a fill, in place, where its pieces do not meet.

    Args:
        filled: RGB.  # (H, W, 3)
        hole: True where it is filled.  # (H, W)
        found: the pieces.
        eye: eye distance in pixels of `filled`.
    """
    rows, columns = np.where(found.torn > 0.02)
    if not len(rows):
        return
    scale = np.array(hole.shape) / np.array(found.torn.shape)
    y0, x0 = np.floor(np.array([rows.min(), columns.min()]) * scale).astype(int)
    y1, x1 = np.minimum(np.ceil(np.array([rows.max() + 1, columns.max() + 1]) * scale), hole.shape).astype(int)
    place = np.s_[y0:y1, x0:x1]
    sigma = TORN_BLUR * eye / scale[0]
    reach = int(4 * sigma) + 3  # further off nothing is blurred in
    top, left = max(rows.min() - reach, 0), max(columns.min() - reach, 0)
    near = np.s_[top : rows.max() + reach, left : columns.max() + reach]
    blurred = cv2.GaussianBlur(np.ascontiguousarray(found.colors[near]), (0, 0), sigma)
    # Where a pixel of the small picture lies in the large one, as cv2.resize has it.
    move = np.array([
        [1 / scale[1], 0, (x0 + 0.5) / scale[1] - 0.5 - left], [0, 1 / scale[0], (y0 + 0.5) / scale[0] - 0.5 - top]
    ])  # fmt: skip
    blurred, torn = (
        cv2.warpAffine(plane, move, (x1 - x0, y1 - y0), flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
                       borderMode=cv2.BORDER_REPLICATE)
        for plane in (blurred, np.ascontiguousarray(found.torn[near]))
    )  # fmt: skip
    torn[~hole[place]] = 0
    filled[place] = cv2.blendLinear(blurred, np.ascontiguousarray(filled[place]), torn, 1 - torn)


@nb.njit(cache=True, nogil=True, fastmath=True)
def _lay(
    picture: Array, hole: Array, shifts: Array, labels: Array, change: Array, soft: Array, out: Array
) -> None:  # fmt: skip
    """Write the hole: what the shifts of the four nearest labels lead to, mixed; the soft fill where there is none.

    Args:
        picture: RGB.  # (H, W, 3)
        hole: True where to write.  # (H, W)
        shifts, labels: see `ShiftMap`.  # (K, 2), (h, w)
        change: to add to what is found.  # (H, W, 3)
        soft: (H, W, 3)
        out: (H, W, 3)
    """
    height, width = hole.shape
    h, w = labels.shape
    scale = h / height
    for y in range(height):
        for x in range(width):
            if not hole[y, x]:
                continue
            cy, cx = (y + 0.5) * scale - 0.5, (x + 0.5) * scale - 0.5
            jy, jx = int(np.floor(cy)), int(np.floor(cx))
            fy, fx = cy - jy, cx - jx
            red = green = blue = 0.0
            for j in range(2):
                for i in range(2):
                    py, px = min(max(jy + j, 0), h - 1), min(max(jx + i, 0), w - 1)
                    part = (fy if j else 1 - fy) * (fx if i else 1 - fx)
                    sy, sx = -1, -1
                    if labels[py, px] >= 0:
                        sy, sx = y + shifts[labels[py, px], 0], x + shifts[labels[py, px], 1]
                    if sy < 0 or sx < 0 or sy >= height or sx >= width or hole[sy, sx]:
                        red += part * soft[y, x, 0]
                        green += part * soft[y, x, 1]
                        blue += part * soft[y, x, 2]
                    else:
                        red += part * (picture[sy, sx, 0] + change[y, x, 0])
                        green += part * (picture[sy, sx, 1] + change[y, x, 1])
                        blue += part * (picture[sy, sx, 2] + change[y, x, 2])
            out[y, x, 0] = min(max(red, 0.0), 255.0)
            out[y, x, 1] = min(max(green, 0.0), 255.0)
            out[y, x, 2] = min(max(blue, 0.0), 255.0)
