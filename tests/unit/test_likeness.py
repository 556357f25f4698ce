"""A likeness is written in one form, by one function."""

from __future__ import annotations

import ast
import re

import pytest

from studio.domain.likeness import likeness_figure
from tests.unit.test_layers import modules

ABOUT = re.compile(r"likeness|alike|spread", re.IGNORECASE)


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (0.83, ".83"), (1.0, "1.00"), (-0.05, "-.05"), (None, "none"), (0.999, "1.00"), (-0.31, "-.31"),
        (-0.001, ".00"), (0.0, ".00"), (-1.4, "-1.40"), (10.05, "10.05"),
    ],
)  # fmt: skip
def test_the_form_of_a_likeness(value, said) -> None:
    assert likeness_figure(value) == said


def test_nobody_writes_a_likeness_in_a_form_of_their_own() -> None:
    for path in modules():
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.FormattedValue) and node.format_spec is not None:
                digits = re.search(r"\.\d[fg]", ast.unparse(node.format_spec))
                assert not (digits and ABOUT.search(ast.unparse(node.value))), f"{path}:{node.lineno}"
