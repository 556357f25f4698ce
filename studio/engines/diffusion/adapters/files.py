"""The studio's own adapter files, written as a training has them.

The layout is raw PEFT keys ("unet.<module>.lora_A.weight"), the LoRA configs
in the metadata key that diffusers reads, and a few notes of ours beside it.
Nothing is renamed and nothing rounded, so that a training goes on bit for bit
from such a file. Full DreamBooth weights stand under the same names without
the LoRA endings. Files for other programs are made by `exporting`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from studio.domain.adapter import AdapterMetadata
from studio.engines.diffusion.adapters.keys import CONFIGS_KEY, NOTES_KEY
from studio.engines.diffusion.adapters.tensor_file import write_tensors
from studio.errors import UserInputError

if TYPE_CHECKING:
    from torch import Tensor

    from studio.engines.diffusion.bases.loading import LoadedBase


def save_adapter(
    path: Path, tensors: Mapping[str, Tensor], *, configs: Mapping[str, Any], metadata: AdapterMetadata
) -> str:
    """Write the studio's own file, whole or not at all.

    Args:
        tensors: a part of the family ("unet", "text_encoder", ...), a dot and a raw PEFT key, or a parameter's
            name for full weights; "embedding.<word>" for a learned word. Kept as they are.
        configs: part -> peft LoraConfig; empty for full weights.

    Returns:
        sha256 of the file.

    Raises:
        UserInputError: there is nothing to write.
        StoreError: disk full or read-only.
    """
    if not tensors:
        raise UserInputError("The adapter holds no weights.", "Train it for at least one step.")
    noted = {"format": "pt", NOTES_KEY: json.dumps(metadata.notes(), sort_keys=True), **metadata.model_spec()}
    if configs:
        noted[CONFIGS_KEY] = json.dumps(pack_configs(configs), sort_keys=True)
    return write_tensors(path, tensors, noted, hashes={"modelspec.hash_sha256": "0x"})


def pack_configs(configs: Mapping[str, Any]) -> dict[str, Any]:
    """Return LoRA configs as one JSON object in the way diffusers reads them."""
    packed: dict[str, Any] = {}
    for part, config in sorted(configs.items()):
        for name, value in config.to_dict().items():
            packed[f"{part}.{name}"] = sorted(value) if isinstance(value, set) else value
    return json.loads(json.dumps(packed, default=str))  # type: ignore[no-any-return]


def adapter_tensors(loaded: LoadedBase, adapter_name: str = "default") -> dict[str, Tensor]:
    """Return the LoRA matrices that the base wears under a name, by their keys in the studio's files."""
    found: dict[str, Tensor] = {}
    for part, model in loaded.parts.items():
        for name, parameter in model.named_parameters():
            if f".{adapter_name}" in name and ".lora_" in name:
                found[f"{part}.{name.replace(f'.{adapter_name}', '')}"] = parameter.detach()
    return found
