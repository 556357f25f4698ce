"""Reading an intake: people, near-duplicates, and one verdict per photo with its reason.

See `studio.domain.curation` for the values and `studio.domain.people` for the
sorting. The order of the reasons matters: what cannot be read is out first,
then the person's own decisions, then whose face it is, then which of several
equal photos is best.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from studio.domain.curation import (
    Cluster,
    Flag,
    Intake,
    IntakeFace,
    IntakePhoto,
    KnownFace,
    Question,
    Review,
    Scale,
    State,
    Verdict,
    flags_of,
    goodness,
    scale_of,
    sharpness_of,
)
from studio.domain.face import FaceEmbedding
from studio.domain.names import as_read
from studio.domain.people import (
    Floats,
    Pair,
    absorb,
    blocked_groups,
    distances,
    group_means,
    leave_one_out,
    most_typical,
    sort_people,
    unite,
)

SAME_SHOT_BITS = 6
"""Fingerprints that differ in at most so many of 64 bits may be the same shot ..."""
SAME_SHOT_DISTANCE = 0.30
"""... when the faces agree too. Source: see benchmarks/curation.py."""
EQUAL_BITS, EQUAL_DISTANCE = 4, 0.50
"""A blurred or tiny copy has nearly the same fingerprint, but a face that is recognised worse."""
FACELESS_SHOT_BITS = 5
SMALLEST_FACE = 48.0
"""Faces of fewer pixels are guesses; they are shown, never used."""
MOST_QUESTIONS = 12
_POOR = 0.2


@dataclass(frozen=True)
class _Faces:
    """The comparable faces of an intake, known ones first, and what is known of their distances."""

    keys: list[str]
    photos: list[str]
    apart: Floats
    vectors: Floats
    scale: Scale
    labels: np.ndarray
    different: list[Pair]


def review(intake: Intake, known: Sequence[KnownFace] = (), known_name: str = "") -> Review:
    """Read an intake.

    Args:
        intake: photos still waiting are left unsure.
        known: faces that are surely of the intake's own person.
        known_name: that person's name.
    """
    by_key = {f.key: f for p in intake.photos for f in p.faces}
    faces = _sorted_faces(intake, known, by_key)
    clusters = _clusters(intake, faces, known_name)
    questions = _questions(faces, clusters) if faces else ()
    groups = same_shots(intake.photos)
    verdicts = _verdicts(intake, by_key, faces, clusters, questions, groups)
    return Review(
        clusters=clusters, questions=questions, verdicts=verdicts, groups=groups,
        notes=(*intake.notes, *_notes(intake, clusters, known, known_name)),
    )  # fmt: skip


# -- near-duplicates ----------------------------------------------------------------


def same_shots(photos: Sequence[IntakePhoto]) -> tuple[tuple[str, ...], ...]:
    """Group near-duplicates: alike as pictures and, where there are faces, alike as faces; the best first."""
    usable = [p for p in photos if p.analysis and p.analysis.fingerprint is not None]
    if len(usable) < 2:
        return ()
    hashes = np.array([p.analysis.fingerprint for p in usable if p.analysis], np.uint64)
    bits = np.bitwise_count(hashes[:, None] ^ hashes[None, :])
    pairs = []
    for a, b in np.argwhere(np.triu(bits <= SAME_SHOT_BITS, 1)):
        if _same_shot(usable[a], usable[b], int(bits[a, b])):
            pairs.append((int(a), int(b)))
    labels = unite(len(usable), pairs)
    groups = []
    for number in range(int(labels.max()) + 1):
        members = [usable[i] for i in np.flatnonzero(labels == number)]
        if len(members) > 1:
            groups.append(tuple(p.id for p in sorted(members, key=_photo_goodness, reverse=True)))
    return tuple(groups)


def _same_shot(a: IntakePhoto, b: IntakePhoto, bits: int) -> bool:
    first, second = _main_embedding(a), _main_embedding(b)
    if first is None or second is None or first.embedder != second.embedder:
        return bits <= FACELESS_SHOT_BITS and len(a.faces) == len(b.faces)
    return first.distance(second) <= (EQUAL_DISTANCE if bits <= EQUAL_BITS else SAME_SHOT_DISTANCE)


def _main_embedding(photo: IntakePhoto) -> FaceEmbedding | None:
    return photo.faces[0].embedding if photo.faces else None


def _photo_goodness(photo: IntakePhoto) -> float:
    area = (photo.analysis.width * photo.analysis.height) if photo.analysis else 0
    return (goodness(photo.faces[0]) if photo.faces else 0.0) + 1e-12 * area


# -- people -------------------------------------------------------------------------


def _sorted_faces(intake: Intake, known: Sequence[KnownFace], by_key: Mapping[str, IntakeFace]) -> _Faces | None:
    """Sort all comparable faces into groups; None when there are none."""
    usable = [f for p in intake.photos for f in p.faces if f.embedding is not None and _size(f) >= SMALLEST_FACE]
    vectors = [(k.key, k.key, k.embedding) for k in known]
    vectors += [(f.key, f.key.rpartition(":")[0], f.embedding) for f in usable if f.embedding]
    if not vectors:
        return None
    # Vectors of another embedder (an older studio's) are left out rather than compared wrongly.
    embedder = vectors[-1][2].embedder
    vectors = [v for v in vectors if v[2].embedder == embedder]
    keys, photos = [v[0] for v in vectors], [v[1] for v in vectors]
    table = np.array([v[2].vector for v in vectors], np.float64)
    place = {key: i for i, key in enumerate(keys)}
    same, different = _links(intake, place, [k.key for k in known])
    for i, photo in enumerate(photos):
        different += [(i, j) for j in range(i) if photos[j] == photo]
    apart, scale = distances(table), scale_of(embedder)
    labels = absorb(
        table, sort_people(apart, scale.same, same=same, different=different), scale.near, different=different
    )
    return _Faces(keys, photos, apart, table, scale, labels, different)


def _links(intake: Intake, place: Mapping[str, int], known: Sequence[str]) -> tuple[list[Pair], list[Pair]]:
    """Return pairs that belong together and pairs told apart, from answers, names and known faces."""
    same = [(place[a], place[b]) for a, b, is_same in intake.links if is_same and a in place and b in place]
    different = [(place[a], place[b]) for a, b, is_same in intake.links if not is_same and a in place and b in place]
    first_known = next((k for k in known if k in place), None)
    same += [(place[first_known], place[k]) for k in known if first_known is not None and k in place]
    anchors = [(key, as_read(name)) for key, name in intake.names.items() if key in place]
    for i, (key, name) in enumerate(anchors):
        for other, other_name in anchors[:i]:
            (same if name == other_name else different).append((place[key], place[other]))
    return same, different


def _clusters(intake: Intake, faces: _Faces | None, known_name: str) -> tuple[Cluster, ...]:
    """Return the groups as clusters, wanted ones first, then by size."""
    if faces is None:
        return ()
    found = []
    for number in range(int(faces.labels.max()) + 1):
        members = [int(i) for i in np.flatnonzero(faces.labels == number)]
        own = [i for i in members if not faces.keys[i].startswith("known:")]
        is_known = len(own) < len(members)
        names = [intake.names[faces.keys[i]] for i in members if faces.keys[i] in intake.names]
        typical = [faces.keys[i] for i in most_typical(faces.apart, own)] if own else []
        inside = float(np.median(leave_one_out(faces.vectors[members]))) if len(members) > 1 else None
        name = known_name if is_known and known_name else (names[-1] if names else "")
        found.append(
            Cluster(
                key=typical[0] if typical else "", name=name, faces=tuple(typical), own_distance=inside,
                wanted=bool(names) or is_known, is_known=is_known,
            )
        )  # fmt: skip
    found = [c for c in found if c.faces]
    if found and not any(c.wanted for c in found) and not intake.identity_id:
        main = max(found, key=lambda c: len(c.faces))
        found = [replace(c, wanted=c is main) for c in found]
    return tuple(sorted(found, key=lambda c: (not c.wanted, -len(c.faces))))


def _questions(faces: _Faces, clusters: Sequence[Cluster]) -> tuple[Question, ...]:
    """Return the pairs of clusters that may be one person, the closest calls first.

    Only pairs with a wanted cluster, or of two larger ones, matter to the result.
    """
    means = group_means(faces.apart, faces.labels)
    blocked = blocked_groups(faces.labels, faces.different)
    place = {key: i for i, key in enumerate(faces.keys)}
    middle = (faces.scale.same + faces.scale.ask) / 2
    found = []
    for i, a in enumerate(clusters):
        for b in clusters[:i]:
            x, y = int(faces.labels[place[a.key]]), int(faces.labels[place[b.key]])
            matters = a.wanted or b.wanted or (len(a.faces) > 1 and len(b.faces) > 1)
            if not matters or blocked[x, y] or not means[x, y] < faces.scale.ask:
                continue
            near = float(means[x, y])
            whom = f"Is this {b.name or a.name}?" if (a.name or b.name) else "Are these two the same person?"
            sure, strange = f"{faces.scale.same:.2f}", f"{faces.scale.ask:.2f}"
            said = f"{whom} The distance is {near:.2f}; below {sure} it surely is, above {strange} it surely is not."
            found.append(Question(b.key, a.key, near, abs(near - middle), said))
    return tuple(sorted(found, key=lambda q: q.margin)[:MOST_QUESTIONS])


# -- verdicts -----------------------------------------------------------------------


def _verdicts(
    intake: Intake,
    by_key: Mapping[str, IntakeFace],
    faces: _Faces | None,
    clusters: Sequence[Cluster],
    questions: Sequence[Question],
    groups: Sequence[Sequence[str]],
) -> tuple[Verdict, ...]:
    cluster_of = {key: c for c in clusters for key in c.faces}
    far = _leave_one_out_of_clusters(faces, clusters)
    asked = {k for q in questions for c in clusters if c.key in (q.first, q.second) for k in c.faces}
    open_ = {k for k in asked if not cluster_of[k].wanted}
    told = _told_apart(intake, clusters)
    first = [_verdict(p, cluster_of, clusters, faces, far, open_, told) for p in intake.photos]
    return tuple(_with_groups(intake, first, groups))


def _told_apart(intake: Intake, clusters: Sequence[Cluster]) -> set[str]:
    """Return faces of clusters of which the person said that they are not a wanted one."""
    no = [{a, b} for a, b, same in intake.links if not same]
    wanted = {k for c in clusters if c.wanted for k in c.faces} | {
        k for pair in no for k in pair if k.startswith("known:")
    }
    apart = {k for pair in no if pair & wanted for k in pair - wanted}
    return {k for c in clusters if not c.wanted and apart & set(c.faces) for k in c.faces}


def _leave_one_out_of_clusters(faces: _Faces | None, clusters: Sequence[Cluster]) -> dict[str, float]:
    """Return each wanted face's distance from the middle of its person's other faces."""
    out: dict[str, float] = {}
    if faces is None:
        return out
    for number in range(int(faces.labels.max()) + 1):
        members = np.flatnonzero(faces.labels == number)
        if len(members) > 1:
            out |= {
                faces.keys[int(i)]: float(d)
                for i, d in zip(members, leave_one_out(faces.vectors[members]), strict=True)
            }
    return out


def _verdict(
    photo: IntakePhoto,
    cluster_of: Mapping[str, Cluster],
    clusters: Sequence[Cluster],
    faces: _Faces | None,
    far: Mapping[str, float],
    asked: set[str],
    told: set[str],
) -> Verdict:
    """Judge one photo without regard to its near-duplicates."""
    problem, _ = photo.trouble
    if problem:
        return Verdict(photo_id=photo.id, state="drop", reason=problem)
    if photo.waits:
        return Verdict(photo_id=photo.id, state="unsure", reason="Not analysed yet.")
    wanted = {cluster_of[f.key].key: f.key for f in photo.faces if f.key in cluster_of and cluster_of[f.key].wanted}
    main = next((f for f in photo.faces if f.key in wanted.values()), photo.faces[0])
    flags = flags_of(main, len(photo.faces) - 1)
    distance = far.get(main.key) if wanted else _distance_to_wanted(faces, clusters, photo)
    state, reason = _judged(photo, main, bool(wanted), distance, flags, clusters, faces, asked, told)
    if photo.decision is not None:
        said = "You kept it." if photo.decision == "keep" else "You left it out."
        reason = said if state == photo.decision else f"{said} {reason}"
        if photo.decision == "keep" and not wanted:
            # Kept against the sorting: its largest face is taken for the first wanted person's.
            target = next((c.key for c in clusters if c.wanted), main.key)
            wanted = {target: main.key}
        return Verdict(photo_id=photo.id, state=photo.decision, reason=reason, faces=wanted, distance=distance,
                       flags=flags, decided=True)  # fmt: skip
    return Verdict(photo_id=photo.id, state=state, reason=reason, faces=wanted, distance=distance, flags=flags)


def _judged(
    photo: IntakePhoto,
    main: IntakeFace,
    wanted: bool,
    distance: float | None,
    flags: Sequence[Flag],
    clusters: Sequence[Cluster],
    faces: _Faces | None,
    asked: set[str],
    told: set[str],
) -> tuple[State, str]:
    """Return state and reason of a readable photo with a face."""
    if _size(main) < SMALLEST_FACE:
        return "drop", f"The face is only {_size(main):.0f} pixels across."
    if main.embedding is None:
        return ("keep", "Good.") if len(photo.faces) == 1 else ("unsure", "Several faces, and they cannot be compared.")
    scale = faces.scale if faces else scale_of(main.embedding.embedder)
    if not wanted:
        if distance is None:
            return "unsure", "Nobody is chosen yet."
        if any(f.key in told for f in photo.faces):
            return "drop", f"You said that this is somebody else; distance {distance:.2f}."
        if any(f.key in asked for f in photo.faces):
            return "unsure", f"It may be the same person: distance {distance:.2f}. Answer the question to settle it."
        if distance <= scale.stranger:
            return "unsure", f"It may be the same person: distance {distance:.2f}. Keep it or leave it out."
        return "drop", f"Another person: distance {distance:.2f}, beyond {scale.stranger:.2f} is a stranger."
    if distance is not None and distance > scale.stranger:
        return "unsure", f"Unlike the other photos: distance {distance:.2f}, beyond {scale.stranger:.2f} is a stranger."
    quality = main.face.quality
    if min(sharpness_of(main), quality.exposure, quality.size) < _POOR:
        worst = min((sharpness_of(main), "blurred"), (quality.exposure, "badly lit"), (quality.size, "small"))[1]
        said = next((f.sentence for f in flags if f.word == worst), f"The face is too {worst}.")
        return "drop", said
    if flags:
        return "keep", flags[0].sentence
    return "keep", "Good." if distance is None else f"Good. Distance {distance:.2f} from the other photos."


def _distance_to_wanted(faces: _Faces | None, clusters: Sequence[Cluster], photo: IntakePhoto) -> float | None:
    """Return the distance of a photo's nearest face from the middle of the nearest wanted person."""
    if faces is None:
        return None
    place = {key: i for i, key in enumerate(faces.keys)}
    mine = [place[f.key] for f in photo.faces if f.key in place]
    numbers = {int(faces.labels[place[c.faces[0]]]) for c in clusters if c.wanted}
    numbers |= {int(faces.labels[i]) for i, key in enumerate(faces.keys) if key.startswith("known:")}
    if not mine or not numbers:
        return None
    centers = np.array([faces.vectors[faces.labels == n].mean(0) for n in sorted(numbers)])
    gaps = np.linalg.norm(faces.vectors[mine][:, None, :] - centers[None], axis=2)
    return float(gaps.min())


def _with_groups(intake: Intake, verdicts: Sequence[Verdict], groups: Sequence[Sequence[str]]) -> list[Verdict]:
    """Let the best of each near-duplicate group stand for it, unless the person decided otherwise."""
    by_id = {v.photo_id: v for v in verdicts}
    names = {p.id: p.file_name for p in intake.photos}
    for number, group in enumerate(groups):
        members = [by_id[i] for i in group]
        kept = [v for v in members if v.state == "keep"]
        decided = next((v for v in kept if v.decided), None)
        refused = next((v for v in members if v.decided and v.state == "drop"), None)
        best = decided or refused or (kept[0] if kept else members[0])
        for verdict in members:
            is_best = verdict is best
            new = replace(verdict, group=number, best=is_best)
            if verdict.state == "keep" and not verdict.decided and not is_best:
                why = "which you left out" if best.state == "drop" else "which is better"
                new = replace(new, state="drop", reason=f"Nearly the same as {names[best.photo_id]}, {why}.")
            by_id[verdict.photo_id] = new
    return [by_id[v.photo_id] for v in verdicts]


def _notes(intake: Intake, clusters: Sequence[Cluster], known: Sequence[KnownFace], known_name: str) -> tuple[str, ...]:
    notes = []
    if known and not any(c.is_known for c in clusters) and not intake.waiting:
        notes.append(f"{known_name or 'The person'} was not recognised in any of these photos.")
    if any(p.faces and all(f.embedding is None for f in p.faces) for p in intake.photos):
        notes.append("Faces cannot be compared here, so other people are not told apart.")
    larger = [c for c in clusters if len(c.faces) > 1]
    if len(larger) > 1 and not intake.identity_id:
        notes.append(f"{len(larger)} people appear more than once. Name those whose photos you want.")
    return tuple(notes)


def _size(face: IntakeFace) -> float:
    x0, y0, x1, y1 = face.face.box
    return min(x1 - x0, y1 - y0)
