"""The command line in this process (quick) and as a real program (honest)."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import skimage.data

import studio.studio as composition
from studio.cli import main
from studio.engines import Engines
from studio.engines.base import Sound
from studio.engines.media.sound import write_wav

ROOT = Path(__file__).resolve().parents[2]


@dataclass
class Ran:
    """What a command left behind."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> dict[str, Any]:
        """The one JSON object on stdout."""
        lines = self.out.strip().splitlines()
        assert len(lines) == 1, self.out
        value = json.loads(lines[0])
        assert isinstance(value, dict)
        return value


def program(*arguments: str, data_dir: Path, environment: dict[str, str] | None = None) -> Ran:
    """Run `python -m studio` in a process of its own."""
    env = {k: v for k, v in os.environ.items() if not k.startswith("STUDIO_")}
    env |= {"STUDIO_DATA_DIR": str(data_dir), **(environment or {})}
    done = subprocess.run(
        [sys.executable, "-m", "studio", *map(str, arguments)], capture_output=True, text=True, cwd=ROOT, env=env
    )
    return Ran(done.returncode, done.stdout, done.stderr)


@pytest.fixture(scope="session")
def engines() -> Engines:
    """Return engines that are built once for all commands in this process."""
    return Engines(composition.ASSETS)


@pytest.fixture
def run(capfd, monkeypatch, tmp_path, engines):
    """Run a command in this process on a data folder of the test."""
    monkeypatch.setenv("STUDIO_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.setattr(composition, "Engines", lambda assets: engines)

    def call(*arguments: object) -> Ran:
        capfd.readouterr()
        code = main([str(a) for a in arguments])
        out, err = capfd.readouterr()
        return Ran(code, out, err)

    return call


@pytest.fixture(scope="session")
def astronaut() -> Path:
    return Path(skimage.data.__file__).parent / "astronaut.png"


@pytest.fixture(scope="session")
def speech(tmp_path_factory) -> Path:
    """Return 1.2 s of something like speech: a buzz with the formants of a vowel, in syllables."""
    rate = 16000
    times = np.arange(int(1.2 * rate)) / rate
    buzz = sum(np.sin(2 * np.pi * 120 * k * times) / (1 + abs(120 * k - 700) / 200) for k in range(1, 25))
    syllables = np.clip(np.sin(2 * np.pi * 4 * times), 0, 1)
    samples = (0.15 * buzz * syllables).astype(np.float32)
    return write_wav(tmp_path_factory.mktemp("sound") / "speech.wav", Sound(samples, rate))
