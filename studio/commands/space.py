"""A hosted Space: the folder it is made of."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from studio.cli_output import Output
from studio.commands.shared import OPTIONS, AsJson, DataDir

if TYPE_CHECKING:
    from studio.factory.space import SpaceReport

commands = typer.Typer(help="A hosted Space behind a password: the folder to push.", **OPTIONS)


@commands.command("build")
def space_build(
    out: Annotated[Path, typer.Argument(help="A folder that is not there yet.")],
    title: Annotated[str, typer.Option(help="Title of the Space.")] = "Likeness Studio",
    hardware: Annotated[str, typer.Option(help="Hardware that it suggests.")] = "cpu-basic",
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Write the folder that is pushed as a Space, and look at it."""
    from studio.factory.space import build

    _say(build(out, title=title, hardware=hardware), as_json)


@commands.command("check")
def space_check(
    folder: Path,
    start: Annotated[bool, typer.Option("--start", help="Run it as the hub does, and log in.")] = False,
    install: Annotated[bool, typer.Option("--install", help="In an empty environment; takes minutes.")] = False,
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Look at a folder for a Space: size, front matter, files; whether it starts and wants its password."""
    from studio.factory.space import check

    _say(check(folder, start=start, install=install), as_json)


def _say(found: SpaceReport, as_json: bool) -> None:
    """Print what was found; a problem is exit code 2."""
    lines = [f"{found.folder}: {found.files} files, {found.bytes / 1e6:.1f} MB"]
    if found.started_seconds is not None:
        lines.append(f"answered after {found.started_seconds:.1f} s")
    lines += found.problems or ["It may be pushed. Set the secret STUDIO_PASSWORD in the Space's settings first."]
    Output(as_json).result({"report": found, "ok": found.ok}, "\n".join(lines))
    if not found.ok:
        raise typer.Exit(2)
