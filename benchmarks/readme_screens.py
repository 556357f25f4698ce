"""Makes the pictures of the window in the README, with the product itself, in Chromium.

    python -m benchmarks.readme_screens
    python -m benchmarks.readme_screens --data-dir out/screens

A studio is filled as a person would fill it: scikit-image's public-domain astronaut, and an invented person who is
rendered, trained on the preview base and drawn. Training takes some minutes; a data folder that is named is kept, and
what is in it already is not made again.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from benchmarks.first_page import ROOT, serving, wait_for
from benchmarks.personalization import rendered_people
from studio.domain.consent import Consent
from studio.errors import EngineUnavailableError
from studio.services.sample import sample_portrait, sample_speech
from studio.studio import ASSETS, Studio
from tests.chromium import find

OUT = ROOT / "docs" / "pictures"
SIZE = {"width": 1280, "height": 800}
PORTRAIT, TRAINED = "Eileen", "Ada"
LIMIT_SECONDS = 300.0
"""Of one wait for the page."""
WORK_LIMIT_MS = 1_800_000.0
"""Of one wait for a clip or a drawing, on a busy machine."""
PROMPT = "a photo of sks person with glasses, blue background"


def fill(data_dir: Path, work: Path) -> None:
    """Add the two people and train the adapter, where they are not there yet."""
    with Studio(data_dir) as opened:
        studio = opened.for_owner()
        known = {p.name: p.id for p in studio.identities.list()}
        if TRAINED not in known:
            known[TRAINED], other = rendered_people(studio, work)
            studio.identities.delete(other)
        if PORTRAIT not in known:
            agreed = Consent(agreed_by=PORTRAIT, scopes=("edit", "animate"), granted_at=datetime.now(UTC))
            studio.identities.add(PORTRAIT, [sample_portrait()], consent=agreed)
        if not studio.adapters.list():
            run = studio.training.train(known[TRAINED], studio.training.plan("preview-quick", "preview"))
            suggested = studio.runs.suggestion(run.id)
            best = suggested.checkpoint.id if suggested else studio.runs.checkpoints(run.id)[-1].id
            studio.runs.keep(best, TRAINED.lower())


def expression(page: Any) -> None:
    """Open the portrait, and move a slider."""
    page.locator("#expression-people .card", has_text=PORTRAIT).first.click()
    page.wait_for_selector("#expression-picture img")
    drawn = "() => [...document.querySelectorAll('#preset-list img')].every((i) => i.complete && i.naturalWidth)"
    page.wait_for_function(drawn)
    before = page.locator("#expression-picture img").nth(1).get_attribute("src")
    slider = page.locator("#control-smile input[type=range]")
    slider.focus()
    for _ in range(8):
        slider.press("ArrowRight")
    page.wait_for_function(
        "before => document.querySelectorAll('#expression-picture img')[1]?.getAttribute('src') !== before", arg=before
    )
    slider.blur()


def animate(page: Any) -> None:
    """Make the clip of the sample speech."""
    speech = sample_speech(ASSETS)
    page.locator("#animate-people .card", has_text=PORTRAIT).first.click()
    page.set_input_files("#animate-sound input[type=file]", str(speech.path))
    page.wait_for_selector("#animate-sound audio", state="attached")
    page.fill("#animate-transcript textarea", speech.transcript)
    page.click("#animate-make")
    page.wait_for_selector("#animate-progress :text('Done in')", timeout=WORK_LIMIT_MS)
    page.wait_for_function("() => (document.querySelector('#animate-video video')?.readyState ?? 0) >= 3")
    page.evaluate("() => { document.querySelector('#animate-video video').currentTime = 2.0; }")


def generate(page: Any) -> None:
    """Draw four pictures of the trained person."""
    # A list that is opened before its choices are there stays empty.
    page.wait_for_function("() => document.querySelector('#generate-base input')?.value")
    page.click("#generate-adapters input")
    page.locator("ul[role=listbox] li", has_text=TRAINED.lower()).click()
    page.keyboard.press("Escape")
    page.fill("#generate-prompt textarea", PROMPT)
    count = page.locator("#generate-count input[type=number]")
    count.fill("4")
    count.press("Enter")
    page.click("#generate-make")
    page.wait_for_selector("#generate-result figure", timeout=WORK_LIMIT_MS)
    drawn = "() => document.querySelectorAll('#generate-recent .card').length >= 4"
    page.wait_for_function(drawn, timeout=WORK_LIMIT_MS)
    likeness = [float(words) for words in page.locator("#generate-recent .corner").all_inner_texts()[:4]]
    page.locator("#generate-recent .card").nth(likeness.index(max(likeness))).click()


def train(page: Any) -> None:
    """Wait until the run of the trained person is shown."""
    page.wait_for_selector("#train-people [aria-pressed=true]")
    page.wait_for_selector("#train-plots svg")
    page.wait_for_selector("#train-preflight .preflight, #train-preflight .notice")


SCREENS: dict[str, Callable[[Any], None]] = {
    "expression": expression, "animate": animate, "generate": generate, "train": train,
}  # fmt: skip
"""What is done on each tab before its picture is taken; named like the tab."""


def shoot(url: str) -> None:
    """Do on each tab what its picture shows, and write the pictures.

    Raises:
        EngineUnavailableError: there is no Chromium.
    """
    from playwright.sync_api import sync_playwright

    program = find()
    if program is None:
        raise EngineUnavailableError("There is no Chromium on this computer.", "Run: python -m tests.chromium")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=str(program), args=["--no-sandbox", "--disable-gpu"])
        page = browser.new_page(viewport=SIZE, color_scheme="light")
        page.set_default_timeout(LIMIT_SECONDS * 1000)
        page.goto(url)
        page.wait_for_selector("#people-list .card")
        for name, act in SCREENS.items():
            page.click(f"#tab-{name}-button")
            page.wait_for_selector(f"#tab-{name}-button[aria-selected=true]")
            act(page)
            page.evaluate("() => document.querySelectorAll('.toast-close').forEach((b) => b.click())")
            page.mouse.move(SIZE["width"] - 2, SIZE["height"] - 2)
            page.evaluate("() => window.scrollTo(0, 0)")
            page.wait_for_timeout(1500)  # what still fades in
            page.screenshot(path=str(OUT / f"{name}.png"))
        browser.close()


def main(data_dir: Path | None = None) -> None:
    """Fill a studio, show it in a window, and take the pictures."""
    with tempfile.TemporaryDirectory() as scratch:
        folder = data_dir or Path(scratch)
        (folder / "data").mkdir(parents=True, exist_ok=True)
        fill(folder / "data", Path(scratch))
        with serving(["app.py"], folder) as (process, port):
            wait_for(process, port)
            shoot(f"http://127.0.0.1:{port}/")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data-dir", type=Path, help="where the studio lies; it is kept")
    main(parser.parse_args().data_dir)
