"""Train as told by one JSON argument and print the number of each step, to be killed by a test."""

from __future__ import annotations

import json
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[3]))

from studio.domain.base_model import BaseLocation
from studio.domain.training import TrainingPlan
from tests.engines.diffusion.training_case import Events, train

if __name__ == "__main__":
    job = json.loads(sys.argv[1])
    events = Events(on_step=lambda step: print(step, flush=True))
    train(BaseLocation(**job["location"]), TrainingPlan(**job["plan"]), Path(job["folder"]), events)
