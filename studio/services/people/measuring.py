"""What is in the bytes of a picture, measured once, and the small pictures that go with it.

Measurements belong to bytes: the same photo in two heaps, or of two people, is
looked at once. They are rows that can always be made again.
"""

from __future__ import annotations

import io
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from studio.domain.curation import Analysis, CropBox, IntakeFace, crop_box
from studio.domain.photo import Photo
from studio.engines.base import Image, Matte
from studio.errors import EngineUnavailableError, NotFoundError, UserInputError
from studio.services.portraits.prepared import FoundFaces, Portraits, scaled_face

if TYPE_CHECKING:
    from studio.store import OwnerStore

VERSION = "1"
"""Of the measurements; counts up whenever they change, and everything is then measured anew when needed."""
MASK_SIDE = 768
"""The longer side of stored mattes: the network behind them answers at 256."""
LOOK_SIDE, FACE_SIDE = 360, 144
"""Of the small JPEGs of photos and faces that lists show."""


class Measuring:
    """Measures stored pictures."""

    def __init__(self, store: OwnerStore, portraits: Portraits) -> None:
        self._store = store
        self._portraits = portraits
        self._rows = store.measurements

    def analysis(self, sha256: str) -> Analysis:
        """Return what was measured in stored bytes, measuring now if need be."""
        kept = self._rows.get(sha256, VERSION)
        if kept is None:
            self.measure(sha256)
            kept = self._rows.get(sha256, VERSION)
        assert kept is not None  # written just now
        return kept

    def measure(self, sha256: str) -> dict[int, bytes]:
        """Measure stored bytes and keep the result; return small JPEGs of the photo (-1) and of its faces."""
        analysis, looks = self._measured(sha256)
        self._rows.put(analysis, looks)
        return looks

    def _measured(self, sha256: str) -> tuple[Analysis, dict[int, bytes]]:
        """Measure stored bytes; also return small JPEGs of the photo (-1) and of its faces."""
        try:
            found = self._portraits.find_faces(self._store.media.get(sha256).read_bytes())
        except (UserInputError, NotFoundError) as exc:
            return Analysis(sha256=sha256, version=VERSION, problem=exc.in_window.message, hint=exc.in_window.hint), {}
        engines = self._portraits.engines
        print_ = engines.faces().fingerprint(found.image)
        size: dict[str, Any] = {"width": found.width, "height": found.height}
        if not found.faces:
            return Analysis(
                sha256=sha256, version=VERSION, fingerprint=print_, **size, problem="No face was found.",
                hint="Use a picture in which the face is well lit and larger than 100 pixels.",
            ), {-1: jpeg(_shrunk(found.image, LOOK_SIDE))}  # fmt: skip
        analyser = engines.faces()
        with engines.lock:
            matte = analyser.matte(_shrunk(found.image, MASK_SIDE))
            faces = tuple(
                IntakeFace(
                    key=f"{sha256}:{index}", index=index, face=scaled_face(face, found.scale),
                    embedding=self._embedding(found, index), measures=analyser.measure(found.image, face, matte),
                )
                for index, face in enumerate(found.faces)
            )  # fmt: skip
        mask = self._store.media.put(_gray_png(matte), ".png")
        analysis = Analysis(sha256=sha256, version=VERSION, fingerprint=print_, **size, mask_sha256=mask, faces=faces)
        return analysis, _looks(found)

    def _embedding(self, found: FoundFaces, index: int) -> Any:
        try:
            return self._portraits.engines.faces().embed(found.image, found.faces[index])
        except EngineUnavailableError:
            # Recognition needs its own library; without it the review says that nobody can be told apart.
            return None

    def look(self, sha256: str, face_index: int = -1) -> bytes:
        """Return a small JPEG of a photo, or of one of its faces.

        Raises:
            NotFoundError: the photo was not analysed, or has no such face.
        """
        jpeg = self._rows.look(sha256, face_index)
        if jpeg is None:
            raise NotFoundError("There is no small picture of that photo.", "Look at the photos again.")
        return jpeg

    def path(self, sha256: str) -> Path:
        """Return where a photo's bytes lie (for showing it)."""
        return self._store.media.get(sha256)


# -- pixels --------------------------------------------------------------------------------


def meant(analysis: Analysis, photo: Photo) -> IntakeFace | None:
    """Return the face of the analysis that a stored photo means."""
    if not analysis.faces:
        return None
    index = photo.face_index or 0
    return next((f for f in analysis.faces if f.index == index), None)


def _shrunk(image: Image, side: int) -> Image:
    from studio.engines.media.pictures import fit_longer_side

    return np.ascontiguousarray(fit_longer_side(image, side))


def cut(pixels: Any, crop: CropBox, resolution: int, *, scale: float = 1.0) -> Any:
    """Cut a square out and bring it to `resolution`, by area when it shrinks.

    Args:
        pixels: RGB or gray.  # (H, W, 3) or (H, W)
        scale: pixels of the array per pixel of the photo the crop was laid in.
    """
    from PIL import Image as Pillow

    height, width = pixels.shape[:2]
    box = [v * scale for v in (crop.x, crop.y, crop.x + crop.side, crop.y + crop.side)]
    inside = (max(box[0], 0.0), max(box[1], 0.0), min(box[2], float(width)), min(box[3], float(height)))
    shrinks = crop.side * scale >= resolution
    how = Pillow.Resampling.BOX if shrinks else Pillow.Resampling.LANCZOS
    return np.array(Pillow.fromarray(pixels).resize((resolution, resolution), how, box=inside), np.uint8)


def without_others(mask: Matte, analysis: Analysis, photo: Photo) -> Matte:
    """Take the heads of other people out of a matte: it holds whatever is a person."""
    own = meant(analysis, photo)
    if own is None or len(analysis.faces) < 2:
        return mask
    scale = mask.shape[1] / max(analysis.width, 1)
    rows, columns = np.ogrid[: mask.shape[0], : mask.shape[1]]
    mine = _head(own, scale, rows, columns)
    out = mask.copy()
    for other in analysis.faces:
        if other.index != own.index:
            out[(_head(other, scale, rows, columns) < 1) & (mine >= 1)] = 0
    return out


def _head(found: IntakeFace, scale: float, rows: Any, columns: Any) -> Any:
    """Return the squared distance from a face's middle in half axes of its head: below 1 is inside.  # (H, W)"""
    x0, y0, x1, y1 = (v * scale for v in found.face.box)
    tall, wide = 0.85 * max(y1 - y0, 1.0), 0.75 * max(x1 - x0, 1.0)
    return ((rows - (0.55 * y0 + 0.45 * y1)) / tall) ** 2 + ((columns - (x0 + x1) / 2) / wide) ** 2


def _gray_png(matte: Matte) -> bytes:
    from PIL import Image as Pillow

    out = io.BytesIO()
    Pillow.fromarray(matte).save(out, "PNG", compress_level=6)
    return out.getvalue()


def _looks(found: FoundFaces) -> dict[int, bytes]:
    """Return small JPEGs of a photo (-1) and of its faces."""
    height, width = found.image.shape[:2]
    looks = {-1: jpeg(_shrunk(found.image, LOOK_SIDE))}
    for number, face in enumerate(found.faces):
        looks[number] = jpeg(cut(found.image, crop_box(width, height, face, 0.62), FACE_SIDE))
    return looks


def jpeg(image: Image) -> bytes:
    """Write a small picture for showing."""
    from PIL import Image as Pillow

    out = io.BytesIO()
    Pillow.fromarray(image).save(out, "JPEG", quality=84)
    return out.getvalue()
