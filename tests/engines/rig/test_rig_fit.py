"""The fit explains faces, and its poses mean what they say."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from studio.domain.expression import ARKIT_NAMES, INDEX
from studio.domain.pose import HeadPose
from studio.engines.rig.asset import load_head
from studio.engines.rig.fit import Camera, HeadFitter, pose_of, rotation_of

ASSETS = Path(__file__).resolve().parents[3] / "assets"

ANGLES = st.floats(-40, 40)


@pytest.fixture(scope="module")
def asset():
    return load_head(ASSETS / "head.npz")


@pytest.fixture(scope="module")
def fitter(asset):
    return HeadFitter(asset)


def picture_of(asset, weights, head, scale=90.0):
    """Project a known head as vision would see it: pixels, y down, z away."""
    vertices = asset.mean + np.tensordot(weights, asset.actions, 1)
    camera = Camera(rotation_of(head), scale, np.array([256.0, -256.0, 0.0]))
    return asset.landmarks(camera.project(vertices)) * [1, 1, -1]


@given(ANGLES, ANGLES, ANGLES)
def test_pose_and_rotation_are_inverse(yaw, pitch, roll):
    back = pose_of(rotation_of(HeadPose(yaw, pitch, roll)))
    assert np.allclose(back.as_array(), [yaw, pitch, roll], atol=1e-3)


@pytest.mark.parametrize(
    ("head", "axis", "sign"),
    [(HeadPose(yaw_degrees=20), 0, 1), (HeadPose(pitch_degrees=20), 1, -1)],
)
def test_positive_yaw_turns_the_nose_right_and_positive_pitch_raises_it(asset, head, axis, sign):
    still = picture_of(asset, np.zeros(52), HeadPose())
    turned = picture_of(asset, np.zeros(52), head)
    nose, ear_side = 1, 10
    moved = (turned[nose] - turned[ear_side]) - (still[nose] - still[ear_side])
    assert np.sign(moved[axis]) == sign


def test_positive_roll_is_clockwise_in_the_picture(asset):
    turned = picture_of(asset, np.zeros(52), HeadPose(roll_degrees=20))
    left_eye, right_eye = turned[33], turned[263]  # as seen in the picture
    assert right_eye[1] > left_eye[1] + 5


@pytest.mark.parametrize("degrees", [-12.0, 0.0, 12.0])
@pytest.mark.parametrize("axis", ["yaw_degrees", "pitch_degrees", "roll_degrees"])
def test_known_pose_is_recovered(asset, fitter, axis, degrees):
    fit = fitter.fit(picture_of(asset, np.zeros(52), HeadPose(**{axis: degrees})))
    assert getattr(fit.camera.head_pose(), axis) == pytest.approx(degrees, abs=1.0)
    assert fit.error < 0.004


def test_known_expression_is_recovered(asset, fitter):
    weights = np.zeros(52)
    weights[INDEX["jawOpen"]], weights[INDEX["browInnerUp"]] = 0.4, 0.8
    fit = fitter.fit(picture_of(asset, weights, HeadPose()))
    assert fit.weights[INDEX["jawOpen"]] > 0.15
    assert fit.weights[INDEX["browInnerUp"]] > 0.2
    assert fit.residual_error < 0.003


def test_astronaut_is_fitted_within_the_marks(fitter, face):
    fit = fitter.fit(face.landmarks)
    assert fit.error <= 0.012
    assert fit.residual_error <= 0.005
    assert fit.weights.shape == (len(ARKIT_NAMES),)
    assert fit.weights.min() >= 0
    assert fit.weights.max() <= 1


def test_neutral_head_has_shut_lips_though_the_photo_laughs(asset, fitter, face):
    fit = fitter.fit(face.landmarks)
    marks = asset.landmarks(fit.neutral)
    laughing = asset.landmarks(fit.neutral + np.tensordot(fit.weights, asset.actions, 1))
    gap_mm = (marks[13, 1] - marks[14, 1]) * asset.millimetres_per_unit
    own_mm = (laughing[13, 1] - laughing[14, 1]) * asset.millimetres_per_unit
    assert gap_mm < 1.0
    assert own_mm > 6.0
