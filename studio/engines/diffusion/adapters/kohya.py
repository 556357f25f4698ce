"""Adapter files as kohya's scripts, ComfyUI and A1111 read them: names, alphas, numbers.

A layer's name has underscores for dots behind "lora_unet_" or, for text
encoders, what the row of the family says; text layers begin with "text_model". In the
UNet two sets of block names are in use: diffusers' (down_blocks_0_...), which
kohya's scripts write for Stable Diffusion 1.x, and those of the original
checkpoints (input_blocks_1_0_...), which they write for XL. Each file we write
uses the one that all of these programs accept for its family; both are read.
Every layer has its own `.alpha`: without it the update would be scaled by 1.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from studio.domain.adapter import AdapterMetadata, FileFormat
from studio.domain.base_model import FAMILIES, FAMILY, Family
from studio.engines.diffusion.adapters.keys import KeyPlace, Part, short_name, split_key
from studio.engines.diffusion.adapters.update import ModuleUpdate

if TYPE_CHECKING:
    from torch import Tensor

HASHES = {"modelspec.hash_sha256": "0x", "sshs_model_hash": ""}
"""Metadata that holds the hash of the weights -> what stands in front of it."""

_RESNET = {
    "norm1": "in_layers.0", "conv1": "in_layers.2", "time_emb_proj": "emb_layers.1", "norm2": "out_layers.0",
    "conv2": "out_layers.3", "conv_shortcut": "skip_connection",
}  # fmt: skip
_SINGLE = {
    "conv_in": "input_blocks.0.0", "conv_norm_out": "out.0", "conv_out": "out.2",
    "time_embedding.linear_1": "time_embed.0", "time_embedding.linear_2": "time_embed.2",
    "add_embedding.linear_1": "label_emb.0.0", "add_embedding.linear_2": "label_emb.0.2",
}  # fmt: skip
_UNET = "lora_unet_"
_PREFIXES: dict[str, Part] = {
    _UNET: "unet",
    "lycoris_": "unet",
    **{encoder.kohya_prefix: encoder.part for family in FAMILIES for encoder in family.text},
}
_COMFY_PREFIXES: dict[str, Part] = {
    "diffusion_model.": "unet",
    **{f"text_encoders.{e.comfy_name}.transformer.": e.part for family in FAMILIES for e in family.text},
    **{f"{e.comfy_name}.transformer.": e.part for family in FAMILIES for e in family.text},
    **{f"{e.comfy_name}.": e.part for family in FAMILIES for e in family.text},
}
"""As ComfyUI's own saver writes them: the same names, with dots."""


def place_of(key: str) -> KeyPlace | None:
    """Read one key; None when it is none of this layout."""
    cut = split_key(key)
    for prefix, part in _PREFIXES.items():
        if cut is not None and cut[0].startswith(prefix):
            return KeyPlace(part, cut[0].removeprefix(prefix), cut[1], "kohya", "kohya")
    for prefix, part in _COMFY_PREFIXES.items():
        if cut is not None and cut[0].startswith(prefix) and cut[1] not in ("weight", "bias"):
            return KeyPlace(part, cut[0].removeprefix(prefix).replace(".", "_"), cut[1], "kohya", "comfyui")
    return None


def layer_names(part: Part, modules: Iterable[str], unet: Mapping[str, Any]) -> dict[str, str]:
    """Return every name with underscores that means a layer: name -> layer.

    Args:
        modules: the part's layers with dots, text layers without `text_model.`.
        unet: its config.
    """
    return flat_names(part, modules, checkpoint_blocks(unet))


def written(
    updates: Iterable[ModuleUpdate],
    words: Mapping[str, Tensor],
    metadata: AdapterMetadata,
    format: FileFormat,
    unet: Mapping[str, Any],
) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Return keys and metadata of a file for these programs; learned words have no place in it."""
    short = [ModuleUpdate(u.part, short_name(u.part, u.module), u.tensors, u.alpha, u.rank_scaling) for u in updates]
    tensors = kohya_tensors(short, metadata.family, checkpoint_blocks(unet), half=format.half)
    return tensors, kohya_metadata(short, metadata)


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
    row = FAMILY[family]
    if part == "unet":
        prefix, named = _UNET, checkpoint_name(module, blocks) if row.kohya_blocks == "checkpoint" else module
    else:
        prefix = next(encoder.kohya_prefix for encoder in row.text if encoder.part == part)
        named = module if module == "text_projection" else f"text_model.{module}"
    return prefix + named.replace(".", "_")


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
            found[f"{name}.{endings.get(slot, slot)}"] = tensor.to(dtype)
        if update.alpha is not None or "down" in update.tensors:
            found[f"{name}.alpha"] = torch.tensor(_kohya_alpha(update), dtype=dtype)
    return found


def _kohya_alpha(update: ModuleUpdate) -> float:
    """Return the alpha with which alpha / rank is the update's true scale."""
    return update.scale * update.tensors["down"].shape[0] if "down" in update.tensors else float(update.alpha or 0.0)


def kohya_metadata(updates: Sequence[ModuleUpdate], metadata: AdapterMetadata) -> dict[str, str]:
    """Return what kohya's scripts write beside the weights, as far as it is known here."""
    thin = [u for u in updates if "down" in u.tensors and u.part == "unet"] or [
        u for u in updates if "down" in u.tensors
    ]
    ranks = Counter(int(u.tensors["down"].shape[0]) for u in thin)
    alphas = Counter(u.scale * u.tensors["down"].shape[0] for u in thin)
    lycoris = any(slot.startswith(("hada_", "lokr_")) for u in updates for slot in u.tensors)
    said = {
        "ss_network_module": "lycoris.kohya" if lycoris else "networks.lora",
        "ss_network_dim": str(ranks.most_common(1)[0][0]) if ranks else "",
        "ss_network_alpha": f"{alphas.most_common(1)[0][0]:g}" if alphas else "",
        "ss_base_model_version": FAMILY[metadata.family].kohya_version,
        "ss_v2": "False",
        "ss_output_name": metadata.title,
        "ss_sd_model_name": metadata.base_name,
        "ss_new_sd_model_hash": metadata.base_sha256,
        "ss_resolution": f"({metadata.resolution}, {metadata.resolution})" if metadata.resolution else "",
        "ss_training_comment": metadata.description,
    }
    return {key: value for key, value in said.items() if value} | metadata.model_spec()
