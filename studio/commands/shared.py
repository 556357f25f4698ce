"""Options that many commands take, and what all of them do first."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from studio import log, settings
from studio.domain.clip_format import CLIP_FORMATS, choice

if TYPE_CHECKING:
    from studio.studio import OwnerServices, Studio

DataDir = Annotated[Path | None, typer.Option("--data-dir", help="The studio's data folder.", show_default=False)]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object on stdout.")]
Face = Annotated[int | None, typer.Option("--face", min=1, help="Which face; 1 is the largest.", show_default=False)]
Size = Annotated[
    int | None, typer.Option(help="Longer side in pixels; default the photo's own, at most 1024.", show_default=False)
]
Photo = Annotated[str, typer.Argument(help="A picture file, or the id of a photo in the studio.")]

Speech = Annotated[Path | None, typer.Option(help="A sound, or a video with sound.", show_default=False)]
Say = Annotated[str | None, typer.Option(help="Words for the offline voice.", show_default=False)]
Voice = Annotated[str, typer.Option(help="Offline voice.")]
Transcript = Annotated[
    str | None, typer.Option(help="What the sound says: a text file, or the words.", show_default=False)
]
Language = Annotated[str, typer.Option(help="Language of the speech.")]
Emotion = Annotated[list[str] | None, typer.Option(help="joy:0.6; repeat.")]
Amount = Annotated[list[str] | None, typer.Option(help="Layer of motion, head=0.5; repeat.")]
FrameRate = Annotated[int, typer.Option(help="24, 25, 30 or 60.")]
Shutter = Annotated[
    int, typer.Option(help="Motion blur: 90 or 180 degrees of an open shutter, 0 is sharp.", metavar="DEGREES")
]
Seconds = Annotated[float | None, typer.Option(help="Only the first seconds.", show_default=False)]

CLIPS = choice([f"{f.suffix} ({f.note})" if f.note else f.suffix for f in CLIP_FORMATS.values()])
ClipFile = Annotated[Path, typer.Option(help=f"Clip to write: {CLIPS}.")]

OPTIONS: dict[str, Any] = {"no_args_is_help": True, "rich_markup_mode": None, "pretty_exceptions_enable": False}
"""How every group of commands behaves."""


@contextmanager
def opened_studio(data_dir: Path | None) -> Iterator[Studio]:
    """Open the studio for one command that is nobody's own."""
    from studio.studio import Studio

    chosen = settings.load({"data_dir": data_dir})
    log.configure(chosen.log_level.upper() if chosen.log_level != "info" else "WARNING")
    with Studio.open(chosen) as studio:
        studio.start(worker=False, sample=False)  # a run whose process was killed can then go on at once
        yield studio


@contextmanager
def opened(data_dir: Path | None) -> Iterator[OwnerServices]:
    """Open the studio for one command of whoever sits at this computer."""
    with opened_studio(data_dir) as studio:
        yield studio.for_owner()
