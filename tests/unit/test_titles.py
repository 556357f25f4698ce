"""The one line under a picture or clip, made of what was written or said."""

from __future__ import annotations

import pytest

from studio.domain.render import title_of_words


@pytest.mark.parametrize(
    ("said", "title"),
    [
        ("  a photo \n of Ann ", "a photo of Ann"),
        ("", ""),
        ("I was a picture once, but now I can speak and sing. Hello to all.",
         "I was a picture once, but now I can speak and sing…"),
        ("x" * 70, "x" * 57 + "…"),
    ],
)  # fmt: skip
def test_a_long_text_ends_at_a_word_and_without_a_second_stop(said: str, title: str) -> None:
    assert title_of_words(said) == title
