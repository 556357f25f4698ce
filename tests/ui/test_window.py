"""The window's promises: quick, offline, errors in one sentence, jobs that survive, keys that reach everything."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from studio.domain.expression import ExpressionEdit
from studio.services.sources import MediaSource
from studio.studio import Studio
from studio.ui import guard
from tests.ui.conftest import PHONE, ROOT, SCREENSHOTS, fetch, free_port

"""Rooms whose errors reach the page."""
LONG_SPEECH_COPIES = 30
"""A minute: its clip is not done before it is cancelled."""


@pytest.fixture
def not_a_picture(tmp_path):
    path = tmp_path / "holiday.png"
    path.write_text("this is no picture")
    return path


@pytest.fixture
def long_speech(speech, tmp_path):
    import wave

    path = tmp_path / "long.wav"
    with wave.open(str(speech)) as source, wave.open(str(path), "wb") as out:
        frames = source.readframes(source.getnframes())
        out.setparams(source.getparams())
        out.writeframes(frames * LONG_SPEECH_COPIES)
    return path


def test_the_first_page_can_be_measured():
    """How long it takes is a figure of the benchmark, and no matter of the machine that runs the tests."""
    command = [sys.executable, "-m", "benchmarks.first_page", "--starts", "1"]
    figures = json.loads(subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout)
    assert figures["starts"] == 1
    assert 0 < figures["server_answers_seconds"] < figures["page_interactive_seconds"]
    assert figures["server_processor_seconds"] > 0
    assert figures["page_processor_seconds"] > 0
    assert set(figures["gradio_alone"]) < set(figures), "what less no page of Gradio can take stands beside it"


@pytest.fixture(scope="module")
def said_to_the_page(server):
    """What the first page is told of itself."""
    page = fetch(server.url)[1].decode()
    begin = "window.gradio_config = "
    told, _ = json.JSONDecoder().raw_decode(page[page.index(begin) + len(begin) :])
    return told


def test_the_first_page_knows_nothing_of_what_only_programs_call(said_to_the_page, server):
    assert {d["api_visibility"] for d in said_to_the_page["dependencies"]} == {"private"}
    assert "api" not in {c["type"] for c in said_to_the_page["components"]}
    assert b"add_identity" in fetch(server.url + "programs")[1]


def test_the_page_marks_nothing_for_listeners_that_show_no_progress(said_to_the_page):
    """It would look through all of its pieces for each output, at each step of each event, to show nothing."""
    quiet = [d for d in said_to_the_page["dependencies"] if d["show_progress"] == "hidden"]
    assert quiet
    assert all(d["show_progress_on"] == [] for d in quiet)


def test_the_list_of_listeners_is_read_as_it_is(visit):
    """A plain list the page follows, number by number, and looks through all of it for each of its pieces."""
    v = visit()
    v.open()
    read = """() => {
      const listeners = window.gradio_config.dependencies;
      const plain = Object.getPrototypeOf(listeners) === Array.prototype;
      return [listeners.length > 0, plain, [listeners, ...listeners].every(Object.isFrozen)];
    }"""
    assert v.page.evaluate(read) == [True, False, True]


def test_what_all_lists_of_cards_answer_with_stands_once_on_the_page(said_to_the_page):
    scripts = [c["props"].get("js_on_load") or "" for c in said_to_the_page["components"] if c["type"] == "html"]
    assert sum(bool(s) for s in scripts) > 20
    assert sum(map(len, scripts)) < 100 * len(scripts)


DRAWN = """
import sys
from pathlib import Path
from studio.studio import Studio
from studio.ui import build
with Studio(Path(sys.argv[1])) as opened:
    page = build.build(opened.for_owner(), opened.upkeep, Path(sys.argv[1]))
    tick = next(one for one in page.fns.values() if one.targets[0][1] == "tick")
    said = [page.drawn.is_set()]
    tick.fn("", *[None for _ in tick.inputs[1:]])
    print([*said, page.drawn.is_set()])
"""


def test_the_first_tick_says_that_the_page_is_drawn(tmp_path):
    """The worker, whose start keeps a processor busy, is started then."""
    command = [sys.executable, "-c", DRAWN, str(tmp_path / "data")]
    said = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert said.strip() == "[False, True]"


def test_only_the_people_are_asked_for_when_the_page_loads(said_to_the_page):
    """Whatever else there is to find (what runs, all jobs) is found at the first tick, and when its tab is opened."""
    events = [event for d in said_to_the_page["dependencies"] for _, event in d["targets"]]
    assert events.count("load") == 1


def test_what_programs_call_has_a_page_that_says_so(visit):
    v = visit()
    v.page.goto(v.url + "programs")
    v.page.wait_for_selector("text=/add_identity")
    assert not v.page.get_by_text("Home", exact=True).is_visible(), "Gradio's row of pages is left out on both"
    v.page.click("text=Back to the studio")
    v.page.wait_for_selector("#people-list .card")
    assert not v.page.get_by_text("Home", exact=True).is_visible()


def test_start_loads_nothing_heavy_and_writes_no_stubs():
    """In a process of its own, because other tests load what the window must not."""
    said = subprocess.run(
        [
            sys.executable,
            "-c",
            "import sys, studio.ui.build, gradio.component_meta as g;"
            "heavy = {'torch', 'diffusers', 'transformers', 'cv2', 'onnxruntime', 'numba', 'scipy'} & set(sys.modules);"
            "print(sorted(heavy), g.create_or_modify_pyi.__module__)",
        ],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    assert said.strip() == "[] studio.ui.quick_start"


LAUNCHED = """
import asyncio, sys
from pathlib import Path
import gradio as gr, uvicorn
from studio.errors import EngineError
from studio.ui import build, gate, quick_start

answer = gate.Gate.__call__

async def late(self, scope, receive, send):
    if scope.get("method") == "HEAD":
        await asyncio.sleep(4)
    await answer(self, scope, receive, send)

gate.Gate.__call__ = late
with quick_start.without_servers(), gr.Blocks(analytics_enabled=False) as page:
    gr.HTML("Here")
if sys.argv[3:] == ["ends"]:
    uvicorn.Server.run = lambda server, sockets=None: None
try:
    print(build.launch(page, Path(sys.argv[1]), port=int(sys.argv[2])))
except EngineError as error:
    print(error)
"""
"""An empty window, whose server answers Gradio's look at it after four seconds, or ends at once."""


def launched(*arguments: str) -> str:
    """In a process of its own, which leaves no server behind."""
    command = [sys.executable, "-c", LAUNCHED, *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout


def test_a_busy_machine_opens_the_window_all_the_same(tmp_path):
    """Gradio looks for three seconds whether its server answers, and then asks for a public link."""
    port = free_port()
    assert launched(str(tmp_path), str(port)).strip() == f"http://127.0.0.1:{port}/"


def test_a_server_that_ends_at_once_is_one_sentence(tmp_path):
    assert "could not be opened on port" in launched(str(tmp_path), str(free_port()), "ends")


def test_nothing_is_loaded_from_outside(visit):
    v = visit()
    v.open()
    for tab in ("expression", "animate", "library", "jobs", "settings"):
        v.tab(tab)
        v.settle()
    assert v.outside == []


def test_text_file_called_png_gets_one_sentence(visit, not_a_picture, server):
    v = visit()
    v.open("expression")
    v.page.set_input_files("#expression-upload input[type=file]", str(not_a_picture))
    said = v.toast("holiday.png is not a picture")
    assert "Traceback" not in said
    assert "Error" not in said
    assert len(said) < 300


def test_unknown_failure_is_one_sentence_without_traceback(caplog):

    def broken():
        raise RuntimeError("secret detail of a bug")

    message, hint = guard.sentence(RuntimeError("secret detail of a bug"))
    assert "secret" not in message + hint
    with pytest.raises(Exception, match="Something went wrong") as caught:
        guard.answered(broken)()
    assert "secret" not in str(caught.value)
    assert "secret detail of a bug" in caplog.text


def test_notices_say_all_in_their_message():
    """Gradio shows no titles, and takes words for HTML: every notice goes through the two functions that know it."""
    bare = re.compile(r"gr\.(Info|Warning)\(")
    found = [p.name for p in (ROOT / "studio" / "ui").rglob("*.py") if bare.search(p.read_text(encoding="utf-8"))]
    assert found == ["guard.py"]
    assert "title=" not in "".join(
        line for line in (ROOT / "studio" / "ui" / "guard.py").read_text(encoding="utf-8").splitlines() if "gr." in line
    )


@pytest.mark.parametrize("show", [guard.say, guard.warn], ids=["say", "warn"])
def test_a_notice_shows_names_as_they_are_written(show, monkeypatch):
    said = []
    monkeypatch.setattr(guard.gr, "Info", lambda words, duration: said.append(words))
    monkeypatch.setattr(guard.gr, "Warning", lambda words, duration: said.append(words))
    show("“A <b>” is in the queue.", 4)
    assert said == ["“A &lt;b&gt;” is in the queue."]


def test_missing_pieces_are_asked_for(visit):
    v = visit()
    v.open("animate")
    v.page.wait_for_selector("#animate-people .card, #animate-people .notice")
    v.page.click("#animate-make")
    v.toast("no portrait")


def test_running_job_is_found_again_by_refresh_and_by_another_browser(visit, portrait, long_speech):
    v = visit()
    v.open("animate")
    v.page.set_input_files("#animate-upload input[type=file]", str(portrait))
    v.page.wait_for_selector("#animate-upload .file-preview, #animate-upload table")
    v.page.set_input_files("#animate-sound input[type=file]", str(long_speech))
    v.page.wait_for_selector("#animate-sound audio", state="attached")
    v.page.wait_for_selector("#animate-people [data-id=chosen]")
    v.page.click("#animate-make")
    v.page.wait_for_selector("#animate-progress .job")
    job = v.page.get_attribute("#animate-progress .job", "data-job")

    other = visit()
    other.open("jobs")
    other.page.wait_for_selector(f"#jobs-list [data-job='{job}']")
    v.reload()
    v.tab("animate")
    v.page.wait_for_selector(f"#animate-progress [data-job='{job}']")

    other.page.click(f"#jobs-list [data-job='{job}'] [data-act=cancel]")
    other.page.wait_for_selector(f"#jobs-list [data-job='{job}'][data-state=cancelled]")
    v.page.wait_for_selector(f"#animate-progress [data-job='{job}'][data-state=cancelled]")


def test_main_actions_are_reached_by_keyboard(visit):
    v = visit()
    v.open()
    wanted = {
        "identities": {"person-add"},
        "animate": {"animate-make", "animate-preview"},
        "video": {"video-make", "video-four"},
        "library": {"library-verify"},
        "settings": {"settings-check"},
    }
    for tab, ids in wanted.items():
        v.page.focus(f"#tab-{tab}-button")
        v.page.keyboard.press("Enter")
        v.page.wait_for_selector(f"#tab-{tab}-button[aria-selected=true]")
        if tab == "identities":
            v.page.focus("#people-list [data-id=new]")
            v.page.keyboard.press("Enter")
            v.page.wait_for_selector("#person-add", state="visible")
        v.settle()
        v.page.focus(f"#tab-{tab}-button")
        reached = set()
        for _ in range(70):
            v.page.keyboard.press("Tab")
            reached |= set(
                v.page.evaluate(
                    "(() => { const out = []; let e = document.activeElement;"
                    " while (e) { if (e.id) out.push(e.id); e = e.parentElement; } return out; })()"
                )
            )
            if ids <= reached:
                break
        assert ids <= reached, f"{tab}: never reached {ids - reached}"


def test_focus_is_visible(visit):
    v = visit()
    v.open()
    v.page.keyboard.press("Tab")
    v.page.keyboard.press("Tab")
    style = v.page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
    assert style == "solid"


def test_every_input_has_a_name_and_help(server):
    """Asked of the page's own description, so that closed folds count too."""
    config = json.loads(fetch(server.url + "config")[1])
    kinds = {"slider", "dropdown", "textbox", "number", "checkbox", "checkboxgroup", "radio"}
    bare = [
        c["props"].get("label")
        for c in config["components"]
        if c["type"] in kinds and not (c["props"].get("label") and c["props"].get("info"))
    ]
    assert bare == [], f"without help: {bare}"


@pytest.mark.parametrize("size", ["desktop", "phone"])
def test_a_backup_is_made_and_fetched(visit, tmp_path, size):
    import zipfile

    v = visit(PHONE) if size == "phone" else visit()
    v.open("settings")
    v.page.click("#settings-backup")
    v.toast("Download it now")
    with v.page.expect_download() as download:
        v.page.click("#settings-backup-file")
    v.page.screenshot(path=str(SCREENSHOTS / f"settings-backup-{size}.png"))
    kept = tmp_path / "backup.zip"
    download.value.save_as(kept)
    assert download.value.suggested_filename.startswith("likeness-studio-")
    with zipfile.ZipFile(kept) as box:
        assert {"studio.db", "manifest.json"} <= set(box.namelist())
        assert box.testzip() is None


def test_colors_are_chosen_in_settings_and_kept(visit):
    v = visit()
    v.open("settings")
    v.page.click("#settings-scheme label:has-text('Dark')")
    v.page.wait_for_function("document.body.classList.contains('dark')")
    v.reload()
    assert v.page.evaluate("document.body.classList.contains('dark')")
    v.page.wait_for_selector("#tab-settings-button[aria-selected=true]")  # it stands in the address
    v.tab("settings")
    v.page.wait_for_function("document.querySelector('#settings-scheme input[value=dark]').checked")


def test_a_link_to_a_tab_opens_it(visit):
    v = visit()
    v.page.goto(v.url + "#animate")
    v.page.wait_for_selector("#tab-animate-button[aria-selected=true]")
    v.tab("library")
    assert v.page.url.endswith("#library")


def test_on_a_phone_the_face_stays_in_sight_and_the_clip_is_a_touch_away(visit, with_person, portrait):
    person = with_person("Phoebe Phone", [portrait])
    v = visit(PHONE)
    v.open("animate")
    make = v.page.locator("#animate-make").bounding_box()
    assert make["y"] + make["height"] <= PHONE["height"] - 60, "above the bar of tabs"
    v.tab("expression")
    photo = v.page.locator("#expression-people .card", has_text=person.name).first
    photo.click()
    v.page.wait_for_selector("#expression-picture img")
    v.settle()
    v.page.evaluate("document.querySelector('#control-gazeY').scrollIntoView({ block: 'end' })")
    v.settle()
    face = v.page.locator("#expression-picture").bounding_box()
    assert -1 <= face["y"] < 60
    assert 150 < face["height"] < PHONE["height"] * 0.45


def test_on_a_phone_the_chosen_person_and_the_opened_render_are_in_sight(visit, with_person, portrait, server):
    people = [with_person(f"Row Person {number}", [portrait]) for number in range(5)]
    with Studio(server.data_dir) as studio:
        expressions = studio.for_owner().expressions
        expressions.save(expressions.open(MediaSource.file(portrait)), ExpressionEdit({"smile": 0.5}))
    v = visit(PHONE)
    v.open()
    card = f"#people-list .card[data-id='{people[-1].id}']"
    v.page.click(card)
    v.page.wait_for_selector(f"{card}[aria-pressed=true]")
    v.reload()
    v.page.wait_for_selector(f"{card}[aria-pressed=true]")
    v.settle()
    place = v.page.locator(card).bounding_box()
    assert place["x"] >= 0
    assert place["x"] + place["width"] <= PHONE["width"]
    lefts = "cells => cells.map((c) => [c.offsetLeft, Boolean(c.querySelector('[data-id=new]'))])"
    assert min(v.page.eval_on_selector_all("#people-list .cell", lefts))[1], "adding a person comes first"
    v.tab("library")
    v.page.click("#library-grid .card >> nth=0")
    v.page.wait_for_selector("#library-about h2")
    v.settle()
    assert -20 <= v.page.locator("#library-detail").bounding_box()["y"] < PHONE["height"] / 2


def test_rings_of_fields_lie_on_their_borders_and_tools_on_pictures_have_a_ground(visit, with_person, portrait):
    person = with_person("Ringed", [portrait])
    v = visit()
    v.open("expression")
    ground = "e => getComputedStyle(e).backgroundColor"
    v.page.locator("#expression-people .card", has_text=person.name).first.click()
    tools = v.page.locator("#expression-picture .icon-button-wrapper").first
    tools.wait_for()
    assert tools.evaluate(ground) not in ("rgba(0, 0, 0, 0)", "transparent")
    v.tab("identities")
    v.page.click("#people-list [data-id=new]")
    v.page.wait_for_selector("#person-name", state="visible")
    v.page.focus("#person-name :is(input, textarea)")
    assert v.page.evaluate("getComputedStyle(document.activeElement).outlineOffset") == "-1px"


def test_the_chosen_card_of_a_long_row_is_in_sight(visit):
    v = visit(PHONE)
    v.open()
    v.page.evaluate(
        """() => {
          const row = document.createElement('div');
          row.className = 'cards strip';
          row.id = 'long-row';
          row.innerHTML = [...Array(30).keys()].map((n) =>
            `<div class="cell"><button class="card" aria-pressed="${n === 24}">Person ${n}</button></div>`).join('');
          document.querySelector('#people-list').after(row);
        }"""
    )
    v.page.wait_for_function(
        """() => {
          const [row, card] = ['#long-row', '#long-row [aria-pressed=true]'].map(
            (place) => document.querySelector(place).getBoundingClientRect());
          return card.left >= row.left && card.right <= row.right;
        }"""
    )


def test_another_base_on_train_is_taken_without_an_error(visit, with_person, portrait):
    with_person("Bea Base", [portrait])
    v = visit()
    v.open("train")
    v.page.wait_for_selector("#train-preflight .preflight, #train-preflight .notice")
    v.page.click("#train-base input")
    v.page.locator("ul[role=listbox] li", has_text="Stable Diffusion 1.5").click()
    v.page.wait_for_selector("#train-preflight :text('Download it above')")
    v.settle()
    assert v.page.locator(".toast-body").all_inner_texts() == []
    assert "studio base download" not in v.page.locator("#train-preflight").inner_text()


def test_a_refresh_keeps_what_was_filled_in_and_another_visitor_sees_none_of_it(visit, portrait, speech):
    v = visit()
    v.open("animate")
    v.page.set_input_files("#animate-upload input[type=file]", str(portrait))
    v.page.wait_for_selector("#animate-people [data-id=chosen]")
    v.page.set_input_files("#animate-sound input[type=file]", str(speech))
    v.page.wait_for_selector("#animate-sound audio", state="attached")
    v.page.fill("#animate-transcript textarea", "good morning")
    v.page.wait_for_function("sessionStorage['likeness-studio-draft-animate']?.includes('good morning')")
    v.reload()
    v.page.wait_for_selector("#animate-people [data-id=chosen]")
    v.page.wait_for_selector("#animate-sound audio", state="attached")
    v.page.wait_for_function("document.querySelector('#animate-transcript textarea').value === 'good morning'")
    other = visit()
    other.open("animate")
    other.settle()
    assert other.page.input_value("#animate-transcript textarea") == ""
    assert other.page.locator("#animate-people [data-id=chosen]").count() == 0


def test_a_refresh_brings_the_face_back_with_its_look(visit, portrait):
    v = visit()
    v.open("expression")
    v.page.set_input_files("#expression-upload input[type=file]", str(portrait))
    v.page.wait_for_selector("#expression-picture img")
    photo = v.picture_source()
    v.page.locator("#control-smile input[type=number]").fill("0.6")
    v.page.keyboard.press("Enter")
    moved = (
        "old => { const i = document.querySelectorAll('#expression-picture img')[1]; return i && !i.src.endsWith(old) }"
    )
    v.page.wait_for_function(moved, arg=photo)
    smiling = v.picture_source()
    v.page.wait_for_function("sessionStorage['likeness-studio-draft-expression']?.includes('smile')")
    v.reload()
    v.page.wait_for_function("document.querySelector('#control-smile input[type=number]')?.value === '0.6'")
    v.page.wait_for_selector("#expression-picture img")
    assert v.picture_source() == smiling
    assert v.page.is_enabled("#expression-undo"), "the way back to the photo is there"


def test_a_refresh_keeps_the_words_of_a_picture(visit):
    v = visit()
    v.open("generate")
    v.settle()
    v.page.fill("#generate-prompt textarea", "a photo of nobody in the rain")
    v.page.locator("#generate-steps input[type=number]").fill("7")
    v.page.keyboard.press("Enter")
    v.page.wait_for_function("sessionStorage['likeness-studio-draft-generate']?.includes('\"steps\":7')")
    v.reload()
    v.page.wait_for_function("document.querySelector('#generate-prompt textarea').value.includes('in the rain')")
    v.page.wait_for_function("document.querySelector('#generate-steps input[type=number]').value === '7'")


def test_a_refresh_keeps_the_plan_of_a_training(visit, with_person, portrait):
    first = with_person("Planned One", [portrait], "train")
    second = with_person("Planned Two", [portrait], "train")
    v = visit()
    v.open("train")
    pressed = "#train-people .card[aria-pressed=true]"
    v.page.wait_for_selector(pressed)
    for person in (second, first, second):  # whoever stood there at first, it is another one at last
        v.page.click(f"#train-people .card[data-id='{person.id}']")
        v.page.wait_for_selector(f"{pressed}[data-id='{person.id}']")
    preset = v.page.locator("#train-presets .choice[aria-pressed=false]").first.get_attribute("data-id")
    v.page.click(f"#train-presets [data-id='{preset}']")
    v.page.wait_for_selector(f"#train-presets [data-id='{preset}'][aria-pressed=true]")
    v.settle()
    v.page.fill("#train-class :is(input, textarea)", "woman")
    v.page.fill("#train-steps input[type=number]", "77")
    v.page.keyboard.press("Enter")
    v.page.wait_for_function("sessionStorage['likeness-studio-draft-train']?.includes('\"steps\":77')")
    v.reload()
    v.page.wait_for_function("document.querySelector('#train-steps input[type=number]')?.value === '77'")
    v.page.wait_for_selector(f"#train-presets [data-id='{preset}'][aria-pressed=true]")
    v.page.wait_for_selector(f"{pressed}[data-id='{second.id}']")
    assert v.page.input_value("#train-class :is(input, textarea)") == "woman"
    v.tab("identities")
    v.page.click(f"#people-list .card[data-id='{first.id}']")
    v.page.wait_for_selector("#person-summary:has-text('Planned One')")
    v.reload()
    v.page.click("#person-to-train")
    v.page.wait_for_selector(f"{pressed}[data-id='{first.id}']")
    v.page.wait_for_function("document.querySelector('#train-steps input[type=number]')?.value === '77'")
    assert v.page.locator(f"{pressed}[data-id='{first.id}']").count() == 1, "who was handed over stays"


def test_a_refresh_keeps_a_person_who_is_being_added(visit, portrait):
    v = visit()
    v.open()
    v.page.click("#people-list [data-id=new]")
    v.page.fill("#person-name :is(input, textarea)", "Half Added")
    v.page.set_input_files("#person-photos input[type=file]", str(portrait))
    v.page.wait_for_selector("#person-faces .fine")
    v.page.fill("#form-agreed :is(input, textarea)", "Somebody Else")
    v.page.wait_for_function("sessionStorage['likeness-studio-draft-person']?.includes('Somebody Else')")
    v.reload()
    v.page.wait_for_selector("#person-faces .fine")
    assert v.page.input_value("#person-name :is(input, textarea)") == "Half Added"
    assert v.page.input_value("#form-agreed :is(input, textarea)") == "Somebody Else"
    v.page.click("#person-add")
    v.page.wait_for_selector("#person-summary:has-text('Half Added')")
    v.page.click("#people-list [data-id=new]")
    v.page.wait_for_selector("#person-name", state="visible")
    assert v.page.input_value("#person-name :is(input, textarea)") == ""
    assert v.page.input_value("#form-agreed :is(input, textarea)") == "", "nobody's word goes on to the next person"


def test_a_timer_that_fails_says_nothing_on_the_page(caplog):

    def broken():
        raise RuntimeError("database is gone")

    assert guard.unasked(broken)()["__type__"] == "update"
    assert "database is gone" in caplog.text


def test_only_the_stable_names_are_public(server):
    from studio.ui.api.actions import NAMES

    named = json.loads(fetch(server.url + "gradio_api/info")[1])["named_endpoints"]
    assert set(named) == {f"/{name}" for name in NAMES}


def test_api_answers_and_refuses_files_it_was_not_given(server, tmp_path):
    from gradio_client import Client
    from gradio_client.exceptions import AppError

    client = Client(server.url, verbose=False, download_files=str(tmp_path))
    try:
        assert isinstance(client.predict(api_name="/list_identities"), list)
        with pytest.raises(AppError, match="not uploaded"):
            client.predict("Mallory", [str(ROOT / "app.py")], api_name="/add_identity")
    finally:
        client.close()


@pytest.mark.parametrize(
    "path", ["studio.db", "media", "settings.toml", "watermark.key", "keys/key.pem", "../../../etc/passwd"]
)
def test_database_and_media_cannot_be_fetched(server, path):
    target = (server.data_dir / path).as_posix()
    assert fetch(f"{server.url}gradio_api/file={target}")[0] in (403, 404)


def test_every_tab_module_is_in_the_table():
    from studio.ui.tabs import TABS

    modules = {p.stem for p in (ROOT / "studio/ui/tabs").glob("*.py")} - {"__init__"}
    assert {kind.__module__.rsplit(".", 1)[-1] for kind in TABS} == modules
    assert [kind.title for kind in TABS] == [
        "Identities", "Train", "Generate", "Expression", "Animate", "Video", "Library", "Jobs", "Settings",
    ]  # fmt: skip


def test_every_control_of_the_table_has_a_slider(server):
    from studio.domain.expression import CONTROLS

    config = json.loads(fetch(server.url + "config")[1])
    ids = {c["props"].get("elem_id") for c in config["components"] if c["type"] == "slider"}
    assert {f"control-{c.name}" for c in CONTROLS} <= ids


LISTENERS_OF = """
import sys
from pathlib import Path
from studio.studio import Studio
from studio.ui import build
with Studio(Path(sys.argv[1])) as opened:
    page = build.build(opened.for_owner(), opened.upkeep, Path(sys.argv[1]))
    for one in page.fns.values():
        names = [getattr(c, "elem_id", "") for c in one.outputs]
        if sys.argv[2] in names and not any(type(c).__name__ == "Tabs" for c in one.outputs):
            print(one.concurrency_id, one.concurrency_limit)
"""


def lanes_of(piece: str, folder: Path) -> list[str]:
    """Return in which lanes wait those who draw a piece of the page, but for what hands over from another tab."""
    command = [sys.executable, "-c", LISTENERS_OF, str(folder / "data"), piece]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout.splitlines()


@pytest.mark.parametrize("tab", ["animate", "expression"])
def test_answers_that_draw_the_strip_of_portraits_come_one_after_the_other(tmp_path, tab):
    """A strip that was begun before a picture was dropped must not arrive after it: it would not show the picture."""
    said = lanes_of(f"{tab}-people", tmp_path)
    assert len(said) >= 6
    assert set(said) == {f"{tab} form 1"}


def test_answers_that_draw_a_person_come_one_after_the_other(tmp_path):
    """What was read before a consent was recorded must not arrive after it: all of them wait in one line."""
    said = lanes_of("person-summary", tmp_path)
    assert len(said) > 10
    assert set(said) == {"person 1"}
