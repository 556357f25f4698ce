"""Rows that leave for another studio and come in from one: a project or a person with everything that belongs to them.

What leaves keeps its ids, so a bundle that comes in twice, or comes home, adds only what is not there. Nothing that is
there is overwritten, but for one thing: a consent that was taken back on either side stays taken back.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from studio.store.bundle_tables import CARRIED, FORGOTTEN, KEYS, LEFT_OUT, Rows
from studio.store.merging import Merged, Merging, UnfitRows
from studio.store.migrations import NAMES

if TYPE_CHECKING:
    from studio.store import OwnerStore


@dataclass(frozen=True)
class Gathered:
    """What leaves.

    Attributes:
        media: sha256 of every file that the rows need and that is there.
        schema: the newest step of the schema that they fit.
        mixed: adapters that stay, since they hold somebody else's likeness too.
    """

    rows: Rows
    media: tuple[str, ...]
    schema: str
    mixed: tuple[str, ...] = ()


class Bundles:
    """Gathers and merges the rows of one owner."""

    def __init__(self, store: OwnerStore) -> None:
        self._store, self._database, self._owner = store, store.database, store.owner

    # -- out ---------------------------------------------------------------------------

    def people_of(self, project_id: str) -> tuple[str, ...]:
        """Return who is in a project, or in a photo, training or render of it."""
        sql = " UNION ".join(
            f"SELECT {column} FROM {table} WHERE owner = :owner AND project_id = :project AND {column} IS NOT NULL"
            for table, column in (
                ("identities", "id"), ("photos", "identity_id"), ("runs", "identity_id"), ("renders", "identity_id"),
            )
        )  # fmt: skip
        found = self._database.rows(sql, {"owner": self._owner, "project": project_id})
        return tuple(sorted(str(row[0]) for row in found))

    def gather(
        self,
        people: Sequence[str],
        *,
        project_id: str | None = None,
        nobodys: bool = False,
        without: Collection[str] = (),
    ) -> Gathered:
        """Return the rows of people, and of what shows nobody.

        Args:
            people: ids; adapters that hold somebody else's likeness too do not leave with theirs.
            project_id: also its photos and renders of nobody, and performances that are nobody's.
            nobodys: also all photos, renders and performances of nobody.
            without: ids of renders that stay.
        """
        with self._database.transaction():  # one moment for all tables
            return self._gather(tuple(dict.fromkeys(people)), project_id, nobodys, without)

    def _gather(
        self, people: tuple[str, ...], project_id: str | None, nobodys: bool, without: Collection[str]
    ) -> Gathered:
        of_people = f"IN ({_marks(people)})"
        nobody = "OR (identity_id IS NULL AND project_id = ?)" if project_id else ""
        nobody = "OR identity_id IS NULL" if nobodys else nobody
        more = [project_id] if project_id and not nobodys else []
        rows: Rows = {}
        rows["identities"] = self._rows("identities", f"id {of_people}", people)
        for table in ("consents", "caption_policies", "runs"):
            rows[table] = self._rows(table, f"identity_id {of_people}", people)
        rows["photos"] = self._rows("photos", f"(identity_id {of_people} {nobody})", [*people, *more])
        for table in ("curated_photos", "embeddings", "variants"):
            rows[table] = self._of(table, "photo_id", _ids(rows["photos"]))
        for table in ("checkpoints", "run_metrics", "run_samples", "grid_cells"):
            rows[table] = self._of(table, "run_id", _ids(rows["runs"]))
        held = self._rows("adapter_people", f"identity_id {of_people}", people)
        names = {str(r["adapter_id"]) for r in held}
        whole = [a for a in sorted(names) if set(self._store.adapters.people(a)) <= set(people)]
        rows["adapters"] = self._of("adapters", "id", whole)
        rows["adapter_people"] = self._of("adapter_people", "adapter_id", whole)
        own = "OR identity_id IS NULL" if project_id or nobodys else ""
        rows["performances"] = self._rows("performances", f"(identity_id {of_people} {own})", people)
        for table in ("performance_steps", "performance_media"):
            rows[table] = self._of(table, "performance_id", _ids(rows["performances"]))
        where = f"deleted IS NULL AND (identity_id {of_people} {nobody})"
        renders = self._rows("renders", where, [*people, *more], order="number")
        rows["renders"] = [render for render in renders if render["id"] not in without]
        for render in rows["renders"]:
            sql = "SELECT search_text FROM render_text t JOIN renders r ON r.number = t.rowid WHERE r.id = ?"
            render["search_text"] = self._database.value(sql, [render["id"]]) or ""
        for table in ("recipes", "render_inputs"):
            rows[table] = self._of(table, "render_id", _ids(rows["renders"]))
        projects = {r["project_id"] for t in ("identities", "photos", "runs", "renders") for r in rows[t]} - {None}
        rows["projects"] = self._of("projects", "id", sorted({*projects, *more}))
        _cut(rows)
        media = sorted(sha256 for sha256 in self._media_of(rows) if self._store.media.has(sha256))
        mixed = tuple(self._store.adapters.get(a).name for a in sorted(names.difference(whole)))
        return Gathered({t: rows[t] for t in CARRIED}, tuple(media), NAMES[-1], mixed)

    def _rows(self, table: str, where: str, values: Sequence[Any], *, order: str = "") -> list[dict[str, Any]]:
        sql = f"SELECT * FROM {table} WHERE owner = ? AND {where} ORDER BY {order or ', '.join(KEYS[table])}"
        left = ("owner", *LEFT_OUT.get(table, ()))
        return [
            {name: _plain(row[name]) for name in row.keys() if name not in left} | FORGOTTEN.get(table, {})  # noqa: SIM118 - rows are no mappings
            for row in self._database.rows(sql, [self._owner, *values])
        ]

    def _of(self, table: str, column: str, values: Sequence[str]) -> list[dict[str, Any]]:
        return [row for value in dict.fromkeys(values) for row in self._rows(table, f"{column} = ?", [value])]

    def _media_of(self, rows: Rows) -> set[str]:
        found = set()
        for table, column in self._store.media.shown_in:
            found |= {str(r[column]) for r in rows.get(table, ()) if r.get(column) is not None}
        return found

    # -- in ----------------------------------------------------------------------------

    def merge(self, rows: Rows, project_id: str | None = None) -> Merged:
        """Write what is not there yet; all of it, or nothing.

        Call where the media are kept already, see `Media.keeping`.

        Args:
            rows: as `gather` returned them.
            project_id: everything goes into this project; else into the one of the same id or name, else a new one.

        Raises:
            UnfitRows: they are none of ours, or do not fit together.
            ConflictError: they refer to what is not there.
        """
        merging = Merging(self._store, project_id)
        try:
            with self._database.transaction():
                for table in CARRIED:
                    merging.add(table, rows.get(table, []))
                merging.read_again()
        except (KeyError, TypeError, AttributeError, IndexError, binascii.Error) as exc:
            raise UnfitRows(f"{type(exc).__name__}: {exc}") from exc
        return merging.merged


def _cut(rows: Rows) -> None:
    """Let no row refer to what stays here."""
    photos, renders = {r["id"] for r in rows["photos"]}, {r["id"] for r in rows["renders"]}
    runs = {r["id"] for r in rows["runs"]}
    checkpoints = {r["id"] for r in rows["checkpoints"]}
    for render in rows["renders"]:
        render["photo_id"] = render["photo_id"] if render["photo_id"] in photos else None
        render["parent_id"] = render["parent_id"] if render["parent_id"] in renders else None
    # a render may be made from one that was made later: written in any order, it finds its parent
    parents = {r["id"]: r["parent_id"] for r in rows["renders"]}
    rows["renders"].sort(key=lambda r: len(_line(parents, r["id"])))
    for adapter in rows["adapters"]:
        adapter["run_id"] = adapter["run_id"] if adapter["run_id"] in runs else None
        adapter["checkpoint_id"] = adapter["checkpoint_id"] if adapter["checkpoint_id"] in checkpoints else None


def _line(parents: Mapping[str, str | None], id: str) -> list[str]:
    """Return what a render comes from, itself first."""
    line: list[str] = []
    here: str | None = id
    while here is not None and here not in line:
        line.append(here)
        here = parents.get(here)
    return line


def _plain(value: Any) -> Any:
    return {"base64": base64.b64encode(value).decode("ascii")} if isinstance(value, bytes) else value


def _ids(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    return [str(row["id"]) for row in rows]


def _marks(values: Sequence[str]) -> str:
    return ", ".join("?" for _ in values)
