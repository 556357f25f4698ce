"""Adapter files as the studio itself, PEFT and diffusers write them: keys with dots.

The studio's own and PEFT's keys are `unet.<module>.lora_A.weight`, older
diffusers' are `unet.<module>.lora.down.weight`; both are read, the first is
written. Files of one network alone leave the part out: its layers tell it.
Ranks and alphas stand as LoRA configs in the metadata. Learned words are rows of their own, `embedding.<word>`.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from studio.domain.adapter import AdapterMetadata, FileFormat
from studio.domain.base_model import FAMILIES
from studio.engines.diffusion.adapters.keys import CONFIGS_KEY, NOTES_KEY, PARTS, KeyPlace, Part, short_name, split_key
from studio.engines.diffusion.adapters.update import ModuleUpdate

if TYPE_CHECKING:
    from torch import Tensor

HASHES = {"modelspec.hash_sha256": "0x"}
"""Metadata that holds the hash of the weights -> what stands in front of it."""
_SLOT_KEYS = {
    "down": "lora_A.weight", "up": "lora_B.weight", "up_bias": "lora_B.bias", "mid": "lora_mid.weight",
    "magnitude": "lora_magnitude_vector",
    "weight_change": "diff", "bias_change": "diff_b",
}  # fmt: skip
_EMBEDDINGS: dict[str, Part] = {e.embedding_prefix: e.part for family in FAMILIES for e in family.text}
_OLD_OUT = re.compile(r"\.to_out$")
_UNET_LAYERS = re.compile(r"(down_blocks|mid_block|up_blocks|conv_in|conv_out|time_embedding|add_embedding)\b")
_BASE_WEIGHTS = {"weight", "bias"}
"""Slots that whole networks have too: without a part in front they are no adapter."""


def place_of(key: str) -> KeyPlace | None:
    """Read one key; None when it is none of this layout."""
    for prefix, encoder in _EMBEDDINGS.items():
        if key.startswith(prefix):
            return KeyPlace(encoder, key.removeprefix(prefix), "embedding", "peft", "peft")
    cut = split_key(key)
    if cut is None:
        return None
    stem, slot, format = cut
    wrapped = stem.startswith("base_model.model.")
    stem = stem.removeprefix("base_model.model.").replace(".base_layer", "")
    part: Part | None = next((p for p in PARTS if stem.startswith(p + ".")), None)
    if part is None and (wrapped or slot not in _BASE_WEIGHTS):
        part = "unet" if _UNET_LAYERS.match(stem) else "text_encoder" if stem.startswith("text_model.") else None
    if part is None:
        return None
    module = stem.removeprefix(part + ".").replace(".processor", "")
    module = module.removeprefix("text_model.") if part != "unet" else _OLD_OUT.sub(".to_out.0", module)
    return KeyPlace(part, module, slot, "peft", format or "diffusers")


def layer_names(part: Part, modules: Iterable[str], unet: Mapping[str, Any]) -> dict[str, str]:
    """Return every name that means a layer: name -> layer. Here layers are called what they are called."""
    return {module: module for module in modules}


def written(
    updates: Iterable[ModuleUpdate],
    words: Mapping[str, Tensor],
    metadata: AdapterMetadata,
    format: FileFormat,
    unet: Mapping[str, Any],
) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Return keys and metadata of a file for diffusers; nothing is rounded."""
    return own_layout(updates, words, metadata, portable=True)


def own_layout(
    updates: Iterable[ModuleUpdate], words: Mapping[str, Tensor], metadata: AdapterMetadata, *, portable: bool = False
) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Return keys and metadata in the studio's own layout.

    Args:
        portable: text layers get the "text_model." that other programs expect; diffusers takes both.
    """
    import torch

    tensors: dict[str, Tensor] = dict(words)
    thin = [u for u in updates if "down" in u.tensors]
    for update in updates:
        module = update.module
        if portable and update.part != "unet":
            module = "text_model." + short_name(update.part, module)
        for slot, tensor in update.tensors.items():
            key = _SLOT_KEYS.get(slot, slot)
            if slot == "magnitude" and not update.lycoris:  # PEFT's shapes
                tensor = tensor.reshape((-1,) if update.tensors["up"].dim() == 2 else (1, -1, 1, 1))
            elif slot == "magnitude":
                key = "dora_scale"
            tensors[f"{update.part}.{module}.{key}"] = tensor
        if "down" not in update.tensors and update.alpha is not None:
            tensors[f"{update.part}.{module}.alpha"] = torch.tensor(update.alpha)
    noted = {"format": "pt", NOTES_KEY: json.dumps(metadata.notes(), sort_keys=True), **metadata.model_spec()}
    if thin:
        noted[CONFIGS_KEY] = json.dumps(_configs(thin), sort_keys=True)
    return tensors, noted


def _configs(updates: Iterable[ModuleUpdate]) -> dict[str, Any]:
    """Return LoRA configs, part by part, as diffusers reads them: ranks and alphas of every layer."""
    packed: dict[str, Any] = {}
    by_part: dict[Part, list[ModuleUpdate]] = {}
    for update in updates:
        by_part.setdefault(update.part, []).append(update)
    for part, mine in by_part.items():
        ranks = {u.module: int(u.tensors["down"].shape[0]) for u in mine}
        # As if plainly scaled by alpha / rank, whatever the file's own rule was.
        alphas = {u.module: u.scale * ranks[u.module] for u in mine}
        rank = Counter(ranks.values()).most_common(1)[0][0]
        alpha = Counter(alphas.values()).most_common(1)[0][0]
        fields = {
            "peft_type": "LORA", "r": rank, "lora_alpha": alpha, "target_modules": sorted(ranks),
            "rank_pattern": {m: r for m, r in ranks.items() if r != rank},
            "alpha_pattern": {m: a for m, a in alphas.items() if a != alpha},
            "use_dora": any("magnitude" in u.tensors for u in mine), "bias": "none",
        }  # fmt: skip
        packed |= {f"{part}.{name}": value for name, value in fields.items()}
    return packed
