"""Waiting for a state, not for a time: the one limit of every wait in the tests.

A test that waits asks again and again and goes on at once when the answer is
yes; the limit only ends a test that would wait forever, so it may be as long
as the slowest busy machine needs.
"""

from __future__ import annotations

import time
from collections.abc import Callable

PATIENCE_SECONDS = 240.0
"""Far beyond what anything here takes on a machine that does ten other things."""

_LOOK_SECONDS = 0.02


def wait_until(what: Callable[[], object], why: Callable[[], object] = lambda: "") -> None:
    """Return as soon as `what` is true.

    Args:
        what: asked again and again.
        why: says, when patience has ended, what was seen instead.

    Raises:
        AssertionError: it did not come true.
    """
    end = time.monotonic() + PATIENCE_SECONDS
    while not what():
        assert time.monotonic() < end, f"waited {PATIENCE_SECONDS:.0f} s in vain {why()}"
        time.sleep(_LOOK_SECONDS)
