"""The tables of performances with layers: their states, one after the other, and the media that these need.

Each change is a state of its own, so that it can be taken back, also after the
studio was closed. A change after something was taken back forgets what could
have been brought back.
"""

from __future__ import annotations

from collections.abc import Sequence

from studio.domain.names import as_read, free_name
from studio.domain.performance_document import KeptPerformance, PerformanceDocument, document_of
from studio.errors import NotFoundError, UserInputError
from studio.store.database import Database, Row
from studio.store.media import Media
from studio.store.rows import new_id, now, to_json, to_mapping, to_moment, to_text

MOST_STEPS = 200
"""So many changes can be taken back."""


class Performances:
    """Performances of one owner."""

    def __init__(self, database: Database, media: Media, owner: str) -> None:
        self._database = database
        self._media = media
        self._owner = owner

    def add(self, name: str, document: PerformanceDocument, title: str, identity_id: str | None) -> KeptPerformance:
        """Keep a new performance; a name that is taken gets a number.

        Args:
            title: what its first state is called.

        Raises:
            ConflictError: a medium of it is not stored.
        """
        id, moment = new_id(), to_text(now())
        with self._database.transaction():
            self._database.insert(
                "performances",
                {"id": id, "owner": self._owner, "name": self._free(name), "identity_id": identity_id, "step": 0,
                 "created": moment, "changed": moment},
            )  # fmt: skip
            self._put(id, 0, document, title)
        return self.get(id)

    def get(self, id: str) -> KeptPerformance:
        """Return one performance as it is now.

        Args:
            id: its id, or its name.

        Raises:
            NotFoundError: no such performance for this owner.
        """
        row = self._database.row("SELECT * FROM performances WHERE owner = ? AND id = ?", [self._owner, id])
        row = row or self._database.row(
            "SELECT * FROM performances WHERE owner = ? AND as_read(name) = ?", [self._owner, as_read(id)]
        )
        if row is None:
            raise NotFoundError.row("performance", id, "`studio performance list`")
        return self._kept(row)

    def list(self) -> tuple[KeptPerformance, ...]:
        """Return all performances, the one changed last first."""
        sql = "SELECT * FROM performances WHERE owner = ? ORDER BY changed DESC, id DESC"
        return tuple(self._kept(row) for row in self._database.rows(sql, [self._owner]))

    def states(self, id: str) -> Sequence[PerformanceDocument]:
        """Return every state of a performance that can be gone back or forth to, oldest first.

        Raises:
            NotFoundError: no such performance.
        """
        return [self._document(row["document"]) for row in self._steps(self.get(id).id)]

    def change(self, id: str, document: PerformanceDocument, title: str) -> KeptPerformance:
        """Keep another state of a performance; one that is the same is no change.

        Raises:
            NotFoundError: no such performance.
            ConflictError: a medium of it is not stored.
        """
        with self._database.transaction():
            kept = self.get(id)
            if kept.document == document:
                return kept
            step = self._step(kept.id)
            self._database.execute(
                "DELETE FROM performance_steps WHERE owner = ? AND performance_id = ? AND (step > ? OR step <= ?)",
                [self._owner, kept.id, step, step + 1 - MOST_STEPS],
            )
            self._put(kept.id, step + 1, document, title)
            self._move(kept.id, step + 1)
            self._forget_media(kept.id)
        self._media.finish_deletions()
        return self.get(kept.id)

    def step(self, id: str, by: int) -> KeptPerformance:
        """Take the last change back (-1), or bring back what was taken back last (1).

        Raises:
            UserInputError: there is nothing to take or bring back.
            NotFoundError: no such performance.
        """
        with self._database.transaction():
            kept = self.get(id)
            if (kept.undoes if by < 0 else kept.redoes) is None:
                verb = "take" if by < 0 else "bring"
                raise UserInputError(f"There is nothing to {verb} back in {kept.name}.", "Change a layer first.")
            self._move(kept.id, self._step(kept.id) + by)
        return self.get(kept.id)

    def rename(self, id: str, name: str) -> KeptPerformance:
        """Give a performance another name; one that is taken gets a number."""
        with self._database.transaction():
            kept = self.get(id)
            if as_read(name) != as_read(kept.name):
                self._database.execute(
                    "UPDATE performances SET name = ? WHERE owner = ? AND id = ?",
                    [self._free(name), self._owner, kept.id],
                )
        return self.get(kept.id)

    def delete(self, id: str) -> None:
        """Delete a performance with its whole history."""
        with self._database.transaction():
            kept = self.get(id)
            media = self._media.of_rows({"performances": [kept.id]})
            self._database.execute("DELETE FROM performances WHERE owner = ? AND id = ?", [self._owner, kept.id])
            self._media.discard_unused(media)
        self._media.finish_deletions()

    # -- parts -------------------------------------------------------------------------

    def _put(self, id: str, step: int, document: PerformanceDocument, title: str) -> None:
        self._database.insert(
            "performance_steps",
            {"owner": self._owner, "performance_id": id, "step": step, "title": title,
             "document": to_json(document.as_json()), "created": to_text(now())},
        )  # fmt: skip
        for sha256 in sorted(set(document.media.values())):
            self._database.execute(
                "INSERT OR IGNORE INTO performance_media (owner, performance_id, sha256) VALUES (?, ?, ?)",
                [self._owner, id, sha256],
            )

    def _forget_media(self, id: str) -> None:
        """Let go of media that no state needs any more."""
        needed = {sha256 for row in self._steps(id) for sha256 in self._document(row["document"]).media.values()}
        rows = self._database.rows(
            "SELECT sha256 FROM performance_media WHERE owner = ? AND performance_id = ?", [self._owner, id]
        )
        gone = {str(row["sha256"]) for row in rows} - needed
        for sha256 in gone:
            self._database.execute(
                "DELETE FROM performance_media WHERE owner = ? AND performance_id = ? AND sha256 = ?",
                [self._owner, id, sha256],
            )
        self._media.discard_unused(gone)

    def _step(self, id: str) -> int:
        return int(self._database.value("SELECT step FROM performances WHERE owner = ? AND id = ?", [self._owner, id]))

    def _move(self, id: str, step: int) -> None:
        self._database.execute(
            "UPDATE performances SET step = ?, changed = ? WHERE owner = ? AND id = ?",
            [step, to_text(now()), self._owner, id],
        )

    def _steps(self, id: str) -> Sequence[Row]:
        sql = "SELECT * FROM performance_steps WHERE owner = ? AND performance_id = ? ORDER BY step"
        return self._database.rows(sql, [self._owner, id])

    def _free(self, name: str) -> str:
        """Return a name that no performance has: the name, or the name with a number."""
        names = self._database.rows("SELECT name FROM performances WHERE owner = ?", [self._owner])
        return free_name(name, (str(row["name"]) for row in names))

    def _kept(self, row: Row) -> KeptPerformance:
        step = int(row["step"])
        around = {
            int(r["step"]): r
            for r in self._database.rows(
                "SELECT step, title, document FROM performance_steps"
                " WHERE owner = ? AND performance_id = ? AND step BETWEEN ? AND ?",
                [self._owner, row["id"], step - 1, step + 1],
            )
        }
        return KeptPerformance(
            id=row["id"], name=row["name"], document=self._document(around[step]["document"]),
            identity_id=row["identity_id"], undoes=around[step]["title"] if step - 1 in around else None,
            redoes=around[step + 1]["title"] if step + 1 in around else None,
            created=to_moment(row["created"]), changed=to_moment(row["changed"]),
        )  # fmt: skip

    def _document(self, text: str) -> PerformanceDocument:
        return document_of(to_mapping(text), "A kept performance")
