"""One face followed from frame to frame by its landmarks.

A frame is looked at once, through the window of the landmarks of the frame
before; the detectors are asked only at the beginning, after a cut, and while
the face is lost. Knows nothing of expressions.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NoReturn

import cv2
import numpy as np
from numpy.typing import NDArray

from studio.domain.face import faces_to_choose
from studio.engines.base import Image
from studio.engines.vision.analyser import VisionAnalyser
from studio.engines.vision.landmarks import eye_distance
from studio.errors import NoFaceError, UserInputError

Array = NDArray[np.floating]

LOWEST_SCORE = 0.5
_SEARCH_EVERY = 5
_EAGER_SEARCHES = 5
_SMALL, _COARSE = (32, 32), 4
# A cut changes the picture by much, and by much more than the frames before changed it.
_CUT_CHANGE, _CUT_RATIO = 22.0, 4.0
_JUMP = 0.6
"""Of the eye distance: a face does not move further from one frame to the next."""
_RESIZED = 1.35


@dataclass
class FollowedFrame:
    """One frame.

    Attributes:
        points: landmarks; of the last frame that showed the face where this one does not.  # (478, 3)
        found: whether the face was seen.
        is_cut: another shot begins.
    """

    points: NDArray[np.float32]
    found: bool
    is_cut: bool


class FaceFollower:
    """Follows one face; `several` says afterwards how many faces the frame showed in which it was chosen.

    Args:
        analyser: finds faces and landmarks.
        face_index: 0 the largest; None the largest as well.
    """

    def __init__(self, analyser: VisionAnalyser, face_index: int | None = None) -> None:
        self._analyser = analyser
        self._index = face_index
        self._points: NDArray[np.float32] | None = None
        self._small: Array | None = None
        self._usual = 0.0
        self._lost = 0
        self._looked_hard = False
        self.several = 0

    def next(self, image: Image) -> FollowedFrame | None:
        """Look at the next frame; None as long as no face was seen at all."""
        is_cut = self._is_cut(image)
        found = False
        if is_cut:
            self._lost = 0
        if self._points is not None and not is_cut and self._lost == 0:
            found = self._follow(image)
        if not found:
            found = self._search(image, everywhere=self._points is None and not self._looked_hard)
        self._lost = 0 if found else self._lost + 1
        return None if self._points is None else FollowedFrame(self._points, found, is_cut)

    def _follow(self, image: Image) -> bool:
        assert self._points is not None
        seen = self._analyser.track(image, self._points)
        size = eye_distance(self._points)
        moved = float(np.linalg.norm((seen.points[:468, :2] - self._points[:468, :2]).mean(0)))
        grown = eye_distance(seen.points) / max(size, 1e-6)
        if seen.score < LOWEST_SCORE or moved > _JUMP * size or not 1 / _RESIZED < grown < _RESIZED:
            return False
        self._points = seen.points
        return True

    def _search(self, image: Image, everywhere: bool) -> bool:
        """Ask the detectors; seldom once the face has been gone for a while."""
        if self._lost >= _EAGER_SEARCHES and self._lost % _SEARCH_EVERY:
            return False
        faces = self._analyser.detect_large(image)
        if not faces and everywhere:
            self._looked_hard = True
            faces = tuple(face.landmarks for face in self._analyser.detect(image))
        if not faces:
            return False
        if self._points is None:
            self.several = len(faces)
            if self._index is not None and self._index >= len(faces):
                return False
            self._points = faces[self._index or 0]
            return True
        self._points = min(faces, key=self._unlike)
        return True

    def _unlike(self, points: NDArray[np.float32]) -> float:
        """How far a face is from where ours was seen last, in its own size."""
        assert self._points is not None
        size = eye_distance(self._points)
        away = float(np.linalg.norm(points[:468, :2].mean(0) - self._points[:468, :2].mean(0))) / size
        return away + abs(float(np.log(eye_distance(points) / size)))

    def _is_cut(self, image: Image) -> bool:
        coarse = np.ascontiguousarray(image[::_COARSE, ::_COARSE, 1])  # green is most of the light
        small = cv2.resize(coarse, _SMALL, interpolation=cv2.INTER_AREA).astype(np.float32)
        before, self._small = self._small, small
        if before is None:
            return False
        change = float(np.abs(small - before).mean())
        is_cut = change > _CUT_CHANGE and change > _CUT_RATIO * self._usual
        self._usual = change if self._usual == 0 else self._usual + 0.2 * (min(change, _CUT_CHANGE) - self._usual)
        return is_cut


def refuse(several: int, face_index: int | None) -> NoReturn:
    """Refuse a video in which nobody could be followed.

    Args:
        several: faces in the frame in which one was chosen.
        face_index: the one that was asked for.

    Raises:
        UserInputError: there is no such face.
        NoFaceError: there is none at all.
    """
    if several and face_index is not None:
        raise UserInputError(
            f"There is no face {face_index + 1} in the video: it shows {several}.", faces_to_choose(several)
        )
    raise NoFaceError(
        "No face was found in the video.", "Use a clip that shows one face from the front, well lit and large."
    )
