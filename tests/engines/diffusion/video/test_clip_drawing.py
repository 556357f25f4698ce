"""Clips of a random base: the anchor is the picture of its prompt and seed, in long clips too, or a photo."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from studio.domain.anchor import Anchor
from studio.domain.base_model import BaseLocation
from studio.engines.diffusion.bases.inspecting import inspect_base
from studio.engines.diffusion.bases.loading import LoadedBase, load_base
from studio.engines.diffusion.drawing.sampling import decode_latents, draw, encode_picture, noise_of
from studio.engines.diffusion.video import drawing
from studio.engines.diffusion.video.anchoring import motion_modules
from studio.engines.diffusion.video.drawing import ClipRequest, clip_noise, draw_clip
from studio.engines.diffusion.video.motion import with_motion
from studio.engines.diffusion.video.windows import Window, predicted, windows
from studio.errors import UserInputError
from tests.engines.diffusion.tiny_base import write_tiny_base

TABLE = 8
REQUEST = ClipRequest(
    "a photo of sks person", seed=3, steps=4, guidance=3.0, width=32, height=32, frames=6, window=TABLE
)


def _motion(loaded: LoadedBase, seed: int = 1) -> Any:
    from diffusers import MotionAdapter

    config = loaded.unet.config
    torch.manual_seed(seed)
    return MotionAdapter(
        block_out_channels=config.block_out_channels, motion_layers_per_block=config.layers_per_block,
        motion_num_attention_heads=4, motion_norm_num_groups=8, motion_max_seq_length=TABLE, use_motion_mid_block=True,
    )  # fmt: skip


@pytest.fixture(scope="module")
def still(tmp_path_factory: pytest.TempPathFactory) -> LoadedBase:
    folder = write_tiny_base(tmp_path_factory.mktemp("base"), "sd15", v_prediction=True)
    location: BaseLocation = inspect_base(folder)
    return load_base(location, device="cpu", dtype=torch.float32)


@pytest.fixture(scope="module")
def moving(still: LoadedBase) -> LoadedBase:
    return with_motion(still, _motion(still))


def _picture(still: LoadedBase, request: ClipRequest) -> np.ndarray:
    return draw(
        still, request.prompt, negative=request.negative, seed=request.seed, steps=request.steps,
        guidance=request.guidance, width=request.width, height=request.height,
    )[0]  # fmt: skip


def _apart(a: np.ndarray, b: np.ndarray) -> int:
    return int(np.abs(a.astype(int) - b.astype(int)).max())


@pytest.mark.parametrize("frames", [1, 6, 19], ids=["alone", "one window", "windows"])
def test_the_anchor_is_the_picture_of_the_same_prompt_and_seed(
    still: LoadedBase, moving: LoadedBase, frames: int
) -> None:
    request = replace(REQUEST, frames=frames, overlap=2)
    clip = draw_clip(moving, request)
    assert len(clip.frames) == frames
    assert clip.anchor is not None
    assert _apart(clip.anchor, _picture(still, request)) <= 1, "rounding of another batch"
    assert np.array_equal(clip.anchor, clip.frames[Anchor().frame(frames)])
    assert (clip.worst_border is None) == (frames <= TABLE)


def test_without_an_anchor_the_motion_spoils_every_frame(still: LoadedBase, moving: LoadedBase) -> None:
    """The same noise at the same place, and yet another picture: what the anchor is there for."""
    clip = draw_clip(moving, replace(REQUEST, anchor=Anchor(strength=0)))
    assert clip.anchor is not None
    assert _apart(clip.anchor, _picture(still, REQUEST)) > 10


def test_the_same_seed_draws_the_same_clip_and_another_another(moving: LoadedBase) -> None:
    one, two, other = (draw_clip(moving, replace(REQUEST, seed=s)).frames for s in (3, 3, 4))
    assert all(np.array_equal(a, b) for a, b in zip(one, two, strict=True))
    assert not any(np.array_equal(a, b) for a, b in zip(one, other, strict=True))


def test_the_anchor_can_be_left_out_of_the_finished_clip(moving: LoadedBase) -> None:
    whole, less = (draw_clip(moving, replace(REQUEST, anchor=Anchor(index=4, drop=d))) for d in (False, True))
    assert len(less.frames) == len(whole.frames) - 1
    assert np.array_equal(less.anchor, whole.frames[4])
    assert np.array_equal(less.frames[4], whole.frames[5])


def test_shared_noise_is_the_picture_s_and_keeps_its_size(still: LoadedBase) -> None:
    request = replace(REQUEST, frames=3, width=256, height=256, anchor=Anchor(index=0))
    common = noise_of(still, 3, 256, 256)[0]
    for shared in (0.0, 0.5, 1.0):
        noise = clip_noise(still, replace(request, shared=shared))
        assert torch.equal(noise[0, :, 0], common)
        assert abs(float(noise[0, :, 2].var()) - 1) < 0.05
        alike = float(torch.corrcoef(torch.stack([noise[0, :, 2].flatten(), common.flatten()]))[0, 1])
        assert abs(alike - shared**0.5) < 0.05


def test_a_clip_to_start_from_is_kept_more_the_less_may_change(moving: LoadedBase) -> None:
    start = draw_clip(moving, replace(REQUEST, seed=9)).frames
    through = [decode_latents(moving, encode_picture(moving, p))[0] for p in start]
    apart = []
    for denoise in (0.25, 0.5, 1.0):
        drawn = draw_clip(moving, replace(REQUEST, steps=8, start=start, denoise=denoise)).frames
        apart.append(np.mean([np.abs(a.astype(int) - b) for a, b in zip(drawn, through, strict=True)]))
    assert apart[0] < apart[1] < apart[2]


def test_a_photo_can_be_the_anchor(moving: LoadedBase) -> None:
    photo = np.random.default_rng(1).integers(0, 256, (40, 32, 3), np.uint8)
    clip = draw_clip(moving, replace(REQUEST, photo=photo, frames=11, overlap=1))
    cut = photo[4:36]
    assert np.array_equal(clip.anchor, decode_latents(moving, encode_picture(moving, cut))[0])
    other = draw_clip(moving, replace(REQUEST, photo=255 - photo, frames=11, overlap=1))
    assert all(not np.array_equal(a, b) for a, b in zip(clip.frames, other.frames, strict=True)), "all frames read it"


class _Gaussian(torch.nn.Module):
    """The exact answer where all pictures are noise of half the size: what can be inverted, unlike a random network."""

    def __init__(self, unet: Any, alphas: torch.Tensor) -> None:
        super().__init__()
        self.config, self.alphas = unet.config, alphas

    def forward(self, noisy: torch.Tensor, time: torch.Tensor, **_: Any) -> tuple[torch.Tensor]:
        kept = self.alphas[int(time)]
        finished = noisy * kept.sqrt() * 0.25 / (kept * 0.25 + 1 - kept)
        return ((kept.sqrt() * noisy - finished) / (1 - kept).sqrt(),)  # as a velocity


def test_an_inverted_photo_is_drawn_again_the_closer_the_more_steps(
    moving: LoadedBase, monkeypatch: pytest.MonkeyPatch
) -> None:
    from contextlib import nullcontext

    from diffusers import DDIMScheduler

    schedule = {**moving.sampler_config, "rescale_betas_zero_snr": False}
    alphas = DDIMScheduler.from_config(schedule).alphas_cumprod
    base = replace(moving, unet=_Gaussian(moving.unet, alphas), sampler_config=schedule)
    monkeypatch.setattr("studio.engines.diffusion.video.anchoring.steered", lambda *_: nullcontext())
    photo = np.random.default_rng(1).integers(0, 256, (32, 32, 3), np.uint8)
    wanted = encode_picture(base, photo)
    errors = []
    for steps in (10, 25, 100):
        request = replace(REQUEST, photo=photo, photo_by="inversion", steps=steps, guidance=1.0)
        found = drawing._ClipLoop(base, request).run(None)[:, :, 2]
        errors.append(float((found - wanted).norm() / wanted.norm()))
    assert errors[0] > errors[1] > errors[2]
    assert errors[2] < 0.1


def test_control_changes_every_frame_and_may_be_one_for_all(moving: LoadedBase) -> None:
    name = next(n for n in motion_modules(moving.unet) if n.startswith("down_blocks"))
    width = motion_modules(moving.unet)[name].in_channels
    plain = draw_clip(moving, REQUEST)
    for frames in (1, REQUEST.frames):
        steered = draw_clip(moving, replace(REQUEST, features={name: torch.full((frames, width, 1, 1), 2.0)}))
        assert all(not np.array_equal(a, b) for a, b in zip(plain.frames, steered.frames, strict=True))
    zero = draw_clip(moving, replace(REQUEST, features={name: torch.zeros(1, width, 1, 1)}))
    assert all(np.array_equal(a, b) for a, b in zip(plain.frames, zero.frames, strict=True))


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"window": TABLE + 1}, "this motion knows 8"),
        ({"shared": 1.5}, "share 1.5 of their noise"),
        ({"start": [np.zeros((32, 32, 3), np.uint8)] * 2}, "2 frames, the new one 6"),
        ({"photo": np.zeros((32, 32, 3), np.uint8), "anchor": None}, "the clip has none"),
        ({"anchor": Anchor(index=6)}, "cannot be the anchor"),
        ({"features": {"x": torch.zeros(2, 1, 1, 1)}}, "has 2 frames, the clip 6"),
        ({"frames": 0}, "0 pictures"),
        ({"frames": 20, "window": 4, "overlap": 3}, "share at most 2"),
        ({"steps": 0}, "0 steps"),
    ],
)
def test_what_cannot_be_drawn_is_one_sentence(moving: LoadedBase, wrong: dict[str, Any], said: str) -> None:
    with pytest.raises(UserInputError, match=said):
        draw_clip(moving, replace(REQUEST, **wrong))


def test_motion_of_another_family_is_refused(still: LoadedBase, moving: LoadedBase) -> None:
    from diffusers import MotionAdapter

    other = MotionAdapter(block_out_channels=(8, 16), motion_num_attention_heads=4, motion_norm_num_groups=8)
    with pytest.raises(UserInputError, match="widths 8, 16"):
        with_motion(still, other)
    layers = MotionAdapter(
        block_out_channels=still.unet.config.block_out_channels, motion_layers_per_block=3,
        motion_num_attention_heads=4, motion_norm_num_groups=8,
    )  # fmt: skip
    with pytest.raises(UserInputError, match="layers per block"):
        with_motion(still, layers)
    assert type(still.unet).__name__ == "UNet2DConditionModel"


def test_a_step_that_is_stopped_leaves_the_model_as_it_was(moving: LoadedBase) -> None:
    before = draw_clip(moving, REQUEST).frames

    def stop(step: int, steps: int) -> None:
        if step == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        draw_clip(moving, REQUEST, stop)
    assert all(np.array_equal(a, b) for a, b in zip(before, draw_clip(moving, REQUEST).frames, strict=True))


@given(st.integers(1, 120), st.data())
def test_windows_show_every_frame_and_the_anchor_everywhere(frames: int, data: st.DataObject) -> None:
    size = data.draw(st.integers(3, 32))
    overlap = data.draw(st.integers(0, size - 2))
    anchor = data.draw(st.none() | st.integers(0, frames - 1))
    pieces = windows(frames, anchor, size, overlap)
    assert {f for p in pieces for f in p.own} == set(range(frames))
    for piece in pieces:
        assert len(piece.frames) <= size
        assert list(piece.frames) == sorted(set(piece.frames))
        assert anchor is None or piece.frames[piece.anchor] == anchor
    for left, right in pairwise(pieces):
        assert len(set(left.own) & set(right.own)) >= overlap


def test_pieces_laid_over_each_other_are_the_whole_where_they_agree() -> None:
    latents = torch.randn(1, 2, 21, 3, 3, generator=torch.Generator().manual_seed(1))
    pieces = windows(21, 9, 8, 3)
    out, worst = predicted(latents, pieces, lambda part, piece: part * 2)
    assert torch.allclose(out, latents * 2)
    assert worst is not None
    assert worst.apart == 0


def test_the_worst_border_is_named() -> None:
    latents = torch.ones(1, 1, 20, 2, 2)
    pieces = windows(20, None, 8, 2)

    def predict(part: torch.Tensor, piece: Window) -> torch.Tensor:
        return part * (3 if piece is pieces[-1] else 1)

    _, worst = predicted(latents, pieces, predict)
    assert worst is not None
    assert worst.frame in set(pieces[-1].own) & set(pieces[-2].own)
    assert abs(worst.apart - 1) < 1e-6  # 3 against 1, relative to their mean of 2
