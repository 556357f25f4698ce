"""A trainer that learns nothing but keeps every promise of a trainer: checkpoints, samples, stopping, going on."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np

from studio.domain.base_model import BaseLocation
from studio.domain.training import Preflight, TrainingPlan
from studio.engines.base_diffusion import SamplePicture, TrainingEvents, TrainingExample, TrainingOutcome
from studio.errors import NotFoundError

FITS = Preflight(
    memory_bytes=1, memory_free_bytes=2, disk_bytes=1, disk_free_bytes=2, seconds=1.0, device="cpu",
    trainable_parameters=10,
)  # fmt: skip


class FakeTrainer:
    """Draws person pictures with the shade 100 + step, class pictures with the shade 50 + step / 10."""

    def __init__(self) -> None:
        self.flight = FITS
        self.before_step: Callable[[int], None] = lambda step: None
        self.should_stop: Callable[[], bool] = lambda: False
        self.loss: Callable[[int], float] = lambda step: 1.0 / step
        self.began: list[int] = []
        self.faces = 1

    def preflight(self, location: BaseLocation, plan: TrainingPlan, examples: int, folder: Path) -> Preflight:
        return self.flight

    def train(
        self,
        location: BaseLocation,
        plan: TrainingPlan,
        examples: Sequence[TrainingExample],
        folder: Path,
        events: TrainingEvents,
    ) -> TrainingOutcome:
        done = sorted(folder.glob("checkpoints/step-*/state.json"))
        step = json.loads(done[-1].read_text())["step"] if done else 0
        self.began.append(step)
        self.should_stop = events.should_stop
        if step == 0:
            events.note("Drawing 2 class pictures.")
            self._sample(plan, 0, events)
        reason: Any = "done"
        while step < plan.steps:
            step += 1
            self.before_step(step)
            loss = self.loss(step)
            if not np.isfinite(loss):
                return TrainingOutcome(
                    self._last(folder), False, "diverged", folder if self._last(folder) else None, ()
                )
            events.step(step, loss, plan.learning_rate)
            stopping = events.should_stop()
            if step % plan.checkpoint_every == 0 or step == plan.steps or stopping:
                adapter = self._save(folder, step, plan.keep_checkpoints)
                events.saved(step, adapter, True)
                if not stopping:
                    self._sample(plan, step, events)
            if stopping:
                reason = "stopped"
                break
        return TrainingOutcome(step, step == plan.steps, reason, folder, ())

    def _sample(self, plan: TrainingPlan, step: int, events: TrainingEvents) -> None:
        wanted = [("person", p, min(200, 100 + step)) for p in plan.sample_prompts]
        wanted += [("class", p, min(200, 50 + step // 10)) for p in plan.class_prompts]
        pictures = []
        for kind, prompt, shade in wanted:
            for seed in plan.sample_seeds:
                events.drawing(step, len(pictures) + 1, len(wanted) * len(plan.sample_seeds))
                image = np.full((plan.resolution, plan.resolution, 3), shade, np.uint8)
                image[:8, :8] = (self.faces if kind == "person" else 0, 0, 0)
                pictures.append(SamplePicture(plan.prompt(prompt), kind, seed, image))  # type: ignore[arg-type]
        events.sampled(step, tuple(pictures))

    def _save(self, folder: Path, step: int, keep: int) -> Path:
        place = folder / "checkpoints" / f"step-{step:06d}"
        place.mkdir(parents=True, exist_ok=True)
        (place / "adapter.safetensors").write_bytes(f"weights of step {step}".encode())
        (place / "state.json").write_text(json.dumps({"step": step}))
        for old in sorted(folder.glob("checkpoints/step-*/state.json"))[:-keep]:
            old.unlink()
        return place / "adapter.safetensors"

    def _last(self, folder: Path) -> int:
        steps = [int(p.name.removeprefix("step-")) for p in folder.glob("checkpoints/step-*")]
        return max(steps, default=0)


class FakeGenerator:
    """Draws flat pictures whose shade says the strength; the red corner says that there is a face."""

    name, version = "fake", "1"

    def __init__(self) -> None:
        self.orders: list[tuple[Any, Any]] = []

    def libraries(self) -> dict[str, str]:
        return {"torch": "0"}

    def generate(self, location, order, adapters=(), *, source=None, mask=None, on_step=None, should_stop=None):
        self.orders.append((order, tuple(adapters)))
        shade = 100 + round(50 * sum(a.strength for a in adapters))
        image = np.full((order.height, order.width, 3), shade, np.uint8)
        image[:8, :8] = (1, 0, 0)
        yield image


class FakeBases:
    """Two bases: "preview" (sd15) and "big" (sdxl); "absent" is known but not here."""

    def __init__(self) -> None:
        small = BaseLocation(name="preview", title="Preview", family="sd15", path="nowhere", resolution=64, sha256="b1")
        self.locations = {"preview": small, "big": replace(small, name="big", family="sdxl", sha256="b2")}

    def get(self, name: str) -> Any:
        family = "sd15" if name in ("absent", "sd15") else self.resolve(name).family
        return SimpleNamespace(card=SimpleNamespace(name=name, family=family))

    def resolve(self, name: str) -> BaseLocation:
        if name not in self.locations:
            raise NotFoundError(f"The base {name} is not on this computer.", "Download it.")
        return self.locations[name]
