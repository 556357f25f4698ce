"""The optional voice: phones it tells, refusals, and its absence."""

from __future__ import annotations

import sys

import numpy as np
import pytest

from studio.domain.lip_closure import lip_gap_mm
from studio.engines.voice import synthesis
from studio.engines.voice.shapes import AVERAGE_MOUTH
from studio.engines.voice.synthesis import EspeakVoice
from studio.errors import EngineUnavailableError, LimitExceededError, UserInputError

installed = pytest.mark.skipif(not EspeakVoice.is_available(), reason="optional espeakng-loader is not installed")


@pytest.fixture(scope="module")
def voice() -> EspeakVoice:
    return EspeakVoice()


@installed
def test_speaks_and_tells_its_phones(voice, speech):
    sound, analysis = voice.speak("Bob may put a puppy on my map.")
    assert analysis.method == "synthesis"
    assert sound.rate_hz == 22_050
    assert 1.5 < sound.duration_seconds < 5
    assert analysis.duration_seconds == pytest.approx(sound.duration_seconds)
    lips = [p.label for p in analysis.phones if p.label in "PBMFV"]
    assert lips == ["B", "B", "M", "P", "P", "P", "M", "M", "P"]
    assert [w.text.strip(".") for w in analysis.words] == ["Bob", "may", "put", "a", "puppy", "on", "my", "map"]
    performance = speech.perform(sound, analysis, AVERAGE_MOUTH)
    gap = lip_gap_mm(performance.weights, performance.own_mouth, AVERAGE_MOUTH)
    for phone in analysis.phones:
        if phone.label in "PBM":
            assert gap[int((phone.start - 0.05) * 25) : int((phone.end + 0.03) * 25) + 2].min() <= 1


@installed
def test_lips_close_while_the_voice_is_quiet(voice):
    """The closure of P lies in the silence before the burst that the voice names."""
    sound, analysis = voice.speak("Upper, apple, happy, pepper, open.")
    inner = [p for p in analysis.phones[2:] if p.label == "P"]
    level = [
        np.sqrt(np.mean(sound.samples[int((p.start + 0.012) * 22_050) : int((p.start + 0.04) * 22_050)] ** 2))
        for p in inner
    ]
    assert np.median(level) < 0.02


@installed
def test_rate_pitch_and_language_matter(voice):
    text = "One two three four five six seven"
    slow, _ = voice.speak(text, words_per_minute=100)
    fast, _ = voice.speak(text, words_per_minute=250)
    assert slow.duration_seconds > 1.6 * fast.duration_seconds
    low, _ = voice.speak(text, pitch=10)
    high, _ = voice.speak(text, pitch=90)
    assert low.samples.tobytes() != high.samples.tobytes()
    _, german = voice.speak("Guten Morgen, mein Freund", voice="de")
    assert [p.label for p in german.phones if p.label in "MF"] == ["M", "M", "F"]
    assert {v.language for v in voice.voices()} >= {"de", "en-us", "fr-fr"}


@installed
def test_long_and_foreign_characters_are_safe(voice):
    sound, analysis = voice.speak("Été à Noël — “naïve” 🎈 façade\0 end. " * 20)
    assert len(analysis.words) > 80
    assert sound.duration_seconds > 20


@installed
@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ({"text": "   "}, UserInputError),
        ({"text": "hi", "voice": "xx-none"}, UserInputError),
        ({"text": "hi", "words_per_minute": 9}, UserInputError),
        ({"text": "hi", "pitch": 101}, UserInputError),
        ({"text": "a" * 20_001}, LimitExceededError),
    ],
)
def test_bad_requests_are_refused(voice, arguments, error):
    with pytest.raises(error):
        voice.speak(**arguments)


def test_absence_is_explained(monkeypatch):
    monkeypatch.setattr(synthesis, "_library", None)
    monkeypatch.setitem(sys.modules, "espeakng_loader", None)
    with pytest.raises(EngineUnavailableError) as caught:
        EspeakVoice().speak("hello")
    assert "espeakng-loader" in caught.value.hint
