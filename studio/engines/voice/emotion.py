"""Feelings under the words: upper face in full, mouth with care.

Eight emotions as ARKit offsets (EMFACS cores, docs/talking_mouth.md).
The upper face shows them all the time; the corners of the mouth keep 65 %
while speaking, lips and jaw at most 30 %, and the closure pass afterwards
takes what is in its way. Nothing is guessed from the voice: valence cannot be
heard safely.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from studio.domain.expression import ARKIT_NAMES, INDEX
from studio.errors import UserInputError

FloatArray = NDArray[np.float32]

_ATTACK_SECONDS, _RELEASE_SECONDS = 0.3, 0.6
_CORNERS_WHILE_SPEAKING, _LIPS_WHILE_SPEAKING = 0.65, 0.30


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
ALIASES = {"happy": "joy", "happiness": "joy", "sad": "sadness", "surprised": "surprise", "afraid": "fear",
           "angry": "anger", "disgusted": "disgust", "tired": "calm"}  # fmt: skip

_CORNERS = ("mouthSmile", "mouthFrown", "mouthDimple")


@dataclass(frozen=True)
class Mood:
    """The sum of the chosen emotions, ready to be laid over a performance.

    Attributes:
        upper, corners, lips: offsets of eyes, brows, cheeks and nose; of the mouth's corners; of lips and jaw.  # (52,)
        head_degrees: yaw, pitch, roll.  # (3,)
        head_gain, head_speed: factors on the head's range and tempo.
    """

    upper: FloatArray
    corners: FloatArray
    lips: FloatArray
    head_degrees: FloatArray
    head_gain: float
    head_speed: float


def mood(emotions: Sequence[tuple[str, float]]) -> Mood:
    """Add up emotions.

    Args:
        emotions: names with intensities 0..1.

    Raises:
        UserInputError: an unknown name or an intensity outside 0..1.
    """
    total = np.zeros(len(ARKIT_NAMES), np.float32)
    head = np.zeros(3, np.float32)
    gain = speed = 1.0
    for name, intensity in emotions:
        key = ALIASES.get(name.lower(), name.lower())
        if key == "neutral":
            continue
        if key not in EMOTIONS:
            raise UserInputError(f"There is no emotion named {name!r}.", f"Choose from {', '.join(EMOTIONS)}.")
        if not 0 <= intensity <= 1:
            raise UserInputError(
                f"The intensity of {name} is {intensity:g}, but goes from 0 to 1.", "Use e.g. joy:0.6."
            )
        emotion = EMOTIONS[key]
        total += intensity * _columns(emotion.weights)
        head += intensity * np.array(emotion.head_degrees, np.float32)
        gain *= 1 + intensity * (emotion.head_gain - 1)
        speed *= 1 + intensity * (emotion.head_speed - 1)
    total = np.clip(total, 0, 1).astype(np.float32)
    corner = np.array([n.startswith(_CORNERS) for n in ARKIT_NAMES])
    lip = np.array([n.startswith(("mouth", "jaw")) for n in ARKIT_NAMES]) & ~corner
    return Mood(total * ~(corner | lip), total * corner, total * lip, head, float(gain), float(speed))


def lay(felt: Mood, activity: FloatArray, frame_rate_hz: float) -> FloatArray:
    """Return the mood's offsets over time.

    Args:
        felt: what `mood` returned.
        activity: 0 silent .. 1 speaking, with slopes.  # (T,)
        frame_rate_hz: rows per second.

    Returns:
        Offsets, rising over the first 0.3 s and falling over the last 0.6 s.  # (T, 52)
    """
    at = np.arange(len(activity)) / frame_rate_hz
    left = (len(activity) - 1) / frame_rate_hz - at
    swell = np.clip(np.minimum((at + 1 / frame_rate_hz) / _ATTACK_SECONDS, left / _RELEASE_SECONDS + 0.2), 0, 1)
    corners = 1 - (1 - _CORNERS_WHILE_SPEAKING) * activity
    lips = 1 - (1 - _LIPS_WHILE_SPEAKING) * activity
    face = felt.upper[None] + corners[:, None] * felt.corners[None] + lips[:, None] * felt.lips[None]
    return np.asarray(swell[:, None] * face, np.float32)


def _columns(weights: Mapping[str, float]) -> FloatArray:
    out = np.zeros(len(ARKIT_NAMES), np.float32)
    for stem, amount in weights.items():
        for name in (stem, stem + "Left", stem + "Right"):
            if name in INDEX:
                out[INDEX[name]] = amount
    return out
