"""The expression of one picture on a portrait: as an offset, exactly, in parts, never more than sliders hold."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from studio.domain.driving import TrackedFace
from studio.domain.expression import ARKIT_NAMES, CONTROL, INDEX, resolve
from studio.domain.performance import MouthResponse
from studio.domain.template import STRONGEST, Copying, copied, expression_of
from studio.errors import UserInputError

SMILE, JAW, SHRUG = INDEX["mouthSmileLeft"], INDEX["jawOpen"], INDEX["mouthShrugUpper"]


def mouth(**own: float) -> MouthResponse:
    """A mouth that only the jaw opens and mouthClose closes, 36 mm either way."""
    none = np.zeros(52, np.float32)
    per, start = none.copy(), none.copy()
    per[JAW], per[INDEX["mouthClose"]] = 36.0, -36.0
    for name, value in own.items():
        start[INDEX[name]] = value
    return MouthResponse(0.0, per, 50.0, none, 0.0, none, none, start)


def face(gap_mm: float = 0.0, head=(0.0, -4.5, 0.0), gaze=(0.0, 0.32), lids=(0.2, -0.1), **weights: float):
    shown = np.zeros((1, 52), np.float32)
    for name, value in weights.items():
        shown[0, INDEX[name]] = value
    return TrackedFace(
        1.0, shown, np.array([head], np.float32), np.full((1, 2, 2), lids, np.float32), np.array([gaze], np.float32),
        np.array([gap_mm], np.float32), np.ones(1, bool), np.zeros(1, np.int32),
    )  # fmt: skip


def test_a_face_at_rest_adds_nothing_and_an_expression_is_added() -> None:
    assert copied(face(mouthSmileLeft=0.2), face(), mouth(), Copying()).edit.values == {}
    made = copied(face(mouthSmileLeft=0.8, mouthSmileRight=0.8), face(), mouth(browInnerUp=0.3), Copying()).edit
    assert set(made.values) == {"mouthSmileLeft", "mouthSmileRight"}
    assert not made.neutralise
    assert made.values["mouthSmileLeft"] > 0.4


def test_less_than_a_usual_face_shows_is_another_face_and_no_expression() -> None:
    smiling = mouth(mouthSmileLeft=0.5)
    assert copied(face(), face(), smiling, Copying()).edit.values == {}


def test_a_laugh_does_not_pull_its_corners_down_as_well() -> None:
    laugh = face(mouthSmileLeft=0.9, mouthSmileRight=0.9, mouthFrownLeft=0.6, mouthFrownRight=0.6)
    made = copied(laugh, face(), mouth(), Copying()).edit.values
    assert made["mouthSmileLeft"] > 3 * made["mouthFrownLeft"]
    assert expression_of(laugh)[INDEX["mouthFrownLeft"]] < 0.15
    sad = copied(face(mouthFrownLeft=0.7, mouthFrownRight=0.7), face(), mouth(), Copying()).edit.values
    assert sad["mouthFrownLeft"] > 0.4


def test_exactly_takes_back_what_the_portrait_shows() -> None:
    laughing = mouth(mouthSmileLeft=0.6, jawOpen=0.3)
    shown = face(10.8, mouthSmileLeft=0.6, jawOpen=0.3)
    made = copied(face(browInnerUp=0.7), shown, laughing, Copying(exactly=True)).edit
    assert made.neutralise
    assert made.values.keys() == {"browInnerUp"}
    kept = copied(face(browInnerUp=0.7), shown, laughing, Copying()).edit
    state = resolve(kept, laughing.own)
    assert (state.weights[SMILE], state.weights[JAW]) == (pytest.approx(0.6), pytest.approx(0.3))


def test_a_picture_copied_exactly_onto_itself_changes_nothing() -> None:
    own = {"mouthSmileLeft": 0.4, "jawOpen": 0.25, "browDownRight": 0.3, "eyeSquintLeft": 0.1}
    shown = face(9.5, (12.0, 5.0, -3.0), (0.4, 0.1), (0.12, -0.05), **own)
    made = copied(shown, shown, mouth(**own), Copying(exactly=True, head=True, gaze=True)).edit
    assert resolve(made, mouth(**own).own).weights == pytest.approx(mouth(**own).own, abs=0.02)
    assert not {"headYaw", "headPitch", "headRoll"} & made.values.keys()


def test_lips_are_as_far_apart_as_in_the_template() -> None:
    open_wide = copied(face(18.5, jawOpen=0.4), face(), mouth(), Copying()).edit
    assert resolve(open_wide, mouth().own).weights[JAW] * 36 == pytest.approx(18, abs=0.5)
    shut = mouth(jawOpen=0.5)
    made = copied(face(0.2), face(18.0, jawOpen=0.5), shut, Copying(exactly=True)).edit
    assert resolve(made, shut.own).weights[JAW] < 0.02


def test_an_own_face_at_rest_is_what_it_is_measured_against() -> None:
    template, neutral = face(mouthSmileLeft=0.6, browDownLeft=0.5), face(mouthSmileLeft=0.6)
    made = copied(template, face(), mouth(), Copying(), neutral).edit
    assert made.values.keys() == {"browDownLeft"}
    gone = copied(neutral, face(), mouth(browDownLeft=0.5), Copying(), template).edit
    assert gone.neutralise, "a slider that has nothing below 0 cannot take it away"
    assert "browDownLeft" not in gone.values


def test_head_and_gaze_are_taken_on_wish_and_limits_are_said() -> None:
    turned = face(head=(45.0, -4.5, 8.0), gaze=(0.7, 0.32))
    assert copied(turned, face(), mouth(), Copying()).edit.values == {}
    made = copied(turned, face(), mouth(), Copying(head=True, gaze=True))
    assert made.edit.values["headYaw"] <= 20
    assert made.edit.values["headRoll"] == pytest.approx(8, abs=1)
    assert made.edit.values["eyeLookOutLeft"] == 1.0
    assert any("turned 45° to their left" in note for note in made.notes)


def test_eyes_of_another_shape_are_no_squint_and_shut_eyes_are_shut() -> None:
    assert copied(face(lids=(0.17, -0.07)), face(), mouth(), Copying()).edit.values == {}
    shut = copied(face(lids=(-0.02, -0.1)), face(), mouth(), Copying()).edit
    assert shut.values["eyeBlinkLeft"] > 0.9


@pytest.mark.parametrize("amount", [-0.1, STRONGEST + 0.1, float("nan")])
def test_amounts_out_of_range(amount) -> None:
    with pytest.raises(UserInputError, match="goes from 0 to"):
        Copying(amount)


def test_what_a_template_does_not_set_is_named() -> None:
    assert {"headYaw", "gazeX", "eyeLookUpLeft"} <= Copying().not_taken
    assert not Copying(head=True, gaze=True).not_taken


weights = st.dictionaries(st.sampled_from(ARKIT_NAMES), st.floats(0, 1), max_size=12)


@given(
    template=weights, own=weights, amount=st.floats(0, STRONGEST), exactly=st.booleans(), gap=st.floats(-1, 40),
    upper=st.floats(-0.1, 0.5), yaw=st.floats(-90, 90),
)  # fmt: skip
def test_any_face_gives_slider_values_in_range(template, own, amount, exactly, gap, upper, yaw) -> None:
    shown = face(gap, (yaw, 0, 0), (0, 0.3), (upper, -0.1), **template)
    made = copied(shown, face(**own), mouth(**own), Copying(amount, exactly, True, True)).edit
    for name, value in made.values.items():  # ExpressionEdit refuses what lies outside
        assert CONTROL[name].minimum <= value <= CONTROL[name].maximum
    state = resolve(made, mouth(**own).own)
    assert np.isfinite(state.weights).all()
    if amount == 0 and not exactly:
        assert made.values == {}
    again = copied(replace(shown), face(**own), mouth(**own), Copying(amount, exactly, True, True)).edit
    assert again == made
