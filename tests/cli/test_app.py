"""`python app.py` as a person starts it: the page answers, and bad starts are one sentence."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path

import psutil
import pytest

from tests.cli.conftest import ROOT
from tests.patience import PATIENCE_SECONDS, wait_until


def start(data_dir: Path, **more: str) -> subprocess.Popen[str]:
    env = {k: v for k, v in os.environ.items() if not k.startswith("STUDIO_")}
    env |= {"STUDIO_DATA_DIR": str(data_dir), "STUDIO_SAMPLE": "false", **more}
    return subprocess.Popen(
        [sys.executable, "app.py"], cwd=ROOT, env=env, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )


def page_of(app: subprocess.Popen[str], port: int) -> str:
    """Return what the window answers; nothing while it does not answer yet."""
    try:
        return urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=PATIENCE_SECONDS).read().decode()
    except urllib.error.URLError:
        assert app.poll() is None, app.communicate()
        return ""


def workers_of(app: subprocess.Popen[str]) -> list[psutil.Process]:
    children = psutil.Process(app.pid).children(recursive=True)
    return [c for c in children if "studio.jobs.worker" in " ".join(c.cmdline())]


@pytest.fixture
def port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.mark.smoke
def test_the_window_opens_and_its_worker_ends_with_it(tmp_path: Path, port: int) -> None:
    app = start(tmp_path / "data", STUDIO_PORT=str(port))
    try:
        wait_until(lambda: page_of(app, port))
        assert "Likeness Studio" in page_of(app, port)
        wait_until(lambda: workers_of(app))  # the worker starts after the page
        workers = workers_of(app)
    finally:
        app.kill()
        out, _ = app.communicate()
    assert f"http://127.0.0.1:{port}" in out
    _, alive = psutil.wait_procs(workers, timeout=PATIENCE_SECONDS)
    assert not alive, "a killed window leaves no worker behind"


def test_a_taken_port_is_said(tmp_path: Path) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        app = start(tmp_path / "data", STUDIO_PORT=str(other.getsockname()[1]))
        _, err = app.communicate(timeout=PATIENCE_SECONDS)
    assert app.returncode == 2
    assert "is taken" in err
    assert "Traceback" not in err


def test_a_bad_setting_is_said(tmp_path: Path) -> None:
    app = start(tmp_path / "data", STUDIO_PORT="high")
    _, err = app.communicate(timeout=PATIENCE_SECONDS)
    assert (app.returncode, "Traceback" in err) == (2, False)
    assert "STUDIO_PORT" in err


def test_a_process_that_is_spawned_does_not_start_the_program_again() -> None:
    """As multiprocessing imports the main module in a process of a benchmark."""
    import runpy

    assert runpy.run_module("studio.__main__", run_name="__mp_main__")["__name__"] == "__mp_main__"
