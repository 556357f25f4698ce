"""The table of projects."""

from __future__ import annotations

from studio.domain.project import Project
from studio.errors import ConflictError, NotFoundError
from studio.store.database import Database, Row
from studio.store.rows import new_id, now, to_moment, to_text


class Projects:
    """Projects of all owners; every method asks whose."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def add(self, owner: str, name: str, *, notes: str = "") -> Project:
        """Create a project.

        Raises:
            ConflictError: the owner has a project of that name (upper and lower case are one).
        """
        id = new_id()
        values = {"id": id, "owner": owner, "name": name.strip(), "notes": notes, "created": to_text(now())}
        with self._database.transaction():
            if self.find(owner, name) is not None:
                raise ConflictError(f"There is already a project {name.strip()!r}.", "Choose another name.")
            self._database.insert("projects", values)
        return self.get(owner, id)

    def get(self, owner: str, id: str) -> Project:
        """Return one project.

        Raises:
            NotFoundError: no such project for this owner.
        """
        row = self._database.row("SELECT * FROM projects WHERE owner = ? AND id = ?", [owner, id])
        if row is None:
            raise NotFoundError(f"There is no project {id!r}.", "Choose one from the list.")
        return _project(row)

    def find(self, owner: str, name: str) -> Project | None:
        """Return the project of that name, or None."""
        row = self._database.row("SELECT * FROM projects WHERE owner = ? AND name = ?", [owner, name.strip()])
        return None if row is None else _project(row)

    def list(self, owner: str) -> tuple[Project, ...]:
        """Return the owner's projects, oldest first."""
        rows = self._database.rows("SELECT * FROM projects WHERE owner = ? ORDER BY created, id", [owner])
        return tuple(_project(r) for r in rows)

    def delete(self, owner: str, id: str) -> None:
        """Delete a project; its people, photos and renders stay, without a project.

        Raises:
            NotFoundError: no such project for this owner.
        """
        with self._database.transaction():
            self.get(owner, id)
            self._database.execute("DELETE FROM projects WHERE owner = ? AND id = ?", [owner, id])


def _project(row: Row) -> Project:
    return Project(
        id=row["id"], owner=row["owner"], name=row["name"], notes=row["notes"], created=to_moment(row["created"])
    )
