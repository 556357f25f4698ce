"""The studio's house keeping, for all owners at once: are the files whole, and what can go?

Whoever runs the studio asks for it, not whoever uses it.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
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


_MEDIA_USES = {
    "photos": "Photos", "pictures": "Pictures", "clips": "Clips", "adapters": "Adapters",
    "trainings": "Checkpoints, samples and variants", "trash": "Pictures and clips in the trash",
    "other": "Sounds, videos and what else things are made of",
}  # fmt: skip
_FOLDER_USES = {
    "runs": "Trainings that can go on", "models": "Base models", "cache": "The page's cache",
    "backups": "Copies of the database", "trash": "Swept files", "work": "Unfinished jobs", "scratch": "Passing files",
}  # fmt: skip


@dataclass(frozen=True)
class StorageUse:
    """What takes room, how many files they are, and their bytes."""

    title: str
    files: int
    bytes: int


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

    def storage(self) -> tuple[StorageUse, ...]:
        """Say what takes how much room, the largest first; what takes none is left out."""
        media = self._store.files.usage()
        uses = [StorageUse(title, *media.get(use, (0, 0))) for use, title in _MEDIA_USES.items()]
        root = self._store.data_dir
        uses += [StorageUse(title, *_below(root / folder)) for folder, title in _FOLDER_USES.items()]
        database = [p.stat().st_size for p in root.glob("studio.db*")]
        uses.append(StorageUse("Database", len(database), sum(database)))
        return tuple(sorted((u for u in uses if u.bytes), key=lambda u: -u.bytes))

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


def _below(folder: Path) -> tuple[int, int]:
    """Return how many files lie below a folder, and their bytes."""
    sizes = []
    for path in folder.rglob("*"):
        try:
            if path.is_file() and not path.is_symlink():
                sizes.append(path.stat().st_size)
        except FileNotFoundError:  # gone while this looks
            continue
    return len(sizes), sum(sizes)
