"""Curation: from a heap of dropped files to one person's training set.

Dropping copies the files into the media store; analysing measures each of them
once (a job, which goes on where it stopped); reviewing, answering and deciding
only change rows; confirming makes photos of people out of what is kept. The
originals are never touched, and every decision can be taken back.

What a person's photos become for training (crop, mask, caption) is computed
from the same measurements, also for people whose photos were never curated.
"""

from __future__ import annotations

import io
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from pydantic import BaseModel, ConfigDict

from studio.domain.curation import (
    MOST_PHOTOS,
    Analysis,
    CropBox,
    CuratedPhoto,
    Decision,
    Intake,
    IntakeFace,
    KnownFace,
    Review,
    crop_box,
    crop_share,
    flags_of,
)
from studio.domain.identity import Identity
from studio.domain.job import Job
from studio.domain.photo import Photo
from studio.domain.review import review
from studio.domain.traits import TRAIT, Coverage, Policy, caption_of, coverage_of, default_policies, rest_of, traits_of
from studio.engines.base import Image, Matte, TrainingExample
from studio.errors import (
    ConflictError,
    EngineUnavailableError,
    LimitExceededError,
    NotFoundError,
    UserInputError,
)
from studio.jobs.kinds import JobContext, JobKind
from studio.jobs.queue import JobQueue
from studio.services.portraits import FoundFaces, Portraits, scaled_face
from studio.store.curation import NewFile, PhotoChoice, Step

if TYPE_CHECKING:
    from studio.store import Store

VERSION = "1"
"""Of the measurements; counts up whenever they change, and everything is then measured anew when needed."""
PICTURE_SUFFIXES = frozenset(
    (".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".webp", ".heic", ".heif", ".avif", ".tif", ".tiff", ".bmp", ".gif")
)
"""Endings that are looked at in a folder; files given one by one are always looked at."""
MASK_SIDE = 768
"""The longer side of stored mattes: the network behind them answers at 256."""
LOOK_SIDE, FACE_SIDE = 360, 144
"""Of the small JPEGs of photos and faces that lists show."""

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


class Curation:
    """Sorts dropped photos, and prepares a person's photos for training."""

    def __init__(self, store: Store, owner: str, portraits: Portraits, queue: JobQueue) -> None:
        self._store = store
        self._owner = owner
        self._portraits = portraits
        self._queue = queue
        self._rows = store.curation

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
            analysis, looks = self._measured(photo.sha256)
            self._rows.put_analysis(self._owner, analysis, looks)
            if on_photo is not None:
                on_photo(number, len(photos), photo.file_name, looks.get(0))
        return self.intake(intake_id)

    def _analysis(self, sha256: str) -> Analysis:
        """Return what was measured in stored bytes, measuring now if need be."""
        kept = self._rows.analysis(self._owner, sha256, VERSION)
        if kept is None:
            self._rows.put_analysis(self._owner, *self._measured(sha256))
            kept = self._rows.analysis(self._owner, sha256, VERSION)
        assert kept is not None  # written just now
        return kept

    def _measured(self, sha256: str) -> tuple[Analysis, dict[int, bytes]]:
        """Measure stored bytes; also return small JPEGs of the photo (-1) and of its faces."""
        from studio.engines.vision.appearance import measure
        from studio.engines.vision.fingerprint import fingerprint

        try:
            found = self._portraits.find_faces(self._store.media.get(self._owner, sha256).read_bytes())
        except (UserInputError, NotFoundError) as exc:
            return Analysis(sha256=sha256, version=VERSION, problem=exc.message, hint=exc.hint), {}
        print_ = fingerprint(found.image)
        size: dict[str, Any] = {"width": found.width, "height": found.height}
        if not found.faces:
            return Analysis(
                sha256=sha256, version=VERSION, fingerprint=print_, **size, problem="No face was found.",
                hint="Use a picture in which the face is well lit and larger than 100 pixels.",
            ), {-1: _jpeg(_shrunk(found.image, LOOK_SIDE))}  # fmt: skip
        engines = self._portraits.engines
        with engines.lock:
            matte = engines.faces().matte(_shrunk(found.image, MASK_SIDE))
            faces = tuple(
                IntakeFace(
                    key=f"{sha256}:{index}", index=index, face=scaled_face(face, found.scale),
                    embedding=self._embedding(found, index), measures=measure(found.image, face, matte),
                )
                for index, face in enumerate(found.faces)
            )  # fmt: skip
        mask = self._store.media.put(self._owner, _gray_png(matte), ".png")
        analysis = Analysis(sha256=sha256, version=VERSION, fingerprint=print_, **size, mask_sha256=mask, faces=faces)
        return analysis, _looks(found)

    def _embedding(self, found: FoundFaces, index: int) -> Any:
        try:
            return self._portraits.engines.faces().embed(found.image, found.faces[index])
        except EngineUnavailableError:
            # Recognition needs its own library; without it the review says that nobody can be told apart.
            return None

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
        jpeg = self._rows.look(self._owner, sha256, face_index)
        if jpeg is None:
            raise NotFoundError("There is no small picture of that photo.", "Look at the photos again.")
        return jpeg

    def path(self, sha256: str) -> Path:
        """Return where a photo's bytes lie (for showing it)."""
        return self._store.media.get(self._owner, sha256)

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

    # -- a person's set ----------------------------------------------------------------

    def training_set(
        self, identity_id: str, resolution: int = 512, *, trigger: str = "", class_word: str = "person"
    ) -> tuple[CuratedPhoto, ...]:
        """Return a person's photos as training will see them, also those that are left out.

        Args:
            resolution: of the base; small bases get head-and-shoulders crops only.
            trigger, class_word: for the captions.
        """
        self._store.identities.get(self._owner, identity_id)
        choices = self._rows.choices(self._owner, identity_id)
        policies = self.policies(identity_id)
        out, number = [], 0
        photos = self._store.photos.list(self._owner, identity_id=identity_id)
        faces = {photo.id: _meant(self._analysis(photo.sha256), photo) for photo in photos}
        rest = rest_of([face.measures for face in faces.values() if face is not None])
        for photo in photos:
            choice, face = choices.get(photo.id, PhotoChoice()), faces[photo.id]
            traits = {} if face is None else traits_of(face.measures, face.face.head, rest)
            own = choice.caption is not None
            caption = (
                _filled(choice.caption or "", trigger, class_word)
                if own
                else caption_of(traits, trigger, class_word, policies)
            )
            made = self._curated(photo, choice, crop_share(number, resolution), traits, caption)
            number += made.kept
            out.append(made)
        return tuple(out)

    def _curated(
        self,
        photo: Photo,
        choice: PhotoChoice,
        share: float,
        traits: Mapping[str, str],
        caption: str,
    ) -> CuratedPhoto:
        """Put together what training would see of one photo; `share` is the face's part of the crop."""
        analysis = self._analysis(photo.sha256)
        found = _meant(analysis, photo)
        if found is None:
            return CuratedPhoto(
                photo=photo, sha256=photo.sha256, crop=None, mask_sha256=None, caption="", kept=False,
                problem=analysis.problem or "The face was not found again.",
            )  # fmt: skip
        others = [f.face for f in analysis.faces if f.index != found.index]
        return CuratedPhoto(
            photo=photo, sha256=photo.sha256, mask_sha256=analysis.mask_sha256, caption=caption,
            own_caption=choice.caption is not None, kept=True if choice.kept is None else choice.kept, traits=traits,
            crop=choice.crop or crop_box(photo.width, photo.height, found.face, share, others),
            flags=flags_of(found, len(others)),
        )  # fmt: skip

    def captions(self, identity_id: str, trigger: str, class_word: str) -> dict[str, str]:
        """Return the caption of every kept photo, by photo id."""
        found = self.training_set(identity_id, trigger=trigger, class_word=class_word)
        return {c.photo.id: c.caption for c in found if c.kept}

    def coverage(self, identity_id: str) -> Coverage:
        """Say which angles, expressions, framings and lights a person's kept photos have and lack."""
        return coverage_of([c.traits for c in self.training_set(identity_id) if c.kept])

    def examples(self, identity_id: str, resolution: int, trigger: str, class_word: str) -> list[TrainingExample]:
        """Return what training learns from: square crops of `resolution` pixels with masks and captions.

        Raises:
            NotFoundError: no such person, or the file of a photo is missing.
            UserInputError: no photo is kept.
        """
        kept = [c for c in self.training_set(identity_id, resolution, trigger=trigger, class_word=class_word) if c.kept]
        if not kept:
            name = self._store.identities.get(self._owner, identity_id).name
            raise UserInputError(f"{name} has no photo to learn from.", "Keep at least one on the Identities tab.")
        return [self.example(c, resolution) for c in kept]

    def example(self, curated: CuratedPhoto, resolution: int) -> TrainingExample:
        """Return one photo of a set as training would see it at this resolution; it must have a face."""
        from studio.engines.media.pictures import read_picture

        assert curated.crop is not None  # photos without a face are never kept
        rgb = read_picture(self.path(curated.sha256)).rgb
        image = _cut(rgb, curated.crop, resolution)
        mask: Matte | None = None
        if curated.mask_sha256 is not None:
            whole = read_picture(self.path(curated.mask_sha256)).rgb[..., 0]
            analysis = self._analysis(curated.sha256)
            whole = _without_others(whole, analysis, curated.photo)
            mask = _cut(whole, curated.crop, resolution, scale=whole.shape[1] / rgb.shape[1])
        return TrainingExample(image, mask, curated.caption, curated.sha256)

    @staticmethod
    def jpeg(image: Image) -> bytes:
        """Write a small picture for showing."""
        return _jpeg(image)

    # -- changing a person's set ---------------------------------------------------------

    def set_kept(self, identity_id: str, photo_ids: Sequence[str], kept: bool | None) -> None:
        """Let training use photos of a person or not; None leaves it to the studio."""
        words = {True: "Keep", False: "Leave out", None: "Undecided"}[kept]
        self._choose(identity_id, {id: {"kept": kept} for id in photo_ids}, f"{words} {len(photo_ids)}")

    def set_caption(
        self, identity_id: str, photo_id: str, caption: str | None, *, trigger: str = "", class_word: str = "person"
    ) -> None:
        """Write a photo's caption oneself; None or an empty one goes back to the measured caption.

        The trigger and class word in it are kept as such, so that another trigger later takes their place.

        Raises:
            LimitExceededError: the caption is longer than 500 letters.
        """
        said = " ".join((caption or "").split())
        if len(said) > 500:
            raise LimitExceededError("The caption is longer than 500 letters.", "Write a shorter one.")
        self._choose(identity_id, {photo_id: {"caption": _unfilled(said, trigger, class_word) or None}}, "Caption")

    def set_crop(self, identity_id: str, photo_id: str, crop: CropBox | None) -> None:
        """Choose what is cut out of a photo; None goes back to the proposed crop.

        Raises:
            UserInputError: the square is not inside the photo.
        """
        photo = self._store.photos.get(self._owner, photo_id)
        if crop is not None and not (
            crop.side >= 16 and crop.x >= 0 and crop.y >= 0
            and crop.x + crop.side <= photo.width and crop.y + crop.side <= photo.height
        ):  # fmt: skip
            raise UserInputError(
                "The crop is not inside the photo.", f"The photo has {photo.width}x{photo.height} pixels."
            )
        self._choose(identity_id, {photo_id: {"crop": crop}}, "Crop")

    def _choose(self, identity_id: str, choices: Mapping[str, Mapping[str, Any]], title: str) -> None:
        own = {p.id for p in self._store.photos.list(self._owner, identity_id=identity_id)}
        if not set(choices) <= own:
            raise NotFoundError("This person has no such photo.", "Reload the page.")
        self._rows.choose(self._owner, identity_id, choices, title)

    def policies(self, identity_id: str) -> dict[str, Policy]:
        """Return for every trait whether captions describe it or leave it to be learned."""
        return {**default_policies(), **self._rows.policies(self._owner, identity_id)}

    def set_policy(self, identity_id: str, trait: str, policy: Policy) -> None:
        """Say whether captions describe a trait (then it stays changeable) or leave it out (then it is learned).

        Raises:
            UserInputError: there is no such trait or policy.
        """
        if trait not in TRAIT or policy not in ("describe", "leave out"):
            raise UserInputError(f"There is no trait {trait!r} with {policy!r}.", f"Traits: {', '.join(TRAIT)}.")
        self._store.identities.get(self._owner, identity_id)
        self._rows.set_policy(self._owner, identity_id, trait, policy)


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


# -- captions ------------------------------------------------------------------------------


def _unfilled(caption: str, trigger: str, class_word: str) -> str:
    who = " ".join(w for w in (trigger.strip(), class_word.strip()) if w)
    return caption.replace(who, "{who}") if trigger.strip() and who in caption else caption


def _filled(caption: str, trigger: str, class_word: str) -> str:
    """Put trigger and class word into a caption; in front where it names nobody, or nothing would be learned."""
    who = " ".join(w for w in (trigger.strip(), class_word.strip()) if w)
    if "{who}" in caption:
        return caption.replace("{who}", who)
    return caption if not trigger.strip() or trigger.strip() in caption else f"a photo of {who}, {caption}"


# -- pixels --------------------------------------------------------------------------------


def _meant(analysis: Analysis, photo: Photo) -> IntakeFace | None:
    """Return the face of the analysis that a stored photo means."""
    if not analysis.faces:
        return None
    index = photo.face_index or 0
    return next((f for f in analysis.faces if f.index == index), None)


def _shrunk(image: Image, side: int) -> Image:
    from studio.engines.media.pictures import fit_longer_side

    return np.ascontiguousarray(fit_longer_side(image, side))


def _cut(pixels: Any, crop: CropBox, resolution: int, *, scale: float = 1.0) -> Any:
    """Cut a square out and bring it to `resolution`, by area when it shrinks.

    Args:
        pixels: RGB or gray.  # (H, W, 3) or (H, W)
        scale: pixels of the array per pixel of the photo the crop was laid in.
    """
    from PIL import Image as Pillow

    height, width = pixels.shape[:2]
    box = [v * scale for v in (crop.x, crop.y, crop.x + crop.side, crop.y + crop.side)]
    inside = (max(box[0], 0.0), max(box[1], 0.0), min(box[2], float(width)), min(box[3], float(height)))
    shrinks = crop.side * scale >= resolution
    how = Pillow.Resampling.BOX if shrinks else Pillow.Resampling.LANCZOS
    return np.array(Pillow.fromarray(pixels).resize((resolution, resolution), how, box=inside), np.uint8)


def _without_others(mask: Matte, analysis: Analysis, photo: Photo) -> Matte:
    """Take the heads of other people out of a matte: it holds whatever is a person."""
    own = _meant(analysis, photo)
    if own is None or len(analysis.faces) < 2:
        return mask
    scale = mask.shape[1] / max(analysis.width, 1)
    rows, columns = np.ogrid[: mask.shape[0], : mask.shape[1]]
    mine = _head(own, scale, rows, columns)
    out = mask.copy()
    for other in analysis.faces:
        if other.index != own.index:
            out[(_head(other, scale, rows, columns) < 1) & (mine >= 1)] = 0
    return out


def _head(found: IntakeFace, scale: float, rows: Any, columns: Any) -> Any:
    """Return the squared distance from a face's middle in half axes of its head: below 1 is inside.  # (H, W)"""
    x0, y0, x1, y1 = (v * scale for v in found.face.box)
    tall, wide = 0.85 * max(y1 - y0, 1.0), 0.75 * max(x1 - x0, 1.0)
    return ((rows - (0.55 * y0 + 0.45 * y1)) / tall) ** 2 + ((columns - (x0 + x1) / 2) / wide) ** 2


def _gray_png(matte: Matte) -> bytes:
    from PIL import Image as Pillow

    out = io.BytesIO()
    Pillow.fromarray(matte).save(out, "PNG", compress_level=6)
    return out.getvalue()


def _looks(found: FoundFaces) -> dict[int, bytes]:
    """Return small JPEGs of a photo (-1) and of its faces."""
    height, width = found.image.shape[:2]
    looks = {-1: _jpeg(_shrunk(found.image, LOOK_SIDE))}
    for number, face in enumerate(found.faces):
        looks[number] = _jpeg(_cut(found.image, crop_box(width, height, face, 0.62), FACE_SIDE))
    return looks


def _png(jpeg: bytes) -> bytes:
    from PIL import Image as Pillow

    out = io.BytesIO()
    Pillow.open(io.BytesIO(jpeg)).save(out, "PNG")
    return out.getvalue()


def _jpeg(image: Image) -> bytes:
    from PIL import Image as Pillow

    out = io.BytesIO()
    Pillow.fromarray(image).save(out, "JPEG", quality=84)
    return out.getvalue()


# -- the job -------------------------------------------------------------------------------


class CurateParams(BaseModel):
    """What the job needs."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    intake_id: str


def run(params: CurateParams, context: JobContext) -> Mapping[str, Any]:
    """Analyse an intake; after an interruption only what was not analysed yet."""

    def tell(done: int, total: int, name: str, face: bytes | None) -> None:
        context.check_cancelled()
        context.progress(done / max(total, 1), f"{done} of {total}: {name}", None if face is None else _png(face))

    context.check_cancelled()
    studio = context.tools
    studio.curation.analyse(params.intake_id, tell)
    found = studio.curation.review(params.intake_id)
    context.progress(1.0, "Done")
    return {"intake_id": params.intake_id, "kept": found.count("keep"), "unsure": found.count("unsure")}


KIND = JobKind("curate", "Look at photos", CurateParams, run)
