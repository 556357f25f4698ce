"""A video gets new speech: from the file to the kept clip, once more, under consent, and files that cannot."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest

from studio.domain.consent import Consent
from studio.domain.expression import INDEX
from studio.engines.media.curves import read_json
from studio.engines.media.video import open_writer, probe_video
from studio.errors import (
    ConsentMissingError,
    JobCancelled,
    LimitExceededError,
    NoFaceError,
    NotFoundError,
    UnreadableMediaError,
    UserInputError,
)
from studio.services.clips import driven, dubbing
from studio.services.clips.dubbing import checked_dub, is_dubbed
from studio.services.sources import MediaSource
from studio.studio import OwnerServices


def film(path: Path, shades: list[int], rate: int = 25, size: tuple[int, int] = (256, 256)) -> Path:
    """A video whose frames are evenly gray."""
    with open_writer("mp4", path, size, rate) as clip:
        for shade in shades:
            clip.write(np.full((size[1], size[0], 3), shade, np.uint8))
    return path


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    return film(tmp_path / "film.mp4", [120] * 40)


def asked(clip: Path, speech: Path, **changes: object) -> dict[str, object]:
    return {"clip": MediaSource.file(clip), "sound": MediaSource.file(speech), **changes}


def test_a_video_says_something_else_and_is_kept(studio: OwnerServices, clip, speech, tmp_path) -> None:
    out = tmp_path / "out.mp4"
    result = studio.dubbing.dub_file(checked_dub(asked(clip, speech, transcript="Hello there.")), out)
    info = probe_video(out)
    assert info.frames == result.frames == 25
    assert info.audio_codec
    assert result.speech is not None
    assert "It is a fake." in result.hints
    render = studio.library.show(str(result.render_id))
    assert render.title == "Hello there."
    assert is_dubbed(render.recipe)
    assert set(render.inputs) == {"clip", "sound", "curves", "speech"}
    curves = read_json(studio.store.media.get(render.inputs["curves"]))
    assert curves.weights[:, INDEX["jawOpen"]].max() > 0.3
    assert not curves.head_degrees.any(), "the head is the film's"
    assert studio.library.rerun(render.id).same_frames
    assert clip.read_bytes() == studio.store.media.get(render.inputs["clip"]).read_bytes()
    found = studio.provenance.verify(out).credentials
    assert found is not None
    assert sorted(found.ingredients) == ["clip", "sound"]
    assert found.source_types == ("compositeWithTrainedAlgorithmicMedia",)


def test_a_part_is_taken_and_what_does_not_fit_is_said(studio, speech, tmp_path) -> None:
    short = film(tmp_path / "short.mp4", [120] * 12)
    _, result = studio.dubbing.dub(checked_dub(asked(short, speech)))
    assert result.frames == 12
    assert any("cut there" in hint for hint in result.hints)
    long = film(tmp_path / "long.mp4", [20] * 25 + [200] * 25)
    render, result = studio.dubbing.dub(checked_dub(asked(long, speech, start_seconds=1.0, seconds=0.4)))
    assert result.frames == 10
    assert render.duration_seconds == pytest.approx(0.4)


def test_a_rate_of_its_own_is_brought_to_one_that_clips_have(studio, speech, tmp_path) -> None:
    fast = film(tmp_path / "fast.mp4", [120] * 60, rate=60)
    _, result = studio.dubbing.dub(checked_dub(asked(fast, speech)))
    assert (result.frame_rate_hz, result.frames) == (60.0, 60)
    frames = [np.full((2, 2, 3), n, np.uint8) for n in range(50)]
    halved = [int(f[0, 0, 0]) for f in dubbing._at_rate(frames, 50.0, 25.0)]
    assert len(halved) == 25
    assert set(np.diff(halved)) == {2}, "every second frame"
    assert len(list(dubbing._at_rate(frames[:12], 12.0, 24.0))) == 24


def test_a_clip_that_was_stopped_goes_on_with_the_same_frames(studio, clip, speech, tmp_path) -> None:
    request = checked_dub(asked(clip, speech))
    whole, _ = studio.dubbing.dub(request)
    seen = []

    def stop(progress) -> None:
        seen.append(progress.stage)
        if progress.stage.startswith("Frame 20"):
            raise JobCancelled("stopped")

    with pytest.raises(JobCancelled):
        studio.dubbing.dub(request, on_progress=stop, work_folder=tmp_path / "work")
    again, _ = studio.dubbing.dub(request, work_folder=tmp_path / "work")
    assert (
        studio.store.media.get(again.media_sha256).read_bytes()
        == studio.store.media.get(whole.media_sha256).read_bytes()
    )


def test_whoever_is_in_it_must_have_agreed(studio, portrait, clip, speech) -> None:
    only_edit = Consent(agreed_by="Ann", scopes=("edit",), granted_at=datetime.now(UTC))
    ann = studio.identities.add("Ann", [portrait], consent=only_edit)
    with pytest.raises(ConsentMissingError):
        studio.dubbing.submit_dub(checked_dub(asked(clip, speech, identity_id=ann.id)))
    agreed = Consent(agreed_by="Ann", scopes=("edit", "animate"), granted_at=datetime.now(UTC))
    studio.identities.set_consent(ann.id, agreed)
    render, _ = studio.dubbing.dub(checked_dub(asked(clip, speech, identity_id=ann.id)))
    assert render.identity_id == ann.id
    # the clip is known to show her, whoever hands it in
    studio.withdrawals.take_back(ann.id)
    with pytest.raises(ConsentMissingError):
        studio.dubbing.dub(checked_dub({"clip": MediaSource.media(render.media_sha256), "text": "Hello"}))


def test_what_cannot_be_is_one_sentence(studio, portrait, clip, speech, tmp_path, monkeypatch) -> None:
    def dub(file: Path = clip, **changes: object):
        return studio.dubbing.dub(checked_dub(asked(file, speech, **changes)))

    with pytest.raises(NoFaceError):
        dub(film(tmp_path / "dark.mp4", [0] * 5))
    with pytest.raises(UnreadableMediaError, match="no moving picture"):
        dub(speech)
    with pytest.raises(NotFoundError):
        dub(tmp_path / "none.mp4")
    with pytest.raises(UserInputError, match=r"starts at 9 s"):
        dub(start_seconds=9.0)
    with pytest.raises(UserInputError, match="single picture"):
        dub(film(tmp_path / "one.mp4", [120]))
    with pytest.raises(UserInputError, match="not both"):
        checked_dub(asked(clip, speech, text="Hello"))
    with pytest.raises(UserInputError, match="sound or a text"):
        checked_dub({"clip": MediaSource.file(clip)})
    with pytest.raises(UserInputError, match="background"):
        checked_dub(asked(clip, speech, format="webm"))
    monkeypatch.setattr(driven, "LONGEST_SECONDS", 1.0)
    with pytest.raises(LimitExceededError, match="at most"):
        dub()
    assert not list((studio.store.data_dir / "scratch").rglob("dub-*")), "nothing is left over"
