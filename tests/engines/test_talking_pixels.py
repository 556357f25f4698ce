"""The voice judged on the pictures: what a viewer sees, measured by a face tracker.

Two checks need the whole chain. The encoded clip is decoded again and its lips are
tracked (closures of P, B and M must be seen, and seen in time), and the mouth shapes
of different sounds must differ by more than the tracker's noise.
"""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from benchmarks import mouth_pixels
from studio.domain.expression import FaceState
from studio.domain.lip_closure import lip_gap_mm
from studio.domain.pose import HeadPose
from studio.domain.speech import Phone
from studio.engines.base import Amounts
from studio.engines.media.sound import read_sound
from studio.engines.rig.animator import RigAnimator
from studio.engines.vision.analyser import VisionAnalyser
from studio.engines.voice.shapes import solve_shapes, spread_stems
from studio.engines.voice.speech import PocketsphinxSpeech

ASSETS = Path(__file__).resolve().parents[2] / "assets"
FRAME_RATE = 25.0
VISEMES = {
    "PP": "P", "FF": "F", "TH": "TH", "DD": "D", "KK": "K", "CH": "CH", "SS": "S", "RR": "R", "AA": "AA", "EH": "EH",
    "OH": "OH", "UW": "UW",
}  # fmt: skip


@pytest.fixture(scope="module")
def analyser():
    return VisionAnalyser(ASSETS / "models")


@pytest.fixture(scope="module")
def portrait(analyser):
    import skimage.data

    head = np.ascontiguousarray(skimage.data.astronaut()[:256, 96:352])
    photo = cv2.resize(head, (512, 512), interpolation=cv2.INTER_CUBIC)
    return RigAnimator(ASSETS / "head.npz", analyser).prepare(photo, analyser.detect(photo)[0])


@pytest.fixture(scope="module")
def spoken(portrait):
    sound = read_sound(ASSETS / "speech" / "golden.wav")
    text = (ASSETS / "speech" / "golden.txt").read_text(encoding="utf-8")
    voice = PocketsphinxSpeech()
    analysis = voice.analyse(sound, text)
    still = Amounts(head=0, blink=0, gaze=0)
    return analysis, voice.perform(sound, analysis, portrait.mouth, frame_rate_hz=FRAME_RATE, amounts=still)


@pytest.fixture(scope="module")
def seen(portrait, spoken, analyser):
    """The mouth of the rendered, encoded and decoded clip."""
    return mouth_pixels.see(portrait, spoken[1], read_sound(ASSETS / "speech" / "golden.wav"), analyser)


def test_every_bilabial_closure_is_seen_in_the_encoded_clip(spoken, seen):
    shut = seen.closures(spoken[0].phones)
    assert len(shut) > 10
    assert all(shut)


def test_bilabials_heard_without_a_text_are_seen_closed(portrait, analyser):
    sound = read_sound(ASSETS / "speech" / "golden.wav")
    voice = PocketsphinxSpeech()
    heard = voice.analyse(sound)
    performance = voice.perform(
        sound, heard, portrait.mouth, frame_rate_hz=FRAME_RATE, amounts=Amounts(head=0, blink=0, gaze=0)
    )
    shut = mouth_pixels.see(portrait, performance, sound, analyser).closures(heard.phones)
    assert len(shut) > 8
    assert np.mean(shut) >= 0.95


def test_a_closure_counts_only_where_lips_are_seen_to_meet_in_time():
    """A millimetre more than sealed lips read as is closed; half a second later is too late."""
    phones = [Phone("AA", 0.0, 1.0), Phone("M", 1.0, 1.1), Phone("AA", 1.1, 2.0), Phone("P", 2.0, 2.1)]
    gaps = np.full(75, 6.0)
    gaps[[26, 65]] = 2.2  # at 1.04 s, and at 2.6 s
    assert mouth_pixels.SeenMouth(gaps, 1.3, FRAME_RATE).closures(phones) == [True, False]
    assert mouth_pixels.SeenMouth(gaps, 1.1, FRAME_RATE).closures(phones) == [False, False]


def test_the_mouth_in_the_clip_opens_when_the_curves_say(portrait, spoken, seen):
    _, performance = spoken
    asked = lip_gap_mm(performance.weights, performance.own_mouth, portrait.mouth) * (1 - performance.lip_seal)
    count = min(len(asked), len(seen.gap_mm))
    asked, read = asked[:count] - asked[:count].mean(), seen.gap_mm[:count] - seen.gap_mm[:count].mean()
    lags = range(-5, 6)
    scores = [
        np.corrcoef(asked[max(0, -k) : count - max(0, k)], read[max(0, k) : count - max(0, -k)])[0, 1] for k in lags
    ]
    assert abs(lags[int(np.argmax(scores))]) <= 1
    assert max(scores) > 0.8


def test_visemes_look_different_from_each_other(portrait, analyser):
    shapes = solve_shapes(portrait.mouth)
    lips = [61, 185, 40, 39, 37, 0, 267, 269, 270, 409, 291, 146, 91, 181, 84, 17, 314, 405, 321, 375, 13, 14, 82, 87]
    seen: dict[str, list[np.ndarray]] = {}
    for name, phone in VISEMES.items():
        for jitter in (-0.6, 0.0, 0.6):  # degrees of head turn: the noise within a class
            weights = np.clip(spread_stems(shapes[phone][None])[0], 0, 1).astype(np.float32)
            state = FaceState(weights, HeadPose(roll_degrees=jitter))
            picture = portrait.render(state, lip_seal=1.0 if name == "PP" else 0.0)
            marks = analyser.detect(picture)[0].landmarks
            turn = np.radians(-jitter)
            points = marks[lips, :2] - marks[[33, 263], :2].mean(0)
            points = points @ np.array([[np.cos(turn), np.sin(turn)], [-np.sin(turn), np.cos(turn)]])
            seen.setdefault(name, []).append(points / np.linalg.norm(marks[33, :2] - marks[263, :2]))
    centers = {name: np.mean(points, axis=0) for name, points in seen.items()}
    noise = np.mean([np.linalg.norm(p - centers[n], axis=1).mean() for n, points in seen.items() for p in points])
    names = list(centers)
    between = [
        np.linalg.norm(centers[a] - centers[b], axis=1).mean() for i, a in enumerate(names) for b in names[i + 1 :]
    ]
    assert np.mean(between) > 2 * noise
