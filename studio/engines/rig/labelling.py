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

ROUNDS = 3  # forth and back: further ones change no label that is seen
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
    unlike = np.empty((len(costs), costs.shape[1], costs.shape[1]), np.float32)
    _differences(np.ascontiguousarray(shows.swapaxes(1, 2)), cap, unlike)
    messages = np.zeros((len(costs), 4, costs.shape[1]), np.float32)
    _pass(costs, beside, unlike, messages)
    labels = np.zeros(len(costs), np.int64)
    _read_out(costs, beside, unlike, messages, labels)
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
def _differences(shows: Array, cap: float, out: Array) -> None:
    """Write by how much every two labels differ at every node.

    Two neighbors with two labels pay the sum of what these differ by at both, and CHANGE.

    Args:
        shows: (N, C, K)
        cap: of each difference.
        out: half of CHANGE is in it, and 0 on the diagonal.  # (N, K, K)
    """
    count, channels, kinds = shows.shape
    most, change = np.float32(cap), np.float32(CHANGE / 2)
    row = np.empty(kinds, np.float32)
    for p in range(count):
        for a in range(kinds):
            row[:] = np.float32(0.0)
            for k in range(channels):
                own = shows[p, k, a]
                for b in range(kinds):
                    row[b] += (shows[p, k, b] - own) ** 2
            for b in range(kinds):
                out[p, a, b] = min(row[b], most) + change
            out[p, a, a] = np.float32(0.0)


@nb.njit(cache=True, nogil=True, fastmath=True)
def _pass(costs: Array, beside: Array, unlike: Array, messages: Array) -> None:
    """Send messages through the grid, forth and back.

    Args:
        costs: (N, K)
        beside, unlike: see above.
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
                heard[:] = np.float32(1e30)
                for a in range(kinds):
                    for b in range(kinds):
                        heard[b] = min(heard[b], sent[a] + unlike[p, a, b] + unlike[q, a, b])
                back = side - 1 if side % 2 == 1 else side + 1
                least = heard.min()
                for b in range(kinds):
                    messages[q, back, b] = heard[b] - least


@nb.njit(cache=True, nogil=True, fastmath=True)
def _read_out(costs: Array, beside: Array, unlike: Array, messages: Array, labels: Array) -> None:
    """Choose labels in reading order, each to suit those chosen before and the messages from those to come.  # (N,)"""
    count, kinds = costs.shape
    for p in range(count):
        best = np.float32(1e30)
        left, above = beside[p, 0], beside[p, 2]
        for a in range(kinds):
            cost = costs[p, a] + messages[p, 1, a] + messages[p, 3, a]
            if left >= 0:
                cost += unlike[left, labels[left], a] + unlike[p, labels[left], a]
            if above >= 0:
                cost += unlike[above, labels[above], a] + unlike[p, labels[above], a]
            if cost < best:
                best = cost
                labels[p] = a
