"""The fitted head as a model that other programs can load: vertices, 52 expressions, a texture taken from the photo.

The texture is unrolled from a point in front of the face: the further a point of
the head is turned away, the further out it lies. The face gets most of the
texels, and the only seam is one point at the back of the head. What the photo
does not show is taken from the other side of the head, which is mirrored and
made as bright as this one is; what neither side shows grows in from around it.
Eyes, teeth, tongue and the mouth's inside have materials of their own.
"""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from studio.domain.expression import ARKIT_NAMES, Weights
from studio.domain.face import DetectedFace
from studio.engines.base import HeadModel, Image, Matte, ModelPart
from studio.engines.rig import kernels
from studio.engines.rig.asset import HeadAsset
from studio.engines.rig.fit import HeadFit
from studio.engines.rig.layers import smoothstep

cv2.setNumThreads(1)

Array = NDArray[Any]

TEXTURE_SIDE = 1024
EYE_SIDE = 128
_SPREAD = 0.7  # below 1 the face takes more of the texture, and the back of the head less
_CENTER = np.array([0.0, -0.15, -0.55])  # decimetres: what the texture is unrolled around
_SURFACE = ("skin", "ear", "neck")
_FACING = (0.12, 0.45)  # from where on the photo is trusted
_HIDDEN_BY = 0.06  # of the eye distance
_LONGEST = 0.2  # of the texture's side: longer edges go around the point behind the head
_LEAST_SEEN = 0.02
_BEHIND = (0.34, 0.42)  # of the texture's side
_TEETH, _TONGUE, _HOLLOW = (0.96, 0.93, 0.87), (0.62, 0.30, 0.29), (0.22, 0.08, 0.08)
_SCLERA = (0.86, 0.84, 0.82)
_IRIS, _PUPIL = np.cos(np.radians(29.0)), np.cos(np.radians(12.0))
_IRIS_ROWS = ((468, 469, 470, 471, 472), (473, 474, 475, 476, 477))  # center and rim, by picture side


def head_model(
    asset: HeadAsset, fit: HeadFit, image: Image, matte: Matte, face: DetectedFace, own: Weights, pivot: Array
) -> HeadModel:
    """Make the model of a fitted head.

    Args:
        asset, fit: the head, and how it lies over the photo.
        image: the photo, RGB.  # (H, W, 3)
        matte: the person in it.  # (H, W)
        face: for the eyes' color.
        own: the photo's own weights.  # (52,)
        pivot: what the head turns about, in the asset's decimetres.  # (3,)
    """
    neutral = np.asarray(fit.neutral, np.float64)
    shown = neutral + np.tensordot(own, asset.actions, 1)
    uv = _unrolled(asset.mean)
    surface = asset.triangles_of(*_SURFACE)
    edges = np.linalg.norm(uv[surface] - uv[np.roll(surface, 1, 1)], axis=2).max(1)
    around, behind = surface[edges < _LONGEST], surface[edges >= _LONGEST]
    texture = _texture(asset, fit, image, matte, shown, uv, around)
    eyes = _eye_texture(image, face)
    uv_all = uv.copy()
    parts = [
        ModelPart("skin", around, texture=texture), ModelPart("back", behind, color=_rim_color(texture)),
    ]  # fmt: skip
    for side in ("eye_left", "eye_right"):
        rows = asset.vertices_of(side)
        uv_all[rows] = _eye_uv(asset.mean[rows])
        parts.append(ModelPart(side, asset.triangles_of(side), texture=eyes))
    parts += [
        ModelPart("teeth", asset.triangles_of("teeth_upper", "teeth_lower"), color=_TEETH),
        ModelPart("tongue", asset.triangles_of("tongue"), color=_TONGUE),
        ModelPart("inside", asset.triangles_of("mouth_interior"), color=_HOLLOW),
        ModelPart("sockets", asset.triangles_of("socket"), texture=texture),  # its outer corners lie over the skin
    ]
    to_meters = asset.millimetres_per_unit / 1000
    return HeadModel(
        vertices=(neutral * to_meters).astype(np.float32), uv=uv_all.astype(np.float32),
        targets=(asset.actions * to_meters).astype(np.float32), names=ARKIT_NAMES, weights=own.astype(np.float32),
        parts=tuple(parts), pivot=(np.asarray(pivot) * to_meters).astype(np.float32),
    )  # fmt: skip


def _unrolled(points: Array) -> Array:
    """Return where points of the head lie in the texture, 0..1 with v down.  # (V, 3) -> (V, 2)"""
    ray = points - _CENTER
    ray /= np.maximum(np.linalg.norm(ray, axis=1, keepdims=True), 1e-9)
    away = np.arccos(np.clip(ray[:, 2], -1, 1)) / np.pi  # 0 in front .. 1 behind
    flat = np.hypot(ray[:, 0], ray[:, 1])
    direction = ray[:, :2] / np.maximum(flat, 1e-9)[:, None]
    return np.asarray(0.5 + 0.49 * (away**_SPREAD)[:, None] * direction * [1, -1])


def _rim_color(texture: Image) -> tuple[float, float, float]:
    """Return the mean color of the point behind the head, which is the texture's rim; 0..1."""
    turn = np.linspace(0, 2 * np.pi, 90, endpoint=False)
    at = (TEXTURE_SIDE * (0.5 + 0.47 * np.stack([np.sin(turn), np.cos(turn)]))).astype(int)
    red, green, blue = texture[at[0], at[1]].mean(0) / 255
    return float(red), float(green), float(blue)


def _texture(
    asset: HeadAsset, fit: HeadFit, image: Image, matte: Matte, shown: Array, uv: Array, triangles: Array
) -> Image:
    """Unroll the photo over the head and fill what it does not show.  # (S, S, 3)"""
    side = TEXTURE_SIDE
    seen = fit.camera.project(shown)  # (V, 3)
    trust = _seen_from_front(asset, fit, seen, image.shape[:2])
    outwards = np.linalg.norm(asset.mean - _CENTER, axis=1)
    points = np.column_stack([uv * side - 0.5, outwards]).astype(np.float32)
    values = np.column_stack([seen[:, :2], trust]).astype(np.float32)
    maps, tags = np.zeros((side, side, 3), np.float32), np.zeros((side, side), np.uint8)
    kernels.rasterize(
        np.ascontiguousarray(points), triangles, np.ones(len(triangles), np.uint8), values,
        np.full((side, side), -1e30, np.float32), tags, maps, 0,
    )  # fmt: skip
    at = np.ascontiguousarray(maps[..., :2])
    look: Any = cv2.remap
    color = look(image.astype(np.float32), at, None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    inside = look(matte.astype(np.float32) / 255, at, None, cv2.INTER_LINEAR)
    weight = maps[..., 2] * smoothstep(inside, 0.85, 0.99) * (tags > 0)
    return _filled(color, np.asarray(weight, np.float32))


def _seen_from_front(asset: HeadAsset, fit: HeadFit, seen: Array, shape: tuple[int, ...]) -> Array:
    """Return how far the photo can be trusted at each vertex: turned to the viewer, and nothing before it.  # (V,)"""
    height, width = shape[:2]
    everything = asset.triangles
    depth = np.full((height, width), -1e30, np.float32)
    kernels.rasterize(
        seen, everything, np.ones(len(everything), np.uint8), np.ascontiguousarray(seen[:, 2:]), depth,
        np.zeros((height, width), np.uint8), np.zeros((height, width, 1), np.float32), 0,
    )  # fmt: skip
    normals = kernels.vertex_normals(np.ascontiguousarray(seen * np.array([1, -1, 1], np.float32)), everything)
    column = np.clip(np.round(seen[:, 0]).astype(int), 0, width - 1)
    row = np.clip(np.round(seen[:, 1]).astype(int), 0, height - 1)
    open_ = seen[:, 2] > depth[row, column] - _HIDDEN_BY * fit.eye_distance
    inside = (seen[:, 0] >= 0) & (seen[:, 0] < width) & (seen[:, 1] >= 0) & (seen[:, 1] < height)
    return np.asarray(smoothstep(normals[:, 2], *_FACING) * (open_ & inside))


def _filled(color: Array, weight: Array) -> Image:
    """Fill texels of no weight: from the mirrored side at this side's brightness, then from around.  # (S, S, 3)"""
    mirrored, other = color[:, ::-1], weight[:, ::-1]
    both = np.minimum(weight, other)[..., None]
    blur = (0, 0), TEXTURE_SIDE / 24
    here, there = (cv2.GaussianBlur(c * both, *blur) for c in (color, np.ascontiguousarray(mirrored)))
    ratio = np.clip((here + 2.0 * both.mean()) / (there + 2.0 * both.mean() + 1e-6), 0.5, 2.0)
    from_mirror = np.maximum(other - weight, 0)[..., None]
    total = weight[..., None] + from_mirror
    mixed = (color * weight[..., None] + mirrored * ratio * from_mirror) / np.maximum(total, 1e-6)
    sure = np.clip(total[..., 0], 0, 1)
    around = _grown(mixed, sure)
    out = around + (mixed - around) * sure[..., None]
    # Behind the head all directions meet in one point, which must have one color.
    y, x = (np.mgrid[:TEXTURE_SIDE, :TEXTURE_SIDE] + 0.5) / TEXTURE_SIDE - 0.5
    behind = smoothstep(np.hypot(x, y), *_BEHIND)[..., None]
    rim = out[np.hypot(x, y) > _BEHIND[0]].reshape(-1, 3).mean(0)
    out = out + (rim - out) * behind
    return np.asarray(np.clip(out, 0, 255) + 0.5, np.uint8)


def _grown(color: Array, weight: Array) -> Array:
    """Return colors everywhere: of ever coarser means where finer ones know nothing.  # (S, S, 3), (S, S)"""
    levels = [(color * weight[..., None], weight)]
    while min(levels[-1][1].shape) > 1:
        summed, known = levels[-1]
        levels.append((cv2.pyrDown(summed), cv2.pyrDown(known)))
    summed, known = levels[-1]
    out: Array = np.asarray(summed).reshape(1, 1, 3) / max(float(np.max(known)), 1e-6)
    for summed, known in reversed(levels[:-1]):
        out = cv2.resize(out, known.shape[::-1], interpolation=cv2.INTER_LINEAR)
        share = np.clip(known / _LEAST_SEEN, 0, 1)[..., None]
        out = out + (summed / np.maximum(known, 1e-6)[..., None] - out) * share
    return np.asarray(out)


def _eye_uv(points: Array) -> Array:
    """Lay an eyeball's front flat over its texture, the back folded under it.  # (V, 3) -> (V, 2)"""
    ray = points - points.mean(0)
    ray /= np.linalg.norm(ray, axis=1, keepdims=True)
    return np.asarray(0.5 + 0.49 * ray[:, :2] * [1, -1])


def _eye_texture(image: Image, face: DetectedFace) -> Image:
    """Draw an eyeball with the color of the photo's irises.  # (EYE_SIDE, EYE_SIDE, 3)"""
    axis = (np.arange(EYE_SIDE) + 0.5) / EYE_SIDE * 2 - 1
    flat = np.minimum((axis[None] ** 2 + axis[:, None] ** 2) / 0.98**2, 1.0)
    front = np.sqrt(1 - flat)[..., None]  # cosine against where the eye looks
    soft = 0.008
    iris = smoothstep(front, _IRIS - soft, _IRIS + soft)
    pupil = smoothstep(front, _PUPIL - soft / 4, _PUPIL + soft / 4)
    tone = _iris_color(image, face) * (0.75 + 0.5 * smoothstep(front, _IRIS, 1.0))
    sclera = np.array(_SCLERA) * 255 * (0.8 + 0.2 * front)
    out = sclera + (tone - sclera) * iris
    out = out * (1 - pupil) + 12 * pupil
    return np.asarray(np.clip(out, 0, 255), np.uint8)


def _iris_color(image: Image, face: DetectedFace) -> Array:
    """Return the middle color of both irises, without pupil and highlight.  # (3,)"""
    picked = []
    height, width = image.shape[:2]
    for rows in _IRIS_ROWS:
        center, rim = face.landmarks[rows[0], :2], face.landmarks[list(rows[1:]), :2]
        radius = float(np.linalg.norm(rim - center, axis=1).mean())
        for share in (0.55, 0.7):
            for turn in np.radians([10, 170, 190, 350, 210, 330]):
                x, y = center + share * radius * np.array([np.cos(turn), np.sin(turn)])
                picked.append(image[int(np.clip(y, 0, height - 1)), int(np.clip(x, 0, width - 1))])
    return np.asarray(np.median(picked, axis=0), np.float64)
