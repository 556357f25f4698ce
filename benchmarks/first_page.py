"""How long a person waits for the first page: from the start of the studio until it can be used in Chromium.

Every start is a fresh process on an empty data folder, and a fresh browser
context. The server's seconds of the processor are those of its own process;
they grow little when other work runs beside it, the seconds by the clock do.

    python -m studio bench first_page
    python -m benchmarks.first_page --starts 9
"""

from __future__ import annotations

import argparse
import http.client
import json
import os
import platform
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import psutil

from studio.errors import EngineError, EngineUnavailableError
from tests.chromium import find

ROOT = Path(__file__).resolve().parent.parent
PROMISED_SECONDS = 4.0
"""What the window promises on an idle machine of 2 cores, from the start to a page that can be used."""
LIMIT_SECONDS = 300.0
_READY = "#people-list .card"
_LOOK_SECONDS = 0.02


@dataclass(frozen=True)
class Start:
    """What one start took.

    Attributes:
        answers: seconds by the clock until the server answers.
        processor: seconds of the processor that its process used until then.
        interactive: seconds by the clock, from the start, until the page in the browser shows the people and answers
            a click.
        opened: the same from when the browser asked for the page; what a refresh costs, too.
    """

    answers: float
    processor: float
    interactive: float
    opened: float


def run(starts: int = 5) -> dict[str, Any]:
    """Start the studio `starts` times.

    Returns:
        Medians in seconds, with the machine and whether the promise is kept.

    Raises:
        EngineUnavailableError: there is no Chromium, or nothing to steer it with.
        EngineError: the studio did not start.
    """
    try:
        from playwright.sync_api import sync_playwright

        program = find()
    except ImportError as exc:
        raise EngineUnavailableError(
            "Playwright is not installed.", "Run: python -m pip install -r requirements-dev.txt"
        ) from exc
    if program is None:
        raise EngineUnavailableError("There is no Chromium on this computer.", "Run: python -m tests.chromium")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=str(program), args=["--no-sandbox", "--disable-gpu"])
        measured = [_start(browser) for _ in range(starts)]
        browser.close()
    interactive = median(s.interactive for s in measured)
    return {
        "machine": f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}",
        "starts": starts,
        "server_answers_seconds": round(median(s.answers for s in measured), 2),
        "server_processor_seconds": round(median(s.processor for s in measured), 2),
        "page_opened_seconds": round(median(s.opened for s in measured), 2),
        "page_interactive_seconds": round(interactive, 2),
        "promised_seconds": PROMISED_SECONDS,
        "within_promise": interactive <= PROMISED_SECONDS,
    }


def _start(browser: Any) -> Start:
    with tempfile.TemporaryDirectory() as folder:
        began = time.perf_counter()
        with _studio(Path(folder)) as (process, port):
            _wait_for(process, port)
            answers = time.perf_counter() - began
            used = psutil.Process(process.pid).cpu_times()
            context = browser.new_context()
            page = context.new_page()
            page.set_default_timeout(LIMIT_SECONDS * 1000)
            asked = time.perf_counter()
            page.goto(f"http://127.0.0.1:{port}/")
            page.wait_for_selector(_READY)
            page.click("#tab-expression-button")
            page.wait_for_selector("#tab-expression-button[aria-selected=true]")
            usable = time.perf_counter()
            context.close()
    return Start(answers, used.user + used.system, usable - began, usable - asked)


@contextmanager
def _studio(folder: Path) -> Iterator[tuple[subprocess.Popen[bytes], int]]:
    """Start `python app.py`; end it in the end."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    environment = {k: v for k, v in os.environ.items() if not k.startswith("STUDIO_")} | {
        "STUDIO_PORT": str(port),
        "STUDIO_DATA_DIR": str(folder / "data"),
        "STUDIO_SAMPLE": "no",
    }
    with (folder / "app.log").open("wb") as log:
        process = subprocess.Popen([sys.executable, "app.py"], cwd=ROOT, env=environment, stdout=log, stderr=log)
        try:
            yield process, port
        finally:
            process.terminate()
            process.wait()


def _wait_for(process: subprocess.Popen[bytes], port: int) -> None:
    """Return when the page is answered."""
    end = time.monotonic() + LIMIT_SECONDS
    while time.monotonic() < end:
        if process.poll() is not None:
            raise EngineError(f"app.py ended with {process.returncode}.", "Run `python app.py` to see why.")
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=LIMIT_SECONDS)
        try:
            connection.request("GET", "/")
            if connection.getresponse().read():
                return
        except OSError:
            time.sleep(_LOOK_SECONDS)
        finally:
            connection.close()
    raise EngineError(f"The window did not answer within {LIMIT_SECONDS:.0f} s.", "Run `python app.py` to see why.")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--starts", type=int, default=5)
    print(json.dumps(run(parser.parse_args().starts), indent=2))
