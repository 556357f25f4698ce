"""Which frames of a clip become photos: of each angle and expression the sharpest, no copies, every shot."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from studio.domain.clip_frames import PER_BIN, FrameLook, chosen_frames, look_at
from studio.domain.face import DetectedFace, PhotoQuality
from studio.domain.pose import HeadPose

LOOK = FrameLook(
    seconds=0.0, shot=0, box=(0.2, 0.2, 0.6, 0.6), yaw_degrees=0.0, pitch_degrees=-5.0, sharpness=0.8, exposure=1.0,
    pixels=220.0, mouth=0.01, width=0.55, eyes=0.3, fingerprint=0,
)  # fmt: skip


def look(seconds: float, **changes) -> FrameLook:
    values = {"fingerprint": int(np.random.default_rng(round(seconds * 100)).integers(0, 2**63)), **changes}
    return replace(LOOK, seconds=seconds, **values)


def test_the_sharpest_of_each_angle_and_expression_is_taken() -> None:
    looks = [
        look(1, sharpness=0.4), look(2, sharpness=0.9), look(3, yaw_degrees=20), look(4, mouth=0.2), look(5, width=0.7),
    ]  # fmt: skip
    assert [x.seconds for x in chosen_frames(looks, 4)] == [2, 3, 4, 5]
    assert len({x.bin for x in chosen_frames(looks, 4)}) == 4


def test_blurred_frames_and_shut_eyes_are_taken_only_where_there_is_nothing_else() -> None:
    looks = [look(1, sharpness=0.9), look(2, sharpness=0.1), look(3, eyes=0.05)]
    assert [x.seconds for x in chosen_frames(looks)] == [1]
    assert [x.seconds for x in chosen_frames([look(3, eyes=0.05)])] == [3]
    assert chosen_frames([]) == ()


def test_copies_are_passed_over() -> None:
    same = [look(float(i), fingerprint=7) for i in range(10)]
    assert len(chosen_frames(same)) == 1
    turned = [look(float(i), fingerprint=7, yaw_degrees=9.0 * i - 36) for i in range(9)]
    assert len(chosen_frames(turned)) == 9, "the same room, and another side of the face"
    assert len(chosen_frames([look(1.0), look(1.1, mouth=0.2)])) == 1, "a moment apart"


def test_every_shot_gives_something_before_one_gives_twice() -> None:
    looks = [look(float(i), shot=i // 10, sharpness=0.9 if i < 10 else 0.6) for i in range(30)]
    assert {x.shot for x in chosen_frames(looks, 3)} == {0, 1, 2}


@given(
    st.lists(
        st.builds(
            look, st.floats(0, 600).map(lambda s: round(s, 2)), yaw_degrees=st.floats(-60, 60),
            sharpness=st.floats(0, 1), mouth=st.floats(0, 0.5), eyes=st.floats(0, 0.5), shot=st.integers(0, 5),
        ),
        max_size=60,
    ),
    st.integers(1, 30),
)  # fmt: skip
def test_never_more_than_asked_in_the_order_of_the_clip(looks, most) -> None:
    taken = chosen_frames(looks, most)
    assert len(taken) <= most
    assert bool(taken) == bool(looks)
    assert [x.seconds for x in taken] == sorted(x.seconds for x in taken)
    bins = [x.bin for x in taken]
    assert all(bins.count(b) <= PER_BIN for b in bins)
    assert chosen_frames(looks, most) == taken


def test_a_look_measures_a_face_in_its_own_size() -> None:
    points = np.zeros((478, 3), np.float32)
    for index, place in {33: (100, 100), 263: (200, 100), 133: (140, 100), 362: (160, 100), 159: (120, 92),
                         145: (120, 104), 386: (180, 92), 374: (180, 104), 61: (120, 180), 291: (180, 180),
                         13: (150, 170), 14: (150, 190)}.items():  # fmt: skip
        points[index, :2] = place
    face = DetectedFace((90, 60, 210, 220), 1.0, points, HeadPose(12, -3, 0), PhotoQuality(0.7, 1, 0.9, 1, 1))
    seen = look_at(face, (640, 320), 2.0, seconds=1.0, shot=0, fingerprint=0, faces=1)
    assert (round(seen.mouth, 3), round(seen.width, 3), round(seen.eyes, 3)) == (0.2, 0.6, 0.3)
    assert seen.pixels == 240
    assert seen.bin == (3, 1, "open")
