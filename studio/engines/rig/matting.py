"""Who is person and who is background, pixel by pixel, and what color each has.

The network's matte only says where to look. A band around its outline, as wide as
loose hair and the network's own mistakes, counts as unknown; there alpha is solved
by closed-form matting, which asks that alpha be a linear function of color in every
3 x 3 window, and leans a little on the network. The colors of both sides of a
mixed pixel are estimated by blur fusion, so that no background travels with hair.

Source: Levin, Lischinski, Weiss, "A closed-form solution to natural image matting", 2008;
Forte, "Approximate fast foreground colour estimation", 2021. This module knows no heads.
"""

from __future__ import annotations

from typing import Any

import cv2
import numba as nb
import numpy as np
from numpy.typing import NDArray

from studio.engines.rig.fill import most_of, weigh

Array = NDArray[Any]
FloatArray = NDArray[np.float32]

# Lengths are shares of the eye distance. Numbers without a source were set by eye on the developers' portraits.
WORK_EYE = 96.0  # pixels of eye distance at which alpha is solved; finer than that only the guided lift is
INNER, OUTER = 0.05, 0.11  # how far the unknown band reaches inwards and outwards
JEWEL = 0.16  # radius around and below an ear lobe within which an earring may hang
EPSILON = 3e-5  # variance of a color line's noise, colors 0..1
LEAN = 0.02  # pull towards the network's matte
STEPS = 80  # most conjugate-gradient steps; the band is solved in 20 to 50
HAZE = 0.06  # alpha below this is noise of the solution
BUSY = 0.10  # 90th percentile of the ground's contrast around the head above which nothing is taken for worn
CALM = np.float32(4e-4)  # variance of colors, 0..1, below which alpha is not read off them
ODD = 0.13  # difference from the ground, 0..1, from which something is there


def work_size(image: Array, eye: float) -> FloatArray:
    """Return the picture at the size at which alpha and colors are solved; never larger than it is.  # (h, w, 3)

    Args:
        image: RGB.  # (H, W, 3) uint8
        eye: pixels between the outer eye corners.
    """
    scale = min(1.0, WORK_EYE / eye)
    picture = image.astype(np.float32)
    if scale == 1:
        return picture
    size = (max(round(image.shape[1] * scale), 8), max(round(image.shape[0] * scale), 8))
    return np.asarray(cv2.resize(picture, size, interpolation=cv2.INTER_AREA), np.float32)


def refine(image: Array, work: Array, matte: Array, face: Array, lobes: Array, eye: float) -> FloatArray:
    """Return alpha of the person that owns the face.

    Args:
        image: RGB.  # (H, W, 3) uint8
        work: the same at `work_size`.  # (h, w, 3)
        matte: the network's, 0..255.  # (H, W) uint8
        face: True where the picture surely shows the face.  # (H, W) bool
        lobes: the ear lobes, x, y in pixels; what hangs there is looked for before any ground.  # (2, 2)
        eye: pixels between the outer eye corners.

    Returns:
        0 background .. 1 person.  # (H, W)
    """
    scale = min(1.0, WORK_EYE / eye)
    size = work.shape[1::-1]
    small = work / 255
    coarse = cv2.resize(matte, size, interpolation=cv2.INTER_AREA).astype(np.float32) / 255
    core = cv2.resize(face.astype(np.uint8), size, interpolation=cv2.INTER_NEAREST)
    alpha = _solve_band(small, *_trimap(small, coarse, core, lobes * scale, eye * scale))
    if scale < 1.0:
        alpha = _lift(alpha, small, image)
    alpha = np.clip((alpha - HAZE) / (1 - 2 * HAZE), 0, 1)
    return _without_crumbs(alpha, face, eye)


def _trimap(
    small: Array, coarse: Array, core: Array, lobes: Array, unit: float
) -> tuple[FloatArray, Array, FloatArray]:
    """Return alpha where it is sure, where it is not, and what the network thinks there.

    Args:
        small: RGB 0..1.  # (h, w, 3)
        coarse: the network's matte 0..1.  # (h, w)
        core: 1 on the face.  # (h, w) uint8
        lobes: x, y.  # (2, 2)
        unit: eye distance in pixels.
    """
    body = _largest(((coarse > 0.5) | (core > 0)).astype(np.uint8), core > 0, 4)
    coarse[cv2.distanceTransform(1 - body, cv2.DIST_L2, 5) > max(round(0.25 * unit), 1)] = 0.0
    worn = _worn(small, body, core, unit)
    coarse = np.maximum(coarse, worn)
    inside: Array = cv2.erode(((coarse > 0.95) & (body > 0)).astype(np.uint8), _disk(INNER * unit), borderValue=1)
    for sure in (cv2.erode(worn, _disk(0.015 * unit)), cv2.erode(core, _disk(0.04 * unit), borderValue=0)):
        inside = inside | sure
    outside: Array = cv2.erode((np.maximum(coarse, core) < 0.05).astype(np.uint8), _disk(OUTER * unit), borderValue=1)
    for x, y in lobes:
        center = (round(float(x)), round(float(y) + 0.6 * JEWEL * unit))
        cv2.circle(outside, center, max(round(JEWEL * unit), 1), 0, -1)
    unknown = (inside == 0) & (outside == 0)
    return (inside > 0).astype(np.float32), unknown, np.maximum(coarse, core * 0.7).astype(np.float32)


def _worn(image: Array, body: Array, core: Array, unit: float) -> Array:
    """Find what hangs from the head before calm ground and the network overlooks: earrings, locks.  # (h, w) uint8"""
    away = cv2.distanceTransform(1 - body, cv2.DIST_L2, 3) / unit
    top, bottom = np.flatnonzero(core.any(1))[[0, -1]]
    odd = most_of(cv2.absdiff(image, _ground(image, away, unit)))
    zone = (away > 0) & (away < 0.5)
    zone[: int(0.65 * top + 0.35 * bottom)] = False
    zone[int(bottom + 0.25 * unit) :] = False
    out = np.zeros_like(body)
    sample = odd[zone & (away > 0.12)]
    if len(sample) < 50 or np.percentile(sample, 90) > BUSY:
        return out  # before busy ground anything could be a thing
    labels: Any
    count, labels, stats, _ = cv2.connectedComponentsWithStats(((odd > ODD) & zone).astype(np.uint8), connectivity=8)
    touching = np.bincount(labels[(away < 0.06) & zone], minlength=count) > 0
    farthest = np.zeros(count)
    np.maximum.at(farthest, labels[zone], away[zone])
    area = stats[:, cv2.CC_STAT_AREA] / unit**2
    thing = touching & (farthest < 0.44) & (area > 0.002) & (area < 0.12)
    thing[0] = False
    out[thing[labels]] = 1
    return cv2.morphologyEx(out, cv2.MORPH_CLOSE, _disk(0.03 * unit))


def _ground(image: Array, away: Array, unit: float) -> Array:
    """Return the background's color as it would be without small things before it.  # (h, w, 3)"""
    scale = min(1.0, 24.0 / unit)  # it is smooth
    size = (max(round(away.shape[1] * scale), 4), max(round(away.shape[0] * scale), 4))
    small = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
    distance = cv2.resize(away, size, interpolation=cv2.INTER_AREA)
    near = (distance > 0.02) & (distance < 1.2)
    free = near.astype(np.float32)
    window = (2 * int(0.3 * unit * scale) + 1,) * 2
    ground = small
    for tolerance in (0.16, 0.10, 0.10):
        ground = cv2.blur(small * free[..., None], window) / (cv2.blur(free, window)[..., None] + 1e-4)
        free = (near & (most_of(cv2.absdiff(small, ground)) < tolerance)).astype(np.float32)
    full = (away.shape[1], away.shape[0])
    known = cv2.resize(cv2.blur(free, window), full, interpolation=cv2.INTER_LINEAR) > 0.05
    out: Array = image.copy()
    cv2.copyTo(cv2.resize(ground, full, interpolation=cv2.INTER_LINEAR), known.astype(np.uint8), out)
    return out


def _solve_band(small: Array, known: FloatArray, unknown: Array, prior: FloatArray) -> FloatArray:
    """Solve alpha in the unknown band.  # (h, w)"""
    ys, xs = np.where(unknown)
    if not len(ys):
        return known
    index = np.full(unknown.shape, -1, np.int32)
    index[ys, xs] = np.arange(len(ys), dtype=np.int32)
    rows = np.zeros((len(ys), 25), np.float32)
    _laplacian(small, index, rows, EPSILON)
    guess = prior[ys, xs]
    lean = (LEAN * (0.1 + np.abs(2 * guess - 1) ** 2)).astype(np.float32)
    alpha = known.copy()
    alpha[ys, xs] = np.clip(_solve(rows, ys, xs, lean, np.pad(known, 2), guess, STEPS), 0, 1)
    return alpha


def _lift(alpha: Array, small: Array, image: Array) -> FloatArray:
    """Carry alpha to the full picture, as a local linear function of its colors.  # (H, W)

    Source: He, Sun, "Fast guided filter", 2015, with a color guide.
    """
    window = (5, 5)
    mean_color, mean_alpha = cv2.blur(small, window), cv2.blur(alpha, window)
    together = cv2.blur(small * alpha[..., None], window) - mean_color * mean_alpha[..., None]
    products = [small[..., i] * small[..., j] for i in range(3) for j in range(i, 3)]  # rr rg rb gg gb bb
    spread = cv2.blur(cv2.merge(products[:3]), window), cv2.blur(cv2.merge(products[3:]), window)
    slope = np.zeros((*alpha.shape, 4), np.float32)  # of red, green and blue, and the offset
    _slopes(mean_color, mean_alpha, together, *spread, slope)
    # What the solved neighbors allow: the linear function may run away on a color the window had not.
    near = np.ones((3, 3), np.uint8)
    out = np.empty(image.shape[:2], np.float32)
    _guided(cv2.blur(slope, window), image, cv2.erode(alpha, near), cv2.dilate(alpha, near), out)
    return out


@nb.njit(cache=True, nogil=True, fastmath=True)
def _slopes(color: Array, alpha: Array, together: Array, spread: Array, rest: Array, out: Array) -> None:
    """Write how alpha follows color around every pixel: a slope per channel, and an offset.

    Args:
        color, alpha: means around.  # (h, w, 3), (h, w)
        together: mean of alpha times color, less the product of both means.  # (h, w, 3)
        spread, rest: means of red times red, green and blue; of green times green, green times blue, blue times blue.
            # (h, w, 3) each
        out: zero where alpha does not change.  # (h, w, 4)
    """
    for y in range(alpha.shape[0]):
        for x in range(alpha.shape[1]):
            out[y, x, 3] = alpha[y, x]
            if alpha[y, x] <= 0.002 or alpha[y, x] >= 0.998:
                continue
            r, g, b = color[y, x, 0], color[y, x, 1], color[y, x, 2]
            xx, xy, xz = spread[y, x, 0] - r * r + CALM, spread[y, x, 1] - r * g, spread[y, x, 2] - r * b
            yy, yz, zz = rest[y, x, 0] - g * g + CALM, rest[y, x, 1] - g * b, rest[y, x, 2] - b * b + CALM
            a, c, e = yy * zz - yz * yz, xz * yz - xy * zz, xy * yz - xz * yy  # the inverse is symmetric
            f, h, i = xx * zz - xz * xz, xy * xz - xx * yz, xx * yy - xy * xy
            scale = 1 / (xx * a + xy * c + xz * e)
            u, v, w = together[y, x, 0] * scale, together[y, x, 1] * scale, together[y, x, 2] * scale
            out[y, x, 0] = a * u + c * v + e * w
            out[y, x, 1] = c * u + f * v + h * w
            out[y, x, 2] = e * u + h * v + i * w
            out[y, x, 3] -= out[y, x, 0] * r + out[y, x, 1] * g + out[y, x, 2] * b


@nb.njit(cache=True, nogil=True, fastmath=True)
def _guided(slope: Array, image: Array, least: Array, most: Array, out: Array) -> None:
    """Write the slope's alpha within bounds, all three enlarged linearly, as cv2.resize does it.

    Args:
        slope: of red, green and blue of 0..1, and the offset.  # (h, w, 4)
        image: RGB.  # (H, W, 3) uint8
        least, most: (h, w) each
        out: (H, W)
    """
    unit = np.float32(1 / 255)
    (height, width), (h, w) = out.shape, least.shape
    left, right = np.empty(width, np.int64), np.empty(width, np.int64)
    aside = np.empty(width, np.float32)
    for x in range(width):
        at = min(max((x + 0.5) * w / width - 0.5, 0.0), w - 1.0)
        left[x], right[x], aside[x] = int(at), min(int(at) + 1, w - 1), at - int(at)
    for y in range(height):
        at = min(max((y + 0.5) * h / height - 0.5, 0.0), h - 1.0)
        top, bottom, down = int(at), min(int(at) + 1, h - 1), np.float32(at - int(at))
        for x in range(width):
            i, j, right_part = left[x], right[x], aside[x]
            a, b = (1 - right_part) * (1 - down), right_part * (1 - down)
            c, d = (1 - right_part) * down, right_part * down
            low = a * least[top, i] + b * least[top, j] + c * least[bottom, i] + d * least[bottom, j]
            high = a * most[top, i] + b * most[top, j] + c * most[bottom, i] + d * most[bottom, j]
            if low >= high:  # far from the outline
                out[y, x] = low
                continue
            value = np.float32(0.0)
            for k in range(4):
                there = a * slope[top, i, k] + b * slope[top, j, k] + c * slope[bottom, i, k] + d * slope[bottom, j, k]
                value += there * (unit * image[y, x, k] if k < 3 else np.float32(1.0))
            out[y, x] = min(max(value, low), high)


def _without_crumbs(alpha: Array, face: Array, eye: float) -> FloatArray:
    """Drop islands of background that look like the person.  # (H, W)"""
    solid = (alpha > 0.25).astype(np.uint8)
    keep = cv2.dilate(_largest(solid, face & (solid > 0), 8), _disk(0.03 * eye))
    return np.where(keep > 0, alpha, np.float32(0.0))


def _largest(mask: Array, where: Array, connectivity: int) -> Array:
    """Return the connected part of a mask that holds most of `where`.  # uint8"""
    _, labels = cv2.connectedComponents(mask, connectivity=connectivity)
    count = np.bincount(labels[where], minlength=1)
    count[0] = 0
    return np.asarray(labels == count.argmax(), np.uint8)


def _disk(radius: float) -> Array:
    r = max(round(radius), 1)
    return cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * r + 1, 2 * r + 1))


def colors(image: Array, work: Array, alpha: Array, eye: float) -> tuple[FloatArray, FloatArray]:
    """Return the person's and the background's colors; alpha mixes them to the picture.

    Args:
        image: RGB.  # (H, W, 3) uint8
        work: the same at `work_size`.  # (h, w, 3)
        alpha: 0..1.  # (H, W)
        eye: pixels between the outer eye corners.

    Returns:
        Two pictures, each exact where only that side is seen.  # (H, W, 3) each
    """
    scale = min(1.0, WORK_EYE / eye)
    height, width = alpha.shape
    size = work.shape[1::-1]
    plane = np.ascontiguousarray(alpha if scale == 1 else cv2.resize(alpha, size, interpolation=cv2.INTER_AREA))
    person, back = work.copy(), work.copy()
    for reach in (0.20, 0.05):
        window = (2 * max(round(reach * eye * scale), 2) + 1,) * 2
        weigh(person, plane, person)
        weigh(back, 1 - plane, back)
        person, back = cv2.blur(person, window), cv2.blur(back, window)
        _normalize(cv2.blur(plane, window), person, back)
        if reach > 0.1:  # after the last round this is done at full size
            _share_out(work, plane, person, back)
    if scale < 1:
        person = cv2.resize(person, (width, height), interpolation=cv2.INTER_LINEAR)
        back = cv2.resize(back, (width, height), interpolation=cv2.INTER_LINEAR)
    person, back = np.ascontiguousarray(person, np.float32), np.ascontiguousarray(back, np.float32)
    _share_out(image, alpha, person, back)
    return person, back


@nb.njit(cache=True, nogil=True, fastmath=True)
def _normalize(weight: Array, person: Array, back: Array) -> None:
    """Divide both colors by their side's weight, in place.  # (H, W), (H, W, 3) twice"""
    for y in range(weight.shape[0]):
        for x in range(weight.shape[1]):
            a, b = 1 / (weight[y, x] + np.float32(1e-4)), 1 / (1 - weight[y, x] + np.float32(1e-4))
            for k in range(3):
                person[y, x, k] *= a
                back[y, x, k] *= b


@nb.njit(cache=True, nogil=True, fastmath=True)
def _share_out(picture: Array, alpha: Array, person: Array, back: Array) -> None:
    """Add to both colors what they leave of the picture, each by its share.  # (H, W, 3), (H, W), (H, W, 3) twice"""
    for y in range(alpha.shape[0]):
        for x in range(alpha.shape[1]):
            a = alpha[y, x]
            b = 1 - a
            share = 1 / (a * a + b * b)
            for k in range(3):
                rest = (picture[y, x, k] - a * person[y, x, k] - b * back[y, x, k]) * share
                person[y, x, k] = min(max(person[y, x, k] + a * rest, 0.0), 255.0)
                back[y, x, k] = min(max(back[y, x, k] + b * rest, 0.0), 255.0)


@nb.njit(cache=True, nogil=True, fastmath=True)
def _inverse_covariance(d: Array, epsilon: float, out: Array) -> None:
    """Invert the covariance of nine centered colors.  # (9, 3) -> (6,): xx xy xz yy yz zz"""
    xx = xy = xz = yy = yz = zz = 0.0
    for k in range(9):
        xx += d[k, 0] * d[k, 0]
        xy += d[k, 0] * d[k, 1]
        xz += d[k, 0] * d[k, 2]
        yy += d[k, 1] * d[k, 1]
        yz += d[k, 1] * d[k, 2]
        zz += d[k, 2] * d[k, 2]
    xx, yy, zz = (xx + epsilon) / 9, (yy + epsilon) / 9, (zz + epsilon) / 9
    xy, xz, yz = xy / 9, xz / 9, yz / 9
    out[0] = yy * zz - yz * yz
    out[1] = xz * yz - xy * zz
    out[2] = xy * yz - xz * yy
    out[3] = xx * zz - xz * xz
    out[4] = xy * xz - xx * yz
    out[5] = xx * yy - xy * xy
    scale = 1.0 / (xx * out[0] + xy * out[1] + xz * out[2])
    for k in range(6):
        out[k] *= scale


@nb.njit(cache=True, nogil=True, fastmath=True)
def _laplacian(image: Array, index: Array, rows: Array, epsilon: float) -> None:
    """Add every 3 x 3 window's matting Laplacian to the stencils of the unknown pixels.

    Args:
        image: 0..1.  # (h, w, 3) float32
        index: row of an unknown pixel, -1 elsewhere.  # (h, w) int32
        rows: one 5 x 5 stencil per unknown pixel, added to.  # (U, 25) float32
        epsilon: see EPSILON.
    """
    height, width = index.shape
    d = np.empty((9, 3), np.float64)
    e = np.empty((9, 3), np.float64)
    q = np.empty(6, np.float64)
    for y in range(1, height - 1):
        for x in range(1, width - 1):
            some = False
            for k in range(9):
                some |= index[y + k // 3 - 1, x + k % 3 - 1] >= 0
            if not some:
                continue
            for c in range(3):
                mean = 0.0
                for k in range(9):
                    d[k, c] = image[y + k // 3 - 1, x + k % 3 - 1, c]
                    mean += d[k, c]
                for k in range(9):
                    d[k, c] -= mean / 9
            _inverse_covariance(d, epsilon, q)
            for k in range(9):
                e[k, 0] = q[0] * d[k, 0] + q[1] * d[k, 1] + q[2] * d[k, 2]
                e[k, 1] = q[1] * d[k, 0] + q[3] * d[k, 1] + q[4] * d[k, 2]
                e[k, 2] = q[2] * d[k, 0] + q[4] * d[k, 1] + q[5] * d[k, 2]
            for k in range(9):
                u = index[y + k // 3 - 1, x + k % 3 - 1]
                if u < 0:
                    continue
                for n in range(9):
                    v = -(1.0 + e[k, 0] * d[n, 0] + e[k, 1] * d[n, 1] + e[k, 2] * d[n, 2]) / 9
                    if k == n:
                        v += 1.0
                    rows[u, (n // 3 - k // 3 + 2) * 5 + n % 3 - k % 3 + 2] += v


@nb.njit(cache=True, nogil=True, fastmath=True)
def _multiply(rows: Array, ys: Array, xs: Array, plane: Array, out: Array) -> None:
    """Apply the stencils to a plane that is padded by 2.  # (U, 25), (U,) twice, (h+4, w+4) -> (U,)"""
    for u in range(rows.shape[0]):
        y, x = ys[u], xs[u]
        total = np.float32(0.0)
        for j in range(5):
            for i in range(5):
                total += rows[u, j * 5 + i] * plane[y + j, x + i]
        out[u] = total


@nb.njit(cache=True, nogil=True, fastmath=True)
def _solve(rows: Array, ys: Array, xs: Array, lean: Array, known: Array, prior: Array, steps: int) -> Array:
    """Solve for alpha by conjugate gradients, preconditioned by the diagonal.

    Args:
        rows: stencils.  # (U, 25)
        ys, xs: where the unknown pixels are.  # (U,)
        lean: pull towards `prior`.  # (U,)
        known: alpha of known pixels, 0 at unknown ones, padded by 2.  # (h+4, w+4)
        prior: what the network thinks; also the start.  # (U,)
        steps: at most so many.
    """
    n = rows.shape[0]
    right = np.empty(n, np.float32)
    _multiply(rows, ys, xs, known, right)
    x = prior.copy()
    plane = np.zeros_like(known)
    diagonal = np.empty(n, np.float32)
    for u in range(n):
        diagonal[u] = rows[u, 12] + lean[u] + 1e-6
        plane[ys[u] + 2, xs[u] + 2] = x[u]
    product = np.empty(n, np.float32)
    _multiply(rows, ys, xs, plane, product)
    r = lean * prior - right - product - lean * x
    p = r / diagonal
    size = float((r * p).sum())
    first = size
    for _ in range(steps):
        for u in range(n):
            plane[ys[u] + 2, xs[u] + 2] = p[u]
        _multiply(rows, ys, xs, plane, product)
        bend = 0.0
        for u in range(n):
            product[u] += lean[u] * p[u]
            bend += p[u] * product[u]
        step = np.float32(size / (bend + 1e-20))
        new = 0.0
        for u in range(n):
            x[u] += step * p[u]
            r[u] -= step * product[u]
            new += r[u] * r[u] / diagonal[u]
        if new < 2e-5 * first:
            break
        turn = np.float32(new / size)
        for u in range(n):
            p[u] = r[u] / diagonal[u] + turn * p[u]
        size = new
    return x
