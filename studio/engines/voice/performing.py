"""Phones become a performance: every layer in its order, the hard closure last.

Curves are made at 100 Hz and sampled at the frames' own times; the closure is
computed at the frames themselves, so that no frame rate can miss it.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from studio.domain.performance import MouthResponse, Performance
from studio.domain.speech import SILENCE, Phone, SpeechAnalysis
from studio.engines.base import Amounts
from studio.engines.voice import closure, liveliness, shapes
from studio.engines.voice.coarticulation import melt, timeline
from studio.engines.voice.emotion import lay, mood
from studio.engines.voice.head import head_motion
from studio.engines.voice.melody import melody
from studio.engines.voice.prosody import TICKS_HZ, Prosody
from studio.errors import UserInputError

FloatArray = NDArray[np.float32]

_OWN_MOUTH_RAMP_SECONDS = 0.15
_REST_RAMP_SECONDS = 0.25  # in this time the mouth is at rest for good, whatever the last phone still pulls
_REST_GAP_MM = 3.0
_ASYMMETRY = 0.15
_LAYERS = ("lean", "blink", "gaze", "head", "brows", "breath", "corners")


def write_performance(
    analysis: SpeechAnalysis,
    prosody: Prosody,
    mouth: MouthResponse,
    *,
    frame_rate_hz: float,
    seed: int,
    emotions: Sequence[tuple[str, float]],
    amounts: Amounts,
) -> Performance:
    """Write the face's motion for analyzed sound.

    Args:
        analysis: phones of the sound.
        prosody: of the same sound.
        mouth: the head the curves are for.
        frame_rate_hz: 1..240.
        seed: same seed, same take.
        emotions: names and intensities 0..1.
        amounts: of each layer, 0..2.

    Raises:
        UserInputError: an amount, frame rate or emotion out of range.
    """
    _check(frame_rate_hz, amounts)
    frames = max(1, round(analysis.duration_seconds * frame_rate_hz))
    streams = {name: np.random.default_rng([seed, i]) for i, name in enumerate(_LAYERS)}
    felt = mood(emotions)
    acts = timeline(analysis.phones, analysis.duration_seconds)
    curves = _melted(analysis, acts, prosody, mouth, amounts)
    activity = speaking_activity(acts, frames, frame_rate_hz, _OWN_MOUTH_RAMP_SECONDS)
    lean = _lean(frames, frame_rate_hz, amounts.asymmetry, streams["lean"])
    speaking = speaking_activity(acts, frames, frame_rate_hz, _REST_RAMP_SECONDS)
    face = shapes.spread_stems(_sampled(curves, frames, frame_rate_hz) * speaking[:, None], lean)
    face += lay(felt, activity, frame_rate_hz)
    rests = tuple(p for p in _named_rests(acts))
    voice = melody(prosody, rests)
    face += liveliness.brows(voice, frames, frame_rate_hz, amounts.brows, streams["brows"])
    face += liveliness.corners(voice, activity, frame_rate_hz, amounts.lips, streams["corners"])
    turn = head_motion(rests, voice, felt, frames, frame_rate_hz, amounts.head, streams["head"])
    face += liveliness.gaze(turn, frame_rate_hz, amounts.gaze, streams["gaze"])
    face += liveliness.blinks(rests, face, mouth, frame_rate_hz, amounts.blink, streams["blink"])
    own_mouth = _own_mouth(activity, mouth)
    seal = closure.seal_envelope(analysis.phones, frames, frame_rate_hz)
    touch = closure.touch_envelope(analysis.phones, frames, frame_rate_hz)
    weights = closure.enforce(np.clip(face, 0, 1), own_mouth, seal, touch, mouth)
    chest = liveliness.breath(rests, frames, frame_rate_hz, amounts.breath, streams["breath"])
    return Performance(frame_rate_hz, weights.astype(np.float32), turn, own_mouth, seal, chest)


def write_mouth(
    analysis: SpeechAnalysis, prosody: Prosody, mouth: MouthResponse, *, frame_rate_hz: float
) -> Performance:
    """Write the motion of the mouth alone: no head, no blinks, no emotion, both sides alike.

    Args:
        analysis, prosody, mouth, frame_rate_hz: as of `write_performance`.
    """
    amounts = Amounts()
    _check(frame_rate_hz, amounts)
    frames = max(1, round(analysis.duration_seconds * frame_rate_hz))
    acts = timeline(analysis.phones, analysis.duration_seconds)
    speaking = speaking_activity(acts, frames, frame_rate_hz, _REST_RAMP_SECONDS)
    curves = _melted(analysis, acts, prosody, mouth, amounts)
    face = shapes.spread_stems(_sampled(curves, frames, frame_rate_hz) * speaking[:, None])
    own_mouth = _own_mouth(speaking_activity(acts, frames, frame_rate_hz, _OWN_MOUTH_RAMP_SECONDS), mouth)
    seal = closure.seal_envelope(analysis.phones, frames, frame_rate_hz)
    touch = closure.touch_envelope(analysis.phones, frames, frame_rate_hz)
    weights = closure.enforce(np.clip(face, 0, 1), own_mouth, seal, touch, mouth)
    none = np.zeros(frames, np.float32)
    turn = np.zeros((frames, 3), np.float32)
    return Performance(frame_rate_hz, weights.astype(np.float32), turn, own_mouth, seal, none)


def _melted(
    analysis: SpeechAnalysis, acts: Sequence[Phone], prosody: Prosody, mouth: MouthResponse, amounts: Amounts
) -> FloatArray:
    """Return the phones' shapes melted into curves for one head.  # (ticks, 15)"""
    return melt(
        acts,
        shapes.solve_shapes(mouth),
        prosody,
        opening_mm=float(shapes.stem_response(mouth.gap_per_weight_mm)[shapes.STEM["jawOpen"]]),
        words_known=analysis.method not in ("phone_loop", "energy"),
        jaw=amounts.jaw,
        lips=amounts.lips,
        articulation=amounts.articulation,
    )


def speaking_activity(acts: Sequence[Phone], frames: int, frame_rate_hz: float, ramp_seconds: float) -> FloatArray:
    """Return 1 while the mouth speaks and 0 in real silence; the slopes lie in the silence.  # (T,)"""
    spans: list[closure.Hold] = []
    for act in acts:
        if act.label == SILENCE:
            continue
        if spans and act.start - spans[-1].end < 1e-6:
            spans[-1] = closure.Hold(spans[-1].start, act.end)
        else:
            spans.append(closure.Hold(act.start, act.end))
    return closure.envelope(spans, frames, frame_rate_hz, ramp_seconds, ramp_seconds)


def _own_mouth(activity: FloatArray, mouth: MouthResponse) -> FloatArray:
    """Return the share of the photo's own mouth that is kept.

    A photo that laughs would open its mouth in every pause, wider than on any
    word; between its first and its last word it keeps no more of its own gap
    than lips that rest.  # (T,) 0.25..1
    """
    own_gap = mouth.gap_mm + float(mouth.gap_per_weight_mm @ mouth.own)
    rest = float(np.clip(_REST_GAP_MM / max(own_gap, 1e-3), shapes.SPEAKING_OWN_MOUTH, 1))
    speaking = np.flatnonzero(activity >= 1)
    held = activity.copy()
    if len(speaking):
        between = slice(speaking[0], speaking[-1] + 1)
        held[between] = np.maximum(held[between], (1 - rest) / (1 - shapes.SPEAKING_OWN_MOUTH))
    return np.asarray(1 - (1 - shapes.SPEAKING_OWN_MOUTH) * held, np.float32)


def _named_rests(acts: Sequence[Phone]) -> list[Phone]:
    """Return the timeline with pauses and the breath before a phrase written as silence, neighbors joined."""
    out: list[Phone] = []
    for act in acts:
        label = SILENCE if act.label == shapes.PAUSE else act.label
        if out and label == SILENCE and out[-1].label == SILENCE:
            out[-1] = Phone(SILENCE, out[-1].start, act.end)
        else:
            out.append(Phone(label, act.start, act.end))
    return out


def _sampled(curves: FloatArray, frames: int, frame_rate_hz: float) -> FloatArray:
    """Sample 100 Hz curves at the frames' times by straight lines.  # (ticks, n) -> (T, n)"""
    at = np.minimum(np.arange(frames) / frame_rate_hz * TICKS_HZ, len(curves) - 1)
    low = np.minimum(at.astype(int), max(len(curves) - 2, 0))
    high = np.minimum(low + 1, len(curves) - 1)
    share = (at - low)[:, None].astype(np.float32)
    return np.asarray(curves[low] * (1 - share) + curves[high] * share, np.float32)


def _lean(frames: int, frame_rate_hz: float, amount: float, rng: np.random.Generator) -> FloatArray:
    """Return the slowly wandering share by which one side of the mouth moves more, within 15 %.  # (T,)"""
    at = np.arange(frames) / frame_rate_hz
    waves = [np.sin(2 * np.pi * rate * at + rng.uniform(0, 2 * np.pi)) for rate in (0.07, 0.19, 0.31)]
    side = 0.4 * rng.choice([-1, 1]) + 0.6 * np.mean(waves, axis=0)
    return np.asarray(np.clip(amount * _ASYMMETRY * side, -0.3, 0.3), np.float32)


def _check(frame_rate_hz: float, amounts: Amounts) -> None:
    if not 1 <= frame_rate_hz <= 240:
        raise UserInputError(f"{frame_rate_hz:g} frames per second cannot be made.", "Choose 24, 25, 30 or 60.")
    for name, value in vars(amounts).items():
        if not 0 <= value <= 2:
            raise UserInputError(f"The amount of {name} is {value:g}, but goes from 0 to 2.", "1 is natural, 0 is off.")
