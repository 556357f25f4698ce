"""What a first portrait waits for: libraries loaded ahead, and constants of the head that are cheap to make."""

from __future__ import annotations

import numpy as np

from studio.engines.rig import kernels
from studio.engines.rig.animator import warm_up
from studio.engines.rig.asset import load_head
from studio.engines.rig.spread import SMOOTHING, ResidualField, _open_template
from tests.engines.rig.conftest import ASSETS


def test_warming_up_compiles_no_second_variant(animator, face):
    """The tiny call must have the types of the real one, or both would be compiled."""
    warm_up()
    animator._fitter.fit(face.landmarks)
    assert len(kernels.bounded_least_squares.signatures) == 1


def test_residual_field_reaches_the_landmarks_and_fades():
    asset = load_head(ASSETS / "head.npz")
    field = ResidualField(asset)
    moved = np.zeros((468, 3))
    moved[:, 1] = 0.05
    spread = field.spread(moved)
    assert np.allclose(asset.landmarks(spread)[:, 1], 0.05, atol=10 * SMOOTHING * 0.05)
    marks = asset.landmarks(_open_template(asset))
    away = np.linalg.norm(_open_template(asset)[:, None] - marks[None], axis=2).min(1)
    assert np.abs(spread[away > 1.2]).max() < 0.005
    # Two thin factors instead of one matrix of all vertices by all landmarks, which took .3 s to make.
    assert field._coefficients.shape == (472, 468)
