"""New speech for a video that exists: checked, queued or made at once, and kept in the library.

The mouth of one face says what is given; everything else of the clip stays as
it was filmed, and its own sound gives way to the new one.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from studio.domain.dubbing import mouth_only, offered_rate
from studio.domain.job import Job
from studio.domain.performance import Performance, take_seed
from studio.domain.render import Render, title_of_words
from studio.engines.base import DubbedClip, Image
from studio.errors import UserInputError
from studio.jobs.kinds import JobContext, JobKind
from studio.services.clips.driven import LONGEST_SECONDS, still, video_part
from studio.services.clips.dub_request import DubRequest, checked_dub
from studio.services.clips.encoding import open_clip, write_frames
from studio.services.clips.keeping import ClipPlace, clip_of_job, clip_place, keep_clip
from studio.services.clips.listening import Listener, Spoken
from studio.services.clips.making import AnimationResult
from studio.services.clips.request import FRAME_RATES_HZ
from studio.services.people.agreement import require_agreement
from studio.services.portraits.expressions import THUMBNAIL_PIXELS
from studio.services.portraits.prepared import LARGEST_SIDE, SMALLEST_SIDE, Portraits
from studio.services.progress import OnProgress, Progress
from studio.services.provenance import Provenance
from studio.services.recipes import new_recipe
from studio.services.sources import Sources

__all__ = ["DubRequest", "Dubbing", "checked_dub"]

if TYPE_CHECKING:
    from studio.engines.media.frames import FrameReader
    from studio.jobs.queue import JobQueue
    from studio.store import OwnerStore

_TELL_EVERY = 12
_LOOKING_SHARE = 0.2
_CUT_OFF_SECONDS = 0.3
"""So much of a speech may be left out behind the video without a word."""


class Dubbing:
    """Lets people in videos say something else."""

    def __init__(
        self,
        store: OwnerStore,
        sources: Sources,
        portraits: Portraits,
        provenance: Provenance,
        queue: JobQueue,
        scratch: Path,
    ) -> None:
        self._store, self._sources, self._engines = store, sources, portraits.engines
        self._provenance, self._queue, self._scratch = provenance, queue, scratch
        self._marks = provenance.marks
        self._listener = Listener(sources, portraits.engines, scratch)

    # -- for the window and the command line -----------------------------------------

    def submit_dub(self, request: DubRequest) -> Job:
        """Check the request and put it into the queue; files are copied into the media store first.

        Raises:
            UserInputError, NotFoundError, UnreadableMediaError, LimitExceededError, ConsentMissingError.
        """
        settled = self._settled(request)
        return self._queue.submit(
            "dub",
            settled.model_dump(mode="json"),
            title=_title(settled),
            project_id=settled.project_id,
            identity_id=settled.identity_id,
        )

    def dub_file(self, request: DubRequest, out: Path, *, on_progress: OnProgress | None = None) -> AnimationResult:
        """Make the clip here and now, keep it in the library and copy it to `out`.

        Raises:
            UserInputError: bad request or file name; and as `dub`.
        """
        from studio.engines.media.atomic import check_place

        check_place(out, *(s.path for s in (request.clip, request.sound) if s is not None))
        render, result = self.dub(request, on_progress=on_progress)
        self._provenance.hand_out(render, out)
        return replace(result, path=out, curves=None)

    def made_by(self, job_id: str) -> tuple[Render, ...]:
        """Return what a job has made so far, in order."""
        return self._store.renders.of_job(job_id)

    # -- for the worker and the library ------------------------------------------------

    def dub(
        self,
        request: DubRequest,
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
            NoFaceError: the video shows none.
            UserInputError, NotFoundError, UnreadableMediaError, LimitExceededError, ConsentMissingError, StoreError.
        """
        settled = self._settled(request)
        self._check_engine(made_by)
        tell = on_progress or (lambda progress: None)
        with clip_place(self._scratch, "dub", settled.format, work_folder) as place:
            result = self._made(settled, place, tell, made_by)
            render = self._keep(settled, result, place.poster, job_id, parent_id)
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
            UserInputError: another version of the engine made it.
        """
        request = checked_dub(recipe["request"])
        return self.dub(request, job_id=job_id, parent_id=parent_id, on_progress=on_progress, made_by=recipe)[0]

    # -- the request made ready ----------------------------------------------------------

    def _settled(self, request: DubRequest) -> DubRequest:
        """Name video and sound by their bytes, after a look whether they can be read, and ask for consent."""
        from studio.engines.media.sound import probe

        if request.sound is not None:
            probe(self._sources.path(request.sound))
        video_part(self._sources.path(request.clip), request.start_seconds, request.seconds)
        clip = self._sources.settled(request.clip)
        shown = {r.identity_id for r in self._store.renders.of_media(clip.sha256 or "")} - {None}
        people = sorted(person for person in {request.identity_id, *shown} if person)
        for person in people:
            require_agreement(self._store.identities.get(person), "animate")
        return request.model_copy(
            update={
                "clip": clip,
                "sound": None if request.sound is None else self._sources.settled(request.sound),
                "identity_id": request.identity_id or next(iter(people), None),
            }
        )

    def _check_engine(self, made_by: Mapping[str, Any] | None) -> None:
        dubber = self._engines.dubber()
        now = f"{dubber.name} {dubber.version}"
        if made_by is not None and made_by["engines"]["dubbing"] != now:
            raise UserInputError(
                f"The clip was made by engine {made_by['engines']['dubbing']}; this studio has {now}.",
                "Make a new clip from the same settings; it will differ a little.",
            )

    # -- making ------------------------------------------------------------------------------

    def _made(
        self,
        request: DubRequest,
        place: ClipPlace,
        tell: OnProgress,
        made_by: Mapping[str, Any] | None,
    ) -> AnimationResult:
        """Make the clip's file."""
        from studio.engines.media.curves import write_curves

        began = time.perf_counter()
        tell(Progress(0.0, "Listening to the speech"))
        spoken = self._listener.listen(request.speech)
        heard = time.perf_counter()
        try:
            path = self._sources.path(request.clip)
            length = min(spoken.sound.duration_seconds, request.seconds or LONGEST_SECONDS)
            with self._frames(request, path, length) as frames:
                rate = offered_rate(frames.frame_rate_hz, FRAME_RATES_HZ)
                clip = self._studied(request, _at_rate(frames, frames.frame_rate_hz, rate), rate, tell)
                notes = (*spoken.notes, *spoken.analysis.notes, *clip.notes, *frames.notes)
            if len(clip) < 2:
                raise still(path.name)
            performance = self._performed(request, spoken, clip)
            missing = length - len(clip) / rate
            if missing > _CUT_OFF_SECONDS:
                notes = (*notes, f"The speech goes on for {missing:.1f} s after the video, and is cut there.")
            written = time.perf_counter()
            size, drawn = self._drawn(request, path, length, spoken, clip, performance, place, tell, made_by)
            write_curves(performance, place.curves)
        finally:
            if request.sound is None:  # what the offline voice said lies in the clip now
                spoken.path.unlink(missing_ok=True)
        ended = time.perf_counter()
        tell(Progress(1.0, "Done"))
        seconds = {
            "speech": heard - began, "looking": written - heard, "frames": ended - written, "total": ended - began
        }  # fmt: skip
        return AnimationResult(
            place.out, place.curves, drawn, float(rate), *size, drawn / rate,
            {k: round(v, 3) for k, v in seconds.items()}, spoken.analysis.method, tuple(dict.fromkeys(notes)),
            speech=spoken.analysis,
        )  # fmt: skip

    @contextmanager
    def _frames(self, request: DubRequest, path: Path, seconds: float) -> Iterator[FrameReader]:
        from studio.engines.media.frames import read_frames

        with read_frames(
            path, longer_side=request.size or LARGEST_SIDE, max_seconds=LONGEST_SECONDS + 1,
            start_seconds=request.start_seconds, seconds=seconds, most_per_second=float(FRAME_RATES_HZ[-1]),
        ) as frames:  # fmt: skip
            yield frames

    def _studied(self, request: DubRequest, frames: Iterable[Image], rate: int, tell: OnProgress) -> DubbedClip:
        def on_frame(count: int) -> None:
            if count % _TELL_EVERY == 1:
                tell(Progress(0.05, f"Following the face, {count / rate:.0f} s"))

        with self._engines.lock:
            return self._engines.dubber().study(frames, float(rate), face_index=request.face_index, on_frame=on_frame)

    def _performed(self, request: DubRequest, spoken: Spoken, clip: DubbedClip) -> Performance:
        seed = take_seed(request.seed, spoken.sha256, request.clip.sha256 or "")
        with self._engines.speech_lock:
            performance = self._engines.speech().perform(
                spoken.sound, spoken.analysis, clip.mouth, frame_rate_hz=clip.frame_rate_hz, seed=seed
            )
        return mouth_only(performance)

    def _drawn(
        self,
        request: DubRequest,
        path: Path,
        length: float,
        spoken: Spoken,
        clip: DubbedClip,
        performance: Performance,
        place: ClipPlace,
        tell: OnProgress,
        made_by: Mapping[str, Any] | None,
    ) -> tuple[tuple[int, int], int]:
        """Draw every frame into the encoder; return width and height, and how many there are."""
        from studio.engines.media.pictures import thumbnail_jpeg

        rate, total = round(clip.frame_rate_hz), min(len(clip), len(performance))
        recipe = self._marks.noted(self._recipe(request, spoken), made_by)
        if request.sound is None:
            self._marks.mark_voice(spoken.path, recipe)
        with self._frames(request, path, length) as frames:
            source = iter(_at_rate(frames, frames.frame_rate_hz, rate))
            cover = next(source)
            size = (cover.shape[1], cover.shape[0])
            if max(size) < SMALLEST_SIDE:
                raise UserInputError(
                    f"The video is {size[0]} x {size[1]} pixels large; {SMALLEST_SIDE} are the least.",
                    "Use a larger video.",
                )
            with open_clip(
                request.format, place.out, size, rate, recipe, sound=spoken.path, parts=place.parts, marks=self._marks
            ) as writer:
                first = writer.frames

                def on_frame(frame: int, picture: Image) -> None:
                    if frame == max(first, total // 3):
                        place.poster.write_bytes(thumbnail_jpeg(picture, THUMBNAIL_PIXELS))

                write_frames(
                    writer, clip.redraw(_from(cover, source, first), performance, first), total, tell,
                    from_fraction=_LOOKING_SHARE, on_frame=on_frame,
                )  # fmt: skip
                if not place.poster.is_file():
                    place.poster.write_bytes(thumbnail_jpeg(cover, THUMBNAIL_PIXELS))
        return size, total

    def _recipe(self, request: DubRequest, spoken: Spoken) -> dict[str, Any]:
        """Return the recipe that the file carries: sources by their bytes, never by path."""
        dubber = self._engines.dubber()
        engines = {"dubbing": f"{dubber.name} {dubber.version}", "speech": self._engines.speech_name()}
        inputs = {"clip": request.clip.sha256 or ""}
        if request.sound is not None:
            inputs["sound"] = request.sound.sha256 or spoken.sha256
        return new_recipe(
            "clip", request.model_copy(update={"project_id": None}).model_dump(mode="json"), engines, inputs
        )

    def _keep(
        self, request: DubRequest, result: AnimationResult, poster: Path, job_id: str | None, parent_id: str | None
    ) -> Render:
        """Put a finished clip into the library."""
        return keep_clip(
            self._store,
            result,
            poster,
            "dubbing",
            title=_title(request),
            search_text=" ".join(filter(None, (request.transcript, request.text))),
            project_id=request.project_id,
            identity_id=request.identity_id,
            parent_id=parent_id,
            job_id=job_id,
        )


def is_dubbed(recipe: Mapping[str, Any]) -> bool:
    """Say whether a recipe is that of a video with new speech."""
    return "dubbing" in (recipe.get("engines") or {})


def _at_rate(frames: Iterable[Image], seen_hz: float, wanted_hz: float) -> Iterator[Image]:
    """Yield frames at another rate: some twice, or not all of them."""
    number = 0
    for index, frame in enumerate(frames):
        while (number + 0.5) / wanted_hz < (index + 1) / seen_hz:
            yield frame
            number += 1


def _from(cover: Image, rest: Iterator[Image], first: int) -> Iterator[Image]:
    """Yield frames from number `first` on; `cover` is number 0."""
    if first == 0:
        yield cover
    for number, frame in enumerate(rest, 1):
        if number >= first:
            yield frame


def _title(request: DubRequest) -> str:
    """Return one line for the gallery: the first words that are said."""
    return title_of_words(request.transcript or request.text or "") or "Video with new speech"


def run(params: DubRequest, context: JobContext) -> Mapping[str, Any]:
    """Make a queued clip, once."""
    service: Dubbing = context.service
    return clip_of_job(context, service.dub, params)


KIND = JobKind("dub", "Video with new speech", DubRequest, run, service="dubbing", icon="film")
