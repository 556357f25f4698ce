"""What the ground behind a person is like: calm or textured, and what color it has on the whole.

A wall with a letter on it is a wall: where the person hides it, the wall goes on, and
the letter ends softly. The mean of what is seen nearby would be a little of both
everywhere. So the color is the one that most of the surroundings share, found by
counting; how many share it says whether there is such a color at all, or a pattern.

This module knows neither persons nor pictures' borders.
"""

from __future__ import annotations

from typing import Any

import cv2
import numba as nb
import numpy as np
from numpy.typing import NDArray

from studio.engines.rig.fill import pull_push, smoothstep

Array = NDArray[Any]
FloatArray = NDArray[np.float32]

# Lengths are shares of the eye distance. Numbers were set by eye on the developers' portraits.
WORK_EYE = 9.0  # pixels of eye distance at which colors are counted
REACH = 1.4  # how far around they are
NEAR = 0.55  # standard deviation of what a place counts by its distance
CALM_EYE = 24.0  # pixels of eye distance at which texture is judged
AROUND = 0.2  # how far around
CALM = (3.0, 7.0)  # gray levels of the ground's own texture: calm below, busy above
FINE = 0.06  # standard deviation of the blur that leaves soft ground as it is
ALIKE = 55.0  # RGB distance, gray levels, within which two colors are one ground in a changing light
SOFT = 0.16  # how far the light is evened out
CLEAR = (0.18, 0.3)  # share of the surroundings by which one color leads the next: a pattern below, a ground above
EVERYWHERE = 0.6  # weight of the whole picture's ground against that around
ONE_GROUND = (0.5, 0.75)  # how clear it is on the mean: below, there are several grounds and nothing is before them
BESIDE = 0.6  # how far away another color may prevail
CLUSTER = 0.25  # standard deviation of the blur that tells a thing from scattered spots
SCATTERED = (0.08, 0.2)  # share of the surroundings that is thing: below, spots of the ground's own; above, a thing
FEW = 8  # things, from which they may be a pattern
AGAIN = 0.7  # how far away at least what stands before the ground comes again, if it is a pattern
LIKE_CHANCE = (0.08, 0.16)  # its difference from itself there over that at any shift: a pattern below, no pattern above
THING = (55.0, 95.0)  # RGB distance from a clear ground: below, its own texture; above, a thing before it


def prevailing(seen: Array, known: Array, eye: float) -> tuple[FloatArray, FloatArray]:
    """Return the color that prevails around every pixel, and how far it does.

    Args:
        seen: RGB, anything where it is not known.  # (h, w, 3) float32
        known: share of a pixel that is ground, 0..1.  # (h, w) float32
        eye: eye distance in pixels.

    Returns:
        RGB  # (h, w, 3); and from 0, a pattern without a ground, to 1, one color almost everywhere  # (h, w)
    """
    scale = min(1.0, WORK_EYE / eye)
    size = (max(round(known.shape[1] * scale), 4), max(round(known.shape[0] * scale), 4))
    # Pixels are picked, not averaged: the mean of a pattern's colors is none of them.
    small = np.ascontiguousarray(cv2.resize(seen, size, interpolation=cv2.INTER_NEAREST), np.float32)
    weight = cv2.resize(known, size, interpolation=cv2.INTER_NEAREST)
    weight = np.where(weight > 0.9, weight, 0).astype(np.float32)
    out = np.zeros((*weight.shape, 4), np.float32)
    found = np.zeros(weight.shape, np.float32)
    pixels = eye * scale
    every = small[weight > 0]
    every = np.ascontiguousarray(every[:: max(len(every) // 80, 1)], np.float32)
    _count(small, weight, every, int(REACH * pixels), NEAR * pixels, ALIKE, out, found)
    filled = pull_push(out, found)
    soft = cv2.GaussianBlur(filled, (0, 0), max(SOFT * pixels, 0.5))
    soft = cv2.resize(soft, known.shape[::-1], interpolation=cv2.INTER_LINEAR)
    return np.ascontiguousarray(soft[..., :3]), smoothstep(soft[..., 3], *CLEAR).astype(np.float32)


def things(seen: Array, ground: Array, clear: Array) -> FloatArray:
    """Say how far every pixel belongs to something that stands before a clear ground, 0..1.  # (h, w)

    Args:
        seen: RGB.  # (h, w, 3)
        ground, clear: of `prevailing`.
    """
    return np.asarray(clear * smoothstep(np.linalg.norm(seen - ground, axis=2), *THING), np.float32)


def single_things(seen: Array, known: Array, ground: Array, clear: Array, eye: float) -> FloatArray:
    """Say how far every pixel belongs to a thing that is no part of the ground: a letter, not one stone of many.

    Args:
        seen: RGB.  # (h, w, 3) float32
        known: True where it is ground.  # (h, w)
        ground, clear: of `prevailing`.
        eye: eye distance in pixels; a few will do.

    Returns:
        0..1  # (h, w)
    """
    whole = float(clear[known].mean()) if known.any() else 0.0
    thing = things(seen, ground, clear) * known * smoothstep(np.array(whole), *ONE_GROUND)
    far = max(round(BESIDE * eye), 1)
    padded = np.pad(ground, ((far, far), (far, far), (0, 0)), "edge")
    for dy, dx in ((0, 1), (1, 0), (0, -1), (-1, 0)):  # what is ground right beside is ground
        beside = padded[far + dy * far :, far + dx * far :][: thing.shape[0], : thing.shape[1]]
        thing = np.minimum(thing, things(seen, beside, np.ones_like(thing)))
    free = cv2.GaussianBlur(known.astype(np.float32), (0, 0), CLUSTER * eye)
    dense = cv2.GaussianBlur(thing, (0, 0), CLUSTER * eye) / (free + 1e-3)
    thing *= smoothstep(dense, *SCATTERED)
    here = (thing > 0.5) & known
    if here.any() and cv2.connectedComponents(here.astype(np.uint8))[0] > FEW:
        thing *= 1 - _repetition(seen, known, here, eye)
    return np.asarray(thing, np.float32)


def _repetition(seen: Array, known: Array, here: Array, eye: float) -> float:
    """Say how far things come again elsewhere, as flowers on wallpaper do: 0..1.

    Args:
        seen, known, eye: as in `single_things`.
        here: True on things.  # (h, w)
    """
    shape = [side + int(REACH * eye) for side in known.shape]
    free = np.fft.rfft2(known, shape)
    at = np.conj(np.fft.rfft2(here, shape))
    count = np.fft.irfft2(at * free, shape)
    unlike = np.zeros(shape)  # sums of squared differences at every shift, by their products' transforms
    for channel in np.moveaxis(seen, 2, 0):
        shown = np.where(known, channel, 0)
        square, mixed = np.conj(np.fft.rfft2(here * shown**2, shape)), np.conj(np.fft.rfft2(here * shown, shape))
        unlike += np.fft.irfft2(
            square * free + at * np.fft.rfft2(shown**2, shape) - 2 * mixed * np.fft.rfft2(shown, shape), shape
        )
    down, right = (np.minimum(np.arange(n), n - np.arange(n)) for n in shape)
    able = (count > 0.6 * here.sum()) & (np.hypot(down[:, None], right) >= AGAIN * eye)
    if able.sum() < 20:
        return 0.0
    unlike = unlike[able] / count[able]
    return float(1 - smoothstep(unlike.min() / np.median(unlike), *LIKE_CHANCE))


def calmness(picture: Array, seen: Array, eye: float) -> tuple[FloatArray, FloatArray]:
    """Say how calm the ground is next to every pixel: 1 calm, 0 textured.

    Args:
        picture: RGB.  # (H, W, 3) float32
        seen: True where it is ground for sure.  # (H, W) bool
        eye: eye distance in pixels.

    Returns:
        How far it is a plain wall; and how far it is at least without fine texture, as out of focus.  # (H, W) each
    """
    scale = min(1.0, CALM_EYE / eye)
    size = (max(round(picture.shape[1] * scale), 4), max(round(picture.shape[0] * scale), 4))
    small = cv2.resize(picture, size, interpolation=cv2.INTER_AREA)
    known = cv2.resize(seen.astype(np.float32), size, interpolation=cv2.INTER_AREA)
    known = (known > 0.99).astype(np.float32)
    window = (2 * round(AROUND * eye * scale) + 1,) * 2
    weight = cv2.blur(known, window) + 1e-4
    mean = cv2.blur(small * known[..., None], window) / weight[..., None]
    fine = max(FINE * eye * scale, 0.5)
    share = cv2.GaussianBlur(known, (0, 0), fine)[..., None] + 1e-4
    soft = cv2.GaussianBlur(small * known[..., None], (0, 0), fine) / share
    near = weight > 0.05
    reached = cv2.dilate(near.astype(np.uint8), np.ones(window, np.uint8)).astype(np.float32)
    found = []
    for what in (mean, soft):
        texture = cv2.blur(((small - what) ** 2).mean(2) * known, window) / weight
        # The roughest ground around decides: beside a letter there is no calm.
        texture = cv2.dilate(texture * near, np.ones(window, np.uint8))
        calm = 1 - smoothstep(np.sqrt(np.maximum(texture, 0)), *CALM)  # running sums may end a hair below 0
        calm = pull_push(calm[..., None].astype(np.float32), reached)[..., 0]
        found.append(np.asarray(cv2.resize(calm, picture.shape[1::-1], interpolation=cv2.INTER_LINEAR), np.float32))
    return found[0], found[1]


@nb.njit(cache=True, nogil=True, fastmath=True)
def _count(
    image: Array, weight: Array, everywhere: Array, reach: int, sigma: float, alike: float, out: Array, found: Array
) -> None:  # fmt: skip
    """Write for every second pixel of every second row the color that most around it share.

    Args:
        image: (h, w, 3)
        weight: 0 where unknown.  # (h, w)
        everywhere: samples of the whole ground.  # (N, 3)
        reach: pixels.
        sigma: of the weights by distance, pixels.
        alike: RGB distance within which colors are one.
        out: RGB and share of the weight around in that color, written.  # (h, w, 4)
        found: 1 where anything is known around.  # (h, w)
    """
    h, w = weight.shape
    most = (2 * reach + 1) ** 2 + len(everywhere)
    around = np.empty((most, 4), np.float32)
    tried = np.empty((64, 4), np.float32)
    for y in range(0, h, 2):  # what lies between is filled in: the color is blurred further than that
        for x in range(0, w, 2):
            n = 0
            total = 0.0
            for j in range(-reach, reach + 1):
                if (j + y) & 1:  # every second row and column is enough to count
                    continue
                for i in range(-reach + ((x - reach) & 1), reach + 1, 2):
                    v, u = y + j, x + i
                    if v < 0 or u < 0 or v >= h or u >= w or weight[v, u] <= 0.0:
                        continue
                    share = weight[v, u] * np.exp(-0.5 * (i * i + j * j) / (sigma * sigma))
                    for k in range(3):
                        around[n, k] = image[v, u, k]
                    around[n, 3] = share
                    total += share
                    n += 1
            if total < 1e-4:
                continue
            found[y, x] = 1.0
            for m in range(len(everywhere)):
                around[n, :3] = everywhere[m]
                around[n, 3] = EVERYWHERE * total / len(everywhere)
                n += 1
            total *= 1.0 + EVERYWHERE
            best = 0.0
            step = max(n // 24, 1)
            count = 0
            for a in range(step // 2, n, step):
                r = g = b = t = 0.0
                for m in range(n):
                    dr, dg, db = around[m, 0] - around[a, 0], around[m, 1] - around[a, 1], around[m, 2] - around[a, 2]
                    if dr * dr + dg * dg + db * db < alike * alike:
                        s = around[m, 3]
                        r += s * around[m, 0]
                        g += s * around[m, 1]
                        b += s * around[m, 2]
                        t += s
                tried[count, 0], tried[count, 1], tried[count, 2], tried[count, 3] = r / t, g / t, b / t, t / total
                count += 1
            first = tried[:count, 3].argmax()
            for k in range(3):
                out[y, x, k] = tried[first, k]
            for c in range(count):
                other = 0.0
                for k in range(3):
                    other += (tried[c, k] - tried[first, k]) ** 2
                if other > 2.25 * alike * alike:
                    best = max(best, tried[c, 3])
            out[y, x, 3] = tried[first, 3] - best
