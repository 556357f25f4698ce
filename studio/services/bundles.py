"""A project or a person as one file, and back into another studio: people, consents, photos, adapters, clips, recipes.

A bundle is no backup (services/backups.py): it holds no keys, no jobs and no models, and is merged into what is there.
"""

from __future__ import annotations

import json
import re
import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import studio
from studio.domain import consent as consents
from studio.errors import ConflictError, NotFoundError, StoreError, UnreadableMediaError, UserInputError
from studio.outside import NoSuchContent, json_of, text_of
from studio.services.people.agreement import require_not_taken_back
from studio.services.progress import OnProgress, told_bytes
from studio.store.bundle_tables import CARRIED, Rows
from studio.store.merging import Merged, UnfitRows
from studio.store.migrations import NAMES

if TYPE_CHECKING:
    from studio.domain.project import Project
    from studio.engines.media.archive import Packed
    from studio.store import OwnerStore

FORMAT, VERSION = "likeness-studio-bundle", 1
ROWS = "rows.json"
_MEDIA = re.compile(r"media/([0-9a-f]{64})(\.[a-z0-9]{1,8})?")
_MOST_ROWS_BYTES = 1_000_000_000
_COUNTED = {
    "identities": ("person", "people"), "photos": ("photo", "photos"), "adapters": ("adapter", "adapters"),
    "runs": ("training", "trainings"), "performances": ("performance", "performances"),
    "renders": ("picture or clip", "pictures and clips"),
}  # fmt: skip


@dataclass(frozen=True)
class BundleReport:
    """What a bundle holds.

    Attributes:
        counts: table -> rows.
        stayed: one sentence for each thing that was left out.
        missing: sha256 of files that are not on the disk any more.
    """

    path: Path
    bytes: int
    counts: dict[str, int]
    stayed: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()

    @property
    def sentence(self) -> str:
        """What is in it, for the person."""
        return f"{self.path.name} holds {_listed(self.counts)}."


@dataclass(frozen=True)
class BroughtIn:
    """What a bundle brought.

    Attributes:
        counts: table -> new rows.
        people: names of the people who are new here.
        renamed: one sentence for each name that was taken.
    """

    counts: dict[str, int]
    people: tuple[str, ...]
    renamed: tuple[str, ...]

    @property
    def sentence(self) -> str:
        """What is new, for the person."""
        if not any(self.counts.values()):
            return "Everything in it is here already; nothing was changed."
        return f"New here: {_listed(self.counts)}."


class Bundles:
    """Writes and brings in bundles for one owner."""

    def __init__(self, store: OwnerStore) -> None:
        self._store = store

    def export(
        self,
        out: Path,
        *,
        project: str | None = None,
        people: Sequence[str] = (),
        on_progress: OnProgress | None = None,
    ) -> BundleReport:
        """Write everything, a project or people into one zip.

        Whoever took the consent back stays here, with every picture that shows them.

        Args:
            out: the file, or a folder that gets one with the name of what is in it.
            project: id or name; its people, whoever is seen in it, and what it has of nobody.
            people: ids; only these people. Without project and people: everything.

        Raises:
            UserInputError: a project and people were named.
            NotFoundError: no such project, person or folder.
            ConflictError: there is a file of this name.
            ConsentMissingError: one of `people` took the consent back.
            StoreError: disk full, read-only folder.
        """
        from studio.engines.media.archive import pack

        nobodys = not people and project is None
        if people and project is not None:
            raise UserInputError("Name a project, or people, not both.", "People bring along what is theirs.")
        chosen, title = None, "Likeness Studio"
        if people:
            require_not_taken_back(self._store, people)
            title = self._store.identities.get(people[0]).name
        elif project is not None:
            chosen = self._project(project)
            title, people = chosen.name, self._store.bundles.people_of(chosen.id)
        else:
            people = [p.id for p in self._store.identities.list()]
        gone = [p for p in self._store.identities.list() if consents.standing(p.consents, _now()) == "taken back"]
        without = {id for person in gone for id in self._store.identities.renders(person.id)}
        going = [id for id in people if id not in {person.id for person in gone}]
        found = self._store.bundles.gather(
            going, project_id=None if chosen is None else chosen.id, nobodys=nobodys, without=without
        )
        stayed = [f"{p.name} took the consent back and stayed." for p in gone if p.id in people]
        stayed += [f"The adapter {name} holds somebody else's likeness too and stayed." for name in found.mixed]
        if out.is_dir():
            out = out / f"{_file_name(title)}-{_now():%Y-%m-%d-%H%M%S}.zip"
        if out.exists():
            raise ConflictError(f"{out.name} is there already.", "Choose another name; a bundle replaces nothing.")
        scratch = self._store.data_dir / "scratch"
        scratch.mkdir(exist_ok=True)
        with tempfile.TemporaryDirectory(prefix="bundle-", dir=scratch) as place:
            text = Path(place) / ROWS
            text.write_text(json.dumps(found.rows, ensure_ascii=False, allow_nan=False), "utf-8")
            files, missing = [(ROWS, text)], []
            for sha256 in found.media:
                try:
                    path = self._store.media.get(sha256)
                except NotFoundError:
                    missing.append(sha256)
                    continue
                files.append((f"media/{path.name}", path))
            about = {
                "format": FORMAT, "version": VERSION, "studio": studio.__version__, "schema": found.schema,
                "written": _now().isoformat(), "title": title,
            }  # fmt: skip
            packed, lost = pack(out, files, about, told_bytes(on_progress, "Writing"))
        missing += [name[len("media/") :][:64] for name in lost]
        counts = {table: len(rows) for table, rows in found.rows.items() if rows}
        return BundleReport(out, packed.total_bytes, counts, tuple(stayed), tuple(missing))

    def bring_in(
        self, archive: Path, *, project: str | None = None, on_progress: OnProgress | None = None
    ) -> BroughtIn:
        """Merge a bundle into what is here: what is here already stays as it is, and nothing is brought in twice.

        A name that is taken gets a number, for two people may have one name. A consent that was taken back on either
        side stays taken back.

        Args:
            project: id or name of the project that everything goes into; default the one of the same name, made where
                there is none.

        Raises:
            NotFoundError: no such file or project.
            UnreadableMediaError: no bundle, a damaged one, or one of a newer studio; nothing was changed.
            StoreError: disk full.
        """
        from studio.engines.media.archive import contents, unpack

        into = None if project is None else self._project(project)
        packed = contents(archive, FORMAT, VERSION)
        if packed.about.get("schema") not in NAMES:
            raise UnreadableMediaError(f"{archive.name} was written by a newer studio.", "Update this studio.")
        if ROWS not in packed.files or any(not _is_media(name, packed) for name in packed.files if name != ROWS):
            raise UnreadableMediaError(f"{archive.name} holds what belongs to no bundle.", "Use another copy of it.")
        scratch = self._store.data_dir / "scratch"
        scratch.mkdir(exist_ok=True)
        if shutil.disk_usage(scratch).free < 2 * packed.total_bytes:
            raise StoreError(
                f"The disk has no room for {packed.total_bytes / 1e9:.1f} GB twice.", "Free some; nothing was written."
            )
        with tempfile.TemporaryDirectory(prefix="bundle-", dir=scratch) as place:
            folder = Path(place)
            unpack(archive, packed, folder, told_bytes(on_progress, "Reading"))
            rows = _rows_of(folder / ROWS, archive.name)
            with self._store.media.keeping():
                for name in packed.files:
                    if name != ROWS:
                        self._store.media.put(folder / name)
                        (folder / name).unlink()
                try:
                    merged = self._store.bundles.merge(rows, None if into is None else into.id)
                except (UnfitRows, ConflictError) as exc:
                    raise UnreadableMediaError(
                        f"{archive.name} holds rows that do not fit this studio.", "Write it anew; nothing was changed."
                    ) from exc
        return _brought(merged, [str(row["name"]) for row in rows.get("identities", [])])

    def _project(self, name: str) -> Project:
        """Return a project by id or name.

        Raises:
            NotFoundError: no such project.
        """
        by_id = {project.id: project for project in self._store.projects.list()}
        found = by_id.get(name) or self._store.projects.find(name)
        if found is None:
            raise NotFoundError(
                f"There is no project {name!r}.", "`studio project list` shows them.", window="Open the tab again."
            )
        return found


def _rows_of(path: Path, name: str) -> Rows:
    """Return the rows of a bundle, table by table."""
    try:
        rows = json_of(text_of(path, most_bytes=_MOST_ROWS_BYTES))
        if not isinstance(rows, dict) or set(rows) - set(CARRIED):
            raise NoSuchContent("other tables")
        if not all(isinstance(t, list) and all(isinstance(r, dict) for r in t) for t in rows.values()):
            raise NoSuchContent("no tables")
    except NoSuchContent as exc:
        raise UnreadableMediaError(f"The rows in {name} are damaged.", "Use another copy of it.") from exc
    return rows


def _is_media(name: str, packed: Packed) -> bool:
    """Say whether an entry is a file that is called by its own hash."""
    found = _MEDIA.fullmatch(name)
    return found is not None and found[1] == packed.files[name][0]


def _brought(merged: Merged, names: Sequence[str]) -> BroughtIn:
    here = {old: new for table, old, new in merged.renamed if table == "identities"}
    new = merged.added.get("identities", 0)
    people = tuple(here.get(name, name) for name in names) if new == len(names) else ()
    renamed = tuple(f"{old} is called {new} here, since there is one of that name." for _, old, new in merged.renamed)
    return BroughtIn(dict(merged.added), people, renamed)


def _listed(counts: dict[str, int]) -> str:
    parts = [
        f"{counts[table]} {one if counts[table] == 1 else many}"
        for table, (one, many) in _COUNTED.items()
        if counts.get(table)
    ]
    if not parts:
        return "nothing that can be looked at"
    return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} and {parts[-1]}"


def _file_name(title: str) -> str:
    return re.sub(r"[^\w-]+", "-", title).strip("-")[:60] or "bundle"


def _now() -> datetime:
    return datetime.now(UTC)
