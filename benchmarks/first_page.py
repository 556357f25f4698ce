"""How long a person waits for the first page: from the start of the studio until it can be used in Chromium.

Every start is a fresh process on an empty data folder, and a fresh browser
context. The server's seconds of the processor are those of its own process,
the page's those of the browser's process that draws it; they grow little when
other work runs beside it, the seconds by the clock do.

After each start a page of Gradio with two tabs and nothing on them is started
and measured in the same way: less than that no page of Gradio can take.

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
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import psutil

from studio.errors import EngineError, EngineUnavailableError
from tests.chromium import find

ROOT = Path(__file__).resolve().parent.parent
PROMISED_SECONDS = 2.5
"""What the window promises on an idle machine of 2 cores, from asking for the page to using it.

The start before that is Gradio's own: `gradio_alone` says what of it a page with nothing on it takes.
"""
LIMIT_SECONDS = 300.0
_READY = "#people-list .card"
_EMPTY_PAGE = """
import os, gradio as gr
with gr.Blocks(analytics_enabled=False) as page:
    with gr.Tabs():
        with gr.Tab("One"):
            list = gr.HTML(elem_id="people-list")
        with gr.Tab("Two", elem_id="tab-expression"):
            gr.HTML()
    page.load(lambda: '<p class="card">Ready</p>', None, list)
page.launch(server_port=int(os.environ["STUDIO_PORT"]), quiet=True, ssr_mode=False)
"""
"""It shows under the names of ours the little that is waited for."""
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
        drawing: seconds of the processor that the browser's process for the page used for `opened`.
    """

    answers: float
    processor: float
    interactive: float
    opened: float
    drawing: float


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
    ours, alone = [], []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=str(program), args=["--no-sandbox", "--disable-gpu"])
        for _ in range(starts):
            ours.append(_start(browser, ["app.py"]))
            alone.append(_start(browser, ["-c", _EMPTY_PAGE]))
        browser.close()
    figures = _medians(ours)
    return {
        "machine": f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}",
        "starts": starts,
        **figures,
        "gradio_alone": _medians(alone),
        "promised_seconds": PROMISED_SECONDS,
        "within_promise": figures["page_opened_seconds"] <= PROMISED_SECONDS,
    }


def _medians(starts: Sequence[Start]) -> dict[str, float]:
    return {
        "server_answers_seconds": round(median(s.answers for s in starts), 2),
        "server_processor_seconds": round(median(s.processor for s in starts), 2),
        "page_opened_seconds": round(median(s.opened for s in starts), 2),
        "page_processor_seconds": round(median(s.drawing for s in starts), 2),
        "page_interactive_seconds": round(median(s.interactive for s in starts), 2),
    }


def _start(browser: Any, program: Sequence[str]) -> Start:
    """Start a program of Python that serves a page, and use the page.

    Args:
        program: what stands behind `python`.
    """
    with tempfile.TemporaryDirectory() as folder:
        began = time.perf_counter()
        with serving(program, Path(folder)) as (process, port):
            wait_for(process, port)
            answers = time.perf_counter() - began
            used = _processor_seconds(psutil.Process(process.pid))
            context = browser.new_context()
            page = context.new_page()
            page.set_default_timeout(LIMIT_SECONDS * 1000)
            drawn = _drawing_seconds()
            asked = time.perf_counter()
            page.goto(f"http://127.0.0.1:{port}/")
            page.wait_for_selector(_READY)
            page.click("#tab-expression-button")
            page.wait_for_selector("#tab-expression-button[aria-selected=true]")
            usable = time.perf_counter()
            drawing = _drawing_seconds() - drawn
            context.close()
    return Start(answers, used, usable - began, usable - asked, drawing)


def _processor_seconds(process: psutil.Process) -> float:
    used = process.cpu_times()
    return float(used.user + used.system)


def _drawing_seconds() -> float:
    """Return the seconds of the processor that the browser's processes for pages have used so far."""
    total = 0.0
    for process in psutil.Process().children(recursive=True):
        with suppress(psutil.Error):  # it ended while it was asked
            if "--type=renderer" in process.cmdline():
                total += _processor_seconds(process)
    return total


@contextmanager
def serving(program: Sequence[str], folder: Path) -> Iterator[tuple[subprocess.Popen[bytes], int]]:
    """Start a program of Python on a free port; end it in the end."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    environment = {k: v for k, v in os.environ.items() if not k.startswith("STUDIO_")} | {
        "STUDIO_PORT": str(port),
        "STUDIO_DATA_DIR": str(folder / "data"),
        "STUDIO_SAMPLE": "no",
        "GRADIO_ANALYTICS_ENABLED": "False",
        "GRADIO_TEMP_DIR": str(folder / "gradio"),
    }
    with (folder / "app.log").open("wb") as log:
        process = subprocess.Popen([sys.executable, *program], cwd=ROOT, env=environment, stdout=log, stderr=log)
        try:
            yield process, port
        finally:
            process.terminate()
            process.wait()


def wait_for(process: subprocess.Popen[bytes], port: int) -> None:
    """Return when the page is answered."""
    end = time.monotonic() + LIMIT_SECONDS
    while time.monotonic() < end:
        if process.poll() is not None:
            raise EngineError(f"The program ended with {process.returncode}.", "Run `python app.py` to see why.")
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
