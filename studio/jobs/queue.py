"""What a person may do with jobs.

    submit   a new job waits
    cancel   a waiting job is cancelled at once, a running one within a second
    resume   a failed, cancelled or interrupted job goes on: same row, same work folder
    retry    the same again from the start: a new row whose parent is the old one
    move     a waiting job goes to another place in the queue
    forget   a finished job leaves the list; what it made stays

The queue is only rows: it is the same seen from the window, from a second
window, from the command line, and after a restart. It does not know who works;
recovery.py looks whether those who said they do still live.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import BaseModel, ValidationError

from studio.domain.job import LOG_TAIL_LINES, Claim, Job, JobState
from studio.domain.refusal import refusal
from studio.errors import ConflictError
from studio.jobs.kinds import KindTable, find_kind
from studio.store import Store


class JobQueue:
    """The queue of one owner.

    Args:
        store: where the rows are.
        owner: whose jobs.
        kinds: the table of job kinds, see kinds.py.
    """

    def __init__(self, store: Store, owner: str, kinds: KindTable) -> None:
        self.store = store
        self._jobs = store.of(owner).jobs
        self.kinds = kinds

    # -- looking ---------------------------------------------------------------

    def get(self, id: str) -> Job:
        """Return one job.

        Raises:
            NotFoundError: no such job for this owner.
        """
        return self._jobs.get(id)

    def list(self, *, states: Sequence[JobState] = (), limit: int = 100) -> tuple[Job, ...]:
        """Return jobs, newest first, in some states or in any."""
        return self._jobs.list(states=states, limit=limit)

    def waiting(self) -> tuple[Job, ...]:
        """Return waiting jobs in the order in which they will run."""
        return self._jobs.waiting()

    def lines(self, id: str, *, limit: int = LOG_TAIL_LINES) -> tuple[str, ...]:
        """Return a job's last log lines, oldest first."""
        return self._jobs.lines(id, limit=limit)

    def preview(self, id: str) -> bytes | None:
        """Return a job's newest preview as PNG bytes, or None; `job.preview_number` says whether it is new."""
        return self._jobs.preview(id)

    # -- acting ----------------------------------------------------------------

    def submit(
        self,
        kind: str,
        params: BaseModel | Mapping[str, Any],
        *,
        title: str = "",
        project_id: str | None = None,
        identity_id: str | None = None,
    ) -> Job:
        """Put a job at the end of the queue.

        Args:
            kind: name of a kind in the table.
            params: the kind's parameters, or JSON values for them.
            title: one line for the person; default the kind's title.
            identity_id: whom it shows; deleting this person deletes the job.

        Raises:
            JobError: no such kind.
            UserInputError: the parameters do not fit the kind.
        """
        return self._add(kind, params, title, project_id, identity_id)

    def cancel(self, id: str) -> Job:
        """Cancel a waiting job, or ask a running one to stop; nothing happens to a finished one.

        Raises:
            NotFoundError: no such job for this owner.
        """
        return self._jobs.request_cancel(id)

    def resume(self, id: str) -> Job:
        """Let a failed, cancelled or interrupted job go on from its checkpoint.

        Raises:
            ConflictError: it waits, runs or is done.
        """
        return self._jobs.requeue(id)

    def retry(self, id: str, *, params: BaseModel | Mapping[str, Any] | None = None) -> Job:
        """Start the same again as a new job, with the same or with other parameters.

        Raises:
            ConflictError: it still waits or runs.
        """
        old = self._jobs.get(id)
        if not old.can_retry:
            raise ConflictError("The job still waits or runs.", "Cancel it first.")
        wanted = old.params if params is None else params
        return self._add(old.kind, wanted, old.title, old.project_id, old.identity_id, parent=old)

    def move(self, id: str, *, before: str | None = None) -> None:
        """Move a waiting job in front of another one, or (None) to the front.

        Raises:
            ConflictError: one of the two no longer waits.
        """
        self._jobs.move(id, before=before)

    def forget(self, id: str) -> None:
        """Take a job that neither waits nor runs out of the list, with its work folder; what it made stays.

        Raises:
            ConflictError: it waits or runs.
        """
        self._jobs.delete(id)
        shutil.rmtree(self._jobs.work_folder(id), ignore_errors=True)

    def _add(
        self,
        kind_name: str,
        params: BaseModel | Mapping[str, Any],
        title: str,
        project_id: str | None,
        identity_id: str | None,
        *,
        parent: Job | None = None,
        claim: Claim | None = None,
    ) -> Job:
        kind = find_kind(self.kinds, kind_name)
        try:
            values = params.model_dump(mode="json") if isinstance(params, BaseModel) else dict(params)
            values = kind.params.model_validate(values).model_dump(mode="json")
        except ValidationError as exc:
            raise refusal(exc) from exc
        return self._jobs.add(
            kind.name, values, title=title or kind.title, project_id=project_id, identity_id=identity_id,
            parent=parent, claim=claim,
        )  # fmt: skip

    def submit_claimed(
        self,
        kind: str,
        params: BaseModel | Mapping[str, Any],
        claim: Claim,
        *,
        title: str = "",
        project_id: str | None = None,
        identity_id: str | None = None,
    ) -> Job:
        """Write a job that this process runs at once, so that no worker takes it; see executor.run_now."""
        return self._add(kind, params, title, project_id, identity_id, claim=claim)
