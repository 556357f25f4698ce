"""The marks in pictures and clips: the invisible number, which goes into which and is read again, and the label AI.

A number is drawn from the recipe with the installation's own key, so the same recipe has the same one, and it says
nothing to whoever has no key. It stands in the recipe; what is made once more carries the number of the first.
"""

from __future__ import annotations

import functools
import itertools
import os
import secrets
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from studio.engines.base import Image
from studio.errors import EngineError, LimitExceededError, UnreadableMediaError
from studio.outside import exists

if TYPE_CHECKING:
    from studio.engines.media.watermark import Watermark
    from studio.engines.media.watermark_tile import FoundMark

FIELD, KEY_FIELD, LABEL_FIELD = "mark", "mark_key", "label"
"""Of a recipe: the number, eight hexadecimal digits; the name of the key that it was put in with; whether the label AI
is in the picture."""
KEY_FILE = "watermark.key"
_KEY_BYTES = 32
_LOOKED_AT, _EVERY = 30, 4
"""Frames of a clip that are read, and every which one."""
_HEARD_SECONDS = 60.0
_NOT_DRAWN = frozenset({FIELD, KEY_FIELD, "studio", "measures"})
"""Fields of a recipe that change nothing in the pixels."""


class Marks:
    """Marks what this installation makes and reads its marks again.

    Args:
        key_file: made when something is marked for the first time; for its owner alone.
        label: write AI into a corner of everything that is kept.
    """

    def __init__(self, key_file: Path, *, label: bool = False) -> None:
        self._key_file, self._label = key_file, label

    def noted(self, recipe: Mapping[str, Any], made_by: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """Return a recipe with the number of its mark, and with the label where it is due.

        Args:
            made_by: the recipe that is made once more; its marks are taken, and what it made without is made without
                again, so that the pixels are the same.
        """
        if made_by is not None:
            recipe = {**recipe, **{field: made_by[field] for field in (FIELD, LABEL_FIELD) if field in made_by}}
            return {**recipe, KEY_FIELD: self._watermark.key_name} if FIELD in recipe else recipe
        if self._label:
            recipe = {**recipe, LABEL_FIELD: True}
        from studio.engines.media.recipe import recipe_text

        drawn = recipe_text({k: v for k, v in recipe.items() if k not in _NOT_DRAWN})
        number = text_of(self._watermark.number_of(drawn.encode()))
        return {**recipe, FIELD: number, KEY_FIELD: self._watermark.key_name}

    def are_anothers(self, recipe: Mapping[str, Any]) -> bool:
        """Say whether the mark of a recipe was put in with another installation's key: no pixels here are the same."""
        return FIELD in recipe and KEY_FIELD in recipe and recipe[KEY_FIELD] != self._watermark.key_name

    def marker(self, recipe: Mapping[str, Any], size: tuple[int, int]) -> Callable[[Image], Image] | None:
        """Return what puts the marks that a recipe names into pictures of one width and height; None for no mark."""
        steps: list[Callable[[Image], Image]] = []
        if recipe.get(LABEL_FIELD):
            from studio.engines.media.label import Label

            steps.append(Label(*size).apply)
        number = recipe.get(FIELD)
        if number is not None:
            steps.append(self._watermark.mark(int(str(number), 16), *size).apply)
        if not steps:
            return None
        return lambda picture: functools.reduce(lambda made, step: step(made), steps, picture)

    def marked(self, image: Image, recipe: Mapping[str, Any]) -> Image:
        """Return a picture with the marks that its recipe names.  # (H, W, 3)"""
        marker = self.marker(recipe, (image.shape[1], image.shape[0]))
        return image if marker is None else marker(image)

    def mark_voice(self, path: Path, recipe: Mapping[str, Any]) -> None:
        """Put the mark that a recipe names into a wav of what the offline voice said; the file is replaced."""
        number = recipe.get(FIELD)
        if number is None:
            return
        from studio.engines.media.sound import read_wav, write_wav

        write_wav(path, self._watermark.mark_sound(read_wav(path), int(str(number), 16)))

    def read(self, path: Path, known: Sequence[str] = ()) -> tuple[FoundMark, ...]:
        """Return this installation's marks in a picture, a video or a sound, each once; none in any other file.

        Args:
            known: numbers that were given out; these are found where hardly anything is left of them.
        """
        if not exists(self._key_file):
            return ()  # nothing was marked here yet
        # asked for outside of what is passed over below: a damaged key is no file without a mark
        watermark, numbers = self._watermark, [int(n, 16) for n in known]
        from studio.engines.media.frames import read_frames
        from studio.engines.media.pictures import read_picture
        from studio.engines.media.sound import read_sound, trim

        with suppress(UnreadableMediaError, LimitExceededError):
            return watermark.read([read_picture(path).rgb], numbers)
        found: list[FoundMark] = []
        with suppress(UnreadableMediaError, LimitExceededError), read_frames(path) as frames:
            found += watermark.read(itertools.islice(frames, 0, _LOOKED_AT * _EVERY, _EVERY), numbers)
        with suppress(UnreadableMediaError, LimitExceededError):
            found += watermark.read_sound(trim(read_sound(path), 0.0, _HEARD_SECONDS), numbers)
        return tuple({mark.number: mark for mark in reversed(found)}.values())[::-1]

    @cached_property
    def _watermark(self) -> Watermark:
        """The installation's own.

        Raises:
            EngineError: its key cannot be read or written.
        """
        from studio.engines.media.watermark import Watermark

        try:
            if not exists(self._key_file):
                _make(self._key_file)
            key = self._key_file.read_bytes()
        except OSError as exc:
            raise EngineError(
                f"{self._key_file.name} cannot be read or written; nothing is marked, and nothing made.",
                f"Check the rights of {self._key_file.parent}.",
            ) from exc
        if len(key) != _KEY_BYTES:
            raise EngineError(
                f"{self._key_file.name} is damaged: {len(key)} bytes instead of {_KEY_BYTES}; nothing is marked.",
                "Bring it back from a backup, or remove it: then the marks made so far are read no more.",
            )
        return Watermark(key)


def text_of(number: int) -> str:
    """Return a mark's number as it is written: eight hexadecimal digits."""
    return f"{number:08x}"


def _make(path: Path) -> None:
    """Write a new key, whole or not at all; of two processes that do so at once, the first counts."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".part-{secrets.token_hex(6)}.key")
    try:
        with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(secrets.token_bytes(_KEY_BYTES))
            file.flush()
            os.fsync(file.fileno())
        try:
            os.link(part, path)
        except FileExistsError:
            return
    finally:
        part.unlink(missing_ok=True)
