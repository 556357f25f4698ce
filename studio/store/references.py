"""Which rows need which media, read from the schema itself.

A foreign key to `media` says that a row needs those bytes; one that is ON
DELETE CASCADE says the opposite, that the row is about the bytes and goes with
them. So a new table that shows bytes is known here by its migration alone. What
refers to media without a declared key stands in UNDECLARED; a test reads every
column and fails when one is in neither.

In the same way everything that hangs on a row is found by the keys that delete
it along: deleting a person reaches the media of tables that nobody listed.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from studio.store.database import Database

UNDECLARED: tuple[tuple[str, str], ...] = (("render_inputs", "sha256"),)
"""(table, column) that keep media without a foreign key: an input may be gone while its render stays."""


@dataclass(frozen=True)
class Key:
    """One foreign key.

    Attributes:
        columns, to_columns: of the table and of the one it refers to, in the same order.
        cascades: whether rows go with the row they refer to.
    """

    table: str
    columns: tuple[str, ...]
    to_table: str
    to_columns: tuple[str, ...]
    cascades: bool


class References:
    """The references of one open database."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self.keys = tuple(_keys(database))
        declared = [(k.table, _media_column(k)) for k in self.keys if k.to_table == "media" and not k.cascades]
        self.keeping: tuple[tuple[str, str], ...] = (*declared, *UNDECLARED)
        """(table, column) of everything that keeps media of the row's own owner."""
        free = [
            f"NOT EXISTS (SELECT 1 FROM {table} r WHERE r.{column} = m.sha256 AND r.owner = m.owner)"
            for table, column in self.keeping
        ]
        free.append("NOT EXISTS (SELECT 1 FROM jobs j WHERE j.owner = m.owner AND instr(j.params, m.sha256))")
        self.unused = "(" + " AND ".join(free) + ")"
        """SQL: nothing refers to the medium `m`; a waiting job does by naming the hash in its parameters."""

    def going_along(self, owner: str, sha256: str) -> set[str]:
        """Return the media that rows refer to which go with these bytes, such as the matte of a photo."""
        found = set()
        for key in self.keys:
            if key.to_table == "media" and key.cascades:
                where = f"owner = ? AND {_media_column(key)} = ?"
                found |= self._media(key.table, where, [owner, sha256])
        return found

    def media_of(self, roots: Mapping[str, Sequence[str]]) -> set[str]:
        """Return the media of rows and of everything that is deleted along with them.

        Args:
            roots: table -> ids of rows.
        """
        found: set[str] = set()
        for table, ids in roots.items():
            marks = ", ".join("?" for _ in ids)
            for below, where in self._fallen(table, f"id IN ({marks})", ()):
                found |= self._media(below, where, ids)
        return found

    def _fallen(self, table: str, where: str, above: tuple[str, ...]) -> Iterator[tuple[str, str]]:
        """Yield a table with its condition, and each table whose rows go along with theirs."""
        yield table, where
        for key in self.keys:
            if key.to_table == table and key.cascades and key.table not in (*above, table):
                of, to = ", ".join(key.columns), ", ".join(key.to_columns)
                yield from self._fallen(
                    key.table, f"({of}) IN (SELECT {to} FROM {table} WHERE {where})", (*above, table)
                )

    def _media(self, table: str, where: str, parameters: Sequence[str]) -> set[str]:
        """Return the media that some rows of a table keep."""
        found = set()
        for column in (column for keeper, column in self.keeping if keeper == table):
            sql = f"SELECT {column} FROM {table} WHERE {column} IS NOT NULL AND {where}"
            found |= {str(r[0]) for r in self._database.rows(sql, parameters)}
        return found


def _keys(database: Database) -> Iterator[Key]:
    """Yield every foreign key of the schema, by table; one that names no columns means the primary key."""
    sql = """
        SELECT t.name, k.id, k."table", k."from", coalesce(k."to", p.name), k.on_delete
        FROM sqlite_master t JOIN pragma_foreign_key_list(t.name) k
        LEFT JOIN pragma_table_info(k."table") p ON p.pk = k.seq + 1
        WHERE t.type = 'table' ORDER BY t.name, k.id, k.seq"""
    columns: dict[tuple[str, int, str, bool], list[tuple[str, str]]] = {}
    for table, number, to_table, of, to, on_delete in database.rows(sql):
        columns.setdefault((table, number, to_table, on_delete == "CASCADE"), []).append((of, to))
    for (table, _, to_table, cascades), pairs in columns.items():
        yield Key(table, tuple(of for of, _ in pairs), to_table, tuple(to for _, to in pairs), cascades)


def _media_column(key: Key) -> str:
    """Return the column that holds the hash; the other one is the owner."""
    named = dict(zip(key.to_columns, key.columns, strict=True))
    assert named["owner"] == "owner"  # media belong to the owner of the row
    return named["sha256"]
