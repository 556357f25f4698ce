"""A portrait that moves as a face was recorded: curves in, a clip out, made again with the same frames."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest

from studio.domain.expression import INDEX
from studio.domain.performance import Performance
from studio.engines.base import Amounts, Sound
from studio.engines.media.curves import read_curves, read_json, write_curves
from studio.engines.media.sound import write_wav
from studio.errors import NotFoundError, UnreadableMediaError, UserInputError
from studio.services.clips.animation import checked_request
from studio.services.clips.recorded import with_amounts
from studio.services.sources import MediaSource
from studio.studio import OwnerServices


def motion(frames: int = 90, rate: float = 60.0) -> Performance:
    """A jaw that opens and shuts once a second, a blink, a turn of the head."""
    t = np.arange(frames, dtype=np.float32) / rate
    weights = np.zeros((frames, 52), np.float32)
    weights[:, INDEX["jawOpen"]] = (0.3 - 0.3 * np.cos(2 * np.pi * t)).astype(np.float32)
    weights[:, INDEX["eyeBlinkLeft"]] = weights[:, INDEX["eyeBlinkRight"]] = (t > 0.5).astype(np.float32) * 0.6
    head = np.stack([6 * np.sin(2 * np.pi * t), 0 * t, 0 * t], 1).astype(np.float32)
    none = np.zeros(frames, np.float32)
    seal = none.copy()
    seal[frames // 2] = 1.0
    return Performance(rate, weights, head, none, seal, none.copy())


def asked(portrait: Path, curves: Path, **changes: object) -> dict[str, object]:
    return {"portrait": MediaSource.file(portrait), "motion": MediaSource.file(curves), "size": 256, **changes}


@pytest.mark.parametrize("name", ["m.csv", "m.json"])
def test_a_recording_moves_the_portrait_at_the_clips_rate(
    studio: OwnerServices, portrait: Path, tmp_path: Path, name: str
) -> None:
    curves = write_curves(motion(), tmp_path / name)
    out = tmp_path / "clip.mp4"
    kept = tmp_path / "kept.json"
    result = studio.animation.animate_file(checked_request(asked(portrait, curves)), out, curves=kept)
    assert (result.frames, result.phone_path, out.is_file()) == (38, "recorded", True)
    jaw = read_json(kept).weights[:, INDEX["jawOpen"]]
    wanted = 0.3 - 0.3 * np.cos(2 * np.pi * np.arange(38) / 25)
    assert np.abs(jaw - wanted).max() < 0.01


def test_a_clip_of_a_recording_is_kept_with_it_and_made_again(
    studio: OwnerServices, portrait: Path, speech: Path, tmp_path: Path
) -> None:
    curves = write_curves(motion(), tmp_path / "m.csv")
    render, _ = studio.animation.render(checked_request(asked(portrait, curves, sound=MediaSource.file(speech))))
    assert set(render.inputs) == {"portrait", "sound", "motion", "curves"}
    assert "speech" not in render.recipe["engines"], "nothing was listened to"
    curves.unlink()
    assert studio.library.rerun(render.id).same_frames
    assert studio.library.inputs(render)["motion"].suffix == ".csv"


def test_a_sound_that_goes_on_behind_the_motion_is_said(studio: OwnerServices, portrait: Path, tmp_path: Path) -> None:
    curves = write_curves(motion(), tmp_path / "m.csv")  # 1.5 s
    sound = write_wav(tmp_path / "long.wav", Sound(np.zeros(16000 * 4, np.float32), 16000))
    long = asked(portrait, curves, sound=MediaSource.file(sound))
    result = studio.animation.animate_file(checked_request(long), tmp_path / "a.mp4")
    assert "The motion ends 2.5 s before the sound, and the clip with it." in result.hints
    result = studio.animation.animate_file(checked_request({**long, "seconds": 1.0}), tmp_path / "b.mp4")
    assert not any("before the sound" in hint for hint in result.hints), "so much was asked for"


def test_a_part_begins_where_it_was_asked_for_and_no_closure_is_lost(tmp_path: Path) -> None:
    whole = motion()
    part = whole.part(0.5, 0.25)
    assert (len(part), float(part.weights[0, INDEX["eyeBlinkLeft"]])) == (
        15,
        float(whole.weights[30, INDEX["eyeBlinkLeft"]]),
    )
    for rate in (24.0, 25.0, 30.0):
        slow = whole.at_rate(rate)
        assert (len(slow), slow.frame_rate_hz) == (round(1.5 * rate), rate)
        assert slow.lip_seal.max() == 1.0, "one sealed frame of sixty is still sealed"
    assert np.array_equal(whole.at_rate(60.0).weights, whole.weights)


def test_amounts_scale_their_own_layer_only() -> None:
    whole = motion()
    assert np.array_equal(with_amounts(whole, Amounts()).weights, whole.weights)
    calm = with_amounts(whole, Amounts(head=0.0, jaw=0.5))
    assert not calm.head_degrees.any()
    assert np.allclose(calm.weights[:, INDEX["jawOpen"]], whole.weights[:, INDEX["jawOpen"]] / 2)
    assert np.array_equal(calm.weights[:, INDEX["eyeBlinkLeft"]], whole.weights[:, INDEX["eyeBlinkLeft"]])


def test_a_table_that_a_spreadsheet_saved_is_read(tmp_path: Path) -> None:
    plain = write_curves(motion(), tmp_path / "m.csv")
    rows = list(csv.reader(plain.read_text("utf-8").splitlines()))
    commas = tmp_path / "commas.csv"
    commas.write_text("\n".join(";".join(c.replace(".", ",") if i > 1 else c for i, c in enumerate(r)) for r in rows))
    assert np.array_equal(read_curves(commas).weights, read_curves(plain).weights)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"text": "Hello"}, "not with a text to speak"),
        ({"emotions": {"joy": 0.5}}, "its own emotion"),
        ({"start_seconds": 5.0}, "the motion ends at 1.5 s"),
    ],
)
def test_what_does_not_go_with_a_recording_is_refused(
    studio: OwnerServices, portrait: Path, tmp_path: Path, changes: dict[str, object], said: str
) -> None:
    curves = write_curves(motion(), tmp_path / "m.json")
    with pytest.raises(UserInputError, match=said):
        studio.animation.submit_render(checked_request(asked(portrait, curves, **changes)))


def test_files_that_are_no_motion_are_refused_before_anything_is_queued(
    studio: OwnerServices, portrait: Path, tmp_path: Path
) -> None:
    empty, other, wrong = tmp_path / "empty.csv", tmp_path / "other.csv", tmp_path / "motion.bvh"
    empty.write_text("")
    other.write_text("a,b\n1,2\n")
    wrong.write_text("HIERARCHY")
    for file, error in ((empty, UnreadableMediaError), (other, UnreadableMediaError), (wrong, UserInputError),
                        (tmp_path / "none.csv", NotFoundError)):  # fmt: skip
        with pytest.raises(error) as caught:
            studio.animation.submit_render(checked_request(asked(portrait, file)))
        assert caught.value.hint
    assert studio.jobs.list() == ()
