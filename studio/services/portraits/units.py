"""Action units of a picture or of a clip: how strongly a face shows each, by the table of `domain.action_units`."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from studio.domain.action_units import TRACKS, UNITS, by_unit, intensities
from studio.domain.template import NO_MOUTH, expression_of
from studio.errors import UserInputError
from studio.services.clips.driven import STILL_PICTURES, driven_motion
from studio.services.clips.request import AnimationRequest
from studio.services.portraits.expressions import PortraitHandle
from studio.services.portraits.templates import Templates
from studio.services.progress import OnProgress, Progress
from studio.services.sources import MediaSource, Sources

if TYPE_CHECKING:
    from studio.domain.performance import Performance
    from studio.engines import Engines


LEAST = 0.25
"""Weaker than this is no trace."""


@dataclass(frozen=True)
class UnitScores:
    """Intensities over time; a picture is one frame.

    Attributes:
        frame_rate_hz: 0 of a picture.
        tracks: 0..5, in the order of TRACKS.  # (T, len(TRACKS))
        motion: what they were worked out from; None of a picture.
        notes: sentences for the person.
    """

    frame_rate_hz: float
    tracks: NDArray[np.float32] = field(repr=False)
    motion: Performance | None = field(default=None, repr=False)
    notes: tuple[str, ...] = ()

    @property
    def units(self) -> NDArray[np.float32]:
        """0..5 in the order of UNITS, of two sides the stronger.  # (T, len(UNITS))"""
        return by_unit(self.tracks)

    def strongest(self, least: float = 0.5) -> tuple[str, ...]:
        """Return the codes of units that reach `least` somewhere, the strongest first."""
        peaks = self.units.max(0)
        order = np.argsort(-peaks, kind="stable")
        return tuple(UNITS[i].code for i in order if peaks[i] >= least)

    def of(self, code: str) -> NDArray[np.float32]:
        """Return one unit or track over time.  # (T,)"""
        codes = [unit.code for unit in UNITS]
        if code in codes:
            return np.asarray(self.units[:, codes.index(code)])
        return np.asarray(self.tracks[:, [track.code for track in TRACKS].index(code)])

    def told(self) -> dict[str, Any]:
        """Return the scores as JSON values: of a picture all, of a clip those that are shown, frame by frame."""
        tracks = {t.code: [round(float(v), 2) for v in self.tracks[:, i]] for i, t in enumerate(TRACKS)}
        units = {u.code: [round(float(v), 2) for v in self.units[:, i]] for i, u in enumerate(UNITS)}
        if self.motion is None:
            one = {code: values[0] for code, values in units.items()}
            return {"units": one, "tracks": {c: v[0] for c, v in tracks.items()}, "notes": list(self.notes)}
        shown = {}
        for code in self.strongest(LEAST):
            values = self.of(code)
            peak = int(values.argmax())
            shown[code] = {
                "mean": round(float(values.mean()), 2), "peak": round(float(values[peak]), 2),
                "peak_seconds": round(peak / self.frame_rate_hz, 2), "values": units[code],
            }  # fmt: skip
        return {"frame_rate_hz": self.frame_rate_hz, "frames": len(self.tracks), "units": shown,
                "notes": list(self.notes)}  # fmt: skip


def scores_of(motion: Performance) -> UnitScores:
    """Return what a motion shows on a neutral face."""
    return UnitScores(motion.frame_rate_hz, intensities(motion.weights), motion)


class ActionUnits:
    """Reads action units."""

    def __init__(self, sources: Sources, templates: Templates, engines: Engines) -> None:
        self._sources = sources
        self._templates = templates
        self._engines = engines

    def read(
        self,
        source: MediaSource,
        *,
        face_index: int | None = None,
        neutral: MediaSource | float | None = None,
        seconds: float | None = None,
        on_progress: OnProgress | None = None,
    ) -> UnitScores:
        """Read a picture, or follow the face of a clip.

        Args:
            face_index: 0 = largest.
            neutral: a picture of the same person at rest, for a picture; for a clip the second in which they are.
            seconds: of a clip, only so much from its beginning.

        Raises:
            NoFaceError, UnreadableMediaError, LimitExceededError, NotFoundError.
            UserInputError: no such face, or a neutral one that does not fit.
        """
        path = self._sources.path(source)
        if path.suffix.lower() in STILL_PICTURES or source.photo_id is not None:
            if isinstance(neutral, int | float):
                raise UserInputError(
                    "A picture has no second in which its person is at rest.",
                    "Give another picture of the same person, or nothing.",
                )
            return self._of_picture(source, face_index, neutral)
        if isinstance(neutral, MediaSource):
            raise UserInputError(
                "A clip is read against its own calm moment, not against a picture.",
                "Give the second in which the face is at rest, or nothing.",
            )
        return self._of_clip(path, face_index, neutral, seconds, on_progress or _unheard)

    def of_portrait(self, handle: PortraitHandle) -> UnitScores:
        """Return what a portrait shows itself.

        Raises:
            NotFoundError, ConflictError: as `Expressions.prepared`.
        """
        return UnitScores(0.0, intensities(expression_of(self._templates.shown(handle)))[None])

    def write(self, scores: UnitScores, out: Path, source: MediaSource) -> Path:
        """Write a clip's motion as curves (see CURVE_FORMATS).

        Raises:
            UserInputError: a picture's, a name that is no format of curves, or the clip itself; StoreError.
        """
        from studio.engines.media.atomic import check_place
        from studio.engines.media.curves import write_curves

        if scores.motion is None:
            raise UserInputError("A picture has no curves.", "Give a clip.")
        check_place(out, source.path)
        return write_curves(scores.motion, out)

    def _of_picture(self, source: MediaSource, face_index: int | None, neutral: MediaSource | None) -> UnitScores:
        read = self._templates.read(source, face_index=face_index, neutral=neutral)
        weights = expression_of(read.face, read.neutral)
        return UnitScores(0.0, intensities(weights)[None], None, read.notes)

    def _of_clip(
        self, path: Path, face_index: int | None, neutral: float | None, seconds: float | None, tell: OnProgress
    ) -> UnitScores:
        here = MediaSource.file(path)
        request = AnimationRequest(
            portrait=here, driving=here, driving_face=face_index, neutral_seconds=neutral, seconds=seconds
        )
        motion, notes = driven_motion(request, path, NO_MOUTH, self._engines, tell)
        return UnitScores(motion.frame_rate_hz, intensities(motion.weights), motion, notes)


def _unheard(progress: Progress) -> None:
    """Listen to nothing."""
