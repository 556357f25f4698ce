"""One SQLite file, opened once per thread, and the wall behind which its errors stay.

Several processes share the file: the window, the worker, the command line,
perhaps a second window. WAL lets them read while one writes; every write is a
short immediate transaction, and a busy file is waited for. On a disk that is a
mounted bucket, file locks and WAL cannot be trusted: there `journal="delete"`.

Plain SQL goes through here for all table modules. This module does not know
any table but the list of applied migrations.
"""

from __future__ import annotations

import os
import re
import shutil
import sqlite3
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from studio.domain.names import as_read, as_text
from studio.errors import ConflictError, StoreError, UserInputError
from studio.store import migrations

if TYPE_CHECKING:
    from types import TracebackType

Journal = Literal["wal", "delete"]
Row = sqlite3.Row
Parameters = Sequence[Any] | Mapping[str, Any]

BUSY_SECONDS = 5.0
CACHE_KIBIBYTES = 32_000
KEPT_BACKUPS = 3
DAY_SECONDS = 86400.0
APPLICATION_ID = 0x4C494B45
"""Marks our files in SQLite's header ("LIKE"), so that another program's file is refused."""

_FULL = ("The disk is full, so nothing was written.", "Free some space, then try again.")
_READ_ONLY = (
    "The data folder cannot be written.",
    "Change its permissions, or start the studio with another data folder.",
)
_CORRUPT = (
    "The database is damaged or is no database.",
    "Put back a copy from the backups folder of the data folder; media files are not affected.",
)
_BUSY = ("The database is busy with another process.", "Wait a moment, then try again.")
_SENTENCES: Mapping[int, tuple[str, str]] = {
    sqlite3.SQLITE_FULL: _FULL,
    sqlite3.SQLITE_READONLY: _READ_ONLY,
    sqlite3.SQLITE_CANTOPEN: _READ_ONLY,
    sqlite3.SQLITE_PERM: _READ_ONLY,
    sqlite3.SQLITE_CORRUPT: _CORRUPT,
    sqlite3.SQLITE_NOTADB: _CORRUPT,
    sqlite3.SQLITE_BUSY: _BUSY,
    sqlite3.SQLITE_LOCKED: _BUSY,
    sqlite3.SQLITE_IOERR: ("The disk did not read or write as it should.", "Check the disk and its free space."),
}


_MAY_BE_FULL = (sqlite3.SQLITE_IOERR, sqlite3.SQLITE_CANTOPEN)
"""How SQLite calls a disk without room for its journal or shared memory."""
_LEAST_FREE_BYTES = 1 << 17


@contextmanager
def translated(path: Path) -> Iterator[None]:
    """Turn SQLite's errors into ours: a broken rule is a conflict, all else the store's trouble.

    Args:
        path: of the database; whether its disk is full decides what a failed write was.

    Raises:
        ConflictError: a row that must be unique or must exist is not.
        UserInputError: a text that is none, such as a file's name of other bytes than letters.
        StoreError: anything else SQLite refuses.
    """
    try:
        yield
    except UnicodeEncodeError as exc:
        raise UserInputError(
            "A name or path has bytes that are no letters, so nothing can be kept under it.",
            "Rename it, then try again.",
        ) from exc
    except sqlite3.IntegrityError as exc:
        raise ConflictError(
            f"The change does not fit what is stored ({exc}).",
            "Reload, then check names and what it refers to.",
            window_message="The change does not fit what is stored.",
        ) from exc
    except sqlite3.Error as exc:
        # The low byte is the primary code; extended codes say where it happened.
        code = getattr(exc, "sqlite_errorcode", 0) & 0xFF
        if code in _MAY_BE_FULL and _is_full(path):
            raise StoreError(*_FULL) from exc
        if code in _SENTENCES:
            raise StoreError(*_SENTENCES[code]) from exc
        raise StoreError(
            f"The database refused: {exc}.",
            "`studio doctor` checks the data folder.",
            window_message="The database refused.",
            window="Settings checks the whole studio; its log says more.",
        ) from exc


class Database:
    """The file at `path`, created and brought up to date when opened.

    Raises:
        StoreError: the folder cannot be written, the file is damaged, belongs to
            another program, or was made by a newer studio (then it is untouched).
    """

    def __init__(self, path: Path, journal: Journal = "wal") -> None:
        self.path = path
        self.journal = journal
        self._connections: dict[threading.Thread, sqlite3.Connection] = {}
        self._lock = threading.Lock()
        try:
            self._prepare()
        except BaseException:
            self.close()
            raise

    # -- reading and writing ---------------------------------------------------

    def rows(self, sql: str, parameters: Parameters = ()) -> list[Row]:
        """Return all rows of a query."""
        with translated(self.path):
            return self._found(sql, parameters).fetchall()

    def row(self, sql: str, parameters: Parameters = ()) -> Row | None:
        """Return the first row of a query, or None."""
        with translated(self.path):
            found: Row | None = self._found(sql, parameters).fetchone()
            return found

    def _found(self, sql: str, parameters: Parameters) -> sqlite3.Cursor:
        """Run a query; text that is none is in no row, so asking for it finds nothing."""
        try:
            return self._connection().execute(sql, parameters)
        except UnicodeEncodeError:
            pairs = parameters.items() if isinstance(parameters, Mapping) else enumerate(parameters)
            asked = {key: as_text(value) if isinstance(value, str) else value for key, value in pairs}
            return self._connection().execute(sql, asked if isinstance(parameters, Mapping) else [*asked.values()])

    def value(self, sql: str, parameters: Parameters = ()) -> Any:
        """Return the first column of the first row, or None."""
        found = self.row(sql, parameters)
        return None if found is None else found[0]

    def execute(self, sql: str, parameters: Parameters = ()) -> int:
        """Run one statement; return how many rows it changed."""
        with translated(self.path):
            return self._connection().execute(sql, parameters).rowcount

    def insert(self, table: str, values: Mapping[str, Any]) -> None:
        """Insert one row; table and column names come from code, never from a person."""
        marks = ", ".join("?" for _ in values)
        self.execute(f"INSERT INTO {table} ({', '.join(values)}) VALUES ({marks})", tuple(values.values()))

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Hold the write lock over the block: all of it happens, or nothing; blocks may nest."""
        connection = self._connection()
        nested = connection.in_transaction
        begin, commit, undo = (
            ("SAVEPOINT inner_block", "RELEASE inner_block", "ROLLBACK TO inner_block")
            if nested
            else ("BEGIN IMMEDIATE", "COMMIT", "ROLLBACK")
        )
        with translated(self.path):
            connection.execute(begin)
        try:
            yield
            with translated(self.path):
                connection.execute(commit)
        except BaseException:
            # A full disk may already have rolled back; then there is nothing to undo.
            if connection.in_transaction:
                with suppress(sqlite3.Error):
                    connection.execute(undo)
                    if nested:
                        connection.execute(commit)
            raise

    def is_idle(self) -> bool:
        """Say whether nobody writes just now; never waits."""
        connection = self._connection()
        if connection.in_transaction:
            return True  # this thread holds the lock
        with translated(self.path):
            connection.execute("PRAGMA busy_timeout = 0")
            try:
                connection.execute("BEGIN IMMEDIATE")
                connection.execute("ROLLBACK")
            except sqlite3.OperationalError as exc:
                if (exc.sqlite_errorcode & 0xFF) != sqlite3.SQLITE_BUSY:
                    raise
                return False
            finally:
                connection.execute(f"PRAGMA busy_timeout = {round(BUSY_SECONDS * 1000)}")
        return True

    def forget_deleted(self) -> bool:
        """Take what was deleted out of the word index and the write-ahead log, so that it is gone from the disk.

        Returns:
            Whether it is: another process that reads just now keeps the log as it is.
        """
        self.execute("INSERT INTO render_text (render_text) VALUES ('rebuild')")
        if self.journal != "wal":
            return True
        end = time.monotonic() + BUSY_SECONDS
        while self.value("PRAGMA wal_checkpoint(TRUNCATE)"):  # 1: busy
            if time.monotonic() > end:
                return False
            time.sleep(0.05)
        return True

    def check(self) -> tuple[str, ...]:
        """Return SQLite's own complaints about the file; empty when it is sound."""
        found = [str(r[0]) for r in self.rows("PRAGMA quick_check(20)")]
        found += [f"a row of {r[0]} refers to a missing row of {r[2]}" for r in self.rows("PRAGMA foreign_key_check")]
        return tuple(line for line in found if line != "ok" and not self._is_false(line))

    def _is_false(self, complaint: str) -> bool:
        """Say whether a complaint about an empty value is none.

        SQLite before 3.41 looks at the wrong column where the key of a table without row numbers is not its first.
        """
        named = re.fullmatch(r"NULL value in (\w+)\.(\w+)", complaint)
        return named is not None and not self.rows(f"SELECT 1 FROM {named[1]} WHERE {named[2]} IS NULL LIMIT 1")

    def backups(self) -> list[Path]:
        """Return the copies of the database, oldest first."""
        return sorted((self.path.parent / "backups").glob("studio-*.db"))

    def copies(self) -> list[Path]:
        """Return the backups and what is left of those that a killed process was writing."""
        return [*self.backups(), *sorted((self.path.parent / "backups").glob("studio-*.part*"))]

    def close(self) -> None:
        """Close the connections of all threads."""
        with self._lock:
            for connection in self._connections.values():
                connection.close()
            self._connections.clear()

    def __enter__(self) -> Database:
        return self

    def __exit__(self, kind: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None) -> None:
        self.close()

    # -- opening ---------------------------------------------------------------

    def _connection(self) -> sqlite3.Connection:
        """Return this thread's connection; connections of ended threads are closed on the way."""
        thread = threading.current_thread()
        connection = self._connections.get(thread)
        if connection is None:
            connection = self._connect()
            with self._lock:
                for ended in [t for t in self._connections if not t.is_alive()]:
                    self._connections.pop(ended).close()
                self._connections[thread] = connection
        return connection

    def _connect(self) -> sqlite3.Connection:
        """Open one connection; transactions are begun by hand, hence isolation_level None."""
        with translated(self.path):
            # check_same_thread off only so that close() can close every thread's connection.
            connection = sqlite3.connect(self.path, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False)
            connection.row_factory = sqlite3.Row
            connection.execute("PRAGMA foreign_keys = ON")
            # Room for the gallery's indexes: halves the time of filters that fit badly together (bench store).
            connection.execute(f"PRAGMA cache_size = -{CACHE_KIBIBYTES}")
            # A deleted person's embedding must not linger in free pages.
            connection.execute("PRAGMA secure_delete = ON")
            # Names are the same when people read the same; SQLite itself knows no letters but a to z.
            connection.create_function("as_read", 1, as_read, deterministic=True)
            return connection

    def _prepare(self) -> None:
        """Check whose file it is before changing a byte of it, then migrate."""
        existed = self.path.exists() and self.path.stat().st_size > 0
        if existed:
            self._refuse_strangers()
        self._set_journal()
        if self._pending():
            if existed:
                self.back_up(f"before-{self._pending()[0]}")
            with self.transaction():
                # Another process may have migrated while this one waited for the lock.
                if self._pending():
                    with translated(self.path):
                        migrations.apply(self._connection())
                        self._connection().execute(f"PRAGMA application_id = {APPLICATION_ID}")
        # Said here, not in the middle of a person's work; the lock is not asked for, since others may hold it for long.
        if not (os.access(self.path, os.W_OK) and os.access(self.path.parent, os.W_OK)):
            raise StoreError(*_READ_ONLY)

    def _applied(self) -> list[str]:
        if self.value("SELECT 1 FROM sqlite_master WHERE name = ?", [migrations.TABLE]) is None:
            return []
        sql = f"SELECT name FROM {migrations.TABLE} WHERE migration_set = ? ORDER BY rowid"
        return [str(r[0]) for r in self.rows(sql, [migrations.SET])]

    def _pending(self) -> list[str]:
        applied = self._applied()
        return [name for name in migrations.NAMES if name not in applied]

    def _refuse_strangers(self) -> None:
        if self.value("PRAGMA application_id") != APPLICATION_ID and self.value("SELECT count(*) FROM sqlite_master"):
            raise StoreError(
                f"{self.path.name} belongs to another program.", "Start the studio with another data folder."
            )
        unknown = [name for name in self._applied() if name not in migrations.NAMES]
        if unknown:
            raise StoreError(
                f"The data folder was made by a newer studio (it has {unknown[-1]}).",
                "Update the studio, or start it with another data folder; nothing was changed.",
            )

    def _set_journal(self) -> None:
        """Switch the journal mode; SQLite does not wait for this lock by itself."""
        end = time.monotonic() + BUSY_SECONDS
        while True:
            try:
                if str(self.value("PRAGMA journal_mode")) != self.journal:
                    self.rows(f"PRAGMA journal_mode = {self.journal}")
                return
            except StoreError as exc:
                if exc.message != _BUSY[0] or time.monotonic() > end:
                    raise
                time.sleep(0.02)

    def back_up(self, reason: str) -> Path:
        """Copy the whole database into backups/; the newest KEPT_BACKUPS of each kind of reason stay.

        Args:
            reason: what the copy is for, as part of its name: "daily", "before-sweep", "before-m012_x".

        Raises:
            StoreError: the disk is full or read-only; no half copy is left.
        """
        folder = self.path.parent / "backups"
        stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%S%f")
        out = folder / f"studio-{stamp}-{reason}.db"
        part = out.with_suffix(".part")
        try:
            folder.mkdir(exist_ok=True)
            with translated(self.path):
                self._copy(part)
            part.replace(out)
        except OSError as exc:
            raise StoreError(*_READ_ONLY) from exc
        finally:
            with suppress(OSError):
                part.unlink(missing_ok=True)
        for old in [b for b in self.backups() if _kind(b) == _kind(out)][:-KEPT_BACKUPS]:
            old.unlink(missing_ok=True)
        return out

    def copy_to(self, path: Path) -> None:
        """Write a copy of the whole database, as it is at one moment, into a file.

        Raises:
            StoreError: the disk is full or read-only.
        """
        with translated(self.path):
            self._copy(path)

    def _copy(self, path: Path) -> None:
        copy = sqlite3.connect(path)
        try:
            self._connection().backup(copy)
        finally:
            copy.close()

    def back_up_daily(self) -> Path | None:
        """Copy the database unless that was done within a day; return the copy, or None.

        Raises:
            StoreError: see `back_up`.
        """
        limit = time.time() - DAY_SECONDS
        if any(_kind(b) == "daily" and b.stat().st_mtime > limit for b in self.backups()):
            return None
        return self.back_up("daily")


def _is_full(path: Path) -> bool:
    """Say whether the disk of a file has no room left."""
    with suppress(OSError):
        return shutil.disk_usage(path.parent).free < _LEAST_FREE_BYTES
    return False


def _kind(backup: Path) -> str:
    """Return the kind of reason in a backup's name; all migrations are one kind."""
    reason = backup.stem.split("-", 2)[2]
    return "migration" if reason.startswith("before-m0") else reason
