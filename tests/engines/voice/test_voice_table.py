"""The table of checks (T1..T16) on the golden clip, on the average head and on a smiling one."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from benchmarks import mouth_checks as checks
from studio.domain.emotion import EMOTIONS
from studio.domain.expression import ARKIT_NAMES, INDEX
from studio.engines.base import Amounts
from studio.engines.media.sound import read_sound
from studio.engines.voice.prosody import at_16_khz, measure
from studio.engines.voice.shapes import AVERAGE_MOUTH


def smiling_head():
    """A head that smiles with open lips, opens more per weight and hardly knows mouthClose."""
    own = np.zeros(len(ARKIT_NAMES), np.float32)
    for name, weight in (("mouthSmile", 0.6), ("mouthUpperUp", 0.4), ("mouthLowerDown", 0.3)):
        for side in ("Left", "Right"):
            own[INDEX[name + side]] = weight
    own[INDEX["jawOpen"]] = 0.15
    return replace(AVERAGE_MOUTH, gap_mm=1.5, gap_per_weight_mm=AVERAGE_MOUTH.gap_per_weight_mm * 1.2, own=own)


HEADS = {"average": AVERAGE_MOUTH, "smiling": smiling_head()}


@pytest.mark.parametrize("head", HEADS)
@pytest.mark.parametrize("rate", [24.0, 25.0, 30.0, 60.0])
def test_lips_meet_and_part_as_people_do(speech, golden, head, rate):
    mouth = HEADS[head]
    performance = speech.perform(golden.sound, golden.aligned, mouth, frame_rate_hz=rate)
    assert checks.share_closed(performance, golden.aligned, mouth) >= 0.95  # T1
    assert checks.share_touching(performance, golden.aligned, mouth) >= 0.95  # T4
    assert 70 <= checks.closed_ms(performance, golden.aligned, mouth) <= 125  # T3
    assert checks.share_false_closed(performance, golden.aligned, mouth) <= 0.08  # T5


@pytest.mark.parametrize("rate", [24.0, 60.0])
@pytest.mark.parametrize("scale", [0.0, 0.5, 2.0])
@pytest.mark.parametrize("emotion", ["", *EMOTIONS])
def test_closures_survive_amounts_and_emotions(speech, golden, rate, scale, emotion):  # T2
    for head, mouth in HEADS.items():
        performance = speech.perform(
            golden.sound,
            golden.aligned,
            mouth,
            frame_rate_hz=rate,
            emotions=[(emotion, 1.0)] if emotion else [],
            amounts=Amounts(jaw=scale, lips=scale, articulation=scale / 2),
        )
        assert checks.share_closed(performance, golden.aligned, mouth) >= 0.95, head
        assert checks.share_touching(performance, golden.aligned, mouth) >= 0.95, head


def test_hard_pass_is_what_closes_the_lips(speech, golden, monkeypatch):
    from studio.engines.voice import closure

    monkeypatch.setattr(closure, "enforce", lambda weights, *rest: weights)
    performance = speech.perform(golden.sound, golden.aligned, AVERAGE_MOUTH)
    assert checks.share_closed(performance, golden.aligned, AVERAGE_MOUTH) < 0.6


def test_mouth_follows_the_voice_in_time(speech, golden):  # T7
    performance = speech.perform(golden.sound, golden.aligned, AVERAGE_MOUTH, frame_rate_hz=60)
    _, lag = checks.correlation_and_lag(performance, golden.prosody, AVERAGE_MOUTH)
    assert -20 <= lag <= 50


def test_curves_of_other_words_do_not_fit(speech, golden):  # T8
    performance = speech.perform(golden.sound, golden.aligned, AVERAGE_MOUTH)
    right, _ = checks.correlation_and_lag(performance, golden.prosody, AVERAGE_MOUTH)
    backwards = replace(
        golden.aligned,
        phones=tuple(
            replace(p, start=golden.sound.duration_seconds - p.end, end=golden.sound.duration_seconds - p.start)
            for p in reversed(golden.aligned.phones)
        ),
    )
    wrong = speech.perform(golden.sound, backwards, AVERAGE_MOUTH)
    assert checks.correlation_and_lag(wrong, golden.prosody, AVERAGE_MOUTH)[0] <= right - 0.12
    assert checks.share_closed(wrong, golden.aligned, AVERAGE_MOUTH) < 0.6


@pytest.mark.parametrize("rate", [25.0, 30.0])
def test_lips_are_quick_but_not_jerky(speech, welcome, rate):  # T9, on words with no more closures than usual
    sound, analysis = welcome
    found = checks.motion(speech.perform(sound, analysis, AVERAGE_MOUTH, frame_rate_hz=rate), analysis, AVERAGE_MOUTH)
    assert found.fastest_mm_per_s <= 300
    assert 3 <= found.reversals_per_s <= 8
    assert found.jerk_ratio <= 1.5


def test_table_holds_on_read_speech(speech, shared_speech):
    """T1, T3, T4, T5, T7, T9, T10 on five clips of read speech laid end to end, at 60 frames per second."""
    from benchmarks.voice import joined, recordings

    spoken = recordings()
    sound, analysis = joined(spoken, [speech.analyse(r.sound, r.text) for r in spoken])
    performance = speech.perform(sound, analysis, AVERAGE_MOUTH, frame_rate_hz=60)
    assert checks.share_closed(performance, analysis, AVERAGE_MOUTH) >= 0.95
    assert checks.share_touching(performance, analysis, AVERAGE_MOUTH) >= 0.95
    assert 70 <= checks.closed_ms(performance, analysis, AVERAGE_MOUTH) <= 125
    assert checks.share_false_closed(performance, analysis, AVERAGE_MOUTH) <= 0.08
    found = checks.motion(performance, analysis, AVERAGE_MOUTH)
    assert found.fastest_mm_per_s <= 300
    assert 3 <= found.reversals_per_s <= 8
    assert found.jerk_ratio <= 1.5
    assert checks.unrest_in_silence(performance, analysis, AVERAGE_MOUTH)[0] <= 0.3
    lag = checks.correlation_and_lag(performance, measure(at_16_khz(sound)), AVERAGE_MOUTH)[1]
    assert -20 <= lag <= 50


@pytest.mark.parametrize("head", HEADS)
def test_mouth_is_still_in_silence(speech, minute, head):  # T10
    sound, analysis = minute
    performance = speech.perform(sound, analysis, HEADS[head])
    millimetres, weight = checks.unrest_in_silence(performance, analysis, HEADS[head])
    assert millimetres <= 0.3
    assert weight <= 0.12  # the corners drift; the lips stay together
    middle = int((analysis.duration_seconds - 0.2) * 25)
    assert performance.own_mouth[middle] == pytest.approx(1.0)
    assert performance.own_mouth.min() == pytest.approx(0.25)


@pytest.mark.parametrize("amounts", [Amounts(), Amounts(head=0)])
def test_blinks_are_human_also_when_still(speech, minute, amounts):  # T11
    sound, analysis = minute
    found = [
        checks.blinks(speech.perform(sound, analysis, AVERAGE_MOUTH, seed=seed, amounts=amounts)) for seed in range(6)
    ]
    assert all(25 <= f.per_minute <= 60 for f in found)
    assert all(f.contact >= 0.95 for f in found)
    assert 0.4 <= np.mean([f.variation for f in found]) <= 1.0
    assert np.mean([f.skew for f in found]) > 0.5


def test_head_is_lively_and_smooth(speech, minute):  # T12
    sound, analysis = minute
    for seed in range(4):
        found = checks.head(speech.perform(sound, analysis, AVERAGE_MOUTH, seed=seed))
        yaw, pitch, roll = found.sd_degrees
        assert 2.0 <= pitch <= 4.5
        assert 2.0 <= yaw <= 4.8
        assert 1.0 <= roll <= 3.0
        assert 8 <= found.mean_speed[0] <= 14
        assert 6 <= found.mean_speed[1] <= 14
        assert found.mean_speed[2] <= 8
        assert found.share_below_4_hz >= 0.95
        assert found.largest_step < 3.0  # 75 degrees per second; people reach 80


def test_paths_without_text_agree_with_the_aligned_one(speech, shared_speech):  # T14
    wav = shared_speech / "librivox_0920.wav"
    sound = read_sound(wav)
    analyses = [
        speech.analyse(sound, wav.with_suffix(".txt").read_text()),
        speech.analyse(sound),
        speech.analyse(sound, language="de"),
    ]
    assert [a.method for a in analyses] == ["aligned", "decoded", "phone_loop"]
    gaps = [checks.gap(speech.perform(sound, a, AVERAGE_MOUTH, frame_rate_hz=100), AVERAGE_MOUTH) for a in analyses]
    aligned, decoded, loop = (np.maximum(g, 0) for g in gaps)
    assert np.corrcoef(aligned, decoded)[0, 1] >= 0.9
    assert np.corrcoef(aligned, loop)[0, 1] >= 0.75


def test_same_seed_same_take(speech, golden):  # T16
    first, again, other = (
        speech.perform(golden.sound, golden.aligned, AVERAGE_MOUTH, seed=seed, emotions=[("joy", 0.5)])
        for seed in (3, 3, 4)
    )
    for name in ("weights", "head_degrees", "own_mouth", "lip_seal", "breath"):
        assert getattr(first, name).tobytes() == getattr(again, name).tobytes(), name
    assert first.head_degrees.tobytes() != other.head_degrees.tobytes()
    assert first.weights.min() >= 0
    assert first.weights.max() <= 1
    assert (first.weights[:, INDEX["mouthClose"]] <= first.weights[:, INDEX["jawOpen"]] + 0.2 + 1e-6).all()
    assert len(first) == round(golden.sound.duration_seconds * 25)
