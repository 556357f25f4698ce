"""Which frames of a clip are worth being photos of a person.

Frames that were looked at are put into bins by where the head points and what
the face does; the sharpest of every bin are taken in turns, near-duplicates are
passed over, and shots that gave nothing yet go first. A clip in which a person
turns, laughs and speaks gives more than one in which they sit still.

Knows nothing of pixels or files.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from studio.domain.face import DetectedFace

USUAL_MOST, MOST_FRAMES = 24, 100
"""So many frames of one clip become photos, and so many may be asked for."""
PER_BIN = 5
"""More of one angle and one expression teach nothing new."""
_YAW_BINS, _PITCH_BINS = (-28.0, -10.0, 10.0, 28.0), (-22.0, 8.0)
_USEFUL_PIXELS = 200.0
_TWINS_BITS, _TWINS_DEGREES = 6, 8.0
"""Fingerprints of 64 bits that differ in fewer, of heads that point nearly alike, are nearly the same picture."""
_TWINS_SECONDS = 0.4
_LEAST_SHARP = 0.35
"""Of the sharpest look of the clip; what is less was moving."""
_SHUT, _OPEN, _WIDE = 0.13, 0.09, 0.66
# Landmarks: outer eye corners; corners and inner middle of the lips; corners and lids of both eyes.
_EYES, _CORNERS, _LIPS = (33, 263), (61, 291), (13, 14)
_LIDS = ((33, 133, 159, 145), (362, 263, 386, 374))


@dataclass(frozen=True, kw_only=True)
class FrameLook:
    """The largest face of one frame.

    Attributes:
        seconds: from the beginning of the clip.
        shot: number of the shot, rising.
        box: x0, y0, x1, y1 in shares of the frame's width and height.
        yaw_degrees, pitch_degrees: of the head, absolute.
        sharpness, exposure: 0..1.
        pixels: across the face, in the clip as it is.
        mouth, width: opening and width of the mouth, in distances of the outer eye corners.
        eyes: opening of the more open eye, in its own lengths.
        fingerprint: 64 bits of the whole picture.
        faces: how many faces the frame shows.
    """

    seconds: float
    shot: int
    box: tuple[float, float, float, float]
    yaw_degrees: float
    pitch_degrees: float
    sharpness: float
    exposure: float
    pixels: float
    mouth: float
    width: float
    eyes: float
    fingerprint: int
    faces: int = 1

    @property
    def bin(self) -> tuple[int, int, str]:
        """Where the head points, and what the face does."""
        yaw, pitch = np.digitize(self.yaw_degrees, _YAW_BINS), np.digitize(self.pitch_degrees, _PITCH_BINS)
        does = "open" if self.mouth > _OPEN else "smile" if self.width > _WIDE else "calm"
        return int(yaw), int(pitch), does

    @property
    def worth(self) -> float:
        """How good a photo it makes, 0..1."""
        return self.sharpness * (0.2 + 0.8 * min(self.pixels / _USEFUL_PIXELS, 1.0)) * (0.3 + 0.7 * self.exposure)


def look_at(
    face: DetectedFace, size: tuple[int, int], scale: float, *, seconds: float, shot: int, fingerprint: int, faces: int
) -> FrameLook:
    """Return what one frame shows.

    Args:
        face: the largest one.
        size: width and height of the frame that was looked at.
        scale: pixels of the clip per pixel of that frame.
    """
    points = face.landmarks[:, :2].astype(np.float64)
    eyes = max(_apart(points, *_EYES), 1e-6)
    lids = [_apart(points, up, down) / max(_apart(points, a, b), 1e-6) for a, b, up, down in _LIDS]
    x0, y0, x1, y1 = face.box
    width, height = size
    return FrameLook(
        seconds=seconds, shot=shot, box=(x0 / width, y0 / height, x1 / width, y1 / height),
        yaw_degrees=face.head.yaw_degrees, pitch_degrees=face.head.pitch_degrees, sharpness=face.quality.sharpness,
        exposure=face.quality.exposure, pixels=min(x1 - x0, y1 - y0) * scale, mouth=_apart(points, *_LIPS) / eyes,
        width=_apart(points, *_CORNERS) / eyes, eyes=max(lids), fingerprint=fingerprint, faces=faces,
    )  # fmt: skip


def _apart(points: NDArray[np.float64], one: int, other: int) -> float:
    return float(np.linalg.norm(points[one] - points[other]))


def chosen_frames(looks: Sequence[FrameLook], most: int = USUAL_MOST) -> tuple[FrameLook, ...]:
    """Return the frames to keep, in the order of the clip.

    Args:
        looks: in the order of the clip.
        most: so many at most.
    """
    if not looks:
        return ()
    sharpest = max(look.sharpness for look in looks)
    good = [look for look in looks if look.eyes > _SHUT and look.sharpness >= _LEAST_SHARP * sharpest] or list(looks)
    bins: dict[tuple[int, int, str], list[FrameLook]] = {}
    for look in sorted(good, key=lambda look: -look.worth):  # stable: of equals the earlier one
        bins.setdefault(look.bin, []).append(look)
    taken: list[FrameLook] = []
    for _ in range(PER_BIN):
        for waiting in bins.values():
            shots = {look.shot for look in taken}
            waiting.sort(key=lambda look, seen=shots: (look.shot in seen, -look.worth))  # type: ignore[misc]
            found = next((look for look in waiting if not any(_twins(look, other) for other in taken)), None)
            if found is None or len(taken) >= most:
                continue
            waiting.remove(found)
            taken.append(found)
    return tuple(sorted(taken, key=lambda look: look.seconds))


def _twins(one: FrameLook, other: FrameLook) -> bool:
    """Whether two frames are nearly the same picture of the same face."""
    if abs(one.seconds - other.seconds) < _TWINS_SECONDS:
        return True
    turned = max(abs(one.yaw_degrees - other.yaw_degrees), abs(one.pitch_degrees - other.pitch_degrees))
    alike = one.bin[2] == other.bin[2] and turned < _TWINS_DEGREES
    return alike and (one.fingerprint ^ other.fingerprint).bit_count() < _TWINS_BITS
