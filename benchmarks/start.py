"""How long one command takes from a new process: an edit, a talking clip, and the first portrait of a new installation.

    python -m studio bench start

Each command is a process of its own, files on a warm disk: it runs once before it is measured. Seconds by the clock
hold for an idle machine only; seconds of the processor (the command's and those of the programs it waits for, which
work side by side on two cores) grow little when other work runs beside it. The speech is the golden clip, as often as
it takes for ten seconds, without its text.
"""

from __future__ import annotations

import contextlib
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
import wave
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import psutil

from studio.errors import EngineError

ROOT = Path(__file__).resolve().parent.parent
PORTRAIT = ROOT / "assets" / "sample" / "astronaut.jpg"
SPEECH = ROOT / "assets" / "speech" / "golden.wav"
SPOKEN_SECONDS = 10.0
PROMISED = {"edit_seconds": 1.5, "clip_per_second_of_sound": 0.65}
"""What the project asks for on an idle machine of 2 cores."""
_LOOK_SECONDS = 0.01
_ENGINES = """
import json, sys, time
from pathlib import Path
start = time.perf_counter()
from studio.engines import Engines
from studio.studio import ASSETS
import cv2
engines = Engines(ASSETS)
faces, animator = engines.faces(), engines.animator()
picture = cv2.cvtColor(cv2.imread(sys.argv[1]), cv2.COLOR_BGR2RGB)
picture = cv2.resize(picture, None, fx=512 / max(picture.shape[:2]), fy=512 / max(picture.shape[:2]))
ready = time.perf_counter()
animator.prepare(picture, faces.detect(picture)[0])
first = time.perf_counter()
animator.prepare(picture, faces.detect(picture)[0])
print(json.dumps([ready - start, first - ready, time.perf_counter() - first]))
"""


@dataclass(frozen=True)
class Spent:
    """What one command took.

    Attributes:
        clock: seconds from its start to its end.
        processor: seconds of the processor, its own and those of the programs it waited for.
        said: what it printed.
    """

    clock: float
    processor: float
    said: str


def run(repeat: int = 3) -> dict[str, Any]:
    """Run each command `repeat` times after once unmeasured.

    Returns:
        Medians in seconds, with the machine and how busy it was.

    Raises:
        EngineError: a command failed.
    """
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        sound = _spoken(folder / "speech.wav")
        studio = [sys.executable, "-m", "studio"]
        edit = [*studio, "edit", str(PORTRAIT), "--set", "smile=.6", "--set", "headYaw=4", "--size", "512"]
        clip = [*studio, "animate", str(PORTRAIT), "--speech", str(sound), "--size", "512", "--fps", "25", "--json"]
        edits = list(_measured([*edit, "--out", str(folder / "edit.png")], repeat))
        clips = list(_measured([*clip, "--out", str(folder / "clip.mp4")], repeat))
        engines = list(_measured([sys.executable, "-c", _ENGINES, str(PORTRAIT)], repeat))
        new = _command([sys.executable, "-c", _ENGINES, str(PORTRAIT)], {"NUMBA_CACHE_DIR": str(folder / "loops")})
    stages = [json.loads(one.said)["seconds"] for one in clips]
    ready, first, next_one = (median(json.loads(one.said)[k] for one in engines) for k in range(3))
    return {
        "machine": f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}",
        "others_busy_cores": round(os.getloadavg()[0], 1) if hasattr(os, "getloadavg") else None,
        "repeated": repeat,
        "edit_seconds": _median(one.clock for one in edits),
        "edit_processor_seconds": _median(one.processor for one in edits),
        "clip_per_second_of_sound": _median(one.clock / SPOKEN_SECONDS for one in clips),
        "clip_processor_per_second_of_sound": _median(one.processor / SPOKEN_SECONDS for one in clips),
        "clip_stages_seconds": {stage: _median(s[stage] for s in stages) for stage in stages[0]},
        "engines_ready_seconds": round(ready, 3),
        "first_portrait_seconds": round(first, 3),
        "next_portrait_seconds": round(next_one, 3),
        "first_portrait_of_an_installation_seconds": round(json.loads(new.said)[1], 1),
        "promised": PROMISED,
    }


def _spoken(out: Path) -> Path:
    """Write the speech as often as it takes, without a pause between."""
    with wave.open(str(SPEECH)) as source:
        form, whole = source.getparams(), source.readframes(source.getnframes())
    length = round(SPOKEN_SECONDS * form.framerate) * form.sampwidth * form.nchannels
    with wave.open(str(out), "wb") as target:
        target.setparams(form)
        target.writeframes((whole * (length // len(whole) + 1))[:length])
    return out


def _measured(command: Sequence[str], repeat: int) -> Iterator[Spent]:
    """Run a command once for the disk's sake, and yield what it takes from then on."""
    _command(command)
    for _ in range(repeat):
        yield _command(command)


def _command(command: Sequence[str], variables: Mapping[str, str] | None = None) -> Spent:
    """Run one command to its end.

    Raises:
        EngineError: it failed.
    """
    with tempfile.TemporaryFile("w+") as said, tempfile.TemporaryFile("w+") as wrong:
        start = time.perf_counter()
        process = subprocess.Popen(
            command, cwd=ROOT, env={**os.environ, **(variables or {})}, stdout=said, stderr=wrong, text=True
        )
        used = _wait(process)
        clock = time.perf_counter() - start
        for file in (said, wrong):
            file.seek(0)
        if process.returncode != 0:
            raise EngineError(f"The measured command failed: {wrong.read()[-300:]}.", "Run it by itself.")
        return Spent(clock, used, said.read())


def _wait(process: subprocess.Popen[str]) -> float:
    """Wait for the end of a process; return the seconds of the processor that it and its children used."""
    if sys.platform != "win32":
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        return usage.ru_utime + usage.ru_stime
    used, root = 0.0, psutil.Process(process.pid)
    while process.poll() is None:
        with contextlib.suppress(psutil.Error):  # it, or a child, has just ended
            used = sum(sum(one.cpu_times()[:2]) for one in [root, *root.children(recursive=True)])
        time.sleep(_LOOK_SECONDS)
    return used


def _median(values: Iterator[float]) -> float:
    return round(median(values), 3)


if __name__ == "__main__":
    print(json.dumps(run(), indent=2))
