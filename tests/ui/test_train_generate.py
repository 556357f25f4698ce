"""The story of a likeness in a real browser: photos, consent, training with curves, a checkpoint kept, a picture.

Everything runs on the preview base that comes with the studio; the run is as
short as a run can be, since what it learns is measured elsewhere.
"""

from __future__ import annotations

import re
import struct

import numpy as np
import pytest

from tests.patience import wait_until
from tests.ui.conftest import DESKTOP, PHONE
from tests.ui.test_story import STICKING_OUT, shoot

NAME = "Ruby"
SHORT = {"checkpoint_every": "6", "sample_every": "6", "prior_pictures": "2", "sample_steps": "4", "batch": "2"}
STEPS = 12


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    """Four renders of one invented person."""
    from PIL import Image

    from studio.factory.preview_base.drawing import render
    from studio.factory.preview_base.people import sample_person, sample_picture

    rng = np.random.default_rng(4)
    person = sample_person(rng, sex="woman", hair_color="red", skin="light", age="young", beard="no")
    folder = tmp_path_factory.mktemp("photos")
    paths = []
    for expression, background in (("neutral", "gray"), ("smiling", "blue"), ("neutral", "white"), ("sad", "green")):
        fixed = {"expression": expression, "background": background, "direction": "straight", "light": "front"}
        picture, _ = render(sample_picture(rng, person, glasses="no", **fixed), 512)
        paths.append(folder / f"ruby {background}.png")
        Image.fromarray(picture).save(paths[-1])
    return paths


def fill(page, selector: str, value: str) -> None:
    page.fill(f"{selector} :is(input, textarea)", value)
    page.keyboard.press("Tab")


def add_person(page, photos) -> None:
    page.click("#people-list [data-id=new]")
    page.wait_for_selector("#person-name", state="visible")
    fill(page, "#person-name", NAME)
    page.set_input_files("#person-photos input[type=file]", [str(p) for p in photos])
    page.wait_for_selector("#person-faces .hints, #person-faces .fine")
    page.click("#person-add")
    page.wait_for_selector(f"#person-summary:has-text('{NAME}')")


def agree(page) -> None:
    """Fill what Train's "Record consent" has opened: the fold stands open, what training needs is ticked."""
    page.wait_for_selector(f"#person-summary:has-text('{NAME}')")
    page.wait_for_selector("#page-agreed", state="visible")
    for scope in ("Train a model", "Generate new pictures"):
        page.wait_for_selector(f"#person-consent label:has-text('{scope}') input:checked")
    assert not page.is_checked("#person-consent label:has-text('Publish') input"), "nobody publishes by the way"
    fill(page, "#page-agreed", "Ruby herself")
    page.click("#consent-record")
    page.wait_for_selector("#person-summary:has-text('train a model')")


TOP_OF_PICTURE = "document.querySelector('#generate-result').offsetTop"


def draw(v, server) -> str:
    """Press Make, and return the new picture's render, as its job names it.

    What stands there before says nothing: a tab that is opened shows the newest picture of the studio when it comes.
    """
    from studio.studio import Studio

    def drawings():
        return [j for j in studio.for_owner().jobs.list() if j.kind == "generate"]

    page = v.page
    v.settle()
    stands = page.evaluate(TOP_OF_PICTURE)
    with Studio(server.data_dir) as studio:
        before = {j.id for j in drawings()}
        page.click("#generate-make")
        wait_until(lambda: [j for j in drawings() if j.id not in before])
        (job,) = [j.id for j in drawings() if j.id not in before]
        page.wait_for_selector(f"#generate-progress [data-job='{job}'], #generate-result figure:has(.badge)")
        assert page.evaluate(TOP_OF_PICTURE) == stands, "the card of the job pushes no picture away"
        wait_until(lambda: studio.for_owner().jobs.get(job).state == "done")
        render = str(studio.for_owner().jobs.get(job).outputs["render_ids"][0])
    page.wait_for_selector(f"#generate-result figure[data-render='{render}']:has(.badge)")
    return render


def shoot_everywhere(visit, v, tab: str, name: str, ready: str) -> None:
    """Leave pictures of a tab on desk and phone, light and dark; nothing may stick out sideways."""
    for screen, viewport in (("desktop", DESKTOP), ("phone", PHONE)):
        w = v if screen == "desktop" else visit(viewport)
        if w is not v:
            w.open(tab)
            w.page.wait_for_selector(ready)
        w.settle()
        w.page.evaluate("window.scrollTo(0, 0)")
        assert w.page.evaluate(STICKING_OUT, f"#tab-{tab}") == []
        for scheme in ("light", "dark"):
            w.page.emulate_media(color_scheme=scheme)
            w.page.wait_for_function("dark => document.body.classList.contains('dark') === dark", arg=scheme == "dark")
            w.settle()
            shoot(w, f"{name}-{screen}-{scheme}")
        w.page.emulate_media(color_scheme="light")


def test_from_photos_to_a_picture_in_the_library(visit, server, photos, tmp_path):
    v = visit()
    page = v.page
    v.open()
    add_person(page, photos)

    # without consent there is one sentence, a way to mend it, and no run
    page.click("#person-to-train")
    page.wait_for_selector("#tab-train-button[aria-selected=true]")
    page.wait_for_selector("#train-consent .notice.bad")
    assert "consent" in page.inner_text("#train-consent").lower()
    page.wait_for_selector("#train-presets .choice[aria-pressed=true]")
    page.click("#train-start")
    assert "Traceback" not in v.toast("consent of Ruby")
    page.click("#train-consent [data-act=identities]")
    page.wait_for_selector("#tab-identities-button[aria-selected=true]")
    agree(page)
    page.click("#person-to-train")
    page.wait_for_selector("#train-consent:has-text('agreed to training')")

    # the plan: few settings, the rest in a fold, and whether it fits
    page.wait_for_selector("#train-preflight .preflight.fits")
    page.fill("#train-steps input[type=number]", str(STEPS))
    page.keyboard.press("Enter")
    page.click("#train-advanced button.label-wrap")
    page.wait_for_selector("#plan-rank", state="visible")
    for name, value in SHORT.items():
        fill(page, f"#plan-{name}", value)
    page.click("#train-advanced button.label-wrap")
    page.click("#train-start")
    page.wait_for_selector("#train-run .run[data-state=waiting], #train-run .run[data-state=training]")
    run = page.get_attribute("#train-run .run", "data-run")

    # a second browser finds the same run; its curves appear without a reload
    other = visit()
    other.open("train")
    other.page.wait_for_selector(f"#train-run [data-run='{run}']")
    for w in (v, other):
        w.page.wait_for_selector("#train-plots svg path.line")
    page.wait_for_selector(f"#train-run [data-run='{run}'][data-state=done]")
    page.wait_for_selector("#train-checkpoints .checkpoint >> nth=1")
    # so short a run may look like nobody: then the next step is said instead of a suggestion
    assert page.locator("#train-checkpoints .suggested, #train-checkpoints .notice.warn span").count() == 1
    assert page.locator("#train-plots figure svg[role=img]").count() >= 2
    other.page.close()
    shoot_everywhere(visit, v, "train", "story-6-train", f"#train-run [data-run='{run}']")

    # any checkpoint can be kept; what is exported was read back and is a file that names its word
    page.click(f"#train-checkpoints [data-step='{STEPS}'] [data-act=export]")
    page.wait_for_selector("#adapter-about h2:has-text('Ruby 12')")
    page.click("#adapter-format label:has-text('kohya')")
    page.click("#adapter-write")
    page.wait_for_selector("#adapter-report .notice.good:has-text('read back')")
    with page.expect_download() as download:
        page.click("#adapter-download")
    download.value.save_as(tmp_path / "ruby.safetensors")
    assert "sks" in header_of(tmp_path / "ruby.safetensors")
    page.locator("#adapter-detail").scroll_into_view_if_needed()
    shoot(v, "story-7-adapter")

    # the checkpoint goes on to Generate with its word, and the picture appears by itself
    page.click(f"#train-checkpoints [data-step='{STEPS}'] [data-act=try]")
    page.wait_for_selector("#tab-generate-button[aria-selected=true]")
    page.wait_for_selector("#generate-adapters:has-text('Ruby 12')")
    assert "sks person" in page.input_value("#generate-prompt textarea")
    page.wait_for_selector("#generate-strength-1:has-text('Ruby 12')")
    drawn = draw(v, server)
    assert re.search(r"likeness|face", page.inner_text(f"#generate-result [data-render='{drawn}'] .badge"))
    assert "shown enlarged" in page.inner_text("#generate-result")
    page.click("#generate-result [data-act=star]")
    page.wait_for_selector("#generate-result .star[aria-pressed=true]")
    shoot_everywhere(visit, v, "generate", "story-8-generate", f"#generate-result [data-render='{drawn}']")

    # it is in the Library with its recipe, can be a source, and goes on to Expression
    page.click("#generate-result [data-act=to-source]")
    page.wait_for_selector("#generate-source .notice")
    page.click("#generate-result [data-act=to-library]")
    page.wait_for_selector("#library-about h2")
    page.click("#library-recipe button.label-wrap")
    page.wait_for_selector("#library-recipe .cm-content:has-text('adapters')")
    v.tab("generate")
    page.click("#generate-result [data-act=to-video]")
    page.wait_for_selector("#tab-video-button[aria-selected=true]")
    page.wait_for_selector(f"#video-strip .card[data-id='{drawn}'][aria-pressed=true]")
    page.wait_for_function("document.querySelector('#video-adapter input').value === 'Ruby 12'")
    assert "sks person" in page.input_value("#video-prompt textarea")
    v.tab("generate")
    page.click("#generate-result [data-act=to-expression]")
    page.wait_for_selector("#tab-expression-button[aria-selected=true]")
    v.toast("enlarged from 128")


def header_of(path) -> str:
    """Return the JSON header of a safetensors file."""
    data = path.read_bytes()
    (length,) = struct.unpack("<Q", data[:8])
    return data[8 : 8 + length].decode()


def test_a_run_is_stopped_continued_and_compared(visit, server, with_person, photos):
    with_person("Rosalind", photos, "train", "generate")
    v = visit()
    page = v.page
    v.open("train")
    page.click("#train-people .card:has-text('Rosalind')")
    page.wait_for_selector("#train-people .card[aria-pressed=true]:has-text('Rosalind')")
    page.wait_for_selector("#train-preflight .preflight.fits")
    page.click("#train-advanced button.label-wrap")
    page.wait_for_selector("#plan-rank", state="visible")
    for name, value in SHORT.items():
        fill(page, f"#plan-{name}", value)
    page.click("#train-start")
    page.wait_for_function("+document.querySelector('#train-run .run[data-state=training] .stats b')?.textContent >= 1")
    page.click("#train-run [data-act=stop]")
    page.wait_for_selector("#train-run .run[data-state=stopped]")
    stopped = int(page.inner_text("#train-run .stats b >> nth=0"))
    assert stopped >= 1
    page.click("#train-run [data-act=continue]")
    page.wait_for_function("n => +document.querySelector('#train-run .stats b')?.textContent > n", arg=stopped)
    page.click("#train-run [data-act=stop]")
    page.wait_for_selector("#train-run .run[data-state=stopped]")

    page.click("#train-grid button.label-wrap")
    page.wait_for_selector("#train-strengths", state="visible")
    fill(page, "#train-strengths", "0.5")
    page.click("#train-draw-grid")
    page.wait_for_selector("#train-cells .vote")
    page.click("#train-cells [data-act=up] >> nth=0")
    page.wait_for_selector("#train-cells .summary:has-text('1 up')")
    shoot(v, "story-9-grid")

    # an adapter that is deleted comes off the form of Generate
    page.click("#train-checkpoints [data-act=try] >> nth=0")
    page.wait_for_selector("#generate-strength-1", state="visible")
    v.tab("train")
    page.click("#adapter-danger button.label-wrap")
    page.click("#adapter-delete")
    v.toast("was deleted")
    v.tab("generate")
    page.wait_for_selector("#generate-strength-1", state="hidden")
    draw(v, server)


def test_what_is_missing_is_asked_for(visit):
    v = visit()
    v.open("generate")
    v.page.wait_for_selector("#generate-base input")
    v.page.fill("#generate-prompt textarea", "")
    v.page.click("#generate-make")
    v.toast("no words yet")
