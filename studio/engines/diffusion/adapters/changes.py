"""What an adapter adds to a layer's own numbers, whatever its arithmetic.

LoRA: up @ down. LoHa: the elementwise product of two such products. LoKr: the
Kronecker product of a small and a large matrix. DoRA: any of them, after which
every output row, or every input column, gets a learned length. Full weights:
their difference to the base. A layer's bias may change beside each of them.
Each returned change is for strength 1 and in 32-bit floats. Conventions as in
LyCORIS and PEFT, against whose layers the tests compare.
"""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from studio.engines.diffusion.adapters.update import ModuleUpdate, along_input
from studio.errors import UserInputError

if TYPE_CHECKING:
    from torch import Tensor

_HADA = {f"hada_{n}" for n in ("w1_a", "w1_b", "w2_a", "w2_b", "t1", "t2")}
_LOKR = {f"lokr_{n}" for n in ("w1", "w1_a", "w1_b", "w2", "w2_a", "w2_b", "t2")}


def check_fit(update: ModuleUpdate, layer: Any, file: str, base: str) -> None:
    """Refuse an update of another shape than its layer, before anything is changed.

    Raises:
        UserInputError: the shapes differ, or matrices are missing.
    """
    slots, weight = update.tensors, getattr(layer, "weight", None)
    if weight is None or not _complete(set(slots)):
        raise UserInputError(
            f"{file} is incomplete: of the layer {update.module} it has only {', '.join(sorted(slots))}.",
            "Download or export it again.",
        )
    if any("bias" in slot for slot in slots) and getattr(layer, "bias", None) is None:
        raise UserInputError(
            f"{file} does not fit the base model {base}: the layer {update.module} has no bias to change.",
            "It was made for another model; choose the base it names.",
        )
    try:
        # Shapes say it all: nothing is computed for the hundreds of layers of a file.
        shapes = {slot: change.shape for slot, change in change_of(_on_meta(update), _layer_on_meta(layer)).items()}
    except (RuntimeError, IndexError, ValueError, ZeroDivisionError) as exc:
        raise _misfit(update, file, base) from exc
    if any(shape != getattr(layer, slot).shape for slot, shape in shapes.items()):
        raise _misfit(update, file, base)


def _on_meta(update: ModuleUpdate) -> ModuleUpdate:
    """Return an update without its numbers."""
    return replace(update, tensors={slot: tensor.to("meta") for slot, tensor in update.tensors.items()})


def _layer_on_meta(layer: Any) -> Any:
    """Return the shapes of a layer's weight and bias, without their numbers."""
    bias = getattr(layer, "bias", None)
    return SimpleNamespace(
        weight=layer.weight.detach().to("meta"), bias=None if bias is None else bias.detach().to("meta")
    )


def _misfit(update: ModuleUpdate, file: str, base: str) -> UserInputError:
    return UserInputError(
        f"{file} does not fit the base model {base}: the layer {update.module} has another shape.",
        "It was made for another model; choose the base it names.",
    )


def _complete(slots: set[str]) -> bool:
    """Say whether the matrices of one update are all there."""
    product = slots - {"magnitude", "bias", "bias_change", "up_bias"}
    if product & {"down", "up"}:
        return {"down", "up"} <= product <= {"down", "up", "mid"}
    if any(s.startswith("hada_") for s in product):
        return {f"hada_{w}_{m}" for w in ("w1", "w2") for m in "ab"} <= product <= _HADA and "up_bias" not in slots
    if any(s.startswith("lokr_") for s in product):
        whole = all(f"lokr_{w}" in slots or {f"lokr_{w}_a", f"lokr_{w}_b"} <= slots for w in ("w1", "w2"))
        return whole and product <= _LOKR and "up_bias" not in slots
    return bool(slots) and slots <= {"weight", "bias", "weight_change", "bias_change"}


def change_of(update: ModuleUpdate, layer: Any) -> dict[str, Tensor]:
    """Return what strength 1 adds: "weight", "bias", or both.  # shapes of the layer, float32"""
    weight = layer.weight.detach().float()
    slots = {name: tensor.to(weight.device).float() for name, tensor in update.tensors.items()}
    changes = {s.removesuffix("_change"): t for s, t in slots.items() if s.endswith("_change")}
    product = _product(update, slots)
    if product is not None:
        changes["weight"] = product.reshape(weight.shape)
        if "magnitude" in slots:
            changes["weight"] = _with_length(weight + changes["weight"], slots["magnitude"]) - weight
    for slot in ("weight", "bias"):
        if slot in slots:
            changes[slot] = slots[slot] - getattr(layer, slot).detach().float()
    if "up_bias" in slots:  # PEFT's lora_bias: scaled as the product is
        changes["bias"] = changes.get("bias", 0.0) + slots["up_bias"] * update.scale
    return changes


def _product(update: ModuleUpdate, slots: dict[str, Tensor]) -> Tensor | None:
    """Return what the matrices of an update make together; None where it has none."""
    if "down" in slots:
        return low_rank_product(slots) * update.scale
    if "hada_w1_a" in slots:
        return _hadamard(slots) * _product_scale(update, "hada_w1_b")
    if any(name.startswith("lokr_") for name in slots):
        inner = "lokr_w2_b" if "lokr_w2_b" in slots else "lokr_w1_b"
        return _kronecker(slots) * _product_scale(update, inner)
    return None


def low_rank_product(slots: dict[str, Tensor]) -> Tensor:
    """Return up @ down, flattened behind the output channels; with a middle matrix, up @ mid @ down.  # (out, rest)"""
    import torch

    down, up = slots["down"].flatten(1), slots["up"].flatten(1)
    if "mid" in slots:
        return torch.einsum("or,rskl,si->oikl", up, slots["mid"], down).flatten(1)
    return up @ down


def _product_scale(update: ModuleUpdate, inner: str) -> float:
    """Return alpha / rank, where the rank is read off an inner matrix; 1 where nothing was divided."""
    if update.alpha is None or inner not in update.tensors:
        return 1.0
    return update.alpha / update.tensors[inner].shape[0]


def _hadamard(slots: dict[str, Tensor]) -> Tensor:
    import torch

    if "hada_t1" not in slots:
        return (slots["hada_w1_a"] @ slots["hada_w1_b"]) * (slots["hada_w2_a"] @ slots["hada_w2_b"])
    # With a core per kernel place, both outer matrices have the rank first.
    product = [
        torch.einsum("rskl,ro,si->oikl", slots[f"hada_t{n}"], slots[f"hada_w{n}_a"], slots[f"hada_w{n}_b"])
        for n in (1, 2)
    ]
    return product[0] * product[1]


def _kronecker(slots: dict[str, Tensor]) -> Tensor:
    import torch

    small = slots["lokr_w1"] if "lokr_w1" in slots else slots["lokr_w1_a"] @ slots["lokr_w1_b"]
    if "lokr_w2" in slots:
        large = slots["lokr_w2"]
    elif "lokr_t2" in slots:
        large = torch.einsum("rskl,ro,si->oikl", slots["lokr_t2"], slots["lokr_w2_a"], slots["lokr_w2_b"])
    else:
        large = slots["lokr_w2_a"] @ slots["lokr_w2_b"]
    small = small.reshape(*small.shape, *(1 for _ in range(large.dim() - small.dim())))
    product: Tensor = torch.kron(small, large.contiguous())
    return product


def _with_length(weight: Tensor, magnitude: Tensor) -> Tensor:
    """Give every output row, or every input column, of a matrix the length that was learned.

    Args:
        magnitude: (out, 1, ...) or (1, in, ...).
    """
    import torch

    axis = 1 if along_input(magnitude) else 0
    if magnitude.numel() != weight.shape[axis]:
        raise RuntimeError("the magnitude is not one number per output row or input column")
    others = [i for i in range(weight.dim()) if i != axis]
    # A row of zeros stays one: it has no direction that a length could be given to.
    lengths = torch.linalg.vector_norm(weight, dim=others, keepdim=True).clamp_min(torch.finfo(weight.dtype).tiny)
    stretched: Tensor = weight * (magnitude.reshape(lengths.shape) / lengths)
    return stretched
