"""Likeness: a distance read on the scale of the person's own photos."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import studio.studio as composition
from studio.domain.face import FaceEmbedding
from studio.domain.likeness import likeness_figure
from studio.domain.training import Calibration
from studio.engines import Engines
from studio.errors import EngineUnavailableError, NotFoundError
from studio.services.people.likeness import (
    Likeness,
    LikenessScore,
    enlarged,
    face_square,
    read_distance,
    reference_of,
)
from tests.services.fakes import picture


def of(*vectors):
    return [FaceEmbedding("dlib-resnet-v1", np.array(v, np.float32)) for v in vectors]


def test_each_photo_is_measured_against_the_others() -> None:
    found = reference_of(of((0, 0), (2, 0), (4, 0)))
    assert found is not None
    assert found.center.vector.tolist() == [2, 0]
    assert found.calibration == Calibration("dlib-resnet-v1", 2.0, pytest.approx(2**0.5), 0.6, 3)


def test_one_photo_has_a_center_but_no_scale() -> None:
    found = reference_of(of((1, 2)))
    assert found is not None
    assert (found.count, found.calibration) == (1, None)
    assert read_distance(0.4, None) == LikenessScore(0.4, None, None)
    assert "two photos" in read_distance(0.4, None).sentence
    assert reference_of([]) is None


def test_embeddings_of_different_networks_are_never_mixed() -> None:
    other = FaceEmbedding("insightface-r50", np.ones(4, np.float32))
    found = reference_of([*of((0, 0)), other])
    assert found is not None
    assert (found.count, found.center.embedder) == (1, "insightface-r50")


@given(st.floats(0.0, 0.5), st.floats(0.001, 0.2), st.floats(0.0, 1.5), st.floats(0.0, 1.5))
def test_less_distance_is_more_likeness(own: float, spread: float, near: float, far: float) -> None:
    scale = Calibration("x", own, spread, 0.6, 5)
    near, far = sorted((near, far))
    assert scale.likeness(near) >= scale.likeness(far)
    assert scale.likeness(0.6) == pytest.approx(0.0)
    assert scale.likeness(own) == pytest.approx(1.0)
    score = read_distance(near, scale)
    assert f"Likeness {likeness_figure(score.likeness)} of 1" in score.sentence


def test_small_pictures_are_enlarged_and_large_ones_left() -> None:
    assert enlarged(np.zeros((32, 64, 3), np.uint8), 256).shape == (128, 256, 3)
    large = np.zeros((300, 200, 3), np.uint8)
    assert enlarged(large, 256).shape == large.shape


def test_a_square_around_a_face_repeats_the_edges() -> None:
    image = np.zeros((100, 80, 3), np.uint8)
    image[0], image[-1] = 200, 100
    square = face_square(image, (20, 0, 60, 40))
    assert square.shape == (80, 80, 3)
    assert (square[:20] == 200).all()


def test_scores_use_the_photos_made_as_small(studio, engines, tmp_path) -> None:
    photos = [picture(tmp_path / f"{i}.png", shade=100 + i) for i in range(2)]
    ann = studio.identities.add("Ann", photos)
    image = np.full((64, 64, 3), 90, np.uint8)
    image[:8, :8] = (1, 0, 0)
    before = engines.analyser.detections
    score = studio.likeness.score(image, ann.id)
    assert score.distance == pytest.approx(0.0)
    assert engines.analyser.detections > before + 1, "the photos were looked at again, small"
    after = engines.analyser.detections
    studio.likeness.score(image, ann.id)
    assert engines.analyser.detections == after + 1, "and remembered"
    studio.likeness.score(enlarged(image, 300), ann.id)
    assert engines.analyser.detections == after + 2, "large pictures meet the stored embeddings"


def test_without_face_person_or_embedder(studio, engines, tmp_path) -> None:
    ann = studio.identities.add("Ann", [picture(tmp_path / "a.png")])
    assert studio.likeness.score(np.zeros((64, 64, 3), np.uint8), ann.id) is None
    with pytest.raises(NotFoundError):
        studio.likeness.score(np.zeros((64, 64, 3), np.uint8), "nobody")
    engines.analyser.embedder = False
    image = np.zeros((64, 64, 3), np.uint8)
    image[0, 0, 0] = 1
    with pytest.raises(EngineUnavailableError):
        studio.likeness.measure(image)


def test_real_faces_of_64_pixels_are_told_apart(tmp_path) -> None:
    """Two invented people, three pictures each: every picture is nearer to its own person."""
    from studio.factory.preview_base.drawing import render
    from studio.factory.preview_base.people import sample_person, sample_picture
    from studio.store import Store

    engines = Engines(composition.ASSETS)
    if not (composition.ASSETS / "models").is_dir():
        pytest.skip("the face models are not here")
    rng = np.random.default_rng(3)
    people = [sample_person(rng, sex="man", age="old"), sample_person(rng, sex="woman", age="young")]
    with Store(tmp_path) as store:
        likeness = Likeness(store.of("local"), engines)
        pictures = [
            [render(sample_picture(rng, p, direction="straight", glasses="no"), 64)[0] for _ in range(3)]
            for p in people
        ]
        references = [likeness.reference_of_pictures(own, 64) for own in pictures]
        for index, own in enumerate(pictures):
            mine, other = references[index], references[1 - index]
            assert mine is not None
            assert other is not None
            assert mine.count == 3
            for image in own:
                assert likeness.distance(image, mine.center) < likeness.distance(image, other.center)
