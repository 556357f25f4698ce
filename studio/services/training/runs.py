"""Teaching a base model one person: planned, checked, started, continued, judged, kept.

A run is a row that outlives its jobs: a stopped, killed or finished run goes on
in a new job from its last checkpoint. What is allowed is decided here before
anything heavy starts (consent, photos, base, memory); the work itself is
`run_work`'s, and how alike it looks is `likeness`'.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict, Field

from studio import errors
from studio.domain.base_model import FAMILY_TITLES
from studio.domain.days import minute_of
from studio.domain.identity import Identity
from studio.domain.job import Job
from studio.domain.names import as_read
from studio.domain.training import Preflight, TrainingPlan, TrainingRun
from studio.engines import Engines
from studio.errors import (
    ConflictError,
    EngineError,
    LimitExceededError,
    NotFoundError,
    OutOfMemoryError,
    UserInputError,
)
from studio.jobs.executor import run_now
from studio.jobs.kinds import JobContext, JobKind
from studio.services.people.agreement import require_agreement
from studio.services.people.identities import person_named
from studio.services.people.likeness import Likeness
from studio.services.progress import OnProgress
from studio.services.training.grids import GridParams, GridSummary
from studio.services.training.history import RunHistory
from studio.services.training.plans import (
    DEFAULT_PRESET,
    TrainingPreset,
    advice,
    changed_plan,
    read_training_preset,
    schedule_note,
    smaller,
)
from studio.services.training.states import MEMORY_ERRORS
from studio.services.training.work import RunWork

if TYPE_CHECKING:
    from studio.jobs.queue import JobQueue
    from studio.services.bases import Bases
    from studio.services.people.training_set import TrainingSets
    from studio.services.people.variants import Variants
    from studio.store import OwnerStore

MOST_PHOTOS = 200


class TrainParams(BaseModel):
    """Parameters of a train job."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    run_id: str = Field(min_length=1)


class Training:
    """Plans and starts the runs of one owner.

    Args:
        history: what there is of the runs.
        sets: makes the pictures to learn from.
        variants: draws more of them.
        presets: the folder of presets/training.
    """

    def __init__(
        self,
        store: OwnerStore,
        queue: JobQueue,
        engines: Engines,
        bases: Bases,
        sets: TrainingSets,
        variants: Variants,
        likeness: Likeness,
        history: RunHistory,
        presets: Path,
    ) -> None:
        self._store = store
        self._queue = queue
        self._bases = bases
        self._history = history
        self._engines = engines
        self._presets = presets
        self.worker = RunWork(store, engines, bases, sets, variants, likeness)

    # -- planning --------------------------------------------------------------------

    def presets(self) -> tuple[TrainingPreset, ...]:
        """Return the plans that come with the studio, smallest memory first."""
        found = [read_training_preset(path) for path in self._presets.glob("*.json")]
        return tuple(sorted(found, key=lambda p: (p.memory_gb, p.name)))

    def presets_for(self, base: str) -> tuple[TrainingPreset, ...]:
        """Return the presets that suit a base, smallest first: those made for it, else those of its family."""
        entries = {e.card.name: e for e in self._bases.list()}
        if base not in entries:
            return ()
        found = [p for p in self.presets() if p.family == entries[base].card.family]
        own = [p for p in found if p.plan.base == base]
        embedded = {n for n, e in entries.items() if e.card.source == "embedded"}
        suited = own or [p for p in found if p.plan.base not in embedded]
        return tuple(sorted(suited, key=lambda p: (p.memory_gb, p.plan.method == "dreambooth", p.plan.steps)))

    def preset(self, name: str) -> TrainingPreset:
        """Return one preset.

        Raises:
            NotFoundError: no preset has that name.
        """
        for preset in self.presets():
            if preset.name == as_read(name):
                return preset
        names = ", ".join(p.name for p in self.presets())
        raise NotFoundError(f"There is no training preset {name!r}.", f"Presets: {names}.")

    def plan(
        self, preset: str = DEFAULT_PRESET, base: str | None = None, *, photos: int | None = None, **changes: Any
    ) -> TrainingPlan:
        """Return a preset's plan for a base, with some settings changed.

        Args:
            base: default the preset's own.
            photos: how many there are; presets that count steps per photo use it.
            changes: fields of TrainingPlan; `steps` wins over what `photos` asks for.

        Raises:
            NotFoundError: no such preset or base.
            UserInputError: a setting does not exist or fit, or the base is of another family.
        """
        chosen = self.preset(preset)
        wanted = {"steps": chosen.steps(photos), **({"base": base} if base else {}), **changes}
        plan = changed_plan(chosen.plan, wanted)
        family = self._bases.get(plan.base).card.family
        if family != chosen.family:
            raise UserInputError(
                f"The preset {chosen.name} is for {FAMILY_TITLES[chosen.family]}; "
                f"the base {plan.base} is {FAMILY_TITLES[family]}.",
                "Choose a preset of its family: "
                + (", ".join(p.name for p in self.presets() if p.family == family) or "there is none")
                + ".",
            )
        return plan

    def preflight(self, identity_id: str, plan: TrainingPlan) -> Preflight:
        """Say what a run will need, and what would fit instead.

        Raises:
            NotFoundError: no such person, or the base is not on this computer.
        """
        return self._preflight(plan, max(1, len(self._kept(person_named(self._store, identity_id)))))

    def advice(self, identity_id: str, plan: TrainingPlan) -> tuple[str, ...]:
        """Return one sentence for each thing to know before starting; nothing here forbids it."""
        return advice(len(self._kept(person_named(self._store, identity_id))), plan)

    # -- starting --------------------------------------------------------------------

    def submit_train(self, identity_id: str, plan: TrainingPlan, name: str = "", *, anyway: bool = False) -> Job:
        """Check everything and put a new run into the queue; `job.params["run_id"]` names the run.

        Args:
            name: for the person; default the person's name and the date.
            anyway: start though the preflight says that it will not fit.

        Raises:
            ConsentMissingError: no consent to "train" is recorded and valid; training always needs one.
            UserInputError: no photos, or it will not fit (the hint says what will).
            LimitExceededError: too many photos.
            NotFoundError: no such person, or the base is not on this computer.
            ConflictError: the same plan for this person waits or trains already.
        """
        person = person_named(self._store, identity_id)
        if any(r.plan == plan and self._history.state(r.id).can_stop for r in self._history.list(person.id)):
            raise ConflictError(
                f"{person.name} is already being trained with just these settings.",
                "Wait for it, or change a setting, such as the seed.",
            )
        return self._queued(self._new_run(person.id, plan, name, anyway))

    def train(
        self,
        identity_id: str,
        plan: TrainingPlan,
        name: str = "",
        *,
        anyway: bool = False,
        on_start: Callable[[TrainingRun], None] | None = None,
        on_progress: OnProgress | None = None,
    ) -> TrainingRun:
        """Start a new run and train here and now; see `submit_train` for what is refused.

        Args:
            on_start: told the run as soon as it has a row, so that it can be stopped.

        Raises:
            StudioError: what ended the run; the run stays and can be continued.
        """
        return self._work_here(self._new_run(identity_id, plan, name, anyway), on_start, on_progress)

    def submit_go_on(self, run_id: str, steps: int | None = None) -> Job:
        """Continue a run in a new job, from its last checkpoint.

        Args:
            steps: new total number of steps; None does what is left of the plan.

        Raises:
            ConflictError: its job still waits or runs.
            UserInputError: nothing is left to do, or the total is not larger than what is done.
        """
        return self._queued(self._extended(run_id, steps))

    def go_on(
        self,
        run_id: str,
        steps: int | None = None,
        *,
        on_start: Callable[[TrainingRun], None] | None = None,
        on_progress: OnProgress | None = None,
    ) -> TrainingRun:
        """Continue a run here and now; see `submit_go_on`."""
        return self._work_here(self._extended(run_id, steps), on_start, on_progress)

    def schedule_note(self, run_id: str, steps: int) -> str:
        """Say what continuing to a new total does to the learning rate; empty when nothing changes."""
        return schedule_note(self._history.get(run_id).plan, steps)

    def smaller_plan(self, run_id: str) -> TrainingPlan | None:
        """Return a plan that needs less memory than the run's, or None when nothing smaller is known."""
        run = self._history.get(run_id)
        flight = self._preflight(run.plan, max(1, len(run.photos)))
        if flight.instead:
            return changed_plan(run.plan, flight.instead)
        return smaller(run.plan)

    # -- the grid --------------------------------------------------------------------

    def submit_draw_grid(
        self,
        run_id: str,
        strengths: Sequence[float] = (0.6, 0.8, 1.0),
        prompts: Sequence[str] = (),
        seeds: Sequence[int] = (1,),
        *,
        checkpoint_ids: Sequence[str] = (),
    ) -> Job:
        """Queue a grid of checkpoints by strengths, drawn with the same prompts and seeds.

        Args:
            prompts: default the run's first sample prompt.
            checkpoint_ids: default the last four.

        Raises:
            UserInputError: no checkpoints, or more than grids.MOST_CELLS pictures.
        """
        run = self._history.get(run_id)
        params = self._grid_params(run, strengths, prompts, seeds, checkpoint_ids)
        return self._queue.submit(
            "grid", params, title=f"Grid of {run.name}", project_id=run.project_id,
            identity_id=run.identity_id,
        )  # fmt: skip

    def draw_grid(
        self,
        run_id: str,
        strengths: Sequence[float] = (0.6, 0.8, 1.0),
        prompts: Sequence[str] = (),
        seeds: Sequence[int] = (1,),
        *,
        checkpoint_ids: Sequence[str] = (),
        on_progress: OnProgress | None = None,
    ) -> tuple[GridSummary, ...]:
        """Draw a grid here and now; see `submit_draw_grid`."""
        run = self._history.get(run_id)
        params = self._grid_params(run, strengths, prompts, seeds, checkpoint_ids)

        def here(params: GridParams, context: JobContext) -> Mapping[str, Any]:
            return self.worker.draw_grid(params, context, on_progress)

        self._job_here(replace(GRID_KIND, run=here), params, f"Grid of {run.name}", run)
        return self._history.grid_summary(run_id)

    # -- parts -----------------------------------------------------------------------

    def _new_run(self, identity_id: str, plan: TrainingPlan, name: str, anyway: bool) -> TrainingRun:
        person = person_named(self._store, identity_id)
        require_agreement(person, "train")
        photos = self._kept(person)
        if not photos:
            raise UserInputError(
                f"{person.name} has no photo to learn from.", "Add or keep some on the Identities tab, better ten."
            )
        if len(photos) > MOST_PHOTOS:
            raise LimitExceededError(
                f"{person.name} has {len(photos)} photos; training on more than {MOST_PHOTOS} helps nobody.",
                "Curate them on the Identities tab and keep the 20 to 40 best.",
            )
        location = self._bases.resolve(plan.base)
        flight = self._preflight(plan, len(photos))
        if flight.problems and not anyway:
            fits = ", ".join(f"{key} = {value}" for key, value in flight.instead.items())
            short = flight.memory_bytes > flight.memory_free_bytes
            hint = (
                "Choose a preset for less memory."
                if short
                else "Free some space on the disk, or keep fewer checkpoints."
            )
            hint = f"This will fit: {fits}." if fits else hint
            raise UserInputError(flight.problems[0], hint)
        return self._store.runs.add(
            person.id, plan, name=name.strip() or f"{person.name}, {minute_of(datetime.now(UTC))}",
            base_sha256=location.sha256, photos=photos, project_id=person.project_id,
        )  # fmt: skip

    def _extended(self, run_id: str, steps: int | None) -> TrainingRun:
        """Return the run made ready to go on, to its own or to a new total of steps."""
        run = self._history.get(run_id)
        job = self._history.job(run)
        if job is not None and job.is_active:
            raise ConflictError("The run still waits or trains.", "Stop it first, or wait until it is done.")
        done = max((c.step for c in self._history.checkpoints(run_id)), default=0)
        total = run.plan.steps if steps is None else steps
        if total <= done:
            raise UserInputError(
                f"{done} steps are done already, so there is nothing to do up to {total}.",
                f"Give a total of more than {done} steps.",
            )
        plan = changed_plan(run.plan, {"steps": total})
        return self._store.runs.change(run_id, plan=plan, outcome="")

    def _queued(self, run: TrainingRun) -> Job:
        job = self._queue.submit(
            "train", TrainParams(run_id=run.id), title=f"Training {run.name}",
            project_id=run.project_id, identity_id=run.identity_id,
        )  # fmt: skip
        self._store.runs.change(run.id, job_id=job.id)
        return job

    def _work_here(
        self, run: TrainingRun, on_start: Callable[[TrainingRun], None] | None, on_progress: OnProgress | None
    ) -> TrainingRun:
        def here(params: TrainParams, context: JobContext) -> Mapping[str, Any]:
            if on_start is not None:
                on_start(self._store.runs.change(run.id, job_id=context.job.id))
            return self.worker.train(params.run_id, context, on_progress, job_id=context.job.id)

        self._job_here(replace(KIND, run=here), TrainParams(run_id=run.id), f"Training {run.name}", run)
        return self._history.get(run.id)

    def _job_here(self, kind: JobKind[Any], params: BaseModel, title: str, run: TrainingRun) -> None:
        """Run a job in this process, with a row like any other.

        Raises:
            StudioError: what ended it, as the same class; EngineError for a bug.
        """
        job = run_now(
            self._queue, kind, params, self, title=title, project_id=run.project_id, identity_id=run.identity_id
        )
        if job.failure is not None:
            named = getattr(errors, job.failure.error, EngineError)
            error = OutOfMemoryError if job.failure.error in MEMORY_ERRORS else named
            raise error(
                job.failure.message,
                job.failure.hint,
                window=job.failure.window_hint,
                window_message=job.failure.window_message,
            )

    def _grid_params(
        self, run: TrainingRun, strengths: Sequence[float], prompts: Sequence[str], seeds: Sequence[int],
        checkpoint_ids: Sequence[str],
    ) -> GridParams:  # fmt: skip
        held = {c.id: c for c in self._history.checkpoints(run.id)}
        if not held:
            raise UserInputError("The run has no checkpoints yet.", "Wait for the first, then draw the grid.")
        chosen = tuple(checkpoint_ids) or tuple(held)[-4:]
        unknown = [c for c in chosen if c not in held]
        if unknown:
            raise NotFoundError(f"The run has no checkpoint {unknown[0]!r}.", "Choose one of its own.")
        return GridParams.checked(
            run.id, chosen, strengths, tuple(prompts) or run.plan.sample_prompts[:1], tuple(seeds) or (1,)
        )

    def _kept(self, person: Identity) -> list[str]:
        """Return the hashes of the photos that nobody left out; quick, since nothing is looked at."""
        choices = self._store.curation.choices(person.id)
        photos = self._store.photos.list(identity_id=person.id)
        return [p.sha256 for p in photos if p.id not in choices or choices[p.id].kept is not False]

    def _preflight(self, plan: TrainingPlan, photos: int) -> Preflight:
        examples = photos * (1 + plan.variants_per_photo) if plan.variant_share else photos
        folder = self._store.data_dir
        return self._engines.trainer().preflight(self._bases.resolve(plan.base), plan, examples, folder)


def run(params: TrainParams, context: JobContext) -> Mapping[str, Any]:
    """Train a queued run."""
    training: Training = context.service
    return training.worker.train(params.run_id, context, job_id=context.job.id)


def run_grid(params: GridParams, context: JobContext) -> Mapping[str, Any]:
    """Draw a queued grid."""
    training: Training = context.service
    return training.worker.draw_grid(params, context)


KIND = JobKind(
    "train",
    "Training",
    TrainParams,
    run,
    service="training",
    lane="long",
    icon="train",
    keeps_its_work=True,
    cancel_grace_seconds=180.0,
)
GRID_KIND = JobKind(
    "grid",
    "Checkpoint grid",
    GridParams,
    run_grid,
    service="training",
    lane="long",
    icon="train",
    cancel_grace_seconds=30.0,
)
