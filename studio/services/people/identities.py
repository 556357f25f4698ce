"""People: their photos, and what they agreed to.

A person without any consent on record may be edited and animated (the window
says that none is recorded); once there is one, it is the law: an action it
does not cover, or no longer covers, is refused. Training always needs one.
"""

from __future__ import annotations

import builtins
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from studio.domain.consent import Consent
from studio.domain.curation import scale_of
from studio.domain.face import FaceEmbedding, Likely, PhotoQuality
from studio.domain.identity import DeletionPlan, Identity
from studio.domain.names import person_name
from studio.domain.people import outsiders
from studio.domain.photo import Photo
from studio.engines.base import Image
from studio.errors import EngineUnavailableError, UserInputError
from studio.services.portraits.prepared import FoundFaces, Portraits, choose_face, face_hints, scaled_face

if TYPE_CHECKING:
    from studio.store import OwnerStore

CROP_PIXELS = 192
_INK, _PAPER = (255, 255, 255), (20, 20, 24)


@dataclass(frozen=True)
class FaceChoice:
    """One face of an inspected picture, as shown to a person who picks.

    Attributes:
        index: what to pass as `face_index`; 0 is the largest face.
        box: x0, y0, x1, y1 in pixels of the picture as decoded.
        crop: the face with its number (index + 1) drawn in a corner.  # (192, 192, 3)
        hints: one sentence per shortcoming.
    """

    index: int
    box: tuple[float, float, float, float]
    quality: PhotoQuality
    likely: Likely
    crop: Image
    hints: tuple[str, ...]


@dataclass(frozen=True)
class PhotoInspection:
    """What a picture holds; `faces` is empty when none was found.

    Attributes:
        width, height: of the picture as decoded.
        image: the picture, at most 2048 pixels on its longer side.  # (H, W, 3)
        hints: what was done to the picture on reading.
    """

    sha256: str
    width: int
    height: int
    image: Image
    faces: tuple[FaceChoice, ...]
    hints: tuple[str, ...]


@dataclass(frozen=True)
class _Seen:
    """A photo that was looked at: all that its rows need, before any is written."""

    photo: Path | bytes
    found: FoundFaces
    index: int
    embedding: FaceEmbedding | None


@dataclass(frozen=True)
class DeletePlan(DeletionPlan):
    """What deleting an identity takes with it; `sentence` says it before, `done` after."""

    @property
    def sentence(self) -> str:
        """Return the plan as one sentence."""
        return f"Deleting {self.name} also deletes {self._listed}. This cannot be undone."

    @property
    def done(self) -> str:
        """Return what was deleted as one sentence."""
        return f"{self.name} was deleted, and with it {self._listed}."

    @property
    def _listed(self) -> str:
        counts = {
            "photo": self.photos,
            "embedding": self.embeddings,
            "training run": self.runs,
            "adapter": self.adapters,
            "render": self.renders,
            "performance": self.performances,
            "consent": self.consents,
            "job": self.jobs,
            "database backup": self.backups,
            "swept file": self.swept,
        }
        parts = [f"{n} {word}{'' if n == 1 else 's'}" for word, n in counts.items() if n]
        listed = ", ".join(parts) or "nothing else"
        size = f"{(self.file_bytes + self.run_bytes) / 1e6:.1f} MB in {self.files} file{'' if self.files == 1 else 's'}"
        return f"{listed} ({size})"


class Identities:
    """Add, look up, and delete people."""

    def __init__(self, store: OwnerStore, portraits: Portraits) -> None:
        self._store = store
        self._portraits = portraits

    # -- looking at a picture ------------------------------------------------------

    def inspect(self, photo: Path | bytes) -> PhotoInspection:
        """Decode a picture and find its faces; raises only when it cannot be read.

        Raises:
            UnreadableMediaError, LimitExceededError: see engines/media.
        """
        found = self._portraits.find_faces(photo)
        choices = []
        for index, face in enumerate(found.faces):
            x0, y0, x1, y1 = scaled_face(face, found.scale).box
            crop = _numbered_crop(found.image, face.box, index + 1)
            choices.append(FaceChoice(index, (x0, y0, x1, y1), face.quality, face.likely, crop, face_hints(face)))
        return PhotoInspection(found.sha256, found.width, found.height, found.image, tuple(choices), found.notes)

    def strangers(self, identity_id: str) -> tuple[str, ...]:
        """Return the ids of photos whose face is not that of the person's other photos; as sorting judges it."""
        photos = self._store.photos.list(identity_id=identity_id)
        known = [(photo.id, e) for photo in photos for e in self._store.photos.embeddings(photo.id)]
        return tuple(known[row][0] for row in _outsiders([e for _, e in known]))

    def strangers_among(self, photos: Sequence[tuple[Path | bytes, int | None]]) -> tuple[int, ...]:
        """Return which pictures, about to be added, show another face than the others.

        Args:
            photos: each with the face that is meant, None for the largest; those without a face are passed over.
        """
        rows, found = [], []
        for number, (photo, face_index) in enumerate(photos):
            seen = self._portraits.find_faces(photo)
            if (face_index or 0) >= len(seen.faces):
                continue
            try:
                with self._portraits.engines.lock:
                    found.append(self._portraits.engines.faces().embed(seen.image, seen.faces[face_index or 0]))
            except EngineUnavailableError:  # without recognition nobody can be told apart
                return ()
            rows.append(number)
        return tuple(rows[row] for row in _outsiders(found))

    # -- adding --------------------------------------------------------------------

    def add(
        self,
        name: str,
        photos: Sequence[Path | bytes],
        *,
        consent: Consent | None = None,
        face_index: int | None = None,
        face_indices: Sequence[int | None] = (),
        project_id: str | None = None,
        notes: str = "",
    ) -> Identity:
        """Create a person from one or more photos; all of them are kept, or none.

        Args:
            face_index: which face, 0 = largest; needed when a photo has several.
            face_indices: the same for each photo by itself, instead.
            project_id: None leaves the person without a project.

        Raises:
            NoFaceError, SeveralFacesError, UnreadableMediaError, LimitExceededError,
            ConflictError (the name is taken).
        """
        name = person_name(name)
        if not photos:
            raise UserInputError("There is no photo of the person.", "Add at least one picture that shows the face.")
        if project_id is not None:
            self._store.projects.get(project_id)
        meant = face_indices or [face_index] * len(photos)
        looked = [self._look(photo, index) for photo, index in zip(photos, meant, strict=True)]
        with self._store.media.keeping(), self._store.database.transaction():
            person = self._store.identities.add(name, notes=notes, project_id=project_id)
            for seen in looked:
                self._keep(person, seen)
            if consent is not None:
                self._store.identities.add_consent(person.id, consent)
        return self.get(person.id)

    def add_photo(self, identity_id: str, photo: Path | bytes, *, face_index: int | None = None) -> Photo:
        """Add one photo to a person.

        Raises:
            NotFoundError, NoFaceError, SeveralFacesError, UnreadableMediaError, LimitExceededError.
        """
        person = self.get(identity_id)
        seen = self._look(photo, face_index)
        with self._store.media.keeping(), self._store.database.transaction():
            return self._keep(person, seen)

    def _look(self, photo: Path | bytes, face_index: int | None) -> _Seen:
        """Find the faces of a picture, choose the one that is meant, and measure it."""
        found = self._portraits.find_faces(photo)
        try:
            index = choose_face(found.faces, face_index)
        except UserInputError as exc:
            if isinstance(photo, Path):
                exc.about(photo.name)
            raise
        try:
            with self._portraits.engines.lock:
                return _Seen(
                    photo, found, index, self._portraits.engines.faces().embed(found.image, found.faces[index])
                )
        except EngineUnavailableError:
            # Recognition is an extra that needs its own library; a portrait moves without it.
            return _Seen(photo, found, index, None)

    def _keep(self, person: Identity, seen: _Seen) -> Photo:
        """Store one photo with its face and embedding."""
        photo, found = seen.photo, seen.found
        face = scaled_face(found.faces[seen.index], found.scale)
        sha256 = self._store.media.put(photo)
        kept = self._store.photos.add(
            sha256,
            file_name=photo.name if isinstance(photo, Path) else "",
            width=found.width,
            height=found.height,
            identity_id=person.id,
            project_id=person.project_id,
            face_index=seen.index,
            face=face,
        )
        if seen.embedding is not None:
            self._store.photos.put_embedding(kept.id, seen.embedding)
        return kept

    # -- looking up ----------------------------------------------------------------

    def list(self, project_id: str | None = None) -> tuple[Identity, ...]:
        """Return the people of one project, or of all."""
        return self._store.identities.list(project_id=project_id)

    def get(self, identity_id: str) -> Identity:
        """Return one person by id or by unique name.

        Raises:
            NotFoundError: no such person.
        """
        return person_named(self._store, identity_id)

    def photos(self, identity_id: str) -> tuple[Photo, ...]:
        """Return a person's photos, oldest first.

        Raises:
            NotFoundError: no such person.
        """
        return self._store.photos.list(identity_id=self._store.identities.get(identity_id).id)

    def photo_path(self, photo_id: str) -> Path:
        """Return where a photo's bytes lie (for showing it).

        Raises:
            NotFoundError: no such photo.
        """
        return self._store.media.get(self._store.photos.get(photo_id).sha256)

    # -- changing ------------------------------------------------------------------

    def rename(self, identity_id: str, name: str) -> Identity:
        """Change a person's name.

        Raises:
            UserInputError: the name is empty or too long.
            ConflictError: the name is taken.
        """
        return self._store.identities.change(identity_id, name=person_name(name))

    def set_consent(self, identity_id: str, consent: Consent) -> Identity:
        """Record who agreed, to what scope and until when."""
        self._store.identities.add_consent(identity_id, consent)
        return self._store.identities.get(identity_id)

    # -- deleting ------------------------------------------------------------------

    def delete_plan(self, identity_id: str) -> DeletePlan:
        """Say what deleting would take with it; changes nothing."""
        return DeletePlan(**vars(self._store.identities.plan_deletion(identity_id)))

    def delete(self, identity_id: str) -> DeletePlan:
        """Delete the person with photos, embeddings and renders.

        Raises:
            ConflictError: a job of the person waits or runs.
        """
        return DeletePlan(**vars(self._store.identities.delete(identity_id)))


def _outsiders(embeddings: Sequence[FaceEmbedding]) -> builtins.list[int]:
    """Return the rows of faces that are not of the person whom the others show; of the embedder most were seen by."""
    names = [e.embedder for e in embeddings]
    usual = max(set(names), key=names.count, default="")
    rows = [row for row, name in enumerate(names) if name == usual]
    if len(rows) < 2:
        return []
    scale = scale_of(usual)
    return [rows[i] for i in outsiders(np.stack([embeddings[r].vector for r in rows]), scale.stranger, scale.ask)]


def person_named(store: OwnerStore, identity_id: str) -> Identity:
    """Return one person by unique name or by id.

    Raises:
        NotFoundError: no such person.
    """
    return store.identities.find(identity_id) or store.identities.get(identity_id)


def photo_of(store: OwnerStore, sha256: str, face_index: int | None) -> Photo | None:
    """Return the stored photo with these bytes and this face; of several the oldest."""
    found: builtins.list[Photo] = [
        p for p in store.photos.list(sha256=sha256) if face_index is None or p.face_index in (None, face_index)
    ]
    return found[0] if found else None


def _numbered_crop(image: Image, box: tuple[float, float, float, float], number: int) -> Image:
    """Cut a face out with some air around it and write its number into the corner.  # (192, 192, 3)"""
    from PIL import Image as Pillow
    from PIL import ImageDraw, ImageFont

    x0, y0, x1, y1 = box
    half = 0.75 * max(x1 - x0, y1 - y0)
    center_x, center_y = (x0 + x1) / 2, (y0 + y1) / 2
    area = (round(center_x - half), round(center_y - half), round(center_x + half), round(center_y + half))
    crop = Pillow.fromarray(image).crop(area).resize((CROP_PIXELS, CROP_PIXELS), Pillow.Resampling.LANCZOS)
    draw = ImageDraw.Draw(crop)
    draw.ellipse((6, 6, 42, 42), fill=_PAPER, outline=_INK, width=2)
    draw.text((24, 24), str(number), fill=_INK, font=ImageFont.load_default(20), anchor="mm")
    return np.array(crop, np.uint8)
