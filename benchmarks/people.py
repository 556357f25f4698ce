"""Does it learn a person's face? Figures per person, and a sheet of what was drawn.

    python -m studio bench people --portraits FOLDER
    python benchmarks/people.py [FOLDER] [--only NAME] [--preset preview-person] [--sheet FILE] [--set steps=400]

FOLDER holds one folder of photos for each person; nothing of it is kept. Without it two people are invented and
rendered, and the first is trained. Every person is added to a fresh studio
and trained with the preset, as at the window. Then "a photo of sks person" is drawn with 24 seeds and measured by dlib
against the person's photos and against everybody else's in FOLDER: the nearest photo counts. Four words of expression
are asked for with four seeds each, and the words of the curation say what is seen. Another person is asked for with
the same seeds, before and after: how far did the base move? dlib took part in no training here.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).resolve().parent.parent
if str(ROOT) not in sys.path:
    sys.path.insert(0, str(ROOT))

from benchmarks.personalization import draw, engines, write_sheet  # noqa: E402
from studio.domain.adapter import AdapterFile  # noqa: E402
from studio.domain.consent import Consent  # noqa: E402
from studio.domain.traits import Rest, traits_of  # noqa: E402
from studio.engines.base import Image  # noqa: E402
from studio.studio import OwnerServices, Studio  # noqa: E402

GOALS = {"nearest own photo, median": 0.55, "alike": "80 %", "nearest other, strangers": "95 %", "words": "12 of 16",
         "training, s": 600.0}  # fmt: skip
WORDS = ("smiling", "mouth open", "surprised", "eyes closed")
FINE = {"steps": 20, "guidance": 3.0}
"""How the words are drawn once more: finer, and closer to the prompt."""
DRAWN = 24
ALIKE = 0.6
_KINDS = (".jpg", ".jpeg", ".png", ".webp")


def run(
    portraits: Path | None = None,
    preset: str = "preview-person",
    sheet: Path | None = None,
    only: Sequence[str] = (),
    **changes: Any,
) -> dict[str, Any]:
    """Measure everybody in a folder, and return one JSON-able dictionary; writes the sheet.

    Args:
        portraits: one folder of photos for each person; None invents two people, and trains the first.
        sheet: file or folder where the pictures go; default out/people.png.
        only: names of the folders to train; everybody's photos are compared with. Empty trains all.
        changes: settings of the plan to try.
    """
    from studio.engines.diffusion import runtime

    runtime.prepare()
    rows: list[tuple[str, Sequence[Image]]] = []
    figures: dict[str, Any] = {}
    with tempfile.TemporaryDirectory(prefix="bench-") as folder, Studio(Path(folder) / "data") as opened:
        studio = opened.for_owner()
        if portraits is None:
            portraits, only = _invented(Path(folder) / "invented"), only or ("Ada",)
        photos = {
            d.name: [p for p in sorted(d.iterdir()) if p.suffix.lower() in _KINDS]
            for d in sorted(portraits.iterdir())
            if d.is_dir()
        }
        known = {name: _vectors(studio, files) for name, files in photos.items()}
        for name, files in photos.items():
            if files and (not only or name in only):
                others = [v for n, vectors in known.items() if n != name for v in vectors]
                figures[name] = _person(studio, name, files, preset, (known[name], others), rows, changes)
    out = sheet or ROOT / "out"
    out = out if out.suffix else out / "people.png"
    out.parent.mkdir(parents=True, exist_ok=True)
    write_sheet(out, rows)
    return {"people": figures, "goals": GOALS, "sheet": out.name}


def _invented(folder: Path) -> Path:
    """Render the photos of two people who do not exist, a folder each."""
    from studio.factory.preview_base.drawing import write_render
    from studio.factory.preview_base.people import sample_person, sample_picture

    rng = np.random.default_rng(7)
    for name, traits in (("Ada", {"hair_color": "red", "sex": "woman"}), ("Bo", {"hair_color": "black", "sex": "man"})):
        person = sample_person(rng, **traits)
        (folder / name).mkdir(parents=True)
        for number in range(8):
            write_render(folder / name / f"{number}.png", sample_picture(rng, person))
    return folder


def _vectors(studio: OwnerServices, files: Sequence[Path]) -> list[np.ndarray]:
    """Return the embeddings of everybody's photos in which a face is found."""
    from studio.engines.media.pictures import fit_longer_side, read_picture

    pictures = (np.ascontiguousarray(fit_longer_side(read_picture(f).rgb, 1024)) for f in files)
    return [found.vector for p in pictures if (found := studio.likeness.measure(p)) is not None]


def _person(
    studio: OwnerServices,
    name: str,
    files: Sequence[Path],
    preset: str,
    vectors: tuple[Sequence[np.ndarray], Sequence[np.ndarray]],
    rows: list[tuple[str, Sequence[Image]]],
    changes: dict[str, Any],
) -> dict[str, Any]:
    """Train one person and measure what is drawn."""
    agreed = Consent(agreed_by=name, scopes=("train", "generate"), granted_at=datetime(2026, 1, 1, tzinfo=UTC))
    person = studio.identities.add(name, list(files), consent=agreed).id
    plan = studio.training.plan(preset, photos=len(files), **changes)
    location = studio.bases.resolve(plan.base)
    start, worked = time.perf_counter(), time.process_time()
    done = studio.training.train(person, plan)
    seconds, worked = time.perf_counter() - start, time.process_time() - worked
    best = studio.runs.suggestion(done.id)
    assert best is not None
    adapter = studio.runs.keep(best.checkpoint.id, name)
    worn = [AdapterFile(path=str(studio.store.media.get(adapter.media_sha256)), name="worn")]
    who = f"{plan.trigger} {plan.class_word}"
    look = {"steps": plan.sample_steps, "guidance": plan.guidance}  # as the run's own samples are drawn
    drawn = [draw(location, f"a photo of {who}", seed, worn, **look) for seed in range(100, 100 + DRAWN)]
    faces = [f.vector for p in drawn if (f := studio.likeness.measure(p)) is not None]
    own = [_nearest(v, vectors[0]) for v in faces]
    strangers = [float(np.linalg.norm(v - o)) for v in faces for o in vectors[1]]
    others = [_nearest(v, vectors[1]) for v in faces] if vectors[1] else []
    asked = [(word, seed) for word in WORDS for seed in range(4)]
    acting = [draw(location, f"a photo of {who}, {word}", 200 + seed, worn, **look) for word, seed in asked]
    finer = [draw(location, f"a photo of {who}, {word}", 200 + seed, worn, **FINE) for word, seed in asked]
    rest = studio.training_sets.rest(person)
    seen, seen_finer = ([_expression(p, rest) for p in pictures] for pictures in (acting, finer))
    prompts = [f"a photo of a {c}" for c in ("man", "woman", "person", "old man", "young woman", plan.class_word)]
    classes = [[draw(location, p, 5, dressed, **look) for p in prompts] for dressed in ([], worn)]
    moved = np.mean([np.abs(a.astype(float) - b).mean() / 255 for a, b in zip(*classes, strict=True)])
    taught = studio.training_sets.examples(person, location.resolution, plan.trigger, plan.class_word)
    rows += [
        (f"{name}, photos", [e.image for e in taught[:8]]),
        (f"{name}, drawn", drawn[:8]), ("", drawn[8:16]), ("words", acting[:8]), ("", acting[8:]),
        ("words, finer", finer[:8]), ("", finer[8:]),
        ("others, before", classes[0]), ("others, after", classes[1]),
    ]  # fmt: skip
    return {
        "photos": len(files), "steps": plan.steps, "training, s": round(seconds, 1), "processor, s": round(worked, 1),
        "suggested": best.checkpoint.step,
        "suggestion": best.reason, "faces": f"{len(faces)} of {DRAWN}",
        "nearest own photo": _spread(own), "alike": f"{sum(d < ALIKE for d in own)} of {DRAWN}",
        "others' photos, farther than .6": f"{np.mean([d > ALIKE for d in strangers]):.3f}" if strangers else "",
        "nearest of all others": _spread(others),
        "words": f"{sum(w == s for (w, _), s in zip(asked, seen, strict=True))} of {len(asked)}",
        "words seen": " ".join(f"{w}:{s}" for (w, _), s in zip(asked, seen, strict=True)),
        f"words in {FINE['steps']} steps at guidance {FINE['guidance']:g}":
            f"{sum(w == s for (w, _), s in zip(asked, seen_finer, strict=True))} of {len(asked)}",
        "class pictures moved": round(float(moved), 4),
    }  # fmt: skip


def _nearest(vector: np.ndarray, vectors: Sequence[np.ndarray]) -> float:
    return float(min((np.linalg.norm(vector - v) for v in vectors), default=np.inf))


def _spread(distances: Sequence[float]) -> str:
    """Return the median and the tenth and ninetieth percentile."""
    if not distances:
        return "no face"
    low, middle, high = np.percentile(distances, (10, 50, 90))
    return f"{middle:.3f} ({low:.3f} to {high:.3f})"


def _expression(picture: Image, rest: Rest | None) -> str:
    """Return the word that curation has for the expression in a picture of somebody whose face at rest is known."""
    from studio.services.people.likeness import enlarged

    large = enlarged(picture, 384)
    analyser = engines().faces()
    faces = analyser.detect(large)
    if not faces:
        return "-"
    measures = analyser.measure(large, faces[0], analyser.matte(large))
    return traits_of(measures, faces[0].head, rest).get("expression", "-")


def main() -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("portraits", type=Path, nargs="?")
    parser.add_argument("--preset", default="preview-person")
    parser.add_argument("--sheet", type=Path)
    parser.add_argument("--only", action="append", default=[])
    parser.add_argument("--set", action="append", default=[], metavar="NAME=VALUE")
    given = parser.parse_args()
    changes = {name: json.loads(value) for name, _, value in (text.partition("=") for text in given.set)}
    print(json.dumps(run(given.portraits, given.preset, given.sheet, given.only, **changes), indent=2))


if __name__ == "__main__":
    main()
