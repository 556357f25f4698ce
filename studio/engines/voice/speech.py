"""The speech analyser: by which method its phones are found, and what the person is told.

Transcript and English: forced alignment. English without a text: decode, then
align the guess. Any other language: phone loop. Nothing recognisable: loudness.
A method is never changed silently; the method used and the reason for leaving a
better one stand in the analysis. The lower modules do the work.
"""

from __future__ import annotations

import re
import weakref
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from studio.domain.performance import MouthResponse, Performance
from studio.domain.speech import SILENCE, Phone, PhoneMethod, SpeechAnalysis, Word, cover
from studio.engines.base import Amounts, Sound
from studio.engines.voice import alignment, energy
from studio.engines.voice.languages import Language, load_languages
from studio.engines.voice.letters import pronounce
from studio.engines.voice.live import LiveEnergyMouth
from studio.engines.voice.performing import write_performance
from studio.engines.voice.prosody import Prosody, at_16_khz, is_silent, measure
from studio.engines.voice.recognition import Recogniser
from studio.engines.voice.transcript import normalise
from studio.errors import UserInputError

FloatArray = NDArray[np.float32]

_SHORTEST_PHONE_SECONDS = 0.02
_LEAST_COVERED = 0.35
"""Share of the speaking time that phones must cover for a method to be believed."""


class PocketsphinxSpeech:
    """Sound to phones with pocketsphinx, and phones to a performance.

    Args:
        languages_dir: folder of language tables; the studio's own by default.
    """

    name = "pocketsphinx"
    version = "2"

    def __init__(self, languages_dir: Path | None = None) -> None:
        self._languages = load_languages(languages_dir)
        self._recogniser = Recogniser()
        self._measured: tuple[weakref.ref[Sound], Prosody] | None = None

    @property
    def languages(self) -> dict[str, Language]:
        """Language tables by code."""
        return dict(self._languages)

    def analyse(self, sound: Sound, transcript: str | None = None, language: str = "en") -> SpeechAnalysis:
        """Find the phones of a sound by the best method that works.

        Args:
            sound: any rate from 4 kHz up.
            transcript: what is said, as typed; English only.
            language: code such as "en", "de" or "en-US".

        Returns:
            Phones covering the whole sound; `notes` says why a better method was left.

        Raises:
            UserInputError: an empty sound or an unknown language.
            EngineUnavailableError: pocketsphinx is missing.
        """
        code = self._language_code(language)
        samples = at_16_khz(sound)
        duration = sound.duration_seconds
        if is_silent(samples):
            rest = (Phone(SILENCE, 0.0, duration),)
            return SpeechAnalysis(duration, rest, (), "energy", ("The sound is silent, so the mouth rests.",))
        prosody = self._prosody(sound, samples)
        notes: list[str] = []
        method, words, phones = self._cascade(samples, prosody, transcript, code, notes)
        return SpeechAnalysis(duration, cover(phones, duration), words, method, tuple(notes))

    def perform(
        self,
        sound: Sound,
        analysis: SpeechAnalysis,
        mouth: MouthResponse,
        *,
        frame_rate_hz: float = 25.0,
        seed: int = 0,
        emotions: Sequence[tuple[str, float]] = (),
        amounts: Amounts = Amounts(),
    ) -> Performance:
        """Write the face's motion for the sound; same input and seed, same result.

        Raises:
            UserInputError: an amount, frame rate or emotion out of range.
        """
        prosody = self._prosody(sound)
        return write_performance(
            analysis, prosody, mouth, frame_rate_hz=frame_rate_hz, seed=seed, emotions=emotions, amounts=amounts
        )

    def respell(self, sound: Sound, text: str, language: str = "en") -> SpeechAnalysis:
        """Find the phones of a short sound of which the words are known; see `SpeechAnalyser`."""
        if self._language_code(language) != "en":
            raise UserInputError("Words can be mended in English only.", "Move the borders between the sounds instead.")
        length, notes = sound.duration_seconds, list[str]()
        read = normalise(text)
        if not read.words:
            if text.strip():
                raise UserInputError(f"{text[:40]!r} has no words that can be read.", "Write English words.")
            return SpeechAnalysis(length, (Phone(SILENCE, 0.0, length),), (), "aligned")
        self._teach(read.words, notes)
        spelled = [self._recogniser.pronunciation(word) for word in read.words]
        count = sum(map(len, spelled))
        if count * _SHORTEST_PHONE_SECONDS > length:
            raise UserInputError(
                f"{count} sounds do not fit into {length:.2f} s.", "Write fewer words, or make room by moving borders."
            )
        aligned = self._recogniser.align(at_16_khz(sound), read.words)
        if aligned is None or len(aligned.words) != len(read.words) or len(aligned.phones) < count:
            notes.append("The sound does not tell where the new word's sounds are, so they were laid out evenly.")
            return _laid_out(read.words, spelled, length, tuple(notes))
        # The word lasts from border to border: what the search took for silence at its ends is part of it.
        phones, words = list(aligned.phones), list(aligned.words)
        phones[0], phones[-1] = replace(phones[0], start=0.0), replace(phones[-1], end=length)
        words[0], words[-1] = replace(words[0], start=0.0), replace(words[-1], end=length)
        return SpeechAnalysis(length, cover(phones, length), tuple(words), "aligned", tuple(notes))

    def live(self, mouth: MouthResponse) -> LiveEnergyMouth:
        """Move a mouth while somebody speaks, by loudness and sound."""
        return LiveEnergyMouth(mouth)

    def _prosody(self, sound: Sound, samples: FloatArray | None = None) -> Prosody:
        """Measure a sound, once: `perform` mostly follows `analyse` with the very same one.

        Args:
            samples: the sound at 16 kHz, where they are there already.
        """
        known = self._measured
        if known is not None and known[0]() is sound:
            return known[1]
        prosody = measure(at_16_khz(sound) if samples is None else samples)
        self._measured = (weakref.ref(sound), prosody)
        return prosody

    def _language_code(self, language: str) -> str:
        code = re.split(r"[-_]", language.strip().lower())[0] or "en"
        if code != "en" and code not in self._languages:
            raise UserInputError(
                f"There is no table for the language {language!r}.",
                f"Choose from {', '.join(sorted({'en', *self._languages}))}, or add a file to presets/languages.",
            )
        return code

    def _cascade(
        self, samples: FloatArray, prosody: Prosody, transcript: str | None, code: str, notes: list[str]
    ) -> tuple[PhoneMethod, tuple[Word, ...], tuple[Phone, ...]]:
        """Try the methods in order; every method left is explained in `notes`."""
        if transcript and transcript.strip():
            found = self._aligned(samples, prosody, transcript, code, notes)
            if found:
                return "aligned", found.words, found.phones
        if code == "en":
            found = alignment.decode_then_align(self._recogniser, samples, prosody)
            if _covers(found.phones, prosody):
                return "decoded", found.words, found.phones
            notes.append("Hardly any English words were recognised, so the mouth follows single sounds.")
        found = alignment.loop_phones(self._recogniser, samples, prosody)
        if _covers(found.phones, prosody):
            return "phone_loop", (), found.phones
        notes.append("No speech sounds were recognised, so the mouth follows the loudness.")
        return "energy", (), energy.energy_phones(prosody)

    def _aligned(
        self, samples: FloatArray, prosody: Prosody, transcript: str, code: str, notes: list[str]
    ) -> alignment.Found | None:
        if code != "en":
            notes.append("A transcript helps only with English, so it was not used.")
            return None
        text = normalise(transcript)
        notes.extend(text.notes)
        if not text.words:
            notes.append("The transcript has no words, so it was not used.")
            return None
        self._teach(text.words, notes)
        found = alignment.align_text(self._recogniser, samples, prosody, text.words)
        if found.doubt:
            notes.append(f"The transcript does not match the sound ({found.doubt}), so it was not used.")
            return None
        if found.lost:
            spans = ", ".join(f"{a:.0f} to {b:.0f} s" for a, b in found.lost[:4])
            notes.append(f"The transcript does not fit from {spans}; there the words were guessed.")
        return found

    def _teach(self, words: Sequence[str], notes: list[str]) -> None:
        """Let the recogniser know words that its dictionary lacks."""
        unknown = sorted({w for w in words if not self._recogniser.knows(w)})
        for word in unknown:
            self._recogniser.teach(word, pronounce(word))
        if unknown:
            listed = ", ".join(unknown[:6]) + (", …" if len(unknown) > 6 else "")
            notes.append(f"Pronounced by rule, because the dictionary lacks them: {listed}.")


def _laid_out(
    words: Sequence[str], spelled: Sequence[Sequence[str]], length: float, notes: tuple[str, ...]
) -> SpeechAnalysis:
    """Return words whose sounds are all equally long."""
    step = length / sum(map(len, spelled))
    phones, said, at = [], [], 0
    for word, sounds in zip(words, spelled, strict=True):
        said.append(Word(word, at * step, (at + len(sounds)) * step))
        phones += [Phone(label, (at + i) * step, (at + i + 1) * step) for i, label in enumerate(sounds)]
        at += len(sounds)
    return SpeechAnalysis(length, cover(phones, length), tuple(said), "aligned", notes)


def _covers(phones: Sequence[Phone], prosody: Prosody) -> bool:
    speaking = float(prosody.speaking.sum()) / 100
    return sum(p.end - p.start for p in phones if p.label != SILENCE) >= _LEAST_COVERED * speaking
