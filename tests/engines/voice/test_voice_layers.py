"""Real speech under layers: the lips that P, B and M shut stay shut on the head that is shown, and blinks blink."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks import mouth_checks as checks
from studio.domain.expression import INDEX
from studio.domain.lip_closure import lip_gap_mm
from studio.domain.performance_document import document_of
from studio.domain.performance_layers import evaluate
from tests.engines.voice.test_voice_table import HEADS

BLINKS = [INDEX["eyeBlinkLeft"], INDEX["eyeBlinkRight"]]
OVER = {
    "a laugh": {"kind": "expression", "values": {"smile": 1.0, "grin": 1.0, "lipOpen": 1.0, "eyesOpen": 1.0}},
    "an open mouth": {"kind": "expression", "values": {"jawOpen": 1.0, "eyeWideLeft": 1.0}, "blend": "override"},
    "no smile of the photo": {"kind": "expression", "values": {"mouthSmileLeft": -1.0, "mouthSmileRight": -1.0}},
    "keys": {"kind": "keyframes", "keys": [
        {"seconds": 0.5, "control": "lipOpen", "value": 1.0},
        {"seconds": 4.0, "control": "mouthFunnel", "value": 1.0},
    ]},
}  # fmt: skip


@pytest.mark.parametrize("head", HEADS)
@pytest.mark.parametrize("over", [*OVER, ""])
@pytest.mark.parametrize("amount", [0.3, 1.0, 1.5])
def test_closures_and_blinks_stay_closed(speech, golden, head, over, amount):
    mouth = HEADS[head]
    spoken = speech.perform(golden.sound, golden.aligned, mouth)
    layers = [{"kind": "speech", "id": "speech", "sound": "ab" * 32, "amount": amount}]
    layers += [{"id": "over", **OVER[over]}] if over else []
    made = document_of(
        {"format": "likeness-studio-performance-layers", "version": 1, "layers": layers,
         "duration_seconds": spoken.duration_seconds,
         "emotions": [{"seconds": 0, "emotion": "surprise", "strength": 1.0}]}
    )  # fmt: skip
    out = evaluate(made, {"speech": spoken}, 25.0, gap_per_weight_mm=mouth.gap_per_weight_mm)
    assert checks.share_closed(out, golden.aligned, mouth) >= 0.95
    shut = spoken.lip_seal >= 1
    gaps = [lip_gap_mm(p.weights, p.own_mouth, mouth) for p in (out, spoken)]
    assert (gaps[0] - gaps[1])[shut].max() < 1e-3
    lids = spoken.weights[:, BLINKS].min(1) > 0.9
    assert lids.sum() > 5
    assert (spoken.weights - out.weights)[lids][:, BLINKS].max() < 1e-4
    if over == "a laugh" and amount == 1.0:  # it does open the mouth where nothing shuts it
        assert np.median((gaps[0] - gaps[1])[spoken.lip_seal == 0]) > 3
