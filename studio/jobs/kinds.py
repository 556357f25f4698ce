"""What a job is to the code that does it.

A kind has a name, parameters that round-trip through JSON, and `run(params,
context)`. The context is a narrow door on purpose: a run may say how far it
is, ask whether to stop, and keep what it needs for going on later. It cannot
touch its own row, the queue or another job; that is how a job can always be
cancelled, and why a run tests without a worker.

A kind also says which one service its run works with, in which lane it waits,
and its icon: to add a kind is to write it beside its run and to name it in the
composition root.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import Any, Generic, Protocol, TypeVar

from pydantic import BaseModel

from studio.domain.job import Job, Lane
from studio.errors import JobError
from studio.store import Store

Params = TypeVar("Params", bound=BaseModel)


class JobContext(Protocol):
    """All that a running job sees of the studio.

    Attributes:
        job: its row as it was claimed; `job.owner` owns what it makes.
        service: the one service its kind asks for, of the owner of the job.
        work_folder: exists, belongs to this job alone, and survives until the job
            is done; what was finished before an interruption is found here again.
        checkpoint: what `save_checkpoint` kept before an interruption; empty at first.
    """

    job: Job
    service: Any
    work_folder: Path
    checkpoint: Mapping[str, Any]

    def progress(
        self,
        fraction: float,
        message: str = "",
        preview_png: bytes | None = None,
        seconds_left: float | None = None,
    ) -> None:
        """Say how far it is (0..1, never falls) and, if at hand, show a picture. Cheap: call it per frame.

        Args:
            seconds_left: where the work knows better than its even progress tells.
        """
        ...

    def check_cancelled(self) -> None:
        """Stop here if somebody asked for it. Cheap: call it per frame.

        Raises:
            JobCancelled: let it through; tidy up in `finally`.
        """
        ...

    def log(self, line: str) -> None:
        """Add a line to the job's log; records of the `studio` loggers go there too."""
        ...

    def save_checkpoint(self, values: Mapping[str, Any]) -> None:
        """Keep small JSON values for going on after an interruption; large things go to `work_folder`."""
        ...


@dataclass(frozen=True)
class JobKind(Generic[Params]):
    """One kind of job.

    Attributes:
        name: unique, stored in rows, never changed.
        title: for the person.
        params: pydantic model; must round-trip through JSON.
        run: does the work and returns JSON values to be kept as the job's outputs, or None.
        service: which of the owner's services the run works with; an attribute of what
            `Workplace.services` returns.
        lane: "long" for what may take hours: it runs in a worker process of its own, so that it
            holds up no picture.
        icon: name of a file in assets/icons, for lists of jobs.
        keeps_its_work: what a stopped job has done stays, and goes on from where it was ordered;
            a second job for the same would find it done.
        cancel_grace_seconds: how long a run may go on after being asked to stop;
            then its process is ended. Long enough to save what must be saved.
    """

    name: str
    title: str
    params: type[Params]
    run: Callable[[Params, JobContext], Mapping[str, Any] | None] = field(repr=False)
    service: str
    lane: Lane = "main"
    icon: str = "film"
    keeps_its_work: bool = False
    cancel_grace_seconds: float = 0.6


KindTable = Mapping[str, JobKind[Any]]
"""Job kinds by name."""


def table_of(*kinds: JobKind[Any]) -> KindTable:
    """Return the table of these kinds.

    Raises:
        ValueError: two have the same name.
    """
    table = {kind.name: kind for kind in kinds}
    if len(table) != len(kinds):
        raise ValueError("two kinds of jobs have the same name")
    return table


@dataclass(frozen=True)
class Workplace:
    """What the composition root builds for a process that runs jobs.

    Attributes:
        store: the open store; whoever builds the workplace opens it.
        kinds: the table of kinds.
        services: owner -> the services of that owner; a run sees the one its kind names.
        close: called once at the end (stops engines, closes the store).
    """

    store: Store
    kinds: KindTable
    services: Callable[[str], Any] = field(repr=False)
    close: Callable[[], None] = field(default=lambda: None, repr=False)

    @property
    def long_kinds(self) -> frozenset[str]:
        """Names of the kinds that have a worker process of their own."""
        return long_kinds(self.kinds)


def long_kinds(kinds: KindTable) -> frozenset[str]:
    """Return the names of the kinds that run in the lane of long work."""
    return frozenset(kind.name for kind in kinds.values() if kind.lane == "long")


def load_attribute(path: str) -> Any:
    """Import "module:ATTRIBUTE".

    Raises:
        JobError: no such module or attribute.
    """
    module, _, attribute = path.partition(":")
    try:
        return getattr(import_module(module), attribute)
    except (ImportError, AttributeError, ValueError) as exc:
        raise JobError(
            f"{path} cannot be loaded ({exc}).",
            "Reinstall the studio; `studio doctor` checks it.",
            window_message="A part of the studio cannot be loaded.",
            window="Reinstall the studio; the Settings tab checks it.",
        ) from exc


def find_kind(kinds: KindTable, name: str) -> JobKind[Any]:
    """Return the kind of that name.

    Raises:
        JobError: this studio has no such kind.
    """
    kind = kinds.get(name)
    if kind is None:
        raise JobError(f"This studio does not know the job kind {name!r}.", "Update the studio, then retry the job.")
    return kind
