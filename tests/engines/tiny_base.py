"""Random base models in the layout of diffusers, small enough to be written in a moment.

Their pictures are noise; everything that does not depend on what a model has
learned (shapes, files, adapters, resume, sampling) can be tested on them.
"""

from __future__ import annotations

import json
from pathlib import Path

from studio.domain.base_model import BaseLocation, Family
from studio.engines.diffusion import runtime
from studio.engines.diffusion.bases.loading import inspect_base

WORDS = (
    "a photo of sks person man woman face portrait smiling neutral angry sad surprised young old blond dark brown red",
    "green blue hair eyes skin glasses beard long short background white gray looking left right up down with and the",
)
LATENT_CHANNELS = {"sd15": 4, "sdxl": 4}
RESOLUTION = 64


def write_tokenizer(folder: Path, *, length: int = 77) -> int:
    """Write a CLIP tokenizer to which WORDS are one token each and everything else characters; return its size."""
    from tokenizers.pre_tokenizers import ByteLevel
    from transformers import CLIPTokenizer

    letters = sorted(ByteLevel.alphabet())
    vocabulary = dict.fromkeys([*letters, *(c + "</w>" for c in letters)])
    merges: dict[tuple[str, str], None] = {}
    for word in " ".join(WORDS).split():
        parts = [*word[:-1], word[-1] + "</w>"]
        while len(parts) > 1:
            merges[(parts[0], parts[1])] = None
            parts = [parts[0] + parts[1], *parts[2:]]
            vocabulary[parts[0]] = None
    vocabulary |= dict.fromkeys(("<|startoftext|>", "<|endoftext|>"))
    numbered = {token: number for number, token in enumerate(vocabulary)}
    CLIPTokenizer(vocab=numbered, merges=list(merges), model_max_length=length).save_pretrained(folder)
    return len(numbered)


def write_tiny_base(folder: Path, family: Family = "sd15", *, seed: int = 0, v_prediction: bool = False) -> Path:
    """Write a random base model of a family (64 px, 4 latent channels, factor 4) and return its folder."""
    runtime.prepare()
    import torch
    from diffusers import AutoencoderKL, UNet2DConditionModel
    from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection

    xl = family == "sdxl"
    size = write_tokenizer(folder / "tokenizer")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        text = CLIPTextConfig(
            vocab_size=size, hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=4,
            max_position_embeddings=77, projection_dim=32, bos_token_id=size - 2, eos_token_id=size - 1,
            pad_token_id=size - 1,
        )  # fmt: skip
        CLIPTextModel(text).save_pretrained(folder / "text_encoder")
        extra = {}
        if xl:
            write_tokenizer(folder / "tokenizer_2")
            wide = CLIPTextConfig(
                **text.to_dict() | {"hidden_size": 64, "intermediate_size": 128, "hidden_act": "gelu"}
            )
            CLIPTextModelWithProjection(wide).save_pretrained(folder / "text_encoder_2")
            # 32 of the pooled prompt and six numbers of size as 8 sines each.
            extra = {
                "addition_embed_type": "text_time",
                "addition_time_embed_dim": 8,
                "projection_class_embeddings_input_dim": 32 + 6 * 8,
                "transformer_layers_per_block": (1, 2),
                "use_linear_projection": True,
            }
        down = ("DownBlock2D", "CrossAttnDownBlock2D") if xl else ("CrossAttnDownBlock2D", "DownBlock2D")
        UNet2DConditionModel(
            sample_size=16, in_channels=4, out_channels=4, block_out_channels=(32, 64), layers_per_block=1,
            down_block_types=down, up_block_types=tuple(name.replace("Down", "Up") for name in reversed(down)),
            cross_attention_dim=96 if xl else 32, attention_head_dim=4, norm_num_groups=8, **extra,
        ).save_pretrained(folder / "unet")  # fmt: skip
        AutoencoderKL(
            in_channels=3, out_channels=3, latent_channels=4, block_out_channels=(8, 16, 16), norm_num_groups=8,
            down_block_types=("DownEncoderBlock2D",) * 3, up_block_types=("UpDecoderBlock2D",) * 3,
            layers_per_block=1, sample_size=64,
        ).save_pretrained(folder / "vae")  # fmt: skip
    schedule = {
        "_class_name": "DDPMScheduler", "beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear",
        "num_train_timesteps": 1000, "prediction_type": "v_prediction" if v_prediction else "epsilon",
        "rescale_betas_zero_snr": v_prediction, "steps_offset": 1, "clip_sample": False,
    }  # fmt: skip
    _write(folder / "scheduler" / "scheduler_config.json", schedule)
    pipeline = "StableDiffusionXLPipeline" if xl else "StableDiffusionPipeline"
    index: dict[str, object] = {"_class_name": pipeline}
    if xl:
        index["force_zeros_for_empty_prompt"] = True
    _write(folder / "model_index.json", index)
    return folder


def tiny_location(folder: Path, family: Family = "sd15", **options: object) -> BaseLocation:
    """Write a random base model and return its location."""
    return inspect_base(write_tiny_base(folder, family, **options), name=f"tiny-{family}")  # type: ignore[arg-type]


def _write(path: Path, value: object) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value), encoding="utf-8")
