"""A clip whose motion is known: the rig moves the public-domain astronaut."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from benchmarks.driver_clip import drawn, known_motion
from studio.domain.performance import Performance
from studio.engines.rig.animator import RigAnimator
from studio.engines.rig.portrait import RigPortrait
from studio.engines.tracking.tracker import LandmarkTracker
from studio.engines.vision.analyser import VisionAnalyser

ASSETS = Path(__file__).resolve().parents[3] / "assets"


@pytest.fixture(scope="session")
def analyser() -> VisionAnalyser:
    return VisionAnalyser(ASSETS / "models")


@pytest.fixture(scope="session")
def tracker(analyser: VisionAnalyser) -> LandmarkTracker:
    return LandmarkTracker(ASSETS / "head.npz", analyser)


@pytest.fixture(scope="session")
def portrait(analyser: VisionAnalyser) -> RigPortrait:
    import skimage.data

    photo = np.ascontiguousarray(skimage.data.astronaut()[:384, 32:416])
    return RigAnimator(ASSETS / "head.npz", analyser).prepare(photo, analyser.detect(photo)[0])


@pytest.fixture(scope="session")
def motion() -> Performance:
    return known_motion()


@pytest.fixture(scope="session")
def frames(portrait: RigPortrait, motion: Performance) -> list[np.ndarray]:
    return list(drawn(portrait, motion))
