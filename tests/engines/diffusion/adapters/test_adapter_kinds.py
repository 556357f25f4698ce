"""Adapter files as other programs write them: every form is read for what it means, or refused in words."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from studio.engines.diffusion.adapters.exporting import export_adapter, import_adapter
from studio.engines.diffusion.adapters.inspecting import inspect_adapter
from studio.engines.diffusion.adapters.parity import largest_difference
from studio.engines.diffusion.adapters.reading import read_adapter
from studio.errors import UserInputError
from tests.engines.diffusion.adapter_cases import PLAN, RELOADED, Case, worn

SQUARE = "down_blocks.0.attentions.0.transformer_blocks.0.attn1.to_q"
OBLONG = "down_blocks.0.attentions.0.transformer_blocks.0.ff.net.0.proj"
OUT = "down_blocks.0.attentions.0.transformer_blocks.0.attn1.to_out.0"


def noise(*shape: int) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(sum(shape))) * 0.3


def product(kind: str, out: int, into: int, *, fresh: bool) -> dict[str, torch.Tensor]:
    left = torch.zeros if fresh else noise
    return {
        "lora": {"lora_down.weight": noise(2, into), "lora_up.weight": left(out, 2)},
        "loha": {
            "hada_w1_a": left(out, 2), "hada_w1_b": noise(2, into), "hada_w2_a": noise(out, 2),
            "hada_w2_b": noise(2, into),
        },
        "lokr": {"lokr_w1": left(2, 2), "lokr_w2": noise(out // 2, into // 2)},
    }[kind]  # fmt: skip


def with_lengths(case: Case, path: Path, kind: str, axis: int, factor: float, *, fresh: bool) -> Path:
    tensors = {}
    for module in (SQUARE, OBLONG):
        weight = case.loaded.unet.get_submodule(module).weight.detach()
        name = f"lora_unet_{module.replace('.', '_')}"
        slots = product(kind, *weight.shape, fresh=fresh) | {"alpha": torch.tensor(2.0)}
        slots["dora_scale"] = weight.norm(dim=1 - axis, keepdim=True) * factor
        tensors |= {f"{name}.{slot}": tensor.contiguous() for slot, tensor in slots.items()}
    save_file(tensors, path)
    return path


@pytest.mark.parametrize("axis", [0, 1])
@pytest.mark.parametrize("kind", ["lora", "loha", "lokr"])
def test_learned_lengths_along_either_axis(small: Case, tmp_path: Path, kind: str, axis: int) -> None:
    fresh = with_lengths(small, tmp_path / "fresh.safetensors", kind, axis, 1.0, fresh=True)
    assert largest_difference(worn(small, (fresh, 1.0)), small.plain) <= RELOADED
    longer = with_lengths(small, tmp_path / "longer.safetensors", kind, axis, 1.5, fresh=True)
    worn(small, (longer, 1.0))
    for module in (SQUARE, OBLONG):
        now = small.loaded.unet.get_submodule(module).weight
        assert torch.allclose(now, 1.5 * small.own[f"0.{module}.weight"], atol=1e-5)
    path = with_lengths(small, tmp_path / "a.safetensors", kind, axis, 1.5, fresh=False)
    wanted = worn(small, (path, 1.0))
    came = import_adapter(small.location, path, tmp_path / "own.safetensors", loaded=small.loaded)
    out = tmp_path / "out.safetensors"
    export_adapter(small.location, came.path, out, "kohya32", small.metadata, loaded=small.loaded)
    assert largest_difference(worn(small, (out, 1.0)), wanted) <= RELOADED
    if kind != "lora" or axis == 1:
        with pytest.raises(UserInputError, match="diffusers does not read"):
            export_adapter(
                small.location, path, tmp_path / "p.safetensors", "peft", small.metadata, loaded=small.loaded
            )


@pytest.mark.parametrize("kind", ["lora", "loha", "lokr"])
def test_a_bias_beside_an_update(small: Case, tmp_path: Path, kind: str) -> None:
    layer = small.loaded.unet.get_submodule(OUT)
    name = f"lora_unet_{OUT.replace('.', '_')}"
    slots = product(kind, *layer.weight.shape, fresh=False) | {"diff_b": noise(len(layer.bias))}
    save_file({f"{name}.{slot}": tensor for slot, tensor in slots.items()}, tmp_path / "b.safetensors")
    wanted = layer.bias.detach() + slots["diff_b"]
    worn(small, (tmp_path / "b.safetensors", 1.0))
    assert torch.allclose(small.loaded.unet.get_submodule(OUT).bias, wanted)


def unet_only(case: Case) -> dict[str, torch.Tensor]:
    return {k.removeprefix("unet."): t.contiguous() for k, t in case.tensors.items() if k.startswith("unet.")}


@pytest.mark.parametrize("layout", ["bare", "peft", "comfyui"])
def test_files_that_leave_the_part_out(small: Case, tmp_path: Path, layout: str) -> None:
    path, whole = tmp_path / "f.safetensors", tmp_path / "whole.safetensors"
    tensors = unet_only(small)
    alphas = {f"unet.{k.partition('.lora_')[0]}.alpha": torch.tensor(float(PLAN.alpha)) for k in tensors}
    save_file({f"unet.{k}": t for k, t in tensors.items()} | alphas, whole)
    if layout == "peft":
        save_file({f"base_model.model.{k}": t for k, t in tensors.items()}, path)
        said = {"peft_type": "LORA", "r": PLAN.rank, "lora_alpha": PLAN.alpha}
        (tmp_path / "adapter_config.json").write_text(json.dumps(said))
    else:
        front = {"bare": "", "comfyui": "diffusion_model."}[layout]
        bare = {k.removeprefix("unet."): t for k, t in alphas.items()}
        save_file({front + k: t for k, t in (tensors | bare).items()}, path)
    weights = read_adapter(small.loaded, path)
    assert weights.report.unmatched == ()
    got = worn(small, (path, 1.0))
    (tmp_path / "adapter_config.json").unlink(missing_ok=True)
    assert largest_difference(got, worn(small, (whole, 1.0))) <= RELOADED
    assert largest_difference(got, small.plain) > 0.05


@pytest.mark.parametrize("dtype", [torch.float8_e4m3fn, torch.float8_e5m2, torch.bfloat16])
def test_short_floats_are_read(small: Case, tmp_path: Path, dtype: torch.dtype) -> None:
    short = {f"unet.{k}": t.to(dtype) for k, t in unet_only(small).items()}
    save_file(short, tmp_path / "short.safetensors")
    save_file({k: t.float() for k, t in short.items()}, tmp_path / "long.safetensors")
    wanted = worn(small, (tmp_path / "long.safetensors", 1.0))
    assert largest_difference(worn(small, (tmp_path / "short.safetensors", 1.0)), wanted) <= RELOADED
    came = import_adapter(
        small.location, tmp_path / "short.safetensors", tmp_path / "o.safetensors", loaded=small.loaded
    )
    assert came.effect > 0.01


@pytest.mark.parametrize(
    ("spoil", "words"), [(lambda t: (t * 90).to(torch.int8), "quantized"), (lambda t: t * float("nan"), "no numbers")]
)
def test_numbers_that_are_none_are_refused(small: Case, tmp_path: Path, spoil, words: str) -> None:
    save_file({f"unet.{k}": spoil(t) for k, t in unet_only(small).items()}, tmp_path / "n.safetensors")
    with pytest.raises(UserInputError, match=words):
        import_adapter(small.location, tmp_path / "n.safetensors", tmp_path / "o.safetensors", loaded=small.loaded)


@pytest.mark.parametrize("scale", ["scale_weight", "absmax", "quant_state.bitsandbytes__nf4"])
def test_numbers_with_scales_beside_them_are_refused(small: Case, tmp_path: Path, scale: str) -> None:
    tensors = {f"unet.{k}": t for k, t in unet_only(small).items()}
    layer = next(iter(tensors)).rpartition(".lora_")[0]
    save_file(tensors | {f"{layer}.{scale}": torch.ones(1)}, tmp_path / "q.safetensors")
    with pytest.raises(UserInputError, match="quantized"):
        read_adapter(small.loaded, tmp_path / "q.safetensors")


def test_a_layer_that_is_said_twice_is_refused(small: Case, tmp_path: Path) -> None:
    tensors = {f"unet.{k}": t for k, t in unet_only(small).items()}
    key = next(k for k in tensors if k.endswith("lora_A.weight"))
    other = {"base_model.model." + key: tensors[key] * 2}
    save_file(tensors | other, tmp_path / "twice.safetensors")
    with pytest.raises(UserInputError, match="twice"):
        read_adapter(small.loaded, tmp_path / "twice.safetensors")


def test_an_alpha_that_was_left_behind_is_said(small: Case, tmp_path: Path) -> None:
    tensors = {f"base_model.model.unet.{k}": t for k, t in unet_only(small).items()}
    save_file(tensors, tmp_path / "peft.safetensors")
    assert "adapter_config.json" in read_adapter(small.loaded, tmp_path / "peft.safetensors").report.assumed
    (tmp_path / "adapter_config.json").write_text('{"lora_alpha": 4}')
    assert read_adapter(small.loaded, tmp_path / "peft.safetensors").report.assumed == ""


@pytest.mark.parametrize(
    ("key", "title"),
    [
        ("lora_unet_double_blocks_0_img_attn_qkv.lora_down.weight", "Flux"),
        ("transformer.single_transformer_blocks.0.attn.to_q.lora_A.weight", "Flux"),
        ("lora_unet_joint_blocks_0_x_block_attn_qkv.lora_down.weight", "Stable Diffusion 3"),
        ("diffusion_model.blocks.0.self_attn.q.lora_A.weight", "Wan"),
        ("transformer.transformer_blocks.0.attn1.to_k.lora_A.weight", "PixArt"),
        ("base_model.model.model.layers.0.self_attn.q_proj.lora_A.weight", "a language model"),
    ],
)
def test_a_family_that_shares_a_text_encoder_is_named(small: Case, tmp_path: Path, key: str, title: str) -> None:
    text = {k: t.contiguous() for k, t in small.tensors.items() if k.startswith("text_encoder.")}
    save_file(text | {key: torch.zeros(4, 8)}, tmp_path / "f.safetensors")
    with pytest.raises(UserInputError, match=f"made for {title}"):
        inspect_adapter(tmp_path / "f.safetensors")


def test_text_layers_of_an_unknown_family_are_not_taken_for_one_here(small: Case, tmp_path: Path) -> None:
    text = {k: t.contiguous() for k, t in small.tensors.items() if k.startswith("text_encoder.")}
    save_file(text | {"newer_net.stage.0.lora_A.weight": torch.zeros(4, 8)}, tmp_path / "f.safetensors")
    with pytest.raises(UserInputError, match="another kind of model"):
        read_adapter(small.loaded, tmp_path / "f.safetensors")
