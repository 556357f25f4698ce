"""Every kind of sound a person may bring, made for real and read back."""

import hashlib
import subprocess
import wave

import numpy as np
import pytest

from studio.engines.base import Sound
from studio.engines.media import ffmpeg
from studio.engines.media.sound import ANALYSIS_RATE_HZ, is_silent, probe, read_sound, trim, write_wav
from studio.errors import LimitExceededError, NotFoundError, UnreadableMediaError


def tone(seconds, rate_hz=16_000, hertz=440.0, level=0.5):
    return (level * np.sin(2 * np.pi * hertz * np.arange(int(seconds * rate_hz)) / rate_hz)).astype(np.float32)


def save(path, samples, rate_hz, channels=1):
    with wave.open(str(path), "wb") as file:
        file.setnchannels(channels)
        file.setsampwidth(2)
        file.setframerate(rate_hz)
        file.writeframes(np.repeat((samples * 32767).astype("<i2")[:, None], channels, axis=1).tobytes())
    return path


def convert(*arguments):
    subprocess.run([ffmpeg.binary(), "-v", "error", "-y", *map(str, arguments)], check=True)


def main_hertz(sound):
    return np.argmax(np.abs(np.fft.rfft(sound.samples))) * sound.rate_hz / len(sound.samples)


@pytest.mark.parametrize(("rate_hz", "channels"), [(8_000, 1), (16_000, 1), (48_000, 2), (44_100, 8)])
def test_rates_and_channels(tmp_path, rate_hz, channels):
    path = save(tmp_path / "a.wav", tone(1.5, rate_hz), rate_hz, channels)
    sound = read_sound(path)
    assert sound.rate_hz == ANALYSIS_RATE_HZ
    assert sound.samples.dtype == np.float32
    assert sound.duration_seconds == pytest.approx(1.5, abs=0.01)
    assert main_hertz(sound) == pytest.approx(440, abs=2)
    assert 0.2 < np.abs(sound.samples).max() <= 1
    assert (sound.info.rate_hz, sound.info.channels) == (rate_hz, channels)
    assert sound.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    assert sound.notes == ()


@pytest.mark.parametrize("suffix", [".mp3", ".m4a", ".flac", ".ogg", ".opus", ".webm", ".mkv"])
def test_containers(tmp_path, suffix):
    convert("-i", save(tmp_path / "a.wav", tone(2.0), 16_000), tmp_path / f"b{suffix}")
    sound = read_sound(tmp_path / f"b{suffix}")
    assert sound.duration_seconds == pytest.approx(2.0, abs=0.06)
    assert main_hertz(sound) == pytest.approx(440, abs=2)


def test_sound_of_a_video_that_begins_late(tmp_path):
    wav = save(tmp_path / "a.wav", tone(1.0), 16_000)
    convert(
        "-f", "lavfi", "-i", "testsrc=s=64x64:r=25:d=2", "-itsoffset", "0.5", "-i", wav, "-c:v", "libx264",
        "-c:a", "aac", tmp_path / "v.mp4",
    )  # fmt: skip
    sound = read_sound(tmp_path / "v.mp4")
    assert sound.info.has_video
    first = np.argmax(np.abs(sound.samples) > 0.1) / sound.rate_hz
    assert first == pytest.approx(0.5, abs=0.03)


def test_silence_is_allowed_and_noted(tmp_path):
    silent = read_sound(save(tmp_path / "a.wav", np.zeros(16_000, np.float32), 16_000))
    assert is_silent(silent)
    assert any("silent" in note for note in silent.notes)
    assert not is_silent(Sound(np.concatenate([np.zeros(160_000, np.float32), tone(0.2, level=0.05)]), 16_000))
    assert is_silent(Sound(np.zeros(0, np.float32), 16_000))


def test_too_long_by_its_header_is_refused_at_once(tmp_path):
    path = tmp_path / "long.wav"
    save(path, np.zeros(100, np.float32), 8_000)
    with path.open("r+b") as file:  # 3 hours of 8 kHz, as a sparse file
        file.seek(40)
        file.write((3 * 3600 * 16_000).to_bytes(4, "little"))
        file.truncate(44 + 3 * 3600 * 16_000)
    with pytest.raises(LimitExceededError, match="180 minutes"):
        read_sound(path)


def test_too_long_without_a_length_in_the_header(tmp_path):
    convert("-f", "lavfi", "-i", "anullsrc=r=8000:cl=mono", "-t", "30", "-f", "adts", tmp_path / "a.aac")
    with pytest.raises(LimitExceededError):
        read_sound(tmp_path / "a.aac", max_seconds=5)


def test_header_without_a_length_is_caught_while_decoding(tmp_path):
    path = tmp_path / "a.flac"
    arguments = ["-f", "lavfi", "-i", "anullsrc=r=8000:cl=mono", "-t", "30", "-f", "flac"]
    with path.open("wb") as file:  # through a pipe, so that the length cannot be written back
        done = subprocess.run([ffmpeg.binary(), "-v", "error", *arguments, "pipe:1"], capture_output=True, check=True)
        file.write(done.stdout)
    assert probe(path).duration_seconds is None
    with pytest.raises(LimitExceededError, match="longer than"):
        read_sound(path, max_seconds=5)


def test_zero_seconds(tmp_path):
    with pytest.raises(UnreadableMediaError, match=r"0 seconds|no sound"):
        read_sound(save(tmp_path / "a.wav", np.zeros(0, np.float32), 16_000))


def test_video_without_sound(tmp_path):
    convert("-f", "lavfi", "-i", "testsrc=s=64x64:r=25:d=0.2", tmp_path / "v.mp4")
    with pytest.raises(UnreadableMediaError, match="without sound"):
        read_sound(tmp_path / "v.mp4")


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("empty.wav", b""),
        ("text.mp3", b"hello there, this is no sound\n" * 99),
        ("noise.wav", bytes(range(256)) * 40),
        ("header.wav", b"RIFF\xff\xff\xff\x7fWAVE"),
    ],
)
def test_no_sound(tmp_path, name, data):
    (tmp_path / name).write_bytes(data)
    with pytest.raises(UnreadableMediaError) as caught:
        read_sound(tmp_path / name)
    assert name in caught.value.message
    assert caught.value.hint


def test_corrupt_flac_is_refused_or_noted(tmp_path):
    convert("-i", save(tmp_path / "a.wav", tone(4.0), 16_000), tmp_path / "a.flac")
    data = (tmp_path / "a.flac").read_bytes()
    (tmp_path / "half.flac").write_bytes(data[: len(data) // 2])
    assert any("breaks off" in note for note in read_sound(tmp_path / "half.flac").notes)
    junk = np.random.default_rng(0).bytes(len(data) - 200)
    (tmp_path / "junk.flac").write_bytes(data[:86] + junk)
    with pytest.raises(UnreadableMediaError):
        read_sound(tmp_path / "junk.flac")


def test_playlists_and_scripts_open_no_other_file(tmp_path):
    secret = save(tmp_path / "secret.wav", tone(1.0), 16_000)
    (tmp_path / "list.m3u8").write_text(f"#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:1,\n{secret}\n#EXT-X-ENDLIST\n")
    (tmp_path / "list.wav").write_text(f"ffconcat version 1.0\nfile '{secret}'\n")
    for name in ("list.m3u8", "list.wav"):
        with pytest.raises(UnreadableMediaError):
            read_sound(tmp_path / name)


def test_names_that_look_like_options_or_addresses(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    save(tmp_path / "-i.wav", tone(0.5), 16_000)
    assert read_sound("-i.wav").duration_seconds == pytest.approx(0.5, abs=0.01)
    for name in ("http://127.0.0.1:9/a.wav", "concat:-i.wav|-i.wav", "pipe:0"):
        with pytest.raises(NotFoundError):
            read_sound(name)


def test_missing_file_and_folder(tmp_path):
    with pytest.raises(NotFoundError):
        read_sound(tmp_path / "gone.wav")
    with pytest.raises(UnreadableMediaError, match="folder"):
        probe(tmp_path)


def test_write_and_trim(tmp_path):
    sound = Sound(tone(2.0), 16_000)
    assert trim(sound) is sound
    assert trim(sound, 0, 99) is sound
    piece = trim(sound, 0.5, 1.25)
    assert piece.duration_seconds == 0.75
    assert trim(sound, 1.5, 99).duration_seconds == 0.5
    assert len(trim(sound, 5).samples) == 0
    with pytest.raises(ValueError, match="before it starts"):
        trim(sound, 1, 0.5)
    back = read_sound(write_wav(tmp_path / "b.wav", piece))
    assert np.abs(back.samples - piece.samples).max() < 1e-4
    assert [p.name for p in tmp_path.iterdir()] == ["b.wav"]
