"""Photos out of a clip: frames are looked at, the best are taken at the clip's own size, each saying where it is from.

A clip of any length costs a bounded time and memory: so many frames are looked
at, spread over it, and one is held at a time. The clip itself is never changed.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from studio.domain.clip_frames import FrameLook, chosen_frames, look_at
from studio.domain.face import FaceEmbedding
from studio.engines.base import Image
from studio.errors import EngineUnavailableError, LimitExceededError, NoFaceError, UnreadableMediaError
from studio.services.portraits.prepared import SMALLEST_FACE, Portraits
from studio.store.curation import NewFile

if TYPE_CHECKING:
    from studio.store import OwnerStore

CLIP_SUFFIXES = frozenset((".mp4", ".m4v", ".mov", ".webm", ".mkv", ".avi", ".mts", ".m2ts", ".3gp", ".wmv"))
"""Endings of files that are taken apart into frames."""
MOST_CLIP_BYTES = 8_000_000_000
LONGEST_SECONDS = 12 * 3600.0
MOST_LOOKS, LOOKS_PER_SECOND = 720, 4.0
"""So many frames of a clip are looked at; a short one gives so many of each second."""
_LOOK_SIDE = 640
_KEY_FRAMES_FROM = 2.0
"""Seconds between two looks from which on only key frames are decoded."""
_STILL, _CUT = 1.5, 26.0
"""Mean change of a small gray picture, 0..255: below, nothing has moved; above, another shot has begun."""
_AROUND_SECONDS, _AROUND_RATE = 0.12, 30.0
"""The sharpest frame this near to a chosen one is taken."""

Tell = Callable[[float, str], None]


def is_clip(file_name: str) -> bool:
    """Say whether a file is to be taken apart, by its name."""
    return Path(file_name).suffix.lower() in CLIP_SUFFIXES


@dataclass(frozen=True)
class ClipFrames:
    """Frames that were put into the media store, and a sentence on what was done."""

    files: tuple[NewFile, ...]
    note: str


class FrameFinder:
    """Takes clips apart."""

    def __init__(self, store: OwnerStore, portraits: Portraits) -> None:
        self._store = store
        self._portraits = portraits

    def frames(
        self,
        clip: Path,
        name: str,
        *,
        most: int,
        hide_others: bool = False,
        known: Sequence[FaceEmbedding] = (),
        tell: Tell = lambda share, words: None,
    ) -> ClipFrames:
        """Put the frames of a clip that make the best photos into the media store.

        Args:
            name: as the person knows the clip.
            most: so many at most.
            hide_others: make all faces but one unrecognisable: the one that is most like `known`, else like the face
                that is seen best.
            tell: is told how far it is; what it raises ends the work.

        Raises:
            NoFaceError: no frame shows a face that is large enough.
            UnreadableMediaError: no video, or damaged from the beginning.
            LimitExceededError: longer than LONGEST_SECONDS.
        """
        seen = self._looked(clip, name, tell)
        chosen = chosen_frames(seen.looks, most)
        if not chosen:
            small = f", or only smaller than {SMALLEST_FACE} pixels" if seen.too_small else ""
            raise NoFaceError(f"No face was found in {name}{small}.", "Use a clip in which the face is seen closer.")
        files, failed, reference = [], 0, list(known)
        # the best look first: of several faces it says whose photos these are
        best = max(chosen, key=lambda look: (look.faces == 1, look.worth))
        order = [best, *(look for look in chosen if look is not best)] if hide_others else list(chosen)
        for number, look in enumerate(order):
            tell(0.7 + 0.3 * number / len(order), f"{name}: taking frame {number + 1} of {len(order)}")
            found = _sharpest(clip, look)
            if found is None:
                failed += 1
                continue
            image, seconds = found
            others = ""
            if hide_others and (look.faces > 1 or reference or number == 0):
                image, hid = self._without_others(image, look, reference)
                others = ", others hidden" if hid else ""
            said = f"{_clock(seconds)} in {name}{others}"
            files.append((seconds, NewFile(f"{said}.png", self._kept(image, said))))
        if not files:
            raise UnreadableMediaError(f"The frames of {name} cannot be read again.", "The file may be damaged.")
        ordered = tuple(file for _, file in sorted(files, key=lambda pair: pair[0]))
        return ClipFrames(ordered, _note(name, len(ordered), seen, failed))

    # -- looking -----------------------------------------------------------------------

    def _looked(self, clip: Path, name: str, tell: Tell) -> _Seen:
        from studio.engines.media.frames import read_frames
        from studio.engines.media.sound import probe

        length = probe(clip).duration_seconds
        if length is not None and length > LONGEST_SECONDS:
            raise LimitExceededError(
                f"{name} is {length / 3600:.0f} hours long; at most {LONGEST_SECONDS / 3600:g} are looked through.",
                "Trim it to the part needed.",
            )
        rate = LOOKS_PER_SECOND if not length else min(LOOKS_PER_SECOND, MOST_LOOKS / length)
        seen = _Seen(length, rate)
        reading = read_frames(
            clip, longer_side=_LOOK_SIDE, max_seconds=2 * LONGEST_SECONDS, most_per_second=rate,
            key_frames=rate <= 1 / _KEY_FRAMES_FROM,
        )  # fmt: skip
        with reading as frames:
            for number, image in enumerate(frames):
                if number >= MOST_LOOKS:
                    seen.is_cut_short = length is None
                    break
                share = 0.7 * (number + 1) / max((length or number / rate + 60) * rate, number + 1)
                tell(min(share, 0.7), f"{name}: looking at {_clock(number / frames.frame_rate_hz)}")
                seen.add(image, number / frames.frame_rate_hz, self._portraits, clip)
            seen.notes = tuple(note for note in frames.notes if "looked at" not in note)  # we say it better
        return seen

    # -- keeping -----------------------------------------------------------------------

    def _without_others(self, image: Image, look: FrameLook, reference: list[FaceEmbedding]) -> tuple[Image, bool]:
        """Hide all faces but the person's; the first frame says who that is where nobody did before."""
        from studio.engines.media.hiding import hidden
        from studio.engines.media.pictures import fit_longer_side

        small = np.ascontiguousarray(fit_longer_side(image, 1024))
        scale = image.shape[1] / small.shape[1]
        engines = self._portraits.engines
        with engines.lock:
            faces = engines.faces().detect(small)
            if not faces:
                return image, False
            mine = 0
            try:
                if not reference:
                    middle = ((look.box[0] + look.box[2]) / 2 * small.shape[1], (look.box[1] + look.box[3]) / 2)
                    mine = min(range(len(faces)), key=lambda i: abs(sum(faces[i].box[::2]) / 2 - middle[0]))
                    reference.append(engines.faces().embed(small, faces[mine]))
                elif len(faces) > 1:
                    vectors = [engines.faces().embed(small, face) for face in faces]
                    mine = min(range(len(faces)), key=lambda i: min(vectors[i].distance(r) for r in reference))
            except EngineUnavailableError:  # nobody can be told apart: the largest face is the person's
                mine = 0
        boxes = [tuple(float(v) * scale for v in face.box) for i, face in enumerate(faces) if i != mine]
        return hidden(image, [(b[0], b[1], b[2], b[3]) for b in boxes]), bool(boxes)

    def _kept(self, image: Image, said: str) -> str:
        from studio.engines.media.pictures import png_bytes

        return self._store.media.put(png_bytes(image, about=said), ".png")


class _Seen:
    """What was seen while a clip was looked through; holds no pictures but one small one."""

    def __init__(self, length: float | None, rate: float) -> None:
        self.length, self.rate = length, rate
        self.looks: list[FrameLook] = []
        self.count = self.too_small = self.shots = 0
        self.is_cut_short = False
        self.notes: tuple[str, ...] = ()
        self.last_seconds = 0.0
        self._before: Image | None = None
        self._usual = 0.0
        self._size: tuple[int, int] | None = None

    def add(self, image: Image, seconds: float, portraits: Portraits, clip: Path) -> None:
        """Look at one frame; one in which nothing has moved since is passed over."""
        from studio.engines.media.pictures import fit_longer_side

        self.count += 1
        self.last_seconds = seconds
        gray = np.ascontiguousarray(fit_longer_side(np.ascontiguousarray(image), 48)[..., 1])
        if self._before is not None and self._before.shape == gray.shape:
            change = float(np.abs(gray.astype(np.float32) - self._before.astype(np.float32)).mean())
            if change > _CUT:
                self.shots += 1
            elif change < _STILL:
                return
        self._before = gray
        engines = portraits.engines
        with engines.lock:
            faces = engines.faces().detect(image)
            fingerprint = engines.faces().fingerprint(image)
        if not faces:
            return
        scale = self._scale(clip, image)
        look = look_at(
            faces[0], (image.shape[1], image.shape[0]), scale, seconds=seconds, shot=self.shots,
            fingerprint=fingerprint, faces=len(faces),
        )  # fmt: skip
        if look.pixels < SMALLEST_FACE:
            self.too_small += 1
            return
        self.looks.append(look)

    def _scale(self, clip: Path, image: Image) -> float:
        if self._size is None:
            whole = _one_frame(clip, 0.0)
            self._size = (image.shape[1], image.shape[0]) if whole is None else (whole.shape[1], whole.shape[0])
        return float(self._size[0] / image.shape[1])


def _one_frame(clip: Path, seconds: float) -> Image | None:
    from studio.engines.media.frames import read_frames

    try:
        with read_frames(clip, start_seconds=seconds, seconds=0.5, max_seconds=2.0) as frames:
            return next(iter(frames), None)
    except UnreadableMediaError:
        return None


def _sharpest(clip: Path, look: FrameLook) -> tuple[Image, float] | None:
    """Return the sharpest frame around a look, at the clip's own size, and its time; None where none can be read."""
    from studio.engines.media.frames import read_frames

    start = max(look.seconds - _AROUND_SECONDS, 0.0)
    best: tuple[float, Image, float] | None = None
    try:
        with read_frames(
            clip, start_seconds=start, seconds=2 * _AROUND_SECONDS + 0.05, max_seconds=2.0, most_per_second=_AROUND_RATE
        ) as frames:
            for number, image in enumerate(frames):
                sharp = _detail(image, look.box)
                if best is None or sharp > best[0]:
                    best = sharp, image, start + number / frames.frame_rate_hz
    except UnreadableMediaError:
        return None
    return None if best is None else (best[1], best[2])


def _detail(image: Image, box: tuple[float, float, float, float]) -> float:
    """Return how much fine detail there is in a part of a picture, by its second differences."""
    height, width = image.shape[:2]
    x0, x1 = int(max(box[0], 0) * width), int(min(box[2], 1) * width)
    y0, y1 = int(max(box[1], 0) * height), int(min(box[3], 1) * height)
    part = image[y0:y1, x0:x1, 1].astype(np.float32)
    if min(part.shape) < 3:
        return 0.0
    second = 4 * part[1:-1, 1:-1] - part[:-2, 1:-1] - part[2:, 1:-1] - part[1:-1, :-2] - part[1:-1, 2:]
    return float(np.sqrt(np.mean(second**2)))


def _clock(seconds: float) -> str:
    """Return a moment as 1:02:03.45, or 2:03.45."""
    hundredths = round(seconds * 100)
    minutes, rest = divmod(hundredths, 6000)
    hours, minutes = divmod(minutes, 60)
    shown = f"{minutes:02d}" if hours else str(minutes)
    return (f"{hours}:" if hours else "") + f"{shown}:{rest / 100:05.2f}"


def _note(name: str, taken: int, seen: _Seen, failed: int) -> str:
    words = [f"{name}: {taken} frame{'s' if taken != 1 else ''} taken of {seen.count} that were looked at"]
    if seen.rate < LOOKS_PER_SECOND:
        words.append(f", one every {1 / seen.rate:.0f} seconds" if seen.rate < 1 else f", {seen.rate:.1f} a second")
    if seen.shots:
        words.append(f", in {seen.shots + 1} shots")
    sentence = "".join(words) + "."
    if seen.too_small:
        sentence += f" {seen.too_small} faces were too small."
    if seen.is_cut_short:
        sentence += " It does not say how long it is; what comes later was not looked at."
    if seen.length is not None and seen.last_seconds < 0.9 * seen.length - 2 / seen.rate - 1:
        sentence += f" It breaks off after {_clock(seen.last_seconds)}: the file is damaged."
    if failed:
        sentence += f" {failed} could not be read again."
    return " ".join([sentence, *seen.notes])
