"""What comes from outside is read here: files that a person names, and the JSON, TOML and zip inside of them.

Whatever is wrong with it, one kind of error says so. Nothing here knows what
the content means; whoever asks does.
"""

from __future__ import annotations

import errno
import json
import os
import struct
import tomllib
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from studio.errors import (
    LimitExceededError,
    NotFoundError,
    StoreError,
    StudioError,
    UnreadableMediaError,
)

DEEPEST = 100
"""So many lists and objects may stand in each other; our own files need 6."""
LARGEST_TEXT_BYTES = 16_000_000
LARGEST_PICTURE_BYTES = 256_000_000
"""So much of a zip's entry is unpacked."""


class NoSuchContent(ValueError):
    """It is not what it should be: the one error of the readers of text here."""


# -- files --------------------------------------------------------------------------


def plain_file(path: str | os.PathLike[str]) -> Path:
    """Return the absolute path of a plain file that is not empty.

    Raises:
        NotFoundError: there is no such file.
        UnreadableMediaError: a folder, a device, an empty file, or nobody may look.
    """
    found = Path(path)
    with named(found):
        about = found.stat()
    if os.path.isdir(found):
        raise UnreadableMediaError(f"{found.name or found} is a folder, not a file.", "Choose one file.")
    if not os.path.isfile(found):
        raise UnreadableMediaError(f"{found.name} is not a plain file.", "Choose a picture, sound or video file.")
    if about.st_size == 0:
        raise UnreadableMediaError(f"{found.name} is empty.", "The file has 0 bytes; copy or export it again.")
    return found.absolute()


def text_of(path: str | os.PathLike[str], *, most_bytes: int = LARGEST_TEXT_BYTES) -> str:
    """Return the text of a file; a byte-order mark is left out.

    Raises:
        NotFoundError, UnreadableMediaError: see `plain_file`; also where it is no UTF-8.
        LimitExceededError: more than `most_bytes`.
    """
    found = plain_file(path)
    with named(found):
        if found.stat().st_size > most_bytes:
            raise LimitExceededError(f"{found.name} is larger than {most_bytes / 1e6:.0f} MB.", "Trim it.")
        data = found.read_bytes()
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as exc:
        raise UnreadableMediaError(f"{found.name} is not a text file.", "Save it as UTF-8.") from exc


@contextmanager
def named(path: Path) -> Iterator[None]:
    """Say what is wrong with a file that is opened in the block.

    Raises:
        NotFoundError: there is none.
        UnreadableMediaError: it may not be read, its name is too long, it stands behind a file.
    """
    try:
        yield
    except (OSError, ValueError) as exc:  # ValueError: a name with a zero in it
        raise _about(exc, path) from exc


def _about(exc: OSError | ValueError, path: Path) -> StudioError:
    name = path.name or str(path)
    short = name if len(name) < 80 else f"{name[:60]}…"
    code = exc.errno if isinstance(exc, OSError) else None
    if code in (errno.ENOENT, errno.ENOTDIR) or code is None:
        return NotFoundError(f"There is no file {short!r}.", "Check the path.")
    if code == errno.ENAMETOOLONG:
        return UnreadableMediaError(f"The name {short!r} is longer than any file's.", "Check the path.")
    said = exc.strerror if isinstance(exc, OSError) else ""
    return UnreadableMediaError(
        f"{short} cannot be opened: {said or type(exc).__name__}.", "Check that you may read the file."
    )


def of_disk(exc: BaseException) -> StudioError | None:
    """Say in one sentence what a disk or the memory refused; None where it may be a bug.

    For the walls that everything passes: whoever knows more has said it before.
    """
    if isinstance(exc, MemoryError):
        return StoreError("There is not enough memory for this.", "Close other programs, or choose something smaller.")
    if not isinstance(exc, OSError) or not isinstance(exc.filename, str | bytes | os.PathLike):
        return None
    path = Path(os.fsdecode(exc.filename))
    if exc.errno in (errno.ENOSPC, errno.EDQUOT):
        return StoreError(f"The disk is full: {path.name} could not be written.", "Free some space, then try again.")
    if exc.errno == errno.EROFS:
        return StoreError(f"{path.name} lies on a disk that cannot be written.", "Choose another folder.")
    if exc.errno in (errno.ENAMETOOLONG, errno.EACCES, errno.EPERM, errno.ELOOP, errno.ENOTDIR, errno.EISDIR):
        return _about(exc, path)
    return None


def exists(path: str | os.PathLike[str]) -> bool:
    """Say whether a file or folder of that name is there; what can be no name is not."""
    return os.path.exists(path)  # unlike Path.exists it lets no name fail


# -- text -----------------------------------------------------------------------------


def json_of(text: str | bytes) -> Any:
    """Read JSON.

    Raises:
        NoSuchContent: it is none, or nested deeper than DEEPEST.
    """
    try:
        return _shallow(json.loads(text))
    except (ValueError, RecursionError, MemoryError) as exc:
        raise NoSuchContent(_why(exc)) from exc


def toml_of(text: str) -> dict[str, Any]:
    """Read TOML.

    Raises:
        NoSuchContent: it is none, or nested deeper than DEEPEST.
    """
    try:
        return dict(_shallow(tomllib.loads(text)))
    except (ValueError, RecursionError, MemoryError) as exc:
        raise NoSuchContent(_why(exc)) from exc


def _why(exc: BaseException) -> str:
    return "it is nested too deeply" if isinstance(exc, RecursionError) else str(exc) or "it is too large"


def _shallow(value: Any) -> Any:
    """Return the value.

    Raises:
        NoSuchContent: it is nested deeper than DEEPEST, at which other walks through it would break off.
    """
    level = [value]
    for _ in range(DEEPEST):
        level = [
            inner
            for outer in level
            if isinstance(outer, dict | list)
            for inner in (outer.values() if isinstance(outer, dict) else outer)
            if isinstance(inner, dict | list)
        ]
        if not level:
            return value
    raise NoSuchContent("it is nested too deeply")


# -- zip ------------------------------------------------------------------------------


@contextmanager
def zip_of(path: Path) -> Iterator[zipfile.ZipFile]:
    """Open a zip for reading.

    Raises:
        UnreadableMediaError: it is none, or damaged, locked or packed in an unknown way; also while reading.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            yield archive
    except (
        zipfile.BadZipFile, zlib.error, struct.error, EOFError, OSError, RuntimeError, NotImplementedError, ValueError,
    ) as exc:  # fmt: skip
        raise UnreadableMediaError(f"{path.name} is a damaged zip file.", "Use the original file.") from exc


def unpacked(archive: zipfile.ZipFile, name: str, *, most_bytes: int = LARGEST_PICTURE_BYTES) -> bytes:
    """Return one file of a zip; no more of it is unpacked than `most_bytes`, whatever it says of itself.

    Raises:
        LimitExceededError: it holds more.
        See `zip_of` for the rest.
    """
    with archive.open(name) as file:
        data = file.read(most_bytes + 1)
    if len(data) > most_bytes:
        raise LimitExceededError(
            f"{name} in {Path(archive.filename or '').name} unpacks to more than {most_bytes / 1e6:.0f} MB.",
            "Use the original file.",
        )
    return data
