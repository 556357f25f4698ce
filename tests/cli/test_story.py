"""The whole story as a person would type it, with the real engines, each command a real process."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from studio.engines.media.curves import read_livelink_csv
from studio.engines.media.video import probe_video
from tests.cli.conftest import program


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("story") / "data"


@pytest.mark.smoke
def test_the_story(data_dir: Path, astronaut: Path, speech: Path, tmp_path: Path) -> None:
    def studio(*arguments: object):
        return program(*map(str, arguments), data_dir=data_dir)

    added = studio(
        "identity", "add", "Eileen", astronaut, "--consent-by", "NASA", "--consent-scope", "edit",
        "--consent-scope", "animate", "--json",
    )  # fmt: skip
    assert added.code == 0, added.err
    photo = added.json["photos"][0]
    assert (photo["width"], photo["face"]["likely"]) == (512, "person")

    listed = studio("identity", "list", "--json")
    assert [p["name"] for p in listed.json["items"]] == ["Eileen"]
    shown = studio("identity", "show", "eileen", "--json")
    assert shown.json["identity"]["consents"][0]["scopes"] == ["edit", "animate"]

    png = tmp_path / "smile.png"
    edited = studio("edit", photo["id"], "--set", "smile=.6", "--set", "headYaw=8", "--out", png, "--json")
    assert edited.code == 0, edited.err
    kept = studio("library", "list", "--json").json["renders"]
    assert [r["id"] for r in kept] == [edited.json["render_id"]], "what is made of a stored photo is kept"
    with Image.open(png) as image:
        assert image.size == (512, 512)
        changed = np.asarray(image.convert("RGB")).astype(int) - np.asarray(Image.open(astronaut).convert("RGB"))
    assert np.abs(changed[60:200, 160:300]).max() > 40, "the face moved"
    behind = changed[:150, 400:]
    assert np.abs(behind).mean() < 3, "the background stayed, but for the invisible mark"
    assert abs(behind.mean()) < 0.2

    clip, curves = tmp_path / "clip.mp4", tmp_path / "c.csv"
    animated = studio(
        "animate", astronaut, "--speech", speech, "--emotion", "joy:.5", "--seed", "4", "--size", "320",
        "--out", clip, "--curves", curves, "--json",
    )  # fmt: skip
    assert animated.code == 0, animated.err
    info = probe_video(clip)
    assert (info.width, info.height, info.frames, info.has_audio) == (320, 320, 30, True)
    assert abs(info.video_seconds - (info.audio_seconds or 0)) <= 1 / 25
    assert animated.json["seconds"]["total"] > 0
    assert len(read_livelink_csv(curves, frame_rate_hz=25)) == 30

    again = tmp_path / "again.mp4"
    repeated = studio(
        "animate", astronaut, "--speech", speech, "--emotion", "joy:.5", "--seed", "4", "--size", "320", "--out", again
    )
    assert repeated.code == 0, repeated.err
    first, second = (studio("verify", file, "--json").json["verdict"]["credentials"] for file in (clip, again))
    assert first["content_sha256"] == second["content_sha256"], "same input and seed, same bytes, but for the signature"

    recipe = studio("library", "show", clip, "--json")
    assert recipe.json["recipe"]["request"]["emotions"] == {"joy": 0.5}
    plan = studio("identity", "delete", "Eileen", "--json")
    assert (plan.code, plan.json["deleted"], plan.json["plan"]["photos"]) == (0, False, 1)
    assert plan.json["plan"]["renders"] == 1
    gone = studio("identity", "delete", "Eileen", "--yes", "--json")
    assert gone.json["deleted"] is True
    assert studio("identity", "list", "--json").json["items"] == []


def test_jobs_and_library(data_dir: Path, astronaut: Path, speech: Path, tmp_path: Path) -> None:
    from studio.services.clips.animation import AnimationRequest
    from studio.services.sources import MediaSource
    from studio.studio import Studio

    folder = tmp_path / "data"
    with Studio(folder) as opened:
        request = AnimationRequest(
            portrait=MediaSource.file(astronaut), sound=MediaSource.file(speech), size=256, seconds=0.6
        )
        animation = opened.for_owner().animation
        job, stopped = animation.submit_render(request), animation.submit_render(request)

    def studio(*arguments: object):
        return program(*map(str, arguments), data_dir=folder)

    assert studio("jobs", "cancel", stopped.id, "--json").json["state"] == "cancelled"
    watched = studio("jobs", "watch", job.id, "--json")
    assert (watched.code, watched.json["state"], watched.json["fraction"]) == (0, "done", 1.0), (
        watched.out + watched.err
    )
    states = {j["id"]: j["state"] for j in studio("jobs", "list", "--json").json["items"]}
    assert states == {job.id: "done", stopped.id: "cancelled"}
    retried = studio("jobs", "retry", stopped.id, "--json").json
    assert (retried["state"], retried["attempt"], retried["parent_id"]) == ("queued", 2, stopped.id)

    page = studio("library", "list", "--json").json
    assert page["total"] == 1
    render = page["renders"][0]["id"]
    rerun = studio("library", "rerun", render, "--json")
    assert (rerun.code, rerun.json["same_frames"]) == (0, True), rerun.err
    assert rerun.json["render"]["parent_id"] == render
    out = tmp_path / "exported.mp4"
    assert studio("library", "export", render, out).code == 0
    assert studio("library", "show", out, "--json").json["recipe"]["kind"] == "clip"
    verified = studio("library", "verify", "--json")
    assert (verified.code, verified.json["ok"]) == (0, True)
    shutil.rmtree(folder / "media")
    (folder / "media" / "incoming").mkdir(parents=True)
    broken = studio("library", "verify", "--json")
    assert broken.code == 4
    assert len(broken.json["report"]["missing"]) == broken.json["report"]["checked"] > 0
    assert studio("library", "export", render, out).code == 3


def test_doctor_is_content(data_dir: Path) -> None:
    found = program("doctor", "--json", data_dir=data_dir)
    assert found.code == 0, found.out
    assert found.json["ok"] is True
    assert not [c for c in found.json["checks"] if c["state"] == "bad"]
