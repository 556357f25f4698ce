"""Names are the same when people read the same, and are shown as something that can be read."""

from __future__ import annotations

import os
import unicodedata

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from studio.domain.names import as_read, legible, person_name, tidied
from studio.errors import UserInputError


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Jos\u00e9", "Jose\u0301"),
        ("JOSÉ", "jose\u0301"),
        ("Straße", "STRASSE"),
        ("Ærø", "ærØ"),
        (" Ann   Lee ", "Ann Lee"),
        ("Ann\u00a0Lee", "Ann\nLee"),
        ("An\u200bn\ufeff", "Ann"),
        ("\u1e0b\u0323", "\u1e0d\u0307"),
        ("Nguye\u0302\u0303n", "Nguy\u1ec5n"),
    ],
)
def test_what_reads_the_same_is_the_same(one: str, other: str) -> None:
    assert as_read(one) == as_read(other)


@pytest.mark.parametrize(("one", "other"), [("José", "Jose"), ("Ann Lee", "AnnLee"), ("Müller", "Mueller")])
def test_what_reads_differently_is_not(one: str, other: str) -> None:
    assert as_read(one) != as_read(other)


@given(st.text())
@example("Ann \xad")
@example("\u200b Ann")
def test_however_a_name_is_composed_or_cased_it_stays_one(name: str) -> None:
    for form in ("NFC", "NFD"):
        assert as_read(unicodedata.normalize(form, name)) == as_read(name)
    assert as_read(tidied(name)) == as_read(name) == as_read(as_read(name))
    assert "\n" not in tidied(name)


@given(st.binary(min_size=1))
def test_any_file_name_is_text_on_one_line(raw: bytes) -> None:
    shown = legible(os.fsdecode(raw))
    shown.encode("utf-8")
    assert not any(unicodedata.category(c) == "Cc" for c in shown)


@pytest.mark.parametrize("name", ["", "  ", "\u200b\ufeff", "x" * 201])
def test_a_person_has_a_name_that_can_be_read(name: str) -> None:
    with pytest.raises(UserInputError):
        person_name(name)
