"""The training loop: photos and a plan in, an adapter and its checkpoints out.

One loop, no hidden machinery: what each step sees is drawn from
one generator and two lists of what is still to come, and all of that is in
the checkpoint. So a run that was stopped or killed goes on, in another
process, with bit for bit the weights it would have had (same computer, same
number of threads, same torch). Latents and masks are computed once, and
embeddings of prompts too where the text encoder stays as it is.

Pictures drawn on the way use their own random numbers and change nothing.
Whether the result looks like the person is measured elsewhere.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from studio.domain.adapter import AdapterMetadata
from studio.domain.base_model import BaseLocation
from studio.domain.training import Preflight, TrainingPlan
from studio.engines.base_diffusion import SamplePicture, TrainingEvents, TrainingExample, TrainingOutcome
from studio.engines.diffusion import runtime
from studio.engines.diffusion.bases.loading import LoadedBase, load_base
from studio.engines.diffusion.training import checkpoints
from studio.engines.diffusion.training.estimate import preflight
from studio.engines.diffusion.training.lessons import Batch, Lessons, class_pictures
from studio.engines.diffusion.training.optimizers import make_optimizer, pack_state, unpack_state
from studio.engines.diffusion.training.several_gpus import Team, gathered, size_for
from studio.engines.diffusion.training.smaller_plans import smaller_settings
from studio.engines.diffusion.training.trainable import Trainable
from studio.engines.media.atomic import atomic_file
from studio.errors import EngineError, OutOfMemoryError, UserInputError

SNR_FLOOR = 0.1
"""Least weight of a v-prediction step: without it the noisiest steps, which decide the layout, stay untrained."""


class DiffusionTrainer:
    """Personalizes base models of every family (IdentityTrainer)."""

    name = "diffusion"

    def __init__(self, device: str | None = None, processes: int | None = None) -> None:
        """Make a trainer.

        Args:
            device: default the best one here.
            processes: default one for each GPU that can help (see `several_gpus`).
        """
        self.device = device
        self.processes = processes

    @property
    def version(self) -> str:
        """Versions of the libraries whose arithmetic decides the weights."""
        return ", ".join(f"{name} {version}" for name, version in runtime.versions().items())

    def preflight(self, location: BaseLocation, plan: TrainingPlan, examples: int, folder: Path) -> Preflight:
        """See `IdentityTrainer`; `estimate` says how it is counted."""
        runtime.prepare()
        return preflight(location, plan, examples, folder, device=self.device)

    def train(
        self,
        location: BaseLocation,
        plan: TrainingPlan,
        examples: Sequence[TrainingExample],
        folder: Path,
        events: TrainingEvents,
    ) -> TrainingOutcome:
        """See `IdentityTrainer`."""
        runtime.prepare()
        if not examples:
            raise UserInputError("There are no photos to learn from.", "Add photos, or keep more of those there are.")
        checkpoints.claim(folder, location, plan, examples)
        with runtime.memory_guard("Training", _hint(plan)):
            device = self.device or runtime.choose_device()
            run = Run(location, plan, examples, folder, events, device)
            if run.lessons is None:
                return run.outcome("stopped")
            size = self.processes or size_for(plan, device)
            with gathered(location, plan, examples, folder, device, size) as team:
                return run.train(team)


def _hint(plan: TrainingPlan) -> str:
    smaller = smaller_settings(plan)
    if not smaller:
        return "Close other programs, or choose a smaller base model."
    return "Try " + ", ".join(f"{name.replace('_', ' ')} {_word(value)}" for name, value in smaller.items()) + "."


def _word(value: Any) -> str:
    return {True: "on", False: "off"}[value] if isinstance(value, bool) else str(value)


@dataclass
class _Progress:
    """Where a run stands: with weights and optimizer, all that decides how it goes on."""

    step: int
    losses: list[float]
    generator: torch.Generator
    coming: list[int]
    coming_class: list[int]


class Run:
    """One training; its parts in the order in which they are needed."""

    def __init__(
        self,
        location: BaseLocation,
        plan: TrainingPlan,
        examples: Sequence[TrainingExample],
        folder: Path,
        events: TrainingEvents,
        device: str,
    ) -> None:
        self.plan, self.folder, self.events = plan, folder, events
        self.dtype = runtime.choose_dtype(device, plan.precision)
        # Full training moves the base's own weights, which need 32 bits to take small steps.
        weights = torch.float32 if plan.method == "dreambooth" else self.dtype
        self.base: LoadedBase = load_base(location, device=device, dtype=weights)
        self.progress = _Progress(0, [], torch.Generator().manual_seed(plan.seed), [], [])
        self.lessons: Lessons | None = None
        self.team = Team()
        prior = class_pictures(self.base, plan, folder / "class", events)
        if prior is None:
            return
        self.trainable = Trainable(self.base, plan)
        self.lessons = Lessons(self.base, plan, examples, prior, text_learns=self.trainable.text_learns)
        self.optimizer = make_optimizer(plan, self.trainable.groups())
        self.rates = [group["lr"] for group in self.optimizer.param_groups]
        self.scaler = torch.amp.GradScaler("cuda", enabled=self.dtype == torch.float16 and device.startswith("cuda"))
        self.weighting = step_weights(self.base.noise_scheduler, plan.min_snr_gamma).to(device)  # (T,)
        self._resume()

    # -- the loop -------------------------------------------------------------------------

    def train(self, team: Team) -> TrainingOutcome:
        """Make the steps that are left."""
        plan, progress = self.plan, self.progress
        self.team = team
        self._sample()
        while progress.step < plan.steps:
            if team.agree(self.events.should_stop()):
                self._save()
                return self.outcome("stopped")
            loss, rate = self._optimizer_step()
            if not math.isfinite(loss):
                self.events.note(
                    f"At step {progress.step + 1} the loss is not a number: training stops at its last good."
                )
                return self.outcome("diverged")
            progress.step += 1
            progress.losses.append(loss)
            self.events.step(progress.step, loss, rate)
            if progress.step % plan.checkpoint_every == 0 or progress.step == plan.steps:
                self._save()
            self._sample()
        return self.outcome("done")

    def _optimizer_step(self) -> tuple[float, float]:
        """Make one step; NaN says that nothing was changed."""
        factor = schedule_factor(self.plan, self.progress.step)
        for group, rate in zip(self.optimizer.param_groups, self.rates, strict=True):
            group["lr"] = rate * factor
        for module in (self.base.unet, *self.base.text_encoders):
            module.train()  # gradient checkpointing works in this mode alone
        total = torch.zeros((), device=self.base.device)
        for number in range(self.plan.accumulation):
            drawn = self._draw()
            if self.team.takes(number):
                loss = self._loss(*drawn) / self.plan.accumulation
                self.scaler.scale(loss).backward()  # type: ignore[no-untyped-call]
                total += loss.detach()
        value = self.team.add_up(self.trainable.parameters, total).item()
        if self.scaler.is_enabled():
            self.scaler.unscale_(self.optimizer)
        norm = torch.nn.utils.clip_grad_norm_(self.trainable.parameters, self.plan.max_grad_norm).item()
        good = math.isfinite(value) and (math.isfinite(norm) or self.scaler.is_enabled())
        if good:
            self.scaler.step(self.optimizer)
            self.scaler.update()
            self.trainable.follow(self.progress.step)
        self.optimizer.zero_grad(set_to_none=True)
        return (value if good else math.nan), self.optimizer.param_groups[0]["lr"]

    def _draw(self) -> tuple[Batch, torch.Tensor, torch.Tensor]:
        """Draw one micro-batch of photos and class pictures, its noise and its time steps."""
        plan, generator = self.plan, self.progress.generator
        assert self.lessons is not None
        batch = self.lessons.draw(self.progress.coming, self.progress.coming_class, generator)
        count, channels = batch.latents.shape[:2]
        noise = torch.randn(batch.latents.shape, generator=generator)  # on the CPU: the same on every device
        if plan.noise_offset:
            noise += plan.noise_offset * torch.randn(count, channels, 1, 1, generator=generator)
        times = torch.randint(0, len(self.weighting), (count,), generator=generator)
        return batch, noise.to(self.base.device), times.to(self.base.device)

    def _loss(self, batch: Batch, noise: torch.Tensor, times: torch.Tensor) -> torch.Tensor:
        """Return the weighted loss of one micro-batch."""
        base, scheduler = self.base, self.base.noise_scheduler
        assert self.lessons is not None
        noisy = scheduler.add_noise(batch.latents, noise, times)
        with self._autocast():
            words, added = self.lessons.words(batch)
            predicted = base.unet(noisy.to(base.dtype), times, words, added_cond_kwargs=added, return_dict=False)[0]
        velocity = scheduler.config.prediction_type == "v_prediction"
        target = scheduler.get_velocity(batch.latents, noise, times) if velocity else noise
        error = masked_error(predicted.float(), target, batch.weights)  # (B,)
        return (error * self.weighting[times] * batch.shares).sum()

    def _autocast(self) -> Any:
        kind = torch.device(self.base.device).type
        return torch.autocast(kind, self.dtype) if self.dtype != torch.float32 else nullcontext()

    # -- pictures on the way --------------------------------------------------------------

    def _sample(self) -> None:
        """Draw the plan's prompts where they are due and were not drawn yet."""
        step, plan = self.progress.step, self.plan
        marker = self.folder / "sampled"
        if not self.team.leads or (step % plan.sample_every and step != plan.steps):
            return
        if marker.exists() and int(marker.read_text()) >= step:
            return
        pictures = [(text, "person") for text in plan.sample_prompts] + [(text, "class") for text in plan.class_prompts]
        wanted = [(plan.prompt(text), kind, seed) for text, kind in pictures for seed in plan.sample_seeds]
        drawn = []
        try:
            with self._as_used():
                for number, (prompt, kind, seed) in enumerate(wanted, 1):
                    self.events.drawing(step, number, len(wanted))
                    drawn.append(SamplePicture(prompt, kind, seed, self._picture(prompt, seed)))  # type: ignore[arg-type]
        except OutOfMemoryError:
            raise
        except EngineError as exc:  # black, or not a number: no reason to lose the training
            self.events.note(f"No samples at step {step}: {exc.message}")
            return
        self.events.sampled(step, tuple(drawn))
        with atomic_file(marker) as part:
            part.write_text(str(step), encoding="utf-8")

    def _picture(self, prompt: str, seed: int) -> Any:
        from studio.engines.diffusion.drawing.sampling import draw

        plan = self.plan
        return draw(
            self.base,
            prompt,
            seed=seed,
            steps=plan.sample_steps,
            guidance=plan.guidance,
            width=plan.resolution,
            height=plan.resolution,
        )[0]

    @contextmanager
    def _as_used(self) -> Iterator[None]:
        for module in (self.base.unet, *self.base.text_encoders):
            module.eval()
        with self.trainable.as_used():
            yield

    # -- checkpoints ----------------------------------------------------------------------

    def _save(self) -> None:
        """Write a checkpoint of this step unless there is one."""
        from studio.engines.diffusion.adapters.files import save_adapter

        newest = checkpoints.newest(self.folder)
        if not self.team.leads or (newest is not None and newest.step == self.progress.step):
            return
        progress = self.progress
        optimizer, facts = pack_state(self.optimizer)
        tensors = {f"optimizer.{k}": v for k, v in optimizer.items()}
        tensors |= {f"weights.{k}": v for k, v in self.trainable.raw().items()}
        tensors["generator"] = progress.generator.get_state()
        tensors["losses"] = torch.tensor(progress.losses, dtype=torch.float64)
        saved = checkpoints.save(
            self.folder,
            progress.step,
            lambda path: save_adapter(
                path, self.trainable.tensors(), configs=self.trainable.configs, metadata=self._metadata()
            ),
            tensors,
            {
                "optimizer": facts,
                "coming": progress.coming,
                "coming_class": progress.coming_class,
                "scaler": self.scaler.state_dict(),
                "made_with": self._made_with(),
            },
            keep=self.plan.keep_checkpoints,
        )
        self.events.saved(saved.step, saved.adapter, saved.has_state)

    def _resume(self) -> None:
        """Go back to the newest checkpoint, if there is one."""
        newest = checkpoints.newest(self.folder)
        if newest is None:
            return
        weights, state, facts = checkpoints.read(newest)
        raw = {k.removeprefix("weights."): v for k, v in state.items() if k.startswith("weights.")}
        packed = {k.removeprefix("optimizer."): v for k, v in state.items() if k.startswith("optimizer.")}
        self.trainable.restore(weights, raw)
        unpack_state(self.optimizer, (packed, facts["optimizer"]))
        if self.scaler.is_enabled():
            self.scaler.load_state_dict(facts["scaler"])
        self.progress.generator.set_state(state["generator"])
        self.progress.losses = state["losses"].tolist()
        self.progress.coming, self.progress.coming_class = facts["coming"], facts["coming_class"]
        self.progress.step = newest.step
        if facts["made_with"] != self._made_with():
            self.events.note("The libraries or threads are others than before: the run goes on, but not bit for bit.")

    def _made_with(self) -> dict[str, Any]:
        return {**runtime.versions(), "threads": torch.get_num_threads(), "device": self.base.device}

    def _metadata(self) -> AdapterMetadata:
        location, plan = self.base.location, self.plan
        return AdapterMetadata(
            method=plan.method,
            family=location.family,
            trigger=plan.trigger,
            base_name=location.name,
            base_sha256=location.sha256,
            title=f"{plan.trigger} {plan.class_word}",
            resolution=plan.resolution,
            prediction_type=location.prediction_type,
        )

    def outcome(self, reason: Any) -> TrainingOutcome:
        """Say how the run ended."""
        newest = checkpoints.newest(self.folder)
        step = newest.step if newest else 0
        adapter = newest.adapter if newest else None
        return TrainingOutcome(step, reason == "done", reason, adapter, tuple(self.progress.losses[:step]))


# -- arithmetic ---------------------------------------------------------------------------


def schedule_factor(plan: TrainingPlan, step: int) -> float:
    """Return the share of the learning rate for a step (counted from 0): warm-up times the schedule."""
    warm = min(1.0, (step + 1) / plan.warmup_steps) if plan.warmup_steps else 1.0
    done = min(1.0, step / plan.steps)
    shape = {"constant": 1.0, "linear": 1.0 - done, "cosine": 0.5 * (1.0 + math.cos(math.pi * done))}
    return warm * shape[plan.schedule]


def step_weights(scheduler: Any, gamma: float) -> torch.Tensor:
    """Return the loss weight of every time step (min-SNR, Hang et al., ICCV 2023, arXiv 2303.09556).

    Args:
        scheduler: with alphas_cumprod and prediction_type.
        gamma: the signal-to-noise ratio above which steps are as easy as they get; 0 weighs all alike.
    """
    kept = scheduler.alphas_cumprod.double()
    ratio = kept / (1.0 - kept)  # signal to noise  # (T,)
    if gamma == 0.0:
        return torch.ones_like(ratio).float()
    if scheduler.config.prediction_type == "v_prediction":
        weights: torch.Tensor = (ratio.clamp_max(gamma) / (ratio + 1.0)).clamp_min(SNR_FLOOR)
    else:
        ratio = ratio.clamp_min(1e-8)  # no signal at all weighs as little signal does
        weights = ratio.clamp_max(gamma) / ratio
    return weights.float()


def masked_error(predicted: torch.Tensor, target: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
    """Return each picture's squared error, weighted per latent cell and normalized by the weights' sum.

    Args:
        predicted, target: (B, C, H, W).
        weights: (B, 1, H, W), not all zero in any picture.
    """
    squared = (predicted - target).square().mean(1, keepdim=True)  # (B, 1, H, W)
    return (squared * weights).sum((1, 2, 3)) / weights.sum((1, 2, 3))
