"""People talk: from photos and sounds to the kept clip, once more, under everybody's consent, and what cannot be."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest

from studio.domain.consent import Consent
from studio.domain.expression import ExpressionEdit
from studio.domain.speech import SILENCE, Phone, SpeechAnalysis, Word
from studio.engines.base import Sound
from studio.engines.media.sound import read_sound, write_wav
from studio.engines.media.video import probe_video
from studio.errors import (
    ConsentMissingError,
    JobCancelled,
    NoFaceError,
    NotFoundError,
    SeveralFacesError,
    UserInputError,
)
from studio.services.clips.dialogue import arranged, checked_dialogue, is_dialogue
from studio.services.sources import MediaSource
from studio.studio import OwnerServices
from tests.services.fakes import picture

file = MediaSource.file


@pytest.fixture(autouse=True)
def faces_with_a_size(studio: OwnerServices, monkeypatch) -> None:
    """Faces of the fake analyser have a chin and a hairline, and stand beside each other."""
    analyser = studio.whole.engines.faces()
    seen = analyser.detect

    def detect(image):
        width = image.shape[1]
        out = []
        for index, face in enumerate(found := seen(image)):
            middle = width * (index + 1) / (len(found) + 1)
            marks = face.landmarks.copy()
            marks[:, :2] = (middle, 100)
            marks[152, 1], marks[10, 1] = 150, 70
            out.append(replace(face, landmarks=marks, box=(middle - 30, 70.0, middle + 30, 150.0)))
        return tuple(out)

    monkeypatch.setattr(analyser, "detect", detect)

    def analyse(sound, transcript=None, language="en"):
        loud = np.flatnonzero(np.abs(sound.samples) > 0.01) / sound.rate_hz
        end = sound.duration_seconds
        if not len(loud):
            return SpeechAnalysis(end, (Phone(SILENCE, 0.0, end),), (), "energy")
        first, last = float(loud[0]), float(loud[-1])
        words = tuple(Word(w, first + 0.01 * i, last) for i, w in enumerate((transcript or "").split()))
        phones = (Phone(SILENCE, 0.0, first), Phone("AA", first, last), Phone(SILENCE, last, end))
        return SpeechAnalysis(end, phones, words, "aligned")

    monkeypatch.setattr(studio.whole.engines.speech(), "analyse", analyse)


def noise(path: Path, seconds: float, amount: float = 0.4) -> Path:
    rng = np.random.default_rng(len(path.name))
    return write_wav(path, Sound((amount * rng.uniform(-1, 1, round(seconds * 16000))).astype(np.float32), 16000))


@pytest.fixture
def two(tmp_path: Path) -> list[MediaSource]:
    return [file(picture(tmp_path / f"{name}.png", size=(320, 300), shade=90 + i)) for i, name in enumerate("ab")]


@pytest.fixture
def sounds(tmp_path: Path) -> list[MediaSource]:
    return [file(noise(tmp_path / "one.wav", 0.6)), file(noise(tmp_path / "second.wav", 0.4))]


def test_two_photos_talk_one_after_the_other_and_are_kept(studio, two, sounds, tmp_path) -> None:
    out, said = tmp_path / "talk.mp4", tmp_path / "talk.srt"
    request = arranged(
        two, sounds, names=["Ann", "Ben"], transcripts=["Hello there", "Hi"], pause_seconds=0.2, size=512
    )
    result = studio.dialogue.dialogue_file(request, out, timing=said)
    info = probe_video(out)
    assert info.frames == result.frames == 30
    assert info.audio_codec
    assert (info.width, info.height) == (result.width, result.height) == (512, 288)
    assert "Ann: Hello there" in said.read_text()
    assert "Ben: Hi" in said.read_text()
    assert read_sound(out).duration_seconds == pytest.approx(1.2, abs=0.1)
    render = studio.library.show(str(result.render_id))
    assert render.title == "Hello there"
    assert is_dialogue(render.recipe)
    assert set(render.inputs) == {"portrait 1", "portrait 2", "sound 1", "sound 2", "speech"}
    again = studio.library.rerun(render.id)
    assert again.same_frames
    verdict = studio.provenance.verify(out)
    assert verdict.is_synthetic
    found = verdict.credentials
    assert found is not None
    assert sorted(found.ingredients) == ["portrait 1", "portrait 2", "sound 1", "sound 2"]


def test_one_sound_with_turns_and_one_picture_of_everybody(studio, tmp_path) -> None:
    group = file(picture(tmp_path / "group.png", faces=3))
    sound = file(noise(tmp_path / "talk.wav", 1.2))
    turns = "Ann 0 0.5 Hello\nBen 0.4 1.0 Hi Ann\nBen 3 4 too late"
    request = arranged([group], [sound], turns, names=["Ann", "Ben"])
    render, result = studio.dialogue.dialogue(request)
    assert result.frames == 30
    assert any("One turn begins behind" in hint for hint in result.hints)
    assert [face["face_index"] for face in render.recipe["request"]["people"]] == [0, 1], "from left to right"
    assert result.speech is not None
    assert [(w.speaker, w.text) for w in result.speech.words] == [("Ann", "Hello"), ("Ben", "Hi"), ("Ben", "Ann")]
    with pytest.raises(NoFaceError, match="3 faces, but 4 people"):
        studio.dialogue.submit_dialogue(
            arranged([group], [sound], "1 0 .5\n4 .5 1", names=["a", "b", "c", "d"]).model_copy()
        )
    alone = file(picture(tmp_path / "alone.png"))
    with pytest.raises(NoFaceError, match="one face only"):
        studio.dialogue.submit_dialogue(arranged([alone], [sound], "1 0 .5\n2 .5 1"))
    with pytest.raises(UserInputError, match="same face"):
        studio.dialogue.dialogue(arranged([group], [sound], "1 0 .5\n2 .5 1", faces=[1, 1]))
    with pytest.raises(UserInputError, match="no face 8"):
        studio.dialogue.dialogue(arranged([group], [sound], "1 0 .5\n2 .5 1", faces=[1, 7]))


def test_who_has_no_sound_or_a_silent_one_listens_and_that_is_said(studio, two, tmp_path) -> None:
    loud, silent = noise(tmp_path / "loud.wav", 0.4), noise(tmp_path / "silent.wav", 0.8, 0.0)
    _, result = studio.dialogue.dialogue(arranged(two, [file(loud), file(silent)], names=["Ann", "Ben"]))
    assert "Ben says nothing, and listens all the time." in result.hints
    assert result.frames == 20, "as long as the longest sound, where all begin together"
    with pytest.raises(UserInputError, match="Nobody says anything"):
        studio.dialogue.dialogue(arranged(two, [file(silent), file(silent)]))


def test_a_clip_that_was_stopped_goes_on_with_the_same_frames(studio, two, sounds, tmp_path) -> None:
    request = arranged(two, sounds, pause_seconds=0.0, size=256)
    whole, _ = studio.dialogue.dialogue(request)

    def stop(progress) -> None:
        if progress.stage.startswith("Frame 20"):
            raise JobCancelled("stopped")

    with pytest.raises(JobCancelled):
        studio.dialogue.dialogue(request, on_progress=stop, work_folder=tmp_path / "work")
    again, _ = studio.dialogue.dialogue(request, work_folder=tmp_path / "work")
    media = studio.store.media
    assert media.get(again.media_sha256).read_bytes() == media.get(whole.media_sha256).read_bytes()
    assert not list((studio.store.data_dir / "scratch").rglob("dialogue-*")), "nothing is left over"


def test_everybody_shown_must_have_agreed_and_may_have_it_deleted(studio, sounds, tmp_path) -> None:
    agreed = Consent(agreed_by="x", scopes=("animate",), granted_at=datetime.now(UTC))
    only_edit = replace(agreed, scopes=("edit",))
    paths = [picture(tmp_path / f"{name}.png", size=(320, 300), shade=90 + i) for i, name in enumerate("ab")]
    ann = studio.identities.add("Ann", [paths[0]], consent=agreed)
    ben = studio.identities.add("Ben", [paths[1]], consent=only_edit)
    photos = [MediaSource.photo(studio.identities.photos(p.id)[0].id) for p in (ann, ben)]
    for given in (photos, [file(path) for path in paths]):
        with pytest.raises(ConsentMissingError, match="Ben"):
            studio.dialogue.submit_dialogue(arranged(given, sounds))
    studio.identities.set_consent(ben.id, agreed)
    both, _ = studio.dialogue.dialogue(arranged(photos, sounds, size=256))
    assert both.identity_id is None, "it is of two people"
    out = studio.library.export(both.id, tmp_path / "both.mp4")
    consents = studio.provenance.verify(out).credentials.consents
    held = {c.id for p in (ann, ben) for c in studio.identities.get(p.id).consents if c.revoked_at is None}
    assert set(consents) == held, "of both"
    alone, _ = studio.dialogue.dialogue(arranged([photos[0], photos[0]], sounds, size=256))
    assert alone.identity_id == ann.id, "the same person twice is allowed"
    speaking = studio.expressions.save(studio.expressions.open(photos[1]), ExpressionEdit({"jawOpen": 0.4}))
    waiting = studio.dialogue.submit_dialogue(arranged(photos, sounds))
    assert [job.id for job in studio.withdrawals.take_back(ben.id).stopped] == [waiting.id]
    with pytest.raises(ConsentMissingError):
        studio.library.export(both.id, tmp_path / "again.mp4")
    with pytest.raises(ConsentMissingError):
        studio.library.rerun(both.id)
    with pytest.raises(ConsentMissingError, match="taken back"):
        studio.dialogue.submit_dialogue(arranged([photos[0], MediaSource.media(speaking.media_sha256)], sounds))
    assert set(studio.store.identities.renders(ben.id)) == {both.id, speaking.id}
    studio.identities.delete(ben.id)
    with pytest.raises(NotFoundError):
        studio.library.show(both.id)
    assert studio.library.show(alone.id)


def test_what_cannot_be_is_one_sentence(studio, two, sounds, tmp_path) -> None:
    refused = [
        (([], sounds), "no photo yet"), ((two, []), "no sound yet"), ((two, [*sounds, sounds[0]]), "3 sounds, but 2"),
        ((two, sounds[:1]), "not said who speaks when"), ((two, sounds, "1 0 1"), "exactly one sound"),
        (([*two, *two, *two], sounds), "6 people are too many"), ((two, sounds[:1], "Zoe 0 1"), "Zoe"),
    ]  # fmt: skip
    for given, said in refused:
        with pytest.raises(UserInputError, match=said):
            arranged(*given)
    with pytest.raises(UserInputError, match="same name"):
        arranged(two, sounds, names=["Ann", "ann"])
    with pytest.raises(UserInputError, match="background"):
        arranged(two, sounds, format="webm")
    with pytest.raises(UserInputError, match="names somebody"):
        checked_dialogue({"people": [{}, {}], "picture": two[0], "sound": sounds[0],
                          "turns": [{"start": 0, "end": 1, "person": 2}]})  # fmt: skip
    with pytest.raises(UserInputError, match="not both"):
        checked_dialogue({"people": [{"portrait": two[0]}, {"portrait": two[1]}], "picture": two[0]})
    with pytest.raises(UserInputError, match="at least 2"):
        checked_dialogue({"people": [{"portrait": two[0], "sound": sounds[0]}]})
    with pytest.raises(NotFoundError):
        studio.dialogue.submit_dialogue(arranged([two[0], file(tmp_path / "none.png")], sounds))
    with pytest.raises(SeveralFacesError):
        studio.dialogue.submit_dialogue(arranged([two[0], file(picture(tmp_path / "many.png", faces=2))], sounds))
    behind = arranged(two, sounds[:1], "1 5 6")
    with pytest.raises(UserInputError, match="Every turn begins behind"):
        studio.dialogue.dialogue(behind)
