"""Personalization in figures: speed beside the official script's loop, exact resume, bytes of optimizers.

    python -m studio bench training [--script train_dreambooth_lora.py]

Three loops make the same steps on the same model, batch, precision and trainable layers, in turn on one
thread: the bare forward, backward and optimizer step on fixed numbers; the studio's own `train`; and the
official script's, re-implemented from reading it (`_official_training`) or, given its path, the script itself:
examples/dreambooth of diffusers, in a process of its own. It needs torchvision, which the studio does not, and
cannot read the preview base's autoencoder; beside that base the re-implemented loop stands. All times are
processor time, which other programs on the machine hardly change. The studio keeps latents and the embeddings
of a frozen text encoder, which is where most of the difference comes from.

Models: the preview base, or a random one of its size where it is not built; and Stable Diffusion 1.5 at a
quarter of its widths at 128 pixels, so that autoencoder, text encoder and UNet have the original's proportions.
"""

from __future__ import annotations

import json
import os
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).resolve().parent.parent
if str(ROOT) not in sys.path:
    sys.path.insert(0, str(ROOT))

from benchmarks._official_training import official_step, script_seconds, write_pictures  # noqa: E402
from studio.domain.base_model import BaseLocation  # noqa: E402
from studio.domain.training import TrainingPlan  # noqa: E402
from studio.engines.base_diffusion import TrainingExample  # noqa: E402
from studio.engines.diffusion import runtime  # noqa: E402

PHOTOS = 6
GOALS = {"overhead": 0.10, "times the official loop": 1.3, "resume difference": 0.0}


def run(script: Path | None = None) -> dict[str, Any]:
    """Measure, and return one JSON-able dictionary.

    Args:
        script: the official script; None times what was written from reading it.
    """
    runtime.prepare(threads=1)
    folder = Path(tempfile.mkdtemp(prefix="bench-"))
    try:
        figures: dict[str, Any] = {"machine": platform.processor() or platform.machine(), **runtime.versions()}
        figures["speed"] = {}
        for name, location, steps in _bases(folder):
            for text in (False, True):
                plan = _plan(location, steps, text)
                title = f"{name}, {'UNet and text encoder' if text else 'UNet'}"
                figures["speed"][title] = _speed(
                    location, plan, folder / "speed", None if location.embedded else script
                )
                _say(f"{title}: {figures['speed'][title]}")
        figures["resume difference"] = _resume_difference(folder)
        _say(f"resume difference {figures['resume difference']}")
        figures["optimizers"] = _optimizers()
        for optimizer, row in figures["optimizers"].items():
            _say(f"{optimizer}: {row}")
        figures["goals"] = GOALS
        return figures
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


# -- models -------------------------------------------------------------------------------


def _bases(folder: Path) -> Iterator[tuple[str, BaseLocation, int]]:
    """Yield name, place and how many steps a round makes."""
    from studio.engines.diffusion.bases.inspecting import inspect_base

    embedded = ROOT / "assets" / "base"
    if (embedded / "model_index.json").exists():
        yield "preview base", inspect_base(embedded), 24
    else:
        small = _write_base(folder / "small", (64, 96, 160), (16, 16, 16), 64)
        yield "random base of the preview's size", inspect_base(small), 24
    quarter = _write_base(folder / "quarter", (80, 160, 320, 320), (32, 64, 128, 128), 192)
    yield "Stable Diffusion 1.5 at quarter width, 128 px", inspect_base(quarter), 12


def _write_base(folder: Path, widths: Sequence[int], autoencoder: Sequence[int], text: int) -> Path:
    """Write a random base with the topology of Stable Diffusion 1.5."""
    import diffusers
    import torch
    from transformers import CLIPTextConfig, CLIPTextModel

    from studio.factory.preview_base.tokenizer import make_tokenizer

    library: Any = diffusers
    words = make_tokenizer(folder / "tokenizer")
    deep = len(widths) - 1
    torch.manual_seed(0)
    library.UNet2DConditionModel(
        sample_size=64 if deep == 3 else 16, block_out_channels=tuple(widths), cross_attention_dim=text,
        layers_per_block=2 if deep == 3 else 1, norm_num_groups=16, attention_head_dim=8,
        down_block_types=(*("CrossAttnDownBlock2D",) * deep, "DownBlock2D"),
        up_block_types=("UpBlock2D", *("CrossAttnUpBlock2D",) * deep),
    ).save_pretrained(folder / "unet")  # fmt: skip
    library.AutoencoderKL(
        block_out_channels=tuple(autoencoder), latent_channels=4, norm_num_groups=8,
        layers_per_block=2 if deep == 3 else 1, down_block_types=("DownEncoderBlock2D",) * len(autoencoder),
        up_block_types=("UpDecoderBlock2D",) * len(autoencoder),
    ).save_pretrained(folder / "vae")  # fmt: skip
    config = CLIPTextConfig(
        vocab_size=len(words), hidden_size=text, intermediate_size=4 * text, num_hidden_layers=12 if deep == 3 else 4,
        num_attention_heads=4, bos_token_id=words.bos_token_id, eos_token_id=words.eos_token_id,
        pad_token_id=words.eos_token_id,
    )  # fmt: skip
    CLIPTextModel(config).save_pretrained(folder / "text_encoder")
    library.DDPMScheduler(beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear").save_pretrained(
        folder / "scheduler"
    )
    parts = {"unet": ["diffusers", "UNet2DConditionModel"], "vae": ["diffusers", "AutoencoderKL"],
             "scheduler": ["diffusers", "DDPMScheduler"], "text_encoder": ["transformers", "CLIPTextModel"],
             "tokenizer": ["transformers", "CLIPTokenizer"], "safety_checker": [None, None],
             "feature_extractor": [None, None]}  # fmt: skip
    index = {"_class_name": "StableDiffusionPipeline", "requires_safety_checker": False, **parts}
    (folder / "model_index.json").write_text(json.dumps(index))
    return folder


def _plan(location: BaseLocation, steps: int, text: bool) -> TrainingPlan:
    """Return the official script's settings as a plan: attention only, one rate, prior preservation, no extras."""
    small = location.resolution <= 64
    return TrainingPlan(
        base=location.name, resolution=64 if small else 128, steps=steps, batch=4 if small else 1, rank=4, alpha=4,
        text_rank=4, text_alpha=4, feed_forward=False, convolutions=False, train_text_encoder=text,
        prior_pictures=PHOTOS, masked_loss=False, min_snr_gamma=0, caption_dropout=0, schedule="constant",
        warmup_steps=0, precision="fp32", learning_rate=1e-4, text_learning_rate=1e-4, sample_steps=1,
        sample_prompts=("a photo of {trigger} {class}",), class_prompts=(), sample_seeds=(1,),
        checkpoint_every=100_000, sample_every=100_000,
    )  # fmt: skip


def _photos(side: int) -> list[TrainingExample]:
    generator = np.random.default_rng(0)
    coarse = generator.integers(0, 255, (PHOTOS, 4, 4, 3), np.uint8)
    images = np.kron(coarse, np.ones((1, side // 4, side // 4, 1), np.uint8))
    return [TrainingExample(image, None, "a photo of sks person", str(i)) for i, image in enumerate(images)]


# -- speed --------------------------------------------------------------------------------


def _speed(location: BaseLocation, plan: TrainingPlan, folder: Path, script: Path | None) -> dict[str, Any]:
    """Let the loops make a step each in turn, and return medians of processor seconds per step.

    Processor time of the working thread, which other programs on the machine hardly change; reading
    pictures from a slow disk, which only the official loop does, is so left out of its time.
    """
    photos = _photos(plan.resolution)
    shutil.rmtree(folder, ignore_errors=True)
    write_pictures(photos, folder)
    loops = {"bare": _bare(location, plan), "studio": _Studio(location, plan, photos, folder / "run").step}
    if not script:
        loops["official"] = official_step(location, plan, folder)
    times: dict[str, list[float]] = {name: [] for name in loops}
    for _ in range(plan.steps):
        for name, step in loops.items():
            times[name].append(_timed(step))
    seconds = {name: statistics.median(values[2:]) for name, values in times.items()}  # the first steps warm up
    if script:
        seconds["official"] = script_seconds(script, location, plan, folder)
    return {
        **{f"{name} ms a step": round(1000 * value, 1) for name, value in seconds.items()},
        "overhead": round(seconds["studio"] / seconds["bare"] - 1, 3),
        "times the official loop": round(seconds["official"] / seconds["studio"], 2),
        "official loop": "the script itself" if script else "re-implemented",
    }


def _timed(step: Callable[[], Any]) -> float:
    begin = time.process_time()
    step()
    return time.process_time() - begin


class _Studio:
    """The studio's own `train` in a thread that waits for its turn between steps (TrainingEvents)."""

    def __init__(self, location: BaseLocation, plan: TrainingPlan, photos: Sequence[TrainingExample], folder: Path):
        self._turn, self._done = threading.Semaphore(0), threading.Semaphore(0)
        self._arguments = (location, plan, photos, folder, self)
        self._thread: threading.Thread | None = None

    def _train(self) -> None:
        from studio.engines.diffusion.training.trainer import DiffusionTrainer

        DiffusionTrainer("cpu").train(*self._arguments)

    def step(self, *made: Any) -> None:
        """Make one step; called by the trainer (with what it made), say so and wait."""
        if made:
            self._done.release()
            self._turn.acquire()
            return
        if self._thread is None:
            self._thread = threading.Thread(target=self._train, daemon=True)
            self._thread.start()
        else:
            self._turn.release()
        self._done.acquire()

    def drawing(self, step: int, number: int, count: int) -> None:
        """Nor is how they are drawn."""

    def sampled(self, step: int, pictures: Any) -> None:
        """Pictures are no part of a step."""

    def saved(self, step: int, adapter: Path, has_state: bool) -> None:
        """Nor are checkpoints."""

    def note(self, text: str) -> None:
        """Nothing is said here."""

    def should_stop(self) -> bool:
        return False


def _bare(location: BaseLocation, plan: TrainingPlan) -> Callable[[], Any]:
    """Return forward, backward and optimizer step on numbers that never change."""
    import torch

    from studio.engines.diffusion.bases.loading import load_base
    from studio.engines.diffusion.bases.prompts import encode_prompts
    from studio.engines.diffusion.training.trainable import Trainable

    base = load_base(location, device="cpu")
    trainable = Trainable(base, plan)
    optimizer = torch.optim.AdamW(trainable.groups(), fused=True)
    cells, count = plan.resolution // base.latent_factor, 2 * plan.batch
    latents, noise = torch.randn(2, count, base.latent_channels, cells, cells)
    rows = [0] * plan.batch + [1] * plan.batch
    times = torch.randint(0, 1000, (count,))
    prompts = ["a photo of sks person", "a photo of a person"]
    with torch.no_grad():
        kept = encode_prompts(base, prompts).hidden[rows]

    def step() -> None:
        words = encode_prompts(base, prompts).hidden[rows] if plan.train_text_encoder else kept
        predicted = base.unet(latents, times, words, return_dict=False)[0]
        torch.nn.functional.mse_loss(predicted, noise).backward()
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)

    return step


# -- resume -------------------------------------------------------------------------------


class _Quiet(_Studio):
    """Events for a training that nobody times; asks to stop after so many steps."""

    def __init__(self, stop_at: int | None = None) -> None:
        self._left = stop_at

    def step(self, *made: Any) -> None:
        if self._left is not None:
            self._left -= 1

    def should_stop(self) -> bool:
        return self._left == 0


def _resume_difference(folder: Path) -> float:
    """Train 12 steps at once, and 6 and 6 with a new process between; return the largest difference of any weight."""
    from safetensors.torch import load_file

    from studio.engines.diffusion.bases.inspecting import inspect_base
    from studio.engines.diffusion.training.trainer import DiffusionTrainer

    location = inspect_base(_write_base(folder / "resume-base", (32, 64), (8, 16, 16), 32))
    plan = _plan(location, 12, text=True).model_copy(
        update={"convolutions": True, "feed_forward": True, "ema": True, "caption_dropout": 0.2, "schedule": "cosine"}
    )
    plan = TrainingPlan(**{**plan.model_dump(), "resolution": 64, "prior_pictures": 3})
    whole = DiffusionTrainer("cpu").train(location, plan, _photos(64), folder / "whole", _Quiet())
    DiffusionTrainer("cpu").train(location, plan, _photos(64), folder / "halves", _Quiet(6))
    job = {"location": location.__dict__, "plan": plan.model_dump(mode="json"), "folder": str(folder / "halves")}
    subprocess.run(
        [sys.executable, str(Path(__file__).resolve()), "--go-on", json.dumps(job)],
        check=True, env={**os.environ, "OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    assert whole.adapter is not None
    once = load_file(whole.adapter)
    twice = load_file(folder / "halves" / "checkpoints" / whole.adapter.parent.name / whole.adapter.name)
    return max(float((once[name] - twice[name]).abs().max()) for name in once)


def _go_on(job: dict[str, Any]) -> None:
    from studio.engines.diffusion.training.trainer import DiffusionTrainer

    runtime.prepare(threads=1)
    location, plan = BaseLocation(**job["location"]), TrainingPlan(**job["plan"])
    DiffusionTrainer("cpu").train(location, plan, _photos(plan.resolution), Path(job["folder"]), _Quiet())


# -- optimizers ---------------------------------------------------------------------------


def _optimizers() -> dict[str, Any]:
    """Return bytes kept, milliseconds a step and what 24 steps on one batch reach, on a UNet of 10 million weights."""
    import diffusers
    import torch

    from studio.engines.diffusion.training.optimizers import make_optimizer, state_bytes

    library: Any = diffusers
    found: dict[str, Any] = {}
    for name in ("adamw", "projected_adamw"):
        torch.manual_seed(0)
        unet = library.UNet2DConditionModel(
            sample_size=16, block_out_channels=(96, 192), layers_per_block=1, cross_attention_dim=64,
            attention_head_dim=8, norm_num_groups=16, down_block_types=("CrossAttnDownBlock2D",) * 2,
            up_block_types=("CrossAttnUpBlock2D",) * 2,
        )  # fmt: skip
        plan = TrainingPlan(optimizer=name, projection_rank=32, weight_decay=0.0)
        optimizer = make_optimizer(plan, [{"params": list(unet.parameters()), "lr": 3e-4}])
        latents, words, target = torch.randn(2, 4, 16, 16), torch.randn(2, 16, 64), torch.randn(2, 4, 16, 16)
        losses, times = [], []
        for _ in range(24):
            loss = torch.nn.functional.mse_loss(unet(latents, 10, words, return_dict=False)[0], target)
            loss.backward()
            times.append(_timed(optimizer.step))
            optimizer.zero_grad()
            losses.append(float(loss.detach()))
        found[name] = {
            "weights MB": round(sum(p.numel() for p in unet.parameters()) * 4 / 1e6, 1),
            "state MB": round(state_bytes(optimizer) / 1e6, 1),
            "ms a step": round(1000 * statistics.median(times), 1),
            "loss": [round(losses[0], 3), round(losses[-1], 3)],
            "state MB for all of Stable Diffusion 1.5": _whole_model_megabytes(name),
        }
    return found


def _whole_model_megabytes(name: Any) -> int | None:
    from studio.engines.diffusion.training.cost import bundled_location, cost_of
    from studio.engines.diffusion.training.optimizers import expected_state_bytes

    plan = TrainingPlan(method="dreambooth", optimizer=name, resolution=512, train_text_encoder=False)
    shapes = cost_of(bundled_location("sd15"), plan)
    return round(expected_state_bytes(name, shapes.trained, plan.projection_rank) / 1e6)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--go-on"]:
        _go_on(json.loads(sys.argv[2]))
    else:
        json.dump(run(), sys.stdout, indent=2)
