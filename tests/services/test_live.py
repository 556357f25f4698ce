"""A portrait moves live: who may, what is drawn, what is kept."""

from __future__ import annotations

import io
from datetime import UTC, datetime

import numpy as np
import pytest
from PIL import Image

from studio.domain.consent import Consent
from studio.domain.expression import INDEX
from studio.engines.media.curves import read_curves
from studio.errors import ConsentMissingError, LimitExceededError, NotFoundError, UserInputError
from studio.services.clips.live import (
    HEARD_HZ,
    IDLE_SECONDS,
    KEPT_RATE_HZ,
    LONGEST_SECONDS,
    MOST_FRAMES,
    MOST_SESSIONS,
    BusyError,
    LiveSessions,
    SeenFrame,
    resampled,
)
from studio.services.sources import MediaSource


def seen(seconds: float, brows: float = 0.0, **more) -> SeenFrame:
    """A frame whose first point the fake tracker reads as raised brows."""
    points = np.zeros((478, 3), np.float32)
    points[0, 0] = 100 * brows
    return SeenFrame(seconds, points, **more)


def shade(jpeg: bytes) -> float:
    with Image.open(io.BytesIO(jpeg), formats=["JPEG"]) as picture:
        return float(np.asarray(picture).mean())


@pytest.fixture
def handle(studio, portrait):
    return studio.live.open(MediaSource.file(portrait), size=256)


def test_frames_become_pictures_and_a_performance(studio, handle):
    for i in range(50):
        picture = studio.live.see(handle.token, [seen(9 + i / 15, 0.4 * (i > 20))])
    assert (handle.width, handle.height) == (256, 239)
    assert picture.kept_seconds == pytest.approx(49 / 15)
    kept = studio.live.keep(handle.token)
    assert kept.name == "Live take"
    [layer] = kept.document.layers
    motion = read_curves(studio.store.media.get(layer.curves))
    assert motion.frame_rate_hz == KEPT_RATE_HZ
    assert motion.duration_seconds == pytest.approx(49 / 15, abs=0.05)
    brows = motion.weights[:, INDEX["browInnerUp"]]
    assert brows[:30].max() < 0.05
    assert brows[45:].min() > 0.2
    with pytest.raises(NotFoundError, match="not live any more"):
        studio.live.see(handle.token, [seen(20.0)])


def test_several_frames_come_with_one_question_and_all_are_kept(studio, handle):
    studio.live.see(handle.token, [seen(i / 30) for i in range(30)])
    studio.live.see(handle.token, [seen(1 + i / 30) for i in range(30)])
    assert studio.live.keep(handle.token, "Mine").document.duration_seconds == pytest.approx(59 / 30, abs=0.05)


def test_the_microphone_moves_the_jaw_and_is_kept_as_a_speech(studio, engines, portrait):
    handle = studio.live.open(MediaSource.file(portrait), by="microphone", size=256)
    quiet = studio.live.hear(handle.token, np.zeros(1600, np.float32))
    loud = studio.live.hear(handle.token, np.full(HEARD_HZ, 0.9, np.float32))
    assert shade(loud.jpeg) > shade(quiet.jpeg) + 20
    kept = studio.live.keep(handle.token)
    [layer] = kept.document.layers
    assert layer.kind == "speech"
    assert engines.listener.heard[-1][0] == pytest.approx(1.1)
    assert kept.document.duration_seconds == pytest.approx(1.1)


def test_what_somebody_agreed_to_is_asked_at_the_beginning_and_while_it_goes_on(studio, portrait, monkeypatch):
    agreed = Consent(agreed_by="Ann", scopes=("edit",), granted_at=datetime.now(UTC))
    ann = studio.identities.add("Ann", [portrait], consent=agreed)
    photo = MediaSource.photo(studio.identities.photos(ann.id)[0].id)
    with pytest.raises(ConsentMissingError):
        studio.live.open(photo)
    with pytest.raises(ConsentMissingError):
        studio.live.open(MediaSource.file(portrait))
    studio.identities.set_consent(ann.id, Consent(agreed_by="Ann", scopes=("animate",), granted_at=datetime.now(UTC)))
    clock = iter(np.arange(0, 1000, 3.0))
    monkeypatch.setattr(studio.whole.live_sessions, "_clock", lambda: float(next(clock)))
    handle = studio.live.open(photo)
    studio.live.see(handle.token, [seen(0.0)])
    studio.withdrawals.take_back(ann.id)
    with pytest.raises(ConsentMissingError):
        studio.live.see(handle.token, [seen(1.0)])
    with pytest.raises(ConsentMissingError):
        studio.live.keep(handle.token)


def test_no_more_than_so_many_at_once_and_one_that_sleeps_gives_way(studio, portrait, monkeypatch):
    now = [0.0]
    monkeypatch.setattr(studio.whole.live_sessions, "_clock", lambda: now[0])
    first = [studio.live.open(MediaSource.file(portrait), size=256) for _ in range(MOST_SESSIONS)]
    with pytest.raises(LimitExceededError, match="live already"):
        studio.live.open(MediaSource.file(portrait), size=256)
    studio.live.close(first[0].token)
    studio.live.close(first[0].token)
    other = studio.live.open(MediaSource.file(portrait), size=256)
    now[0] = IDLE_SECONDS + 1
    studio.live.open(MediaSource.file(portrait), size=256)
    with pytest.raises(NotFoundError):
        studio.live.see(other.token, [seen(0.0)])


def test_who_asks_while_a_picture_is_drawn_is_told_so(studio, handle):
    session = studio.whole.live_sessions.get(handle.token, studio.owner)
    with session.lock, pytest.raises(BusyError):
        studio.live.see(handle.token, [seen(0.0)])
    studio.live.see(handle.token, [seen(0.0)])


def test_a_long_take_goes_on_but_is_not_kept_any_longer(studio, handle):
    for at in np.arange(0, LONGEST_SECONDS + 20, 10.0):
        picture = studio.live.see(handle.token, [seen(float(at))])
    assert picture.is_full
    assert picture.kept_seconds == LONGEST_SECONDS


@pytest.mark.parametrize("frames", [[], [SeenFrame(0.0, None)] * (MOST_FRAMES + 1)])
def test_no_frames_and_too_many_are_refused(studio, handle, frames):
    with pytest.raises(UserInputError):
        studio.live.see(handle.token, frames)
    with pytest.raises(UserInputError):
        studio.live.hear(handle.token, np.zeros(10, np.float32))


def test_a_take_without_a_face_is_not_kept(studio, handle):
    for i in range(40):
        studio.live.see(handle.token, [SeenFrame(i / 20, None)])
    with pytest.raises(UserInputError, match="no face was seen"):
        studio.live.keep(handle.token)
    assert not studio.performances.list()


def test_a_silent_second_is_too_little(studio, portrait):
    handle = studio.live.open(MediaSource.file(portrait), by="microphone", size=256)
    with pytest.raises(UserInputError, match="nothing was heard"):
        studio.live.keep(handle.token)


def test_a_clock_that_goes_back_loses_no_frame(studio, handle):
    for at in (5.0, 5.1, 5.05, 5.05, 6.0):
        studio.live.see(handle.token, [seen(at)])
    assert studio.live.keep(handle.token).document.duration_seconds == pytest.approx(1.0, abs=0.05)


def test_frames_at_any_moments_become_frames_at_a_constant_rate():
    points = [np.full((478, 3), v, np.float32) for v in (1, 2, 3)]
    landmarks, found = resampled([(0.0, None), (0.1, points[0]), (0.2, points[1]), (0.8, None), (1.0, points[2])], 10.0)
    assert landmarks.shape == (11, 478, 3)
    assert landmarks[:3, 0, 0].tolist() == [1, 1, 2]
    assert landmarks[4, 0, 0] == 2, "what was seen last is held"
    assert found.tolist() == [False, True, False, False, False, False, False, False, False, True, True]


def test_nothing_seen_is_no_frame():
    assert len(resampled([(0.0, None), (1.0, None)])[0]) == 0


def test_sessions_are_told_apart_by_owner():
    with pytest.raises(NotFoundError):
        LiveSessions().get("x", "local")
