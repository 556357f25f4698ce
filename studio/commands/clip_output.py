"""What is printed for a finished clip, with where the seconds went."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from studio.services.clips.animation import AnimationResult

_STAGES = {
    "start": "to start up",
    "anchor": "for the anchor picture",
    "portrait": "for the portrait, while the speech is heard",
    "speech": "for what was left of the speech",
    "looking": "to look at the video",
    "motion": "for the motion",
    "frames": "for the frames",
}
_MOVED_BY = {
    "recorded": "moved by curves",
    "driven": "moved by the face in the video",
    "composed": "moved by its layers",
    "orbit": "seen from around",
}


def timed(result: AnimationResult) -> AnimationResult:
    """Return the result with the seconds from the start of this process to the first stage, and all in all."""
    from psutil import Process

    lived = time.time() - Process().create_time()
    start = round(max(lived - result.seconds["total"], 0.0), 3)
    return replace(result, seconds={"start": start, **result.seconds, "total": round(lived, 3)})


def clip_text(result: AnimationResult) -> str:
    """Return the lines printed for a finished clip."""
    spent = [f"{result.seconds[stage]:.1f} {what}" for stage, what in _STAGES.items() if stage in result.seconds]
    moved = _MOVED_BY.get(result.phone_path, f"phones by {result.phone_path}")
    lines = [
        f"{result.path}",
        f"  {result.width}x{result.height}, {result.frames} frames at {result.frame_rate_hz:g} per second, "
        f"{result.duration_seconds:.1f} s; {moved}",
        f"  {result.seconds['total']:.1f} s: {', '.join(spent)}",
    ]
    lines += [f"  curves: {result.curves}"] if result.curves else []
    return "\n".join([*lines, *(f"  note: {h}" for h in result.hints)])
