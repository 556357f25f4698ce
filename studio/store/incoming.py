"""What is being put into the media folder just now, noted so that a killed process leaves nothing behind.

Whoever puts media writes a note first: a file in `media/incoming` that its
writer keeps locked, with a line for each medium before it takes its place. The
system lets go of the lock when the process ends, however it ends. So a note
that can be locked belongs to nobody, and names all that its writer left: half
a file, a file without a row, or rows that nothing came to refer to.

Where a disk cannot lock files every note counts as somebody's, and tidying by
hand (`studio library verify --sweep`) takes what was left.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, NamedTuple

from studio.store.rows import new_id

NOTE, PART = ".note", ".part"
_LOCKED_BYTE = 1 << 30
"""Far behind the text: Windows lets nobody read a byte that another process locked."""


class Entry(NamedTuple):
    """One medium that a writer was about to keep; `is_new` when the owner did not have it before."""

    owner: str
    sha256: str
    suffix: str
    is_new: bool


class Note:
    """The open note of one writer; only this thread writes to it."""

    def __init__(self, path: Path, file: IO[str]) -> None:
        self.path = path
        self._file = file

    def part(self) -> Path:
        """Return a fresh place for a half-written file."""
        return self.path.with_name(f"{self.path.stem}-{new_id()}{PART}")

    def add(self, entry: Entry) -> None:
        """Write down a medium before it takes its place; what stands in a file survives its writer."""
        self._file.write("\t".join((*entry[:3], "new" if entry.is_new else "held")) + "\n")
        self._file.flush()


@contextmanager
def noted(folder: Path) -> Iterator[Note]:
    """Keep a note over the block; afterwards it is gone, whether the block ended well or not."""
    file = None
    while file is None:
        path = folder / f"{new_id()}{NOTE}"
        file = path.open("x+", encoding="utf-8")
        _lock(file)
        if not _is_at(path, file):  # somebody tidied it away before it was locked
            file.close()
            file = None
    try:
        yield Note(path, file)
    finally:
        for part in folder.glob(f"{path.stem}-*{PART}"):
            part.unlink(missing_ok=True)
        if os.name == "nt":  # nobody can delete what is open there
            file.close()
        path.unlink(missing_ok=True)
        file.close()


@contextmanager
def taken_over(path: Path) -> Iterator[list[Entry] | None]:
    """Take the note of a writer who is gone and yield what it names; None when somebody still writes.

    The note and its parts are gone when the block ends well.
    """
    try:
        file = path.open("r+", encoding="utf-8")
    except FileNotFoundError:
        yield None
        return
    with file:
        if not (_lock(file) and _is_at(path, file)):
            yield None
            return
        yield _entries(file.read())
        for part in path.parent.glob(f"{path.stem}-*{PART}"):
            part.unlink(missing_ok=True)
        if os.name == "nt":
            file.close()
        path.unlink(missing_ok=True)


def notes(folder: Path) -> list[Path]:
    """Return the notes of all writers, also of those who are gone."""
    return sorted(folder.glob(f"*{NOTE}"))


def has_note(path: Path) -> bool:
    """Say whether a file in `incoming` is a note, or belongs to one."""
    return path.suffix == NOTE or (path.suffix == PART and path.with_name(f"{path.stem[:15]}{NOTE}").exists())


def read(path: Path) -> list[Entry]:
    """Return what a note names; nothing when it is gone."""
    with suppress(OSError):
        return _entries(path.read_text(encoding="utf-8"))
    return []


def _entries(text: str) -> list[Entry]:
    """Read whole lines; the last may be half written, and then its medium has not taken its place."""
    lines = [line[:-1].split("\t") for line in text.splitlines(keepends=True) if line.endswith("\n")]
    return [Entry(words[0], words[1], words[2], words[3] == "new") for words in lines if len(words) == 4]


def _lock(file: IO[str]) -> bool:
    """Lock an open file for as long as it is open; return False when somebody else holds it, or nobody can."""
    try:
        if os.name == "nt":
            import msvcrt

            os.lseek(file.fileno(), _LOCKED_BYTE, os.SEEK_SET)
            msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)  # type: ignore[attr-defined,unused-ignore]
            os.lseek(file.fileno(), 0, os.SEEK_SET)
        else:
            import fcntl

            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def _is_at(path: Path, file: IO[str]) -> bool:
    """Say whether the open file is still the one of that name."""
    with suppress(OSError):
        return os.path.samestat(os.fstat(file.fileno()), path.stat())
    return False
