"""Whether two ways of wearing an adapter draw the same picture: one fixed seed, before and after.

The picture is drawn small, with few steps and without guidance, and is
compared before it is rounded to 256 levels, so that a rounding error of a file
shows long before an eye could see it. How much a format may differ is said by
whoever compares.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from studio.engines.diffusion import runtime
from studio.errors import EngineError

if TYPE_CHECKING:
    from torch import Tensor

    from studio.engines.diffusion.bases.loading import LoadedBase

SEED = 20240817
STEPS = 4
LARGEST_SIDE = 256
"""Pixels: differences between files do not depend on the size, the time to find them does."""


def draw_probe(loaded: LoadedBase, prompt: str, *, seed: int = SEED, steps: int = STEPS) -> Tensor:
    """Draw one small picture without rounding it.

    Returns:
        0..1.  # (3, H, W) float32, on the CPU

    Raises:
        EngineError: the picture is not a number.
    """
    import torch
    from diffusers import DDIMScheduler

    from studio.engines.diffusion.bases.prompts import encode_prompts

    runtime.prepare()
    side = min(loaded.location.resolution, LARGEST_SIDE)
    cells = side // loaded.latent_factor
    noise = torch.randn((1, loaded.latent_channels, cells, cells), generator=torch.Generator().manual_seed(seed))
    sampler: Any = DDIMScheduler
    scheduler = sampler.from_config({**loaded.sampler_config, "clip_sample": False, "set_alpha_to_one": False})
    scheduler.set_timesteps(steps, device=loaded.device)
    hint = "Close other programs and try again."
    with torch.inference_mode(), runtime.memory_guard("Checking the adapter", hint):
        words = encode_prompts(loaded, [prompt])
        added = None
        if words.pooled is not None:
            sizes = torch.tensor([[side, side, 0, 0, side, side]], device=loaded.device, dtype=loaded.dtype)
            added = {"text_embeds": words.pooled, "time_ids": sizes}
        latents = noise.to(loaded.device)
        for time in scheduler.timesteps:
            predicted = loaded.unet(
                latents.to(loaded.dtype),
                time,
                encoder_hidden_states=words.hidden,
                added_cond_kwargs=added,
                return_dict=False,
            )[0]
            latents = scheduler.step(predicted.float(), time, latents, return_dict=False)[0]
        config = loaded.vae.config
        given = latents / config.scaling_factor + (getattr(config, "shift_factor", None) or 0.0)
        picture: Tensor = (loaded.vae.decode(given).sample[0].float().cpu().clamp(-1, 1) + 1) / 2
    if not bool(torch.isfinite(picture).all()):
        raise EngineError(
            "With this adapter the picture came out as not-a-number.", "Use fp32 precision, or another checkpoint."
        )
    return picture


def largest_difference(one: Tensor, other: Tensor) -> float:
    """Return the largest difference of two pictures, 0..1."""
    return float((one - other).abs().max())
