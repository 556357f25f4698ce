"""What every row of ADAPTER_FORMATS promises: its module reads what it writes, and refuses what it cannot hold."""

from __future__ import annotations

import inspect
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from studio.domain.adapter import ADAPTER_FORMATS, WRITTEN_FORMATS, FileFormat, written_format
from studio.engines.diffusion.adapters.exporting import export_adapter
from studio.engines.diffusion.adapters.files import save_adapter
from studio.engines.diffusion.adapters.inspecting import inspect_adapter
from studio.engines.diffusion.adapters.layouts import LAYOUTS, Layout, place_of
from studio.errors import UserInputError
from tests.engines.diffusion.adapter_cases import Case

each = pytest.mark.parametrize("format", WRITTEN_FORMATS.values(), ids=lambda format: format.name)


def export(case: Case, source: Path, out: Path, format: FileFormat, **about):
    metadata = case.metadata if not about else type(case.metadata)(**vars(case.metadata) | about)
    return export_adapter(case.location, source, out, format.name, metadata, loaded=case.loaded)


def test_rows_are_complete() -> None:
    assert len({f.name for f in ADAPTER_FORMATS}) == len({f.title for f in ADAPTER_FORMATS}) == len(ADAPTER_FORMATS)
    assert all(format.help and format.programs for format in WRITTEN_FORMATS.values())
    endings = [f.pushed_as for f in WRITTEN_FORMATS.values() if f.pushed_as is not None]
    assert len(set(endings)) == len(endings) > 0, "files in a repository have names of their own"
    assert any(f.full and f.words for f in WRITTEN_FORMATS.values()), "every adapter can go somewhere"


@pytest.mark.parametrize("name", LAYOUTS)
def test_a_layouts_module_offers_what_its_protocol_says(name: str) -> None:
    assert all(isinstance(value, str) for value in LAYOUTS[name].HASHES.values())
    for wanted in (Layout.place_of, Layout.layer_names, Layout.written):
        given = getattr(LAYOUTS[name], wanted.__name__)
        assert list(inspect.signature(given).parameters) == list(inspect.signature(wanted).parameters)[1:]


@each
def test_a_format_reads_every_key_that_it_writes(small: Case, tmp_path: Path, format: FileFormat) -> None:
    report = export(small, small.file, tmp_path / "out.safetensors", format)
    tensors = load_file(report.path)
    assert {place.layout for key in tensors if (place := place_of(key))} == {format.layout}
    assert None not in {place_of(key) for key in tensors}
    assert {t.dtype for t in tensors.values()} == {torch.float16 if format.half else torch.float32}
    said = inspect_adapter(report.path).format
    assert {f.name: f.layout for f in ADAPTER_FORMATS}[said] == format.layout


@each
def test_a_format_refuses_what_it_cannot_hold(small: Case, tmp_path: Path, format: FileFormat) -> None:
    width = small.loaded.text_encoders[0].get_input_embeddings().weight.shape[1]
    word = tmp_path / "word.safetensors"
    save_adapter(word, {**small.tensors, "embedding.zqx": torch.zeros(width)}, configs={}, metadata=small.metadata)
    full = tmp_path / "full.safetensors"
    save_file({"unet.conv_in.weight": small.loaded.unet.conv_in.weight.detach() + 0.01}, full)
    for source, holds, method in ((word, format.words, "lora"), (full, format.full, "dreambooth")):
        out = tmp_path / f"{source.stem}-out.safetensors"
        if holds:
            assert export(small, source, out, format, method=method).unmatched == ()
        else:
            with pytest.raises(UserInputError, match="other programs"):
                export(small, source, out, format, method=method)
            assert not out.exists()


def test_a_format_of_another_name_is_refused() -> None:
    for name in ("pickle", "diffusers"):  # older diffusers' files are read, not written
        with pytest.raises(UserInputError) as caught:
            written_format(name)
        assert all(known in caught.value.hint for known in WRITTEN_FORMATS)
