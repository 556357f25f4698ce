"""The table of jobs as their owner sees it: what waits, what runs, what it said.

Rules of the queue (who may do what when) are in studio/jobs; here is only how
they are written down so that two processes never both succeed. What those who
work on jobs write is in claims.py.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from studio.domain.job import TRANSITIONS, Claim, Failure, Job, JobState
from studio.errors import ConflictError, NotFoundError
from studio.store.database import Database, Row
from studio.store.rows import new_id, now, to_json, to_mapping, to_moment, to_moment_or_none, to_text

COLUMNS = """
    j.*, coalesce((SELECT p.number FROM job_previews p WHERE p.job_id = j.id), 0) AS preview_number FROM jobs j"""


class Jobs:
    """Jobs of one owner."""

    def __init__(self, database: Database, work_folder: Path, owner: str) -> None:
        self._database = database
        self._owner = owner
        self._work_folder = work_folder

    def work_folder(self, id: str) -> Path:
        """Return the folder in which a job keeps what it needs to go on after an interruption; not made here."""
        return self._work_folder / id

    # -- for the person --------------------------------------------------------

    def add(
        self,
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
            "id": new_id(), "owner": self._owner, "kind": kind, "params": to_json(params), "title": title,
            "project_id": project_id, "identity_id": identity_id, "created": moment, "state": "queued",
            "parent_id": None if parent is None else parent.id, "attempt": 1 if parent is None else parent.attempt + 1,
        }  # fmt: skip
        if claim is not None:
            values |= {"state": "running", "started": moment, "heartbeat": moment} | claim_values(claim)
        with self._database.transaction():
            last = self._database.value("SELECT coalesce(max(position), 0) FROM jobs")
            self._database.insert("jobs", values | {"position": last + 1})
        return self.get(str(values["id"]))

    def get(self, id: str) -> Job:
        """Return one job.

        Raises:
            NotFoundError: no such job for this owner.
        """
        row = self._database.row(f"SELECT {COLUMNS} WHERE j.owner = ? AND j.id = ?", [self._owner, id])
        if row is None:
            raise NotFoundError.row("job", id, "`studio jobs list`")
        return read_job(row)

    def list(self, *, states: Sequence[JobState] = (), limit: int = 100) -> tuple[Job, ...]:
        """Return jobs, newest first, in some states or in any."""
        marks = ", ".join("?" for _ in states)
        where = f"AND j.state IN ({marks})" if states else ""
        sql = f"SELECT {COLUMNS} WHERE j.owner = ? {where} ORDER BY j.number DESC LIMIT ?"
        return tuple(read_job(r) for r in self._database.rows(sql, [self._owner, *states, limit]))

    def waiting(self) -> tuple[Job, ...]:
        """Return queued jobs in the order in which they will run."""
        sql = f"SELECT {COLUMNS} WHERE j.owner = ? AND j.state = 'queued' ORDER BY j.position, j.number"
        return tuple(read_job(r) for r in self._database.rows(sql, [self._owner]))

    def lines(self, id: str, *, limit: int = 40) -> tuple[str, ...]:
        """Return a job's last log lines, oldest first."""
        sql = "SELECT text FROM job_lines WHERE owner = ? AND job_id = ? ORDER BY number DESC LIMIT ?"
        return tuple(str(r[0]) for r in reversed(self._database.rows(sql, [self._owner, id, limit])))

    def preview(self, id: str) -> bytes | None:
        """Return a job's newest preview picture as PNG, or None."""
        found: bytes | None = self._database.value(
            "SELECT png FROM job_previews WHERE owner = ? AND job_id = ?", [self._owner, id]
        )
        return found

    def request_cancel(self, id: str) -> Job:
        """Cancel a waiting job at once; ask a running one to stop; leave any other as it is."""
        with self._database.transaction():
            self._database.execute(
                "UPDATE jobs SET state = 'cancelled', finished = ?, message = 'Cancelled.'"
                " WHERE owner = ? AND id = ? AND state = 'queued'",
                [to_text(now()), self._owner, id],
            )
            self._database.execute(
                "UPDATE jobs SET cancel_requested = 1 WHERE owner = ? AND id = ? AND state = 'running'",
                [self._owner, id],
            )
        return self.get(id)

    def requeue(self, id: str) -> Job:
        """Put a stopped job back into the queue, at its end, as the next attempt on the same row.

        Raises:
            ConflictError: it waits, runs or is done.
        """
        with self._database.transaction():
            job = self.get(id)
            if "queued" not in TRANSITIONS[job.state]:
                raise ConflictError(f"The job is {job.state} and cannot be resumed.", "Retry it as a new job instead.")
            self._database.execute(
                "UPDATE jobs SET state = 'queued', attempt = attempt + 1, cancel_requested = 0, failure = NULL,"
                " finished = NULL, claim = NULL, message = '', seconds_left = NULL,"
                " position = (SELECT max(position) + 1 FROM jobs) WHERE owner = ? AND id = ?",
                [self._owner, id],
            )
        return self.get(id)

    def move(self, id: str, *, before: str | None = None) -> None:
        """Move a waiting job in front of another waiting one, or (None) to the front.

        Raises:
            ConflictError: one of the two no longer waits.
        """
        with self._database.transaction():
            order = [j.id for j in self.waiting()]
            if id not in order or (before is not None and before not in order):
                raise ConflictError("The job no longer waits.", "Reload the list of jobs.")
            target = self._database.value("SELECT position FROM jobs WHERE id = ?", [before or order[0]])
            previous = self._database.value(
                "SELECT max(position) FROM jobs WHERE state = 'queued' AND position < ? AND id <> ?", [target, id]
            )
            if before != id:
                place = target - 1 if previous is None else (target + previous) / 2
                self._database.execute("UPDATE jobs SET position = ? WHERE id = ?", [place, id])

    def delete(self, id: str) -> None:
        """Forget a job that neither waits nor runs; what it made stays.

        Raises:
            ConflictError: it waits or runs.
        """
        with self._database.transaction():
            if self.get(id).is_active:
                raise ConflictError("The job still waits or runs.", "Cancel it first.")
            self._database.execute("DELETE FROM jobs WHERE owner = ? AND id = ?", [self._owner, id])


def claim_values(claim: Claim) -> dict[str, Any]:
    """Return the columns that say who holds a job, or a worker's place."""
    return {
        "claim": claim.token, "pid": claim.pid, "process_started": claim.process_started, "host": claim.host,
    }  # fmt: skip


def read_job(row: Row) -> Job:
    """Return the job of a row that was read with COLUMNS."""
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
