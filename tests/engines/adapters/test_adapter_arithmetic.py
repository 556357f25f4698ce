"""Adapters together, and of other kinds: the sums are those of their sources and of PEFT."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from studio.domain.adapter import AdapterFile
from studio.engines.diffusion.adapters.exporting import export_adapter, import_adapter
from studio.engines.diffusion.adapters.files import (
    inspect_adapter,
    load_adapters,
    save_adapter,
    unload_adapters,
)
from studio.engines.diffusion.adapters.merging import merge_adapters
from studio.engines.diffusion.adapters.parity import draw_probe, largest_difference
from studio.engines.diffusion.bases.loading import load_base
from studio.engines.diffusion.training.trainable import TEXT_PARTS
from studio.errors import UserInputError
from tests.engines.adapter_cases import PLAN, PROMPT, RELOADED, STEPS, Case, worn


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


# -- full weights and other kinds ---------------------------------------------------------------


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

    base = load_base(small.location)
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
    wanted = draw_probe(base, PROMPT, steps=STEPS)
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
