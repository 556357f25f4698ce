"""Frames drawn over other frames: without motion each is the picture that its seed and start give alone."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from studio.domain.anchor import Anchor
from studio.domain.base_model import BaseLocation
from studio.engines.base_video import ClipOrder
from studio.engines.diffusion.bases.inspecting import inspect_base
from studio.engines.diffusion.bases.loading import load_base
from studio.engines.diffusion.drawing.generator import DiffusionGenerator
from studio.engines.diffusion.drawing.sampling import draw
from studio.engines.diffusion.video.control import control_for
from studio.engines.diffusion.video.motion import with_motion
from studio.engines.diffusion.video.painter import DiffusionPainter
from studio.errors import NotFoundError, UnreadableMediaError, UserInputError
from tests.engines.diffusion.tiny_base import write_tiny_base

ORDER = ClipOrder(prompt="a face", seed=5, steps=6, guidance=3.0, width=32, height=32, denoise=0.5, window=3, overlap=1)


@pytest.fixture(scope="module")
def location(tmp_path_factory: pytest.TempPathFactory) -> BaseLocation:
    return inspect_base(write_tiny_base(tmp_path_factory.mktemp("base"), "sd15", v_prediction=True))


@pytest.fixture(scope="module")
def motion(location: BaseLocation, tmp_path_factory: pytest.TempPathFactory) -> Path:
    from diffusers import MotionAdapter

    config = load_base(location, device="cpu", dtype=torch.float32).unet.config
    torch.manual_seed(1)
    adapter = MotionAdapter(
        block_out_channels=config.block_out_channels, motion_layers_per_block=config.layers_per_block,
        motion_num_attention_heads=4, motion_norm_num_groups=8, motion_max_seq_length=8, use_motion_mid_block=True,
    )  # fmt: skip
    folder = tmp_path_factory.mktemp("motion")
    adapter.save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def painter() -> DiffusionPainter:
    return DiffusionPainter(DiffusionGenerator())


def frames(count: int) -> list[np.ndarray]:
    return [np.random.default_rng(i).integers(0, 255, (32, 32, 3), np.uint8) for i in range(count)]


def apart(a: np.ndarray, b: np.ndarray) -> int:
    return int(np.abs(a.astype(int) - b.astype(int)).max())


def test_each_frame_is_the_picture_of_its_start(painter, location) -> None:
    start = frames(5)
    steps = []
    painted = painter.paint(location, ORDER, 5, start=start, on_step=lambda *step: steps.append(step))
    loaded = load_base(location)
    alone = [
        draw(loaded, ORDER.prompt, seed=5, steps=6, guidance=3.0, width=32, height=32, source=s, denoise=0.5)[0]
        for s in start
    ]
    assert max(apart(a, b) for a, b in zip(painted.frames, alone, strict=True)) <= 1, "rounding of another batch"
    assert steps == [(1, 3), (2, 3), (3, 3)]
    assert painted.worst_border is None, "frames that do not see each other have no borders"


def test_a_frame_does_not_depend_on_its_company(painter, location) -> None:
    start = frames(4)
    whole = painter.paint(location, ORDER, 4, start=start).frames
    half = painter.paint(location, ORDER, 2, start=start[2:]).frames
    assert max(apart(a, b) for a, b in zip(whole[2:], half, strict=True)) <= 1


def test_with_motion_frames_see_each_other_and_the_anchor_is_kept(painter, location, motion) -> None:
    start = frames(6)
    order = replace(ORDER, anchor=Anchor(index=0), window=8)
    moving = painter.paint(location, order, 6, start=start, motion=motion).frames
    still = painter.paint(location, ORDER, 6, start=start).frames
    assert apart(moving[0], still[0]) <= 1, "the anchor is what the base draws alone"
    assert max(apart(a, b) for a, b in zip(moving[1:], still[1:], strict=True)) > 4


def test_an_untrained_control_changes_nothing_and_a_trained_one_does(painter, location, motion, tmp_path) -> None:
    control = control_for(with_motion(load_base(location, device="cpu", dtype=torch.float32), _adapter(motion)))
    control.save_pretrained(tmp_path / "silent")
    for layer in control.silent:
        torch.nn.init.normal_(layer.weight, std=0.5)
    control.save_pretrained(tmp_path / "loud")
    start, order = frames(4), replace(ORDER, window=8)
    maps = np.random.default_rng(9).integers(0, 255, (4, 64, 64, 2), np.uint8)
    plain = painter.paint(location, order, 4, start=start, motion=motion).frames
    drawn = {
        name: painter.paint(location, order, 4, start=start, motion=motion, control=tmp_path / name, maps=maps).frames
        for name in ("silent", "loud")
    }
    assert all(np.array_equal(a, b) for a, b in zip(drawn["silent"], plain, strict=True))
    assert max(apart(a, b) for a, b in zip(drawn["loud"], plain, strict=True)) > 4


def test_taking_motion_off_again_leaves_the_pictures_as_they_were(painter, location, motion) -> None:
    start = frames(2)
    before = painter.paint(location, ORDER, 2, start=start).frames
    painter.paint(location, replace(ORDER, window=8), 2, start=start, motion=motion)
    assert all(
        np.array_equal(a, b) for a, b in zip(before, painter.paint(location, ORDER, 2, start=start).frames, strict=True)
    )


@pytest.mark.parametrize(
    ("more", "needs"),
    [({}, "frames to start from"), ({"control": Path("x"), "maps": np.zeros((2, 8, 8, 2), np.uint8)}, "motion")],
    ids=["nothing to start from", "control alone"],
)
def test_what_needs_motion_says_so(painter, location, more, needs) -> None:
    with pytest.raises(UserInputError, match=needs):
        painter.paint(location, ORDER, 2, **more)


def test_motion_that_is_not_there_or_damaged_is_named(painter, location, motion, tmp_path) -> None:
    with pytest.raises(NotFoundError, match="no motion weights"):
        painter.paint(location, ORDER, 2, start=frames(2), motion=tmp_path)
    for file in motion.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes()[: 200 if file.suffix == ".safetensors" else None])
    with pytest.raises(UnreadableMediaError, match="cannot be read"):
        painter.paint(location, ORDER, 2, start=frames(2), motion=tmp_path)


def _adapter(folder: Path) -> object:
    from studio.engines.diffusion.video.motion import read_motion

    return read_motion(folder)
