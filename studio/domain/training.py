"""Training as values: the plan, what a run reports, and which checkpoint to keep.

A plan is everything that decides the weights besides photos and base; it
round-trips through JSON and stands in the run's row. Distances are between
identity embeddings (smaller is more alike); `likeness` is a distance read on
the scale of the person's own photos. Nothing here trains.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from statistics import mean, pstdev
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, model_validator

from studio.domain.adapter import Method
from studio.domain.likeness import likeness_figure
from studio.domain.variants import MOST_PER_PHOTO

Optimizer = Literal["adamw", "adamw8bit", "prodigy", "projected_adamw"]
Schedule = Literal["constant", "cosine", "linear"]
Precision = Literal["auto", "fp32", "bf16", "fp16"]
SampleKind = Literal["person", "class"]
Rate = Annotated[float, Field(gt=0.0, le=2.0)]
Word = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=40)]
_LARGEST_SEED = 2**62 - 1


SMALLEST_RESOLUTION = 256
"""Below this side in pixels a base is trained at its own only."""


class TrainingPlan(BaseModel):
    """Everything that decides what is learned, besides photos and base.

    Attributes:
        base: name of the base model.
        trigger: the rare word for the person; captions contain it.
        class_word: what the person is one of; the prior's prompt is "a photo of a {class_word}".
        steps: optimizer steps; each sees batch x accumulation pictures.
        rank, alpha: of the UNet's low-rank matrices; the update is scaled by alpha / rank.
        text_rank, text_alpha: the same for the text encoder.
        feed_forward, convolutions: adapt these too, not only attention.
        prior_weight: weight of the class pictures' loss; 0 trains without them.
        masked_loss, background_weight: weight of pixels outside the person's mask, 0..1.
        min_snr_gamma: 0 turns it off; with v-prediction a floor keeps noisy steps trained.
        short_captions: share of photos shown with the beginning of their caption only, so that the trigger alone
            also brings the person.
        caption_dropout: share shown without any caption: of class pictures where there are any, else of photos.
        variant_share: share of pictures that are variants which the rig drew of the photos; 0 trains without.
        variants_per_photo: how many the rig draws of each.
        checkpoint_every, sample_every: steps; a kill loses at most one interval.
        keep_checkpoints: how many full states stay for going on; adapters of all checkpoints stay.
        prior_prompts: of the class pictures, in turn; {class} is filled in.
        sample_prompts: drawn with fixed seeds at every sample; {trigger} and {class} are filled in.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    method: Method = "lora"
    base: str = "preview"
    trigger: Word = "sks"
    class_word: Word = "person"
    resolution: Annotated[int, Field(ge=32, le=2048, multiple_of=8)] = 128
    steps: Annotated[int, Field(ge=1, le=100_000)] = 300
    batch: Annotated[int, Field(ge=1, le=64)] = 4
    accumulation: Annotated[int, Field(ge=1, le=64)] = 1
    learning_rate: Rate = 1e-4
    text_learning_rate: Rate = 5e-5
    rank: Annotated[int, Field(ge=1, le=256)] = 16
    alpha: Annotated[float, Field(gt=0.0, le=512.0)] = 16.0
    text_rank: Annotated[int, Field(ge=1, le=256)] = 8
    text_alpha: Annotated[float, Field(gt=0.0, le=512.0)] = 8.0
    feed_forward: bool = True
    convolutions: bool = True
    train_text_encoder: bool = True
    textual_inversion: bool = False
    prior_weight: Annotated[float, Field(ge=0.0, le=10.0)] = 1.0
    prior_pictures: Annotated[int, Field(ge=0, le=2000)] = 24
    prior_prompts: tuple[str, ...] = ("a photo of a {class}",)
    masked_loss: bool = True
    background_weight: Annotated[float, Field(ge=0.0, le=1.0)] = 0.1
    min_snr_gamma: Annotated[float, Field(ge=0.0, le=20.0)] = 5.0
    noise_offset: Annotated[float, Field(ge=0.0, le=0.5)] = 0.0
    short_captions: Annotated[float, Field(ge=0.0, le=1.0)] = 0.0
    caption_dropout: Annotated[float, Field(ge=0.0, le=1.0)] = 0.05
    variant_share: Annotated[float, Field(ge=0.0, le=0.9)] = 0.0
    variants_per_photo: Annotated[int, Field(ge=1, le=MOST_PER_PHOTO)] = 24
    flip: bool = False
    ema: bool = False
    ema_decay: Annotated[float, Field(gt=0.0, lt=1.0)] = 0.99
    gradient_checkpointing: bool = False
    max_grad_norm: Annotated[float, Field(gt=0.0, le=100.0)] = 1.0
    optimizer: Optimizer = "adamw"
    weight_decay: Annotated[float, Field(ge=0.0, le=1.0)] = 1e-2
    projection_rank: Annotated[int, Field(ge=1, le=512)] = 32
    schedule: Schedule = "cosine"
    warmup_steps: Annotated[int, Field(ge=0, le=10_000)] = 10
    precision: Precision = "auto"
    seed: Annotated[int, Field(ge=0, le=_LARGEST_SEED)] = 0
    cache: bool = True
    checkpoint_every: Annotated[int, Field(ge=1)] = 100
    keep_checkpoints: Annotated[int, Field(ge=1, le=100)] = 2
    sample_every: Annotated[int, Field(ge=1)] = 100
    sample_prompts: tuple[str, ...] = ("a photo of {trigger} {class}", "a photo of {trigger} {class}, smiling")
    class_prompts: tuple[str, ...] = ("a photo of a {class}",)
    sample_seeds: tuple[int, ...] = (1, 2)
    sample_steps: Annotated[int, Field(ge=1, le=150)] = 12
    guidance: Annotated[float, Field(ge=1.0, le=30.0)] = 4.0

    @model_validator(mode="after")
    def _makes_sense(self) -> TrainingPlan:
        if self.method == "dreambooth" and self.optimizer == "prodigy":
            raise ValueError("Prodigy is for low-rank adapters; use adamw or projected_adamw for full training")
        if self.prior_weight > 0 and self.prior_pictures == 0:
            raise ValueError("a prior weight needs prior pictures; set prior_weight to 0 to train without")
        if self.prior_weight > 0 and not self.prior_prompts:
            raise ValueError("a prior weight needs at least one prompt for its pictures")
        if any("{trigger}" in prompt for prompt in self.prior_prompts):
            raise ValueError("class pictures show others: their prompts cannot name the trigger")
        if not self.sample_prompts or not self.sample_seeds:
            raise ValueError("at least one sample prompt and one seed are needed to see what is learned")
        if not all(0 <= seed <= _LARGEST_SEED for seed in self.sample_seeds):
            raise ValueError(f"seeds go from 0 to {_LARGEST_SEED}")
        return self

    def prompt(self, text: str) -> str:
        """Fill {trigger} and {class} in."""
        return text.replace("{trigger}", self.trigger).replace("{class}", self.class_word)


@dataclass(frozen=True, kw_only=True)
class Preflight:
    """What a run will need, computed from shapes before anything is loaded.

    Attributes:
        memory_bytes, memory_free_bytes: peak on the training device, and what it has.
        disk_bytes, disk_free_bytes: checkpoints and caches.
        seconds: estimate for the whole run.
        device: such as "cpu", "cuda:0".
        parts: name -> bytes, largest first ("weights", "gradients", "optimizer state", "activations").
        problems: one sentence each; empty means it fits.
        instead: changes to the plan with which it will fit; empty when it fits, or when nothing would.
    """

    memory_bytes: int
    memory_free_bytes: int
    disk_bytes: int
    disk_free_bytes: int
    seconds: float
    device: str
    trainable_parameters: int
    parts: Mapping[str, int] = field(default_factory=dict)
    problems: tuple[str, ...] = ()
    instead: Mapping[str, Any] = field(default_factory=dict)

    @property
    def fits(self) -> bool:
        """Whether nothing stands in the way."""
        return not self.problems


@dataclass(frozen=True)
class Calibration:
    """The person's own photos measured against each other: the scale for likeness.

    Attributes:
        own_mean, own_spread: leave-one-out distances of each photo to the center of the others.
        stranger: distance at which the embedder takes two faces for different people.
        count: photos used.
    """

    embedder: str
    own_mean: float
    own_spread: float
    stranger: float
    count: int

    def likeness(self, distance: float) -> float:
        """Read a distance on a scale of 0 (a stranger) .. 1 (as alike as the person's own photos); may exceed 1."""
        room = max(self.stranger - self.own_mean, 1e-6)
        return (self.stranger - distance) / room

    @property
    def spread(self) -> float:
        """The own photos' standard deviation on the likeness scale: differences below it mean nothing."""
        return self.own_spread / max(self.stranger - self.own_mean, 1e-6)


def calibrate(embedder: str, own_distances: Sequence[float], stranger: float) -> Calibration:
    """Summarize leave-one-out distances.

    Raises:
        ValueError: fewer than two distances.
    """
    if len(own_distances) < 2:
        raise ValueError("two photos at least are needed to compare")
    return Calibration(embedder, mean(own_distances), pstdev(own_distances), stranger, len(own_distances))


@dataclass(frozen=True, kw_only=True)
class TrainingRun:
    """One run; times are aware UTC.

    Attributes:
        job_id: the job that trains, or trained last.
        photos: sha256 of every picture used, in order.
        base_sha256: of the base's weights, so that a run is never continued on another.
        calibration: None while unmeasured, or where faces could not be compared.
        outcome: "" while unfinished; else one sentence.
    """

    id: str
    owner: str
    name: str
    plan: TrainingPlan
    base_sha256: str
    photos: tuple[str, ...]
    identity_id: str
    job_id: str | None = None
    project_id: str | None = None
    calibration: Calibration | None = None
    outcome: str = ""
    created: datetime


@dataclass(frozen=True, kw_only=True)
class Checkpoint:
    """One checkpoint of a run.

    Attributes:
        media_sha256: the adapter's weights as they were at this step.
        distance: mean identity distance of the samples; None when no face was found in any.
        drift: mean change of the class prompts' pictures since step 0, 0..1 of the full range.
        has_state: whether training can go on from here.
    """

    id: str
    run_id: str
    step: int
    media_sha256: str
    distance: float | None = None
    drift: float | None = None
    loss: float | None = None
    has_state: bool = False
    created: datetime


@dataclass(frozen=True, kw_only=True)
class RunSample:
    """One picture drawn while training; the same prompt and seed at every sample step.

    Attributes:
        kind: "person" calls the trigger, "class" asks for anybody of the class (for the drift).
        distance: to the center of the person's own photos; None when no face was found or none was looked for.
    """

    run_id: str
    step: int
    kind: SampleKind
    prompt: str
    seed: int
    media_sha256: str
    distance: float | None = None


@dataclass(frozen=True, kw_only=True)
class GridCell:
    """One picture of a checkpoint at one strength, to be compared and voted on.

    Attributes:
        strength: of the adapter; 0 is the base itself.
        distance: as in RunSample.
        vote: +1 better, -1 worse, 0 no opinion.
    """

    id: str
    run_id: str
    checkpoint_id: str
    step: int
    strength: float
    prompt: str
    seed: int
    media_sha256: str
    distance: float | None = None
    vote: int = 0
    created: datetime


@dataclass(frozen=True)
class Suggestion:
    """Which checkpoint to keep, and why in one sentence.

    Attributes:
        is_alike: whether it looks like the person at all; else it is the closest, and no more.
        next_step: what would help where none looks like the person; else empty.
    """

    checkpoint: Checkpoint
    score: float
    reason: str
    is_alike: bool = True
    next_step: str = ""


NOT_ALIKE = 0.2
"""Likeness below which nobody would recognize the person; a choice."""
ENOUGH_PHOTOS = 10
"""From fewer photos a face is rarely learned from all sides; a choice."""
DRIFT_WEIGHT = 1.0
"""How much likeness one unit of drift costs. A choice: a person who is learned matters more than others who change."""


def suggest_checkpoint(checkpoints: Sequence[Checkpoint], calibration: Calibration | None) -> Suggestion | None:
    """Choose by likeness minus drift, not by the last step; of equals the earlier.

    Differences smaller than the spread of the person's own photos count as equal; but one that another equal beats in
    likeness, drift and loss alike is never suggested.

    Args:
        checkpoints: of one run.
        calibration: None chooses by drift alone among the latest half, without drift the last, and says so.

    Returns:
        None when there is no checkpoint.
    """
    ordered = sorted(checkpoints, key=lambda c: c.step)
    if not ordered:
        return None
    measured = [c for c in ordered if c.distance is not None]
    if calibration is None or not measured:
        drifts = {c.step: c.drift for c in ordered[len(ordered) // 2 :] if c.drift is not None}
        if not drifts:
            return Suggestion(ordered[-1], 0.0, "Neither likeness nor drift was measured; this is the last one.")
        best = min((c for c in ordered if c.step in drifts), key=lambda c: drifts[c.step])
        return Suggestion(best, 0.0, "Likeness could not be measured; this one changed other people least.")
    scores = [
        calibration.likeness(c.distance) - DRIFT_WEIGHT * (c.drift or 0.0) for c in measured if c.distance is not None
    ]
    top = max(scores)
    nearest = max(calibration.likeness(c.distance) for c in measured if c.distance is not None)
    # Where none is alike yet, nothing speaks for an earlier one: the person is what is missing.
    tolerance = min(0.5 * calibration.spread, 0.05) if nearest >= NOT_ALIKE else 0.0
    equals = [(c, s) for c, s in zip(measured, scores, strict=True) if s >= top - tolerance]
    checkpoint, score = next((c, s) for c, s in equals if not any(_beats(other, c) for other, _ in equals))
    alike = calibration.likeness(checkpoint.distance or 0.0)
    reason = f"Likeness {likeness_figure(alike)} of 1, drift {100 * (checkpoint.drift or 0.0):.1f} %"
    reason += f", loss {checkpoint.loss:.3f}." if checkpoint.loss is not None else "."
    return Suggestion(checkpoint, score, reason, is_alike=alike >= NOT_ALIKE)


def _beats(one: Checkpoint, other: Checkpoint) -> bool:
    """Say whether a checkpoint is as good in all that both have measured, and more alike or of less drift.

    Loss alone proves nothing: it falls on where a training only learns its photos by heart.
    """
    seen = [(one.distance, other.distance), (one.drift, other.drift)]
    known = [(a, b) for a, b in [*seen, (one.loss, other.loss)] if a is not None and b is not None]
    better = any(a < b for a, b in seen if a is not None and b is not None)
    return better and all(a <= b for a, b in known)


PERSON_PRESET = "Preview base, a real person"
"""Title of the preset that reaches furthest on the preview base."""
MORE_STEPS = 0.5
"""A finished run is offered this share of its steps more."""
LEAST_SPREAD = 0.05
"""Two photos may agree by chance; a person's own photos never differ less than this."""
HALF_ALIKE = 0.5


def resolutions(made_for: int, now: int) -> list[int]:
    """Return the sides in pixels that a base can be trained at.

    Args:
        made_for: side that the base was made for; a small one leaves no choice.
        now: of the plan.
    """
    if made_for < SMALLEST_RESOLUTION:
        return [now]
    return sorted({now, made_for, made_for * 3 // 4 // 64 * 64, made_for // 2})


def next_step(plan: TrainingPlan, photos: int, *, is_preview: bool) -> str:
    """Return what would help a run whose checkpoints do not look like the person, in one or two sentences.

    Args:
        photos: it learned from.
        is_preview: it trained the base that comes with the studio, which began with rendered faces only.
    """
    said = []
    if is_preview and not plan.variant_share:
        said.append(
            f"Take the preset “{PERSON_PRESET}”: all weights learn, from the photos and from variants drawn of them."
        )
    elif is_preview:
        said.append(
            "Train on a Stable Diffusion model (Train tab, “Base model”): the preview base is small, and draws"
            f" {plan.resolution} pixels."
        )
    else:
        said.append(f"Let it go on to step {more_steps(plan.steps)}, or choose a preset with more steps.")
    if photos < ENOUGH_PHOTOS:
        said.insert(
            0,
            f"Add photos: it learned from {photos}; {ENOUGH_PHOTOS} to 20 with other angles and light serve better.",
        )
    return " ".join(said)


def more_steps(steps: int) -> int:
    """Return the total to which a finished run of so many steps is offered to go on."""
    return steps + max(1, round(steps * MORE_STEPS))


def judged(likeness: float, spread: float | None) -> Literal["good", "fair", "poor"]:
    """Judge a likeness: good within two spreads of the own photos, poor below half.

    Args:
        likeness: 0 a stranger, 1 as alike as the person's own photos.
        spread: of the own photos; None where it is not known.
    """
    if likeness >= 1 - 2 * max(spread or 0.0, LEAST_SPREAD):
        return "good"
    return "fair" if likeness >= HALF_ALIKE else "poor"
