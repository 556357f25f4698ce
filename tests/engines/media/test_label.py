"""The label AI in a corner of a picture."""

from __future__ import annotations

import numpy as np
import pytest

from studio.engines.media.label import Label


@pytest.mark.parametrize(("width", "height"), [(512, 512), (768, 256), (300, 1080), (40, 20), (2048, 2048)])
@pytest.mark.parametrize("shade", [0, 128, 255])
def test_it_stands_at_the_top_right_and_is_read_on_every_ground(width, height, shade):
    picture = np.full((height, width, 3), shade, np.uint8)
    out = Label(width, height).apply(picture)
    assert (picture == shade).all()
    changed = np.argwhere(np.abs(out.astype(int) - shade).max(2) > 8)
    (top, left), (bottom, right) = changed.min(0), changed.max(0)
    assert left >= width / 2 or width < 60
    assert bottom < max(height / 4, 20)
    assert (bottom - top, right - left) >= (0.04 * min(width, height), 0.06 * min(width, height))
    # letters against what is around them
    part = out[top : bottom + 1, left : right + 1].astype(int)
    assert part.max() - np.median(part) > 90


def test_what_is_clear_shows_the_label_too():
    clear = np.zeros((256, 256, 4), np.uint8)
    out = Label(256, 256).apply(clear)
    assert out[..., 3].max() == 255
    assert (out[200:] == 0).all()
    assert out[..., :3][out[..., 3] == 255].max() > 240


def test_another_size_is_refused():
    with pytest.raises(ValueError, match="label"):
        Label(64, 64).apply(np.zeros((64, 65, 3), np.uint8))
