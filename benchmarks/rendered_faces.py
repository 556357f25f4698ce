"""Are rendered people told apart? The embedder of renders beside dlib, on people neither has seen.

    python -m studio bench rendered_faces
    python benchmarks/rendered_faces.py --train FOLDER

FOLDER keeps the faces to learn from (the work folder of `base build` will do);
the trained network is written into assets/models.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).resolve().parent.parent
if str(ROOT) not in sys.path:
    sys.path.insert(0, str(ROOT))

MODELS, CODEC = ROOT / "assets" / "models", ROOT / "assets" / "base" / "vae"
GOALS = {"auc": 0.99, "spread": "at most half of dlib's"}
FRESH_SEED = 3_000_017  # neither trained on nor measured while training


def run(people: int = 24, pictures: int = 6) -> dict[str, Any]:
    """Measure both embedders on the same pictures, and return one JSON-able dictionary.

    Args:
        people, pictures: how many people, and how many pictures of each.
    """
    from studio.domain.training import calibrate
    from studio.engines.vision.analyser import VisionAnalyser
    from studio.factory.preview_base.drawing import render
    from studio.factory.preview_base.identity import verify
    from studio.factory.preview_base.people import sample_person, sample_picture
    from studio.services.people.likeness import SMALLEST_SIDE, STRANGER, enlarged

    analyser = VisionAnalyser(MODELS)
    rng = np.random.default_rng(FRESH_SEED)
    vectors: dict[bool, list[list[Any]]] = {False: [], True: []}
    seconds = 0.0
    for _ in range(people):
        person, found = sample_person(rng), []
        while len(found) < pictures:
            large = enlarged(render(sample_picture(rng, person))[0], SMALLEST_SIDE)
            if faces := analyser.detect(large):
                found.append((large, faces[0]))
        for rendered in vectors:
            start = time.perf_counter()
            vectors[rendered].append([analyser.embed(p, f, rendered=rendered) for p, f in found])
            seconds += (time.perf_counter() - start) * rendered
    figures: dict[str, Any] = {"people": people, "pictures of each": pictures, "goals": GOALS}
    for table in vectors.values():
        name = table[0][0].embedder
        numbers = np.stack([[e.vector for e in row] for row in table])  # (P, K, D)
        told = verify(numbers)
        middles = (numbers.sum(1, keepdims=True) - numbers) / (pictures - 1)
        scales = [calibrate(name, [float(d) for d in row], STRANGER[name])
                  for row in np.linalg.norm(numbers - middles, axis=2)]  # fmt: skip
        told["spread of own photos on the scale of likeness"] = float(np.mean([s.spread for s in scales]))
        figures[name] = {title: round(value, 4) for title, value in told.items()}
    figures["ms a face"] = round(1000 * seconds / people / pictures, 2)
    return figures


def train(work_folder: Path) -> dict[str, float]:
    """Train the embedder and write it beside the other models."""
    from studio.engines.vision.rendered_faces import FILE
    from studio.factory.preview_base.identity import train_embedder

    return train_embedder(
        MODELS / FILE, work_folder=work_folder, codec=CODEC, models=MODELS,
        on_progress=lambda share, text: print(f"{share:.0%} {text}", file=sys.stderr),
    )  # fmt: skip


def main() -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--people", type=int, default=24)
    parser.add_argument("--train", type=Path, metavar="FOLDER")
    given = parser.parse_args()
    print(json.dumps(train(given.train) if given.train else run(given.people), indent=2))


if __name__ == "__main__":
    main()
