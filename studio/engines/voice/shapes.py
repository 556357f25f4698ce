"""Mouth shapes of the phones, authored in millimetres and solved on a head.

ARKit names are standard, meshes are not: the same jawOpen opens one head by
20 mm and another by 40. So a phone is written as the lip gap people really
make (measured on real speakers, docs/talking_mouth.md) plus the weights that
give the lips their character, and jawOpen is solved for the gap on the head
that will be shown. How shapes melt into each other is `coarticulation`'s
matter; closing the lips is `closure`'s.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from studio.domain.expression import ARKIT_NAMES, INDEX, MOUTH_INDEX
from studio.domain.performance import MouthResponse
from studio.domain.speech import SILENCE

FloatArray = NDArray[np.float32]

STEMS: tuple[str, ...] = (
    "jawOpen", "mouthClose", "mouthFunnel", "mouthPucker", "mouthSmile", "mouthStretch", "mouthDimple", "mouthPress",
    "mouthRollLower", "mouthRollUpper", "mouthShrugLower", "mouthShrugUpper", "mouthLowerDown", "mouthUpperUp",
    "tongueOut",
)  # fmt: skip
"""The shapes speech uses; `Left` and `Right` are driven together."""

STEM: dict[str, int] = {name: i for i, name in enumerate(STEMS)}
ARTICULATOR: NDArray[np.intp] = np.array([{"jawOpen": 0, "mouthFunnel": 1, "mouthPucker": 1}.get(s, 2) for s in STEMS])
"""Which of the three articulators (0 jaw, 1 rounding, 2 the rest) moves each stem."""

_FULL_SWING = {"mouthFunnel": 1.6, "mouthPucker": 1.6, "mouthStretch": 2.6, "mouthSmile": 2.6, "mouthDimple": 2.6}
"""Phones last 80 ms and melt into their neighbors, so lips reach half of what each asks for. With these factors the
width of the mouth varies by .04 of the eye distance, as real speakers' does (.03 and .06 in two clips), not by .02."""
MAX_JAW = 0.6
SPEAKING_OWN_MOUTH = 0.25
"""Share of the photo's own mouth shape that is kept while the mouth speaks."""

PAUSE = "PAU"
"""The parted lips of a short pause or an intake of breath inside speech."""
SCHWA = "AX"
ROUND_O = "OH"


@dataclass(frozen=True)
class PhoneShape:
    """What the mouth does for one phone.

    Attributes:
        gap_mm: lip gap in canonical millimetres; None leaves the jaw where `lips` puts it.
        lips: weights by stem that give the lips their character.
        sharpness: how fast the phone's hold on the mouth fades, 1/s.
        dominance: hold on jaw, rounding and the rest, 0..1.
    """

    gap_mm: float | None
    lips: Mapping[str, float] = field(default_factory=dict)
    sharpness: float = 16.0
    dominance: tuple[float, float, float] = (0.8, 0.8, 0.8)


_TONGUE = (0.45, 0.05, 0.20)
_THROAT = (0.30, 0.05, 0.15)
_LIPS = (1.0, 0.1, 1.0)
_HISS = (1.0, 0.1, 0.45)
_ROUND = (0.8, 0.8, 0.5)


def _lips(**weights: float) -> dict[str, float]:
    return {next(s for s in STEMS if s in (f"mouth{k[0].upper()}{k[1:]}", k)): v for k, v in weights.items()}


# Gaps: means over four real speakers, 96 s (docs/talking_mouth.md); UH, TH, DH, Y, CH, JH and ZH were too rare there
# and keep the older table's value moved half-way to their neighbors. Lips, sharpness and dominance:
# docs/talking_mouth.md; IY narrower than there, because real speakers hardly widen for it.
PHONE_SHAPES: dict[str, PhoneShape] = {
    SILENCE: PhoneShape(None, {}, 12, (0.45, 0.45, 0.45)),
    PAUSE: PhoneShape(7.0, _lips(lowerDown=0.06, upperUp=0.03), 10, (0.45, 0.45, 0.45)),
    "AA": PhoneShape(9.9, _lips(lowerDown=0.10)),
    "AE": PhoneShape(9.4, _lips(stretch=0.20, upperUp=0.15, lowerDown=0.20)),
    "AH": PhoneShape(6.6, _lips(lowerDown=0.10, upperUp=0.05)),
    SCHWA: PhoneShape(5.1, _lips(lowerDown=0.08), 16, (0.35, 0.35, 0.35)),
    "AO": PhoneShape(5.7, _lips(funnel=0.22, pucker=0.25), 14),
    "EH": PhoneShape(9.3, _lips(stretch=0.15, upperUp=0.15, lowerDown=0.20, smile=0.08)),
    "ER": PhoneShape(4.2, _lips(funnel=0.12, pucker=0.25), 14),
    "IH": PhoneShape(6.4, _lips(stretch=0.16, smile=0.08, lowerDown=0.15)),
    "IY": PhoneShape(8.3, _lips(stretch=0.16, smile=0.12, upperUp=0.12, lowerDown=0.20)),
    "UH": PhoneShape(5.2, _lips(funnel=0.15, pucker=0.35), 14),
    "UW": PhoneShape(4.7, _lips(funnel=0.12, pucker=0.65), 14),
    ROUND_O: PhoneShape(6.9, _lips(funnel=0.20, pucker=0.45), 14),
    "P": PhoneShape(0.4, _lips(rollLower=0.15, rollUpper=0.15, press=0.10), 40, _LIPS),
    "B": PhoneShape(0.4, _lips(rollLower=0.13, rollUpper=0.13, press=0.08), 40, _LIPS),
    "M": PhoneShape(0.6, _lips(rollLower=0.10, rollUpper=0.10, press=0.06), 40, _LIPS),
    "F": PhoneShape(2.5, _lips(rollLower=0.55, upperUp=0.15, shrugUpper=0.35, dimple=0.10), 32, (1.0, 0.15, 1.0)),
    "V": PhoneShape(2.9, _lips(rollLower=0.50, upperUp=0.15, shrugUpper=0.35, dimple=0.08), 32, (1.0, 0.15, 1.0)),
    "TH": PhoneShape(5.4, _lips(upperUp=0.08, shrugUpper=0.15, lowerDown=0.10, tongueOut=0.30), 24, _TONGUE),
    "DH": PhoneShape(5.2, _lips(upperUp=0.08, shrugUpper=0.12, lowerDown=0.10, tongueOut=0.30), 24, _TONGUE),
    "T": PhoneShape(6.3, _lips(lowerDown=0.20, upperUp=0.12, stretch=0.10), 24, _TONGUE),
    "D": PhoneShape(5.7, _lips(lowerDown=0.20, upperUp=0.12, stretch=0.10), 24, _TONGUE),
    "N": PhoneShape(5.7, _lips(lowerDown=0.20, upperUp=0.10), 24, _TONGUE),
    "L": PhoneShape(6.3, _lips(lowerDown=0.15, upperUp=0.10, tongueOut=0.08), 24, _TONGUE),
    "S": PhoneShape(7.5, _lips(stretch=0.22, smile=0.10, lowerDown=0.42, upperUp=0.15), 22, _HISS),
    "Z": PhoneShape(8.2, _lips(stretch=0.20, smile=0.10, lowerDown=0.40, upperUp=0.15), 22, _HISS),
    "SH": PhoneShape(8.6, _lips(funnel=0.36, pucker=0.15, upperUp=0.12, lowerDown=0.20), 18, _ROUND),
    "ZH": PhoneShape(8.4, _lips(funnel=0.34, pucker=0.15, upperUp=0.12, lowerDown=0.20), 18, _ROUND),
    "CH": PhoneShape(8.6, _lips(funnel=0.36, pucker=0.15, upperUp=0.12, lowerDown=0.18), 18, _ROUND),
    "JH": PhoneShape(8.4, _lips(funnel=0.34, pucker=0.15, upperUp=0.12, lowerDown=0.18), 18, _ROUND),
    "K": PhoneShape(7.4, _lips(lowerDown=0.12, upperUp=0.10), 22, _THROAT),
    "G": PhoneShape(6.2, _lips(lowerDown=0.12, upperUp=0.10), 22, _THROAT),
    "NG": PhoneShape(7.8, _lips(lowerDown=0.12, upperUp=0.08), 22, _THROAT),
    "HH": PhoneShape(8.5, _lips(lowerDown=0.08), 22, _THROAT),
    "R": PhoneShape(4.3, _lips(funnel=0.12, pucker=0.30, shrugUpper=0.06), 18, _ROUND),
    "W": PhoneShape(2.4, _lips(funnel=0.08, pucker=0.85), 14, (0.7, 1.0, 0.7)),
    "Y": PhoneShape(6.0, _lips(stretch=0.18, smile=0.12, lowerDown=0.15), 22, (0.45, 0.05, 0.45)),
}

DIPHTHONGS: dict[str, tuple[str, str]] = {
    "AW": ("AA", "UW"), "AY": ("AA", "IY"), "EY": ("EH", "IY"), "OW": (ROUND_O, "UW"), "OY": ("AO", "IY"),
}  # fmt: skip
"""Two shapes, the first for 60 % of the phone."""

BILABIALS = frozenset("PBM")
LABIODENTALS = frozenset("FV")
VOWELS = frozenset(("AA", "AE", "AH", SCHWA, "AO", "EH", "ER", "IH", "IY", "UH", "UW", ROUND_O, *DIPHTHONGS))
HISSING = frozenset(("S", "Z", "SH", "ZH", "CH", "JH", "T", "K"))


def solve_shapes(mouth: MouthResponse) -> dict[str, FloatArray]:
    """Solve every phone on one head: jawOpen such that the lips are `gap_mm` apart.

    The part of the photo's own mouth that stays while speaking is counted in.

    Returns:
        Phone -> weights by STEMS.  # (15,), jawOpen in 0..0.6
    """
    per_weight = stem_response(mouth.gap_per_weight_mm)
    rest = mouth.gap_mm + float(mouth.gap_per_weight_mm @ speaking_own(mouth))
    opening = max(float(per_weight[STEM["jawOpen"]]), 1e-3)
    out = {}
    for phone, shape in PHONE_SHAPES.items():
        weights = np.zeros(len(STEMS), np.float32)
        for stem, weight in shape.lips.items():
            weights[STEM[stem]] = min(weight * _FULL_SWING.get(stem, 1.0), 1.0)
        if shape.gap_mm is not None:
            missing = shape.gap_mm - rest - float(per_weight @ weights)
            weights[STEM["jawOpen"]] = np.clip(missing / opening, 0.0, MAX_JAW)
        out[phone] = weights
    return out


def speaking_own(mouth: MouthResponse) -> FloatArray:
    """Return the photo's own weights as they are while the mouth speaks.  # (52,)"""
    own = np.asarray(mouth.own, np.float32).copy()
    own[MOUTH_INDEX] *= SPEAKING_OWN_MOUTH
    return own


def stem_response(per_weight: FloatArray) -> FloatArray:
    """Sum a response per ARKit weight to one per stem, both sides driven together.  # (52,) -> (15,)"""
    return np.array([sum(per_weight[i] for i in _columns(stem)) for stem in STEMS], np.float32)


def spread_stems(stems: FloatArray, lean: FloatArray | float = 0.0) -> FloatArray:
    """Write stem weights to ARKit columns.

    Args:
        stems: weights by STEMS.  # (T, 15)
        lean: share by which the left side is stronger and the right weaker.  # (T,)

    Returns:
        ARKit weights; the mean of the two sides is unchanged.  # (T, 52)
    """
    out = np.zeros((len(stems), len(ARKIT_NAMES)), np.float32)
    for i, stem in enumerate(STEMS):
        columns = _columns(stem)
        for side, column in zip((1.0, -1.0) if len(columns) == 2 else (0.0,), columns, strict=True):
            out[:, column] = stems[:, i] * (1 + side * np.asarray(lean))
    return out


def _columns(stem: str) -> list[int]:
    return [INDEX[n] for n in (stem, stem + "Left", stem + "Right") if n in INDEX]


def _average(**per_pair: float) -> FloatArray:
    """Spread a response per stem, measured with both sides driven together, over the ARKit columns.  # (52,)"""
    out = np.zeros(len(ARKIT_NAMES), np.float32)
    for stem, amount in per_pair.items():
        columns = _columns(stem if stem.startswith("jaw") else "mouth" + stem[0].upper() + stem[1:])
        out[columns] = amount / len(columns)
    return out


AVERAGE_MOUTH = MouthResponse(
    gap_mm=0.67,
    gap_per_weight_mm=_average(
        jawOpen=34.5, close=-34.5, funnel=9.4, pucker=-0.9, smile=-3.0, stretch=0.4, dimple=0.2, press=-2.8,
        rollLower=-3.8, rollUpper=-2.8, shrugLower=-4.9, shrugUpper=4.1, lowerDown=3.8, upperUp=4.8, jawForward=1.4,
    ),
    width_mm=50.0,
    width_per_weight_mm=_average(
        press=11.8, smile=11.0, dimple=8.4, stretch=7.8, frown=2.6, rollLower=0.9, funnel=-8.3, pucker=-8.4,
    ),
    lower_lip_mm=0.0,
    lower_lip_per_weight_mm=_average(
        rollLower=3.8, shrugLower=4.9, close=27.6, jawOpen=-34.3, lowerDown=-3.8, funnel=-7.2,
    ),
    protrusion_per_weight_mm=_average(
        pucker=7.9, close=7.2, jawForward=4.5, funnel=2.0, shrugLower=2.0, rollLower=-2.1, rollUpper=-4.3, jawOpen=-9.0,
    ),
    own=np.zeros(len(ARKIT_NAMES), np.float32),
)  # fmt: skip
"""The average head of the embedded engine, for curves without a portrait (docs/talking_mouth.md)."""
