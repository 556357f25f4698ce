"""The parametric head: an average face, 52 expressions, and how faces differ.

One file, assets/head.npz, made by `python -m studio assets build` from CC0
data (see assets/SOURCES.md). It is loaded once per process and never changed.
This module knows nothing of photos.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from studio.domain.expression import ARKIT_NAMES
from studio.errors import INSTALL_AGAIN, EngineUnavailableError

FloatArray = NDArray[np.float32]

REGIONS: tuple[str, ...] = (
    "skin", "mouth_interior", "teeth_upper", "teeth_lower", "tongue", "eye_left", "eye_right", "socket", "ear", "neck",
    "lashes",
)  # fmt: skip
"""Names of the triangle labels in `HeadAsset.region`."""

# MediaPipe face-mesh rows the rig refers to by name.
INNER_LIP_PAIRS: tuple[tuple[int, int], ...] = (
    (191, 95), (80, 88), (81, 178), (82, 87), (13, 14), (312, 317), (311, 402), (310, 318), (415, 324),
)  # fmt: skip
"""Upper and lower inner-lip landmarks that face each other, picture left to right."""
OUTER_LIP_ROWS: tuple[tuple[int, ...], tuple[int, ...]] = (
    (185, 40, 39, 37, 0, 267, 269, 270, 409), (146, 91, 181, 84, 17, 314, 405, 321, 375),
)  # fmt: skip
"""Landmarks on the outer edge of the upper and the lower lip, across from those of `INNER_LIP_PAIRS`."""
INNER_LIP_RING = (78, 191, 80, 81, 82, 13, 312, 311, 310, 415, 308, 324, 318, 402, 317, 14, 87, 178, 88, 95)
FACE_OVAL = (10, 338, 297, 332, 284, 251, 389, 356, 454, 323, 361, 288, 397, 365, 379, 378, 400, 377, 152, 148, 176,
             149, 150, 136, 172, 58, 132, 93, 234, 127, 162, 21, 54, 103, 67, 109)  # fmt: skip
CHIN = 152
JAW = (132, 58, 172, 136, 150, 149, 176, 148, 152, 377, 400, 378, 379, 365, 397, 288, 361)  # its outline, ear to ear
HAIRLINE = 10  # the middle of the forehead's upper end


@dataclass(frozen=True)
class HeadAsset:
    """The average head and its two linear bases.

    Attributes:
        mean: average neutral head.  # (V, 3) decimetres
        triangles: (T, 3) int32
        region: row of REGIONS per triangle.  # (T,) uint8
        uv: texture coordinates.  # (V, 2)
        actions: displacement per unit ARKit weight, ARKIT_NAMES' order.  # (52, V, 3)
        identity: displacement per identity component.  # (K, V, 3)
        identity_sigma: prior standard deviation of each component.  # (K,)
        landmark_vertices, landmark_weights: where MediaPipe's 468 points lie.  # (468, 3) each
        landmark_mirror: left-right partner of each landmark.  # (468,)
        lips: how much a vertex belongs to the red of the lips, 0..1.  # (V,)
        millimetres_per_unit: millimetres per head-space unit when the outer eye
            corners of `mean` are 88.9 mm apart.
    """

    mean: FloatArray
    triangles: NDArray[np.int32]
    region: NDArray[np.uint8]
    uv: FloatArray
    actions: FloatArray
    identity: FloatArray
    identity_sigma: FloatArray
    landmark_vertices: NDArray[np.int32]
    landmark_weights: FloatArray
    landmark_mirror: NDArray[np.int32]
    lips: FloatArray
    millimetres_per_unit: float

    def landmarks(self, vertices: NDArray[Any]) -> NDArray[Any]:
        """Return the 468 landmark positions of one or many meshes.  # (..., V, 3) -> (..., 468, 3)"""
        picked = vertices[..., self.landmark_vertices, :]
        result: NDArray[Any] = (picked * self.landmark_weights[..., None]).sum(-2)
        return result

    def triangles_of(self, *names: str) -> NDArray[np.int32]:
        """Return the triangles of the named regions."""
        wanted = [REGIONS.index(n) for n in names]
        return self.triangles[np.isin(self.region, wanted)]

    def vertices_of(self, *names: str) -> NDArray[np.intp]:
        """Return the vertex rows used by the named regions, sorted."""
        return np.unique(self.triangles_of(*names)).astype(np.intp)

    @cached_property
    def identity_at_landmarks(self) -> FloatArray:
        """The identity basis seen at the landmarks.  # (K, 468, 3)"""
        return np.ascontiguousarray(self.landmarks(self.identity), np.float32)

    @cached_property
    def actions_at_landmarks(self) -> FloatArray:
        """The expression basis seen at the landmarks.  # (52, 468, 3)"""
        return np.ascontiguousarray(self.landmarks(self.actions), np.float32)

    @cached_property
    def mean_at_landmarks(self) -> FloatArray:
        """The average head's landmarks.  # (468, 3)"""
        return np.asarray(self.landmarks(self.mean), np.float32)


@lru_cache(maxsize=2)
def load_head(path: Path) -> HeadAsset:
    """Read assets/head.npz.

    Raises:
        EngineUnavailableError: the file is missing or was made for other expressions.
    """
    try:
        with np.load(path, allow_pickle=False) as z:
            data = {k: z[k] for k in z.files}
    except (OSError, ValueError) as exc:
        raise EngineUnavailableError(
            "The head asset cannot be read.",
            f"Run `python -m studio assets build`; expected {path.name} in assets.",
            window=INSTALL_AGAIN,
        ) from exc
    if tuple(str(n) for n in data["action_names"]) != ARKIT_NAMES:
        raise EngineUnavailableError(
            "The head asset was made for other expressions.",
            "Run `python -m studio assets build`.",
            window=INSTALL_AGAIN,
        )
    return HeadAsset(
        mean=data["mean"].astype(np.float32),
        triangles=data["triangles"].astype(np.int32),
        region=data["region"].astype(np.uint8),
        uv=data["uv"].astype(np.float32),
        actions=data["actions"].astype(np.float32),
        identity=data["identity"].astype(np.float32),
        identity_sigma=data["identity_sigma"].astype(np.float32),
        landmark_vertices=data["landmark_vertices"].astype(np.int32),
        landmark_weights=data["landmark_weights"].astype(np.float32),
        landmark_mirror=data["landmark_mirror"].astype(np.int32),
        lips=data["lips"].astype(np.float32),
        millimetres_per_unit=float(data["millimetres_per_unit"]),
    )


@lru_cache(maxsize=2)
def load_macros(path: Path) -> dict[str, FloatArray]:
    """Read the named directions of the identity basis from the head asset.

    Returns:
        Amounts of the identity components: `adult` leads from the mean, which is partly a
        child, to a young adult; `old` from there to an old one; `male` from an average
        woman to an average man; `african` and `asian` from the average to those heads.  # (K,) each

    Raises:
        EngineUnavailableError: the file is missing or older than these directions.
    """
    try:
        with np.load(path, allow_pickle=False) as z:
            return {str(n): np.asarray(v, np.float32) for n, v in zip(z["macro_names"], z["macros"], strict=True)}
    except (OSError, ValueError, KeyError) as exc:
        raise EngineUnavailableError(
            "The head asset has no directions for age and sex.",
            "Run `python -m studio assets build`.",
            window=INSTALL_AGAIN,
        ) from exc
