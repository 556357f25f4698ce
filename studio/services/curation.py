"""Curation: from a heap of dropped files to one person's training set.

Dropping copies the files into the media store; analysing measures each of them
once (a job, which goes on where it stopped); reviewing, answering and deciding
only change rows; confirming makes photos of people out of what is kept. The
originals are never touched, and every decision can be taken back.

What a person's photos become for training (crop, mask, caption) is computed
from the same measurements, also for people whose photos were never curated.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict

from studio.domain.curation import (
    MOST_PHOTOS,
    Analysis,
    Decision,
    Intake,
    KnownFace,
    Review,
)
from studio.domain.identity import Identity
from studio.domain.job import Job
from studio.domain.review import review
from studio.errors import (
    ConflictError,
    LimitExceededError,
    NotFoundError,
    UserInputError,
)
from studio.jobs.kinds import JobContext, JobKind
from studio.jobs.queue import JobQueue
from studio.services.measuring import VERSION, Measuring, png
from studio.services.portraits import Portraits
from studio.services.training_set import TrainingSets
from studio.store.curation import NewFile, Step

if TYPE_CHECKING:
    from studio.store import Store

PICTURE_SUFFIXES = frozenset(
    (".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".webp", ".heic", ".heif", ".avif", ".tif", ".tiff", ".bmp", ".gif")
)
"""Endings that are looked at in a folder; files given one by one are always looked at."""
OnPhoto = Callable[[int, int, str, bytes | None], None]
"""Told after each photo: how many are done, of how many, the file's name, a small JPEG of the face."""


@dataclass(frozen=True)
class Confirmation:
    """What confirming an intake did; `sentence` says it in words."""

    people: tuple[Identity, ...]
    photos: int
    left_out: int
    unsure: int

    @property
    def sentence(self) -> str:
        """Return one or two sentences."""
        names = " and ".join(p.name for p in self.people)
        said = f"{self.photos} photo{'s' if self.photos != 1 else ''} of {names} taken over; {self.left_out} left out."
        return said + (f" {self.unsure} unsure ones are still in the heap." if self.unsure else "")


class Curation(TrainingSets):
    """Sorts dropped photos; what they leave is a person's training set."""

    def __init__(self, store: Store, owner: str, portraits: Portraits, queue: JobQueue) -> None:
        super().__init__(store, owner, Measuring(store, owner, portraits))
        self._queue = queue

    # -- dropping ------------------------------------------------------------------

    def start(self, sources: Path | Iterable[Path], *, identity_id: str | None = None, title: str = "") -> Intake:
        """Take files in; nothing is measured yet.

        Args:
            sources: a folder (with what is in it), a file, or several of both.
            identity_id: whose photos they are meant to be; None lets the review find the people.
            title: one line for the person, such as the folder's name.

        Raises:
            NotFoundError: no such file, folder or person.
            UserInputError: there is no picture among them.
            LimitExceededError: more than MOST_PHOTOS.
            StoreError: the disk is full.
        """
        given = [sources] if isinstance(sources, Path) else list(sources)
        if identity_id is not None:
            self._store.identities.get(self._owner, identity_id)
        files, notes = _pictures(given)
        seen: dict[str, str] = {}
        rows = []
        for file in files:
            row = self._taken(file)
            if row.sha256 is not None and row.sha256 in seen:
                notes.append(f"{file.name} is the same file as {seen[row.sha256]} and counts once.")
                continue
            if row.sha256 is not None:
                seen[row.sha256] = file.name
            rows.append(row)
        name = title or (given[0].name if len(given) == 1 and given[0].is_dir() else f"{len(rows)} photos")
        id = self._rows.add_intake(self._owner, name, rows, identity_id=identity_id, notes=notes)
        return self.intake(id)

    def submit(self, sources: Path | Iterable[Path], *, identity_id: str | None = None, title: str = "") -> Job:
        """Take files in and let a job analyse them; `job.params["intake_id"]` names the intake.

        Raises:
            See `start`.
        """
        intake = self.start(sources, identity_id=identity_id, title=title)
        job = self._queue.submit(
            self._owner, KIND.name, CurateParams(intake_id=intake.id), title=f"Look at {intake.title}",
            identity_id=identity_id,
        )  # fmt: skip
        self._rows.set_job(self._owner, intake.id, job.id)
        return job

    def submit_captions(self, identity_id: str, model: str) -> Job:
        """Let a job write the captions of a person's photos with a captioning model.

        Raises:
            UserInputError: no model is named.
        """
        if not model.strip():
            raise UserInputError("No captioning model is named.", "Write a folder, or a name such as owner/model.")
        person = self._store.identities.get(self._owner, identity_id)
        return self._queue.submit(
            self._owner, CAPTION_KIND.name, CaptionParams(identity_id=identity_id, model=model.strip()),
            title=f"Write captions for {person.name}", identity_id=identity_id,
        )  # fmt: skip

    def _taken(self, file: Path) -> NewFile:
        """Copy one file into the media store; what cannot be copied is a row with the reason."""
        from studio.engines.media.pictures import MAX_BYTES

        try:
            size = file.stat().st_size
            if size > MAX_BYTES:
                why = f"{file.name} is {size / 1e6:.0f} MB, more than the {MAX_BYTES / 1e6:.0f} MB allowed."
                return NewFile(file.name, None, why, "Save a smaller copy.")
            if size == 0:
                return NewFile(file.name, None, f"{file.name} is empty.", "Copy or export it again.")
            with file.open("rb"):
                pass
        except OSError as exc:
            why = f"{file.name} cannot be opened: {exc.strerror or type(exc).__name__}."
            return NewFile(file.name, None, why, "Check that you may read the file.")
        return NewFile(file.name, self._store.media.put(self._owner, file))

    # -- analysing -----------------------------------------------------------------

    def analyse(self, intake_id: str, on_photo: OnPhoto | None = None) -> Intake:
        """Measure every photo that was not measured yet, here and now; a photo that fails is said, not raised.

        Raises:
            NotFoundError: no such intake.
            EngineError: the engines cannot work at all.
        """
        photos = self.intake(intake_id).photos
        waiting = [p for p in photos if p.waits]
        for number, photo in enumerate(waiting, start=len(photos) - len(waiting) + 1):
            assert photo.sha256 is not None  # else it would have a problem and not wait
            looks = self._measuring.measure(photo.sha256)
            if on_photo is not None:
                on_photo(number, len(photos), photo.file_name, looks.get(0))
        return self.intake(intake_id)

    # -- looking -------------------------------------------------------------------

    def intake(self, intake_id: str) -> Intake:
        """Return one intake with its photos.

        Raises:
            NotFoundError: no such intake.
        """
        return self._rows.intake(self._owner, intake_id, VERSION)

    def intakes(self) -> tuple[Intake, ...]:
        """Return all intakes, newest first, without their photos."""
        return self._rows.intakes(self._owner)

    def review(self, intake_id: str) -> Review:
        """Read an intake as people, groups and verdicts."""
        return self._review(self.intake(intake_id))

    def _review(self, intake: Intake) -> Review:
        if intake.identity_id is None:
            return review(intake)
        person = self._store.identities.get(self._owner, intake.identity_id)
        return review(intake, self._known(person.id), person.name)

    def _known(self, identity_id: str) -> tuple[KnownFace, ...]:
        """Return the faces that are surely of a person."""
        found = []
        for photo in self._store.photos.list(self._owner, identity_id=identity_id):
            found += [
                KnownFace(key=f"known:{photo.id}", embedding=e)
                for e in self._store.photos.embeddings(self._owner, photo.id)[:1]
            ]
        return tuple(found)

    def look(self, sha256: str, face_index: int = -1) -> bytes:
        """Return a small JPEG of a photo, or of one of its faces.

        Raises:
            NotFoundError: the photo was not analysed, or has no such face.
        """
        return self._measuring.look(sha256, face_index)

    def path(self, sha256: str) -> Path:
        """Return where a photo's bytes lie (for showing it)."""
        return self._measuring.path(sha256)

    # -- deciding ------------------------------------------------------------------

    def name_cluster(self, intake_id: str, cluster_key: str, name: str) -> Review:
        """Give the cluster around a face a name; an empty one takes the name away. Equal names make one person.

        Raises:
            UserInputError: the name is too long, or there is no such cluster.
            ConflictError: the intake was confirmed already.
        """
        intake = self._open(intake_id)
        if len(name.strip()) > 200:
            raise UserInputError("The name is longer than 200 letters.", "Write a shorter name.")
        cluster = next((c for c in self._review(intake).clusters if cluster_key in c.faces), None)
        if cluster is None:
            raise NotFoundError("There is no such person in these photos.", "Reload the page.")
        others = [f for f in cluster.faces if f in intake.names and f != cluster.key]
        self._rows.name_face(self._owner, intake_id, cluster.key, name.strip(), clear=others)
        return self.review(intake_id)

    def answer(self, intake_id: str, first: str, second: str, same: bool | None) -> Review:
        """Say whether two faces are one person; None takes the answer back.

        Args:
            first, second: face keys, as in a Question.

        Raises:
            ConflictError: the intake was confirmed already.
        """
        self._open(intake_id)
        title = {True: "The same person", False: "Two people", None: "No answer"}[same]
        self._rows.link(self._owner, intake_id, first, second, same, title)
        return self.review(intake_id)

    def set_decision(self, intake_id: str, photo_ids: Sequence[str], decision: Decision | None) -> Review:
        """Keep or leave out photos of an intake; None leaves them to the studio again.

        Raises:
            UserInputError: a photo that cannot be used is to be kept.
            ConflictError: the intake was confirmed already.
        """
        intake = self._open(intake_id)
        by_id = {p.id: p for p in intake.photos}
        for id in photo_ids:
            if id not in by_id:
                raise NotFoundError("There is no such photo in this heap.", "Reload the page.")
            if decision == "keep" and by_id[id].trouble[0]:
                raise UserInputError(f"{by_id[id].file_name}: {by_id[id].trouble[0]}", by_id[id].trouble[1])
        words = {"keep": "Keep", "drop": "Leave out", None: "Undecided"}[decision]
        self._rows.decide(self._owner, intake_id, list(photo_ids), decision, f"{words} {len(photo_ids)}")
        return self.review(intake_id)

    def last_step(self, *, intake_id: str | None = None, identity_id: str | None = None) -> Step | None:
        """Return the newest change that `undo` would take back, or None."""
        return self._rows.last_step(self._owner, intake_id=intake_id, identity_id=identity_id)

    def undo(self, *, intake_id: str | None = None, identity_id: str | None = None) -> Step | None:
        """Take back the newest change of an intake or of a person's set; None when there is none.

        Taking back a confirmation deletes the photos it added, and people who have nothing else.

        Raises:
            ConflictError: a person it added has been used since.
        """
        step = self._rows.last_step(self._owner, intake_id=intake_id, identity_id=identity_id)
        if step is None:
            return None
        for person in step.identities:
            used = self._store.renders.page(self._owner, identity_id=person, limit=1).renders
            if used or self._store.runs.list(self._owner, identity_id=person):
                name = self._store.identities.get(self._owner, person).name
                raise ConflictError(f"{name} has been used since.", "Delete the person instead, if that is meant.")
        done = self._rows.undo(self._owner, intake_id=intake_id, identity_id=identity_id)
        for photo in step.photos:
            self._delete_photo(photo)
        for person in step.identities:
            empty = not self._store.photos.list(self._owner, identity_id=person)
            if empty and not self._store.identities.get(self._owner, person).consents:
                self._store.identities.delete(self._owner, person)
        return done

    def _delete_photo(self, photo_id: str) -> None:
        try:
            self._store.photos.delete(self._owner, photo_id)
        except NotFoundError:
            return  # it was deleted by hand since, which is what is wanted

    def discard(self, intake_id: str) -> None:
        """Forget an intake with what was measured only for it; photos that were taken over stay.

        Raises:
            ConflictError: its job still waits or runs.
        """
        intake = self.intake(intake_id)
        if intake.job_id is not None and self._queue.get(self._owner, intake.job_id).is_active:
            raise ConflictError("The photos are still being looked at.", "Cancel that first.")
        self._rows.delete_intake(self._owner, intake_id)

    def _open(self, intake_id: str) -> Intake:
        intake = self.intake(intake_id)
        if intake.confirmed is not None:
            raise ConflictError("These photos were taken over already.", "Undo that first.")
        return intake

    # -- confirming ----------------------------------------------------------------

    def confirm(self, intake_id: str, *, name: str = "") -> Confirmation:
        """Make photos of people out of what is kept.

        Args:
            name: for the one proposed person where nobody was named yet.

        Raises:
            UserInputError: nobody is named, or nothing is kept.
            ConflictError: confirmed already, or photos still wait to be analysed.
        """
        intake = self._open(intake_id)
        if intake.waiting:
            raise ConflictError(f"{intake.waiting} photos were not looked at yet.", "Wait until the job is done.")
        found = self._review(intake)
        names = {c.key: c.name or name.strip() for c in found.clusters if c.wanted}
        if not names and intake.identity_id is not None:
            names = {k: "" for v in found.verdicts if v.state == "keep" for k in v.faces}
        kept = [v for v in found.verdicts if v.state == "keep" and v.faces]
        if not kept:
            raise UserInputError("No photo is kept.", "Keep at least one, or drop other photos.")
        known = {c.key for c in found.clusters if c.is_known}
        if intake.identity_id is None and any(not n for n in names.values()):
            raise UserInputError("The person has no name yet.", "Write a name first.")
        people, photos, created = self._people(intake, names, known), [], []
        by_id = {p.id: p for p in intake.photos}
        for key, (person, is_new) in people.items():
            created += [person.id] if is_new else []
            for verdict in kept:
                if key in verdict.faces:
                    photos += self._take_over(by_id[verdict.photo_id].analysis, by_id[verdict.photo_id].file_name,
                                              person, verdict.faces[key])  # fmt: skip
        unique = list(dict.fromkeys(p.id for p, _ in people.values()))
        step = Step(0, f"Take over {len(kept)} photos", tuple(photos), tuple(dict.fromkeys(created)))
        anchors = {key: person.id for key, (person, _) in people.items() if key}
        self._rows.confirm(
            self._owner, intake_id, people=anchors, step=step,
            names={key: person.name for key, (person, _) in people.items()},
        )  # fmt: skip
        return Confirmation(
            tuple(self._store.identities.get(self._owner, i) for i in unique), len(kept), found.count("drop"),
            found.count("unsure"),
        )  # fmt: skip

    def _people(self, intake: Intake, names: Mapping[str, str], known: set[str]) -> dict[str, tuple[Identity, bool]]:
        """Return cluster key -> person, made where there is none of that name, and whether they were made now."""
        people: dict[str, tuple[Identity, bool]] = {}
        made: dict[str, Identity] = {}
        for key, name in names.items():
            if intake.identity_id is not None and (key in known or not name):
                people[key] = (self._store.identities.get(self._owner, intake.identity_id), False)
                continue
            person = self._store.identities.find(self._owner, name)
            if person is None:
                person = self._store.identities.add(self._owner, name)
                made[person.id] = person
            people[key] = (person, person.id in made)
        return people

    def _take_over(self, analysis: Analysis | None, file_name: str, person: Identity, face_key: str) -> list[str]:
        """Record one photo of a person; return its id, or nothing when the person had it already."""
        assert analysis is not None  # only analysed photos are kept
        found = next(f for f in analysis.faces if f.key == face_key)
        had = [
            p for p in self._store.photos.list(self._owner, identity_id=person.id, sha256=analysis.sha256)
            if p.face_index == found.index
        ]  # fmt: skip
        if had:
            return []
        photo = self._store.photos.add(
            self._owner, analysis.sha256, file_name=file_name, width=analysis.width, height=analysis.height,
            identity_id=person.id, project_id=person.project_id, face_index=found.index, face=found.face,
        )  # fmt: skip
        if found.embedding is not None:
            self._store.photos.put_embedding(self._owner, photo.id, found.embedding)
        return [photo.id]


# -- files ---------------------------------------------------------------------------------


def _pictures(given: Sequence[Path]) -> tuple[list[Path], list[str]]:
    """Return the files to take in, and what was left out.

    Raises:
        NotFoundError, UserInputError, LimitExceededError: see Curation.start.
    """
    files: list[Path] = []
    passed: list[str] = []
    for path in given:
        if not path.exists():
            raise NotFoundError(f"There is no file or folder {path.name!r}.", "Check the path.")
        if not path.is_dir():
            files.append(path)
            continue
        for folder, folders, names in os.walk(path):
            folders[:] = sorted(f for f in folders if not f.startswith("."))
            for name in sorted(n for n in names if not n.startswith(".")):
                if Path(name).suffix.lower() in PICTURE_SUFFIXES:
                    files.append(Path(folder) / name)
                else:
                    passed.append(name)
    files = list(dict.fromkeys(files))
    if not files:
        said = f"There is no picture in {given[0].name!r}." if given else "There is no photo yet."
        raise UserInputError(said, "Drop photos of the person, or a folder with them.")
    if len(files) > MOST_PHOTOS:
        raise LimitExceededError(
            f"{len(files)} photos are more than the {MOST_PHOTOS} that can be looked at together.",
            "Drop fewer; 10 to 50 good ones of a person are enough.",
        )
    notes = []
    if passed:
        shown = ", ".join(passed[:3]) + (" and others" if len(passed) > 3 else "")
        notes.append(
            f"{len(passed)} file{'s' if len(passed) != 1 else ''} that are no pictures were passed over: {shown}."
        )
    return files, notes


# -- the job -------------------------------------------------------------------------------


class CurateParams(BaseModel):
    """What the job needs."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    intake_id: str


def run(params: CurateParams, context: JobContext) -> Mapping[str, Any]:
    """Analyse an intake; after an interruption only what was not analysed yet."""

    def tell(done: int, total: int, name: str, face: bytes | None) -> None:
        context.check_cancelled()
        context.progress(done / max(total, 1), f"{done} of {total}: {name}", None if face is None else png(face))

    context.check_cancelled()
    studio = context.tools
    studio.curation.analyse(params.intake_id, tell)
    found = studio.curation.review(params.intake_id)
    context.progress(1.0, "Done")
    return {"intake_id": params.intake_id, "kept": found.count("keep"), "unsure": found.count("unsure")}


KIND = JobKind("curate", "Look at photos", CurateParams, run)


class CaptionParams(BaseModel):
    """What the job of a captioning model needs; `model` is a folder or a name on the hub."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    identity_id: str
    model: str


def run_captions(params: CaptionParams, context: JobContext) -> Mapping[str, Any]:
    """Caption a person's kept photos with a model."""

    def tell(done: int, total: int, name: str) -> None:
        context.check_cancelled()
        context.progress(done / max(total, 1), f"{done} of {total}: {name}")

    context.check_cancelled()
    said = context.tools.curation.write_captions(params.identity_id, params.model, tell)
    context.progress(1.0, "Done")
    return {"identity_id": params.identity_id, "captions": len(said)}


CAPTION_KIND = JobKind("caption", "Write captions", CaptionParams, run_captions)
