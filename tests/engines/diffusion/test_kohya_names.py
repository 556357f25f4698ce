"""Layer names as other programs write them, against tables of their conventions for the real models.

The tables (fixtures/) were written down from the rules in kohya-ss/sd-scripts
and ComfyUI, for the shapes of Stable Diffusion 1.5 and XL, without using the
studio's code. Neither program is run here. A family is tested when it has
tables.
"""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from studio.domain.base_model import FAMILY, Family
from studio.engines.diffusion import runtime
from studio.engines.diffusion.adapters import kohya
from studio.engines.diffusion.adapters.keys import Part
from studio.engines.diffusion.adapters.layouts import place_of
from studio.engines.diffusion.bases.single_file import CONFIGS

HERE = Path(__file__).parent
FAMILIES = tuple(name for name in FAMILY if (HERE / "fixtures" / f"kohya_{name}.txt").exists())


def table(program: str, family: Family) -> set[str]:
    lines = (HERE / "fixtures" / f"{program}_{family}.txt").read_text(encoding="utf-8").splitlines()
    return {line for line in lines if not line.startswith("#")}


@cache
def config(family: Family, part: Part) -> dict:
    return json.loads((CONFIGS / family / part / "config.json").read_text(encoding="utf-8"))


@cache
def layers(family: Family) -> dict[Part, dict[str, str]]:
    """Return every Linear and Conv2d of the real models: part -> short name -> class."""
    runtime.prepare()
    import torch
    import transformers
    from diffusers import UNet2DConditionModel

    with torch.device("meta"):
        models: dict[Part, torch.nn.Module] = {"unet": UNet2DConditionModel.from_config(config(family, "unet"))}
        for text in FAMILY[family].text:
            about = transformers.CLIPTextConfig.from_dict(config(family, text.part))
            models[text.part] = getattr(transformers, text.model)(about)
    return {
        part: {
            name.removeprefix("text_model."): type(module).__name__
            for name, module in model.named_modules()
            if isinstance(module, torch.nn.Linear | torch.nn.Conv2d)
        }
        for part, model in models.items()
    }


@cache
def blocks(family: Family) -> dict[str, str]:
    return kohya.checkpoint_blocks(config(family, "unet"))


@cache
def flat_names(family: Family, part: Part) -> dict[str, str]:
    return kohya.flat_names(part, layers(family)[part], blocks(family))


def trained(family: Family) -> list[tuple[Part, str]]:
    """Return the layers that the studio's own training adapts."""
    from studio.engines.diffusion.training.trainable import (
        ATTENTION,
        CONVOLUTIONS,
        FEED_FORWARD,
        TEXT_ATTENTION,
        TEXT_FEED_FORWARD,
    )

    unet, text = ATTENTION + FEED_FORWARD + CONVOLUTIONS, TEXT_ATTENTION + TEXT_FEED_FORWARD
    return [
        (part, name)
        for part, names in layers(family).items()
        for name in names
        if any(name == t or name.endswith(f".{t}") for t in (unet if part == "unet" else text))
    ]


def test_both_stable_diffusions_have_tables() -> None:
    assert {"sd15", "sdxl"} <= set(FAMILIES)


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("program", ["kohya", "comfyui"])
def test_every_layer_we_train_has_a_name_the_program_accepts(family: Family, program: str) -> None:
    written = [kohya.flat_name(part, name, family, blocks(family)) for part, name in trained(family)]
    assert len(written) == len(set(written))
    assert len(written) > {"sd15": 250, "sdxl": 900}.get(family, 100)
    assert set(written) <= table(program, family)


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("program", ["kohya", "comfyui"])
def test_every_name_of_the_program_is_understood_and_means_one_layer(family: Family, program: str) -> None:
    understood = {(part, flat): name for part in layers(family) for flat, name in flat_names(family, part).items()}
    meant = {}
    for line in table(program, family):
        place = place_of(f"{line}.lora_down.weight")
        assert place is not None
        assert place.layout == "kohya"
        meant[line] = (place.part, understood[place.part, place.module])
    if program == "kohya":  # ComfyUI knows several names for one layer
        assert len(set(meant.values())) == len(meant)


@pytest.mark.parametrize("family", FAMILIES)
def test_kohya_can_adapt_nothing_that_we_have_no_name_for(family: Family) -> None:
    """The table holds every layer in the blocks, so that a missing one here would be a hole in ours."""
    inside = {
        kohya.flat_name("unet", name, family, blocks(family)) for name in layers(family)["unet"] if "_block" in name
    }
    assert inside == {name for name in table("kohya", family) if name.startswith("lora_unet_")}


@settings(deadline=None)
@given(st.sampled_from(FAMILIES), st.data())
def test_a_written_name_is_read_back_as_its_layer(family: Family, data: st.DataObject) -> None:
    part = data.draw(st.sampled_from(sorted(layers(family))))
    name = data.draw(st.sampled_from(sorted(layers(family)[part])))
    place = place_of(kohya.flat_name(part, name, family, blocks(family)) + ".alpha")
    assert place is not None
    assert (place.part, place.slot) == (part, "alpha")
    assert flat_names(family, part)[place.module] == name


LAYER = "encoder.layers.0.mlp.fc1"
DOTTED = [
    ("unet.mid_block.attentions.0.proj_in.lora_A.weight", "unet", "mid_block.attentions.0.proj_in", "down"),
    ("unet.conv_in.lora_B.default.weight", "unet", "conv_in", "up"),
    ("base_model.model.unet.conv_in.lora_B.weight", "unet", "conv_in", "up"),
    ("unet.a.attn1.processor.to_out_lora.up.weight", "unet", "a.attn1.to_out.0", "up"),
    ("unet.a.attn1.to_q.lora.down.weight", "unet", "a.attn1.to_q", "down"),
    (f"text_encoder.text_model.{LAYER}.lora_A.weight", "text_encoder", LAYER, "down"),
    (f"text_encoder_2.text_model.{LAYER}.lora_linear_layer.up.weight", "text_encoder_2", LAYER, "up"),
    (f"text_encoder.{LAYER}.lora_magnitude_vector", "text_encoder", LAYER, "row_lengths"),
    ("unet.conv_in.weight", "unet", "conv_in", "weight"),
    ("unet.conv_in.hada_w2_b", "unet", "conv_in", "hada_w2_b"),
    ("embedding.sks", "text_encoder", "sks", "embedding"),
    ("embedding_2.sks", "text_encoder_2", "sks", "embedding"),
]


@pytest.mark.parametrize(("key", "part", "module", "slot"), DOTTED)
def test_dotted_keys_of_every_writer(key: str, part: str, module: str, slot: str) -> None:
    place = place_of(key)
    assert place is not None
    assert (place.part, place.module, place.slot, place.layout) == (part, module, slot, "peft")


@pytest.mark.parametrize(
    "key", ["transformer.blocks.0.lora_A.weight", "lora_unet", "", "alpha", "text_encoder_3.a.lora_A.weight"]
)
def test_other_keys_are_none_of_ours(key: str) -> None:
    assert place_of(key) is None
