"""What an adapter does to one layer, whatever file it came from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from studio.engines.diffusion.adapters.keys import Part

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class ModuleUpdate:
    """What an adapter does to one layer.

    Attributes:
        module: the layer's name within its part, as the model calls it.
        tensors: slot ("down", "up", "hada_w1_a", "weight", ...) -> matrix.
        alpha: None where the file leaves it out (then it equals the rank).
    """

    part: Part
    module: str
    tensors: Mapping[str, Tensor] = field(repr=False)
    alpha: float | None = None
    rank_scaling: bool = False

    @property
    def low_rank(self) -> bool:
        """Whether it is two thin matrices and nothing else."""
        return self.tensors.keys() == {"down", "up"}

    @property
    def lycoris(self) -> bool:
        """Whether it is of a form that LyCORIS alone writes: no diffusers reads it.

        Products (LoHa, LoKr), learned lengths of input columns, and changes beside two thin matrices.
        """
        products = any(slot.startswith(("hada_", "lokr_")) for slot in self.tensors)
        columns = "magnitude" in self.tensors and along_input(self.tensors["magnitude"])
        changes = any(slot.endswith("_change") or slot == "up_bias" for slot in self.tensors)
        return products or columns or (changes and "down" in self.tensors)

    @property
    def scale(self) -> float:
        """What the product of the matrices is multiplied by."""
        rank = self.tensors["down"].shape[0]
        alpha = float(rank) if self.alpha is None else self.alpha
        return alpha / (rank**0.5 if self.rank_scaling else rank)


def along_input(magnitude: Tensor) -> bool:
    """Say whether learned lengths are those of the input columns, as LyCORIS writes them unless told otherwise.

    The shape says it, never the count of numbers: square layers have as many rows as columns.
    """
    return magnitude.dim() > 1 and magnitude.shape[0] == 1 and magnitude.numel() > 1
