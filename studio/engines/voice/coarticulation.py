"""Phones melt into one another: dominance functions over three articulators.

Every phone pulls the jaw, the rounding of the lips and the rest of the mouth
towards its own shape, with a strength that fades exponentially on either side
(Cohen and Massaro's idea, with the constants of docs/talking_mouth.md
and no lead: docs/talking_mouth.md found 0 ms best). Loudness opens the jaw on
vowels, hiss sharpens the lips. This alone erases two thirds of all closures;
`closure` restores them afterwards.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from studio.domain.speech import SILENCE, Phone, cover
from studio.engines.voice import shapes
from studio.engines.voice.melody import smooth
from studio.engines.voice.prosody import TICKS_HZ, Prosody
from studio.engines.voice.shapes import ARTICULATOR, PHONE_SHAPES, STEM, STEMS

FloatArray = NDArray[np.float32]

REAL_SILENCE_SECONDS = 0.5
"""From here on a pause is silence, and the mouth goes back to the photo's own rest."""
_BREATH_BEFORE_SECONDS = 0.16
_GLUE_SECONDS = 0.12
_SCHWA_SECONDS = 0.06
_DIPHTHONG_TURN = 0.6
_SMOOTH_TICKS = 1.3
_REACH = 9.0  # e^-9: beyond this a phone no longer counts
_LOUDER_BY_WORDS, _LOUDER_BY_SOUNDS = 0.28, 0.5  # how much a vowel's loudness opens the jaw, share per SD
_SWING_OPEN, _SWING_SHUT = 1.9, 1.1
_MORE_MM = 1.2
"""Blended phones open half as far above the middle as real lips do, and shut nearly as far (docs/talking_mouth.md)."""
_TILT_MM = 2.4
"""Per standard deviation of the spectral tilt; from 1.5 to 2.5 the correlation with real lips is best in two clips."""
_TILT_TICKS = 3.2
_LOUD_MM_BY_WORDS, _LOUD_MM_BY_SOUNDS = 0.7, 1.6
"""The same of loudness: phones of another language, or words guessed wrong, are half wrong, loud is open in all."""
_PLAIN_VOWELS = ("AA", "AE", "AH", "EH", "IH", "IY")


def timeline(phones: Sequence[Phone], duration_seconds: float) -> tuple[Phone, ...]:
    """Return what the mouth does when: phones without gaps, diphthongs in two, pauses named.

    A pause under 120 ms belongs to the phone before it; under 500 ms the lips
    stay parted (PAU), as real speakers' do; longer is SIL, but for a breath
    before the next phone.
    """
    glued: list[Phone] = []
    for phone in cover(map(_nameable, phones), duration_seconds):
        short = phone.label == SILENCE and phone.end - phone.start < _GLUE_SECONDS
        if short and glued and glued[-1].label != SILENCE:
            glued[-1] = Phone(glued[-1].label, glued[-1].start, phone.end)
        else:
            glued.append(phone)
    out: list[Phone] = []
    for i, phone in enumerate(glued):
        out += _expanded(phone, first=i == 0, last=i == len(glued) - 1)
    return tuple(out)


def _nameable(phone: Phone) -> Phone:
    known = phone.label in PHONE_SHAPES or phone.label in shapes.DIPHTHONGS
    return phone if known else Phone(SILENCE, phone.start, phone.end)


def _expanded(phone: Phone, *, first: bool, last: bool) -> list[Phone]:
    length = phone.end - phone.start
    if phone.label in shapes.DIPHTHONGS:
        begin, finish = shapes.DIPHTHONGS[phone.label]
        turn = phone.start + _DIPHTHONG_TURN * length
        return [Phone(begin, phone.start, turn), Phone(finish, turn, phone.end)]
    if phone.label == "AH" and length < _SCHWA_SECONDS:
        return [Phone(shapes.SCHWA, phone.start, phone.end)]
    if phone.label != SILENCE or last:
        return [phone]
    if length < REAL_SILENCE_SECONDS:
        return [phone if first else Phone(shapes.PAUSE, phone.start, phone.end)]
    breath = phone.end - _BREATH_BEFORE_SECONDS
    return [Phone(SILENCE, phone.start, breath), Phone(shapes.PAUSE, breath, phone.end)]


def melt(
    acts: Sequence[Phone],
    targets: dict[str, FloatArray],
    prosody: Prosody,
    *,
    opening_mm: float,
    words_known: bool = True,
    jaw: float = 1.0,
    lips: float = 1.0,
    articulation: float = 0.5,
) -> FloatArray:
    """Blend the phones' shapes into continuous curves.

    Args:
        acts: what `timeline` returned.
        targets: what `shapes.solve_shapes` returned.
        prosody: of the same sound; its ticks are the result's.
        opening_mm: lip gap per unit of jawOpen on this head.
        words_known: the phones come from words; otherwise they are unsure and loudness says more.
        jaw, lips: amounts, 0..2, 1 = as measured.
        articulation: 0 mumbled .. 0.5 natural .. 1 over-articulated: the consonants' hold on the mouth.

    Returns:
        Weights by STEMS at 100 Hz, before the hard closure pass.  # (T, 15)
    """
    ticks = len(prosody)
    pull = np.zeros((ticks, len(STEMS)), np.float64)
    hold = np.full((ticks, 3), 1e-7)
    consonants = float(np.interp(articulation, [0, 0.5, 1], [0.6, 1.0, 1.2]))
    louder, hiss = _gains(acts, prosody, _LOUDER_BY_WORDS if words_known else _LOUDER_BY_SOUNDS)
    amounts = np.array([jaw if s == "jawOpen" else lips for s in STEMS])
    for act, loud, sharp in zip(acts, louder, hiss, strict=True):
        shape = PHONE_SHAPES[act.label]
        target = targets[act.label].astype(np.float64)
        target[STEM["jawOpen"]] *= loud
        target[2:] *= sharp
        target = np.clip(target * amounts, 0, 1)
        first, last, distance = _distances(act, shape.sharpness, ticks)
        for g in range(3):
            strength = shape.dominance[g] * (1.0 if act.label in shapes.VOWELS else consonants)
            weight = strength * np.exp(-shape.sharpness * distance)
            hold[first:last, g] += weight
            pull[first:last, g == ARTICULATOR] += weight[:, None] * target[g == ARTICULATOR]
    curves = _smoothed(pull / hold[:, ARTICULATOR])
    middle = jaw * float(np.mean([targets[v][STEM["jawOpen"]] for v in _PLAIN_VOWELS]))
    openness = (
        jaw
        * _openness_mm(acts, prosody, _LOUD_MM_BY_WORDS if words_known else _LOUD_MM_BY_SOUNDS)
        / max(opening_mm, 1e-3)
    )
    curves[:, STEM["jawOpen"]] = _widened(curves[:, STEM["jawOpen"]], middle, openness, _voiced(acts, ticks))
    return curves.astype(np.float32)


def _widened(
    jaw: NDArray[np.float64], middle: float, openness: FloatArray, speaking: FloatArray
) -> NDArray[np.float64]:
    """Return the jaw with its full swing: blending has averaged the phones, and the sound says how open they were.

    Args:
        jaw: blended jawOpen.  # (T,)
        middle: jawOpen of a middling vowel, about which the swing is widened.
        openness: what the sound adds, in jawOpen.  # (T,)
        speaking: 0 silent .. 1 speaking.  # (T,)
    """
    off = jaw - middle
    wide = middle + np.where(off > 0, _SWING_OPEN, _SWING_SHUT) * off + openness
    return np.asarray(np.clip(jaw + speaking * (wide - jaw), 0, shapes.MAX_JAW))


def _openness_mm(acts: Sequence[Phone], prosody: Prosody, per_loudness_mm: float) -> FloatArray:
    """Return how much further than the phones say the lips are apart by tilt and loudness, in millimetres.  # (T,)"""
    speech = (_voiced(acts, len(prosody)) > 0.5) & prosody.speaking
    voiced = speech & (prosody.pitch_hz > 0)  # the tilt of a hiss says nothing of the jaw
    tilt = np.clip(_standardized(prosody.tilt_db, voiced), -2.5, 2.5) * voiced
    loud = np.clip(_standardized(prosody.level_db, speech), -2.5, 2.5) * prosody.speaking
    heard = smooth(_TILT_MM * tilt + per_loudness_mm * loud, _TILT_TICKS)
    return np.asarray(_MORE_MM + heard, np.float32)


def _voiced(acts: Sequence[Phone], ticks: int) -> FloatArray:
    """Return 1 inside phones and 0 in pauses and silence, with slopes of 30 ms.  # (T,)"""
    inside = np.zeros(ticks, np.float32)
    for act in acts:
        if act.label not in (SILENCE, shapes.PAUSE):
            inside[int(act.start * TICKS_HZ) : int(act.end * TICKS_HZ)] = 1.0
    return smooth(inside, 3)


def _distances(act: Phone, sharpness: float, ticks: int) -> tuple[int, int, NDArray[np.float64]]:
    """Return the ticks a phone reaches and their distance in seconds from the plateau of its hold."""
    length = act.end - act.start
    center = act.start + (0.35 if act.label in shapes.VOWELS else 0.5) * length
    # A plateau of 30 % of the phone, but never further than 120 ms from its ends: a long rest must hold all through.
    before = max(0.3 * length, center - act.start - 0.12)
    after = max(0.3 * length, act.end - center - 0.12)
    reach = _REACH / sharpness
    first = max(0, int((center - before - reach) * TICKS_HZ))
    last = max(first + 1, min(ticks, int((center + after + reach) * TICKS_HZ) + 2))
    offset = np.arange(first, min(last, ticks)) / TICKS_HZ - center
    return first, min(last, ticks), np.maximum(np.maximum(-before - offset, offset - after), 0)


def _gains(acts: Sequence[Phone], prosody: Prosody, loudness: float) -> tuple[FloatArray, FloatArray]:
    """Return jaw gain on vowels from loudness and pitch, and lip gain on hissing phones, one per phone."""
    loud, hiss = np.ones(len(acts), np.float32), np.ones(len(acts), np.float32)
    speech = np.zeros(len(prosody), bool)
    spans = [slice(int(a.start * TICKS_HZ), max(int(a.end * TICKS_HZ), int(a.start * TICKS_HZ) + 1)) for a in acts]
    for act, span in zip(acts, spans, strict=True):
        speech[span] |= act.label not in (SILENCE, shapes.PAUSE)
    if speech.sum() < 2:
        return loud, hiss
    level, high = _standardized(prosody.level_db, speech), _standardized(prosody.high_db, speech)
    voiced = speech & (prosody.pitch_hz > 0)
    pitch = _standardized(np.log(np.maximum(prosody.pitch_hz, 1)), voiced) * voiced
    for i, (act, span) in enumerate(zip(acts, spans, strict=True)):
        if act.label in shapes.VOWELS and level[span].size:
            stress = 0.05 if pitch[span].mean() > 1 else 0.0
            loud[i] = np.clip(1 + loudness * level[span].mean() + stress, 0.4, 1.8)
        elif act.label in shapes.HISSING and high[span].size:
            hiss[i] = np.clip(1 + 0.20 * high[span].mean(), 0.7, 1.3)
    return loud, hiss


def _standardized(curve: FloatArray, where: NDArray[np.bool_]) -> FloatArray:
    if where.sum() < 2:
        return np.zeros_like(curve)
    return np.asarray((curve - curve[where].mean()) / (curve[where].std() + 1e-6), np.float32)


def _smoothed(curves: NDArray[np.float64]) -> NDArray[np.float64]:
    """Low-pass with a Gaussian of 13 ms, too narrow to touch a closure's 25 ms slopes.  # (T, n)"""
    reach = 5
    kernel = np.exp(-0.5 * (np.arange(-reach, reach + 1) / _SMOOTH_TICKS) ** 2)
    kernel /= kernel.sum()
    padded = np.pad(curves, ((reach, reach), (0, 0)), mode="edge")
    out = np.zeros_like(curves)
    for i, share in enumerate(kernel):
        out += share * padded[i : i + len(curves)]
    return out
