"""Base models: what is here, what is wrong with it, and that loading gives what was written."""

from __future__ import annotations

import hashlib
import json
import shutil
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from studio.domain.base_model import FAMILY
from studio.engines.diffusion import runtime
from studio.engines.diffusion.bases import single_file, single_file_loading
from studio.engines.diffusion.bases.header import read_header, weights_sha256
from studio.engines.diffusion.bases.inspecting import component_weights, inspect_base
from studio.engines.diffusion.bases.loading import load_base, text_to_image
from studio.engines.diffusion.bases.prompts import chunk_count, encode_prompts
from studio.errors import EngineError, NotFoundError, StudioError, UnreadableMediaError, UserInputError
from tests.engines.diffusion.original_layout import write_single_file
from tests.engines.diffusion.tiny_base import RESOLUTION, tiny_location, tiny_text_width, write_tiny_base

FAMILIES = tuple(FAMILY)


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    return {family: write_tiny_base(tmp_path_factory.mktemp("bases") / family, family) for family in FAMILIES}


@pytest.fixture(scope="module")
def loaded(folders):
    return {family: load_base(inspect_base(folder)) for family, folder in folders.items()}


@pytest.fixture
def copied(folders, tmp_path):
    return {family: shutil.copytree(folder, tmp_path / f"my {family}") for family, folder in folders.items()}


@pytest.mark.parametrize("family", FAMILIES)
def test_a_folder_says_what_it_is(folders, family) -> None:
    location = inspect_base(folders[family])
    assert (location.family, location.resolution, location.is_file) == (family, RESOLUTION, False)
    assert location.name == family
    assert location.sha256 == weights_sha256(folders[family] / "unet" / "diffusion_pytorch_model.safetensors")


def test_looking_at_a_base_needs_no_torch(folders) -> None:
    import subprocess

    code = (
        "import sys; from pathlib import Path; from studio.engines.diffusion.bases.inspecting import inspect_base;"
        f"inspect_base(Path({str(folders['sdxl'])!r})); print('torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


@pytest.mark.parametrize("family", FAMILIES)
def test_loading_gives_frozen_modules_that_a_pipeline_shares(loaded, family) -> None:
    base = loaded[family]
    assert not any(p.requires_grad for module in base.modules for p in module.parameters())
    assert not any(module.training for module in base.modules)
    pipeline = text_to_image(base)
    assert pipeline.unet is base.unet
    assert pipeline.vae is base.vae
    assert base.noise_scheduler.config.prediction_type == "epsilon"
    assert base.latent_factor == 4


@pytest.mark.parametrize("family", FAMILIES)
def test_every_load_is_fresh(folders, loaded, family) -> None:
    again = load_base(inspect_base(folders[family]))
    assert again.unet is not loaded[family].unet
    ours, theirs = again.unet.state_dict(), loaded[family].unet.state_dict()
    assert all(bool((ours[k] == theirs[k]).all()) for k in theirs)


# -- what may be wrong with a folder ---------------------------------------------------------


def refused(path: Path, kind: type[StudioError] = UserInputError) -> StudioError:
    with pytest.raises(kind) as caught:
        inspect_base(path)
    assert caught.value.message.endswith(".")
    assert caught.value.hint
    return caught.value


def test_nothing_there(tmp_path) -> None:
    refused(tmp_path / "gone", NotFoundError)


def test_a_folder_without_a_model(tmp_path) -> None:
    assert "model_index.json" in refused(tmp_path).message


@pytest.mark.parametrize("part", ["unet", "vae", "text_encoder", "scheduler"])
def test_a_missing_component_is_named(copied, part) -> None:
    shutil.rmtree(copied["sd15"] / part)
    assert part in refused(copied["sd15"]).message


def test_a_missing_tokenizer_is_named(copied) -> None:
    shutil.rmtree(copied["sdxl"] / "tokenizer_2")
    assert "tokenizer_2" in refused(copied["sdxl"]).message


def test_a_component_without_weights_is_named(copied) -> None:
    (copied["sd15"] / "vae" / "diffusion_pytorch_model.safetensors").unlink()
    assert "vae" in refused(copied["sd15"]).message


@pytest.mark.parametrize("name", ["diffusion_pytorch_model.bin", "weights.ckpt", "a.pt", "b.pkl"])
def test_pickles_inside_a_folder_are_refused(copied, name) -> None:
    weights = copied["sd15"] / "unet" / "diffusion_pytorch_model.safetensors"
    weights.rename(weights.with_name(name))
    error = refused(copied["sd15"])
    assert "pickled" in error.message
    assert "safetensors" in error.hint


def test_a_pickle_in_disguise_is_never_opened(tmp_path) -> None:
    path = tmp_path / "model.safetensors"
    path.write_bytes(b"\x80\x04\x95" + b"c" * 100)
    refused(path, UnreadableMediaError)
    path.write_bytes(b"PK\x03\x04" + b"c" * 100)
    refused(path, UnreadableMediaError)


@pytest.mark.parametrize("suffix", [".ckpt", ".PT", ".bin", ".pkl", ".pth"])
def test_pickled_files_are_refused(tmp_path, suffix) -> None:
    path = tmp_path / f"model{suffix}"
    path.write_bytes(b"whatever")
    assert "pickled" in refused(path).message


def test_cut_off_weights_are_named(copied) -> None:
    weights = copied["sd15"] / "unet" / "diffusion_pytorch_model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1000])
    error = refused(copied["sd15"], UnreadableMediaError)
    assert "breaks off" in error.message


@pytest.mark.parametrize("junk", [b"", b"\x00" * 7, b"\xff" * 64, b"\x10\x00\x00\x00\x00\x00\x00\x00not json at all!"])
def test_a_corrupt_header_is_named(tmp_path, junk) -> None:
    path = tmp_path / "model.safetensors"
    path.write_bytes(junk)
    refused(path, UnreadableMediaError)


def test_a_corrupt_config_is_named(copied) -> None:
    (copied["sd15"] / "unet" / "config.json").write_text("{")
    assert "unet/config.json" in refused(copied["sd15"], UnreadableMediaError).message


@pytest.mark.parametrize(
    "change", [{"_class_name": "FluxTransformer2DModel"}, {"in_channels": 9}, {"addition_embed_type": "image"}]
)
def test_another_family_is_refused(copied, change) -> None:
    path = copied["sd15"] / "unet" / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    assert "another family" in refused(copied["sd15"]).message


def test_weights_that_do_not_fit_their_config_are_an_engine_error(copied) -> None:
    path = copied["sd15"] / "unet" / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"block_out_channels": [32, 96]}))
    with pytest.raises(EngineError, match="could not be loaded"):
        load_base(inspect_base(copied["sd15"]))


def test_the_fp16_variant_is_taken_where_it_is_all_there_is(copied) -> None:
    for part, name in (
        ("unet", "diffusion_pytorch_model"),
        ("vae", "diffusion_pytorch_model"),
        ("text_encoder", "model"),
    ):
        (copied["sd15"] / part / f"{name}.safetensors").rename(copied["sd15"] / part / f"{name}.fp16.safetensors")
    assert load_base(inspect_base(copied["sd15"])).unet is not None


def test_a_tokenizer_in_the_old_layout_gives_the_same_numbers(copied, loaded) -> None:
    folder = copied["sd15"] / "tokenizer"
    whole = json.loads((folder / "tokenizer.json").read_text(encoding="utf-8"))["model"]
    merges = "\n".join(pair if isinstance(pair, str) else " ".join(pair) for pair in whole["merges"])
    (folder / "vocab.json").write_text(json.dumps(whole["vocab"]), encoding="utf-8")
    (folder / "merges.txt").write_text(f"#version: 0.2\n{merges}\n", encoding="utf-8")
    (folder / "tokenizer.json").unlink()
    ends = {"bos_token": "<|startoftext|>", "eos_token": "<|endoftext|>", "pad_token": "<|endoftext|>"}
    (folder / "tokenizer_config.json").write_text(json.dumps({"tokenizer_class": "CLIPTokenizer", **ends}))
    base = load_base(inspect_base(copied["sd15"]))
    assert base.tokenizers[0].model_max_length == 77
    prompt = "a photo of a person, smiling, " * 20
    assert bool((encode_prompts(base, [prompt]).hidden == encode_prompts(loaded["sd15"], [prompt]).hidden).all())


# -- prompts -------------------------------------------------------------------------------------


@pytest.mark.parametrize("family", FAMILIES)
def test_a_short_prompt_is_encoded_as_the_pipeline_does(loaded, family) -> None:
    base = loaded[family]
    out = encode_prompts(base, ["a photo of sks person, smiling"])
    theirs = text_to_image(base).encode_prompt("a photo of sks person, smiling", device="cpu", num_images_per_prompt=1,
                                               do_classifier_free_guidance=False)  # fmt: skip
    assert bool((out.hidden == theirs[0]).all())
    assert (out.pooled is not None) == bool(FAMILY[family].added)
    if out.pooled is not None:
        assert bool((out.pooled == theirs[2]).all())


@pytest.mark.parametrize("family", FAMILIES)
def test_a_long_prompt_is_chunked_not_cut(loaded, family) -> None:
    base = loaded[family]
    long = "a photo of a person with " + "long red hair and " * 40
    one, other = encode_prompts(base, [long + "smiling"]), encode_prompts(base, [long + "angry"])
    assert one.hidden.shape[1] == 77 * chunk_count(base, long + "smiling") > 77
    assert not bool((one.hidden == other.hidden).all())
    both = encode_prompts(base, ["a person", long])
    assert both.hidden.shape[:2] == (2, one.hidden.shape[1])


def test_words_are_not_torn_between_chunks(loaded) -> None:
    from studio.engines.diffusion.bases.prompts import _chunks

    tokenizer = loaded["sd15"].tokenizers[0]
    parts = _chunks(tokenizer, "portrait " + "unknownword " * 30)
    whole = [t for part in parts for t in part]
    assert whole == tokenizer("portrait " + "unknownword " * 30, add_special_tokens=False).input_ids
    assert all(len(part) <= 75 for part in parts)
    assert all(tokenizer.convert_ids_to_tokens(part)[-1].endswith("</w>") for part in parts)
    endless = _chunks(tokenizer, "x" * 400)
    assert [t for part in endless for t in part] == tokenizer("x" * 400, add_special_tokens=False).input_ids


def test_gradients_reach_the_text_encoder(folders) -> None:
    base = load_base(inspect_base(folders["sd15"]))
    base.text_encoders[0].requires_grad_(True)
    encode_prompts(base, ["a photo"]).hidden.sum().backward()
    assert any(p.grad is not None and bool(p.grad.any()) for p in base.text_encoders[0].parameters())


# -- single files ----------------------------------------------------------------------------------


@pytest.fixture
def small_configs(folders, tmp_path, monkeypatch):
    """Let the bundled configs be those of the tiny bases."""
    for family, folder in folders.items():
        shutil.copytree(folder, tmp_path / "configs" / family, ignore=shutil.ignore_patterns("*.safetensors"))
        shutil.copyfile(
            single_file.CONFIGS / family / "model_index.json", tmp_path / "configs" / family / "model_index.json"
        )
    from transformers import CLIPTokenizer

    monkeypatch.setattr(single_file_loading, "CONFIGS", tmp_path / "configs")
    narrow = tuple(replace(family, text_width=tiny_text_width(family.name)) for family in single_file.FAMILIES)
    monkeypatch.setattr(single_file, "FAMILIES", narrow)
    monkeypatch.setattr(
        single_file_loading,
        "clip_tokenizer",
        lambda pad: CLIPTokenizer.from_pretrained(folders["sd15"] / "tokenizer"),
    )


@pytest.mark.usefixtures("small_configs")
@pytest.mark.parametrize("family", FAMILIES)
def test_a_single_file_is_the_folder_it_was_made_from(folders, loaded, tmp_path, family) -> None:
    path = write_single_file(folders[family], tmp_path / "One File.safetensors")
    location = inspect_base(path)
    assert (location.family, location.is_file, location.name) == (family, True, "one-file")
    base = load_base(location)
    for ours, theirs in zip(base.modules, loaded[family].modules, strict=True):
        mine = ours.state_dict()
        assert mine.keys() == theirs.state_dict().keys()
        assert all(bool((mine[k] == v).all()) for k, v in theirs.state_dict().items())


@pytest.mark.usefixtures("small_configs")
@pytest.mark.parametrize(
    ("lost", "named"),
    [("cond_stage_model", "text encoder"), ("first_stage_model", "autoencoder"), ("model.diff", "knows")],
)
def test_a_single_file_without_a_component_is_refused(folders, tmp_path, lost, named) -> None:
    from safetensors.numpy import load_file, save_file

    path = write_single_file(folders["sd15"], tmp_path / "one.safetensors")
    save_file({k: v for k, v in load_file(path).items() if not k.startswith(lost)}, path)
    assert named in refused(path).message


def header_only(path: Path, shapes: dict[str, list[int]]) -> Path:
    """Write a file of the given shapes whose tensors take no room."""
    table = {name: {"dtype": "F16", "shape": shape, "data_offsets": [0, 0]} for name, shape in shapes.items()}
    text = json.dumps(table).encode()
    path.write_bytes(len(text).to_bytes(8, "little") + text)
    return path


SD15_KEYS = {
    "model.diffusion_model.input_blocks.0.0.weight": [320, 4, 3, 3],
    "model.diffusion_model.input_blocks.1.1.transformer_blocks.0.attn2.to_k.weight": [320, 768],
    "first_stage_model.decoder.conv_in.weight": [512, 4, 3, 3],
    "cond_stage_model.transformer.text_model.final_layer_norm.weight": [768],
}


def test_real_shapes_tell_the_family(tmp_path) -> None:
    assert inspect_base(header_only(tmp_path / "a.safetensors", SD15_KEYS)).family == "sd15"
    k = "model.diffusion_model.input_blocks.1.1.transformer_blocks.0.attn2.to_k.weight"
    assert (
        "Stable Diffusion 2" in refused(header_only(tmp_path / "b.safetensors", SD15_KEYS | {k: [320, 1024]})).message
    )
    first = "model.diffusion_model.input_blocks.0.0.weight"
    assert "inpainting" in refused(header_only(tmp_path / "c.safetensors", SD15_KEYS | {first: [320, 9, 3, 3]})).message
    lora = {"lora_unet_down_blocks_0.lora_down.weight": [16, 320]}
    assert "adapter" in refused(header_only(tmp_path / "d.safetensors", lora)).message
    assert "knows" in refused(header_only(tmp_path / "e.safetensors", {"transformer.x": [1]})).message


@pytest.mark.parametrize(
    ("family", "millions"), [("sd15", (859.52, 83.65, 123.06)), ("sdxl", (2567.46, 83.65, 123.06, 694.66))]
)
def test_the_bundled_configs_have_the_published_sizes(family, millions) -> None:
    import torch
    import transformers
    from diffusers import AutoencoderKL, UNet2DConditionModel

    folder = single_file.CONFIGS / family
    with torch.device("meta"):
        made = [
            UNet2DConditionModel.from_config(UNet2DConditionModel.load_config(folder / "unet")),
            AutoencoderKL.from_config(AutoencoderKL.load_config(folder / "vae")),
        ]
        for text in FAMILY[family].text:
            config = transformers.CLIPTextConfig.from_pretrained(folder / text.part)
            made.append(getattr(transformers, text.model)(config))
    counted = [sum(p.numel() for p in module.parameters()) / 1e6 for module in made]
    assert counted == pytest.approx(millions, abs=0.01)


def test_the_bundled_vocabulary_is_clips() -> None:
    tokenizer = single_file_loading.clip_tokenizer("<|endoftext|>")
    ids = tokenizer("a photo of an astronaut riding a horse on mars").input_ids
    # Source: the token numbers that the CLIP paper's code gives for this well-known prompt.
    assert ids == [49406, 320, 1125, 539, 550, 18376, 6765, 320, 4558, 525, 7496, 49407]
    assert len(tokenizer) == 49408
    assert tokenizer.pad_token_id == 49407
    assert single_file_loading.clip_tokenizer("!").pad_token_id == 0


# -- runtime --------------------------------------------------------------------------------------


def test_the_process_is_offline_but_its_environment_is_the_persons(monkeypatch) -> None:
    import os

    import huggingface_hub

    before = dict(os.environ)
    runtime.prepare()
    assert huggingface_hub.is_offline_mode()
    assert dict(os.environ) == before


def test_refused_memory_is_one_sentence() -> None:
    from studio.errors import OutOfMemoryError

    for raised in (MemoryError(), RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried 1")):
        with (
            pytest.raises(OutOfMemoryError, match="Drawing needs more memory"),
            runtime.memory_guard("Drawing", "Less."),
        ):
            raise raised
    with pytest.raises(RuntimeError, match="shape"), runtime.memory_guard("Drawing", "Less."):
        raise RuntimeError("shape mismatch")


def test_a_header_is_read_as_numpy_reads_it(folders) -> None:
    from safetensors.numpy import load_file

    path = folders["sd15"] / "unet" / "diffusion_pytorch_model.safetensors"
    shapes = {name: tensor.shape for name, tensor in load_file(path).items()}
    assert read_header(path).shapes == shapes
    assert sum(np.prod(s) for s in shapes.values()) > 1e5
    assert component_weights(path.parent) == (path,)


def test_tiny_locations_are_reproducible(tmp_path) -> None:
    assert tiny_location(tmp_path / "a").sha256 == tiny_location(tmp_path / "b").sha256
    assert tiny_location(tmp_path / "c", seed=1).sha256 != tiny_location(tmp_path / "a2").sha256


def test_reading_all_weights_is_told_and_done_once(tmp_path) -> None:
    path = tmp_path / "w.safetensors"
    path.write_bytes(bytes(40_000_000))
    told: list[float] = []
    assert weights_sha256(path, told.append) == hashlib.sha256(bytes(40_000_000)).hexdigest()
    assert len(told) > 1
    assert told == sorted(told)
    assert told[-1] == 1.0
    count = len(told)
    weights_sha256(path, told.append)
    assert len(told) == count
    path.write_bytes(b"other")
    assert weights_sha256(path) == hashlib.sha256(b"other").hexdigest()
