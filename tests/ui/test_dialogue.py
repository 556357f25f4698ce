"""People talk with each other, from the window."""

from __future__ import annotations

from tests.ui.conftest import PHONE
from tests.ui.test_story import shoot


def test_two_photos_talk_survive_a_refresh_and_come_back_from_the_library(visit, own_portrait, speech):
    v = visit(PHONE)
    v.open("animate")
    page = v.page
    page.click("#animate-dialogue button.label-wrap")
    page.click("#animate-dialogue-make")
    v.toast("There is no photo yet")
    page.set_input_files("#animate-dialogue-photos input[type=file]", [str(own_portrait)])
    page.wait_for_selector("#animate-dialogue-photos .file-preview")
    page.set_input_files("#animate-dialogue-sounds input[type=file]", [str(speech)])
    page.wait_for_selector("#animate-dialogue-sounds .file-preview")
    page.fill("#animate-dialogue-names input, #animate-dialogue-names textarea", "Anna, Ben")
    page.fill("#animate-dialogue-turns textarea", "Anna 0:00 0:00.8\nCarl 0:00.5 0:01")
    page.click("#animate-dialogue-make")
    v.toast("Carl")
    page.fill("#animate-dialogue-turns textarea", "Anna 0:00 0:00.8\nBen 0:00.8 0:02")
    page.click("#animate-dialogue-make")
    v.toast("one face only")
    page.click("#animate-dialogue-photos [aria-label='Clear'], #animate-dialogue-photos [aria-label='common.clear']")
    page.set_input_files("#animate-dialogue-photos input[type=file]", [str(own_portrait), str(own_portrait)])
    page.wait_for_function("document.querySelectorAll('#animate-dialogue-photos .file-preview tr').length === 2")
    page.wait_for_function("sessionStorage['likeness-studio-draft-animate']?.includes('Ben 0:00.8')")
    v.settle()
    page.locator("#animate-dialogue").scroll_into_view_if_needed()
    shoot(v, "dialogue-phone")
    v.reload()
    page.wait_for_function("document.querySelectorAll('#animate-dialogue-photos .file-preview tr').length === 2")
    page.wait_for_function("document.querySelector('#animate-dialogue-turns textarea').value.includes('Ben')")
    page.click("#animate-dialogue-make")
    v.done("#animate-progress")
    page.wait_for_function("document.querySelector('#animate-video video')?.duration > 1.5")

    v.tab("library")
    page.click("#library-grid .card >> nth=0")
    page.wait_for_selector("#library-about:has-text('Dialogue')")
    page.click("#library-reuse")
    page.wait_for_selector("#tab-animate-button[aria-selected=true]")
    page.wait_for_function("document.querySelector('#animate-dialogue-turns textarea').value.startsWith('Anna')")
