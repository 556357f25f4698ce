"""Moments of performances that a page may ask for by a plain address, to play along with a sound.

Gradio's events take longer than a frame takes to draw. What is drawn is said
here, from the page's own state; the page knows a token and says when.
"""

from __future__ import annotations

import secrets
import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable

from studio.errors import NotFoundError

Draw = Callable[[float], bytes]
"""Seconds of a performance to a JPEG picture."""
KEPT = 64


class Moments:
    """The performances and portraits that pages show now; safe to use from several threads."""

    def __init__(self) -> None:
        self._tokens: OrderedDict[Hashable, str] = OrderedDict()
        self._draw: dict[str, Draw] = {}
        self._lock = threading.Lock()

    def put(self, what: Hashable, draw: Draw) -> str:
        """Return the token under which moments of `what` are drawn."""
        with self._lock:
            token = self._tokens.setdefault(what, secrets.token_urlsafe(16))
            self._tokens.move_to_end(what)
            self._draw[token] = draw
            while len(self._tokens) > KEPT:
                self._draw.pop(self._tokens.popitem(last=False)[1])
            return token

    def draw(self, token: str, seconds: float) -> bytes:
        """Draw a moment.

        Raises:
            NotFoundError: nothing is shown under this token; and what drawing raises.
        """
        with self._lock:
            found = self._draw.get(token)
        if found is None:
            raise NotFoundError("This performance is not shown any more.", "Load the page anew.")
        return found(seconds)
