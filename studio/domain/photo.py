"""A photo as the studio keeps it.

The bytes are never changed; what is found in them (the chosen face, its
embedding) is a row beside them.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime

from studio.domain.face import DetectedFace


@dataclass(frozen=True, kw_only=True)
class Photo:
    """One photo; times are aware UTC.

    Attributes:
        sha256: names the bytes in the media store.
        file_name: what the file was called; for showing only, never a path.
        width, height: pixels as decoded, upright.
        face_index: which face is meant, 0 = largest; None when nobody chose.
        face: that face as vision found it.
    """

    id: str
    owner: str
    sha256: str
    file_name: str
    width: int
    height: int
    identity_id: str | None = None
    project_id: str | None = None
    face_index: int | None = None
    face: DetectedFace | None = field(default=None, repr=False, compare=False)
    created: datetime
