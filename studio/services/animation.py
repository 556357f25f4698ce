"""A portrait speaks: from a request to a clip, here or in the worker.

Every way to a clip (window, queue, command line, rerun) ends in `_make`: sound
to phones, phones to a performance, then frame by frame from the engine into
the encoder. No list of frames is ever held, so that ten minutes need no more
memory than ten seconds.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from studio.domain.expression import ExpressionEdit, FaceState, resolve
from studio.domain.job import Job
from studio.domain.performance import Performance
from studio.domain.pose import HeadPose
from studio.domain.render import NewRender, Render
from studio.domain.speech import Phone, SpeechAnalysis, Word
from studio.engines.base import Amounts, Image, Sound
from studio.errors import UserInputError
from studio.jobs.kinds import JobContext, JobKind
from studio.services.expressions import THUMBNAIL_PIXELS, check_engine
from studio.services.identities import photo_of, require_consent
from studio.services.portraits import LARGEST_SIDE, SMALLEST_SIDE, Portraits, PreparedPortrait
from studio.services.recipes import file_sha256, new_recipe
from studio.services.sources import MediaSource, Sources

if TYPE_CHECKING:
    from studio.engines.media.writer import FrameWriter
    from studio.jobs.queue import JobQueue
    from studio.store import Store

__all__ = ["EMOTIONS", "Amounts", "Animation", "AnimationRequest", "AnimationResult", "Progress", "checked_request"]

ClipFormat = Literal["mp4", "webm", "gif", "png"]
EMOTIONS: tuple[str, ...] = ("joy", "sadness", "surprise", "fear", "anger", "disgust", "contempt")
FRAME_RATES_HZ: tuple[int, ...] = (24, 25, 30, 60)
PREVIEW_SIDE = 512
PREVIEW_EVERY_SECONDS = 2.0
HINT_FRAMES = 12
"""Every so many frames the engine is asked what the picture suffers from."""
_LARGEST_AMOUNT = 2.0
_SETUP_SHARE = 0.08
"""Part of the progress bar for what comes before the first frame."""


class AnimationRequest(BaseModel):
    """Everything a talking clip is made from; round-trips through JSON.

    Attributes:
        portrait: the photo.
        face_index: which face, 0 = largest; None where the photo has one or knows its own.
        sound: the speech; None when `text` is spoken by the offline voice.
        text, voice: words for the offline voice (optional engine).
        transcript: what the sound says; improves the lips, never required.
        emotions: name -> strength 0..1.
        amounts: how much of each layer of motion.
        expression, neutralise: slider values under the whole clip.
        size: longer side in pixels, 256..2048; default the photo's own, at most 1024.
        start_seconds, seconds: part of the sound; None is to its end.
        project_id: where the clip is kept; None is the photo's own project.
        photo_id: the photo it came from, for the library only.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    portrait: MediaSource
    face_index: int | None = Field(default=None, ge=0)
    sound: MediaSource | None = None
    text: str | None = None
    voice: str = "en-us"
    transcript: str | None = None
    language: str = "en"
    emotions: dict[str, float] = Field(default_factory=dict)
    amounts: Amounts = Amounts()
    expression: dict[str, float] = Field(default_factory=dict)
    neutralise: bool = False
    seed: int = 0
    frame_rate_hz: Literal[24, 25, 30, 60] = 25
    size: int | None = Field(default=None, ge=SMALLEST_SIDE, le=LARGEST_SIDE)
    format: ClipFormat = "mp4"
    engine: str = "rig"
    start_seconds: float = Field(default=0.0, ge=0.0)
    seconds: float | None = Field(default=None, gt=0.0)
    project_id: str | None = None
    photo_id: str | None = None

    @model_validator(mode="after")
    def _one_voice(self) -> AnimationRequest:
        if (self.sound is None) == (not (self.text or "").strip()):
            raise ValueError("give either a sound or a text to speak")
        return self

    @property
    def edit(self) -> ExpressionEdit:
        """The expression under the whole clip.

        Raises:
            UserInputError: an unknown control or a value out of range.
        """
        return ExpressionEdit(self.expression, self.neutralise)


def checked_request(values: Mapping[str, Any]) -> AnimationRequest:
    """Build a request, from a command line or JSON.

    Raises:
        UserInputError: the first value that cannot be used.
    """
    try:
        request = AnimationRequest.model_validate(dict(values))
    except ValidationError as exc:
        first = exc.errors()[0]
        where = ".".join(str(part) for part in first["loc"] if not isinstance(part, int))
        reason = first["msg"].removeprefix("Value error, ")
        message = f"{where}: {reason}." if where else f"{reason[0].upper()}{reason[1:]}."
        raise UserInputError(message, "Change it and try again.") from exc
    check(request)
    return request


def check(request: AnimationRequest) -> None:
    """Refuse what no engine could make, before anything is started.

    Raises:
        UserInputError: emotions, amounts or slider values that do not exist or are out of range.
    """
    for name, strength in request.emotions.items():
        if name not in EMOTIONS:
            raise UserInputError(f"There is no emotion named {name!r}.", f"Emotions: {', '.join(EMOTIONS)}.")
        if not 0.0 <= strength <= 1.0:
            raise UserInputError(f"The strength of {name} is {strength:g}, but goes from 0 to 1.", "Write joy:0.6 .")
    for name, amount in vars(request.amounts).items():
        if not 0.0 <= amount <= _LARGEST_AMOUNT:
            raise UserInputError(
                f"The amount of {name} is {amount:g}, but goes from 0 to {_LARGEST_AMOUNT:g}.", "1 is natural."
            )
    if request.frame_rate_hz not in FRAME_RATES_HZ:
        raise UserInputError(f"{request.frame_rate_hz} frames per second are not offered.", "Use 24, 25, 30 or 60.")
    _ = request.edit


@dataclass(frozen=True)
class Progress:
    """One step forward: fraction 0..1, what is being done, seconds left, the newest frame."""

    fraction: float
    stage: str
    seconds_left: float | None = None
    preview: Image | None = field(default=None, repr=False)


@dataclass(frozen=True)
class AnimationResult:
    """A finished clip.

    Attributes:
        path: the clip.
        curves: the curves, when asked.
        seconds: stage -> seconds it took, with "total".
        phone_path: how the phones were found (see SpeechAnalysis.path).
        hints: one sentence per shortcoming.
    """

    path: Path
    curves: Path | None
    frames: int
    frame_rate_hz: float
    width: int
    height: int
    duration_seconds: float
    seconds: dict[str, float]
    phone_path: str
    hints: tuple[str, ...]
    render_id: str | None = None


OnProgress = Callable[[Progress], None]


class _Clock:
    """Adds up the seconds of each stage."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self._start = time.perf_counter()

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        start = time.perf_counter()
        try:
            yield
        finally:
            self.seconds[name] = self.seconds.get(name, 0.0) + time.perf_counter() - start

    def result(self) -> dict[str, float]:
        total = time.perf_counter() - self._start
        return {name: round(value, 3) for name, value in {**self.seconds, "total": total}.items()}


@dataclass(frozen=True)
class _Spoken:
    """The speech of one clip: samples for the analysis, and the file for the sound track."""

    sound: Sound
    path: Path
    start_seconds: float
    notes: tuple[str, ...]
    analysis: SpeechAnalysis


class Animation:
    """Makes talking clips."""

    def __init__(
        self, store: Store, owner: str, sources: Sources, portraits: Portraits, queue: JobQueue, scratch: Path
    ) -> None:
        self._store = store
        self._owner = owner
        self._sources = sources
        self._portraits = portraits
        self._queue = queue
        self._scratch = scratch

    # -- for the window and the command line -----------------------------------------

    def preview(self, request: AnimationRequest, seconds: float = 3.0) -> AnimationResult:
        """Draw the first seconds at 512 px at once, into the studio's scratch folder (not in the library)."""
        check(request)
        size = min(request.size or PREVIEW_SIDE, PREVIEW_SIDE)
        short = request.model_copy(update={"seconds": seconds, "size": size})
        self._scratch.mkdir(parents=True, exist_ok=True)
        return self._make(self._with_face(short), self._scratch / f"preview-{time.time_ns()}{_suffix(short)}")

    def submit(self, request: AnimationRequest) -> Job:
        """Check the request and put it into the queue; the worker makes the clip.

        Files are copied into the media store first, so that they may move or
        change while the job waits.

        Raises:
            UserInputError, NotFoundError, UnreadableMediaError, ConsentMissingError.
        """
        check(request)
        settled = self._settled(self._with_face(request))
        photo = None if settled.photo_id is None else self._store.photos.get(self._owner, settled.photo_id)
        return self._queue.submit(
            self._owner,
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
        on_progress: OnProgress | None = None,
    ) -> AnimationResult:
        """Make the clip here and now, into `out`, without a project.

        Raises:
            UserInputError: bad request, portrait, sound or file name; and StoreError, EngineError.
        """
        check(request)
        if curves is not None and curves.suffix.lower() not in {".csv", ".json"}:
            raise UserInputError(f"{curves.name} names no format for curves.", "End it in .csv or .json.")
        return self._make(self._with_face(request), out, curves=curves, on_progress=on_progress)

    def voices(self) -> tuple[str, ...]:
        """Return the offline voices; empty when no synthesis engine is installed."""
        return self._portraits.engines.voices()

    # -- for the worker and the library ------------------------------------------------

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
            work_folder: outlives the process; an mp4 goes on behind the frames found there.
            made_by: the recipe that is made once more; its engine must be this one.
        """
        settled = self._settled(self._with_face(request))
        if made_by is not None:
            animator = self._portraits.engines.animator(settled.engine)
            check_engine(made_by, animator.name, animator.version)
        self._scratch.mkdir(parents=True, exist_ok=True)
        out = self._scratch / f"clip-{time.time_ns()}{_suffix(settled)}"
        curves, poster = out.with_suffix(".curves.json"), out.with_suffix(".jpg")
        # Written in parts also when nothing could resume it: a rerun must give the same bytes.
        parts = (work_folder or out.with_suffix(".work")) / "parts"
        try:
            result = self._make(settled, out, curves=curves, on_progress=on_progress, poster=poster, parts=parts)
            render = self._keep(settled, result, poster, job_id, parent_id)
        finally:
            for path in (out, curves, poster):
                path.unlink(missing_ok=True)
            if work_folder is None:
                shutil.rmtree(parts.parent, ignore_errors=True)
        return render, replace(
            result, render_id=render.id, path=self._store.media.get(self._owner, render.media_sha256)
        )

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

        assert result.curves is not None  # render() always asks for them
        recipe = read_recipe(result.path) or {}
        engine, version = str(recipe["engines"]["portrait"]).split(" ", 1)
        inputs = dict(recipe["inputs"])
        photo = None
        if request.photo_id is not None:
            photo = self._store.photos.get(self._owner, request.photo_id)
        photo = photo or photo_of(self._store, self._owner, inputs["portrait"], request.face_index)
        put = self._store.media.put
        inputs["curves"] = put(self._owner, result.curves)
        return self._store.renders.add(
            self._owner,
            NewRender(
                kind="clip",
                media_sha256=put(self._owner, result.path),
                thumbnail_sha256=put(self._owner, poster),
                recipe=recipe,
                engine=engine,
                engine_version=version,
                inputs=inputs,
                seconds=result.seconds["total"],
                title=_title(request),
                search_text=" ".join(filter(None, (request.transcript, request.text, *request.emotions))),
                project_id=request.project_id or (photo.project_id if photo else None),
                identity_id=photo.identity_id if photo else None,
                photo_id=photo.id if photo else None,
                parent_id=parent_id,
                job_id=job_id,
                width=result.width,
                height=result.height,
                duration_seconds=result.duration_seconds,
            ),
        )

    # -- the request made ready ----------------------------------------------------------

    def _with_face(self, request: AnimationRequest) -> AnimationRequest:
        """Let a stored photo say which face is meant, and check what its person agreed to."""
        photo = self._sources.photo(request.portrait)
        if photo is None and request.photo_id is not None:
            photo = self._store.photos.get(self._owner, request.photo_id)
        if photo is None:
            return request
        require_consent(self._store, self._owner, photo, "animate")
        face = request.face_index if request.face_index is not None else photo.face_index
        return request.model_copy(update={"face_index": face, "photo_id": photo.id})

    def _settled(self, request: AnimationRequest) -> AnimationRequest:
        """Name portrait and sound by their bytes, after a look whether they can be read at all."""
        from studio.engines.media.sound import probe

        if request.sound is not None:
            probe(self._sources.path(request.sound))
        sound = None if request.sound is None else self._sources.settled(request.sound)
        return request.model_copy(update={"portrait": self._sources.settled(request.portrait), "sound": sound})

    # -- making it -------------------------------------------------------------------------

    def _make(
        self,
        request: AnimationRequest,
        out: Path,
        *,
        curves: Path | None = None,
        on_progress: OnProgress | None = None,
        poster: Path | None = None,
        parts: Path | None = None,
    ) -> AnimationResult:
        """Make a clip into `out`; everything that makes clips comes through here."""
        tell = on_progress or (lambda progress: None)
        clock = _Clock()
        tell(Progress(0.0, "Reading the portrait"))
        with clock.stage("portrait"):
            prepared = self._portraits.prepare(
                self._sources.path(request.portrait),
                face_index=request.face_index,
                size=request.size,
                engine=request.engine,
            )
        tell(Progress(0.02, "Listening to the speech"))
        with clock.stage("speech"):
            spoken = self._listen(request)
        tell(Progress(0.06, "Writing the motion"))
        with clock.stage("motion"):
            performance, base = self._perform(request, prepared, spoken)
        with clock.stage("frames"):
            recipe = self._recipe(request, prepared, spoken)
            hints = self._draw(request, prepared, performance, base, spoken, out, recipe, tell, poster, parts)
        if curves is not None:
            _write_curves(performance, curves)
        width, height = prepared.portrait.size
        tell(Progress(1.0, "Done"))
        return AnimationResult(
            out, curves, len(performance), performance.frame_rate_hz, width, height, performance.duration_seconds,
            clock.result(), spoken.analysis.path, (*prepared.hints, *spoken.notes, *spoken.analysis.notes, *hints),
        )  # fmt: skip

    def _listen(self, request: AnimationRequest) -> _Spoken:
        """Decode (or speak) the sound and find its phones."""
        from studio.engines.media.sound import read_sound, trim

        engines = self._portraits.engines
        if request.sound is None:
            return self._speak(request)
        path = self._sources.path(request.sound)
        decoded = read_sound(path)
        if request.start_seconds >= decoded.duration_seconds:
            raise UserInputError(
                f"The part starts at {request.start_seconds:g} s, the sound ends at {decoded.duration_seconds:.1f} s.",
                "Choose an earlier start.",
            )
        end = None if request.seconds is None else request.start_seconds + request.seconds
        sound = trim(decoded, request.start_seconds, end)
        with engines.lock:
            analysis = engines.speech().analyse(sound, request.transcript, request.language)
        return _Spoken(sound, path, request.start_seconds, decoded.notes, analysis)

    def _speak(self, request: AnimationRequest) -> _Spoken:
        """Let the offline voice say the text."""
        from studio.engines.media.sound import trim, write_wav

        engines = self._portraits.engines
        with engines.lock:
            sound, analysis = engines.synthesiser().speak(request.text or "", voice=request.voice)
        self._scratch.mkdir(parents=True, exist_ok=True)
        path = write_wav(self._scratch / f"spoken-{time.time_ns()}.wav", sound)
        end = None if request.seconds is None else request.start_seconds + request.seconds
        part = trim(sound, request.start_seconds, end)
        return _Spoken(part, path, request.start_seconds, (), _part_of(analysis, request.start_seconds, part))

    def _perform(
        self, request: AnimationRequest, prepared: PreparedPortrait, spoken: _Spoken
    ) -> tuple[Performance, FaceState]:
        """Write the motion, and the face it moves from."""
        own = prepared.portrait.own_weights
        base = resolve(request.edit, own) if request.expression or request.neutralise else FaceState(own)
        engines = self._portraits.engines
        with engines.lock:
            performance = engines.speech().perform(
                spoken.sound,
                spoken.analysis,
                replace(prepared.portrait.mouth, own=base.weights),
                frame_rate_hz=float(request.frame_rate_hz),
                seed=request.seed,
                emotions=tuple(request.emotions.items()),
                amounts=request.amounts,
            )
        return performance, base

    def _draw(
        self,
        request: AnimationRequest,
        prepared: PreparedPortrait,
        performance: Performance,
        base: FaceState,
        spoken: _Spoken,
        out: Path,
        recipe: Mapping[str, Any],
        tell: OnProgress,
        poster: Path | None,
        parts: Path | None,
    ) -> tuple[str, ...]:
        """Draw every frame into the encoder; return what the picture suffers from."""
        from studio.engines.media.pictures import thumbnail_jpeg
        from studio.engines.media.video import FORMATS

        portrait = prepared.portrait
        draw_one = portrait.render_with_alpha if FORMATS[request.format].needs_alpha else portrait.render
        frames = len(performance)
        states = [_frame_state(performance, i, base) for i in range(0, frames, HINT_FRAMES)]
        hints = dict.fromkeys(hint for state in states for hint in portrait.hints(state))

        def draw(frame: int) -> Any:
            state = _frame_state(performance, frame, base)
            seal, breath = float(performance.lip_seal[frame]), float(performance.breath[frame])
            return draw_one(state, lip_seal=seal, breath=breath)

        with prepared.lock, _open_clip(request, portrait.size, spoken, out, recipe, parts) as clip:
            if poster is not None:
                poster.write_bytes(thumbnail_jpeg(draw(frames // 3), THUMBNAIL_PIXELS))
            first = clip.frames  # more than 0 where an earlier process was interrupted
            start = shown = time.perf_counter()
            for frame in range(first, frames):
                picture = draw(frame)
                clip.write(picture)
                now, preview = time.perf_counter(), None
                if frame == first or now - shown > PREVIEW_EVERY_SECONDS:
                    preview, shown = picture[:, :, :3], now
                drawn = frame + 1 - first
                left = (now - start) / drawn * (frames - frame - 1) if drawn > 8 else None
                fraction = _SETUP_SHARE + (0.98 - _SETUP_SHARE) * (frame + 1) / frames
                tell(Progress(fraction, f"Frame {frame + 1} of {frames}", left, preview))
            tell(Progress(0.99, "Finishing the file"))
        return tuple(hints)

    def _recipe(self, request: AnimationRequest, prepared: PreparedPortrait, spoken: _Spoken) -> dict[str, Any]:
        """Return the recipe that the file carries: sources by their bytes, never by path."""
        inputs = {"portrait": prepared.sha256}
        if request.sound is not None:
            inputs["sound"] = request.sound.sha256 or file_sha256(spoken.path)
        settled = request.model_copy(
            update={
                "portrait": MediaSource.media(prepared.sha256),
                "face_index": prepared.face_index,
                "sound": MediaSource.media(inputs["sound"]) if "sound" in inputs else None,
                "project_id": None,
                "photo_id": None,
            }
        )
        engines = {
            "portrait": f"{prepared.engine} {prepared.engine_version}",
            "speech": self._portraits.engines.speech_name(),
        }
        return new_recipe("clip", settled.model_dump(mode="json"), engines, inputs)


def _part_of(analysis: SpeechAnalysis, start: float, sound: Sound) -> SpeechAnalysis:
    """Return the analysis of a piece of the sound that begins at `start` seconds."""
    length = sound.duration_seconds

    def held(seconds: float) -> float:
        return min(max(seconds - start, 0.0), length)

    def inside(piece: Phone | Word) -> bool:
        return held(piece.end) > held(piece.start)

    phones = tuple(replace(p, start=held(p.start), end=held(p.end)) for p in analysis.phones if inside(p))
    words = tuple(replace(w, start=held(w.start), end=held(w.end)) for w in analysis.words if inside(w))
    return replace(analysis, duration_seconds=length, phones=phones, words=words)


def _open_clip(
    request: AnimationRequest,
    size: tuple[int, int],
    spoken: _Spoken,
    out: Path,
    recipe: Mapping[str, Any],
    parts: Path | None,
) -> FrameWriter:
    """Open the writer; with a folder for parts an mp4 survives the end of its process."""
    from studio.engines.media.resumable import ResumableClipWriter
    from studio.engines.media.video import open_writer

    sound: dict[str, Any] = {"sound_path": spoken.path, "sound_start_seconds": spoken.start_seconds}
    if request.format == "mp4" and parts is not None:
        fingerprint = hashlib.sha256(json.dumps(recipe, sort_keys=True).encode()).hexdigest()
        return ResumableClipWriter(
            out, size, request.frame_rate_hz, parts_folder=parts, fingerprint=fingerprint, recipe=recipe, **sound
        )
    return open_writer(request.format, out, size, request.frame_rate_hz, recipe=recipe, **sound)


def _frame_state(performance: Performance, frame: int, base: FaceState) -> FaceState:
    """Return one frame's face on top of the expression that lies under the clip."""
    state = performance.state(frame, base.weights)
    head = state.head.as_array() + base.head.as_array()
    return FaceState(state.weights, HeadPose(*(float(a) for a in head)).clamped())


def _write_curves(performance: Performance, path: Path) -> None:
    """Write the motion beside the clip, in the format that the name asks for."""
    from studio.engines.media.curves import write_json, write_livelink_csv

    if path.suffix.lower() == ".csv":
        write_livelink_csv(performance, path)
    else:
        write_json(performance, path)


def _suffix(request: AnimationRequest) -> str:
    return {"mp4": ".mp4", "webm": ".webm", "gif": ".gif", "png": ".zip"}[request.format]


def _title(request: AnimationRequest) -> str:
    """Return one line for the gallery: the first words that are said."""
    words = " ".join((request.transcript or request.text or "").split())
    if not words:
        return "Talking clip"
    return words if len(words) <= 60 else words[:57].rsplit(" ", 1)[0] + "…"


def run(params: AnimationRequest, context: JobContext) -> Mapping[str, Any]:
    """Make a queued clip; a job that was killed after its clip was kept does not make it twice."""
    studio = context.tools
    kept = studio.store.renders.of_job(context.job.owner, context.job.id)
    if kept:
        return {"render_id": kept[0].id}
    render, result = studio.animation.render(
        params, job_id=context.job.id, on_progress=told(context), work_folder=context.work_folder
    )
    return {"render_id": render.id, "seconds": result.seconds, "hints": list(result.hints)}


def told(context: JobContext) -> OnProgress:
    """Return what passes progress on to a job, and stops when the person asked for it."""
    from studio.engines.media.pictures import fit_longer_side, png_bytes

    def tell(progress: Progress) -> None:
        context.check_cancelled()
        picture = None if progress.preview is None else png_bytes(fit_longer_side(progress.preview, 256))
        context.progress(progress.fraction, progress.stage, picture)

    return tell


KIND = JobKind("animate", "Talking clip", AnimationRequest, run)
