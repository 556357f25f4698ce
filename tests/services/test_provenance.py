"""What leaves is signed; of any file one hears what is known."""

from __future__ import annotations

import sys
from datetime import UTC, datetime
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from studio.domain.consent import Consent
from studio.domain.expression import ExpressionEdit
from studio.engines.media.signing_key import KEY
from studio.errors import EngineError, NotFoundError
from studio.services.marks import KEY_FILE
from studio.services.sources import MediaSource
from studio.studio import Studio

AGREED = Consent(agreed_by="Ada Lovelace", scopes=("edit",), granted_at=datetime.now(UTC))
EDIT = ExpressionEdit({"jawOpen": 0.5})


@pytest.fixture
def ada(studio, portrait):
    """Somebody who agreed, with one picture in the library."""
    person = studio.identities.add("Ada", [portrait], consent=AGREED)
    photo = studio.identities.photos(person.id)[0]
    render = studio.expressions.save(studio.expressions.open(MediaSource.photo(photo.id)), EDIT)
    return studio, person, photo, render


def test_an_export_is_signed_and_known_again(ada, tmp_path):
    studio, person, _, render = ada
    out = studio.library.export(render.id, tmp_path / "ada.png")
    verdict = studio.provenance.verify(out)
    assert verdict.is_synthetic
    assert verdict.render_id == render.id
    assert [f.found for f in verdict.findings] == [True, True, True, True]
    assert verdict.credentials.standing == "ours"
    assert verdict.credentials.consents == tuple(c.id for c in studio.identities.get(person.id).consents)
    assert b"Lovelace" not in out.read_bytes()
    assert np.array_equal(np.asarray(Image.open(out)), np.asarray(Image.open(studio.library.path(render))))
    assert studio.provenance.verify(studio.library.path(render)).render_id == render.id, "by its bytes as well"


def test_words_that_a_person_chose_for_adapters_and_layers_stay_here(studio, portrait, tmp_path):
    out = tmp_path / "clip.png"
    Image.new("RGB", (40, 40)).save(out)
    hashes = {"adapter:ada": "a" * 64, "adapter:bob-2": "b" * 64, "performance ada-laughs sound": "c" * 64}
    files = dict.fromkeys(("portrait", *hashes), portrait)
    studio.provenance.sign(out, out, kind="image", recipe={"inputs": hashes}, inputs=files)
    found = studio.provenance.verify(out).credentials
    assert sorted(found.ingredients) == ["adapter", "adapter 2", "performance sound", "portrait"]
    assert not any(word in out.read_bytes() for word in (b"ada-laughs", b"adapter:ada", b"bob"))


def test_a_changed_export_is_told_and_still_known(ada, tmp_path):
    studio, _, _, render = ada
    out = studio.library.export(render.id, tmp_path / "ada.png")
    data = bytearray(out.read_bytes())
    data[data.find(b"IDAT") + 9] ^= 4
    out.write_bytes(data)
    verdict = studio.provenance.verify(out)
    assert verdict.says == "This file was changed after it was signed."
    assert "was changed since" in verdict.findings[3].says
    assert verdict.render_id == render.id


def test_another_studio_vouches_for_nothing_of_ours(ada, tmp_path):
    studio, _, _, render = ada
    out = studio.library.export(render.id, tmp_path / "ada.png")
    with Studio(tmp_path / "elsewhere") as other:
        verdict = other.for_owner().provenance.verify(out)
    assert verdict.credentials.standing == "others"
    assert "cannot vouch" in verdict.findings[0].says
    assert verdict.is_synthetic
    assert verdict.render_id == ""
    assert not (tmp_path / "elsewhere" / "keys").exists(), "looking makes no key"


def test_what_somebody_else_signs_is_not_taken_for_a_render_of_ours(ada, tmp_path):
    studio, _, _, render = ada
    fake = tmp_path / "fake.png"
    Image.new("RGB", (40, 40)).save(fake)
    with Studio(tmp_path / "elsewhere") as other:
        stranger = other.for_owner().provenance
        from studio.domain.provenance import Statement
        from studio.engines.media.credentials import sign_file
        from studio.engines.media.signing_key import signing_key, utc_now

        lie = Statement(source_type="composite", kind="image", content_sha256=render.media_sha256)
        sign_file(fake, fake, lie, signing_key(other.keys, utc_now()), {})
        assert stranger.verify(fake).credentials.standing == "ours"
    assert studio.provenance.verify(fake).render_id == ""


@pytest.mark.parametrize("name", ["edited.png", "edited.jpg"])
def test_what_the_command_line_writes_is_signed(studio, portrait, tmp_path, name):
    studio.expressions.edit_file(MediaSource.file(portrait), EDIT, tmp_path / name)
    verdict = studio.provenance.verify(tmp_path / name)
    assert verdict.credentials.standing == "ours"
    assert verdict.credentials.ingredients == ("portrait",)
    assert sorted(p.name for p in tmp_path.iterdir()) == sorted(["ann.png", "data", name])


def test_of_a_photo_nothing_is_known(studio, portrait):
    verdict = studio.provenance.verify(portrait)
    assert verdict.is_synthetic is None
    assert not any(f.found for f in verdict.findings)
    assert "does not make it genuine" in verdict.says


def test_a_file_that_is_not_there(studio, tmp_path):
    with pytest.raises(NotFoundError):
        studio.provenance.verify(tmp_path / "nothing.png")


def test_nothing_leaves_unsigned(ada, portrait, tmp_path):
    studio, _, _, render = ada
    studio.library.export(render.id, tmp_path / "first.png")
    (studio.whole.keys / KEY).write_text("damaged")
    with pytest.raises(EngineError, match="nothing is signed"):
        studio.library.export(render.id, tmp_path / "second.png")
    with pytest.raises(EngineError, match="nothing is signed"):
        studio.expressions.edit_file(MediaSource.file(portrait), EDIT, tmp_path / "third.png")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["ann.png", "data", "first.png"]


def written_anew(path, out, quality=75):
    """What another program leaves of a file: pixels alone, cropped, smaller and compressed."""
    with Image.open(path) as opened:
        whole = opened.convert("RGB")
    width, height = whole.size
    part = whole.crop((width // 20, height // 30, width - width // 25, height - height // 25))
    part.resize((round(part.width * 0.8), round(part.height * 0.8)), Image.Resampling.LANCZOS).save(
        out, quality=quality
    )
    return out


def test_a_picture_is_known_by_its_mark_where_all_else_was_taken_away(ada, tmp_path):
    studio, _, _, render = ada
    bare = written_anew(studio.library.export(render.id, tmp_path / "ada.png"), tmp_path / "bare.jpg")
    verdict = studio.provenance.verify(bare)
    assert [f.found for f in verdict.findings] == [False, False, True, True]
    assert verdict.render_id == render.id
    assert verdict.is_synthetic
    assert render.recipe["mark"] in verdict.findings[2].says
    assert studio.takedowns.find(bare).render.id == render.id
    assert "was changed since" in verdict.findings[3].says
    with Studio(tmp_path / "elsewhere") as other:
        unknown = other.for_owner().provenance.verify(bare)
    assert not any(f.found for f in unknown.findings)
    assert not (tmp_path / "elsewhere" / KEY_FILE).exists(), "looking makes no key"


def test_of_a_picture_with_two_marks_the_last_that_was_made_is_meant(ada, tmp_path):
    studio, _, photo, first = ada
    opened = studio.expressions.open(MediaSource.photo(photo.id))
    second = studio.expressions.save(opened, ExpressionEdit({"jawOpen": 0.6}))
    shown = np.asarray(Image.open(studio.library.path(second)))
    both = tmp_path / "both.png"
    Image.fromarray(studio.provenance.marks.marked(shown, first.recipe)).save(both)
    assert len(studio.provenance.marks.read(both)) == 2
    assert studio.provenance.verify(both).render_id == second.id


def test_a_picture_made_again_carries_the_mark_of_the_first_and_an_older_one_none(ada, tmp_path):
    studio, _, _, render = ada
    again = studio.library.rerun(render.id)
    assert again.same_frames
    assert again.render.recipe["mark"] == render.recipe["mark"]
    older = {k: v for k, v in render.recipe.items() if k != "mark"}
    unmarked = studio.expressions.redraw(older)
    assert "mark" not in unmarked.recipe
    assert studio.provenance.marks.read(studio.library.path(unmarked)) == ()
    assert studio.provenance.marks.read(studio.library.path(render)) != ()


def test_the_key_of_the_marks_is_its_owners_and_damage_is_said(ada):
    studio, _, photo, _ = ada
    key = studio.store.data_dir / KEY_FILE
    assert key.stat().st_mode & 0o077 == 0 or sys.platform == "win32"
    key.write_bytes(b"short")
    with Studio(key.parent) as later:
        expressions = later.for_owner().expressions
        opened = expressions.open(MediaSource.photo(photo.id))
        with pytest.raises(EngineError, match="damaged"):
            expressions.save(opened, EDIT)
        assert later.for_owner().library.page().total == 1


def test_a_damaged_key_of_the_marks_hides_no_other_layer(ada, tmp_path):
    studio, _, _, render = ada
    out = studio.library.export(render.id, tmp_path / "ada.png")
    (studio.store.data_dir / KEY_FILE).write_bytes(b"short")
    with Studio(studio.store.data_dir) as later:
        verdict = later.for_owner().provenance.verify(out)
        assert later.for_owner().takedowns.find(out).render.id == render.id
    assert [f.found for f in verdict.findings] == [True, True, False, True]
    assert "damaged" in verdict.findings[2].says
    assert verdict.render_id == render.id


def test_a_studio_with_the_label_writes_it_into_what_is_made_and_into_what_is_made_again(ada, tmp_path):
    studio, _, photo, plain = ada
    with Studio(studio.store.data_dir, ai_label=True) as labelled:
        own = labelled.for_owner()
        render = own.expressions.save(own.expressions.open(MediaSource.photo(photo.id)), EDIT)
        kept = np.asarray(Image.open(own.library.path(render))).astype(int)
        assert own.library.rerun(plain.id).same_frames, "what was made without it is made without it again"
    before = np.asarray(Image.open(studio.library.path(plain))).astype(int)
    differs = np.argwhere(np.abs(kept - before).max(2) > 30)
    assert (differs[:, 0].max(), differs[:, 1].min()) < (before.shape[0] / 4, before.shape[1] / 2)
    assert render.recipe["label"] is True
    assert render.recipe["mark"] != plain.recipe["mark"]
    again = studio.library.rerun(render.id)
    assert again.same_frames, "also where it is not asked for any more"
    assert again.render.recipe["label"] is True


def test_what_the_offline_voice_says_is_known_by_its_sound_alone(studio, engines, portrait, monkeypatch, tmp_path):
    from studio.engines.media import ffmpeg
    from studio.engines.media.sound import read_sound
    from studio.services.clips.animation import AnimationRequest
    from studio.studio import ASSETS

    sound = read_sound(ASSETS / "speech" / "golden.wav")
    voice = SimpleNamespace(speak=lambda text, *, voice: (sound, engines.listener.analyse(sound, None, None)))
    monkeypatch.setattr(engines, "synthesiser", lambda: voice, raising=False)
    source = MediaSource.file(portrait)
    render, _ = studio.animation.render(AnimationRequest(portrait=source, text="Hello", size=256))
    heard = tmp_path / "heard.mp3"
    ran = ["-v", "error", "-i", str(studio.library.path(render)), "-vn", "-b:a", "64k", str(heard)]
    assert ffmpeg.run(ran)[0] == 0
    verdict = studio.provenance.verify(heard)
    assert (verdict.render_id, verdict.is_synthetic) == (render.id, True)
    assert studio.library.rerun(render.id).same_frames
    recorded = AnimationRequest(portrait=source, sound=MediaSource.file(ASSETS / "speech" / "golden.wav"), size=256)
    of_somebody, _ = studio.animation.render(recorded)
    out = tmp_path / "recorded.mp3"
    assert ffmpeg.run(["-v", "error", "-i", str(studio.library.path(of_somebody)), "-vn", str(out)])[0] == 0
    assert studio.provenance.verify(out).render_id == "", "a recording is nobody's machine"
