"""Base models: `base list`, `download`, `add`, `remove` and `build`."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from studio.cli_output import Output
from studio.commands.shared import OPTIONS, AsJson, DataDir, opened
from studio.errors import UserInputError

if TYPE_CHECKING:
    from studio.services.bases import BaseEntry

commands = typer.Typer(help="The models that pictures are drawn and adapters trained with.", **OPTIONS)
motion = typer.Typer(help="What lets the frames of a drawn clip see each other.", **OPTIONS)

BaseName = Annotated[str, typer.Argument(metavar="BASE", help="Its name; `studio base list` shows them.")]


Accept = Annotated[bool, typer.Option("--accept-licence", help="You have read the licence and agree to it.")]
WorkFolder = Annotated[
    Path | None, typer.Option(help="Folder for pictures and checkpoints; default in the data folder.")
]
Renders = Annotated[
    int | None, typer.Option(min=1, help="Different pictures to render; default the plan's.", show_default=False)
]
AsItIs = Annotated[
    bool, typer.Option("--as-it-is", help="Write what the last checkpoint holds; the run may go on beside it.")
]


@commands.command("list")
def base_list(data_dir: DataDir = None, as_json: AsJson = False) -> None:
    """List base models: what is here, what could be downloaded, licence and size."""
    with opened(data_dir) as studio:
        entries = studio.bases.list()
        Output(as_json).result({"bases": entries}, "\n".join(map(_line, entries)))


@commands.command("download")
def base_download(
    name: BaseName,
    accept: Accept = False,
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Download a base model from the hub; goes on where an earlier download ended."""
    output = Output(as_json)
    with opened(data_dir) as studio:
        card = studio.bases.get(name).card
        if card.source == "hub" and not accept:
            _ask(f"{card.title}: {card.download_bytes / 1e9:.1f} GB, licence {card.licence}, {card.licence_url}")
        entry = studio.bases.download(name, on_progress=lambda p: output.progress(p.fraction, p.stage, None))
        output.result({"base": entry}, _line(entry))


@commands.command("add")
def base_add(
    path: Annotated[Path, typer.Argument(help="A folder in the diffusers layout, or one .safetensors file.")],
    name: Annotated[str, typer.Option(help="Its name here; default the file's.", show_default=False)] = "",
    title: Annotated[str, typer.Option(help="What lists show; default the file's name.", show_default=False)] = "",
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Use a base model of your own; it stays where it is."""
    output = Output(as_json)
    with opened(data_dir) as studio:
        entry = studio.bases.add(path, name, title, on_read=lambda share: output.progress(share, "Reading the weights"))
        output.result({"base": entry}, _line(entry))


@commands.command("remove")
def base_remove(name: BaseName, data_dir: DataDir = None, as_json: AsJson = False) -> None:
    """Forget a base model of your own (its files stay), or delete a downloaded one."""
    with opened(data_dir) as studio:
        freed = studio.bases.remove(name)
        Output(as_json).result({"name": name, "freed_bytes": freed}, f"{name} is gone; {freed / 1e6:.1f} MB freed.")


@commands.command("build")
def base_build(
    out: Annotated[Path | None, typer.Option(help="Folder to write; default the assets' own base.")] = None,
    work: WorkFolder = None,
    images: Annotated[
        int | None, typer.Option(min=1, help="Pictures to see in all; default the plan's.", show_default=False)
    ] = None,
    renders: Renders = None,
    codec: Annotated[
        Path | None, typer.Option(help="Folder of the autoencoder; default the assets' own.", show_default=False)
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Same seed, same base.")] = 1,
    processes: Annotated[
        int, typer.Option(min=1, help="Processes that render and encode; training takes one thread.")
    ] = 1,
    motion: Annotated[
        bool, typer.Option("--motion", help="Train motion and control by the 3D face for the base that is there.")
    ] = False,
    clips: Annotated[
        int | None,
        typer.Option(min=1, help="With --motion: different clips to render; default the plan's.", show_default=False),
    ] = None,
    effort: Annotated[
        float | None,
        typer.Option(min=0.01, max=100, help="With --motion: so many times the plan's steps.", show_default=False),
    ] = None,
    start: Annotated[
        Path | None,
        typer.Option("--start", help="With --motion: folder of motion whose weights go on.", show_default=False),
    ] = None,
    as_it_is: AsItIs = False,
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Train the embedded base model anew from rendered faces; continues where it was stopped."""
    from studio import settings
    from studio.factory.build_assets import build_embedded_base, build_motion_of_base
    from studio.studio import ASSETS

    output = Output(as_json)
    if not motion and (clips, effort, start) != (None, None, None):
        raise UserInputError(
            "Clips are rendered for motion alone.", "Add --motion, or leave --clips, --effort and --start out."
        )
    if motion:
        if images is not None or renders is not None or codec is not None or seed != 1 or as_it_is:
            raise UserInputError(
                "With --motion the base stays as it is.",
                "Leave --images, --renders, --codec, --seed and --as-it-is out.",
            )
        record = build_motion_of_base(
            out or ASSETS / "motion",
            work or settings.load({"data_dir": data_dir}).data_dir / "cache" / "motion-build",
            assets=ASSETS,
            clips=clips,
            effort=effort or 1.0,
            start=start,
            on_progress=lambda share, text: output.progress(share, text),
        )
        output.result(record, _lines(record))
        return
    began = time.perf_counter()
    record = build_embedded_base(
        out or ASSETS / "base",
        work or settings.load({"data_dir": data_dir}).data_dir / "cache" / "base-build",
        seed=seed,
        images=images,
        renders=renders,
        codec=codec or ASSETS / "base" / "vae",
        processes=processes,
        as_it_is=as_it_is,
        on_progress=lambda share, text: output.progress(share, text),
    )
    record["seconds_here"] = round(time.perf_counter() - began, 1)
    output.result(record, _lines(record))


@commands.command("codec")
def base_codec(
    out: Annotated[Path, typer.Option(help="Folder to write the autoencoder to.")],
    work: WorkFolder = None,
    steps: Annotated[
        int | None, typer.Option(min=1, help="Steps in all; default the plan's.", show_default=False)
    ] = None,
    renders: Renders = None,
    seed: Annotated[int, typer.Option(min=0, help="Same seed, same autoencoder.")] = 1,
    as_it_is: AsItIs = False,
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Train the autoencoder of a preview base of 128 pixels; continues where it was stopped."""
    from studio import settings
    from studio.factory.build_assets import build_codec_of_base

    output = Output(as_json)
    record = build_codec_of_base(
        out,
        work or settings.load({"data_dir": data_dir}).data_dir / "cache" / "codec-build",
        seed=seed,
        steps=steps,
        renders=renders,
        as_it_is=as_it_is,
        on_progress=lambda share, text: output.progress(share, text),
    )
    output.result(record, _lines(record))


@motion.command("list")
def motion_list(data_dir: DataDir = None, as_json: AsJson = False) -> None:
    """List motions: what is here, what could be downloaded, licence and size."""
    with opened(data_dir) as studio:
        entries = studio.video.motions.list()
        lines = [
            f"{e.card.name:28} {e.state:7} {e.card.title}, for {e.card.family}, {e.card.licence}"
            + ("" if e.card.ran_here else "; not tried in this studio yet")
            for e in entries
        ]
        Output(as_json).result({"motions": entries}, "\n".join(lines))


@motion.command("download")
def motion_download(
    name: Annotated[str, typer.Argument(metavar="MOTION", help="Its name; `studio motion list` shows them.")],
    accept: Accept = False,
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Download motion from the hub; goes on where an earlier download ended."""
    output = Output(as_json)
    with opened(data_dir) as studio:
        card = next((e.card for e in studio.video.motions.list() if e.card.name == name), None)
        if card is not None and card.source == "hub" and not accept:
            _ask(f"{card.title}: {card.download_bytes / 1e9:.1f} GB, licence {card.licence}, {card.licence_url}")
        entry = studio.video.motions.download(
            name, on_progress=lambda p: output.progress(p.fraction, p.stage, p.seconds_left)
        )
        output.result({"motion": entry}, f"{entry.card.title} is here.")


def _ask(about: str) -> None:
    """Show licence and size, and go on only with a yes.

    Raises:
        UserInputError: there is nobody to ask, or the answer is no.
    """
    print(about, file=sys.stderr)
    if not sys.stdin.isatty():
        raise UserInputError("The licence was not agreed to.", "Read it, then add --accept-licence.")
    if not typer.confirm("Download it under this licence?", err=True):
        raise UserInputError("Nothing was downloaded.", "Run the command again when you agree.")


def _lines(record: dict[str, Any]) -> str:
    return "\n".join(f"{k}: {v}" for k, v in record.items())


def _line(entry: BaseEntry) -> str:
    """Return a base as one line."""
    card = entry.card
    size = entry.bytes_here if entry.state == "ready" else card.download_bytes
    shown = f"{size / 1e9:.1f} GB" if size >= 1e9 else f"{size / 1e6:.1f} MB"
    what = f"{card.name:12} {entry.state:8} {card.family:5} {card.resolution:4} px  {shown:>9}"
    return f"{what}  {card.title} ({card.licence})"
