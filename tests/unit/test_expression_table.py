"""The table of controls, and what any edit does to any face."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from studio.domain.expression import (
    ARKIT_NAMES,
    CONTROL,
    CONTROLS,
    HEAD_NAMES,
    ExpressionEdit,
    amount_of,
    offsets,
    resolve,
    title_of,
)
from studio.domain.pose import LIMIT_DEGREES
from studio.errors import UserInputError

own_weights = st.lists(st.floats(0, 1, width=32), min_size=52, max_size=52).map(lambda v: np.array(v, np.float32))
values = st.dictionaries(
    st.sampled_from([c.name for c in CONTROLS]), st.floats(-1, 1).map(lambda v: round(v, 3)), max_size=12
)


def scaled(raw: dict[str, float]) -> dict[str, float]:
    """Stretch -1..1 to what each control takes."""
    return {n: v * (CONTROL[n].maximum if v > 0 else -CONTROL[n].minimum) for n, v in raw.items()}


def test_every_weight_has_a_control_and_names_are_unique() -> None:
    names = [c.name for c in CONTROLS]
    assert len(names) == len(set(names))
    assert set(ARKIT_NAMES) | set(HEAD_NAMES) <= set(names)
    assert len(ARKIT_NAMES) == 52


GROUPED = ["smile", "eyebrow", "winkLeft", "winkRight", "lipOpen", "pout", "pursing", "grin", "eyesOpen", "gazeX"]


@pytest.mark.parametrize("name", [*GROUPED, "gazeY"])
def test_grouped_controls_move_something_on_both_sides(name: str) -> None:
    assert np.abs(offsets({name: 1.0})).max() > 0.3
    assert np.abs(offsets({name: -1.0})).max() > 0.3


@pytest.mark.parametrize("control", CONTROLS, ids=lambda c: c.name)
def test_each_row_is_complete(control) -> None:
    assert control.help.endswith(".")
    assert control.label
    assert control.minimum <= 0 < control.maximum
    assert (control.minimum < 0) == bool(control.negative) or control.name in HEAD_NAMES
    assert set(control.positive) | set(control.negative) <= set(ARKIT_NAMES)
    expected = 0.5 if control.name in HEAD_NAMES else 0.05
    assert control.step == expected


@given(own_weights)
def test_an_empty_edit_is_the_photo(own) -> None:
    for edit in (ExpressionEdit(), ExpressionEdit({"smile": 0.0, "jawOpen": 0.0})):
        state = resolve(edit, own)
        assert np.array_equal(state.weights, own)
        assert state.head.as_array().tolist() == [0.0, 0.0, 0.0]


@given(own_weights, values, st.booleans())
def test_the_result_stays_in_bounds(own, raw, neutralise) -> None:
    state = resolve(ExpressionEdit(scaled(raw), neutralise), own)
    assert state.weights.dtype == np.float32
    assert state.weights.min() >= 0
    assert state.weights.max() <= 1
    for angle, limit in zip(state.head.as_array(), LIMIT_DEGREES.values(), strict=True):
        assert abs(angle) <= limit + 1e-5


@given(values)
def test_neutralised_edits_do_not_depend_on_the_photo(raw) -> None:
    edit = ExpressionEdit(scaled(raw), True)
    low, high = np.zeros(52, np.float32), np.full(52, 0.7, np.float32)
    assert np.array_equal(resolve(edit, low).weights, resolve(edit, high).weights)


@given(values)
def test_offsets_add_up(raw) -> None:
    whole = offsets(scaled(raw))
    parts = sum((offsets({n: v}) for n, v in scaled(raw).items()), np.zeros(52, np.float32))
    assert np.allclose(whole, parts, atol=1e-5)


@given(st.sampled_from(ARKIT_NAMES), st.floats(0.01, 1), own_weights)
def test_one_weight_moves_only_itself(name, value, own) -> None:
    moved = resolve(ExpressionEdit({name: value}), own).weights
    index = ARKIT_NAMES.index(name)
    assert np.array_equal(np.delete(moved, index), np.delete(own, index))
    assert moved[index] == pytest.approx(min(1.0, own[index] + value), abs=1e-6)


@pytest.mark.parametrize("bad", [{"smiel": 0.5}, {"smile": 1.5}, {"smile": float("nan")}, {"headYaw": 90.0}])
def test_bad_values_are_refused_with_a_hint(bad) -> None:
    with pytest.raises(UserInputError) as found:
        ExpressionEdit(bad)
    assert found.value.hint


def test_a_wrong_name_suggests_near_ones() -> None:
    with pytest.raises(UserInputError, match="jawOpen"):
        ExpressionEdit({"jawopn": 0.5})


def test_edits_saved_when_every_weight_went_below_zero_still_open() -> None:
    edit = ExpressionEdit.from_saved({"tongueOut": -0.4, "jawOpen": -0.3, "smile": -0.5}, True)
    assert edit.values == {"tongueOut": 0.0, "jawOpen": -0.3, "smile": -0.5}
    with pytest.raises(UserInputError, match="tongueOut"):
        ExpressionEdit({"tongueOut": -0.4})
    with pytest.raises(UserInputError):
        ExpressionEdit.from_saved({"tongueOut": -1.4})


@pytest.mark.parametrize("side", ["Left", "Right"])
def test_below_zero_a_weight_takes_its_own_away_and_does_the_opposite(side) -> None:
    own = np.zeros(52, np.float32)
    own[ARKIT_NAMES.index(f"mouthSmile{side}")] = 0.4
    state = resolve(ExpressionEdit({f"mouthSmile{side}": -1.0}), own).weights
    assert state[ARKIT_NAMES.index(f"mouthSmile{side}")] == 0
    assert state[ARKIT_NAMES.index(f"mouthFrown{side}")] > 0.4


@pytest.mark.parametrize(
    ("values", "title"),
    [
        ({}, "Portrait"),
        ({"eyeWideLeft": 0.2, "smile": 0.0}, "Eye wide (their left)"),
        ({"eyeWideLeft": 0.2, "eyeWideRight": 0.2, "jawLeft": 0.1, "jawRight": 0.1}, "Eye wide, Jaw left, Jaw right"),
        ({"browDownLeft": 0.2, "browDownRight": 0.3}, "Brow down (their right), Brow down (their left)"),
        ({"smile": 0.2, "headYaw": 10, "grin": -0.9, "pout": 0.1}, "Grin, Turn to their left, Smile and 1 more"),
    ],
)
def test_a_title_names_what_moved_most_as_the_sliders_are_called(values, title) -> None:
    assert title_of(ExpressionEdit(values)) == title
    assert title_of(ExpressionEdit({}, neutralise=True)) == "Neutral face"


def test_left_and_right_are_the_persons_own_everywhere() -> None:
    """One side in names, labels and signs: the left eye looks outward where the nose turns to their left."""
    for name in ("headYaw", "headRoll", "gazeX"):
        assert "their left" in CONTROL[name].label
    assert CONTROL["gazeX"].positive["eyeLookOutLeft"] > 0
    sided = [c for c in CONTROLS if c.name.endswith(("Left", "Right"))]
    assert sided
    for control in sided:
        side = "left" if control.name.endswith("Left") else "right"
        assert f"their {side}" in control.label or f"the person's {side}" in control.help, control.name
    assert not [c.name for c in CONTROLS if "subject" in c.help]


@pytest.mark.parametrize("control", CONTROLS, ids=lambda c: c.name)
def test_how_far_a_motion_goes_along_a_control_is_read_back(control) -> None:
    """Exactly for one weight and for the head; a mixture, which also takes away, nearly."""
    single = len(control.positive) <= 1 and not control.negative
    for value in (0.0, 0.6 * control.maximum, 0.6 * control.minimum):
        weights, head = np.zeros((1, 52)), np.zeros((1, 3))
        if control.name in HEAD_NAMES:
            head[0, HEAD_NAMES.index(control.name)] = value
        mixture = control.positive if value > 0 else control.negative
        for name, amount in mixture.items():
            weights[0, ARKIT_NAMES.index(name)] = abs(value) * amount
        reach = 1e-9 if single or control.name in HEAD_NAMES else 0.1
        assert amount_of(control, weights, head)[0] == pytest.approx(value, abs=reach)
