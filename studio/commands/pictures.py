"""Pictures and clips: `edit`, `animate`, `demo`, and the list of controls."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from studio.cli_output import Output
from studio.commands.shared import OPTIONS, AsJson, DataDir, Face, Photo, Size, opened
from studio.domain.clip_format import CLIP_FORMATS, CURVE_FORMATS, choice, clip_format_of
from studio.domain.expression import ExpressionEdit
from studio.errors import NotFoundError, UserInputError
from studio.outside import exists, text_of

if TYPE_CHECKING:
    from studio.services.clips.animation import AnimationRequest, AnimationResult
    from studio.services.sources import MediaSource
    from studio.studio import OwnerServices

commands = typer.Typer(**OPTIONS)

_CLIPS = choice([f"{f.suffix} ({f.note})" if f.note else f.suffix for f in CLIP_FORMATS.values()])
_CURVES = choice([f.suffix for f in CURVE_FORMATS.values()])


@commands.command()
def edit(
    photo: Photo,
    out: Annotated[Path, typer.Option(help="Picture to write, .png or .jpg.")],
    values: Annotated[
        list[str] | None, typer.Option("--set", help="control=value; repeat. `studio controls` lists them.")
    ] = None,
    preset: Annotated[str | None, typer.Option(help="Start from an expression preset.", show_default=False)] = None,
    neutralise: Annotated[bool, typer.Option("--neutralise", help="Start from a neutral face.")] = False,
    face: Face = None,
    size: Size = None,
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Change the expression of a photo; works on a bare file."""
    with opened(data_dir) as studio:
        wanted = _edit(studio, preset, values or (), neutralise)
        start = time.perf_counter()
        source, index = _source(studio, photo), None if face is None else face - 1
        picture = studio.expressions.edit_file(source, wanted, out, face_index=index, size=size)
        height, width = picture.image.shape[:2]
        body = {
            "path": out.absolute(), "width": width, "height": height, "hints": picture.hints,
            "seconds": (seconds := round(time.perf_counter() - start, 3)), "render_id": picture.render_id,
        }  # fmt: skip
        lines = [f"{out}  {width}x{height}  {seconds} s", *(f"note: {h}" for h in picture.hints)]
        Output(as_json).result(body, "\n".join(lines))


@commands.command()
def controls(data_dir: DataDir = None, as_json: AsJson = False) -> None:
    """List the sliders that --set takes."""
    from studio.domain.expression import CONTROLS

    text = "\n".join(f"{c.name:22} {c.minimum:6g} .. {c.maximum:<5g}{c.unit:2} {c.help}" for c in CONTROLS)
    Output(as_json).result({"controls": CONTROLS}, text)


@commands.command()
def animate(
    photo: Photo,
    out: Annotated[Path, typer.Option(help=f"Clip to write: {_CLIPS}.")],
    speech: Annotated[Path | None, typer.Option(help="A sound, or a video with sound.", show_default=False)] = None,
    say: Annotated[str | None, typer.Option(help="Words for the offline voice.", show_default=False)] = None,
    voice: Annotated[str, typer.Option(help="Offline voice.")] = "en-us",
    transcript: Annotated[
        str | None, typer.Option(help="What the sound says: a text file, or the words.", show_default=False)
    ] = None,
    language: Annotated[str, typer.Option(help="Language of the speech.")] = "en",
    emotion: Annotated[list[str] | None, typer.Option(help="joy:0.6; repeat.")] = None,
    amount: Annotated[list[str] | None, typer.Option(help="Layer of motion, head=0.5; repeat.")] = None,
    still: Annotated[bool, typer.Option("--still", help="No head motion (blinks stay).")] = False,
    values: Annotated[list[str] | None, typer.Option("--set", help="Expression under the whole clip.")] = None,
    preset: Annotated[str | None, typer.Option(help="Expression preset under the whole clip.")] = None,
    neutralise: Annotated[bool, typer.Option("--neutralise", help="Start from a neutral face.")] = False,
    seed: Annotated[int, typer.Option(help="Same seed, same clip.")] = 0,
    fps: Annotated[int, typer.Option(help="24, 25, 30 or 60.")] = 25,
    size: Size = None,
    seconds: Annotated[float | None, typer.Option(help="Only the first seconds.", show_default=False)] = None,
    face: Face = None,
    engine: Annotated[str, typer.Option(help="Portrait engine.")] = "rig",
    curves: Annotated[Path | None, typer.Option(help=f"Curves beside it, {_CURVES}.", show_default=False)] = None,
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Make a photo speak; works on a bare file."""
    output = Output(as_json)
    with opened(data_dir) as studio:
        wanted = _edit(studio, preset, values or (), neutralise)
        amounts = _assignments(amount or (), "=", "--amount") | ({"head": 0.0} if still else {})
        request = _request(
            portrait=_source(studio, photo),
            face_index=None if face is None else face - 1,
            sound=_sound(speech),
            text=say,
            voice=voice,
            transcript=_words(transcript),
            language=language,
            emotions=_assignments(emotion or (), ":", "--emotion"),
            amounts=amounts,
            expression=dict(wanted.values),
            neutralise=wanted.neutralise,
            seed=seed,
            frame_rate_hz=fps,
            size=size,
            seconds=seconds,
            engine=engine,
            format=clip_format_of(out).name,
        )
        result = studio.animation.animate_file(
            request, out, curves=curves, on_progress=lambda p: output.progress(p.fraction, p.stage, p.seconds_left)
        )
        result = _timed(result)
        output.result(result, _clip_text(result))


@commands.command()
def demo(
    out: Annotated[Path, typer.Option(help="Clip to write.")] = Path("out/demo.mp4"),
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Do the main job once: the sample portrait speaks, into one mp4."""
    from studio.services.sample import sample_portrait, sample_speech
    from studio.studio import ASSETS

    speech, transcript = sample_speech(ASSETS)
    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder, opened(data_dir or Path(folder)) as studio:
        output = Output(as_json)
        request = _request(
            portrait=_source(studio, str(sample_portrait())), sound=_sound(speech), transcript=transcript, size=512
        )
        result = studio.animation.animate_file(
            request, out, on_progress=lambda p: output.progress(p.fraction, p.stage, p.seconds_left)
        )
        result = _timed(result)
        output.result(result, _clip_text(result))


def _request(**values: Any) -> AnimationRequest:
    """Build the request; a value it refuses is the person's to mend."""
    from studio.services.clips.animation import checked_request

    return checked_request(values)


def _sound(path: Path | None) -> MediaSource | None:
    from studio.services.sources import MediaSource

    return None if path is None else MediaSource.file(path)


def _words(text: str | None) -> str | None:
    """Return the transcript: of a file where TEXT names one, else TEXT itself."""
    if text is None:
        return None
    path = Path(text)
    if path.suffix.lower() in {".txt", ".srt", ".vtt", ".ass"} or (exists(path) and not path.is_dir()):
        try:
            return text_of(path)
        except NotFoundError:
            raise NotFoundError(f"There is no transcript {text!r}.", "Check the path.") from None
    return text


_STAGES = {
    "start": "to start up",
    "portrait": "for the portrait, while the speech is heard",
    "speech": "for what was left of the speech",
    "motion": "for the motion",
    "frames": "for the frames",
}


def _timed(result: AnimationResult) -> AnimationResult:
    """Return the result with the seconds from the start of this process to the first stage, and all in all."""
    from psutil import Process

    lived = time.time() - Process().create_time()
    start = round(max(lived - result.seconds["total"], 0.0), 3)
    return replace(result, seconds={"start": start, **result.seconds, "total": round(lived, 3)})


def _clip_text(result: AnimationResult) -> str:
    """Return the lines printed for a finished clip."""
    spent = [f"{result.seconds[stage]:.1f} {what}" for stage, what in _STAGES.items()]
    lines = [
        f"{result.path}",
        f"  {result.width}x{result.height}, {result.frames} frames at {result.frame_rate_hz:g} per second, "
        f"{result.duration_seconds:.1f} s; phones by {result.phone_path}",
        f"  {result.seconds['total']:.1f} s: {', '.join(spent)}",
    ]
    lines += [f"  curves: {result.curves}"] if result.curves else []
    return "\n".join([*lines, *(f"  note: {h}" for h in result.hints)])


def _assignments(texts: Sequence[str], separator: str, option: str) -> dict[str, float]:
    """Parse `name=number` (or `name:number`) options.

    Raises:
        UserInputError: a part is missing or is no number.
    """
    out = {}
    for text in texts:
        name, found, value = text.partition(separator)
        try:
            out[name.strip()] = float(value)
        except ValueError:
            raise UserInputError(
                f"{option} {text!r} is not a name and a number.", f"Write {option} name{separator}0.5 ."
            ) from None
        if not found or not name.strip():
            raise UserInputError(f"{option} {text!r} has no name.", f"Write {option} name{separator}0.5 .")
    return out


def _source(studio: OwnerServices, photo: str) -> MediaSource:
    """Return what PHOTO means: a file, else a photo's id.

    Raises:
        NotFoundError: neither.
    """
    from studio.services.sources import MediaSource

    if exists(photo):
        return MediaSource.file(Path(photo))
    try:
        studio.identities.photo_path(photo)
    except NotFoundError:
        raise NotFoundError(f"There is no file and no photo {photo!r}.", "Check the path, or the id.") from None
    return MediaSource.photo(photo)


def _edit(studio: OwnerServices, preset: str | None, values: Sequence[str], neutralise: bool) -> ExpressionEdit:
    """Return the edit of --preset with --set values over it."""
    base = studio.presets.get(preset).edit if preset else ExpressionEdit()
    return ExpressionEdit({**base.values, **_assignments(values, "=", "--set")}, neutralise or base.neutralise)
