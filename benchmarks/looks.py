"""How the face looks close up: contact sheets to judge by eye, and the figures beside them.

    python -m studio bench looks --portraits FOLDER --sheet out/

A folder is searched with its subfolders; without one, scikit-image's public-domain astronaut is used. The sheets
are pages of JPEG: whole heads turned and smiling, mouths, eyes, edges of the turned head, and frames of a clip. Each
face part is at least 400 pixels wide, because at thumbnail size everything looks well. Figures: speed, how far the
controls carry a face from its identity, what turn an independent reading sees (`benchmarks.pose_reading`), and
whether the photo's own state gives the photo back.
"""

from __future__ import annotations

import platform
import statistics
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from benchmarks.pose_reading import OWN_ERROR, PoseReader
from studio.domain.expression import CONTROLS, ExpressionEdit, resolve
from studio.domain.face import DetectedFace
from studio.engines.base import Image
from studio.engines.media.sound import read_sound
from studio.engines.rig.animator import RigAnimator
from studio.engines.rig.portrait import RigPortrait
from studio.engines.vision.analyser import VisionAnalyser
from studio.engines.voice.speech import PocketsphinxSpeech
from studio.errors import NotFoundError

ROOT = Path(__file__).resolve().parent.parent
PICTURES = (".jpg", ".jpeg", ".png", ".webp")
SIDE = 896  # of the square that is looked at
MARGIN = 2.2  # of it over the face in it, which is then about 400 pixels high
TILE = 400
ROWS_PER_PAGE = 6
FRAMES = 8
FIGURE_SIDE = 512  # of the pictures that are measured
MOST_TURN = 10.0  # degrees at which the delivered turn is asked for

Values = Mapping[str, float]
HEADS: tuple[Values, ...] = (
    {}, {"headYaw": 15}, {"headYaw": -15}, {"headPitch": 10}, {"headPitch": -10}, {"smile": 1},
)  # fmt: skip
MOUTHS: tuple[Values, ...] = (
    {}, {"jawOpen": 0.05}, {"jawOpen": 0.1}, {"jawOpen": 0.2}, {"jawOpen": 0.35}, {"jawOpen": 0.6},
    {"mouthFunnel": 0.8}, {"mouthPucker": 0.8}, {"smile": 1, "jawOpen": 0.25},
)  # fmt: skip
EYES: tuple[Values, ...] = (
    {}, {"eyesOpen": -0.5}, {"eyesOpen": -1}, {"eyeSquintLeft": 1, "eyeSquintRight": 1}, {"eyesOpen": 1},
    {"gazeX": 0.8}, {"gazeX": -0.8}, {"gazeY": 0.8}, {"gazeY": -0.8},
)  # fmt: skip
EDGES: tuple[Values, ...] = (
    {"headYaw": 15}, {"headYaw": -15}, {"headPitch": 10}, {"headPitch": -10}, {"headRoll": 10},
    {"smile": 1, "headYaw": 8},
)  # fmt: skip
"""What is drawn in each column, and where one looks at it: see `_place`."""


@dataclass(frozen=True)
class Subject:
    """One face to look at, cut to a square."""

    name: str
    image: Image
    face: DetectedFace

    def eye_distance(self) -> float:
        """Return the distance of the outer eye corners in pixels."""
        return float(np.linalg.norm(self.face.landmarks[33, :2] - self.face.landmarks[263, :2]))


def run(portraits: Path | None = None, sheet: Path | None = None) -> dict[str, Any]:
    """Measure, write the sheets where asked, and return one JSON-able dictionary.

    Args:
        portraits: folder of pictures with one face each; the largest face is taken.
        sheet: folder to write the pages into.

    Raises:
        NotFoundError: there is no such folder.
    """
    if portraits is not None and not portraits.is_dir():
        raise NotFoundError(f"There is no folder {portraits.name!r}.", "Name a folder of pictures with --portraits.")
    cv2.setNumThreads(1)
    analyser = VisionAnalyser(ROOT / "assets" / "models")
    animator = RigAnimator(ROOT / "assets" / "head.npz", analyser)
    figures: dict[str, Any] = {"machine": f"{platform.machine()}, Python {platform.python_version()}, one thread"}
    if sheet is not None:
        figures["pages"] = write_sheets(sheet, portraits, analyser, animator)
    figures |= _speed(analyser, animator)
    figures |= _faces(portraits, analyser, animator)
    return figures


def subjects(folder: Path | None, analyser: VisionAnalyser, side: int) -> Iterator[Subject]:
    """Yield every face of a folder at the same size, in the order of the names."""
    for name, image in _pictures(folder):
        found = analyser.detect(image)
        if not found:
            continue
        crop = cropped(image, found[0].box, side)
        again = analyser.detect(crop)
        if again:
            yield Subject(name, crop, again[0])


def cropped(image: Image, box: tuple[float, float, float, float], side: int) -> Image:
    """Cut a face with its surroundings, as far as the picture reaches, so that a whole square would be `side` wide."""
    size = max(box[2] - box[0], box[3] - box[1]) * MARGIN
    left, top = max(round((box[0] + box[2] - size) / 2), 0), max(round((box[1] + box[3] - size) / 2), 0)
    part = image[top : round((box[1] + box[3] + size) / 2), left : round((box[0] + box[2] + size) / 2)]
    scale = side / size
    how = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
    return np.asarray(cv2.resize(part, None, fx=scale, fy=scale, interpolation=how), np.uint8)


def _pictures(folder: Path | None) -> Iterator[tuple[str, Image]]:
    if folder is None:
        import skimage.data

        yield "astronaut", skimage.data.astronaut()
        return
    for path in sorted(p for p in folder.rglob("*") if p.suffix.lower() in PICTURES):
        image = cv2.imread(str(path))
        if image is not None:
            yield path.stem, cv2.cvtColor(image, cv2.COLOR_BGR2RGB)


# -- sheets ---------------------------------------------------------------


def write_sheets(
    out: Path, folder: Path | None, analyser: VisionAnalyser, animator: RigAnimator, only: Sequence[str] = ()
) -> int:
    """Write all pages; return how many.

    Args:
        only: names of sheets (heads, mouths, eyes, edges, clips); empty writes all.
    """
    out.mkdir(parents=True, exist_ok=True)
    sheets: dict[str, Callable[[Subject, RigPortrait], list[Image]]] = {
        "heads": lambda s, p: tiles(s, p, HEADS, "head", (TILE + 112, TILE + 112)),
        "mouths": lambda s, p: tiles(s, p, MOUTHS, "mouth", (TILE, 300)),
        "eyes": lambda s, p: tiles(s, p, EYES, "eyes", (TILE + 80, 200)),
        "edges": lambda s, p: tiles(s, p, EDGES, "edge", (TILE, TILE)),
        "clips": _clip_tiles,
    }
    chosen = {n: draw for n, draw in sheets.items() if not only or n in only}
    waiting: dict[str, list[Image]] = {n: [] for n in chosen}
    pages = dict.fromkeys(chosen, 0)

    def turn_page(name: str) -> None:
        pages[name] += 1
        _save(out / f"{name}_{pages[name]:02d}.jpg", np.vstack(waiting[name]))
        waiting[name] = []

    for subject in subjects(folder, analyser, SIDE):
        portrait = animator.prepare(subject.image, subject.face)
        for name, draw in chosen.items():
            waiting[name].append(np.hstack(draw(subject, portrait)))
            if len(waiting[name]) == ROWS_PER_PAGE:
                turn_page(name)
    for name in chosen:
        if waiting[name]:
            turn_page(name)
    return sum(pages.values())


def tiles(
    subject: Subject, portrait: RigPortrait, columns: Sequence[Values], part: str, size: tuple[int, int]
) -> list[Image]:
    """Draw one row: a face part in every state of the columns."""
    row = []
    for values in columns:
        picture = portrait.render(resolve(ExpressionEdit(values), portrait.own_weights))
        words = " ".join(f"{n} {v:g}" for n, v in values.items()) or "photo"
        row.append(_cut(picture, *_place(subject, part, values), size, f"{subject.name} {words}"))
    return row


def _clip_tiles(subject: Subject, portrait: RigPortrait) -> list[Image]:
    """Draw frames of a spoken sentence, spread over its length."""
    sound = read_sound(ROOT / "assets" / "speech" / "golden.wav")
    voice = PocketsphinxSpeech()
    text = (ROOT / "assets" / "speech" / "golden.txt").read_text(encoding="utf-8")
    performance = voice.perform(sound, voice.analyse(sound, text), portrait.mouth, seed=3)
    centre, width = _place(subject, "head", {})
    row = []
    for index in np.linspace(0.06, 0.94, FRAMES) * len(performance):
        frame = int(index)
        picture = portrait.render(
            performance.state(frame, portrait.own_weights), lip_seal=float(performance.lip_seal[frame]),
            breath=float(performance.breath[frame]),
        )  # fmt: skip
        label = f"{subject.name} {frame / performance.frame_rate_hz:.2f} s"
        row.append(_cut(picture, centre, 0.62 * width, (TILE, TILE), label))
    return row


def _place(subject: Subject, part: str, values: Values) -> tuple[np.ndarray, float]:
    """Return the middle and the width of the region to look at, pixels.  # (2,), float"""
    marks, eye = subject.face.landmarks[:, :2], subject.eye_distance()
    if part == "mouth":
        return marks[[61, 291, 0, 17]].mean(0) + np.array([0, 0.08 * eye]), 1.05 * eye
    if part == "eyes":
        return marks[[33, 263]].mean(0), 1.55 * eye
    if part == "edge":
        return _edge_of_interest(marks, values), 1.5 * eye
    return marks[[33, 263, 152]].mean(0), 0.92 * SIDE


def _edge_of_interest(marks: np.ndarray, values: Values) -> np.ndarray:
    """The far cheek of a turn, the chin of a lowered head, the hair of a raised one.  # (2,)"""
    if values.get("headYaw", 0) > 0:
        return np.asarray(marks[361])
    if values.get("headYaw", 0) < 0:
        return np.asarray(marks[132])
    if values.get("headPitch", 0) < 0:
        return np.asarray(marks[10] + 0.1 * (marks[10] - marks[152]))
    return np.asarray(marks[152])


def _cut(picture: Image, centre: np.ndarray, width: float, size: tuple[int, int], label: str) -> Image:
    """Cut a region, scale it to a tile and write what it is upon it."""
    scale = size[0] / width
    shift = np.array(size) / 2 - np.asarray(centre, float) * scale
    matrix = np.array([[scale, 0, shift[0]], [0, scale, shift[1]]], np.float32)
    tile = cv2.warpAffine(picture, matrix, size, flags=cv2.INTER_CUBIC if scale > 1 else cv2.INTER_AREA)
    for dx, dy, color in ((-1, 0, 0), (1, 0, 0), (0, -1, 0), (0, 1, 0), (0, 0, 255)):
        cv2.putText(tile, label, (5 + dx, 14 + dy), cv2.FONT_HERSHEY_SIMPLEX, 0.4, (color,) * 3, 1, cv2.LINE_AA)
    return np.asarray(tile, np.uint8)


def _save(path: Path, page: Image) -> None:
    cv2.imwrite(str(path), cv2.cvtColor(page, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, 90])


# -- figures --------------------------------------------------------------


def _speed(analyser: VisionAnalyser, animator: RigAnimator) -> dict[str, float]:
    """Milliseconds per frame and seconds of set-up, on the astronaut: medians, by the clock and of the processor."""
    out = {}
    edit = ExpressionEdit({"jawOpen": 0.3, "eyesOpen": -0.5, "headYaw": 5, "gazeX": 0.3})
    for side in (512, 1024):
        subject = next(subjects(None, analyser, side))
        portrait = animator.prepare(subject.image, subject.face)
        state = resolve(edit, portrait.own_weights)
        portrait.render(state)  # the gauge looks at probe pictures once
        clock, own = _median_seconds(lambda s=subject: animator.prepare(s.image, s.face), 9)
        out |= {f"setup_seconds_{side}": round(clock, 3), f"setup_processor_seconds_{side}": round(own, 3)}
        clock, own = _median_seconds(lambda p=portrait, s=state: p.render(s), 20)
        out |= {f"frame_ms_{side}": round(1000 * clock, 1), f"frame_processor_ms_{side}": round(1000 * own, 1)}
    return out


def _median_seconds(action: Callable[[], Any], repeat: int) -> tuple[float, float]:
    """Return seconds by the clock, and of the processor, which grow little when other work runs beside it."""
    clock, own = [], []
    for _ in range(repeat):
        start = time.perf_counter(), time.process_time()
        action()
        clock.append(time.perf_counter() - start[0])
        own.append(time.process_time() - start[1])
    return statistics.median(clock), statistics.median(own)


def _faces(folder: Path | None, analyser: VisionAnalyser, animator: RigAnimator) -> dict[str, Any]:
    """Identity, delivered turn and neutral equality, over all faces."""
    reader = PoseReader(ROOT / "assets" / "models")
    distances: list[float] = []
    wrong: dict[str, list[float]] = {"yaw": [], "pitch": [], "roll": []}
    unequal, lost = [], 0
    faces = 0
    for subject in subjects(folder, analyser, FIGURE_SIDE):
        faces += 1
        portrait = animator.prepare(subject.image, subject.face)
        if not np.array_equal(portrait.render(resolve(ExpressionEdit({}), portrait.own_weights)), subject.image):
            unequal.append(subject.name)
        kept, gone = _identity(subject, portrait, analyser)
        distances += kept
        lost += gone
        for axis, errors in _delivered(subject, portrait, reader).items():
            wrong[axis] += errors
    out: dict[str, Any] = {"faces": faces, "neutral_unequal": unequal}
    if distances:
        out |= {
            "identity_pictures": len(distances), "identity_faces_lost": lost,
            "identity_mean": round(float(np.mean(distances)), 3),
            "identity_p95": round(float(np.percentile(distances, 95)), 3),
            "identity_max": round(float(np.max(distances)), 3),
        }  # fmt: skip
    for axis, errors in wrong.items():
        if errors:
            out[f"{axis}_error_at_{MOST_TURN:g}_mean_signed"] = round(float(np.mean(errors)), 2)
            out[f"{axis}_error_at_{MOST_TURN:g}_median_absolute"] = round(float(np.median(np.abs(errors))), 2)
            out[f"{axis}_error_of_the_reading_itself"] = OWN_ERROR[axis]
    return out


def _identity(subject: Subject, portrait: RigPortrait, analyser: VisionAnalyser) -> tuple[list[float], int]:
    """Distance to the photo for every control at its ends, and how often no face was found."""
    own = analyser.embed(subject.image, subject.face)
    distances, lost = [], 0
    for control in CONTROLS:
        for value in (control.maximum, control.minimum):
            picture = portrait.render(resolve(ExpressionEdit({control.name: value}), portrait.own_weights))
            if np.array_equal(picture, subject.image):
                continue  # a control without effect on this side proves nothing
            found = analyser.detect(picture)
            if found:
                distances.append(own.distance(analyser.embed(picture, found[0])))
            else:
                lost += 1
    return distances, lost


def _delivered(subject: Subject, portrait: RigPortrait, reader: PoseReader) -> dict[str, list[float]]:
    """Seen minus asked, along the way asked, in degrees, per axis; faces that cannot be read are left out."""
    out: dict[str, list[float]] = {"yaw": [], "pitch": [], "roll": []}
    for axis, errors in out.items():
        for asked in (MOST_TURN, -MOST_TURN):
            picture = portrait.render(
                resolve(ExpressionEdit({f"head{axis.capitalize()}": asked}), portrait.own_weights)
            )
            turn = reader.turn(subject.image, picture, subject.face.box)
            if turn is not None:
                errors.append(float(getattr(turn, f"{axis}_degrees") - asked) * float(np.sign(asked)))
    return out
