"""A clip is kept as layers in the window, edited, taken back, found again after a refresh, and made once more."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from studio.domain.performance_document import KINDS
from studio.errors import UserInputError
from studio.studio import Studio
from studio.ui.api.performances import PerformanceApi
from studio.ui.clips.layers import KIND_WORDS
from tests.ui.conftest import DESKTOP, PHONE
from tests.ui.test_story import shoot


def test_every_kind_has_a_name() -> None:
    assert set(KIND_WORDS) == set(KINDS)


def kept(server):
    with Studio(server.data_dir) as studio:
        return studio.for_owner().performances.list()[0]


def test_programs_do_every_act_by_name(tmp_path):
    with Studio(tmp_path / "data") as studio:
        window = SimpleNamespace(studio=studio.for_owner())
        api = PerformanceApi(window, upload=None, source=None, file=None, job_row=None)
        api.create_performance("Hello", seconds=2.0)

        def edit(act, layer=None, **fields):
            return api.edit_performance("Hello", act, layer, fields)["document"]

        key = {"control": "smile", "seconds": 1.0}
        assert edit("set_layer", "idle", amount=0.5)["layers"][0]["amount"] == 0.5
        assert edit("add_layer", kind="keyframes")["layers"][1]["kind"] == "keyframes"
        assert edit("set_key", "keyframes", **key, value=0.4)["layers"][1]["keys"][0]["value"] == 0.4
        assert edit("remove_key", **key)["layers"][1]["keys"] == []
        assert edit("set_emotion", emotion="joy", seconds=1.0, strength=0.5)["emotions"]
        assert not edit("remove_emotion", emotion="joy", seconds=1.0)["emotions"]
        assert edit("undo")["emotions"]
        assert not edit("redo")["emotions"]
        assert len(edit("remove_layer", "keyframes")["layers"]) == 1
        assert api.edit_performance("Hello", "copy", fields={"name": "Twin"})["name"] == "Twin"
        assert api.edit_performance("Twin", "rename", fields={"name": "Other"})["name"] == "Other"
        assert api.edit_performance("Other", "delete")["name"] == "Other"
        assert [p["name"] for p in api.list_performances()] == ["Hello"]
        with pytest.raises(UserInputError, match="do not fit set_key"):
            edit("set_key", control="smile")
        with pytest.raises(UserInputError, match="layer is missing"):
            edit("remove_layer")


@pytest.mark.parametrize(("viewport", "name"), [(DESKTOP, "desktop"), (PHONE, "phone")])
def test_a_clip_becomes_layers_and_a_clip_again(visit, server, portrait, speech, viewport, name):
    v = visit(viewport)
    v.open("animate")
    page = v.page
    page.set_input_files("#animate-upload input[type=file]", str(portrait))
    page.wait_for_selector("#animate-people [data-id=chosen]")
    page.set_input_files("#animate-sound input[type=file]", str(speech))
    page.wait_for_selector("#animate-sound audio, #animate-sound .waveform-container, #animate-sound [data-testid]")
    page.click("#animate-performance button.label-wrap")
    page.click("#layers-keep-form")
    v.toast("Kept as")
    page.wait_for_selector("#layers-list label:has-text('Speech · 100 %')")
    page.fill("#layers-amount input[type=number]", "0.6")
    page.keyboard.press("Tab")
    page.wait_for_selector("#layers-list label:has-text('Speech · 60 %')")
    page.fill("#layers-seconds input", "0.5")
    page.fill("#layers-value input", "0.8")
    page.click("#layers-set")
    page.wait_for_selector("#layers-keys td:has-text('Smile')")
    page.wait_for_selector("#layers-list label:has-text('Keyframes')")
    page.click("#layers-regions label:has-text('Head')")
    page.wait_for_selector("#layers-list label:has-text('mouth, eyes, brows, gaze')")
    page.click("#layers-undo")
    page.wait_for_selector("#layers-list label:has-text('Keyframes · 100 %'):not(:has-text('gaze'))")
    page.wait_for_selector("#layers-redo:not([disabled])")
    page.click("#layers-redo")
    page.wait_for_selector("#layers-list label:has-text('mouth, eyes, brows, gaze')")
    page.fill("#layers-scrub input[type=number]", "0.48")
    page.keyboard.press("Tab")
    page.wait_for_selector("#layers-frame img")
    shoot(v, f"layers-{name}")
    made = kept(server)
    assert [x.kind for x in made.document.layers] == ["speech", "keyframes"]
    assert made.document.layers[0].amount == 0.6
    page.wait_for_function("id => sessionStorage['likeness-studio-draft-animate']?.includes(id)", arg=made.id)
    v.reload()
    page.wait_for_selector("#layers-list label:has-text('Speech · 60 %')")
    page.wait_for_selector("#animate-people [data-id=chosen]")
    page.click("#layers-keys [data-act=drop-key]")
    page.wait_for_selector("#layers-keys:has-text('None yet')")
    page.click("#layers-undo")
    page.wait_for_selector("#layers-keys td:has-text('Smile')")
    page.click("#animate-make")
    v.done("#animate-progress")
    page.wait_for_function("document.querySelector('#animate-video video')?.duration > 1.8")
    page.click("#layers-keep-clip")
    v.toast("Kept as")
    assert kept(server).document == made.document
    page.click("#layers-delete")
    v.toast("was deleted")


@pytest.mark.parametrize(("viewport", "name"), [(DESKTOP, "desktop"), (PHONE, "phone")])
def test_a_border_is_dragged_and_the_mouth_changes(visit, server, portrait, speech, viewport, name):
    v = visit(viewport)
    v.open("animate")
    page = v.page
    page.set_input_files("#animate-upload input[type=file]", str(portrait))
    page.wait_for_selector("#animate-people [data-id=chosen]")
    page.set_input_files("#animate-sound input[type=file]", str(speech))
    page.wait_for_selector("#animate-sound audio", state="attached")
    page.click("#animate-performance button.label-wrap")
    page.click("#layers-keep-form")
    page.wait_for_selector("#layers-timeline .tl-phones span")
    edges = page.locator("#layers-timeline .tl-edge")
    assert edges.count() >= 3
    # a moment inside the second sound that is said, drawn
    edge = edges.nth(2)
    edge.scroll_into_view_if_needed()
    index, before = int(edge.get_attribute("data-index")), float(edge.get_attribute("data-seconds"))
    inner, wave = (page.locator(f"#layers-timeline {part}") for part in (".tl-inner", ".tl-wave"))
    x = edge.bounding_box()["x"] + 7 - inner.bounding_box()["x"]
    wave.click(position={"x": max(x - 3, 1), "y": 20})
    page.wait_for_selector("#layers-frame img")
    first = page.get_attribute("#layers-frame img", "src")
    at = float(page.inner_text("#layers-timeline .tl-now").split()[0])
    assert abs(at - before) < 0.2
    shoot(v, f"timeline-{name}")
    # the border goes to the left, over the moment
    edge = page.locator(f"#layers-timeline .tl-edge[data-index='{index}']")
    edge.hover()  # scrolls it into sight
    box, width = edge.bounding_box(), inner.bounding_box()["width"]
    y = box["y"] + box["height"] / 2
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] / 2 - 0.04 * width, y, steps=4)
    page.mouse.up()
    page.wait_for_function(
        "([i, was]) => Math.abs(document.querySelector(`#layers-timeline .tl-edge[data-index='${i}']`)"
        ".dataset.seconds - was) > 0.001",
        arg=[index, before],
    )
    page.wait_for_function("was => document.querySelector('#layers-frame img').src !== was", arg=first)
    page.wait_for_selector("#layers-undo:has-text('from')")
    # by keys, too; and back
    edge = page.locator(f"#layers-timeline .tl-edge[data-index='{index}']")
    moved = float(edge.get_attribute("data-seconds"))
    edge.focus()
    page.keyboard.press("ArrowRight")
    page.wait_for_function(
        "([i, was]) => document.querySelector(`#layers-timeline .tl-edge[data-index='${i}']`).dataset.seconds > was",
        arg=[index, moved + 0.005],
    )
    page.click("#layers-undo")
    page.click("#layers-timeline [data-zoom='2']")
    page.wait_for_function(
        "document.querySelector('#layers-timeline .tl-inner').clientWidth > "
        "1.9 * document.querySelector('#layers-timeline .tl-scroll').clientWidth"
    )
