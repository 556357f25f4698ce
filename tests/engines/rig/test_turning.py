"""How far the mesh turns for what is seen, with a measure whose mistakes are known."""

from __future__ import annotations

import numpy as np
import pytest

from studio.domain.pose import SAFE_DEGREES, HeadPose
from studio.engines.rig.fit import rotation_of
from studio.engines.rig.turning import READ, TurnGauge


def gauge_that_reads(share):
    """Return a gauge whose measure sees this share of every turn of the mesh; pictures are the turns themselves."""

    def measure(turned: HeadPose):
        seen = {}
        for axis in ("yaw", "pitch"):
            degrees = getattr(turned, f"{axis}_degrees")
            seen[f"{axis}_degrees"] = degrees * share * READ[axis][degrees > 0]
        return rotation_of(HeadPose(**seen))

    return TurnGauge(lambda turned: turned, measure, np.eye(3))


@pytest.mark.parametrize("asked", [10.0, -10.0])
@pytest.mark.parametrize("axis", ["yaw", "pitch"])
def test_the_mesh_turns_further_by_what_a_viewer_misses(axis, asked):
    turned = gauge_that_reads(0.92).mesh_turn(HeadPose(**{f"{axis}_degrees": asked}))
    assert getattr(turned, f"{axis}_degrees") == pytest.approx(asked / 0.92, abs=0.2)


@pytest.mark.parametrize("asked", [10.0, -10.0, 15.0, -15.0])
def test_a_measure_that_misses_a_third_of_a_nod_does_not_make_it_half_as_large_again(asked):
    turned = gauge_that_reads(0.66).mesh_turn(HeadPose(pitch_degrees=asked)).pitch_degrees
    assert 1.0 < turned / asked < 1.15


@pytest.mark.parametrize(("axis", "limit"), [("yaw", 20.0), ("pitch", 15.0)])
def test_past_what_one_photo_carries_the_mesh_turns_on_more_slowly(axis, limit):
    gauge = gauge_that_reads(0.92)

    def mesh(asked):
        return getattr(gauge.mesh_turn(HeadPose(**{f"{axis}_degrees": asked})), f"{axis}_degrees")

    before, after = mesh(SAFE_DEGREES) - mesh(SAFE_DEGREES - 1), mesh(limit) - mesh(limit - 1)
    assert 0.5 * before < after < 0.8 * before
    assert mesh(limit) > 0.9 * limit


def test_a_lost_face_leaves_the_turn_to_the_mesh():
    gauge = TurnGauge(lambda turned: turned, lambda turned: None, np.eye(3))
    assert gauge.mesh_turn(HeadPose(yaw_degrees=9.0)).yaw_degrees == pytest.approx(9.0, abs=1.5)
