"""Sliders on a photo: open a portrait, draw an edit of it, keep the picture."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from studio.domain.expression import ARKIT_NAMES, CONTROL, ExpressionEdit, resolve, title_of
from studio.domain.face import Likely
from studio.domain.photo import Photo
from studio.domain.render import NewRender, Render
from studio.engines.base import Image
from studio.errors import ConflictError, UserInputError
from studio.services.people.agreement import require_of_media, require_of_photo
from studio.services.people.identities import photo_of
from studio.services.portraits.close_up import stamp
from studio.services.portraits.prepared import Portraits, PreparedPortrait
from studio.services.provenance import Provenance
from studio.services.recipes import new_recipe
from studio.services.sources import MediaSource, Sources

if TYPE_CHECKING:
    from studio.store import OwnerStore

THUMBNAIL_PIXELS = 320
TEMPLATE, TEMPLATE_NEUTRAL = "template", "template neutral"
"""Roles of pictures that an expression was copied from."""


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
        size: the longer side that was asked for.
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
    size: int | None = None


class EditedPicture(NamedTuple):
    """A drawn edit, one sentence for each way in which it suffers, and its id in the library if it was kept."""

    image: Image
    hints: tuple[str, ...]
    render_id: str | None = None


@dataclass(frozen=True)
class CopiedFrom:
    """What an edit was copied from, for its recipe; the edit itself is whole without it.

    Attributes:
        sources: "template", and "template neutral" where there was one.
        how: amount and parts, as JSON values.
    """

    sources: Mapping[str, MediaSource]
    how: Mapping[str, Any] = field(default_factory=dict)


NOT_COPIED = CopiedFrom({})


@dataclass(frozen=True)
class _Drawing:
    """An edit as it was drawn, with what its file and its row say of it; `start` is when the work began."""

    prepared: PreparedPortrait
    edit: ExpressionEdit
    image: Image
    hints: tuple[str, ...]
    recipe: Mapping[str, Any]
    start: float
    copied: CopiedFrom = NOT_COPIED


class Expressions:
    """Draws expression edits; safe to call from several threads."""

    def __init__(self, store: OwnerStore, sources: Sources, portraits: Portraits, provenance: Provenance) -> None:
        self._store = store
        self._provenance, self._marks = provenance, provenance.marks
        self._sources = sources
        self._portraits = portraits

    def open(self, source: MediaSource, *, face_index: int | None = None, size: int | None = None) -> PortraitHandle:
        """Prepare a portrait.

        Args:
            face_index: 0 = largest; needed when the picture has several faces and
                the source is not a photo of an identity (which knows its own).
            size: longer side of the drawn pictures; default the photo's own, at most 1024.

        Raises:
            NoFaceError, SeveralFacesError, UnreadableMediaError, LimitExceededError, NotFoundError,
            ConsentMissingError.
        """
        photo = self._sources.photo(source)
        require_of_photo(self._store, photo, "edit")  # before anything is read
        if face_index is None and photo is not None:
            face_index = photo.face_index
        found = self._sources.find(source)
        prepared = self._portraits.prepare(found.path, sha256=found.sha256, face_index=face_index, size=size)
        self._require_consent(photo, prepared.sha256, prepared.face_index)
        width, height = prepared.portrait.size
        own = {n: round(float(w), 4) for n, w in zip(ARKIT_NAMES, prepared.portrait.own_weights, strict=True)}
        return PortraitHandle(
            prepared.key, source, prepared.sha256, prepared.face_index, width, height, own,
            prepared.face.likely, prepared.hints, size,
        )  # fmt: skip

    def original(self, handle: PortraitHandle) -> Image:
        """Return the photo at the handle's size, for a before/after view."""
        return self.prepared(handle).image

    def render(self, handle: PortraitHandle, edit: ExpressionEdit) -> EditedPicture:
        """Draw an edit; an empty edit returns the photo."""
        drawing = self._drawn(handle, edit)
        return EditedPicture(drawing.image, drawing.hints)

    def stamp(self, handle: PortraitHandle, edit: ExpressionEdit) -> bytes:
        """Draw an edit of the portrait as a small square JPEG of the face alone, to choose from."""
        return stamp(self.prepared(handle), edit)

    def save(
        self,
        handle: PortraitHandle,
        edit: ExpressionEdit,
        *,
        project_id: str | None = None,
        note: str = "",
        parent_id: str | None = None,
        copied: CopiedFrom = NOT_COPIED,
        made_by: Mapping[str, Any] | None = None,
    ) -> Render:
        """Keep an edit in the library as a png that carries its whole recipe.

        Args:
            copied: where the edit comes from; it is kept as an input.
            made_by: the recipe that is made once more.

        Raises:
            ConflictError: the portrait's file has changed since it was opened.
            NotFoundError: what it was copied from is gone.
        """
        drawing = self._drawn(handle, edit, copied)
        return self._keep(handle, drawing, project_id, note, parent_id, made_by)

    def write(
        self, handle: PortraitHandle, edit: ExpressionEdit, out: Path, *, copied: CopiedFrom = NOT_COPIED
    ) -> EditedPicture:
        """Draw an edit into `out` (png or jpg) and leave the library alone.

        Raises:
            UserInputError: `out` names no picture format, or the photo itself; StoreError.
        """
        _check_place(out, handle.source, *copied.sources.values())
        drawing = self._drawn(handle, edit, copied)
        self._write(handle, drawing, out)
        return EditedPicture(drawing.image, (*handle.hints, *drawing.hints))

    def edit_file(
        self,
        source: MediaSource,
        edit: ExpressionEdit,
        out: Path,
        *,
        face_index: int | None = None,
        size: int | None = None,
    ) -> EditedPicture:
        """Draw an edit into `out` (png or jpg); that of a stored photo is kept in the library too.

        Raises:
            UserInputError: `out` names no picture format, or the photo itself; and as `open`.
        """
        _check_place(out, source)
        return self.edit_opened(self.open(source, face_index=face_index, size=size), edit, out)

    def edit_opened(
        self, handle: PortraitHandle, edit: ExpressionEdit, out: Path, *, copied: CopiedFrom = NOT_COPIED
    ) -> EditedPicture:
        """Draw an edit of an open portrait; see `edit_file`."""
        source = handle.source
        _check_place(out, source, *copied.sources.values())
        drawing = self._drawn(handle, edit, copied)
        self._write(handle, drawing, out)
        kept = None if source.photo_id is None else self._keep(handle, drawing).id
        return EditedPicture(drawing.image, (*handle.hints, *drawing.hints), kept)

    def redraw(self, recipe: Mapping[str, Any], parent_id: str | None = None) -> Render:
        """Make a picture once more from its recipe.

        Raises:
            NotFoundError: the portrait is no longer in the media store.
            UserInputError: the engine's version is another one.
        """
        request = recipe["request"]
        handle = self.open(
            MediaSource.media(recipe["inputs"]["portrait"]), face_index=request["face_index"], size=request["size"]
        )
        prepared = self.prepared(handle)
        check_engine(recipe, prepared.engine, prepared.engine_version)
        roles = [r for r in (TEMPLATE, TEMPLATE_NEUTRAL) if r in recipe["inputs"]]
        # The edit is whole without its template: one that was deleted since is no input any more.
        there = {r: MediaSource.media(recipe["inputs"][r]) for r in roles if self._store.media.has(recipe["inputs"][r])}
        edit = ExpressionEdit.from_saved(request["values"], request["neutralise"])
        copied = CopiedFrom(there, request.get("copied") or {})
        return self.save(handle, edit, parent_id=parent_id, copied=copied, made_by=recipe)

    # -- parts -----------------------------------------------------------------------

    def _require_consent(self, photo: Photo | None, sha256: str, face_index: int) -> None:
        if photo is None:
            require_of_media(self._store, sha256, face_index, "edit")
        else:
            require_of_photo(self._store, photo, "edit")

    def prepared(self, handle: PortraitHandle) -> PreparedPortrait:
        """Return the portrait behind a handle.

        Raises:
            NotFoundError: its source was deleted since.
            ConsentMissingError: the consent was taken back since.
            ConflictError: its file has changed.
        """
        found = self._sources.find(handle.source)  # what was deleted since is drawn no more
        self._require_consent(self._sources.photo(handle.source), handle.sha256, handle.face_index)
        kept = self._portraits.kept(handle.key)
        if kept is None:  # the shelf has let it go
            kept = self._portraits.prepare(
                found.path, sha256=found.sha256, face_index=handle.face_index, size=handle.size
            )
            _check_same(handle, kept.sha256)
        return kept

    def _drawn(self, handle: PortraitHandle, edit: ExpressionEdit, copied: CopiedFrom = NOT_COPIED) -> _Drawing:
        """Draw an edit once; whatever is made of it afterwards is made of this."""
        start = time.perf_counter()
        prepared = self.prepared(handle)
        with prepared.lock:
            state = resolve(edit, prepared.portrait.own_weights)
            image, hints = prepared.portrait.render(state), tuple(prepared.portrait.hints(state))
        recipe = _recipe(prepared, edit, handle.size)
        if copied.sources:
            recipe["request"]["copied"] = dict(copied.how)
            recipe["inputs"] |= {role: self._sources.sha256(source) for role, source in copied.sources.items()}
        return _Drawing(prepared, edit, image, hints, recipe, start, copied)

    def _write(self, handle: PortraitHandle, drawing: _Drawing, out: Path) -> None:
        """Write a drawn edit, with its recipe inside and signed, in the format that the name asks for."""
        from studio.engines.media.pictures import jpeg_bytes, write_png

        photo = self._sources.photo(handle.source)
        shown = () if photo is None or photo.identity_id is None else (photo.identity_id,)
        inputs = {"portrait": self._sources.find(handle.source).path}
        inputs |= {role: self._sources.path(source) for role, source in drawing.copied.sources.items()}
        recipe = self._marks.noted(drawing.recipe)
        image = self._marks.marked(drawing.image, recipe)
        with self._provenance.signing(out, kind="image", inputs=inputs, people=shown) as part:
            if out.suffix.lower() == ".png":
                write_png(part, image, recipe)
            else:
                part.write_bytes(jpeg_bytes(image, recipe))

    def _keep(
        self,
        handle: PortraitHandle,
        drawing: _Drawing,
        project_id: str | None = None,
        note: str = "",
        parent_id: str | None = None,
        made_by: Mapping[str, Any] | None = None,
    ) -> Render:
        """Put a drawn edit into the library."""
        from studio.engines.media.pictures import png_bytes, thumbnail_jpeg

        sha256 = self._sources.settled(handle.source).sha256 or ""
        _check_same(handle, sha256)
        photo = self._sources.photo(handle.source) or photo_of(self._store, sha256, handle.face_index)
        recipe, prepared = self._marks.noted(drawing.recipe, made_by), drawing.prepared
        image = self._marks.marked(drawing.image, recipe)
        with self._store.media.keeping():
            media = self._store.media.put(png_bytes(image, recipe), ".png")
            thumbnail = self._store.media.put(thumbnail_jpeg(image, THUMBNAIL_PIXELS), ".jpg")
            templates = {role: self._sources.settled(s).sha256 or "" for role, s in drawing.copied.sources.items()}
            moved = [name for name, value in drawing.edit.values.items() if value]
            return self._store.renders.add(
                NewRender(
                    kind="image",
                    media_sha256=media,
                    thumbnail_sha256=thumbnail,
                    recipe=recipe,
                    engine=prepared.engine,
                    engine_version=prepared.engine_version,
                    inputs={"portrait": sha256, **templates},
                    seconds=time.perf_counter() - drawing.start,
                    title=note or title_of(drawing.edit),
                    search_text=" ".join([note, *moved, *(CONTROL[name].label for name in moved)]).strip(),
                    project_id=project_id or (photo.project_id if photo else None),
                    identity_id=photo.identity_id if photo else None,
                    photo_id=photo.id if photo else None,
                    parent_id=parent_id,
                    width=image.shape[1],
                    height=image.shape[0],
                ),
            )


def _check_same(handle: PortraitHandle, sha256: str) -> None:
    """Refuse to go on with another picture than the one that was opened.

    Raises:
        ConflictError: the file has changed on disk.
    """
    if sha256 != handle.sha256:
        raise ConflictError("The picture has changed on disk since it was opened.", "Open it again.")


def _check_place(out: Path, *sources: MediaSource) -> None:
    """Refuse a place where no picture can go, before anything is drawn."""
    from studio.engines.media.atomic import check_place

    if out.suffix.lower() not in {".png", ".jpg", ".jpeg"}:
        raise UserInputError(f"{out.name} names no picture format.", "End it in .png or .jpg.")
    check_place(out, *(source.path for source in sources))


def check_engine(recipe: Mapping[str, Any], engine: str, version: str) -> None:
    """Refuse to call something a rerun that another engine version would draw differently.

    Raises:
        UserInputError: engine or version differ.
    """
    made_by = recipe["engines"]["portrait"]
    if made_by != f"{engine} {version}":
        raise UserInputError(
            f"The render was made by engine {made_by}; this studio has {engine} {version}.",
            "Make a new render from the same settings; its frames will differ a little.",
        )


def _recipe(prepared: PreparedPortrait, edit: ExpressionEdit, size: int | None) -> dict[str, Any]:
    """Return the recipe of an edited picture."""
    request = {
        "face_index": prepared.face_index,
        "size": size,
        "values": dict(edit.values),
        "neutralise": edit.neutralise,
    }
    engines = {"portrait": f"{prepared.engine} {prepared.engine_version}"}
    return new_recipe("image", request, engines, {"portrait": prepared.sha256})
