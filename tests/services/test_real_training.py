"""The real trainer behind the service, on a random tiny base: whole, stopped, and killed by the system."""

from __future__ import annotations

import json
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
from tests.engines.diffusion.tiny_base import write_tiny_base
from tests.patience import wait_until
from tests.services.fakes import at_home

SMALL = {"sample_steps": 2, "sample_seeds": (1,), "sample_prompts": ("a photo of {trigger}",), "prior_pictures": 2}
SMALL |= {"batch": 1, "checkpoint_every": 2, "sample_every": 1000, "keep_checkpoints": 2}


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


def test_a_worker_killed_by_the_system_loses_one_interval_at_most(opened, person) -> None:
    training, runs = opened.training, opened.runs
    plan = training.plan("preview-quick", "tiny", steps=40, **SMALL)
    run = runs.get(training.submit_train(person.id, plan).params["run_id"])
    opened.whole.start_worker()
    wait_until(lambda: runs.state(run.id).saved_step)
    psutil.Process(opened.jobs.get(runs.get(run.id).job_id).pid).kill()
    wait_until(lambda: runs.state(run.id).state != "training")
    state = runs.state(run.id)
    assert (state.state, state.out_of_memory, state.can_continue) == ("interrupted", True, True), state
    assert "smaller plan" in state.sentence
    assert training.smaller_plan(run.id).gradient_checkpointing
    kept, seen = state.saved_step, runs.metrics(run.id)["loss"]
    assert seen[-1][0] - kept <= plan.checkpoint_every
    weights = {c.step: c.media_sha256 for c in runs.checkpoints(run.id)}
    opened.jobs.resume(runs.get(run.id).job_id)
    wait_until(lambda: runs.state(run.id).state == "done")
    assert [s for s, _ in runs.metrics(run.id)["loss"]] == list(range(1, 41))
    assert runs.metrics(run.id)["loss"][:kept] == seen[:kept]
    assert weights.items() <= {c.step: c.media_sha256 for c in runs.checkpoints(run.id)}.items()


def test_a_run_of_two_photos_is_measured_kept_and_continued(opened, person) -> None:
    training, runs = opened.training, opened.runs
    plan = training.plan("preview-quick", "tiny", steps=2, **SMALL | {"sample_every": 2})
    assert training.preflight(person.id, plan).fits
    run = training.train(person.id, plan)
    assert run.calibration.count == 2
    assert len(run.photos) == 2
    folder = opened.store.data_dir / "runs" / run.id
    assert json.loads((folder / "plan.json").read_text())["plan"]["steps"] == 2
    adapter = runs.keep(runs.suggestion(run.id).checkpoint.id, "Ada")
    weights = opened.store.media.get(adapter.media_sha256)
    assert weights.read_bytes() == (folder / "checkpoints" / "step-000002" / "adapter.safetensors").read_bytes()
    again = training.go_on(run.id, 3)
    assert (again.outcome, runs.checkpoints(run.id)[-1].step) == ("Done: 3 steps.", 3)
