"""What a training will need: memory, disk and time before anything is loaded.

What the plan costs is counted from shapes (`shapes`), time comes from how fast
this machine multiplies right now. Where it does not fit, the plan is made
smaller change by change (`smaller_plans`), those first that cost the likeness
least.

Peaks inside libraries and what other programs will take are not known; memory
is rounded up by `MARGIN`, time is an estimate within a factor of two.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Mapping
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch

from studio.domain.base_model import BaseLocation
from studio.domain.training import Preflight, TrainingPlan
from studio.engines.diffusion import runtime
from studio.engines.diffusion.training.cost import Shapes, shapes_of
from studio.engines.diffusion.training.lessons import CLASS_STEPS
from studio.engines.diffusion.training.optimizers import expected_state_bytes
from studio.engines.diffusion.training.smaller_plans import smaller_steps

MARGIN = 1.15
"""Over what was counted, for the allocator's gaps and libraries' workspaces."""
LIBRARIES_BYTES = {"cpu": 450_000_000, "cuda": 900_000_000, "mps": 700_000_000}
"""What torch and the model libraries take before any model; measured on a CPU (315 to 450 MB), else usual values."""
CALL_SECONDS = {"cpu": 9e-6, "cuda": 9e-6, "mps": 2e-5}
"""Time of one operation beside its arithmetic, which is what small models spend; measured on a CPU."""
SAMPLER_ROWS = 2  # with and without the prompt

# -- this machine -------------------------------------------------------------------------


@lru_cache(maxsize=8)
def flops_per_second(device: str, dtype: torch.dtype) -> float:
    """Measure how fast a device convolves and multiplies now, in about a fifth of a second."""
    image = torch.randn(2, 128, 32, 32, device=device, dtype=dtype)
    kernel = torch.randn(128, 128, 3, 3, device=device, dtype=dtype)
    matrix = torch.randn(768, 768, device=device, dtype=dtype)
    flops = 2.0 * image.numel() * 128 * 9 + 2.0 * 768**3

    def once() -> None:
        torch.nn.functional.conv2d(image, kernel, padding=1)
        matrix @ matrix
        if device.startswith("cuda"):
            torch.cuda.synchronize()

    with torch.no_grad():
        once()
        begin, rounds = time.perf_counter(), 0
        while rounds < 2 or time.perf_counter() - begin < 0.15:
            once()
            rounds += 1
        return flops * rounds / (time.perf_counter() - begin)


def free_memory(device: str) -> int:
    """Return the bytes that a device has free."""
    if device.startswith("cuda"):
        return int(torch.cuda.mem_get_info(device)[0])
    import psutil

    return int(psutil.virtual_memory().available)


# -- adding up ----------------------------------------------------------------------------


def memory_parts(shapes: Shapes, plan: TrainingPlan, device: str) -> dict[str, int]:
    """Return name -> bytes at the peak of a step, largest first."""
    size = runtime.choose_dtype(device, plan.precision).itemsize
    full = plan.method == "dreambooth"
    trained = shapes.trained_parameters
    pictures = plan.batch * (2 if plan.prior_weight else 1)
    saved = shapes.saved_checkpointed_bytes if plan.gradient_checkpointing else shapes.saved_bytes
    weights = shapes.base_parameters * (4 if full else size) + shapes.autoencoder_parameters * 4
    if full and size < 4:
        weights += trained * size  # autocast keeps a copy in the smaller format during a step
    parts = {
        "weights": weights + (0 if full else trained * 4),
        "gradients": trained * 4,
        "optimizer state": expected_state_bytes(plan.optimizer, shapes.trained, plan.projection_rank),
        "activations": int(saved * pictures * size / 4),
        "libraries": LIBRARIES_BYTES[torch.device(device).type],
    }
    if plan.ema:
        parts["running means"] = trained * 4
    parts = {name: int(value * MARGIN) for name, value in parts.items()}
    return dict(sorted(parts.items(), key=lambda item: -item[1]))


def disk_bytes(shapes: Shapes, plan: TrainingPlan) -> int:
    """Return the bytes that a run leaves on the disk at most."""
    adapter = shapes.trained_parameters * 4
    state = expected_state_bytes(plan.optimizer, shapes.trained, plan.projection_rank) + (adapter if plan.ema else 0)
    saves = -(-plan.steps // plan.checkpoint_every)
    pictures = plan.resolution**2 * 3 * (plan.prior_pictures if plan.prior_weight else 0)
    # One state more than are kept: the old one goes when the new one is safe.
    return adapter * (saves + 1) + state * min(plan.keep_checkpoints + 1, saves + 1) + pictures


def seconds(shapes: Shapes, plan: TrainingPlan, examples: int, device: str) -> float:
    """Return how long a run will take on this machine: class pictures, caches, steps and samples."""
    rate = flops_per_second(device, runtime.choose_dtype(device, plan.precision))
    call = CALL_SECONDS[torch.device(device).type]
    pictures = plan.batch * (2 if plan.prior_weight else 1)
    # Backwards costs once more for the signal and, where all weights learn, once more for the weights.
    passes = 2.0 + (plan.method == "dreambooth") + plan.gradient_checkpointing
    per_picture = shapes.flops * passes
    if plan.train_text_encoder or plan.textual_inversion:
        per_picture += 3.0 * shapes.text_flops
    if not plan.cache:
        per_picture += shapes.encode_flops
    micro = pictures * per_picture / rate + passes * shapes.calls * call
    step = plan.accumulation * micro + 6.0 * len(shapes.trained) * call
    drawing = SAMPLER_ROWS * shapes.flops / rate + shapes.calls * call
    samples = (plan.steps // plan.sample_every + 1) * len(plan.sample_seeds) * plan.sample_steps
    samples *= len(plan.sample_prompts) + len(plan.class_prompts)
    prior = plan.prior_pictures * CLASS_STEPS if plan.prior_weight else 0
    caches = (examples + plan.prior_pictures) * shapes.encode_flops / rate
    return plan.steps * step + (samples + prior) * drawing + caches


def preflight(
    location: BaseLocation, plan: TrainingPlan, examples: int, folder: Path, *, device: str | None = None
) -> Preflight:
    """Say what a run will need, whether it fits, and if not, which changes would make it fit.

    Args:
        examples: pictures to learn from.
        folder: where the run will write; need not exist yet.
    """
    runtime.prepare()
    device = device or runtime.choose_device()
    shapes = shapes_of(location, plan)
    parts = memory_parts(shapes, plan, device)
    disk, memory = disk_bytes(shapes, plan), sum(parts.values())
    memory_free, disk_free = free_memory(device), _disk_free(folder)
    problems = []
    if memory > memory_free:
        problems.append(f"Needs {_gigabytes(memory)} of memory, {_gigabytes(memory_free)} are free.")
    if disk > disk_free:
        problems.append(f"Needs {_gigabytes(disk)} on the disk, {_gigabytes(disk_free)} are free.")
    instead = _that_fits(location, plan, device, memory_free, disk_free) if problems else {}
    return Preflight(
        memory_bytes=memory,
        memory_free_bytes=memory_free,
        disk_bytes=disk,
        disk_free_bytes=disk_free,
        seconds=seconds(shapes, plan, examples, device),
        device=device,
        trainable_parameters=shapes.trained_parameters,
        parts=parts,
        problems=tuple(problems),
        instead=instead,
    )


def _gigabytes(count: int) -> str:
    return f"{count / 1e9:.1f} GB" if count >= 1e8 else f"{count / 1e6:.0f} MB"


def _disk_free(folder: Path) -> int:
    while not folder.exists():
        folder = folder.parent
    return shutil.disk_usage(folder).free


# -- smaller ------------------------------------------------------------------------------


def _that_fits(
    location: BaseLocation, plan: TrainingPlan, device: str, memory_free: int, disk_free: int
) -> Mapping[str, Any]:
    """Make the plan smaller until it fits; empty when nothing helps."""
    smaller, measured = plan, {"resolution": plan.resolution}
    for change in smaller_steps(plan, disk_too=True):
        smaller = smaller.model_copy(update=change)
        shapes = _at_resolution(shapes_of(location, smaller.model_copy(update=measured)), plan, smaller)
        memory = sum(memory_parts(shapes, smaller, device).values())
        if memory <= memory_free and disk_bytes(shapes, smaller) <= disk_free:
            before = plan.model_dump()
            return {name: value for name, value in smaller.model_dump().items() if before[name] != value}
    return {}


def _at_resolution(shapes: Shapes, measured: TrainingPlan, wanted: TrainingPlan) -> Shapes:
    """Scale what grows with the picture; fused attention keeps no more per pixel in larger pictures."""
    area = (wanted.resolution / measured.resolution) ** 2
    saved = {name: int(getattr(shapes, name) * area) for name in ("saved_bytes", "saved_checkpointed_bytes")}
    return replace(shapes, **saved)  # type: ignore[arg-type]
