"""Where the ground behind a person comes from: a few shifts of what is seen, one for every hidden place.

Copied from anywhere, texture is a patchwork; a piece that is copied as a whole is ground. So
the hidden places share a small set of shifts, found by what fits along the rim of the
hole, and each takes one so that pieces meet the rim and each other where it does not show.
The shifts are chosen on a small picture and made exact, like the seams, on finer ones;
then the pieces are lifted or lowered in light so that no seam ends with a step.

Source: Pritch, Kav-Venaki, Peleg, "Shift-map image editing", 2009; He, Sun, "Statistics of patch offsets for image
completion", 2012; Perez, Gangnet, Blake, "Poisson image editing", 2003.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from studio.engines.rig import ground, shift_kernels
from studio.engines.rig.fill import pull_push, weigh
from studio.engines.rig.labelling import IMPOSSIBLE, label

Array = NDArray[Any]
FloatArray = NDArray[np.float32]

# Lengths are shares of the eye distance, sizes of pictures pixels of it. Set by eye on the developers' portraits.
SEARCHED, FINER = 20.0, (40.0, 80.0)  # where shifts are chosen, and where they and their seams are made exact
DEEPEST = 0.55  # deeper behind the person the plate is never uncovered
REACH = 1.8  # longest shift
SHORTEST = 0.15
KEPT = 3  # shifts that are remembered for each of them
MOST = 24  # shifts
INSIDE = 0.05  # weight of what is inside against the rim when shifts are chosen: the wider of two that fit
WITNESSES = 8  # windows by which a shift is made exact, at most
EXACT = 0.1  # half their size
THING = 4000.0  # what copying something that stands before a clear ground costs
FAR = 40.0  # what the longest shift costs more than none
STEP = (40.0, 240.0)  # gray levels that are evened out where pieces meet: on busy ground, on a clear one
LETS_GO = (0.5, 0.12)  # how far evening out runs: of light, up to the lesser step; of what is beyond, as a cut letter
EVENED = (30, 8)  # sweeps of it
TORN = (14.0, 40.0)  # gray levels by which pieces miss each other: a seam that is not seen, and one that is a tear
TORN_GRAIN = 0.06  # what is finer is texture
TORN_REACH = 0.10  # around a tear as much of the ground is uncertain
SURE = 0.9  # share of a small pixel that must be seen


@dataclass(frozen=True)
class Seen:
    """The ground that is seen, small.

    Attributes:
        colors: RGB, anything where hidden.  # (h, w, 3) float32
        share: how much of a pixel is seen, 0..1.  # (h, w) float32
        eye: eye distance in its pixels.
    """

    colors: FloatArray
    share: FloatArray
    eye: float

    @property
    def known(self) -> NDArray[np.bool_]:
        """True where it is seen.  # (h, w)"""
        return np.asarray(self.share > SURE)

    def clear_of_rim(self, half: int) -> NDArray[np.bool_]:
        """True where it is seen as far around as `half` pixels, within the picture.  # (h, w)"""
        window = np.ones((2 * half + 1,) * 2, np.uint8)
        return np.asarray(cv2.erode(self.known.astype(np.uint8), window, borderValue=0) > 0)


@dataclass(frozen=True)
class ShiftMap:
    """What to show in the hole.

    Attributes:
        shifts: rows and columns from a hidden pixel of the full picture to what is shown there.  # (K, 2)
        labels: number of the shift, below 0 where there is none.  # (h, w)
        change: what to add to the color found there.  # (h, w, 3)
        colors: the seen picture with the hole filled, softly where nothing was found.  # (h, w, 3)
        torn: how far pieces do not meet near there, 0..1.  # (h, w)
    """

    shifts: NDArray[np.int64]
    labels: NDArray[np.int64]
    change: FloatArray
    colors: FloatArray
    torn: FloatArray


def shrunk(picture: Array, hole: Array, eye: float, wanted: float) -> Seen:
    """Return what is seen at a smaller size; never larger.

    Args:
        picture: RGB.  # (H, W, 3) float32
        hole: True where the ground is hidden.  # (H, W)
        eye: eye distance in pixels.
        wanted: eye distance in pixels of the smaller picture.
    """
    scale = min(1.0, wanted / eye)
    size = (max(round(hole.shape[1] * scale), 8), max(round(hole.shape[0] * scale), 8))
    seen = (~hole).astype(np.uint8)
    colors: Array = cv2.copyTo(picture, seen)
    share: Array = seen.astype(np.float32)
    if scale < 1:
        share = cv2.resize(share, size, interpolation=cv2.INTER_AREA)
        colors = cv2.resize(colors, size, interpolation=cv2.INTER_AREA) / np.maximum(share, 0.02)[..., None]
    return Seen(np.ascontiguousarray(colors, np.float32), np.ascontiguousarray(share), eye * scale)


def _coarser(seen: Seen, wanted: float) -> Seen:
    """Return what is seen at an even smaller size.

    Args:
        wanted: eye distance in pixels of the smaller picture.
    """
    scale = min(1.0, wanted / seen.eye)
    if scale == 1:
        return seen
    size = (max(round(seen.share.shape[1] * scale), 8), max(round(seen.share.shape[0] * scale), 8))
    share = cv2.resize(seen.share, size, interpolation=cv2.INTER_AREA)
    colors: Array = np.empty_like(seen.colors)
    weigh(seen.colors, seen.share, colors)
    colors = cv2.resize(colors, size, interpolation=cv2.INTER_AREA) / np.maximum(share, 0.02)[..., None]
    return Seen(np.ascontiguousarray(colors, np.float32), np.ascontiguousarray(share, np.float32), seen.eye * scale)


def find(picture: Array, hole: Array, eye: float) -> ShiftMap | None:
    """Find what to show behind the person; None where too little ground is seen.

    Args:
        picture: RGB.  # (H, W, 3) float32
        hole: True where the ground is hidden.  # (H, W)
        eye: eye distance in pixels.
    """
    finest = shrunk(picture, hole, eye, FINER[-1])
    seen = _coarser(finest, SEARCHED)
    color, clear = ground.prevailing(seen.colors, seen.share, seen.eye)
    thing = ground.single_things(seen.colors, seen.known, color, clear, seen.eye)
    found = _shifts(seen, _with_lines(seen, finest), thing)
    if found is None:
        return None
    shifts, labels, rim, fits = found
    apart: Array = thing
    for wanted in FINER:
        if seen.eye > 0.99 * eye:
            break  # the picture has no more
        finer = finest if wanted == FINER[-1] else _coarser(finest, wanted)
        rim, exact = _exact(finer, seen, shifts, rim, fits)
        labels = _enlarged(labels, finer)
        ys, xs = np.where(labels >= 0)
        apart = _finer_things(thing, color, clear, finer)
        shift_kernels.move_seams(
            finer.colors, finer.known, finer.clear_of_rim(1), apart * np.float32(THING * seen.eye / finer.eye), ys, xs,
            exact, shift_kernels.CAP, labels,
        )  # fmt: skip
        _leave_out(labels, apart, exact)
        seen, shifts = finer, exact
    free = (seen.share * (1 - np.clip(apart, 0, 1))).astype(np.float32)
    change, colors = _laid(seen, shifts, labels, pull_push(seen.colors, free, eager=4.0), clear)
    torn = _torn(seen, shifts, labels, change)
    if seen.eye < 0.99 * eye:
        whole = Seen(picture, (~hole).astype(np.float32), eye)
        _, shifts = _exact(whole, seen, shifts, rim, fits)
    return ShiftMap(shifts, labels, change, colors, torn)


def _exact(finer: Seen, coarser: Seen, shifts: Array, rim: Array, fits: Array) -> tuple[Array, Array]:
    """Return windows and shifts of a coarser picture at the size of a finer one, and exact there.  # (2, R), (K, 2)"""
    ratio = finer.eye / coarser.eye
    rim = np.clip((rim + 0.5) * ratio, 0, np.array(finer.share.shape)[:, None] - 1).astype(np.int64)
    exact = np.round(shifts * ratio).astype(np.int64)
    half, apart = round(EXACT * finer.eye), max(round(finer.eye / FINER[-1]), 1)
    shift_kernels.make_exact(finer.colors, finer.known, rim[0], rim[1], fits, exact.copy(), half, apart, exact)
    return rim, exact


def _with_lines(seen: Seen, finest: Seen) -> FloatArray:
    """Return colors and, as two more, how much brighter and darker the finer picture is in places.  # (h, w, 5)

    Joints between bricks are too thin for the small picture, and are what a shift must meet.
    """
    light = finest.colors.mean(2)
    width = max(round(finest.eye / seen.eye), 1) + 1
    window = np.ones((width, width), np.uint8)
    size = seen.share.shape[::-1]
    most = cv2.dilate(np.where(finest.known, light, -1000).astype(np.float32), window)
    least = cv2.erode(np.where(finest.known, light, 1000).astype(np.float32), window)
    mean = seen.colors.mean(2)
    above = cv2.resize(most, size, interpolation=cv2.INTER_AREA) - mean
    below = mean - cv2.resize(least, size, interpolation=cv2.INTER_AREA)
    out = np.dstack([seen.colors, np.clip(above, 0, 255), np.clip(below, 0, 255)])
    out[~seen.known] = 0
    return np.ascontiguousarray(out, np.float32)


def _shifts(seen: Seen, look: FloatArray, thing: Array) -> tuple[Array, Array, Array, Array] | None:
    """Choose shifts, and one of them for every hidden place.

    Args:
        look: what is compared.  # (h, w, C)
        thing: see `ground.things`.  # (h, w)

    Returns:
        Rows and columns of each shift  # (K, 2); its number per pixel, below 0 where none  # (h, w);
        rows and columns of windows along the rim  # (2, R); which shifts fit them  # (R, K).
    """
    known, whole, reach = seen.known, seen.clear_of_rim(shift_kernels.HALF), int(REACH * seen.eye)
    deep = cv2.distanceTransform((~known).astype(np.uint8), cv2.DIST_L2, 5)
    ys, xs = np.where(~known & (deep <= DEEPEST * seen.eye))
    rim = np.array(np.where(known & (cv2.dilate((~known).astype(np.uint8), np.ones((3, 3))) > 0)))
    rim = rim[:, np.unique(rim[0] // 2 * 100_000 + rim[1] // 2, return_index=True)[1]]  # every second one is enough
    if not len(ys) or rim.shape[1] < 4 or whole.sum() < 30:
        return None
    tried = np.zeros((rim.shape[1], KEPT, 2), np.int64)
    misfit = np.full((rim.shape[1], KEPT), 1e30, np.float32)
    shift_kernels.search_rim(
        look, known, whole, rim[0], rim[1], reach, max(round(SHORTEST * seen.eye), 2), tried, misfit
    )
    pool = np.unique(tried[misfit < 1e29].reshape(-1, 2), axis=0)
    if not len(pool):
        return None
    fit = np.empty((rim.shape[1], len(pool)), np.float32)
    shift_kernels.fit_rim(look, known, whole, rim[0], rim[1], pool, shift_kernels.CAP, fit)
    fit += FAR * np.linalg.norm(pool, axis=1).astype(np.float32) / reach
    few = slice(None, None, max(len(ys) // 400, 1))
    inside = np.minimum(_costs(look, seen, thing, ys[few], xs[few], pool), shift_kernels.CAP)
    among = np.concatenate([fit, np.float32(INSIDE * len(fit) / len(inside)) * inside])
    chosen = shift_kernels.choose_covering(among, MOST)
    shifts = np.ascontiguousarray(pool[chosen])
    costs = _costs(look, seen, thing, ys, xs, shifts)
    able = costs.min(1) < IMPOSSIBLE
    ys, xs, costs = ys[able], xs[able], np.ascontiguousarray(costs[able])
    labels = np.full(known.shape, -1, np.int64)
    if len(ys):
        index = np.full(known.shape, -1, np.int32)
        index[ys, xs] = np.arange(len(ys))
        height, width = known.shape
        from_y = np.clip(ys[:, None] + shifts[None, :, 0], 0, height - 1)
        from_x = np.clip(xs[:, None] + shifts[None, :, 1], 0, width - 1)
        taken = label(costs, look[from_y, from_x], index, shift_kernels.CAP)
        labels[ys, xs] = taken
        _leave_out(labels, thing, shifts)
    fit = fit[:, chosen]
    order = np.argsort(np.argsort(fit, 0, kind="stable"), 0)  # of every shift's windows
    return shifts, labels, rim, (fit < shift_kernels.CAP) & (order < WITNESSES)


def _torn(seen: Seen, shifts: Array, labels: Array, change: Array) -> FloatArray:
    """Return how far pieces do not meet: where either of two neighbors would show something else in the other's place.

    Args:
        shifts, labels, change: see `ShiftMap`.

    Returns:
        0..1, also around such seams, within the hole.  # (h, w)
    """
    sigma = TORN_GRAIN * seen.eye  # grains of a texture need not meet, only its tone
    colors: Array = np.empty_like(seen.colors)
    weigh(seen.colors, seen.share, colors)
    colors = cv2.GaussianBlur(colors, (0, 0), sigma) / (cv2.GaussianBlur(seen.share, (0, 0), sigma) + 1e-3)[..., None]
    misfit = np.zeros(labels.shape, np.float32)
    shift_kernels.misfit_of_seams(colors, seen.known, labels, shifts, change, misfit)
    low, high = TORN
    torn = np.clip((misfit - low) / (high - low), 0, 1)
    reach = TORN_REACH * seen.eye
    side = 2 * round(reach) + 1
    near = cv2.dilate(torn, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (side, side)))
    return np.asarray(cv2.GaussianBlur(near, (0, 0), 0.5 * reach), np.float32)


def _finer_things(thing: Array, color: Array, clear: Array, finer: Seen) -> FloatArray:
    """Return what stands before the ground with its outlines, soft rims and all, at a larger size.

    Args:
        thing, color, clear: at the smaller size; see `ground`.
        finer: the picture at the larger one.
    """
    size = finer.share.shape[::-1]
    near = cv2.dilate((thing > 0.5).astype(np.uint8), np.ones((3, 3), np.uint8))
    near = cv2.resize(near, size, interpolation=cv2.INTER_NEAREST)
    color, clear = (cv2.resize(plane, size, interpolation=cv2.INTER_LINEAR) for plane in (color, clear))
    out = ground.things(finer.colors, color, clear) * finer.known * near
    return np.asarray(cv2.dilate(out, np.ones((5, 5), np.uint8)), np.float32)


def _leave_out(labels: Array, thing: Array, shifts: Array) -> None:
    """Take, in place, shifts from where they bring a thing that no other shift spares: what is cut there ends softly.

    Args:
        labels: number of the shift per pixel, below 0 where none; changed to -2.  # (h, w)
        thing: see `ground.things`.  # (h, w)
        shifts: (K, 2)
    """
    ys, xs = np.where(labels >= 0)
    height, width = labels.shape
    from_y = np.clip(ys + shifts[labels[ys, xs], 0], 0, height - 1)
    from_x = np.clip(xs + shifts[labels[ys, xs], 1], 0, width - 1)
    brings = thing[from_y, from_x] > 0.5
    labels[ys[brings], xs[brings]] = -2


def _costs(look: Array, seen: Seen, thing: Array, ys: Array, xs: Array, shifts: Array) -> FloatArray:
    """Return what every shift costs at some hidden pixels.  # (N, K)"""
    out = np.empty((len(ys), len(shifts)), np.float32)
    known, whole = seen.known, seen.clear_of_rim(1)
    shift_kernels.write_costs(
        look, known, whole, (THING * thing).astype(np.float32), ys, xs, shifts, shift_kernels.CAP, FAR, out
    )
    return out


def _enlarged(labels: Array, finer: Seen) -> Array:
    """Return labels at a larger size; what is hidden only there takes those beside it.  # (h, w)"""
    height, width = finer.share.shape
    out = cv2.resize(labels.astype(np.int16), (width, height), interpolation=cv2.INTER_NEAREST).astype(np.int64)
    band = round(1.5 * height / labels.shape[0])
    near = cv2.dilate((out != -1).astype(np.uint8), np.ones((2 * band + 1,) * 2)) > 0
    bare = ~finer.known & (out == -1) & near
    if bare.any():
        _, nearest = cv2.distanceTransformWithLabels(
            (out == -1).astype(np.uint8), cv2.DIST_L2, 3, labelType=cv2.DIST_LABEL_PIXEL
        )
        table = np.zeros(int(nearest.max()) + 1, np.int64)
        table[nearest[out != -1]] = out[out != -1]
        out[bare] = table[nearest[bare]]
    out[finer.known] = -1
    return out


def _laid(seen: Seen, shifts: Array, labels: Array, bare: Array, clear: Array) -> tuple[FloatArray, FloatArray]:
    """Put the pieces in their places; see `ShiftMap` for what is returned.

    Args:
        shifts: (K, 2)
        labels: number of the shift per pixel, below 0 where none; changed where it leads nowhere.  # (h, w)
        bare: the ground without what stands before it.  # (h, w, 3)
        clear: of `ground.prevailing`.  # any size
    """
    known = seen.known
    height, width = known.shape
    ys, xs = np.where(labels >= 0)
    from_y, from_x = ys + shifts[labels[ys, xs], 0], xs + shifts[labels[ys, xs], 1]
    there = (from_y >= 0) & (from_x >= 0) & (from_y < height) & (from_x < width)
    there[there] = known[from_y[there], from_x[there]]
    labels[ys[~there], xs[~there]] = -1
    ys, xs, from_y, from_x = (part[there] for part in (ys, xs, from_y, from_x))
    clear = cv2.resize(clear, (width, height), interpolation=cv2.INTER_LINEAR)
    copied = seen.colors.copy()
    copied[ys, xs] = seen.colors[from_y, from_x]
    cut = labels == -2
    copied[cut] = bare[cut]  # in the place of a thing the ground goes on
    ys, xs = np.where((labels >= 0) | cut)
    least, most = np.zeros_like(clear), np.full_like(clear, STEP[0])
    change = np.zeros((height, width, 3), np.float32)
    for far, sweeps in zip(LETS_GO, EVENED, strict=True):
        part = np.zeros_like(change)
        hold = (1 / (far * seen.eye)) ** 2
        shift_kernels.even_out(seen.colors, copied, known, labels, ys, xs, shifts, least, most, hold, sweeps, part)
        change += part
        least, most = most, np.asarray(STEP[0] + (STEP[1] - STEP[0]) * clear, np.float32)
    laid = np.zeros(known.shape, np.float32)
    laid[ys, xs] = 1
    filled = np.where(known, seen.share, laid).astype(np.float32)
    colors = copied + change
    return pull_push(change, laid), pull_push(colors, filled, eager=4.0)
