"""Parts laid over another picture: inside they are there, outside nothing is, and no patch shows."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from studio.engines.media.compositing import laid_back

SIDE = 64


def disk(radius: float) -> np.ndarray:
    y, x = np.mgrid[:SIDE, :SIDE]
    away = np.hypot(x - SIDE / 2, y - SIDE / 2)
    return (np.clip((radius - away) / 4 + 0.5, 0, 1) * 255).astype(np.uint8)


def face(shade: int, mouth: int) -> np.ndarray:
    out = np.full((SIDE, SIDE, 3), shade, np.uint8)
    out[28:36, 24:40] = mouth
    return out


def test_nothing_changes_where_nothing_is_wanted() -> None:
    picture = face(120, 40)
    assert np.array_equal(laid_back(picture, face(60, 10), np.zeros((SIDE, SIDE), np.uint8)), picture)
    out = laid_back(picture, face(60, 10), disk(10))
    assert np.array_equal(out[:8], picture[:8])


def test_the_part_comes_in_the_tone_of_its_surroundings() -> None:
    """The parts are of a picture that is 40 levels darker; skin must not show that, and the dark mouth must stay."""
    out = laid_back(face(140, 140), face(100, 10), disk(14))
    assert abs(int(out[32, 20, 0]) - 140) <= 3, "skin inside the part"
    assert 40 <= out[32, 32, 0] <= 60, "the mouth, lifted by what the skin is lighter"


@given(st.integers(0, 255), st.integers(0, 255), st.integers(4, 26))
def test_a_flat_picture_stays_flat(shade: int, other: int, radius: int) -> None:
    out = laid_back(face(shade, shade), face(other, other), disk(radius))
    assert np.abs(out.astype(int) - shade).max() <= 2
