"""People talk with each other, from the window."""

from __future__ import annotations

from tests.ui.conftest import PHONE
from tests.ui.test_story import shoot


def test_two_photos_talk_survive_a_refresh_and_come_back_from_the_library(visit, portrait, speech):
    v = visit(PHONE)
    v.open("animate")
    page = v.page
    page.click("#animate-dialogue button.label-wrap")
    page.click("#animate-dialogue-make")
    v.toast("There is no photo yet")
    page.set_input_files("#animate-dialogue-photos input[type=file]", [str(portrait)])
    page.wait_for_selector("#animate-dialogue-photos :text('portrait')")
    page.set_input_files("#animate-dialogue-sounds input[type=file]", str(speech))
    page.wait_for_selector("#animate-dialogue-sounds :text('speech')")
    page.fill("#animate-dialogue-names input, #animate-dialogue-names textarea", "Anna, Ben")
    page.click("#animate-dialogue-make")
    v.toast("it is not said who speaks when")
    page.fill("#animate-dialogue-turns textarea", "Anna 0:00 0:00.5\nCarl 0:00.5 0:01")
    page.click("#animate-dialogue-make")
    v.toast("Carl")
    page.fill("#animate-dialogue-turns textarea", "Anna 0:00 0:00.5\nBen 0:00.5 0:01")
    page.click("#animate-dialogue-make")
    v.toast("one face only")
    shoot(v, "dialogue-phone")
