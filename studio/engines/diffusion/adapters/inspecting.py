"""What an adapter file says of itself, from its header alone: layout, kind, family, rank, whom it holds.

Keys and shapes are asked where the metadata is silent, since other programs
write what they like. The numbers are not read, and torch is not needed.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from studio.domain.adapter import ADAPTER_FORMATS, AdapterHeader, Kind
from studio.domain.base_model import FAMILIES, FAMILY_WORDS, OTHER_FAMILIES, OTHER_NOTES, OTHER_TEXT_WIDTHS, Family
from studio.engines.diffusion.adapters.keys import CONFIGS_KEY, NOTES_KEY, PARTS, KeyPlace
from studio.engines.diffusion.adapters.layouts import place_of
from studio.engines.diffusion.bases.header import read_header, refuse_pickles
from studio.errors import UserInputError
from studio.outside import json_of

_SCALES = re.compile(r"\.(scale_weight|weight_scale|scale_input|absmax|quant_map|quant_state\.\w+)$|^scaled_fp8$")
"""Keys that stand beside quantized numbers (scaled 8-bit floats, bitsandbytes), which mean nothing without them."""
_USUAL = ("adapter_model.safetensors", "pytorch_lora_weights.safetensors")
"""What PEFT and diffusers call their files in a folder."""


def adapter_file(path: Path) -> Path:
    """Return the file that is meant: itself, or the one adapter in a folder, as PEFT and diffusers save them.

    Raises:
        NotFoundError: nothing is there.
        UserInputError: the folder holds none, several, or only pickled ones.
    """
    if not os.path.isdir(path):
        return path
    found = sorted(path.glob("*.safetensors"))
    usual = [file for file in found if file.name in _USUAL]
    if len(usual or found) == 1:
        return (usual or found)[0]
    if found:
        names = ", ".join(file.name for file in found[:4])
        raise UserInputError(f"The folder {path.name} holds several files: {names}.", "Name the one that is meant.")
    for file in sorted(path.iterdir()):
        refuse_pickles(file)
    inside = sorted(file.parent.name for file in path.glob("*/adapter_model.safetensors"))
    if inside:
        raise UserInputError(
            f"The folder {path.name} holds an adapter for each part of a model: {', '.join(inside)}.",
            f"Name one of them, such as {path.name}/{inside[-1]}.",
        )
    raise UserInputError(f"The folder {path.name} holds no adapter.", "Name a folder with a .safetensors file in it.")


def inspect_adapter(path: Path) -> AdapterHeader:
    """Say what an adapter file is, from its header alone; torch is not needed.

    Raises:
        NotFoundError: no such file.
        UserInputError: pickled, or no adapter for these families.
        UnreadableMediaError: no whole safetensors file.
    """
    header = read_header(path)
    refuse_others(header.shapes, path.name, header.metadata)
    refuse_scales(header.shapes, path.name)
    found = header_of(header.shapes, header.metadata, own_notes(header.metadata))
    if found.unknown == found.keys:
        raise UserInputError(
            f"{path.name} is no adapter for {FAMILY_WORDS}: none of its {found.keys} keys is known.",
            "Choose a LoRA, LoHa, LoKr or DreamBooth file made for one of these families.",
        )
    return found


def refuse_others(shapes: Mapping[str, tuple[int, ...]], file: str, metadata: Mapping[str, str]) -> None:
    """Refuse a file of a family that the studio does not know: by its keys, its widths, or what it says of itself.

    Raises:
        UserInputError: naming that family.
    """
    said = _said(metadata, {})
    widths = _text_widths(shapes, {key: place for key in shapes if (place := place_of(key)) is not None})
    named = [title for title, look in OTHER_FAMILIES if any(re.search(look, key) for key in shapes)]
    named += [OTHER_TEXT_WIDTHS[width] for width in sorted(widths & OTHER_TEXT_WIDTHS.keys())]
    named += [title for title, look in OTHER_NOTES if not widths and re.search(look, said)]
    if named:
        raise UserInputError(
            f"{file} is made for {named[0]}, not for {FAMILY_WORDS}.", "Choose an adapter for one of these families."
        )


def refuse_scales(keys: Iterable[str], file: str) -> None:
    """Refuse a file whose numbers mean nothing without scales beside them.

    Raises:
        UserInputError: it has some.
    """
    scale = next((key for key in keys if _SCALES.search(key)), None)
    if scale is not None:
        raise UserInputError(
            f"{file} is quantized: {scale} holds scales of its numbers.", "Get its file in 16- or 32-bit floats."
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
    said = _said(metadata, own)
    for family in reversed(FAMILIES):
        if any(word in said for word in family.known_as):
            return family.name
    parts = {place.part for place in places.values()}
    told = any("add_embedding" in place.module for place in places.values())
    alike = [f for f in FAMILIES if parts <= set(f.parts) and (f.added or not told)]
    if len(alike) == 1:
        return alike[0].name
    widths = _text_widths(shapes, places)
    return next((f.name for f in alike if widths == {f.text_width}), None)


def _said(metadata: Mapping[str, str], own: Mapping[str, str]) -> str:
    """Return how a file calls its family, in small letters."""
    named = [metadata.get(key, "") for key in ("ss_base_model_version", "modelspec.architecture")]
    return " ".join([own.get("family", ""), *named]).lower()


def _text_widths(shapes: Mapping[str, tuple[int, ...]], places: Mapping[str, KeyPlace]) -> set[int]:
    """Return the widths of the words that cross-attention looks at."""
    return {
        shapes[key][1]
        for key, place in places.items()
        if place.slot in ("down", "weight") and len(shapes[key]) > 1 and re.search(r"attn2[._]to_k$", place.module)
    }
