"""The whole studio in one file, and back: for another disk, another computer, a bad day.

A backup is made while the studio runs: first a copy of the database, then every file that this copy names. It holds the
keys too, so that what is brought back signs and reads marks as before; whoever has the file can do both. Caches, the
trash, logs and models that can be downloaded again are left out.
"""

from __future__ import annotations

import os
import shutil
import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import studio
from studio.errors import ConflictError, StoreError, UnreadableMediaError
from studio.services.marks import KEY_FILE
from studio.services.progress import OnProgress, told_bytes
from studio.store import Store

FORMAT, VERSION = "likeness-studio-backup", 1
DATABASE = "studio.db"
_FILES = ("settings.toml", KEY_FILE)
_FOLDERS = ("keys", "runs")
_MODELS = "models"


@dataclass(frozen=True)
class BackupReport:
    """What a backup holds.

    Attributes:
        gone: files that were deleted while it was written.
    """

    path: Path
    files: int
    bytes: int
    written: str
    gone: tuple[str, ...] = ()


def back_up(store: Store, out: Path, *, models: bool = False, on_progress: OnProgress | None = None) -> BackupReport:
    """Write the data folder of all owners into one zip; work may go on meanwhile.

    Keys that a setting keeps elsewhere are not in it.

    Args:
        out: the file, or a folder that gets one with the day in its name.
        models: base models that were downloaded or added as well; they may be large.

    Raises:
        ConflictError: there is a file of this name.
        NotFoundError: the folder does not exist.
        StoreError: disk full, read-only folder.
    """
    from studio.engines.media.archive import pack

    now = datetime.now(UTC)
    if out.is_dir():
        out = out / f"likeness-studio-{now:%Y-%m-%d-%H%M%S}.zip"
    if out.exists():
        raise ConflictError(f"{out.name} is there already.", "Choose another name; a backup replaces nothing.")
    (store.data_dir / "scratch").mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="backup-", dir=store.data_dir / "scratch") as place:
        copy = Path(place) / DATABASE
        store.database.copy_to(copy)
        about = {"format": FORMAT, "version": VERSION, "studio": studio.__version__, "written": now.isoformat()}
        packed, gone = pack(out, _files(store, copy, models), about, told_bytes(on_progress, "Copying"))
    return BackupReport(out, len(packed.files), packed.total_bytes, now.isoformat(), gone)


def _files(store: Store, database: Path, models: bool) -> Iterator[tuple[str, Path]]:
    yield DATABASE, database
    with closing(sqlite3.connect(database)) as copy:
        for sha256, suffix in copy.execute("SELECT DISTINCT sha256, extension FROM media ORDER BY sha256"):
            path = store.files.path(sha256, suffix)
            yield path.relative_to(store.data_dir).as_posix(), path
    for name in _FILES:
        if (store.data_dir / name).is_file():
            yield name, store.data_dir / name
    for folder in (*_FOLDERS, *((_MODELS,) if models else ())):
        for path in sorted((store.data_dir / folder).rglob("*")):
            if path.is_file() and not path.is_symlink() and not path.name.startswith(".part-"):
                yield path.relative_to(store.data_dir).as_posix(), path


def restore(archive: Path, data_dir: Path, *, on_progress: OnProgress | None = None) -> BackupReport:
    """Bring a backup back into a data folder that does not exist yet, or is empty.

    Everything is unpacked beside it and compared with its hashes first: the folder appears whole or not at all.

    Raises:
        ConflictError: the folder holds something; a backup never overwrites.
        NotFoundError: no such file.
        UnreadableMediaError: no backup, a damaged one, or one of a newer studio.
        StoreError: disk full, read-only folder.
    """
    from studio.engines.media.archive import contents, unpack

    if data_dir.exists() and any(data_dir.iterdir()):
        raise ConflictError(
            f"The data folder {data_dir.name} is not empty; a backup never overwrites.",
            "Name another folder, or move this one away first.",
        )
    packed = contents(archive, FORMAT, VERSION)
    allowed = {DATABASE, "media", *_FILES, *_FOLDERS, _MODELS}
    if DATABASE not in packed.files or {name.split("/")[0] for name in packed.files} - allowed:
        raise UnreadableMediaError(f"{archive.name} holds what belongs to no backup.", "Use another copy of the file.")
    data_dir.parent.mkdir(parents=True, exist_ok=True)
    if shutil.disk_usage(data_dir.parent).free < packed.total_bytes:
        raise StoreError(
            f"The disk has no room for {packed.total_bytes / 1e9:.1f} GB.", "Free some space; nothing was written."
        )
    place = Path(tempfile.mkdtemp(prefix=".restore-", dir=data_dir.parent))  # for its owner alone
    try:
        unpack(archive, packed, place, told_bytes(on_progress, "Bringing back"))
        for path in (place / KEY_FILE, *(place / "keys").glob("*")):
            if path.is_file():
                path.chmod(0o600)
        if data_dir.exists():
            data_dir.rmdir()
        os.replace(place, data_dir)
    finally:
        shutil.rmtree(place, ignore_errors=True)
    return BackupReport(data_dir, len(packed.files), packed.total_bytes, str(packed.about.get("written", "")))
