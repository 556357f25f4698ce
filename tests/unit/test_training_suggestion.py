"""Which checkpoint is suggested, also where little was measured."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from studio.domain.training import (
    PERSON_PRESET,
    Calibration,
    Checkpoint,
    TrainingPlan,
    judged,
    more_steps,
    next_step,
    suggest_checkpoint,
)

WHEN = datetime(2026, 1, 1, tzinfo=UTC)
CALIBRATION = Calibration(embedder="test", own_mean=0.4, own_spread=0.04, stranger=0.6, count=6)


def at(step: int, distance: float | None = None, drift: float | None = None, loss: float | None = None) -> Checkpoint:
    measured = {"distance": distance, "drift": drift, "loss": loss}
    return Checkpoint(id=str(step), run_id="run", step=step, media_sha256="", created=WHEN, **measured)


@pytest.mark.parametrize(
    ("checkpoints", "step", "said"),
    [
        ([at(5), at(10), at(15), at(20)], 20, "Neither likeness nor drift"),
        ([at(5, drift=0.01), at(10, drift=0.2), at(15, drift=0.1), at(20)], 15, "changed other people least"),
        ([at(5, drift=0.01), at(10, drift=0.2), at(15), at(20)], 20, "Neither likeness nor drift"),
        ([at(5, 0.6, 0.0), at(10, 0.42, 0.02), at(15, 0.42, 0.2)], 10, "Likeness"),
        ([at(60, 0.53, 0.02), at(240, 0.49, 0.12)], 240, "Likeness"),
        ([at(180, 0.42, 0.020, 0.06), at(240, 0.418, 0.019, 0.05)], 240, "loss 0.050"),
        ([at(180, 0.42, 0.020, 0.05), at(240, 0.418, 0.021, 0.06)], 180, "loss 0.050"),
        ([at(180, 0.42, 0.020, 0.06), at(240, 0.42, 0.020, 0.05)], 180, "Likeness"),
        ([at(180, 0.42, 0.020), at(240, 0.418, 0.019)], 240, "Likeness"),
    ],
)
def test_the_suggestion_rests_on_what_was_measured(checkpoints, step, said) -> None:
    found = suggest_checkpoint(checkpoints, CALIBRATION)
    assert found is not None
    assert found.checkpoint.step == step
    assert said in found.reason


def test_without_checkpoints_nothing_is_suggested() -> None:
    assert suggest_checkpoint([], None) is None


def test_where_none_looks_like_the_person_nothing_is_suggested_and_the_next_step_is_said() -> None:
    found = suggest_checkpoint([at(5, 0.6, 0.0), at(10, 0.662, 0.0)], CALIBRATION)
    assert found is not None
    assert not found.is_alike
    found = suggest_checkpoint([at(10, 0.662, 0.0)], CALIBRATION)
    assert found is not None
    assert found.reason.startswith("Likeness -.31 of 1,")
    assert suggest_checkpoint([at(10, 0.5, 0.0)], CALIBRATION).is_alike  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("photos", "is_preview", "variants", "said", "unsaid"),
    [
        (4, True, 0.4, ["learned from 4", "Stable Diffusion model", "128 pixels"], ["step 150", PERSON_PRESET]),
        (20, True, 0.4, ["Stable Diffusion model"], ["Add photos"]),
        (20, True, 0.0, [PERSON_PRESET], ["Stable Diffusion", "Add photos"]),
        (4, False, 0.0, ["learned from 4", "step 150"], ["preview", "Preview"]),
        (20, False, 0.0, ["step 150"], ["Add photos", "preview"]),
    ],
)
def test_the_next_step_is_the_one_that_would_help(photos, is_preview, variants, said, unsaid) -> None:
    step = next_step(TrainingPlan(steps=100, variant_share=variants), photos, is_preview=is_preview)
    assert all(words in step for words in said)
    assert not any(words in step for words in unsaid)


def test_where_nobody_is_alike_yet_the_most_alike_is_suggested_whatever_came_earlier() -> None:
    found = suggest_checkpoint([at(5, 0.61, 0.0), at(10, 0.6, 0.0)], CALIBRATION)
    assert found is not None
    assert found.checkpoint.step == 10


@pytest.mark.parametrize(("steps", "total"), [(100, 150), (1, 2), (3, 5)])
def test_a_finished_run_is_offered_half_of_its_steps_more(steps, total):
    assert more_steps(steps) == total


@pytest.mark.parametrize(
    ("likeness", "spread", "said"),
    [(0.83, 0.1, "good"), (0.8, 0.1, "good"), (0.79, 0.1, "fair"), (0.5, 0.1, "fair"), (0.49, 0.1, "poor"),
     (0.9, None, "good"), (0.89, None, "fair"), (0.9, 0.0, "good")],
)  # fmt: skip
def test_a_likeness_is_judged_by_the_spread_of_the_own_photos(likeness, spread, said):
    assert judged(likeness, spread) == said
