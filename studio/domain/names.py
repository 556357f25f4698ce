"""Names as people read them: what counts as the same name, and how a name is kept and shown.

A computer can write one name in several ways: "é" as one letter or as "e" and
an accent, capitals or not, with letters that nobody sees. People read one name,
so all of them are one. What a file is called on the disk need not even be text.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable

from studio.errors import UserInputError

LONGEST_NAME = 200
_NO_LETTERS = re.compile("[\ud800-\udfff]")
_CONTROLS = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029]")
_MARK = "\ufffd"


def as_read(name: str) -> str:
    """Return what two names have in common when people read the same: for comparing only, never for showing."""
    seen = tidied("".join(c for c in as_text(name) if unicodedata.category(c) != "Cf"))
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", seen).casefold())


def tidied(name: str) -> str:
    """Return a name as it is kept: letters composed, one space between words, on one line."""
    composed = unicodedata.normalize("NFC", name)
    words = "".join(" " if unicodedata.category(c) in ("Cc", "Zl", "Zp") else c for c in composed).split()
    return " ".join(words)


def free_name(name: str, taken: Iterable[str]) -> str:
    """Return a name as it is kept; where another reads the same, with the first number that makes it another.

    Args:
        taken: the names there are.
    """
    read = {as_read(one) for one in taken}
    number, free = 1, tidied(name)
    while as_read(free) in read:
        number += 1
        free = f"{tidied(name)} {number}"
    return free


def legible(name: str) -> str:
    """Return a file's name as it is shown: on one line, with a mark in the place of what are no letters."""
    return _CONTROLS.sub(_MARK, as_text(name))


def as_text(text: str) -> str:
    """Return text that every program can take, with a mark for each byte that `os.fsdecode` found to be no letter."""
    return _NO_LETTERS.sub(_MARK, text)


def person_name(name: str) -> str:
    """Return the name of a person as it is kept.

    Raises:
        UserInputError: nothing can be read in it, or it is longer than LONGEST_NAME.
    """
    if not as_read(name):
        raise UserInputError("The person has no name.", "Write a name.")
    if len(tidied(name)) > LONGEST_NAME:
        raise UserInputError(f"The name is longer than {LONGEST_NAME} letters.", "Write a shorter name.")
    return tidied(name)
