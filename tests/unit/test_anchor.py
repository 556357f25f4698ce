"""The anchor as a value: where it lies, when it acts, what is refused."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from studio.domain.anchor import Anchor
from studio.errors import UserInputError


@given(st.integers(1, 400))
def test_the_middle_is_a_frame_of_every_clip(frames: int) -> None:
    k = Anchor().frame(frames)
    assert 0 <= k < frames
    assert abs((frames - 1) / 2 - k) <= 1.5


def test_sixteen_frames_have_their_anchor_at_seven() -> None:
    assert Anchor().frame(16) == 7
    assert Anchor(index=0).frame(16) == 0
    with pytest.raises(UserInputError, match="clip of 16 frames"):
        Anchor(index=16).frame(16)


def test_it_acts_between_its_steps_and_only_with_strength() -> None:
    late = Anchor(steps=(0.5, 1.0))
    assert [late.acts_at(x) for x in (0.0, 0.49, 0.5, 1.0)] == [False, False, True, True]
    assert not Anchor(strength=0).acts_at(0.5)


@pytest.mark.parametrize(
    "wrong",
    [{"strength": 1.1}, {"gain": 0}, {"index": -1}, {"steps": (0.8, 0.2)}, {"blocks": ("side",)}, {"ghost": "x"}],
)
def test_what_is_no_anchor_is_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        Anchor(**wrong)


def test_it_goes_through_json_unchanged() -> None:
    anchor = Anchor(index=3, strength=0.7, ghost="sublayer", blocks=("down",), steps=(0.1, 0.9), drop=True)
    assert Anchor.model_validate_json(anchor.model_dump_json()) == anchor
