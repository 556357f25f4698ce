"""The loss and the learning rate, against what the papers say."""

from __future__ import annotations

import math

import pytest
import torch
from diffusers import DDPMScheduler
from hypothesis import given
from hypothesis import strategies as st

from studio.engines.diffusion.training.trainer import SNR_FLOOR, masked_error, schedule_factor, step_weights
from tests.engines.training_case import plan_of


def _scheduler(prediction: str, *, zero: bool = False) -> DDPMScheduler:
    return DDPMScheduler(
        beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear", prediction_type=prediction,
        rescale_betas_zero_snr=zero,
    )  # fmt: skip


def test_min_snr_agrees_with_the_librarys_ratio() -> None:
    from diffusers.training_utils import compute_snr

    scheduler = _scheduler("epsilon")
    ratio = compute_snr(scheduler, torch.arange(1000))
    assert torch.allclose(step_weights(scheduler, 5.0), ratio.clamp_max(5.0) / ratio, rtol=1e-4)
    wanted = (ratio.clamp_max(5.0) / (ratio + 1.0)).clamp_min(SNR_FLOOR)
    assert torch.allclose(step_weights(_scheduler("v_prediction"), 5.0), wanted, rtol=1e-4)


@pytest.mark.parametrize("prediction", ["epsilon", "v_prediction"])
def test_weights_are_numbers_even_where_no_signal_is_left(prediction: str) -> None:
    weights = step_weights(_scheduler(prediction, zero=True), 5.0)
    assert weights.isfinite().all()
    assert weights.min() > 0
    assert weights.max() <= 1
    assert step_weights(_scheduler("v_prediction", zero=True), 5.0)[-1] == pytest.approx(SNR_FLOOR)


def test_gamma_zero_weighs_all_alike() -> None:
    assert torch.equal(step_weights(_scheduler("v_prediction"), 0.0), torch.ones(1000))


@given(st.floats(0.0, 1.0), st.integers(0, 100))
def test_the_masked_error_sees_the_background_as_much_as_told(background: float, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    weights = torch.full((1, 1, 4, 4), background)
    weights[..., :2] = 1.0
    target = torch.randn(1, 3, 4, 4, generator=generator)
    predicted = target.clone()
    predicted[..., 2:] += 2.0  # wrong in the background alone
    share = background * 8 / (8 + background * 8)
    assert masked_error(predicted, target, weights).item() == pytest.approx(4.0 * share, abs=1e-5)


def test_equal_weights_are_the_plain_mean() -> None:
    one, other = torch.randn(2, 3, 4, 8, 8)
    plain = (one - other).square().mean((1, 2, 3))
    assert torch.allclose(masked_error(one, other, torch.full((3, 1, 8, 8), 0.3)), plain, atol=1e-6)


@given(st.sampled_from(["constant", "cosine", "linear"]), st.integers(1, 500), st.integers(0, 100))
def test_rates_warm_up_and_never_leave_0_to_1(schedule: str, steps: int, warmup: int) -> None:
    plan = plan_of(schedule=schedule, steps=steps, warmup_steps=warmup)
    factors = [schedule_factor(plan, step) for step in range(steps)]
    assert all(0.0 < factor <= 1.0 for factor in factors)
    rest = factors[warmup:]
    assert rest == sorted(rest, reverse=True)
    if warmup > 1:
        assert factors[0] == pytest.approx(1.0 / warmup)
    if schedule == "cosine" and steps > 1 and warmup == 0:
        assert factors[-1] == pytest.approx(0.5 * (1 + math.cos(math.pi * (steps - 1) / steps)))
