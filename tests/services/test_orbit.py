"""A clip in which the camera goes around a head, with or without a sound."""

from __future__ import annotations

import pytest

from studio.engines.media.curves import read_json
from studio.engines.media.video import probe_video
from studio.errors import UserInputError
from studio.services.clips.animation import checked_request
from studio.services.sources import MediaSource


def test_a_head_is_seen_from_around_and_made_again(studio, portrait, speech, tmp_path) -> None:
    source = MediaSource.file(portrait)
    request = checked_request({"portrait": source, "orbit": {"yaw_degrees": 10, "seconds": 2}, "size": 256})
    render, result = studio.animation.render(request)
    assert (result.frames, result.phone_path, render.title) == (50, "orbit", "Seen from around")
    curves = read_json(studio.store.media.get(render.inputs["curves"]))
    assert curves.head_degrees[:, 0].max() > 8
    assert studio.library.rerun(render.id).same_frames
    kept = studio.performances.of_render(render.id)
    assert [layer.kind for layer in kept.document.layers] == ["driving"], "its motion, not speech that nobody said"
    heard = checked_request({"portrait": source, "orbit": {}, "seconds": 1, "sound": MediaSource.file(speech)})
    out = tmp_path / "heard.mp4"
    assert studio.animation.animate_file(heard, out).frames == 25
    assert probe_video(out).audio_codec


def test_what_cannot_be_seen_is_refused(portrait) -> None:
    source = MediaSource.file(portrait)
    for fields, said in (
        ({"orbit": {"yaw_degrees": 40}}, "at most 15"), ({"orbit": {"gaze": "moon"}}, "'camera' or 'world'"),
        ({"orbit": {}, "text": "Hello"}, "not with a text"), ({"orbit": {"seconds": 0.1}}, "at least 2"),
        ({"orbit": {}, "motion": source}, "not both"),
    ):  # fmt: skip
        with pytest.raises(UserInputError, match=said):
            checked_request({"portrait": source, **fields})
