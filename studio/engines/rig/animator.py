"""The rig behind the studio's animator interface."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from studio.domain.face import DetectedFace
from studio.engines.base import FaceAnalyser, Image
from studio.engines.rig import kernels
from studio.engines.rig.asset import load_head
from studio.engines.rig.fit import HeadFitter
from studio.engines.rig.portrait import RigPortrait
from studio.engines.threads import one_thread


def warm_up() -> None:
    """Load what a first portrait would wait for: numba's machinery, by one small kernel."""
    one = np.ones(1)
    kernels.bounded_least_squares(np.ones((1, 1)), one, one, one, one, 1)


class RigAnimator:
    """Makes portraits on the CPU with nothing downloaded.

    Args:
        head_asset: path of assets/head.npz.
        analyser: supplies the person matte.

    Raises:
        EngineUnavailableError: the head asset is missing.
    """

    name = "rig"
    version = "4"  # raised whenever pictures change: a rerun promises the same frames, and refuses where it cannot

    def __init__(self, head_asset: Path, analyser: FaceAnalyser) -> None:
        self._asset = load_head(head_asset)
        self._analyser = analyser
        self._fitter = HeadFitter(self._asset)

    def prepare(self, image: Image, face: DetectedFace) -> RigPortrait:
        """Fit the head to one face of a picture and take the picture apart.

        Args:
            image: RGB.  # (H, W, 3) uint8
            face: the face to move, landmarks in the picture's pixels.
        """
        with one_thread():
            fit = self._fitter.fit(face.landmarks)
            return RigPortrait(self._asset, image, face, fit, self._analyser.matte(image), self._measure)

    def _measure(self, image: Image) -> Any:
        """Return the head's rotation in a picture, or None when no face is found."""
        faces = self._analyser.detect(image)
        if not faces:
            return None
        with one_thread():
            return self._fitter.fit(faces[0].landmarks).camera.rotation
