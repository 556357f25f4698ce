"""One pocketsphinx decoder, its searches, and the traps around them.

A single decoder shares its acoustic model and dictionary between four
searches: forced alignment to a text, alignment to the *beginning* of a text
(for long sound), free decoding with the language model, and a phone loop.
Facts the code rests on, measured on read English and real speakers
(docs/talking_mouth.md): a forced alignment needs some padding with faint
noise, must be checked word by word, and its second pass (phones) fails on some
paddings; so padding and beams are tried in order. Nothing here knows about
pauses, groups of words or languages; see `alignment`.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from studio.domain.speech import SILENCE, Phone, Word
from studio.engines.voice.prosody import RATE_HZ
from studio.errors import EngineError, EngineUnavailableError

FloatArray = NDArray[np.float32]

_PADDINGS_SECONDS = ((0.2, 0.3), (0.1, 0.1), (0.0, 0.0), (0.05, 0.2))
_BEAMS: tuple[float | None, ...] = (None, 1e-80, 1e-200)
_DEFAULT_BEAMS = {"beam": 1e-48, "wbeam": 7e-29, "pbeam": 1e-48}
_PHONE_LOOP_BEAM = 1e-20
_PHONE_LOOP_WEIGHT = 2.0  # lw 2: best closures and correlation of those tried (docs/talking_mouth.md)
_LANGUAGE_WEIGHT = 6.5
_DECODING_LIMITS = {"maxhmmpf": 3000, "maxwpf": 20}
"""40 % faster than without, the same words but for one in 60 s of a real speaker."""
_NOISE_STEPS = 3.0  # standard deviation of the padding noise, in 16-bit steps
_VOWELS = "AEIOU"


@dataclass(frozen=True)
class Alignment:
    """One text found in one stretch of sound; times in seconds from its start.

    Attributes:
        words: every word of the text, in order.
        phones: every phone, without silence.
        score: median over phones of the log score per frame; -8..-24 where text and
            sound belong together, -35..-57 where they do not (nine recordings
            against right, wrong and reversed texts); None when only words were aligned.
    """

    words: tuple[Word, ...]
    phones: tuple[Phone, ...]
    score: float | None


class Recogniser:
    """English acoustic model with alignment, decoding and phone-loop searches.

    Loads on first use (0.1 s; the language model 0.4 s more). Calls from several
    threads take turns.

    Raises:
        EngineUnavailableError: on first use, when pocketsphinx is not installed.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._loaded: Any = None
        self._searches: set[str] = set()

    def align(self, samples: FloatArray, words: Sequence[str]) -> Alignment | None:
        """Find every word of a text, and its phones, in a stretch of sound.

        Args:
            samples: 16 kHz.  # (N,)
            words: spellings that `knows` accepts, in order.

        Returns:
            None when no padding and beam brings every word back.
        """
        found: tuple[Word, ...] | None = None
        with self._lock:
            for lead, tail in _PADDINGS_SECONDS:
                sound = _padded(samples, lead, tail)
                for beam in _BEAMS:
                    aligned = self._align_words(sound, words, beam)
                    if aligned is None:
                        continue
                    found = found or _shifted_words(aligned, lead, len(samples) / RATE_HZ)
                    phones = self._align_phones(sound)
                    if phones:
                        return _alignment(aligned, phones, lead, len(samples) / RATE_HZ)
            return None if found is None else Alignment(found, self._spread(found), None)

    def align_beginning(
        self, samples: FloatArray, words: Sequence[str], slack: int = 2, penalty: float = 0.01
    ) -> tuple[int, int]:
        """Find which words at the beginning of a text are spoken in a stretch of sound.

        The grammar may start up to `slack` words late and stop after any word, so
        one misjudged boundary is mended by the next stretch.

        Args:
            samples: 16 kHz.  # (N,)
            words: what may be spoken, in order.
            slack: how many words may be left out at the beginning.
            penalty: probability of leaving out any.

        Returns:
            First and last + 1 index of the words heard; (0, 0) when none was.
        """
        end = len(words) + 1
        follow = [(i, i + 1, 1.0, word) for i, word in enumerate(words)]
        stop = [(i, end, 0.05) for i in range(1, len(words) + 1)]
        skip = [(0, i, penalty) for i in range(1, min(slack + 1, len(words)))]
        with self._lock:
            decoder = self._decoder()
            self._set(_DEFAULT_BEAMS)
            decoder.add_fsg("beginning", decoder.create_fsg("beginning", 0, end, [*follow, *stop, *skip]))
            decoder.activate_search("beginning")
            heard = [_spelling(s.word) for s in self._run(_padded(samples, 0.2, 0.3)) if _is_word(s.word)]
        if not heard:
            return 0, 0
        first = next((i for i in range(slack + 1) if list(words[i : i + len(heard)]) == heard), 0)
        return first, first + len(heard)

    def decode(self, samples: FloatArray) -> tuple[Word, ...]:
        """Write down English speech; about 30 % of the words will be wrong."""
        with self._lock:
            decoder = self._decoder()
            self._set(_DEFAULT_BEAMS)
            if "words" not in self._searches:
                from pocketsphinx import NGramModel, get_model_path

                decoder.config["lw"] = _LANGUAGE_WEIGHT
                for name, limit in _DECODING_LIMITS.items():
                    decoder.config[name] = limit
                path = str(Path(get_model_path()) / "en-us/en-us.lm.bin")
                decoder.add_lm("words", NGramModel(decoder.config, decoder.logmath, path))
                self._searches.add("words")
            decoder.activate_search("words")
            segments = self._run(_padded(samples, 0.0, 0.2))
        end = len(samples) / RATE_HZ
        return tuple(
            Word(_spelling(s.word), s.start_frame / 100, min((s.end_frame + 1) / 100, end))
            for s in segments
            if _is_word(s.word) and s.start_frame / 100 < end
        )

    def phone_loop(self, samples: FloatArray) -> tuple[Phone, ...]:
        """Find phones without words, in any language, as the nearest English ones."""
        with self._lock:
            decoder = self._decoder()
            if "phones" not in self._searches:
                from pocketsphinx import get_model_path

                self._set(dict.fromkeys(_DEFAULT_BEAMS, _PHONE_LOOP_BEAM))
                decoder.config["lw"] = _PHONE_LOOP_WEIGHT
                decoder.add_allphone_file("phones", str(Path(get_model_path()) / "en-us/en-us-phone.lm.bin"))
                decoder.config["lw"] = _LANGUAGE_WEIGHT
                self._searches.add("phones")
            decoder.activate_search("phones")
            segments = self._run(_padded(samples, 0.0, 0.0))
        return tuple(
            Phone(s.word if s.word.isalpha() else SILENCE, s.start_frame / 100, (s.end_frame + 1) / 100)
            for s in segments
        )

    def knows(self, word: str) -> bool:
        """Say whether the dictionary has a pronunciation for a lower-case word."""
        with self._lock:
            return self._decoder().lookup_word(word) is not None

    def teach(self, word: str, phones: Sequence[str]) -> None:
        """Add a pronunciation in ARPAbet for a lower-case word that is not known yet."""
        with self._lock:
            decoder = self._decoder()
            if decoder.lookup_word(word) is None:
                decoder.add_word(word, " ".join(phones), True)

    def pronunciation(self, word: str) -> tuple[str, ...]:
        """Return the first pronunciation of a known word."""
        with self._lock:
            return tuple((self._decoder().lookup_word(word) or "").split())

    def _decoder(self) -> Any:
        if self._loaded is None:
            try:
                from pocketsphinx import Decoder, get_model_path
            except ImportError as exc:
                raise EngineUnavailableError(
                    "Speech recognition needs the package pocketsphinx, which is not installed.",
                    "Install it with `pip install pocketsphinx`.",
                ) from exc
            models = Path(get_model_path())
            try:
                self._loaded = Decoder(
                    hmm=str(models / "en-us/en-us"),
                    dict=str(models / "en-us/cmudict-en-us.dict"),
                    lm=None,
                    fwdflat=False,  # a second pass over the words: a fifth of the time, and no better lips
                    loglevel="FATAL",
                )
            except (RuntimeError, ValueError, TypeError) as exc:
                raise EngineUnavailableError(
                    "The English speech model could not be loaded.",
                    "Reinstall it: `pip install --force-reinstall pocketsphinx`.",
                ) from exc
        return self._loaded

    def _set(self, beams: dict[str, float]) -> None:
        for name, beam in beams.items():
            self._decoder().config[name] = beam

    def _run(self, sound: bytes) -> list[Any]:
        decoder = self._decoder()
        try:
            decoder.reinit_feat()  # it gets used to noise, and would hear the same sound otherwise after another
            decoder.start_utt()
            decoder.process_raw(sound, full_utt=True)
            decoder.end_utt()
        except RuntimeError as exc:
            raise EngineError("The speech recogniser failed on this sound.", "Try a cleaner recording.") from exc
        return list(decoder.seg() or ())

    def _align_words(self, sound: bytes, words: Sequence[str], beam: float | None) -> tuple[Word, ...] | None:
        """Return the words with times in the padded sound, or None when some are missing."""
        decoder = self._decoder()
        self._set(_DEFAULT_BEAMS if beam is None else dict.fromkeys(_DEFAULT_BEAMS, beam))
        decoder.set_align_text(" ".join(words))
        try:
            segments = [s for s in self._run(sound) if _is_word(s.word)]
        except EngineError:
            return None  # this padding and beam failed: the ladder goes on
        if [_spelling(s.word) for s in segments] != list(words):
            return None
        return tuple(Word(_spelling(s.word), s.start_frame / 100, (s.end_frame + 1) / 100) for s in segments)

    def _align_phones(self, sound: bytes) -> list[tuple[str, float, float, float]]:
        """Return phone, start, end and score from the second pass; empty when it fails on this padding."""
        decoder = self._decoder()
        try:
            decoder.set_alignment()
            self._run(sound)
            found = decoder.get_alignment()
            return [(p.name, p.start / 100, (p.start + p.duration) / 100, p.score) for w in found or () for p in w]
        except (RuntimeError, EngineError):
            return []

    def _spread(self, words: Sequence[Word]) -> tuple[Phone, ...]:
        """Divide words among their dictionary phones, vowels 1.6 times as long as consonants."""
        out = []
        for word in words:
            phones = (self._decoder().lookup_word(word.text) or "").split()
            shares = np.array([1.6 if p[0] in _VOWELS else 1.0 for p in phones])
            edges = word.start + np.r_[0, np.cumsum(shares / shares.sum())] * (word.end - word.start)
            out += [Phone(p, float(edges[i]), float(edges[i + 1])) for i, p in enumerate(phones)]
        return tuple(out)


def _padded(samples: FloatArray, lead: float, tail: float) -> bytes:
    """Return 16-bit sound with faint noise before, after and under it (always the same noise).

    Synthetic and edited speech has stretches of exact zeros, whose logarithm
    spoils the features of everything around them; the noise is inaudible.
    """
    before, after = int(lead * RATE_HZ), int(tail * RATE_HZ)
    out = np.random.default_rng(0).normal(0, _NOISE_STEPS, before + len(samples) + after)
    out[before : before + len(samples)] += np.clip(samples, -1, 1) * 32767
    return np.clip(out, -32768, 32767).astype(np.int16).tobytes()


def _is_word(spelling: str) -> bool:
    return spelling[0] not in "<[+("


def _spelling(word: str) -> str:
    """Return a dictionary entry without its variant number: read(2) -> read."""
    return re.sub(r"\(\d+\)$", "", word)


def _shifted_words(words: Sequence[Word], lead: float, duration: float) -> tuple[Word, ...]:
    return tuple(Word(w.text, *_clipped(w.start - lead, w.end - lead, duration)) for w in words)


def _alignment(
    words: Sequence[Word], phones: Sequence[tuple[str, float, float, float]], lead: float, duration: float
) -> Alignment:
    spoken = [p for p in phones if p[0].isalpha() and p[0] != SILENCE]
    score = float(np.median([p[3] / max(100 * (p[2] - p[1]), 1) for p in spoken])) if spoken else None
    placed = [(name, *_clipped(start - lead, end - lead, duration)) for name, start, end, _ in spoken]
    kept = tuple(Phone(name, start, end) for name, start, end in placed if end > start)
    return Alignment(_shifted_words(words, lead, duration), kept, score)


def _clipped(start: float, end: float, duration: float) -> tuple[float, float]:
    return min(max(start, 0.0), duration), min(max(end, 0.0), duration)
