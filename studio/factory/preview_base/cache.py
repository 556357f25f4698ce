"""Rendered pictures on disk, so that training need not wait for the renderer.

Shards of 1024 pictures, each made from its numbers alone: a shard that is
there is never made again, one that is half written is not there, and any
process may make any shard. Pictures are plain .npy files read through the
page cache.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor, as_completed
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from studio.factory.preview_base.drawing import render
from studio.factory.preview_base.networks import RESOLUTION
from studio.factory.preview_base.people import DATASET_VERSION, picture_of_index

SHARD = 1024


class PictureCache:
    """The first `count` pictures of a training set.

    Attributes:
        labels: one mapping per picture.
    """

    def __init__(self, folder: Path, seed: int, count: int) -> None:
        """Open shards that `fill` has made.

        Raises:
            FileNotFoundError: a shard is missing; call `fill` first.
        """
        shards = range(-(-count // SHARD))
        self._pictures = [shard_pictures(folder, seed, k) for k in shards]
        self.labels: list[dict[str, str]] = []
        for k in shards:
            self.labels += json.loads(_label_file(folder, seed, k).read_text(encoding="utf-8"))
        del self.labels[count:]

    def __len__(self) -> int:
        return len(self.labels)

    def pictures(self, rows: NDArray[np.int64]) -> NDArray[np.uint8]:
        """Return pictures by number.  # (N,) -> (N, 128, 128, 3)"""
        return np.stack([self._pictures[int(r) // SHARD][int(r) % SHARD] for r in rows])


def fill(
    folder: Path, seed: int, count: int, processes: int = 1, on_progress: Callable[[float], None] | None = None
) -> None:
    """Render every missing shard of the first `count` pictures.

    Args:
        folder: where shards are kept; made if missing.
        seed: which training set.
        count: pictures wanted; whole shards are made.
        processes: processes that render at the same time.
        on_progress: hears the share that is done, 0..1.
    """
    folder.mkdir(parents=True, exist_ok=True)
    shards = [k for k in range(-(-count // SHARD)) if not _label_file(folder, seed, k).is_file()]
    done = 0
    if processes <= 1:
        for k in shards:
            _make_shard(folder, seed, k)
            done += 1
            if on_progress:
                on_progress(done / len(shards))
        return
    with ProcessPoolExecutor(processes, mp_context=get_context("spawn")) as pool:
        for finished in as_completed([pool.submit(_make_shard, folder, seed, k) for k in shards]):
            finished.result()
            done += 1
            if on_progress:
                on_progress(done / len(shards))


def shard_pictures(folder: Path, seed: int, shard: int) -> NDArray[np.uint8]:
    """Return the pictures of a shard, read as they are asked for.  # (SHARD, 128, 128, 3)

    Raises:
        FileNotFoundError: it was not made.
    """
    pictures: NDArray[np.uint8] = np.load(_picture_file(folder, seed, shard), mmap_mode="r")
    return pictures


def _picture_file(folder: Path, seed: int, shard: int) -> Path:
    return folder / f"pictures-v{DATASET_VERSION}-{RESOLUTION}-{seed}-{shard:04d}.npy"


def _label_file(folder: Path, seed: int, shard: int) -> Path:
    return folder / f"labels-v{DATASET_VERSION}-{RESOLUTION}-{seed}-{shard:04d}.json"


def _make_shard(folder: Path, seed: int, shard: int) -> None:
    pictures = np.empty((SHARD, RESOLUTION, RESOLUTION, 3), np.uint8)
    labels: list[dict[str, Any]] = []
    for i in range(SHARD):
        picture = picture_of_index(seed, shard * SHARD + i)
        pictures[i], _ = render(picture, RESOLUTION)
        labels.append(picture.labels)
    target = _picture_file(folder, seed, shard)
    part = target.with_suffix(f".{os.getpid()}.part")
    with open(part, "wb") as file:
        np.save(file, pictures)
    os.replace(part, target)
    # Labels are written last: where they are, the pictures are complete.
    part = _label_file(folder, seed, shard).with_suffix(f".{os.getpid()}.part")
    part.write_text(json.dumps(labels), encoding="utf-8")
    os.replace(part, _label_file(folder, seed, shard))
