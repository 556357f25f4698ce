"""Which checkpoint is suggested, also where little was measured."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from studio.domain.training import Calibration, Checkpoint, suggest_checkpoint

WHEN = datetime(2026, 1, 1, tzinfo=UTC)
CALIBRATION = Calibration(embedder="test", own_mean=0.4, own_spread=0.04, stranger=0.6, count=6)


def at(step: int, distance: float | None = None, drift: float | None = None) -> Checkpoint:
    return Checkpoint(
        id=str(step), run_id="run", step=step, media_sha256="", distance=distance, drift=drift, created=WHEN
    )


@pytest.mark.parametrize(
    ("checkpoints", "step", "said"),
    [
        ([at(5), at(10), at(15), at(20)], 20, "Neither likeness nor drift"),
        ([at(5, drift=0.01), at(10, drift=0.2), at(15, drift=0.1), at(20)], 15, "changed other people least"),
        ([at(5, drift=0.01), at(10, drift=0.2), at(15), at(20)], 20, "Neither likeness nor drift"),
        ([at(5, 0.6, 0.0), at(10, 0.42, 0.02), at(15, 0.42, 0.2)], 10, "Likeness"),
    ],
)
def test_the_suggestion_rests_on_what_was_measured(checkpoints, step, said) -> None:
    found = suggest_checkpoint(checkpoints, CALIBRATION)
    assert found is not None
    assert found.checkpoint.step == step
    assert said in found.reason


def test_without_checkpoints_nothing_is_suggested() -> None:
    assert suggest_checkpoint([], None) is None
