"""What an adapter file says of itself, from its header alone: layout, kind, family, rank, whom it holds.

Keys and shapes are asked where the metadata is silent, since other programs
write what they like. The numbers are not read, and torch is not needed.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from studio.domain.adapter import ADAPTER_FORMATS, AdapterHeader, Kind
from studio.domain.base_model import FAMILIES, FAMILY_WORDS, OTHER_FAMILIES, Family
from studio.engines.diffusion.adapters.keys import CONFIGS_KEY, NOTES_KEY, PARTS, KeyPlace
from studio.engines.diffusion.adapters.layouts import place_of
from studio.engines.diffusion.bases.header import read_header
from studio.errors import UserInputError
from studio.outside import json_of


def inspect_adapter(path: Path) -> AdapterHeader:
    """Say what an adapter file is, from its header alone; torch is not needed.

    Raises:
        NotFoundError: no such file.
        UserInputError: pickled, or no adapter for these families.
        UnreadableMediaError: no whole safetensors file.
    """
    header = read_header(path)
    refuse_others(header.shapes, path.name)
    found = header_of(header.shapes, header.metadata, own_notes(header.metadata))
    if found.unknown == found.keys:
        raise UserInputError(
            f"{path.name} is no adapter for {FAMILY_WORDS}: none of its {found.keys} keys is known.",
            "Choose a LoRA, LoHa, LoKr or DreamBooth file made for one of these families.",
        )
    return found


def refuse_others(keys: Iterable[str], file: str) -> None:
    """Refuse a file with keys of a family that the studio does not know, whatever else is in it.

    Raises:
        UserInputError: naming that family.
    """
    listed = list(keys)
    for title, look in OTHER_FAMILIES:
        if any(re.search(look, key) for key in listed):
            raise UserInputError(
                f"{file} is made for {title}, not for {FAMILY_WORDS}.", "Choose an adapter for one of these families."
            )


def own_notes(metadata: Mapping[str, str]) -> dict[str, str]:
    """Return the studio's notes and the UNet's alpha as text; empty where a file has none, or broken ones."""
    noted = {key: str(value) for key, value in json_object(metadata.get(NOTES_KEY)).items()}
    configs = json_object(metadata.get(CONFIGS_KEY))
    return noted | ({"alpha": str(configs["unet.lora_alpha"])} if "unet.lora_alpha" in configs else {})


def json_object(text: str | None) -> dict[str, Any]:
    """Read a JSON object out of metadata; what is none counts as absent, since others may write what they like."""
    try:
        value = json_of(text or "{}")
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}


def header_of(
    shapes: Mapping[str, tuple[int, ...]], metadata: Mapping[str, str], own: Mapping[str, str]
) -> AdapterHeader:
    """Read what keys, shapes and metadata say.

    Args:
        own: the studio's own notes within the metadata; empty in other programs' files.
    """
    places = {key: place_of(key) for key in shapes}
    known = {key: place for key, place in places.items() if place is not None}
    slots = {place.slot for place in known.values()}
    ranks = [_rank(place.slot, shapes[key]) for key, place in known.items()]
    formats = {place.format for place in known.values()}
    kind = _kind(slots)
    return AdapterHeader(
        format=next((f.name for f in reversed(ADAPTER_FORMATS) if f.name in formats), "peft"),
        kind=kind,
        method="dreambooth" if kind == "full" else "lora",
        family=_family(shapes, known, metadata, own),
        rank=max((r for r in ranks if r is not None), default=None) if kind != "full" else None,
        alpha=_alpha(metadata, own),
        trigger=own.get("trigger") or metadata.get("modelspec.trigger_phrase", ""),
        base_name=own.get("base_name") or metadata.get("ss_sd_model_name", ""),
        base_sha256=own.get("base_sha256") or metadata.get("ss_new_sd_model_hash", ""),
        title=own.get("title") or metadata.get("modelspec.title") or metadata.get("ss_output_name", ""),
        modules=len({(place.part, place.module) for place in known.values() if place.slot != "embedding"}),
        keys=len(shapes),
        unknown=len(shapes) - len(known),
        parts=tuple(p for p in PARTS if any(place.part == p for place in known.values())),
        metadata=dict(metadata),
    )


def _kind(slots: set[str]) -> Kind:
    if any(slot.startswith("hada_") for slot in slots):
        return "loha"
    if any(slot.startswith("lokr_") for slot in slots):
        return "lokr"
    if slots & {"magnitude", "row_lengths"}:
        return "dora"
    return "lora" if "down" in slots or slots <= {"embedding"} else "full"


def _rank(slot: str, shape: tuple[int, ...]) -> int | None:
    """Return the rank that a matrix shows: rows of "down", the inner side of a product."""
    if slot in ("down", "hada_w1_b", "lokr_w2_b", "lokr_w1_b") and shape:
        return shape[0]
    return None


def _alpha(metadata: Mapping[str, str], own: Mapping[str, str]) -> float | None:
    for value in (own.get("alpha"), metadata.get("ss_network_alpha")):
        try:
            if value is not None:
                return float(value)
        except ValueError:
            continue
    return None


def _family(
    shapes: Mapping[str, tuple[int, ...]],
    places: Mapping[str, KeyPlace],
    metadata: Mapping[str, str],
    own: Mapping[str, str],
) -> Family | None:
    said = " ".join(
        (own.get("family", ""), metadata.get("ss_base_model_version", ""), metadata.get("modelspec.architecture", ""))
    ).lower()
    for family in reversed(FAMILIES):
        if any(word in said for word in family.known_as):
            return family.name
    parts = {place.part for place in places.values()}
    told = any("add_embedding" in place.module for place in places.values())
    alike = [f for f in FAMILIES if parts <= set(f.parts) and (f.added or not told)]
    if len(alike) == 1:
        return alike[0].name
    # The width of the text that cross-attention looks at.
    widths = {
        shapes[key][1]
        for key, place in places.items()
        if place.slot in ("down", "weight") and len(shapes[key]) > 1 and re.search(r"attn2[._]to_k$", place.module)
    }
    return next((f.name for f in alike if widths == {f.text_width}), None)
