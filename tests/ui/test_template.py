"""From another picture, the sliders stand as it looks, and are taken back and kept; so do action units."""

from __future__ import annotations

import pytest

from studio.domain.expression import ExpressionEdit
from studio.services.sources import MediaSource
from studio.studio import Studio

VALUE = "#control-{} input[type=number]"
STANDS = "([at, low]) => Number(document.querySelector(at)?.value) > low"


@pytest.fixture
def raised(portrait, tmp_path):
    """The sample with raised brows and a turned head."""
    with Studio(tmp_path / "made") as studio:
        expressions = studio.for_owner().expressions
        edit = ExpressionEdit({"eyebrow": 1.0, "headRoll": 10.0})
        expressions.edit_file(MediaSource.file(portrait), edit, tmp_path / "raised.png", size=384)
    return tmp_path / "raised.png"


def test_the_sliders_stand_as_another_picture_looks(visit, server, portrait, raised) -> None:
    v = visit()
    v.open("expression")
    v.page.set_input_files("#expression-upload input[type=file]", str(portrait))
    v.page.wait_for_selector("#expression-picture img")
    v.page.click("#expression-like button")
    v.page.set_input_files("#like-upload input[type=file]", str(raised))
    v.page.wait_for_selector("#like-message >> text=Copied to the sliders")
    v.page.wait_for_function("document.querySelector('#expression-set')?.textContent.includes(' more')")
    assert v.page.input_value(VALUE.format("headRoll")) == "0"
    v.page.click("#like-head input")
    v.page.wait_for_function(STANDS, arg=[VALUE.format("headRoll"), 5])
    v.page.click("#expression-undo")
    v.page.wait_for_function(f"document.querySelector('{VALUE.format('headRoll')}').value === '0'")
    v.page.click("#expression-redo")
    v.page.wait_for_function(STANDS, arg=[VALUE.format("headRoll"), 5])
    v.page.click("#expression-save")
    v.toast("is in the Library")
    with Studio(server.data_dir) as studio:
        library = studio.for_owner().library
        kept = next(r for r in library.page(kind="image").renders if "template" in r.inputs)
        assert kept.recipe["request"]["copied"]["head"] is True
        assert kept.recipe["request"]["values"]["browInnerUp"] > 0.2
        assert set(library.inputs(kept)) == {"portrait", "template"}


def test_action_units_are_another_hand_on_the_weights(visit, portrait) -> None:
    v = visit()
    v.open("expression")
    v.page.set_input_files("#expression-upload input[type=file]", str(portrait))
    v.page.wait_for_selector("#expression-picture img")
    v.page.click("#expression-units button")
    v.page.locator("#unit-AU27 input[type=number]").fill("2.5")
    v.page.keyboard.press("Enter")
    v.page.wait_for_function("document.querySelector('#unit-AU26 input[type=number]').value === '5'")
    v.page.wait_for_function("document.querySelector('#expression-set')?.textContent.includes('Jaw open +0.75')")
    v.page.click("#expression-all button")
    assert v.page.input_value(VALUE.format("jawOpen")) == "0.75"
    v.page.locator(VALUE.format("jawOpen")).fill("0.25")
    v.page.keyboard.press("Enter")
    v.page.wait_for_function("document.querySelector('#unit-AU26 input[type=number]').value === '2.5'")
    assert v.page.input_value("#unit-AU27 input[type=number]") == "0"


def test_the_api_copies_and_keeps_an_expression(server, portrait, raised) -> None:
    from gradio_client import Client, handle_file

    client = Client(server.url, verbose=False)
    try:
        face, template = {"file": handle_file(str(portrait))}, {"file": handle_file(str(raised))}
        made = client.predict(face, template, None, 1.0, True, True, api_name="/copy_expression")
        assert made["neutralise"] is True
        assert made["values"]["headRoll"] > 5
        kept = client.predict(face, made["values"], True, "Copied", template, api_name="/save_expression")
        assert set(kept["inputs"]) == {"portrait", "template"}
        read = client.predict(template, face, None, None, api_name="/action_units")
        assert read["units"]["AU1"] > 1
    finally:
        client.close()
