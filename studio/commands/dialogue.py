"""Several people in one clip: `dialogue`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from studio.cli_output import Output
from studio.commands.clip_output import clip_text, timed
from studio.commands.meaning import picture_of, sound_of, words_of
from studio.commands.shared import OPTIONS, AsJson, ClipFile, DataDir, FrameRate, Language, Seconds, Shutter, opened
from studio.domain.clip_format import choice, clip_format_of
from studio.domain.speech_format import SPEECH_FORMATS

commands = typer.Typer(**OPTIONS)
_TIMING = choice([f.suffix for f in SPEECH_FORMATS.values()])


@commands.command()
def dialogue(
    photos: Annotated[
        list[str],
        typer.Argument(metavar="PHOTO...", help="Photos, or ids of photos, from left to right; or one of everybody."),
    ],
    out: ClipFile,
    speech: Annotated[
        list[Path] | None, typer.Option(help="A sound of each, in order; or one with --turns.", show_default=False)
    ] = None,
    turns: Annotated[
        str | None,
        typer.Option(help="Who speaks when: lines “Anna 0:00 0:03.2”, .srt, .vtt or .csv.", show_default=False),
    ] = None,
    name: Annotated[list[str] | None, typer.Option(help="What each is called, in order.", show_default=False)] = None,
    transcript: Annotated[
        list[str] | None, typer.Option(help="What each sound says, in order: a file, or words.", show_default=False)
    ] = None,
    pause: Annotated[
        float | None,
        typer.Option(help="One sound after the other, so many seconds apart; else all at once.", show_default=False),
    ] = None,
    face: Annotated[
        list[int] | None,
        typer.Option(min=1, help="Which face of its picture each is; 1 is the largest.", show_default=False),
    ] = None,
    language: Language = "en",
    seed: Annotated[int, typer.Option(help="Same seed, same conversation.")] = 0,
    fps: FrameRate = 25,
    shutter: Shutter = 0,
    size: Annotated[
        int | None, typer.Option(help="Longer side of the frame, pixels; default 1280.", show_default=False)
    ] = None,
    seconds: Seconds = None,
    timing: Annotated[
        Path | None, typer.Option(help=f"Subtitles or mouth cues beside it, {_TIMING}.", show_default=False)
    ] = None,
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Let two to four people talk with each other; who does not speak listens."""
    from studio.services.clips.dialogue import arranged

    output = Output(as_json)
    with opened(data_dir) as studio:
        request = arranged(
            [picture_of(studio, photo) for photo in photos],
            [source for path in speech or () if (source := sound_of(path)) is not None],
            words_of(turns),
            names=name or (),
            faces=[one - 1 for one in face or ()],
            transcripts=[words_of(text) for text in transcript or ()],
            pause_seconds=pause,
            language=language,
            seed=seed,
            frame_rate_hz=fps,
            shutter_degrees=shutter,
            size=size,
            seconds=seconds,
            format=clip_format_of(out).name,
        )
        result = studio.dialogue.dialogue_file(
            request, out, timing=timing, on_progress=lambda p: output.progress(p.fraction, p.stage, p.seconds_left)
        )
        result = timed(result)
        output.result(result, clip_text(result))
