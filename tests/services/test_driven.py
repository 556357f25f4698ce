"""A portrait that moves as a face in a video does: from the file to the kept clip, and files that cannot."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

from studio.domain.consent import Consent
from studio.domain.expression import INDEX
from studio.engines.media import ffmpeg
from studio.engines.media.curves import read_curves, read_json
from studio.engines.media.pictures import write_png
from studio.engines.media.video import open_writer, probe_video
from studio.errors import (
    ConsentMissingError,
    LimitExceededError,
    NoFaceError,
    NotFoundError,
    StudioError,
    UnreadableMediaError,
    UserInputError,
)
from studio.services.clips import driven
from studio.services.clips.animation import checked_request
from studio.services.sources import MediaSource
from studio.studio import OwnerServices


def bright(path: Path, shades: list[int], rate: int = 25, sound: Path | None = None) -> Path:
    """A video whose frames are evenly gray."""
    with open_writer("mp4", path, (256, 256), rate, sound_path=sound) as clip:
        for shade in shades:
            clip.write(np.full((256, 256, 3), shade, np.uint8))
    return path


@pytest.fixture
def driver(tmp_path: Path, speech: Path) -> Path:
    return bright(tmp_path / "driver.mp4", [60] * 10 + [200] * 10 + [60] * 5, sound=speech)


def asked(portrait: Path, clip: Path, **changes: object) -> dict[str, object]:
    return {"portrait": MediaSource.file(portrait), "driving": MediaSource.file(clip), "size": 256, **changes}


def converted(source: Path, target: Path, *options: str) -> Path:
    done = subprocess.run(
        [ffmpeg.binary(), "-v", "error", "-y", "-i", str(source), *options, str(target)], capture_output=True
    )
    assert done.returncode == 0, done.stderr
    return target


def test_a_face_in_a_video_moves_the_portrait_and_its_sound_is_kept(
    studio: OwnerServices, portrait: Path, driver: Path, tmp_path: Path
) -> None:
    out, kept = tmp_path / "clip.mp4", tmp_path / "kept.json"
    result = studio.animation.animate_file(checked_request(asked(portrait, driver)), out, curves=kept)
    assert (result.frames, result.phone_path) == (25, "driven")
    brow = read_json(kept).weights[:, INDEX["browInnerUp"]]
    assert brow[15] > brow[2] + 0.3
    assert abs(brow[2]) < 0.05, "relative to the driver's rest"
    assert probe_video(out).has_audio
    assert "It is a fake." in result.hints


def test_curves_of_a_driven_clip_move_the_portrait_alike(
    studio: OwnerServices, portrait: Path, driver: Path, tmp_path: Path
) -> None:
    kept, again = tmp_path / "kept.json", tmp_path / "again.json"
    studio.animation.animate_file(checked_request(asked(portrait, driver)), tmp_path / "a.mp4", curves=kept)
    moved = {"portrait": MediaSource.file(portrait), "motion": MediaSource.file(kept), "size": 256}
    studio.animation.animate_file(checked_request(moved), tmp_path / "b.mp4", curves=again)
    assert np.array_equal(read_curves(kept).weights, read_curves(again).weights)


def test_another_sound_and_amounts_take_effect(
    studio: OwnerServices, portrait: Path, driver: Path, speech: Path, tmp_path: Path
) -> None:
    half, kept = {"amounts": {"brows": 0.5}}, [tmp_path / "one.json", tmp_path / "half.json"]
    for curves, more in zip(kept, ({}, half), strict=True):
        request = checked_request(asked(portrait, driver, sound=MediaSource.file(speech), **more))
        studio.animation.animate_file(request, tmp_path / "clip.mp4", curves=curves)
    whole, less = (read_json(k).weights[:, INDEX["browInnerUp"]] for k in kept)
    assert np.allclose(less, whole / 2, atol=1e-6)


def test_a_driven_clip_is_kept_with_its_video_by_hash_alone_and_made_again(
    studio: OwnerServices, portrait: Path, driver: Path
) -> None:
    render, _ = studio.animation.render(checked_request(asked(portrait, driver, neutral_seconds=0.2)))
    assert set(render.inputs) == {"portrait", "driving", "curves"}
    assert (render.recipe["engines"]["tracking"], "speech" in render.recipe["engines"]) == ("fake-tracker 1", False)
    assert render.title == "Driven by a video"
    assert "driver" not in str(render.recipe), "no name of a file"
    driver.unlink()
    assert studio.library.rerun(render.id).same_frames
    assert studio.library.inputs(render)["driving"].suffix == ".mp4"


def test_the_portraits_person_has_to_agree(studio: OwnerServices, portrait: Path, driver: Path) -> None:
    from datetime import UTC, datetime

    agreed = Consent(agreed_by="Ann", scopes=("edit",), granted_at=datetime.now(UTC))
    person = studio.identities.add("Ann", [portrait], consent=agreed)
    photo = MediaSource.photo(studio.identities.photos(person.id)[0].id)
    with pytest.raises(ConsentMissingError):
        studio.animation.submit_render(checked_request(asked(portrait, driver) | {"portrait": photo}))


def test_a_part_and_another_rate(studio: OwnerServices, portrait: Path, driver: Path, tmp_path: Path) -> None:
    kept = tmp_path / "kept.json"
    request = checked_request(asked(portrait, driver, start_seconds=0.4, seconds=0.4, frame_rate_hz=60))
    result = studio.animation.animate_file(request, tmp_path / "clip.mp4", curves=kept)
    assert (result.frames, result.frame_rate_hz) == (24, 60)


@pytest.mark.parametrize("rate", [60, 24])
def test_other_rates_keep_their_time(studio: OwnerServices, portrait: Path, tmp_path: Path, rate: int) -> None:
    clip = bright(tmp_path / "driver.mp4", [60] * rate + [200] * rate, rate)
    kept = tmp_path / "kept.json"
    studio.animation.animate_file(checked_request(asked(portrait, clip)), tmp_path / "clip.mp4", curves=kept)
    brow = read_json(kept).weights[:, INDEX["browInnerUp"]]
    assert len(brow) == 50
    assert 24 <= int(np.argmax(brow > brow.max() / 2)) <= 26


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("-vf", "fps=240"), "has 240 frames per second, of which 60 are looked at"),
        (("-vf", "tinterlace=interleave_top", "-flags", "+ilme+ildct", "-field_order", "tt"), "interlaced"),
        (("-pix_fmt", "yuv420p10le"), ""),
        (("-vf", "setpts='if(gt(N,8),PTS+N*200,PTS)'", "-fps_mode", "vfr"), ""),
    ],
    ids=["240 per second", "interlaced", "10 bit", "varying rate"],
)  # fmt: skip
def test_videos_as_cameras_write_them(
    studio: OwnerServices, portrait: Path, driver: Path, tmp_path: Path, options: tuple[str, ...], said: str
) -> None:
    clip = converted(driver, tmp_path / "camera.mp4", *options, "-c:v", "libx264")
    result = studio.animation.animate_file(checked_request(asked(portrait, clip)), tmp_path / "clip.mp4")
    assert result.frames >= 10
    assert any(said in hint for hint in result.hints)


def test_a_video_without_sound_moves_in_silence(studio: OwnerServices, portrait: Path, tmp_path: Path) -> None:
    clip = bright(tmp_path / "mute.mp4", [60, 60, 200, 60])
    studio.animation.animate_file(checked_request(asked(portrait, clip)), tmp_path / "clip.mp4")
    assert not probe_video(tmp_path / "clip.mp4").has_audio


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"text": "Hello"}, "not with a text to speak"),
        ({"emotions": {"joy": 0.5}}, "its own emotion"),
        ({"start_seconds": 5.0}, "the video ends at"),
        ({"neutral_seconds": 9.0}, "lies outside the part"),
        ({"motion": MediaSource.media("ab" * 32)}, "not both"),
    ],
)
def test_what_does_not_go_with_a_video_is_refused_before_anything_is_queued(
    studio: OwnerServices, portrait: Path, driver: Path, changes: dict[str, object], said: str
) -> None:
    with pytest.raises(UserInputError, match=said):
        studio.animation.submit_render(checked_request(asked(portrait, driver, **changes)))
    assert studio.jobs.list() == ()


def test_a_neutral_moment_without_a_video_is_refused(portrait: Path, speech: Path) -> None:
    with pytest.raises(UserInputError, match="go with a video that drives"):
        checked_request(
            {"portrait": MediaSource.file(portrait), "sound": MediaSource.file(speech), "neutral_seconds": 1}
        )


def test_files_that_cannot_drive_are_refused_at_once(
    studio: OwnerServices, portrait: Path, driver: Path, speech: Path, tmp_path: Path
) -> None:
    picture = write_png(tmp_path / "face.png", np.full((64, 64, 3), 90, np.uint8)) or tmp_path / "face.png"
    empty = tmp_path / "empty.mp4"
    empty.write_bytes(b"")
    cases: list[tuple[Path, type[StudioError], str]] = [
        (picture, UserInputError, "single picture"), (empty, UnreadableMediaError, "empty"),
        (speech, UnreadableMediaError, "no moving picture"), (tmp_path / "none.mp4", NotFoundError, "none.mp4"),
    ]  # fmt: skip
    for file, error, said in cases:
        with pytest.raises(error, match=said) as caught:
            studio.animation.submit_render(checked_request(asked(portrait, file)))
        assert caught.value.hint
    assert studio.jobs.list() == ()


def test_a_video_that_breaks_off_moves_as_far_as_it_goes_and_says_so(
    studio: OwnerServices, portrait: Path, tmp_path: Path
) -> None:
    random = np.random.default_rng(4)
    whole, broken = tmp_path / "whole.mp4", tmp_path / "broken.mp4"
    with open_writer("mp4", whole, (256, 256), 25) as clip:
        for _ in range(60):
            clip.write(random.integers(60, 200, (256, 256, 3), np.uint8))
    broken.write_bytes(whole.read_bytes()[: whole.stat().st_size // 3])
    result = studio.animation.animate_file(checked_request(asked(portrait, broken)), tmp_path / "clip.mp4")
    assert 5 < result.frames < 40
    assert any("breaks off after" in hint for hint in result.hints)


def test_a_video_of_one_frame_and_one_without_a_face_end_in_words(
    studio: OwnerServices, portrait: Path, tmp_path: Path
) -> None:
    one, dark = bright(tmp_path / "one.mp4", [90]), bright(tmp_path / "dark.mp4", [0] * 5)
    with pytest.raises(UserInputError, match="nothing moves in it"):
        studio.animation.preview(checked_request(asked(portrait, one)))
    with pytest.raises(NoFaceError, match="No face was found in the video"):
        studio.animation.preview(checked_request(asked(portrait, dark)))


def test_a_long_video_is_refused_before_it_is_copied(
    studio: OwnerServices, portrait: Path, driver: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(driven, "LONGEST_SECONDS", 0.5)
    copied = []
    monkeypatch.setattr(shutil, "copyfile", lambda *a: copied.append(a))
    with pytest.raises(LimitExceededError, match="followed for at most"):
        studio.animation.submit_render(checked_request(asked(portrait, driver)))
    assert not copied
    studio.animation.preview(checked_request(asked(portrait, driver)), seconds=0.2)
