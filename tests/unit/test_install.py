"""What the install script says when a step of it fails."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

import install


def test_loops_that_cannot_be_compiled_are_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("PYTHONPATH", raising=False)
    monkeypatch.setattr(install, "ROOT", tmp_path)  # no studio there: the step fails for real
    install._compile_loops(Path(sys.executable))
    said = capfd.readouterr().err
    assert "could not be compiled" in said
    assert "studio doctor" in said
