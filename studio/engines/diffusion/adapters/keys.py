"""How the keys of adapter files are read: which part of the model, which module, which matrix.

Three ways of writing one thing are in use: the studio's own and PEFT's
(`unet.<module>.lora_A.weight`), older diffusers' (`unet.<module>.lora.down.weight`)
and kohya's (`lora_unet_<module_with_underscores>.lora_down.weight`, also read by
ComfyUI and A1111). All end as a `KeyPlace`. Nothing here opens a file, and the
numbers behind the keys are not known.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from studio.domain.adapter import Method
from studio.domain.base_model import Family

Part = Literal["unet", "text_encoder", "text_encoder_2"]
Layout = Literal["peft", "diffusers", "kohya"]
Kind = Literal["lora", "dora", "loha", "lokr", "full"]
PARTS: tuple[Part, ...] = ("unet", "text_encoder", "text_encoder_2")

_KOHYA: tuple[tuple[str, Part], ...] = (
    ("lora_unet_", "unet"),
    ("lora_te1_", "text_encoder"),
    ("lora_te2_", "text_encoder_2"),
    ("lora_te_", "text_encoder"),
)
_SLOTS: tuple[tuple[str, str, Layout | None], ...] = (
    (".lora_A.weight", "down", "peft"),
    (".lora_B.weight", "up", "peft"),
    (".lora_magnitude_vector.weight", "magnitude", "peft"),
    (".lora_magnitude_vector", "magnitude", "peft"),
    (".lora_down.weight", "down", None),
    (".lora_up.weight", "up", None),
    (".lora_mid.weight", "mid", None),
    (".lora_linear_layer.down.weight", "down", "diffusers"),
    (".lora_linear_layer.up.weight", "up", "diffusers"),
    (".lora.down.weight", "down", "diffusers"),
    (".lora.up.weight", "up", "diffusers"),
    ("_lora.down.weight", "down", "diffusers"),
    ("_lora.up.weight", "up", "diffusers"),
    (".dora_scale", "magnitude", None),
    (".alpha", "alpha", None),
    *((f".hada_{n}", f"hada_{n}", None) for n in ("w1_a", "w1_b", "w2_a", "w2_b", "t1", "t2")),
    *((f".lokr_{n}", f"lokr_{n}", None) for n in ("w1", "w1_a", "w1_b", "w2", "w2_a", "w2_b", "t2")),
    (".diff_b", "bias_change", None),
    (".diff", "weight_change", None),
    (".weight", "weight", "peft"),
    (".bias", "bias", "peft"),
)
_EMBEDDINGS: tuple[tuple[str, Part], ...] = (("embedding.", "text_encoder"), ("embedding_2.", "text_encoder_2"))
_OLD_OUT = re.compile(r"\.to_out$")


@dataclass(frozen=True)
class KeyPlace:
    """Where one key of an adapter file belongs.

    Attributes:
        module: with dots and without `text_model.` in front, or, when `flat`, kohya's name with underscores;
            of a learned word the word.
        slot: "embedding", "down", "up", "alpha", "weight", "hada_w1_a", ...
        layout: None where several layouts write the ending alike.
    """

    part: Part
    module: str
    slot: str
    flat: bool
    layout: Layout | None


def place_of(key: str) -> KeyPlace | None:
    """Read one key; None when it is no key of an adapter for these families."""
    for prefix, part in _EMBEDDINGS:
        if key.startswith(prefix):
            return KeyPlace(part, key.removeprefix(prefix), "embedding", False, "peft")
    stem, slot, layout = _split(key)
    if slot is None:
        return None
    for prefix, kohya_part in _KOHYA:
        if stem.startswith(prefix):
            return KeyPlace(kohya_part, stem.removeprefix(prefix), slot, True, "kohya")
    stem = stem.removeprefix("base_model.model.")
    # The longest name first: "text_encoder_2." also begins with "text_encoder".
    for part in reversed(PARTS):
        if stem.startswith(part + "."):
            module = stem.removeprefix(part + ".").replace(".processor", "")
            module = module.removeprefix("text_model.") if part != "unet" else _OLD_OUT.sub(".to_out.0", module)
            return KeyPlace(part, module, slot, False, layout or "diffusers")
    return None


def _split(key: str) -> tuple[str, str | None, Layout | None]:
    # PEFT's own files name the adapter within the key.
    key = re.sub(r"(\.lora_(?:A|B|magnitude_vector))\.default(?=\.|$)", r"\1", key)
    for ending, slot, layout in _SLOTS:
        if key.endswith(ending):
            return key.removesuffix(ending), slot, layout
    return key, None, None


@dataclass(frozen=True, kw_only=True)
class AdapterHeader:
    """What an adapter file says of itself; None and "" where it does not say.

    Attributes:
        format: how its keys are written.
        kind: how its update is written: low-rank, with a learned magnitude, as products, or full weights.
        family: from the metadata, else from the widths of the cross-attention.
        alpha: of the UNet where parts differ; None when the file leaves it out (then it equals the rank).
        modules: layers it changes.
        keys: all keys; `unknown` those of another kind of model.
    """

    format: Layout
    kind: Kind
    method: Method
    family: Family | None
    rank: int | None
    alpha: float | None
    trigger: str
    base_name: str
    base_sha256: str
    title: str
    modules: int
    keys: int
    unknown: int
    parts: tuple[Part, ...]
    metadata: Mapping[str, str] = field(repr=False)


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
    layouts = {place.layout for place in known.values()}
    kind = _kind(slots)
    return AdapterHeader(
        format="kohya" if "kohya" in layouts else "diffusers" if "diffusers" in layouts else "peft",
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
    if "magnitude" in slots:
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
    if "sdxl" in said or "stable-diffusion-xl" in said:
        return "sdxl"
    if "sd15" in said or "sd_v1" in said or "stable-diffusion-v1" in said:
        return "sd15"
    if any(place.part == "text_encoder_2" or "add_embedding" in place.module for place in places.values()):
        return "sdxl"
    # Width of the text that cross-attention looks at: 768 in Stable Diffusion 1.x, 2048 in XL.
    widths = {
        shapes[key][1]
        for key, place in places.items()
        if place.slot in ("down", "weight") and len(shapes[key]) > 1 and re.search(r"attn2[._]to_k$", place.module)
    }
    return "sd15" if widths == {768} else "sdxl" if widths == {2048} else None
