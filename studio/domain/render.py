"""A render: one thing the studio made, with everything needed to make it again."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal

RenderKind = Literal["image", "clip", "curves"]
_LONGEST_TITLE = 60


def title_of_words(said: str) -> str:
    """Return one line for the gallery: the first words of a prompt or of what is said; empty for none."""
    words = " ".join(said.split())
    if len(words) <= _LONGEST_TITLE:
        return words
    return words[: _LONGEST_TITLE - 3].rsplit(" ", 1)[0].rstrip(".,;:!? ") + "…"


@dataclass(frozen=True, kw_only=True)
class NewRender:
    """A render that is about to be stored.

    Attributes:
        media_sha256, thumbnail_sha256: bytes already in the media store.
        recipe: the full request, as JSON values; what `rerun` reads.
        engine, engine_version: who drew it.
        inputs: role -> sha256 of everything it was made from ("portrait", "sound").
        seconds: how long making it took.
        setup_seconds: how much of that went by before the first frame, however many there are (loading the base
            above all); None is not known.
        title: one line for the gallery.
        search_text: further words by which it is found (transcript, prompt, notes).
        parent_id: the render it is a rerun or an edit of.
    """

    kind: RenderKind
    media_sha256: str
    recipe: Mapping[str, Any] = field(repr=False)
    engine: str
    engine_version: str
    inputs: Mapping[str, str] = field(default_factory=dict, repr=False)
    seconds: float = 0.0
    setup_seconds: float | None = None
    title: str = ""
    search_text: str = ""
    thumbnail_sha256: str | None = None
    project_id: str | None = None
    identity_id: str | None = None
    photo_id: str | None = None
    parent_id: str | None = None
    job_id: str | None = None
    width: int | None = None
    height: int | None = None
    duration_seconds: float | None = None


@dataclass(frozen=True, kw_only=True)
class Render(NewRender):
    """A stored render; times are aware UTC.

    Attributes:
        file_extension: of the media, such as ".mp4".
        deleted: when it was put into the trash; None is in the gallery.
    """

    id: str
    owner: str
    created: datetime
    file_extension: str = ""
    starred: bool = False
    deleted: datetime | None = None


@dataclass(frozen=True)
class RenderPage:
    """One page of the gallery, newest first.

    Attributes:
        next_cursor: what to pass as `after` for the next page; None is the last page.
        total: how many renders match on all pages.
    """

    renders: tuple[Render, ...]
    next_cursor: str | None
    total: int
