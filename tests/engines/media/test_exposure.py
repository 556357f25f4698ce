"""Frames exposed over a part of their time: a mean of light, as many moments as the motion needs."""

from __future__ import annotations

import numpy as np
import pytest

from studio.domain.expression import INDEX, FaceState
from studio.domain.performance import MOST_MOMENTS, Performance, exposure
from studio.engines.media.exposure import mean_of
from studio.services.clips.making import FrameSource
from tests.services.fakes import FakePortrait


def moving(step: float, frames: int = 9) -> Performance:
    weights = np.zeros((frames, 52), np.float32)
    weights[:, INDEX["jawOpen"]] = np.minimum(step * np.arange(frames), 1)
    none = np.zeros(frames, np.float32)
    return Performance(25.0, weights, np.zeros((frames, 3), np.float32), none + 1, none, none)


def flat(*values: int) -> np.ndarray:
    return np.full((4, 5, len(values)), values, np.uint8)


def test_half_black_and_half_white_is_half_the_light() -> None:
    assert mean_of([flat(0, 0, 0), flat(255, 255, 255)])[0, 0].tolist() == [188] * 3
    for value in range(256):
        same = flat(value, 255 - value, 7)
        assert np.array_equal(mean_of([same, same, same]), same), "to the bit"
    with pytest.raises(ValueError, match="no picture"):
        mean_of([])


def test_colors_are_weighed_by_how_much_is_there() -> None:
    mixed = mean_of([flat(200, 0, 0, 255), flat(0, 0, 0, 0)])
    assert mixed[0, 0].tolist() == [200, 0, 0, 128]
    assert not mean_of([flat(9, 9, 9, 0), flat(0, 0, 0, 0)])[..., 3].any()


def test_a_fast_motion_gets_many_moments_and_rest_gets_one() -> None:
    assert exposure(moving(0.0), 3, 180) == (3.0,)
    assert exposure(moving(0.3), 3, 0) == (3.0,)
    few, many = exposure(moving(0.1), 3, 90), exposure(moving(0.5), 1, 180)
    assert 1 < len(few) < len(many) == MOST_MOMENTS
    assert np.mean(many) == pytest.approx(1.0)
    assert max(many) - min(many) < 0.5, "half of a frame"
    assert all(-0.25 <= at <= 8.25 for frame in range(9) for at in exposure(moving(0.3), frame, 180))


def test_a_closure_stays_shut_in_each_moment_of_its_frame() -> None:
    motion = moving(0.1)
    motion.lip_seal[4] = 1.0
    assert all(motion.moment(at).lip_seal[0] == 1 for at in (3.75, 4.0, 4.25))
    assert motion.moment(2.5).weights[0, INDEX["jawOpen"]] == pytest.approx(0.25)
    assert len(motion.moment(-3.0)) == len(motion.moment(99.0)) == 1


def test_frames_are_drawn_once_where_nothing_moves_and_blurred_where_it_does() -> None:
    portrait = FakePortrait(np.full((8, 8, 3), 50, np.uint8))
    base = FaceState(portrait.own_weights)
    sharp, blurred = (FrameSource(portrait, moving(0.1), base, degrees) for degrees in (0, 180))
    one, mean = sharp.picture(4), blurred.picture(4)
    assert portrait.drawn > 2
    assert abs(int(one[0, 0, 0]) - int(mean[0, 0, 0])) <= 2, "a steady motion is centered about its frame"
    assert blurred.cut_out(4).shape == (8, 8, 4)
    drawn = portrait.drawn
    still = FrameSource(portrait, moving(0.0), base, 180)
    assert np.array_equal(still.picture(2), portrait.image)
    assert portrait.drawn == drawn + 1
