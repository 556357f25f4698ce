"""Checks of a spoken performance that need no neural judge (docs/talking_mouth.md).

Shared by the tests, which hold them on speech the test makes, and by the voice
benchmark, which prints them for any recording. Every check works on the curves
and the phones alone, on the head the curves were made for.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from studio.domain.expression import INDEX, MOUTH_INDEX
from studio.domain.lip_closure import lip_gap_mm
from studio.domain.performance import MouthResponse, Performance
from studio.domain.speech import SILENCE, Phone, SpeechAnalysis
from studio.engines.voice.closure import lower_lip_mm
from studio.engines.voice.coarticulation import timeline
from studio.engines.voice.prosody import TICKS_HZ, Prosody, runs
from studio.engines.voice.shapes import PHONE_SHAPES, VOWELS

FloatArray = NDArray[np.floating]

CLOSED_MM = 1.0
TOUCH_MM = -0.5


def gap(performance: Performance, mouth: MouthResponse) -> FloatArray:
    """Return the lip gap in millimetres.  # (T,)"""
    return lip_gap_mm(performance.weights, performance.own_mouth, mouth)


def share_closed(performance: Performance, analysis: SpeechAnalysis, mouth: MouthResponse) -> float:
    """T1: share of P, B, M with a closed frame in [start - 50, end + 30] ms."""
    return _share(performance, analysis, "PBM", gap(performance, mouth) <= CLOSED_MM, -0.05, 0.03)


def share_touching(performance: Performance, analysis: SpeechAnalysis, mouth: MouthResponse) -> float:
    """T4: share of F, V in which the lower lip reaches the upper teeth."""
    lip = lower_lip_mm(performance.weights, performance.own_mouth, mouth)
    return _share(performance, analysis, "FV", lip >= TOUCH_MM, -0.02, 0.02)


def _share(
    performance: Performance,
    analysis: SpeechAnalysis,
    labels: str,
    mask: NDArray[np.bool_],
    before: float,
    after: float,
) -> float:
    rate = performance.frame_rate_hz
    phones = [p for p in analysis.phones if p.label in labels]
    hit = [mask[_frames(p.start + before, p.end + after, rate, len(mask))].any() for p in phones]
    return float(np.mean(hit)) if hit else 1.0


def _frames(start: float, end: float, rate: float, count: int) -> slice:
    first = max(0, int(np.ceil(start * rate - 1e-9)))
    return slice(min(first, count), min(max(int(end * rate + 1e-9) + 1, first + 1), count))


def closed_ms(performance: Performance, analysis: SpeechAnalysis, mouth: MouthResponse) -> float:
    """T3: mean time the lips stay closed at a single P, B or M."""
    shut = gap(performance, mouth) <= CLOSED_MM
    rate = performance.frame_rate_hz
    centers = [(p.start + p.end) / 2 * rate for p in analysis.phones if p.label in "PBM"]
    lengths = []
    for start, end in runs(shut):
        inside = [c for c in centers if start - 1 <= c <= end]
        if len(inside) == 1:
            lengths.append(1000 * (end - start) / rate)
    return float(np.mean(lengths)) if lengths else float("nan")


def share_false_closed(performance: Performance, analysis: SpeechAnalysis, mouth: MouthResponse) -> float:
    """T5: share of vowels of 60 ms and more that are closed in their middle half."""
    shut = gap(performance, mouth) <= CLOSED_MM
    rate, found = performance.frame_rate_hz, []
    for phone in analysis.phones:
        length = phone.end - phone.start
        if phone.label in VOWELS and length >= 0.06:
            middle = _frames(phone.start + length / 4, phone.end - length / 4, rate, len(shut))
            found.append(bool(shut[middle].any()))
    return float(np.mean(found)) if found else 0.0


def correlation_and_lag(performance: Performance, prosody: Prosody, mouth: MouthResponse) -> tuple[float, float]:
    """T7: correlation of aperture and loudness at lag 0, and the lag in ms within 300 ms at which it is best."""
    level = _low_pass(prosody.level_db)
    at = np.arange(len(level)) / TICKS_HZ
    opening = np.interp(
        at, np.arange(len(performance)) / performance.frame_rate_hz, np.maximum(gap(performance, mouth), 0)
    )
    lags = np.arange(-30, 31)
    fits = []
    for lag in lags:
        moved = np.roll(opening, -lag)
        use = prosody.speaking.copy()
        use[:31] = use[-31:] = False
        fits.append(float(np.corrcoef(moved[use], level[use])[0, 1]))
    return fits[30], float(10 * lags[int(np.argmax(fits))])


def _low_pass(curve: FloatArray) -> FloatArray:
    kernel = np.hanning(11)
    return np.convolve(curve, kernel / kernel.sum(), "same")


@dataclass(frozen=True)
class Motion:
    """T9: how the lips move.

    Attributes:
        fastest_mm_per_s: 99th percentile of lip speed.
        reversals_per_s: changes of direction by more than 1 mm.
        jerk_ratio: RMS jerk over that of straight lines between the phones' own gaps at their middles, both for
            the same swing (standard deviation).
    """

    fastest_mm_per_s: float
    reversals_per_s: float
    jerk_ratio: float


def motion(performance: Performance, analysis: SpeechAnalysis, mouth: MouthResponse) -> Motion:
    """Measure lip speed and jerk at the performance's own rate, reversals at 100 Hz."""
    frames = np.arange(len(performance)) / performance.frame_rate_hz
    opening = np.maximum(gap(performance, mouth), 0)
    speech = sum(p.end - p.start for p in analysis.phones if p.label != SILENCE)
    acts = timeline(analysis.phones, analysis.duration_seconds)
    keys = [PHONE_SHAPES[a.label].gap_mm if a.label not in "PBM" else 0.0 for a in acts]
    middles = [(a.start + a.end) / 2 for a in acts]
    straight = np.interp(frames, middles, [mouth.gap_mm if k is None else k for k in keys])
    jerks = [np.sqrt(np.mean(np.diff(curve, 3) ** 2)) / max(curve.std(), 1e-6) for curve in (opening, straight)]
    speed = np.percentile(np.abs(np.diff(opening)) * performance.frame_rate_hz, 99)
    fine = np.interp(np.arange(int(performance.duration_seconds * 100)) / 100, frames, opening)
    return Motion(float(speed), _reversals(fine) / max(speech, 1e-6), float(jerks[0] / max(jerks[1], 1e-9)))


def _reversals(curve: FloatArray, least: float = 1.0) -> int:
    """Count turning points that are followed by a move of at least `least`."""
    count, low, high, direction = 0, curve[0], curve[0], 0
    for value in curve:
        low, high = min(low, value), max(high, value)
        if direction >= 0 and high - value > least:
            count, direction, low = count + (direction > 0), -1, value
            high = value
        elif direction <= 0 and value - low > least:
            count, direction, high = count + (direction < 0), 1, value
            low = value
    return count


def unrest_in_silence(performance: Performance, analysis: SpeechAnalysis, mouth: MouthResponse) -> tuple[float, float]:
    """T10: largest range of the gap in mm, and of any mouth weight, in silences of 500 ms and more.

    The first 300 ms, in which the mouth goes to rest, and the last 350 ms, in
    which it gets ready to speak, are not part of the silence.
    """
    opening = gap(performance, mouth)
    worst_mm = worst_weight = 0.0
    for phone in joined_silences(analysis.phones):
        if phone.end - phone.start < 0.5:
            continue
        last = phone.end if phone.end >= performance.duration_seconds - 0.05 else phone.end - 0.35
        first = phone.start if phone.start == 0 else phone.start + 0.3
        inside = _frames(first, last, performance.frame_rate_hz, len(opening))
        if last - first < 0.05:
            continue
        worst_mm = max(worst_mm, float(np.ptp(opening[inside])))
        worst_weight = max(worst_weight, float(np.ptp(performance.weights[inside][:, MOUTH_INDEX], axis=0).max()))
    return worst_mm, worst_weight


def joined_silences(phones: tuple[Phone, ...]) -> list[Phone]:
    """Return the silences."""
    return [p for p in phones if p.label == SILENCE]


@dataclass(frozen=True)
class Blinks:
    """T11.

    Attributes:
        per_minute: rate.
        variation, skew: of the intervals between blinks.
        contact: share of blinks whose lids meet (weight at least the contact weight - .005).
    """

    per_minute: float
    variation: float
    skew: float
    contact: float


def blinks(performance: Performance) -> Blinks:
    """Measure the blinks of a performance."""
    lids = performance.weights[:, INDEX["eyeBlinkLeft"]]
    found = [(a, b) for a, b in runs(lids > 0.5 * lids.max()) if b > a] if lids.max() > 0.2 else []
    starts = np.array([a for a, _ in found]) / performance.frame_rate_hz
    gaps = np.diff(starts)
    contact = np.mean([(lids[a:b] >= 0.995).any() for a, b in found]) if found else 0.0
    skew = float(np.mean(((gaps - gaps.mean()) / gaps.std()) ** 3)) if len(gaps) > 2 else float("nan")
    variation = float(gaps.std() / gaps.mean()) if len(gaps) > 2 else float("nan")
    return Blinks(60 * len(found) / performance.duration_seconds, variation, skew, float(contact))


@dataclass(frozen=True)
class Head:
    """T12: yaw, pitch, roll.

    Attributes:
        sd_degrees, mean_speed: spread and degrees per second.  # (3,)
        share_below_4_hz: of the power, least of the three axes.
        largest_step: between two frames, degrees.
    """

    sd_degrees: tuple[float, ...]
    mean_speed: tuple[float, ...]
    share_below_4_hz: float
    largest_step: float


def head(performance: Performance) -> Head:
    """Measure the head's motion."""
    turn, rate = performance.head_degrees.astype(float), performance.frame_rate_hz
    step = np.abs(np.diff(turn, axis=0))
    power = np.abs(np.fft.rfft((turn - turn.mean(0)) * np.hanning(len(turn))[:, None], axis=0)) ** 2
    slow = np.fft.rfftfreq(len(turn), 1 / rate) < 4
    share = power[slow].sum(0) / np.maximum(power.sum(0), 1e-12)
    return Head(
        tuple(float(v) for v in turn.std(0)),
        tuple(float(v) for v in step.mean(0) * rate),
        float(share.min()),
        float(step.max()),
    )
