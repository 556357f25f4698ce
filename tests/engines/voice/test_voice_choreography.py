"""How lively a face is beside real speakers, and that no two clips move alike."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from benchmarks import choreography
from benchmarks.mouth_checks import gap
from studio.domain.expression import ARKIT_NAMES, INDEX
from studio.domain.performance import take_seed
from studio.domain.speech import SILENCE, Phone, SpeechAnalysis
from studio.engines.base import Amounts, Sound
from studio.engines.voice.alignment import Found, _without_holes
from studio.engines.voice.melody import melody
from studio.engines.voice.prosody import at_16_khz, measure
from studio.engines.voice.shapes import AVERAGE_MOUTH, SPEAKING_OWN_MOUTH

BROWS = [i for n, i in INDEX.items() if n.startswith("brow")]
CORNERS = [i for n, i in INDEX.items() if n.startswith(("mouthSmile", "mouthDimple"))]


@pytest.fixture(scope="module")
def takes(speech, welcome):
    """The same words by twelve photos."""
    sound, analysis = welcome
    return {
        f"photo {i}": speech.perform(sound, analysis, AVERAGE_MOUTH, seed=take_seed(0, "sound", f"photo {i}"))
        for i in range(12)
    }


@pytest.mark.parametrize("figure", choreography.BANDS)
def test_liveliness_is_that_of_real_speakers(takes, figure):
    found = choreography.mean([choreography.of_performance(p, AVERAGE_MOUTH) for p in takes.values()])
    low, high = choreography.BANDS[figure]
    # Curves have none of a tracker's jitter, which adds a little to every spread of a real speaker.
    assert 0.9 * low <= getattr(found, figure) <= high, found


def test_no_two_clips_share_their_choreography(takes):
    mean, most = choreography.likeness(takes)
    assert mean < 0.4
    assert most < 0.9


def test_seed_of_a_take_depends_on_all_three():
    assert take_seed(0, "a", "b") == take_seed(0, "a", "b")
    seeds = {take_seed(*names) for names in ((0, "a", "b"), (1, "a", "b"), (0, "b", "a"), (0, "a", "c"), (0, "ab", ""))}
    assert len(seeds) == 5
    assert all(0 <= seed < 2**31 for seed in seeds)


def test_head_turns_when_the_voice_stresses(welcome, takes):
    """The mean speed of yaw over twelve takes is higher on accents than between them."""
    sound, analysis = welcome
    accents = melody(measure(at_16_khz(sound)), analysis.phones).accents
    assert len(accents) > analysis.duration_seconds
    speeds = [np.abs(np.diff(p.head_degrees[:, 0])) * p.frame_rate_hz for p in takes.values()]
    speed = np.mean(speeds, axis=0)
    at = np.arange(len(speed)) / 25
    near = np.zeros(len(speed), bool)
    for accent in accents:
        near |= (at > accent.seconds - 0.08) & (at < accent.seconds + 0.2)
    inside = (at > 1.0) & (at < accents[-1].seconds)
    assert speed[near & inside].mean() > 1.15 * speed[~near & inside].mean()


def test_amounts_scale_the_liveliness(speech, welcome):
    sound, analysis = welcome
    half, full, double = (
        choreography.of_performance(
            speech.perform(sound, analysis, AVERAGE_MOUTH, amounts=Amounts(head=a, brows=a, blink=a)), AVERAGE_MOUTH
        )
        for a in (0.5, 1.0, 2.0)
    )
    for figure in ("yaw_speed", "pitch_sd", "brow_sd", "blinks_per_minute"):
        assert getattr(half, figure) < getattr(full, figure) < getattr(double, figure), figure


def test_idle_face_moves_a_little_with_closed_lips(speech):
    rng = np.random.default_rng(0)
    sound = Sound((1e-4 * rng.normal(size=16_000 * 8)).astype(np.float32), 16_000)
    performance = speech.perform(sound, speech.analyse(sound), AVERAGE_MOUTH)
    assert 0.01 < np.ptp(performance.weights[:, BROWS], axis=0).max() < 0.2
    assert 0.01 < np.ptp(performance.weights[:, CORNERS], axis=0).max() < 0.12
    assert np.ptp(gap(performance, AVERAGE_MOUTH)) <= 0.3
    off = speech.perform(sound, speech.analyse(sound), AVERAGE_MOUTH, amounts=Amounts(lips=0, brows=0))
    assert not off.weights[:, BROWS + CORNERS].any()


def laughing_head():
    own = np.zeros(len(ARKIT_NAMES), np.float32)
    own[INDEX["jawOpen"]] = 0.4
    own[[INDEX["mouthSmileLeft"], INDEX["mouthSmileRight"]]] = 0.6
    return replace(AVERAGE_MOUTH, own=own)


def test_laughing_photo_rests_between_its_words(speech, minute):
    """Its own laugh opens by 12 mm: in a pause that would be wider than any word."""
    sound, analysis = minute
    head = laughing_head()
    performance = speech.perform(sound, analysis, head)
    opening = np.maximum(gap(performance, head), 0)
    assert opening[-1] > 9
    assert performance.own_mouth[-1] == pytest.approx(1.0)
    inner = [p for p in analysis.phones if p.label == SILENCE and p.end - p.start > 0.9][:-1]
    assert inner
    for pause in inner:
        if pause.start > 0.5:
            assert opening[int((pause.start + pause.end) / 2 * 25)] < 5
    assert performance.own_mouth.min() == pytest.approx(SPEAKING_OWN_MOUTH)


def voice(first_formant_hz: float) -> Sound:
    """Two seconds of a 120 Hz voice with one formant."""
    at = np.arange(32_000) / 16_000
    samples = np.zeros(len(at))
    for harmonic in range(120, 4000, 120):
        samples += np.sin(2 * np.pi * harmonic * at) / (1 + ((harmonic - first_formant_hz) / 150) ** 2)
    return Sound((0.1 * samples / samples.std()).astype(np.float32), 16_000)


def test_tilt_rises_with_the_first_formant():
    levels = [measure(voice(hz).samples).tilt_db[20:-20].mean() for hz in (300, 500, 800)]
    assert levels[0] + 2 < levels[1] < levels[2]


def test_mouth_opens_where_the_sound_is_open(speech):
    """The same phone all along, in a sound whose first formant rises: only the sound can say so."""
    shut, wide = voice(300).samples, voice(800).samples
    sound = Sound(np.concatenate([shut, wide]), 16_000)
    phones = tuple(Phone("AH", 0.25 * i, 0.25 * i + 0.25) for i in range(16))
    analysis = SpeechAnalysis(4.0, phones, (), "decoded")
    opening = gap(speech.perform(sound, analysis, AVERAGE_MOUTH), AVERAGE_MOUTH)
    assert opening[60:90].mean() > opening[10:40].mean() + 1.5


def test_loudness_opens_the_mouth_where_no_words_are_known(speech):
    soft, loud = 0.05 * voice(500).samples, voice(500).samples
    sound = Sound(np.concatenate([soft, loud]), 16_000)
    phones = tuple(Phone("AH", 0.25 * i, 0.25 * i + 0.25) for i in range(16))
    for path, least in (("phone_loop", 3.0), ("decoded", 0.5)):
        opening = gap(speech.perform(sound, SpeechAnalysis(4.0, phones, (), path), AVERAGE_MOUTH), AVERAGE_MOUTH)
        assert opening[60:90].mean() > opening[10:40].mean() + least


class LoopOnly:
    """Hears one B wherever it is asked."""

    def phone_loop(self, samples):
        return (Phone("B", 0.0, len(samples) / 16_000),)


def test_phrase_that_does_not_align_is_filled_with_sounds(golden):
    """Words were found in the first second only; without filling the mouth would stay shut for the rest."""
    known = tuple(p for p in golden.aligned.phones if p.end < 1.0)
    found = _without_holes(LoopOnly(), golden.sound.samples, golden.prosody, Found((), known))
    covered = np.zeros(len(golden.prosody), bool)
    for phone in found.phones:
        covered[round(phone.start * 100) : round(phone.end * 100)] = True
    assert (covered | ~golden.prosody.speaking)[100:].mean() > 0.9
    assert list(found.phones) == sorted(found.phones, key=lambda p: p.start)


def test_width_and_rounding_use_the_full_swing(speech):
    """A word between spread and round sounds changes the mouth's width by as much as people's do."""
    phones = tuple(
        Phone(label, 0.15 * i, 0.15 * i + 0.15) for i, label in enumerate(("S", "IY", "W", "UW", "S", "IY", "W", "UW"))
    )
    sound = Sound(voice(500).samples[: 16_000 * 12 // 10], 16_000)
    performance = speech.perform(sound, SpeechAnalysis(1.2, phones, (), "aligned"), AVERAGE_MOUTH)
    width = performance.weights @ AVERAGE_MOUTH.width_per_weight_mm
    assert np.ptp(width[5:-5]) > 10
