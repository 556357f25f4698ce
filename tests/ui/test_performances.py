"""A clip is kept as layers in the window, edited, taken back, found again after a refresh, and made once more."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from studio.domain.performance_document import KINDS
from studio.errors import UserInputError
from studio.studio import ASSETS, Studio
from studio.ui.api.performances import PerformanceApi
from studio.ui.clips.layers import KIND_WORDS
from tests.ui.conftest import DESKTOP, PHONE
from tests.ui.test_story import shoot

WELCOME = (ASSETS / "speech" / "welcome.txt").read_text("utf-8").strip()


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
        for act, fields in (
            ("move_boundary", {"index": 1, "seconds": 0.5}),
            ("mend_word", {"index": 0, "text": "hello"}),
        ):
            with pytest.raises(UserInputError, match="Nothing is said"):
                edit(act, **fields)
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


@pytest.mark.parametrize(("viewport", "name"), [(DESKTOP, "desktop"), (PHONE, "phone")])
def test_a_word_is_mended_where_it_stands(visit, portrait, viewport, name):
    v = visit(viewport)
    v.open("animate")
    page = v.page
    page.set_input_files("#animate-upload input[type=file]", str(portrait))
    page.wait_for_selector("#animate-people [data-id=chosen]")
    page.set_input_files("#animate-sound input[type=file]", str(ASSETS / "speech" / "welcome.wav"))
    page.wait_for_selector("#animate-sound audio", state="attached")
    page.fill("#animate-transcript textarea, #animate-transcript input", WELCOME)
    page.click("#animate-performance button.label-wrap")
    page.click("#layers-keep-form")
    word = page.locator("#layers-timeline [data-word='1']")
    word.wait_for()
    was, after = word.inner_text(), page.locator("#layers-timeline [data-word='2']").inner_text()
    sounds = page.locator("#layers-timeline .tl-phones").inner_text()
    word.dblclick()
    box = page.locator("#layers-timeline .tl-mend")
    box.fill("poppy seed")
    shoot(v, f"timeline-word-{name}")
    box.press("Escape")
    assert page.locator("#layers-timeline [data-word='1']").inner_text() == was
    page.locator("#layers-timeline [data-word='1']").focus()
    page.keyboard.press("Enter")
    box.fill("poppy seed")
    box.press("Enter")
    page.wait_for_selector("#layers-timeline [data-word='2']:text-is('seed')")
    assert page.locator("#layers-timeline [data-word='3']").inner_text() == after
    assert page.locator("#layers-timeline .tl-phones").inner_text() != sounds
    page.wait_for_selector("#layers-frame img")
    page.click("#layers-undo")
    page.wait_for_selector(f"#layers-timeline [data-word='1']:text-is('{was}')")


@pytest.mark.parametrize(("viewport", "name"), [(DESKTOP, "desktop"), (PHONE, "phone")])
def test_curves_lie_on_the_timeline_and_a_span_is_played_over_and_over(visit, portrait, viewport, name):
    v = visit(viewport)
    v.open("animate")
    page = v.page
    page.set_input_files("#animate-upload input[type=file]", str(portrait))
    page.wait_for_selector("#animate-people [data-id=chosen]")
    page.set_input_files("#animate-sound input[type=file]", str(ASSETS / "speech" / "welcome.wav"))
    page.wait_for_selector("#animate-sound audio", state="attached")
    page.click("#animate-performance button.label-wrap")
    page.click("#layers-keep-form")
    page.wait_for_selector("#layers-timeline .tl-wave svg")
    for control in ("Lip open / close", "Turn to their left"):
        page.click("#layers-curves input")
        page.fill("#layers-curves input", control)
        page.keyboard.press("Enter")
        page.wait_for_selector(f"#layers-timeline .tl-names :text('{control}')")
    page.keyboard.press("Escape")
    points = page.get_attribute("#layers-timeline polyline.tl-curve-0", "points").split()
    heights = [float(p.split(",")[1]) for p in points]
    assert len(points) > 100
    assert max(heights) - min(heights) > 8, "the jaw moves"
    # an edit draws both anew
    page.fill("#layers-seconds input", "1")
    page.fill("#layers-value input", "8")
    page.click("#layers-control input")
    page.fill("#layers-control input", "Turn to their left")
    page.keyboard.press("Enter")
    page.click("#layers-set")
    page.wait_for_function(
        "() => (document.querySelector('#layers-timeline polyline.tl-curve-1')?.getAttribute('points') ?? '')"
        ".split(' ').some((p) => Number(p.split(',')[1]) < 35)"
    )
    # a span in the middle, played
    wave = page.locator("#layers-timeline .tl-wave")
    wave.scroll_into_view_if_needed()
    width = wave.bounding_box()["width"]
    for share, press in ((0.2, "from"), (0.35, "to")):
        wave.click(position={"x": share * width, "y": 20})
        page.wait_for_function(
            "x => Math.abs(parseFloat(document.querySelector('#layers-timeline .tl-head').style.left) - x) < 1",
            arg=100 * share,
        )
        page.click(f"#layers-timeline [data-play={press}]")
    page.wait_for_selector("#layers-frame img")
    shoot(v, f"timeline-loop-{name}")
    page.evaluate("window.drawn = new Set(); window.moments = []")
    page.click("#layers-timeline [data-play=play]")
    page.wait_for_selector("#layers-timeline [data-play=play]:text-is('Stop')")
    page.wait_for_function(
        """() => {
          window.drawn.add(document.querySelector('#layers-frame img')?.src);
          window.moments.push(parseFloat(document.querySelector('#layers-timeline .tl-head').style.left));
          const back = window.moments.filter((at, i) => i && at < window.moments[i - 1] - 5).length;
          return window.drawn.size >= 4 && back >= 2;
        }"""
    )
    moments = page.evaluate("window.moments")
    assert min(moments) > 18
    assert max(moments) < 38
    page.click("#layers-timeline [data-play=play]")
    page.wait_for_selector("#layers-timeline [data-play=play]:text-is('Play')")
    page.click("#layers-timeline [data-play=all]")
    page.wait_for_selector("#layers-timeline .tl-span", state="hidden")
