"""Real worker processes, really killed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from studio.domain.job import Job
from studio.jobs.kinds import long_kinds
from studio.jobs.queue import JobQueue
from studio.jobs.recovery import has_worker
from studio.jobs.supervisor import WorkerSupervisor
from studio.store import Store
from tests.jobs.conftest import ME, wait_for
from tests.jobs.small_kinds import GO, KINDS, STEP_SECONDS
from tests.patience import PATIENCE_SECONDS, wait_until

ENDLESS = {"steps": 1_000_000, "seconds_per_step": STEP_SECONDS}
STEPS_TO_STOP = 150
"""So many steps a run may still make when it was asked to stop: three seconds of an idle machine. Steps are counted
because on a busy one both the steps and the look for a wish to stop take longer."""


def steps_of(queue: JobQueue, job: Job) -> int:
    return int(queue.get(job.id).checkpoint.get("step", 0))


def test_a_job_runs_in_the_worker_and_reports(queue: JobQueue, supervisor: WorkerSupervisor) -> None:
    job = queue.submit("count", {"steps": 40, "seconds_per_step": 0.02}, title="To forty")
    assert job.state == "queued"
    supervisor.start()
    running = wait_for(queue, job, "running")
    assert running.pid == supervisor.pid != os.getpid()
    assert has_worker(queue.store)
    wait_until(lambda: queue.get(job.id).seconds_left is not None or not queue.get(job.id).is_active)
    done = wait_for(queue, job, "done")
    assert done.fraction == 1.0
    assert done.outputs == {"counted": 40, "begun_at": 0}
    assert done.preview_number > 0
    assert (queue.preview(job.id) or b"").startswith(b"\x89PNG")
    assert queue.lines(job.id)[-1] == "counted 39"


def test_the_worker_has_the_tools_of_the_composition_root(queue: JobQueue, supervisor: WorkerSupervisor) -> None:
    job = queue.submit("tools", {})
    supervisor.start()
    done = wait_for(queue, job, "done")
    assert done.outputs == {"tools": f"saw of {ME}", "owner": ME, "pid": supervisor.pid}


def test_cancelling_takes_few_more_steps(queue: JobQueue, supervisor: WorkerSupervisor) -> None:
    job = queue.submit("count", ENDLESS)
    supervisor.start()
    wait_until(lambda: queue.get(job.id).fraction > 0)
    before = steps_of(queue, job)
    assert queue.cancel(job.id).cancel_requested
    wait_for(queue, job, "cancelled")
    assert steps_of(queue, job) - before < STEPS_TO_STOP
    other = queue.submit("tools", {})
    assert wait_for(queue, other, "done").outputs["pid"] == supervisor.pid


def test_a_run_that_does_not_listen_is_ended_with_its_children(queue: JobQueue, supervisor: WorkerSupervisor) -> None:
    job = queue.submit("ignore", {})
    supervisor.start()
    wait_until(lambda: "child" in queue.get(job.id).checkpoint)
    child = psutil.Process(queue.get(job.id).checkpoint["child"])
    first = supervisor.pid
    before = steps_of(queue, job)
    queue.cancel(job.id)
    wait_for(queue, job, "cancelled")
    assert 0 < steps_of(queue, job) - before < STEPS_TO_STOP
    wait_until(lambda: not child.is_running() or child.status() == psutil.STATUS_ZOMBIE)
    other = queue.submit("tools", {})
    assert wait_for(queue, other, "done").outputs["pid"] != first


@pytest.mark.parametrize("at_fraction", [0.0, 0.05, 0.3])
def test_a_killed_worker_loses_nothing_and_the_job_goes_on(
    store: Store, queue: JobQueue, supervisor: WorkerSupervisor, at_fraction: float
) -> None:
    job = queue.submit("count", {"steps": 60, "hold_at": 30})
    behind = queue.submit("tools", {})
    supervisor.start()
    wait_for(queue, job, "running")
    wait_until(lambda: queue.get(job.id).fraction >= at_fraction)
    pid = supervisor.pid
    assert pid is not None
    psutil.Process(pid).kill()
    stopped = wait_for(queue, job, "interrupted")
    assert stopped.failure is not None
    assert stopped.failure.exit_code == (-9 if os.name == "posix" else stopped.failure.exit_code)
    assert stopped.can_resume
    finished = len(list(store.claims.work_folder(job.id).iterdir()))
    assert finished >= at_fraction * 60
    assert wait_for(queue, behind, "done").outputs["pid"] != pid  # the queue goes on with a new worker
    resumed = queue.resume(job.id)
    assert (resumed.id, resumed.attempt, resumed.failure) == (job.id, 2, None)
    done = wait_for(queue, job, "done")
    assert done.outputs == {"counted": 60, "begun_at": finished}
    wait_until(lambda: not store.claims.work_folder(job.id).exists())  # the row is written first
    assert len(queue.list()) == 2


def test_a_worker_that_ends_itself_is_quoted(store: Store, queue: JobQueue, supervisor: WorkerSupervisor) -> None:
    job = queue.submit("leave", {"code": 137})
    supervisor.start()
    wait_until(lambda: "leaving" in queue.lines(job.id))
    (store.claims.work_folder(job.id) / GO).touch()
    ended = wait_for(queue, job, "interrupted")
    assert ended.failure is not None
    assert ended.failure.exit_code == 137
    assert "memory" in ended.failure.hint
    assert "worker: last words of the process" in queue.lines(job.id)


def test_stopping_the_studio_interrupts_and_says_so(
    store: Store, queue: JobQueue, supervisor: WorkerSupervisor
) -> None:
    job = queue.submit("count", ENDLESS)
    supervisor.start()
    wait_until(lambda: queue.get(job.id).fraction > 0)
    before = steps_of(queue, job)
    supervisor.stop(PATIENCE_SECONDS)
    assert steps_of(queue, job) - before < STEPS_TO_STOP
    ended = queue.get(job.id)
    assert ended.state == "interrupted"
    assert ended.failure is not None
    assert "closed" in ended.failure.message
    assert store.claims.worker() is None


_WINDOW = """
import sys
from pathlib import Path
from studio.store import Store
from studio.domain.job import Job
from studio.jobs.kinds import long_kinds
from studio.jobs.queue import JobQueue
from studio.jobs.supervisor import WorkerSupervisor
store = Store(Path(sys.argv[1]))
supervisor = WorkerSupervisor(
    store, "tests.jobs.small_kinds:workplace", {"data_dir": sys.argv[1]})
supervisor.start()
print(supervisor.pid, flush=True)
sys.stdin.read()
"""


def _open_window(data_dir: Path) -> tuple[subprocess.Popen[str], int]:
    places = os.pathsep.join(os.path.abspath(p) for p in sys.path)
    window = subprocess.Popen(
        [sys.executable, "-c", _WINDOW, str(data_dir)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONPATH": places},
    )
    assert window.stdout is not None
    return window, int(window.stdout.readline())


def _close(window: subprocess.Popen[str]) -> None:
    window.kill()
    window.wait()
    assert window.stdin is not None
    assert window.stdout is not None
    window.stdin.close()
    window.stdout.close()


def test_a_killed_window_takes_its_worker_along_and_loses_no_job(store: Store, queue: JobQueue) -> None:
    job = queue.submit("count", ENDLESS)
    window, worker = _open_window(store.data_dir)
    try:
        wait_until(lambda: queue.get(job.id).fraction > 0)
    finally:
        _close(window)
    ended = wait_for(queue, job, "interrupted")
    assert ended.failure is not None
    wait_until(lambda: not psutil.pid_exists(worker) or psutil.Process(worker).status() == psutil.STATUS_ZOMBIE)
    assert not has_worker(queue.store)


def test_window_and_worker_killed_together_are_found_at_the_next_start(
    store: Store, queue: JobQueue, supervisor: WorkerSupervisor
) -> None:
    job = queue.submit("count", {"steps": 100, "hold_at": 50})
    window, worker = _open_window(store.data_dir)
    try:
        wait_until(lambda: queue.get(job.id).fraction > 0)
        window.kill()
    finally:
        psutil.Process(worker).kill()
        _close(window)
    wait_until(lambda: not psutil.pid_exists(worker) or psutil.Process(worker).status() == psutil.STATUS_ZOMBIE)
    assert queue.get(job.id).state == "running"  # nobody was left to say otherwise
    supervisor.start()
    ended = wait_for(queue, job, "interrupted")
    assert ended.failure is not None
    assert "process ended" in ended.failure.message
    queue.resume(job.id)
    assert wait_for(queue, job, "done").outputs["begun_at"] > 0


def test_two_windows_have_one_working_worker_and_the_other_takes_over(store: Store, queue: JobQueue) -> None:
    first, first_worker = _open_window(store.data_dir)
    try:
        wait_until(lambda: has_worker(queue.store))
        second, second_worker = _open_window(store.data_dir)
        try:
            jobs = [queue.submit("tools", {}) for _ in range(6)]
            assert {wait_for(queue, j, "done").outputs["pid"] for j in jobs} == {first_worker}
            _close(first)
            after = queue.submit("tools", {})
            assert wait_for(queue, after, "done").outputs["pid"] == second_worker
        finally:
            _close(second)
    finally:
        if first.poll() is None:
            _close(first)
    wait_until(lambda: not has_worker(queue.store))


def test_a_worker_that_cannot_be_built_says_so_in_its_log(store: Store, queue: JobQueue) -> None:
    made = WorkerSupervisor(store, "tests.jobs.small_kinds:nowhere", {})
    made.start()
    log = store.data_dir / "worker.log"
    wait_until(lambda: log.exists() and "cannot be loaded" in log.read_text())
    made.stop()


def test_the_worker_imports_no_heavy_library() -> None:
    code = "import sys, json, studio.jobs.worker; print(json.dumps(sorted(m.split('.')[0] for m in sys.modules)))"
    places = os.pathsep.join(os.path.abspath(p) for p in sys.path)
    out = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        env=os.environ | {"PYTHONPATH": places},
    )
    heavy = {"torch", "cv2", "onnxruntime", "numba", "gradio", "pandas", "sqlite_utils", "scipy"}
    assert not heavy & set(json.loads(out.stdout))


@pytest.fixture
def long_lane(store: Store, queue: JobQueue) -> Iterator[WorkerSupervisor]:
    made = WorkerSupervisor(
        store,
        "tests.jobs.small_kinds:workplace",
        {"data_dir": str(store.data_dir)},
        lane="long",
        long_kinds=long_kinds(KINDS),
        idle_seconds=1.0,
    )
    yield made
    made.stop()


def test_a_long_job_holds_up_no_other(
    store: Store, queue: JobQueue, supervisor: WorkerSupervisor, long_lane: WorkerSupervisor
) -> None:
    slow = queue.submit("slow", ENDLESS)
    supervisor.start()
    long_lane.start()
    wait_until(lambda: queue.get(slow.id).fraction > 0)
    quick = wait_for(queue, queue.submit("tools", {}), "done")
    assert queue.get(slow.id).state == "running"
    assert quick.outputs["pid"] == supervisor.pid
    assert queue.get(slow.id).pid == long_lane.pid != supervisor.pid
    queue.cancel(slow.id)
    wait_for(queue, slow, "cancelled")


def test_the_long_worker_comes_when_needed_and_goes_when_idle(
    store: Store, queue: JobQueue, long_lane: WorkerSupervisor
) -> None:
    long_lane.start()
    other = queue.submit("tools", {})
    assert long_lane.pid is None
    for _ in range(2):
        job = queue.submit("slow", {"steps": 2})
        assert wait_for(queue, job, "done").outputs["counted"] == 2
        wait_until(lambda: long_lane.pid is None and store.claims.worker("long") is None)
    assert queue.get(other.id).state == "queued"


def test_a_killed_long_worker_is_explained_and_the_other_lane_goes_on(
    queue: JobQueue, supervisor: WorkerSupervisor, long_lane: WorkerSupervisor
) -> None:
    slow = queue.submit("slow", ENDLESS)
    count = queue.submit("count", {"steps": 100, "seconds_per_step": 0.02})
    supervisor.start()
    long_lane.start()
    wait_until(lambda: queue.get(slow.id).fraction > 0 and queue.get(count.id).fraction > 0)
    assert long_lane.pid is not None
    psutil.Process(long_lane.pid).kill()
    ended = wait_for(queue, slow, "interrupted")
    assert ended.failure is not None
    assert ended.failure.error == "ProcessEnded"
    assert wait_for(queue, count, "done").outputs["begun_at"] == 0
