"""Where photos are cut so that their faces stand side by side at one height, and whose part of a picture is whose."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from studio.domain.easing import smoothstep
from studio.domain.face import DetectedFace
from studio.errors import UserInputError

MOST_PEOPLE = 4
USUAL_SIDE = 1280
"""Pixels of a frame's longer side."""
_CHIN, _HAIRLINE = 152, 10
_FACE_SHARES = np.round(np.arange(0.36, 0.86, 0.01), 2)
"""Of a panel's height: how large faces may be; the smallest that every photo has room for is taken."""
_EYE_LINE = 0.42
_WIDTHS = {2: 8 / 9, 3: 0.75, 4: 0.62}
"""Of a panel against its height, by how many people there are."""
_NARROWEST = 0.5
_DOWN = 0.25
"""How much a height of a face below it counts: a body hangs there, and others may stand before it."""
_HAIR = 0.8
"""In heights of a face around the eyes: so far around a head all is its own before it is that of somebody behind."""
_SOFT = 0.05
"""How softly one person's part of a picture passes over into another's, in heights of a face."""


@dataclass(frozen=True)
class FaceInPhoto:
    """A face as far as it matters for the cut.

    Attributes:
        width, height: of the photo, pixels.
        x, y: between the eyes, pixels.
        size: from chin to hairline, pixels.
    """

    width: int
    height: int
    x: float
    y: float
    size: float

    @classmethod
    def of(cls, face: DetectedFace, width: int, height: int) -> FaceInPhoto:
        """Measure a face of a photo."""
        marks = face.landmarks
        eyes = marks[[33, 133, 362, 263], :2].mean(0)
        size = float(np.linalg.norm(marks[_CHIN, :2] - marks[_HAIRLINE, :2]))
        return cls(width, height, float(eyes[0]), float(eyes[1]), size)


@dataclass(frozen=True)
class Window:
    """What is cut out of a photo, in its pixels, and how large it becomes."""

    left: float
    top: float
    right: float
    bottom: float
    width: int
    height: int

    @property
    def scale(self) -> float:
        """Pixels of the panel for one of the photo."""
        return self.height / (self.bottom - self.top)


def windows(faces: Sequence[FaceInPhoto], longer_side: int = USUAL_SIDE) -> tuple[Window, ...]:
    """Cut every photo so that all faces are equally large, their eyes on one line, and nothing is left empty.

    Args:
        faces: from left to right, 2 to MOST_PEOPLE.
        longer_side: of the whole frame, pixels; about, for sides are even.

    Returns:
        Panels of one height and even sides.

    Raises:
        UserInputError: the photos cannot be cut alike.
    """
    for share in _FACE_SHARES:
        low, high = 0.3, 0.62
        for face in faces:
            tall = face.size / share
            low, high = max(low, 1 - (face.height - face.y) / tall), min(high, face.y / tall)
        if low > high or any(face.size / share > face.height for face in faces):
            continue
        widest = min(share * face.width / face.size for face in faces)
        ratio = min(_WIDTHS.get(len(faces), _NARROWEST), widest)
        if ratio >= _NARROWEST:
            return _cut(faces, float(share), float(np.clip(_EYE_LINE, low, high)), ratio, longer_side)
    raise UserInputError(
        "The faces cannot be put side by side at one height: one photo is cut too near to its face.",
        "Use a photo with more room around the face.",
    )


def _cut(
    faces: Sequence[FaceInPhoto], share: float, eye_line: float, ratio: float, longer_side: int
) -> tuple[Window, ...]:
    height = _even(min(longer_side / (ratio * len(faces)), longer_side))
    width = _even(ratio * height)
    out = []
    for face in faces:
        tall = face.size / share
        wide = tall * width / height
        # a rounded width may be a hair too wide for the narrowest photo
        tall, wide = (v * min(1.0, face.width / wide) for v in (tall, wide))
        top = float(np.clip(face.y - eye_line * tall, 0, face.height - tall))
        left = float(np.clip(face.x - wide / 2, 0, face.width - wide))
        out.append(Window(left, top, left + wide, top + tall, width, height))
    return tuple(out)


def _even(value: float) -> int:
    return max(2, 2 * round(value / 2))


def whose(faces: Sequence[FaceInPhoto], person: int, shape: tuple[int, int]) -> NDArray[np.float32]:
    """Return which part of a picture belongs to one of the people in it.

    The nearer face has a pixel, in sizes of the faces; downwards is near, for a body hangs below its face. Around a
    head that is lower in the picture than others its own hair comes first: it stands before them.

    Args:
        person: index of the face.
        shape: height and width of the picture.

    Returns:
        1 inside, 0 outside, soft between; all people's parts add up to 1 at most.  # (H, W)
    """
    y, x = np.mgrid[: shape[0], : shape[1]].astype(np.float32)
    away = []
    for face in faces:
        down = (y - face.y) / face.size
        aside = (x - face.x) / face.size
        away.append(np.hypot(aside, np.where(down > 0.3, _DOWN * (down - 0.3), down - 0.3)))
    for i, face in enumerate(faces):  # whoever is lower in the picture stands before the others
        before = [j for j, other in enumerate(faces) if other.y > face.y + 0.3 * face.size]
        away[i] = away[i] + np.max([np.maximum(_HAIR - away[j], 0) for j in before], axis=0, initial=0)
    own = away[person]
    others = [d for i, d in enumerate(away) if i != person]
    if not others:
        return np.ones(shape, np.float32)
    lead = (np.min(others, axis=0) - own) / 2
    return np.asarray(smoothstep(lead / _SOFT), np.float32)
