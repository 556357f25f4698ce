"""Starts the worker process and notices when it dies.

A dying process cannot say why it died; its parent can. So the window that
started the worker waits for its end, reads the exit code, and writes on the
rows of the jobs it held what happened, with the worker's last words. Then it
starts a new worker. If the window dies too, the next start finds the rows
(`JobQueue.recover`).
"""

from __future__ import annotations

import json
import logging
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from typing import Any

from studio.domain.job import LOG_TAIL_LINES, Failure, Lane, Takes
from studio.errors import StudioError
from studio.jobs.process import explain_exit
from studio.jobs.recovery import interrupt
from studio.store import Store
from studio.store.media import disk_errors
from studio.store.rows import now

LOG_BYTES = 1_000_000
STOP_SECONDS = 5.0
RESTART_SECONDS = (0.0, 1.0, 5.0, 30.0)
"""How long to wait before starting a worker again that died young, growing with each time."""
YOUNG_SECONDS = 10.0

IDLE_END_SECONDS = 60.0
LOOK_SECONDS = 0.3
"""How often the long lane is looked at for a waiting job while it has no worker."""

_logger = logging.getLogger(__name__)


class WorkerSupervisor:
    """Keeps one worker process running for this process.

    The worker of the long lane is started when a job waits for it, and ends
    itself some time after the last one: training libraries hold gigabytes.

    Args:
        store: the store the worker's jobs are in.
        build: "module:function" that returns a kinds.Workplace.
        arguments: JSON keyword arguments for it (sent through a pipe, not seen in process lists).
        lane: which jobs the worker takes.
        long_kinds: the kinds of the long lane.
        idle_seconds: after so long without a job the worker of the long lane ends.
    """

    def __init__(
        self,
        store: Store,
        build: str,
        arguments: Mapping[str, Any],
        *,
        lane: Lane = "main",
        long_kinds: frozenset[str] = frozenset(),
        idle_seconds: float = IDLE_END_SECONDS,
    ) -> None:
        self._store = store
        self._lane: Lane = lane
        self._when_needed = lane == "long"
        self._takes = Takes.of_lane(lane, long_kinds)
        order = {"build": build, "arguments": dict(arguments), "lane": lane}
        self._order = json.dumps(order | ({"idle_seconds": idle_seconds} if self._when_needed else {}))
        self._log_path = store.data_dir / ("worker.log" if lane == "main" else f"worker-{lane}.log")
        self._process: subprocess.Popen[str] | None = None
        self._spoken = 0  # size of the log when the worker was started
        self._closing = threading.Event()
        self._changing = threading.Lock()  # held while the process is replaced, so that stop() means the right one
        self._watcher: threading.Thread | None = None

    @property
    def pid(self) -> int | None:
        """The worker's process id, or None while there is none."""
        process = self._process
        return None if process is None or process.poll() is not None else process.pid

    def start(self) -> None:
        """Start the worker; does nothing when it runs already.

        Raises:
            StoreError: its log cannot be written.
        """
        if self._watcher is not None and self._watcher.is_alive():
            return
        self._closing.clear()
        if not self._when_needed:
            self._process = self._spawn()
        self._watcher = threading.Thread(target=self._watch, name="worker supervisor", daemon=True)
        self._watcher.start()

    def stop(self, timeout_seconds: float = STOP_SECONDS) -> None:
        """Ask the worker to end and wait; after `timeout_seconds` it is killed with all its children."""
        with self._changing:
            self._closing.set()
            process, watcher = self._process, self._watcher
        if watcher is None:
            return
        if process is not None:
            _close_pipe(process)
        watcher.join(timeout_seconds)
        if watcher.is_alive():
            if process is not None:
                process.kill()
            watcher.join()
        self._process = self._watcher = None

    def _spawn(self) -> subprocess.Popen[str]:
        with disk_errors():
            fresh = not self._log_path.exists() or self._log_path.stat().st_size > LOG_BYTES
            log = self._log_path.open("wb" if fresh else "ab")
            self._spoken = 0 if fresh else self._log_path.stat().st_size
        # The child must find the studio and the composition root where this process found them.
        places = os.pathsep.join(os.path.abspath(p) for p in sys.path)
        options: dict[str, Any] = {"start_new_session": True}
        if sys.platform == "win32":
            options = {"creationflags": subprocess.CREATE_NEW_PROCESS_GROUP | subprocess.CREATE_NO_WINDOW}
        with log:
            process = subprocess.Popen(
                [sys.executable, "-m", "studio.jobs.worker"],
                stdin=subprocess.PIPE, stdout=log, stderr=log, text=True, encoding="utf-8",
                env=os.environ | {"PYTHONPATH": places}, **options,
            )  # fmt: skip
        assert process.stdin is not None
        try:
            process.stdin.write(self._order + "\n")
            process.stdin.flush()
        except OSError:
            _logger.warning("the worker ended before it could be told what to build")
        return process

    def _watch(self) -> None:
        """Wait for the worker's end, write down why, start the next one."""
        died_young = 0
        while True:
            if self._when_needed and not self._start_when_needed():
                return
            process = self._process
            assert process is not None
            born = time.monotonic()
            code = process.wait()
            _close_pipe(process)
            _end_group(process.pid)
            self._write_down(process.pid, code)
            if self._closing.is_set():
                return
            if self._when_needed and code == 0:
                continue
            _logger.warning("the worker ended (exit code %s) and is started again", code)
            died_young = died_young + 1 if time.monotonic() - born < YOUNG_SECONDS else 0
            self._closing.wait(RESTART_SECONDS[min(died_young, len(RESTART_SECONDS) - 1)])
            with self._changing:
                if self._closing.is_set():
                    return
                if not self._when_needed:
                    self._process = self._spawn()

    def _start_when_needed(self) -> bool:
        """Wait until a job waits, then start the worker; return False when the studio closes first."""
        while not self._closing.wait(LOOK_SECONDS):
            try:
                waiting = self._store.claims.has_waiting(self._takes)
            except StudioError as exc:
                _logger.warning("whether a job waits could not be read: %s", exc)
                continue
            if waiting:
                with self._changing:
                    if self._closing.is_set():
                        return False
                    self._process = self._spawn()
                return True
        return False

    def _write_down(self, pid: int, code: int) -> None:
        """Mark the jobs the dead worker held as interrupted, with its exit code and last words."""
        message, hint = explain_exit(code)
        try:
            for job, claim in self._store.claims.running():
                if (claim.pid, claim.host) == (pid, socket.gethostname()):
                    words = [(now(), f"worker: {line}") for line in self._last_words()]
                    self._store.claims.add_lines(job, words)
                    failure = Failure(error="ProcessEnded", message=message, hint=hint, exit_code=code)
                    interrupt(self._store, job, claim, failure)
            held = self._store.claims.worker(self._lane)
            if held is not None and held[0].pid == pid:
                self._store.claims.leave_worker_place(held[0])
        except StudioError as exc:
            # The rows stay "running"; the next worker's recover() mends them.
            _logger.error("why the worker ended could not be written down: %s", exc)

    def _last_words(self) -> list[str]:
        """Return the last lines of the worker's log since its start; a crash report ends up there."""
        try:
            with self._log_path.open("rb") as file:
                file.seek(self._spoken)
                return file.read(LOG_BYTES).decode("utf-8", "replace").splitlines()[-LOG_TAIL_LINES:]
        except OSError:
            return []


def _close_pipe(process: subprocess.Popen[str]) -> None:
    """Ask the worker to end: it does when its standard input does."""
    assert process.stdin is not None
    try:
        process.stdin.close()
    except OSError:
        _logger.debug("the worker was gone before it could be asked to end")


def _end_group(pid: int) -> None:
    """End what the worker started and left behind; on Windows its pipes' ends do it."""
    if sys.platform != "win32":
        try:
            os.killpg(pid, signal.SIGKILL)
        except (ProcessLookupError, PermissionError):
            return
