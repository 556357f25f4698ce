"""The queue's rules and the executor's honesty, without a worker process."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from studio.domain.job import STATES, TRANSITIONS, estimate_seconds_left
from studio.errors import ConflictError, JobError, NotFoundError, UserInputError
from studio.jobs import process
from studio.jobs.executor import execute, run_now, work_off
from studio.jobs.kinds import Workplace, find_kind
from studio.jobs.process import own_claim
from studio.jobs.queue import JobQueue
from studio.jobs.recovery import recover
from studio.store import Store
from studio.store.rows import now
from tests.jobs.conftest import ME
from tests.jobs.small_kinds import COUNT, KINDS, Count


def test_run_now_leaves_a_row_like_any_other(queue: JobQueue, here: Workplace) -> None:
    done = run_now(queue, KINDS["count"], Count(steps=3), None, title="Three")
    assert (done.state, done.fraction, done.title, done.attempt) == ("done", 1.0, "Three", 1)
    assert done.outputs == {"counted": 3, "begun_at": 0}
    assert not here.store.claims.work_folder(done.id).exists()


def test_every_kind_of_the_table_is_found_under_its_name() -> None:
    assert {find_kind(KINDS, name).name for name in KINDS} == set(KINDS)


def test_a_failure_tells_class_message_hint_and_the_lines_before_it(queue: JobQueue, here: Workplace) -> None:
    failed = run_now(queue, KINDS["fail"], {}, None)
    assert failed.state == "failed"
    assert failed.failure is not None
    assert (failed.failure.error, failed.failure.message, failed.failure.hint) == (
        "UserInputError",
        "The sound is silent.",
        "Choose another.",
    )
    lines = queue.lines(failed.id)
    assert len(lines) == 40
    assert lines[-2:] == ("line 59", "UserInputError: The sound is silent. Choose another.")


def test_a_bug_leaves_its_traceback_and_the_log_records_before_it(queue: JobQueue, here: Workplace) -> None:
    failed = run_now(queue, KINDS["break"], {}, None)
    assert failed.failure is not None
    assert failed.failure.error == "ZeroDivisionError"
    lines = queue.lines(failed.id)
    assert lines[0] == "warning: about to divide"
    assert lines[-1] == "ZeroDivisionError: division by zero"


def test_refused_memory_is_said_so(queue: JobQueue, here: Workplace) -> None:
    failed = run_now(queue, KINDS["eat"], {}, None)
    assert failed.failure is not None
    assert "memory" in failed.failure.message


def test_outputs_that_are_no_json_fail_the_job(queue: JobQueue, here: Workplace) -> None:
    failed = run_now(queue, KINDS["nonsense"], {}, None)
    assert failed.state == "failed"
    assert failed.failure is not None
    assert failed.failure.error == "TypeError"


def test_waiting_jobs_run_in_order_and_can_be_moved(queue: JobQueue, here: Workplace) -> None:
    a, b, c, d = (queue.submit("tools", {}, title=t) for t in "abcd")
    queue.move(d.id)
    queue.move(c.id, before=b.id)
    assert [j.title for j in queue.waiting()] == ["d", "a", "c", "b"]
    assert [j.title for j in work_off(here)] == ["d", "a", "c", "b"]
    with pytest.raises(ConflictError):
        queue.move(a.id)


def test_a_waiting_job_is_cancelled_at_once_and_never_runs(queue: JobQueue, here: Workplace) -> None:
    job = queue.submit("count", {})
    assert queue.cancel(job.id).state == "cancelled"
    assert work_off(here) == ()
    assert queue.cancel(job.id).state == "cancelled"


def test_retry_is_a_new_job_with_lineage(queue: JobQueue, here: Workplace) -> None:
    first = run_now(queue, KINDS["fail"], {}, None)
    again = queue.retry(first.id)
    assert (again.parent_id, again.attempt, again.state) == (first.id, 2, "queued")
    with pytest.raises(ConflictError):
        queue.retry(again.id)
    work_off(here)
    assert queue.retry(again.id).attempt == 3
    assert queue.get(first.id).state == "failed"


def test_retry_with_other_parameters(queue: JobQueue, here: Workplace) -> None:
    first = run_now(queue, KINDS["count"], {"steps": 1}, None)
    queue.retry(first.id, params={"steps": 2})
    assert work_off(here)[0].outputs["counted"] == 2


def test_a_done_job_cannot_be_resumed_but_forgotten(queue: JobQueue, here: Workplace) -> None:
    done = run_now(queue, KINDS["count"], {}, None)
    with pytest.raises(ConflictError):
        queue.resume(done.id)
    queue.forget(done.id)
    with pytest.raises(NotFoundError):
        queue.get(done.id)
    waiting = queue.submit("count", {})
    with pytest.raises(ConflictError):
        queue.forget(waiting.id)


def test_unknown_kinds_and_wrong_parameters_are_refused(queue: JobQueue, here: Workplace) -> None:
    with pytest.raises(JobError):
        queue.submit("fly", {})
    with pytest.raises(UserInputError, match="steps"):
        queue.submit("count", {"steps": "many"})
    here.store.of(ME).jobs.add("from a newer studio", {})
    ended = work_off(here)[0]
    assert ended.failure is not None
    assert "does not know" in ended.failure.message


def test_jobs_of_other_owners_are_not_seen(queue: JobQueue, here: Workplace) -> None:
    job = JobQueue(queue.store, "ada", KINDS).submit("count", {})
    assert queue.list() == ()
    for act in (queue.get, queue.cancel, queue.resume, queue.retry, queue.forget):
        with pytest.raises(NotFoundError):
            act(job.id)
    assert queue.lines(job.id) == ()
    assert work_off(here)[0].owner == "ada"


def test_many_claimants_never_get_the_same_job(store: Store, queue: JobQueue) -> None:
    ids = {queue.submit("count", {}).id for _ in range(40)}
    got: list[str] = []

    def take() -> None:
        while (job := store.claims.claim_next(own_claim())) is not None:
            got.append(job.id)

    threads = [threading.Thread(target=take) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(got) == 40
    assert set(got) == ids


def test_a_process_whose_job_was_taken_away_changes_nothing(store: Store, queue: JobQueue, here: Workplace) -> None:
    queue.submit("count", {"steps": 100_000})
    claim = own_claim()
    job = store.claims.claim_next(claim)
    assert job is not None
    assert store.claims.finish(job, claim.token, "interrupted")
    after = execute(here, job, claim)  # save_checkpoint hears of it at the first step
    assert after.state == "interrupted"
    assert after.fraction == 0.0
    assert not store.claims.finish(job, claim.token, "done")


def test_closing_interrupts_a_run(queue: JobQueue, here: Workplace) -> None:
    queue.submit("count", {"steps": 100_000})
    claim = own_claim()
    job = here.store.claims.claim_next(claim)
    assert job is not None
    closing = threading.Event()
    closing.set()
    assert execute(here, job, claim, closing=closing).state == "interrupted"


def test_recover_believes_living_processes_and_no_others(
    store: Store, queue: JobQueue, monkeypatch: pytest.MonkeyPatch
) -> None:
    me = own_claim()
    another_start = own_claim().__class__(
        token="t", pid=me.pid, process_started=me.process_started - 1000, host=me.host
    )  # fmt: skip
    far_away = own_claim().__class__(token="u", pid=me.pid, process_started=1.0, host="another computer")
    mine = store.of(ME).jobs.add("count", {}, claim=me)
    reused = store.of(ME).jobs.add("count", {}, claim=another_start)
    far = store.of(ME).jobs.add("count", {}, claim=far_away)
    assert [j.id for j in recover(queue.store)] == [reused.id]
    monkeypatch.setattr(process, "SILENT_SECONDS", -1.0)
    assert {j.id for j in recover(queue.store)} == {mine.id, far.id}
    assert all(j.failure is not None and j.can_resume for j in queue.list())


def test_the_worker_place_has_one_holder(store: Store) -> None:
    first, second = own_claim(), own_claim()
    assert store.claims.take_worker_place(first, instead_of=None)
    assert not store.claims.take_worker_place(second, instead_of=None)
    assert store.claims.take_worker_place(second, instead_of=first)
    assert not store.claims.beat_worker(first)
    assert store.claims.beat_worker(second)
    store.claims.leave_worker_place(first)
    assert store.claims.worker() is not None


def test_a_log_keeps_its_end(store: Store) -> None:
    job = store.of(ME).jobs.add("count", {})
    store.claims.add_lines(job, [(now() + timedelta(seconds=i), f"{i}") for i in range(700)])
    kept = store.of(ME).jobs.lines(job.id, limit=1000)
    assert kept == tuple(str(i) for i in range(200, 700))


def test_parameters_of_a_kind_round_trip_through_json(queue: JobQueue) -> None:
    wanted = Count(steps=7, seconds_per_step=0.5)
    job = queue.submit(COUNT.name, wanted)
    assert COUNT.params.model_validate(job.params) == wanted


def test_no_state_is_a_dead_end_without_a_word() -> None:
    assert set(TRANSITIONS) == set(STATES)
    assert all(target in STATES for targets in TRANSITIONS.values() for target in targets)
    assert "queued" not in TRANSITIONS["done"]


@given(rate=st.floats(1e-4, 0.1), load_seconds=st.floats(0, 300), steps=st.integers(4, 40))
def test_a_slow_start_does_not_spoil_the_estimate(rate: float, load_seconds: float, steps: int) -> None:
    samples: list[tuple[float, float]] = [(0.0, 0.0)]
    samples += [(load_seconds + i, min(1.0, i * rate)) for i in range(1, steps + 1) if i * rate <= 1]
    left = estimate_seconds_left(samples)
    if len(samples) < 6:
        return
    assert left is not None
    assert left == pytest.approx((1 - samples[-1][1]) / rate, rel=1e-6, abs=1e-6)


@given(st.lists(st.tuples(st.floats(0, 1e6), st.floats(0, 1)), max_size=30))
def test_the_estimate_is_never_negative(samples: Sequence[tuple[float, float]]) -> None:
    left = estimate_seconds_left(sorted(samples)) if samples else estimate_seconds_left(samples)
    assert left is None or left >= 0
