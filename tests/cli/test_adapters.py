"""Adapters on the command line: in, shown, out, mixed, tested, renamed, deleted, and refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from studio.domain.adapter import AdapterMetadata
from studio.engines.diffusion.adapters.files import save_adapter
from studio.engines.diffusion.adapters.inspecting import inspect_adapter
from studio.studio import Studio
from tests.cli.test_bad_input import refused
from tests.engines.diffusion.tiny_base import write_tiny_base

QUERY = "down_blocks.0.attentions.0.transformer_blocks.0.attn1.to_q"


@pytest.fixture(scope="module")
def files(tmp_path_factory) -> dict[str, Path]:
    from peft import LoraConfig

    folder = tmp_path_factory.mktemp("adapters")
    made = {"base": write_tiny_base(folder / "base")}
    for number, name in enumerate(("ann", "bob")):
        generator = torch.Generator().manual_seed(number)
        tensors = {
            f"unet.{QUERY}.lora_A.weight": torch.randn((4, 32), generator=generator),
            f"unet.{QUERY}.lora_B.weight": torch.randn((32, 4), generator=generator),
        }
        about = AdapterMetadata(family="sd15", title=name.title(), trigger=f"{name} person", base_name="tiny")
        made[name] = folder / f"{name}.safetensors"
        save_adapter(made[name], tensors, configs={"unet": LoraConfig(r=4, lora_alpha=6)}, metadata=about)
    return made


@pytest.fixture
def own(run, files, tmp_path):
    """The command line on a data folder that knows the tiny base."""
    with Studio(tmp_path / "data") as studio:
        studio.for_owner().bases.add(files["base"], "tiny")
    return run


def test_an_adapter_that_changes_nothing_is_called_so_when_it_is_imported(own, tmp_path) -> None:
    from peft import LoraConfig

    tensors = {f"unet.{QUERY}.lora_A.weight": torch.ones(4, 32), f"unet.{QUERY}.lora_B.weight": torch.zeros(32, 4)}
    about = AdapterMetadata(family="sd15", title="Nothing", base_name="tiny")
    file = tmp_path / "nothing.safetensors"
    save_adapter(file, tensors, configs={"unet": LoraConfig(r=4, lora_alpha=4)}, metadata=about)
    assert "Changes nothing: a fixed picture stays the same with it" in own("adapter", "import", file).out


def test_an_adapters_whole_way(own, files, tmp_path) -> None:
    assert "No adapters yet" in own("adapter", "list").out
    came = own("adapter", "import", files["ann"], "--json").json
    assert (came["matched"], came["unmatched"], came["adapter"]["name"]) == (2, [], "Ann")
    assert "lora in peft layout" in own("adapter", "import", files["bob"], "--trigger", "bob man").out
    gone = own("adapter", "export", "Ann", tmp_path, "--json").json
    assert gone["max_difference"] <= 1e-3 * gone["effect"]
    out = Path(gone["path"])
    assert inspect_adapter(out).format == "kohya"
    assert "2 keys used, 0 not" in own("adapter", "export", "Ann", tmp_path / "d.safetensors", "--format", "peft").out
    mixed = own("adapter", "merge", "Ann:0.6", "Bob", "--name", "Both", "--json").json
    assert mixed["adapter"]["parents"] == {came["adapter"]["id"]: 0.6, own_id(own, "Bob"): 1.0}
    assert "Ann & co" in own("adapter", "rename", "Both", "Ann & co", "--notes", "both at once").out
    shown = own("adapter", "show", "Ann & co")
    assert "parent: Ann at 0.6" in shown.out
    assert "notes: both at once" in shown.out
    assert [s["what"] for s in own("adapter", "show", "Ann", "--json").json["lineage"]] == ["adapter", "file", "file"]
    plan = own("adapter", "delete", "Ann", "--json").json
    assert (plan["deleted"], plan["plan"]["children"]) == (False, ["Ann & co"])
    assert own("adapter", "delete", "Ann", "--yes").code == 0
    assert out.is_file()
    assert [a["name"] for a in own("adapter", "list", "--json").json["adapters"]] == ["Ann & co", "Bob"]


def own_id(own, name: str) -> str:
    return own("adapter", "show", name, "--json").json["adapter"]["id"]


class NoFaces:
    """Draws gray."""

    name, version = "gray", "1"

    def generate(self, location, order, adapters=(), **options):
        yield np.full((order.height, order.width, 3), 90 + order.seed, np.uint8)


def test_a_leak_test_says_what_it_could_not_measure(own, files, engines, monkeypatch) -> None:
    monkeypatch.setattr(engines, "generator", NoFaces)
    own("adapter", "import", files["ann"])
    ran = own("adapter", "test-leak", "Ann", "--strength", "1", "--json")
    assert ran.code == 0, ran.err
    assert ran.json["report"]["advice"].startswith("Not measurable")
    assert Path(ran.json["sheet"]).is_file()


def test_the_folder_that_peft_writes_comes_in(own, files, tmp_path) -> None:
    folder = tmp_path / "Ann in PEFT"
    folder.mkdir()
    tensors = {
        f"base_model.model.{QUERY}.lora_A.weight": torch.ones(4, 32),
        f"base_model.model.{QUERY}.lora_B.weight": torch.ones(32, 4),
    }
    save_file(tensors, folder / "adapter_model.safetensors")
    (folder / "adapter_config.json").write_text('{"peft_type": "LORA", "r": 4, "lora_alpha": 2}')
    got = own("adapter", "import", folder, "--json")
    assert got.code == 0, got.err
    adapter = got.json["adapter"]
    assert adapter["name"] == "Ann in PEFT"
    assert adapter["notes"] == "Imported from Ann in PEFT."
    assert adapter["base_name"] == "tiny", "the first base that it fits, though the preview base stands before it"


def test_what_is_refused(own, files, tmp_path, monkeypatch) -> None:
    monkeypatch.delenv("HF_TOKEN", raising=False)
    pickled = tmp_path / "lora.pt"
    pickled.write_bytes(b"\x80\x04")
    broken = tmp_path / "broken.safetensors"
    broken.write_bytes(files["ann"].read_bytes()[:100])
    for arguments, code, words in (
        (["import", pickled], 2, "pickled"),
        (["import", broken], 2, "not a whole safetensors file"),
        (["import", tmp_path / "none.safetensors"], 3, "no file"),
        (["import", files["ann"], "--base", "no-such-base"], 3, "no-such-base"),
        (["import", files["ann"], "--identity", "Nobody"], 3, "nobody"),
        (["show", "Nobody"], 3, "nobody"),
        (["export", "Nobody", tmp_path], 3, "nobody"),
        (["merge", "a:x", "b", "--name", "c"], 2, "strength"),
        (["push", "Nobody", "not a name", "--token", "t"], 2, "repository"),
        (["push", "Nobody", "me/x"], 2, "token"),
    ):
        refused(own("adapter", *arguments), code, words)
    own("adapter", "import", files["ann"])
    refused(own("adapter", "export", "Ann", tmp_path / "a.ckpt"), 2, "safetensors")
    refused(own("adapter", "merge", "Ann", "--name", "x"), 2, "two adapters")
    assert not list(tmp_path.glob("*.ckpt"))
