"""The composition root: store, engines, services and worker, wired once.

Engines are built at their first use from the ENGINES table, so that opening a
studio imports none of the heavy libraries.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from studio.services.animation import Animation
from studio.services.expressions import Expressions
from studio.services.identities import Identities
from studio.services.library import Library
from studio.services.presets import Presets
from studio.services.projects import Projects
from studio.settings import Settings

if TYPE_CHECKING:
    from studio.jobs.queue import JobQueue
    from studio.store import Store


class Studio:
    """An open studio."""

    settings: Settings
    store: Store
    jobs: JobQueue
    projects: Projects
    identities: Identities
    expressions: Expressions
    animation: Animation
    library: Library
    presets: Presets

    @classmethod
    def open(cls, settings: Settings) -> Studio:
        """Open the data folder and wire everything.

        Raises:
            StoreError: the folder cannot be written, or the database is newer than this studio.
        """
        raise NotImplementedError

    def start_worker(self) -> None:
        """Start the worker process that makes the queued jobs; does nothing when one is alive."""
        raise NotImplementedError

    def close(self) -> None:
        """Stop the worker and close the database."""
        raise NotImplementedError
