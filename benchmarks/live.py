"""A portrait that moves live: what one picture costs, and how many a second a browser gets, how far behind.

    python -m studio bench live
    python benchmarks/live.py --seconds 20

A clip whose motion is known (a portrait moved by the rig) is the camera. First its points go through the service
alone, as a page would send them: milliseconds of the processor for reading a face, and for drawing and encoding a
picture of 384 pixels. Then the clip is the camera of a real Chromium on a real window, on this machine: browser and
studio share its processors. What the page itself shows is read off: pictures a second, and milliseconds from the
camera's picture to the portrait's.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.driver_clip import drawn, known_motion
from benchmarks.first_page import serving, wait_for
from studio.engines import Engines
from studio.engines.base import Image
from studio.engines.tracking.following import FaceFollower
from studio.engines.vision.analyser import VisionAnalyser
from studio.services.clips.live import LIVE_SIDE, SeenFrame
from studio.services.portraits.prepared import Portraits
from studio.services.sample import sample_portrait
from studio.services.sources import MediaSource
from studio.studio import ASSETS, Studio

ASKED_PER_SECOND = 15.0
CAMERA_SIDE = 480
CHROMIUM_FLAGS = [
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run",
    "--use-fake-ui-for-media-stream", "--use-fake-device-for-media-stream",
]  # fmt: skip
_WARM_UP_SECONDS = 4.0


def run(seconds: float = 12.0) -> dict[str, Any]:
    """Return milliseconds and pictures a second."""
    with tempfile.TemporaryDirectory() as folder:
        frames = camera_frames()
        figures = _alone(Path(folder), frames)
        camera = write_camera(Path(folder) / "camera.mjpeg", frames)
        return {**figures, **_in_browser(Path(folder), camera, seconds)}


def camera_frames(rate_hz: float = 30.0) -> list[Image]:
    """Return what the camera sees: the sample portrait, moved by the rig, over and over."""
    portrait = Portraits(Engines(ASSETS)).prepare(sample_portrait(), face_index=0, size=CAMERA_SIDE).portrait
    return list(drawn(portrait, known_motion(rate_hz)))


def write_camera(path: Path, frames: list[Image]) -> Path:
    """Write frames as the film that Chromium takes for a camera: JPEG pictures one behind the other."""
    from studio.engines.media.pictures import thumbnail_jpeg

    path.write_bytes(b"".join(thumbnail_jpeg(frame, max(frame.shape[:2]), 90) for frame in frames))
    return path


def _alone(folder: Path, frames: list[Image]) -> dict[str, Any]:
    follower = FaceFollower(VisionAnalyser(ASSETS / "models"))
    seen = [follower.next(frame) for frame in frames]
    took: list[tuple[float, float]] = []
    with Studio(folder / "alone") as studio:
        live = studio.for_owner().live
        handle = live.open(MediaSource.file(sample_portrait()), face_index=0)
        for i, one in enumerate(seen):
            before = time.process_time()
            picture = live.see(handle.token, [SeenFrame(i / 30, one.points if one else None)])
            took.append((1000 * (time.process_time() - before), picture.solved_ms))
        live.close(handle.token)
    cost = np.array(took[5:])
    return {
        "picture_cpu_ms": round(float(np.median(cost[:, 0])), 1),
        "picture_cpu_ms_95_of_100": round(float(np.percentile(cost[:, 0], 95)), 1),
        "of_it_reading_the_face_ms": round(float(np.median(cost[:, 1])), 1),
        "picture_pixels": LIVE_SIDE,
    }


def _in_browser(folder: Path, camera: Path, seconds: float) -> dict[str, Any]:
    from playwright.sync_api import sync_playwright

    from tests.chromium import find

    program = find()
    if program is None:
        return {"browser": "no Chromium: run `python -m tests.chromium`"}
    with serving(["app.py"], folder) as (process, port), sync_playwright() as playwright:
        wait_for(process, port)
        flags = [*CHROMIUM_FLAGS, f"--use-file-for-fake-video-capture={camera}"]
        browser = playwright.chromium.launch(executable_path=str(program), args=flags)
        page = browser.new_context(viewport={"width": 1280, "height": 800}).new_page()
        page.set_default_timeout(240_000)
        page.goto(f"http://127.0.0.1:{port}/")
        page.click("#tab-animate-button")
        page.set_input_files("#animate-upload input[type=file]", str(sample_portrait()))
        page.wait_for_selector("#animate-people [data-id=chosen]")
        page.click("#animate-live button.label-wrap")
        page.click("#animate-live [data-live=camera]")
        page.wait_for_selector("#animate-live .live-figures[data-pictures]", state="attached")
        page.wait_for_timeout(1000 * _WARM_UP_SECONDS)
        read = "() => ({...document.querySelector('#animate-live .live-figures').dataset})"
        first = page.evaluate(read)
        start = time.perf_counter()
        page.wait_for_timeout(1000 * seconds)
        last = page.evaluate(read)
        took = time.perf_counter() - start
        browser.close()
    return {
        "pictures_per_second": round((int(last["pictures"]) - int(first["pictures"])) / took, 1),
        "pictures_per_second_asked": ASKED_PER_SECOND,
        "tracked_per_second": round(float(last["tracked"]), 1),
        "behind_ms": round(float(last["behind"])),
        "of_it_studio_ms": round(float(last["drawn"]) + float(last["solved"])),
        "machine_load": round(os.getloadavg()[0], 1),
        "processors": os.cpu_count(),
    }


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=12.0)
    print(json.dumps(run(parser.parse_args().seconds), indent=2))
