"""What a talking clip is asked to be: one value that round-trips through JSON.

The window, the command line, waiting jobs and recipes all hold the same
request; what no engine could make is refused here, before anything starts.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator

from studio.domain.clip_format import CLIP_FORMATS, USUAL_CLIP_FORMAT, choice, clip_format
from studio.domain.expression import ExpressionEdit
from studio.domain.orbit import Orbit
from studio.domain.refusal import place, refusal
from studio.engines.base import Amounts
from studio.errors import UserInputError
from studio.services.portraits.prepared import LARGEST_SIDE, SMALLEST_SIDE
from studio.services.sources import MediaSource

USUAL_VOICE = "en-us"
EMOTIONS: tuple[str, ...] = ("joy", "sadness", "surprise", "fear", "anger", "disgust", "contempt")
FRAME_RATES_HZ: tuple[int, ...] = (24, 25, 30, 60)
MOVING_ROLES: tuple[str, ...] = ("sound", "motion", "driving", "performance")
"""What moves the portrait or is heard, by the names of the request's fields and of a recipe's inputs."""
_LARGEST_AMOUNT = 2.0
_FRAME_RATES = f"Use {', '.join(map(str, FRAME_RATES_HZ[:-1]))} or {FRAME_RATES_HZ[-1]}."


def check_opaque(format: str, what: str, hint: str = "Choose a format without transparency.") -> None:
    """Refuse a format with transparency.

    Args:
        what: why it cannot be, as the beginning of the sentence.

    Raises:
        UserInputError: it has.
    """
    row = clip_format(format)
    if row.has_alpha:
        raise UserInputError(f"{what} and cannot be {row.title}.", hint)


def offered_format(format: str) -> str:
    """Return the name of a clip format that there is.

    Raises:
        ValueError: there is none of that name.
    """
    if format not in CLIP_FORMATS:
        raise ValueError(f"must be {choice([repr(name) for name in CLIP_FORMATS])}")
    return format


class AnimationRequest(BaseModel):
    """Everything a talking clip is made from; round-trips through JSON.

    Attributes:
        portrait: the photo.
        face_index: which face, 0 = largest; None where the photo has one or knows its own.
        sound: the speech; None when `text` is spoken by the offline voice, or a motion moves the face in silence.
        motion: curves of a face (see CURVE_FORMATS) that move it instead of what the speech says; `sound` is then
            only heard.
        driving: a video of a face that moves it; its own sound is heard unless `sound` is given.
        driving_face: which face of the video, 0 = largest; None is the largest too, and said.
        neutral_seconds: moment of the video in which its face is at rest; None finds the calmest ones.
        performance: a document of layers (see `domain.performance_document`) that moves it; what it says is heard
            unless `sound` is given, and the layers have their own amounts and emotions.
        performance_media: sha256 of what the document is made from, filled in when the request is settled.
        orbit: the face rests, and is seen by a camera that goes a short way around it; `sound` is then only heard.
        text, voice: words for the offline voice (optional engine).
        transcript: what the sound says; improves the lips, never required.
        emotions: name -> strength 0..1.
        amounts: how much of each layer of motion.
        expression, neutralise: slider values under the whole clip.
        shutter_degrees: motion blur, see SHUTTERS_DEGREES; 0 draws each frame sharp.
        size: longer side in pixels, 256..2048; default the photo's own, at most 1024.
        start_seconds, seconds: part of the sound; None is to its end.
        format: a key of CLIP_FORMATS.
        project_id: where the clip is kept; None is the photo's own project.
        photo_id: the photo it came from, for the library only.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    portrait: MediaSource
    face_index: int | None = Field(default=None, ge=0)
    sound: MediaSource | None = None
    motion: MediaSource | None = None
    driving: MediaSource | None = None
    driving_face: int | None = Field(default=None, ge=0)
    neutral_seconds: float | None = Field(default=None, ge=0.0)
    performance: MediaSource | None = None
    performance_media: tuple[str, ...] = ()
    orbit: Orbit | None = None
    text: str | None = None
    voice: str = USUAL_VOICE
    transcript: str | None = None
    language: str = "en"
    emotions: dict[str, float] = Field(default_factory=dict)
    amounts: Amounts = Amounts()
    expression: dict[str, float] = Field(default_factory=dict)
    neutralise: bool = False
    seed: int = 0
    frame_rate_hz: Literal[24, 25, 30, 60] = 25
    shutter_degrees: Literal[0, 90, 180] = 0
    size: int | None = Field(default=None, ge=SMALLEST_SIDE, le=LARGEST_SIDE)
    format: Annotated[str, AfterValidator(offered_format)] = USUAL_CLIP_FORMAT
    engine: str = "rig"
    start_seconds: float = Field(default=0.0, ge=0.0)
    seconds: float | None = Field(default=None, gt=0.0)
    project_id: str | None = None
    photo_id: str | None = None

    @model_validator(mode="after")
    def _one_voice(self) -> AnimationRequest:
        said = bool((self.text or "").strip())
        if said and self.sound is not None:
            raise ValueError("give either a sound or a text to speak, not both")
        if not (self.is_moved or said or self.sound is not None):
            raise ValueError("give a sound, a text to speak, recorded motion or a video of a face, or a performance")
        if sum(moving is not None for moving in (self.motion, self.driving, self.performance, self.orbit)) > 1:
            raise ValueError("either recorded motion, a video, a performance or a way around moves the face, not both")
        moved_by = "a face in a video" if self.driving is not None else "recorded motion"
        moved_by = "a way around" if self.orbit is not None else moved_by
        if self.performance is not None:
            moved_by = "a performance"
            if self.amounts != Amounts():
                raise ValueError("a performance has amounts of its own, in its layers")
        if self.is_moved and said:
            raise ValueError(f"{moved_by} goes with a sound or with silence, not with a text to speak")
        if self.is_moved and self.emotions and self.orbit is None:
            raise ValueError(f"{moved_by} has its own emotion; lay an expression under the clip instead")
        if self.driving is None and (self.driving_face is not None or self.neutral_seconds is not None):
            raise ValueError("a face of the video and a neutral moment go with a video that drives")
        return self

    @property
    def is_moved(self) -> bool:
        """Whether something recorded or written moves the face, and nothing is listened to."""
        return any(moving is not None for moving in (self.motion, self.driving, self.performance, self.orbit))

    @property
    def edit(self) -> ExpressionEdit:
        """The expression under the whole clip.

        Raises:
            UserInputError: an unknown control or a value out of range.
        """
        return ExpressionEdit(self.expression, self.neutralise)


def checked_request(values: Mapping[str, Any]) -> AnimationRequest:
    """Build a request, from a command line or JSON.

    Raises:
        UserInputError: the first value that cannot be used.
    """
    try:
        request = AnimationRequest.model_validate(dict(values))
    except ValidationError as exc:
        first = exc.errors()[0]
        where = place(first["loc"])
        if where == "frame_rate_hz":
            raise UserInputError(f"{first['input']} frames per second are not offered.", _FRAME_RATES) from exc
        if where.startswith("amounts.") and first["type"] == "unexpected_keyword_argument":
            name = where.removeprefix("amounts.")
            layers = ", ".join(field.name for field in fields(Amounts))
            raise UserInputError(f"There is no layer of motion named {name!r}.", f"Layers: {layers}.") from exc
        raise refusal(exc) from exc
    check(request)
    return request


def check(request: AnimationRequest) -> None:
    """Refuse what no engine could make, before anything is started.

    Raises:
        UserInputError: emotions, amounts or slider values that do not exist or are out of range.
    """
    for name, strength in request.emotions.items():
        if name not in EMOTIONS:
            raise UserInputError(f"There is no emotion named {name!r}.", f"Emotions: {', '.join(EMOTIONS)}.")
        if not 0.0 <= strength <= 1.0:
            raise UserInputError(f"The strength of {name} is {strength:g}, but goes from 0 to 1.", "Write joy:0.6 .")
    for name, amount in vars(request.amounts).items():
        if not 0.0 <= amount <= _LARGEST_AMOUNT:
            raise UserInputError(
                f"The amount of {name} is {amount:g}, but goes from 0 to {_LARGEST_AMOUNT:g}.", "1 is natural."
            )
    if request.frame_rate_hz not in FRAME_RATES_HZ:
        raise UserInputError(f"{request.frame_rate_hz} frames per second are not offered.", _FRAME_RATES)
    _ = request.edit
