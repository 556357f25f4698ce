"""A camera and a microphone move the portrait in the window; what a browser plays for them is made by the rig."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator

import numpy as np
import pytest

from benchmarks.driver_clip import drawn, known_motion
from benchmarks.live import CHROMIUM_FLAGS, write_camera
from studio.engines import Engines
from studio.engines.media.pictures import png_bytes
from studio.engines.tracking.following import FaceFollower
from studio.engines.vision.analyser import VisionAnalyser
from studio.services.clips.live import POINTS
from studio.services.portraits.prepared import Portraits
from studio.studio import ASSETS
from tests.chromium import find
from tests.patience import PATIENCE_SECONDS
from tests.ui.conftest import DESKTOP, HEARD, PHONE, Visit
from tests.ui.test_gate import ask
from tests.ui.test_story import shoot

HEAD = np.dtype([("seconds", "<f8"), ("found", "u1"), ("rests", "u1"), ("spare", "V6")])
SAYS = "#animate-live .live-says"


@pytest.fixture(scope="module")
def frames(portrait) -> list[np.ndarray]:
    moved = Portraits(Engines(ASSETS)).prepare(portrait, face_index=0, size=320).portrait
    return list(drawn(moved, known_motion(15.0)))


@pytest.fixture
def filmed(server, chromium, tmp_path) -> Iterator[object]:
    """Return a function that opens a browser whose camera and microphone play what it is given."""
    opened = []

    def start(pictures, viewport=DESKTOP, *, refused=False) -> Visit:
        camera = write_camera(tmp_path / f"camera{len(opened)}.mjpeg", pictures)
        flags = [flag for flag in CHROMIUM_FLAGS if not (refused and "fake-ui" in flag)]
        flags += [f"--use-file-for-fake-video-capture={camera}"]
        flags += [f"--use-file-for-fake-audio-capture={ASSETS / 'speech' / 'welcome.wav'}"]
        browser = chromium.browser_type.launch(executable_path=str(find()), args=flags)
        context = browser.new_context(viewport=viewport, has_touch=viewport == PHONE)
        context.set_default_timeout(PATIENCE_SECONDS * 1000)
        context.add_init_script(HEARD)
        visit = Visit(context.new_page(), server.url)
        opened.append((browser, visit))
        visit.page.on("console", lambda m: visit.troubles.append(m.text) if m.type == "error" else None)
        visit.page.on("pageerror", lambda e: visit.troubles.append(str(e)))
        visit.page.on("request", lambda r: _note(visit, r, server.url))
        return visit

    yield start
    for browser, _ in opened:
        browser.close()
    assert not [(v.troubles, v.outside) for _, v in opened if v.troubles or v.outside]


def _note(visit: Visit, request, ours: str) -> None:
    """Remember what goes elsewhere, and what is no list of points but might be a picture of the camera."""
    if not request.url.startswith((ours, "data:", "blob:")):
        visit.outside.append(request.url)
    if request.url.endswith("/see"):
        body = request.post_data_buffer or b""
        at = 0
        while at < len(body):
            at += HEAD.itemsize + POINTS * 12 * int(np.frombuffer(body, HEAD, 1, at)[0]["found"])
        if at != len(body):
            visit.outside.append(f"{request.url} sends more than points")


def begin(visit: Visit, portrait, by: str) -> object:
    visit.page.goto(visit.url)
    visit.tab("animate")
    page = visit.page
    page.set_input_files("#animate-upload input[type=file]", str(portrait))
    page.wait_for_selector("#animate-people [data-id=chosen]")
    page.click("#animate-live button.label-wrap")
    page.click(f"#animate-live [data-live={by}]")
    return page


def pictures(page, count: int) -> None:
    page.wait_for_function("n => Number(document.querySelector('.live-figures').dataset.pictures ?? 0) >= n", arg=count)


def shown(page) -> np.ndarray:
    """Return what the portrait shows, small.  # (24, 24)"""
    values = page.evaluate(
        """() => { const c = new OffscreenCanvas(24, 24).getContext('2d');
        c.drawImage(document.querySelector('.live-stage canvas'), 0, 0, 24, 24);
        return [...c.getImageData(0, 0, 24, 24).data]; }"""
    )
    return np.asarray(values, float).reshape(24, 24, 4)[..., :3]


def test_the_camera_moves_the_portrait_and_the_take_becomes_a_clip(filmed, own_portrait, frames):
    v = filmed(frames)
    page = begin(v, own_portrait, "camera")
    pictures(page, 8)
    page.wait_for_function(f"document.querySelector('{SAYS}').textContent.includes('follows your face')")
    seen = []
    for _ in range(6):
        seen.append(shown(page))
        done = int(page.locator(".live-figures").get_attribute("data-pictures"))
        pictures(page, done + 3)
    assert max(np.abs(a - seen[0]).max() for a in seen) > 8, "the portrait moves"
    assert "pictures a second" in page.locator(".live-figures").text_content()
    assert "ms behind" in page.locator(".live-figures").text_content()
    page.click("#animate-live [data-live=rest]")
    page.wait_for_function(f"document.querySelector('{SAYS}').textContent.includes('face at rest')")
    page.locator("#animate-live").scroll_into_view_if_needed()
    page.screenshot(path=str(_place("live-camera-desktop")))
    page.click("#animate-live [data-live=keep]")
    page.wait_for_function(f"document.querySelector('{SAYS}').textContent.includes('is a performance now')")
    v.toast("Make the clip")
    page.wait_for_selector("#layers-list :text('Recorded motion')")
    assert page.evaluate("document.querySelector('.live-stage video').srcObject") is None, "the camera is let go"
    page.click("#animate-preview")
    page.wait_for_function("document.querySelector('#animate-video video')?.duration > 0.4")


def test_the_microphone_moves_the_mouth_on_a_phone_and_is_kept_as_a_speech(filmed, own_portrait, frames):
    v = filmed(frames, PHONE)
    page = begin(v, own_portrait, "microphone")
    pictures(page, 5)
    seen = []
    for _ in range(6):
        seen.append(shown(page))
        done = int(page.locator(".live-figures").get_attribute("data-pictures"))
        pictures(page, done + 2)
    assert max(np.abs(a - seen[0]).max() for a in seen) > 4, "the portrait moves"
    page.locator("#animate-live").scroll_into_view_if_needed()
    page.screenshot(path=str(_place("live-microphone-phone")))
    assert page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]
    page.click("#animate-live [data-live=keep]")
    page.wait_for_function(f"document.querySelector('{SAYS}').textContent.includes('is a performance now')")
    page.wait_for_selector("#layers-list :text('Speech')")


def test_a_face_that_goes_and_another_that_comes_are_said(filmed, own_portrait, frames):
    nobody = np.full_like(frames[0], 90)
    two = np.concatenate([frames[0], frames[0]], 1)
    alone = np.concatenate([nobody, frames[0]], 1)
    empty = np.concatenate([nobody, nobody], 1)
    v = filmed([*[empty] * 60, *[alone] * 60, *[two] * 200, *[empty] * 60])
    page = begin(v, own_portrait, "camera")
    for words in ("No face is seen yet", "follows your face", "2 faces are in the picture", "The face was lost"):
        page.wait_for_function("([s, w]) => document.querySelector(s).textContent.includes(w)", arg=[SAYS, words])
    page.click("#animate-live [data-live=stop]")
    page.wait_for_function(f"document.querySelector('{SAYS}').textContent.includes('nothing was kept')")
    page.wait_for_selector("#animate-live [data-live=camera]")


def test_a_camera_that_may_not_be_used_is_one_sentence(filmed, own_portrait, frames):
    v = filmed(frames, refused=True)
    page = begin(v, own_portrait, "camera")
    page.wait_for_function(f"document.querySelector('{SAYS}').textContent.includes('not allowed to use the camera')")
    page.wait_for_selector("#animate-live [data-live=camera]")
    shoot(v, "live-refused")


def test_without_a_portrait_the_camera_is_let_go_again(filmed, frames):
    v = filmed(frames)
    v.page.goto(v.url)
    v.tab("animate")
    v.page.click("#animate-live button.label-wrap")
    v.page.click("#animate-live [data-live=camera]")
    v.toast("There is no portrait yet")
    v.page.wait_for_function(f"document.querySelector('{SAYS}').textContent.includes('could not be opened')")
    assert v.page.evaluate("document.querySelector('.live-stage video').srcObject") is None


def test_the_page_finds_the_points_that_the_studio_finds(visit, frames):
    """The tracker of the page is written anew in another language: on the same pictures it must answer alike."""
    v = visit()
    v.open("animate")
    shots = frames[::6]
    found = v.page.evaluate(
        """async (pictures) => {
          const at = (name) => new URL(`live/files/${name}`, document.baseURI).href;
          const ort = await import(at('ort.wasm.min.mjs'));
          const { Tracker } = await import(at('tracker.js'));
          ort.env.wasm.numThreads = 1;
          ort.env.wasm.wasmPaths = { mjs: at('ort-wasm-simd-threaded.mjs'), wasm: at('ort-wasm-simd-threaded.wasm') };
          const model = async (name) => new Uint8Array(await (await fetch(at(name))).arrayBuffer());
          const tracker = await Tracker.open(ort, await model('detector.onnx'), await model('landmarks.onnx'));
          const answers = [];
          for (const picture of pictures) {
            const bitmap = await createImageBitmap(await (await fetch(picture)).blob());
            const pen = new OffscreenCanvas(bitmap.width, bitmap.height).getContext('2d');
            pen.drawImage(bitmap, 0, 0);
            const { points, found, faces } = await tracker.next(pen.getImageData(0, 0, bitmap.width, bitmap.height));
            answers.push({ found, faces, points: Array.from(points) });
          }
          return answers;
        }""",
        [f"data:image/png;base64,{base64.b64encode(png_bytes(shot)).decode()}" for shot in shots],
    )
    follower = FaceFollower(VisionAnalyser(ASSETS / "models"))
    for shot, answer in zip(shots, found, strict=True):
        ours = follower.next(shot).points
        theirs = np.array(answer["points"]).reshape(POINTS, 3)
        assert answer["found"]
        assert answer["faces"] == 1
        eyes = np.linalg.norm(ours[263, :2] - ours[33, :2])
        away = np.linalg.norm(theirs[:, :2] - ours[:, :2], axis=1) / eyes
        assert away.mean() < 0.004
        assert away.max() < 0.03
        assert np.abs(theirs[:, 2] - ours[:, 2]).mean() / eyes < 0.004


# -- what somebody else may send ---------------------------------------------------------------


def body(points: np.ndarray | None, seconds: float = 1.0) -> bytes:
    head = np.zeros(1, HEAD)
    head["seconds"], head["found"] = seconds, points is not None
    return head.tobytes() + (b"" if points is None else points.astype("<f4").tobytes())


@pytest.mark.parametrize("name", ["page.js", "ort-wasm-simd-threaded.wasm", "landmarks.onnx"])
def test_the_files_of_the_page_are_served(server, name):
    answer = ask(server.url, f"/live/files/{name}")
    assert answer.status == 200
    assert answer.body[:4] == b"\x1f\x8b\x08\x00" if name.endswith("wasm") else answer.body


@pytest.mark.parametrize("name", ["", "NOTICE", "..%2f..%2fstudio%2fcli.py", "%2e%2e/window.js", "page.js/x"])
def test_no_other_file_is_served(server, name):
    assert ask(server.url, f"/live/files/{name}").status in (404, 405)


@pytest.mark.parametrize(
    "sent",
    [
        b"\0" * 7,
        body(np.zeros((POINTS, 3))),
        body(np.full((POINTS, 3), np.nan)),
        body(np.full((POINTS, 3), 1e30)),
        body(np.random.default_rng(4).random((POINTS, 3)))[:-4],
        body(None, np.inf),
        body(None, -1.0),
        body(None) * 65,
    ],
)
def test_what_are_no_points_is_refused_before_anything_is_asked(server, sent):
    answer = ask(server.url, "/live/nothing/see", "POST", sent)
    assert answer.status == 400
    assert "no points of a face" in json.loads(answer.body)["message"]


def test_a_session_that_nobody_opened_is_none(server):
    for where, sent in (("see", body(None)), ("hear", b"\0\0" * 100)):
        answer = ask(server.url, f"/live/nothing/{where}", "POST", sent)
        assert answer.status == 404
        assert "not live any more" in json.loads(answer.body)["message"]
    assert ask(server.url, "/live/nothing/hear", "POST", b"\0").status == 400
    assert ask(server.url, "/live/nothing/see", "POST", b"\0" * 600_000).status == 400
    assert ask(server.url, "/live/nothing/see").status in (404, 405)


@pytest.mark.parametrize("seconds", ["", "x", "nan", "-1", "1e99"])
def test_a_moment_that_is_none_is_refused(server, seconds):
    assert ask(server.url, f"/live/moments/nothing?seconds={seconds}").status == 400
    assert ask(server.url, "/live/moments/nothing?seconds=1").status == 404


def test_another_sites_page_moves_nobody(server):
    answer = ask(server.url, "/live/nothing/see", "POST", body(None), Origin="https://evil.example")
    assert answer.status == 403


def _place(name: str):
    from tests.ui.conftest import SCREENSHOTS

    SCREENSHOTS.mkdir(exist_ok=True)
    return SCREENSHOTS / f"{name}.png"
