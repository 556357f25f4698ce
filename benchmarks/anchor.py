"""Is the anchor's claim true? A taught person's frames, drawn in several ways with the same noise.

    python benchmarks/anchor.py --teach                   # teaches six people once; kept in out/anchor
    python -m studio bench anchor [--sheet out/anchor.png]
    python benchmarks/anchor.py [--motion FOLDER] [--people 6] [--processes 2] [--sheet out/anchor.png]

The claim (FAAC, arXiv 2312.03775): motion modules spoil the face that a personal adapter draws, and an anchor frame,
which they leave alone and all other frames read, gives it back. Six invented people are taught with the quick preset.
Each is drawn from four prompts, 16 frames from nothing but noise, steered by the head's maps of performances that no
training has seen. The ways: each frame by itself, with motion, with motion and the anchor, with motion that was
trained around an anchor, and with motion that was trained as long without one; and twice by the words alone.

Of each clip: how far its frames are from the anchor picture and how like the person they are (the embedder of
rendered people), whether the prompt's word can be read off the frames, motion of the person and its jerk (mean second
difference over mean first; white noise has 1.73), flicker behind, and how opening of the lips and yaw follow the
performance. The anchor frame itself is never measured. Renders of the same performances stand beside. First the
gate: frames that flicker or stand still (jerk over the renders' by more than .15, motion below half or over twice
theirs) say nothing about an anchor, and the verdict then is that it cannot be tested here.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

ROOT = Path(__file__).resolve().parent.parent
if str(ROOT) not in sys.path:
    sys.path.insert(0, str(ROOT))

from studio.domain.adapter import AdapterFile  # noqa: E402
from studio.domain.anchor import Anchor  # noqa: E402
from studio.domain.base_model import BaseLocation  # noqa: E402
from studio.domain.consent import Consent  # noqa: E402
from studio.domain.face import FaceEmbedding  # noqa: E402
from studio.engines.base import Image  # noqa: E402
from studio.errors import NotFoundError  # noqa: E402
from studio.factory.preview_base.opening import GUIDANCE, STEPS  # noqa: E402

KEPT = ROOT / "out" / "anchor"
PEOPLE, TOGETHER, SIDE = 6, 16, 128
ANCHOR = TOGETHER // 2 - 1
SHARED = 0.9
GATE_JERK, GATE_MOTION = 0.15, (0.5, 2.0)
WHITE_NOISE = 1.73
_ENLARGED = 3  # landmarks want more pixels than the base draws


@dataclass(frozen=True)
class Prompt:
    """What is asked for beside the person, and what the judge of the base must read.

    Attributes:
        words: laid after "a photo of sks CLASS".
        attribute, value: as in `people.ATTRIBUTES`.
    """

    words: str
    attribute: str
    value: str


PROMPTS = (
    Prompt("blue background", "background", "blue"),
    Prompt("red background", "background", "red"),
    Prompt("glasses", "glasses", "yes"),
    Prompt("smiling", "expression", "smiling"),
)


@dataclass(frozen=True)
class Arm:
    """One way to draw the frames.

    Attributes:
        motion: stage of the motion weights; "" leaves the frames alone.
        anchored: whether the anchor is kept.
        steered: whether the head's maps steer.
    """

    title: str
    motion: str
    anchored: bool = False
    steered: bool = True


ALONE, PLAIN, FREE, TRAINED, EQUAL = "each frame by itself", "motion", "motion, anchor", "trained anchor", "equal"
ARMS = (
    Arm(ALONE, ""),
    Arm(PLAIN, "motion"),
    Arm(FREE, "motion", anchored=True),
    Arm(TRAINED, "anchored", anchored=True),
    Arm(EQUAL, "equal", anchored=True),
    Arm("motion, words alone", "motion", steered=False),
    Arm("motion, anchor, words alone", "motion", anchored=True, steered=False),
)


# -- what is prepared once ---------------------------------------------------------------------


def teach(kept: Path = KEPT, people: int = PEOPLE) -> dict[str, Any]:
    """Teach the people and draw the held-out performances; what is there already stays.

    Returns:
        Seconds that each took now.
    """
    from studio.engines.diffusion import runtime

    runtime.prepare(threads=1)
    kept.mkdir(parents=True, exist_ok=True)
    took = {}
    if not (kept / "performances.npz").is_file():
        start = time.perf_counter()
        _draw_performances(kept / "performances.npz")
        took["performances"] = round(time.perf_counter() - start, 1)
    for number in range(people):
        if not (kept / f"person-{number}.json").is_file():
            start = time.perf_counter()
            _teach_one(kept, number)
            took[f"person {number}"] = round(time.perf_counter() - start, 1)
    return took


def _teach_one(kept: Path, number: int) -> None:
    """Add an invented person to a studio of their own, train the quick preset and keep the adapter."""
    from studio.factory.preview_base.drawing import write_render
    from studio.factory.preview_base.people import sample_person, sample_picture
    from studio.studio import Studio

    rng = np.random.default_rng((77, number))
    person = sample_person(rng, sex=("woman", "man")[number % 2])
    agreed = Consent(agreed_by="Ada", scopes=("train", "generate"), granted_at=datetime(2026, 1, 1, tzinfo=UTC))
    with tempfile.TemporaryDirectory(prefix="bench-") as folder, Studio(Path(folder) / "data") as opened:
        studio = opened.for_owner()
        photos: list[Path] = []
        while len(photos) < 6:
            photo = Path(folder) / f"{len(photos)}.png"
            write_render(photo, sample_picture(rng, person, glasses="no"), 256)
            if studio.identities.inspect(photo).faces:
                photos.append(photo)
        ada = studio.identities.add("Ada", photos, consent=agreed).id
        plan = studio.training.plan("preview-quick", "preview", sample_every=240)
        done = studio.training.train(ada, plan)
        checkpoint = studio.runs.checkpoints(done.id)[-1]
        adapter = studio.runs.keep(checkpoint.id, "Ada")
        file = studio.store.media.get(adapter.media_sha256)
        examples = studio.training_sets.examples(ada, SIDE, plan.trigger, plan.class_word)
        reference = studio.likeness.reference_of_pictures([e.image for e in examples], SIDE, rendered=True)
        assert reference is not None
        assert reference.calibration is not None
        (kept / f"person-{number}.safetensors").write_bytes(file.read_bytes())
        about = {
            "who": f"{plan.trigger} {plan.class_word}", "steps": plan.steps, "center": reference.center.vector.tolist(),
            "scale": asdict(reference.calibration),
        }  # fmt: skip
        (kept / f"person-{number}.json").write_text(json.dumps(about), encoding="utf-8")


def _draw_performances(file: Path) -> None:
    """Draw, for every prompt, one held-out performance: maps that steer, renders to compare with, and the yaw."""
    from studio.factory.preview_base.clips import HELD_OUT_SEED, clip_of_index, clip_pictures, maps_of, speaking_takes
    from studio.studio import ASSETS

    takes, found = speaking_takes(ASSETS, held_out=True), []
    index = 0
    for prompt in PROMPTS:
        wanted = prompt.value if prompt.attribute == "expression" else "neutral"
        while True:
            clip = clip_of_index(HELD_OUT_SEED, index, takes)
            index += 1
            jaws = [dict(p.weights).get("jawOpen", 0.0) for p in clip.pictures]
            if clip.labels.get("expression") == wanted and "direction" in clip.labels and np.ptp(jaws) > 0.1:
                break
        found.append(clip)
    np.savez_compressed(
        file,
        maps=np.stack([[maps_of(p).transpose(1, 2, 0) for p in clip.pictures] for clip in found]),
        renders=np.stack([clip_pictures(clip) for clip in found]),
        yaw=np.array([[p.yaw for p in clip.pictures] for clip in found]),
    )


# -- the measurement ---------------------------------------------------------------------------


def run(
    sheet: Path | None = None,
    motion: Path | None = None,
    people: int = PEOPLE,
    processes: int = 2,
    kept: Path = KEPT,
) -> dict[str, Any]:
    """Measure, and return one JSON-able dictionary; writes a sheet of frames.

    Args:
        sheet: where the pictures go; default out/anchor.png.
        motion: folder with `control`, `motion`, `anchored`, `equal`; default that of the assets.
        people: so many of those that were taught.

    Raises:
        NotFoundError: nobody was taught yet, or there is no motion.
    """
    from studio.studio import ASSETS

    motion, begun = motion or ASSETS / "motion", time.perf_counter()
    arms = tuple(arm for arm in ARMS if not arm.motion or (motion / arm.motion / "config.json").is_file())
    if not (motion / "motion" / "config.json").is_file():
        raise NotFoundError(f"There is no motion in {motion}.", "Make it with `studio base build --motion`.")
    if any(not (kept / f"person-{n}.json").is_file() for n in range(people)):
        raise NotFoundError("The people were not taught yet.", "Run `python benchmarks/anchor.py --teach` once.")
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        silent = Path(folder) / "silent"
        _write_silent(motion / "motion", silent)
        jobs = [(kept, motion, silent, arms, n) for n in range(people)]
        if processes == 1:
            parts = [_person(*job) for job in jobs]
        else:
            with ProcessPoolExecutor(processes, mp_context=get_context("spawn")) as pool:
                parts = list(pool.map(_person, *zip(*jobs, strict=True)))
    renders = _of_renders(kept)
    table = {}
    for arm in arms:
        clips = [clip for part, _ in parts for clip in part[arm.title]]
        table[arm.title] = {name: _spread([c[name] for c in clips if c[name] is not None]) for name in clips[0]}
    gates = {arm.title: _passes(table[arm.title], renders) for arm in arms if arm.motion}
    out = sheet or ROOT / "out" / "anchor.png"
    out.parent.mkdir(parents=True, exist_ok=True)
    _write_sheet(out, [row for _, rows in parts[:2] for row in rows])
    return {
        "people": people, "prompts": [p.words for p in PROMPTS], "frames": TOGETHER, "noise shared": SHARED,
        "renders of the same performances": renders, "ways": table, "gate passed": gates,
        "verdict": _verdict(table, gates), "sheet": out.name, "whole benchmark, s": round(time.perf_counter() - begun),
    }  # fmt: skip


def _person(
    kept: Path, motion: Path, silent: Path, arms: Sequence[Arm], number: int
) -> tuple[dict[str, list[dict[str, float | None]]], list[tuple[str, list[Image]]]]:
    """Draw and measure one person in every way; a process of its own may do it."""
    from studio.engines import Engines
    from studio.engines.base_video import ClipOrder
    from studio.engines.diffusion import runtime

    runtime.prepare(threads=1)
    engines = Engines(ROOT / "assets")
    painter = engines.painter()
    about = json.loads((kept / f"person-{number}.json").read_text(encoding="utf-8"))
    worn = [AdapterFile(path=str(kept / f"person-{number}.safetensors"), name="ada")]
    location = BaseLocation(
        name="preview", title="Preview", family="sd15", path=str(ROOT / "assets" / "base"), embedded=True,
        resolution=SIDE, prediction_type="v_prediction",
    )  # fmt: skip
    with np.load(kept / "performances.npz") as file:
        performances = {name: file[name] for name in file.files}
    anchors: dict[int, Image] = {}
    measured: dict[str, list[dict[str, float | None]]] = {}
    rows = []
    for arm in arms:
        measured[arm.title] = []
        for index, prompt in enumerate(PROMPTS):
            order = ClipOrder(
                prompt=f"a photo of {about['who']}, {prompt.words}", seed=101 + 17 * number + index, steps=STEPS,
                guidance=GUIDANCE, width=SIDE, height=SIDE, shared=SHARED,
                anchor=Anchor(index=ANCHOR, strength=float(arm.anchored)),
            )  # fmt: skip
            painted = painter.paint(
                location, order, TOGETHER, worn, motion=motion / arm.motion if arm.motion else silent,
                control=motion / "control" if arm.steered else None,
                maps=performances["maps"][index] if arm.steered else None,
            )  # fmt: skip
            frames = np.stack(painted.frames)
            if not arm.motion:
                anchors[index] = frames[ANCHOR]
            asked = {name: performances[name][index] for name in ("renders", "yaw")} if arm.steered else None
            measured[arm.title].append(_measured(engines, frames, anchors[index], about, prompt, asked))
            if index in (0, 3) and arm.steered:
                rows.append((f"{arm.title}: {prompt.words}", list(frames[::3])))
    return measured, rows


def _measured(
    engines: Any,
    frames: NDArray[np.uint8],
    anchor: Image,
    about: Mapping[str, Any],
    prompt: Prompt,
    asked: Mapping[str, NDArray[Any]] | None,
) -> dict[str, float | None]:
    """Return the figures of one clip; None where no face was found."""
    from studio.domain.training import Calibration
    from studio.factory.preview_base.judge import load_classifier, read_attributes

    others = [f for f in range(len(frames)) if f != ANCHOR]
    own = _embedded(engines, anchor)
    center = FaceEmbedding(own.embedder if own else "", np.array(about["center"], np.float32))
    scale = Calibration(**about["scale"])
    seen = [_embedded(engines, frames[f]) for f in others]
    faces = [e for e in seen if e is not None]
    to_anchor = [own.distance(e) for e in faces] if own else []
    to_person = [scale.likeness(e.distance(center)) for e in faces] if own else []
    read = read_attributes(load_classifier(ROOT / "assets" / "base" / "classifier.safetensors"), frames[others])
    return {
        "faces": len(faces) / len(others),
        "distance to the anchor": float(np.mean(to_anchor)) if to_anchor else None,
        "likeness to the person": float(np.mean(to_person)) if to_person else None,
        "word obeyed": float(np.mean([found[prompt.attribute] == prompt.value for found in read])),
        **_moving(engines, frames, anchor),
        **(_followed(engines, frames, asked) if asked else {"r of the lips": None, "r of the yaw": None}),
    }


def _large(picture: Image) -> Image:
    from PIL import Image as Pillow

    side = SIDE * _ENLARGED
    return np.array(Pillow.fromarray(picture).resize((side, side), Pillow.Resampling.BICUBIC), np.uint8)


def _embedded(engines: Any, picture: Image) -> FaceEmbedding | None:
    """Return what the embedder of rendered people sees; None without a face."""
    large = _large(picture)
    faces = engines.faces().detect(large)
    found: FaceEmbedding | None = engines.faces().embed(large, faces[0], rendered=True) if faces else None
    return found


def _moving(engines: Any, frames: NDArray[np.uint8], anchor: Image) -> dict[str, float | None]:
    """Return motion and jerk of the person and flicker behind, without the steps to and from the anchor."""
    from PIL import Image as Pillow

    matte = np.array(Pillow.fromarray(engines.faces().matte(_large(anchor))).resize((SIDE, SIDE)))
    inside, behind = matte > 200, matte < 10
    motion, jerks, flicker = [], [], []
    for part in (frames[:ANCHOR], frames[ANCHOR + 1 :]):
        stack = part.astype(np.float32)
        first, second = np.abs(np.diff(stack, axis=0)).mean(-1), np.abs(np.diff(stack, 2, axis=0)).mean(-1)
        motion.append(float(first[:, inside].mean()) if inside.any() else np.nan)
        jerks.append(float(second[:, inside].mean() / max(first[:, inside].mean(), 1e-6)) if inside.any() else np.nan)
        flicker.append(float(first[:, behind].mean()) if behind.any() else np.nan)
    named = {"motion": motion, "jerk": jerks, "flicker behind": flicker}
    return {name: None if np.isnan(values).any() else float(np.mean(values)) for name, values in named.items()}


def _followed(engines: Any, frames: NDArray[np.uint8], asked: Mapping[str, NDArray[Any]]) -> dict[str, float | None]:
    """Return how lips and yaw of the frames follow those of the renders, read by the same landmarks."""
    drawn, rendered = _read(engines, frames), _read(engines, asked["renders"])
    both = ~np.isnan(drawn[:, 0]) & ~np.isnan(rendered[:, 0])
    both[ANCHOR] = False
    if both.sum() < 6:
        return {"r of the lips": None, "r of the yaw": None}
    return {
        "r of the lips": float(np.corrcoef(drawn[both, 0], rendered[both, 0])[0, 1]),
        "r of the yaw": float(np.corrcoef(drawn[both, 1], asked["yaw"][both])[0, 1]),
    }


def _read(engines: Any, frames: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Return the opening of the lips, in eye distances, and the yaw in degrees of every frame.  # (F, 2)"""
    out = np.full((len(frames), 2), np.nan)
    for f, frame in enumerate(frames):
        faces = engines.faces().detect(_large(frame))
        if faces:
            marks = faces[0].landmarks
            eyes = np.linalg.norm(marks[33, :2] - marks[263, :2])
            out[f] = np.linalg.norm(marks[13, :2] - marks[14, :2]) / eyes, faces[0].head.yaw_degrees
    return out


def _of_renders(kept: Path) -> dict[str, float]:
    """Return motion and jerk of the renders."""
    from studio.engines import Engines

    engines = Engines(ROOT / "assets")
    with np.load(kept / "performances.npz") as file:
        found = [_moving(engines, clip, clip[ANCHOR]) for clip in file["renders"]]
    return {name: round(float(np.median([f[name] for f in found if f[name] is not None])), 3) for name in found[0]}


def _spread(values: Sequence[float]) -> dict[str, float]:
    """Return the median and half of the middle two thirds of values."""
    if not values:
        return {}
    low, middle, high = np.percentile(values, [16.7, 50, 83.3])
    return {"median": round(float(middle), 3), "spread": round(float(high - low) / 2, 3)}


def _passes(figures: Mapping[str, Mapping[str, float]], renders: Mapping[str, float]) -> bool:
    jerk, motion = figures["jerk"].get("median", WHITE_NOISE), figures["motion"].get("median", 0.0)
    low, high = (share * renders["motion"] for share in GATE_MOTION)
    return bool(jerk <= renders["jerk"] + GATE_JERK and low <= motion <= high)


def _verdict(table: Mapping[str, Mapping[str, Mapping[str, float]]], gates: Mapping[str, bool]) -> str:
    """Say what the figures say: first whether they can say anything."""
    if not gates[PLAIN] or not gates[FREE]:
        return "not testable at this size: the motion does not pass the gate"
    plain, free = (table[title]["distance to the anchor"] for title in (PLAIN, FREE))
    nearer = plain["median"] - free["median"]
    if nearer > max(plain["spread"], free["spread"]):
        return f"confirmed: frames are {nearer:.3f} nearer to the anchor picture, more than the spread"
    if nearer > 0:
        return f"not confirmed: frames are {nearer:.3f} nearer to the anchor picture, less than the spread"
    return f"refuted here: frames are {-nearer:.3f} further from the anchor picture"


def _write_silent(motion: Path, out: Path) -> None:
    """Write the motion with its last layers zero: it adds nothing, and every frame is the picture model's own."""
    from diffusers import MotionAdapter
    from torch import nn

    kind: Any = MotionAdapter
    adapter = kind.from_pretrained(motion)
    for name, parameter in adapter.named_parameters():
        if ".proj_out." in name:
            nn.init.zeros_(parameter)
    adapter.save_pretrained(out)


def _write_sheet(out: Path, rows: Sequence[tuple[str, Sequence[Image]]]) -> None:
    from benchmarks.personalization import write_sheet

    write_sheet(out, rows)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--teach", action="store_true")
    parser.add_argument("--motion", type=Path)
    parser.add_argument("--people", type=int, default=PEOPLE)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--sheet", type=Path)
    given = parser.parse_args()
    if given.teach:
        print(json.dumps(teach(people=given.people), indent=2))
    else:
        print(json.dumps(run(given.sheet, given.motion, given.people, given.processes), indent=2))
