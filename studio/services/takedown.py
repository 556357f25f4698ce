"""A file that shall be gone: found by any of its marks, with all that was made of it, put into the trash or erased."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from studio.domain.provenance import Verdict
from studio.domain.render import Render
from studio.errors import NotFoundError
from studio.services.provenance import Provenance
from studio.store import OwnerStore


@dataclass(frozen=True)
class Takedown:
    """What a file is here, and what goes with it.

    Attributes:
        verdict: by what the file was known.
        render: the file's own.
        twins: others with the same bytes.
        offspring: what was made once more of these, or made from their pixels, and from that again; oldest first.
        origins: renders that it was made from; they stay.
        freed_bytes: set free on the disk, where it was erased.
    """

    verdict: Verdict
    render: Render
    twins: tuple[Render, ...]
    offspring: tuple[Render, ...]
    origins: tuple[Render, ...]
    freed_bytes: int = 0

    @property
    def going(self) -> tuple[Render, ...]:
        """Everything that is taken down."""
        return (self.render, *self.twins, *self.offspring)


class Takedowns:
    """Finds and takes down what one owner has made."""

    def __init__(self, store: OwnerStore, provenance: Provenance) -> None:
        self._store, self._provenance = store, provenance

    def find(self, path: Path) -> Takedown:
        """Say what a file is here and what would go with it; nothing is changed.

        Raises:
            NotFoundError: no such file, or none that this studio remembers.
            UnreadableMediaError: no plain file, or an empty one.
            EngineUnavailableError: the library that reads credentials is not installed.
        """
        verdict = self._provenance.verify(path)
        if not verdict.render_id:
            raise NotFoundError(
                f"{path.name} is nothing that this studio remembers.",
                f"`studio verify` says what is known of it: {verdict.says}",
                window=verdict.says,
            )
        renders = self._store.renders
        render = renders.get(verdict.render_id)
        twins = tuple(r for r in renders.of_media(render.media_sha256) if r.id != render.id)
        found: dict[str, Render] = {r.id: r for r in (render, *twins)}
        offspring: dict[str, Render] = {}
        waiting = list(found.values())
        while waiting:
            for child in renders.made_from(waiting.pop()):
                if child.id not in found:
                    found[child.id] = offspring[child.id] = child
                    waiting.append(child)
        origins = [r for sha256 in dict.fromkeys(render.inputs.values()) for r in renders.of_media(sha256)]
        return Takedown(
            verdict, render, twins, tuple(sorted(offspring.values(), key=lambda r: r.created)),
            tuple(r for r in origins if r.id not in found),
        )  # fmt: skip

    def take_down(self, path: Path, *, erase: bool = False) -> Takedown:
        """Take a file's render down with all that was made of it.

        Args:
            erase: delete for good now; else it lies in the trash, is shown and handed out no more, and can be brought
                back until the trash is emptied.

        Raises:
            NotFoundError, UnreadableMediaError, EngineUnavailableError: as `find`.
            StoreError: files could not be deleted.
        """
        found = self.find(path)
        freed = 0
        for render in reversed(found.going):
            if erase:
                freed += self._store.renders.delete(render.id)
            elif render.deleted is None:
                self._store.renders.trash(render.id)
        return replace(found, freed_bytes=freed)
