"""What the benchmarks take from the studio is there: they are run by hand, seldom, and must work then."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
ROOMS = ("studio", "benchmarks", "tests")


def _defined(module: ast.Module) -> Iterator[str]:
    """Yield every name that a module gives to something, wherever in it."""
    for node in ast.walk(module):
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            yield node.name
        elif isinstance(node, ast.Import | ast.ImportFrom):
            yield from (alias.asname or alias.name for alias in node.names)
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            yield node.id


def _missing(module: str, name: str) -> bool:
    """Say whether `from module import name` would find nothing."""
    place = ROOT.joinpath(*module.split("."))
    if place.is_dir():
        if (place / f"{name}.py").exists() or (place / name).is_dir():
            return False
        file = place / "__init__.py"
    else:
        file = place.with_suffix(".py")
    return not file.exists() or name not in _defined(ast.parse(file.read_text(encoding="utf-8")))


@pytest.mark.parametrize("path", sorted((ROOT / "benchmarks").glob("*.py")), ids=lambda p: p.stem)
def test_a_benchmark_takes_what_is_there(path: Path) -> None:
    asked = [
        (node.module, alias.name)
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.ImportFrom) and node.module and node.module.split(".")[0] in ROOMS
        for alias in node.names
    ]
    assert [f"{module}: {name}" for module, name in asked if _missing(module, name)] == []
