"""`animate --drive` as a real program: a clip of a face moves a photo; what cannot is one sentence."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from benchmarks.driver_clip import known_motion, write_driver
from studio.domain.expression import INDEX
from studio.engines.media.curves import read_curves
from studio.engines.media.video import open_writer, probe_video
from studio.services.portraits.prepared import Portraits
from tests.cli.conftest import program


@pytest.fixture(scope="module")
def driver(tmp_path_factory, astronaut, engines) -> Path:
    """Two seconds of the astronaut, moved by the rig."""
    portrait = Portraits(engines).prepare(astronaut, face_index=0, size=320).portrait
    return write_driver(tmp_path_factory.mktemp("drive") / "face.mp4", portrait, known_motion(seconds=1.6))


def test_a_clip_of_a_face_moves_a_photo(driver, astronaut, tmp_path) -> None:
    out, curves = tmp_path / "clip.mp4", tmp_path / "clip.csv"
    ran = program(
        "animate", str(astronaut), "--drive", str(driver), "--neutral", "0.2", "--face", "1", "--size", "256",
        "--out", str(out), "--curves", str(curves), "--json", data_dir=tmp_path / "data",
    )  # fmt: skip
    assert ran.code == 0, ran.err
    assert (ran.json["frames"], ran.json["phone_path"]) == (40, "driven")
    assert probe_video(out).frames == 40
    seen = read_curves(curves)
    assert seen.weights[:, INDEX["jawOpen"]].max() > 0.1
    assert seen.weights[:, INDEX["eyeBlinkLeft"]].max() > 0.5
    assert seen.head_degrees[:, 2].max() > 2


def test_what_cannot_drive_is_one_sentence(run, astronaut, tmp_path) -> None:
    gray = tmp_path / "gray.mp4"
    with open_writer("mp4", gray, (256, 256), 25) as clip:
        for _ in range(4):
            clip.write(np.full((256, 256, 3), 90, np.uint8))
    for options, code, said in (
        (["--drive", gray], 2, "No face was found in the video"),
        (["--drive", astronaut], 2, "single picture"),
        (["--drive", tmp_path / "none.mp4"], 3, "none.mp4"),
        (["--drive", gray, "--say", "Hello"], 2, "not with a text"),
        (["--neutral", "1", "--say", "Hello"], 2, "go with a video that drives"),
    ):
        ran = run("animate", astronaut, "--face", "1", "--out", tmp_path / "out.mp4", *options)
        assert ran.code == code, ran.err
        assert said in ran.err
        assert len(ran.err.strip().splitlines()) <= 2
        assert not (tmp_path / "out.mp4").exists()


def test_a_video_gets_new_speech(driver, tmp_path) -> None:
    from studio.services.sample import sample_speech
    from studio.studio import ASSETS

    speech, out = sample_speech(ASSETS), tmp_path / "clip.mp4"
    asked = ["dub", str(driver), "--speech", str(speech.path), "--seconds", "0.6", "--out", str(out), "--json"]
    ran = program(*asked, data_dir=tmp_path / "data")
    assert ran.code == 0, ran.err
    assert ran.json["frames"] == 15
    assert probe_video(out).has_audio
    again = program("dub", ran.json["render_id"], "--say", "Hello", "--person", "nobody", "--out", str(out),
                    data_dir=tmp_path / "data")  # fmt: skip
    assert again.code == 3
    assert "nobody" in again.err


def test_the_expression_of_another_picture(run, astronaut, tmp_path) -> None:
    raised = tmp_path / "raised.png"
    assert run("edit", astronaut, "--face", 1, "--size", 384, "--set", "eyebrow=1", "--out", raised).code == 0
    like = ("edit", astronaut, "--face", 1, "--size", 256, "--out", tmp_path / "like.png", "--like", raised)
    ran = run(*like, "--like-neutral", astronaut, "--set", "headYaw=6", "--json")
    assert ran.code == 0, ran.err
    assert ran.json["values"]["browInnerUp"] > 0.25
    assert ran.json["values"]["headYaw"] == 6
    assert run("verify", tmp_path / "like.png").out.count("template") == 2, "with its picture at rest"
    assert "0 to 1.5" in run(*like, "--like-amount", 3).err
    assert "Give one of them" in run(*like, "--preset", "joy").err
    assert "no file and no photo" in run(*like[:-1], "nowhere.png").err


def test_action_units_of_a_picture_and_of_a_clip(run, driver, astronaut, tmp_path) -> None:
    raised = tmp_path / "raised.png"
    assert run("edit", astronaut, "--face", 1, "--size", 384, "--au", "AU1=5", "--au", "2=5", "--out", raised).code == 0
    ran = run("units", raised, "--neutral", astronaut, "--json")
    assert ran.code == 0, ran.err
    assert ran.json["units"]["AU1"] > 1.2
    assert "AU1   Inner brow raiser" in run("units", raised, "--neutral", astronaut).out
    ran = run("units", driver, "--neutral", "0.2", "--out", tmp_path / "face.au.csv", "--json")
    assert ran.code == 0, ran.err
    assert ran.json["units"]["AU43"]["peak"] > 2.5
    assert len(read_curves(tmp_path / "face.au.csv")) == ran.json["frames"]
    assert "goes from 0 to 5" in run("edit", astronaut, "--au", "AU12=7", "--out", raised).err
    assert "no action unit" in run("edit", astronaut, "--au", "AU99=1", "--out", raised).err
    assert "has no curves" in run("units", raised, "--out", tmp_path / "x.csv").err


def test_a_clip_gives_photos(run, driver, tmp_path) -> None:
    ran = run("identity", "curate", driver, "--name", "Ann", "--frames", 6, "--yes", "--json")
    assert ran.code == 0, ran.err
    assert 1 <= ran.json["kept"] <= 6
    assert all(photo["file"].endswith(" in face.mp4.png") for photo in ran.json["photos"])
    assert ran.json["confirmed"]["people"][0]["name"] == "Ann"
    assert run("identity", "curate", driver, "--frames", 0).code == 2
