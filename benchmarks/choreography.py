"""How lively a performance is, beside what real speakers show.

The same figures for curves and for tracked clips: speed and spread of the head,
spread of brows and of the mouth's width, blinks, how far the mouth opens, and
how much the choreography of different clips has in common. The bands are those
of public speakers (docs/talking_mouth.md, and two clips tracked here).
Lengths are shares of the distance between the outer eye corners.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

from benchmarks import mouth_checks
from benchmarks.mouth_truth import EYE_CORNERS_MM, TrackedMouth
from studio.domain.expression import INDEX
from studio.domain.lip_closure import absolute
from studio.domain.performance import MouthResponse, Performance
from studio.engines.voice.prosody import runs

FloatArray = NDArray[np.floating]

BANDS: dict[str, tuple[float, float]] = {
    "yaw_speed": (9.0, 14.0),
    "yaw_sd": (2.0, 4.3),
    "pitch_sd": (2.0, 5.0),
    "roll_sd": (1.0, 3.7),
    "brow_sd": (0.0088, 0.0176),
    "blinks_per_minute": (30.0, 75.0),
    "width_sd": (0.04, 0.06),
    "opening_p95": (0.15, 0.19),
}
"""Real speakers; the brows' band is 2 to 4 times what curves showed before they followed the voice."""
BROW_PER_WEIGHT = 0.075
"""Rise of the brows' middle on the average head per unit of browInnerUp and browOuterUp together."""


@dataclass(frozen=True)
class Choreography:
    """Figures of one clip.

    Attributes:
        yaw_speed: mean, degrees per second.
        yaw_sd, pitch_sd, roll_sd: degrees.
        brow_sd, width_sd, opening_p95: shares of the eye distance.
        blinks_per_minute: rate.
    """

    yaw_speed: float
    yaw_sd: float
    pitch_sd: float
    roll_sd: float
    brow_sd: float
    blinks_per_minute: float
    width_sd: float
    opening_p95: float

    def outside(self) -> tuple[str, ...]:
        """Return the figures that lie outside the bands of real speakers."""
        return tuple(n for n, (low, high) in BANDS.items() if not low <= getattr(self, n) <= high)


def of_performance(performance: Performance, mouth: MouthResponse) -> Choreography:
    """Measure curves on the head they were made for."""
    weights, turn, rate = performance.weights, performance.head_degrees, performance.frame_rate_hz
    raised = (weights[:, INDEX["browInnerUp"]] + _both(weights, "browOuterUp") - _both(weights, "browDown")) / 2
    drawn = absolute(weights, performance.own_mouth, mouth)
    opening = np.maximum(mouth_checks.gap(performance, mouth), 0)
    return _figures(
        turn,
        rate,
        BROW_PER_WEIGHT * raised,
        mouth_checks.blinks(performance).per_minute,
        drawn @ mouth.width_per_weight_mm / EYE_CORNERS_MM,
        opening / EYE_CORNERS_MM,
    )


def of_tracked(mouth: TrackedMouth) -> Choreography:
    """Measure a clip, real or rendered, by its landmarks."""
    seen = np.isfinite(mouth.gap_mm)
    lids, rate = mouth.lids[seen], mouth.frame_rate_hz
    reach = round(2 * rate)
    usual = np.array([np.percentile(lids[max(0, i - reach) : i + reach], 75) for i in range(len(lids))])
    blinks = len(runs(lids < 0.55 * usual))
    return _figures(
        _calmed(mouth.head_degrees[seen]),
        rate,
        mouth.brows[seen],
        60 * rate * blinks / len(lids),
        mouth.width[seen],
        mouth.gap_mm[seen] / EYE_CORNERS_MM,
    )


def _figures(
    turn: FloatArray, rate: float, brows: FloatArray, blinks: float, width: FloatArray, opening: FloatArray
) -> Choreography:
    speed = np.abs(np.diff(turn[:, 0])).mean() * rate
    yaw, pitch, roll = turn.std(0)
    values = (speed, yaw, pitch, roll, brows.std(), blinks, width.std(), np.percentile(opening, 95))
    return Choreography(*(float(v) for v in values))


def _calmed(turn: FloatArray) -> FloatArray:
    """Take the landmarks' jitter out of tracked angles: a mean of three frames.  # (T, 3)"""
    padded = np.pad(turn, ((1, 1), (0, 0)), mode="edge")
    return np.asarray((padded[:-2] + padded[1:-1] + padded[2:]) / 3)


def _both(weights: FloatArray, stem: str) -> FloatArray:
    return np.asarray((weights[:, INDEX[stem + "Left"]] + weights[:, INDEX[stem + "Right"]]) / 2)


def mean(found: Sequence[Choreography]) -> Choreography:
    """Return the mean of several clips."""
    return Choreography(*(float(np.mean([getattr(f, x.name) for f in found])) for x in fields(Choreography)))


def likeness(performances: Mapping[str, Performance]) -> tuple[float, float]:
    """Return mean and largest absolute correlation of yaw between any two clips, over their common length."""
    turns = [p.head_degrees[:, 0] for p in performances.values()]
    pairs = [(a, b) for i, a in enumerate(turns) for b in turns[i + 1 :]]
    found = [abs(float(np.corrcoef(a[: min(len(a), len(b))], b[: min(len(a), len(b))])[0, 1])) for a, b in pairs]
    return float(np.mean(found)), float(np.max(found))
