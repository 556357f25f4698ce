"""The tracker behind the studio's interface: frames go in, a `TrackedFace` comes out."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from studio.domain.driving import TrackedFace
from studio.engines.base import Image, unheard
from studio.engines.rig.asset import HeadAsset, load_head
from studio.engines.rig.fit import HeadFitter
from studio.engines.threads import one_thread
from studio.engines.tracking.following import FaceFollower, FollowedFrame, refuse
from studio.engines.tracking.solving import ExpressionSolver, SolvedFrame, eyes_of
from studio.engines.vision.analyser import VisionAnalyser
from studio.engines.vision.landmarks import eye_distance
from studio.engines.vision.pose import head_pose

_LONGEST_NOTES = 3
_READINGS = 2


class LandmarkTracker:
    """Follows a face through a clip, on a CPU.

    Args:
        head_asset: path of assets/head.npz.
        analyser: finds faces and landmarks.

    Raises:
        EngineUnavailableError: the head asset is missing.
    """

    name = "landmarks"
    version = "1"

    def __init__(self, head_asset: Path, analyser: VisionAnalyser) -> None:
        self._asset = load_head(head_asset)
        self._fitter = HeadFitter(self._asset)
        self._analyser = analyser

    def track(
        self,
        frames: Iterable[Image],
        frame_rate_hz: float,
        *,
        face_index: int | None = None,
        on_frame: Callable[[int], None] = unheard,
    ) -> TrackedFace:
        """Follow one face; see `FaceTracker`."""
        follower = FaceFollower(self._analyser, face_index)
        seen: list[FollowedFrame | None] = []
        for image in frames:
            seen.append(follower.next(image))
            on_frame(len(seen))
        first = next((frame for frame in seen if frame is not None), None)
        if first is None:
            refuse(follower.several, face_index)
        assert first is not None
        known = [frame or FollowedFrame(first.points, False, False) for frame in seen]
        shot = np.cumsum([frame.is_cut for frame in known]).astype(np.int32)
        found = np.array([frame.found for frame in known])
        with one_thread():
            solved = [frame for number in np.unique(shot) for frame in self._solve([
                known[i] for i in np.where(shot == number)[0]
            ])]  # fmt: skip
        notes = _notes(found, shot, frame_rate_hz, follower.several, face_index)
        return self._followed(solved, frame_rate_hz, found, shot, notes)

    @staticmethod
    def _followed(
        solved: list[SolvedFrame],
        frame_rate_hz: float,
        found: NDArray[np.bool_],
        shot: NDArray[np.int32],
        notes: tuple[str, ...],
    ) -> TrackedFace:
        return TrackedFace(
            frame_rate_hz,
            np.array([s.weights for s in solved], np.float32),
            np.array([s.head_degrees for s in solved], np.float32),
            np.array([s.lids for s in solved], np.float32),
            np.array([s.gaze for s in solved], np.float32),
            np.array([s.lip_gap_mm for s in solved], np.float32),
            found,
            shot,
            notes,
        )

    def read(self, landmarks: NDArray[np.float32], neutral: NDArray[np.float32] | None = None) -> TrackedFace:
        """Read one picture; see `FaceTracker`."""
        with one_thread():
            fitter = self._fitter.reader() if neutral is None else self._fitter
            fit = fitter.fit(landmarks if neutral is None else neutral)
            solver = ExpressionSolver(self._asset, fitter, fit)
            solved = [solver.solve(landmarks if neutral is None else neutral)]
            if neutral is not None:
                # A frame starts from the one before and is drawn to it; here nothing came before.
                solved.append([solver.solve(landmarks) for _ in range(_READINGS)][-1])
        return self._followed(solved, 1.0, np.ones(len(solved), bool), np.zeros(len(solved), np.int32), ())

    def solve(self, landmarks: NDArray[np.float32], found: NDArray[np.bool_], frame_rate_hz: float) -> TrackedFace:
        """Read landmarks that somebody else found; see `FaceTracker`."""
        frames = [FollowedFrame(points, bool(there), False) for points, there in zip(landmarks, found, strict=True)]
        shot = np.zeros(len(frames), np.int32)
        with one_thread():
            solved = self._solve(frames)
        return self._followed(solved, frame_rate_hz, found, shot, _notes(found, shot, frame_rate_hz, 1, None))

    def live(self) -> LiveLandmarks:
        """Read a face while it moves; see `FaceTracker`."""
        return LiveLandmarks(self._asset, self._fitter)

    def _solve(self, frames: list[FollowedFrame]) -> list[SolvedFrame]:
        """Solve one shot; frames without a face hold what was seen last."""
        seen = [i for i, frame in enumerate(frames) if frame.found] or [0]
        calm = _calmest([frames[i].points for i in seen])
        solver = ExpressionSolver(self._asset, self._fitter, self._fitter.fit(frames[seen[calm]].points))
        out: list[SolvedFrame] = []
        for i, frame in enumerate(frames):
            out.append(solver.solve(frame.points) if frame.found or not i else out[-1])
        return out


class LiveLandmarks:
    """Reads one face as it moves; see `LiveFace`.

    Args:
        asset: the parametric head.
        fitter: fits it.
    """

    def __init__(self, asset: HeadAsset, fitter: HeadFitter) -> None:
        self._asset, self._fitter = asset, fitter
        self._solver: ExpressionSolver | None = None

    def read(self, landmarks: NDArray[np.float32]) -> TrackedFace:
        """Read the next frame."""
        if self._solver is None:
            self.rest(landmarks)
        assert self._solver is not None
        with one_thread():
            solved = self._solver.solve(landmarks)
        return LandmarkTracker._followed([solved], 1.0, np.ones(1, bool), np.zeros(1, np.int32), ())

    def rest(self, landmarks: NDArray[np.float32]) -> None:
        """Fit the head anew."""
        with one_thread():
            self._solver = ExpressionSolver(self._asset, self._fitter, self._fitter.fit(landmarks))


def _calmest(shots: list[NDArray[np.float32]]) -> int:
    """Return the frame to fit the head to: seen from the front, lips together, eyes open."""
    turn = np.array([head_pose(p).as_array()[:2] for p in shots])
    gap = np.array([np.linalg.norm(p[13, :2] - p[14, :2]) / eye_distance(p) for p in shots])
    lids = np.array([(lambda pair: (pair[:, 0] - pair[:, 1]).mean())(eyes_of(p)[0]) for p in shots])
    away = np.abs(turn - np.clip(np.median(turn, 0), -10, 10)).sum(1) / 10
    return int(np.argmin(away + 12 * gap + 8 * np.abs(lids - np.percentile(lids, 70))))


def _notes(
    found: NDArray[np.bool_], shot: NDArray[np.int32], rate_hz: float, several: int, face_index: int | None
) -> tuple[str, ...]:
    """Say what a person should know: other faces, cuts, times without the face."""
    notes = []
    if several > 1 and face_index is None:
        notes.append(f"The video shows {several} faces; the largest one drives.")
    cuts = [round(float(i) / rate_hz, 1) for i in np.where(np.diff(shot))[0] + 1]
    if cuts:
        notes.append(f"The video is cut at {_listed(cuts)}: the neutral face starts anew there.")
    edges = np.flatnonzero(np.diff(np.concatenate([[False], ~found, [False]]).astype(np.int8)))
    lost = [(a, b) for a, b in zip(edges[::2], edges[1::2], strict=True) if (b - a) / rate_hz >= 0.2]
    if lost:
        total = sum(b - a for a, b in lost) / rate_hz
        notes.append(
            f"The face was lost at {_listed([round(float(a) / rate_hz, 1) for a, _ in lost])}, {total:.1f} s in all: "
            "the portrait holds its look there, then rests."
        )
    return tuple(notes)


def _listed(seconds: list[float]) -> str:
    shown = ", ".join(f"{s:g}" for s in seconds[:_LONGEST_NOTES])
    more = len(seconds) - _LONGEST_NOTES
    return f"{shown} s" + (f" and {more} more times" if more > 0 else "")
