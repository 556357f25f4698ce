"""The expression of another picture, on sliders: what is taken from it is motion, not looks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING

from studio.domain.template import Copied, Copying, copied
from studio.errors import NoFaceError, UserInputError
from studio.services.portraits.expressions import TEMPLATE, TEMPLATE_NEUTRAL, CopiedFrom, Expressions, PortraitHandle
from studio.services.portraits.prepared import FoundFaces, Portraits, choose_face, face_hints
from studio.services.sources import MediaSource, Sources

if TYPE_CHECKING:
    from studio.domain.driving import TrackedFace

_SEEN_FROM_FRONT = 0.2
"""Frontality below which half of an expression is not in the picture."""


@dataclass(frozen=True)
class TemplateFace:
    """A picture whose expression can be taken over; a small value that a window may keep.

    Attributes:
        sources: the picture, and its person at rest where that is known, by role.
        sha256: of the picture's bytes.
        face_index: which face of the picture, 0 = largest.
        faces: how many the picture shows.
        face: what it shows.
        neutral: its person at rest.
        notes: sentences for the person.
    """

    sources: Mapping[str, MediaSource]
    sha256: str
    face_index: int
    faces: int
    face: TrackedFace = field(repr=False)
    neutral: TrackedFace | None = field(default=None, repr=False)
    notes: tuple[str, ...] = ()


class Templates:
    """Reads expressions off pictures and hands them to portraits."""

    def __init__(self, sources: Sources, portraits: Portraits, expressions: Expressions) -> None:
        self._sources = sources
        self._portraits = portraits
        self._expressions = expressions

    def read(
        self, source: MediaSource, *, face_index: int | None = None, neutral: MediaSource | None = None
    ) -> TemplateFace:
        """Read the expression of one face.

        Args:
            face_index: 0 = largest; of several faces the largest is taken, and that is said.
            neutral: a picture of the same person at rest; then what is taken over is what differs.

        Raises:
            NoFaceError, UnreadableMediaError, LimitExceededError, NotFoundError.
            UserInputError: no such face, or one that is seen from the side.
        """
        found, index, notes = self._face(source, face_index, "The picture to copy from")
        at_rest = None
        if neutral is not None:
            resting, rest_index, more = self._face(neutral, None, "The picture at rest")
            at_rest = resting.faces[rest_index]
            notes = (*notes, *more)
        with self._portraits.engines.lock:
            seen = self._portraits.engines.tracker().read(
                found.faces[index].landmarks, None if at_rest is None else at_rest.landmarks
            )
        last = slice(len(seen) - 1, None)
        sources = {TEMPLATE: source} | ({} if neutral is None else {TEMPLATE_NEUTRAL: neutral})
        return TemplateFace(
            sources,
            found.sha256,
            index,
            len(found.faces),
            seen.rows(last),
            None if neutral is None else seen.rows(slice(0, 1)),
            notes,
        )

    def copy(self, handle: PortraitHandle, template: TemplateFace, how: Copying) -> Copied:
        """Return the slider values with which a portrait shows a template's expression.

        Raises:
            NotFoundError, ConflictError: as `Expressions.prepared`.
        """
        prepared = self._expressions.prepared(handle)
        made = copied(template.face, self.shown(handle), prepared.portrait.mouth, how, template.neutral)
        itself = (template.sha256, template.face_index) == (handle.sha256, handle.face_index)
        if itself and not how.exactly and template.neutral is None:
            note = "This is the portrait itself: what it shows already is added to it once more."
            return replace(made, notes=(*made.notes, note))
        return made

    def shown(self, handle: PortraitHandle) -> TrackedFace:
        """Return what a portrait shows itself, read as a template is.

        Raises:
            NotFoundError, ConflictError: as `Expressions.prepared`.
        """
        landmarks = self._expressions.prepared(handle).face.landmarks
        with self._portraits.engines.lock:
            return self._portraits.engines.tracker().read(landmarks)

    def copied_from(self, template: TemplateFace, how: Copying) -> CopiedFrom:
        """Return what the recipe of a picture says of its template."""
        return CopiedFrom(template.sources, {**asdict(how), "face_index": template.face_index})

    def _face(self, source: MediaSource, face_index: int | None, what: str) -> tuple[FoundFaces, int, tuple[str, ...]]:
        """Return the faces of a picture, which of them is meant, and what is to be said of it."""
        photo = self._sources.photo(source)
        if face_index is None and photo is not None:
            face_index = photo.face_index
        found = self._portraits.find_faces(self._sources.path(source))
        if not found.faces:
            raise NoFaceError(f"{what} shows no face.", "Use one that shows a face from the front, well lit and large.")
        several = len(found.faces) > 1 and face_index is None
        index = choose_face(found.faces, 0 if several else face_index)
        face = found.faces[index]
        if face.quality.frontal < _SEEN_FROM_FRONT:
            raise UserInputError(
                f"{what} shows its face turned so far away that half of the expression is hidden.",
                "Use one in which both eyes are seen.",
            )
        notes = (f"{what} shows {len(found.faces)} faces; the largest one is taken.",) if several else ()
        return found, index, notes + tuple(h for h in face_hints(face) if "side" in h or "looks like" in h)
