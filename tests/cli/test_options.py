"""Every command takes the same two options, and the commands are those of the manual."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import typer

from studio.cli import app

EXPECTED = {
    "doctor", "verify", "takedown", "bench", "edit", "animate", "dub", "dialogue", "head", "demo", "controls", "units",
    "assets build", "backup", "restore", "storage", "project list", "project new", "project export", "project import",
    "space build", "space check",
    "identity add", "identity list", "identity show", "identity delete", "identity curate", "identity consent",
    "identity variants", "identity report",
    "library list", "library show", "library rerun", "library verify", "library export",
    "generate", "video", "base list", "base download", "base add", "base remove", "base build", "base codec",
    "motion list", "motion download",
    "train", "runs list", "runs presets", "runs show", "runs stop", "runs continue", "runs checkpoints",
    "runs keep", "runs grid",
    "performance list", "performance new", "performance show", "performance layer", "performance key",
    "performance sounds",
    "performance words",
    "performance undo", "performance redo", "performance copy", "performance delete", "performance play",
    "performance export", "performance import",
    "adapter list", "adapter show", "adapter export", "adapter import", "adapter test-leak", "adapter merge",
    "adapter rename", "adapter delete", "adapter push",
    "jobs list", "jobs watch", "jobs cancel", "jobs retry",
}  # fmt: skip


def commands() -> Iterator[tuple[str, set[str]]]:
    """Return each command's full name and options."""

    def walk(group, before: str) -> Iterator[tuple[str, set[str]]]:
        for name, command in group.commands.items():
            if hasattr(command, "commands"):
                yield from walk(command, f"{before}{name} ")
            else:
                yield before + name, {option for parameter in command.params for option in parameter.opts}

    yield from walk(typer.main.get_command(app), "")


def test_the_commands_are_those_of_the_manual() -> None:
    assert {name for name, _ in commands()} == EXPECTED


@pytest.mark.parametrize(("name", "options"), sorted(commands()), ids=lambda v: v if isinstance(v, str) else "")
def test_each_takes_data_dir_and_json(name: str, options: set[str]) -> None:
    assert {"--data-dir", "--json"} <= options


def test_controls_are_listed(run) -> None:
    ran = run("controls", "--json")
    assert ran.code == 0
    assert {"smile", "headYaw", "jawOpen"} <= {c["name"] for c in ran.json["controls"]}
    assert "smile" in run("controls").out
