"""What the ear hears besides the phones: loudness, hiss and melody at 100 Hz.

All curves are computed block by block, so that ten minutes of sound need no
more working memory than ten seconds. Recognition uses 16 kHz; everything in
the voice engine that has a time axis uses `TICKS_HZ` ticks. This module does
not know what was said.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from studio.engines.base import Sound
from studio.errors import UnreadableMediaError, UserInputError

RATE_HZ = 16_000
TICKS_HZ = 100
HOP = RATE_HZ // TICKS_HZ
SILENT_PEAK = 10 ** (-54 / 20)
"""Below -54 dB of full scale everywhere, nobody speaks (16-bit dither lies 40 dB lower, soft speech 30 dB higher)."""

FloatArray = NDArray[np.float32]

_BLOCK_TICKS = 2_000
_RESAMPLE_SECONDS = 20
_RESAMPLE_MARGIN_SECONDS = 0.1
_LEVEL_WINDOW = 480  # 30 ms, as in lip_truth section 2
_PITCH_WINDOW = 640  # 40 ms: two periods of the lowest voice searched
_PITCH_RANGE_HZ = (70.0, 400.0)
_VOICED_CORRELATION = 0.45
_TILT_BANDS_HZ = (80, 400, 700, 1100, 1700, 2700, 4000, 7900)


@dataclass(frozen=True)
class Prosody:
    """Loudness, hiss and melody of one sound, one value per 10 ms.

    Attributes:
        level_db: RMS over 30 ms, dB of full scale, floor -100.  # (T,)
        high_db: the same above 4 kHz (first difference twice, see `measure`).  # (T,)
        low_db: the same below about 400 Hz.  # (T,)
        tilt_db: mean level of six bands above 400 Hz over that below: an open mouth lifts the first formant out of
            the lowest band, so this follows the opening in any language.  # (T,)
        pitch_hz: voice pitch; 0 where unvoiced.  # (T,)
        speaking: voice activity.  # (T,) bool
    """

    level_db: FloatArray
    high_db: FloatArray
    low_db: FloatArray
    tilt_db: FloatArray
    pitch_hz: FloatArray
    speaking: NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.level_db)


def at_16_khz(sound: Sound) -> FloatArray:
    """Return the sound at 16 kHz, resampled in blocks.

    Raises:
        UserInputError: no samples, or an impossible rate.
        UnreadableMediaError: samples that are not finite.
    """
    samples = np.asarray(sound.samples, np.float32)
    if samples.ndim != 1 or not len(samples):
        raise UserInputError("The sound is empty.", "Choose a recording with speech in it.")
    if sound.rate_hz < 4_000:
        raise UserInputError(f"The sound has only {sound.rate_hz} samples per second.", "Use at least 8 kHz.")
    if not np.isfinite(samples).all():
        raise UnreadableMediaError("The sound holds values that are no numbers.", "Convert the file to WAV and retry.")
    if sound.rate_hz == RATE_HZ:
        return samples
    from math import gcd

    from scipy.signal import resample_poly

    divisor = gcd(sound.rate_hz, RATE_HZ)
    up, down = RATE_HZ // divisor, sound.rate_hz // divisor
    # Blocks begin on multiples of `down`, so that every block's output grid is the whole sound's grid.
    block = max(1, round(_RESAMPLE_SECONDS * sound.rate_hz / down)) * down
    margin = max(1, round(_RESAMPLE_MARGIN_SECONDS * sound.rate_hz / down)) * down
    total = -(-len(samples) * up // down)
    out = np.empty(total, np.float32)
    for start in range(0, len(samples), block):
        first, last = max(0, start - margin), min(len(samples), start + block + margin)
        piece = resample_poly(samples[first:last], up, down).astype(np.float32)
        skip, at = (start - first) * up // down, start * up // down
        count = min(block * up // down, total - at, len(piece) - skip)
        out[at : at + count] = piece[skip : skip + count]
    return out


def is_silent(samples: FloatArray) -> bool:
    """Say whether the sound never rises above digital silence or faint hiss."""
    return bool(np.abs(samples).max(initial=0.0) < SILENT_PEAK)


def measure(samples: FloatArray) -> Prosody:
    """Measure a 16 kHz sound.

    Args:
        samples: -1..1 at 16 kHz.  # (N,)

    Returns:
        Curves with floor(N / 160) + 1 ticks; tick i is centered on i * 10 ms.
    """
    ticks = len(samples) // HOP + 1
    curves = np.empty((5, ticks), np.float32)
    reach = _PITCH_WINDOW // 2
    for first in range(0, ticks, _BLOCK_TICKS):
        last = min(first + _BLOCK_TICKS, ticks)
        begin, end = first * HOP - reach, (last - 1) * HOP + reach
        piece = np.zeros(end - begin, np.float32)
        inside = samples[max(begin, 0) : min(end, len(samples))]
        piece[max(-begin, 0) : max(-begin, 0) + len(inside)] = inside
        curves[:, first:last] = _measure_block(piece, last - first)
    level, high, low, tilt, pitch = curves
    return Prosody(level, high, low, tilt, pitch, voice_activity(level))


def _measure_block(piece: FloatArray, ticks: int) -> FloatArray:
    """Return level, high and low dB, tilt and pitch of `ticks` windows 10 ms apart.  # (5, ticks)"""
    windows = np.lib.stride_tricks.sliding_window_view(piece, _PITCH_WINDOW)[::HOP][:ticks]
    side = (_PITCH_WINDOW - _LEVEL_WINDOW) // 2
    frames = windows[:, side : side + _LEVEL_WINDOW]
    spectrum = np.abs(np.fft.rfft(frames * np.hanning(_LEVEL_WINDOW).astype(np.float32), 512)) ** 2
    bin_hz = RATE_HZ / 512
    scale = _LEVEL_WINDOW**2 * 0.1875  # power of a full-scale sine through this window, so that 0 dB is full scale
    bands = [frames.astype(np.float64) ** 2, spectrum[:, int(4000 / bin_hz) :], spectrum[:, 1 : int(400 / bin_hz) + 1]]
    powers = [bands[0].mean(1), bands[1].sum(1) / scale, bands[2].sum(1) / scale]
    decibels = [10 * np.log10(power + 1e-10) for power in powers]
    return np.stack([*decibels, _tilt(spectrum / scale), _pitch(windows)]).astype(np.float32)


def _tilt(spectrum: NDArray[np.floating]) -> NDArray[np.float64]:
    """Return the mean level in dB of the bands above 400 Hz, less that of the band below.  # (T, 257) -> (T,)"""
    edges = [round(hz * 512 / RATE_HZ) for hz in _TILT_BANDS_HZ]
    powers = [spectrum[:, a:b].sum(1) for a, b in pairwise(edges)]
    levels = 10 * np.log10(np.stack(powers) + 1e-9)
    return np.asarray(levels[1:].mean(0) - levels[0])


def _pitch(windows: FloatArray) -> FloatArray:
    """Return the pitch of each 40 ms window by normalised autocorrelation; 0 where unvoiced.  # (T,)"""
    centered = windows - windows.mean(1, keepdims=True)
    spectrum = np.fft.rfft(centered, 2 * _PITCH_WINDOW)
    correlation = np.fft.irfft(np.abs(spectrum) ** 2)[:, :_PITCH_WINDOW]
    short, long = int(RATE_HZ / _PITCH_RANGE_HZ[1]), int(RATE_HZ / _PITCH_RANGE_HZ[0])
    lags = np.arange(short, long)
    # The window overlaps itself less at longer lags; without this correction every voice sounds an octave high.
    overlap = 1 - lags / _PITCH_WINDOW
    normalised = correlation[:, short:long] / (correlation[:, :1] * overlap + 1e-9)
    best = normalised.argmax(1)
    voiced = normalised[np.arange(len(best)), best] > _VOICED_CORRELATION
    return np.where(voiced, RATE_HZ / (short + best), 0.0).astype(np.float32)


def voice_activity(level_db: FloatArray) -> NDArray[np.bool_]:
    """Return where somebody speaks: a level gate with short gaps filled and short islands dropped.  # (T,) bool

    The gate lies 35 % of the way from the noise floor to the loud end, at least
    9 dB above the floor, and never below -52 dB. Gaps up to 100 ms are filled
    and islands under 50 ms dropped (docs/talking_mouth.md).
    """
    floor, loud = np.percentile(level_db, [8, 95])
    gate = max(floor + 0.35 * (loud - floor), floor + min(9.0, 0.5 * (loud - floor)), -52.0)
    active = level_db > gate
    for wanted, limit in ((False, 10), (True, 5)):
        for start, end in runs(active == wanted):
            if end - start < limit and start > 0 and end < len(active):
                active[start:end] = not wanted
    return np.asarray(active, bool)


def runs(mask: NDArray[np.bool_]) -> list[tuple[int, int]]:
    """Return start and end (exclusive) of every run of True."""
    edges = np.flatnonzero(np.diff(np.r_[False, mask, False].astype(np.int8)))
    return [(int(a), int(b)) for a, b in zip(edges[::2], edges[1::2], strict=True)]
