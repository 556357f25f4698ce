"""The lashes and the dark rim of an upper lid, taken off the photo so that they can ride on its edge.

Darkness against the plate is the sum of three things: thin upright hairs (gone when opened along the lid), the
rim at the lash line, and shade, which belongs to the skin. When a lid closes its lashes shorten and then point down:
`down` is the same set of lashes as they hang from a shut lid. Coordinates are those of lid_skin.Strip.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from studio.engines.rig.curves import running_rank, smoothed
from studio.engines.rig.eye_frame import LUMA, EyeFrame, FloatArray, band
from studio.engines.rig.lid_skin import Strip

Array = NDArray[Any]

_HAIR_WIDTH = 0.055  # what is narrower along the lid is a hair
_CLUMP_WIDTH = 0.20
_REACH, _OUTER_REACH = 0.22, 0.12  # longest lashes of an open eye, seen from the front, and how much longer outside


@dataclass(frozen=True)
class Lashes:
    """Coverage by lashes over lid coordinates, 0..1.

    Attributes:
        rim: the dark edge; continues a little below the lash line.  # (nd, nu)
        hair: lashes of the open eye.  # (nd, nu)
        down: lashes hanging from the shut lid; d counts downwards.  # (nd, nu)
        ink: their color, RGB.  # (3,)
    """

    rim: FloatArray = field(repr=False)
    hair: FloatArray = field(repr=False)
    down: FloatArray = field(repr=False)
    ink: FloatArray

    @property
    def cover(self) -> Array:
        """Return what the lashes hide of the lid as in the photo."""
        return np.asarray(np.clip(self.rim + self.hair, 0, 0.97))


def lash_height(eye: EyeFrame, u: Array) -> FloatArray:
    """Return how far above the lash line lashes may reach, in eye lengths; never into the brow."""
    outside = band(eye.from_outside(u), 0.42, 0.12)
    room = np.maximum(eye.at(eye.upper - eye.brow, u), 0.12)
    return np.asarray(np.minimum(_REACH + _OUTER_REACH * outside, (0.6 + 0.12 * outside) * room), np.float32)


def lashes_of(eye: EyeFrame, strip: Strip, grain_level: float) -> Lashes:
    """Find the lashes of one eye.

    Args:
        eye: where the eye is.
        strip: its lid.
        grain_level: noise and pores of the skin, which are no lashes; standard deviation in levels.
    """
    u, d = strip.u, strip.d
    cells = 1 / strip.step
    outer = eye.from_outside(u)
    ink = _ink(strip)
    dark = np.clip(((strip.plate - strip.photo) @ LUMA) / np.maximum((strip.plate - ink) @ LUMA, 12), 0, 1)
    dark = dark.astype(np.float32)
    base = _longer_than(dark, _HAIR_WIDTH * cells)
    # At the outer corner lashes stand in clumps; a crease is longer than they are.
    clumps = band(outer, 0.38, 0.16)
    base = base * (1 - clumps) + _longer_than(dark, _CLUMP_WIDTH * cells) * clumps
    base = cv2.GaussianBlur(base, (0, 0), sigmaX=max(0.02 * cells, 0.4), sigmaY=0.3)
    reach = lash_height(eye, u[:1]) * 0.92
    tip = np.clip((d - 0.6 * reach) / (0.4 * reach), 0, 1)
    hair = np.clip(dark - base - 0.03, 0, 1)
    pores = 2.2 * grain_level / max(float(np.median((strip.plate - ink) @ LUMA)), 20.0)
    hair = hair * np.clip((hair - 0.5 * pores) / (pores + 1e-3), 0, 1) * (1 - tip * tip * (3 - 2 * tip)) * (d >= 0)
    rim = _rim(strip, dark, base)
    down = 1.25 * hair + 0.45 * np.minimum(base, 0.8) * band(d, 0.0, 0.02) * band(d, 0.085, 0.03)
    around = band(outer, -0.33, -0.20) * band(outer, 1.10, 1.0)
    hanging = band(outer, -0.10, 0.03) * band(outer, 1.0, 0.85)
    ends = band(outer, -0.07, 0.04) * (0.35 + 0.65 * band(outer, 0.98, 0.70)) * band(outer, 1.0, 0.93)
    return Lashes(
        rim=(rim * ends).astype(np.float32), hair=np.clip(hair * around, 0, 1).astype(np.float32),
        down=(np.clip(down, 0, 1) * hanging).astype(np.float32), ink=ink,
    )  # fmt: skip


def _longer_than(dark: Array, cells: float) -> Array:
    """Return the part of the darkness that is at least so many cells long."""
    return np.asarray(cv2.morphologyEx(dark, cv2.MORPH_OPEN, np.ones((1, max(3, int(cells) | 1)))))


def _ink(strip: Strip) -> FloatArray:
    """Return the lashes' color: the darkest of the lash line, half way to the skin's own hue."""
    line = (strip.d > 0.0) & (strip.d < 0.06) & (strip.u > 0.08) & (strip.u < 0.92)
    pixels = strip.photo[line]
    darkest = pixels[np.argsort(pixels @ LUMA, kind="stable")[: max(3, int(0.08 * len(pixels)))]].mean(0)
    skin = strip.plate[line].mean(0)
    return np.asarray(0.5 * darkest + 0.5 * (darkest @ LUMA) * skin / max(float(skin @ LUMA), 1.0), np.float32)


def _rim(strip: Strip, dark: Array, base: Array) -> Array:
    """Return the dark edge: steady along u, its own profile upwards, a soft fall below the line."""
    d, cells = strip.d, 1 / strip.step
    heights = d[:, 0]
    zero = int(np.argmin(np.abs(heights)))
    at_line = (heights > 0.0) & (heights < 0.03)
    root = np.median(dark[at_line], axis=0) if at_line.any() else dark[zero]
    root = running_rank(root, max(3, int(0.18 * cells) | 1), 50, "edge")
    root = smoothed(root, 0.05 * cells)
    above = np.minimum(base * (d >= -1e-4), root[None] * 1.15) * band(d, 0.065, 0.02)
    own = np.maximum(smoothed(above[min(zero + 1, len(d) - 1)], 0.02 * cells), 0.55 * root)
    fall = np.exp(-((np.minimum(d, 0) / 0.014) ** 2))
    return np.asarray(np.where(d < 0, own * fall, np.maximum(above, own * np.exp(-((d / 0.016) ** 2)))))
