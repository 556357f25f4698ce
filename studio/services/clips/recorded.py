"""Recorded motion made ready for a clip: a file of curves, at the clip's rate, as much of each layer as was asked for.

The curves come from Live Link Face, from another program that writes its table, or from a clip of this studio. What
speech alone has (articulation, asymmetry, emotions) has no meaning here.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from studio.domain.expression import ARKIT_NAMES
from studio.domain.performance import Performance
from studio.engines.base import Amounts
from studio.errors import UserInputError

if TYPE_CHECKING:
    from studio.services.clips.request import AnimationRequest

_LAYERS = {"jaw": "jaw", "mouth": "lips", "eyeBlink": "blink", "eyeLook": "gaze", "brow": "brows"}
"""Beginning of a weight's name -> the amount that scales it; the others are taken as they are."""


def recorded_motion(request: AnimationRequest, path: Path) -> Performance:
    """Return the motion of a clip that is driven by curves.

    Args:
        path: the curves.

    Raises:
        UserInputError: the part begins behind their end, or another format.
        UnreadableMediaError: damaged.
    """
    from studio.engines.media.curves import read_curves

    motion = read_curves(path)
    if request.start_seconds >= motion.duration_seconds:
        raise UserInputError(
            f"The part starts at {request.start_seconds:g} s, the motion ends at {motion.duration_seconds:.1f} s.",
            "Choose an earlier start.",
        )
    wanted = motion.part(request.start_seconds, request.seconds).at_rate(float(request.frame_rate_hz))
    return with_amounts(wanted, request.amounts)


def with_amounts(motion: Performance, amounts: Amounts) -> Performance:
    """Scale each layer of a motion; 1 leaves it to the bit."""
    layers = (next((layer for start, layer in _LAYERS.items() if name.startswith(start)), "") for name in ARKIT_NAMES)
    factors = np.array([getattr(amounts, layer, 1.0) for layer in layers], np.float32)  # (52,)
    return replace(
        motion,
        weights=motion.weights * factors,
        head_degrees=motion.head_degrees * np.float32(amounts.head),
        breath=motion.breath * np.float32(amounts.breath),
    )
