"""Drawing: what must hold for any weights, on random tiny bases of both families."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from studio.domain.adapter import AdapterFile
from studio.domain.base_model import FAMILY
from studio.engines.base_diffusion import PictureOrder
from studio.engines.diffusion.bases.inspecting import inspect_base
from studio.engines.diffusion.bases.loading import load_base, text_to_image
from studio.engines.diffusion.drawing import generator as generator_module
from studio.engines.diffusion.drawing import wardrobe as wardrobe_module
from studio.engines.diffusion.drawing.generator import DiffusionGenerator
from studio.engines.diffusion.drawing.sampling import check_size, decode_latents, draw, encode_picture, fit
from studio.errors import EngineError, OutOfMemoryError, UserInputError
from tests.engines.diffusion.tiny_base import write_tiny_base

FAMILIES = tuple(FAMILY)
NUMBERS = {"seed": 5, "steps": 5, "guidance": 3.0, "width": 64, "height": 64}


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    made = tmp_path_factory.mktemp("drawing")
    folders = {family: write_tiny_base(made / family, family) for family in FAMILIES}
    return folders | {"v": write_tiny_base(made / "v", v_prediction=True)}


@pytest.fixture(scope="module")
def loaded(folders):
    return {name: load_base(inspect_base(folder)) for name, folder in folders.items()}


@pytest.fixture(scope="module")
def photo():
    return np.random.default_rng(1).integers(0, 255, (96, 80, 3), np.uint8)


@pytest.fixture(scope="module")
def square_mask():
    mask = np.zeros((96, 80), np.uint8)
    mask[30:70, 20:60] = 255
    return mask


@pytest.mark.parametrize("name", [*FAMILIES, "v"])
def test_same_seed_same_picture(loaded, name) -> None:
    one, other = (draw(loaded[name], "a photo", **NUMBERS)[0] for _ in range(2))
    assert one.shape == (64, 64, 3)
    assert one.dtype == np.uint8
    assert np.array_equal(one, other)
    assert not np.array_equal(one, draw(loaded[name], "a photo", **NUMBERS | {"seed": 6})[0])


@pytest.mark.parametrize("name", FAMILIES)
def test_a_picture_of_a_batch_is_the_single_one_with_its_seed(loaded, name) -> None:
    batch = draw(loaded[name], "a photo", **NUMBERS, count=3)
    for i, picture in enumerate(batch):
        assert np.array_equal(picture, draw(loaded[name], "a photo", **NUMBERS | {"seed": 5 + i})[0])
    together = draw(loaded[name], "a photo", **NUMBERS, count=3, together=3)
    difference = np.abs(np.array(batch, int) - np.array(together, int))
    assert difference.max() <= 1, "other kernels may round the last bit differently, no more"


@pytest.mark.parametrize("name", FAMILIES)
def test_our_loop_draws_what_the_librarys_pipeline_draws(loaded, name) -> None:
    import torch

    base = loaded[name]
    noise = torch.randn(1, 4, 16, 16, generator=torch.Generator().manual_seed(5))
    for negative in ("", "angry"):
        ours = draw(base, "a photo of sks", negative=negative, **NUMBERS)[0]
        theirs = text_to_image(base)(
            "a photo of sks", negative_prompt=negative or None, latents=noise, num_inference_steps=5,
            guidance_scale=3.0, width=64, height=64, output_type="np",
        ).images[0]  # fmt: skip
        assert np.abs(ours / 255.0 - theirs).max() <= 0.51 / 255


def test_negative_prompt_and_guidance_matter(loaded) -> None:
    base = loaded["sd15"]
    plain = draw(base, "a photo", **NUMBERS)[0]
    assert not np.array_equal(plain, draw(base, "a photo", negative="glasses", **NUMBERS)[0])
    assert not np.array_equal(plain, draw(base, "a photo", **NUMBERS | {"guidance": 6.0})[0])
    alone = NUMBERS | {"guidance": 1.0}
    assert np.array_equal(draw(base, "a photo", **alone)[0], draw(base, "a photo", negative="glasses", **alone)[0])


@pytest.mark.parametrize("name", FAMILIES)
def test_the_last_words_of_a_long_prompt_change_the_picture(loaded, name) -> None:
    long = "a photo of a person with " + "long red hair and " * 40
    one, other = (draw(loaded[name], long + last, **NUMBERS)[0] for last in ("smiling", "angry"))
    assert not np.array_equal(one, other)


@given(width=st.integers(1, 2200), height=st.integers(1, 2200))
@settings(deadline=None)
def test_sizes_are_multiples_of_eight_or_refused(width, height) -> None:
    if width % 8 or height % 8 or not (32 <= width <= 2048 and 32 <= height <= 2048):
        with pytest.raises(UserInputError) as caught:
            check_size(width, height)
        assert caught.value.message.endswith(".")
        assert caught.value.hint
    else:
        check_size(width, height)


def test_any_size_of_the_range_is_drawn(loaded) -> None:
    assert draw(loaded["sd15"], "a", **NUMBERS | {"width": 40, "height": 72})[0].shape == (72, 40, 3)


@pytest.mark.parametrize(
    "wrong",
    [
        {"seed": -1}, {"seed": 2**63}, {"steps": 0}, {"steps": 151}, {"guidance": 0.5}, {"guidance": float("nan")},
        {"denoise": 0.0}, {"denoise": 1.5}, {"count": 0}, {"mask": np.zeros((64, 64), np.uint8)},
        {"source": np.zeros((64, 64, 3), np.uint8), "mask": np.zeros((32, 64), np.uint8)},
    ],
)  # fmt: skip
def test_numbers_that_cannot_be_are_refused(loaded, wrong) -> None:
    with pytest.raises(UserInputError) as caught:
        draw(loaded["sd15"], "a", **NUMBERS | wrong)
    assert caught.value.hint


# -- changing pictures -------------------------------------------------------------------------


@pytest.mark.parametrize("name", [*FAMILIES, "v"])
def test_outside_the_mask_not_a_pixel_changes(loaded, photo, square_mask, name) -> None:
    picture = draw(loaded[name], "a", **NUMBERS, source=photo, mask=square_mask, denoise=1.0)[0]
    origin, mask = fit(photo, 64, 64), fit(square_mask, 64, 64)
    assert np.array_equal(picture[mask == 0], origin[mask == 0])
    assert (picture[mask == 255] != origin[mask == 255]).mean() > 0.5


def test_an_empty_mask_gives_the_photo_back(loaded, photo) -> None:
    nothing = np.zeros(photo.shape[:2], np.uint8)
    picture = draw(loaded["sd15"], "a", **NUMBERS, source=photo, mask=nothing, denoise=0.7)[0]
    assert np.array_equal(picture, fit(photo, 64, 64))


def test_the_more_is_kept_the_nearer_the_source(loaded, photo) -> None:
    import torch

    base = loaded["sd15"]
    with torch.inference_mode():
        kept = decode_latents(base, encode_picture(base, fit(photo, 64, 64)))[0].astype(int)
    numbers = NUMBERS | {"steps": 20, "guidance": 1.0}
    changed = (draw(base, "a", **numbers, source=photo, denoise=d)[0].astype(int) for d in (0.05, 1.0))
    near, far = (np.abs(picture - kept).mean() for picture in changed)
    assert near < far


def test_full_denoise_without_a_mask_forgets_the_source(loaded, photo) -> None:
    base = loaded["sd15"]
    assert np.array_equal(draw(base, "a", **NUMBERS, source=photo)[0], draw(base, "a", **NUMBERS)[0])


def test_only_its_share_of_the_steps_is_made(loaded, photo) -> None:
    heard = []
    draw(loaded["sd15"], "a", **NUMBERS | {"steps": 10}, source=photo, denoise=0.4, on_step=lambda *x: heard.append(x))
    assert [(step, steps) for step, steps, _ in heard] == [(i, 4) for i in range(1, 5)]


def test_latents_of_any_number_of_channels_are_inpainted(photo, square_mask, tmp_path) -> None:
    """The autoencoder of the embedded base has 12 channels; a random one stands for it here."""
    import json

    from diffusers import AutoencoderKL, UNet2DConditionModel

    folder = write_tiny_base(tmp_path / "wide")
    for part, kind, changes in (
        ("vae", AutoencoderKL, {"latent_channels": 12}),
        ("unet", UNet2DConditionModel, {"in_channels": 12, "out_channels": 12}),
    ):
        config = json.loads((folder / part / "config.json").read_text())
        kind.from_config(config | changes).save_pretrained(folder / part)
    base = load_base(inspect_base(folder))
    assert base.latent_channels == 12
    picture = draw(base, "a", **NUMBERS, source=photo, mask=square_mask, denoise=0.8)[0]
    outside = fit(square_mask, 64, 64) == 0
    assert np.array_equal(picture[outside], fit(photo, 64, 64)[outside])


# -- progress, trouble ---------------------------------------------------------------------------


def test_previews_are_few_and_steps_are_counted_over_the_batch(loaded) -> None:
    heard = []
    draw(loaded["sd15"], "a", **NUMBERS | {"steps": 10}, count=2, on_step=lambda *x: heard.append(x), previews=True)
    assert [x[:2] for x in heard] == [(i, 20) for i in range(1, 21)]
    shown = [x[2] for x in heard if x[2] is not None]
    assert 4 <= len(shown) <= 10
    assert all(p.ndim == 3 and p.dtype == np.uint8 for p in shown)


def test_watching_changes_nothing(loaded) -> None:
    watched = draw(loaded["sd15"], "a", **NUMBERS, on_step=lambda *x: None, previews=True)[0]
    assert np.array_equal(watched, draw(loaded["sd15"], "a", **NUMBERS)[0])


def test_what_on_step_raises_ends_the_drawing(loaded) -> None:
    class Enough(Exception):
        pass

    steps = []

    def stop(step, steps_in_all, preview):
        steps.append(step)
        if step == 2:
            raise Enough

    with pytest.raises(Enough):
        draw(loaded["sd15"], "a", **NUMBERS, on_step=stop)
    assert steps == [1, 2]


def test_broken_weights_are_said_not_shown(folders) -> None:
    base = load_base(inspect_base(folders["sd15"]))
    next(base.unet.parameters()).data.fill_(float("nan"))
    with pytest.raises(EngineError, match="not-a-number") as caught:
        draw(base, "a", **NUMBERS)
    assert "fp32" in caught.value.hint
    base = load_base(inspect_base(folders["sd15"]))
    base.vae.decoder.conv_out.weight.data.fill_(0.0)
    base.vae.decoder.conv_out.bias.data.fill_(-2.0)
    with pytest.raises(EngineError, match="black"):
        draw(base, "a", **NUMBERS)


def test_out_of_memory_names_the_size(loaded, monkeypatch) -> None:
    def refuse(*arguments, **options):
        raise RuntimeError("[enforce fail at alloc_cpu.cpp] DefaultCPUAllocator: can't allocate memory")

    monkeypatch.setattr(loaded["sd15"].unet, "forward", refuse)
    with pytest.raises(OutOfMemoryError, match="64 x 64") as caught:
        draw(loaded["sd15"], "a", **NUMBERS)
    assert caught.value.hint


# -- the generator -------------------------------------------------------------------------------


def order(**changes) -> PictureOrder:
    return PictureOrder(**{"prompt": "a photo", "seed": 5, "steps": 4, "guidance": 3.0, **changes})


def test_the_generator_loads_once_and_draws_one_after_the_other(folders, loaded, monkeypatch) -> None:
    loads = []
    monkeypatch.setattr(wardrobe_module, "load_base", lambda location: loads.append(location) or load_base(location))
    generator = DiffusionGenerator()
    location = inspect_base(folders["sd15"])
    pictures = generator.generate(location, order(count=3))
    first = next(pictures)
    assert np.array_equal(first, draw(loaded["sd15"], "a photo", **NUMBERS | {"steps": 4})[0])
    rest = list(pictures)
    again = list(generator.generate(location, order(seed=6, count=2)))
    assert np.array_equal(np.array(rest), np.array(again))
    assert len(loads) == 1
    list(generator.generate(inspect_base(folders["sdxl"]), order()))
    assert np.array_equal(first, next(generator.generate(location, order())))
    assert len(loads) == 3


def test_after_running_out_of_memory_a_smaller_picture_is_drawn(folders, monkeypatch) -> None:
    real = generator_module.sampling.draw

    def draw_or_refuse(base, prompt, **options):
        if options["width"] > 64:
            raise OutOfMemoryError("Too large.")
        return real(base, prompt, **options)

    monkeypatch.setattr(generator_module.sampling, "draw", draw_or_refuse)
    generator = DiffusionGenerator()
    location = inspect_base(folders["sd15"])
    first = next(generator.generate(location, order()))
    with pytest.raises(OutOfMemoryError):
        next(generator.generate(location, order(width=128)))
    assert np.array_equal(first, next(generator.generate(location, order())))


def test_the_generator_stops_between_steps(folders) -> None:
    heard = []
    pictures = DiffusionGenerator().generate(
        inspect_base(folders["sd15"]), order(count=3), on_step=lambda *x: heard.append(x[:2]),
        should_stop=lambda: len(heard) == 6,
    )  # fmt: skip
    assert len(list(pictures)) == 1
    assert heard == [(i, 12) for i in range(1, 7)]


def test_an_adapter_changes_the_picture_and_leaves_no_trace(folders, tmp_path) -> None:
    path = noisy_adapter(folders["sd15"], tmp_path / "a.safetensors")
    location = inspect_base(folders["sd15"])
    generator = DiffusionGenerator()
    bare = next(generator.generate(location, order()))
    dressed = next(generator.generate(location, order(), [AdapterFile(path=str(path), name="ann", strength=1.0)]))
    assert not np.array_equal(bare, dressed)
    half = next(generator.generate(location, order(), [AdapterFile(path=str(path), name="ann", strength=0.5)]))
    assert not np.array_equal(half, dressed)
    none = next(generator.generate(location, order(), [AdapterFile(path=str(path), name="ann", strength=0.0)]))
    assert np.array_equal(bare, none)
    assert np.array_equal(bare, next(generator.generate(location, order())))


def test_an_adapter_that_does_not_fit_leaves_a_usable_generator(folders, tmp_path) -> None:
    path = noisy_adapter(folders["sdxl"], tmp_path / "xl.safetensors")
    location = inspect_base(folders["sd15"])
    generator = DiffusionGenerator()
    bare = next(generator.generate(location, order()))
    with pytest.raises(UserInputError):
        next(generator.generate(location, order(), [AdapterFile(path=str(path), name="xl")]))
    assert np.array_equal(bare, next(generator.generate(location, order())))


def noisy_adapter(folder, path):
    """Write a LoRA of random numbers for a base's attention layers."""
    import torch
    from peft import LoraConfig, get_peft_model_state_dict

    from studio.domain.adapter import AdapterMetadata
    from studio.engines.diffusion.adapters.files import save_adapter

    location = inspect_base(folder)
    base = load_base(location)
    config = LoraConfig(r=4, lora_alpha=8, init_lora_weights=False, target_modules=["to_q", "to_v"])
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        base.unet.add_adapter(config)
    tensors = {f"unet.{k}": v.detach() for k, v in get_peft_model_state_dict(base.unet).items()}
    save_adapter(path, tensors, configs={"unet": config}, metadata=AdapterMetadata(family=location.family))
    return path
