"""The head of a portrait as a file for other programs, alone or with the motion of a clip."""

from __future__ import annotations

import importlib
import time
from pathlib import Path
from typing import TYPE_CHECKING

from studio.domain.expression import ExpressionEdit, resolve
from studio.domain.model_format import MODEL_FORMATS, ModelFormat, model_format_of
from studio.domain.performance import Performance
from studio.errors import NotFoundError, UserInputError
from studio.services.people.agreement import require_of_media, require_of_photo
from studio.services.portraits.prepared import Portraits
from studio.services.sources import MediaSource, Sources

if TYPE_CHECKING:
    from studio.domain.photo import Photo
    from studio.domain.render import Render
    from studio.services.provenance import Provenance
    from studio.store import OwnerStore


class HeadModels:
    """Writes heads of one owner's portraits."""

    def __init__(
        self, store: OwnerStore, sources: Sources, portraits: Portraits, provenance: Provenance, scratch: Path
    ) -> None:
        self._store, self._sources, self._portraits = store, sources, portraits
        self._provenance, self._scratch = provenance, scratch

    def write(
        self,
        portrait: MediaSource,
        out: Path,
        *,
        face_index: int | None = None,
        edit: ExpressionEdit | None = None,
        motion: Path | None = None,
    ) -> Path:
        """Write the head of a portrait; its credentials lie beside it, since no format of heads carries any.

        Args:
            out: its ending says the format, see MODEL_FORMATS.
            face_index: as in `Expressions.open`.
            edit: the state in which it is shown; None is the photo's own.
            motion: curves that move it, see CURVE_FORMATS; only where the format moves.

        Returns:
            The path.

        Raises:
            UserInputError: an ending that is no format, a motion for a format that stands still.
            NoFaceError, SeveralFacesError, UnreadableMediaError, LimitExceededError, NotFoundError.
            ConsentMissingError: the person did not agree to "animate".
            EngineError, EngineUnavailableError: it cannot be signed; nothing stays.
            StoreError: disk full or read-only.
        """
        from studio.engines.media.curves import read_curves

        form = model_format_of(out)
        if motion is not None and not form.moves:
            raise UserInputError(f"{form.title} holds no motion.", "End the name in .glb, or leave the motion out.")
        photo = self._sources.photo(portrait)
        if photo is None:
            require_of_media(self._store, self._sources.sha256(portrait), face_index, "animate")
        else:
            require_of_photo(self._store, photo, "animate")
            face_index = photo.face_index if face_index is None else face_index
        performance = None if motion is None else read_curves(motion)
        found = self._sources.find(portrait)
        people = () if photo is None or photo.identity_id is None else (photo.identity_id,)
        inputs = {"portrait": found.path} | ({} if motion is None else {"motion": motion})
        with self._provenance.signing(out, kind="head", inputs=inputs, people=people) as part:
            self._written(found.path, found.sha256, face_index, form, part, edit, performance)
        return out

    def of_render(self, render_id: str, name: str = "glb") -> Path:
        """Write the head of a clip of the rig with its motion, for downloading.

        Args:
            name: of MODEL_FORMATS; one that stands still is written in the clip's first frame.

        Raises:
            NotFoundError: no such clip, or it has no motion.
            ConsentMissingError: the person did not agree to "animate".
        """
        from studio.engines.media.curves import read_json

        render = self._store.renders.get(render_id)
        curves = render.inputs.get("curves")
        shown = render.inputs.get("portrait") or render.inputs.get("anchor")
        if curves is None or shown is None:
            raise NotFoundError("This has no head that moves.", "Choose a clip that was made under Animate or Video.")
        face_index = (render.recipe.get("request") or {}).get("face_index")
        own = self._own_photo(render)
        if own is None:
            require_of_media(self._store, shown, face_index, "animate")
        else:
            require_of_photo(self._store, own, "animate")
        self._scratch.mkdir(parents=True, exist_ok=True)
        form = MODEL_FORMATS[name]
        out = self._scratch / f"head-{render_id}-{time.time_ns()}{form.suffix}"
        motion = read_json(self._store.media.get(curves))
        return self._written(self._store.media.get(shown), shown, face_index, form, out, None, motion)

    def _own_photo(self, render: Render) -> Photo | None:
        """Return the photo that a clip was made of; others may have added the same picture."""
        try:
            return None if render.photo_id is None else self._store.photos.get(render.photo_id)
        except NotFoundError:  # taken out since
            return None

    def _written(
        self,
        path: Path,
        sha256: str | None,
        face_index: int | None,
        form: ModelFormat,
        out: Path,
        edit: ExpressionEdit | None,
        performance: Performance | None,
    ) -> Path:
        prepared = self._portraits.prepare(path, sha256=sha256, face_index=face_index, size=None)
        with prepared.lock:
            model = prepared.portrait.model()
        weights = None if edit is None else resolve(edit, prepared.portrait.own_weights).weights
        module, _, function = form.writer.partition(":")
        written: Path = getattr(importlib.import_module(module), function)(
            model, out, performance=performance, weights=weights
        )
        return written
