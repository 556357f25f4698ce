"""Sizes of pictures that a diffusion model can draw."""

from __future__ import annotations

from studio.errors import UserInputError

SIDE_STEP = 8
"""Pixels: autoencoders fold sides by this."""
SMALLEST_SIDE, LARGEST_SIDE = 32, 2048


def check_size(width: int, height: int) -> None:
    """Refuse sizes that no model can draw.

    Raises:
        UserInputError: no multiple of 8, or out of range.
    """
    for side in (width, height):
        if side % SIDE_STEP:
            near = [s for s in (side // SIDE_STEP * SIDE_STEP, (side // SIDE_STEP + 1) * SIDE_STEP) if s]
            raise UserInputError(
                f"{width} x {height} cannot be drawn: both sides must be multiples of {SIDE_STEP}.",
                f"Near {side} are {' and '.join(map(str, near))}.",
            )
        if not SMALLEST_SIDE <= side <= LARGEST_SIDE:
            raise UserInputError(
                f"{width} x {height} cannot be drawn: sides go from {SMALLEST_SIDE} to {LARGEST_SIDE} pixels.",
                "Choose a size near the one the base model was made for.",
            )
