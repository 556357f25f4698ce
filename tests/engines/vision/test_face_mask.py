"""The mask of a face."""

from __future__ import annotations

import numpy as np

from studio.domain.face import DetectedFace, PhotoQuality
from studio.domain.pose import HeadPose
from studio.engines.vision.face_mask import face_mask


def test_a_mask_covers_the_face_and_ends_softly() -> None:
    angles = np.linspace(0, 2 * np.pi, 478, endpoint=False)
    marks = np.stack([50 + 20 * np.cos(angles), 60 + 30 * np.sin(angles), 0 * angles], 1).astype(np.float32)
    face = DetectedFace((30, 30, 70, 90), 1.0, marks, HeadPose(), PhotoQuality(1, 1, 1, 1, 1))
    mask = face_mask(np.zeros((120, 100, 3), np.uint8), face)
    assert mask.shape == (120, 100)
    assert (mask[60, 50], mask[60, 36], mask[60, 5], mask[5, 50]) == (255, 255, 0, 0)
