"""The tables of people and their consents, and the one deletion that reaches everywhere.

Deleting a person is done in one transaction; the plan shown before it is the
same deletion, rolled back, so that it cannot say anything else than what
happens. Files leave the disk only after the commit.
"""

from __future__ import annotations

import builtins
import math
import shutil
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import datetime
from pathlib import Path

from studio.domain.consent import Consent
from studio.domain.identity import DeletionPlan, Identity
from studio.domain.names import as_read, tidied
from studio.errors import ConflictError, NotFoundError, StoreError
from studio.store.curation import Curation
from studio.store.database import Database, Row
from studio.store.measurements import Measurements
from studio.store.media import Media
from studio.store.rows import new_id, now, to_moment, to_moment_or_none, to_text, to_text_or_none
from studio.store.runs import RunFolders, Runs

PASSING = ("cache/window", "scratch", "trash")
"""Folders of the data folder whose files bear no name of whom they show: all of them go when a person goes."""

FILE_CLOCK_LAG = 0.1
"""Seconds by which a file's time may lie before the clock's: file systems read the clock once a tick or more rarely."""


def passing_files(data_dir: Path, since: float = math.inf) -> list[Path]:
    """Return files that are only passed on: copies for the page, half-made clips and their sounds, the trash.

    Args:
        since: seconds of the epoch; what changed in scratch after that may belong to work in progress and stays.
    """
    found = []
    for name in PASSING:
        for path in (data_dir / name).rglob("*"):
            with suppress(FileNotFoundError):
                if path.is_file() and (name != "scratch" or path.stat().st_mtime < since):
                    found.append(path)
    return found


class _OnlyAPlan(Exception):
    """Rolls the planned deletion back."""


class Identities:
    """People of one owner."""

    def __init__(
        self,
        database: Database,
        media: Media,
        work_folder: Path,
        runs: Runs,
        run_folders: RunFolders,
        curation: Curation,
        measurements: Measurements,
        owner: str,
    ) -> None:
        self._database = database
        self._owner = owner
        self._media = media
        self._work_folder = work_folder
        self._data_dir = work_folder.parent
        self._runs = runs
        self._run_folders = run_folders
        self._curation = curation
        self._measurements = measurements

    def add(self, name: str, *, notes: str = "", project_id: str | None = None) -> Identity:
        """Create a person.

        Raises:
            ConflictError: the owner has a person of that name (see domain/names).
        """
        id = new_id()
        with self._database.transaction():
            self._refuse_taken(name, but="")
            values = {"id": id, "owner": self._owner, "name": tidied(name), "notes": notes, "project_id": project_id}
            self._database.insert("identities", values | {"created": to_text(now())})
        return self.get(id)

    def get(self, id: str) -> Identity:
        """Return one person with all consents.

        Raises:
            NotFoundError: no such person for this owner.
        """
        row = self._database.row("SELECT * FROM identities WHERE owner = ? AND id = ?", [self._owner, id])
        if row is None:
            raise NotFoundError.row("identity", id, "`studio identity list`")
        return self._identity(row)

    def find(self, name: str) -> Identity | None:
        """Return the person of that name, or None."""
        sql = "SELECT * FROM identities WHERE owner = ? AND as_read(name) = ? ORDER BY id"
        row = self._database.row(sql, [self._owner, as_read(name)])
        return None if row is None else self._identity(row)

    def list(self, *, project_id: str | None = None) -> tuple[Identity, ...]:
        """Return people by name, of one project or of all."""
        sql = "SELECT * FROM identities WHERE owner = ? AND (? IS NULL OR project_id = ?) ORDER BY as_read(name), id"
        return tuple(self._identity(r) for r in self._database.rows(sql, [self._owner, project_id, project_id]))

    def change(self, id: str, *, name: str | None = None, notes: str | None = None) -> Identity:
        """Change a person's name or notes; None leaves as it is.

        Raises:
            NotFoundError: no such person for this owner.
            ConflictError: the name is taken.
        """
        with self._database.transaction():
            self.get(id)
            if name is not None:
                self._refuse_taken(name, but=id)
            self._database.execute(
                "UPDATE identities SET name = coalesce(?, name), notes = coalesce(?, notes) WHERE owner = ? AND id = ?",
                [None if name is None else tidied(name), notes, self._owner, id],
            )
        return self.get(id)

    # -- consent ---------------------------------------------------------------

    def add_consent(self, identity_id: str, consent: Consent) -> Consent:
        """Record an agreement; earlier ones stay, as history.

        Raises:
            NotFoundError: no such person for this owner.
        """
        stored = replace(consent, id=new_id())
        values = {
            "id": stored.id, "owner": self._owner, "identity_id": identity_id, "agreed_by": stored.agreed_by,
            "scopes": " ".join(stored.scopes), "granted_at": to_text(stored.granted_at),
            "until": to_text_or_none(stored.until), "evidence": stored.evidence,
            "revoked_at": to_text_or_none(stored.revoked_at),
        }  # fmt: skip
        with self._database.transaction():
            self.get(identity_id)
            self._database.insert("consents", values)
        return stored

    def revoke_consents(self, identity_id: str, at: datetime, *, consent_id: str | None = None) -> int:
        """Record that one consent, or all, were taken back; return how many were in force until then.

        Raises:
            NotFoundError: no such person for this owner.
        """
        with self._database.transaction():
            self.get(identity_id)
            return self._database.execute(
                "UPDATE consents SET revoked_at = ? WHERE owner = ? AND identity_id = ? AND revoked_at IS NULL"
                " AND (? IS NULL OR id = ?)",
                [to_text(at), self._owner, identity_id, consent_id, consent_id],
            )

    # -- deleting --------------------------------------------------------------

    def plan_deletion(self, id: str) -> DeletionPlan:
        """Say exactly what `delete` would take; changes nothing.

        Raises:
            NotFoundError: no such person for this owner.
        """
        plan: list[DeletionPlan] = []
        try:
            with self._database.transaction():
                plan.append(self._delete_rows(id))
                raise _OnlyAPlan
        except _OnlyAPlan:
            return plan[0]

    def delete(self, id: str) -> DeletionPlan:
        """Delete a person: photos, embeddings, runs, adapters, renders, consents, jobs, files nothing else needs.

        A crash at any point leaves the person whole, or gone with at most files
        that the next `finish_deletions` (each opening of the store) removes.

        Raises:
            NotFoundError: no such person for this owner.
            ConflictError: a job of the person waits or runs.
        """
        with self._database.transaction():
            jobs = self._jobs(id)
            plan = self._delete_rows(id)
            if plan.busy_jobs:
                raise ConflictError(
                    f"{plan.name} still has {len(plan.busy_jobs)} waiting or running job(s).",
                    "Cancel them on the Jobs tab, then delete.",
                )
        self._refuse_leftovers(plan.name, self._erase(jobs))
        return plan

    def erase_traces(self, id: str) -> None:
        """Take off the disk what may still show something of a person that was deleted.

        Copies for the page, half-made clips, the trash, and copies of the database.

        Raises:
            NotFoundError: no such person for this owner.
            StoreError: files could not be deleted.
        """
        self._refuse_leftovers(f"What was made of {self.get(id).name}", self._erase(()))

    def _erase(self, jobs: Sequence[str]) -> builtins.list[str]:
        """Take everything that may show a deleted person off the disk; return what could not be."""
        left = []
        try:
            self._media.finish_deletions()
        except StoreError:
            left.append(str(self._media.folder))
        self._run_folders.finish_deletions()
        places = [self._work_folder / job for job in jobs]
        places += self._database.copies()
        places += passing_files(self._data_dir, since=self._oldest_work())
        for place in places:
            if place.is_dir():
                shutil.rmtree(place, ignore_errors=True)
            else:
                with suppress(OSError):
                    place.unlink(missing_ok=True)
        left += [str(place) for place in places if place.exists()]
        left += [str(path) for path in self._run_folders.unfinished()]
        left += [str(path) for path in self._media.unfinished()]
        if not self._database.forget_deleted():
            left.append(f"{self._database.path}-wal")
        return left

    def _refuse_leftovers(self, what: str, left: Sequence[str]) -> None:
        """Say which files of a deleted person are still on the disk.

        Raises:
            StoreError: there are some.
        """
        if left:
            raise StoreError(
                f"{what} is deleted from the studio, but {len(left)} file(s) or folder(s) could not be removed,"
                f" such as {left[0]}.",
                "Make the data folder writable and close what has them open; the next start tries again.",
            )

    def _oldest_work(self) -> float:
        """Return from when on a file may be of a running job, in seconds of the epoch; infinity without one."""
        started = self._database.value("SELECT min(started) FROM jobs WHERE state = 'running'")
        return math.inf if started is None else to_moment(started).timestamp() - FILE_CLOCK_LAG

    def _delete_rows(self, id: str) -> DeletionPlan:
        """Delete all rows of a person inside the caller's transaction and count them."""
        identity = self.get(id)
        value, rows = self._database.value, self._database.rows
        photos = self._photos(id)
        marks = ", ".join("?" for _ in photos)
        renders = self._renders(id)
        jobs = self._jobs(id)
        adapters = self._adapters(id)
        runs = [run.id for run in self._runs.list(identity_id=id)]
        busy = [
            r[0]
            for r in rows(f"SELECT id FROM jobs WHERE state IN ('queued', 'running') AND id IN ({_marks(jobs)})", jobs)
        ]
        embeddings = int(value(f"SELECT count(*) FROM embeddings WHERE photo_id IN ({marks})", photos))
        consents = int(value("SELECT count(*) FROM consents WHERE identity_id = ?", [id]))
        performances = int(value("SELECT count(*) FROM performances WHERE identity_id = ?", [id]))
        intakes = self._curation.touching(id)
        # A template gave its motion to another face: the picture made with it stays, the person's own goes.
        gone = f"DELETE FROM render_inputs WHERE owner = :owner AND role IN ({_MOTION_ONLY}) AND sha256 IN ({_OWN})"
        self._database.execute(gone, {"owner": self._owner, "id": id})
        tables = {
            "intakes": intakes, "renders": renders, "photos": photos, "adapters": adapters, "runs": runs, "jobs": jobs,
        }  # fmt: skip
        media = self._media.of_rows({**tables, "identities": [id]})
        media |= self._measurements.forget(media)
        for table, ids in tables.items():
            for one in ids:
                self._database.execute(f"DELETE FROM {table} WHERE owner = ? AND id = ?", [self._owner, one])
        self._database.execute("DELETE FROM identities WHERE owner = ? AND id = ?", [self._owner, id])
        files, size = self._media.discard_unused(media)
        return DeletionPlan(
            identity_id=id, name=identity.name, photos=len(photos), renders=len(renders), consents=consents,
            jobs=len(jobs), files=files, file_bytes=size, shared_files=len(media) - files,
            backups=len(self._database.backups()), adapters=len(adapters), runs=len(runs), intakes=len(intakes),
            performances=performances,
            swept=sum(1 for f in (self._data_dir / "trash").rglob("*") if f.is_file()),
            run_bytes=sum(map(self._runs.folder_bytes, runs)), busy_jobs=tuple(busy), embeddings=embeddings,
        )  # fmt: skip

    def _photos(self, id: str) -> Sequence[str]:
        """Return the person's photos, and the same pictures used without a name (unless they are also another's)."""
        sql = f"""
            SELECT id FROM photos WHERE owner = :owner
                AND (identity_id = :id OR (identity_id IS NULL AND sha256 IN ({_OWN})))
            ORDER BY id"""
        return [r[0] for r in self._database.rows(sql, {"owner": self._owner, "id": id})]

    def renders(self, id: str) -> Sequence[str]:
        """Return the ids of what was made of a person, also without naming them; those in the trash are among them.

        Raises:
            NotFoundError: no such person for this owner.
        """
        return self._renders(self.get(id).id)

    def _renders(self, id: str) -> Sequence[str]:
        """Return renders of the person, also those made from a photo or adapter without naming the person."""
        sql = f"""
            SELECT id FROM renders WHERE owner = :owner AND (identity_id = :id
                OR photo_id IN (SELECT id FROM photos WHERE identity_id = :id)
                OR (identity_id IS NULL AND id IN (
                    SELECT render_id FROM render_inputs WHERE owner = :owner AND role NOT IN ({_MOTION_ONLY})
                        AND (sha256 IN ({_OWN}) OR sha256 IN ({_LEARNED})))))
            ORDER BY id"""
        return [r[0] for r in self._database.rows(sql, {"owner": self._owner, "id": id})]

    def _jobs(self, id: str) -> Sequence[str]:
        """Return jobs of the person, also those whose parameters name a photo, its bytes, an adapter or a run."""
        sql = f"""
            SELECT id FROM jobs WHERE owner = :owner AND (identity_id = :id
                OR (identity_id IS NULL AND EXISTS (
                    SELECT 1 FROM photos p WHERE p.identity_id = :id AND (instr(jobs.params, p.id)
                        OR (p.sha256 IN ({_OWN}) AND instr(jobs.params, p.sha256)))))
                OR EXISTS (SELECT 1 FROM adapter_people a
                    WHERE a.identity_id = :id AND instr(jobs.params, a.adapter_id))
                OR EXISTS (SELECT 1 FROM runs t WHERE t.identity_id = :id AND instr(jobs.params, t.id)))
            ORDER BY id"""
        return [r[0] for r in self._database.rows(sql, {"owner": self._owner, "id": id})]

    def _adapters(self, id: str) -> Sequence[str]:
        """Return every adapter that holds the person's likeness."""
        sql = "SELECT adapter_id FROM adapter_people WHERE owner = ? AND identity_id = ? ORDER BY adapter_id"
        return [r[0] for r in self._database.rows(sql, [self._owner, id])]

    # -- rows ------------------------------------------------------------------

    def _refuse_taken(self, name: str, *, but: str) -> None:
        taken = self.find(name)
        if taken is not None and taken.id != but:
            raise ConflictError(f"There is already an identity {tidied(name)!r}.", "Choose another name.")

    def _identity(self, row: Row) -> Identity:
        consents = self._database.rows(
            "SELECT * FROM consents WHERE owner = ? AND identity_id = ? ORDER BY granted_at, id",
            [row["owner"], row["id"]],
        )
        return Identity(
            id=row["id"], owner=row["owner"], name=row["name"], notes=row["notes"], project_id=row["project_id"],
            consents=tuple(_consent(c) for c in consents), created=to_moment(row["created"]),
        )  # fmt: skip


_OWN = """
    SELECT sha256 FROM photos a WHERE a.identity_id = :id AND NOT EXISTS (
        SELECT 1 FROM photos b WHERE b.owner = a.owner AND b.sha256 = a.sha256 AND b.identity_id <> :id)"""
"""Hashes of pictures that show this person and belong to nobody else (a group photo may)."""

_MOTION_ONLY = "'template', 'template neutral'"
"""Roles of inputs whose looks are not in what was made from them."""

_LEARNED = """
    SELECT a.media_sha256 FROM adapters a JOIN adapter_people l ON l.adapter_id = a.id
    WHERE a.owner = :owner AND l.identity_id = :id"""
"""Hashes of adapters with this person's likeness: a picture drawn with one shows the person."""


def _marks(values: Sequence[str]) -> str:
    return ", ".join("?" for _ in values)


def _consent(row: Row) -> Consent:
    return Consent(
        id=row["id"], agreed_by=row["agreed_by"], scopes=tuple(row["scopes"].split()),
        granted_at=to_moment(row["granted_at"]), until=to_moment_or_none(row["until"]),
        evidence=row["evidence"], revoked_at=to_moment_or_none(row["revoked_at"]),
    )  # fmt: skip
