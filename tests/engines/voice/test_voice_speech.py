"""Paths: which one a sound takes, how well it hears, and what it says when a better one fails."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest

from studio.domain.speech import SILENCE
from studio.engines.base import Sound
from studio.engines.media.sound import read_sound
from studio.engines.voice import recognition
from studio.engines.voice import speech as analyser
from studio.engines.voice.energy import closed_lips, energy_phones
from studio.engines.voice.prosody import at_16_khz, measure
from studio.engines.voice.speech import PocketsphinxSpeech
from studio.errors import EngineUnavailableError, UnreadableMediaError, UserInputError


def assert_covers(analysis):
    assert analysis.phones[0].start == 0
    assert analysis.phones[-1].end == pytest.approx(analysis.duration_seconds)
    for before, after in zip(analysis.phones, analysis.phones[1:], strict=False):
        assert before.end == pytest.approx(after.start)
        assert before.end > before.start


def test_alignment_finds_the_phones_the_voice_spoke(golden):
    assert golden.aligned.method == "aligned"
    assert golden.aligned.notes == ()
    assert_covers(golden.aligned)
    said = [w.strip(".,").lower() for w in golden.text.split()]
    assert [w.text for w in golden.aligned.words] == said
    spoken = [p for p in golden.spoken.phones if p.label in "PBM"]
    found = [p for p in golden.aligned.phones if p.label in "PBM"]
    assert [p.label for p in found] == [p.label for p in spoken]
    starts = np.array([f.start - s.start for f, s in zip(found, spoken, strict=True)])
    assert abs(np.median(starts)) <= 0.02
    assert np.percentile(np.abs(starts), 90) <= 0.04


def test_wrong_transcript_is_told_and_not_used(speech, golden):
    wrong = "this is quite another story about ships that sail across the silent southern ocean at night " * 2
    analysis = speech.analyse(golden.sound, wrong)
    assert analysis.method != "aligned"
    assert any("does not match" in note for note in analysis.notes)
    assert_covers(analysis)


def test_transcript_far_too_long_is_told(speech, golden):
    analysis = speech.analyse(golden.sound, golden.text * 12)
    assert any("does not match" in note and "speech sounds" in note for note in analysis.notes)


def test_one_wrong_sentence_does_not_spoil_the_rest(speech, golden, minute):
    sound, _ = minute
    sentences = [golden.text.strip()] * 4
    sentences[1] = "here somebody typed a sentence that nobody has ever heard in this recording of ours " * 2
    analysis = speech.analyse(sound, " ".join(sentences))
    assert analysis.method == "aligned"
    assert any("guessed" in note for note in analysis.notes)
    step = golden.sound.duration_seconds + 1.0
    found = [p for p in analysis.phones if p.label in "PBM"]
    third = [p.start + 2 * step for p in golden.spoken.phones if p.label in "PBM" and p.start > 3.5]
    near = [any(abs(f.start - start) < 0.05 for f in found) for start in third]
    assert np.mean(near) >= 0.9


def test_unknown_words_numbers_and_emoji_are_spoken_of(speech):
    from studio.engines.voice.synthesis import EspeakVoice

    if not EspeakVoice.is_available():
        pytest.skip("the optional voice espeakng-loader is not installed")
    sound, _ = EspeakVoice().speak("My blimpfurt weighs 23 pounds, maybe more.")
    analysis = speech.analyse(sound, "My blimpfurt weighs 23 pounds, maybe more. 🎈")
    assert analysis.method == "aligned"
    assert [w.text for w in analysis.words] == [
        "my",
        "blimpfurt",
        "weighs",
        "twenty",
        "three",
        "pounds",
        "maybe",
        "more",
    ]
    assert any("blimpfurt" in n for n in analysis.notes)
    assert any("🎈" in n for n in analysis.notes)


def test_english_without_text_is_decoded(speech, shared_speech):
    analysis = speech.analyse(read_sound(shared_speech / "librivox_0870.wav"))
    assert analysis.method == "decoded"
    assert "leisure" in [w.text for w in analysis.words]


def test_other_languages_take_the_phone_loop(speech, golden):
    analysis = speech.analyse(golden.sound, "Guten Tag", language="de-DE")
    assert analysis.method == "phone_loop"
    assert analysis.words == ()
    assert any("only with English" in note for note in analysis.notes)
    assert_covers(analysis)


def test_noise_ends_in_loudness_with_notes(speech):
    rng = np.random.default_rng(1)
    swell = 0.2 + 0.8 * (np.sin(np.arange(48_000) / 16_000 * 2 * np.pi * 3) > 0)
    sound = Sound((0.2 * swell * rng.normal(size=48_000)).clip(-1, 1).astype(np.float32), 16_000)
    analysis = speech.analyse(sound)
    assert_covers(analysis)
    if analysis.method == "energy":
        assert any("loudness" in note for note in analysis.notes)
    else:
        assert analysis.method in ("decoded", "phone_loop")


def test_loudness_alone_finds_syllables_and_some_closures(golden):
    phones = energy_phones(golden.prosody)
    assert {p.label for p in phones} >= {SILENCE, "AA", "M", "S"}
    assert min(p.end - p.start for p in phones[1:-1]) >= 0.039
    labials = [p for p in golden.spoken.phones if p.label in "PBM"]
    dips = closed_lips(golden.prosody)
    hit = sum(any(a < p.end + 0.03 and b > p.start - 0.03 for a, b in dips) for p in labials)
    assert hit >= 0.2 * len(labials)
    assert hit >= 0.3 * len(dips)


@pytest.mark.parametrize("rate", [8_000, 11_025, 22_050, 44_100, 48_000, 96_000])
def test_resampling_keeps_time_and_pitch(rate):
    at = np.arange(rate * 43 // 2) / rate
    tone = Sound((0.3 * np.sin(2 * np.pi * 220 * at)).astype(np.float32), rate)
    out = at_16_khz(tone)
    assert len(out) == pytest.approx(16_000 * 21.5, abs=1)
    expected = 0.3 * np.sin(2 * np.pi * 220 * np.arange(len(out)) / 16_000)
    assert np.abs(out - expected)[200:-200].max() < 0.003


def test_pitch_and_level_are_measured():
    at = np.arange(32_000) / 16_000
    tone = sum(np.sin(2 * np.pi * 120 * k * at) / k for k in range(1, 12))
    prosody = measure((0.2 * tone).astype(np.float32))
    assert np.median(prosody.pitch_hz) == pytest.approx(120, rel=0.03)
    assert len(prosody) == 201
    assert prosody.speaking[20:180].all()
    full = measure(np.sin(2 * np.pi * 1000 * at).astype(np.float32))
    assert full.level_db[100] == pytest.approx(-3.0, abs=0.2)


def test_bad_sound_is_refused(speech):
    with pytest.raises(UserInputError, match="empty"):
        speech.analyse(Sound(np.zeros(0, np.float32), 16_000))
    with pytest.raises(UserInputError, match="2000 samples"):
        speech.analyse(Sound(np.zeros(100, np.float32), 2_000))
    with pytest.raises(UnreadableMediaError):
        speech.analyse(Sound(np.full(16_000, np.nan, np.float32), 16_000))
    with pytest.raises(UserInputError, match="klingon"):
        speech.analyse(Sound(np.zeros(16_000, np.float32), 16_000), language="klingon")


@pytest.mark.parametrize("samples", [1, 80, 1_000, 4_000])
def test_very_short_sounds_do_not_fail(speech, samples):
    sound = Sound((0.5 * np.random.default_rng(2).normal(size=samples)).clip(-1, 1).astype(np.float32), 16_000)
    analysis = speech.analyse(sound, "hello")
    assert_covers(analysis)
    from studio.engines.voice.shapes import AVERAGE_MOUTH

    assert len(speech.perform(sound, analysis, AVERAGE_MOUTH)) >= 1


def test_missing_recogniser_explains_itself(monkeypatch, golden):
    import sys

    monkeypatch.setitem(sys.modules, "pocketsphinx", None)
    with pytest.raises(EngineUnavailableError, match="pocketsphinx") as caught:
        PocketsphinxSpeech().analyse(golden.sound)
    assert "pip install" in caught.value.hint


def test_ten_times_the_sound_needs_little_more_memory(speech, golden):
    """Working memory beyond the sound and its curves must not grow with the sound."""

    def peak(sound: Sound) -> int:
        tracemalloc.start()
        analysis = speech.analyse(sound, language="de")
        assert analysis.method == "phone_loop"
        out = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return out

    samples = at_16_khz(golden.sound)
    short, long = Sound(np.tile(samples, 2), 16_000), Sound(np.tile(samples, 8), 16_000)
    grown = peak(long) - peak(short)
    assert grown < 0.25 * (long.samples.nbytes - short.samples.nbytes) + 2_000_000


def test_padding_noise_is_always_the_same():
    quiet = np.zeros(1600, np.float32)
    first, again = (recognition._padded(quiet, 0.1, 0.1) for _ in range(2))
    assert first == again
    assert len(first) == 2 * (1600 + 2 * 1600)


def test_a_sound_is_measured_once_for_listening_and_performing(monkeypatch):
    measured = []
    monkeypatch.setattr(analyser, "measure", lambda samples: measured.append(len(samples)) or measure(samples))
    monkeypatch.setattr(analyser, "write_performance", lambda analysis, prosody, mouth, **how: len(prosody))
    engine = PocketsphinxSpeech()
    times = np.arange(16_000) / 16_000
    sound = Sound((0.3 * np.sin(2 * np.pi * 220 * times)).astype(np.float32), 16_000)
    analysis = engine.analyse(sound, None, "de")
    assert engine.perform(sound, analysis, None) == 101
    assert engine.perform(sound, analysis, None, seed=1) == 101
    assert measured == [16_000]
    assert engine.perform(Sound(sound.samples[:8_000], 16_000), analysis, None) == 51, "another sound is another"
    assert measured == [16_000, 8_000]
