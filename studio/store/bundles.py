"""Rows that leave for another studio and come in from one: a project or a person with everything that belongs to them.

What leaves keeps its ids, so a bundle that comes in twice, or comes home, adds only what is not there. Nothing that is
there is overwritten, but for one thing: a consent that was taken back on either side stays taken back.

Rows that come in were written by anybody. They go in as a whole, inside one transaction, after each value was compared
with its column; then all of them are read again by the readers of their tables, and what these cannot read is refused.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from studio.domain.names import as_read, tidied
from studio.store.database import Database, Row
from studio.store.migrations import NAMES
from studio.store.rows import new_id

if TYPE_CHECKING:
    from studio.store import OwnerStore

Rows = dict[str, list[dict[str, Any]]]
"""Table -> rows, with JSON values only: bytes stand as {"base64": ...}."""

_KEYS: Mapping[str, tuple[str, ...]] = {
    "projects": ("id",),
    "identities": ("id",),
    "consents": ("id",),
    "caption_policies": ("identity_id", "trait"),
    "photos": ("id",),
    "curated_photos": ("photo_id",),
    "embeddings": ("photo_id", "embedder"),
    "variants": ("id",),
    "runs": ("id",),
    "checkpoints": ("id",),
    "run_metrics": ("run_id", "name", "step"),
    "run_samples": ("run_id", "step", "kind", "prompt", "seed"),
    "grid_cells": ("id",),
    "adapters": ("id",),
    "adapter_people": ("adapter_id", "identity_id"),
    "performances": ("id",),
    "performance_steps": ("performance_id", "step"),
    "performance_media": ("performance_id", "sha256"),
    "renders": ("id",),
    "recipes": ("render_id",),
    "render_inputs": ("render_id", "role"),
}
"""Every table that is carried, in the order in which its rows may be written, and what makes a row the same."""
CARRIED = tuple(_KEYS)
STAYS: Mapping[str, str] = {
    "adapter_exports": "copies of adapters on a disk that the other studio does not have",
    "bases": "models on this disk",
    "curation_steps": "what can be taken back of sorting",
    "intakes": "heaps that are being sorted",
    "intake_photos": "heaps that are being sorted",
    "intake_links": "heaps that are being sorted",
    "intake_names": "heaps that are being sorted",
    "jobs": "work on this computer",
    "job_lines": "work on this computer",
    "job_previews": "work on this computer",
    "workers": "work on this computer",
    "media": "made anew of the files",
    "media_doomed": "files of this disk",
    "presets": "of nobody",
    "photo_analyses": "measured anew in the photo",
    "photo_faces": "measured anew in the photo",
    "photo_looks": "measured anew in the photo",
    "rigs": "measured anew in the photo",
}
"""Every other table, and why it is not carried."""
_LEFT_OUT = {"renders": ("number", "job_id", "deleted"), "runs": ("job_id",), "run_samples": ("number",)}
_FORGOTTEN = {"checkpoints": {"has_state": 0}}
"""Columns that mean something on this computer alone, and what stands there on another."""
_TEXT_WITH_IDS = {
    "runs": ("photos",),
    "adapters": ("parents",),
    "recipes": ("recipe",),
    "performance_steps": ("document",),
}
_ID_COLUMNS = ("id", "identity_id", "project_id", "photo_id", "run_id", "checkpoint_id", "adapter_id", "performance_id",
               "render_id", "parent_id")  # fmt: skip
_TYPES: Mapping[str, tuple[type, ...]] = {"TEXT": (str,), "INTEGER": (int,), "REAL": (int, float), "BLOB": (bytes,)}


class UnfitRows(ValueError):
    """Rows from outside that are none of ours."""


@dataclass(frozen=True)
class Gathered:
    """What leaves.

    Attributes:
        media: sha256 of every file that the rows need and that is there.
        schema: the newest step of the schema that they fit.
        mixed: adapters that stay, since they hold somebody else's likeness too.
    """

    rows: Rows
    media: tuple[str, ...]
    schema: str
    mixed: tuple[str, ...] = ()


@dataclass
class Merged:
    """What came in.

    Attributes:
        added: table -> how many rows are new.
        renamed: (table, name, name here) of what had a name that is taken.
    """

    added: dict[str, int] = field(default_factory=dict)
    renamed: list[tuple[str, str, str]] = field(default_factory=list)


class Bundles:
    """Gathers and merges the rows of one owner."""

    def __init__(self, store: OwnerStore) -> None:
        self._store, self._database, self._owner = store, store.database, store.owner

    # -- out ---------------------------------------------------------------------------

    def people_of(self, project_id: str) -> tuple[str, ...]:
        """Return who is in a project, or in a photo, training or render of it."""
        sql = " UNION ".join(
            f"SELECT {column} FROM {table} WHERE owner = :owner AND project_id = :project AND {column} IS NOT NULL"
            for table, column in (
                ("identities", "id"), ("photos", "identity_id"), ("runs", "identity_id"), ("renders", "identity_id"),
            )
        )  # fmt: skip
        found = self._database.rows(sql, {"owner": self._owner, "project": project_id})
        return tuple(sorted(str(row[0]) for row in found))

    def gather(
        self,
        people: Sequence[str],
        *,
        project_id: str | None = None,
        nobodys: bool = False,
        without: Collection[str] = (),
    ) -> Gathered:
        """Return the rows of people, and of what shows nobody.

        Args:
            people: ids; adapters that hold somebody else's likeness too do not leave with theirs.
            project_id: also its photos and renders of nobody, and performances that are nobody's.
            nobodys: also all photos, renders and performances of nobody.
            without: ids of renders that stay.
        """
        with self._database.transaction():  # one moment for all tables
            return self._gather(tuple(dict.fromkeys(people)), project_id, nobodys, without)

    def _gather(
        self, people: tuple[str, ...], project_id: str | None, nobodys: bool, without: Collection[str]
    ) -> Gathered:
        of_people = f"IN ({_marks(people)})"
        nobody = "OR (identity_id IS NULL AND project_id = ?)" if project_id else ""
        nobody = "OR identity_id IS NULL" if nobodys else nobody
        more = [project_id] if project_id and not nobodys else []
        rows: Rows = {}
        rows["identities"] = self._rows("identities", f"id {of_people}", people)
        for table in ("consents", "caption_policies", "runs"):
            rows[table] = self._rows(table, f"identity_id {of_people}", people)
        rows["photos"] = self._rows("photos", f"(identity_id {of_people} {nobody})", [*people, *more])
        for table in ("curated_photos", "embeddings", "variants"):
            rows[table] = self._of(table, "photo_id", _ids(rows["photos"]))
        for table in ("checkpoints", "run_metrics", "run_samples", "grid_cells"):
            rows[table] = self._of(table, "run_id", _ids(rows["runs"]))
        held = self._rows("adapter_people", f"identity_id {of_people}", people)
        names = {str(r["adapter_id"]) for r in held}
        whole = [a for a in sorted(names) if set(self._store.adapters.people(a)) <= set(people)]
        rows["adapters"] = self._of("adapters", "id", whole)
        rows["adapter_people"] = self._of("adapter_people", "adapter_id", whole)
        own = "OR identity_id IS NULL" if project_id or nobodys else ""
        rows["performances"] = self._rows("performances", f"(identity_id {of_people} {own})", people)
        for table in ("performance_steps", "performance_media"):
            rows[table] = self._of(table, "performance_id", _ids(rows["performances"]))
        where = f"deleted IS NULL AND (identity_id {of_people} {nobody})"
        renders = self._rows("renders", where, [*people, *more], order="number")
        rows["renders"] = [render for render in renders if render["id"] not in without]
        for render in rows["renders"]:
            sql = "SELECT search_text FROM render_text t JOIN renders r ON r.number = t.rowid WHERE r.id = ?"
            render["search_text"] = self._database.value(sql, [render["id"]]) or ""
        for table in ("recipes", "render_inputs"):
            rows[table] = self._of(table, "render_id", _ids(rows["renders"]))
        projects = {r["project_id"] for t in ("identities", "photos", "runs", "renders") for r in rows[t]} - {None}
        rows["projects"] = self._of("projects", "id", sorted({*projects, *more}))
        _cut(rows)
        media = sorted(sha256 for sha256 in self._media_of(rows) if self._store.media.has(sha256))
        mixed = tuple(self._store.adapters.get(a).name for a in sorted(names.difference(whole)))
        return Gathered({t: rows[t] for t in CARRIED}, tuple(media), NAMES[-1], mixed)

    def _rows(self, table: str, where: str, values: Sequence[Any], *, order: str = "") -> list[dict[str, Any]]:
        sql = f"SELECT * FROM {table} WHERE owner = ? AND {where} ORDER BY {order or ', '.join(_KEYS[table])}"
        left = ("owner", *_LEFT_OUT.get(table, ()))
        return [
            {name: _plain(row[name]) for name in row.keys() if name not in left} | _FORGOTTEN.get(table, {})  # noqa: SIM118 - rows are no mappings
            for row in self._database.rows(sql, [self._owner, *values])
        ]

    def _of(self, table: str, column: str, values: Sequence[str]) -> list[dict[str, Any]]:
        return [row for value in dict.fromkeys(values) for row in self._rows(table, f"{column} = ?", [value])]

    def _media_of(self, rows: Rows) -> set[str]:
        found = set()
        for table, column in self._store.media.shown_in:
            found |= {str(r[column]) for r in rows.get(table, ()) if r.get(column) is not None}
        return found

    # -- in ----------------------------------------------------------------------------

    def merge(self, rows: Rows, project_id: str | None = None) -> Merged:
        """Write what is not there yet; all of it, or nothing.

        Call where the media are kept already, see `Media.keeping`.

        Args:
            rows: as `gather` returned them.
            project_id: everything goes into this project; else into the one of the same id or name, else a new one.

        Raises:
            UnfitRows: they are none of ours, or do not fit together.
            ConflictError: they refer to what is not there.
        """
        merging = _Merging(self._store, project_id)
        try:
            with self._database.transaction():
                for table in CARRIED:
                    merging.add(table, rows.get(table, []))
                merging.read_again()
        except (KeyError, TypeError, AttributeError, IndexError, binascii.Error) as exc:
            raise UnfitRows(f"{type(exc).__name__}: {exc}") from exc
        return merging.merged


class _Merging:
    """One merge that is going on."""

    def __init__(self, store: OwnerStore, project_id: str | None) -> None:
        self._store, self._project_id = store, project_id
        self._database: Database = store.database
        self._owner = store.owner
        self._renamed: dict[str, str] = {}
        self._new: dict[str, list[str]] = {}
        self._people: set[str] = set()
        self.merged = Merged()

    def add(self, table: str, rows: Sequence[Mapping[str, Any]]) -> None:
        """Write the rows of a table that are not there."""
        types = {
            str(c["name"]): (str(c["type"]), bool(c["notnull"]))
            for c in self._database.rows("SELECT * FROM pragma_table_info(?)", [table])
        }
        for row in rows:
            words = str(row["search_text"]) if table == "renders" else ""
            values = {n: v for n, v in row.items() if not (table == "renders" and n == "search_text")}
            self._add(table, self._fitting(table, values, types), words)

    def _fitting(self, table: str, row: Mapping[str, Any], types: Mapping[str, tuple[str, bool]]) -> dict[str, Any]:
        """Return a row with its ids as they are here.

        Raises:
            UnfitRows: a column that is none, or a value that its column does not take.
        """
        left = ("owner", *_LEFT_OUT.get(table, ()))
        out: dict[str, Any] = {"owner": self._owner}
        for name, value in row.items():
            if name not in types or name in left:
                raise UnfitRows(f"{table} has no {name}")
            kind, is_needed = types[name]
            if isinstance(value, dict):
                value = base64.b64decode(value["base64"], validate=True)
            fits = not is_needed if value is None else isinstance(value, _TYPES[kind]) and not isinstance(value, bool)
            if not fits:
                raise UnfitRows(f"{table}.{name} takes no {type(value).__name__}")
            if name in _ID_COLUMNS and value is not None:
                value = self._renamed.get(value, value)
            if name in _TEXT_WITH_IDS.get(table, ()):
                for old, new in self._renamed.items():
                    value = value.replace(old, new)
            out[name] = value
        return out | _FORGOTTEN.get(table, {})

    def _add(self, table: str, values: dict[str, Any], words: str) -> None:
        if table == "projects":
            self._add_project(values)
            return
        if "project_id" in values and self._project_id is not None:
            values["project_id"] = self._project_id
        if "id" in values and self._is_here(table, values):
            return
        key = _KEYS[table]
        if self._row(table, {name: values[name] for name in key}) is not None:
            if table == "consents":
                self._take_back(values)
            return
        if table in ("identities", "adapters", "performances"):
            values["name"] = self._free(table, str(values["name"]))
        self._database.insert(table, values)
        if table == "renders":
            self._database.execute(
                "INSERT INTO render_text (rowid, title, search_text) SELECT number, ?, ? FROM renders WHERE id = ?",
                [values["title"], words, values["id"]],
            )
        self.merged.added[table] = self.merged.added.get(table, 0) + 1
        if "id" in values:
            self._new.setdefault(table, []).append(str(values["id"]))
        if values.get("identity_id") is not None:
            self._people.add(str(values["identity_id"]))

    def _add_project(self, values: dict[str, Any]) -> None:
        """Note which project here is meant: projects are only names for what belongs together."""
        id, name = str(values["id"]), str(values["name"])
        found = None if self._project_id else self._store.projects.find(name)
        here = self._row("projects", {"id": id})
        if self._project_id is not None:
            self._renamed[id] = self._project_id
        elif here is not None:
            return
        elif found is not None:
            self._renamed[id] = found.id
        else:
            self._renamed[id] = values["id"] = self._own_id("projects", id)
            self._database.insert("projects", values | {"name": tidied(name)})
            self.merged.added["projects"] = self.merged.added.get("projects", 0) + 1

    def _is_here(self, table: str, values: dict[str, Any]) -> bool:
        """Say whether a row is there under another id; give it a new one where somebody else has its own."""
        if table == "photos":
            same = {n: values[n] for n in ("sha256", "identity_id", "face_index")}
        elif table == "variants":
            same = {n: values[n] for n in ("photo_id", "number")}
        elif table == "checkpoints":
            same = {n: values[n] for n in ("run_id", "step")}
        elif table == "grid_cells":
            same = {n: values[n] for n in ("checkpoint_id", "strength", "prompt", "seed")}
        else:
            same = {}
        found = self._row(table, same) if same else None
        id = str(values["id"])
        if found is not None:
            if found["id"] != id:
                self._renamed[id] = str(found["id"])
            return True
        values["id"] = self._own_id(table, id)
        return False

    def _own_id(self, table: str, id: str) -> str:
        """Return the id, or a new one where another owner has this one."""
        taken = self._database.value(f"SELECT owner FROM {table} WHERE id = ?", [id])
        if taken is None or taken == self._owner:
            return id
        self._renamed[id] = new_id()
        return self._renamed[id]

    def _take_back(self, values: Mapping[str, Any]) -> None:
        """Keep that a consent was taken back elsewhere."""
        if values.get("revoked_at") is not None:
            self._database.execute(
                "UPDATE consents SET revoked_at = ? WHERE owner = ? AND id = ? AND revoked_at IS NULL",
                [values["revoked_at"], self._owner, values["id"]],
            )

    def _row(self, table: str, values: Mapping[str, Any]) -> Row | None:
        wanted = {"owner": self._owner, **values}
        where = " AND ".join(f"{name} IS ?" for name in wanted)
        return self._database.row(f"SELECT * FROM {table} WHERE {where}", [*wanted.values()])

    def _free(self, table: str, name: str) -> str:
        """Return the name, or the name with a number where it is taken."""
        names = self._database.rows(f"SELECT name FROM {table} WHERE owner = ?", [self._owner])
        taken = {as_read(str(row["name"])) for row in names}
        number, free = 1, tidied(name)
        while as_read(free) in taken or not as_read(free):
            number += 1
            free = f"{tidied(name)} {number}".strip()
        if free != name:
            self.merged.renamed.append((table, name, free))
        return free

    def read_again(self) -> None:
        """Read everything new as the studio will.

        Raises:
            UnfitRows: something cannot be read.
        """
        store, new = self._store, self._new
        try:
            store.projects.list()
            for id in sorted({*self._people, *new.get("identities", ())}):
                store.identities.get(id)
                store.curation.choices(id)
                store.curation.policies(id)
                store.variants.list(id)
            for id in new.get("photos", ()):
                store.photos.get(id)
                store.photos.embeddings(id)
            for id in new.get("runs", ()):
                store.runs.get(id)
                store.runs.metrics(id)
                store.runs.samples(id)
                store.runs.checkpoints(id)
                store.runs.cells(id)
            for id in new.get("adapters", ()):
                store.adapters.get(id)
            for id in new.get("performances", ()):
                store.performances.states(id)
            for id in new.get("renders", ()):
                store.renders.get(id)
        except Exception as exc:  # whatever a reader trips over, the rows are none of ours
            raise UnfitRows(f"{type(exc).__name__}: {exc}") from exc


def _cut(rows: Rows) -> None:
    """Let no row refer to what stays here."""
    photos, renders = {r["id"] for r in rows["photos"]}, {r["id"] for r in rows["renders"]}
    runs = {r["id"] for r in rows["runs"]}
    checkpoints = {r["id"] for r in rows["checkpoints"]}
    for render in rows["renders"]:
        render["photo_id"] = render["photo_id"] if render["photo_id"] in photos else None
        render["parent_id"] = render["parent_id"] if render["parent_id"] in renders else None
    # a render may be made from one that was made later: written in any order, it finds its parent
    parents = {r["id"]: r["parent_id"] for r in rows["renders"]}
    rows["renders"].sort(key=lambda r: len(_line(parents, r["id"])))
    for adapter in rows["adapters"]:
        adapter["run_id"] = adapter["run_id"] if adapter["run_id"] in runs else None
        adapter["checkpoint_id"] = adapter["checkpoint_id"] if adapter["checkpoint_id"] in checkpoints else None


def _line(parents: Mapping[str, str | None], id: str) -> list[str]:
    """Return what a render comes from, itself first."""
    line: list[str] = []
    here: str | None = id
    while here is not None and here not in line:
        line.append(here)
        here = parents.get(here)
    return line


def _plain(value: Any) -> Any:
    return {"base64": base64.b64encode(value).decode("ascii")} if isinstance(value, bytes) else value


def _ids(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    return [str(row["id"]) for row in rows]


def _marks(values: Sequence[str]) -> str:
    return ", ".join("?" for _ in values)
