"""What the forms answer when a tab is opened while it is being filled, or opened again: nothing chosen is lost."""

from __future__ import annotations

import asyncio
import json
import re
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace
from urllib.parse import unquote

import gradio as gr
import numpy as np
import pytest
from gradio.context import LocalContext
from PIL import Image

import studio as package
from studio.domain.adapter import NewAdapter
from studio.domain.expression import ExpressionEdit
from studio.domain.render import NewRender
from studio.engines.media.pictures import write_png
from studio.errors import NotFoundError, UserInputError
from studio.jobs.executor import own_claim
from studio.services.clips.animation import Amounts, AnimationRequest
from studio.services.pictures.generation import GenerationRequest
from studio.services.sources import MediaSource
from studio.services.video.request import VideoRequest
from studio.store import Store
from studio.studio import Studio
from studio.ui import quick_start
from studio.ui.api.actions import Api
from studio.ui.kit import text
from studio.ui.kit.clip_stage import ClipStage
from studio.ui.kit.portrait_chooser import PortraitChooser
from studio.ui.pictures.picture_form import PLACES, PictureForm
from studio.ui.shelf import Shelf
from studio.ui.tabs.animate import AMOUNT_NAMES, AnimateTab
from studio.ui.tabs.expression import ExpressionTab
from studio.ui.tabs.generate import GenerateTab
from studio.ui.tabs.identities import IdentitiesTab
from studio.ui.tabs.library import LibraryTab, title_of_render
from studio.ui.tabs.video import VideoTab
from studio.ui.window import Window

ME = "local"


@pytest.fixture
def window(tmp_path):
    with Studio(tmp_path / "data") as opened:
        shelf = Shelf(tmp_path / "cache")
        yield Window(opened.for_owner(ME), opened.upkeep, shelf, tmp_path / "data", package.__version__)


def an_adapter(window: Window, name: str, **values: str):
    with Store(window.data_dir) as store:
        sha256 = store.of(ME).media.put(name.encode(), ".safetensors")
        return store.of(ME).adapters.add(NewAdapter(name=name, media_sha256=sha256, **values))


def a_form(window: Window) -> PictureForm:
    """A form whose components are their names: what a handler answers is read by name."""
    form = PictureForm(window)
    for name in ("base", "note", "adapters", "words", "wearing", "size", "prompt"):
        setattr(form, name, name)
    form.strengths = [f"strength {place}" for place in range(PLACES)]
    return form


def a_person_page(window: Window) -> IdentitiesTab:
    """The page of a person whose components are their names."""
    tab = IdentitiesTab(window)
    names = ("list", "form", "page", "summary", "person_photos", "consents", "revoke", "danger", "plan", "new_name")
    for name in (*names, "typed", "heap_page", "erase", "erase_asked"):
        setattr(tab, name, name)
    tab.set.fold, tab.variants.fold, tab.bundle.fold = "fold", "variants", "bundle"
    tab.heap.show = lambda shown: {}
    return tab


def said(update, field: str = "value"):
    """What an update of a component sets; gradio keeps it as it was written while it answers an event."""
    return update.constructor_args[field]


@pytest.fixture(autouse=True)
def answering():
    """Components are updates, not new parts of a page."""
    token = LocalContext.in_event_listener.set(True)
    yield
    LocalContext.in_event_listener.reset(token)


def test_an_adapter_stays_on_when_the_tab_opens_before_it_knows_its_base(window):
    base = window.studio.bases.list()[0].card
    worn = an_adapter(window, "Ruby", family=base.family, base_name=base.name, trigger="sks person")
    form = a_form(window)
    answer = form.fill(None, [worn.id], "a photo of sks person", 0.8)
    assert said(answer["base"]) == base.name
    assert said(answer["adapters"]) == answer["wearing"] == [worn.id]
    assert (said(answer["strength 0"]), said(answer["strength 0"], "visible")) == (0.8, True)
    assert said(answer["size"]), "the size of the base is chosen with it"


def test_an_adapter_that_is_gone_comes_off(window):
    form = a_form(window)
    answer = form.fill(None, ["gone"], "a photo", 0.8)
    assert said(answer["base"]) == window.studio.bases.list()[0].card.name
    assert said(answer["adapters"]) == answer["wearing"] == []


def test_an_adapter_without_a_base_says_so(window, monkeypatch):
    only = [e for e in window.studio.bases.list() if e.card.family == "preview"]
    monkeypatch.setattr(window.studio.bases, "list", lambda: only)
    foreign = an_adapter(window, "Far", family="sdxl")
    with pytest.raises(NotFoundError, match="No base model suits Far"):
        a_form(window).hand_over(foreign)


def test_opening_the_tab_again_closes_no_fold_and_keeps_what_is_typed(window):
    with Store(window.data_dir) as store:
        grace = store.of(ME).identities.add("Grace")
    tab = a_person_page(window)
    answer = tab.refresh(grace.id)
    assert not {"danger", "fold", "variants", "bundle", "typed"} & set(answer)
    assert "Type Grace below" in answer["plan"], "what deleting takes is said of the person who is shown now"
    assert said(tab.show(grace.id)["danger"], "open") is False, "another person's page begins with its folds closed"


def built(piece):
    """A tab or form with its real components; what a handler answers is read by component.

    Built in a thread of its own, where no listener is being answered, and inside an event loop: gradio would start
    one for each of its locks and close none.
    """

    async def build() -> None:
        with quick_start.without_servers(), gr.Blocks():
            piece.build()

    with ThreadPoolExecutor(1) as aside:
        aside.submit(lambda: asyncio.run(build())).result()
    return piece


def test_a_refresh_keeps_whether_a_preset_takes_the_place_of_sliders(window):
    tab = built(ExpressionTab(window))
    assert tab._restore({"keep_own": False}, None)[tab.keep_own] is False
    assert tab.keep_own not in tab._restore({"keep_own": "no"}, None)


def test_what_was_deleted_last_in_the_library_can_be_brought_back(window, portrait):
    me = window.studio
    made = me.expressions.save(me.expressions.open(MediaSource.file(portrait)), ExpressionEdit({"smile": 0.5}))
    tab = built(LibraryTab(window))
    again = ("", "", False, "", [None])
    answer = tab._delete(made.id, *again)
    assert me.library.page().total == 0
    assert answer[tab.gone] == made.id
    assert said(answer[tab.back], "visible")
    back = tab._bring_back(made.id, *again)
    assert me.library.page().total == 1
    assert back[tab.selected] == made.id
    assert not said(back[tab.back], "visible")


def test_a_preview_says_at_once_that_it_is_drawn_and_a_failed_one_leaves_no_word(window, monkeypatch):
    tab, drawn = built(AnimateTab(window)), []

    def fails(request):
        drawn.append(request)
        raise UserInputError("No.", "Ask for another.")

    monkeypatch.setattr(tab, "_asked", lambda *values: "asked")
    monkeypatch.setattr(tab, "_preview", fails)
    saying = tab._previewed()
    assert "Drawing the first seconds" in next(saying)[tab.stage.caption]
    assert drawn == [], "it is said before the work begins"
    assert next(saying) == {tab.stage.caption: ""}
    with pytest.raises(UserInputError):
        next(saying)


def test_a_refresh_brings_back_what_was_filled_in(window, portrait):
    tab = built(AnimateTab(window))
    lying = str(window.shelf.put(portrait))
    kept = {
        "choice": json.dumps({"path": lying, "face_index": 0, "title": "Ann"}),
        "sound": {"path": lying},
        "transcript": "hello there",
        "size": 512,
        "jaw": 1.5,
        "expression": json.dumps({"values": {"smile": 0.4}, "neutralise": False}),
    }
    answer = tab._restore(kept, None, None)
    assert answer[tab.chooser.choice] == {"path": lying, "face_index": 0, "title": "Ann"}
    assert said(answer[tab.speech.sound]) == lying
    assert (answer[tab.speech.transcript], answer[tab.size], answer[tab.amounts[0]]) == ("hello there", 512, 1.5)
    assert answer[tab.expression] == {"values": {"smile": 0.4}, "neutralise": False}
    assert tab.chooser.choice not in tab._restore(kept, {"photo_id": "handed over"}, None)


@pytest.mark.parametrize(
    "kept",
    [
        {"choice": json.dumps({"path": "/etc/passwd", "face_index": 0})},
        {"choice": json.dumps({"photo_id": "gone"})},
        {"choice": "[1"},
        {"choice": [1], "expression": 3},
        {"sound": {"path": "/etc/passwd"}},
        {"sound": "/etc/passwd"},
        {"size": 77, "jaw": 99, "transcript": 5, "still": "yes", "seed": None},
        {"expression": json.dumps({"values": {"nose": 1}, "neutralise": False})},
    ],
)
def test_a_draft_that_does_not_fit_is_left_out(window, kept):
    assert built(AnimateTab(window))._restore(kept, None, None) == {}


def test_a_picture_form_comes_back_with_what_it_wore(window):
    base = window.studio.bases.list()[0].card
    worn = an_adapter(window, "Ruby", family=base.family, base_name=base.name, trigger="sks person")
    form = built(PictureForm(window))
    kept = {"prompt": "a photo of sks person", "base": base.name, "adapters": [worn.id, "gone"], "strength 0": 0.7}
    answer = form.restore({**kept, "steps": 7, "guidance": 99}, [], None)
    assert (answer[form.prompt], said(answer[form.adapters])) == ("a photo of sks person", [worn.id])
    assert (said(answer[form.strengths[0]]), answer[form.steps]) == (0.7, 7)
    assert form.guidance not in answer
    assert form.prompt not in form.restore(kept, [worn.id], None), "an adapter that was handed over has its own words"


def a_render(window: Window, kind: str, recipe: dict, **values: object):
    with Store(window.data_dir) as store:
        me = store.of(ME)
        inputs = {role: me.media.put(role.encode(), ".png") for role in values.pop("roles", ())}
        sha256 = me.media.put(json.dumps(recipe).encode(), ".png")
        made = {"engine": "rig", "engine_version": "1", "media_sha256": sha256, "inputs": inputs, **values}
        return me.renders.add(NewRender(kind=kind, recipe=recipe, **made))


def test_a_clip_opens_with_the_settings_it_was_made_with(window):
    tab = built(AnimateTab(window))
    request = AnimationRequest(
        portrait=MediaSource.media("a" * 64), face_index=1, sound=MediaSource.media("b" * 64), transcript="hello",
        emotions={"joy": 0.3}, amounts=Amounts(head=0.0, jaw=1.4), expression={"smile": 0.2}, size=512, seed=9,
    )  # fmt: skip
    clip = a_render(window, "clip", {"request": request.model_dump(mode="json")}, roles=("portrait", "sound"))
    answer = tab.reopen(clip, window.studio.library.inputs(clip))
    assert (answer[tab.speech.transcript], answer[tab.seed], answer[tab.size], answer[tab.still]) == (
        "hello",
        9,
        512,
        True,
    )
    assert (answer[tab.emotion], answer[tab.strength]) == ("joy", 0.3)
    assert answer[dict(zip(AMOUNT_NAMES, tab.amounts, strict=True))["jaw"]] == 1.4
    assert answer[tab.chooser.choice]["face_index"] == 1
    assert window.shelf.holds(said(answer[tab.speech.sound]))
    assert answer[tab.expression]["values"] == {"smile": 0.2}
    assert set(answer) <= set(tab.reopened)


def test_a_clip_of_recorded_motion_opens_with_the_recording(window, monkeypatch):
    told = []
    monkeypatch.setattr(gr, "Warning", lambda words, **options: told.append(words))
    tab = built(AnimateTab(window))
    request = AnimationRequest(portrait=MediaSource.media("a" * 64), motion=MediaSource.media("b" * 64))
    recipe = {"request": request.model_dump(mode="json")}
    clip = a_render(window, "clip", recipe, roles=("portrait", "motion"))
    answer = tab.reopen(clip, window.studio.library.inputs(clip))
    assert window.shelf.holds(said(answer[tab.mover.motion]))
    assert set(answer) <= set(tab.reopened)
    assert told == []
    gone = a_render(window, "clip", recipe, roles=("portrait",))
    assert tab.reopen(gone, window.studio.library.inputs(gone))[tab.mover.motion] is None
    assert "the motion" in told[0]


def test_a_clip_whose_sound_is_gone_opens_with_the_rest(window, monkeypatch):
    told = []
    monkeypatch.setattr(gr, "Warning", lambda words, **options: told.append(words))
    tab = built(AnimateTab(window))
    request = AnimationRequest(portrait=MediaSource.media("a" * 64), sound=MediaSource.media("b" * 64))
    clip = a_render(window, "clip", {"request": request.model_dump(mode="json")}, roles=("portrait",))
    answer = tab.reopen(clip, window.studio.library.inputs(clip))
    assert answer[tab.speech.sound] is None
    assert "the sound" in told[0]


def test_a_drawn_clip_opens_with_its_person_words_and_sound(window, monkeypatch):
    told = []
    monkeypatch.setattr(gr, "Warning", lambda words, **options: told.append(words))
    tab = built(VideoTab(window))
    base = window.studio.bases.list()[0].card
    worn = an_adapter(window, "Ruby", family=base.family, base_name=base.name, trigger="sks person")
    request = VideoRequest(
        base=base.name, prompt="sks person", sound=MediaSource.media("b" * 64), transcript="hello", change=0.3, seed=9,
        own_lips=False, emotions={"joy": 0.6},
    )  # fmt: skip
    adapters = [{"name": "Ruby", "sha256": worn.media_sha256, "strength": 0.6, "trigger": ""}]
    recipe = {"request": request.model_dump(mode="json"), "base": {"name": base.name}, "adapters": adapters}
    clip = a_render(window, "clip", recipe, roles=("sound",))
    answer = tab.reopen(clip, window.studio.library.inputs(clip))
    assert (said(answer[tab.base]), said(answer[tab.adapter]), answer[tab.strength]) == (base.name, worn.id, 0.6)
    assert (answer[tab.prompt], answer[tab.change], answer[tab.own_lips]) == ("sks person", 0.3, False)
    assert (answer[tab.speech.transcript], answer[tab.seed], answer[tab.emotion]) == ("hello", 9, "joy")
    assert window.shelf.holds(said(answer[tab.speech.sound]))
    assert set(answer) <= set(tab.reopened)
    assert told == []
    recipe["adapters"] = [{**adapters[0], "sha256": "0" * 64}]
    gone = a_render(window, "clip", recipe)
    again = tab.reopen(gone, window.studio.library.inputs(gone))
    assert said(again[tab.adapter]) == ""
    assert "Ruby" in told[0]
    assert "the sound" in told[0]


def test_motion_is_offered_where_there_is_some_and_asked_for(window, monkeypatch):
    tab = built(VideoTab(window))
    base = window.studio.bases.list()[0].card
    assert not said(tab._motions(base.name, "")[tab.motion], "visible"), "none ships"
    motions = window.studio.video.motions
    monkeypatch.setattr(motions, "_is_here", lambda card: card.source == "embedded")
    offered = tab._motions(base.name, "preview")
    assert said(offered[tab.motion]) == "preview"
    assert said(offered[tab.moving], "visible")
    assert not said(tab._motions(base.name, "gone since")[tab.moving], "visible")
    said_so = [base.name, "", 1.0, "sks person", 1, "", 0.4, True, "preview", 0.5, 0.25, "", "mp4", 25]
    request = tab._request(*said_so, None, None, "en", "Hello", None)
    assert (request.motion, request.anchored, request.control) == ("preview", 0.5, 0.25)


def test_a_drawn_picture_goes_on_to_speak(window):
    tab = built(VideoTab(window))
    base = window.studio.bases.list()[0].card
    worn = an_adapter(window, "Ruby", family=base.family, base_name=base.name, trigger="sks person")
    request = GenerationRequest(base=base.name, prompt="sks person in blue", width=64, height=64, steps=7, seed=41)
    adapters = [{"name": "Ruby", "sha256": worn.media_sha256, "strength": 0.6, "trigger": ""}]
    recipe = {"request": request.model_dump(mode="json"), "base": {"name": base.name}, "adapters": adapters}
    drawn = a_render(window, "image", recipe, engine="diffusion")
    answer = tab.hand_over(drawn)
    assert (answer[tab.picture], answer[tab.prompt], answer[tab.seed]) == (drawn.id, "sks person in blue", 41)
    assert (said(answer[tab.adapter]), answer[tab.strength]) == (worn.id, 0.6)
    assert set(answer) <= set(tab.handed)
    kept = {"prompt": "older words", "seed": 3, "change": 0.2}
    assert tab.prompt not in tab._restore(kept, drawn.id), "what was handed over stays"
    assert tab._restore(kept, drawn.id)[tab.change] == 0.2


def test_a_drawn_picture_opens_with_its_words_base_adapters_and_seed(window, monkeypatch):
    told = []
    monkeypatch.setattr(gr, "Warning", lambda words, **options: told.append(words))
    tab = built(GenerateTab(window))
    base = window.studio.bases.list()[0].card
    worn = an_adapter(window, "Ruby", family=base.family, base_name=base.name, trigger="sks person")
    request = GenerationRequest(base=base.name, prompt="sks person in blue", width=64, height=64, steps=7, seed=41)
    adapters = [
        {"name": "Ruby", "sha256": worn.media_sha256, "strength": 0.6, "trigger": ""},
        {"name": "Lost", "sha256": "c" * 64, "strength": 1.0, "trigger": ""},
    ]
    recipe = {"request": request.model_dump(mode="json"), "base": {"name": base.name}, "adapters": adapters}
    picture = a_render(window, "image", recipe)
    answer = tab.reopen(picture, {})
    form = tab.form
    assert (answer[form.prompt], answer[form.steps], answer[form.seed]) == ("sks person in blue", 7, 41)
    assert (said(answer[form.adapters]), said(answer[form.strengths[0]])) == ([worn.id], 0.6)
    assert answer[form.lock] is True, "the same seed again"
    assert "the adapter Lost" in told[0]
    assert set(answer) <= set(tab.reopened)


def test_titles_and_tiles_of_the_library_are_readable(window):
    tab = LibraryTab(window)
    edit = {"values": {"eyeWideLeft": 0.5, "eyeWideRight": 0.5}, "neutralise": False}
    old = a_render(window, "image", {"request": edit}, title="eyeWideLeft, eyeW...")
    assert title_of_render(old) == "Eye wide"
    drawn = {"request": {"prompt": "a " + "very " * 40 + "long wish", "seed": 3}, "base": {"name": "preview"}}
    picture = a_render(window, "image", drawn, title="a very very very…")
    assert tab._card(picture, {}).line.startswith("seed 3 · ")
    assert "long wish" in tab._facts(picture), "the whole wish is at hand"
    assert len(text.shortened(drawn["request"]["prompt"])) <= 90


def test_the_form_says_which_words_the_base_does_not_know(window):
    form = PictureForm(window)
    assert "“astronaut”" in form._read("preview", "a photo of an astronaut")
    assert "All 5 words count" in form._read("preview", "a photo of a woman")
    assert "2 pieces" in form._read("preview", "happy woman " * 60)
    assert form._read("preview", "  ") == form._read(None, "a woman") == ""


def test_dropped_photos_are_shown_small_with_what_they_are_worth(window, portrait, tmp_path):
    tab = IdentitiesTab(window)
    empty = tmp_path / "wall.png"
    Image.new("RGB", (900, 700), (180, 170, 160)).save(empty)
    said, _ = tab._look([str(portrait), str(empty)], {})
    assert said.count("<img src=") == 2
    assert "no face" in said
    for address in re.findall(r'<img src="gradio_api/file=([^"]+)"', said):
        with Image.open(Path(unquote(address)), formats=["JPEG"]) as small:
            assert max(small.size) <= 320


def test_a_stranger_among_dropped_photos_is_said(window, portrait, monkeypatch):
    monkeypatch.setattr(window.studio.identities, "strangers_among", lambda photos: (1,))
    said, _ = IdentitiesTab(window)._look([str(portrait), str(portrait)], {})
    assert said.count("may be another person") == 1
    assert "1 photo is good to work with" in said, "the first one is"
    assert "Take it out" in said


def test_good_photos_are_counted_in_one_line(window, portrait):
    said, _ = IdentitiesTab(window)._look([str(portrait)] * 9, {})
    assert said.count("good to work with") == 1
    assert "9 photos are good to work with" in said


def test_a_clip_that_ended_during_a_refresh_is_shown_when_the_tab_is_opened(window, portrait, monkeypatch):
    stage = ClipStage(window, "animate", "animate", "")
    for name in ("looked", "watched", "shown", "progress"):
        setattr(stage, name, name)
    monkeypatch.setattr(stage, "_finished", lambda job: {"clip": job.outputs["render_id"]})
    assert stage._show_newest(False, None) == {"looked": True}
    with Store(window.data_dir) as store:
        mine = store.of(ME)
        sha256 = mine.media.put(portrait.read_bytes(), portrait.suffix)
        kept = mine.renders.add(
            NewRender(kind="clip", media_sha256=sha256, recipe={}, engine="rig", engine_version="1", title="Hello")
        )
        for outputs in ({"render_id": kept.id}, {"render_id": "deleted"}):
            mine.jobs.add("animate", {}, title="Hello")
            claim = own_claim()
            job = store.claims.claim_next(claim)
            assert job is not None
            store.claims.finish(job, claim.token, "done", message="Done.", outputs=outputs)
    assert stage._show_newest(False, None)["clip"] == kept.id, "the newest that is still there"
    assert stage._show_newest(True, None) == {"looked": True}, "a preview that stands there stays"


def test_photos_of_one_person_are_told_apart_in_the_strip(window, portrait, tmp_path):
    other = tmp_path / "at the sea.png"
    with Image.open(portrait, formats=["JPEG", "PNG"]) as photo:
        photo.transpose(Image.Transpose.FLIP_LEFT_RIGHT).save(other)
    window.studio.identities.add("Ann", [portrait, other])
    window.studio.identities.add("Bea", [portrait])
    lines = re.findall(r'<span class="line ">([^<]*)</span>', PortraitChooser(window, "animate").strip(None))
    assert sorted(lines) == sorted([portrait.name, "at the sea.png"])


def test_a_program_lets_people_talk_and_the_window_shows_how(window, tmp_path):
    import skimage.data

    from studio.services.sample import sample_speech
    from studio.studio import ASSETS

    photo = tmp_path / "ann.png"
    write_png(photo, np.ascontiguousarray(skimage.data.astronaut()[:320, 64:384]))
    api = Api(window)
    shown, sound = ({"file": {"path": str(window.shelf.put(p))}} for p in (photo, sample_speech(ASSETS).path))
    people = [{"portrait": shown, "name": name} for name in ("Ann", "Ben")]
    job = api.dialogue({"people": people, "sound": sound, "turns": "Ann 0 1\nBen 1 2 Hi", "shutter_degrees": 90})
    assert (job["kind"], job["state"]) == ("dialogue", "queued")
    kept = window.studio.jobs.get(job["id"]).params
    assert [turn["person"] for turn in kept["turns"]] == [0, 1]
    with pytest.raises(UserInputError, match="not uploaded"):
        api.dialogue({"people": people, "sound": {"file": {"path": str(photo)}}, "turns": "Ann 0 1"})
    fold = built(AnimateTab(window)).dialogue
    files = {"portrait 1": photo, "portrait 2": photo, "sound": sample_speech(ASSETS).path}
    filled = fold.of_render(SimpleNamespace(recipe={"request": kept}), files)
    assert filled[fold.names] == "Ann, Ben"
    assert filled[fold.turns] == "Ann  0:00.000  0:01.000\nBen  0:01.000  0:02.000  Hi"
