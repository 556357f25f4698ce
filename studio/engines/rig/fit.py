"""Fits the parametric head to the landmarks of one picture.

Unknown are a scaled orthographic camera (rotation, scale, shift), the identity
and the 52 expression weights. Each is linear or nearly so when the others are
held, so the fit takes turns: bounded weights by coordinate descent, identity by
ridge regression, pose by Gauss-Newton. What is left over goes into a free-form
residual that is spread over the mesh, so that lips and lids lie exactly where
the photo has them.

Convention: landmarks are pixels with y down and z away from the viewer (as
vision delivers them); `Camera` maps head space to pixels with y down and z
towards the viewer. This module never sees a pixel's color.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from studio.domain.expression import ARKIT_NAMES, INDEX
from studio.domain.pose import HeadPose
from studio.engines.rig import kernels
from studio.engines.rig.asset import FACE_OVAL, INNER_LIP_RING, HeadAsset
from studio.engines.rig.spread import ResidualField

Array = NDArray[Any]

ROUNDS, ROUNDS_AGAIN = 8, 4
DEPTH_WEIGHT = 0.25  # the landmark model guesses z; it is worth a quarter of x and y
WEIGHT_PENALTY = 0.02
IDENTITY_PENALTY = 0.004

_EYES = (33, 246, 161, 160, 159, 158, 157, 173, 133, 155, 154, 153, 145, 144, 163, 7, 263, 466, 388, 387, 386, 385, 384,
         398, 362, 382, 381, 380, 374, 373, 390, 249)  # fmt: skip
_BROWS = (70, 63, 105, 66, 107, 300, 293, 334, 296, 336, 46, 53, 52, 65, 55, 276, 283, 282, 295, 285)
_OUTER_LIPS = (61, 185, 40, 39, 37, 0, 267, 269, 270, 409, 291, 146, 91, 181, 84, 17, 314, 405, 321, 375)
# Shapes that explain most faces are cheap, those that imitate them are dear: without
# this a smile is spread over dimple, press and upper-lip raise.
_CHEAP = {
    "jawOpen": 0.65, "mouthSmileLeft": 0.65, "mouthSmileRight": 0.65, "mouthPucker": 0.75, "mouthFunnel": 0.75,
    "eyeBlinkLeft": 0.65, "eyeBlinkRight": 0.65, "browInnerUp": 0.8, "browDownLeft": 0.8, "browDownRight": 0.8,
    "browOuterUpLeft": 0.8, "browOuterUpRight": 0.8, "mouthLowerDownLeft": 0.9, "mouthLowerDownRight": 0.9,
    "mouthUpperUpLeft": 0.9, "mouthUpperUpRight": 0.9, "mouthLeft": 0.8, "mouthRight": 0.8, "mouthFrownLeft": 0.9,
    "mouthFrownRight": 0.9, "mouthClose": 1.5,
}  # fmt: skip
_CORNERS, _FREE_CORNERS = ("Smile", "Stretch", "Frown", "Pucker"), 0.35
"""The penalty that tells a photo's shapes apart would leave a quarter of a grin's width."""
_READING_IDENTITY = 8.0
# The lip gap of a face at rest, decimetres (.3 mm of a head 1 dm = 100 mm).
REST_GAP = 0.003
_LIP_OPENERS = np.array([INDEX[n] for n in (
    "jawOpen", "mouthFunnel", "mouthShrugUpper", "mouthUpperUpLeft", "mouthUpperUpRight", "mouthLowerDownLeft",
    "mouthLowerDownRight",
)])  # fmt: skip
_LIP_CLOSERS = np.array([INDEX[n] for n in (
    "mouthClose", "mouthRollLower", "mouthRollUpper", "mouthPressLeft", "mouthPressRight", "mouthShrugLower",
)])  # fmt: skip


@dataclass(frozen=True)
class Camera:
    """Scaled orthographic camera.

    Attributes:
        rotation: head space -> camera axes (x right, y up, z to the viewer).  # (3, 3)
        scale: pixels per decimetre.
        shift: in pixels with y up.  # (3,)
    """

    rotation: Array
    scale: float
    shift: Array

    def project(self, vertices: Array) -> NDArray[np.float32]:
        """Map head space to pixels: x right, y down, z to the viewer.  # (..., 3)"""
        return ((self.scale * (vertices @ self.rotation.T) + self.shift) * [1, -1, 1]).astype(np.float32)

    def direction(self, vectors: Array) -> NDArray[np.float32]:
        """Map head-space displacements to pixels.  # (..., 3)"""
        return (self.scale * (vectors @ self.rotation.T) * [1, -1, 1]).astype(np.float32)

    def head_pose(self) -> HeadPose:
        """Return the absolute head pose."""
        return pose_of(self.rotation)


def rotation_of(head: HeadPose) -> Array:
    """Return the camera-space rotation (y up) of a head pose.  # (3, 3)"""
    y, p, r = np.radians([head.yaw_degrees, -head.pitch_degrees, -head.roll_degrees])
    yaw = np.array([[np.cos(y), 0, np.sin(y)], [0, 1, 0], [-np.sin(y), 0, np.cos(y)]])
    pitch = np.array([[1, 0, 0], [0, np.cos(p), -np.sin(p)], [0, np.sin(p), np.cos(p)]])
    roll = np.array([[np.cos(r), -np.sin(r), 0], [np.sin(r), np.cos(r), 0], [0, 0, 1]])
    return np.asarray(yaw @ pitch @ roll)


def pose_of(rotation: Array) -> HeadPose:
    """Return yaw, pitch and roll of a camera-space rotation; inverse of `rotation_of`."""
    yaw = np.degrees(np.arctan2(rotation[0, 2], rotation[2, 2]))
    pitch = np.degrees(np.arcsin(np.clip(rotation[1, 2], -1, 1)))
    roll = -np.degrees(np.arctan2(rotation[1, 0], rotation[1, 1]))
    return HeadPose(float(yaw), float(pitch), float(roll))


@dataclass(frozen=True)
class HeadFit:
    """One face explained by the parametric head.

    Attributes:
        neutral: the person's neutral head including the free-form residual.  # (V, 3)
        weights: fitted ARKit weights, 0..1; gaze and tongue are 0.  # (52,)
        camera: where the head is in the picture.
        eye_distance: outer eye corners in the picture, pixels.
        error: mean landmark error before the residual, share of `eye_distance`.
        residual_error: the same after the residual.
    """

    neutral: NDArray[np.float32]
    weights: NDArray[np.float32]
    camera: Camera
    eye_distance: float
    error: float
    residual_error: float


class HeadFitter:
    """Fits heads; holds the constants of one asset.

    Attributes:
        fitted: rows of ARKIT_NAMES that landmarks tell.  # (K,)
        penalty: what a unit of each costs.  # (K,)
        identity_penalty: what an unusual shape of head costs.
        weight: how much each landmark counts.  # (468,)
    """

    def __init__(self, asset: HeadAsset) -> None:
        self._asset = asset
        self._residual = ResidualField(asset)
        self.fitted = np.array(
            [i for i, n in enumerate(ARKIT_NAMES) if n != "tongueOut" and not n.startswith("eyeLook")]
        )
        penalty = np.array([_CHEAP.get(ARKIT_NAMES[i], 1.3) for i in self.fitted])
        self.penalty = WEIGHT_PENALTY * penalty
        self.identity_penalty = IDENTITY_PENALTY
        weight = np.ones(468)
        weight[list(FACE_OVAL)] = 0.4
        for rows, value in ((_OUTER_LIPS, 1.5), (_BROWS, 1.3), (INNER_LIP_RING, 2.0), (_EYES, 2.5)):
            weight[list(rows)] = value
        self.weight = weight
        # Weights of the squared error in camera axes, for shape and for pose.
        self._shape_weight = np.stack([weight, weight, 0.3 * DEPTH_WEIGHT**2 * weight], 1)
        self._identity_weight = np.stack([weight, weight, DEPTH_WEIGHT**2 * weight], 1)

    @property
    def free_penalty(self) -> Array:
        """What a unit of each costs where the corners of the mouth are not held back.  # (K,)"""
        freed = [any(part in ARKIT_NAMES[i] for part in _CORNERS) for i in self.fitted]
        return np.asarray(self.penalty * np.where(freed, _FREE_CORNERS, 1.0))

    def reader(self) -> HeadFitter:
        """Return a fitter that explains a face by its expression rather than by its shape.

        A portrait's fit may take a grin for a wide mouth, for the head that is drawn is the same; an expression that
        goes over to another head may not. It is read from one picture, so that nothing tells the two apart for sure.
        """
        out = copy.copy(self)
        out.penalty = self.free_penalty
        out.identity_penalty = _READING_IDENTITY * IDENTITY_PENALTY
        return out

    def fit(self, landmarks: Array) -> HeadFit:
        """Fit one face.

        Args:
            landmarks: MediaPipe's points, pixels, y down, z away.  # (>=468, 3)
        """
        a = self._asset
        target = landmarks[:468].astype(np.float64) * [1, -1, -1]  # y up, z to the viewer
        identity = np.zeros(len(a.identity))
        weights = np.zeros(len(ARKIT_NAMES))
        camera = self._first_camera(a.mean_at_landmarks, target)
        shape = a.mean_at_landmarks.astype(np.float64)
        for _ in range(ROUNDS):
            person = a.mean_at_landmarks + np.tensordot(identity, a.identity_at_landmarks, 1)
            weights[self.fitted] = self._solve_weights(person, target, camera, weights[self.fitted])
            identity = self._solve_identity(target, camera, weights)
            shape = (
                a.mean_at_landmarks + np.tensordot(identity, a.identity_at_landmarks, 1)
                + np.tensordot(weights, a.actions_at_landmarks, 1)
            )  # fmt: skip
            camera = self.refine_camera(shape, target, camera, 2)
        neutral = a.mean + np.tensordot(identity.astype(np.float32), a.identity, 1)
        return self._explained(neutral, shape, weights, camera, target)

    def fit_again(self, landmarks: Array, known: HeadFit) -> HeadFit:
        """Fit another picture of a person: the head stays what it is, pose, expression and what is left over are new.

        Heads that are fitted anew trade size for distance from frame to frame, and what is drawn on them trembles.

        Args:
            landmarks: as in `fit`.
            known: the fit of a calm picture of the same person.
        """
        a = self._asset
        target = landmarks[:468].astype(np.float64) * [1, -1, -1]
        person = a.landmarks(known.neutral).astype(np.float64)
        weights = np.zeros(len(ARKIT_NAMES))
        camera = self._first_camera(person, target)
        shape = person
        for _ in range(ROUNDS_AGAIN):
            weights[self.fitted] = self._solve_weights(person, target, camera, weights[self.fitted])
            shape = person + np.tensordot(weights, a.actions_at_landmarks, 1)
            camera = self.refine_camera(shape, target, camera, 2)
        return self._explained(known.neutral, shape, weights, camera, target)

    def _explained(self, neutral: Array, shape: Array, weights: Array, camera: Camera, target: Array) -> HeadFit:
        """Return the fit whose residual takes up what is left over between a fitted shape and the landmarks.

        Args:
            neutral: the fitted neutral head.  # (V, 3)
            shape: the fitted landmarks, with the expression.  # (468, 3)
            weights: fitted.  # (52,)
            target: landmarks with y up and z to the viewer.  # (468, 3)
        """
        a = self._asset
        left = (target - camera.shift) / camera.scale - shape @ camera.rotation.T
        left[:, 2] = 0.0
        spread = self._residual.spread(left @ camera.rotation)
        neutral = neutral + spread
        explained = self._explain_gap(neutral, weights)
        neutral = neutral + np.tensordot((weights - explained).astype(np.float32), a.actions, 1)
        eyes = float(np.linalg.norm(target[33, :2] - target[263, :2]))
        return HeadFit(
            neutral=neutral.astype(np.float32), weights=explained.astype(np.float32), camera=camera, eye_distance=eyes,
            error=_mean_error(shape, target, camera) / eyes,
            residual_error=_mean_error(shape + a.landmarks(spread), target, camera) / eyes,
        )  # fmt: skip

    def spread(self, displacements: Array) -> NDArray[np.float32]:
        """Return displacements of the landmarks carried to all vertices.  # (468, 3) -> (V, 3)"""
        return self._residual.spread(displacements)

    def _explain_gap(self, neutral: Array, weights: Array) -> Array:
        """Return weights that account for all of the photo's lip gap.

        Ridge and residual leave part of an open mouth in the neutral head (or hide a shut
        mouth behind lip presses), and speech could then never close it. The face that is
        drawn stays the same; only its split into neutral head and expression changes.
        """
        a = self._asset
        marks = a.landmarks(neutral)
        per_weight = a.actions_at_landmarks[:, 13, 1] - a.actions_at_landmarks[:, 14, 1]
        own_gap = float(marks[13, 1] - marks[14, 1] + weights @ per_weight)
        wanted = max(own_gap - REST_GAP, 0.0)
        out = weights.copy()
        out[_LIP_CLOSERS] = 0.0
        opened = float(out[_LIP_OPENERS] @ per_weight[_LIP_OPENERS])
        if opened > wanted:
            out[_LIP_OPENERS] *= wanted / opened
            return out
        missing = wanted - opened
        lips = np.array([INDEX[n] for n in ("mouthUpperUpLeft", "mouthUpperUpRight")]
                        + [INDEX[n] for n in ("mouthLowerDownLeft", "mouthLowerDownRight")])  # fmt: skip
        raised = np.minimum(out[lips] + missing / float(per_weight[lips].sum()), 0.8)
        missing -= float((raised - out[lips]) @ per_weight[lips])
        out[lips] = raised
        out[INDEX["jawOpen"]] += max(missing, 0.0) / float(per_weight[INDEX["jawOpen"]])
        return out

    def _first_camera(self, points: Array, target: Array) -> Camera:
        """Weighted similarity (Umeyama) as a start, then Gauss-Newton."""
        w = self.weight[:, None] / self.weight.sum()
        mean_p, mean_t = (w * points).sum(0), (w * target).sum(0)
        u, s, vt = np.linalg.svd(((points - mean_p) * w).T @ (target - mean_t))
        flip = np.array([1, 1, np.sign(np.linalg.det(vt.T @ u.T))])
        rotation = vt.T @ np.diag(flip) @ u.T
        scale = float((s * flip).sum() / (((points - mean_p) ** 2) * w).sum())
        return self.refine_camera(points, target, Camera(rotation, scale, mean_t - scale * rotation @ mean_p), 4)

    def refine_camera(self, points: Array, target: Array, camera: Camera, steps: int) -> Camera:
        """Return the camera under which points of the head lie on the landmarks, by Gauss-Newton.

        Args:
            points: head space.  # (468, 3)
            target: landmarks with y up and z to the viewer.  # (468, 3)
            camera: where to start.
            steps: how often it is bettered.
        """
        rotation, scale, shift = camera.rotation, camera.scale, camera.shift
        root = np.sqrt(self._identity_weight)
        for _ in range(steps):
            turned = points @ rotation.T
            left = target - (scale * turned + shift)
            x, y, z = (scale * turned).T
            jacobian = np.zeros((len(points), 3, 7))
            jacobian[:, 0, 1], jacobian[:, 0, 2] = z, -y
            jacobian[:, 1, 0], jacobian[:, 1, 2] = -z, x
            jacobian[:, 2, 0], jacobian[:, 2, 1] = y, -x
            jacobian[:, :, 3] = turned
            jacobian[:, 0, 4] = jacobian[:, 1, 5] = jacobian[:, 2, 6] = 1
            flat = (jacobian * root[..., None]).reshape(-1, 7)
            step = np.linalg.solve(flat.T @ flat, flat.T @ (left * root).ravel())
            rotation = _rodrigues(step[:3]) @ rotation
            scale, shift = scale + float(step[3]), shift + step[4:]
        return Camera(rotation, scale, shift)

    def _solve_weights(self, person: Array, target: Array, camera: Camera, start: Array) -> Array:
        basis = self._asset.actions_at_landmarks[self.fitted] @ camera.rotation.T.astype(np.float32)  # (K, 468, 3)
        left = (target - camera.shift) / camera.scale - person @ camera.rotation.T
        count = len(self.fitted)
        weighted = (basis * self._shape_weight.astype(np.float32)).reshape(count, -1)
        gram = weighted @ basis.reshape(count, -1).T + np.diag(self.penalty)
        return np.asarray(kernels.bounded_least_squares(
            gram, weighted @ left.ravel(), np.zeros(count), np.ones(count), start.astype(np.float64).copy(), 60
        ))  # fmt: skip

    def _solve_identity(self, target: Array, camera: Camera, weights: Array) -> Array:
        a = self._asset
        basis = a.identity_at_landmarks @ camera.rotation.T.astype(np.float32)
        expressive = a.mean_at_landmarks + np.tensordot(weights, a.actions_at_landmarks, 1)
        left = (target - camera.shift) / camera.scale - expressive @ camera.rotation.T
        weighted = (basis * self._identity_weight.astype(np.float32)).reshape(len(basis), -1)
        gram = weighted @ basis.reshape(len(basis), -1).T + np.diag(self.identity_penalty / a.identity_sigma**2)
        return np.linalg.solve(gram, weighted @ left.ravel())


def _mean_error(shape: Array, target: Array, camera: Camera) -> float:
    placed = camera.scale * (shape @ camera.rotation.T) + camera.shift
    return float(np.linalg.norm((placed - target)[:, :2], axis=1).mean())


def _rodrigues(vector: Array) -> Array:
    angle = float(np.linalg.norm(vector))
    if angle < 1e-12:
        return np.eye(3)
    x, y, z = vector / angle
    cross = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    return np.asarray(np.eye(3) + np.sin(angle) * cross + (1 - np.cos(angle)) * cross @ cross)
