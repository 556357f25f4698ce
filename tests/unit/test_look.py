"""A preset over a person's own sliders: added, made weaker, exchanged, taken off, undone and redone."""

from __future__ import annotations

import json

import pytest

from studio.domain.expression import ExpressionEdit
from studio.domain.look import MOST_STEPS, STRONGEST, Look, Steps
from studio.errors import UserInputError

JOY = ExpressionEdit({"smile": 0.8, "grin": 0.2}, neutralise=True)


def test_a_preset_lies_over_what_was_set_by_hand() -> None:
    look = Look().moved("headYaw", 10).moved("smile", 0.1).wearing("joy", JOY, 1.0)
    assert look.values == {"headYaw": 10, "smile": pytest.approx(0.9), "grin": 0.2}
    assert look.at(0.5).values == {"headYaw": 10, "smile": pytest.approx(0.5), "grin": pytest.approx(0.1)}
    assert look.at(0).values == {"headYaw": 10, "smile": 0.1}
    assert look.bare().values == {"headYaw": 10, "smile": 0.1}


def test_a_preset_instead_of_what_was_set_by_hand() -> None:
    assert Look().moved("headYaw", 10).wearing("joy", JOY, 1.0, keep_own=False).values == JOY.values


def test_another_preset_takes_the_place_of_the_first() -> None:
    look = Look().moved("pout", 0.3).wearing("joy", JOY, 1.0).wearing("kiss", ExpressionEdit({"pursing": 0.85}), 1.0)
    assert look.values == {"pout": 0.3, "pursing": 0.85}
    assert not look.neutralise, "only the preset before asked for a neutral face"


def test_a_slider_moved_under_a_preset_stands_where_it_was_put() -> None:
    look = Look().wearing("joy", JOY, 1.0).moved("smile", 0.3)
    assert look.values["smile"] == pytest.approx(0.3)
    assert look.bare().values == {"smile": pytest.approx(-0.5)}
    assert look.moved("smile", None).values == {"grin": 0.2}


def test_values_stay_inside_their_sliders_and_come_back_from_the_end() -> None:
    look = Look().moved("smile", 0.6).wearing("joy", JOY, STRONGEST)
    assert look.values["smile"] == 1.0
    assert look.edit.values["smile"] == 1.0
    assert look.at(0.25).values["smile"] == pytest.approx(0.8), "what went beyond the end was not lost"
    assert look.at(99).strength == STRONGEST


def test_who_asked_for_a_neutral_start() -> None:
    assert Look().wearing("joy", JOY, 1.0).neutralise
    assert not Look().wearing("joy", JOY, 1.0).bare().neutralise
    assert Look().neutralised(True).wearing("joy", JOY, 1.0).bare().neutralise, "the person had ticked it"
    assert not Look().wearing("joy", JOY, 1.0).neutralised(False).neutralise


def test_steps_go_back_and_forth() -> None:
    steps = Steps().to(Look().moved("smile", 0.5)).to(Look().moved("smile", 0.7))
    assert steps.back().now.values == {"smile": 0.5}
    assert steps.back().forth() == steps
    assert steps.back().back().back().now == Look(), "nothing lies before the beginning"
    assert steps.forth() == steps
    assert steps.to(steps.now) == steps, "the same look again is no step"
    assert steps.back().to(Look().moved("pout", 1)).ahead == ()


def test_only_so_many_steps_are_kept() -> None:
    steps = Steps()
    for number in range(3 * MOST_STEPS):
        steps = steps.to(Look().moved("headYaw", 1 + number / 100))
    assert len(steps.past) == MOST_STEPS + 1


def test_a_look_comes_back_as_it_was_saved() -> None:
    look = Look().moved("pout", 0.3).wearing("joy", JOY, 0.5)
    assert Look.from_saved(json.loads(json.dumps(look.saved()))) == look


@pytest.mark.parametrize(
    "change",
    [{"own": {"nose": 1}}, {"share": {"smile": "wide"}}, {"own": 3}, {"strength": 9}, {"own": {"smile": float("nan")}}],
)
def test_a_look_that_is_none_is_refused(change) -> None:
    with pytest.raises(UserInputError):
        Look.from_saved(Look().saved() | change)
    with pytest.raises(UserInputError):
        Look.from_saved({})


def test_values_copied_from_a_picture_take_the_place_of_ones_own_but_for_what_is_not_theirs() -> None:
    look = Look(own={"smile": 0.4, "headYaw": 5.0}, preset="joy", share={"headYaw": 2.0, "grin": 0.3})
    like = {"template": "a.png", "amount": 1.0, "exactly": False}
    made = look.copying(ExpressionEdit({"browInnerUp": 0.6}, True), like, {"headYaw"})
    assert made.values == {"headYaw": 7.0, "browInnerUp": 0.6}
    assert made.neutralise
    assert Look.from_saved(made.saved()) == made
    assert made.moved("smile", 0.2).like == like
    assert made.wearing("joy", ExpressionEdit({"grin": 0.5}), 1.0).bare() == made
    assert not made.wearing("joy", ExpressionEdit({"grin": 0.5}), 1.0, keep_own=False).like


def test_a_look_of_an_earlier_release_names_no_picture() -> None:
    saved = Look(own={"smile": 0.4}).saved()
    del saved["like"]
    assert Look.from_saved(saved).like == {}
    with pytest.raises(UserInputError):
        Look.from_saved({**saved, "like": {"template": ["a"]}})
    with pytest.raises(UserInputError):
        Look.from_saved({**saved, "like": 3})
