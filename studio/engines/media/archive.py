"""Many files in one zip with a list of their hashes, written and unpacked piece by piece.

Files are stored as they are: pictures and clips are packed already. The list is the last entry, since hashes are known
when all was read; a half-written zip is thus unreadable, not half a backup. Nothing of a zip becomes a path before its
name was looked at. Knows nothing of what the files mean.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import zipfile
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO, Any

from studio.engines.media.atomic import atomic_file, disk_error
from studio.errors import UnreadableMediaError
from studio.outside import exists, json_of, plain_file, unpacked, zip_of

LIST = "manifest.json"
_LIST_BYTES = 512_000_000
_CHUNK = 1 << 20
_WINDOWS_NAMES = re.compile(r"(?i)(con|prn|aux|nul|com\d|lpt\d)(\..*)?")
OnBytes = Callable[[int, int], None]
"""Told how many bytes are done, and of how many."""


@dataclass(frozen=True)
class Packed:
    """What a zip holds.

    Attributes:
        about: the head of its list.
        files: name -> (sha256, bytes).
    """

    about: Mapping[str, Any]
    files: Mapping[str, tuple[str, int]]

    @property
    def total_bytes(self) -> int:
        """Bytes of all files together."""
        return sum(size for _, size in self.files.values())


def pack(
    out: Path, files: Iterable[tuple[str, Path]], about: Mapping[str, Any], on_bytes: OnBytes | None = None
) -> tuple[Packed, tuple[str, ...]]:
    """Write files into a zip, whole or not at all, readable for its owner alone.

    Args:
        files: name in the zip, with slashes, and where the file lies.
        about: JSON values for the head of the list.

    Returns:
        What is in it, and the names of files that were gone when they were due.

    Raises:
        NotFoundError: the folder of `out` does not exist.
        StoreError: disk full, read-only folder.
    """
    wanted = list(files)
    total = sum(path.stat().st_size for _, path in wanted if exists(path))
    listed: dict[str, tuple[str, int]] = {}
    gone: list[str] = []
    done = 0
    with atomic_file(out) as part:
        opened = os.fdopen(os.open(part, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600), "w+b")
        with opened as file, zipfile.ZipFile(file, "w") as box:
            for name, path in wanted:
                try:
                    source = path.open("rb")
                except FileNotFoundError:
                    gone.append(name)
                    continue
                with source, box.open(_entry(name), "w", force_zip64=True) as target:
                    digest, size = hashlib.sha256(), 0
                    while chunk := source.read(_CHUNK):
                        target.write(chunk)
                        digest.update(chunk)
                        size += len(chunk)
                        if on_bytes is not None:
                            on_bytes(done + size, max(total, done + size))
                listed[name], done = (digest.hexdigest(), size), done + size
            table = {name: [sha256, size] for name, (sha256, size) in listed.items()}
            text = json.dumps({**about, "files": table, "gone": gone}, sort_keys=True)
            box.writestr(_entry(LIST), text, zipfile.ZIP_DEFLATED)
    return Packed(dict(about), listed), tuple(gone)


def contents(path: Path, kind: str, newest: int) -> Packed:
    """Return what a zip holds, after a look at every name.

    Args:
        kind: what its list has to say as "format".
        newest: the newest "version" that is understood.

    Raises:
        NotFoundError: no such file.
        UnreadableMediaError: no zip, none of ours, a newer one, damaged, or with names that lead elsewhere.
    """
    found = plain_file(path)
    strange = UnreadableMediaError(
        f"{found.name} is no {kind.replace('-', ' ')}.", "Choose a file that the studio wrote."
    )
    with zip_of(found) as box:
        names = box.namelist()
        if LIST not in names:
            raise strange
        told = json_of(unpacked(box, LIST, most_bytes=_LIST_BYTES))
    if not isinstance(told, dict) or told.get("format") != kind or not isinstance(told.get("version"), int):
        raise strange
    if told["version"] > newest:
        raise UnreadableMediaError(f"{found.name} was written by a newer studio.", "Update this studio.")
    table = told.get("files")
    damaged = UnreadableMediaError(f"The list in {found.name} is damaged.", "Use another copy of the file.")
    if not isinstance(table, dict) or set(table) | {LIST} != set(names) or len(names) != len(set(names)):
        raise damaged
    files = {}
    for name, row in table.items():
        if not (
            is_harmless(name) and isinstance(row, list) and len(row) == 2
            and isinstance(row[0], str) and isinstance(row[1], int) and row[1] >= 0
        ):  # fmt: skip
            raise damaged
        files[name] = (row[0], row[1])
    return Packed({k: v for k, v in told.items() if k not in ("files", "gone")}, files)


def unpack(path: Path, packed: Packed, folder: Path, on_bytes: OnBytes | None = None) -> None:
    """Write all files of a zip below a folder, each compared with its hash.

    Args:
        packed: as `contents` returns it.
        folder: exists, and is empty.

    Raises:
        UnreadableMediaError: a file is not what the list says.
        StoreError: disk full, read-only folder.
    """
    done, total = 0, packed.total_bytes
    with zip_of(path) as box:
        for name, (sha256, size) in packed.files.items():
            out = folder / name
            try:
                out.parent.mkdir(parents=True, exist_ok=True)
                with out.open("xb") as target, box.open(name) as source:
                    whole = _copied(source, target, size) == sha256
            except OSError as exc:
                raise disk_error(exc, out) from exc
            if not whole:
                raise UnreadableMediaError(
                    f"{name} in {path.name} is damaged.", "Use another copy of the file; nothing was changed."
                )
            done += size
            if on_bytes is not None:
                on_bytes(done, total)


def is_harmless(name: str) -> bool:
    """Say whether a name in a zip stays below the folder it is unpacked into, on every system."""
    parts = PurePosixPath(name).parts
    return (
        bool(parts)
        and name == "/".join(parts)
        and not any(c in name for c in '\\:*?"<>|\0')
        and all(_is_harmless_part(part) for part in parts)
    )


def _is_harmless_part(part: str) -> bool:
    return part not in (".", "..", "/") and part == part.rstrip(" .") and not _WINDOWS_NAMES.fullmatch(part)


def _copied(source: IO[bytes], target: IO[bytes], size: int) -> str:
    """Copy no more than a file's size and one byte; return the hash of what came."""
    digest, left = hashlib.sha256(), size + 1
    while left and (chunk := source.read(min(_CHUNK, left))):
        target.write(chunk)
        digest.update(chunk)
        left -= len(chunk)
    return digest.hexdigest()


def _entry(name: str) -> zipfile.ZipInfo:
    made = zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0))
    made.external_attr = 0o600 << 16
    return made
