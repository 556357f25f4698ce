"""Consoles that cannot print everything, and files that Windows editors write."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from studio import settings
from studio.cli import guarded
from studio.cli_output import Output

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize("encoding", ["cp1252", "ascii"])
def test_names_that_a_console_cannot_print(tmp_path: Path, encoding: str) -> None:
    def studio(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "studio", *arguments, "--data-dir", str(tmp_path / "data")], cwd=ROOT,
            env=os.environ | {"PYTHONIOENCODING": encoding}, capture_output=True, text=True, encoding=encoding,
            check=False,
        )  # fmt: skip

    for name in ("王小明", "Zoé 🎈"):
        added = studio("identity", "show", name, "--json")
        assert added.returncode == 3, added.stderr
        assert name in json.loads(added.stdout)["error"]["message"]
        assert "bug" not in added.stderr


def test_settings_with_a_byte_order_mark(tmp_path: Path) -> None:
    (tmp_path / "settings.toml").write_bytes(b'\xef\xbb\xbftheme = "dark"\r\n')
    assert settings.load({"data_dir": tmp_path}).theme == "dark"


def test_ctrl_c_says_what_it_stopped(capsys) -> None:
    def interrupted() -> None:
        raise KeyboardInterrupt

    assert guarded(interrupted, Output(as_json=True), ["animate", "--json"]) == 130
    said = capsys.readouterr()
    assert json.loads(said.out)["error"]["message"] == "Stopped `studio animate`."
    assert "animate" in said.err
