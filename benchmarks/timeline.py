"""What a performance with layers costs: an hour of it evaluated, and one moment looked at.

    python -m studio bench timeline
    python benchmarks/timeline.py --minutes 60

An hour at 25 frames per second with speech, recorded curves, an expression, 240 keys, idle life and two emotions over
time is evaluated into motion. A scrub is one frame evaluated and drawn on the sample portrait at 512 pixels, at moments
all over the golden speech, through the same service as the window: median, 95th of 100, and the slowest of 30.
"""

from __future__ import annotations

import argparse
import json
import resource
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from studio.domain.performance import Performance
from studio.domain.performance_document import document_of
from studio.domain.performance_layers import evaluate

RATE = 25.0
SCRUBS = 30
ASKED_MS = 80.0


def run(minutes: float = 60.0) -> dict[str, Any]:
    """Return seconds and milliseconds."""
    return {**_evaluated(minutes * 60), **_scrubbed()}


def _evaluated(seconds: float) -> dict[str, Any]:
    frames = round(seconds * RATE)
    rng = np.random.default_rng(0)

    def motion() -> Performance:
        weights = rng.random((frames, 52), np.float32) * 0.5
        head = rng.normal(0, 3, (frames, 3)).astype(np.float32)
        one = [rng.random(frames, np.float32) for _ in range(3)]
        return Performance(RATE, weights, head, *one)

    keys = [
        {"control": control, "seconds": round(s, 3), "value": float(rng.random())}
        for control in ("smile", "eyebrow", "headYaw", "jawOpen")
        for s in np.linspace(0, seconds - 1, 60)
    ]
    sha = "ab" * 32
    document = document_of(
        {
            "format": "likeness-studio-performance-layers", "version": 1, "duration_seconds": seconds,
            "layers": [
                {"kind": "idle", "id": "idle"},
                {"kind": "speech", "id": "speech", "sound": sha},
                {"kind": "driving", "id": "driving", "curves": sha, "regions": ["brows", "head"], "neutral": "calm"},
                {"kind": "expression", "id": "smile", "values": {"smile": 0.3}, "ease_in_seconds": 1.0},
                {"kind": "keyframes", "id": "keys", "keys": keys},
            ],
            "emotions": [{"seconds": s, "emotion": e, "strength": 0.5 * (s > 0)}
                         for e in ("joy", "fear") for s in (0, seconds / 2)],
        }
    )  # fmt: skip
    motions = {name: motion() for name in ("idle", "speech", "driving")}
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    start = time.perf_counter()
    evaluate(document, motions, RATE)
    took = time.perf_counter() - start
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    return {
        "evaluated_minutes": round(seconds / 60, 2), "evaluate_seconds": round(took, 2),
        "microseconds_per_frame": round(took / frames * 1e6, 1), "more_memory_mb": round(grown, 1),
    }  # fmt: skip


def _scrubbed() -> dict[str, Any]:
    from studio.services.sample import sample_portrait
    from studio.services.sources import MediaSource
    from studio.studio import ASSETS, Studio

    speech = ASSETS / "speech" / "golden.wav"
    words = (ASSETS / "speech" / "golden.txt").read_text(encoding="utf-8")
    with tempfile.TemporaryDirectory() as folder, Studio(Path(folder)) as studio:
        mine = studio.for_owner()
        person = mine.identities.add("Sample", [sample_portrait()])
        portrait = MediaSource.photo(mine.identities.photos(person.id)[0].id)
        kept = mine.performances.create("Golden", sound=MediaSource.file(speech), transcript=words)
        mine.performances.add_layer(kept.id, {"kind": "expression", "values": {"smile": 0.4}})
        mine.performances.set_key(kept.id, "headYaw", 1.0, -6.0)
        mine.performances.set_key(kept.id, "headYaw", 8.0, 6.0)

        def scrub(seconds: float) -> float:
            start = time.perf_counter()
            mine.performances.frame(kept.id, portrait, seconds, size=512)
            return 1000 * (time.perf_counter() - start)

        first = scrub(0.0)
        scrub(1.0)
        times = [scrub(float(s)) for s in np.linspace(0, kept.document.duration_seconds, SCRUBS)]
    return {
        "scrub_ms_median": round(float(np.median(times)), 1),
        "scrub_ms_95_of_100": round(float(np.percentile(times, 95)), 1),
        "scrub_ms_slowest": round(max(times), 1),
        "scrub_ms_asked": ASKED_MS, "first_scrub_seconds": round(first / 1000, 2),
    }  # fmt: skip


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--minutes", type=float, default=60.0)
    print(json.dumps(run(parser.parse_args().minutes), indent=2))
