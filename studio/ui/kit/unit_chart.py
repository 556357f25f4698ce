"""Action units over time as small plots: those that are shown most, two sides as two lines where they differ."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from studio.domain.action_units import MOST, UNIT
from studio.services.portraits.units import UnitScores
from studio.ui.kit.plots import Line, Plot, Point, figure

MOST_PLOTS = 6
LEAST = 0.5
"""A unit that never reaches this is not drawn."""
_UNEVEN = 0.5
"""Sides that differ by more than this somewhere are two lines."""


def unit_chart(scores: UnitScores) -> str:
    """Return the plots; empty where hardly anything is shown."""
    codes = scores.strongest(LEAST)
    if not codes:
        return ""
    told = f"The {min(len(codes), MOST_PLOTS)} units that are shown most, of {len(codes)}; seconds across, 0 to 5 up."
    note = "What the motion adds to the photo's own face. All of them are in the table “Action units” under More files."
    plots = "".join(figure(_plot(code, scores)) for code in codes[:MOST_PLOTS])
    return f'<p class="fine">{told} {note}</p><div class="plots units">{plots}</div>'


def _plot(code: str, scores: UnitScores) -> Plot:
    unit, seconds = UNIT[code], np.arange(len(scores.tracks)) / scores.frame_rate_hz
    values = scores.of(code)
    sides = [scores.of(code + suffix) for suffix in ("L", "R") if suffix in unit.tracks]
    if len(sides) == 2 and np.abs(sides[0] - sides[1]).max() > _UNEVEN:
        lines = [
            Line("Their left", _points(seconds, sides[0])),
            Line("Their right", _points(seconds, sides[1]), "second"),
        ]
    else:
        lines = [Line("Intensity", _points(seconds, values))]
    peak = int(values.argmax())
    about = f"{unit.name}, {code}: at most {values[peak]:.1f} of 5, at {seconds[peak]:.1f} seconds."
    told = f"up to {values[peak]:.1f}"
    return Plot(f"{unit.number} {unit.name}", about, lines, "{:.1f}".format, (0.0, MOST), across="second", told=told)


def _points(seconds: NDArray[np.floating], values: NDArray[np.floating]) -> Sequence[Point]:
    return [(round(float(x), 3), float(y)) for x, y in zip(seconds, values, strict=True)]
