"""One studio with a window, one Chromium, and pages that remember what went wrong on them.

The studio is shared by all tests of a run, in whatever order they come: a test
makes what it needs under a name of its own, and expects to find more.
"""

from __future__ import annotations

import http.client
import os
import re
import secrets
import socket
import subprocess
import sys
import wave
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import urlsplit

import numpy as np
import pytest
from playwright.sync_api import Error as PlaywrightError

from tests.patience import PATIENCE_SECONDS, wait_until

ROOT = Path(__file__).resolve().parents[2]
SCREENSHOTS = Path(__file__).parent / "screenshots"
CHROMIUM_FLAGS = [
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update",
    "--disable-sync", "--disable-default-apps", "--no-first-run", "--autoplay-policy=no-user-gesture-required",
    "--disable-dev-shm-usage",
]  # fmt: skip
AT_REST = """() => {
  const boxes = [...document.querySelectorAll('.block, .card, .job, figure, img')].map((e) => {
    const b = e.getBoundingClientRect();
    return [b.left, b.top, b.width, b.height];
  });
  const moving = document.getAnimations().some(
    (a) => a.playState === 'running' && a.effect?.getComputedTiming().iterations !== Infinity);
  const loading = [...document.images].some(
    (i) => i.loading !== 'lazy' && i.getBoundingClientRect().width && !i.complete);
  const seen = JSON.stringify([location.href, boxes]);
  const rest = window.atRest ??= { seen: '', frames: 0, since: 0 };
  rest.frames = !moving && !loading && seen === rest.seen ? rest.frames + 1 : 0;
  if (!rest.frames) rest.since = performance.now();
  rest.seen = seen;
  return rest.frames >= 3 && performance.now() - rest.since > 250;
}"""
"""Asked once a frame: true after a quarter of a second, and three frames, in which nothing on the page was moved,
faded or loaded. Lists of jobs are drawn anew every second or so: on a busy machine many more frames never come."""
HEARD = """(() => {
  const said = new WeakMap();
  window.heard = [];
  new MutationObserver(() => {
    for (const t of document.getElementsByClassName('toast-body')) {
      const words = t.textContent.trim();
      if (!words || said.get(t) === words) continue;
      said.set(t, words);
      window.heard.push(words);
    }
  }).observe(document, { childList: true, characterData: true, subtree: true });
})()"""
"""Keeps what every notice of the window says from the moment it stands there: a busy page shows it for a few seconds
that may be over before anybody asks."""
NOTICE = "w => window.heard.find((t) => t.includes(w))"
CUT_OFF = re.compile("AbortError|Connection errored out")
"""What a page says about its open requests when it is left; the words may come late."""
LEFT = re.compile(f"{CUT_OFF.pattern}|network error|INCOMPLETE_CHUNKED|Unexpected error 404")
"""The same, said before the next page takes its place: its session is closed first, then its stream."""
DESKTOP, PHONE = {"width": 1280, "height": 800}, {"width": 390, "height": 844}


@dataclass
class Server:
    """A running `python app.py`."""

    url: str
    data_dir: Path
    log: Path


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def serving(folder: Path, **settings: str) -> Iterator[Server]:
    """Run a studio of its own in the folder.

    Args:
        settings: environment variables.
    """
    port, log = free_port(), folder / "app.log"
    environment = {
        **os.environ,
        "STUDIO_PORT": str(port),
        "STUDIO_DATA_DIR": str(folder / "data"),
        "STUDIO_SAMPLE": "no",
        "PYTHONUNBUFFERED": "1",
        **settings,
    }
    with log.open("wb") as out:
        process = subprocess.Popen([sys.executable, "app.py"], cwd=ROOT, env=environment, stdout=out, stderr=out)
        try:
            url = f"http://127.0.0.1:{port}/"
            wait_for(url, process, log)
            yield Server(url, folder / "data", log)
        finally:
            process.terminate()
            try:
                process.wait(PATIENCE_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with serving(tmp_path_factory.mktemp("window")) as running:
        yield running


@pytest.fixture
def own_server(tmp_path: Path) -> Iterator[Server]:
    """A studio that no other test has been in, for what is said of everything that lies there."""
    with serving(tmp_path) as running:
        yield running


def fetch(url: str) -> tuple[int, bytes]:
    """Return status and body; leaves no socket open, whatever the answer is."""
    where = urlsplit(url)
    connection = http.client.HTTPConnection(where.hostname, where.port, timeout=PATIENCE_SECONDS)
    try:
        connection.request("GET", where.path)
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()


def wait_for(url: str, process: subprocess.Popen[bytes], log: Path) -> None:
    def answers() -> bool:
        if process.poll() is not None:
            pytest.fail(f"app.py ended with {process.returncode}:\n{log.read_text(errors='replace')[-3000:]}")
        try:
            return fetch(url)[0] == 200
        except OSError:
            return False

    wait_until(answers, lambda: f"for {url}:\n{log.read_text(errors='replace')[-3000:]}")


@pytest.fixture(scope="session")
def chromium() -> Iterator[object]:
    from playwright.sync_api import sync_playwright

    from tests.chromium import find

    program = find()
    if program is None:
        pytest.fail("no Chromium: run `python -m tests.chromium`")
    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=str(program), args=CHROMIUM_FLAGS)
        yield opened
        opened.close()


@dataclass
class Visit:
    """A browser of its own on the window, with everything that went wrong on the page."""

    page: object
    url: str
    troubles: list[str] = field(default_factory=list)
    outside: list[str] = field(default_factory=list)

    def open(self, tab: str = "identities") -> None:
        self.page.goto(self.url)
        self.page.wait_for_selector("#people-list .card")
        self.tab(tab)

    def tab(self, name: str) -> None:
        self.page.click(f"#tab-{name}-button")
        self.page.wait_for_selector(f"#tab-{name}-button[aria-selected=true]")

    def settle(self) -> None:
        """Wait until the page is at rest."""
        self.page.evaluate("delete window.atRest")
        self.page.wait_for_function(AT_REST)

    def reload(self) -> None:
        """Load the page anew when it is at rest; what the old one says about a stream that is cut off is no trouble."""
        self.settle()
        before = len(self.troubles)
        self.page.reload(wait_until="commit")
        there = len(self.troubles)
        self.page.wait_for_selector("[role=tab][aria-selected=true][id^=tab-]")
        old = [t for t in self.troubles[before:there] if not LEFT.search(t)]
        new = [t for t in self.troubles[there:] if not CUT_OFF.search(t)]
        self.troubles[before:] = [*old, *new]

    def toast(self, words: str) -> str:
        """Wait for a notice with the words since the last time, return its text, forget what was said and close all."""
        found = self.page.wait_for_function(NOTICE, arg=words)
        said = str(found.json_value())
        self.page.evaluate(
            "() => { window.heard = []; document.querySelectorAll('.toast-close').forEach((b) => b.click()); }"
        )
        return said

    def done(self, where: str) -> None:
        """Wait until what a place of the page says of a job is good; what else it says at its end fails at once."""
        said = self.page.wait_for_selector(f"{where} .notice:is(.good, .bad)")
        if not self.page.query_selector(f"{where} .notice.good"):
            pytest.fail(f"{where} says: {said.inner_text()}")

    def picture_source(self) -> str:
        """Return the address of the edited picture (the second of before and after)."""
        return str(self.page.locator("#expression-picture img").nth(1).get_attribute("src"))


@pytest.fixture
def visit(server: Server, chromium: object) -> Iterator[object]:
    """Return a function that opens another browser; at the end no page may have had an error."""
    visits, contexts = [], []

    def start(
        viewport: dict[str, int] = DESKTOP, scheme: str = "light", *, tidy: bool = True, at: Server = server
    ) -> Visit:
        context = chromium.new_context(
            viewport=viewport, color_scheme=scheme, accept_downloads=True, has_touch=viewport == PHONE
        )
        context.set_default_timeout(PATIENCE_SECONDS * 1000)
        context.add_init_script(HEARD)
        contexts.append(context)
        made = Visit(context.new_page(), at.url)
        made.page.on("console", lambda m: made.troubles.append(m.text) if m.type == "error" else None)
        made.page.on("pageerror", lambda e: made.troubles.append(str(e)))
        made.page.on(
            "request",
            lambda r: None if r.url.startswith((at.url, "data:", "blob:")) else made.outside.append(r.url),
        )
        if tidy:
            visits.append(made)
        return made

    yield start
    # pytest shows this beside a failure alone: what the window said, what the jobs are at, what the server wrote last
    for v in visits:
        with suppress(PlaywrightError):  # a page that broke, or was closed
            print("notices:", v.page.evaluate("window.heard"))
    print(server.log.read_text(errors="replace")[-4000:])
    print(last_jobs(server))
    found = [(v.troubles, v.outside) for v in visits if v.troubles or v.outside]
    for context in contexts:
        context.close()
    assert not found, f"console errors or requests to outside: {found}"


def last_jobs(server: Server) -> str:
    """Return what the newest jobs are at, the log of the newest that is not done, and the workers' last words."""
    from studio.studio import Studio

    with Studio(server.data_dir) as studio:
        jobs = studio.for_owner().jobs
        newest = jobs.list(12)
        lines = [f"{j.created:%H:%M:%S} {j.kind} {j.state} {j.fraction:.2f} {j.message} {j.heartbeat}" for j in newest]
        lines += [jobs.log_tail(j.id) for j in newest if j.state != "done"][:1]
    for log in sorted(server.data_dir.glob("worker*.log")):
        lines += [log.name, log.read_text(errors="replace")[-2000:]]
    return "\n".join(lines)


@pytest.fixture
def with_person(server: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[object]:
    """Return a function that adds a person to the studio behind the window, without the window."""
    from studio.domain.consent import Consent, Scope
    from studio.domain.identity import Identity
    from studio.studio import Studio

    def add(name: str, photos: Sequence[Path], *scopes: Scope) -> Identity:
        agreed = Consent(agreed_by=name, scopes=scopes, granted_at=datetime.now(UTC)) if scopes else None
        photos = [own_copy(photo, tmp_path_factory.mktemp("own")) for photo in photos] if scopes else photos
        with Studio(server.data_dir) as studio:
            return studio.for_owner().identities.add(name, photos, consent=agreed)

    return add


def own_copy(path: Path, folder: Path) -> Path:
    """Write the same picture with bytes of its own.

    What somebody agreed to counts for their photo however it comes, so in a shared studio nobody with consents may have
    the picture that all tests drop.
    """
    from PIL import Image
    from PIL.PngImagePlugin import PngInfo

    out, mark = folder / f"{secrets.token_hex(4)}-{path.stem}.png", PngInfo()
    mark.add_text("whose", out.stem)
    with Image.open(path) as opened:
        opened.convert("RGB").save(out, pnginfo=mark)
    return out


@pytest.fixture
def own_portrait(portrait: Path, tmp_path: Path) -> Path:
    """The portrait as a picture that nobody else in the studio has."""
    return own_copy(portrait, tmp_path)


@pytest.fixture(scope="session")
def portrait() -> Path:
    from studio.services.sample import sample_portrait

    return sample_portrait()


@pytest.fixture(scope="session")
def speech(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two seconds that sound enough like a voice to move a mouth: pulses with two formants, in syllables."""
    rate, seconds = 16000, 2.0
    t = np.arange(int(rate * seconds)) / rate
    pulses = sum(np.cos(2 * np.pi * 120 * k * t) / k * np.exp(-(((120 * k - f) / 220) ** 2)) for k in range(1, 30)
                 for f in (600, 1300))  # fmt: skip
    syllables = np.clip(np.sin(2 * np.pi * 3.5 * t), 0, 1)
    samples = (pulses / np.abs(pulses).max() * syllables * 0.6 * 32767).astype("<i2")
    path = tmp_path_factory.mktemp("sound") / "speech.wav"
    with wave.open(str(path), "wb") as out:
        out.setparams((1, 2, rate, len(samples), "NONE", ""))
        out.writeframes(samples.tobytes())
    return path
