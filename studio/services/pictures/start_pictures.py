"""What a batch of pictures starts from: a picture, and the mask of what is drawn anew.

A picture is looked at before it is waited for: whether it can be read, and
whether the person it shows agreed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from studio.engines.base import Image, Matte
from studio.errors import NoFaceError
from studio.services.people.agreement import require_of_media, require_of_photo
from studio.services.people.identities import photo_of
from studio.services.people.likeness import enlarged
from studio.services.pictures.request import GenerationRequest, MaskPreset
from studio.services.sources import MediaSource, Sources

if TYPE_CHECKING:
    from studio.domain.photo import Photo
    from studio.engines import Engines
    from studio.store import OwnerStore

_SMALLEST_FOR_FACES = 256
_LARGEST_SOURCE = 4096


class StartPictures:
    """The sources and masks of one owner's requests."""

    def __init__(self, store: OwnerStore, engines: Engines, sources: Sources) -> None:
        self._store = store
        self._engines = engines
        self._sources = sources

    def photo(self, source: MediaSource) -> Photo | None:
        """Return the stored photo that a source shows, also where it is named by its bytes."""
        photo = self._sources.photo(source)
        if photo is None and source.sha256 is not None:
            photo = photo_of(self._store, source.sha256, None)
        return photo

    def settled(self, source: MediaSource | None) -> MediaSource | None:
        """Name a picture by its bytes, after a look whether it can be read and its person agreed."""
        from studio.engines.media.pictures import read_picture

        if source is None:
            return None
        photo = self._sources.photo(source)
        if photo is None:
            require_of_media(self._store, self._sources.sha256(source), None, "generate")
        else:
            require_of_photo(self._store, photo, "generate")
        read_picture(self._sources.path(source))
        return self._sources.settled(source)

    def picture(self, source: MediaSource, side: int) -> Image:
        """Return a picture upright and at most `side` pixels long, to be painted on."""
        from studio.engines.media.pictures import fit_longer_side, read_picture

        return fit_longer_side(read_picture(self._sources.path(source)).rgb, side)

    def read(self, request: GenerationRequest) -> tuple[Image | None, Matte | None]:
        """Return the source and its mask, of one size."""
        from studio.engines.media.pictures import fit_longer_side, read_picture

        if request.source is None:
            return None, None
        source = fit_longer_side(read_picture(self._sources.path(request.source)).rgb, _LARGEST_SOURCE)
        if request.mask is None:
            return source, None
        if isinstance(request.mask, MediaSource):
            given = read_picture(self._sources.path(request.mask)).rgb
            return source, _resized(given.max(axis=2), source.shape[1], source.shape[0])
        return source, self._preset_mask(source, request.mask)

    def _preset_mask(self, source: Image, preset: MaskPreset) -> Matte:
        """Return a mask from what the face analyser sees.

        Raises:
            NoFaceError: there is no face to redraw.
        """
        large = enlarged(source, _SMALLEST_FOR_FACES)
        with self._engines.lock:
            analyser = self._engines.faces()
            if preset == "background":
                mask = 255 - analyser.matte(large)
            else:
                faces = analyser.detect(large)
                if not faces:
                    raise NoFaceError(
                        "No face was found in the picture to start from.",
                        "Give a mask of your own, or another picture.",
                    )
                mask = analyser.face_mask(large, faces[0])
        return _resized(mask, source.shape[1], source.shape[0])


def _resized(mask: Matte, width: int, height: int) -> Matte:
    """Return a mask at another size.  # (height, width)"""
    import numpy as np
    from PIL import Image as Pillow

    if mask.shape == (height, width):
        return mask
    return np.array(Pillow.fromarray(mask).resize((width, height), Pillow.Resampling.BILINEAR), np.uint8)
