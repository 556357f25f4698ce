"""The tables of jobs as those see them who work on them: claims, progress, ends, and each worker's place.

Claiming looks at all owners: the worker belongs to the computer, not to a
person. Whoever works on a job shows its claim's token with every write; a
token that no longer holds changes nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import Any

from studio.domain.job import Claim, Failure, Job, JobState, Lane, Takes
from studio.errors import NotFoundError
from studio.store.database import Database, Row
from studio.store.jobs import COLUMNS, claim_values, read_job
from studio.store.rows import now, to_json, to_moment, to_text

KEPT_LINES = 500
ALL_KINDS = Takes()

_RUN = "owner = ? AND id = ? AND state = 'running' AND claim = ?"


class Claims:
    """Jobs of all owners, for worker processes."""

    def __init__(self, database: Database, work_folder: Path) -> None:
        self._database = database
        self._work_folder = work_folder

    def work_folder(self, id: str) -> Path:
        """Return the folder in which a job keeps what it needs to go on after an interruption; not made here."""
        return self._work_folder / id

    def get(self, id: str) -> Job:
        """Return one job, whosever it is.

        Raises:
            NotFoundError: it was deleted.
        """
        row = self._database.row(f"SELECT {COLUMNS} WHERE j.id = ?", [id])
        if row is None:
            raise NotFoundError.row("job", id, "`studio jobs list`")
        return read_job(row)

    def claim_next(self, claim: Claim, takes: Takes = ALL_KINDS) -> Job | None:
        """Take the first waiting job for this process, or return None; two processes never get the same."""
        where, names = _takes(takes)
        with self._database.transaction():
            row = self._database.row(
                f"SELECT owner, id FROM jobs WHERE state = 'queued' AND {where} ORDER BY position, number LIMIT 1",
                names,
            )
            if row is None:
                return None
            values = claim_values(claim)
            moment = to_text(now())
            holder = ", ".join(f"{name} = ?" for name in values)
            self._database.execute(
                f"UPDATE jobs SET state = 'running', started = ?, heartbeat = ?, {holder} WHERE id = ?",
                [moment, moment, *values.values(), row["id"]],
            )
            return self.get(row["id"])

    def beat(self, job: Job, token: str) -> bool | None:
        """Show that the job is alive; return whether the person asked it to stop, or None when it is no longer ours."""
        with self._database.transaction():
            key = [job.owner, job.id, token]
            self._database.execute(f"UPDATE jobs SET heartbeat = ? WHERE {_RUN}", [to_text(now()), *key])
            asked = self._database.value(f"SELECT cancel_requested FROM jobs WHERE {_RUN}", key)
        return None if asked is None else bool(asked)

    def is_asked_to_stop(self, job: Job, token: str) -> bool | None:
        """Return whether the person asked it to stop, or None when it is no longer ours; writes nothing."""
        asked = self._database.value(f"SELECT cancel_requested FROM jobs WHERE {_RUN}", [job.owner, job.id, token])
        return None if asked is None else bool(asked)

    def has_waiting(self, takes: Takes = ALL_KINDS) -> bool:
        """Say whether any such job waits; writes nothing, so an idle worker may ask often."""
        where, names = _takes(takes)
        sql = f"SELECT 1 FROM jobs WHERE state = 'queued' AND {where} LIMIT 1"
        return self._database.value(sql, names) is not None

    def write_progress(
        self,
        job: Job,
        token: str,
        *,
        fraction: float,
        message: str,
        seconds_left: float | None,
        preview_png: bytes | None = None,
        lines: Sequence[tuple[datetime, str]] = (),
    ) -> bool:
        """Write how far a job is, its new preview and its new lines; return False when it is no longer ours."""
        with self._database.transaction():
            changed = self._database.execute(
                f"UPDATE jobs SET fraction = ?, message = ?, seconds_left = ? WHERE {_RUN}",
                [fraction, message, seconds_left, job.owner, job.id, token],
            )
            if not changed:
                return False
            if preview_png is not None:
                self._database.execute(
                    "INSERT INTO job_previews (job_id, owner, number, png) VALUES (?, ?, 1, ?)"
                    " ON CONFLICT (job_id) DO UPDATE SET number = number + 1, png = excluded.png",
                    [job.id, job.owner, preview_png],
                )
            self.add_lines(job, lines)
        return True

    def add_lines(self, job: Job, lines: Sequence[tuple[datetime, str]]) -> None:
        """Add log lines; only the last KEPT_LINES stay."""
        if not lines:
            return
        with self._database.transaction():
            for at, text in lines:
                self._database.insert(
                    "job_lines", {"owner": job.owner, "job_id": job.id, "at": to_text(at), "text": text}
                )
            self._database.execute(
                "DELETE FROM job_lines WHERE job_id = ?1 AND number <= (SELECT number FROM job_lines"
                " WHERE job_id = ?1 ORDER BY number DESC LIMIT 1 OFFSET ?2)",
                [job.id, KEPT_LINES],
            )

    def write_checkpoint(self, job: Job, token: str, checkpoint: Mapping[str, Any]) -> bool:
        """Keep what the job needs for going on later; return False when it is no longer ours."""
        sql = f"UPDATE jobs SET checkpoint = ? WHERE {_RUN}"
        return self._database.execute(sql, [to_json(checkpoint), job.owner, job.id, token]) == 1

    def finish(
        self,
        job: Job,
        token: str,
        state: JobState,
        *,
        message: str = "",
        outputs: Mapping[str, Any] | None = None,
        failure: Failure | None = None,
    ) -> bool:
        """End a running job; return False when it is no longer ours, and then change nothing."""
        return (
            self._database.execute(
                "UPDATE jobs SET state = ?, finished = ?, message = ?, outputs = ?, failure = ?, seconds_left = NULL,"
                f" claim = NULL, fraction = CASE ? WHEN 'done' THEN 1.0 ELSE fraction END WHERE {_RUN}",
                [
                    state,
                    to_text(now()),
                    message,
                    to_json(outputs or {}),
                    None if failure is None else to_json(asdict(failure)),
                    state,
                    job.owner,
                    job.id,
                    token,
                ],
            )
            == 1
        )

    def running(self) -> tuple[tuple[Job, Claim], ...]:
        """Return all running jobs, of all owners, with who holds them."""
        rows = self._database.rows(f"SELECT {COLUMNS} WHERE j.state = 'running' ORDER BY j.number")
        return tuple((read_job(r), _claim(r)) for r in rows)

    def ids_with_work(self) -> set[str]:
        """Return the ids of jobs that may still need their work folder: all but finished ones."""
        return {str(r[0]) for r in self._database.rows("SELECT id FROM jobs WHERE state <> 'done'")}

    # -- the worker's place ----------------------------------------------------

    def worker(self, lane: Lane = "main") -> tuple[Claim, datetime] | None:
        """Return who holds the worker's place of a lane and when it was last heard of, or None."""
        row = self._database.row("SELECT * FROM workers WHERE lane = ?", [lane])
        return None if row is None else (_claim(row), to_moment(row["heartbeat"]))

    def take_worker_place(self, claim: Claim, *, instead_of: Claim | None, lane: Lane = "main") -> bool:
        """Become the worker if the place is free or still held by `instead_of`; return whether it worked."""
        with self._database.transaction():
            held = self.worker(lane)
            if held is not None and (instead_of is None or held[0].token != instead_of.token):
                return False
            self._database.execute("DELETE FROM workers WHERE lane = ?", [lane])
            values = {"lane": lane, "owner": "worker", "heartbeat": to_text(now())} | claim_values(claim)
            self._database.insert("workers", values)
        return True

    def beat_worker(self, claim: Claim) -> bool:
        """Show that the worker is alive; return False when another took its place."""
        sql = "UPDATE workers SET heartbeat = ? WHERE claim = ?"
        return self._database.execute(sql, [to_text(now()), claim.token]) == 1

    def leave_worker_place(self, claim: Claim) -> None:
        """Free the worker's place, if it is still ours."""
        self._database.execute("DELETE FROM workers WHERE claim = ?", [claim.token])


def _takes(takes: Takes) -> tuple[str, list[str]]:
    """Return the condition on the kind, and its values."""
    parts, names = ["TRUE"], sorted(takes.but)
    if names:
        parts.append(f"kind NOT IN ({', '.join('?' for _ in names)})")
    if takes.only is not None:
        parts.append(f"kind IN ({', '.join('?' for _ in takes.only)})")
        names += sorted(takes.only)
    return " AND ".join(parts), names


def _claim(row: Row) -> Claim:
    return Claim(token=row["claim"], pid=row["pid"], process_started=row["process_started"], host=row["host"])
