"""Plans that need less room: which changes, in the order in which they cost the likeness least.

How much each change saves is not known here; `estimate` counts it.
"""

from __future__ import annotations

from collections.abc import Iterator
from importlib.util import find_spec
from typing import Any

from studio.domain.training import TrainingPlan


def smaller_steps(plan: TrainingPlan, *, disk_too: bool = False) -> Iterator[dict[str, Any]]:
    """Yield changes, each on top of those before, from what costs the likeness least to what costs it most."""
    if disk_too and plan.checkpoint_every < plan.steps:
        yield {"keep_checkpoints": 1}
        yield {"keep_checkpoints": 1, "checkpoint_every": max(plan.checkpoint_every, -(-plan.steps // 4))}
    if not plan.gradient_checkpointing:
        yield {"gradient_checkpointing": True}
    batch, accumulation = plan.batch, plan.accumulation
    while batch > 1:  # as many pictures a step as before, fewer at a time
        batch, accumulation = -(-batch // 2), min(64, accumulation * 2)
        yield {"batch": batch, "accumulation": accumulation}
    if plan.precision in ("auto", "fp32"):
        yield {"precision": "bf16"}
    if plan.ema:
        yield {"ema": False}
    if plan.method == "dreambooth":
        if plan.optimizer == "adamw" and find_spec("bitsandbytes") is not None:
            yield {"optimizer": "adamw8bit"}
        if plan.optimizer != "projected_adamw":
            yield {"optimizer": "projected_adamw"}
        if plan.train_text_encoder:
            yield {"train_text_encoder": False}
        yield {"method": "lora", "optimizer": "adamw", "train_text_encoder": plan.train_text_encoder}
    rank = plan.rank
    while rank > 8:
        rank //= 2
        yield {"rank": rank, "alpha": plan.alpha * rank / plan.rank}
    if plan.train_text_encoder:
        yield {"train_text_encoder": False}
    side = plan.resolution
    while side > 64:
        side = max(64, side * 3 // 4 // 64 * 64)
        yield {"resolution": side}


def smaller_settings(plan: TrainingPlan) -> dict[str, Any]:
    """Return the first two changes that would need less memory, for the hint of an error."""
    found: dict[str, Any] = {}
    for number, change in enumerate(smaller_steps(plan)):
        found |= change
        if number == 1:
            break
    return found
