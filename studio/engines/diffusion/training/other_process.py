"""One of the other processes of a training on several GPUs; started by `several_gpus`."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

import numpy as np

from studio.domain.base_model import BaseLocation
from studio.domain.training import TrainingPlan
from studio.engines.base_diffusion import TrainingExample
from studio.engines.diffusion import runtime
from studio.engines.diffusion.training.several_gpus import Members
from studio.engines.diffusion.training.trainer import Run


class _Silent:
    """Events of a process that tells nobody."""

    def step(self, step: int, loss: float, learning_rate: float) -> None:
        """Told by the first process."""

    def drawing(self, step: int, number: int, count: int) -> None:
        """Told by the first process."""

    def sampled(self, step: int, pictures: Any) -> None:
        """Told by the first process."""

    def saved(self, step: int, adapter: Path, has_state: bool) -> None:
        """Told by the first process."""

    def note(self, text: str) -> None:
        """Told by the first process."""

    def should_stop(self) -> bool:
        """Asked of the first process."""
        return False


def help_along(job: Path) -> None:
    """Be one of the other processes of a training until it ends."""
    runtime.prepare()
    with np.load(job, allow_pickle=False) as kept:
        facts = json.loads(str(kept["facts"]))
        examples = [
            TrainingExample(kept[f"image{i}"], kept.get(f"mask{i}"), caption, sha256, drawn)
            for i, (caption, sha256, drawn) in enumerate(facts["words"])
        ]
    rank, size = int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"])
    device = f"cuda:{rank}" if facts["device"].startswith("cuda") else facts["device"]
    location, plan = BaseLocation(**facts["location"]), TrainingPlan(**facts["plan"])
    run = Run(location, plan, examples, Path(facts["folder"]), _Silent(), device)
    team = Members(rank, size, device)
    run.train(team)
    team.part()


if __name__ == "__main__":
    help_along(Path(sys.argv[1]))
