"""The expression of another picture: which face, what is said, and what a picture's recipe keeps of it."""

from __future__ import annotations

import json

import pytest

from studio.domain.expression import ExpressionEdit
from studio.domain.template import Copying
from studio.errors import LimitExceededError, NoFaceError, NotFoundError, UnreadableMediaError, UserInputError
from studio.services.portraits.expressions import CopiedFrom
from studio.services.sources import MediaSource
from tests.services.fakes import picture


@pytest.fixture
def template(tmp_path):
    return picture(tmp_path / "template.png", shade=60)


def copied(studio, portrait, template, how=Copying(), **more):
    read = studio.templates.read(MediaSource.file(template), **more)
    handle = studio.expressions.open(MediaSource.file(portrait))
    return handle, read, studio.templates.copy(handle, read, how)


def test_what_a_picture_shows_goes_to_the_sliders(studio, portrait, template) -> None:
    _, read, copy = copied(studio, portrait, template)
    assert copy.edit.values.keys() == {"browInnerUp"}
    assert (read.face_index, read.faces, read.notes) == (0, 1, ())


def test_a_face_at_rest_is_what_it_is_read_against(studio, portrait, template, tmp_path) -> None:
    at_rest = MediaSource.file(picture(tmp_path / "rest.png", shade=61))
    _, read, copy = copied(studio, portrait, template, neutral=at_rest)
    assert copy.edit.values.keys() == {"mouthSmileLeft"}
    assert read.sources.keys() == {"template", "template neutral"}


def test_the_portrait_as_its_own_template_is_said(studio, portrait) -> None:
    _, _, copy = copied(studio, portrait, portrait)
    assert copy.notes == ("This is the portrait itself: what it shows already is added to it once more.",)
    assert copied(studio, portrait, portrait, Copying(exactly=True))[2].notes == ()


def test_of_several_faces_the_largest_is_taken_and_said_or_the_chosen_one(studio, portrait, tmp_path) -> None:
    crowd = picture(tmp_path / "crowd.png", faces=3)
    _, read, _ = copied(studio, portrait, crowd)
    assert (read.face_index, read.faces) == (0, 3)
    assert read.notes[0] == "The picture to copy from shows 3 faces; the largest one is taken."
    _, read, _ = copied(studio, portrait, crowd, face_index=1)
    assert read.face_index == 1
    assert "looks like a drawing" in read.notes[0]
    with pytest.raises(UserInputError, match="There is no face 4"):
        studio.templates.read(MediaSource.file(crowd), face_index=3)


def test_bad_templates_are_one_sentence_each(studio, tmp_path, engines, monkeypatch) -> None:
    def read(path, **more):
        return studio.templates.read(MediaSource.file(path), **more)

    with pytest.raises(NoFaceError, match="The picture to copy from shows no face"):
        read(picture(tmp_path / "none.png", faces=0))
    with pytest.raises(NoFaceError, match="The picture at rest shows no face"):
        read(picture(tmp_path / "one.png"), neutral=MediaSource.file(tmp_path / "none.png"))
    with pytest.raises(LimitExceededError, match="only 42 pixels across"):
        read(picture(tmp_path / "small.png", size=(70, 70)))
    (tmp_path / "text.png").write_text("no picture")
    with pytest.raises(UnreadableMediaError):
        read(tmp_path / "text.png")
    with pytest.raises(NotFoundError):
        read(tmp_path / "gone.png")
    whole = type(engines.analyser).detect

    def from_the_side(self, image):
        from dataclasses import replace

        return tuple(replace(f, quality=replace(f.quality, frontal=0.1)) for f in whole(self, image))

    monkeypatch.setattr(type(engines.analyser), "detect", from_the_side)
    with pytest.raises(UserInputError, match="turned so far away"):
        read(picture(tmp_path / "profile.png"))


def test_the_template_stays_an_input_and_the_picture_can_be_made_again(studio, portrait, template, tmp_path) -> None:
    handle, read, copy = copied(studio, portrait, template, Copying(0.5, exactly=True))
    origin = studio.templates.copied_from(read, Copying(0.5, exactly=True))
    render = studio.expressions.save(handle, copy.edit, copied=origin)
    assert render.inputs.keys() == {"portrait", "template"}
    assert render.recipe["inputs"] == render.inputs
    assert render.recipe["request"]["copied"] == {
        "amount": 0.5, "exactly": True, "head": False, "gaze": False, "face_index": 0,
    }  # fmt: skip
    assert str(template.name) not in json.dumps(render.recipe)
    template.unlink()
    again = studio.library.rerun(render.id)
    assert again.same_frames
    assert again.render.inputs == render.inputs
    out = studio.library.export(render.id, tmp_path / "out.png")
    assert set(studio.provenance.verify(out).credentials.ingredients) == {"portrait", "template"}


def test_a_person_whose_photo_was_the_template_can_be_deleted(studio, portrait, template) -> None:
    person = studio.identities.add("Ann", [template])
    photo = studio.identities.photos(person.id)[0]
    read = studio.templates.read(MediaSource.photo(photo.id))
    handle = studio.expressions.open(MediaSource.file(portrait))
    edit = studio.templates.copy(handle, read, Copying()).edit
    render = studio.expressions.save(handle, edit, copied=studio.templates.copied_from(read, Copying()))
    path = studio.identities.photo_path(photo.id)
    studio.identities.delete(person.id)
    assert not path.exists(), "what shows the person is gone"
    again = studio.library.rerun(render.id)
    assert again.same_frames, "the sliders are whole without it"
    assert again.render.inputs.keys() == {"portrait"}


def test_a_bare_file_names_its_template_too(studio, portrait, template, tmp_path) -> None:
    handle, read, copy = copied(studio, portrait, template)
    origin = studio.templates.copied_from(read, Copying())
    studio.expressions.edit_opened(handle, copy.edit, tmp_path / "out.png", copied=origin)
    assert studio.library.recipe_of_file(tmp_path / "out.png")["inputs"].keys() == {"portrait", "template"}
    assert set(studio.provenance.verify(tmp_path / "out.png").credentials.ingredients) == {"portrait", "template"}
    assert studio.library.page().total == 0
    with pytest.raises(UserInputError, match="starts from"):
        studio.expressions.edit_opened(handle, copy.edit, template, copied=origin)
    gone = CopiedFrom({"template": MediaSource.file(tmp_path / "gone.png")})
    with pytest.raises(NotFoundError):
        studio.expressions.save(handle, ExpressionEdit({"jawOpen": 0.5}), copied=gone)
    assert studio.library.page().total == 0, "nothing is half kept"
