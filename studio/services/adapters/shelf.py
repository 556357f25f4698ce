"""The adapters that are here: looking at them, their names and notes, where they come from, deleting.

The way of an adapter is told from the photos over run and checkpoint to the
last file it was written to. Files outside the studio are remembered, not
watched: they may be gone. Nothing here needs torch.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from studio.domain import consent as consents
from studio.domain.adapter import WRITTEN_FORMATS, Adapter, AdapterExport, is_for
from studio.domain.days import minute_of
from studio.domain.names import as_read, tidied
from studio.errors import ConflictError, NotFoundError, UserInputError

if TYPE_CHECKING:
    from studio.services.bases import Bases
    from studio.store import OwnerStore

LONGEST_NAME = 80


@dataclass(frozen=True)
class AdapterDeletion:
    """What deleting an adapter takes with it; `sentence` says it in words.

    Attributes:
        exports: files elsewhere, which stay.
        children: names of adapters that were merged from it, which stay.
    """

    adapter: Adapter
    bytes: int
    exports: tuple[AdapterExport, ...]
    children: tuple[str, ...]

    @property
    def sentence(self) -> str:
        """Return the plan as one sentence."""
        stays = [f"{len(self.exports)} exported file(s) elsewhere"] if self.exports else []
        stays += [f"merged adapter {name}" for name in self.children]
        kept = f" These stay: {', '.join(stays)}." if stays else ""
        return f"Deleting {self.adapter.name} frees {self.bytes / 1e6:.1f} MB and cannot be undone.{kept}"


@dataclass(frozen=True)
class LineageStep:
    """One step of an adapter's way.

    Attributes:
        what: "photos", "run", "checkpoint", "parent", "adapter", "file".
        gone: what it names is not in the studio any more.
    """

    what: str
    text: str
    id: str = ""
    gone: bool = False


class AdapterShelf:
    """The adapters of one owner, as rows and files."""

    def __init__(self, store: OwnerStore, bases: Bases) -> None:
        self._store = store
        self._bases = bases

    # -- looking ---------------------------------------------------------------------

    def list(self, identity_id: str | None = None) -> tuple[Adapter, ...]:
        """Return adapters, newest first: all, or those that hold one person's likeness."""
        return self._store.adapters.list(identity_id=identity_id)

    def fitting(self, base: str) -> tuple[Adapter, ...]:
        """Return the adapters that a base can wear: of its family, and an embedded base those of its own weights alone.

        Raises:
            NotFoundError: no such base.
        """
        card = self._bases.get(base).card
        embedded = {e.card.name for e in self._bases.list() if e.card.source == "embedded"}
        found = [a for a in self.list() if a.family == card.family]
        if card.name in embedded:
            here = self._bases.resolve(card.name)
            own = [a for a in found if a.base_name in (card.name, "")]
            return tuple(a for a in own if is_for(a.base_name, a.base_sha256, here))
        return tuple(a for a in found if a.base_name not in embedded)

    def is_older(self, adapter: Adapter) -> bool:
        """Say whether an adapter was trained on an earlier build of the studio's own base, and fits none any more."""
        try:
            return not is_for(adapter.base_name, adapter.base_sha256, self._bases.resolve(adapter.base_name))
        except NotFoundError:
            return False  # its base is not here at all, which is said where it is used

    def get(self, adapter_id: str) -> Adapter:
        """Return one adapter by id or by name.

        Raises:
            NotFoundError: no such adapter.
        """
        return self._store.adapters.find(adapter_id) or self._store.adapters.get(adapter_id)

    def path(self, adapter: Adapter) -> Path:
        """Return where the weights lie.

        Raises:
            NotFoundError: the file is gone.
        """
        return self._store.media.get(adapter.media_sha256)

    def thumbnail(self, adapter: Adapter) -> Path | None:
        """Return a picture drawn with the adapter, or None."""
        return None if adapter.thumbnail_sha256 is None else self._store.media.get(adapter.thumbnail_sha256)

    def leak_sheet(self, adapter: Adapter) -> Path | None:
        """Return the pictures of the adapter's last leak test, or None."""
        return None if adapter.sheet_sha256 is None else self._store.media.get(adapter.sheet_sha256)

    def exports(self, adapter_id: str) -> tuple[AdapterExport, ...]:
        """Return the files an adapter was written to, oldest first."""
        return self._store.adapters.exports(self.get(adapter_id).id)

    def people(self, adapter_id: str) -> tuple[str, ...]:
        """Return the names of everybody whose likeness the adapter holds."""
        ids = self._store.adapters.people(self.get(adapter_id).id)
        return tuple(self._store.identities.get(id).name for id in ids)

    def lineage(self, adapter_id: str) -> tuple[LineageStep, ...]:
        """Tell an adapter's way: photos, run, checkpoint or parents, adapter, files."""
        adapter = self.get(adapter_id)
        steps = [*self._training_steps(adapter), *self._parent_steps(adapter)]
        born = {"trained": "kept", "imported": "imported", "merged": "merged"}[adapter.origin]
        on = f" for {adapter.base_name}" if adapter.base_name else ""
        text = f"{adapter.name}, {born} on {minute_of(adapter.created)}{on}, sha256 {adapter.media_sha256[:12]}…"
        steps.append(LineageStep("adapter", text, adapter.id))
        for export in self._store.adapters.exports(adapter.id):
            text = (
                f"{export.path} for {WRITTEN_FORMATS[export.format].programs}, {minute_of(export.created)}, "
                f"sha256 {export.sha256[:12]}…"
            )
            steps.append(LineageStep("file", text, export.id, gone=not Path(export.path).exists()))
        return tuple(steps)

    def _training_steps(self, adapter: Adapter) -> Iterator[LineageStep]:
        """Tell which photos, run and checkpoint an adapter comes from."""
        if adapter.run_id is None:
            return
        try:
            run = self._store.runs.get(adapter.run_id)
        except NotFoundError:
            yield LineageStep("run", "a training run that was deleted", adapter.run_id, gone=True)
            return
        person = self._store.identities.get(run.identity_id)
        yield LineageStep("photos", f"{len(run.photos)} photos of {person.name}", run.identity_id)
        text = f"{run.name}, {minute_of(run.created)}, {run.plan.method} on {run.plan.base}, seed {run.plan.seed}"
        yield LineageStep("run", text, run.id)
        for checkpoint in self._store.runs.checkpoints(run.id):
            if checkpoint.id == adapter.checkpoint_id:
                yield LineageStep("checkpoint", f"step {checkpoint.step} of {run.plan.steps}", checkpoint.id)

    def _parent_steps(self, adapter: Adapter) -> Iterator[LineageStep]:
        """Tell which adapters one was merged from."""
        for id, strength in adapter.parents.items():
            try:
                parent = self._store.adapters.get(id)
            except NotFoundError:
                yield LineageStep("parent", f"an adapter that was deleted, at {strength:g}", id, gone=True)
                continue
            yield LineageStep("parent", f"{parent.name} at {strength:g}", id)

    # -- changing --------------------------------------------------------------------

    def rename(self, adapter_id: str, name: str) -> Adapter:
        """Change an adapter's name.

        Raises:
            UserInputError: the name is empty or too long.
            ConflictError: the name is taken.
        """
        return self._store.adapters.change(self.get(adapter_id).id, name=checked_name(name))

    def note(self, adapter_id: str, notes: str) -> Adapter:
        """Write a person's notes about an adapter."""
        return self._store.adapters.change(self.get(adapter_id).id, notes=notes)

    def delete_plan(self, adapter_id: str) -> AdapterDeletion:
        """Say what deleting would take, and what stays; changes nothing."""
        adapter = self.get(adapter_id)
        children = tuple(a.name for a in self.list() if adapter.id in a.parents)
        size = self.path(adapter).stat().st_size
        return AdapterDeletion(adapter, size, self._store.adapters.exports(adapter.id), children)

    def delete(self, adapter_id: str) -> AdapterDeletion:
        """Delete an adapter with its weights; files elsewhere and merged adapters stay."""
        plan = self.delete_plan(adapter_id)
        self._store.adapters.delete(plan.adapter.id)
        return plan

    # -- rules -----------------------------------------------------------------------

    def require_consent(self, adapter: Adapter, *, publish: bool = False) -> None:
        """Refuse using an adapter when somebody in it agreed to neither training nor pictures, or no longer does.

        Args:
            publish: it is to leave this computer, which needs that consent too.

        Raises:
            ConsentMissingError: naming the person and the reason.
        """
        now = datetime.now(UTC)
        for id in self._store.adapters.people(adapter.id):
            person = self._store.identities.get(id)
            if not person.allows("train", now):
                consents.require(person.consents, "generate", now, person.name)
            if publish:
                consents.require(person.consents, "publish", now, person.name)

    def refuse_taken(self, name: str) -> None:
        """Refuse a name before the long work starts.

        Raises:
            ConflictError: another adapter has it.
        """
        if self._store.adapters.find(name) is not None:
            raise ConflictError(f"There is already an adapter {name!r}.", "Choose another name.")


def checked_name(name: str) -> str:
    """Return a name as it is kept.

    Raises:
        UserInputError: it is empty, or longer than 80 letters.
    """
    name = tidied(name)
    if not as_read(name):
        raise UserInputError("The adapter has no name.", "Write a name.")
    if len(name) > LONGEST_NAME:
        raise UserInputError(f"The name is longer than {LONGEST_NAME} letters.", "Write a shorter name.")
    return name


def shortened(name: str, letters: int = LONGEST_NAME) -> str:
    """Return a name that nobody typed, such as a file's title: one line, cut at a word where it is too long."""
    line = tidied("".join(c if c.isprintable() else " " for c in name))
    if len(line) <= letters:
        return line
    cut = line[: letters - 1]
    return (cut.rpartition(" ")[0] if " " in cut[letters // 2 :] else cut) + "…"
