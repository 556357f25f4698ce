"""The rig behind the studio's animator interface."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from studio.domain.face import DetectedFace
from studio.domain.side_by_side import FaceInPhoto, whose
from studio.engines.base import FaceAnalyser, Image, Matte
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
    version = "5"  # raised whenever pictures change: a rerun promises the same frames, and refuses where it cannot

    def __init__(self, head_asset: Path, analyser: FaceAnalyser) -> None:
        self._asset = load_head(head_asset)
        self._analyser = analyser
        self._fitter = HeadFitter(self._asset)

    def prepare(self, image: Image, face: DetectedFace, others: Sequence[DetectedFace] = ()) -> RigPortrait:
        """Fit the head to one face of a picture and take the picture apart.

        Args:
            image: RGB.  # (H, W, 3) uint8
            face: the face to move, landmarks in the picture's pixels.
            others: faces whose part of the picture stays where it is.
        """
        with one_thread():
            fit = self._fitter.fit(face.landmarks)
            matte = self._analyser.matte(image)
            if not others:
                return RigPortrait(self._asset, image, face, fit, matte, self._measure)
            return RigPortrait(
                self._asset, image, face, fit, _own_part(matte, face, others), lambda drawn: self._measure(drawn, face)
            )

    def _measure(self, image: Image, where: DetectedFace | None = None) -> Any:
        """Return the head's rotation in a picture, or None when no face is found.

        Args:
            where: the face of a group that is meant; None is the largest.
        """
        faces = self._analyser.detect(image)
        if where is not None:
            faces = tuple(sorted(faces, key=lambda face: _apart(face, where)))[:1]
            if faces and _apart(faces[0], where) > 0.5 * (where.box[3] - where.box[1]):
                return None
        if not faces:
            return None
        with one_thread():
            return self._fitter.fit(faces[0].landmarks).camera.rotation


def _apart(face: DetectedFace, other: DetectedFace) -> float:
    """Return how far two faces are apart, pixels."""
    return float(np.linalg.norm((face.landmarks - other.landmarks).mean(0)[:2]))


def _own_part(matte: Matte, face: DetectedFace, others: Sequence[DetectedFace]) -> Matte:
    """Return the part of a matte of several people that is one person's."""
    height, width = matte.shape
    places = [FaceInPhoto.of(one, width, height) for one in (face, *others)]
    return np.asarray(matte * (whose(places, 0, (height, width)) > 0), np.uint8)
