"""The studio's house keeping, for all owners at once: are the files whole, and what can go?

Whoever runs the studio asks for it, not whoever uses it.
"""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

from studio.services.backups import BackupReport, back_up
from studio.services.health import checkup
from studio.services.progress import OnProgress
from studio.store import Store, VerifyReport

__all__ = ["TRASH_DAYS", "Upkeep", "VerifyReport"]

TRASH_DAYS = 30
"""So long a render stays in the trash before tidying takes it for good."""
SCRATCH_SECONDS = 86400.0


class Upkeep:
    """Checks and tidies the data folder.

    Args:
        scratch: the folder of files that are only passed on.
        assets: the folder of models that come with the studio.
    """

    def __init__(self, store: Store, scratch: Path, assets: Path) -> None:
        self._store = store
        self._scratch = scratch
        self._assets = assets

    def doctor(self) -> list[tuple[str, str, str]]:
        """Return (what, state, detail) rows about this installation."""
        return [(f.what, f.state, f.detail) for f in checkup(self._store.data_dir, self._assets)]

    def verify(self) -> VerifyReport:
        """Find missing, changed and orphan files, by reading every one."""
        return self._store.files.verify()

    def back_up(self, out: Path, *, models: bool = False, on_progress: OnProgress | None = None) -> BackupReport:
        """Write the whole studio into one zip; see `backups.back_up`."""
        return back_up(self._store, out, models=models, on_progress=on_progress)

    def sweep(self) -> int:
        """Tidy the disk; return the bytes set free.

        Orphans and unused media go into the trash; what lay there for TRASH_DAYS
        and old scratch files go for good.
        """
        old = datetime.now(UTC) - timedelta(days=TRASH_DAYS)
        freed = sum(self._store.of(owner).renders.purge_trash(old) for owner in self._store.owners())
        before = time.time() - SCRATCH_SECONDS
        for path in self._scratch.rglob("*") if self._scratch.is_dir() else ():
            if path.is_file() and path.stat().st_mtime < before:
                freed += path.stat().st_size
                path.unlink()
        return freed + self._store.sweep().freed_bytes
