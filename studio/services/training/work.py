"""What a worker does for a run: train it to its end, and draw its grid.

It goes on where the run was left, and checks anew what may have changed while
the run waited: consent, base and photos. What is allowed to start, and when, is
decided in `training`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from studio.domain.base_model import BaseLocation
from studio.domain.training import TrainingPlan, TrainingRun
from studio.engines import Engines
from studio.engines.base_diffusion import TrainingExample, TrainingOutcome
from studio.errors import ConflictError, EngineError, EngineUnavailableError, StudioError
from studio.services.people.agreement import require_agreement
from studio.services.people.likeness import Likeness, Reference
from studio.services.progress import OnProgress, Progress
from studio.services.training.grids import GridParams, draw_grid
from studio.services.training.plans import advice
from studio.services.training.recording import Place, RunRecorder

if TYPE_CHECKING:
    from studio.services.bases import Bases
    from studio.services.people.training_set import TrainingSets
    from studio.services.people.variants import Variants
    from studio.store import OwnerStore


class RunWork:
    """Carries out the queued runs and grids of one owner.

    Args:
        sets: makes the pictures to learn from.
        variants: draws more of them.
    """

    def __init__(
        self,
        store: OwnerStore,
        engines: Engines,
        bases: Bases,
        sets: TrainingSets,
        variants: Variants,
        likeness: Likeness,
    ) -> None:
        self._store = store
        self._engines = engines
        self._bases = bases
        self._sets = sets
        self._variants = variants
        self._likeness = likeness

    def train(
        self, run_id: str, place: Place, tell: OnProgress | None = None, *, job_id: str | None = None
    ) -> Mapping[str, Any]:
        """Train a queued run to its end, or until the person stops it; goes on where it was left.

        Args:
            job_id: the job that trains; the run points at it from now on, also when it is a retry.

        Raises:
            JobCancelled: it was stopped, after saving.
            EngineError: the loss became no number; the last good checkpoint is kept.
            ConflictError: base or photos are no longer those of the run.
            StudioError: what else ended it; the run's outcome says so.
        """
        run = self._store.runs.change(run_id, job_id=job_id)
        try:
            outcome = self._train(run, place, tell)
        except StudioError as exc:
            self._store.runs.change(run_id, outcome=" ".join(exc.in_window).strip())
            raise
        place.check_cancelled()
        return {"run_id": run_id, "step": outcome.step, "finished": outcome.finished}

    def draw_grid(self, params: GridParams, place: Place, tell: OnProgress | None = None) -> Mapping[str, Any]:
        """Draw a queued grid; cells there are already are not drawn again."""
        run = self._store.runs.get(params.run_id)
        require_agreement(self._store.identities.get(run.identity_id), "train")
        location = self._checked_base(run)
        reference = self._reference(run, self._pictures(run.identity_id, run.plan), place)
        return draw_grid(
            self._store, run, params, location, self._engines.generator(), self._likeness, reference,
            place, tell,
        )  # fmt: skip

    def _train(self, run: TrainingRun, place: Place, tell: OnProgress | None) -> TrainingOutcome:
        require_agreement(self._store.identities.get(run.identity_id), "train")
        location = self._checked_base(run)
        examples = self._pictures(run.identity_id, run.plan)
        folder = self._store.runs.folder(run.id)
        photos = tuple(e.sha256 for e in examples)
        if photos != run.photos:
            if any(c.has_state for c in self._store.runs.checkpoints(run.id)):
                raise ConflictError(
                    "The person's set of photos has changed since this run began, so it cannot be continued exactly.",
                    "Start a new run with the new set, or bring the old set back.",
                )
            # Photos in which no face is found are left out only now that they are looked at.
            run = self._store.runs.change(run.id, photos=photos)
        self._store.runs.change(run.id, outcome="")
        for sentence in advice(len(examples), run.plan):
            place.log(sentence)
        place.progress(0.0, "Measuring the photos")
        reference = self._reference(run, examples, place)
        if reference is not None and reference.calibration is not None:
            run = self._store.runs.change(run.id, calibration=reference.calibration)
        drawn = self._variants_of(run, place)
        folder.mkdir(parents=True, exist_ok=True)
        recorder = RunRecorder(self._store, run, place, self._likeness, reference, tell)
        place.progress(0.0, "Loading the base model")
        try:
            outcome = self._engines.trainer().train(location, run.plan, (*examples, *drawn), folder, recorder)
        finally:
            recorder.flush()
        return self._ended(run, outcome)

    def _ended(self, run: TrainingRun, outcome: TrainingOutcome) -> TrainingOutcome:
        """Write how training ended, and raise where it ended badly."""
        if outcome.reason == "diverged":
            kept = f"the last good checkpoint is step {outcome.step}" if outcome.adapter else "nothing was saved yet"
            raise EngineError(
                f"The loss was no number any more, so training stopped; {kept}.",
                "Start a new run with a lower learning rate or with precision fp32.",
            )
        done = outcome.finished
        sentence = f"Done: {outcome.step} steps." if done else f"Stopped at step {outcome.step} of {run.plan.steps}."
        self._store.runs.change(run.id, outcome=sentence)
        return outcome

    def _variants_of(self, run: TrainingRun, place: Place) -> tuple[TrainingExample, ...]:
        """Return what the rig drew of the photos, drawing first what is missing; empty in a run without variants."""
        plan = run.plan
        if not plan.variant_share:
            return ()

        def tell(progress: Progress) -> None:
            place.check_cancelled()
            place.progress(0.0, f"Drawing variants. {progress.stage}")

        if not any(c.has_state for c in self._store.runs.checkpoints(run.id)):  # one that goes on has its variants
            done = self._variants.multiply(run.identity_id, plan.variants_per_photo, on_progress=tell)
            for sentence in done.skipped:
                place.log(f"No variant could be drawn; training learns from the photo itself. {sentence}")
        return self._variants.examples(run.identity_id, plan.resolution, plan.trigger, plan.class_word)

    def _pictures(self, identity_id: str, plan: TrainingPlan) -> tuple[TrainingExample, ...]:
        return tuple(self._sets.examples(identity_id, plan.resolution, plan.trigger, plan.class_word))

    def _reference(self, run: TrainingRun, examples: Sequence[TrainingExample], place: Place) -> Reference | None:
        """Measure the photos at the size at which the base draws; None, and a line in the log, where that fails."""
        try:
            rendered = self._likeness.all_rendered([e.sha256 for e in examples])
            pictures = [e.image for e in examples]
            found = self._likeness.reference_of_pictures(pictures, run.plan.resolution, rendered=rendered)
        except EngineUnavailableError as exc:
            place.log(f"Likeness is not measured. {exc}")
            return None
        seen = 0 if found is None else found.count
        if seen < len(examples):
            place.log(
                f"A face was found in {seen} of {len(examples)} photos at {run.plan.resolution} pixels; "
                "likeness is measured against those."
            )
        return found

    def _checked_base(self, run: TrainingRun) -> BaseLocation:
        location = self._bases.resolve(run.plan.base)
        if location.sha256 != run.base_sha256:
            raise ConflictError(
                f"The base {run.plan.base} is no longer the one this run began with.",
                "Bring the old files back, or start a new run.",
            )
        return location
