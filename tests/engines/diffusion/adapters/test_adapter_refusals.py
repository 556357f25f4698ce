"""Adapter files that cannot be used are named, and nothing is half worn."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from studio.domain.adapter import AdapterFile
from studio.engines.diffusion.adapters.exporting import import_adapter
from studio.engines.diffusion.adapters.files import save_adapter
from studio.engines.diffusion.adapters.inspecting import adapter_file, inspect_adapter
from studio.engines.diffusion.adapters.reading import check_adapter, read_adapter
from studio.engines.diffusion.adapters.wearing import load_adapters, unload_adapters
from studio.engines.diffusion.bases import loading
from studio.engines.diffusion.bases.loading import load_base
from studio.engines.diffusion.bases.outline import outline
from studio.engines.diffusion.training.trainable import attach
from studio.errors import ConflictError, NotFoundError, UnreadableMediaError, UserInputError
from tests.engines.diffusion.adapter_cases import PLAN, Case


def load(case: Case, path: Path) -> None:
    load_adapters(case.loaded, [AdapterFile(path=str(path), name="a")])


def test_an_adapter_for_another_family_is_named(small: Case, tmp_path: Path) -> None:
    other = tmp_path / "xl.safetensors"
    save_adapter(other, small.tensors, configs={}, metadata=replace(small.metadata, family="sdxl"))
    with pytest.raises(UserInputError, match="for Stable Diffusion XL, but the base model"):
        load(small, other)
    assert small.is_itself()


def test_real_widths_tell_the_family_without_metadata(tmp_path: Path) -> None:
    for family, width in (("sd15", 768), ("sdxl", 2048), (None, 777)):
        key = "lora_unet_down_blocks_1_attentions_0_transformer_blocks_0_attn2_to_k.lora_down.weight"
        save_file({key: torch.zeros(4, width)}, tmp_path / "w.safetensors")
        assert inspect_adapter(tmp_path / "w.safetensors").family == family


@pytest.mark.parametrize("ending", [".pt", ".bin", ".ckpt", ".pkl"])
def test_pickles_are_never_opened(small: Case, tmp_path: Path, ending: str) -> None:
    path = tmp_path / f"lora{ending}"
    path.write_bytes(b"\x80\x04cos\nsystem\n.")
    with pytest.raises(UserInputError, match="pickled") as caught:
        inspect_adapter(path)
    assert ".safetensors" in caught.value.hint
    with pytest.raises(UserInputError, match="pickled"):
        load(small, path)


@pytest.mark.parametrize("spoil", ["garbage", "header", "cut", "empty", "text"])
def test_damaged_files_are_named(small: Case, tmp_path: Path, spoil: str) -> None:
    path, whole = tmp_path / "a.safetensors", small.file.read_bytes()
    length = int.from_bytes(whole[:8], "little")
    path.write_bytes(
        {
            "garbage": b"\xff" * 4000, "header": whole[:8] + b"x" * length + whole[8 + length :],
            "cut": whole[: len(whole) // 2], "empty": b"", "text": b"not a model at all, but long enough",
        }[spoil]
    )  # fmt: skip
    for call in (lambda: inspect_adapter(path), lambda: load(small, path)):
        with pytest.raises(UnreadableMediaError, match=r"a\.safetensors"):
            call()
    assert small.is_itself()


def test_a_missing_file(small: Case, tmp_path: Path) -> None:
    with pytest.raises(NotFoundError):
        load(small, tmp_path / "none.safetensors")


def test_files_of_other_models_have_no_known_key(small: Case, tmp_path: Path) -> None:
    path = tmp_path / "flux.safetensors"
    save_file({"transformer.blocks.0.attn.to_q.lora_A.weight": torch.zeros(4, 8)}, path)
    with pytest.raises(UserInputError, match="none of its 1 keys"):
        inspect_adapter(path)
    with pytest.raises(UserInputError, match="none of its 1 keys"):
        load(small, path)


def test_another_shape_is_named_with_its_layer(small: Case, tmp_path: Path) -> None:
    changed = {
        k: torch.cat([t, t], -1 if "_A" in k else 0).contiguous() for k, t in small.tensors.items() if "to_q" in k
    }
    save_file(changed, tmp_path / "wide.safetensors")
    with pytest.raises(UserInputError, match=r"another shape") as caught:
        load(small, tmp_path / "wide.safetensors")
    assert "to_q" in caught.value.message
    assert small.is_itself()


def test_half_an_update_is_refused(small: Case, tmp_path: Path) -> None:
    save_file({k: t.contiguous() for k, t in small.tensors.items() if "_A" in k}, tmp_path / "half.safetensors")
    with pytest.raises(UserInputError, match="incomplete"):
        load(small, tmp_path / "half.safetensors")


def test_keys_without_a_place_are_reported_not_lost(small: Case, tmp_path: Path) -> None:
    extra = {**small.tensors, "unet.no.such.layer.lora_A.weight": torch.zeros(4, 8)}
    save_file({k: t.contiguous() for k, t in extra.items()}, tmp_path / "more.safetensors")
    (report,) = load_adapters(small.loaded, [AdapterFile(path=str(tmp_path / "more.safetensors"), name="a")])
    assert (report.matched, report.unmatched) == (len(small.tensors), ("unet.no.such.layer.lora_A.weight",))


def test_odd_names_and_strengths(small: Case) -> None:
    for options, words in (
        ({"name": "a.b"}, "letters, digits"), ({"name": ""}, "letters, digits"), ({"strength": 2.5}, "outside"),
    ):  # fmt: skip
        file = AdapterFile(**({"path": str(small.file), "name": "a"} | options))
        with pytest.raises(UserInputError) as caught:
            load_adapters(small.loaded, [file])
        assert words in str(caught.value)
    twice = [AdapterFile(path=str(small.file), name="a")] * 2
    with pytest.raises(UserInputError, match="named twice"):
        load_adapters(small.loaded, twice)


def test_a_file_that_does_not_fit_leaves_nothing_half_worn(small: Case, tmp_path: Path) -> None:
    save_file({"unet.conv_in.lora_A.weight": torch.zeros(4, 7)}, tmp_path / "bad.safetensors")
    files = [AdapterFile(path=str(small.file), name="a"), AdapterFile(path=str(tmp_path / "bad.safetensors"), name="b")]
    with pytest.raises(UserInputError):
        load_adapters(small.loaded, files)
    assert small.is_itself()


def test_a_base_in_training_is_left_alone(small: Case) -> None:
    base = load_base(small.location)
    attach({"unet": base.unet, "text_encoder": base.text_encoders[0]}, PLAN)
    for call in (lambda: unload_adapters(base), lambda: load_adapters(base, [])):
        with pytest.raises(ConflictError, match="being trained"):
            call()


def test_nothing_is_no_adapter(small: Case, tmp_path: Path) -> None:
    with pytest.raises(UserInputError, match="no weights"):
        save_adapter(tmp_path / "a.safetensors", {}, configs={}, metadata=small.metadata)


@pytest.mark.parametrize(
    ("width", "metadata", "title"),
    [
        (1024, {}, "Stable Diffusion 2"),
        (1280, {}, "the refiner of Stable Diffusion XL"),
        (None, {"ss_base_model_version": "sd_v2_v_768"}, "Stable Diffusion 2"),
        (None, {"modelspec.architecture": "stable-diffusion-v2-512/lora"}, "Stable Diffusion 2"),
        (None, {"modelspec.architecture": "stable-diffusion-xl-v1-refiner/lora"}, "the refiner of Stable Diffusion XL"),
        (None, {"ss_base_model_version": "sdxl_refiner_v1-0"}, "the refiner of Stable Diffusion XL"),
    ],
)
def test_families_with_our_keys_are_named_too(tmp_path: Path, width, metadata, title: str) -> None:
    block = "lora_unet_down_blocks_1_attentions_0_transformer_blocks_0"
    tensors = {f"{block}_attn1_to_q.lora_down.weight": torch.zeros(4, 640)}
    if width is not None:
        tensors[f"{block}_attn2_to_k.lora_down.weight"] = torch.zeros(4, width)
    save_file(tensors, tmp_path / "f.safetensors", metadata)
    with pytest.raises(UserInputError, match=f"made for {title}, not for"):
        inspect_adapter(tmp_path / "f.safetensors")


def misfits(case: Case) -> dict[str, dict[str, torch.Tensor]]:
    """Return adapters that do not fit the base of a case."""
    first = next(k for k in case.tensors if "to_q" in k and "_A" in k)
    wide = {k: torch.cat([t, t], -1 if "_A" in k else 0) for k, t in case.tensors.items() if "to_q" in k}
    return {
        "wide": wide,
        "half": {k: t for k, t in case.tensors.items() if "_A" in k},
        "nothing": {"a.b.lora_A.weight": torch.zeros(4, 8)},
        "whole numbers": {k: t.round().to(torch.int8) for k, t in case.tensors.items()},
        "scales": {**case.tensors, first.replace(".weight", ".scale_weight"): torch.ones(1)},
        "two alphas": {**wide, first.replace("lora_A.weight", "alpha"): torch.ones(2)},
    }


@pytest.mark.parametrize("kind", ["wide", "half", "nothing", "whole numbers", "scales", "two alphas"])
def test_what_does_not_fit_is_said_before_the_base_is_read(
    small: Case, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    path = tmp_path / "a.safetensors"
    save_file({k: t.contiguous() for k, t in misfits(small)[kind].items()}, path)
    with pytest.raises(UserInputError) as later:
        read_adapter(small.loaded, path)
    with pytest.raises(UserInputError) as at_once:
        check_adapter(small.location, path)
    assert at_once.value.message == later.value.message
    monkeypatch.setattr(loading, "load_base", lambda *given, **named: pytest.fail("the base was read"))
    with pytest.raises(UserInputError):
        import_adapter(small.location, path, tmp_path / "out.safetensors")


def test_what_fits_passes_the_check_without_weights(case: Case) -> None:
    check_adapter(case.location, case.file)
    assert all(p.is_meta for model in outline(case.location).parts.values() for p in model.parameters())


def test_the_adapter_of_a_folder_is_found(small: Case, tmp_path: Path) -> None:
    data = small.file.read_bytes()
    folder = tmp_path / "ann"
    folder.mkdir()
    assert adapter_file(small.file) == small.file
    for wrong, words in (("no adapter", "holds no adapter"), ("adapter_model.bin", "pickled")):
        (folder / wrong).write_bytes(b"x")
        with pytest.raises(UserInputError, match=words):
            adapter_file(folder)
        (folder / wrong).unlink()
    (folder / "unet").mkdir()
    (folder / "unet" / "adapter_model.safetensors").write_bytes(data)
    with pytest.raises(UserInputError, match="for each part of a model: unet") as caught:
        adapter_file(folder)
    assert "ann/unet" in caught.value.hint
    (folder / "b.safetensors").write_bytes(data)
    assert adapter_file(folder).name == "b.safetensors"
    (folder / "c.safetensors").write_bytes(data)
    with pytest.raises(UserInputError, match=r"b\.safetensors, c\.safetensors"):
        adapter_file(folder)
    (folder / "adapter_model.safetensors").write_bytes(data)
    assert adapter_file(folder).name == "adapter_model.safetensors"
