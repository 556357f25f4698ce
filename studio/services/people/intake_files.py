"""Which files of what was dropped are taken in, and their copies in the media store.

Nothing is decoded here: whether a file holds a picture shows when it is measured.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from studio.domain.curation import MOST_PHOTOS
from studio.errors import LimitExceededError, NotFoundError, UserInputError
from studio.outside import exists
from studio.services.people.clip_frames import MOST_CLIP_BYTES, is_clip
from studio.store.curation import NewFile

if TYPE_CHECKING:
    from studio.store import OwnerStore

PICTURE_SUFFIXES = frozenset(
    (".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".webp", ".heic", ".heif", ".avif", ".tif", ".tiff", ".bmp", ".gif")
)
"""Endings that are looked at in a folder; files given one by one are always looked at."""


def taken_in(store: OwnerStore, given: Sequence[Path]) -> tuple[list[NewFile], list[str]]:
    """Copy files into the media store; return a row for each, and what was left out.

    Args:
        given: files, and folders with what is in them.

    Raises:
        NotFoundError: no such file or folder.
        UserInputError: there is no picture among them.
        LimitExceededError: more than MOST_PHOTOS.
        StoreError: the disk is full.
    """
    files, notes = _pictures(given)
    seen: dict[str, str] = {}
    rows = []
    for file in files:
        row = _taken(store, file)
        if row.sha256 is not None and row.sha256 in seen:
            notes.append(f"{file.name} is the same file as {seen[row.sha256]} and counts once.")
            continue
        if row.sha256 is not None:
            seen[row.sha256] = file.name
        rows.append(row)
    return rows, notes


def _taken(store: OwnerStore, file: Path) -> NewFile:
    """Copy one file into the media store; what cannot be copied is a row with the reason."""
    from studio.engines.media.pictures import MAX_BYTES

    try:
        size, most = file.stat().st_size, MOST_CLIP_BYTES if is_clip(file.name) else MAX_BYTES
        if size > most:
            why = f"{file.name} is {size / 1e6:.0f} MB, more than the {most / 1e6:.0f} MB allowed."
            return NewFile(file.name, None, why, "Save a smaller copy.")
        if size == 0:
            return NewFile(file.name, None, f"{file.name} is empty.", "Copy or export it again.")
        with file.open("rb"):
            pass
    except OSError as exc:
        why = f"{file.name} cannot be opened: {exc.strerror or type(exc).__name__}."
        return NewFile(file.name, None, why, "Check that you may read the file.")
    return NewFile(file.name, store.media.put(file))


def _pictures(given: Sequence[Path]) -> tuple[list[Path], list[str]]:
    """Return the files to take in, and a note on those that are no pictures."""
    files: list[Path] = []
    passed: list[str] = []
    for path in given:
        if not exists(path):
            raise NotFoundError(f"There is no file or folder {path.name!r}.", "Check the path.")
        if not path.is_dir():
            files.append(path)
            continue
        for folder, folders, names in os.walk(path):
            folders[:] = sorted(f for f in folders if not f.startswith("."))
            for name in sorted(n for n in names if not n.startswith(".")):
                if Path(name).suffix.lower() in PICTURE_SUFFIXES or is_clip(name):
                    files.append(Path(folder) / name)
                else:
                    passed.append(name)
    files = list(dict.fromkeys(files))
    if not files:
        said = f"There is no picture in {given[0].name!r}." if given else "There is no photo yet."
        raise UserInputError(said, "Drop photos of the person, or a folder with them.")
    if len(files) > MOST_PHOTOS:
        raise LimitExceededError(
            f"{len(files)} photos are more than the {MOST_PHOTOS} that can be looked at together.",
            "Drop fewer; 10 to 50 good ones of a person are enough.",
        )
    notes = []
    if passed:
        shown = ", ".join(passed[:3]) + (" and others" if len(passed) > 3 else "")
        notes.append(
            f"{len(passed)} file{'s' if len(passed) != 1 else ''} that are no pictures were passed over: {shown}."
        )
    return files, notes
