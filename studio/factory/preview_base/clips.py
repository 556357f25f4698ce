"""Clips of rendered heads that talk, blink, smile, turn and look about: what motion is learned from.

A clip is one picture's person, light, shirt and background, whose face changes
from frame to frame. Lips, lids and most of the head come from the voice engine
on the speech that the repository has, so that motion is that of the studio's
own performances; changes of expression, turns and glances are laid over. Words
for what changes are left out of the captions: they would be true of some
frames only.

Frames are drawn at twice the base's side and shrunk, four samples a pixel and
side: with fewer, edges jump between frames and jumps are what would be learned.
Clips are kept as latents and control maps, in shards that are never made twice.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from studio.domain.expression import ARKIT_NAMES
from studio.domain.performance import Performance
from studio.engines.rig import kernels
from studio.engines.rig.asset import load_head
from studio.engines.rig.condition import HeadMaps
from studio.factory.preview_base.drawing import HEAD_FILE, head_in, render
from studio.factory.preview_base.latents import fingerprint, read_codec, scaled, write_shard
from studio.factory.preview_base.networks import RESOLUTION
from studio.factory.preview_base.people import (
    ATTRIBUTES,
    DATASET_VERSION,
    RenderedPicture,
    sample_expression,
    sample_picture,
    sample_turn,
)

FRAMES = 16
RATE_HZ = 12.5
SHARD_CLIPS = 64
CLIPS_VERSION = 1
"""Counts up whenever the same seed makes another clip."""
HELD_OUT_SEED = 1_000_003
_TAKES = 6
_GLANCE = (0.16, 0.08)


@dataclass(frozen=True)
class RenderedClip:
    """One clip.

    Attributes:
        pictures: its frames, at RATE_HZ.
        labels: words that hold for every frame, by attribute.
    """

    pictures: tuple[RenderedPicture, ...]
    labels: Mapping[str, str]


def clip_of_index(seed: int, index: int, takes: Sequence[Performance]) -> RenderedClip:
    """Return clip number `index` of the endless training set `seed`.

    Args:
        takes: performances at RATE_HZ, from `speaking_takes`.
    """
    rng = np.random.default_rng((seed, 11, index, DATASET_VERSION, CLIPS_VERSION))
    first = sample_picture(rng)
    labels = dict(first.labels)
    speaks = rng.random() < 0.6
    changes = rng.random() < 0.35
    turns = rng.random() < 0.45
    start, end = _face_of(first), _face_of(first)
    if changes:
        word = str(rng.choice([e for e in ATTRIBUTES["expression"] if e != first.expression]))
        end = _face_of(first, *sample_expression(rng, word))
        del labels["expression"]
    yaw, pitch = first.yaw, first.pitch
    if turns:
        word = str(rng.choice([d for d in ATTRIBUTES["direction"] if d != first.direction]))
        yaw, pitch = sample_turn(rng, word)
        del labels["direction"]
    faces, heads = _ease(rng, 4, 9), _ease(rng, 7, 14)
    take = takes[int(rng.integers(len(takes)))]
    at = int(rng.integers(0, len(take) - FRAMES)) + np.arange(FRAMES)
    gaze_x, gaze_y = _GLANCE[0] * _wander(rng, 1.5), _GLANCE[1] * _wander(rng, 1.5)
    sway = [_wander(rng, rate) for rate in (1.0, 1.2, 1.0)]
    drift = [0.012 * _wander(rng, 0.8), 0.010 * _wander(rng, 0.8)]
    amount = float(rng.uniform(0.7, 1.2))
    out = []
    for i in range(FRAMES):
        face = _between(start, end, faces[i])
        if speaks:
            face = face.speaking(take.weights[at[i]] * amount, 1 - 0.55 * float(1 - take.own_mouth[at[i]]))
        else:
            face = face.speaking(take.weights[at[i]] * _LIDS, 1.0)
        turn = [float(np.interp(heads[i], [0, 1], pair)) for pair in ((first.yaw, yaw), (first.pitch, pitch))]
        own = take.head_degrees[at[i]] if speaks else 2.0 * np.array([s[i] for s in sway])
        pose = (turn[0] + float(own[0]), turn[1] + float(own[1]), first.roll + float(own[2]))
        gaze = np.clip([gaze_x[i] + pose[0] / 90, gaze_y[i] + pose[1] / 90], [-0.7, -0.5], [0.7, 0.5])
        shift = (first.shift[0] + float(drift[0][i]), first.shift[1] + float(drift[1][i]))
        posed = replace(first, yaw=pose[0], pitch=pose[1], roll=pose[2], gaze=(float(gaze[0]), float(gaze[1])))
        out.append(replace(posed, weights=face.weights, brows=face.brows, flush=face.flush, shift=shift))
    return RenderedClip(tuple(out), labels)


_LIDS = np.array([name.startswith("eyeBlink") for name in ARKIT_NAMES], np.float32)


@dataclass(frozen=True)
class _Face:
    """What an expression sets in a picture."""

    weights: tuple[tuple[str, float], ...]
    brows: tuple[float, float]
    flush: float

    def speaking(self, offsets: NDArray[np.floating], own: float) -> _Face:
        """Lay a performance's weights over, of which the mouth keeps `own` of the expression."""
        mixed = {n: v * (own if n.startswith(("mouth", "jaw")) else 1.0) for n, v in self.weights}
        for name, value in zip(ARKIT_NAMES, offsets, strict=True):
            if abs(value) > 1e-4:
                mixed[name] = mixed.get(name, 0.0) + float(value)
        return replace(self, weights=tuple(sorted((n, float(np.clip(v, 0.0, 1.5))) for n, v in mixed.items())))


def _face_of(
    picture: RenderedPicture,
    weights: tuple[tuple[str, float], ...] | None = None,
    brows: tuple[float, float] = (0.0, 0.0),
    flush: float = 0.0,
) -> _Face:
    if weights is None:
        return _Face(picture.weights, picture.brows, picture.flush)
    return _Face(weights, brows, flush)


def _between(start: _Face, end: _Face, share: float) -> _Face:
    one, other = dict(start.weights), dict(end.weights)
    weights = {n: (1 - share) * one.get(n, 0.0) + share * other.get(n, 0.0) for n in {**one, **other}}
    inner, outer = ((1 - share) * a + share * b for a, b in zip(start.brows, end.brows, strict=True))
    return _Face(tuple(weights.items()), (inner, outer), (1 - share) * start.flush + share * end.flush)


def _ease(rng: np.random.Generator, shortest: float, longest: float) -> NDArray[np.float64]:
    """Return a soft step from 0 to 1 at some time of the clip.  # (FRAMES,)"""
    middle, width = rng.uniform(0.3, 0.7) * FRAMES, rng.uniform(shortest, longest)
    t = np.clip((np.arange(FRAMES) - middle) / width + 0.5, 0, 1)
    return np.asarray(t * t * (3 - 2 * t))


def _wander(rng: np.random.Generator, cycles: float) -> NDArray[np.float64]:
    """Return smooth noise of unit spread: a few waves of about so many cycles a clip.  # (FRAMES,)"""
    t = np.arange(FRAMES) / FRAMES
    waves = [rng.normal() * np.sin(2 * np.pi * (cycles * rng.uniform(0.4, 1.1) * t + rng.uniform())) for _ in range(3)]
    return np.asarray(np.sum(waves, 0) / 1.22)


def speaking_takes(assets: Path, held_out: bool = False) -> tuple[Performance, ...]:
    """Let the voice engine perform the repository's speech on a rendered head, several times.

    Args:
        assets: the folder with speech and models.
        held_out: takes of other seeds, from the last quarter of each sound, which the others never reach.

    Returns:
        Performances at RATE_HZ.
    """
    from studio.engines import Engines
    from studio.engines.base import Amounts
    from studio.engines.media.sound import read_sound

    engines = Engines(assets)
    plain = sample_picture(np.random.default_rng(5), expression="neutral", direction="straight", glasses="no")
    picture = render(plain, 256)[0]
    mouth = engines.animator().prepare(picture, engines.faces().detect(picture)[0]).mouth
    voice, out = engines.speech(), []
    for path in sorted((assets / "speech").glob("*.wav")):
        sound = read_sound(path)
        text = path.with_suffix(".txt")
        analysis = voice.analyse(sound, text.read_text(encoding="utf-8").strip() if text.is_file() else "", "en")
        for seed in range(2 if held_out else _TAKES):
            take = voice.perform(
                sound, analysis, mouth, frame_rate_hz=RATE_HZ, seed=seed + 100 * held_out, amounts=Amounts()
            )
            border = 0.75 * take.duration_seconds
            out.append(take.part(border, None) if held_out else take.part(0.0, border))
    return tuple(take for take in out if len(take) > FRAMES)


# -- shards ----------------------------------------------------------------------------------


class ClipCache:
    """Clips that `fill_clips` has made.

    Attributes:
        labels: words that hold for a whole clip, by clip.
    """

    def __init__(self, folder: Path, seed: int, count: int, codec: Path) -> None:
        """Open shards.

        Raises:
            FileNotFoundError: a shard is missing.
        """
        shards, name = range(-(-count // SHARD_CLIPS)), fingerprint(codec)
        self._latents = [np.load(_file(folder, "clips", seed, k, name), mmap_mode="r") for k in shards]
        self._maps = [np.load(_file(folder, "maps", seed, k), mmap_mode="r") for k in shards]
        self.labels: list[dict[str, str]] = []
        for k in shards:
            self.labels += json.loads(_words(folder, seed, k).read_text(encoding="utf-8"))
        del self.labels[count:]

    def __len__(self) -> int:
        return len(self.labels)

    def latents(self, clip: int) -> torch.Tensor:
        """Return a clip's frames as scaled latents.  # (FRAMES, C, h, w)"""
        row = self._latents[clip // SHARD_CLIPS][clip % SHARD_CLIPS]
        return torch.from_numpy(np.asarray(row, np.float32))

    def maps(self, clip: int) -> torch.Tensor:
        """Return a clip's control maps.  # (FRAMES, 2, RESOLUTION, RESOLUTION) in 0..1"""
        row = self._maps[clip // SHARD_CLIPS][clip % SHARD_CLIPS]
        return torch.from_numpy(np.asarray(row, np.float32) / 255)


def ready_clips(folder: Path, seed: int, codec: Path) -> int:
    """Return how many clips lie in whole shards from the first on."""
    k = 0
    while _words(folder, seed, k).is_file() and _file(folder, "clips", seed, k, fingerprint(codec)).is_file():
        k += 1
    return k * SHARD_CLIPS


def fill_clips(
    folder: Path,
    seed: int,
    count: int,
    codec: Path,
    assets: Path,
    on_progress: Callable[[float], None] | None = None,
) -> None:
    """Make every missing shard of the first `count` clips.

    Args:
        folder: where shards are kept; made if missing.
        seed: which clips; HELD_OUT_SEED speaks with held-out takes.
        count: clips wanted; whole shards are made.
        codec: folder of the base's autoencoder.
        assets: folder with speech, models and the head.
        on_progress: hears the share that is done, 0..1.
    """
    folder.mkdir(parents=True, exist_ok=True)
    shards = range(-(-count // SHARD_CLIPS))
    missing = [k for k in shards if not _words(folder, seed, k).is_file()]
    if not missing:
        return
    torch.set_num_threads(1)
    takes = speaking_takes(assets, held_out=seed == HELD_OUT_SEED)
    model, name = read_codec(codec), fingerprint(codec)
    for done, k in enumerate(missing, 1):
        latents, maps, labels = [], [], []
        for number in range(SHARD_CLIPS):
            clip = clip_of_index(seed, k * SHARD_CLIPS + number, takes)
            latents.append(_encoded(model, clip_pictures(clip)))
            maps.append(np.stack([maps_of(picture) for picture in clip.pictures]))
            labels.append(dict(clip.labels))
        write_shard(_file(folder, "clips", seed, k, name), np.stack(latents))
        write_shard(_file(folder, "maps", seed, k), np.stack(maps))
        words = _words(folder, seed, k)
        part = words.with_suffix(f".{os.getpid()}.part")
        part.write_text(json.dumps(labels), encoding="utf-8")
        os.replace(part, words)
        if on_progress:
            on_progress(done / len(missing))


def clip_pictures(clip: RenderedClip, size: int = RESOLUTION) -> NDArray[np.uint8]:
    """Draw a clip's frames, four samples a pixel and side.  # (FRAMES, size, size, 3)"""
    large = np.stack([render(picture, 2 * size)[0] for picture in clip.pictures])
    small: NDArray[np.uint8] = kernels.box_means(large, 2).round().astype(np.uint8)
    return small


def maps_of(picture: RenderedPicture, side: int = RESOLUTION) -> NDArray[np.uint8]:
    """Return the control maps of a rendered head, as the rig draws those of a fitted one.  # (2, side, side)"""
    weights = np.zeros(len(ARKIT_NAMES), np.float32)
    for name, value in picture.weights:
        weights[ARKIT_NAMES.index(name)] = value
    shaded = _head_maps().shaded(head_in(picture, side), weights, (side, side))
    return np.ascontiguousarray(shaded.transpose(2, 0, 1))


@lru_cache(maxsize=1)
def _head_maps() -> HeadMaps:
    return HeadMaps(load_head(HEAD_FILE))


def _encoded(model: Any, pictures: NDArray[np.uint8]) -> NDArray[np.float16]:
    with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16):
        latents = model.encode(scaled(pictures)).latent_dist.mean.float() * model.config.scaling_factor
    encoded: NDArray[np.float16] = latents.numpy().astype(np.float16)
    return encoded


def _file(folder: Path, kind: str, seed: int, shard: int, name: str = "") -> Path:
    return folder / f"{kind}-v{DATASET_VERSION}.{CLIPS_VERSION}-{seed}{name and '-' + name}-{shard:04d}.npy"


def _words(folder: Path, seed: int, shard: int) -> Path:
    return _file(folder, "words", seed, shard).with_suffix(".json")
