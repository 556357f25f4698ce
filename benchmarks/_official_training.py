"""One step as examples/dreambooth/train_dreambooth_lora.py of diffusers 0.42 makes it, for `training` to time.

The script is no part of any package. What it does per step is written here from
reading it: pictures read from disk, encoded by the autoencoder and the text
encoder at every step, accelerate, AdamW, clipping. Given its path, the script
itself can be timed.
"""

from __future__ import annotations

import itertools
import os
import resource
import statistics
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from studio.domain.base_model import BaseLocation
from studio.domain.training import TrainingPlan
from studio.engines.base_diffusion import TrainingExample
from studio.errors import UserInputError

_ROUNDS = 3


def write_pictures(photos: Sequence[TrainingExample], folder: Path) -> None:
    """Write the photos where `official_step` and the script read them, as photos and as class pictures."""
    from PIL import Image

    for kind in ("instance", "class", "run/class"):
        (folder / kind).mkdir(parents=True, exist_ok=True)
        for number, photo in enumerate(photos):
            Image.fromarray(photo.image).save(folder / kind / f"{number:04d}.png")


def official_step(location: BaseLocation, plan: TrainingPlan, folder: Path) -> Callable[[], Any]:
    """Return one step as the official script makes it, written from reading it."""
    import torch
    from accelerate import Accelerator
    from diffusers.optimization import get_scheduler
    from PIL import Image
    from PIL.ImageOps import exif_transpose

    from studio.engines.diffusion.bases.loading import load_base
    from studio.engines.diffusion.training.trainable import lora_configs

    count = _photos_in(folder)
    base = load_base(location, device="cpu")
    accelerator = Accelerator(cpu=True)
    configs = lora_configs(plan, ("text_encoder",))
    base.unet.add_adapter(configs["unet"])
    encoder, tokenizer = base.text_encoders[0], base.tokenizers[0]
    trained = [p for p in base.unet.parameters() if p.requires_grad]
    if plan.train_text_encoder:
        encoder.add_adapter(configs["text_encoder"])
        trained += [p for p in encoder.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=plan.learning_rate, weight_decay=1e-2)

    class Pictures(torch.utils.data.Dataset):  # type: ignore[type-arg]
        def __len__(self) -> int:
            return count

        def _read(self, path: Path) -> Any:
            picture = exif_transpose(Image.open(path)).convert("RGB").resize((plan.resolution,) * 2)
            return torch.from_numpy(np.array(picture)).permute(2, 0, 1).float().div(255).sub(0.5).div(0.5)

        def _tokens(self, prompt: str) -> Any:
            return tokenizer(prompt, truncation=True, padding="max_length", return_tensors="pt").input_ids

        def __getitem__(self, index: int) -> dict[str, Any]:
            return {
                "photo": self._read(folder / "instance" / f"{index:04d}.png"),
                "class": self._read(folder / "class" / f"{index:04d}.png"),
                "photo tokens": self._tokens("a photo of sks person"),
                "class tokens": self._tokens("a photo of a person"),
            }

    def collate(rows: list[dict[str, Any]]) -> dict[str, Any]:
        pixels = [r["photo"] for r in rows] + [r["class"] for r in rows]
        tokens = [r["photo tokens"] for r in rows] + [r["class tokens"] for r in rows]
        return {"pixels": torch.stack(pixels).contiguous(), "tokens": torch.cat(tokens)}

    loader = torch.utils.data.DataLoader(
        Pictures(), batch_size=plan.batch, shuffle=True, collate_fn=collate, drop_last=True
    )
    rates = get_scheduler("constant", optimizer=optimizer)
    unet, encoder, optimizer, loader, rates = accelerator.prepare(base.unet, encoder, optimizer, loader, rates)
    batches = itertools.chain.from_iterable(itertools.repeat(loader))
    scheduler, scaling = base.noise_scheduler, base.vae.config.scaling_factor
    unet.train()

    def step() -> float:
        batch = next(batches)
        with accelerator.accumulate(unet):
            latents = base.vae.encode(batch["pixels"]).latent_dist.sample() * scaling
            noise = torch.randn_like(latents)
            times = torch.randint(0, 1000, (len(latents),)).long()
            noisy = scheduler.add_noise(latents, noise, times)
            words = encoder(batch["tokens"], attention_mask=None)[0]
            predicted = unet(noisy, times, words, return_dict=False)[0]
            target = noise
            if scheduler.config.prediction_type == "v_prediction":
                target = scheduler.get_velocity(latents, noise, times)
            (mine, prior), (want, want_prior) = predicted.chunk(2), target.chunk(2)
            loss = torch.nn.functional.mse_loss(mine.float(), want.float())
            loss = loss + plan.prior_weight * torch.nn.functional.mse_loss(prior.float(), want_prior.float())
            accelerator.backward(loss)
            if accelerator.sync_gradients:
                accelerator.clip_grad_norm_(trained, 1.0)
            optimizer.step()
            rates.step()
            optimizer.zero_grad()
        return float(loss.detach().item())

    return step


def script_seconds(script: Path, location: BaseLocation, plan: TrainingPlan, folder: Path) -> float:
    """Time the official script itself: processor seconds of a step, from the difference of a long and a short run.

    Raises:
        UserInputError: it cannot be run; the last lines that it wrote are in the message.
    """

    def seconds(steps: int) -> float:
        command = [
            sys.executable, str(script), f"--pretrained_model_name_or_path={location.path}",
            f"--instance_data_dir={folder / 'instance'}", "--instance_prompt=a photo of sks person",
            "--with_prior_preservation", f"--class_data_dir={folder / 'class'}", "--class_prompt=a photo of a person",
            f"--num_class_images={_photos_in(folder)}", f"--output_dir={folder / 'script'}",
            f"--resolution={plan.resolution}",
            f"--train_batch_size={plan.batch}", f"--rank={plan.rank}", f"--max_train_steps={steps}",
            f"--learning_rate={plan.learning_rate}", "--lr_scheduler=constant", "--lr_warmup_steps=0", "--seed=0",
            *(["--train_text_encoder"] if plan.train_text_encoder else []),
        ]  # fmt: skip
        environment = {**os.environ, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1", "ACCELERATE_USE_CPU": "true"}
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        done = subprocess.run(command, check=False, capture_output=True, text=True, env=environment)
        if done.returncode:
            said = " ".join(done.stderr.split()[-40:])
            raise UserInputError(f"The official script ended with {done.returncode}: {said}", "Try it by itself first.")
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime

    rounds = [(seconds(2 + plan.steps) - seconds(2)) / plan.steps for _ in range(_ROUNDS)]
    return statistics.median(rounds)


def _photos_in(folder: Path) -> int:
    return len(list((folder / "instance").glob("*.png")))
