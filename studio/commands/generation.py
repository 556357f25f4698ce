"""Pictures from words: `generate`."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from studio.cli_output import Output
from studio.commands.shared import OPTIONS, AsJson, DataDir, opened, strengthened
from studio.errors import NotFoundError, UserInputError
from studio.outside import exists

if TYPE_CHECKING:
    from studio.domain.render import Render
    from studio.services.sources import MediaSource
    from studio.studio import OwnerServices

commands = typer.Typer(**OPTIONS)


@commands.command()
def generate(
    prompt: Annotated[str, typer.Argument(help="What to show; an adapter's trigger word calls its person.")],
    base: Annotated[str, typer.Option(help="Base model; `studio base list` shows them.")] = "preview",
    adapter: Annotated[
        list[str] | None, typer.Option(help="NAME or NAME:STRENGTH, -2 to 2; repeat.", show_default=False)
    ] = None,
    negative: Annotated[str, typer.Option(help="What not to show.", show_default=False)] = "",
    seed: Annotated[int, typer.Option(help="Of the first picture; the next ones count up.")] = 0,
    steps: Annotated[
        int | None, typer.Option(help="Of the sampler, 1 to 150; default the base's own.", show_default=False)
    ] = None,
    guidance: Annotated[
        float | None,
        typer.Option(help="How closely the prompt is followed, 1 to 30; default the base's own.", show_default=False),
    ] = None,
    size: Annotated[
        str | None, typer.Option(help="WIDTHxHEIGHT in pixels; default the base's own.", show_default=False)
    ] = None,
    count: Annotated[int, typer.Option(help="How many pictures.")] = 1,
    source: Annotated[
        str | None, typer.Option("--from", help="Start from a picture: a file or a photo's id.", show_default=False)
    ] = None,
    mask: Annotated[
        str | None,
        typer.Option(help="Redraw only: face, background, or a picture (white is redrawn).", show_default=False),
    ] = None,
    denoise: Annotated[float, typer.Option(help="How much of the picture may change, over 0 to 1.")] = 0.6,
    identity: Annotated[
        str | None, typer.Option(help="Measure likeness to this person, by name or id.", show_default=False)
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Folder for copies beside the library.", show_default=False)] = None,
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Draw pictures from words; they are kept in the library with their recipes."""
    from studio.services.pictures.generation import checked_generation

    output = Output(as_json)
    if out is not None and not out.is_dir():
        raise NotFoundError(f"There is no folder {str(out)!r}.", "Create it, or name another one.")
    with opened(data_dir) as studio:
        width, height = _size(size)
        request = checked_generation(
            {
                "base": base,
                "prompt": prompt,
                "negative": negative,
                "adapters": _adapters(studio, adapter or ()),
                "width": width,
                "height": height,
                "steps": steps,
                "guidance": guidance,
                "seed": seed,
                "count": count,
                "source": None if source is None else _picture(studio, source),
                "mask": mask if mask in {None, "face", "background"} else _picture(studio, mask),
                "denoise": denoise,
                "identity_id": None if identity is None else studio.identities.get(identity).id,
            }
        )
        renders = studio.generation.generate(request, lambda p: output.progress(p.fraction, p.stage, p.seconds_left))
        paths = [studio.library.path(r) if out is None else studio.library.export(r.id, out) for r in renders]
        body = {"renders": renders, "paths": paths}
        output.result(body, "\n".join(_line(r, p) for r, p in zip(renders, paths, strict=True)))


def _line(render: Render, path: Path) -> str:
    """Return a picture as one line, with its identity badge."""
    measures = render.recipe["measures"]
    alike = measures["likeness"]
    badge = f"  likeness {alike:.2f} (spread {measures['spread']:.2f})" if alike is not None else ""
    seed = render.recipe["request"]["seed"]
    return f"{path}\n  {render.width}x{render.height}, seed {seed}, {render.seconds:.1f} s{badge}"


def _size(text: str | None) -> tuple[int | None, int | None]:
    """Parse WIDTHxHEIGHT, or one number for a square.

    Raises:
        UserInputError: it is neither.
    """
    if text is None:
        return None, None
    found = re.fullmatch(r"(\d{1,5})(?:[xX×](\d{1,5}))?", text.strip())
    if found is None:
        raise UserInputError(f"{text!r} is no size.", "Write it as 512x768, or 512 for a square.")
    return int(found[1]), int(found[2] or found[1])


def _adapters(studio: OwnerServices, texts: Sequence[str]) -> list[dict[str, Any]]:
    """Parse NAME or NAME:STRENGTH options.

    Raises:
        NotFoundError: no such adapter.
        UserInputError: the strength is no number.
    """
    uses = []
    for name, strength in map(strengthened, texts):
        uses.append({"adapter_id": studio.adapters.get(name).id, "strength": strength})
    return uses


def _picture(studio: OwnerServices, text: str | None) -> MediaSource:
    """Return what a word means: a file, else a photo's id.

    Raises:
        NotFoundError: neither.
    """
    from studio.services.sources import MediaSource

    if text is not None and exists(text):
        return MediaSource.file(Path(text))
    try:
        studio.identities.photo_path(text or "")
    except NotFoundError:
        raise NotFoundError(f"There is no file and no photo {text!r}.", "Check the path, or the id.") from None
    return MediaSource.photo(text or "")
