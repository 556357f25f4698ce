"""Rows that come in from another studio, written where they are not there yet.

They were written by anybody: each value is compared with its column first, all of them go in inside one transaction,
and are read again by the readers of their tables before it ends.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from studio.domain.names import as_read, free_name, tidied
from studio.store.bundle_tables import FORGOTTEN, KEYS, LEFT_OUT
from studio.store.database import Database, Row
from studio.store.rows import new_id

if TYPE_CHECKING:
    from studio.store import OwnerStore

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


@dataclass
class Merged:
    """What came in.

    Attributes:
        added: table -> how many rows are new.
        renamed: (table, name, name here) of what had a name that is taken.
    """

    added: dict[str, int] = field(default_factory=dict)
    renamed: list[tuple[str, str, str]] = field(default_factory=list)


class Merging:
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
        left = ("owner", *LEFT_OUT.get(table, ()))
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
        return out | FORGOTTEN.get(table, {})

    def _add(self, table: str, values: dict[str, Any], words: str) -> None:
        if table == "projects":
            self._add_project(values)
            return
        if "project_id" in values and self._project_id is not None:
            values["project_id"] = self._project_id
        if "id" in values and self._is_here(table, values):
            return
        key = KEYS[table]
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
        free = free_name(name, (str(row["name"]) for row in names))
        if not as_read(free):
            raise UnfitRows(f"{table} without a name")
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
