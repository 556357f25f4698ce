"""The networks of the embedded base, untrained, and how they are named in diffusers' layout."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

RESOLUTION = 128
"""Side of the base's pictures in pixels."""
LATENTS = 16
"""Latents a side of such a picture."""


@dataclass(frozen=True)
class BaseShape:
    """Widths of the networks; the defaults are the base that ships.

    Attributes:
        channels: of the UNet's levels, at 16, 8 and 4 latents a side.
        text_width: of the text encoder and of the cross attention.
        text_layers: of the text encoder.
    """

    channels: tuple[int, ...] = (64, 96, 128)
    text_width: int = 96
    text_layers: int = 2


def networks(shape: BaseShape, tokenizer: Any, latent_channels: int) -> tuple[Any, Any]:
    """Return the UNet and the text encoder, untrained.

    Args:
        latent_channels: of the autoencoder that the UNet draws for.
    """
    import diffusers
    from transformers import CLIPTextConfig, CLIPTextModel

    library: Any = diffusers
    levels = len(shape.channels)
    unet = library.UNet2DConditionModel(
        sample_size=LATENTS, in_channels=latent_channels, out_channels=latent_channels,
        block_out_channels=shape.channels, layers_per_block=1, cross_attention_dim=shape.text_width,
        attention_head_dim=4, norm_num_groups=8,
        down_block_types=("CrossAttnDownBlock2D",) * levels, up_block_types=("CrossAttnUpBlock2D",) * levels,
    )  # fmt: skip
    config = CLIPTextConfig(
        vocab_size=len(tokenizer), hidden_size=shape.text_width, intermediate_size=4 * shape.text_width,
        num_hidden_layers=shape.text_layers, num_attention_heads=4, projection_dim=shape.text_width,
        max_position_embeddings=tokenizer.model_max_length, bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id, pad_token_id=tokenizer.pad_token_id,
    )  # fmt: skip
    return unet, CLIPTextModel(config)


def scheduler() -> Any:
    """Return the noise schedule: velocities, no signal left at its end."""
    import diffusers

    library: Any = diffusers
    return library.DDPMScheduler(
        beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear", prediction_type="v_prediction",
        rescale_betas_zero_snr=True, timestep_spacing="trailing", steps_offset=1, clip_sample=False,
    )  # fmt: skip


def model_index() -> dict[str, Any]:
    """Return what model_index.json holds."""
    return {
        "_class_name": "StableDiffusionPipeline", "feature_extractor": [None, None], "image_encoder": [None, None],
        "requires_safety_checker": False, "safety_checker": [None, None],
        "scheduler": ["diffusers", "DDPMScheduler"], "text_encoder": ["transformers", "CLIPTextModel"],
        "tokenizer": ["transformers", "CLIPTokenizer"], "unet": ["diffusers", "UNet2DConditionModel"],
        "vae": [None, None],
    }  # fmt: skip
