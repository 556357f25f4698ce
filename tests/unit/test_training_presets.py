"""Training presets: every file fits the schema, and the schema is the plan's."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from studio.domain.training import PERSON_PRESET, TrainingPlan
from studio.errors import UserInputError
from studio.services.training.plans import (
    DEFAULT_PRESET,
    advice,
    changed_plan,
    read_training_preset,
    schedule_note,
    smaller,
    training_schema,
)

PRESETS = Path(__file__).resolve().parents[2] / "presets"
FILES = sorted((PRESETS / "training").glob("*.json"))
ASKED_FOR = {"preview-quick", "preview-thorough", "preview-person", "sd15-8gb", "sd15-12gb", "sdxl-12gb", "sdxl-24gb"}


def test_the_schema_file_is_generated() -> None:
    kept = json.loads((PRESETS / "schema" / "training.json").read_text(encoding="utf-8"))
    assert kept == training_schema(), "write presets/schema/training.json anew from training_schema()"


def test_the_schema_knows_every_setting_of_a_plan() -> None:
    assert list(training_schema()["$defs"]["TrainingPlan"]["properties"]) == list(TrainingPlan.model_fields)


@pytest.mark.parametrize("path", FILES, ids=lambda p: p.stem)
def test_no_preset_promises_a_time(path: Path) -> None:
    """How long it takes on a machine is measured on it and said before the start."""
    said = json.loads(path.read_text(encoding="utf-8"))
    assert not re.search(r"\b(second|minute|hour|day)s?\b", f"{said['title']} {said['help']}", re.IGNORECASE)


def test_the_presets_asked_for_are_there() -> None:
    names = {f.stem for f in FILES}
    assert names >= ASKED_FOR
    assert DEFAULT_PRESET in names
    assert any(read_training_preset(f).plan.method == "dreambooth" for f in FILES)
    assert read_training_preset(PRESETS / "training" / "preview-person.json").title == PERSON_PRESET


@pytest.mark.parametrize("path", FILES, ids=lambda p: p.stem)
def test_every_preset_makes_sense(path: Path) -> None:
    preset = read_training_preset(path)
    plan = preset.plan
    assert preset.help.endswith(".")
    assert not plan.flip, "faces are not symmetric"
    assert plan.masked_loss
    assert plan.steps % plan.checkpoint_every == 0 or preset.steps_per_photo
    assert plan.sample_every == plan.checkpoint_every, "each checkpoint is measured by its samples"
    assert all("{trigger}" in p for p in plan.sample_prompts)
    assert not any("{trigger}" in p for p in plan.class_prompts)
    assert list(preset.photos) == sorted(preset.photos)
    assert plan.optimizer != "adamw8bit", "a preset must not need an optional package"
    document = json.loads(path.read_text(encoding="utf-8"))
    assert (path.parent / document["$schema"]).resolve() == (PRESETS / "schema" / "training.json").resolve()


def test_steps_grow_with_the_photos_up_to_a_limit() -> None:
    preset = read_training_preset(PRESETS / "training" / "sd15-8gb.json")
    assert [preset.steps(n) for n in (None, 0, 1, 20, 100)] == [preset.plan.steps, preset.plan.steps, 90, 1800, 2500]
    quick = read_training_preset(PRESETS / "training" / "preview-quick.json")
    assert quick.steps(100) == quick.plan.steps


@pytest.mark.parametrize("text", ["{", '{"title": "x"}', '{"title": "x", "help": "y.", "plan": {"nose": 1}}'])
def test_a_broken_file_is_refused(text: str, tmp_path: Path) -> None:
    path = tmp_path / "broken.json"
    path.write_text(text)
    with pytest.raises(UserInputError):
        read_training_preset(path)


def test_settings_may_be_texts_and_wrong_ones_are_named() -> None:
    plan = changed_plan(TrainingPlan(), {"rank": "32", "flip": "true", "learning_rate": "0.001"})
    assert (plan.rank, plan.flip, plan.learning_rate) == (32, True, 0.001)
    with pytest.raises(UserInputError, match="nose"):
        changed_plan(TrainingPlan(), {"nose": 1})
    with pytest.raises(UserInputError, match="rank"):
        changed_plan(TrainingPlan(), {"rank": 0})
    with pytest.raises(UserInputError, match="Class pictures show others"):
        changed_plan(TrainingPlan(), {"prior_prompts": ["a photo of {trigger} {class}"]})
    with pytest.raises(UserInputError, match="at least one prompt"):
        changed_plan(TrainingPlan(), {"prior_prompts": []})
    with pytest.raises(UserInputError, match="Prodigy"):
        changed_plan(TrainingPlan(), {"method": "dreambooth", "optimizer": "prodigy"})


def test_advice_is_given_where_it_is_due() -> None:
    assert "only one photo" in advice(1, TrainingPlan())[0]
    assert "few" in advice(3, TrainingPlan())[0]
    assert advice(12, TrainingPlan()) == ()
    risky = changed_plan(TrainingPlan(), {"prior_weight": 0, "flip": True})
    assert len(advice(12, risky)) == 2


def test_smaller_plans_end_somewhere() -> None:
    plan: TrainingPlan | None = changed_plan(TrainingPlan(), {"method": "dreambooth"})
    seen = []
    while plan is not None:
        seen.append(plan)
        assert len(seen) < 10
        plan = smaller(plan)
    assert (seen[-1].batch, seen[-1].gradient_checkpointing, seen[-1].method) == (1, True, "lora")


def test_what_longer_training_does_to_the_schedule_is_said() -> None:
    assert schedule_note(TrainingPlan(steps=100), 100) == ""
    assert "cosine" in schedule_note(TrainingPlan(steps=100), 200)
    assert "constant" in schedule_note(TrainingPlan(steps=100, schedule="constant"), 200)
