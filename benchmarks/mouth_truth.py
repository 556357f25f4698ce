"""What a real mouth does in a clip, against what was predicted from its sound.

The aperture is tracked with the landmark model in every frame and given in
millimetres of the canonical face (outer eye corners 88.9 mm apart). Clips
found in the wild have their sound late by 60..250 ms, so the skew between sound
and picture is estimated first, from the moment at which the lips really are
shut for P, B and M; a correlation on the raw clock is worthless
(docs/talking_mouth.md). The landmark model is the only judge here: no person
has watched these clips with sound.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from studio.domain.speech import SILENCE, SpeechAnalysis
from studio.engines.voice.prosody import runs

FloatArray = NDArray[np.float64]

EYE_CORNERS_MM = 88.9
CLOSED_MM = 1.0
_LIP_PAIRS = ((13, 14), (82, 87), (312, 317))
_BROWS = ((105, 33), (107, 133), (334, 263), (336, 362))  # a point of the brow, the eye corner below it
_LIDS = ((159, 145, 33, 133), (386, 374, 263, 362))  # upper and lower lid, the eye's corners
_CURVES = ("gap", "head", "width", "brows", "lids")
_LONGEST_CLOSURE_SECONDS = 0.3
_SKEW_SECONDS = np.arange(0, 0.3501, 0.01)


@dataclass(frozen=True)
class TrackedMouth:
    """Aperture of one real mouth.

    Attributes:
        frame_rate_hz: of the clip.
        gap_mm: inner lip distance; NaN where no face was seen.  # (T,)
        head_degrees: yaw, pitch, roll.  # (T, 3)
        width: corner to corner, share of the eye distance.  # (T,)
        brows: mean height of the brows over the eye corners, share of the eye distance.  # (T,)
        lids: how far the eyes are open, share of their length.  # (T,)
    """

    frame_rate_hz: float
    gap_mm: FloatArray
    head_degrees: FloatArray
    width: FloatArray
    brows: FloatArray
    lids: FloatArray


def track_mouth(clip: Path, models_dir: Path, cache: Path | None = None) -> TrackedMouth:
    """Track the mouth of the largest face through a clip (6..20 ms per frame).

    Args:
        clip: any video.
        models_dir: the studio's assets/models.
        cache: folder in which to keep the result; it holds numbers of a person's face, so never inside a repository.
    """
    kept = cache / f"{clip.stem}_{clip.stat().st_size}_face.npz" if cache else None
    if kept and kept.exists():
        with np.load(kept) as stored:
            return TrackedMouth(float(stored["rate"]), *(stored[name] for name in _CURVES))
    from studio.engines.media.frames import probe_video, read_frames
    from studio.engines.vision.analyser import VisionAnalyser
    from studio.engines.vision.pose import rotation_from_landmarks

    analyser = VisionAnalyser(models_dir)
    points: NDArray[np.float32] | None = None
    rows = []
    for frame in read_frames(clip):
        image = np.ascontiguousarray(frame[..., :3])
        if points is None:
            faces = analyser.detect(image)
            points = faces[0].landmarks if faces else None
        if points is not None:
            for _ in range(2):
                seen = analyser.track(image, points)
                points = seen.points
            if seen.score < 0.5:
                points = None
        rows.append(_measure(points, rotation_from_landmarks))
    scale, drop, width, brows, lids, *head = np.array(rows).T
    scale = _smoothed(scale)
    curves = (drop / scale * EYE_CORNERS_MM, np.array(head).T, width / scale, brows / scale, lids)
    tracked = TrackedMouth(float(probe_video(clip).frame_rate_hz), *curves)
    if kept:
        kept.parent.mkdir(parents=True, exist_ok=True)
        np.savez_compressed(kept, rate=tracked.frame_rate_hz, **dict(zip(_CURVES, curves, strict=True)))
    return tracked


def _measure(points, rotation_from_landmarks) -> FloatArray:
    """Return eye distance, lip distance along the face's down direction, mouth width, brow height, lids; and the head.

    Lengths are pixels in the head's own axes, so that a turned head is as wide as one seen from the front.  # (8,)
    """
    if points is None:
        return np.full(8, np.nan)
    from studio.engines.vision.pose import pose_of

    rotation, _ = rotation_from_landmarks(points)
    upright = (points * np.array([1.0, -1.0, -1.0])) @ rotation

    def away(a: int, b: int) -> float:
        return float(np.linalg.norm(points[a] - points[b]))

    brows = np.mean([upright[b, 1] - upright[e, 1] for b, e in _BROWS])
    lids = np.mean([(upright[u, 1] - upright[d, 1]) / away(a, b) for u, d, a, b in _LIDS])
    drop = np.mean([upright[a, 1] - upright[b, 1] for a, b in _LIP_PAIRS])
    return np.array([away(33, 263), drop, away(61, 291), brows, lids, *pose_of(rotation).as_array()], float)


def _smoothed(values: FloatArray, reach: int = 4) -> FloatArray:
    """Median over 9 frames: head size changes slowly, landmarks jitter."""
    padded = np.pad(values, reach, mode="edge")
    return np.nanmedian(np.lib.stride_tricks.sliding_window_view(padded, 2 * reach + 1), axis=1)


@dataclass(frozen=True)
class TruthScore:
    """How a prediction fits a real mouth; both on the calibrated clock.

    Attributes:
        correlation: of the two apertures.
        residual_lag_ms: where the correlation is best within 200 ms; negative = prediction early.
        closures, closures_hit: real closures at P, B, M, and those in which the prediction is shut within a frame.
        closures_all, closures_all_hit: the same for every real closure up to 300 ms in speech.
        predicted, predicted_right: predicted closures, and those in which the real mouth is shut within a frame.
    """

    correlation: float
    residual_lag_ms: float
    closures: int
    closures_hit: int
    closures_all: int
    closures_all_hit: int
    predicted: int
    predicted_right: int
    frames: int


def estimate_skew(mouth: TrackedMouth, analysis: SpeechAnalysis) -> float:
    """Return by how many seconds the sound comes after the picture: where the real gap at P, B, M is least."""
    centers = np.array([(p.start + p.end) / 2 for p in analysis.phones if p.label in "PBM"])
    if not len(centers):
        return 0.0
    at = np.arange(len(mouth.gap_mm)) / mouth.frame_rate_hz
    gap = np.where(np.isfinite(mouth.gap_mm), mouth.gap_mm, np.nanmedian(mouth.gap_mm))
    means = np.array([np.interp(centers - skew, at, gap).mean() for skew in _SKEW_SECONDS])
    near = means <= means.min() + 0.75  # the bottom of the valley is flat: take its middle
    return float(_SKEW_SECONDS[near].mean())


def score(
    mouth: TrackedMouth, predicted_gap_mm: FloatArray, rate_hz: float, bilabials: SpeechAnalysis, skew: float
) -> TruthScore:
    """Compare a predicted aperture with the real one.

    Args:
        mouth: the real one.
        predicted_gap_mm: at `rate_hz`, on the sound's clock; below 0 is closed.
        rate_hz: samples per second of the prediction.
        bilabials: the analysis that says where P, B and M and the pauses are.
        skew: how much later the sound is than the picture, seconds.
    """
    clock = np.arange(len(mouth.gap_mm)) / mouth.frame_rate_hz + skew
    speaking = np.zeros(len(clock), bool)
    labial = np.zeros(len(clock), bool)
    for phone in bilabials.phones:
        if phone.label != SILENCE:
            speaking |= (clock >= phone.start) & (clock < phone.end)
        if phone.label in "PBM":
            labial |= (clock >= phone.start - 0.05) & (clock < phone.end + 0.03)
    real = mouth.gap_mm
    prediction_clock = np.arange(len(predicted_gap_mm)) / rate_hz
    open_mm = np.maximum(predicted_gap_mm, 0)
    use = np.isfinite(real) & (clock >= 0) & (clock < prediction_clock[-1])
    lags = np.arange(-0.2, 0.2001, 0.01)
    fits = [float(np.corrcoef(np.interp(clock[use] - lag, prediction_clock, open_mm), real[use])[0, 1]) for lag in lags]
    predicted = np.interp(clock, prediction_clock, predicted_gap_mm) < CLOSED_MM
    shut = np.isfinite(real) & (real < CLOSED_MM)
    longest = _LONGEST_CLOSURE_SECONDS * mouth.frame_rate_hz
    in_use = lambda a, b: use[a:b].all() and speaking[max(0, a - 1) : b + 1].any() and b - a <= longest  # noqa: E731
    real_runs = [(a, b) for a, b in runs(shut) if in_use(a, b)]
    at_labials = [(a, b) for a, b in real_runs if labial[a:b].any()]
    predicted_runs = [(a, b) for a, b in runs(predicted) if in_use(a, b)]
    hit = lambda spans, mask: sum(bool(mask[max(0, a - 1) : b + 1].any()) for a, b in spans)  # noqa: E731
    return TruthScore(
        fits[len(lags) // 2],
        float(-1000 * lags[int(np.argmax(fits))]),
        len(at_labials),
        hit(at_labials, predicted),
        len(real_runs),
        hit(real_runs, predicted),
        len(predicted_runs),
        hit(predicted_runs, shut),
        int(use.sum()),
    )


def pooled(scores: Sequence[TruthScore]) -> dict[str, float]:
    """Pool clips: correlations by Fisher's z weighted with frames, closures by count."""
    frames = np.array([s.frames for s in scores], float)
    z = np.arctanh([min(s.correlation, 0.999) for s in scores])
    return {
        "correlation": float(np.tanh((z * frames).sum() / frames.sum())),
        "closures_hit": sum(s.closures_hit for s in scores) / max(sum(s.closures for s in scores), 1),
        "precision": sum(s.predicted_right for s in scores) / max(sum(s.predicted for s in scores), 1),
        "residual_lag_ms": float((np.array([s.residual_lag_ms for s in scores]) * frames).sum() / frames.sum()),
    }
