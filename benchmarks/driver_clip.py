"""A clip of a face whose motion is known to the number: the repository's rig moves a public-domain portrait.

What drives in tests, and in `python -m studio bench driving` where no folder of clips is given.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from studio.domain.expression import INDEX, FaceState
from studio.domain.performance import Performance
from studio.engines.base import Image, Portrait
from studio.engines.media.video import open_writer

RATE_HZ = 25.0
SECONDS = 3.2
_REST = 0.4


def known_motion(rate_hz: float = RATE_HZ, seconds: float = SECONDS) -> Performance:
    """Return a motion that uses every part of a face: rest, jaw, smile, a blink, looks, a turn, a nod."""
    t = np.arange(round(seconds * rate_hz), dtype=np.float32) / rate_hz

    def bump(start: float, end: float) -> np.ndarray:
        inside = np.clip((t - start) / (end - start), 0, 1)
        return (0.5 - 0.5 * np.cos(2 * np.pi * inside)).astype(np.float32)

    weights = np.zeros((len(t), 52), np.float32)
    talk = bump(_REST, 0.8) + bump(0.8, 1.2)
    weights[:, INDEX["jawOpen"]] = 0.45 * talk
    for side in ("Left", "Right"):
        weights[:, INDEX[f"mouthSmile{side}"]] = 0.6 * bump(1.2, 2.0)
        weights[:, INDEX[f"eyeBlink{side}"]] = bump(0.9, 1.14)
        weights[:, INDEX[f"browOuterUp{side}"]] = 0.6 * bump(2.2, 3.0)
    weights[:, INDEX["browInnerUp"]] = 0.6 * bump(2.2, 3.0)
    weights[:, INDEX["eyeLookOutLeft"]] = weights[:, INDEX["eyeLookInRight"]] = 0.8 * bump(1.5, 2.3)
    head = np.stack([9 * bump(1.0, 2.2), 6 * bump(2.0, 3.0), 5 * bump(0.5, 1.5)], 1).astype(np.float32)
    none = np.zeros(len(t), np.float32)
    seal = np.where(talk < 0.02, 1.0, 0.0).astype(np.float32)
    # The portrait laughs: without its own mouth the face has a rest to come back to.
    return Performance(rate_hz, weights, head, none, seal, none.copy())


def drawn(portrait: Portrait, motion: Performance) -> Iterator[Image]:
    """Yield the frames of a motion on a portrait.  # (H, W, 3)"""
    for frame in range(len(motion)):
        state: FaceState = motion.state(frame, portrait.own_weights)
        yield portrait.render(state, lip_seal=float(motion.lip_seal[frame]))


def write_driver(path: Path, portrait: Portrait, motion: Performance | None = None, sound: Path | None = None) -> Path:
    """Write the clip as mp4."""
    moved = motion or known_motion()
    with open_writer("mp4", path, portrait.size, round(moved.frame_rate_hz), sound_path=sound) as clip:
        for image in drawn(portrait, moved):
            clip.write(image)
    return path
