"""Optimizers: the projected one keeps what it says, follows the gradients, and every state survives being packed."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from studio.engines.diffusion import runtime
from studio.engines.diffusion.training import optimizers
from studio.engines.diffusion.training.optimizers import (
    ProjectedAdamW,
    calibrated,
    correlated,
    correlation_loss,
    expected_state_bytes,
    is_projected,
    make_optimizer,
    pack_state,
    state_bytes,
    unpack_state,
)
from studio.errors import EngineUnavailableError
from tests.engines.training_case import plan_of


@pytest.fixture(autouse=True, scope="module")
def _one_thread() -> None:
    runtime.prepare()


def _weights(seed: int = 0) -> list[torch.nn.Parameter]:
    generator = torch.Generator().manual_seed(seed)
    shapes = ((40, 24), (12, 6, 3, 3), (7,), (4, 4), (6, 50))
    return [torch.nn.Parameter(torch.randn(shape, generator=generator)) for shape in shapes]


def _step(optimizer: torch.optim.Optimizer, weights: list[torch.nn.Parameter], number: int) -> None:
    generator = torch.Generator().manual_seed(1000 + number)
    for weight in weights:
        weight.grad = torch.randn(weight.shape, generator=generator)
    optimizer.step()


@pytest.mark.parametrize("name", ["adamw", "projected_adamw"])
def test_state_is_as_large_as_foretold(name: str) -> None:
    weights = _weights()
    optimizer = make_optimizer(plan_of(optimizer=name, projection_rank=4), [{"params": weights, "lr": 1e-3}])
    _step(optimizer, weights, 0)
    counters = 4 * len(weights) if name == "adamw" else 0  # torch counts each weight's steps in a tensor
    assert state_bytes(optimizer) - counters == expected_state_bytes(name, [w.shape for w in weights], 4)


def test_state_of_a_large_matrix_is_small() -> None:
    shapes = [(1280, 1280), (1280, 1280, 3, 3)]
    lean, usual = (expected_state_bytes(name, shapes, 32) for name in ("projected_adamw", "adamw"))
    assert lean < 0.06 * usual


@pytest.mark.parametrize("name", ["adamw", "projected_adamw"])
def test_a_packed_state_goes_on_bit_for_bit(name: str, tmp_path: Path) -> None:
    import json

    from safetensors.torch import load_file, save_file

    plan = plan_of(optimizer=name, projection_rank=4)
    straight = _weights()
    optimizer = make_optimizer(plan, [{"params": straight[:2], "lr": 1e-2}, {"params": straight[2:], "lr": 1e-3}])
    for number in range(30):
        _step(optimizer, straight, number)
        if number == 11:
            tensors, facts = pack_state(optimizer)
            save_file({k: t.contiguous() for k, t in tensors.items()}, tmp_path / "state")
            text = json.dumps(facts)
            kept = [w.detach().clone() for w in straight]
    again = [torch.nn.Parameter(w) for w in kept]
    second = make_optimizer(plan, [{"params": again[:2], "lr": 9.0}, {"params": again[2:], "lr": 9.0}])
    unpack_state(second, (load_file(tmp_path / "state"), json.loads(text)))
    for number in range(12, 30):
        _step(second, again, number)
    assert all(torch.equal(a, b) for a, b in zip(straight, again, strict=True))


def test_with_rank_to_spare_it_is_adamw() -> None:
    one, other = _weights(), _weights()
    plain = torch.optim.AdamW(one, lr=1e-2, weight_decay=0.1)
    projected = ProjectedAdamW(other, lr=1e-2, weight_decay=0.1, rank=64)
    for number in range(5):
        _step(plain, one, number)
        _step(projected, other, number)
    assert all(torch.allclose(a, b, atol=1e-6) for a, b in zip(one, other, strict=True))


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 1000), st.integers(1, 6), st.integers(8, 40), st.integers(7, 20))
def test_calibration_finds_the_directions_of_a_low_rank_gradient(seed: int, rank: int, rows: int, columns: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    draw = lambda *shape: torch.randn(*shape, generator=generator, dtype=torch.float64)  # noqa: E731
    columns, rows = min(rows, columns), max(rows, columns)
    gradient = draw(rows, rank) @ draw(rank, columns)
    found = calibrated(gradient, draw(columns, rank))
    assert torch.allclose(found.T @ found, torch.eye(rank, dtype=torch.float64), atol=1e-8)
    assert torch.allclose(gradient @ found @ found.T, gradient, atol=1e-6 * float(gradient.abs().max()))


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 1000), st.sampled_from([1e-8, 1.0, 1e4]))
def test_a_cheap_update_lowers_the_objective_whatever_the_gradients_size(seed: int, size: float) -> None:
    generator = torch.Generator().manual_seed(seed)
    gradient = torch.randn(40, 16, generator=generator) * size
    before = torch.linalg.qr(torch.randn(16, 4, generator=generator))[0]
    moment = torch.randn(40, 4, generator=generator) * size + gradient @ before
    unit = gradient / gradient.square().mean().sqrt()
    after = correlated(before, gradient, moment)
    assert correlation_loss(after, unit, moment) < correlation_loss(before, unit, moment)
    assert (after - before).norm() <= optimizers.PROJECTION_RATE * 1.001


def test_projections_follow_gradients_that_turn() -> None:
    """Three kinds of refresh within one run: found, moved, recalibrated; the drifting subspace stays in sight."""
    generator = torch.Generator().manual_seed(0)
    left, right = torch.randn(60, 4, generator=generator), torch.randn(4, 30, generator=generator)
    drift = torch.randn(4, 30, generator=generator) * 0.01
    weight = torch.nn.Parameter(torch.zeros(60, 30))
    kept = {}
    for name, every in (("moved", 5), ("never", 10_000)):
        optimizer = ProjectedAdamW([weight], lr=0.0, rank=4, update_every=every, recalibrate_every=3)
        for number in range(100):
            weight.grad = left @ (right + number * drift)
            optimizer.step()
        projection = optimizer.state[weight]["projection"]
        gradient = weight.grad
        kept[name] = float((gradient @ projection @ projection.T).norm() / gradient.norm())
    assert kept["moved"] > 0.99
    assert kept["moved"] > kept["never"] + 0.02


def test_it_solves_a_regression() -> None:
    generator = torch.Generator().manual_seed(0)
    inputs = torch.randn(256, 48, generator=generator)
    truth = torch.randn(48, 3, generator=generator) @ torch.randn(3, 40, generator=generator)
    weight = torch.nn.Parameter(torch.zeros(48, 40))
    optimizer = ProjectedAdamW([weight], lr=0.2, rank=6)
    losses = []
    for _ in range(200):
        loss = (inputs @ weight - inputs @ truth).square().mean()
        losses.append(float(loss.detach()))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert losses[-1] < 0.02 * losses[0]


def test_only_large_matrices_are_projected() -> None:
    assert is_projected((64, 32, 3, 3), 32)
    assert not is_projected((32, 64, 3, 3), 32)
    assert not is_projected((4096,), 32)


@pytest.mark.parametrize(("name", "package"), [("adamw8bit", "bitsandbytes"), ("prodigy", "prodigyopt")])
def test_a_missing_package_is_named(name: str, package: str, monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(EngineUnavailableError, match=package):
        make_optimizer(plan_of(optimizer=name), [{"params": _weights(), "lr": 1e-3}])
