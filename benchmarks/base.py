"""The embedded base in figures, and its contact sheet.

    python -m studio bench base
    python benchmarks/base.py --sheet docs/pictures/base.png
    python benchmarks/base.py --train-classifier FOLDER

Prompts ask for attributes; a classifier that has only ever seen renders says
what the pictures show. The figures are about rendered faces of 128 pixels, not
about photographs.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

ROOT = Path(__file__).resolve().parent.parent
BASE = ROOT / "assets" / "base"
MAIN = ("hair_color", "skin", "age", "glasses", "expression", "background")
"""The attributes the base is judged by; the others are reported beside them."""

PICTURES, FRESH_RENDERS, BATCH = 240, 384, 16
FRESH_SEED = 20_260_000  # neither the base nor the classifier has seen these
SHEET_PROMPTS = (
    "a photo of a young woman with long red hair, pale skin, glasses, smiling, blue background",
    "a photo of an old man with short gray hair, light skin, a beard, angry, white background",
    "a photo of a young man with short black hair, tan skin, surprised, green background, looking right",
    "a photo of a middle-aged woman with blond hair in a bun, brown skin, sad, red background",
    "a photo of a middle-aged man, bald, dark skin, a beard, smiling, gray background, light from the left",
    "a photo of an old woman with long gray hair, light skin, neutral expression, green background, looking left",
    "portrait of a man with a beard",
    "a photo of a person",
)


def run(base: Path = BASE, pictures: int = PICTURES) -> dict[str, Any]:
    """Measure the base; about two minutes on one core.

    Args:
        base: folder of the base and its classifier.
        pictures: how many to draw for the accuracy.
    """
    import torch

    from studio.factory.preview_base.drawing import render
    from studio.factory.preview_base.judge import accuracy, load_classifier, read_attributes
    from studio.factory.preview_base.opening import GUIDANCE, STEPS, embedded_pipeline
    from studio.factory.preview_base.people import picture_of_index

    torch.set_num_threads(1)
    began = time.perf_counter()
    classifier, pipeline = load_classifier(base / "classifier.safetensors"), embedded_pipeline(base)
    fresh = [picture_of_index(FRESH_SEED, i) for i in range(FRESH_RENDERS)]
    start = time.perf_counter()
    drawn = np.stack([render(p)[0] for p in fresh])
    renders_per_second = len(fresh) / (time.perf_counter() - start)
    wanted = [picture_of_index(FRESH_SEED + 1, i).labels for i in range(pictures)]
    shown = _drawn(pipeline, wanted)
    followed = accuracy(read_attributes(classifier, shown), wanted)
    record = json.loads((base / "base.json").read_text("utf-8"))["training"]
    return {
        "pictures": pictures,
        "steps": STEPS,
        "guidance": GUIDANCE,
        "prompt_accuracy": _rounded(followed),
        "prompt_accuracy_mean_of_main": round(statistics.mean(followed[n] for n in MAIN), 4),
        "prompt_accuracy_mean_of_all": round(statistics.mean(followed.values()), 4),
        "classifier_on_fresh_renders": _rounded(
            accuracy(read_attributes(classifier, drawn), [p.labels for p in fresh])
        ),
        "seconds_per_picture": round(_seconds_per_picture(pipeline), 3),
        "seconds_per_picture_in_batches": round(_seconds_per_picture(pipeline, 8), 3),
        "autoencoder_psnr_db": round(_psnr(pipeline.vae, drawn), 2),
        "renders_per_second": round(renders_per_second, 1),
        "megabytes": round(sum(f.stat().st_size for f in base.rglob("*") if f.is_file()) / 1e6, 2),
        "identity": identity(),
        "trained": {k: record[k] for k in ("images_seen", "steps", "seconds", "threads")},
        "seconds": round(time.perf_counter() - began, 1),
    }


def identity(people: int = 6, photos: int = 3) -> dict[str, Any]:
    """Say whether the studio's own analyser finds rendered people and tells them apart, at 256 pixels."""
    from studio.engines.vision.analyser import VisionAnalyser
    from studio.factory.preview_base.drawing import render
    from studio.factory.preview_base.people import sample_person, sample_picture

    analyser, rng = VisionAnalyser(ROOT / "assets" / "models"), np.random.default_rng(5)
    found: list[list[NDArray[Any]]] = []
    for _ in range(people):
        person = sample_person(rng)
        vectors = []
        for _ in range(photos):
            picture, _ = render(sample_picture(rng, person), 256)
            faces = analyser.detect(picture)
            vectors += [np.asarray(analyser.embed(picture, face).vector) for face in faces[:1]]
        found.append(vectors)
    same = [np.linalg.norm(a - b) for v in found for i, a in enumerate(v) for b in v[:i]]
    other = [np.linalg.norm(a - b) for i, v in enumerate(found) for w in found[:i] for a in v for b in w]
    return {
        "faces_found": f"{sum(map(len, found))} of {people * photos}",
        "same_person_distance": round(float(np.median(same)), 3),
        "other_person_distance": round(float(np.median(other)), 3),
    }


def sheet(out: Path, base: Path = BASE, columns: int = 8) -> None:
    """Write the contact sheet: one row per prompt, the same seeds in every row."""
    from PIL import Image, ImageDraw

    from studio.factory.preview_base.opening import embedded_pipeline, sample_pictures

    pipeline = embedded_pipeline(base)
    side, line = 128, 18
    picture = Image.new("RGB", (columns * side, len(SHEET_PROMPTS) * (side + line)), (250, 250, 250))
    pen = ImageDraw.Draw(picture)
    for row, prompt in enumerate(SHEET_PROMPTS):
        top = row * (side + line)
        pen.text((6, top + 3), prompt, fill=(40, 40, 40))
        faces = sample_pictures(pipeline, [prompt] * columns, range(100, 100 + columns))
        for column, face in enumerate(faces):
            picture.paste(Image.fromarray(face), (column * side, top + line))
    out.parent.mkdir(parents=True, exist_ok=True)
    picture.quantize(192, dither=Image.Dither.NONE).save(out, optimize=True)  # a third of the bytes, looks the same


def train(work_folder: Path, base: Path = BASE, *, goes_on: bool = False) -> dict[str, float]:
    """Train the classifier with the renders of `base build`'s work folder and write it beside the base.

    Args:
        goes_on: start from the classifier that is there, not from nothing.
    """
    from studio.factory.preview_base.judge import train_classifier

    file = base / "classifier.safetensors"
    return train_classifier(
        file, work_folder=work_folder, codec=base / "vae", start=file if goes_on else None,
        on_progress=lambda share, text: print(f"{share:.0%} {text}", file=sys.stderr),
    )  # fmt: skip


def _drawn(pipeline: Any, wanted: list[dict[str, str]]) -> NDArray[np.uint8]:
    from studio.factory.preview_base.captions import caption_of
    from studio.factory.preview_base.opening import sample_pictures

    prompts = [caption_of(labels) for labels in wanted]
    parts = [
        sample_pictures(pipeline, prompts[i : i + BATCH], range(i, min(i + BATCH, len(prompts))))
        for i in range(0, len(prompts), BATCH)
    ]
    return np.concatenate(parts)


def _seconds_per_picture(pipeline: Any, batch: int = 1, repeat: int = 5) -> float:
    from studio.factory.preview_base.opening import sample_pictures

    times = []
    for seed in range(repeat):
        start = time.perf_counter()
        sample_pictures(pipeline, ["a photo of a person"] * batch, [seed] * batch)
        times.append((time.perf_counter() - start) / batch)
    return statistics.median(times)


def _psnr(vae: Any, pictures: NDArray[np.uint8]) -> float:
    import torch

    x = torch.from_numpy(np.ascontiguousarray(pictures.transpose(0, 3, 1, 2), np.float32)) / 127.5 - 1
    with torch.inference_mode():
        error = float(((vae.decode(vae.encode(x).latent_dist.mean).sample - x) ** 2).mean())
    return float(10 * np.log10(4 / error))


def _rounded(figures: dict[str, float]) -> dict[str, float]:
    return {n: round(v, 4) for n, v in figures.items()}


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sheet", type=Path, help="write the contact sheet to this file")
    parser.add_argument("--train-classifier", type=Path, help="work folder of `base build`; writes the classifier")
    parser.add_argument("--go-on", action="store_true", help="from the classifier that is there")
    parser.add_argument("--base", type=Path, default=BASE, help="folder of the base")
    options = parser.parse_args()
    sys.path.insert(0, str(ROOT))
    if options.sheet:
        sheet(options.sheet, options.base)
    elif options.train_classifier:
        print(json.dumps(train(options.train_classifier, options.base, goes_on=options.go_on), indent=2))
    else:
        print(json.dumps(run(options.base), indent=2))
