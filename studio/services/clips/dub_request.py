"""What a video with new speech is asked to be: one value that round-trips through JSON."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator

from studio.domain.clip_format import USUAL_CLIP_FORMAT
from studio.domain.refusal import refusal
from studio.services.clips.driven import LONGEST_SECONDS
from studio.services.clips.request import USUAL_VOICE, AnimationRequest, check_opaque, offered_format
from studio.services.portraits.prepared import LARGEST_SIDE, SMALLEST_SIDE
from studio.services.sources import MediaSource


class DubRequest(BaseModel):
    """Everything a video with new speech is made from; round-trips through JSON.

    Attributes:
        clip: the video.
        face_index: whose mouth speaks, 0 = the largest face; None is the largest too, and said.
        sound, text, voice, transcript, language, seed: see `AnimationRequest`; the speech begins with the part.
        start_seconds, seconds: the part of the video; None is as long as speech and video both last.
        size: longer side in pixels, 256..2048; None is the video's own.
        format: a key of CLIP_FORMATS without transparency.
        identity_id: who is shown; None is whoever the library knows to be in it.
        project_id: where the clip is kept.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    clip: MediaSource
    face_index: Annotated[int, Field(ge=0)] | None = None
    sound: MediaSource | None = None
    text: str | None = None
    voice: str = USUAL_VOICE
    transcript: str | None = None
    language: str = "en"
    seed: int = 0
    start_seconds: Annotated[float, Field(ge=0.0)] = 0.0
    seconds: Annotated[float, Field(gt=0.0, le=LONGEST_SECONDS)] | None = None
    size: Annotated[int, Field(ge=SMALLEST_SIDE, le=LARGEST_SIDE)] | None = None
    format: Annotated[str, AfterValidator(offered_format)] = USUAL_CLIP_FORMAT
    identity_id: str | None = None
    project_id: str | None = None

    @model_validator(mode="after")
    def _one_voice(self) -> DubRequest:
        said = bool((self.text or "").strip())
        if (self.sound is None) == (not said):
            raise ValueError("give either a sound or a text to speak" + (", not both" if said else ""))
        return self

    @property
    def speech(self) -> AnimationRequest:
        """What is asked of the speech."""
        return AnimationRequest(
            portrait=self.clip, sound=self.sound, text=self.text, voice=self.voice, transcript=self.transcript,
            language=self.language, seconds=self.seconds,
        )  # fmt: skip


def checked_dub(values: Mapping[str, Any]) -> DubRequest:
    """Build a request, from a command line, a window or JSON.

    Raises:
        UserInputError: the first value that cannot be used.
    """
    try:
        request = DubRequest.model_validate(dict(values))
    except ValidationError as exc:
        raise refusal(exc) from exc
    check_opaque(request.format, "A video keeps its background")
    return request
