"""The one table of emotions, as offsets of ARKit weights.

Eight emotions (EMFACS cores, docs/talking_mouth.md). How much of the mouth they
may have while it speaks stands here too; when they come and go does not.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from studio.domain.expression import ARKIT_NAMES, INDEX

CORNERS_WHILE_SPEAKING, LIPS_WHILE_SPEAKING = 0.65, 0.30
"""Share of an emotion that the corners of the mouth keep while it speaks, and that lips and jaw keep."""
_CORNERS = ("mouthSmile", "mouthFrown", "mouthDimple")
IS_CORNER: NDArray[np.bool_] = np.array([n.startswith(_CORNERS) for n in ARKIT_NAMES])
IS_LIP: NDArray[np.bool_] = np.array([n.startswith(("mouth", "jaw")) for n in ARKIT_NAMES]) & ~IS_CORNER


@dataclass(frozen=True)
class Emotion:
    """One emotion at full intensity.

    Attributes:
        weights: offsets by stem (both sides) or by full ARKit name.
        head_degrees: yaw, pitch, roll added to the head.
        head_gain, head_speed: factors on range and tempo of the head's motion.
    """

    weights: Mapping[str, float]
    head_degrees: tuple[float, float, float] = (0.0, 0.0, 0.0)
    head_gain: float = 1.0
    head_speed: float = 1.0

    @property
    def offsets(self) -> NDArray[np.float32]:
        """The weights in ARKIT_NAMES' order.  # (52,)"""
        out = np.zeros(len(ARKIT_NAMES), np.float32)
        for stem, amount in self.weights.items():
            for name in (stem, stem + "Left", stem + "Right"):
                if name in INDEX:
                    out[INDEX[name]] = amount
        return out


EMOTIONS: dict[str, Emotion] = {
    "joy": Emotion({"cheekSquint": 0.60, "mouthSmile": 0.60, "eyeSquint": 0.25, "mouthDimple": 0.10,
                    "browOuterUp": 0.10}, head_gain=1.1),
    "sadness": Emotion({"browInnerUp": 0.70, "browDown": 0.20, "mouthFrown": 0.55, "mouthShrugLower": 0.25,
                        "eyeSquint": 0.10, "eyeLookDown": 0.12}, (0, -4, 0), head_gain=0.5),
    "surprise": Emotion({"browInnerUp": 0.75, "browOuterUp": 0.70, "eyeWide": 0.55, "jawOpen": 0.22,
                         "mouthFunnel": 0.08}, (0, 1.5, 0)),
    "fear": Emotion({"browInnerUp": 0.75, "browOuterUp": 0.30, "browDown": 0.25, "eyeWide": 0.60, "eyeSquint": 0.15,
                     "mouthStretch": 0.40, "mouthLowerDown": 0.10, "jawOpen": 0.08}, head_gain=0.6, head_speed=1.3),
    "anger": Emotion({"browDown": 0.80, "eyeWide": 0.25, "eyeSquint": 0.40, "noseSneer": 0.20, "mouthPress": 0.35,
                      "mouthRollUpper": 0.12, "mouthRollLower": 0.12, "mouthShrugLower": 0.10, "jawForward": 0.10},
                     (0, -1.5, 0), head_gain=1.1, head_speed=1.3),
    "disgust": Emotion({"noseSneer": 0.70, "mouthUpperUp": 0.40, "browDown": 0.40, "eyeSquint": 0.35,
                        "cheekSquint": 0.30, "mouthShrugUpper": 0.15, "mouthFrown": 0.20, "mouthShrugLower": 0.20}),
    "contempt": Emotion({"mouthSmileRight": 0.25, "mouthDimpleRight": 0.45, "eyeSquintRight": 0.10,
                         "browDownLeft": 0.10}, (0, 0, 3)),
    "calm": Emotion({"eyeBlink": 0.2, "browInnerUp": 0.10, "mouthShrugLower": 0.08}, (0, -2, 0), head_gain=0.7),
}  # fmt: skip
