"""Makes clips: sound to phones, phones to motion, motion to frames, frames into the encoder.

Every way to a clip ends in `ClipMaker.make`. No list of frames is ever held, so
that ten minutes need no more memory than ten seconds. Knows nothing of people,
projects or the library.
"""

from __future__ import annotations

import hashlib
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from studio.domain.clip_format import clip_format
from studio.domain.expression import FaceState, resolve
from studio.domain.orbit import seen_from_around
from studio.domain.performance import Performance, exposure, take_seed
from studio.domain.performance_document import layers_of
from studio.domain.pose import HeadPose
from studio.domain.speech import SpeechAnalysis, cover
from studio.engines.base import Image, Matte, Portrait, Sound
from studio.services.clips.composed import MotionShelf, check_composed, composed_motion
from studio.services.clips.driven import driven_motion
from studio.services.clips.encoding import open_clip, write_frames
from studio.services.clips.listening import Listener, Spoken
from studio.services.clips.recorded import recorded_motion
from studio.services.clips.request import MOVING_ROLES, AnimationRequest
from studio.services.marks import Marks
from studio.services.portraits.expressions import THUMBNAIL_PIXELS
from studio.services.portraits.prepared import Portraits, PreparedPortrait
from studio.services.progress import OnProgress, Progress
from studio.services.recipes import new_recipe
from studio.services.sources import MediaSource, Sources

if TYPE_CHECKING:
    from numpy.typing import NDArray


HINT_FRAMES = 12
"""Every so many frames the engine is asked what the picture suffers from."""
_SETUP_SHARE = 0.08
"""Part of the progress bar for what comes before the first frame."""


@dataclass(frozen=True)
class AnimationResult:
    """A finished clip.

    Attributes:
        path: the clip.
        curves: the curves, when asked.
        seconds: stage -> seconds it took, with "total"; "speech" is what was left of it once the portrait was ready.
        phone_path: how the phones were found (see SpeechAnalysis.method); "recorded" where curves move the face,
            "driven" where the face in a video does, "composed" where a performance with layers does, "orbit" where it
            rests and is seen from around.
        hints: one sentence per shortcoming.
        speech: words and phones; None where nothing was listened to.
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
    speech: SpeechAnalysis | None = field(default=None, repr=False)


_RESTING_HEAD = 0.3
"""Of the idle motion of a head that is seen from around: the camera moves, not the person."""
_SILENT_RATE_HZ = 16_000
_UNHEARD_SECONDS = 0.5
"""So much of a sound may be left out behind the motion without a word."""


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
class _Moved:
    """What moves the face of one clip, and what is heard with it.

    Attributes:
        base: the face it moves from.
        sound: the file for the sound track; None is silence.
        found: how the phones were found, "recorded", "driven", "composed" or "orbit".
        speech: words and phones, where they are known.
        engines, inputs, seed: what the recipe says of it.
    """

    performance: Performance
    base: FaceState
    sound: Path | None
    found: str
    notes: tuple[str, ...]
    engines: Mapping[str, str]
    inputs: Mapping[str, str]
    seed: int
    speech: SpeechAnalysis | None = None


class FrameSource:
    """The frames of a clip as the portrait engine draws them, in any order."""

    def __init__(
        self, portrait: Portrait, performance: Performance, base: FaceState, shutter_degrees: float = 0.0
    ) -> None:
        """Remember them; with an open shutter each frame is the mean of several moments."""
        self.portrait = portrait
        self.performance = performance
        self._base = base
        self._shutter_degrees = shutter_degrees

    def __len__(self) -> int:
        return len(self.performance)

    def state(self, frame: int) -> FaceState:
        """Return one frame's face on top of the expression that lies under the clip."""
        return self._state(self.performance, frame)

    def _state(self, performance: Performance, frame: int) -> FaceState:
        state = performance.state(frame, self._base.weights)
        head = state.head.as_array() + self._base.head.as_array()
        return FaceState(state.weights, HeadPose(*(float(a) for a in head)).clamped())

    def picture(self, frame: int) -> Image:
        """Draw one frame.  # (H, W, 3)"""
        return self._exposed(frame, self.portrait.render)

    def cut_out(self, frame: int) -> NDArray[np.uint8]:
        """Draw one frame without its background.  # (H, W, 4)"""
        return self._exposed(frame, self.portrait.render_with_alpha)

    def _exposed(self, frame: int, draw: Callable[..., NDArray[np.uint8]]) -> NDArray[np.uint8]:
        """Draw a frame, of as many moments as its shutter and its motion ask for."""
        moments = exposure(self.performance, frame, self._shutter_degrees)
        if len(moments) == 1:
            return draw(self.state(frame), **self._rest(frame))
        from studio.engines.media.exposure import mean_of

        def drawn() -> Iterator[NDArray[np.uint8]]:
            for at in moments:
                one = self.performance.moment(at)
                yield draw(self._state(one, 0), lip_seal=float(one.lip_seal[0]), breath=float(one.breath[0]))

        return mean_of(drawn())

    def soft_parts(self, frame: int) -> Matte:
        """Return where mouth and eyes are in one frame.  # (H, W)"""
        return self.portrait.soft_parts(self.state(frame), **self._rest(frame))

    def shaded_maps(self, frame: int) -> NDArray[np.uint8]:
        """Return the head's maps in one frame.  # (H, W, 2)"""
        return self.portrait.shaded_maps(self.state(frame), **self._rest(frame))

    def maps_at_rest(self) -> NDArray[np.uint8]:
        """Return the head's maps in the state of the picture itself.  # (H, W, 2)"""
        return self.portrait.shaded_maps(FaceState(self.portrait.own_weights))

    def _rest(self, frame: int) -> dict[str, float]:
        performance = self.performance
        return {"lip_seal": float(performance.lip_seal[frame]), "breath": float(performance.breath[frame])}


class FrameFinish(Protocol):
    """Draws the frames of a clip anew, from those of the portrait engine.

    Attributes:
        cover: a picture that stands for the clip.
    """

    cover: Image

    def paint(self, source: FrameSource, first: int) -> Iterator[Image]:
        """Yield the frames from `first` on, each of the size of the portrait's pictures."""
        ...

    def seconds_left(self, frames: int) -> float | None:
        """Return how long the rest of so many frames takes; None while nothing can be said."""
        ...

    def recipe(self, of_clip: Mapping[str, Any]) -> dict[str, Any]:
        """Return the recipe of the whole, from that of the portrait engine's clip."""
        ...


class ClipMaker:
    """Makes clips for one owner."""

    def __init__(self, sources: Sources, portraits: Portraits, scratch: Path, shelf: MotionShelf | None = None) -> None:
        self._sources = sources
        self._portraits = portraits
        self._listener = Listener(sources, portraits.engines, scratch)
        self._shelf = shelf or MotionShelf()

    def make(
        self,
        request: AnimationRequest,
        out: Path,
        *,
        curves: Path | None = None,
        on_progress: OnProgress | None = None,
        poster: Path | None = None,
        parts: Path | None = None,
        finish: FrameFinish | None = None,
        marks: Marks | None = None,
        made_by: Mapping[str, Any] | None = None,
    ) -> AnimationResult:
        """Make a clip into `out`; everything that makes clips comes through here.

        Args:
            finish: draws the frames anew; None keeps those of the portrait engine.
            marks: put an invisible mark into every frame; None leaves a preview without.
            made_by: the recipe that is made once more.
        """
        from studio.engines.media.curves import write_curves

        tell = on_progress or (lambda progress: None)
        clock = _Clock()
        tell(Progress(0.0, "Reading the portrait"))
        # The recogniser has a process of its own: speech is heard while the portrait is made ready.
        hearing = None if request.is_moved else _beside(lambda: self._listener.listen(request))
        with clock.stage("portrait"):
            prepared = self._prepared(request)
        spoken = None
        if hearing is not None:
            tell(Progress(0.02, "Listening to the speech"))
            with clock.stage("speech"):
                spoken = hearing.result()
        tell(Progress(0.06, "Writing the motion"))
        with clock.stage("motion"):
            moved = self._perform(request, prepared, spoken) if spoken else self._play(request, prepared, tell)
        performance = moved.performance
        with clock.stage("frames"):
            recipe = self._recipe(request, prepared, moved)
            if finish is not None:
                recipe = finish.recipe(recipe)
            if marks is not None:
                recipe = marks.noted(recipe, made_by)
                if spoken is not None and request.sound is None:
                    marks.mark_voice(spoken.path, recipe)
            source = FrameSource(prepared.portrait, performance, moved.base, request.shutter_degrees)
            try:
                hints = self._draw(
                    request, prepared, source, moved.sound, out, recipe, tell, poster, parts, finish, marks
                )
            finally:
                if spoken and request.sound is None:  # what the offline voice said lies in the clip now
                    spoken.path.unlink(missing_ok=True)
        if curves is not None:
            write_curves(performance, curves)
        width, height = prepared.portrait.size
        # What a photo lacks says nothing of a picture whose every frame is drawn anew.
        lacks = prepared.hints if finish is None else ()
        tell(Progress(1.0, "Done"))
        return AnimationResult(
            out, curves, len(performance), performance.frame_rate_hz, width, height, performance.duration_seconds,
            clock.result(), moved.found, tuple(dict.fromkeys((*lacks, *moved.notes, *hints))),
            speech=moved.speech,
        )  # fmt: skip

    def frame(self, request: AnimationRequest, at_seconds: float) -> Image:
        """Draw the one frame of a performance that is shown at a moment.  # (H, W, 3)"""
        prepared = self._prepared(request)
        assert request.performance is not None
        document = check_composed(request, self._sources.path(request.performance), self._sources)
        last = max(document.duration_seconds - 1 / request.frame_rate_hz, 0.0)
        base = _base(request, prepared, neutralise=document.neutralise)
        motion = composed_motion(
            request, document, prepared, base, self._portraits.engines, self._sources, self._shelf,
            at_seconds=min(max(at_seconds, 0.0), last),
        )  # fmt: skip
        with prepared.lock:
            return FrameSource(prepared.portrait, motion, base).picture(0)

    def motion(self, request: AnimationRequest) -> Performance:
        """Return the motion of a part of a performance on a portrait; nothing is drawn."""
        prepared = self._prepared(request)
        assert request.performance is not None
        document = check_composed(request, self._sources.path(request.performance), self._sources)
        base = _base(request, prepared, neutralise=document.neutralise)
        return composed_motion(request, document, prepared, base, self._portraits.engines, self._sources, self._shelf)

    def _prepared(self, request: AnimationRequest) -> PreparedPortrait:
        portrait = self._sources.find(request.portrait)
        return self._portraits.prepare(
            portrait.path,
            sha256=portrait.sha256,
            face_index=request.face_index,
            size=request.size,
            engine=request.engine,
        )

    def _compose(self, request: AnimationRequest, prepared: PreparedPortrait) -> _Moved:
        """Take the motion from a performance with layers."""
        assert request.performance is not None
        found = self._sources.find(request.performance)
        document = check_composed(request, found.path, self._sources)
        base = _base(request, prepared, neutralise=document.neutralise)
        engines = self._portraits.engines
        performance = composed_motion(request, document, prepared, base, engines, self._sources, self._shelf)
        inputs = {"performance": found.sha256 or _sha256(found.path)}
        inputs |= {f"performance {role}": sha256 for role, sha256 in document.media.items()}
        sound = None
        if request.sound is not None:
            heard = self._sources.find(request.sound)
            sound, inputs["sound"] = heard.path, heard.sha256 or _sha256(heard.path)
        elif document.sound is not None:
            sound = self._sources.path(MediaSource.media(document.sound))
        said_by = {"speech": engines.speech_name()} if layers_of(document, ("speech", "idle")) else {}
        return _Moved(performance, base, sound, "composed", (), said_by, inputs, request.seed)

    def _play(self, request: AnimationRequest, prepared: PreparedPortrait, tell: OnProgress) -> _Moved:
        """Take the motion from a performance, from a file of curves, or from the face in a video."""
        from studio.engines.media.sound import probe, read_sound

        if request.performance is not None:
            return self._compose(request, prepared)
        base = _base(request, prepared)
        if request.orbit is not None:
            return self._around(request, prepared, base)
        engines, moving = {}, request.motion or request.driving
        assert moving is not None  # only then is nothing heard
        role = "motion" if request.motion is not None else "driving"
        found = self._sources.find(moving)
        inputs = {role: found.sha256 or _sha256(found.path)}
        sound: Path | None = None
        notes: tuple[str, ...] = ()
        if role == "motion":
            performance = recorded_motion(request, found.path)
        else:
            mouth = replace(prepared.portrait.mouth, own=base.weights)
            tracker = self._portraits.engines.tracker()
            engines["tracking"] = f"{tracker.name} {tracker.version}"
            performance, notes = driven_motion(request, found.path, mouth, self._portraits.engines, tell)
            sound = found.path if probe(found.path).codec is not None else None
        if request.sound is not None:
            heard = self._sources.find(request.sound)
            decoded = read_sound(heard.path, sha256=heard.sha256)
            sound, notes, inputs["sound"] = heard.path, (*notes, *decoded.notes), decoded.sha256
            left = decoded.duration_seconds - request.start_seconds - performance.duration_seconds
            if left > _UNHEARD_SECONDS and request.seconds is None:
                notes = (*notes, f"The motion ends {left:.1f} s before the sound, and the clip with it.")
        moved_by = "recorded" if role == "motion" else "driven"
        return _Moved(performance, base, sound, moved_by, notes, engines, inputs, request.seed)

    def _around(self, request: AnimationRequest, prepared: PreparedPortrait, base: FaceState) -> _Moved:
        """Let the face rest, and be seen from around."""
        assert request.orbit is not None
        seconds = request.seconds or request.orbit.seconds
        silence = Sound(np.zeros(round(seconds * _SILENT_RATE_HZ), np.float32), _SILENT_RATE_HZ)
        analysis = SpeechAnalysis(seconds, cover((), seconds), (), "energy")
        engines = self._portraits.engines
        seed = take_seed(request.seed, "", prepared.sha256)
        with engines.speech_lock:
            rest = engines.speech().perform(
                silence,
                analysis,
                replace(prepared.portrait.mouth, own=base.weights),
                frame_rate_hz=float(request.frame_rate_hz),
                seed=seed,
                emotions=tuple(request.emotions.items()),
                amounts=replace(request.amounts, gaze=0.0, head=_RESTING_HEAD * request.amounts.head),
            )
        performance = seen_from_around(rest, request.orbit)
        sound, inputs = None, {}
        if request.sound is not None:
            heard = self._sources.find(request.sound)
            sound, inputs["sound"] = heard.path, heard.sha256 or _sha256(heard.path)
        return _Moved(performance, base, sound, "orbit", (), {"speech": engines.speech_name()}, inputs, request.seed)

    def _perform(self, request: AnimationRequest, prepared: PreparedPortrait, spoken: Spoken) -> _Moved:
        """Write the motion of what is said."""
        base = _base(request, prepared)
        seed = take_seed(request.seed, spoken.sha256, prepared.sha256)
        engines = self._portraits.engines
        with engines.speech_lock:
            performance = engines.speech().perform(
                spoken.sound,
                spoken.analysis,
                replace(prepared.portrait.mouth, own=base.weights),
                frame_rate_hz=float(request.frame_rate_hz),
                seed=seed,
                emotions=tuple(request.emotions.items()),
                amounts=request.amounts,
            )
        return _Moved(
            performance, base, spoken.path, spoken.analysis.method, (*spoken.notes, *spoken.analysis.notes),
            {"speech": engines.speech_name()}, {} if request.sound is None else {"sound": spoken.sha256}, seed,
            spoken.analysis,
        )  # fmt: skip

    def _draw(
        self,
        request: AnimationRequest,
        prepared: PreparedPortrait,
        source: FrameSource,
        sound: Path | None,
        out: Path,
        recipe: Mapping[str, Any],
        tell: OnProgress,
        poster: Path | None,
        parts: Path | None,
        finish: FrameFinish | None,
        marks: Marks | None,
    ) -> tuple[str, ...]:
        """Draw every frame into the encoder; return what the picture suffers from."""
        from studio.engines.media.pictures import thumbnail_jpeg

        portrait, frames = prepared.portrait, len(source)
        states = [source.state(i) for i in range(0, frames, HINT_FRAMES)]
        hints = dict.fromkeys(hint for state in states for hint in portrait.hints(state))
        draw_one = source.cut_out if clip_format(request.format).has_alpha else source.picture
        with (
            prepared.lock,
            open_clip(
                request.format, out, portrait.size, request.frame_rate_hz, recipe, sound=sound,
                sound_start_seconds=request.start_seconds, parts=parts, marks=marks,
            ) as clip,
        ):  # fmt: skip
            first = clip.frames  # more than 0 where an earlier process was interrupted
            if poster is not None:
                cover = draw_one(frames // 3) if finish is None else finish.cover
                poster.write_bytes(thumbnail_jpeg(cover, THUMBNAIL_PIXELS))
            pictures = map(draw_one, range(first, frames)) if finish is None else finish.paint(source, first)
            counted = (picture for _, picture in zip(range(first, frames), pictures, strict=True))
            # frames that are drawn anew come in bursts; who draws them says itself how long they take
            left = None if finish is None else lambda: finish.seconds_left(frames)
            write_frames(clip, counted, frames, tell, from_fraction=_SETUP_SHARE, seconds_left=left)
        return tuple(hints)

    def _recipe(self, request: AnimationRequest, prepared: PreparedPortrait, moved: _Moved) -> dict[str, Any]:
        """Return the recipe that the file carries: sources by their bytes, never by path."""
        inputs = {"portrait": prepared.sha256, **moved.inputs}
        settled = request.model_copy(
            update={
                "portrait": MediaSource.media(prepared.sha256),
                "face_index": prepared.face_index,
                **{role: MediaSource.media(inputs[role]) if role in inputs else None for role in MOVING_ROLES},
                "project_id": None,
                "photo_id": None,
            }
        )
        engines = {"portrait": f"{prepared.engine} {prepared.engine_version}", **moved.engines}
        recipe = new_recipe("clip", settled.model_dump(mode="json"), engines, inputs)
        return {**recipe, "take_seed": moved.seed}


def _base(request: AnimationRequest, prepared: PreparedPortrait, *, neutralise: bool = False) -> FaceState:
    """Return the face that a clip moves from: the photo's own, or with the expression that lies under the clip."""
    own = prepared.portrait.own_weights
    if neutralise:
        return resolve(replace(request.edit, neutralise=True), own)
    return resolve(request.edit, own) if request.expression or request.neutralise else FaceState(own)


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _beside(work: Callable[[], Spoken]) -> Future[Spoken]:
    """Do something in a thread that no failure elsewhere has to wait for."""
    outcome: Future[Spoken] = Future()

    def run() -> None:
        try:
            outcome.set_result(work())
        except BaseException as exc:
            outcome.set_exception(exc)

    threading.Thread(target=run, daemon=True, name="listening").start()
    return outcome
