"""Projects, and projects or people as files."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from studio.cli_output import Output
from studio.commands.shared import OPTIONS, AsJson, DataDir, opened

commands = typer.Typer(help="Projects; a project or a person as one file.", **OPTIONS)


@commands.command("list")
def project_list(data_dir: DataDir = None, as_json: AsJson = False) -> None:
    """List projects."""
    with opened(data_dir) as studio:
        projects = studio.projects.list()
        text = "\n".join(f"{p.id}  {p.name}" for p in projects) or "No projects yet: `studio project new NAME`."
        Output(as_json).result(projects, text)


@commands.command("new")
def project_new(name: str, data_dir: DataDir = None, as_json: AsJson = False) -> None:
    """Make a project."""
    with opened(data_dir) as studio:
        project = studio.projects.add(name)
        Output(as_json).result(project, f"{project.id}  {project.name}")


@commands.command("export")
def project_export(
    out: Annotated[Path, typer.Argument(help="A zip that is not there yet, or a folder.")],
    project: Annotated[str | None, typer.Option(help="Only this project, by id or name.", show_default=False)] = None,
    person: Annotated[list[str] | None, typer.Option(help="Only this person, by id or name; may be repeated.")] = None,
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Write everything, a project or people into one file for another studio: no keys, no models, no jobs."""
    output = Output(as_json)
    with opened(data_dir) as studio:
        people = [studio.identities.get(name).id for name in person or ()]
        report = studio.bundles.export(
            out, project=project, people=people, on_progress=lambda p: output.progress(p.fraction, p.stage)
        )
    lines = [f"{report.sentence} {report.bytes / 1e6:.1f} MB.", *report.stayed]
    lines += [f"a file is missing and stayed out: {sha256[:12]}" for sha256 in report.missing]
    output.result(report, "\n".join(lines))


@commands.command("import")
def project_import(
    bundle: Annotated[Path, typer.Argument(help="A file that `studio project export` wrote.")],
    project: Annotated[
        str | None,
        typer.Option(help="Where everything goes; default the project of the same name.", show_default=False),
    ] = None,
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Merge a project or people from a file; nothing that is here is overwritten."""
    output = Output(as_json)
    with opened(data_dir) as studio:
        found = studio.bundles.bring_in(
            bundle, project=project, on_progress=lambda p: output.progress(p.fraction, p.stage)
        )
    output.result(found, "\n".join([found.sentence, *found.renamed]))
