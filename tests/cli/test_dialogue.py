"""`dialogue` as a person types it: one sound with turns, subtitles beside it; what lacks is one sentence."""

from __future__ import annotations

from studio.engines.media.video import probe_video
from studio.services.sample import sample_speech
from studio.studio import ASSETS


def test_two_people_talk_with_blurred_frames_and_subtitles(run, astronaut, tmp_path) -> None:
    speech, out, said = sample_speech(ASSETS), tmp_path / "talk.mp4", tmp_path / "talk.vtt"
    asked = ["dialogue", astronaut, astronaut, "--face", 1, "--face", 1, "--speech", speech.path, "--out", out]
    turns = ["--turns", "Ann 0 1.2 Hello\nBen 1.2 2", "--name", "Ann", "--name", "Ben", "--timing", said]
    ran = run(*asked, *turns, "--size", 256, "--seconds", 0.6, "--shutter", 180, "--json")
    assert ran.code == 0, ran.err
    assert (ran.json["frames"], ran.json["width"]) == (15, 256)
    assert probe_video(out).has_audio
    assert said.read_text().startswith("WEBVTT")
    wrong = run(*asked)
    assert wrong.code == 2
    assert "not said who speaks when" in wrong.err
    other = run(*asked, "--turns", "Zoe 0 1")
    assert other.code == 2
    assert "Zoe" in other.err
