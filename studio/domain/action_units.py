"""Action units of the Facial Action Coding System, and the ARKit weights that show them: one table, read both ways.

FACS names what muscles do and scores each unit from A, a trace, to E, the
maximum; here 1 to 5, and 0 for nothing. ARKit's weights were drawn with FACS in
mind but are shapes, not muscles, so most units are one weight and some are a
mixture. The scale is linear in the weight: FACS itself is not (C spans more
than the others), and a certified coder may score a face one step higher or lower.

A unit that either side of a face can show alone has a track for each (`AU12L`,
`AU12R`); the lips' own have top and bottom. Left and right are the person's.

Source: names and numbers from Ekman, Friesen, Hager, "Facial Action Coding System", 2002. Which weight shows which unit
is our own alignment, by what each of ARKit's blend shapes is said to do; no coder has checked it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from studio.domain.expression import ARKIT_NAMES, INDEX, ExpressionEdit
from studio.errors import UserInputError

MOST = 5.0
"""Intensity E."""

FloatArray = NDArray[np.float32]
Range = tuple[float, float]
_WHOLE: Range = (0.0, 1.0)


@dataclass(frozen=True)
class ActionUnit:
    """One row.

    Attributes:
        number: of FACS.
        name: FACS's own, in plain letters.
        region: "Brows and eyes", "Nose and cheeks", "Mouth" or "Gaze".
        shapes: weight -> what it is at intensity 0 and at MOST; "*" in a weight's name stands for a track's word.
        tracks: suffix of the track -> word that takes the place of "*".
        limit: what this table cannot tell or show; "" where nothing is to be said.
    """

    number: int
    name: str
    region: str
    shapes: Mapping[str, Range]
    tracks: Mapping[str, str]
    limit: str = ""

    @property
    def does(self) -> str:
        """What it does to a face, in a sentence for the person."""
        return _DOES[self.number]

    @property
    def code(self) -> str:
        """As it is written: "AU12"."""
        return f"AU{self.number}"

    def weights(self, track: str) -> Mapping[str, Range]:
        """Return the weights of one of its tracks."""
        return {shape.replace("*", self.tracks[track]): span for shape, span in self.shapes.items()}


_SIDES = {"L": "Left", "R": "Right"}
_ONE = {"": ""}
_EYES, _NOSE, _MOUTH, _GAZE = "Brows and eyes", "Nose and cheeks", "Mouth", "Gaze"


def _one(shape: str, span: Range = _WHOLE) -> dict[str, Range]:
    return {shape: span}


UNITS: tuple[ActionUnit, ...] = (
    ActionUnit(1, "Inner brow raiser", _EYES, _one("browInnerUp"), _ONE, "ARKit raises both sides together."),
    ActionUnit(2, "Outer brow raiser", _EYES, _one("browOuterUp*"), _SIDES),
    ActionUnit(4, "Brow lowerer", _EYES, _one("browDown*"), _SIDES, "Without the furrows between the brows."),
    ActionUnit(5, "Upper lid raiser", _EYES, _one("eyeWide*"), _SIDES),
    ActionUnit(6, "Cheek raiser", _NOSE, _one("cheekSquint*"), _SIDES, "Seen in skin, not in landmarks: read low."),
    ActionUnit(7, "Lid tightener", _EYES, _one("eyeSquint*"), _SIDES),
    ActionUnit(9, "Nose wrinkler", _NOSE, _one("noseSneer*"), _SIDES, "Its wrinkles are not seen: read low."),
    ActionUnit(10, "Upper lip raiser", _MOUTH, _one("mouthUpperUp*"), _SIDES),
    ActionUnit(12, "Lip corner puller", _MOUTH, _one("mouthSmile*"), _SIDES),
    ActionUnit(14, "Dimpler", _MOUTH, _one("mouthDimple*"), _SIDES, "Hard to tell from 12 and 20."),
    ActionUnit(15, "Lip corner depressor", _MOUTH, _one("mouthFrown*"), _SIDES),
    ActionUnit(16, "Lower lip depressor", _MOUTH, _one("mouthLowerDown*"), _SIDES),
    ActionUnit(17, "Chin raiser", _MOUTH, _one("mouthShrugLower"), _ONE),
    ActionUnit(18, "Lip pucker", _MOUTH, _one("mouthPucker"), _ONE),
    ActionUnit(19, "Tongue show", _MOUTH, _one("tongueOut"), _ONE, "Never read: landmarks have no tongue."),
    ActionUnit(20, "Lip stretcher", _MOUTH, _one("mouthStretch*"), _SIDES),
    ActionUnit(22, "Lip funneler", _MOUTH, _one("mouthFunnel"), _ONE),
    ActionUnit(23, "Lip tightener", _MOUTH,
               {"mouthPressLeft": (0.0, 0.6), "mouthPressRight": (0.0, 0.6), "mouthRollLower": (0.0, 0.2),
                "mouthRollUpper": (0.0, 0.2)}, _ONE, "ARKit has no shape of it: a mixture of 24 and 28."),
    ActionUnit(24, "Lip pressor", _MOUTH, _one("mouthPress*"), _SIDES),
    ActionUnit(25, "Lips part", _MOUTH,
               {"mouthLowerDownLeft": (0.0, 1.0), "mouthLowerDownRight": (0.0, 1.0), "mouthUpperUpLeft": (0.0, 0.5),
                "mouthUpperUpRight": (0.0, 0.5)}, _ONE, "What opens the lips, jaw included, less what closes them."),
    ActionUnit(26, "Jaw drop", _MOUTH, _one("jawOpen", (0.0, 0.5)), _ONE, "The first half of an open jaw."),
    ActionUnit(27, "Mouth stretch", _MOUTH, _one("jawOpen", (0.5, 1.0)), _ONE, "Begins where 26 ends."),
    ActionUnit(28, "Lip suck", _MOUTH, _one("mouthRoll*"), {"T": "Upper", "B": "Lower"}),
    ActionUnit(29, "Jaw thrust", _MOUTH, _one("jawForward"), _ONE, "Hardly seen from the front: read low."),
    ActionUnit(30, "Jaw sideways", _MOUTH, _one("jaw*"), _SIDES),
    ActionUnit(34, "Cheek puff", _NOSE, _one("cheekPuff"), _ONE, "ARKit fills both cheeks together."),
    ActionUnit(43, "Eyes closed", _EYES, _one("eyeBlink*"), _SIDES, "FACS calls it 45 when brief, 46 on one side."),
    ActionUnit(61, "Eyes turn left", _GAZE, {}, _SIDES),
    ActionUnit(62, "Eyes turn right", _GAZE, {}, _SIDES),
    ActionUnit(63, "Eyes up", _GAZE, _one("eyeLookUp*"), _SIDES),
    ActionUnit(64, "Eyes down", _GAZE, _one("eyeLookDown*"), _SIDES),
)  # fmt: skip
_DOES: Mapping[int, str] = {
    1: "Raises the inner ends of the brows.",
    2: "Raises the outer ends of the brows.",
    4: "Lowers the brows and draws them together.",
    5: "Raises the upper lids.",
    6: "Raises the cheeks below the eyes.",
    7: "Tightens the lids: the lower ones rise.",
    9: "Wrinkles the nose.",
    10: "Raises the upper lip.",
    12: "Pulls the corners of the mouth up and back.",
    14: "Presses the corners of the mouth in.",
    15: "Pulls the corners of the mouth down.",
    16: "Pulls the lower lip down.",
    17: "Pushes chin and lower lip up.",
    18: "Draws the lips together, as for a kiss.",
    19: "Shows the tongue.",
    20: "Stretches the lips sideways.",
    22: "Pushes the lips out into a funnel.",
    23: "Tightens the lips and makes them thin.",
    24: "Presses the lips together.",
    25: "Parts the lips.",
    26: "Drops the jaw.",
    27: "Opens the mouth as wide as it goes.",
    28: "Sucks the lips in over the teeth.",
    29: "Thrusts the jaw forward.",
    30: "Moves the jaw sideways.",
    34: "Fills the cheeks with air.",
    43: "Closes the eyes.",
    61: "Turns the eyes to the person's left.",
    62: "Turns the eyes to the person's right.",
    63: "Turns the eyes up.",
    64: "Turns the eyes down.",
}
_TURNS: Mapping[tuple[int, str], str] = {
    (61, "L"): "eyeLookOutLeft", (61, "R"): "eyeLookInRight", (62, "L"): "eyeLookInLeft", (62, "R"): "eyeLookOutRight",
}  # fmt: skip
UNIT: Mapping[str, ActionUnit] = {unit.code: unit for unit in UNITS}
NOT_COVERED: tuple[str, ...] = ("mouthClose", "mouthLeft", "mouthRight", "mouthShrugUpper")
"""Weights that no unit of FACS is: they are lost on the way there and back."""


@dataclass(frozen=True)
class Track:
    """One unit on one side.

    Attributes:
        code: "AU12L".
        weights: column of ARKIT_NAMES -> what it is at intensity 0 and at MOST.
    """

    code: str
    unit: ActionUnit
    weights: Mapping[int, Range]


def _track(unit: ActionUnit, suffix: str) -> Track:
    turned = _TURNS.get((unit.number, suffix))
    named = {turned: _WHOLE} if turned else unit.weights(suffix)
    return Track(unit.code + suffix, unit, {INDEX[name]: span for name, span in named.items()})


TRACKS: tuple[Track, ...] = tuple(_track(unit, suffix) for unit in UNITS for suffix in unit.tracks)
OPPOSED: frozenset[str] = frozenset({"AU30"})
"""Units whose sides undo each other: only one of them can be set."""
TRACK: Mapping[str, Track] = {track.code: track for track in TRACKS}
_OPENERS = [INDEX[f"mouth{part}{side}"] for part in ("UpperUp", "LowerDown") for side in ("Left", "Right")]
MIXED: frozenset[str] = frozenset(t.code for t in TRACKS if len(t.weights) > 1)
"""Tracks that are shown by what belongs to other units as well, and follow from them when a face is read."""


def tracks_of(code: str) -> tuple[Track, ...]:
    """Return the tracks that a unit's or a track's code names, in any case; "AU45" and "AU46" are 43.

    Raises:
        UserInputError: there is none.
    """
    found = re.fullmatch(r"(?:AU)?0*(\d+)([LRTB]?)", code.strip().upper())
    number, suffix = (int(found[1]), found[2]) if found else (0, "")
    number = 43 if number in (45, 46) else number
    tracks = tuple(t for t in TRACKS if t.unit.number == number and t.code.endswith(suffix))
    if not tracks or (suffix and suffix not in tracks[0].unit.tracks):
        known = ", ".join(str(unit.number) for unit in UNITS)
        raise UserInputError(f"There is no action unit {code!r} here.", f"Units: {known}; AU12L is one side.")
    return tracks


def intensities(weights: NDArray[np.floating]) -> FloatArray:
    """Return how strongly each track is shown, 0..MOST.

    Args:
        weights: of faces, as far as they differ from a face at rest; below 0 counts as 0.  # (..., 52)

    Returns:
        In the order of TRACKS.  # (..., len(TRACKS))
    """
    shown = np.clip(np.asarray(weights, np.float64), 0.0, 1.0)
    out = np.zeros((*shown.shape[:-1], len(TRACKS)))
    for column, track in enumerate(TRACKS):
        shares = [(shown[..., i] - low) / (high - low) for i, (low, high) in track.weights.items()]
        out[..., column] = np.min(shares, axis=0)
        if track.unit.number == 25:
            opened = np.maximum(shown[..., _OPENERS].max(-1), shown[..., INDEX["jawOpen"]])
            out[..., column] = opened - shown[..., INDEX["mouthClose"]]
    return (MOST * np.clip(out, 0.0, 1.0)).astype(np.float32)


def weights_of(scores: NDArray[np.floating]) -> FloatArray:
    """Return the weights that show intensities; those of NOT_COVERED are 0.

    What a weight shows for several units is as strong as the strongest asks for.

    Args:
        scores: in the order of TRACKS.  # (..., len(TRACKS))
    """
    asked = np.clip(np.asarray(scores, np.float64), 0.0, MOST) / MOST
    out = np.zeros((*asked.shape[:-1], len(ARKIT_NAMES)))
    for column, track in enumerate(TRACKS):
        share = asked[..., column]
        for i, (low, high) in track.weights.items():
            out[..., i] = np.maximum(out[..., i], np.where(share > 0, low + (high - low) * share, 0.0))
    return out.astype(np.float32)


def by_unit(scores: NDArray[np.floating]) -> FloatArray:
    """Return one intensity for each of UNITS: of two sides the stronger, as FACS scores a face that is uneven.

    Args:
        scores: in the order of TRACKS.  # (..., len(TRACKS))
    """
    columns = [[i for i, t in enumerate(TRACKS) if t.unit is unit] for unit in UNITS]
    return np.stack([np.asarray(scores)[..., rows].max(-1) for rows in columns], -1).astype(np.float32)


def setting(code: str, intensity: float, weights: Mapping[str, float]) -> dict[str, float]:
    """Return the weights that change when a unit or one of its sides is set.

    Args:
        code: see `tracks_of`.
        intensity: 0..MOST.
        weights: as they stand, by ARKit name; what is not named is 0.

    Raises:
        UserInputError: no such unit, or an intensity out of range.
    """
    if not 0.0 <= intensity <= MOST:
        raise UserInputError(f"{code} is {intensity:g}, but goes from 0 to {MOST:g}.", "0 is nothing, 5 the most.")
    out: dict[str, float] = {}
    tracks = tracks_of(code)
    if len(tracks) > 1 and tracks[0].unit.code in OPPOSED:
        raise UserInputError(f"{code} goes to one side.", f"Write {tracks[0].code} or {tracks[1].code}.")
    for track in tracks:
        for i, (low, high) in track.weights.items():
            name = ARKIT_NAMES[i]
            stands = max(weights.get(name, 0.0), 0.0)
            out[name] = round(low + (high - low) * intensity / MOST if intensity > 0 else min(stands, low), 6)
    return out


def with_units(edit: ExpressionEdit, asked: Mapping[str, float]) -> ExpressionEdit:
    """Return an edit with units set over its single weights, one after the other.

    Raises:
        UserInputError: as `setting`.
    """
    values = dict(edit.values)
    for code, intensity in asked.items():
        values |= setting(code, intensity, values)
    return ExpressionEdit(values, edit.neutralise)
