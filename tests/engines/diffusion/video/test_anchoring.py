"""The anchor frame is exactly the picture model's own picture, is read by all others, and leaves no trace when removed.

Thresholds are those of a network whose numbers are of size 1: what is the same
computation in another batch differs by rounding alone.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers import DDIMScheduler, MotionAdapter, UNet2DConditionModel, UNetMotionModel
from diffusers.hooks import HookRegistry, ModelHook

from studio.domain.anchor import Anchor
from studio.engines.diffusion.video.anchoring import Steering, motion_modules, steered
from studio.errors import UserInputError
from tests.engines.diffusion.tiny_base import write_tiny_base

EMBEDDED = Path(__file__).resolve().parents[4] / "assets" / "base" / "unet"
FRAMES, MIDDLE = 8, 3


class Clip:
    """A picture model, the same with motion modules, and one noisy clip of two guided halves."""

    def __init__(self, folder: Path, dtype: torch.dtype) -> None:
        self.plain = UNet2DConditionModel.from_pretrained(folder, local_files_only=True).to(dtype).eval()
        config = self.plain.config
        torch.manual_seed(1)
        adapter = MotionAdapter(
            block_out_channels=config.block_out_channels, motion_layers_per_block=config.layers_per_block,
            motion_num_attention_heads=4, motion_norm_num_groups=8, motion_max_seq_length=32,
            use_motion_mid_block=True,
        )  # fmt: skip
        self.moving = UNetMotionModel.from_unet2d(self.plain, adapter).to(dtype).eval()
        size = 8
        self.noisy = torch.randn(2, config.in_channels, FRAMES, size, size, dtype=dtype)
        self.words = torch.randn(2, 6, config.cross_attention_dim, dtype=dtype)

    def frame(self, k: int, noisy: torch.Tensor | None = None, time: int = 500, **options: Any) -> torch.Tensor:
        """Return what the picture model makes of a frame.  # (2, C, H, W)"""
        clip = self.noisy if noisy is None else noisy
        return self.plain(clip[:, :, k], time, encoder_hidden_states=self.words, **options).sample

    def clip(self, noisy: torch.Tensor | None = None, time: int = 500) -> torch.Tensor:
        """Return what the motion model makes of the clip.  # (2, C, F, H, W)"""
        words = self.words.repeat_interleave(FRAMES, 0)
        return self.moving(self.noisy if noisy is None else noisy, time, encoder_hidden_states=words).sample


@pytest.fixture(scope="module", params=["embedded", "sd15"])
def folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    if request.param == "embedded":
        return EMBEDDED
    return write_tiny_base(tmp_path_factory.mktemp("sd15"), "sd15") / "unet"


@pytest.fixture(scope="module", autouse=True)
def _no_gradients() -> Any:
    with torch.no_grad():
        yield


@pytest.fixture(scope="module")
def exact(folder: Path) -> Clip:
    return Clip(folder, torch.float64)


@pytest.fixture(scope="module")
def usual(folder: Path) -> Clip:
    return Clip(folder, torch.float32)


def _apart(a: torch.Tensor, b: torch.Tensor) -> float:
    return float((a - b).abs().max())


@pytest.mark.parametrize("ghost", ["module", "sublayer"])
def test_the_anchor_is_the_picture_model_s_own(exact: Clip, usual: Clip, ghost: Any) -> None:
    for clip, within in ((exact, 1e-10), (usual, 1e-4)):
        with steered(clip.moving, Steering(Anchor(ghost=ghost))):
            drawn = clip.clip()
        assert _apart(drawn[:, :, MIDDLE], clip.frame(MIDDLE)) < within
        assert _apart(drawn[:, :, 0], clip.frame(0)) > 1e-2, "the other frames move"


def test_a_whole_drawing_keeps_the_anchor(exact: Clip) -> None:
    schedule = DDIMScheduler(beta_schedule="scaled_linear", clip_sample=False)
    schedule.set_timesteps(10)
    latents, alone = exact.noisy[:1], exact.noisy[:1, :, 5]
    with steered(exact.moving, Steering(Anchor(index=5))):
        for time in schedule.timesteps:
            without, wanted = exact.clip(latents.repeat(2, 1, 1, 1, 1), time).chunk(2)
            latents = schedule.step(without + 5 * (wanted - without), time, latents).prev_sample
            twice = exact.plain(alone.repeat(2, 1, 1, 1), time, encoder_hidden_states=exact.words).sample.chunk(2)
            alone = schedule.step(twice[0] + 5 * (twice[1] - twice[0]), time, alone).prev_sample
    assert _apart(latents[:, :, 5], alone) < 1e-10 * max(1.0, float(alone.abs().max()))


def test_the_anchor_does_not_hear_the_others_and_all_of_them_hear_it(usual: Clip) -> None:
    with steered(usual.moving, Steering(Anchor())):
        drawn = usual.clip()
        others = usual.noisy.clone()
        others[:, :, [f for f in range(FRAMES) if f != MIDDLE]] += 1
        assert torch.equal(usual.clip(others)[:, :, MIDDLE], drawn[:, :, MIDDLE])
        anchor = usual.noisy.clone()
        anchor[:, :, MIDDLE] += 1
        again = usual.clip(anchor)
    assert all(_apart(again[:, :, f], drawn[:, :, f]) > 1e-5 for f in range(FRAMES))


def test_no_motion_weight_can_change_the_anchor(usual: Clip) -> None:
    with torch.enable_grad(), steered(usual.moving, Steering(Anchor())):
        drawn = usual.clip()
        weights = [p for m in motion_modules(usual.moving).values() for p in m.parameters()]
        of_anchor = torch.autograd.grad(
            drawn[:, :, MIDDLE].square().sum(), weights, retain_graph=True, allow_unused=True
        )
        of_other = torch.autograd.grad(drawn[:, :, 0].square().sum(), weights, allow_unused=True)
    assert len(weights) > 50
    assert all(g is None or not g.any() for g in of_anchor)
    # A bias in front of a group norm that runs over its channel alone changes nothing: nearly all, not all.
    assert sum(g is not None and bool(g.any()) for g in of_other) > 0.9 * len(weights)


def test_without_strength_and_after_removal_nothing_is_changed(usual: Clip) -> None:
    before = usual.clip()
    zeros = {
        name: torch.zeros(1, m.in_channels, 1, 1) for name, m in motion_modules(usual.moving).items()
    }  # adding nothing changes nothing
    for steering in (
        Steering(),
        Steering(Anchor(strength=0, ghost="sublayer", gain=3)),
        Steering(features=zeros),
        Steering(Anchor(steps=(0, 0.3)), done=0.5),
        Steering(Anchor(blocks=())),
    ):
        with steered(usual.moving, steering):
            assert torch.equal(usual.clip(), before)
    with steered(usual.moving, Steering(Anchor(gain=4))):
        assert not torch.equal(usual.clip(), before)
    assert torch.equal(usual.clip(), before)
    assert torch.equal(usual.frame(2), usual.frame(2))


def test_a_failure_inside_leaves_no_trace(usual: Clip) -> None:
    before = usual.clip()
    with pytest.raises(RuntimeError, match="stopped"), steered(usual.moving, Steering(Anchor())):
        raise RuntimeError("stopped")
    assert torch.equal(usual.clip(), before)


def test_strengths_between_lead_from_one_to_the_other(exact: Clip) -> None:
    plain = exact.clip()[:, :, MIDDLE]
    target = exact.frame(MIDDLE)
    apart = []
    for strength in (0.0, 0.3, 0.6, 1.0):
        with steered(exact.moving, Steering(Anchor(strength=strength))):
            apart.append(float((exact.clip()[:, :, MIDDLE] - target).square().mean()))
    assert apart[0] == float((plain - target).square().mean())
    assert sorted(apart, reverse=True) == apart
    assert apart[-1] < 1e-20


def test_the_two_ghosts_are_two_methods_with_one_anchor(exact: Clip) -> None:
    drawn = []
    for ghost in ("module", "sublayer"):
        with steered(exact.moving, Steering(Anchor(ghost=ghost))):
            drawn.append(exact.clip())
    assert _apart(drawn[0][:, :, MIDDLE], drawn[1][:, :, MIDDLE]) < 1e-10
    assert _apart(drawn[0][:, :, 0], drawn[1][:, :, 0]) > 1e-4


def test_gain_lets_the_others_look_at_the_anchor_more(exact: Clip) -> None:
    """With all weight on the anchor, two frames with the same input are moved alike whatever the rest shows."""
    with steered(exact.moving, Steering(Anchor())):
        usual = exact.clip()
    with steered(exact.moving, Steering(Anchor(gain=1.0 + 1e-9))):
        assert 0 < _apart(exact.clip(), usual) < 1e-6
    with steered(exact.moving, Steering(Anchor(gain=20))):
        assert _apart(exact.clip()[:, :, 0], usual[:, :, 0]) > 1e-4
        assert _apart(exact.clip()[:, :, MIDDLE], exact.frame(MIDDLE)) < 1e-10


def test_masking_attention_alone_is_no_anchor(exact: Clip) -> None:
    """The imitation that an anchor is sometimes taken for: the frame attends to itself alone."""

    class OnlyItself(ModelHook):
        def pre_forward(self, module: Any, *args: Any, **kwargs: Any) -> Any:
            hidden = args[0] if args else kwargs["hidden_states"]
            mask = hidden.new_zeros(hidden.shape[0], FRAMES, FRAMES)
            mask[:, MIDDLE] = float("-inf")
            mask[:, MIDDLE, MIDDLE] = 0
            kwargs["attention_mask"] = mask.repeat_interleave(module.heads, 0)
            return args, kwargs

    attentions = [a for m in motion_modules(exact.moving).values() for t in m.transformer_blocks
                  for a in (t.attn1, t.attn2)]  # fmt: skip
    for attention in attentions:
        HookRegistry.check_if_exists_or_initialize(attention).register_hook(OnlyItself(), "imitation")
    try:
        assert _apart(exact.clip()[:, :, MIDDLE], exact.frame(MIDDLE)) > 1e-2
    finally:
        for attention in attentions:
            HookRegistry.check_if_exists_or_initialize(attention).remove_hook("imitation")


def test_with_control_the_anchor_is_the_picture_with_the_same_control(tmp_path: Path) -> None:
    """Features in front of every motion module of the way down are the picture model's own adapter entry."""
    clip = Clip(EMBEDDED, torch.float64)
    down = [name for name in motion_modules(clip.moving) if name.startswith("down_blocks")]
    noise = torch.Generator().manual_seed(2)
    sides = [8 // 2**level for level in range(len(down))]
    each = [
        torch.randn(FRAMES, width, side, side, dtype=torch.float64, generator=noise) * 0.3
        for width, side in zip(clip.plain.config.block_out_channels, sides, strict=True)
    ]
    with steered(clip.moving, Steering(Anchor(), dict(zip(down, each, strict=True)))):
        drawn = clip.clip()
    of_anchor = [f[MIDDLE : MIDDLE + 1].repeat(2, 1, 1, 1) for f in each]
    assert _apart(drawn[:, :, MIDDLE], clip.frame(MIDDLE)) > 1e-3, "control changes the anchor, too"
    alone = clip.frame(MIDDLE, down_intrablock_additional_residuals=of_anchor)
    assert _apart(drawn[:, :, MIDDLE], alone) < 1e-10


def test_what_cannot_be_steered_is_said(usual: Clip) -> None:
    with pytest.raises(UserInputError, match="no motion modules"), steered(usual.plain, Steering()):
        pass
    with (
        steered(usual.moving, Steering(Anchor(index=FRAMES))),
        pytest.raises(UserInputError, match="cannot be the anchor"),
    ):
        usual.clip()
    with (
        steered(usual.moving, Steering()),
        pytest.raises(UserInputError, match="steered already"),
        steered(usual.moving, Steering()),
    ):
        pass
    name = next(iter(motion_modules(usual.moving)))
    width = motion_modules(usual.moving)[name].in_channels
    with (
        steered(usual.moving, Steering(features={name: torch.zeros(3, width, 1, 1)})),
        pytest.raises(UserInputError, match="3 frames and the clip 8"),
    ):
        usual.clip()
    before = usual.clip()
    assert torch.equal(usual.clip(), before)
