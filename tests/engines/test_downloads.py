"""Downloads against a small hub on this computer that cuts, lies, refuses and redirects as told."""

from __future__ import annotations

import hashlib
import http.server
import json
import threading
from collections import namedtuple

import pytest

from studio.domain.base_model import BaseModelCard
from studio.engines.diffusion.bases import downloads
from studio.engines.diffusion.bases.downloads import PART, download, read_receipt, write_receipt
from studio.errors import EngineError, NotFoundError, StoreError, UserInputError

BIG, SMALL = "unet/diffusion_pytorch_model.safetensors", "model_index.json"
FILES = {BIG: bytes(range(256)) * 8000, SMALL: b'{"_class_name": "StableDiffusionPipeline"}'}


def git_sha1(data: bytes) -> str:
    return hashlib.sha1(b"blob %d\x00" % len(data) + data).hexdigest()


class Hub(http.server.ThreadingHTTPServer):
    """Serves FILES as the hub does: large ones by a redirect to another host, with checksum and size beside it.

    Attributes:
        cut_after: bytes after which a connection breaks, one number per connection; then none does.
        status: answer with this instead.
        spoil: how many answers for large files carry a wrong byte.
        ranges: whether parts are served.
        seen: (method, path, range, authorization, host) of every request.
    """

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.cut_after: list[int] = []
        self.status = 0
        self.spoil = 0
        self.ranges = True
        self.seen: list[tuple[str, str, str | None, str | None, str]] = []
        self.base = f"http://127.0.0.1:{self.server_port}"
        self.store = f"http://localhost:{self.server_port}/store"
        threading.Thread(target=self.serve_forever, daemon=True, kwargs={"poll_interval": 0.01}).start()

    def handle_error(self, request, client_address) -> None:
        """Stay quiet: broken connections are what is tested."""


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Hub

    def log_message(self, *arguments) -> None:
        pass

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        hub = self.server
        headers = self.headers
        hub.seen.append((self.command, self.path, headers["Range"], headers["Authorization"], headers["Host"]))
        if hub.status:
            self.answer(hub.status, b"no")
            return
        name = self.path.split("/resolve/abc/")[-1].removeprefix("/store/")
        data = FILES.get(name)
        if data is None:
            self.answer(404, b"no")
        elif name == BIG and not self.path.startswith("/store/"):
            linked = {"X-Linked-Size": str(len(data)), "X-Linked-Etag": f'"{hashlib.sha256(data).hexdigest()}"'}
            self.answer(302, b"", linked | {"Location": f"{hub.store}/{name}"})
        else:
            self.send_file(name, data)

    def send_file(self, name: str, data: bytes) -> None:
        hub = self.server
        begin = 0
        extra = {"ETag": f'"{git_sha1(data)}"'}
        if self.headers["Range"] and hub.ranges:
            begin = int(self.headers["Range"].removeprefix("bytes=").rstrip("-"))
            extra["Content-Range"] = f"bytes {begin}-{len(data) - 1}/{len(data)}"
        body = data[begin:]
        if name == BIG and hub.spoil and self.command == "GET":
            hub.spoil -= 1
            body = b"\xff" + body[1:]
        cut = hub.cut_after.pop(0) if name == BIG and self.command == "GET" and hub.cut_after else None
        self.answer(206 if "Content-Range" in extra else 200, body, extra, cut)

    def answer(self, status: int, body: bytes, headers: dict[str, str] | None = None, cut: int | None = None) -> None:
        self.send_response(status)
        for key, value in {"Content-Length": str(len(body)), **(headers or {})}.items():
            self.send_header(key, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body if cut is None else body[:cut])
        if cut is not None:
            self.wfile.flush()
            self.close_connection = True


@pytest.fixture
def hub(monkeypatch):
    for name in (
        "HF_HUB_OFFLINE",
        "HF_ENDPOINT",
        "http_proxy",
        "HTTP_PROXY",
        "https_proxy",
        "HTTPS_PROXY",
        "all_proxy",
    ):
        monkeypatch.delenv(name, raising=False)
    server = Hub()
    yield server
    server.shutdown()
    server.server_close()


CARD = BaseModelCard(
    name="toy", title="Toy model", family="sd15", source="hub", repository="some/toy", revision="abc",
    files=(SMALL, BIG), download_bytes=2_000_000, licence="MIT", resolution=64,
)  # fmt: skip


def fetch(hub, folder, **options):
    download(CARD, folder, endpoint=hub.base, pause_seconds=0.001, **options)


def assert_whole(folder) -> None:
    for name, data in FILES.items():
        assert (folder / name).read_bytes() == data
    assert not list(folder.rglob(f"*{PART}"))


def gets(hub) -> list[str | None]:
    """Return the ranges asked for of the large file's bytes."""
    return [seen[2] for seen in hub.seen if seen[0] == "GET" and seen[1].startswith("/store/")]


def test_files_arrive_whole_and_progress_is_told(hub, tmp_path) -> None:
    told = []
    fetch(hub, tmp_path / "deep" / "er", on_progress=lambda *x: told.append(x))
    assert_whole(tmp_path / "deep" / "er")
    total = sum(map(len, FILES.values()))
    assert told[-1][:2] == (total, total)
    assert [x[0] for x in told] == sorted(x[0] for x in told)
    assert all(x[1] == total and x[2] >= 0 for x in told)


def test_what_is_there_is_not_fetched_again(hub, tmp_path) -> None:
    fetch(hub, tmp_path)
    before = len(gets(hub))
    fetch(hub, tmp_path)
    assert len(gets(hub)) == before


def test_cut_connections_go_on_at_their_byte(hub, tmp_path) -> None:
    hub.cut_after = [500_000, 300_000, 1]
    fetch(hub, tmp_path)
    assert_whole(tmp_path)
    assert gets(hub) == [None, "bytes=500000-", "bytes=800000-", "bytes=800001-"]


def test_a_stopped_download_goes_on_later(hub, tmp_path) -> None:
    class Stopped(Exception):
        pass

    def stop(done, total, speed):
        raise Stopped

    hub.cut_after = [700_000]
    with pytest.raises(Stopped):
        fetch(hub, tmp_path, on_progress=stop)
    assert not (tmp_path / BIG).exists()
    part = tmp_path / (BIG + PART)
    have = part.stat().st_size if part.exists() else 0
    hub.cut_after = []
    told = []
    fetch(hub, tmp_path, on_progress=lambda *x: told.append(x))
    assert_whole(tmp_path)
    assert told[0][0] >= have


def test_a_server_without_ranges_starts_over(hub, tmp_path) -> None:
    hub.cut_after, hub.ranges = [500_000], False
    told = []
    fetch(hub, tmp_path, on_progress=lambda *x: told.append(x))
    assert_whole(tmp_path)
    assert told[-1][0] == told[-1][1], "bytes are not counted twice"


def test_an_old_part_that_is_wrong_is_fetched_anew(hub, tmp_path) -> None:
    part = tmp_path / (BIG + PART)
    part.parent.mkdir(parents=True)
    part.write_bytes(b"\x00" * 1000)
    fetch(hub, tmp_path)
    assert_whole(tmp_path)
    assert gets(hub) == ["bytes=1000-", None]


def test_a_part_that_is_too_long_is_fetched_anew(hub, tmp_path) -> None:
    part = tmp_path / (BIG + PART)
    part.parent.mkdir(parents=True)
    part.write_bytes(FILES[BIG] + b"more")
    fetch(hub, tmp_path)
    assert_whole(tmp_path)


def test_wrong_bytes_are_never_kept(hub, tmp_path) -> None:
    hub.spoil = 5
    with pytest.raises(EngineError, match="checksum"):
        fetch(hub, tmp_path)
    assert not (tmp_path / BIG).exists()
    assert not (tmp_path / (BIG + PART)).exists()


def test_a_dead_connection_is_given_up_with_a_hint(hub, tmp_path) -> None:
    hub.cut_after = [0] * 50
    with pytest.raises(EngineError, match="broke off") as caught:
        fetch(hub, tmp_path)
    assert "goes on" in caught.value.hint
    assert len(gets(hub)) <= 10


@pytest.mark.parametrize(
    ("status", "kind", "word"),
    [
        (401, UserInputError, "HF_TOKEN"),
        (403, UserInputError, "HF_TOKEN"),
        (404, NotFoundError, ""),
        (503, EngineError, ""),
    ],
)
def test_refusals_are_one_sentence(hub, tmp_path, status, kind, word) -> None:
    hub.status = status
    with pytest.raises(kind) as caught:
        fetch(hub, tmp_path)
    assert caught.value.message.endswith(".")
    assert word in caught.value.hint


def test_no_hub_at_all(tmp_path) -> None:
    with pytest.raises(EngineError, match="broke off"):
        download(CARD, tmp_path, endpoint="http://127.0.0.1:9", pause_seconds=0.001)


def test_the_token_goes_to_the_hub_and_nowhere_else(hub, tmp_path) -> None:
    fetch(hub, tmp_path, token="hf_secret")
    for _, path, _, authorization, host in hub.seen:
        expected = None if path.startswith("/store/") else "Bearer hf_secret"
        assert authorization == expected
        assert host.startswith("localhost" if path.startswith("/store/") else "127.0.0.1")
    for path in tmp_path.rglob("*"):
        assert not path.is_file() or b"hf_secret" not in path.read_bytes()


def test_the_token_is_not_sent_in_the_clear_to_another_computer() -> None:
    far = downloads._Hub(CARD, "http://hub.example", "hf_secret", 0.0)
    assert "Authorization" not in far._headers


@pytest.mark.parametrize("value", ["1", "true", "YES", "on"])
def test_offline_is_offline(hub, tmp_path, monkeypatch, value) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", value)
    with pytest.raises(UserInputError, match="HF_HUB_OFFLINE"):
        fetch(hub, tmp_path)
    monkeypatch.delenv("HF_HUB_OFFLINE")
    with pytest.raises(UserInputError, match="set to offline"):
        fetch(hub, tmp_path, offline=True)
    assert hub.seen == []


def test_room_is_looked_at_first(hub, tmp_path, monkeypatch) -> None:
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(downloads.shutil, "disk_usage", lambda path: usage(10**9, 10**9, 10**6))
    with pytest.raises(StoreError, match="free") as caught:
        fetch(hub, tmp_path)
    assert caught.value.hint
    assert gets(hub) == []


def test_a_full_disk_is_said(hub, tmp_path, monkeypatch) -> None:
    import errno

    def full(part, final):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(downloads, "settle", full)
    with pytest.raises(StoreError, match="full"):
        fetch(hub, tmp_path)


@pytest.mark.parametrize("name", ["../x.json", "/etc/x.json", "a/../../x.json", "c:x.json", "a\\x.json"])
def test_names_that_lead_out_of_the_folder_are_refused(tmp_path, name) -> None:
    with pytest.raises(UserInputError):
        downloads._place(tmp_path, name)


def test_the_receipt_is_good_for_its_files_and_revision_only(hub, tmp_path) -> None:
    assert read_receipt(tmp_path, CARD) is None
    fetch(hub, tmp_path)
    assert read_receipt(tmp_path, CARD) is None
    write_receipt(tmp_path, CARD, "f" * 64)
    receipt = read_receipt(tmp_path, CARD)
    assert receipt is not None
    assert receipt["sha256"] == "f" * 64
    assert read_receipt(tmp_path, CARD.model_copy(update={"revision": "def"})) is None
    (tmp_path / SMALL).write_bytes(b"{}")
    assert read_receipt(tmp_path, CARD) is None
    (tmp_path / downloads.RECEIPT).write_text(json.dumps([]))
    assert read_receipt(tmp_path, CARD) is None
