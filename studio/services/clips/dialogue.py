"""Two to four people talk: checked, queued or made at once, and kept in the library.

Everybody's lips follow their own sound, or their turns of one sound; who does not speak listens. How people behave
stands in `domain.dialogue` and `domain.dialogue_motion`, how they come into one frame in `dialogue_scene`.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from studio.domain.dialogue import VERSION, conversation, spoken_spans
from studio.domain.dialogue_motion import attend
from studio.domain.job import Job
from studio.domain.performance import Performance, take_seed
from studio.domain.photo import Photo
from studio.domain.render import Render, title_of_words
from studio.domain.speech import SILENCE
from studio.domain.speech_format import speech_format_of
from studio.engines.base import Amounts
from studio.errors import UserInputError
from studio.jobs.kinds import JobContext, JobKind
from studio.services.clips.dialogue_hearing import DialogueListener, Heard, together
from studio.services.clips.dialogue_request import DialogueRequest, Talker, arranged, checked_dialogue
from studio.services.clips.dialogue_scene import OnePicture, Scene, SideBySide, check_scene
from studio.services.clips.encoding import open_clip, write_frames
from studio.services.clips.keeping import ClipPlace, clip_of_job, clip_place, keep_clip
from studio.services.clips.making import AnimationResult
from studio.services.clips.timing import write_timing
from studio.services.people.agreement import require_of_media, require_of_photo
from studio.services.people.identities import photo_of
from studio.services.portraits.expressions import THUMBNAIL_PIXELS, check_engine
from studio.services.portraits.prepared import Portraits
from studio.services.progress import OnProgress, Progress
from studio.services.provenance import Provenance
from studio.services.recipes import new_recipe
from studio.services.sources import FoundMedia, MediaSource, Sources

__all__ = ["Dialogue", "DialogueRequest", "Talker", "arranged", "checked_dialogue", "is_dialogue"]

if TYPE_CHECKING:
    from studio.jobs.queue import JobQueue
    from studio.store import OwnerStore

_LISTENED_SHARE = 0.12
_NOD_PAUSE_SECONDS = 0.15
"""Pauses of a speaker from this length on draw nods."""


class Dialogue:
    """Lets people talk with each other."""

    def __init__(
        self,
        store: OwnerStore,
        sources: Sources,
        portraits: Portraits,
        provenance: Provenance,
        queue: JobQueue,
        scratch: Path,
    ) -> None:
        self._store, self._sources, self._portraits, self._engines = store, sources, portraits, portraits.engines
        self._provenance, self._queue, self._scratch = provenance, queue, scratch
        self._marks = provenance.marks
        self._listener = DialogueListener(sources, portraits.engines)

    # -- for the window and the command line -----------------------------------------

    def submit_dialogue(self, request: DialogueRequest) -> Job:
        """Check the request and put it into the queue; files are copied into the media store first.

        Raises:
            NoFaceError, SeveralFacesError: a picture does not show who is meant.
            UserInputError, NotFoundError, UnreadableMediaError, ConsentMissingError.
        """
        settled, photos = self._settled(request)
        shown, faces = self._shown(settled)
        picture = None if settled.picture is None else self._sources.find(settled.picture)
        check_scene(self._portraits, picture, shown, faces, len(settled.people))
        return self._queue.submit(
            "dialogue",
            settled.model_dump(mode="json"),
            title=_title(settled),
            project_id=settled.project_id,
            identity_id=_only_person(photos),
        )

    def dialogue_file(
        self,
        request: DialogueRequest,
        out: Path,
        *,
        timing: Path | None = None,
        on_progress: OnProgress | None = None,
    ) -> AnimationResult:
        """Make the clip here and now, keep it in the library and copy it to `out`.

        Args:
            timing: file for what is said, by whom and when, see SPEECH_FORMATS.

        Raises:
            UserInputError: bad request or file name; and as `dialogue`.
        """
        from studio.engines.media.atomic import check_place

        if timing is not None:
            speech_format_of(timing)
        files = [source.path for source in _sources_of(request).values() if source.path is not None]
        for place in filter(None, (out, timing)):
            check_place(place, *files)
        render, result = self.dialogue(request, on_progress=on_progress)
        self._provenance.hand_out(render, out)
        if timing is not None:
            assert result.speech is not None
            write_timing(result.speech, timing)
        return replace(result, path=out)

    def made_by(self, job_id: str) -> tuple[Render, ...]:
        """Return what a job has made so far, in order."""
        return self._store.renders.of_job(job_id)

    # -- for the worker and the library ------------------------------------------------

    def dialogue(
        self,
        request: DialogueRequest,
        *,
        job_id: str | None = None,
        parent_id: str | None = None,
        on_progress: OnProgress | None = None,
        work_folder: Path | None = None,
        made_by: Mapping[str, Any] | None = None,
    ) -> tuple[Render, AnimationResult]:
        """Make a clip and keep it in the library.

        Args:
            on_progress: what it raises ends the work.
            work_folder: outlives the process; a resumable format goes on behind the frames found there.
            made_by: the recipe that is made once more; its engine must be this one.

        Raises:
            NoFaceError, SeveralFacesError: a picture does not show who is meant.
            UserInputError, NotFoundError, UnreadableMediaError, LimitExceededError, ConsentMissingError, StoreError.
        """
        settled, photos = self._settled(request)
        self._check_engine(made_by)
        tell = on_progress or (lambda progress: None)
        with clip_place(self._scratch, "dialogue", settled.format, work_folder) as place:
            result = self._made(settled, place, tell, made_by)
            render = keep_clip(
                self._store,
                result,
                place.poster,
                "portrait",
                title=_title(settled),
                search_text=" ".join(filter(None, (*settled.names, *(one.transcript for one in settled.people),
                                                   *(turn.words for turn in settled.turns)))),
                project_id=settled.project_id,
                identity_id=_only_person(photos),
                photo_id=photos[0].id if len(photos) == 1 else None,
                parent_id=parent_id,
                job_id=job_id,
            )  # fmt: skip
        return render, replace(result, render_id=render.id, path=self._store.media.get(render.media_sha256))

    def redraw(
        self,
        recipe: Mapping[str, Any],
        *,
        parent_id: str | None = None,
        job_id: str | None = None,
        on_progress: OnProgress | None = None,
    ) -> Render:
        """Make a clip once more from its recipe.

        Raises:
            NotFoundError: an input is gone.
            UserInputError: another version of an engine made it.
        """
        request = checked_dialogue(recipe["request"])
        return self.dialogue(request, job_id=job_id, parent_id=parent_id, on_progress=on_progress, made_by=recipe)[0]

    # -- the request made ready ----------------------------------------------------------

    def _settled(self, request: DialogueRequest) -> tuple[DialogueRequest, tuple[Photo, ...]]:
        """Name pictures and sounds by their bytes, after a look whether they can be read, and ask for consent.

        Returns:
            The request, and the photos of people whom the library knows, each once.
        """
        from studio.engines.media.sound import probe

        for source in filter(None, (request.sound, *(one.sound for one in request.people))):
            probe(self._sources.path(source))
        settled = {role: self._sources.settled(source) for role, source in _sources_of(request).items()}
        photos: dict[str, Photo] = {}
        people = []
        for number, one in enumerate(request.people, 1):
            shown = (settled.get(f"portrait {number}") or settled["picture"]).sha256 or ""
            update: dict[str, Any] = {role: settled.get(f"{role} {number}") for role in ("portrait", "sound")}
            named = one.photo_id or (one.portrait.photo_id if one.portrait is not None else None)
            if named is not None:
                photo = self._store.photos.get(named)
                require_of_photo(self._store, photo, "animate")
                photos[photo.id] = photo
                face = one.face_index if one.face_index is not None else photo.face_index
                update |= {"photo_id": photo.id, "face_index": face}
            else:
                require_of_media(self._store, shown, one.face_index, "animate")
                photos |= {photo.id: photo for photo in self._known(request, shown, one.face_index)}
            people.append(one.model_copy(update=update))
        update = {role: settled.get(role) for role in ("picture", "sound")}
        return request.model_copy(update={**update, "people": tuple(people)}), tuple(photos.values())

    def _known(self, request: DialogueRequest, sha256: str, face_index: int | None) -> tuple[Photo, ...]:
        """Return the stored photos that have a picture's bytes: the oldest, or all whose faces may be meant."""
        if request.picture is None:
            found = photo_of(self._store, sha256, face_index)
            return () if found is None else (found,)
        held = self._store.photos.list(sha256=sha256)
        return tuple(p for p in held if None in (face_index, p.face_index) or face_index == p.face_index)

    def _check_engine(self, made_by: Mapping[str, Any] | None) -> None:
        if made_by is None:
            return
        animator = self._engines.animator()
        check_engine(made_by, animator.name, animator.version)
        if made_by["engines"]["dialogue"] != f"dialogue {VERSION}":
            raise UserInputError(
                "The dialogue was made by another version of this studio, in which people move differently.",
                "Make a new clip from the same settings; it will differ a little.",
            )

    # -- making ------------------------------------------------------------------------------

    def _made(
        self, request: DialogueRequest, place: ClipPlace, tell: OnProgress,
        made_by: Mapping[str, Any] | None,
    ) -> AnimationResult:  # fmt: skip
        """Make the clip's file."""
        began = time.perf_counter()
        tell(Progress(0.0, "Reading the portraits"))
        scene = self._scene(request)
        ready = time.perf_counter()
        heard = self._listener.hear(request, place.mixed, tell, until_fraction=_LISTENED_SHARE)
        listened = time.perf_counter()
        tell(Progress(_LISTENED_SHARE, "Writing the motion"))
        scene.play(self._performed(request, scene, heard), request.shutter_degrees)
        recipe = self._marks.noted(self._recipe(request, scene), made_by)
        self._draw(request, scene, heard, place, tell, recipe)
        ended = time.perf_counter()
        tell(Progress(1.0, "Done"))
        seconds = {
            "portrait": ready - began, "speech": listened - ready, "frames": ended - listened, "total": ended - began,
        }  # fmt: skip
        said = together(request.names, heard.analyses)
        return AnimationResult(
            place.out, None, len(scene), float(request.frame_rate_hz), *scene.size, len(scene) / request.frame_rate_hz,
            {k: round(v, 3) for k, v in seconds.items()}, said.method,
            tuple(dict.fromkeys((*scene.hints(), *heard.notes))), speech=said,
        )  # fmt: skip

    def _scene(self, request: DialogueRequest) -> Scene:
        photos, faces = self._shown(request)
        if request.picture is not None:
            found = self._sources.find(request.picture)
            return OnePicture(self._portraits, found, faces, len(request.people), request.size)
        return SideBySide(self._portraits, photos, request.size)

    def _shown(self, request: DialogueRequest) -> tuple[list[tuple[FoundMedia, int | None]], list[int] | None]:
        """Return everybody's photo with the face that is meant, and the faces of one picture where they are chosen."""
        photos = [(self._sources.find(one.portrait), one.face_index) for one in request.people if one.portrait]
        faces = [one.face_index for one in request.people if one.face_index is not None]
        return photos, faces if request.picture is not None and faces else None

    def _performed(self, request: DialogueRequest, scene: Scene, heard: Heard) -> tuple[Performance, ...]:
        """Write everybody's motion."""
        spans = [spoken_spans(analysis.phones) for analysis in heard.analyses]
        pauses = [
            [p.start for p in analysis.phones if p.label == SILENCE and p.end - p.start >= _NOD_PAUSE_SECONDS]
            for analysis in heard.analyses
        ]
        pictures = " ".join(one.sha256 for one in scene.people)
        seed = take_seed(request.seed, heard.sha256, pictures)
        parts = conversation(spans, heard.sounds[0].duration_seconds, seed, pauses)
        out = []
        for person, (sound, analysis) in enumerate(zip(heard.sounds, heard.analyses, strict=True)):
            mouth = scene.mouth(person)
            with self._engines.speech_lock:
                spoken = self._engines.speech().perform(
                    sound, analysis, mouth, frame_rate_hz=float(request.frame_rate_hz), seed=seed + person,
                    amounts=Amounts(gaze=0.0),
                )  # fmt: skip
            out.append(attend(spoken, parts[person], scene.seats, person, mouth))
        return tuple(out)

    def _draw(
        self, request: DialogueRequest, scene: Scene, heard: Heard, place: ClipPlace,
        tell: OnProgress, recipe: Mapping[str, Any],
    ) -> None:  # fmt: skip
        """Draw every frame into the encoder."""
        from studio.engines.media.pictures import thumbnail_jpeg

        total = len(scene)
        with open_clip(
            request.format, place.out, scene.size, request.frame_rate_hz, recipe, sound=heard.track,
            parts=place.parts, marks=self._marks,
        ) as clip:  # fmt: skip
            place.poster.write_bytes(thumbnail_jpeg(scene.picture(total // 3), THUMBNAIL_PIXELS))
            write_frames(clip, scene.pictures(clip.frames), total, tell, from_fraction=_LISTENED_SHARE)

    def _recipe(self, request: DialogueRequest, scene: Scene) -> dict[str, Any]:
        """Return the recipe that the file carries: sources by their bytes, never by path."""
        animator = self._engines.animator()
        engines = {
            "portrait": f"{animator.name} {animator.version}",
            "speech": self._engines.speech_name(),
            "dialogue": f"dialogue {VERSION}",
        }
        inputs = {role: source.sha256 or "" for role, source in _sources_of(request).items()}
        people = tuple(
            one.model_copy(update={"face_index": seen.face_index, "photo_id": None})
            for one, seen in zip(request.people, scene.people, strict=True)
        )
        settled = request.model_copy(update={"project_id": None, "people": people})
        return new_recipe("clip", settled.model_dump(mode="json"), engines, inputs)


def is_dialogue(recipe: Mapping[str, Any]) -> bool:
    """Say whether a recipe is that of a dialogue."""
    return "dialogue" in (recipe.get("engines") or {})


def _sources_of(request: DialogueRequest) -> dict[str, MediaSource]:
    """Return what a dialogue is made from, by role."""
    found = {"picture": request.picture, "sound": request.sound}
    for number, one in enumerate(request.people, 1):
        found |= {f"portrait {number}": one.portrait, f"sound {number}": one.sound}
    return {role: source for role, source in found.items() if source is not None}


def _only_person(photos: Sequence[Photo]) -> str | None:
    """Return whose clip it is; of several people nobody's alone, so that the deletion of each of them reaches it."""
    people = {photo.identity_id for photo in photos}
    return next(iter(people)) if len(people) == 1 else None


def _title(request: DialogueRequest) -> str:
    """Return one line for the gallery: the first words that are said."""
    words = next(filter(None, (turn.words for turn in request.turns)), "")
    words = words or next(filter(None, (one.transcript for one in request.people)), "")
    return title_of_words(words) or "Dialogue"


def run(params: DialogueRequest, context: JobContext) -> Mapping[str, Any]:
    """Make a queued clip, once."""
    service: Dialogue = context.service
    return clip_of_job(context, service.dialogue, params)


KIND = JobKind("dialogue", "Dialogue", DialogueRequest, run, service="dialogue", icon="animate")
