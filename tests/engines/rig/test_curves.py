"""Curves and nearest points, against scipy's; and what a first picture no longer imports."""

from __future__ import annotations

import subprocess
import sys

import cv2
import numpy as np
import pytest
from scipy.interpolate import PchipInterpolator
from scipy.ndimage import gaussian_filter1d, percentile_filter
from scipy.spatial import cKDTree

from studio.engines.rig import kernels
from studio.engines.rig.curves import monotone_curve, running_rank, smoothed


@pytest.mark.parametrize("count", [2, 3, 11])
@pytest.mark.parametrize("seed", range(8))
def test_curve_is_scipys(count: int, seed: int) -> None:
    random = np.random.default_rng(seed)
    x = np.cumsum(random.uniform(0.01, 2, count))
    y = np.round(random.normal(0, 2, count))  # rounded: level pieces and repeated heights too
    at = np.linspace(x[0], x[-1], 97)
    np.testing.assert_allclose(monotone_curve(x, y, at), PchipInterpolator(x, y)(at), atol=1e-9)


@pytest.mark.parametrize("sigma", [0.8, 3.0, 8.0])
def test_smoothed_is_scipys(sigma: float) -> None:
    curve = np.random.default_rng(2).normal(0, 1, 97)
    np.testing.assert_allclose(smoothed(curve, sigma), gaussian_filter1d(curve, sigma), atol=1e-9)
    ends = gaussian_filter1d(curve, sigma, mode="nearest")
    np.testing.assert_allclose(smoothed(curve, sigma, cv2.BORDER_REPLICATE), ends, atol=1e-9)


@pytest.mark.parametrize(("size", "percent"), [(25, 65), (3, 50), (11, 50)])
def test_running_rank_is_scipys(size: int, percent: int) -> None:
    curve = np.random.default_rng(5).normal(0, 1, 97)
    np.testing.assert_array_equal(running_rank(curve, size, percent), percentile_filter(curve, percent, size))
    ends = percentile_filter(curve, percent, size, mode="nearest")
    np.testing.assert_array_equal(running_rank(curve, size, percent, "edge"), ends)


def test_nearest_is_scipys() -> None:
    random = np.random.default_rng(7)
    points, others = random.uniform(-20, 120, (300, 2)), random.uniform(0, 100, (500, 2))
    rows, distance = np.empty((300, 6), np.int32), np.empty((300, 6))
    kernels.nearest(points, others, rows, distance)
    expected, near = cKDTree(others).query(points, k=6)
    np.testing.assert_allclose(distance, expected)
    np.testing.assert_array_equal(rows, near)


def test_rig_starts_without_the_slow_parts_of_scipy() -> None:
    code = (
        "import sys, studio.engines.rig.animator as a; a.warm_up(); "
        "print([m for m in ('interpolate', 'ndimage', 'spatial', 'special', 'sparse') if f'scipy.{m}' in sys.modules])"
    )
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert loaded.stdout.strip() == "[]"
