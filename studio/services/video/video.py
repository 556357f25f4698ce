"""A taught person speaks: checked, queued or made at once, and kept in the library.

A base model with the person's adapter draws one picture, the anchor. The rig
lets it speak, as it lets a photo speak; the base then draws every frame anew
from the rig's. So the clip moves as smoothly as the rig's and shows what the
base was taught, where the rig alone only bends one picture.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from studio.domain.job import Job
from studio.domain.motion_model import MotionFiles
from studio.domain.render import Render, title_of_words
from studio.engines.base import Image
from studio.engines.base_video import ClipOrder
from studio.errors import NoFaceError, SeveralFacesError, UserInputError
from studio.jobs.kinds import JobContext, JobKind
from studio.services.clips.keeping import ClipPlace, clip_of_job, clip_place, keep_clip
from studio.services.clips.making import AnimationResult, ClipMaker
from studio.services.people.agreement import require_agreement, require_of_media, require_of_photo
from studio.services.pictures.generation import Generation, PreparedDrawing, order_of, person_of, weights_of
from studio.services.portraits.prepared import LARGEST_SIDE, SMALLEST_SIDE, Portraits
from studio.services.progress import OnProgress, Progress
from studio.services.provenance import Provenance
from studio.services.sources import MediaSource, Sources
from studio.services.video.motions import Motions
from studio.services.video.painting import Painting
from studio.services.video.request import VideoRequest, checked_video

if TYPE_CHECKING:
    from studio.jobs.queue import JobQueue
    from studio.store import OwnerStore

__all__ = ["Video", "VideoCost", "VideoRequest", "checked_video"]

SMALL_PIXELS = 256
"""Anchor pictures up to this are enlarged."""
ENLARGED_PIXELS = 512
"""Longer side to which small anchor pictures are brought, so that their face is found."""
_WORDS_PER_SECOND = 2.7
_LOOKED_BACK = 50
"""Renders among which one is looked for that tells how long this base takes."""


@dataclass(frozen=True)
class VideoCost:
    """What a clip will take.

    Attributes:
        frames: of the clip; None when the sound does not tell its length.
        seconds: to make it; None when this base has drawn nothing here yet.
    """

    frames: int | None
    seconds: float | None


@dataclass(frozen=True)
class _Anchor:
    """The picture that a clip begins with; `sha256` is of its bytes in the media store."""

    sha256: str
    image: Image
    face_index: int | None


class Video:
    """Makes clips of taught people."""

    def __init__(
        self,
        store: OwnerStore,
        sources: Sources,
        portraits: Portraits,
        generation: Generation,
        motions: Motions,
        provenance: Provenance,
        queue: JobQueue,
        scratch: Path,
    ) -> None:
        self.motions = motions
        self._provenance = provenance
        self._store = store
        self._sources = sources
        self._portraits = portraits
        self._generation = generation
        self._queue = queue
        self._scratch = scratch
        self._marks = provenance.marks
        self._maker = ClipMaker(sources, portraits, scratch)

    # -- for the window and the command line -----------------------------------------

    def submit_video(self, request: VideoRequest) -> Job:
        """Check the request and put it into the queue; files are copied into the media store first.

        Raises:
            UserInputError, NotFoundError, UnreadableMediaError, ConsentMissingError.
        """
        settled, drawing, _ = self._settled(request)
        return self._queue.submit(
            "video",
            settled.model_dump(mode="json"),
            title=_title(settled),
            project_id=settled.project_id,
            identity_id=person_of(drawing),
        )

    def cost(self, request: VideoRequest) -> VideoCost:
        """Estimate what a clip takes, from what the same base took here before.

        Raises:
            NotFoundError, UnreadableMediaError: the sound cannot be read.
        """
        from studio.engines.media.sound import probe

        if request.sound is not None:
            length = probe(self._sources.path(request.sound)).duration_seconds
        else:
            length = len((request.text or "").split()) / _WORDS_PER_SECOND
        if length is None:
            return VideoCost(None, None)
        length = max(0.0, length - request.start_seconds)
        length = min(length, request.seconds or length)
        frames = max(1, round(length * request.frame_rate_hz))
        made = [r for r in self._store.renders.page(limit=_LOOKED_BACK).renders if _tells(r, request.base)]
        if not made:
            return VideoCost(frames, None)
        # What is in memory now nobody knows: the longest loading is said, once.
        setup = max(r.setup_seconds or 0.0 for r in made)
        return VideoCost(frames, setup + frames * _seconds_per_frame(made, request.change))

    def video(
        self,
        request: VideoRequest,
        *,
        job_id: str | None = None,
        parent_id: str | None = None,
        on_progress: OnProgress | None = None,
        work_folder: Path | None = None,
        made_by: Mapping[str, Any] | None = None,
    ) -> tuple[Render, AnimationResult]:
        """Make a clip here and now and keep it in the library.

        Args:
            on_progress: what it raises ends the work.
            work_folder: outlives the process; a resumable format goes on behind the frames found there.
            made_by: the recipe that is made once more; its engines must be these.

        Raises:
            UserInputError: bad numbers, an adapter of another family, a sound without length.
            NoFaceError: there is no face in the anchor picture.
            NotFoundError, UnreadableMediaError, ConsentMissingError, EngineError, OutOfMemoryError, StoreError.
        """
        settled, drawing, moving = self._settled(request)
        tell = on_progress or (lambda progress: None)
        self._check_engines(made_by)
        _check_motion(made_by, moving)
        with (
            clip_place(self._scratch, "video", settled.format, work_folder) as place,
            self._store.media.keeping(),  # the anchor picture goes with a clip that comes to nothing
        ):
            begun = time.perf_counter()
            anchor = self._anchor(settled, drawing, tell)
            spent = round(time.perf_counter() - begun, 3)
            result = self._made(settled, drawing, moving, anchor, place, tell, made_by)
            total = round(spent + result.seconds["total"], 3)
            result = replace(result, seconds={**result.seconds, "anchor": spent, "total": total})
            render = self._keep(settled, drawing, anchor, result, place.poster, job_id, parent_id)
        return render, replace(result, render_id=render.id, path=self._store.media.get(render.media_sha256))

    def video_file(self, request: VideoRequest, out: Path, *, on_progress: OnProgress | None = None) -> AnimationResult:
        """Make a clip here and now, keep it in the library and copy it to `out`.

        Raises:
            UserInputError: bad request or file name; and as `video`.
        """
        from studio.engines.media.atomic import check_place

        check_place(out, *(s.path for s in (request.picture, request.sound) if s is not None))
        render, result = self.video(request, on_progress=on_progress)
        self._provenance.hand_out(render, out)
        return replace(result, path=out, curves=None)

    def made_by(self, job_id: str) -> tuple[Render, ...]:
        """Return what a job has made so far, in order."""
        return self._store.renders.of_job(job_id)

    # -- for the library -----------------------------------------------------------------

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
            NotFoundError: the base, an adapter or an input is gone; named with its hash.
            UserInputError: another version of an engine made it.
        """
        adapters = self._generation.brought_back(recipe)
        request = checked_video(recipe["request"]).model_copy(update={"adapters": adapters})
        return self.video(request, job_id=job_id, parent_id=parent_id, on_progress=on_progress, made_by=recipe)[0]

    # -- the request made ready ------------------------------------------------------------

    def _settled(self, request: VideoRequest) -> tuple[VideoRequest, PreparedDrawing, MotionFiles | None]:
        """Name picture and sound by their bytes, find base, adapters and motion, ask for consent."""
        from studio.engines.media.sound import probe

        if request.sound is not None:
            probe(self._sources.path(request.sound))
        drawing = self._generation.prepared(request.of_picture)
        moving = self._motion(request, drawing)  # what is not there is said now, not after the speech was heard
        for person in drawing.people:
            require_agreement(self._store.identities.get(person), "animate")
        face = request.face_index
        photo = None if request.picture is None else self._sources.photo(request.picture)
        if photo is not None:
            require_of_photo(self._store, photo, "animate")
            face = photo.face_index if face is None else face
        elif request.picture is not None:
            sha256 = self._sources.sha256(request.picture)
            require_of_media(self._store, sha256, face, "animate")
            for render in self._store.renders.of_media(sha256):
                if render.identity_id is not None:
                    require_agreement(self._store.identities.get(render.identity_id), "animate")
        settled = request.model_copy(
            update={
                "picture": None if request.picture is None else self._sources.settled(request.picture),
                "sound": None if request.sound is None else self._sources.settled(request.sound),
                "face_index": face,
                "width": drawing.request.width,
                "height": drawing.request.height,
                "steps": drawing.request.steps,
                "guidance": drawing.request.guidance,
            }
        )
        return settled, drawing, moving

    def _anchor(self, request: VideoRequest, drawing: PreparedDrawing, tell: OnProgress) -> _Anchor:
        """Return the anchor picture: the one that is given, or one that is drawn now."""
        from studio.engines.media.pictures import png_bytes, read_picture

        if request.picture is not None:
            found = self._sources.find(request.picture)
            image = read_picture(found.path).rgb
            tell(Progress(0.04, "The anchor picture", preview=image))
            if max(image.shape[:2]) > SMALL_PIXELS:
                return _Anchor(found.sha256 or "", image, request.face_index)
            image = _enlarged(image)
            return _Anchor(self._store.media.put(png_bytes(image), ".png"), image, request.face_index)
        tell(Progress(0.0, "Drawing the anchor picture"))
        pictures = self._portraits.engines.generator().generate(
            drawing.location, order_of(drawing.request), drawing.worn,
            on_step=lambda step, steps, preview: tell(
                Progress(0.04 * step / steps, f"Drawing the anchor picture, step {step} of {steps}", preview=preview)
            ),
        )  # fmt: skip
        image = _enlarged(next(iter(pictures)))
        tell(Progress(0.04, "The anchor picture", preview=image))
        return _Anchor(self._store.media.put(png_bytes(image), ".png"), image, None)

    def _made(
        self,
        request: VideoRequest,
        drawing: PreparedDrawing,
        moving: MotionFiles | None,
        anchor: _Anchor,
        place: ClipPlace,
        tell: OnProgress,
        made_by: Mapping[str, Any] | None,
    ) -> AnimationResult:
        """Make the clip's file."""
        size = request.size or min(LARGEST_SIDE, max(SMALLEST_SIDE, *_size(drawing)))
        clip = request.of_clip(MediaSource.media(anchor.sha256), size, anchor.face_index)
        painting = Painting(
            painter=self._portraits.engines.painter(),
            drawing=drawing,
            order=_clip_order(request, drawing),
            cover=anchor.image,
            note=lambda recipe: self._recipe(request, drawing, moving, recipe),
            own_lips=request.own_lips,
            on_progress=tell,
            motion=moving,
            anchored=request.anchored,
        )
        try:
            result = self._maker.make(
                clip, place.out, curves=place.curves, on_progress=tell, poster=place.poster, parts=place.parts,
                finish=painting,
                marks=self._marks, made_by=made_by,
            )  # fmt: skip
        except (NoFaceError, SeveralFacesError) as exc:
            if request.picture is not None:
                raise
            raise NoFaceError(
                "The base model drew no picture with one clear face to begin with.",
                "Ask for a portrait from the front, take another seed, or choose a picture to begin with.",
            ) from exc
        return replace(result, seconds=_loading_apart(result.seconds, painting))

    # -- keeping ---------------------------------------------------------------------------

    def _motion(self, request: VideoRequest, drawing: PreparedDrawing) -> MotionFiles | None:
        """Return the motion that a request names; None draws each frame by itself.

        Raises:
            NotFoundError: it is not there.
            UserInputError: it is for another family of models.
        """
        if not request.motion:
            return None
        found = self.motions.resolve(request.motion, drawing.location.family)
        return found if request.control > 0 else replace(found, control=None)

    def _recipe(
        self,
        request: VideoRequest,
        drawing: PreparedDrawing,
        moving: MotionFiles | None,
        of_clip: Mapping[str, Any],
    ) -> dict[str, Any]:
        """Return the recipe of a drawn clip, from that of the rig's."""
        engines = self._portraits.engines
        painter, generator = engines.painter(), engines.generator()
        inputs = {("anchor" if role == "portrait" else role): sha for role, sha in of_clip["inputs"].items()}
        return {
            **of_clip,
            **({} if moving is None else {"motion": {"name": moving.name, "sha256": moving.sha256}}),
            "request": request.model_copy(update={"project_id": None}).model_dump(mode="json"),
            "engines": {
                **of_clip["engines"],
                "painter": f"{painter.name} {painter.version}",
                "generator": f"{generator.name} {generator.version}",
                **painter.libraries(),
            },
            "inputs": inputs | dict(drawing.inputs),
            **weights_of(drawing),
        }

    def _keep(
        self,
        request: VideoRequest,
        drawing: PreparedDrawing,
        anchor: _Anchor,
        result: AnimationResult,
        poster: Path,
        job_id: str | None,
        parent_id: str | None,
    ) -> Render:
        """Put a finished clip into the library."""
        said = " ".join(filter(None, (request.transcript, request.text, *request.emotions)))
        return keep_clip(
            self._store,
            result,
            poster,
            "painter",
            inputs={"anchor": anchor.sha256},
            setup_seconds=_setup_seconds(result.seconds),
            title=_title(request),
            search_text=f"{request.prompt} {said}",
            project_id=request.project_id,
            identity_id=person_of(drawing),
            parent_id=parent_id,
            job_id=job_id,
        )

    # -- what the above share ----------------------------------------------------------------

    def _check_engines(self, made_by: Mapping[str, Any] | None) -> None:
        """Refuse to make a clip again with other engines than those that made it.

        Raises:
            UserInputError: another version of one of them is here.
        """
        if made_by is None:
            return
        engines = self._portraits.engines
        drew = (("portrait", engines.animator()), ("painter", engines.painter()), ("generator", engines.generator()))
        for role, here in drew:
            noted, now = made_by["engines"][role], f"{here.name} {here.version}"
            if noted != now:
                raise UserInputError(
                    f"The clip was made by engine {noted}; this studio has {now}.",
                    "Make a new clip from the same settings; it will differ a little.",
                )


def _tells(render: Render, base: str) -> bool:
    """Return whether a render tells how long this base takes."""
    known = render.setup_seconds is not None and render.kind in ("clip", "image")
    return known and render.recipe.get("base", {}).get("name") == base


def _seconds_per_frame(made: Sequence[Render], change: float) -> float:
    """Return what one frame takes, from the newest clip, else from the pictures that were drawn last together.

    Args:
        made: renders of one base, newest first, at least one.
    """

    def drawing(render: Render) -> float:
        return render.seconds - (render.setup_seconds or 0.0)

    clip = next((r for r in made if r.kind == "clip" and r.duration_seconds), None)
    if clip is not None:
        asked = clip.recipe["request"]
        frames = float(clip.duration_seconds or 0.0) * float(asked["frame_rate_hz"])
        return drawing(clip) / frames * change / float(asked["change"])
    batch = [r for r in made if r.id == made[0].id or (r.job_id and r.job_id == made[0].job_id)]
    return sum(drawing(r) for r in batch) / len(batch) * change


def _loading_apart(seconds: Mapping[str, float], painting: Painting) -> dict[str, float]:
    """Return the seconds of the stages with the loading of the base apart from the frames, where it was measured."""
    loading = painting.pace.loading_seconds
    if loading is None or painting.first:  # a part of a clip does not tell what a frame takes
        return dict(seconds)
    loading = round(min(loading, seconds["frames"]), 3)
    return {**seconds, "loading": loading, "frames": round(seconds["frames"] - loading, 3)}


def _setup_seconds(seconds: Mapping[str, float]) -> float | None:
    """Return what went by before the first frame; None where that was not measured."""
    return seconds["total"] - seconds["frames"] if "loading" in seconds else None


def _check_motion(made_by: Mapping[str, Any] | None, moving: MotionFiles | None) -> None:
    """Refuse to make a clip again with other motion weights.

    Raises:
        UserInputError: they are others.
    """
    if made_by is not None and moving is not None and made_by.get("motion", {}).get("sha256") != moving.sha256:
        raise UserInputError(
            f"The motion {moving.name} is not the one this clip was made with.", "Bring the old weights back."
        )


def _clip_order(request: VideoRequest, drawing: PreparedDrawing) -> ClipOrder:
    """Return the order for the frames: the anchor's, from a start of which some may change."""
    changed = {"denoise": request.change, "control": request.control}
    return ClipOrder(**asdict(order_of(drawing.request)) | changed)


def _size(drawing: PreparedDrawing) -> tuple[int, int]:
    return drawing.request.width or 0, drawing.request.height or 0


def _enlarged(image: Image) -> Image:
    """Return the picture with at least ENLARGED_PIXELS on its longer side."""
    from PIL import Image as Pillow

    longer = max(image.shape[:2])
    if longer >= ENLARGED_PIXELS:
        return image
    size = tuple(round(side * ENLARGED_PIXELS / longer) for side in image.shape[1::-1])
    return np.array(Pillow.fromarray(image).resize((size[0], size[1]), Pillow.Resampling.LANCZOS), np.uint8)


def _title(request: VideoRequest) -> str:
    """Return one line for the gallery: the first words that are said, else the prompt."""
    return title_of_words(request.transcript or request.text or request.prompt)


def run(params: VideoRequest, context: JobContext) -> Mapping[str, Any]:
    """Make a queued clip, once."""
    service: Video = context.service
    return clip_of_job(context, service.video, params)


KIND = JobKind(
    "video", "Clip of a taught person", VideoRequest, run, service="video", icon="film", cancel_grace_seconds=3.0
)
