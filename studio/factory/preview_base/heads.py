"""Heads that tell attributes while the embedded base is trained, and are thrown away at the end.

The squared error of the noise hardly feels a mouth's corners or the frame of
glasses: left alone, a small text encoder forgets the words for them and a
small UNet draws everybody with the same face for a long time. Asked directly,
both learn in minutes what the picture then follows.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch

from studio.factory.preview_base.people import ATTRIBUTES

_CRITIC_BATCH = 64
Labels = Sequence[Mapping[str, str]]
Examples = Callable[[int], tuple[torch.Tensor, Labels]]
VALUES = sum(map(len, ATTRIBUTES.values()))
"""Values of all attributes together."""


class Teller(torch.nn.Module):
    """Tells every attribute from the UNet's middle, in training only.

    There the noisy picture and the words have met; at high noise there is only the prompt to read them from.

    Args:
        unet: whose middle is listened to.
        width: channels of its middle.
        side: of its middle, in latents.
    """

    def __init__(self, unet: Any, width: int, side: int) -> None:
        super().__init__()
        self.head = torch.nn.Sequential(
            torch.nn.GroupNorm(8, width), torch.nn.SiLU(), torch.nn.Flatten(), torch.nn.Linear(width * side**2, VALUES)
        )
        self.seen: torch.Tensor | None = None
        unet.mid_block.register_forward_hook(self._see)

    def _see(self, module: Any, given: Any, middle: torch.Tensor) -> None:
        self.seen = middle

    def loss(self, labels: Labels) -> torch.Tensor:
        """Return how wrong the attributes of the pictures last seen by the UNet are told."""
        assert self.seen is not None  # the UNet ran just before
        return attribute_loss(self.head(self.seen.contiguous()), labels)


class Reader(torch.nn.Module):
    """Tells every attribute from the text encoder's output, from the end of the sentence on.

    Args:
        width: of the text encoder.
        end: number of the token that ends a sentence and fills up after it.
    """

    def __init__(self, width: int, end: int) -> None:
        super().__init__()
        self.head, self.end = torch.nn.Linear(width, VALUES), end

    def loss(self, tokens: torch.Tensor, hidden: torch.Tensor, labels: Labels) -> torch.Tensor:
        """Return how wrong the attributes of the captions are told.  # (N, T), (N, T, C), N -> ()"""
        after = (tokens == self.end).float().cumsum(1).clamp(max=1).unsqueeze(2)
        return attribute_loss(self.head((hidden * after).sum(1) / after.sum(1)), labels)


class Critic(torch.nn.Module):
    """Tells every attribute from latents without noise; frozen, it says whether they can be seen in a prediction.

    The UNet's middle soon knows all of them; left to the squared error its upper half hardly draws the small ones.

    Args:
        channels: of the latents.
        side: of the latents.
    """

    def __init__(self, channels: int, side: int) -> None:
        super().__init__()
        blocks: list[torch.nn.Module] = []
        for before, width, stride in ((channels, 64, 1), (64, 96, 2), (96, 96, 1), (96, 128, 2)):
            blocks += [
                torch.nn.Conv2d(before, width, 3, stride, 1), torch.nn.GroupNorm(8, width), torch.nn.SiLU()
            ]  # fmt: skip
        self.body = torch.nn.Sequential(*blocks)
        self.squeeze = torch.nn.Conv2d(128, 32, 1)
        self.head = torch.nn.Linear(32 * (side // 4) ** 2 + 128, VALUES)

    def learn(self, examples: Examples, rng: np.random.Generator, steps: int) -> None:
        """Learn from renders: as they are, blurred and noisy, as a UNet that is half sure draws them.

        Args:
            examples: gives so many latents and their labels.
            rng: of blur and noise.
            steps: of 64 renders each.
        """
        optimizer = torch.optim.AdamW(self.parameters(), 2e-3, weight_decay=0.01)
        for step in range(steps):
            latents, labels = examples(_CRITIC_BATCH)
            blurred = torch.nn.functional.avg_pool2d(latents, 3, 1, 1, count_include_pad=False)
            latents = latents + _strengths(rng, 0.8) * (blurred - latents)
            noise = torch.from_numpy(rng.standard_normal(latents.shape, np.float32))
            self.loss(latents + _strengths(rng, 0.3) * noise, labels).backward()  # type: ignore[no-untyped-call]
            for group in optimizer.param_groups:
                group["lr"] = 2e-3 * min(1.0, (step + 1) / 100) * falling(step / steps)
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)

    def loss(self, latents: torch.Tensor, labels: Labels) -> torch.Tensor:
        """Return how wrong the attributes of the latents are told.  # (N, C, S, S), N -> ()"""
        features = self.body(latents)
        places = torch.nn.functional.silu(self.squeeze(features)).flatten(1)
        return attribute_loss(self.head(torch.cat([places, features.mean((2, 3))], 1)), labels)


def attribute_loss(logits: torch.Tensor, labels: Labels) -> torch.Tensor:
    """Return the mean cross entropy over the attributes, in ATTRIBUTES' order.  # (N, L) -> ()"""
    losses = [
        torch.nn.functional.cross_entropy(part, torch.tensor([values.index(label[name]) for label in labels]))
        for part, (name, values) in zip(
            torch.split(logits, [len(v) for v in ATTRIBUTES.values()], 1), ATTRIBUTES.items(), strict=True
        )
    ]
    return torch.stack(losses).mean()


def falling(share: float) -> float:
    """Return the learning rate's factor: a cosine from 1 to 0.02."""
    return 0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * share))


def _strengths(rng: np.random.Generator, highest: float) -> torch.Tensor:
    return torch.from_numpy(rng.uniform(0, highest, (_CRITIC_BATCH, 1, 1, 1)).astype(np.float32))
