"""Reading an adapter file for one base: which layers it means, and whether it fits them.

Layouts, families and shapes are settled here, before anything on the base is
changed; what nothing was found for is reported, not lost. How an update gets
onto its layer is told in `wearing`, its arithmetic in `changes`.
"""

from __future__ import annotations

import math
import re
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from studio.domain.adapter import LoadReport
from studio.domain.base_model import FAMILY_TITLES, BaseLocation
from studio.engines.diffusion.adapters.changes import check_fit
from studio.engines.diffusion.adapters.inspecting import header_of, json_object, refuse_scales
from studio.engines.diffusion.adapters.keys import CONFIGS_KEY, NOTES_KEY, PARTS, KeyPlace, Part, short_name, split_key
from studio.engines.diffusion.adapters.layouts import LAYOUTS, place_of
from studio.engines.diffusion.adapters.tensor_file import read_tensors
from studio.engines.diffusion.adapters.update import ModuleUpdate, along_input
from studio.engines.diffusion.bases.header import WeightsHeader, read_header
from studio.engines.diffusion.bases.outline import Outline, outline
from studio.errors import StudioError, UserInputError
from studio.outside import text_of

if TYPE_CHECKING:
    from torch import Tensor

    from studio.engines.diffusion.bases.loading import LoadedBase


_ALPHA_ASSUMED = "Its alpha stands in adapter_config.json, which was not beside it: its rank was taken."


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


def layer_names(loaded: LoadedBase | Outline) -> dict[Part, dict[str, str]]:
    """Return every layer with numbers of its own: part -> short name -> the model's own name."""
    return {
        part: {
            short_name(part, name): name
            for name, module in model.named_modules()
            if name and any(True for _ in module.parameters(recurse=False))
        }
        for part, model in loaded.parts.items()
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
    _refuse_other_family(header, path, loaded.location)
    return _placed(loaded, path, header, _finite(read_tensors(path), path.name), name)


def check_adapter(location: BaseLocation, path: Path) -> None:
    """Refuse an adapter file that does not fit a base, by its header and the base's configs: no weights are read.

    Raises:
        UserInputError, NotFoundError, UnreadableMediaError: as `read_adapter`, but for what stands in its numbers.
    """
    import torch

    header = read_header(path)
    _refuse_other_family(header, path, location)
    refuse_scales(header.shapes, path.name)
    for key, dtype in header.dtypes.items():
        if split_key(key) is not None and math.prod(header.shapes[key]) > 1 and dtype[:1] in ("I", "U"):
            raise _whole_numbers(path.name, key)
    shapes = {key: torch.empty(shape, device="meta") for key, shape in header.shapes.items()}
    # An alpha scales, whatever it is; the rest is shapes.
    shapes |= {key: torch.ones(shape) for key, shape in header.shapes.items() if math.prod(shape) == 1}
    _placed(outline(location), path, header, shapes)


def _whole_numbers(file: str, key: str) -> UserInputError:
    return UserInputError(
        f"{file} is quantized: the numbers of {key} are whole ones.", "Get its file in 16- or 32-bit floats."
    )


def _refuse_other_family(header: WeightsHeader, path: Path, location: BaseLocation) -> None:
    """Refuse a file that says or shows that it is for another family than the base.

    Raises:
        UserInputError: it does.
    """
    own = json_object(header.metadata.get(NOTES_KEY))
    about = header_of(header.shapes, header.metadata, {k: str(v) for k, v in own.items()})
    if about.family is not None and about.family != location.family:
        raise UserInputError(
            f"{path.name} is for {FAMILY_TITLES[about.family]}, but the base model {location.title} is "
            f"{FAMILY_TITLES[location.family]}.",
            "Choose a base model of the adapter's family, or another adapter.",
        )


def _placed(
    loaded: LoadedBase | Outline, path: Path, header: WeightsHeader, tensors: Mapping[str, Tensor], name: str = ""
) -> AdapterWeights:
    """Find the layer of each tensor, and check that it fits.

    Args:
        tensors: of an outline only their shapes count.

    Raises:
        UserInputError: for no layer of this base, or of other shapes.
    """
    location = loaded.location
    groups: dict[tuple[Part, str], dict[str, Tensor]] = defaultdict(dict)
    words: dict[str, Tensor] = {}
    unmatched: list[str] = []
    names = layer_names(loaded)
    meant = {
        (layout, part): LAYOUTS[layout].layer_names(part, names[part], loaded.unet.config)
        for layout in LAYOUTS
        for part in names
    }
    for key, tensor in tensors.items():
        place = place_of(key)
        if place is not None and place.slot == "embedding" and place.part in names:
            words[key] = tensor
            continue
        layer = _layer(place, names, meant)
        if place is None or layer is None:
            unmatched.append(key)
            continue
        if place.slot in groups[place.part, layer]:
            raise UserInputError(
                f"{path.name} says the {place.slot} of {layer} twice, under different names.",
                "Get it anew from its source: which of them is meant cannot be told.",
            )
        groups[place.part, layer][place.slot] = tensor
    _refuse_foreign(groups.keys(), unmatched, path.name, location.title)
    if not groups and not words:
        raise UserInputError(
            f"Nothing in {path.name} fits the base model {location.title}: none of its {len(tensors)} keys is known.",
            "Choose an adapter made for this kind of base model.",
        )
    configs = _beside(path) | json_object(header.metadata.get(CONFIGS_KEY))
    assumed = _ALPHA_ASSUMED if _alpha_is_elsewhere(tensors, configs) else ""
    updates = tuple(_update(loaded, part, layer, slots, configs, path.name) for (part, layer), slots in groups.items())
    report = LoadReport(name or path.stem, len(tensors) - len(unmatched), tuple(sorted(unmatched)), assumed)
    return AdapterWeights(updates, words, report, header.metadata)


def _refuse_foreign(found: Collection[tuple[Part, str]], unmatched: Iterable[str], file: str, base: str) -> None:
    """Refuse a file of which only text layers are known: families share text encoders, and the rest tells them apart.

    Raises:
        UserInputError: it has other matrices, and none for the UNet.
    """
    matrices = [key for key in unmatched if split_key(key) is not None and _is_no_text(key)]
    if matrices and found and all(part != "unet" for part, _ in found):
        raise UserInputError(
            f"{file} is made for another kind of model than {base}: it shares the text encoder, but "
            f"{len(matrices)} of its keys are not known.",
            "Choose an adapter made for this kind of base model.",
        )


def _alpha_is_elsewhere(keys: Iterable[str], configs: Mapping[str, Any]) -> bool:
    """Say whether PEFT wrote the file, whose alpha stands in a file of its own, and that one is not here."""
    return any(key.startswith("base_model.model.") for key in keys) and not any(
        key.endswith("lora_alpha") for key in configs
    )


def _is_no_text(key: str) -> bool:
    place = place_of(key)
    return place is None or place.part == "unet"


def _finite(tensors: dict[str, Tensor], file: str) -> dict[str, Tensor]:
    """Return tensors, 8-bit floats as 16-bit ones, which hold them exactly; those with scales are refused.

    Raises:
        UserInputError: quantized to whole numbers, or not numbers at all.
    """
    import torch

    refuse_scales(tensors, file)
    for key, tensor in tensors.items():
        if tensor.dtype in (torch.float8_e4m3fn, torch.float8_e5m2):
            tensors[key] = tensor = tensor.half()
        slot = split_key(key)
        if slot is not None and tensor.numel() > 1 and not tensor.is_floating_point():
            raise _whole_numbers(file, key)
        if tensor.is_floating_point() and not bool(torch.isfinite(tensor).all()):
            raise UserInputError(
                f"{file} is broken: {key} holds values that are no numbers.",
                "Its training went astray; use an earlier checkpoint of it.",
            )
    return tensors


def _beside(path: Path) -> dict[str, Any]:
    """Return the config that PEFT writes beside its files, for every part; empty where there is none."""
    config = path.with_name("adapter_config.json")
    if not config.is_file():
        return {}
    try:
        said = json_object(text_of(config))
    except StudioError:
        return {}
    return {f"{part}.{key}": value for part in PARTS for key, value in said.items()}


def _layer(
    place: KeyPlace | None,
    names: Mapping[Part, Mapping[str, str]],
    meant: Mapping[tuple[str, Part], Mapping[str, str]],
) -> str | None:
    """Return the model's own name of the layer a key means, or None."""
    if place is None or place.part not in names:
        return None
    short = meant[place.layout, place.part].get(place.module)
    return None if short is None else names[place.part].get(short)


def _update(
    loaded: LoadedBase | Outline,
    part: Part,
    layer: str,
    slots: dict[str, Tensor],
    configs: Mapping[str, Any],
    file: str,
) -> ModuleUpdate:
    """Build the update of one layer and check that it fits.

    Raises:
        UserInputError: its shape is another, or half of it is missing.
    """
    alpha = slots.pop("alpha", None)
    if alpha is not None and alpha.numel() != 1:
        raise UserInputError(f"{file} is broken: the alpha of {layer} is not one number.", "Download it again.")
    weight = getattr(loaded.parts[part].get_submodule(layer), "weight", None)
    if weight is not None and slots.keys() & {"magnitude", "row_lengths"}:
        lengths = slots.pop("row_lengths", None)
        flat = lengths is not None or slots["magnitude"].dim() < 2
        lengths = slots["magnitude"] if lengths is None else lengths
        axis = 1 if not flat and along_input(lengths) else 0
        slots["magnitude"] = lengths.reshape([-1 if i == axis else 1 for i in range(weight.dim())])
    update = ModuleUpdate(
        part,
        layer,
        slots,
        float(alpha) if alpha is not None else _configured_alpha(part, layer, configs),
        bool(configs.get(f"{part}.use_rslora")) and alpha is None,
    )
    check_fit(update, loaded.parts[part].get_submodule(layer), file, loaded.location.title)
    return update


def _configured_alpha(part: Part, layer: str, configs: Mapping[str, Any]) -> float | None:
    """Return a layer's alpha as the LoRA configs in the metadata say it."""
    patterns = configs.get(f"{part}.alpha_pattern")
    for pattern, alpha in (patterns if isinstance(patterns, dict) else {}).items():
        if re.fullmatch(rf"(.*\.)?({pattern})", layer):
            return float(alpha)
    alpha = configs.get(f"{part}.lora_alpha")
    return None if alpha is None else float(alpha)
