"""Files whose header, order or name says something else than what is meant."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pillow_heif
import pytest
from PIL import Image, TiffImagePlugin

from studio.engines.media import ffmpeg
from studio.engines.media.pictures import read_picture
from studio.engines.media.sound import read_sound
from studio.errors import UnreadableMediaError


def test_the_main_picture_of_a_heic_is_read(tmp_path: Path) -> None:
    file = pillow_heif.HeifFile()
    for level in (30, 200):
        file.add_from_pillow(Image.new("RGB", (64, 48), (level, level, level)))
    file.save(tmp_path / "two.heic", primary_index=1)
    assert abs(float(np.mean(read_picture(tmp_path / "two.heic").rgb)) - 200) < 8


def test_a_raw_photo_is_named() -> None:
    for tag, value in ((50706, b"\x01\x04\x00\x00"), (None, None)):
        tags, buffer = TiffImagePlugin.ImageFileDirectory_v2(), io.BytesIO()
        if tag is not None:
            tags[tag] = value
            tags.tagtype[tag] = 1
        Image.new("RGB", (160, 120)).save(buffer, "TIFF", tiffinfo=tags)
        if tag is None:
            assert read_picture(buffer.getvalue()).rgb.shape == (120, 160, 3)
            continue
        with pytest.raises(UnreadableMediaError, match="raw photo"):
            read_picture(buffer.getvalue())


def make(path: Path, *arguments: str) -> Path:
    code, _, log = ffmpeg.run(["-y", "-v", "error", *arguments, str(path)])
    assert code == 0, log
    return path


def test_estimated_lengths_are_no_judgement(tmp_path: Path) -> None:
    noise = "aevalsrc=random(0)*.5*lt(t\\,2):s=44100:d=20"
    path = make(tmp_path / "vbr.mp3", "-f", "lavfi", "-i", noise, "-q:a", "0", "-write_xing", "0")
    assert read_sound(path).notes == ()


def test_a_video_that_is_longer_than_its_sound_is_whole(tmp_path: Path) -> None:
    path = make(
        tmp_path / "v.mp4", "-f", "lavfi", "-i", "color=s=64x64:d=6:r=5",
        "-f", "lavfi", "-i", "sine=d=2", "-c:a", "aac",
    )  # fmt: skip
    found = read_sound(path)
    assert found.notes == ()
    assert found.duration_seconds < 3
