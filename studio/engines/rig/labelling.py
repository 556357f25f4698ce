"""One of a few labels for every node of a grid, so that neighbors agree.

Every label has a cost at every node, and two neighbors pay for the difference of what
their labels show at both places, as pieces of pictures do along a seam. Messages are
sent back and forth through the grid (sequential tree-reweighted message passing), then
labels are read out one after the other.

Source: Kolmogorov, "Convergent tree-reweighted message passing", 2006. This module knows no pictures.
"""

from __future__ import annotations

from typing import Any

import numba as nb
import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]

ROUNDS = 4  # forth and back: further ones change no label that is seen
CHANGE = 12.0  # what two labels beside each other cost at least
IMPOSSIBLE = 1e6  # cost from which a label is out of the question


def label(costs: Array, shows: Array, index: Array, cap: float) -> NDArray[np.int64]:
    """Return every node's label.

    Args:
        costs: of each label at each node; IMPOSSIBLE rules it out.  # (N, K) float32
        shows: what each label shows at each node.  # (N, K, C) float32
        index: node per cell of the grid in reading order, -1 where none.  # (h, w) int32
        cap: squared difference beyond which two things shown are simply different.

    Returns:
        (N,)
    """
    beside = _neighbors(index, len(costs))
    edges = np.full((len(costs), 2), -1, np.int64)  # of every node's pair to the right and downwards
    count = 0
    for side in (1, 3):
        has = beside[:, side] >= 0
        edges[has, side // 2] = np.arange(count, count + has.sum())
        count += int(has.sum())
    pairs = np.empty((count, costs.shape[1], costs.shape[1]), np.float32)
    _differences(shows, beside, edges, cap, pairs)
    messages = np.zeros((len(costs), 4, costs.shape[1]), np.float32)
    _pass(costs, beside, edges, pairs, messages)
    labels = np.zeros(len(costs), np.int64)
    _read_out(costs, beside, edges, pairs, messages, labels)
    return labels


def _neighbors(index: Array, count: int) -> NDArray[np.int32]:
    """Return the nodes to the left, right, above and below, -1 where none.  # (N, 4)"""
    padded = np.pad(index, 1, constant_values=-1)
    ys, xs = np.where(index >= 0)
    out = np.empty((count, 4), np.int32)
    for side, (dy, dx) in enumerate(((0, -1), (0, 1), (-1, 0), (1, 0))):
        out[:, side] = padded[ys + 1 + dy, xs + 1 + dx]
    return out


@nb.njit(cache=True, nogil=True, fastmath=True)
def _differences(shows: Array, beside: Array, edges: Array, cap: float, out: Array) -> None:
    """Write what every pair of labels costs along every edge.

    Args:
        shows: (N, K, C)
        beside: (N, 4)
        edges: to the right and downwards.  # (N, 2)
        cap: of each of both places.
        out: either label, for either node.  # (E, K, K)
    """
    count, kinds, channels = shows.shape
    most, change = np.float32(cap), np.float32(CHANGE)
    at = np.empty((count, kinds, kinds), np.float32)
    for p in range(count):
        for a in range(kinds):
            at[p, a, a] = np.float32(0.0)
            for b in range(a):
                total = np.float32(0.0)
                for k in range(channels):
                    total += (shows[p, a, k] - shows[p, b, k]) ** 2
                at[p, a, b] = at[p, b, a] = min(total, most)
    for p in range(count):
        for side in range(2):
            q, edge = beside[p, 2 * side + 1], edges[p, side]
            if q < 0:
                continue
            for a in range(kinds):
                for b in range(kinds):
                    out[edge, a, b] = at[p, a, b] + at[q, a, b] + change
                out[edge, a, a] = np.float32(0.0)


@nb.njit(cache=True, nogil=True, fastmath=True)
def _pass(costs: Array, beside: Array, edges: Array, pairs: Array, messages: Array) -> None:
    """Send messages through the grid, forth and back.

    Args:
        costs: (N, K)
        beside, edges, pairs: see above.
        messages: into every node from its four neighbors, improved.  # (N, 4, K)
    """
    count, kinds = costs.shape
    sent, heard = np.empty(kinds, np.float32), np.empty(kinds, np.float32)
    for turn in range(2 * ROUNDS):
        forth = turn % 2 == 0
        for n in range(count):
            p = n if forth else count - 1 - n
            ahead = behind = 0
            for side in range(4):
                if beside[p, side] >= 0:
                    if (side % 2 == 1) == forth:
                        ahead += 1
                    else:
                        behind += 1
            share = np.float32(1.0 / max(ahead, behind, 1))
            for axis in range(2):
                side = 2 * axis + (1 if forth else 0)
                q = beside[p, side]
                if q < 0:
                    continue
                for a in range(kinds):
                    told = messages[p, 0, a] + messages[p, 1, a] + messages[p, 2, a] + messages[p, 3, a]
                    sent[a] = share * (costs[p, a] + told) - messages[p, side, a]
                pair = pairs[edges[p if forth else q, axis]]
                heard[:] = np.float32(1e30)
                for a in range(kinds):
                    for b in range(kinds):
                        heard[b] = min(heard[b], sent[a] + pair[a, b])
                back = side - 1 if side % 2 == 1 else side + 1
                least = heard.min()
                for b in range(kinds):
                    messages[q, back, b] = heard[b] - least


@nb.njit(cache=True, nogil=True, fastmath=True)
def _read_out(costs: Array, beside: Array, edges: Array, pairs: Array, messages: Array, labels: Array) -> None:
    """Choose labels in reading order, each to suit those chosen before and the messages from those to come.  # (N,)"""
    count, kinds = costs.shape
    for p in range(count):
        best = np.float32(1e30)
        left, above = beside[p, 0], beside[p, 2]
        for a in range(kinds):
            cost = costs[p, a] + messages[p, 1, a] + messages[p, 3, a]
            if left >= 0:
                cost += pairs[edges[left, 0], labels[left], a]
            if above >= 0:
                cost += pairs[edges[above, 1], labels[above], a]
            if cost < best:
                best = cost
                labels[p] = a
