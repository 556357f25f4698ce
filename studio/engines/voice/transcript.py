"""A text as people type it, made into words the recogniser can look for.

Numbers become words, marks and emoji are dropped, and every change that could
surprise is told in a note. English only: no other language has an alignment.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass

_ONES = (
    "zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve",
    "thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen",
)  # fmt: skip
_TENS = ("twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety")
_POWERS = ((10**9, "billion"), (10**6, "million"), (1000, "thousand"), (100, "hundred"))
_IRREGULAR_ORDINALS = {
    "one": "first", "two": "second", "three": "third", "five": "fifth", "eight": "eighth", "nine": "ninth",
    "twelve": "twelfth",
}  # fmt: skip
_SIGNS = {"%": " percent ", "&": " and ", "+": " plus ", "=": " equals ", "@": " at ", "€": " euros ", "£": " pounds "}
_ABBREVIATIONS = {"mr": "mister", "mrs": "missus", "dr": "doctor", "st": "saint", "vs": "versus", "etc": "etcetera"}


@dataclass(frozen=True)
class Transcript:
    """Words in dictionary spelling, and what was changed to get there."""

    words: tuple[str, ...]
    notes: tuple[str, ...] = ()


def normalise(text: str) -> Transcript:
    """Turn typed text into lower-case words of a-z and apostrophes."""
    text = unicodedata.normalize("NFKC", text).replace("’", "'").replace("‘", "'")
    text = _without_marks(text)
    notes = []
    dropped = sorted({c for c in text if unicodedata.category(c) in ("So", "Sk", "Cs", "Co", "Cn")})
    if dropped:
        notes.append(f"Left out of the transcript: {' '.join(dropped[:8])}")
    text = re.sub(r"[<\[(](?:[^<>\[\]()]{0,40})[>\])]", _bracketed, text)
    text = re.sub(r"([$€£])\s?(\d{1,3}(?:,\d{3}){1,3}|\d{1,12})(?:\.(\d\d))?(?![\d,.]*\d)", _sum_words, text)
    text = re.sub(r"\$\s?(\d[\d,.]*)", r"\1 dollars", text)
    text = re.sub(r"\d{1,3}(?:,\d{3})+(?=\.\d)", lambda m: m[0].replace(",", ""), text)
    for sign, word in _SIGNS.items():
        text = text.replace(sign, word)
    text = re.sub(r"\d{1,3}(?:,\d{3})+", lambda m: f" {' '.join(number_words(int(m[0].replace(',', ''))))} ", text)
    text = re.sub(r"\d+(?:\.\d+)?(?:st|nd|rd|th)?(?:s\b)?", _spoken_match, text)
    plain = "".join(c for c in unicodedata.normalize("NFD", text) if not unicodedata.combining(c)).lower()
    words = []
    for token in re.findall(r"[a-z']+", plain):
        word = token.strip("'")
        if word:
            words.append(_ABBREVIATIONS.get(word, word))
    unreadable = sorted({c for c in plain if c.isalpha() and not "a" <= c <= "z"})
    if unreadable:
        notes.append(f"Letters that English speech recognition cannot read were left out: {' '.join(unreadable[:8])}")
    return Transcript(tuple(words), tuple(notes))


def _without_marks(text: str) -> str:
    """Take out what is written for machines: times of subtitles, tags, and letters that nobody sees."""
    text = "".join(c for c in text if unicodedata.category(c) != "Cf")
    text = re.sub(r"\A\s*WEBVTT[^\n]*", "", text)
    text = re.sub(r"(?m)^(?:[ \t]*\d+[ \t]*\r?\n)?[ \t]*[\d:.,]+[ \t]*-->[^\n]*$", " ", text)
    if "[Events]" in text:  # ASS and SSA: nine fields stand in front of the words
        text = " ".join(re.findall(r"(?m)^Dialogue:(?:[^,\n]*,){9}(.*)$", text)).replace("\\N", " ")
    text = re.sub(r"\{\\[^{}]*\}", " ", text)
    return re.sub(r"</?[A-Za-z][^<>]{0,400}>", " ", text)


def _sum_words(match: re.Match[str]) -> str:
    """Spell a sum of money: $5.50 -> five dollars fifty."""
    amount, cents = int(match[2].replace(",", "")), int(match[3] or 0)
    name = {"$": "dollar", "€": "euro", "£": "pound"}[match[1]] + ("" if amount == 1 else "s")
    return f" {' '.join([*number_words(amount), name, *(number_words(cents) if cents else [])])} "


def _bracketed(match: re.Match[str]) -> str:
    """Drop stage directions such as [music] or <sigh>; keep words in round brackets."""
    return match[0][1:-1] if match[0][0] == "(" else " "


def _spoken_match(match: re.Match[str]) -> str:
    token = match[0]
    ordinal = token.endswith(("st", "nd", "rd", "th"))
    decade = not ordinal and token.endswith("s")
    number = token.rstrip("stndrh")
    if len(number) > 12:
        return " " + " ".join(_ONES[int(d)] for d in number if d.isdigit()) + " "
    whole, _, fraction = number.partition(".")
    words = number_words(int(whole), year=len(whole) == 4 and not fraction and not ordinal)
    if fraction:
        words += ["point", *(_ONES[int(d)] for d in fraction)]
    if ordinal:
        words[-1] = _ordinal(words[-1])
    if decade:
        words[-1] = words[-1][:-1] + "ies" if words[-1].endswith("y") else words[-1] + "s"
    return " " + " ".join(words) + " "


def number_words(number: int, *, year: bool = False) -> list[str]:
    """Spell a whole number below 10^12; with `year`, as years are read (1984 -> nineteen eighty four)."""
    if year and 1100 <= number <= 2099 and not 2000 <= number <= 2009:
        century, rest = divmod(number, 100)
        if rest == 0:
            return [*number_words(century), "hundred"]
        return [*number_words(century), *(["oh"] if rest < 10 else []), *number_words(rest)]
    if number < 20:
        return [_ONES[number]]
    if number < 100:
        return [_TENS[number // 10 - 2], *([_ONES[number % 10]] if number % 10 else [])]
    for power, name in _POWERS:
        if number >= power:
            rest = number % power
            return [*number_words(number // power), name, *(number_words(rest) if rest else [])]
    raise ValueError(number)


def _ordinal(word: str) -> str:
    if word in _IRREGULAR_ORDINALS:
        return _IRREGULAR_ORDINALS[word]
    return word[:-1] + "ieth" if word.endswith("y") else word + "th"
