"""What every row of FAMILIES promises: it agrees with its configs and libraries, and everything works with it."""

from __future__ import annotations

import ast
import json
from pathlib import Path
from typing import Any

import pytest

from studio.domain.adapter import WRITTEN_FORMATS, AdapterMetadata
from studio.domain.base_model import FAMILIES, FAMILY, FAMILY_TITLES, BaseFamily
from studio.engines.diffusion.adapters import kohya, peft
from studio.engines.diffusion.adapters.inspecting import header_of
from studio.engines.diffusion.bases.inspecting import inspect_base
from studio.engines.diffusion.bases.single_file import CONFIGS
from studio.errors import UserInputError
from tests.engines.diffusion.tiny_base import tiny_location
from tests.engines.diffusion.training_case import plan_of, train

ROOT = Path(__file__).resolve().parents[3]
each = pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.name)


def config(family: BaseFamily, part: str, name: str = "config.json") -> dict[str, Any]:
    return json.loads((CONFIGS / family.name / part / name).read_text(encoding="utf-8"))


# -- the row ----------------------------------------------------------------------------------


def test_rows_are_told_apart() -> None:
    for values in ([f.name for f in FAMILIES], [*FAMILY_TITLES.values()], [f.kohya_version for f in FAMILIES]):
        assert len(set(values)) == len(FAMILIES)
    assert len({f.architecture for f in FAMILIES}) == len(FAMILIES)
    words = [word for family in FAMILIES for word in family.known_as]
    assert len(set(words)) == len(words)
    assert all(word == word.lower() for word in words)


def test_prefixes_mean_the_same_part_in_every_family() -> None:
    """A key is read before its file's family is known."""
    meant: dict[str, str] = {}
    for text in (text for family in FAMILIES for text in family.text):
        for prefix in (text.kohya_prefix, text.embedding_prefix):
            assert meant.setdefault(prefix, text.part) == text.part
    assert not any(a != b and a.startswith(b) for a in meant for b in meant)


@each
def test_what_a_file_says_of_itself_names_the_family(family: BaseFamily) -> None:
    own = {"family": family.name}
    said = AdapterMetadata(family=family.name).model_spec()
    assert header_of({}, {}, own).family == family.name
    assert header_of({}, said, {}).family == family.name
    assert header_of({}, {"ss_base_model_version": family.kohya_version}, {}).family == family.name


# -- its configs ------------------------------------------------------------------------------


@each
def test_the_configs_are_the_rows(family: BaseFamily) -> None:
    index, unet = config(family, "", "model_index.json"), config(family, "unet")
    assert index["_class_name"] == family.pipeline
    for text in family.text:
        assert index[text.part] == ["transformers", text.model]
        assert index[text.tokenizer] == ["transformers", "CLIPTokenizer"]
    assert {name for name in index if name.startswith("text_encoder")} == set(family.parts[1:])
    assert (unet["cross_attention_dim"], unet["in_channels"]) == (family.text_width, family.latent_channels)
    assert (unet.get("addition_embed_type") or "") == family.added
    assert sum(config(family, text.part)["hidden_size"] for text in family.text) == family.text_width
    cells = 2 ** (len(config(family, "vae")["block_out_channels"]) - 1)
    assert unet["sample_size"] * cells == family.resolution
    assert bool(index.get("force_zeros_for_empty_prompt")) == family.zero_empty_prompt
    config(family, "scheduler", "scheduler_config.json")


@each
def test_its_classes_exist_and_its_text_encoders_give_what_they_should(family: BaseFamily) -> None:
    import diffusers
    import transformers

    assert hasattr(diffusers, family.pipeline)
    assert sum(text.pooled for text in family.text) == (1 if family.added == "text_time" else 0)
    for text in family.text:
        assert hasattr(transformers, text.model)
        assert not text.pooled or text.model.endswith("WithProjection")
        assert -config(family, text.part)["num_hidden_layers"] <= text.layer <= -1


@each
def test_the_unets_config_is_recognized_as_this_family(family: BaseFamily, tmp_path: Path) -> None:
    from studio.engines.diffusion.bases.inspecting import _family_of_unet

    assert _family_of_unet(config(family, "unet"), "x", family.pipeline) is family


@each
def test_a_checkpoint_of_the_real_shapes_is_recognized(family: BaseFamily, tmp_path: Path) -> None:
    first, attention = "model.diffusion_model.input_blocks.0.0.weight", "model.diffusion_model.x.attn2.to_k.weight"
    shapes = {first: [320, family.latent_channels, 3, 3], attention: [320, family.text_width]}
    parts = {"first_stage_model.": "autoencoder"} | {text.checkpoint_prefix: text.title for text in family.text}
    shapes |= {f"{prefix}a.weight": [1] for prefix in parts}

    def written(name: str, shapes: dict[str, list[int]]) -> Path:
        table = {key: {"dtype": "F16", "shape": shape, "data_offsets": [0, 0]} for key, shape in shapes.items()}
        text = json.dumps(table).encode()
        (tmp_path / name).write_bytes(len(text).to_bytes(8, "little") + text)
        return tmp_path / name

    found = inspect_base(written("whole.safetensors", shapes))
    assert (found.family, found.resolution, found.is_file) == (family.name, family.resolution, True)
    for prefix, title in parts.items():
        lacking = {key: shape for key, shape in shapes.items() if not key.startswith(prefix)}
        with pytest.raises(UserInputError, match=title):
            inspect_base(written("lacking.safetensors", lacking))


# -- what belongs to it elsewhere -------------------------------------------------------------


@each
def test_there_is_a_card_and_a_training_preset(family: BaseFamily) -> None:
    def told(folder: str) -> list[dict[str, Any]]:
        return [json.loads(path.read_text(encoding="utf-8")) for path in (ROOT / "presets" / folder).glob("*.json")]

    cards = {card["name"] for card in told("bases") if card["family"] == family.name}
    assert cards
    assert [p for p in told("training") if p["family"] == family.name and p["plan"]["base"] in cards]


def test_no_other_module_names_a_family() -> None:
    """Whatever differs between families stands in their rows."""
    allowed = {"domain/base_model.py", "factory/preview_base/training.py"}  # the second says what it makes
    for path in (ROOT / "studio").rglob("*.py"):
        if path.relative_to(ROOT / "studio").as_posix() in allowed:
            continue
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            assert not (isinstance(node, ast.Constant) and node.value in FAMILY), f"{path}:{node.lineno}"


# -- everything works with it -----------------------------------------------------------------


@each
def test_a_person_is_trained_and_carried_out_and_in(family: BaseFamily, tmp_path: Path) -> None:
    """A random base of the family: train, write for every program, read back; each step checks itself."""
    from studio.engines.diffusion.adapters.exporting import export_adapter, import_adapter
    from studio.engines.diffusion.adapters.inspecting import inspect_adapter

    location = tiny_location(tmp_path / "base", family.name)
    assert location.family == family.name
    plan = plan_of(steps=2, checkpoint_every=2, sample_every=2, prior_weight=0.0)
    outcome = train(location, plan, tmp_path / "run")
    assert outcome.adapter is not None
    assert inspect_adapter(outcome.adapter).parts == family.parts
    about = AdapterMetadata(family=family.name, title="Face", trigger="sks person")
    for format in WRITTEN_FORMATS.values():
        out = export_adapter(location, outcome.adapter, tmp_path / f"{format.name}.safetensors", format.name, about)
        assert out.unmatched == ()
        came = import_adapter(location, out.path, tmp_path / "in.safetensors")
        assert (came.header.family, came.header.parts, came.report.unmatched) == (family.name, family.parts, ())


@each
def test_a_learned_word_has_a_place_in_files(family: BaseFamily) -> None:
    for text in family.text:
        place = peft.place_of(text.embedding_prefix + "ohwx")
        assert place is not None
        assert (place.part, place.module, place.slot) == (text.part, "ohwx", "embedding")


@each
def test_layers_of_its_text_encoders_have_a_place_in_kohyas_files(family: BaseFamily) -> None:
    for text in family.text:
        place = kohya.place_of(f"{text.kohya_prefix}text_model_encoder_layers_0_mlp_fc1.lora_down.weight")
        assert place is not None
        assert (place.part, place.slot) == (text.part, "down")
