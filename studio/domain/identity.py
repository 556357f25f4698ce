"""An identity: one person, with what they agreed to."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from studio.domain.consent import Consent, Scope, is_allowed


@dataclass(frozen=True, kw_only=True)
class Identity:
    """One person; times are aware UTC.

    Attributes:
        consents: everything ever agreed to, oldest first, also what was taken back.
    """

    id: str
    owner: str
    name: str
    notes: str = ""
    project_id: str | None = None
    consents: tuple[Consent, ...] = ()
    created: datetime

    def allows(self, scope: Scope, at: datetime) -> bool:
        """Say whether the person's consents allow `scope` at the moment `at`."""
        return is_allowed(self.consents, scope, at)


@dataclass(frozen=True, kw_only=True)
class DeletionPlan:
    """Exactly what deleting an identity takes with it.

    Attributes:
        files: media that nothing else refers to; they leave the disk at once, not into the trash.
        file_bytes: their size together.
        shared_files: media that stay, because something else uses the same bytes.
        adapters: every one that holds the person's likeness, also merged with others'; files exported
            elsewhere stay where they are.
        runs: training runs, with curves, samples and checkpoints.
        run_bytes: what those keep for going on, beside `file_bytes`.
        intakes: heaps of dropped photos in which the person was found, also when others are in them.
        performances: with layers, those that are the person's.
        backups: database backups, which hold the person's rows too and therefore go.
        swept: files of anybody in the trash of a sweep; they bear no name of whom they show, and all go.
        busy_jobs: ids of queued or running jobs; deleting is refused while there are any.
    """

    identity_id: str
    name: str
    photos: int
    embeddings: int
    renders: int
    consents: int
    jobs: int
    files: int
    file_bytes: int
    shared_files: int
    backups: int
    adapters: int = 0
    runs: int = 0
    run_bytes: int = 0
    intakes: int = 0
    performances: int = 0
    swept: int = 0
    busy_jobs: tuple[str, ...] = ()
