"""From a prompt to pictures: the sampling loop, for new pictures and for changing old ones.

One loop serves text to image, image to image and inpainting, for latents of
any number of channels: the source is encoded once, and after each step what
the mask keeps is laid back at the noise level of that step. Sampler: DPM++ 2M.
Every picture has noise of its own, from its own seed, drawn on the CPU, so that
picture i of a batch is the picture that seed + i gives alone, on any device.
Adapters that are active on the base take part; nothing here knows of them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from studio.domain.picture_size import check_size
from studio.engines.base import Image, Matte
from studio.engines.diffusion import runtime
from studio.engines.diffusion.bases.prompts import PromptEmbeddings, added_conditions, chunk_count, encode_prompts
from studio.errors import EngineError, UserInputError

if TYPE_CHECKING:
    import torch

    from studio.engines.diffusion.bases.loading import LoadedBase

OnStep = Callable[[int, int, "Image | None"], None]
_PREVIEW_CELLS = 32
"""Latent cells of a preview's longer side: decoding them costs a fraction of one step."""
_PREVIEWS = 4
"""Previews per picture."""


def draw(
    loaded: LoadedBase,
    prompt: str,
    *,
    negative: str = "",
    seed: int,
    steps: int,
    guidance: float,
    width: int,
    height: int,
    count: int = 1,
    source: Image | None = None,
    mask: Matte | None = None,
    denoise: float = 1.0,
    on_step: OnStep | None = None,
    previews: bool = False,
    together: int = 1,
) -> list[Image]:
    """Draw pictures.

    Args:
        negative: what the picture should not show; has no effect at guidance 1.
        seed: of the first picture, >= 0; the i-th has seed + i.
        steps: of the sampler; with a source, the share `denoise` of them is made.
        guidance: how closely the prompt is followed; 1 follows it without emphasis, at half the time.
        width, height: pixels, multiples of 8.
        source: a picture to start from, cut to the size's shape.  # (H, W, 3)
        mask: 255 is drawn anew, 0 stays the source's own pixels; same cut as the source.  # (H, W)
        denoise: how much of the source may change, over 0 to 1; 1 starts from pure noise.
        on_step: called after each step with (step, of how many, preview or None); what it raises ends the drawing.
        previews: hand small pictures to `on_step` a few times per picture.
        together: pictures drawn in one batch. More is faster on a GPU; on a CPU one at a
            time costs little and makes every picture bit for bit the one its seed gives alone.

    Returns:
        `count` pictures.  # (height, width, 3) uint8 RGB

    Raises:
        UserInputError: sizes, steps, guidance or denoise that cannot be.
        EngineError: the result is not a number, or black.
        OutOfMemoryError: it does not fit.
    """
    import torch

    check_size(width, height)
    check_numbers(seed, steps, guidance, denoise, count, source, mask)
    runtime.prepare()
    origin = None if source is None else fit(source, width, height)
    area = None if mask is None else fit(mask, width, height)
    groups = [range(i, min(i + together, count)) for i in range(0, count, together)]
    hint = "Choose a smaller size, or fewer pictures at a time."
    with torch.inference_mode(), runtime.memory_guard(f"Drawing {width} x {height} pixels", hint):
        words = conditioning(loaded, prompt, negative, guidance, width, height)
        known = None if origin is None else encode_picture(loaded, origin)
        pictures: list[Image] = []
        for number, group in enumerate(groups):
            noise = torch.cat([noise_of(loaded, seed + i, width, height) for i in group])
            loop = _Loop(loaded, words, guidance, steps, denoise if origin is not None else 1.0)
            tell = _Teller(loaded, on_step, number, len(groups), previews)
            latents = loop.run(noise.to(loaded.device), known, _latent_mask(loaded, area), tell)
            pictures += [decode_latents(loaded, latent[None])[0] for latent in latents]
    for picture in pictures:
        if not picture.any():
            raise EngineError("The picture came out black.", "Use fp32 precision, or lower the adapters' strengths.")
    if origin is not None and area is not None:
        pictures = [_laid_over(picture, origin, area) for picture in pictures]
    return pictures


class _Loop:
    """The sampler's loop for one batch."""

    def __init__(self, loaded: LoadedBase, words: Conditioning, guidance: float, steps: int, denoise: float) -> None:
        from diffusers import DPMSolverMultistepScheduler

        self._loaded = loaded
        self._words = words
        self._guidance = guidance
        sampler: Any = DPMSolverMultistepScheduler
        self._scheduler: Any = sampler.from_config(loaded.sampler_config)
        self._scheduler.set_timesteps(steps, device=loaded.device)
        self._begin = steps - max(1, round(steps * denoise))
        self._scheduler.set_begin_index(self._begin)

    def run(
        self, noise: torch.Tensor, known: torch.Tensor | None, mask: torch.Tensor | None, tell: _Teller
    ) -> torch.Tensor:
        """Return clean latents.  # (B, C, h, w) float32

        Args:
            noise: unit noise.  # (B, C, h, w)
            known: the source's latents; None starts from noise alone.  # (1, C, h, w)
            mask: 1 = new.  # (1, 1, h, w)
        """
        scheduler = self._scheduler
        times = scheduler.timesteps[self._begin :]
        latents: torch.Tensor = noise * scheduler.init_noise_sigma
        if known is not None:
            noised = scheduler.add_noise(known.expand_as(noise), noise, times[:1].expand(len(noise)))
            if self._begin > 0:
                latents = noised
            elif mask is not None:  # everything under the mask from pure noise
                latents = mask * latents + (1 - mask) * noised
        for index, time in enumerate(times):
            latents = scheduler.step(self._predict(latents, time), time, latents, return_dict=False)[0]
            if known is not None and mask is not None:
                # The scheduler has moved on: this is the noise level of what it will read next.
                kept = scheduler.add_noise(known.expand_as(noise), noise, times[:1].expand(len(noise)))
                latents = mask * latents + (1 - mask) * kept
            tell.step(index + 1, len(times), scheduler.model_outputs[-1])
        return latents

    def _predict(self, latents: torch.Tensor, time: torch.Tensor) -> torch.Tensor:
        """Return the UNet's prediction, guided."""
        import torch

        guided = self._guidance != 1.0
        batch = len(latents)
        words = self._words
        rows = [0] * batch + [1] * batch if guided else [1] * batch
        given = self._scheduler.scale_model_input(torch.cat([latents] * 2) if guided else latents, time)
        pooled = None if words.pooled is None else words.pooled[rows]
        out: torch.Tensor = self._loaded.unet(
            given.to(self._loaded.dtype),
            time,
            encoder_hidden_states=words.hidden[rows],
            added_cond_kwargs=added_conditions(self._loaded, pooled, words.width, words.height),
            return_dict=False,
        )[0].float()
        if not guided:
            return out
        without, with_prompt = out.chunk(2)
        return torch.lerp(without, with_prompt, self._guidance)


class Conditioning:
    """Negative prompt (row 0) and prompt (row 1) as the UNet takes them."""

    def __init__(self, encoded: PromptEmbeddings, width: int, height: int) -> None:
        self.hidden = encoded.hidden
        self.pooled = encoded.pooled
        self.width, self.height = width, height


def conditioning(
    loaded: LoadedBase, prompt: str, negative: str, guidance: float, width: int, height: int
) -> Conditioning:
    """Encode both prompts to the same length."""
    guided = guidance != 1.0
    chunks = max(chunk_count(loaded, text) for text in ((negative, prompt) if guided else (prompt,)))
    encoded = encode_prompts(loaded, [negative if guided else "", prompt], chunks=chunks)
    if guided and not negative and loaded.zero_empty_prompt:
        encoded.hidden[0] = 0
        if encoded.pooled is not None:
            encoded.pooled[0] = 0
    return Conditioning(encoded, width, height)


class _Teller:
    """Counts steps over all batches and draws previews."""

    def __init__(self, loaded: LoadedBase, on_step: OnStep | None, batch: int, batches: int, previews: bool) -> None:
        self._loaded = loaded
        self._on_step = on_step
        self._batch = batch
        self._batches = batches
        self._previews = previews

    def step(self, step: int, steps: int, expected: torch.Tensor) -> None:
        """Say that a step is done; `expected` is the picture as the model sees it now."""
        if self._on_step is None:
            return
        every = max(1, steps // (_PREVIEWS + 1))
        wanted = self._previews and step % every == 0 and step < steps
        preview = _preview(self._loaded, expected[:1]) if wanted else None
        self._on_step(self._batch * steps + step, self._batches * steps, preview)


def _preview(loaded: LoadedBase, latents: torch.Tensor) -> Image | None:
    """Decode a reduced copy; None while it is not a number yet."""
    import torch

    if not bool(torch.isfinite(latents).all()):
        return None
    longer = max(latents.shape[-2:])
    if longer > _PREVIEW_CELLS:
        size = [max(1, round(side * _PREVIEW_CELLS / longer)) for side in latents.shape[-2:]]
        latents = torch.nn.functional.interpolate(latents, size, mode="area")
    return decode_latents(loaded, latents)[0]


# -- between pictures and latents -------------------------------------------------------


def encode_picture(loaded: LoadedBase, image: Image) -> torch.Tensor:
    """Return a picture's latents, without the autoencoder's noise.  # (1, C, h, w) float32, scaled"""
    import torch

    pixels = torch.from_numpy(np.array(image)).to(loaded.device, torch.float32)
    given = pixels.permute(2, 0, 1)[None] / 127.5 - 1.0
    config = loaded.vae.config
    latents: torch.Tensor = loaded.vae.encode(given).latent_dist.mode()
    return (latents - (getattr(config, "shift_factor", None) or 0.0)) * float(config.scaling_factor)


def decode_latents(loaded: LoadedBase, latents: torch.Tensor) -> list[Image]:
    """Return the pictures of latents.

    Args:
        latents: scaled.  # (B, C, h, w)

    Raises:
        EngineError: they are not numbers.
    """
    import torch

    config = loaded.vae.config
    given = latents.float() / config.scaling_factor + (getattr(config, "shift_factor", None) or 0.0)
    out = loaded.vae.decode(given).sample
    if not bool(torch.isfinite(out).all()):
        raise EngineError(
            "The picture came out as not-a-number.", "Use fp32 precision, or lower the adapters' strengths."
        )
    pixels = ((out.clamp(-1, 1) + 1) * 127.5).round().to(torch.uint8)
    return list(pixels.permute(0, 2, 3, 1).cpu().numpy())


def noise_of(loaded: LoadedBase, seed: int, width: int, height: int) -> torch.Tensor:
    """Return the noise that a seed means, the same on every device.  # (1, C, h, w) float32"""
    import torch

    factor = loaded.latent_factor
    shape = (1, loaded.latent_channels, height // factor, width // factor)
    return torch.randn(shape, generator=torch.Generator("cpu").manual_seed(seed))


def _latent_mask(loaded: LoadedBase, mask: Matte | None) -> torch.Tensor | None:
    """Return the mask at the latents' size.  # (1, 1, h, w) in 0..1"""
    import torch

    if mask is None:
        return None
    whole = torch.from_numpy(np.array(mask)).to(loaded.device, torch.float32)[None, None] / 255.0
    # The largest value in each cell: a cell that is drawn anew in part must be free as a whole.
    return torch.nn.functional.max_pool2d(whole, loaded.latent_factor)


def fit(picture: Image | Matte, width: int, height: int) -> Image:
    """Cut a picture or mask to a shape around its center and bring it to that size.  # (H, W) or (H, W, 3)"""
    from PIL import Image as PillowImage

    here_height, here_width = picture.shape[:2]
    if (here_width, here_height) == (width, height):
        return picture
    scale = min(here_width / width, here_height / height)
    left, top = (here_width - width * scale) / 2, (here_height - height * scale) / 2
    box = (left, top, left + width * scale, top + height * scale)
    resized = PillowImage.fromarray(picture).resize((width, height), PillowImage.Resampling.LANCZOS, box=box)
    return np.array(resized, np.uint8)


def _laid_over(picture: Image, origin: Image, mask: Matte) -> Image:
    """Return the new picture where the mask is 255, the source's own pixels where it is 0."""
    weight = mask[:, :, None].astype(np.float32) / 255.0
    blend: Image = np.rint(picture * weight + origin * (1.0 - weight)).astype(np.uint8)
    return blend


def check_numbers(
    seed: int, steps: int, guidance: float, denoise: float, count: int, source: Image | None, mask: Matte | None
) -> None:
    """Refuse numbers that cannot be.

    Raises:
        UserInputError: one sentence for the first of them.
    """
    if not 0 <= seed < 2**63 - count:
        raise UserInputError(f"The seed {seed} cannot be used.", "Seeds go from 0 to 9223372036854775807.")
    if not 1 <= steps <= 150:
        raise UserInputError(f"{steps} steps cannot be made.", "Steps go from 1 to 150; 20 to 30 are usual.")
    if not 1.0 <= guidance <= 30.0:
        raise UserInputError(f"Guidance cannot be {guidance:g}.", "It goes from 1 to 30; 3 to 8 are usual.")
    if not 0.0 < denoise <= 1.0:
        raise UserInputError(f"Denoise cannot be {denoise:g}.", "It goes from over 0 (keep all) to 1 (keep nothing).")
    if count < 1:
        raise UserInputError(f"{count} pictures cannot be made.", "Ask for at least one.")
    if mask is not None and source is None:
        raise UserInputError("A mask needs a picture to start from.", "Choose the picture, or leave the mask out.")
    if mask is not None and source is not None and mask.shape != source.shape[:2]:
        raise UserInputError(
            f"The mask is {mask.shape[1]} x {mask.shape[0]}, the picture {source.shape[1]} x {source.shape[0]}.",
            "Give a mask of the picture's own size.",
        )
