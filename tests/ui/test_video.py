"""The Video tab: pictures to choose from, a clip that is drawn and plays, and a form that survives a refresh."""

from __future__ import annotations

import pytest

from tests.ui.conftest import PHONE
from tests.ui.test_story import assert_plays_with_sound, shoot

PROMPT = "a photo of a smiling young woman with long brown hair, blue background"


def test_a_drawn_person_speaks(visit, speech):
    v = visit()
    page = v.page
    v.open("video")
    page.wait_for_selector("#video-strip .card[data-id=anew][aria-pressed=true]")
    page.fill("#video-prompt textarea", PROMPT)
    page.click("#video-four")
    page.wait_for_selector("#video-drawn .job, #video-strip .card:not([data-id=anew])[aria-pressed=true]")
    page.wait_for_selector("#video-strip .card:not([data-id=anew])[aria-pressed=true]")
    first = page.get_attribute("#video-strip .card[aria-pressed=true]", "data-id")
    page.click("#video-strip .card:not([data-id=anew]) >> nth=1")
    page.wait_for_function(
        "old => document.querySelector('#video-strip .card[aria-pressed=true]').dataset.id !== old", arg=first
    )
    page.click(f"#video-strip .card[data-id='{first}']")
    page.wait_for_selector(f"#video-strip .card[data-id='{first}'][aria-pressed=true]")
    page.set_input_files("#video-sound input[type=file]", str(speech))
    page.wait_for_selector("#video-cost:has-text('50 frames')")
    page.wait_for_function("id => sessionStorage['likeness-studio-draft-video']?.includes(id)", arg=first)
    v.reload()
    page.wait_for_selector("#tab-video-button[aria-selected=true]")
    page.wait_for_selector(f"#video-strip .card[data-id='{first}'][aria-pressed=true]")
    page.wait_for_selector("#video-sound audio", state="attached")
    assert page.input_value("#video-prompt textarea") == PROMPT
    page.click("#video-make")
    page.wait_for_selector("#video-progress .job, #video-progress .notice.good")
    v.done("#video-progress")
    assert_plays_with_sound(page, "#video-video video")
    shoot(v, "video-1-clip")

    # the Library knows how it was made, and goes back to the form
    v.tab("library")
    page.click("#library-grid .card:has(.corner) >> nth=0")
    page.wait_for_selector("#library-about:has-text('diffusion-clips')")
    page.click("#library-reuse")
    page.wait_for_selector("#tab-video-button[aria-selected=true]")
    page.wait_for_selector(f"#video-strip .card[data-id='{first}'][aria-pressed=true]")


@pytest.mark.parametrize("missing", ["speech", "words"])
def test_what_is_missing_is_said(visit, speech, missing):
    v = visit(PHONE)
    v.open("video")
    v.page.wait_for_selector("#video-strip .card")
    if missing == "words":
        v.page.fill("#video-prompt textarea", " ")
        v.page.set_input_files("#video-sound input[type=file]", str(speech))
        v.page.wait_for_selector("#video-sound audio", state="attached")
    v.page.click("#video-make")
    v.toast(f"no {missing} yet")
    shoot(v, f"video-2-{missing}-phone")
