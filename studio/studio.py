"""The composition root: store, engines, services and worker, wired once.

Engines are built at their first use from the ENGINES table, so that opening a
studio imports none of the heavy libraries. The worker process opens a studio
of its own through `workplace`.
"""

from __future__ import annotations

import importlib
import inspect
import logging
import sys
import threading
from pathlib import Path
from types import TracebackType
from typing import Any

from studio.domain.job import LANES
from studio.domain.project import LOCAL_OWNER, folder_name
from studio.engines import Engines
from studio.errors import NotFoundError, StoreError, UserInputError
from studio.jobs.kinds import KindTable, Workplace, long_kinds, table_of
from studio.jobs.queue import JobQueue
from studio.jobs.recovery import recover
from studio.jobs.supervisor import WorkerSupervisor
from studio.services import bases, library, sample
from studio.services.adapters import exchange
from studio.services.adapters.exchange import AdapterExchange
from studio.services.adapters.shelf import AdapterShelf
from studio.services.bases import Bases
from studio.services.bundles import Bundles
from studio.services.clips import animation, dialogue, dubbing
from studio.services.clips.animation import Animation
from studio.services.clips.composed import MotionShelf
from studio.services.clips.dialogue import Dialogue
from studio.services.clips.dubbing import Dubbing
from studio.services.clips.live import Live, LiveSessions
from studio.services.clips.performances import Performances
from studio.services.jobs import Jobs
from studio.services.library import Library
from studio.services.marks import KEY_FILE, Marks
from studio.services.people import curation, training_set, variants
from studio.services.people.curation import Curation
from studio.services.people.identities import Identities
from studio.services.people.likeness import Likeness
from studio.services.people.report import Reports
from studio.services.people.training_set import TrainingSets
from studio.services.people.variants import Variants
from studio.services.people.withdrawal import Withdrawals
from studio.services.pictures import generation
from studio.services.pictures.generation import Generation
from studio.services.portraits.expressions import Expressions
from studio.services.portraits.head_models import HeadModels
from studio.services.portraits.prepared import Portraits
from studio.services.portraits.presets import Presets
from studio.services.portraits.templates import Templates
from studio.services.portraits.units import ActionUnits
from studio.services.projects import Projects
from studio.services.provenance import Provenance
from studio.services.sample import Sample, sample_portrait
from studio.services.sources import Sources
from studio.services.takedown import Takedowns
from studio.services.training import runs
from studio.services.training.history import RunHistory
from studio.services.training.runs import Training
from studio.services.upkeep import Upkeep
from studio.services.video import video
from studio.services.video.motions import Motions
from studio.services.video.video import Video
from studio.settings import Settings
from studio.store import Store

log = logging.getLogger(__name__)
ROOT = Path(__file__).resolve().parent.parent
ASSETS = ROOT / "assets"
MOTION_CARDS = ROOT / "presets" / "motion"
EXPRESSION_PRESETS = ROOT / "presets" / "expressions"
BASE_CARDS = ROOT / "presets" / "bases"
TRAINING_PRESETS = ROOT / "presets" / "training"
WORKER_WAIT_SECONDS = 10.0
"""A window that nobody looks at has its worker all the same."""

JOB_KINDS: KindTable = table_of(
    animation.KIND,
    curation.KIND,
    training_set.CAPTION_KIND,
    variants.KIND,
    bases.KIND,
    generation.KIND,
    video.KIND,
    dubbing.KIND,
    dialogue.KIND,
    library.KIND,
    exchange.KIND,
    runs.KIND,
    runs.GRID_KIND,
    sample.KIND,
)


class OwnerServices:
    """Everything one owner can do; made in a moment, so a server may make one for each request.

    Engines, the prepared portraits and the database are the studio's and shared;
    no service here sees, changes or deletes what belongs to another owner.
    """

    def __init__(self, studio: Studio, owner: str) -> None:
        data_dir, assets, engines, portraits = studio.data_dir, studio.assets, studio.engines, studio.portraits
        self.owner = owner
        self.store = store = studio.store.of(owner)
        queue = JobQueue(studio.store, owner, JOB_KINDS)
        scratch = data_dir / "scratch" / folder_name(owner)
        sources = Sources(store)
        self.projects = Projects(store)
        self.bundles = Bundles(store)
        self.identities = Identities(store, portraits)
        self.reports = Reports(store)
        self.withdrawals = Withdrawals(store, queue)
        self.curation = Curation(store, portraits, queue)
        self.training_sets = TrainingSets(store, portraits, queue)
        self.variants = Variants(store, portraits, self.training_sets, queue)
        self.likeness = Likeness(store, engines)
        self.bases = Bases(
            store, queue, engines, cards=BASE_CARDS, assets=assets, models=data_dir / "models", offline=studio.offline
        )
        marks = Marks(data_dir / KEY_FILE, label=studio.ai_label)
        self.generation = Generation(store, engines, queue, sources, self.bases, self.likeness, marks)
        self.provenance = provenance = Provenance(store, studio.keys, marks)
        self.takedowns = Takedowns(store, provenance)
        self.expressions = Expressions(store, sources, portraits, provenance)
        self.templates = Templates(sources, portraits, self.expressions)
        self.action_units = ActionUnits(sources, self.templates, engines)
        self.head_models = HeadModels(store, sources, portraits, provenance, scratch)
        self.animation = Animation(store, sources, portraits, provenance, queue, scratch, studio.layer_motions)
        self.performances = Performances(store, sources, portraits, self.animation, scratch)
        self.live = Live(store, owner, sources, portraits, self.performances, studio.live_sessions, scratch)
        motions = Motions(
            engines, cards=MOTION_CARDS, assets=assets, models=data_dir / "models", offline=studio.offline
        )
        self.video = Video(store, sources, portraits, self.generation, motions, provenance, queue, scratch)
        self.dubbing = Dubbing(store, sources, portraits, provenance, queue, scratch)
        self.dialogue = Dialogue(store, sources, portraits, provenance, queue, scratch)
        self.library = Library(
            store, self.expressions, self.animation, self.generation, self.video, self.dubbing, self.dialogue,
            provenance, queue, scratch,
        )  # fmt: skip
        self.presets = Presets(store, portraits, EXPRESSION_PRESETS, sample_portrait, data_dir / "cache" / "presets")
        self.runs = RunHistory(store, queue, self.bases)
        self.training = Training(
            store,
            queue,
            engines,
            self.bases,
            self.training_sets,
            self.variants,
            self.likeness,
            self.runs,
            TRAINING_PRESETS,
        )
        self.adapters = AdapterShelf(store, self.bases)
        self.adapter_exchange = AdapterExchange(
            store, self.adapters, engines, self.bases, self.likeness, queue, scratch, offline=studio.offline
        )
        self.sample = Sample(store, queue, self.identities, self.animation, assets)
        self.jobs = Jobs(queue, scratch)


class Studio:
    """An open studio; use it in a `with` block, or `close` it.

    What a person does is in the services of an owner: `studio.for_owner(owner)`.

    Args:
        data_dir: the data folder; made when it is not there.
        assets: head, models, speech.
        offline: never go to the network, also not when a download is asked for.
        keys: folder of the key that signs what leaves; default one in the data folder, made when it is needed.
        ai_label: write AI into a corner of everything that is made.

    Raises:
        StoreError: the folder cannot be written, or the database is newer than this studio.
    """

    def __init__(
        self,
        data_dir: Path,
        assets: Path = ASSETS,
        *,
        offline: bool = False,
        keys: Path | None = None,
        ai_label: bool = False,
    ) -> None:
        self.data_dir = data_dir
        self.keys = keys or data_dir / "keys"
        self.assets = assets
        self.offline, self.ai_label = offline, ai_label
        self.store = Store(data_dir)
        self.engines = Engines(assets)
        self.portraits = Portraits(self.engines)
        self.layer_motions = MotionShelf()
        self.live_sessions = LiveSessions()
        self.upkeep = Upkeep(self.store, data_dir / "scratch", assets)
        place = ("studio.studio:workplace", {"data_dir": str(data_dir), "offline": offline, "ai_label": ai_label})
        self._supervisors = tuple(
            WorkerSupervisor(self.store, *place, lane=lane, long_kinds=long_kinds(JOB_KINDS)) for lane in LANES
        )

    def for_owner(self, owner: str = LOCAL_OWNER) -> OwnerServices:
        """Return the services of one owner; on a desktop there is one, "local"."""
        return OwnerServices(self, owner)

    @classmethod
    def open(cls, settings: Settings) -> Studio:
        """Open the data folder of the settings and wire everything.

        Raises:
            StoreError: see the class.
        """
        return cls(
            settings.data_dir, offline=settings.offline, keys=Path(settings.keys) if settings.keys else None,
            ai_label=settings.ai_label,
        )  # fmt: skip

    def start(self, *, worker: bool = True, sample: bool = True, after: threading.Event | None = None) -> None:
        """Do what a window does first: note interrupted jobs, set up a new studio, start the worker.

        Args:
            after: the worker, whose start keeps a processor busy for seconds, waits for this; not longer than
                WORKER_WAIT_SECONDS.
        """
        from studio.engines.media.pictures import forget_other_formats

        forget_other_formats()  # the window's library opens uploads by itself
        if self.store.database.is_idle():  # who only looks at things waits for nobody; the next start recovers
            recover(self.store)
        self._back_up_daily()
        if sample:
            self.for_owner().sample.ensure()
        if worker:
            if after is not None:
                after.wait(WORKER_WAIT_SECONDS)
            self.start_worker()

    def _back_up_daily(self) -> None:
        """Copy the database once a day; a disk without room for the copy keeps nobody from looking at what is there."""
        try:
            self.store.database.back_up_daily()
        except StoreError as exc:
            log.warning("no daily copy of the database: %s", exc)

    def start_worker(self) -> None:
        """Start the worker processes that make the queued jobs; does nothing when they run already."""
        for supervisor in self._supervisors:
            supervisor.start()

    def close(self) -> None:
        """Stop the worker and close the database."""
        for supervisor in self._supervisors:
            supervisor.stop()
        self.store.close()

    def __enter__(self) -> Studio:
        return self

    def __exit__(self, kind: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None) -> None:
        self.close()


def workplace(data_dir: str, offline: bool = False, ai_label: bool = False) -> Workplace:
    """Build what the worker process needs: a studio of its own on the same data folder."""
    studio = Studio(Path(data_dir), offline=offline, ai_label=ai_label)
    return Workplace(studio.store, JOB_KINDS, services=studio.for_owner)


def benchmark(name: str, **options: Any) -> dict[str, Any]:
    """Run one module of benchmarks/ and return its figures.

    Args:
        name: the module.
        options: handed to its `run`.

    Raises:
        NotFoundError: there is no such benchmark here (they come with the repository).
        UserInputError: it does not take one of the options.
    """
    known = sorted(p.stem for p in (ROOT / "benchmarks").glob("*.py") if not p.stem.startswith("_"))
    if name not in known:
        raise NotFoundError(f"There is no benchmark {name!r}.", f"Benchmarks: {', '.join(known) or 'none here'}.")
    if str(ROOT) not in sys.path:
        sys.path.insert(0, str(ROOT))
    run = importlib.import_module(f"benchmarks.{name}").run
    for option in options:
        if option not in inspect.signature(run).parameters:
            raise UserInputError(f"The benchmark {name!r} takes no --{option}.", "Leave it out.")
    figures: dict[str, Any] = run(**options)
    return figures
