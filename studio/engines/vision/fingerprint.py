"""A picture's perceptual fingerprint: 64 bits that survive scaling, compression and small changes of light.

The picture is shrunk to 32 x 32 gray pixels; of its cosine transform the 8 x 8
lowest frequencies (without the mean) are compared with their median. Pictures
whose fingerprints differ in few bits look alike. It knows nothing of content:
two people in the same pose before the same wall may look alike to it.

Source: the common DCT variant of perceptual hashing (Zauner, "Implementation
and benchmarking of perceptual image hash functions", 2010).
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

cv2.setNumThreads(1)

_SIDE, _KEPT = 32, 8


def fingerprint(image: NDArray[np.uint8]) -> int:
    """Return the fingerprint.

    Args:
        image: RGB, any size.  # (H, W, 3)

    Returns:
        64 bits.
    """
    gray = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
    small = cv2.resize(gray, (_SIDE, _SIDE), interpolation=cv2.INTER_AREA).astype(np.float32)
    low = cv2.dct(small)[:_KEPT, :_KEPT].ravel()
    low[0] = low[1:].mean()  # the mean brightness says nothing about the content
    bits = low > np.median(low)
    return int.from_bytes(np.packbits(bits).tobytes(), "big")
