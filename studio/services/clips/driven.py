"""A clip of a face made ready to move a portrait: checked, followed, as much of each layer as was asked for.

What is carried over is motion only. Its own sound is heard with it unless another one is given.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from studio.domain.driving import CALIBRATION_SECONDS, TrackedFace, drive
from studio.domain.performance import MouthResponse, Performance
from studio.engines import Engines
from studio.errors import LimitExceededError, UnreadableMediaError, UserInputError
from studio.services.clips.recorded import with_amounts
from studio.services.progress import OnProgress, Progress

if TYPE_CHECKING:
    from studio.engines.media.sound import SoundInfo
    from studio.services.clips.request import AnimationRequest

LONGEST_SECONDS = 600.0
TRACKED_SIDE = 640
"""Frames are reduced to this: the landmark model looks at 192 pixels of a face."""
MOST_PER_SECOND = 60.0
_TELL_EVERY = 12
STILL_PICTURES = frozenset({".jpg", ".jpeg", ".png", ".webp", ".heic", ".heif", ".avif", ".tif", ".tiff", ".bmp"})
VIDEO_HINT = "Use an mp4, mov, webm, mkv or avi video of a face."


def video_part(path: Path, start_seconds: float, seconds: float | None) -> SoundInfo:
    """Return what is known of a video after a look whether a part of it can be followed.

    Args:
        start_seconds, seconds: the part; None is to the end.

    Raises:
        NotFoundError: no such file.
        UnreadableMediaError: no video, or damaged.
        LimitExceededError: longer than LONGEST_SECONDS.
        UserInputError: a picture, or a part behind its end.
    """
    from studio.engines.media.sound import probe

    try:
        info = probe(path)
    except UnreadableMediaError as exc:
        if path.suffix.lower() in STILL_PICTURES:
            raise still(path.name) from exc
        raise
    if not info.has_video:
        raise UnreadableMediaError(f"{path.name} has no moving picture in it.", VIDEO_HINT)
    length = info.duration_seconds
    if length is not None and start_seconds >= length:
        raise UserInputError(
            f"The part starts at {start_seconds:g} s, the video ends at {length:.1f} s.", "Choose an earlier start."
        )
    asked = seconds if seconds is not None else (length or 0.0) - start_seconds
    if asked > LONGEST_SECONDS:
        raise LimitExceededError(
            f"{path.name} is {asked / 60:.0f} minutes long; a face is followed for at most "
            f"{LONGEST_SECONDS / 60:g} minutes.",
            "Trim it, or ask for its first minutes only (--seconds 600).",
            window="Trim it to the part needed.",
        )
    return info


def check_driving(request: AnimationRequest, path: Path) -> SoundInfo:
    """Refuse a file that cannot drive, before anything long is begun.

    Raises:
        NotFoundError: no such file.
        UnreadableMediaError: no video, or damaged.
        LimitExceededError: longer than LONGEST_SECONDS.
        UserInputError: a picture, or a part behind its end.
    """
    info = video_part(path, request.start_seconds, request.seconds)
    length = info.duration_seconds
    neutral = request.neutral_seconds
    if neutral is not None and length is not None and not request.start_seconds <= neutral <= length:
        raise UserInputError(
            f"The neutral moment, {neutral:g} s, lies outside the part of the video that is used.",
            f"Choose {request.start_seconds:g} to {length:.1f} s.",
        )
    return info


def driven_motion(
    request: AnimationRequest, path: Path, mouth: MouthResponse, engines: Engines, tell: OnProgress
) -> tuple[Performance, tuple[str, ...]]:
    """Follow the face of a clip and return the portrait's motion, with sentences for the person.

    Args:
        path: the clip.
        mouth: of the portrait, with the face that the clip starts from.
        tell: is told how far the tracking is; what it raises ends it.

    Raises:
        NoFaceError: the clip shows none.
        UserInputError, UnreadableMediaError, LimitExceededError: see `check_driving`.
    """
    length = check_driving(request, path).duration_seconds
    face, notes = _followed(request, path, engines, tell)
    seen = len(face) / face.frame_rate_hz
    wanted = min(request.seconds or LONGEST_SECONDS, (length or 0.0) - request.start_seconds)
    if seen < 0.95 * wanted - 0.5:
        notes = (*notes, f"The video breaks off after {seen:.1f} of {wanted:.1f} seconds: the file is damaged.")
    neutral = None
    if request.neutral_seconds is not None:
        neutral = min(round((request.neutral_seconds - request.start_seconds) * face.frame_rate_hz), len(face) - 1)
        if not face.found[neutral]:
            raise UserInputError(
                f"At {request.neutral_seconds:g} s the video shows no face that could be the neutral one.",
                "Choose a moment in which the face is seen at rest.",
            )
    whole = drive(face, mouth, neutral)
    part = whole.part(0.0, request.seconds).at_rate(float(request.frame_rate_hz))
    return with_amounts(part, request.amounts), notes


def _followed(
    request: AnimationRequest, path: Path, engines: Engines, tell: OnProgress
) -> tuple[TrackedFace, tuple[str, ...]]:
    from studio.engines.media.frames import read_frames

    # A preview follows the face as far as the neutral one is looked for, so that it moves as the clip will.
    asked = None
    if request.seconds is not None:
        neutral = (request.neutral_seconds or 0.0) - request.start_seconds + 1
        asked = min(max(request.seconds, neutral, CALIBRATION_SECONDS), LONGEST_SECONDS)
    with read_frames(
        path,
        longer_side=TRACKED_SIDE,
        max_seconds=LONGEST_SECONDS,
        start_seconds=request.start_seconds,
        seconds=asked,
        most_per_second=MOST_PER_SECOND,
    ) as frames:

        def on_frame(count: int) -> None:
            if count % _TELL_EVERY == 1:
                tell(Progress(0.06, f"Following the face, {count / frames.frame_rate_hz:.0f} s"))

        with engines.lock:
            face = engines.tracker().track(
                frames, frames.frame_rate_hz, face_index=request.driving_face, on_frame=on_frame
            )
        if len(face) < 2:
            raise still(path.name)
        return face, (*face.notes, *frames.notes)


def still(name: str) -> UserInputError:
    """Return what is said of a video of one frame, or of a picture given for one."""
    return UserInputError(
        f"{name} is a single picture: nothing moves in it.",
        "Give a video of a face; the expression of a picture is set with sliders.",
    )
