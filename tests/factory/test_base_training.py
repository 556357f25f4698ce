"""The embedded base: its autoencoder and tokenizer, its training that continues exactly, and the files that ship."""

from __future__ import annotations

import json
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="diffusion needs torch")

from studio.errors import ConflictError, EngineError, EngineUnavailableError  # noqa: E402
from studio.factory.preview_base import judge, training  # noqa: E402
from studio.factory.preview_base.cache import PictureCache, fill  # noqa: E402
from studio.factory.preview_base.drawing import render  # noqa: E402
from studio.factory.preview_base.judge import (  # noqa: E402
    AttributeClassifier,
    accuracy,
    load_classifier,
    read_attributes,
    train_classifier,
)
from studio.factory.preview_base.latents import LatentCache, fill_latents, read_codec, scaled  # noqa: E402
from studio.factory.preview_base.networks import BaseShape  # noqa: E402
from studio.factory.preview_base.opening import embedded_pipeline, load_embedded, sample_pictures  # noqa: E402
from studio.factory.preview_base.people import ATTRIBUTES, picture_of_index  # noqa: E402
from studio.factory.preview_base.tokenizer import MODEL_MAX_LENGTH, TRIGGERS, WORDS, make_tokenizer  # noqa: E402
from studio.factory.preview_base.training import BasePlan, build_base, export_checkpoint  # noqa: E402

ASSETS = Path(__file__).resolve().parents[2] / "assets"
BASE = ASSETS / "base"
CODEC = BASE / "vae"
TINY = BasePlan(
    seed=5,
    images=24,
    renders=8,
    batch=4,
    falls=((0, 4, 1e-3), (3, 6, 7e-4)),
    telling_from=2,
    reading_from=4,
    showing_from=3,
    critic_steps=2,
    shape=BaseShape((8, 16, 16), 16, 1),
)


@pytest.fixture(scope="module", autouse=True)
def _few_renders_per_shard() -> Any:
    patch = pytest.MonkeyPatch()
    patch.setattr("studio.factory.preview_base.cache.SHARD", 8)
    yield
    patch.undo()


build = partial(build_base, codec=CODEC)


@pytest.fixture(scope="module")
def pictures() -> np.ndarray:
    return np.stack([render(picture_of_index(77, i))[0] for i in range(96)])


@pytest.fixture(scope="module")
def base() -> dict[str, Any]:
    return load_embedded(BASE)


def _psnr(a: torch.Tensor, b: torch.Tensor) -> float:
    return float(10 * torch.log10(4 / torch.nn.functional.mse_loss(a, b)))


def test_every_word_is_one_token_and_no_text_is_unknown(tmp_path: Path) -> None:
    tokenizer = make_tokenizer(tmp_path)
    for word in (*TRIGGERS, *WORDS):
        assert len(tokenizer(word).input_ids) == 3, word
    for text in ("a photo of sks man", "zürich 2026!", "x", "日本 🙂", "ohwxsks"):
        ids = tokenizer(text).input_ids
        assert tokenizer.decode(ids, skip_special_tokens=True).replace(" ", "").strip() == text.replace(" ", "")
        assert max(ids) < len(tokenizer)
    padded = tokenizer("sks", padding="max_length", truncation=True).input_ids
    assert len(padded) == MODEL_MAX_LENGTH == 77
    assert tokenizer("hair").input_ids[1] != tokenizer("HAIR " * 100, truncation=True).input_ids[-1]
    vocabulary = json.loads((tmp_path / "vocab.json").read_text("utf-8"))
    assert sorted(vocabulary.values()) == list(range(len(vocabulary)))


def test_prompts_of_the_captions_fit_into_one_chunk(tmp_path: Path) -> None:
    from studio.factory.preview_base.captions import caption

    tokenizer = make_tokenizer(tmp_path)
    longest = max(len(tokenizer(caption(picture_of_index(1, i))).input_ids) for i in range(200))
    assert 25 < longest < MODEL_MAX_LENGTH - 20


def _weights(folder: Path) -> dict[str, torch.Tensor]:
    from safetensors.torch import load_file

    out: dict[str, torch.Tensor] = {}
    for part in ("unet", "text_encoder", "vae"):
        for file in sorted((folder / part).glob("*.safetensors")):
            out |= {f"{part}.{n}": t for n, t in load_file(str(file)).items()}
    return out


def test_latents_are_those_of_the_pictures_and_of_their_mirrors(tmp_path: Path) -> None:
    fill(tmp_path, 5, 8)
    fill_latents(tmp_path, 5, 8, CODEC)
    rows = np.array([6, 2, 2])
    found = LatentCache(tmp_path, 5, 8, CODEC).latents(rows, np.array([False, False, True]))
    model, given = read_codec(CODEC), PictureCache(tmp_path, 5, 8).pictures(rows)
    given[2] = given[2, :, ::-1]
    wanted = model.encode(scaled(given)).latent_dist.mode() * model.config.scaling_factor
    assert found.shape == (3, 16, 16, 16)
    assert float((found - wanted).abs().mean()) < 0.02
    assert _psnr(model.decode(found / model.config.scaling_factor).sample, scaled(given)) > 28
    made = {p.name: p.stat().st_mtime_ns for p in tmp_path.iterdir()}
    fill_latents(tmp_path, 5, 8, CODEC, processes=2)
    assert {p.name: p.stat().st_mtime_ns for p in tmp_path.iterdir()} == made, "latents are made once"


def test_the_trained_autoencoder_is_one_that_pipelines_and_diffusers_take(tmp_path: Path) -> None:
    from diffusers import AutoencoderDC

    model, plain = read_codec(CODEC), AutoencoderDC.from_pretrained(CODEC, local_files_only=True)
    x = torch.linspace(-1, 1, 3 * 64 * 64).reshape(1, 3, 64, 64)
    assert len(model.config.block_out_channels) == 4
    assert torch.equal(model.encode(x).latent_dist.sample(), plain.float().eval().encode(x).latent)
    model.save_pretrained(tmp_path)
    assert "block_out_channels" not in json.loads((tmp_path / "config.json").read_text("utf-8"))


def test_a_stopped_run_continues_exactly(tmp_path: Path) -> None:
    straight = build(tmp_path / "a", work_folder=tmp_path / "wa", plan=TINY)
    build(tmp_path / "half", work_folder=tmp_path / "wb", plan=TINY, stop_after_step=3)
    early = export_checkpoint(tmp_path / "wb", tmp_path / "early", TINY, CODEC)
    record = build(tmp_path / "b", work_folder=tmp_path / "wb", plan=TINY)
    one, two, half = _weights(tmp_path / "a"), _weights(tmp_path / "b"), _weights(tmp_path / "half")
    assert len(one) > 100
    assert all(torch.equal(one[n], two[n]) for n in one)
    assert any(not torch.equal(one[n], half[n]) for n in one), "three steps are not six"
    assert all(torch.equal(half[n], t) for n, t in _weights(tmp_path / "early").items())
    assert early["training"]["steps"] == 3
    assert straight["training"]["steps"] == record["training"]["steps"] == 6
    assert record["training"]["images_seen"] == 24
    assert not [f for f in (tmp_path / "b").rglob("*.json") if str(tmp_path) in f.read_text("utf-8")]
    assert json.loads((tmp_path / "b" / "base.json").read_text("utf-8")) == json.loads(json.dumps(record))


def test_a_run_under_another_plan_is_not_continued(tmp_path: Path) -> None:
    plan = replace(TINY, images=4)
    build(tmp_path / "a", work_folder=tmp_path, plan=plan)
    with pytest.raises(ConflictError, match="another plan"):
        build(tmp_path / "b", work_folder=tmp_path, plan=TINY)
    with pytest.raises(ConflictError, match="a run already"):
        build(tmp_path / "b", work_folder=tmp_path, plan=plan, resume=False)


def test_a_diverging_run_stops_and_keeps_its_checkpoint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    build(tmp_path / "a", work_folder=tmp_path, plan=TINY, stop_after_step=2)
    before = (tmp_path / "checkpoint.pt").read_bytes()
    monkeypatch.setattr(training._Run, "_one_step", lambda self: float("nan"))
    with pytest.raises(EngineError, match="diverged"):
        build(tmp_path / "a", work_folder=tmp_path, plan=TINY)
    assert (tmp_path / "checkpoint.pt").read_bytes() == before


def test_every_picture_is_seen_once_a_round() -> None:
    rows = np.concatenate([training._rows(TINY, 10, step) for step in range(5)])
    assert sorted(rows[:10]) == sorted(rows[10:]) == list(range(10))
    assert list(rows[:10]) != list(rows[10:])


def test_classifier_learns_and_is_read_back(tmp_path: Path) -> None:
    file = tmp_path / "classifier.safetensors"
    figures = train_classifier(file, work_folder=tmp_path, codec=CODEC, renders=16, rounds=4, batch=8, held_out=8)
    assert set(figures) == set(ATTRIBUTES)
    assert all(0 <= v <= 1 for v in figures.values())
    train_classifier(file, work_folder=tmp_path, codec=CODEC, renders=16, rounds=1, held_out=8, start=file)
    again = load_classifier(file)
    found = read_attributes(again, np.zeros((3, 256, 256, 3), np.uint8), batch=2)
    assert len(found) == 3
    assert all(f[n] in ATTRIBUTES[n] for f in found for n in ATTRIBUTES)
    assert accuracy([{"skin": "pale"}, {"skin": "tan"}], [{"skin": "pale"}, {"skin": "pale"}]) == {"skin": 0.5}
    file.write_bytes(b"no weights")
    with pytest.raises(EngineUnavailableError, match="classifier"):
        load_classifier(file)


def test_shipped_classifier_reads_renders(pictures: np.ndarray) -> None:
    file = BASE / "classifier.safetensors"
    assert file.stat().st_size <= 1_000_000
    model = load_classifier(file)
    assert isinstance(model, AttributeClassifier)
    wanted = [picture_of_index(77, i).labels for i in range(len(pictures))]
    figures = accuracy(read_attributes(model, pictures), wanted)
    plain = ("hair_color", "hair_length", "skin", "glasses", "beard", "background", "light")
    assert {n: figures[n] for n in plain if figures[n] <= 0.93} == {}
    # The judge is weaker here, which the benchmark reports beside its judgments: old faces are no caricatures.
    assert figures["expression"] > 0.9, figures
    assert figures["age"] > 0.78, figures
    assert judge.HELD_OUT_SEED != 77


def test_shipped_base_is_small_and_describes_itself() -> None:
    assert sum(p.stat().st_size for p in BASE.rglob("*") if p.is_file()) <= 25_000_000
    record = json.loads((BASE / "base.json").read_text("utf-8"))
    assert (record["name"], record["family"], record["resolution"]) == ("preview", "sd15", 128)
    assert record["title"] == "Preview base: rendered faces"
    training = record["training"]
    assert training["command"] == "python -m studio base build"
    assert training["images_seen"] == training["steps"] * training["plan"]["batch"]
    losses = [loss for _, loss in training["loss_curve"]]
    assert losses[-1] < 0.7 * losses[0]
    assert json.loads((BASE / "scheduler" / "scheduler_config.json").read_text("utf-8"))["prediction_type"] == (
        "v_prediction"
    )


def test_shipped_base_draws_the_same_picture_offline(base: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    import socket

    def refuse(*args: Any, **kwargs: Any) -> None:
        raise AssertionError("the embedded base asked the network")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    pipeline = embedded_pipeline(BASE)
    prompts = ["a photo of a man, red background", "a photo of a man, blue background"]
    first = sample_pictures(pipeline, prompts, [4, 4], steps=6)
    assert first.shape == (2, 128, 128, 3)
    assert first.std() > 20
    assert np.array_equal(first, sample_pictures(pipeline, prompts, [4, 4], steps=6))
    alone = sample_pictures(pipeline, prompts[:1], [4], steps=6)
    assert np.abs(alone[0].astype(int) - first[0]).max() <= 2, "a picture does not depend on its batch"
    red, blue = first[:, :8, :6].reshape(2, -1, 3).mean(1)
    assert red[0] > red[2], "the prompt sets the background"
    assert blue[2] > blue[0], "the prompt sets the background"


def test_the_folder_opens_as_a_plain_diffusers_pipeline(base: dict[str, Any]) -> None:
    from diffusers import StableDiffusionPipeline

    pipeline = StableDiffusionPipeline.from_pretrained(BASE, vae=base["vae"], local_files_only=True)
    assert type(pipeline.scheduler).__name__ == "DDPMScheduler"
    assert pipeline.vae_scale_factor == 8
    keys = set(base["unet"].state_dict())
    assert "down_blocks.0.attentions.0.transformer_blocks.0.attn1.to_q.weight" in keys
    assert "mid_block.attentions.0.transformer_blocks.0.attn2.to_k.weight" in keys


def test_a_missing_or_broken_base_is_explained(tmp_path: Path) -> None:
    with pytest.raises(EngineUnavailableError, match="missing"):
        load_embedded(tmp_path)
    (tmp_path / "model_index.json").write_text("{}", encoding="utf-8")
    with pytest.raises(EngineUnavailableError, match="cannot be read"):
        load_embedded(tmp_path)
