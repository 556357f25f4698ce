"""The autoencoder of a base of 128 pixels in figures: what it keeps of renders and of photographs, and its speed.

    python -m benchmarks.codec [FOLDER] [--faces FOLDER] [--sheet out/codec.png]

FOLDER holds what `python -m studio base codec --out FOLDER` wrote; default what ships. Renders are
those that no training sees. Photographs are face crops of the people next to
the project (../shared/data), where they exist: identity is the distance of
dlib's embedding, from a face to itself through the autoencoder.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from studio.engines.vision.analyser import VisionAnalyser

ROOT = Path(__file__).resolve().parent.parent
FACES = ROOT.parent / "shared" / "data" / "identities"
SIDE, LOOSE = 128, 1.7
"""Pixels of a crop, and its side in heights of the face."""
Pictures = NDArray[np.uint8]


def run(folder: Path, faces: Path = FACES, sheet: Path | None = None) -> dict[str, Any]:
    """Measure an autoencoder.

    Args:
        folder: as diffusers loads it.
        faces: photographs, in any depth of folders; need not exist.
        sheet: where to draw faces above what came out of them.
    """
    import torch

    model = load(folder)
    figures: dict[str, Any] = {
        "encode, ms": _median_ms(lambda: model.encode(torch.zeros(1, 3, SIDE, SIDE))),
        "decode, ms": _median_ms(lambda: model.decode(torch.zeros(1, model.config.latent_channels, 16, 16))),
    }
    with tempfile.TemporaryDirectory() as cache:
        figures |= {f"renders: {k}": v for k, v in fidelity(model, held_out_renders(Path(cache))).items()}
    analyser = VisionAnalyser(ROOT / "assets" / "models")
    crops = [c for path in sorted(faces.rglob("*")) if (c := face_crop(analyser, path)) is not None]
    if not crops:
        return figures | {"photographs": "none here"}
    photographs = np.stack(crops)
    figures |= {f"photographs: {k}": v for k, v in fidelity(model, photographs).items()}
    distances = [d for p, q in zip(photographs, through(model, photographs), strict=True)
                 if (d := identity_distance(analyser, p, q)) is not None]  # fmt: skip
    figures["photographs"] = len(crops)
    figures["photographs: faces found again"] = f"{len(distances)} of {len(crops)}"
    figures["photographs: dlib distance to themselves, median"] = round(statistics.median(distances), 3)
    if sheet is not None:
        draw(sheet, photographs[:: max(1, len(crops) // 8)][:8], model)
    return figures


def load(folder: Path) -> Any:
    """Return the autoencoder of a folder."""
    import diffusers
    import torch

    torch.set_num_threads(1)
    library: Any = diffusers
    return library.AutoencoderDC.from_pretrained(folder, torch_dtype=torch.float32).eval().requires_grad_(False)


def held_out_renders(cache: Path) -> Pictures:
    """Return renders that no training sees.  # (N, SIDE, SIDE, 3)"""
    from studio.factory.preview_base.codec import HELD_OUT, HELD_OUT_SEED
    from studio.factory.preview_base.codec_pictures import cached_renders

    renders, _ = cached_renders(cache, HELD_OUT_SEED, HELD_OUT)
    return np.stack([cv2.resize(p, (SIDE, SIDE), interpolation=cv2.INTER_AREA) for p in np.asarray(renders)])


def face_crop(analyser: VisionAnalyser, path: Path) -> Pictures | None:
    """Return the only face of a photograph, or None.  # (SIDE, SIDE, 3)"""
    picture = cv2.imread(str(path)) if path.suffix.lower() in (".jpg", ".jpeg", ".png") else None
    if picture is None:
        return None
    picture = np.asarray(cv2.cvtColor(picture, cv2.COLOR_BGR2RGB), np.uint8)
    found = analyser.detect(picture)
    if len(found) != 1:
        return None
    x0, y0, x1, y1 = found[0].box
    side = LOOSE * max(x1 - x0, y1 - y0)
    if side < SIDE:  # an enlarged face is soft already and says nothing about what is lost
        return None
    scale = SIDE / side
    to_crop = np.array([[scale, 0, SIDE / 2 - scale * (x0 + x1) / 2], [0, scale, SIDE / 2 - scale * (y0 + y1) / 2]])
    shrunk = cv2.GaussianBlur(picture, (0, 0), 0.5 / scale) if scale < 1 else picture
    return np.asarray(cv2.warpAffine(shrunk, to_crop, (SIDE, SIDE), borderMode=cv2.BORDER_REFLECT), np.uint8)


def through(model: Any, pictures: Pictures) -> Pictures:
    """Return what comes out of the autoencoder.  # (N, SIDE, SIDE, 3)"""
    import torch

    from studio.factory.preview_base.codec import encode

    out = []
    for picture in pictures:
        x = torch.from_numpy(picture.transpose(2, 0, 1).astype(np.float32))[None] / 127.5 - 1
        y = model.decode(encode(model, x)).sample[0].clamp(-1, 1).numpy()
        out.append(((y.transpose(1, 2, 0) + 1) * 127.5 + 0.5).astype(np.uint8))
    return np.stack(out)


def fidelity(model: Any, pictures: Pictures) -> dict[str, float]:
    """Return signal to noise in dB, and the energy of edges relative to the original's."""
    out = through(model, pictures)
    error = ((out.astype(np.float64) - pictures) ** 2).mean((1, 2, 3))
    edges = [_edges(q) / _edges(p) for p, q in zip(pictures, out, strict=True)]
    decibel = float(np.mean(10 * np.log10(255**2 / error)))
    return {"dB": round(decibel, 2), "edge energy": round(statistics.median(edges), 3)}


def _edges(picture: Pictures) -> float:
    gray = cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY).astype(np.float64)
    return float((np.diff(gray, axis=0) ** 2).mean() + (np.diff(gray, axis=1) ** 2).mean())


def identity_distance(analyser: VisionAnalyser, one: Pictures, other: Pictures) -> float | None:
    """Return dlib's distance of two crops; None where a face is not found in one of them."""
    vectors = []
    for picture in (one, other):
        large = np.asarray(cv2.resize(picture, (4 * SIDE, 4 * SIDE), interpolation=cv2.INTER_CUBIC), np.uint8)
        found = analyser.detect(large)
        if not found:
            return None
        vectors.append(analyser.embed(large, found[0]))
    return vectors[0].distance(vectors[1])


def draw(file: Path, pictures: Pictures, model: Any) -> None:
    """Write faces above what came out of them, enlarged to 400 pixels."""
    rows = [np.concatenate([cv2.resize(p, (400, 400), interpolation=cv2.INTER_CUBIC) for p in row], 1)
            for row in (pictures, through(model, pictures))]  # fmt: skip
    file.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(file), cv2.cvtColor(np.concatenate(rows), cv2.COLOR_RGB2BGR))


def _median_ms(work: Any, times: int = 15) -> float:
    work()
    took = []
    for _ in range(times):
        start = time.perf_counter()
        work()
        took.append(1000 * (time.perf_counter() - start))
    return round(statistics.median(took), 1)


def main() -> None:
    """Print the figures as JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, nargs="?", default=ROOT / "assets" / "base" / "vae")
    parser.add_argument("--faces", type=Path, default=FACES)
    parser.add_argument("--sheet", type=Path)
    given = parser.parse_args()
    print(json.dumps(run(given.folder, given.faces, given.sheet), indent=1))


if __name__ == "__main__":
    main()
