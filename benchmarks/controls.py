"""What each control delivers on a face, asked against seen.

    python -m studio bench controls
    python benchmarks/controls.py --portraits FOLDER

Each control is drawn at its maximum on scikit-image's public-domain astronaut, starting from her neutral face, and on
every portrait of a folder. Openings and corners are read by the face tracker, what a tracker's idea of a face hides
(brows, cheeks, nostrils, chin) by optical flow. `stated` is the table of `studio/engines/rig/delivered.py`.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from benchmarks.rig import ROOT, portraits, square
from studio.domain.expression import CONTROL, ExpressionEdit, resolve
from studio.engines.rig.animator import RigAnimator
from studio.engines.rig.asset import load_head
from studio.engines.rig.delivered import DELIVERED, MEASURES, carried, face_axes
from studio.engines.rig.fit import HeadFitter, pose_of
from studio.engines.vision.analyser import VisionAnalyser

SHIFTED = ("brow", "cheek", "nose", "jaw")
SIDE = 512


def run(folder: Path | None = None) -> dict[str, Any]:
    """Return, by control: measure, unit, what is stated, and the median of what is seen."""
    analyser = VisionAnalyser(ROOT / "assets" / "models")
    animator = RigAnimator(ROOT / "assets" / "head.npz", analyser)
    fitter = HeadFitter(load_head(ROOT / "assets" / "head.npz"))
    seen: dict[str, list[float]] = {name: [] for name in DELIVERED}
    pictures = portraits(folder) if folder else {"astronaut": portraits(Path())["astronaut"]}
    for image in pictures.values():
        faces = analyser.detect(image)
        if not faces:
            continue
        crop = square(image, faces[0].box, SIDE)
        face = analyser.detect(crop)
        if face:
            _measure(animator.prepare(crop, face[0]), analyser, fitter, seen)
    rows = {
        name: {
            "measure": d.measure, "unit": d.unit, "stated": d.amount,
            "seen": round(float(np.median(seen[name])), 1) if seen[name] else None,
        }
        for name, d in DELIVERED.items()
    }  # fmt: skip
    return {"faces": len(pictures), "controls": rows}


def _measure(portrait: Any, analyser: VisionAnalyser, fitter: HeadFitter, seen: dict[str, list[float]]) -> None:
    """Add what one portrait shows to `seen`."""

    def picture(**values: float) -> np.ndarray:
        return portrait.render(resolve(ExpressionEdit(values, True), portrait.own_weights))

    def marks(image: np.ndarray) -> np.ndarray | None:
        found = analyser.detect(image)
        return found[0].landmarks if found else None

    still = picture()
    rest = marks(still)
    if rest is None:
        return
    turn = fitter.fit(rest).camera.rotation
    for name, stated in DELIVERED.items():
        share, base, before = 1.0, {}, rest
        if name == "mouthClose":  # needs something to close
            share, base = 0.5, {"jawOpen": 0.5}
            before = marks(picture(**base))
        after = picture(**base, **{name: share * CONTROL[name].maximum})
        measure = MEASURES.get(stated.measure)
        if measure is not None and measure.area in SHIFTED:
            now: np.ndarray | None = carried(still, after, rest)
        else:
            now = marks(after)
        if now is None or before is None:
            continue
        if measure is None:
            head = pose_of(fitter.fit(now).camera.rotation @ turn.T)
            seen[name].append(getattr(head, f"{stated.measure}_degrees"))
        else:
            seen[name].append((measure.read(face_axes(now)) - measure.read(face_axes(before))) / share)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--portraits", type=Path, help="folder of pictures")
    cv2.setNumThreads(1)
    json.dump(run(parser.parse_args().portraits), sys.stdout, indent=2)
