"""Typed text to words, unknown words to sounds, symbols of other languages to phones."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from studio.engines.voice.languages import load_languages
from studio.engines.voice.letters import pronounce
from studio.engines.voice.shapes import DIPHTHONGS, PHONE_SHAPES
from studio.engines.voice.transcript import normalise, number_words
from studio.errors import UserInputError


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("Hello, World!", "hello world"),
        ("It’s 5% of $1,200 & more", "it's five percent of one thousand two hundred dollars and more"),
        ("in 1984, the 21st and 2nd", "in nineteen eighty four the twenty first and second"),
        ("the 1990s and 3.14", "the nineteen nineties and three point one four"),
        ("[music] Mr. Smith (yes) <sigh> café", "mister smith yes cafe"),
        ("0 7 13 100 1000000", "zero seven thirteen one hundred one million"),
        ("in 2005 and 1905", "in two thousand five and nineteen oh five"),
        ("'quoted' well-known", "quoted well known"),
    ],
)
def test_text_becomes_words(text, words):
    assert list(normalise(text).words) == words.split()


def test_what_is_left_out_is_told():
    found = normalise("I love it 🎈 and 你好")
    assert found.words == ("i", "love", "it", "and")
    assert len(found.notes) == 2
    assert "🎈" in found.notes[0]
    assert normalise("🎈🎈").words == ()


@given(st.text(max_size=80))
def test_any_text_gives_plain_words(text):
    for word in normalise(text).words:
        assert set(word) <= set("abcdefghijklmnopqrstuvwxyz'")
        assert word.strip("'") == word != ""


@given(st.integers(0, 10**12 - 1))
def test_numbers_have_words(number):
    assert all(w.isalpha() for w in number_words(number))


@pytest.mark.parametrize(
    ("word", "phones"),
    [
        ("blimp", "B L IH M P"),
        ("phobia", "F OW B IY AH"),
        ("vape", "V EY P"),
        ("wifi", "W IH F IY"),
        ("bumb", "B AH M"),
        ("shrimply", "SH R IH M P L IY"),
        ("bff", "B IY EH F EH F"),
        ("quagmop", "K W AE G M AA P"),
        ("pneuma", "P N Y UW M AH"),
    ],
)
def test_unknown_words_keep_their_lips(word, phones):
    lips = set("PBMFVW")
    assert [p for p in pronounce(word) if p in lips] == [p for p in phones.split() if p in lips]


@given(st.from_regex(r"[a-z][a-z']{0,14}", fullmatch=True))
def test_every_spelling_has_a_sound(word):
    phones = pronounce(word)
    assert phones
    assert all(p in PHONE_SHAPES or p in DIPHTHONGS for p in phones)


def test_letters_agree_with_the_dictionary_about_lips(speech):
    """On common words the rules must find nearly every P, B, M, F, V."""
    text = """apple bumble company family problem simple number february government beautiful important remember
    people become before maybe perhaps probably picture move above every given river photograph alphabet laugh enough
    rough bomb climb lamb thumb happen better summer common coffee office different puppy hobby rubber swimming"""
    words = text.split()
    wrong = []
    for word in words:
        known = [p for p in speech._recogniser.pronunciation(word) if p in "PBMFV"]
        if [p for p in pronounce(word) if p in "PBMFV"] != known:
            wrong.append(word)
    assert len(wrong) <= 0.15 * len(words), wrong


def test_shipped_languages_load_and_share_the_base():
    languages = load_languages()
    assert {"en", "de", "fr", "es", "zh"} <= set(languages)
    assert languages["de"].phones("ʁ") == ("G",)
    assert languages["en"].phones("t͡ʃ") == ("CH",)
    assert languages["en"].phones("ˈɑː") == ("AA",)
    assert languages["fr"].phones("ɔ̃") == ("AO",)
    assert languages["en"].phones("☃") == ()


@pytest.mark.parametrize(
    "content",
    ["not json", "[]", '{"title": "X"}', json.dumps({"title": "X", "ipa": {"a": "QQ"}})],
)
def test_broken_language_files_explain_themselves(tmp_path, content):
    (tmp_path / "xx.json").write_text(content, encoding="utf-8")
    with pytest.raises(UserInputError, match=r"xx\.json") as caught:
        load_languages(tmp_path)
    assert "ipa.json" in caught.value.hint


def test_own_language_can_be_added(tmp_path):
    (tmp_path / "tlh.json").write_text(json.dumps({"title": "Klingon", "ipa": {"q͡χ": "K"}}), encoding="utf-8")
    assert load_languages(tmp_path)["tlh"].phones("q͡χ") == ("K",)
