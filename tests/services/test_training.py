"""What may be trained, what a run remembers, and how it ends: with a trainer that learns nothing."""

from __future__ import annotations

import math
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import numpy as np
import pytest

import studio.studio as composition
from studio.domain.consent import Consent
from studio.domain.job import Failure
from studio.domain.training import TrainingPlan
from studio.engines.base_diffusion import TrainingExample
from studio.errors import (
    ConflictError,
    ConsentMissingError,
    EngineError,
    EngineUnavailableError,
    LimitExceededError,
    NotFoundError,
    OutOfMemoryError,
    StoreError,
    UserInputError,
)
from studio.jobs.executor import work_off
from studio.jobs.kinds import Workplace
from studio.jobs.process import own_claim
from tests.patience import wait_until
from tests.services.fake_training import FITS, FakeBases, FakeGenerator, FakeTrainer
from tests.services.fakes import picture

PLAN = TrainingPlan(steps=6, checkpoint_every=2, sample_every=2, keep_checkpoints=2, batch=1)


@pytest.fixture
def trainer(studio, engines, monkeypatch):
    made = FakeTrainer()
    monkeypatch.setattr(engines, "trainer", lambda: made)
    monkeypatch.setattr(engines, "generator", FakeGenerator)
    bases = FakeBases()
    for service in (studio.training, studio.training.worker, studio.runs):
        monkeypatch.setattr(service, "_bases", bases)
    cut = SimpleNamespace(examples=lambda *a: examples(studio, *a))
    monkeypatch.setattr(studio.training.worker, "_sets", cut)
    return made


def examples(studio, identity_id, resolution, trigger, class_word):
    made = []
    for index, photo in enumerate(studio.identities.photos(identity_id)):
        image = np.full((resolution, resolution, 3), 100 + index, np.uint8)
        image[:8, :8] = (1, 0, 0)
        made.append(TrainingExample(image, None, f"a photo of {trigger} {class_word}", photo.sha256))
    return made


def consent(*scopes, days=0):
    granted = datetime.now(UTC) - timedelta(days=2)
    return Consent(agreed_by="Ann", scopes=scopes, granted_at=granted, until=granted + timedelta(days=1 + days))


@pytest.fixture
def ann(studio, tmp_path, trainer):
    photos = [picture(tmp_path / f"{index}.png", shade=100 + index) for index in range(3)]
    return studio.identities.add("Ann", photos, consent=consent("train", days=100))


def off(studio):
    return work_off(Workplace(studio.whole.store, composition.JOB_KINDS, services=lambda owner: studio))


def trained(studio, ann, plan=PLAN):
    run = submitted(studio, ann.id, plan)
    (job,) = off(studio)
    assert job.state == "done", job.failure
    return run


# -- what may be trained ----------------------------------------------------------------


def submitted(studio, identity_id, plan):
    """Queue a training and return its run."""
    return studio.runs.get(studio.training.submit_train(identity_id, plan).params["run_id"])


def test_training_always_needs_a_consent(studio, trainer, portrait) -> None:
    bare = studio.identities.add("Bob", [portrait])
    with pytest.raises(ConsentMissingError, match="No consent"):
        studio.training.submit_train(bare.id, PLAN)
    for given, why in ((consent("edit", days=100), "not to train"), (consent("train"), "ended")):
        studio.withdrawals.take_back(bare.id)
        studio.identities.set_consent(bare.id, given)
        with pytest.raises(ConsentMissingError, match=why):
            studio.training.submit_train(bare.id, PLAN)
    assert studio.runs.list() == ()


def test_a_consent_taken_back_while_the_job_waits_cancels_it(studio, ann) -> None:
    run = submitted(studio, ann.id, PLAN)
    (stopped,) = studio.withdrawals.take_back(ann.id).stopped
    assert studio.jobs.get(stopped.id).state == "cancelled"
    assert studio.runs.state(run.id).state == "stopped"


def test_a_job_asks_for_consent_again_when_it_begins(studio, ann) -> None:
    run = submitted(studio, ann.id, PLAN)
    studio.store.identities.revoke_consents(ann.id, datetime.now(UTC))
    (job,) = off(studio)
    assert (job.state, job.failure.error) == ("failed", "ConsentMissingError")
    assert "taken back" in studio.runs.state(run.id).sentence


def test_no_photos_and_too_many_are_refused(studio, ann, monkeypatch) -> None:
    photo = studio.identities.photos(ann.id)[0]
    monkeypatch.setattr(studio.store.photos, "list", lambda *a, **k: ())
    with pytest.raises(UserInputError, match="no photo"):
        studio.training.submit_train(ann.id, PLAN)
    monkeypatch.setattr(studio.store.photos, "list", lambda *a, **k: (photo,) * 201)
    with pytest.raises(LimitExceededError) as found:
        studio.training.submit_train(ann.id, PLAN)
    assert "Curate" in found.value.hint


def test_one_photo_is_allowed_with_a_warning_and_no_scale(studio, trainer, portrait) -> None:
    bob = studio.identities.add("Bob", [portrait], consent=consent("train", days=100))
    assert "only one photo" in studio.training.advice(bob.id, PLAN)[0]
    run = trained(studio, bob)
    assert studio.runs.get(run.id).calibration is None
    assert "only one photo" in studio.jobs.log_tail(studio.runs.get(run.id).job_id)
    assert "could not be measured" in studio.runs.suggestion(run.id).reason


def test_a_missing_base_and_one_of_another_family_are_refused(studio, ann) -> None:
    with pytest.raises(NotFoundError, match="not on this computer"):
        studio.training.submit_train(ann.id, PLAN.model_copy(update={"base": "absent"}))
    with pytest.raises(UserInputError, match="Stable Diffusion XL") as found:
        studio.training.plan("preview-quick", "big")
    assert "sdxl-12gb" in found.value.hint
    assert studio.training.plan("preview-quick", rank="4").rank == 4
    with pytest.raises(NotFoundError, match="preview-quick"):
        studio.training.plan("nothing")


def test_what_will_not_fit_is_said_with_what_will(studio, ann, trainer) -> None:
    trainer.flight = replace(FITS, problems=("It needs 9 GB and there are 4.",), instead={"batch": 1})
    with pytest.raises(UserInputError, match="9 GB") as found:
        studio.training.submit_train(ann.id, PLAN)
    assert "batch = 1" in found.value.hint
    assert studio.training.submit_train(ann.id, PLAN, anyway=True).state == "queued"


# -- what a run remembers ---------------------------------------------------------------


def test_a_run_keeps_curves_samples_and_checkpoints(studio, ann, trainer) -> None:
    run = trained(studio, ann)
    curves = studio.runs.metrics(run.id)
    assert curves["loss"] == [(s, pytest.approx(1 / s)) for s in range(1, 7)]
    assert [s for s, _ in curves["drift"]] == [0, 2, 4, 6]
    assert [v for _, v in curves["faces_found"]] == [1.0] * 4
    samples = studio.runs.samples(run.id, 4)
    assert [(s.kind, s.seed) for s in samples] == [("person", 1), ("person", 2)] * 2 + [("class", 1), ("class", 2)]
    assert samples[0].prompt == "a photo of sks person"
    assert studio.runs.picture(samples[0].media_sha256).is_file()
    checkpoints = studio.runs.checkpoints(run.id)
    assert [(c.step, c.has_state) for c in checkpoints] == [(2, False), (4, True), (6, True)]
    assert all(c.distance == pytest.approx(0.0) and c.drift == pytest.approx(0.0) for c in checkpoints)
    weights = studio.store.media.get(checkpoints[0].media_sha256)
    assert weights.read_bytes() == b"weights of step 2"
    state = studio.runs.state(run.id)
    assert (state.state, state.step, state.can_continue) == ("done", 6, False)
    assert studio.runs.get(run.id).photos == tuple(p.sha256 for p in studio.identities.photos(ann.id))
    assert studio.jobs.preview(studio.runs.get(run.id).job_id)


def test_drift_is_the_mean_change_of_the_class_pictures(studio, ann) -> None:
    run = trained(studio, ann, PLAN.model_copy(update={"steps": 20, "checkpoint_every": 10, "sample_every": 10}))
    share = 1 - 64 / PLAN.resolution**2  # the corner of the fake pictures never changes
    assert studio.runs.checkpoints(run.id)[0].drift == pytest.approx(share / 255)
    assert dict(studio.runs.metrics(run.id)["drift"])[20] == pytest.approx(2 * share / 255)


def test_pictures_without_a_face_are_counted_and_said(studio, ann, trainer) -> None:
    trainer.faces = 0
    run = trained(studio, ann)
    assert {v for _, v in studio.runs.metrics(run.id)["faces_found"]} == {0.0}
    assert studio.runs.checkpoints(run.id)[-1].distance is None
    log = studio.jobs.log_tail(studio.runs.get(run.id).job_id)
    assert "No face was found in 4 of 4 pictures drawn at step 6." in log


def test_without_an_embedder_training_goes_on_and_says_so(studio, ann, engines) -> None:
    engines.analyser.embedder = False
    run = trained(studio, ann)
    assert "distance" not in studio.runs.metrics(run.id)
    log = studio.jobs.log_tail(studio.runs.get(run.id).job_id)
    assert "Likeness is not measured. There is no embedder." in log


def test_curves_are_written_in_batches_and_long_ones_thinned(studio, ann, monkeypatch) -> None:
    writes = []
    original = studio.store.runs.add_metrics

    def counted(run_id, points):
        writes.append(len(list(points)))
        original(run_id, points)

    monkeypatch.setattr(studio.store.runs, "add_metrics", counted)
    plan = PLAN.model_copy(update={"steps": 6000, "checkpoint_every": 6000, "sample_every": 6000})
    run = trained(studio, ann, plan)
    losses = studio.runs.metrics(run.id)["loss"]
    assert len(losses) == 2000
    assert losses[0] == (3, pytest.approx((1 + 1 / 2 + 1 / 3) / 3))
    assert len(writes) < 60


# -- how it ends ------------------------------------------------------------------------


def test_stopping_saves_and_the_run_goes_on_where_it_was(studio, ann, trainer) -> None:
    run = submitted(studio, ann.id, PLAN)

    def stop_at_three(step):
        if step == 3:
            studio.runs.stop(run.id)
            wait_until(trainer.should_stop)

    trainer.before_step = stop_at_three
    (job,) = off(studio)
    assert job.state == "cancelled"
    state = studio.runs.state(run.id)
    assert (state.state, state.step, state.saved_step, state.can_continue) == ("stopped", 3, 3, True)
    assert state.sentence == "Stopped at step 3 of 6."
    trainer.before_step = lambda step: None
    again = studio.training.submit_go_on(run.id)
    assert again.id != job.id
    with pytest.raises(ConflictError):
        studio.training.submit_go_on(run.id)
    assert [j.state for j in off(studio)] == ["done"]
    assert trainer.began == [0, 3]
    assert [s for s, _ in studio.runs.metrics(run.id)["loss"]] == [1, 2, 3, 4, 5, 6]
    assert [c.step for c in studio.runs.checkpoints(run.id)] == [2, 3, 4, 6]
    assert studio.runs.state(run.id).state == "done"


def test_the_same_training_is_not_queued_twice(studio, ann) -> None:
    studio.training.submit_train(ann.id, PLAN)
    with pytest.raises(ConflictError, match="already being trained"):
        studio.training.submit_train(ann.id, PLAN)
    studio.training.submit_train(ann.id, PLAN.model_copy(update={"seed": PLAN.seed + 1}))
    assert len(off(studio)) == 2
    assert studio.training.submit_train(ann.id, PLAN).id, "what is done may be done again"


def test_more_steps_extend_the_same_run(studio, ann, trainer) -> None:
    run = trained(studio, ann)
    with pytest.raises(UserInputError, match="6 steps are done"):
        studio.training.submit_go_on(run.id)
    with pytest.raises(UserInputError, match="more than 6"):
        studio.training.submit_go_on(run.id, 5)
    assert "cosine" in studio.training.schedule_note(run.id, 8)
    studio.training.submit_go_on(run.id, 8)
    off(studio)
    assert (trainer.began, studio.runs.get(run.id).plan.steps) == ([0, 6], 8)
    assert studio.runs.checkpoints(run.id)[-1].step == 8


def test_steps_made_again_after_a_kill_replace_the_lost_ones(studio, ann, trainer) -> None:
    """Step 5 was on the curves when the process was killed; training goes on from the checkpoint of step 4."""

    class Killed(BaseException):
        pass

    def kill(step):
        if step == 6:
            raise Killed

    run = submitted(studio, ann.id, PLAN)
    trainer.before_step = kill
    claim = own_claim()
    job = studio.whole.store.claims.claim_next(claim)
    context = SimpleNamespace(
        job=job, service=studio.training, progress=lambda *a: None, check_cancelled=lambda: None, log=lambda line: None
    )
    with pytest.raises(Killed):
        studio.training.worker.train(run.id, context)
    failure = Failure(error="ProcessEnded", message="The worker process was killed.", hint="Resume.", exit_code=-9)
    studio.whole.store.claims.finish(job, claim.token, "interrupted", failure=failure)
    state = studio.runs.state(run.id)
    assert (state.state, state.out_of_memory, state.can_continue, state.saved_step) == ("interrupted", True, True, 4)
    assert "smaller plan" in state.sentence
    assert studio.training.smaller_plan(run.id).gradient_checkpointing
    trainer.before_step = lambda step: None
    trainer.loss = lambda step: 7.0
    studio.jobs.resume(job.id)  # what the Jobs tab does
    off(studio)
    assert trainer.began == [0, 4]
    assert studio.runs.metrics(run.id)["loss"][3:] == [(4, pytest.approx(0.25)), (5, 7.0), (6, 7.0)]
    assert studio.runs.state(run.id).state == "done"


@pytest.mark.parametrize(
    ("error", "memory"),
    [
        (OutOfMemoryError("Training ran out of memory.", "Take batch 1."), True),
        (StoreError("The disk is full, so nothing was written.", "Free some space."), False),
    ],
)
def test_errors_of_the_trainer_are_the_runs_outcome(studio, ann, trainer, error, memory) -> None:
    def fail(step):
        raise error

    trainer.before_step = fail
    run = submitted(studio, ann.id, PLAN)
    (job,) = off(studio)
    assert job.state == "failed"
    state = studio.runs.state(run.id)
    assert (state.state, state.out_of_memory) == ("failed", memory)
    assert error.message in state.sentence
    assert error.message in studio.runs.get(run.id).outcome


def test_a_retry_from_the_jobs_tab_is_the_runs_job_from_then_on(studio, ann, trainer) -> None:
    trainer.loss = lambda step: math.nan
    run = submitted(studio, ann.id, PLAN)
    (job,) = off(studio)
    trainer.loss = lambda step: 1.0
    again = studio.jobs.retry(job.id)
    off(studio)
    assert studio.runs.get(run.id).job_id == again.id
    assert studio.runs.state(run.id).state == "done"


def test_a_smaller_plan_is_the_preflights_where_it_knows_one(studio, ann, trainer) -> None:
    run = trained(studio, ann, PLAN.model_copy(update={"batch": 4}))
    assert studio.training.smaller_plan(run.id).batch == 1
    trainer.flight = replace(FITS, instead={"rank": 2})
    assert studio.training.smaller_plan(run.id).rank == 2


def test_a_loss_that_is_no_number_ends_the_run_and_keeps_the_last_good(studio, ann, trainer) -> None:
    trainer.loss = lambda step: math.nan if step == 5 else 1.0
    run = submitted(studio, ann.id, PLAN)
    (job,) = off(studio)
    assert (job.state, job.failure.error) == ("failed", "EngineError")
    outcome = studio.runs.get(run.id).outcome
    assert "no number" in outcome
    assert "last good checkpoint is step 4" in outcome
    assert [c.step for c in studio.runs.checkpoints(run.id)] == [2, 4]


def test_a_run_is_never_continued_on_other_photos_or_another_base(studio, ann, trainer, tmp_path) -> None:
    trainer.loss = lambda step: math.nan if step == 5 else 1.0
    run = submitted(studio, ann.id, PLAN)
    off(studio)
    added = studio.identities.add_photo(ann.id, picture(tmp_path / "new.png", shade=190))
    studio.training.submit_go_on(run.id)
    (job,) = off(studio)
    assert "set of photos has changed" in job.failure.message
    studio.store.photos.delete(added.id)
    bases = studio.training._bases
    bases.locations["preview"] = replace(bases.locations["preview"], sha256="other")
    studio.training.submit_go_on(run.id)
    (job,) = off(studio)
    assert "no longer the one" in job.failure.message


def test_the_command_line_trains_here_and_says_why_it_failed(studio, ann, trainer) -> None:
    told, started = [], []
    run = studio.training.train(ann.id, PLAN, "Mine", on_start=started.append, on_progress=told.append)
    assert (run.name, run.outcome) == ("Mine", "Done: 6 steps.")
    assert started[0].id == run.id
    assert told[-1].fraction == pytest.approx(0.999)
    assert studio.training.go_on(run.id, 8).plan.steps == 8
    trainer.loss = lambda step: math.nan
    with pytest.raises(EngineError, match="no number"):
        studio.training.train(ann.id, PLAN)
    assert studio.jobs.get(studio.runs.list()[0].job_id).state == "failed"


# -- choosing ---------------------------------------------------------------------------


def test_a_checkpoint_becomes_an_adapter_with_its_measures(studio, ann) -> None:
    run = trained(studio, ann)
    chosen = studio.runs.suggestion(run.id).checkpoint
    assert chosen.step == 2, "of equals the earlier"
    kept = studio.runs.keep(chosen.id, "Ann at 2")
    assert studio.runs.adapter_of(chosen.id) == kept
    assert (kept.trigger, kept.family, kept.rank) == ("sks person", "sd15", PLAN.rank)
    assert (kept.run_id, kept.checkpoint_id, kept.identity_id) == (run.id, chosen.id, ann.id)
    assert kept.measures["likeness"] == pytest.approx(1.0)
    assert studio.runs.picture(kept.thumbnail_sha256).is_file()
    with pytest.raises(UserInputError):
        studio.runs.keep(chosen.id, " ")
    with pytest.raises(ConflictError):
        studio.runs.keep(chosen.id, "ann at 2")
    with pytest.raises(NotFoundError):
        studio.runs.keep("nothing", "x")
    studio.runs.delete(run.id)
    assert studio.store.media.get(kept.media_sha256).is_file()
    with pytest.raises(NotFoundError):
        studio.runs.get(run.id)
    assert not (studio.store.data_dir / "runs" / run.id).exists()


def test_a_grid_is_drawn_measured_and_voted_on(studio, ann) -> None:
    run = trained(studio, ann)
    studio.training.submit_draw_grid(run.id, strengths=(0.5, 1.0), seeds=(1, 2))
    (job,) = off(studio)
    assert (job.state, job.outputs["pictures"]) == ("done", 12)
    cells = studio.runs.grid_cells(run.id)
    assert {(c.step, c.strength) for c in cells} == {(s, w) for s in (2, 4, 6) for w in (0.5, 1.0)}
    assert {c.prompt for c in cells} == {"a photo of sks person"}
    loved = next(c for c in cells if (c.step, c.strength) == (4, 0.5))
    assert studio.runs.vote(loved.id, 1).vote == 1
    first = studio.runs.grid_summary(run.id)[0]
    assert (first.step, first.strength, first.votes, first.faces, first.pictures) == (4, 0.5, 1, 2, 2)
    studio.training.submit_draw_grid(run.id, strengths=(0.5, 1.0), seeds=(1, 2))
    off(studio)
    assert studio.runs.grid_cells(run.id)[:1] == cells[:1]
    assert studio.runs.grid_summary(run.id)[0].votes == 1
    with pytest.raises(UserInputError):
        studio.runs.vote(loved.id, 2)
    with pytest.raises(NotFoundError):
        studio.runs.vote("nothing", 1)


@pytest.mark.parametrize(
    ("order", "error"),
    [
        ({"strengths": (3.0,)}, UserInputError),
        ({"strengths": ()}, UserInputError),
        ({"prompts": (" ",)}, UserInputError),
        ({"seeds": (-1,)}, UserInputError),
        ({"seeds": tuple(range(100))}, LimitExceededError),
        ({"checkpoint_ids": ("nothing",)}, NotFoundError),
    ],
)
def test_grids_that_cannot_be(studio, ann, order, error) -> None:
    run = trained(studio, ann)
    with pytest.raises(error):
        studio.training.submit_draw_grid(run.id, **order)


def test_a_grid_needs_checkpoints(studio, ann) -> None:
    run = submitted(studio, ann.id, PLAN)
    with pytest.raises(UserInputError, match="no checkpoints"):
        studio.training.submit_draw_grid(run.id)
    assert studio.runs.state(run.id).state == "waiting"
    studio.runs.stop(run.id)
    assert studio.runs.state(run.id).sentence == "Stopped before the first checkpoint."
    with pytest.raises(ConflictError):
        studio.runs.stop(run.id)


def test_a_person_takes_runs_and_folders_along(studio, ann) -> None:
    run = trained(studio, ann)
    folder = studio.store.data_dir / "runs" / run.id
    assert folder.is_dir()
    plan = studio.identities.delete_plan(ann.id)
    assert (plan.runs, plan.run_bytes > 0) == (1, True)
    assert "1 training run" in plan.sentence
    studio.identities.delete(ann.id)
    assert not folder.exists()
    assert studio.whole.store.files.verify().unused == ()


def test_the_engine_says_when_it_is_missing(studio, ann, engines, monkeypatch) -> None:
    def missing():
        raise EngineUnavailableError("Personalization cannot start: torch is missing.", "pip install torch")

    monkeypatch.setattr(engines, "trainer", missing)
    with pytest.raises(EngineUnavailableError):
        studio.training.submit_train(ann.id, PLAN)


def test_the_adapter_of_a_checkpoint_is_kept_once_under_a_free_name(studio, ann, trainer) -> None:
    run = submitted(studio, ann.id, PLAN)
    off(studio)
    points = studio.runs.checkpoints(run.id)
    studio.runs.keep(points[0].id, f"Ann {points[-1].step}")
    made = studio.runs.adapter_of(points[-1].id)
    assert made.name == f"Ann {points[-1].step} (2)"
    assert made.checkpoint_id == points[-1].id
    assert studio.runs.adapter_of(points[-1].id) == made
    assert studio.adapters.get(made.id) in studio.adapters.list()
    assert (made.base_name, made.base_sha256) == (PLAN.base, run.base_sha256), "what says later which base it fits"


def test_presets_suit_the_family_of_the_base_and_its_own_come_first(studio) -> None:
    assert studio.training.presets_for("nowhere") == ()
    for entry in studio.bases.list():
        found = studio.training.presets_for(entry.card.name)
        assert {p.family for p in found} <= {entry.card.family}
        own = [p for p in studio.training.presets() if p.plan.base == entry.card.name]
        assert not own or set(found) == set(own)
        assert [p.memory_gb for p in found] == sorted(p.memory_gb for p in found)


def test_the_newest_active_job_of_a_kind_is_found_again(studio, ann, trainer) -> None:
    assert studio.jobs.newest_active("train") is None
    submitted(studio, ann.id, PLAN)
    job = studio.training.submit_train(ann.id, PLAN.model_copy(update={"seed": PLAN.seed + 1}))
    assert studio.jobs.newest_active("train").id == job.id
    assert studio.jobs.newest_active("animate") is None
    off(studio)
    assert studio.jobs.newest_active("train") is None


# -- variants -----------------------------------------------------------------------------


def test_a_run_with_variants_draws_what_is_missing_and_learns_from_both(studio, ann, trainer, monkeypatch) -> None:
    seen = []
    real = trainer.train
    monkeypatch.setattr(trainer, "train", lambda *a: seen.append(a[2]) or real(*a))
    plan = PLAN.model_copy(update={"variant_share": 0.5, "variants_per_photo": 2})
    run = trained(studio, ann, plan)
    assert len(studio.variants.list(ann.id)) == 6
    assert [e.drawn for e in seen[0]] == [False] * 3 + [True] * 6
    assert len(studio.runs.get(run.id).photos) == 3, "a run's photos are photos"
    trained(studio, ann, plan.model_copy(update={"variant_share": 0.0, "seed": 3}))
    assert not any(e.drawn for e in seen[1])


def test_what_a_run_will_need_counts_its_variants(studio, ann, trainer, monkeypatch) -> None:
    asked = []
    monkeypatch.setattr(trainer, "preflight", lambda location, plan, examples, folder: asked.append(examples) or FITS)
    studio.training.preflight(ann.id, PLAN)
    studio.training.preflight(ann.id, PLAN.model_copy(update={"variant_share": 0.5, "variants_per_photo": 4}))
    assert asked == [3, 15]
