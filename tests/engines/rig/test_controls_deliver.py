"""Each control changes its own measure by the amount the table states, and other parts of the face by little."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from studio.domain.expression import ARKIT_NAMES, CONTROL, CONTROLS, HEAD_NAMES, ExpressionEdit, offsets, resolve
from studio.engines.rig.asset import load_head
from studio.engines.rig.delivered import DELIVERED, MEASURES, carried, face_axes
from studio.engines.rig.fit import HeadFitter, pose_of

ASSETS = Path(__file__).resolve().parents[3] / "assets"
# Lids and gaze are drawn, not bent: their pictures are judged by the tests of the eyes.
DRAWN = ("eye", "gaze")
ON_MESH = [c.name for c in CONTROLS if c.name in DELIVERED and DELIVERED[c.name].measure in MEASURES
           and MEASURES[DELIVERED[c.name].measure].area != "gaze"]  # fmt: skip
LEAST, MOST = 0.3, 1.6  # share of the stated amount that is seen on a picture: trackers and flow see part of it
SHIFTED = ("brow", "cheek", "nose", "jaw")  # read by optical flow: a tracker's idea of a face hides these


@pytest.fixture(scope="module")
def asset():
    return load_head(ASSETS / "head.npz")


@pytest.fixture(scope="module")
def changes(asset):
    """Return how much every measure changes on the average head, by control.  # mm"""
    rest = asset.mean_at_landmarks

    def read(weights):
        marks = rest + np.tensordot(weights, asset.actions_at_landmarks, 1)
        marks[[33, 133, 362, 263]] = rest[[33, 133, 362, 263]]  # the yardstick; a wide lid lifts the eye's corner
        axes = face_axes(marks * [1, -1, 1])
        return {name: m.read(axes) for name, m in MEASURES.items() if m.area != "gaze"}

    still = read(np.zeros(52))
    out = {}
    for name in ON_MESH:
        moved = read(offsets({name: CONTROL[name].maximum}))
        out[name] = {measure: moved[measure] - still[measure] for measure in still}
    return out


def test_the_table_covers_every_control_that_landmarks_see():
    assert set(DELIVERED) == {c.name for c in CONTROLS} - {"tongueOut"}
    assert all(d.measure in (*MEASURES, "yaw", "pitch", "roll") for d in DELIVERED.values())
    assert {d.unit for n, d in DELIVERED.items() if n in HEAD_NAMES} == {"°"}


@pytest.mark.parametrize("name", ON_MESH)
def test_the_mesh_delivers_what_is_stated(changes, name):
    stated = DELIVERED[name]
    assert changes[name][stated.measure] == pytest.approx(stated.amount, abs=max(0.1 * abs(stated.amount), 0.25))


@pytest.mark.parametrize("name", ON_MESH)
def test_other_parts_of_the_face_move_little(changes, name):
    stated = DELIVERED[name]
    area = MEASURES[stated.measure].area
    allowed = max(0.3 * abs(stated.amount), 1.5)
    for measure, change in changes[name].items():
        if MEASURES[measure].area not in (area, *stated.along):
            assert abs(change) <= allowed, measure


@pytest.mark.parametrize("name", [n for n in ON_MESH if n.endswith(("Left", "Right")) and n in ARKIT_NAMES])
def test_one_sided_weights_leave_the_other_side(changes, name):
    stated = DELIVERED[name]
    side = MEASURES[stated.measure].side
    for measure, change in changes[name].items():
        if side and MEASURES[measure].side not in (side, ""):
            assert abs(change) <= max(0.25 * abs(stated.amount), 0.5), measure


@pytest.fixture(scope="module")
def portrait(animator, analyser):
    """The astronaut large enough for a tracker; she laughs, so edits start from her neutral face."""
    import skimage.data

    head = np.ascontiguousarray(skimage.data.astronaut()[:256, 96:352])
    photo = cv2.resize(head, (512, 512), interpolation=cv2.INTER_CUBIC)
    return animator.prepare(photo, analyser.detect(photo)[0])


SHIFTS = ((0, 0), (3, 5), (5, 3), (7, 7))
"""Pixels down and right: a shifted picture is read a fifth of a millimetre differently, the mean of four less so."""


def landmarks_of(analyser, picture) -> np.ndarray:
    """Read landmarks on the picture and on shifted copies of it; return the mean.  # (478, 3)"""
    found = [
        analyser.detect(np.ascontiguousarray(np.roll(picture, by, (0, 1))))[0].landmarks - np.array([by[1], by[0], 0])
        for by in SHIFTS
    ]
    return np.mean(found, 0)


def test_pictures_show_what_is_stated(portrait, analyser, asset):
    fitter = HeadFitter(asset)

    def picture(**values):
        return portrait.render(resolve(ExpressionEdit(values, True), portrait.own_weights))

    still = picture()
    marks = landmarks_of(analyser, still)
    turn = fitter.fit(marks).camera.rotation
    wrong = {}
    for name, stated in DELIVERED.items():
        measure = MEASURES.get(stated.measure)
        if measure is not None and measure.area in DRAWN:
            continue
        before, base = marks, {}
        share = 1.0
        if name == "mouthClose":  # needs something to close
            base, share = {"jawOpen": 0.5}, 0.5
            before = landmarks_of(analyser, picture(**base))
        after = picture(**base, **{name: share * CONTROL[name].maximum})
        if measure is None:
            seen = landmarks_of(analyser, after)
            delivered = getattr(pose_of(fitter.fit(seen).camera.rotation @ turn.T), f"{stated.measure}_degrees")
        elif measure.area in SHIFTED:
            delivered = measure.read(face_axes(carried(still, after, marks))) - measure.read(face_axes(marks))
        else:
            seen = landmarks_of(analyser, after)
            delivered = measure.read(face_axes(seen)) - measure.read(face_axes(before))
        if not LEAST <= delivered / (share * stated.amount) <= MOST:
            wrong[name] = (round(delivered, 1), share * stated.amount)
    assert not wrong


@pytest.mark.parametrize("control", [c for c in CONTROLS if c.name in ARKIT_NAMES], ids=lambda c: c.name)
def test_the_shown_range_is_the_real_one(control):
    """Below 0 a weight does something on every face, or the slider does not go there."""
    neutral = np.zeros(52, np.float32)
    if control.minimum < 0:
        below = resolve(ExpressionEdit({control.name: control.minimum}), neutral).weights
        assert np.abs(below).max() >= 0.25
        assert "below 0" in control.help
    else:
        assert control.minimum == 0
        assert not control.negative
