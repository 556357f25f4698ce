"""What turns gradients into steps: AdamW and its leaner relatives, and the bytes each keeps.

AdamW keeps two numbers for every weight. That is nothing for a low-rank
adapter and several gigabytes for full DreamBooth, so `ProjectedAdamW` keeps
them in a low-rank image of the gradient whose projection follows the
gradients (COAP, Xiao et al., CVPR 2025, arXiv 2412.00071): now and then the
projection takes gradient steps on "rebuild the gradient and agree with the
first moment"; seldom it is recalibrated by one small QR and SVD. Written from
the paper; it differs in treating convolutions as matrices, in scaling the
gradient to unit size before the objective (its steps would otherwise vanish
with small gradients), and in turning the moments along when recalibrating.

8-bit AdamW (bitsandbytes) and Prodigy (prodigyopt) are offered when their
packages are installed. Nothing here knows what is trained.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import torch

from studio.domain.training import Optimizer as OptimizerName
from studio.domain.training import TrainingPlan
from studio.errors import EngineUnavailableError

UPDATE_EVERY = 20
"""Steps between cheap updates of the projection; COAP's examples use 32 to 128 over far longer runs."""
RECALIBRATE_EVERY = 5
"""Every how many updates the projection is found anew (COAP's `reproject_factor`)."""
PROJECTION_RATE = 0.1
"""Size of a gradient step on the projection; COAP's value."""

Packed = tuple[dict[str, torch.Tensor], dict[str, Any]]


class ProjectedAdamW(torch.optim.Optimizer):
    """AdamW whose moments live in a rank-r image of each weight matrix's gradient.

    A matrix G (long, short) is seen through P (short, rank): moments are (long, rank). Weights whose
    short side is not above `rank`, and vectors, are stepped as by AdamW.

    Args:
        parameters: tensors or groups, as torch takes them.
        rank: columns of the projections.
    """

    def __init__(
        self,
        parameters: Iterable[Any],
        lr: float = 1e-4,
        *,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        rank: int = 32,
        update_every: int = UPDATE_EVERY,
        recalibrate_every: int = RECALIBRATE_EVERY,
    ) -> None:
        defaults = {
            "lr": lr,
            "betas": betas,
            "eps": eps,
            "weight_decay": weight_decay,
            "rank": rank,
            "update_every": update_every,
            "recalibrate_every": recalibrate_every,
        }
        super().__init__(parameters, defaults)

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Step every weight that has a gradient."""
        if closure is not None:
            raise NotImplementedError("projected AdamW takes no closure")
        for group in self.param_groups:
            for weight in group["params"]:
                if weight.grad is not None:
                    self._step_weight(weight, self.state[weight], group)

    def _step_weight(self, weight: torch.Tensor, state: dict[str, Any], group: Mapping[str, Any]) -> None:
        beta1, beta2 = group["betas"]
        state["step"] = state.get("step", 0) + 1
        gradient = weight.grad.float()  # type: ignore[union-attr]
        projected = is_projected(weight.shape, group["rank"])
        if projected:
            gradient, upright = _long_side_first(gradient)
            self._refresh(gradient, state, group)
            seen = gradient @ state["projection"]  # (long, rank)
        else:
            seen = gradient
        if "moment" not in state:
            state["moment"], state["square"] = torch.zeros_like(seen), torch.zeros_like(seen)
        state["moment"].lerp_(seen, 1.0 - beta1)
        state["square"].mul_(beta2).addcmul_(seen, seen, value=1.0 - beta2)
        scale = (state["square"] / (1.0 - beta2 ** state["step"])).sqrt_().add_(group["eps"])
        update = state["moment"] / (1.0 - beta1 ** state["step"]) / scale
        kept, rate = 1.0 - group["lr"] * group["weight_decay"], group["lr"]
        if projected and weight.dtype == update.dtype and weight.is_contiguous():
            # In one pass over the weight: without it most of a step is reading and writing memory.
            matrix, columns = weight.view(weight.shape[0], -1), state["projection"]
            left, right = (update, columns.T) if upright else (columns, update.T)
            matrix.addmm_(left, right, beta=kept, alpha=-rate)
            return
        if projected:
            update = update @ state["projection"].T
            update = (update if upright else update.T).reshape(weight.shape)
        weight.mul_(kept)
        weight.add_(update.to(weight.dtype), alpha=-rate)

    def _refresh(self, gradient: torch.Tensor, state: dict[str, Any], group: Mapping[str, Any]) -> None:
        """Find the projection, move it a little, or leave it, by the step's number."""
        before = state.get("projection")
        if before is None:
            state["projection"] = calibrated(gradient, _start(gradient.shape[1], group["rank"], gradient.device))
            return
        turn, rest = divmod(state["step"] - 1, group["update_every"])
        if rest:
            return
        if turn % group["recalibrate_every"]:
            state["projection"] = correlated(before, gradient, state["moment"])
            return
        state["projection"] = calibrated(gradient, before)
        rotation = before.T @ state["projection"]  # (rank, rank)
        state["moment"] = state["moment"] @ rotation
        state["square"] = state["square"] @ rotation.square()


def is_projected(shape: Sequence[int], rank: int) -> bool:
    """Whether `ProjectedAdamW` sees a weight of this shape through a projection."""
    if len(shape) < 2:
        return False
    columns = 1
    for side in shape[1:]:
        columns *= side
    return min(shape[0], columns) > rank


def calibrated(gradient: torch.Tensor, guess: torch.Tensor) -> torch.Tensor:
    """Find the strongest directions of a gradient, starting from a guess.

    Args:
        gradient: (long, short).
        guess: the last projection, or random columns.  # (short, rank)

    Returns:
        Orthonormal columns: the right singular vectors of the gradient seen through the guess's image.
    """
    columns = torch.linalg.qr(gradient @ guess)[0]  # (long, rank)
    directions: torch.Tensor = torch.linalg.svd(columns.T @ gradient, full_matrices=False)[2]
    return directions.T.contiguous()  # (short, rank)


def correlation_loss(projection: torch.Tensor, gradient: torch.Tensor, moment: torch.Tensor) -> torch.Tensor:
    """COAP's objective: error of the rebuilt gradient times its disagreement with the first moment.

    Args:
        projection: (short, rank).
        gradient: (long, short), of unit mean square.
        moment: (long, rank), in the projection's space.
    """
    error = (gradient @ projection @ projection.T - gradient).square().mean()
    agreement = torch.nn.functional.cosine_similarity(moment @ projection.T, gradient, dim=1).mean()
    return error * (1.0 - agreement)


def correlated(projection: torch.Tensor, gradient: torch.Tensor, moment: torch.Tensor) -> torch.Tensor:
    """Take one gradient step on `correlation_loss`, no longer than `PROJECTION_RATE`."""
    unit = gradient / gradient.square().mean().sqrt().clamp_min(1e-30)
    with torch.enable_grad():
        leaf = projection.detach().clone().requires_grad_(True)
        (slope,) = torch.autograd.grad(correlation_loss(leaf, unit, moment), leaf)
    moved: torch.Tensor = projection - slope * (PROJECTION_RATE / slope.norm().clamp_min(1.0))
    return moved


def _start(side: int, rank: int, device: torch.device) -> torch.Tensor:
    generator = torch.Generator().manual_seed(side * 8191 + rank)  # own numbers: training's stay as they are
    return torch.randn(side, rank, generator=generator).to(device)


def _long_side_first(gradient: torch.Tensor) -> tuple[torch.Tensor, bool]:
    matrix = gradient.reshape(gradient.shape[0], -1)
    upright = matrix.shape[0] >= matrix.shape[1]
    return (matrix if upright else matrix.T), upright


def make_optimizer(plan: TrainingPlan, groups: list[dict[str, Any]]) -> torch.optim.Optimizer:
    """Build the plan's optimizer.

    Args:
        groups: dictionaries with "params" and "lr".

    Raises:
        EngineUnavailableError: its package is not installed.
    """
    decay = plan.weight_decay
    if plan.optimizer == "projected_adamw":
        return ProjectedAdamW(groups, weight_decay=decay, rank=plan.projection_rank)
    if plan.optimizer == "adamw8bit":
        adamw8bit: torch.optim.Optimizer = _optional("bitsandbytes", "8-bit AdamW").optim.AdamW8bit(
            groups, weight_decay=decay
        )
        return adamw8bit
    if plan.optimizer == "prodigy":
        # Prodigy finds the rate itself and refuses groups of unlike rates.
        together = [weight for group in groups for weight in group["params"]]
        prodigy: torch.optim.Optimizer = _optional("prodigyopt", "Prodigy").Prodigy(
            together, lr=groups[0]["lr"], weight_decay=decay, safeguard_warmup=True, use_bias_correction=True
        )
        return prodigy
    return torch.optim.AdamW(groups, weight_decay=decay, fused=True)


def _optional(package: str, title: str) -> Any:
    import importlib

    try:
        return importlib.import_module(package)
    except ImportError as exc:
        hint = f"pip install {package}, or choose another optimizer."
        raise EngineUnavailableError(f"{title} needs the package {package}, which is not installed.", hint) from exc


def state_bytes(optimizer: torch.optim.Optimizer) -> int:
    """Return the bytes of all tensors the optimizer keeps beside weights and gradients."""
    tensors = (v for state in optimizer.state.values() for v in state.values() if isinstance(v, torch.Tensor))
    return sum(t.numel() * t.element_size() for t in tensors)


def expected_state_bytes(name: OptimizerName, shapes: Iterable[Sequence[int]], rank: int) -> int:
    """Return the bytes an optimizer will keep for weights of these shapes, in 32 bits where not said otherwise.

    8-bit AdamW: two bytes a weight (and below 4096 weights eight); Prodigy: four numbers a weight.
    """
    total = 0
    for shape in shapes:
        count = 1
        for side in shape:
            count *= side
        if name == "projected_adamw" and is_projected(shape, rank):
            short = min(shape[0], count // shape[0])
            total += 4 * rank * (2 * (count // short) + short)
        elif name == "adamw8bit":
            total += (2 if count >= 4096 else 8) * count
        else:
            total += (16 if name == "prodigy" else 8) * count
    return total


def pack_state(optimizer: torch.optim.Optimizer) -> Packed:
    """Take an optimizer's state apart: tensors by name, and what JSON can hold exactly."""
    state = optimizer.state_dict()
    tensors: dict[str, torch.Tensor] = {}
    plain: dict[str, dict[str, Any]] = {}
    for index, values in state["state"].items():
        for name, value in values.items():
            if isinstance(value, torch.Tensor):
                tensors[f"{index}.{name}"] = value
            else:
                plain.setdefault(str(index), {})[name] = value
    return tensors, {"state": plain, "groups": state["param_groups"]}


def unpack_state(optimizer: torch.optim.Optimizer, packed: Packed) -> None:
    """Put back what `pack_state` took apart; the optimizer must be built for the same weights."""
    tensors, plain = packed
    state: dict[int, dict[str, Any]] = {int(index): dict(values) for index, values in plain["state"].items()}
    for name, value in tensors.items():
        index, _, field = name.partition(".")
        state.setdefault(int(index), {})[field] = value
    groups = [{k: tuple(v) if k == "betas" else v for k, v in group.items()} for group in plain["groups"]]
    optimizer.load_state_dict({"state": state, "param_groups": groups})
