"""A face that is followed while it moves, and what a portrait takes from it at once.

`driving.drive` knows a whole clip; here only what was seen up to now is known.
The filter is the same, forward in time alone. The face at rest is the calmest
of the first seconds, or the moment in which somebody says so; it is exchanged
gently. A face that is lost holds its look, then eases to rest, as in a clip.
"""

from __future__ import annotations

from collections import deque
from dataclasses import fields, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from studio.domain.driving import (
    CALM_HZ,
    RETURN_SECONDS,
    NeutralFace,
    OneEuro,
    TrackedFace,
    carried,
    closed_level,
    held_share,
    neutral_of,
    sealed,
    with_closures,
)
from studio.domain.expression import ARKIT_NAMES
from studio.domain.performance import MouthResponse, Performance

LEARNING_SECONDS = 3.0
"""So long from its first sight on the face at rest is looked for."""
REST_SECONDS = 0.4
"""So much after the moment in which somebody says that the face rests is the face at rest."""
_REMEMBERED_SECONDS = 10.0
_LEARN_EVERY_SECONDS = 0.5
_EXCHANGE_SECONDS = 0.3
_LONGEST_STEP_SECONDS = 0.5
"""Whatever a step takes longer counts as this: the page slept."""


class LiveDriver:
    """Makes motion of one face as it is seen.

    Args:
        mouth: of the portrait, `own` being the face that the motion starts from.
    """

    def __init__(self, mouth: MouthResponse) -> None:
        self._mouth = mouth
        self._calm: dict[str, OneEuro] = {}
        self._recent: deque[tuple[float, TrackedFace]] = deque()
        self._now: float | None = None
        self._first = self._seen_at = self._learned_at = 0.0
        self._neutral: NeutralFace | None = None
        self._wanted: NeutralFace | None = None
        self._chosen = False
        self._closed_mm = 0.0
        self._presence = 0.0
        self._offsets, self._head, self._seal = np.zeros((1, len(ARKIT_NAMES))), np.zeros((1, 3)), np.zeros(1)

    def next(self, seconds: float, seen: TrackedFace | None) -> Performance:
        """Return the motion of one moment.

        Args:
            seconds: on any clock, not before the moment before.
            seen: one frame; None where the face is not seen.

        Returns:
            One frame, to be laid on the portrait's own face.
        """
        step = 0.0 if self._now is None else min(max(seconds - self._now, 0.0), _LONGEST_STEP_SECONDS)
        self._now = seconds
        if seen is not None:
            self._see(seconds, step, seen)
        held = float(held_share(np.array(seconds - self._seen_at))) if self._neutral is not None else 0.0
        self._presence = min(held, self._presence + step / RETURN_SECONDS)
        whole = np.float32(self._presence)
        seal = self._seal if seen is not None else np.zeros(1)
        return Performance(
            1.0, self._offsets.astype(np.float32) * whole, self._head.astype(np.float32) * whole,
            np.ones(1, np.float32), (seal * self._presence).astype(np.float32), np.zeros(1, np.float32),
        )  # fmt: skip

    def rest(self) -> None:
        """Take what is seen from now on, for REST_SECONDS, for the face at rest; what was seen before is forgotten."""
        self._recent.clear()
        self._chosen = True

    def _see(self, seconds: float, step: float, seen: TrackedFace) -> None:
        if not self._recent:
            self._calm = {name: OneEuro(*how) for name, how in CALM_HZ.items()}
        calmed: dict[str, Any] = {
            name: one.next(getattr(seen, name), step).astype(np.float32) for name, one in self._calm.items()
        }
        calmed["lip_gap_mm"] = with_closures(calmed["lip_gap_mm"], seen.lip_gap_mm).astype(np.float32)
        calm = replace(seen, **calmed)
        if not self._recent:
            self._first = self._learned_at = seconds
            self._neutral = self._wanted = neutral_of(calm, 0)
        self._recent.append((seconds, calm))
        self._seen_at = seconds
        while seconds - self._recent[0][0] > _REMEMBERED_SECONDS:
            self._recent.popleft()
        if self._chosen and seconds - self._first <= REST_SECONDS:
            self._wanted = _mean_of(_joined([face for _, face in self._recent]))
        if seconds - self._learned_at >= _LEARN_EVERY_SECONDS:
            self._learned_at = seconds
            self._learn(seconds)
        assert self._neutral is not None
        assert self._wanted is not None
        self._neutral = _towards(self._neutral, self._wanted, float(1 - np.exp(-step / _EXCHANGE_SECONDS)))
        self._offsets, self._head = carried(calm, self._neutral, self._mouth, self._closed_mm)
        self._seal = sealed(seen.lip_gap_mm - self._closed_mm)

    def _learn(self, seconds: float) -> None:
        whole = _joined([face for _, face in self._recent])
        self._closed_mm = closed_level(whole)
        if not self._chosen and seconds - self._first <= LEARNING_SECONDS + _LEARN_EVERY_SECONDS:
            self._wanted = neutral_of(whole)


def _joined(rows: list[TrackedFace]) -> TrackedFace:
    names = [f.name for f in fields(TrackedFace) if f.name not in ("frame_rate_hz", "notes")]
    arrays: dict[str, Any] = {name: np.concatenate([getattr(row, name) for row in rows]) for name in names}
    return replace(rows[0], **arrays)


def _mean_of(face: TrackedFace) -> NeutralFace:
    def mean(values: NDArray[np.floating]) -> NDArray[np.float64]:
        return np.asarray(values.mean(0), np.float64)

    return NeutralFace(
        mean(face.weights), mean(face.head_degrees), mean(face.lids), mean(face.gaze), len(face) // 2
    )  # fmt: skip


def _towards(now: NeutralFace, wanted: NeutralFace, share: float) -> NeutralFace:
    arrays = ("weights", "head_degrees", "lids", "gaze")
    moved = {name: getattr(now, name) + share * (getattr(wanted, name) - getattr(now, name)) for name in arrays}
    return replace(wanted, **moved)
