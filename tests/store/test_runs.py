"""Training runs in the store: curves, samples, checkpoints, grid, and what deleting takes along."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from studio.domain.training import Calibration, RunSample, TrainingPlan, TrainingRun
from studio.errors import ConflictError, NotFoundError
from studio.store import Store
from tests.store.conftest import ME

PLAN = TrainingPlan(steps=10, sample_prompts=("a photo of {trigger}",), learning_rate=0.000123)


def a_run(store: Store, name: str = "Ada", owner: str = ME) -> TrainingRun:
    person = store.of(owner).identities.find(name) or store.of(owner).identities.add(name)
    run = store.of(owner).runs.add(person.id, PLAN, name=f" {name}'s ", base_sha256="b", photos=("p1", "p2"))
    store.run_folders.path(run.id).mkdir(parents=True)
    (store.run_folders.path(run.id) / "state").write_bytes(b"12345")
    return run


def a_sample(store: Store, run: TrainingRun, step: int, picture: bytes, seed: int = 1) -> RunSample:
    sha256 = store.of(run.owner).media.put(picture, ".png")
    sample = RunSample(
        run_id=run.id, step=step, kind="person", prompt="x", seed=seed, media_sha256=sha256, distance=0.4
    )
    store.of(run.owner).runs.add_sample(sample)
    return sample


def a_checkpoint(store: Store, run: TrainingRun, step: int, weights: bytes = b"w"):
    sha256 = store.of(run.owner).media.put(weights, ".safetensors")
    return store.of(run.owner).runs.put_checkpoint(run.id, step, sha256, loss=0.5, has_state=True)


def test_a_run_comes_back_as_it_was(store: Store) -> None:
    run = a_run(store)
    assert (run.name, run.plan, run.photos, run.outcome, run.calibration) == ("Ada's", PLAN, ("p1", "p2"), "", None)
    scale = Calibration("dlib", 0.3, 0.05, 0.6, 4)
    changed = store.of(ME).runs.change(run.id, calibration=scale, outcome="Done.", photos=("p3",))
    assert (changed.calibration, changed.outcome, changed.photos, changed.plan) == (scale, "Done.", ("p3",), PLAN)
    assert store.of(ME).runs.change(run.id, outcome="").outcome == ""
    second = a_run(store, "Bob")
    assert store.of(ME).runs.list() == (second, store.of(ME).runs.get(run.id))
    assert store.of(ME).runs.list(identity_id=run.identity_id) == (store.of(ME).runs.get(run.id),)


def test_runs_of_others_do_not_exist(store: Store) -> None:
    run = a_run(store)
    checkpoint = a_checkpoint(store, run, 1)
    for call in (
        lambda: store.of("other").runs.get(run.id),
        lambda: store.of("other").runs.change(run.id, name="x"),
        lambda: store.of("other").runs.delete(run.id),
        lambda: store.of("other").runs.checkpoint(checkpoint.id),
        lambda: store.of("other").runs.vote("cell", 1),
    ):
        with pytest.raises(NotFoundError):
            call()
    assert store.of("other").runs.metrics(run.id) == {}
    assert store.of("other").runs.samples(run.id) == ()
    with pytest.raises(ConflictError):
        store.of(ME).runs.add("nobody", PLAN, name="x", base_sha256="", photos=())


def test_curves_are_replaced_where_steps_are_made_again(store: Store) -> None:
    run = a_run(store)
    store.of(ME).runs.add_metrics(run.id, [("loss", 1, 1.0), ("loss", 2, 0.5), ("drift", 2, 0.01), ("loss", 3, 0.4)])
    a_sample(store, run, 1, b"one")
    late = a_sample(store, run, 3, b"three")
    store.of(ME).runs.forget_after(run.id, 2)
    store.of(ME).runs.add_metrics(run.id, [("loss", 2, 0.6)])
    assert store.of(ME).runs.metrics(run.id) == {"drift": [(2, 0.01)], "loss": [(1, 1.0), (2, 0.6)]}
    assert [s.step for s in store.of(ME).runs.samples(run.id)] == [1]
    assert not store.of(ME).media.has(late.media_sha256)


def test_a_sample_drawn_again_takes_its_place(store: Store) -> None:
    run = a_run(store)
    a_sample(store, run, 1, b"first")
    again = a_sample(store, run, 1, b"second")
    other = a_sample(store, run, 1, b"second", seed=2)
    assert store.of(ME).runs.samples(run.id, step=1) == (again, other)
    assert store.of(ME).runs.samples(run.id, kind="class") == ()


def test_checkpoints_keep_their_row_and_say_where_training_can_go_on(store: Store) -> None:
    run = a_run(store)
    first = a_checkpoint(store, run, 2)
    store.of(ME).runs.measure_checkpoint(run.id, 2, distance=0.3, drift=0.02)
    store.of(ME).runs.measure_checkpoint(run.id, 99, distance=0.3, drift=0.02)
    again = a_checkpoint(store, run, 2, b"other weights")
    assert (again.id, again.distance, again.drift) == (first.id, 0.3, 0.02)
    a_checkpoint(store, run, 4)
    store.of(ME).runs.keep_states(run.id, [4])
    assert [(c.step, c.has_state) for c in store.of(ME).runs.checkpoints(run.id)] == [(2, False), (4, True)]
    store.of(ME).runs.keep_states(run.id, [])
    assert not any(c.has_state for c in store.of(ME).runs.checkpoints(run.id))


def test_a_cell_drawn_again_keeps_its_vote(store: Store) -> None:
    run = a_run(store)
    checkpoint = a_checkpoint(store, run, 2)
    for strength in (1.0, 0.5):
        picture = store.of(ME).media.put(b"picture %f" % strength, ".png")
        store.of(ME).runs.put_cell(run.id, checkpoint.id, strength, "x", 1, picture, 0.4)
    low, high = store.of(ME).runs.cells(run.id)
    assert (low.strength, high.strength, low.step) == (0.5, 1.0, 2)
    store.of(ME).runs.vote(low.id, -1)
    again = store.of(ME).runs.put_cell(run.id, checkpoint.id, 0.5, "x", 1, low.media_sha256, None)
    assert (again.id, again.vote, again.distance) == (low.id, -1, None)


def test_deleting_a_run_takes_its_folder_and_lonely_files(store: Store) -> None:
    run = a_run(store)
    kept = store.of(ME).media.put(b"weights kept as an adapter", ".safetensors")
    from studio.domain.adapter import NewAdapter

    store.of(ME).adapters.add(NewAdapter(name="A", family="sd15", media_sha256=kept))
    a_checkpoint(store, run, 2, b"weights kept as an adapter")
    sample = a_sample(store, run, 2, b"picture")
    job = store.of(ME).jobs.add("train", {"run_id": run.id})
    with pytest.raises(ConflictError):
        store.of(ME).runs.delete(run.id)
    store.of(ME).jobs.request_cancel(job.id)
    assert store.of(ME).runs.delete(run.id) == len(b"picture")
    assert not store.run_folders.path(run.id).exists()
    assert (store.of(ME).media.has(sample.media_sha256), store.of(ME).media.has(kept)) == (False, True)


def test_a_deleted_person_leaves_no_run_behind(store: Store) -> None:
    ada, bob = a_run(store), a_run(store, "Bob")
    sample = a_sample(store, ada, 1, b"drawn")
    a_checkpoint(store, ada, 1)
    shared = a_checkpoint(store, bob, 1)
    plan = store.of(ME).identities.plan_deletion(ada.identity_id)
    assert (plan.runs, plan.run_bytes, plan.files, plan.shared_files) == (1, 5, 1, 1)
    assert store.run_folders.path(ada.id).is_dir()
    assert store.of(ME).identities.delete(ada.identity_id) == plan
    assert not store.run_folders.path(ada.id).exists()
    assert not store.of(ME).media.has(sample.media_sha256)
    assert store.of(ME).media.has(shared.media_sha256)
    assert store.run_folders.path(bob.id).is_dir()
    assert store.database.value("SELECT count(*) FROM run_metrics WHERE run_id = ?", [ada.id]) == 0
    assert (store.files.verify().unused, store.database.check()) == ((), ())


def test_a_person_whose_run_trains_is_not_deleted(store: Store) -> None:
    run = a_run(store)
    job = store.of(ME).jobs.add("grid", {"run_id": run.id})
    assert store.of(ME).identities.plan_deletion(run.identity_id).busy_jobs == (job.id,)


def test_folders_of_deleted_runs_go_at_the_next_start(tmp_path: Path) -> None:
    with Store(tmp_path) as store:
        run = a_run(store)
        store.run_folders.path("gone").mkdir()
    with Store(tmp_path) as store:
        assert store.run_folders.path(run.id).is_dir()
        assert not store.run_folders.path("gone").exists()


@settings(max_examples=20, deadline=None)
@given(
    made=st.lists(
        st.tuples(st.sampled_from(["sample", "checkpoint", "cell"]), st.integers(0, 2), st.integers(0, 3)), max_size=10
    )
)
def test_whatever_runs_share_the_plan_is_what_happens(
    new_folder: Callable[[], Path], made: list[tuple[str, int, int]]
) -> None:
    with Store(new_folder()) as store:
        runs = [a_run(store, name) for name in ("Ada", "Bob", "Cem")]
        for index, (what, who, content) in enumerate(made):
            run, data = runs[who], b"content %d" % content
            if what == "sample":
                a_sample(store, run, index, data)
            else:
                checkpoint = a_checkpoint(store, run, index, data)
                if what == "cell":
                    store.of(ME).runs.put_cell(run.id, checkpoint.id, 1.0, "x", 1, checkpoint.media_sha256, None)
        before = store.of(ME).media.total_bytes()
        for run in runs:
            plan = store.of(ME).identities.plan_deletion(run.identity_id)
            assert store.of(ME).identities.delete(run.identity_id) == plan
            before -= plan.file_bytes
            assert store.of(ME).media.total_bytes() == before
            report = store.files.verify()
            assert (report.ok, report.unused) == (True, ())


@pytest.fixture(scope="module")
def new_folder(tmp_path_factory: pytest.TempPathFactory) -> Callable[[], Path]:
    return lambda: tmp_path_factory.mktemp("runs")
