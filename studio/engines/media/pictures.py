"""Any photo a person may bring, made into 8-bit sRGB; and PNG written with its recipe.

The format is decided by content, never by the name. What had to be done to the
picture is told in `Picture.notes`, in words for the person. The pixel count is
checked before anything is unpacked, so that a small file cannot fill the
memory. Knows nothing of faces: whether 20 x 20 pixels are enough is judged
elsewhere.
"""

from __future__ import annotations

import hashlib
import io
import os
import threading
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageCms, ImageOps, PngImagePlugin, UnidentifiedImageError

from studio.engines.media.atomic import atomic_file
from studio.engines.media.recipe import PNG_KEYWORD, picture_comment, recipe_text
from studio.errors import LimitExceededError, UnreadableMediaError
from studio.outside import plain_file

Pixels = NDArray[np.uint8]

MAX_PIXELS = 144_000_000  # 12,000 x 12,000
MAX_BYTES = 256_000_000
NEUTRAL_GRAY = 128  # what shows through transparent pixels
FORMATS = ("PNG", "JPEG", "WEBP", "TIFF", "BMP", "GIF", "HEIF", "AVIF")
"""What is opened at all: Pillow knows thirty more, whose readers nobody needs and somebody attacks."""
SAME_COLOR = 4  # of 255: what profiles of sRGB by different makers differ by
_LONGEST_JPEG_COMMENT = 65_533
_HINT = "Use a JPEG, PNG, WebP, HEIC, AVIF, TIFF, BMP or GIF picture."
_opening = threading.Lock()


@dataclass(frozen=True)
class Picture:
    """A decoded picture, upright, in sRGB.

    Attributes:
        rgb: transparent pixels are blended with neutral gray.  # (H, W, 3) uint8
        alpha: 0 transparent .. 255 opaque; None where all is opaque.  # (H, W) uint8
        original_size: width and height as shown, before any reduction.
        format: Pillow's name of the file format, e.g. "JPEG".
        sha256: of the file's bytes, hexadecimal.
        notes: what was done to it, e.g. "turned by its EXIF orientation".
    """

    rgb: Pixels = field(repr=False)
    alpha: Pixels | None = field(repr=False)
    original_size: tuple[int, int]
    format: str
    sha256: str
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class PictureFile:
    """The bytes of a picture that is not decoded yet.

    Attributes:
        name: to use in messages.
        sha256: of the bytes, hexadecimal.
    """

    data: bytes = field(repr=False)
    name: str
    sha256: str


def read_file(source: str | os.PathLike[str] | bytes, *, max_bytes: int = MAX_BYTES) -> PictureFile:
    """Read a picture's file, so that it can be named by its bytes before it is decoded (or not).

    Raises:
        NotFoundError: no such file.
        UnreadableMediaError: empty, a folder, or it may not be read.
        LimitExceededError: more than `max_bytes`.
    """
    data, name = _bytes_of(source, max_bytes)
    return PictureFile(data, name, hashlib.sha256(data).hexdigest())


def read_picture(
    source: str | os.PathLike[str] | bytes | PictureFile,
    *,
    max_pixels: int = MAX_PIXELS,
    max_bytes: int = MAX_BYTES,
) -> Picture:
    """Decode a picture safely.

    Args:
        source: a path, the bytes of a file, or a file read before.
        max_pixels: width x height that is still unpacked.
        max_bytes: size of the file that is still read.

    Returns:
        The picture, upright and in sRGB.

    Raises:
        NotFoundError: no such file.
        UnreadableMediaError: empty, a folder, no picture, truncated or damaged.
        LimitExceededError: more than `max_pixels` or `max_bytes`.
    """
    file = source if isinstance(source, PictureFile) else read_file(source, max_bytes=max_bytes)
    data, name = file.data, file.name
    notes: list[str] = []
    image = _open(data, name, max_pixels)
    try:
        with image:
            kind = str(image.format)
            _note_source(image, data, notes)
            image.load()
            upright = _upright(image, notes)
            rgb, alpha = _to_srgb(upright, notes)
    except (LimitExceededError, UnreadableMediaError):
        raise
    except MemoryError as exc:
        raise LimitExceededError(f"{name} needs more memory than there is.", "Reduce the picture first.") from exc
    except Exception as exc:  # decoders raise anything on hostile bytes: this is the wall
        if "truncated" in str(exc).lower():
            raise UnreadableMediaError(
                f"{name} breaks off in the middle.", "Copy or download it again; the end of the file is missing."
            ) from exc
        raise UnreadableMediaError(f"{name} is damaged and cannot be read.", _HINT) from exc
    size = (rgb.shape[1], rgb.shape[0])
    return Picture(rgb, alpha, size, kind, file.sha256, tuple(notes))


def _bytes_of(source: str | os.PathLike[str] | bytes, max_bytes: int) -> tuple[bytes, str]:
    """Return the file's bytes and the name to use in messages."""
    if isinstance(source, bytes):
        name, size = "The file", len(source)
        if size == 0:
            raise UnreadableMediaError("The picture is empty.", "The file has 0 bytes; copy or export it again.")
    else:
        path = plain_file(source)
        name, size = path.name, path.stat().st_size
    if size > max_bytes:
        raise LimitExceededError(
            f"{name} is {size / 1e6:.0f} MB, more than the {max_bytes / 1e6:.0f} MB allowed.", "Save a smaller copy."
        )
    if isinstance(source, bytes):
        return source, name
    try:
        return path.read_bytes(), name
    except OSError as exc:
        raise UnreadableMediaError(
            f"{name} cannot be opened: {exc.strerror or type(exc).__name__}.", "Check that you may read the file."
        ) from exc


def forget_other_formats() -> None:
    """Take the readers of all other formats out of Pillow, for the whole process.

    For a process in which other libraries open what a stranger sent, as the
    window's does. Formats that are read as another's variant stay ("MPO" is a JPEG).
    """
    import pillow_heif

    Image.init()
    pillow_heif.register_heif_opener()
    kept = {*FORMATS, "MPO", "DIB", "ICO"}  # a BMP without its head; the browser's icon
    Image.ID[:] = [name for name in Image.ID if name in kept]
    for name in [name for name in Image.OPEN if name not in kept]:
        del Image.OPEN[name]


def _open(data: bytes, name: str, max_pixels: int) -> Image.Image:
    """Read the header, and refuse what would unpack too large."""
    import pillow_heif

    try:
        # catch_warnings is not safe in threads, hence the lock. Pillow's own limit is a warning and
        # a global; ours is an argument.
        with _opening, warnings.catch_warnings():
            Image.init()  # else only five formats are known at the first open
            pillow_heif.register_heif_opener()
            warnings.simplefilter("ignore")
            image = Image.open(io.BytesIO(data), formats=FORMATS)
    except UnidentifiedImageError as exc:
        raise UnreadableMediaError(f"{name} is not a picture.", _HINT) from exc
    except Image.DecompressionBombError as exc:
        raise _too_many_pixels(name, max_pixels) from exc
    except Exception as exc:  # decoders raise anything on hostile bytes: this is the wall
        raise UnreadableMediaError(f"{name} is damaged and cannot be read.", _HINT) from exc
    if image.width * image.height > max_pixels:
        image.close()
        raise _too_many_pixels(name, max_pixels, image.size)
    return image


def _too_many_pixels(name: str, max_pixels: int, size: tuple[int, int] | None = None) -> LimitExceededError:
    """Return the error for a picture that would unpack too large."""
    shape = f"{size[0]} x {size[1]} pixels" if size else "far too many pixels"
    return LimitExceededError(
        f"{name} has {shape}, more than the {max_pixels / 1e6:g} million allowed.", "Save a smaller copy."
    )


def _note_source(image: Image.Image, data: bytes, notes: list[str]) -> None:
    """Note what the decoder will do by itself."""
    # MPO (which Pillow opens as JPEG) is a phone's JPEG with a second view or a gain map; its first image is the photo.
    if image.format != "MPO" and getattr(image, "is_animated", False):
        pages = {"TIFF": "first page of several", "HEIF": "main picture of several"}
        notes.append(pages.get(str(image.format), "first frame of an animation"))
        if image.format != "HEIF":  # it is opened at its main picture, which need not be the first
            image.seek(0)
    if image.format == "TIFF" and _is_raw(image.tag_v2, data):  # type: ignore[attr-defined]
        raise UnreadableMediaError(
            "This is a camera's raw photo, of which only a small preview could be read.",
            "Export it as JPEG, TIFF or PNG from your photo program.",
        )
    deep_png = image.format == "PNG" and len(data) > 24 and data[24] == 16
    deep_tiff = image.format == "TIFF" and max(image.tag_v2.get(258, (8,))) == 16  # type: ignore[attr-defined]
    if deep_png or deep_tiff or image.mode.startswith("I;16"):
        notes.append("16-bit reduced to 8")


def _is_raw(tags: Mapping[int, Any], data: bytes) -> bool:
    """Say whether a TIFF is a raw photo (DNG, CR2, NEF, ARW): by what it contains, never by its name."""
    reduced = bool(int(tags.get(254, 0)) & 1)  # the first page is a preview of another one
    return 50706 in tags or data[8:10] == b"CR" or (reduced and 330 in tags)


def _upright(image: Image.Image, notes: list[str]) -> Image.Image:
    """Turn the picture by its EXIF orientation; damaged EXIF data are left aside and noted."""
    try:
        orientation = image.getexif().get(0x0112, 1)
        if orientation in range(2, 9):
            turned = ImageOps.exif_transpose(image)
            notes.append("turned by its EXIF orientation")
            return turned
    except Exception:  # any damage in EXIF is harmless to the pixels, so it is told and passed over
        notes.append("its EXIF data are damaged and were left aside")
    return image


def _to_srgb(image: Image.Image, notes: list[str]) -> tuple[Pixels, Pixels | None]:
    """Return rgb (flattened on gray) and alpha."""
    profile = image.info.get("icc_profile")
    if image.mode.startswith("I;16"):
        return _stacked(_deep_gray(image)), None
    if image.mode in {"I", "F"}:
        raise UnreadableMediaError(
            "The picture has 32 bits per pixel, whose brightness range is unknown.", "Save it as 8-bit PNG or JPEG."
        )
    if image.mode in {"PA", "LA", "La", "RGBa"} or "transparency" in image.info:
        image = image.convert("RGBA")
    elif image.mode in {"P", "1"}:
        image = image.convert("RGB")
    alpha = np.array(image.getchannel("A"), np.uint8) if image.mode == "RGBA" else None
    if alpha is not None:
        image = image.convert("RGB")  # drops alpha, keeps the colors beneath
    if image.mode not in {"RGB", "L"}:
        notes.append(f"converted from {image.mode}")
    rgb = np.array(_profiled(image, profile, notes), np.uint8)
    if alpha is None or int(alpha.min()) == 255:
        return rgb, None
    notes.append("transparent parts shown on gray")
    return _on_gray(rgb, alpha), alpha


def _deep_gray(image: Image.Image) -> Pixels:
    """Reduce 16-bit gray to 8 bits, rounding.  # (H, W)"""
    deep = np.asarray(image).astype(np.uint32)
    return ((deep + 128) // 257).astype(np.uint8)


def _stacked(gray: Pixels) -> Pixels:
    """Return gray as three equal channels.  # (H, W, 3)"""
    return np.repeat(gray[:, :, None], 3, axis=2)


def _on_gray(rgb: Pixels, alpha: Pixels) -> Pixels:
    """Blend with neutral gray, a band of rows at a time to spare memory.  # (H, W, 3)"""
    out = np.empty_like(rgb)
    for top in range(0, len(rgb), 256):
        band = slice(top, top + 256)
        a = alpha[band, :, None].astype(np.uint16)
        out[band] = (rgb[band] * a + NEUTRAL_GRAY * (255 - a) + 127) // 255
    return out


def _profiled(image: Image.Image, profile: bytes | None, notes: list[str]) -> Image.Image:
    """Convert to sRGB by the picture's own color profile; without one, sRGB is assumed.

    A profile is judged by what it does to colors: its name is whatever somebody wrote into it.
    """
    if profile:
        try:
            source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
            if source.profile.xcolor_space.strip() == "RGB" and image.mode != "CMYK":
                image = image.convert("RGB")
            if image.mode != "RGB" or not _is_srgb(source):
                converted = ImageCms.profileToProfile(image, source, ImageCms.createProfile("sRGB"), outputMode="RGB")
                if converted is not None:
                    description = ImageCms.getProfileDescription(source).strip()[:60]
                    notes.append(f"colors converted from {description or 'its own profile'} to sRGB")
                    return converted
        except (ImageCms.PyCMSError, OSError, TypeError, ValueError):
            notes.append("its color profile cannot be used; taken as sRGB")
    return image.convert("RGB")


def _is_srgb(profile: ImageCms.ImageCmsProfile) -> bool:
    """Return whether colors stay what they are when this profile of RGB is taken for sRGB."""
    levels = np.linspace(0, 255, 9).astype(np.uint8)
    cube = np.stack(np.meshgrid(levels, levels, levels, indexing="ij"), -1).reshape(27, 27, 3)
    seen = ImageCms.profileToProfile(Image.fromarray(cube), profile, ImageCms.createProfile("sRGB"), outputMode="RGB")
    return seen is not None and int(np.abs(np.array(seen, np.int16) - cube).max()) <= SAME_COLOR


def fit_longer_side(rgb: Pixels, size: int) -> Pixels:
    """Return a copy whose longer side is at most `size` pixels; never enlarges.

    Args:
        rgb: any number of channels.  # (H, W, C) uint8
        size: pixels, >= 1.

    Returns:
        The reduced picture, area-averaged; the same array where it fits already.
    """
    height, width = rgb.shape[:2]
    longer = max(height, width)
    if longer <= size:
        return rgb
    target = (max(1, round(width * size / longer)), max(1, round(height * size / longer)))
    # Box reduction by whole factors first, then an antialiased kernel: as good as area averaging, and fast.
    reduced = Image.fromarray(rgb).resize(target, Image.Resampling.HAMMING, reducing_gap=3.0)
    return np.array(reduced, np.uint8)


def thumbnail_jpeg(rgb: Pixels, size: int = 320, quality: int = 85) -> bytes:
    """Return a JPEG of at most `size` pixels on its longer side.  # rgb (H, W, 3)"""
    return _encoded(rgb[:, :, :3], size, "JPEG", quality=quality)


def jpeg_bytes(rgb: Pixels, recipe: Mapping[str, Any], quality: int = 95) -> bytes:
    """Return a JPEG at full size with the recipe in its comment.  # rgb (H, W, 3)

    Raises:
        LimitExceededError: the recipe does not fit into a JPEG's comment (65,533 bytes).
    """
    comment = picture_comment(recipe)
    if len(comment) > _LONGEST_JPEG_COMMENT:
        raise LimitExceededError("The recipe is too long for a JPEG.", "Save a PNG.")
    return _encoded(rgb[:, :, :3], max(rgb.shape), "JPEG", quality=quality, comment=comment)


def _encoded(rgb: Pixels, size: int, kind: str, **options: Any) -> bytes:
    """Return the reduced picture in the given format."""
    buffer = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(fit_longer_side(rgb, size))).save(buffer, kind, **options)
    return buffer.getvalue()


def png_bytes(
    pixels: Pixels, recipe: Mapping[str, Any] | None = None, *, compress_level: int = 3, about: str = ""
) -> bytes:
    """Return a PNG; the recipe lies in an iTXt chunk before the pixels.

    Args:
        pixels: gray, RGB or RGBA.  # (H, W), (H, W, 3) or (H, W, 4) uint8
        recipe: JSON object, or None.
        compress_level: zlib's, 0..9.
        about: where the picture is from; under PNG's own keyword "Source".
    """
    info = PngImagePlugin.PngInfo()
    if about:
        info.add_itxt("Source", about)
    if recipe is not None:
        info.add_itxt(PNG_KEYWORD, recipe_text(recipe))
    buffer = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(pixels)).save(buffer, "PNG", pnginfo=info, compress_level=compress_level)
    return buffer.getvalue()


def write_png(path: str | os.PathLike[str], pixels: Pixels, recipe: Mapping[str, Any] | None = None) -> Path:
    """Write a PNG whole or not at all.

    Args:
        path: the final name; its folder must exist.
        pixels: RGB or RGBA.  # (H, W, 3) or (H, W, 4) uint8
        recipe: carried in the file, see `studio.engines.media.recipe`.

    Returns:
        The path.

    Raises:
        NotFoundError: the folder does not exist.
        StoreError: disk full or read-only.
    """
    final = Path(path)
    data = png_bytes(pixels, recipe)
    with atomic_file(final) as part:
        part.write_bytes(data)
    return final
