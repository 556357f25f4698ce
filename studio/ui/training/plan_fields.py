"""The training plan as a form: one row per field, derived from the plan itself.

Kind, range and choices come from `TrainingPlan`; this module adds words. A
field that is new in the plan shows up by itself under "More", named after
itself and explained by the plan's own docstring, until somebody writes it a
row here. Nothing here knows what is trained.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args, get_origin

import annotated_types
import gradio as gr

from studio.domain.training import TrainingPlan
from studio.errors import UserInputError

Kind = Literal["switch", "choice", "whole", "number", "text", "lines", "numbers"]
MORE = "More"
VISIBLE = ("base", "trigger", "class_word", "steps", "resolution", "prior_weight")
"""Fields that the tab shows outside the fold, in components of its own."""

WORDS: Mapping[str, tuple[str, str, str]] = {
    # name: (group, label, one line)
    "method": ("What is learned", "Method", "LoRA is a small file; DreamBooth changes the whole model and is large."),
    "rank": ("What is learned", "Rank", "Room to learn in the picture model; more is larger and overfits sooner."),
    "alpha": ("What is learned", "Alpha", "The change is scaled by alpha / rank; equal to the rank is plain."),
    "train_text_encoder": ("What is learned", "Teach the text encoder", "Clearly better likeness of faces."),
    "text_rank": ("What is learned", "Text rank", "The same as rank, for the text encoder."),
    "text_alpha": ("What is learned", "Text alpha", "The same as alpha, for the text encoder."),
    "feed_forward": ("What is learned", "Feed-forward layers", "Adapt these too, not only attention."),
    "convolutions": ("What is learned", "Convolutions", "Adapt these too; they hold fine texture."),
    "textual_inversion": ("What is learned", "Learn the trigger word", "Also learns what the word itself means."),
    "learning_rate": ("How it is learned", "Learning rate", "Of the picture model. Lower it when faces burn."),
    "text_learning_rate": ("How it is learned", "Text learning rate", "Usually half of the other."),
    "batch": ("How it is learned", "Batch", "Pictures per pass; more needs more memory."),
    "accumulation": ("How it is learned", "Accumulation", "Passes per step; like a larger batch, without its memory."),
    "optimizer": ("How it is learned", "Optimizer", "AdamW is safe. Prodigy finds its own rate (set it to 1)."),
    "schedule": ("How it is learned", "Schedule", "How the rate falls towards the end."),
    "warmup_steps": ("How it is learned", "Warm-up steps", "The rate rises over so many steps at the start."),
    "weight_decay": ("How it is learned", "Weight decay", "Pulls weights back to zero a little."),
    "max_grad_norm": ("How it is learned", "Largest gradient", "Longer steps are cut to this."),
    "projection_rank": ("How it is learned", "Projection rank", "Only for projected AdamW: smaller saves memory."),
    "ema": ("How it is learned", "Average the weights", "Keeps a running mean; calmer, slower to change."),
    "ema_decay": ("How it is learned", "Average over", "Closer to 1 looks further back."),
    "min_snr_gamma": ("How it is learned", "Min-SNR", "Evens out easy and hard noise levels; 0 turns it off."),
    "noise_offset": ("How it is learned", "Noise offset", "Lets very dark and bright pictures be learned."),
    "masked_loss": ("Photos", "Learn the person only", "Counts the background little, so that it is not learned."),
    "background_weight": ("Photos", "Background counts", "0 ignores it, 1 counts it like the person."),
    "prior_pictures": ("Photos", "Class pictures", "Drawn once; they remind the model of other people."),
    "prior_prompts": (
        "Photos",
        "Class prompts",
        "One a line, in turn; {class} is filled in. Words named here stay learned.",
    ),
    "short_captions": ("Photos", "Short captions", "Share of photos shown with “a photo of” the person, and no more."),
    "caption_dropout": (
        "Photos",
        "Drop captions",
        "Share of pictures shown without a caption: of class pictures, else of photos.",
    ),
    "variant_share": ("Photos", "Variants", "Share of pictures that the rig drew of the photos; 0 trains without."),
    "variants_per_photo": ("Photos", "Variants of a photo", "How many are drawn of each; look at them on Identities."),
    "flip": ("Photos", "Mirror photos", "Off for faces: no face is symmetric."),
    "precision": ("Machine", "Precision", "Auto takes what the device does best."),
    "gradient_checkpointing": (
        "Machine",
        "Save memory",
        "Computes twice instead of remembering; about a third slower.",
    ),
    "cache": ("Machine", "Cache what is frozen", "Encodes photos and captions once; faster."),
    "seed": ("Machine", "Seed", "The same seed and plan give the same weights on one computer."),
    "checkpoint_every": ("Watching", "Checkpoint every", "Steps; a crash loses at most so many."),
    "keep_checkpoints": ("Watching", "Keep states", "How many checkpoints can be continued; all stay usable."),
    "sample_every": ("Watching", "Sample every", "Steps between the pictures that show progress."),
    "sample_prompts": ("Watching", "Sample prompts", "One a line; {trigger} and {class} are filled in."),
    "class_prompts": ("Watching", "Drift prompts", "Drawn to see how far other people change."),
    "sample_seeds": ("Watching", "Sample seeds", "Whole numbers with commas; always the same ones."),
    "sample_steps": ("Watching", "Sample steps", "More is finer and slower."),
    "guidance": ("Watching", "Sample guidance", "How strictly samples follow the prompt."),
}
CHOICE_WORDS = {
    "lora": "LoRA", "dreambooth": "DreamBooth", "adamw": "AdamW", "adamw8bit": "AdamW, 8 bit", "prodigy": "Prodigy",
    "projected_adamw": "AdamW, projected", "auto": "Automatic",
}  # fmt: skip
_ORDER: Mapping[Kind, int] = {"lines": 1, "switch": 2}
_GROUPS = ("What is learned", "How it is learned", "Photos", "Machine", "Watching", MORE)


@dataclass(frozen=True)
class PlanField:
    """One field of the plan as a form shows it.

    Attributes:
        minimum, maximum: None where the plan sets no limit.
        choices: of a "choice".
    """

    name: str
    group: str
    label: str
    info: str
    kind: Kind
    default: Any
    minimum: float | None = None
    maximum: float | None = None
    choices: tuple[str, ...] = ()


def _kind(annotation: Any) -> tuple[Kind, tuple[str, ...]]:
    if get_origin(annotation) is Literal:
        return "choice", tuple(str(c) for c in get_args(annotation))
    if get_origin(annotation) is tuple:
        return ("numbers" if get_args(annotation)[0] is int else "lines"), ()
    kinds: dict[Any, Kind] = {bool: "switch", int: "whole", float: "number"}
    return kinds.get(annotation, "text"), ()


def _limits(metadata: Sequence[Any]) -> tuple[float | None, float | None]:
    low = high = None
    for rule in metadata:
        if isinstance(rule, annotated_types.Ge | annotated_types.Gt):
            low = float(getattr(rule, "ge", getattr(rule, "gt", 0.0)))
        if isinstance(rule, annotated_types.Le | annotated_types.Lt):
            high = float(getattr(rule, "le", getattr(rule, "lt", 0.0)))
    return low, high


def _own_words(name: str) -> str:
    """Return what the plan's docstring says about a field."""
    found = re.search(rf"^\s+[\w, ]*\b{name}\b[\w, ]*: (.+)$", TrainingPlan.__doc__ or "", re.M)
    return found[1][:1].upper() + found[1][1:] if found else "Part of the training plan."


def _field(name: str) -> PlanField:
    info = TrainingPlan.model_fields[name]
    kind, choices = _kind(info.annotation)
    low, high = _limits(info.metadata)
    fallback = (MORE, name.replace("_", " ").capitalize(), _own_words(name))
    group, label, words = WORDS.get(name, fallback)
    return PlanField(name, group, label, words, kind, info.default, low, high, choices)


FIELDS: tuple[PlanField, ...] = tuple(
    sorted(
        (_field(n) for n in TrainingPlan.model_fields if n not in VISIBLE),
        key=lambda f: (_GROUPS.index(f.group), _ORDER.get(f.kind, 0)),
    )
)
"""Every field of the plan that the tab does not show by itself, by group; long texts and switches last."""


def component(row: PlanField) -> gr.components.Component:
    """Return the input of one field."""
    said: dict[str, Any] = {"label": row.label, "info": row.info, "elem_id": f"plan-{row.name}"}
    said["value"] = shown(row, row.default)
    if row.kind == "switch":
        return gr.Checkbox(**said)
    if row.kind == "choice":
        named = [(CHOICE_WORDS.get(c, c.capitalize()), c) for c in row.choices]
        return gr.Dropdown(named, filterable=False, min_width=120, **said)
    if row.kind in ("whole", "number"):
        whole: dict[str, Any] = {"precision": 0, "step": 1} if row.kind == "whole" else {}
        return gr.Number(minimum=row.minimum, maximum=row.maximum, min_width=120, **said, **whole)
    lines = row.kind == "lines"
    return gr.Textbox(lines=2 if lines else 1, max_lines=6, elem_classes=["wide"] if lines else None, **said)


def shown(row: PlanField, value: Any) -> Any:
    """Return a plan's value as its input holds it."""
    if row.kind == "lines":
        return "\n".join(value)
    return ", ".join(str(v) for v in value) if row.kind == "numbers" else value


def read(row: PlanField, value: Any) -> Any:
    """Return what an input holds as the plan wants it.

    Raises:
        UserInputError: nothing was written, or no number.
    """
    if row.kind == "lines":
        return tuple(line.strip() for line in (value or "").splitlines() if line.strip())
    if row.kind == "numbers":
        try:
            return tuple(int(part) for part in re.split(r"[,\s]+", (value or "").strip()) if part)
        except ValueError as exc:
            raise UserInputError(f"“{row.label}” holds something that is no whole number.", row.info) from exc
    if value is None:
        raise UserInputError(f"“{row.label}” is empty.", row.info)
    return int(value) if row.kind == "whole" else value


def values_of(plan: TrainingPlan) -> list[Any]:
    """Return the values of FIELDS' inputs for a plan."""
    return [shown(row, getattr(plan, row.name)) for row in FIELDS]


def changes_of(values: Sequence[Any]) -> dict[str, Any]:
    """Return the plan fields that the inputs of FIELDS hold.

    Raises:
        UserInputError: an input holds nothing usable.
    """
    return {row.name: read(row, value) for row, value in zip(FIELDS, values, strict=True)}
