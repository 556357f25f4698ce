"""Pictures made ready to move, kept for a while because making them costs time.

One path leads from bytes to a portrait, whoever asks: decode, reduce to
WORKING_SIDE, find the faces there, choose one, scale to the asked size, fit.
The same bytes, face, size and engine version therefore always give the same
portrait, which is what makes a render repeatable.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from studio.domain.face import DetectedFace, faces_to_choose
from studio.domain.side_by_side import Window
from studio.engines import Engines
from studio.engines.base import Image, Portrait
from studio.errors import LimitExceededError, NoFaceError, SeveralFacesError, UserInputError

if TYPE_CHECKING:
    from studio.engines.media.pictures import PictureFile

WORKING_SIDE = 2048
"""Faces are found on at most this many pixels; no clip is larger."""
SMALLEST_PICTURE = 64
SMALLEST_FACE = 48
"""Below this many pixels across, landmarks are guesses (the landmark model looks at 192)."""
DEFAULT_SIDE = 1024
SMALLEST_SIDE, LARGEST_SIDE = 256, 2048
KEPT_PORTRAITS = 4
"""A 1024 px portrait holds about 100 MB."""

_ENLARGED = 1.6
"""A photo that is enlarged further than this is said."""
_PROFILE = 0.35
"""Frontality below which half of the face is not in the picture."""


@dataclass(frozen=True)
class FoundFaces:
    """A decoded picture with its faces, largest first.

    Attributes:
        image: at most WORKING_SIDE pixels on its longer side.  # (H, W, 3)
        width, height: of the picture as decoded.
        scale: pixels of the decoded picture per pixel of `image`.
        notes: what was done to the picture, in words.
    """

    sha256: str
    image: Image = field(repr=False)
    width: int
    height: int
    scale: float
    faces: tuple[DetectedFace, ...] = field(repr=False)
    notes: tuple[str, ...]


@dataclass
class PreparedPortrait:
    """A portrait with what a person may want to know of it; hold `lock` while drawing."""

    key: str
    sha256: str
    face_index: int
    image: Image
    face: DetectedFace
    portrait: Portrait
    engine: str
    engine_version: str
    hints: tuple[str, ...]
    lock: threading.RLock = field(default_factory=threading.RLock)


def scaled_face(face: DetectedFace, factor: float) -> DetectedFace:
    """Return a face in a picture `factor` times as large."""
    x0, y0, x1, y1 = (float(v) * factor for v in face.box)
    return replace(face, box=(x0, y0, x1, y1), landmarks=(face.landmarks * np.float32(factor)).astype(np.float32))


def _in_window(face: DetectedFace, window: Window) -> DetectedFace:
    """Return a face as a part of its photo shows it."""
    corner = np.array([window.left, window.top, 0], np.float32)
    moved = replace(
        face,
        box=(face.box[0] - window.left, face.box[1] - window.top, face.box[2] - window.left, face.box[3] - window.top),
        landmarks=(face.landmarks - corner).astype(np.float32),
    )
    return scaled_face(moved, window.scale)


def _among(among: Sequence[int]) -> str:
    return f"/among {sorted(among)}" if among else ""


def choose_face(faces: Sequence[DetectedFace], face_index: int | None) -> int:
    """Return the index of the face that is meant.

    Raises:
        NoFaceError: there is none.
        SeveralFacesError: there are several and nobody chose.
        UserInputError: the chosen one does not exist.
        LimitExceededError: it is too small.
    """
    if not faces:
        raise NoFaceError(
            "No face was found in the picture.", "Use a picture that shows a face from the front, well lit and large."
        )
    if face_index is None and len(faces) > 1:
        raise SeveralFacesError(
            f"The picture shows {len(faces)} faces and it is not said which one is meant.",
            f"Give --face 1 to --face {len(faces)}, where 1 is the largest.",
            window="Pick the face that you mean.",
        )
    index = face_index or 0
    if not 0 <= index < len(faces):
        raise UserInputError(
            f"There is no face {index + 1}: the picture shows {len(faces)}.", faces_to_choose(len(faces))
        )
    x0, y0, x1, y1 = faces[index].box
    if min(x1 - x0, y1 - y0) < SMALLEST_FACE:
        raise LimitExceededError(
            f"The face is only {min(x1 - x0, y1 - y0):.0f} pixels across.",
            f"Use a picture in which it is at least {SMALLEST_FACE}, better 200 pixels across.",
        )
    return index


def face_hints(face: DetectedFace) -> tuple[str, ...]:
    """Return one sentence for each thing a person should know of a face."""
    hints = list(face.quality.hints)
    if face.quality.frontal < _PROFILE and not any("side" in h or "profile" in h for h in hints):
        hints.append("The face is seen from the side: the far half has to be guessed. A frontal photo works better.")
    if face.likely != "person":
        what = "an animal" if face.likely == "animal" else "a drawing"
        hints.append(f"This looks like {what}; that is allowed, but the fit may be rough.")
    return tuple(hints)


class Portraits:
    """Finds faces and prepares portraits; safe to call from several threads."""

    def __init__(self, engines: Engines) -> None:
        self.engines = engines
        self._kept: OrderedDict[str, PreparedPortrait] = OrderedDict()
        self._resolved: dict[str, str] = {}  # key with the face as asked (perhaps None) -> key with its index
        self._lock = threading.Lock()

    def find_faces(self, picture: Path | bytes | PictureFile) -> FoundFaces:
        """Decode a picture and find its faces.

        Raises:
            UnreadableMediaError, LimitExceededError: the picture cannot be used.
        """
        from studio.engines.media.pictures import fit_longer_side, read_picture

        decoded = read_picture(picture)
        height, width = decoded.rgb.shape[:2]
        if min(width, height) < SMALLEST_PICTURE:
            raise LimitExceededError(
                f"The picture has only {width} x {height} pixels.",
                f"Use one with at least {SMALLEST_PICTURE}, better 500 pixels on each side.",
            )
        image = np.ascontiguousarray(fit_longer_side(decoded.rgb, WORKING_SIDE))
        with self.engines.lock:
            faces = tuple(self.engines.faces().detect(image))
        notes = tuple(f"The picture was changed on reading: {note}." for note in decoded.notes)
        return FoundFaces(decoded.sha256, image, width, height, width / image.shape[1], faces, notes)

    def prepare(
        self,
        picture: Path | bytes,
        *,
        sha256: str | None = None,
        face_index: int | None = None,
        size: int | None = None,
        engine: str = "rig",
        among: Sequence[int] = (),
    ) -> PreparedPortrait:
        """Return the portrait of one face, from the shelf where it lies there already.

        Args:
            sha256: of the picture's bytes, where it is known; what lies on the shelf is then found unread.
            size: longer side in pixels, SMALLEST_SIDE..LARGEST_SIDE; default the
                picture's own, at most DEFAULT_SIDE.
            among: other faces of the picture that move by themselves; their part of it is not this person's.

        Raises:
            NoFaceError, SeveralFacesError, UnreadableMediaError, LimitExceededError, EngineError.
        """
        if size is not None and not SMALLEST_SIDE <= size <= LARGEST_SIDE:
            raise LimitExceededError(
                f"A longer side of {size} pixels is not possible.", f"Choose {SMALLEST_SIDE} to {LARGEST_SIDE}."
            )
        wanted: Path | bytes | PictureFile = picture
        if sha256 is None:
            from studio.engines.media.pictures import read_file

            wanted = read_file(picture)
            sha256 = wanted.sha256
        asked = f"{sha256}/{face_index}/{size}/{engine}-{self.engines.animator(engine).version}{_among(among)}"
        with self._lock:
            kept = self._kept.get(self._resolved.get(asked, asked))
            if kept is not None:
                self._kept.move_to_end(kept.key)
                return kept
        # Two threads may prepare the same portrait at once; the second result is simply dropped.
        made = self._make(wanted, face_index, size, engine, among)
        with self._lock:
            self._resolved[asked] = made.key
            made = self._kept.setdefault(made.key, made)
            while len(self._kept) > KEPT_PORTRAITS:
                gone = self._kept.popitem(last=False)[0]
                self._resolved = {a: key for a, key in self._resolved.items() if key != gone}
        return made

    def panel(self, found: FoundFaces, face_index: int, window: Window, engine: str = "rig") -> PreparedPortrait:
        """Return the portrait of one face in a part of its photo; it is not kept.

        Args:
            found: the photo.
            window: the part, in pixels of `found.image`.
        """
        from studio.engines.media.panels import cut

        image, face = cut(found.image, window), _in_window(found.faces[face_index], window)
        hints = list(face_hints(face))
        enlarged = window.scale / max(found.scale, 1.0)
        if enlarged > _ENLARGED:
            hints.append(f"A photo was enlarged {enlarged:.1f} times, so that all faces are equally large.")
        with self.engines.lock:
            animator = self.engines.animator(engine)
            portrait = animator.prepare(image, face)
        return PreparedPortrait(
            f"{found.sha256}/{face_index}/{window}", found.sha256, face_index, image, face, portrait, animator.name,
            animator.version, tuple(hints),
        )  # fmt: skip

    def kept(self, key: str) -> PreparedPortrait | None:
        """Return the portrait of that key; None when it has left the shelf."""
        with self._lock:
            found = self._kept.get(key)
            if found is not None:
                self._kept.move_to_end(key)
            return found

    def _make(
        self,
        picture: Path | bytes | PictureFile,
        face_index: int | None,
        size: int | None,
        engine: str,
        among: Sequence[int],
    ) -> PreparedPortrait:
        self.engines.warm_up(engine)
        found = self.find_faces(picture)
        index = choose_face(found.faces, face_index)
        longer = max(found.width, found.height)
        side = size or max(SMALLEST_SIDE, min(DEFAULT_SIDE, longer))
        image = _resized(found.image, side)
        scale = image.shape[1] / found.image.shape[1]
        face = scaled_face(found.faces[index], scale)
        hints = [*found.notes, *face_hints(face)]
        if side > longer:
            hints.append(f"The picture was enlarged from {longer} to {side} pixels.")
        with self.engines.lock:
            animator = self.engines.animator(engine)
            others = [scaled_face(found.faces[i], scale) for i in among if i != index]
            portrait = animator.prepare(image, face, others) if others else animator.prepare(image, face)
        key = f"{found.sha256}/{index}/{size}/{engine}-{animator.version}{_among(among)}"
        return PreparedPortrait(
            key, found.sha256, index, image, face, portrait, animator.name, animator.version, tuple(hints)
        )


def _resized(image: Image, side: int) -> Image:
    """Return the picture with `side` pixels on its longer side."""
    height, width = image.shape[:2]
    longer = max(height, width)
    if side == longer:
        return image
    if side < longer:
        from studio.engines.media.pictures import fit_longer_side

        return np.ascontiguousarray(fit_longer_side(image, side))
    from PIL import Image as Pillow

    target = (round(width * side / longer), round(height * side / longer))
    return np.array(Pillow.fromarray(image).resize(target, Pillow.Resampling.LANCZOS), np.uint8)
