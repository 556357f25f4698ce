"""Whose face it is, as a vector: close vectors, same person.

Two embedders for photographs exist; `rendered_faces` has one for renders.
dlib's ResNet (CC0) comes with the studio; it is fed an upright 150 px chip cut
by five of our landmarks. InsightFace's networks are more
exact but may be used for non-commercial purposes only, so they run only from a
model pack that the person has installed, and only after the person has accepted
that licence. Vectors of different embedders are never compared
(`FaceEmbedding.distance` refuses).
"""

from __future__ import annotations

import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from studio.domain.face import DetectedFace, FaceEmbedding
from studio.engines.vision.crops import Window, cut
from studio.engines.vision.landmarks import MESH_POINTS, window_of
from studio.errors import INSTALL_AGAIN, EngineError, EngineUnavailableError

cv2.setNumThreads(1)

DLIB_FILE = "dlib_face_recognition_resnet_model_v1.dat"
DLIB_NAME = "dlib-resnet-v1"
# dlib's five points: outer and inner corner of each eye (subject's left first), base of the nose.
_DLIB_POINTS = (263, 362, 33, 133, 2)
_DLIB_CHIP, _DLIB_PADDING = 150, 0.25
_CROP = 400  # the face's surroundings are brought to this size first

# ArcFace's place of eyes, nose tip and mouth corners in its 112 px input.
# Source: insightface/utils/face_align.py (MIT), `arcface_dst`.
_ARCFACE_POINTS = np.array(
    [[38.2946, 51.6963], [73.5318, 51.5014], [56.0252, 71.7366], [41.5493, 92.3655], [70.7299, 92.2041]]
)
_ARCFACE_SIDE = 112


@dataclass(frozen=True)
class InsightfacePack:
    """A recognition model that the person has installed.

    Attributes:
        model: the pack's recognition network, such as w600k_r50.onnx of buffalo_l.
        license_accepted: the person has accepted its non-commercial licence.
    """

    model: Path
    license_accepted: bool


class DlibEmbedder:
    """dlib's 128-number face descriptor; safe to share between threads."""

    name = DLIB_NAME

    def __init__(self, models_dir: Path) -> None:
        """Remember where the network is; it is opened when first needed."""
        self._path = models_dir / DLIB_FILE
        self._network: Any = None
        self._lock = threading.Lock()  # the network keeps its activations inside

    def embed(self, image: NDArray[np.uint8], face: DetectedFace) -> FaceEmbedding:
        """Return the embedding of one face.

        Args:
            image: RGB.  # (H, W, 3)
            face: a face found in it.

        Raises:
            EngineUnavailableError: dlib or its model file is missing.
        """
        dlib = self._library()
        window = window_of(face.landmarks)
        # Cut upright and generously: dlib turns the face itself and takes a margin.
        crop, to_picture = cut(image, Window(window.center, window.side * 1.4), _CROP)
        points = _into_crop(to_picture, face.landmarks[list(_DLIB_POINTS), :2])
        shape = dlib.full_object_detection(
            dlib.rectangle(0, 0, _CROP, _CROP), [dlib.point(round(float(x)), round(float(y))) for x, y in points]
        )
        with self._lock:
            chip = dlib.get_face_chip(np.ascontiguousarray(crop), shape, _DLIB_CHIP, _DLIB_PADDING)
            vector = self._open(dlib).compute_face_descriptor(chip)
        return FaceEmbedding(self.name, np.array(vector, np.float32))

    def _library(self) -> Any:
        try:
            import dlib
        except ImportError as exc:
            raise EngineUnavailableError(
                "Faces cannot be compared: dlib is not installed.", "Install it with: pip install dlib-bin"
            ) from exc
        return dlib

    def _open(self, dlib: Any) -> Any:
        if self._network is None:
            if not self._path.is_file():
                raise EngineUnavailableError(
                    f"Faces cannot be compared: the model file {DLIB_FILE} is missing.",
                    "Run `python -m studio assets build`, or get the file again.",
                    window=INSTALL_AGAIN,
                )
            try:
                self._network = dlib.face_recognition_model_v1(str(self._path))
            except RuntimeError as exc:
                raise EngineError(f"The model file {DLIB_FILE} cannot be opened: {exc}") from exc
        return self._network


class InsightfaceEmbedder:
    """A recognition network of an InsightFace model pack; vectors of unit length."""

    def __init__(self, pack: InsightfacePack) -> None:
        """Check that the licence was accepted and the file exists.

        Raises:
            EngineUnavailableError: it was not, or it does not.
        """
        if not pack.license_accepted:
            raise EngineUnavailableError(
                "InsightFace's models may be used for non-commercial purposes only.",
                "Accept that licence in Settings to use them, or stay with dlib.",
            )
        if not pack.model.is_file():
            raise EngineUnavailableError(
                f"The InsightFace model {pack.model.name} is not there.", "Install the model pack again."
            )
        self.name = f"insightface-{pack.model.stem}"
        self._path = pack.model
        self._session: Any = None
        self._lock = threading.Lock()

    def embed(self, image: NDArray[np.uint8], face: DetectedFace) -> FaceEmbedding:
        """Return the embedding of one face.

        Args:
            image: RGB.  # (H, W, 3)
            face: a face found in it.

        Raises:
            EngineError: the network cannot be opened or run.
        """
        chip = aligned_chip(image, face.landmarks)
        blob = (chip.astype(np.float32).transpose(2, 0, 1)[None] - 127.5) / 127.5
        session = self._open()
        try:
            (values,) = session.run(None, {session.get_inputs()[0].name: blob})
        except Exception as exc:  # onnxruntime has no common base class of its own
            raise EngineError(f"The InsightFace model {self._path.name} failed: {exc}") from exc
        vector = np.asarray(values, np.float32).ravel()
        return FaceEmbedding(self.name, vector / max(float(np.linalg.norm(vector)), 1e-9))

    def _open(self) -> Any:
        from studio.engines.vision.sessions import open_model

        with self._lock:
            if self._session is None:
                self._session = open_model(self._path)
            return self._session


def aligned_chip(
    image: NDArray[np.uint8], landmarks: NDArray[np.floating], side: int = _ARCFACE_SIDE, share: float = 1.0
) -> NDArray[np.uint8]:
    """Cut an upright square: iris centers, nose tip and mouth corners laid on ArcFace's template.

    Args:
        image: RGB.  # (H, W, 3)
        landmarks: of the face.  # (478, 2 or 3)
        side: of the square in pixels; 112 is ArcFace's.
        share: size of the face against the template's; below 1 more of its surroundings is seen.

    Returns:
        The square.  # (side, side, 3)
    """
    window = window_of(landmarks)
    crop, to_picture = cut(image, Window(window.center, window.side / min(share, 1.0)), 2 * side)
    picked = landmarks[[MESH_POINTS, MESH_POINTS + 5, 4, 61, 291], :2]
    source = _into_crop(to_picture, picked)
    template = (_ARCFACE_POINTS / _ARCFACE_SIDE - 0.5) * share * side + side / 2
    center, target_center = source.mean(0), template.mean(0)
    moved, target = source - center, template - target_center
    # Least-squares similarity in the plane, as complex numbers: target = factor * moved.
    a, b = moved[:, 0] + 1j * moved[:, 1], target[:, 0] + 1j * target[:, 1]
    factor = (b * a.conj()).sum() / (abs(a) ** 2).sum()
    linear = np.array([[factor.real, -factor.imag], [factor.imag, factor.real]])
    matrix = np.column_stack([linear, target_center - linear @ center])
    return np.asarray(cv2.warpAffine(crop, matrix, (side, side), flags=cv2.INTER_LINEAR), np.uint8)


def _into_crop(to_picture: NDArray[np.float64], points: NDArray[np.floating]) -> NDArray[np.float64]:
    """Map points of the picture to pixel indices of a crop."""
    linear = np.linalg.inv(to_picture[:, :2])
    return np.asarray((points.astype(np.float64) - to_picture[:, 2]) @ linear.T - 0.5)
