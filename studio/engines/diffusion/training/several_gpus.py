"""Several GPUs in one training: micro-batches are dealt out, gradients are added up (accelerate).

A plan means the same on any number of GPUs. Every process draws the same
random numbers, computes its share of each step's micro-batches and makes the
same step with the sum of all gradients, so that a run may go on with more or
fewer GPUs, equal up to rounding. With an accumulation of n, n GPUs can help
and no more. The first process is the one that was asked to train: it alone
saves, draws samples and tells events; it starts the others and ends them.

Run with two processes on a CPU in the tests; how much faster several GPUs are
has not been measured.
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import torch

from studio.domain.base_model import BaseLocation
from studio.domain.training import TrainingPlan
from studio.engines.base_diffusion import TrainingExample
from studio.errors import EngineError, EngineUnavailableError

HELPER = "studio.engines.diffusion.training.other_process"
"""What runs in the other processes; named, since it needs the training loop, which needs this module."""

PATIENCE = timedelta(hours=2)
"""How long a process waits for the others; samples and checkpoints of the first are made meanwhile."""


class Team:
    """One process alone; also what each process of several knows of the others."""

    rank = 0
    size = 1

    @property
    def leads(self) -> bool:
        """Whether this process saves, draws and tells."""
        return self.rank == 0

    def takes(self, number: int) -> bool:
        """Whether this process computes a step's micro-batch of this number."""
        return number % self.size == self.rank

    def add_up(self, parameters: Sequence[torch.Tensor], loss: torch.Tensor) -> torch.Tensor:
        """Add up gradients in place, and return the sum of the losses."""
        return loss

    def agree(self, stop: bool) -> bool:
        """Return whether the first process wants to stop."""
        return stop


class Members(Team):
    """One process of several."""

    def __init__(self, rank: int, size: int, device: str, others: Sequence[subprocess.Popen[bytes]] = ()) -> None:
        try:
            from accelerate import Accelerator
            from accelerate.utils import InitProcessGroupKwargs
        except ImportError as exc:
            raise EngineUnavailableError("Several GPUs need accelerate.", "pip install accelerate") from exc
        self.rank, self.size, self._others = rank, size, others
        self._device = torch.device(device)
        self._accelerator: Any = Accelerator(
            cpu=self._device.type == "cpu", kwargs_handlers=[InitProcessGroupKwargs(timeout=PATIENCE)]
        )

    def add_up(self, parameters: Sequence[torch.Tensor], loss: torch.Tensor) -> torch.Tensor:
        """Add up over all processes; see `Team`."""
        for parameter in parameters:
            if parameter.grad is not None:
                parameter.grad = self._accelerator.reduce(parameter.grad, reduction="sum")
        total: torch.Tensor = self._accelerator.reduce(loss, reduction="sum")
        return total

    def agree(self, stop: bool) -> bool:
        """Ask the first process; see `Team`."""
        if any(other.poll() for other in self._others):
            raise EngineError("A part of the training on another GPU ended early.", "Go on from the last checkpoint.")
        said = torch.tensor(float(stop and self.leads), device=self._device)
        return bool(self._accelerator.reduce(said, reduction="sum").item() > 0)

    def part(self) -> None:
        """Leave the others."""
        from accelerate.state import AcceleratorState

        torch.distributed.destroy_process_group()
        AcceleratorState._reset_state(True)


def size_for(plan: TrainingPlan, device: str) -> int:
    """Return how many GPUs can share a plan's steps evenly; 1 anywhere but on CUDA."""
    if not device.startswith("cuda"):
        return 1
    count = torch.cuda.device_count()
    return max(n for n in range(1, count + 1) if plan.accumulation % n == 0)


@contextmanager
def gathered(
    location: BaseLocation,
    plan: TrainingPlan,
    examples: Sequence[TrainingExample],
    folder: Path,
    device: str,
    size: int,
) -> Iterator[Team]:
    """Start the other processes of a training and yield what this one, the first, knows of them.

    Raises:
        EngineUnavailableError: accelerate is not installed.
    """
    if size == 1:
        yield Team()
        return
    job = folder / "team.npz"
    _write_job(job, location, plan, examples, folder, device)
    place = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(_free_port()), "WORLD_SIZE": str(size)}
    place |= {"LOCAL_WORLD_SIZE": str(size), "OMP_NUM_THREADS": str(torch.get_num_threads())}
    others = [
        subprocess.Popen(
            [sys.executable, "-m", HELPER, str(job)], env={**os.environ, **place, **_ranked(rank)}
        )
        for rank in range(1, size)
    ]  # fmt: skip
    before = dict(os.environ)
    os.environ.update(place | _ranked(0))
    try:
        team = Members(0, size, device, others)
        yield team
        team.part()
    except BaseException:
        for other in others:
            other.kill()  # they would wait for this one
        raise
    finally:
        for name in (*place, *_ranked(0)):
            os.environ.pop(name, None)
            if name in before:
                os.environ[name] = before[name]
        for other in others:
            other.wait()
        job.unlink(missing_ok=True)


def _ranked(rank: int) -> dict[str, str]:
    return {"RANK": str(rank), "LOCAL_RANK": str(rank)}


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _write_job(
    job: Path,
    location: BaseLocation,
    plan: TrainingPlan,
    examples: Sequence[TrainingExample],
    folder: Path,
    device: str,
) -> None:
    """Write what the other processes need; arrays and text, nothing pickled."""
    arrays: dict[str, Any] = {f"image{i}": e.image for i, e in enumerate(examples)}
    arrays |= {f"mask{i}": e.mask for i, e in enumerate(examples) if e.mask is not None}
    words = [[e.caption, e.sha256, e.drawn] for e in examples]
    facts = {"location": asdict(location), "plan": plan.model_dump(mode="json"), "words": words,
             "folder": str(folder), "device": device}  # fmt: skip
    np.savez(job, facts=np.array(json.dumps(facts)), **arrays)
