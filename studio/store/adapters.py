"""The tables of adapters, of the people in them, and of the files they were exported to.

Weights are media. Whose likeness an adapter holds is kept apart from its
`identity_id`: a merged adapter holds everybody's that its parents held, and
keeps that when a parent is deleted, so that a person who leaves the studio
takes every trace along.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from studio.domain.adapter import Adapter, AdapterExport, AdapterFormat, NewAdapter
from studio.domain.names import as_read, tidied
from studio.errors import ConflictError, NotFoundError
from studio.store.database import Database, Row
from studio.store.media import Media
from studio.store.rows import new_id, now, to_json, to_mapping, to_moment, to_text

_PLAIN = (
    "method", "origin", "family", "media_sha256", "thumbnail_sha256", "sheet_sha256", "rank", "base_name",
    "base_sha256", "identity_id", "run_id", "checkpoint_id", "notes",
)  # fmt: skip


class Adapters:
    """Adapters of one owner."""

    def __init__(self, database: Database, media: Media, owner: str) -> None:
        self._database = database
        self._owner = owner
        self._media = media

    def add(self, adapter: NewAdapter) -> Adapter:
        """Keep an adapter whose weights are in the media store.

        The people in it are its identity and everybody in its parents.

        Raises:
            ConflictError: the name is taken, or bytes or person are not stored.
        """
        id = new_id()
        values = {name: getattr(adapter, name) for name in _PLAIN} | {
            "id": id, "owner": self._owner, "name": tidied(adapter.name), "trigger_phrase": adapter.trigger,
            "parents": to_json(adapter.parents), "measures": to_json(adapter.measures), "created": to_text(now()),
        }  # fmt: skip
        with self._database.transaction():
            self._refuse_taken(adapter.name, but="")
            people = {p for parent in adapter.parents for p in self.people(parent)}
            people |= {adapter.identity_id} if adapter.identity_id is not None else set()
            self._database.insert("adapters", values)
            for person in sorted(people):
                self._database.insert("adapter_people", {"owner": self._owner, "adapter_id": id, "identity_id": person})
        return self.get(id)

    def get(self, id: str) -> Adapter:
        """Return one adapter.

        Raises:
            NotFoundError: no such adapter for this owner.
        """
        row = self._database.row("SELECT * FROM adapters WHERE owner = ? AND id = ?", [self._owner, id])
        if row is None:
            raise NotFoundError.row("adapter", id, "`studio adapter list`")
        return _adapter(row)

    def find(self, name: str) -> Adapter | None:
        """Return the adapter of that name, or None."""
        sql = "SELECT * FROM adapters WHERE owner = ? AND as_read(name) = ? ORDER BY id"
        row = self._database.row(sql, [self._owner, as_read(name)])
        return None if row is None else _adapter(row)

    def list(self, *, identity_id: str | None = None, run_id: str | None = None) -> tuple[Adapter, ...]:
        """Return adapters, newest first: all, those that hold one person's likeness, or those of one run."""
        sql = """
            SELECT * FROM adapters a WHERE owner = :owner AND (:run IS NULL OR run_id = :run)
                AND (:person IS NULL OR EXISTS (
                    SELECT 1 FROM adapter_people p WHERE p.adapter_id = a.id AND p.identity_id = :person))
            ORDER BY id DESC"""
        rows = self._database.rows(sql, {"owner": self._owner, "person": identity_id, "run": run_id})
        return tuple(_adapter(r) for r in rows)

    def people(self, id: str) -> tuple[str, ...]:
        """Return the ids of everybody whose likeness the adapter holds; consent is asked of each."""
        sql = "SELECT identity_id FROM adapter_people WHERE owner = ? AND adapter_id = ? ORDER BY identity_id"
        return tuple(r[0] for r in self._database.rows(sql, [self._owner, id]))

    def change(
        self,
        id: str,
        *,
        name: str | None = None,
        notes: str | None = None,
        measures: Mapping[str, Any] | None = None,
        thumbnail_sha256: str | None = None,
        sheet_sha256: str | None = None,
    ) -> Adapter:
        """Change what is given; None leaves as it is. `measures` are added to those there are.

        Raises:
            NotFoundError: no such adapter for this owner.
            ConflictError: the name is taken, or a picture is not stored.
        """
        with self._database.transaction():
            old = self.get(id)
            if name is not None:
                self._refuse_taken(name, but=id)
            self._database.execute(
                "UPDATE adapters SET name = coalesce(?, name), notes = coalesce(?, notes), measures = ?,"
                " thumbnail_sha256 = coalesce(?, thumbnail_sha256), sheet_sha256 = coalesce(?, sheet_sha256)"
                " WHERE owner = ? AND id = ?",
                [
                    None if name is None else tidied(name), notes, to_json({**old.measures, **(measures or {})}),
                    thumbnail_sha256, sheet_sha256, self._owner, id,
                ],
            )  # fmt: skip
            self._media.discard_unused([s for s in (old.thumbnail_sha256, old.sheet_sha256) if s])
        self._media.finish_deletions()
        return self.get(id)

    def delete(self, id: str) -> int:
        """Delete an adapter, with the files nothing else needs; return the bytes set free.

        Raises:
            NotFoundError: no such adapter for this owner.
        """
        with self._database.transaction():
            files = self._media.of_rows({"adapters": [self.get(id).id]})
            self._database.execute("DELETE FROM adapters WHERE owner = ? AND id = ?", [self._owner, id])
            freed = self._media.discard_unused(files)[1]
        self._media.finish_deletions()
        return freed

    # -- exports ---------------------------------------------------------------

    def add_export(self, adapter_id: str, format: AdapterFormat, path: Path, sha256: str, size: int) -> AdapterExport:
        """Note that an adapter was written to a file of `size` bytes.

        Raises:
            NotFoundError: no such adapter for this owner.
        """
        id = new_id()
        values = {
            "id": id, "owner": self._owner, "adapter_id": adapter_id, "format": format, "path": str(path),
            "sha256": sha256, "bytes": size, "created": to_text(now()),
        }  # fmt: skip
        with self._database.transaction():
            self.get(adapter_id)
            self._database.insert("adapter_exports", values)
        return next(e for e in self.exports(adapter_id) if e.id == id)

    def exports(self, adapter_id: str) -> tuple[AdapterExport, ...]:
        """Return the files an adapter was written to, oldest first; whether they are still there is not known."""
        sql = "SELECT * FROM adapter_exports WHERE owner = ? AND adapter_id = ? ORDER BY id"
        return tuple(_export(r) for r in self._database.rows(sql, [self._owner, adapter_id]))

    def _refuse_taken(self, name: str, *, but: str) -> None:
        taken = self.find(name)
        if taken is not None and taken.id != but:
            raise ConflictError(f"There is already an adapter {tidied(name)!r}.", "Choose another name.")


def _adapter(row: Row) -> Adapter:
    return Adapter(
        id=row["id"], owner=row["owner"], name=row["name"], trigger=row["trigger_phrase"],
        parents=to_mapping(row["parents"]), measures=to_mapping(row["measures"]), created=to_moment(row["created"]),
        **{name: row[name] for name in _PLAIN},
    )  # fmt: skip


def _export(row: Row) -> AdapterExport:
    return AdapterExport(
        id=row["id"], adapter_id=row["adapter_id"], format=row["format"], path=row["path"], sha256=row["sha256"],
        bytes=row["bytes"], created=to_moment(row["created"]),
    )  # fmt: skip
