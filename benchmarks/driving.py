"""Driving by a video, in figures and pictures.

    python -m studio bench driving
    python -m studio bench driving --clips FOLDER --portraits FOLDER --sheet FOLDER

Self-reenactment: the clip's own calmest frame is the portrait, the clip drives
it, and the result is compared with the clip. Landmarks are compared without the
place and size of the head, which driving leaves out on purpose; in pixels the
whole frame is moved to where the driver's head is, as a camera would. Driving
others: whether the portrait stays who it is, and does not become the driver.
Without folders the repository's rig renders a clip from scikit-image's
public-domain astronaut, so that it runs anywhere.
"""

from __future__ import annotations

import argparse
import json
import platform
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from benchmarks.driver_clip import write_driver
from benchmarks.rig import portraits as pictures_in
from benchmarks.rig import square
from studio.domain.driving import TrackedFace, calmed, drive, neutral_of
from studio.domain.expression import FaceState
from studio.engines import Engines
from studio.engines.base import Image
from studio.engines.media.frames import read_frames
from studio.services.clips.making import FrameSource
from studio.services.portraits.prepared import Portraits

ROOT = Path(__file__).resolve().parent.parent
LONGEST_SECONDS = 8.0
COMPARED = 24
"""Frames of a clip that are drawn and compared."""
SHEET_FRAMES, SHEET_SIDE = 6, 400
SAME_PERSON = 0.6
"""dlib's own distance between two pictures of one person."""
_RIGID = (33, 133, 263, 362, 168, 6, 197, 1, 4, 98, 327, 10, 151)
_CONTOURS = tuple(
    sorted(
        {
            33, 246, 161, 160, 159, 158, 157, 173, 133, 155, 154, 153, 145, 144, 163, 7, 263, 466, 388, 387, 386, 385,
            384, 398, 362, 382, 381, 380, 374, 373, 390, 249, 70, 63, 105, 66, 107, 300, 293, 334, 296, 336, 61, 185,
            40, 39, 37, 0, 267, 269, 270, 409, 291, 146, 91, 181, 84, 17, 314, 405, 321, 375, 78, 191, 80, 81, 82, 13,
            312, 311, 310, 415, 308, 324, 318, 402, 317, 14, 87, 178, 88, 95,
        }
    )
)  # fmt: skip
Array = NDArray[Any]


@dataclass(frozen=True)
class Driver:
    """One clip, followed."""

    name: str
    frames: list[Image]
    face: TrackedFace
    milliseconds: float

    @property
    def neutral(self) -> int:
        """The calmest frame of the first shot."""
        first = self.face.rows(self.face.shot == self.face.shot[0])
        return neutral_of(calmed(first)).frame


def follow(engines: Engines, path: Path, longer_side: int = 640) -> Driver:
    """Read and follow a clip; the time is that of one core, without decoding and the first look for the face."""
    with read_frames(path, longer_side=longer_side, seconds=LONGEST_SECONDS) as reader:
        frames, rate = list(reader), reader.frame_rate_hz
    engines.tracker().track(frames[:2], rate)  # opens the models
    short, whole = [], []
    for count, spent in ((2, short), (len(frames), whole)):
        begun = time.process_time()
        face = engines.tracker().track(frames[:count], rate)
        spent.append(time.process_time() - begun)
    return Driver(path.stem, frames, face, 1000 * (whole[0] - short[0]) / max(len(frames) - 2, 1))


def reenacted(engines: Engines, driver: Driver) -> tuple[dict[str, float], list[tuple[Image, Image]]]:
    """Drive the clip's calmest frame by the clip; return figures, and pairs of truth and result."""
    portraits = Portraits(engines)
    still = driver.frames[driver.neutral]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "neutral.png"
        cv2.imwrite(str(path), cv2.cvtColor(still, cv2.COLOR_RGB2BGR))
        prepared = portraits.prepare(path, face_index=0, size=max(still.shape[:2]))
    motion = drive(driver.face, prepared.portrait.mouth, driver.neutral)
    source = FrameSource(prepared.portrait, motion, FaceState(prepared.portrait.own_weights))
    errors, contours, lips, gains, driven_db, static_db, pairs = [], [], [], [], [], [], []
    for frame in picked(len(motion), COMPARED):
        if frame == driver.neutral:
            continue  # the portrait itself
        truth, result = driver.frames[frame], source.picture(frame)
        seen, made, rest = (engines.faces().detect(image) for image in (truth, result, still))
        if not (seen and made and rest):
            continue
        marks, ours, own = (found[0].landmarks for found in (seen, made, rest))
        placed, matrix = laid_over(ours, marks)
        scale = float(np.linalg.norm(marks[263, :2] - marks[33, :2]))
        away = np.linalg.norm(placed - marks[:468, :2], axis=1) / scale
        errors.append(away.mean())
        contours.append(away[list(_CONTOURS)].mean())
        lips.append(abs(gap(placed) - gap(marks[:468, :2])) / scale)
        box = face_box(marks, truth.shape)
        moved = cv2.warpAffine(result, matrix, truth.shape[1::-1], flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REFLECT)
        _, static_matrix = laid_over(own, marks)
        static = cv2.warpAffine(still, static_matrix, truth.shape[1::-1], flags=cv2.INTER_CUBIC)
        driven_db.append(psnr(truth[box], moved[box]))
        static_db.append(psnr(truth[box], still[box]))
        gains.append(driven_db[-1] - psnr(truth[box], static[box]))
        pairs.append((truth, result))
    return {
        "landmark_error_percent": 100 * float(np.mean(errors)),
        "contour_error_percent": 100 * float(np.mean(contours)),
        "lip_gap_error_percent": 100 * float(np.mean(lips)),
        "psnr_db": float(np.mean(driven_db)),
        "psnr_gain_db": float(np.mean(driven_db) - np.mean(static_db)),
        "psnr_gain_head_in_place_db": float(np.mean(gains)),
        "tracking_ms_per_frame": driver.milliseconds,
    }, pairs


def leak(engines: Engines, driver: Driver, name: str, image: Image) -> tuple[dict[str, float], list[Image]]:
    """Drive another face; return how far each frame is from its photo, and whether it nears the driver."""
    portraits = Portraits(engines)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "portrait.png"
        cv2.imwrite(str(path), cv2.cvtColor(image, cv2.COLOR_RGB2BGR))
        prepared = portraits.prepare(path, face_index=0, size=512)
    motion = drive(driver.face, prepared.portrait.mouth)
    source = FrameSource(prepared.portrait, motion, FaceState(prepared.portrait.own_weights))
    faces = engines.faces()
    photo = faces.embed(prepared.image, prepared.face)
    seen = faces.detect(driver.frames[driver.neutral])[0]
    other = faces.embed(driver.frames[driver.neutral], seen)
    to_photo, nearer, shown = [], [], []
    for frame in picked(len(motion), SHEET_FRAMES):
        picture = source.picture(frame)
        found = faces.detect(picture)
        if found:
            vector = faces.embed(picture, found[0])
            to_photo.append(vector.distance(photo))
            nearer.append(photo.distance(other) - vector.distance(other))
        shown.append(square(picture, prepared.face.box, SHEET_SIDE, 1.9))
    return {
        "distance_to_photo_max": float(np.max(to_photo)),
        "distance_to_photo_mean": float(np.mean(to_photo)),
        "nearer_to_driver_mean": float(np.mean(nearer)),
        "frames_without_face": float(len(shown) - len(to_photo)),
    }, shown


def laid_over(points: Array, onto: Array) -> tuple[Array, Array]:
    """Lay landmarks over others by what hardly moves in a face: shift, size and turn in the plane.

    Returns:
        The moved points  # (468, 2), and the 2x3 matrix.
    """
    rows = list(_RIGID)
    ours, theirs = (p[rows, 0] + 1j * p[rows, 1] for p in (points.astype(np.float64), onto.astype(np.float64)))
    centered, target = ours - ours.mean(), theirs - theirs.mean()
    factor = (target * centered.conj()).sum() / (abs(centered) ** 2).sum()
    shift = theirs.mean() - factor * ours.mean()
    matrix = np.array([[factor.real, -factor.imag, shift.real], [factor.imag, factor.real, shift.imag]])
    return points[:468, :2] @ matrix[:, :2].T + matrix[:, 2], matrix


def gap(points: Array) -> float:
    """Return the distance of the inner lips, pixels."""
    return float(np.linalg.norm(points[13, :2] - points[14, :2]))


def face_box(marks: Array, shape: tuple[int, ...]) -> tuple[slice, slice]:
    """Return the part of a picture around landmarks."""
    low, high = marks[:468, :2].min(0), marks[:468, :2].max(0)
    x0, y0 = np.maximum(low, 0).astype(int)
    x1, y1 = np.minimum(high, [shape[1], shape[0]]).astype(int)
    return slice(y0, y1), slice(x0, x1)


def psnr(first: Image, second: Image) -> float:
    """Return the peak signal-to-noise ratio, dB."""
    error = float(((first.astype(float) - second.astype(float)) ** 2).mean())
    return 10 * float(np.log10(255**2 / max(error, 1e-9)))


def picked(count: int, wanted: int) -> list[int]:
    """Return rows spread over a clip, the first and the last among them."""
    return sorted({int(i) for i in np.linspace(0, count - 1, min(wanted, count))})


def run(clips: Path | None = None, portraits: Path | None = None, sheet: Path | None = None) -> dict[str, Any]:
    """Measure every clip of a folder on itself and on the portraits; write sheets where asked."""
    cv2.setNumThreads(1)
    engines = Engines(ROOT / "assets")
    figures: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as folder:
        paths = sorted(clips.glob("*.mp4")) if clips else [_own_clip(engines, Path(folder))]
        chosen = pictures_in(portraits) if portraits else _own_portraits()
        if portraits:
            chosen.pop("astronaut", None)
        for path in paths:
            driver = follow(engines, path)
            own, pairs = reenacted(engines, driver)
            figures[driver.name] = own
            print(driver.name, {k: round(v, 2) for k, v in own.items()}, flush=True)
            rows = [[shown_face(engines, truth) for truth, _ in _some(pairs)]]
            rows.append([shown_face(engines, result) for _, result in _some(pairs)])
            for name, image in chosen.items():
                scores, shown = leak(engines, driver, name, image)
                figures[f"{driver.name} -> {name}"] = scores
                print(f"{driver.name} -> {name}", {k: round(v, 3) for k, v in scores.items()}, flush=True)
                rows.append(shown)
            if sheet:
                _write_sheet(sheet / f"driving-{driver.name}.png", rows)
    figures["machine"] = f"{platform.machine()}, {platform.python_version()}"
    return figures


def shown_face(engines: Engines, image: Image) -> Image:
    """Return the face of a picture at the size of the sheet."""
    found = engines.faces().detect(image)
    box = found[0].box if found else (0.0, 0.0, float(image.shape[1]), float(image.shape[0]))
    return square(image, box, SHEET_SIDE, 1.9)


def _some(pairs: list[tuple[Image, Image]]) -> list[tuple[Image, Image]]:
    return [pairs[i] for i in picked(len(pairs), SHEET_FRAMES)]


def _own_portraits() -> dict[str, Image]:
    import skimage.data

    return {"astronaut": skimage.data.astronaut()}


def _own_clip(engines: Engines, folder: Path) -> Path:
    """Render a driver from the public-domain astronaut."""
    import skimage.data

    path = folder / "astronaut.png"
    cv2.imwrite(str(path), cv2.cvtColor(skimage.data.astronaut(), cv2.COLOR_RGB2BGR))
    prepared = Portraits(engines).prepare(path, face_index=0, size=384)
    return write_driver(folder / "rendered.mp4", prepared.portrait)


def _write_sheet(path: Path, rows: list[list[Image]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    width = max(len(row) for row in rows)
    blank = np.zeros((SHEET_SIDE, SHEET_SIDE, 3), np.uint8)
    lines = [np.hstack([*row, *[blank] * (width - len(row))]) for row in rows]
    cv2.imwrite(str(path), cv2.cvtColor(np.vstack(lines), cv2.COLOR_RGB2BGR))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    for option in ("--clips", "--portraits", "--sheet"):
        parser.add_argument(option, type=Path)
    asked = parser.parse_args()
    json.dump(run(asked.clips, asked.portraits, asked.sheet), sys.stdout, indent=2)
