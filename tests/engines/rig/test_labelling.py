"""Labels on a grid against all labellings tried one by one."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest

from studio.engines.rig.labelling import CHANGE, IMPOSSIBLE, label

CAP = 2500.0


def total(costs, shows, pairs, labels) -> float:
    cost = sum(float(costs[n, a]) for n, a in enumerate(labels))
    for p, q in pairs:
        a, b = labels[p], labels[q]
        if a != b:
            apart = (min(((shows[n, a] - shows[n, b]) ** 2).sum(), CAP) for n in (p, q))
            cost += CHANGE + float(sum(apart))
    return cost


@pytest.mark.parametrize("seed", range(4))
def test_a_line_of_nodes_gets_the_best_labels_of_all(seed):
    rng = np.random.default_rng(seed)
    costs = rng.uniform(0, 900, (6, 3)).astype(np.float32)
    shows = rng.uniform(0, 40, (6, 3, 3)).astype(np.float32)
    costs[2, 0] = IMPOSSIBLE
    index = np.arange(6, dtype=np.int32)[None]
    pairs = [(n, n + 1) for n in range(5)]
    best = min(product(range(3), repeat=6), key=lambda labels: total(costs, shows, pairs, labels))
    np.testing.assert_array_equal(label(costs, shows, index, CAP), best)


def test_a_grid_with_a_gap_gets_labels_next_to_the_best():
    rng = np.random.default_rng(5)
    index = np.array([[0, 1, 2], [3, -1, 4], [5, 6, 7]], np.int32)
    costs = rng.uniform(0, 900, (8, 3)).astype(np.float32)
    shows = rng.uniform(0, 30, (8, 3, 3)).astype(np.float32)
    pairs = [(0, 1), (1, 2), (0, 3), (2, 4), (3, 5), (4, 7), (5, 6), (6, 7)]
    found = total(costs, shows, pairs, label(costs, shows, index, CAP))
    least = min(total(costs, shows, pairs, labels) for labels in product(range(3), repeat=8))
    assert found <= 1.02 * least
