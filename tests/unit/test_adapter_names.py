"""Names of adapters that come out of files."""

from __future__ import annotations

from studio.services.adapters.shelf import LONGEST_NAME, checked_name, shortened


def test_a_long_title_becomes_a_name() -> None:
    for title in ("a portrait of somebody, " * 9, "x" * 300, "two\nlines\x00 and a zero"):
        name = shortened(title)
        assert checked_name(name) == name
        assert len(name) <= LONGEST_NAME
        assert name.isprintable()
    assert shortened("Ann") == "Ann"
    assert shortened("\n\x00") == ""
