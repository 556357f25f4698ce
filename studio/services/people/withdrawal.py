"""Consent that was taken back: work that waits or runs is stopped, what was made leaves no more, and can be erased."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from studio.domain.identity import Identity
from studio.domain.job import Job
from studio.jobs.queue import JobQueue
from studio.store import OwnerStore

_MOST_JOBS = 10_000


@dataclass(frozen=True)
class Withdrawal:
    """What taking consent back did, and what is left of the person.

    Attributes:
        stopped: jobs that waited or ran.
        renders: pictures and clips that are handed out no more, those in the trash too.
        adapters: names of adapters that learned the person and are used no more.
    """

    person: Identity
    stopped: tuple[Job, ...]
    renders: int
    adapters: tuple[str, ...]

    @property
    def sentence(self) -> str:
        """What happened, for people."""
        said = f"The consent of {self.person.name} was taken back. Nothing new can be made of this person"
        if self.stopped:
            said += f"; {_counted(len(self.stopped), 'job')} stopped"
        held = _held(self.renders, len(self.adapters))
        return f"{said}; {held} can no longer leave or be used." if held else f"{said}."


@dataclass(frozen=True)
class ErasedWork:
    """What was erased of a person's.

    Attributes:
        freed_bytes: set free on the disk.
    """

    renders: int
    adapters: int
    runs: int
    freed_bytes: int

    @property
    def sentence(self) -> str:
        """What happened, for people."""
        held = _held(self.renders, self.adapters, self.runs) or "Nothing"
        return f"{held} erased, {self.freed_bytes / 1e6:.1f} MB set free. Photos and agreements stay."


class Withdrawals:
    """Takes the consents of one owner's people back."""

    def __init__(self, store: OwnerStore, queue: JobQueue) -> None:
        self._store, self._queue = store, queue

    def take_back(self, identity_id: str) -> Withdrawal:
        """Record that all consents of a person were taken back now, and stop the work on that person.

        A running job stops within a second; what it has made so far stays, and is handed out no more.

        Raises:
            NotFoundError: no such person.
        """
        person = self._store.identities.get(identity_id)
        # first the word, then the work: a job that is taken up in between is refused by its own check
        self._store.identities.revoke_consents(person.id, datetime.now(UTC))
        about = self._about(person.id)
        busy = self._queue.list(states=("queued", "running"), limit=_MOST_JOBS)
        stopped = tuple(j for j in busy if j.identity_id == person.id or about & set(_words(j.params)))
        for job in stopped:
            self._queue.cancel(job.id)
        adapters = tuple(a.name for a in self._store.adapters.list() if person.id in self._store.adapters.people(a.id))
        return Withdrawal(
            self._store.identities.get(person.id), stopped, len(self._store.identities.renders(person.id)), adapters
        )

    def made_of(self, identity_id: str) -> str:
        """Say what was made of a person, such as "2 pictures and clips and 1 adapter"; empty for nothing.

        Raises:
            NotFoundError: no such person.
        """
        renders = len(self._store.identities.renders(identity_id))
        adapters = sum(identity_id in self._store.adapters.people(a.id) for a in self._store.adapters.list())
        return _held(renders, adapters, len(self._store.runs.list(identity_id=identity_id)))

    def erase(self, identity_id: str) -> ErasedWork:
        """Erase for good what was made of a person: pictures, clips, adapters, trainings; photos and agreements stay.

        An adapter that learned others too goes as well, and so do the page's copies, the trash and the copies of the
        database. Copies that were written to files elsewhere are beyond reach;
        `studio identity report` names them.

        Raises:
            NotFoundError: no such person.
            ConflictError: a training of the person still runs.
            StoreError: files could not be deleted.
        """
        person = self._store.identities.get(identity_id)
        runs = self._store.runs.list(identity_id=person.id)
        freed = sum(self._store.runs.delete(run.id) for run in runs)
        renders = self._store.identities.renders(person.id)
        freed += sum(self._store.renders.delete(id) for id in renders)
        adapters = [a for a in self._store.adapters.list() if person.id in self._store.adapters.people(a.id)]
        freed += sum(self._store.adapters.delete(a.id) for a in adapters)
        self._store.identities.erase_traces(person.id)
        return ErasedWork(len(renders), len(adapters), len(runs), freed)

    def _about(self, identity_id: str) -> set[str]:
        """Return ids and hashes by which a job's parameters name something of a person."""
        store = self._store
        photos = store.photos.list(identity_id=identity_id)
        adapters = [a for a in store.adapters.list() if identity_id in store.adapters.people(a.id)]
        renders = [store.renders.get(id) for id in store.identities.renders(identity_id)]
        of_photos = {word for p in photos for word in (p.id, p.sha256)}
        made = {word for r in renders for word in (r.id, r.media_sha256)}
        return {identity_id} | of_photos | made | {a.id for a in adapters}


def _words(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for inner in value.values():
            yield from _words(inner)
    elif isinstance(value, (list, tuple)):
        for inner in value:
            yield from _words(inner)


def _counted(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def _held(renders: int, adapters: int, runs: int = 0) -> str:
    pictures = "1 picture or clip" if renders == 1 else f"{renders} pictures and clips"
    parts = [pictures] if renders else []
    parts += [_counted(adapters, "adapter")] if adapters else []
    parts += [_counted(runs, "training")] if runs else []
    return " and ".join([", ".join(parts[:-1]), parts[-1]] if len(parts) > 1 else parts)
