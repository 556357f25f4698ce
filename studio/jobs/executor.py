"""One claimed job from its start to its honest end, in this process.

The run itself stays in the calling thread; a second thread beats its heart,
looks for a wish to stop, and writes progress and log lines a few times per
second, so that a run may report every frame at no cost. However the run ends,
the row says so: done only when run() returned; otherwise the exception's class,
one sentence, a hint, and the log lines before it.

`run_now` and `work_off` do the same without a worker, for the command line and
for tests.
"""

from __future__ import annotations

import logging
import shutil
import threading
import time
import traceback
from collections import deque
from collections.abc import Callable, Mapping
from datetime import datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Literal

from pydantic import BaseModel

from studio.domain.job import Claim, Failure, Job, JobState, estimate_seconds_left
from studio.errors import JobCancelled, StudioError
from studio.jobs.kinds import JobKind, Workplace, find_kind, table_of
from studio.jobs.process import HEARTBEAT_SECONDS, own_claim
from studio.jobs.queue import JobQueue
from studio.log import about
from studio.outside import of_disk
from studio.store.claims import Claims
from studio.store.rows import now

LOOK_SECONDS = 0.2
FINISH_SECONDS = 10.0
"""How long writing the end of a job is tried when the disk refuses."""

StopReason = Literal["", "cancelled", "closing", "lost"]
_logger = logging.getLogger(__name__)


class _Context:
    """The run's side of a job; implements kinds.JobContext."""

    def __init__(self, jobs: Claims, job: Job, claim: Claim) -> None:
        self.job = job
        self.service: Any = None
        self.work_folder: Path = jobs.work_folder(job.id)
        self.checkpoint: Mapping[str, Any] = job.checkpoint
        self.stop_reason: StopReason = ""
        self.stopped_at = 0.0
        self._jobs = jobs
        self._claim = claim
        self._lock = threading.Lock()
        self._fraction = 0.0
        self._message = ""
        self._left: float | None = None
        self._preview: bytes | None = None
        self._changed = False
        self._lines: list[tuple[datetime, str]] = []
        self._samples: deque[tuple[float, float]] = deque([(time.monotonic(), 0.0)], maxlen=60)

    def progress(
        self,
        fraction: float,
        message: str = "",
        preview_png: bytes | None = None,
        seconds_left: float | None = None,
    ) -> None:
        """See JobContext."""
        with self._lock:
            self._fraction = max(self._fraction, min(1.0, fraction))
            self._message = message or self._message
            self._preview = preview_png or self._preview
            self._left, self._changed = seconds_left, True

    def check_cancelled(self) -> None:
        """See JobContext."""
        if self.stop_reason:
            raise JobCancelled(self.stop_reason)

    def log(self, line: str) -> None:
        """See JobContext."""
        with self._lock:
            self._lines += [(now(), part) for part in line.splitlines() or [""]]

    def save_checkpoint(self, values: Mapping[str, Any]) -> None:
        """See JobContext."""
        if not self._jobs.write_checkpoint(self.job, self._claim.token, values):
            self.stop("lost")
            self.check_cancelled()
        self.checkpoint = dict(values)

    def stop(self, reason: StopReason) -> None:
        """Let the next `check_cancelled` raise; the first reason counts."""
        if not self.stop_reason:
            self.stopped_at, self.stop_reason = time.monotonic(), reason

    def flush(self) -> None:
        """Write what has been said since the last time; what the disk refuses is said again next time."""
        with self._lock:
            fraction, message, preview, lines = self._fraction, self._message, self._preview, self._lines
            left = self._left
            if not self._changed and not lines:
                return
            self._preview, self._lines, self._changed = None, [], False
        if fraction > self._samples[-1][1]:
            self._samples.append((time.monotonic(), fraction))
        left = estimate_seconds_left(self._samples) if left is None else left
        try:
            held = self._jobs.write_progress(
                self.job, self._claim.token, fraction=fraction, message=message, seconds_left=left,
                preview_png=preview, lines=lines,
            )  # fmt: skip
        except StudioError:
            with self._lock:
                self._lines, self._preview, self._changed = lines + self._lines, self._preview or preview, True
            raise
        if not held:
            self.stop("lost")


class _Pulse(threading.Thread):
    """Beats the heart of a running job beside it, and hears the wish to stop.

    Args:
        closing: set when this process is to end.
        on_stuck: called when the run does not stop in its time; ends the process.
    """

    def __init__(
        self, jobs: Claims, context: _Context, claim: Claim, kind: JobKind[Any], closing: threading.Event,
        on_stuck: Callable[[StopReason], None] | None,
    ) -> None:  # fmt: skip
        super().__init__(name=f"pulse of job {context.job.id}", daemon=True)
        self._jobs = jobs
        self._context = context
        self._claim = claim
        self._kind = kind
        self._closing = closing
        self._on_stuck = on_stuck
        self._over = threading.Event()
        self._next_beat = 0.0

    def run(self) -> None:
        """Look several times a second until the run is over; trouble with the disk does not end the pulse."""
        while not self._over.wait(LOOK_SECONDS):
            try:
                self._look()
            except StudioError as exc:
                _logger.warning("the job's row could not be written: %s", exc)

    def _look(self) -> None:
        context = self._context
        if time.monotonic() >= self._next_beat:
            asked = self._jobs.beat(context.job, self._claim.token)
            self._next_beat = time.monotonic() + HEARTBEAT_SECONDS
        else:
            asked = self._jobs.is_asked_to_stop(context.job, self._claim.token)
        if self._over.is_set():
            return  # the row was finished just now and is rightly no longer ours
        if asked is None:
            context.stop("lost")
        elif asked:
            context.stop("cancelled")
        elif self._closing.is_set():
            context.stop("closing")
        reason, waited = context.stop_reason, time.monotonic() - context.stopped_at
        if reason and self._on_stuck is not None and waited > self._kind.cancel_grace_seconds:
            self._on_stuck(reason)
        context.flush()

    def end(self) -> None:
        """Stop beating and wait for the thread."""
        self._over.set()
        self.join()


class _LinesOfLog(logging.Handler):
    """Copies the studio's log records into the job's log."""

    def __init__(self, context: _Context) -> None:
        super().__init__(logging.INFO)
        self._context = context

    def emit(self, record: logging.LogRecord) -> None:
        """Add one record."""
        self._context.log(f"{record.levelname.lower()}: {record.getMessage()}")


def execute(
    workplace: Workplace,
    job: Job,
    claim: Claim,
    *,
    closing: threading.Event | None = None,
    on_stuck: Callable[[JobKind[Any], Job, StopReason], None] | None = None,
) -> Job:
    """Run a job that `claim` holds, and write how it ended.

    Args:
        closing: set when this process is to end; the job then ends as interrupted.
        on_stuck: called (in another thread, after the row was finished) when the run
            does not stop in its time; expected to end the process.

    Returns:
        The job as it stands now.

    Raises:
        KeyboardInterrupt: passed on after the job was marked cancelled.
        StoreError: not even the end of the job could be written.
    """
    jobs = workplace.store.claims
    context = _Context(jobs, job, claim)
    try:
        kind = find_kind(workplace.kinds, job.kind)
        params = kind.params.model_validate(job.params)
        context.service = getattr(workplace.services(job.owner), kind.service)
        context.work_folder.mkdir(parents=True, exist_ok=True)
    except Exception as exc:
        return _finish(jobs, context, claim, "failed", failure=_failure(exc, context))

    def stuck(reason: StopReason) -> None:
        if on_stuck is not None:
            context.log("The run did not stop in its time; its process is ended.")
            _finish_stopped(jobs, context, claim, reason)
            on_stuck(kind, job, reason)

    pulse = _Pulse(jobs, context, claim, kind, closing or threading.Event(), stuck if on_stuck else None)
    handler = _LinesOfLog(context)
    studio_logger = logging.getLogger("studio")
    studio_logger.addHandler(handler)
    pulse.start()
    outputs: Mapping[str, Any] = {}
    ending: BaseException | None = None
    try:
        with about(job=job.id, project=job.project_id or ""):
            outputs = kind.run(params, context) or {}
    except (Exception, JobCancelled, SystemExit, KeyboardInterrupt) as exc:
        ending = exc
    finally:
        studio_logger.removeHandler(handler)
        pulse.end()
    if ending is None:
        finished = _finish(jobs, context, claim, "done", outputs=outputs)
        shutil.rmtree(context.work_folder, ignore_errors=True)
        return finished
    if isinstance(ending, JobCancelled):
        return _finish_stopped(jobs, context, claim, context.stop_reason)
    if isinstance(ending, KeyboardInterrupt):
        _finish(jobs, context, claim, "cancelled", message="Stopped with the keyboard.")
        raise ending
    return _finish(jobs, context, claim, "failed", failure=_failure(ending, context))


def run_now(
    queue: JobQueue,
    kind: JobKind[Any],
    params: BaseModel | Mapping[str, Any],
    service: Any,
    *,
    title: str = "",
    project_id: str | None = None,
    identity_id: str | None = None,
) -> Job:
    """Run a job of the queue's owner here and now, with a row like any other; no worker can take it.

    Args:
        service: what the run gets to work with.
    """
    here = SimpleNamespace(**{kind.service: service})
    workplace = Workplace(queue.store, table_of(kind), services=lambda owner: here)
    claim = own_claim()
    job = queue.submit_claimed(kind.name, params, claim, title=title, project_id=project_id, identity_id=identity_id)
    return execute(workplace, job, claim)


def work_off(workplace: Workplace) -> tuple[Job, ...]:
    """Run all waiting jobs here, one after another; return them as they ended."""
    ended = []
    claim = own_claim()
    while (job := workplace.store.claims.claim_next(claim)) is not None:
        ended.append(execute(workplace, job, claim))
        claim = own_claim()
    return tuple(ended)


def _failure(exc: BaseException, context: _Context) -> Failure:
    """Say what went wrong, and put the traceback of a bug into the job's log."""
    name = type(exc).__name__
    if isinstance(exc, StudioError):
        context.log(f"{name}: {exc}")
        return Failure.of(exc)
    context.log("".join(traceback.format_exception(exc)).rstrip())
    if isinstance(exc, MemoryError):
        return Failure(error=name, message="The job ran out of memory.", hint="Choose a smaller size, then retry.")
    refused = of_disk(exc)
    if refused is not None:
        return Failure.of(refused)
    if isinstance(exc, SystemExit):
        code = exc.code if isinstance(exc.code, int) else 1
        return Failure(error=name, message=f"The job ended itself (exit code {code}).", exit_code=code)
    return Failure(error=name, message=f"The job failed: {exc or name}.", hint="This is a bug; its log says where.")


def _finish_stopped(jobs: Claims, context: _Context, claim: Claim, reason: StopReason) -> Job:
    """Write the end of a run that was asked to stop."""
    if reason != "closing":
        return _finish(jobs, context, claim, "cancelled", message="Cancelled.")
    failure = Failure(error="Closing", message="The studio was closed while the job ran.", hint="Resume the job.")
    return _finish(jobs, context, claim, "interrupted", failure=failure)


def _finish(
    jobs: Claims, context: _Context, claim: Claim, state: JobState, *, message: str = "",
    outputs: Mapping[str, Any] | None = None, failure: Failure | None = None,
) -> Job:  # fmt: skip
    """Write the end of the job; a disk that refuses is asked again for a while, a lost claim writes nothing."""
    end = time.monotonic() + FINISH_SECONDS
    while True:
        try:
            context.flush()
            text = message or (failure.message if failure else "Done.")
            jobs.finish(context.job, claim.token, state, message=text, outputs=outputs, failure=failure)
            return jobs.get(context.job.id)
        except (TypeError, ValueError) as exc:
            # run() returned something that is no JSON: the job's fault, not ours.
            state, outputs, failure = "failed", None, _failure(exc, context)
        except StudioError:
            if time.monotonic() > end:
                raise
            time.sleep(0.5)
