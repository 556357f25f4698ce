"""Pictures and clips from words: `generate`, `video`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from studio.cli_output import Output
from studio.commands.clip_output import clip_text, timed
from studio.commands.meaning import adapters_of, assignments, picture_of, size_of, sound_of, words_of
from studio.commands.shared import (
    OPTIONS,
    Amount,
    AsJson,
    DataDir,
    Emotion,
    Face,
    FrameRate,
    Language,
    Say,
    Seconds,
    Speech,
    Transcript,
    Voice,
    opened,
)
from studio.domain.clip_format import CLIP_FORMATS, choice
from studio.domain.likeness import likeness_figure
from studio.errors import NotFoundError

if TYPE_CHECKING:
    from studio.domain.render import Render

Prompt = Annotated[str, typer.Argument(help="What to show; an adapter's trigger word calls its person.")]
Base = Annotated[str, typer.Option(help="Base model; `studio base list` shows them.")]
Worn = Annotated[list[str] | None, typer.Option(help="NAME or NAME:STRENGTH, -2 to 2; repeat.", show_default=False)]
Negative = Annotated[str, typer.Option(help="What not to show.", show_default=False)]
Steps = Annotated[
    int | None, typer.Option(help="Of the sampler, 1 to 150; default the base's own.", show_default=False)
]
Guidance = Annotated[
    float | None,
    typer.Option(help="How closely the prompt is followed, 1 to 30; default the base's own.", show_default=False),
]

_DRAWN_CLIPS = choice([f.suffix for f in CLIP_FORMATS.values() if not f.has_alpha])
"""A drawn clip has a background of its own."""

commands = typer.Typer(**OPTIONS)


@commands.command()
def generate(
    prompt: Prompt,
    base: Base = "preview",
    adapter: Worn = None,
    negative: Negative = "",
    seed: Annotated[int, typer.Option(help="Of the first picture; the next ones count up.")] = 0,
    steps: Steps = None,
    guidance: Guidance = None,
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
        width, height = size_of(size)
        request = checked_generation(
            {
                "base": base,
                "prompt": prompt,
                "negative": negative,
                "adapters": adapters_of(studio, adapter or ()),
                "width": width,
                "height": height,
                "steps": steps,
                "guidance": guidance,
                "seed": seed,
                "count": count,
                "source": None if source is None else picture_of(studio, source),
                "mask": mask if mask in {None, "face", "background"} else picture_of(studio, mask or ""),
                "denoise": denoise,
                "identity_id": None if identity is None else studio.identities.get(identity).id,
            }
        )
        renders = studio.generation.generate(request, lambda p: output.progress(p.fraction, p.stage, p.seconds_left))
        paths = [studio.library.path(r) if out is None else studio.library.export(r.id, out) for r in renders]
        body = {"renders": renders, "paths": paths}
        output.result(body, "\n".join(_line(r, p) for r, p in zip(renders, paths, strict=True)))


@commands.command()
def video(
    prompt: Prompt,
    out: Annotated[Path, typer.Option(help=f"Clip to write: {_DRAWN_CLIPS}.")],
    speech: Speech = None,
    say: Say = None,
    voice: Voice = "en-us",
    transcript: Transcript = None,
    language: Language = "en",
    emotion: Emotion = None,
    amount: Amount = None,
    base: Base = "preview",
    adapter: Worn = None,
    negative: Negative = "",
    picture: Annotated[
        str | None,
        typer.Option(help="Begin with a picture, a file or a photo's id; default: draw it.", show_default=False),
    ] = None,
    face: Face = None,
    change: Annotated[float, typer.Option(help="How much of each frame is drawn anew, over 0 to 0.75.")] = 0.4,
    motion: Annotated[
        str,
        typer.Option(
            help="Let frames see each other: a name of `studio motion list`, or a folder.", show_default=False
        ),
    ] = "",
    anchored: Annotated[
        float, typer.Option(help="With --motion: how strongly the anchor frame is kept, 0 to 1.")
    ] = 1.0,
    control: Annotated[float, typer.Option(help="With --motion: how strongly the 3D face steers, 0 to 1.")] = 1.0,
    own_lips: Annotated[bool, typer.Option(help="Keep the rig's mouth and eyes, which drawing smears.")] = True,
    seed: Annotated[int, typer.Option(help="Of the picture and of the motion.")] = 0,
    steps: Steps = None,
    guidance: Guidance = None,
    drawn: Annotated[
        str | None, typer.Option(help="WIDTHxHEIGHT the base draws in; default its own.", show_default=False)
    ] = None,
    size: Annotated[
        int | None,
        typer.Option(help="Longer side in pixels; default the base's own, at least 256.", show_default=False),
    ] = None,
    fps: FrameRate = 25,
    seconds: Seconds = None,
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Let a person that an adapter was taught speak; the clip is kept in the library too."""
    from studio.domain.clip_format import clip_format_of
    from studio.services.video.video import checked_video

    output = Output(as_json)
    with opened(data_dir) as studio:
        width, height = size_of(drawn)
        request = checked_video(
            {
                "base": base,
                "prompt": prompt,
                "negative": negative,
                "adapters": adapters_of(studio, adapter or ()),
                "width": width,
                "height": height,
                "steps": steps,
                "guidance": guidance,
                "seed": seed,
                "picture": None if picture is None else picture_of(studio, picture),
                "face_index": None if face is None else face - 1,
                "sound": sound_of(speech),
                "text": say,
                "voice": voice,
                "transcript": words_of(transcript),
                "language": language,
                "emotions": assignments(emotion or (), ":", "--emotion"),
                "amounts": assignments(amount or (), "=", "--amount"),
                "seconds": seconds,
                "change": change,
                "motion": motion,
                "anchored": anchored,
                "control": control,
                "own_lips": own_lips,
                "frame_rate_hz": fps,
                "size": size,
                "format": clip_format_of(out).name,
            }
        )
        result = studio.video.video_file(
            request, out, on_progress=lambda p: output.progress(p.fraction, p.stage, p.seconds_left)
        )
        result = timed(result)
        output.result(result, clip_text(result))


def _line(render: Render, path: Path) -> str:
    """Return a picture as one line, with its identity badge."""
    measures = render.recipe["measures"]
    alike = measures["likeness"]
    badge = f"  likeness {likeness_figure(alike)} (spread {likeness_figure(measures['spread'])})"
    badge = badge if alike is not None else ""
    seed = render.recipe["request"]["seed"]
    return f"{path}\n  {render.width}x{render.height}, seed {seed}, {render.seconds:.1f} s{badge}"
