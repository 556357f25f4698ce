"""What words on the command line mean: pictures, sounds, sizes, strengths."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from studio.errors import NotFoundError, UserInputError
from studio.outside import exists, text_of

if TYPE_CHECKING:
    from studio.services.sources import MediaSource
    from studio.studio import OwnerServices


def strengthened(text: str) -> tuple[str, float]:
    """Read NAME or NAME:STRENGTH, as --emotion does.

    Raises:
        UserInputError: the strength is no number.
    """
    name, mark, strength = text.rpartition(":")
    if not mark:
        return text, 1.0
    try:
        return name, float(strength)
    except ValueError as exc:
        raise UserInputError(
            f"{text!r} has no number as strength.", "Write NAME:0.8, or NAME:1 where a name has a colon."
        ) from exc


def picture_of(studio: OwnerServices, photo: str) -> MediaSource:
    """Return what PHOTO means: a file, else a photo's id.

    Raises:
        NotFoundError: neither.
    """
    from studio.services.sources import MediaSource

    if exists(photo):
        return MediaSource.file(Path(photo))
    try:
        studio.identities.photo_path(photo)
    except NotFoundError:
        raise NotFoundError(f"There is no file and no photo {photo!r}.", "Check the path, or the id.") from None
    return MediaSource.photo(photo)


def clip_of(studio: OwnerServices, clip: str) -> MediaSource:
    """Return what CLIP means: a file, else the id of a clip in the library.

    Raises:
        NotFoundError: neither.
    """
    from studio.services.sources import MediaSource

    if exists(clip):
        return MediaSource.file(Path(clip))
    try:
        return MediaSource.media(studio.library.show(clip).media_sha256)
    except NotFoundError:
        raise NotFoundError(f"There is no file and no clip {clip!r}.", "Check the path, or the id.") from None


def size_of(text: str | None) -> tuple[int | None, int | None]:
    """Parse WIDTHxHEIGHT, or one number for a square.

    Raises:
        UserInputError: it is neither.
    """
    if text is None:
        return None, None
    found = re.fullmatch(r"(\d{1,5})(?:[xX×](\d{1,5}))?", text.strip())
    if found is None:
        raise UserInputError(f"{text!r} is no size.", "Write it as 512x768, or 512 for a square.")
    return int(found[1]), int(found[2] or found[1])


def adapters_of(studio: OwnerServices, texts: Sequence[str]) -> list[dict[str, Any]]:
    """Parse NAME or NAME:STRENGTH options.

    Raises:
        NotFoundError: no such adapter.
        UserInputError: the strength is no number.
    """
    uses = []
    for name, strength in map(strengthened, texts):
        uses.append({"adapter_id": studio.adapters.get(name).id, "strength": strength})
    return uses


def sound_of(path: Path | None) -> MediaSource | None:
    """Return the source that a path names; None for none."""
    from studio.services.sources import MediaSource

    return None if path is None else MediaSource.file(path)


def words_of(text: str | None) -> str | None:
    """Return the transcript: of a file where TEXT names one, else TEXT itself."""
    if text is None:
        return None
    path = Path(text)
    if path.suffix.lower() in {".txt", ".srt", ".vtt", ".ass"} or (exists(path) and not path.is_dir()):
        try:
            return text_of(path)
        except NotFoundError:
            raise NotFoundError(f"There is no transcript {text!r}.", "Check the path.") from None
    return text


def assignments(texts: Sequence[str], separator: str, option: str) -> dict[str, float]:
    """Parse `name=number` (or `name:number`) options.

    Raises:
        UserInputError: a part is missing or is no number.
    """
    out = {}
    for text in texts:
        name, found, value = text.partition(separator)
        try:
            out[name.strip()] = float(value)
        except ValueError:
            raise UserInputError(
                f"{option} {text!r} is not a name and a number.", f"Write {option} name{separator}0.5 ."
            ) from None
        if not found or not name.strip():
            raise UserInputError(f"{option} {text!r} has no name.", f"Write {option} name{separator}0.5 .")
    return out


def unit_lines(told: dict[str, Any]) -> list[str]:
    """Return action units as lines, the strongest first; see `UnitScores.told`."""
    from studio.domain.action_units import UNIT
    from studio.services.portraits.units import LEAST

    lines = []
    for code, score in sorted(told["units"].items(), key=lambda item: -_peak(item[1])):
        if _peak(score) < LEAST:
            continue
        name, sides = UNIT[code].name, [suffix for suffix in UNIT[code].tracks if suffix]
        if isinstance(score, dict):
            more = f"mean {score['mean']:.1f}, most {score['peak']:.1f} at {score['peak_seconds']:.1f} s"
        else:
            apart = ", ".join(f"{side} {told['tracks'][code + side]:.1f}" for side in sides)
            more = f"{score:.1f}" + (f"  ({apart})" if apart else "")
        lines.append(f"{code:5} {name:22} {more}")
    return lines or ["A face at rest."]


def _peak(score: Any) -> float:
    return float(score["peak"] if isinstance(score, dict) else score)
