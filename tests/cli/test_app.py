"""`python app.py` as a person starts it: the page answers, and bad starts are one sentence."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

import pytest

from tests.cli.conftest import ROOT


def start(data_dir: Path, **more: str) -> subprocess.Popen[str]:
    env = {k: v for k, v in os.environ.items() if not k.startswith("STUDIO_")}
    env |= {"STUDIO_DATA_DIR": str(data_dir), "STUDIO_SAMPLE": "false", **more}
    return subprocess.Popen(
        [sys.executable, "app.py"], cwd=ROOT, env=env, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )


@pytest.fixture
def port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.mark.smoke
def test_the_window_opens_and_its_worker_ends_with_it(tmp_path: Path, port: int) -> None:
    import psutil

    app = start(tmp_path / "data", STUDIO_PORT=str(port))
    try:
        answer = None
        for _ in range(600):
            try:
                answer = urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=5).read().decode()
                break
            except urllib.error.URLError:
                assert app.poll() is None, app.communicate()
                time.sleep(0.1)
        assert answer is not None
        assert "Likeness Studio" in answer
        for _ in range(150):  # the worker starts after the page
            workers = psutil.Process(app.pid).children(recursive=True)
            if any("studio.jobs.worker" in " ".join(w.cmdline()) for w in workers):
                break
            time.sleep(0.1)
        else:
            raise AssertionError("no worker was started")
    finally:
        app.kill()
        out, _ = app.communicate()
    assert f"http://127.0.0.1:{port}" in out
    _, alive = psutil.wait_procs(workers, timeout=15)
    assert not alive, "a killed window leaves no worker behind"


def test_a_taken_port_is_said(tmp_path: Path) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        app = start(tmp_path / "data", STUDIO_PORT=str(other.getsockname()[1]))
        _, err = app.communicate(timeout=120)
    assert app.returncode == 2
    assert "is taken" in err
    assert "Traceback" not in err


def test_a_bad_setting_is_said(tmp_path: Path) -> None:
    app = start(tmp_path / "data", STUDIO_PORT="high")
    _, err = app.communicate(timeout=120)
    assert (app.returncode, "Traceback" in err) == (2, False)
    assert "STUDIO_PORT" in err
