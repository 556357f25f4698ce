"""Sorting a heap of photos in a real browser: drop, name, answer, undo, take over; then the set, captions, consent."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.patience import PATIENCE_SECONDS
from tests.ui.conftest import PHONE, SCREENSHOTS


@pytest.fixture(scope="module")
def heap(tmp_path_factory) -> list[Path]:
    """Five pictures of one rendered person, one of them twice, one of a second person, and one without anybody."""
    from PIL import Image

    from studio.factory.preview_base.drawing import render
    from studio.factory.preview_base.people import sample_person, sample_picture

    root = tmp_path_factory.mktemp("heap")
    rng = np.random.default_rng(11)
    one = sample_person(rng, sex="woman", skin="pale", hair_color="black", age="young")
    other = sample_person(rng, sex="man", skin="dark", hair_color="gray", age="old", beard="yes")
    for i in range(5):
        fixed = {"expression": "smiling" if i % 2 else "neutral", "direction": "straight", "glasses": "no"}
        Image.fromarray(render(sample_picture(rng, one, background="blue", **fixed), 384)[0]).save(root / f"one{i}.png")
    Image.open(root / "one0.png").resize((280, 280)).save(root / "one0 small.jpg", quality=70)
    Image.fromarray(render(sample_picture(rng, other, direction="straight"), 384)[0]).save(root / "other.png")
    Image.new("RGB", (300, 200), (90, 140, 200)).save(root / "sky.png")
    return sorted(root.iterdir())


def picture_of(page, name: str) -> None:
    SCREENSHOTS.mkdir(exist_ok=True)
    page.screenshot(path=SCREENSHOTS / f"curation-{name}.png")


def person_page(v, name: str, fold: str):
    """Open a person's page with one of its folds."""
    v.open()
    v.page.click(f"#people-list .card:has-text('{name}')")
    v.page.wait_for_selector(f"#person-summary:has-text('{name}')")
    v.page.click(f"{fold} button.label-wrap")
    return v.page


def drop(v, files) -> None:
    v.open()
    v.page.click("#people-list [data-id='heap:new']")
    v.page.wait_for_selector("#heap-files", state="visible")
    v.page.set_input_files("#heap-files input[type=file]", [str(f) for f in files])
    v.page.wait_for_selector("#heap-files .file-preview")
    v.page.click("#heap-start")
    v.page.wait_for_selector("#heap-people .who")


def test_a_heap_becomes_a_person_with_a_training_set(visit, heap) -> None:
    v = visit()
    drop(v, heap)
    page = v.page
    kept = int(page.inner_text("#heap-head .tally b >> nth=0"))
    assert kept >= 4  # of five; two renders may come out nearly the same
    assert page.locator("#heap-photos .twins button").count() >= 1
    assert "No face was found" in page.inner_text("#heap-photos .unusable")
    picture_of(page, "heap")

    page.click("#heap-confirm")
    v.toast("no name")
    page.locator("#heap-photos .shot.keep .card").first.click()
    page.wait_for_selector(f"#heap-confirm:has-text('Take over {kept - 1}')")
    page.click("#heap-undo")
    page.wait_for_selector(f"#heap-confirm:has-text('Take over {kept}')")
    page.fill("#heap-people .who.wanted input", "Mia")
    page.keyboard.press("Enter")
    page.wait_for_selector("#heap-undo:has-text('Mia')")
    page.click("#heap-confirm")
    page.wait_for_selector("#person-summary:has-text('Mia')")
    page.wait_for_selector(f"#person-summary:has-text('{kept} photos')")

    page.click("#person-set button.label-wrap")
    page.wait_for_selector(f"#set-photos .card >> nth={kept - 1}")
    assert "Training needs the consent of Mia" in page.inner_text("#set-state")
    page.wait_for_selector("#set-captions :text('a photo of sks person') >> visible=true >> nth=0")
    assert "blue background" in page.inner_text("#set-captions")
    picture_of(page, "set")
    page.click("#set-policies label:has-text('Background')")
    page.wait_for_selector("#set-undo:has-text('leave out')")
    page.wait_for_function("!document.querySelector('#set-captions').innerText.includes('blue background')")
    page.locator("#set-photos .card").first.click()
    page.wait_for_selector("#set-photos .card[aria-pressed=false]")
    page.click("#set-undo")
    page.wait_for_function("!document.querySelector('#set-photos .card[aria-pressed=false]')")
    page.fill("#set-trigger textarea, #set-trigger input", "zyx")
    page.keyboard.press("Enter")
    page.wait_for_selector("#set-captions :text('a photo of zyx person') >> visible=true >> nth=0")


def test_a_caption_is_written_by_hand(visit, with_person, heap) -> None:
    with_person("Nora", [f for f in heap if f.stem in ("one0", "one1")], "train")
    page = person_page(v := visit(), "Nora", "#person-set")
    page.wait_for_selector("#set-captions :text('a photo of sks person') >> visible=true >> nth=0")
    v.settle()  # a table that is filled anew ends the writing in it
    page.locator("#set-captions :text('a photo of') >> visible=true").first.dblclick()
    page.fill("#set-captions [aria-label='Edit cell']", "sks person at the sea")
    page.keyboard.press("Enter")
    page.wait_for_selector("#set-undo:has-text('Caption')")
    page.wait_for_selector("#set-captions :text('at the sea') >> visible=true >> nth=0")


def test_the_rig_draws_variants_that_are_seen_and_thrown_out(visit, with_person, heap) -> None:
    with_person("Vera", [f for f in heap if f.stem in ("one0", "one1")], "train")
    page = person_page(v := visit(), "Vera", "#person-variants")
    page.wait_for_selector("#variants-state:has-text('No variants yet')")
    page.fill("#variants-number input[type=number]", "3")
    page.keyboard.press("Enter")
    page.click("#variants-draw")
    v.toast("being drawn")
    page.wait_for_selector("#variants-cards .card >> nth=5", timeout=PATIENCE_SECONDS * 1000)
    picture_of(page, "variants")
    assert "6 of 6" in page.inner_text("#variants-state")
    page.locator("#variants-cards .card").first.click()
    page.wait_for_selector("#variants-cards .card[aria-pressed=false]")
    page.wait_for_selector("#variants-state:has-text('5 of 6')")


def test_the_heap_on_a_phone_and_discarded(visit, heap) -> None:
    v = visit(PHONE)
    drop(v, heap[-3:])
    page = v.page
    page.wait_for_selector("#heap-photos .shot, #heap-photos .unusable")
    picture_of(page, "phone")
    wide = page.evaluate("document.querySelector('#heap-photos').getBoundingClientRect().width")
    assert wide <= 390
    page.click("#heap-discard")
    page.wait_for_selector("#heap-sure .notice:has-text('with your answers')")
    page.click("#heap-sure [data-act=leave]")
    page.wait_for_selector("#heap-sure .notice", state="hidden")
    assert page.locator("#heap-head h2").count() == 1, "nothing is gone yet"
    page.click("#heap-discard")
    page.click("#heap-sure [data-act=discard-now]")
    page.wait_for_selector("#heap-photos", state="hidden")
