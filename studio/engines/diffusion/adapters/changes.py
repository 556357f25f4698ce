"""What an adapter adds to a layer's own numbers, whatever its arithmetic.

LoRA: up @ down. LoHa: the elementwise product of two such products. LoKr: the
Kronecker product of a small and a large matrix. DoRA: LoRA, after which every
output row gets a learned length. Full weights: their difference to the base.
Each returned change is for strength 1 and in 32-bit floats. Conventions as in
LyCORIS and PEFT, against whose layers the tests compare.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from studio.errors import UserInputError

if TYPE_CHECKING:
    from torch import Tensor

    from studio.engines.diffusion.adapters.update import ModuleUpdate


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
    fits = True
    if update.low_rank:
        # Not computed: a file has hundreds of layers, and shapes say it all.
        down, up = slots["down"], slots["up"]
        inner = down.shape[0] == up.shape[1]
        fits = inner and up.shape[0] == weight.shape[0] and down[0].numel() == weight[0].numel()
    else:
        try:
            fits = all(change.shape == getattr(layer, slot).shape for slot, change in change_of(update, layer).items())
        except (RuntimeError, AttributeError, IndexError) as exc:
            raise _misfit(update, file, base) from exc
    if not fits:
        raise _misfit(update, file, base)


def _misfit(update: ModuleUpdate, file: str, base: str) -> UserInputError:
    return UserInputError(
        f"{file} does not fit the base model {base}: the layer {update.module} has another shape.",
        "It was made for another model; choose the base it names.",
    )


def _complete(slots: set[str]) -> bool:
    """Say whether the matrices of one update are all there."""
    if slots & {"down", "up"}:
        return {"down", "up"} <= slots <= {"down", "up", "mid", "magnitude"}
    if any(s.startswith("hada_") for s in slots):
        return {"hada_w1_a", "hada_w1_b", "hada_w2_a", "hada_w2_b"} <= slots
    if any(s.startswith("lokr_") for s in slots):
        return all(f"lokr_{w}" in slots or {f"lokr_{w}_a", f"lokr_{w}_b"} <= slots for w in ("w1", "w2"))
    return bool(slots) and slots <= {"weight", "bias", "weight_change", "bias_change"}


def change_of(update: ModuleUpdate, layer: Any) -> dict[str, Tensor]:
    """Return what strength 1 adds: "weight" and, for full weights, "bias".  # shapes of the layer, float32"""
    weight = layer.weight.detach().float()
    slots = {name: tensor.to(weight.device).float() for name, tensor in update.tensors.items()}
    if "down" in slots:
        change = (low_rank_product(slots) * update.scale).reshape(weight.shape)
        if "magnitude" in slots:
            change = _with_length(weight + change, slots["magnitude"]) - weight
        return {"weight": change}
    if "hada_w1_a" in slots:
        return {"weight": (_hadamard(slots) * _product_scale(update, "hada_w1_b")).reshape(weight.shape)}
    if any(name.startswith("lokr_") for name in slots):
        inner = "lokr_w2_b" if "lokr_w2_b" in slots else "lokr_w1_b"
        return {"weight": (_kronecker(slots) * _product_scale(update, inner)).reshape(weight.shape)}
    changes = {s.removesuffix("_change"): t for s, t in slots.items() if s.endswith("_change")}
    for slot in ("weight", "bias"):
        if slot in slots:
            changes[slot] = slots[slot] - getattr(layer, slot).detach().float()
    return changes


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
    """Give every output row of a matrix the length that was learned."""
    rows = weight.flatten(1)
    if magnitude.numel() != rows.shape[0]:
        raise RuntimeError("the magnitude is not one number per output row")
    lengths: Tensor = rows.norm(dim=1, keepdim=True)
    return (rows * (magnitude.reshape(-1, 1) / lengths)).reshape(weight.shape)
