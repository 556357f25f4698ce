"""Adapter files: what is written is what was trained, and off means off."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from studio.domain.adapter import AdapterFile
from studio.engines.diffusion import adapter_reading, exporting, kohya
from studio.engines.diffusion.adapter_files import (
    adapter_tensors,
    inspect_adapter,
    load_adapters,
    save_adapter,
    unload_adapters,
)
from studio.engines.diffusion.bases import text_to_image
from studio.engines.diffusion.exporting import export_adapter, import_adapter
from studio.engines.diffusion.merging import merge_adapters
from studio.engines.diffusion.parity import largest_difference
from studio.engines.diffusion.tensor_file import read_tensors, write_tensors
from studio.engines.diffusion.trainable import TEXT_PARTS, attach
from studio.errors import ConflictError, EngineError, NotFoundError, UnreadableMediaError, UserInputError
from tests.engines.adapter_cases import PLAN, PROMPT, STEPS, Case, make_case

ROOT = Path(__file__).resolve().parents[2]
RELOADED = 1e-4
HALF = 1e-3
"""Of the adapter's effect, for 16-bit files."""


@pytest.fixture(scope="module", params=["sd15", "sdxl"])
def case(request, tmp_path_factory) -> Case:
    return make_case(tmp_path_factory.mktemp("adapters"), request.param)


@pytest.fixture(scope="module")
def small(tmp_path_factory) -> Case:
    """The quicker family, for what does not depend on it."""
    return make_case(tmp_path_factory.mktemp("small"), "sd15")


@pytest.fixture(autouse=True)
def _bare_afterwards(request):
    yield
    for name in ("case", "small"):
        if name in request.fixturenames:
            unload_adapters(request.getfixturevalue(name).loaded)


def worn(case: Case, *uses: tuple[Path, float], fused: bool = False) -> torch.Tensor:
    """Draw with adapters on."""
    files = [AdapterFile(path=str(path), name=f"a{i}", strength=s) for i, (path, s) in enumerate(uses)]
    load_adapters(case.loaded, files, fused=fused)
    return case.probe()


# -- the studio's own file ------------------------------------------------------------------


def test_the_file_holds_exactly_what_was_trained(case: Case) -> None:
    read = load_file(case.file)
    assert read.keys() == case.tensors.keys()
    assert all(torch.equal(read[key], tensor) for key, tensor in case.tensors.items())
    load_adapters(case.loaded, [AdapterFile(path=str(case.file), name="face")])
    back = adapter_tensors(case.loaded, "face")
    assert back.keys() == case.tensors.keys()
    assert all(torch.equal(back[key], tensor) for key, tensor in case.tensors.items())


def test_a_reloaded_adapter_draws_what_the_trained_model_drew(case: Case) -> None:
    effect = largest_difference(case.trained, case.plain)
    assert effect > 0.1
    assert largest_difference(worn(case, (case.file, 1.0)), case.trained) <= RELOADED
    (report,) = load_adapters(case.loaded, [AdapterFile(path=str(case.file), name="face")])
    assert (report.name, report.matched, report.unmatched) == ("face", len(case.tensors), ())


def test_strength_zero_and_taking_off_leave_the_base_bit_for_bit(case: Case) -> None:
    assert torch.equal(worn(case, (case.file, 0.0)), case.plain)
    assert case.is_itself()
    assert not torch.equal(worn(case, (case.file, 1.0)), case.plain)
    assert not torch.equal(worn(case, (case.file, 1.0), fused=True), case.plain)
    unload_adapters(case.loaded)
    assert case.is_itself()
    assert torch.equal(case.probe(), case.plain)
    unload_adapters(case.loaded)  # nothing to take off is nothing to do


def test_strengths_scale_the_update_and_add_up(case: Case) -> None:
    half = worn(case, (case.file, 0.5))
    assert 0.0 < largest_difference(half, case.plain) < largest_difference(case.trained, case.plain)
    assert largest_difference(worn(case, (case.file, 0.6), (case.file, 0.4)), case.trained) <= RELOADED
    assert largest_difference(worn(case, (case.file, 0.25), (case.file, 0.25)), half) <= RELOADED
    assert largest_difference(worn(case, (case.file, 1.0), (case.file, -1.0)), case.plain) <= RELOADED


def test_half_a_strength_is_half_the_change_of_every_weight(case: Case) -> None:
    changes = []
    for strength in (1.0, 0.5):
        load_adapters(case.loaded, [AdapterFile(path=str(case.file), name="a", strength=strength)], fused=True)
        now = case.loaded.unet.state_dict()
        changes.append({k: now[k] - case.own[f"0.{k}"] for k in now if not torch.equal(now[k], case.own[f"0.{k}"])})
    assert len(changes[0]) > 20
    assert all(torch.allclose(changes[0][k] / 2, changes[1][k], atol=1e-6) for k in changes[0])


def test_fused_draws_the_same_and_comes_off_bit_for_bit(case: Case) -> None:
    assert largest_difference(worn(case, (case.file, 1.0), fused=True), case.trained) <= RELOADED
    unload_adapters(case.loaded)
    assert case.is_itself()


def test_a_learned_word_is_put_on_and_taken_off_with_its_adapter(case: Case, tmp_path: Path) -> None:
    widths = [encoder.get_input_embeddings().weight.shape[1] for encoder in case.loaded.text_encoders]
    generator = torch.Generator().manual_seed(1)
    rows = {
        f"{prefix}zqx": torch.randn(width, generator=generator)
        for prefix, width in zip(("embedding.", "embedding_2."), widths, strict=False)
    }
    save_adapter(tmp_path / "word.safetensors", rows, configs={}, metadata=case.metadata)
    tokenizers, tables = case.loaded.tokenizers, [e.get_input_embeddings() for e in case.loaded.text_encoders]
    (report,) = load_adapters(case.loaded, [AdapterFile(path=str(tmp_path / "word.safetensors"), name="word")])
    assert (report.matched, report.unmatched) == (len(rows), ())
    assert "zqx" in case.loaded.tokenizers[0].get_vocab()
    unload_adapters(case.loaded)
    assert case.loaded.tokenizers is tokenizers
    assert [e.get_input_embeddings() for e in case.loaded.text_encoders] == tables
    assert case.is_itself()


# -- files for other programs ----------------------------------------------------------------


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


@pytest.mark.parametrize("format", ["peft", "kohya"])
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
    allowed = RELOADED if format == "peft" else HALF * report.effect
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
        monkeypatch.setattr(kohya, "kohya_tensors", lambda *a: {k: t * 2 for k, t in right(*a).items()})
    with pytest.raises((EngineError, UserInputError)):
        export_adapter(
            small.location, small.file, tmp_path / "out.safetensors", "kohya", small.metadata, loaded=small.loaded
        )
    assert list(tmp_path.iterdir()) == []
    assert small.is_itself()


def test_an_export_never_overwrites_its_source(small: Case) -> None:
    with pytest.raises(UserInputError, match="starts from"):
        export_adapter(small.location, small.file, small.file, "peft", small.metadata, loaded=small.loaded)


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


# -- merging ---------------------------------------------------------------------------------


def test_a_merged_adapter_equals_its_sources_together(case: Case, tmp_path: Path) -> None:
    other = {key: tensor.flip(0).contiguous() for key, tensor in case.tensors.items()}
    configs = {part: attach_config(part) for part in ("unet", *TEXT_PARTS[: len(case.loaded.text_encoders)])}
    save_adapter(tmp_path / "b.safetensors", other, configs=configs, metadata=case.metadata)
    uses = [(case.file, 0.6), (tmp_path / "b.safetensors", 0.4)]
    together = worn(case, *uses)
    sources = [AdapterFile(path=str(path), name=f"s{i}", strength=s) for i, (path, s) in enumerate(uses)]
    report = merge_adapters(case.location, sources, tmp_path / "m.safetensors", case.metadata, loaded=case.loaded)
    assert report.max_difference <= RELOADED
    assert report.effect > 0.05
    assert largest_difference(worn(case, (report.path, 1.0)), together) <= RELOADED
    assert inspect_adapter(report.path).rank == 2 * PLAN.rank


def test_merging_needs_two(small: Case, tmp_path: Path) -> None:
    one = [AdapterFile(path=str(small.file), name="a"), AdapterFile(path=str(small.file), name="b", strength=0.0)]
    with pytest.raises(UserInputError, match="two adapters"):
        merge_adapters(small.location, one, tmp_path / "m.safetensors", small.metadata, loaded=small.loaded)


def attach_config(part: str):
    from peft import LoraConfig

    text = part != "unet"
    return LoraConfig(r=PLAN.text_rank if text else PLAN.rank, lora_alpha=PLAN.text_alpha if text else PLAN.alpha)


# -- other arithmetic ---------------------------------------------------------------------------


def full_weights(case: Case, path: Path) -> dict[str, torch.Tensor]:
    """Write DreamBooth weights: every number of the base, moved a little."""
    generator = torch.Generator().manual_seed(3)
    parts = dict(zip(("unet", *TEXT_PARTS), (case.loaded.unet, *case.loaded.text_encoders), strict=False))
    moved = {
        f"{part}.{name}": p.detach() + 0.02 * torch.randn(p.shape, generator=generator)
        for part, model in parts.items()
        for name, p in model.named_parameters()
    }
    save_adapter(path, moved, configs={}, metadata=replace(case.metadata, method="dreambooth"))
    return moved


def test_full_weights_at_every_strength(case: Case, tmp_path: Path) -> None:
    path = tmp_path / "full.safetensors"
    moved = full_weights(case, path)
    assert inspect_adapter(path).method == "dreambooth"
    for strength in (1.0, 0.5, 0.0):
        (report,) = load_adapters(case.loaded, [AdapterFile(path=str(path), name="a", strength=strength)])
        assert (report.matched, report.unmatched) == (len(moved), ())
        for name, now in case.loaded.unet.named_parameters():
            wanted = torch.lerp(case.own[f"0.{name}"], moved[f"unet.{name}"], strength)
            assert torch.allclose(now, wanted, atol=1e-6)
    unload_adapters(case.loaded)
    assert case.is_itself()


def test_full_weights_and_a_lora_together(small: Case, tmp_path: Path) -> None:
    full_weights(small, tmp_path / "full.safetensors")
    both = worn(small, (tmp_path / "full.safetensors", 0.5), (small.file, 1.0))
    fused = worn(small, (small.file, 1.0), (tmp_path / "full.safetensors", 0.5), fused=True)
    assert largest_difference(both, fused) <= RELOADED
    sources = [
        AdapterFile(path=str(tmp_path / "full.safetensors"), name="a", strength=0.5),
        AdapterFile(path=str(small.file), name="b"),
    ]
    merged = merge_adapters(small.location, sources, tmp_path / "m.safetensors", small.metadata, loaded=small.loaded)
    assert merged.max_difference <= RELOADED
    unload_adapters(small.loaded)
    assert small.is_itself()


def test_full_weights_go_out_for_diffusers_only(small: Case, tmp_path: Path) -> None:
    path = tmp_path / "full.safetensors"
    full_weights(small, path)
    about = replace(small.metadata, method="dreambooth")
    with pytest.raises(UserInputError, match="no place in the LoRA files"):
        export_adapter(small.location, path, tmp_path / "k.safetensors", "kohya", about, loaded=small.loaded)
    report = export_adapter(small.location, path, tmp_path / "p.safetensors", "peft", about, loaded=small.loaded)
    assert report.max_difference == 0.0


@pytest.mark.parametrize("kind", ["loha", "lokr", "dora", "loha-core", "lokr-core"])
def test_products_and_lengths_are_those_of_peft(small: Case, tmp_path: Path, kind: str) -> None:
    """PEFT's own layers with random numbers against what we make of their keys, written as LyCORIS does."""
    import peft

    base = make_fresh(small)
    core = kind.endswith("core")
    targets = {"target_modules": ["to_q", "ff.net.0.proj", "conv1"]}
    config = {
        "loha": lambda: peft.LoHaConfig(r=3, alpha=2, use_effective_conv2d=core, **targets),
        "lokr": lambda: peft.LoKrConfig(r=3, alpha=2, use_effective_conv2d=core, decompose_factor=4, **targets),
        "dora": lambda: peft.LoraConfig(r=3, lora_alpha=2, use_dora=True, **targets),
    }[kind.split("-")[0]]()
    peft.inject_adapter_in_model(config, base.unet, "x")
    base.unet.requires_grad_(False)
    generator = torch.Generator().manual_seed(2)
    written, modules = {}, set()
    for name, parameter in base.unet.named_parameters():
        if ".x" not in name:
            continue
        if "magnitude" not in name:
            parameter.data = torch.randn(parameter.shape, generator=generator) * 0.3
        module, _, slot = name.replace(".x.weight", "").replace(".x", "").rpartition(".")
        modules.add(module)
        ending = {"lora_A": "lora_down.weight", "lora_B": "lora_up.weight", "lora_magnitude_vector": "dora_scale"}
        value = parameter.data * 1.2 if "magnitude" in name else parameter.data
        parameter.data = value
        if "magnitude" in name:
            value = value.reshape(-1, *(1 for _ in range(3 if "conv" in name else 1)))
        written[f"lora_unet_{module.replace('.', '_')}.{ending.get(slot, slot)}"] = value.contiguous().clone()
    for module in modules:
        written[f"lora_unet_{module.replace('.', '_')}.alpha"] = torch.tensor(2.0)
    path = tmp_path / "theirs.safetensors"
    save_file(written, path)
    wanted = draw(base)
    got = worn(small, (path, 1.0))
    assert largest_difference(wanted, small.plain) > 0.01
    assert largest_difference(got, wanted) <= RELOADED
    assert inspect_adapter(path).kind == kind.split("-")[0]
    came = import_adapter(small.location, path, tmp_path / "ours.safetensors", loaded=small.loaded)
    assert came.report.unmatched == ()
    assert largest_difference(worn(small, (came.path, 1.0)), wanted) <= RELOADED
    out = export_adapter(
        small.location, came.path, tmp_path / "out.safetensors", "kohya", small.metadata, loaded=small.loaded
    )
    assert load_file(out.path).keys() == written.keys()
    assert load_adapters(small.loaded, [AdapterFile(path=str(path), name="half", strength=0.5)])
    unload_adapters(small.loaded)
    assert small.is_itself()


def make_fresh(case: Case):
    from studio.engines.diffusion.bases import load_base

    return load_base(case.location)


def draw(loaded) -> torch.Tensor:
    from studio.engines.diffusion.parity import draw_probe

    return draw_probe(loaded, PROMPT, steps=STEPS)


def test_a_convolution_in_three_parts(small: Case, tmp_path: Path) -> None:
    """LoCon's form with a core: down 1 x 1, core 3 x 3, up 1 x 1, against the convolutions one after the other."""
    layer = small.loaded.unet.get_submodule("down_blocks.0.resnets.0.conv1")
    generator = torch.Generator().manual_seed(4)
    down = torch.randn((2, layer.in_channels, 1, 1), generator=generator)
    core = torch.randn((2, 2, 3, 3), generator=generator)
    up = torch.randn((layer.out_channels, 2, 1, 1), generator=generator)
    name = "lora_unet_down_blocks_0_resnets_0_conv1"
    matrices = {"lora_down.weight": down, "lora_mid.weight": core, "lora_up.weight": up, "alpha": torch.tensor(1.0)}
    save_file({f"{name}.{k}": t for k, t in matrices.items()}, tmp_path / "c.safetensors")
    picture = torch.randn((1, layer.in_channels, 8, 8), generator=generator)
    plain = layer(picture)
    through = torch.nn.functional.conv2d(picture, down)
    through = torch.nn.functional.conv2d(torch.nn.functional.conv2d(through, core, padding=1), up)
    load_adapters(small.loaded, [AdapterFile(path=str(tmp_path / "c.safetensors"), name="a")])
    worn_layer = small.loaded.unet.get_submodule("down_blocks.0.resnets.0.conv1")
    assert torch.allclose(worn_layer(picture), plain + through / 2, atol=1e-3)


# -- what cannot be used ------------------------------------------------------------------------


def load(case: Case, path: Path, **options) -> None:
    load_adapters(case.loaded, [AdapterFile(path=str(path), name="a", **options)])


def test_an_adapter_for_another_family_is_named(small: Case, tmp_path: Path) -> None:
    other = tmp_path / "xl.safetensors"
    save_adapter(other, small.tensors, configs={}, metadata=replace(small.metadata, family="sdxl"))
    with pytest.raises(UserInputError, match="for Stable Diffusion XL, but the base model"):
        load(small, other)
    assert small.is_itself()


def test_real_widths_tell_the_family_without_metadata(tmp_path: Path) -> None:
    for family, width in (("sd15", 768), ("sdxl", 2048), (None, 1024)):
        key = "lora_unet_down_blocks_1_attentions_0_transformer_blocks_0_attn2_to_k.lora_down.weight"
        save_file({key: torch.zeros(4, width)}, tmp_path / "w.safetensors")
        assert inspect_adapter(tmp_path / "w.safetensors").family == family


@pytest.mark.parametrize("ending", [".pt", ".bin", ".ckpt", ".pkl"])
def test_pickles_are_never_opened(small: Case, tmp_path: Path, ending: str) -> None:
    path = tmp_path / f"lora{ending}"
    path.write_bytes(b"\x80\x04cos\nsystem\n.")
    with pytest.raises(UserInputError, match="pickled") as caught:
        inspect_adapter(path)
    assert ".safetensors" in caught.value.hint
    with pytest.raises(UserInputError, match="pickled"):
        load(small, path)


@pytest.mark.parametrize("spoil", ["garbage", "header", "cut", "empty", "text"])
def test_damaged_files_are_named(small: Case, tmp_path: Path, spoil: str) -> None:
    path, whole = tmp_path / "a.safetensors", small.file.read_bytes()
    length = int.from_bytes(whole[:8], "little")
    path.write_bytes(
        {
            "garbage": b"\xff" * 4000, "header": whole[:8] + b"x" * length + whole[8 + length :],
            "cut": whole[: len(whole) // 2], "empty": b"", "text": b"not a model at all, but long enough",
        }[spoil]
    )  # fmt: skip
    for call in (lambda: inspect_adapter(path), lambda: load(small, path)):
        with pytest.raises(UnreadableMediaError, match=r"a\.safetensors"):
            call()
    assert small.is_itself()


def test_a_missing_file(small: Case, tmp_path: Path) -> None:
    with pytest.raises(NotFoundError):
        load(small, tmp_path / "none.safetensors")


def test_files_of_other_models_have_no_known_key(small: Case, tmp_path: Path) -> None:
    path = tmp_path / "flux.safetensors"
    save_file({"transformer.blocks.0.attn.to_q.lora_A.weight": torch.zeros(4, 8)}, path)
    with pytest.raises(UserInputError, match="none of its 1 keys"):
        inspect_adapter(path)
    with pytest.raises(UserInputError, match="none of its 1 keys"):
        load(small, path)


def test_another_shape_is_named_with_its_layer(small: Case, tmp_path: Path) -> None:
    changed = {
        k: torch.cat([t, t], -1 if "_A" in k else 0).contiguous() for k, t in small.tensors.items() if "to_q" in k
    }
    save_file(changed, tmp_path / "wide.safetensors")
    with pytest.raises(UserInputError, match=r"another shape") as caught:
        load(small, tmp_path / "wide.safetensors")
    assert "to_q" in caught.value.message
    assert small.is_itself()


def test_half_an_update_is_refused(small: Case, tmp_path: Path) -> None:
    save_file({k: t.contiguous() for k, t in small.tensors.items() if "_A" in k}, tmp_path / "half.safetensors")
    with pytest.raises(UserInputError, match="incomplete"):
        load(small, tmp_path / "half.safetensors")


def test_keys_without_a_place_are_reported_not_lost(small: Case, tmp_path: Path) -> None:
    extra = {**small.tensors, "unet.no.such.layer.lora_A.weight": torch.zeros(4, 8)}
    save_file({k: t.contiguous() for k, t in extra.items()}, tmp_path / "more.safetensors")
    (report,) = load_adapters(small.loaded, [AdapterFile(path=str(tmp_path / "more.safetensors"), name="a")])
    assert (report.matched, report.unmatched) == (len(small.tensors), ("unet.no.such.layer.lora_A.weight",))


def test_odd_names_and_strengths(small: Case) -> None:
    for options, words in (
        ({"name": "a.b"}, "letters, digits"), ({"name": ""}, "letters, digits"), ({"strength": 2.5}, "outside"),
    ):  # fmt: skip
        file = AdapterFile(**({"path": str(small.file), "name": "a"} | options))
        with pytest.raises(UserInputError) as caught:
            load_adapters(small.loaded, [file])
        assert words in str(caught.value)
    twice = [AdapterFile(path=str(small.file), name="a")] * 2
    with pytest.raises(UserInputError, match="named twice"):
        load_adapters(small.loaded, twice)


def test_a_file_that_does_not_fit_leaves_nothing_half_worn(small: Case, tmp_path: Path) -> None:
    save_file({"unet.conv_in.lora_A.weight": torch.zeros(4, 7)}, tmp_path / "bad.safetensors")
    files = [AdapterFile(path=str(small.file), name="a"), AdapterFile(path=str(tmp_path / "bad.safetensors"), name="b")]
    with pytest.raises(UserInputError):
        load_adapters(small.loaded, files)
    assert small.is_itself()


def test_a_base_in_training_is_left_alone(small: Case) -> None:
    base = make_fresh(small)
    attach({"unet": base.unet, "text_encoder": base.text_encoders[0]}, PLAN)
    for call in (lambda: unload_adapters(base), lambda: load_adapters(base, [])):
        with pytest.raises(ConflictError, match="being trained"):
            call()


def test_nothing_is_no_adapter(small: Case, tmp_path: Path) -> None:
    with pytest.raises(UserInputError, match="no weights"):
        save_adapter(tmp_path / "a.safetensors", {}, configs={}, metadata=small.metadata)


def test_a_learned_word_cannot_go_into_a_lora_file(small: Case, tmp_path: Path) -> None:
    width = small.loaded.text_encoders[0].get_input_embeddings().weight.shape[1]
    tensors = {**small.tensors, "embedding.zqx": torch.zeros(width)}
    save_adapter(tmp_path / "w.safetensors", tensors, configs={}, metadata=small.metadata)
    with pytest.raises(UserInputError, match="word of its own"):
        export_adapter(
            small.location, tmp_path / "w.safetensors", tmp_path / "k.safetensors", "kohya", small.metadata,
            loaded=small.loaded,
        )  # fmt: skip


# -- files themselves ---------------------------------------------------------------------------


def test_every_format_of_numbers_is_written_as_safetensors_reads_it(tmp_path: Path) -> None:
    types = (torch.float32, torch.float16, torch.bfloat16, torch.float64, torch.int64, torch.uint8, torch.bool)
    given = {f"t{i}": torch.arange(6).reshape(2, 3).to(dtype) for i, dtype in enumerate(types)}
    given |= {"scalar": torch.tensor(2.5), "empty": torch.zeros(0, 3), "turned": torch.arange(6.0).reshape(2, 3).T}
    sha256 = write_tensors(tmp_path / "a.safetensors", given, {"who": "Grüße"}, hashes={"h": "0x"})
    assert sha256 == hashlib.sha256((tmp_path / "a.safetensors").read_bytes()).hexdigest()
    read = read_tensors(tmp_path / "a.safetensors")
    assert read.keys() == given.keys()
    assert all(torch.equal(read[k], t) and read[k].dtype == t.dtype for k, t in given.items())
    with safe_open(str(tmp_path / "a.safetensors"), "pt") as file:
        assert file.metadata()["who"] == "Grüße"


def test_a_header_is_read_without_torch(small: Case) -> None:
    code = (
        "import sys; from pathlib import Path; from studio.engines.diffusion.adapter_files import inspect_adapter;"
        "h = inspect_adapter(Path(sys.argv[1])); print(h.family, h.rank, h.trigger);"
        "print([m for m in ('torch', 'peft', 'diffusers', 'transformers', 'safetensors') if m in sys.modules])"
    )
    ran = subprocess.run(
        [sys.executable, "-c", code, str(small.file)], capture_output=True, text=True, check=True, cwd=ROOT
    )
    assert ran.stdout.split("\n")[:2] == ["sd15 4 sks person", "[]"]


def test_configs_in_the_metadata_are_those_diffusers_reads(small: Case) -> None:
    said = json.loads(inspect_adapter(small.file).metadata["lora_adapter_metadata"])
    assert (said["unet.r"], said["unet.lora_alpha"], said["text_encoder.r"]) == (4, 6, 3)


def test_thumbnails_are_small_pictures() -> None:
    uri = exporting.data_uri(np.full((1000, 500, 3), 90, np.uint8))
    assert len(uri) < 8000
