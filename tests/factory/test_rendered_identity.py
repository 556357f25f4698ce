"""The embedder of rendered people: taught on some, measured on others, used for nobody else."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, PngImagePlugin

torch = pytest.importorskip("torch", reason="the embedder needs torch")

from studio.domain.consent import Consent  # noqa: E402
from studio.domain.face import RENDERED_EMBEDDER  # noqa: E402
from studio.engines.media.pictures import write_png  # noqa: E402
from studio.engines.media.recipe import PNG_KEYWORD  # noqa: E402
from studio.engines.vision.analyser import VisionAnalyser  # noqa: E402
from studio.engines.vision.rendered_faces import FILE, SIDE, RenderedFaceEmbedder  # noqa: E402
from studio.errors import EngineError, EngineUnavailableError  # noqa: E402
from studio.factory.preview_base import identity  # noqa: E402
from studio.factory.preview_base.drawing import render, write_render  # noqa: E402
from studio.factory.preview_base.identity import PICTURES, chips, fill_chips, train_embedder, verify  # noqa: E402
from studio.factory.preview_base.people import sample_person, sample_picture  # noqa: E402
from studio.studio import Studio  # noqa: E402

ASSETS = Path(__file__).resolve().parents[2] / "assets"
MODELS, CODEC = ASSETS / "models", ASSETS / "base" / "vae"


def test_verification_counts_what_is_told_apart() -> None:
    rng = np.random.default_rng(0)
    centers = rng.normal(0, 1, (12, 1, 16))
    apart = verify(centers + rng.normal(0, 0.01, (12, 5, 16)))
    assert apart["auc"] == pytest.approx(1.0)
    assert apart["equal_error"] == 0
    assert apart["own"] < apart["distance"] < apart["others"]
    mixed = verify(rng.normal(0, 1, (12, 5, 16)))
    assert mixed["auc"] == pytest.approx(0.5, abs=0.1)
    assert mixed["spread"] > apart["spread"]


def test_it_is_taught_from_faces_that_are_cut_once_and_read_back(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(identity, "SHARD_PEOPLE", 2)
    figures = train_embedder(
        tmp_path / FILE, work_folder=tmp_path, codec=CODEC, models=MODELS, people=2, held_out=2, steps=3, batch=4
    )
    assert 0 <= figures["auc"] <= 1
    seen = chips(tmp_path / "identity", 1, 2)
    assert seen.shape == (2, PICTURES, SIDE, SIDE, 3)
    monkeypatch.setattr(identity, "_shard", None)
    fill_chips(tmp_path / "identity", 1, 2, CODEC, MODELS)
    analyser = VisionAnalyser(MODELS)
    picture = render(sample_picture(np.random.default_rng(2), direction="straight"), 256)[0]
    (face,) = analyser.detect(picture)
    found = RenderedFaceEmbedder(tmp_path).embed(picture, face)
    assert found.embedder == RENDERED_EMBEDDER
    assert np.linalg.norm(found.vector) == pytest.approx(1, abs=1e-3)


def test_a_missing_or_damaged_file_is_said(tmp_path: Path) -> None:
    picture = render(sample_picture(np.random.default_rng(2), direction="straight"), 256)[0]
    (face,) = VisionAnalyser(MODELS).detect(picture)
    with pytest.raises(EngineUnavailableError, match="missing"):
        RenderedFaceEmbedder(tmp_path).embed(picture, face)
    (tmp_path / FILE).write_bytes(b"no network")
    with pytest.raises(EngineError, match="cannot be opened"):
        RenderedFaceEmbedder(tmp_path).embed(picture, face)


def test_people_whom_nobody_was_taught_are_told_apart() -> None:
    analyser, rng = VisionAnalyser(MODELS), np.random.default_rng(77)
    vectors: dict[bool, list[list[np.ndarray]]] = {False: [], True: []}
    for _ in range(8):
        person, found = sample_person(rng), []
        while len(found) < 4:
            picture = render(sample_picture(rng, person), 256)[0]
            if faces := analyser.detect(picture):
                found.append((picture, faces[0]))
        for rendered, table in vectors.items():
            table.append([analyser.embed(p, f, rendered=rendered).vector for p, f in found])
    ours, dlib = (verify(np.array(vectors[rendered])) for rendered in (True, False))
    assert ours["auc"] >= 0.96
    assert ours["auc"] > dlib["auc"]
    assert ours["spread"] < dlib["spread"]


def test_only_people_of_marked_renders_are_seen_by_it(tmp_path: Path) -> None:
    rng, ada = np.random.default_rng(4), sample_person(np.random.default_rng(4))
    marked = [write_render(tmp_path / f"{n}.png", sample_picture(rng, ada, direction="straight"), 256) for n in (0, 1)]
    plain = tmp_path / "plain.png"
    write_png(plain, render(sample_picture(rng, ada, direction="straight"), 256)[0])
    agreed = Consent(agreed_by="Ada", scopes=("train",), granted_at=datetime(2026, 1, 1, tzinfo=UTC))
    with Studio(tmp_path / "data") as opened:
        studio = opened.for_owner()
        rendered = studio.identities.add("Ada", marked, consent=agreed)
        mixed = studio.identities.add("Ada and another", [marked[0], plain], consent=agreed)
        names = {p.name: studio.likeness.reference(p.id, side=128).center.embedder for p in (rendered, mixed)}
        score = studio.likeness.score(render(sample_picture(rng, ada, direction="straight"), 128)[0], rendered.id)
        notes = PngImagePlugin.PngInfo()
        notes.add_itxt(PNG_KEYWORD, '{"engine": no JSON')
        spoiled = tmp_path / "spoiled.png"
        Image.open(marked[0]).save(spoiled, pnginfo=notes)
        third = studio.identities.add("Spoiled", [marked[1], spoiled], consent=agreed)
        photos = [p.sha256 for p in studio.identities.photos(third.id)]
        assert not studio.likeness.all_rendered(photos), "damaged notes keep nobody from being measured"
    assert names == {"Ada": RENDERED_EMBEDDER, "Ada and another": "dlib-resnet-v1"}
    assert score is not None
    assert score.likeness is not None
