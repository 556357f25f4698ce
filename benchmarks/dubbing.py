"""A video that says something else: do its lips follow the new speech, and does everything else stay?

    python -m studio bench dubbing [--clips FOLDER] [--sheet out/dubbing]

The repository's speech is laid over a film of the public-domain astronaut, moved by the rig, or over each clip of a
folder (its first seconds). Of each: P, B and M seen closed in the drawn pixels, correlation of the opening with what
was asked for, and with what was filmed, how far a mouth that is held shut trembles (largest step of its opening from
frame to frame, millimetres), pixels changed above the nose and beside the face, and seconds a frame. A sheet shows
frames before and after.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).resolve().parent.parent
if str(ROOT) not in sys.path:
    sys.path.insert(0, str(ROOT))

from benchmarks.driver_clip import drawn, known_motion  # noqa: E402
from benchmarks.mouth_pixels import seen_in  # noqa: E402
from studio.engines.base import Image  # noqa: E402
from studio.errors import StudioError  # noqa: E402

SECONDS = 6.0
SHOWN = 5
VIDEOS = (".mp4", ".mov", ".webm", ".mkv", ".avi")


def run(clips: Path | None = None, sheet: Path | None = None, seconds: float = SECONDS) -> dict[str, Any]:
    """Measure, and return one JSON-able dictionary.

    Args:
        clips: folder of videos of a face; None is the film that the repository draws.
        sheet: folder for the sheets; default out/dubbing.
        seconds: of each clip.
    """
    from studio.engines import Engines
    from studio.engines.media.sound import read_sound, trim
    from studio.services.sample import sample_speech
    from studio.studio import ASSETS

    engines, speech = Engines(ASSETS), sample_speech(ASSETS)
    sound = trim(read_sound(speech.path), 0.0, seconds)
    analysis = engines.speech().analyse(sound, None, "en")
    out = sheet or ROOT / "out" / "dubbing"
    out.mkdir(parents=True, exist_ok=True)
    figures: dict[str, Any] = {"seconds of each clip": seconds, "clips": {}}
    for name, frames, rate in _films(engines, clips, seconds):
        try:
            figures["clips"][name] = _measured(engines, frames, rate, sound, analysis, out / f"{name}.png")
        except (StudioError, ValueError) as exc:
            figures["clips"][name] = str(exc)
    return {**figures, "sheets": str(out.name)}


def _films(engines: Any, clips: Path | None, seconds: float) -> Sequence[tuple[str, list[Image], float]]:
    from studio.engines.media.frames import read_frames

    if clips is None:
        import skimage.data

        photo = np.ascontiguousarray(skimage.data.astronaut()[:384, 32:416])
        portrait = engines.animator().prepare(photo, engines.faces().detect(photo)[0])
        return [("astronaut", list(drawn(portrait, known_motion(25.0, min(seconds, 3.2)))), 25.0)]
    found = []
    for path in sorted(p for p in clips.iterdir() if p.suffix.lower() in VIDEOS):
        with read_frames(path, longer_side=1024, seconds=seconds, most_per_second=30) as frames:
            found.append((path.stem, [frame.copy() for frame in frames], frames.frame_rate_hz))
    return found


def _measured(engines: Any, frames: list[Image], rate: float, sound: Any, analysis: Any, sheet: Path) -> dict[str, Any]:
    """Return the figures of one film."""
    begun = time.perf_counter()
    clip = engines.dubber().study(iter(frames), rate)
    studied = time.perf_counter()
    performance = engines.speech().perform(sound, analysis, clip.mouth, frame_rate_hz=rate)
    start = time.perf_counter()
    spoken = list(clip.redraw(iter(frames), performance))
    took = time.perf_counter() - start
    shut = list(clip.redraw(iter(frames), _shut(performance)))
    faces, count = engines.faces(), len(spoken)
    first = next(i for i, share in enumerate(clip.share) if share >= 1)
    seen, held, filmed = (seen_in(f[first:count], shut[first], rate, faces) for f in (spoken, shut, frames))
    rest = clip.mouth
    weights = performance.weights + performance.own_mouth[:, None] * rest.own
    asked = np.maximum(rest.gap_mm + weights @ rest.gap_per_weight_mm, 0) * (1 - performance.lip_seal)
    phones = [p for p in analysis.phones if first / rate < p.start and p.end * rate < count - 1]
    closures = _shifted(seen, phones, first / rate)
    _write_sheet(sheet, frames, spoken)
    return {
        "frames": count,
        "P, B, M closed": f"{sum(closures)} of {len(closures)}",
        "r of the opening with the speech": round(float(np.corrcoef(asked[first:count], seen.gap_mm)[0, 1]), 3),
        "r of the opening with the film": round(float(np.corrcoef(filmed.gap_mm, seen.gap_mm)[0, 1]), 3),
        "step of a shut mouth, mm": round(float(np.abs(np.diff(held.gap_mm)).max()), 2),
        "pixels changed elsewhere": _elsewhere(faces, frames, spoken),
        "s to look, a frame": round((studied - begun) / count, 3),
        "s to draw, a frame": round(took / count, 3),
    }


def _shifted(seen: Any, phones: Sequence[Any], by: float) -> list[bool]:
    """Return the closures of phones that are timed from the clip's first frame on."""
    from dataclasses import replace

    found: list[bool] = seen.closures([replace(p, start=p.start - by, end=p.end - by) for p in phones])
    return found


def _shut(performance: Any) -> Any:
    from dataclasses import replace

    return replace(performance, weights=np.zeros_like(performance.weights), lip_seal=np.ones_like(performance.lip_seal))


def _elsewhere(faces: Any, frames: Sequence[Image], spoken: Sequence[Image]) -> int:
    """Return how many pixels changed above the nose or beside the face, in a few frames."""
    total = 0
    for i in range(0, len(spoken), max(1, len(spoken) // SHOWN)):
        found = faces.detect(frames[i])
        if found:
            marks = found[0].landmarks
            changed = (frames[i] != spoken[i]).any(2)
            room = 0.15 * float(np.linalg.norm(marks[33, :2] - marks[263, :2]))
            left, right = marks[:468, 0].min() - room, marks[:468, 0].max() + room
            total += int(changed[: int(marks[[33, 263], 1].max())].sum())
            total += int(changed[:, : max(int(left), 0)].sum() + changed[:, int(right) :].sum())
    return total


def _write_sheet(path: Path, frames: Sequence[Image], spoken: Sequence[Image]) -> None:
    from studio.engines.media.pictures import write_png

    rows = np.linspace(0, len(spoken) - 1, SHOWN + 2).astype(int)[1:-1]
    write_png(path, np.concatenate([np.concatenate([some[i] for i in rows], 1) for some in (frames, spoken)]))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clips", type=Path)
    parser.add_argument("--sheet", type=Path)
    parser.add_argument("--seconds", type=float, default=SECONDS)
    given = parser.parse_args()
    print(json.dumps(run(given.clips, given.sheet, given.seconds), indent=2))
