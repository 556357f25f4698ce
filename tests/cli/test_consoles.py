"""Consoles that cannot print everything, and files that Windows editors write."""

from __future__ import annotations

import json
import os
import shutil
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


@pytest.mark.skipif(sys.platform != "linux", reason="other systems refuse such names")
def test_files_whose_names_are_no_text(run, tmp_path, astronaut) -> None:
    for number, raw in enumerate((b"jos\xe9.png", b"two\nlines\x1b[31m.png")):
        photo = os.fsdecode(os.fsencode(tmp_path) + b"/" + raw)
        shutil.copy(astronaut, photo)
        added = run("identity", "add", f"Ann {number}", photo, "--json")
        assert added.code == 0, added.err
        kept = added.json["photos"][0]["file_name"]
        assert kept.endswith(".png")
        assert "\ufffd" in kept
        shown = run("identity", "show", f"Ann {number}")
        assert kept in shown.out
        assert len(shown.out.splitlines()) == 2
    looked = run("identity", "curate", str(tmp_path), "--report", "--json")
    assert looked.code == 0, looked.err
    assert any("jos\ufffd.png" in str(p) for p in looked.json["photos"] + looked.json["notes"])
    out = os.fsdecode(os.fsencode(tmp_path) + b"/out\xff.png")
    assert run("edit", photo, "--set", "smile=.5", "--out", out, "--json").code == 0
    assert "smile" in str(run("library", "show", out, "--json").json["recipe"])
    missing = run("edit", os.fsdecode(b"no\nsuch\xe9.png"), "--out", out, "--json")
    assert missing.code == 3
    missing.json["error"]["message"].encode()
    assert len(missing.err.splitlines()) == 2
    assert run("identity", "show", os.fsdecode(b"\xe9")).code == 3


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
