"""Names and trigger words of adapters."""

from __future__ import annotations

import pytest

from studio.domain.adapter import free_name, says_trigger, with_trigger


@pytest.mark.parametrize(
    ("prompt", "said"),
    [
        ("a photo of a person, smiling", "a photo of sks person, smiling"),
        ("at the sea", "sks person, at the sea"),
        ("", "a photo of sks person"),
    ],
)
def test_the_trigger_is_put_where_the_person_stood(prompt, said):
    made = with_trigger(prompt, "sks person")
    assert made == said
    assert says_trigger(made.upper(), "sks person")
    assert not says_trigger(prompt, "sks person")


def test_an_adapter_without_a_word_needs_no_calling():
    assert says_trigger("at the sea", "")


def test_a_taken_name_gets_a_number():
    assert free_name("Ada 150", set()) == "Ada 150"
    assert free_name("Ada 150", {"Ada 150", "Ada 150 (2)"}) == "Ada 150 (3)"
