"""Adapter files for other programs and from them: nothing is lost on the way, or no file is left."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from studio.engines.diffusion.adapters import exporting, kohya
from studio.engines.diffusion.adapters import reading as adapter_reading
from studio.engines.diffusion.adapters.exporting import export_adapter, import_adapter
from studio.engines.diffusion.adapters.files import (
    inspect_adapter,
    save_adapter,
)
from studio.engines.diffusion.adapters.parity import largest_difference
from studio.engines.diffusion.bases.loading import text_to_image
from studio.errors import EngineError, UserInputError
from tests.engines.adapter_cases import PLAN, RELOADED, Case, worn

HALF = 1e-3
"""Of the adapter's effect, for 16-bit files."""


def test_the_export_for_diffusers_is_exact(case: Case, tmp_path: Path) -> None:
    report = export_adapter(
        case.location, case.file, tmp_path / "out.safetensors", "peft", case.metadata, loaded=case.loaded
    )
    assert (report.max_difference, report.unmatched) == (0.0, ())
    assert report.effect > 0.1
    assert report.bytes == report.path.stat().st_size
    assert report.sha256 == hashlib.sha256(report.path.read_bytes()).hexdigest()
    assert inspect_adapter(report.path).format == "peft"


def test_the_export_for_kohya_differs_by_rounding_only(case: Case, tmp_path: Path) -> None:
    report = export_adapter(
        case.location, case.file, tmp_path / "out.safetensors", "kohya", case.metadata, loaded=case.loaded
    )
    assert report.effect > 0.1
    assert report.max_difference <= HALF * report.effect
    assert report.unmatched == ()
    header, tensors = inspect_adapter(report.path), load_file(report.path)
    assert (header.format, header.kind, header.family) == ("kohya", "lora", case.family)
    assert (header.rank, header.alpha, header.trigger) == (PLAN.rank, PLAN.alpha, "sks person")
    assert {t.dtype for t in tensors.values()} == {torch.float16}
    text = [float(t) for key, t in tensors.items() if key.startswith("lora_te") and key.endswith(".alpha")]
    unet = [float(t) for key, t in tensors.items() if key.startswith("lora_unet") and key.endswith(".alpha")]
    assert set(text) == {PLAN.text_alpha}
    assert set(unet) == {PLAN.alpha}
    assert 3 * len(text + unet) == len(tensors)


def test_the_unrounded_export_for_kohya_draws_the_same_picture(case: Case, tmp_path: Path) -> None:
    """Keys, alphas and shapes are the same as in 16 bits; what is left is the order of sums."""
    halved, whole = (
        export_adapter(
            case.location, case.file, tmp_path / f"{format}.safetensors", format, case.metadata, loaded=case.loaded
        )
        for format in ("kohya", "kohya32")
    )
    assert whole.max_difference <= RELOADED * whole.effect
    assert whole.unmatched == ()
    one, other = load_file(halved.path), load_file(whole.path)
    assert one.keys() == other.keys()
    assert {t.dtype for t in other.values()} == {torch.float32}
    assert all(torch.equal(one[key], other[key].half()) for key in one)


@pytest.mark.parametrize("format", ["peft", "kohya", "kohya32"])
def test_diffusers_itself_reads_the_exports_alike(case: Case, tmp_path: Path, format) -> None:
    """An independent reader: its converters and ours agree on every key and alpha."""
    out = tmp_path / "out.safetensors"
    report = export_adapter(case.location, case.file, out, format, case.metadata, loaded=case.loaded)
    pipeline = text_to_image(case.loaded)
    pipeline.load_lora_weights(str(tmp_path), weight_name=out.name, adapter_name="face")
    try:
        seen = case.probe()
    finally:
        pipeline.unload_lora_weights()
    allowed = HALF * report.effect if format == "kohya" else RELOADED
    assert largest_difference(seen, worn(case, (case.file, 1.0))) <= allowed


def test_the_metadata_is_what_other_programs_look_for(small: Case, tmp_path: Path) -> None:
    picture = np.zeros((300, 200, 3), np.uint8)
    out = tmp_path / "out.safetensors"
    export_adapter(small.location, small.file, out, "kohya", small.metadata, thumbnail=picture, loaded=small.loaded)
    with safe_open(str(out), "pt") as file:
        said = file.metadata()
    data = out.read_bytes()
    behind = hashlib.sha256(data[8 + int.from_bytes(data[:8], "little") :]).hexdigest()
    assert said["modelspec.hash_sha256"] == f"0x{behind}"
    assert said["sshs_model_hash"] == behind
    assert said["modelspec.thumbnail"].startswith("data:image/jpeg;base64,/9j/")
    wanted = {
        "modelspec.sai_model_spec": "1.0.0", "modelspec.architecture": "stable-diffusion-v1/lora",
        "modelspec.title": "Face", "modelspec.trigger_phrase": "sks person", "modelspec.resolution": "64x64",
        "modelspec.prediction_type": "epsilon", "modelspec.date": "2026-11-21T07:00:00Z",
        "ss_network_module": "networks.lora", "ss_network_dim": "4", "ss_network_alpha": "6",
        "ss_base_model_version": "sd_v1", "ss_sd_model_name": "tiny-sd15", "ss_v2": "False",
    }  # fmt: skip
    assert wanted.items() <= said.items()


def test_the_same_adapter_makes_the_same_file(small: Case, tmp_path: Path) -> None:
    made = [
        export_adapter(small.location, small.file, tmp_path / name, "kohya", small.metadata, loaded=small.loaded).sha256
        for name in ("one.safetensors", "two.safetensors")
    ]
    assert made[0] == made[1]


@pytest.mark.parametrize("spoil", ["names", "numbers"])
def test_an_export_that_cannot_be_read_back_leaves_no_file(small: Case, tmp_path, monkeypatch, spoil: str) -> None:
    if spoil == "names":
        monkeypatch.setattr(kohya, "flat_name", lambda part, module, family, blocks: f"lora_unet_no_such_{module}")
    else:
        right = kohya.kohya_tensors
        monkeypatch.setattr(kohya, "kohya_tensors", lambda *a, **k: {key: t * 2 for key, t in right(*a, **k).items()})
    with pytest.raises((EngineError, UserInputError)):
        export_adapter(
            small.location, small.file, tmp_path / "out.safetensors", "kohya", small.metadata, loaded=small.loaded
        )
    assert list(tmp_path.iterdir()) == []
    assert small.is_itself()


def test_an_export_never_overwrites_its_source(small: Case) -> None:
    with pytest.raises(UserInputError, match="starts from"):
        export_adapter(small.location, small.file, small.file, "peft", small.metadata, loaded=small.loaded)


def test_a_learned_word_cannot_go_into_a_lora_file(small: Case, tmp_path: Path) -> None:
    width = small.loaded.text_encoders[0].get_input_embeddings().weight.shape[1]
    tensors = {**small.tensors, "embedding.zqx": torch.zeros(width)}
    save_adapter(tmp_path / "w.safetensors", tensors, configs={}, metadata=small.metadata)
    with pytest.raises(UserInputError, match="word of its own"):
        export_adapter(
            small.location, tmp_path / "w.safetensors", tmp_path / "k.safetensors", "kohya", small.metadata,
            loaded=small.loaded,
        )  # fmt: skip


def test_thumbnails_are_small_pictures() -> None:
    uri = exporting.data_uri(np.full((1000, 500, 3), 90, np.uint8))
    assert len(uri) < 8000


# -- coming in ------------------------------------------------------------------------------


@pytest.mark.parametrize("format", ["peft", "kohya"])
def test_what_went_out_comes_in_unchanged(case: Case, tmp_path: Path, format) -> None:
    out = export_adapter(
        case.location, case.file, tmp_path / "out.safetensors", format, case.metadata, loaded=case.loaded
    )
    before = out.path.read_bytes()
    got = import_adapter(case.location, out.path, tmp_path / "in.safetensors", loaded=case.loaded)
    assert out.path.read_bytes() == before
    assert got.header.format == format
    assert got.report.unmatched == ()
    own = inspect_adapter(got.path)
    assert (own.format, own.family, own.trigger, own.title) == ("peft", case.family, "sks person", "Face")
    assert load_file(got.path).keys() == case.tensors.keys()
    assert largest_difference(worn(case, (got.path, 1.0)), worn(case, (out.path, 1.0))) <= 1e-6


def test_the_other_naming_of_xl_and_of_sd15_comes_in_too(case: Case, tmp_path: Path) -> None:
    """What kohya writes for one family other programs write for the other."""
    weights = adapter_reading.read_adapter(case.loaded, case.file)
    blocks = kohya.checkpoint_blocks(case.loaded.unet.config)
    swapped = {}
    for update in weights.updates:
        if update.part == "unet":
            other = update.module if case.family == "sdxl" else kohya.checkpoint_name(update.module, blocks)
            name = "lora_unet_" + other.replace(".", "_")
        else:
            name = kohya.flat_name(update.part, update.module.removeprefix("text_model."), case.family, blocks)
        swapped[f"{name}.lora_down.weight"] = update.tensors["down"]
        swapped[f"{name}.lora_up.weight"] = update.tensors["up"].contiguous()
        swapped[f"{name}.alpha"] = torch.tensor(update.alpha)
    save_file(swapped, tmp_path / "other.safetensors")
    assert largest_difference(worn(case, (tmp_path / "other.safetensors", 1.0)), case.trained) <= RELOADED


def test_without_alpha_the_rank_is_the_alpha(small: Case, tmp_path: Path) -> None:
    save_file({k: t.contiguous() for k, t in small.tensors.items()}, tmp_path / "bare.safetensors")
    scaled = {
        k: t
        * ((PLAN.alpha / PLAN.rank if k.startswith("unet") else PLAN.text_alpha / PLAN.text_rank) if "_B" in k else 1)
        for k, t in small.tensors.items()
    }
    save_file({k: t.contiguous() for k, t in scaled.items()}, tmp_path / "scaled.safetensors")
    assert largest_difference(worn(small, (tmp_path / "scaled.safetensors", 1.0)), small.trained) <= RELOADED
    assert largest_difference(worn(small, (tmp_path / "bare.safetensors", 1.0)), small.trained) > 0.01
