"""Finding faces: where, how many, from how hard a picture; landmarks, pose and quality."""

from __future__ import annotations

import threading

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from studio.domain.face import DetectedFace
from studio.engines.vision.analyser import VisionAnalyser
from studio.engines.vision.crops import Window, cut
from studio.engines.vision.landmarks import eye_distance
from studio.engines.vision.pose import pose_of

Picture = NDArray[np.uint8]


def only(faces: tuple[DetectedFace, ...]) -> DetectedFace:
    assert len(faces) == 1
    return faces[0]


def rotated(picture: Picture, degrees_clockwise: float) -> Picture:
    height, width = picture.shape[:2]
    matrix = cv2.getRotationMatrix2D((225.0, 125.0), -degrees_clockwise, 1.0)  # about the face
    return np.asarray(cv2.warpAffine(picture, matrix, (width, height), borderMode=cv2.BORDER_REPLICATE), np.uint8)


def moved_share(a: NDArray[np.floating], b: NDArray[np.floating]) -> float:
    """Return the mean distance of two meshes as a share of the eye distance."""
    return float(np.linalg.norm(a[:, :2] - b[:, :2], axis=1).mean()) / eye_distance(a)


def test_the_face_is_found_where_it_is(analyser: VisionAnalyser, astronaut: Picture) -> None:
    face = only(analyser.detect(astronaut))
    assert face.landmarks.shape == (478, 3)
    assert face.landmarks.dtype == np.float32
    assert face.score > 0.99
    assert face.likely == "person"
    # Read off the enlarged picture by eye: pupils and mouth corners.
    for index, place in ((468, (203.7, 101.1)), (473, (246.8, 102.9)), (61, (202.5, 139.7)), (291, (245.7, 140.9))):
        assert np.abs(face.landmarks[index, :2] - place).max() < 1.5, index
    x0, y0, x1, y1 = face.box
    assert 170 < x0 < 190 < 255 < x1 < 280
    assert 55 < y0 < 80 < 170 < y1 < 185


def test_irises_lie_inside_the_lids(analyser: VisionAnalyser, astronaut: Picture) -> None:
    points = only(analyser.detect(astronaut)).landmarks
    for iris, outer, inner in ((468, 33, 133), (473, 263, 362)):
        low, high = sorted((points[outer, 0], points[inner, 0]))
        assert low < points[iris, 0] < high
        diameter = np.linalg.norm(points[iris + 1, :2] - points[iris + 3, :2])
        assert 0.1 < diameter / eye_distance(points) < 0.2


def test_same_picture_same_answer(analyser: VisionAnalyser, astronaut: Picture) -> None:
    first, second = analyser.detect(astronaut), analyser.detect(astronaut.copy())
    assert first[0].box == second[0].box
    assert first[0].quality == second[0].quality
    np.testing.assert_array_equal(first[0].landmarks, second[0].landmarks)
    np.testing.assert_array_equal(analyser.matte(astronaut), analyser.matte(astronaut.copy()))


def test_threads_may_share_an_analyser(analyser: VisionAnalyser, astronaut: Picture) -> None:
    expected = only(analyser.detect(astronaut)).landmarks
    results: list[NDArray[np.float32]] = []
    threads = [
        threading.Thread(target=lambda: results.append(analyser.detect(astronaut)[0].landmarks)) for _ in range(3)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(results) == 3
    for landmarks in results:
        np.testing.assert_array_equal(landmarks, expected)


@pytest.mark.parametrize("name", ["coffee", "rocket", "brick", "gravel", "text", "colorwheel", "cat"])
def test_no_person_no_face(analyser: VisionAnalyser, name: str) -> None:
    import skimage.data

    picture = getattr(skimage.data, name)()
    picture = np.repeat(picture[..., None], 3, 2) if picture.ndim == 2 else picture[..., :3]
    assert analyser.detect(np.ascontiguousarray(picture)) == ()


@pytest.mark.parametrize("shape", [(20, 20), (1, 1), (1, 400), (400, 3)])
def test_tiny_and_thin_pictures_hold_no_face(analyser: VisionAnalyser, shape: tuple[int, int]) -> None:
    picture = np.random.default_rng(1).integers(0, 255, (*shape, 3), np.uint8)
    assert analyser.detect(picture) == ()
    assert analyser.matte(picture).shape == shape


def test_a_face_shrunk_to_20_pixels_is_said_to_be_small(analyser: VisionAnalyser, astronaut: Picture) -> None:
    tiny = cv2.resize(astronaut[50:200, 150:300], (20, 20), interpolation=cv2.INTER_AREA)
    for face in analyser.detect(np.asarray(tiny)):
        assert face.quality.size < 0.1
        assert any("pixels" in hint for hint in face.quality.hints)


def test_two_people_side_by_side(analyser: VisionAnalyser, astronaut: Picture) -> None:
    half = cv2.resize(astronaut[:400], None, fx=0.6, fy=0.6, interpolation=cv2.INTER_AREA)
    picture = np.full((440, 900, 3), 200, np.uint8)
    picture[20:420, :400] = astronaut[:400, 56:456]
    picture[100 : 100 + half.shape[0], 500 : 500 + half.shape[1]] = half
    faces = analyser.detect(picture)
    assert len(faces) == 2
    assert faces[0].box[0] < 400 < faces[1].box[0]  # the larger one first


def test_a_row_of_small_faces(analyser: VisionAnalyser, astronaut: Picture) -> None:
    head = cv2.resize(astronaut[20:220, 130:330], (90, 90), interpolation=cv2.INTER_AREA)
    picture = np.full((700, 1000, 3), 180, np.uint8)
    places = [(y, x) for y in (60, 420) for x in (60, 340, 620, 860)]
    for y, x in places:
        picture[y : y + 90, x : x + 90] = head
    faces = analyser.detect(picture)
    centers = {((f.box[0] + f.box[2]) / 2, (f.box[1] + f.box[3]) / 2) for f in faces}
    found = [p for p in places if any(p[1] < x < p[1] + 90 and p[0] < y < p[0] + 90 for x, y in centers)]
    assert found == places
    assert len(faces) == len(places)


def test_a_face_that_fills_the_picture(analyser: VisionAnalyser, astronaut: Picture) -> None:
    whole = only(analyser.detect(astronaut)).landmarks
    close = only(analyser.detect(np.ascontiguousarray(astronaut[75:175, 180:275]))).landmarks
    assert moved_share(whole, close + np.array([180, 75, 0])) < 0.06


@pytest.mark.parametrize("turns", [1, 2, 3])
def test_lying_pictures(analyser: VisionAnalyser, astronaut: Picture, turns: int) -> None:
    upright = only(analyser.detect(astronaut)).landmarks[:, :2]
    lying = only(analyser.detect(np.ascontiguousarray(np.rot90(astronaut, turns))))
    x, y = upright.T
    expected = {1: (y, 512 - x), 2: (512 - x, 512 - y), 3: (512 - y, x)}[turns]
    assert moved_share(np.stack(expected, 1), lying.landmarks) < 0.03
    roll = (lying.head.roll_degrees + 90 * turns - 3 + 180) % 360 - 180
    assert abs(roll) < 8


def test_a_huge_picture_gives_its_own_pixels(analyser: VisionAnalyser, astronaut: Picture) -> None:
    scale = 10
    small = only(analyser.detect(astronaut)).landmarks
    large = only(analyser.detect(np.ascontiguousarray(astronaut.repeat(scale, 0).repeat(scale, 1)))).landmarks
    assert moved_share(small * scale, large) < 0.02


@pytest.mark.parametrize(
    "bad", [np.zeros((8, 8), np.uint8), np.zeros((8, 8, 3), np.float32), np.zeros((0, 8, 3), np.uint8)]
)
def test_what_is_no_rgb_picture_is_refused(analyser: VisionAnalyser, bad: np.ndarray) -> None:
    with pytest.raises(ValueError, match="RGB"):
        analyser.detect(bad)
    with pytest.raises(ValueError, match="RGB"):
        analyser.matte(bad)


# -- following ---------------------------------------------------------------


def test_track_follows_a_small_move_in_one_look(analyser: VisionAnalyser, astronaut: Picture) -> None:
    face = only(analyser.detect(astronaut))
    shifted = np.roll(astronaut, (5, 8), (0, 1))
    tracked = analyser.track(shifted, face.landmarks)
    assert tracked.score > 0.99
    assert moved_share(face.landmarks + np.array([8, 5, 0]), tracked.points) < 0.03


def test_track_notices_a_lost_face(analyser: VisionAnalyser, astronaut: Picture) -> None:
    face = only(analyser.detect(astronaut))
    assert analyser.track(np.full_like(astronaut, 90), face.landmarks).score < 0.5


# -- pose ----------------------------------------------------------------------


@pytest.mark.parametrize("degrees", [-25.0, -10.0, 10.0, 25.0])
def test_turning_the_picture_clockwise_adds_positive_roll(
    analyser: VisionAnalyser, astronaut: Picture, degrees: float
) -> None:
    before = only(analyser.detect(astronaut)).head
    after = only(analyser.detect(rotated(astronaut, degrees))).head
    assert after.roll_degrees - before.roll_degrees == pytest.approx(degrees, abs=2.5)


def test_mirroring_turns_yaw_and_roll_around(analyser: VisionAnalyser, astronaut: Picture) -> None:
    head = only(analyser.detect(astronaut)).head
    mirrored = only(analyser.detect(np.ascontiguousarray(astronaut[:, ::-1]))).head
    assert mirrored.yaw_degrees == pytest.approx(-head.yaw_degrees, abs=2.0)
    assert mirrored.pitch_degrees == pytest.approx(head.pitch_degrees, abs=2.0)
    assert mirrored.roll_degrees == pytest.approx(-head.roll_degrees, abs=2.0)


def test_signs_of_yaw_and_pitch(analyser: VisionAnalyser, astronaut: Picture) -> None:
    """Moving only the nose moves the fitted head the same way: right is +yaw, up is +pitch."""
    from studio.engines.vision.pose import head_pose

    points = only(analyser.detect(astronaut)).landmarks
    nose = [4, 6, 129, 358, 198, 420]
    head = head_pose(points)
    right, up = points.copy(), points.copy()
    right[nose, 0] += 8
    up[nose, 1] -= 8
    assert head_pose(right).yaw_degrees > head.yaw_degrees + 1.5
    assert head_pose(up).pitch_degrees > head.pitch_degrees + 1.5


@settings(max_examples=60, deadline=None)
@given(yaw=st.floats(-40, 40), pitch=st.floats(-35, 35), roll=st.floats(-170, 170), scale=st.floats(0.5, 90))
def test_pose_is_recovered_from_the_canonical_face(yaw: float, pitch: float, roll: float, scale: float) -> None:
    from studio.engines.vision import pose

    y, p, r = np.radians([yaw, -pitch, -roll])
    about_y = np.array([[np.cos(y), 0, np.sin(y)], [0, 1, 0], [-np.sin(y), 0, np.cos(y)]])
    about_x = np.array([[1, 0, 0], [0, np.cos(p), -np.sin(p)], [0, np.sin(p), np.cos(p)]])
    about_z = np.array([[np.cos(r), -np.sin(r), 0], [np.sin(r), np.cos(r), 0], [0, 0, 1]])
    rotation = about_y @ about_x @ about_z
    points = np.zeros((478, 3))
    points[pose._INDICES] = (scale * pose._CANONICAL @ rotation.T + [30, -20, 5]) * [1, -1, -1]
    found, residual = pose.rotation_from_landmarks(points)
    assert residual < 1e-6
    np.testing.assert_allclose(found, rotation, atol=1e-6)
    angles = pose_of(found).as_array()
    np.testing.assert_allclose(angles, [yaw, pitch, roll], atol=1e-3)


# -- quality ---------------------------------------------------------------------


def test_quality_of_a_good_photo(analyser: VisionAnalyser, astronaut: Picture) -> None:
    quality = only(analyser.detect(astronaut)).quality
    assert min(quality.sharpness, quality.exposure, quality.frontal, quality.unoccluded) > 0.8
    assert quality.hints == (
        next(h for h in quality.hints if h.startswith("The face is only")),
    )  # its one shortcoming: a small face


def test_blur_darkness_light_and_a_mask_are_noticed(analyser: VisionAnalyser, astronaut: Picture) -> None:
    good = only(analyser.detect(astronaut)).quality
    blurred = only(analyser.detect(np.asarray(cv2.GaussianBlur(astronaut, (0, 0), 2)))).quality
    dark = only(analyser.detect((astronaut * 0.2).astype(np.uint8))).quality
    burnt = only(analyser.detect(np.clip(astronaut * 2.2, 0, 255).astype(np.uint8))).quality
    masked = astronaut.copy()
    masked[130:190, 180:275] = (150, 190, 220)
    covered = only(analyser.detect(masked)).quality
    assert blurred.sharpness < 0.5 < good.sharpness
    assert any("blurred" in h for h in blurred.hints)
    assert dark.exposure < 0.5 < good.exposure
    assert any("dark" in h for h in dark.hints)
    assert burnt.exposure < 0.5
    assert any("bright" in h for h in burnt.hints)
    assert covered.unoccluded < 0.5 < good.unoccluded
    assert any("covered" in h for h in covered.hints)


@settings(max_examples=8, deadline=None)
@given(gain=st.floats(0.1, 3), sigma=st.floats(0.1, 4), degrees=st.floats(-60, 60))
def test_every_measure_stays_between_0_and_1(
    analyser: VisionAnalyser, astronaut: Picture, gain: float, sigma: float, degrees: float
) -> None:
    picture = np.clip(cv2.GaussianBlur(rotated(astronaut, degrees), (0, 0), sigma) * gain, 0, 255).astype(np.uint8)
    for face in analyser.detect(picture):
        q = face.quality
        for value in (face.score, q.sharpness, q.size, q.exposure, q.frontal, q.unoccluded):
            assert 0 <= value <= 1


# -- crops -------------------------------------------------------------------------


@settings(max_examples=40, deadline=None)
@given(
    x=st.floats(20, 380),
    y=st.floats(20, 280),
    side=st.floats(30, 600),
    angle=st.floats(-3.1, 3.1),
    size=st.sampled_from([64, 192]),
)
def test_a_window_shows_what_its_matrix_says(x: float, y: float, side: float, angle: float, size: int) -> None:
    """On a linear ramp every sample equals the ramp at the place the matrix names."""
    ys, xs = np.mgrid[:300, :400] + 0.5
    ramp = np.stack([xs / 400 * 255, ys / 300 * 255, xs * 0], -1).astype(np.uint8)
    crop, to_picture = cut(ramp, Window((x, y), side, angle), size)
    vs, us = np.mgrid[4 : size - 4 : 9, 4 : size - 4 : 9]
    places = np.stack([us + 0.5, vs + 0.5], -1) @ to_picture[:, :2].T + to_picture[:, 2]
    step = side / size
    inside = np.all((places > 2 + 2 * step) & (places < np.array([398, 298]) - 2 * step), axis=-1)
    expected = places / [400, 300] * 255
    difference = np.abs(crop[vs, us, :2] - expected + 0.5)[inside]
    if difference.size:
        assert difference.max() < 2.0 + 0.6 * step
