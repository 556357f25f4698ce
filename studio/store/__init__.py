"""Everything the studio remembers: rows in SQLite, bytes in files.

Rows go in, domain values come out; SQL lives nowhere else. A `Store` is the one
thing that knows the data folder:

    studio.db            rows (see migrations.py)
    media/ab/cd/<hash>   bytes, named by what they are
    media/incoming/      what is being put just now, and who puts it (see incoming.py)
    trash/               swept files, kept for a while
    work/<job id>/       what an unfinished job needs for going on
    runs/<run id>/       what a training run needs for going on
    backups/             copies of the database: daily, before each migration and each sweep

Every row has an owner. `Store.of(owner)` is all that one owner has and nothing
else; what needs no owner (files on the disk, the work of workers) is on the
store itself.

It may be used from several threads, and by several processes at once. The
store does not know what the rules of the studio are; services do.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from types import TracebackType

from studio.errors import StoreError
from studio.store.adapters import Adapters
from studio.store.bases import Bases
from studio.store.bundles import Bundles
from studio.store.claims import Claims
from studio.store.curation import Curation
from studio.store.database import Database, Journal
from studio.store.identities import Identities
from studio.store.jobs import Jobs
from studio.store.measurements import Measurements
from studio.store.media import (
    GRACE_SECONDS,
    Media,
    MediaFolder,
    SweepReport,
    VerifyReport,
    disk_errors,
    keep_private,
    make_folder,
    refuse_dangling,
)
from studio.store.performances import Performances
from studio.store.photos import Photos
from studio.store.presets import Presets
from studio.store.projects import Projects
from studio.store.renders import Renders
from studio.store.runs import RunFolders, Runs
from studio.store.variants import Variants

__all__ = ["Journal", "OwnerStore", "Store", "SweepReport", "VerifyReport"]


class Store:
    """The open data folder, made when it is not there.

    Args:
        data_dir: the folder; everything of the studio lies beneath it.
        journal: "delete" where the disk is a mounted bucket and cannot lock well.

    Raises:
        StoreError: the folder cannot be made or written, the database is damaged,
            of another program, or of a newer studio (then it is left untouched).
    """

    def __init__(self, data_dir: Path, *, journal: Journal = "wal") -> None:
        self.data_dir = Path(data_dir)
        make_folder(self.data_dir)
        for name in ("studio.db", "media", "trash", "runs", "work", "scratch", "cache", "backups"):
            refuse_dangling(self.data_dir / name)
        keep_private(self.data_dir, 0o700)
        _refuse_lost_database(self.data_dir)
        self._work = self.data_dir / "work"
        self.database = Database(self.data_dir / "studio.db", journal)
        for path in self.data_dir.glob("studio.db*"):  # with its journal
            keep_private(path, 0o600)
        try:
            self.files = MediaFolder(self.database, self.data_dir)
            self.run_folders = RunFolders(self.database, self.data_dir / "runs")
            self.claims = Claims(self.database, self._work)
            self.files.drop_abandoned()
            self.files.finish_deletions(wait=False)
            self.run_folders.finish_deletions()
        except BaseException:
            self.close()
            raise

    def of(self, owner: str) -> OwnerStore:
        """Return everything that belongs to one owner; cheap, and may be asked for again and again."""
        return OwnerStore(self, owner, self._work)

    def owners(self) -> tuple[str, ...]:
        """Return who has anything here, by name."""
        sql = "SELECT owner FROM media UNION SELECT owner FROM identities UNION SELECT owner FROM jobs ORDER BY owner"
        return tuple(str(r[0]) for r in self.database.rows(sql))

    def sweep(self, *, grace_seconds: float = GRACE_SECONDS) -> SweepReport:
        """Tidy the disk: orphans and unused media go into the trash, work of finished jobs goes for good."""
        self.database.back_up("before-sweep")
        report = self.files.sweep(grace_seconds=grace_seconds)
        work = self._work
        needed = self.claims.ids_with_work()
        with disk_errors():
            for folder in work.iterdir() if work.is_dir() else ():
                if folder.name not in needed:
                    shutil.rmtree(folder)
        return report

    def close(self) -> None:
        """Close the database; files need no closing."""
        self.database.close()

    def __enter__(self) -> Store:
        return self

    def __exit__(self, kind: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None) -> None:
        self.close()


def _refuse_lost_database(data_dir: Path) -> None:
    """Say that the database is gone, instead of beginning a new one beside media that then nobody knows.

    Raises:
        StoreError: there are media files, and no database or an empty one.
    """
    path = data_dir / "studio.db"
    if path.exists() and path.stat().st_size > 0:
        return
    kept = sum(1 for file in (data_dir / "media").glob("??/??/*") if file.is_file())
    if not kept:
        return
    copies = sorted((data_dir / "backups").glob("studio-*.db"))
    hint = (
        f"Put the newest copy back: copy {copies[-1]} to {path}."
        if copies
        else "There is no copy in its backups folder: put back your own, or choose another data folder."
    )
    state = "empty" if path.exists() else "missing"
    raise StoreError(f"The database in {data_dir} is {state}, but {kept} media file(s) are there.", hint)


class OwnerStore:
    """The rows and media of one owner: no method sees, changes or deletes another's.

    Attributes:
        database: of all owners, for transactions over several tables.
        data_dir: of all owners.
    """

    def __init__(self, store: Store, owner: str, work: Path) -> None:
        self.owner = owner
        self.data_dir = store.data_dir
        database = self.database = store.database
        self.media = Media(database, store.files, owner)
        self.projects = Projects(database, owner)
        self.runs = Runs(database, self.media, store.run_folders, owner)
        self.measurements = Measurements(database, owner)
        self.curation = Curation(database, self.media, self.measurements, owner)
        self.identities = Identities(
            database, self.media, work, self.runs, store.run_folders, self.curation, self.measurements, owner
        )
        self.photos = Photos(database, self.media, owner)
        self.variants = Variants(database, self.media, owner)
        self.renders = Renders(database, self.media, owner)
        self.presets = Presets(database, self.media, owner)
        self.performances = Performances(database, self.media, owner)
        self.bases = Bases(database, owner)
        self.adapters = Adapters(database, self.media, owner)
        self.jobs = Jobs(database, work, owner)
        self.bundles = Bundles(self)
