"""What pictures from words are asked to be: one value that round-trips through JSON.

The window, the command line, waiting jobs and recipes all hold the same request.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from studio.domain.adapter import STRENGTH_RANGE
from studio.domain.refusal import refusal
from studio.services.sources import MediaSource

MaskPreset = Literal["face", "background"]


class AdapterUse(BaseModel):
    """An adapter of the library and how strongly it is put on; 0 changes nothing."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    adapter_id: str
    strength: Annotated[float, Field(ge=STRENGTH_RANGE[0], le=STRENGTH_RANGE[1])] = 1.0


class DrawingFields(BaseModel):
    """What pictures and the frames of clips are drawn from alike.

    Attributes:
        base: name of a base model.
        prompt: what to show, up to 4000 letters; none of it is cut off.
        negative: what not to show.
        width, height: pixels, multiples of 8; None is what the base was made for.
        steps: of the sampler; None is what the base's card says.
        guidance: how closely the prompt is followed; 1 follows it without emphasis; None is what the card says.
        seed: of the (first) picture.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    base: str = "preview"
    prompt: Annotated[str, Field(max_length=4000)]
    negative: Annotated[str, Field(max_length=4000)] = ""
    adapters: Annotated[tuple[AdapterUse, ...], Field(max_length=8)] = ()
    width: Annotated[int, Field(ge=32, le=2048)] | None = None
    height: Annotated[int, Field(ge=32, le=2048)] | None = None
    steps: Annotated[int, Field(ge=1, le=150)] | None = None
    guidance: Annotated[float, Field(ge=1.0, le=30.0)] | None = None
    seed: Annotated[int, Field(ge=0, lt=2**62)] = 0


class GenerationRequest(DrawingFields):
    """Everything pictures are made from; round-trips through JSON.

    Attributes:
        count: how many pictures; the i-th has seed + i.
        source: a picture to start from.
        mask: what of it is drawn anew: "face", "background" (everything but the person), or a picture, white is new.
        denoise: how much of the source may change, over 0 to 1.
        identity_id: whose likeness is measured; None is the person of the adapters.
        project_id: where the pictures are kept.
    """

    count: Annotated[int, Field(ge=1, le=64)] = 1
    source: MediaSource | None = None
    mask: MaskPreset | MediaSource | None = None
    denoise: Annotated[float, Field(gt=0.0, le=1.0)] = 0.6
    identity_id: str | None = None
    project_id: str | None = None

    @model_validator(mode="after")
    def _makes_sense(self) -> GenerationRequest:
        if not self.prompt.strip():
            raise ValueError("write what the picture should show")
        if self.mask is not None and self.source is None:
            raise ValueError("a mask needs a picture to start from")
        if len({use.adapter_id for use in self.adapters}) < len(self.adapters):
            raise ValueError("an adapter is named twice; add its strengths up")
        return self


def checked_generation(values: Mapping[str, Any]) -> GenerationRequest:
    """Build a request, from a command line, a window or JSON.

    Raises:
        UserInputError: the first value that cannot be used.
    """
    try:
        return GenerationRequest.model_validate(dict(values))
    except ValidationError as exc:
        raise refusal(exc) from exc
