"""Clips written and measured again: sync, size, memory, recipe, and what stays after a failure."""

import os
import subprocess
import sys
import textwrap
import wave
import zipfile

import numpy as np
import psutil
import pytest
from PIL import Image

from studio.domain.clip_format import CLIP_FORMATS, clip_format_of
from studio.engines.media import ffmpeg
from studio.engines.media.atomic import PART_PREFIX
from studio.engines.media.recipe import read_recipe
from studio.engines.media.sound import read_sound
from studio.engines.media.video import (
    FRAME_RATES_HZ,
    PartsFolder,
    open_writer,
    probe_video,
    read_clip,
    read_frames,
    writer_of,
)
from studio.errors import (
    ConflictError,
    EngineError,
    LimitExceededError,
    NotFoundError,
    StoreError,
    UnreadableMediaError,
    UserInputError,
)

RECIPE = {"seed": 7, "engine": "rig 1.0", "text": "é ☺ = ; # \\ \n end", "long": "word " * 8000}
SUFFIX = {name: row.suffix for name, row in CLIP_FORMATS.items()}


def gradient(width, height, shift=0, channels=3):
    x = (np.arange(width) * 2 + shift * 5) % 256
    y = np.arange(height) % 256
    frame = np.stack([np.broadcast_to(x, (height, width)), np.broadcast_to(y[:, None], (height, width))], axis=2)
    frame = np.dstack([frame, np.full((height, width), 60), np.full((height, width), 255)])
    return frame[:, :, :channels].astype(np.uint8)


def beep(path, seconds, at, rate_hz=44_100, channels=2):
    samples = np.zeros(int(seconds * rate_hz), np.float32)
    for start in at:
        first = int(start * rate_hz)
        samples[first : first + rate_hz // 10] = 0.8 * np.sin(np.arange(rate_hz // 10) * 2 * np.pi * 1000 / rate_hz)
    with wave.open(str(path), "wb") as file:
        file.setnchannels(channels)
        file.setsampwidth(2)
        file.setframerate(rate_hz)
        file.writeframes(np.repeat((samples * 32767).astype("<i2")[:, None], channels, axis=1).tobytes())
    return path


def write(format, path, frames=10, size=(256, 192), rate=25, **options):
    with open_writer(format, path, size, rate, **options) as clip:
        for i in range(frames):
            clip.write(gradient(*size, i, 4 if CLIP_FORMATS[format].has_alpha else 3))
    return path


def parts(folder):
    return [p.name for p in folder.iterdir() if p.name.startswith(PART_PREFIX)]


def test_mp4_is_what_players_expect(tmp_path):
    path = write("mp4", tmp_path / "a.mp4", 50, sound_path=beep(tmp_path / "a.wav", 3.0, [1.0]))
    info = probe_video(path)
    assert (info.codec, info.pixel_format, info.audio_codec) == ("h264", "yuv420p", "aac")
    assert (info.width, info.height, info.frames, info.frame_rate_hz) == (256, 192, 50, 25.0)
    assert info.faststart is True
    assert "tv" in info.colors
    assert "bt709" in info.colors
    assert info.has_audio
    assert info.video_seconds == 2.0
    assert abs(info.audio_seconds - info.video_seconds) <= 1 / 25


@pytest.mark.parametrize("rate", FRAME_RATES_HZ)
@pytest.mark.parametrize("suffix", [".wav", ".mp3", ".m4a"])
def test_flash_and_beep_come_back_together(tmp_path, rate, suffix):
    """Decode both tracks again: flash and beep lie within one frame, at the start and at the end."""
    at = [0.5, 2.0, 4.5]
    sound = beep(tmp_path / "a.wav", 5.0, at)
    if suffix != ".wav":
        subprocess.run([ffmpeg.binary(), "-v", "error", "-i", sound, tmp_path / f"b{suffix}"], check=True)
        sound = tmp_path / f"b{suffix}"
    flashes = {round(t * rate) for t in at}
    path = tmp_path / "c.mp4"
    with open_writer("mp4", path, (256, 256), rate, sound_path=sound) as clip:
        for i in range(int(5 * rate)):
            clip.write(np.full((256, 256, 3), 255 if i in flashes else 0, np.uint8))
    with read_frames(path) as frames:
        seen = [i / frames.frame_rate_hz for i, frame in enumerate(frames) if frame.mean() > 128]
    samples = read_sound(path).samples
    loud = np.flatnonzero(np.abs(samples) > 0.2) / 16_000
    heard = [loud[0], *loud[1:][np.diff(loud) > 0.3]]
    assert len(seen) == len(heard) == 3
    assert np.abs(np.array(seen) - heard).max() < 1 / rate


def test_short_sound_is_filled_and_long_sound_is_cut(tmp_path):
    for seconds in (0.4, 9.0):
        sound = beep(tmp_path / "a.wav", seconds, [0.1], 8_000, 1)
        info = probe_video(write("mp4", tmp_path / "c.mp4", 60, rate=30, sound_path=sound))
        assert info.video_seconds == 2.0
        assert abs(info.audio_seconds - 2.0) <= 1 / 30


def test_sound_from_the_middle(tmp_path):
    sound = beep(tmp_path / "a.wav", 5.0, [3.5])
    path = write("mp4", tmp_path / "c.mp4", 50, sound_path=sound, sound_start_seconds=3.0)
    samples = read_sound(path).samples
    assert np.flatnonzero(np.abs(samples) > 0.2)[0] / 16_000 == pytest.approx(0.5, abs=0.02)


def test_eight_channels_become_two(tmp_path):
    sound = beep(tmp_path / "a.wav", 1.0, [0.2], 48_000, 8)
    path = write("mp4", tmp_path / "c.mp4", 25, sound_path=sound)
    assert read_sound(path).info.channels == 2


def test_odd_size_is_padded_by_its_own_edge(tmp_path):
    frame = gradient(301, 257)
    with open_writer("mp4", tmp_path / "a.mp4", (301, 257), 25, crf=4) as clip:
        clip.write(frame)
    with read_frames(tmp_path / "a.mp4") as frames:
        back = next(iter(frames))
    assert back.shape == (258, 302, 3)
    assert np.abs(back[:257, :301].astype(int) - frame).mean() < 4
    assert np.abs(back[257].astype(int) - back[256]).mean() < 6


def test_colors_survive(tmp_path):
    """Saturated patches come back within 4 of 255: the matrix written is the matrix tagged."""
    colors = [(255, 0, 0), (0, 255, 0), (0, 0, 255), (200, 150, 120), (128, 128, 128), (255, 255, 255)]
    frame = np.concatenate([np.full((256, 64, 3), c, np.uint8) for c in colors], axis=1)
    with open_writer("mp4", tmp_path / "a.mp4", frame.shape[1::-1], 25) as clip:
        clip.write(frame)
    with read_frames(tmp_path / "a.mp4") as frames:
        back = next(iter(frames))
    for i, color in enumerate(colors):
        assert np.abs(back[128, 64 * i + 32].astype(int) - color).max() <= 4


@pytest.mark.parametrize("format", CLIP_FORMATS)
def test_recipe_round_trip(tmp_path, format):
    path = write(format, tmp_path / f"a{SUFFIX[format]}", recipe=RECIPE)
    assert read_recipe(path) == RECIPE
    bare = write(format, tmp_path / f"b{SUFFIX[format]}")
    assert read_recipe(bare) is None
    assert parts(tmp_path) == []


def test_recipe_of_foreign_and_broken_files(tmp_path):
    (tmp_path / "a.mp4").write_bytes(b"no video at all" * 50)
    with pytest.raises(UnreadableMediaError):
        read_recipe(tmp_path / "a.mp4")
    with pytest.raises(NotFoundError):
        read_recipe(tmp_path / "gone.mp4")
    with pytest.raises(LimitExceededError, match="recipe"):
        write("mp4", tmp_path / "b.mp4", recipe={"text": "x" * 2_000_000})
    assert [p.name for p in tmp_path.iterdir()] == ["a.mp4"]


def test_same_frames_same_bytes(tmp_path):
    for format, row in CLIP_FORMATS.items():
        first = write(format, tmp_path / f"a{SUFFIX[format]}", recipe=RECIPE).read_bytes()
        second = write(format, tmp_path / f"b{SUFFIX[format]}", recipe=RECIPE).read_bytes()
        assert row.same_bytes == (first == second), "the table says whether bytes can be compared"


@pytest.mark.parametrize("format", CLIP_FORMATS)
def test_each_row_says_what_its_writer_does(tmp_path, format):
    row = CLIP_FORMATS[format]
    assert clip_format_of(tmp_path / f"A{row.suffix.upper()}") is row
    channels = 4 if row.has_alpha else 3
    assert channels in writer_of(row).channels
    sound = beep(tmp_path / "a.wav", 1.0, [0.1])
    folder = PartsFolder(tmp_path / "parts", "one clip")
    path = write(format, tmp_path / f"a{row.suffix}", 60, sound_path=sound, parts=folder)
    assert row.is_resumable == any((tmp_path / "parts").glob("part-*"))
    if row.has_sound or row.shown == "video":
        assert probe_video(path).has_audio == row.has_sound
    with read_clip(path) as frames:
        seen = list(frames)
    assert {frame.shape for frame in seen} == {(192, 256, channels)}
    assert np.abs(seen[0].astype(int) - gradient(256, 192, 0, channels)).mean() < 8


@pytest.mark.parametrize("format", [name for name, row in CLIP_FORMATS.items() if row.is_resumable])
def test_a_resumed_clip_is_the_clip_in_one_go(tmp_path, format):
    """Given up after 70 frames, two seconds are safe; what goes on behind them ends in the same bytes."""
    row = CLIP_FORMATS[format]
    channels = 4 if row.has_alpha else 3
    whole = write(format, tmp_path / f"a{row.suffix}", 120, parts=PartsFolder(tmp_path / "one", "x"))
    folder, path = PartsFolder(tmp_path / "two", "x"), tmp_path / f"b{row.suffix}"
    with pytest.raises(KeyError), open_writer(format, path, (256, 192), 25, parts=folder) as clip:  # noqa: PT012
        for i in range(70):
            clip.write(gradient(256, 192, i, channels))
        raise KeyError("the process was told to end")
    assert not path.exists()
    with open_writer(format, path, (256, 192), 25, parts=folder) as clip:
        assert clip.frames == 50
        for i in range(50, 120):
            clip.write(gradient(256, 192, i, channels))
    assert path.read_bytes() == whole.read_bytes()
    with open_writer(format, path, (256, 192), 25, parts=PartsFolder(folder.folder, "y")) as clip:
        assert clip.frames == 0, "parts of another clip are thrown away"
        clip.write(gradient(256, 192, 0, channels))


@pytest.mark.parametrize("rate", [24, 25, 30, 60])
def test_a_clip_of_many_parts_is_as_long_as_its_frames(tmp_path, rate):
    """Picture and sound came apart by half a second in an hour at rates whose parts are no whole milliseconds."""
    rng = np.random.default_rng(1)
    with open_writer("mp4", tmp_path / "a.mp4", (256, 256), rate, parts=PartsFolder(tmp_path / "p", "x")) as clip:
        still, noisy = rng.integers(0, 255, (2, 256, 256, 3), np.uint8)
        for i in range(230):
            clip.write(still if i % 3 else np.roll(noisy, i, 1))
    info = probe_video(tmp_path / "a.mp4")
    assert (info.frames, info.video_seconds) == (230, pytest.approx(230 / rate, abs=1e-4))


def test_webm_has_real_alpha(tmp_path):
    alpha = np.zeros((256, 256), np.uint8)
    alpha[:, 64:128], alpha[:, 128:] = 128, 255
    frame = np.dstack([gradient(256, 256), alpha])
    sound = beep(tmp_path / "a.wav", 1.0, [0.5])
    with open_writer("webm", tmp_path / "a.webm", (256, 256), 25, sound_path=sound) as clip:
        for _ in range(25):
            clip.write(frame)
    info = probe_video(tmp_path / "a.webm")
    assert (info.codec, info.audio_codec, info.has_alpha, info.frames) == ("vp9", "opus", True, 25)
    assert abs(info.audio_seconds - 1.0) <= 1 / 25
    with read_frames(tmp_path / "a.webm", alpha=True) as frames:
        back = list(frames)[-1]
    assert back.shape == (256, 256, 4)
    for column, value in ((30, 0), (96, 128), (200, 255)):
        assert abs(int(back[128, column, 3]) - value) <= 6
    assert np.abs(back[:, 140:, :3].astype(int) - frame[:, 140:, :3]).mean() < 8


@pytest.mark.parametrize(("rate", "expected"), [(24, 12), (25, 13), (30, 15), (60, 15)])
def test_gif_drops_to_fifteen_and_keeps_time(tmp_path, rate, expected):
    path = write("gif", tmp_path / "a.gif", rate, (256, 128), rate)
    with Image.open(path) as gif:
        assert gif.n_frames == expected
        total = 0
        for i in range(gif.n_frames):
            gif.seek(i)
            total += gif.info["duration"]
        assert gif.info["loop"] == 0
    assert total == pytest.approx(1000 * expected / (rate / np.ceil(rate / 15)), abs=15)


def test_png_sequence_folder_and_zip(tmp_path):
    write("png", tmp_path / "frames", 3, recipe=RECIPE)
    write("png", tmp_path / "frames.zip", 3, recipe=RECIPE)
    names = [f"frame_{i:06d}.png" for i in range(3)]
    assert sorted(p.name for p in (tmp_path / "frames").iterdir()) == names
    assert read_recipe(tmp_path / "frames") == RECIPE
    assert np.array_equal(np.asarray(Image.open(tmp_path / "frames" / names[2])), gradient(256, 192, 2))
    with zipfile.ZipFile(tmp_path / "frames.zip") as archive:
        assert archive.namelist() == names
        assert archive.read(names[1]) == (tmp_path / "frames" / names[1]).read_bytes()
    with pytest.raises(ConflictError, match="not empty"):
        write("png", tmp_path / "frames", 1)
    assert parts(tmp_path) == []


def test_bad_requests(tmp_path):
    with pytest.raises(UserInputError, match="format"):
        open_writer("avi", tmp_path / "a.avi", (256, 256), 25)
    with pytest.raises(UserInputError, match="frames per second"):
        open_writer("mp4", tmp_path / "a.mp4", (256, 256), 23)
    for size in ((128, 100), (4000, 2000)):
        with pytest.raises(LimitExceededError, match="longer side"):
            open_writer("mp4", tmp_path / "a.mp4", size, 25)
    with pytest.raises(NotFoundError, match="folder"):
        open_writer("mp4", tmp_path / "no" / "a.mp4", (256, 256), 25)
    with pytest.raises(NotFoundError):
        open_writer("mp4", tmp_path / "a.mp4", (256, 256), 25, sound_path=tmp_path / "gone.wav")
    (tmp_path / "text.wav").write_text("no sound")
    with pytest.raises(UnreadableMediaError):
        open_writer("mp4", tmp_path / "a.mp4", (256, 256), 25, sound_path=tmp_path / "text.wav")
    assert [p.name for p in tmp_path.iterdir()] == ["text.wav"]


@pytest.mark.parametrize("format", CLIP_FORMATS)
def test_an_exception_leaves_nothing(tmp_path, format):
    channels = 4 if CLIP_FORMATS[format].has_alpha else 3
    path = tmp_path / f"a{SUFFIX[format]}"
    path.write_bytes(b"the earlier clip")
    with pytest.raises(KeyError), open_writer(format, path, (256, 256), 25, recipe=RECIPE) as clip:  # noqa: PT012
        clip.write(gradient(256, 256, 0, channels))
        raise KeyError("the renderer failed")
    with pytest.raises(EngineError, match="no frames"), open_writer(format, path, (256, 256), 25):
        pass
    with pytest.raises(ValueError, match="expected"), open_writer(format, path, (256, 256), 25) as clip:
        clip.write(np.zeros((9, 9, channels), np.uint8))
    assert [p.name for p in tmp_path.iterdir()] == ["a" + SUFFIX[format]]
    assert path.read_bytes() == b"the earlier clip"


def encoders() -> list[psutil.Process]:
    """Return the encoders of this process, and none of its other children: a browser of another test may be one."""
    return [c for c in psutil.Process().children() if "ffmpeg" in c.name()]


def test_killed_encoder_is_an_engine_error(tmp_path):
    with pytest.raises(EngineError, match="ffmpeg"), open_writer("mp4", tmp_path / "a.mp4", (512, 512), 25) as clip:  # noqa: PT012
        clip.write(gradient(512, 512))
        for child in encoders():
            child.kill()
        for i in range(50):
            clip.write(gradient(512, 512, i))
    assert list(tmp_path.iterdir()) == []


def test_killed_process_leaves_no_final_file(tmp_path):
    program = f"""
        import os, numpy as np
        from studio.engines.media.video import open_writer
        clip = open_writer("mp4", {str(tmp_path / "a.mp4")!r}, (256, 256), 25)
        for i in range(20):
            clip.write(np.zeros((256, 256, 3), np.uint8))
        print("ready", flush=True)
        os.kill(os.getpid(), 9) if os.name != "nt" else os._exit(9)
    """
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(program)], capture_output=True, check=False)
    assert b"ready" in done.stdout
    assert done.returncode != 0
    assert not (tmp_path / "a.mp4").exists()
    assert all(p.name.startswith(PART_PREFIX) for p in tmp_path.iterdir())


def test_words_of_a_full_disk(tmp_path):
    for words in ("av_interleaved_write_frame(): No space left on device", "Disk quota exceeded"):
        assert isinstance(ffmpeg.write_error(words, tmp_path / "a.mp4", 228), StoreError)
    error = ffmpeg.write_error("Unknown encoder 'libx264'", tmp_path / "a.mp4", 1)
    assert isinstance(error, EngineError)
    assert "Unknown encoder" in error.hint


def test_really_full_disk(tmp_path):
    """A file system of 300 KB; needs the right to mount one in a name space of its own."""
    program = """
        import sys, numpy as np
        from studio.engines.media.video import open_writer
        from studio.errors import StoreError
        noise = np.random.default_rng(0)
        try:
            with open_writer(sys.argv[1], sys.argv[2], (512, 512), 25) as clip:
                for _ in range(60):
                    clip.write(noise.integers(0, 255, (512, 512, 3), dtype=np.uint8))
        except StoreError as error:
            print("STORE", error.message)
    """
    (tmp_path / "p.py").write_text(textwrap.dedent(program))
    mount = tmp_path / "small"
    mount.mkdir()
    for format in ("mp4", "png"):
        out = mount / f"a{SUFFIX[format]}"
        run = f"{sys.executable} {tmp_path}/p.py {format} {out}"
        script = f"mount -t tmpfs -o size=300k none {mount} && {run}; ls -A {mount}"
        try:
            done = subprocess.run(
                ["unshare", "-rm", "sh", "-c", script],
                capture_output=True,
                text=True,
                check=False,
                env={**os.environ, "PYTHONPATH": os.getcwd()},
            )
        except FileNotFoundError:
            pytest.skip("no unshare on this system")
        if "mount" in done.stderr or "unshare" in done.stderr:
            pytest.skip(f"cannot mount a small disk here: {done.stderr.strip()[:80]}")
        assert f"STORE The disk is full: {out.name} could not be written." in done.stdout, done.stdout + done.stderr
        assert PART_PREFIX not in done.stdout


def test_memory_stays_flat_over_3000_frames(tmp_path):
    process = psutil.Process()
    frame = np.ascontiguousarray(gradient(256, 256))
    sound = beep(tmp_path / "a.wav", 120.0, [1.0], 16_000, 1)
    with open_writer("mp4", tmp_path / "a.mp4", (256, 256), 25, preset="ultrafast", sound_path=sound) as clip:
        for _ in range(200):
            clip.write(frame)
        before = process.memory_info().rss
        children = max(child.memory_info().rss for child in encoders())
        for _ in range(2800):
            clip.write(frame)
        grown = process.memory_info().rss - before
        grown_child = max(child.memory_info().rss for child in encoders()) - children
    assert grown < 8e6  # 3000 frames are 590 MB
    assert grown_child < 60e6
    info = probe_video(tmp_path / "a.mp4")
    assert info.frames == 3000
    assert abs(info.audio_seconds - 120) <= 1 / 25
    before = process.memory_info().rss
    with read_frames(tmp_path / "a.mp4") as frames:
        assert sum(1 for _ in frames) == 3000
    assert process.memory_info().rss - before < 8e6


def test_reading_reduces_turns_and_stops(tmp_path):
    path = write("mp4", tmp_path / "a.mp4", 30, (512, 256), 30)
    with read_frames(path, longer_side=128) as frames:
        assert frames.frame_rate_hz == 30
        assert frames.duration_seconds == pytest.approx(1.0, abs=0.01)
        first = next(iter(frames))
        assert first.shape == (64, 128, 3)
    turned = tmp_path / "turned.mp4"
    subprocess.run(
        [ffmpeg.binary(), "-v", "error", "-display_rotation", "90", "-i", path, "-c", "copy", turned], check=True
    )
    with read_frames(turned) as frames:
        assert next(iter(frames)).shape == (512, 256, 3)
    with pytest.raises(LimitExceededError):
        read_frames(path, max_seconds=0.5)
    (tmp_path / "text.mp4").write_text("no video")
    with pytest.raises(UnreadableMediaError):
        read_frames(tmp_path / "text.mp4")
    with pytest.raises(UnreadableMediaError, match="no moving picture"):
        read_frames(beep(tmp_path / "b.wav", 1.0, [0.2]))


def test_encoding_is_fast_enough(tmp_path):
    """250 frames of 512 x 512 on one encoder thread: 3 s of processor time, whatever else runs."""
    frames = [gradient(512, 512, i) for i in range(8)]
    before = os.times()
    with open_writer("mp4", tmp_path / "a.mp4", (512, 512), 25, threads=1) as clip:
        for i in range(250):
            clip.write(frames[i % 8])
    after = os.times()
    used = sum(after[i] - before[i] for i in range(4))
    assert used < 4.5
