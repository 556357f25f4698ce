"""What everybody in a dialogue says: each sound, or each one's turns of one sound, heard by itself."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from studio.domain.dialogue import only, spans_of, spoken_spans, words_of
from studio.domain.speech import SILENCE, SpeechAnalysis, cover
from studio.domain.turns import in_sound
from studio.engines import Engines
from studio.engines.base import Sound
from studio.errors import LimitExceededError, UserInputError
from studio.services.clips.dialogue_request import DialogueRequest
from studio.services.clips.driven import LONGEST_SECONDS
from studio.services.progress import OnProgress, Progress
from studio.services.sources import MediaSource, Sources

if TYPE_CHECKING:
    from studio.engines.media.sound import SoundFile

_BEGUN_SHARE = 0.04
"""Part of the progress bar before the first sound is heard."""


@dataclass(frozen=True)
class _Voice:
    """One person's sound.

    Attributes:
        start_seconds: when it begins in the clip.
        words: what it says, where that is known.
        path: its file.
    """

    sound: Sound
    start_seconds: float
    words: str | None
    path: Path


@dataclass(frozen=True)
class Heard:
    """What everybody says.

    Attributes:
        sounds: of each person, as long as the clip, silent where they do not speak.
        analyses: of those.
        track: the file for the sound track.
    """

    sounds: tuple[Sound, ...]
    analyses: tuple[SpeechAnalysis, ...]
    track: Path
    notes: tuple[str, ...]

    @property
    def sha256(self) -> str:
        """Says what is heard."""
        return hashlib.sha256(b"".join(sound.samples.tobytes() for sound in self.sounds)).hexdigest()


class DialogueListener:
    """Hears dialogues for one owner."""

    def __init__(self, sources: Sources, engines: Engines) -> None:
        self._sources, self._engines = sources, engines

    def hear(self, request: DialogueRequest, mixed: Path, tell: OnProgress, *, until_fraction: float) -> Heard:
        """Hear everybody by themselves.

        Args:
            mixed: file for the sound track, where it is put together from several sounds.
            until_fraction: of the progress bar, where the last has been heard.

        Raises:
            UserInputError: nobody says anything.
            LimitExceededError: it is too long.
            NotFoundError, UnreadableMediaError: a sound cannot be read.
        """
        from studio.engines.media.sound import is_silent
        from studio.engines.media.sound_mix import mix

        voices, notes, length = self._voices(request)
        length = min(length, request.seconds or length)
        if length > LONGEST_SECONDS:
            raise LimitExceededError(
                f"The dialogue is {length / 60:.0f} minutes long; {LONGEST_SECONDS / 60:g} are the most.",
                "Make it in parts.",
            )
        if all(one is None or is_silent(one.sound) for one in voices):
            raise UserInputError("Nobody says anything: the sound is silent.", "Choose a sound with speech.")
        sounds, analyses = [], []
        for number, (name, voice) in enumerate(zip(request.names, voices, strict=True)):
            tell(
                Progress(_BEGUN_SHARE + (until_fraction - _BEGUN_SHARE) * number / len(voices), f"Listening to {name}")
            )
            if voice is None or is_silent(voice.sound):
                analyses.append(SpeechAnalysis(length, cover((), length), (), "energy"))
                notes.append(f"{name} says nothing, and listens all the time.")
            else:
                with self._engines.speech_lock:
                    said = self._engines.speech().analyse(voice.sound, voice.words, request.language)
                analyses.append(_moved(said, voice.start_seconds, length))
                notes += [f"{name}: {note}" for note in said.notes]
            sounds.append(_padded(voice, length))
        if request.sound is not None:
            return Heard(tuple(sounds), tuple(analyses), self._sources.path(request.sound), tuple(notes))
        files = [(voice.path, voice.start_seconds) for voice in voices if voice is not None]
        return Heard(tuple(sounds), tuple(analyses), mix(files, mixed), tuple(notes))

    def _voices(self, request: DialogueRequest) -> tuple[list[_Voice | None], list[str], float]:
        """Return everybody's sound as far as it is theirs, what is to be said of them, and how long the whole is."""
        if request.sound is not None:
            found = self._sources.find(request.sound)
            whole = self._decoded(request.sound)
            turns, _ = in_sound(request.turns, whole.duration_seconds)
            _, notes = in_sound(request.turns, min(whole.duration_seconds, request.seconds or math.inf))
            own: list[_Voice | None] = []
            for person, one in enumerate(request.people):
                # Heard as far as the sound goes: words and turns say what the whole of it says.
                samples = only(whole.samples, whole.rate_hz, spans_of(turns, person))
                words = words_of(turns, person) or one.transcript
                own.append(_Voice(Sound(samples, whole.rate_hz), 0.0, words, found.path))
            return own, [*whole.notes, *notes], whole.duration_seconds
        voices: list[_Voice | None] = []
        said: list[str] = []
        start = 0.0
        for name, one in zip(request.names, request.people, strict=True):
            if one.sound is None:
                voices.append(None)
                continue
            sound = self._decoded(one.sound)
            said += [f"{name}: {note}" for note in sound.notes]
            voices.append(_Voice(sound, start, one.transcript, self._sources.path(one.sound)))
            if request.pause_seconds is not None:
                start += sound.duration_seconds + request.pause_seconds
        return voices, said, max(v.start_seconds + v.sound.duration_seconds for v in voices if v is not None)

    def _decoded(self, source: MediaSource) -> SoundFile:
        from studio.engines.media.sound import read_sound

        found = self._sources.find(source)
        return read_sound(found.path, sha256=found.sha256)


def _padded(voice: _Voice | None, length: float) -> Sound:
    """Return a person's sound as long as the clip, silent before and behind."""
    from studio.engines.media.sound import ANALYSIS_RATE_HZ

    rate = ANALYSIS_RATE_HZ if voice is None else voice.sound.rate_hz
    out = np.zeros(round(length * rate), np.float32)
    if voice is not None:
        first = min(round(voice.start_seconds * rate), len(out))
        part = voice.sound.samples[: len(out) - first]
        out[first : first + len(part)] = part
    return Sound(out, rate)


def _moved(analysis: SpeechAnalysis, start: float, length: float) -> SpeechAnalysis:
    """Return what is said in a sound that begins at a moment of a clip so long."""
    phones = [replace(p, start=p.start + start, end=p.end + start) for p in analysis.phones]
    words = [replace(w, start=w.start + start, end=min(w.end + start, length)) for w in analysis.words]
    return replace(
        analysis,
        duration_seconds=length,
        phones=cover(phones, length),
        words=tuple(word for word in words if word.end > word.start),
    )


def together(names: Sequence[str], analyses: Sequence[SpeechAnalysis]) -> SpeechAnalysis:
    """Return what everybody says as one: words stretch by stretch with who says them, phones of whoever speaks."""
    stretches = sorted(
        (start, end, person) for person, one in enumerate(analyses) for start, end in spoken_spans(one.phones)
    )
    words = [
        replace(word, speaker=names[person])
        for start, end, person in stretches
        for word in analyses[person].words
        if start - 1e-6 <= (word.start + word.end) / 2 <= end + 1e-6
    ]
    phones = [phone for one in analyses for phone in one.phones if phone.label != SILENCE]
    length = max(one.duration_seconds for one in analyses)
    speaks = [one for one, name in zip(analyses, names, strict=True) if any(p.label != SILENCE for p in one.phones)]
    return SpeechAnalysis(length, cover(phones, length), tuple(words), (speaks or list(analyses))[0].method)
