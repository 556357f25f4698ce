"""Several sounds on one track."""

from __future__ import annotations

import wave

import numpy as np
import pytest

from studio.engines.base import Sound
from studio.engines.media.pictures import write_png
from studio.engines.media.sound import probe, read_sound, write_wav
from studio.engines.media.sound_mix import RATE_HZ, mix
from studio.errors import NotFoundError, UnreadableMediaError


def tone(path, seconds: float, hertz: float, amount: float = 0.3):
    times = np.arange(round(seconds * 16000)) / 16000
    return write_wav(path, Sound((amount * np.sin(2 * np.pi * hertz * times)).astype(np.float32), 16000))


def test_each_sound_begins_where_it_should_and_none_is_made_softer(tmp_path) -> None:
    first, second = tone(tmp_path / "a.wav", 1.0, 220), tone(tmp_path / "b.wav", 0.5, 440)
    out = mix([(first, 0.0), (second, 1.25)], tmp_path / "mix.wav")
    info = probe(out)
    assert (info.rate_hz, info.channels) == (RATE_HZ, 2)
    heard = read_sound(out).samples
    assert len(heard) == pytest.approx(1.75 * 16000, abs=200)
    alone = read_sound(first).samples
    assert np.abs(heard[2000:14000]).max() == pytest.approx(np.abs(alone[2000:14000]).max(), rel=0.1)
    assert np.abs(heard[16200:19600]).max() < 0.01, "nobody speaks between"
    assert np.abs(heard[20500:26000]).max() > 0.2
    again = mix([(first, 0.0), (second, 1.25)], tmp_path / "again.wav")
    assert again.read_bytes() == out.read_bytes(), "same sounds, same bytes"


def test_many_at_once_do_not_clip(tmp_path) -> None:
    loud = tone(tmp_path / "loud.wav", 0.6, 220, 0.9)
    with wave.open(str(mix([(loud, 0.0), (loud, 0.0), (loud, 0.0)], tmp_path / "mix.wav"))) as file:
        heard = np.frombuffer(file.readframes(file.getnframes()), "<i2")
    assert 30_000 < np.abs(heard.astype(int)).max() < 32_000


def test_what_has_no_sound_is_refused_and_nothing_stays(tmp_path) -> None:
    write_png(tmp_path / "x.png", np.zeros((8, 8, 3), np.uint8))
    good = tone(tmp_path / "a.wav", 0.2, 220)
    with pytest.raises(UnreadableMediaError):
        mix([(good, 0.0), (tmp_path / "x.png", 0.0)], tmp_path / "mix.wav")
    with pytest.raises(NotFoundError):
        mix([(tmp_path / "none.wav", 0.0)], tmp_path / "mix.wav")
    assert not (tmp_path / "mix.wav").exists()
