"""A head seen from around: as if the camera went a short way about it and came back, within what one photo carries.

Only the head turns in the picture; shoulders and ground stay, for one photo has no other side of them.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Annotated, Literal

import numpy as np
from pydantic import Field

from studio.domain.easing import smoothstep
from studio.domain.gaze import gaze_weights
from studio.domain.performance import Performance

FURTHEST_YAW_DEGREES, FURTHEST_PITCH_DEGREES = 15.0, 6.0
_MOST_LOOK = 0.75


@dataclass(frozen=True)
class Orbit:
    """The way of the camera.

    Attributes:
        yaw_degrees: as far to each side.
        pitch_degrees: as far up and down; 0 stays level, as on a slider.
        seconds: for one way around and back to the middle.
        gaze: the eyes stay on the camera, or on what they looked at in the photo.
    """

    yaw_degrees: Annotated[float, Field(ge=0, le=FURTHEST_YAW_DEGREES)] = 12.0
    pitch_degrees: Annotated[float, Field(ge=0, le=FURTHEST_PITCH_DEGREES)] = 3.0
    seconds: Annotated[float, Field(ge=2, le=30)] = 6.0
    gaze: Literal["camera", "world"] = "camera"


def seen_from_around(performance: Performance, orbit: Orbit) -> Performance:
    """Return a performance of a face that rests, seen by a camera that goes around it.

    The way begins and ends in the middle, without a jerk, and goes to the right of the picture first.

    Args:
        performance: what the face does by itself, written without glances.
    """
    times = np.arange(len(performance)) / performance.frame_rate_hz
    round_ = 2 * np.pi * times / orbit.seconds
    begins = smoothstep(times / min(0.8, orbit.seconds / 4))
    ends = 1 - smoothstep((times - times[-1:] + 0.8) / 0.8) if len(times) else begins
    head = np.array(performance.head_degrees, np.float64)
    turn = np.zeros((len(times), 2))
    turn[:, 0] = orbit.yaw_degrees * np.sin(round_)
    turn[:, 1] = orbit.pitch_degrees * np.sin(2 * round_)
    turn *= (begins * ends)[:, None]
    head[:, :2] += turn
    weights = np.array(performance.weights, np.float32)
    if orbit.gaze == "camera":
        for column, values in gaze_weights(-turn, _MOST_LOOK):
            weights[:, column] = np.clip(weights[:, column] + values, 0, 1)
    return replace(performance, weights=weights, head_degrees=head.astype(np.float32))
