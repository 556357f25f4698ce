"""Draws a rendered portrait: layers into maps, maps into colors, colors into bytes.

Head, hair and glasses are rasterized into maps of their own, so that hair can
be soft at its edge and lenses clear; one compiled pass then shades every
sample, and samples are averaged to pixels.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from studio.domain.face import RENDERED_MARK
from studio.engines.media.pictures import write_png
from studio.engines.rig import kernels
from studio.errors import UserInputError
from studio.factory.preview_base import shading
from studio.factory.preview_base.geometry import (
    Layer,
    glasses_layer,
    hair_layer,
    head_layer,
    head_parts,
)
from studio.factory.preview_base.people import RenderedPicture

Array = NDArray[Any]

FRAME_HEIGHT = 2.95  # head units from top to bottom at zoom 1
HEAD_FILE = Path(__file__).resolve().parents[3] / "assets" / "head.npz"
_MIDDLE_Y = -0.02
_FAR = -1e30
_SHOULDER = 0.62  # linear light from which highlights are compressed
_FEATURES = ((33, 133), (362, 263), (61, 291, 13, 14))  # landmarks around each eye and the mouth


def render(picture: RenderedPicture, size: int = 128) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Draw a picture.

    Args:
        picture: what to draw.
        size: side in pixels, 16..1024.

    Returns:
        RGB (size, size, 3) and the mask of the visible face without hair and neck, 0..255.  # (size, size)

    Raises:
        UserInputError: the size is out of range.
        EngineUnavailableError: the head asset is missing.
    """
    if not 16 <= size <= 1024:
        raise UserInputError(f"A picture of {size} pixels cannot be rendered.", "Choose 16 to 1024.")
    samples = 3 if size <= 96 else 2
    side = size * samples
    parts = head_parts(HEAD_FILE)
    head, vertices = head_layer(parts, picture)
    maps = _rasterized(head, picture, side, 10)
    hair = _rasterized(hair_layer(parts, picture, vertices), picture, side, 6)
    glasses = _rasterized(glasses_layer(parts, picture, vertices), picture, side, 3)
    color = np.empty((side, side, 3), np.float32)
    mask = np.empty((side, side), np.float32)
    shading.shade(
        *maps, *hair, *glasses, parts.brows, parts.ages, parts.eye_centre, parts.eye_radius, _paints(picture),
        _traits(picture, side), _blobs(picture), picture.person.texture_seed, color, mask,
    )  # fmt: skip
    blocks = kernels.box_means(color, samples)
    visible = kernels.box_means(mask[..., None], samples)[..., 0]
    return (np.sqrt(_exposed(blocks)) * 255 + 0.5).astype(np.uint8), (visible * 255 + 0.5).astype(np.uint8)


def write_render(file: Path, picture: RenderedPicture, size: int = 512) -> Path:
    """Draw a picture into a PNG that says what it is: the studio then compares such people as renders.

    Args:
        file: to write; its folder must exist.
        picture, size: as in `render`.

    Raises:
        NotFoundError: the folder does not exist.
        StoreError: disk full or read-only.
    """
    return write_png(file, render(picture, size)[0], RENDERED_MARK)


def _exposed(light: Array) -> Array:
    """Bend linear light into 0..1: dark and middle tones as they are, highlights keep their hue.  # (S, S, 3)"""
    peak = light.max(2, keepdims=True)
    over = np.maximum(peak - _SHOULDER, 0)
    bent = np.minimum(peak, _SHOULDER) + over / (1 + over / (1 - _SHOULDER))
    return np.asarray(np.clip(light * (bent / np.maximum(peak, 1e-6)), 0, 1))


def _rasterized(layer: Layer | None, picture: RenderedPicture, side: int, channels: int) -> tuple[Array, Array, Array]:
    """Return depth, tags (0 where empty) and attributes of a layer seen from the front."""
    depth = np.full((side, side), _FAR, np.float32)
    tags = np.zeros((side, side), np.uint8)
    out = np.empty((side, side, channels), np.float32)
    if layer is not None:
        kernels.rasterize(
            _projected(layer.points, picture, side), layer.triangles, layer.tags, layer.attributes, depth, tags, out, 0
        )
    return depth, tags, out


def _projected(points: Array, picture: RenderedPicture, side: int) -> Array:
    """Return posed points in the picture: x right and y down in pixels, z as it was.  # (N, 3)"""
    scale = _scale(picture, side)
    out = np.empty_like(points)
    out[:, 0] = (points[:, 0] + picture.shift[0]) * scale + side / 2 - 0.5
    out[:, 1] = (_MIDDLE_Y - points[:, 1] - picture.shift[1]) * scale + side / 2 - 0.5
    out[:, 2] = points[:, 2]
    return out


def _scale(picture: RenderedPicture, side: int) -> float:
    """Return how many pixels of a picture with this side a head unit takes."""
    return side / FRAME_HEIGHT * picture.zoom


def head_in(picture: RenderedPicture, side: int) -> Array:
    """Return the posed head's vertices in the picture: x right, y down in pixels, z to the viewer.  # (V, 3)"""
    layer, _ = head_layer(head_parts(HEAD_FILE), picture)
    points = _projected(layer.points, picture, side)
    points[:, 2] *= _scale(picture, side)
    return points


def eyes_and_mouth(picture: RenderedPicture) -> Array:
    """Return where both eyes and the mouth of a picture are, x right and y down, 0..1 of its side.  # (3, 2)"""
    parts = head_parts(HEAD_FILE)
    layer, _ = head_layer(parts, picture)
    marks = _projected(parts.asset.landmarks(layer.points), picture, 1)
    return np.stack([marks[list(rows), :2].mean(0) for rows in _FEATURES]) + 0.5


def _paints(picture: RenderedPicture) -> Array:
    """Return the colors of PAINTS in linear light (gamma 2).  # (P, 3)"""
    person = picture.person
    skin = np.array(person.skin_rgb)
    lip = (
        skin * (1 - 0.5 * person.lip_tint)
        + np.array([0.70, 0.16, 0.20]) * (0.45 + 0.6 * skin.mean()) * 0.5 * person.lip_tint
    )
    lip = lip * [0.90, 0.76, 0.77]
    rows = [skin, lip, person.hair_rgb, person.brow_rgb, person.iris_rgb, picture.shirt_rgb, person.frame_rgb,
            picture.background_rgb]  # fmt: skip
    return (np.array(rows) ** 2).astype(np.float32)


def _traits(picture: RenderedPicture, side: int) -> Array:
    """Return the numbers of TRAITS.  # (T,)"""
    person = picture.person
    values = {
        "light_x": picture.light_direction[0], "light_y": picture.light_direction[1],
        "light_z": picture.light_direction[2], "key": picture.key, "ambient": picture.ambient,
        "gaze_x": picture.gaze[0], "gaze_y": picture.gaze[1], "brow": person.brow_thickness,
        "freckles": person.freckles, "wrinkles": person.wrinkles, "beard": person.beard_length,
        "slope_x": picture.gradient[0], "slope_y": picture.gradient[1], "scale": _scale(picture, side),
        "waves": person.waves, "woman": float(person.sex == "woman"), "brow_inner": picture.brows[0],
        "brow_outer": picture.brows[1], "flush": picture.flush, "folds": person.folds,
        "bald": float(person.hair_length == "bald"),
        "combed": person.parting * {"short": 0.22, "long": 0.1}.get(person.hair_length, 0.0),
    }  # fmt: skip
    return np.array([values[n] for n in shading.TRAITS], np.float32)


def _blobs(picture: RenderedPicture) -> Array:
    return np.array(picture.blobs, np.float32).reshape(-1, 4)
