"""The training set's latents on disk: every picture through the autoencoder once, as it is and mirrored.

Encoding costs half of a training step, and a picture is seen ten times. Shards
as in `cache`, named after the autoencoder's weights: another one finds none.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from studio.engines.diffusion.bases.autoencoder import FoldingAutoencoder
from studio.engines.diffusion.bases.header import weights_sha256
from studio.engines.diffusion.bases.inspecting import component_weights
from studio.factory.preview_base import cache
from studio.factory.preview_base.people import DATASET_VERSION

_AT_ONCE = 32


class LatentCache:
    """The latents of the first `count` pictures of a training set, with a spread of about one."""

    def __init__(self, folder: Path, seed: int, count: int, codec: Path) -> None:
        """Open shards that `fill_latents` has made.

        Raises:
            FileNotFoundError: a shard is missing; call `fill_latents` first.
        """
        name = fingerprint(codec)
        self._shards = [np.load(_file(folder, seed, k, name), mmap_mode="r") for k in range(-(-count // cache.SHARD))]

    def latents(self, rows: NDArray[np.int64], mirrored: NDArray[np.bool_]) -> torch.Tensor:
        """Return latents by number.  # (N,), (N,) -> (N, C, S, S) float32"""
        found = [
            self._shards[int(r) // cache.SHARD][int(r) % cache.SHARD, int(m)]
            for r, m in zip(rows, mirrored, strict=True)
        ]
        return torch.from_numpy(np.stack(found).astype(np.float32))


def fingerprint(codec: Path) -> str:
    """Return what tells one autoencoder from another.

    Raises:
        UserInputError: the folder has no weights.
        NotFoundError: there is no such folder.
    """
    return weights_sha256(component_weights(codec)[0])[:16]


def read_codec(codec: Path) -> Any:
    """Return the autoencoder of a folder, frozen."""
    kind: Any = FoldingAutoencoder
    model = kind.from_pretrained(codec, torch_dtype=torch.float32, local_files_only=True)
    return model.eval().requires_grad_(False)


def fill_latents(
    folder: Path,
    seed: int,
    count: int,
    codec: Path,
    processes: int = 1,
    on_progress: Callable[[float], None] | None = None,
) -> None:
    """Encode every picture whose latents are missing; `cache.fill` must have rendered them.

    Args:
        folder: of the rendered shards.
        seed, count: as in `cache.fill`.
        codec: folder of the autoencoder.
        processes: that encode at the same time, one thread each.
        on_progress: hears the share that is done, 0..1.
    """
    name = fingerprint(codec)
    shards = [k for k in range(-(-count // cache.SHARD)) if not _file(folder, seed, k, name).is_file()]
    _make_all(_encode_shard, [(folder, seed, k, codec) for k in shards], processes, on_progress)


def fill_coded(
    folder: Path,
    seed: int,
    shards: Sequence[int],
    codec: Path,
    side: int,
    processes: int = 1,
    on_progress: Callable[[float], None] | None = None,
) -> None:
    """Draw pictures from their latents where that was not done: what the autoencoder makes of them.

    Args:
        folder, seed, codec, processes, on_progress: as in `fill_latents`, which must have encoded them.
        shards: numbers of the shards wanted.
        side: of the pictures kept, in pixels; they are shrunk to it.
    """
    missing = [k for k in shards if not _coded_file(folder, seed, k, fingerprint(codec), side).is_file()]
    _make_all(_draw_shard, [(folder, seed, k, codec, side) for k in missing], processes, on_progress)


def coded_pictures(folder: Path, seed: int, shard: int, codec: Path, side: int) -> NDArray[np.uint8]:
    """Return what `fill_coded` made of a shard.  # (SHARD, side, side, 3)

    Raises:
        FileNotFoundError: it was not made.
    """
    pictures: NDArray[np.uint8] = np.load(_coded_file(folder, seed, shard, fingerprint(codec), side), mmap_mode="r")
    return pictures


def _make_all(
    make: Callable[..., None], calls: Sequence[tuple[Any, ...]], processes: int, tell: Callable[[float], None] | None
) -> None:
    """Make shards, several at a time."""
    tell = tell or (lambda share: None)
    if processes <= 1:
        for done, call in enumerate(calls, 1):
            make(*call)
            tell(done / len(calls))
        return
    with ProcessPoolExecutor(processes, mp_context=get_context("spawn")) as pool:
        running = [pool.submit(make, *call) for call in calls]
        for done, finished in enumerate(as_completed(running), 1):
            finished.result()
            tell(done / len(calls))


def _coded_file(folder: Path, seed: int, shard: int, name: str, side: int) -> Path:
    return folder / f"coded-v{DATASET_VERSION}-{seed}-{name}-{side}-{shard:04d}.npy"


def _draw_shard(folder: Path, seed: int, shard: int, codec: Path, side: int) -> None:
    torch.set_num_threads(1)
    model, name = read_codec(codec), fingerprint(codec)
    latents = np.load(_file(folder, seed, shard, name), mmap_mode="r")
    out = []
    for start in range(0, len(latents), _AT_ONCE):
        z = torch.from_numpy(latents[start : start + _AT_ONCE, 0].astype(np.float32)) / model.config.scaling_factor
        with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16):
            drawn = model.decode(z).sample.float()
        small = torch.nn.functional.avg_pool2d(drawn.clamp(-1, 1), drawn.shape[-1] // side)
        out.append(((small + 1) * 127.5).round().byte().permute(0, 2, 3, 1).numpy())
    write_shard(_coded_file(folder, seed, shard, name, side), np.concatenate(out))


def write_shard(target: Path, values: NDArray[Any]) -> None:
    """Write a shard; one that is half written is not there."""
    part = target.with_suffix(f".{os.getpid()}.part")
    with open(part, "wb") as file:
        np.save(file, values)
    os.replace(part, target)


def _file(folder: Path, seed: int, shard: int, name: str) -> Path:
    return folder / f"latents-v{DATASET_VERSION}-{seed}-{name}-{shard:04d}.npy"


def _encode_shard(folder: Path, seed: int, shard: int, codec: Path) -> None:
    torch.set_num_threads(1)
    model = read_codec(codec)
    pictures = cache.shard_pictures(folder, seed, shard)
    out = []
    for start in range(0, len(pictures), _AT_ONCE):
        plain = np.asarray(pictures[start : start + _AT_ONCE])
        both = np.stack([plain, plain[:, :, ::-1]], 1).reshape(-1, *plain.shape[1:])  # a picture, then its mirror
        with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16):
            latents = model.encode(scaled(both)).latent_dist.mean.float() * model.config.scaling_factor
        out.append(latents.reshape(len(plain), 2, *latents.shape[1:]).numpy().astype(np.float16))
    write_shard(_file(folder, seed, shard, fingerprint(codec)), np.concatenate(out))


def scaled(pictures: NDArray[np.uint8]) -> torch.Tensor:
    """Return pictures as the networks take them.  # (N, H, W, 3) 0..255 -> (N, 3, H, W) -1..1"""
    return torch.from_numpy(np.ascontiguousarray(pictures.transpose(0, 3, 1, 2), np.float32)) / 127.5 - 1
