"""The table of what engines fitted to photos."""

from __future__ import annotations

from collections.abc import Mapping

from studio.domain.photo import Rig
from studio.store.database import Database
from studio.store.rows import new_id, now, to_json, to_mapping, to_moment, to_text


class Rigs:
    """Rigs of one owner."""

    def __init__(self, database: Database, owner: str) -> None:
        self._database = database
        self._owner = owner

    def put(
        self,
        photo_id: str,
        engine: str,
        engine_version: str,
        fit: bytes,
        *,
        summary: Mapping[str, float] | None = None,
    ) -> Rig:
        """Keep a fit; one per photo, engine and engine version, the newest wins.

        Raises:
            ConflictError: the photo is not stored.
        """
        values = {
            "id": new_id(), "owner": self._owner, "photo_id": photo_id, "engine": engine,
            "engine_version": engine_version, "fit": fit, "summary": to_json(dict(summary or {})),
            "created": to_text(now()),
        }  # fmt: skip
        with self._database.transaction():
            self._database.execute(
                "DELETE FROM rigs WHERE owner = ? AND photo_id = ? AND engine = ? AND engine_version = ?",
                [self._owner, photo_id, engine, engine_version],
            )
            self._database.insert("rigs", values)
            kept = self.find(photo_id, engine, engine_version)
        assert kept is not None  # written just now under the write lock
        return kept

    def find(self, photo_id: str, engine: str, engine_version: str) -> Rig | None:
        """Return the fit of exactly this engine version, or None: another version's fit is another fit."""
        row = self._database.row(
            "SELECT * FROM rigs WHERE owner = ? AND photo_id = ? AND engine = ? AND engine_version = ?",
            [self._owner, photo_id, engine, engine_version],
        )
        if row is None:
            return None
        return Rig(
            id=row["id"], owner=row["owner"], photo_id=row["photo_id"], engine=row["engine"],
            engine_version=row["engine_version"], fit=row["fit"], summary=to_mapping(row["summary"]),
            created=to_moment(row["created"]),
        )  # fmt: skip
