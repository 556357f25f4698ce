"""The gate in front of the window: who may ask at all, how much they may send, and what a browser may do with it.

It stands outside everything Gradio does, because a refusal must come before a
byte is written or a name is told:

- A request must name this machine (Host). A page elsewhere whose name was made
  to resolve to this machine (DNS rebinding) brings its own name, and is refused.
  A bare address is always taken: no name, nothing to rebind.
- A request that another site's page makes (Origin, Sec-Fetch-Site) is refused,
  whatever it asks; following a link to the window is no such request.
- With a password, whoever has not logged in gets the login page and nothing
  else, and every wrong password makes the next try wait longer.
- What is sent has a length, and it is within the limit and the free disk.
- Every answer carries the policies that the page was tried under.

It knows nothing of people, and reads no body.
"""

from __future__ import annotations

import ipaddress
import math
import shutil
import socket
import time
from collections import OrderedDict
from collections.abc import AsyncIterator, Awaitable, Callable, MutableMapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from http import HTTPStatus
from http.cookies import CookieError, SimpleCookie
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

LOCAL_NAMES = ("localhost", "host.docker.internal")
FREE_TRIES = 5
"""Wrong passwords before the first wait; a person mistypes two or three times."""
LONGEST_WAIT_SECONDS = 300.0
REMEMBERED_CLIENTS = 2000
SPARE_BYTES = 200_000_000
"""Stays free on the disk whatever is sent: the database must still be able to write."""
OPEN_PATHS = ("/login", "/login/", "/favicon.ico", "/gradio_api/startup-events")
"""What is answered before login, besides the login page; the last is how Gradio starts its own queue."""

_LOGIN_PAGE = Path(__file__).resolve().parents[2] / "assets" / "login.html"
_PAGE_POLICY = (
    "default-src 'self'; script-src 'self' 'unsafe-inline' 'unsafe-eval' blob:; style-src 'self' 'unsafe-inline';"
    " img-src 'self' data: blob:; media-src 'self' data: blob:; font-src 'self' data:; connect-src 'self' data: blob:;"
    " worker-src 'self' blob:; object-src 'none'; base-uri 'self'; form-action 'self'; frame-src 'self' blob:"
)
"""Gradio makes functions from text (its js= listeners) and writes styles into the page, hence the two unsafe words."""
_FILE_POLICY = (
    "default-src 'none'; img-src 'self' data:; media-src 'self'; style-src 'unsafe-inline'; sandbox allow-downloads"
)
"""A file that somebody sent runs nothing when it is opened by itself."""


@dataclass(frozen=True)
class Rules:
    """What the gate lets through.

    Attributes:
        names: of this machine, besides localhost, its own host name and bare addresses; lower case.
        frames: sites that may show the window in a frame, such as "https://huggingface.co"; none by default.
        max_request_bytes: of one request, all its files together.
        disk: where sent files are laid.
    """

    disk: Path
    names: Sequence[str] = ()
    frames: Sequence[str] = ()
    max_request_bytes: int = 4_000_000_000


class Brake:
    """Makes each client wait after wrong passwords: 1 s after the sixth, then twice as long each time.

    A try counts as wrong from its start until it proves right, so that many tries
    at once are no way around it.

    Args:
        clock: seconds that only grow.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._clients: OrderedDict[str, tuple[int, float]] = OrderedDict()

    def wait_seconds(self, client: str) -> float:
        """Return how long the client must still wait; 0 when it may try, and then that counts as a wrong try."""
        wrong, until = self._clients.get(client, (0, 0.0))
        left = until - self._clock()
        if left > 0:
            return left
        wrong += 1
        pause = 0.0 if wrong < FREE_TRIES else min(2.0 ** min(wrong - FREE_TRIES, 30), LONGEST_WAIT_SECONDS)
        self._clients[client] = (wrong, self._clock() + pause)
        self._clients.move_to_end(client)
        while len(self._clients) > REMEMBERED_CLIENTS:
            self._clients.popitem(last=False)
        return 0.0

    def right(self, client: str) -> None:
        """Forget the client's wrong tries."""
        self._clients.pop(client, None)


class Gate:
    """Stands in front of a web application.

    Args:
        app: the application; asked for `auth`, `tokens` and `cookie_id` as Gradio's has them.
        inner: what answers the requests that come through.
    """

    def __init__(self, app: Any, inner: Any, rules: Rules, brake: Brake | None = None) -> None:
        self._app = app
        self._inner = inner
        self._rules = rules
        self._brake = brake or Brake()
        own = socket.gethostname().lower()
        self._names = {*LOCAL_NAMES, own, own.partition(".")[0], f"{own.partition('.')[0]}.local", *rules.names}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Refuse, or pass on with the policies added to the answer."""
        if scope["type"] not in ("http", "websocket"):
            await self._inner(scope, receive, send)
            return
        headers = {k.decode("latin-1").lower(): v.decode("latin-1") for k, v in scope["headers"]}
        guarded = self._with_policies(scope, send)
        refusal = self._refusal(scope, headers)
        if refusal is not None:
            await _answer(guarded, *refusal)
        elif self._is_stranger(headers) and scope["path"] not in OPEN_PATHS:
            await self._turn_away(scope, guarded)
        elif scope["path"].rstrip("/") == "/login" and scope.get("method") == "POST":
            await self._log_in(scope, receive, guarded)
        else:
            await self._inner(scope, receive, guarded)

    # -- who asks ----------------------------------------------------------------

    def _refusal(self, scope: Scope, headers: MutableMapping[str, str]) -> tuple[int, str] | None:
        """Return status and sentence for what is not let through, or None."""
        host = headers.get("host", "")
        if not self._is_ours(host):
            return 421, f"This studio does not answer to the name {_host_name(host)[:80]!r}. Add it to STUDIO_NAMES."
        origin = headers.get("origin")
        if origin is not None and not _same_place(origin, host):
            return 403, "The request comes from another site's page, and those may not use the studio."
        from_outside = headers.get("sec-fetch-site") == "cross-site"
        navigates = headers.get("sec-fetch-mode") == "navigate" and scope.get("method") in ("GET", "HEAD")
        if from_outside and not navigates:
            return 403, "The request comes from another site's page, and those may not use the studio."
        if scope.get("method") in ("POST", "PUT", "PATCH"):
            return self._too_much(headers)
        return None

    def _is_ours(self, host: str) -> bool:
        name = _host_name(host)
        try:
            ipaddress.ip_address(name)
        except ValueError:
            return name in self._names
        return True

    def _too_much(self, headers: MutableMapping[str, str]) -> tuple[int, str] | None:
        length = headers.get("content-length", "")
        if not length.isdecimal():
            return 411, "The request does not say how long it is."
        if int(length) > self._rules.max_request_bytes:
            megabytes = self._rules.max_request_bytes // 1_000_000
            return 413, f"All files together are more than the {megabytes} MB that may be sent at once. Send fewer."
        if int(length) > 1_000_000 and int(length) + SPARE_BYTES > shutil.disk_usage(self._rules.disk).free:
            return 507, "The disk of the studio is nearly full. Free some space, then try again."
        return None

    # -- login -------------------------------------------------------------------

    def _is_stranger(self, headers: MutableMapping[str, str]) -> bool:
        """Say whether a password is set and the request does not show that it was given."""
        if self._app.auth is None:
            return False
        try:
            cookies = SimpleCookie(headers.get("cookie", ""))
        except CookieError:
            return True
        names = (f"access-token-{self._app.cookie_id}", f"access-token-unsecure-{self._app.cookie_id}")
        return not any(name in cookies and cookies[name].value in self._app.tokens for name in names)

    async def _turn_away(self, scope: Scope, send: Send) -> None:
        """Answer somebody who has not logged in: the login page, or nothing."""
        if scope["type"] == "http" and scope["path"] == "/" and scope["method"] in ("GET", "HEAD"):
            await _answer(send, 200, _LOGIN_PAGE.read_text(encoding="utf-8"), kind="text/html")
        else:
            await _answer(send, 401, "Log in first.")

    async def _log_in(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let a try through, unless the client has to wait."""
        client = _network((scope.get("client") or ("", 0))[0])
        wait = math.ceil(self._brake.wait_seconds(client))
        if wait > 0:
            sentence = f"Too many wrong passwords. Try again in {wait} second{'s' if wait > 1 else ''}."
            await _answer(send, 429, sentence, extra=[(b"retry-after", str(wait).encode())])
            return

        async def watched(message: MutableMapping[str, Any]) -> None:
            if message["type"] == "http.response.start" and message["status"] < 400:
                self._brake.right(client)
            await send(message)

        await self._inner(scope, receive, watched)

    # -- the answer --------------------------------------------------------------

    def _with_policies(self, scope: Scope, send: Send) -> Send:
        """Return a `send` that adds the policies to the head of the answer, and takes out what others say on them."""
        frames = " ".join(["'self'", *self._rules.frames]) if self._rules.frames else "'none'"
        policy = _FILE_POLICY if "/file=" in scope["path"] else _PAGE_POLICY
        ours = {
            b"content-security-policy": f"{policy}; frame-ancestors {frames}".encode(),
            b"x-content-type-options": b"nosniff",
            b"referrer-policy": b"same-origin",
            b"cross-origin-resource-policy": b"same-origin",
        }
        if not self._rules.frames:
            ours |= {b"x-frame-options": b"DENY", b"cross-origin-opener-policy": b"same-origin"}

        async def head(message: MutableMapping[str, Any]) -> None:
            if message["type"] == "http.response.start":
                kept = [(k, v) for k, v in message.get("headers", ()) if _stays(k.lower(), ours)]
                message = {**message, "headers": kept + list(ours.items())}
            await send(message)

        return head


def lifespan(rules: Rules) -> Any:
    """Return what Gradio's application runs at its start: it puts the gate around all of its layers."""

    @asynccontextmanager
    async def run(app: Any) -> AsyncIterator[None]:
        app.middleware_stack = Gate(app, app.middleware_stack, rules)
        yield

    return run


def _stays(name: bytes, ours: MutableMapping[bytes, bytes]) -> bool:
    """Say whether a header of the inner answer is kept: no page of another site is let in, so none is told it may."""
    return name not in ours and not name.startswith(b"access-control-")


def _host_name(host: str) -> str:
    """Return the name in a Host header, in lower case, without port, brackets and the dot of the root."""
    try:
        return (urlsplit(f"//{host}").hostname or "").rstrip(".")
    except ValueError:
        return ""


def _same_place(origin: str, host: str) -> bool:
    """Say whether a page of `origin` was served under `host`; a port that goes without saying may be said."""
    try:
        there, here = urlsplit(origin), urlsplit(f"//{host}")
        usual = {"http": 80, "https": 443}.get(there.scheme)
        return usual is not None and (there.hostname, there.port or usual) == (here.hostname, here.port or usual)
    except ValueError:
        return False


def _network(address: str) -> str:
    """Return what counts as one client: an address, or the 64 bits of it that one line is given."""
    try:
        found = ipaddress.ip_address(address)
    except ValueError:
        return address
    return str(ipaddress.ip_network((found, 64), strict=False)) if found.version == 6 else address


async def _answer(
    send: Send, status: int, text: str, *, kind: str = "text/plain", extra: Sequence[tuple[bytes, bytes]] = ()
) -> None:
    """Send a whole answer."""
    body = (text or HTTPStatus(status).phrase).encode()
    headers = [
        (b"content-type", f"{kind}; charset=utf-8".encode()), (b"content-length", str(len(body)).encode()),
        (b"cache-control", b"no-store"), (b"connection", b"close"), *extra,
    ]  # fmt: skip
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
