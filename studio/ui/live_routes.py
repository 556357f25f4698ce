"""Plain addresses of pictures that follow each other quickly: the fold "Live", with its scripts and models, and
moments of a performance that is played.

Gradio's own events wait in a queue and answer with a stream; here one request
is one picture. The gate stands before them as before everything. Nothing that
comes here is believed: sizes are looked at first, numbers must be numbers.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from pathlib import Path

import numpy as np
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, Response
from starlette.routing import Route

from studio.errors import ConsentMissingError, NotFoundError, StudioError, UserInputError
from studio.services.clips.live import HEARD_HZ, MOST_FRAMES, POINTS, BusyError, Live, LivePicture, SeenFrame
from studio.ui.clips.moments import Moments
from studio.ui.guard import sentence

ASSETS = Path(__file__).resolve().parents[2] / "assets"
_SCRIPT, _MODEL = "text/javascript", "application/octet-stream"
FILES = {
    "page.js": (ASSETS / "live" / "page.js", _SCRIPT),
    "worker.js": (ASSETS / "live" / "worker.js", _SCRIPT),
    "tracker.js": (ASSETS / "live" / "tracker.js", _SCRIPT),
    "listener.js": (ASSETS / "live" / "listener.js", _SCRIPT),
    "ort.wasm.min.mjs": (ASSETS / "live" / "ort.wasm.min.mjs", _SCRIPT),
    "ort-wasm-simd-threaded.mjs": (ASSETS / "live" / "ort-wasm-simd-threaded.mjs", _SCRIPT),
    "ort-wasm-simd-threaded.wasm": (ASSETS / "live" / "ort-wasm-simd-threaded.wasm.gz", "application/wasm"),
    "detector.onnx": (ASSETS / "models" / "face_detection_short_range.onnx", _MODEL),
    "landmarks.onnx": (ASSETS / "models" / "face_landmark_with_attention.onnx", _MODEL),
}
"""All that the page may fetch, by the name it fetches it under."""
_HEAD = np.dtype([("seconds", "<f8"), ("found", "u1"), ("rests", "u1"), ("spare", "V6")])
_POINT_BYTES = POINTS * 3 * 4
MOST_BYTES = MOST_FRAMES * (_HEAD.itemsize + _POINT_BYTES)
_FURTHEST_PIXELS = 100_000.0
_CLOSED_STATUS = {NotFoundError: 404, ConsentMissingError: 403, BusyError: 409}


def routes(live: Live, moments: Moments) -> list[Route]:
    """Return the routes, to be put before Gradio's own."""

    def see(token: str, body: bytes) -> LivePicture:
        return live.see(token, frames_of(body))

    def hear(token: str, body: bytes) -> LivePicture:
        return live.hear(token, samples_of(body))

    return [
        Route("/live/files/{name}", _file, methods=["GET"]),
        Route("/live/moments/{token}", _drawing(moments), methods=["GET"]),
        Route("/live/{token}/see", _answering(see), methods=["POST"]),
        Route("/live/{token}/hear", _answering(hear), methods=["POST"]),
    ]


def frames_of(body: bytes) -> list[SeenFrame]:
    """Return the frames of a request: each a head of 16 bytes, and 478 points of three float32 where there is a face.

    Raises:
        UserInputError: anything else.
    """
    frames: list[SeenFrame] = []
    at = 0
    while at < len(body):
        if len(body) - at < _HEAD.itemsize or len(frames) == MOST_FRAMES:
            raise _no_frames()
        head = np.frombuffer(body, _HEAD, 1, at)[0]
        at += _HEAD.itemsize
        points = None
        if head["found"]:
            if len(body) - at < _POINT_BYTES:
                raise _no_frames()
            points = np.frombuffer(body, "<f4", POINTS * 3, at).reshape(POINTS, 3).astype(np.float32)
            at += _POINT_BYTES
            if not (np.abs(points) < _FURTHEST_PIXELS).all() or np.ptp(points[:, :2], axis=0).min() < 1:
                raise _no_frames()
        if not 0 <= float(head["seconds"]) < 1e9:
            raise _no_frames()
        frames.append(SeenFrame(float(head["seconds"]), points, bool(head["rests"])))
    return frames


def samples_of(body: bytes) -> np.ndarray[tuple[int], np.dtype[np.float32]]:
    """Return the sound of a request: 16-bit samples at HEARD_HZ, at most ten seconds.

    Raises:
        UserInputError: anything else.
    """
    if len(body) % 2 or len(body) > 2 * 10 * HEARD_HZ:
        raise UserInputError("This is no sound of a microphone.", "Load the page anew.")
    return np.frombuffer(body, "<i2").astype(np.float32) / np.float32(32768)


def _no_frames() -> UserInputError:
    return UserInputError("These are no points of a face.", "Load the page anew.")


async def _file(request: Request) -> Response:
    found = FILES.get(request.path_params["name"])
    if found is None:
        return Response(status_code=404)
    path, kind = found
    headers = {"cache-control": "no-cache"}
    if path.suffix == ".gz":
        headers["content-encoding"] = "gzip"
    return FileResponse(path, media_type=kind, headers=headers)


def _answering(draw: Callable[[str, bytes], LivePicture]) -> Callable[[Request], Awaitable[Response]]:
    """Return an endpoint that draws in a thread, and says what goes wrong in a sentence."""

    async def answer(request: Request) -> Response:
        body = b""
        async for piece in request.stream():
            body += piece
            if len(body) > MOST_BYTES:
                return _refused(UserInputError("This is too much at once.", "Load the page anew."))
        try:
            picture = await asyncio.to_thread(draw, request.path_params["token"], body)
        except StudioError as error:
            return _refused(error)
        figures = {
            "solved_ms": round(picture.solved_ms, 1), "drawn_ms": round(picture.drawn_ms, 1),
            "kept_seconds": round(picture.kept_seconds, 1), "is_full": picture.is_full,
        }  # fmt: skip
        headers = {"cache-control": "no-store", "x-live": json.dumps(figures)}
        return Response(picture.jpeg, media_type="image/jpeg", headers=headers)

    return answer


def _drawing(moments: Moments) -> Callable[[Request], Awaitable[Response]]:
    """Return an endpoint that draws the moment `seconds` of a performance that a page shows."""

    async def answer(request: Request) -> Response:
        try:
            seconds = float(request.query_params.get("seconds", ""))
            if not 0 <= seconds < 1e9:
                raise ValueError
        except ValueError:
            return _refused(UserInputError("This moment is no number of seconds.", "Load the page anew."))
        try:
            jpeg = await asyncio.to_thread(moments.draw, request.path_params["token"], seconds)
        except StudioError as error:
            return _refused(error)
        return Response(jpeg, media_type="image/jpeg", headers={"cache-control": "no-store"})

    return answer


def _refused(error: StudioError) -> Response:
    message, hint = sentence(error)
    status = next((code for kind, code in _CLOSED_STATUS.items() if isinstance(error, kind)), 400)
    return JSONResponse({"message": message, "hint": hint}, status_code=status)
