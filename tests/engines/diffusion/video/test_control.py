"""Control is silent at birth, steers every frame once trained, learns, and fits networks of the real shapes."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from studio.domain.anchor import Anchor
from studio.engines.diffusion.bases.inspecting import inspect_base
from studio.engines.diffusion.bases.loading import LoadedBase, load_base
from studio.engines.diffusion.bases.single_file import CONFIGS
from studio.engines.diffusion.video.anchoring import Steering, motion_modules, steered
from studio.engines.diffusion.video.control import MAPS, FaceControl, control_features, control_for
from studio.engines.diffusion.video.drawing import ClipRequest, draw_clip
from studio.engines.diffusion.video.motion import with_motion
from studio.errors import UserInputError
from tests.engines.diffusion.tiny_base import write_tiny_base

FRAMES = 5
REQUEST = ClipRequest(
    "a photo of sks person", seed=3, steps=3, guidance=3.0, width=32, height=32, frames=FRAMES, window=8
)


@pytest.fixture(scope="module")
def moving(tmp_path_factory: pytest.TempPathFactory) -> LoadedBase:
    from diffusers import MotionAdapter

    still = load_base(inspect_base(write_tiny_base(tmp_path_factory.mktemp("base"))), device="cpu", dtype=torch.float32)
    torch.manual_seed(1)
    motion = MotionAdapter(
        block_out_channels=still.unet.config.block_out_channels, motion_layers_per_block=1,
        motion_num_attention_heads=4, motion_norm_num_groups=8, motion_max_seq_length=8, use_motion_mid_block=True,
    )  # fmt: skip
    return with_motion(still, motion)


@pytest.fixture
def maps() -> torch.Tensor:
    return torch.rand(FRAMES, MAPS, 32, 32, generator=torch.Generator().manual_seed(2))


def _speaking(control: FaceControl) -> FaceControl:
    """Return the control as if it had been trained."""
    torch.manual_seed(3)
    for layer in control.silent:
        torch.nn.init.normal_(layer.weight, std=0.3)
    return control


def _drawn(moving: LoadedBase, features: Any) -> list[np.ndarray]:
    return draw_clip(moving, replace(REQUEST, features=features)).frames


def test_an_untrained_control_changes_no_pixel(moving: LoadedBase, maps: torch.Tensor) -> None:
    plain = _drawn(moving, {})
    features = control_features(moving, control_for(moving), maps)
    assert set(features) == {n for n in motion_modules(moving.unet) if n.startswith("down_blocks")}
    assert all(np.array_equal(a, b) for a, b in zip(plain, _drawn(moving, features), strict=True))


def test_a_control_that_has_learned_steers_every_frame_by_its_own_maps(moving: LoadedBase, maps: torch.Tensor) -> None:
    control, plain = _speaking(control_for(moving)), _drawn(moving, {})
    with torch.inference_mode():
        with_maps = _drawn(moving, control_features(moving, control, maps))
        moved = maps.clone()
        moved[0] = 1 - moved[0]
        other = _drawn(moving, control_features(moving, control, moved))
        silent = _drawn(moving, control_features(moving, control, maps, strength=0))
    assert not any(np.array_equal(a, b) for a, b in zip(plain, with_maps, strict=True))
    changed = [int(np.abs(a.astype(int) - b).max()) for a, b in zip(with_maps, other, strict=True)]
    assert changed[0] == max(changed) > 0
    assert changed[Anchor().frame(FRAMES)] == 0, "the anchor has maps of its own and hears nothing of the others"
    assert all(np.array_equal(a, b) for a, b in zip(plain, silent, strict=True))


def test_it_learns_through_a_model_that_is_frozen(moving: LoadedBase, maps: torch.Tensor) -> None:
    control = control_for(moving)
    optimizer = torch.optim.SGD(control.parameters(), lr=0.5)
    torch.manual_seed(4)
    side = 32 // moving.latent_factor
    noisy, wanted = torch.randn(2, 1, moving.latent_channels, FRAMES, side, side)
    words = torch.zeros(FRAMES, 4, moving.unet.config.cross_attention_dim)
    losses = []
    for _ in range(12):
        features = control_features(moving, control, maps)
        with steered(moving.unet, Steering(None, features)):
            loss = ((moving.unet(noisy, 500, encoder_hidden_states=words).sample - wanted) ** 2).mean()
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        losses.append(float(loss.detach()))
    assert losses[-1] < losses[0]
    assert all(p.grad is None for p in moving.unet.parameters())
    assert any(bool(layer.weight.any()) for layer in control.silent)


def test_it_is_written_and_read_back(moving: LoadedBase, maps: torch.Tensor, tmp_path: Path) -> None:
    control = _speaking(control_for(moving))
    control.save_pretrained(tmp_path)
    again = FaceControl.from_pretrained(tmp_path, local_files_only=True)
    assert dict(again.config)["channels"] == list(moving.unet.config.block_out_channels)
    with torch.inference_mode():
        assert all(torch.equal(a, b) for a, b in zip(control(maps), again(maps), strict=True))


def test_it_fits_a_network_of_the_real_shapes() -> None:
    from diffusers import MotionAdapter, UNet2DConditionModel, UNetMotionModel

    with torch.device("meta"):
        unet = UNet2DConditionModel.from_config(UNet2DConditionModel.load_config(CONFIGS / "sd15" / "unet"))
        motion = UNetMotionModel.from_unet2d(unet, MotionAdapter(use_motion_mid_block=False), load_weights=False)
        control = FaceControl(channels=tuple(unet.config.block_out_channels))
        levels = control(torch.empty(2, MAPS, 512, 512))
    assert [tuple(f.shape[1:]) for f in levels] == [(320, 64, 64), (640, 32, 32), (1280, 16, 16), (1280, 8, 8)]
    modules = [n for n in motion_modules(motion) if n.startswith("down_blocks")]
    assert len(modules) == 8, "two on each of four levels"
    assert [motion_modules(motion)[n].in_channels for n in modules[::2]] == [320, 640, 1280, 1280]


def test_what_does_not_fit_is_said(moving: LoadedBase, maps: torch.Tensor) -> None:
    with pytest.raises(UserInputError, match="widths"):
        control_features(moving, FaceControl(channels=(8, 8), downscale_factor=4), maps)
    with pytest.raises(UserInputError, match="reads 2 maps, and 3"):
        control_features(moving, control_for(moving), torch.zeros(1, 3, 32, 32))
    with pytest.raises(UserInputError, match="multiples of"):
        control_features(moving, control_for(moving), torch.zeros(1, MAPS, 36, 32))
