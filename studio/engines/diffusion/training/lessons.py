"""What training sees: latents of photos and class pictures, their weights and words, in micro-batches.

Everything that stays the same through a run is computed once: latents, masks
at the latents' size, and the embeddings of prompts where the text encoder
learns nothing. Class pictures (what the base makes of "a photo of a person")
are drawn once into the run's folder and hold the base in place. The order of
photos is a list of what is still to come, so that a checkpoint can keep it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from studio.domain.training import TrainingPlan
from studio.engines.base import Image
from studio.engines.base_diffusion import TrainingEvents, TrainingExample
from studio.engines.diffusion.bases.prompts import added_conditions, chunk_count, encode_prompts
from studio.engines.diffusion.drawing.sampling import draw, encode_picture, fit
from studio.engines.media.atomic import atomic_file
from studio.errors import UnreadableMediaError

if TYPE_CHECKING:
    from studio.engines.diffusion.bases.loading import LoadedBase

CLASS_SEED = 1_000_003
"""Seed of the first class picture; far from the seeds that people choose for samples."""
CLASS_STEPS = 20
_ENCODED_TOGETHER = 16


@dataclass(frozen=True)
class Batch:
    """One micro-batch: photos first, class pictures after.

    Attributes:
        latents: (B, C, h, w) float32, scaled.
        weights: of latent cells.  # (B, 1, h, w)
        shares: of each picture in the loss: photos sum to 1, class pictures to the prior's weight.  # (B,)
        prompts: row of the table of prompts, by picture.
    """

    latents: torch.Tensor
    weights: torch.Tensor
    shares: torch.Tensor
    prompts: list[int]


def prior_prompt(plan: TrainingPlan, number: int) -> str:
    """Return the prompt of a class picture: the plan's prompts take turns."""
    prompts = plan.prior_prompts
    return prompts[number % len(prompts)].replace("{class}", plan.class_word)


def short_caption(caption: str) -> str:
    """Return a caption's beginning, which names the person and nothing else: what stands before the first comma."""
    return caption.partition(",")[0].strip()


def class_pictures(base: LoadedBase, plan: TrainingPlan, folder: Path, events: TrainingEvents) -> list[Image] | None:
    """Draw the class pictures that are not in the folder yet, and return all.

    Args:
        base: without any adapter.

    Returns:
        None when the person stopped meanwhile; what is drawn stays for the next time.

    Raises:
        UnreadableMediaError: a picture in the folder is damaged.
        StoreError: the disk refused.
    """
    from PIL import Image as PillowImage

    if plan.prior_weight == 0.0:
        return []
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / f"{number:04d}.png" for number in range(plan.prior_pictures)]
    if any(not path.exists() for path in paths):
        of = " and such" if len(plan.prior_prompts) > 1 else ""
        what = f"“{prior_prompt(plan, 0)}”{of}"
        events.note(f"Drawing {plan.prior_pictures} pictures of {what} to keep the base in place.")
    for number, path in enumerate(paths):
        if path.exists():
            continue
        if events.should_stop():
            return None
        side = plan.resolution
        picture = draw(
            base,
            prior_prompt(plan, number),
            seed=CLASS_SEED + number,
            steps=CLASS_STEPS,
            guidance=plan.guidance,
            width=side,
            height=side,
        )[0]
        with atomic_file(path) as part:
            PillowImage.fromarray(picture).save(part, format="PNG")
    try:
        return [np.array(PillowImage.open(path, formats=["PNG"]).convert("RGB")) for path in paths]
    except OSError as exc:
        raise UnreadableMediaError(
            "A class picture of the run is damaged.", "Delete the run's class folder; it is drawn again."
        ) from exc


class Lessons:
    """All pictures and prompts of a run, ready to be drawn from.

    Args:
        prior: class pictures; empty without prior preservation.
        text_learns: embeddings of prompts change while training and cannot be kept.

    Attributes:
        prompts: the table that batches point into; its first row is the empty prompt.
    """

    def __init__(
        self,
        base: LoadedBase,
        plan: TrainingPlan,
        examples: Sequence[TrainingExample],
        prior: Sequence[Image],
        *,
        text_learns: bool,
    ) -> None:
        self._base, self._plan = base, plan
        examples = sorted(examples, key=lambda e: e.drawn)  # photos first, then what was drawn of them
        self._photos = sum(not e.drawn for e in examples)
        self._drawn = len(examples) - self._photos
        self._pictures = [fit(e.image, plan.resolution, plan.resolution) for e in examples] + list(prior)
        weights = [_cell_weights(e.mask, base, plan) for e in examples] + [_cell_weights(None, base, plan)] * len(prior)
        self._weights = torch.stack(weights).to(base.device)  # (N, 1, h, w)
        self._latents = [self._encode(p) for p in self._pictures] if plan.cache else []
        self._flipped = [self._encode(p[:, ::-1]) for p in self._pictures] if plan.cache and plan.flip else []
        texts = ["", *(e.caption for e in examples), *(short_caption(e.caption) for e in examples)]
        classes = [prior_prompt(plan, number) for number in range(len(prior))]
        self.prompts = list(dict.fromkeys([*texts, *classes]))
        self._captions = [self.prompts.index(e.caption) for e in examples]
        self._short = [self.prompts.index(short_caption(e.caption)) for e in examples]
        self._classes = [self.prompts.index(prompt) for prompt in classes]
        self._chunks = max(chunk_count(base, prompt) for prompt in self.prompts)
        self._kept: tuple[torch.Tensor, torch.Tensor | None] | None = None
        if not text_learns and plan.cache:
            self._kept = self._embed_all()

    def draw(self, coming: list[int], coming_class: list[int], generator: torch.Generator) -> Batch:
        """Take the next micro-batch.

        Args:
            coming, coming_class: photos and class pictures still to come; both are used up and refilled.
        """
        plan, device = self._plan, self._base.device
        photos = [self._next_own(coming, generator) for _ in range(plan.batch)]
        own = self._photos + self._drawn
        count = len(self._pictures) - own
        prior = [own + _next(coming_class, count, generator) for _ in range(plan.batch if count else 0)]
        prompts = [self._captions[i] for i in photos]
        others = [self._classes[i - own] for i in prior]
        if plan.short_captions:
            short = torch.rand(len(photos), generator=generator) < plan.short_captions
            prompts = [self._short[p] if s else i for i, p, s in zip(prompts, photos, short.tolist(), strict=True)]
        if plan.caption_dropout:
            # What no words mean stays everybody where class pictures are there: guidance pushes away from it, and
            # would push away from the person where others are asked for.
            dropped = (torch.rand(len(photos), generator=generator) < plan.caption_dropout).tolist()
            if others:
                others = [0 if drop else i for i, drop in zip(others, dropped, strict=True)]
            else:
                prompts = [0 if drop else i for i, drop in zip(prompts, dropped, strict=True)]
        chosen = photos + prior
        flips = [False] * len(chosen)
        if plan.flip:
            flips = (torch.rand(len(chosen), generator=generator) < 0.5).tolist()
        shares = [1.0 / plan.batch] * len(photos) + [plan.prior_weight / plan.batch] * len(prior)
        weights = [
            self._weights[i].flip(-1) if flip else self._weights[i] for i, flip in zip(chosen, flips, strict=True)
        ]
        return Batch(
            latents=torch.stack([self._latent(i, flip) for i, flip in zip(chosen, flips, strict=True)]),
            weights=torch.stack(weights),
            shares=torch.tensor(shares, device=device),
            prompts=prompts + others,
        )

    def _next_own(self, coming: list[int], generator: torch.Generator) -> int:
        """Take the next photo, or by chance a variant of any; nothing is drawn by lot in a run without variants."""
        if self._drawn and float(torch.rand((), generator=generator)) < self._plan.variant_share:
            return self._photos + int(torch.randint(self._drawn, (), generator=generator))
        return _next(coming, self._photos, generator)

    def words(self, batch: Batch) -> tuple[torch.Tensor, dict[str, torch.Tensor] | None]:
        """Return a batch's prompts as the UNet takes them, and what the UNet is told besides.  # (B, L, D)"""
        if self._kept is not None:
            hidden, pooled = self._kept
            rows = batch.prompts
        else:
            distinct = list(dict.fromkeys(batch.prompts))  # most captions of a batch are the class prompt
            hidden, pooled = self._embed(distinct)
            rows = [distinct.index(i) for i in batch.prompts]
        chosen, side = None if pooled is None else pooled[rows], self._plan.resolution
        return hidden[rows], added_conditions(self._base, chosen, side, side)

    def _latent(self, index: int, flip: bool) -> torch.Tensor:
        if self._plan.cache:
            return (self._flipped if flip else self._latents)[index]
        picture = self._pictures[index]
        return self._encode(picture[:, ::-1] if flip else picture)

    @torch.no_grad()
    def _encode(self, picture: Image) -> torch.Tensor:
        return encode_picture(self._base, np.ascontiguousarray(picture))[0].float()  # (C, h, w)

    def _embed(self, rows: Sequence[int]) -> tuple[torch.Tensor, torch.Tensor | None]:
        """Encode prompts of the table.  # (B, L, D), (B, P)"""
        encoded = encode_prompts(self._base, [self.prompts[i] for i in rows], chunks=self._chunks)
        hidden, pooled = encoded.hidden, encoded.pooled
        if self._base.zero_empty_prompt and 0 in rows:
            kept = torch.tensor([float(i != 0) for i in rows], device=hidden.device, dtype=hidden.dtype)
            hidden = hidden * kept[:, None, None]
            pooled = None if pooled is None else pooled * kept[:, None]
        return hidden, pooled

    @torch.no_grad()
    def _embed_all(self) -> tuple[torch.Tensor, torch.Tensor | None]:
        rows = range(len(self.prompts))
        parts = [self._embed(rows[i : i + _ENCODED_TOGETHER]) for i in range(0, len(rows), _ENCODED_TOGETHER)]
        pooled = [p for _, p in parts if p is not None]
        return torch.cat([h for h, _ in parts]), torch.cat(pooled) if pooled else None


def _next(coming: list[int], count: int, generator: torch.Generator) -> int:
    """Take the next number of a shuffled order, shuffling anew when it is used up."""
    if not coming:
        coming.extend(torch.randperm(count, generator=generator).tolist())
    return coming.pop()


def _cell_weights(mask: Any, base: LoadedBase, plan: TrainingPlan) -> torch.Tensor:
    """Return the weight of each latent cell: its share of person, and of background times its weight.  # (1, h, w)"""
    cells = plan.resolution // base.latent_factor
    if mask is None or not plan.masked_loss:
        return torch.ones(1, cells, cells)
    whole = torch.from_numpy(np.array(fit(mask, plan.resolution, plan.resolution))).float()[None] / 255.0
    person = torch.nn.functional.adaptive_avg_pool2d(whole, cells)  # (1, h, w)
    weights = person + plan.background_weight * (1.0 - person)
    # An empty mask with no background weight would leave nothing to learn from.
    return weights if weights.sum() > 1e-3 else torch.ones_like(weights)
