"""A mouth that moves while somebody speaks."""

from __future__ import annotations

import numpy as np
import pytest

from studio.domain.expression import INDEX
from studio.engines.media.sound import read_sound
from studio.engines.voice.prosody import RATE_HZ, at_16_khz
from studio.engines.voice.shapes import AVERAGE_MOUTH
from studio.engines.voice.speech import PocketsphinxSpeech
from studio.studio import ASSETS

JAW = INDEX["jawOpen"]


@pytest.fixture(scope="module")
def spoken() -> np.ndarray:
    return at_16_khz(read_sound(ASSETS / "speech" / "golden.wav"))[: 6 * RATE_HZ]


def heard(samples: np.ndarray, step: int = 960) -> list:
    mouth = PocketsphinxSpeech().live(AVERAGE_MOUTH)
    return [mouth.hear(samples[i : i + step]) for i in range(0, len(samples), step)]


def test_the_jaw_follows_the_voice_within_a_tenth_of_a_second(spoken) -> None:
    jaw = np.array([m.weights[0, JAW] for m in heard(spoken)])
    loud = np.array([np.abs(spoken[i : i + 960]).mean() for i in range(0, len(spoken), 960)])
    by_lag = [np.corrcoef(jaw[lag:], loud[: len(loud) - lag])[0, 1] for lag in range(6)]
    assert max(by_lag) > 0.45
    assert int(np.argmax(by_lag)) in (1, 2), "60 to 120 ms behind"
    assert jaw.max() > 0.25


def test_lips_shut_somewhere_and_only_the_mouth_moves(spoken) -> None:
    moved = heard(spoken)
    assert max(m.lip_seal[0] for m in moved) > 0.9
    for m in moved:
        assert len(m) == 1
        assert not m.head_degrees.any()
        assert not m.weights[0, [i for n, i in INDEX.items() if n.startswith(("eye", "brow"))]].any()


@pytest.mark.parametrize("level", [0.0, 0.001])
def test_a_quiet_room_moves_nothing(level: float) -> None:
    noise = np.random.default_rng(4).normal(0, level, 3 * RATE_HZ).astype(np.float32)
    assert max(m.weights.max() for m in heard(noise)) < 0.02


@pytest.mark.parametrize("step", [1, 37, 160, 4000])
def test_pieces_of_any_length_are_taken(step: int, spoken) -> None:
    moved = heard(spoken[RATE_HZ : RATE_HZ + 40 * step], step)
    assert all(np.isfinite(m.weights).all() for m in moved)


def test_the_mouth_forgets_and_does_not_grow(spoken) -> None:
    mouth = PocketsphinxSpeech().live(AVERAGE_MOUTH)
    for i in range(0, len(spoken), 1600):
        mouth.hear(spoken[i : i + 1600])
    assert len(mouth._samples) < 5 * RATE_HZ
