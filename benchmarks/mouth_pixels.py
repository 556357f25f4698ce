"""Whether lips are seen to close: a clip is rendered, encoded, decoded again, and its mouth tracked.

Curves can close lips that a picture leaves apart. This measure looks at the encoded
pixels, with the landmark model as its eyes; what that model reads on sealed lips of the
same photo (up to 1.5 mm) counts as closed, and so does a millimetre more.
Shared by the voice benchmark, which prints it for any recording, and the tests.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.mouth_checks import CLOSED_MM
from studio.domain.expression import FaceState
from studio.domain.performance import Performance
from studio.domain.pose import HeadPose
from studio.domain.speech import Phone
from studio.engines.base import Image, Sound
from studio.engines.media.sound import write_wav
from studio.engines.media.video import open_writer, read_frames
from studio.engines.rig.portrait import RigPortrait
from studio.engines.vision.analyser import VisionAnalyser

FloatArray = NDArray[np.floating]

EYE_CORNERS_MM = 88.9
BEFORE_SECONDS, AFTER_SECONDS = 0.05, 0.03  # a closure may begin before its phone and end after it,
TRACKING_FRAMES = 1  # and the tracker smooths over neighboring frames
_PAIRS = ((13, 14), (82, 87), (312, 317))  # inner lips, upper and lower


@dataclass(frozen=True)
class SeenMouth:
    """A mouth as a tracker reads it off the pixels of a clip.

    Attributes:
        gap_mm: mean gap of the inner lips in the middle, of every frame.  # (T,)
        sealed_mm: what is read on the same photo with its lips sealed.
        frame_rate_hz: of the clip.
    """

    gap_mm: FloatArray
    sealed_mm: float
    frame_rate_hz: float

    def closures(self, phones: Sequence[Phone]) -> list[bool]:
        """Say of every P, B and M whether a frame around it is seen closed."""
        shut = self.gap_mm <= self.sealed_mm + CLOSED_MM
        found = []
        for phone in phones:
            if phone.label in ("P", "B", "M"):
                first = int(np.floor((phone.start - BEFORE_SECONDS) * self.frame_rate_hz)) - TRACKING_FRAMES
                last = int(np.ceil((phone.end + AFTER_SECONDS) * self.frame_rate_hz)) + TRACKING_FRAMES
                found.append(bool(shut[max(first, 0) : last + 1].any()))
        return found


def see(portrait: RigPortrait, performance: Performance, sound: Sound, analyser: VisionAnalyser) -> SeenMouth:
    """Render a performance to an mp4, read the file back and track its mouth.

    Raises:
        ValueError: the face was lost in a frame.
    """
    rate = performance.frame_rate_hz
    sealed = portrait.render(FaceState(portrait.own_weights, HeadPose()), lip_seal=1.0)
    with tempfile.TemporaryDirectory() as folder:
        wav, clip = Path(folder) / "speech.wav", Path(folder) / "clip.mp4"
        write_wav(wav, sound)
        with open_writer("mp4", clip, portrait.size, rate, sound_path=wav) as writer:
            for i in range(len(performance)):
                state = performance.state(i, portrait.own_weights)
                writer.write(portrait.render(state, lip_seal=float(performance.lip_seal[i])))
        with read_frames(clip) as frames:
            return seen_in(frames, sealed, rate, analyser)


def seen_in(frames: Iterable[Image], sealed: Image, frame_rate_hz: float, analyser: VisionAnalyser) -> SeenMouth:
    """Track the mouth through frames.

    Args:
        sealed: the same face with its lips sealed.

    Raises:
        ValueError: the face was lost in a frame.
    """
    still = _marks(sealed, None, analyser)
    gaps, marks = [], still
    for frame in frames:
        marks = _marks(frame, marks, analyser)
        gaps.append(_gap(marks))
    return SeenMouth(np.array(gaps), _gap(still), frame_rate_hz)


def _marks(picture: Image, before: FloatArray | None, analyser: VisionAnalyser) -> FloatArray:
    """Return the landmarks, tracked from those of the frame before.  # (478, 3)"""
    start = before
    if start is None:
        faces = analyser.detect(picture)
        if not faces:
            raise ValueError("No face was found: its mouth cannot be judged.")
        start = faces[0].landmarks
    found = analyser.track(picture, start)
    if found.score <= 0.5:
        raise ValueError("The face was lost: its mouth cannot be judged.")
    return np.asarray(found.points)


def _gap(marks: FloatArray) -> float:
    eyes = np.linalg.norm(marks[33, :2] - marks[263, :2])
    return float(np.mean([marks[low, 1] - marks[up, 1] for up, low in _PAIRS]) / eyes * EYE_CORNERS_MM)
