"""The one table of expression controls, and what each does to the face.

Everything that can be moved is either one of Apple's 52 ARKit blendshape
weights, one of three head angles, or a grouped control: a name that people who
come from LivePortrait know, written as a mixture of ARKit weights. The window,
the command line, the preset schema and the manual are derived from `CONTROLS`;
adding a slider is adding a row.

A control at 0 leaves the photo as it is. Values add to the photo's own fitted
expression, unless the edit is `neutralise`d: then they start from a neutral
face. A single weight goes below 0 only where that means something: it takes the
photo's own away and then does the opposite; all others start at 0. Left and
right are always the person's own, as animators say them (ARKit's convention), in names,
labels and signs: `eyeBlinkLeft` closes the eye on the right of the picture, and above 0
`gazeX` and `headYaw` go there too.
This module does not know what a mesh or a picture is.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from studio.domain.pose import LIMIT_DEGREES, HeadPose
from studio.errors import UserInputError

ARKIT_NAMES: tuple[str, ...] = (
    "eyeBlinkLeft", "eyeLookDownLeft", "eyeLookInLeft", "eyeLookOutLeft", "eyeLookUpLeft",
    "eyeSquintLeft", "eyeWideLeft",
    "eyeBlinkRight", "eyeLookDownRight", "eyeLookInRight", "eyeLookOutRight", "eyeLookUpRight",
    "eyeSquintRight", "eyeWideRight",
    "jawForward", "jawRight", "jawLeft", "jawOpen",
    "mouthClose", "mouthFunnel", "mouthPucker", "mouthRight", "mouthLeft",
    "mouthSmileLeft", "mouthSmileRight", "mouthFrownLeft", "mouthFrownRight",
    "mouthDimpleLeft", "mouthDimpleRight", "mouthStretchLeft", "mouthStretchRight",
    "mouthRollLower", "mouthRollUpper", "mouthShrugLower", "mouthShrugUpper",
    "mouthPressLeft", "mouthPressRight", "mouthLowerDownLeft", "mouthLowerDownRight",
    "mouthUpperUpLeft", "mouthUpperUpRight",
    "browDownLeft", "browDownRight", "browInnerUp", "browOuterUpLeft", "browOuterUpRight",
    "cheekPuff", "cheekSquintLeft", "cheekSquintRight",
    "noseSneerLeft", "noseSneerRight", "tongueOut",
)  # fmt: skip
"""The 52 blendshapes in the order of Apple's Live Link Face export."""

INDEX: dict[str, int] = {name: i for i, name in enumerate(ARKIT_NAMES)}
MOUTH_INDEX: NDArray[np.intp] = np.array(
    [i for n, i in INDEX.items() if n.startswith(("mouth", "jaw")) or n == "cheekPuff"]
)
"""Weights that speech takes over from the photo's own expression."""

Weights = NDArray[np.float32]


@dataclass(frozen=True)
class Control:
    """One slider: its range, and the mixture it drives on either side of 0.

    Attributes:
        positive: target -> amount at +1 (a degree control: at `maximum`).
        negative: target -> amount at -1.
    """

    name: str
    label: str
    group: str
    help: str
    minimum: float = -1.0
    maximum: float = 1.0
    step: float = 0.05
    unit: str = ""
    positive: Mapping[str, float] = field(default_factory=dict)
    negative: Mapping[str, float] = field(default_factory=dict)


def amount_of(
    control: Control, weights: NDArray[np.floating], head_degrees: NDArray[np.floating]
) -> NDArray[np.float64]:
    """Return how far a motion goes along a control: the share of its mixture that the weights hold, in its unit.

    Args:
        weights: offsets.  # (T, 52)
        head_degrees: yaw, pitch, roll.  # (T, 3)

    Returns:
        Below 0 along its other side.  # (T,)
    """
    if control.name in HEAD_NAMES:
        return np.asarray(head_degrees[:, HEAD_NAMES.index(control.name)], np.float64)
    out = np.zeros(len(weights))
    for mixture, sign in ((control.positive, 1.0), (control.negative, -1.0)):
        shape = np.zeros(len(ARKIT_NAMES))
        for name, amount in mixture.items():
            shape[INDEX[name]] = max(amount, 0.0)
        if shape.any():
            out += sign * np.maximum(np.asarray(weights, np.float64) @ shape / (shape @ shape), 0.0)
    return np.clip(out, control.minimum, control.maximum)


def _both(**amounts: float) -> dict[str, float]:
    """Return the mixture with each name driven on both sides."""
    out: dict[str, float] = {}
    for name, amount in amounts.items():
        for side in ("Left", "Right"):
            if name + side in INDEX:
                out[name + side] = amount
        if name in INDEX:
            out[name] = amount
    return out


_HEAD = (
    Control("headYaw", "Turn to their left", "Head",
            "Turns the nose to the person's left, the right of the picture; below 0 to their right.",
            -LIMIT_DEGREES["yaw"], LIMIT_DEGREES["yaw"], 0.5, "°"),
    Control("headPitch", "Raise the head", "Head", "Raises the nose; below 0 lowers it.",
            -LIMIT_DEGREES["pitch"], LIMIT_DEGREES["pitch"], 0.5, "°"),
    Control("headRoll", "Lean to their left", "Head",
            "Leans the head to the person's left shoulder; below 0 to the right one.",
            -LIMIT_DEGREES["roll"], LIMIT_DEGREES["roll"], 0.5, "°"),
)  # fmt: skip

_GROUPED = (
    Control("smile", "Smile", "Mouth", "Lifts the corners of the mouth with the cheeks; below 0 they drop.",
            positive=_both(mouthSmile=0.55, cheekSquint=0.45, eyeSquint=0.2),
            negative=_both(mouthFrown=0.8, mouthSmile=-0.5)),
    Control("lipOpen", "Lip open / close", "Mouth", "Opens the mouth with the jaw; below 0 closes it.",
            positive={"jawOpen": 0.55, **_both(mouthLowerDown=0.2, mouthUpperUp=0.1)},
            negative={"jawOpen": -0.5, "mouthClose": 0.1, **_both(mouthLowerDown=-0.6, mouthUpperUp=-0.6)}),
    Control("grin", "Grin", "Mouth", "Shows the teeth with a wide mouth; below 0 presses the lips.",
            positive=_both(mouthStretch=0.45, mouthUpperUp=0.45, mouthLowerDown=0.45, mouthSmile=0.35),
            negative=_both(mouthPress=0.7)),
    Control("pout", "Pout", "Mouth", "Pushes the lower lip out; below 0 rolls it in.",
            positive={"mouthShrugLower": 0.7, "mouthPucker": 0.35, **_both(mouthFrown=0.2)},
            negative={"mouthRollLower": 0.7}),
    Control("pursing", "Pursing", "Mouth", "Rounds and narrows the lips; below 0 widens them.",
            positive={"mouthPucker": 0.9}, negative=_both(mouthStretch=0.7)),
    Control("eyebrow", "Eyebrow", "Eyes and brows", "Raises the eyebrows; below 0 lowers them.",
            positive={"browInnerUp": 0.8, **_both(browOuterUp=0.8)}, negative=_both(browDown=0.9)),
    Control("eyesOpen", "Eyes open", "Eyes and brows", "Opens the eyes wide; below 0 closes them.",
            positive=_both(eyeWide=0.9), negative=_both(eyeBlink=1.0)),
    Control("winkLeft", "Wink, their left eye", "Eyes and brows",
            "Closes the person's left eye with the cheek; below 0 widens it.",
            positive={"eyeBlinkLeft": 1.0, "cheekSquintLeft": 0.5, "mouthSmileLeft": 0.2},
            negative={"eyeWideLeft": 0.8}),
    Control("winkRight", "Wink, their right eye", "Eyes and brows",
            "Closes the person's right eye with the cheek; below 0 widens it.",
            positive={"eyeBlinkRight": 1.0, "cheekSquintRight": 0.5, "mouthSmileRight": 0.2},
            negative={"eyeWideRight": 0.8}),
    Control("gazeX", "Look to their left", "Eyes and brows",
            "Looks to the person's left, the right of the picture; below 0 to their right.",
            positive={"eyeLookOutLeft": 1.0, "eyeLookInRight": 1.0},
            negative={"eyeLookInLeft": 1.0, "eyeLookOutRight": 1.0}),
    Control("gazeY", "Look up", "Eyes and brows", "Looks up; below 0 down.",
            positive=_both(eyeLookUp=1.0), negative=_both(eyeLookDown=1.0)),
)  # fmt: skip

_ARKIT_HELP: dict[str, str] = {
    "eyeBlink": "Closes the upper lid down to contact, never beyond.",
    "eyeLookDown": "Turns the eye down; the lid follows.",
    "eyeLookIn": "Turns the eye towards the nose.",
    "eyeLookOut": "Turns the eye away from the nose.",
    "eyeLookUp": "Turns the eye up; the lid follows.",
    "eyeSquint": "Raises the lower lid.",
    "eyeWide": "Raises the upper lid.",
    "jawForward": "Moves the lower jaw forward.",
    "jawRight": "Moves the lower jaw to the person's right.",
    "jawLeft": "Moves the lower jaw to the person's left.",
    "jawOpen": "Drops the lower jaw.",
    "mouthClose": "Closes the lips over an open jaw; as much of it as of jawOpen seals them, over a laugh too.",
    "mouthFunnel": "Opens the lips into a ring.",
    "mouthPucker": "Pushes the lips forward as for a kiss.",
    "mouthRight": "Slides the mouth to the person's right.",
    "mouthLeft": "Slides the mouth to the person's left.",
    "mouthSmile": "Pulls the corner of the mouth up and back.",
    "mouthFrown": "Pulls the corner of the mouth down.",
    "mouthDimple": "Draws the corner of the mouth back.",
    "mouthStretch": "Stretches the corner of the mouth sideways.",
    "mouthRollLower": "Rolls the lower lip over the teeth.",
    "mouthRollUpper": "Rolls the upper lip over the teeth.",
    "mouthShrugLower": "Pushes the lower lip and chin up.",
    "mouthShrugUpper": "Pushes the upper lip up and out.",
    "mouthPress": "Presses the lips together at the corner.",
    "mouthLowerDown": "Pulls the lower lip down.",
    "mouthUpperUp": "Pulls the upper lip up.",
    "browDown": "Lowers the eyebrow.",
    "browInnerUp": "Raises the inner ends of both eyebrows.",
    "browOuterUp": "Raises the outer end of the eyebrow.",
    "cheekPuff": "Fills both cheeks with air.",
    "cheekSquint": "Raises the cheek below the eye.",
    "noseSneer": "Wrinkles the side of the nose.",
    "tongueOut": "Puts the tongue out over the lower lip; the jaw opens as far as that needs.",
}
# What a single weight does below 0: its own goes, then the opposite comes. Name: mixture at -1, what the help says.
_BELOW_ZERO: dict[str, tuple[Mapping[str, float], str]] = {
    "eyeBlink": ({"eyeWide": 0.5}, "opens it"),
    "eyeWide": ({"eyeBlink": 0.3}, "lets it sink"),
    "jawOpen": (_both(mouthPress=0.5), "closes the photo's own open mouth, and presses the lips"),
    "mouthPucker": (_both(mouthStretch=0.6), "widens the mouth"),
    "mouthSmile": ({"mouthFrown": 0.6}, "takes the photo's own smile away, and drops the corner"),
    "mouthFrown": ({"mouthSmile": 0.3}, "lifts it"),
    "browDown": ({"browOuterUp": 0.5}, "raises it"),
    "browInnerUp": (_both(browDown=0.5), "lowers them"),
    "browOuterUp": ({"browDown": 0.5}, "lowers it"),
}


def _arkit_controls() -> tuple[Control, ...]:
    """Return one control per ARKit weight, labelled in plain words."""
    out = []
    for name in ARKIT_NAMES:
        side = next((s for s in ("Left", "Right") if name.endswith(s) and name[: -len(s)] in _ARKIT_HELP), "")
        stem = name[: len(name) - len(side)]
        words = "".join(f" {c.lower()}" if c.isupper() else c for c in stem)
        label = words.capitalize() + (f", their {side.lower()}" if side and name not in _ARKIT_HELP else "")
        text = _ARKIT_HELP.get(name) or _ARKIT_HELP[stem]
        part = next(g for g, keys in {
            "ARKit eyes": ("eye",), "ARKit brows": ("brow",), "ARKit jaw": ("jaw",), "ARKit mouth": ("mouth", "tongue"),
            "ARKit cheeks and nose": ("cheek", "nose")}.items() if stem.startswith(keys))  # fmt: skip
        opposite, said = _BELOW_ZERO.get(name) or _BELOW_ZERO.get(stem) or ({}, "")
        sided = {target if target in INDEX else target + side: amount for target, amount in opposite.items()}
        out.append(
            Control(
                name, label, part, f"{text[:-1]}; below 0 {said}." if said else text, minimum=-1.0 if said else 0.0,
                positive={name: 1.0}, negative={name: -1.0, **sided} if said else {},
            )
        )  # fmt: skip
    return tuple(out)


CONTROLS: tuple[Control, ...] = _HEAD + _GROUPED + _arkit_controls()
CONTROL: dict[str, Control] = {c.name: c for c in CONTROLS}
HEAD_NAMES: tuple[str, ...] = tuple(c.name for c in _HEAD)


@dataclass(frozen=True)
class FaceState:
    """A face at one instant: what an engine is asked to draw.

    Attributes:
        weights: absolute ARKit weights in ARKIT_NAMES' order.  # (52,), 0..1
        head: head rotation relative to the photo.
    """

    weights: Weights
    head: HeadPose = field(default_factory=HeadPose)


@dataclass(frozen=True)
class ExpressionEdit:
    """Slider values by control name; a control that is not named is at 0.

    Raises:
        UserInputError: an unknown control, a value that is no number or out of range.
    """

    values: Mapping[str, float] = field(default_factory=dict)
    neutralise: bool = False

    def __post_init__(self) -> None:
        for name, value in self.values.items():
            control = CONTROL.get(name)
            if control is None:
                near = [c for c in CONTROL if name.lower()[:5] in c.lower()][:4]
                meant = f"Did you mean {', '.join(near)}?" if near else ""
                raise UserInputError(
                    f"There is no control named {name!r}.", meant or "`studio controls` lists them.", window=meant
                )
            if not np.isfinite(value) or not control.minimum - 1e-6 <= value <= control.maximum + 1e-6:
                raise UserInputError(
                    f"{name} is {value:g}, but goes from {control.minimum:g} to {control.maximum:g}{control.unit}.",
                    "Choose a value inside the range.",
                )

    @classmethod
    def from_saved(cls, values: Mapping[str, float], neutralise: bool = False) -> ExpressionEdit:
        """Return an edit that an earlier version may have saved.

        Single weights went to -1 then, also those for which nothing lies below 0; such values are 0 now.
        """
        held = {n: max(v, CONTROL[n].minimum) if n in INDEX and -1.0 <= v < 0 else v for n, v in values.items()}
        return cls(held, neutralise)


TITLE_WORDS = 3
"""A title names so many of the controls that moved; more are counted."""


_SIDES = (", their left", ", their right")


def spoken(values: Mapping[str, float]) -> tuple[tuple[str, float], ...]:
    """Return what was moved, the strongest first, as a person says it: both sides moved alike are one thing.

    Args:
        values: control name -> slider value.

    Returns:
        Label and value; "Brow down" for both sides, "Brow down (their left)" for one.
    """
    labels = {CONTROL[n].label: v for n, v in values.items() if v}
    out = []
    for name, value in values.items():
        label = CONTROL[name].label
        thing = next((label.removesuffix(side) for side in _SIDES if label.endswith(side)), "")
        both = bool(thing) and all(labels.get(thing + side) == value for side in _SIDES)
        if value and not (both and label.endswith(_SIDES[1])):
            head, _, side = label.partition(", ")
            said = thing if both else f"{head} ({side})" if side else head
            out.append((said, value, abs(value) / CONTROL[name].maximum))
    return tuple((label, value) for label, value, _ in sorted(out, key=lambda said: -said[2]))


def title_of(edit: ExpressionEdit) -> str:
    """Return a title for a picture: what was moved most, as its slider is called."""
    moved = [label for label, _ in spoken(edit.values)]
    if not moved:
        return "Neutral face" if edit.neutralise else "Portrait"
    said = ", ".join(moved[:TITLE_WORDS])
    more = len(moved) - TITLE_WORDS
    return said + (f" and {more} more" if more > 0 else "")


def offsets(values: Mapping[str, float]) -> Weights:
    """Sum the ARKit offsets of slider values; head angles are left out.

    Args:
        values: control name -> slider value.

    Returns:
        Offsets to be added to a face's own weights.  # (52,), unclamped
    """
    out = np.zeros(len(ARKIT_NAMES), np.float32)
    for name, value in values.items():
        control = CONTROL[name]
        for target, amount in (control.positive if value > 0 else control.negative).items():
            out[INDEX[target]] += abs(value) * amount
    return out


def resolve(edit: ExpressionEdit, own: Weights) -> FaceState:
    """Turn slider values into the face to draw.

    Args:
        edit: the slider values.
        own: the photo's own fitted weights.  # (52,)

    Returns:
        The absolute state: weights clamped to 0..1, head angles to their limits.
    """
    base = np.zeros_like(own) if edit.neutralise else own
    # The photo's own weights may lie a little outside 0..1; only what the edit
    # moves is clamped, so that an empty edit returns the photo exactly.
    change = offsets(edit.values)
    moved = np.where(change != 0, np.clip(base + change, 0.0, 1.0), base)
    head = HeadPose(*(float(edit.values.get(n, 0.0)) for n in HEAD_NAMES)).clamped()
    return FaceState(moved.astype(np.float32), head)
