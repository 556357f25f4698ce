"""A project: a named shelf for people, photos and renders."""

from __future__ import annotations

import hashlib
import re
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


def folder_name(owner: str) -> str:
    """Return a name for a folder of one owner's files: no other owner has it, and no path can hide in it."""
    if re.fullmatch(r"[a-z][a-z0-9-]{0,31}", owner):
        return owner
    return "_" + hashlib.sha256(owner.encode()).hexdigest()[:24]
