"""Files that appear whole or not at all: written beside their place, synced, then renamed.

A reader never sees half a file, and a process that is killed leaves at most a
hidden `PART_PREFIX` file, which `clear_parts` takes away. Knows nothing of
what is inside the files.
"""

from __future__ import annotations

import errno
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from studio.errors import NotFoundError, StoreError, UserInputError

PART_PREFIX = ".part-"
_FULL = {errno.ENOSPC, getattr(errno, "EDQUOT", errno.ENOSPC)}


def part_path(path: Path) -> Path:
    """Return a fresh hidden name in the same folder; the suffix is kept.

    Raises:
        NotFoundError: the folder does not exist.
    """
    if not path.parent.is_dir():
        raise NotFoundError(f"The folder for {path.name} does not exist.", "Create the folder or choose another place.")
    return path.with_name(f"{PART_PREFIX}{secrets.token_hex(6)}{path.suffix}")


def disk_error(exc: OSError, path: Path) -> StoreError:
    """Put an OSError of a write into one sentence."""
    if exc.errno in _FULL:
        return disk_full(path)
    if exc.errno in {errno.EACCES, errno.EPERM, errno.EROFS}:
        return StoreError(
            f"{path.name} cannot be written here: no permission.", "Choose a folder that you may write to."
        )
    reason = exc.strerror or type(exc).__name__
    return StoreError(f"{path.name} could not be written: {reason}.", "Check the disk and the file's name.")


def disk_full(path: Path) -> StoreError:
    """Return the error for a disk without room."""
    return StoreError(
        f"The disk is full: {path.name} could not be written.", "Free some space and try again; nothing was changed."
    )


def settle(part: Path, path: Path) -> None:
    """Sync a finished part to disk and give it its name.

    Raises:
        StoreError: the disk refused; the part is removed.
    """
    try:
        with part.open("rb+") as file:  # Windows syncs only what is open for writing
            os.fsync(file.fileno())
        os.replace(part, path)
    except OSError as exc:
        part.unlink(missing_ok=True)
        raise disk_error(exc, path) from exc


def check_place(path: Path, *inputs: Path | None) -> None:
    """Refuse a place for a result before the long work starts, not after it.

    Args:
        inputs: files that the work reads and that must not be overwritten.

    Raises:
        NotFoundError: the folder does not exist.
        UserInputError: `path` is one of the inputs.
    """
    part_path(path)
    if path.exists() and any(source is not None and source.exists() and path.samefile(source) for source in inputs):
        raise UserInputError(f"{path.name} is also what the work starts from.", "Choose another name for the result.")


@contextmanager
def atomic_file(path: Path) -> Iterator[Path]:
    """Yield a part path to write; it takes the name `path` when the block ends well.

    Raises:
        NotFoundError: the folder does not exist.
        StoreError: disk full, read-only folder.
    """
    part = part_path(path)
    try:
        yield part
    except OSError as exc:
        part.unlink(missing_ok=True)
        raise disk_error(exc, path) from exc
    except BaseException:
        part.unlink(missing_ok=True)
        raise
    settle(part, path)


def clear_parts(folder: Path, older_than_seconds: float, now: float) -> int:
    """Remove parts that a killed process left behind.

    Args:
        folder: searched without its subfolders.
        older_than_seconds: younger parts may still be written and stay.
        now: the time, in seconds since 1970.

    Returns:
        How many were removed.
    """
    removed = 0
    for part in folder.glob(f"{PART_PREFIX}*"):
        if part.is_file() and now - part.stat().st_mtime > older_than_seconds:
            part.unlink(missing_ok=True)
            removed += 1
    return removed
