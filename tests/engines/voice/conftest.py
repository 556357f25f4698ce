"""The golden clip: sentences dense in P, B, M, F and V, spoken once by a synthetic voice that told us its phones."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from studio.domain.speech import Phone, SpeechAnalysis, cover
from studio.engines.base import Sound
from studio.engines.media.sound import read_sound
from studio.engines.voice.prosody import Prosody, at_16_khz, measure
from studio.engines.voice.speech import PocketsphinxSpeech

ROOT = Path(__file__).resolve().parents[3]
SHARED = ROOT.parent / "shared" / "data" / "speech"


@dataclass(frozen=True)
class Golden:
    """Sound, text, the phones the voice spoke and the ones we found."""

    sound: Sound
    text: str
    spoken: SpeechAnalysis
    aligned: SpeechAnalysis
    prosody: Prosody


@pytest.fixture(scope="session")
def speech() -> PocketsphinxSpeech:
    return PocketsphinxSpeech()


@pytest.fixture(scope="session")
def golden(speech: PocketsphinxSpeech) -> Golden:
    folder = ROOT / "assets" / "speech"
    sound = read_sound(folder / "golden.wav")
    text = (folder / "golden.txt").read_text(encoding="utf-8")
    rows = json.loads((folder / "golden.phones.json").read_text(encoding="utf-8"))
    spoken = cover([Phone(*row) for row in rows], sound.duration_seconds)
    analysis = SpeechAnalysis(sound.duration_seconds, spoken, (), "synthesis")
    return Golden(sound, text, analysis, speech.analyse(sound, text), measure(at_16_khz(sound)))


@pytest.fixture(scope="session")
def welcome(speech: PocketsphinxSpeech) -> tuple[Sound, SpeechAnalysis]:
    """The sample project's sound, aligned with its text."""
    folder = ROOT / "assets" / "speech"
    sound = read_sound(folder / "welcome.wav")
    analysis = speech.analyse(sound, (folder / "welcome.txt").read_text(encoding="utf-8"))
    assert analysis.method == "aligned", analysis.notes
    return sound, analysis


@pytest.fixture(scope="session")
def minute(golden: Golden) -> tuple[Sound, SpeechAnalysis]:
    """Sixty seconds: the golden clip four times, with a second of silence between."""
    gap = np.zeros(golden.sound.rate_hz, np.float32)
    sound = Sound(np.concatenate([golden.sound.samples, gap] * 4), golden.sound.rate_hz)
    step = golden.sound.duration_seconds + 1.0
    phones = [Phone(p.label, p.start + i * step, p.end + i * step) for i in range(4) for p in golden.aligned.phones]
    return sound, SpeechAnalysis(sound.duration_seconds, cover(phones, sound.duration_seconds), (), "aligned")


@pytest.fixture(scope="session")
def shared_speech() -> Path:
    if not SHARED.is_dir():
        pytest.skip(f"developers' recordings are not here: {SHARED}")
    return SHARED
