"""What a face seems to show: a person, a drawing or an animal; or no face at all.

The landmark model's confidence decides about persons. Where it doubts, the
shape decides: landmarks that still lie like a face are kept, and it is said
what they seem to be.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from studio.domain.face import Likely
from studio.engines.vision.landmarks import Landmarks

_PERSON_SCORE = 0.9
_LOWEST_SCORE = 0.3
_FACE_RESIDUAL = 0.2


def judge(image: NDArray[np.uint8], landmarks: Landmarks, residual: float) -> Likely | None:
    """Say what is seen, or None for no face."""
    if residual > _FACE_RESIDUAL:
        return None
    if landmarks.score >= _PERSON_SCORE:
        return "person"
    return "animal" if landmarks.score >= _LOWEST_SCORE else None
