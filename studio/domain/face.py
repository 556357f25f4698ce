"""What vision found in a picture: faces, their landmarks, pose and quality.

Convention for every array: pixels of the picture as decoded, origin at the
top left corner, x right, y down, z towards the scene (larger = farther).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from studio.domain.pose import HeadPose

FloatArray = NDArray[np.float32]
Likely = Literal["person", "drawing", "animal"]


@dataclass(frozen=True)
class PhotoQuality:
    """How well a face picture can serve; every number is 0 (bad) .. 1 (good).

    Attributes:
        sharpness: focus inside the face box.
        size: face size against what 512 px output needs.
        exposure: neither burnt nor black.
        frontal: 1 facing the camera .. 0 profile.
        unoccluded: no hand, hair or mask over the face.
        hints: one sentence per shortcoming, for the person.
    """

    sharpness: float
    size: float
    exposure: float
    frontal: float
    unoccluded: float
    hints: tuple[str, ...] = ()


@dataclass(frozen=True)
class DetectedFace:
    """One face.

    Attributes:
        box: x0, y0, x1, y1 around the landmarks, in pixels.
        score: landmark model's confidence, 0..1.
        landmarks: MediaPipe's 478 points (468 mesh + 5 per iris).  # (478, 3)
        head: absolute head pose in the picture.
        quality: photo quality of this face.
        likely: what it seems to show; drawings and animals are allowed and said.
    """

    box: tuple[float, float, float, float]
    score: float
    landmarks: FloatArray
    head: HeadPose
    quality: PhotoQuality
    likely: Likely = "person"


RENDERED_EMBEDDER = "rendered-v1"
"""Name of the embedder that knows rendered people only."""
RENDERED_MARK: dict[str, str] = {"engine": "rendered-head"}
"""What the studio's own renders of people carry as their recipe: nobody is shown who exists."""


@dataclass(frozen=True)
class FaceEmbedding:
    """An identity embedding; comparable only with one of the same `embedder`."""

    embedder: str
    vector: FloatArray = field(repr=False)  # (128,) dlib or (512,) insightface, unit or as the model gives it

    def distance(self, other: FaceEmbedding) -> float:
        """Return the Euclidean distance.

        Raises:
            ValueError: the embeddings come from different embedders.
        """
        if self.embedder != other.embedder:
            raise ValueError(f"scores of {self.embedder} and {other.embedder} cannot be compared")
        return float(np.linalg.norm(self.vector - other.vector))


def faces_to_choose(faces: int) -> str:
    """Return the hint for who chose a face that is not there, given how many are."""
    return "Choose 1, or leave it out." if faces == 1 else f"Choose 1 to {faces}; 1 is the largest."
