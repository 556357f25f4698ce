"""Everything the studio remembers: rows in SQLite, bytes in files.

Rows go in, domain values come out; SQL lives nowhere else. A `Store` is the one
thing that knows the data folder:

    studio.db            rows (see migrations.py)
    media/ab/cd/<hash>   bytes, named by what they are
    trash/               swept files, kept for a while
    work/<job id>/       what an unfinished job needs for going on
    runs/<run id>/       what a training run needs for going on
    backups/             the database before each migration

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
from studio.store.curation import Curation
from studio.store.database import Database, Journal
from studio.store.identities import Identities
from studio.store.jobs import Jobs
from studio.store.measurements import Measurements
from studio.store.media import GRACE_SECONDS, Media, SweepReport, VerifyReport, disk_errors
from studio.store.photos import Photos
from studio.store.presets import Presets
from studio.store.projects import Projects
from studio.store.renders import Renders
from studio.store.runs import Runs

__all__ = ["Journal", "Store", "SweepReport", "VerifyReport"]


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
        with disk_errors():
            try:
                self.data_dir.mkdir(parents=True, exist_ok=True)
            except (FileExistsError, FileNotFoundError, NotADirectoryError) as exc:
                raise StoreError(
                    f"The data folder {self.data_dir} cannot be made.",
                    "Choose another with --data-dir; this path is a file, or leads through one.",
                ) from exc
        work = self.data_dir / "work"
        self.database = Database(self.data_dir / "studio.db", journal)
        try:
            self.media = Media(self.database, self.data_dir)
            self.projects = Projects(self.database)
            self.runs = Runs(self.database, self.media, self.data_dir / "runs")
            self.measurements = Measurements(self.database)
            self.curation = Curation(self.database, self.media, self.measurements)
            self.identities = Identities(self.database, self.media, work, self.runs, self.curation, self.measurements)
            self.photos = Photos(self.database, self.media)
            self.renders = Renders(self.database, self.media)
            self.presets = Presets(self.database, self.media)
            self.bases = Bases(self.database)
            self.adapters = Adapters(self.database, self.media)
            self.jobs = Jobs(self.database, work)
            self.media.finish_deletions()
            self.runs.finish_deletions()
        except BaseException:
            self.close()
            raise

    def sweep(self, *, grace_seconds: float = GRACE_SECONDS) -> SweepReport:
        """Tidy the disk: orphans and unused media go into the trash, work of finished jobs goes for good."""
        report = self.media.sweep(grace_seconds=grace_seconds)
        work = self.data_dir / "work"
        needed = self.jobs.ids_with_work()
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
