"""Long work as the person sees it: the queue, bound to one owner.

The rules are the queue's; here is only what a window or a command line needs
in addition: a preview as a file, and the log's tail as text.
"""

from __future__ import annotations

from pathlib import Path

from studio.domain.job import Job
from studio.engines.media.atomic import atomic_file
from studio.jobs.queue import JobQueue


class Jobs:
    """One owner's jobs."""

    def __init__(self, queue: JobQueue, scratch: Path) -> None:
        self._queue = queue
        self._scratch = scratch

    def list(self, limit: int = 100) -> tuple[Job, ...]:
        """Return jobs, newest first."""
        return self._queue.list(limit=limit)

    def newest_active(self, kind: str) -> Job | None:
        """Return the newest job of a kind that waits or runs, so that a window finds it again; None without one."""
        return max((j for j in self.list() if j.is_active and j.kind == kind), key=lambda j: j.created, default=None)

    def get(self, job_id: str) -> Job:
        """Return one job.

        Raises:
            NotFoundError: no such job.
        """
        return self._queue.get(job_id)

    def cancel(self, job_id: str) -> Job:
        """Stop a waiting or running job; nothing happens to a finished one."""
        return self._queue.cancel(job_id)

    def resume(self, job_id: str) -> Job:
        """Let a stopped job go on where it was.

        Raises:
            ConflictError: it waits, runs or is done.
        """
        return self._queue.resume(job_id)

    def retry(self, job_id: str) -> Job:
        """Start the same again as a new job.

        Raises:
            ConflictError: it still waits or runs.
        """
        return self._queue.retry(job_id)

    def forget(self, job_id: str) -> None:
        """Take a finished job out of the list; what it made stays.

        Raises:
            ConflictError: it still waits or runs.
        """
        self._queue.forget(job_id)

    def icon(self, job: Job) -> str:
        """Return the name of the icon of the job's kind."""
        kind = self._queue.kinds.get(job.kind)
        return "library" if kind is None else kind.icon

    def keeps_its_work(self, job: Job) -> bool:
        """Say whether what a stopped job of this kind has done stays, and goes on from where it was ordered."""
        kind = self._queue.kinds.get(job.kind)
        return kind is not None and kind.keeps_its_work

    def log_tail(self, job_id: str) -> str:
        """Return the job's last log lines.

        Raises:
            NotFoundError: no such job.
        """
        return "\n".join(self._queue.lines(self.get(job_id).id))

    def preview(self, job_id: str) -> Path | None:
        """Return the job's newest preview picture as a file, or None."""
        number = self.get(job_id).preview_number
        png = self._queue.preview(job_id)
        if png is None:
            return None
        self._scratch.mkdir(parents=True, exist_ok=True)
        path = self._scratch / f"job-{job_id}-{number}.png"
        if not path.exists():
            with atomic_file(path) as part:
                part.write_bytes(png)
            for old in self._scratch.glob(f"job-{job_id}-*.png"):
                if old != path:
                    old.unlink(missing_ok=True)
        return path
