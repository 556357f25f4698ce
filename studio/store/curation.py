"""The tables of curation: intakes, and what was decided about a person's photos.

Every change that a person makes here leaves a step behind (`curation_steps`),
so that it can be taken back. What is seen in the photos is `measurements`'.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from studio.domain.curation import CropBox, Decision, Intake, IntakePhoto
from studio.domain.names import legible
from studio.domain.traits import Policy
from studio.errors import NotFoundError
from studio.store.curation_steps import Steps
from studio.store.database import Database, Row
from studio.store.measurements import Measurements
from studio.store.media import Media
from studio.store.rows import new_id, now, to_json, to_mapping, to_moment, to_moment_or_none, to_text


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


class Curation:
    """Curation of one owner."""

    def __init__(self, database: Database, media: Media, measurements: Measurements, owner: str) -> None:
        self._database = database
        self._owner = owner
        self._media = media
        self._measurements = measurements
        self.steps = Steps(database, owner)

    # -- intakes ---------------------------------------------------------------

    def add_intake(
        self,
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
                {"id": id, "owner": self._owner, "title": legible(title), "identity_id": identity_id,
                 "notes": to_json({"notes": [legible(n) for n in notes]}), "created": to_text(now())},
            )  # fmt: skip
            for position, file in enumerate(files):
                self._database.insert(
                    "intake_photos",
                    {"id": new_id(), "owner": self._owner, "intake_id": id, "position": position,
                     "file_name": legible(file.file_name), "sha256": file.sha256,
                     "problem": legible(file.problem), "hint": file.hint},
                )  # fmt: skip
        return id

    def set_job(self, intake_id: str, job_id: str) -> None:
        """Remember which job analyses the intake."""
        self._database.execute(
            "UPDATE intakes SET job_id = ? WHERE owner = ? AND id = ?", [job_id, self._owner, intake_id]
        )

    def unfold(self, intake_id: str, photo_id: str, files: Sequence[NewFile], note: str) -> None:
        """Put photos in the place of a file that holds them; the file's own bytes go, unless somebody else needs them.

        Args:
            files: of the new photos; bytes that the intake has already are passed over.
            note: what was done, for the intake.
        """
        with self._database.transaction():
            gone = self._database.row(
                "SELECT * FROM intake_photos WHERE intake_id = ? AND id = ?", [intake_id, photo_id]
            )
            assert gone is not None  # nobody else takes the files of an intake away
            self._database.execute("DELETE FROM intake_photos WHERE id = ?", [photo_id])
            rows = self._database.rows("SELECT position, sha256 FROM intake_photos WHERE intake_id = ?", [intake_id])
            known, last = {r["sha256"] for r in rows}, max([r["position"] for r in rows], default=-1)
            for file in files:
                if file.sha256 in known:
                    continue
                last += 1
                self._database.insert(
                    "intake_photos",
                    {"id": new_id(), "owner": self._owner, "intake_id": intake_id, "position": last,
                     "file_name": legible(file.file_name), "sha256": file.sha256, "problem": "", "hint": ""},
                )  # fmt: skip
            self._note(intake_id, note)
            if gone["sha256"]:
                self._media.discard_unused([gone["sha256"]])
        self._media.finish_deletions()

    def refuse(self, intake_id: str, photo_id: str, problem: str, hint: str) -> None:
        """Say why a file of an intake cannot be used."""
        self._database.execute(
            "UPDATE intake_photos SET problem = ?, hint = ? WHERE intake_id = ? AND id = ?",
            [legible(problem), legible(hint), intake_id, photo_id],
        )

    def _note(self, intake_id: str, note: str) -> None:
        row = self._database.row("SELECT notes FROM intakes WHERE owner = ? AND id = ?", [self._owner, intake_id])
        notes = to_mapping(row["notes"]).get("notes", ()) if row is not None else ()
        self._database.execute(
            "UPDATE intakes SET notes = ? WHERE owner = ? AND id = ?",
            [to_json({"notes": [*notes, legible(note)]}), self._owner, intake_id],
        )

    def intake(self, id: str, version: str) -> Intake:
        """Return one intake with everything this version of the studio measured.

        Raises:
            NotFoundError: no such intake for this owner.
        """
        row = self._database.row("SELECT * FROM intakes WHERE owner = ? AND id = ?", [self._owner, id])
        if row is None:
            raise NotFoundError(
                f"There is no intake {id!r}.",
                "Drop the photos again on the Identities tab.",
                window_message="That heap of photos is not there any more.",
            )
        names = self._database.rows("SELECT face, name FROM intake_names WHERE intake_id = ? ORDER BY rowid", [id])
        links = self._database.rows(
            "SELECT first, second, same FROM intake_links WHERE intake_id = ? ORDER BY rowid", [id]
        )
        return replace(
            _intake(row), photos=self._intake_photos(id, version), names={r["face"]: r["name"] for r in names},
            links=tuple((r["first"], r["second"], bool(r["same"])) for r in links),
        )  # fmt: skip

    def intakes(self) -> tuple[Intake, ...]:
        """Return all intakes, newest first, without their photos."""
        rows = self._database.rows(
            "SELECT * FROM intakes WHERE owner = ? ORDER BY created DESC, id DESC", [self._owner]
        )
        return tuple(_intake(r) for r in rows)

    def delete_intake(self, id: str) -> None:
        """Forget an intake with its answers; photos that were taken over stay.

        Raises:
            NotFoundError: no such intake for this owner.
        """
        with self._database.transaction():
            media = self._media.of_rows({"intakes": [id]})
            if not self._database.execute("DELETE FROM intakes WHERE owner = ? AND id = ?", [self._owner, id]):
                raise NotFoundError(
                    f"There is no intake {id!r}.",
                    "It was discarded already.",
                    window_message="That heap of photos is not there any more.",
                )
            self._media.discard_unused(media)
        self._media.finish_deletions()

    def touching(self, identity_id: str) -> tuple[str, ...]:
        """Return ids of intakes in which a person is: meant, named, or seen in one of their photos."""
        rows = self._database.rows(
            """
            SELECT id FROM intakes i WHERE owner = :owner AND (identity_id = :id
                OR EXISTS (SELECT 1 FROM intake_names n WHERE n.intake_id = i.id AND n.identity_id = :id)
                OR EXISTS (SELECT 1 FROM intake_photos f JOIN photos p ON p.owner = f.owner AND p.sha256 = f.sha256
                    WHERE f.intake_id = i.id AND p.identity_id = :id))
            ORDER BY id""",
            {"owner": self._owner, "id": identity_id},
        )
        return tuple(r[0] for r in rows)

    # -- changes, which can be taken back ----------------------------------------

    def decide(self, intake_id: str, photo_ids: Sequence[str], decision: Decision | None, title: str) -> None:
        """Keep or drop photos of an intake; None leaves them to the review."""
        with self._database.transaction():
            before = [self.steps.change("intake_photos", {"id": p}, {"decision": decision}) for p in photo_ids]
            self.steps.remember(title, before, intake_id=intake_id)

    def name_face(
        self,
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
            before = [self.steps.change("intake_names", {"intake_id": intake_id, "face": f}, None) for f in clear]
            values = {"owner": self._owner, "name": name, "identity_id": identity_id} if name else None
            before.append(self.steps.change("intake_names", {"intake_id": intake_id, "face": face}, values))
            self.steps.remember(f"Name “{name}”" if name else "No name", before, intake_id=intake_id)

    def link(self, intake_id: str, first: str, second: str, same: bool | None, title: str) -> None:
        """Record that two faces are one person, or are not; None takes an answer back."""
        first, second = sorted((first, second))
        values = None if same is None else {"owner": self._owner, "same": int(same)}
        with self._database.transaction():
            key = {"intake_id": intake_id, "first": first, "second": second}
            self.steps.remember(title, [self.steps.change("intake_links", key, values)], intake_id=intake_id)

    def confirm(
        self,
        intake_id: str,
        title: str,
        *,
        people: Mapping[str, str],
        names: Mapping[str, str],
        photos: Sequence[str] = (),
        identities: Sequence[str] = (),
    ) -> None:
        """Mark an intake as taken over.

        Args:
            title: of the step.
            people: face key -> identity id of the cluster around it.
            names: face key -> name.
            photos, identities: ids of what was added, for taking it back.
        """
        with self._database.transaction():
            before = [self.steps.change("intakes", {"id": intake_id}, {"confirmed": to_text(now())})]
            for face, identity_id in people.items():
                values = {"owner": self._owner, "name": names[face], "identity_id": identity_id}
                before.append(self.steps.change("intake_names", {"intake_id": intake_id, "face": face}, values))
            self.steps.remember(title, before, intake_id=intake_id, photos=photos, identities=identities)

    def choose(self, identity_id: str, choices: Mapping[str, Mapping[str, Any]], title: str) -> None:
        """Change what a person decided about their photos.

        Args:
            choices: photo id -> columns to change: kept (bool or None), caption (text or None), crop (CropBox or None).
        """
        with self._database.transaction():
            before = []
            for photo_id, values in choices.items():
                row = {**_EMPTY_CHOICE, **self._choice_row(photo_id), "owner": self._owner, **_choice_columns(values)}
                before.append(self.steps.change("curated_photos", {"photo_id": photo_id}, row))
            self.steps.remember(title, before, identity_id=identity_id)

    def set_policy(self, identity_id: str, trait: str, policy: Policy) -> None:
        """Say whether captions of a person's photos describe a trait."""
        with self._database.transaction():
            key = {"identity_id": identity_id, "trait": trait}
            before = [self.steps.change("caption_policies", key, {"owner": self._owner, "policy": policy})]
            self.steps.remember(f"{trait.capitalize()}: {policy}", before, identity_id=identity_id)

    def choices(self, identity_id: str) -> dict[str, PhotoChoice]:
        """Return what was decided about a person's photos, by photo id."""
        rows = self._database.rows(
            "SELECT c.* FROM curated_photos c JOIN photos p ON p.id = c.photo_id"
            " WHERE c.owner = ? AND p.identity_id = ?",
            [self._owner, identity_id],
        )
        return {r["photo_id"]: _choice(r) for r in rows}

    def policies(self, identity_id: str) -> dict[str, Policy]:
        """Return the caption policies that were chosen for a person, by trait."""
        sql = "SELECT trait, policy FROM caption_policies WHERE owner = ? AND identity_id = ?"
        return {r["trait"]: r["policy"] for r in self._database.rows(sql, [self._owner, identity_id])}

    # -- rows ------------------------------------------------------------------

    def _choice_row(self, photo_id: str) -> dict[str, Any]:
        row = self._database.row(
            "SELECT * FROM curated_photos WHERE owner = ? AND photo_id = ?", [self._owner, photo_id]
        )
        return {} if row is None else {c: row[c] for c in ("kept", "caption", "crop")}

    def _intake_photos(self, intake_id: str, version: str) -> tuple[IntakePhoto, ...]:
        rows = self._database.rows("SELECT * FROM intake_photos WHERE intake_id = ? ORDER BY position", [intake_id])
        measured = self._measurements.of_intake(intake_id, version)
        return tuple(
            IntakePhoto(
                id=row["id"], position=row["position"], file_name=row["file_name"], sha256=row["sha256"],
                problem=row["problem"], hint=row["hint"], analysis=measured.get(row["id"]), decision=row["decision"],
            )
            for row in rows
        )  # fmt: skip


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


def _intake(row: Row) -> Intake:
    return Intake(
        id=row["id"], owner=row["owner"], title=row["title"], identity_id=row["identity_id"], job_id=row["job_id"],
        notes=tuple(to_mapping(row["notes"]).get("notes", ())), confirmed=to_moment_or_none(row["confirmed"]),
        created=to_moment(row["created"]),
    )  # fmt: skip
