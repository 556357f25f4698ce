"""An optional offline voice: text in, sound out, with the phones it really spoke.

Uses espeak-ng through the optional package `espeakng-loader` (the library is
GPL-3.0 and is loaded, never bundled). Its phoneme events say when every sound
begins, so that nothing need be recognised; path "synthesis". espeak names the
burst of a stop, while lips close before it: the closure is taken from the
silence or the phone before. The library keeps one state per process, hence the
one lock.
"""

from __future__ import annotations

import ctypes
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from studio.domain.speech import SILENCE, Phone, SpeechAnalysis, Word, cover
from studio.engines.base import Sound, SynthesisVoice
from studio.engines.voice.languages import Language, load_languages
from studio.errors import EngineError, EngineUnavailableError, LimitExceededError, UserInputError

MAX_CHARACTERS = 20_000
SLOWEST_WORDS_PER_MINUTE, FASTEST_WORDS_PER_MINUTE = 80, 450
_SYNCHRONOUS, _PHONEME_EVENTS_IPA = 2, 0x0001 | 0x0002
_DONT_EXIT = 0x8000
_UTF8 = 1
_RATE_PARAMETER, _PITCH_PARAMETER = 1, 3
_END, _WORD, _PHONEME = 0, 1, 7
_CLOSURE_SECONDS = 0.05  # silence that espeak lays before a voiceless stop's burst (measured on its output)
_STOPS = frozenset(("P", "T", "K", "B", "D", "G", "CH", "JH"))
_HINT = "Install it with `pip install espeakng-loader`, or give a sound file instead of a text."

_CODES = {"cmn": "zh", "yue": "zh", "hak": "zh"}  # espeak-ng names Chinese languages one by one

_lock = threading.Lock()
_library: Any = None
_rate_hz = 0


class _EventId(ctypes.Union):
    _fields_ = (("number", ctypes.c_int), ("name", ctypes.c_char_p), ("string", ctypes.c_char * 8))


class _Event(ctypes.Structure):
    _fields_ = (
        ("type", ctypes.c_int),
        ("unique_identifier", ctypes.c_uint),
        ("text_position", ctypes.c_int),
        ("length", ctypes.c_int),
        ("audio_position", ctypes.c_int),
        ("sample", ctypes.c_int),
        ("user_data", ctypes.c_void_p),
        ("id", _EventId),
    )


class _Voice(ctypes.Structure):
    _fields_ = (
        ("name", ctypes.c_char_p),
        ("languages", ctypes.c_char_p),
        ("identifier", ctypes.c_char_p),
        ("gender", ctypes.c_ubyte),
        ("age", ctypes.c_ubyte),
        ("variant", ctypes.c_ubyte),
        ("padding", ctypes.c_ubyte),
        ("score", ctypes.c_int),
        ("spare", ctypes.c_void_p),
    )


_CALLBACK = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.POINTER(_Event))


@dataclass(frozen=True)
class _Spoken:
    """One event: a phoneme in IPA, or a word's place in the text; the sample at which it begins."""

    kind: int
    sample: int
    symbol: str
    position: int
    length: int


class EspeakVoice:
    """Speaks text in about a hundred languages, offline, plainly but clearly.

    Args:
        languages_dir: folder of language tables; the studio's own by default.
    """

    name = "espeak-ng"

    def __init__(self, languages_dir: Path | None = None) -> None:
        self._languages = load_languages(languages_dir)

    @staticmethod
    def is_available() -> bool:
        """Say whether the optional package is installed."""
        from importlib.util import find_spec

        return find_spec("espeakng_loader") is not None

    def voices(self) -> tuple[SynthesisVoice, ...]:
        """List the voices, by language.

        Raises:
            EngineUnavailableError: the optional package is missing.
        """
        with _lock:
            out = _listed(_load())
        return tuple(sorted(out, key=lambda v: v.language))

    def speak(
        self, text: str, *, voice: str = "en-us", words_per_minute: int = 160, pitch: int = 50
    ) -> tuple[Sound, SpeechAnalysis]:
        """Speak a text.

        Args:
            text: 1..20,000 characters.
            voice: a name from `voices`, or a language code such as "de".
            words_per_minute: 80..450.
            pitch: 0 low .. 100 high.

        Returns:
            The sound at 22,050 Hz, and its phones and words.

        Raises:
            UserInputError: nothing to say, an unknown voice, a number out of range.
            LimitExceededError: the text is too long.
            EngineUnavailableError: the optional package is missing.
        """
        _check(text, words_per_minute, pitch)
        with _lock:
            library = _load()
            _choose(library, voice)
            library.espeak_SetParameter(_RATE_PARAMETER, words_per_minute, 0)
            library.espeak_SetParameter(_PITCH_PARAMETER, pitch, 0)
            samples, events = _synthesise(library, text)
        if not len(samples):
            raise UserInputError("The text holds nothing that can be spoken.", "Write some words.")
        sound = Sound((samples / 32768).astype(np.float32), _rate_hz)
        return sound, self._analysed(text, voice, sound, events)

    def _analysed(self, text: str, voice: str, sound: Sound, events: Sequence[_Spoken]) -> SpeechAnalysis:
        code = voice.split("-")[0].lower()
        code = _CODES.get(code, code)
        table = self._languages.get(code) or self._languages["en"]
        duration = sound.duration_seconds
        notes: tuple[str, ...] = ()
        if code not in self._languages:
            notes = (f"There is no table of sounds for {voice!r}; the English one was used.",)
        words = tuple(
            Word(text[e.position - 1 : e.position - 1 + e.length], e.sample / sound.rate_hz, end)
            for e, end in _with_ends([e for e in events if e.kind == _WORD], duration, sound.rate_hz)
        )
        return SpeechAnalysis(duration, _phones(events, table, duration, sound.rate_hz), words, "synthesis", notes)


def _check(text: str, words_per_minute: int, pitch: int) -> None:
    if not text.strip():
        raise UserInputError("There is no text to speak.", "Write some words.")
    if len(text) > MAX_CHARACTERS:
        raise LimitExceededError(f"The text has {len(text):,} characters, more than {MAX_CHARACTERS:,}.", "Split it.")
    if not SLOWEST_WORDS_PER_MINUTE <= words_per_minute <= FASTEST_WORDS_PER_MINUTE:
        raise UserInputError(
            f"{words_per_minute} words per minute cannot be spoken.",
            f"Choose {SLOWEST_WORDS_PER_MINUTE} to {FASTEST_WORDS_PER_MINUTE}.",
        )
    if not 0 <= pitch <= 100:
        raise UserInputError(f"The pitch is {pitch}, but goes from 0 to 100.", "50 is natural.")


def _load() -> Any:
    """Load the library once per process; the caller holds the lock."""
    global _library, _rate_hz
    if _library is not None:
        return _library
    try:
        import espeakng_loader

        library = ctypes.cdll.LoadLibrary(espeakng_loader.get_library_path())
        data = espeakng_loader.get_data_path()
    except ImportError as exc:
        raise EngineUnavailableError("The offline voice is not installed.", _HINT) from exc
    except OSError as exc:
        raise EngineUnavailableError("The offline voice's library could not be loaded.", _HINT) from exc
    rate = library.espeak_Initialize(_SYNCHRONOUS, 0, str(data).encode(), _PHONEME_EVENTS_IPA | _DONT_EXIT)
    if rate <= 0:
        raise EngineUnavailableError("The offline voice could not start.", _HINT)
    library.espeak_SetVoiceByName.argtypes = [ctypes.c_char_p]
    library.espeak_Synth.argtypes = [
        ctypes.c_char_p, ctypes.c_size_t, ctypes.c_uint, ctypes.c_int, ctypes.c_uint, ctypes.c_uint,
        ctypes.POINTER(ctypes.c_uint), ctypes.c_void_p,
    ]  # fmt: skip
    _library, _rate_hz = library, int(rate)
    return library


def _choose(library: Any, voice: str) -> None:
    """Choose a voice by its name or its language's code; the caller holds the lock."""
    if library.espeak_SetVoiceByName(voice.encode()) == 0:
        return
    wanted = _Voice(languages=voice.lower().encode())
    known = voice.lower() in {v.language for v in _listed(library)}
    if not known or library.espeak_SetVoiceByProperties(ctypes.byref(wanted)) != 0:
        raise UserInputError(f"There is no voice named {voice!r}.", "Choose a language code such as en-us or de.")


def _listed(library: Any) -> list[SynthesisVoice]:
    """Return every voice; the caller holds the lock."""
    library.espeak_ListVoices.restype = ctypes.POINTER(ctypes.POINTER(_Voice))
    listed = library.espeak_ListVoices(None)
    out: list[SynthesisVoice] = []
    while listed[len(out)]:
        voice = listed[len(out)].contents
        code = (voice.languages or b"\x05")[1:].decode("utf-8", "replace").lower()  # the first byte is a priority
        out.append(SynthesisVoice(code, code, (voice.name or b"").decode("utf-8", "replace")))
    return out


def _synthesise(library: Any, text: str) -> tuple[np.ndarray, list[_Spoken]]:
    """Run the synthesiser and collect its sound and events; the caller holds the lock."""
    pieces: list[np.ndarray] = []
    events: list[_Spoken] = []

    def receive(wave: Any, count: int, listed: Any) -> int:
        if wave and count > 0:
            pieces.append(np.ctypeslib.as_array(wave, (count,)).copy())
        i = 0
        while listed and listed[i].type != _END:
            event = listed[i]
            if event.type in (_WORD, _PHONEME):
                # Eight bytes, not always ended by a zero, and a cut character at the end is possible.
                raw = bytes(event.id.string) if event.type == _PHONEME else b""
                symbol = raw.split(b"\0")[0].decode("utf-8", "ignore")
                events.append(_Spoken(event.type, event.sample, symbol, event.text_position, event.length))
            i += 1
        return 0

    callback = _CALLBACK(receive)
    library.espeak_SetSynthCallback(callback)
    encoded = text.replace("\0", " ").encode("utf-8")
    if library.espeak_Synth(encoded, len(encoded) + 1, 0, 0, 0, _UTF8, None, None) != 0:
        raise EngineError("The offline voice failed on this text.", "Try a shorter or simpler text.")
    return (np.concatenate(pieces) if pieces else np.zeros(0, np.int16)), events


def _with_ends(events: Sequence[_Spoken], duration: float, rate_hz: int) -> list[tuple[_Spoken, float]]:
    ends = [e.sample / rate_hz for e in events[1:]] + [duration]
    return list(zip(events, ends, strict=True))


def _phones(events: Sequence[_Spoken], table: Language, duration: float, rate_hz: int) -> tuple[Phone, ...]:
    """Turn phoneme events into phones; the closure of a stop begins before its burst."""
    out: list[Phone] = []
    sounding = [e for e in events if e.kind == _PHONEME]
    for event, end in _with_ends(sounding, duration, rate_hz):
        start = event.sample / rate_hz
        labels = table.phones(event.symbol) or ((SILENCE,) if not event.symbol else ())
        for i, label in enumerate(labels):
            step = (end - start) / len(labels)
            begin = start + i * step
            if i == 0 and label in _STOPS and out:
                begin = _closure_start(out, begin, label)
            out.append(Phone(label, begin, start + (i + 1) * step))
    return cover(out, duration)


def _closure_start(before: list[Phone], burst: float, label: str) -> float:
    """Shorten the phone before a stop, by 50 ms or half its length, and return where the closure begins."""
    last = before[-1]
    voiced = label in ("B", "D", "G", "JH") and last.label != SILENCE
    start = max(burst - (0.02 if voiced else _CLOSURE_SECONDS), (last.start + burst) / 2)
    before[-1] = Phone(last.label, last.start, min(last.end, start))
    return start
