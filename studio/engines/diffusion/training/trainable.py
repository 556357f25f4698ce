"""What is learned: which of a base's numbers may move, by name.

A LoRA lays two thin matrices beside chosen layers (PEFT), full DreamBooth
moves every weight of UNet and text encoders, textual inversion one row of the
text encoders' tables. Whichever it is, the rest of training sees a mapping
from the names used in adapter files to 32-bit parameters. The same configs
tell `shapes` what is trained before anything is loaded. How the numbers move is
not known here.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import torch

from studio.domain.training import TrainingPlan
from studio.engines.diffusion.adapters.trigger import add_trigger, trigger_embeddings
from studio.errors import StoreError

if TYPE_CHECKING:
    from studio.engines.diffusion.bases.loading import LoadedBase

ATTENTION = ("to_q", "to_k", "to_v", "to_out.0")
FEED_FORWARD = ("ff.net.0.proj", "ff.net.2", "proj_in", "proj_out")
CONVOLUTIONS = ("conv1", "conv2")
TEXT_ATTENTION = ("q_proj", "k_proj", "v_proj", "out_proj")
TEXT_FEED_FORWARD = ("fc1", "fc2")
TEXT_PARTS = ("text_encoder", "text_encoder_2")
ADAPTER_NAME = "default"


def lora_configs(plan: TrainingPlan, text_encoders: int) -> dict[str, Any]:
    """Return part -> peft LoraConfig of what the plan adapts; empty for full training.

    Args:
        text_encoders: how many the base has.
    """
    if plan.method != "lora":
        return {}
    from peft import LoraConfig

    layers = ATTENTION + FEED_FORWARD * plan.feed_forward + CONVOLUTIONS * plan.convolutions
    configs = {"unet": LoraConfig(r=plan.rank, lora_alpha=_number(plan.alpha), target_modules=list(layers))}
    if plan.train_text_encoder:
        layers = TEXT_ATTENTION + TEXT_FEED_FORWARD * plan.feed_forward
        for part in TEXT_PARTS[:text_encoders]:
            configs[part] = LoraConfig(
                r=plan.text_rank, lora_alpha=_number(plan.text_alpha), target_modules=list(layers)
            )
    for config in configs.values():
        config.init_lora_weights = "gaussian"
    return configs


def _number(alpha: float) -> Any:
    """Whole alphas as whole numbers, as other programs write them."""
    return int(alpha) if alpha == int(alpha) else alpha


def attach(modules: Mapping[str, Any], plan: TrainingPlan) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
    """Let the planned numbers of UNet and text encoders ask for gradients.

    Args:
        modules: "unet", "text_encoder", "text_encoder_2" -> module; nothing in them asks for gradients yet.

    Returns:
        Parameters by their name in adapter files, and the LoRA config of each part.
    """
    configs = lora_configs(plan, len(modules) - 1)
    named: dict[str, torch.Tensor] = {}
    for part, module in modules.items():
        if part in configs:
            module.add_adapter(configs[part], adapter_name=ADAPTER_NAME)
        elif plan.method == "dreambooth" and (part == "unet" or plan.train_text_encoder):
            module.requires_grad_(True)
        for name, parameter in module.named_parameters():
            if parameter.requires_grad:
                named[f"{part}.{name.replace(f'.{ADAPTER_NAME}.', '.')}"] = parameter
    return named, configs


class Trainable:
    """A base with the plan's numbers set free.

    Attributes:
        named: name in adapter files -> parameter, float32, in a fixed order.
        configs: part -> LoRA config; empty for full training.
        average: running means of all parameters, None when the plan wants none.
    """

    def __init__(self, loaded: LoadedBase, plan: TrainingPlan) -> None:
        self.plan = plan
        modules = {"unet": loaded.unet, **dict(zip(TEXT_PARTS, loaded.text_encoders, strict=False))}
        with torch.random.fork_rng(devices=[]):  # PEFT draws its first numbers from the global generator
            torch.manual_seed(plan.seed)
            self.named, self.configs = attach(modules, plan)
        if plan.textual_inversion:
            add_trigger(loaded, plan.trigger, like=plan.class_word)
            for key, table in trigger_embeddings(loaded, plan.trigger).items():
                self.named[key] = table.row.requires_grad_(True)
        for parameter in self.named.values():
            parameter.data = parameter.data.float()
        if plan.gradient_checkpointing:
            _checkpoint_gradients(loaded, text=self.text_learns)
        self.average = {k: p.detach().clone() for k, p in self.named.items()} if plan.ema else None

    @property
    def text_learns(self) -> bool:
        """Whether embeddings of prompts change while training."""
        return self.plan.train_text_encoder or self.plan.textual_inversion

    @property
    def parameters(self) -> list[torch.Tensor]:
        """Everything that is learned."""
        return list(self.named.values())

    def groups(self) -> list[dict[str, Any]]:
        """Return the optimizer's groups: UNet, then everything of text, each with its rate."""
        unet = [p for k, p in self.named.items() if k.startswith("unet.")]
        text = [p for k, p in self.named.items() if not k.startswith("unet.")]
        groups = [{"params": unet, "lr": self.plan.learning_rate}, {"params": text, "lr": self.plan.text_learning_rate}]
        return [group for group in groups if group["params"]]

    @torch.no_grad()
    def follow(self, step: int) -> None:
        """Let the running means follow the weights; the first steps count more, so that they soon forget the start."""
        if self.average is not None:
            decay = min(self.plan.ema_decay, (1.0 + step) / (10.0 + step))
            torch._foreach_lerp_(list(self.average.values()), self.parameters, 1.0 - decay)

    def tensors(self) -> dict[str, torch.Tensor]:
        """Return what an adapter file holds: the running means where there are any, else the weights."""
        return dict(self.average or {k: p.detach() for k, p in self.named.items()})

    def raw(self) -> dict[str, torch.Tensor]:
        """Return what `tensors` leaves out of the state: the weights themselves, when means are kept."""
        return {k: p.detach() for k, p in self.named.items()} if self.average is not None else {}

    @torch.no_grad()
    def restore(self, tensors: Mapping[str, torch.Tensor], raw: Mapping[str, torch.Tensor]) -> None:
        """Put back what `tensors` and `raw` gave.

        Raises:
            StoreError: names or shapes are others.
        """
        if self.average is not None:
            _copy(tensors, self.average)
        _copy(raw if self.average is not None else tensors, self.named)

    @contextmanager
    def as_used(self) -> Iterator[None]:
        """Within the block the base wears what an adapter file would hold."""
        if self.average is None:
            yield
            return
        kept = {k: p.data for k, p in self.named.items()}
        try:
            for key, parameter in self.named.items():
                parameter.data = self.average[key]
            yield
        finally:
            for key, parameter in self.named.items():
                parameter.data = kept[key]


def _copy(source: Mapping[str, torch.Tensor], target: Mapping[str, torch.Tensor]) -> None:
    fits = source.keys() == target.keys() and all(source[k].shape == t.shape for k, t in target.items())
    if not fits:
        raise StoreError("The checkpoint does not fit the plan.", "Start a new run with the same photos.")
    for key, tensor in target.items():
        tensor.copy_(source[key])


def _checkpoint_gradients(loaded: LoadedBase, *, text: bool) -> None:
    loaded.unet.enable_gradient_checkpointing()
    for encoder in loaded.text_encoders if text else ():
        encoder.activation_checkpointing_enable({"use_reentrant": False})
