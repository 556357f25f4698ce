"""An invisible mark in the pixels of pictures and clips and in the sound of voices, and the reader that finds it again.

Spread spectrum in a square tile that is repeated over the whole picture: its Fourier coefficients between two radii
carry a pilot, by which the tile is found after cropping and scaling, and eight symbols of eight bits, each a row of a
Hadamard matrix under keyed signs. Four bytes are the number of the mark, four a keyed check, so a mark that is not ours
is not read out of a picture by chance. Where the tile begins differs from mark to mark: what was made of a marked
picture carries both marks, and both are found. The mark is weak on even ground and stronger where texture hides it, and
its tile grows with the picture, so that it survives being made smaller.

Of a sound the loudness of each tone over time is such a picture: 8 kHz high, a tile of 1.02 s wide, changed by 1 dB.

Sources: Cox et al. 1997, "Secure spread spectrum watermarking for multimedia"; Kutter 1998, "Watermarking resisting to
translation, rotation, and scaling" (repeated patterns for synchronisation). Measured by `python -m studio bench marks`.
Knows nothing of renders and their numbers.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from studio.engines.base import Sound
from studio.engines.media.watermark_sound import changed, heard
from studio.engines.media.watermark_tile import CHECK_BYTES, PEAKS, TILE, Code, FoundMark, Plane, Reader, flattened

Frame = NDArray[np.uint8]

SHORT = 512
"""Pictures whose shorter side is longer have a tile that is larger, in proportion."""
_LONGEST = 2048
"""Longest side in which marks are looked for."""
EVEN, TEXTURED, MOST = 0.6, 0.6, 3.0
"""Strength in grey levels: on even ground, added for each level of what varies around, at most."""
_ENDS = 8.0
"""So near to black and white, in grey levels, a mark is weaker."""


class Watermark:
    """Marks and reads with one key.

    Args:
        key: at least 16 secret bytes; who does not have them reads nothing and can hardly forge.
    """

    def __init__(self, key: bytes) -> None:
        if len(key) < 16:
            raise ValueError(f"a key has at least 16 bytes, not {len(key)}")
        self._key = key

    def number_of(self, what: bytes) -> int:
        """Return the number of a mark for something: the same for the same bytes, by chance for everyone else."""
        return int.from_bytes(self._digest(b"number", what)[:4], "big")

    @property
    def key_name(self) -> str:
        """What tells this key from others and says nothing else of it: eight hexadecimal digits."""
        return self._digest(b"name", b"").hex()[:8]

    def mark(self, number: int, width: int, height: int) -> Mark:
        """Return the mark with a number for pictures of one size.

        Args:
            number: 0 .. 2**32 - 1.
            width, height: pixels.
        """
        import cv2

        if not 0 <= number < 2**32:
            raise ValueError(f"number {number} is no four bytes")
        begin = self._digest(b"begin", number.to_bytes(4, "big"))
        tile = np.roll(self._code.tile(self._symbols(number)), (begin[0], begin[1]), (0, 1))
        unit = max(1.0, min(width, height) / SHORT)
        down, across = (int(np.ceil(side / unit / TILE)) + 1 for side in (height, width))
        whole = np.tile(tile, (down, across))
        if unit == 1.0:
            return Mark(np.ascontiguousarray(whole[:height, :width]))
        half = (1 / unit - 1) / 2  # centres of pixels meet
        matrix = np.array([[1 / unit, 0, half], [0, 1 / unit, half]])
        flags = cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP
        return Mark(np.asarray(cv2.warpAffine(whole, matrix, (width, height), flags=flags), np.float32))

    def read(self, pictures: Iterable[Frame], known: Sequence[int] = ()) -> tuple[FoundMark, ...]:
        """Read the marks of a picture, or of the frames of one clip; an empty tuple where there is none.

        Args:
            pictures: RGB, all of one size, one or more; their marks are taken to stand at the same place, so more
                frames make a weak mark readable.  # (H, W, 3)
            known: numbers that were given out. Where not every symbol can be read any more, one of these is still
                found by what is left of all of them.
        """
        plane = _added_up(pictures)
        if plane is None:
            return ()
        reader = Reader(self._code, plane.flat, self._symbols, known)
        for size in sorted({float(TILE), TILE * plane.factor * max(1.0, plane.shorter / SHORT)}):
            found = reader.at(size, PEAKS)
            if found:
                return found
        return reader.searched()

    def mark_sound(self, sound: Sound, number: int) -> Sound:
        """Return a sound with the mark; loudness changes by about a decibel, from tone to tone and moment to moment.

        Args:
            number: 0 .. 2**32 - 1.
        """
        return changed(sound, lambda moments: self.mark(number, moments, TILE).pattern)

    def read_sound(self, sound: Sound, known: Sequence[int] = ()) -> tuple[FoundMark, ...]:
        """Read the marks of a sound; see `read`. Twelve seconds are read by their check, three by a known number."""
        plane = heard(sound)
        return () if plane is None else Reader(self._code, plane, self._symbols, known).at(float(TILE), PEAKS)

    # -- parts -------------------------------------------------------------------------

    def _digest(self, purpose: bytes, what: bytes = b"") -> bytes:
        return hmac.new(self._key, purpose + b"\0" + what, hashlib.sha256).digest()

    def _symbols(self, number: int) -> bytes:
        """Return the bytes that stand in a mark: its number and their check."""
        payload = number.to_bytes(4, "big")
        return payload + self._digest(b"check", payload)[:CHECK_BYTES]

    @cached_property
    def _code(self) -> Code:
        return Code(self._digest(b"code"))


_AROUND = np.ones((3, 3), np.uint8)


class Mark:
    """One mark for pictures of one size.

    Attributes:
        pattern: the mark over the whole picture, standard deviation about 1.  # (H, W)
    """

    def __init__(self, pattern: Plane) -> None:
        self.pattern = pattern

    def apply(self, picture: Frame) -> Frame:
        """Return a picture with the mark.

        Args:
            picture: RGB or RGBA; alpha stays.  # (H, W, 3 or 4) uint8
        """
        import cv2

        if picture.shape[:2] != self.pattern.shape:
            raise ValueError(f"picture is {picture.shape[:2]}, the mark {self.pattern.shape}")
        height, width = self.pattern.shape
        gray = cv2.cvtColor(picture, cv2.COLOR_RGBA2GRAY if picture.shape[2] == 4 else cv2.COLOR_RGB2GRAY)
        coarse = 4 * max(1.0, min(height, width) / SHORT)
        size = (max(1, round(width / coarse)), max(1, round(height / coarse)))
        small = cv2.resize(gray, size, interpolation=cv2.INTER_AREA).astype(np.float32)
        # an edge alone hides nothing beside it: only what varies all around counts
        varies = cv2.erode(cv2.blur(np.abs(small - cv2.blur(small, (3, 3))), (3, 3)), _AROUND)
        # next to black and white half of a change is cut off, and what is left of it shows
        inside = np.clip(np.minimum(small, 255 - small) / _ENDS, 0.25, 1.0)
        strength = cv2.resize(np.minimum(EVEN + TEXTURED * varies, MOST) * inside, (width, height))
        # two saturating passes in bytes: four times as fast as one with signs
        colors = np.ascontiguousarray(picture[..., :3])
        more = cv2.multiply(strength, self.pattern, dtype=cv2.CV_8U)
        less = cv2.multiply(strength, self.pattern, scale=-1, dtype=cv2.CV_8U)
        marked = cv2.subtract(cv2.add(colors, cv2.merge([more] * 3)), cv2.merge([less] * 3))
        return np.asarray(marked if picture.shape[2] == 3 else np.dstack([marked, picture[..., 3]]), np.uint8)


@dataclass(frozen=True)
class _Plane:
    """What is read of pictures, in the size at which marks are looked for.

    Attributes:
        flat: luma without what is coarse or strong.
        shorter: shorter side of the pictures as they came.
        factor: size of `flat` against that of the pictures.
    """

    flat: Plane
    shorter: int
    factor: float


def _added_up(pictures: Iterable[Frame]) -> _Plane | None:
    """Add up what pictures of one clip have in the mark's band; None for no picture."""
    import cv2

    total: Any = None
    shorter, factor = 0, 1.0
    for picture in pictures:
        gray = cv2.cvtColor(np.ascontiguousarray(picture[..., :3]), cv2.COLOR_RGB2GRAY)
        shorter = min(gray.shape)
        factor = min(SHORT / shorter, _LONGEST / max(gray.shape))
        if factor != 1.0:
            how = cv2.INTER_AREA if factor < 1 else cv2.INTER_CUBIC
            size = (max(1, round(gray.shape[1] * factor)), max(1, round(gray.shape[0] * factor)))
            gray = cv2.resize(gray, size, interpolation=how)
        fine = gray.astype(np.float32)
        flat = flattened(fine)
        total = flat if total is None else total + flat
    return None if total is None else _Plane(total, shorter, factor)
