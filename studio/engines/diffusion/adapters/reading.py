"""Reading an adapter file for one base: which layers it means, and whether it fits them.

Layouts, families and shapes are settled here, before anything on the base is
changed; what nothing was found for is reported, not lost. How an update gets
onto its layer is told in `wearing`, its arithmetic in `changes`.
"""

from __future__ import annotations

import json
import re
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from studio.domain.base_model import FAMILY_TITLES
from studio.engines.diffusion.adapters import kohya
from studio.engines.diffusion.adapters.changes import check_fit
from studio.engines.diffusion.adapters.keys import PARTS, KeyPlace, Part, header_of, place_of
from studio.engines.diffusion.adapters.tensor_file import read_tensors
from studio.engines.diffusion.adapters.update import ModuleUpdate
from studio.engines.diffusion.bases.header import read_header
from studio.errors import UserInputError

if TYPE_CHECKING:
    from torch import Tensor

    from studio.engines.diffusion.bases.loading import LoadedBase


@dataclass(frozen=True)
class LoadReport:
    """What of a file found its place on the base.

    Attributes:
        matched: keys used.
        unmatched: keys for which the base has no place, sorted.
    """

    name: str
    matched: int
    unmatched: tuple[str, ...]


@dataclass(frozen=True)
class AdapterWeights:
    """An adapter file, read for one base.

    Attributes:
        words: learned words: key in the file -> row.
    """

    updates: tuple[ModuleUpdate, ...]
    words: Mapping[str, Tensor]
    report: LoadReport
    metadata: Mapping[str, str] = field(repr=False)


def parts_of(loaded: LoadedBase) -> dict[Part, Any]:
    """Return the networks that adapters can change, by their names in files."""
    return dict(zip(PARTS, (loaded.unet, *loaded.text_encoders), strict=False))


def short_name(part: Part, module: str) -> str:
    """Return a layer's name as files of all kinds agree on it: text layers without `text_model.`."""
    return module if part == "unet" else module.removeprefix("text_model.")


def layer_names(loaded: LoadedBase) -> dict[Part, dict[str, str]]:
    """Return every layer with numbers of its own: part -> short name -> the model's own name."""
    return {
        part: {
            short_name(part, name): name
            for name, module in model.named_modules()
            if name and any(True for _ in module.parameters(recurse=False))
        }
        for part, model in parts_of(loaded).items()
    }


def read_adapter(loaded: LoadedBase, path: Path, name: str = "") -> AdapterWeights:
    """Read an adapter file of any layout and find the layers of this base that it means.

    Args:
        loaded: wears nothing.

    Raises:
        UserInputError: for another family, for no layer of this base, or of other shapes.
        NotFoundError, UnreadableMediaError: no file, or no whole one.
    """
    header = read_header(path)
    own = _json_object(header.metadata.get("likeness_studio"))
    about = header_of(header.shapes, header.metadata, {k: str(v) for k, v in own.items()})
    location = loaded.location
    if about.family is not None and about.family != location.family:
        raise UserInputError(
            f"{path.name} is for {FAMILY_TITLES[about.family]}, but the base model {location.title} is "
            f"{FAMILY_TITLES[location.family]}.",
            "Choose a base model of the adapter's family, or another adapter.",
        )
    groups: dict[tuple[Part, str], dict[str, Tensor]] = defaultdict(dict)
    words: dict[str, Tensor] = {}
    unmatched: list[str] = []
    names = layer_names(loaded)
    blocks = kohya.checkpoint_blocks(loaded.unet.config)
    flat = {part: kohya.flat_names(part, names[part], blocks) for part in names}
    tensors = read_tensors(path)
    for key, tensor in tensors.items():
        place = place_of(key)
        if place is not None and place.slot == "embedding" and place.part in names:
            words[key] = tensor
            continue
        layer = _layer(place, names, flat)
        if place is None or layer is None:
            unmatched.append(key)
            continue
        groups[place.part, layer][place.slot] = tensor
    if not groups and not words:
        raise UserInputError(
            f"Nothing in {path.name} fits the base model {location.title}: none of its {len(tensors)} keys is known.",
            "Choose an adapter made for this kind of base model.",
        )
    configs = _json_object(header.metadata.get("lora_adapter_metadata"))
    updates = tuple(_update(loaded, part, layer, slots, configs, path.name) for (part, layer), slots in groups.items())
    report = LoadReport(name or path.stem, len(tensors) - len(unmatched), tuple(sorted(unmatched)))
    return AdapterWeights(updates, words, report, header.metadata)


def _layer(
    place: KeyPlace | None, names: Mapping[Part, Mapping[str, str]], flat: Mapping[Part, Mapping[str, str]]
) -> str | None:
    """Return the model's own name of the layer a key means, or None."""
    if place is None or place.part not in names:
        return None
    short = flat[place.part].get(place.module) if place.flat else place.module
    return None if short is None else names[place.part].get(short)


def _json_object(text: str | None) -> dict[str, Any]:
    """Read a JSON object out of metadata; what is none counts as absent, since others may write what they like."""
    try:
        value = json.loads(text or "{}")
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}


def _update(
    loaded: LoadedBase, part: Part, layer: str, slots: dict[str, Tensor], configs: Mapping[str, Any], file: str
) -> ModuleUpdate:
    """Build the update of one layer and check that it fits.

    Raises:
        UserInputError: its shape is another, or half of it is missing.
    """
    alpha = slots.pop("alpha", None)
    update = ModuleUpdate(
        part,
        layer,
        slots,
        float(alpha) if alpha is not None else _configured_alpha(part, layer, configs),
        bool(configs.get(f"{part}.use_rslora")) and alpha is None,
    )
    check_fit(update, parts_of(loaded)[part].get_submodule(layer), file, loaded.location.title)
    return update


def _configured_alpha(part: Part, layer: str, configs: Mapping[str, Any]) -> float | None:
    """Return a layer's alpha as the LoRA configs in the metadata say it."""
    patterns = configs.get(f"{part}.alpha_pattern")
    for pattern, alpha in (patterns if isinstance(patterns, dict) else {}).items():
        if re.fullmatch(rf"(.*\.)?({pattern})", layer):
            return float(alpha)
    alpha = configs.get(f"{part}.lora_alpha")
    return None if alpha is None else float(alpha)
