"""Layers: each has its amount, 0 switches it off, and none disturbs another."""

from __future__ import annotations

from dataclasses import fields, replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from studio.domain.expression import ARKIT_NAMES, INDEX
from studio.domain.lip_closure import lip_gap_mm
from studio.domain.performance import MouthResponse
from studio.domain.speech import SILENCE, Phone, SpeechAnalysis, cover, with_boundary
from studio.engines.base import Amounts, Sound
from studio.engines.voice.performing import write_performance
from studio.engines.voice.prosody import measure, runs
from studio.engines.voice.shapes import (
    AVERAGE_MOUTH,
    DIPHTHONGS,
    MAX_JAW,
    PHONE_SHAPES,
    STEM,
    solve_shapes,
    speaking_own,
    stem_response,
)
from studio.errors import UserInputError

EYES = [i for n, i in INDEX.items() if n.startswith("eye")]
BROWS = [i for n, i in INDEX.items() if n.startswith("brow")]
LOOKS = [i for n, i in INDEX.items() if n.startswith("eyeLook")]
BLINKS = [INDEX["eyeBlinkLeft"], INDEX["eyeBlinkRight"]]
MOUTHS = [i for n, i in INDEX.items() if n.startswith(("mouth", "jaw", "tongue"))]


def perform(golden, speech, **amounts):
    return speech.perform(golden.sound, golden.aligned, AVERAGE_MOUTH, amounts=Amounts(**amounts))


def test_still_keeps_blinks_and_gaze(speech, golden):
    moving, still = perform(golden, speech), perform(golden, speech, head=0)
    assert not still.head_degrees.any()
    first, second = (runs(p.weights[:, BLINKS[0]] > 0.3) for p in (moving, still))
    assert len(first) == len(second) > 5
    assert np.abs(np.subtract(first, second)).max() <= 1  # eyes that follow no head meet their lids a little elsewhere
    assert still.weights[:, LOOKS].max() > 0.02


def test_each_layer_can_be_switched_off_alone(speech, golden):
    full = perform(golden, speech)
    no_blink = perform(golden, speech, blink=0)
    assert not no_blink.weights[:, BLINKS].any()
    assert np.array_equal(no_blink.head_degrees, full.head_degrees)
    assert not perform(golden, speech, gaze=0).weights[:, LOOKS].any()
    assert not perform(golden, speech, brows=0).weights[:, BROWS].any()
    assert not perform(golden, speech, breath=0).breath.any()
    assert full.breath.max() > 0.3
    level = perform(golden, speech, asymmetry=0)
    assert np.array_equal(level.weights[:, INDEX["mouthStretchLeft"]], level.weights[:, INDEX["mouthStretchRight"]])
    assert not np.array_equal(full.weights[:, INDEX["mouthStretchLeft"]], full.weights[:, INDEX["mouthStretchRight"]])
    for other in (no_blink, level):
        assert np.array_equal(other.lip_seal, full.lip_seal)


def test_a_border_that_is_moved_changes_the_mouth_there_and_nothing_else(speech, golden):
    phones = golden.aligned.phones
    index = next(i for i, p in enumerate(phones) if p.start > 1.2 and SILENCE not in (p.label, phones[i - 1].label))
    middle = (phones[index - 1].start + phones[index - 1].end) / 2
    before = perform(golden, speech)
    after = speech.perform(golden.sound, with_boundary(golden.aligned, index, middle), AVERAGE_MOUTH)
    changed = np.abs(after.weights - before.weights).max(1)
    away = np.abs(np.arange(len(changed)) / before.frame_rate_hz - phones[index].start) > 0.5
    assert changed.max() > 0.1
    assert changed[away].max() < 1e-3
    assert np.array_equal(after.head_degrees, before.head_degrees)
    assert np.array_equal(after.weights[:, BLINKS], before.weights[:, BLINKS])


def test_amounts_scale_the_opening(speech, golden):
    mumbled, natural, wide = (
        lip_gap_mm(p.weights, p.own_mouth, AVERAGE_MOUTH).mean()
        for p in (perform(golden, speech, jaw=0.4), perform(golden, speech), perform(golden, speech, jaw=1.8))
    )
    assert mumbled < natural - 1
    assert natural < wide - 1


@pytest.mark.parametrize("wrong", [{"jaw": -0.1}, {"head": 2.5}, {"blink": float("nan")}])
def test_amounts_out_of_range_are_refused(speech, golden, wrong):
    with pytest.raises(UserInputError, match=next(iter(wrong))):
        perform(golden, speech, **wrong)


@pytest.mark.parametrize(("emotion", "words"), [(("glee", 1.0), "no emotion"), (("joy", 1.5), "0 to 1")])
def test_wrong_emotions_are_refused(speech, golden, emotion, words):
    with pytest.raises(UserInputError, match=words):
        speech.perform(golden.sound, golden.aligned, AVERAGE_MOUTH, emotions=[emotion])


def test_emotion_shows_in_the_upper_face_and_less_in_the_mouth(speech, golden):
    plain = perform(golden, speech, blink=0, brows=0)
    sad = speech.perform(
        golden.sound, golden.aligned, AVERAGE_MOUTH, emotions=[("sad", 1.0)], amounts=Amounts(blink=0, brows=0)
    )
    lift = sad.weights[25:-25, INDEX["browInnerUp"]] - plain.weights[25:-25, INDEX["browInnerUp"]]
    assert lift == pytest.approx(0.7, abs=1e-5)
    speaking = sad.own_mouth < 0.26
    frown = sad.weights[:, INDEX["mouthFrownLeft"]]
    assert frown[25:-25][speaking[25:-25]].max() <= 0.65 * 0.55 + 1e-5
    assert sad.head_degrees[:, 1].mean() < plain.head_degrees[:, 1].mean() - 1.5


def test_phones_reach_their_measured_gap_on_any_head():
    for opening in (0.7, 1.0, 1.6):
        mouth = replace(
            AVERAGE_MOUTH,
            gap_per_weight_mm=AVERAGE_MOUTH.gap_per_weight_mm * opening,
            own=np.full(len(ARKIT_NAMES), 0.05, np.float32),
        )
        response = stem_response(mouth.gap_per_weight_mm)
        rest = mouth.gap_mm + float(mouth.gap_per_weight_mm @ speaking_own(mouth))
        for phone, weights in solve_shapes(mouth).items():
            wanted = PHONE_SHAPES[phone].gap_mm
            jaw = weights[STEM["jawOpen"]]
            if wanted is not None and 0 < jaw < MAX_JAW:
                assert rest + response @ weights == pytest.approx(wanted, abs=0.02), phone


LABELS = sorted({*PHONE_SHAPES, *DIPHTHONGS} - {"PAU", "AX", "OH"})


@st.composite
def analyses(draw):
    at, phones = 0.0, []
    for label in draw(st.lists(st.sampled_from(LABELS), min_size=1, max_size=25)):
        length = draw(st.floats(0.03, 0.9 if label == SILENCE else 0.25))
        phones.append(Phone(label, at, at + length))
        at += length
    return SpeechAnalysis(at, cover(phones, at), (), "aligned")


@settings(max_examples=40, deadline=None)
@given(
    analysis=analyses(),
    rate=st.sampled_from([24.0, 25.0, 30.0, 60.0]),
    seed=st.integers(0, 5),
    scale=st.floats(0, 2),
)
def test_any_phones_make_a_sound_performance(analysis, rate, seed, scale):
    samples = np.random.default_rng(seed).normal(0, 0.05, int(analysis.duration_seconds * 16000) + 1)
    names = [f.name for f in fields(Amounts)]
    performance = write_performance(
        analysis,
        measure(samples.astype(np.float32)),
        AVERAGE_MOUTH,
        frame_rate_hz=rate,
        seed=seed,
        emotions=[("anger", 0.5)],
        amounts=Amounts(**dict.fromkeys(names, scale)),
    )
    assert performance.weights.min() >= 0
    assert performance.weights.max() <= 1
    gap = lip_gap_mm(performance.weights, performance.own_mouth, AVERAGE_MOUTH)
    for phone in analysis.phones:
        if phone.label in "PBM":
            first = max(0, int(np.floor((phone.start - 0.05) * rate)))
            window = slice(first, int((phone.end + 0.03) * rate) + 2)
            if len(gap[window]) and (phone.start + 0.03) * rate < len(gap) - 1:
                assert gap[window].min() <= 1.0


def test_half_open_photo_seals_by_request_where_shapes_cannot(speech, golden):
    stubborn = replace(AVERAGE_MOUTH, gap_mm=6.0, gap_per_weight_mm=np.zeros(len(ARKIT_NAMES), np.float32))
    assert isinstance(stubborn, MouthResponse)
    performance = speech.perform(golden.sound, golden.aligned, stubborn)
    assert performance.lip_seal.max() == 1.0
    assert 0.05 < (performance.lip_seal == 1).mean() < 0.4


def test_silence_moves_no_mouth(speech):
    rng = np.random.default_rng(0)
    sound = Sound((1e-4 * rng.normal(size=48_000)).astype(np.float32), 16_000)
    analysis = speech.analyse(sound)
    assert "silent" in analysis.notes[0]
    performance = speech.perform(sound, analysis, AVERAGE_MOUTH)
    assert performance.weights[:, MOUTHS].max() <= 0.12  # the corners alone drift
    assert not performance.weights[:, INDEX["jawOpen"]].any()
    assert (performance.own_mouth == 1).all()
    assert performance.weights[:, EYES].any()
