"""`studio identity curate`: what it reports, takes over and refuses, with the face of the sample portrait."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageFilter

from studio.factory.preview_base.drawing import render
from studio.factory.preview_base.people import sample_person, sample_picture
from studio.services.sample import sample_portrait


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("heap")
    portrait = Image.open(sample_portrait()).convert("RGB").resize((420, 420))
    portrait.save(root / "a.png")
    portrait.resize((300, 300)).filter(ImageFilter.GaussianBlur(0.6)).save(root / "a copy.jpg", quality=70)
    Image.new("RGB", (300, 200), (90, 140, 200)).save(root / "sky.png")
    (root / "broken.jpg").write_bytes(b"no picture")
    return root


@pytest.fixture(scope="module")
def two_people(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("two")
    for name, seed, count in (("a", 11, 4), ("b", 27, 2)):
        rng = np.random.default_rng(seed)
        person = sample_person(rng)
        for number in range(count):
            image, _ = render(sample_picture(rng, person, direction="straight", light="front"), 384)
            Image.fromarray(image).save(root / f"{name}{number}.png")
    return root


def test_a_report_changes_nothing(run, folder) -> None:
    ran = run("identity", "curate", folder, "--report", "--json")
    assert ran.code == 0
    assert (ran.json["kept"], ran.json["unsure"], ran.json["left_out"]) == (1, 0, 3)
    assert ran.json["groups"] == [["a.png", "a copy.jpg"]]
    reasons = {p["file"]: p["reason"] for p in ran.json["photos"]}
    assert reasons["sky.png"] == "No face was found."
    assert "a.png" in reasons["a copy.jpg"]
    assert ran.json["intake_id"] is None
    assert run("identity", "list", "--json").json["items"] == []


def test_taking_over_makes_the_person_with_captions(run, folder) -> None:
    ran = run("identity", "curate", folder, "--name", "Ada", "--yes", "--trigger", "zyx", "--json")
    assert ran.code == 0
    assert ran.json["confirmed"]["photos"] == 1
    assert ran.json["captions"][0].startswith("a photo of zyx person")
    assert any("One photo" in a for a in ran.json["coverage"]["advice"])
    assert [p["name"] for p in run("identity", "list", "--json").json["items"]] == ["Ada"]
    again = run("identity", "curate", folder, "--name", "ada")
    assert again.code == 0
    assert "Nothing was taken over" in again.out


@pytest.mark.parametrize(("reply", "same"), [("y", True), ("n", False)])
def test_unsure_faces_are_asked_about(run, monkeypatch, two_people, reply, same) -> None:
    """Renders of two people who look alike to the embedder: one answer decides about the second."""
    before = run("identity", "curate", two_people, "--report")
    assert "open: answer with --ask" in before.out
    monkeypatch.setattr("sys.stdin", io.StringIO(f"{reply}\n\n"))
    ran = run("identity", "curate", two_people, "--ask", "--report", "--json")
    assert "Are these two the same person?" in ran.err
    assert "b0.png" in ran.err
    kept = {p["file"] for p in ran.json["photos"] if p["state"] == "keep"}
    assert ("b0.png" in kept) is same
    assert "a0.png" in kept


def test_what_makes_no_sense_is_refused_before_the_work(run, folder, tmp_path) -> None:
    for given in (("--yes",), ("--yes", "--report", "--name", "Ada")):
        assert run("identity", "curate", folder, *given).code == 2
    ran = run("identity", "curate", tmp_path / "gone", "--json")
    assert (ran.code, ran.json["error"]["type"]) == (3, "NotFoundError")
    (tmp_path / "void").mkdir()
    assert run("identity", "curate", tmp_path / "void").code == 2


def test_consent_is_recorded_shown_and_taken_back(run, folder) -> None:
    assert run("identity", "curate", folder, "--name", "Ada", "--yes").code == 0
    assert run("identity", "consent", "Ada", "--json").json["allowed"] == []
    given = run("identity", "consent", "Ada", "--by", "Ada", "--scope", "train", "--scope", "generate", "--json")
    assert given.json["allowed"] == ["train", "generate"]
    assert run("identity", "consent", "Ada", "--scope", "train").code == 2
    assert run("identity", "consent", "Ada", "--revoke", "--by", "Ada").code == 2
    assert run("identity", "consent", "Ada", "--revoke", "--json").json["allowed"] == []
