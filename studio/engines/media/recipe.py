"""The recipe of a render, carried in the file's own metadata.

A recipe is a JSON object: request, seed, engine, input hashes. PNG holds it in
an iTXt chunk, mp4 and webm in a tag of the container, gif and jpg in a comment. It is
written as ASCII, so that no container can spoil it. What a recipe means is
the services' business; a file from elsewhere simply has none.
"""

from __future__ import annotations

import io
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from studio.domain.clip_format import CLIP_FORMATS, choice
from studio.engines.media import ffmpeg
from studio.errors import LimitExceededError, UnreadableMediaError
from studio.outside import json_of, plain_file, unpacked, zip_of

PNG_KEYWORD = "likeness-studio"
CONTAINER_KEY = "likeness_studio"
COMMENT = "Made with Likeness Studio"
MAX_RECIPE_BYTES = 900_000  # Pillow reads text chunks up to 1 MB
_COMMENT_PREFIX = f"{PNG_KEYWORD}:"

_FILES = choice(["png", "jpg", *(f.suffix.removeprefix(".") for f in CLIP_FORMATS.values())])
_UNREADABLE_HINT = f"Choose a {_FILES} made by this studio."


def recipe_text(recipe: Mapping[str, Any]) -> str:
    """Return the recipe as one line of ASCII JSON, keys sorted: same recipe, same bytes.

    Raises:
        LimitExceededError: more than MAX_RECIPE_BYTES.
    """
    text = json.dumps(recipe, ensure_ascii=True, sort_keys=True, separators=(",", ":"), allow_nan=False)
    if len(text) > MAX_RECIPE_BYTES:
        raise LimitExceededError(
            f"The recipe is {len(text) // 1000} KB long, more than the {MAX_RECIPE_BYTES // 1000} KB a file can carry.",
            "Shorten the transcript.",
        )
    return text


def picture_comment(recipe: Mapping[str, Any]) -> bytes:
    """Return the comment that holds the recipe in a gif or jpg."""
    return (_COMMENT_PREFIX + recipe_text(recipe)).encode("ascii")


def gif_comment(recipe: Mapping[str, Any]) -> bytes:
    """Return a GIF comment extension that holds the recipe."""
    text = picture_comment(recipe)
    blocks = b"".join(bytes([len(text[i : i + 255])]) + text[i : i + 255] for i in range(0, len(text), 255))
    return b"\x21\xfe" + blocks + b"\x00"


def read_recipe(path: str | os.PathLike[str]) -> dict[str, Any] | None:
    """Return the recipe a file carries.

    Args:
        path: png, jpg, gif, mp4, webm, or a zip or folder of numbered PNGs; decided by content.

    Returns:
        The recipe, or None where the file is not ours.

    Raises:
        NotFoundError: no such file.
        UnreadableMediaError: not a picture or clip, or its recipe is damaged.
    """
    folder = Path(path)
    if folder.is_dir():
        first = min(folder.glob("*.png"), default=None)
        if first is None:
            raise UnreadableMediaError(f"{folder.name} holds no PNG pictures.", _UNREADABLE_HINT)
        return read_recipe(first)
    found = plain_file(path)
    with found.open("rb") as file:
        start = file.read(16)
    if start.startswith((b"\x89PNG\r\n\x1a\n", b"GIF8", b"\xff\xd8\xff")):
        text = _picture_text(found.read_bytes(), found.name)
    elif start.startswith(b"PK\x03\x04"):
        text = _zip_text(found)
    else:
        text = container_tags(found).get(CONTAINER_KEY)
    return None if text is None else _parsed(text, found.name)


def _parsed(text: str, name: str) -> dict[str, Any]:
    """Return the JSON object in `text`."""
    try:
        recipe = json_of(text)
    except ValueError as exc:
        raise UnreadableMediaError(f"The recipe in {name} is damaged.", "Use the original file.") from exc
    if not isinstance(recipe, dict):
        raise UnreadableMediaError(f"The recipe in {name} is damaged.", "Use the original file.")
    return recipe


def _picture_text(data: bytes, name: str) -> str | None:
    """Return the recipe text of a PNG, GIF or JPEG without decoding its pixels."""
    from PIL import Image

    try:
        with Image.open(io.BytesIO(data), formats=["PNG", "GIF", "JPEG"]) as image:
            info = image.info
    except Image.DecompressionBombError as exc:
        raise UnreadableMediaError(
            f"{name} has far too many pixels to be a picture of this studio.", _UNREADABLE_HINT
        ) from exc
    except (OSError, SyntaxError, ValueError) as exc:
        raise UnreadableMediaError(f"{name} is damaged and cannot be read.", _UNREADABLE_HINT) from exc
    if PNG_KEYWORD in info:
        return str(info[PNG_KEYWORD])
    comment = info.get("comment", b"")
    text = comment.decode("ascii", "replace") if isinstance(comment, bytes) else str(comment)
    return text[len(_COMMENT_PREFIX) :] if text.startswith(_COMMENT_PREFIX) else None


def _zip_text(path: Path) -> str | None:
    """Return the recipe text of the first PNG in a zip."""
    with zip_of(path) as archive:
        frames = sorted(name for name in archive.namelist() if name.endswith(".png"))
        if not frames:
            raise UnreadableMediaError(f"{path.name} holds no PNG pictures.", _UNREADABLE_HINT)
        data = unpacked(archive, frames[0])
    return _picture_text(data, path.name)


def container_tags(path: Path) -> dict[str, str]:
    """Return the tags of a sound or video container, keys in lower case.

    Raises:
        UnreadableMediaError: not a container we know.
    """
    code, output, _ = ffmpeg.run(["-v", "error", *ffmpeg.input_arguments(path), "-f", "ffmetadata", "pipe:1"])
    if code != 0 or not output.startswith(b";FFMETADATA1"):
        raise UnreadableMediaError(f"{path.name} is not a picture or clip that can be read.", _UNREADABLE_HINT)
    return _parse_ffmetadata(output.decode("utf-8", "replace"))


def _parse_ffmetadata(text: str) -> dict[str, str]:
    """Return the global tags of ffmpeg's metadata text (`=`, `;`, `#`, `\\` and line ends are escaped)."""
    tags: dict[str, str] = {}
    key, part, escaped = "", [], False
    for character in text.partition("\n")[2] + "\n":
        if escaped:
            part.append(character)
            escaped = False
        elif character == "\\":
            escaped = True
        elif character == "=" and not key:
            key, part = "".join(part).lower(), []
        elif character == "\n":
            line = "".join(part)
            if not key and line.startswith("["):
                break  # chapters and streams follow
            if key:
                tags[key] = line
            key, part = "", []
        else:
            part.append(character)
    return tags
