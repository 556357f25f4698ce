"""How a likeness is written: one form for cards, sentences, tables and files."""

from __future__ import annotations


def likeness_figure(value: float | None) -> str:
    """Return a likeness, or a spread of likenesses, with two decimals and no zero before the point.

    Args:
        value: 0 a stranger, 1 as alike as the person's own photos; may lie outside.

    Returns:
        ".83", "1.02", "-.31"; "none" for None.
    """
    if value is None:
        return "none"
    said = f"{value:.2f}".removeprefix("-")
    sign = "-" if value < 0 and float(said) else ""
    return sign + (said.removeprefix("0") if said.startswith("0.") else said)
