"""The whole story in a real browser: a person, sliders, speech, a playing clip, the Library, once more."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pygltflib
from gradio_client import Client

from tests.ui.conftest import DESKTOP, PHONE, SCREENSHOTS

NAME = "Eileen"
STICKING_OUT = """(tab) => {
  const held = (e) => {
    for (let a = e; a; a = a.parentElement) if (/auto|scroll|hidden/.test(getComputedStyle(a).overflowX)) return true;
    return false;
  };
  return [...document.querySelectorAll(`${tab} :is(button, input, textarea, img, video, p, h2, .block)`)]
    .filter((e) => e.offsetParent && e.getBoundingClientRect().right > window.innerWidth + 1 && !held(e))
    .map((e) => e.id || e.className).slice(0, 5);
}"""
"""Visible pieces that reach beyond the right edge of the page and cannot be scrolled to."""


NEW_JOB_DONE = """before => [...document.querySelectorAll('#jobs-list .job[data-state=done]')]
    .map((job) => job.dataset.job).find((id) => !before.includes(id))"""
"""Other stories' jobs stand in the same list."""


def wait_for_new_picture(visit, before: str) -> str:
    visit.page.wait_for_function(
        "old => { const i = document.querySelectorAll('#expression-picture img')[1]; return i && i.src !== old }",
        arg=visit.page.evaluate("s => new URL(s, location.href).href", before),
    )
    return visit.picture_source()


def shoot(visit, name: str) -> None:
    SCREENSHOTS.mkdir(exist_ok=True)
    visit.page.screenshot(path=str(SCREENSHOTS / f"{name}.png"))


def test_story(visit, own_portrait, speech, server, tmp_path):
    v = visit()
    page = v.page

    # a new studio says what to do first; a person is added with one photo and a consent
    v.open("identities")
    page.click("#people-list [data-id=new]")
    page.wait_for_selector("#person-name", state="visible")
    page.fill("#person-name textarea, #person-name input", NAME)
    page.set_input_files("#person-photos input[type=file]", str(own_portrait))
    page.wait_for_selector("#person-faces .hints, #person-faces .fine")
    page.fill("#form-agreed textarea, #form-agreed input", "Eileen Collins")
    shoot(v, "story-1-add")
    page.click("#person-add")
    page.wait_for_selector(f"#person-summary:has-text('{NAME}')")
    assert "agreed" in page.inner_text(f"#people-list .card:has-text('{NAME}')").lower()

    # sliders: the picture changes on release, adds up, is undone, and is kept
    page.click("#person-to-expression")
    page.wait_for_selector("#expression-picture img")
    before = v.picture_source()
    page.locator("#control-smile input[type=range]").focus()
    page.keyboard.press("End")
    smiling = wait_for_new_picture(v, before)
    page.locator("#control-headYaw input[type=number]").fill("10")
    page.keyboard.press("Enter")
    turned = wait_for_new_picture(v, smiling)
    shoot(v, "story-2-expression")
    page.click("#expression-undo")
    assert wait_for_new_picture(v, turned) == smiling
    assert page.input_value("#control-headYaw input[type=number]") == "0"
    page.click("#expression-save")
    v.toast("in the Library")
    with page.expect_download() as download:
        page.click("#expression-download")
    kept = tmp_path / "edited.png"
    download.value.save_as(kept)
    assert kept.read_bytes()[:4] == b"\x89PNG"
    with page.expect_download() as download:
        page.click("#expression-head-glb")
    download.value.save_as(head := tmp_path / download.value.suggested_filename)
    assert head.suffix == ".glb"
    (mesh,) = pygltflib.GLTF2.load(str(head)).meshes
    assert mesh.weights[mesh.extras["targetNames"].index("mouthSmileLeft")] > 0.3, "as the sliders stand"
    taken: list[str] = []
    page.on("download", lambda one: taken.append(one.url))
    page.evaluate("url => window.studioTake({ url, orig_name: 'old' })", download.value.url)
    page.wait_for_timeout(1000)
    assert taken == [], "a press that failed does not hand out what the one before it made"

    # speech under the smile: first seconds at once, then the whole clip as a job
    page.click("#expression-animate")
    page.wait_for_selector("#tab-animate-button[aria-selected=true]")
    page.wait_for_selector("text=With your expression")
    page.set_input_files("#animate-sound input[type=file]", str(speech))
    page.fill("#animate-transcript textarea", "hello there my friend")
    page.click("#animate-preview")
    page.wait_for_selector("#animate-caption:has-text('Preview')")
    page.wait_for_selector("#animate-video video")
    page.click("#animate-make")
    page.wait_for_selector("#animate-progress .job, #animate-progress .notice.good")
    v.done("#animate-progress")
    assert_plays_with_sound(page, "#animate-video video")
    shoot(v, "story-3-clip")
    with page.expect_download() as download:
        page.click("#animate-get-csv")
    download.value.save_as(tmp_path / "curves.csv")
    assert "JawOpen" in (tmp_path / "curves.csv").read_text().splitlines()[0]
    assert not page.is_visible("#animate-get-bvh"), "what few take is folded away"
    assert not page.is_visible("#animate-get-head"), "the page presses it, no person"
    page.click("#animate-more-files button.label-wrap")
    with page.expect_download() as download:
        page.click("#animate-get-bvh")
    download.value.save_as(tmp_path / "motion.bvh")
    assert (tmp_path / "motion.bvh").read_text().startswith("HIERARCHY")
    with page.expect_download() as download:
        page.click("#animate-make-head")
    download.value.save_as(moving := tmp_path / "moving.glb")
    assert pygltflib.GLTF2.load(str(moving)).animations[0].channels[0].target.path == "weights"
    with page.expect_download() as download:
        page.click("#animate-get-clip")
    clip = tmp_path / "clip.mp4"
    download.value.save_as(clip)

    # tomorrow: another browser finds both, with the recipe, and makes the clip once more
    w = visit()
    w.open("jobs")
    w.page.wait_for_selector("#jobs-list .job")
    before = w.page.eval_on_selector_all("#jobs-list .job", "jobs => jobs.map((j) => j.dataset.job)")
    w.tab("library")
    w.page.wait_for_selector("#library-grid .card >> nth=1")
    w.page.click("#library-grid .card:has(.corner)")
    w.page.wait_for_selector("#library-video video")
    assert_plays_with_sound(w.page, "#library-video video")
    assert "rig" in w.page.inner_text("#library-about")
    with w.page.expect_download() as download:
        w.page.click("#library-get-srt")
    download.value.save_as(tmp_path / "clip.srt")
    assert " --> " in (tmp_path / "clip.srt").read_text(), "what was heard, and when"
    w.page.click("#library-recipe button.label-wrap")
    w.page.wait_for_selector("#library-recipe .cm-content:has-text('\"engines\"')")
    asked = newest_recipe(server.url, tmp_path)["request"]
    assert asked["expression"] == {"smile": 1.0}
    assert asked["transcript"] == "hello there my friend"
    shoot(w, "story-4-library")
    w.page.click("#library-drop button.label-wrap")
    w.page.set_input_files("#library-file input[type=file]", str(clip))
    w.page.wait_for_selector("#library-found .notice.good")
    w.page.click("#library-rerun")
    w.page.wait_for_selector("#tab-jobs-button[aria-selected=true]")
    made = w.page.wait_for_function(NEW_JOB_DONE, arg=before).json_value()
    shoot(w, "story-5-jobs")
    w.page.click(f"#jobs-list [data-job='{made}'] [data-act=show]")
    w.page.wait_for_selector("#library-about:has-text('Made again from')")
    w.tab("library")
    w.page.click("#library-verify button.label-wrap")
    w.page.click("#library-verify-button")
    w.page.wait_for_selector("#library-report .notice.good")


def newest_recipe(url: str, folder: Path) -> dict[str, Any]:
    """Return the recipe of the newest clip, as other programs read it."""
    client = Client(url, verbose=False, download_files=str(folder))
    try:
        newest = client.predict(kind="clip", api_name="/library")["renders"][0]["id"]
        return dict(client.predict(newest, api_name="/show_render")["recipe"])
    finally:
        client.close()


def assert_plays_with_sound(page, selector: str) -> None:
    """The clip in the player runs forward, has a picture, and an audio track that is not muted."""
    page.wait_for_function("s => document.querySelector(s).readyState >= 1", arg=selector)
    page.eval_on_selector(selector, "video => { video.play(); }")
    page.wait_for_function("s => document.querySelector(s).currentTime > 0.2", arg=selector)
    page.wait_for_function("s => document.querySelector(s).webkitAudioDecodedByteCount > 0", arg=selector)
    facts = page.eval_on_selector(
        selector,
        "video => ({ width: video.videoWidth, seconds: video.duration, muted: video.muted,"
        " tracks: video.captureStream().getAudioTracks().length })",
    )
    assert facts["width"] >= 256
    assert 1.5 < facts["seconds"] < 3.5
    assert facts["tracks"] == 1
    assert not facts["muted"]


def test_every_tab_looks_right_on_every_screen(visit, with_person, portrait):
    """Leaves a picture of every tab; nothing may stick out of the page sideways."""
    from studio.ui.tabs import TABS

    with_person("Tabitha", [portrait], "edit")
    for screen, viewport in (("desktop", DESKTOP), ("phone", PHONE)):
        v = visit(viewport)
        v.open()
        for tab in TABS:
            v.tab(tab.id)
            if tab.id == "expression":
                v.page.click("#expression-people .card:has-text('Tabitha')")
                v.page.wait_for_selector("#expression-picture img")
            v.settle()
            out = v.page.evaluate(STICKING_OUT, f"#tab-{tab.id}")
            assert out == [], f"{tab.id} on {screen}: {out} reach beyond the right edge"
            if tab.id == "expression" and screen == "desktop":
                v.page.mouse.move(1000, 500)
                v.page.evaluate("document.addEventListener('scroll', () => { window.scrolled = true }, true)")
                v.page.mouse.wheel(0, 400)
                v.page.wait_for_function("window.scrolled")
                v.settle()
                top = v.page.evaluate("document.querySelector('#expression-picture').getBoundingClientRect().top")
                assert top >= 0, "the picture left the screen while the sliders scrolled"
                v.page.mouse.wheel(0, -400)
            for scheme in ("light", "dark"):
                v.page.emulate_media(color_scheme=scheme)
                v.page.wait_for_function(
                    "dark => document.body.classList.contains('dark') === dark", arg=scheme == "dark"
                )
                v.settle()
                shoot(v, f"{tab.id}-{screen}-{scheme}")
