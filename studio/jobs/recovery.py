"""After a crash: which jobs say that somebody works on them who is gone.

Called at each start and by the idle worker, for all owners. Nothing is started
again by itself: a job that ended its process would only do it once more.
"""

from __future__ import annotations

from studio.domain.job import Claim, Failure, Job
from studio.jobs.process import is_gone
from studio.store import Store
from studio.store.rows import now


def recover(store: Store) -> tuple[Job, ...]:
    """Mark running jobs whose process is gone as interrupted; return them."""
    found: tuple[Job, ...] = ()
    for job, claim in store.claims.running():
        why = is_gone(claim, job.heartbeat, now())
        if why:
            failure = Failure(error="ProcessEnded", message=f"The job was interrupted: {why}.", hint="Resume the job.")
            found += interrupt(store, job, claim, failure)
    return found


def interrupt(store: Store, job: Job, claim: Claim, failure: Failure) -> tuple[Job, ...]:
    """Mark a running job as interrupted if `claim` still holds it; return it, or nothing."""
    if not store.claims.finish(job, claim.token, "interrupted", message=failure.message, failure=failure):
        return ()
    return (store.claims.get(job.id),)


def has_worker(store: Store) -> bool:
    """Say whether a live worker serves this data folder."""
    held = store.claims.worker()
    return held is not None and not is_gone(held[0], held[1], now())
