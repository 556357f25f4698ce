"""What a plan costs on a base, counted from shapes alone.

The UNet is built on torch's meta device, which has shapes and no numbers, and
run once: what autograd would keep is added up (activations), arithmetic is
counted, and parameters are counted as they would be trained. No weights are
read, and nothing of the machine is known.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import lru_cache
from importlib import import_module
from typing import Any, cast

import torch
from torch.overrides import TorchFunctionMode

from studio.domain.base_model import FAMILY, BaseFamily, BaseLocation, Family
from studio.domain.training import TrainingPlan
from studio.engines.diffusion.bases.inspecting import read_config
from studio.engines.diffusion.bases.outline import config_folder, networks
from studio.engines.diffusion.training.trainable import lora_configs

_BLOCKS = ("ResnetBlock2D", "BasicTransformerBlock")
"""What diffusers computes twice with gradient checkpointing."""


@dataclass(frozen=True)
class Cost:
    """What one picture costs in one forward pass of a base, and what of the base would be trained.

    Attributes:
        base_parameters: UNet and text encoders without anything added.
        autoencoder_parameters: always kept in 32 bits.
        trained: shape of each trained tensor.
        saved_bytes: kept for the backward pass, for 32-bit numbers.
        saved_checkpointed_bytes: the same with gradient checkpointing.
        flops: multiplications and additions of the UNet's forward pass.
        text_flops, encode_flops: of the text encoders and of the autoencoder's encoder.
        calls: operations of the UNet's forward pass.
    """

    base_parameters: int
    autoencoder_parameters: int
    trained: tuple[tuple[int, ...], ...]
    saved_bytes: int
    saved_checkpointed_bytes: int
    flops: float
    text_flops: float
    encode_flops: float
    calls: int

    @property
    def trained_parameters(self) -> int:
        """Numbers that are learned."""
        return sum(torch.Size(shape).numel() for shape in self.trained)


def cost_of(location: BaseLocation, plan: TrainingPlan) -> Cost:
    """Count what a plan means on a base, without its weights."""
    model = _model(location.path, location.is_file, location.family, plan.resolution)
    return replace(model.cost, trained=tuple(_trained(model, plan)))


@dataclass(frozen=True)
class _Model:
    """A base at one size of pictures.

    Attributes:
        cost: with nothing trained.
        weights: part -> name of each parameter -> its shape.
        text_widths: of the text encoders' tables.
    """

    cost: Cost
    weights: Mapping[str, Mapping[str, tuple[int, ...]]]
    text_widths: tuple[int, ...]


@lru_cache(maxsize=8)
def _model(path: str, is_file: bool, family: Family, resolution: int) -> _Model:
    row = FAMILY[family]
    unet, encoders = networks(path, is_file, family)
    with torch.device("meta"):
        autoencoder = _autoencoder(read_config(config_folder(path, is_file, family), "vae"))
    modules = dict(zip(row.parts, (unet, *encoders), strict=True))
    factor = 2 ** (len(autoencoder.config.block_out_channels) - 1)
    ledger = _run_unet(unet, row, resolution // factor, encoders)
    tokens = encoders[0].config.max_position_embeddings
    autoencoder.requires_grad_(False)
    cost = Cost(
        base_parameters=sum(p.numel() for module in modules.values() for p in module.parameters()),
        autoencoder_parameters=sum(p.numel() for p in autoencoder.parameters()),
        trained=(),
        saved_bytes=ledger.saved,
        saved_checkpointed_bytes=ledger.saved_checkpointed,
        flops=ledger.flops,
        text_flops=sum(2.0 * tokens * _matrix_parameters(encoder) for encoder in encoders),
        encode_flops=_count_flops(lambda: autoencoder.encode(_meta(1, 3, resolution, resolution)))[0],
        calls=ledger.calls,
    )
    weights = {part: {n: tuple(p.shape) for n, p in module.named_parameters()} for part, module in modules.items()}
    return _Model(cost, weights, tuple(encoder.config.hidden_size for encoder in encoders))


def _trained(model: _Model, plan: TrainingPlan) -> Iterator[tuple[int, ...]]:
    """Yield the shape of every tensor that a plan trains."""
    configs = lora_configs(plan, [part for part in model.weights if part != "unet"])
    for part, weights in model.weights.items():
        if plan.method == "dreambooth" and (part == "unet" or plan.train_text_encoder):
            yield from weights.values()
        if part not in configs:
            continue
        layers, rank = tuple(configs[part].target_modules), configs[part].r
        for name, shape in weights.items():
            if name.removesuffix(".weight").endswith(layers) and len(shape) > 1:
                yield (rank, *shape[1:])
                yield (shape[0], rank, *(1 for _ in shape[2:]))
    if plan.textual_inversion:
        yield from ((width,) for width in model.text_widths)


def bundled_location(family: Family) -> BaseLocation:
    """Return a place that stands for the real models of a family: shapes are known here, weights are not."""
    return BaseLocation(name=family, title=FAMILY[family].title, family=family, path="", is_file=True)


def _autoencoder(config: dict[str, Any]) -> Any:
    return import_module("studio.engines.diffusion.bases.autoencoder").autoencoder_class(config).from_config(config)


def _matrix_parameters(module: Any) -> int:
    return sum(p.numel() for name, p in module.named_parameters() if p.ndim == 2 and "embedding" not in name)


def _meta(*shape: int) -> torch.Tensor:
    return torch.empty(shape, device="meta")


@dataclass
class _Ledger:
    flops: float = 0.0
    calls: int = 0
    saved: int = 0
    outside: int = 0
    inputs: int = 0
    largest_block: int = 0

    @property
    def saved_checkpointed(self) -> int:
        """What stays when blocks are computed twice: their inputs, what lies between them, and one block at a time."""
        return self.outside + self.inputs + self.largest_block


def _run_unet(unet: Any, family: BaseFamily, cells: int, encoders: Sequence[Any]) -> _Ledger:
    """Run one picture through a UNet on the meta device and write down what it costs."""
    ledger = _Ledger()
    config = unet.config
    added = None
    if family.added:
        added = {"text_embeds": _meta(1, encoders[-1].config.projection_dim), "time_ids": _meta(1, 6)}
    latent = _meta(1, config.in_channels, cells, cells).requires_grad_(True)
    words = _meta(1, encoders[0].config.max_position_embeddings, config.cross_attention_dim)

    def forward() -> None:
        with _saved_bytes(unet, ledger), _FusedAttention():
            unet(latent, _meta(1), words, added_cond_kwargs=added)

    unet.train()
    ledger.flops, ledger.calls = _count_flops(forward)
    return ledger


def _count_flops(action: Callable[[], Any]) -> tuple[float, int]:
    """Return multiplications plus additions, and the number of operations."""
    from torch.utils._python_dispatch import TorchDispatchMode
    from torch.utils.flop_counter import FlopCounterMode

    calls = 0

    class Calls(cast("Any", TorchDispatchMode)):  # type: ignore[misc]
        def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            nonlocal calls
            calls += 1
            return function(*args, **(kwargs or {}))

    with FlopCounterMode(display=False) as counter, Calls():
        action()
    return float(counter.get_total_flops()), calls


class _Fused(torch.autograd.Function):
    """Attention that keeps what fused kernels keep: its inputs and its result, no matrix of attention."""

    @staticmethod
    def forward(ctx: Any, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor) -> torch.Tensor:
        result = torch.nn.functional.scaled_dot_product_attention(query, key, value)
        ctx.save_for_backward(query, key, value, result)
        return result


class _FusedAttention(TorchFunctionMode):
    """On the meta device torch would choose the kernel that keeps the whole matrix; no real device does."""

    def __torch_function__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if function is torch.nn.functional.scaled_dot_product_attention:
            with torch._C.DisableTorchFunction():
                return cast("Any", _Fused).apply(*args[:3])
        return function(*args, **(kwargs or {}))


@contextmanager
def _saved_bytes(unet: Any, ledger: _Ledger) -> Iterator[None]:
    """Add up what autograd keeps within the block, apart by the blocks that gradient checkpointing computes twice."""
    known = {p.untyped_storage()._cdata for p in unet.parameters()}
    alive: list[torch.Tensor] = []  # a storage's address is only its own while it lives
    inside: list[int] = []

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()
        if storage._cdata not in known:
            known.add(storage._cdata)
            alive.append(tensor)
            ledger.saved += storage.nbytes()
            if inside:
                inside[-1] += storage.nbytes()
            else:
                ledger.outside += storage.nbytes()
        return tensor

    def enter(module: Any, given: Any) -> None:
        ledger.inputs += sum(t.numel() * t.element_size() for t in given if isinstance(t, torch.Tensor))
        inside.append(0)

    def leave(module: Any, given: Any, result: Any) -> None:
        ledger.largest_block = max(ledger.largest_block, inside.pop())

    blocks = [m for m in unet.modules() if type(m).__name__ in _BLOCKS]
    hooks = [h for b in blocks for h in (b.register_forward_pre_hook(enter), b.register_forward_hook(leave))]
    try:
        with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
            yield
    finally:
        for hook in hooks:
            hook.remove()
