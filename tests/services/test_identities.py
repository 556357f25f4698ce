"""People: all photos or none, clear refusals, consent as law, deletion that says what goes."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from studio.domain.consent import Consent
from studio.domain.expression import ExpressionEdit
from studio.domain.face import FaceEmbedding
from studio.engines.media.pictures import write_png
from studio.errors import (
    ConflictError,
    ConsentMissingError,
    LimitExceededError,
    NoFaceError,
    NotFoundError,
    SeveralFacesError,
    UnreadableMediaError,
    UserInputError,
)
from studio.services.sources import MediaSource
from tests.services.fakes import picture


def agreed(*scopes, **more) -> Consent:
    return Consent(agreed_by="Ann", scopes=scopes, granted_at=datetime.now(UTC) - timedelta(days=1), **more)


def test_a_person_keeps_photos_faces_and_embeddings(studio, portrait, tmp_path) -> None:
    second = picture(tmp_path / "b.png", shade=90)
    person = studio.identities.add("Ann", [portrait, second], consent=agreed("edit"), notes="A note")
    photos = studio.identities.photos(person.id)
    assert [p.file_name for p in photos] == ["ann.png", "b.png"]
    assert all(p.face is not None and p.face_index == 0 for p in photos)
    assert studio.identities.photo_path(photos[0].id).read_bytes() == portrait.read_bytes()
    assert [e.embedder for e in studio.store.photos.embeddings(photos[0].id)] == ["fake"]
    assert studio.identities.get("ann") == studio.identities.get(person.id)
    assert studio.identities.list()[0].consents[0].agreed_by == "Ann"


def test_without_an_embedder_a_person_can_still_be_added(studio, portrait, engines) -> None:
    engines.analyser.embedder = False
    person = studio.identities.add("Ann", [portrait])
    photo = studio.identities.photos(person.id)[0]
    assert studio.store.photos.embeddings(photo.id) == ()


def test_bytes_are_taken_as_well(studio, portrait) -> None:
    person = studio.identities.add("Ann", [portrait.read_bytes()])
    assert len(studio.identities.photos(person.id)) == 1


def test_several_faces_ask_for_a_choice(studio, tmp_path) -> None:
    crowd = picture(tmp_path / "crowd.png", faces=3)
    with pytest.raises(SeveralFacesError, match="3 faces") as found:
        studio.identities.add("Ann", [crowd])
    assert "--face" in found.value.hint
    person = studio.identities.add("Ann", [crowd], face_index=2)
    assert studio.identities.photos(person.id)[0].face_index == 2
    with pytest.raises(UserInputError, match="no face 4"):
        studio.identities.add("Bob", [crowd], face_index=3)


def test_all_photos_or_none(studio, portrait, tmp_path) -> None:
    nobody = picture(tmp_path / "nobody.png", faces=0)
    with pytest.raises(NoFaceError, match=r"nobody\.png"):
        studio.identities.add("Ann", [portrait, nobody])
    assert studio.identities.list() == ()
    assert studio.whole.upkeep.verify().checked == 0


def test_a_failure_while_storing_leaves_nobody_behind(studio, portrait, monkeypatch) -> None:
    def refuse(*arguments, **options):
        raise OSError("disk")

    monkeypatch.setattr(studio.store.photos, "add", refuse)
    with pytest.raises(OSError, match="disk"):
        studio.identities.add("Ann", [portrait])
    assert studio.identities.list() == ()


def test_small_pictures_and_small_faces_are_refused(studio, tmp_path) -> None:
    with pytest.raises(LimitExceededError, match="20 x 20"):
        studio.identities.add("Ann", [picture(tmp_path / "tiny.png", size=(20, 20))])
    with pytest.raises(LimitExceededError, match="pixels across"):
        studio.identities.add("Ann", [picture(tmp_path / "small.png", size=(70, 70))])


def test_what_is_no_picture(studio, tmp_path) -> None:
    text = tmp_path / "text.png"
    text.write_text("not a picture")
    with pytest.raises(UnreadableMediaError):
        studio.identities.inspect(text)
    with pytest.raises(NotFoundError):
        studio.identities.inspect(tmp_path / "missing.png")


@pytest.mark.parametrize("name", ["", "   ", "x" * 201])
def test_names_that_are_none(studio, portrait, name) -> None:
    with pytest.raises(UserInputError):
        studio.identities.add(name, [portrait])


def test_names_are_unique(studio, portrait) -> None:
    studio.identities.add("Ann", [portrait])
    with pytest.raises(ConflictError):
        studio.identities.add("ann", [portrait])
    other = studio.identities.add("Bob", [portrait])
    with pytest.raises(ConflictError):
        studio.identities.rename(other.id, "Ann")
    assert studio.identities.rename(other.id, "Bert").name == "Bert"


def test_no_photo_no_person(studio) -> None:
    with pytest.raises(UserInputError, match="no photo"):
        studio.identities.add("Ann", [])


def test_inspection_shows_numbered_crops(studio, tmp_path) -> None:
    inspection = studio.identities.inspect(picture(tmp_path / "crowd.png", faces=2))
    assert [f.index for f in inspection.faces] == [0, 1]
    assert [f.likely for f in inspection.faces] == ["person", "drawing"]
    assert any("drawing" in hint for hint in inspection.faces[1].hints)
    for face in inspection.faces:
        assert face.crop.shape == (192, 192, 3)
        assert face.crop[6:43, 6:43].max() == 255, "the number is drawn into the corner"
    assert studio.identities.inspect(picture(tmp_path / "nobody.png", faces=0)).faces == ()


def test_large_pictures_keep_their_own_coordinates(studio, tmp_path) -> None:
    image = np.full((2400, 3000, 3), 100, np.uint8)
    image[:60, :60] = (1, 0, 0)
    path = write_png(tmp_path / "large.png", image)
    inspection = studio.identities.inspect(path)
    assert (inspection.width, inspection.height) == (3000, 2400)
    assert max(inspection.image.shape) == 2048
    _, top, _, bottom = inspection.faces[0].box
    assert bottom - top == pytest.approx(0.6 * 2400, rel=0.01)


def test_recorded_consent_is_the_law(studio, portrait) -> None:
    person = studio.identities.add("Ann", [portrait])
    source = MediaSource.photo(studio.identities.photos(person.id)[0].id)
    studio.expressions.open(source)
    studio.identities.set_consent(person.id, agreed("animate"))
    with pytest.raises(ConsentMissingError):
        studio.expressions.open(source)
    studio.identities.set_consent(person.id, agreed("edit"))
    studio.expressions.open(source)
    assert studio.withdrawals.take_back(person.id).person.consents[0].revoked_at is not None
    with pytest.raises(ConsentMissingError, match="taken back"):
        studio.expressions.open(source)


def test_deleting_says_what_goes_and_takes_it(studio, portrait) -> None:
    person = studio.identities.add("Ann", [portrait], consent=agreed("edit", "animate"))
    handle = studio.expressions.open(MediaSource.photo(studio.identities.photos(person.id)[0].id))
    render = studio.expressions.save(handle, ExpressionEdit({"smile": 0.5}))
    plan = studio.identities.delete_plan(person.id)
    assert (plan.photos, plan.renders, plan.embeddings, plan.consents) == (1, 1, 1, 1)
    assert "1 photo, 1 embedding, 1 render" in plan.sentence
    assert plan.done.startswith(f"{plan.name} was deleted, and with it 1 photo, 1 embedding, 1 render, ")
    assert "cannot be undone" not in plan.done, "it is over"
    assert studio.identities.delete(person.id) == plan
    assert studio.identities.list() == ()
    with pytest.raises(NotFoundError):
        studio.library.show(render.id)
    report = studio.whole.upkeep.verify()
    assert (report.checked, report.ok) == (0, True)


def test_each_photo_of_a_new_person_may_mean_another_face(studio, tmp_path) -> None:
    crowd, alone, many = (picture(tmp_path / f"{n}.png", faces=n, shade=60 + n) for n in (2, 1, 3))
    person = studio.identities.add("Ann", [crowd, alone, many], face_indices=[1, None, 2])
    assert [p.face_index for p in studio.identities.photos(person.id)] == [1, 0, 2]
    with pytest.raises(SeveralFacesError):
        studio.identities.add("Bob", [alone, crowd], face_indices=[None, None])
    assert [p.name for p in studio.identities.list()] == ["Ann"], "all photos are kept, or none"


def seen_by_shade(image, face, *, rendered=False):
    """Whose face it is says the picture's shade: two shades are two people."""
    return FaceEmbedding("dlib-resnet-v1", np.eye(128, dtype=np.float32)[int(image[-1, -1, 0]) // 10])


def test_a_strange_face_among_photos_added_by_hand_is_found(studio, engines, tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(engines.faces(), "embed", seen_by_shade)
    photos = [picture(tmp_path / f"{n}.png", size=(300, 280 + n), shade=200 if n == 4 else 120) for n in range(6)]
    assert studio.identities.strangers_among([(p, None) for p in photos]) == (4,)
    assert studio.identities.strangers_among([(photos[0], 7), (photos[1], None)]) == (), "a face that is not there"
    person = studio.identities.add("Ann", photos)
    strange = studio.identities.strangers(person.id)
    assert [p.file_name for p in studio.identities.photos(person.id) if p.id in strange] == ["4.png"]


def test_without_recognition_nobody_is_called_a_stranger(studio, engines, tmp_path) -> None:
    engines.faces().embedder = False
    photos = [picture(tmp_path / f"{n}.png", size=(300, 280 + n)) for n in range(2)]
    assert studio.identities.strangers_among([(p, None) for p in photos]) == ()
    assert studio.identities.strangers(studio.identities.add("Ann", photos).id) == ()
