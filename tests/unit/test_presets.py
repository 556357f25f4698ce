"""Built-in presets: every file fits the schema, and the schema is the table's."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from studio.domain.expression import CONTROL, CONTROLS
from studio.errors import UserInputError
from studio.services.portraits.presets import expression_schema, read_preset

PRESETS = Path(__file__).resolve().parents[2] / "presets"
FILES = sorted((PRESETS / "expressions").glob("*.json"))
ASKED_FOR = {"joy", "sadness", "surprise", "fear", "anger", "disgust", "contempt", "wink"}
ASKED_FOR |= {"smile", "pensive", "sleepy", "skeptical"}


def test_the_schema_file_is_generated() -> None:
    kept = json.loads((PRESETS / "schema" / "expression.json").read_text(encoding="utf-8"))
    assert kept == expression_schema(), "write presets/schema/expression.json anew from expression_schema()"


def test_the_schema_knows_every_control() -> None:
    values = expression_schema()["properties"]["values"]["properties"]
    assert list(values) == [c.name for c in CONTROLS]


def test_the_presets_asked_for_are_there() -> None:
    assert {f.stem for f in FILES} >= ASKED_FOR


@pytest.mark.parametrize("path", FILES, ids=lambda p: p.stem)
def test_every_preset_fits(path: Path) -> None:
    preset = read_preset(path)
    assert preset.builtin
    assert preset.title
    assert preset.help.endswith(".")
    assert any(preset.edit.values.values())
    for name, value in preset.edit.values.items():
        assert CONTROL[name].minimum <= value <= CONTROL[name].maximum
    document = json.loads(path.read_text(encoding="utf-8"))
    assert (path.parent / document["$schema"]).resolve() == (PRESETS / "schema" / "expression.json").resolve()


@pytest.mark.parametrize(
    "text", ["{", '{"title": "x"}', '{"title": "x", "values": {"nose": 1}}', '{"title": "x", "values": {}, "extra": 1}']
)
def test_a_broken_file_is_refused(text: str, tmp_path: Path) -> None:
    path = tmp_path / "broken.json"
    path.write_text(text)
    with pytest.raises(UserInputError):
        read_preset(path)
