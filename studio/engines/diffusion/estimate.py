"""What a training will need, from shapes alone: memory, disk and time before anything is loaded.

The UNet is built on torch's meta device, which has shapes and no numbers, and
run once: what autograd would keep is added up (activations), arithmetic is
counted, and parameters are counted as they would be trained. Time comes from
how fast this machine multiplies right now. Where it does not fit, the plan is
made smaller change by change, those first that cost the likeness least.

Peaks inside libraries and what other programs will take are not known; memory
is rounded up by `MARGIN`, time is an estimate within a factor of two.
"""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import lru_cache
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any, cast

import torch
from torch.overrides import TorchFunctionMode

from studio.domain.base_model import FAMILY_TITLES, BaseLocation, Family
from studio.domain.training import Preflight, TrainingPlan
from studio.engines.diffusion import runtime
from studio.engines.diffusion.lessons import CLASS_STEPS
from studio.engines.diffusion.optimizers import expected_state_bytes
from studio.engines.diffusion.trainable import TEXT_PARTS, lora_configs

MARGIN = 1.15
"""Over what was counted, for the allocator's gaps and libraries' workspaces."""
LIBRARIES_BYTES = {"cpu": 450_000_000, "cuda": 900_000_000, "mps": 700_000_000}
"""What torch and the model libraries take before any model; measured on a CPU (315 to 450 MB), else usual values."""
CALL_SECONDS = {"cpu": 9e-6, "cuda": 9e-6, "mps": 2e-5}
"""Time of one operation beside its arithmetic, which is what small models spend; measured on a CPU."""
SAMPLER_ROWS = 2  # with and without the prompt
_BLOCKS = ("ResnetBlock2D", "BasicTransformerBlock")
"""What diffusers computes twice with gradient checkpointing."""
_CONFIGS = Path(__file__).with_name("configs")


@dataclass(frozen=True)
class Shapes:
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


# -- counting on the meta device ----------------------------------------------------------


def shapes_of(location: BaseLocation, plan: TrainingPlan) -> Shapes:
    """Count what a plan means on a base, without its weights."""
    model = _model(location.path, location.is_file, location.family, plan.resolution)
    return replace(model.shapes, trained=tuple(_trained(model, plan)))


@dataclass(frozen=True)
class _Model:
    """A base at one size of pictures.

    Attributes:
        shapes: with nothing trained.
        weights: part -> name of each parameter -> its shape.
        text_widths: of the text encoders' tables.
    """

    shapes: Shapes
    weights: Mapping[str, Mapping[str, tuple[int, ...]]]
    text_widths: tuple[int, ...]


@lru_cache(maxsize=8)
def _model(path: str, is_file: bool, family: Family, resolution: int) -> _Model:
    from diffusers import UNet2DConditionModel

    folder = _CONFIGS / family if is_file else Path(path)
    parts = TEXT_PARTS[: 2 if family == "sdxl" else 1]
    with torch.device("meta"):
        unet = cast("Any", UNet2DConditionModel).from_config(_config(folder, "unet"))
        encoders = [_text_encoder(_config(folder, part), projected=part == "text_encoder_2") for part in parts]
        autoencoder = _autoencoder(_config(folder, "vae"))
    modules = {"unet": unet, **dict(zip(parts, encoders, strict=True))}
    factor = 2 ** (len(autoencoder.config.block_out_channels) - 1)
    ledger = _run_unet(unet, resolution // factor, encoders)
    tokens = encoders[0].config.max_position_embeddings
    autoencoder.requires_grad_(False)
    shapes = Shapes(
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
    return _Model(shapes, weights, tuple(encoder.config.hidden_size for encoder in encoders))


def _trained(model: _Model, plan: TrainingPlan) -> Iterator[tuple[int, ...]]:
    """Yield the shape of every tensor that a plan trains."""
    configs = lora_configs(plan, len(model.text_widths))
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
    return BaseLocation(name=family, title=FAMILY_TITLES[family], family=family, path="", is_file=True)


def _config(folder: Path, part: str) -> dict[str, Any]:
    value: dict[str, Any] = json.loads((folder / part / "config.json").read_text(encoding="utf-8"))
    return value


def _text_encoder(config: dict[str, Any], *, projected: bool) -> Any:
    from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection

    return (CLIPTextModelWithProjection if projected else CLIPTextModel)(CLIPTextConfig.from_dict(config))


def _autoencoder(config: dict[str, Any]) -> Any:
    from diffusers import AutoencoderKL

    if config.get("_class_name") == "PatchAutoencoder":
        return import_module("studio.engines.diffusion.autoencoder").PatchAutoencoder.from_config(config)
    return cast("Any", AutoencoderKL).from_config(config)


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


def _run_unet(unet: Any, cells: int, encoders: list[Any]) -> _Ledger:
    """Run one picture through a UNet on the meta device and write down what it costs."""
    ledger = _Ledger()
    config = unet.config
    added = None
    if config.addition_embed_type == "text_time":
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


# -- this machine -------------------------------------------------------------------------


@lru_cache(maxsize=8)
def flops_per_second(device: str, dtype: torch.dtype) -> float:
    """Measure how fast a device convolves and multiplies now, in about a fifth of a second."""
    image = torch.randn(2, 128, 32, 32, device=device, dtype=dtype)
    kernel = torch.randn(128, 128, 3, 3, device=device, dtype=dtype)
    matrix = torch.randn(768, 768, device=device, dtype=dtype)
    flops = 2.0 * image.numel() * 128 * 9 + 2.0 * 768**3

    def once() -> None:
        torch.nn.functional.conv2d(image, kernel, padding=1)
        matrix @ matrix
        if device.startswith("cuda"):
            torch.cuda.synchronize()

    with torch.no_grad():
        once()
        begin, rounds = time.perf_counter(), 0
        while rounds < 2 or time.perf_counter() - begin < 0.15:
            once()
            rounds += 1
        return flops * rounds / (time.perf_counter() - begin)


def free_memory(device: str) -> int:
    """Return the bytes that a device has free."""
    if device.startswith("cuda"):
        return int(torch.cuda.mem_get_info(device)[0])
    import psutil

    return int(psutil.virtual_memory().available)


# -- adding up ----------------------------------------------------------------------------


def memory_parts(shapes: Shapes, plan: TrainingPlan, device: str) -> dict[str, int]:
    """Return name -> bytes at the peak of a step, largest first."""
    size = runtime.choose_dtype(device, plan.precision).itemsize
    full = plan.method == "dreambooth"
    trained = shapes.trained_parameters
    pictures = plan.batch * (2 if plan.prior_weight else 1)
    saved = shapes.saved_checkpointed_bytes if plan.gradient_checkpointing else shapes.saved_bytes
    weights = shapes.base_parameters * (4 if full else size) + shapes.autoencoder_parameters * 4
    if full and size < 4:
        weights += trained * size  # autocast keeps a copy in the smaller format during a step
    parts = {
        "weights": weights + (0 if full else trained * 4),
        "gradients": trained * 4,
        "optimizer state": expected_state_bytes(plan.optimizer, shapes.trained, plan.projection_rank),
        "activations": int(saved * pictures * size / 4),
        "libraries": LIBRARIES_BYTES[torch.device(device).type],
    }
    if plan.ema:
        parts["running means"] = trained * 4
    parts = {name: int(value * MARGIN) for name, value in parts.items()}
    return dict(sorted(parts.items(), key=lambda item: -item[1]))


def disk_bytes(shapes: Shapes, plan: TrainingPlan) -> int:
    """Return the bytes that a run leaves on the disk at most."""
    adapter = shapes.trained_parameters * 4
    state = expected_state_bytes(plan.optimizer, shapes.trained, plan.projection_rank) + (adapter if plan.ema else 0)
    saves = -(-plan.steps // plan.checkpoint_every)
    pictures = plan.resolution**2 * 3 * (plan.prior_pictures if plan.prior_weight else 0)
    # One state more than are kept: the old one goes when the new one is safe.
    return adapter * (saves + 1) + state * min(plan.keep_checkpoints + 1, saves + 1) + pictures


def seconds(shapes: Shapes, plan: TrainingPlan, examples: int, device: str) -> float:
    """Return how long a run will take on this machine: class pictures, caches, steps and samples."""
    rate = flops_per_second(device, runtime.choose_dtype(device, plan.precision))
    call = CALL_SECONDS[torch.device(device).type]
    pictures = plan.batch * (2 if plan.prior_weight else 1)
    # Backwards costs once more for the signal and, where all weights learn, once more for the weights.
    passes = 2.0 + (plan.method == "dreambooth") + plan.gradient_checkpointing
    per_picture = shapes.flops * passes
    if plan.train_text_encoder or plan.textual_inversion:
        per_picture += 3.0 * shapes.text_flops
    if not plan.cache:
        per_picture += shapes.encode_flops
    micro = pictures * per_picture / rate + passes * shapes.calls * call
    step = plan.accumulation * micro + 6.0 * len(shapes.trained) * call
    drawing = SAMPLER_ROWS * shapes.flops / rate + shapes.calls * call
    samples = (plan.steps // plan.sample_every + 1) * len(plan.sample_seeds) * plan.sample_steps
    samples *= len(plan.sample_prompts) + len(plan.class_prompts)
    prior = plan.prior_pictures * CLASS_STEPS if plan.prior_weight else 0
    caches = (examples + plan.prior_pictures) * shapes.encode_flops / rate
    return plan.steps * step + (samples + prior) * drawing + caches


def preflight(
    location: BaseLocation, plan: TrainingPlan, examples: int, folder: Path, *, device: str | None = None
) -> Preflight:
    """Say what a run will need, whether it fits, and if not, which changes would make it fit.

    Args:
        examples: pictures to learn from.
        folder: where the run will write; need not exist yet.
    """
    runtime.prepare()
    device = device or runtime.choose_device()
    shapes = shapes_of(location, plan)
    parts = memory_parts(shapes, plan, device)
    disk, memory = disk_bytes(shapes, plan), sum(parts.values())
    memory_free, disk_free = free_memory(device), _disk_free(folder)
    problems = []
    if memory > memory_free:
        problems.append(f"Needs {_gigabytes(memory)} of memory, {_gigabytes(memory_free)} are free.")
    if disk > disk_free:
        problems.append(f"Needs {_gigabytes(disk)} on the disk, {_gigabytes(disk_free)} are free.")
    instead = _that_fits(location, plan, device, memory_free, disk_free) if problems else {}
    return Preflight(
        memory_bytes=memory,
        memory_free_bytes=memory_free,
        disk_bytes=disk,
        disk_free_bytes=disk_free,
        seconds=seconds(shapes, plan, examples, device),
        device=device,
        trainable_parameters=shapes.trained_parameters,
        parts=parts,
        problems=tuple(problems),
        instead=instead,
    )


def _gigabytes(count: int) -> str:
    return f"{count / 1e9:.1f} GB" if count >= 1e8 else f"{count / 1e6:.0f} MB"


def _disk_free(folder: Path) -> int:
    while not folder.exists():
        folder = folder.parent
    return shutil.disk_usage(folder).free


# -- smaller ------------------------------------------------------------------------------


def _that_fits(
    location: BaseLocation, plan: TrainingPlan, device: str, memory_free: int, disk_free: int
) -> Mapping[str, Any]:
    """Make the plan smaller until it fits; empty when nothing helps."""
    smaller, measured = plan, {"resolution": plan.resolution}
    for change in smaller_steps(plan, disk_too=True):
        smaller = smaller.model_copy(update=change)
        shapes = _at_resolution(shapes_of(location, smaller.model_copy(update=measured)), plan, smaller)
        memory = sum(memory_parts(shapes, smaller, device).values())
        if memory <= memory_free and disk_bytes(shapes, smaller) <= disk_free:
            before = plan.model_dump()
            return {name: value for name, value in smaller.model_dump().items() if before[name] != value}
    return {}


def _at_resolution(shapes: Shapes, measured: TrainingPlan, wanted: TrainingPlan) -> Shapes:
    """Scale what grows with the picture; fused attention keeps no more per pixel in larger pictures."""
    area = (wanted.resolution / measured.resolution) ** 2
    saved = {name: int(getattr(shapes, name) * area) for name in ("saved_bytes", "saved_checkpointed_bytes")}
    return replace(shapes, **saved)  # type: ignore[arg-type]


def smaller_steps(plan: TrainingPlan, *, disk_too: bool = False) -> Iterator[dict[str, Any]]:
    """Yield changes, each on top of those before, from what costs the likeness least to what costs it most."""
    if disk_too and plan.checkpoint_every < plan.steps:
        yield {"keep_checkpoints": 1}
        yield {"keep_checkpoints": 1, "checkpoint_every": max(plan.checkpoint_every, -(-plan.steps // 4))}
    if not plan.gradient_checkpointing:
        yield {"gradient_checkpointing": True}
    batch, accumulation = plan.batch, plan.accumulation
    while batch > 1:  # as many pictures a step as before, fewer at a time
        batch, accumulation = -(-batch // 2), min(64, accumulation * 2)
        yield {"batch": batch, "accumulation": accumulation}
    if plan.precision in ("auto", "fp32"):
        yield {"precision": "bf16"}
    if plan.ema:
        yield {"ema": False}
    if plan.method == "dreambooth":
        if plan.optimizer == "adamw" and find_spec("bitsandbytes") is not None:
            yield {"optimizer": "adamw8bit"}
        if plan.optimizer != "projected_adamw":
            yield {"optimizer": "projected_adamw"}
        if plan.train_text_encoder:
            yield {"train_text_encoder": False}
        yield {"method": "lora", "optimizer": "adamw", "train_text_encoder": plan.train_text_encoder}
    rank = plan.rank
    while rank > 8:
        rank //= 2
        yield {"rank": rank, "alpha": plan.alpha * rank / plan.rank}
    if plan.train_text_encoder:
        yield {"train_text_encoder": False}
    side = plan.resolution
    while side > 64:
        side = max(64, side * 3 // 4 // 64 * 64)
        yield {"resolution": side}


def smaller_settings(plan: TrainingPlan) -> dict[str, Any]:
    """Return the first two changes that would need less memory, for the hint of an error."""
    found: dict[str, Any] = {}
    for number, change in enumerate(smaller_steps(plan)):
        found |= change
        if number == 1:
            break
    return found
