"""One frame of a clip whose mouth alone will move: a portrait without what only turning heads and lids need.

Nothing is cut out of the background, which a jaw hardly uncovers, and no eye is
taken apart: it stays what it is. The mouth is drawn whole in given colors, so
that the teeth of one frame are those of the next. Set-up takes a fifth of a
portrait's.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from studio.domain.expression import Weights
from studio.domain.face import DetectedFace
from studio.engines.base import Image
from studio.engines.rig import layers
from studio.engines.rig.asset import HeadAsset
from studio.engines.rig.eyes import EyePatch
from studio.engines.rig.fit import HeadFit
from studio.engines.rig.mouth import Mouth
from studio.engines.rig.palette import MouthPalette
from studio.engines.rig.portrait import RigPortrait

Array = NDArray[Any]
FloatArray = NDArray[np.float32]


_ASIDE, _UP, _DOWN, _BEHIND = (0.42, 0.78), (0.22, 0.62), (0.85, 1.3), (0.5, 0.9)
"""How far from the middle of the mouth a clip may move, and where it is held, in eye distances of the average head."""


def around_mouth(asset: HeadAsset) -> FloatArray:
    """Return how freely each vertex follows the mouth: lips and chin do, eyes, ears and hair stay.  # (V, 1)"""
    marks = asset.mean_at_landmarks
    eyes = float(np.linalg.norm(marks[33] - marks[263]))
    x, y, z = ((asset.mean - marks[[13, 14]].mean(0)) / eyes).T
    free = (1 - layers.smoothstep(np.abs(x), *_ASIDE)) * (1 - layers.smoothstep(y, *_UP))
    free = free * (1 - layers.smoothstep(-y, *_DOWN)) * (1 - layers.smoothstep(-z, *_BEHIND))
    return np.asarray(free[:, None], np.float32)


class MouthPortrait(RigPortrait):
    """A prepared frame; only mouth and jaw of a state are drawn, at the frame's own turn of the head.

    Args:
        asset, image, face, fit: as of `RigPortrait`.
        palette: colors of the clip's mouth; None takes those of this frame.
        steady: displacement of the head for every state, by which its mouth is that of the frames around.  # (V, 3)
    """

    def __init__(
        self,
        asset: HeadAsset,
        image: Image,
        face: DetectedFace,
        fit: HeadFit,
        palette: MouthPalette | None,
        steady: FloatArray,
    ) -> None:
        self._palette, self._steady, self._free = palette, steady, around_mouth(asset)
        opaque = np.full(image.shape[:2], 255, np.uint8)
        super().__init__(asset, image, face, fit, opaque, lambda picture: None)

    def _taken_apart(self, image: Image, matte: Array, face: Array) -> layers.Layers:
        return layers.whole(image, self._fit.eye_distance)

    def _eye_patches(self, photo: FloatArray) -> tuple[EyePatch, ...]:
        return ()

    def _mouth_of(self, photo: FloatArray) -> Mouth:
        return Mouth(self._asset, photo, self._fit, self._own_vertices, self._face.landmarks, self._palette)

    def _shape(self, weights: Weights) -> FloatArray:
        moved = super()._shape(weights) + self._steady - self._own_vertices
        return np.asarray(self._own_vertices + moved * self._free, np.float32)

    @property
    def palette(self) -> MouthPalette:
        """Colors of the mouth, of its own teeth where they show."""
        return self._mouth.palette

    def _edit_eyes(self, weights: Weights) -> None:
        """Leave the eyes as they are."""
