"""Trains the embedded base from nothing: rendered faces, captions, one small latent diffusion model.

The loop is plain: a batch of renders, as latents of an autoencoder that was
trained before, half of them mirrored with their captions; noise at a random
time; the network predicts the velocity. Every random choice is drawn from the
step's number, so a run that was stopped continues exactly as if it had not
been. An average of the weights is exported.

It knows nothing of persons or adapters: that is what the base is for, later.
"""

from __future__ import annotations

import json
import math
import platform
import shutil
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from studio.engines.diffusion.bases.inspecting import component_weights
from studio.errors import ConflictError, EngineError
from studio.factory.preview_base.cache import PictureCache, fill
from studio.factory.preview_base.captions import training_caption
from studio.factory.preview_base.checkpoints import CHECKPOINT, CURVE, note, read_state, save_state
from studio.factory.preview_base.heads import Critic, Reader, Teller, falling
from studio.factory.preview_base.latents import LatentCache, fill_latents, fingerprint, read_codec
from studio.factory.preview_base.networks import LATENTS, RESOLUTION, BaseShape, model_index, networks, scheduler
from studio.factory.preview_base.people import DATASET_VERSION, mirrored_labels
from studio.factory.preview_base.tokenizer import make_tokenizer

Progress = Callable[[float, str], None]

NAME, TITLE, FAMILY = "preview", "Preview base: rendered faces", "sd15"
LICENSE = "Apache-2.0"
_LOG_EVERY = 20
_TELLING, _READING, _SHOWING = 0.1, 0.3, 0.04


@dataclass(frozen=True)
class BasePlan:
    """What a run does; a run is continued only under the plan it began with.

    Attributes:
        seed: of the training set, the first weights and every choice.
        images: pictures to see in all; the learning rate falls over them.
        renders: different pictures to cache.
        batch: pictures per step.
        falls: of the learning rate, in order: first step, step at which it would arrive, peak. One begins where the
            next does: what joins late is then learned at a rate that moves it (warm restarts, Loshchilov 2016).
        telling_from: step from which the UNet's middle must also tell the attributes.
        reading_from: step from which the text encoder must go on telling them, lest it forget the small words.
        showing_from: step from which a critic must find them in what the UNet draws.
        critic_steps: steps in which the critic learns to, from renders.
    """

    seed: int = 1
    images: int = 330_000
    renders: int = 32_768
    batch: int = 16
    falls: tuple[tuple[int, int, float], ...] = ((0, 9375, 1e-3), (5984, 9375, 7e-4), (9375, 20_625, 7e-4))
    telling_from: int = 2217
    reading_from: int = 4677
    showing_from: int = 9375
    critic_steps: int = 6000
    shape: BaseShape = field(default_factory=BaseShape)


def build_base(
    out: Path,
    *,
    codec: Path,
    work_folder: Path,
    plan: BasePlan | None = None,
    checkpoint_seconds: float = 180.0,
    processes: int = 1,
    resume: bool = True,
    stop_after_step: int | None = None,
    on_progress: Progress | None = None,
) -> dict[str, Any]:
    """Render the pictures, train the base and write it.

    Args:
        out: folder to write the base to, in diffusers' layout with base.json.
        codec: folder of the autoencoder, from `build_codec`.
        work_folder: pictures, latents, checkpoints and the loss curve (curve.jsonl); 2.3 GB for the full plan.
        plan: what to do; the default is the base that ships.
        checkpoint_seconds: between checkpoints.
        processes: processes that render and encode pictures; training uses one thread.
        resume: continue from the work folder's checkpoint; without it an existing checkpoint is refused.
        stop_after_step: save a checkpoint and stop there.
        on_progress: hears the share that is done, 0..1, and a sentence.

    Returns:
        The record, as written to base.json.

    Raises:
        NotFoundError, UserInputError: there is no autoencoder in the folder.
        ConflictError: the work folder holds a run under another plan, or any run when `resume` is off.
        EngineError: the loss is no longer a number.
    """
    plan = plan or BasePlan()
    torch.set_num_threads(1)
    tell = on_progress or (lambda share, text: None)
    work_folder.mkdir(parents=True, exist_ok=True)
    cache_folder = work_folder / "cache"
    fill(cache_folder, plan.seed, plan.renders, processes, lambda s: tell(0.05 * s, "Rendering pictures."))
    fill_latents(
        cache_folder, plan.seed, plan.renders, codec, processes,
        lambda s: tell(0.05 + 0.05 * s, "Encoding pictures."),
    )  # fmt: skip
    run = _Run(plan, work_folder, codec)
    if (work_folder / CHECKPOINT).is_file():
        if not resume:
            raise ConflictError("The work folder holds a run already.", "Continue it, or name another folder.")
        run.restore()
    run.train(checkpoint_seconds, stop_after_step, tell)
    return run.export(out)


def export_checkpoint(work_folder: Path, out: Path, plan: BasePlan, codec: Path) -> dict[str, Any]:
    """Write the base as it is at the last checkpoint of a run, also while the run goes on."""
    run = _Run(plan, work_folder, codec)
    run.restore()
    return run.export(out)


def _plan_text(plan: BasePlan, codec: Path) -> str:
    """Return what must agree for a run to be continued: plan, renderer's version and autoencoder."""
    return json.dumps({"plan": asdict(plan), "dataset": DATASET_VERSION, "autoencoder": fingerprint(codec)})


class _Run:
    """One training run: networks, optimizer, average, and where it stands."""

    def __init__(self, plan: BasePlan, folder: Path, codec: Path) -> None:
        self.plan, self.folder, self.codec = plan, folder, codec
        self.labels = PictureCache(folder / "cache", plan.seed, plan.renders).labels
        self.latents = LatentCache(folder / "cache", plan.seed, plan.renders, codec)
        self.latent_channels = int(read_codec(codec).config.latent_channels)
        self.tokenizer = make_tokenizer(folder / "tokenizer")
        torch.manual_seed(plan.seed)
        self.unet, self.text_encoder = networks(plan.shape, self.tokenizer, self.latent_channels)
        self.unet = self.unet.to(memory_format=torch.channels_last)
        self.scheduler = scheduler()
        self.parameters = [*self.unet.parameters(), *self.text_encoder.parameters()]
        self.average = [p.detach().clone() for p in self.parameters]
        self.optimizer = torch.optim.AdamW(self.parameters, betas=(0.9, 0.99), weight_decay=1e-3)
        self.weight = weight_of_places(LATENTS)
        self.teller: Teller | None = None
        self.reader: Reader | None = None
        self.critic: Critic | None = None
        self.step, self.seconds = 0, 0.0

    @property
    def last_step(self) -> int:
        return math.ceil(self.plan.images / self.plan.batch)

    def share(self) -> float:
        """Return how much of the run is done, 0..1."""
        return min(1.0, self.step / self.last_step)

    def train(self, checkpoint_seconds: float, stop_after_step: int | None, tell: Progress) -> None:
        began, before, saved = time.perf_counter(), self.seconds, time.perf_counter()
        losses: list[float] = []
        while self.share() < 1 and self.step != stop_after_step:
            losses.append(self._one_step())
            self.seconds = before + time.perf_counter() - began
            if not math.isfinite(losses[-1]):
                raise EngineError(
                    "The base training diverged.", "The last checkpoint is kept; lower the learning rate."
                )
            if self.step % _LOG_EVERY == 0:
                loss = float(np.mean(losses))
                losses.clear()
                self._log(loss)
                tell(0.1 + 0.9 * self.share(), f"{self.step * self.plan.batch} pictures seen, loss {loss:.3f}.")
            if time.perf_counter() - saved > checkpoint_seconds:
                self.save()
                saved = time.perf_counter()
        self.save()

    def _join_teller(self) -> None:
        """Let the attributes be told from the UNet's middle from now on."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.plan.seed + 7)
            widths = self.plan.shape.channels
            self.teller = Teller(self.unet, widths[-1], LATENTS // 2 ** (len(widths) - 1))
        self.optimizer.add_param_group({"params": list(self.teller.parameters())})

    def _join_reader(self) -> None:
        """Let the attributes be told from the text encoder's output from now on."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.plan.seed + 8)
            self.reader = Reader(self.plan.shape.text_width, self.tokenizer.eos_token_id)
        self.optimizer.add_param_group({"params": list(self.reader.parameters())})

    def _join_critic(self) -> None:
        """Let what is drawn be looked at from now on, by a critic that was taught on renders once."""
        file = self.folder / "critic.pt"
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.plan.seed + 9)
            critic = Critic(self.latent_channels, LATENTS)
        rng = np.random.default_rng((self.plan.seed, 6))
        if file.is_file():
            critic.load_state_dict(torch.load(file, weights_only=True))
        else:
            critic.learn(
                lambda count: self._examples(rng.integers(0, len(self.labels), count), rng), rng, self.plan.critic_steps
            )
            save_state(critic.state_dict(), file)
        self.critic = critic.requires_grad_(False)

    def _examples(
        self, rows: NDArray[np.int64], rng: np.random.Generator
    ) -> tuple[torch.Tensor, list[Mapping[str, str]]]:
        """Return latents of pictures, half of them mirrored, and their labels."""
        flips = rng.random(len(rows)) < 0.5
        labels: list[Mapping[str, str]] = [
            mirrored_labels(self.labels[r]) if f else self.labels[r] for r, f in zip(rows, flips, strict=True)
        ]
        return self.latents.latents(rows, flips), labels

    def _finished(self, noisy: torch.Tensor, velocity: torch.Tensor, times: torch.Tensor) -> torch.Tensor:
        """Return the latents that the UNet takes to be under the noise."""
        kept = self.scheduler.alphas_cumprod[times].view(-1, 1, 1, 1)
        finished: torch.Tensor = kept.sqrt() * noisy - (1 - kept).sqrt() * velocity
        return finished

    def _tokens(self, captions: list[str]) -> torch.Tensor:
        tokens: torch.Tensor = self.tokenizer(
            captions, padding="max_length", truncation=True, return_tensors="pt"
        ).input_ids
        return tokens

    def _one_step(self) -> float:
        """Take one optimizer step; everything random depends on the step's number only."""
        plan, step = self.plan, self.step
        rng = np.random.default_rng((plan.seed, 1, step))
        noise_source = torch.Generator().manual_seed(plan.seed * 1_000_003 + step)
        rows = _rows(plan, len(self.labels), step)
        latents, labels = self._examples(rows, rng)
        captions = [training_caption(label, rng) for label in labels]
        tokens = self._tokens(captions)
        noise = torch.randn(latents.shape, generator=noise_source)
        times = noise_times(plan.batch, self.scheduler.config.num_train_timesteps, noise_source)
        noisy = self.scheduler.add_noise(latents, noise, times).to(memory_format=torch.channels_last)
        if step >= plan.telling_from and self.teller is None:
            self._join_teller()
        if step >= plan.reading_from and self.reader is None:
            self._join_reader()
        if step >= plan.showing_from and self.critic is None:
            self._join_critic()
        context = self.text_encoder(tokens).last_hidden_state
        velocity = self.unet(noisy, times, encoder_hidden_states=context).sample
        error = (velocity - self.scheduler.get_velocity(latents, noise, times)) ** 2
        loss = (error * self.weight).mean()
        if self.teller is not None:
            loss = loss + _TELLING * self.teller.loss(labels)
        if self.reader is not None:
            loss = loss + _READING * self.reader.loss(tokens, context, labels)
        if self.critic is not None:
            loss = loss + _SHOWING * self.critic.loss(self._finished(noisy, velocity, times), labels)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.parameters, 1.0)
        for group in self.optimizer.param_groups:
            group["lr"] = self._learning_rate()
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        self.step += 1
        decay = min(0.999, (1 + self.step) / (20 + self.step))
        with torch.no_grad():
            torch._foreach_lerp_(self.average, [p.detach() for p in self.parameters], 1 - decay)
        return float(error.detach().mean())

    def _learning_rate(self) -> float:
        begins, ends, peak = [fall for fall in self.plan.falls if fall[0] <= self.step][-1]
        since = self.step - begins
        return peak * min(1.0, (since + 1) / 150) * falling(min(1.0, since / (ends - begins)))

    def _log(self, loss: float) -> None:
        line = {"step": self.step, "images": self.step * self.plan.batch, "loss": round(loss, 5),
                "learning_rate": self.optimizer.param_groups[0]["lr"], "seconds": round(self.seconds, 1)}  # fmt: skip
        note(self.folder, line)

    def save(self) -> None:
        """Write the checkpoint; a crash leaves the one before."""
        state = {
            "step": self.step, "seconds": self.seconds, "plan": _plan_text(self.plan, self.codec),
            "unet": self.unet.state_dict(), "text_encoder": self.text_encoder.state_dict(), "average": self.average,
            "optimizer": self.optimizer.state_dict(),
            "teller": self.teller.state_dict() if self.teller is not None else None,
            "reader": self.reader.state_dict() if self.reader is not None else None,
        }  # fmt: skip
        save_state(state, self.folder / CHECKPOINT)

    def restore(self) -> None:
        """Continue where the checkpoint stands.

        Raises:
            ConflictError: it was made under another plan.
        """
        state = read_state(self.folder, _plan_text(self.plan, self.codec))
        self.unet.load_state_dict(state["unet"])
        self.text_encoder.load_state_dict(state["text_encoder"])
        if state["teller"] is not None:
            self._join_teller()
            assert self.teller is not None
            self.teller.load_state_dict(state["teller"])
        if state["reader"] is not None:
            self._join_reader()
            assert self.reader is not None
            self.reader.load_state_dict(state["reader"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.average = [a.clone() for a in state["average"]]
        self.step, self.seconds = int(state["step"]), float(state["seconds"])

    def curve(self) -> list[dict[str, Any]]:
        """Return the loss curve up to the present step; lines of lost steps are left out."""
        file = self.folder / CURVE
        lines = [json.loads(x) for x in file.read_text(encoding="utf-8").splitlines()] if file.is_file() else []
        latest = {line["step"]: line for line in lines}
        return [latest[s] for s in sorted(latest) if s <= self.step]

    def export(self, out: Path) -> dict[str, Any]:
        """Write the averaged weights in half precision, and base.json."""
        unet, text_encoder = networks(self.plan.shape, self.tokenizer, self.latent_channels)
        with torch.no_grad():
            for target, source in zip([*unet.parameters(), *text_encoder.parameters()], self.average, strict=True):
                target.copy_(source)
        unet.half().save_pretrained(out / "unet")
        text_encoder.half().save_pretrained(out / "text_encoder")
        (out / "vae").mkdir(parents=True, exist_ok=True)
        for file in (self.codec / "config.json", *component_weights(self.codec)):
            shutil.copyfile(file, out / "vae" / file.name)
        self.scheduler.save_pretrained(out / "scheduler")
        make_tokenizer(out / "tokenizer")
        _write_json(out / "model_index.json", model_index())
        record = self._record()
        _write_json(out / "base.json", record)
        return record

    def _record(self) -> dict[str, Any]:
        curve = self.curve()
        picked = curve[:: max(1, len(curve) // 24)] + curve[-1:]
        return {
            "name": NAME, "title": TITLE, "family": FAMILY, "license": LICENSE, "prediction_type": "v_prediction",
            "resolution": RESOLUTION, "latent_channels": self.latent_channels,
            "autoencoder": fingerprint(self.codec),
            "training": {
                "command": "python -m studio base build", "plan": asdict(self.plan),
                "dataset": DATASET_VERSION, "images_seen": self.step * self.plan.batch, "steps": self.step,
                "seconds": round(self.seconds), "threads": torch.get_num_threads(),
                "torch": torch.__version__, "machine": platform.machine(),
                "loss_curve": [[c["images"], c["loss"]] for c in picked],
            },
        }  # fmt: skip


def weight_of_places(side: int) -> torch.Tensor:
    """Return how much the error at each latent counts, one on average: at the face more than at the border.

    Eyes and mouth fill a tenth of the picture and say most of what a prompt asks for. The weights do not
    move the optimum, which is a mean at every place by itself; they say where to come near it first.
    """
    y, x = torch.meshgrid(*[(torch.arange(side) + 0.5) / side] * 2, indexing="ij")
    weight = 1 + 3 * torch.exp(-((x - 0.5) ** 2 + (y - 0.54) ** 2) / (2 * 0.2**2))
    return weight / weight.mean()


def noise_times(batch: int, count: int, source: torch.Generator, first: int = 0) -> torch.Tensor:
    """Draw noise levels: a third of them evenly, the rest mostly from the upper middle.

    What a prompt asks for in the large (where the head turns, where the light comes from) is decided at
    high noise, and is learned last: drawing mostly lower levels gave good skin and hair on heads that
    did not turn. The bell is the logit-normal of Esser et al. 2024, moved towards high noise.

    Args:
        batch: how many.
        count: of noise levels.
        source: of chance.
        first: number of the first one: every third is even, also where batches are of one.
    """
    even = torch.rand(batch, generator=source)
    bell = torch.sigmoid(1.2 * torch.randn(batch, generator=source) + 0.5)
    share = torch.where((torch.arange(batch) + first) % 3 == 0, even, bell)
    return (share * count).long().clamp(0, count - 1)


def _rows(plan: BasePlan, count: int, step: int) -> NDArray[np.int64]:
    """Return the pictures of a step: every picture once per round, each round in its own order."""
    numbers = np.arange(step * plan.batch, (step + 1) * plan.batch)
    out = np.empty(plan.batch, np.int64)
    for turn in np.unique(numbers // count):
        here = numbers // count == turn
        out[here] = _order(plan.seed, int(turn), count)[numbers[here] % count]
    return out


@lru_cache(maxsize=2)
def _order(seed: int, turn: int, count: int) -> NDArray[np.int64]:
    return np.random.default_rng((seed, 2, turn)).permutation(count)


def _write_json(file: Path, value: Any) -> None:
    file.write_text(json.dumps(value, indent=1) + "\n", encoding="utf-8")
