"""Clips of a base model: do they keep what the rig moves? Figures and a sheet, on the base that comes with the studio.

    python -m studio bench video [--sheet out/video.png]
    python benchmarks/video.py [--change 0.4] [--seconds 3] [--sheet out/video.png]

Two portraits speak, the sample photo and a rendered head. The same frames are then drawn anew in several ways
with the same words and seed: as the studio does it (one noise for all frames, the rig's mouth and eyes laid
back), without laying back, both again with the base's own motion, its control by the 3D face and the anchor (where
motion is there), and each frame by itself with noise of its own, the baseline. Of each: P, B and M
seen closed, correlation of the opening with the curve that was asked for, likeness of the frames to the first
picture (dlib distance, smaller is more alike), motion of the person and its jerk (mean second difference over mean
first; white noise has 1.73), flicker behind (mean difference of neighboring frames, levels of 255).
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).resolve().parent.parent
if str(ROOT) not in sys.path:
    sys.path.insert(0, str(ROOT))

from benchmarks.mouth_pixels import seen_in  # noqa: E402
from studio.domain.expression import FaceState  # noqa: E402
from studio.domain.motion_model import MotionFiles  # noqa: E402
from studio.domain.performance import take_seed  # noqa: E402
from studio.domain.pose import HeadPose  # noqa: E402
from studio.domain.speech import SpeechAnalysis  # noqa: E402
from studio.engines.base import Amounts, Image, Sound  # noqa: E402
from studio.services.clips.making import FrameSource  # noqa: E402
from studio.services.pictures.generation import order_of  # noqa: E402
from studio.services.portraits.prepared import PreparedPortrait  # noqa: E402
from studio.services.video.painting import Painting  # noqa: E402
from studio.services.video.request import USUAL_CHANGE  # noqa: E402
from studio.studio import Studio  # noqa: E402

SIZE = 256
FRAME_RATE_HZ = 25.0
PROMPT = "a photo of a person"
ALIKE_EVERY = 5
SHOWN = 6


@dataclass(frozen=True)
class Arm:
    """One way to draw the frames; `shared` and `own_lips` as in the engine and the service, `moving` with motion."""

    title: str
    shared: float = 1.0
    own_lips: bool = True
    drawn: bool = True
    moving: bool = False


ARMS = (
    Arm("the rig's frames", drawn=False),
    Arm("as the studio draws"),
    Arm("without laying back", own_lips=False),
    Arm("with motion", moving=True),
    Arm("with motion, without laying back", moving=True, own_lips=False),
    Arm("each frame by itself", shared=0.0, own_lips=False),
)


def run(change: float = USUAL_CHANGE, seconds: float = 3.0, sheet: Path | None = None) -> dict[str, Any]:
    """Measure, and return one JSON-able dictionary; writes a sheet of frames."""
    from studio.engines.diffusion import runtime
    from studio.engines.media.sound import read_sound, trim
    from studio.services.sample import sample_speech
    from studio.studio import ASSETS

    runtime.prepare(threads=1)
    begun = time.perf_counter()
    speech = sample_speech(ASSETS)
    with tempfile.TemporaryDirectory(prefix="bench-") as folder, Studio(Path(folder) / "data") as opened:
        whole = read_sound(speech.path)
        analysis = opened.engines.speech().analyse(whole, speech.transcript, "en")
        sound = trim(whole, 0.0, seconds)
        motion = _motion(opened)
        figures: dict[str, Any] = {"change": change, "seconds of each clip": seconds, "portraits": {}}
        figures["motion"] = motion.name if motion else "none is there"
        rows: list[Sequence[Image]] = []
        for title, path in _portraits(Path(folder)):
            prepared = opened.portraits.prepare(path, size=SIZE, face_index=0)
            source = _source(opened, prepared, sound, analysis)
            arms = {}
            for arm in (arm for arm in ARMS if not arm.moving or motion):
                start = time.perf_counter()
                frames = _frames(opened, source, arm, float(change), motion if arm.moving else None)
                took = (time.perf_counter() - start) / len(frames)
                arms[arm.title] = {
                    **_measured(opened, source, frames, analysis, prepared),
                    "s per frame": round(took, 3),
                }
                rows.append([frames[i] for i in np.linspace(0, len(frames) - 1, SHOWN).astype(int)])
            figures["portraits"][title] = arms
    out = sheet or ROOT / "out" / "video.png"
    out.parent.mkdir(parents=True, exist_ok=True)
    _write_sheet(out, rows)
    return {**figures, "sheet": out.name, "whole benchmark, s": round(time.perf_counter() - begun, 1)}


def _portraits(folder: Path) -> list[tuple[str, Path]]:
    """Return the sample photo, and a head that is rendered now."""
    from studio.engines.media.pictures import write_png
    from studio.factory.preview_base.drawing import render
    from studio.factory.preview_base.people import sample_picture
    from studio.services.sample import sample_portrait

    rng = np.random.default_rng(4)
    picture = sample_picture(rng, expression="neutral", direction="straight", glasses="no", light="front")
    rendered = folder / "rendered.png"
    write_png(rendered, render(picture, 512)[0])
    return [("sample photo", sample_portrait()), ("rendered head", rendered)]


def _source(opened: Studio, prepared: PreparedPortrait, sound: Sound, analysis: SpeechAnalysis) -> FrameSource:
    own = FaceState(prepared.portrait.own_weights)
    performance = opened.engines.speech().perform(
        sound, analysis, replace(prepared.portrait.mouth, own=own.weights), frame_rate_hz=FRAME_RATE_HZ,
        seed=take_seed(0, "bench", prepared.sha256), amounts=Amounts(),
    )  # fmt: skip
    return FrameSource(prepared.portrait, performance, own)


def _motion(opened: Studio) -> MotionFiles | None:
    """Return the motion of the preview base that was trained around an anchor; None where none is there."""
    motions = opened.for_owner().video.motions
    here = {entry.card.name for entry in motions.list("sd15") if entry.state == "ready"}
    return next((motions.resolve(name, "sd15") for name in ("preview-anchored", "preview") if name in here), None)


def _frames(
    opened: Studio, source: FrameSource, arm: Arm, change: float, motion: MotionFiles | None = None
) -> list[Image]:
    """Return every frame of a clip, drawn in one way."""
    from studio.engines.base_video import ClipOrder
    from studio.services.pictures.generation import checked_generation

    if not arm.drawn:
        return [source.picture(i) for i in range(len(source))]
    drawing = opened.for_owner().generation.prepared(checked_generation({"prompt": PROMPT, "seed": 1}))
    order = ClipOrder(**vars(order_of(drawing.request)) | {"denoise": change, "shared": arm.shared})
    painting = Painting(
        painter=opened.engines.painter(), drawing=drawing, order=order, cover=source.picture(0),
        note=dict, own_lips=arm.own_lips, on_progress=lambda progress: None, motion=motion,
    )  # fmt: skip
    return list(painting.paint(source, 0))


def _measured(
    opened: Studio, source: FrameSource, frames: Sequence[Image], analysis: SpeechAnalysis, prepared: PreparedPortrait
) -> Mapping[str, Any]:
    """Return the figures of one clip."""
    analyser: Any = opened.engines.faces()
    portrait, performance = source.portrait, source.performance
    sealed = portrait.render(FaceState(portrait.own_weights, HeadPose()), lip_seal=1.0)
    rest = portrait.mouth
    weights = performance.weights + performance.own_mouth[:, None] * portrait.own_weights
    asked = np.maximum(rest.gap_mm + weights @ rest.gap_per_weight_mm, 0) * (1 - performance.lip_seal)
    try:
        mouth = seen_in(frames, sealed, FRAME_RATE_HZ, analyser)
        phones = [p for p in analysis.phones if p.end * FRAME_RATE_HZ < len(frames)]
        shut = mouth.closures(phones)
        seen = {
            "P, B, M closed": f"{sum(shut)} of {len(shut)}",
            "r of the opening": round(float(np.corrcoef(asked, mouth.gap_mm)[0, 1]), 3),
        }
    except ValueError as exc:
        seen = {"P, B, M closed": str(exc), "r of the opening": "-"}
    matte = analyser.matte(prepared.image)
    stack = np.stack(frames).astype(np.float32)
    first = np.abs(np.diff(stack, axis=0)).mean(-1)
    second = np.abs(np.diff(stack, 2, axis=0)).mean(-1)
    inside, behind = matte > 200, matte < 10
    return {
        **seen, "dlib to the first picture": _alike(analyser, frames, prepared.image),
        "motion of the person": round(float(first[:, inside].mean()), 2),
        "jerk": round(float(second[:, inside].mean() / max(first[:, inside].mean(), 1e-6)), 2),
        "flicker behind": round(float(first[:, behind].mean()), 2),
    }  # fmt: skip


def _alike(analyser: Any, frames: Sequence[Image], anchor: Image) -> str:
    """Return the distance of frames to the first picture, as the embedder sees faces: mean and spread."""
    own = analyser.embed(anchor, analyser.detect(anchor)[0])
    found = []
    for frame in frames[::ALIKE_EVERY]:
        faces = analyser.detect(frame)
        if faces:
            found.append(own.distance(analyser.embed(frame, faces[0])))
    missed = len(frames[::ALIKE_EVERY]) - len(found)
    lost = f", no face in {missed}" if missed else ""
    return f"{np.mean(found):.3f} ± {np.std(found):.3f}{lost}" if found else "no face"


def _write_sheet(out: Path, rows: Sequence[Sequence[Image]]) -> None:
    from studio.engines.media.pictures import write_png

    write_png(out, np.concatenate([np.concatenate(list(row), 1) for row in rows]))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--change", type=float, default=USUAL_CHANGE)
    parser.add_argument("--seconds", type=float, default=3.0)
    parser.add_argument("--sheet", type=Path)
    print(json.dumps(run(**vars(parser.parse_args())), indent=1))
