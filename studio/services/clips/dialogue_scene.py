"""Everybody of a dialogue in one frame: photos side by side, or several faces of one picture.

A scene knows where its faces are, so that people can look at each other, and draws frames once everybody's motion is
written. Only what moves differs from the picture: of each person their own part of it is laid back.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import repeat

import numpy as np
from numpy.typing import NDArray

from studio.domain.dialogue_motion import Seat
from studio.domain.expression import FaceState
from studio.domain.performance import MouthResponse, Performance
from studio.domain.side_by_side import USUAL_SIDE, FaceInPhoto, Window, whose, windows
from studio.engines.base import Image
from studio.errors import NoFaceError, UserInputError
from studio.services.clips.making import HINT_FRAMES, FrameSource
from studio.services.portraits.prepared import FoundFaces, Portraits, PreparedPortrait, choose_face, scaled_face
from studio.services.sources import FoundMedia

_TURNED_AWAY = 12.0  # degrees
_FREEDOM = 0.65
"""Of the turn of a head in one picture of everybody: hair ends there where the next person's begins."""


class Scene(ABC):
    """The people of a dialogue as one picture shows them.

    Attributes:
        people: their portraits, in order.
        size: width and height of a frame, pixels.
        seats: where they are.
    """

    people: tuple[PreparedPortrait, ...]
    size: tuple[int, int]
    seats: tuple[Seat, ...]
    _sources: tuple[FrameSource, ...] = ()

    def play(self, performances: Sequence[Performance], shutter_degrees: float) -> None:
        """Remember how everybody moves."""
        self._sources = tuple(
            FrameSource(one.portrait, performance, FaceState(one.portrait.own_weights), shutter_degrees)
            for one, performance in zip(self.people, performances, strict=True)
        )

    def __len__(self) -> int:
        """Return how many frames there are."""
        return min(map(len, self._sources))

    def picture(self, frame: int) -> Image:
        """Draw one frame.  # (H, W, 3)"""
        return self._together([self._drawn(i, frame) for i in range(len(self.people))])

    def pictures(self, first: int = 0) -> Iterator[Image]:
        """Draw the frames from number `first` on, everybody at the same time."""
        people = range(len(self.people))
        with ThreadPoolExecutor(len(people), "dialogue") as pool:
            for frame in range(first, len(self)):
                yield self._together(list(pool.map(self._drawn, people, repeat(frame))))

    def _drawn(self, person: int, frame: int) -> Image:
        with self.people[person].lock:
            return self._sources[person].picture(frame)

    @abstractmethod
    def _together(self, pictures: Sequence[Image]) -> Image:
        """Put everybody's pictures into one frame."""

    def mouth(self, person: int) -> MouthResponse:
        """Return how one person's mouth answers."""
        return self.people[person].portrait.mouth

    def hints(self) -> tuple[str, ...]:
        """Return what the photos and the turns of their heads suffer from."""
        found = dict.fromkeys(self._about())
        for one, source in zip(self.people, self._sources, strict=True):
            found |= dict.fromkeys(one.hints)
            for frame in range(0, len(source), HINT_FRAMES):
                found |= dict.fromkeys(one.portrait.hints(source.state(frame)))
        return tuple(found)

    def _about(self) -> tuple[str, ...]:
        """Say what a person may want to change about the places."""
        return ()


class SideBySide(Scene):
    """Photos cut alike: faces of one size, eyes on one line.

    Raises:
        NoFaceError, SeveralFacesError, UnreadableMediaError, LimitExceededError, EngineError: a photo cannot be used.
        UserInputError: the photos cannot be cut alike.
    """

    def __init__(self, portraits: Portraits, photos: Sequence[tuple[FoundMedia, int | None]], size: int | None) -> None:
        found, chosen, faces, cuts = _laid_out(portraits, photos, size)
        self.people = tuple(
            portraits.panel(one, index, window) for one, index, window in zip(found, chosen, cuts, strict=True)
        )
        self.size = (sum(w.width for w in cuts), cuts[0].height)
        tall = faces[0].size * cuts[0].scale
        corners = np.cumsum([0, *(w.width for w in cuts[:-1])])
        self.seats = tuple(
            Seat(
                float(corner + (face.x - window.left) * window.scale) / tall,
                (face.y - window.top) * window.scale / tall,
                one.faces[index].head.yaw_degrees,
            )
            for corner, face, window, one, index in zip(corners, faces, cuts, found, chosen, strict=True)
        )

    def _together(self, pictures: Sequence[Image]) -> Image:
        return np.concatenate(pictures, axis=1)

    def _about(self) -> tuple[str, ...]:
        turned = [one.yaw_degrees for one in self.seats]
        away = {0: turned[0] < -_TURNED_AWAY, len(turned) - 1: turned[-1] > _TURNED_AWAY}
        return tuple(
            f"Person {person + 1} is turned away from the others in the photo; another place may suit them better."
            for person, is_away in away.items()
            if is_away
        )


class OnePicture(Scene):
    """Several faces of one picture, each moved where it is; everything else keeps its pixels.

    Args:
        faces: index of each person's face, 0 = largest; None takes so many of the largest ones that no edge of the
            picture cuts, from left to right.
        count: how many people there are.

    Raises:
        NoFaceError: the picture shows fewer faces.
        UserInputError: one face is meant twice, or is not there.
        UnreadableMediaError, LimitExceededError, EngineError: the picture cannot be used.
    """

    def __init__(
        self, portraits: Portraits, picture: FoundMedia, faces: Sequence[int] | None, count: int, size: int | None
    ) -> None:
        found, indices = _found(portraits, picture, faces, count)
        self.people = tuple(
            portraits.prepare(
                picture.path, sha256=found.sha256, face_index=index, size=size, among=range(len(found.faces))
            )
            for index in indices
        )
        self._image = self.people[0].image
        height, width = self._image.shape[:2]
        self.size = (width, height)
        # Whoever stands by and is not of the dialogue keeps still: their part is nobody's who moves.
        others = [face for i, face in enumerate(found.faces) if i not in indices]
        scale = width / found.image.shape[1]
        faces_here = [one.face for one in self.people] + [scaled_face(face, scale) for face in others]
        all_placed = [FaceInPhoto.of(face, width, height) for face in faces_here]
        placed = all_placed[:count]
        tall = float(np.mean([one.size for one in placed]))
        self.seats = tuple(
            Seat(face.x / tall, face.y / tall, one.face.head.yaw_degrees, _FREEDOM)
            for face, one in zip(placed, self.people, strict=True)
        )
        self._parts = tuple(_Part(whose(all_placed, i, (height, width))) for i in range(count))

    def _together(self, pictures: Sequence[Image]) -> Image:
        out = self._image.copy()
        for picture, part in zip(pictures, self._parts, strict=True):
            part.lay(picture, self._image, out)
        return out


class _Part:
    """One person's part of a picture."""

    def __init__(self, share: NDArray[np.float32]) -> None:
        self._whole, self._soft = share >= 1, (share > 0) & (share < 1)
        self._share = share[self._soft][:, None]

    def lay(self, drawn: Image, image: Image, out: Image) -> None:
        """Lay a person's picture over a frame, in place: wholly inside their part, softly at its edge."""
        out[self._whole] = drawn[self._whole]
        still = image[self._soft].astype(np.float32)
        moved = drawn[self._soft].astype(np.float32) - still
        kept = out[self._soft] + self._share * moved
        out[self._soft] = np.clip(np.rint(kept), 0, 255).astype(np.uint8)


def _is_cut(found: FoundFaces, index: int) -> bool:
    """Say whether an edge of the picture goes through a face."""
    x0, y0, x1, y1 = found.faces[index].box
    height, width = found.image.shape[:2]
    return bool(x0 < 0 or y0 < 0 or x1 > width or y1 > height)


def _in_photo(found: FoundFaces, index: int) -> FaceInPhoto:
    height, width = found.image.shape[:2]
    return FaceInPhoto.of(found.faces[index], width, height)


def check_scene(
    portraits: Portraits,
    picture: FoundMedia | None,
    photos: Sequence[tuple[FoundMedia, int | None]],
    faces: Sequence[int] | None,
    count: int,
) -> None:
    """Look whether everybody can be shown, before anything is made ready.

    Args:
        picture: of everybody; None puts `photos` side by side.

    Raises:
        NoFaceError, SeveralFacesError, UserInputError, UnreadableMediaError, LimitExceededError: as the scenes.
    """
    if picture is None:
        _laid_out(portraits, photos, None)
    else:
        _found(portraits, picture, faces, count)


def _laid_out(
    portraits: Portraits, photos: Sequence[tuple[FoundMedia, int | None]], size: int | None
) -> tuple[list[FoundFaces], list[int], list[FaceInPhoto], tuple[Window, ...]]:
    """Return what photos show, which face is meant, where it is, and how each is cut."""
    found = [portraits.find_faces(photo.path) for photo, _ in photos]
    chosen = [choose_face(one.faces, index) for one, (_, index) in zip(found, photos, strict=True)]
    faces = [_in_photo(one, index) for one, index in zip(found, chosen, strict=True)]
    return found, chosen, faces, windows(faces, size or USUAL_SIDE)


def _found(
    portraits: Portraits, picture: FoundMedia, faces: Sequence[int] | None, count: int
) -> tuple[FoundFaces, list[int]]:
    """Return what a picture shows, and whose face is which."""
    found = portraits.find_faces(picture.path)
    several = len(found.faces)
    if several < count:
        shown = {0: "no face", 1: "one face only"}.get(several, f"{several} faces")
        raise NoFaceError(
            f"The picture shows {shown}, but {count} people talk.",
            "Use a picture that shows everybody, or a photo of each.",
        )
    if faces is None:
        whole = sorted(range(several), key=lambda i: (_is_cut(found, i), i))[:count]
        indices = sorted(whole, key=lambda i: found.faces[i].box[0])
    else:
        indices = [choose_face(found.faces, index) for index in faces]
    if len(set(indices)) < len(indices):
        raise UserInputError("Two people have the same face of the picture.", "Choose another face for one of them.")
    for index in indices:
        choose_face(found.faces, index)
    return found, indices
