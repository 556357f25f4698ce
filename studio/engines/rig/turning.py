"""How far the mesh must turn for the picture to show the turn asked for.

One photo has no far side, so a viewer (and every pose estimator) sees less turn
than the mesh makes. How much less depends on the photo. It is measured once per
axis and side, on two probe pictures, when the head is first asked to turn
there. The measure has a bias of its own, and its readings are divided by that.
Whether the result is right is judged by a reading that shares nothing with this
one (benchmarks/pose_reading.py). This module knows neither meshes nor pixels: it
is handed a way to draw and a way to measure.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from studio.domain.pose import SAFE_DEGREES, HeadPose
from studio.engines.base import Image
from studio.engines.rig.fit import pose_of

Array = NDArray[Any]
PoseMeasure = Callable[[Image], "Array | None"]
"""Finds the rotation of the head in a picture, or None when there is no face."""

PROBE_DEGREES = 7.0
READ = {"yaw": (0.87, 0.87), "pitch": (0.87, 0.79)}
"""Degrees that the measure reads per degree turned, on the negative and the positive side.

On rendered people turned by 10 degrees it is about 1.06 of yaw, .91 of pitch down, .85 of pitch up. On a portrait the
landmark model also looks at the outline, which one photo cannot turn: these are the values at which the second reading
sees about what was asked.
"""
SEEN_SHARE = {"yaw": (0.7, 1.3), "pitch": (0.88, 1.3)}
"""Of the mesh's turn; a measurement outside is the detector's mistake.

A nod turns the whole outline along, so that little of it can be missed; on drawn faces the measure misses a third.
"""
PAST_SAFE = 0.75
"""Degrees of the mesh per degree asked beyond what one photo carries, where each costs more likeness than it shows."""


class TurnGauge:
    """Translates asked head turns into turns of the mesh, for one photo.

    Args:
        draw: draws the photo with the mesh turned by exactly this much.
        measure: finds the head's rotation in a picture.
        own: the head's rotation in the photo.  # (3, 3)
    """

    def __init__(self, draw: Callable[[HeadPose], Image], measure: PoseMeasure, own: Array) -> None:
        self._draw, self._measure, self._own = draw, measure, own
        self._turns: dict[tuple[str, int], tuple[Array, Array]] = {}

    def mesh_turn(self, head: HeadPose) -> HeadPose:
        """Return how to turn the mesh so that the picture shows `head`; roll needs no help."""
        yaw, pitch = self._about("yaw", head.yaw_degrees), self._about("pitch", head.pitch_degrees)
        return HeadPose(yaw, pitch, head.roll_degrees)

    def _about(self, axis: str, degrees: float) -> float:
        if abs(degrees) < 1e-4:
            return degrees
        side = 1 if degrees > 0 else -1
        if (axis, side) not in self._turns:
            self._turns[axis, side] = self._probe_side(axis, side)
        seen, turned = self._turns[axis, side]
        asked = abs(degrees)
        if asked > seen[-1]:
            return side * float(turned[-1] + PAST_SAFE * (asked - seen[-1]))
        return side * float(np.interp(asked, seen, turned))

    def _probe_side(self, axis: str, side: int) -> tuple[Array, Array]:
        """Return turns seen and turns made, rising from 0; the last lies near the safe limit."""
        first, (least, most) = PROBE_DEGREES, SEEN_SHARE[axis]
        seen = float(np.clip(side * self._seen(axis, side * first), first * least, first * most))
        second = SAFE_DEGREES * first / seen
        again = side * self._seen(axis, side * second)
        far = float(np.clip(again, max(seen + 0.5, second * least), second * most))
        return np.array([0.0, seen, far]), np.array([0.0, first, second])

    def _seen(self, axis: str, degrees: float) -> float:
        """Return the turn seen in the picture when the mesh turns by `degrees`."""
        rotation = self._measure(self._draw(HeadPose(**{f"{axis}_degrees": degrees})))
        if rotation is None:
            return degrees  # the detector lost the face (a drawing, an animal): trust the mesh
        return float(getattr(pose_of(rotation @ self._own.T), f"{axis}_degrees")) / READ[axis][degrees > 0]
