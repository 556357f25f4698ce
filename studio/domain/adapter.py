"""Adapters: what was learned of a person, as a small file that a base model wears.

Lineage runs photos -> run -> checkpoint -> adapter -> file; every step is a
row. Strength 0 is the base itself, 1 what was trained.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal

from studio.domain.base_model import Family

Method = Literal["lora", "dreambooth"]
Origin = Literal["trained", "imported", "merged"]
AdapterFormat = Literal["peft", "kohya", "kohya32"]
STRENGTH_RANGE = (-2.0, 2.0)


@dataclass(frozen=True, kw_only=True)
class NewAdapter:
    """An adapter that is about to be stored.

    Attributes:
        media_sha256: its weights in the media store (the studio's own layout: raw PEFT keys, safetensors).
        sheet_sha256: the pictures of its leak test; None while untested.
        trigger: the word that calls the person, such as "sks person"; "" when unknown.
        rank: largest rank in the file; None for full weights.
        base_name, base_sha256: the base it was trained on; "" when the file does not say.
        run_id, checkpoint_id: where it was trained.
        parents: id -> strength of the adapters it was merged from.
        measures: likeness, drift, leak and so on, as measured.
    """

    name: str
    method: Method = "lora"
    origin: Origin = "trained"
    family: Family
    media_sha256: str
    thumbnail_sha256: str | None = None
    sheet_sha256: str | None = None
    trigger: str = ""
    rank: int | None = None
    base_name: str = ""
    base_sha256: str = ""
    identity_id: str | None = None
    run_id: str | None = None
    checkpoint_id: str | None = None
    parents: Mapping[str, float] = field(default_factory=dict)
    measures: Mapping[str, Any] = field(default_factory=dict)
    notes: str = ""


@dataclass(frozen=True, kw_only=True)
class Adapter(NewAdapter):
    """A stored adapter; `created` is aware UTC."""

    id: str
    owner: str
    created: datetime


@dataclass(frozen=True, kw_only=True)
class AdapterFile:
    """An adapter as an engine is given it.

    Attributes:
        path: safetensors in any layout the engine reads.
        name: letters, digits and underscores; unique in one picture.
        strength: STRENGTH_RANGE; 0 changes nothing.
    """

    path: str
    name: str
    strength: float = 1.0


@dataclass(frozen=True, kw_only=True)
class AdapterExport:
    """A file that an adapter was written to, outside the studio; `created` is aware UTC."""

    id: str
    adapter_id: str
    format: AdapterFormat
    path: str
    sha256: str
    bytes: int
    created: datetime


def free_name(name: str, taken: Collection[str]) -> str:
    """Return the name, with a number behind it where it is taken."""
    number = 1
    while (name if number == 1 else f"{name} ({number})") in taken:
        number += 1
    return name if number == 1 else f"{name} ({number})"


def says_trigger(prompt: str, trigger: str) -> bool:
    """Say whether a prompt calls an adapter; one without a word of its own needs no calling."""
    return trigger.lower() in prompt.lower()


def with_trigger(prompt: str, trigger: str) -> str:
    """Return the prompt with an adapter's word in it: in place of "a person" where that stands, else in front."""
    for plain in ("a person", "a woman", "a man"):
        if plain in prompt:
            return prompt.replace(plain, trigger, 1)
    return f"{trigger}, {prompt}" if prompt.strip() else f"a photo of {trigger}"
