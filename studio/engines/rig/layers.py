"""The photo taken apart into layers that can move: person, background, card.

The person is cut out with the matte and laid, as premultiplied color, over a
background plate in which the hole behind the person has been filled once, so
the background stands still however the head moves.

Hair, ears, neck and shoulders have no mesh. They ride on the *card*: a regular
grid over the picture whose vertices carry a depth (the face's own near the
face, the plane of the ears further out), a share of the head's rotation (all of
it on the head, little on the shoulders) and the expression of the nearest skin.
The face mesh is drawn over the card and agrees with it along its border, so no
crack can open between them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from studio.engines.rig import kernels
from studio.engines.rig.asset import CHIN, HeadAsset
from studio.engines.rig.fit import HeadFit

Array = NDArray[Any]
FloatArray = NDArray[np.float32]

EAR_PLANE_Z = -0.62  # decimetres behind the eyes: hair and outline turn as if at this depth
SHOULDER_SHARE = 0.06  # of the head's motion that the shoulders follow
NEIGHBOURS = 6
RIM = 0.10  # of the eye distance: how far around the matte the picture goes with the person


def pull_push(values: Array, weights: Array) -> FloatArray:
    """Fill holes smoothly: average down a pyramid, then fill from coarse to fine.

    Args:
        values: (H, W, C) float32
        weights: 1 where known, 0 in the holes.  # (H, W) float32

    Returns:
        (H, W, C); known values stay.
    """
    pyramid = [(values * weights[..., None], weights)]
    while min(pyramid[-1][1].shape) > 2:
        v, w = pyramid[-1]
        small = cv2.pyrDown(v)
        pyramid.append((small.reshape(*small.shape[:2], -1), cv2.pyrDown(w)))
    v, w = pyramid[-1]
    filled = v / (w[..., None] + 1e-8)
    for v, w in pyramid[-2::-1]:
        up = cv2.resize(filled, (w.shape[1], w.shape[0]), interpolation=cv2.INTER_LINEAR).reshape(v.shape)
        known = np.clip(w, 0, 1)[..., None]
        filled = known * (v / (w[..., None] + 1e-8)) + (1 - known) * up
    return np.asarray(filled, np.float32)


def smoothstep(x: Array, low: float, high: float) -> Array:
    """Return Hermite interpolation 0..1 between two edges."""
    t = np.clip((x - low) / (high - low), 0.0, 1.0)
    return np.asarray(t * t * (3 - 2 * t))


@dataclass(frozen=True)
class Layers:
    """The picture as premultiplied person over a plate.

    Attributes:
        person: premultiplied RGB and alpha 0..1 with `pad` pixels around.  # (H+2p, W+2p, 4) float32
        plate: background with the person filled in.  # (H, W, 3) float32
        alpha: person matte.  # (H, W) float32 0..1
        pad: pixels added on each side, mirrored, for heads cut by the border.
    """

    person: FloatArray
    plate: FloatArray
    alpha: FloatArray
    pad: int


def split(image: Array, matte: Array, face_mask: Array, eye_distance: float) -> Layers:
    """Cut the person out of a picture.

    Args:
        image: RGB.  # (H, W, 3) uint8
        matte: person matte.  # (H, W) uint8
        face_mask: True where the head mesh lies; always person.  # (H, W) bool
        eye_distance: pixels between the outer eye corners.
    """
    alpha = matte.astype(np.float32) / 255
    soft_face = cv2.GaussianBlur(face_mask.astype(np.float32), (0, 0), max(0.8, 0.02 * eye_distance))
    alpha = np.maximum(alpha, np.clip(soft_face * 2 - 1, 0, 1))
    # Wisps of hair and the blur of an outline lie outside the matte. A rim of the
    # picture around the person goes with the person, so that none of it stays behind.
    outside = cv2.distanceTransform((alpha < 0.3).astype(np.uint8), cv2.DIST_L2, 5) / eye_distance
    alpha = np.maximum(alpha, 1 - smoothstep(outside, 0.02, RIM)).astype(np.float32)
    alpha[alpha < 0.02] = 0.0
    alpha[alpha > 0.98] = 1.0
    plate = _fill_plate(image, outside < RIM * 1.25, eye_distance)
    # Premultiplied color is whatever completes the plate to the photo, so that the
    # unmoved composite is the photo exactly.
    person = np.concatenate([image - (1 - alpha[..., None]) * plate, alpha[..., None]], 2).astype(np.float32)
    person[alpha == 0] = 0
    plate = np.where((alpha > 0)[..., None], plate, image).astype(np.float32)
    pad = round(0.45 * eye_distance) + 2
    return Layers(_extend(person, pad, eye_distance), np.ascontiguousarray(plate), alpha, pad)


def _extend(person: Array, pad: int, eye_distance: float) -> FloatArray:
    """Continue the person beyond the picture.

    Mirrored where that is person too, else its border drawn on. Hair cut by the upper
    border is rounded off over a short way, or a second head would stand above the first.
    """
    mirrored = cv2.copyMakeBorder(person, pad, pad, pad, pad, cv2.BORDER_REFLECT_101)
    drawn_on = cv2.copyMakeBorder(person, pad, pad, pad, pad, cv2.BORDER_REPLICATE)
    solid = smoothstep(cv2.erode(mirrored[..., 3], np.ones((5, 5))), 0.6, 0.95)[..., None]
    out = mirrored * solid + drawn_on * (1 - solid)
    if person[0, :, 3].mean() < 0.8:  # a close-up filled by the head has no background to round off against
        above = (pad - np.arange(pad, dtype=np.float32)) / eye_distance
        out[:pad] *= (1 - smoothstep(above, 0.04, 0.22))[:, None, None]
    out[pad:-pad, pad:-pad] = person
    return np.ascontiguousarray(out, np.float32)


def _fill_plate(image: Array, hole: Array, eye_distance: float) -> FloatArray:
    """Continue the background behind the person.

    Only a band along the outline is ever uncovered. It is filled with the background
    mirrored at the hole's edge, which keeps its texture and grain; deeper in, the
    mirror has nothing to show and a smooth fill takes over.
    """
    if hole.all() or not hole.any():
        return image.astype(np.float32)
    smooth = pull_push(image.astype(np.float32), (~hole).astype(np.float32))
    mask = hole.astype(np.uint8)
    depth, labels = cv2.distanceTransformWithLabels(mask, cv2.DIST_L2, 5, labelType=cv2.DIST_LABEL_PIXEL)
    ys, xs = np.where(~hole)
    nearest = np.zeros((labels.max() + 1, 2), np.float32)
    nearest[labels[ys, xs]] = np.stack([xs, ys], 1)
    edge = cv2.GaussianBlur(nearest[labels], (0, 0), max(1.0, 0.06 * eye_distance))
    yy, xx = np.mgrid[: image.shape[0], : image.shape[1]].astype(np.float32)
    mx, my = 2 * edge[..., 0] - xx, 2 * edge[..., 1] - yy
    mirrored = cv2.remap(image.astype(np.float32), mx, my, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT_101)
    known = cv2.remap((1 - mask).astype(np.float32), mx, my, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT_101)
    weight = known * (1 - smoothstep(depth / eye_distance, 0.25, 0.7))
    weight = cv2.GaussianBlur(weight.astype(np.float32), (0, 0), max(0.8, 0.02 * eye_distance))[..., None]
    filled = mirrored * weight + smooth * (1 - weight)
    return np.where(hole[..., None], filled, image).astype(np.float32)


@dataclass(frozen=True)
class Card:
    """The grid that carries everything without a mesh.

    Attributes:
        points: x, y in picture pixels, z in pixels towards the viewer.  # (G, 3)
        triangles: (T, 3) int32
        share: share of the head's rotation.  # (G,)
        neighbours: mesh vertices whose expression each point follows.  # (G, 6) int32
        weights: how much, fading away from the face.  # (G, 6)
    """

    points: FloatArray
    triangles: NDArray[np.int32]
    share: FloatArray
    neighbours: NDArray[np.int32]
    weights: FloatArray


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
    a, b, c, d = index[:-1, :-1].ravel(), index[:-1, 1:].ravel(), index[1:, 1:].ravel(), index[1:, :-1].ravel()
    triangles = np.concatenate([np.stack([a, d, b], 1), np.stack([b, d, c], 1)]).astype(np.int32)
    points = np.concatenate([flat, depth.reshape(-1, 1)], 1).astype(np.float32)
    return Card(points, triangles, share.astype(np.float32), neighbours, weights)


def _card_depth(
    asset: HeadAsset, fit: HeadFit, mesh: Array, drawn: Array, box: tuple[float, ...], shape: tuple[int, int]
) -> FloatArray:
    """Depth of the grid: the face's own, the ear plane outside, smooth between.  # (rows, columns)"""
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
    silhouette = np.zeros((h, w), np.uint8)
    whole = asset.triangles_of("skin", "ear", "socket", "mouth_interior")
    kernels.rasterize(
        small, whole, np.ones(len(whole), np.uint8), mesh[:, 2:].astype(np.float32), buffer.copy(), silhouette,
        values.copy(), 0,
    )  # fmt: skip
    ring = np.where((np.abs(asset.mean[:, 2] - EAR_PLANE_Z) < 0.14) & (asset.mean[:, 1] > -0.7))[0]
    design = np.concatenate([mesh[ring, :2], np.ones((len(ring), 1))], 1)
    plane = np.linalg.lstsq(design, mesh[ring, 2], rcond=None)[0]
    yy, xx = np.mgrid[:h, :w]
    plane_depth = plane[0] * (xx / scale[0] + x0) + plane[1] * (yy / scale[1] + y0) + plane[2]
    away = cv2.distanceTransform(1 - silhouette, cv2.DIST_L2, 3) / scale[0] / fit.eye_distance
    on_face = tag > 0
    known = np.where(on_face | (away > 0.10), 1.0, 0.0).astype(np.float32)
    depth = np.where(on_face, values[..., 0], plane_depth).astype(np.float32)
    filled = pull_push(depth[..., None], known)[..., 0]
    filled = np.where(on_face, filled, cv2.GaussianBlur(filled, (0, 0), fine * 0.8))
    return np.asarray(cv2.resize(filled, (columns, rows), interpolation=cv2.INTER_AREA), np.float32)


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
    from scipy.spatial import cKDTree

    rows = np.unique(drawn)
    distance, near = cKDTree(mesh[rows, :2]).query(points, k=NEIGHBOURS)
    inverse = 1.0 / (distance / eye + 0.01) ** 3
    weights = inverse / inverse.sum(1, keepdims=True)
    fade = np.exp(-((np.maximum(distance[:, 0] / eye - 0.05, 0) / 0.33) ** 2))
    return rows[near].astype(np.int32), (weights * fade[:, None]).astype(np.float32)
