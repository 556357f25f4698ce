"""The table of steps: how the rows of curation were before each change, so that it can be taken back.

A change is written by `change`, which returns the row as it was; `remember`
keeps such rows as one step, and `undo` puts those of the newest step back. What
the rows mean is not known here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from studio.store.database import Database, Row
from studio.store.rows import now, to_json, to_mapping, to_text

_KEYS: Mapping[str, tuple[str, ...]] = {
    "intake_photos": ("id",),
    "intake_names": ("intake_id", "face"),
    "intake_links": ("intake_id", "first", "second"),
    "intakes": ("id",),
    "curated_photos": ("photo_id",),
    "caption_policies": ("identity_id", "trait"),
}
"""Tables whose rows a person changes, and what names a row."""


@dataclass(frozen=True)
class Step:
    """One change that can be taken back.

    Attributes:
        title: one line for the person.
        photos: ids of photos that the step added.
        identities: ids of people that the step added.
    """

    number: int
    title: str
    photos: tuple[str, ...] = ()
    identities: tuple[str, ...] = ()


class Steps:
    """Steps of one owner, each of one intake or of one person's set."""

    def __init__(self, database: Database, owner: str) -> None:
        self._database = database
        self._owner = owner

    def change(self, table: str, key: Mapping[str, Any], values: Mapping[str, Any] | None) -> list[Any]:
        """Write a row (None deletes it; existing rows keep columns that are not named); return how it was before.

        Raises:
            ConflictError: the row is another owner's.
        """
        where = " AND ".join([*(f"{c} = ?" for c in _KEYS[table]), "owner = ?"])
        names = [*(key[c] for c in _KEYS[table]), self._owner]
        row = self._database.row(f"SELECT * FROM {table} WHERE {where}", names)
        before = None if row is None else {c: row[c] for c in row.keys()}  # noqa: SIM118 (a Row iterates over values)
        if values is None:
            self._database.execute(f"DELETE FROM {table} WHERE {where}", names)
        elif before is None:
            self._database.insert(table, {"owner": self._owner, **key, **values})
        else:
            columns = ", ".join(f"{c} = ?" for c in values)
            self._database.execute(f"UPDATE {table} SET {columns} WHERE {where}", [*values.values(), *names])
        return [table, dict(key), before]

    def remember(
        self,
        title: str,
        before: Sequence[Any],
        *,
        intake_id: str | None = None,
        identity_id: str | None = None,
        photos: Sequence[str] = (),
        identities: Sequence[str] = (),
    ) -> None:
        """Keep a step; call it in the transaction of its changes.

        Args:
            before: what `change` returned, in order.
            photos, identities: ids of what the step added.
        """
        added = {"photos": list(photos), "identities": list(identities)}
        self._database.insert(
            "curation_steps",
            {"owner": self._owner, "intake_id": intake_id, "identity_id": identity_id, "title": title,
             "before": to_json({"rows": list(before), **added}), "created": to_text(now())},
        )  # fmt: skip

    def last(self, *, intake_id: str | None = None, identity_id: str | None = None) -> Step | None:
        """Return the newest change of an intake or of a person's set, or None."""
        row = self._row(intake_id, identity_id)
        return None if row is None else _step(row)

    def undo(self, *, intake_id: str | None = None, identity_id: str | None = None) -> Step | None:
        """Put the rows of the newest change back and return it; None when there is nothing to take back.

        Photos and people that the step added are the caller's to delete.
        """
        with self._database.transaction():
            row = self._row(intake_id, identity_id)
            if row is None:
                return None
            for table, key, values in reversed(to_mapping(row["before"])["rows"]):
                self.change(table, key, None if values is None else {c: v for c, v in values.items() if c not in key})
            self._database.execute("DELETE FROM curation_steps WHERE number = ?", [row["number"]])
            return _step(row)

    def _row(self, intake_id: str | None, identity_id: str | None) -> Row | None:
        return self._database.row(
            "SELECT * FROM curation_steps WHERE owner = ? AND intake_id IS ? AND identity_id IS ?"
            " ORDER BY number DESC LIMIT 1",
            [self._owner, intake_id, identity_id],
        )


def _step(row: Row) -> Step:
    kept = to_mapping(row["before"])
    return Step(row["number"], row["title"], tuple(kept.get("photos", ())), tuple(kept.get("identities", ())))
