"""Does it learn a person? Figures and a contact sheet, on the preview base of rendered faces.

    python -m studio bench personalization
    python benchmarks/personalization.py [--preset preview-quick] [--base FOLDER] [--sheet out/personalization.png]

An invented person is rendered six times, added to a fresh studio and trained with a preset, just as a person
at the window would: curation cuts and captions the photos. Pictures are then drawn from the base and from the
adapter with the same prompts and seeds and compared with the photos themselves, and with six further renders
that training never saw: PSNR of the pixels, likeness of the faces (0 a stranger, 1 as alike as the photos are
to each other), drift of other people, the leak test. One picture alone is also learned by heart, the classical
check that training works at all. One thread; what the figures say holds for rendered faces, not for photographs.
"""

from __future__ import annotations

import argparse
import json
import platform
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).resolve().parent.parent
if str(ROOT) not in sys.path:
    sys.path.insert(0, str(ROOT))

from studio.domain.adapter import AdapterFile  # noqa: E402
from studio.domain.base_model import BaseLocation  # noqa: E402
from studio.domain.consent import Consent  # noqa: E402
from studio.domain.training import TrainingPlan, TrainingRun  # noqa: E402
from studio.engines import Engines  # noqa: E402
from studio.engines.base import Image  # noqa: E402
from studio.engines.base_diffusion import PictureOrder, SamplePicture, TrainingExample  # noqa: E402
from studio.factory.preview_base.opening import GUIDANCE, STEPS  # noqa: E402
from studio.studio import OwnerServices, Studio  # noqa: E402

GOALS = {"overfit gain, dB": 6.0, "overfit, s": 60.0, "whole benchmark, s": 300.0}
PERSON_SEED = 11
PHOTO_PIXELS = 256
_OVERFIT = TrainingPlan(
    steps=150, batch=4, learning_rate=2e-3, text_learning_rate=5e-4, rank=32, alpha=32.0, prior_weight=0.0,
    prior_pictures=0, caption_dropout=0.0, masked_loss=False, checkpoint_every=150, sample_every=1000, warmup_steps=5,
    sample_prompts=("a photo of {trigger} {class}",), sample_seeds=(1, 2, 3, 4), sample_steps=STEPS, guidance=1.0,
)  # fmt: skip


@cache
def engines() -> Engines:
    """Return engines that load what they draw and train with once for the whole benchmark."""
    return Engines(ROOT / "assets")


@dataclass
class _Heard:
    """What a trainer told, for training outside of a run."""

    pictures: dict[int, tuple[SamplePicture, ...]] = field(default_factory=dict)
    moments: list[float] = field(default_factory=list)

    def step(self, step: int, loss: float, learning_rate: float) -> None:
        self.moments.append(time.perf_counter())

    def drawing(self, step: int, number: int, count: int) -> None:
        pass

    def sampled(self, step: int, pictures: tuple[SamplePicture, ...]) -> None:
        self.pictures[step] = pictures

    def saved(self, step: int, adapter: Path, has_state: bool) -> None:
        pass

    def note(self, text: str) -> None:
        pass

    def should_stop(self) -> bool:
        return False


def run(
    base: Path | None = None, preset: str = "preview-quick", sheet: Path | None = None, **changes: Any
) -> dict[str, Any]:
    """Measure, and return one JSON-able dictionary; writes the contact sheet.

    Args:
        base: a diffusers folder of the sd15 family; default the preview base.
        sheet: where the pictures go; default out/personalization.png.
        changes: settings of the plan to try.
    """
    from studio.engines.diffusion import runtime

    runtime.prepare(threads=1)
    begun = time.perf_counter()
    figures: dict[str, Any] = {
        "machine": platform.processor() or platform.machine(),
        "torch": runtime.versions()["torch"],
    }
    with tempfile.TemporaryDirectory(prefix="bench-") as folder, Studio(Path(folder) / "data") as opened:
        studio = opened.for_owner()
        name = "preview"
        if base is not None:
            name = studio.bases.add(base, "tried", "Tried").card.name
        location = studio.bases.resolve(name)
        ada, other = rendered_people(studio, Path(folder))
        rows: list[tuple[str, Sequence[Image]]] = []
        seen = studio.training_sets.examples(ada, location.resolution, "sks", "person")
        unseen = studio.training_sets.examples(other, location.resolution, "sks", "person")
        figures["overfit of one picture"] = _overfit(studio, location, seen[0], Path(folder), rows)
        plan = studio.training.plan(preset, name, **changes)
        start = time.perf_counter()
        done = studio.training.train(ada, plan)
        figures["set"] = {"preset": preset, "photos": len(seen), "training with samples, s": _since(start)}
        figures["set"] |= _judge(studio, location, done, seen, unseen, rows)
    figures["whole benchmark, s"] = _since(begun)
    figures["goals"] = GOALS
    out = sheet or ROOT / "out" / "personalization.png"
    out.parent.mkdir(parents=True, exist_ok=True)
    write_sheet(out, rows)
    figures["sheet"] = out.name
    return figures


def rendered_people(studio: OwnerServices, folder: Path) -> tuple[str, str]:
    """Add the person with six photos, and once more with six photos that are not trained on."""
    from studio.factory.preview_base.drawing import write_render
    from studio.factory.preview_base.people import sample_person, sample_picture

    rng = np.random.default_rng(PERSON_SEED)
    person = sample_person(rng, hair_color="red", sex="man", beard="yes", age="young")
    agreed = Consent(agreed_by="Ada", scopes=("train", "generate"), granted_at=datetime(2026, 1, 1, tzinfo=UTC))
    ids = []
    for name in ("Ada", "Ada, not trained"):
        photos: list[Path] = []
        while len(photos) < 6:
            photo = folder / f"{name} {len(photos)}.png"
            write_render(photo, sample_picture(rng, person), PHOTO_PIXELS)
            if studio.identities.inspect(photo).faces:  # as a person would take another photo
                photos.append(photo)
        ids.append(studio.identities.add(name, photos, consent=agreed).id)
    return ids[0], ids[1]


def _overfit(
    studio: OwnerServices,
    location: BaseLocation,
    example: TrainingExample,
    folder: Path,
    rows: list[tuple[str, Sequence[Image]]],
) -> dict[str, Any]:
    """Learn one picture by heart and see how near the samples come to it."""
    from dataclasses import replace

    heard = _Heard()
    plan = _OVERFIT.model_copy(update={"base": location.name, "resolution": location.resolution})
    alone = replace(example, caption="a photo of sks person", mask=None)
    start = time.perf_counter()
    engines().trainer().train(location, plan, [alone], folder / "overfit", heard)
    seconds = _since(start)
    first, last = ([p.image for p in heard.pictures[step] if p.kind == "person"] for step in (0, max(heard.pictures)))
    rows += [("one picture, base, learned", [alone.image, *first[:3], *last[:3]])]
    before, after = (statistics.fmean(_psnr(alone.image, p) for p in drawn) for drawn in (first, last))
    gaps = np.diff(heard.moments)
    return {
        "steps": plan.steps, "seconds": seconds, "seconds per step": round(float(np.median(gaps)), 4),
        "PSNR before, dB": round(before, 2), "PSNR after, dB": round(after, 2), "gain, dB": round(after - before, 2),
    }  # fmt: skip


def _judge(
    studio: OwnerServices,
    location: BaseLocation,
    done: TrainingRun,
    seen: Sequence[TrainingExample],
    unseen: Sequence[TrainingExample],
    rows: list[tuple[str, Sequence[Image]]],
) -> dict[str, Any]:
    """Compare what the base and the suggested checkpoint draw with the photos."""
    runs = studio.runs
    best = runs.suggestion(done.id)
    assert best is not None
    adapter = runs.keep(best.checkpoint.id, "Ada")
    worn = [AdapterFile(path=str(studio.store.media.get(adapter.media_sha256)), name="ada")]
    rendered = studio.likeness.all_rendered([e.sha256 for e in seen])
    reference = studio.likeness.reference_of_pictures([e.image for e in seen], location.resolution, rendered=rendered)
    assert reference is not None
    assert reference.calibration is not None
    scale = reference.calibration
    speeds = [v for _, v in runs.metrics(done.id)["steps_per_second"]]
    figures: dict[str, Any] = {
        "seconds per step": round(1 / statistics.median(speeds), 4),
        "suggested step": best.checkpoint.step, "suggestion": best.reason,
        "embedder": scale.embedder, "own photos, distance": f"{scale.own_mean:.3f} ± {scale.own_spread:.3f}",
    }  # fmt: skip
    for title, examples in (("photos", seen), ("further renders", unseen)):
        drawn = {}
        rows.append((title, [e.image for e in examples]))
        for kind, files in (("base", []), ("adapter", worn)):
            drawn[kind] = [draw(location, e.caption, 1 + i, files) for i, e in enumerate(examples)]
            distances = [d for p in drawn[kind] if (d := studio.likeness.distance(p, reference.center)) is not None]
            psnr = statistics.fmean(_psnr(e.image, p) for e, p in zip(examples, drawn[kind], strict=True))
            figures[f"{title}, {kind}"] = {
                "PSNR, dB": round(psnr, 2), "faces": f"{len(distances)} of {len(examples)}",
                "distance": round(statistics.fmean(distances), 3) if distances else None,
                "likeness": round(statistics.fmean(map(scale.likeness, distances)), 2) if distances else None,
            }  # fmt: skip
            rows.append((f"{title}, {kind}", drawn[kind]))
    figures["curves"] = {
        name: [(s, round(v, 3)) for s, v in runs.metrics(done.id).get(name, [])]
        for name in ("likeness", "drift", "faces_found")
    }
    others = ["a photo of a person", "a photo of a man", "a photo of a woman", "a photo of an old man"]
    others += ["a photo of a young woman with blond hair", "a photo of a man with black hair, smiling"]
    rows += [
        (f"others, {kind}", [draw(location, p, 5, files) for p in others])
        for kind, files in (("base", []), ("adapter", worn))
    ]
    prompts = ["a photo of sks person", "a photo of sks person, smiling", "a photo of sks person, blue background"]
    prompts += ["a photo of sks person, looking left", "a photo of sks person, surprised", "a photo of sks person, sad"]
    rows.append(("new prompts, adapter", [draw(location, p, 7, worn) for p in prompts]))
    figures["asked expressions found"] = {
        "base": _obeyed(location, "a person", []),
        "adapter": _obeyed(location, "sks person", worn),
    }
    report = studio.adapter_exchange.test_leak(adapter.id, strengths=(1.0,))
    figures["leak"] = report.values()
    return figures


def _obeyed(location: BaseLocation, who: str, worn: Sequence[AdapterFile]) -> str:
    """Ask for four expressions before two backgrounds, with two seeds, and let the judge of `bench base` look."""
    from studio.factory.preview_base.judge import load_classifier, read_attributes
    from studio.studio import ASSETS

    asked = [(e, b) for e in ("smiling", "surprised", "sad", "angry") for b in ("blue", "red") for _ in range(2)]
    drawn = [draw(location, f"a photo of {who}, {e}, {b} background", 31 + i % 2, worn)
             for i, (e, b) in enumerate(asked)]  # fmt: skip
    read = read_attributes(load_classifier(ASSETS / "base" / "classifier.safetensors"), np.stack(drawn))
    right = sum(found["expression"] == e for found, (e, _) in zip(read, asked, strict=True))
    return f"{right} of {len(asked)}"


def draw(
    location: BaseLocation,
    prompt: str,
    seed: int,
    worn: Sequence[AdapterFile],
    steps: int = STEPS,
    guidance: float = GUIDANCE,
) -> Image:
    """Draw one picture at the base's own size, with adapters worn."""
    side = location.resolution
    order = PictureOrder(prompt=prompt, seed=seed, steps=steps, guidance=guidance, width=side, height=side)
    return next(iter(engines().generator().generate(location, order, worn)))


def _psnr(truth: Image, drawn: Image) -> float:
    """Return the peak signal-to-noise ratio in dB of two pictures of one size."""
    error = float(np.mean((truth.astype(np.float64) - drawn) ** 2))
    return float(10 * np.log10(255.0**2 / max(error, 1e-9)))


def _since(start: float) -> float:
    return round(time.perf_counter() - start, 1)


def write_sheet(path: Path, rows: Sequence[tuple[str, Sequence[Image]]], side: int = 128) -> None:
    """Write all pictures as one, a row each."""
    from PIL import Image as Pillow
    from PIL import ImageDraw, ImageFont

    width = max(len(pictures) for _, pictures in rows)
    sheet = Pillow.new("RGB", (180 + width * side, len(rows) * side), "white")
    pen, font = ImageDraw.Draw(sheet), ImageFont.load_default(13)
    for y, (title, pictures) in enumerate(rows):
        pen.text((6, y * side + 50), title, fill="black", font=font)
        for x, picture in enumerate(pictures):
            tile = Pillow.fromarray(picture).resize((side, side), Pillow.Resampling.BICUBIC)
            sheet.paste(tile, (180 + x * side, y * side))
    sheet.save(path)


def main() -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--base", type=Path)
    parser.add_argument("--preset", default="preview-quick")
    parser.add_argument("--sheet", type=Path)
    parser.add_argument("--set", action="append", default=[], metavar="NAME=VALUE")
    given = parser.parse_args()
    changes = {name: json.loads(value) for name, _, value in (text.partition("=") for text in given.set)}
    print(json.dumps(run(given.base, given.preset, given.sheet, **changes), indent=2))


if __name__ == "__main__":
    main()
