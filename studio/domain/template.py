"""The expression of one picture, taken over by a portrait.

A template is followed like a single frame of a clip (`domain.driving`), so that
what goes over is motion and nothing of its looks. As an *offset* the portrait
keeps its own face and adds what the template does beyond a face at rest: its
own, where a second picture of the same person shows it, else a usual one.
*Exactly* means that the portrait shows what the template shows, whatever it
showed before. Both end as slider values, from which a person goes on.

Knows nothing of pixels.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from studio.domain.driving import LID_INDEX, LOOK_INDEX, NeutralFace, TrackedFace, carried
from studio.domain.expression import ARKIT_NAMES, HEAD_NAMES, INDEX, ExpressionEdit
from studio.domain.performance import MouthResponse
from studio.domain.pose import LIMIT_DEGREES
from studio.errors import UserInputError

Array = NDArray[np.float64]

STRONGEST = 1.5
"""Of an amount; beyond it faces tear."""
SMALLEST = 0.03
"""Weights below this are the tremble of landmarks, not an expression."""

# A face at rest as the fit reads it; what it calls a smile there is the shape of a mouth.
# Source: medians of 22 photographs and paintings of faces at rest, seen from the front.
_USUAL_WEIGHTS = {
    "mouthSmile": 0.29, "mouthStretch": 0.18, "mouthFrown": 0.14, "mouthDimple": 0.12, "browOuterUp": 0.15,
    "browInnerUp": 0.06, "cheekPuff": 0.10, "mouthLeft": 0.05, "mouthRight": 0.05, "mouthRollLower": 0.05,
    "mouthRollUpper": 0.05, "mouthPress": 0.03,
}  # fmt: skip
_USUAL_HEAD = (0.0, -4.5, 0.0)
_USUAL_GAZE = (0.0, 0.32)
_UPPER_LID, _LOWER_LID = (0.16, 0.23), (-0.14, -0.06)
"""Eyes are of different shapes: open lids between these heights are nobody's squint, in eye lengths."""
_AMPLIFIED = 0.5
"""A face that is read alone loses less than one that is followed; found by eye on grins."""
_CORNERS = [(INDEX[f"mouthSmile{side}"], INDEX[f"mouthFrown{side}"]) for side in ("Left", "Right")]
_FALSE_SHARE, _FALSE_PULL = 0.8, 0.3
"""Of the weaker pull at a corner so much is false, and so much of it is missing from the stronger one; found by eye."""
_TAKEN_AWAY = 0.06
"""So much less than the portrait's own is worth a start from a neutral face."""
_CLOSED_MM = 0.5
"""Up to here the landmark model sees closed lips apart."""
_SIDES = (("yaw", "turned", "to their left", "to their right"), ("pitch", "tilted", "up", "down"),
          ("roll", "leaned", "to their left", "to their right"))  # fmt: skip


@dataclass(frozen=True)
class Copying:
    """How an expression is taken over.

    Attributes:
        amount: 0 nothing .. 1 as the template shows it .. STRONGEST.
        exactly: what the portrait shows itself is taken back first.
        head, gaze: whether the turn of the head and the direction of the eyes are taken as well.

    Raises:
        UserInputError: an amount out of range.
    """

    amount: float = 1.0
    exactly: bool = False
    head: bool = False
    gaze: bool = False

    def __post_init__(self) -> None:
        if not 0 <= self.amount <= STRONGEST:
            raise UserInputError(
                f"The amount is {self.amount:g}, but goes from 0 to {STRONGEST:g}.", "Choose a value inside the range."
            )

    @property
    def not_taken(self) -> frozenset[str]:
        """Controls of head and eyes that the template does not set."""
        looks = {n for n in ARKIT_NAMES if n.startswith("eyeLook")} | {"gazeX", "gazeY"}
        return frozenset([*(() if self.head else HEAD_NAMES), *(() if self.gaze else looks)])


@dataclass(frozen=True)
class Copied:
    """Slider values that show a template's expression, with sentences for the person."""

    edit: ExpressionEdit
    notes: tuple[str, ...] = ()


def copied(
    template: TrackedFace, portrait: TrackedFace, mouth: MouthResponse, how: Copying, neutral: TrackedFace | None = None
) -> Copied:
    """Return the slider values with which a portrait shows a template's expression.

    Args:
        template: one row.
        portrait: one row, read as the template was.
        mouth: of the portrait, with its own weights.
        how: amount and parts.
        neutral: the template's person at rest, one row of the same fit; None takes a usual face.
    """
    own = np.clip(np.asarray(mouth.own, np.float64), 0.0, 1.0)
    rest = _usual(template) if neutral is None else _row(neutral)
    start = rest
    if how.exactly:
        start = replace(_row(portrait), lids=rest.lids)
    gap = float(template.lip_gap_mm[0])
    apart = gap - _CLOSED_MM
    if not how.exactly:  # a mouth that is open already stays so, unless the template closes its own
        own_gap = mouth.gap_mm + float(own @ mouth.gap_per_weight_mm)
        at_rest = min(gap, _CLOSED_MM) if neutral is None else float(neutral.lip_gap_mm[0])
        apart = max(own_gap + min(gap - at_rest, 0.0), apart)
    moved = carried(template, start, mouth, gap - apart, amplified=_AMPLIFIED if neutral is None else 1.0)
    offsets, head = (part[0] for part in moved)
    if how.exactly:  # eyes of another shape stay so; what they do is taken back
        shown = carried(portrait, replace(_usual(portrait), gaze=_row(portrait).gaze), mouth, _CLOSED_MM)[0][0]
        offsets[LID_INDEX] -= shown[LID_INDEX]
    offsets = _told_apart(offsets)
    if not how.gaze:
        offsets[LOOK_INDEX] = 0.0
    wanted = np.clip(own + how.amount * offsets, 0.0, 1.0)
    limit = np.array([LIMIT_DEGREES[axis] for axis, *_ in _SIDES])
    turn = np.clip(how.amount * head, -limit, limit) if how.head else np.zeros(3)
    return Copied(_edit(wanted, own, turn, how.exactly), _notes(template, start, how))


NO_MOUTH = MouthResponse(
    0.0, np.zeros(52, np.float32), 0.0, np.zeros(52, np.float32), 0.0, np.zeros(52, np.float32),
    np.zeros(52, np.float32), np.zeros(52, np.float32),
)  # fmt: skip
"""Of nobody's head: what is carried to it is the expression itself."""


def expression_of(face: TrackedFace, neutral: TrackedFace | None = None) -> NDArray[np.float32]:
    """Return the weights by which a face differs from one at rest, head left out.

    Args:
        face, neutral: as in `copied`.

    Returns:
        0..1.  # (52,)
    """
    rest, share = (_usual(face), _AMPLIFIED) if neutral is None else (_row(neutral), 1.0)
    offsets, _ = carried(face, rest, NO_MOUTH, _CLOSED_MM, amplified=share)
    return np.asarray(np.clip(_told_apart(offsets[0]), 0.0, 1.0), np.float32)


def _told_apart(offsets: Array) -> Array:
    """Return offsets in which a corner of the mouth is not pulled up and down at once by much.

    Both together stretch a mouth, and a fit to one picture takes a broad laugh for some of each.
    """
    out = offsets.copy()
    for up, down in _CORNERS:
        weaker, stronger = (up, down) if out[up] < out[down] else (down, up)
        both = max(float(out[weaker]), 0.0)
        out[weaker] -= _FALSE_SHARE * both
        out[stronger] -= _FALSE_PULL * both
    return out


def _row(face: TrackedFace) -> NeutralFace:
    """Return a face of one row as one to start from."""
    return NeutralFace(
        face.weights[0].astype(np.float64), face.head_degrees[0].astype(np.float64),
        face.lids[0].astype(np.float64), face.gaze[0].astype(np.float64), 0,
    )  # fmt: skip


def _usual(face: TrackedFace) -> NeutralFace:
    """Return a usual face at rest, as near to this one as a face at rest can be: less than usual is another shape."""
    row = _row(face)
    usual = np.array([_USUAL_WEIGHTS.get(n, _USUAL_WEIGHTS.get(n.removesuffix("Left").removesuffix("Right"), 0.0))
                      for n in ARKIT_NAMES])  # fmt: skip
    lids = np.stack([np.clip(row.lids[:, 0], *_UPPER_LID), np.clip(row.lids[:, 1], *_LOWER_LID)], 1)
    return NeutralFace(np.minimum(usual, row.weights), np.array(_USUAL_HEAD), lids, np.array(_USUAL_GAZE), 0)


def _edit(wanted: Array, own: Array, turn: Array, exactly: bool) -> ExpressionEdit:
    """Return slider values that show the wanted weights; what sliders cannot take away is begun from a neutral face."""
    change = wanted - own
    from_neutral = exactly or bool((change < -_TAKEN_AWAY).any())
    values = wanted if from_neutral else change
    said = {name: round(float(v), 2) for name, v in zip(ARKIT_NAMES, values, strict=True) if v >= SMALLEST}
    head = {name: round(2 * float(v)) / 2 for name, v in zip(HEAD_NAMES, turn, strict=True)}
    return ExpressionEdit({n: v for n, v in head.items() if v} | said, from_neutral)


def _notes(template: TrackedFace, start: NeutralFace, how: Copying) -> tuple[str, ...]:
    """Say which turns a portrait cannot take."""
    if not how.head:
        return ()
    away = template.head_degrees[0] - start.head_degrees
    notes = []
    for angle, (axis, done, more, less) in zip(away, _SIDES, strict=True):
        if abs(angle) * how.amount > LIMIT_DEGREES[axis]:
            notes.append(
                f"The head is {done} {abs(angle):.0f}° {more if angle > 0 else less} there; "
                f"a portrait goes to {LIMIT_DEGREES[axis]:g}°."
            )
    return tuple(notes)
