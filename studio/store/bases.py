"""The table of a person's own base models: files of theirs that the studio reads where they are.

A row is all there is: the weights stay in the person's folder, and taking a
base away here deletes none of them.
"""

from __future__ import annotations

from studio.domain.base_model import BaseLocation
from studio.errors import ConflictError, NotFoundError
from studio.store.database import Database, Row
from studio.store.rows import now, to_text


class Bases:
    """Own base models of one owner."""

    def __init__(self, database: Database, owner: str) -> None:
        self._database = database
        self._owner = owner

    def add(self, location: BaseLocation) -> BaseLocation:
        """Remember where a base model lies.

        Raises:
            ConflictError: the owner has a base of that name (upper and lower case are one).
        """
        values = {
            "owner": self._owner, "name": location.name, "title": location.title, "family": location.family,
            "path": location.path, "is_file": int(location.is_file), "resolution": location.resolution,
            "prediction_type": location.prediction_type, "sha256": location.sha256, "created": to_text(now()),
        }  # fmt: skip
        with self._database.transaction():
            if self.find(location.name) is not None:
                raise ConflictError(f"There is already a base model {location.name!r}.", "Choose another name.")
            self._database.insert("bases", values)
        return self.get(location.name)

    def find(self, name: str) -> BaseLocation | None:
        """Return the base of that name, or None."""
        row = self._database.row("SELECT * FROM bases WHERE owner = ? AND name = ?", [self._owner, name.strip()])
        return None if row is None else _location(row)

    def get(self, name: str) -> BaseLocation:
        """Return one base; whether its files are still there is not looked at.

        Raises:
            NotFoundError: no base of that name.
        """
        found = self.find(name)
        if found is None:
            raise NotFoundError(
                f"There is no base model {name!r} of your own.",
                "It may have been deleted; `studio base list` shows what is there.",
                window="It may have been removed; the base models are listed on the Train tab.",
            )
        return found

    def list(self) -> tuple[BaseLocation, ...]:
        """Return the owner's bases by name."""
        rows = self._database.rows("SELECT * FROM bases WHERE owner = ? ORDER BY name", [self._owner])
        return tuple(_location(r) for r in rows)

    def delete(self, name: str) -> None:
        """Forget a base; its files stay.

        Raises:
            NotFoundError: no base of that name.
        """
        if not self._database.execute("DELETE FROM bases WHERE owner = ? AND name = ?", [self._owner, name.strip()]):
            raise NotFoundError(
                f"There is no base model {name!r} of your own.",
                "It may have been deleted; `studio base list` shows what is there.",
                window="It may have been removed; the base models are listed on the Train tab.",
            )


def _location(row: Row) -> BaseLocation:
    return BaseLocation(
        name=row["name"], title=row["title"], family=row["family"], path=row["path"], is_file=bool(row["is_file"]),
        resolution=row["resolution"], prediction_type=row["prediction_type"], sha256=row["sha256"],
    )  # fmt: skip
