"""What a clip of a taught person is asked to be: one value that round-trips through JSON.

It holds two requests that exist already, the picture that the clip begins with
and what is said, so that neither the window nor the command line has two words
for one thing; and what only a drawn clip has.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import Field, ValidationError, model_validator

from studio.domain.refusal import refusal
from studio.engines.base import Amounts
from studio.services.clips.request import AnimationRequest, check, check_opaque
from studio.services.pictures.request import DrawingFields, GenerationRequest
from studio.services.portraits.prepared import LARGEST_SIDE, SMALLEST_SIDE
from studio.services.sources import MediaSource

USUAL_CHANGE = 0.4
LARGEST_CHANGE = 0.75
"""Beyond it little of the performance is left: frames are drawn too freely to hold together."""


class VideoRequest(DrawingFields):
    """Everything a clip of a taught person is made from; round-trips through JSON.

    Attributes:
        seed: of the anchor picture, of every frame and of the motion.
        picture: the anchor picture, a photo of the person or a picture of the library; None draws it from the prompt.
        face_index: which face of `picture`, 0 = largest.
        sound, text, voice, transcript, language, emotions, amounts, start_seconds, seconds: see `AnimationRequest`.
        change: how much of the rig's frames may be drawn anew, over 0 to 0.75.
        motion: name of a motion, or a folder: frames see each other, around the anchor; "" draws each by itself.
        anchored: how strongly the anchor frame is kept, 0..1; with motion.
        control: how strongly the 3D face steers, 0..1; with motion that has a control.
        own_lips: lay the rig's mouth and eyes back over what was drawn, where drawing smears them.
        frame_rate_hz: 25 and more: below it closed lips fall between frames.
        size: longer side of the clip in pixels; None is what suits the base.
        format: a key of CLIP_FORMATS without transparency.
        identity_id: who is shown, where no adapter says so.
        project_id: where the clip is kept.
    """

    seed: Annotated[int, Field(ge=0, lt=2**31)] = 0
    picture: MediaSource | None = None
    face_index: Annotated[int, Field(ge=0)] | None = None
    sound: MediaSource | None = None
    text: str | None = None
    voice: str = AnimationRequest.model_fields["voice"].default
    transcript: str | None = None
    language: str = "en"
    emotions: dict[str, float] = Field(default_factory=dict)
    amounts: Amounts = Amounts()
    start_seconds: Annotated[float, Field(ge=0.0)] = 0.0
    seconds: Annotated[float, Field(gt=0.0)] | None = None
    change: Annotated[float, Field(gt=0.0, le=LARGEST_CHANGE)] = USUAL_CHANGE
    motion: Annotated[str, Field(max_length=1000)] = ""
    anchored: Annotated[float, Field(ge=0.0, le=1.0)] = 1.0
    control: Annotated[float, Field(ge=0.0, le=1.0)] = 1.0
    own_lips: bool = True
    frame_rate_hz: Literal[24, 25, 30, 60] = 25
    size: Annotated[int, Field(ge=SMALLEST_SIDE, le=LARGEST_SIDE)] | None = None
    format: str = AnimationRequest.model_fields["format"].default
    identity_id: str | None = None
    project_id: str | None = None

    @model_validator(mode="after")
    def _whole(self) -> VideoRequest:
        said = bool((self.text or "").strip())
        if (self.sound is None) == (not said):
            raise ValueError("give either a sound or a text to speak" + (", not both" if said else ""))
        return self

    @property
    def of_picture(self) -> GenerationRequest:
        """What is asked of the anchor picture.

        Raises:
            ValidationError: what it says cannot be a picture.
        """
        values = {name: getattr(self, name) for name in DrawingFields.model_fields}
        return GenerationRequest(**values, identity_id=self.identity_id, project_id=self.project_id)

    def of_clip(self, portrait: MediaSource, size: int, face_index: int | None) -> AnimationRequest:
        """Return what is asked of the rig, once the anchor picture is there."""
        return AnimationRequest(
            portrait=portrait, face_index=face_index, sound=self.sound, text=self.text, voice=self.voice,
            transcript=self.transcript, language=self.language, emotions=self.emotions, amounts=self.amounts,
            seed=self.seed, frame_rate_hz=self.frame_rate_hz, size=size, format=self.format,
            start_seconds=self.start_seconds, seconds=self.seconds, project_id=self.project_id,
        )  # fmt: skip


def checked_video(values: Mapping[str, Any]) -> VideoRequest:
    """Build a request, from a command line, a window or JSON.

    Raises:
        UserInputError: the first value that cannot be used.
    """
    try:
        request = VideoRequest.model_validate(dict(values))
        _ = request.of_picture
        check(request.of_clip(MediaSource.media("0" * 64), request.size or SMALLEST_SIDE, None))
    except ValidationError as exc:
        raise refusal(exc) from exc
    check_opaque(
        request.format,
        "A drawn clip has a background of its own",
        "Choose a format without transparency, or make the clip under Animate.",
    )
    return request
