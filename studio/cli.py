"""The command line: each command parses, calls one service method, and prints.

Exit codes: 0 done, 2 bad input, 3 not found, 4 engine or disk, 1 a bug. With
--json stdout carries one JSON object and nothing else. The commands stand in
`studio.commands`, one module per noun.
"""

from __future__ import annotations

import logging
import sys
import tempfile
import traceback
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import typer

from studio.cli_output import Output, spell_out_unprintable
from studio.commands import (
    adapters,
    bases,
    dialogue,
    generation,
    jobs,
    library,
    people,
    performances,
    pictures,
    projects,
    space,
    training,
    upkeep,
)
from studio.commands.shared import OPTIONS
from studio.errors import StudioError, UserInputError
from studio.outside import of_disk

app = typer.Typer(help="Likeness Studio: a photo speaks.", add_completion=False, **OPTIONS)
app.add_typer(upkeep.commands)
app.add_typer(upkeep.assets, name="assets")
app.add_typer(projects.commands, name="project")
app.add_typer(people.commands, name="identity")
app.add_typer(pictures.commands)
app.add_typer(dialogue.commands)
app.add_typer(performances.commands, name="performance")
app.add_typer(generation.commands)
app.add_typer(bases.commands, name="base")
app.add_typer(bases.motion, name="motion")
app.add_typer(library.commands, name="library")
app.add_typer(training.commands)
app.add_typer(training.runs, name="runs")
app.add_typer(adapters.commands, name="adapter")
app.add_typer(jobs.commands, name="jobs")
app.add_typer(space.commands, name="space")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; return the exit code.

    Args:
        arguments: without the program's name; default those of the process.
    """
    given = list(sys.argv[1:] if arguments is None else arguments)
    spell_out_unprintable()
    output = Output("--json" in given)
    return guarded(lambda: app(args=given, prog_name="studio", standalone_mode=False), output, given)


def guarded(call: Callable[[], Any], output: Output | None = None, given: Sequence[str] = ()) -> int:
    """Run `call`; turn what it raised into an exit code and one sentence."""
    output = output or Output(as_json=False)
    try:
        code = call()
        return code if isinstance(code, int) else 0
    except StudioError as error:
        output.error(error)
        return error.exit_code
    except typer.Exit as end:
        return end.exit_code
    except typer.TyperException as error:
        output.error(UserInputError(error.format_message(), _where_to_read(error)))
        return 2
    except (KeyboardInterrupt, typer.Abort):
        what = next((word for word in given if not word.startswith("-")), "")
        output.stopped(f"Stopped `studio {what}`." if what else "Stopped.")
        return 130
    except Exception as exc:  # the last wall: what is no disk's trouble is a bug, and its trace goes to a file
        logging.getLogger("studio").debug("a bug", exc_info=exc)
        refused = of_disk(exc)
        if refused is not None:
            output.error(refused)
            return refused.exit_code
        output.error(
            StudioError(f"This is a bug ({type(exc).__name__}: {exc}).", f"Details: {_bug_report(exc, given)}")
        )
        return 1


def _where_to_read(error: typer.TyperException) -> str:
    """Name the help of the command that was meant; where none was found, the list of all."""
    context = getattr(error, "ctx", None)
    if context is None or context.parent is None:
        return "`studio --help` lists the commands."
    kind = "its commands" if hasattr(context.command, "commands") else "what it takes"
    return f"`{context.command_path} --help` lists {kind}."


def _bug_report(exc: Exception, given: Sequence[str]) -> Path:
    """Write the trace to a file of its own and return the path."""
    with tempfile.NamedTemporaryFile(
        "w", prefix="likeness-studio-bug-", suffix=".log", delete=False, encoding="utf-8"
    ) as file:
        file.write(f"{datetime.now(UTC).isoformat()}  studio {' '.join(given[:2])}\n")
        file.write("".join(traceback.format_exception(exc)))
    return Path(file.name)
