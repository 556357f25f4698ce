"""A studio on a fresh folder, with engines that cost nothing."""

from __future__ import annotations

import numpy as np
import pytest

import studio.studio as composition
from studio.engines.base import Sound
from studio.engines.media.sound import write_wav
from tests.services.fakes import FakeEngines, at_home, picture


@pytest.fixture
def engines():
    return FakeEngines()


@pytest.fixture
def studio(tmp_path, monkeypatch, engines):
    monkeypatch.setattr(composition, "Engines", lambda assets: engines)
    with composition.Studio(tmp_path / "data") as opened:
        yield at_home(opened)


@pytest.fixture
def portrait(tmp_path):
    return picture(tmp_path / "ann.png")


@pytest.fixture
def speech(tmp_path):
    times = np.arange(16000) / 16000
    samples = (0.3 * np.sin(2 * np.pi * 220 * times) * (1 + np.sin(2 * np.pi * 4 * times)) / 2).astype(np.float32)
    return write_wav(tmp_path / "speech.wav", Sound(samples, 16000))
