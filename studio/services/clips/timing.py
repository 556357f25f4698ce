"""What is said in a clip, and when, as files for other programs."""

from __future__ import annotations

import importlib
from pathlib import Path

from studio.domain.speech import SpeechAnalysis
from studio.domain.speech_format import speech_format_of
from studio.errors import UserInputError


def write_timing(speech: SpeechAnalysis, out: Path) -> Path:
    """Write subtitles or mouth cues.

    Args:
        out: its ending says the format, see SPEECH_FORMATS.

    Raises:
        UserInputError: an ending that is no format; or subtitles, and no words are known.
        NotFoundError, StoreError: the file cannot be written.
    """
    form = speech_format_of(out)
    if form.needs_words and not speech.words:
        raise UserInputError(
            "No words are known of this sound, only its phones.", "Give a transcript, or take mouth cues instead."
        )
    module, _, function = form.writer.partition(":")
    written: Path = getattr(importlib.import_module(module), function)(speech, out)
    return written
