"""Training by commands, with a random tiny base: the whole way, and what is refused."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from studio.domain.training import Checkpoint
from studio.studio import OwnerServices, Studio
from tests.cli.conftest import ROOT
from tests.engines.diffusion.tiny_base import write_tiny_base
from tests.patience import wait_until

QUICK = ["--set", "checkpoint_every=2", "--set", "sample_every=2", "--set", "prior_pictures=2", "--set", "batch=1"]
QUICK += ["--set", "sample_steps=2", "--set", "sample_seeds=[1]", "--set", 'sample_prompts=["a photo of {trigger}"]']


@pytest.fixture(scope="module")
def base(tmp_path_factory) -> Path:
    return write_tiny_base(tmp_path_factory.mktemp("base") / "tiny")


@pytest.fixture
def person(run, base, tmp_path, astronaut) -> str:
    ran = run("identity", "add", "Eileen", astronaut, "--consent-by", "Eileen", "--consent-scope", "train", "--json")
    assert ran.code == 0
    with Studio(tmp_path / "data") as studio:
        studio.for_owner().bases.add(base, "tiny", "Tiny")
    return ran.json["identity"]["id"]


def test_the_whole_way(run, person, tmp_path) -> None:
    ran = run("train", "Eileen", "--base", "tiny", "--steps", 4, *QUICK, "--name", "First", "--json")
    assert ran.code == 0, ran.err
    assert (ran.json["name"], ran.json["state"], ran.json["step"], ran.json["photos"]) == ("First", "done", 4, 1)
    assert "only one photo" in ran.err
    id = ran.json["id"]
    listed = run("runs", "list", "--identity", "Eileen", "--json").json["runs"]
    assert [(r["id"], r["steps"]) for r in listed] == [(id, 4)]
    shown = run("runs", "show", id, "--json").json
    assert [s for s, _ in shown["metrics"]["loss"]] == [1, 2, 3, 4]
    assert shown["plan"]["batch"] == 1
    assert {s["step"] for s in shown["samples"]} == {0, 2, 4}
    assert "loss" in run("runs", "show", id).out
    again = run("runs", "continue", id, "--steps", 6)
    assert (again.code, "6/6" in again.out, "cosine" in again.err) == (0, True, True)
    steps = [c["step"] for c in run("runs", "checkpoints", id, "--json").json["checkpoints"]]
    assert steps == [2, 4, 6]
    kept = run("runs", "keep", id, "Eileen at 4", "--step", 4, "--json")
    assert (kept.json["trigger"], kept.json["run_id"]) == ("sks person", id)
    assert run("runs", "keep", id, "other", "--step", 5).code == 3
    grid = run("runs", "grid", id, "--strength", 0, "--strength", 1, "--out", tmp_path / "grid.png", "--json")
    assert (grid.code, len(grid.json["summary"]), len(grid.json["cells"])) == (0, 6, 6)
    with Image.open(tmp_path / "grid.png") as sheet:
        assert sheet.size == (110 + 2 * 128, 24 + 3 * 128)
    assert run("runs", "stop", id).code == 2
    assert run("train", "--continue", id).code == 2, "nothing is left to do"


def test_what_is_refused(run, person, astronaut) -> None:
    assert run("identity", "add", "Bob", astronaut).code == 0
    for code, said, *arguments in (
        (2, "No consent", "train", "Bob", "--base", "tiny"),
        (3, "preview-quick", "train", "Eileen", "--preset", "nothing"),
        (3, "no base", "train", "Eileen", "--base", "nothing"),
        (2, "--set", "train", "Eileen", "--base", "tiny", "--set", "rank"),
        (2, "nose", "train", "Eileen", "--base", "tiny", "--set", "nose=1"),
        (2, "rank", "train", "Eileen", "--base", "tiny", "--set", "rank=0"),
        (3, "no base", "train", "Eileen", "--set", "base=nothing"),
        (2, "seed", "train", "Eileen", "--base", "tiny", "--set", "seed=99999999999999999999999"),
        (2, "Seeds go from 0", "train", "Eileen", "--base", "tiny", "--set", "sample_seeds=[-1]"),
        (2, "trigger", "train", "Eileen", "--base", "tiny", "--set", "trigger=  "),
        (2, "Stable Diffusion", "train", "Eileen", "--base", "tiny", "--preset", "sdxl-12gb"),
        (2, "who is to be trained", "train", "--steps", 3),
        (3, "no training run", "train", "--continue", "nothing"),
        (2, "keeps its person", "train", "Eileen", "--continue", "nothing"),
        (3, "no training run", "runs", "show", "nothing"),
    ):
        ran = run(*arguments)
        assert ran.code == code, (arguments, ran.err)
        assert said in ran.err, (arguments, ran.err)
    assert run("runs", "list").out.strip() == "No training runs."


def kept_by(studio: OwnerServices) -> list[tuple[Checkpoint, ...]]:
    return [studio.runs.checkpoints(run.id) for run in studio.runs.list()]


def test_a_killed_training_goes_on_at_once(run, person, tmp_path) -> None:
    env = {k: v for k, v in os.environ.items() if not k.startswith("STUDIO_")}
    train = subprocess.Popen(
        [sys.executable, "-m", "studio", "train", "Eileen", "--base", "tiny", "--steps", "5000", *QUICK],
        env=env | {"STUDIO_DATA_DIR": str(tmp_path / "data")}, cwd=ROOT, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        with Studio(tmp_path / "data") as beside:
            wait_until(lambda: any(kept_by(beside.for_owner())) or train.poll() is not None)
        assert train.poll() is None
    finally:
        train.kill()
        train.wait()
    (killed,) = run("runs", "list", "--json").json["runs"]
    assert killed["state"] == "interrupted"
    done = max(c["step"] for c in run("runs", "checkpoints", killed["id"], "--json").json["checkpoints"])
    again = run("runs", "continue", killed["id"], "--steps", done + 2, "--json")
    assert (again.code, again.json["step"]) == (0, done + 2), again.err


def test_presets_are_listed(run) -> None:
    assert "preview-quick" in {p["name"] for p in run("runs", "presets", "--json").json["presets"]}
