"""An attack on the window: other names, other sites, guessed passwords, too much at once, pictures that burst."""

from __future__ import annotations

import http.client
import json
import os
import stat
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from studio.ui.build import HUB, rules
from studio.ui.gate import FREE_TRIES, LONGEST_WAIT_SECONDS, Brake
from tests.patience import PATIENCE_SECONDS
from tests.ui.conftest import ROOT, Server, free_port, wait_for

JSON = {"Content-Type": "application/json"}


@dataclass
class Answer:
    status: int
    headers: dict[str, str]
    body: bytes


def ask(url: str, path: str, method: str = "GET", body: bytes | None = None, **headers: str) -> Answer:
    """Send one request as it stands; header names are written with _ for -."""
    where = urlsplit(url)
    connection = http.client.HTTPConnection(where.hostname, where.port, timeout=PATIENCE_SECONDS)
    try:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        connection.request(method, path, body, named)
        answer = connection.getresponse()
        return Answer(answer.status, {k.lower(): v for k, v in answer.getheaders()}, answer.read())
    finally:
        connection.close()


@pytest.fixture(scope="module")
def locked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A window with a password, on an old-fashioned system whose files everybody may read."""
    folder = tmp_path_factory.mktemp("locked")
    port, log = free_port(), folder / "app.log"
    values = {"PORT": str(port), "DATA_DIR": str(folder / "data"), "SAMPLE": "no", "PASSWORD": "open sesame",
              "WORKER": "no", "NAMES": "studio.example.org", "MAX_REQUEST_MB": "1"}  # fmt: skip
    environment = os.environ | {f"STUDIO_{k}": v for k, v in values.items()}
    with log.open("wb") as out:
        process = subprocess.Popen(
            [sys.executable, "-c", "import os, runpy; os.umask(0); runpy.run_path('app.py', run_name='__main__')"],
            cwd=ROOT, env=environment, stdout=out, stderr=out,
        )  # fmt: skip
        try:
            wait_for(f"http://127.0.0.1:{port}/", process, log)
            yield Server(f"http://127.0.0.1:{port}/", folder / "data", log)
        finally:
            process.terminate()
            process.wait(PATIENCE_SECONDS)


def log_in(url: str, password: str) -> Answer:
    body = f"username=studio&password={password.replace(' ', '+')}".encode()
    return ask(url, "/login", "POST", body, Content_Type="application/x-www-form-urlencoded")


# -- other names and other sites ------------------------------------------------


@pytest.mark.parametrize("path", ["/", "/config", "/gradio_api/info", "/gradio_api/file=x"])
def test_a_name_that_was_made_to_resolve_here_is_refused(server, path):
    answer = ask(server.url, path, Host="evil.example")
    assert answer.status == 421
    assert b"evil.example" in answer.body
    assert ask(server.url, path, Host="").status == 421


def test_addresses_and_names_of_this_machine_are_taken(server, locked):
    port = urlsplit(server.url).port
    for host in (f"localhost:{port}", f"127.0.0.1:{port}", f"[::1]:{port}", "192.168.1.20", "LOCALHOST."):
        assert ask(server.url, "/", Host=host).status == 200
    assert ask(server.url, "/", Host="studio.example.org").status == 421
    assert ask(locked.url, "/", Host="studio.example.org").status == 200


@pytest.mark.parametrize("origin", ["http://evil.example", "null", "http://127.0.0.1:1", "https://127.0.0.1", "x"])
def test_a_page_of_another_site_can_do_and_read_nothing(server, origin):
    call = json.dumps({"data": []}).encode()
    for method, path, body in (
        ("POST", "/gradio_api/call/list_identities", call),
        ("GET", "/config", None),
        ("OPTIONS", "/gradio_api/upload", None),
    ):
        answer = ask(server.url, path, method, body, Origin=origin, Access_Control_Request_Method="POST", **JSON)
        assert answer.status == 403, path
        assert not [name for name in answer.headers if name.startswith("access-control")]


def test_a_picture_or_script_of_ours_on_another_site_is_refused_and_a_link_is_not(server):
    outside = {"Sec_Fetch_Site": "cross-site"}
    assert ask(server.url, "/config", Sec_Fetch_Mode="no-cors", **outside).status == 403
    assert ask(server.url, "/", Sec_Fetch_Mode="navigate", **outside).status == 200
    assert ask(server.url, "/login", "POST", b"", Sec_Fetch_Mode="navigate", **outside).status == 403


def test_an_upload_from_another_site_is_not_written(server):
    def uploads() -> set[Path]:
        return {p for p in (server.data_dir / "cache").rglob("*cross*") if p.is_file()}

    body = b'--x\r\nContent-Disposition: form-data; name="files"; filename="cross.png"\r\n\r\nhello\r\n--x--\r\n'
    kind = {"Content_Type": "multipart/form-data; boundary=x"}
    assert ask(server.url, "/gradio_api/upload", "POST", body, Origin="http://evil.example", **kind).status == 403
    assert uploads() == set()
    own = server.url.rstrip("/")
    assert ask(server.url, "/gradio_api/upload", "POST", body, Origin=own, **kind).status == 200
    assert len(uploads()) == 1


def test_every_answer_carries_the_policies(server):
    for path in ("/", "/config", "/gradio_api/file=nothing", "/no/such/place"):
        headers = ask(server.url, path).headers
        assert headers["x-frame-options"] == "DENY"
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["referrer-policy"] == "same-origin"
        assert "frame-ancestors 'none'" in headers["content-security-policy"]
    assert "sandbox" in ask(server.url, "/gradio_api/file=nothing").headers["content-security-policy"]


# -- the password -----------------------------------------------------------------


@pytest.mark.parametrize(
    "path", ["/config", "/gradio_api/info", "/gradio_api/heartbeat/x", "/gradio_api/token", "/theme.css", "/runs"]
)
def test_before_login_nothing_is_answered(locked, path):
    assert ask(locked.url, path).status == 401


def test_the_page_before_login_names_no_endpoint(locked):
    page = ask(locked.url, "/").body.decode()
    assert "Password" in page
    for word in ("list_identities", "gradio_config", "api_info", "add_identity"):
        assert word not in page


def test_a_guesser_waits_longer_and_longer():
    now = [0.0]
    brake = Brake(lambda: now[0])
    assert [brake.wait_seconds("a") for _ in range(FREE_TRIES)] == [0.0] * FREE_TRIES
    waits = []
    for _ in range(12):
        waits.append(brake.wait_seconds("a"))
        now[0] += waits[-1]
        assert brake.wait_seconds("a") == 0.0
    assert waits == sorted(waits)
    assert waits[-1] == LONGEST_WAIT_SECONDS
    assert brake.wait_seconds("b") == 0.0
    now[0] += LONGEST_WAIT_SECONDS
    brake.right("a")
    assert brake.wait_seconds("a") == 0.0


def test_a_browser_logs_in_and_a_guesser_is_told_to_wait(locked, visit):
    v = visit(tidy=False)
    v.page.goto(locked.url)
    v.page.fill("#password", "wrong")
    v.page.keyboard.press("Enter")
    v.page.wait_for_selector("p:has-text('not the password')")
    v.page.fill("#password", "open sesame")
    v.page.keyboard.press("Enter")
    v.page.wait_for_selector("#people-list .card")
    assert [t for t in v.troubles if "400" not in t] == []
    answers = [log_in(locked.url, "guess") for _ in range(FREE_TRIES + 3)]
    assert {a.status for a in answers} == {400, 429}
    assert b"Try again in" in answers[-1].body
    assert int(answers[-1].headers["retry-after"]) >= 1


# -- too much -----------------------------------------------------------------------


def status_of_head(url: str, path: str, header: tuple[str, str]) -> int:
    """Send only the head of a POST, and return the status of the answer, which may come before any body."""
    where = urlsplit(url)
    connection = http.client.HTTPConnection(where.hostname, where.port, timeout=PATIENCE_SECONDS)
    try:
        connection.putrequest("POST", path)
        connection.putheader(*header)
        connection.endheaders()
        return connection.getresponse().status
    finally:
        connection.close()


def test_all_files_together_are_limited(locked):
    assert status_of_head(locked.url, "/login", ("Content-Length", "1000001")) == 413


def test_a_request_without_length_is_refused(server):
    assert status_of_head(server.url, "/gradio_api/upload", ("Transfer-Encoding", "chunked")) == 411


# -- a hosted Space ---------------------------------------------------------------------


def test_a_space_answers_under_its_own_name_inside_the_hubs_page(tmp_path, monkeypatch):
    monkeypatch.delenv("SPACE_HOST", raising=False)
    at_home = rules(tmp_path, names="Studio.example.org")
    assert (at_home.names, at_home.frames) == (("studio.example.org",), ())
    monkeypatch.setenv("SPACE_HOST", "Me-studio.hf.space")
    assert rules(tmp_path).names == ("me-studio.hf.space",)
    assert rules(tmp_path).frames == (HUB,)
    assert rules(tmp_path, frames="https://a.example, https://b.example").frames == (
        "https://a.example", "https://b.example",
    )  # fmt: skip


# -- the folder --------------------------------------------------------------------------


@pytest.mark.skipif(os.name == "nt", reason="Windows keeps a person's folder to the person by itself")
def test_other_users_of_the_machine_can_read_nothing(locked):
    assert stat.S_IMODE(locked.data_dir.stat().st_mode) == 0o700
    for path in locked.data_dir.glob("studio.db*"):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
