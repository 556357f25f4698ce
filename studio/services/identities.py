"""People: their photos, and what they agreed to."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from studio.domain.face import Likely, PhotoQuality
from studio.engines.base import Image

if TYPE_CHECKING:
    from studio.domain.consent import Consent
    from studio.domain.identity import Identity
    from studio.domain.photo import Photo


@dataclass(frozen=True)
class FaceChoice:
    """One face of an inspected picture, as shown to a person who picks.

    Attributes:
        index: what to pass as `face_index`; 0 is the largest face.
        box: x0, y0, x1, y1 in pixels of the picture.
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
    """What a picture holds; `faces` is empty when none was found."""

    sha256: str
    width: int
    height: int
    image: Image
    faces: tuple[FaceChoice, ...]
    hints: tuple[str, ...]


@dataclass(frozen=True)
class DeletePlan:
    """What deleting an identity takes with it; `sentence` says it in words."""

    identity_id: str
    photos: int
    renders: int
    embeddings: int
    jobs: int
    sentence: str


class Identities:
    """Add, look up, and delete people."""

    def inspect(self, photo: Path | bytes) -> PhotoInspection:
        """Decode a picture and find its faces; raises only when it cannot be read.

        Raises:
            UnreadableMediaError, LimitExceededError: see engines/media.
        """
        raise NotImplementedError

    def add(
        self,
        name: str,
        photos: Sequence[Path | bytes],
        *,
        consent: Consent | None = None,
        face_index: int | None = None,
        project_id: str | None = None,
        notes: str = "",
    ) -> Identity:
        """Create a person from one or more photos; all of them are kept, or none.

        Args:
            face_index: which face, 0 = largest; needed when a photo has several.
            project_id: None puts the person into the first project.

        Raises:
            NoFaceError, SeveralFacesError, UnreadableMediaError, LimitExceededError,
            ConflictError (the name is taken).
        """
        raise NotImplementedError

    def add_photo(self, identity_id: str, photo: Path | bytes, *, face_index: int | None = None) -> Photo:
        """Add one photo to a person."""
        raise NotImplementedError

    def list(self, project_id: str | None = None) -> tuple[Identity, ...]:
        """Return the people of one project, or of all."""
        raise NotImplementedError

    def get(self, identity_id: str) -> Identity:
        """Return one person by id or by unique name."""
        raise NotImplementedError

    def photos(self, identity_id: str) -> tuple[Photo, ...]:
        """Return a person's photos, oldest first."""
        raise NotImplementedError

    def photo_path(self, photo_id: str) -> Path:
        """Return where a photo's bytes lie (for showing it)."""
        raise NotImplementedError

    def rename(self, identity_id: str, name: str) -> Identity:
        """Change a person's name."""
        raise NotImplementedError

    def set_consent(self, identity_id: str, consent: Consent) -> Identity:
        """Record who agreed, to what scope and until when."""
        raise NotImplementedError

    def revoke_consent(self, identity_id: str) -> Identity:
        """Record that the consent was taken back today."""
        raise NotImplementedError

    def delete_plan(self, identity_id: str) -> DeletePlan:
        """Say what deleting would take with it."""
        raise NotImplementedError

    def delete(self, identity_id: str) -> DeletePlan:
        """Delete the person with photos, rigs, embeddings and renders."""
        raise NotImplementedError
