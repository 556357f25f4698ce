"""Every kind of picture a person may bring, made for real and read back."""

import hashlib
import io
import struct
import subprocess
import sys
import zlib
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image, ImageCms, ImageDraw

from studio.engines.media import atomic
from studio.engines.media.pictures import (
    fit_longer_side,
    png_bytes,
    read_picture,
    thumbnail_jpeg,
    write_png,
)
from studio.engines.media.recipe import read_recipe
from studio.errors import LimitExceededError, NotFoundError, StoreError, UnreadableMediaError

RECIPE = {"seed": 7, "engine": "rig", "text": "é ☺ = ; # \\ \n end", "nested": {"a": [1, 2.5, None]}}


@pytest.fixture
def rgb():
    ramp = np.linspace(0, 255, 96)
    picture = np.stack([*np.meshgrid(ramp, ramp[:64]), np.full((64, 96), 90.0)], axis=2)
    return picture.astype(np.uint8)


def encoded(picture: Image.Image, kind: str, **options) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, kind, **options)
    return buffer.getvalue()


def test_plain_png_is_exact_and_hashed(rgb, tmp_path):
    path = tmp_path / "photo.txt"  # the name does not matter
    path.write_bytes(encoded(Image.fromarray(rgb), "PNG"))
    picture = read_picture(path)
    assert np.array_equal(picture.rgb, rgb)
    assert picture.alpha is None
    assert picture.original_size == (96, 64)
    assert (picture.format, picture.notes) == ("PNG", ())
    assert picture.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_undone(rgb, orientation):
    undo = {
        1: lambda a: a,
        2: lambda a: a[:, ::-1],
        3: lambda a: a[::-1, ::-1],
        4: lambda a: a[::-1],
        5: lambda a: a.transpose(1, 0, 2),
        6: lambda a: np.rot90(a, -1),
        7: lambda a: a[::-1, ::-1].transpose(1, 0, 2),
        8: lambda a: np.rot90(a, 1),
    }
    exif = Image.Exif()
    exif[0x0112] = orientation
    picture = read_picture(encoded(Image.fromarray(rgb), "PNG", exif=exif))
    assert np.array_equal(picture.rgb, undo[orientation](rgb))
    assert ("turned by its EXIF orientation" in picture.notes) == (orientation > 1)


def test_cmyk_jpeg(rgb):
    picture = read_picture(encoded(Image.fromarray(rgb).convert("CMYK"), "JPEG", quality=95))
    assert np.abs(picture.rgb.astype(int) - rgb).mean() < 4
    assert "converted from CMYK" in picture.notes


def png16(pixels: np.ndarray, color_type: int) -> bytes:
    """Write a 16-bit PNG by hand."""
    height, width = pixels.shape[:2]
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in pixels)

    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = struct.pack(">IIBBBBB", width, height, 16, color_type, 0, 0, 0)
    body = chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + body


def test_16_bit_gray_and_color(rgb):
    gray = read_picture(png16(rgb[:, :, 0].astype(np.uint16) * 257, 0))
    assert np.array_equal(gray.rgb, np.repeat(rgb[:, :, :1], 3, axis=2))
    color = read_picture(png16(rgb.astype(np.uint16) * 257, 2))
    assert np.array_equal(color.rgb, rgb)
    assert gray.notes == color.notes == ("16-bit reduced to 8",)


@pytest.mark.parametrize("mode", ["1", "L", "P", "LA", "RGBA", "YCbCr"])
def test_other_modes(rgb, mode):
    kind = "JPEG" if mode == "YCbCr" else "PNG"
    picture = read_picture(encoded(Image.fromarray(rgb).convert(mode), kind))
    assert picture.rgb.shape == rgb.shape
    assert picture.rgb.dtype == np.uint8
    assert picture.alpha is None  # fully opaque


def test_alpha_is_kept_and_flattened_on_gray(rgb):
    alpha = np.zeros((64, 96), np.uint8)
    alpha[:, 32:64], alpha[:, 64:] = 128, 255
    picture = read_picture(encoded(Image.fromarray(np.dstack([rgb, alpha])), "PNG"))
    assert np.array_equal(picture.alpha, alpha)
    assert (picture.rgb[:, :32] == 128).all()
    assert np.array_equal(picture.rgb[:, 64:], rgb[:, 64:])
    half = (rgb[:, 32:64].astype(int) + 128) / 2
    assert np.abs(picture.rgb[:, 32:64] - half).max() <= 1


def test_palette_with_transparency(rgb):
    source = Image.fromarray(rgb).quantize(16)
    picture = read_picture(encoded(source, "PNG", transparency=0))
    assert picture.alpha is not None
    assert set(np.unique(picture.alpha)) == {0, 255}


@pytest.mark.parametrize("kind", ["GIF", "WEBP", "PNG"])
def test_first_frame_of_an_animation(kind):
    frames = [Image.new("RGB", (40, 30), color) for color in ("red", "blue", "lime")]
    data = encoded(frames[0], kind, save_all=True, append_images=frames[1:], duration=80)
    picture = read_picture(data)
    assert np.abs(picture.rgb.reshape(-1, 3).mean(0) - [255, 0, 0]).max() < 6
    assert "first frame of an animation" in picture.notes


@pytest.mark.parametrize("kind", ["HEIF", "AVIF"])
def test_heic_and_avif(rgb, kind):
    import pillow_heif

    pillow_heif.register_heif_opener()
    picture = read_picture(encoded(Image.fromarray(rgb), kind, quality=95))
    assert picture.format == kind
    assert np.abs(picture.rgb.astype(int) - rgb).mean() < 4


def test_color_profile_is_converted():
    lab = ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB"))
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB"))
    gray = Image.new("RGB", (32, 32), (200, 60, 60))
    assert read_picture(encoded(gray, "PNG", icc_profile=srgb.tobytes())).notes == ()
    assert read_picture(encoded(gray.convert("L"), "PNG", icc_profile=srgb.tobytes())).notes == ()
    wrong = read_picture(encoded(gray, "PNG", icc_profile=lab.tobytes()))
    assert wrong.notes == ("its color profile cannot be used; taken as sRGB",)
    broken = read_picture(encoded(gray, "PNG", icc_profile=b"not a profile"))
    assert broken.notes == wrong.notes
    assert np.array_equal(broken.rgb[0, 0], [200, 60, 60])


@pytest.mark.parametrize("name", ["sRGB", "swap"])
def test_a_profile_is_judged_by_what_it_holds_and_not_by_its_name(name):
    # A matrix profile with red and green primaries swapped: the one thing it can do is swap them back.
    data = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    tags = {
        bytes(data[132 + 12 * i : 136 + 12 * i]): 132 + 12 * i for i in range(struct.unpack(">I", data[128:132])[0])
    }
    red, green = tags[b"rXYZ"] + 4, tags[b"gXYZ"] + 4
    data[red : red + 8], data[green : green + 8] = data[green : green + 8], data[red : red + 8]
    data = bytes(data).replace("sRGB".encode("utf-16-be"), name.encode("utf-16-be"))
    picture = read_picture(encoded(Image.new("RGB", (16, 16), (220, 40, 40)), "PNG", icc_profile=data))
    assert picture.rgb[0, 0, 1] > 180 > 90 > picture.rgb[0, 0, 0]
    assert any("to sRGB" in note for note in picture.notes)


def test_tiny_picture_is_accepted_here():
    assert read_picture(png_bytes(np.zeros((20, 20, 3), np.uint8))).original_size == (20, 20)


def test_12000_pixels_wide_and_reduced():
    wide = Image.new("RGB", (12_000, 900), (10, 200, 30))
    ImageDraw.Draw(wide).rectangle((6000, 0, 12_000, 900), fill=(240, 0, 0))
    picture = read_picture(encoded(wide, "JPEG"))
    assert picture.original_size == (12_000, 900)
    small = fit_longer_side(picture.rgb, 1024)
    assert small.shape == (77, 1024, 3)
    assert np.abs(small[40, 100].astype(int) - [10, 200, 30]).max() < 4


def test_reduction_is_as_good_as_area_averaging():
    noise = np.random.default_rng(1).integers(0, 256, (600, 900, 3), dtype=np.uint8)
    noise = cv2.GaussianBlur(noise, (0, 0), 1.5)
    ours, area = fit_longer_side(noise, 300), cv2.resize(noise, (300, 200), interpolation=cv2.INTER_AREA)
    assert ours.shape == area.shape
    assert np.abs(ours.astype(int) - area).mean() < 1.5
    assert fit_longer_side(noise, 2000) is noise


def test_thumbnails(rgb):
    small = Image.open(io.BytesIO(thumbnail_jpeg(rgb, 48)))
    assert (small.size, small.format) == ((48, 32), "JPEG")


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("empty.png", b""),
        ("text.png", b"this is not a picture\n" * 40),
        ("header.png", b"\x89PNG\r\n\x1a\n" + b"\0" * 60),
        ("script.jpg", b"<svg xmlns='http://www.w3.org/2000/svg'/>"),
        ("postscript.png", b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\nshowpage\n"),
        ("zip.png", b"PK\x03\x04" + b"\0" * 100),
    ],
)
def test_no_picture(tmp_path, name, data):
    (tmp_path / name).write_bytes(data)
    with pytest.raises(UnreadableMediaError) as caught:
        read_picture(tmp_path / name)
    assert name in caught.value.message
    assert caught.value.hint


def test_truncated_jpeg(rgb):
    noise = np.random.default_rng(0).integers(0, 255, (300, 300, 3), dtype=np.uint8)
    data = encoded(Image.fromarray(noise), "JPEG")
    with pytest.raises(UnreadableMediaError, match="breaks off"):
        read_picture(data[: len(data) // 2])


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "TIFF", "GIF", "AVIF", "BMP"])
def test_damaged_bytes_never_raise_a_foreign_error(rgb, kind):
    data = bytearray(encoded(Image.fromarray(rgb), kind))
    random = np.random.default_rng(5)
    refused = 0
    for _ in range(25):
        hurt = bytearray(data)
        for at in random.integers(8, len(data), 12):
            hurt[at] = random.integers(0, 256)
        cut = bytes(hurt[: random.integers(20, len(hurt))])
        try:
            read_picture(cut, max_pixels=1_000_000)
        except (UnreadableMediaError, LimitExceededError):
            refused += 1
    assert refused > 0


def test_decompression_bomb(tmp_path):
    def bomb(width, height):
        good = bytearray(png_bytes(np.zeros((1, 1, 3), np.uint8)))
        good[16:24] = struct.pack(">II", width, height)
        good[29:33] = struct.pack(">I", zlib.crc32(good[12:29]))
        return bytes(good)

    for size in ((60_000, 60_000), (13_000, 12_000)):
        with pytest.raises(LimitExceededError, match="pixels"):
            read_picture(bomb(*size))
    with pytest.raises(LimitExceededError, match="100 x 90"):
        read_picture(png_bytes(np.zeros((90, 100, 3), np.uint8)), max_pixels=8_000)
    with pytest.raises(LimitExceededError, match="MB"):
        read_picture(b"x" * 2000, max_bytes=1000)


def test_missing_file_and_folder(tmp_path):
    with pytest.raises(NotFoundError, match=r"gone\.png"):
        read_picture(tmp_path / "gone.png")
    with pytest.raises(UnreadableMediaError, match="folder"):
        read_picture(tmp_path)


def test_png_carries_its_recipe(rgb, tmp_path):
    path = write_png(tmp_path / "out.png", rgb, RECIPE)
    assert read_recipe(path) == RECIPE
    assert np.array_equal(read_picture(path).rgb, rgb)
    rgba = np.dstack([rgb, rgb[:, :, 0]])
    assert np.array_equal(read_picture(write_png(tmp_path / "a.png", rgba)).alpha, rgba[:, :, 3])
    assert read_recipe(tmp_path / "a.png") is None
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.png", "out.png"]


def test_damaged_recipe_is_told(tmp_path, rgb):
    path = write_png(tmp_path / "out.png", rgb, {"seed": 1})
    data = path.read_bytes()
    at = data.index(b'{"seed"')
    start = data.rindex(b"iTXt", 0, at)
    length = struct.unpack(">I", data[start - 4 : start])[0]
    body = data[start : start + 4 + length].replace(b'{"seed"', b'["seed"')
    path.write_bytes(data[:start] + body + struct.pack(">I", zlib.crc32(body)) + data[start + 8 + length :])
    with pytest.raises(UnreadableMediaError, match="damaged"):
        read_recipe(path)


def test_full_disk_leaves_nothing(tmp_path, rgb, monkeypatch):
    def full(_):
        raise OSError(28, "No space left on device")

    (tmp_path / "old.png").write_bytes(b"old")
    monkeypatch.setattr(atomic.os, "fsync", full)
    with pytest.raises(StoreError, match="disk is full"):
        write_png(tmp_path / "old.png", rgb)
    assert (tmp_path / "old.png").read_bytes() == b"old"
    assert [p.name for p in tmp_path.iterdir()] == ["old.png"]


def test_folder_that_does_not_exist(tmp_path, rgb):
    with pytest.raises(NotFoundError, match="folder"):
        write_png(tmp_path / "no" / "x.png", rgb)


def test_old_parts_are_cleared_and_young_ones_stay(tmp_path):
    part = atomic.part_path(tmp_path / "clip.mp4")
    part.write_bytes(b"half")
    (tmp_path / "clip.mp4").write_bytes(b"whole")
    born = part.stat().st_mtime
    assert atomic.clear_parts(tmp_path, 60, born + 30) == 0
    assert atomic.clear_parts(tmp_path, 60, born + 90) == 1
    assert [p.name for p in tmp_path.iterdir()] == ["clip.mp4"]


def test_first_picture_of_a_fresh_process_may_be_of_any_kind(tmp_path):
    """Pillow knows only five formats until it is told to load them all."""
    Image.new("RGB", (40, 30), "red").save(tmp_path / "a.webp")
    program = (
        "import sys; from studio.engines.media.pictures import read_picture; print(read_picture(sys.argv[1]).format)"
    )
    done = subprocess.run([sys.executable, "-c", program, tmp_path / "a.webp"], capture_output=True, check=False)
    assert done.stdout.strip() == b"WEBP", done.stderr


def test_phone_jpeg_with_a_second_image(rgb):
    data = encoded(Image.fromarray(rgb), "MPO", save_all=True, append_images=[Image.new("RGB", (96, 64), "red")])
    picture = read_picture(data)
    assert picture.format == "MPO"
    assert picture.notes == ()
    assert np.abs(picture.rgb.astype(int) - rgb).mean() < 6


def test_a_window_reads_no_other_format_than_ours(tmp_path: Path) -> None:
    """In a process of its own: it is what the window's library then opens uploads with."""
    psd = b"8BPS" + b"\x00\x01" + bytes(6) + b"\x00\x03" + b"\x00\x00\x00\x08" * 2 + b"\x00\x08\x00\x03" + bytes(300)
    (tmp_path / "x.psd").write_bytes(psd)
    code = (
        "import sys\nfrom pathlib import Path\nfrom PIL import Image, features\nfrom studio.studio import Studio\n"
        f"folder = Path({str(tmp_path)!r})\n"
        "Image.open(folder / 'x.psd').close()\n"
        "with Studio(folder / 'data') as studio:\n    studio.start(worker=False, sample=False)\n"
        "for name in ('png', 'jpg', 'webp', 'tiff', 'bmp', 'gif', 'heic', 'avif'):\n"
        "    Image.new('RGB', (32, 32)).save(folder / f'x.{name}')\n    Image.open(folder / f'x.{name}').load()\n"
        "try:\n    Image.open(folder / 'x.psd')\nexcept Image.UnidentifiedImageError:\n    print('refused')\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout.strip() == "refused", done.stderr
