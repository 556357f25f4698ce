"""Everything the studio made."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from studio.cli_output import Output
from studio.commands.shared import OPTIONS, AsJson, DataDir, opened, opened_studio
from studio.domain.days import minute_of
from studio.outside import exists

commands = typer.Typer(help="Everything the studio made.", **OPTIONS)


@commands.command("list")
def library_list(
    kind: Annotated[Literal["image", "clip"] | None, typer.Option(help="One kind only.", show_default=False)] = None,
    starred: Annotated[bool, typer.Option("--starred", help="Favorites only.")] = False,
    limit: Annotated[int, typer.Option(min=1, max=1000)] = 24,
    after: Annotated[str | None, typer.Option(help="next_cursor of the page before.", show_default=False)] = None,
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """List renders, newest first."""
    with opened(data_dir) as studio:
        page = studio.library.page(kind=kind, starred=True if starred else None, cursor=after, size=limit)
        lines = [
            f"{r.id}  {minute_of(r.created)}  {r.kind:6} {'*' if r.starred else ' '} {r.title}" for r in page.renders
        ]
        Output(as_json).result(page, "\n".join(lines) or "The library is empty.")


@commands.command("show")
def library_show(
    render: Annotated[str, typer.Argument(help="A render's id, or a file made by the studio.")],
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Show a render with its recipe; a file of ours brings its recipe back."""
    with opened(data_dir) as studio:
        if exists(render):
            recipe = dict(studio.library.recipe_of_file(Path(render)))
            Output(as_json).result({"recipe": recipe}, "\n".join(f"{k}: {v}" for k, v in recipe.items()))
            return
        found = studio.library.show(render)
        path = studio.library.path(found)
        lines = [
            f"{found.id}  {found.kind}  {found.title}",
            f"  file {path}",
            f"  engine {found.engine} {found.engine_version}",
        ]
        lines += [f"  {k}: {v}" for k, v in found.recipe.items()]
        Output(as_json).result({"render": found, "path": path}, "\n".join(lines))


@commands.command("rerun")
def library_rerun(render: str, data_dir: DataDir = None, as_json: AsJson = False) -> None:
    """Make a render once more and compare the frames."""
    output = Output(as_json)
    with opened(data_dir) as studio:
        result = studio.library.rerun(
            render, on_progress=lambda p: output.progress(p.fraction, p.stage, p.seconds_left)
        )
        same = "the same frames" if result.same_frames else "frames that differ from the first"
        if result.marked_elsewhere:
            same = "frames with this studio's invisible mark; the first has another studio's"
        output.result(result, f"{result.render.id}  {same}\n  {studio.library.path(result.render)}")


@commands.command("verify")
def library_verify(
    sweep: Annotated[bool, typer.Option("--sweep", help="Delete orphan files.")] = False,
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Find missing, changed and orphan files; exit code 4 when something is missing or changed."""
    with opened_studio(data_dir) as studio:
        report = studio.upkeep.verify()
        freed = studio.upkeep.sweep() if sweep else 0
        lines = [report.sentence]
        for word, names in (("missing", report.missing), ("changed", report.changed), ("orphan", report.orphans)):
            lines += [f"{word}: {name}" for name in names]
        lines += [f"{freed} bytes freed"] if sweep else []
        Output(as_json).result({"ok": report.ok, "report": report, "bytes_freed": freed}, "\n".join(lines))
        if report.missing or report.changed:
            raise typer.Exit(4)


@commands.command("export")
def library_export(render: str, out: Path, data_dir: DataDir = None, as_json: AsJson = False) -> None:
    """Copy a render, with its recipe inside, to a file or into a folder."""
    with opened(data_dir) as studio:
        path = studio.library.export(render, out)
        Output(as_json).result({"path": path}, str(path))
