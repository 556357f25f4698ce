"""Performances: from sound, motion and clips to clips again, edited on the way, on any face."""

from __future__ import annotations

import shutil
from datetime import UTC, datetime

import numpy as np
import pytest

import studio.studio as composition
from studio.domain.consent import Consent
from studio.domain.expression import INDEX
from studio.domain.performance import Performance
from studio.engines.media.curves import read_json, write_json
from studio.errors import ConsentMissingError, NotFoundError, StudioError, UnreadableMediaError, UserInputError
from studio.jobs.executor import work_off
from studio.jobs.kinds import Workplace
from studio.services.clips.animation import AnimationRequest
from studio.services.clips.composed import read_document
from studio.services.sources import MediaSource
from tests.services.fakes import picture

JAW, BROW = INDEX["jawOpen"], INDEX["browInnerUp"]


@pytest.fixture
def curves(tmp_path):
    count = 50
    weights = np.zeros((count, 52), np.float32)
    weights[:, BROW] = np.linspace(0, 0.8, count)
    none = np.zeros(count, np.float32)
    return write_json(
        Performance(25.0, weights, np.zeros((count, 3), np.float32), none + 1, none, none), tmp_path / "m.json"
    )


def played(studio, kept, portrait, out, **fields):
    """Return the motion of a clip that was made of a performance."""
    request = studio.performances.request(kept.id, MediaSource.file(portrait), **fields)
    made = studio.animation.animate_file(request, out, curves=out.with_suffix(".json"))
    return made, read_json(made.curves)


def test_speech_is_kept_edited_and_played_on_any_face(studio, engines, portrait, speech, tmp_path) -> None:
    kept = studio.performances.create("Hello", sound=MediaSource.file(speech), transcript="hello there")
    assert [x.kind for x in kept.document.layers] == ["speech"]
    assert kept.document.duration_seconds == pytest.approx(1.0)
    assert engines.listener.heard == [(1.0, "hello there", "en")]
    speech.unlink()  # what it needs is its own now
    made, plain = played(studio, kept, portrait, tmp_path / "a.mp4")
    assert made.frames == 25
    assert made.phone_path == "composed"
    assert plain.weights[:, JAW].max() > 0.3
    studio.performances.set_layer(kept.id, "speech", {"amount": 0.5})
    studio.performances.add_layer(kept.id, {"kind": "expression", "values": {"browInnerUp": 0.4}})
    other = picture(tmp_path / "bob.png", shade=60)
    _, half = played(studio, kept, other, tmp_path / "b.mp4")
    assert np.allclose(half.weights[:, BROW], 0.4)
    assert half.weights[:, JAW].max() < 0.65 * plain.weights[:, JAW].max()
    assert engines.listener.heard == [(1.0, "hello there", "en")], "it was heard once"


def test_it_is_a_clip_like_every_other(studio, speech, tmp_path, portrait) -> None:
    person = studio.identities.add("Ada", [portrait])
    photo = studio.identities.photos(person.id)[0]
    kept = studio.performances.create(sound=MediaSource.file(speech), transcript="hello there")
    assert kept.name == "hello there"
    request = studio.performances.request(kept.id, MediaSource.photo(photo.id), size=256)
    job = studio.animation.submit_render(request)
    studio.performances.delete(kept.id)  # the waiting job keeps what it needs
    work_off(Workplace(studio.whole.store, composition.JOB_KINDS, services=studio.whole.for_owner))
    done = studio.jobs.get(job.id)
    assert done.state == "done", done.failure
    render = studio.library.show(done.outputs["render_id"])
    assert render.title == "hello there"
    assert render.identity_id == person.id
    assert {"performance", "performance sound", "performance speech analysis"} <= set(render.inputs)
    assert studio.library.rerun(render.id).same_frames
    again = studio.performances.of_render(render.id)
    assert again.document == read_document(studio.store.media.get(render.inputs["performance"]))
    assert again.identity_id == person.id
    held = {section.title: section.rows for section in studio.reports.of(person.id).sections}
    assert [row[0] for row in held["Performances"]] == ["hello there"], "the person is told of it"


def test_a_clip_becomes_layers_that_move_as_it_did(studio, engines, portrait, speech, tmp_path) -> None:
    person = studio.identities.add("Ada", [portrait])
    photo = MediaSource.photo(studio.identities.photos(person.id)[0].id)
    asked = AnimationRequest(
        portrait=photo, sound=MediaSource.file(speech), transcript="hi", emotions={"joy": 0.5}, seed=3,
        start_seconds=0.2, seconds=0.6, expression={"smile": 0.3}, amounts={"jaw": 1.5},
    )  # fmt: skip
    render, _ = studio.animation.render(asked)
    kept = studio.performances.of_render(render.id)
    speaks = kept.document.layer("speech")
    assert kept.document.duration_seconds == pytest.approx(0.6)
    assert (speaks.emotions, speaks.amounts, speaks.seed) == ({"joy": 0.5}, {"jaw": 1.5}, 3)
    assert kept.document.layer("expression").values == {"smile": 0.3}
    moved, _ = studio.animation.render(studio.performances.request(kept.id, photo))
    assert moved.duration_seconds == pytest.approx(render.duration_seconds)


def test_recorded_motion_and_a_clip_of_it(studio, portrait, speech, curves, tmp_path) -> None:
    kept = studio.performances.create(motion=MediaSource.file(curves), sound=MediaSource.file(speech))
    assert kept.name == "Recorded motion"
    assert kept.document.sound
    _, motion = played(studio, kept, portrait, tmp_path / "a.mp4")
    assert np.abs(motion.weights[:, BROW] - np.linspace(0, 0.8, 50)).max() < 1e-5
    studio.identities.add("Ada", [portrait])
    photo = MediaSource.photo(studio.identities.photos(studio.identities.list()[0].id)[0].id)
    render, _ = studio.animation.render(AnimationRequest(portrait=photo, motion=MediaSource.file(curves)))
    again = studio.performances.of_render(render.id)
    assert again.document.layers[0].kind == "driving"
    assert again.document.sound is None


def test_what_a_form_asks_for_becomes_layers(studio, portrait, speech, curves) -> None:
    asked = AnimationRequest(
        portrait=MediaSource.file(portrait), sound=MediaSource.file(speech), emotions={"joy": 0.5}, seed=2,
        amounts={"head": 0.0}, expression={"smile": 0.2}, neutralise=True,
    )  # fmt: skip
    document = studio.performances.of_request(asked, "Hello").document
    assert [x.kind for x in document.layers] == ["expression", "speech"]
    assert document.neutralise
    speaks = document.layer("speech")
    assert (speaks.emotions, speaks.amounts, speaks.seed) == ({"joy": 0.5}, {"head": 0.0}, 2)
    moved = AnimationRequest(portrait=MediaSource.file(portrait), motion=MediaSource.file(curves))
    assert studio.performances.of_request(moved).document.layers[0].kind == "driving"
    driven = AnimationRequest(portrait=MediaSource.file(portrait), driving=MediaSource.file(speech))
    with pytest.raises(UserInputError, match="when its clip is made"):
        studio.performances.of_request(driven)


def test_idle_life_needs_no_sound(studio, portrait, tmp_path) -> None:
    kept = studio.performances.create("Waiting", seconds=2.0)
    made, _ = played(studio, kept, portrait, tmp_path / "a.mp4", frame_rate_hz=30)
    assert made.frames == 60


def test_keys_emotions_and_history(studio) -> None:
    kept = studio.performances.create("Hello", seconds=2.0)
    studio.performances.set_key(kept.id, "smile", 0.5, 0.2)
    studio.performances.set_key("hello", "smile", 1.0, 0.6, ease="hold")
    studio.performances.set_emotion(kept.id, "joy", 1.0, 0.7)
    now = studio.performances.get(kept.id)
    assert [x.id for x in now.document.layers] == ["idle", "keyframes"]
    assert [k.value for k in now.document.layer("keyframes").keys] == [0.2, 0.6]
    assert now.undoes == "joy at 1 s"
    assert not studio.performances.undo(kept.id).document.emotions
    assert studio.performances.redo(kept.id).document == now.document
    assert not studio.performances.remove_emotion(kept.id, "joy", 1.0).document.emotions
    with pytest.raises(UserInputError, match="no joy at 1 s"):
        studio.performances.remove_emotion(kept.id, "joy", 1.0)
    assert len(studio.performances.remove_key(kept.id, "smile", 1.0).document.layer("keyframes").keys) == 1
    copy = studio.performances.copy(kept.id)
    assert copy.name == "Hello 2"
    assert copy.undoes is None
    studio.performances.remove_layer(copy.id, "idle")
    assert len(studio.performances.get(kept.id).document.layers) == 2
    assert studio.performances.rename(copy.id, " Other  take ").name == "Other take"
    assert {p.name for p in studio.performances.list()} == {"Hello", "Other take"}
    studio.performances.delete(copy.id)
    with pytest.raises(NotFoundError):
        studio.performances.get(copy.id)


def test_one_frame_is_the_clips_frame(studio, portrait, speech) -> None:
    kept = studio.performances.create("Hello", sound=MediaSource.file(speech))
    shades = [studio.performances.frame(kept.id, MediaSource.file(portrait), s).mean() for s in (0.0, 0.2, 5.0)]
    assert len(set(shades)) == 3
    with pytest.raises(UserInputError, match="performance"):
        studio.animation.frame(
            AnimationRequest(portrait=MediaSource.file(portrait), sound=MediaSource.file(speech)), 0.0
        )


def test_it_goes_out_and_comes_in_whole(studio, speech, tmp_path, portrait) -> None:
    kept = studio.performances.create("Hello", sound=MediaSource.file(speech))
    out = studio.performances.export(kept.id, tmp_path / "hello.performance.zip")
    assert out.read_bytes() == studio.performances.export(kept.id, tmp_path / "again.zip").read_bytes()
    other = studio.whole.for_owner("bob")
    there = other.performances.import_file(out)
    assert (there.name, there.document) == ("hello", kept.document)
    assert other.animation.frame(other.performances.request(there.id, MediaSource.file(portrait)), 0.1).any()


def test_what_cannot_be_used_is_refused_and_leaves_nothing(studio, portrait, speech, curves, tmp_path) -> None:
    kept = studio.performances.create("Hello", sound=MediaSource.file(speech))
    torn = studio.performances.export(kept.id, tmp_path / "x.performance.zip")
    torn.write_bytes(torn.read_bytes()[:-200])
    shutil.copy(portrait, tmp_path / "picture.zip")
    media = studio.store.media.total_bytes()
    for wrong in (
        lambda: studio.performances.create("none"),
        lambda: studio.performances.create("two", sound=MediaSource.file(speech), text="hello"),
        lambda: studio.performances.create("x", seconds=-1.0),
        lambda: studio.performances.create("x", sound=MediaSource.file(portrait)),
        lambda: studio.performances.create("x", motion=MediaSource.file(speech)),
        lambda: studio.performances.create("x", sound=MediaSource.file(tmp_path / "none.wav")),
        lambda: studio.performances.import_file(torn),
        lambda: studio.performances.import_file(tmp_path / "picture.zip"),
        lambda: studio.performances.export(kept.id, tmp_path / "x.json"),
        lambda: studio.performances.set_layer(kept.id, "speech", {"amount": 2.0}),
        lambda: studio.performances.set_layer(kept.id, "speech", {"sound": "ab" * 32}),
        lambda: studio.performances.add_layer(kept.id, {"kind": "dance"}),
        lambda: studio.performances.rename(kept.id, " "),
        lambda: studio.performances.request(kept.id, MediaSource.file(portrait), emotions={"joy": 0.5}),
        lambda: studio.performances.request(kept.id, MediaSource.file(portrait), amounts={"jaw": 0.5}),
    ):
        with pytest.raises(StudioError):
            wrong()
    assert len(studio.performances.list()) == 1
    assert studio.performances.get(kept.id) == kept
    assert studio.store.media.total_bytes() == media
    with pytest.raises(UserInputError, match="no performance"):
        studio.animation.animate_file(
            AnimationRequest(portrait=MediaSource.file(portrait), performance=MediaSource.file(curves)),
            tmp_path / "x.mp4",
        )


def test_a_person_who_did_not_agree_is_not_moved(studio, portrait, speech) -> None:
    agreed = Consent(agreed_by="Ada", scopes=("animate",), granted_at=datetime.now(UTC))
    person = studio.identities.add("Ada", [portrait], consent=agreed)
    photo = MediaSource.photo(studio.identities.photos(person.id)[0].id)
    kept = studio.performances.create("Hello", sound=MediaSource.file(speech))
    studio.performances.frame(kept.id, photo, 0.1)
    studio.withdrawals.take_back(person.id)
    for act in (
        lambda: studio.performances.frame(kept.id, photo, 0.1),
        lambda: studio.animation.submit_render(studio.performances.request(kept.id, photo)),
    ):
        with pytest.raises(ConsentMissingError):
            act()


def test_a_lost_sound_is_named(studio, portrait, speech) -> None:
    kept = studio.performances.create("Hello", sound=MediaSource.file(speech))
    studio.store.media.get(kept.document.sound).unlink()
    with pytest.raises((NotFoundError, UnreadableMediaError), match="not here any more"):
        studio.performances.frame(kept.id, MediaSource.file(portrait), 0.1)


def test_a_sound_begins_elsewhere_and_everything_along_time_is_told(studio, speech) -> None:
    from studio.domain.speech import Phone, SpeechAnalysis, Word
    from studio.services.clips.of_clip import keep_analysis
    from studio.services.clips.timeline import rows_of

    kept = studio.performances.create("Hello", sound=MediaSource.file(speech))
    phones = (Phone("SIL", 0.0, 0.2), Phone("M", 0.2, 0.5), Phone("AA", 0.5, 1.0))
    analysis = SpeechAnalysis(1.0, phones, (Word("ma", 0.2, 1.0),), "aligned")
    said = keep_analysis(studio.store, analysis, studio.store.data_dir / "scratch")
    studio.performances.set_layer(kept.id, "speech", {"analysis": said})
    studio.performances.set_key(kept.id, "smile", 0.4, 0.6)
    studio.performances.set_emotion(kept.id, "joy", 0.8, 0.5)
    studio.performances.move_boundary(kept.id, 1, 0.35)
    line = studio.performances.timeline(kept.id)
    assert [round(p.start, 3) for p in line.analysis.phones] == [0.0, 0.35, 0.5]
    assert line.analysis.words[0].start == pytest.approx(0.35)
    assert max(line.peaks) == 1
    assert [(m.what, m.seconds) for m in line.marks] == [("smile", 0.4), ("joy", 0.8)]
    assert rows_of(line)["phones"][1] == ["M", 0.35, 0.5]
    studio.performances.undo(kept.id)
    assert studio.performances.timeline(kept.id).analysis.phones == phones
    with pytest.raises(UserInputError, match="border"):
        studio.performances.move_boundary(kept.id, 9, 0.3)
    still = studio.performances.create("Still", seconds=2.0)
    assert studio.performances.timeline(still.id).analysis is None
    with pytest.raises(UserInputError, match="Nothing is said"):
        studio.performances.move_boundary(still.id, 1, 0.3)


def test_a_word_is_mended_and_nothing_else_moves(studio, speech) -> None:
    from studio.domain.speech import Phone, SpeechAnalysis, Word
    from studio.services.clips.of_clip import keep_analysis

    kept = studio.performances.create("Hello", sound=MediaSource.file(speech))
    phones = (Phone("SIL", 0.0, 0.2), Phone("M", 0.2, 0.3), Phone("AA", 0.3, 0.5), Phone("P", 0.5, 0.6),
              Phone("SIL", 0.6, 1.0))  # fmt: skip
    analysis = SpeechAnalysis(1.0, phones, (Word("ma", 0.2, 0.5), Word("p", 0.5, 0.6)), "aligned")
    said = keep_analysis(studio.store, analysis, studio.store.data_dir / "scratch")
    studio.performances.set_layer(kept.id, "speech", {"analysis": said, "at_seconds": 0.25})
    mended = studio.performances.mend_word(kept.id, 0, "  b  o ")
    assert mended.undoes == "“ma” is “b o”"
    now = studio.performances.timeline(kept.id).analysis
    assert [w.text for w in now.words] == ["b o", "p"]
    assert [(p.label, round(p.start, 3)) for p in now.phones] == [
        ("SIL", 0.0), ("B", 0.2), ("O", 0.35), ("P", 0.5), ("SIL", 0.6)
    ]  # fmt: skip
    assert now.phones[-2:] == phones[-2:]
    studio.performances.mend_word(kept.id, 1, "")
    silent = studio.performances.timeline(kept.id).analysis
    assert [w.text for w in silent.words] == ["b o"]
    assert silent.phones[-1] == Phone("SIL", 0.5, 1.0)
    studio.performances.undo(kept.id)
    studio.performances.undo(kept.id)
    assert studio.performances.timeline(kept.id).analysis == analysis
    for index in (-1, 2):
        with pytest.raises(UserInputError, match=f"no word {index}"):
            studio.performances.mend_word(kept.id, index, "x")
    with pytest.raises(UserInputError, match="Nothing is said"):
        studio.performances.mend_word(studio.performances.create("Still", seconds=2.0).id, 0, "x")


def test_curves_are_those_of_the_part_and_follow_what_is_edited(studio, portrait) -> None:
    kept = studio.performances.create("Still", seconds=4.0)
    studio.performances.set_layer(kept.id, "idle", {"on": False})
    source = MediaSource.file(portrait)
    studio.performances.set_key(kept.id, "headYaw", 0.0, 0.0)
    studio.performances.set_key(kept.id, "headYaw", 2.0, 8.0)
    whole = studio.performances.curves(kept.id, source, ["headYaw", "smile"], size=256)
    assert {name: len(values) for name, values in whole.items()} == {"headYaw": 100, "smile": 100}
    assert whole["headYaw"][50] == pytest.approx(8, abs=0.1)
    part = studio.performances.curves(kept.id, source, ["headYaw"], start_seconds=1.0, seconds=1.0, size=256)
    np.testing.assert_allclose(part["headYaw"], whole["headYaw"][25:50], atol=1e-5)
    with pytest.raises(UserInputError, match="no control"):
        studio.performances.curves(kept.id, source, ["nose"], size=256)
    assert studio.performances.sound(kept.id) is None
