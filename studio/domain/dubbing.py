"""When the mouth of a clip may be spoken anew, and when it stays as it was filmed.

Knows nothing of pixels: frame by frame it is said whether the face was seen and
how far it is turned, and what comes out is a share that eases in and out, so
that no frame jumps between the filmed mouth and the spoken one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from studio.domain.easing import smoothstep
from studio.domain.expression import ARKIT_NAMES
from studio.domain.performance import Performance

FURTHEST_YAW_DEGREES = 34.0
"""Beyond this a corner of the mouth is out of sight, and the filmed mouth stays."""
EASE_SECONDS = 0.2
SPOKEN = np.array([name.startswith(("mouth", "jaw", "tongue")) or name == "cheekPuff" for name in ARKIT_NAMES])
"""The weights that speech sets; all others stay those of the frame."""
_RESTING = np.array(
    [name.startswith(("mouthSmile", "mouthFrown", "mouthDimple", "mouthPress")) for name in ARKIT_NAMES]
)
_SAME_RATE = 0.01  # 29.97 is 30
_RESTING_SHARE = 0.6
"""So much of a clip's own look about the mouth goes on under the new speech: a whole smile would hold lips apart."""


def offered_rate(seen_hz: float, offered: Sequence[int]) -> int:
    """Return the frame rate of a clip whose frames come at `seen_hz`: its own, half of it, or the next that holds all.

    Args:
        offered: rates that clips can have, rising.
    """
    for rate in (seen_hz, seen_hz / 2):
        for hz in offered:
            if abs(hz / rate - 1) < _SAME_RATE:
                return hz
    return next((hz for hz in offered if hz >= seen_hz), offered[-1])


def spoken_share(
    found: NDArray[np.bool_], shot: NDArray[np.int32], yaw_degrees: NDArray[np.floating], rate_hz: float
) -> NDArray[np.float64]:
    """Return how much of each frame's mouth is spoken anew.

    Args:
        found: whether the face was seen.  # (T,)
        shot: number of the shot; nothing eases across a cut.  # (T,)
        yaw_degrees: of the head.  # (T,)
        rate_hz: frames per second.

    Returns:
        0 as filmed, 1 spoken.  # (T,)
    """
    able = found & (np.abs(yaw_degrees) <= FURTHEST_YAW_DEGREES)
    reach = max(1, round(EASE_SECONDS * rate_hz))
    out = np.zeros(len(found))
    for number in np.unique(shot):
        rows = np.flatnonzero(shot == number)
        unable = np.flatnonzero(~able[rows])
        away = np.full(len(rows), np.inf)
        if len(unable):
            away = np.abs(np.arange(len(rows))[:, None] - unable[None]).min(1)
        out[rows] = smoothstep(away / reach)
    return out


def mouth_only(performance: Performance) -> Performance:
    """Return what of a performance a filmed face takes: the mouth; head, eyes and breath are the film's."""
    return replace(
        performance,
        weights=np.where(SPOKEN, performance.weights, 0).astype(np.float32),
        head_degrees=np.zeros_like(performance.head_degrees),
        breath=np.zeros_like(performance.breath),
    )


def resting_look(weights: NDArray[np.floating], found: NDArray[np.bool_]) -> NDArray[np.float32]:
    """Return what a clip's own mouth shows all along, which goes on under other words: a friendly look stays one.

    Args:
        weights: of each frame.  # (T, 52)
        found: whether the face was seen.  # (T,)
    """
    seen = weights[found] if found.any() else weights
    usual = np.percentile(seen, 30, axis=0) * _RESTING * _RESTING_SHARE
    return np.asarray(usual, np.float32)
