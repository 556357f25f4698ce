"""Which performance a page may ask moments of."""

from __future__ import annotations

import pytest

from studio.errors import NotFoundError
from studio.ui.clips.moments import KEPT, Moments


def test_what_is_shown_again_keeps_its_token_and_is_drawn_as_it_is_now():
    moments = Moments()
    token = moments.put(("a", 0), lambda seconds: b"old")
    assert moments.put(("a", 0), lambda seconds: f"new {seconds:g}".encode()) == token
    assert moments.draw(token, 1.5) == b"new 1.5"
    assert moments.put(("a", 1), lambda seconds: b"other") != token


def test_what_was_shown_long_ago_is_forgotten():
    moments = Moments()
    first = moments.put("first", lambda seconds: b"x")
    for i in range(KEPT):
        last = moments.put(i, lambda seconds: b"y")
    assert moments.draw(last, 0.0) == b"y"
    for token in (first, "nothing", ""):
        with pytest.raises(NotFoundError, match="not shown any more"):
            moments.draw(token, 0.0)
