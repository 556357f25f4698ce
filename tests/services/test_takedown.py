"""A file that shall be gone: found by its marks, with what was made of it, into the trash or erased."""

from __future__ import annotations

import numpy as np
import pytest

from studio.engines.media.pictures import write_png
from studio.errors import NotFoundError
from studio.services.clips.animation import checked_request
from studio.services.clips.dubbing import checked_dub
from studio.services.sources import MediaSource


@pytest.fixture
def made(studio, portrait, speech, tmp_path):
    """A clip that has left, a video with new speech made of it, that once more, and a clip of the same photo."""

    def clip(seed):
        asked = {"portrait": MediaSource.file(portrait), "sound": MediaSource.file(speech), "size": 256, "seed": seed}
        return studio.animation.render(checked_request(asked))[0]

    first = clip(1)
    gone = studio.library.export(first.id, tmp_path / "gone.mp4")
    asked = {"clip": MediaSource.media(first.media_sha256), "sound": MediaSource.file(speech), "seconds": 0.4}
    dubbed, _ = studio.dubbing.dub(checked_dub(asked))
    return gone, first, dubbed, studio.library.rerun(dubbed.id).render, clip(2)


def test_a_file_is_found_with_all_that_was_made_of_it(studio, made, tmp_path) -> None:
    gone, first, dubbed, again, other = made
    found = studio.takedowns.find(gone)
    assert found.render.id == first.id
    assert [r.id for r in found.offspring] == [dubbed.id, again.id]
    assert other.id not in {r.id for r in found.going}
    assert studio.library.page().total == 4, "nothing was changed"
    of_dubbed = studio.takedowns.find(studio.library.export(dubbed.id, tmp_path / "anew.mp4"))
    assert {r.id for r in of_dubbed.going} == {dubbed.id, again.id}
    assert [r.id for r in of_dubbed.origins] == [first.id]


def test_the_trash_can_be_taken_back_and_what_is_erased_not(studio, made, tmp_path) -> None:
    gone, first, dubbed, again, other = made
    studio.takedowns.take_down(gone)
    assert [r.id for r in studio.library.page().renders] == [other.id]
    with pytest.raises(NotFoundError, match="in the trash"):
        studio.library.export(first.id, tmp_path / "once more.mp4")
    studio.library.restore(dubbed.id)
    assert studio.library.page().total == 2
    erased = studio.takedowns.take_down(gone, erase=True)
    assert {r.id for r in erased.going} == {first.id, dubbed.id, again.id}
    assert erased.freed_bytes > 0
    for render in erased.going:
        assert not studio.store.media.has(render.media_sha256)
    with pytest.raises(NotFoundError, match="nothing that this studio remembers"):
        studio.takedowns.find(gone)


def test_a_file_of_somebody_else_is_not_ours(studio, tmp_path) -> None:
    stranger = tmp_path / "stranger.png"
    write_png(stranger, np.full((64, 64, 3), 90, np.uint8))
    with pytest.raises(NotFoundError, match=r"stranger\.png"):
        studio.takedowns.take_down(stranger, erase=True)
