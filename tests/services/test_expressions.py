"""Sliders on a photo: the shelf of portraits, drawing, keeping, bare files."""

from __future__ import annotations

import copy
import hashlib
import threading

import numpy as np
import pytest
from PIL import Image

from studio.domain.expression import ExpressionEdit
from studio.errors import ConflictError, LimitExceededError, NotFoundError, SeveralFacesError, UserInputError
from studio.services.portraits.prepared import KEPT_PORTRAITS
from studio.services.sources import MediaSource
from tests.services.fakes import picture

EDIT = ExpressionEdit({"jawOpen": 0.5})


def test_opening_shows_the_photos_own_weights(studio, portrait) -> None:
    handle = studio.expressions.open(MediaSource.file(portrait))
    assert handle.own_values["mouthSmileLeft"] == 0.25
    assert len(handle.own_values) == 52
    assert (handle.width, handle.height) == (300, 280)
    assert "It is a fake." in handle.hints


def test_handles_are_small_values(studio, portrait) -> None:
    handle = studio.expressions.open(MediaSource.file(portrait))
    assert copy.deepcopy(handle) == handle


def test_an_empty_edit_is_the_photo_and_an_edit_is_not(studio, portrait) -> None:
    handle = studio.expressions.open(MediaSource.file(portrait))
    before = studio.expressions.original(handle)
    assert np.array_equal(studio.expressions.render(handle, ExpressionEdit()).image, before)
    assert not np.array_equal(studio.expressions.render(handle, EDIT).image, before)
    assert studio.expressions.render(handle, ExpressionEdit({"headYaw": 15})).hints == ("The head is turned far.",)


def test_portraits_are_prepared_once_and_let_go_in_turn(studio, tmp_path, engines) -> None:
    paths = [picture(tmp_path / f"{i}.png", shade=50 + i) for i in range(KEPT_PORTRAITS + 1)]
    handles = [studio.expressions.open(MediaSource.file(p)) for p in paths]
    assert len(engines.mover.portraits) == KEPT_PORTRAITS + 1
    studio.expressions.render(handles[-1], EDIT)
    assert len(engines.mover.portraits) == KEPT_PORTRAITS + 1
    studio.expressions.render(handles[0], EDIT)
    assert len(engines.mover.portraits) == KEPT_PORTRAITS + 2, "the oldest was let go and is made again"


def test_the_same_bytes_under_another_name_are_the_same_portrait(studio, tmp_path, engines) -> None:
    for name in ("a.png", "b.png"):
        studio.expressions.open(MediaSource.file(picture(tmp_path / name)))
    assert len(engines.mover.portraits) == 1


def test_threads_may_draw_at_once(studio, portrait) -> None:
    handle = studio.expressions.open(MediaSource.file(portrait))
    found, failed = [], []

    def draw(value: float) -> None:
        try:
            image = studio.expressions.render(handle, ExpressionEdit({"jawOpen": value})).image
            found.append((value, int(image[100, 100, 0])))
        except Exception as exc:
            failed.append(exc)

    threads = [threading.Thread(target=draw, args=(i / 20,)) for i in range(1, 16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failed
    assert all(shade == int(255 * np.float32(value)) for value, shade in found)
    assert len(found) == 15


@pytest.mark.parametrize(("size", "longer"), [(None, 300), (256, 256), (600, 600)])
def test_size_is_the_longer_side(studio, portrait, size, longer) -> None:
    handle = studio.expressions.open(MediaSource.file(portrait), size=size)
    assert max(handle.width, handle.height) == longer
    assert handle.width / handle.height == pytest.approx(300 / 280, rel=0.01)
    assert any("enlarged" in h for h in handle.hints) == (size == 600)


@pytest.mark.parametrize("size", [0, 255, 2049])
def test_impossible_sizes(studio, portrait, size) -> None:
    with pytest.raises(LimitExceededError):
        studio.expressions.open(MediaSource.file(portrait), size=size)


def test_a_stored_photo_knows_its_face(studio, tmp_path) -> None:
    crowd = picture(tmp_path / "crowd.png", faces=2)
    with pytest.raises(SeveralFacesError):
        studio.expressions.open(MediaSource.file(crowd))
    person = studio.identities.add("Ann", [crowd], face_index=1)
    handle = studio.expressions.open(MediaSource.photo(studio.identities.photos(person.id)[0].id))
    assert handle.face_index == 1


def test_saving_keeps_recipe_lineage_and_thumbnail(studio, portrait) -> None:
    person = studio.identities.add("Ann", [portrait])
    photo = studio.identities.photos(person.id)[0]
    handle = studio.expressions.open(MediaSource.photo(photo.id))
    render = studio.expressions.save(handle, EDIT, note="A yawn")
    assert (render.kind, render.title, render.identity_id, render.photo_id) == ("image", "A yawn", person.id, photo.id)
    assert render.inputs == {"portrait": photo.sha256}
    assert render.seconds > 0
    assert studio.library.recipe_of_file(studio.library.path(render)) == dict(render.recipe)
    with Image.open(studio.library.thumbnail(render)) as small:
        assert max(small.size) == 300
    again = studio.library.rerun(render.id)
    assert again.same_frames
    assert again.render.parent_id == render.id


def test_saving_from_a_bare_file_keeps_the_file(studio, portrait) -> None:
    handle = studio.expressions.open(MediaSource.file(portrait))
    render = studio.expressions.save(handle, EDIT)
    portrait.unlink()
    assert studio.library.rerun(render.id).same_frames


def test_another_engine_version_is_no_rerun(studio, portrait, engines) -> None:
    handle = studio.expressions.open(MediaSource.file(portrait))
    render = studio.expressions.save(handle, EDIT)
    engines.mover.version = "2"
    with pytest.raises(UserInputError, match="rig 1"):
        studio.library.rerun(render.id)


@pytest.mark.parametrize("name", ["out.png", "out.jpg"])
def test_editing_a_bare_file_leaves_the_library_alone(studio, portrait, tmp_path, name) -> None:
    edited = studio.expressions.edit_file(MediaSource.file(portrait), EDIT, tmp_path / name)
    with Image.open(tmp_path / name) as image:
        assert image.size == (300, 280)
        assert abs(int(np.asarray(image.convert("RGB"))[50, 50, 0]) - int(edited.image[50, 50, 0])) <= 2
    assert studio.library.recipe_of_file(tmp_path / name)["request"]["values"] == dict(EDIT.values)
    assert studio.library.page().total == 0
    assert studio.whole.upkeep.verify().checked == 0


def test_where_an_edit_cannot_go(studio, portrait, tmp_path) -> None:
    with pytest.raises(UserInputError, match="picture format"):
        studio.expressions.edit_file(MediaSource.file(portrait), EDIT, tmp_path / "out.tiff")
    photo = portrait.read_bytes()
    with pytest.raises(UserInputError, match="starts from"):
        studio.expressions.edit_file(MediaSource.file(portrait), EDIT, portrait)
    assert portrait.read_bytes() == photo
    with pytest.raises(NotFoundError):
        studio.expressions.edit_file(MediaSource.file(portrait), EDIT, tmp_path / "no" / "folder.png")
    with pytest.raises(NotFoundError):
        studio.expressions.open(MediaSource.file(tmp_path / "missing.png"))
    with pytest.raises(NotFoundError):
        studio.expressions.open(MediaSource.photo("nobody"))


@pytest.fixture
def hashed(monkeypatch):
    """The sizes of everything that is hashed from here on, one entry for each hash."""
    found = []
    whole, of_file = hashlib.sha256, hashlib.file_digest

    def sha256(data=b"", **options):
        if data:
            found.append(len(data))
        return whole(data, **options)

    def file_digest(file, name):
        found.append(file.seek(0, 2))
        file.seek(0)
        return of_file(file, name)

    monkeypatch.setattr(hashlib, "sha256", sha256)
    monkeypatch.setattr(hashlib, "file_digest", file_digest)
    return found


def test_a_file_is_hashed_once_when_it_is_opened_and_no_more(studio, portrait, hashed) -> None:
    handle = studio.expressions.open(MediaSource.file(portrait))
    assert hashed.count(portrait.stat().st_size) == 1
    for amount in (0.1, 0.2, 0.3):
        studio.expressions.render(handle, ExpressionEdit({"jawOpen": amount}))
    assert hashed.count(portrait.stat().st_size) == 1, "a slider reads nothing"


def test_an_edit_of_a_stored_photo_is_hashed_and_drawn_once_and_kept(studio, portrait, tmp_path, engines, hashed):
    photo = studio.identities.photos(studio.identities.add("Ann", [portrait]).id)[0]
    hashed.clear()
    edited = studio.expressions.edit_file(MediaSource.photo(photo.id), EDIT, tmp_path / "out.png")
    assert hashed.count(portrait.stat().st_size) == 1
    assert [p.drawn for p in engines.mover.portraits] == [1]
    kept = studio.library.show(edited.render_id)
    assert kept.photo_id == photo.id
    signed = studio.provenance.verify(tmp_path / "out.png").credentials
    assert signed.content_sha256 == kept.media_sha256, "what was kept, with credentials"
    studio.expressions.open(MediaSource.photo(photo.id))
    assert hashed.count(portrait.stat().st_size) == 1, "the store knows the hash of what it keeps"


def test_writing_what_is_open_leaves_the_library_alone(studio, portrait, tmp_path) -> None:
    photo = studio.identities.photos(studio.identities.add("Ann", [portrait]).id)[0]
    handle = studio.expressions.open(MediaSource.photo(photo.id))
    written = studio.expressions.write(handle, EDIT, tmp_path / "out.png")
    assert written.render_id is None
    assert studio.library.page().total == 0
    assert studio.library.recipe_of_file(tmp_path / "out.png")["request"]["values"] == dict(EDIT.values)


def test_a_file_that_changes_after_opening_is_not_taken_for_what_was_opened(studio, portrait, tmp_path) -> None:
    handle = studio.expressions.open(MediaSource.file(portrait))
    picture(portrait, shade=77)
    with pytest.raises(ConflictError, match="changed"):
        studio.expressions.save(handle, EDIT)
    for number in range(KEPT_PORTRAITS):  # pushes the opened one off the shelf
        studio.expressions.open(MediaSource.file(picture(tmp_path / f"{number}.png", shade=50 + number)))
    with pytest.raises(ConflictError, match="changed"):
        studio.expressions.render(handle, EDIT)


def test_an_open_portrait_is_drawn_no_more_when_its_photo_is_deleted(studio, portrait) -> None:
    ann = studio.identities.add("Ann", [portrait])
    handle = studio.expressions.open(MediaSource.photo(studio.identities.photos(ann.id)[0].id))
    studio.identities.delete(ann.id)
    with pytest.raises(NotFoundError):
        studio.expressions.render(handle, EDIT)
