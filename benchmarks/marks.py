"""What the marks cost and what they survive: signed credentials, and the invisible mark in pixels.

    python -m studio bench marks [--portraits FOLDER] [--clips FOLDER]
    python benchmarks/marks.py --unmarked 2000

Files of the studio's own sizes are signed and read 30 times each, with a photo as ingredient; medians. Then every
picture is marked, spoiled in the ways that files are spoiled on their way, and read; clips of three seconds the same.
Pictures: the folder's, or the astronaut and rendered people. Clips: the folder's, cut to a square, or what the rig
draws of the pictures. A mark counts as read by its check alone, or as known where the studio's own list of numbers
(ten thousand others are in it) was needed. Unmarked pictures are crops of the pictures at many sizes, and noise.
"""

from __future__ import annotations

import argparse
import json
import platform
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np

ROOT = Path(__file__).resolve().parent.parent
if str(ROOT) not in sys.path:
    sys.path.insert(0, str(ROOT))

from benchmarks.driver_clip import drawn, known_motion  # noqa: E402
from benchmarks.looks import PICTURES  # noqa: E402
from studio.domain.provenance import Statement  # noqa: E402
from studio.engines.base import Image  # noqa: E402
from studio.engines.media import ffmpeg  # noqa: E402
from studio.engines.media.clip import ClipWriter  # noqa: E402
from studio.engines.media.credentials import read_credentials, sha256_of, sign_file  # noqa: E402
from studio.engines.media.signing_key import SigningKey, last_certificate, signing_key, utc_now  # noqa: E402
from studio.engines.media.sound import read_sound, trim, write_wav  # noqa: E402
from studio.engines.media.video import open_writer, read_clip, read_frames  # noqa: E402
from studio.engines.media.watermark import Watermark  # noqa: E402
from studio.engines.media.watermark_tile import BY_CHECK, BY_KNOWN, FoundMark  # noqa: E402
from studio.engines.media.writer import ClipSpec  # noqa: E402
from studio.services.sample import sample_portrait  # noqa: E402

TIMES = 30
GOALS = {
    "all marks on a 512 PNG, ms": 15.0, "mark of a clip's frame, ms": 3.0, "picture read": 0.95, "clip read": 0.95,
    "PSNR, dB": 40.0, "wrongly read": 1e-3, "bound of wrongly read": 1e-6,
}  # fmt: skip
SIDE, SECONDS, RATE = 512, 3.0, 25
PEOPLE = 15
OTHERS = [int(n) for n in np.random.default_rng(11).integers(0, 2**32, 10_000)]
"""Numbers of the studio's other renders."""


def measured(work: Callable[[], object], times: int = TIMES) -> float:
    """Return the median of so many runs, in milliseconds."""
    spent = []
    for _ in range(times):
        start = time.perf_counter()
        work()
        spent.append((time.perf_counter() - start) * 1000)
    return round(statistics.median(spent), 2)


def files(folder: Path) -> dict[str, Path]:
    """Write one file of each kind, made of the sample portrait."""
    from PIL import Image

    with Image.open(sample_portrait(), formats=["JPEG", "PNG"]) as opened:
        portrait = opened.convert("RGB")
    made = {}
    for side in (512, 1024):
        for kind in ("png", "jpg"):
            made[f"{kind.upper()} {side}"] = path = folder / f"{side}.{kind}"
            portrait.resize((side, side)).save(path)
    frame = np.asarray(portrait.resize((512, 512)))
    made["MP4 512, 10 s"] = path = folder / "clip.mp4"
    rng = np.random.default_rng(1)
    with ClipWriter(ClipSpec(path, (512, 512), 25.0)) as writer:
        for _ in range(250):
            writer.write(np.clip(frame.astype(np.int16) + rng.integers(-3, 4, frame.shape), 0, 255).astype(np.uint8))
    return made


def row_of(path: Path, out: Path, key: SigningKey) -> dict[str, float]:
    """Return the figures of one file."""
    statement = Statement(source_type="composite", kind="image", content_sha256=sha256_of(path))
    inputs, anchor = {"portrait": sample_portrait()}, last_certificate(key.chain_pem)
    sign_ms = measured(lambda: sign_file(path, out, statement, key, inputs))
    read_ms = measured(lambda: read_credentials(out, anchor))
    size = path.stat().st_size
    return {"bytes": size, "sign_ms": sign_ms, "more_bytes": out.stat().st_size - size, "read_ms": read_ms}


def run(portraits: Path | None = None, clips: Path | None = None, unmarked: int = 200) -> dict[str, Any]:
    """Measure, and return one JSON-able dictionary.

    Args:
        portraits: folder of pictures; None takes the astronaut and rendered people.
        clips: folder of videos; None lets the rig draw the pictures.
        unmarked: how many pictures without a mark are read.
    """
    cv2.setNumThreads(1)
    figures: dict[str, Any] = {"machine": f"{platform.machine()}, Python {platform.python_version()}, one thread"}
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        start = time.perf_counter()
        key = signing_key(folder / "keys", utc_now())
        figures["key and certificates, once, ms"] = round((time.perf_counter() - start) * 1000, 1)
        for name, path in files(folder).items():
            figures[f"signed: {name}"] = row_of(path, folder / f"signed{path.suffix}", key)
        pictures = list(_pictures(portraits))
        figures |= _costs(pictures[0])
        figures |= _pictures_read(pictures)
        figures |= _clips_read(_clips(clips, pictures), folder)
        figures |= _sounds_read(folder)
    return {**figures, **_wrongly_read(pictures, unmarked), "goals": GOALS}


# -- the invisible mark -------------------------------------------------------------------


def _pictures(folder: Path | None) -> Iterator[Image]:
    """Yield pictures whose shorter side is 512 pixels.  # (H, W, 3)"""
    if folder is None:
        import skimage.data

        from studio.factory.preview_base.drawing import render
        from studio.factory.preview_base.people import sample_person, sample_picture

        yield skimage.data.astronaut()
        rng = np.random.default_rng(5)
        for _ in range(PEOPLE):
            yield _sized(render(sample_picture(rng, sample_person(rng)))[0])
        return
    for path in sorted(p for p in folder.rglob("*") if p.suffix.lower() in PICTURES):
        image = cv2.imread(str(path))
        if image is not None:
            yield _sized(cv2.cvtColor(image, cv2.COLOR_BGR2RGB))


def _sized(image: Image, short: int = SIDE) -> Image:
    factor = short / min(image.shape[:2])
    how = cv2.INTER_AREA if factor < 1 else cv2.INTER_CUBIC
    sized = cv2.resize(image, None, fx=factor, fy=factor, interpolation=how) if factor != 1 else image
    return np.ascontiguousarray(sized[: 2 * short, : 2 * short], np.uint8)


def _costs(picture: Image) -> dict[str, float]:
    watermark = Watermark(b"benchmark of marks")
    square = np.ascontiguousarray(picture[:SIDE, :SIDE])
    mark = watermark.mark(1, SIDE, SIDE)
    large = cv2.resize(square, (2 * SIDE, 2 * SIDE))
    mark_large = watermark.mark(1, 2 * SIDE, 2 * SIDE)
    return {
        "mark of a picture of 512, pattern made too, ms": measured(lambda: watermark.mark(1, SIDE, SIDE).apply(square)),
        "mark of a clip's frame of 512, ms": measured(lambda: mark.apply(square)),
        "mark of a clip's frame of 1024, ms": measured(lambda: mark_large.apply(large)),
        "marked picture read, ms": measured(lambda: watermark.read([mark.apply(square)]), 5),
        "unmarked picture searched, ms": measured(lambda: watermark.read([square], OTHERS), 3),
    }


def _packed(image: Image, quality: int) -> Image:
    coded = cv2.imencode(".jpg", image[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, quality])[1]
    return np.ascontiguousarray(np.asarray(cv2.imdecode(coded, cv2.IMREAD_COLOR))[..., ::-1])


def _scaled(image: Image, factor: float) -> Image:
    how = cv2.INTER_AREA if factor < 1 else cv2.INTER_CUBIC
    return np.asarray(cv2.resize(image, None, fx=factor, fy=factor, interpolation=how), np.uint8)


def _cropped(image: Image, share: float, rng: np.random.Generator) -> Image:
    height, width = (round(side * (1 - share)) for side in image.shape[:2])
    y, x = (int(rng.integers(0, whole - part + 1)) for whole, part in zip(image.shape, (height, width), strict=False))
    return np.ascontiguousarray(image[y : y + height, x : x + width])


def _as_video(image: Image, crf: int) -> Image:
    even = np.ascontiguousarray(image[: image.shape[0] // 2 * 2, : image.shape[1] // 2 * 2])
    with tempfile.TemporaryDirectory() as place:
        path = Path(place) / "one.mp4"
        with open_writer("mp4", path, (even.shape[1], even.shape[0]), RATE, crf=crf) as clip:
            clip.write(even)
        with read_clip(path) as frames:
            return next(iter(frames))


SPOILED: dict[str, Callable[[Image, np.random.Generator], Image]] = {
    "as it is": lambda p, _: p,
    "JPEG 75": lambda p, _: _packed(p, 75),
    "JPEG 50": lambda p, _: _packed(p, 50),
    "x264 crf 23": lambda p, _: _as_video(p, 23),
    "scaled by .75": lambda p, _: _packed(_scaled(p, 0.75), 90),
    "scaled by 1.5": lambda p, _: _packed(_scaled(p, 1.5), 90),
    "scaled by .5": lambda p, _: _packed(_scaled(p, 0.5), 90),
    "cropped by 10 %": lambda p, rng: _packed(_cropped(p, 0.1, rng), 90),
    "cropped by 10 %, scaled by .75, JPEG 75": lambda p, rng: _packed(_scaled(_cropped(p, 0.1, rng), 0.75), 75),
    "mirrored, JPEG 75": lambda p, _: _packed(np.ascontiguousarray(p[:, ::-1]), 75),
}


def _pictures_read(pictures: list[Image]) -> dict[str, Any]:
    watermark, rng = Watermark(b"benchmark of marks"), np.random.default_rng(2)
    decibels, found = [], {name: [] for name in SPOILED}
    for picture in pictures:
        number = int(rng.integers(0, 2**32))
        marked = watermark.mark(number, picture.shape[1], picture.shape[0]).apply(picture)
        decibels.append(10 * np.log10(255**2 / np.mean((marked.astype(float) - picture) ** 2)))
        for name, spoil in SPOILED.items():
            found[name].append(_read(watermark, [spoil(marked, rng)], number))
    figures: dict[str, Any] = {
        "pictures": len(pictures),
        "PSNR, dB: median, least": [round(float(f(decibels)), 1) for f in (np.median, np.min)],
    }
    return figures | {f"picture {name}": _shares(rows) for name, rows in found.items()}


def _read(watermark: Watermark, pictures: list[Image], number: int) -> tuple[bool, bool]:
    """Say whether a mark is read by its check alone, and whether it is as one of the studio's own numbers."""

    def right(found: tuple[FoundMark, ...]) -> bool:
        return [mark.number for mark in found] == [number]

    alone = right(watermark.read(pictures))
    return alone, alone or right(watermark.read(pictures, [*OTHERS, number]))


def _shares(rows: list[tuple[bool, bool]]) -> dict[str, float]:
    alone, known = np.mean(rows, axis=0)
    return {"by its check": round(float(alone), 3), "as a known number": round(float(known), 3)}


def _clips(folder: Path | None, pictures: list[Image]) -> Iterator[list[Image]]:
    """Yield three seconds of each clip, 512 pixels square."""
    if folder is not None:
        for path in sorted(p for p in folder.rglob("*") if p.suffix.lower() in (".mp4", ".mov", ".webm", ".mkv")):
            with read_frames(path) as frames:
                shown = [_sized(f)[:SIDE, :SIDE] for f, _ in zip(frames, range(round(SECONDS * RATE)), strict=False)]
            yield [np.ascontiguousarray(f) for f in shown]
        return
    from studio.engines.rig.animator import RigAnimator
    from studio.engines.vision.analyser import VisionAnalyser

    analyser = VisionAnalyser(ROOT / "assets" / "models")
    animator = RigAnimator(ROOT / "assets" / "head.npz", analyser)
    for picture in pictures:
        square = np.ascontiguousarray(picture[:SIDE, :SIDE])
        faces = analyser.detect(square)
        if faces:
            yield list(drawn(animator.prepare(square, faces[0]), known_motion(RATE, SECONDS)))


def _clips_read(clips: Iterator[list[Image]], folder: Path) -> dict[str, Any]:
    watermark, rng = Watermark(b"benchmark of marks"), np.random.default_rng(3)
    first, second = folder / "first.mp4", folder / "second.mp4"
    found: dict[int, list[tuple[bool, bool]]] = {23: [], 28: []}
    for frames in clips:
        number = int(rng.integers(0, 2**32))
        with open_writer("mp4", first, (SIDE, SIDE), RATE, mark=watermark.mark(number, SIDE, SIDE).apply) as clip:
            for frame in frames:
                clip.write(frame)
        y, x = (int(n) for n in rng.integers(0, SIDE - 435, 2))
        for crf, rows in found.items():
            with read_clip(first) as whole, open_writer("mp4", second, (326, 326), RATE, crf=crf) as clip:
                for frame in whole:
                    part = np.ascontiguousarray(frame[y : y + 435, x : x + 435])
                    clip.write(np.asarray(cv2.resize(part, (326, 326), interpolation=cv2.INTER_AREA), np.uint8))
            with read_clip(second) as spoiled:
                rows.append(_read(watermark, list(spoiled)[::3], number))
    figures: dict[str, Any] = {"clips of 3 s": len(found[28])}
    named = {f"clip cropped by 15 %, scaled by .75, crf {crf}": _shares(rows) for crf, rows in found.items() if rows}
    return figures | named


PACKINGS = ((".m4a", "-b:a", "64k"), (".mp3", "-b:a", "64k"), (".ogg", "-c:a", "libopus", "-b:a", "32k"))


def _sounds_read(folder: Path) -> dict[str, Any]:
    """Read the mark of the sample speech after each packing, whole and in pieces of three seconds."""
    watermark = Watermark(b"benchmark of marks")
    speech = read_sound(ROOT / "assets" / "speech" / "golden.wav")
    start = time.perf_counter()
    said = watermark.mark_sound(speech, 7)
    took = time.perf_counter() - start
    change = said.samples - speech.samples
    figures: dict[str, Any] = {
        "voice, change below it, dB": round(float(10 * np.log10(np.sum(speech.samples**2) / np.sum(change**2))), 1),
        "voice, ms for each second": round(1000 * took / speech.duration_seconds, 1),
    }
    for suffix, *arguments in PACKINGS:
        plain, packed = write_wav(folder / "said.wav", said), folder / f"packed{suffix}"
        ffmpeg.run(["-v", "error", "-y", "-i", str(plain), *arguments, str(packed)])
        back = read_sound(packed)
        pieces = [trim(back, at, at + 3) for at in np.arange(0, back.duration_seconds - 3, 1.0)]
        known = [[m.number for m in watermark.read_sound(piece, [*OTHERS, 7])] == [7] for piece in pieces]
        figures[f"voice {arguments[-1]} {suffix}"] = {
            "by its check": float([m.number for m in watermark.read_sound(back)] == [7]),
            "three seconds, as a known number": round(float(np.mean(known)), 2),
        }
    return figures


def _wrongly_read(pictures: list[Image], count: int) -> dict[str, Any]:
    watermark, rng = Watermark(b"benchmark of marks"), np.random.default_rng(4)
    wrong = 0
    for at in range(count):
        picture = pictures[at % len(pictures)]
        if at % 10 == 9:
            picture = rng.integers(0, 256, (300, 400, 3), np.uint8)
        spoiled = _packed(_scaled(_cropped(picture, float(rng.uniform(0, 0.5)), rng), float(rng.uniform(0.4, 1.5))), 85)
        wrong += bool(watermark.read([spoiled], OTHERS))
    return {
        "unmarked pictures": count, "wrongly read": wrong,
        "bound of wrongly read, one picture": BY_CHECK + BY_KNOWN,
    }  # fmt: skip


def main() -> None:
    """Print the figures."""
    arguments = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    arguments.add_argument("--portraits", type=Path)
    arguments.add_argument("--clips", type=Path)
    arguments.add_argument("--unmarked", type=int, default=200, help="pictures without a mark that are read")
    asked = arguments.parse_args()
    print(json.dumps(run(asked.portraits, asked.clips, asked.unmarked), indent=1))


if __name__ == "__main__":
    main()
