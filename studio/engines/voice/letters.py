"""English spelling to sound, for words no dictionary has.

A compact ordered rule set in the manner of the Naval Research Laboratory's
letter-to-sound rules (1976), written for lips rather than for listening: it
must get the closures (P, B, M, F, V) and the rounding right; an IH for an AH
does no harm. Rules are tried from the longest spelling to the shortest.
"""

from __future__ import annotations

import re

_VOWEL = "[aeiouy]"
# spelling, phones, pattern that must hold before, pattern that must hold after
_RULES: tuple[tuple[str, str, str, str], ...] = (
    ("tion", "SH AH N", "", ""), ("sion", "ZH AH N", "", ""),
    ("cious", "SH AH S", "", ""), ("tious", "SH AH S", "", ""),
    ("ture", "CH ER", "", "$"), ("ough", "AO", "", ""), ("augh", "AO", "", ""), ("eigh", "EY", "", ""),
    ("igh", "AY", "", ""), ("tch", "CH", "", ""), ("dge", "JH", "", ""), ("sch", "S K", "^", ""),
    ("qu", "K W", "", ""), ("ch", "CH", "", ""), ("sh", "SH", "", ""), ("th", "TH", "", ""), ("ph", "F", "", ""),
    ("gh", "G", "^", ""), ("gh", "", "", ""), ("wh", "W", "^", ""), ("ck", "K", "", ""), ("ng", "NG", "", "$"),
    ("ng", "NG G", "", ""), ("nk", "NG K", "", ""), ("kn", "N", "^", ""), ("gn", "N", "^", ""), ("wr", "R", "^", ""),
    ("ps", "S", "^", ""), ("mb", "M", "", "$"), ("rh", "R", "^", ""),
    ("sc", "S", "", "[eiy]"), ("x", "Z", "^", ""), ("x", "K S", "", ""),
    ("bb", "B", "", ""), ("dd", "D", "", ""), ("ff", "F", "", ""), ("gg", "G", "", ""), ("ll", "L", "", ""),
    ("mm", "M", "", ""), ("nn", "N", "", ""), ("pp", "P", "", ""), ("rr", "R", "", ""), ("ss", "S", "", ""),
    ("tt", "T", "", ""), ("zz", "Z", "", ""), ("cc", "K S", "", "[eiy]"), ("cc", "K", "", ""),
    ("eau", "OW", "", ""), ("air", "EH R", "", ""), ("ear", "IH R", "", ""), ("eer", "IH R", "", ""),
    ("oor", "AO R", "", ""), ("our", "AO R", "", ""), ("are", "EH R", "", "$"), ("ire", "AY ER", "", "$"),
    ("ure", "Y UH R", "", "$"), ("ore", "AO R", "", "$"),
    ("ai", "EY", "", ""), ("ay", "EY", "", ""), ("au", "AO", "", ""), ("aw", "AO", "", ""), ("ea", "IY", "", ""),
    ("ee", "IY", "", ""), ("ei", "EY", "", ""), ("ey", "IY", "", "$"), ("ey", "EY", "", ""), ("eu", "Y UW", "", ""),
    ("ew", "Y UW", "", ""), ("ie", "AY", "^.", "$"), ("ie", "IY", "", ""), ("oa", "OW", "", ""), ("oe", "OW", "", ""),
    ("oi", "OY", "", ""), ("oy", "OY", "", ""), ("oo", "UW", "", ""), ("ou", "AW", "", ""), ("ow", "OW", "", "$"),
    ("ow", "AW", "", ""), ("ue", "UW", "", "$"), ("ui", "UW", "", ""),
    ("ar", "AA R", "", ""), ("er", "ER", "", ""), ("ir", "ER", "", ""), ("or", "AO R", "", ""), ("ur", "ER", "", ""),
    ("le", "AH L", "[bcdfgkpstz]", "$"), ("es", "IH Z", "(?:s|sh|ch|x|z|c|g)", "$"), ("ed", "IH D", "[td]", "$"),
    ("ed", "D", f"{_VOWEL}.*[^aeiouytd]", "$"), ("e", "", f"{_VOWEL}.*[^aeiouy]", "(?:s?$)"),
    ("a", "EY", "", "[^aeiouywxr]e(?:s|d)?$"), ("e", "IY", "", "[^aeiouywxr]e(?:s|d)?$"),
    ("i", "AY", "", "[^aeiouywxr]e(?:s|d)?$"), ("o", "OW", "", "[^aeiouywxr]e(?:s|d)?$"),
    ("u", "UW", "", "[^aeiouywxr]e(?:s|d)?$"),
    ("a", "AH", "", "$"), ("a", "AE", "", ""), ("e", "IY", "^[^aeiouy]*", "$"), ("e", "EH", "", ""),
    ("i", "IY", "", "$"), ("i", "IH", "", ""), ("o", "OW", "", "$"), ("o", "AA", "", ""), ("u", "UW", "", "$"),
    ("u", "AH", "", ""), ("y", "Y", "^", _VOWEL), ("y", "AY", "^[^aeiouy]*", "$"), ("y", "IY", "", "$"),
    ("y", "IH", "", ""),
    ("b", "B", "", ""), ("c", "S", "", "[eiy]"), ("c", "K", "", ""), ("d", "D", "", ""), ("f", "F", "", ""),
    ("g", "JH", "", "[eiy]"), ("g", "G", "", ""), ("h", "HH", "", _VOWEL), ("h", "", "", ""), ("j", "JH", "", ""),
    ("k", "K", "", ""), ("l", "L", "", ""), ("m", "M", "", ""), ("n", "N", "", ""), ("p", "P", "", ""),
    ("q", "K", "", ""), ("r", "R", "", ""), ("s", "Z", f"{_VOWEL}", "$"), ("s", "S", "", ""), ("t", "T", "", ""),
    ("v", "V", "", ""), ("w", "W", "", ""), ("z", "Z", "", ""), ("'", "", "", ""),
)  # fmt: skip
_LETTER_NAMES = {
    "a": "EY", "b": "B IY", "c": "S IY", "d": "D IY", "e": "IY", "f": "EH F", "g": "JH IY", "h": "EY CH", "i": "AY",
    "j": "JH EY", "k": "K EY", "l": "EH L", "m": "EH M", "n": "EH N", "o": "OW", "p": "P IY", "q": "K Y UW",
    "r": "AA R", "s": "EH S", "t": "T IY", "u": "Y UW", "v": "V IY", "w": "D AH B AH L Y UW", "x": "EH K S",
    "y": "W AY", "z": "Z IY",
}  # fmt: skip
_RULES_BY_LENGTH = tuple(sorted(_RULES, key=lambda rule: -len(rule[0])))


def pronounce(word: str) -> tuple[str, ...]:
    """Guess the phones of an unknown English word.

    Args:
        word: lower-case a-z and apostrophes, at least one letter.

    Returns:
        ARPAbet phones without stress; a word without vowels is spelled out.
    """
    if not re.search(_VOWEL, word):
        return tuple(p for letter in word if letter != "'" for p in _LETTER_NAMES[letter].split())
    out: list[str] = []
    at = 0
    while at < len(word):
        spelling, phones = next(
            (s, p)
            for s, p, before, after in _RULES_BY_LENGTH
            if word.startswith(s, at)
            and (not before or re.search(f"{before}$", word[:at]))
            and (not after or re.match(after, word[at + len(s) :]))
        )
        out += phones.split()
        at += len(spelling)
    return tuple(out) or tuple(_LETTER_NAMES[word[0]].split())
