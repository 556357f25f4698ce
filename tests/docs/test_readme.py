"""The README says what is true: its commands, settings, targets and files exist."""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping
from pathlib import Path

import pytest
import typer

from studio.cli import app
from studio.domain.adapter import ADAPTER_FORMATS, WRITTEN_FORMATS
from studio.domain.base_model import FAMILY
from studio.domain.clip_format import CLIP_FORMATS, CURVE_FORMATS, ClipFormat, CurveFormat
from studio.settings import SETTINGS

ROOT = Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
COMMANDS = re.findall(r"^python -m studio (.+)$", README, re.M)


@pytest.mark.parametrize("line", COMMANDS)
def test_commands_parse(line: str) -> None:
    """Every command line is one that the program would accept."""
    command = typer.main.get_command(app)
    words = shlex.split(line)
    context = command.make_context("studio", words, resilient_parsing=True)
    while hasattr(command, "commands"):
        name = words.pop(0)
        assert name in command.commands, line
        command = command.commands[name]
    # A real parse: unknown options and missing arguments raise.
    assert command.make_context(command.name, words, parent=context) is not None


def test_every_command_is_in_the_readme() -> None:
    from tests.cli.test_options import EXPECTED

    told = {name for name in EXPECTED if any(line.startswith(name) for line in COMMANDS)}
    assert told == EXPECTED


def test_the_settings_table_is_the_settings() -> None:
    rows = re.findall(r"^\| (\w+) \| (.*?) ?\| (.+) \|$", README.split("## Settings")[1].split("##")[0], re.M)
    told = {name: (default, text) for name, default, text in rows if name not in {"name"}}
    assert list(told) == [s.name for s in SETTINGS]
    for setting in SETTINGS:
        default, text = told[setting.name]
        assert text == setting.help
        shown = str(setting.default).lower() if isinstance(setting.default, bool) else str(setting.default or "")
        assert setting.name == "data_dir" or default == shown


def test_the_formats_are_those_of_the_table() -> None:
    rows = {line.split("|")[1].strip(): line for line in README.splitlines() if line.startswith("| adapter")}
    assert set(re.findall(r"`(\w+)`", rows["adapter"])) == set(WRITTEN_FORMATS)
    for format in ADAPTER_FORMATS:
        assert format.layout in rows["adapters"].lower(), "what is read"
    base_models = next(line for line in README.splitlines() if line.startswith("| base models"))
    assert all(name in base_models for name in FAMILY)


@pytest.mark.parametrize(("cell", "table"), [("clip", CLIP_FORMATS), ("curves", CURVE_FORMATS)])
def test_every_format_is_in_the_readme(cell: str, table: Mapping[str, ClipFormat | CurveFormat]) -> None:
    (told,) = re.findall(rf"^\| {cell} \| (.*) \|$", README, re.M)
    assert told.partition(";")[0] == ", ".join(row.words for row in table.values())


def test_the_readme_says_which_clips_start_anew() -> None:
    (told,) = re.findall(r"An interrupted clip goes on behind its last two-second part; (.*) start anew\.", README)
    assert set(re.split(", | and ", told)) == {name for name, row in CLIP_FORMATS.items() if not row.is_resumable}


def test_make_targets_exist() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    for target in set(re.findall(r"make (run|demo|test|lint|update|newest)", README)):
        assert re.search(rf"^{target}:", makefile, re.M)


def test_named_files_exist() -> None:
    for name in ("requirements.txt", "requirements-dev.txt", "app.py", "LICENSE", "NOTICE", "assets/SOURCES.md"):
        assert name in README
        assert (ROOT / name).exists()


def test_pins() -> None:
    lines = (ROOT / "requirements.txt").read_text(encoding="utf-8").splitlines()
    wanted = [line for line in lines if line and not line.startswith(("#", "-"))]
    assert "-c constraints.txt" in lines, "the exact versions come with every way to install"
    assert all("," in line for line in wanted), "every requirement has an upper bound"
    assert not [line for line in wanted if line.startswith(("opencv-python-headless", "espeakng"))]


def test_ci_is_make_test() -> None:
    script = (ROOT / ".ci" / "run").read_text(encoding="utf-8")
    assert "make test" in script
    assert (ROOT / ".ci" / "run").stat().st_mode & 0o100


def test_the_license_is_apache() -> None:
    assert "Apache License" in (ROOT / "LICENSE").read_text(encoding="utf-8")
