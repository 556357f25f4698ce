"""Everything the studio made: find it, show it, make it once more."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from studio.services.animation import Progress

if TYPE_CHECKING:
    from studio.domain.job import Job
    from studio.domain.render import Render

Recipe = Mapping[str, Any]


@dataclass(frozen=True)
class RenderPage:
    """One page of the gallery, newest first; `next_cursor` None is the last page."""

    renders: tuple[Render, ...]
    next_cursor: str | None
    total: int


@dataclass(frozen=True)
class VerifyReport:
    """What a check of all files found: sha256 or names of files."""

    checked: int
    missing: tuple[str, ...]
    changed: tuple[str, ...]
    orphans: tuple[str, ...]

    @property
    def ok(self) -> bool:
        """Say whether nothing is missing, changed or left over."""
        return not (self.missing or self.changed or self.orphans)


@dataclass(frozen=True)
class RerunResult:
    """A render made once more.

    Attributes:
        same_frames: whether every decoded frame equals the first render's.
    """

    render: Render
    same_frames: bool


class Library:
    """Looks after renders."""

    def page(
        self,
        *,
        project_id: str | None = None,
        identity_id: str | None = None,
        kind: str | None = None,
        starred: bool | None = None,
        cursor: str | None = None,
        size: int = 24,
    ) -> RenderPage:
        """Return one page of renders, newest first."""
        raise NotImplementedError

    def show(self, render_id: str) -> Render:
        """Return one render with its whole recipe."""
        raise NotImplementedError

    def path(self, render: Render) -> Path:
        """Return where the render's file lies."""
        raise NotImplementedError

    def thumbnail(self, render: Render) -> Path:
        """Return a small picture of the render."""
        raise NotImplementedError

    def star(self, render_id: str, starred: bool = True) -> Render:
        """Mark a render as a favorite, or no longer."""
        raise NotImplementedError

    def delete(self, render_id: str) -> None:
        """Delete a render and its file."""
        raise NotImplementedError

    def export(self, render_id: str, out: Path) -> Path:
        """Copy a render's file (with its recipe inside) to a file or into a folder."""
        raise NotImplementedError

    def recipe_of_file(self, path: Path) -> Recipe:
        """Read the recipe from a png or clip of ours, also one that left the library.

        Raises:
            UserInputError: the file carries no recipe of ours.
        """
        raise NotImplementedError

    def rerun(self, render_id: str, *, on_progress: Callable[[Progress], None] | None = None) -> RerunResult:
        """Make a render once more, here and now, and compare the frames."""
        raise NotImplementedError

    def submit_rerun(self, render_id: str) -> Job:
        """Put a rerun into the queue."""
        raise NotImplementedError

    def verify(self) -> VerifyReport:
        """Find missing, changed and orphan files."""
        raise NotImplementedError

    def sweep(self) -> int:
        """Delete orphan files and old scratch files; return the bytes set free."""
        raise NotImplementedError
