"""Whose face is whose: faces sorted into people by their embeddings, with a person's answers as law.

Groups are merged by mean distance, nearest first (average linkage). Two faces
of one photo are never one person; two faces a person has linked always are,
two faces told apart never. Merging stops where the distance is no longer
surely that of one person; what lies between is a question. Works on plain
arrays: what the vectors mean is the caller's affair.

Source: average linkage with Lance-Williams updates; cannot-links as in
Davidson, Ravi, "Agglomerative hierarchical clustering with constraints", 2005.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Pair = tuple[int, int]


def distances(vectors: NDArray[np.floating]) -> Floats:
    """Return all Euclidean distances.

    Args:
        vectors: one per row.  # (N, D)

    Returns:
        Symmetric, zeros on the diagonal.  # (N, N)
    """
    rows = np.asarray(vectors, np.float64)
    squares = (rows**2).sum(1)
    out = np.sqrt(np.maximum(squares[:, None] + squares[None, :] - 2 * rows @ rows.T, 0.0))
    np.fill_diagonal(out, 0.0)
    return np.asarray((out + out.T) / 2)


def leave_one_out(vectors: NDArray[np.floating]) -> Floats:
    """Return the distance of each vector from the middle of the others.

    Args:
        vectors: at least two rows.  # (N, D)

    Returns:
        One distance per row.  # (N,)

    Raises:
        ValueError: fewer than two vectors.
    """
    rows = np.asarray(vectors, np.float64)
    if len(rows) < 2:
        raise ValueError("one vector cannot be compared with the others")
    others = (rows.sum(0) - rows) / (len(rows) - 1)
    return np.asarray(np.linalg.norm(rows - others, axis=1))


def unite(count: int, pairs: Iterable[Pair]) -> NDArray[np.intp]:
    """Return group numbers 0.. of `count` things after uniting pairs, in order of first appearance.  # (count,)"""
    parent = list(range(count))

    def root(i: int) -> int:
        while parent[i] != i:
            parent[i] = parent[parent[i]]
            i = parent[i]
        return i

    for a, b in pairs:
        low, high = sorted((root(a), root(b)))
        parent[high] = low
    roots = [root(i) for i in range(count)]
    numbers = {r: n for n, r in enumerate(dict.fromkeys(roots))}
    return np.array([numbers[r] for r in roots], np.intp)


def group_means(apart: Floats, labels: NDArray[np.intp]) -> Floats:
    """Return mean distances between groups.

    Args:
        apart: distances between things.  # (N, N)
        labels: group of each thing, 0..G-1.  # (N,)

    Returns:
        Symmetric; the diagonal is 0.  # (G, G)
    """
    member = np.zeros((len(labels), int(labels.max()) + 1 if len(labels) else 0))
    member[np.arange(len(labels)), labels] = 1.0
    sizes = member.sum(0)
    means = member.T @ apart @ member / np.outer(sizes, sizes)
    np.fill_diagonal(means, 0.0)
    return np.asarray(means)


def sort_people(
    apart: Floats, limit: float, *, same: Sequence[Pair] = (), different: Sequence[Pair] = ()
) -> NDArray[np.intp]:
    """Sort things into groups.

    Groups form by distance first and are then joined by `same`, so that joining
    two faces joins those around them too; where that would bring together what
    was told apart, `same` comes first.

    Args:
        apart: distances.  # (N, N)
        limit: groups whose mean distance is at least this stay apart.
        same: pairs that belong together; they win over `different`.
        different: pairs that never come together.

    Returns:
        Group of each thing, numbered in order of first appearance.  # (N,)
    """
    count = len(apart)
    if count == 0:
        return np.zeros(0, np.intp)
    joined = unite(count, same)
    if not same:
        return _merged(apart, limit, joined, different)
    different = [(a, b) for a, b in different if joined[a] != joined[b]]
    # What is told apart from one of several joined things is told apart from all of them.
    blocked = blocked_groups(joined, different)
    spread = [(int(a), int(b)) for a, b in np.argwhere(np.triu(blocked[np.ix_(joined, joined)]))]
    alone = _merged(apart, limit, np.arange(count, dtype=np.intp), spread)
    both = unite(count, [*same, *_chains(alone)])
    start = joined if any(both[a] == both[b] for a, b in different) else both
    return _merged(apart, limit, start, different)


def _chains(labels: NDArray[np.intp]) -> list[Pair]:
    """Return pairs that unite each group."""
    members = [np.flatnonzero(labels == g) for g in range(int(labels.max()) + 1)]
    return [(int(a), int(b)) for m in members for a, b in pairwise(m)]


def _merged(apart: Floats, limit: float, labels: NDArray[np.intp], different: Sequence[Pair]) -> NDArray[np.intp]:
    """Merge groups by mean distance, nearest first, and number them in order of first appearance.  # (N,)"""
    means = group_means(apart, labels)
    sizes = np.bincount(labels).astype(np.float64)
    blocked = blocked_groups(labels, different)
    np.fill_diagonal(blocked, True)
    cost = np.where(blocked, np.inf, means)
    nearest = cost.argmin(1)
    alive = np.ones(len(sizes), bool)
    target = np.arange(len(sizes))
    every = np.arange(len(sizes))
    while True:
        lowest = np.where(alive, cost[every, nearest], np.inf)
        a = int(lowest.argmin())
        if not lowest[a] < limit:
            break
        a, b = sorted((a, int(nearest[a])))
        row = (sizes[a] * means[a] + sizes[b] * means[b]) / (sizes[a] + sizes[b])
        means[a], means[:, a] = row, row
        blocked[a] |= blocked[b]
        blocked[:, a] = blocked[a]
        blocked[b], blocked[:, b] = True, True
        sizes[a] += sizes[b]
        alive[b] = False
        target[target == b] = a
        cost[a] = np.where(blocked[a], np.inf, means[a])
        cost[:, a] = cost[a]
        cost[b], cost[:, b] = np.inf, np.inf
        # Only rows whose nearest was one of the two can have lost it; others can only have gained row a.
        stale = np.flatnonzero(alive & ((nearest == a) | (nearest == b)))
        nearest[stale] = cost[stale].argmin(1)
        nearest[a] = cost[a].argmin()
        nearest[alive & (cost[:, a] < cost[every, nearest])] = a
    return _numbered(target[labels])


def _numbered(labels: NDArray[np.intp]) -> NDArray[np.intp]:
    numbers = {g: n for n, g in enumerate(dict.fromkeys(labels.tolist()))}
    return np.array([numbers[g] for g in labels.tolist()], np.intp)


def absorb(
    vectors: NDArray[np.floating], labels: NDArray[np.intp], near: float, *, different: Sequence[Pair] = ()
) -> NDArray[np.intp]:
    """Let groups of three and more take in small groups that lie close to their middle.

    The middle of several faces is a surer measure than any single pair of them: a
    picture from the side is far from each other picture and still near the middle.

    Args:
        vectors: one per thing.  # (N, D)
        labels: of `sort_people`.  # (N,)
        near: every member must be nearer than this to the middle, and clearly nearer than to any other large group's.
        different: pairs that never come together.

    Returns:
        New labels, numbered in order of first appearance.  # (N,)
    """
    sizes = np.bincount(labels)
    large = [g for g in range(len(sizes)) if sizes[g] > _SMALL_GROUP]
    if not large:
        return labels
    blocked = blocked_groups(labels, different)
    centers = np.array([np.asarray(vectors, np.float64)[labels == g].mean(0) for g in large])
    out = labels.copy()
    for group in range(len(sizes)):
        if sizes[group] > _SMALL_GROUP:
            continue
        gaps = np.linalg.norm(vectors[labels == group][:, None] - centers[None], axis=2).max(0)
        order = np.argsort(gaps)
        first = int(order[0])
        clear = len(order) == 1 or gaps[order[1]] - gaps[first] >= _CLEARLY
        if gaps[first] < near and clear and not blocked[group, large[first]]:
            out[labels == group] = large[first]
            blocked[large[first]] |= blocked[group]
            blocked[:, large[first]] |= blocked[:, group]
    return _numbered(out)


_SMALL_GROUP, _CLEARLY = 2, 0.08


def blocked_groups(labels: NDArray[np.intp], different: Sequence[Pair]) -> NDArray[np.bool_]:
    """Return which groups hold a pair that was told apart; pairs inside one group are passed over.  # (G, G)"""
    count = int(labels.max()) + 1 if len(labels) else 0
    blocked = np.zeros((count, count), bool)
    for a, b in different:
        x, y = int(labels[a]), int(labels[b])
        if x != y:
            blocked[x, y] = blocked[y, x] = True
    return blocked


def most_typical(apart: Floats, members: Sequence[int]) -> list[int]:
    """Return the members, the one nearest to all others first."""
    inside = apart[np.ix_(members, members)].sum(1)
    return [members[i] for i in np.argsort(inside, kind="stable")]


LEAST_OTHERS = 3
"""So many other faces make a middle that one face can be held against."""


def outsiders(vectors: NDArray[np.floating], stranger: float, apart: float) -> list[int]:
    """Return which faces are not of the person whom the others show.

    The worst is taken out first and the rest looked at again, so that one stranger does not pull the middle to
    itself. Fewer than LEAST_OTHERS others make no middle; there a face counts that is far from each of them.

    Args:
        vectors: one face per row.  # (N, D)
        stranger: distance from the middle of the others beyond which a face is another person's.
        apart: distance of two faces beyond which they are two people's.

    Returns:
        Row numbers, ascending; with two faces that are apart, both.
    """
    rows = np.asarray(vectors, np.float64)
    left, out = list(range(len(rows))), []  # type: list[int], list[int]
    while len(left) > LEAST_OTHERS:
        away = leave_one_out(rows[left])
        worst = int(away.argmax())
        if away[worst] <= stranger:
            return sorted(out)
        out.append(left.pop(worst))
    if len(left) > 1:
        between = distances(rows[left])
        np.fill_diagonal(between, np.inf)
        out += [left[i] for i in np.flatnonzero(between.min(1) > apart)]
    return sorted(out)
