"""A portrait speaks: checked, queued or made at once, and kept in the library.

How a clip is made stands in `clips`; here is what may be asked, whose consent
it needs, and what the library remembers of it.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from studio.domain.clip_format import clip_format, curve_format_of
from studio.domain.job import Job
from studio.domain.performance import Performance
from studio.domain.render import Render, title_of_words
from studio.domain.speech_format import speech_format_of
from studio.engines.base import Amounts, Image
from studio.errors import UserInputError
from studio.jobs.kinds import JobContext, JobKind
from studio.services.clips.composed import MotionShelf, check_composed
from studio.services.clips.driven import check_driving
from studio.services.clips.keeping import clip_of_job, clip_place, keep_clip
from studio.services.clips.making import AnimationResult, ClipMaker
from studio.services.clips.recorded import recorded_motion
from studio.services.clips.request import (
    EMOTIONS,
    FRAME_RATES_HZ,
    MOVING_ROLES,
    AnimationRequest,
    check,
    checked_request,
)
from studio.services.clips.timing import write_timing
from studio.services.people.agreement import require_of_media, require_of_photo
from studio.services.people.identities import photo_of
from studio.services.portraits.expressions import check_engine
from studio.services.portraits.prepared import Portraits
from studio.services.progress import OnProgress
from studio.services.provenance import Provenance
from studio.services.sources import MediaSource, Sources

if TYPE_CHECKING:
    from studio.jobs.queue import JobQueue
    from studio.store import OwnerStore

__all__ = [
    "EMOTIONS",
    "FRAME_RATES_HZ",
    "Amounts",
    "Animation",
    "AnimationRequest",
    "AnimationResult",
    "checked_request",
]

PREVIEW_SIDE = 512


class Animation:
    """Makes talking clips."""

    def __init__(
        self,
        store: OwnerStore,
        sources: Sources,
        portraits: Portraits,
        provenance: Provenance,
        queue: JobQueue,
        scratch: Path,
        shelf: MotionShelf | None = None,
    ) -> None:
        self._store = store
        self._provenance, self._marks = provenance, provenance.marks
        self._sources = sources
        self._portraits = portraits
        self._queue = queue
        self._scratch = scratch
        self._maker = ClipMaker(sources, portraits, scratch, shelf)

    def languages(self) -> tuple[tuple[str, str], ...]:
        """Return code and title of every language that speech can be in: English first, any other one last."""
        return self._portraits.engines.languages()

    # -- for the window and the command line -----------------------------------------

    def preview(self, request: AnimationRequest, seconds: float = 3.0) -> AnimationResult:
        """Draw the first seconds at 512 px at once, into the studio's scratch folder (not in the library)."""
        check(request)
        size = min(request.size or PREVIEW_SIDE, PREVIEW_SIDE)
        short = request.model_copy(update={"seconds": seconds, "size": size})
        self._scratch.mkdir(parents=True, exist_ok=True)
        return self._maker.make(
            self._with_face(short), self._scratch / f"preview-{time.time_ns()}{clip_format(short.format).suffix}"
        )

    def frame(self, request: AnimationRequest, at_seconds: float) -> Image:
        """Draw one frame of a performance at once, for scrubbing.

        Args:
            request: one that a performance moves.
            at_seconds: held inside the performance.

        Returns:
            RGB.  # (H, W, 3)

        Raises:
            UserInputError: nothing but a performance can be scrubbed; and as `submit_render`.
        """
        if request.performance is None:
            raise UserInputError("Only a performance can be looked at frame by frame.", "Keep the clip as one first.")
        return self._maker.frame(self._with_face(request), at_seconds)

    def motion(self, request: AnimationRequest) -> Performance:
        """Return how a performance moves a portrait, without drawing it.

        Args:
            request: one that a performance moves; its part and its rate count.

        Raises:
            UserInputError: nothing but a performance can be looked at; and as `submit_render`.
        """
        if request.performance is None:
            raise UserInputError("Only a performance has curves.", "Keep the clip as one first.")
        return self._maker.motion(self._with_face(request))

    def submit_render(self, request: AnimationRequest) -> Job:
        """Check the request and put it into the queue; the worker makes the clip.

        Files are copied into the media store first, so that they may move or
        change while the job waits.

        Raises:
            UserInputError, NotFoundError, UnreadableMediaError, ConsentMissingError.
        """
        check(request)
        settled = self._settled(self._with_face(request))
        photo = None if settled.photo_id is None else self._store.photos.get(settled.photo_id)
        return self._queue.submit(
            "animate",
            settled.model_dump(mode="json"),
            title=_title(settled),
            project_id=settled.project_id or (photo.project_id if photo else None),
            identity_id=photo.identity_id if photo else None,
        )

    def animate_file(
        self,
        request: AnimationRequest,
        out: Path,
        *,
        curves: Path | None = None,
        timing: Path | None = None,
        on_progress: OnProgress | None = None,
    ) -> AnimationResult:
        """Make the clip here and now, into `out`; a stored photo's clip is kept in the library too.

        Args:
            curves: file for the motion, see CURVE_FORMATS.
            timing: file for what is said and when, see SPEECH_FORMATS.

        Raises:
            UserInputError: bad request, portrait, sound or file name; and StoreError, EngineError.
        """
        from studio.engines.media.atomic import check_place
        from studio.engines.media.curves import read_json, write_curves

        check(request)
        if curves is not None:
            curve_format_of(curves)  # a name of another format is refused now, not after the last frame
        if timing is not None:
            speech_format_of(timing)
            if request.is_moved:
                raise UserInputError("Recorded motion says no words.", "Leave the subtitles or cues out.")
        sources = [source.path for source in _files_of(request).values()]
        for place in filter(None, (out, curves, timing)):
            check_place(place, *sources)
        if request.portrait.photo_id is None:
            inputs = {role: self._sources.find(s).path for role, s in _files_of(request).items()}
            with self._provenance.signing(out, kind="clip", inputs=inputs) as part:
                made = self._maker.make(
                    self._with_face(request), part, curves=curves, on_progress=on_progress, marks=self._marks
                )
            return _timed(replace(made, path=out), timing)
        render, result = self.render(request, on_progress=on_progress)
        self._provenance.hand_out(render, out)
        if curves is not None:
            write_curves(read_json(self._store.media.get(render.inputs["curves"])), curves)
        return _timed(replace(result, path=out, curves=curves), timing)

    def voices(self) -> tuple[str, ...]:
        """Return the offline voices; empty when no synthesis engine is installed."""
        return self._portraits.engines.voices()

    # -- for the worker and the library ------------------------------------------------

    def made_by(self, job_id: str) -> tuple[Render, ...]:
        """Return what a job has made so far, in order."""
        return self._store.renders.of_job(job_id)

    def render(
        self,
        request: AnimationRequest,
        *,
        job_id: str | None = None,
        parent_id: str | None = None,
        on_progress: OnProgress | None = None,
        made_by: Mapping[str, Any] | None = None,
        work_folder: Path | None = None,
    ) -> tuple[Render, AnimationResult]:
        """Make a clip and keep it in the library with its curves and its whole recipe.

        Args:
            work_folder: outlives the process; a resumable format goes on behind the frames found there.
            made_by: the recipe that is made once more; its engine must be this one.
        """
        settled = self._settled(self._with_face(request))
        if made_by is not None:
            animator = self._portraits.engines.animator(settled.engine)
            check_engine(made_by, animator.name, animator.version)
        with clip_place(self._scratch, "clip", settled.format, work_folder) as place:
            result = self._maker.make(
                settled, place.out, curves=place.curves, on_progress=on_progress, poster=place.poster,
                parts=place.parts, marks=self._marks, made_by=made_by,
            )  # fmt: skip
            render = self._keep(settled, result, place.poster, job_id, parent_id)
        return render, replace(result, render_id=render.id, path=self._store.media.get(render.media_sha256))

    def _keep(
        self,
        request: AnimationRequest,
        result: AnimationResult,
        poster: Path,
        job_id: str | None,
        parent_id: str | None,
    ) -> Render:
        """Put a finished clip into the library."""
        from studio.engines.media.recipe import read_recipe

        photo = None
        if request.photo_id is not None:
            photo = self._store.photos.get(request.photo_id)
        shown = (read_recipe(result.path) or {})["inputs"]["portrait"]
        photo = photo or photo_of(self._store, shown, request.face_index)
        return keep_clip(
            self._store,
            result,
            poster,
            "portrait",
            title=_title(request),
            search_text=" ".join(filter(None, (request.transcript, request.text, *request.emotions))),
            project_id=request.project_id or (photo.project_id if photo else None),
            identity_id=photo.identity_id if photo else None,
            photo_id=photo.id if photo else None,
            parent_id=parent_id,
            job_id=job_id,
        )

    # -- the request made ready ----------------------------------------------------------

    def _with_face(self, request: AnimationRequest) -> AnimationRequest:
        """Let a stored photo say which face is meant, and check what its person agreed to."""
        photo = self._sources.photo(request.portrait)
        if photo is None and request.photo_id is not None:
            photo = self._store.photos.get(request.photo_id)
        if photo is None:
            require_of_media(self._store, self._sources.sha256(request.portrait), request.face_index, "animate")
            return request
        require_of_photo(self._store, photo, "animate")
        face = request.face_index if request.face_index is not None else photo.face_index
        return request.model_copy(update={"face_index": face, "photo_id": photo.id})

    def _settled(self, request: AnimationRequest) -> AnimationRequest:
        """Name portrait, sound and motion by their bytes, after a look whether they can be read at all."""
        from studio.engines.media.sound import probe

        if request.sound is not None:
            probe(self._sources.path(request.sound))
        if request.motion is not None:
            recorded_motion(request, self._sources.path(request.motion))
        if request.driving is not None:
            check_driving(request, self._sources.path(request.driving))
        made_from: tuple[str, ...] = ()
        if request.performance is not None:
            document = check_composed(request, self._sources.path(request.performance), self._sources)
            made_from = tuple(sorted(set(document.media.values())))
        sources = {role: getattr(request, role) for role in ("portrait", *MOVING_ROLES)}
        return request.model_copy(
            update={
                "performance_media": made_from,
                **{role: None if s is None else self._sources.settled(s) for role, s in sources.items()},
            }
        )


def _files_of(request: AnimationRequest) -> dict[str, MediaSource]:
    """Return what a clip is made from, by role."""
    found = {role: getattr(request, role) for role in ("portrait", *MOVING_ROLES)}
    return {role: source for role, source in found.items() if source is not None}


def _timed(result: AnimationResult, timing: Path | None) -> AnimationResult:
    """Write what is said and when, where that was asked for, and return the result.

    Raises:
        UserInputError: subtitles were asked for, and no words are known.
    """
    if timing is not None:
        assert result.speech is not None  # a clip that is not listened to was refused
        write_timing(result.speech, timing)
    return result


def _title(request: AnimationRequest) -> str:
    """Return one line for the gallery: the first words that are said."""
    usual = "Talking clip"
    for moving, title in (
        (request.driving, "Driven by a video"),
        (request.motion, "Recorded motion"),
        (request.performance, "Performance"),
        (request.orbit, "Seen from around"),
    ):
        usual = title if moving is not None else usual
    return title_of_words(request.transcript or request.text or "") or usual


def run(params: AnimationRequest, context: JobContext) -> Mapping[str, Any]:
    """Make a queued clip, once."""
    service: Animation = context.service
    return clip_of_job(context, service.render, params)


KIND = JobKind("animate", "Talking clip", AnimationRequest, run, service="animation", icon="animate")
