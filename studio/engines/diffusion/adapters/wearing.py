"""Putting adapters on a loaded base and taking them off again, to the last bit.

Low-rank updates lie beside the base's layers (PEFT) and are scaled by their
strength; what cannot be written as two thin matrices (LoHa, LoKr, DoRA, full
weights) is added into the weights themselves, whose originals are kept. Off
means off: after `unload_adapters` every weight is the base's own. Strength 0
puts nothing on. Which files exist is not known here.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from studio.domain.adapter import STRENGTH_RANGE, AdapterFile
from studio.engines.diffusion.adapters.keys import Part
from studio.engines.diffusion.adapters.reading import AdapterWeights, LoadReport, parts_of, read_adapter
from studio.engines.diffusion.adapters.update import ModuleUpdate
from studio.errors import ConflictError, UserInputError

if TYPE_CHECKING:
    from torch import Tensor

    from studio.engines.diffusion.bases.loading import LoadedBase

_WORN = "likeness_studio_worn"
"""Attribute of a UNet that holds what must be put back."""
_NAME = re.compile(r"[A-Za-z0-9_]+")


@dataclass
class _Worn:
    """What a base wears, and its own things to put back."""

    originals: dict[tuple[Part, str, str], Tensor] = field(default_factory=dict)
    tokenizers: tuple[Any, ...] | None = None
    tables: tuple[Any, ...] = ()


def load_adapters(loaded: LoadedBase, files: Sequence[AdapterFile], *, fused: bool = False) -> tuple[LoadReport, ...]:
    """Put exactly these adapters on a base; what it wore before comes off first.

    Args:
        fused: add everything into the weights: faster drawing, slower loading, rounding at the last bit.

    Returns:
        One report per file, in their order; files of strength 0 are checked, not put on.

    Raises:
        UserInputError: an adapter does not fit (see `read_adapter`), a name or strength is odd;
            then the base wears nothing.
        ConflictError: a training is going on with this base.
    """
    _check(files)
    unload_adapters(loaded)
    read = [read_adapter(loaded, Path(file.path), file.name) for file in files]
    worn = _Worn()
    setattr(loaded.unet, _WORN, worn)
    try:
        changes: dict[tuple[Part, str], list[tuple[ModuleUpdate, float]]] = defaultdict(list)
        for file, weights in zip(files, read, strict=True):
            if file.strength == 0.0:
                continue
            beside = [u for u in weights.updates if u.low_rank and not fused]
            _lay_beside(loaded, file.name, beside, file.strength)
            for update in weights.updates:
                if not (update.low_rank and not fused):
                    changes[update.part, update.module].append((update, file.strength))
            _learn_words(loaded, weights, worn)
        _change_weights(loaded, changes, worn)
    except BaseException:
        unload_adapters(loaded)
        raise
    return tuple(weights.report for weights in read)


def unload_adapters(loaded: LoadedBase) -> None:
    """Take everything off: the base is its own self again, bit for bit.

    Raises:
        ConflictError: a training is going on with this base.
    """
    import torch
    from peft.tuners.tuners_utils import BaseTunerLayer

    worn: _Worn | None = getattr(loaded.unet, _WORN, None)
    parts = parts_of(loaded)
    if worn is None:
        if any(isinstance(m, BaseTunerLayer) for model in parts.values() for m in model.modules()):
            raise ConflictError("This base model is being trained.", "Load it once more for drawing.")
        return
    for model in parts.values():
        for name, module in list(model.named_modules()):
            if isinstance(module, BaseTunerLayer):
                parent, _, child = name.rpartition(".")
                setattr(model.get_submodule(parent), child, module.get_base_layer())
        _forget_configs(model)
    with torch.no_grad():
        for (part, layer, slot), original in worn.originals.items():
            getattr(parts[part].get_submodule(layer), slot).copy_(original)
    if worn.tokenizers is not None:
        loaded.tokenizers = worn.tokenizers
        for encoder, table in zip(loaded.text_encoders, worn.tables, strict=True):
            encoder.set_input_embeddings(table)
    delattr(loaded.unet, _WORN)


def _check(files: Sequence[AdapterFile]) -> None:
    """Refuse names and strengths that nothing can be done with."""
    low, high = STRENGTH_RANGE
    for file in files:
        if not _NAME.fullmatch(file.name):
            raise UserInputError(
                f"An adapter cannot be used under the name {file.name!r}.", "Use letters, digits and underscores."
            )
        if not low <= file.strength <= high:
            raise UserInputError(f"The strength {file.strength} is outside {low:g} .. {high:g}.", "1 is as trained.")
    twice = [name for name, count in Counter(file.name for file in files).items() if count > 1]
    if twice:
        raise UserInputError(f"The adapter {twice[0]} is named twice.", "Name it once, with the sum of the strengths.")


def _lay_beside(loaded: LoadedBase, name: str, updates: Iterable[ModuleUpdate], strength: float) -> None:
    """Lay low-rank matrices beside the layers, scaled by the strength."""
    from peft import LoraConfig, inject_adapter_in_model

    parts = parts_of(loaded)
    by_part: dict[Part, list[ModuleUpdate]] = defaultdict(list)
    for update in updates:
        by_part[update.part].append(update)
    for part, mine in by_part.items():
        model = parts[part]
        ranks = {u.module: int(u.tensors["down"].shape[0]) for u in mine}
        usual = Counter(ranks.values()).most_common(1)[0][0]
        config = LoraConfig(
            r=usual,
            lora_alpha=usual,
            target_modules=list(ranks),
            rank_pattern={"^" + re.escape(m): r for m, r in ranks.items() if r != usual},
            inference_mode=True,
        )
        inject_adapter_in_model(config, model, name, low_cpu_mem_usage=True)
        _forget_configs(model)  # the layers know all; PEFT would warn of a second adapter
        for update in mine:
            _fill(model.get_submodule(update.module), name, update, strength)


def _forget_configs(model: Any) -> None:
    """Take away what PEFT notes on a model."""
    model.__dict__.pop("peft_config", None)


def _fill(layer: Any, name: str, update: ModuleUpdate, strength: float) -> None:
    """Give one PEFT layer its numbers."""
    import torch

    base = layer.get_base_layer().weight
    for holder, slot in ((layer.lora_A, "down"), (layer.lora_B, "up")):
        matrix = update.tensors[slot].to(base.device, base.dtype).reshape(holder[name].weight.shape)
        # A copy: memory that is mapped from a file is aligned differently, and rounds differently.
        copied = matrix.clone(memory_format=torch.contiguous_format)
        holder[name].weight = torch.nn.Parameter(copied, requires_grad=False)
    layer.scaling[name] = update.scale * strength
    layer.set_adapter(list(layer.lora_A), inference_mode=True)


def _learn_words(loaded: LoadedBase, weights: AdapterWeights, worn: _Worn) -> None:
    """Teach the base the words of an adapter."""
    from studio.engines.diffusion.adapters.trigger import PREFIXES, add_trigger

    if worn.tokenizers is None and weights.words:
        worn.tokenizers = loaded.tokenizers
        worn.tables = tuple(encoder.get_input_embeddings() for encoder in loaded.text_encoders)
    known = {key.removeprefix(prefix) for key in weights.words for prefix in PREFIXES if key.startswith(prefix)}
    for word in sorted(known):
        add_trigger(loaded, word, weights.words)


def _change_weights(
    loaded: LoadedBase, changes: Mapping[tuple[Part, str], Sequence[tuple[ModuleUpdate, float]]], worn: _Worn
) -> None:
    """Add updates into the weights themselves, after keeping the originals."""
    import torch

    from studio.engines.diffusion.adapters.changes import change_of

    parts = parts_of(loaded)
    for (part, layer), updates in changes.items():
        module = parts[part].get_submodule(layer)
        module = module.get_base_layer() if hasattr(module, "get_base_layer") else module
        sums: dict[str, Tensor] = {}
        for update, strength in updates:
            for slot, change in change_of(update, module).items():
                sums[slot] = sums.get(slot, torch.zeros_like(change)) + strength * change
        with torch.no_grad():
            for slot, change in sums.items():
                weight = getattr(module, slot)
                worn.originals[part, layer, slot] = weight.detach().clone()
                weight.copy_((weight.float() + change).to(weight.dtype))
