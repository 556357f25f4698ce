"""The table of a person's own presets."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

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
            old = self._database.row(
                "SELECT thumbnail_sha256 FROM presets WHERE owner = ? AND kind = ? AND name = ?",
                [self._owner, kind, name],
            )
            self._database.execute(
                'INSERT INTO presets (id, owner, kind, name, "values", thumbnail_sha256, created)'
                " VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT (owner, kind, name) DO UPDATE SET"
                ' "values" = excluded."values", thumbnail_sha256 = excluded.thumbnail_sha256',
                [new_id(), self._owner, kind, name, to_json(values), thumbnail_sha256, to_text(now())],
            )
            if old is not None and old[0] is not None:
                self._media.discard_unused([old[0]])
        self._media.finish_deletions()
        return self.get(kind, name)

    def get(self, kind: str, name: str) -> Preset:
        """Return one preset.

        Raises:
            NotFoundError: no preset of that kind has that name.
        """
        row = self._database.row(
            "SELECT * FROM presets WHERE owner = ? AND kind = ? AND name = ?", [self._owner, kind, name]
        )
        if row is None:
            raise NotFoundError(f"There is no {kind} preset {name!r}.", "Choose one from the list.")
        return _preset(row)

    def list(self, kind: str) -> tuple[Preset, ...]:
        """Return the presets of one kind by name."""
        rows = self._database.rows(
            "SELECT * FROM presets WHERE owner = ? AND kind = ? ORDER BY name", [self._owner, kind]
        )
        return tuple(_preset(r) for r in rows)

    def delete(self, kind: str, name: str) -> None:
        """Delete one preset.

        Raises:
            NotFoundError: no preset of that kind has that name.
        """
        with self._database.transaction():
            preset = self.get(kind, name)
            self._database.execute(
                "DELETE FROM presets WHERE owner = ? AND kind = ? AND name = ?", [self._owner, kind, name]
            )
            if preset.thumbnail_sha256 is not None:
                self._media.discard_unused([preset.thumbnail_sha256])
        self._media.finish_deletions()


def _preset(row: Row) -> Preset:
    return Preset(
        id=row["id"], owner=row["owner"], kind=row["kind"], name=row["name"], values=to_mapping(row["values"]),
        thumbnail_sha256=row["thumbnail_sha256"], created=to_moment(row["created"]),
    )  # fmt: skip
