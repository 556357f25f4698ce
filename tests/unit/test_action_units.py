"""Action units and ARKit weights: one table, read both ways, honest about what is lost."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from studio.domain.action_units import (
    MIXED,
    MOST,
    NOT_COVERED,
    TRACK,
    TRACKS,
    UNITS,
    by_unit,
    intensities,
    setting,
    tracks_of,
    weights_of,
)
from studio.domain.expression import ARKIT_NAMES, INDEX
from studio.errors import UserInputError

COLUMN = {track.code: i for i, track in enumerate(TRACKS)}
faces = arrays(np.float32, 52, elements=st.floats(0, 1, width=32))


def face(**weights: float) -> np.ndarray:
    out = np.zeros(52, np.float32)
    for name, value in weights.items():
        out[INDEX[name]] = value
    return out


def shown(**weights: float) -> dict[str, float]:
    scores = intensities(face(**weights))
    return {track.code: round(float(v), 3) for track, v in zip(TRACKS, scores, strict=True) if v > 0}


def test_every_weight_is_a_unit_or_is_said_to_be_none() -> None:
    used = {ARKIT_NAMES[i] for track in TRACKS for i in track.weights}
    assert used.isdisjoint(NOT_COVERED)
    assert used | set(NOT_COVERED) == set(ARKIT_NAMES)
    assert len({unit.number for unit in UNITS}) == len(UNITS)
    assert all(unit.does.endswith(".") for unit in UNITS)
    asked = {1, 2, 4, 5, 6, 7, 9, 10, 12, 14, 15, 17, 18, 20, 22, 23, 24, 25, 26, 27, 28, 43, 61, 62, 63, 64}
    assert asked <= {unit.number for unit in UNITS}


@given(faces)
def test_weights_come_back_but_for_those_that_no_unit_is(weights: np.ndarray) -> None:
    weights[[INDEX[name] for name in NOT_COVERED]] = 0.0
    scores = intensities(weights)
    scores[[COLUMN[code] for code in MIXED]] = 0.0  # they follow from the others
    assert weights_of(scores) == pytest.approx(weights, abs=1e-6)


@given(arrays(np.float32, len(TRACKS), elements=st.floats(0, MOST, width=32)))
def test_intensities_come_back_where_units_do_not_share_a_weight(scores: np.ndarray) -> None:
    scores[[COLUMN[code] for code in MIXED]] = 0.0
    if scores[COLUMN["AU27"]] > 0:
        scores[COLUMN["AU26"]] = MOST  # a mouth that is stretched open has dropped its jaw
    back = intensities(weights_of(scores))
    plain = [i for i, track in enumerate(TRACKS) if track.code not in MIXED]
    assert back[plain] == pytest.approx(scores[plain], abs=1e-4)


def test_sides_are_the_persons_own() -> None:
    assert shown(mouthSmileLeft=0.5) == {"AU12L": 2.5}
    assert shown(eyeLookOutLeft=1.0, eyeLookInRight=1.0) == {"AU61L": 5.0, "AU61R": 5.0}
    assert shown(eyeBlinkRight=1.0) == {"AU43R": 5.0}
    assert by_unit(intensities(face(mouthSmileLeft=0.5)))[[u.number for u in UNITS].index(12)] == 2.5


def test_a_jaw_drops_before_the_mouth_is_stretched() -> None:
    assert shown(jawOpen=0.25) == {"AU25": 1.25, "AU26": 2.5}
    assert shown(jawOpen=0.75) == {"AU25": 3.75, "AU26": 5.0, "AU27": 2.5}
    assert shown(jawOpen=0.5, mouthClose=0.5) == {"AU26": 5.0}, "lips together over an open jaw"


def test_setting_a_unit_changes_its_weights_alone() -> None:
    assert setting("AU12", 3, {}) == {"mouthSmileLeft": 0.6, "mouthSmileRight": 0.6}
    assert setting("au02l", 5, {}) == {"browOuterUpLeft": 1.0}
    assert setting("45", 5, {}) == setting("AU43", 5, {})
    assert setting("AU27", 0, {"jawOpen": 0.8}) == {"jawOpen": 0.5}
    assert setting("AU26", 0, {"jawOpen": 0.8}) == {"jawOpen": 0.0}
    assert setting("AU27", 2.5, {}) == {"jawOpen": 0.75}
    assert setting("AU1", 0, {"browInnerUp": -0.4}) == {"browInnerUp": 0.0}


def test_a_jaw_goes_to_one_side() -> None:
    assert setting("AU30L", 5, {}) == {"jawLeft": 1.0}
    with pytest.raises(UserInputError, match="goes to one side"):
        setting("AU30", 5, {})


@given(st.sampled_from(sorted(TRACK)), st.floats(0.01, MOST), faces)
def test_what_is_set_is_read_again(code: str, intensity: float, weights: np.ndarray) -> None:
    names = dict(zip(ARKIT_NAMES, (float(w) for w in weights), strict=True))
    names |= setting(code, intensity, names)
    after = np.array([names[name] for name in ARKIT_NAMES])
    read = float(intensities(after)[COLUMN[code]])
    if code == "AU25":  # an open jaw parts the lips further, closed lips less
        names |= {"jawOpen": 0.0, "mouthClose": 0.0}
        read = float(intensities(np.array([names[name] for name in ARKIT_NAMES]))[COLUMN[code]])
    assert read == pytest.approx(intensity, abs=1e-3)


@pytest.mark.parametrize("code", ["AU3", "AU12X", "AU1L", "", "smile", "AU28L", "AU99999999999999999999"])
def test_what_is_no_unit(code: str) -> None:
    with pytest.raises(UserInputError, match="There is no action unit"):
        tracks_of(code)


@pytest.mark.parametrize("intensity", [-1, 5.1, float("nan")])
def test_intensities_out_of_range(intensity: float) -> None:
    with pytest.raises(UserInputError, match="goes from 0 to 5"):
        setting("AU12", intensity, {})
