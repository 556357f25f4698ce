"""Random base models of every family in the layout of diffusers, small enough to be written in a moment.

Their pictures are noise; everything that does not depend on what a model has
learned (shapes, files, adapters, resume, sampling) can be tested on them.
"""

from __future__ import annotations

import json
from pathlib import Path

from studio.domain.base_model import FAMILY, BaseLocation, Family
from studio.engines.diffusion import runtime
from studio.engines.diffusion.bases.inspecting import RECORD, inspect_base
from studio.engines.diffusion.bases.single_file import CONFIGS

WORDS = (
    "a photo of sks person man woman face portrait smiling neutral angry sad surprised young old blond dark brown red",
    "green blue hair eyes skin glasses beard long short background white gray looking left right up down with and the",
)
_TEXT_WIDTH = 32
"""Of the first text encoder; the second is twice as wide, and so on."""
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


def tiny_text_width(family: Family) -> int:
    """Return how wide the words of a random base are."""
    return sum(_TEXT_WIDTH * (number + 1) for number in range(len(FAMILY[family].text)))


def write_tiny_base(folder: Path, family: Family = "sd15", *, seed: int = 0, v_prediction: bool = False) -> Path:
    """Write a random base model of a family (64 px, factor 4), of the real kinds of blocks, and return its folder."""
    runtime.prepare()
    import torch
    import transformers
    from diffusers import AutoencoderKL, UNet2DConditionModel

    row = FAMILY[family]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        for number, text in enumerate(row.text):
            size = write_tokenizer(folder / text.tokenizer)
            width = _TEXT_WIDTH * (number + 1)
            config = transformers.CLIPTextConfig(
                vocab_size=size, hidden_size=width, intermediate_size=2 * width, num_hidden_layers=2,
                num_attention_heads=4, max_position_embeddings=77, projection_dim=32, bos_token_id=size - 2,
                eos_token_id=size - 1, pad_token_id=size - 1, hidden_act=_bundled(family, text.part)["hidden_act"],
            )  # fmt: skip
            getattr(transformers, text.model)(config).save_pretrained(folder / text.part)
        UNet2DConditionModel(**_small_unet(family)).save_pretrained(folder / "unet")
        AutoencoderKL(
            in_channels=3, out_channels=3, latent_channels=row.latent_channels, block_out_channels=(8, 16, 16),
            norm_num_groups=8, down_block_types=("DownEncoderBlock2D",) * 3, up_block_types=("UpDecoderBlock2D",) * 3,
            layers_per_block=1, sample_size=64,
        ).save_pretrained(folder / "vae")  # fmt: skip
    schedule = {
        "_class_name": "DDPMScheduler", "beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear",
        "num_train_timesteps": 1000, "prediction_type": "v_prediction" if v_prediction else "epsilon",
        "rescale_betas_zero_snr": v_prediction, "steps_offset": 1, "clip_sample": False,
    }  # fmt: skip
    _write(folder / "scheduler" / "scheduler_config.json", schedule)
    index: dict[str, object] = {"_class_name": row.pipeline}
    if row.zero_empty_prompt:
        index["force_zeros_for_empty_prompt"] = True
    _write(folder / "model_index.json", index)
    _write(folder / RECORD, {"family": family})
    return folder


def _small_unet(family: Family) -> dict[str, object]:
    """Return a UNet's config: the first and the last block of the real one, and what it is told besides words."""
    real, row = _bundled(family, "unet"), FAMILY[family]
    kinds = real["down_block_types"]
    down, layers = (kinds[0], kinds[-1]), real.get("transformer_layers_per_block", 1)
    small: dict[str, object] = {
        "sample_size": 16, "in_channels": row.latent_channels, "out_channels": row.latent_channels,
        "block_out_channels": (32, 64), "layers_per_block": 1, "down_block_types": down,
        "up_block_types": tuple(name.replace("Down", "Up") for name in reversed(down)),
        "cross_attention_dim": tiny_text_width(family), "attention_head_dim": 4, "norm_num_groups": 8,
        "transformer_layers_per_block": layers if isinstance(layers, int) else tuple(layers[:2]),
        "use_linear_projection": real.get("use_linear_projection", False),
    }  # fmt: skip
    if row.added == "text_time":
        # 32 of the pooled prompt and six numbers of size as 8 sines each.
        small |= {
            "addition_embed_type": "text_time",
            "addition_time_embed_dim": 8,
            "projection_class_embeddings_input_dim": 32 + 6 * 8,
        }
    return small


def _bundled(family: Family, part: str) -> dict:
    return json.loads((CONFIGS / family / part / "config.json").read_text(encoding="utf-8"))


def tiny_location(folder: Path, family: Family = "sd15", **options: object) -> BaseLocation:
    """Write a random base model and return its location."""
    return inspect_base(write_tiny_base(folder, family, **options), name=f"tiny-{family}")  # type: ignore[arg-type]


def _write(path: Path, value: object) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value), encoding="utf-8")
