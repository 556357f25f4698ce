"""A training small enough to be repeated: a random base, three photos, events that remember."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

from studio.domain.base_model import BaseLocation
from studio.domain.training import TrainingPlan
from studio.engines.base_diffusion import SamplePicture, TrainingExample, TrainingOutcome

SIDE = 32


def plan_of(**changes: Any) -> TrainingPlan:
    """Return a plan of a few steps."""
    usual: dict[str, Any] = {
        "resolution": SIDE, "steps": 6, "batch": 2, "prior_pictures": 2, "checkpoint_every": 2, "sample_every": 1000,
        "sample_steps": 1, "rank": 4, "alpha": 4, "text_rank": 2, "text_alpha": 2, "learning_rate": 1e-3,
        "text_learning_rate": 1e-3, "warmup_steps": 2, "sample_prompts": ("a photo of {trigger} {class}",),
        "sample_seeds": (1,), "keep_checkpoints": 10, "caption_dropout": 0.2, "short_captions": 0.3,
    }  # fmt: skip
    return TrainingPlan(**usual | changes)


def photos(count: int = 3) -> list[TrainingExample]:
    """Return noisy pictures with a person in the middle."""
    generator = np.random.default_rng(0)
    mask = np.zeros((SIDE, SIDE), np.uint8)
    mask[8:24, 8:24] = 255
    captions = ("a photo of sks person", "a photo of sks person, smiling", "a portrait of sks person with glasses")
    return [
        TrainingExample(generator.integers(0, 255, (SIDE, SIDE, 3), np.uint8), mask, captions[i % 3], str(i))
        for i in range(count)
    ]


class Events:
    """Remembers what a trainer tells; asks to stop when so many steps are made."""

    def __init__(self, stop_after: int | None = None, on_step: Callable[[int], None] | None = None) -> None:
        self.stop_after, self.on_step = stop_after, on_step
        self.steps: list[tuple[int, float, float]] = []
        self.drawn: list[tuple[int, int, int]] = []
        self.samples: dict[int, tuple[SamplePicture, ...]] = {}
        self.checkpoints: list[int] = []
        self.notes: list[str] = []

    def step(self, step: int, loss: float, learning_rate: float) -> None:
        self.steps.append((step, loss, learning_rate))
        if self.on_step is not None:
            self.on_step(step)

    def drawing(self, step: int, number: int, count: int) -> None:
        self.drawn.append((step, number, count))

    def sampled(self, step: int, pictures: tuple[SamplePicture, ...]) -> None:
        assert step not in self.samples
        self.samples[step] = pictures

    def saved(self, step: int, adapter: Path, has_state: bool) -> None:
        assert adapter.exists()
        assert has_state
        self.checkpoints.append(step)

    def note(self, text: str) -> None:
        self.notes.append(text)

    def should_stop(self) -> bool:
        return self.stop_after is not None and len(self.steps) >= self.stop_after


def train(location: BaseLocation, plan: TrainingPlan, folder: Path, events: Events | None = None) -> TrainingOutcome:
    """Train on a CPU."""
    from studio.engines.diffusion.training.trainer import DiffusionTrainer

    return DiffusionTrainer("cpu").train(location, plan, photos(), folder, events or Events())


def difference(first: TrainingOutcome, second: TrainingOutcome) -> float:
    """Return the largest difference of any number of two adapters."""
    from safetensors.torch import load_file

    assert first.adapter is not None
    assert second.adapter is not None
    one, other = load_file(first.adapter), load_file(second.adapter)
    assert one.keys() == other.keys()
    return max(float((one[key].float() - other[key].float()).abs().max()) for key in one)


def same_state(first: TrainingOutcome, second: TrainingOutcome) -> bool:
    """Whether two checkpoints hold the same state, bit for bit."""
    from safetensors.torch import load_file

    assert first.adapter is not None
    assert second.adapter is not None
    one, other = (load_file(o.adapter.with_name("state.safetensors")) for o in (first, second))  # type: ignore[union-attr]
    return one.keys() == other.keys() and all(torch.equal(one[key], other[key]) for key in one)
