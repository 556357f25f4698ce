"""What a job is to the code that does it.

A kind has a name, parameters that round-trip through JSON, and `run(params,
context)`. The context is a narrow door on purpose: a run may say how far it
is, ask whether to stop, and keep what it needs for going on later. It cannot
touch its own row, the queue or another job; that is how a job can always be
cancelled, and why a run tests without a worker.

Which kinds there are is said in one table of "module:ATTRIBUTE" strings, so
that starting the worker imports none of the heavy modules behind them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import Any, Generic, Protocol, TypeVar

from pydantic import BaseModel

from studio.domain.job import Job
from studio.errors import JobError
from studio.store import Store

Params = TypeVar("Params", bound=BaseModel)


class JobContext(Protocol):
    """All that a running job sees of the studio.

    Attributes:
        job: its row as it was claimed; `job.owner` owns what it makes.
        tools: whatever the composition root hands to jobs (services, engines, the store).
        work_folder: exists, belongs to this job alone, and survives until the job
            is done; what was finished before an interruption is found here again.
        checkpoint: what `save_checkpoint` kept before an interruption; empty at first.
    """

    job: Job
    tools: Any
    work_folder: Path
    checkpoint: Mapping[str, Any]

    def progress(self, fraction: float, message: str = "", preview_png: bytes | None = None) -> None:
        """Say how far it is (0..1, never falls) and, if at hand, show a picture. Cheap: call it per frame."""
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
        cancel_grace_seconds: how long a run may go on after being asked to stop;
            then its process is ended. Long enough to save what must be saved.
    """

    name: str
    title: str
    params: type[Params]
    run: Callable[[Params, JobContext], Mapping[str, Any] | None] = field(repr=False)
    cancel_grace_seconds: float = 0.6


KindTable = Mapping[str, "str | JobKind[Any]"]
"""Job kinds by name: the kind itself, or "module:ATTRIBUTE" where it will be found."""


@dataclass(frozen=True)
class Workplace:
    """What the composition root builds for a process that runs jobs.

    Attributes:
        store: the open store; whoever builds the workplace opens it.
        kinds: the table of kinds.
        tools: handed to each run as `context.tools`.
        close: called once at the end (stops engines, closes the store).
        long_kinds: kinds that have a worker process of their own.
    """

    store: Store
    kinds: KindTable
    tools: Any = None
    close: Callable[[], None] = field(default=lambda: None, repr=False)
    long_kinds: frozenset[str] = frozenset()


def load_attribute(path: str) -> Any:
    """Import "module:ATTRIBUTE".

    Raises:
        JobError: no such module or attribute.
    """
    module, _, attribute = path.partition(":")
    try:
        return getattr(import_module(module), attribute)
    except (ImportError, AttributeError, ValueError) as exc:
        raise JobError(f"{path} cannot be loaded ({exc}).", "Reinstall the studio; `studio doctor` checks it.") from exc


def find_kind(kinds: KindTable, name: str) -> JobKind[Any]:
    """Return the kind of that name, importing it if need be.

    Raises:
        JobError: this studio has no such kind, or its module cannot be loaded.
    """
    entry = kinds.get(name)
    if entry is None:
        raise JobError(f"This studio does not know the job kind {name!r}.", "Update the studio, then retry the job.")
    kind = load_attribute(entry) if isinstance(entry, str) else entry
    if not isinstance(kind, JobKind) or kind.name != name:
        raise JobError(f"{entry} is not the job kind {name!r}.", "Reinstall the studio; `studio doctor` checks it.")
    return kind
