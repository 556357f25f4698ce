"""Bytes on disk, named by their sha256, and rows that say who still needs them.

A file gets its name only when all of it is on the disk (temporary file, fsync,
rename), and gets it inside the transaction that writes its row. A file leaves
the disk only inside a transaction that finds no row for it. So a row never
refers to bytes that another process is just taking away, and a crash at any
point leaves at worst a file without a row, which `verify` finds.

Nothing a person typed becomes a path: the name is the hash, plus an extension
of letters and digits so that players know what it is.
"""

from __future__ import annotations

import errno
import hashlib
import logging
import os
import re
import threading
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from studio.errors import NotFoundError, StoreError
from studio.store.database import Database
from studio.store.incoming import Entry, Note, has_note, noted, notes, read, taken_over
from studio.store.references import References
from studio.store.rows import now, to_text

CHUNK_BYTES = 1 << 20
TRASH_SECONDS = 30 * 86400.0
GRACE_SECONDS = 86400.0
"""A file younger than this may belong to work in progress and is not swept."""

_logger = logging.getLogger(__name__)
_EXTENSION = re.compile(r"\.[a-z0-9]{1,8}")


@contextmanager
def disk_errors() -> Iterator[None]:
    """Turn the disk's errors into ours.

    Raises:
        StoreError: full, read-only, or broken disk.
    """
    try:
        yield
    except OSError as exc:
        if exc.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            raise StoreError("The disk is full, so nothing was written.", "Free some space, then try again.") from exc
        if exc.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
            raise StoreError(
                "The data folder cannot be written.",
                "Change its permissions, or start the studio with another data folder.",
            ) from exc
        raise StoreError(f"The disk refused: {exc.strerror or exc}.", "Check the disk, then try again.") from exc


def make_folder(path: Path) -> None:
    """Make a folder of the data folder, unless it is there.

    Raises:
        StoreError: a link stands there that leads nowhere, or a file, or the disk refuses.
    """
    refuse_dangling(path)
    with disk_errors():
        try:
            path.mkdir(parents=True, exist_ok=True)
        except (FileExistsError, FileNotFoundError, NotADirectoryError) as exc:
            raise StoreError(
                f"The folder {path} cannot be made.",
                "This path is a file, or leads through one: start the studio with another data folder.",
            ) from exc


def refuse_dangling(path: Path) -> None:
    """Refuse a link that leads nowhere, which mostly is a disk that is not connected.

    Raises:
        StoreError: it is one.
    """
    if path.is_symlink() and not path.exists():
        raise StoreError(
            f"{path} is a link to {os.readlink(path)}, and nothing is there.",
            "Connect the disk that it leads to, or mend the link; nothing was changed.",
        )


def keep_private(path: Path, mode: int) -> None:
    """Let nobody but the owner of a file or folder in; other users of the machine have no business with faces.

    A disk without such rights, or a folder that belongs to another user who lent
    it, stays as it is: whoever set it up so knows it.
    """
    with suppress(OSError):
        if path.stat().st_mode & 0o777 != mode:
            path.chmod(mode)


@dataclass(frozen=True)
class VerifyReport:
    """What a check of all files found.

    Attributes:
        checked: rows whose file was looked at.
        missing: sha256 of rows without a file.
        changed: sha256 of files whose bytes are no longer what their name says.
        orphans: file names that no row knows, relative to the data folder.
        unused: sha256 of media that nothing refers to.
    """

    checked: int
    missing: tuple[str, ...]
    changed: tuple[str, ...]
    orphans: tuple[str, ...]
    unused: tuple[str, ...]

    @property
    def ok(self) -> bool:
        """Whether every row has its bytes and every file its row; unused media are no fault."""
        return not (self.missing or self.changed or self.orphans)

    @property
    def sentence(self) -> str:
        """What was found, for the person."""
        if self.ok:
            return f"All {self.checked} files are there and unchanged."
        return (
            f"{len(self.missing)} missing, {len(self.changed)} changed, {len(self.orphans)} left over "
            f"of {self.checked} files."
        )


@dataclass(frozen=True)
class SweepReport:
    """What a sweep moved into the trash, and the bytes it set free for good."""

    trashed: int
    freed_bytes: int


class MediaFolder:
    """The media of all owners in one data folder: the same bytes are one file, whoever has them."""

    def __init__(self, database: Database, folder: Path) -> None:
        self._database = database
        self.references = References(database)
        self.folder = folder / "media"
        self.incoming = folder / "media" / "incoming"
        self._trash = folder / "trash"
        self._open = threading.local()
        for place in (self.folder, self.incoming, self._trash):
            make_folder(place)

    @contextmanager
    def keeping(self) -> Iterator[Note]:
        """Note what is put in the block, so that nothing stays when it fails, or when the process is killed in it.

        What nothing refers to by then goes; blocks may nest, and the outermost counts.
        """
        note = getattr(self._open, "note", None)
        if note is not None:
            yield note
            return
        with ExitStack() as stack:
            with disk_errors():
                note = stack.enter_context(noted(self.incoming))
            self._open.note = note
            try:
                yield note
            except BaseException:
                with suppress(StoreError):
                    self._drop(read(note.path), but=note.path)
                raise
            finally:
                self._open.note = None

    def drop_abandoned(self) -> None:
        """Take away what killed processes were putting: half files, files without a row, rows without a use.

        What a living process writes stays; see `incoming`. A database that is busy now is left for another time.
        """
        found = notes(self.incoming)
        if found and not self._database.is_idle():
            return
        for path in found:
            with disk_errors(), taken_over(path) as entries:
                self._drop(entries or [], but=path)

    def _drop(self, entries: Sequence[Entry], *, but: Path) -> None:
        """Drop those of the media that are of no use to anybody, and that no note but this one names."""
        named = self._being_put(but)
        for entry in entries:
            if entry.sha256 in named:
                continue
            with self._database.transaction(), disk_errors():
                if entry.is_new:
                    Media(self._database, self, entry.owner).discard_unused([entry.sha256])
                if not self._is_held(entry.sha256, entry.suffix):
                    self.path(entry.sha256, entry.suffix).unlink(missing_ok=True)
        self.finish_deletions()

    def _being_put(self, but: Path | None = None) -> set[str]:
        """Return the sha256 of what notes name: somebody is about to refer to it."""
        return {entry.sha256 for path in notes(self.incoming) if path != but for entry in read(path)}

    def _is_held(self, sha256: str, suffix: str) -> bool:
        """Say whether any owner has this file."""
        sql = "SELECT 1 FROM media WHERE sha256 = ? AND extension = ?"
        return self._database.value(sql, [sha256, suffix]) is not None

    def finish_deletions(self, *, wait: bool = True) -> int:
        """Take doomed files off the disk, also those of a process that died; return the bytes set free.

        Args:
            wait: for a database that is busy; else they go another time.
        """
        freed = 0
        if self._database.value("SELECT 1 FROM media_doomed LIMIT 1") is None:
            return freed  # nobody who only looks at things needs to write
        if not wait and not self._database.is_idle():
            return freed
        with self._database.transaction(), disk_errors():
            for row in self._database.rows("SELECT file_name FROM media_doomed"):
                name = str(row["file_name"])
                sha256, suffix = name[:64], name[64:]
                # Another owner may hold the same bytes, and so the same file.
                held = self._is_held(sha256, suffix)
                path = self.path(sha256, suffix)
                if not held and path.is_file():
                    size = path.stat().st_size
                    try:
                        path.unlink()
                    except PermissionError:
                        # Windows keeps a file that somebody is looking at; it stays doomed.
                        _logger.warning("%s is in use and will be deleted at the next start", path.name)
                        continue
                    freed += size
                self._database.execute("DELETE FROM media_doomed WHERE file_name = ?", [name])
        return freed

    def unfinished(self) -> list[Path]:
        """Return doomed files that are still on the disk."""
        names = [str(r[0]) for r in self._database.rows("SELECT file_name FROM media_doomed")]
        return [path for path in (self.path(n[:64], n[64:]) for n in names) if path.is_file()]

    # -- checking --------------------------------------------------------------

    def verify(self, *, read_bytes: bool = True) -> VerifyReport:
        """Compare rows and files, of all owners.

        Args:
            read_bytes: also read every file and compare its hash; else its size only.
        """
        missing, changed = [], []
        rows = self._database.rows("SELECT DISTINCT sha256, extension, bytes FROM media ORDER BY sha256")
        with disk_errors():
            for sha256, suffix, size in rows:
                path = self.path(sha256, suffix)
                if not path.is_file():
                    missing.append(sha256)
                elif path.stat().st_size != size or (read_bytes and _hash(path) != sha256):
                    changed.append(sha256)
            # Files first, rows second: what is put in between has its row by then.
            files = self._files()
        known = {r[0] + r[1] for r in self._database.rows("SELECT sha256, extension FROM media")}
        orphans = [f.relative_to(self.folder.parent).as_posix() for f in files if f.name not in known]
        sql = f"SELECT sha256 FROM media m WHERE {self.references.unused} ORDER BY sha256"
        unused = [r[0] for r in self._database.rows(sql)]
        return VerifyReport(len(rows), tuple(missing), tuple(changed), tuple(orphans), tuple(unused))

    def sweep(self, *, grace_seconds: float = GRACE_SECONDS) -> SweepReport:
        """Move orphans and unused media into the trash, and empty the trash of what lay there TRASH_SECONDS.

        Args:
            grace_seconds: what is younger stays, because work in progress may need it.
        """
        self.drop_abandoned()
        freed = self.finish_deletions()
        trashed = 0
        before = time.time() - grace_seconds
        for path in [self.folder.parent / name for name in self.verify(read_bytes=False).orphans]:
            with self._database.transaction(), disk_errors():
                held = self._is_held(path.stem, path.suffix)
                if path.is_file() and path.stat().st_mtime <= before and not held:
                    trashed += self._to_trash(path)
        old = to_text(now().fromtimestamp(before, now().tzinfo))
        with self._database.transaction(), disk_errors():
            sql = f"SELECT owner, sha256, extension FROM media m WHERE created <= ? AND {self.references.unused}"
            named = self._being_put()
            for owner, sha256, suffix in self._database.rows(sql, [old]):
                if sha256 in named:
                    continue
                self._database.execute("DELETE FROM media WHERE owner = ? AND sha256 = ?", [owner, sha256])
                if not self._is_held(sha256, suffix):
                    trashed += self._to_trash(self.path(sha256, suffix))
        return SweepReport(trashed, freed + self.empty_trash())

    def empty_trash(self, *, older_than_seconds: float = TRASH_SECONDS) -> int:
        """Delete for good what lay in the trash for so long; return the bytes set free."""
        freed = 0
        with disk_errors():
            for path in self._trash.iterdir():
                if path.stat().st_mtime <= time.time() - older_than_seconds:
                    freed += path.stat().st_size
                    path.unlink()
        return freed

    def usage(self) -> dict[str, tuple[int, int]]:
        """Return how many files there are of each use, and their bytes; each file counts once, of all owners.

        Uses: "photos", "adapters", "clips", "pictures", "trash" (renders that were thrown away), "trainings",
        "other".
        """
        cases = " ".join(
            f"WHEN m.sha256 IN (SELECT {column} FROM {table} WHERE {condition}) THEN '{use}'"
            for use, table, column, condition in (
                ("photos", "photos", "sha256", "TRUE"),
                ("adapters", "adapters", "media_sha256", "TRUE"),
                ("clips", "renders", "media_sha256", "kind = 'clip' AND deleted IS NULL"),
                ("pictures", "renders", "media_sha256", "kind <> 'clip' AND deleted IS NULL"),
                ("trash", "renders", "media_sha256", "deleted IS NOT NULL"),
                ("trainings", "checkpoints", "media_sha256", "TRUE"),
                ("trainings", "run_samples", "media_sha256", "TRUE"),
                ("trainings", "grid_cells", "media_sha256", "TRUE"),
                ("trainings", "variants", "media_sha256", "TRUE"),
                ("trainings", "variants", "mask_sha256", "TRUE"),
            )
        )
        sql = f"""
            SELECT use, count(*), sum(bytes) FROM (
                SELECT CASE {cases} ELSE 'other' END AS use, max(m.bytes) AS bytes
                FROM media m GROUP BY m.sha256, m.extension)
            GROUP BY use"""
        return {str(use): (int(files), int(size)) for use, files, size in self._database.rows(sql)}

    # -- paths -----------------------------------------------------------------

    def path(self, sha256: str, suffix: str) -> Path:
        """Return where bytes of that hash lie, or would."""
        if not re.fullmatch(r"[0-9a-f]{64}", sha256):
            raise NotFoundError(
                "That is no sha256 of a medium.", "Take it from `studio library show`.", window="Open the tab again."
            )
        return self.folder / sha256[:2] / sha256[2:4] / (sha256 + suffix)

    def _files(self) -> list[Path]:
        found = sorted(p for p in self.folder.rglob("*") if p.is_file() and not p.is_symlink())
        return [p for p in found if p.parent != self.incoming or not has_note(p)]

    def _to_trash(self, path: Path) -> int:
        """Move a file into the trash, where its time starts now; return 1, or 0 when it is not there."""
        if not path.is_file():
            return 0
        os.utime(path)
        os.replace(path, self._trash / path.name)
        return 1


class Media:
    """The media of one owner."""

    def __init__(self, database: Database, files: MediaFolder, owner: str) -> None:
        self._database = database
        self._files = files
        self._owner = owner

    # -- keeping ---------------------------------------------------------------

    def put(self, source: bytes | Path, extension: str = "") -> str:
        """Keep bytes, or a copy of a file, and return their sha256; keeping them twice is keeping them once.

        Args:
            extension: such as ".png"; default the file's own. What is no short
                extension of letters and digits is left out.

        Raises:
            NotFoundError: the file does not exist.
            StoreError: the disk is full or read-only; nothing is left behind.
        """
        suffix = (extension or (source.suffix if isinstance(source, Path) else "")).lower()
        suffix = suffix if _EXTENSION.fullmatch(suffix) else ""
        if isinstance(source, Path) and not source.is_file():
            raise NotFoundError(f"There is no file {source.name!r}.", "Check the path.")
        with self._files.keeping() as note:
            part = note.part()
            with disk_errors():
                sha256, size = _write(source, part)
            with self._database.transaction():
                row = self._database.row(
                    "SELECT extension FROM media WHERE owner = ? AND sha256 = ?", [self._owner, sha256]
                )
                suffix = suffix if row is None else str(row["extension"])
                path = self._files.path(sha256, suffix)
                with disk_errors():
                    note.add(Entry(self._owner, sha256, suffix, is_new=row is None))
                with disk_errors():
                    # Bytes that went bad on disk are mended by putting them again.
                    if not path.is_file() or _hash(path) != sha256:
                        path.parent.mkdir(parents=True, exist_ok=True)
                        os.replace(part, path)
                        _sync_folder(path.parent)
                if row is None:
                    values = {"owner": self._owner, "sha256": sha256, "extension": suffix, "bytes": size}
                    self._database.insert("media", values | {"created": to_text(now())})
                self._database.execute("DELETE FROM media_doomed WHERE file_name = ?", [path.name])
            part.unlink(missing_ok=True)
        return sha256

    def keeping(self) -> AbstractContextManager[Note]:
        """Keep all that is put in the block, or nothing. See `MediaFolder.keeping`."""
        return self._files.keeping()

    def get(self, sha256: str) -> Path:
        """Return where the bytes lie; read them, never write there.

        Raises:
            NotFoundError: no such medium for this owner, or its file is gone.
        """
        row = self._database.row("SELECT extension FROM media WHERE owner = ? AND sha256 = ?", [self._owner, sha256])
        if row is None:
            raise NotFoundError(
                f"There is no medium {sha256[:12]}.",
                "`studio library verify` checks all files.",
                window_message="A file that belongs to this is not there any more.",
                window="“Check all files” in the Library says what is missing.",
            )
        path = self._files.path(sha256, row["extension"])
        if not path.is_file():
            raise NotFoundError(
                f"The file of medium {sha256[:12]} is missing.",
                "Restore it from a backup of the data folder.",
                window_message="A file that belongs to this is missing from the data folder.",
            )
        return path

    def has(self, sha256: str) -> bool:
        """Say whether the owner has this medium."""
        return (
            self._database.value("SELECT 1 FROM media WHERE owner = ? AND sha256 = ?", [self._owner, sha256])
            is not None
        )

    def total_bytes(self) -> int:
        """Return the size of all the owner's media together."""
        return int(self._database.value("SELECT coalesce(sum(bytes), 0) FROM media WHERE owner = ?", [self._owner]))

    # -- letting go ------------------------------------------------------------

    def discard_unused(self, candidates: Iterable[str]) -> tuple[int, int]:
        """Drop the rows of those candidates that nothing refers to; call inside a transaction.

        The files leave the disk at the next `finish_deletions`, after the commit.

        Returns:
            How many media went, and their bytes.
        """
        count = size = 0
        unused = self._files.references.unused
        with self._database.transaction():
            waiting = sorted(set(candidates))
            while waiting:
                sha256 = waiting.pop()
                row = self._database.row(
                    f"SELECT extension, bytes FROM media m WHERE owner = ? AND sha256 = ? AND {unused}",
                    [self._owner, sha256],
                )
                if row is None:
                    continue
                # What was measured in the bytes goes with them, and its matte then has no use either.
                waiting += self._files.references.going_along(self._owner, sha256)
                self._database.execute("DELETE FROM media WHERE owner = ? AND sha256 = ?", [self._owner, sha256])
                self._database.execute(
                    "INSERT OR IGNORE INTO media_doomed (owner, file_name) VALUES (?, ?)",
                    [self._owner, sha256 + row["extension"]],
                )
                count, size = count + 1, size + int(row["bytes"])
        return count, size

    def of_rows(self, roots: Mapping[str, Sequence[str]]) -> set[str]:
        """Return the owner's media of rows and of everything that is deleted along with them.

        Args:
            roots: table -> ids of the owner's rows.
        """
        return {sha256 for sha256 in self._files.references.media_of(roots) if self.has(sha256)}

    def finish_deletions(self) -> int:
        """Take what was discarded off the disk; call after the commit. See `MediaFolder.finish_deletions`."""
        return self._files.finish_deletions()

    @property
    def shown_in(self) -> Sequence[tuple[str, str]]:
        """(table, column) of everything that needs media."""
        return self._files.references.keeping

    @property
    def folder(self) -> Path:
        """Where the files of all owners lie."""
        return self._files.folder

    def unfinished(self) -> list[Path]:
        """Return files that were discarded and are still on the disk."""
        return self._files.unfinished()


def _write(source: bytes | Path, part: Path) -> tuple[str, int]:
    """Write the source to `part` down to the disk; return its sha256 and size."""
    digest, size = hashlib.sha256(), 0
    with part.open("xb") as out:
        for chunk in _chunks(source):
            digest.update(chunk)
            size += out.write(chunk)
        out.flush()
        os.fsync(out.fileno())
    keep_private(part, 0o600)
    return digest.hexdigest(), size


def _chunks(source: bytes | Path) -> Iterator[bytes]:
    if isinstance(source, bytes):
        yield source
        return
    with source.open("rb") as file:
        while chunk := file.read(CHUNK_BYTES):
            yield chunk


def _hash(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _sync_folder(folder: Path) -> None:
    """Make a rename durable; Windows cannot open folders and does it by itself."""
    if os.name == "nt":
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
