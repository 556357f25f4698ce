"""A face in a video moves a portrait, from the window."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.driver_clip import known_motion, write_driver
from studio.engines import Engines
from studio.engines.media.pictures import write_png
from studio.services.portraits.prepared import Portraits
from studio.studio import ASSETS
from tests.ui.conftest import PHONE
from tests.ui.test_story import shoot


@pytest.fixture(scope="module")
def driver(tmp_path_factory, portrait):
    drawn = Portraits(Engines(ASSETS)).prepare(portrait, face_index=0, size=256).portrait
    return write_driver(tmp_path_factory.mktemp("drive") / "me-and-my-phone.mp4", drawn, known_motion(seconds=0.8))


def test_a_video_moves_a_portrait_and_survives_a_refresh(visit, portrait, driver):
    v = visit(PHONE)
    v.open("animate")
    page = v.page
    page.set_input_files("#animate-upload input[type=file]", str(portrait))
    page.wait_for_selector("#animate-people [data-id=chosen]")
    page.click("#animate-driven button.label-wrap")
    v.settle()
    page.set_input_files("#animate-driving input[type=file]", str(driver))
    page.wait_for_selector("#animate-driving :text('me-and-my-phone')")
    page.fill("#animate-neutral input, #animate-neutral textarea", "0,2")
    page.wait_for_function("sessionStorage['likeness-studio-draft-animate']?.includes('me-and-my-phone')")
    shoot(v, "driven-phone")
    v.reload()
    page.wait_for_selector("#animate-people [data-id=chosen]")
    page.wait_for_selector("#animate-driving :text('me-and-my-phone')", state="attached")
    page.click("#animate-make")
    v.done("#animate-progress")
    page.wait_for_selector("#animate-video video")
    page.wait_for_function("document.querySelector('#animate-video video')?.duration > 0.7")


def test_what_is_no_video_of_a_face_is_refused_in_words(visit, portrait, tmp_path):
    v = visit()
    v.open("animate")
    page = v.page
    page.set_input_files("#animate-upload input[type=file]", str(portrait))
    page.wait_for_selector("#animate-people [data-id=chosen]")
    page.click("#animate-driven button.label-wrap")
    still = tmp_path / "still.mp4"
    write_png(tmp_path / "still.png", np.full((300, 300, 3), 120, np.uint8))
    (tmp_path / "still.png").rename(still)
    page.set_input_files("#animate-driving input[type=file]", str(still))
    page.wait_for_selector("#animate-driving :text('still')")
    shoot(v, "driven-desktop")
    page.click("#animate-make")
    v.toast("is not a sound or video")


def test_a_video_says_something_else_and_its_clip_says_more(visit, driver, speech):
    v = visit(PHONE)
    v.open("animate")
    page = v.page
    page.set_input_files("#animate-sound input[type=file]", str(speech))
    page.wait_for_selector("#animate-sound audio", state="attached")
    page.click("#animate-dub button.label-wrap")
    page.click("#animate-dub-make")
    v.toast("There is no video yet")
    page.set_input_files("#animate-dub-clip input[type=file]", str(driver))
    page.wait_for_selector("#animate-dub-clip :text('me-and-my-phone')")
    page.wait_for_function("sessionStorage['likeness-studio-draft-animate']?.includes('me-and-my-phone')")
    page.locator("#animate-dub").scroll_into_view_if_needed()
    shoot(v, "dub-phone")
    v.reload()
    page.wait_for_selector("#animate-dub-clip :text('me-and-my-phone')", state="attached")
    page.wait_for_selector("#animate-sound audio", state="attached")
    page.click("#animate-dub-make")
    v.done("#animate-progress")
    page.wait_for_function("document.querySelector('#animate-video video')?.duration > 0.7")

    # the Library hands the clip back, and knows how it was made
    v.tab("library")
    page.click("#library-grid .card >> nth=0")
    page.wait_for_selector("#library-about:has-text('rig-dubbing')")
    page.click("#library-dub")
    page.wait_for_selector("#tab-animate-button[aria-selected=true]")
    page.wait_for_selector("#animate-dub-clip .file-preview, #animate-dub-clip table")
    v.tab("library")
    page.click("#library-reuse")
    page.wait_for_selector("#tab-animate-button[aria-selected=true]")
    page.wait_for_selector("#animate-dub-clip :text('me-and-my-phone'), #animate-dub-clip .file-preview")


def test_a_clip_in_the_heap_gives_photos(visit, driver):
    v = visit()
    v.open()
    page = v.page
    page.click("#people-list [data-id='heap:new']")
    page.wait_for_selector("#heap-files", state="visible")
    page.set_input_files("#heap-files input[type=file]", str(driver))
    page.wait_for_selector("#heap-files .file-preview")
    page.click("#heap-clips button")
    page.locator("#heap-frames input[type=number]").fill("3")
    page.keyboard.press("Enter")
    page.click("#heap-start")
    page.wait_for_selector("#heap-photos .shot")
    page.wait_for_selector("#heap-head :text('that were looked at')")
    assert "in me-and-my-phone.mp4" in page.inner_text("#heap-photos")
