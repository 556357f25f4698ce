"""The real trainer behind the service, on a random tiny base: whole, stopped, and killed by the system."""

from __future__ import annotations

import json
import time
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import psutil
import pytest

from studio.domain.consent import Consent
from studio.domain.identity import Identity
from studio.engines.media.pictures import write_png
from studio.factory.preview_base.drawing import render
from studio.factory.preview_base.people import sample_person, sample_picture
from studio.studio import Studio
from tests.engines.tiny_base import write_tiny_base
from tests.services.fakes import at_home

SMALL = {"sample_steps": 2, "sample_seeds": (1,), "sample_prompts": ("a photo of {trigger}",), "prior_pictures": 2}
SMALL |= {"batch": 1, "checkpoint_every": 2, "sample_every": 1000, "keep_checkpoints": 2}
WAIT_SECONDS = 180.0


@pytest.fixture(scope="module")
def base(tmp_path_factory) -> Path:
    return write_tiny_base(tmp_path_factory.mktemp("base") / "tiny")


@pytest.fixture
def opened(tmp_path):
    with Studio(tmp_path / "data") as whole:
        studio = at_home(whole)
        yield studio


@pytest.fixture
def person(opened, base, tmp_path) -> Identity:
    rng = np.random.default_rng(4)
    who, photos = sample_person(rng), []
    for index in range(2):
        photos.append(tmp_path / f"{index}.png")
        write_png(photos[-1], render(sample_picture(rng, who, direction="straight"), 256)[0])
    opened.bases.add(base, "tiny", "Tiny")
    agreed = Consent(agreed_by="Ada", scopes=("train",), granted_at=datetime(2026, 1, 1, tzinfo=UTC))
    return opened.identities.add("Ada", photos, consent=agreed)


def wait_for(condition) -> None:
    end = time.monotonic() + WAIT_SECONDS
    while not condition():
        assert time.monotonic() < end, "it took too long"
        time.sleep(0.05)


def test_a_worker_killed_by_the_system_loses_one_interval_at_most(opened, person) -> None:
    training = opened.training
    plan = training.plan("preview-quick", "tiny", steps=40, **SMALL)
    run = training.run(training.submit_train(person.id, plan).params["run_id"])
    opened.whole.start_worker()
    wait_for(lambda: training.state(run.id).saved_step)
    psutil.Process(opened.jobs.get(training.run(run.id).job_id).pid).kill()
    wait_for(lambda: training.state(run.id).state != "training")
    state = training.state(run.id)
    assert (state.state, state.out_of_memory, state.can_continue) == ("interrupted", True, True), state
    assert "smaller plan" in state.sentence
    assert training.smaller_plan(run.id).gradient_checkpointing
    kept, seen = state.saved_step, training.metrics(run.id)["loss"]
    assert seen[-1][0] - kept <= plan.checkpoint_every
    weights = {c.step: c.media_sha256 for c in training.checkpoints(run.id)}
    opened.jobs.resume(training.run(run.id).job_id)
    wait_for(lambda: training.state(run.id).state == "done")
    assert [s for s, _ in training.metrics(run.id)["loss"]] == list(range(1, 41))
    assert training.metrics(run.id)["loss"][:kept] == seen[:kept]
    assert weights.items() <= {c.step: c.media_sha256 for c in training.checkpoints(run.id)}.items()


def test_a_run_of_two_photos_is_measured_kept_and_continued(opened, person) -> None:
    training = opened.training
    plan = training.plan("preview-quick", "tiny", steps=2, **SMALL | {"sample_every": 2})
    assert training.preflight(person.id, plan).fits
    run = training.train(person.id, plan)
    assert run.calibration.count == 2
    assert len(run.photos) == 2
    folder = opened.store.data_dir / "runs" / run.id
    assert json.loads((folder / "plan.json").read_text())["plan"]["steps"] == 2
    adapter = training.keep(training.suggestion(run.id).checkpoint.id, "Ada")
    weights = opened.store.media.get(adapter.media_sha256)
    assert weights.read_bytes() == (folder / "checkpoints" / "step-000002" / "adapter.safetensors").read_bytes()
    again = training.go_on(run.id, 3)
    assert (again.outcome, training.checkpoints(run.id)[-1].step) == ("Done: 3 steps.", 3)
