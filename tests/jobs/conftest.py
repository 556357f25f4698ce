from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from studio.domain.job import Job, JobState
from studio.jobs.kinds import Workplace
from studio.jobs.queue import JobQueue
from studio.jobs.supervisor import WorkerSupervisor
from studio.store import Store
from tests.jobs.small_kinds import KINDS, Services

ME = "local"
WAIT_SECONDS = 20.0


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store(tmp_path / "data") as opened:
        yield opened


@pytest.fixture
def queue(store: Store) -> JobQueue:
    return JobQueue(store, ME, KINDS)


@pytest.fixture
def here(store: Store) -> Workplace:
    return Workplace(store, KINDS, services=lambda owner: Services(f"hammer of {owner}"))


@pytest.fixture
def supervisor(store: Store) -> Iterator[WorkerSupervisor]:
    made = WorkerSupervisor(
        store, "tests.jobs.small_kinds:workplace", {"data_dir": str(store.data_dir), "tools": "saw"}
    )
    yield made
    made.stop()


def wait_until(what: Callable[[], object], seconds: float = WAIT_SECONDS) -> None:
    end = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < end, f"waited {seconds} s in vain"
        time.sleep(0.02)


def wait_for(queue: JobQueue, job: Job, *states: JobState, seconds: float = WAIT_SECONDS) -> Job:
    wait_until(lambda: queue.get(job.id).state in states, seconds)
    return queue.get(job.id)
