from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from studio.domain.job import Job, JobState
from studio.jobs.kinds import Workplace
from studio.jobs.queue import JobQueue
from studio.jobs.supervisor import WorkerSupervisor
from studio.store import Store
from tests.jobs.small_kinds import KINDS, Services
from tests.patience import wait_until

ME = "local"


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


def wait_for(queue: JobQueue, job: Job, *states: JobState) -> Job:
    wait_until(lambda: queue.get(job.id).state in states, lambda: queue.get(job.id))
    return queue.get(job.id)
