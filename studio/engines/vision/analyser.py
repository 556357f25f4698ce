"""The vision engine: every face of a picture, the person matte, identity.

Faces are looked for in steps, each dearer than the last, until the landmark
model confirms some: two detectors on the whole picture; a third one; the
picture with a wide border (faces that fill it); turned by quarter turns; in
overlapping tiles (small faces, and again whenever a picture seems to show a
group). The landmark model's verdict decides, not the detector's.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from studio.domain.face import DetectedFace, FaceEmbedding
from studio.domain.traits import Measures
from studio.engines.base import Image, Matte
from studio.engines.vision.appearance import measure
from studio.engines.vision.crops import Window
from studio.engines.vision.detector import DetectorName, find_candidates
from studio.engines.vision.embedding import DlibEmbedder, InsightfaceEmbedder, InsightfacePack
from studio.engines.vision.face_mask import face_mask
from studio.engines.vision.fingerprint import fingerprint
from studio.engines.vision.landmarks import MESH_POINTS, Landmarks, find_landmarks, refine, window_of, wobble
from studio.engines.vision.likely import is_clear, judge
from studio.engines.vision.matte import person_matte
from studio.engines.vision.pose import pose_of, rotation_from_landmarks
from studio.engines.vision.quality import measure_quality
from studio.engines.vision.rendered_faces import RenderedFaceEmbedder
from studio.engines.vision.sessions import ModelSessions

_DETECTION_SIDE = 1280  # pictures are shrunk to this for detection
# Borders as a share of the longer side, on each side.
_MIRRORED_BORDER, _WIDE_BORDER = 0.15, 0.5
_GRAY = (128, 128, 128)
_SMALL_FACE = 0.12  # of the picture's longer side: below this, others may have been missed
_SAME_FACE = 0.45  # intersection over union of boxes
_MOST_WOBBLE = 0.09  # of the eye distance: what moves more than that under another look is no face
_LOWEST_SCORE = 0.02  # landmark score after a second look below which a third is a waste


class VisionAnalyser:
    """Implements `studio.engines.base.FaceAnalyser`; safe to share between threads."""

    def __init__(self, models_dir: Path, insightface: InsightfacePack | None = None) -> None:
        """Remember where the models are; they are opened when first needed.

        Args:
            models_dir: the folder assets/models.
            insightface: use this model pack for `embed` instead of dlib.

        Raises:
            EngineUnavailableError: the pack's licence was not accepted, or its
                file is missing.
        """
        self._sessions = ModelSessions(models_dir)
        self._embedder = DlibEmbedder(models_dir) if insightface is None else InsightfaceEmbedder(insightface)
        self._rendered = RenderedFaceEmbedder(models_dir)

    def detect(self, image: Image) -> tuple[DetectedFace, ...]:
        """Return every face, largest first; empty when there is none.

        Args:
            image: RGB, any size.  # (H, W, 3) uint8

        Raises:
            ValueError: the array is not such a picture.
            EngineUnavailableError: a model file is missing.
        """
        _check(image)
        found: list[DetectedFace] = []
        for windows in self._steps(image, found):
            for window in windows:
                if any(_shows(window, f) for f in found):
                    continue
                face = self._look(image, window)
                if face is not None:
                    _add(found, face)
        return tuple(sorted(found, key=lambda f: -_area(f.box)))

    def matte(self, image: Image) -> Matte:
        """Return the person matte at the picture's own size.  # (H, W) uint8, 255 person

        Raises:
            ValueError: the array is not a picture.
            EngineUnavailableError: a model file is missing.
        """
        _check(image)
        return person_matte(self._sessions, image)

    def embed(self, image: Image, face: DetectedFace, *, rendered: bool = False) -> FaceEmbedding:
        """Return the identity embedding of one face; it names its embedder.

        Args:
            rendered: compare as people of the studio's own head model are told apart, not as in photographs.

        Raises:
            ValueError: the array is not a picture.
            EngineUnavailableError: dlib or its model file is missing; or torch, or the file of `rendered`.
        """
        _check(image)
        return self._rendered.embed(image, face) if rendered else self._embedder.embed(image, face)

    def face_mask(self, image: Image, face: DetectedFace) -> Matte:
        """Return where one face is: 255 inside, 0 outside, soft between.  # (H, W)

        Raises:
            ValueError: the array is not a picture.
        """
        _check(image)
        return face_mask(image, face)

    def measure(self, image: Image, face: DetectedFace, matte: Matte) -> Measures:
        """Return what a picture shows of one person besides who it is.

        Raises:
            ValueError: the array is not a picture.
        """
        _check(image)
        return measure(image, face, matte)

    def fingerprint(self, image: Image) -> int:
        """Return 64 bits in which pictures that look alike differ little.

        Raises:
            ValueError: the array is not a picture.
        """
        _check(image)
        return fingerprint(image)

    def track(self, image: Image, previous: NDArray[np.float32]) -> Landmarks:
        """Follow a face from one video frame to the next, in one look.

        Args:
            image: the next frame, RGB.  # (H, W, 3) uint8
            previous: landmarks in the frame before.  # (478, 3)

        Returns:
            Landmarks and score; below 0.5 the face is lost and `detect` should
            be asked again.
        """
        _check(image)
        return find_landmarks(self._sessions, image, window_of(previous))

    def detect_large(self, image: Image) -> tuple[NDArray[np.float32], ...]:
        """Return the landmarks of faces that are easily found, largest first: a video's frames pass quickly.

        Args:
            image: RGB.  # (H, W, 3) uint8

        Returns:
            Each (478, 3); faces that only `detect` finds (small, cut, turned over) are left out.
        """
        _check(image)
        found: list[DetectedFace] = []
        for window in self._windows(image, ("face_short", "face_full"), 1.0):
            if any(_shows(window, f) for f in found):
                continue
            face = self._look(image, window)
            if face is not None:
                _add(found, face)
        return tuple(f.landmarks for f in sorted(found, key=lambda f: -_area(f.box)))

    # -- finding -----------------------------------------------------------

    def _steps(self, image: Image, found: list[DetectedFace]) -> Iterator[list[Window]]:
        """Yield windows to look through, step by step, as long as they may add something."""
        small, scale = _shrunk(image)
        longer = max(image.shape[:2])
        yield self._windows(small, ("face_short", "face_full"), scale)
        # Where there are several, faces in the back or cut by the border are easily missed;
        # a mirrored border completes the cut ones for the detector.
        if len(found) != 1:
            yield self._windows(small, ("face_back",), scale)
            yield self._bordered_windows(small, _MIRRORED_BORDER, ("face_short", "face_back"), scale)
        if not found:
            yield self._bordered_windows(small, _WIDE_BORDER, ("face_short", "face_full"), scale)
        if not found:
            for turns in (1, 3, 2):
                yield self._turned_windows(small, turns, scale)
        smallest = min((max(_extent(f.box)) for f in found), default=0.0)
        if len(found) != 1 or smallest < _SMALL_FACE * longer:
            for tile, x, y in _tiles(small):
                yield self._windows(tile, ("face_short", "face_full"), scale, (x, y))

    def _windows(
        self, picture: Image, names: tuple[DetectorName, ...], scale: float, origin: tuple[int, int] = (0, 0)
    ) -> list[Window]:
        windows = []
        for name in names:
            for candidate in find_candidates(self._sessions, name, picture):
                window = candidate.window()
                x, y = ((c + o) / scale for c, o in zip(window.center, origin, strict=True))
                windows.append(Window((x, y), window.side / scale, window.angle))
        return windows

    def _bordered_windows(
        self, small: Image, share: float, names: tuple[DetectorName, ...], scale: float
    ) -> list[Window]:
        """Detect with a border around the picture; keep what is centered inside the picture."""
        height, width = small.shape[:2]
        border = min(round(max(height, width) * share), 4 * min(height, width))
        kind = cv2.BORDER_REFLECT if share == _MIRRORED_BORDER else cv2.BORDER_CONSTANT
        padded = cv2.copyMakeBorder(small, border, border, border, border, kind, value=_GRAY)
        windows = self._windows(np.asarray(padded, np.uint8), names, scale, (-border, -border))
        slack = 0.03 * max(height, width)
        return [
            w
            for w in windows
            if -slack <= w.center[0] * scale <= width + slack and -slack <= w.center[1] * scale <= height + slack
        ]

    def _turned_windows(self, small: Image, turns: int, scale: float) -> list[Window]:
        """Detect on the picture turned by quarter turns (counter-clockwise), and turn the windows back."""
        height, width = small.shape[:2]
        windows = self._windows(np.ascontiguousarray(np.rot90(small, turns)), ("face_short", "face_full"), 1.0)
        back = []
        for window in windows:
            x, y = window.center
            x, y = {1: (width - y, x), 2: (width - x, height - y), 3: (y, height - x)}[turns]
            back.append(Window((x / scale, y / scale), window.side / scale, window.angle + turns * np.pi / 2))
        return back

    def _look(self, image: Image, window: Window) -> DetectedFace | None:
        landmarks = refine(self._sessions, image, find_landmarks(self._sessions, image, window), 1)
        if landmarks.score < _LOWEST_SCORE:
            return None
        landmarks = refine(self._sessions, image, landmarks, 1)
        if not is_clear(landmarks) and wobble(self._sessions, image, landmarks) > _MOST_WOBBLE:
            return None
        rotation, residual = rotation_from_landmarks(landmarks.points)
        head = pose_of(rotation)
        likely = judge(landmarks, residual)
        if likely is None:
            return None
        points = landmarks.points[:MESH_POINTS, :2]
        low, high = points.min(0), points.max(0)
        return DetectedFace(
            box=(float(low[0]), float(low[1]), float(high[0]), float(high[1])),
            score=landmarks.score,
            landmarks=landmarks.points,
            head=head,
            quality=measure_quality(image, landmarks, head),
            likely=likely,
        )


def _check(image: Image) -> None:
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3 or min(image.shape) < 1:
        raise ValueError(f"expected an RGB uint8 picture, got {image.dtype} {image.shape}")


def _shrunk(image: Image) -> tuple[Image, float]:
    longer = max(image.shape[:2])
    if longer <= _DETECTION_SIDE:
        return image, 1.0
    scale = _DETECTION_SIDE / longer
    size = (max(round(image.shape[1] * scale), 1), max(round(image.shape[0] * scale), 1))
    return np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), np.uint8), scale


def _tiles(picture: Image) -> Iterator[tuple[Image, int, int]]:
    """Yield overlapping tiles of half the longer side, with their origins."""
    height, width = picture.shape[:2]
    side = max(height, width) // 2
    if side < 32:
        return
    for y in range(0, max(height - side // 2, 1), side // 2):
        for x in range(0, max(width - side // 2, 1), side // 2):
            yield np.ascontiguousarray(picture[y : y + side, x : x + side]), x, y


def _shows(window: Window, face: DetectedFace) -> bool:
    """Say whether a window only shows a face that was found already."""
    other = window_of(face.landmarks)
    distance = float(np.hypot(window.center[0] - other.center[0], window.center[1] - other.center[1]))
    return distance < 0.15 * other.side and 0.6 < window.side / other.side < 1.7


def _extent(box: tuple[float, float, float, float]) -> tuple[float, float]:
    return box[2] - box[0], box[3] - box[1]


def _area(box: tuple[float, float, float, float]) -> float:
    width, height = _extent(box)
    return width * height


def _overlap(a: tuple[float, float, float, float], b: tuple[float, float, float, float]) -> float:
    width = max(min(a[2], b[2]) - max(a[0], b[0]), 0)
    height = max(min(a[3], b[3]) - max(a[1], b[1]), 0)
    shared = width * height
    return shared / max(_area(a) + _area(b) - shared, 1e-9)


def _add(found: list[DetectedFace], face: DetectedFace) -> None:
    """Keep the better of two views of one face."""
    for index, other in enumerate(found):
        if _overlap(face.box, other.box) > _SAME_FACE:
            if face.score > other.score:
                found[index] = face
            return
    found.append(face)
