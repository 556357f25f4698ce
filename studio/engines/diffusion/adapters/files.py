"""Adapter files: writing the studio's own, reading everybody's, and making sure that what was written can be read.

The studio's own layout is raw PEFT keys ("unet.<module>.lora_A.weight"), the
LoRA configs in the metadata key that diffusers reads, and a few notes of ours
beside it. Nothing is renamed and nothing rounded, so that a training goes on
bit for bit from such a file. Full DreamBooth weights stand under the same
names without the LoRA endings. How an adapter is put on a base is told in
`wearing`, how files for other programs look in `kohya`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from studio.domain.adapter import Method
from studio.domain.base_model import Family, PredictionType
from studio.engines.diffusion.adapters.keys import PARTS, AdapterHeader, header_of
from studio.engines.diffusion.adapters.reading import LoadReport
from studio.engines.diffusion.adapters.tensor_file import write_tensors
from studio.engines.diffusion.adapters.wearing import load_adapters, unload_adapters
from studio.engines.diffusion.bases.header import read_header
from studio.errors import UserInputError

if TYPE_CHECKING:
    from torch import Tensor

    from studio.engines.diffusion.bases.loading import LoadedBase

__all__ = [
    "AdapterHeader", "AdapterMetadata", "LoadReport", "adapter_tensors", "inspect_adapter", "load_adapters",
    "save_adapter", "unload_adapters",
]  # fmt: skip

CONFIGS_KEY = "lora_adapter_metadata"
"""Where diffusers looks for the LoRA configs, as one JSON object with the part in front of each field."""
NOTES_KEY = "likeness_studio"
_ARCHITECTURES: dict[Family, str] = {"sd15": "stable-diffusion-v1", "sdxl": "stable-diffusion-xl-v1-base"}


@dataclass(frozen=True, kw_only=True)
class AdapterMetadata:
    """What is written about an adapter into its file.

    Attributes:
        trigger: the word that calls the person.
        base_name, base_sha256: the base it was trained on.
        resolution: pixels of a side of the training pictures; 0 is not said.
        created: ISO 8601; "" leaves the date out, so that equal weights make equal files.
        description: one or two sentences for people.
    """

    family: Family
    method: Method = "lora"
    title: str = ""
    trigger: str = ""
    base_name: str = ""
    base_sha256: str = ""
    resolution: int = 0
    prediction_type: PredictionType = "epsilon"
    created: str = ""
    description: str = ""
    author: str = ""
    extra: Mapping[str, str] = field(default_factory=dict)

    def notes(self) -> dict[str, Any]:
        """Return the studio's own notes, as JSON values."""
        return {
            "family": self.family, "method": self.method, "title": self.title, "trigger": self.trigger,
            "base_name": self.base_name, "base_sha256": self.base_sha256, "resolution": self.resolution,
            "prediction_type": self.prediction_type,
        }  # fmt: skip

    def model_spec(self) -> dict[str, str]:
        """Return what other programs show about a file (sai_model_spec 1.0.0), without its hash and picture."""
        said = {
            "modelspec.sai_model_spec": "1.0.0",
            "modelspec.architecture": _ARCHITECTURES[self.family] + ("/lora" if self.method == "lora" else ""),
            "modelspec.implementation": "diffusers",
            "modelspec.title": self.title or self.trigger or "adapter",
            "modelspec.trigger_phrase": self.trigger,
            "modelspec.resolution": f"{self.resolution}x{self.resolution}" if self.resolution else "",
            "modelspec.prediction_type": {"epsilon": "epsilon", "v_prediction": "v"}[self.prediction_type],
            "modelspec.date": self.created,
            "modelspec.description": self.description,
            "modelspec.author": self.author,
        }
        return {key: value for key, value in said.items() if value} | dict(self.extra)


def inspect_adapter(path: Path) -> AdapterHeader:
    """Say what an adapter file is, from its header alone; torch is not needed.

    Raises:
        NotFoundError: no such file.
        UserInputError: pickled, or no adapter for these families.
        UnreadableMediaError: no whole safetensors file.
    """
    header = read_header(path)
    found = header_of(header.shapes, header.metadata, _own_notes(header.metadata))
    if found.unknown == found.keys:
        raise UserInputError(
            f"{path.name} is no adapter for Stable Diffusion 1.x or XL: none of its {found.keys} keys is known.",
            "Choose a LoRA, LoHa, LoKr or DreamBooth file made for one of these families.",
        )
    return found


def _own_notes(metadata: Mapping[str, str]) -> dict[str, str]:
    """Return the studio's notes and the UNet's alpha as text; empty where a file has none, or broken ones."""
    noted: dict[str, str] = {}
    for key, wanted in ((NOTES_KEY, None), (CONFIGS_KEY, "unet.lora_alpha")):
        try:
            value = json.loads(metadata.get(key, "{}"))
        except ValueError:
            continue
        if isinstance(value, dict) and wanted is None:
            noted |= {str(k): str(v) for k, v in value.items()}
        elif isinstance(value, dict) and wanted in value:
            noted["alpha"] = str(value[wanted])
    return noted


def save_adapter(
    path: Path, tensors: Mapping[str, Tensor], *, configs: Mapping[str, Any], metadata: AdapterMetadata
) -> str:
    """Write the studio's own file, whole or not at all.

    Args:
        tensors: "unet.", "text_encoder.", "text_encoder_2." and a raw PEFT key, or a parameter's name for
            full weights; "embedding.<word>" for a learned word. Kept as they are.
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
    for part, model in zip(PARTS, (loaded.unet, *loaded.text_encoders), strict=False):
        for name, parameter in model.named_parameters():
            if f".{adapter_name}" in name and ".lora_" in name:
                found[f"{part}.{name.replace(f'.{adapter_name}', '')}"] = parameter.detach()
    return found
