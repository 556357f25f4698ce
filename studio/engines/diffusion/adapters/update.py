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
    def scale(self) -> float:
        """What the product of the matrices is multiplied by."""
        rank = self.tensors["down"].shape[0]
        alpha = float(rank) if self.alpha is None else self.alpha
        return alpha / (rank**0.5 if self.rank_scaling else rank)
