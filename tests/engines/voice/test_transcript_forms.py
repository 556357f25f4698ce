"""What people paste as a transcript: only what is said of it is read."""

from __future__ import annotations

from pathlib import Path

import pytest

from studio.engines import Engines
from studio.engines.voice.languages import load_languages
from studio.engines.voice.speech import PocketsphinxSpeech
from studio.engines.voice.transcript import normalise


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("1\n00:00:00,000 --> 00:00:02,500\nHello there.\n\n2\n00:00:02,500 --> 00:00:04,000\nBye.", "hello there bye"),
        ("WEBVTT\n\n00:00.000 --> 00:02.000 align:start\n<v Ann>Hello</v> there", "hello there"),
        ("[Events]\nDialogue: 0,0:00:01.00,0:00:02.00,Default,,0,0,0,,{\\i1}Hello\\Nthere", "hello there"),
        ("costs $5.50", "costs five dollars fifty"),
        ("€1 and £2,000", "one euro and two thousand pounds"),
        ("1,234.5", "one thousand two hundred thirty four point five"),
        ('<prosody rate="slow" pitch="-2st" volume="loud" range="medium">Good morning.</prosody>', "good morning"),
        ("so\u00adft wo\u200brds\u200f", "soft words"),
        ("2 < 3", "two three"),
    ],
)
def test_only_words_are_read(text: str, words: str) -> None:
    assert " ".join(normalise(text).words) == words


def test_every_language_that_is_offered_has_a_table_and_the_other_way_round() -> None:
    codes = [code for code, _ in Engines(Path("assets")).languages()]
    assert set(codes) == set(load_languages())
    assert (codes[0], codes[-1]) == ("en", "xx")
    speech = PocketsphinxSpeech()
    assert [speech._language_code(code) for code in codes] == codes
