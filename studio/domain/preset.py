"""A preset: slider values a person keeps by name."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any


@dataclass(frozen=True, kw_only=True)
class Preset:
    """One person's own preset; built-in ones are files, not rows. Times are aware UTC.

    Attributes:
        kind: what it is for, e.g. "expression".
        name: unique for its owner and kind.
        values: JSON values; their meaning belongs to the kind.
    """

    id: str
    owner: str
    kind: str
    name: str
    values: Mapping[str, Any] = field(default_factory=dict)
    thumbnail_sha256: str | None = None
    created: datetime
