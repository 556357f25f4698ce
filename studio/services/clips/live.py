"""A portrait that moves while somebody moves in front of a camera, or speaks into a microphone.

The camera's pictures never come here: the page finds the points of the face
itself and sends those. The sound of a microphone does come here. Nothing is
written down before it is kept: then what was seen or heard becomes a
performance like any other.

Pictures are drawn one at a time. Who asks while one is drawn is told so, and
asks again with what is newest; nothing waits in a queue.
"""

from __future__ import annotations

import secrets
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray

from studio.domain.driving import drive
from studio.domain.live import LiveDriver
from studio.domain.performance import Performance
from studio.domain.performance_document import KeptPerformance
from studio.domain.speech import SpeechAnalysis, cover
from studio.engines.base import LiveFace, LiveMouth, Sound
from studio.errors import LimitExceededError, NotFoundError, UserInputError
from studio.services.clips.performances import Performances
from studio.services.people.agreement import require_of_media, require_of_photo
from studio.services.portraits.prepared import Portraits, PreparedPortrait
from studio.services.sources import MediaSource, Sources

if TYPE_CHECKING:
    from studio.domain.photo import Photo
    from studio.store import OwnerStore

LIVE_SIDE = 384
LONGEST_SECONDS = 300.0
"""What is seen or heard later than this still moves the portrait, but is not kept."""
SHORTEST_SECONDS = 0.5
KEPT_RATE_HZ = 25.0
POINTS = 478
HEARD_HZ = 16_000
MOST_SESSIONS = 2
IDLE_SECONDS = 60.0
"""A session from which nothing came for so long is over: its page was closed."""
MOST_FRAMES = 64
_FURTHEST_APART_SECONDS = 0.3
"""Between frames further apart than this the face counts as not seen."""
_ASK_CONSENT_SECONDS = 2.0
_IDLE_LOOP_SECONDS, _IDLE_RATE_HZ, _SILENT_HZ = 60.0, 25.0, 4000
_QUALITY = 82

By = Literal["camera", "microphone"]


class BusyError(LimitExceededError):
    """The picture before is still being drawn."""


@dataclass(frozen=True)
class SeenFrame:
    """One look of the page at the camera's picture.

    Attributes:
        seconds: on the page's clock.
        landmarks: pixels of the camera's picture, y down, z away; None where the face is not seen.  # (478, 3)
        rests: whether the person says that the face is at rest now.
    """

    seconds: float
    landmarks: NDArray[np.float32] | None = field(repr=False)
    rests: bool = False


@dataclass(frozen=True)
class LiveHandle:
    """A session, as the page knows it.

    Attributes:
        token: names it; nobody can guess it.
        width, height: of its pictures.
        hints: shortcomings of the photo, one sentence each.
    """

    token: str
    by: By
    width: int
    height: int
    hints: tuple[str, ...] = ()


@dataclass(frozen=True)
class LivePicture:
    """The portrait as it is now.

    Attributes:
        jpeg: bytes of the picture.
        solved_ms, drawn_ms: what reading the face, and drawing with encoding took.
        kept_seconds: how much would be kept.
        is_full: whether no more is.
    """

    jpeg: bytes = field(repr=False)
    solved_ms: float
    drawn_ms: float
    kept_seconds: float
    is_full: bool


@dataclass
class _Session:
    handle: LiveHandle
    owner: str
    photo: Photo | None
    prepared: PreparedPortrait
    driver: LiveDriver
    face: LiveFace | None = None
    mouth: LiveMouth | None = None
    idle: Performance | None = None
    seen: list[tuple[float, NDArray[np.float32] | None]] = field(default_factory=list)
    sounds: list[NDArray[np.float32]] = field(default_factory=list)
    last_at: float = -1.0
    heard_seconds: float = 0.0
    rested_at: float | None = None
    asked_at: float = 0.0
    used_at: float = 0.0
    lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def kept_seconds(self) -> float:
        if self.handle.by == "microphone":
            return min(self.heard_seconds, LONGEST_SECONDS)
        return min(self.seen[-1][0] - self.seen[0][0], LONGEST_SECONDS) if self.seen else 0.0


class LiveSessions:
    """What is going on live, whoever's it is; safe to use from several threads.

    Args:
        clock: seconds that only grow.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._open: dict[str, _Session] = {}

    def now(self) -> float:
        """Return the time."""
        return self._clock()

    def add(self, session: _Session) -> None:
        """Begin one.

        Raises:
            LimitExceededError: there are too many; each holds a portrait and a processor.
        """
        with self._lock:
            now = self.now()
            self._open = {t: s for t, s in self._open.items() if now - s.used_at < IDLE_SECONDS}
            if len(self._open) >= MOST_SESSIONS:
                raise LimitExceededError(
                    f"{MOST_SESSIONS} portraits are live already.",
                    "Stop one of them; a closed page stops within a minute.",
                )
            session.used_at = now
            self._open[session.handle.token] = session

    def get(self, token: str, owner: str) -> _Session:
        """Return one.

        Raises:
            NotFoundError: it is over, or somebody else's.
        """
        with self._lock:
            found = self._open.get(token)
            if found is None or found.owner != owner:
                raise NotFoundError("This is not live any more.", "Start again.")
            found.used_at = self.now()
            return found

    def end(self, token: str, owner: str) -> _Session:
        """Take one out and return it; see `get`."""
        session = self.get(token, owner)
        with self._lock:
            self._open.pop(token, None)
        return session


class Live:
    """Lets portraits of one owner move as somebody moves now.

    Args:
        sessions: shared by all owners.
        scratch: for files that are being made.
    """

    def __init__(
        self,
        store: OwnerStore,
        owner: str,
        sources: Sources,
        portraits: Portraits,
        performances: Performances,
        sessions: LiveSessions,
        scratch: Path,
    ) -> None:
        self._store, self._owner = store, owner
        self._sources = sources
        self._portraits = portraits
        self._performances = performances
        self._sessions = sessions
        self._scratch = scratch

    def open(
        self, source: MediaSource, *, face_index: int | None = None, by: By = "camera", size: int = LIVE_SIDE
    ) -> LiveHandle:
        """Make a portrait ready to move.

        Args:
            by: what moves it; a microphone moves the mouth, the rest idles.
            size: longer side of its pictures.

        Raises:
            NoFaceError, SeveralFacesError, UnreadableMediaError, LimitExceededError, NotFoundError,
            ConsentMissingError.
        """
        photo = self._sources.photo(source)
        require_of_photo(self._store, photo, "animate")
        if face_index is None and photo is not None:
            face_index = photo.face_index
        found = self._sources.find(source)
        prepared = self._portraits.prepare(found.path, sha256=found.sha256, face_index=face_index, size=size)
        self._require_consent(photo, prepared)
        engines = self._portraits.engines
        mouth = replace(prepared.portrait.mouth, own=prepared.portrait.own_weights)
        width, height = prepared.portrait.size
        handle = LiveHandle(secrets.token_urlsafe(16), by, width, height, prepared.hints)
        session = _Session(handle, self._owner, photo, prepared, LiveDriver(mouth))
        if by == "camera":
            with engines.lock:
                session.face = engines.tracker().live()
        else:
            with engines.speech_lock:
                speech = engines.speech()
                session.mouth = speech.live(mouth)
                silence = Sound(np.zeros(round(_IDLE_LOOP_SECONDS * _SILENT_HZ), np.float32), _SILENT_HZ)
                rest = SpeechAnalysis(_IDLE_LOOP_SECONDS, cover((), _IDLE_LOOP_SECONDS), (), "energy")
                session.idle = speech.perform(silence, rest, mouth, frame_rate_hz=_IDLE_RATE_HZ)
        self._sessions.add(session)
        return handle

    def see(self, token: str, frames: Sequence[SeenFrame]) -> LivePicture:
        """Draw the portrait as the last of some frames is; the others are kept as well.

        Args:
            frames: in order of time, at least one.

        Raises:
            NotFoundError: it is not live any more.
            BusyError: the picture before is being drawn.
            ConsentMissingError: it was taken back.
            UserInputError: no frames, or too many, or a microphone moves this portrait.
        """
        session = self._sessions.get(token, self._owner)
        if session.face is None or not 0 < len(frames) <= MOST_FRAMES:
            raise UserInputError("These are no frames of a camera.", "Start again with the camera.")
        with self._turn(session):
            start, motion = time.perf_counter(), None
            for frame in frames:
                motion = self._moved(session, session.face, frame)
            assert motion is not None
            return self._drawn(session, motion, start)

    def hear(self, token: str, samples: NDArray[np.float32]) -> LivePicture:
        """Draw the portrait as what was said since moves it.

        Args:
            samples: mono, -1..1, at HEARD_HZ; at most a few seconds.

        Raises:
            NotFoundError, BusyError, ConsentMissingError: as of `see`.
            UserInputError: a camera moves this portrait, or too much at once.
        """
        session = self._sessions.get(token, self._owner)
        if session.mouth is None or session.idle is None or len(samples) > 10 * HEARD_HZ:
            raise UserInputError("This is no sound of a microphone.", "Start again with the microphone.")
        with self._turn(session):
            start = time.perf_counter()
            if session.heard_seconds < LONGEST_SECONDS:
                session.sounds.append(np.asarray(samples, np.float32))
            session.heard_seconds += len(samples) / HEARD_HZ
            mouth = session.mouth.hear(samples)
            rest = session.idle.moment(session.heard_seconds % _IDLE_LOOP_SECONDS * _IDLE_RATE_HZ)
            motion = replace(
                mouth,
                weights=np.maximum(mouth.weights, rest.weights),
                head_degrees=rest.head_degrees,
                breath=rest.breath,
            )
            return self._drawn(session, motion, start)

    def keep(self, token: str, name: str = "") -> KeptPerformance:
        """End a session and keep what was seen or heard as a performance: recorded motion, or a speech.

        Raises:
            NotFoundError: it is not live any more.
            UserInputError: nothing was seen or heard that could be kept.
            ConsentMissingError: it was taken back.
        """
        session = self._sessions.end(token, self._owner)
        with session.lock:
            self._require_consent(session.photo, session.prepared)
            self._scratch.mkdir(parents=True, exist_ok=True)
            if session.handle.by == "microphone":
                return self._kept_sound(session, name or "Live take")
            return self._kept_motion(session, name or "Live take")

    def close(self, token: str) -> None:
        """End a session and forget it; one that is over already is no mistake."""
        try:
            self._sessions.end(token, self._owner)
        except NotFoundError:
            return

    # -- parts -----------------------------------------------------------------------

    def _require_consent(self, photo: Photo | None, prepared: PreparedPortrait) -> None:
        require_of_photo(self._store, photo, "animate")
        if photo is None:
            require_of_media(self._store, prepared.sha256, prepared.face_index, "animate")

    @contextmanager
    def _turn(self, session: _Session) -> Iterator[None]:
        """Hold a session for one picture; consent is asked for anew every few seconds."""
        if not session.lock.acquire(blocking=False):
            raise BusyError("The picture before is being drawn.", "Ask again with the newest frame.")
        try:
            now = self._sessions.now()
            if now - session.asked_at >= _ASK_CONSENT_SECONDS:
                self._require_consent(session.photo, session.prepared)
                session.asked_at = now
            yield
        finally:
            session.lock.release()

    @staticmethod
    def _moved(session: _Session, face: LiveFace, frame: SeenFrame) -> Performance:
        if frame.seconds <= session.last_at:  # the page's clock is not ours
            frame = replace(frame, seconds=session.last_at + 1e-3)
        session.last_at = frame.seconds
        if not session.seen or frame.seconds - session.seen[0][0] <= LONGEST_SECONDS:
            session.seen.append((frame.seconds, frame.landmarks))
        if frame.landmarks is None:
            return session.driver.next(frame.seconds, None)
        if frame.rests:
            face.rest(frame.landmarks)
            session.driver.rest()
            session.rested_at = frame.seconds
        return session.driver.next(frame.seconds, face.read(frame.landmarks))

    @staticmethod
    def _drawn(session: _Session, motion: Performance, start: float) -> LivePicture:
        from studio.engines.media.pictures import thumbnail_jpeg

        solved = time.perf_counter()
        portrait = session.prepared.portrait
        state = motion.state(0, portrait.own_weights)
        with session.prepared.lock:
            image = portrait.render(state, lip_seal=float(motion.lip_seal[0]), breath=float(motion.breath[0]))
        jpeg = thumbnail_jpeg(image, max(image.shape[:2]), _QUALITY)
        done = time.perf_counter()
        full = session.kept_seconds >= LONGEST_SECONDS
        return LivePicture(jpeg, 1000 * (solved - start), 1000 * (done - solved), session.kept_seconds, full)

    def _kept_motion(self, session: _Session, name: str) -> KeptPerformance:
        from studio.engines.media.curves import write_json

        landmarks, found = resampled(session.seen)
        if not found.any() or len(found) / KEPT_RATE_HZ < SHORTEST_SECONDS:
            raise UserInputError("Nothing was kept: no face was seen long enough.", "Stay in the picture for a second.")
        engines = self._portraits.engines
        with engines.lock:
            face = engines.tracker().solve(landmarks, found, KEPT_RATE_HZ)
        neutral = None
        if session.rested_at is not None:
            at = round((session.rested_at - session.seen[0][0]) * KEPT_RATE_HZ)
            neutral = at if at < len(face) and face.found[at] else None
        portrait = session.prepared.portrait
        motion = drive(face, replace(portrait.mouth, own=portrait.own_weights), neutral)
        path = write_json(motion, self._scratch / f"live-{secrets.token_hex(8)}.json")
        try:
            return self._performances.create(name, motion=MediaSource.file(path))
        finally:
            path.unlink(missing_ok=True)

    def _kept_sound(self, session: _Session, name: str) -> KeptPerformance:
        from studio.engines.media.sound import write_wav

        if session.heard_seconds < SHORTEST_SECONDS:
            raise UserInputError("Nothing was kept: nothing was heard long enough.", "Speak for a second.")
        sound = Sound(np.concatenate(session.sounds), HEARD_HZ)
        path = write_wav(self._scratch / f"live-{secrets.token_hex(8)}.wav", sound)
        try:
            return self._performances.create(name, sound=MediaSource.file(path))
        finally:
            path.unlink(missing_ok=True)


def resampled(
    seen: Sequence[tuple[float, NDArray[np.float32] | None]], rate_hz: float = KEPT_RATE_HZ
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Return landmarks at a constant rate; what lies between two frames is weighed.

    Args:
        seen: seconds that only grow, with landmarks (478, 3), or None where the face was not seen.

    Returns:
        Landmarks, those seen last (before the first: those seen first) where there are none (T, 478, 3), and where
        the face was seen (T,).
    """
    times = np.array([at for at, _ in seen])
    there = np.array([points is not None for _, points in seen], bool)
    if not there.any():
        return np.zeros((0, POINTS, 3), np.float32), np.zeros(0, bool)
    first = next(points for _, points in seen if points is not None)
    held: list[NDArray[np.float32]] = []
    for _, points in seen:
        held.append(points if points is not None else (held[-1] if held else first))
    at = times[0] + np.arange(int((times[-1] - times[0]) * rate_hz) + 1) / rate_hz
    low = np.clip(np.searchsorted(times, at, side="right") - 1, 0, len(times) - 1)
    high = np.minimum(low + 1, len(times) - 1)
    apart = times[high] - times[low]
    share = np.where(apart > 0, (at - times[low]) / np.where(apart > 0, apart, 1.0), 0.0)
    near = np.where(share < 0.5, low, high)
    both = there[low] & there[high] & (apart <= _FURTHEST_APART_SECONDS)
    out = np.empty((len(at), POINTS, 3), np.float32)
    for i, (a, b, s) in enumerate(zip(low, high, share, strict=True)):
        out[i] = held[a] * np.float32(1 - s) + held[b] * np.float32(s) if both[i] else held[a]
    return out, np.where(both, True, there[near] & (apart <= _FURTHEST_APART_SECONDS))
