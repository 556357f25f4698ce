"""Where a picture or a sound comes from: a photo, a stored medium, or a file.

A request that waits in the queue must not depend on a file that may move, so
`settled` copies files into the media store and answers with their sha256.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict, model_validator

from studio.errors import NotFoundError
from studio.outside import exists, plain_file

if TYPE_CHECKING:
    from studio.domain.photo import Photo
    from studio.store import OwnerStore


class MediaSource(BaseModel):
    """Exactly one of: a photo's id, the sha256 of a stored medium, a file's path."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    photo_id: str | None = None
    sha256: str | None = None
    path: Path | None = None

    @model_validator(mode="after")
    def _exactly_one(self) -> MediaSource:
        if sum(v is not None for v in (self.photo_id, self.sha256, self.path)) != 1:
            raise ValueError("a source is one of photo_id, sha256 and path")
        return self

    @classmethod
    def photo(cls, photo_id: str) -> MediaSource:
        """Return the source that names a photo of an identity."""
        return cls(photo_id=photo_id)

    @classmethod
    def media(cls, sha256: str) -> MediaSource:
        """Return the source that names a stored medium."""
        return cls(sha256=sha256)

    @classmethod
    def file(cls, path: Path | str) -> MediaSource:
        """Return the source that names a file on this computer."""
        return cls(path=Path(path))


@dataclass(frozen=True)
class FoundMedia:
    """The file behind a source.

    Attributes:
        sha256: of its bytes; None for a file that is not in the media store, whose bytes nobody has read yet.
    """

    path: Path
    sha256: str | None


class Sources:
    """Looks up what a source means for one owner."""

    def __init__(self, store: OwnerStore) -> None:
        self._store = store

    def find(self, source: MediaSource) -> FoundMedia:
        """Return the file behind a source, with its hash where the store knows it.

        Raises:
            NotFoundError: no such photo, medium or file.
        """
        if source.path is not None:
            if not exists(source.path):
                raise NotFoundError(f"There is no file {source.path.name!r}.", "Check the path.")
            return FoundMedia(source.path, None)
        sha256 = source.sha256 or self._photo(source).sha256
        return FoundMedia(self._store.media.get(sha256), sha256)

    def path(self, source: MediaSource) -> Path:
        """Return where the file behind a source lies; see `find`."""
        return self.find(source).path

    def photo(self, source: MediaSource) -> Photo | None:
        """Return the photo a source names; None for media and files."""
        return self._photo(source) if source.photo_id is not None else None

    def sha256(self, source: MediaSource) -> str:
        """Return the hash of a source's bytes.

        Raises:
            NotFoundError: it is gone.
            UnreadableMediaError: a folder, a device or a pipe, or an empty file.
        """
        found = self.find(source)
        if found.sha256:
            return found.sha256
        with plain_file(found.path).open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()

    def settled(self, source: MediaSource) -> MediaSource:
        """Return the source as the sha256 of stored bytes; a file is copied into the media store."""
        if source.sha256 is not None:
            self._store.media.get(source.sha256)
            return source
        if source.path is not None:
            return MediaSource.media(self._store.media.put(self.path(source)))
        return MediaSource.media(self._photo(source).sha256)

    def _photo(self, source: MediaSource) -> Photo:
        return self._store.photos.get(source.photo_id or "")
