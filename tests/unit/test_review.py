"""Reading a heap: verdicts with reasons, near-duplicates, questions; and what is learned from answers."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from studio.domain.curation import (
    Analysis,
    CropBox,
    Intake,
    IntakeFace,
    IntakePhoto,
    KnownFace,
    Review,
    crop_box,
    crop_share,
    flags_of,
)
from studio.domain.face import DetectedFace, FaceEmbedding, PhotoQuality
from studio.domain.pose import HeadPose
from studio.domain.review import review
from studio.domain.traits import Measures

EMBEDDER = "dlib-resnet-v1"
ANN, BOB = np.eye(8)[0] * 0.7, np.eye(8)[1] * 0.7  # .99 apart


def vector(middle: np.ndarray, seed: int, spread: float = 0.2) -> FaceEmbedding:
    noise = np.random.default_rng(seed).normal(0, 1, 8)
    return FaceEmbedding(EMBEDDER, (middle + spread * noise / np.linalg.norm(noise)).astype(np.float32))


def a_face(side: float = 300.0, x: float = 100.0, **quality: float) -> DetectedFace:
    values = {"sharpness": 1.0, "size": 1.0, "exposure": 1.0, "frontal": 1.0, "unoccluded": 1.0, **quality}
    return DetectedFace(
        (x, 100.0, x + side, 100.0 + side), 1.0, np.zeros((478, 3), np.float32), HeadPose(), PhotoQuality(**values)
    )


def photo(
    number: int, *vectors: FaceEmbedding | None, bits: int | None = None, face: DetectedFace | None = None
) -> IntakePhoto:
    """Return an analysed photo; its fingerprint is far from any other's unless `bits` says what it is."""
    id = f"p{number}"
    rng = np.random.default_rng(number)
    faces = tuple(
        IntakeFace(key=f"{id}:{i}", index=i, face=face or a_face(x=100 + 400 * i), embedding=v)
        for i, v in enumerate(vectors)
    )
    analysis = Analysis(
        sha256=f"{number:064x}", version="1", width=1000, height=1000, faces=faces,
        fingerprint=int(rng.integers(0, 1 << 63)) if bits is None else bits,
    )  # fmt: skip
    return IntakePhoto(id=id, position=number, file_name=f"{id}.jpg", sha256=analysis.sha256, analysis=analysis)


def heap(*photos: IntakePhoto, **values: object) -> Intake:
    return Intake(
        id="i", owner="local", title="Heap", photos=photos, created=datetime(2026, 1, 1, tzinfo=UTC), **values
    )  # type: ignore[arg-type]


def of(found: Review, id: str):
    return next(v for v in found.verdicts if v.photo_id == id)


def test_the_main_person_is_proposed_and_the_stranger_named_with_the_distance() -> None:
    found = review(heap(*(photo(i, vector(ANN, i)) for i in range(4)), photo(9, vector(BOB, 9))))
    assert [c.wanted for c in found.clusters] == [True, False]
    assert [of(found, f"p{i}").state for i in range(4)] == ["keep"] * 4
    stranger = of(found, "p9")
    assert stranger.state == "drop"
    assert f"{stranger.distance:.2f}" in stranger.reason
    assert stranger.reason.startswith("Another person: distance")
    assert stranger.distance > 0.52


def test_a_doubtful_face_is_asked_about_and_each_answer_settles_it() -> None:
    doubtful = FaceEmbedding(EMBEDDER, (ANN + np.eye(8)[5] * 0.56).astype(np.float32))
    photos = [*(photo(i, vector(ANN, i)) for i in range(4)), photo(9, doubtful)]
    first = review(heap(*photos))
    assert of(first, "p9").state == "unsure"
    ask = first.questions[0]
    assert {ask.first.partition(":")[0], ask.second.partition(":")[0]} >= {"p9"}
    yes = review(heap(*photos, links=((ask.first, ask.second, True),)))
    assert "p9:0" in yes.clusters[0].faces
    assert not yes.questions
    no = review(heap(*photos, links=((ask.first, ask.second, False),)))
    assert of(no, "p9").state == "drop"
    assert "You said" in of(no, "p9").reason
    assert not no.questions


def test_near_duplicates_are_grouped_by_picture_and_face_and_the_best_stays() -> None:
    sharp, soft = a_face(), a_face(sharpness=0.6)
    same = vector(ANN, 1)
    photos = [
        photo(0, same, bits=0b1111, face=soft), photo(1, same, bits=0b1101, face=sharp),
        photo(2, vector(ANN, 2)), photo(3, vector(BOB, 3), bits=0b1111),
    ]  # fmt: skip
    found = review(heap(*photos, names={"p0:0": "Ann", "p3:0": "Bob"}))
    assert found.groups == (("p1", "p0"),)  # Bob's picture looks alike, but his face does not
    assert of(found, "p0").state == "drop"
    assert "p1.jpg" in of(found, "p0").reason
    assert of(found, "p1").best
    kept = review(heap(replace(photos[0], decision="keep"), *photos[1:]))
    assert (of(kept, "p0").state, of(kept, "p1").state) == ("keep", "drop")
    refused = review(heap(photos[0], replace(photos[1], decision="drop"), *photos[2:]))
    assert (of(refused, "p0").state, of(refused, "p1").state) == ("drop", "drop")
    assert "which you left out" in of(refused, "p0").reason


def test_two_faces_of_one_photo_are_never_one_person() -> None:
    found = review(heap(photo(0, vector(ANN, 0), vector(ANN, 1)), photo(1, vector(ANN, 2))))
    both = [c for c in found.clusters if {"p0:0", "p0:1"} <= set(c.faces)]
    assert not both


def test_equal_names_make_one_person_and_different_names_keep_apart() -> None:
    photos = [photo(i, vector(ANN, i)) for i in range(3)] + [photo(i, vector(BOB, i)) for i in range(3, 6)]
    one = review(heap(*photos, names={"p0:0": "Ann", "p3:0": "ann"}))
    assert [len(c.faces) for c in one.clusters] == [6]
    two = review(heap(*photos, names={"p0:0": "Ann", "p1:0": "Twin", "p3:0": "Bob"}))
    assert {c.name for c in two.clusters if c.wanted} == {"Ann", "Twin", "Bob"}


def test_the_known_person_is_found_and_missed_out_loud() -> None:
    known = (KnownFace(key="known:k", embedding=vector(ANN, 77)),)
    photos = [photo(i, vector(BOB, i)) for i in range(3)]
    with_ann = review(heap(*photos, photo(9, vector(ANN, 9)), identity_id="i"), known, "Ann")
    assert [c.name for c in with_ann.clusters if c.wanted] == ["Ann"]
    assert of(with_ann, "p9").state == "keep"
    without = review(heap(*photos, identity_id="i"), known, "Ann")
    assert without.count("keep") == 0
    assert any("Ann was not recognised" in n for n in without.notes)


def test_what_cannot_be_used_says_why_and_what_waits_is_unsure() -> None:
    broken = IntakePhoto(id="b", position=5, file_name="b.jpg", sha256=None, problem="b.jpg is empty.", hint="Copy it.")
    waits = IntakePhoto(id="w", position=6, file_name="w.jpg", sha256="0" * 64)
    found = review(heap(photo(0, vector(ANN, 0)), broken, waits))
    assert (of(found, "b").state, of(found, "b").reason) == ("drop", "b.jpg is empty.")
    assert of(found, "w").state == "unsure"


def test_without_recognition_nobody_is_told_apart_and_it_is_said() -> None:
    found = review(heap(photo(0, None), photo(1, None, None)))
    assert of(found, "p0").state == "keep"
    assert of(found, "p1").state == "unsure"
    assert any("cannot be compared" in n for n in found.notes)


@pytest.mark.parametrize(
    ("quality", "word"),
    [
        ("size", "small"),
        ("sharpness", "blurred"),
        ("exposure", "badly lit"),
        ("unoccluded", "covered"),
        ("frontal", "turned away"),
    ],
)
def test_shortcomings_are_flagged(quality: str, word: str) -> None:
    found = IntakeFace(key="a:0", index=0, face=a_face(**{quality: 0.3}))
    assert [f.word for f in flags_of(found)] == [word]
    assert flags_of(found, 2)[-1].sentence.startswith("2 other people")


def test_blur_is_judged_at_the_size_that_training_sees() -> None:
    sharp = IntakeFace(key="a:0", index=0, face=a_face(sharpness=0.1), measures=Measures(detail=0.1))
    assert flags_of(sharp) == ()
    soft = IntakeFace(key="a:0", index=0, face=a_face(sharpness=0.9), measures=Measures(detail=0.04))
    assert [f.word for f in flags_of(soft)] == ["blurred"]
    found = review(heap(photo(0, vector(ANN, 0), face=a_face(sharpness=0.05)), photo(1, vector(ANN, 1))))
    assert of(found, "p0").state == "drop"


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 999), st.integers(1, 10))
def test_every_photo_has_one_verdict_in_order_and_kept_ones_have_a_face(seed: int, count: int) -> None:
    rng = np.random.default_rng(seed)
    photos = [
        photo(i, *(vector((ANN, BOB)[rng.integers(2)], int(rng.integers(99)), 0.5) for _ in range(rng.integers(1, 4))))
        for i in range(count)
    ]
    found = review(heap(*photos))
    assert [v.photo_id for v in found.verdicts] == [p.id for p in photos]
    assert all(v.faces for v in found.verdicts if v.state == "keep")
    assert sum(len(c.faces) for c in found.clusters) == sum(len(p.faces) for p in photos)


@settings(max_examples=60, deadline=None)
@given(
    st.integers(64, 4000), st.integers(64, 4000), st.floats(0, 1), st.floats(0, 1), st.floats(0.05, 1),
    st.sampled_from([0.34, 0.48, 0.7]),
)  # fmt: skip
def test_crops_are_squares_inside_the_photo_around_the_face(
    w: int, h: int, x: float, y: float, size: float, share: float
) -> None:
    side = size * min(w, h)
    x0, y0 = x * (w - side), y * (h - side)
    face = replace(a_face(), box=(x0, y0, x0 + side, y0 + side))
    box = crop_box(w, h, face, share)
    assert isinstance(box, CropBox)
    assert min(box.x, box.y) >= 0
    assert box.x + box.side <= w
    assert box.y + box.side <= h
    assert box.side <= round(side / share) + 1
    assert box.x - 1 <= x0 + side / 2 <= box.x + box.side + 1


def test_another_face_stays_outside_the_crop_where_that_is_cheap() -> None:
    mine = replace(a_face(), box=(300.0, 300.0, 500.0, 500.0))
    other = replace(a_face(), box=(600.0, 300.0, 800.0, 500.0))
    assert crop_box(1000, 1000, mine, 0.48, [other]).x + crop_box(1000, 1000, mine, 0.48, [other]).side <= 601
    assert crop_box(1000, 1000, mine, 0.48).side > crop_box(1000, 1000, mine, 0.48, [other]).side


def test_small_bases_see_head_and_shoulders_only() -> None:
    assert {crop_share(i, 64) for i in range(8)} == {0.48}
    assert len({crop_share(i, 512) for i in range(8)}) > 1
