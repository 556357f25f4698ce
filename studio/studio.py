"""The composition root: store, engines, services and worker, wired once.

Engines are built at their first use from the ENGINES table, so that opening a
studio imports none of the heavy libraries. The worker process opens a studio
of its own through `workplace`.
"""

from __future__ import annotations

import importlib
import inspect
import sys
from pathlib import Path
from types import TracebackType
from typing import Any

from studio.domain.job import LANES
from studio.domain.project import LOCAL_OWNER
from studio.engines import Engines
from studio.errors import NotFoundError, UserInputError
from studio.jobs.kinds import KindTable, Workplace
from studio.jobs.queue import JobQueue
from studio.jobs.supervisor import WorkerSupervisor
from studio.services.adapters.exchange import Adapters
from studio.services.bases import Bases
from studio.services.clips.animation import Animation
from studio.services.health import checkup
from studio.services.jobs import Jobs
from studio.services.library import Library
from studio.services.people.curation import Curation
from studio.services.people.identities import Identities
from studio.services.people.likeness import Likeness
from studio.services.pictures.generation import Generation
from studio.services.portraits.expressions import Expressions
from studio.services.portraits.prepared import Portraits
from studio.services.portraits.presets import Presets
from studio.services.projects import Projects, sample_portrait
from studio.services.sources import Sources
from studio.services.training.runs import Training
from studio.settings import Settings
from studio.store import Store

ROOT = Path(__file__).resolve().parent.parent
ASSETS = ROOT / "assets"
EXPRESSION_PRESETS = ROOT / "presets" / "expressions"
BASE_CARDS = ROOT / "presets" / "bases"
TRAINING_PRESETS = ROOT / "presets" / "training"

LONG_KINDS = frozenset({"train", "grid", "leak_test", "download"})
"""These run in a worker process of their own, so that hours of training hold up no picture."""

JOB_KINDS: KindTable = {
    "animate": "studio.services.clips.animation:KIND",
    "curate": "studio.services.people.curation:KIND",
    "caption": "studio.services.people.curation:CAPTION_KIND",
    "download": "studio.services.bases:KIND",
    "generate": "studio.services.pictures.generation:KIND",
    "grid": "studio.services.training.runs:GRID_KIND",
    "leak_test": "studio.services.adapters.exchange:KIND",
    "rerun": "studio.services.library:KIND",
    "sample": "studio.services.projects:KIND",
    "train": "studio.services.training.runs:KIND",
}


class Studio:
    """An open studio; use it in a `with` block, or `close` it.

    Args:
        data_dir: the data folder; made when it is not there.
        assets: head, models, speech.
        offline: never go to the network, also not when a download is asked for.

    Raises:
        StoreError: the folder cannot be written, or the database is newer than this studio.
    """

    def __init__(self, data_dir: Path, assets: Path = ASSETS, *, offline: bool = False) -> None:
        self.data_dir = data_dir
        self.assets = assets
        self.store = Store(data_dir)
        self.engines = Engines(assets)
        queue = JobQueue(self.store, JOB_KINDS)
        owner, scratch = LOCAL_OWNER, data_dir / "scratch"
        portraits, sources = Portraits(self.engines), Sources(self.store, owner)
        self.projects = Projects(self.store, owner, queue)
        self.identities = Identities(self.store, owner, portraits)
        self.curation = Curation(self.store, owner, portraits, queue)
        self.likeness = Likeness(self.store, owner, self.engines)
        self.bases = Bases(
            self.store, owner, queue, cards=BASE_CARDS, assets=assets, models=data_dir / "models", offline=offline
        )
        self.generation = Generation(self.store, owner, self.engines, queue, sources, self.bases, self.likeness)
        self.expressions = Expressions(self.store, owner, sources, portraits)
        self.animation = Animation(self.store, owner, sources, portraits, queue, scratch)
        self.library = Library(self.store, owner, self.expressions, self.animation, self.generation, queue, scratch)
        self.presets = Presets(
            self.store, owner, portraits, EXPRESSION_PRESETS, sample_portrait, data_dir / "cache" / "presets"
        )
        self.training = Training(
            self.store, owner, queue, self.engines, self.bases, self.curation, self.likeness, TRAINING_PRESETS
        )
        self.adapters = Adapters(
            self.store, owner, self.engines, self.bases, self.likeness, queue, scratch, offline=offline
        )
        self.jobs = Jobs(queue, owner, scratch)
        self._queue = queue
        place = ("studio.studio:workplace", {"data_dir": str(data_dir), "offline": offline})
        self._supervisors = tuple(
            WorkerSupervisor(self.store, queue, *place, lane=lane, long_kinds=LONG_KINDS) for lane in LANES
        )

    @classmethod
    def open(cls, settings: Settings) -> Studio:
        """Open the data folder of the settings and wire everything.

        Raises:
            StoreError: see the class.
        """
        return cls(settings.data_dir, offline=settings.offline)

    def start(self, *, worker: bool = True, sample: bool = True) -> None:
        """Do what a window does first: note interrupted jobs, set up a new studio, start the worker."""
        from studio.engines.media.pictures import forget_other_formats

        forget_other_formats()  # the window's library opens uploads by itself
        self._queue.recover()
        if sample:
            self.projects.ensure_sample()
        if worker:
            self.start_worker()

    def start_worker(self) -> None:
        """Start the worker processes that make the queued jobs; does nothing when they run already."""
        for supervisor in self._supervisors:
            supervisor.start()

    def doctor(self) -> list[tuple[str, str, str]]:
        """Return (what, state, detail) rows about this installation."""
        return [(f.what, f.state, f.detail) for f in checkup(self.data_dir, self.assets)]

    def close(self) -> None:
        """Stop the worker and close the database."""
        for supervisor in self._supervisors:
            supervisor.stop()
        self.store.close()

    def __enter__(self) -> Studio:
        return self

    def __exit__(self, kind: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None) -> None:
        self.close()


def workplace(data_dir: str, offline: bool = False) -> Workplace:
    """Build what the worker process needs: a studio of its own on the same data folder."""
    studio = Studio(Path(data_dir), offline=offline)
    return Workplace(store=studio.store, kinds=JOB_KINDS, tools=studio, long_kinds=LONG_KINDS)


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
