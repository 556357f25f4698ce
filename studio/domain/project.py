"""A project: a named shelf for people, photos and renders."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

LOCAL_OWNER = "local"
"""The owner of every row on a desktop; a hosted studio uses the account's name."""


@dataclass(frozen=True, kw_only=True)
class Project:
    """One project; times are aware UTC."""

    id: str
    owner: str
    name: str
    notes: str = ""
    created: datetime
