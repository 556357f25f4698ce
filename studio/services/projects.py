"""Projects, and the sample project that a new studio starts with."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from studio.domain.project import Project


class Projects:
    """Looks after projects."""

    def list(self) -> tuple[Project, ...]:
        """Return all projects, oldest first."""
        raise NotImplementedError

    def get(self, project_id: str) -> Project:
        """Return one project."""
        raise NotImplementedError

    def add(self, name: str) -> Project:
        """Create a project."""
        raise NotImplementedError

    def default(self) -> Project:
        """Return the project that things go into when none is named; made when there is none."""
        raise NotImplementedError

    def ensure_sample(self) -> Project:
        """Make the sample project (portrait and first clip) in a studio that has no project yet.

        The portrait is scikit-image's public-domain astronaut; the clip is an ordinary job.
        """
        raise NotImplementedError
