"""What a key of an adapter file means: which part of the model, which module, which matrix.

However a program writes it, a key ends as a `KeyPlace`. The endings that name
the matrix are shared by many programs and stand here; what stands in front of
them differs, and is read in the layouts' own modules (`peft`, `kohya`).
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from studio.domain.adapter import AdapterFormat
from studio.domain.base_model import FAMILIES

Part = str
"""A network that adapters can change, as the row of its family names it."""
PARTS: tuple[Part, ...] = tuple(dict.fromkeys(part for family in FAMILIES for part in family.parts))
CONFIGS_KEY = "lora_adapter_metadata"
"""Metadata in which diffusers looks for the LoRA configs, as one JSON object with the part in front of each field."""
NOTES_KEY = "likeness_studio"
"""Metadata with the studio's own notes."""

_SLOTS: tuple[tuple[str, str, AdapterFormat | None], ...] = (
    (".lora_A.weight", "down", "peft"),
    (".lora_B.weight", "up", "peft"),
    (".lora_B.bias", "up_bias", "peft"),
    (".lora_magnitude_vector.weight", "row_lengths", "peft"),
    (".lora_magnitude_vector", "row_lengths", "peft"),
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
    (".b_norm", "bias_change", None),
    (".w_norm", "weight_change", None),
    (".weight", "weight", "peft"),
    (".bias", "bias", "peft"),
)


@dataclass(frozen=True)
class KeyPlace:
    """Where one key of an adapter file belongs.

    Attributes:
        module: as its layout writes it, without `text_model.` in front; of a learned word the word.
        slot: "embedding", "down", "up", "alpha", "weight", "hada_w1_a", ...; learned lengths are "magnitude" where
            their shape says of what, and "row_lengths" where they are always those of the output rows.
        layout: module that reads it, and knows which layer the name means.
        format: row of ADAPTER_FORMATS; None where several write the ending alike.
    """

    part: Part
    module: str
    slot: str
    layout: str
    format: AdapterFormat | None


def split_key(key: str) -> tuple[str, str, AdapterFormat | None] | None:
    """Cut a key into what names the layer and its slot; None when it has no known ending."""
    # PEFT's own files name the adapter within the key.
    key = re.sub(r"(\.lora_[AB])\.[^.]+(?=\.(?:weight|bias)$)", r"\1", key)
    key = re.sub(r"(\.lora_magnitude_vector)\.(?!weight$)[^.]+(?=\.weight$|$)", r"\1", key)
    for ending, slot, format in _SLOTS:
        if key.endswith(ending):
            return key.removesuffix(ending), slot, format
    return None


def short_name(part: Part, module: str) -> str:
    """Return a layer's name as files of all kinds agree on it: text layers without `text_model.`."""
    return module if part == "unet" else module.removeprefix("text_model.")
