"""Talking clips: requests that round-trip, streaming, jobs that stop, reruns with the same frames."""

from __future__ import annotations

import json
import threading

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from studio.domain.clip_format import CLIP_FORMATS, CURVE_FORMATS
from studio.domain.speech_format import SPEECH_FORMATS
from studio.engines.base import Amounts
from studio.engines.media.curves import read_curves, read_json, read_livelink_csv
from studio.engines.media.recipe import read_recipe
from studio.engines.media.video import probe_video, read_frames
from studio.errors import (
    EngineUnavailableError,
    JobCancelled,
    NotFoundError,
    SeveralFacesError,
    UnreadableMediaError,
    UserInputError,
)
from studio.jobs.executor import work_off
from studio.jobs.kinds import Workplace, find_kind
from studio.services.clips.animation import AnimationRequest, checked_request, run
from studio.services.library import same_frames
from studio.services.sources import MediaSource
from studio.studio import JOB_KINDS
from tests.services.fakes import picture


def ask(portrait, speech, **more) -> AnimationRequest:
    return AnimationRequest(portrait=MediaSource.file(portrait), sound=MediaSource.file(speech), **more)


def work(studio):
    return work_off(Workplace(studio.whole.store, JOB_KINDS, services=lambda owner: studio))


requests = st.builds(
    AnimationRequest,
    portrait=st.builds(MediaSource.media, st.text("0123456789abcdef", min_size=64, max_size=64)),
    face_index=st.none() | st.integers(0, 9),
    sound=st.builds(MediaSource.photo, st.text(min_size=1, max_size=9)),
    text=st.none(),
    transcript=st.none() | st.text(max_size=40),
    emotions=st.dictionaries(st.sampled_from(["joy", "anger"]), st.floats(0, 1)),
    amounts=st.builds(Amounts, head=st.floats(0, 2), blink=st.floats(0, 2)),
    expression=st.dictionaries(st.sampled_from(["smile", "jawOpen"]), st.floats(-1, 1)),
    seed=st.integers(-(2**31), 2**31),
    frame_rate_hz=st.sampled_from([24, 25, 30, 60]),
    size=st.none() | st.integers(256, 2048),
    format=st.sampled_from(sorted(CLIP_FORMATS)),
    seconds=st.none() | st.floats(0.1, 100),
)


@given(requests)
@settings(suppress_health_check=[HealthCheck.too_slow])
def test_requests_round_trip_through_json(request_) -> None:
    assert AnimationRequest.model_validate(json.loads(request_.model_dump_json())) == request_
    assert checked_request(request_.model_dump(mode="json")) == request_


@pytest.mark.parametrize("kind", JOB_KINDS)
def test_every_kind_is_found_under_its_name(kind) -> None:
    assert find_kind(JOB_KINDS, kind).name == kind


@pytest.mark.parametrize(
    ("bad", "said"),
    [
        ({"sound": None}, "Give a sound, a text to speak, recorded motion or a video"),
        ({"text": "Hello"}, "sound or a text"),
        ({"emotions": {"glee": 0.5}}, "glee"),
        ({"emotions": {"joy": 2}}, "0 to 1"),
        ({"amounts": {"head": 3}}, "0 to 2"),
        ({"amounts": {"tail": 1}}, "no layer of motion named 'tail'"),
        ({"frame_rate_hz": 26}, "24, 25, 30 or 60"),
        ({"size": 100}, "size"),
        ({"size": 5000}, "size"),
        ({"expression": {"nose": 1}}, "nose"),
        ({"expression": {"smile": 7}}, "smile"),
        ({"seconds": -1}, "seconds"),
        ({"format": "avi"}, "format"),
        ({"portrait": {}}, "portrait"),
        ({"surprise": 1}, "surprise"),
    ],
)
def test_values_that_no_engine_could_make(bad, said) -> None:
    good = {"portrait": {"path": "a.png"}, "sound": {"path": "a.wav"}}
    with pytest.raises(UserInputError) as found:
        checked_request(good | bad)
    assert said in str(found.value)


def test_a_clip_of_a_bare_file(studio, portrait, speech, tmp_path) -> None:
    seen = []
    result = studio.animation.animate_file(
        ask(portrait, speech, seed=3), tmp_path / "out.mp4", curves=tmp_path / "c.csv", on_progress=seen.append
    )
    info = probe_video(result.path)
    assert (info.width, info.height, info.frames, info.has_audio, info.faststart) == (300, 280, 25, True, True)
    assert abs(info.video_seconds - info.audio_seconds) <= 1 / 25
    assert (result.frames, result.phone_path) == (25, "energy")
    assert {"portrait", "speech", "motion", "frames", "total"} == set(result.seconds)
    assert {"It is a fake.", "By loudness."} <= set(result.hints)
    assert [p.fraction for p in seen] == sorted(p.fraction for p in seen)
    assert seen[-1].fraction == 1
    assert any(p.preview is not None for p in seen)
    assert len(read_livelink_csv(tmp_path / "c.csv", frame_rate_hz=25)) == 25
    recipe = read_recipe(result.path)
    assert recipe["request"]["seed"] == 3
    assert str(tmp_path) not in json.dumps(recipe), "a path never leaves the computer"
    assert studio.library.page().total == 0


@pytest.mark.parametrize("format", CLIP_FORMATS)
def test_every_format(studio, portrait, speech, tmp_path, format) -> None:
    row = CLIP_FORMATS[format]
    out = tmp_path / f"o{row.suffix}"
    result = studio.animation.animate_file(ask(portrait, speech, format=format, seconds=0.5), out)
    assert result.path.stat().st_size > 0
    assert read_recipe(result.path)["request"]["format"] == format
    if row.has_alpha:
        assert probe_video(result.path).has_alpha


@pytest.mark.parametrize("format", CLIP_FORMATS)
def test_every_format_is_kept_and_made_again_with_the_same_frames(studio, portrait, speech, format) -> None:
    render, _ = studio.animation.render(ask(portrait, speech, format=format, seconds=0.3))
    assert render.file_extension == CLIP_FORMATS[format].suffix
    other, _ = studio.animation.render(ask(portrait, speech, format=format, seconds=0.3, seed=1))
    again = studio.library.rerun(render.id)
    assert again.same_frames
    assert not same_frames(studio.library.path(render), studio.library.path(other))


def test_a_format_that_is_not_in_the_table_is_refused(portrait, speech) -> None:
    with pytest.raises(UserInputError, match="format: must be 'mp4', "):
        checked_request(ask(portrait, speech).model_dump() | {"format": "avi"})


def test_frames_stream_and_are_never_collected(studio, portrait, speech, tmp_path, engines) -> None:
    studio.animation.animate_file(ask(portrait, speech, frame_rate_hz=60), tmp_path / "o.mp4")
    made = engines.mover.portraits[0]
    assert made.drawn == 60
    assert made.most_alive <= 4


def test_the_expression_lies_under_the_whole_clip(studio, portrait, speech, tmp_path) -> None:
    plain = studio.animation.animate_file(ask(portrait, speech, seconds=0.2), tmp_path / "a.mp4")
    open_ = studio.animation.animate_file(
        ask(portrait, speech, seconds=0.2, expression={"jawOpen": 0.5}), tmp_path / "b.mp4"
    )
    with read_frames(plain.path) as a, read_frames(open_.path) as b:
        first, second = next(iter(a)), next(iter(b))
    assert second.mean() > first.mean() + 50


def test_a_part_of_the_sound(studio, portrait, speech, tmp_path, engines) -> None:
    result = studio.animation.animate_file(ask(portrait, speech, start_seconds=0.5, seconds=0.3), tmp_path / "o.mp4")
    assert engines.listener.heard[0][0] == pytest.approx(0.3, abs=0.01)
    assert result.duration_seconds == pytest.approx(0.3, abs=0.04)
    with pytest.raises(UserInputError, match="starts at"):
        studio.animation.animate_file(ask(portrait, speech, start_seconds=5), tmp_path / "o2.mp4")


def test_a_transcript_is_laid_over_the_whole_sound_also_for_a_part(studio, portrait, speech, tmp_path, engines) -> None:
    request = ask(portrait, speech, start_seconds=0.5, seconds=0.3, transcript="Hello there")
    result = studio.animation.animate_file(request, tmp_path / "o.mp4")
    assert engines.listener.heard == [(pytest.approx(1.0, abs=0.01), "Hello there", "en")]
    assert result.duration_seconds == pytest.approx(0.3, abs=0.04)


@pytest.mark.parametrize("name", [f"c{row.suffix}" for row in CURVE_FORMATS.values()])
def test_a_clip_of_a_stored_photo_is_kept(studio, portrait, speech, tmp_path, name) -> None:
    _, (photo,) = _person(studio, portrait)
    request = AnimationRequest(portrait=MediaSource.photo(photo.id), sound=MediaSource.file(speech), seconds=0.4)
    out, curves = tmp_path / "o.mp4", tmp_path / name
    result = studio.animation.animate_file(request, out, curves=curves)
    (kept,) = studio.library.page().renders
    assert (result.render_id, result.path, result.curves) == (kept.id, out, curves)
    assert studio.provenance.verify(out).credentials.content_sha256 == kept.media_sha256, "with credentials"
    motion = read_livelink_csv(curves, frame_rate_hz=25) if name == "c.csv" else read_curves(curves)
    assert len(motion) == result.frames == 10


def _person(studio, portrait):
    person = studio.identities.add("Ann", [portrait])
    return person, studio.identities.photos(person.id)


def test_a_bad_place_is_refused_before_the_work(studio, portrait, speech, tmp_path, engines) -> None:
    with pytest.raises(NotFoundError, match="folder"):
        studio.animation.animate_file(ask(portrait, speech), tmp_path / "no" / "o.mp4")
    video = tmp_path / "v.mp4"
    studio.animation.animate_file(ask(portrait, speech, seconds=0.2), video)
    before, heard = video.read_bytes(), len(engines.listener.heard)
    with pytest.raises(UserInputError, match="starts from"):
        studio.animation.animate_file(ask(portrait, video, seconds=0.2), video)
    assert (video.read_bytes(), len(engines.listener.heard)) == (before, heard)


def test_a_preview_is_short_small_and_not_kept(studio, tmp_path, speech) -> None:
    big = picture(tmp_path / "big.png", size=(900, 700))
    result = studio.animation.preview(ask(big, speech, size=900), seconds=0.4)
    assert max(result.width, result.height) == 512
    assert result.duration_seconds == pytest.approx(0.4, abs=0.05)
    assert studio.library.page().total == 0


def test_bad_input_leaves_no_file(studio, portrait, speech, tmp_path) -> None:
    crowd = picture(tmp_path / "crowd.png", faces=2)
    out = tmp_path / "o.mp4"
    with pytest.raises(SeveralFacesError):
        studio.animation.animate_file(ask(crowd, speech), out)
    with pytest.raises(UnreadableMediaError):
        studio.animation.animate_file(ask(portrait, portrait), out)
    with pytest.raises(NotFoundError):
        studio.animation.animate_file(ask(portrait, tmp_path / "no.wav"), out)
    with pytest.raises(EngineUnavailableError):
        studio.animation.animate_file(ask(portrait, speech, engine="magic"), out)
    with pytest.raises(UserInputError, match="curves"):
        studio.animation.animate_file(ask(portrait, speech), out, curves=tmp_path / "c.txt")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["ann.png", "crowd.png", "data", "speech.wav"]


def test_submit_refuses_what_cannot_be_read_before_it_waits(studio, portrait, tmp_path) -> None:
    text = tmp_path / "speech.wav"
    text.write_text("no sound")
    with pytest.raises(UnreadableMediaError):
        studio.animation.submit_render(ask(portrait, text))
    assert studio.jobs.list() == ()


def test_a_job_makes_the_clip_also_when_its_files_are_gone(studio, portrait, speech) -> None:
    person = studio.identities.add("Ann", [portrait])
    photo = studio.identities.photos(person.id)[0]
    request = AnimationRequest(
        portrait=MediaSource.photo(photo.id), sound=MediaSource.file(speech), transcript="Hello there"
    )
    job = studio.animation.submit_render(request)
    assert (job.state, job.title, job.identity_id) == ("queued", "Hello there", person.id)
    speech.unlink()
    portrait.unlink()
    work(studio)
    done = studio.jobs.get(job.id)
    assert (done.state, done.fraction) == ("done", 1.0), done.failure
    render = studio.library.show(done.outputs["render_id"])
    assert (render.kind, render.photo_id, render.job_id) == ("clip", photo.id, job.id)
    assert set(render.inputs) == {"portrait", "sound", "curves", "speech"}
    assert render.duration_seconds == pytest.approx(1.0, abs=0.04)
    assert studio.library.page(text="hello").total == 1
    assert studio.jobs.preview(job.id).read_bytes().startswith(b"\x89PNG")
    assert not list((studio.store.data_dir / "scratch" / "local").glob("clip-*"))
    curves = studio.library.curves(render.id)
    assert len(read_json(curves["json"])) == 25
    assert curves["csv"].exists()
    assert studio.whole.upkeep.verify().ok


def test_a_job_done_before_its_process_died_is_not_done_twice(studio, portrait, speech) -> None:
    job = studio.animation.submit_render(ask(portrait, speech, seconds=0.2))
    work(studio)
    render_id = studio.jobs.get(job.id).outputs["render_id"]

    class Context:
        service = studio.animation

    Context.job = studio.jobs.get(job.id)
    assert run(ask(portrait, speech), Context())["render_id"] == render_id
    assert studio.library.page().total == 1


def test_cancel_stops_between_two_frames_and_leaves_nothing(studio, portrait, speech, engines) -> None:
    class Context:
        service = studio.animation
        frames = 0
        work_folder = studio.store.data_dir / "work" / "a-job"

        def progress(self, fraction, message="", preview_png=None, seconds_left=None):
            self.frames += "Frame" in message

        def check_cancelled(self):
            if self.frames >= 5:
                raise JobCancelled

    Context.job = studio.animation.submit_render(ask(portrait, speech))
    with pytest.raises(JobCancelled):
        run(ask(portrait, speech), Context())
    assert engines.mover.portraits[0].drawn <= 7
    assert studio.library.page().total == 0
    assert not list((studio.store.data_dir / "scratch" / "local").glob("*"))


def test_an_interrupted_clip_goes_on_behind_its_finished_frames(studio, portrait, speech, engines, tmp_path) -> None:
    request = ask(portrait, speech, frame_rate_hz=60, start_seconds=0.1, seconds=0.9)
    whole, _ = studio.animation.render(request)
    engines.mover.portraits[0].drawn = 0

    def kill(progress) -> None:
        if "Frame 53" in progress.stage:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        studio.animation.render(request, work_folder=tmp_path / "work", on_progress=kill)
    assert [p.name for p in (tmp_path / "work" / "parts").glob("*.mp4")] == ["part-000000.mp4"]
    again, result = studio.animation.render(request, work_folder=tmp_path / "work")
    assert engines.mover.portraits[0].drawn == (1 + 53) + (1 + 4), "one for each poster; 50 frames were kept"
    assert again.media_sha256 == whole.media_sha256
    info = probe_video(result.path)
    assert (info.frames, info.frame_rate_hz) == (54, pytest.approx(60))
    assert info.video_seconds == pytest.approx(0.9, abs=0.01)
    assert abs(info.video_seconds - info.audio_seconds) <= 1 / 60


def test_frames_of_another_request_are_not_taken_over(studio, portrait, speech, engines, tmp_path) -> None:
    def kill(progress) -> None:
        if "Frame 53" in progress.stage:
            raise KeyboardInterrupt

    request = ask(portrait, speech, frame_rate_hz=60)
    with pytest.raises(KeyboardInterrupt):
        studio.animation.render(request, work_folder=tmp_path / "work", on_progress=kill)
    other = request.model_copy(update={"seed": 9})
    render, _ = studio.animation.render(other, work_folder=tmp_path / "work")
    assert engines.mover.portraits[0].drawn == (1 + 53) + (1 + 60)
    assert render.media_sha256 == studio.animation.render(other)[0].media_sha256


def test_a_failing_engine_is_told_honestly(studio, portrait, speech, engines, monkeypatch) -> None:
    def fail(*arguments, **options):
        raise EngineUnavailableError("The engine is broken.", "Mend it.")

    job = studio.animation.submit_render(ask(portrait, speech))
    monkeypatch.setattr(engines.listener, "perform", fail)
    work(studio)
    failed = studio.jobs.get(job.id)
    assert (failed.state, failed.failure.message) == ("failed", "The engine is broken.")
    monkeypatch.undo()
    again = studio.jobs.retry(job.id)
    work(studio)
    assert studio.jobs.get(again.id).state == "done"
    assert again.parent_id == job.id


def test_rerun_makes_the_same_frames(studio, portrait, speech) -> None:
    job = studio.animation.submit_render(ask(portrait, speech, seed=5, emotions={"joy": 0.4}))
    work(studio)
    first = studio.library.show(studio.jobs.get(job.id).outputs["render_id"])
    again = studio.library.rerun(first.id)
    assert again.same_frames
    assert again.render.parent_id == first.id
    assert again.render.recipe["request"] == first.recipe["request"]
    queued = studio.library.submit_rerun(first.id)
    work(studio)
    assert studio.jobs.get(queued.id).outputs["same_frames"] is True


def test_different_seeds_are_seen_as_different(studio, portrait, speech, tmp_path) -> None:
    one = studio.animation.animate_file(ask(portrait, speech, seed=1), tmp_path / "1.mp4").path
    two = studio.animation.animate_file(ask(portrait, speech, seed=2), tmp_path / "2.mp4").path
    short = studio.animation.animate_file(ask(portrait, speech, seed=1, seconds=0.5), tmp_path / "3.mp4").path
    again = studio.animation.animate_file(ask(portrait, speech, seed=1), tmp_path / "4.mp4").path
    assert not same_frames(one, two)
    assert not same_frames(one, short)
    assert same_frames(one, again)


def test_typed_text_without_a_voice(studio, portrait, tmp_path, engines, monkeypatch) -> None:
    def missing():
        raise EngineUnavailableError("The offline voice is not installed.", "pip install espeakng-loader")

    monkeypatch.setattr(engines, "synthesiser", missing)
    request = AnimationRequest(portrait=MediaSource.file(portrait), text="Hello")
    assert studio.animation.voices() == ()
    with pytest.raises(EngineUnavailableError):
        studio.animation.animate_file(request, tmp_path / "o.mp4")


def test_a_part_of_an_analysis_is_cut_to_its_piece() -> None:
    from studio.domain.speech import Phone, SpeechAnalysis, Word
    from studio.engines.base import Sound
    from studio.services.clips.listening import part_of

    phones = (Phone("AA", 0.0, 0.4), Phone("B", 0.4, 0.5), Phone("IY", 0.5, 1.0))
    whole = SpeechAnalysis(1.0, phones, (Word("abi", 0.0, 1.0),), "synthesis")
    part = part_of(whole, 0.45, Sound(np.zeros(4800, np.float32), 16000))
    assert part.duration_seconds == pytest.approx(0.3)
    assert [(p.label, round(p.start, 3), round(p.end, 3)) for p in part.phones] == [("B", 0.0, 0.05), ("IY", 0.05, 0.3)]
    assert part.words[0].end == pytest.approx(0.3)


def test_speech_is_heard_while_the_portrait_is_made_ready(studio, engines, portrait, speech, tmp_path, monkeypatch):
    heard = threading.Event()
    listen, prepare = engines.listener.analyse, engines.mover.prepare

    def analyse(*args, **named):
        heard.set()
        return listen(*args, **named)

    def wait_then_prepare(image, face):
        assert heard.wait(20), "the portrait was made ready before anybody listened"
        return prepare(image, face)

    monkeypatch.setattr(engines.listener, "analyse", analyse)
    monkeypatch.setattr(engines.mover, "prepare", wait_then_prepare)
    assert studio.animation.animate_file(ask(portrait, speech), tmp_path / "clip.mp4").frames


def test_another_photo_or_sound_is_another_take(studio, engines, speech, tmp_path, monkeypatch):
    """The seed that the engine gets mixes in both; the recipe says it, and the same request gets it again."""
    seeds = []
    perform = engines.listener.perform

    def remember(*args, seed=0, **named):
        seeds.append(seed)
        return perform(*args, seed=seed, **named)

    monkeypatch.setattr(engines.listener, "perform", remember)
    first, second = picture(tmp_path / "a.png"), picture(tmp_path / "b.png", shade=90)
    other = tmp_path / "other.wav"
    other.write_bytes(speech.read_bytes()[:-400])
    for portrait, sound in ((first, speech), (first, speech), (second, speech), (first, other)):
        studio.animation.animate_file(ask(portrait, sound), tmp_path / "clip.mp4")
        assert read_recipe(tmp_path / "clip.mp4")["take_seed"] == seeds[-1]
    assert seeds[0] == seeds[1]
    assert len(set(seeds)) == 3
    preview = studio.animation.preview(ask(first, speech), seconds=0.5)
    assert preview.frames
    assert seeds[-1] == seeds[0], "the preview must move as the clip will"


@pytest.mark.parametrize("transcript", [None, "one two three"])
def test_a_sound_is_heard_and_performed_as_one_value(
    studio, portrait, speech, tmp_path, engines, monkeypatch, transcript
):
    """The engine knows a sound again by that, and measures it once."""
    heard = []
    analyse, perform = engines.listener.analyse, engines.listener.perform
    monkeypatch.setattr(engines.listener, "analyse", lambda s, *a, **k: heard.append(s) or analyse(s, *a, **k))
    monkeypatch.setattr(engines.listener, "perform", lambda s, *a, **k: heard.append(s) or perform(s, *a, **k))
    studio.animation.animate_file(ask(portrait, speech, transcript=transcript), tmp_path / "out.mp4")
    assert len(heard) == 2
    assert heard[0] is heard[1]


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"size": 10}, "size is 10, but must be at least 256."),
        ({"size": "wide"}, "size is 'wide', but must be a whole number."),
        ({"seconds": 0.0}, "seconds is 0.0, but must be more than 0"),
        ({"start_seconds": "x" * 99}, "but must be a number."),
        ({"mood": 1}, "There is nothing called mood."),
    ],
)
def test_a_value_that_cannot_be_used_is_refused_in_plain_words(portrait, speech, values, said) -> None:
    asked = {"portrait": MediaSource.file(portrait), "sound": MediaSource.file(speech), **values}
    with pytest.raises(UserInputError) as caught:
        checked_request(asked)
    assert said in caught.value.message
    assert "Input should" not in caught.value.message


def test_what_is_said_leaves_as_files_and_stays_with_the_clip(studio, portrait, speech, tmp_path) -> None:
    person = studio.identities.add("Ann", [portrait])
    photo = studio.identities.photos(person.id)[0]
    request = AnimationRequest(portrait=MediaSource.photo(photo.id), sound=MediaSource.file(speech))
    cues = tmp_path / "clip.cues.tsv"
    result = studio.animation.animate_file(request, tmp_path / "clip.mp4", timing=cues)
    assert cues.read_text().splitlines()[-1].split("\t") == [f"{result.speech.duration_seconds:.2f}", "X"]
    kept = studio.library.timing(result.render_id)
    assert set(kept) == {n for n, row in SPEECH_FORMATS.items() if result.speech.words or not row.needs_words}
    assert kept["cues-tsv"].read_text() == cues.read_text()
    with pytest.raises(UserInputError, match="names no format"):
        studio.animation.animate_file(request, tmp_path / "other.mp4", timing=tmp_path / "clip.txt")
    assert not (tmp_path / "other.mp4").exists()
    studio.identities.delete(person.id)
    with pytest.raises(NotFoundError):
        studio.library.timing(result.render_id)
