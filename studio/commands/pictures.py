"""Pictures and clips: `edit`, `animate`, `demo`, and the list of controls."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from studio.cli_output import Output
from studio.commands.clip_output import clip_text, timed
from studio.commands.meaning import assignments, clip_of, picture_of, sound_of, unit_lines, words_of
from studio.commands.shared import (
    OPTIONS,
    Amount,
    AsJson,
    ClipFile,
    DataDir,
    Emotion,
    Face,
    FrameRate,
    Language,
    Photo,
    Say,
    Seconds,
    Shutter,
    Size,
    Speech,
    Transcript,
    Voice,
    opened,
)
from studio.domain.action_units import with_units
from studio.domain.clip_format import CURVE_FORMATS, choice, clip_format_of
from studio.domain.expression import ExpressionEdit
from studio.domain.model_format import MODEL_FORMATS
from studio.domain.speech_format import SPEECH_FORMATS
from studio.domain.template import Copying
from studio.errors import UserInputError

if TYPE_CHECKING:
    from studio.services.clips.animation import AnimationRequest
    from studio.services.sources import MediaSource
    from studio.studio import OwnerServices

commands = typer.Typer(**OPTIONS)

Values = Annotated[list[str] | None, typer.Option("--set", help="control=value; repeat. `studio controls` lists them.")]
StartPreset = Annotated[str | None, typer.Option(help="Start from an expression preset.", show_default=False)]
Like = Annotated[
    str | None,
    typer.Option(help="Take over the expression of another picture, or of a photo by its id.", show_default=False),
]
Neutralise = Annotated[bool, typer.Option("--neutralise", help="Start from a neutral face.")]
_CURVES = choice([f.suffix for f in CURVE_FORMATS.values()])
_TIMING = choice([f.suffix for f in SPEECH_FORMATS.values()])
_HEADS = choice([f.suffix for f in MODEL_FORMATS.values()])


@commands.command()
def edit(
    photo: Photo,
    out: Annotated[Path, typer.Option(help="Picture to write, .png or .jpg.")],
    values: Values = None,
    units: Annotated[
        list[str] | None, typer.Option("--au", help="Action unit and intensity, AU12=3.5 of 5; AU12L one side; repeat.")
    ] = None,
    preset: StartPreset = None,
    neutralise: Neutralise = False,
    like: Like = None,
    like_face: Annotated[
        int | None, typer.Option(min=1, help="Which face of --like; 1 is the largest.", show_default=False)
    ] = None,
    like_neutral: Annotated[
        str | None, typer.Option(help="Picture of the person in --like at rest.", show_default=False)
    ] = None,
    like_amount: Annotated[float, typer.Option(help="How much of it, 0 to 1.5.")] = 1.0,
    like_exactly: Annotated[
        bool, typer.Option("--like-exactly", help="Take back first what the photo shows itself.")
    ] = False,
    like_head: Annotated[bool, typer.Option("--like-head", help="Turn the head as well.")] = False,
    like_gaze: Annotated[bool, typer.Option("--like-gaze", help="Look where it looks as well.")] = False,
    face: Face = None,
    size: Size = None,
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Change the expression of a photo; works on a bare file."""
    with opened(data_dir) as studio:
        wanted = with_units(_edit(studio, preset, values or (), neutralise), assignments(units or (), "=", "--au"))
        start = time.perf_counter()
        source, index = picture_of(studio, photo), None if face is None else face - 1
        notes: tuple[str, ...] = ()
        if like is None:
            picture = studio.expressions.edit_file(source, wanted, out, face_index=index, size=size)
        else:
            if preset or neutralise:
                other = "--preset" if preset else "--neutralise"
                raise UserInputError(
                    f"--like says where the expression starts, and so does {other}.",
                    "Give one of them; --like-exactly starts from a neutral face.",
                )
            how = Copying(like_amount, like_exactly, like_head, like_gaze)
            at_rest = None if like_neutral is None else picture_of(studio, like_neutral)
            template = studio.templates.read(
                picture_of(studio, like), face_index=None if like_face is None else like_face - 1, neutral=at_rest
            )
            handle = studio.expressions.open(source, face_index=index, size=size)
            copy = studio.templates.copy(handle, template, how)
            notes = (*template.notes, *copy.notes)
            wanted = ExpressionEdit({**copy.edit.values, **wanted.values}, copy.edit.neutralise)
            origin = studio.templates.copied_from(template, how)
            picture = studio.expressions.edit_opened(handle, wanted, out, copied=origin)
        hints = (*notes, *picture.hints)
        height, width = picture.image.shape[:2]
        body = {
            "path": out.absolute(), "width": width, "height": height, "hints": hints,
            "seconds": (seconds := round(time.perf_counter() - start, 3)), "render_id": picture.render_id,
            "values": wanted.values, "neutralise": wanted.neutralise,
        }  # fmt: skip
        lines = [f"{out}  {width}x{height}  {seconds} s", *(f"note: {h}" for h in hints)]
        Output(as_json).result(body, "\n".join(lines))


@commands.command()
def head(
    photo: Photo,
    out: Annotated[Path, typer.Option(help=f"File to write, {_HEADS}.")],
    motion: Annotated[
        Path | None, typer.Option(help=f"Curves that move it, {_CURVES}; in .glb.", show_default=False)
    ] = None,
    values: Values = None,
    preset: StartPreset = None,
    neutralise: Neutralise = False,
    face: Face = None,
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Write the head of a photo as a 3D model with its expressions."""
    with opened(data_dir) as studio:
        changed = values or preset or neutralise
        wanted = _edit(studio, preset, values or (), neutralise) if changed else None
        source, index = picture_of(studio, photo), None if face is None else face - 1
        path = studio.head_models.write(source, out, face_index=index, edit=wanted, motion=motion)
        size = path.stat().st_size
        Output(as_json).result({"path": path.absolute(), "bytes": size}, f"{path}  {size / 1e6:.1f} MB")


@commands.command("units")
def action_units(
    face_file: Annotated[
        str, typer.Argument(metavar="FACE", help="A picture or a clip of a face, or the id of a photo in the studio.")
    ],
    neutral: Annotated[
        str | None,
        typer.Option(help="The same person at rest: a picture, or for a clip the second.", show_default=False),
    ] = None,
    out: Annotated[Path | None, typer.Option(help=f"Curves of a clip to write, {_CURVES}.", show_default=False)] = None,
    seconds: Seconds = None,
    face: Face = None,
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Say which FACS action units a face shows, from 0 to 5; over time for a clip."""
    output = Output(as_json)
    with opened(data_dir) as studio:
        source = picture_of(studio, face_file)
        at_rest = None if neutral is None else _rest_of(studio, neutral)
        scores = studio.action_units.read(
            source,
            face_index=None if face is None else face - 1,
            neutral=at_rest,
            seconds=seconds,
            on_progress=lambda p: output.progress(p.fraction, p.stage, p.seconds_left),
        )
        if out is not None:
            studio.action_units.write(scores, out, source)
        body = scores.told() | ({} if scores.motion is None else {"curves": None if out is None else out.absolute()})
        done = [] if out is None else [f"{out}  {len(scores.tracks)} frames"]
        output.result(body, "\n".join([*unit_lines(body), *done, *(f"note: {n}" for n in scores.notes)]))


def _rest_of(studio: OwnerServices, neutral: str) -> MediaSource | float:
    """Return what --neutral means: seconds, else a picture."""
    try:
        return float(neutral)
    except ValueError:
        return picture_of(studio, neutral)


@commands.command()
def controls(data_dir: DataDir = None, as_json: AsJson = False) -> None:
    """List the sliders that --set takes."""
    from studio.domain.expression import CONTROLS

    text = "\n".join(f"{c.name:22} {c.minimum:6g} .. {c.maximum:<5g}{c.unit:2} {c.help}" for c in CONTROLS)
    Output(as_json).result({"controls": CONTROLS}, text)


@commands.command()
def animate(
    photo: Photo,
    out: ClipFile,
    speech: Speech = None,
    say: Say = None,
    voice: Voice = "en-us",
    transcript: Transcript = None,
    language: Language = "en",
    emotion: Emotion = None,
    amount: Amount = None,
    still: Annotated[bool, typer.Option("--still", help="No head motion (blinks stay).")] = False,
    values: Annotated[list[str] | None, typer.Option("--set", help="Expression under the whole clip.")] = None,
    preset: Annotated[str | None, typer.Option(help="Expression preset under the whole clip.")] = None,
    neutralise: Annotated[bool, typer.Option("--neutralise", help="Start from a neutral face.")] = False,
    seed: Annotated[int, typer.Option(help="Same seed, same clip.")] = 0,
    fps: FrameRate = 25,
    shutter: Shutter = 0,
    size: Size = None,
    seconds: Seconds = None,
    face: Face = None,
    engine: Annotated[str, typer.Option(help="Portrait engine.")] = "rig",
    motion: Annotated[
        Path | None,
        typer.Option(help=f"Recorded motion of a face, {_CURVES}, in place of speech.", show_default=False),
    ] = None,
    drive: Annotated[
        Path | None,
        typer.Option(help="Video of a face that moves the photo, in place of speech.", show_default=False),
    ] = None,
    drive_face: Annotated[
        int | None, typer.Option(min=1, help="Which face of the video; 1 is the largest.", show_default=False)
    ] = None,
    neutral: Annotated[
        float | None, typer.Option(help="Second of the video in which its face is at rest.", show_default=False)
    ] = None,
    orbit: Annotated[
        float | None,
        typer.Option(help="No speech: seen from so many degrees to each side, up to 15.", show_default=False),
    ] = None,
    orbit_pitch: Annotated[float, typer.Option(help="With --orbit: degrees up and down, up to 6.")] = 3.0,
    orbit_seconds: Annotated[float, typer.Option(help="With --orbit: seconds for one way around.")] = 6.0,
    orbit_gaze: Annotated[str, typer.Option(help="With --orbit: eyes stay on the camera, or in the world.")] = "camera",
    curves: Annotated[Path | None, typer.Option(help=f"Curves beside it, {_CURVES}.", show_default=False)] = None,
    timing: Annotated[
        Path | None, typer.Option(help=f"Subtitles or mouth cues beside it, {_TIMING}.", show_default=False)
    ] = None,
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Make a photo speak, or move as a face does in a video or was recorded; works on a bare file."""
    output = Output(as_json)
    with opened(data_dir) as studio:
        wanted = _edit(studio, preset, values or (), neutralise)
        amounts = assignments(amount or (), "=", "--amount") | ({"head": 0.0} if still else {})
        request = _request(
            portrait=picture_of(studio, photo),
            face_index=None if face is None else face - 1,
            sound=sound_of(speech),
            motion=sound_of(motion),
            driving=sound_of(drive),
            driving_face=None if drive_face is None else drive_face - 1,
            neutral_seconds=neutral,
            orbit=None
            if orbit is None
            else {
                "yaw_degrees": orbit,
                "pitch_degrees": orbit_pitch,
                "seconds": orbit_seconds,
                "gaze": orbit_gaze,
            },
            text=say,
            voice=voice,
            transcript=words_of(transcript),
            language=language,
            emotions=assignments(emotion or (), ":", "--emotion"),
            amounts=amounts,
            expression=dict(wanted.values),
            neutralise=wanted.neutralise,
            seed=seed,
            frame_rate_hz=fps,
            shutter_degrees=shutter,
            size=size,
            seconds=seconds,
            engine=engine,
            format=clip_format_of(out).name,
        )
        result = studio.animation.animate_file(
            request,
            out,
            curves=curves,
            timing=timing,
            on_progress=lambda p: output.progress(p.fraction, p.stage, p.seconds_left),
        )
        result = timed(result)
        output.result(result, clip_text(result))


@commands.command()
def dub(
    clip: Annotated[str, typer.Argument(help="A video of a face, or the id of a clip in the library.")],
    out: ClipFile,
    speech: Speech = None,
    say: Say = None,
    voice: Voice = "en-us",
    transcript: Transcript = None,
    language: Language = "en",
    seed: Annotated[int, typer.Option(help="Same seed, same clip.")] = 0,
    start: Annotated[float, typer.Option(min=0, help="Second of the video with which it begins.")] = 0.0,
    seconds: Seconds = None,
    size: Size = None,
    face: Face = None,
    person: Annotated[
        str | None, typer.Option(help="Who is in it: id or name. Their agreement is asked.", show_default=False)
    ] = None,
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Let somebody in a video say something else; all but the mouth stays as it was filmed."""
    from studio.services.clips.dubbing import checked_dub

    output = Output(as_json)
    with opened(data_dir) as studio:
        request = checked_dub(
            {
                "clip": clip_of(studio, clip),
                "face_index": None if face is None else face - 1,
                "sound": sound_of(speech),
                "text": say,
                "voice": voice,
                "transcript": words_of(transcript),
                "language": language,
                "seed": seed,
                "start_seconds": start,
                "seconds": seconds,
                "size": size,
                "format": clip_format_of(out).name,
                "identity_id": None if person is None else studio.identities.get(person).id,
            }
        )
        result = studio.dubbing.dub_file(
            request, out, on_progress=lambda p: output.progress(p.fraction, p.stage, p.seconds_left)
        )
        result = timed(result)
        output.result(result, clip_text(result))


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
            portrait=picture_of(studio, str(sample_portrait())), sound=sound_of(speech), transcript=transcript, size=512
        )
        result = studio.animation.animate_file(
            request, out, on_progress=lambda p: output.progress(p.fraction, p.stage, p.seconds_left)
        )
        result = timed(result)
        output.result(result, clip_text(result))


def _request(**values: Any) -> AnimationRequest:
    """Build the request; a value it refuses is the person's to mend."""
    from studio.services.clips.animation import checked_request

    return checked_request(values)


def _edit(studio: OwnerServices, preset: str | None, values: Sequence[str], neutralise: bool) -> ExpressionEdit:
    """Return the edit of --preset with --set values over it."""
    base = studio.presets.get(preset).edit if preset else ExpressionEdit()
    return ExpressionEdit({**base.values, **assignments(values, "=", "--set")}, neutralise or base.neutralise)
