"""Steers the motion modules of a UNetMotionModel: control features in front of each, the anchor frame behind it.

Outside its motion modules a UNetMotionModel treats every frame as a picture of
its own. Where a module's output is its input for one frame, that frame's path
is the picture model's, whatever the others do, while they go on reading it: the
training-free anchor of FAAC (arXiv 2312.03775), rebuilt from the paper's figure.
An attention mask would not do: the module also adds the frame's attention to
itself, a feed-forward, and its group norm runs over all frames.

One hook per module holds both, since the order counts: features belong to what
the anchor is given back as. Hooks are the library's own and have only
`pre_forward` and `post_forward`: those that replace `forward` cannot be taken
off in every order. Nothing is patched; a removed steering leaves no trace.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from diffusers.hooks.hooks import HookRegistry, ModelHook
from diffusers.models.unets.unet_motion_model import AnimateDiffTransformer3D

from studio.domain.anchor import Anchor, Block
from studio.errors import UserInputError

_NAME = "studio_steering"
_FORWARD = inspect.signature(AnimateDiffTransformer3D.forward)
_ARGUMENTS = inspect.Signature(list(_FORWARD.parameters.values())[1:])
_BLOCKS: dict[str, Block] = {"down_blocks": "down", "mid_block": "mid", "up_blocks": "up"}


@dataclass
class Steering:
    """What the motion modules are told; shared by all hooks and changed between calls of the model.

    Attributes:
        anchor: how the anchor frame is kept; None steers without.
        features: what is added in front of a motion module, by the module's name: (F or 1, C, H, W), the same for
            both halves of a guided batch.
        done: share of the drawing that is done, 0..1.
    """

    anchor: Anchor | None = None
    features: Mapping[str, torch.Tensor] = field(default_factory=dict)
    done: float = 0.0

    def acting(self, block: Block) -> Anchor | None:
        """Return the anchor if it is kept in a block at this step."""
        anchor = self.anchor
        return anchor if anchor is not None and block in anchor.blocks and anchor.acts_at(self.done) else None


def motion_modules(unet: Any) -> dict[str, Any]:
    """Return the motion modules of a UNetMotionModel by name, in the order in which they run.

    Raises:
        UserInputError: the model has none.
    """
    found = {name: m for name, m in unet.named_modules() if isinstance(m, AnimateDiffTransformer3D)}
    if not found:
        raise UserInputError("This model has no motion modules.", "Load a motion adapter into it first.")
    order = ("down_blocks", "mid_block", "up_blocks")
    return dict(sorted(found.items(), key=lambda item: order.index(item[0].partition(".")[0])))


@contextmanager
def steered(unet: Any, steering: Steering) -> Iterator[None]:
    """Let a steering act on a model's motion modules inside a `with` block; afterwards the model is as before.

    Raises:
        UserInputError: the model has no motion modules, or is steered already.
    """
    modules = motion_modules(unet)
    if any(_steered(m) for m in modules.values()):
        raise UserInputError("This model is steered already.", "Let the other clip finish first.")
    try:
        for name, module in modules.items():
            block = _BLOCKS[name.partition(".")[0]]
            _registry(module).register_hook(_ModuleHook(steering, name, block), _NAME)
            for layers in module.transformer_blocks:
                for attention in (layers.attn1, layers.attn2):
                    _registry(attention).register_hook(_AttentionHook(steering, block), _NAME)
                _registry(layers.ff).register_hook(_SublayerHook(steering, block), _NAME)
        yield
    finally:
        for module in modules.values():
            if _steered(module):
                _registry(module).remove_hook(_NAME, recurse=True)


def _registry(module: Any) -> Any:
    return HookRegistry.check_if_exists_or_initialize(module)


def _steered(module: Any) -> bool:
    registry = getattr(module, "_diffusers_hook", None)
    return registry is not None and registry.get_hook(_NAME) is not None


class _ModuleHook(ModelHook):
    """Adds features to a motion module's input and gives the anchor back behind it."""

    def __init__(self, steering: Steering, name: str, block: Block) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.steering, self.name, self.block = steering, name, block
        self.given: tuple[torch.Tensor, int] | None = None

    def pre_forward(self, module: Any, *args: Any, **kwargs: Any) -> tuple[tuple[Any, ...], dict[str, Any]]:
        # The mid block hands its arguments over by position, all others by name.
        arguments = _ARGUMENTS.bind(*args, **kwargs).arguments
        frames = int(arguments.get("num_frames", 1))
        features = self.steering.features.get(self.name)
        if features is not None:
            hidden = arguments["hidden_states"]
            if features.shape[0] not in (1, frames):
                raise UserInputError(
                    f"The control has {features.shape[0]} frames and the clip {frames}.", "Give it as many frames."
                )
            arguments["hidden_states"] = hidden + features.to(hidden).repeat(
                hidden.shape[0] // features.shape[0], 1, 1, 1
            )
        self.given = (arguments["hidden_states"], frames)
        return (), dict(arguments)

    def post_forward(self, module: Any, output: torch.Tensor) -> torch.Tensor:
        assert self.given is not None  # pre_forward ran just before
        (given, frames), self.given = self.given, None
        shape = (-1, frames, *output.shape[1:])
        anchor = self.steering.acting(self.block)
        if anchor is None:
            return output
        k = anchor.frame(frames)
        kept, out = given.reshape(shape), output.reshape(shape).clone()
        out[:, k] = kept[:, k] if anchor.strength == 1 else torch.lerp(out[:, k], kept[:, k], anchor.strength)
        return out.flatten(0, 1)


class _SublayerHook(ModelHook):
    """Takes away what a layer inside a motion module adds to the anchor, where that is asked for."""

    def __init__(self, steering: Steering, block: Block) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.steering, self.block = steering, block

    def post_forward(self, module: Any, output: torch.Tensor) -> torch.Tensor:
        anchor = self.steering.acting(self.block)
        if anchor is None or anchor.ghost == "module":
            return output
        output = output.clone()  # tokens are (B * H * W, F, C)
        output[:, anchor.frame(output.shape[1])] *= 1 - anchor.strength
        return output


class _AttentionHook(_SublayerHook):
    """The same for an attention, which also attends to the anchor by another factor where that is asked for."""

    def pre_forward(self, module: Any, *args: Any, **kwargs: Any) -> tuple[tuple[Any, ...], dict[str, Any]]:
        anchor = self.steering.acting(self.block)
        if anchor is not None and anchor.gain != 1:
            hidden = args[0] if args else kwargs["hidden_states"]
            frames = hidden.shape[1]
            mask = hidden.new_zeros(hidden.shape[0], 1, frames)
            mask[..., anchor.frame(frames)] = math.log(anchor.gain)  # added to the logit: a factor on the weight
            kwargs["attention_mask"] = mask
        return args, kwargs
