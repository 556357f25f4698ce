"""The photo taken apart into layers that can move: person, background, card.

The person is cut out (`matting`) and laid, as premultiplied color, over a
background in which the hole behind the person has been filled once (`plate`),
so the background stands still however the head moves.

Hair, ears, neck and shoulders have no mesh. They ride on the *card*: a regular
grid over the picture whose vertices carry a depth (the face's own near the
face, the plane of the ears further out), a share of the head's rotation (all of
it on the head, little on the shoulders) and the expression of the nearest skin.
The face mesh passes over into the card along its border, so no crack can open
between them. The card's depth never falls so steeply that the sheet would fold
over itself in a turn, but for under the jaw, which covers the fold; where the side
of the picture cuts hair, the border holds it, and where its top does, a low dome
ends the head.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from studio.engines.rig import kernels, matting
from studio.engines.rig.asset import CHIN, HAIRLINE, JAW, HeadAsset
from studio.engines.rig.fill import most_of
from studio.engines.rig.fill import pull_push as pull_push
from studio.engines.rig.fill import smoothstep as smoothstep
from studio.engines.rig.fit import HeadFit
from studio.engines.rig.plate import complete

Array = NDArray[Any]
FloatArray = NDArray[np.float32]

EAR_PLANE_Z = -0.62  # decimetres behind the eyes: hair and outline turn as if at this depth
SHOULDER_SHARE = 0.06  # of the head's motion that the shoulders follow
NEIGHBOURS = 6
STEEPEST = 1.7  # depth over width of the card: a steeper sheet folds over itself in a turn of 20 degrees
STEEPEST_DOWN = 2.8  # below the chin, which covers its folds in a nod; on a flatter sheet the neck leans with a turn
STEEPEST_AT_NECK = (3.0, 8.0)  # across and down under the jaw, which covers what folds there
UNDER_JAW = (0.04, 0.10)  # of the eye distance from the drawn face: what is nearer may be the jaw's own outline
SLACK = 40.0  # gray levels by which the person's color may bend so that the unmoved picture is the photo
UNLIKE = (2.0, 10.0)  # gray levels from the completed background: below, a mixed pixel is background itself
OUTLINE = (0.02, 0.10)  # of the eye distance: what lies nearer to the person is its outline's, beyond it is ground
DOUBT_EYE = 48.0  # pixels of eye distance at which patches of doubt are looked for
DOUBT = (0.1, 0.92)  # alpha of a patch in doubt
EVEN = 0.06  # standard deviation of alpha within it
NO_GROUND = 30.0  # gray levels from the completed background from which it is none
DOME = 0.3  # height over half width of what ends a head cut by the upper border
CUT_HAIR = (0.1, 0.3)  # of the eye distance from border to hairline: below, it cuts the forehead; above, only hair
PINNED = 0.9  # of the eye distance: how far inside the border of the picture hair begins to be held by it


@dataclass(frozen=True)
class Layers:
    """The picture as premultiplied person over a plate.

    Attributes:
        person: premultiplied RGB and alpha 0..1 with `pad` pixels around.  # (H+2p, W+2p, 4) float32
        plate: background with the person filled in.  # (H, W, 3) float32
        alpha: person matte.  # (H, W) float32 0..1
        rest: what the unmoved layers leave of the photo, as stray hair before a calm wall.  # (H, W, 3)
        loose: how far that belongs to the person's outline, with which it goes, 0..1.  # (H, W)
        pad: pixels added on each side, for heads cut by the border.
    """

    person: FloatArray
    plate: FloatArray
    alpha: FloatArray
    rest: FloatArray
    loose: FloatArray
    pad: int


def split(image: Array, matte: Array, face: Array, lobes: Array, eye_distance: float) -> Layers:
    """Cut the person out of a picture.

    Args:
        image: RGB.  # (H, W, 3) uint8
        matte: person matte.  # (H, W) uint8
        face: True where the picture surely shows the face; always person.  # (H, W) bool
        lobes: ear lobes in the picture, pixels.  # (2, 2)
        eye_distance: pixels between the outer eye corners.
    """
    work = matting.work_size(image, eye_distance)
    alpha = matting.refine(image, work, matte, face, lobes, eye_distance)
    alpha[alpha < 0.02] = 0.0
    alpha[alpha > 0.98] = 1.0
    color, background = matting.colors(image, work, alpha, eye_distance)
    plate = complete(image, background, alpha, eye_distance)
    _clear(alpha, image, plate)
    _decide(alpha, color, image, plate, eye_distance)
    # Whatever completes the plate to the photo, as far as it can be the person's color.
    person = np.empty((*alpha.shape, 4), np.float32)
    rest = np.empty_like(plate)
    kernels.premultiply(image, alpha, color, plate, SLACK, person, rest)
    pad = round(0.45 * eye_distance) + 2
    away = cv2.distanceTransform((alpha <= 0).astype(np.uint8), cv2.DIST_L2, 3) / eye_distance
    loose = np.clip((OUTLINE[1] - away) / (OUTLINE[1] - OUTLINE[0]), 0, 1).astype(np.float32)
    return Layers(_extend(person, pad, eye_distance), np.ascontiguousarray(plate), alpha, rest, loose, pad)


def whole(image: Array, eye_distance: float) -> Layers:
    """Take a picture for person all over: for faces that move nothing that lies behind them.

    Args:
        image: RGB.  # (H, W, 3) uint8
        eye_distance: pixels between the outer eye corners.
    """
    alpha = np.ones(image.shape[:2], np.float32)
    plate = image.astype(np.float32)
    person = np.concatenate([plate, alpha[..., None]], 2)
    pad = round(0.45 * eye_distance) + 2
    return Layers(_extend(person, pad, eye_distance), plate, alpha, np.zeros_like(plate), alpha, pad)


def _clear(alpha: Array, image: Array, plate: Array) -> None:
    """Take for background what looks like the completed background, in place.

    On even ground alpha is undecided, and a haze taken along by the head would show.
    """
    ys, xs = np.where((alpha > 0) & (alpha < 0.6))
    near = np.ones((3, 3), np.uint8)  # a pattern that goes on a pixel beside where it was is the same one
    most, least = cv2.dilate(plate, near)[ys, xs], cv2.erode(plate, near)[ys, xs]
    unlike = np.maximum(image[ys, xs] - most, least - image[ys, xs]).max(1)
    alpha[ys, xs] *= smoothstep(unlike, *UNLIKE)


def _decide(alpha: Array, color: Array, image: Array, plate: Array, eye_distance: float) -> None:
    """Take for person, in place, what the matte leaves in doubt as a whole and what is no background.

    A knot or a tail of hair that the network half believes in comes out as one even half-transparent patch; loose hair,
    which is half transparent indeed, is never even.

    Args:
        alpha: changed.  # (H, W)
        color: the person's, changed with it.  # (H, W, 3)
        image: RGB.  # (H, W, 3)
        plate: the completed background.  # (H, W, 3)
        eye_distance: pixels between the outer eye corners.
    """
    scale = min(1.0, DOUBT_EYE / eye_distance)
    size = (max(round(alpha.shape[1] * scale), 4), max(round(alpha.shape[0] * scale), 4))
    small = cv2.resize(alpha, size, interpolation=cv2.INTER_AREA)
    shrunk = cv2.resize(image, size, interpolation=cv2.INTER_AREA).astype(np.float32)
    unlike = most_of(cv2.absdiff(shrunk, cv2.resize(plate, size, interpolation=cv2.INTER_AREA)))
    mean = cv2.blur(small, (3, 3))
    uneven = np.sqrt(np.maximum(cv2.blur(small * small, (3, 3)) - mean * mean, 0))
    even: Array = ((small > DOUBT[0]) & (small < DOUBT[1]) & (uneven < EVEN) & (unlike > NO_GROUND)).astype(np.uint8)
    even = cv2.morphologyEx(even, cv2.MORPH_OPEN, np.ones((3, 3), np.uint8))
    if not even.any():
        return
    near = cv2.dilate(even, np.ones((5, 5), np.uint8)) * (unlike > NO_GROUND)
    raised = cv2.resize(cv2.blur(near.astype(np.float32), (3, 3)), alpha.shape[::-1], interpolation=cv2.INTER_LINEAR)
    raised *= alpha > 0.02
    alpha += (1 - alpha) * raised
    color += (image - color) * raised[..., None]


def _extend(person: Array, pad: int, eye_distance: float) -> FloatArray:
    """Continue the person beyond the picture by its border, softer along it the further out.  # (H+2p, W+2p, 4)

    Nothing is mirrored: a mirrored head looks like a second one.
    """
    out = cv2.copyMakeBorder(person, pad, pad, pad, pad, cv2.BORDER_REPLICATE)
    window = 2 * max(round(0.03 * eye_distance), 1) + 1
    further = np.clip(np.arange(pad, 0, -1, dtype=np.float32) / max(0.08 * eye_distance, 1), 0, 1)
    for axis, size in ((0, (window, 1)), (1, (1, window))):
        share = further[:, None, None] if axis == 0 else further[None, :, None]
        for part, weight in ((slice(0, pad), share), (slice(-pad, None), np.flip(share, axis))):
            at = (part, slice(None)) if axis == 0 else (slice(None), part)
            strip = np.ascontiguousarray(out[at])
            out[at] += (cv2.blur(strip, size) - strip) * weight
    _round_off(out, person[0, :, 3], pad, eye_distance)
    out[pad:-pad, pad:-pad] = person
    return np.ascontiguousarray(out, np.float32)


def _round_off(out: Array, line: Array, pad: int, eye: float) -> None:
    """End a head that the upper border cuts in a low dome over the cut, in place.

    Args:
        out: the padded person.  # (H+2p, W+2p, 4)
        line: alpha along the upper border.  # (W,)
    """
    inside = np.flatnonzero(np.diff(np.concatenate([[0], (line > 0.4).astype(np.int8), [0]])))
    x = np.arange(out.shape[1], dtype=np.float32) - pad
    height = np.zeros_like(x)
    for first, last in inside.reshape(-1, 2):
        half, centre = (last - first) / 2, (first + last - 1) / 2
        height = np.maximum(height, DOME * half * np.clip(1 - ((x - centre) / half) ** 2, 0, 1))
    above = pad - np.arange(pad, dtype=np.float32)[:, None]
    soft = max(0.03 * eye, 1.0)
    if height.max() > 0:
        # The strands below run on above: shifted up, not mirrored, and drawn in from the cut's own line.
        band = int(min(max(height.max() + soft, 3), pad, out.shape[0] - 2 * pad))
        rows = slice(pad - band, pad)
        share = np.clip((above[rows] - 1) / max(0.06 * eye, 2), 0, 1)[..., None]
        out[rows] += (out[pad : pad + band] - out[rows]) * share
    out[:pad] *= np.clip((height[None] - above) / soft + 1, 0, 1)[..., None]


@dataclass(frozen=True)
class Card:
    """The grid that carries everything without a mesh.

    Attributes:
        points: x, y in picture pixels, z in pixels towards the viewer.  # (G, 3)
        triangles: (T, 3) int32
        share: share of the head's rotation.  # (G,)
        neighbours: mesh vertices whose expression each point follows.  # (G, 6) int32
        weights: how much, fading away from the face.  # (G, 6)
        free: share of the motion, right and down, that the picture's border leaves.  # (G, 2)
    """

    points: FloatArray
    triangles: NDArray[np.int32]
    share: FloatArray
    neighbours: NDArray[np.int32]
    weights: FloatArray
    free: FloatArray


def build_card(asset: HeadAsset, fit: HeadFit, mesh: Array, drawn: Array, person: Array, pad: int) -> Card:
    """Build the card of one photo.

    Args:
        mesh: the fitted head in the picture, pixels.  # (V, 3)
        drawn: triangles that the face pass draws.  # (T, 3)
        person: person mask.  # (H, W) bool
        pad: pixels by which the grid may leave the picture.
    """
    height, width = person.shape
    eye = fit.eye_distance
    cell = max(3.0, eye / 11)
    ys, xs = np.where(person)
    x0, x1 = max(-pad + 1, xs.min() - 3 * cell), min(width + pad - 2, xs.max() + 3 * cell)
    y0, y1 = max(-pad + 1, ys.min() - 3 * cell), min(height + pad - 2, ys.max() + 3 * cell)
    columns, rows = int(np.ceil((x1 - x0) / cell)) + 1, int(np.ceil((y1 - y0) / cell)) + 1
    gx, gy = np.meshgrid(np.linspace(x0, x1, columns), np.linspace(y0, y1, rows))
    flat = np.stack([gx.ravel(), gy.ravel()], 1)
    depth = _card_depth(asset, fit, mesh, drawn, (x0, y0, x1, y1), (rows, columns))
    share = _card_share(asset, fit, mesh, flat)
    neighbours, weights = _follow_skin(mesh, drawn, flat, eye)
    index = np.arange(rows * columns).reshape(rows, columns)
    full = _full_cells(person, gx[0], gy[:, 0])
    a, b, c, d = index[:-1, :-1][full], index[:-1, 1:][full], index[1:, 1:][full], index[1:, :-1][full]
    triangles = np.concatenate([np.stack([a, d, b], 1), np.stack([b, d, c], 1)]).astype(np.int32)
    points = np.concatenate([flat, depth.reshape(-1, 1)], 1).astype(np.float32)
    hairline = float(asset.landmarks(mesh)[HAIRLINE, 1])
    free = _free_of_border(flat, person, mesh[np.unique(drawn), :2], hairline, eye)
    return Card(points, triangles, share.astype(np.float32), neighbours, weights, free)


def _full_cells(person: Array, x: Array, y: Array) -> Array:
    """Say which cells of the grid show some of the person, or what the picture's border continues; only they are drawn.

    Args:
        person: person mask.  # (H, W) bool
        x, y: of the grid's columns and rows, pixels.  # (columns,), (rows,)

    Returns:
        (rows - 1, columns - 1) bool
    """
    height, width = person.shape
    total = cv2.integral(person.astype(np.uint8))
    # A pixel is looked up between its neighbors, so that a cell reaches a pixel beyond its own.
    left, right = np.floor(x[:-1]).astype(int) - 2, np.ceil(x[1:]).astype(int) + 3
    top, bottom = np.floor(y[:-1]).astype(int) - 2, np.ceil(y[1:]).astype(int) + 3
    beyond = ((top < 0) | (bottom > height))[:, None] | ((left < 0) | (right > width))[None]
    left, right = (np.clip(v, 0, width)[None] for v in (left, right))
    top, bottom = (np.clip(v, 0, height)[:, None] for v in (top, bottom))
    inside = total[bottom, right] - total[top, right] - total[bottom, left] + total[top, left]
    return np.asarray(beyond | (inside > 0))


def _free_of_border(points: Array, person: Array, face: Array, hairline: float, eye: float) -> FloatArray:
    """Hold hair where the picture cuts it, because what lies beyond was never seen.  # (G, 2)

    Args:
        points: the card's, pixels.  # (G, 2)
        person: person mask.  # (H, W) bool
        face: vertices of the drawn face, pixels; never held.  # (N, 2)
        hairline: row of the forehead's upper end, pixels.
    """
    width = person.shape[1]
    out = np.ones((len(points), 2), np.float32)
    sides: tuple[tuple[int, Array, Any, float], ...] = (
        (1, points[:, 1], person[:3].any(0), face[:, 1].min()),
        (0, points[:, 0], person[:, :3].any(1), face[:, 0].min()),
        (0, width - 1 - points[:, 0], person[:, -3:].any(1), width - 1 - face[:, 0].max()),
    )
    for axis, distance, line, room in sides:
        cut = cv2.GaussianBlur(line.astype(np.float32)[None], (0, 0), 0.25 * eye)[0]
        wide = np.array(line.sum() / eye)  # a narrow cut, held, would be drawn out to a tuft
        cut *= 0.5 * smoothstep(wide, 0.5, 1.0) + 0.5 * smoothstep(wide, 1.4, 2.2)
        if axis == 1:  # the top of a head may sink below the border: hair that is held there is drawn out to a crest
            cut *= 1 - smoothstep(np.array(hairline / eye), *CUT_HAIR)
        held = cut[np.clip(np.round(points[:, 1 - axis]), 0, len(line) - 1).astype(int)]
        free = smoothstep(distance / eye, 0.0, float(np.clip(0.95 * room / eye, 0.05, PINNED)))
        out[:, axis] *= 1 - held * (1 - free)
    return out


def _card_depth(
    asset: HeadAsset, fit: HeadFit, mesh: Array, drawn: Array, box: tuple[float, ...], shape: tuple[int, int]
) -> FloatArray:
    """Depth of the grid: the face's own, the ear plane outside, never too steep between.  # (rows, columns)"""
    rows, columns = shape
    x0, y0, x1, y1 = box
    fine = 2  # samples per cell
    h, w = rows * fine, columns * fine
    scale = np.array([(w - 1) / (x1 - x0), (h - 1) / (y1 - y0), 1.0])
    small = ((mesh - [x0, y0, 0]) * scale).astype(np.float32)
    values = np.zeros((h, w, 1), np.float32)
    tag = np.zeros((h, w), np.uint8)
    buffer = np.full((h, w), -1e30, np.float32)
    kernels.rasterize(
        small, drawn, np.ones(len(drawn), np.uint8), mesh[:, 2:].astype(np.float32), buffer, tag, values, 0
    )
    ring = np.where((np.abs(asset.mean[:, 2] - EAR_PLANE_Z) < 0.14) & (asset.mean[:, 1] > -0.7))[0]
    design = np.concatenate([mesh[ring, :2], np.ones((len(ring), 1))], 1)
    plane = np.linalg.lstsq(design, mesh[ring, 2], rcond=None)[0]
    yy, xx = np.mgrid[:h, :w]
    plane_depth = plane[0] * (xx / scale[0] + x0) + plane[1] * (yy / scale[1] + y0) + plane[2]
    known = (tag > 0).astype(np.float32)
    inside = pull_push(values * known[..., None], known)[..., 0]  # under eyes and mouth too
    hull = np.zeros((h, w), np.uint8)
    outlines, _ = cv2.findContours(tag, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    cv2.drawContours(hull, outlines, -1, 1, -1)
    depth = np.where(hull > 0, inside, plane_depth).astype(np.float32)
    throat = _throat(asset.landmarks(small)[list(JAW), :2], hull, fit.eye_distance * float(scale[0]))
    across, down = (
        ((often + (there - often) * throat) / float(per)).astype(np.float32)
        for often, there, per in (
            (STEEPEST, STEEPEST_AT_NECK[0], scale[0]), (STEEPEST_DOWN, STEEPEST_AT_NECK[1], scale[1])
        )
    )  # fmt: skip
    kernels.limit_slope(depth, hull, across, down)
    pixel = fit.eye_distance * scale[0]  # of the eye distance, in samples
    soft = cv2.GaussianBlur(depth, (0, 0), max(0.06 * pixel, 0.8))
    own = np.clip(cv2.distanceTransform(hull, cv2.DIST_L2, 3) / (0.12 * pixel), 0, 1)
    return np.asarray(
        cv2.resize(soft + (depth - soft) * own, (columns, rows), interpolation=cv2.INTER_AREA), np.float32
    )


def _throat(jaw: Array, face: Array, eye: float) -> FloatArray:
    """Say where the card is throat: 1 below the jaw, 0 elsewhere and along the jaw's own outline.

    Args:
        jaw: its outline from ear to ear, samples.  # (N, 2)
        face: 1 on the face.  # (h, w) uint8
        eye: eye distance, samples.
    """
    out = np.zeros(face.shape, np.uint8)
    below = np.concatenate([jaw, jaw[::-1] + np.array([0, 2 * len(face)])])
    cv2.fillPoly(out, [below.round().astype(np.int32)], 1)
    away = cv2.distanceTransform(1 - face, cv2.DIST_L2, 3) / eye
    return np.asarray(out * smoothstep(away, *UNDER_JAW), np.float32)


def _card_share(asset: HeadAsset, fit: HeadFit, mesh: Array, points: Array) -> Array:
    """Share of the head's rotation: 1 on head and hair, little on the shoulders.  # (G,)"""
    eye = fit.eye_distance
    down = fit.camera.direction(np.array([0.0, -1.0, 0.0]))[:2]
    down = down / (np.linalg.norm(down) + 1e-9)
    side = np.array([-down[1], down[0]])
    chin = asset.landmarks(mesh)[CHIN, :2]
    below = (points - chin) @ down / eye
    aside = np.abs((points - chin) @ side) / eye
    neck = smoothstep(below, 0.0, 1.05)
    shoulder = smoothstep(aside, 1.2, 2.1) * smoothstep(below, -0.7, 0.15)
    return np.asarray(1 - (1 - SHOULDER_SHARE) * np.maximum(neck, shoulder))


def _follow_skin(mesh: Array, drawn: Array, points: Array, eye: float) -> tuple[NDArray[np.int32], FloatArray]:
    """Shepard weights of the nearest drawn vertices, fading away from the face."""
    rows = np.unique(drawn)
    near, distance = np.empty((len(points), NEIGHBOURS), np.int32), np.empty((len(points), NEIGHBOURS))
    kernels.nearest(points, mesh[rows, :2].astype(np.float64), near, distance)
    inverse = 1.0 / (distance / eye + 0.01) ** 3
    weights = inverse / inverse.sum(1, keepdims=True)
    fade = np.exp(-((np.maximum(distance[:, 0] / eye - 0.05, 0) / 0.33) ** 2))
    return rows[near].astype(np.int32), (weights * fade[:, None]).astype(np.float32)
