"""Several people in one clip: `dialogue`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from studio.cli_output import Output
from studio.commands.clip_output import clip_text, timed
from studio.commands.meaning import picture_of, sound_of, words_of
from studio.commands.shared import OPTIONS, AsJson, ClipFile, DataDir, FrameRate, Language, Seconds, Shutter, opened
from studio.domain.clip_format import choice, clip_format_of
from studio.domain.side_by_side import MOST_PEOPLE
from studio.domain.speech_format import SPEECH_FORMATS
from studio.domain.turns import read_turns
from studio.errors import UserInputError

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
    from studio.services.clips.dialogue import checked_dialogue, names_of

    output = Output(as_json)
    sounds, faces, words = speech or [], face or [], transcript or []
    people = len(photos) if len(photos) > 1 else max(2, len(sounds), len(name or []), len(faces))
    if people > MOST_PEOPLE:
        raise UserInputError(f"{people} people are too many; {MOST_PEOPLE} are the most.", "Make several clips.")
    own = sounds if turns is None else []
    for given, what in ((own, "sounds"), (faces, "faces"), (name or [], "names"), (words, "transcripts")):
        if len(given) > people:
            raise UserInputError(f"There are {len(given)} {what}, but {people} people.", "Give one for each.")
    if turns is not None and len(sounds) != 1:
        raise UserInputError("Turns go with exactly one sound.", "Give --speech once, or leave --turns out.")
    if turns is None and len(sounds) == 1 and len(photos) > 1:
        raise UserInputError(
            "There is one sound, but it is not said who speaks when.", "Give --turns, or a --speech for each."
        )
    names = names_of([*(name or []), *[""] * people][:people])
    with opened(data_dir) as studio:
        talkers: list[dict[str, Any]] = [
            {
                "portrait": picture_of(studio, photos[i]) if len(photos) > 1 else None,
                "face_index": faces[i] - 1 if i < len(faces) else None,
                "name": name[i] if name and i < len(name) else "",
                "sound": sound_of(own[i]) if i < len(own) else None,
                "transcript": words_of(words[i]) if i < len(words) else None,
            }
            for i in range(people)
        ]
        request = checked_dialogue(
            {
                "people": talkers,
                "picture": picture_of(studio, photos[0]) if len(photos) == 1 else None,
                "sound": None if turns is None else sound_of(sounds[0]),
                "turns": () if turns is None else read_turns(words_of(turns) or "", names),
                "pause_seconds": pause,
                "language": language,
                "seed": seed,
                "frame_rate_hz": fps,
                "shutter_degrees": shutter,
                "size": size,
                "seconds": seconds,
                "format": clip_format_of(out).name,
            }
        )
        result = studio.dialogue.dialogue_file(
            request, out, timing=timing, on_progress=lambda p: output.progress(p.fraction, p.stage, p.seconds_left)
        )
        result = timed(result)
        output.result(result, clip_text(result))
