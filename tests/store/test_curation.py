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
    sha256, mask = store.media.put(ME, data, ".jpg"), store.media.put(ME, b"the matte of " + data, ".png")
    vector = np.arange(128, dtype=np.float32)
    found = IntakeFace(
        key=f"{sha256}:0", index=0, face=a_face(), embedding=FaceEmbedding("dlib", vector),
        measures=Measures(smile=0.25, background_rgb=(0.1, 0.2, 0.3)),
    )  # fmt: skip
    return Analysis(
        sha256=sha256, version="1", width=30, height=20, fingerprint=(1 << 64) - 3, mask_sha256=mask, faces=(found,)
    )


def an_intake(store: Store, *analyses: Analysis) -> str:
    return store.curation.add_intake(ME, "Heap", [NewFile(f"{i}.jpg", a.sha256) for i, a in enumerate(analyses)])


def test_measurements_come_back_as_they_were_and_only_to_their_version_and_owner(store: Store) -> None:
    made = an_analysis(store)
    store.measurements.put(ME, made, {-1: b"whole", 0: b"face"})
    kept = store.measurements.get(ME, made.sha256, "1")
    assert kept is not None
    (face,) = kept.faces
    assert replace(kept, faces=()) == replace(made, faces=())
    assert face.measures == made.faces[0].measures
    assert face.embedding is not None
    assert np.array_equal(face.embedding.vector, np.arange(128))
    assert np.array_equal(face.face.landmarks, a_face().landmarks)
    assert store.measurements.look(ME, made.sha256, 0) == b"face"
    assert store.measurements.get(ME, made.sha256, "2") is None
    assert store.measurements.get("somebody else", made.sha256, "1") is None
    assert store.measurements.look("somebody else", made.sha256, 0) is None
    with pytest.raises(ConflictError):
        store.measurements.put(ME, replace(made, sha256="f" * 64))


def test_measurements_and_mattes_leave_with_the_last_use_of_the_bytes(store: Store) -> None:
    made = an_analysis(store)
    store.measurements.put(ME, made, {-1: b"whole"})
    intake = an_intake(store, made)
    photo = store.photos.add(ME, made.sha256, file_name="a.jpg", width=30, height=20)
    store.curation.delete_intake(ME, intake)
    assert store.measurements.get(ME, made.sha256, "1") is not None
    store.photos.delete(ME, photo.id)
    assert store.database.value("SELECT count(*) FROM media") == 0
    assert store.database.value("SELECT count(*) FROM photo_looks") == 0
    report = store.media.verify()
    assert (report.ok, report.unused) == (True, ())


def test_photos_of_a_waiting_intake_are_not_swept(store: Store) -> None:
    made = an_analysis(store)
    store.measurements.put(ME, made)
    an_intake(store, made)
    assert store.media.sweep(grace_seconds=0).trashed == 0
    assert store.media.has(ME, made.sha256)


def test_intakes_are_an_owners_own(store: Store) -> None:
    intake = an_intake(store, an_analysis(store))
    assert [i.id for i in store.curation.intakes(ME)] == [intake]
    assert store.curation.intakes("somebody else") == ()
    for call in (store.curation.delete_intake, lambda o, i: store.curation.intake(o, i, "1")):
        with pytest.raises(NotFoundError):
            call("somebody else", intake)


def test_undo_walks_back_step_by_step_and_stops(store: Store) -> None:
    made = an_analysis(store)
    intake = an_intake(store, made)
    photo = store.curation.intake(ME, intake, "1").photos[0].id
    store.curation.decide(ME, intake, [photo], "drop", "Leave out 1")
    store.curation.decide(ME, intake, [photo], "keep", "Keep 1")
    store.curation.name_face(ME, intake, f"{photo}:0", "Ada")
    store.curation.name_face(ME, intake, f"{photo}:0", "Eve")
    store.curation.link(ME, intake, "b", "a", True, "The same")
    store.curation.confirm(ME, intake, "Take over", people={}, names={}, photos=("x",), identities=("y",))
    now = store.curation.intake(ME, intake, "1")
    assert (now.names, now.links) == ({f"{photo}:0": "Eve"}, (("a", "b", True),))
    assert now.confirmed is not None
    step = store.curation.steps.undo(ME, intake_id=intake)
    assert step is not None
    assert (step.photos, step.identities) == (("x",), ("y",))
    titles = []
    while (step := store.curation.steps.undo(ME, intake_id=intake)) is not None:
        titles.append(step.title)
        state = store.curation.intake(ME, intake, "1")
    assert titles == ["The same", "Name “Eve”", "Name “Ada”", "Keep 1", "Leave out 1"]
    assert (state.names, state.links, state.photos[0].decision, state.confirmed) == ({}, (), None, None)


def test_choices_change_single_columns_and_can_be_taken_back(store: Store) -> None:
    person = store.identities.add(ME, "Ada")
    made = an_analysis(store)
    photo = store.photos.add(ME, made.sha256, file_name="a.jpg", width=30, height=20, identity_id=person.id)
    crop = CropBox(1, 2, 16)
    store.curation.choose(ME, person.id, {photo.id: {"kept": False}}, "Leave out")
    store.curation.choose(ME, person.id, {photo.id: {"caption": "at the sea", "crop": crop}}, "Caption")
    assert store.curation.choices(ME, person.id) == {photo.id: PhotoChoice(False, "at the sea", crop)}
    store.curation.steps.undo(ME, identity_id=person.id)
    assert store.curation.choices(ME, person.id) == {photo.id: PhotoChoice(False)}
    store.curation.steps.undo(ME, identity_id=person.id)
    assert store.curation.choices(ME, person.id) == {}
    store.curation.set_policy(ME, person.id, "hair", "describe")
    assert store.curation.policies(ME, person.id) == {"hair": "describe"}


def test_deleting_a_person_takes_heaps_they_are_in_and_spares_others(store: Store) -> None:
    ada, bob = store.identities.add(ME, "Ada"), store.identities.add(ME, "Bob")
    hers, his = an_analysis(store, b"Ada"), an_analysis(store, b"Bob")
    for made, person in ((hers, ada), (his, bob)):
        store.measurements.put(ME, made, {-1: b"small"})
        store.photos.add(ME, made.sha256, file_name="a.jpg", width=30, height=20, identity_id=person.id)
    seen, apart = an_intake(store, hers), an_intake(store, his)
    assert store.identities.plan_deletion(ME, ada.id).intakes == 1
    plan = store.identities.delete(ME, ada.id)
    assert (plan.intakes, plan.files) == (1, 2)  # the photo and its matte
    assert [i.id for i in store.curation.intakes(ME)] == [apart]
    assert seen not in [i.id for i in store.curation.intakes(ME)]
    assert store.measurements.get(ME, his.sha256, "1") is not None
    assert store.measurements.get(ME, hers.sha256, "1") is None
