"""A performance with layers as one zip: its document, and the sounds and curves that it names.

The same performance gives the same bytes whenever it is written. Knows nothing
of what the document says.
"""

from __future__ import annotations

import shutil
import zipfile
from collections.abc import Mapping
from pathlib import Path

from studio.engines.media.atomic import atomic_file
from studio.errors import UnreadableMediaError
from studio.outside import json_of, plain_file, unpacked, zip_of

SUFFIX = ".performance.zip"
_DOCUMENT, _MEDIA = "performance.json", "media/"
_LARGEST_PART = 2_000_000_000
_NOT_OURS = "Choose a performance that a studio exported."


def write_performance_zip(document: bytes, media: Mapping[str, Path], out: Path) -> Path:
    """Write a document and its media.

    Args:
        document: JSON.
        media: sha256 -> file.

    Raises:
        NotFoundError, StoreError: see `atomic_file`.
    """
    with atomic_file(out) as part, zipfile.ZipFile(part, "w") as archive:
        archive.writestr(_entry(_DOCUMENT), document, zipfile.ZIP_DEFLATED)
        for sha256, path in sorted(media.items()):
            with path.open("rb") as source, archive.open(_entry(f"{_MEDIA}{sha256}{path.suffix}"), "w") as target:
                shutil.copyfileobj(source, target)
    return out


def read_performance_zip(path: Path) -> tuple[object, dict[str, tuple[bytes, str]]]:
    """Return the document's JSON values, and the media: sha256 as the file says it -> bytes and extension.

    Raises:
        NotFoundError: no such file.
        UnreadableMediaError: no zip of a performance, or damaged.
        LimitExceededError: a part of it is far too large.
    """
    found = plain_file(path)
    with zip_of(found) as archive:
        names = archive.namelist()
        if _DOCUMENT not in names:
            raise UnreadableMediaError(f"{found.name} holds no performance.", _NOT_OURS)
        try:
            values = json_of(unpacked(archive, _DOCUMENT))
        except ValueError as exc:
            raise UnreadableMediaError(f"{found.name} is damaged.", _NOT_OURS) from exc
        media = {
            Path(name).stem: (unpacked(archive, name, most_bytes=_LARGEST_PART), Path(name).suffix)
            for name in names
            if name.startswith(_MEDIA)
        }
    return values, media


def _entry(name: str) -> zipfile.ZipInfo:
    """Return an entry that says no time."""
    made = zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0))
    made.compress_type = zipfile.ZIP_DEFLATED
    return made
