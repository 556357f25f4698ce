"""The worker process: claims waiting jobs and runs them, one after another.

Started by supervisor.py as `python -m studio.jobs.worker`. Its standard input is
a pipe from the process that started it: the first line says what to build, and
the end of the pipe asks it to end. The pipe ends too when the starter is killed,
however it went: no polling of pids, and the same on every system.

One data folder has one working worker per lane. A second one (of a second window) waits
in reserve and takes over when the first is gone. What the worker can do comes
from a function named by a string, so that this module imports no service.
"""

from __future__ import annotations

import faulthandler
import json
import logging
import os
import sys
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import IO, Any

from studio.domain.job import Claim, Job, Lane, Takes
from studio.errors import StudioError
from studio.jobs.executor import StopReason, execute
from studio.jobs.kinds import JobKind, Workplace, load_attribute
from studio.jobs.process import HEARTBEAT_SECONDS, end_children, is_gone, own_claim
from studio.jobs.recovery import recover
from studio.log import configure
from studio.store.rows import now

IDLE_SECONDS = 0.2
RECOVER_SECONDS = 5.0
STUCK_EXIT_CODE = 75
"""The worker ended itself because a run did not stop; the row says so already."""

_logger = logging.getLogger(__name__)


@dataclass
class Worker:
    """One worker at its workplace.

    Attributes:
        closing: set it, and the worker ends; a running job becomes interrupted.
        lane: which kinds of jobs it takes.
        idle_seconds: it ends itself after so long without a job, and with it goes
            the memory its libraries hold; None stays.
    """

    workplace: Workplace
    closing: threading.Event = field(default_factory=threading.Event)
    lane: Lane = "main"
    idle_seconds: float | None = None
    _place: Claim = field(default_factory=own_claim)

    def run(self) -> None:
        """Wait for the worker's place, then for jobs, until `closing`."""
        self._jobs = self.workplace.store.claims
        self._takes = Takes.of_lane(self.lane, self.workplace.long_kinds)
        self._last_busy = time.monotonic()
        try:
            while not self.closing.is_set() and not self._is_bored():
                if self._take_place():
                    self._serve()
                else:
                    self.closing.wait(1.0)
        finally:
            self._jobs.leave_worker_place(self._place)

    def _is_bored(self) -> bool:
        return self.idle_seconds is not None and time.monotonic() - self._last_busy > self.idle_seconds

    def _take_place(self) -> bool:
        """Become this folder's worker of the lane, if no live one is."""
        held = self._jobs.worker(self.lane)
        if held is not None and not is_gone(held[0], held[1], now()):
            return held[0].token == self._place.token
        return self._jobs.take_worker_place(self._place, instead_of=None if held is None else held[0], lane=self.lane)

    def _serve(self) -> None:
        """Run jobs until closing, or until another took the place (this computer slept for long)."""
        lost = threading.Event()
        keeper = threading.Thread(target=self._keep_place, args=(lost,), name="keeper of the place", daemon=True)
        keeper.start()
        try:
            idle = RECOVER_SECONDS
            while not self.closing.is_set() and not lost.is_set() and not self._is_bored():
                if idle >= RECOVER_SECONDS:
                    recover(self.workplace.store)
                    idle = 0.0
                claim = own_claim()
                job = self._jobs.claim_next(claim, self._takes) if self._jobs.has_waiting(self._takes) else None
                if job is None:
                    idle += IDLE_SECONDS
                    self.closing.wait(IDLE_SECONDS)
                else:
                    _logger.info("job %s (%s) begins", job.id, job.kind)
                    ended = execute(self.workplace, job, claim, closing=self.closing, on_stuck=self._end_stuck)
                    self._last_busy = time.monotonic()
                    _logger.info("job %s is %s", ended.id, ended.state)
        finally:
            lost.set()
            keeper.join()

    def _keep_place(self, lost: threading.Event) -> None:
        while not lost.wait(HEARTBEAT_SECONDS):
            try:
                if not self._jobs.beat_worker(self._place):
                    lost.set()
            except StudioError as exc:
                _logger.warning("the worker's heartbeat could not be written: %s", exc)

    def _end_stuck(self, kind: JobKind[Any], job: Job, reason: StopReason) -> None:
        """End this process, because a run in a library cannot be stopped otherwise; a new worker is started."""
        _logger.warning("job %s (%s) did not stop within %.1f s", job.id, kind.name, kind.cancel_grace_seconds)
        self._jobs.leave_worker_place(self._place)
        end_children()
        os._exit(STUCK_EXIT_CODE)


def _private_input() -> IO[str]:
    """Take standard input away for ourselves, so that no child process reads our orders."""
    own = os.fdopen(os.dup(0), "r", encoding="utf-8")
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)
    os.close(null)
    return own


def _listen(orders: IO[str], closing: threading.Event) -> None:
    """Set `closing` when the pipe ends; nothing is said on it after the first line."""
    orders.read()
    closing.set()


def main() -> int:
    """Build the workplace named on the first line of standard input, and work."""
    faulthandler.enable()
    configure()
    orders = _private_input()
    first = orders.readline()
    if not first:
        return 0  # the starter died before it could say anything
    order: Mapping[str, Any] = json.loads(first)
    closing = threading.Event()
    threading.Thread(target=_listen, args=(orders, closing), name="listener", daemon=True).start()
    workplace: Workplace = load_attribute(order["build"])(**order["arguments"])
    try:
        Worker(workplace, closing, order.get("lane", "main"), order.get("idle_seconds")).run()
    finally:
        workplace.close()
        workplace.store.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
