"""Projects: what belongs together, by name."""

from __future__ import annotations

from typing import TYPE_CHECKING

from studio.domain.project import Project

if TYPE_CHECKING:
    from studio.store import OwnerStore

FIRST_PROJECT = "My project"


class Projects:
    """Looks after projects."""

    def __init__(self, store: OwnerStore) -> None:
        self._store = store

    def list(self) -> tuple[Project, ...]:
        """Return all projects, oldest first."""
        return self._store.projects.list()

    def get(self, project_id: str) -> Project:
        """Return one project.

        Raises:
            NotFoundError: no such project.
        """
        return self._store.projects.get(project_id)

    def add(self, name: str) -> Project:
        """Create a project.

        Raises:
            ConflictError: the name is taken.
        """
        return self._store.projects.add(name)

    def default(self) -> Project:
        """Return the project that things go into when none is named; made when there is none."""
        projects = self.list()
        return projects[0] if projects else self.add(FIRST_PROJECT)
