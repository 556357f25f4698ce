"""What a conversation adds to a face that speaks or listens: gaze, turns of the head, nods, lips that stay closed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from studio.domain.dialogue import ASIDE, CAMERA, Nod, Part, listening, smooth
from studio.domain.expression import ARKIT_NAMES, INDEX
from studio.domain.gaze import gaze_weights
from studio.domain.lip_closure import shut
from studio.domain.performance import MouthResponse, Performance
from studio.domain.pose import SAFE_DEGREES

Array = NDArray[np.float64]

_MOST_LOOK = 0.72
_TOWARD_DEGREES, _TURNED_DEGREES = 19.0, 9.5  # of the eyes and of the head, to the next person
_FURTHER_DEGREES = 2.5  # of both, for each person in between
_UP_DOWN_DEGREES = 10.0  # for somebody as much higher as aside
_BENDS_DEGREES = 8.5  # from here on turns of the head are held back
_HEAD_BEGINS, _HEAD_TAKES = (0.05, 0.14), (0.42, 0.75)  # seconds after the eyes; long
_CAMERA_TURN = 0.55  # of the head's turn is left while a speaker looks into the camera
_EYES_ON_TARGET = 0.92  # share of what the head does besides that the eyes undo
_BLINK_SHARE = 0.55  # of large shifts of gaze
_LARGE_SHIFT_DEGREES = 9.0
_QUIET_HEAD = 0.7  # of the idle motion of a head that listens
_RESTING_GAP_MM = 1.5
_LEAST_OWN_MOUTH = 0.25
_FRIENDLY = (0.03, 0.10)  # weight of a listener's smile
_BLINKS = [INDEX["eyeBlinkLeft"], INDEX["eyeBlinkRight"]]


@dataclass(frozen=True)
class Seat:
    """Where a person is in the picture, in heights of a face; x to the right, y down.

    Attributes:
        yaw_degrees: how far the head is turned in the photo already, to the right of the picture.
        freedom: share of a turn that the head has room for; where people touch it is less.
    """

    x: float
    y: float = 0.0
    yaw_degrees: float = 0.0
    freedom: float = 1.0


def directions(seats: Sequence[Seat], person: int, at: int) -> tuple[Array, Array]:
    """Return where somebody looks and where the head turns to, to see another or the camera.

    Nobody in a flat picture can be looked at truly; the eyes go as far aside as reads well, further for whoever sits
    further. A head that the photo shows turned that way already turns less.

    Args:
        at: a person or CAMERA.

    Returns:
        Yaw and pitch of the eyes, against a look into the camera; and of the head, against the photo.  # (2,), (2,)
    """
    if at in (CAMERA, person):
        return np.zeros(2), np.zeros(2)
    own, other = seats[person], seats[at]
    dx, dy = other.x - own.x, other.y - own.y
    side = 1.0 if dx >= 0 else -1.0
    between = sum(1 for s in seats if min(own.x, other.x) < s.x < max(own.x, other.x))
    further = between * _FURTHER_DEGREES
    up = float(np.clip(-dy / max(abs(dx), 0.5), -0.7, 0.7)) * _UP_DOWN_DEGREES
    already = side * own.yaw_degrees
    turn = float(np.clip(_TURNED_DEGREES + further - 0.7 * already, 2.0, _TURNED_DEGREES + further))
    eyes = np.array([side * (_TOWARD_DEGREES + 1.5 * further), up])
    return eyes, own.freedom * np.array([side * turn, 0.6 * up])


def attend(
    performance: Performance, part: Part, seats: Sequence[Seat], person: int, mouth: MouthResponse
) -> Performance:
    """Return a performance with what a conversation adds: gaze, turns of the head, nods, lips that stay closed.

    Args:
        performance: what the person's own sound asks for, written without glances (the amount of gaze is 0).
        part: what the person does.
        seats: of everybody.
        person: whose performance it is.
        mouth: of the head that shows it.
    """
    rate, frames = performance.frame_rate_hz, len(performance)
    times = np.arange(frames) / rate
    rng = np.random.default_rng([part.seed, 1])
    sight, turn, blinks = _followed(part, seats, person, times, rng)
    quiet = listening(part, times)
    head = performance.head_degrees * (1 - (1 - _QUIET_HEAD) * quiet)[:, None]
    extra = np.zeros((frames, 3))
    extra[:, :2] = turn
    extra[:, 1] -= _nodded(part.nods, times)
    extra[:, 2] += _tilt(part, turn[:, 0], times, rng)
    whole = head + extra
    whole[:, :2] = _within(whole[:, :2])
    weights = np.array(performance.weights, np.float32)
    look = sight - turn - _EYES_ON_TARGET * (whole - np.pad(turn, ((0, 0), (0, 1))))[:, :2]
    _lay_look(weights, look)
    _lay_blinks(weights, blinks, times, mouth)
    own = _listen_with_mouth(weights, performance.own_mouth, quiet, mouth, rng)
    _lay_attention(weights, part.nods, quiet, times, rng)
    seal = np.maximum(performance.lip_seal, quiet).astype(np.float32)
    shut(weights, own, np.asarray(quiet, np.float32), mouth)
    return replace(
        performance,
        weights=np.clip(weights, 0, 1).astype(np.float32),
        head_degrees=whole.astype(np.float32),
        own_mouth=own,
        lip_seal=seal,
    )


def _within(degrees: Array) -> Array:
    """Hold turns within what one photo carries without stretching, softly."""
    bend = _BENDS_DEGREES
    room = SAFE_DEGREES - bend
    beyond = np.maximum(np.abs(degrees) - bend, 0)
    return np.asarray(np.sign(degrees) * (np.minimum(np.abs(degrees), bend) + room * np.tanh(beyond / room)))


def _followed(
    part: Part, seats: Sequence[Seat], person: int, times: Array, rng: np.random.Generator
) -> tuple[Array, Array, list[float]]:
    """Return where the eyes look, how the head is turned, and blinks of large shifts.  # (T, 2), (T, 2)"""
    sight, turn = np.zeros((len(times), 2)), np.zeros((len(times), 2))
    blinks: list[float] = []
    eyes_at, head_at = directions(seats, person, part.looks[0].at if part.looks[0].at != ASIDE else CAMERA)
    sight[:], turn[:] = eyes_at, head_at
    ends = [look.seconds for look in part.looks[1:]] + [float(times[-1]) + 1.0 if len(times) else 0.0]
    partner = next((look.at for look in part.looks if look.at >= 0), CAMERA)
    for number, (look, end) in enumerate(zip(part.looks, ends, strict=True)):
        partner = look.at if look.at >= 0 else partner
        eyes_to, head_to = directions(seats, person, partner)
        if look.at == CAMERA:
            eyes_to, head_to = np.zeros(2), head_to * _CAMERA_TURN
        elif look.at == ASIDE:  # past the other or down, never further out than eyes go
            aside = np.array([-np.sign(eyes_to[0]) * rng.uniform(5, 11), rng.uniform(-9, 3)])
            eyes_to, head_to = eyes_to + aside, head_to * 0.9 + np.array([0.0, 0.15 * aside[1]])
        if number:
            way = float(np.abs(eyes_to - eyes_at).max())
            _go(sight, times, look.seconds, eyes_at, eyes_to, 0.025 + 0.0024 * way, rush=True)
            begin = look.seconds + float(rng.uniform(*_HEAD_BEGINS))
            _go(turn, times, begin, head_at, head_to, float(rng.uniform(*_HEAD_TAKES)))
            if way > _LARGE_SHIFT_DEGREES and rng.random() < _BLINK_SHARE:
                blinks.append(look.seconds + 0.02)
        eyes_at, head_at = eyes_to, head_to
        here = np.zeros(2)
        moment = look.seconds + 0.3 + float(rng.uniform(0.3, 1.0))
        while moment < end - 0.2:  # between the eyes and the mouth of whom one looks at
            there = rng.normal(0, (1.0, 0.7))
            _go(sight, times, moment, eyes_to + here, eyes_to + there, 0.03, rush=True)
            here, eyes_at = there, eyes_to + there
            moment += float(rng.uniform(0.45, 1.6))
    return sight, turn, blinks


def _go(
    out: Array, times: Array, start: float, here: Array, there: Array, length: float, *, rush: bool = False
) -> None:
    """Write a way from one direction to another from a moment on, in place; a jump of the eyes rushes."""
    first = int(np.searchsorted(times, start))
    share = (times[first:] - start) / length
    eased = np.clip(share, 0, 1) if rush else smooth(share)
    if rush:
        out[first:] = here + eased[:, None] * (there - here)
    else:
        out[first:] += eased[:, None] * (there - here)


def _nodded(nods: Sequence[Nod], times: Array) -> Array:
    """Return how far the head is lowered by nods, degrees.  # (T,)"""
    out = np.zeros(len(times))
    for nod in nods:
        each = 0.42 if nod.times > 1 else 0.55
        since = (times - nod.seconds) / each
        inside = (since > 0) & (since < nod.times)
        fading = 1 - 0.35 * np.clip(np.floor(since), 0, nod.times) / max(nod.times, 1)
        out += np.where(inside, nod.degrees * fading * 0.5 * (1 - np.cos(2 * np.pi * since)), 0)
    return out


def _tilt(part: Part, turn: Array, times: Array, rng: np.random.Generator) -> Array:
    """Return a lean of the head, another one for each stretch of listening.  # (T,)"""
    out = np.zeros(len(times))
    here = 0.0
    for start in [0.0, *(end for _, end in part.spans)]:
        there = float(rng.normal(0, 1.6))
        out += smooth((times - start - 0.4) / 1.1) * (there - here)
        here = there
    return out + 0.12 * turn


def _lay_look(weights: NDArray[np.float32], look: Array) -> None:
    """Write the eyes' direction into the eight weights of gaze, in place."""
    for column, values in gaze_weights(look, _MOST_LOOK):
        weights[:, column] = values


def _lay_blinks(weights: NDArray[np.float32], blinks: Sequence[float], times: Array, mouth: MouthResponse) -> None:
    """Shut the lids at moments, in place: down in 85 ms, up in 180."""
    shutness = np.zeros(len(times))
    for at in blinks:
        down, up = smooth((times - at + 0.03) / 0.085), 1 - smooth((times - at - 0.08) / 0.18)
        shutness = np.maximum(shutness, np.minimum(down, up))
        nearest = int(np.argmin(np.abs(times - at - 0.065))) if len(times) else 0
        if len(times) and abs(times[nearest] - at - 0.065) < 0.05:
            shutness[nearest] = 1.0  # the lids meet in a frame, not between two
    for row in _BLINKS:
        room = float(np.clip(1 - mouth.own[row], 0, 1))
        weights[:, row] = np.maximum(weights[:, row], shutness * room)


def _listen_with_mouth(
    weights: NDArray[np.float32], own_mouth: NDArray[np.float32], quiet: Array, mouth: MouthResponse,
    rng: np.random.Generator,
) -> NDArray[np.float32]:  # fmt: skip
    """Take back what opens a mouth that listens, in place, and return how much of the photo's own mouth is kept."""
    own_gap = mouth.gap_mm + float(mouth.gap_per_weight_mm @ mouth.own)
    kept = float(np.clip(_RESTING_GAP_MM / max(own_gap, 1e-3), _LEAST_OWN_MOUTH, 1))
    own = own_mouth + quiet * (np.minimum(own_mouth, kept) - own_mouth)
    opens = (mouth.gap_per_weight_mm > 0) & np.array([n.startswith(("mouth", "jaw")) for n in ARKIT_NAMES])
    weights[:, opens] *= (1 - quiet)[:, None]
    smile = float(rng.uniform(*_FRIENDLY))
    for side, share in (("Left", rng.uniform(0.8, 1.2)), ("Right", rng.uniform(0.8, 1.2))):
        weights[:, INDEX["mouthSmile" + side]] += quiet * smile * share
    return np.asarray(own, np.float32)


def _lay_attention(
    weights: NDArray[np.float32], nods: Sequence[Nod], quiet: Array, times: Array, rng: np.random.Generator
) -> None:
    """Lift the brows a little with some nods, in place."""
    lift = np.zeros(len(times))
    for nod in nods:
        if rng.random() < 0.5:
            rise = smooth((times - nod.seconds + 0.1) / 0.2)
            fall = 1 - smooth((times - nod.seconds - 0.5) / 0.5)
            lift = np.maximum(lift, float(rng.uniform(0.12, 0.3)) * np.minimum(rise, fall))
    for name in ("browInnerUp", "browOuterUpLeft", "browOuterUpRight"):
        weights[:, INDEX[name]] += lift * quiet
