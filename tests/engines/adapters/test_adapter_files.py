"""The studio's own adapter files: what is written is what was trained, and off means off."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import load_file

from studio.domain.adapter import AdapterFile
from studio.engines.diffusion.adapters.files import (
    adapter_tensors,
    inspect_adapter,
    load_adapters,
    save_adapter,
    unload_adapters,
)
from studio.engines.diffusion.adapters.parity import largest_difference
from studio.engines.diffusion.adapters.tensor_file import read_tensors, write_tensors
from tests.engines.adapter_cases import RELOADED, Case, worn

ROOT = Path(__file__).resolve().parents[3]


def test_the_file_holds_exactly_what_was_trained(case: Case) -> None:
    read = load_file(case.file)
    assert read.keys() == case.tensors.keys()
    assert all(torch.equal(read[key], tensor) for key, tensor in case.tensors.items())
    load_adapters(case.loaded, [AdapterFile(path=str(case.file), name="face")])
    back = adapter_tensors(case.loaded, "face")
    assert back.keys() == case.tensors.keys()
    assert all(torch.equal(back[key], tensor) for key, tensor in case.tensors.items())


def test_a_reloaded_adapter_draws_what_the_trained_model_drew(case: Case) -> None:
    effect = largest_difference(case.trained, case.plain)
    assert effect > 0.1
    assert largest_difference(worn(case, (case.file, 1.0)), case.trained) <= RELOADED
    (report,) = load_adapters(case.loaded, [AdapterFile(path=str(case.file), name="face")])
    assert (report.name, report.matched, report.unmatched) == ("face", len(case.tensors), ())


def test_strength_zero_and_taking_off_leave_the_base_bit_for_bit(case: Case) -> None:
    assert torch.equal(worn(case, (case.file, 0.0)), case.plain)
    assert case.is_itself()
    assert not torch.equal(worn(case, (case.file, 1.0)), case.plain)
    assert not torch.equal(worn(case, (case.file, 1.0), fused=True), case.plain)
    unload_adapters(case.loaded)
    assert case.is_itself()
    assert torch.equal(case.probe(), case.plain)
    unload_adapters(case.loaded)  # nothing to take off is nothing to do


def test_strengths_scale_the_update_and_add_up(case: Case) -> None:
    half = worn(case, (case.file, 0.5))
    assert 0.0 < largest_difference(half, case.plain) < largest_difference(case.trained, case.plain)
    assert largest_difference(worn(case, (case.file, 0.6), (case.file, 0.4)), case.trained) <= RELOADED
    assert largest_difference(worn(case, (case.file, 0.25), (case.file, 0.25)), half) <= RELOADED
    assert largest_difference(worn(case, (case.file, 1.0), (case.file, -1.0)), case.plain) <= RELOADED


def test_half_a_strength_is_half_the_change_of_every_weight(case: Case) -> None:
    changes = []
    for strength in (1.0, 0.5):
        load_adapters(case.loaded, [AdapterFile(path=str(case.file), name="a", strength=strength)], fused=True)
        now = case.loaded.unet.state_dict()
        changes.append({k: now[k] - case.own[f"0.{k}"] for k in now if not torch.equal(now[k], case.own[f"0.{k}"])})
    assert len(changes[0]) > 20
    assert all(torch.allclose(changes[0][k] / 2, changes[1][k], atol=1e-6) for k in changes[0])


def test_fused_draws_the_same_and_comes_off_bit_for_bit(case: Case) -> None:
    assert largest_difference(worn(case, (case.file, 1.0), fused=True), case.trained) <= RELOADED
    unload_adapters(case.loaded)
    assert case.is_itself()


def test_a_learned_word_is_put_on_and_taken_off_with_its_adapter(case: Case, tmp_path: Path) -> None:
    widths = [encoder.get_input_embeddings().weight.shape[1] for encoder in case.loaded.text_encoders]
    generator = torch.Generator().manual_seed(1)
    rows = {
        f"{prefix}zqx": torch.randn(width, generator=generator)
        for prefix, width in zip(("embedding.", "embedding_2."), widths, strict=False)
    }
    save_adapter(tmp_path / "word.safetensors", rows, configs={}, metadata=case.metadata)
    tokenizers, tables = case.loaded.tokenizers, [e.get_input_embeddings() for e in case.loaded.text_encoders]
    (report,) = load_adapters(case.loaded, [AdapterFile(path=str(tmp_path / "word.safetensors"), name="word")])
    assert (report.matched, report.unmatched) == (len(rows), ())
    assert "zqx" in case.loaded.tokenizers[0].get_vocab()
    unload_adapters(case.loaded)
    assert case.loaded.tokenizers is tokenizers
    assert [e.get_input_embeddings() for e in case.loaded.text_encoders] == tables
    assert case.is_itself()


# -- files themselves ---------------------------------------------------------------------------


def test_every_format_of_numbers_is_written_as_safetensors_reads_it(tmp_path: Path) -> None:
    types = (torch.float32, torch.float16, torch.bfloat16, torch.float64, torch.int64, torch.uint8, torch.bool)
    given = {f"t{i}": torch.arange(6).reshape(2, 3).to(dtype) for i, dtype in enumerate(types)}
    given |= {"scalar": torch.tensor(2.5), "empty": torch.zeros(0, 3), "turned": torch.arange(6.0).reshape(2, 3).T}
    sha256 = write_tensors(tmp_path / "a.safetensors", given, {"who": "Grüße"}, hashes={"h": "0x"})
    assert sha256 == hashlib.sha256((tmp_path / "a.safetensors").read_bytes()).hexdigest()
    read = read_tensors(tmp_path / "a.safetensors")
    assert read.keys() == given.keys()
    assert all(torch.equal(read[k], t) and read[k].dtype == t.dtype for k, t in given.items())
    with safe_open(str(tmp_path / "a.safetensors"), "pt") as file:
        assert file.metadata()["who"] == "Grüße"


def test_a_header_is_read_without_torch(small: Case) -> None:
    code = (
        "import sys; from pathlib import Path; from studio.engines.diffusion.adapters.files import inspect_adapter;"
        "h = inspect_adapter(Path(sys.argv[1])); print(h.family, h.rank, h.trigger);"
        "print([m for m in ('torch', 'peft', 'diffusers', 'transformers', 'safetensors') if m in sys.modules])"
    )
    ran = subprocess.run(
        [sys.executable, "-c", code, str(small.file)], capture_output=True, text=True, check=True, cwd=ROOT
    )
    assert ran.stdout.split("\n")[:2] == ["sd15 4 sks person", "[]"]


def test_configs_in_the_metadata_are_those_diffusers_reads(small: Case) -> None:
    said = json.loads(inspect_adapter(small.file).metadata["lora_adapter_metadata"])
    assert (said["unet.r"], said["unet.lora_alpha"], said["text_encoder.r"]) == (4, 6, 3)
