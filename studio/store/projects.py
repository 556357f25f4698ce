"""The table of projects."""

from __future__ import annotations

from studio.domain.names import as_read, tidied
from studio.domain.project import Project
from studio.errors import ConflictError, NotFoundError
from studio.store.database import Database, Row
from studio.store.rows import new_id, now, to_moment, to_text


class Projects:
    """Projects of one owner."""

    def __init__(self, database: Database, owner: str) -> None:
        self._database = database
        self._owner = owner

    def add(self, name: str, *, notes: str = "") -> Project:
        """Create a project.

        Raises:
            ConflictError: the owner has a project of that name (see domain/names).
        """
        id = new_id()
        values = {"id": id, "owner": self._owner, "name": tidied(name), "notes": notes, "created": to_text(now())}
        with self._database.transaction():
            if self.find(name) is not None:
                raise ConflictError(f"There is already a project {tidied(name)!r}.", "Choose another name.")
            self._database.insert("projects", values)
        return self.get(id)

    def get(self, id: str) -> Project:
        """Return one project.

        Raises:
            NotFoundError: no such project for this owner.
        """
        row = self._database.row("SELECT * FROM projects WHERE owner = ? AND id = ?", [self._owner, id])
        if row is None:
            raise NotFoundError.row("project", id, "the list")
        return _project(row)

    def find(self, name: str) -> Project | None:
        """Return the project of that name, or None."""
        sql = "SELECT * FROM projects WHERE owner = ? AND as_read(name) = ? ORDER BY id"
        row = self._database.row(sql, [self._owner, as_read(name)])
        return None if row is None else _project(row)

    def list(self) -> tuple[Project, ...]:
        """Return the owner's projects, oldest first."""
        rows = self._database.rows("SELECT * FROM projects WHERE owner = ? ORDER BY created, id", [self._owner])
        return tuple(_project(r) for r in rows)

    def delete(self, id: str) -> None:
        """Delete a project; its people, photos and renders stay, without a project.

        Raises:
            NotFoundError: no such project for this owner.
        """
        with self._database.transaction():
            self.get(id)
            self._database.execute("DELETE FROM projects WHERE owner = ? AND id = ?", [self._owner, id])


def _project(row: Row) -> Project:
    return Project(
        id=row["id"], owner=row["owner"], name=row["name"], notes=row["notes"], created=to_moment(row["created"])
    )
