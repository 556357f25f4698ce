"""Opens the embedded base: the preview model of rendered faces that ships with the studio.

The folder has diffusers' layout and no custom code: the autoencoder is diffusers'
AutoencoderDC, wrapped and handed over as `vae=`. Weights rest in half precision and are computed with in
full precision, since a processor gains nothing from half.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from studio.errors import EngineUnavailableError

STEPS = 10
"""Steps that are enough for a preview with DPM-Solver++."""
GUIDANCE = 2.0


def load_embedded(folder: Path) -> dict[str, Any]:
    """Return the components of the embedded base, in full precision, frozen.

    Args:
        folder: assets/base, or another folder that `export_base` wrote.

    Returns:
        The keyword arguments of StableDiffusionPipeline: unet, text_encoder, tokenizer, vae, scheduler
        (DDPMScheduler, as trained), safety_checker and feature_extractor (None), requires_safety_checker.

    Raises:
        EngineUnavailableError: the folder is missing or incomplete.
    """
    import diffusers
    import torch
    import transformers

    from studio.engines.diffusion.bases.autoencoder import autoencoder_class

    library: Any = diffusers
    encoders: Any = transformers
    if not (folder / "model_index.json").is_file():
        raise EngineUnavailableError(
            "The embedded base model is missing.", "Make it with `python -m studio base build`."
        )
    local = {"local_files_only": True}
    try:
        vae = json.loads((folder / "vae" / "config.json").read_text(encoding="utf-8"))
        parts: dict[str, Any] = {
            "unet": library.UNet2DConditionModel.from_pretrained(folder / "unet", torch_dtype=torch.float32, **local),
            "text_encoder": encoders.CLIPTextModel.from_pretrained(
                folder / "text_encoder", dtype=torch.float32, **local
            ),
            "tokenizer": encoders.CLIPTokenizer.from_pretrained(folder / "tokenizer", **local),
            "vae": autoencoder_class(vae).from_pretrained(folder / "vae", torch_dtype=torch.float32, **local),
            "scheduler": library.DDPMScheduler.from_pretrained(folder / "scheduler", **local),
        }
    except (OSError, ValueError, RuntimeError) as exc:
        raise EngineUnavailableError(
            "The embedded base model cannot be read.", f"Make it again with `python -m studio base build` ({exc})."
        ) from exc
    for name in ("unet", "text_encoder", "vae"):
        parts[name].eval().requires_grad_(False)
    return {**parts, "safety_checker": None, "feature_extractor": None, "requires_safety_checker": False}


def embedded_pipeline(folder: Path) -> Any:
    """Return a StableDiffusionPipeline with a fast sampler and no progress bar.

    Raises:
        EngineUnavailableError: as `load_embedded`.
    """
    import diffusers

    library: Any = diffusers
    parts = load_embedded(folder)
    pipeline = library.StableDiffusionPipeline(**{**parts, "scheduler": fast_sampler(parts["scheduler"])})
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


def fast_sampler(scheduler: Any) -> Any:
    """Return DPM-Solver++ (2M) for the noise schedule of another scheduler."""
    import diffusers

    library: Any = diffusers
    return library.DPMSolverMultistepScheduler.from_config(
        scheduler.config, steps_offset=1, timestep_spacing="trailing", algorithm_type="dpmsolver++"
    )


def sample_pictures(
    pipeline: Any, prompts: Sequence[str], seeds: Sequence[int], steps: int = STEPS, guidance: float = GUIDANCE,
    size: int | None = None,
) -> NDArray[np.uint8]:  # fmt: skip
    """Draw one picture per prompt and seed; the same seed draws the same picture in any batch.

    Args:
        pipeline: from `embedded_pipeline`.
        prompts: (N,)
        seeds: of the starting noise.  # (N,)
        steps: of the sampler.
        guidance: how strongly the prompt counts; 1 is not at all beyond the condition.
        size: side in pixels; None is what the base was made for.

    Returns:
        (N, size, size, 3)
    """
    import torch

    generators = [torch.Generator().manual_seed(s) for s in seeds]
    with torch.inference_mode():
        out = pipeline(
            list(prompts), num_inference_steps=steps, guidance_scale=guidance, generator=generators, height=size,
            width=size, output_type="np",
        )  # fmt: skip
    return np.asarray(np.clip(out.images, 0, 1) * 255 + 0.5, np.uint8)
