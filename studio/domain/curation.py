"""Choosing photos of one person out of many: what was found, what is proposed, and why.

An `Intake` is a heap of dropped files. `review` reads it as people (clusters of
faces), groups of near-duplicates, and one verdict per photo with the number
that says so. It is a pure function of what was measured and what the person
answered: each answer is a link between two faces ("same" or "not the same"),
so that every answer sorts the heap anew and every answer can be taken back.

Where the distance lies between "surely the same" and "surely not", the verdict
is "unsure" and a question is asked; nothing is guessed. Distances are between
identity embeddings, smaller is more alike. Knows no files and no pixels.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal

from studio.domain.face import DetectedFace, FaceEmbedding
from studio.domain.photo import Photo
from studio.domain.traits import Measures

MOST_PHOTOS = 500
Decision = Literal["keep", "drop"]
State = Literal["keep", "drop", "unsure"]


@dataclass(frozen=True)
class Scale:
    """How distances of one embedder are read.

    Attributes:
        same: mean distance of two groups of faces below which they are one person.
        ask: up to here the studio asks; above they are two people.
        near: distance of one face from the middle of at least three others below which it is surely theirs.
        stranger: the same distance beyond which it is surely another person's.
    """

    same: float
    ask: float
    near: float
    stranger: float


SCALES: dict[str, Scale] = {"dlib-resnet-v1": Scale(0.52, 0.64, 0.42, 0.52)}
# Source: dlib says .6 for two pictures. Measured on photos of 9 people and on renders: two photos of one person
# .20 .. .62, of two .65 and more; from the middle of their other photos .20 .. .48, strangers from .71 on.
UNIT_SCALE = Scale(1.05, 1.20, 0.85, 1.05)
"""Vectors of unit length, as InsightFace gives them: cosines of .45, .28 and .64 as distances."""


def scale_of(embedder: str) -> Scale:
    """Return how distances of an embedder are read."""
    return SCALES.get(embedder, UNIT_SCALE)


@dataclass(frozen=True, kw_only=True)
class IntakeFace:
    """One face of one photo of an intake.

    Attributes:
        key: "<photo id>:<index>", unique in the intake.
        index: 0 is the largest face of the photo.
        face: in pixels of the photo as decoded.
        embedding: None where faces cannot be compared (no embedder installed).
    """

    key: str
    index: int
    face: DetectedFace = field(repr=False)
    embedding: FaceEmbedding | None = field(default=None, repr=False)
    measures: Measures = field(default_factory=Measures, repr=False)


@dataclass(frozen=True, kw_only=True)
class Analysis:
    """What was measured in the bytes of one picture; the same bytes are measured once.

    Attributes:
        fingerprint: 64-bit perceptual hash; None where the picture could not be read.
        problem, hint: why it cannot be used, in one sentence; "" when it can.
        mask_sha256: the person matte as a stored PNG, at most 512 pixels on its longer side.
        faces: largest first, without an intake's keys.
    """

    sha256: str
    version: str
    width: int = 0
    height: int = 0
    fingerprint: int | None = None
    problem: str = ""
    hint: str = ""
    mask_sha256: str | None = None
    faces: tuple[IntakeFace, ...] = ()


@dataclass(frozen=True, kw_only=True)
class IntakePhoto:
    """One file of an intake.

    Attributes:
        sha256: None when the file could not even be copied.
        analysis: None while it waits.
        decision: what the person decided; None leaves it to the review.
    """

    id: str
    position: int
    file_name: str
    sha256: str | None
    problem: str = ""
    hint: str = ""
    analysis: Analysis | None = None
    decision: Decision | None = None

    @property
    def faces(self) -> tuple[IntakeFace, ...]:
        """Return the faces with this intake's keys."""
        return self.analysis.faces if self.analysis else ()

    @property
    def trouble(self) -> tuple[str, str]:
        """Return why the photo cannot be used and what to do; two empty texts when it can or still waits."""
        if self.problem:
            return self.problem, self.hint
        return (self.analysis.problem, self.analysis.hint) if self.analysis else ("", "")

    @property
    def waits(self) -> bool:
        """Whether the photo still has to be analysed."""
        return self.analysis is None and not self.problem


@dataclass(frozen=True, kw_only=True)
class Intake:
    """A heap of dropped files.

    Attributes:
        identity_id: whose photos they are meant to be; None lets the review find out.
        notes: what was done to the heap on taking it, one sentence each.
        names: face key -> name given to the cluster around that face.
        links: (face key, face key, same) answers, oldest first.
        confirmed: when the photos were taken over; None while it is only a proposal.
    """

    id: str
    owner: str
    title: str
    photos: tuple[IntakePhoto, ...] = field(default=(), repr=False)
    identity_id: str | None = None
    job_id: str | None = None
    notes: tuple[str, ...] = ()
    names: Mapping[str, str] = field(default_factory=dict)
    links: tuple[tuple[str, str, bool], ...] = ()
    confirmed: datetime | None = None
    created: datetime

    @property
    def waiting(self) -> int:
        """Return how many photos still have to be analysed."""
        return sum(p.waits for p in self.photos)


@dataclass(frozen=True, kw_only=True)
class KnownFace:
    """A face that is surely of the person an intake is for; `key` is "known:<photo id>"."""

    key: str
    embedding: FaceEmbedding = field(repr=False)


@dataclass(frozen=True, kw_only=True)
class Cluster:
    """Faces taken for one person.

    Attributes:
        key: the most typical face; give a name to it.
        faces: keys of this intake's faces, the most typical first.
        own_distance: median leave-one-out distance inside; None for a single face.
        wanted: whether its photos are proposed: it is named, or it is the main one while none is named.
        is_known: whether it holds the known faces of the intake's identity.
    """

    key: str
    name: str
    faces: tuple[str, ...]
    own_distance: float | None
    wanted: bool
    is_known: bool = False


@dataclass(frozen=True)
class Question:
    """Two faces of which the studio cannot tell whether they are one person.

    Attributes:
        distance: mean distance between the two clusters.
        margin: how far that is from the nearer of "surely same" and "surely not"; smaller is asked later.
    """

    first: str
    second: str
    distance: float
    margin: float
    sentence: str


@dataclass(frozen=True)
class Flag:
    """One shortcoming: a word for a chip and a sentence."""

    word: str
    sentence: str


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """What is proposed for one photo.

    Attributes:
        faces: keys of the faces of wanted people in it, by cluster key.
        reason: one sentence; the distance that says so is in it.
        distance: leave-one-out distance of its (nearest) face from the person's other photos.
        group: number of the near-duplicate group; None for a photo of its own.
        best: whether it is the best of its group.
        decided: whether the person, not the studio, chose `state`.
    """

    photo_id: str
    state: State
    reason: str
    faces: Mapping[str, str] = field(default_factory=dict)
    distance: float | None = None
    flags: tuple[Flag, ...] = ()
    group: int | None = None
    best: bool = False
    decided: bool = False


@dataclass(frozen=True, kw_only=True)
class Review:
    """An intake read as people, groups and verdicts.

    Attributes:
        clusters: wanted ones first, then by size.
        questions: the closest calls first.
        verdicts: one per photo, in the intake's order.
        groups: photo ids of near-duplicates, the best first.
        notes: one sentence each.
    """

    clusters: tuple[Cluster, ...]
    questions: tuple[Question, ...]
    verdicts: tuple[Verdict, ...]
    groups: tuple[tuple[str, ...], ...]
    notes: tuple[str, ...] = ()

    def count(self, state: State) -> int:
        """Return how many photos have a verdict."""
        return sum(v.state == state for v in self.verdicts)


@dataclass(frozen=True)
class CropBox:
    """A square in a photo, pixels of the photo as decoded; always inside it."""

    x: int
    y: int
    side: int


@dataclass(frozen=True, kw_only=True)
class CuratedPhoto:
    """One photo of a person as training will see it.

    Attributes:
        photo: the stored photo; its bytes are never changed.
        crop: what is cut out.
        mask_sha256: person matte of the whole photo; None when it could not be made.
        caption: as it will be used; `own_caption` says that a person wrote it.
        kept: whether training uses it.
        traits: words measured in the picture.
        flags: shortcomings.
    """

    photo: Photo
    sha256: str
    crop: CropBox | None
    mask_sha256: str | None
    caption: str
    kept: bool
    own_caption: bool = False
    traits: Mapping[str, str] = field(default_factory=dict)
    flags: tuple[Flag, ...] = ()
    problem: str = ""


def sharpness_of(found: IntakeFace) -> float:
    """Return 0 (blurred) .. 1 at the sizes training uses; where that was not measured, of the finest octave.

    Source: sharp photos of the development set have a detail of .067 and more, the same blurred by 4 of 600 pixels
    .06 and less.
    """
    detail = found.measures.detail
    return found.face.quality.sharpness if detail is None else min(max((detail - 0.035) / 0.04, 0.0), 1.0)


def flags_of(found: IntakeFace, other_faces: int = 0) -> tuple[Flag, ...]:
    """Return the shortcomings of a face as words and sentences.

    Args:
        other_faces: how many more people are in the picture.
    """
    quality = found.face.quality
    words = (
        ("small", quality.size, "pixels high"),
        ("blurred", sharpness_of(found), "blurred"),
        ("badly lit", quality.exposure, "too dark|too bright"),
        ("turned away", quality.frontal, "The head is"),
        ("covered", quality.unoccluded, "covered"),
    )
    flags = []
    for word, value, sign in words:
        if value < _FLAG_BELOW:
            said = [h for h in quality.hints if any(s in h for s in sign.split("|"))]
            flags.append(Flag(word, said[0] if said else f"The face is {word}."))
    if found.face.likely != "person":
        what = "an animal" if found.face.likely == "animal" else "a drawing"
        flags.append(Flag(found.face.likely, f"This looks like {what}."))
    if other_faces:
        people = "Another person is" if other_faces == 1 else f"{other_faces} other people are"
        flags.append(Flag("others", f"{people} in the picture; the crop leaves out what it can."))
    return tuple(flags)


_FLAG_BELOW = 0.5


def goodness(found: IntakeFace) -> float:
    """Return 0..1: how well a face picture serves, to choose the best of a group."""
    q = found.face.quality
    sharp = sharpness_of(found)
    return float((sharp + 0.05) ** 0.5 * (q.size + 0.05) ** 0.5 * (0.4 + 0.6 * q.exposure) * q.unoccluded**0.5)


def crop_box(width: int, height: int, face: DetectedFace, share: float, others: Sequence[DetectedFace] = ()) -> CropBox:
    """Lay a square around a face, inside the picture.

    Args:
        width, height: of the picture, pixels.
        share: wanted height of the face (forehead to chin) against the square, such as .48 for head and shoulders.
        others: faces that should stay outside where that costs at most a quarter of the square.

    Returns:
        A square with the face a little above the middle; smaller than wanted
        where the picture ends, shifted where the face is near the border.
    """
    x0, y0, x1, y1 = face.box
    tall = max(y1 - y0, x1 - x0, 1.0)
    side = min(tall / share, float(min(width, height)))
    center_x, center_y = (x0 + x1) / 2, (y0 + y1) / 2 + (0.5 - _FACE_HEIGHT_IN_CROP) * side
    for other in others:
        # The square ends where the other face begins, unless too little would be left.
        gap = max(other.box[0] - center_x, center_x - other.box[2], other.box[1] - center_y, center_y - other.box[3])
        if 0.375 * side <= gap < side / 2 and 2 * gap >= 1.25 * tall:
            side = 2 * gap
    whole = max(1, min(round(side), width, height))
    left = min(max(round(center_x - whole / 2), 0), width - whole)
    top = min(max(round(center_y - whole / 2), 0), height - whole)
    return CropBox(left, top, whole)


_FACE_HEIGHT_IN_CROP = 0.46

CROP_SHARES = (0.48, 0.7, 0.48, 0.34)
"""Face heights against the crop, in turn over a set: head and shoulders, close-up, again, and from farther away."""
SMALL_BASE, SMALL_BASE_SHARE = 128, 0.48
"""Up to this resolution every crop is head and shoulders: a face that is smaller has no pixels left to learn from."""


def crop_share(number: int, resolution: int) -> float:
    """Return the wanted share of the face in the crop of photo `number` of a set."""
    return SMALL_BASE_SHARE if resolution <= SMALL_BASE else CROP_SHARES[number % len(CROP_SHARES)]
