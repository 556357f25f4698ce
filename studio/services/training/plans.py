"""Training plans by name: what is known to work for a family of models and a size of memory.

Each preset is a file under presets/training; its plan is checked against the
same model that a run stores, and the schema for editors is derived from it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from studio.domain.base_model import Family
from studio.domain.names import as_read
from studio.domain.refusal import in_a_file, refusal
from studio.domain.training import TrainingPlan
from studio.errors import UserInputError
from studio.outside import json_of

DEFAULT_PRESET = "preview-quick"
FEW_PHOTOS = 5
SMALLER: tuple[Mapping[str, Any], ...] = (
    {"batch": 1},
    {"gradient_checkpointing": True},
    {"train_text_encoder": False},
    {"convolutions": False},
    {"method": "lora"},
)
"""Changes that need less memory, mildest first; for a run that was killed though its preflight fitted."""


class _PresetFile(BaseModel):
    """One file under presets/training."""

    model_config = ConfigDict(extra="forbid", populate_by_name=True)

    schema_file: str = Field(default="", alias="$schema", description="Path of the schema, for editors.")
    title: str = Field(min_length=1, max_length=60, description="One line for the person.")
    help: str = Field(min_length=1, description="What it is good for, in one or two sentences.")
    family: Family = Field(description="Base models of another family are refused.")
    memory_gb: float = Field(gt=0, le=512, description="Memory of the device it was made for.")
    steps_per_photo: int = Field(default=0, ge=0, le=1000, description="0 takes the plan's own steps.")
    most_steps: int = Field(default=2500, ge=1, description="Limit of steps_per_photo times photos.")
    photos: tuple[int, int, int] = Field(description="Fewest that make sense, ideal, and most photos.")
    plan: TrainingPlan


@dataclass(frozen=True)
class TrainingPreset:
    """One named plan.

    Attributes:
        memory_gb: of the device it was made for.
        steps_per_photo: steps grow with the photos up to `most_steps`; 0 takes the plan's.
        photos: fewest that make sense, ideal, most.
    """

    name: str
    title: str
    help: str
    family: Family
    memory_gb: float
    plan: TrainingPlan = field(repr=False)
    photos: tuple[int, int, int]
    steps_per_photo: int = 0
    most_steps: int = 2500

    def steps(self, photos: int | None) -> int:
        """Return how many steps so many photos ask for."""
        if not self.steps_per_photo or not photos:
            return self.plan.steps
        return max(1, min(self.most_steps, self.steps_per_photo * photos))


def training_schema() -> dict[str, Any]:
    """Return the JSON schema of a preset file, derived from the plan."""
    schema = _PresetFile.model_json_schema(by_alias=True)
    schema.pop("description", None)
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **schema,
        "title": "Training preset of Likeness Studio",
    }


def read_training_preset(path: Path) -> TrainingPreset:
    """Read one preset file.

    Raises:
        UserInputError: the file is no training preset.
    """
    try:
        document = _PresetFile.model_validate(json_of(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, ValidationError) as exc:
        raise in_a_file(f"The preset file {path.name}", exc) from exc
    return TrainingPreset(
        path.stem, document.title, document.help, document.family, document.memory_gb, document.plan,
        document.photos, document.steps_per_photo, document.most_steps,
    )  # fmt: skip


def changed_plan(plan: TrainingPlan, changes: Mapping[str, Any]) -> TrainingPlan:
    """Return the plan with some values changed; texts are read as the field asks.

    Raises:
        UserInputError: there is no such setting, or the value does not fit.
    """
    unknown = sorted(set(changes) - set(TrainingPlan.model_fields))
    if unknown:
        names = ", ".join(TrainingPlan.model_fields)
        raise UserInputError(f"There is no training setting {unknown[0]!r}.", f"Settings: {names}.")
    try:
        return TrainingPlan.model_validate(plan.model_dump() | dict(changes))
    except ValidationError as exc:
        raise refusal(exc) from exc


def smaller(plan: TrainingPlan) -> TrainingPlan | None:
    """Return a plan that needs less memory by the mildest change there is; None when it is the smallest."""
    for change in SMALLER:
        if any(getattr(plan, name) != value for name, value in change.items()):
            return changed_plan(plan, change)
    return None


def advice(photos: int, plan: TrainingPlan) -> tuple[str, ...]:
    """Return one sentence for each thing to know before starting; nothing here forbids it."""
    notes = []
    if photos == 1:
        notes.append(
            "There is only one photo: the result will repeat its pose, light and background, and likeness "
            "cannot be calibrated. Five different photos already help much."
        )
    elif photos < FEW_PHOTOS:
        notes.append(f"{photos} photos are few; 10 to 30 with different light, poses and backgrounds work best.")
    if as_read(plan.trigger) == as_read(plan.class_word):
        notes.append("The trigger is the class word: everybody of the class will turn into this person.")
    if plan.prior_weight == 0:
        notes.append("Without prior pictures other people may turn into this person; watch the drift.")
    if plan.flip:
        notes.append("Flipping is on: faces are not symmetric, and partings and moles will change sides.")
    return tuple(notes)


def schedule_note(plan: TrainingPlan, steps: int) -> str:
    """Say what continuing a run to a new total of steps does to its learning rate; empty when nothing changes."""
    if steps == plan.steps:
        return ""
    if plan.schedule == "constant":
        return "The learning rate is constant and stays as it is."
    return (
        f"The {plan.schedule} schedule is laid out anew over all {steps} steps, so the learning rate jumps "
        "where training goes on; the result differs from a run planned so long from the start."
    )
