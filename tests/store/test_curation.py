"""Rows of curation: measurements go with their bytes, changes leave the way back behind them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from studio.domain.curation import Analysis, CropBox, IntakeFace
from studio.domain.face import FaceEmbedding
from studio.domain.traits import Measures
from studio.errors import ConflictError, NotFoundError
from studio.store import Store
from studio.store.curation import NewFile, PhotoChoice
from tests.store.conftest import ME, a_face


def an_analysis(store: Store, data: bytes = b"a photo") -> Analysis:
    sha256, mask = store.of(ME).media.put(data, ".jpg"), store.of(ME).media.put(b"the matte of " + data, ".png")
    vector = np.arange(128, dtype=np.float32)
    found = IntakeFace(
        key=f"{sha256}:0", index=0, face=a_face(), embedding=FaceEmbedding("dlib", vector),
        measures=Measures(smile=0.25, background_rgb=(0.1, 0.2, 0.3)),
    )  # fmt: skip
    return Analysis(
        sha256=sha256, version="1", width=30, height=20, fingerprint=(1 << 64) - 3, mask_sha256=mask, faces=(found,)
    )


def an_intake(store: Store, *analyses: Analysis) -> str:
    return store.of(ME).curation.add_intake("Heap", [NewFile(f"{i}.jpg", a.sha256) for i, a in enumerate(analyses)])


def test_measurements_come_back_as_they_were_and_only_to_their_version_and_owner(store: Store) -> None:
    made = an_analysis(store)
    store.of(ME).measurements.put(made, {-1: b"whole", 0: b"face"})
    kept = store.of(ME).measurements.get(made.sha256, "1")
    assert kept is not None
    (face,) = kept.faces
    assert replace(kept, faces=()) == replace(made, faces=())
    assert face.measures == made.faces[0].measures
    assert face.embedding is not None
    assert np.array_equal(face.embedding.vector, np.arange(128))
    assert np.array_equal(face.face.landmarks, a_face().landmarks)
    assert store.of(ME).measurements.look(made.sha256, 0) == b"face"
    assert store.of(ME).measurements.get(made.sha256, "2") is None
    assert store.of("somebody else").measurements.get(made.sha256, "1") is None
    assert store.of("somebody else").measurements.look(made.sha256, 0) is None
    with pytest.raises(ConflictError):
        store.of(ME).measurements.put(replace(made, sha256="f" * 64))


def test_measurements_and_mattes_leave_with_the_last_use_of_the_bytes(store: Store) -> None:
    made = an_analysis(store)
    store.of(ME).measurements.put(made, {-1: b"whole"})
    intake = an_intake(store, made)
    photo = store.of(ME).photos.add(made.sha256, file_name="a.jpg", width=30, height=20)
    store.of(ME).curation.delete_intake(intake)
    assert store.of(ME).measurements.get(made.sha256, "1") is not None
    store.of(ME).photos.delete(photo.id)
    assert store.database.value("SELECT count(*) FROM media") == 0
    assert store.database.value("SELECT count(*) FROM photo_looks") == 0
    report = store.files.verify()
    assert (report.ok, report.unused) == (True, ())


def test_photos_of_a_waiting_intake_are_not_swept(store: Store) -> None:
    made = an_analysis(store)
    store.of(ME).measurements.put(made)
    an_intake(store, made)
    assert store.files.sweep(grace_seconds=0).trashed == 0
    assert store.of(ME).media.has(made.sha256)


def test_intakes_are_an_owners_own(store: Store) -> None:
    intake = an_intake(store, an_analysis(store))
    assert [i.id for i in store.of(ME).curation.intakes()] == [intake]
    assert store.of("somebody else").curation.intakes() == ()
    others = store.of("somebody else").curation
    for call in (others.delete_intake, lambda i: others.intake(i, "1")):
        with pytest.raises(NotFoundError):
            call(intake)


def test_undo_walks_back_step_by_step_and_stops(store: Store) -> None:
    made = an_analysis(store)
    intake = an_intake(store, made)
    photo = store.of(ME).curation.intake(intake, "1").photos[0].id
    store.of(ME).curation.decide(intake, [photo], "drop", "Leave out 1")
    store.of(ME).curation.decide(intake, [photo], "keep", "Keep 1")
    store.of(ME).curation.name_face(intake, f"{photo}:0", "Ada")
    store.of(ME).curation.name_face(intake, f"{photo}:0", "Eve")
    store.of(ME).curation.link(intake, "b", "a", True, "The same")
    store.of(ME).curation.confirm(intake, "Take over", people={}, names={}, photos=("x",), identities=("y",))
    now = store.of(ME).curation.intake(intake, "1")
    assert (now.names, now.links) == ({f"{photo}:0": "Eve"}, (("a", "b", True),))
    assert now.confirmed is not None
    step = store.of(ME).curation.steps.undo(intake_id=intake)
    assert step is not None
    assert (step.photos, step.identities) == (("x",), ("y",))
    titles = []
    while (step := store.of(ME).curation.steps.undo(intake_id=intake)) is not None:
        titles.append(step.title)
        state = store.of(ME).curation.intake(intake, "1")
    assert titles == ["The same", "Name “Eve”", "Name “Ada”", "Keep 1", "Leave out 1"]
    assert (state.names, state.links, state.photos[0].decision, state.confirmed) == ({}, (), None, None)


def test_choices_change_single_columns_and_can_be_taken_back(store: Store) -> None:
    person = store.of(ME).identities.add("Ada")
    made = an_analysis(store)
    photo = store.of(ME).photos.add(made.sha256, file_name="a.jpg", width=30, height=20, identity_id=person.id)
    crop = CropBox(1, 2, 16)
    store.of(ME).curation.choose(person.id, {photo.id: {"kept": False}}, "Leave out")
    store.of(ME).curation.choose(person.id, {photo.id: {"caption": "at the sea", "crop": crop}}, "Caption")
    assert store.of(ME).curation.choices(person.id) == {photo.id: PhotoChoice(False, "at the sea", crop)}
    store.of(ME).curation.steps.undo(identity_id=person.id)
    assert store.of(ME).curation.choices(person.id) == {photo.id: PhotoChoice(False)}
    store.of(ME).curation.steps.undo(identity_id=person.id)
    assert store.of(ME).curation.choices(person.id) == {}
    store.of(ME).curation.set_policy(person.id, "hair", "describe")
    assert store.of(ME).curation.policies(person.id) == {"hair": "describe"}


def test_deleting_a_person_takes_heaps_they_are_in_and_spares_others(store: Store) -> None:
    ada, bob = store.of(ME).identities.add("Ada"), store.of(ME).identities.add("Bob")
    hers, his = an_analysis(store, b"Ada"), an_analysis(store, b"Bob")
    for made, person in ((hers, ada), (his, bob)):
        store.of(ME).measurements.put(made, {-1: b"small"})
        store.of(ME).photos.add(made.sha256, file_name="a.jpg", width=30, height=20, identity_id=person.id)
    seen, apart = an_intake(store, hers), an_intake(store, his)
    assert store.of(ME).identities.plan_deletion(ada.id).intakes == 1
    plan = store.of(ME).identities.delete(ada.id)
    assert (plan.intakes, plan.files) == (1, 2)  # the photo and its matte
    assert [i.id for i in store.of(ME).curation.intakes()] == [apart]
    assert seen not in [i.id for i in store.of(ME).curation.intakes()]
    assert store.of(ME).measurements.get(his.sha256, "1") is not None
    assert store.of(ME).measurements.get(hers.sha256, "1") is None
