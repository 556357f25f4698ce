"""What a training says while it works: which sample is drawn, and how long it still takes with the samples."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from studio.services.training import recording

STEPS, SAMPLE_EVERY = 240, 20


class Clock:
    now = 1000.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch):
    made = Clock()
    monkeypatch.setattr(recording.time, "monotonic", made.monotonic)
    return made


@pytest.fixture
def told():
    return []


@pytest.fixture
def recorder(told, clock):
    plan = SimpleNamespace(steps=STEPS, sample_every=SAMPLE_EVERY)
    runs = SimpleNamespace(forget_after=lambda *_: None, add_metrics=lambda *_: None)
    place = SimpleNamespace(progress=lambda *said: told.append(said))
    run = SimpleNamespace(id="run", plan=plan)
    return recording.RunRecorder(SimpleNamespace(runs=runs), run, place, None, None)


def test_before_the_first_step_it_says_which_sample_is_drawn(recorder, told) -> None:
    recorder.drawing(0, 3, 8)
    fraction, message, _, left = told[-1]
    assert (fraction, left) == (0.0, None)
    assert message == "Drawing sample 3 of 8 of the base, before the first step"
    recorder.step(20, 0.1, 1e-4)
    recorder.drawing(20, 1, 8)
    assert told[-1][1] == "Drawing sample 1 of 8 after step 20"


def test_after_the_last_step_the_samples_that_are_still_drawn_are_counted(recorder, told, clock) -> None:
    for step in range(1, STEPS + 1):
        clock.now += 1.0
        recorder.step(step, 0.1, 1e-4)
    recorder.drawing(STEPS, 1, 12)
    assert told[-1][3] is None, "nothing is known yet, and 0 would be wrong"
    for number in range(2, 13):
        clock.now += 4.0
        recorder.drawing(STEPS, number, 12)
        assert told[-1][3] == pytest.approx(4.0 * (13 - number))


def test_the_time_left_counts_the_samples_and_follows_a_computer_that_gets_slower(recorder, told, clock) -> None:
    for step in range(1, 61):
        clock.now += 1.0 if step % SAMPLE_EVERY != 1 else 41.0  # forty seconds of samples every twenty steps
        recorder.step(step, 0.1, 1e-4)
    quick = told[-1][3]
    assert quick == pytest.approx((STEPS - 60) * 3.0, rel=0.35)
    for step in range(61, 121):
        clock.now += 10.0
        recorder.step(step, 0.1, 1e-4)
    assert told[-1][3] == pytest.approx((STEPS - 120) * 10.0, rel=0.05)
