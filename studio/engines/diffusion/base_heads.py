"""Heads that tell attributes while the embedded base is trained, and are thrown away at the end.

The squared error of the noise hardly feels a mouth's corners or the frame of
glasses: left alone, a small text encoder forgets the words for them and a
small UNet draws everybody with the same face for a long time. Asked directly,
both learn in minutes what the picture then follows.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch

from studio.engines.diffusion.rendered_faces import ATTRIBUTES

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

    def loss(self, labels: Sequence[Mapping[str, str]]) -> torch.Tensor:
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

    def loss(self, tokens: torch.Tensor, hidden: torch.Tensor, labels: Sequence[Mapping[str, str]]) -> torch.Tensor:
        """Return how wrong the attributes of the captions are told.  # (N, T), (N, T, C), N -> ()"""
        after = (tokens == self.end).float().cumsum(1).clamp(max=1).unsqueeze(2)
        return attribute_loss(self.head((hidden * after).sum(1) / after.sum(1)), labels)


def attribute_loss(logits: torch.Tensor, labels: Sequence[Mapping[str, str]]) -> torch.Tensor:
    """Return the mean cross entropy over the attributes, in ATTRIBUTES' order.  # (N, L) -> ()"""
    losses = [
        torch.nn.functional.cross_entropy(part, torch.tensor([values.index(label[name]) for label in labels]))
        for part, (name, values) in zip(
            torch.split(logits, [len(v) for v in ATTRIBUTES.values()], 1), ATTRIBUTES.items(), strict=True
        )
    ]
    return torch.stack(losses).mean()
