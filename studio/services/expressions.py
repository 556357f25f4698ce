"""Sliders on a photo: open a portrait, draw an edit of it, keep the picture."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from studio.domain.expression import ExpressionEdit
from studio.domain.face import Likely
from studio.engines.base import Image
from studio.services.sources import MediaSource

if TYPE_CHECKING:
    from studio.domain.render import Render


@dataclass(frozen=True)
class PortraitHandle:
    """A prepared portrait, as a small value that a window may keep and copy.

    The heavy portrait stays in the service; a handle whose portrait was pushed
    out is prepared again at its next use.

    Attributes:
        key: names photo bytes, face, size and engine version.
        source: what was opened.
        face_index: which face, 0 = largest.
        width, height: size of the drawn pictures in pixels.
        own_values: the photo's own ARKit weights, 0..1, for showing at the sliders.
        likely: what the face seems to be.
        hints: shortcomings of the photo, one sentence each.
    """

    key: str
    source: MediaSource
    sha256: str
    face_index: int
    width: int
    height: int
    own_values: Mapping[str, float] = field(repr=False)
    likely: Likely
    hints: tuple[str, ...]


class EditedPicture(NamedTuple):
    """A drawn edit and one sentence for each way in which it suffers."""

    image: Image
    hints: tuple[str, ...]


class Expressions:
    """Draws expression edits; safe to call from several threads."""

    def open(self, source: MediaSource, *, face_index: int | None = None, size: int | None = None) -> PortraitHandle:
        """Prepare a portrait.

        Args:
            face_index: 0 = largest; needed when the picture has several faces and
                the source is not a photo of an identity (which knows its own).
            size: longer side of the drawn pictures; default the photo's own, at most 1024.

        Raises:
            NoFaceError, SeveralFacesError, UnreadableMediaError, LimitExceededError, NotFoundError.
        """
        raise NotImplementedError

    def original(self, handle: PortraitHandle) -> Image:
        """Return the photo at the handle's size, for a before/after view."""
        raise NotImplementedError

    def render(self, handle: PortraitHandle, edit: ExpressionEdit) -> EditedPicture:
        """Draw an edit; an empty edit returns the photo."""
        raise NotImplementedError

    def save(
        self, handle: PortraitHandle, edit: ExpressionEdit, *, project_id: str | None = None, note: str = ""
    ) -> Render:
        """Keep an edit in the library as a png that carries its whole recipe."""
        raise NotImplementedError

    def edit_file(
        self,
        source: MediaSource,
        edit: ExpressionEdit,
        out: Path,
        *,
        face_index: int | None = None,
        size: int | None = None,
    ) -> EditedPicture:
        """Draw an edit of a bare file into `out` (png or jpg) without a project."""
        raise NotImplementedError
