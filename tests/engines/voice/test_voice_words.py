"""A word that somebody mends: its sounds are found in its own piece of sound."""

from __future__ import annotations

import numpy as np
import pytest

from studio.engines.base import Sound
from studio.engines.media.sound import read_sound
from studio.engines.voice.listening import ListeningProcess
from studio.engines.voice.speech import PocketsphinxSpeech
from studio.errors import UserInputError
from studio.studio import ASSETS


@pytest.fixture(scope="module")
def sound() -> Sound:
    found = read_sound(ASSETS / "speech" / "golden.wav")
    return Sound(found.samples, found.rate_hz)


@pytest.fixture(scope="module")
def speech() -> ListeningProcess:
    return ListeningProcess()


def piece(sound: Sound, start: float, end: float) -> Sound:
    return Sound(sound.samples[round(start * sound.rate_hz) : round(end * sound.rate_hz)], sound.rate_hz)


def test_the_right_word_gets_the_sounds_that_the_whole_text_gave_it(sound, speech) -> None:
    words = (ASSETS / "speech" / "golden.txt").read_text("utf-8")
    whole = speech.analyse(sound, words)
    away = []
    for word in whole.words[:24]:
        found = speech.respell(piece(sound, word.start, word.end), word.text)
        there = [p for p in whole.phones if p.start >= word.start - 1e-4 and p.end <= word.end + 1e-4]
        assert [p.label for p in found.phones] == [p.label for p in there], word.text
        away += [abs(p.start + word.start - q.start) for p, q in zip(found.phones, there, strict=True)]
        assert found.phones[0].start == 0
        assert found.phones[-1].end == pytest.approx(word.end - word.start, abs=1e-3)
    assert np.mean(away) < 0.01


def test_words_of_any_number_fill_the_piece(sound, speech) -> None:
    found = speech.respell(piece(sound, 0.2, 1.4), "Mister Zxqwv's 2 apples!")
    assert [w.text for w in found.words] == ["mister", "zxqwv's", "two", "apples"]
    assert found.phones[0].start == 0
    assert found.phones[-1].end == pytest.approx(1.2, abs=1e-3)
    assert any("by rule" in note for note in found.notes)


def test_nothing_is_silence_and_marks_are_nothing_to_say(sound, speech) -> None:
    assert [p.label for p in speech.respell(piece(sound, 0.2, 0.5), "").phones] == ["SIL"]
    with pytest.raises(UserInputError, match="no words that can be read"):
        speech.respell(piece(sound, 0.2, 0.5), "!?")


def test_more_than_fits_in_and_another_language_are_refused(sound, speech) -> None:
    with pytest.raises(UserInputError, match="do not fit"):
        speech.respell(piece(sound, 0.2, 0.3), "the quick brown fox jumps")
    with pytest.raises(UserInputError, match="English only"):
        speech.respell(piece(sound, 0.2, 0.5), "Haus", "de")


def test_where_the_sound_tells_nothing_sounds_are_laid_out_evenly_and_it_is_said(monkeypatch) -> None:
    speech = PocketsphinxSpeech()
    monkeypatch.setattr(speech._recogniser, "align", lambda samples, words: None)
    found = speech.respell(Sound(np.zeros(16000, np.float32), 16000), "mama papa")
    lengths = {round(p.end - p.start, 6) for p in found.phones}
    assert len(lengths) == 1
    assert any("evenly" in note for note in found.notes)
