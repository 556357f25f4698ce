"""Adapter files as kohya's scripts, ComfyUI and A1111 read them: names, alphas, numbers.

A layer's name has underscores for dots behind "lora_unet_", "lora_te_" or, for
XL, "lora_te1_" and "lora_te2_"; text layers begin with "text_model". In the
UNet two sets of block names are in use: diffusers' (down_blocks_0_...), which
kohya's scripts write for Stable Diffusion 1.x, and those of the original
checkpoints (input_blocks_1_0_...), which they write for XL. Each file we write
uses the one that all of these programs accept for its family; both are read.
Every layer has its own `.alpha`: without it the update would be scaled by 1.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from studio.domain.base_model import Family
from studio.engines.diffusion.adapters.keys import Part

if TYPE_CHECKING:
    from torch import Tensor

    from studio.engines.diffusion.adapters.update import ModuleUpdate

_RESNET = {
    "norm1": "in_layers.0", "conv1": "in_layers.2", "time_emb_proj": "emb_layers.1", "norm2": "out_layers.0",
    "conv2": "out_layers.3", "conv_shortcut": "skip_connection",
}  # fmt: skip
_SINGLE = {
    "conv_in": "input_blocks.0.0", "conv_norm_out": "out.0", "conv_out": "out.2",
    "time_embedding.linear_1": "time_embed.0", "time_embedding.linear_2": "time_embed.2",
    "add_embedding.linear_1": "label_emb.0.0", "add_embedding.linear_2": "label_emb.0.2",
}  # fmt: skip
_PREFIXES: dict[Family, dict[Part, str]] = {
    "sd15": {"unet": "lora_unet_", "text_encoder": "lora_te_"},
    "sdxl": {"unet": "lora_unet_", "text_encoder": "lora_te1_", "text_encoder_2": "lora_te2_"},
}


def checkpoint_blocks(config: Mapping[str, Any]) -> dict[str, str]:
    """Return how the original checkpoints name the blocks of a UNet: diffusers' prefix -> theirs.

    Args:
        config: of the UNet, as diffusers keeps it.
    """
    names: dict[str, str] = dict(_SINGLE)
    down, up = config["down_block_types"], config["up_block_types"]
    per_block = config["layers_per_block"]
    layers = [per_block] * len(down) if isinstance(per_block, int) else list(per_block)
    number = 1
    for i, kind in enumerate(down):
        for j in range(layers[i]):
            names |= _resnet(f"down_blocks.{i}.resnets.{j}", f"input_blocks.{number}.0")
            if "CrossAttn" in kind:
                names[f"down_blocks.{i}.attentions.{j}"] = f"input_blocks.{number}.1"
            number += 1
        if i < len(down) - 1:
            names[f"down_blocks.{i}.downsamplers.0.conv"] = f"input_blocks.{number}.0.op"
            number += 1
    names |= _resnet("mid_block.resnets.0", "middle_block.0") | _resnet("mid_block.resnets.1", "middle_block.2")
    names["mid_block.attentions.0"] = "middle_block.1"
    number = 0
    for i, kind in enumerate(up):
        attends = "CrossAttn" in kind
        last = layers[::-1][i]
        for j in range(last + 1):
            names |= _resnet(f"up_blocks.{i}.resnets.{j}", f"output_blocks.{number}.0")
            if attends:
                names[f"up_blocks.{i}.attentions.{j}"] = f"output_blocks.{number}.1"
            if j == last and i < len(up) - 1:
                names[f"up_blocks.{i}.upsamplers.0.conv"] = f"output_blocks.{number}.{2 if attends else 1}.conv"
            number += 1
    return names


def _resnet(ours: str, theirs: str) -> dict[str, str]:
    return {f"{ours}.{name}": f"{theirs}.{other}" for name, other in _RESNET.items()}


def checkpoint_name(module: str, blocks: Mapping[str, str]) -> str:
    """Return a UNet layer's name in the original checkpoints; its own where they have none."""
    for end in range(len(module), 0, -1):
        if (end == len(module) or module[end] == ".") and module[:end] in blocks:
            return blocks[module[:end]] + module[end:]
    return module


def flat_names(part: Part, modules: Iterable[str], blocks: Mapping[str, str]) -> dict[str, str]:
    """Return every name with underscores that means a layer: name -> layer.

    Args:
        modules: the part's layers with dots, text layers without `text_model.`.
        blocks: of `checkpoint_blocks`.
    """
    names: dict[str, str] = {}
    for module in modules:
        flat = module.replace(".", "_")
        if part == "unet":
            names[checkpoint_name(module, blocks).replace(".", "_")] = module
        else:
            names["text_model_" + flat] = module
        names[flat] = module
    return names


def flat_name(part: Part, module: str, family: Family, blocks: Mapping[str, str]) -> str:
    """Return a layer's whole name in the files we write.

    Args:
        module: with dots, text layers without `text_model.`.
    """
    if part == "unet":
        named = checkpoint_name(module, blocks) if family == "sdxl" else module
    else:
        named = module if module == "text_projection" else f"text_model.{module}"
    return _PREFIXES[family][part] + named.replace(".", "_")


def kohya_tensors(
    updates: Iterable[ModuleUpdate], family: Family, blocks: Mapping[str, str], *, half: bool = True
) -> dict[str, Tensor]:
    """Return an adapter's tensors by kohya's keys.

    Args:
        updates: with module names as in `flat_name`.
        half: in 16-bit floats, as is usual; else in 32-bit ones.
    """
    import torch

    endings = {
        "down": "lora_down.weight",
        "up": "lora_up.weight",
        "mid": "lora_mid.weight",
        "magnitude": "dora_scale",
        "weight_change": "diff",
        "bias_change": "diff_b",
    }
    dtype = torch.float16 if half else torch.float32
    found: dict[str, Tensor] = {}
    for update in updates:
        name = flat_name(update.part, update.module, family, blocks)
        for slot, tensor in update.tensors.items():
            if slot == "magnitude":  # one row per output, as LyCORIS writes it
                tensor = tensor.reshape(-1, *(1 for _ in range(update.tensors["up"].dim() - 1)))
            found[f"{name}.{endings.get(slot, slot)}"] = tensor.to(dtype)
        if update.alpha is not None or "down" in update.tensors:
            found[f"{name}.alpha"] = torch.tensor(_kohya_alpha(update), dtype=dtype)
    return found


def _kohya_alpha(update: ModuleUpdate) -> float:
    """Return the alpha with which alpha / rank is the update's true scale."""
    return update.scale * update.tensors["down"].shape[0] if "down" in update.tensors else float(update.alpha or 0.0)
