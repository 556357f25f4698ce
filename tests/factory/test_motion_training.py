"""Motion for the embedded base: clips that are made once, stages that continue exactly, a base that stays as it is."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="diffusion needs torch")

from studio.domain.anchor import Anchor  # noqa: E402
from studio.domain.base_model import BaseLocation  # noqa: E402
from studio.domain.performance import Performance  # noqa: E402
from studio.engines.diffusion.bases.loading import load_base  # noqa: E402
from studio.engines.diffusion.video.control import control_features, read_control  # noqa: E402
from studio.engines.diffusion.video.drawing import ClipRequest, draw_clip  # noqa: E402
from studio.engines.diffusion.video.motion import read_motion, with_motion  # noqa: E402
from studio.errors import ConflictError  # noqa: E402
from studio.factory.preview_base import clips, motion_training  # noqa: E402
from studio.factory.preview_base.clips import (  # noqa: E402
    FRAMES,
    ClipCache,
    clip_of_index,
    clip_pictures,
    fill_clips,
    maps_of,
    ready_clips,
    speaking_takes,
)
from studio.factory.preview_base.motion_training import STAGES, MotionPlan, build_motion  # noqa: E402

ASSETS = Path(__file__).resolve().parents[2] / "assets"
BASE, CODEC = ASSETS / "base", ASSETS / "base" / "vae"
TINY = MotionPlan(seed=3, clips=4, steps=dict.fromkeys(STAGES, 3), frames=4)


@pytest.fixture(scope="module")
def takes() -> tuple[Performance, ...]:
    return speaking_takes(ASSETS)


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    patch = pytest.MonkeyPatch()
    patch.setattr(clips, "SHARD_CLIPS", 2)
    folder: Path = tmp_path_factory.mktemp("motion")
    fill_clips(folder / "cache", TINY.seed, TINY.clips, CODEC, ASSETS)
    yield folder
    patch.undo()


def build(work: Path, out: Path, name: str, plan: MotionPlan = TINY, **changes):  # type: ignore[no-untyped-def]
    """Train in a folder of its own beside the clips."""
    return build_motion(out, base=BASE, work_folder=beside_clips(work, name), plan=plan, **changes)


def beside_clips(work: Path, name: str) -> Path:
    """Return a folder of its own for a training, with the clips that all of them share."""
    folder = work / name
    folder.mkdir(exist_ok=True)
    if not (folder / "cache").exists():
        (folder / "cache").symlink_to(work / "cache")
    return folder


@pytest.fixture(scope="module")
def trained(work: Path) -> Path:
    out = work / "made"
    build(work, out, "whole")
    return out


def test_a_clip_is_one_person_who_moves_smoothly(takes) -> None:
    found = [clip_of_index(1, n, takes) for n in range(12)]
    assert found[3] == clip_of_index(1, 3, takes)
    for clip in found:
        assert len(clip.pictures) == FRAMES
        assert {p.person for p in clip.pictures} == {clip.pictures[0].person}
        turns = np.diff([(p.yaw, p.pitch, p.roll) for p in clip.pictures], axis=0)
        assert np.abs(turns).max() < 25, "no frame jumps"
        assert all(clip.pictures[0].labels[name] == word for name, word in clip.labels.items())
    assert any("expression" not in clip.labels for clip in found)
    assert any("direction" not in clip.labels for clip in found)
    blinks = [dict(p.weights).get("eyeBlinkLeft", 0.0) for clip in found for p in clip.pictures]
    assert max(blinks) > 0.8
    jaws = [np.ptp([dict(p.weights).get("jawOpen", 0.0) for p in clip.pictures]) for clip in found]
    assert np.median(jaws) > 0.05, "most speak"


def test_held_out_speech_is_never_taught(takes) -> None:
    held = speaking_takes(ASSETS, held_out=True)
    assert held
    for take in held:
        assert all(not np.array_equal(take.weights[:8], other.weights[:8]) for other in takes)


def test_frames_are_drawn_finely_and_maps_lie_on_the_head(takes) -> None:
    clip = clip_of_index(1, 1, takes)
    pictures = clip_pictures(clip)
    assert pictures.shape == (FRAMES, 128, 128, 3)
    turned = [replace(clip.pictures[0], yaw=clip.pictures[0].yaw + step) for step in (0.0, 0.2)]
    fine = clip_pictures(replace(clip, pictures=tuple(turned))).astype(int)
    coarse = np.stack([clips.render(p, 128)[0] for p in turned]).astype(int)
    assert np.abs(fine[1] - fine[0]).max() < np.abs(coarse[1] - coarse[0]).max(), "edges jump less"
    maps = maps_of(clip.pictures[0])
    assert maps.shape == (2, 128, 128)
    _, face = clips.render(clip.pictures[0])
    assert (maps[0][face > 200] > 20).mean() > 0.95, "the head is where the face is"


def test_shards_are_made_once(work: Path, monkeypatch) -> None:
    assert ready_clips(work / "cache", TINY.seed, CODEC) == 4
    monkeypatch.setattr(clips, "speaking_takes", None)
    fill_clips(work / "cache", TINY.seed, TINY.clips, CODEC, ASSETS)
    kept = ClipCache(work / "cache", TINY.seed, 4, CODEC)
    assert kept.latents(3).shape == (FRAMES, 16, 16, 16)
    assert kept.maps(3).shape == (FRAMES, 2, 128, 128)
    with pytest.raises(FileNotFoundError):
        ClipCache(work / "cache", TINY.seed, 5, CODEC)


def test_every_stage_is_trained_and_written_as_the_engine_reads_it(trained: Path) -> None:
    record = json.loads((trained / "motion.json").read_text("utf-8"))
    assert {name: stage["steps"] for name, stage in record["stages"].items()} == dict.fromkeys(STAGES, 3)
    location = BaseLocation(
        name="preview", title="Preview", family="sd15", path=str(BASE), embedded=True, resolution=128,
        prediction_type="v_prediction",
    )  # fmt: skip
    loaded = load_base(location, device="cpu")
    weights = {name: read_motion(trained / name) for name in STAGES[1:]}
    moving = with_motion(loaded, weights["motion"])
    still = loaded.unet.state_dict()
    assert all(torch.equal(still[n], t) for n, t in moving.unet.state_dict().items() if n in still), "frozen"
    flat = {name: torch.cat([p.flatten() for p in adapter.parameters()]).detach() for name, adapter in weights.items()}
    assert not torch.equal(flat["anchored"], flat["equal"])
    assert torch.allclose(flat["anchored"], flat["motion"], atol=0.05), "both go on from the motion"
    assert float(flat["motion"].abs().sum()) > 0
    control = read_control(trained / "control")
    maps = torch.rand(FRAMES, 2, 128, 128)
    features = control_features(moving, control, maps)
    assert features
    assert any(float(f.abs().max()) > 0 for f in features.values()), "no longer silent"
    request = ClipRequest(
        prompt="a photo of a woman", seed=1, steps=2, guidance=2.0, width=128, height=128, frames=FRAMES,
        features=features, anchor=Anchor(),
    )  # fmt: skip
    assert len(draw_clip(moving, request).frames) == FRAMES


def test_a_run_that_was_stopped_ends_as_one_that_was_not(work: Path, trained: Path) -> None:
    for _ in range(2 * len(STAGES)):
        build(work, work / "parts", "parts", stop_after_step=2)
    build(work, work / "parts", "parts")
    for name in STAGES[1:]:
        whole, parts = read_motion(trained / name).state_dict(), read_motion(work / "parts" / name).state_dict()
        assert all(torch.equal(whole[key], parts[key]) for key in whole)


def test_another_plan_is_refused(work: Path, trained: Path) -> None:
    with pytest.raises(ConflictError):
        build(work, work / "other", "whole", replace(TINY, steered=0.9))


def test_a_run_goes_on_from_the_weights_of_an_earlier_one(work: Path, trained: Path) -> None:
    folder = work / "onward"
    folder.mkdir()
    (folder / "cache").symlink_to(work / "cache")
    run = motion_training._MotionRun(TINY, BASE, folder, trained)
    run.begin("control")
    given = read_control(trained / "control").state_dict()
    assert all(torch.allclose(value, given[name].float()) for name, value in run.control.state_dict().items())
    run._save("control")
    run.begin("motion")
    motion = {name: value.float() for name, value in read_motion(trained / "motion").state_dict().items()}
    assert all(torch.allclose(value, motion[name]) for name, value in run.moving.state_dict().items() if name in motion)
    with pytest.raises(ConflictError):
        build(work, work / "onward-made", "onward", start=None)


def test_a_plan_of_more_effort_takes_more_steps() -> None:
    assert TINY.times(2.5).steps == dict.fromkeys(STAGES, 8)
    assert MotionPlan().times(0.00001).steps == dict.fromkeys(STAGES, 1)


def test_the_anchors_loss_leaves_the_anchor_out_and_control_teaches_only_itself(work: Path) -> None:
    folder = work / "alone"
    build(work, work / "control-made", "alone", until="control")
    assert {p.name for p in (work / "control-made").iterdir()} == {"control", "motion.json"}
    assert not (folder / "motion").exists()


def test_motion_modules_change_nothing_before_they_are_trained(work: Path) -> None:
    run = motion_training._MotionRun(TINY, BASE, beside_clips(work, "untrained"))
    latents = torch.randn(1, 16, 4, 16, 16, generator=torch.Generator().manual_seed(0))
    words = torch.zeros(4, 77, run.still.config.cross_attention_dim)
    with torch.inference_mode():
        moving = run.moving(latents, torch.tensor([500]), encoder_hidden_states=words).sample
        still = run.still(latents[0].transpose(0, 1), torch.tensor([500]), encoder_hidden_states=words).sample
    assert torch.allclose(moving[0].transpose(0, 1), still, atol=1e-5)


def test_a_clip_is_painted_with_the_motion_and_the_control_that_were_trained(trained: Path) -> None:
    from studio.engines.base_video import ClipOrder
    from studio.engines.diffusion.drawing.generator import DiffusionGenerator
    from studio.engines.diffusion.video.painter import DiffusionPainter

    location = BaseLocation(
        name="preview", title="Preview", family="sd15", path=str(BASE), embedded=True, resolution=128,
        prediction_type="v_prediction",
    )  # fmt: skip
    rng = np.random.default_rng(0)
    start = list(rng.integers(0, 255, (7, 128, 128, 3)).astype(np.uint8))
    order = ClipOrder(
        prompt="a photo of a man", seed=1, steps=4, guidance=1.5, width=128, height=128, denoise=0.5,
        anchor=Anchor(index=3, drop=True),
    )  # fmt: skip
    painted = DiffusionPainter(DiffusionGenerator()).paint(
        location, order, 7, start=start, photo=start[0], motion=trained / "motion", control=trained / "control",
        maps=rng.integers(0, 255, (7, 128, 128, 2)).astype(np.uint8),
    )  # fmt: skip
    assert len(painted.frames) == 6
    assert painted.frames[0].shape == (128, 128, 3)


@pytest.mark.parametrize("middle", [True, False])
def test_motion_of_the_real_shapes_fits_key_for_key(middle: bool) -> None:
    """AnimateDiff's own sizes on Stable Diffusion 1.5's, without memory: 1.5.2 has motion in the middle, 1.5.3 not."""
    from diffusers import MotionAdapter, UNet2DConditionModel, UNetMotionModel

    widths = (320, 640, 1280, 1280)
    with torch.device("meta"):
        unet = UNet2DConditionModel(block_out_channels=widths, cross_attention_dim=768, attention_head_dim=8)
        adapter = MotionAdapter(block_out_channels=widths, use_motion_mid_block=middle)
        moving = UNetMotionModel(
            block_out_channels=widths, cross_attention_dim=768, use_motion_mid_block=middle,
            motion_num_attention_heads=8,
        )  # fmt: skip
    shapes = {name: tuple(p.shape) for name, p in moving.named_parameters()}
    for part in (unet, adapter):
        assert {n: tuple(p.shape) for n, p in part.named_parameters()}.items() <= shapes.items()
    motion = {n for n in shapes if "motion_modules" in n}
    assert {n for n, _ in adapter.named_parameters()} == motion
