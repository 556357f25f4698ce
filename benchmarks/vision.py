"""Vision in figures: times, which portraits are found, how well persons are told apart.

    python -m studio bench vision
    python benchmarks/vision.py [--faces FOLDER] [--sheet out/vision.png]

Times are medians on scikit-image's public-domain astronaut, one thread. The
portraits and labelled pairs next to the project (../shared/data) are used where
they exist; `--sheet` draws the landmarks on what was found, for looking.
"""

from __future__ import annotations

import argparse
import csv
import json
import platform
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from studio.domain.face import DetectedFace, FaceEmbedding
from studio.engines.vision.analyser import VisionAnalyser
from studio.engines.vision.landmarks import MESH_POINTS

ROOT = Path(__file__).resolve().parent.parent
DATA = ROOT.parent / "shared" / "data"


def run(folder: Path = DATA) -> dict[str, Any]:
    """Measure everything that can be measured here.

    Args:
        folder: holds portraits/, and identities/ with pairs.csv; need not exist.
    """
    from skimage.data import astronaut

    cv2.setNumThreads(1)
    analyser = VisionAnalyser(ROOT / "assets" / "models")
    picture = astronaut()
    (face,) = analyser.detect(picture)
    big = cv2.resize(picture, (4096, 4096), interpolation=cv2.INTER_CUBIC)
    figures: dict[str, Any] = {
        "machine": f"{platform.machine()}, Python {platform.python_version()}",
        "detect and refine 512 px, ms": _median_ms(lambda: analyser.detect(picture)),
        "detect and refine 4096 px, ms": _median_ms(lambda: analyser.detect(big), 5),
        "detect nothing in 512 px (every step), ms": _median_ms(lambda: analyser.detect(np.zeros_like(picture)), 5),
        "track one frame, ms": _median_ms(lambda: analyser.track(picture, face.landmarks)),
        "matte 512 px, ms": _median_ms(lambda: analyser.matte(picture)),
        "embed, ms": _median_ms(lambda: analyser.embed(picture, face), 5),
    }
    found = {name: analyser.detect(image) for name, image in _pictures(folder)}
    if not found:
        return figures | {"portraits": "none here"}
    alone = {n: f for n, f in found.items() if not n.startswith(("couple", "many"))}
    figures["portraits with exactly one face found"] = f"{sum(len(f) == 1 for f in alone.values())} of {len(alone)}"
    figures["faces in couple.jpg (2), many_people.jpg (7)"] = [len(f) for n, f in found.items() if n not in alone]
    figures["called drawings"] = sorted(n for n, f in found.items() if any(x.likely == "drawing" for x in f))
    figures["called animals"] = sorted(n for n, f in found.items() if any(x.likely == "animal" for x in f))
    return figures | _false_faces(analyser) | _identity(analyser, folder, found)


def _median_ms(action: Callable[[], Any], repeat: int = 21) -> float:
    action()
    times = []
    for _ in range(repeat):
        start = time.perf_counter()
        action()
        times.append(time.perf_counter() - start)
    return round(statistics.median(times) * 1000, 1)


def _pictures(folder: Path) -> list[tuple[str, np.ndarray]]:
    paths = [p for part in ("portraits", "identities") for p in sorted((folder / part).glob("*")) if p.suffix != ".csv"]
    return [(p.name, cv2.cvtColor(cv2.imread(str(p)), cv2.COLOR_BGR2RGB)) for p in paths]


def _false_faces(analyser: VisionAnalyser) -> dict[str, Any]:
    """Count what is taken for a face in scikit-image's own pictures without human faces."""
    import skimage.data

    called = []
    names = (
        "cat",
        "coffee",
        "rocket",
        "brick",
        "grass",
        "gravel",
        "coins",
        "page",
        "text",
        "clock",
        "moon",
        "colorwheel",
    )
    for name in names:
        image = getattr(skimage.data, name)()
        image = np.repeat(image[..., None], 3, 2) if image.ndim == 2 else image[..., :3]
        called += [f"{name} ({face.likely})" for face in analyser.detect(np.ascontiguousarray(image))]
    return {f"faces seen in {len(names)} pictures without people": called or "none"}


def _identity(analyser: VisionAnalyser, folder: Path, found: dict[str, tuple[DetectedFace, ...]]) -> dict[str, Any]:
    table = folder / "identities" / "pairs.csv"
    if not table.is_file():
        return {"identity": "no labelled pairs here"}
    images = dict(_pictures(folder))
    vectors: dict[str, FaceEmbedding] = {}
    same, different = [], []
    with table.open(encoding="utf-8", newline="") as lines:
        for row in csv.DictReader(lines):
            pair = (row["file_x"], row["file_y"])
            if not all(found.get(n) for n in pair):
                continue
            for name in pair:
                if name not in vectors:
                    vectors[name] = analyser.embed(images[name], found[name][0])
            distance = vectors[pair[0]].distance(vectors[pair[1]])
            (same if row["Decision"] == "Yes" else different).append(distance)
    yes, no = np.array(same), np.array(different)
    thresholds = np.linspace(0, 1.5, 301)
    missed = (yes[None] > thresholds[:, None]).mean(1)
    confused = (no[None] <= thresholds[:, None]).mean(1)
    equal = int(np.argmin(np.abs(missed - confused)))
    return {
        "pairs same / different": f"{len(yes)} / {len(no)}",
        "embedding AUC": round(float((yes[:, None] < no[None]).mean()), 4),
        "embedding equal error rate": round(float(missed[equal] + confused[equal]) / 2, 4),
        "embedding distance same / different (mean)": f"{yes.mean():.3f} / {no.mean():.3f}",
        "embedding distance same (largest) / different (smallest)": f"{yes.max():.3f} / {no.min():.3f}",
    }


def sheet(out: Path, folder: Path = DATA, side: int = 360) -> None:
    """Draw every face's landmarks: mesh gray, irises red."""
    from skimage.data import astronaut

    analyser = VisionAnalyser(ROOT / "assets" / "models")
    tiles = []
    for _, image in [("astronaut", astronaut()), *_pictures(folder)]:
        for face in analyser.detect(image):
            tiles.append(_tile(image, face, side))
    blank = np.zeros_like(tiles[0])
    columns = 6
    tiles += [blank] * (-len(tiles) % columns)
    rows = [np.hstack(tiles[i : i + columns]) for i in range(0, len(tiles), columns)]
    out.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(out), cv2.cvtColor(np.vstack(rows), cv2.COLOR_RGB2BGR))


def _tile(image: np.ndarray, face: DetectedFace, side: int) -> np.ndarray:
    x0, y0, x1, y1 = face.box
    scale = side / (max(x1 - x0, y1 - y0) * 1.25)
    shift = np.array([side / 2 - (x0 + x1) / 2 * scale, side / 2 - (y0 + y1) / 2 * scale])
    matrix = np.column_stack([np.eye(2) * scale, shift])
    tile = cv2.warpAffine(image, matrix, (side, side), flags=cv2.INTER_AREA)
    for index, (x, y) in enumerate(face.landmarks[:, :2] * scale + shift):
        color = (255, 0, 0) if index >= MESH_POINTS else (190, 255, 190)
        cv2.circle(tile, (round(float(x)), round(float(y))), 1, color, -1)
    return tile


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--faces", type=Path, default=DATA)
    parser.add_argument("--sheet", type=Path)
    arguments = parser.parse_args()
    print(json.dumps(run(arguments.faces), indent=2))
    if arguments.sheet:
        sheet(arguments.sheet, arguments.faces)
