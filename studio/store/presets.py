"""The table of a person's own presets."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from studio.domain.names import as_read, tidied
from studio.domain.preset import Preset
from studio.errors import NotFoundError
from studio.store.database import Database, Row
from studio.store.media import Media
from studio.store.rows import new_id, now, to_json, to_mapping, to_moment, to_text


class Presets:
    """Presets of one owner."""

    def __init__(self, database: Database, media: Media, owner: str) -> None:
        self._database = database
        self._owner = owner
        self._media = media

    def put(self, kind: str, name: str, values: Mapping[str, Any], *, thumbnail_sha256: str | None = None) -> Preset:
        """Keep values under a name; the name's older values are replaced.

        Raises:
            ConflictError: the thumbnail's bytes are not stored.
        """
        with self._database.transaction():
            old = self._find(kind, name)
            name = tidied(name) if old is None else old.name
            self._database.execute(
                'INSERT INTO presets (id, owner, kind, name, "values", thumbnail_sha256, created)'
                " VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT (owner, kind, name) DO UPDATE SET"
                ' "values" = excluded."values", thumbnail_sha256 = excluded.thumbnail_sha256',
                [new_id(), self._owner, kind, name, to_json(values), thumbnail_sha256, to_text(now())],
            )
            if old is not None and old.thumbnail_sha256 is not None:
                self._media.discard_unused([old.thumbnail_sha256])
        self._media.finish_deletions()
        return self.get(kind, name)

    def get(self, kind: str, name: str) -> Preset:
        """Return one preset.

        Raises:
            NotFoundError: no preset of that kind has that name.
        """
        found = self._find(kind, name)
        if found is None:
            raise NotFoundError(f"There is no {kind} preset {name!r}.", "Choose one from the list.")
        return found

    def list(self, kind: str) -> tuple[Preset, ...]:
        """Return the presets of one kind by name."""
        rows = self._database.rows(
            "SELECT * FROM presets WHERE owner = ? AND kind = ? ORDER BY as_read(name)", [self._owner, kind]
        )
        return tuple(_preset(r) for r in rows)

    def delete(self, kind: str, name: str) -> None:
        """Delete one preset.

        Raises:
            NotFoundError: no preset of that kind has that name.
        """
        with self._database.transaction():
            preset = self.get(kind, name)
            self._database.execute("DELETE FROM presets WHERE owner = ? AND id = ?", [self._owner, preset.id])
            if preset.thumbnail_sha256 is not None:
                self._media.discard_unused([preset.thumbnail_sha256])
        self._media.finish_deletions()

    def _find(self, kind: str, name: str) -> Preset | None:
        """Return the preset of that name, or None."""
        sql = "SELECT * FROM presets WHERE owner = ? AND kind = ? AND as_read(name) = ? ORDER BY id"
        row = self._database.row(sql, [self._owner, kind, as_read(name)])
        return None if row is None else _preset(row)


def _preset(row: Row) -> Preset:
    return Preset(
        id=row["id"], owner=row["owner"], kind=row["kind"], name=row["name"], values=to_mapping(row["values"]),
        thumbnail_sha256=row["thumbnail_sha256"], created=to_moment(row["created"]),
    )  # fmt: skip
