"""The letters AI in a corner of a picture, for everyone to see.

At the top right, inside the picture, as large as a caption; white on a dark ground that lets a little through, so it is
read on any picture. The letters are Pillow's own font. Knows nothing of when a label is due.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Frame = NDArray[np.uint8]

WORD = "AI"
_HEIGHT, _SMALLEST = 0.055, 18
"""Height against the shorter side of the picture, and its least in pixels."""
_GROUND, _INK = (20, 20, 20, 170), (255, 255, 255, 255)


class Label:
    """The label for pictures of one size.

    Args:
        width, height: pixels.
    """

    def __init__(self, width: int, height: int) -> None:
        from PIL import Image, ImageDraw, ImageFont

        tall = min(max(_SMALLEST, round(_HEIGHT * min(width, height))), height)
        wide, margin = min(round(1.7 * tall), width), round(0.4 * tall)
        fine = 4  # drawn so many times as large, for smooth edges
        page = Image.new("RGBA", (wide * fine, tall * fine))
        pen = ImageDraw.Draw(page)
        pen.rounded_rectangle((0, 0, wide * fine - 1, tall * fine - 1), radius=tall * fine // 4, fill=_GROUND)
        font = ImageFont.load_default(0.72 * tall * fine)
        pen.text((wide * fine / 2, tall * fine / 2), WORD, fill=_INK, font=font, anchor="mm")
        drawn = np.asarray(page.convert("RGBa").resize((wide, tall), Image.Resampling.BOX), np.float32)
        self._color, self._cover = drawn[..., :3], drawn[..., 3:] / 255
        top, right = min(margin, height - tall), max(width - margin, wide)
        self._place = (slice(top, top + tall), slice(right - wide, right))
        self._shape = (height, width)

    def apply(self, picture: Frame) -> Frame:
        """Return a picture with the label; where it was clear, the label is seen too.

        Args:
            picture: RGB or RGBA with straight alpha.  # (H, W, 3 or 4) uint8
        """
        if picture.shape[:2] != self._shape:
            raise ValueError(f"picture is {picture.shape[:2]}, the label for {self._shape}")
        out = picture.copy()
        under = out[self._place]
        if picture.shape[2] == 3:
            under[...] = np.rint(under * (1 - self._cover) + self._color)
            return out
        seen = under[..., 3:] / 255 * (1 - self._cover)
        whole = seen + self._cover
        color = (under[..., :3] * seen + self._color) / np.maximum(whole, 1e-6)
        under[...] = np.rint(np.concatenate([color, whole * 255], axis=2)).clip(0, 255)
        return out
