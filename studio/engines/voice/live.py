"""A mouth that moves while somebody speaks: loudness, hiss and dips of the last seconds, nothing understood.

The engine of last resort (`energy`) works without words, so it can work without
the future: phones of the last seconds are named anew with every piece of sound,
melted as those of a clip are, and the mouth is read a little before the end,
where what comes next hardly reaches. What of a dip is a closed mouth is known
when it ends; a shorter wait would leave it out.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from studio.domain.performance import MouthResponse, Performance
from studio.domain.speech import SILENCE, Phone, SpeechAnalysis, cover
from studio.engines.voice import energy
from studio.engines.voice.performing import write_mouth
from studio.engines.voice.prosody import HOP, TICKS_HZ, Prosody, measure, voice_activity

FloatArray = NDArray[np.float32]

BEHIND_SECONDS = 0.08
"""The mouth is that of so long ago."""
_REMEMBERED_SECONDS = 4.0
_AGAIN_TICKS = 4
"""So many ticks at the end were measured without what came after, and are measured again."""
_SILENT_DB = -50.0
"""Nobody speaks while the loudest of the last seconds stays below: a room's own noise would move the mouth."""


class LiveEnergyMouth:
    """Hears one voice; see `studio.engines.base.LiveMouth`.

    Args:
        mouth: of the portrait.
    """

    def __init__(self, mouth: MouthResponse) -> None:
        self._mouth = mouth
        self._samples = np.zeros(0, np.float32)
        self._curves: Prosody | None = None

    def hear(self, samples: NDArray[np.float32]) -> Performance:
        """Hear a piece of sound at 16 kHz, and return the mouth of now."""
        self._samples = np.concatenate([self._samples, np.asarray(samples, np.float32)])
        self._measure()
        keep = round(_REMEMBERED_SECONDS * TICKS_HZ) * HOP
        if len(self._samples) > keep + HOP:
            gone = (len(self._samples) - keep) // HOP
            self._samples = self._samples[gone * HOP :]
            assert self._curves is not None
            self._curves = _ticks(self._curves, slice(gone, None))
        assert self._curves is not None
        prosody = replace(self._curves, speaking=self._speaking(self._curves.level_db))
        seconds = max(len(prosody) - 1, 1) / TICKS_HZ
        analysis = SpeechAnalysis(seconds, cover(energy.energy_phones(prosody), seconds), (), "energy")
        if not prosody.speaking.any():
            analysis = replace(analysis, phones=(Phone(SILENCE, 0.0, seconds),))
        whole = write_mouth(analysis, prosody, self._mouth, frame_rate_hz=float(TICKS_HZ))
        at = max(len(whole) - 1 - round(BEHIND_SECONDS * TICKS_HZ), 0)
        return replace(whole.part(at / TICKS_HZ, 1 / TICKS_HZ), frame_rate_hz=1.0)

    def _measure(self) -> None:
        """Measure what is new, and once more the last ticks of what was heard before."""
        known = self._curves
        first = 0 if known is None else max(len(known) - _AGAIN_TICKS, 0)
        before = min(first, _AGAIN_TICKS)
        fresh = measure(self._samples[(first - before) * HOP :])
        fresh = _ticks(fresh, slice(before, None))
        self._curves = fresh if known is None else _joined(_ticks(known, slice(0, first)), fresh)

    @staticmethod
    def _speaking(level_db: FloatArray) -> NDArray[np.bool_]:
        if float(level_db.max(initial=-100.0)) < _SILENT_DB:
            return np.zeros(len(level_db), bool)
        return voice_activity(level_db)


def _ticks(prosody: Prosody, part: slice) -> Prosody:
    return Prosody(**{name: values[part] for name, values in vars(prosody).items()})


def _joined(before: Prosody, after: Prosody) -> Prosody:
    return Prosody(**{name: np.concatenate([v, vars(after)[name]]) for name, v in vars(before).items()})
