"""Speech made ready for a clip: a sound decoded, or a text spoken by the offline voice, and its phones found."""

from __future__ import annotations

import hashlib
import time
from dataclasses import dataclass, replace
from pathlib import Path

from studio.domain.speech import Phone, SpeechAnalysis, Word
from studio.engines import Engines
from studio.engines.base import Sound
from studio.errors import UserInputError
from studio.services.clips.request import AnimationRequest
from studio.services.sources import Sources


@dataclass(frozen=True)
class Spoken:
    """The speech of one clip: samples for the analysis, and the file for the sound track.

    Attributes:
        sha256: of the whole sound: of the file's bytes, or of the samples of what the offline voice said.
    """

    sound: Sound
    sha256: str
    path: Path
    start_seconds: float
    notes: tuple[str, ...]
    analysis: SpeechAnalysis


class Listener:
    """Hears the speech of clips for one owner.

    Args:
        scratch: where what the offline voice says is written.
    """

    def __init__(self, sources: Sources, engines: Engines, scratch: Path) -> None:
        self._sources, self._engines, self._scratch = sources, engines, scratch

    def listen(self, request: AnimationRequest) -> Spoken:
        """Decode (or speak) the sound and find its phones."""
        from studio.engines.media.sound import read_sound, trim

        engines = self._engines
        if request.sound is None:
            return self._speak(request)
        found = self._sources.find(request.sound)
        decoded = read_sound(found.path, sha256=found.sha256)
        if request.start_seconds >= decoded.duration_seconds:
            raise UserInputError(
                f"The part starts at {request.start_seconds:g} s, the sound ends at {decoded.duration_seconds:.1f} s.",
                "Choose an earlier start.",
            )
        end = None if request.seconds is None else request.start_seconds + request.seconds
        sound = trim(decoded, request.start_seconds, end)
        # The transcript says what the whole sound says: a part is heard as a part of the whole.
        whole = bool((request.transcript or "").strip())
        with engines.speech_lock:
            analysis = engines.speech().analyse(decoded if whole else sound, request.transcript, request.language)
        if whole:
            analysis = part_of(analysis, request.start_seconds, sound)
        return Spoken(sound, decoded.sha256, found.path, request.start_seconds, decoded.notes, analysis)

    def _speak(self, request: AnimationRequest) -> Spoken:
        """Let the offline voice say the text."""
        from studio.engines.media.sound import trim, write_wav

        engines = self._engines
        with engines.speech_lock:
            sound, analysis = engines.synthesiser().speak(request.text or "", voice=request.voice)
        self._scratch.mkdir(parents=True, exist_ok=True)
        path = write_wav(self._scratch / f"spoken-{time.time_ns()}.wav", sound)
        end = None if request.seconds is None else request.start_seconds + request.seconds
        part = trim(sound, request.start_seconds, end)
        said = hashlib.sha256(sound.samples.tobytes()).hexdigest()
        return Spoken(part, said, path, request.start_seconds, (), part_of(analysis, request.start_seconds, part))


def part_of(analysis: SpeechAnalysis, start: float, sound: Sound) -> SpeechAnalysis:
    """Return the analysis of a piece of the sound that begins at `start` seconds."""
    length = sound.duration_seconds

    def held(seconds: float) -> float:
        return min(max(seconds - start, 0.0), length)

    def inside(piece: Phone | Word) -> bool:
        return held(piece.end) > held(piece.start)

    phones = tuple(replace(p, start=held(p.start), end=held(p.end)) for p in analysis.phones if inside(p))
    words = tuple(replace(w, start=held(w.start), end=held(w.end)) for w in analysis.words if inside(w))
    return replace(analysis, duration_seconds=length, phones=phones, words=words)
