"""Long clips in pieces: which frames a motion model sees together, and how the pieces are laid over each other.

A motion module has a table of places and was trained on short clips. A longer
clip is predicted window by window at every step, and frames that two windows
share take from both, most from the window whose middle is nearer. The anchor
is in every window: where it is missing, its pull is lost.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch

from studio.errors import UserInputError


@dataclass(frozen=True)
class Window:
    """Frames that are predicted together.

    Attributes:
        frames: their numbers in the clip, ascending; the anchor among them.
        own: those that the window is for: all but an anchor that was put in.
        anchor: place of the anchor in `frames`; None without one.
    """

    frames: tuple[int, ...]
    own: tuple[int, ...]
    anchor: int | None


@dataclass(frozen=True)
class Border:
    """Where two windows meet, and how far they disagree there.

    Attributes:
        frame: the middle of what they share.
        apart: mean difference of their predictions over the frames they share, relative to the predictions' size.
    """

    frame: int
    apart: float


def windows(frames: int, anchor: int | None, size: int, overlap: int) -> list[Window]:
    """Return the windows of a clip, in order; one where it fits.

    Args:
        frames: of the clip, at least 1.
        anchor: its anchor frame; None without one.
        size: most frames in a window, the anchor counted.
        overlap: frames that neighbors share.

    Raises:
        UserInputError: windows of this size and overlap never get on.
    """
    if frames <= size:
        every = tuple(range(frames))
        return [Window(every, every, anchor)]
    room = size - (anchor is not None)
    if not 0 <= overlap < room:
        raise UserInputError(
            f"Windows of {size} frames cannot share {overlap}.", f"Let them share at most {max(0, room - 1)}."
        )
    starts = [*range(0, frames - room, room - overlap), frames - room]  # the last is full and shares more
    out = []
    for start in starts:
        own = tuple(range(start, start + room))
        seen = own if anchor is None else tuple(sorted({*own, anchor}))
        out.append(Window(seen, own, None if anchor is None else seen.index(anchor)))
    return out


def predicted(
    latents: torch.Tensor, pieces: Sequence[Window], predict: Callable[[torch.Tensor, Window], torch.Tensor]
) -> tuple[torch.Tensor, Border | None]:
    """Predict a clip window by window.

    Args:
        latents: of the whole clip.  # (B, C, F, h, w)
        pieces: from `windows`.
        predict: returns the prediction for the frames of a window, of the same shape.

    Returns:
        The prediction for all frames, and the border at which windows disagree most; None with one window.
    """
    total = torch.zeros_like(latents)
    weight = latents.new_zeros(latents.shape[2])
    worst: Border | None = None
    before: tuple[Window, torch.Tensor] | None = None
    of_anchor: tuple[int, torch.Tensor] | None = None
    for piece in pieces:
        out = predict(latents[:, :, list(piece.frames)], piece)
        for place, frame in enumerate(piece.frames):
            if frame in piece.own:
                near = min(frame - piece.own[0], piece.own[-1] - frame) + 1
                total[:, :, frame] += near * out[:, :, place]
                weight[frame] += near
        if piece.anchor is not None and of_anchor is None:
            of_anchor = (piece.frames[piece.anchor], out[:, :, piece.anchor])
        if before is not None:
            worst = max([b for b in (worst, _border(before, (piece, out))) if b], key=lambda b: b.apart, default=None)
        before = (piece, out)
    mean = total / weight.clamp_min(1).view(-1, 1, 1)
    if of_anchor is not None:  # the same in every window: taken from one, it hears nothing of the others
        mean[:, :, of_anchor[0]] = of_anchor[1]
    return mean, worst


def _border(left: tuple[Window, torch.Tensor], right: tuple[Window, torch.Tensor]) -> Border | None:
    """Return how far two neighbors disagree; None when they share no frame."""
    shared = [f for f in left[0].own if f in right[0].own and f not in (_anchor(left[0]), _anchor(right[0]))]
    if not shared:
        return None
    a = left[1][:, :, [left[0].frames.index(f) for f in shared]]
    b = right[1][:, :, [right[0].frames.index(f) for f in shared]]
    size = (a.abs().mean() + b.abs().mean()) / 2
    return Border(shared[len(shared) // 2], float((a - b).abs().mean() / size.clamp_min(1e-12)))


def _anchor(window: Window) -> int | None:
    return None if window.anchor is None else window.frames[window.anchor]
