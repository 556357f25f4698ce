"""The invisible mark: what it survives, what it costs the picture, and that nothing else is taken for one."""

from __future__ import annotations

import io

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from scipy import ndimage

from studio.engines.base import Sound
from studio.engines.media import ffmpeg
from studio.engines.media.sound import read_sound, trim, write_wav
from studio.engines.media.video import open_writer, read_clip
from studio.engines.media.watermark import MOST, Watermark
from studio.engines.media.watermark_sound import resampled
from studio.engines.media.watermark_tile import BY_CHECK, BY_KNOWN, FoundMark
from studio.services.sample import sample_portrait
from studio.studio import ASSETS

KEY = bytes(range(32))
PATTERN = [[1.01, 0.82, 0.29, -0.52], [1.3, 1.11, 0.52, -0.37], [1.82, 1.65, 1.01, 0.03], [2.42, 2.26, 1.58, 0.54]]


@pytest.fixture(scope="module")
def marks():
    return Watermark(KEY)


@pytest.fixture(scope="module")
def portrait():
    with Image.open(sample_portrait()) as opened:
        return np.asarray(opened.convert("RGB").resize((512, 512), Image.Resampling.LANCZOS))


@pytest.fixture(scope="module")
def marked(marks, portrait):
    return marks.mark(0xC0FFEE42, 512, 512).apply(portrait)


def scaled(picture, side):
    return np.asarray(Image.fromarray(picture).resize(side, Image.Resampling.LANCZOS))


def packed(picture, quality, kind="JPEG"):
    out = io.BytesIO()
    Image.fromarray(picture).save(out, kind, quality=quality)
    return np.asarray(Image.open(out).convert("RGB"))


def numbers(found):
    return [mark.number for mark in found]


CHANGES = {
    "none": lambda p: p,
    "jpeg 75": lambda p: packed(p, 75),
    "jpeg 50": lambda p: packed(p, 50),
    "webp 60": lambda p: packed(p, 60, "WEBP"),
    "smaller": lambda p: packed(scaled(p, (384, 384)), 90),
    "half": lambda p: packed(scaled(p, (256, 256)), 90),
    "larger": lambda p: packed(scaled(p, (768, 768)), 90),
    "cropped": lambda p: packed(p[20:480, 31:491], 90),
    "cropped and smaller": lambda p: packed(scaled(p[20:480, 31:491], (345, 345)), 75),
    "cropped to a half": lambda p: packed(p[100:356, 128:384], 90),
    "mirrored": lambda p: packed(p[:, ::-1], 75),
    "brighter, gray": lambda p: np.repeat((p.mean(2, keepdims=True) * 0.8 + 40).astype(np.uint8), 3, 2),
    "on a black ground": lambda p: packed(np.pad(p, ((60, 60), (200, 200), (0, 0))), 90),
}


HARD = ("cropped to a half",)
"""What is still read where the number is known."""


@pytest.mark.parametrize("change", CHANGES)
def test_the_number_is_read_after(marks, marked, change):
    known = [0xC0FFEE42] if change in HARD else []
    found = marks.read([CHANGES[change](marked)], known)
    assert numbers(found) == [0xC0FFEE42]
    assert found[0].mirrored == (change == "mirrored")


def test_nobody_sees_it(portrait, marked):
    change = marked.astype(float) - portrait
    assert 10 * np.log10(255**2 / np.mean(change**2)) >= 41
    # even ground, where an eye would find it
    gray = portrait.mean(2)
    even = ndimage.uniform_filter(np.abs(gray - ndimage.uniform_filter(gray, 20)), 30) < 1.5
    assert even.mean() > 0.1
    assert np.abs(change[even]).mean() < 1.0
    assert np.abs(change).max() <= 5 * MOST


@settings(max_examples=20, deadline=None)
@given(number=st.integers(0, 2**32 - 1), side=st.sampled_from([(256, 320), (512, 512), (700, 520), (900, 300)]))
def test_every_number_comes_back_at_every_size(number, side):
    marks = Watermark(KEY)
    ground = np.random.default_rng(number).normal(128, 12, (side[1], side[0], 3)).clip(0, 255).astype(np.uint8)
    assert numbers(marks.read([marks.mark(number, *side).apply(ground)])) == [number]


def test_what_was_made_of_a_marked_picture_has_both_marks(marks, marked):
    again = marks.mark(7, 512, 512).apply(marked)
    assert set(numbers(marks.read([packed(again, 80)]))) == {7, 0xC0FFEE42}


def test_another_key_reads_nothing(marked):
    assert Watermark(b"another key, of 16 bytes or more").read([marked]) == ()


def test_unmarked_pictures_carry_none(marks, portrait):
    assert BY_CHECK + BY_KNOWN <= 1e-6
    rng = np.random.default_rng(4)
    for picture in (portrait, np.zeros((300, 200, 3), np.uint8), rng.integers(0, 256, (256, 256, 3), np.uint8)):
        assert marks.read([picture], range(1000)) == ()
    assert marks.read([]) == ()


def test_the_number_for_a_thing_is_its_own_and_the_keys(marks):
    assert marks.number_of(b"recipe") == Watermark(KEY).number_of(b"recipe")
    others = {marks.number_of(b"another"), Watermark(b"x" * 32).number_of(b"recipe")}
    assert marks.number_of(b"recipe") not in others


def test_the_pattern_of_a_key_stays(marks):
    """Marks are to be read in years: a change of the pattern would make all earlier ones unreadable."""
    tile = marks.mark(1, 512, 512).pattern[:4, :4]
    assert tile == pytest.approx(np.array(PATTERN), abs=0.006)


def test_alpha_and_the_picture_itself_stay(marks, portrait):
    clear = np.dstack([portrait, np.tile(np.arange(256, dtype=np.uint8), (512, 2))])
    before = clear.copy()
    out = marks.mark(3, 512, 512).apply(clear)
    assert np.array_equal(out[..., 3], clear[..., 3])
    assert np.array_equal(clear, before)
    assert numbers(marks.read([out])) == [3]


def test_bad_values(marks, portrait):
    with pytest.raises(ValueError, match="16 bytes"):
        Watermark(b"short")
    with pytest.raises(ValueError, match="four bytes"):
        marks.mark(2**32, 512, 512)
    with pytest.raises(ValueError, match="the mark"):
        marks.mark(1, 512, 256).apply(portrait)


@pytest.fixture(scope="module")
def talking(portrait):
    """A clip in which the head moves and what is behind it does not."""
    y, x = np.mgrid[:512, :512]
    head = np.clip(1.4 - np.hypot((x - 256) / 170, (y - 240) / 220), 0, 0.25)[..., None] * 4
    shifts = [(round(4 * np.cos(i / 9)), round(6 * np.sin(i / 7))) for i in range(75)]
    moved = [np.roll(portrait, shift, (0, 1)) * head + portrait * (1 - head) for shift in shifts]
    return [frame.astype(np.uint8) for frame in moved]


@pytest.mark.parametrize("format", ["mp4", "webm", "gif", "png"])
def test_a_clip_of_every_format_carries_it(marks, talking, tmp_path, format):
    path = tmp_path / f"clip.{'zip' if format == 'png' else format}"
    with open_writer(format, path, (512, 512), 25, mark=marks.mark(99, 512, 512).apply) as clip:
        for frame in talking[:24]:
            clip.write(frame if format != "webm" else np.dstack([frame, np.full((512, 512), 255, np.uint8)]))
    with read_clip(path) as frames:
        assert numbers(marks.read(list(frames)[::4])) == [99]


def test_a_clip_is_known_after_it_was_cropped_made_smaller_and_compressed_hard(marks, talking, tmp_path):
    first, second = tmp_path / "first.mp4", tmp_path / "second.mp4"
    with open_writer("mp4", first, (512, 512), 25, mark=marks.mark(99, 512, 512).apply) as clip:
        for frame in talking:
            clip.write(frame)
    with read_clip(first) as frames, open_writer("mp4", second, (326, 326), 25, crf=26) as clip:
        for frame in frames:
            clip.write(scaled(frame[50:485, 20:455], (326, 326)))
    with read_clip(second) as frames:
        shown = list(frames)[::3]
    known = [int(n) for n in np.random.default_rng(3).integers(0, 2**32, 2000)]
    assert marks.read(shown, known) == ()  # none of these is it
    found = marks.read(shown, [*known, 99])
    assert numbers(found) == [99]
    assert isinstance(found[0], FoundMark)
    assert found[0].scale == pytest.approx(512 / 435, abs=0.01) or found[0].scale == pytest.approx(435 / 512, abs=0.01)


# -- sound -------------------------------------------------------------------


@pytest.fixture(scope="module")
def speech():
    return read_sound(ASSETS / "speech" / "golden.wav")


@pytest.fixture(scope="module")
def said(marks, speech):
    return marks.mark_sound(speech, 0xBEEF)


def compressed(sound, folder, suffix, *arguments):
    plain, out = write_wav(folder / "plain.wav", sound), folder / f"packed{suffix}"
    code, _, log = ffmpeg.run(["-v", "error", "-y", "-i", str(plain), *arguments, str(out)])
    assert code == 0, log
    return read_sound(out)


PACKINGS = {
    "aac": (".m4a", "-b:a", "64k"),
    "mp3": (".mp3", "-b:a", "64k"),
    "opus": (".ogg", "-c:a", "libopus", "-b:a", "32k"),
}


@pytest.mark.parametrize("packing", PACKINGS)
def test_a_voice_is_read_by_its_check_after(marks, said, tmp_path, packing):
    suffix, *arguments = PACKINGS[packing]
    assert numbers(marks.read_sound(compressed(said, tmp_path, suffix, *arguments))) == [0xBEEF]


@pytest.mark.parametrize("start", [0.4, 4.0, 9.0])
def test_three_seconds_of_a_voice_are_enough_for_a_known_number(marks, said, start):
    part = trim(said, start, start + 3)
    assert numbers(marks.read_sound(part, [*range(1000), 0xBEEF])) == [0xBEEF]
    assert marks.read_sound(part, range(1000)) == ()


def test_a_voice_at_another_rate_and_a_plain_one(marks, speech, tmp_path):
    faster = Sound(resampled(speech.samples, 16_000, 22_050), 22_050)
    marked = marks.mark_sound(faster, 5)
    assert marked.rate_hz == 22_050
    assert len(marked.samples) == len(faster.samples)
    assert numbers(marks.read_sound(read_sound(write_wav(tmp_path / "a.wav", marked)))) == [5]
    for plain in (speech, Sound(np.zeros(16_000, np.float32), 16_000), Sound(np.ones(100, np.float32), 16_000)):
        assert marks.read_sound(plain, range(1000)) == ()


def test_nobody_hears_it(speech, said):
    change = said.samples - speech.samples
    assert 10 * np.log10(np.sum(speech.samples**2) / np.sum(change**2)) >= 18
    assert np.abs(said.samples).max() <= 1.0
    quiet = np.abs(speech.samples) < 1e-4
    assert np.abs(change[quiet]).mean() < 1e-3
