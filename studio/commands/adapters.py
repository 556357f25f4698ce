"""Adapters: what was learned of people."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from studio.cli_output import Output
from studio.commands.meaning import strengthened
from studio.commands.shared import OPTIONS, AsJson, DataDir, opened
from studio.domain.adapter import WRITTEN_FORMATS, AdapterFormat
from studio.domain.days import minute_of
from studio.domain.likeness import likeness_figure

commands = typer.Typer(help="What was learned of people, as files to keep, carry and mix.", **OPTIONS)

AdapterName = Annotated[str, typer.Argument(metavar="ADAPTER", help="An adapter's name or id.")]
BaseName = Annotated[
    str | None, typer.Option("--base", help="Base model to check on; default the adapter's own.", show_default=False)
]


@commands.command("list")
def adapter_list(
    identity: Annotated[str | None, typer.Option(help="One person's, by name or id.", show_default=False)] = None,
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """List adapters, newest first."""
    with opened(data_dir) as studio:
        found = studio.adapters.list(None if identity is None else studio.identities.get(identity).id)
        lines = [f"{a.id}  {minute_of(a.created)}  {a.family:4}  {a.origin:8}  {a.name}" for a in found]
        text = "\n".join(lines) or "No adapters yet: `studio train`, or `studio adapter import FILE`."
        Output(as_json).result({"adapters": found}, text)


@commands.command("show")
def adapter_show(adapter: AdapterName, data_dir: DataDir = None, as_json: AsJson = False) -> None:
    """Show one adapter: what was measured, and its way from the photos to the last file."""
    from studio.services.adapters.model_card import measured_lines

    with opened(data_dir) as studio:
        found = studio.adapters.get(adapter)
        steps, people = studio.adapters.lineage(found.id), studio.adapters.people(found.id)
        lines = [
            f"{found.name}  {found.id}",
            f"  trigger “{found.trigger}”" if found.trigger else "  trigger unknown",
            f"  {found.method}, {found.family}, rank {found.rank or 'full'}, base {found.base_name or 'unknown'}",
            f"  people: {', '.join(people) or 'nobody of this studio'}",
            *(f"  {line}" for line in measured_lines(found.measures)),
            *([f"  notes: {found.notes}"] if found.notes else []),
            *(f"  {step.what}: {step.text}{' (gone)' if step.gone else ''}" for step in steps),
        ]
        sheet, path = studio.adapters.leak_sheet(found), studio.adapters.path(found)
        value = {"adapter": found, "path": path, "people": people, "lineage": steps, "leak_sheet": sheet}
        Output(as_json).result(value, "\n".join(lines))


@commands.command("export")
def adapter_export(
    adapter: AdapterName,
    out: Annotated[Path, typer.Argument(help="A .safetensors file, or a folder.")],
    format: Annotated[
        AdapterFormat,
        typer.Option(
            metavar="|".join(WRITTEN_FORMATS),
            help="; ".join(f"{name}: {format.help}" for name, format in WRITTEN_FORMATS.items()) + ".",
        ),
    ] = "kohya",
    base: BaseName = None,
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Write an adapter for other programs, load it back at once and compare a picture."""
    with opened(data_dir) as studio:
        report = studio.adapter_exchange.export(adapter, out, format, base=base)
        lines = [
            str(report.path),
            f"  {report.bytes / 1e6:.2f} MB, sha256 {report.sha256}",
            f"  read back: {report.matched} keys used, {len(report.unmatched)} not",
            f"  picture before and after differs by {report.max_difference:.2g} (the adapter changes it by "
            f"{report.effect:.2g})",
        ]
        Output(as_json).result(report, "\n".join(lines))


@commands.command("import")
def adapter_import(
    file: Annotated[Path, typer.Argument(help="LoRA, DoRA, LoHa, LoKr or DreamBooth: safetensors, or their folder.")],
    name: Annotated[str, typer.Option(help="Default what the file says.", show_default=False)] = "",
    trigger: Annotated[str | None, typer.Option(help="Default what the file says.", show_default=False)] = None,
    identity: Annotated[str | None, typer.Option(help="Whose likeness it holds.", show_default=False)] = None,
    base: BaseName = None,
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Copy an adapter into the library; says which of its keys the base has no place for."""
    from studio.services.adapters.model_card import measured_lines

    with opened(data_dir) as studio:
        got = studio.adapter_exchange.import_file(file, name, base=base, trigger=trigger, identity_id=identity)
        lines = [
            f"{got.adapter.name}: {got.adapter.id}",
            f"  {got.kind} in {got.format} layout, checked on {got.base}: {got.matched} keys used, "
            f"{len(got.unmatched)} not",
            *(f"  not used: {key}" for key in got.unmatched[:10]),
            *(f"  {line}" for line in measured_lines(got.adapter.measures)),
        ]
        Output(as_json).result(got, "\n".join(lines))


@commands.command("test-leak")
def adapter_test_leak(
    adapter: AdapterName,
    strength: Annotated[
        list[float] | None, typer.Option(help="May be repeated; default 1, 0.7 and 0.4.", show_default=False)
    ] = None,
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Draw strangers without and with an adapter: how far do they turn into its person?"""
    from studio.services.adapters.leaks import STRENGTHS

    output = Output(as_json)
    with opened(data_dir) as studio:
        report = studio.adapter_exchange.test_leak(
            adapter,
            lambda p: output.progress(p.fraction, p.stage, p.seconds_left),
            strengths=strength or STRENGTHS,
        )
        sheet = studio.adapters.leak_sheet(studio.adapters.get(adapter))
        lines = [report.advice]
        for r in report.results:
            leak = "not measurable" if r.leak is None else f"{r.leak:.2f} ± {r.noise:.2f}"
            likeness = "" if r.likeness is None else f", likeness of the person {likeness_figure(r.likeness)}"
            lines.append(
                f"  strength {r.strength:g}: leak {leak}, pictures change by {r.drift:.3f}{likeness} "
                f"({r.measured} of {r.drawn} pairs measured)"
            )
        lines.append(f"  pictures: {sheet}")
        output.result({"report": report, "sheet": sheet}, "\n".join(lines))


@commands.command("merge")
def adapter_merge(
    adapters: Annotated[list[str], typer.Argument(help="Two or more adapters, each NAME or NAME:STRENGTH.")],
    name: Annotated[str, typer.Option(help="Of the merged adapter.")],
    base: BaseName = None,
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Make one adapter of several; at strength 1 it does what they did together."""
    items = [strengthened(text) for text in adapters]
    with opened(data_dir) as studio:
        merged, report = studio.adapter_exchange.merge(items, name, base=base)
        text = (
            f"{merged.name}: {merged.id}\n  differs from them together by {report.max_difference:.2g} "
            f"(their effect is {report.effect:.2g})"
        )
        Output(as_json).result({"adapter": merged, "report": report}, text)


@commands.command("rename")
def adapter_rename(
    adapter: AdapterName,
    name: str,
    notes: Annotated[str | None, typer.Option(help="Change the notes too.", show_default=False)] = None,
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Give an adapter another name."""
    with opened(data_dir) as studio:
        renamed = studio.adapters.rename(adapter, name)
        if notes is not None:
            renamed = studio.adapters.note(renamed.id, notes)
        Output(as_json).result({"adapter": renamed}, f"{renamed.name}: {renamed.id}")


@commands.command("delete")
def adapter_delete(
    adapter: AdapterName,
    yes: Annotated[bool, typer.Option("--yes", help="Do it; without it only the plan is printed.")] = False,
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Delete an adapter; says first what will go and what stays."""
    with opened(data_dir) as studio:
        plan = studio.adapters.delete(adapter) if yes else studio.adapters.delete_plan(adapter)
        text = plan.sentence + ("\nDeleted." if yes else "\nNothing was deleted; add --yes to do it.")
        Output(as_json).result({"deleted": yes, "plan": plan}, text)


@commands.command("push")
def adapter_push(
    adapter: AdapterName,
    repository: Annotated[str, typer.Argument(help="owner/name on the hub; made if need be.")],
    token: Annotated[
        str, typer.Option(envvar="HF_TOKEN", help="With the right to write; used once, kept nowhere.")
    ] = "",
    public: Annotated[bool, typer.Option("--public", help="Not private.")] = False,
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Put an adapter with a page about it into a repository of your own on the hub; private by default."""
    with opened(data_dir) as studio:
        url = studio.adapter_exchange.push(adapter, repository, token, private=not public)
        Output(as_json).result({"url": url, "private": not public}, url)
