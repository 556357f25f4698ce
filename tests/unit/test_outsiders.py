"""Which of a few faces is a stranger's: as sorting judges it, also where photos are added by hand."""

from __future__ import annotations

import numpy as np
import pytest

from studio.domain.curation import scale_of
from studio.domain.people import outsiders

SCALE = scale_of("dlib-resnet-v1")


def faces(*people: int) -> np.ndarray:
    """Faces of people by number: those of one person lie within .3, two people .9 apart."""
    rng = np.random.default_rng(5)
    noise = rng.normal(size=(len(people), 128))
    noise *= 0.15 / np.linalg.norm(noise, axis=1, keepdims=True)
    return np.eye(128)[list(people)] * (0.9 / np.sqrt(2)) + noise


@pytest.mark.parametrize(
    ("people", "strange"),
    [
        ([0] * 9 + [1], [9]),
        ([1] + [0] * 9, [0]),
        ([0] * 5 + [1] + [0] * 3 + [2], [5, 9]),
        ([0] * 10, []),
        ([0, 0, 1], [2]),
        ([0, 1], [0, 1]),
        ([0, 0], []),
        ([0], []),
    ],
)
def test_a_stranger_among_the_photos_is_found(people, strange) -> None:
    assert outsiders(faces(*people), SCALE.stranger, SCALE.ask) == strange
