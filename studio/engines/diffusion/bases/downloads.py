"""Fetching a base model from the hub: resumable, checked, and never by surprise.

huggingface_hub's own download is not used. It goes on after a broken line, but
not after a stopped job or a killed process: its part files have new names each
time, and what was fetched is deleted on the way out (read in 2.4). It compares
sizes, not checksums, only warns where the disk is too small, and can be
stopped by nothing but its progress bar. With 7 GB on a home line these are
what matters; what is left of it would be one HTTP request with a range.

Every file is written to a `.part` beside its place and takes its name only
when its checksum is what the hub says; a broken connection, a stopped job or a
killed process goes on at the byte where it ended. Room on the disk is looked
at before the first byte. Nothing here is called unless a person asked for a
model by name, and nothing is sent but the names of the files, and a token to
the hub itself where one was given.
"""

from __future__ import annotations

import hashlib
import http.client
import json
import os
import shutil
import ssl
import time
import urllib.error
import urllib.parse
import urllib.request
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from email.message import Message
from pathlib import Path, PurePosixPath
from typing import IO, Any, NoReturn

from studio.engines.base_diffusion import HubCard
from studio.engines.media.atomic import atomic_file, disk_error, settle
from studio.errors import EngineError, NotFoundError, StoreError, UserInputError
from studio.outside import json_of

OnBytes = Callable[[int, int, float], None]
HUB = "https://huggingface.co"
RECEIPT = "download.json"
PART = ".part"
_CHUNK_BYTES = 1 << 18
_TIMEOUT_SECONDS = 30.0
_PATIENCE = 5
"""How many times in a row a connection may break without a byte having come."""
_SPARE_BYTES = 200_000_000
_WINDOW_SECONDS = 8.0
"""Speed is the mean over this time."""
_BROKEN = (urllib.error.URLError, http.client.HTTPException, TimeoutError, ConnectionError, ssl.SSLError)
"""What a connection breaks with; any other OSError is the disk's."""
_TRUE = {"1", "on", "yes", "true"}


@dataclass(frozen=True)
class _Remote:
    """One file of the hub.

    Attributes:
        digest: sha256 (64 letters) or git's blob sha1 (40), whichever the hub names; "" for neither.
    """

    name: str
    url: str
    size: int
    digest: str


def refuse_offline(card: HubCard, *, offline: bool) -> None:
    """Refuse to download where the person said not to.

    Raises:
        UserInputError: the studio's `offline` setting or HF_HUB_OFFLINE is on.
    """
    said = os.environ.get("HF_HUB_OFFLINE", "").strip().lower() in _TRUE
    if offline or said:
        where = "the studio is set to offline" if offline else "HF_HUB_OFFLINE is set"
        raise UserInputError(
            f"{card.title} cannot be downloaded: {where}.",
            "Turn it off, or add files that you have with `studio base add`.",
            window="Turn that off where the studio is started, or choose a base model that is here.",
        )


def download(
    card: HubCard,
    folder: Path,
    *,
    token: str | None = None,
    on_progress: OnBytes | None = None,
    offline: bool = False,
    endpoint: str | None = None,
    pause_seconds: float = 1.0,
) -> None:
    """Fetch the files of a card into a folder; goes on where an earlier call ended.

    Args:
        folder: made if need be; files keep their names beneath it.
        token: for models whose owner asks for one; sent to the hub alone, kept nowhere.
        on_progress: called with (bytes here, bytes in all, bytes per second); what it raises ends the download.
        endpoint: base address; default HF_ENDPOINT, else the hub.
        pause_seconds: before the first new attempt after a broken connection; doubled each time.

    Raises:
        UserInputError: offline, or the hub refuses access.
        NotFoundError: the hub has no such file.
        StoreError: no room on the disk, or it refused.
        EngineError: the connection broke again and again, or a checksum is wrong.
    """
    refuse_offline(card, offline=offline)
    base = (endpoint or os.environ.get("HF_ENDPOINT") or HUB).rstrip("/")
    hub = _Hub(card, base, token, pause_seconds)
    remotes = [hub.look(name) for name in card.files]
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as exc:
        raise disk_error(exc, folder) from exc
    total = sum(r.size for r in remotes)
    meter = _Meter(sum(_here(folder, r) for r in remotes), total, on_progress)
    _check_room(card, folder, total - meter.done)
    checked: dict[str, str] = {}
    for remote in remotes:
        final = _place(folder, remote.name)
        if not (final.is_file() and final.stat().st_size == remote.size):
            _fetch_checked(hub, remote, final, meter)
        checked[remote.name] = remote.digest
    meter.tell()


def _fetch_checked(hub: _Hub, remote: _Remote, final: Path, meter: _Meter) -> None:
    """Fetch one file; a part that turns out wrong is fetched once more from its beginning."""
    part = final.with_name(final.name + PART)
    try:
        final.parent.mkdir(parents=True, exist_ok=True)
        for _ in range(2):
            resumed = part.is_file() and part.stat().st_size > 0
            hub.fetch(remote, part, meter)
            if _digest(part, len(remote.digest)) == remote.digest:
                settle(part, final)
                return
            meter.done -= part.stat().st_size
            part.unlink()
            if not resumed:
                break
    except OSError as exc:
        raise disk_error(exc, final) from exc
    raise EngineError(
        f"{remote.name} arrived damaged: its checksum is not what the hub says.", "Start the download again."
    )


class _Hub:
    """Talks to one hub about one model."""

    def __init__(self, card: HubCard, base: str, token: str | None, pause_seconds: float) -> None:
        self._card = card
        self._base = base
        self._pause_seconds = pause_seconds
        self._headers = {"User-Agent": "likeness-studio", "Accept-Encoding": "identity"}
        parsed = urllib.parse.urlsplit(base)
        if token and (parsed.scheme == "https" or parsed.hostname in {"127.0.0.1", "localhost", "::1"}):
            self._headers["Authorization"] = f"Bearer {token}"

    def look(self, name: str) -> _Remote:
        """Ask for the size and checksum of a file."""
        quoted = urllib.parse.quote(name)
        revision = urllib.parse.quote(self._card.revision or "main", safe="")
        url = f"{self._base}/{self._card.repository}/resolve/{revision}/{quoted}"
        for attempt in range(_PATIENCE):
            try:
                with self._open(url, "HEAD") as (_, headers):
                    size = headers.get("x-linked-size") or headers.get("content-length") or ""
                    digest = (headers.get("x-linked-etag") or headers.get("etag") or "").strip('W/"')
                    break
            except _BROKEN as exc:
                self._wait(attempt, exc)
        if not size.isdigit() or len(digest) not in (40, 64):
            raise EngineError(
                f"The hub does not say size and checksum of {name}.", "Try later; the hub may be in trouble."
            )
        return _Remote(name, url, int(size), digest.lower())

    def fetch(self, remote: _Remote, part: Path, meter: _Meter) -> None:
        """Bring a part to its full size, over as many connections as it takes."""
        attempt = 0
        while (have := part.stat().st_size if part.is_file() else 0) < remote.size:
            try:
                self._append(remote, part, have, meter)
            except _BROKEN as exc:
                grown = part.is_file() and part.stat().st_size > have
                attempt = 0 if grown else attempt + 1
                self._wait(attempt, exc)
            else:
                # A server may end early without an error; that counts as a break as well.
                grown = part.is_file() and part.stat().st_size > have
                attempt = 0 if grown else attempt + 1
                if part.stat().st_size < remote.size:
                    self._wait(attempt, None)
        if have > remote.size:
            meter.done -= have
            part.unlink()
            self.fetch(remote, part, meter)

    def _append(self, remote: _Remote, part: Path, have: int, meter: _Meter) -> None:
        """Read one connection to its end."""
        extra = {"Range": f"bytes={have}-"} if have else {}
        with self._open(remote.url, "GET", extra) as (response, headers):
            goes_on = response.status == http.client.PARTIAL_CONTENT and _begins_at(headers, have)
            if have and not goes_on:  # the server sends the whole file again
                meter.done -= have
            with part.open("ab" if goes_on else "wb") as file:
                while chunk := response.read1(_CHUNK_BYTES):
                    file.write(chunk)
                    meter.add(len(chunk))

    @contextmanager
    def _open(
        self, url: str, method: str, extra: Mapping[str, str] | None = None
    ) -> Iterator[tuple[http.client.HTTPResponse, Mapping[str, str]]]:
        """Open an address; headers of the hub's own redirect stay visible under those of where it leads."""
        redirects = _Redirects()
        opener = urllib.request.build_opener(redirects)
        request = urllib.request.Request(url, headers={**self._headers, **(extra or {})}, method=method)
        try:
            with opener.open(request, timeout=_TIMEOUT_SECONDS) as response:
                last = {k.lower(): v for k, v in response.headers.items()}
                yield response, {**last, **redirects.seen}
        except urllib.error.HTTPError as exc:
            exc.close()
            self._refused(exc, url)

    def _refused(self, exc: urllib.error.HTTPError, url: str) -> NoReturn:
        """Turn the hub's refusal into one sentence; what may pass is raised again."""
        card = self._card
        if exc.code in (401, 403):
            raise UserInputError(
                f"The hub gives {card.title} only to people who agreed to its licence.",
                f"Agree at {self._base}/{card.repository}, and put your token into the variable HF_TOKEN.",
            ) from exc
        if exc.code in (404, 410):
            name = urllib.parse.urlsplit(url).path.rsplit("/", 1)[-1]
            raise NotFoundError(f"The hub has no {name} for {card.title}.", "Update the studio.") from exc
        raise exc

    def _wait(self, attempt: int, exc: Exception | None) -> None:
        """Pause before the next attempt.

        Raises:
            EngineError: enough is enough.
        """
        if attempt >= _PATIENCE - 1:
            reason = getattr(exc, "reason", None) or exc or "it ended early"
            raise EngineError(
                f"The connection to the hub broke off ({reason}).",
                "Check the network and start the download again; it goes on where it ended.",
            ) from exc
        time.sleep(self._pause_seconds * 2**attempt)


class _Redirects(urllib.request.HTTPRedirectHandler):
    """Follows redirects, remembers what the hub said beside them, and shows the token to nobody else."""

    def __init__(self) -> None:
        self.seen: dict[str, str] = {}

    def redirect_request(
        self, req: urllib.request.Request, fp: IO[bytes], code: int, msg: str, headers: Message, newurl: str
    ) -> urllib.request.Request | None:
        self.seen |= {k.lower(): v for k, v in headers.items() if k.lower().startswith("x-linked-")}
        allowed = dict(req.header_items())
        if urllib.parse.urlsplit(newurl).netloc != urllib.parse.urlsplit(req.full_url).netloc:
            allowed.pop("Authorization", None)
            allowed.pop("Host", None)
        return urllib.request.Request(
            newurl, headers=allowed, method=req.get_method(), origin_req_host=req.origin_req_host, unverifiable=True
        )


class _Meter:
    """Counts bytes and tells how fast they come."""

    def __init__(self, done: int, total: int, on_progress: OnBytes | None) -> None:
        self.done = done
        self._total = total
        self._on_progress = on_progress
        self._times: deque[tuple[float, int]] = deque([(time.monotonic(), done)])
        self._told = 0.0

    def add(self, count: int) -> None:
        """Count bytes; tell at most ten times per second."""
        self.done += count
        now = time.monotonic()
        if now - self._told >= 0.1:
            self._told = now
            self._times.append((now, self.done))
            while len(self._times) > 2 and now - self._times[0][0] > _WINDOW_SECONDS:
                self._times.popleft()
            self.tell()

    def tell(self) -> None:
        """Say how far it is."""
        if self._on_progress is not None:
            (first, begun), now = self._times[0], time.monotonic()
            speed = max(0, self.done - begun) / max(now - first, 1e-3)
            self._on_progress(self.done, self._total, speed)


# -- the folder ---------------------------------------------------------------------------


def read_receipt(folder: Path, card: HubCard) -> Mapping[str, Any] | None:
    """Return the receipt of a finished download whose files are all still there; None otherwise."""
    try:
        receipt = json_of((folder / RECEIPT).read_text(encoding="utf-8"))
        whole = receipt["repository"] == card.repository and receipt["revision"] == card.revision
        files = {str(name): int(size) for name, size in receipt["files"].items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None
    there = all((folder / n).is_file() and (folder / n).stat().st_size == size for n, size in files.items())
    return receipt if whole and there and "sha256" in receipt else None


def write_receipt(folder: Path, card: HubCard, sha256: str) -> None:
    """Note that a download is complete.

    Args:
        sha256: of the UNet's weights.
    """
    files = {name: _place(folder, name).stat().st_size for name in card.files}
    receipt = {"repository": card.repository, "revision": card.revision, "sha256": sha256, "files": files}
    with atomic_file(folder / RECEIPT) as part:
        part.write_text(json.dumps(receipt, indent=1), encoding="utf-8")


def _place(folder: Path, name: str) -> Path:
    """Return where a file of the hub goes.

    Raises:
        UserInputError: the name leads out of the folder.
    """
    parts = PurePosixPath(name).parts
    if PurePosixPath(name).is_absolute() or ".." in parts or "\\" in name or ":" in name:
        raise UserInputError(f"{name!r} is no name of a file of a model.", "Correct the files that the card names.")
    return folder.joinpath(*parts)


def _here(folder: Path, remote: _Remote) -> int:
    """Return how many bytes of a file are here already."""
    final = _place(folder, remote.name)
    if final.is_file() and final.stat().st_size == remote.size:
        return remote.size
    part = final.with_name(final.name + PART)
    return part.stat().st_size if part.is_file() else 0


def _check_room(card: HubCard, folder: Path, needed: int) -> None:
    """Look whether the rest fits.

    Raises:
        StoreError: it does not.
    """
    free = shutil.disk_usage(folder).free
    if needed + _SPARE_BYTES > free:
        more = (needed + _SPARE_BYTES) / 1e9
        raise StoreError(
            f"{card.title} needs {more:.1f} GB more, but the disk has {free / 1e9:.1f} GB free.",
            "Free some space, or move the data folder to another disk.",
        )


def _begins_at(headers: Mapping[str, str], have: int) -> bool:
    """Say whether a partial answer begins where we ended."""
    return headers.get("content-range", "").replace(" ", "").startswith(f"bytes{have}-")


def _digest(path: Path, length: int) -> str:
    """Return the checksum of a file: sha256, or git's blob sha1 when the hub's has 40 letters."""
    with path.open("rb") as file:
        if length == 64:
            return hashlib.file_digest(file, "sha256").hexdigest()
        sha1 = hashlib.sha1(b"blob %d\x00" % path.stat().st_size)
        while chunk := file.read(1 << 20):
            sha1.update(chunk)
        return sha1.hexdigest()
