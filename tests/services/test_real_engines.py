"""The services on the real engines: presets that show, honest cancel, a killed worker, the same frames again."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

import numpy as np
import psutil
import pytest

from studio.domain.expression import ExpressionEdit
from studio.domain.job import Job
from studio.engines.media.pictures import read_picture
from studio.engines.media.video import probe_video
from studio.services.clips.animation import AnimationRequest
from studio.services.sample import sample_portrait, sample_speech
from studio.services.sources import MediaSource
from studio.studio import ASSETS, OwnerServices, Studio
from tests.patience import PATIENCE_SECONDS, wait_until
from tests.services.fakes import at_home

SHARE_TO_STOP = 0.35
"""So much of the clip of `request(frame_rate_hz=60)` may still be made after a wish to stop: 180 frames, some four
seconds of an idle machine. Work is counted, not time: on a busy machine drawing and looking for the wish slow down
alike."""


@pytest.fixture(scope="module")
def real(tmp_path_factory):
    with Studio(tmp_path_factory.mktemp("real") / "data") as opened:
        yield at_home(opened)


def request(**more) -> AnimationRequest:
    speech = sample_speech(ASSETS)
    return AnimationRequest(
        portrait=MediaSource.file(sample_portrait()),
        sound=MediaSource.file(speech.path),
        transcript=speech.transcript,
        size=256,
        **more,
    )


def wait_for(studio: OwnerServices, job_id: str, done) -> Job:
    """Look at a job until `done` says so; return the job as it was then."""
    seen: list[Job] = []

    def is_so() -> bool:
        seen.append(studio.jobs.get(job_id))
        return bool(done(seen[-1]))

    wait_until(is_so, lambda: f"{seen[-1]} {studio.jobs.log_tail(job_id)}")
    return seen[-1]


def test_an_empty_edit_is_the_photo_and_a_slider_is_not(real: Studio) -> None:
    handle = real.expressions.open(MediaSource.file(sample_portrait()))
    assert (handle.width, handle.height, handle.likely) == (700, 700, "person")
    photo = read_picture(sample_portrait()).rgb
    drawn = real.expressions.render(handle, ExpressionEdit()).image
    assert np.abs(drawn.astype(int) - photo).max() <= 1
    smiling = real.expressions.render(handle, ExpressionEdit({"smile": 0.5, "headYaw": 6.0})).image
    assert np.abs(smiling.astype(int) - photo).max() > 40


def test_every_preset_moves_the_face(real: Studio) -> None:
    handle = real.expressions.open(MediaSource.file(sample_portrait()), size=256)
    photo = real.expressions.original(handle).astype(int)
    for preset in real.presets.list():
        changed = np.abs(real.expressions.render(handle, preset.edit).image - photo)
        assert changed.max() > 20, preset.name


def test_the_transcript_of_the_sample_is_aligned(real: Studio, tmp_path: Path) -> None:
    result = real.animation.animate_file(request(), tmp_path / "sample.mp4")
    assert result.phone_path == "aligned", result.hints
    info = probe_video(result.path)
    assert abs(info.video_seconds - (info.audio_seconds or 0)) <= 1 / 25


def test_typed_text_is_spoken_where_a_voice_is_installed(real: Studio, tmp_path: Path) -> None:
    if not real.animation.voices():
        pytest.skip("espeakng-loader is not installed: no offline voice")
    spoken = AnimationRequest(
        portrait=MediaSource.file(sample_portrait()),
        text="Hello there, my friend.",
        size=256,
        start_seconds=0.2,
        seconds=0.8,
    )
    result = real.animation.animate_file(spoken, tmp_path / "spoken.mp4")
    assert result.phone_path == "synthesis"
    assert not list((real.store.data_dir / "scratch").rglob("spoken-*")), "typed words are not left lying about"
    assert result.duration_seconds == pytest.approx(0.8, abs=0.05)
    assert probe_video(result.path).has_audio


@pytest.fixture
def working(tmp_path):
    with Studio(tmp_path / "data") as opened:
        opened.start(sample=False)
        yield at_home(opened)


def test_cancel_stops_soon(working: OwnerServices) -> None:
    job = working.animation.submit_render(request(frame_rate_hz=60))
    drawing = wait_for(working, job.id, lambda j: "Frame" in j.message)
    working.jobs.cancel(job.id)
    stopped = wait_for(working, job.id, lambda j: not j.is_active)
    assert stopped.state == "cancelled"
    assert stopped.fraction - drawing.fraction < SHARE_TO_STOP
    assert working.library.page().total == 0


@pytest.mark.skipif(sys.platform == "win32", reason="kill -9 is POSIX; the jobs' own tests cover Windows")
def test_a_killed_worker_loses_no_row_and_no_finished_part(working: OwnerServices) -> None:
    job = working.animation.submit_render(request(frame_rate_hz=60, seconds=4.0))
    parts = working.whole.store.claims.work_folder(job.id) / "parts"
    running = wait_for(working, job.id, lambda j: (parts / "part-000001.mp4").exists())
    assert running.pid is not None
    kept = sorted(p.name for p in parts.glob("part-*.mp4"))
    os.kill(running.pid, signal.SIGKILL)
    ended = wait_for(working, job.id, lambda j: j.state == "interrupted")
    assert ended.failure is not None
    assert ended.failure.hint
    assert set(kept) <= {p.name for p in parts.glob("part-*.mp4")}
    working.jobs.resume(job.id)
    done = wait_for(working, job.id, lambda j: not j.is_active)
    assert done.state == "done", done.failure
    first = working.library.show(done.outputs["render_id"])
    again = working.library.rerun(first.id)
    assert again.same_frames
    assert again.render.media_sha256 == first.media_sha256, "an interrupted clip is the same to the byte"


def test_closing_the_studio_ends_its_worker(tmp_path) -> None:
    opened = Studio(tmp_path / "data")
    opened.start(sample=False)
    children = [c for c in psutil.Process().children() if c.status() != psutil.STATUS_ZOMBIE]
    workers = [c for c in children if "studio.jobs.worker" in " ".join(c.cmdline())]
    assert workers
    opened.close()
    _, alive = psutil.wait_procs(workers, timeout=PATIENCE_SECONDS)
    assert not alive
