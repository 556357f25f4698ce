"""People who talk with each other: are listening lips seen shut, do speakers follow their own sound, who is looked at?

    python -m studio bench dialogue [--portraits FOLDER] [--speech FOLDER] [--sheet out/dialogue]

Pairs of portraits talk one after the other, each with a sound; without folders the public-domain astronaut and its
mirror image with the repository's own speech in two parts. What is measured is read off the drawn pixels by the
landmark model: the share of a listener's frames with shut lips, the correlation of the opening with what the own sound
asks for (and with the other's), the share of a listener's frames in which the irises lie nearer to the side of the
speaker than in the photo, and milliseconds a frame for both together. A sheet shows frames of each pair.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).resolve().parent.parent
if str(ROOT) not in sys.path:
    sys.path.insert(0, str(ROOT))

from benchmarks.mouth_checks import CLOSED_MM  # noqa: E402
from benchmarks.mouth_pixels import seen_in  # noqa: E402
from studio.domain.expression import FaceState  # noqa: E402
from studio.engines.base import Image, Sound  # noqa: E402
from studio.errors import StudioError  # noqa: E402

SECONDS = 4.0
SHOWN = 8
PICTURES = (".jpg", ".jpeg", ".png", ".webp")
SOUNDS = (".wav", ".flac", ".mp3")
_BLINKING = 0.35  # of the opening of an eye: below it no gaze is read


def run(
    portraits: Path | None = None, speech: Path | None = None, sheet: Path | None = None, seconds: float = SECONDS,
    size: int = 1280,
) -> dict[str, Any]:  # fmt: skip
    """Measure, and return one JSON-able dictionary.

    Args:
        portraits: folder of photos; neighbors talk with each other.
        speech: folder of sounds; the first two.
        sheet: folder for the sheets; default out/dialogue.
        seconds: of each person.
        size: longer side of the frame, pixels.
    """
    from studio.engines import Engines
    from studio.services.portraits.prepared import Portraits
    from studio.studio import ASSETS

    engines = Engines(ASSETS)
    out = sheet or ROOT / "out" / "dialogue"
    out.mkdir(parents=True, exist_ok=True)
    sounds = _sounds(speech, seconds)
    figures: dict[str, Any] = {"seconds of each": seconds, "longer side": size, "pairs": {}}
    with tempfile.TemporaryDirectory() as folder:
        for name, pair in _pairs(portraits, Path(folder)):
            try:
                figures["pairs"][name] = _measured(Portraits(engines), pair, sounds, size, out / f"{name}.png")
            except (StudioError, ValueError) as exc:
                figures["pairs"][name] = str(exc)
    rows = [row for row in figures["pairs"].values() if isinstance(row, dict)]
    if rows:
        figures["all"] = {key: round(float(np.mean([row[key] for row in rows])), 3) for key in rows[0]}
    return {**figures, "sheets": str(out.name)}


def _pairs(portraits: Path | None, folder: Path) -> list[tuple[str, tuple[Path, Path]]]:
    """Return photos that talk with each other."""
    if portraits is None:
        import skimage.data

        from studio.engines.media.pictures import write_png

        photo = np.ascontiguousarray(skimage.data.astronaut()[:420, 30:430])
        places = folder / "astronaut.png", folder / "mirrored.png"
        for place, image in zip(places, (photo, photo[:, ::-1]), strict=True):
            write_png(place, np.ascontiguousarray(image))
        return [("astronaut and mirrored", places)]
    found = sorted(p for p in portraits.iterdir() if p.suffix.lower() in PICTURES)
    pairs = zip(found, [*found[1:], found[0]], strict=True)
    return [(f"{a.stem} and {b.stem}", (a, b)) for a, b in pairs]


def _sounds(folder: Path | None, seconds: float) -> list[Sound]:
    from studio.engines.media.sound import read_sound, trim
    from studio.services.sample import sample_speech
    from studio.studio import ASSETS

    if folder is None:
        whole = read_sound(sample_speech(ASSETS).path)
        return [trim(whole, 0.0, seconds), trim(whole, seconds, 2 * seconds)]
    paths = sorted(p for p in folder.iterdir() if p.suffix.lower() in SOUNDS)[:2]
    return [trim(read_sound(path), 0.0, seconds) for path in paths]


def _measured(portraits: Any, pair: Sequence[Path], sounds: Sequence[Sound], size: int, sheet: Path) -> dict[str, Any]:
    """Return the figures of one pair."""
    from studio.domain.dialogue import conversation, listening, spoken_spans
    from studio.domain.dialogue_motion import attend
    from studio.engines.base import Amounts
    from studio.services.clips.dialogue_scene import SideBySide
    from studio.services.sources import FoundMedia

    scene = SideBySide(portraits, [(FoundMedia(path, None), None) for path in pair], size)
    engine, rate = portraits.engines.speech(), 25.0
    whole = _one_after_the_other(sounds)
    analyses = [engine.analyse(sound, None, "en") for sound in whole]
    parts = conversation([spoken_spans(a.phones) for a in analyses], whole[0].duration_seconds, 1)
    spoken = [
        engine.perform(sound, analysis, scene.mouth(i), frame_rate_hz=rate, seed=i, amounts=Amounts(gaze=0.0))
        for i, (sound, analysis) in enumerate(zip(whole, analyses, strict=True))
    ]
    moved = [attend(one, parts[i], scene.seats, i, scene.mouth(i)) for i, one in enumerate(spoken)]
    scene.play(moved, 0)
    next(scene.pictures())  # what is made once, at the first turn of a head, is no part of a frame
    start = time.perf_counter()
    frames = list(scene.pictures())
    took = time.perf_counter() - start
    times = np.arange(len(frames)) / rate
    shut, own, other, toward = [], [], [], []
    asked = [_opening(one, scene.mouth(i)) for i, one in enumerate(moved)]
    edges = np.cumsum([0, *(one.portrait.size[0] for one in scene.people)])
    for person, (one, part) in enumerate(zip(scene.people, parts, strict=True)):
        own_part = [np.ascontiguousarray(frame[:, edges[person] : edges[person + 1]]) for frame in frames]
        sealed = one.portrait.render(FaceState(one.portrait.own_weights), lip_seal=1.0)
        seen = seen_in(own_part, sealed, rate, portraits.engines.faces())
        quiet = listening(part, times) >= 1
        shut.append(float((seen.gap_mm[quiet] <= seen.sealed_mm + CLOSED_MM).mean()))
        own.append(float(np.corrcoef(asked[person], seen.gap_mm)[0, 1]))
        other.append(float(np.corrcoef(asked[1 - person], seen.gap_mm)[0, 1]))
        side = 1 if person == 0 else -1
        toward.append(_toward(own_part, one.image, quiet, side, portraits.engines.faces()))
    _write_sheet(sheet, frames)
    return {
        "listening frames with shut lips": round(float(np.mean(shut)), 3),
        "r of the opening with the own sound": round(float(np.mean(own)), 3),
        "r of the opening with the other's": round(float(np.mean(other)), 3),
        "listening frames with eyes to the speaker": round(float(np.nanmean(toward)), 3),
        "ms a frame": round(1000 * took / len(frames), 1),
    }


def _one_after_the_other(sounds: Sequence[Sound]) -> list[Sound]:
    total, at, out = sum(len(s.samples) for s in sounds), 0, []
    for sound in sounds:
        samples = np.zeros(total, np.float32)
        samples[at : at + len(sound.samples)] = sound.samples
        out.append(Sound(samples, sound.rate_hz))
        at += len(sound.samples)
    return out


def _opening(performance: Any, mouth: Any) -> Any:
    from studio.domain.lip_closure import lip_gap_mm

    gap = lip_gap_mm(performance.weights, performance.own_mouth, mouth)
    return np.maximum(gap, 0) * (1 - performance.lip_seal)


def _toward(pictures: Sequence[Image], photo: Image, looks: Any, side: int, faces: Any) -> float:
    """Return the share of frames in which head and irises together point further to a side than in the photo."""
    rest = _irises(faces, photo)
    seen = [_irises(faces, pictures[i]) for i in np.flatnonzero(looks)]
    read = [side * (at - rest) > 0.02 for at in seen if at is not None and rest is not None]
    return float(np.mean(read)) if read else float("nan")


def _irises(faces: Any, picture: Image) -> float | None:
    """Return where the irises are between the corners of their eyes, 0 left .. 1 right; None in a blink."""
    found = faces.detect(picture)
    if not found:
        return None
    marks = found[0].landmarks
    out = []
    for iris, left, right, upper, lower in ((468, 33, 133, 159, 145), (473, 362, 263, 386, 374)):
        width = float(marks[right, 0] - marks[left, 0])
        if float(marks[lower, 1] - marks[upper, 1]) < _BLINKING * 0.3 * width:
            return None
        out.append(float(marks[iris, 0] - marks[left, 0]) / width)
    return float(np.mean(out))


def _write_sheet(path: Path, frames: Sequence[Image]) -> None:
    import cv2

    from studio.engines.media.pictures import write_png

    rows = np.linspace(0, len(frames) - 1, SHOWN + 2).astype(int)[1:-1]
    small = [cv2.resize(frames[i], None, fx=0.6, fy=0.6, interpolation=cv2.INTER_AREA) for i in rows]
    write_png(path, np.concatenate([np.concatenate(small[i : i + 2], 1) for i in range(0, SHOWN, 2)]))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--portraits", type=Path)
    parser.add_argument("--speech", type=Path)
    parser.add_argument("--sheet", type=Path)
    parser.add_argument("--seconds", type=float, default=SECONDS)
    parser.add_argument("--size", type=int, default=1280)
    given = parser.parse_args()
    print(json.dumps(run(given.portraits, given.speech, given.sheet, given.seconds, given.size), indent=2))
