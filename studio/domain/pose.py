"""Head pose in the studio's own convention.

Degrees, as the viewer sees the picture: positive yaw turns the nose to the
right of the picture, positive pitch raises it, positive roll turns the head
clockwise. Angles are relative to the photo unless a name says `absolute`.
This module knows nothing of cameras or meshes.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

# Where one photo still carries the turn, and where the picture breaks
# (measured on the portraits used for development, see docs/rig.md).
SAFE_DEGREES = 12.0
LIMIT_DEGREES: dict[str, float] = {"yaw": 20.0, "pitch": 15.0, "roll": 20.0}


@dataclass(frozen=True)
class HeadPose:
    """Rotation of the head in degrees (see the module's convention)."""

    yaw_degrees: float = 0.0
    pitch_degrees: float = 0.0
    roll_degrees: float = 0.0

    def as_array(self) -> NDArray[np.float32]:
        """Return yaw, pitch, roll.  # (3,)"""
        return np.array([self.yaw_degrees, self.pitch_degrees, self.roll_degrees], np.float32)

    def clamped(self) -> HeadPose:
        """Return the pose held inside LIMIT_DEGREES."""
        return HeadPose(
            float(np.clip(self.yaw_degrees, -LIMIT_DEGREES["yaw"], LIMIT_DEGREES["yaw"])),
            float(np.clip(self.pitch_degrees, -LIMIT_DEGREES["pitch"], LIMIT_DEGREES["pitch"])),
            float(np.clip(self.roll_degrees, -LIMIT_DEGREES["roll"], LIMIT_DEGREES["roll"])),
        )
