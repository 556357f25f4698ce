"""Reads the attributes of a small face picture; the independent judge of the embedded base.

A small convolutional network with one head per attribute. It has only ever
seen renders (with light noise, blur and the autoencoder's losses, so that
these do not mislead it), never a generated picture: what it says about the
base's pictures is therefore no judgment of the base by itself. It means
nothing on photographs.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from studio.engines.rig import kernels
from studio.errors import EngineUnavailableError
from studio.factory.preview_base import cache
from studio.factory.preview_base.cache import PictureCache, fill
from studio.factory.preview_base.latents import coded_pictures, fill_coded, fill_latents, scaled
from studio.factory.preview_base.people import ATTRIBUTES, mirrored_labels

_WIDTHS = (16, 24, 48, 80, 112)
_SEEN = 128
"""Side at which pictures are read, in pixels: larger ones are shrunk. Wrinkles need every one of them."""
HELD_OUT_SEED = 1_000_003
"""The training set the accuracy is measured on; nothing is ever trained on it."""


class AttributeClassifier(nn.Module):
    """Five halvings with residual blocks, then one linear head over all values of all attributes."""

    def __init__(self) -> None:
        super().__init__()
        blocks: list[nn.Module] = []
        before = 3
        for width in _WIDTHS:
            blocks += [nn.Conv2d(before, width, 3, 2, 1), nn.GroupNorm(8, width), nn.SiLU(), _Residual(width)]
            before = width
        self.body = nn.Sequential(*blocks)
        self.squeeze = nn.Conv2d(before, 24, 1)
        self.head = nn.Linear(24 * 16 + before, sum(len(v) for v in ATTRIBUTES.values()))

    def forward(self, pictures: torch.Tensor) -> torch.Tensor:
        """Return one logit per value of every attribute, in ATTRIBUTES' order.  # (N, 3, 128, 128) -> (N, L)"""
        features = self.body(pictures)  # (N, C, 4, 4)
        places = torch.nn.functional.silu(self.squeeze(features)).flatten(1)
        result: torch.Tensor = self.head(torch.cat([places, features.mean((2, 3))], 1))
        return result


class _Residual(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.inner = nn.Sequential(nn.Conv2d(width, width, 3, 1, 1), nn.GroupNorm(8, width), nn.SiLU())

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        result: torch.Tensor = x + self.inner(x)
        return result


def read_attributes(model: AttributeClassifier, pictures: NDArray[np.uint8], batch: int = 64) -> list[dict[str, str]]:
    """Return the most likely value of every attribute of every picture.

    Args:
        model: from `load_classifier`.
        pictures: RGB, of 128 pixels or a multiple.  # (N, S, S, 3)
    """
    out: list[dict[str, str]] = []
    with torch.inference_mode():
        for start in range(0, len(pictures), batch):
            logits = model(_shrunk(scaled(pictures[start : start + batch])))
            columns = {n: part.argmax(1).tolist() for n, part in _by_attribute(logits).items()}
            out += [{n: ATTRIBUTES[n][c[i]] for n, c in columns.items()} for i in range(len(logits))]
    return out


def accuracy(found: Sequence[Mapping[str, str]], wanted: Sequence[Mapping[str, str]]) -> dict[str, float]:
    """Return the share of right values per attribute, over the pictures that ask for it.

    Args:
        found: what the classifier read.
        wanted: what was asked for; attributes may be missing.
    """
    out: dict[str, float] = {}
    for name in ATTRIBUTES:
        hits = [f[name] == w[name] for f, w in zip(found, wanted, strict=True) if name in w]
        if hits:
            out[name] = float(np.mean(hits))
    return out


def load_classifier(file: Path) -> AttributeClassifier:
    """Read the classifier.

    Raises:
        EngineUnavailableError: the file is missing or no such classifier.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    model = AttributeClassifier()
    try:
        model.load_state_dict({n: t.float() for n, t in load_file(str(file)).items()})
    except (OSError, SafetensorError, RuntimeError) as exc:
        raise EngineUnavailableError(
            "The attribute classifier cannot be read.",
            "Make it with `python benchmarks/base.py --train-classifier FOLDER`.",
        ) from exc
    return model.eval().requires_grad_(False)


def train_classifier(
    file: Path,
    *,
    work_folder: Path,
    codec: Path,
    seed: int = 1,
    renders: int = 32_768,
    rounds: float = 6,
    batch: int = 64,
    held_out: int = 2048,
    processes: int = 1,
    start: Path | None = None,
    on_progress: Callable[[float, str], None] | None = None,
) -> dict[str, float]:
    """Train the classifier on renders and measure it on others.

    Args:
        file: safetensors file to write, half precision.
        work_folder: where renders are cached; shared with the base's training.
        codec: folder of the base's autoencoder; every second shard of renders is seen through it.
        seed: of the renders and the training.
        renders: different pictures to learn from.
        rounds: how often each is seen.
        batch: pictures per step.
        held_out: pictures to measure on, of another seed.
        processes: that render and encode what is missing; training takes one thread.
        start: classifier to go on from, such as one for an older version of the renders.
        on_progress: hears the share that is done, 0..1, and a sentence.

    Returns:
        Accuracy per attribute on the held-out renders, 0..1; also in the file's metadata.
    """
    from safetensors.torch import save_file

    torch.set_num_threads(1)
    cache_folder = work_folder / "cache"
    tell = on_progress or (lambda share, text: None)
    fill(cache_folder, seed, renders, processes)
    fill(cache_folder, HELD_OUT_SEED, held_out, processes)
    examples = _Examples(cache_folder, seed, renders, codec, processes, tell)
    torch.manual_seed(seed)
    model = AttributeClassifier() if start is None else load_classifier(start).train().requires_grad_(True)
    optimizer = torch.optim.AdamW(model.parameters(), 2e-3, weight_decay=0.01)
    steps = max(1, round(rounds * renders / batch))
    rng = np.random.default_rng((seed, 3))
    running = 0.0
    for step in range(steps):
        pictures, targets = examples.draw(rng.integers(0, renders, batch), rng)
        logits = model(pictures)
        parts = _by_attribute(logits)
        losses = [torch.nn.functional.cross_entropy(parts[n], targets[:, k]) for k, n in enumerate(ATTRIBUTES)]
        loss = torch.stack(losses).sum()
        loss.backward()  # type: ignore[no-untyped-call]
        for group in optimizer.param_groups:
            group["lr"] = (
                2e-3 * min(1.0, (step + 1) / 100) * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * step / steps)))
            )
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        running = float(loss.detach()) if step == 0 else 0.98 * running + 0.02 * float(loss.detach())
        if step % 50 == 0:
            tell(step / steps, f"Classifier: loss {running:.3f}.")
    model.eval()
    test = PictureCache(cache_folder, HELD_OUT_SEED, held_out)
    figures = accuracy(read_attributes(model, test.pictures(np.arange(held_out))), test.labels)
    file.parent.mkdir(parents=True, exist_ok=True)
    tensors = {n: t.half() for n, t in model.state_dict().items()}
    save_file(tensors, str(file), metadata={"accuracy": json.dumps(figures), "pictures": str(steps * batch)})
    return figures


class _Examples:
    """Renders at the side at which they are read, every second shard as the autoencoder draws it."""

    def __init__(
        self, folder: Path, seed: int, count: int, codec: Path, processes: int, tell: Callable[[float, str], None]
    ) -> None:
        numbers = range(-(-count // cache.SHARD))
        fill_latents(folder, seed, count, codec, processes)
        fill_coded(folder, seed, numbers[::2], codec, _SEEN, processes, lambda s: tell(s, "Drawing from latents."))
        self.labels = PictureCache(folder, seed, count).labels
        self._pictures = [
            _small(cache.shard_pictures(folder, seed, k)) if k % 2 else coded_pictures(folder, seed, k, codec, _SEEN)
            for k in numbers
        ]

    def draw(self, rows: NDArray[np.int64], rng: np.random.Generator) -> tuple[torch.Tensor, torch.Tensor]:
        """Return pictures made a little worse and the value numbers of their attributes."""
        pictures = np.stack([self._pictures[int(r) // cache.SHARD][int(r) % cache.SHARD] for r in rows])
        flips = rng.random(len(rows)) < 0.5
        pictures[flips] = pictures[flips, :, ::-1]
        labels = [mirrored_labels(self.labels[r]) if f else self.labels[r] for r, f in zip(rows, flips, strict=True)]
        x = scaled(pictures)
        blurred = torch.nn.functional.avg_pool2d(x, 3, 1, 1, count_include_pad=False)
        x = x + torch.from_numpy(rng.uniform(0, 0.7, (len(rows), 1, 1, 1)).astype(np.float32)) * (blurred - x)
        strength = rng.uniform(0, 0.06, (len(rows), 1, 1, 1))
        noise = rng.standard_normal(x.shape, np.float32) * strength.astype(np.float32)
        targets = [[ATTRIBUTES[n].index(label[n]) for n in ATTRIBUTES] for label in labels]
        return x + torch.from_numpy(noise), torch.tensor(targets)


def _small(pictures: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return pictures shrunk to the side at which they are read.  # (N, S, S, 3) -> (N, 128, 128, 3)"""
    by = pictures.shape[1] // _SEEN
    small: NDArray[np.uint8] = kernels.box_means(pictures, by).round().astype(np.uint8)
    return small


def _by_attribute(logits: torch.Tensor) -> dict[str, torch.Tensor]:
    sizes = [len(v) for v in ATTRIBUTES.values()]
    return dict(zip(ATTRIBUTES, torch.split(logits, sizes, 1), strict=True))


def _shrunk(pictures: torch.Tensor) -> torch.Tensor:
    """Return pictures at the side at which they are read.  # (N, 3, S, S) -> (N, 3, 128, 128)"""
    return torch.nn.functional.avg_pool2d(pictures, pictures.shape[-1] // _SEEN)
