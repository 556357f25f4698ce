"""Speech recognition in a process of its own.

pocketsphinx holds Python's interpreter lock for as long as it searches a
stretch of sound, seconds at a time: in the window's process every other visitor
would wait, in a worker the heartbeat and the cancel button would. So the
search runs in a child that is spoken to over its standard input and output:
one line of JSON and the raw samples go in, one line of JSON comes back. The
child ends when its input does, so none outlives a killed parent.

The child is started at the first question and kept. Performing (numpy only)
stays in the caller's process.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import weakref
from pathlib import Path
from typing import IO, Any

import numpy as np

from studio import errors
from studio.domain.speech import Phone, SpeechAnalysis, Word
from studio.engines.base import Sound
from studio.engines.voice.speech import PocketsphinxSpeech

_ROOT = Path(__file__).resolve().parents[3]


class ListeningProcess(PocketsphinxSpeech):
    """PocketsphinxSpeech that recognises in a child process; safe to share between threads."""

    def __init__(self, languages_dir: Path | None = None) -> None:
        super().__init__(languages_dir)
        self._languages_dir = languages_dir
        self._lock = threading.Lock()
        self._child: subprocess.Popen[bytes] | None = None

    def analyse(self, sound: Sound, transcript: str | None = None, language: str = "en") -> SpeechAnalysis:
        """Find the phones of a sound, as PocketsphinxSpeech does, without holding up this process.

        Raises:
            UserInputError: an empty sound or an unknown language.
            EngineError: the child process died.
        """
        return self._heard("analyse", sound, transcript, language)

    def respell(self, sound: Sound, text: str, language: str = "en") -> SpeechAnalysis:
        """Find the phones of a short sound of which the words are known, in the child process.

        Raises:
            UserInputError: see `SpeechAnalyser`.
            EngineError: the child process died.
        """
        return self._heard("respell", sound, text, language)

    def _heard(self, task: str, sound: Sound, transcript: str | None, language: str) -> SpeechAnalysis:
        self._language_code(language)
        samples = np.ascontiguousarray(sound.samples, np.float32)
        question = {"samples": len(samples), "rate_hz": sound.rate_hz, "transcript": transcript, "language": language,
                    "task": task}  # fmt: skip
        with self._lock:
            answer = self._ask(question, samples.tobytes())
        if "error" in answer:
            said = {name: answer[name] for name in ("window", "window_message")}
            raise getattr(errors, answer["error"])(answer["message"], answer["hint"], **said)
        return SpeechAnalysis(
            duration_seconds=answer["duration_seconds"],
            phones=tuple(Phone(*p) for p in answer["phones"]),
            words=tuple(Word(*w) for w in answer["words"]),
            method=answer["method"],
            notes=tuple(answer["notes"]),
        )

    def _ask(self, question: dict[str, Any], samples: bytes) -> dict[str, Any]:
        child = self._started()
        assert child.stdin is not None
        assert child.stdout is not None
        try:
            child.stdin.write(json.dumps(question).encode() + b"\n")
            child.stdin.write(samples)
            child.stdin.flush()
            line = child.stdout.readline()
        except OSError as exc:
            raise self._lost(child) from exc
        if not line:
            raise self._lost(child)
        answer: dict[str, Any] = json.loads(line)
        return answer

    def _started(self) -> subprocess.Popen[bytes]:
        if self._child is None or self._child.poll() is not None:
            command = [sys.executable, "-m", "studio.engines.voice.listening"]
            if self._languages_dir is not None:
                command.append(str(self._languages_dir))
            environment = dict(os.environ, PYTHONPATH=os.pathsep.join([str(_ROOT), os.environ.get("PYTHONPATH", "")]))
            self._child = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=_ROOT, env=environment
            )
            weakref.finalize(self, _stop, self._child)
        return self._child

    def _lost(self, child: subprocess.Popen[bytes]) -> errors.EngineError:
        _stop(child)
        self._child = None
        return errors.EngineError(
            f"The speech recogniser ended unexpectedly (exit code {child.returncode}).",
            "Try again; if it happens again, use a shorter sound.",
        )


def _stop(child: subprocess.Popen[bytes]) -> None:
    """End a child and close its pipes."""
    child.kill()
    child.wait()
    for pipe in (child.stdin, child.stdout):
        if pipe is not None:
            try:
                pipe.close()
            except OSError:
                continue  # bytes that the dead child never read


def answer_questions(source: IO[bytes], target: IO[bytes], languages_dir: Path | None) -> None:
    """Answer until `source` ends; the child's whole life."""
    speech = PocketsphinxSpeech(languages_dir)
    while line := source.readline():
        question = json.loads(line)
        raw = source.read(4 * question["samples"])
        if len(raw) < 4 * question["samples"]:
            return  # the parent died while asking
        target.write(json.dumps(_answer(speech, question, raw)).encode() + b"\n")
        target.flush()


def _answer(speech: PocketsphinxSpeech, question: dict[str, Any], raw: bytes) -> dict[str, Any]:
    sound = Sound(np.frombuffer(raw, np.float32), question["rate_hz"])
    try:
        listen = speech.respell if question["task"] == "respell" else speech.analyse
        found = listen(sound, question["transcript"], question["language"])
    except errors.StudioError as exc:
        return {
            "error": type(exc).__name__, "message": exc.message, "hint": exc.hint,
            "window_message": exc.in_window.message, "window": exc.in_window.hint,
        }  # fmt: skip
    return {
        "duration_seconds": found.duration_seconds,
        "phones": [[p.label, p.start, p.end] for p in found.phones],
        "words": [[w.text, w.start, w.end] for w in found.words],
        "method": found.method,
        "notes": list(found.notes),
    }


if __name__ == "__main__":
    answer_questions(sys.stdin.buffer, sys.stdout.buffer, Path(sys.argv[1]) if len(sys.argv) > 1 else None)
