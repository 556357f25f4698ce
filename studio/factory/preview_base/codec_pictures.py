"""What the convolutional autoencoder is trained on: renders, free pictures, and textures made by rule.

Renders alone would teach it a world without grain, cloth or leaves. So a share
of what it sees are pictures that scikit-image ships in the public domain, and
"dead leaves": overlapping discs of power-law sizes with fractal and striped
fills, whose statistics are near those of photographs (Lee, Mumford and Huang
2001). No photograph of a person takes part but NASA's portrait of an astronaut.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from studio.factory.preview_base.drawing import eyes_and_mouth, render
from studio.factory.preview_base.people import DATASET_VERSION, picture_of_index

Pictures = NDArray[np.uint8]

FREE_PICTURES = ("astronaut", "brick", "camera", "chelsea", "coffee", "grass", "gravel", "hubble_deep_field", "rocket")
"""Functions of skimage.data whose pictures are CC0 or in the public domain, as their docstrings say."""
SIDE = 192  # of cached pictures, so that crops of 128 pixels need not be enlarged


def free_pictures() -> list[Pictures]:
    """Return scikit-image's free pictures, RGB, each of its own size."""
    import skimage.data

    out = []
    for name in FREE_PICTURES:
        picture = np.asarray(getattr(skimage.data, name)())
        out.append(np.stack([picture] * 3, -1) if picture.ndim == 2 else np.ascontiguousarray(picture[..., :3]))
    return out


def fractal(rng: np.random.Generator, side: int = SIDE) -> NDArray[np.float32]:
    """Return noise with the spectrum of skin, stone or clouds, mean 0 and spread 1; sometimes drawn out to strands.

    Args:
        rng: the only source of chance.
        side: of the square in pixels.
    """
    y, x = np.meshgrid(np.fft.fftfreq(side), np.fft.fftfreq(side), indexing="ij")
    turn = rng.uniform(0, np.pi)
    stretch = rng.uniform(3, 12) if rng.random() < 0.4 else 1.0
    along, across = x * np.cos(turn) + y * np.sin(turn), y * np.cos(turn) - x * np.sin(turn)
    frequency = np.hypot(along * stretch, across) + 1 / side
    noise = np.fft.fft2(rng.standard_normal((side, side))) / frequency ** rng.uniform(0.6, 1.8)
    field = np.real(np.fft.ifft2(noise))
    return np.asarray((field - field.mean()) / (field.std() + 1e-6), np.float32)


def dead_leaves(rng: np.random.Generator, side: int = SIDE) -> Pictures:
    """Return a picture of overlapping discs with fractal and woven fills.  # (side, side, 3)"""
    y, x = np.meshgrid(np.arange(side), np.arange(side), indexing="ij")
    fills = [fractal(rng, side) for _ in range(4)]
    cloth = np.sin(x * rng.uniform(0.3, 1.5)) * np.sin(y * rng.uniform(0.3, 1.5))
    fills.append(np.asarray(cloth, np.float32))
    out = np.zeros((side, side, 3), np.float32)
    for k in range(int(rng.integers(1, 60))):
        radius = 4 / np.sqrt(rng.uniform((4 / side) ** 2, 1)) if k else 4.0 * side
        squeeze, turn = rng.uniform(0.3, 1), rng.uniform(0, np.pi)
        dx, dy = x - rng.uniform(0, side), y - rng.uniform(0, side)
        u, v = dx * np.cos(turn) + dy * np.sin(turn), dy * np.cos(turn) - dx * np.sin(turn)
        cover = np.clip(radius - np.hypot(u, v / squeeze), 0, 1)[..., None].astype(np.float32)
        color = rng.uniform(0.05, 0.95) + rng.normal(0, 0.15, 3)
        if rng.random() < 0.3:  # skin
            color = rng.uniform(0.3, 1) * np.array([0.95, 0.72, 0.6])
        shade = fills[int(rng.integers(len(fills)))][..., None] * rng.uniform(0, 0.15)
        out += cover * (color.astype(np.float32) + shade - out)
    return (np.clip(out, 0, 1) * 255 + 0.5).astype(np.uint8)


def cached_renders(folder: Path, seed: int, count: int) -> tuple[Pictures, NDArray[np.float32]]:
    """Return renders and where their eyes and mouth are, made once and kept.

    Args:
        folder: where they are kept; made if missing.
        seed: which training set.
        count: how many.

    Returns:
        (N, 192, 192, 3) and x, y of both eyes and the mouth, 0..1.  # (N, 3, 2)
    """
    folder.mkdir(parents=True, exist_ok=True)
    name = f"codec-v{DATASET_VERSION}-{seed}-{count}"
    pictures_file, places_file = folder / f"{name}.npy", folder / f"{name}-places.npy"
    if not places_file.is_file():
        drawn = [picture_of_index(seed, i) for i in range(count)]
        _write(pictures_file, np.stack([render(p, SIDE)[0] for p in drawn]))
        # Places are written last: where they are, the pictures are complete.
        _write(places_file, np.stack([eyes_and_mouth(p) for p in drawn]).astype(np.float32))
    return np.load(pictures_file, mmap_mode="r"), np.load(places_file)


def cached_textures(folder: Path, seed: int, count: int) -> Pictures:
    """Return textures made by rule, made once and kept.  # (N, 192, 192, 3)"""
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / f"codec-textures-{seed}-{count}.npy"
    if not file.is_file():
        rng = np.random.default_rng((seed, 11))
        _write(file, np.stack([dead_leaves(rng) for _ in range(count)]))
    return np.asarray(np.load(file, mmap_mode="r"))


def crop(picture: Pictures, rng: np.random.Generator, size: int, smallest: float) -> tuple[Pictures, Any]:
    """Cut a random square, scale it, mirror it in half of the cases.

    Args:
        picture: (H, W, 3)
        rng: the only source of chance.
        size: side wanted in pixels.
        smallest: side of the smallest square, as a share of the picture's shorter side.

    Returns:
        (size, size, 3), and a function that says where in it a place of the picture is, both 0..1.
    """
    import cv2

    height, width = picture.shape[:2]
    side = int(min(height, width) * rng.uniform(smallest, 1))
    top, left = int(rng.integers(height - side + 1)), int(rng.integers(width - side + 1))
    cut = np.ascontiguousarray(picture[top : top + side, left : left + side])
    interpolation = cv2.INTER_AREA if side > size else cv2.INTER_CUBIC
    out: Pictures = np.asarray(cv2.resize(cut, (size, size), interpolation=interpolation), np.uint8)
    flipped = rng.random() < 0.5

    def moved(places: NDArray[np.float32]) -> NDArray[np.float32]:
        inside = (places * [width, height] - [left, top]) / side
        return np.asarray([1, 0] + inside * [-1, 1] if flipped else inside, np.float32)

    return np.ascontiguousarray(out[:, ::-1]) if flipped else out, moved


def like_a_photo(picture: Pictures, rng: np.random.Generator) -> Pictures:
    """Change contrast, color and grain by chance, as cameras do.  # (H, W, 3)"""
    values = (picture.astype(np.float32) / 255) ** rng.uniform(0.7, 1.4)
    values = (values - 0.5) * rng.uniform(0.7, 1.2) + 0.5 + rng.normal(0, 0.04) + rng.normal(0, 0.03, 3)
    values += rng.normal(0, 1, values.shape) * (rng.uniform(0, 0.02) if rng.random() < 0.5 else 0)
    return (np.clip(values, 0, 1) * 255 + 0.5).astype(np.uint8)


def _write(file: Path, values: NDArray[Any]) -> None:
    part = file.with_suffix(f".{os.getpid()}.part")
    with open(part, "wb") as target:
        np.save(target, values)
    os.replace(part, file)
