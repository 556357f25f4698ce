"""Writes a base model's folder as one file in the original Stable Diffusion layout, for tests.

The names are the other way round from what diffusers' converters, which read
such files, do. Those of the UNet are the studio's own (`kohya`), so that two
tables of different people are compared; those of the autoencoder and of the
text encoders are written down here.
"""

from __future__ import annotations

import json
import re
from pathlib import Path

from studio.engines.diffusion.adapters.kohya import checkpoint_blocks, checkpoint_name

_VAE_ATTENTION = {"group_norm": "norm", "to_q": "q", "to_k": "k", "to_v": "v", "to_out.0": "proj_out"}


def vae_name(name: str, blocks: int) -> str:
    """Return the original name of an autoencoder's tensor."""
    name = name.replace("conv_norm_out", "norm_out").replace("conv_shortcut", "nin_shortcut")
    name = re.sub(r"mid_block\.resnets\.(\d)", lambda m: f"mid.block_{int(m[1]) + 1}", name)
    if "mid_block.attentions.0." in name:
        head, tail = name.split("mid_block.attentions.0.")
        module, _, leaf = tail.rpartition(".")
        return f"{head}mid.attn_1.{_VAE_ATTENTION[module]}.{leaf}"
    name = re.sub(r"down_blocks\.(\d)\.resnets", r"down.\1.block", name)
    name = re.sub(r"down_blocks\.(\d)\.downsamplers\.0", r"down.\1.downsample", name)
    name = re.sub(r"up_blocks\.(\d)\.resnets", lambda m: f"up.{blocks - 1 - int(m[1])}.block", name)
    return re.sub(r"up_blocks\.(\d)\.upsamplers\.0", lambda m: f"up.{blocks - 1 - int(m[1])}.upsample", name)


def write_single_file(folder: Path, path: Path) -> Path:
    """Write the weights of a diffusers folder as one file."""
    import torch
    from safetensors.torch import load_file, save_file

    def read(part: str) -> tuple[dict[str, torch.Tensor], dict[str, object]]:
        file = next((folder / part).glob("*.safetensors"))
        return load_file(file), json.loads((folder / part / "config.json").read_text())

    out: dict[str, torch.Tensor] = {}
    tensors, config = read("unet")
    unet = checkpoint_blocks(config)
    for name, tensor in tensors.items():
        out["model.diffusion_model." + checkpoint_name(name, unet)] = tensor
    tensors, config = read("vae")
    for name, tensor in tensors.items():
        conv = ".attentions." in name and tensor.ndim == 2
        blocks = len(list(config["block_out_channels"]))  # type: ignore[call-overload]
        out["first_stage_model." + vae_name(name, blocks)] = tensor[:, :, None, None] if conv else tensor
    xl = (folder / "text_encoder_2").is_dir()
    prefix = "conditioner.embedders.0.transformer." if xl else "cond_stage_model.transformer."
    for name, tensor in read("text_encoder")[0].items():
        out[f"{prefix}text_model.{name.removeprefix('text_model.')}"] = tensor
    if xl:
        out |= _open_clip({n.removeprefix("text_model."): t for n, t in read("text_encoder_2")[0].items()})
    save_file({name: tensor.contiguous() for name, tensor in out.items()}, path)
    return path


def _open_clip(tensors: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:  # type: ignore[name-defined]  # noqa: F821
    """Return the second text encoder in the names of OpenCLIP: q, k and v as one matrix."""
    import torch

    plain = {
        "embeddings.token_embedding.weight": "token_embedding.weight",
        "embeddings.position_embedding.weight": "positional_embedding",
        "final_layer_norm.weight": "ln_final.weight",
        "final_layer_norm.bias": "ln_final.bias",
    }
    inner = {"layer_norm1": "ln_1", "layer_norm2": "ln_2", "mlp.fc1": "mlp.c_fc", "mlp.fc2": "mlp.c_proj"}
    out = {}
    for name, tensor in tensors.items():
        if name in plain:
            out[plain[name]] = tensor
        elif name == "text_projection.weight":
            out["text_projection"] = tensor.T
        elif found := re.match(r"encoder\.layers\.(\d+)\.(.*)\.(weight|bias)$", name):
            number, module, leaf = found.groups()
            block = f"transformer.resblocks.{number}"
            if module == "self_attn.q_proj":
                whole = [tensors[name.replace("q_proj", f"{x}_proj")] for x in "qkv"]
                out[f"{block}.attn.in_proj_{leaf}"] = torch.cat(whole)
            elif module == "self_attn.out_proj":
                out[f"{block}.attn.out_proj.{leaf}"] = tensor
            elif module in inner:
                out[f"{block}.{inner[module]}.{leaf}"] = tensor
    return {f"conditioner.embedders.1.model.{name}": tensor for name, tensor in out.items()}
