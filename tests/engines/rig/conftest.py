"""Fixtures of the rig tests: one public-domain portrait, analysed once."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from studio.domain.face import DetectedFace
from studio.engines.rig.animator import RigAnimator
from studio.engines.rig.portrait import RigPortrait
from studio.engines.vision.analyser import VisionAnalyser

ASSETS = Path(__file__).resolve().parents[3] / "assets"


@pytest.fixture(scope="session")
def analyser() -> VisionAnalyser:
    return VisionAnalyser(ASSETS / "models")


@pytest.fixture(scope="session")
def animator(analyser: VisionAnalyser) -> RigAnimator:
    return RigAnimator(ASSETS / "head.npz", analyser)


@pytest.fixture(scope="session")
def photo() -> np.ndarray:
    import skimage.data

    return np.ascontiguousarray(skimage.data.astronaut()[:384, 32:416])


@pytest.fixture(scope="session")
def face(analyser: VisionAnalyser, photo: np.ndarray) -> DetectedFace:
    return analyser.detect(photo)[0]


@pytest.fixture(scope="session")
def portrait(animator: RigAnimator, photo: np.ndarray, face: DetectedFace) -> RigPortrait:
    return animator.prepare(photo, face)
