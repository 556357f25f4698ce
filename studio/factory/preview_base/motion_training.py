"""Teaches the embedded base to move: control by the head's maps, motion modules, and both again around an anchor.

Four stages, each exported by itself and continued from where it stopped:

1. `control`: the network of the maps, on single frames, with the picture model frozen.
2. `motion`: motion modules on clips, with the picture model and the control frozen; half of the clips show their maps,
   so that a prompt alone can be drawn too.
3. `anchored`: the motion goes on with a random frame held as the anchor in half of the steps, and the loss on the
   others: what FAAC (arXiv 2312.03775) trains.
4. `equal`: the same steps from the same motion without any anchor, to compare with.

Frames share noise as they do when they are drawn; a module that was taught with other noise flickers.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch

from studio.domain.anchor import Anchor
from studio.engines.diffusion.video.anchoring import Steering, motion_modules, steered
from studio.engines.diffusion.video.control import FaceControl
from studio.errors import ConflictError, EngineError
from studio.factory.preview_base.captions import training_caption
from studio.factory.preview_base.checkpoints import note, read_state, save_state
from studio.factory.preview_base.clips import CLIPS_VERSION, FRAMES, RATE_HZ, ClipCache
from studio.factory.preview_base.heads import falling
from studio.factory.preview_base.latents import fingerprint
from studio.factory.preview_base.opening import load_embedded
from studio.factory.preview_base.people import DATASET_VERSION
from studio.factory.preview_base.training import noise_times, weight_of_places

Stage = Literal["control", "motion", "anchored", "equal"]
STAGES: tuple[Stage, ...] = ("control", "motion", "anchored", "equal")
Progress = Callable[[float, str], None]
SHARES = (1.0, 0.9, 0.5)
"""Shares of noise that frames have in common, one drawn for each clip: those with which clips are drawn."""
_STARTED: tuple[Stage, ...] = ("control", "motion")
"""Stages that can go on from another run's weights; the others go on from the motion of their own run."""
_LOG_EVERY = 20


@dataclass(frozen=True)
class MotionPlan:
    """What a run does; it is continued only under the plan it began with.

    Attributes:
        seed: of every choice.
        clips: different clips to learn from.
        steps: of each stage.
        rates: peaks of the learning rate of each stage; it falls to a hundredth.
        frames: single frames in a step of the first stage.
        steered: share of clips that show their maps.
        reversed: share of clips that run backwards: twice the motion to learn from, at no cost.
    """

    seed: int = 1
    clips: int = 15_040
    steps: Mapping[str, int] = field(
        default_factory=lambda: {"control": 3000, "motion": 15_000, "anchored": 2000, "equal": 2000}
    )
    rates: Mapping[str, float] = field(
        default_factory=lambda: {"control": 1e-3, "motion": 7e-4, "anchored": 2e-4, "equal": 2e-4}
    )
    frames: int = 16
    steered: float = 0.5
    reversed: float = 0.5

    def times(self, effort: float) -> MotionPlan:
        """Return the plan with so many times the steps of every stage."""
        return replace(self, steps={stage: max(1, round(steps * effort)) for stage, steps in self.steps.items()})


def build_motion(
    out: Path,
    *,
    base: Path,
    work_folder: Path,
    plan: MotionPlan | None = None,
    start: Path | None = None,
    until: Stage = "equal",
    checkpoint_seconds: float = 180.0,
    stop_after_step: int | None = None,
    on_progress: Progress | None = None,
) -> dict[str, Any]:
    """Train what is not trained yet, stage after stage, and write each.

    Args:
        out: folder to write `control`, `motion`, `anchored` and `equal` to, in diffusers' layout, with motion.json.
        base: folder of the embedded base.
        work_folder: holds the clips (`clips.fill_clips`) in `cache`, checkpoints and the curve.
        plan: what to do; the default is the one that ships.
        start: folder that an earlier run wrote; control and motion go on from its weights.
        until: last stage to train.
        checkpoint_seconds: between checkpoints.
        stop_after_step: save a checkpoint and stop at this step of the stage that is trained.
        on_progress: hears the share that is done, 0..1, and a sentence.

    Returns:
        The record, as written to motion.json.

    Raises:
        FileNotFoundError: clips are missing.
        ConflictError: the work folder holds a run under another plan.
        EngineError: the loss is no longer a number.
    """
    torch.set_num_threads(1)
    plan = plan or MotionPlan()
    tell = on_progress or (lambda share, text: None)
    run = _MotionRun(plan, base, work_folder, start)
    wanted = STAGES[: STAGES.index(until) + 1]
    total = sum(plan.steps[s] for s in wanted)
    before = 0
    for stage in wanted:
        if not run.is_done(stage):
            run.begin(stage)

            def heard(step: int, loss: float, stage: str = stage, before: int = before) -> None:
                tell((before + step) / total, f"{stage}: step {step} of {plan.steps[stage]}, loss {loss:.3f}.")

            if not run.train(stage, checkpoint_seconds, stop_after_step, heard):
                break
        before += plan.steps[stage]
    return run.export(out)


class _MotionRun:
    """One run: frozen base, what is trained, and where it stands."""

    def __init__(self, plan: MotionPlan, base: Path, folder: Path, start: Path | None = None) -> None:
        from diffusers import MotionAdapter, UNetMotionModel

        self.plan, self.folder, self.start = plan, folder, start
        folder.mkdir(parents=True, exist_ok=True)
        parts = load_embedded(base)
        self.clips = ClipCache(folder / "cache", plan.seed, plan.clips, base / "vae")
        self.text_encoder, self.tokenizer, self.scheduler = (
            parts[name] for name in ("text_encoder", "tokenizer", "scheduler")
        )
        self.still: Any = parts["unet"]
        widths = tuple(self.still.config.block_out_channels)
        torch.manual_seed(plan.seed)
        make: Any = MotionAdapter
        adapter: Any = make(
            block_out_channels=widths, motion_layers_per_block=self.still.config.layers_per_block,
            motion_num_attention_heads=4, motion_norm_num_groups=8, motion_max_seq_length=32,
            use_motion_mid_block=True,
        )  # fmt: skip
        for name, parameter in adapter.named_parameters():
            if ".proj_out." in name:  # a module that is not trained yet changes nothing
                torch.nn.init.zeros_(parameter)
        library: Any = UNetMotionModel
        self.moving: Any = library.from_unet2d(self.still, adapter).requires_grad_(False)
        self.modules = motion_modules(self.moving)
        control: Any = FaceControl
        side, cells = int(self.clips.maps(0).shape[-1]), int(self.clips.latents(0).shape[-1])
        self.control: Any = control(channels=widths, downscale_factor=side // cells)
        self.weight = weight_of_places(cells)
        self.text = json.dumps({
            "plan": asdict(plan), "clips": [DATASET_VERSION, CLIPS_VERSION], "base": fingerprint(base / "unet"),
            "start": {} if start is None else {stage: fingerprint(start / stage) for stage in _STARTED},
        })  # fmt: skip
        self.step, self.seconds = 0, 0.0
        self.optimizer: Any = None
        self.average: list[torch.Tensor] = []

    # -- stages ------------------------------------------------------------------------

    def is_done(self, stage: Stage) -> bool:
        return self._file(stage).is_file() and self._finished(stage)

    def begin(self, stage: Stage) -> None:
        """Load what the stage builds on, and its own checkpoint where there is one."""
        if stage != "control":
            self._load("control", self.control)
        if stage in ("anchored", "equal"):
            self._load("motion", self.modules)
        elif stage == "motion":
            torch.manual_seed(self.plan.seed + 1)
        if self.start is not None and stage in _STARTED:
            self._go_on_from(self.start / stage)
        learned = self._learned(stage)
        for parameter in learned:
            parameter.requires_grad_(True)
        self.optimizer = torch.optim.AdamW(learned, betas=(0.9, 0.99), weight_decay=1e-3)
        self.average = [p.detach().clone() for p in learned]
        self.step, self.seconds = 0, 0.0
        if self._file(stage).is_file():
            state = self._state(stage)
            with torch.no_grad():
                for parameter, value in zip(learned, state["weights"], strict=True):
                    parameter.copy_(value)
            self.average = [a.clone() for a in state["average"]]
            self.optimizer.load_state_dict(state["optimizer"])
            self.step, self.seconds = int(state["step"]), float(state["seconds"])

    def train(
        self, stage: Stage, checkpoint_seconds: float, stop_after_step: int | None, tell: Callable[[int, float], None]
    ) -> bool:
        """Train a stage to its end; False where it was stopped before."""
        last = self.plan.steps[stage]
        began, before, saved = time.perf_counter(), self.seconds, time.perf_counter()
        losses: list[float] = []
        learned = self._learned(stage)
        while self.step < last and self.step != stop_after_step:
            losses.append(self._frames_step() if stage == "control" else self._clip_step(stage))
            if not math.isfinite(losses[-1]):
                raise EngineError("The training of motion diverged.", "The last checkpoint is kept; lower the rate.")
            torch.nn.utils.clip_grad_norm_(learned, 1.0)
            for group in self.optimizer.param_groups:
                group["lr"] = self.plan.rates[stage] * min(1.0, (self.step + 1) / 100) * falling(self.step / last)
            self.optimizer.step()
            self.optimizer.zero_grad(set_to_none=True)
            self.step += 1
            decay = min(0.998, (1 + self.step) / (20 + self.step))
            with torch.no_grad():
                torch._foreach_lerp_(self.average, [p.detach() for p in learned], 1 - decay)
            self.seconds = before + time.perf_counter() - began
            if self.step % _LOG_EVERY == 0:
                loss = float(np.mean(losses))
                losses.clear()
                note(self.folder, {"stage": stage, "step": self.step, "loss": round(loss, 5),
                                   "seconds": round(self.seconds, 1)})  # fmt: skip
                tell(self.step, loss)
            if time.perf_counter() - saved > checkpoint_seconds:
                self._save(stage)
                saved = time.perf_counter()
        self._save(stage)
        for parameter in learned:
            parameter.requires_grad_(False)
        return self.step >= last

    # -- steps -------------------------------------------------------------------------

    def _frames_step(self) -> float:
        """Teach the control one batch of single frames."""
        rng, source = self._chance("control")
        rows = [(int(rng.integers(len(self.clips))), int(rng.integers(FRAMES))) for _ in range(self.plan.frames)]
        latents = torch.stack([self.clips.latents(clip)[frame] for clip, frame in rows])
        maps = torch.stack([self.clips.maps(clip)[frame] for clip, frame in rows])
        context = self._context([training_caption(self.clips.labels[clip], rng) for clip, _ in rows])
        noise = torch.randn(latents.shape, generator=source)
        times = noise_times(len(rows), self.scheduler.config.num_train_timesteps, source)
        noisy = self.scheduler.add_noise(latents, noise, times)
        features = self.control(maps)
        out = self.still(noisy, times, encoder_hidden_states=context, down_intrablock_additional_residuals=features)
        error = (out.sample - self.scheduler.get_velocity(latents, noise, times)) ** 2
        return _descended((error * self.weight).mean())

    def _clip_step(self, stage: Stage) -> float:
        """Teach the motion one clip."""
        rng, source = self._chance(stage)
        clip = int(rng.integers(len(self.clips)))
        latents, maps, labels = self.clips.latents(clip), self.clips.maps(clip), self.clips.labels[clip]
        if rng.random() < self.plan.reversed:
            latents, maps = latents.flip(0), maps.flip(0)
        context = self._context([training_caption(labels, rng)]).expand(FRAMES, -1, -1)
        share = float(rng.choice(SHARES))
        common = torch.randn(latents.shape[1:], generator=source)
        noise = share**0.5 * common + (1 - share) ** 0.5 * torch.randn(latents.shape, generator=source)
        time_ = noise_times(1, self.scheduler.config.num_train_timesteps, source, first=self.step)
        times = time_.expand(FRAMES)
        noisy = self.scheduler.add_noise(latents, noise, times)
        steering, counted = Steering(), torch.ones(FRAMES)
        if stage == "anchored" and rng.random() < 0.5:
            k = int(rng.integers(FRAMES))
            steering.anchor, counted[k] = Anchor(index=k), 0.0
        if rng.random() < self.plan.steered:
            with torch.no_grad():
                steering.features = self._features(maps)
        with steered(self.moving, steering):
            out = self.moving(noisy.transpose(0, 1)[None], time_, encoder_hidden_states=context).sample
        error = (out[0].transpose(0, 1) - self.scheduler.get_velocity(latents, noise, times)) ** 2
        each = (error * self.weight).mean((1, 2, 3))  # (FRAMES,)
        return _descended((each * counted).sum() / counted.sum())

    def _features(self, maps: torch.Tensor) -> dict[str, torch.Tensor]:
        levels = self.control(maps)
        return {name: levels[int(name.split(".")[1])] for name in self.modules if name.startswith("down_blocks.")}

    def _context(self, captions: list[str]) -> torch.Tensor:
        tokens = self.tokenizer(captions, padding="max_length", truncation=True, return_tensors="pt").input_ids
        with torch.no_grad():
            context: torch.Tensor = self.text_encoder(tokens).last_hidden_state
        return context

    def _chance(self, stage: Stage) -> tuple[np.random.Generator, torch.Generator]:
        """Return the chance of a step, which depends on its number only; `anchored` and `equal` see the same."""
        number = STAGES.index("anchored" if stage == "equal" else stage)
        rng = np.random.default_rng((self.plan.seed, 21, number, self.step))
        return rng, torch.Generator().manual_seed((self.plan.seed * 7 + number) * 1_000_003 + self.step)

    # -- files -------------------------------------------------------------------------

    def _learned(self, stage: Stage) -> list[torch.nn.Parameter]:
        if stage == "control":
            return list(self.control.parameters())
        return [p for module in self.modules.values() for p in module.parameters()]

    def _file(self, stage: Stage) -> Path:
        return self.folder / stage / "checkpoint.pt"

    def _state(self, stage: Stage) -> dict[str, Any]:
        return read_state(self.folder / stage, self.text)

    def _finished(self, stage: Stage) -> bool:
        return int(self._state(stage)["step"]) >= self.plan.steps[stage]

    def _save(self, stage: Stage) -> None:
        (self.folder / stage).mkdir(exist_ok=True)
        state = {
            "plan": self.text, "step": self.step, "seconds": self.seconds,
            "weights": [p.detach() for p in self._learned(stage)], "average": self.average,
            "optimizer": self.optimizer.state_dict(),
        }  # fmt: skip
        save_state(state, self._file(stage))

    def _load(self, stage: Stage, target: Any) -> None:
        """Lay a stage's averaged weights into the networks."""
        if not self._file(stage).is_file():
            raise ConflictError(f"The stage {stage} was not trained yet.", "Train the stages in their order.")
        owners = [target] if isinstance(target, torch.nn.Module) else list(target.values())
        parameters = [p for owner in owners for p in owner.parameters()]
        with torch.no_grad():
            for parameter, value in zip(parameters, self._state(stage)["average"], strict=True):
                parameter.copy_(value)

    def _go_on_from(self, folder: Path) -> None:
        """Lay the weights of an exported stage into the networks."""
        from diffusers import MotionAdapter

        kind: Any = FaceControl if folder.name == "control" else MotionAdapter
        weights = kind.from_pretrained(folder, torch_dtype=torch.float32)
        if folder.name == "control":
            self.control.load_state_dict(weights.state_dict())
        else:
            self.moving.load_motion_modules(weights)

    def export(self, out: Path) -> dict[str, Any]:
        """Write every stage that has a checkpoint, averaged and in half precision."""
        record: dict[str, Any] = {
            "frames_per_second": RATE_HZ, "frames": FRAMES, "clips": self.plan.clips, "plan": asdict(self.plan),
            "command": "python -m studio base build --motion", "start": json.loads(self.text)["start"], "stages": {},
        }  # fmt: skip
        for stage in STAGES:
            if not self._file(stage).is_file():
                continue
            state = self._state(stage)
            if stage == "control":
                self._load(stage, self.control)
                kept: Any = FaceControl.from_config(self.control.config)
                kept.load_state_dict(self.control.state_dict())
                kept.half().save_pretrained(out / stage)
            else:
                self._load(stage, self.modules)
                self._write_motion(out / stage)
            record["stages"][stage] = {"steps": int(state["step"]), "seconds": round(float(state["seconds"]))}
        out.mkdir(parents=True, exist_ok=True)
        (out / "motion.json").write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
        return record

    def _write_motion(self, folder: Path) -> None:
        """Write the motion modules as diffusers' MotionAdapter, in half precision."""
        import copy

        copied = copy.deepcopy(self.moving).half()
        copied.save_motion_modules(folder, safe_serialization=True)


def _descended(loss: torch.Tensor) -> float:
    loss.backward()  # type: ignore[no-untyped-call]
    return float(loss.detach())
