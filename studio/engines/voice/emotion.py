"""Feelings under the words: upper face in full, mouth with care.

The upper face shows them all the time; the corners of the mouth keep 65 %
while speaking, lips and jaw at most 30 %, and the closure pass afterwards
takes what is in its way. Nothing is guessed from the voice: valence cannot be
heard safely.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from studio.domain.emotion import CORNERS_WHILE_SPEAKING, EMOTIONS, IS_CORNER, IS_LIP, LIPS_WHILE_SPEAKING
from studio.domain.expression import ARKIT_NAMES
from studio.errors import UserInputError

FloatArray = NDArray[np.float32]

_ATTACK_SECONDS, _RELEASE_SECONDS = 0.3, 0.6
ALIASES = {"happy": "joy", "happiness": "joy", "sad": "sadness", "surprised": "surprise", "afraid": "fear",
           "angry": "anger", "disgusted": "disgust", "tired": "calm"}  # fmt: skip


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
        total += intensity * emotion.offsets
        head += intensity * np.array(emotion.head_degrees, np.float32)
        gain *= 1 + intensity * (emotion.head_gain - 1)
        speed *= 1 + intensity * (emotion.head_speed - 1)
    total = np.clip(total, 0, 1).astype(np.float32)
    upper = total * ~(IS_CORNER | IS_LIP)
    return Mood(upper, total * IS_CORNER, total * IS_LIP, head, float(gain), float(speed))


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
    corners = 1 - (1 - CORNERS_WHILE_SPEAKING) * activity
    lips = 1 - (1 - LIPS_WHILE_SPEAKING) * activity
    face = felt.upper[None] + corners[:, None] * felt.corners[None] + lips[:, None] * felt.lips[None]
    return np.asarray(swell[:, None] * face, np.float32)
