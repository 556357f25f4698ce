"""Heads of portraits as files: of a photo, of an edit, of a clip with its motion; nobody's without consent."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pygltflib
import pytest

from studio.domain.consent import Consent
from studio.domain.expression import INDEX, ExpressionEdit
from studio.engines.media.signing_key import KEY
from studio.errors import ConsentMissingError, EngineError, NotFoundError, UserInputError
from studio.services.clips.request import checked_request
from studio.services.sources import MediaSource
from tests.services.fakes import picture


def agreed(*scopes: str) -> Consent:
    return Consent(agreed_by="Ann", scopes=scopes, granted_at=datetime(2026, 1, 1, tzinfo=UTC))


@pytest.fixture
def photo(tmp_path) -> Path:
    return picture(tmp_path / "ann.png")


def test_a_head_is_written_in_the_state_that_was_asked_for(studio, photo, tmp_path) -> None:
    heads = studio.head_models
    own = pygltflib.GLTF2.load(str(heads.write(MediaSource.file(photo), tmp_path / "own.glb")))
    assert own.meshes[0].weights[INDEX["mouthSmileLeft"]] == pytest.approx(0.25)
    edit = ExpressionEdit({"jawOpen": 0.5})
    read = pygltflib.GLTF2.load(str(heads.write(MediaSource.file(photo), tmp_path / "open.glb", edit=edit)))
    assert read.meshes[0].weights[INDEX["jawOpen"]] == pytest.approx(0.5)
    for name in ("head.obj.zip", "head.ply"):
        assert heads.write(MediaSource.file(photo), tmp_path / name).stat().st_size > 100


def test_a_head_has_its_credentials_beside_it(studio, photo, tmp_path) -> None:
    person = studio.identities.add("Ann", [photo], consent=agreed("animate"))
    source = MediaSource.photo(studio.identities.photos(person.id)[0].id)
    for name in ("head.glb", "head.obj.zip", "head.ply"):
        out = studio.head_models.write(source, tmp_path / name)
        assert {p.name for p in tmp_path.glob("head*")} >= {name, f"{name}.c2pa"}
        verdict = studio.provenance.verify(out)
        assert verdict.credentials.standing == "ours"
        assert verdict.credentials.ingredients == ("portrait",)
        assert verdict.credentials.consents == (studio.identities.get("Ann").consents[0].id,)
        assert verdict.is_synthetic
        out.write_bytes(out.read_bytes()[:-1] + b"x")
        assert studio.provenance.verify(out).credentials.standing == "changed"
    assert not list(tmp_path.glob(".part*"))


def test_a_head_that_cannot_be_signed_replaces_nothing(studio, photo, tmp_path) -> None:
    out = studio.head_models.write(MediaSource.file(photo), tmp_path / "head.glb")
    before = out.read_bytes()
    (studio.whole.keys / KEY).write_text("damaged")
    with pytest.raises(EngineError):
        studio.head_models.write(MediaSource.file(photo), out, edit=ExpressionEdit({"jawOpen": 0.5}))
    assert out.read_bytes() == before
    assert not list(tmp_path.glob(".part*"))


def test_formats_and_motion_that_do_not_fit_are_said(studio, photo, tmp_path) -> None:
    with pytest.raises(UserInputError, match=r"\.glb, \.obj\.zip or \.ply") as caught:
        studio.head_models.write(MediaSource.file(photo), tmp_path / "head.fbx")
    assert "fbx" in caught.value.message
    curves = tmp_path / "take.csv"
    with pytest.raises(UserInputError, match="no motion"):
        studio.head_models.write(MediaSource.file(photo), tmp_path / "head.ply", motion=curves)
    with pytest.raises(NotFoundError):
        studio.head_models.write(MediaSource.file(photo), tmp_path / "head.glb", motion=curves)


def test_nobodys_head_leaves_without_consent(studio, photo, tmp_path) -> None:
    ann = studio.identities.add("Ann", [photo], consent=agreed("edit"))
    source = MediaSource.photo(studio.identities.photos(ann.id)[0].id)
    with pytest.raises(ConsentMissingError):
        studio.head_models.write(source, tmp_path / "head.glb")
    assert not (tmp_path / "head.glb").exists()
    studio.identities.set_consent(ann.id, agreed("edit", "animate"))
    assert studio.head_models.write(source, tmp_path / "head.glb").exists()


def test_a_clip_is_of_the_person_it_was_made_of_whoever_else_added_the_same_picture(studio, photo, speech) -> None:
    studio.identities.add("Tabitha", [photo], consent=agreed("edit"))
    ann = studio.identities.add("Ann", [photo], consent=agreed("edit", "animate"))
    source = MediaSource.photo(studio.identities.photos(ann.id)[0].id)
    render, _ = studio.animation.render(checked_request({"portrait": source, "sound": MediaSource.file(speech)}))
    assert studio.head_models.of_render(render.id).exists()


def test_a_clip_gives_its_head_with_its_motion(studio, photo, speech) -> None:
    ann = studio.identities.add("Ann", [photo], consent=agreed("edit", "animate"))
    source = MediaSource.photo(studio.identities.photos(ann.id)[0].id)
    request = checked_request({"portrait": source, "sound": MediaSource.file(speech)})
    render, result = studio.animation.render(request)
    read = pygltflib.GLTF2.load(str(studio.head_models.of_render(render.id)))
    (animation,) = read.animations
    keys = read.accessors[animation.samplers[0].input]
    assert keys.count == result.frames
    still = studio.head_models.of_render(render.id, "ply")
    assert still.suffix == ".ply"
    kept = studio.expressions.save(studio.expressions.open(source), ExpressionEdit({}))
    studio.withdrawals.take_back(ann.id)
    with pytest.raises(ConsentMissingError):
        studio.head_models.of_render(render.id)
    with pytest.raises(NotFoundError):
        studio.head_models.of_render(kept.id)
