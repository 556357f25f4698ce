"""The tables of curation: what was measured in pictures, intakes, and curated photos.

A change that a person makes is written by `_change`, which first keeps the row
as it was in a step; `undo` puts those rows back. Measurements are no changes:
they belong to the bytes and are made again when they are missing.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from typing import Any

import numpy as np

from studio.domain.curation import Analysis, CropBox, Decision, Intake, IntakeFace, IntakePhoto
from studio.domain.face import DetectedFace, FaceEmbedding
from studio.domain.traits import Measures, Policy
from studio.errors import NotFoundError
from studio.store.database import Database, Row
from studio.store.media import Media
from studio.store.photos import face_from_json, face_to_json
from studio.store.rows import new_id, now, to_json, to_mapping, to_moment, to_moment_or_none, to_text

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
class NewFile:
    """One file of a new intake; `sha256` is None where it could not be copied, and `problem` says why."""

    file_name: str
    sha256: str | None
    problem: str = ""
    hint: str = ""


@dataclass(frozen=True)
class PhotoChoice:
    """What a person decided about one of their photos; None leaves it to the studio."""

    kept: bool | None = None
    caption: str | None = None
    crop: CropBox | None = None


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


class Curation:
    """Curation of all owners; every method asks whose."""

    def __init__(self, database: Database, media: Media) -> None:
        self._database = database
        self._media = media

    # -- what was measured -----------------------------------------------------

    def put_analysis(self, owner: str, analysis: Analysis, looks: Mapping[int, bytes] | None = None) -> None:
        """Keep what was measured in stored bytes; the newest wins.

        Args:
            looks: small JPEGs for lists; number -1 is the whole photo, 0 and up its faces.

        Raises:
            ConflictError: the bytes are not stored.
        """
        key = [owner, analysis.sha256]
        print_ = None if analysis.fingerprint is None else f"{analysis.fingerprint:016x}"
        with self._database.transaction():
            self._database.execute("DELETE FROM photo_analyses WHERE owner = ? AND sha256 = ?", key)
            self._database.insert(
                "photo_analyses",
                {
                    "owner": owner, "sha256": analysis.sha256, "version": analysis.version, "width": analysis.width,
                    "height": analysis.height, "fingerprint": print_, "problem": analysis.problem,
                    "hint": analysis.hint, "mask_sha256": analysis.mask_sha256, "created": to_text(now()),
                },
            )  # fmt: skip
            for found in analysis.faces:
                self._database.insert("photo_faces", {"owner": owner, "sha256": analysis.sha256} | _face_row(found))
            for number, jpeg in (looks or {}).items():
                values = {"owner": owner, "sha256": analysis.sha256, "number": number, "jpeg": jpeg}
                self._database.insert("photo_looks", values)

    def analysis(self, owner: str, sha256: str, version: str) -> Analysis | None:
        """Return what this version of the studio measured in the bytes, or None."""
        row = self._database.row(
            "SELECT * FROM photo_analyses WHERE owner = ? AND sha256 = ? AND version = ?", [owner, sha256, version]
        )
        if row is None:
            return None
        sql = "SELECT * FROM photo_faces WHERE owner = ? AND sha256 = ? ORDER BY face_index"
        return _analysis(row, self._database.rows(sql, [owner, sha256]), sha256)

    def look(self, owner: str, sha256: str, number: int) -> bytes | None:
        """Return a small JPEG of a photo (-1) or of one of its faces, or None."""
        sql = "SELECT jpeg FROM photo_looks WHERE owner = ? AND sha256 = ? AND number = ?"
        found: bytes | None = self._database.value(sql, [owner, sha256, number])
        return found

    def forget_measures(self, owner: str, media: Iterable[str]) -> set[str]:
        """Delete what was measured in these bytes; return the hashes of the mattes that went with it."""
        masks = set()
        for sha256 in media:
            key = [owner, sha256]
            mask = self._database.value("SELECT mask_sha256 FROM photo_analyses WHERE owner = ? AND sha256 = ?", key)
            self._database.execute("DELETE FROM photo_analyses WHERE owner = ? AND sha256 = ?", key)
            masks |= {mask} - {None}
        return masks

    # -- intakes ---------------------------------------------------------------

    def add_intake(
        self,
        owner: str,
        title: str,
        files: Sequence[NewFile],
        *,
        identity_id: str | None = None,
        notes: Sequence[str] = (),
    ) -> str:
        """Record dropped files and return the intake's id; bytes are in the media store already.

        Raises:
            ConflictError: bytes or the person are not stored.
        """
        id = new_id()
        with self._database.transaction():
            self._database.insert(
                "intakes",
                {"id": id, "owner": owner, "title": title, "identity_id": identity_id,
                 "notes": to_json({"notes": list(notes)}), "created": to_text(now())},
            )  # fmt: skip
            for position, file in enumerate(files):
                self._database.insert(
                    "intake_photos",
                    {"id": new_id(), "owner": owner, "intake_id": id, "position": position,
                     "file_name": file.file_name, "sha256": file.sha256, "problem": file.problem, "hint": file.hint},
                )  # fmt: skip
        return id

    def set_job(self, owner: str, intake_id: str, job_id: str) -> None:
        """Remember which job analyses the intake."""
        self._database.execute("UPDATE intakes SET job_id = ? WHERE owner = ? AND id = ?", [job_id, owner, intake_id])

    def intake(self, owner: str, id: str, version: str) -> Intake:
        """Return one intake with everything this version of the studio measured.

        Raises:
            NotFoundError: no such intake for this owner.
        """
        row = self._database.row("SELECT * FROM intakes WHERE owner = ? AND id = ?", [owner, id])
        if row is None:
            raise NotFoundError(f"There is no intake {id!r}.", "Drop the photos again on the Identities tab.")
        names = self._database.rows("SELECT face, name FROM intake_names WHERE intake_id = ? ORDER BY rowid", [id])
        links = self._database.rows(
            "SELECT first, second, same FROM intake_links WHERE intake_id = ? ORDER BY rowid", [id]
        )
        return replace(
            _intake(row), photos=self._intake_photos(owner, id, version), names={r["face"]: r["name"] for r in names},
            links=tuple((r["first"], r["second"], bool(r["same"])) for r in links),
        )  # fmt: skip

    def intakes(self, owner: str) -> tuple[Intake, ...]:
        """Return all intakes, newest first, without their photos."""
        rows = self._database.rows("SELECT * FROM intakes WHERE owner = ? ORDER BY created DESC, id DESC", [owner])
        return tuple(_intake(r) for r in rows)

    def delete_intake(self, owner: str, id: str) -> None:
        """Forget an intake with its answers; photos that were taken over stay.

        Raises:
            NotFoundError: no such intake for this owner.
        """
        with self._database.transaction():
            media = self.media_of(owner, [id])
            if not self._database.execute("DELETE FROM intakes WHERE owner = ? AND id = ?", [owner, id]):
                raise NotFoundError(f"There is no intake {id!r}.", "It was discarded already.")
            self._media.discard_unused(owner, media)
        self._media.finish_deletions()

    def touching(self, owner: str, identity_id: str) -> tuple[str, ...]:
        """Return ids of intakes in which a person is: meant, named, or seen in one of their photos."""
        rows = self._database.rows(
            """
            SELECT id FROM intakes i WHERE owner = :owner AND (identity_id = :id
                OR EXISTS (SELECT 1 FROM intake_names n WHERE n.intake_id = i.id AND n.identity_id = :id)
                OR EXISTS (SELECT 1 FROM intake_photos f JOIN photos p ON p.owner = f.owner AND p.sha256 = f.sha256
                    WHERE f.intake_id = i.id AND p.identity_id = :id))
            ORDER BY id""",
            {"owner": owner, "id": identity_id},
        )
        return tuple(r[0] for r in rows)

    def media_of(self, owner: str, intake_ids: Sequence[str]) -> set[str]:
        """Return the hashes of the bytes intakes hold."""
        marks = ", ".join("?" for _ in intake_ids)
        sql = f"SELECT sha256 FROM intake_photos WHERE owner = ? AND sha256 IS NOT NULL AND intake_id IN ({marks})"
        return {r[0] for r in self._database.rows(sql, [owner, *intake_ids])}

    # -- changes, which can be taken back ----------------------------------------

    def decide(
        self, owner: str, intake_id: str, photo_ids: Sequence[str], decision: Decision | None, title: str
    ) -> None:
        """Keep or drop photos of an intake; None leaves them to the review."""
        with self._database.transaction():
            before = [self._change("intake_photos", {"id": p}, {"decision": decision}) for p in photo_ids]
            self._remember(owner, title, before, intake_id=intake_id)

    def name_face(
        self,
        owner: str,
        intake_id: str,
        face: str,
        name: str,
        *,
        clear: Sequence[str] = (),
        identity_id: str | None = None,
    ) -> None:
        """Name the cluster around a face; an empty name takes it away.

        Args:
            clear: other faces of the cluster whose names go.
        """
        with self._database.transaction():
            before = [self._change("intake_names", {"intake_id": intake_id, "face": f}, None) for f in clear]
            values = {"owner": owner, "name": name, "identity_id": identity_id} if name else None
            before.append(self._change("intake_names", {"intake_id": intake_id, "face": face}, values))
            self._remember(owner, f"Name “{name}”" if name else "No name", before, intake_id=intake_id)

    def link(self, owner: str, intake_id: str, first: str, second: str, same: bool | None, title: str) -> None:
        """Record that two faces are one person, or are not; None takes an answer back."""
        first, second = sorted((first, second))
        values = None if same is None else {"owner": owner, "same": int(same)}
        with self._database.transaction():
            key = {"intake_id": intake_id, "first": first, "second": second}
            self._remember(owner, title, [self._change("intake_links", key, values)], intake_id=intake_id)

    def confirm(
        self, owner: str, intake_id: str, *, people: Mapping[str, str], names: Mapping[str, str], step: Step
    ) -> None:
        """Mark an intake as taken over.

        Args:
            people: face key -> identity id of the cluster around it.
            names: face key -> name.
            step: what was added, for taking it back.
        """
        with self._database.transaction():
            before = [self._change("intakes", {"id": intake_id}, {"confirmed": to_text(now())})]
            for face, identity_id in people.items():
                key = {"intake_id": intake_id, "face": face}
                before.append(
                    self._change("intake_names", key, {"owner": owner, "name": names[face], "identity_id": identity_id})
                )
            self._remember(owner, step.title, before, intake_id=intake_id, step=step)

    def choose(self, owner: str, identity_id: str, choices: Mapping[str, Mapping[str, Any]], title: str) -> None:
        """Change what a person decided about their photos.

        Args:
            choices: photo id -> columns to change: kept (bool or None), caption (text or None), crop (CropBox or None).
        """
        with self._database.transaction():
            before = []
            for photo_id, values in choices.items():
                row = {**_EMPTY_CHOICE, **self._choice_row(owner, photo_id), "owner": owner, **_choice_columns(values)}
                before.append(self._change("curated_photos", {"photo_id": photo_id}, row))
            self._remember(owner, title, before, identity_id=identity_id)

    def set_policy(self, owner: str, identity_id: str, trait: str, policy: Policy) -> None:
        """Say whether captions of a person's photos describe a trait."""
        with self._database.transaction():
            key = {"identity_id": identity_id, "trait": trait}
            before = [self._change("caption_policies", key, {"owner": owner, "policy": policy})]
            self._remember(owner, f"{trait.capitalize()}: {policy}", before, identity_id=identity_id)

    def choices(self, owner: str, identity_id: str) -> dict[str, PhotoChoice]:
        """Return what was decided about a person's photos, by photo id."""
        rows = self._database.rows(
            "SELECT c.* FROM curated_photos c JOIN photos p ON p.id = c.photo_id"
            " WHERE c.owner = ? AND p.identity_id = ?",
            [owner, identity_id],
        )
        return {r["photo_id"]: _choice(r) for r in rows}

    def policies(self, owner: str, identity_id: str) -> dict[str, Policy]:
        """Return the caption policies that were chosen for a person, by trait."""
        sql = "SELECT trait, policy FROM caption_policies WHERE owner = ? AND identity_id = ?"
        return {r["trait"]: r["policy"] for r in self._database.rows(sql, [owner, identity_id])}

    def last_step(self, owner: str, *, intake_id: str | None = None, identity_id: str | None = None) -> Step | None:
        """Return the newest change of an intake or of a person's set, or None."""
        row = self._step_row(owner, intake_id, identity_id)
        return None if row is None else _step(row)

    def undo(self, owner: str, *, intake_id: str | None = None, identity_id: str | None = None) -> Step | None:
        """Put the rows of the newest change back and return it; None when there is nothing to take back.

        Photos and people that the step added are the caller's to delete.
        """
        with self._database.transaction():
            row = self._step_row(owner, intake_id, identity_id)
            if row is None:
                return None
            for table, key, values in reversed(to_mapping(row["before"])["rows"]):
                self._put_back(table, key, values)
            self._database.execute("DELETE FROM curation_steps WHERE number = ?", [row["number"]])
            return _step(row)

    # -- rows ------------------------------------------------------------------

    def _step_row(self, owner: str, intake_id: str | None, identity_id: str | None) -> Row | None:
        return self._database.row(
            "SELECT * FROM curation_steps WHERE owner = ? AND intake_id IS ? AND identity_id IS ?"
            " ORDER BY number DESC LIMIT 1",
            [owner, intake_id, identity_id],
        )

    def _change(self, table: str, key: Mapping[str, Any], values: Mapping[str, Any] | None) -> list[Any]:
        """Write a row (None deletes it; existing rows keep columns that are not named); return how it was before."""
        where = " AND ".join(f"{c} = ?" for c in _KEYS[table])
        names = [key[c] for c in _KEYS[table]]
        row = self._database.row(f"SELECT * FROM {table} WHERE {where}", names)
        before = None if row is None else {c: row[c] for c in row.keys()}  # noqa: SIM118 (a Row iterates over values)
        if values is None:
            self._database.execute(f"DELETE FROM {table} WHERE {where}", names)
        elif before is None:
            self._database.insert(table, {**key, **values})
        else:
            columns = ", ".join(f"{c} = ?" for c in values)
            self._database.execute(f"UPDATE {table} SET {columns} WHERE {where}", [*values.values(), *names])
        return [table, dict(key), before]

    def _put_back(self, table: str, key: Mapping[str, Any], values: Mapping[str, Any] | None) -> None:
        self._change(table, key, None if values is None else {c: v for c, v in values.items() if c not in key})

    def _remember(
        self,
        owner: str,
        title: str,
        before: Sequence[Any],
        *,
        intake_id: str | None = None,
        identity_id: str | None = None,
        step: Step | None = None,
    ) -> None:
        added = {"photos": list(step.photos), "identities": list(step.identities)} if step else {}
        self._database.insert(
            "curation_steps",
            {"owner": owner, "intake_id": intake_id, "identity_id": identity_id, "title": title,
             "before": to_json({"rows": list(before), **added}), "created": to_text(now())},
        )  # fmt: skip

    def _choice_row(self, owner: str, photo_id: str) -> dict[str, Any]:
        row = self._database.row("SELECT * FROM curated_photos WHERE owner = ? AND photo_id = ?", [owner, photo_id])
        return {} if row is None else {c: row[c] for c in ("kept", "caption", "crop")}

    def _intake_photos(self, owner: str, intake_id: str, version: str) -> tuple[IntakePhoto, ...]:
        rows = self._database.rows("SELECT * FROM intake_photos WHERE intake_id = ? ORDER BY position", [intake_id])
        join = "JOIN intake_photos p ON p.owner = a.owner AND p.sha256 = a.sha256 WHERE p.intake_id = ?"
        measured = self._database.rows(
            f"SELECT a.* FROM photo_analyses a {join} AND a.version = ?", [intake_id, version]
        )
        faces: dict[str, list[Row]] = {}
        for face in self._database.rows(f"SELECT a.* FROM photo_faces a {join} ORDER BY a.face_index", [intake_id]):
            faces.setdefault(face["sha256"], []).append(face)
        by_sha = {m["sha256"]: m for m in measured}
        out = []
        for row in rows:
            found = by_sha.get(row["sha256"])
            analysis = None if found is None else _analysis(found, faces.get(row["sha256"], []), row["id"])
            out.append(
                IntakePhoto(
                    id=row["id"], position=row["position"], file_name=row["file_name"], sha256=row["sha256"],
                    problem=row["problem"], hint=row["hint"], analysis=analysis, decision=row["decision"],
                )
            )  # fmt: skip
        return tuple(out)


_EMPTY_CHOICE: dict[str, Any] = {"kept": None, "caption": None, "crop": None}


def _choice_columns(values: Mapping[str, Any]) -> dict[str, Any]:
    out = dict(values)
    if isinstance(out.get("crop"), CropBox):
        out["crop"] = to_json(asdict(out["crop"]))
    if isinstance(out.get("kept"), bool):
        out["kept"] = int(out["kept"])
    return out


def _choice(row: Row) -> PhotoChoice:
    return PhotoChoice(
        kept=None if row["kept"] is None else bool(row["kept"]), caption=row["caption"],
        crop=None if row["crop"] is None else CropBox(**to_mapping(row["crop"])),
    )  # fmt: skip


def _step(row: Row) -> Step:
    kept = to_mapping(row["before"])
    return Step(row["number"], row["title"], tuple(kept.get("photos", ())), tuple(kept.get("identities", ())))


def _intake(row: Row) -> Intake:
    return Intake(
        id=row["id"], owner=row["owner"], title=row["title"], identity_id=row["identity_id"], job_id=row["job_id"],
        notes=tuple(to_mapping(row["notes"]).get("notes", ())), confirmed=to_moment_or_none(row["confirmed"]),
        created=to_moment(row["created"]),
    )  # fmt: skip


def _face_row(found: IntakeFace) -> dict[str, Any]:
    embedding = found.embedding
    return {
        "face_index": found.index, "face": to_json(face_to_json(found.face)),
        "landmarks": np.asarray(found.face.landmarks, "<f4").tobytes(),
        "embedder": embedding.embedder if embedding else None,
        "vector": np.asarray(embedding.vector, "<f4").tobytes() if embedding else None,
        "measures": to_json({k: v for k, v in asdict(found.measures).items() if v is not None}),
    }  # fmt: skip


_MEASURES = {f.name for f in fields(Measures)}


def _analysis(row: Row, faces: Sequence[Row], prefix: str) -> Analysis:
    print_ = row["fingerprint"]
    return Analysis(
        sha256=row["sha256"], version=row["version"], width=row["width"], height=row["height"],
        fingerprint=None if print_ is None else int(print_, 16), problem=row["problem"], hint=row["hint"],
        mask_sha256=row["mask_sha256"], faces=tuple(_face(f, prefix) for f in faces),
    )  # fmt: skip


def _face(row: Row, prefix: str) -> IntakeFace:
    values: dict[str, Any] = {
        k: tuple(v) if isinstance(v, list) else v for k, v in to_mapping(row["measures"]).items() if k in _MEASURES
    }
    embedding = None
    if row["vector"] is not None:
        embedding = FaceEmbedding(row["embedder"], np.frombuffer(row["vector"], "<f4").astype(np.float32))
    face: DetectedFace = face_from_json(row["face"], row["landmarks"])
    return IntakeFace(
        key=f"{prefix}:{row['face_index']}", index=row["face_index"], face=face, embedding=embedding,
        measures=Measures(**values),
    )  # fmt: skip
