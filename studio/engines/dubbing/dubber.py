"""The mouth of a filmed face made to say something else, on a CPU.

A clip is gone through twice. First the face is followed and its head fitted
once, to a calm frame, and once more in pose and expression to every frame;
what the fits leave over is smoothed over time, because a mouth that is set by
each frame alone trembles. Then every frame is a portrait of its own whose
mouth and jaw are moved by the rig, and which is laid back where it changed.
Whatever the new speech does not move keeps the pixels of the film.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from studio.domain.driving import one_euro
from studio.domain.dubbing import SPOKEN, resting_look, spoken_share
from studio.domain.expression import FaceState
from studio.domain.face import DetectedFace, PhotoQuality
from studio.domain.performance import MouthResponse, Performance
from studio.engines.base import Image, unheard
from studio.engines.rig.asset import CHIN, FACE_OVAL, HAIRLINE, INNER_LIP_RING, HeadAsset, load_head
from studio.engines.rig.fit import HeadFitter
from studio.engines.rig.layers import smoothstep
from studio.engines.rig.mouth_portrait import MouthPortrait
from studio.engines.rig.palette import LUMA, MouthPalette
from studio.engines.threads import one_thread
from studio.engines.tracking.following import FaceFollower, FollowedFrame, refuse
from studio.engines.vision.analyser import VisionAnalyser
from studio.engines.vision.pose import head_pose

Array = NDArray[Any]

_ROOM = 1.9  # side of the square that is worked on, in sizes of the face
_SMALLEST, _LARGEST = 320, 640  # pixels of that square; faces beyond are enlarged or reduced
_SMALLEST_FACE = 40.0  # pixels between the outer eye corners below which nothing of a mouth is seen
# One-Euro filter of the landmarks, in eye distances: cutoff at rest, Hz, and what speed adds.
_CALM_HZ, _PER_SPEED = 3.0, 45.0
_STEADY_SECONDS = 0.3  # over which what the fits leave over is smoothed, sigma
_MOUTH_REACH = (0.55, 0.95)  # from the middle of the mouth, in eye distances of the head: held steady, and left alone
_FEWEST_INSIDE = 30  # pixels between the lips from which anything is seen there
_CHANGED = 2.5  # gray levels from which a pixel counts as moved
_UNJUDGED = PhotoQuality(1.0, 1.0, 1.0, 1.0, 1.0)
_WIDER, _UNDER_CHIN, _SOFT_EDGE = 1.03, 0.3, 0.05  # than the face; eye distances for a chin that drops; of the edge
_FADE = 0.02  # of the square's side: how softly what moved is laid back


class MouthDubber:
    """Lets a filmed face say something else.

    Args:
        head_asset: path of assets/head.npz.
        analyser: finds faces and landmarks.

    Raises:
        EngineUnavailableError: the head asset is missing.
    """

    name = "rig-dubbing"
    version = "1"

    def __init__(self, head_asset: Path, analyser: VisionAnalyser) -> None:
        self._asset = load_head(head_asset)
        self._fitter = HeadFitter(self._asset)
        self._analyser = analyser

    def study(
        self,
        frames: Iterable[Image],
        frame_rate_hz: float,
        *,
        face_index: int | None = None,
        on_frame: Callable[[int], None] = unheard,
    ) -> StudiedClip:
        """Follow one face through a clip; see `ClipDubber`."""
        follower = FaceFollower(self._analyser, face_index)
        seen: list[FollowedFrame | None] = []
        calm: dict[int, _Kept] = {}
        open_: dict[int, _Kept] = {}
        shot = 0
        for image in frames:
            frame = follower.next(image)
            shot += bool(frame and frame.is_cut and seen)
            seen.append(frame)
            if frame is not None and frame.found:
                for kept, score in ((calm, _unrest(frame.points)), (open_, _hidden(image, frame.points))):
                    if shot not in kept or score < kept[shot].score:
                        kept[shot] = _Kept(score, image.copy(), frame.points)
            on_frame(len(seen))
        first = next((frame for frame in seen if frame is not None), None)
        if first is None or not calm:
            refuse(follower.several, face_index)
        assert first is not None
        known = [frame or FollowedFrame(first.points, False, False) for frame in seen]
        with one_thread():
            return StudiedClip(
                self._asset, self._fitter, known, calm, open_, frame_rate_hz, follower.several, face_index
            )


@dataclass(frozen=True)
class _Kept:
    """The best frame of a shot so far, by a score of which less is better."""

    score: float
    image: Image
    points: NDArray[np.float32]


class StudiedClip:
    """A clip whose mouth can be drawn anew; see `DubbedClip` of engines/base.py."""

    def __init__(
        self,
        asset: HeadAsset,
        fitter: HeadFitter,
        frames: list[FollowedFrame],
        calm: dict[int, _Kept],
        open_: dict[int, _Kept],
        frame_rate_hz: float,
        several: int,
        face_index: int | None,
    ) -> None:
        self.frame_rate_hz = frame_rate_hz
        self._asset, self._fitter = asset, fitter
        shot = np.cumsum([frame.is_cut and i > 0 for i, frame in enumerate(frames)]).astype(np.int32)
        self._found = np.array([frame.found for frame in frames])
        self._points = _calmed(np.stack([frame.points for frame in frames]), shot, frame_rate_hz)
        best = min(calm, key=lambda number: calm[number].score)
        person = fitter.fit(calm[best].points)
        self._shots = [number if number in calm else best for number in range(int(shot.max()) + 1)]
        self._person = {number: person if number == best else fitter.fit(calm[number].points) for number in calm}
        self._palettes: dict[int, MouthPalette | None] = dict.fromkeys(calm)
        self._palettes |= {number: self._palette_of(number, kept) for number, kept in open_.items()}
        self._shot = shot
        yaw = np.array([head_pose(points).yaw_degrees for points in self._points])
        self.share = spoken_share(self._found, shot, yaw, frame_rate_hz)
        self._weights, left_over = self._fitted()
        self._steady = self._steadied(left_over)
        self._rest = resting_look(self._weights, self._found)
        square, scale, place = _square(calm[best].image, calm[best].points)
        calmest = self._portrait(square, _moved(calm[best].points, scale, place), best, np.zeros_like(asset.mean))
        self.mouth: MouthResponse = replace(calmest.mouth, own=self._rest)
        self.notes = _notes(self.share, self._found, shot, frame_rate_hz, several, face_index, self._points)

    def __len__(self) -> int:
        return len(self._points)

    def redraw(self, frames: Iterable[Image], performance: Performance, first: int = 0) -> Iterator[Image]:
        """Yield the frames with the mouth of a performance; see `DubbedClip`."""
        for index, image in enumerate(frames, first):
            if index >= len(self) or index >= len(performance):
                return
            share = float(self.share[index])
            with one_thread():
                yield image if share <= 0 else self._spoken(image, index, performance, share)

    # -- one frame -----------------------------------------------------------------------

    def _spoken(self, image: Image, index: int, performance: Performance, share: float) -> Image:
        number = self._shots[self._shot[index]]
        square, scale, place = _square(image, self._points[index])
        steady = np.float32(share) * self._fitter.spread(self._steady[index])
        portrait = self._portrait(square, _moved(self._points[index], scale, place), number, steady)
        own = portrait.own_weights
        spoken = performance.state(index, self._rest).weights
        weights = np.where(SPOKEN, own + np.float32(share) * (spoken - own), own)
        drawn = portrait.render(FaceState(weights), lip_seal=share * float(performance.lip_seal[index]))
        region = _region(_moved(self._points[index], scale, place), square.shape[:2])
        return _laid_back(image, square, drawn, place, region * smoothstep(np.array(share), 0.0, 0.4))

    def _portrait(self, square: Image, marks: Array, number: int, steady: NDArray[np.float32]) -> MouthPortrait:
        """Make a frame ready; `number` is that of the shot whose person and colors it has."""
        box = (*marks[:468, :2].min(0), *marks[:468, :2].max(0))
        x0, y0, x1, y1 = map(float, box)
        face = DetectedFace((x0, y0, x1, y1), 1.0, marks, head_pose(marks), _UNJUDGED)
        fit = self._fitter.fit_again(marks, self._person[number])
        return MouthPortrait(self._asset, square, face, fit, self._palettes[number], steady)

    def _palette_of(self, number: int, kept: _Kept) -> MouthPalette:
        """Return the colors of a shot's mouth, from the frame that shows most of it."""
        square, scale, place = _square(kept.image, kept.points)
        still = np.zeros_like(self._asset.mean)
        return self._portrait(square, _moved(kept.points, scale, place), number, still).palette

    # -- all frames ------------------------------------------------------------------------

    def _fitted(self) -> tuple[Array, Array]:
        """Return the weights of every frame, and its neutral landmarks in head space.  # (T, 52), (T, 468, 3)"""
        weights = np.zeros((len(self), len(SPOKEN)), np.float32)
        neutral = np.zeros((len(self), 468, 3), np.float32)
        for i, points in enumerate(self._points):
            fit = self._fitter.fit_again(points, self._person[self._shots[self._shot[i]]])
            weights[i], neutral[i] = fit.weights, self._asset.landmarks(fit.neutral)
        return weights, neutral

    def _steadied(self, neutral: Array) -> NDArray[np.float32]:
        """Return by how much each frame's mouth is moved to be that of the frames around.  # (T, 468, 3)"""
        asset = self._asset
        marks = asset.mean_at_landmarks
        eyes = float(np.linalg.norm(marks[33] - marks[263]))
        away = np.linalg.norm(marks - marks[[13, 14]].mean(0), axis=1) / eyes
        held = 1 - smoothstep(away, *_MOUTH_REACH)
        out = np.zeros_like(neutral)
        sigma = _STEADY_SECONDS * self.frame_rate_hz
        for number in np.unique(self._shot):
            rows = np.flatnonzero((self._shot == number) & self._found)
            if len(rows) < 2:
                continue
            near = np.exp(-0.5 * ((rows[:, None] - rows[None]) / sigma) ** 2)
            mean = np.tensordot(near / near.sum(1, keepdims=True), neutral[rows], 1)
            out[rows] = (mean - neutral[rows]) * held[:, None]
        return out


def _calmed(points: NDArray[np.float32], shot: NDArray[np.int32], rate_hz: float) -> NDArray[np.float32]:
    """Take the tremble out of landmarks, shot by shot.  # (T, 478, 3)"""
    out = points.copy()
    for number in np.unique(shot):
        rows = np.flatnonzero(shot == number)
        eyes = float(np.median(np.linalg.norm(points[rows, 33, :2] - points[rows, 263, :2], axis=1)))
        out[rows] = one_euro(points[rows] / eyes, rate_hz, _CALM_HZ, _PER_SPEED) * eyes
    return out


def _unrest(points: Array) -> float:
    """Return how far a face is from being seen from the front with its lips together."""
    eyes = float(np.linalg.norm(points[33, :2] - points[263, :2]))
    gap = float(np.linalg.norm(points[13, :2] - points[14, :2])) / max(eyes, 1e-6)
    head = head_pose(points)
    return abs(head.yaw_degrees) / 10 + abs(head.pitch_degrees + 6) / 15 + 12 * gap


def _hidden(image: Image, points: Array) -> float:
    """Return how little a frame shows of the teeth: the brightest inside of a mouth, seen from the front, is best."""
    ring = points[list(INNER_LIP_RING), :2]
    x0, y0 = np.maximum(np.floor(ring.min(0)).astype(int), 0)
    x1, y1 = np.ceil(ring.max(0)).astype(int) + 1
    part = image[y0:y1, x0:x1]
    inside = np.zeros(part.shape[:2], np.uint8)
    if inside.size:
        cv2.fillPoly(inside, [(ring - [x0, y0]).round().astype(np.int32)], 1)
    if int(inside.sum()) < _FEWEST_INSIDE:
        return 1.0
    bright = float(np.percentile(part[inside > 0] @ LUMA, 80)) / 255
    return abs(head_pose(points).yaw_degrees) / 90 - bright


def _square(image: Image, points: Array) -> tuple[Image, float, tuple[slice, slice]]:
    """Cut the face out; return it at a workable size, the scale, and where it lies in the frame."""
    low, high = points[:468, :2].min(0), points[:468, :2].max(0)
    middle, half = (low + high) / 2, _ROOM * float((high - low).max()) / 2
    height, width = image.shape[:2]
    x0, y0 = (int(max(0, c - half)) for c in middle)
    x1, y1 = int(min(width, middle[0] + half)), int(min(height, middle[1] + half))
    part = np.ascontiguousarray(image[y0:y1, x0:x1])
    side = max(part.shape[:2])
    scale = float(np.clip(1.0, _SMALLEST / side, _LARGEST / side))
    if scale != 1.0:
        size = (round(part.shape[1] * scale), round(part.shape[0] * scale))
        way = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
        part = np.asarray(cv2.resize(part, size, interpolation=way), np.uint8)
    return part, scale, (slice(y0, y1), slice(x0, x1))


def _moved(points: Array, scale: float, place: tuple[slice, slice]) -> NDArray[np.float32]:
    """Return landmarks of the frame as landmarks of its square.  # (478, 3)"""
    corner = np.array([place[1].start, place[0].start, 0], np.float32)
    half = np.array([0.5, 0.5, 0], np.float32)  # centers of pixels at integers
    return np.asarray((points - corner + half) * np.float32(scale) - half, np.float32)


def _region(marks: Array, shape: tuple[int, int]) -> NDArray[np.float32]:
    """Return where a mouth may change its frame: the face and the room under its chin, soft at the edge.  # (H, W)

    What lies beside the jaw would otherwise be drawn along with it.
    """
    oval = marks[list(FACE_OVAL), :2]
    eyes = float(np.linalg.norm(marks[33, :2] - marks[263, :2]))
    down = marks[CHIN, :2] - marks[HAIRLINE, :2]
    down = down / max(float(np.linalg.norm(down)), 1e-6)
    lower = smoothstep((oval - marks[13, :2]) @ down / eyes, 0.0, 0.5)
    oval = oval.mean(0) + (oval - oval.mean(0)) * _WIDER + lower[:, None] * down * (_UNDER_CHIN * eyes)
    region = np.zeros(shape, np.uint8)
    cv2.fillConvexPoly(region, cv2.convexHull(oval.round().astype(np.int32)), 255)
    soft = cv2.GaussianBlur(region, (0, 0), max(_SOFT_EDGE * eyes, 0.8)).astype(np.float32) / 255
    return np.asarray(smoothstep(soft, 0.02, 0.9), np.float32)  # nothing at all where nothing may change


def _laid_back(
    image: Image, square: Image, drawn: Image, place: tuple[slice, slice], region: NDArray[np.float32]
) -> Image:
    """Return a frame with what changed in its square, as far as `region` lets it; the rest keeps its pixels."""
    changed = (np.abs(drawn.astype(np.int16) - square).max(2) > _CHANGED).astype(np.uint8)
    side = max(square.shape[:2])
    reach = max(1, round(_FADE * side))
    changed = cv2.morphologyEx(changed, cv2.MORPH_OPEN, np.ones((2, 2), np.uint8))
    mask = cv2.dilate(changed, np.ones((2 * reach + 1, 2 * reach + 1), np.uint8)).astype(np.float32)
    mask = cv2.GaussianBlur(mask, (0, 0), reach / 2) * region
    part = image[place]
    height, width = part.shape[:2]
    if drawn.shape[:2] != (height, width):
        way = cv2.INTER_AREA if height < drawn.shape[0] else cv2.INTER_CUBIC
        drawn = np.asarray(cv2.resize(drawn, (width, height), interpolation=way), np.uint8)
        mask = np.asarray(cv2.resize(mask, (width, height), interpolation=cv2.INTER_LINEAR), np.float32)
    out = image.copy()
    mixed = part + (drawn.astype(np.float32) - part) * mask[..., None]
    out[place] = np.clip(mixed + 0.5, 0, 255).astype(np.uint8)
    return out


def _notes(
    share: Array, found: Array, shot: Array, rate_hz: float, several: int, face_index: int | None, points: Array
) -> tuple[str, ...]:
    """Say what a person should know: other faces, a small one, times in which the filmed mouth stays."""
    notes = []
    if several > 1 and face_index is None:
        notes.append(f"The video shows {several} faces; the largest one speaks.")
    eyes = float(np.median(np.linalg.norm(points[found, 33, :2] - points[found, 263, :2], axis=1)))
    if eyes < _SMALLEST_FACE:
        notes.append(f"The face is small ({eyes:.0f} pixels between the eyes): little is seen of its mouth.")
    if shot.max() > 0:
        notes.append(f"The video is cut {int(shot.max())} times; each shot is taken by itself.")
    away, turned = float((~found).sum() / rate_hz), float((found & (share < 0.5)).sum() / rate_hz)
    if away >= 0.2:
        notes.append(f"The face is out of sight for {away:.1f} s.")
    if turned >= 0.2:
        notes.append(f"The face is turned away for {turned:.1f} s: the filmed mouth stays there.")
    return tuple(notes)
