"""A face followed through a clip, and the motion that another face takes from it.

What is followed stands in the driver's own terms (`TrackedFace`). `drive` makes
a performance of it: calmed by a filter that lets quick motion through, relative
to the driver's neutral face, in the room that the portrait's own face leaves,
with lips as far apart as the driver's. The driver's looks never enter: nothing
but motion is carried over, and where the head is in the driver's picture is not
part of it, so that no neck is stretched.

Convention: lengths of lids are shares of the eye's length, of gaze radii of the
iris; angles and sides are those of `domain.pose` and `domain.expression`.
Knows nothing of pixels.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace

import numpy as np
from numpy.typing import NDArray

from studio.domain.easing import smoothstep
from studio.domain.expression import ARKIT_NAMES, INDEX, MOUTH_INDEX
from studio.domain.performance import FloatArray, MouthResponse, Performance
from studio.domain.pose import LIMIT_DEGREES

Array = NDArray[np.float64]

CALIBRATION_SECONDS = 10.0
"""So much from the beginning of a shot tells its neutral face, so that a preview moves as the clip will."""
_CALM_SHARE, _FEWEST_CALM = 0.1, 3
_LOW_PERCENT = 10.0
HOLD_SECONDS, EASE_SECONDS, RETURN_SECONDS = 0.3, 0.7, 0.25
"""A face that is lost holds its last look, then eases to its neutral one, and comes back as quickly as this."""

# One-Euro filter (Casiez, Roussel, Vogel 2012): cutoff in Hz at rest, and how much of it each unit per second adds.
# Source: tuned on tracked talking heads: at rest the landmarks tremble by .01 to .02 of a weight and .3 degrees.
CALM_HZ: dict[str, tuple[float, float]] = {
    "weights": (2.0, 2.5), "head_degrees": (1.2, 0.08), "gaze": (1.2, 3.0), "lids": (3.0, 20.0),
    "lip_gap_mm": (3.5, 0.25),
}  # fmt: skip
_SPEED_CUTOFF_HZ = 1.0

# What the lids and the iris of a portrait do at weight 1, in openings of the eye and radii of the iris; docs/rig.md.
_LOWER_BY_BLINK, _LOWER_BY_SQUINT, _UPPER_BY_SQUINT, _UPPER_BY_WIDE = 0.13, 0.35, 0.12, 0.27
_READ = (np.array([1.06, 0.85, 1.0]), np.array([1.06, 0.91, 1.0]))
"""Degrees of yaw, pitch and roll that landmarks read per degree turned, above and below 0; see `rig.turning`."""
_SHUT = 0.62
"""Closed to this share, a driver's eye is shut: lids that touch are still seen apart by the landmark model."""
_SHUT_LOWERED = 0.22
"""More is asked for where the eye looks down: its lid is low already."""
_GAZE_PER_WEIGHT = (0.70, 0.50)
_GAZE_GAIN = 1.25
"""The landmark model sees four fifths of a look to the side."""
_SEALED_MM = (0.8, 2.2)
_MOST_CLOSED_MM = 3.0
"""The smallest gap of a clip up to this is its closed mouth; above, the mouth never closes."""
_MORE_OPEN = 0.6
"""By so much of themselves shapes that open the mouth may grow, until the jaw does the rest."""
_LARGEST_GAIN, _SMALLEST_GAIN = 1.6, 0.5
_AMPLITUDE = np.array([
    1.4 if name.startswith(("mouthSmile", "mouthDimple", "mouthStretch", "mouthFrown", "mouthPucker")) else 1.0
    for name in ARKIT_NAMES
])  # fmt: skip
"""What the solver's pull to rest and the drawing of the corners of the mouth take away; found on clips driven by
themselves."""
_SOFT_LIMIT = 0.8
"""Share of the head's limit from which turns are eased, so that no turn ends at a wall."""

LOOK_INDEX = [i for n, i in INDEX.items() if n.startswith("eyeLook")]
LID_INDEX = [i for n, i in INDEX.items() if n.startswith(("eyeBlink", "eyeSquint", "eyeWide"))]
_CLOSE = INDEX["mouthClose"]
_JAW = INDEX["jawOpen"]


@dataclass(frozen=True)
class TrackedFace:
    """One face through a clip, frame by frame at a constant rate.

    Attributes:
        frame_rate_hz: frames per second.
        weights: fitted ARKit weights; those of lids and looks are 0, see `lids` and `gaze`.  # (T, 52)
        head_degrees: absolute yaw, pitch, roll.  # (T, 3)
        lids: heights of the upper and the lower lid over the line of the eye's corners, of the subject's left and
            right eye, in eye lengths.  # (T, 2, 2): eye, lid
        gaze: how far the irises stand right and up of the middle of their eyes, in radii of the iris.  # (T, 2)
        lip_gap_mm: between the inner lips, on a head whose outer eye corners are 88.9 mm apart.  # (T,)
        found: whether the face was seen; other rows hold what was seen last.  # (T,) bool
        shot: number of the shot, rising from 0; a cut begins a new one.  # (T,) int
        notes: sentences for the person.
    """

    frame_rate_hz: float
    weights: FloatArray
    head_degrees: FloatArray
    lids: FloatArray
    gaze: FloatArray
    lip_gap_mm: FloatArray
    found: NDArray[np.bool_]
    shot: NDArray[np.int32]
    notes: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.weights)

    def rows(self, chosen: NDArray[np.bool_] | slice) -> TrackedFace:
        """Return some of the frames."""
        arrays = {f.name: getattr(self, f.name) for f in fields(self) if f.name not in ("frame_rate_hz", "notes")}
        return replace(self, **{name: values[chosen] for name, values in arrays.items()})


@dataclass(frozen=True)
class NeutralFace:
    """A driver's face at rest: one row of a `TrackedFace`, and the frame that comes closest to it.

    Attributes:
        frame: row in the shot.
    """

    weights: Array
    head_degrees: Array
    lids: Array
    gaze: Array
    frame: int


def one_euro(values: NDArray[np.floating], rate_hz: float, calm_hz: float, per_speed: float) -> Array:
    """Calm a signal that trembles at rest without dulling its quick parts; both ways in time, so that nothing lags.

    Source: Casiez, Roussel, Vogel, "1 Euro Filter", CHI 2012.

    Args:
        values: samples along the first axis.  # (T, ...)
        rate_hz: samples per second.
        calm_hz: cutoff where nothing moves.
        per_speed: Hz that each unit per second adds.
    """
    forward = _one_way(np.asarray(values, np.float64), rate_hz, calm_hz, per_speed)
    backward = _one_way(np.asarray(values, np.float64)[::-1], rate_hz, calm_hz, per_speed)[::-1]
    return np.asarray((forward + backward) / 2)


def _one_way(values: Array, rate_hz: float, calm_hz: float, per_speed: float) -> Array:
    if not len(values):
        return values.copy()
    out = np.empty_like(values)
    out[0], speed = values[0], np.zeros_like(values[0])
    slow = _share(_SPEED_CUTOFF_HZ, rate_hz)
    for i in range(1, len(values)):
        speed = speed + slow * ((values[i] - values[i - 1]) * rate_hz - speed)
        share = _share(calm_hz + per_speed * np.abs(speed), rate_hz)
        out[i] = out[i - 1] + share * (values[i] - out[i - 1])
    return out


def _share(cutoff_hz: float | Array, rate_hz: float) -> float | Array:
    """Return how much of a new sample an exponential filter of that cutoff takes."""
    turned = 2 * np.pi * cutoff_hz / rate_hz
    return turned / (turned + 1)


class OneEuro:
    """The same filter as frames come in, forward in time alone; frames may come when they like.

    Args:
        calm_hz, per_speed: as of `one_euro`.
    """

    def __init__(self, calm_hz: float, per_speed: float) -> None:
        self._calm_hz, self._per_speed = calm_hz, per_speed
        self._value: Array | None = None
        self._before = self._speed = np.zeros(())

    def next(self, value: NDArray[np.floating], seconds: float) -> Array:
        """Return the calmed value.

        Args:
            value: of any shape that stays the same.
            seconds: since the value before.
        """
        now = np.asarray(value, np.float64)
        if self._value is None:
            self._value, self._before, self._speed = now.copy(), now, np.zeros_like(now)
            return self._value.copy()
        rate = 1.0 / max(seconds, 1e-3)
        self._speed = self._speed + _share(_SPEED_CUTOFF_HZ, rate) * ((now - self._before) * rate - self._speed)
        share = _share(self._calm_hz + self._per_speed * np.abs(self._speed), rate)
        self._value = self._value + share * (now - self._value)
        self._before = now
        return self._value.copy()


def with_closures(calm_mm: NDArray[np.floating], seen_mm: NDArray[np.floating]) -> Array:
    """Return calmed gaps of lips with the closures that were seen.

    A closure is a frame or two long: whatever a filter would leave of it is less than was seen.
    """
    shut = np.maximum(seen_mm, 0) + np.where(np.asarray(seen_mm) > _MOST_CLOSED_MM, np.inf, 0)
    return np.asarray(np.minimum(calm_mm, shut))


def calmed(face: TrackedFace) -> TrackedFace:
    """Return one shot without the tremble of its landmarks; gaps of closed lips stay as they were seen."""
    rate = face.frame_rate_hz
    gap = one_euro(face.lip_gap_mm, rate, *CALM_HZ["lip_gap_mm"])
    gap = with_closures(gap, face.lip_gap_mm)
    return replace(
        face,
        weights=one_euro(face.weights, rate, *CALM_HZ["weights"]).astype(np.float32),
        head_degrees=one_euro(face.head_degrees, rate, *CALM_HZ["head_degrees"]).astype(np.float32),
        lids=one_euro(face.lids, rate, *CALM_HZ["lids"]).astype(np.float32),
        gaze=one_euro(face.gaze, rate, *CALM_HZ["gaze"]).astype(np.float32),
        lip_gap_mm=gap.astype(np.float32),
    )


def neutral_of(face: TrackedFace, at_frame: int | None = None) -> NeutralFace:
    """Return the face at rest of one shot.

    Args:
        face: a calmed shot with at least one frame in which the face was found.
        at_frame: the frame that is the neutral one; None finds the calmest ones: those nearest to the tenth
            percentile of every weight and to the usual pose, with open eyes.
    """
    if at_frame is not None:
        reach = slice(max(at_frame - 1, 0), at_frame + 2)
        near = face.rows(reach)
        lids, gaze = near.lids.mean(0).astype(np.float64), near.gaze.mean(0).astype(np.float64)
        return NeutralFace(near.weights.mean(0), near.head_degrees.mean(0), lids, gaze, at_frame)
    seen = np.where(face.found)[0]
    part = face.rows(face.found)
    low = np.percentile(part.weights, _LOW_PERCENT, axis=0)
    opening = (part.lids[..., 0] - part.lids[..., 1]).mean(1)
    usual = np.percentile(opening, 100 - 3 * _LOW_PERCENT)
    away = (
        np.abs(part.weights - low).sum(1)
        + np.abs(part.head_degrees - np.median(part.head_degrees, 0)).sum(1) / 15
        + 6 * np.abs(opening - usual) / max(float(usual), 1e-3)
        + np.abs(part.gaze - np.median(part.gaze, 0)).sum(1)
        + np.maximum(part.lip_gap_mm, 0) / 4
    )
    count = min(len(part), max(_FEWEST_CALM, round(_CALM_SHARE * len(part))))
    calm = np.argsort(away, kind="stable")[:count]
    rest = part.rows(np.isin(np.arange(len(part)), calm))
    lids, gaze = np.median(rest.lids, 0).astype(np.float64), np.median(rest.gaze, 0).astype(np.float64)
    return NeutralFace(np.median(rest.weights, 0), np.median(rest.head_degrees, 0), lids, gaze, int(seen[calm[0]]))


def drive(face: TrackedFace, mouth: MouthResponse, neutral_frame: int | None = None) -> Performance:
    """Return the motion that a portrait takes from a followed face.

    Args:
        face: the driver.
        mouth: of the portrait, `own` being the face that the clip starts from.
        neutral_frame: frame in which the driver is at rest; its shot starts from it, others from their own calm.

    Returns:
        Offsets to the portrait's own weights, at the driver's frame rate.
    """
    shots = [np.where(face.shot == number)[0] for number in np.unique(face.shot)]
    parts = []
    for rows in shots:
        whole = rows[0] <= neutral_frame <= rows[-1] if neutral_frame is not None else False
        at = neutral_frame - int(rows[0]) if neutral_frame is not None and whole else None
        parts.append(_driven_shot(face.rows(slice(int(rows[0]), int(rows[-1]) + 1)), mouth, at))
    joined = {name: np.concatenate([p[name] for p in parts]) for name in ("weights", "head_degrees", "lip_seal")}
    count = len(face)
    return Performance(
        face.frame_rate_hz,
        joined["weights"].astype(np.float32),
        joined["head_degrees"].astype(np.float32),
        np.ones(count, np.float32),
        joined["lip_seal"].astype(np.float32),
        np.zeros(count, np.float32),
    )


def _driven_shot(raw: TrackedFace, mouth: MouthResponse, at_frame: int | None) -> dict[str, Array]:
    """Return weights, head and seal of one shot."""
    if not raw.found.any():
        none = np.zeros(len(raw))
        return {"weights": np.zeros((len(raw), len(ARKIT_NAMES))), "head_degrees": np.zeros((len(raw), 3)),
                "lip_seal": none}  # fmt: skip
    shot = calmed(raw)
    beginning = shot.rows(slice(0, max(1, round(CALIBRATION_SECONDS * raw.frame_rate_hz))))
    neutral = neutral_of(beginning if beginning.found.any() else shot, None) if at_frame is None else None
    neutral = neutral or neutral_of(shot, at_frame)
    presence = _presence(raw.found, raw.frame_rate_hz)[:, None]
    closed = closed_level(raw)
    offsets, head = carried(shot, neutral, mouth, closed)
    seal = sealed(raw.lip_gap_mm - closed)
    return {
        "weights": offsets * presence,
        "head_degrees": head * presence,
        "lip_seal": np.where(raw.found, seal, 0.0) * presence[:, 0],
    }


def sealed(gap_mm: NDArray[np.floating]) -> Array:
    """Return how tightly lips are shut that stand so far apart: 1 sealed, 0 free.  # (T,)"""
    return np.asarray(1 - _ramp(np.maximum(gap_mm, 0.0), *_SEALED_MM))


def carried(
    face: TrackedFace, neutral: NeutralFace, mouth: MouthResponse, closed_mm: float, *, amplified: float = 1.0
) -> tuple[Array, Array]:
    """Return what a portrait takes of each frame, relative to a face at rest.

    Args:
        face: the driver.
        neutral: the face at rest.
        mouth: of the portrait, `own` being the face that the offsets are added to.
        closed_mm: gap at which closed lips are seen; below 0 keeps the portrait's lips further apart.
        amplified: 0..1, how much is given back of what following a face from frame to frame takes away.

    Returns:
        Offsets to the portrait's own weights (T, 52), and turns of its head in degrees (T, 3).
    """
    change = face.weights - neutral.weights
    own = np.asarray(mouth.own, np.float64)
    offsets = change * _gains(change, own, neutral.weights) * (1 + amplified * (_AMPLITUDE - 1))
    offsets[:, LID_INDEX] = 0.0
    moved = face.gaze - neutral.gaze
    _add_lids(offsets, face.lids, neutral.lids, _SHUT + _SHUT_LOWERED * _ramp(-moved[:, 1], 0.1, 0.6))
    _add_looks(offsets, moved)
    apart = np.maximum(face.lip_gap_mm - closed_mm, 0.0)
    whole = np.clip(own + offsets, 0.0, 1.0)
    matched = _as_far_apart(whole, apart, mouth) - own
    offsets[:, MOUTH_INDEX] = matched[:, MOUTH_INDEX]
    head = (face.head_degrees - neutral.head_degrees) / np.where(face.head_degrees > neutral.head_degrees, *_READ)
    for axis, name in enumerate(("yaw", "pitch", "roll")):
        head[:, axis] = _softly(head[:, axis], LIMIT_DEGREES[name])
    return offsets, head


def _gains(change: Array, own: Array, neutral: Array) -> Array:
    """Return by how much each change is to be multiplied so that both faces use their whole room.  # (T, 52)

    What the driver raises of what is left to them, the portrait raises of what is left to it; what the driver lets
    go of their own, the portrait lets go of its own.
    """
    held = np.clip(neutral, 0.0, 0.9)
    up = np.clip((1 - np.clip(own, 0, 1)) / (1 - held), _SMALLEST_GAIN, _LARGEST_GAIN)
    has = held > 0.05
    down = np.where(has, np.clip(own / np.where(has, held, 1.0), _SMALLEST_GAIN, _LARGEST_GAIN), 1.0)
    return np.asarray(np.where(change > 0, up, down))


def _add_lids(offsets: Array, lids: NDArray[np.floating], neutral: Array, shut: Array) -> None:
    """Write blink, squint and wide eyes that bring a portrait's lids where the driver's went, in place.

    Args:
        lids, neutral: see `TrackedFace`.
        shut: share of the opening that is gone when an eye counts as shut.  # (T,)
    """
    for eye, side in enumerate(("Left", "Right")):
        opening = max(float(neutral[eye, 0] - neutral[eye, 1]), 1e-3)
        upper = (neutral[eye, 0] - lids[:, eye, 0]) / opening  # how far the upper lid came down
        lower = (lids[:, eye, 1] - neutral[eye, 1]) / opening
        closed = np.clip((upper + lower) / shut, 0.0, 1.0)
        # upper = (1 - a) blink + b squint, lower = a blink + c squint
        a, b, c = _LOWER_BY_BLINK, _UPPER_BY_SQUINT, _LOWER_BY_SQUINT
        squint = np.clip(((1 - a) * lower - a * upper) / ((1 - a) * c - a * b), 0.0, 1.0) * (1 - closed**2)
        blink = (upper - b * squint) / (1 - a)
        sharp = closed**3  # a lid most of the way down goes all of it
        offsets[:, INDEX[f"eyeSquint{side}"]] = squint
        offsets[:, INDEX[f"eyeBlink{side}"]] = np.clip(np.maximum(blink, 0) * (1 - sharp) + closed * sharp, 0.0, 1.0)
        offsets[:, INDEX[f"eyeWide{side}"]] = np.clip(-upper / _UPPER_BY_WIDE - 0.1, 0.0, 1.0)


def _add_looks(offsets: Array, moved: NDArray[np.floating]) -> None:
    """Write the looks of both eyes, in place.

    Args:
        moved: irises to the right of the picture and up, in radii of the iris.  # (T, 2)
    """
    x, y = (np.clip(_GAZE_GAIN * moved[:, i] / per, -1.0, 1.0) for i, per in enumerate(_GAZE_PER_WEIGHT))
    for name, amount in (
        ("eyeLookOutLeft", x), ("eyeLookInRight", x), ("eyeLookInLeft", -x), ("eyeLookOutRight", -x),
        ("eyeLookUpLeft", y), ("eyeLookUpRight", y), ("eyeLookDownLeft", -y), ("eyeLookDownRight", -y),
    ):  # fmt: skip
        offsets[:, INDEX[name]] = np.maximum(amount, 0.0)


def closed_level(face: TrackedFace) -> float:
    """Return the gap at which the landmark model sees the driver's closed lips, millimetres."""
    lowest = float(np.percentile(face.lip_gap_mm[face.found], 3))
    return max(lowest, 0.0) if lowest < _MOST_CLOSED_MM else 0.0


def _as_far_apart(face: Array, apart: NDArray[np.floating], mouth: MouthResponse) -> Array:
    """Return faces whose lips are so many millimetres apart: the portrait's own open mouth gives way too.

    What is too much is taken from the portrait's own opening first, for the driver knows nothing of it, then by
    lips that close over the jaw; what is missing is added to everything that opens already, then to the jaw.

    Args:
        face: absolute weights.  # (T, 52)
        apart: wanted gap.  # (T,)
    """
    per = np.asarray(mouth.gap_per_weight_mm, np.float64)
    out = face.copy()
    if per[_JAW] <= 0:
        return out
    openers = [i for i in MOUTH_INDEX if per[i] > 0]
    own = np.clip(np.asarray(mouth.own, np.float64)[openers], 0.0, 1.0)
    held = np.minimum(out[:, openers], own)  # of the portrait's own opening, what is still there
    left = mouth.gap_mm + out @ per - apart
    share = np.clip(left / np.maximum(held @ per[openers], 1e-6), 0.0, 1.0)
    out[:, openers] -= held * share[:, None]
    left = mouth.gap_mm + out @ per - apart
    if per[_CLOSE] < 0:
        over_jaw = np.minimum(np.maximum(left, 0.0) / -per[_CLOSE], np.maximum(out[:, _JAW] - out[:, _CLOSE], 0.0))
        out[:, _CLOSE] += over_jaw
        left = left + over_jaw * per[_CLOSE]
    opened = out[:, openers] @ per[openers]
    more = np.clip(-left / np.maximum(opened, 1e-6), 0.0, _MORE_OPEN)
    out[:, openers] = np.clip(out[:, openers] * (1 + more)[:, None], 0.0, 1.0)
    left = mouth.gap_mm + out @ per - apart
    out[:, _JAW] = np.clip(out[:, _JAW] + np.maximum(-left, 0.0) / per[_JAW], 0.0, 1.0)
    return out


def held_share(lost_seconds: NDArray[np.floating]) -> Array:
    """Return how much of its last look a face keeps that was lost so long ago: all of it, then less, then none."""
    return np.asarray(1.0 - _ramp(lost_seconds, HOLD_SECONDS, HOLD_SECONDS + EASE_SECONDS))


def _presence(found: NDArray[np.bool_], rate_hz: float) -> Array:
    """Return how much of the motion counts: 1 where the face is seen and a little longer, then easing to 0.  # (T,)"""
    frames = np.arange(len(found))
    last = np.maximum.accumulate(np.where(found, frames, -(10**9)))
    out = held_share((frames - last) / rate_hz)
    step = 1.0 / max(RETURN_SECONDS * rate_hz, 1.0)
    for i in range(1, len(out)):  # what comes back comes back gently
        out[i] = min(out[i], out[i - 1] + step)
    return np.asarray(out)


def _softly(angle: Array, limit: float) -> Array:
    """Return angles that approach a limit instead of stopping at it."""
    knee = _SOFT_LIMIT * limit
    over = np.maximum(np.abs(angle) - knee, 0.0)
    eased = (limit - knee) * np.tanh(over / (limit - knee))
    return np.asarray(np.sign(angle) * (np.minimum(np.abs(angle), knee) + eased))


def _ramp(x: NDArray[np.floating], low: float, high: float) -> Array:
    return smoothstep((np.asarray(x, np.float64) - low) / (high - low))
