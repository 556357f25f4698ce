"""What every table does alike: ids, times and JSON as they stand in a row."""

from __future__ import annotations

import json
import secrets
import threading
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"  # Crockford's base 32: nothing to mistake for something else
_lock = threading.Lock()
_last_milliseconds = 0


def new_id() -> str:
    """Return a new id: 9 letters of time, 6 of chance; ids of one process sort by birth."""
    global _last_milliseconds
    with _lock:
        _last_milliseconds = max(_last_milliseconds + 1, time.time_ns() // 1_000_000)
        number = (_last_milliseconds << 30) | secrets.randbits(30)
    letters = ""
    for _ in range(15):
        number, rest = divmod(number, 32)
        letters = _ALPHABET[rest] + letters
    return letters


def now() -> datetime:
    """Return the present moment in UTC."""
    return datetime.now(UTC)


def to_text(moment: datetime) -> str:
    """Write a moment as text of fixed width in UTC, so that texts sort like moments."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def to_text_or_none(moment: datetime | None) -> str | None:
    """Write a moment, or None."""
    return None if moment is None else to_text(moment)


def to_moment(text: str) -> datetime:
    """Read what `to_text` wrote."""
    return datetime.strptime(text, "%Y-%m-%dT%H:%M:%S.%fZ").replace(tzinfo=UTC)


def to_moment_or_none(text: str | None) -> datetime | None:
    """Read a moment, or None."""
    return None if text is None else to_moment(text)


def to_json(value: Mapping[str, Any]) -> str:
    """Write JSON values compactly; NaN is refused because no other program reads it.

    Raises:
        TypeError, ValueError: something in it is no JSON value.
    """
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False)


def to_mapping(text: str) -> dict[str, Any]:
    """Read what `to_json` wrote."""
    found: dict[str, Any] = json.loads(text)
    return found
