"""Where a picture or a sound comes from: a photo, a stored medium, or a file.

A request that waits in the queue must not depend on a file that may move, so
`settled` copies files into the media store and answers with their sha256.
"""

from __future__ import annotations

from pathlib import Path

from pydantic import BaseModel, ConfigDict, model_validator


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
