"""Curation: from a heap of dropped files to one person's training set.

Dropping copies the files into the media store; analysing measures each of them
once (a job, which goes on where it stopped); reviewing, answering and deciding
only change rows; confirming makes photos of people out of what is kept. The
originals are never touched, and every decision can be taken back.

What a person's photos become for training (crop, mask, caption) is computed
from the same measurements, also for people whose photos were never curated.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict

from studio.domain.clip_frames import MOST_FRAMES, USUAL_MOST
from studio.domain.curation import MOST_PHOTOS, Decision, Intake, IntakePhoto, KnownFace, Review
from studio.domain.job import Job
from studio.domain.review import review
from studio.errors import ConflictError, NotFoundError, UserInputError
from studio.jobs.kinds import JobContext, JobKind
from studio.jobs.queue import JobQueue
from studio.services.people.clip_frames import CLIP_SUFFIXES, FrameFinder, is_clip
from studio.services.people.intake_files import PICTURE_SUFFIXES, taken_in
from studio.services.people.measuring import VERSION, Measuring
from studio.services.people.taking_over import Confirmation, take_over
from studio.services.portraits.prepared import Portraits
from studio.services.progress import OnProgress, Progress, told
from studio.store.curation_steps import Step

if TYPE_CHECKING:
    from studio.store import OwnerStore

__all__ = ["PICTURE_SUFFIXES", "Confirmation", "Curation"]


class Curation:
    """Sorts dropped photos; what they leave is a person's training set."""

    def __init__(self, store: OwnerStore, portraits: Portraits, queue: JobQueue) -> None:
        self._store = store
        self._measuring = Measuring(store, portraits)
        self._frames = FrameFinder(store, portraits)
        self._rows = store.curation
        self._queue = queue

    # -- dropping ------------------------------------------------------------------

    def pictures_among(self, files: Sequence[Path]) -> list[Path]:
        """Return a chosen folder's pictures and clips, without what lies beside them; all of it where none is."""
        found = [f for f in files if f.suffix.lower() in PICTURE_SUFFIXES | CLIP_SUFFIXES]
        return found or list(files)

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
            self._store.identities.get(identity_id)
        with self._store.media.keeping():
            rows, notes = taken_in(self._store, given)
            named = len(given) == 1 and (given[0].is_dir() or is_clip(given[0].name))
            name = title or (given[0].name if named else f"{len(rows)} photos")
            id = self._rows.add_intake(name, rows, identity_id=identity_id, notes=notes)
        return self.intake(id)

    def submit_analyse(
        self,
        sources: Path | Iterable[Path],
        *,
        identity_id: str | None = None,
        title: str = "",
        frames: int = USUAL_MOST,
        hide_others: bool = False,
    ) -> Job:
        """Take files in and let a job analyse them; `job.params["intake_id"]` names the intake.

        Args:
            frames, hide_others: see `analyse`.

        Raises:
            See `start`.
        """
        _check_frames(frames)
        intake = self.start(sources, identity_id=identity_id, title=title)
        job = self._queue.submit(
            KIND.name, CurateParams(intake_id=intake.id, frames=frames, hide_others=hide_others),
            title=f"Look at {intake.title}", identity_id=identity_id,
        )  # fmt: skip
        self._rows.set_job(intake.id, job.id)
        return job

    # -- analysing -----------------------------------------------------------------

    def analyse(
        self,
        intake_id: str,
        on_progress: OnProgress | None = None,
        *,
        frames: int = USUAL_MOST,
        hide_others: bool = False,
    ) -> Intake:
        """Measure every photo that was not measured yet, here and now; a photo that fails is said, not raised.

        A clip is taken apart first: frames of it take its place.

        Args:
            frames: so many of a clip at most.
            hide_others: make other people in a clip's frames unrecognisable.

        Raises:
            NotFoundError: no such intake.
            UserInputError: an impossible number of frames.
            EngineError: the engines cannot work at all.
        """
        _check_frames(frames)
        for clip in [p for p in self.intake(intake_id).photos if p.waits and is_clip(p.file_name)]:
            self._unfold(intake_id, clip, frames, hide_others, on_progress)
        photos = self.intake(intake_id).photos
        waiting = [p for p in photos if p.waits]
        for number, photo in enumerate(waiting, start=len(photos) - len(waiting) + 1):
            assert photo.sha256 is not None  # else it would have a problem and not wait
            looks = self._measuring.measure(photo.sha256)
            if on_progress is not None:
                on_progress(_measured(number, len(photos), photo.file_name, looks.get(0)))
        return self.intake(intake_id)

    def _unfold(
        self, intake_id: str, clip: IntakePhoto, most: int, hide_others: bool, on_progress: OnProgress | None
    ) -> None:
        """Put frames in the place of a clip; one that gives none says why."""
        intake = self.intake(intake_id)
        assert clip.sha256 is not None  # else it would have a problem and not wait
        known = [face.embedding for face in self._known(intake.identity_id)] if intake.identity_id else []

        def tell(share: float, words: str) -> None:
            if on_progress is not None:
                on_progress(Progress(0.9 * share, words))

        path = self._store.media.get(clip.sha256)
        room = MOST_PHOTOS - len(intake.photos) + 1
        try:
            with self._store.media.keeping():
                found = self._frames.frames(
                    path, clip.file_name, most=min(most, room), hide_others=hide_others,
                    known=known, tell=tell,
                )  # fmt: skip
                self._rows.unfold(intake_id, clip.id, found.files, found.note)
        except (UserInputError, NotFoundError) as exc:
            said = exc.in_window.message.replace(path.name, clip.file_name)  # engines know it by its bytes
            self._rows.refuse(intake_id, clip.id, said, exc.in_window.hint)

    # -- looking -------------------------------------------------------------------

    def intake(self, intake_id: str) -> Intake:
        """Return one intake with its photos.

        Raises:
            NotFoundError: no such intake.
        """
        return self._rows.intake(intake_id, VERSION)

    def intakes(self) -> tuple[Intake, ...]:
        """Return all intakes, newest first, without their photos."""
        return self._rows.intakes()

    def review(self, intake_id: str) -> Review:
        """Read an intake as people, groups and verdicts."""
        return self._review(self.intake(intake_id))

    def _review(self, intake: Intake) -> Review:
        if intake.identity_id is None:
            return review(intake)
        person = self._store.identities.get(intake.identity_id)
        return review(intake, self._known(person.id), person.name)

    def _known(self, identity_id: str) -> tuple[KnownFace, ...]:
        """Return the faces that are surely of a person."""
        found = []
        for photo in self._store.photos.list(identity_id=identity_id):
            found += [
                KnownFace(key=f"known:{photo.id}", embedding=e) for e in self._store.photos.embeddings(photo.id)[:1]
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
        self._rows.name_face(intake_id, cluster.key, name.strip(), clear=others)
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
        self._rows.link(intake_id, first, second, same, title)
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
        self._rows.decide(intake_id, list(photo_ids), decision, f"{words} {len(photo_ids)}")
        return self.review(intake_id)

    def last_step(self, *, intake_id: str | None = None, identity_id: str | None = None) -> Step | None:
        """Return the newest change that `undo` would take back, or None."""
        return self._rows.steps.last(intake_id=intake_id, identity_id=identity_id)

    def undo(self, *, intake_id: str | None = None, identity_id: str | None = None) -> Step | None:
        """Take back the newest change of an intake or of a person's set; None when there is none.

        Taking back a confirmation deletes the photos it added, and people who have nothing else.

        Raises:
            ConflictError: a person it added has been used since.
        """
        step = self._rows.steps.last(intake_id=intake_id, identity_id=identity_id)
        if step is None:
            return None
        for person in step.identities:
            used = self._store.renders.page(identity_id=person, limit=1).renders
            if used or self._store.runs.list(identity_id=person):
                name = self._store.identities.get(person).name
                raise ConflictError(f"{name} has been used since.", "Delete the person instead, if that is meant.")
        done = self._rows.steps.undo(intake_id=intake_id, identity_id=identity_id)
        for photo in step.photos:
            self._delete_photo(photo)
        for person in step.identities:
            empty = not self._store.photos.list(identity_id=person)
            if empty and not self._store.identities.get(person).consents:
                self._store.identities.delete(person)
        return done

    def _delete_photo(self, photo_id: str) -> None:
        try:
            self._store.photos.delete(photo_id)
        except NotFoundError:
            return  # it was deleted by hand since, which is what is wanted

    def discard(self, intake_id: str) -> None:
        """Forget an intake with what was measured only for it; photos that were taken over stay.

        Raises:
            ConflictError: its job still waits or runs.
        """
        intake = self.intake(intake_id)
        if intake.job_id is not None and self._queue.get(intake.job_id).is_active:
            raise ConflictError("The photos are still being looked at.", "Cancel that first.")
        self._rows.delete_intake(intake_id)

    def _open(self, intake_id: str) -> Intake:
        intake = self.intake(intake_id)
        if intake.confirmed is not None:
            raise ConflictError("These photos were taken over already.", "Undo that first.")
        return intake

    # -- confirming ----------------------------------------------------------------

    def confirm(self, intake_id: str, *, name: str = "") -> Confirmation:
        """Make photos of people out of what is kept: all of it, or nothing.

        Args:
            name: for the one proposed person where nobody was named yet.

        Raises:
            UserInputError: nobody is named, or nothing is kept.
            ConflictError: confirmed already, or photos still wait to be analysed.
        """
        with self._store.database.transaction():
            intake = self._open(intake_id)
            return take_over(self._store, intake, self._review(intake), name)


def _check_frames(frames: int) -> None:
    """Refuse an impossible number of frames.

    Raises:
        UserInputError: it is one.
    """
    if not 1 <= frames <= MOST_FRAMES:
        raise UserInputError(f"{frames} frames of a clip are not possible.", f"Choose 1 to {MOST_FRAMES}.")


# -- the job -------------------------------------------------------------------------------


def _measured(done: int, total: int, name: str, face_jpeg: bytes | None) -> Progress:
    from studio.engines.media.pictures import read_picture

    face = None if face_jpeg is None else read_picture(face_jpeg).rgb
    return Progress(done / max(total, 1), f"{done} of {total}: {name}", None, face)


class CurateParams(BaseModel):
    """What the job needs."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    intake_id: str
    frames: int = USUAL_MOST
    hide_others: bool = False


def run(params: CurateParams, context: JobContext) -> Mapping[str, Any]:
    """Analyse an intake; after an interruption only what was not analysed yet."""
    context.check_cancelled()
    curation: Curation = context.service
    curation.analyse(params.intake_id, told(context), frames=params.frames, hide_others=params.hide_others)
    found = curation.review(params.intake_id)
    context.progress(1.0, "Done")
    return {"intake_id": params.intake_id, "kept": found.count("keep"), "unsure": found.count("unsure")}


KIND = JobKind("curate", "Look at photos", CurateParams, run, service="curation", icon="photo")
