"""The tables of jobs: their rows, lines, previews, and each worker's place.

Rules of the queue (who may do what when) are in studio/jobs; here is only how
they are written down so that two processes never both succeed. Whoever works
on a job shows its claim's token with every write; a token that no longer
holds changes nothing. Claiming looks at all owners: the worker belongs to the
computer, not to a person.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import Any

from studio.domain.job import TRANSITIONS, Claim, Failure, Job, JobState, Lane, Takes
from studio.errors import ConflictError, NotFoundError
from studio.store.database import Database, Row
from studio.store.rows import new_id, now, to_json, to_mapping, to_moment, to_moment_or_none, to_text

KEPT_LINES = 500
ALL_KINDS = Takes()

_COLUMNS = """
    j.*, coalesce((SELECT p.number FROM job_previews p WHERE p.job_id = j.id), 0) AS preview_number FROM jobs j"""
_RUN = "owner = ? AND id = ? AND state = 'running' AND claim = ?"


class Jobs:
    """Jobs of all owners."""

    def __init__(self, database: Database, work_folder: Path) -> None:
        self._database = database
        self._work_folder = work_folder

    def work_folder(self, id: str) -> Path:
        """Return the folder in which a job keeps what it needs to go on after an interruption; not made here."""
        return self._work_folder / id

    # -- for the person --------------------------------------------------------

    def add(
        self,
        owner: str,
        kind: str,
        params: Mapping[str, Any],
        *,
        title: str = "",
        project_id: str | None = None,
        identity_id: str | None = None,
        parent: Job | None = None,
        claim: Claim | None = None,
    ) -> Job:
        """Write a new job at the end of the queue, or, with a claim, running at once in this process."""
        moment = to_text(now())
        values: dict[str, Any] = {
            "id": new_id(), "owner": owner, "kind": kind, "params": to_json(params), "title": title,
            "project_id": project_id, "identity_id": identity_id, "created": moment, "state": "queued",
            "parent_id": None if parent is None else parent.id, "attempt": 1 if parent is None else parent.attempt + 1,
        }  # fmt: skip
        if claim is not None:
            values |= {"state": "running", "started": moment, "heartbeat": moment} | _claim_values(claim)
        with self._database.transaction():
            last = self._database.value("SELECT coalesce(max(position), 0) FROM jobs")
            self._database.insert("jobs", values | {"position": last + 1})
        return self.get(owner, str(values["id"]))

    def get(self, owner: str, id: str) -> Job:
        """Return one job.

        Raises:
            NotFoundError: no such job for this owner.
        """
        row = self._database.row(f"SELECT {_COLUMNS} WHERE j.owner = ? AND j.id = ?", [owner, id])
        if row is None:
            raise NotFoundError(
                f"There is no job {id!r}.", "It may have been deleted; `studio jobs list` shows what is there."
            )
        return _job(row)

    def list(self, owner: str, *, states: Sequence[JobState] = (), limit: int = 100) -> tuple[Job, ...]:
        """Return jobs, newest first, in some states or in any."""
        marks = ", ".join("?" for _ in states)
        where = f"AND j.state IN ({marks})" if states else ""
        sql = f"SELECT {_COLUMNS} WHERE j.owner = ? {where} ORDER BY j.number DESC LIMIT ?"
        return tuple(_job(r) for r in self._database.rows(sql, [owner, *states, limit]))

    def waiting(self, owner: str) -> tuple[Job, ...]:
        """Return queued jobs in the order in which they will run."""
        sql = f"SELECT {_COLUMNS} WHERE j.owner = ? AND j.state = 'queued' ORDER BY j.position, j.number"
        return tuple(_job(r) for r in self._database.rows(sql, [owner]))

    def lines(self, owner: str, id: str, *, limit: int = 40) -> tuple[str, ...]:
        """Return a job's last log lines, oldest first."""
        sql = "SELECT text FROM job_lines WHERE owner = ? AND job_id = ? ORDER BY number DESC LIMIT ?"
        return tuple(str(r[0]) for r in reversed(self._database.rows(sql, [owner, id, limit])))

    def preview(self, owner: str, id: str) -> bytes | None:
        """Return a job's newest preview picture as PNG, or None."""
        found: bytes | None = self._database.value(
            "SELECT png FROM job_previews WHERE owner = ? AND job_id = ?", [owner, id]
        )
        return found

    def request_cancel(self, owner: str, id: str) -> Job:
        """Cancel a waiting job at once; ask a running one to stop; leave any other as it is."""
        with self._database.transaction():
            self._database.execute(
                "UPDATE jobs SET state = 'cancelled', finished = ?, message = 'Cancelled.'"
                " WHERE owner = ? AND id = ? AND state = 'queued'",
                [to_text(now()), owner, id],
            )
            self._database.execute(
                "UPDATE jobs SET cancel_requested = 1 WHERE owner = ? AND id = ? AND state = 'running'", [owner, id]
            )
        return self.get(owner, id)

    def requeue(self, owner: str, id: str) -> Job:
        """Put a stopped job back into the queue, at its end, as the next attempt on the same row.

        Raises:
            ConflictError: it waits, runs or is done.
        """
        with self._database.transaction():
            job = self.get(owner, id)
            if "queued" not in TRANSITIONS[job.state]:
                raise ConflictError(f"The job is {job.state} and cannot be resumed.", "Retry it as a new job instead.")
            self._database.execute(
                "UPDATE jobs SET state = 'queued', attempt = attempt + 1, cancel_requested = 0, failure = NULL,"
                " finished = NULL, claim = NULL, message = '', seconds_left = NULL,"
                " position = (SELECT max(position) + 1 FROM jobs) WHERE owner = ? AND id = ?",
                [owner, id],
            )
        return self.get(owner, id)

    def move(self, owner: str, id: str, *, before: str | None = None) -> None:
        """Move a waiting job in front of another waiting one, or (None) to the front.

        Raises:
            ConflictError: one of the two no longer waits.
        """
        with self._database.transaction():
            order = [j.id for j in self.waiting(owner)]
            if id not in order or (before is not None and before not in order):
                raise ConflictError("The job no longer waits.", "Reload the list of jobs.")
            target = self._database.value("SELECT position FROM jobs WHERE id = ?", [before or order[0]])
            previous = self._database.value(
                "SELECT max(position) FROM jobs WHERE state = 'queued' AND position < ? AND id <> ?", [target, id]
            )
            if before != id:
                place = target - 1 if previous is None else (target + previous) / 2
                self._database.execute("UPDATE jobs SET position = ? WHERE id = ?", [place, id])

    def delete(self, owner: str, id: str) -> None:
        """Forget a job that neither waits nor runs; what it made stays.

        Raises:
            ConflictError: it waits or runs.
        """
        with self._database.transaction():
            if self.get(owner, id).is_active:
                raise ConflictError("The job still waits or runs.", "Cancel it first.")
            self._database.execute("DELETE FROM jobs WHERE owner = ? AND id = ?", [owner, id])

    # -- for whoever works -----------------------------------------------------

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
            values = _claim_values(claim)
            moment = to_text(now())
            holder = ", ".join(f"{name} = ?" for name in values)
            self._database.execute(
                f"UPDATE jobs SET state = 'running', started = ?, heartbeat = ?, {holder} WHERE id = ?",
                [moment, moment, *values.values(), row["id"]],
            )
            return self.get(row["owner"], row["id"])

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
        rows = self._database.rows(f"SELECT {_COLUMNS} WHERE j.state = 'running' ORDER BY j.number")
        return tuple((_job(r), _claim(r)) for r in rows)

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
            values = {"lane": lane, "owner": "worker", "heartbeat": to_text(now())} | _claim_values(claim)
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


def _claim_values(claim: Claim) -> dict[str, Any]:
    return {
        "claim": claim.token, "pid": claim.pid, "process_started": claim.process_started, "host": claim.host,
    }  # fmt: skip


def _claim(row: Row) -> Claim:
    return Claim(token=row["claim"], pid=row["pid"], process_started=row["process_started"], host=row["host"])


def _job(row: Row) -> Job:
    return Job(
        id=row["id"], owner=row["owner"], kind=row["kind"], title=row["title"], params=to_mapping(row["params"]),
        state=row["state"], fraction=row["fraction"], message=row["message"], seconds_left=row["seconds_left"],
        preview_number=row["preview_number"], outputs=to_mapping(row["outputs"]),
        checkpoint=to_mapping(row["checkpoint"]),
        failure=None if row["failure"] is None else Failure(**to_mapping(row["failure"])),
        attempt=row["attempt"], parent_id=row["parent_id"], project_id=row["project_id"],
        identity_id=row["identity_id"], cancel_requested=bool(row["cancel_requested"]),
        created=to_moment(row["created"]), started=to_moment_or_none(row["started"]),
        finished=to_moment_or_none(row["finished"]), heartbeat=to_moment_or_none(row["heartbeat"]), pid=row["pid"],
        process_started=row["process_started"], host=row["host"],
    )  # fmt: skip
