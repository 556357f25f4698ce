"""How alike a picture is to a person, as a number that says how much noise is in it.

A distance between embeddings means little by itself: photos of one person
differ from each other too. So every score is read on the scale of the person's
own photos, each measured against the others (leave one out). Small pictures
are enlarged before a face is looked for, and are compared with the photos made
as small, since blur alone moves an embedding.

What this measures is a recognition network's opinion, not a person's.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from studio.domain.face import RENDERED_EMBEDDER, RENDERED_MARK, FaceEmbedding
from studio.domain.likeness import likeness_figure
from studio.domain.photo import Photo
from studio.domain.training import Calibration, calibrate
from studio.engines import Engines
from studio.engines.base import Image
from studio.errors import UnreadableMediaError

if TYPE_CHECKING:
    from studio.store import OwnerStore

SMALLEST_SIDE = 256
"""Smaller pictures are enlarged to this: the face detectors were made for faces of some 50 pixels and more."""
STRANGER = {"dlib-resnet-v1": 0.6, RENDERED_EMBEDDER: 1.24}
"""Distance above which an embedder takes two faces for different people. Source: dlib's face_recognition_model_v1; for
renders the median of strangers to the middle of a person's pictures, as `factory.preview_base.identity` measured it."""
OTHER_STRANGER = 1.05
"""For unit vectors of ArcFace kind: cosine distance 0.55 (the usual threshold of buffalo_l) as Euclidean distance."""
KEPT_REFERENCES = 8
_FACE_SHARE = 0.5  # of the crop's side that the face takes when a photo is made as small as a drawn picture


@dataclass(frozen=True)
class Reference:
    """A person as the embedder sees them.

    Attributes:
        center: mean of the photos' embeddings.
        calibration: None with fewer than two measurable photos.
        count: photos in which a face was found.
    """

    center: FaceEmbedding = field(repr=False)
    calibration: Calibration | None
    count: int


@dataclass(frozen=True)
class LikenessScore:
    """One picture against one person.

    Attributes:
        distance: between the embedding and the center of the person's photos; smaller is more alike.
        likeness: 0 a stranger .. 1 as alike as the person's own photos; None with fewer than two photos.
        spread: the own photos' standard deviation on that scale; smaller differences mean nothing.
    """

    distance: float
    likeness: float | None
    spread: float | None

    @property
    def sentence(self) -> str:
        """The score as a person reads it."""
        if self.likeness is None:
            return f"Distance {self.distance:.2f} (a scale needs at least two photos of the person)."
        return (
            f"Likeness {likeness_figure(self.likeness)} of 1 (own photos differ by {likeness_figure(self.spread)}), "
            f"distance {self.distance:.2f}."
        )


class Likeness:
    """Measures faces and compares them; safe to call from several threads."""

    def __init__(self, store: OwnerStore, engines: Engines) -> None:
        self._store = store
        self._engines = engines
        self._kept: OrderedDict[tuple[object, ...], Reference | None] = OrderedDict()
        self._lock = threading.Lock()

    # -- one picture -----------------------------------------------------------------

    def measure(self, image: Image, *, rendered: bool = False) -> FaceEmbedding | None:
        """Return the embedding of the largest face, or None when there is no face.

        Args:
            image: RGB of any size; small ones are enlarged first.  # (H, W, 3)
            rendered: as the studio's own rendered people are told apart.

        Raises:
            EngineUnavailableError: no embedder is installed.
        """
        large = enlarged(image, SMALLEST_SIDE)
        with self._engines.lock:
            analyser = self._engines.faces()
            faces = analyser.detect(large)
            return analyser.embed(large, faces[0], rendered=rendered) if faces else None

    def distance(self, image: Image, center: FaceEmbedding) -> float | None:
        """Return how far the largest face is from a center, seen by the center's embedder; None without a face."""
        found = self.measure(image, rendered=center.embedder == RENDERED_EMBEDDER)
        return None if found is None else found.distance(center)

    def score(self, image: Image, identity_id: str) -> LikenessScore | None:
        """Compare a picture with a person's photos.

        Returns:
            None when the picture, or all of the person's photos, show no face.

        Raises:
            NotFoundError: no such person.
            EngineUnavailableError: no embedder is installed.
        """
        longer = max(image.shape[:2])
        reference = self.reference(identity_id, side=longer if longer < SMALLEST_SIDE else None)
        found = None if reference is None else self.distance(image, reference.center)
        return None if reference is None or found is None else read_distance(found, reference.calibration)

    # -- a person --------------------------------------------------------------------

    def reference(self, identity_id: str, *, side: int | None = None) -> Reference | None:
        """Measure a person's own photos against each other; kept until the photos change.

        Args:
            side: make the photos so small first (pixels), as drawn pictures are; None takes them as they are.

        Returns:
            None when no photo shows a measurable face.
        """
        self._store.identities.get(identity_id)
        photos = self._store.photos.list(identity_id=identity_id)
        key = (identity_id, side, tuple(p.id for p in photos))
        with self._lock:
            if key in self._kept:
                self._kept.move_to_end(key)
                return self._kept[key]
        rendered = self.all_rendered([p.sha256 for p in photos])
        embeddings = [e for photo in photos if (e := self._of_photo(photo, side, rendered)) is not None]
        found = reference_of(embeddings)
        with self._lock:
            self._kept[key] = found
            while len(self._kept) > KEPT_REFERENCES:
                self._kept.popitem(last=False)
        return found

    def reference_of_pictures(
        self, pictures: Sequence[Image], side: int, *, rendered: bool = False
    ) -> Reference | None:
        """Measure training pictures against each other at the size a base draws.

        Args:
            side: pixels of the longer side.
            rendered: as the studio's own rendered people are told apart, see `all_rendered`.
        """
        from studio.engines.media.pictures import fit_longer_side

        small = [np.ascontiguousarray(fit_longer_side(p, side)) for p in pictures]
        embeddings = [self.measure(p, rendered=rendered) for p in small]
        return reference_of([e for e in embeddings if e is not None])

    def calibrate(self, identity_id: str, *, side: int | None = None) -> Calibration | None:
        """Return the scale of a person's own photos; None with fewer than two measurable ones."""
        reference = self.reference(identity_id, side=side)
        return None if reference is None else reference.calibration

    def all_rendered(self, photos: Sequence[str]) -> bool:
        """Say whether all photos (sha256) are the studio's own renders of an invented person, by their mark.

        Photographs are never judged by the embedder of rendered people, nor those beside one.
        """
        paths = [self._store.media.get(sha256) for sha256 in photos]
        return bool(paths) and all(path.suffix == ".png" and _is_marked(path) for path in paths)

    def _of_photo(self, photo: Photo, side: int | None, rendered: bool) -> FaceEmbedding | None:
        """Return a photo's embedding: the stored one at full size, else that of a small crop."""
        from studio.engines.media.pictures import fit_longer_side, read_picture

        if side is None and not rendered:
            stored = self._store.photos.embeddings(photo.id)
            if stored:
                return stored[-1]
        rgb = read_picture(self._store.media.get(photo.sha256)).rgb
        if photo.face is not None:
            rgb = face_square(rgb, photo.face.box)
        elif side is None:
            return self.measure(np.ascontiguousarray(fit_longer_side(rgb, 1024)), rendered=rendered)
        return self.measure(np.ascontiguousarray(fit_longer_side(rgb, side or 512)), rendered=rendered)


def _is_marked(path: Path) -> bool:
    """Say whether a picture carries the mark of the studio's own renders."""
    from studio.engines.media.recipe import read_recipe

    try:
        return read_recipe(path) == RENDERED_MARK
    except UnreadableMediaError:  # somebody's photo with damaged notes is a photo all the same
        return False


def reference_of(embeddings: Sequence[FaceEmbedding]) -> Reference | None:
    """Return the center of embeddings of one embedder, and their leave-one-out distances as a scale."""
    if not embeddings:
        return None
    name = embeddings[-1].embedder
    vectors = np.stack([e.vector for e in embeddings if e.embedder == name])  # (N, D)
    center = FaceEmbedding(name, vectors.mean(0).astype(np.float32))
    count = len(vectors)
    if count < 2:
        return Reference(center, None, count)
    others = (vectors.sum(0) - vectors) / (count - 1)  # (N, D) center of all but one
    distances = np.linalg.norm(vectors - others, axis=1)
    scale = calibrate(name, [float(d) for d in distances], STRANGER.get(name, OTHER_STRANGER))
    return Reference(center, scale, count)


def read_distance(distance: float, calibration: Calibration | None) -> LikenessScore:
    """Read a distance on the scale of a person's own photos."""
    if calibration is None:
        return LikenessScore(distance, None, None)
    return LikenessScore(distance, calibration.likeness(distance), calibration.spread)


def enlarged(image: Image, side: int) -> Image:
    """Return the picture with at least `side` pixels on its longer side.  # (H, W, 3)"""
    height, width = image.shape[:2]
    longer = max(height, width)
    if longer >= side:
        return np.ascontiguousarray(image)
    from PIL import Image as Pillow

    target = (max(1, round(width * side / longer)), max(1, round(height * side / longer)))
    return np.array(Pillow.fromarray(image).resize(target, Pillow.Resampling.BICUBIC), np.uint8)


def face_square(image: Image, box: tuple[float, float, float, float]) -> Image:
    """Cut a square around a face, with the framing of a head-and-shoulders picture; edges are repeated.  # (S, S, 3)"""
    x0, y0, x1, y1 = box
    half = max(x1 - x0, y1 - y0) / (2 * _FACE_SHARE)
    left, top = round((x0 + x1) / 2 - half), round((y0 + y1) / 2 - half)
    side = max(2, round(2 * half))
    height, width = image.shape[:2]
    rows = np.clip(np.arange(top, top + side), 0, height - 1)
    columns = np.clip(np.arange(left, left + side), 0, width - 1)
    return np.ascontiguousarray(image[rows][:, columns])
