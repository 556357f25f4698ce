"""Pictures made from scikit-image's public-domain astronaut, and one analyser for all tests."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from studio.engines.vision.analyser import VisionAnalyser

ROOT = Path(__file__).resolve().parents[3]
MODELS = ROOT / "assets" / "models"


@pytest.fixture(scope="session")
def analyser() -> VisionAnalyser:
    return VisionAnalyser(MODELS)


@pytest.fixture(scope="session")
def astronaut() -> NDArray[np.uint8]:
    import skimage.data

    picture = np.asarray(skimage.data.astronaut(), np.uint8)
    picture.setflags(write=False)
    return picture
