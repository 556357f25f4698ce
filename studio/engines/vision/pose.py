"""Absolute head pose, from landmarks laid over MediaPipe's canonical face.

A similarity (rotation, scale, shift) in three dimensions is fitted by weighted
least squares to landmarks that hardly move with expression. The landmarks'
depth is only the network's guess, so a turn beyond about 45 degrees is read too
small, and people who look straight ahead are read as about -6 degrees of pitch
(mean of 27 portraits): the canonical face itself leans. Knows nothing of
cameras: perspective is ignored.

Convention: studio.domain.pose; the rotation is yaw @ pitch @ roll, roll first.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from studio.domain.pose import HeadPose

# Landmark, x (to the picture's right), y (up), z (to the viewer) in centimeters, weight.
# The mirrored landmark has -x and the same y, z and weight.
# Source: MediaPipe (Apache-2.0), face_geometry/data/geometry_pipeline_metadata_landmarks.pbtxt,
# canonical_mesh and procrustes_landmark_basis; its jaw points 136 and 365 are left out because
# they move with the mouth.
_MIDLINE = (
    (4, 0.0, -0.463170, 7.586580, 0.070909939706326),
    (6, 0.0, 2.473255, 5.788627, 0.032100144773722),
    (10, 0.0, 8.261778, 4.481535, 0.008446550928056),
)
_PAIRS = (
    (33, 263, -4.445859, 2.663991, 3.173422, 0.058724168688059),
    (54, 284, -6.279331, 6.615427, 1.425850, 0.007667080033571),
    (67, 297, -3.523964, 8.005976, 3.729163, 0.009078059345484),
    (117, 346, -5.258659, 0.945811, 2.974312, 0.009791937656701),
    (119, 348, -3.300681, 0.861641, 3.872784, 0.014565368182957),
    (121, 350, -1.820731, 1.467954, 4.224124, 0.018591361120343),
    (127, 356, -7.743095, 2.364999, -2.005167, 0.005197994410992),
    (129, 358, -1.785794, -0.978284, 4.850470, 0.120625205338001),
    (132, 361, -7.270895, -2.890917, -2.252455, 0.005560018587857),
    (133, 362, -1.856432, 2.585245, 3.757904, 0.053286183625460),
    (143, 372, -6.407571, 2.236021, 1.560843, 0.014816547743976),
    (147, 376, -6.234883, -1.944430, 1.663542, 0.014262833632529),
    (198, 420, -1.246815, 0.230297, 5.681036, 0.025462191551924),
    (205, 425, -3.832928, -1.537326, 4.137731, 0.047252278774977),
)


def _reference() -> tuple[NDArray[np.intp], NDArray[np.float64], NDArray[np.float64]]:
    rows = list(_MIDLINE)
    for right, left, x, y, z, weight in _PAIRS:
        rows += [(right, x, y, z, weight), (left, -x, y, z, weight)]
    table = np.array(rows)
    return table[:, 0].astype(np.intp), table[:, 1:4], table[:, 4] / table[:, 4].sum()


_INDICES, _CANONICAL, _WEIGHTS = _reference()


def rotation_from_landmarks(points: NDArray[np.floating]) -> tuple[NDArray[np.float64], float]:
    """Fit the canonical face to landmarks.

    Args:
        points: landmarks, x right, y down, z into the scene.  # (468+, 3)

    Returns:
        The rotation in camera space (x right, y up, z to the viewer)  # (3, 3),
        and the weighted root-mean-square residual as a share of the distance
        between the outer eye corners of the fitted canonical face.
    """
    target = points[_INDICES].astype(np.float64) * [1, -1, -1]
    weights = _WEIGHTS[:, None]
    source_center, target_center = (weights * _CANONICAL).sum(0), (weights * target).sum(0)
    source, moved = _CANONICAL - source_center, target - target_center
    u, singular, vt = np.linalg.svd((weights * moved).T @ source)
    signs = np.array([1.0, 1.0, np.sign(np.linalg.det(u @ vt))])
    rotation = (u * signs) @ vt
    scale = float((singular * signs).sum() / (weights * source**2).sum())
    residual = moved - scale * source @ rotation.T
    rms = float(np.sqrt((weights * residual**2).sum()))
    eye_distance = scale * 2 * 4.445859  # canonical outer eye corners
    return rotation, rms / max(eye_distance, 1e-9)


def pose_of(rotation: NDArray[np.float64]) -> HeadPose:
    """Return the angles of a camera-space rotation, in the studio's convention."""
    yaw = np.degrees(np.arctan2(rotation[0, 2], rotation[2, 2]))
    pitch = np.degrees(np.arcsin(np.clip(rotation[1, 2], -1, 1)))
    roll = -np.degrees(np.arctan2(rotation[1, 0], rotation[1, 1]))
    return HeadPose(float(yaw), float(pitch), float(roll))


def head_pose(points: NDArray[np.floating]) -> HeadPose:
    """Return the absolute head pose of landmarks.  # (468+, 3)"""
    return pose_of(rotation_from_landmarks(points)[0])
