"""People in a real browser: a crowded photo, consent given and taken back, deleting with the name typed."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.ui.conftest import DESKTOP, PHONE, ROOT, SCREENSHOTS, fetch
from tests.ui.test_story import wait_for_new_picture


@pytest.fixture(scope="module")
def two_people(portrait, tmp_path_factory):
    from PIL import Image

    one = Image.open(portrait).convert("RGB")
    both = Image.new("RGB", (one.width * 2, one.height))
    both.paste(one, (0, 0))
    both.paste(one.resize((400, 400)), (one.width, 60))
    path = tmp_path_factory.mktemp("crowd") / "two people.png"
    both.save(path)
    return path


def fill_form(page, name, photo):
    page.click("#people-list [data-id=new]")
    page.wait_for_selector("#person-name", state="visible")
    page.fill("#person-name textarea, #person-name input", name)
    page.set_input_files("#person-photos input[type=file]", str(photo))


SLOW_OPENING = """(() => {
  const ask = window.fetch.bind(window);
  let opening = null;
  const listen = async (stream) => {
    for (const reader = stream.pipeThrough(new TextDecoderStream()).getReader(); ;) {
      const { done, value } = await reader.read();
      if (done) return;
      window.opened ||= value.split('\\n').some(
        (line) => opening && line.includes(opening) && line.includes('process_completed'));
    }
  };
  window.fetch = async (what, how) => {
    const slow = String(how?.body).includes('"value":"Identities"');
    if (slow) await new Promise((then) => setTimeout(then, 1500));
    const answer = await ask(what, how);
    if (slow) opening = (await answer.clone().json()).event_id;
    if (!String(what?.url ?? what).includes('/queue/data')) return answer;
    const [page, test] = answer.body.tee();
    listen(test).catch(() => null);
    return new Response(page, answer);
  };
})()"""
"""A connection on which the request of an opened tab comes late; `opened` when that was answered."""


def test_what_is_clicked_while_a_tab_still_opens_stays(visit, with_person, portrait):
    with_person("Opened Slowly", [portrait])
    v = visit()
    v.page.add_init_script(SLOW_OPENING)
    v.open("expression")
    v.settle()
    v.tab("identities")
    v.page.click("#people-list [data-id=new]")
    v.page.wait_for_selector("#people-list [data-id=new][aria-pressed=true]")
    v.page.wait_for_function("window.opened")
    v.settle()
    assert v.page.is_visible("#person-name")


def test_a_click_counts_when_the_page_moves_below_it(visit, with_person, portrait):
    with_person("Moved Below", [portrait])
    v = visit()
    v.open()
    v.settle()
    place = v.page.locator("#people-list [data-id=new]")
    place.scroll_into_view_if_needed()
    box = place.bounding_box()
    v.page.mouse.move(box["x"] + 9, box["y"] + 9)
    v.page.mouse.down()
    v.page.evaluate("document.querySelector('#people-list').style.marginTop = '300px'")
    v.page.mouse.up()
    v.page.wait_for_selector("#person-name", state="visible")


def test_crowded_photo_asks_which_face(visit, two_people):
    v = visit()
    v.open()
    fill_form(v.page, "The Smaller One", two_people)
    v.page.wait_for_selector("#person-faces [data-act=face] >> nth=1")
    v.page.click("#person-add")
    v.toast("2 faces")
    v.page.click("#person-faces [data-act=face] >> nth=1")
    v.page.click("#person-add")  # at once: the picked face counts, though the page has not marked it yet
    v.page.wait_for_selector("#person-summary:has-text('The Smaller One')")
    v.settle()
    v.page.wait_for_selector("#people-list .card[aria-pressed=true]:has-text('The Smaller One')")


def test_crowded_upload_asks_which_face_in_expression(visit, two_people):
    v = visit()
    v.open("expression")
    v.page.set_input_files("#expression-upload input[type=file]", str(two_people))
    v.page.wait_for_selector("#expression-faces [data-act=face] >> nth=1")
    v.page.click("#expression-faces [data-act=face] >> nth=1")
    v.page.wait_for_selector("#expression-picture img")


def test_consent_is_recorded_taken_back_and_deleting_wants_the_name(visit, own_portrait):
    v = visit()
    v.open()
    fill_form(v.page, "Grace", own_portrait)
    v.page.wait_for_selector("#person-faces .hints, #person-faces .fine")
    v.page.click("#person-add")
    v.page.wait_for_selector("#person-summary:has-text('No consent recorded')")

    v.page.click("#person-consent button.label-wrap")
    v.page.fill("#page-agreed textarea, #page-agreed input", "Grace herself")
    v.page.click("#consent-record")
    v.page.wait_for_selector("#person-summary:has-text('Agreed: edit expressions')")
    v.page.click("#person-to-expression")
    v.page.wait_for_selector("#expression-picture img")
    before = v.picture_source()
    v.page.locator("#control-smile input[type=range]").focus()
    v.page.keyboard.press("End")
    wait_for_new_picture(v, before)
    v.page.click("#expression-save")
    v.toast("in the Library")
    v.tab("identities")
    v.page.click("#consent-revoke")
    v.toast("1 picture or clip can no longer leave")
    v.page.wait_for_selector("#person-summary:has-text('taken back')")
    v.page.click("#consent-erase:has-text('Erase 1 picture or clip for good')")
    v.page.wait_for_selector("#consent-erase:has-text('Press again')")
    v.page.screenshot(path=str(SCREENSHOTS / "consent-taken-back.png"))
    v.page.click("#consent-erase")
    v.toast("1 picture or clip erased")
    v.page.wait_for_selector("#consent-erase", state="hidden")
    v.page.click("#person-to-expression")
    v.page.locator("#control-smile input[type=range]").focus()
    v.page.keyboard.press("Home")  # the portrait is open still, and is drawn no more
    v.toast("consent of Grace")

    v.tab("identities")
    v.page.click("#person-danger button.label-wrap")
    v.page.wait_for_selector("#person-danger .notice.bad:has-text('1 photo')")
    v.page.fill("#person-typed textarea, #person-typed input", "Grase")
    v.page.click("#person-delete")
    v.toast("does not match")
    v.page.fill("#person-typed textarea, #person-typed input", "Grace")
    v.page.click("#person-delete")
    v.page.wait_for_selector("#people-list:not(:has-text('Grace'))")


def number_of(v, control: str) -> str:
    return v.page.input_value(f"#{control} input[type=number]")


def test_a_preset_lies_over_the_sliders_with_a_strength_and_every_step_is_undone_and_redone(visit, portrait):
    v = visit()
    v.open("expression")
    v.page.set_input_files("#expression-upload input[type=file]", str(portrait))
    v.page.wait_for_selector("#expression-picture img")
    v.page.wait_for_selector("#preset-list .card[data-id=wink] img[src*='/preset-']")  # on this face, not the sample's
    photo = v.picture_source()
    v.page.locator("#control-pout input[type=number]").fill("0.3")
    v.page.keyboard.press("Enter")
    pouting = wait_for_new_picture(v, photo)
    v.page.click("#preset-list [data-id=joy]")
    happy = wait_for_new_picture(v, pouting)
    v.page.wait_for_selector("#preset-list [data-id=joy][aria-pressed=true]")
    assert (number_of(v, "control-pout"), number_of(v, "control-smile")) == ("0.3", "0.8")
    assert v.page.is_checked("#expression-neutralise input"), "the preset begins with a neutral face, and shows it"
    assert "Smile +0.8" in v.page.inner_text("#expression-set")
    v.page.locator("#preset-strength input[type=number]").fill("0.5")
    v.page.keyboard.press("Enter")
    weaker = wait_for_new_picture(v, happy)
    assert (number_of(v, "control-pout"), number_of(v, "control-smile")) == ("0.3", "0.4")
    v.page.click("#expression-undo")
    assert wait_for_new_picture(v, weaker) == happy
    assert (number_of(v, "preset-strength"), number_of(v, "control-smile")) == ("1", "0.8")
    v.page.click("#expression-redo")
    assert wait_for_new_picture(v, happy) == weaker
    assert v.page.is_disabled("#expression-redo")
    v.page.click("#preset-list [data-id=joy]")
    assert wait_for_new_picture(v, weaker) == pouting
    assert (number_of(v, "control-pout"), number_of(v, "control-smile")) == ("0.3", "0")
    v.page.uncheck("#preset-keep-own input")
    v.page.click("#preset-list [data-id=anger]")
    wait_for_new_picture(v, pouting)
    assert number_of(v, "control-pout") == "0"
    assert "13 set" in v.page.inner_text("#expression-all button.label-wrap")


def test_presets_set_sliders_and_own_ones_can_be_kept_and_deleted(visit, portrait):
    v = visit()
    v.open("expression")
    v.page.set_input_files("#expression-upload input[type=file]", str(portrait))
    v.page.wait_for_selector("#expression-picture img")
    before = v.picture_source()
    v.page.wait_for_selector("#preset-list .card")
    v.page.click("#preset-list [data-act=preset] >> nth=0")
    wait_for_new_picture(v, before)
    v.page.click("#expression-keep button.label-wrap")
    v.page.wait_for_selector("#preset-name", state="visible")
    v.page.fill("#preset-name textarea, #preset-name input", "Zebra look")
    v.page.click("#preset-save")
    v.page.wait_for_selector("#preset-list:has-text('Zebra look')")
    v.page.click("#preset-list [data-act=forget]")
    v.page.wait_for_selector("#preset-list:not(:has-text('Zebra look'))")
    v.page.click("#expression-reset")
    v.page.wait_for_function(
        "old => document.querySelectorAll('#expression-picture img')[1].getAttribute('src') === old", arg=before
    )


def test_single_weights_open_with_the_photos_own_marks_and_reset_to_zero(visit, portrait):
    v = visit()
    v.open("expression")
    v.page.set_input_files("#expression-upload input[type=file]", str(portrait))
    v.page.wait_for_selector("#expression-picture img")
    v.page.wait_for_selector("#preset-list [data-id=joy]")
    before = v.picture_source()
    v.page.click("#preset-list [data-id=joy]")
    wait_for_new_picture(v, before)
    # the fold is drawn only now, with the preset's values in it
    assert v.page.locator("#control-jawOpen").count() == 0
    v.page.click("#expression-all button.label-wrap")
    v.page.wait_for_selector("#control-jawOpen", state="visible")
    assert "photo" in v.page.evaluate(
        "getComputedStyle(document.querySelector('#control-mouthSmileLeft'), '::after').content"
    )
    moved = v.page.evaluate(
        "[...document.querySelectorAll('.control')].find((c) => +c.querySelector('input[type=number]').value !== 0)?.id"
    )
    assert moved, "the preset moved no slider"
    v.page.click(f"#{moved} .reset-button")
    v.page.wait_for_function(f"document.querySelector('#{moved} input[type=number]').value === '0'")


def test_who_is_deleted_on_the_command_line_is_gone_from_an_open_window_too(visit, own_server, portrait, tmp_path):
    """What the window had copied for the page is neither on the disk nor served, and the open page makes none anew."""
    from PIL import Image, ImageOps

    photo = tmp_path / "Erased Ada.png"
    ImageOps.mirror(Image.open(portrait).convert("RGB")).save(photo)
    v = visit(tidy=False, at=own_server)  # the page rightly complains of pictures that are gone
    v.open("expression")
    v.page.wait_for_selector("#preset-list .card[data-id=wink] img")  # on the sample's face: these may come again
    v.tab("identities")
    before = {*copies(own_server)}
    fill_form(v.page, "Erased Ada", photo)
    v.page.wait_for_selector("#person-faces .hints, #person-faces .fine")
    v.page.click("#person-add")
    v.page.wait_for_selector("#person-summary:has-text('Erased Ada')")
    v.page.wait_for_selector("#person-photo-list img")
    v.page.click("#person-to-expression")
    v.page.wait_for_selector("#expression-picture img")
    v.page.wait_for_selector("#preset-list .card[data-id=wink] img[src*='/preset-']")  # on her own face, too
    v.settle()
    made = {*copies(own_server)} - before
    names = {path.name for path in made}
    shown = {u for u in v.page.evaluate("[...document.images].map((i) => i.src)") if u.rpartition("/")[2] in names}
    assert made
    assert shown
    assert any(fetch(u)[0] == 200 for u in shown)

    here = ["--data-dir", own_server.data_dir]
    order = [sys.executable, "-m", "studio", "identity", "delete", "Erased Ada", "--yes", *here]
    done = subprocess.run([str(word) for word in order], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert [p for p in copies(own_server) if p in made] == []
    v.tab("identities")
    v.page.wait_for_selector("#people-list:not(:has-text('Erased Ada'))")
    for tab in ("expression", "animate", "library", "identities"):
        v.tab(tab)
        v.settle()
    assert [p for p in copies(own_server) if p in made or "Erased" in p.name] == []
    assert [u for u in shown if fetch(u)[0] == 200] == []


def copies(server) -> list[Path]:
    """Return the files that the window keeps for the page."""
    return [p for p in (server.data_dir / "cache" / "window").rglob("*") if p.is_file()]


def test_a_picture_of_the_library_is_renamed_and_opened_with_its_settings(visit, with_person, server, portrait):
    from studio.domain.expression import ExpressionEdit
    from studio.services.sources import MediaSource
    from studio.studio import Studio

    lena = with_person("Lena Library", [portrait], "edit")
    with Studio(server.data_dir) as studio:
        me = studio.for_owner()
        # her photo, by name: other tests add the same picture for people who agreed to less
        handle = me.expressions.open(MediaSource.photo(me.identities.photos(lena.id)[0].id))
        made = me.expressions.save(handle, ExpressionEdit({"smile": 0.5, "headYaw": 4}))
    v = visit()
    v.open("library")
    v.page.click(f"#library-grid .card[data-id='{made.id}']")
    v.page.wait_for_selector("#library-about h2:has-text('Smile')")
    v.page.click("#library-rename button.label-wrap")
    v.page.fill("#library-title :is(input, textarea)", "For the poster")
    v.page.click("#library-rename-button")
    v.page.wait_for_selector(f"#library-grid .card[data-id='{made.id}'] .title:has-text('For the poster')")
    v.page.wait_for_selector("#library-about h2:has-text('For the poster')")
    v.page.click("#library-reuse")
    v.page.wait_for_selector("#tab-expression-button[aria-selected=true]")
    v.page.wait_for_selector("#expression-picture img")
    v.page.wait_for_function("document.querySelector('#control-smile input[type=number]').value === '0.5'")
    assert number_of(v, "control-headYaw") == "4"
    # the same portrait is open now, and its sliders have moved on
    smile = v.page.locator("#control-smile input[type=number]")
    smile.fill("0.1")
    smile.press("Enter")
    v.page.wait_for_selector("#expression-set:has-text('Smile +0.1')")
    v.tab("library")
    v.page.click(f"#library-grid .card[data-id='{made.id}']")
    v.page.wait_for_selector("#library-about h2:has-text('For the poster')")
    v.page.click("#library-reuse")
    v.page.wait_for_selector("#tab-expression-button[aria-selected=true]")
    v.page.wait_for_selector("#expression-set:has-text('Smile +0.5')")
    v.page.wait_for_function("document.querySelector('#control-smile input[type=number]').value === '0.5'")
    v.page.click("#expression-undo")
    v.page.wait_for_selector("#expression-set:has-text('Smile +0.1')")


@pytest.mark.parametrize(("viewport", "name"), [(DESKTOP, "desktop"), (PHONE, "phone")])
def test_a_person_is_taken_along_into_another_studio(own_server, visit, with_person, portrait, viewport, name):
    person = with_person(f"Travelling {name}", [portrait], "edit")
    v = visit(viewport)
    v.open()
    v.page.click(f"#people-list .card[data-id='{person.id}']")
    v.page.wait_for_selector(f"#person-summary:has-text('Travelling {name}')")
    v.settle()  # a page that is drawn closes its folds
    v.page.click("#person-bundle button.label-wrap")
    v.settle()
    v.page.click("#bundle-write")
    v.toast("holds 1 person and 1 photo")
    v.page.locator("#bundle-file").scroll_into_view_if_needed()
    v.page.screenshot(path=str(SCREENSHOTS / f"bundle-{name}.png"))
    with v.page.expect_download() as download:
        v.page.click("#bundle-file")
    assert download.value.suggested_filename.endswith(".zip")
    bundle = own_server.data_dir.parent / "person.zip"
    download.value.save_as(bundle)

    w = visit(viewport, at=own_server)
    w.page.goto(own_server.url)
    w.page.wait_for_selector("#person-name", state="visible")
    w.page.click("#form-bundle button.label-wrap")
    w.settle()
    w.page.set_input_files("#form-bundle input[type=file]", str(bundle))
    w.toast("New here: 1 person and 1 photo")
    w.page.wait_for_selector(f"#person-summary:has-text('Travelling {name}'):has-text('Agreed: edit expressions')")
    w.page.screenshot(path=str(SCREENSHOTS / f"bundle-in-{name}.png"))
    w.tab("settings")
    w.page.set_input_files("#tab-settings input[type=file]", str(bundle))
    w.toast("nothing was changed")
    w.page.click("#settings-export")
    w.toast("holds 1 person")
    w.page.locator("#settings-export-file").scroll_into_view_if_needed()
    w.page.screenshot(path=str(SCREENSHOTS / f"settings-export-{name}.png"))
    with w.page.expect_download() as whole:
        w.page.click("#settings-export-file")
    assert whole.value.suggested_filename.startswith("likeness-studio-export-")
    (bundle.parent / "broken.zip").write_bytes(b"no zip at all")
    w.page.set_input_files("#tab-settings input[type=file]", str(bundle.parent / "broken.zip"))
    w.toast("broken.zip")
