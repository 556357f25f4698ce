"""Action units of pictures, clips and renders: read by one table, told as JSON, written as curves."""

from __future__ import annotations

import numpy as np
import pytest

from studio.domain.expression import INDEX, ExpressionEdit
from studio.engines.media.curves import read_curves
from studio.errors import NotFoundError, UnreadableMediaError, UserInputError
from studio.services.clips.animation import AnimationRequest
from studio.services.sources import MediaSource
from tests.services.fakes import picture
from tests.services.test_driven import bright

SHADES = [60] * 10 + [200] * 10 + [60] * 5


def test_a_picture_has_one_score_for_each_unit(studio, portrait) -> None:
    scores = studio.action_units.read(MediaSource.file(portrait))
    told = scores.told()
    assert told["units"]["AU1"] == pytest.approx(2.7, abs=0.4)
    assert told["units"]["AU12"] == 0
    assert "AU1" in scores.strongest()
    assert told["tracks"]["AU12L"] == 0
    with pytest.raises(UserInputError, match="has no curves"):
        studio.action_units.write(scores, portrait.with_name("x.csv"), MediaSource.file(portrait))


def test_a_portrait_shows_what_its_picture_shows(studio, portrait) -> None:
    handle = studio.expressions.open(MediaSource.file(portrait))
    assert studio.action_units.of_portrait(handle).told() == studio.action_units.read(MediaSource.file(portrait)).told()


def test_a_picture_is_read_against_its_person_at_rest(studio, portrait, tmp_path) -> None:
    rest = MediaSource.file(picture(tmp_path / "rest.png", shade=70))
    scores = studio.action_units.read(MediaSource.file(portrait), neutral=rest)
    assert scores.strongest() == ("AU12",), "one side alone"
    assert (scores.of("AU12L").max() > 2, scores.of("AU12R").max()) == (True, 0)
    with pytest.raises(UserInputError, match="no second"):
        studio.action_units.read(MediaSource.file(portrait), neutral=0.5)


def test_a_clip_is_read_over_time_and_leaves_as_curves(studio, tmp_path) -> None:
    source = MediaSource.file(bright(tmp_path / "face.mp4", SHADES))
    scores = studio.action_units.read(source)
    told = scores.told()
    assert told["frames"] == len(told["units"]["AU1"]["values"]) == len(scores.tracks)
    assert told["units"]["AU1"]["peak"] == max(told["units"]["AU1"]["values"])
    assert "It is a fake." in told["notes"]
    out = studio.action_units.write(scores, tmp_path / "face.au.csv", source)
    read = read_curves(out)
    assert read.weights[:, INDEX["browInnerUp"]] == pytest.approx(
        np.clip(scores.motion.weights[:, INDEX["browInnerUp"]], 0, 1), abs=1e-3
    )
    with pytest.raises(UserInputError, match="starts from"):
        studio.action_units.write(scores, tmp_path / "face.mp4", source)
    with pytest.raises(UserInputError, match="not against a picture"):
        studio.action_units.read(source, neutral=source)


def test_what_has_no_face_is_one_sentence(studio, tmp_path) -> None:
    (tmp_path / "words.txt").write_text("no face")
    with pytest.raises(UnreadableMediaError):
        studio.action_units.read(MediaSource.file(tmp_path / "words.txt"))
    with pytest.raises(NotFoundError):
        studio.action_units.read(MediaSource.file(tmp_path / "gone.mp4"))


def test_a_finished_clip_has_its_units_and_a_picture_has_none(studio, portrait, tmp_path) -> None:
    source = MediaSource.file(bright(tmp_path / "face.mp4", SHADES))
    render, _ = studio.animation.render(AnimationRequest(portrait=MediaSource.file(portrait), driving=source))
    scores = studio.library.action_units(render.id)
    assert scores.frame_rate_hz == 25
    assert scores.strongest() == ("AU1",)
    assert studio.library.curves(render.id)["action-units"].name.endswith(".au.csv")
    handle = studio.expressions.open(MediaSource.file(portrait))
    kept = studio.expressions.save(handle, ExpressionEdit({"smile": 0.5}))
    assert studio.library.action_units(kept.id) is None
