"""The fitted head as a model: it lies over the photo, shows it, and moves as the rig does."""

from __future__ import annotations

import numpy as np
import pytest

from studio.domain.expression import ARKIT_NAMES, INDEX
from studio.engines.base import HeadModel
from studio.engines.rig import kernels


@pytest.fixture(scope="module")
def model(portrait) -> HeadModel:
    return portrait.model()


def front(model: HeadModel, portrait, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Draw the model as the photo's camera sees it: colors and where there is skin.  # (H, W, 3), (H, W)"""
    to_units = 1000 / portrait._asset.millimetres_per_unit
    points = portrait._fit.camera.project((model.vertices + np.tensordot(weights, model.targets, 1)) * to_units)
    width, height = portrait.size
    depth, tags = np.full((height, width), -1e30, np.float32), np.zeros((height, width), np.uint8)
    maps = np.zeros((height, width, 2), np.float32)
    for number, part in enumerate(model.parts, 1):
        marks = np.full(len(part.triangles), number, np.uint8)
        kernels.rasterize(points, part.triangles, marks, model.uv, depth, tags, maps, 0)
    texture = model.parts[0].texture
    assert texture is not None
    at = np.clip((maps * texture.shape[0]).astype(int), 0, texture.shape[0] - 1)
    return texture[at[..., 1], at[..., 0]], tags == 1


def test_from_the_front_it_shows_the_photo(model, portrait) -> None:
    drawn, skin = front(model, portrait, model.weights)
    marks = portrait._face.landmarks
    x0, y0 = marks[[234, 10], [0, 1]].astype(int)
    x1, y1 = marks[[454, 152], [0, 1]].astype(int)
    inside = np.zeros(skin.shape, bool)
    inside[y0 + (y1 - y0) // 6 : y1 - (y1 - y0) // 8, x0 + (x1 - x0) // 5 : x1 - (x1 - x0) // 5] = True
    seen = skin & inside
    assert seen.sum() > 0.6 * inside.sum()
    error = np.abs(drawn[seen].astype(float) - portrait._image[seen])
    assert np.median(error) < 6, "levels of 255"


def test_it_has_the_52_weights_in_their_order_and_meters(model) -> None:
    assert model.names == ARKIT_NAMES
    assert model.targets.shape == (52, len(model.vertices), 3)
    height = np.ptp(model.vertices[:, 1])
    assert 0.2 < height < 0.6, "a head and a neck"
    jaw = model.targets[INDEX["jawOpen"]]
    assert jaw[:, 1].min() < -0.005, "the chin sinks"
    lid = model.targets[INDEX["eyeBlinkLeft"]]
    moved = model.vertices[np.abs(lid).max(1) > 0.002]
    assert np.median(moved[:, 0]) > 0.01, "the subject's left eye lies at +x"


def test_what_the_photo_does_not_show_is_filled(model) -> None:
    texture = model.parts[0].texture
    assert texture is not None
    assert texture.std() > 5
    rim = texture[[0, -1]].reshape(-1, 3).astype(int)
    assert np.ptp(rim, axis=0).max() < 12, "the point behind the head has one color"
    names = [part.name for part in model.parts]
    assert names == ["skin", "back", "eye_left", "eye_right", "teeth", "tongue", "inside", "sockets"]
    rows = np.concatenate([part.triangles.ravel() for part in model.parts])
    assert rows.max() < len(model.vertices)
    assert (model.uv >= 0).all()
    assert (model.uv <= 1).all()
