"""Trains the convolutional autoencoder of a preview base of 128 pixels: 8 times down, 16 x 16 latents.

It is diffusers' own AutoencoderDC without attention: pixels are folded into
channels and back, and shortcuts around each folding carry a linear code from
the first step on (Chen et al. 2024, "Deep Compression Autoencoder"). Where the
same was asked of nearest-neighbor enlargements, an hour of training stayed 1 dB
under the best linear code of 8 x 8 pixels. Residual blocks begin silent. The
loss is the absolute error, of the picture, of a Laplacian pyramid and of its
gradients, and what the picture's edges lack in energy; eyes and mouth of
renders count more. Noise is added to the latents, and their square is held
down, so that a diffusion model finds a smooth, bounded space. Every random
choice is drawn from the step's number: a run that was stopped continues exactly.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray

from studio.errors import EngineError
from studio.factory.preview_base.checkpoints import CHECKPOINT, note, read_state, require_checkpoint, save_state
from studio.factory.preview_base.codec_pictures import (
    FREE_PICTURES,
    cached_renders,
    cached_textures,
    crop,
    free_pictures,
    like_a_photo,
)
from studio.factory.preview_base.codec_start import WIDTHS, start_linear
from studio.factory.preview_base.latents import scaled
from studio.factory.preview_base.people import DATASET_VERSION

Progress = Callable[[float, str], None]

HELD_OUT_SEED, HELD_OUT = 20_261_000, 16
_LOG_EVERY = 100
_FITTED = 40  # batches that the linear start is fitted to


@dataclass(frozen=True)
class CodecPlan:
    """What a run does; a run is continued only under the plan it began with.

    Attributes:
        seed: of the training set, the first weights and every choice.
        steps: optimizer steps in all; the learning rate falls over them.
        batch: pictures per step: half renders, a quarter free pictures, a quarter textures made by rule.
        renders, textures: different ones to cache.
        size: side of a training picture in pixels.
        latent_channels: numbers of a latent place.
        encoder_blocks, decoder_blocks: residual blocks where a picture of 128 pixels is 128, 64, 32 and 16 wide; none
            at its full size, one or more at the others.
        peak: highest learning rate.
        noise: spread of the noise on the latents.
        hold: weight of the latents' mean square in the loss.
        edges: weight of the edge energy's squared logarithmic error.
    """

    seed: int = 1
    steps: int = 6000
    batch: int = 8
    renders: int = 1024
    textures: int = 256
    size: int = 128
    latent_channels: int = 16
    encoder_blocks: tuple[int, ...] = (0, 1, 1, 2)
    decoder_blocks: tuple[int, ...] = (0, 1, 1, 2)
    peak: float = 5e-4
    noise: float = 0.05
    hold: float = 1e-3
    edges: float = 0.02


def make_codec(plan: CodecPlan) -> Any:
    """Return the autoencoder, untrained."""
    import diffusers

    library: Any = diffusers
    stages = len(WIDTHS)
    model = library.AutoencoderDC(
        in_channels=3, latent_channels=plan.latent_channels, encoder_block_types="ResBlock",
        decoder_block_types="ResBlock", encoder_block_out_channels=WIDTHS,
        decoder_block_out_channels=WIDTHS, encoder_layers_per_block=plan.encoder_blocks,
        decoder_layers_per_block=plan.decoder_blocks, encoder_qkv_multiscales=((),) * stages,
        decoder_qkv_multiscales=((),) * stages, downsample_block_type="pixel_unshuffle",
        upsample_block_type="pixel_shuffle", scaling_factor=1.0,
        encoder_out_shortcut=False, decoder_in_shortcut=False,
    )  # fmt: skip
    for module in model.modules():
        if type(module).__name__ == "ResBlock":
            torch.nn.init.zeros_(module.norm.weight)
            torch.nn.init.zeros_(module.norm.bias)
    return model


def encode(model: Any, x: torch.Tensor) -> torch.Tensor:
    """Return the latents of pictures, unscaled.  # (N, 3, H, W) -1..1 -> (N, C, H/8, W/8)"""
    latents: torch.Tensor = model.encode(x).latent
    return latents


def build_codec(
    out: Path | None,
    *,
    work_folder: Path,
    plan: CodecPlan | None = None,
    checkpoint_seconds: float = 120.0,
    stop_after_step: int | None = None,
    as_it_is: bool = False,
    on_progress: Progress | None = None,
) -> dict[str, Any]:
    """Train the autoencoder on one thread and write its averaged weights; continues where it was stopped.

    Args:
        out: folder to write to, as diffusers loads it, with codec.json; None writes nothing.
        work_folder: pictures, checkpoint.pt and curve.jsonl.
        plan: what to do; the default is the base's.
        checkpoint_seconds: between checkpoints.
        stop_after_step: save a checkpoint and stop there.
        as_it_is: train nothing, write what the last checkpoint holds.
        on_progress: hears the share that is done, 0..1, and a sentence.

    Returns:
        The record, as written to codec.json.

    Raises:
        NotFoundError: there is no checkpoint to write as it is.
        ConflictError: the work folder holds a run under another plan.
        EngineError: the loss is no longer a number.
    """
    plan = plan or CodecPlan()
    torch.set_num_threads(1)
    if as_it_is:
        require_checkpoint(work_folder)
    tell = on_progress or (lambda share, text: None)
    tell(0.0, "Making pictures.")
    run = _Run(plan, work_folder)
    if (work_folder / CHECKPOINT).is_file():
        run.restore()
    if not as_it_is:
        run.train(checkpoint_seconds, stop_after_step, tell)
    record = run.record()
    if out is not None:
        run.exported().half().save_pretrained(out)
        (out / "codec.json").write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    return record


def psnr(model: Any, pictures: NDArray[np.uint8]) -> float:
    """Return the signal to noise of pictures through the autoencoder, in dB, averaged over pictures.

    Args:
        model: as `make_codec` returns it.
        pictures: (N, H, W, 3)
    """
    x = scaled(pictures)
    with torch.inference_mode():
        error = ((model.decode(encode(model, x)).sample.clamp(-1, 1) - x) ** 2).mean((1, 2, 3))
    return float((10 * torch.log10(4 / error)).mean())


class _Run:
    """One training run: network, optimizer, average, and where it stands."""

    def __init__(self, plan: CodecPlan, folder: Path) -> None:
        self.plan, self.folder = plan, folder
        cache = folder / "cache"
        self.renders, self.places = cached_renders(cache, plan.seed, plan.renders)
        self.textures = cached_textures(cache, plan.seed, plan.textures)
        self.free = free_pictures()
        self.held_out, _ = cached_renders(cache, HELD_OUT_SEED, HELD_OUT)
        torch.manual_seed(plan.seed)
        self.model = make_codec(plan)
        first = np.random.default_rng((plan.seed, 13))
        start_linear(self.model, torch.cat([self._batch(first)[0] for _ in range(_FITTED)]))
        self.model.to(memory_format=torch.channels_last)
        self.average = [p.detach().clone() for p in self.model.parameters()]
        self.optimizer = torch.optim.AdamW(self.model.parameters(), betas=(0.9, 0.99), weight_decay=1e-4)
        self.step, self.seconds = 0, 0.0

    def train(self, checkpoint_seconds: float, stop_after_step: int | None, tell: Progress) -> None:
        began, before, saved = time.perf_counter(), self.seconds, time.perf_counter()
        errors: list[float] = []
        while self.step < self.plan.steps and self.step != stop_after_step:
            errors.append(self._one_step())
            self.seconds = before + time.perf_counter() - began
            if not math.isfinite(errors[-1]):
                raise EngineError("The training of the autoencoder diverged.", "The last checkpoint is kept.")
            if self.step % _LOG_EVERY == 0:
                self._log(float(np.mean(errors)), tell)
                errors.clear()
            if time.perf_counter() - saved > checkpoint_seconds:
                self.save()
                saved = time.perf_counter()
        self.save()

    def _batch(self, rng: np.random.Generator) -> tuple[torch.Tensor, torch.Tensor]:
        """Return pictures in -1..1 and how much each pixel counts, one on average.  # (N, 3, S, S), (N, 1, S, S)"""
        size, pictures, weights = self.plan.size, [], []
        y, x = np.meshgrid(*[(np.arange(size) + 0.5) / size] * 2, indexing="ij")
        for k in range(self.plan.batch):
            weight = np.ones((size, size), np.float32)
            if k % 2 == 0:
                row = int(rng.integers(len(self.renders)))
                picture, moved = crop(self.renders[row], rng, size, 0.5)
                for px, py in moved(self.places[row]):
                    weight += 2 * np.exp(-((x - px) ** 2 + (y - py) ** 2) / (2 * 0.07**2))
            elif k % 4 == 1:
                picture, _ = crop(self.free[int(rng.integers(len(self.free)))], rng, size, 0.25)
            else:
                picture, _ = crop(self.textures[int(rng.integers(len(self.textures)))], rng, size, 0.5)
            pictures.append(like_a_photo(picture, rng) if rng.random() < 0.6 else picture)
            weights.append(weight / weight.mean())
        return scaled(np.stack(pictures)), torch.from_numpy(np.stack(weights).astype(np.float32))[:, None]

    def _one_step(self) -> float:
        """Take one optimizer step; everything random depends on the step's number only."""
        plan, step = self.plan, self.step
        x, weight = self._batch(np.random.default_rng((plan.seed, 12, step)))
        x = x.contiguous(memory_format=torch.channels_last)
        noise_source = torch.Generator().manual_seed(plan.seed * 1_000_003 + step)
        with torch.autocast("cpu", torch.bfloat16):
            latents = encode(self.model, x)
            noisy = latents + plan.noise * torch.randn(latents.shape, generator=noise_source)
            y = self.model.decode(noisy).sample
        loss = _difference(y.float(), x, weight) + plan.hold * (latents.float() ** 2).mean()
        loss = loss + plan.edges * (torch.log(_edge_energy(y.float()) / _edge_energy(x)) ** 2).mean()
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        rate = plan.peak * min(1.0, (step + 1) / 100) * (0.02 + 0.98 * (1 + math.cos(math.pi * step / plan.steps)) / 2)
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        self.step += 1
        decay = min(0.998, (1 + self.step) / (20 + self.step))
        with torch.no_grad():
            torch._foreach_lerp_(self.average, [p.detach() for p in self.model.parameters()], 1 - decay)
        return float((y.detach().float() - x).abs().mean())

    def _log(self, error: float, tell: Progress) -> None:
        quality = psnr(self.exported(), self._examples())
        line = {"step": self.step, "l1": round(error, 5), "held_out_db": round(quality, 2),
                "seconds": round(self.seconds, 1)}  # fmt: skip
        note(self.folder, line)
        tell(self.step / self.plan.steps, f"Step {self.step}: error {error:.4f}, held-out renders {quality:.2f} dB.")

    def _examples(self) -> NDArray[np.uint8]:
        """Return the held-out renders at the training's size."""
        import cv2

        side = (self.plan.size, self.plan.size)
        return np.stack([cv2.resize(p, side, interpolation=cv2.INTER_AREA) for p in np.asarray(self.held_out)])

    def exported(self) -> Any:
        """Return the averaged network in half precision's values, with a scale that makes its latents' spread 1."""
        model = make_codec(self.plan)
        with torch.no_grad():
            for target, source in zip(model.parameters(), self.average, strict=True):
                target.copy_(source)
        model = model.half().float().eval().requires_grad_(False)
        with torch.inference_mode():
            spread = encode(model, scaled(self._examples())).std()
        model.register_to_config(scaling_factor=round(float(1 / spread), 4))
        return model

    def record(self) -> dict[str, Any]:
        """Return what codec.json holds."""
        return {
            "command": "python -m studio base codec", "plan": asdict(self.plan), "dataset": DATASET_VERSION,
            "steps": self.step, "seconds": round(self.seconds), "torch": torch.__version__,
            "held_out_renders_db": round(psnr(self.exported(), self._examples()), 2),
        }  # fmt: skip

    def save(self) -> None:
        """Write the checkpoint; a crash leaves the one before."""
        state = {"step": self.step, "seconds": self.seconds, "plan": _plan_text(self.plan), "average": self.average,
                 "model": self.model.state_dict(), "optimizer": self.optimizer.state_dict()}  # fmt: skip
        save_state(state, self.folder / CHECKPOINT)

    def restore(self) -> None:
        """Continue where the checkpoint stands.

        Raises:
            ConflictError: it was made under another plan.
        """
        state = read_state(self.folder, _plan_text(self.plan))
        self.model.load_state_dict(state["model"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.average = [a.clone() for a in state["average"]]
        self.step, self.seconds = int(state["step"]), float(state["seconds"])


def _difference(y: torch.Tensor, x: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
    """Return the weighted absolute error of pictures, of their pyramids' bands and of their gradients."""
    error = y - x
    loss = (error.abs() * weight).mean()
    loss = loss + ((error[..., 1:] - error[..., :-1]).abs() * weight[..., 1:]).mean()
    loss = loss + ((error[..., 1:, :] - error[..., :-1, :]).abs() * weight[..., 1:, :]).mean()
    for _ in range(3):  # both pyramids are linear: their difference is the pyramid of the difference
        low, weight = F.avg_pool2d(error, 2), F.avg_pool2d(weight, 2)
        band = error - F.interpolate(low, scale_factor=2.0, mode="bilinear")
        loss, error = loss + (band.abs() * F.interpolate(weight, scale_factor=2.0)).mean(), low
    return loss + (error.abs() * weight).mean()


def _edge_energy(x: torch.Tensor) -> torch.Tensor:
    """Return the mean square of differences between neighbors, of each picture.  # (N, 3, H, W) -> (N,)"""
    across, down = x[..., 1:] - x[..., :-1], x[..., 1:, :] - x[..., :-1, :]
    return (across**2).mean((1, 2, 3)) + (down**2).mean((1, 2, 3)) + 1e-5


def _plan_text(plan: CodecPlan) -> str:
    """Return what must agree for a run to be continued: the plan, the renderer's version, the free pictures."""
    return json.dumps({"plan": asdict(plan), "dataset": DATASET_VERSION, "free_pictures": FREE_PICTURES})
