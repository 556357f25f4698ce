"""The anchor of a generated clip: the frame that keeps the face which the picture model draws.

A motion module spoils what a personal adapter can draw. One frame of the clip,
the anchor, is left alone by it and read by all others, which are thereby pulled
towards a face that is not spoiled (FAAC, arXiv 2312.03775). How, is in
engines/diffusion/video/anchoring.py.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from studio.errors import UserInputError

Block = Literal["down", "mid", "up"]
BLOCKS: tuple[Block, ...] = ("down", "mid", "up")
Share = Annotated[float, Field(ge=0.0, le=1.0)]


class Anchor(BaseModel):
    """How the anchor of a clip is kept.

    Attributes:
        index: of the anchor among the frames; None is the middle, F // 2 - 1.
        strength: share of what the motion modules would add to the anchor that is taken away again; 1 leaves it exactly
            the picture that the base draws alone, 0 is a clip without anchor.
        gain: factor on how strongly the other frames attend to the anchor; 1 is as trained.
        ghost: "module" gives the anchor back behind each motion module, in which it takes part as any frame;
            "sublayer" behind each attention and feed-forward in it: what the others read is then always untouched.
        blocks: parts of the network in which it is kept.
        steps: share of the drawing from and to which it is kept, 0 first.
        drop: leave the anchor out of the finished clip, as the method's authors do.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    index: Annotated[int, Field(ge=0)] | None = None
    strength: Share = 1.0
    gain: Annotated[float, Field(gt=0.0, le=100.0)] = 1.0
    ghost: Literal["module", "sublayer"] = "module"
    blocks: tuple[Block, ...] = BLOCKS
    steps: tuple[Share, Share] = (0.0, 1.0)
    drop: bool = False

    @model_validator(mode="after")
    def _ordered(self) -> Anchor:
        if self.steps[0] > self.steps[1]:
            raise ValueError("The anchor's steps end before they begin.")
        return self

    def frame(self, frames: int) -> int:
        """Return which of `frames` frames is the anchor.

        Raises:
            UserInputError: the clip has no such frame.
        """
        if self.index is None:
            return max(0, frames // 2 - 1)
        if self.index >= frames:
            raise UserInputError(
                f"Frame {self.index} cannot be the anchor of a clip of {frames} frames.",
                f"Choose one from 0 to {frames - 1}.",
            )
        return self.index

    def acts_at(self, done: float) -> bool:
        """Tell whether the anchor is kept when that share of the drawing is done, 0..1."""
        return self.strength > 0 and self.steps[0] <= done <= self.steps[1]
