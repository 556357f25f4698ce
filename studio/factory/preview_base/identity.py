"""Teaches the embedder of rendered people (`engines.vision.rendered_faces`), and measures it on others.

Rendered people are known exactly, so metric learning needs no label of
anybody: several pictures of each, half of them as the base's autoencoder draws
them, and a margin between people (CosFace, Wang et al., CVPR 2018). No picture
of the base is ever seen: the embedder must not learn its taste.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from studio.engines.vision.analyser import VisionAnalyser
from studio.engines.vision.rendered_faces import SIDE, as_input, network, rendered_chip
from studio.factory.preview_base.drawing import render
from studio.factory.preview_base.heads import falling
from studio.factory.preview_base.latents import read_codec, scaled, write_shard
from studio.factory.preview_base.people import DATASET_VERSION, sample_person, sample_picture

PICTURES = 8
"""Of each person, in pairs: as rendered, and as the autoencoder draws it."""
SHARD_PEOPLE = 64
HELD_OUT_SEED = 2_000_003
_MARGIN, _SCALE = 0.25, 20.0
_ENLARGED = 256  # where faces are looked for, as likeness is measured


def fill_chips(
    folder: Path, seed: int, people: int, codec: Path, models: Path, on_progress: Callable[[float], None] | None = None
) -> None:
    """Render people and cut their faces out, where that was not done.

    Args:
        folder: where shards are kept; made if missing.
        seed: which people.
        people: how many are wanted; whole shards are made.
        codec: folder of the base's autoencoder.
        models: folder of the vision models.
        on_progress: hears the share that is done, 0..1.
    """
    folder.mkdir(parents=True, exist_ok=True)
    shards = range(-(-people // SHARD_PEOPLE))
    for k in shards:
        file = _file(folder, seed, k)
        if not file.is_file():
            write_shard(file, _shard(seed, k, codec, models))
        if on_progress:
            on_progress((k + 1) / len(shards))


def chips(folder: Path, seed: int, people: int) -> NDArray[np.uint8]:
    """Return what `fill_chips` made.  # (people, PICTURES, SIDE, SIDE, 3)

    Raises:
        FileNotFoundError: it was not made.
    """
    shards = [np.load(_file(folder, seed, k)) for k in range(-(-people // SHARD_PEOPLE))]
    return np.concatenate(shards)[:people]


def train_embedder(
    file: Path,
    *,
    work_folder: Path,
    codec: Path,
    models: Path,
    people: int = 768,
    held_out: int = 128,
    steps: int = 2500,
    batch: int = 96,
    seed: int = 1,
    on_progress: Callable[[float, str], None] | None = None,
) -> dict[str, float]:
    """Train the embedder and measure it on people it has never seen.

    Args:
        file: safetensors file to write, half precision.
        work_folder: where faces are cached.
        codec, models: as in `fill_chips`.
        people: to learn from.
        held_out: people to measure on.
        steps: of `batch` faces each.
        on_progress: hears the share that is done, 0..1, and a sentence.

    Returns:
        What `verify` says of the held-out people; also in the file's metadata.
    """
    from safetensors.torch import save_file

    torch.set_num_threads(1)
    tell = on_progress or (lambda share, text: None)
    folder = work_folder / "identity"
    fill_chips(folder, seed, people, codec, models, lambda s: tell(s, "Rendering people."))
    fill_chips(folder, HELD_OUT_SEED, held_out, codec, models)
    seen = chips(folder, seed, people)
    torch.manual_seed(seed)
    model = network()
    centers = torch.nn.Parameter(torch.randn(people, 64) * 0.1)
    optimizer = torch.optim.AdamW([*model.parameters(), centers], 2e-3, weight_decay=0.02)
    rng = np.random.default_rng((seed, 5))
    running = 0.0
    for step in range(steps):
        who = rng.integers(0, people, batch)
        x = _worse(as_input(seen[who, rng.integers(0, PICTURES, batch)]), rng)
        cosines = model(x) @ torch.nn.functional.normalize(centers, dim=1).T
        target = torch.from_numpy(who)
        margin = torch.nn.functional.one_hot(target, people) * _MARGIN
        loss = torch.nn.functional.cross_entropy(_SCALE * (cosines - margin), target)
        loss.backward()  # type: ignore[no-untyped-call]
        for group in optimizer.param_groups:
            group["lr"] = 2e-3 * min(1.0, (step + 1) / 100) * falling(step / steps)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        running = float(loss.detach()) if step == 0 else 0.98 * running + 0.02 * float(loss.detach())
        if step % 50 == 0:
            tell(step / steps, f"Embedder: loss {running:.3f}.")
    model.eval()
    figures = verify(embed_chips(model, chips(folder, HELD_OUT_SEED, held_out)))
    file.parent.mkdir(parents=True, exist_ok=True)
    tensors = {n: t.half().contiguous() for n, t in model.state_dict().items()}
    save_file(tensors, str(file), metadata={"figures": json.dumps(figures), "faces": str(steps * batch)})
    return figures


def embed_chips(model: Any, faces: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Return the vectors of faces.  # (P, K, S, S, 3) -> (P, K, D)"""
    flat = faces.reshape(-1, SIDE, SIDE, 3)
    with torch.inference_mode():
        parts = [model(as_input(flat[i : i + 128])).numpy() for i in range(0, len(flat), 128)]
    return np.concatenate(parts).reshape(*faces.shape[:2], -1)


def verify(vectors: NDArray[np.floating]) -> dict[str, float]:
    """Say how well vectors tell people apart.

    Args:
        vectors: of several pictures of each person.  # (P, K, D)

    Returns:
        "auc": chance that two pictures of one person are nearer than two of different people.
        "equal_error": share of wrong answers at the distance where both kinds err alike; "distance" is that distance.
        "own", "others": mean distances.
        "spread": standard deviation of the distance of own pictures to the middle of the others, against the gap
            between that and `distance`: what a likeness of one's own photos wavers by.
    """
    people, count, _ = vectors.shape
    flat = vectors.reshape(people * count, -1)
    apart = np.linalg.norm(flat[:, None] - flat[None], axis=2)
    who = np.repeat(np.arange(people), count)
    upper = np.triu(np.ones_like(apart, bool), 1)
    own = np.sort(apart[upper & (who[:, None] == who[None])])
    others = np.sort(apart[upper & (who[:, None] != who[None])])
    auc = 1 - float(np.searchsorted(others, own).mean()) / len(others)
    tried = np.quantile(np.concatenate([own, others]), np.linspace(0, 1, 2001))
    missed = 1 - np.searchsorted(own, tried, "right") / len(own)
    taken = np.searchsorted(others, tried, "right") / len(others)
    best = int(np.argmin(abs(missed - taken)))
    middles = (vectors.sum(1, keepdims=True) - vectors) / (count - 1)
    to_middle = np.linalg.norm(vectors - middles, axis=2)  # (P, K)
    strangers = np.linalg.norm(vectors[:, None, :] - vectors.mean(1)[None, :, None], axis=3)  # (P, P, K)
    stranger = float(np.median(strangers[~np.eye(people, dtype=bool)]))
    spread = float(np.mean(to_middle.std(1)) / max(stranger - to_middle.mean(), 1e-9))
    return {
        "auc": auc, "equal_error": float((missed[best] + taken[best]) / 2), "distance": float(tried[best]),
        "own": float(own.mean()), "others": float(others.mean()), "own_to_middle": float(to_middle.mean()),
        "stranger_to_middle": stranger, "spread": spread,
    }  # fmt: skip


def _shard(seed: int, shard: int, codec: Path, models: Path) -> NDArray[np.uint8]:
    """Render SHARD_PEOPLE people; a picture in which no face is found is drawn anew."""
    analyser, autoencoder = VisionAnalyser(models), read_codec(codec)
    out = np.empty((SHARD_PEOPLE, PICTURES, SIDE, SIDE, 3), np.uint8)
    for number in range(SHARD_PEOPLE):
        rng = np.random.default_rng((seed, shard, number, DATASET_VERSION))
        person = sample_person(rng)
        done = 0
        while done < PICTURES:
            picture = render(sample_picture(rng, person))[0]
            chip = face_chip(analyser, picture if done % 2 else _coded(autoencoder, picture))
            if chip is not None:
                out[number, done] = chip
                done += 1
    return out


def face_chip(analyser: VisionAnalyser, picture: NDArray[np.uint8]) -> NDArray[np.uint8] | None:
    """Find a small picture's face as likeness does, and cut it out; None without one."""
    import cv2

    large = cv2.resize(picture, (_ENLARGED, _ENLARGED), interpolation=cv2.INTER_CUBIC)
    faces = analyser.detect(np.asarray(large, np.uint8))
    return rendered_chip(np.asarray(large, np.uint8), faces[0].landmarks) if faces else None


def _coded(autoencoder: Any, picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
    with torch.inference_mode():
        drawn = autoencoder.decode(autoencoder.encode(scaled(picture[None])).latent_dist.mean).sample
    out: NDArray[np.uint8] = ((drawn[0].clamp(-1, 1) + 1) * 127.5).round().byte().permute(1, 2, 0).numpy()
    return out


def _worse(x: torch.Tensor, rng: np.random.Generator) -> torch.Tensor:
    """Blur, noise, brightness, tint and a small shift, as drawings and photos have them.  # (N, 3, S, S)"""
    count = len(x)

    def uniform(low: float, high: float, channels: int = 1) -> torch.Tensor:
        return torch.from_numpy(rng.uniform(low, high, (count, channels, 1, 1)).astype(np.float32))

    blurred = torch.nn.functional.avg_pool2d(x, 5, 1, 2, count_include_pad=False)
    x = x + uniform(0, 0.8) * (blurred - x)
    x = (x * uniform(0.85, 1.15) + uniform(-0.12, 0.12) + uniform(-0.04, 0.04, 3)).clamp(-1, 1)
    x = x + torch.from_numpy(rng.standard_normal(x.shape, np.float32)) * uniform(0, 0.06)
    return torch.roll(x, (int(rng.integers(-3, 4)), int(rng.integers(-3, 4))), (2, 3))


def _file(folder: Path, seed: int, shard: int) -> Path:
    return folder / f"faces-v{DATASET_VERSION}-{seed}-{shard:04d}.npy"
