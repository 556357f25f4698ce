"""The convolutional autoencoder learns, goes on exactly, loads through diffusers, and saw only free pictures."""

from __future__ import annotations

import inspect
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from diffusers import AutoencoderDC
from PIL import Image
from safetensors.torch import load_file

from studio.errors import ConflictError, NotFoundError
from studio.factory.preview_base import codec_pictures
from studio.factory.preview_base.codec import HELD_OUT_SEED, CodecPlan, build_codec, encode, make_codec, psnr
from studio.factory.preview_base.codec_pictures import crop, dead_leaves
from studio.factory.preview_base.codec_start import folded, start_linear
from studio.factory.preview_base.drawing import eyes_and_mouth, render
from studio.factory.preview_base.people import sample_picture

CODEC = Path(__file__).resolve().parents[2] / "assets" / "base" / "vae"
TINY = CodecPlan(
    steps=60, batch=4, renders=4, textures=2, size=32, latent_channels=4,
    encoder_blocks=(0, 1, 1, 1), decoder_blocks=(0, 1, 1, 1),
)  # fmt: skip


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("codec")
    build_codec(folder / "vae", work_folder=folder / "work", plan=TINY)
    return folder


def test_a_short_training_lowers_the_error_on_renders_it_has_not_seen(trained: Path, tmp_path: Path) -> None:
    first = build_codec(None, work_folder=tmp_path, plan=TINY, stop_after_step=1)
    last = json.loads((trained / "vae" / "codec.json").read_text("utf-8"))
    assert last["steps"] == 60
    assert last["held_out_renders_db"] > first["held_out_renders_db"] + 0.2


def test_training_begins_with_the_best_linear_code() -> None:
    """The first weights give what a principal component analysis gives, but for small taps and the last rectifier."""
    rng = np.random.default_rng(5)
    pictures = np.stack([render(sample_picture(rng), 64)[0] for _ in range(12)])
    x = torch.from_numpy(pictures).permute(0, 3, 1, 2) / 127.5 - 1
    torch.manual_seed(2)
    model = make_codec(CodecPlan())
    before = psnr(model, pictures)
    start_linear(model, x)
    values = folded(x).movedim(1, -1).reshape(-1, 192).double()
    centered = values - values.mean(0)
    components = torch.linalg.svd(centered, full_matrices=False)[2][:16]
    rest = centered - centered @ components.T @ components
    best = float(10 * torch.log10(4 / (rest**2).reshape(12, -1).mean(1)).mean())
    assert before < 12
    assert psnr(model, pictures) > best - 3


def test_a_stopped_training_ends_with_the_weights_of_one_that_was_not(trained: Path, tmp_path: Path) -> None:
    build_codec(None, work_folder=tmp_path / "work", plan=TINY, stop_after_step=23)
    build_codec(tmp_path / "vae", work_folder=tmp_path / "work", plan=TINY)
    name = "diffusion_pytorch_model.safetensors"
    one, other = load_file(trained / "vae" / name), load_file(tmp_path / "vae" / name)
    assert one.keys() == other.keys()
    assert all(torch.equal(one[k], other[k]) for k in one)


def test_diffusers_loads_it_and_its_latents_have_spread_one(trained: Path) -> None:
    model = AutoencoderDC.from_pretrained(trained / "vae", torch_dtype=torch.float32, local_files_only=True)
    rng = np.random.default_rng(3)
    pictures = np.stack([render(sample_picture(rng), 128)[0] for _ in range(8)])
    x = torch.from_numpy(pictures).permute(0, 3, 1, 2) / 127.5 - 1
    with torch.no_grad():
        latents = encode(model, x)
        shown = model.decode(latents).sample
    assert latents.shape == (8, 4, 16, 16)
    assert 0.5 < float((latents * model.config.scaling_factor).std()) < 2
    assert shown.shape == x.shape
    assert str(trained) not in (trained / "vae" / "config.json").read_text("utf-8")


def test_another_plan_is_refused_and_no_checkpoint_is_said(trained: Path, tmp_path: Path) -> None:
    with pytest.raises(ConflictError):
        build_codec(None, work_folder=trained / "work", plan=replace(TINY, steps=61))
    with pytest.raises(NotFoundError):
        build_codec(tmp_path / "vae", work_folder=tmp_path / "work", plan=TINY, as_it_is=True)
    assert not (tmp_path / "vae").exists()


@pytest.mark.parametrize("name", codec_pictures.FREE_PICTURES)
def test_every_photograph_it_learns_from_is_free(name: str) -> None:
    import skimage.data

    words = (inspect.getdoc(getattr(skimage.data, name)) or "").lower().replace("\n", " ")
    assert "cc0" in words or "public domain" in words


def test_every_free_picture_is_there_without_a_download() -> None:
    found = codec_pictures.free_pictures()
    assert len(found) == len(codec_pictures.FREE_PICTURES)
    assert all(p.ndim == 3 and p.shape[2] == 3 and p.dtype == np.uint8 and min(p.shape[:2]) >= 128 for p in found)


def test_eyes_and_mouth_are_where_the_render_shows_them() -> None:
    picture = sample_picture(np.random.default_rng(8), expression="smiling", direction="straight", glasses="no")
    left, right, mouth = eyes_and_mouth(picture)
    assert left[0] < mouth[0] < right[0]
    assert abs(left[1] - right[1]) < 0.08
    assert mouth[1] > left[1] + 0.1
    # Teeth and the white of the eyes are the least colorful places of a face; between the eyes there is skin.
    drawn, _ = render(picture, 256)
    spread = drawn.astype(int).max(2) - drawn.astype(int).min(2)

    def least(place: np.ndarray) -> int:
        column, row = (place * 256).astype(int)
        return int(spread[row - 6 : row + 7, column - 10 : column + 11].min())

    between = (left + right) / 2
    assert max(least(left), least(right)) < least(between)


def test_places_follow_the_crop() -> None:
    rng = np.random.default_rng(2)
    picture = np.zeros((192, 192, 3), np.uint8)
    picture[60:64, 120:124] = 255
    place = np.array([[122 / 192, 62 / 192]], np.float32)
    seen = 0
    for _ in range(20):
        cut, moved = crop(picture, rng, 128, 0.5)
        x, y = moved(place)[0]
        if 0.05 < x < 0.95 and 0.05 < y < 0.95:
            rows, columns = np.nonzero(cut[..., 0] > 128)
            assert abs(columns.mean() / 128 - x) < 0.02
            assert abs(rows.mean() / 128 - y) < 0.02
            seen += 1
    assert seen > 3


def test_textures_are_made_by_rule_and_differ() -> None:
    one, again, other = (dead_leaves(np.random.default_rng(s)) for s in (1, 1, 2))
    assert np.array_equal(one, again)
    assert np.abs(one.astype(int) - other).mean() > 10


def test_the_autoencoder_that_ships_keeps_renders_and_the_sample_portrait(tmp_path: Path) -> None:
    record = json.loads((CODEC / "codec.json").read_text("utf-8"))
    assert record["steps"] == record["plan"]["steps"]
    assert record["held_out_renders_db"] >= 32
    assert sum(p.stat().st_size for p in CODEC.iterdir()) < 9e6
    model = AutoencoderDC.from_pretrained(CODEC, torch_dtype=torch.float32, local_files_only=True).eval()
    renders, _ = codec_pictures.cached_renders(tmp_path, HELD_OUT_SEED, 6)
    with Image.open(CODEC.parents[1] / "sample" / "astronaut.jpg", formats=["JPEG"]) as sample:
        face = np.asarray(sample.convert("RGB").resize((256, 256), Image.Resampling.BOX))[20:148, 60:188]
    shrunk = [np.asarray(Image.fromarray(p).resize((128, 128), Image.Resampling.BOX)) for p in renders]
    assert psnr(model, np.stack(shrunk)) > 31
    assert psnr(model, face[None]) > 29
