"""What a face seems to show: a person, a drawing or an animal; or no face at all.

Three signs, all free once the landmarks are there: the landmark model's
confidence; whether a second and third look find the same face (`drift`); and
whether the landmarks lie in space like a face at all (`residual` of the pose
fit). Cartoon people are told by their proportions, a short nose under wide
eyes. It is a guess and called so: realistic paintings count as persons, and so
does an animal of which the model is quite sure.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from studio.domain.face import Likely
from studio.engines.vision.landmarks import Landmarks

# Source: measured on 60 faces of photos, paintings and renderings (score 1.0, drift up to .009,
# residual up to .06) and on pictures without faces (score up to .985, drift from .02, see benchmarks/vision.py).
_PERSON_SCORE, _PERSON_DRIFT = 0.9, 0.03
_ANIMAL_SCORE, _ANIMAL_DRIFT = 0.3, 0.02
_FACE_RESIDUAL = 0.12
_CLEAR_SCORE, _CLEAR_DRIFT = 0.99, 0.012
# Shares of the outer eye corners' distance. Photos: nose .53 .. .63, eye opening .06 .. .13;
# cartoons: .48 .. .51 and .12 .. .15.
_CARTOON_NOSE, _CARTOON_EYE = 0.52, 0.115
_NOSE = (168, 2)  # between the eyes, base of the nose
_LIDS = ((159, 145), (386, 374))  # middle of the upper and lower lid, each eye


def is_clear(landmarks: Landmarks) -> bool:
    """Say whether refined landmarks need no further look."""
    return landmarks.score >= _CLEAR_SCORE and landmarks.drift <= _CLEAR_DRIFT


def judge(landmarks: Landmarks, residual: float) -> Likely | None:
    """Say what refined landmarks seem to show.

    Args:
        landmarks: after at least one more look.
        residual: of `pose.rotation_from_landmarks`.

    Returns:
        A guess, or None where there is no face.
    """
    if residual > _FACE_RESIDUAL:
        return None
    if landmarks.score >= _PERSON_SCORE and landmarks.drift <= _PERSON_DRIFT:
        return "drawing" if _has_cartoon_proportions(landmarks.points) else "person"
    if landmarks.score >= _ANIMAL_SCORE and landmarks.drift <= _ANIMAL_DRIFT:
        return "animal"
    return None


def _has_cartoon_proportions(points: NDArray[np.floating]) -> bool:
    # Distances in space, so that a turned or tilted head keeps its proportions.
    unit = float(np.linalg.norm(points[263] - points[33]))
    nose = float(np.linalg.norm(points[_NOSE[0]] - points[_NOSE[1]])) / unit
    eye = float(np.mean([np.linalg.norm(points[a] - points[b]) for a, b in _LIDS])) / unit
    return nose < _CARTOON_NOSE and eye > _CARTOON_EYE
