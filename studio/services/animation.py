"""A portrait speaks: from a request to a clip, here or in the worker."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from studio.engines.base import Amounts, Image
from studio.services.sources import MediaSource

if TYPE_CHECKING:
    from studio.domain.job import Job

__all__ = ["Amounts", "Animation", "AnimationRequest", "AnimationResult", "EMOTIONS", "Progress"]

ClipFormat = Literal["mp4", "webm", "gif", "png"]
EMOTIONS: tuple[str, ...] = ("joy", "sadness", "surprise", "fear", "anger", "disgust", "contempt")
FRAME_RATES_HZ: tuple[int, ...] = (24, 25, 30, 60)


class AnimationRequest(BaseModel):
    """Everything a talking clip is made from; round-trips through JSON.

    Attributes:
        portrait: the photo.
        face_index: which face, 0 = largest; None where the photo has one or knows its own.
        sound: the speech; None when `text` is spoken by the offline voice.
        text, voice: words for the offline voice (optional engine).
        transcript: what the sound says; improves the lips, never required.
        emotions: name -> strength 0..1.
        amounts: how much of each layer of motion.
        expression, neutralise: slider values under the whole clip.
        size: longer side in pixels, 256..2048; default the photo's own, at most 1024.
        start_seconds, seconds: part of the sound; None is to its end.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    portrait: MediaSource
    face_index: int | None = None
    sound: MediaSource | None = None
    text: str | None = None
    voice: str = "en"
    transcript: str | None = None
    language: str = "en"
    emotions: dict[str, float] = Field(default_factory=dict)
    amounts: Amounts = Amounts()
    expression: dict[str, float] = Field(default_factory=dict)
    neutralise: bool = False
    seed: int = 0
    frame_rate_hz: Literal[24, 25, 30, 60] = 25
    size: int | None = Field(default=None, ge=256, le=2048)
    format: ClipFormat = "mp4"
    engine: str = "rig"
    start_seconds: float = Field(default=0.0, ge=0.0)
    seconds: float | None = Field(default=None, gt=0.0)
    project_id: str | None = None

    @model_validator(mode="after")
    def _one_voice(self) -> AnimationRequest:
        if (self.sound is None) == (self.text is None):
            raise ValueError("give a sound or a text to speak, not both")
        return self


@dataclass(frozen=True)
class Progress:
    """One step forward: fraction 0..1, what is being done, seconds left, the newest frame."""

    fraction: float
    stage: str
    seconds_left: float | None = None
    preview: Image | None = field(default=None, repr=False)


@dataclass(frozen=True)
class AnimationResult:
    """A finished clip.

    Attributes:
        path: the clip (a folder for format png).
        curves: Live Link Face CSV, when asked.
        seconds: stage -> seconds it took, with "total".
        phone_path: how the phones were found (see SpeechAnalysis.path).
        hints: one sentence per shortcoming.
    """

    path: Path
    curves: Path | None
    frames: int
    frame_rate_hz: float
    width: int
    height: int
    duration_seconds: float
    seconds: dict[str, float]
    phone_path: str
    hints: tuple[str, ...]
    render_id: str | None = None


class Animation:
    """Makes talking clips."""

    def preview(self, request: AnimationRequest, seconds: float = 3.0) -> AnimationResult:
        """Draw the first seconds at 512 px at once, into the studio's scratch folder (not in the library)."""
        raise NotImplementedError

    def submit(self, request: AnimationRequest) -> Job:
        """Check the request and put it into the queue; the worker makes the clip."""
        raise NotImplementedError

    def animate_file(
        self,
        request: AnimationRequest,
        out: Path,
        *,
        curves: Path | None = None,
        on_progress: Callable[[Progress], None] | None = None,
    ) -> AnimationResult:
        """Make the clip here and now, into `out`, without a project."""
        raise NotImplementedError

    def voices(self) -> tuple[str, ...]:
        """Return the offline voices; empty when no synthesis engine is installed."""
        raise NotImplementedError
